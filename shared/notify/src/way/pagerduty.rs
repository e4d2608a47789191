//! PagerDuty, by its Events API v2: the incident's id is the dedup key, so that what comes twice is one alert, taken and resolved with ours.
//! Source: <https://developer.pagerduty.com/docs/events-api-v2-overview>.

use serde_json::{Map, Value, json};
use sitepulse_daemon::instant;
use sitepulse_model::channel::way::PagerDuty;
use sitepulse_model::incident::{NoticeEvent, Severity};

use super::{OverHttp, Task};
use crate::Trouble;
use crate::http::{Outgoing, at};

const API: &str = "https://events.pagerduty.com";

impl OverHttp for PagerDuty {
    fn request(&self, task: &Task<'_>) -> Result<Outgoing, Trouble> {
        let letter = task.letter();
        let incident = &task.notice.incident;
        let action = match task.notice.event {
            NoticeEvent::Opened | NoticeEvent::Escalated | NoticeEvent::Test => "trigger",
            NoticeEvent::Acknowledged => "acknowledge",
            NoticeEvent::Resolved => "resolve",
        };
        let severity = match incident.severity {
            Severity::Critical => "critical",
            Severity::Major => "error",
            Severity::Minor => "warning",
            Severity::Info => "info",
        };
        let details: Map<String, Value> =
            letter.facts.iter().map(|(label, value)| ((*label).to_owned(), json!(value))).collect();
        let source = incident.check.as_ref().or(incident.agent.as_ref()).or(incident.slo.as_ref());
        let links: Vec<Value> = letter.links().map(|(label, link)| json!({"href": link, "text": label})).collect();
        let mut body = json!({
            "routing_key": task.opened.credential(&self.key),
            "event_action": action,
            "dedup_key": incident.id,
            "client": "SitePulse",
            "links": links,
            "payload": {
                "summary": format!("{}. {}", letter.subject, letter.lead),
                "source": source.map_or("sitepulse", String::as_str),
                "severity": severity,
                "timestamp": instant::format(task.notice.at),
                "class": incident.kind,
                "custom_details": details,
            },
        });
        if let Some((_, link)) = &letter.link {
            body["client_url"] = json!(link);
        }
        let api = self.api.as_ref().map_or(API, |api| task.opened.address(api));
        Ok(Outgoing::json(at(api, "v2/enqueue"), &body))
    }
}

//! Opsgenie, by its Alert API: the incident's id is the alias, so that what comes twice is one alert, taken and closed with ours.
//! Source: <https://docs.opsgenie.com/docs/alert-api>.

use serde_json::{Map, Value, json};
use sitepulse_model::channel::way::Opsgenie;
use sitepulse_model::incident::{NoticeEvent, Severity};

use super::{OverHttp, Task};
use crate::Trouble;
use crate::http::{Outgoing, at, encode};
use crate::letter::cut;

const API: &str = "https://api.opsgenie.com";
/// Longest message, in characters.
const MESSAGE_CHARS_MAX: usize = 130;

impl OverHttp for Opsgenie {
    fn request(&self, task: &Task<'_>) -> Result<Outgoing, Trouble> {
        let letter = task.letter();
        let incident = &task.notice.incident;
        let of_alert = |verb: &str| format!("v2/alerts/{}/{verb}?identifierType=alias", encode(&incident.id));
        let note = json!({"source": "SitePulse", "note": format!("{}. {}", letter.subject, letter.lead)});
        let (path, body) = match task.notice.event {
            NoticeEvent::Acknowledged => (of_alert("acknowledge"), note),
            NoticeEvent::Resolved => (of_alert("close"), note),
            NoticeEvent::Opened | NoticeEvent::Escalated | NoticeEvent::Test => {
                let priority = match incident.severity {
                    Severity::Critical => "P1",
                    Severity::Major => "P2",
                    Severity::Minor => "P3",
                    Severity::Info => "P5",
                };
                let details: Map<String, Value> =
                    letter.facts.iter().map(|(label, value)| ((*label).to_owned(), json!(value))).collect();
                let mut alert = json!({
                    "message": cut(&letter.subject, MESSAGE_CHARS_MAX),
                    "alias": incident.id,
                    "description": letter.text(),
                    "priority": priority,
                    "source": "SitePulse",
                    "entity": incident.check.as_ref().or(incident.agent.as_ref()).or(incident.slo.as_ref()),
                    "tags": [incident.kind],
                    "details": details,
                });
                if let Some(team) = &self.team {
                    alert["responders"] = json!([{"type": "team", "name": team}]);
                }
                ("v2/alerts".to_owned(), alert)
            }
        };
        let api = self.api.as_ref().map_or(API, |api| task.opened.address(api));
        let key = task.opened.credential(&self.key);
        Ok(Outgoing::json(at(api, &path), &body).with("authorization", format!("GenieKey {key}")))
    }
}

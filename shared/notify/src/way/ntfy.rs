//! ntfy, on ntfy.sh or a server of one's own. Source: <https://docs.ntfy.sh/publish/#publish-as-json>.

use serde_json::{Value, json};
use sitepulse_model::channel::way::Ntfy;

use super::{OverHttp, Task};
use crate::Trouble;
use crate::http::{Outgoing, at};
use crate::letter::Tone;

const API: &str = "https://ntfy.sh";

impl OverHttp for Ntfy {
    fn request(&self, task: &Task<'_>) -> Result<Outgoing, Trouble> {
        let letter = task.letter();
        let (priority, tag) = match letter.tone {
            Tone::Critical => (5, "rotating_light"),
            Tone::Major => (4, "warning"),
            Tone::Minor => (3, "warning"),
            Tone::Info => (3, "information_source"),
            Tone::Good => (3, "white_check_mark"),
        };
        let facts: Vec<String> = letter.lines().collect();
        let actions: Vec<Value> =
            letter.links().map(|(label, link)| json!({"action": "view", "label": label, "url": link})).collect();
        let mut body = json!({
            "topic": task.opened.phrase(&self.topic),
            "title": letter.subject,
            "message": format!("{}\n{}", letter.lead, facts.join("\n")),
            "priority": priority,
            "tags": [tag],
            "actions": actions,
        });
        if let Some((_, link)) = &letter.link {
            body["click"] = json!(link);
        }
        let api = self.api.as_ref().map_or(API, |api| task.opened.address(api));
        let outgoing = Outgoing::json(at(api, ""), &body);
        Ok(match &self.token {
            None => outgoing,
            Some(token) => outgoing.with("authorization", format!("Bearer {}", task.opened.credential(token))),
        })
    }
}

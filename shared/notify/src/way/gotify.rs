//! Gotify. Source: <https://gotify.net/docs/msgextras>.

use serde_json::json;
use sitepulse_model::channel::way::Gotify;

use super::{OverHttp, Task};
use crate::Trouble;
use crate::http::{Outgoing, at};
use crate::letter::Tone;

impl OverHttp for Gotify {
    fn request(&self, task: &Task<'_>) -> Result<Outgoing, Trouble> {
        let letter = task.letter();
        let priority = match letter.tone {
            Tone::Critical => 10,
            Tone::Major => 8,
            Tone::Minor => 5,
            Tone::Info | Tone::Good => 4,
        };
        let mut extras = json!({"client::display": {"contentType": "text/plain"}});
        if let Some((_, link)) = &letter.link {
            extras["client::notification"] = json!({"click": {"url": link}});
        }
        let body = json!({"title": letter.subject, "message": letter.text(), "priority": priority, "extras": extras});
        let outgoing = Outgoing::json(at(task.opened.address(&self.api), "message"), &body);
        Ok(outgoing.with("x-gotify-key", task.opened.credential(&self.token)))
    }
}

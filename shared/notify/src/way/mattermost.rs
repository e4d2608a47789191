//! Mattermost, by an incoming webhook: an attachment. Source: <https://developers.mattermost.com/integrate/reference/message-attachments>.

use serde_json::{Value, json};
use sitepulse_model::channel::way::Mattermost;

use super::{OverHttp, Task};
use crate::http::Outgoing;
use crate::{Trouble, escape};

/// As much of a title as clients show, in characters.
const TITLE_CHARS_MAX: usize = 256;

impl OverHttp for Mattermost {
    fn request(&self, task: &Task<'_>) -> Result<Outgoing, Trouble> {
        let letter = task.letter();
        let facts = letter.facts.iter();
        let mut fields: Vec<Value> =
            facts.map(|(label, value)| json!({"short": value.len() < 40, "title": label, "value": escape::code(value)})).collect();
        let links: Vec<String> = letter.links().map(|(label, link)| format!("[{label}]({})", link.replace(')', "%29"))).collect();
        if !links.is_empty() {
            fields.push(json!({"short": false, "title": "", "value": links.join("   ")}));
        }
        let attachment = json!({
            "fallback": escape::title(&letter.subject, TITLE_CHARS_MAX),
            "color": format!("#{:06x}", letter.tone.colour()),
            "title": escape::title(&letter.subject, TITLE_CHARS_MAX),
            "text": escape::code(&letter.lead),
            "fields": fields,
        });
        let mut body = json!({"attachments": [attachment]});
        if let Some(channel) = &self.channel {
            body["channel"] = json!(channel);
        }
        Ok(Outgoing::json(task.opened.credential(&self.url).to_owned(), &body))
    }
}

//! Discord, by a webhook: an embed, and nobody mentioned whatever it says. Source: <https://discord.com/developers/docs/resources/webhook#execute-webhook>.

use serde_json::{Value, json};
use sitepulse_daemon::instant;
use sitepulse_model::channel::way::Discord;

use super::{OverHttp, Task};
use crate::http::Outgoing;
use crate::{Trouble, escape};

/// Longest title of an embed, in characters. Source: <https://discord.com/developers/docs/resources/message#embed-object-embed-limits>.
const TITLE_CHARS_MAX: usize = 256;

impl OverHttp for Discord {
    fn request(&self, task: &Task<'_>) -> Result<Outgoing, Trouble> {
        let letter = task.letter();
        let field = |name: &str, value: String| json!({"name": name, "value": value});
        let mut fields: Vec<Value> =
            letter.facts.iter().map(|(label, value)| field(label, escape::code(value))).collect();
        // In angle brackets, so that Discord makes no preview.
        fields.extend(letter.links().map(|(label, link)| field(label, format!("[{label}](<{link}>)"))));
        let embed = json!({
            "title": escape::title(&letter.subject, TITLE_CHARS_MAX),
            "description": escape::code(&letter.lead),
            "color": letter.tone.colour(),
            "timestamp": instant::format(task.notice.at),
            "fields": fields,
        });
        let body = json!({"embeds": [embed], "allowed_mentions": {"parse": []}});
        Ok(Outgoing::json(task.opened.credential(&self.url).to_owned(), &body))
    }
}

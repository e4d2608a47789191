//! Telegram, by a bot. Source: <https://core.telegram.org/bots/api#sendmessage>.

use std::time::Duration;

use serde_json::json;
use sitepulse_model::channel::way::Telegram;

use super::{OverHttp, Task};
use crate::http::{Answer, Outgoing, RETRY_AFTER_MAX, at};
use crate::{Sent, Trouble, escape};

const API: &str = "https://api.telegram.org";

impl OverHttp for Telegram {
    fn request(&self, task: &Task<'_>) -> Result<Outgoing, Trouble> {
        let letter = task.letter();
        // As code, where Telegram looks for no links, mentions and commands.
        let code = |text: &str| format!("<code>{}</code>", escape::html(text));
        let mut text = format!("{}\n{}\n", code(&letter.subject), code(&letter.lead));
        for (label, value) in &letter.facts {
            text.push_str(&format!("\n<b>{}</b>{}", escape::html(&letter.label(label)), code(value)));
        }
        for (label, link) in letter.links() {
            text.push_str(&format!("\n\n<a href=\"{}\">{}</a>", escape::html(link), escape::html(label)));
        }
        let token = task.opened.credential(&self.token);
        if !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":_-".contains(&byte)) {
            return Err(Trouble::refused("the token is none of a Telegram bot: set it as BotFather gave it"));
        }
        let api = self.api.as_ref().map_or(API, |api| task.opened.address(api));
        let body = json!({
            "chat_id": self.chat,
            "text": text,
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": true},
        });
        Ok(Outgoing::json(at(api, &format!("bot{token}/sendMessage")), &body))
    }

    /// How long to wait stands in the body.
    fn judge(&self, answer: &Answer) -> Sent {
        let said = answer.json();
        let after = said.as_ref().and_then(|said| said.pointer("/parameters/retry_after")?.as_u64());
        match answer.judge() {
            Sent::Again { why, after: None } => {
                Sent::Again { why, after: after.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX)) }
            }
            Sent::Delivered { .. } if said.as_ref().is_some_and(|said| said["ok"] == false) => {
                Sent::Refused { why: answer.told() }
            }
            sent @ (Sent::Delivered { .. }
            | Sent::Partly { .. }
            | Sent::Again { .. }
            | Sent::Denied { .. }
            | Sent::Refused { .. }) => sent,
        }
    }
}

//! Pushover. Source: <https://pushover.net/api>.

use sitepulse_model::channel::way::Pushover;

use super::{OverHttp, Task};
use crate::Trouble;
use crate::http::{Outgoing, at};
use crate::letter::{Tone, cut};

const API: &str = "https://api.pushover.net";
/// Longest message, in characters.
const MESSAGE_CHARS_MAX: usize = 1_024;
/// Longest link, in characters.
const LINK_CHARS_MAX: usize = 512;

impl OverHttp for Pushover {
    fn request(&self, task: &Task<'_>) -> Result<Outgoing, Trouble> {
        let letter = task.letter();
        // High passes the quiet hours of the receiver; an emergency would be a ladder of its own beside ours.
        let priority = match letter.tone {
            Tone::Critical | Tone::Major => "1",
            Tone::Minor | Tone::Info | Tone::Good => "0",
        };
        let facts: Vec<String> = letter.lines().collect();
        let message = cut(&format!("{}\n{}", letter.lead, facts.join("\n")), MESSAGE_CHARS_MAX);
        let timestamp = task.notice.at.0.div_euclid(1_000_000).to_string();
        let mut fields = vec![
            ("token", task.opened.credential(&self.token)),
            ("user", task.opened.phrase(&self.user)),
            ("title", letter.subject.as_str()),
            ("message", message.as_str()),
            ("priority", priority),
            ("timestamp", timestamp.as_str()),
        ];
        fields.extend(self.device.as_deref().map(|device| ("device", device)));
        if let Some((label, link)) = letter.links().find(|(_, link)| link.len() <= LINK_CHARS_MAX) {
            fields.extend([("url", link.as_str()), ("url_title", label)]);
        }
        let api = self.api.as_ref().map_or(API, |api| task.opened.address(api));
        Ok(Outgoing::form(at(api, "1/messages.json"), &fields))
    }
}

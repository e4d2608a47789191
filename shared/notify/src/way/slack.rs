//! Slack, by an incoming webhook: blocks of plain text, in which Slack finds no link and no mention. Source: <https://docs.slack.dev/reference/block-kit>.

use serde_json::{Value, json};
use sitepulse_model::channel::way::Slack;

use super::{OverHttp, Task};
use crate::http::Outgoing;
use crate::letter::cut;
use crate::{Trouble, escape};

/// Longest header, in characters.
const HEADER_CHARS_MAX: usize = 150;
/// Most fields of a section.
const FIELDS_MAX: usize = 10;

impl OverHttp for Slack {
    fn request(&self, task: &Task<'_>) -> Result<Outgoing, Trouble> {
        let letter = task.letter();
        let plain = |text: &str| json!({"type": "plain_text", "text": text, "emoji": false});
        let mut blocks = vec![
            json!({"type": "header", "text": plain(&cut(&letter.subject, HEADER_CHARS_MAX))}),
            json!({"type": "section", "text": plain(&letter.lead)}),
        ];
        let fields: Vec<Value> = letter.facts.iter().map(|(label, value)| plain(&format!("{label}\n{value}"))).collect();
        blocks.extend(fields.chunks(FIELDS_MAX).map(|fields| json!({"type": "section", "fields": fields})));
        // Our own links alone are markup.
        let links: Vec<String> = letter.links().map(|(label, link)| format!("<{}|{label}>", escape::slack(link))).collect();
        if !links.is_empty() {
            blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": links.join("   "), "verbatim": true}}));
        }
        let body = json!({"text": escape::slack(&letter.subject), "blocks": blocks, "mrkdwn": false, "unfurl_links": false, "unfurl_media": false});
        Ok(Outgoing::json(task.opened.credential(&self.url).to_owned(), &body))
    }
}

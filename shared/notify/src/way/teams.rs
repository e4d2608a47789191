//! Microsoft Teams, by a webhook of Workflows: an Adaptive Card. Runs of rich text know no markup, unlike its text blocks and fact sets.
//! Source: <https://adaptivecards.io/explorer/RichTextBlock.html>.

use serde_json::{Value, json};
use sitepulse_model::channel::way::Teams;

use super::{OverHttp, Task};
use crate::Trouble;
use crate::http::Outgoing;
use crate::letter::Tone;

impl OverHttp for Teams {
    fn request(&self, task: &Task<'_>) -> Result<Outgoing, Trouble> {
        let letter = task.letter();
        let colour = match letter.tone {
            Tone::Critical => "Attention",
            Tone::Major | Tone::Minor => "Warning",
            Tone::Info => "Accent",
            Tone::Good => "Good",
        };
        let run = |text: &str| json!({"type": "TextRun", "text": text});
        let block = |inlines: Vec<Value>| json!({"type": "RichTextBlock", "inlines": inlines});
        let mut body = vec![
            block(vec![json!({"type": "TextRun", "text": letter.subject, "size": "Large", "weight": "Bolder", "color": colour})]),
            block(vec![run(&letter.lead)]),
        ];
        body.extend(letter.facts.iter().map(|(label, value)| {
            block(vec![json!({"type": "TextRun", "text": letter.label(label), "weight": "Bolder"}), run(value)])
        }));
        let actions: Vec<Value> =
            letter.links().map(|(label, link)| json!({"type": "Action.OpenUrl", "title": label, "url": link})).collect();
        let card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "msteams": {"width": "Full"},
            "fallbackText": letter.subject,
            "body": body,
            "actions": actions,
        });
        let attachment = json!({"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card});
        let message = json!({"type": "message", "attachments": [attachment]});
        Ok(Outgoing::json(task.opened.credential(&self.url).to_owned(), &message))
    }
}

//! Google Chat, by a space's webhook: a card, one thread an incident. The notice's key is the request's id: what comes twice is shown once.
//! Source: <https://developers.google.com/workspace/chat/api/reference/rest/v1/spaces.messages/create>.

use serde_json::{Value, json};
use sitepulse_model::channel::way::GoogleChat;

use super::{OverHttp, Task};
use crate::http::{Outgoing, encode};
use crate::{Trouble, escape};

impl OverHttp for GoogleChat {
    fn request(&self, task: &Task<'_>) -> Result<Outgoing, Trouble> {
        let letter = task.letter();
        let incident = &task.notice.incident.id;
        let facts = letter.facts.iter();
        // The text of a widget is a small HTML; labels and headers are text.
        let mut widgets = vec![json!({"textParagraph": {"text": escape::html(&letter.lead)}})];
        widgets.extend(facts.map(|(label, value)| {
            json!({"decoratedText": {"topLabel": label, "text": escape::html(value), "wrapText": true}})
        }));
        let buttons: Vec<Value> =
            letter.links().map(|(label, link)| json!({"text": label, "onClick": {"openLink": {"url": link}}})).collect();
        if !buttons.is_empty() {
            widgets.push(json!({"buttonList": {"buttons": buttons}}));
        }
        let card = json!({"header": {"title": letter.subject}, "sections": [{"widgets": widgets}]});
        let body = json!({
            "fallbackText": escape::slack(&letter.subject),
            "cardsV2": [{"cardId": incident, "card": card}],
            "thread": {"threadKey": incident},
        });
        let url = task.opened.credential(&self.url);
        let join = if url.contains('?') { '&' } else { '?' };
        let url = format!(
            "{url}{join}messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD&requestId={}",
            encode(&task.notice.key)
        );
        Ok(Outgoing::json(url, &body))
    }
}

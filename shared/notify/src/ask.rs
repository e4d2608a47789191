//! A question of JSON to a service that answers with JSON, over the same way out as messages: its addresses are judged, nothing is followed, the answer is bounded in size
//! (64 KiB) and in time.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::http::{Outgoing, post};
use crate::{Sender, Sent};

impl Sender {
    /// POSTs `question` and reads the answer, within `deadline`. `key` goes as a bearer's token.
    ///
    /// # Errors
    /// Why there is no answer, in one line without the key.
    pub async fn ask(
        &self,
        url: &str,
        key: Option<&str>,
        question: &Value,
        deadline: Duration,
    ) -> Result<Value, String> {
        let key = key.map(str::trim).filter(|key| !key.is_empty());
        let redacted = |text: String| key.map_or_else(|| text.clone(), |key| text.replace(key, "***"));
        let mut outgoing = Outgoing::json(url.to_owned(), question);
        if let Some(key) = key {
            outgoing = outgoing.with("authorization", format!("Bearer {key}"));
        }
        let answer = post(&self.egress, &outgoing, Instant::now() + deadline).await;
        let answer = answer.map_err(|trouble| redacted(trouble.why))?;
        match answer.judge() {
            Sent::Delivered { .. } | Sent::Partly { .. } => {}
            Sent::Again { why, .. } | Sent::Denied { why } | Sent::Refused { why } => return Err(redacted(why)),
        }
        let late = || "the answer is no JSON, longer than 64 KiB, or did not come to its end in time".to_owned();
        answer.json().ok_or_else(late)
    }
}

//! Text messages by Twilio: the short form alone. Source: <https://www.twilio.com/docs/messaging/api/message-resource>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sitepulse_model::channel::way::Twilio;

use super::{OverHttp, Task};
use crate::Trouble;
use crate::http::{Outgoing, at, encode};

const API: &str = "https://api.twilio.com";

impl OverHttp for Twilio {
    fn request(&self, task: &Task<'_>) -> Result<Outgoing, Trouble> {
        let letter = task.letter();
        let account = task.opened.phrase(&self.account);
        let token = task.opened.credential(&self.token);
        let from = if self.from.starts_with("MG") { "MessagingServiceSid" } else { "From" };
        let short = letter.short();
        let api = self.api.as_ref().map_or(API, |api| task.opened.address(api));
        let url = at(api, &format!("2010-04-01/Accounts/{}/Messages.json", encode(account)));
        let outgoing = Outgoing::form(url, &[("To", &self.to), (from, &self.from), ("Body", &short)]);
        Ok(outgoing.with("authorization", format!("Basic {}", STANDARD.encode(format!("{account}:{token}")))))
    }
}

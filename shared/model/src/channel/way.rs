//! The kinds of channels with their settings. A new kind is one entry here, and one file that knows its provider.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::setting::{Address, Credential, Holds, Phrase, Security, Setting, mailbox};
use crate::coded::Fault;

/// A key of a kind, for forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WayField {
    /// The key.
    pub key: &'static str,
    /// Whether it must be there.
    pub needed: bool,
    /// An example as code; empty of a key that may be missing.
    pub sample: &'static str,
    /// What it holds.
    pub holds: Holds,
}

/// Makes of an entry for each kind its structure, and all that must know the kinds. `needs` are keys that must be there, `takes` may be.
macro_rules! ways {
    ($($(#[$doc:meta])+ $kind:ident = $word:literal {
        needs { $($(#[$need_doc:meta])+ $need:ident: $need_type:ty = $need_sample:literal,)* }
        takes { $($(#[$take_doc:meta])+ $take:ident: $take_type:ty,)* }
    })+) => {
        $(
            $(#[$doc])+
            #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
            pub struct $kind {
                $($(#[$need_doc])+ pub $need: $need_type,)*
                $($(#[$take_doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $take: Option<$take_type>,)*
            }
        )+

        /// A kind of channel with its settings.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        #[serde(tag = "kind")]
        pub enum Way {
            $($(#[$doc])+ #[serde(rename = $word)] $kind($kind),)+
        }

        impl Way {
            /// Every kind's word.
            pub const KINDS: &'static [&'static str] = &[$($word),+];

            /// The kind's word.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $word,)+
                }
            }

            /// The keys that a kind takes beside those of every channel, the needed ones first; none of an unknown kind.
            pub fn keys(kind: &str) -> &'static [&'static str] {
                match kind {
                    $($word => &[$(stringify!($need),)* $(stringify!($take),)*],)+
                    _ => &[],
                }
            }

            /// What a form must know of [`Self::keys`], in their order; none of an unknown kind.
            pub fn fields(kind: &str) -> Vec<WayField> {
                match kind {
                    $($word => alloc::vec![
                        $(WayField { key: stringify!($need), needed: true, sample: $need_sample, holds: <$need_type>::holds() },)*
                        $(WayField { key: stringify!($take), needed: false, sample: "", holds: <$take_type>::holds() },)*
                    ],)+
                    _ => Vec::new(),
                }
            }

            /// Reads a kind's settings; the values are not judged.
            ///
            /// # Errors
            /// The kind or a key is unknown, a key is missing or of another type; with the remedy.
            pub fn read(kind: &str, mut settings: Map<String, Value>) -> Result<Self, String> {
                let way = match kind {
                    $($word => Self::$kind($kind {
                        $($need: needed(&mut settings, $word, stringify!($need), $need_sample)?,)*
                        $($take: taken(&mut settings, stringify!($take))?,)*
                    }),)+
                    _ => return Err(format!("kind: {kind:?} is not known: use one of {}", Self::KINDS.join(", "))),
                };
                match settings.keys().next() {
                    None => Ok(way),
                    Some(key) => {
                        Err(format!("{key} is no key of kind {kind:?}: it takes {}", Self::keys(kind).join(", ")))
                    }
                }
            }

            /// Its settings, in the order of [`Self::keys`].
            pub fn settings(&self) -> Vec<(&'static str, &dyn Setting)> {
                match self {
                    $(Self::$kind(way) => alloc::vec![
                        $((stringify!($need), &way.$need as &dyn Setting),)*
                        $((stringify!($take), &way.$take as &dyn Setting),)*
                    ],)+
                }
            }
        }
    };
}

ways! {
    /// A POST of JSON, signed as the Standard Webhooks specification says.
    Webhook = "webhook" {
        needs {
            /// Where it goes.
            url: Address = "\"https://ops.example/hook\"",
        }
        takes {
            /// What it is signed with: `whsec_` and base64, or a text.
            secret: Credential,
        }
    }
    /// Mail over SMTP.
    Email = "email" {
        needs {
            /// `HOST:PORT`.
            server: String = "\"smtp.example:587\"",
            /// The sender.
            from: String = "\"SitePulse <sitepulse@example.com>\"",
            /// The receivers, of one mail together.
            to: Vec<String> = "[\"ops@example.com\"]",
        }
        takes {
            /// `starttls`, `tls` or `plain`.
            security: Security,
            /// Who signs in.
            user: Phrase,
            /// With what.
            password: Credential,
        }
    }
    /// Slack, by an incoming webhook.
    Slack = "slack" {
        needs {
            /// The webhook's address.
            url: Credential = "\"secret:slack-hook\"",
        }
        takes {}
    }
    /// Microsoft Teams, by a webhook of Workflows.
    Teams = "teams" {
        needs {
            /// The webhook's address.
            url: Credential = "\"secret:teams-hook\"",
        }
        takes {}
    }
    /// Discord, by a webhook.
    Discord = "discord" {
        needs {
            /// The webhook's address.
            url: Credential = "\"secret:discord-hook\"",
        }
        takes {}
    }
    /// Mattermost, by an incoming webhook.
    Mattermost = "mattermost" {
        needs {
            /// The webhook's address.
            url: Credential = "\"secret:mattermost-hook\"",
        }
        takes {
            /// Another channel than the webhook's own: `town-square`, `@ana`.
            channel: String,
        }
    }
    /// Google Chat, by a space's webhook.
    GoogleChat = "google_chat" {
        needs {
            /// The webhook's address.
            url: Credential = "\"secret:chat-hook\"",
        }
        takes {}
    }
    /// Telegram, by a bot.
    Telegram = "telegram" {
        needs {
            /// The bot's token.
            token: Credential = "\"secret:telegram-bot\"",
            /// The chat: a number, or `@name` of a public one.
            chat: String = "\"-1001234567890\"",
        }
        takes {
            /// Another server than `https://api.telegram.org`.
            api: Address,
        }
    }
    /// ntfy.
    Ntfy = "ntfy" {
        needs {
            /// The topic.
            topic: Phrase = "\"secret:ntfy-topic\"",
        }
        takes {
            /// An access token.
            token: Credential,
            /// Another server than `https://ntfy.sh`.
            api: Address,
        }
    }
    /// Gotify.
    Gotify = "gotify" {
        needs {
            /// The server.
            api: Address = "\"https://gotify.example\"",
            /// An application's token.
            token: Credential = "\"secret:gotify\"",
        }
        takes {}
    }
    /// Pushover.
    Pushover = "pushover" {
        needs {
            /// The application's token.
            token: Credential = "\"secret:pushover-app\"",
            /// The key of a user or a group.
            user: Phrase = "\"secret:pushover-user\"",
        }
        takes {
            /// One device alone.
            device: String,
            /// Another server than `https://api.pushover.net`.
            api: Address,
        }
    }
    /// PagerDuty, by its Events API of version 2.
    PagerDuty = "pagerduty" {
        needs {
            /// The integration's routing key.
            key: Credential = "\"secret:pagerduty\"",
        }
        takes {
            /// Another server than `https://events.pagerduty.com`; that of the EU is `https://events.eu.pagerduty.com`.
            api: Address,
        }
    }
    /// Opsgenie, by its Alert API.
    Opsgenie = "opsgenie" {
        needs {
            /// The integration's key.
            key: Credential = "\"secret:opsgenie\"",
        }
        takes {
            /// The team that alerts are for, by name.
            team: String,
            /// Another server than `https://api.opsgenie.com`; that of the EU is `https://api.eu.opsgenie.com`.
            api: Address,
        }
    }
    /// Text messages by Twilio.
    Twilio = "twilio" {
        needs {
            /// The account's SID.
            account: Phrase = "\"AC0123456789abcdef0123456789abcdef\"",
            /// Its token.
            token: Credential = "\"secret:twilio\"",
            /// A number of yours, or the SID of a messaging service (`MG...`).
            from: String = "\"+15005550006\"",
            /// The receiver's number.
            to: String = "\"+33612345678\"",
        }
        takes {
            /// Another server than `https://api.twilio.com`.
            api: Address,
        }
    }
}

impl Way {
    /// What is wrong with settings together, or that their type does not tell.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let Self::Email(email) = self else { return Vec::new() };
        let mut faults = Vec::new();
        if let Some(why) = mailbox(&email.from) {
            faults.push(Fault::new("from", why));
        }
        match host_and_port(&email.server) {
            None => faults.push(Fault::new("server", "write HOST:PORT, like \"smtp.example:587\"")),
            Some((host, _)) => {
                let address = host.parse::<core::net::IpAddr>();
                let here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
                if email.security == Some(Security::Plain) && !here {
                    faults.push(Fault::new(
                        "security",
                        "mail goes in the clear to this machine alone: use \"starttls\" or \"tls\"",
                    ));
                }
            }
        }
        match (&email.user, &email.password) {
            (Some(_), None) => {
                faults.push(Fault::new("user", "a user needs a password: add password = \"secret:NAME\""))
            }
            (None, Some(_)) => faults.push(Fault::new("password", "a password needs a user: add user = \"NAME\"")),
            (None, None) | (Some(_), Some(_)) => {}
        }
        faults
    }
}

/// The two parts of `HOST:PORT`; the host without brackets.
pub fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let good = !host.is_empty()
        && (bare.is_some() || !host.contains(':'))
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c));
    Some((host, port.parse::<u16>().ok().filter(|port| good && *port > 0)?))
}

fn needed<T: DeserializeOwned>(
    settings: &mut Map<String, Value>,
    kind: &str,
    key: &str,
    sample: &str,
) -> Result<T, String> {
    match settings.remove(key) {
        Some(value) => read(key, value),
        None => Err(format!("kind {kind:?} needs {key}: add {key} = {sample}")),
    }
}

fn taken<T: DeserializeOwned>(settings: &mut Map<String, Value>, key: &str) -> Result<Option<T>, String> {
    settings.remove(key).map(|value| read(key, value)).transpose()
}

fn read<T: DeserializeOwned>(key: &str, value: Value) -> Result<T, String> {
    // A value that is no text may be a credential as well: its type is told, not what it is.
    let found = match &value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    };
    serde_json::from_value(value).map_err(|error| {
        let text = format!("{error}");
        match text.split_once("expected ") {
            Some((start, expected)) if start.starts_with("unknown variant") => format!("{key}: use {expected}"),
            Some((_, "a sequence")) => format!("{key} is {found}: write a list of texts"),
            Some(_) | None => format!("{key} is {found}: write a text in quotes"),
        }
    })
}

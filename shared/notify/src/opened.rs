//! A channel's secrets while a message goes out: their values, and that no value is told to anybody.

use std::collections::BTreeMap;
use std::fmt;

use sitepulse_model::channel::Channel;
use sitepulse_model::channel::setting::{Address, Credential, Phrase, SECRET};

use crate::Sent;
use crate::http::encode;

/// Shorter values are not looked for in what is told: they stand in every text.
const REDACTED_BYTES_MIN: usize = 4;

/// The values of a channel's secrets.
pub(crate) struct Opened {
    values: BTreeMap<String, String>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Opened {
    /// Opens them all. One that is not there may be set later: the message waits.
    pub(crate) fn of(channel: &Channel, secret: &(dyn Fn(&str) -> Option<String> + Sync)) -> Result<Self, Sent> {
        let mut values = BTreeMap::new();
        for name in channel.secrets() {
            let Some(value) = secret(&name) else {
                let why =
                    format!("secret {name} is not set, or cannot be opened: `sitepulse-collector secret set {name}`");
                return Err(Sent::Again { why, after: None });
            };
            values.insert(name, value);
        }
        Ok(Self { values })
    }

    fn text<'t>(&'t self, written: &'t str) -> &'t str {
        written.strip_prefix(SECRET).and_then(|name| self.values.get(name)).map_or(written, |value| value.trim())
    }

    pub(crate) fn credential<'t>(&'t self, written: &'t Credential) -> &'t str {
        self.text(&written.0)
    }

    pub(crate) fn phrase<'t>(&'t self, written: &'t Phrase) -> &'t str {
        self.text(&written.0)
    }

    pub(crate) fn address<'t>(&'t self, written: &'t Address) -> &'t str {
        self.text(&written.0)
    }

    /// What is told, without any of the values, as they are or as they stand in an address.
    pub(crate) fn redacted(&self, sent: Sent) -> Sent {
        match sent {
            Sent::Delivered { note } => Sent::Delivered { note: self.redact(note) },
            Sent::Again { why, after } => Sent::Again { why: self.redact(why), after },
            Sent::Partly { note, left } => Sent::Partly { note: self.redact(note), left },
            Sent::Denied { why } => Sent::Denied { why: self.redact(why) },
            Sent::Refused { why } => Sent::Refused { why: self.redact(why) },
        }
    }

    fn redact(&self, mut text: String) -> String {
        for value in self.values.values() {
            // Of an address that is a secret, what comes after the host is it.
            let tail = value.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
            for hidden in [Some(value.trim()), tail].into_iter().flatten() {
                for hidden in [hidden, &encode(hidden)] {
                    if hidden.len() >= REDACTED_BYTES_MIN {
                        text = text.replace(hidden, "***");
                    }
                }
            }
        }
        text
    }
}

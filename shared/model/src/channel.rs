//! Channels: by which ways messages go out. A channel is written as code; how each kind talks to its provider is not told here.
//!
//! A kind is an entry in the list of [`way`]: its settings with their types. A key of another kind is refused, a credential is a reference to a secret.

pub mod setting;
pub mod way;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use self::way::Way;
use crate::check::is_secret_name;
use crate::coded::Fault;
use crate::duration;
use crate::pager::{AFTER_US_MAX, AFTER_US_MIN};

/// A channel, as it is written as code: a `[[channel]]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Channel {
    /// Its id: a slug.
    pub id: String,
    /// The language of its messages: `en` or `fr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// When the collector stays away this long, agents send by it by themselves, see [`crate::pager`]. A duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agents_after: Option<String>,
    /// Where it leads.
    #[serde(flatten)]
    pub way: Way,
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            id: String,
            kind: String,
            #[serde(default)]
            language: Option<String>,
            #[serde(default)]
            agents_after: Option<String>,
            #[serde(flatten)]
            settings: Map<String, Value>,
        }
        let Written { id, kind, language, agents_after, settings } = Written::deserialize(reader)?;
        let way = Way::read(&kind, settings).map_err(D::Error::custom)?;
        Ok(Self { id, language, agents_after, way })
    }
}

impl Channel {
    /// The keys of its table, of all kinds; which of them a kind takes [`Way::keys`] tells.
    pub const KEYS: &'static [&'static str] = &[
        "id",
        "kind",
        "language",
        "agents_after",
        "account",
        "api",
        "channel",
        "chat",
        "device",
        "from",
        "key",
        "password",
        "secret",
        "security",
        "server",
        "team",
        "to",
        "token",
        "topic",
        "url",
        "user",
    ];

    /// The kind's word.
    pub const fn kind(&self) -> &'static str {
        self.way.kind()
    }

    /// How long the collector must stay away before agents send by it, in microseconds; `None`: they do not.
    pub fn agents_after_us(&self) -> Option<u64> {
        duration::parse(self.agents_after.as_deref()?).ok()
    }

    /// The names of the secrets it refers to.
    pub fn secrets(&self) -> BTreeSet<String> {
        let settings = self.way.settings();
        settings.into_iter().filter_map(|(_, setting)| setting.secret().map(ToString::to_string)).collect()
    }

    /// Where its messages go, as far as it says so: its kind, then the texts of the settings that name a server. Two channels of the same destination
    /// show what they hold to the same service.
    pub fn destination(&self) -> String {
        let settings = self.way.settings().into_iter().filter(|(key, _)| ["api", "server", "url"].contains(key));
        settings
            .filter_map(|(_, setting)| setting.server())
            .fold(self.kind().to_string(), |told, server| format!("{told} {server}"))
    }

    /// What is wrong with it by itself, but for its id.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.language.as_deref().is_some_and(|language| !["en", "fr"].contains(&language)) {
            faults.push(Fault::new("language", "write \"en\" or \"fr\""));
        }
        match self.agents_after.as_deref().map(duration::parse) {
            Some(Err(error)) => faults.push(Fault::new("agents_after", error.to_string())),
            Some(Ok(us)) if !(AFTER_US_MIN..=AFTER_US_MAX).contains(&us) => {
                faults.push(Fault::new("agents_after", "write 1m to 7d: a restart of the collector takes seconds"));
            }
            Some(Ok(_)) | None => {}
        }
        for (key, setting) in self.way.settings() {
            if let Some(why) = setting.fault(&self.id) {
                faults.push(Fault::new(key, why));
            } else if let Some(name) = setting.secret().filter(|name| !is_secret_name(name)) {
                faults.push(Fault::new(
                    key,
                    format!("{name:?} is no secret's name: use lower case letters, digits, '-', '_' and '.'"),
                ));
            }
        }
        faults.extend(self.way.faults());
        faults
    }
}

#[cfg(test)]
mod tests;

//! Channels: by which ways messages go out. A channel is written as code; how each kind talks to its provider is not told here.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::check::is_secret_name;
use crate::coded::Fault;

/// What marks a value as a secret's name: `secret:ops-hook`.
const SECRET: &str = "secret:";

/// A channel, as it is written as code: a `[[channel]]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its id: a slug.
    pub id: String,
    /// The language of its messages: `en` or `fr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Where it leads.
    #[serde(flatten)]
    pub way: Way,
}

/// A kind of channel with its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Way {
    /// A POST of JSON, signed as the Standard Webhooks specification says.
    Webhook(Webhook),
}

/// Where a webhook goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// `https://...` or `http://...`; may be a secret.
    pub url: String,
    /// The signing secret; a reference to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl Channel {
    /// The keys of its table, of all kinds.
    pub const KEYS: &'static [&'static str] = &["id", "kind", "language", "url", "secret"];

    /// The kind's word.
    pub const fn kind(&self) -> &'static str {
        match self.way {
            Way::Webhook(_) => "webhook",
        }
    }

    /// The names of the secrets it refers to.
    pub fn secrets(&self) -> BTreeSet<String> {
        let values: [Option<&str>; 2] = match &self.way {
            Way::Webhook(webhook) => [Some(&webhook.url), webhook.secret.as_deref()],
        };
        values.into_iter().flatten().filter_map(|value| value.strip_prefix(SECRET)).map(String::from).collect()
    }

    /// What is wrong with it by itself, but for its id.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.language.as_deref().is_some_and(|language| !["en", "fr"].contains(&language)) {
            faults.push(Fault::new("language", "write \"en\" or \"fr\""));
        }
        for name in self.secrets() {
            if !is_secret_name(&name) {
                faults.push(Fault::new("secret", alloc::format!("{name:?} is no secret's name")));
            }
        }
        match &self.way {
            Way::Webhook(webhook) => {
                let good = ["https://", "http://", SECRET].iter().any(|start| webhook.url.starts_with(start));
                if !good {
                    faults.push(Fault::new("url", "write https://..., http://... or \"secret:NAME\""));
                }
            }
        }
        faults
    }
}

//! The types of a channel's settings, and what can be wrong with each.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::check::origin;

/// What marks a value as a secret's name: `secret:ops-hook`.
pub const SECRET: &str = "secret:";
/// Longest text of a setting, in bytes.
const TEXT_BYTES_MAX: usize = 2_000;
/// Most receivers of a channel.
const RECEIVERS_MAX: usize = 50;

/// What a setting holds, for forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A text, perhaps a secret's name.
    Text,
    /// A secret's name.
    Credential,
    /// Texts.
    List,
    /// A word of [`Security`].
    Security,
}

/// A setting of some type.
pub trait Setting {
    /// What it holds.
    fn holds() -> Holds
    where
        Self: Sized,
    {
        Holds::Text
    }

    /// The name of the secret that it refers to.
    fn secret(&self) -> Option<&str> {
        None
    }

    /// Where it leads, of one that names a server: scheme, host and port, or the secret that holds the address.
    fn server(&self) -> Option<String> {
        None
    }

    /// What is wrong with it, with the remedy; `id` is the channel's.
    fn fault(&self, id: &str) -> Option<String>;
}

impl<T: Setting> Setting for Option<T> {
    fn secret(&self) -> Option<&str> {
        self.as_ref().and_then(T::secret)
    }

    fn server(&self) -> Option<String> {
        self.as_ref().and_then(T::server)
    }

    fn fault(&self, id: &str) -> Option<String> {
        self.as_ref().and_then(|setting| setting.fault(id))
    }
}

/// A value that opens doors: written as `secret:NAME`, never in plain text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Credential(pub String);

/// What stands in plain text is an error, and shown to nobody.
impl core::fmt::Debug for Credential {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(if self.0.starts_with(SECRET) { &self.0 } else { "***" })
    }
}

impl Setting for Credential {
    fn holds() -> Holds {
        Holds::Credential
    }

    fn secret(&self) -> Option<&str> {
        self.0.strip_prefix(SECRET)
    }

    fn fault(&self, id: &str) -> Option<String> {
        self.secret().is_none().then(|| {
            format!(
                "a credential does not stand in plain text: `sitepulse-collector secret set {id}`, and write \"secret:{id}\" here"
            )
        })
    }
}

/// Where something is: `https://...`, `http://...`, or a secret that holds such an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(pub String);

impl Setting for Address {
    fn secret(&self) -> Option<&str> {
        self.0.strip_prefix(SECRET)
    }

    fn server(&self) -> Option<String> {
        Some(self.secret().map_or_else(|| origin(&self.0), |_| self.0.clone()))
    }

    fn fault(&self, _id: &str) -> Option<String> {
        let rest = ["https://", "http://"].iter().find_map(|scheme| self.0.strip_prefix(scheme));
        match rest {
            _ if self.secret().is_some() => None,
            None => Some("write https://..., http://... or \"secret:NAME\"".into()),
            Some(rest) if rest.split('/').next().is_some_and(|authority| authority.contains('@')) => {
                Some("a name and a password do not stand in an address: write \"secret:NAME\" for all of it".into())
            }
            Some(rest) => plain(rest),
        }
    }
}

/// A name that is public, or better kept: a text or a secret that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phrase(pub String);

impl Setting for Phrase {
    fn secret(&self) -> Option<&str> {
        self.0.strip_prefix(SECRET)
    }

    fn fault(&self, _id: &str) -> Option<String> {
        plain(&self.0)
    }
}

impl Setting for String {
    fn server(&self) -> Option<String> {
        Some(origin(self))
    }

    fn fault(&self, _id: &str) -> Option<String> {
        if self.starts_with(SECRET) {
            return Some("this is no credential: write it as it is".into());
        }
        plain(self)
    }
}

/// Mail addresses: `ops@example.com` or `Ops <ops@example.com>`.
impl Setting for Vec<String> {
    fn holds() -> Holds {
        Holds::List
    }

    fn fault(&self, id: &str) -> Option<String> {
        if self.is_empty() || self.len() > RECEIVERS_MAX {
            return Some(format!("{} addresses: write 1 to {RECEIVERS_MAX}", self.len()));
        }
        self.iter().find_map(|one| one.fault(id).or_else(|| mailbox(one)))
    }
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// In the clear until STARTTLS; a server without it is refused. The default.
    Starttls,
    /// TLS from the first byte: port 465.
    Tls,
    /// In the clear: to this machine alone.
    Plain,
}

impl Setting for Security {
    fn holds() -> Holds {
        Holds::Security
    }

    fn fault(&self, _id: &str) -> Option<String> {
        None
    }
}

/// What is wrong with a mail address, as far as its outside tells.
pub(super) fn mailbox(text: &str) -> Option<String> {
    let address = match (text.split_once('<'), text.strip_suffix('>')) {
        (Some((_, rest)), Some(_)) => rest.trim_end_matches('>'),
        (None, None) => text,
        (Some(_), None) | (None, Some(_)) => "",
    };
    let good = address.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        && !address.chars().any(|c| c.is_whitespace() || "<>,;\"()".contains(c));
    (!good).then(|| format!("{text:?} is no mail address: write ops@example.com or \"Ops <ops@example.com>\""))
}

fn plain(text: &str) -> Option<String> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return Some(format!("{} bytes: write 1 to {TEXT_BYTES_MAX}", text.len()));
    }
    text.chars().any(char::is_control).then(|| "write it without line breaks and control characters".into())
}

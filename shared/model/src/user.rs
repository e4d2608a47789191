//! Users: people who are told of incidents, and who sign in. A user is written as code, their role too; passwords and sessions are the collector's, by the same id.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::coded::{Fault, Reference, Referent, names_faults};
use crate::id::slug;
use crate::incident::Severity;
use crate::time::UtcMicros;
use crate::wall::{Stretch, Zone};

/// Longest name and address, in bytes.
const TEXT_BYTES_MAX: usize = 200;

/// A user, as it is written as code: a `[[user]]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Its id: a slug.
    pub id: String,
    /// What people call them; the id where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Their address, to be shown; mail goes out by a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The channels they are told by: all of them, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<String>,
    /// The language of messages to them, `en` or `fr`; that of the channel where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The IANA time zone they live by; UTC where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The team they belong to, a slug: what its people do is counted together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// When they want to rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<QuietHours>,
    /// What they may do in the console; who has none cannot sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

/// What a user may do. Each role reaches further than those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks.
    Viewer,
    /// And acts on what happens: incidents, silences, on-call overrides.
    Responder,
    /// And changes what is watched: checks, objects as code, weights.
    Editor,
    /// And everything else: agents, secrets, tokens, users.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Responder, Self::Editor, Self::Admin];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Responder => "responder",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }

    /// The role of a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Quiet hours, by the wall clock of the user's zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// When they begin: `22:00`.
    pub from: String,
    /// When they end: `07:00`, of the next day where that is not after `from`.
    pub to: String,
    /// The days on which they begin; every day where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// Incidents as severe as this, or more, are told at once.
    #[serde(default = "QuietHours::except_default")]
    pub except: Severity,
}

impl QuietHours {
    const fn except_default() -> Severity {
        Severity::Critical
    }

    /// Until when a message is held back that would go out at an instant; `None`: it goes out.
    pub fn hold(&self, zone: &impl Zone, severity: Severity, at: UtcMicros) -> Option<UtcMicros> {
        if severity >= self.except {
            return None;
        }
        // What cannot be read holds nothing back.
        Stretch::parse(&self.days, &self.from, &self.to).ok()?.ends_after(zone, at)
    }

    fn faults(&self) -> Vec<Fault> {
        match Stretch::parse(&self.days, &self.from, &self.to) {
            Ok(stretch) if stretch.is_always() => {
                alloc::vec![Fault::new("quiet", "they never end: who is never to be told belongs in no level")]
            }
            Ok(_) => Vec::new(),
            Err(faults) => faults.into_iter().map(|(key, what)| Fault::new(format!("quiet.{key}"), what)).collect(),
        }
    }
}

impl User {
    /// The keys of its table.
    pub const KEYS: &'static [&'static str] =
        &["id", "name", "email", "notify", "language", "zone", "team", "quiet", "role"];

    /// What people call them.
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    /// What is wrong with it by itself, but for its id and whether its zone is known.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = names_faults("notify", &self.notify).collect();
        for (field, text) in [("name", &self.name), ("email", &self.email)] {
            let Some(text) = text else { continue };
            if text.trim().is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
                let message = format!("write 1 to {TEXT_BYTES_MAX} bytes on one line, or leave it out");
                faults.push(Fault::new(field, message));
            }
        }
        if self.email.as_ref().is_some_and(|email| !email.contains('@')) {
            faults.push(Fault::new("email", "write an address like \"ana@example.com\", or leave it out"));
        }
        if self.language.as_deref().is_some_and(|language| !["en", "fr"].contains(&language)) {
            faults.push(Fault::new("language", "write \"en\" or \"fr\""));
        }
        if let Some(Err(error)) = self.team.as_deref().map(|team| slug("team", team)) {
            faults.push(Fault::new("team", format!("{error}")));
        }
        faults.extend(self.quiet.iter().flat_map(QuietHours::faults));
        faults
    }

    /// The channels it names.
    pub fn references(&self) -> Vec<Reference> {
        Reference::list("notify", Referent::Channel, &self.notify).collect()
    }
}

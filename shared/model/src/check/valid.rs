//! What the types of a target cannot hold, and what a target is called.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString as _};

use super::{CheckKind, SecretText, TargetError};

impl CheckKind {
    /// Judges the target's values.
    ///
    /// # Errors
    /// The first value that cannot be, with its key and the remedy.
    pub fn validate(&self) -> Result<(), TargetError> {
        Ok(())
    }

    /// What is probed, in one line for people: a URL, `host:port`, a name.
    pub fn describe(&self) -> String {
        match self {
            Self::Http(target) => target.url.clone(),
            Self::Tcp(target) => target.address.clone(),
            Self::Tls(target) => target.address.clone(),
            Self::Dns(target) => format!("{} {}", target.record.as_str(), target.name),
            Self::Icmp(target) => target.host.clone(),
            Self::Udp(target) => target.address.clone(),
            Self::Websocket(target) => target.url.clone(),
            Self::Grpc(target) => target.url.clone(),
            Self::Smtp(target) | Self::Imap(target) => target.address.clone(),
            Self::Domain(target) => target.domain.clone(),
            Self::Heartbeat(target) => match (&target.period, &target.cron) {
                (Some(period), _) => format!("every {}", crate::duration::format(period.0)),
                (None, Some(cron)) => cron.clone(),
                (None, None) => String::new(),
            },
            Self::Flow(target) => target.steps.first().map(|step| step.url.clone()).unwrap_or_default(),
        }
    }

    /// The host that a run talks to first, in lower case: runs against one host are limited together. `None` where no agent dials.
    pub fn host(&self) -> Option<String> {
        None
    }

    /// The names of the secrets that the target refers to.
    pub fn secrets(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }
}

#[allow(dead_code, reason = "foundation")]
fn _uses(_: &SecretText) -> String {
    "".to_string()
}

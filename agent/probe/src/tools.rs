//! What all probes of one agent share.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use sitepulse_model::check::SecretText;
use sitepulse_model::record::{Cause, Fact, FactValue, Facts, Phase};

use crate::attempt::Failure;
use crate::domain::Registry;
use crate::http3::Endpoints;
use crate::icmp::Hub;
use crate::network::Network;
use crate::policy::Policy;
use crate::resolve::Resolver;
use crate::tls::Tls;

/// What all probes of one agent share. Made once at the start.
#[derive(Debug)]
pub struct Tools {
    /// Roots and TLS settings.
    pub tls: Tls,
    /// Which addresses may be dialled.
    pub policy: Policy,
    /// The values of secrets.
    pub secrets: Secrets,
    /// Names to addresses.
    pub resolver: Resolver,
    /// Whether the agent's own network is out.
    pub network: Network,
    /// The sockets of `icmp` checks.
    pub icmp: Hub,
    /// The sockets of HTTP/3.
    pub quic: Endpoints,
    /// Who answers for which top-level domain.
    pub registry: Registry,
}

impl Tools {
    /// The tools of an agent with these roots and this policy.
    pub fn new(tls: Tls, policy: Policy) -> Self {
        Self {
            tls,
            policy,
            secrets: Secrets::default(),
            resolver: Resolver::default(),
            network: Network::default(),
            icmp: Hub::default(),
            quic: Endpoints::default(),
            registry: Registry::default(),
        }
    }
}

/// The secrets that the collector delivered. `Debug` hides the values.
#[derive(Default)]
pub struct Secrets {
    values: RwLock<Arc<BTreeMap<String, String>>>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.all().keys()).finish()
    }
}

impl Secrets {
    /// Replaces all values, by name.
    pub fn replace(&self, values: BTreeMap<String, String>) {
        *self.values.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(values);
    }

    fn all(&self) -> Arc<BTreeMap<String, String>> {
        self.values.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The text that is meant: a reference's value, or the text itself.
    pub(crate) fn resolve(&self, text: &SecretText) -> Result<String, Failure> {
        let Some(name) = text.name() else { return Ok(text.0.clone()) };
        self.all().get(name).cloned().ok_or_else(|| {
            let detail = format!(
                "secret: this agent does not have {name:?}; set it with `sitepulse-collector secret set {name}` and let the agent connect"
            );
            Failure::new(Cause::SecretMissing, Phase::Total, detail)
        })
    }

    /// Puts `secret:NAME` in the place of every value in `text`: explanations quote what targets send, and targets echo. Of a value that the
    /// text cuts short, its beginning.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (name, value) in self.all().iter() {
            // Texts are one line; a key in PEM has many.
            for line in value.lines().filter(|line| !line.is_empty()) {
                out = without(&out, line, &format!("secret:{name}"));
            }
        }
        out
    }

    /// As [`Secrets::redact`], in every text of these facts.
    pub(crate) fn redact_facts(&self, facts: &mut Facts) {
        for Fact { key, value } in std::mem::take(&mut facts.more) {
            match value {
                FactValue::Number(number) => facts.number(key, number),
                FactValue::Text(text) => facts.text(key, &self.redact(&text)),
            }
        }
    }
}

/// `text` with `mark` in the place of each `value`, and of each beginning of it that is long enough to tell something.
fn without(text: &str, value: &str, mark: &str) -> String {
    let shown = value.char_indices().nth(TOLD_CHARS_MIN).map_or(value, |(at, _)| &value[..at]);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(shown) {
        let same = rest[at..].chars().zip(value.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
        out.push_str(&rest[..at]);
        out.push_str(mark);
        let (_, after) = rest[at..].split_at(same);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The beginning of a secret, in characters, that nobody may see.
const TOLD_CHARS_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use sitepulse_model::record::FactKey;

    use super::*;

    #[test]
    fn secrets_are_taken_out_of_what_is_told() {
        let secrets = Secrets::default();
        let values = [("api", "hunter2-hunter2"), ("pin", "4711"), ("pem", "-----BEGIN KEY-----\nMIIEvQIBADAN\n")];
        secrets.replace(values.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(secrets.redact("got hunter2-hunter2 and 4711, 471"), "got secret:api and secret:pin, 471");
        assert_eq!(secrets.redact("body is 'x hunter2-hun"), "body is 'x secret:api", "a quote that was cut");
        assert_eq!(secrets.redact("hunter2 is short of it"), "hunter2 is short of it");
        assert_eq!(secrets.redact("hunter2-hunter2hunter2-hunter2"), "secret:apisecret:api");
        assert_eq!(secrets.redact("key MIIEvQIBADAN ends"), "key secret:pem ends");
        let mut facts = Facts::default();
        facts.text(FactKey::Banner, "220 hello 4711");
        facts.text(FactKey::Step, "one hunter2-hunter2");
        facts.number(FactKey::Attempts, 4711);
        secrets.redact_facts(&mut facts);
        assert_eq!(facts.texts_of(FactKey::Banner).collect::<Vec<_>>(), ["220 hello secret:pin"]);
        assert_eq!(facts.texts_of(FactKey::Step).collect::<Vec<_>>(), ["one secret:api"]);
        assert_eq!(facts.number_of(FactKey::Attempts), Some(4711));
    }
}

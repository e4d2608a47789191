//! What all probes of one agent share.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use base64::Engine as _;
use sitepulse_browser::{Browser, Options};
use sitepulse_model::check::SecretText;
use sitepulse_model::record::{Cause, Fact, FactValue, Facts, Phase};
use tokio::sync::watch;

use crate::attempt::Failure;
use crate::domain::Registry;
use crate::http3::Endpoints;
use crate::icmp::Hub;
use crate::judge::Bench;
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
    /// The browser of `web_vitals` checks; none is started before one is needed.
    pub browser: Browser,
    /// Where large bodies are judged.
    pub(crate) bench: Bench,
    /// How far the last page is, for whoever waits for it.
    pub progress: watch::Sender<Progress>,
}

/// How far a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    /// Nothing is under way.
    #[default]
    Idle,
    /// It waits for its place in the browser.
    Waiting,
    /// It is loaded. Beyond `runs`, a load is repeated that the host had no time for.
    Loading {
        /// Which load, from 1.
        load: usize,
        /// Loads asked for.
        runs: usize,
    },
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
            browser: Browser::new(Options::default()),
            bench: Bench::default(),
            progress: watch::Sender::default(),
        }
    }
}

/// The values by name, and what gives them away in base64, beside the name.
#[derive(Default)]
struct Kept {
    values: BTreeMap<String, String>,
    coded: Vec<(String, String)>,
}

/// The secrets that the collector delivered. `Debug` hides the values.
#[derive(Default)]
pub struct Secrets {
    kept: RwLock<Arc<Kept>>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.all().values.keys()).finish()
    }
}

impl Secrets {
    /// Replaces all values, by name.
    pub fn replace(&self, values: BTreeMap<String, String>) {
        let coded = values.iter().flat_map(|(name, value)| coded(value).map(|core| (name.clone(), core))).collect();
        *self.kept.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(Kept { values, coded });
    }

    fn all(&self) -> Arc<Kept> {
        self.kept.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The text that is meant: a reference's value, or the text itself.
    pub(crate) fn resolve(&self, text: &SecretText) -> Result<String, Failure> {
        let Some(name) = text.name() else { return Ok(text.0.clone()) };
        self.all().values.get(name).cloned().ok_or_else(|| {
            let detail = format!(
                "secret: this agent does not have {name:?}; set it with `sitepulse-collector secret set {name}` and let the agent connect"
            );
            Failure::new(Cause::SecretMissing, Phase::Total, detail)
        })
    }

    /// Puts `secret:NAME` in the place of every value in `text`: explanations quote what targets send, and targets echo. Of a value that the
    /// text cuts short, its beginning. A login travels in base64, and is taken out of that as well.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut out = text.to_owned();
        let all = self.all();
        for (name, value) in &all.values {
            // Texts are one line; a key in PEM has many.
            for line in value.lines().filter(|line| !line.is_empty()) {
                out = without(&out, line, &format!("secret:{name}"));
            }
        }
        for (name, core) in &all.coded {
            out = without_word(&out, core, &format!("secret:{name}"));
        }
        out
    }

    /// As [`Secrets::redact`], in every text of these facts. Documents are no texts: whoever makes one leaves secrets out of it.
    pub(crate) fn redact_facts(&self, facts: &mut Facts) {
        for Fact { key, value } in std::mem::take(&mut facts.more) {
            match value {
                FactValue::Number(number) => facts.number(key, number),
                FactValue::Text(text) if key.is_document() => facts.text(key, &text),
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

/// The characters of base64 that a value alone decides, for each number of bytes before it (as of a login's user), modulo 3. Nothing where
/// that is too short to be told from other words.
fn coded(value: &str) -> impl Iterator<Item = String> {
    (0..3).filter_map(move |ahead| {
        let mut bytes = vec![0; ahead];
        bytes.extend_from_slice(value.as_bytes());
        let whole = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&bytes);
        let core = &whole[(ahead * 8).div_ceil(6)..bytes.len() * 8 / 6];
        (core.len() >= CODED_CHARS_MIN).then(|| core.to_owned())
    })
}

/// `text` with `mark` in the place of each word of base64 that holds `core`, or a beginning of it that is long enough to tell something.
fn without_word(text: &str, core: &str, mark: &str) -> String {
    let shown = &core[..core.len().min(TOLD_CHARS_MIN)];
    let is_word = |char: char| char.is_ascii_alphanumeric() || "+/".contains(char);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(shown) {
        let (before, from) = rest.split_at(at);
        out.push_str(before.trim_end_matches(is_word));
        out.push_str(mark);
        rest = from.trim_start_matches(is_word).trim_start_matches('=');
    }
    out.push_str(rest);
    out
}

/// Shortest part of base64 that is looked for.
const CODED_CHARS_MIN: usize = 4;

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
        facts.text(FactKey::Hop, "https://a.example/?echo=bWU6aHVudGVyMi1odW50ZXIy");
        facts.text(FactKey::Banner, "220 hello 4711");
        facts.text(FactKey::Step, "one hunter2-hunter2");
        facts.number(FactKey::Attempts, 4711);
        facts.text(FactKey::VitalsReport, "{\"browser\":\"Chrome/4711\"}");
        secrets.redact_facts(&mut facts);
        assert_eq!(facts.texts_of(FactKey::Banner).collect::<Vec<_>>(), ["220 hello secret:pin"]);
        assert_eq!(facts.texts_of(FactKey::Hop).collect::<Vec<_>>(), ["https://a.example/?echo=secret:api"]);
        assert_eq!(facts.texts_of(FactKey::Step).collect::<Vec<_>>(), ["one secret:api"]);
        assert_eq!(facts.number_of(FactKey::Attempts), Some(4711));
        assert_eq!(facts.texts_of(FactKey::VitalsReport).next(), Some("{\"browser\":\"Chrome/4711\"}"));
    }

    #[test]
    fn a_login_is_taken_out_of_its_base64_whoever_logs_in() {
        let secrets = Secrets::default();
        for password in ["pa55", "open sesame", "ü~~~~???", "a-long-password-that-goes-on-and-on"] {
            secrets.replace([("word".to_owned(), password.to_owned())].into());
            for user in ["me", "you", "user", "Aladdin", "{}"] {
                let coded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                let text = format!("400: bad line 'authorization: Basic {coded}', sorry");
                let hidden = "400: bad line 'authorization: Basic secret:word', sorry";
                assert_eq!(secrets.redact(&text), hidden, "{user}:{password} is {coded}");
            }
        }
        let cut = base64::engine::general_purpose::STANDARD.encode("me:a-long-password");
        assert_eq!(
            secrets.redact(&format!("got 'Basic {}", &cut[..16])),
            "got 'Basic secret:word",
            "a quote that was cut"
        );
        assert_eq!(secrets.redact("nothing of the kind"), "nothing of the kind");
    }
}

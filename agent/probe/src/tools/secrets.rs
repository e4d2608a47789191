//! The values of secrets: what references mean, and what nobody may see.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;
use sitepulse_model::check::SecretText;
use sitepulse_model::record::{Cause, Phase};

use super::hide::{self, Hidden, Hit};
use crate::attempt::Failure;

/// The secrets that the collector delivered last.
#[derive(Debug, Default)]
pub struct SecretStore(RwLock<Arc<Secrets>>);

impl SecretStore {
    /// Replaces all values, by name. Attempts under way go on with those they began with.
    pub fn replace(&self, values: BTreeMap<String, String>) {
        let new = Arc::new(Secrets::new(values));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// The values of now. An attempt asks once: what it sent is what it must not tell, whatever the collector delivers meanwhile.
    pub(crate) fn now(&self) -> Arc<Secrets> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Secrets by name. `Debug` hides the values.
#[derive(Default)]
pub(crate) struct Secrets {
    values: BTreeMap<String, String>,
    hidden: Hidden,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Secrets {
    pub(crate) fn new(values: BTreeMap<String, String>) -> Self {
        let marks = values.iter().map(|(name, value)| (format!("secret:{name}"), telling(value)));
        let hidden = Hidden::new(marks, TOLD_BYTES_MIN);
        Self { values, hidden }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The text that is meant: a reference's value, or the text itself.
    pub(crate) fn resolve(&self, text: &SecretText) -> Result<String, Failure> {
        let Some(name) = text.name() else { return Ok(text.0.clone()) };
        self.values.get(name).cloned().ok_or_else(|| {
            let detail = format!(
                "secret: this agent does not have {name:?}; set it with `sitepulse-collector secret set {name}` and let the agent connect"
            );
            Failure::new(Cause::SecretMissing, Phase::Total, detail)
        })
    }

    /// Puts `secret:NAME` in the place of every value in `text`: explanations quote what targets send, and targets echo. Of a value that the
    /// text cuts short, its beginning. A login travels in base64, and is taken out of that as well.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut hits = Vec::new();
        self.find(text, &mut hits);
        hide::replace(text, hits)
    }

    /// What [`Secrets::redact`] would take out.
    pub(crate) fn find<'a>(&'a self, text: &str, hits: &mut Vec<Hit<'a>>) {
        self.hidden.find(text, hits);
    }
}

/// What of a value tells it: its lines (texts have one, a key in PEM many), and their long words, as the token of `Bearer TOKEN`, that of
/// `session=TOKEN; Path=/`, the login in `Basic LOGIN`, and the texts of a body in JSON.
fn telling(value: &str) -> Vec<String> {
    let mut telling = Vec::new();
    let json = value.trim_start().starts_with(['{', '[']).then(|| serde_json::from_str(value).ok()).flatten();
    if let Some(json) = json {
        // Its words are names like `"password":`, of which texts are full.
        texts_of(json, &mut telling);
        telling.extend(value.lines().map(|line| line.trim().to_owned()));
        return telling;
    }
    for line in value.lines() {
        let line = line.trim();
        telling.push(line.to_owned());
        let parts = line.split(|char: char| char.is_whitespace() || ";,&".contains(char));
        // Without its name: texts are full of `password`.
        let unnamed = parts
            .map(|part| part.split_once('=').map_or(part, |(name, part)| if part.is_empty() { name } else { part }));
        let words = line.split_whitespace().chain(unnamed).map(|word| word.trim_matches(['"', '\'']));
        let long = words.filter(|word| word.len() >= TOLD_BYTES_MIN);
        telling.extend(long.map(str::to_owned));
        if let Some((scheme, login)) = line.split_once(' ')
            && scheme.eq_ignore_ascii_case("basic")
        {
            telling.push(login.trim().to_owned());
            telling.extend(login_parts(login));
        }
    }
    telling
}

/// The long texts in `json`.
fn texts_of(json: Value, telling: &mut Vec<String>) {
    match json {
        Value::String(text) if text.len() >= TOLD_BYTES_MIN => telling.push(text),
        Value::Array(list) => list.into_iter().for_each(|value| texts_of(value, telling)),
        Value::Object(map) => map.into_iter().for_each(|(_, value)| texts_of(value, telling)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The password of a login in base64, and the user where that is long enough to be a key: APIs take keys for either.
fn login_parts(login: &str) -> Vec<String> {
    let login =
        STANDARD_NO_PAD.decode(login.trim().trim_end_matches('=')).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((user, password)) = login.as_deref().and_then(|login| login.split_once(':')) else { return Vec::new() };
    let telling = [(user, TOLD_BYTES_MIN), (password, PASSWORD_BYTES_MIN)];
    telling.into_iter().filter(|(part, min)| part.len() >= *min).map(|(part, _)| part.to_owned()).collect()
}

/// Of a login that is itself a value, shorter passwords stay: APIs that take a key for the user want an `x` or so for the password.
const PASSWORD_BYTES_MIN: usize = 3;

/// The beginning of a secret, in bytes, that nobody may see.
const TOLD_BYTES_MIN: usize = 8;

#[cfg(test)]
mod tests;

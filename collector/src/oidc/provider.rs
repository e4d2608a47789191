//! Talks to the provider: what it says of itself (discovery), its keys, and codes for ID tokens. Everything goes over the egress rules, with their limits.
//!
//! It is asked when somebody needs it and kept for an hour. One that is away keeps nobody from anything else: whoever wants to sign in by it is told so, and it is asked again
//! after [`RETRY_US`]. Keys that are not known are asked for at most every [`KEYS_AGAIN_US`], whoever shows tokens that name them.

use std::sync::{Arc, Mutex as Cell, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use sitepulse_daemon::clock;
use sitepulse_notify::Sender;
use sitepulse_notify::fetch::{Fetch, Fetched};
use tokio::sync::{Mutex, watch};

use super::jws::{Fault, Keys};
use super::settings::{Settings, is_endpoint};

/// How long the provider may take for one answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long what it says of itself is kept, in microseconds: 1 h.
const KEPT_US: u64 = 3_600_000_000;
/// And for how long where it cannot be asked again: 24 h.
const STALE_US: u64 = 24 * KEPT_US;
/// How long one that is away is left alone, in microseconds: 5 s.
const RETRY_US: u64 = 5_000_000;
/// How often keys that are not known are asked for at most, in microseconds: 60 s.
const KEYS_AGAIN_US: u64 = 60_000_000;
/// How often it is asked whether it is there.
const LOOK: Duration = Duration::from_secs(60);
/// Longest word of an error that is told.
const WORD_CHARS_MAX: usize = 60;

/// What a provider says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    issuer: String,
    /// Where browsers are sent to.
    pub authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    /// Where more is told about somebody than in their ID token.
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    /// Whether it names itself when it sends browsers back (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    fn parse(body: &[u8], issuer: &str) -> Result<Self, String> {
        let mut read: Self =
            serde_json::from_slice(body).map_err(|error| format!("its discovery document is none: {error}"))?;
        if read.issuer != issuer {
            let said: String = read.issuer.chars().filter(|c| !c.is_control()).take(200).collect();
            return Err(format!(
                "it calls itself {said:?}: write issuer in [oidc] exactly so, if that is who it should be"
            ));
        }
        for endpoint in [&read.authorization_endpoint, &read.token_endpoint, &read.jwks_uri] {
            if !is_endpoint(endpoint) || endpoint.contains('#') {
                return Err("one of its addresses is not of https".into());
            }
        }
        // It is needed by few: nobody is kept out because it is none.
        read.userinfo_endpoint = read.userinfo_endpoint.filter(|url| is_endpoint(url) && !url.contains('#'));
        Ok(read)
    }
}

/// A provider as it is known.
#[derive(Debug, Clone)]
pub struct Known {
    /// What it says of itself.
    pub metadata: Metadata,
    keys: Keys,
}

#[derive(Debug, Default)]
struct State {
    known: Option<Arc<Known>>,
    /// When that was asked for, on the monotonic clock.
    at: u64,
    /// When its keys alone were asked for since.
    keys_at: Option<u64>,
    /// When it failed last, and why.
    failed: Option<(u64, String)>,
}

/// Why a code gives no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoToken {
    /// The provider does not answer.
    Away(String),
    /// It does not take the code, or its token is none.
    Refused(String),
}

/// The provider.
#[derive(Debug)]
pub struct Provider {
    issuer: String,
    state: Mutex<State>,
    away: Cell<Option<String>>,
}

impl Provider {
    pub(super) fn new(issuer: String) -> Self {
        Self { issuer, state: Mutex::default(), away: Cell::default() }
    }

    /// Why it cannot be asked, as far as is known; `None`: it answered, or was not asked yet.
    pub fn away(&self) -> Option<String> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub async fn known(&self, sender: &Sender) -> Result<Arc<Known>, String> {
        let mut state = self.state.lock().await;
        let now = clock::monotonic().0;
        let age = now.saturating_sub(state.at);
        if let Some(known) = state.known.as_ref().filter(|_| age < KEPT_US) {
            return Ok(Arc::clone(known));
        }
        let failed = match &state.failed {
            Some((at, why)) if now.saturating_sub(*at) < RETRY_US => Err(why.clone()),
            Some(_) | None => self.ask(sender).await,
        };
        match failed {
            Ok(known) => {
                let known = Arc::new(known);
                *state = State { known: Some(Arc::clone(&known)), at: now, keys_at: None, failed: None };
                self.note(None);
                Ok(known)
            }
            Err(why) => {
                if state.failed.as_ref().is_none_or(|(at, _)| now.saturating_sub(*at) >= RETRY_US) {
                    state.failed = Some((clock::monotonic().0, why.clone()));
                }
                let stale = state.known.as_ref().filter(|_| age < STALE_US);
                if let Some(known) = stale {
                    return Ok(Arc::clone(known));
                }
                self.note(Some(&why));
                Err(why)
            }
        }
    }

    fn note(&self, why: Option<&str>) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        match (why, away.is_some()) {
            (Some(why), false) => tracing::warn!(issuer = self.issuer, "nobody can sign in by the provider: {why}"),
            (None, true) => tracing::info!(issuer = self.issuer, "the provider of sign-ins is back"),
            (Some(_), true) | (None, false) => {}
        }
        *away = why.map(str::to_owned);
    }

    async fn ask(&self, sender: &Sender) -> Result<Known, String> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let metadata = Metadata::parse(&get(sender, url).await?, &self.issuer)?;
        let keys = Keys::parse(&get(sender, metadata.jwks_uri.clone()).await?)?;
        Ok(Known { metadata, keys })
    }

    /// Asks for the keys again, where that is not too soon.
    async fn keys_again(&self, sender: &Sender) -> Option<Arc<Known>> {
        let mut state = self.state.lock().await;
        let now = clock::monotonic().0;
        let known = state.known.clone()?;
        if state.keys_at.is_some_and(|at| now.saturating_sub(at) < KEYS_AGAIN_US) {
            return Some(known);
        }
        state.keys_at = Some(now);
        let keys = Keys::parse(&get(sender, known.metadata.jwks_uri.clone()).await.ok()?).ok()?;
        let known = Arc::new(Known { keys, ..(*known).clone() });
        state.known = Some(Arc::clone(&known));
        Some(known)
    }

    /// Redeems a code: what the ID token says, its signature being good.
    ///
    /// # Errors
    /// See [`NoToken`].
    pub async fn redeem(
        &self,
        sender: &Sender,
        settings: &Settings,
        secret: Option<&str>,
        (code, verifier, redirect): (&str, &str, &str),
    ) -> Result<Value, NoToken> {
        let known = self.known(sender).await.map_err(NoToken::Away)?;
        let methods = &known.metadata.token_endpoint_auth_methods_supported;
        let has = |method: &str| methods.iter().any(|one| one == method);
        let in_form = has("client_secret_post") && !has("client_secret_basic");
        let mut form = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", redirect.to_owned()),
            ("code_verifier", verifier.to_owned()),
        ];
        let basic = match secret {
            Some(secret) if !in_form => Some((settings.client_id.clone(), secret.to_owned())),
            Some(secret) => {
                form.push(("client_id", settings.client_id.clone()));
                form.push(("client_secret", secret.to_owned()));
                None
            }
            None => {
                form.push(("client_id", settings.client_id.clone()));
                None
            }
        };
        let url = known.metadata.token_endpoint.clone();
        let fetch = Fetch { url, form: Some(form), basic, bearer: None };
        let Fetched { status, body } = sender.fetch(&fetch, DEADLINE).await.map_err(NoToken::Away)?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let token = match (status, answer.get("id_token").and_then(Value::as_str)) {
            (200, Some(token)) => token,
            (500.., _) => return Err(NoToken::Away(format!("its token endpoint answers HTTP {status}"))),
            (_, _) => {
                let said = answer.get("error").and_then(Value::as_str).map(word).unwrap_or_default();
                return Err(NoToken::Refused(format!("the token endpoint gives no ID token: HTTP {status} {said}")));
            }
        };
        let refused = |fault: Fault| NoToken::Refused(fault.as_str().to_owned());
        let mut said = match known.keys.open(token) {
            Err(Fault::NoKey) => {
                let newer = self.keys_again(sender).await.ok_or(NoToken::Refused(Fault::NoKey.as_str().into()))?;
                newer.keys.open(token).map_err(refused)?
            }
            opened => opened.map_err(refused)?,
        };
        let access = answer.get("access_token").and_then(Value::as_str);
        if said.get("email").is_none_or(Value::is_null)
            && let Some((url, access)) = known.metadata.userinfo_endpoint.as_ref().zip(access)
        {
            match userinfo(sender, url, access).await {
                Ok(more) => add(&mut said, &more, &settings.rules.claim),
                // Who may come in without an address comes in.
                Err(why) => tracing::warn!(issuer = self.issuer, "the provider tells no address of somebody: {why}"),
            }
        }
        Ok(said)
    }
}

/// What the provider tells of whom an access token stands for.
async fn userinfo(sender: &Sender, url: &str, access: &str) -> Result<Value, String> {
    let fetch = Fetch { url: url.to_owned(), bearer: Some(access.to_owned()), ..Fetch::default() };
    let Fetched { status, body } = sender.fetch(&fetch, DEADLINE).await?;
    match status {
        200 => serde_json::from_slice(&body).map_err(|error| format!("its userinfo endpoint answers no JSON: {error}")),
        _ => Err(format!("its userinfo endpoint answers HTTP {status}")),
    }
}

/// Adds to an ID token without an address what else was told of the same subject (OpenID Connect Core, 5.3.4). What the token itself says stands.
fn add(said: &mut Value, more: &Value, claim: &str) {
    let subject = said.get("sub").and_then(Value::as_str);
    let Some(claims) =
        said.as_object().filter(|_| subject.is_some() && more.get("sub").and_then(Value::as_str) == subject)
    else {
        return;
    };
    let mut claims = claims.clone();
    // Whether an address is somebody's goes with the address.
    for name in ["email", "email_verified"] {
        claims.insert(name.to_owned(), more.get(name).cloned().unwrap_or_default());
    }
    for name in ["name", "preferred_username", claim] {
        if let (None, Some(value)) = (claims.get(name), more.get(name)) {
            claims.insert(name.to_owned(), value.clone());
        }
    }
    *said = Value::Object(claims);
}

/// The word of an error, as far as it is one.
pub fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')).take(WORD_CHARS_MAX).collect()
}

async fn get(sender: &Sender, url: String) -> Result<Vec<u8>, String> {
    let answer = sender.fetch(&Fetch { url, ..Fetch::default() }, DEADLINE).await?;
    if answer.status == 200 { Ok(answer.body) } else { Err(format!("it answers HTTP {}", answer.status)) }
}

/// Keeps knowing whether the provider is there, until `stopping` turns true: the sign-in page says so before anybody tries.
pub async fn run(oidc: Arc<super::Oidc>, sender: Sender, mut stopping: watch::Receiver<bool>) {
    let rounds = async {
        loop {
            // What it fails with is noted.
            drop(oidc.provider.known(&sender).await);
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = rounds => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "issuer": "https://id.example/realm",
            "authorization_endpoint": "https://id.example/auth",
            "token_endpoint": "https://id.example/token",
            "jwks_uri": "https://id.example/keys",
        })
    }

    #[test]
    fn a_provider_is_who_the_owner_named_over_tls() {
        let read = |change: &dyn Fn(&mut Value)| {
            let mut document = document();
            change(&mut document);
            Metadata::parse(document.to_string().as_bytes(), "https://id.example/realm")
        };
        assert!(read(&|_| {}).is_ok());
        let other = read(&|document| document["issuer"] = json!("https://id.example/realm/")).unwrap_err();
        assert!(other.contains("\"https://id.example/realm/\""), "{other}");
        for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            for bad in [
                "http://id.example/x",
                "javascript:alert(1)",
                "/auth",
                "https://a@id.example/",
                "https://id.example/#a",
                "",
            ] {
                assert!(read(&|document| document[name] = json!(bad)).is_err(), "{name} {bad}");
            }
            assert!(read(&|document| drop(document.as_object_mut().unwrap().remove(name))).is_err());
        }
        assert!(Metadata::parse(b"<html>", "https://id.example/realm").is_err());
    }

    #[test]
    fn userinfo_adds_what_the_token_leaves_out_and_changes_nothing() {
        let token = json!({"sub": "1", "name": "Ana", "email_verified": true, "iss": "https://id.example"});
        let added = |more: Value| {
            let mut said = token.clone();
            add(&mut said, &more, "roles");
            said
        };
        let more = json!({"sub": "1", "email": "ana@example.com", "name": "Other", "roles": ["ops"], "iss": "https://evil.example"});
        let said = added(more.clone());
        assert_eq!(
            (&said["email"], &said["name"], &said["roles"]),
            (&json!("ana@example.com"), &json!("Ana"), &json!(["ops"]))
        );
        assert_eq!(
            (&said["iss"], &said["email_verified"]),
            (&json!("https://id.example"), &Value::Null),
            "of that address nobody said so"
        );
        for other in [json!("2"), json!(1), Value::Null] {
            let mut more = more.clone();
            more["sub"] = other;
            assert_eq!(added(more), token, "of somebody else");
        }
    }

    #[test]
    fn an_error_is_a_word() {
        assert_eq!(word("access_denied"), "access_denied");
        assert_eq!(word("<script>alert(1)</script>\n"), "scriptalert1script");
        assert_eq!(word(&"a".repeat(1000)).len(), WORD_CHARS_MAX);
    }
}

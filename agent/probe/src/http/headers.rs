//! What a request says besides its URL: the check's headers, its login, and the usual lines.
//!
//! A value that came out of a secret, and every login, is marked sensitive: HTTP/2 and HTTP/3 then keep it out of their tables, and a
//! redirect to another origin drops it.

use std::collections::BTreeMap;

use base64::Engine as _;
use hyper::HeaderMap;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use sitepulse_model::check::{Auth, SecretText};
use sitepulse_model::record::{Cause, Phase};

use crate::attempt::Failure;
use crate::tools::Secrets;

const AGENT: &str = concat!("sitepulse-agent/", env!("CARGO_PKG_VERSION"));

/// The headers of a check, prepared once.
#[derive(Debug)]
pub(crate) struct Headers {
    given: Box<[(HeaderName, Given)]>,
    compression: bool,
}

/// A value that the check gives.
#[derive(Debug)]
enum Given {
    Plain(HeaderValue),
    Secret(SecretText),
    Basic { user: String, password: SecretText },
    Bearer(SecretText),
}

impl Headers {
    /// Prepares the check's own headers and its login; `compression` asks for a coded body.
    pub(crate) fn new(
        given: &BTreeMap<String, SecretText>,
        auth: Option<&Auth>,
        compression: bool,
    ) -> Result<Self, String> {
        let mut prepared = Vec::new();
        for (name, value) in given {
            let name: HeaderName = name.parse().map_err(|_| format!("{name:?} is no header name"))?;
            if is_framing(&name) {
                return Err(format!("the header {name} belongs to the connection; leave it to the agent"));
            }
            let value = match value.name() {
                Some(_) => Given::Secret(value.clone()),
                None => Given::Plain(
                    HeaderValue::from_str(&value.0).map_err(|_| format!("the value of {name} is no header value"))?,
                ),
            };
            prepared.push((name, value));
        }
        if let Some(auth) = auth {
            if prepared.iter().any(|(name, _)| name == AUTHORIZATION) {
                return Err("the check has both auth and a header authorization; give one".to_owned());
            }
            let value = match auth {
                Auth::Basic { user, password } => Given::Basic { user: user.clone(), password: password.clone() },
                Auth::Bearer(token) => Given::Bearer(token.clone()),
            };
            prepared.push((AUTHORIZATION, value));
        }
        Ok(Self { given: prepared.into(), compression })
    }

    /// The lines of one run, `Host` first (empty: the URL's).
    pub(crate) fn resolve(&self, secrets: &Secrets) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::with_capacity(6 + self.given.len());
        headers.insert(HOST, HeaderValue::from_static(""));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let codings = if self.compression { "gzip, br, zstd" } else { "identity" };
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(codings));
        for (name, given) in &self.given {
            let value = match given {
                Given::Plain(value) => value.clone(),
                Given::Secret(text) => sensitive(name, secrets.resolve(text)?)?,
                Given::Basic { user, password } => sensitive(name, basic(user, &secrets.resolve(password)?))?,
                Given::Bearer(token) => sensitive(name, format!("Bearer {}", secrets.resolve(token)?))?,
            };
            headers.insert(name.clone(), value);
        }
        Ok(headers)
    }
}

/// What `Authorization` says for a user without `:` (RFC 7617).
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

fn sensitive(name: &HeaderName, text: String) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::try_from(text).map_err(|_| {
        let text =
            format!("agent: the secret for the header {name} holds bytes that no header may, such as a line break");
        Failure::new(Cause::AgentFault, Phase::Total, text)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a header belongs to the connection or to the message's framing.
fn is_framing(name: &HeaderName) -> bool {
    [CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name)
        || ["keep-alive", "proxy-connection", "http2-settings"].contains(&name.as_str())
}

/// Drops what another origin must not learn: logins, cookies, every sensitive value, and the name of the host left.
pub(super) fn leave_origin(headers: &mut HeaderMap) {
    let confidential: Vec<HeaderName> = headers
        .iter()
        .filter(|(name, value)| value.is_sensitive() || [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(name))
        .map(|(name, _)| name.clone())
        .collect();
    for name in confidential {
        headers.remove(name);
    }
    headers.insert(HOST, HeaderValue::from_static(""));
}

/// Drops what described a body that is not sent again.
pub(super) fn leave_body(headers: &mut HeaderMap) {
    for name in ["content-type", "content-encoding", "content-language", "content-location"] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretText> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), SecretText((*value).to_owned()))).collect()
    }

    fn secrets() -> Secrets {
        let values = [("password", "open sesame"), ("key", "k-1"), ("broken", "a\nb")];
        Secrets::new(values.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    #[test]
    fn the_checks_lines_replace_the_usual_ones() {
        let headers = Headers::new(&given(&[("user-agent", "curl/8"), ("X-Api", "secret:key")]), None, true).unwrap();
        let lines = headers.resolve(&secrets()).unwrap();
        assert_eq!(lines["user-agent"], "curl/8");
        assert_eq!(lines["x-api"], "k-1");
        assert!(lines["x-api"].is_sensitive());
        assert_eq!(lines["accept-encoding"], "gzip, br, zstd");
        assert_eq!(lines.keys().next(), Some(&HOST));
    }

    #[test]
    fn logins_are_coded() {
        let basic = Auth::Basic { user: "Aladdin".to_owned(), password: SecretText("secret:password".to_owned()) };
        let lines = Headers::new(&given(&[]), Some(&basic), false).unwrap().resolve(&secrets()).unwrap();
        assert_eq!(lines["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="); // RFC 7617
        let bearer = Auth::Bearer(SecretText("secret:key".to_owned()));
        let lines = Headers::new(&given(&[]), Some(&bearer), false).unwrap().resolve(&secrets()).unwrap();
        assert_eq!(lines["authorization"], "Bearer k-1");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for bad in [
            given(&[("content-length", "5")]),
            given(&[("Transfer-Encoding", "chunked")]),
            given(&[("a b", "c")]),
            given(&[("x", "a\r\nb: c")]),
        ] {
            assert!(Headers::new(&bad, None, false).is_err(), "{bad:?}");
        }
        let bearer = Auth::Bearer(SecretText("secret:key".to_owned()));
        assert!(Headers::new(&given(&[("authorization", "x")]), Some(&bearer), false).is_err());
        let missing = Headers::new(&given(&[("x", "secret:none")]), None, false).unwrap().resolve(&secrets());
        assert_eq!(missing.unwrap_err().cause, Cause::SecretMissing);
        let broken = Headers::new(&given(&[("x", "secret:broken")]), None, false).unwrap().resolve(&secrets());
        let broken = broken.unwrap_err();
        assert_eq!(broken.cause, Cause::AgentFault);
        assert!(!broken.detail.contains("a\nb"), "{}", broken.detail);
    }

    #[test]
    fn another_origin_learns_no_secret() {
        let all = given(&[("cookie", "a=b"), ("host", "virtual.example"), ("x-key", "secret:key"), ("x-plain", "p")]);
        let bearer = Auth::Bearer(SecretText("secret:key".to_owned()));
        let mut lines = Headers::new(&all, Some(&bearer), false).unwrap().resolve(&secrets()).unwrap();
        assert_eq!(lines["host"], "virtual.example");
        leave_origin(&mut lines);
        assert_eq!(lines["host"], "");
        assert_eq!(lines["x-plain"], "p");
        for gone in ["cookie", "x-key", "authorization"] {
            assert!(!lines.contains_key(gone), "{gone}");
        }
    }
}

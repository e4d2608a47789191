//! Where an answer leads on, and what the next request is. Pure.

use bytes::Bytes;
use hyper::header::{HeaderMap, LOCATION};
use hyper::{Method, StatusCode};
use sitepulse_model::record::{Cause, Phase};

use super::headers::{leave_body, leave_origin};
use super::url::Url;
use crate::attempt::Failure;

/// The request after a redirect.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The `Location` of an answer that is a redirect.
pub(super) fn location(status: StatusCode, headers: &HeaderMap) -> Option<&[u8]> {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
        .then(|| headers.get(LOCATION).map(|at| at.as_bytes()))
        .flatten()
}

/// The request that `status` and `location` make of `sent`, as browsers do: 303 asks with GET (HEAD stays), so do 301 and 302 after a
/// POST; 307 and 308 send the same again. What is confidential stays with its origin: see [`leave_origin`]; a body that holds a secret
/// is not sent to another one at all.
///
/// # Errors
/// Why the redirect cannot be followed.
pub(super) fn next(sent: Next, secret_body: bool, status: StatusCode, location: &[u8]) -> Result<Next, Failure> {
    let failed = |reason: String| {
        let text = format!("redirect: {} of {} leads nowhere: {reason}", status.as_u16(), sent.url);
        Failure::new(Cause::RedirectFailed, Phase::Total, text)
    };
    let location = std::str::from_utf8(location).map_err(|_| failed("its location is not UTF-8".to_owned()))?;
    let url = sent.url.join(location).map_err(failed)?;
    let Next { url: from, mut method, mut headers, mut body } = sent;
    let becomes_get = match status.as_u16() {
        303 => method != Method::HEAD,
        301 | 302 => method == Method::POST,
        _ => false,
    };
    if becomes_get {
        method = Method::GET;
        body = Bytes::new();
        leave_body(&mut headers);
    }
    if !from.same_origin(&url) {
        if secret_body && !body.is_empty() {
            let text = format!(
                "redirect: {} of {from} would send the body, which holds a secret, to {url}; name that URL in the check",
                status.as_u16()
            );
            return Err(Failure::new(Cause::RedirectFailed, Phase::Total, text));
        }
        leave_origin(&mut headers);
    }
    Ok(Next { url, method, headers, body })
}

//! `ETag` of every answer to `GET` under `/api/v1`, and 304 for who has it already.
//!
//! The tag is strong: a hash of the body. Whoever asks again with `If-None-Match` is told in a few bytes that nothing changed; the
//! collector saves the way, not the work.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::present::problem::{Code, Problem};

/// Bytes of the hash that a tag has.
const HASH_BYTES: usize = 16;

/// The tag of a body.
pub fn of(body: &[u8]) -> String {
    let hash: [u8; 32] = Sha256::digest(body).into();
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash[..HASH_BYTES]))
}

/// Whether a list of tags, as `If-None-Match` and `If-Match` have them, names this one. A weak tag names the strong one where bodies are
/// only read (RFC 9110, 13.1.2).
fn names(headers: &HeaderMap, name: &header::HeaderName, tag: &str, weakly: bool) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).any(|one| {
        let one = if weakly { one.strip_prefix("W/").unwrap_or(one) } else { one };
        one == "*" || one == tag
    })
}

/// Refuses a change of something that is no more what its author saw; nothing is asked where there is no `If-Match`.
///
/// # Errors
/// [`Code::Changed`].
pub fn still(headers: &HeaderMap, tag: &str) -> Result<(), Problem> {
    if !headers.contains_key(header::IF_MATCH) || names(headers, &header::IF_MATCH, tag, false) {
        return Ok(());
    }
    let what =
        "it changed since it was read: read it again, look what changed, and send the change with its new `ETag`";
    Err(Problem::new(Code::Changed, what))
}

/// What is handed out as it is read, and never lies in memory as a whole.
const STREAMS: [&str; 2] = ["text/event-stream", "application/octet-stream"];

/// Gives an answer its tag. Streams have none.
pub async fn tagged(request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let (mut parts, body) = next.run(request).await.into_parts();
    let stream =
        parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| STREAMS.iter().any(|stream| kind == *stream));
    if parts.status != StatusCode::OK || stream {
        return Response::from_parts(parts, body);
    }
    // It is in memory already.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return Problem::new(Code::Internal, "the answer could not be made").into_response();
    };
    let tag = of(&bytes);
    let known = headers.contains_key(header::IF_NONE_MATCH) && names(&headers, &header::IF_NONE_MATCH, &tag, true);
    if let Ok(value) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, value);
    }
    if known {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_named_in_every_way_that_is_written() {
        let tag = of(b"{}");
        let headers = |text: &str| HeaderMap::from_iter([(header::IF_NONE_MATCH, text.parse().unwrap())]);
        for text in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".into()] {
            assert!(names(&headers(&text), &header::IF_NONE_MATCH, &tag, true), "{text}");
        }
        assert!(!names(&headers("\"other\""), &header::IF_NONE_MATCH, &tag, true));
        // Whoever changes something must have seen it to the byte.
        assert!(!names(&headers(&format!("W/{tag}")), &header::IF_NONE_MATCH, &tag, false));
        assert_ne!(of(b"{}"), of(b"[]"));
    }
}

//! What answers weigh over the wire: compressed for who takes that, and not sent at all where the browser has them.
//!
//! One layer around the router. Bodies of text from [`PACKED_BYTES_MIN`] on are packed with gzip where `Accept-Encoding` names it; streams ([`stream`](super::console)'s events)
//! are left alone, as what they say must not wait for more. Large bodies are packed beside the tasks.
//!
//! Assets carry a tag made of their contents, and are answered with `304` where the browser names it. Their addresses in pages carry the build's
//! version (`?v=...`, [`console::assets_version`]): then they may be kept for a year, as other contents will have another address.
//!
//! A tag of other answers names a version of the resource, not its bytes, and stays as it is when they are packed.
//!
//! Packing what holds a secret beside what a stranger chose tells the secret by the answer's length (BREACH). Another site cannot have such answers made: the session's cookie is
//! `SameSite=Strict`, and tokens are sent by programs only.

use std::io::Write;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::enrol::sha256;
use crate::present::console;
use crate::present::problem::{Code, Problem};

/// Shorter bodies are not packed: the head weighs as much.
pub const PACKED_BYTES_MIN: u64 = 1024;
/// Bodies from here on are packed beside the tasks: some milliseconds of work.
const BESIDE_BYTES_MIN: usize = 32 << 10;
/// How hard it is tried: the next levels take twice the time for a few percent.
const LEVEL: u32 = 4;

/// The layer.
pub async fn lighten(request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    let response = next.run(request).await;
    let response = if asked.asset { tagged(&asked, response).await } else { response };
    packed(&asked, response).await
}

/// What an answer's weight depends on.
struct Asked {
    asset: bool,
    /// Whether the address names the version of this build.
    versioned: bool,
    known: Option<HeaderValue>,
    gzip: bool,
    head: bool,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let (uri, headers) = (request.uri(), request.headers());
        let version = uri.query().and_then(|query| query.strip_prefix("v="));
        Self {
            asset: uri.path().starts_with("/assets/"),
            versioned: version == Some(console::assets_version()),
            known: headers.get(header::IF_NONE_MATCH).cloned(),
            gzip: takes_gzip(headers),
            head: request.method() == Method::HEAD,
        }
    }
}

/// Whether `Accept-Encoding` names gzip, and not to refuse it.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut offers = offers.flat_map(|value| value.split(','));
    offers.any(|offer| {
        let (name, parameters) = offer.split_once(';').unwrap_or((offer, ""));
        let weight = parameters.trim().strip_prefix("q=").map_or(Ok(1.0), |weight| weight.trim().parse::<f64>());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
    })
}

/// Whether a body of this type gets lighter. Streams of events do not end.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match kind.split_once('/') {
        Some(("text", kind)) => kind != "event-stream",
        Some(("application", kind)) => {
            ["json", "javascript", "xml", "yaml"].contains(&kind) || kind.ends_with("+json") || kind.ends_with("+xml")
        }
        Some(("image", kind)) => kind == "svg+xml",
        Some(_) | None => false,
    }
}

fn broken() -> Response {
    Problem::new(Code::Internal, "the answer could not be packed").into_response()
}

/// An asset with its tag.
async fn tagged(asked: &Asked, response: Response) -> Response {
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else { return broken() };
    let tag: String = sha256(&bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\"")) else { return broken() };
    if asked.versioned {
        let year = HeaderValue::from_static("public, max-age=31536000, immutable");
        head.headers.insert(header::CACHE_CONTROL, year);
    }
    head.headers.insert(header::ETAG, tag.clone());
    if asked.known.as_ref().is_some_and(|known| names(known, &tag)) {
        head.status = StatusCode::NOT_MODIFIED;
        head.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(head, Body::empty());
    }
    Response::from_parts(head, Body::from(bytes))
}

/// Whether a list of tags holds this one; weak ones count as well.
fn names(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (known, tag) = (known.to_str().unwrap_or_default(), tag.to_str().unwrap_or_default());
    let mut known = known.split(',').map(str::trim);
    known.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// The answer, packed where that is asked for and worth it.
async fn packed(asked: &Asked, mut response: Response) -> Response {
    let long = response.body().size_hint().exact().is_some_and(|bytes| bytes >= PACKED_BYTES_MIN);
    let plain = !response.headers().contains_key(header::CONTENT_ENCODING);
    if !long || !plain || !is_text(response.headers()) {
        return response;
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if !asked.gzip || asked.head {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else { return broken() };
    let beside = bytes.len() >= BESIDE_BYTES_MIN;
    let pack = move || gzip(&bytes);
    let packed = if beside { tokio::task::spawn_blocking(pack).await.ok() } else { Some(pack()) };
    let Some(Ok(packed)) = packed else { return broken() };
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Response::from_parts(head, Body::from(packed))
}

fn gzip(bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::new(LEVEL));
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn gzip_is_taken_where_it_is_named_and_not_refused() {
        let takes = |value| takes_gzip(&headers(header::ACCEPT_ENCODING, value));
        assert!(takes("gzip") && takes("br, GZIP;q=0.5, *;q=0") && takes("deflate , gzip"));
        assert!(
            !takes("")
                && !takes("identity")
                && !takes("gzip;q=0")
                && !takes("br")
                && !takes("gzip;q=x")
                && !takes("xgzip")
        );
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn texts_get_lighter_and_streams_are_left_alone() {
        let text = |value| is_text(&headers(header::CONTENT_TYPE, value));
        assert!(text("text/html; charset=utf-8") && text("application/json") && text("application/problem+json"));
        assert!(text("image/svg+xml") && text("application/atom+xml; charset=utf-8") && text("text/css"));
        assert!(!text("text/event-stream") && !text("image/jpeg") && !text("application/vnd.apache.parquet"));
    }

    #[test]
    fn a_tag_is_found_among_others() {
        let known = |text| names(&HeaderValue::from_static(text), &HeaderValue::from_static("\"ab\""));
        assert!(known("\"ab\"") && known("W/\"ab\"") && known("\"x\", \"ab\"") && known("*"));
        assert!(!known("\"a\"") && !known("ab") && !known(""));
    }
}

//! A rendered answer: its bytes, the same compressed, and the strong tags of both.

use std::io::Write as _;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use crate::present::text::Language;

/// What is shorter than this is not worth compressing, in bytes.
const GZIP_BYTES_MIN: usize = 600;

/// An answer for everybody.
pub(super) struct Body {
    kind: &'static str,
    language: Option<Language>,
    /// How long others may keep it, in seconds.
    serves_s: u32,
    /// Whether it depends on the languages that a browser takes.
    negotiated: bool,
    plain: Representation,
    gzip: Option<Representation>,
}

struct Representation {
    bytes: Bytes,
    /// In its quotes.
    tag: String,
}

impl Body {
    /// Of a text of a kind.
    pub(super) fn new(kind: &'static str, serves_s: u32, text: String) -> Self {
        let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let tag = super::hex(&hash[..12]);
        let gzip = (text.len() >= GZIP_BYTES_MIN).then(|| compressed(text.as_bytes())).flatten();
        let gzip = gzip.map(|bytes| Representation { bytes, tag: format!("\"{tag}-gzip\"") });
        let plain = Representation { bytes: Bytes::from(text), tag: format!("\"{tag}\"") };
        Self { kind, language: None, serves_s, negotiated: false, plain, gzip }
    }

    /// The same, in a language; `negotiated`: that the browser's languages decided about.
    pub(super) fn in_language(self, language: Language, negotiated: bool) -> Self {
        Self { language: Some(language), negotiated, ..self }
    }

    /// Answers a request: 304 where the asker has it already.
    pub(super) fn answer(&self, asked: &HeaderMap) -> Response {
        let zipped = self.gzip.as_ref().filter(|_| takes_gzip(asked));
        let chosen = zipped.unwrap_or(&self.plain);
        let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let fresh = known.flat_map(|value| value.split(',')).map(str::trim).any(|tag| tag == "*" || self.is_tag(tag));
        let vary = if self.negotiated { "Accept-Encoding, Accept-Language" } else { "Accept-Encoding" };
        let mut response = if fresh {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = chosen.bytes.clone().into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
            if let Some(language) = self.language {
                headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
            }
            if zipped.is_some() {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        };
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static(vary));
        for (name, value) in
            [(header::ETAG, chosen.tag.clone()), (header::CACHE_CONTROL, format!("public, max-age={}", self.serves_s))]
        {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }

    /// Whether this is the tag of one of its forms. A proxy that compresses makes a tag weak; that it is the same content is all that is asked.
    fn is_tag(&self, tag: &str) -> bool {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == self.plain.tag || self.gzip.as_ref().is_some_and(|gzip| tag == gzip.tag)
    }
}

fn compressed(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::new(6));
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

fn takes_gzip(asked: &HeaderMap) -> bool {
    let accepted = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|part| {
        let mut pieces = part.split(';').map(str::trim);
        let coding = pieces.next().unwrap_or_default();
        let refused = pieces.any(|piece| {
            piece
                .strip_prefix("q=")
                .is_some_and(|quality| quality.trim().parse::<f64>().is_ok_and(|quality| quality <= 0.0))
        });
        (coding.eq_ignore_ascii_case("gzip") || coding == "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn asked(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn gzip_is_given_to_those_who_take_it() {
        for (value, takes) in [
            ("gzip, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(&asked(&[(header::ACCEPT_ENCODING, value)])), takes, "{value}");
        }
        let text = "a line of text\n".repeat(100);
        let body = Body::new("text/plain", 10, text.clone());
        let gzip = body.gzip.as_ref().unwrap();
        let mut back = String::new();
        flate2::read::GzDecoder::new(gzip.bytes.as_ref()).read_to_string(&mut back).unwrap();
        assert!(back == text && gzip.bytes.len() < 200 && gzip.tag != body.plain.tag);
        assert!(Body::new("text/plain", 10, "short".into()).gzip.is_none());
    }

    #[test]
    fn who_has_it_already_is_told_so() {
        let body = Body::new("text/plain", 10, "some text ".repeat(100));
        let status = |pairs: &[(header::HeaderName, &'static str)]| body.answer(&asked(pairs)).status();
        assert_eq!(status(&[]), StatusCode::OK);
        assert_eq!(status(&[(header::IF_NONE_MATCH, "\"other\"")]), StatusCode::OK);
        assert_eq!(status(&[(header::IF_NONE_MATCH, "*")]), StatusCode::NOT_MODIFIED);
        let first = body.answer(&asked(&[(header::ACCEPT_ENCODING, "gzip")]));
        assert_eq!(
            (&first.headers()[header::CONTENT_ENCODING], &first.headers()[header::CACHE_CONTROL]),
            (&HeaderValue::from_static("gzip"), &HeaderValue::from_static("public, max-age=10"))
        );
        for tag in [body.plain.tag.clone(), format!("\"x\", W/{}", body.gzip.as_ref().unwrap().tag)] {
            let headers: HeaderMap =
                [(header::IF_NONE_MATCH, HeaderValue::from_str(&tag).unwrap())].into_iter().collect();
            let again = body.answer(&headers);
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{tag}");
            assert!(again.headers().contains_key(header::ETAG) && !again.headers().contains_key(header::CONTENT_TYPE));
        }
    }
}

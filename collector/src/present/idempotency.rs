//! `Idempotency-Key`: a `POST` under `/api/v1` that is done once, however often it is sent.
//!
//! A client that does not know whether its request came through sends it again with the same key. The first one is noted before it is
//! done, and its answer when it is; both survive a restart. Later ones get the first one's answer. Whatever happens to the client's
//! connection, work that has begun is brought to its end.
//!
//! * Another body under the same key is refused (422); a second request while the first is under way, too (409).
//! * Where the collector stopped in the middle, nobody knows what was done: that is told (409), and never done twice.
//! * A request that was refused changed nothing, so its key is free again.
//!
//! Answers may hold tokens that the store keeps only hashes of, so they are sealed with the client's own key, of which the store has a
//! hash alone. Limits: a key has 1 to 255 printable characters; it is remembered for 24 h, [`KEYS_MAX`] of them.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use sitepulse_daemon::clock;
use tokio::sync::oneshot;

use crate::present::Present;
use crate::present::door::Caller;
use crate::present::problem::{Answer, Code, Problem};
use crate::store::idempotency::{Begun, Hash, Kept};

/// The header.
pub const HEADER: &str = "idempotency-key";
/// Most keys that are remembered.
pub const KEYS_MAX: usize = 10_000;
/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// The requests that are under way.
#[derive(Debug, Default)]
pub struct UnderWay(Mutex<BTreeSet<Hash>>);

/// One of them, until it is dropped.
struct Seat {
    present: Present,
    name: Hash,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.present.under_way().set().remove(&self.name);
    }
}

impl UnderWay {
    fn set(&self) -> MutexGuard<'_, BTreeSet<Hash>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request with a key.
struct Keyed {
    /// What the store calls it.
    name: Hash,
    /// What its answer is sealed with.
    seal: [u8; 32],
    /// What it asks for.
    asks: Hash,
}

impl Keyed {
    fn of(caller: &str, path: &str, key: &str, body: &[u8]) -> Self {
        let hash = |purpose: &str, last: &[u8]| -> [u8; 32] {
            let mut hash = Sha256::new();
            for part in [purpose.as_bytes(), caller.as_bytes(), path.as_bytes(), last] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            hash.finalize().into()
        };
        Self { name: hash("name", key.as_bytes()), seal: hash("seal", key.as_bytes()), asks: hash("asks", body) }
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&CHACHA20_POLY1305, &self.seal).ok().map(LessSafeKey::new)
    }

    /// The body, sealed behind its nonce.
    fn sealed(&self, body: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut text = body.to_vec();
        let aad = Aad::from(self.asks);
        self.cipher()?.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).ok()?;
        Some([&nonce[..], &text].concat())
    }

    fn opened(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut text = text.to_vec();
        let aad = Aad::from(self.asks);
        let opened = self.cipher()?.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut text).ok()?;
        Some(opened.to_vec())
    }

    /// The answer that was given, again.
    fn again(&self, kept: &Kept) -> Answer<Response> {
        if kept.asks != self.asks {
            let what = "this Idempotency-Key was sent with another body before: a key stands for one request, so take a new one";
            return Err(Problem::new(Code::KeyReused, what));
        }
        let Some((status, sealed)) = &kept.answer else {
            let what = "the collector stopped while it worked on this request, so nobody knows whether it was done: look, and send it \
                        with a new Idempotency-Key where it was not";
            return Err(Problem::new(Code::Conflict, what));
        };
        let status = StatusCode::from_u16(*status).ok();
        let (Some(status), Some(body)) = (status, self.opened(sealed)) else {
            return Err(Problem::new(
                Code::Internal,
                "the answer that was given before cannot be read: the store is damaged",
            ));
        };
        let mut response = (status, Body::from(body)).into_response();
        let headers = response.headers_mut();
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        if status != StatusCode::NO_CONTENT {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(response)
    }
}

/// Does a request with a key once.
pub async fn once(
    State((present, body_max)): State<(Present, usize)>,
    caller: Option<Extension<Caller>>,
    request: Request,
    next: Next,
) -> Response {
    if !request.headers().contains_key(HEADER) {
        return next.run(request).await;
    }
    let caller = caller.map(|Extension(caller)| caller.author).unwrap_or_default();
    once_of(present, body_max, &caller, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn once_of(present: Present, body_max: usize, caller: &str, request: Request, next: Next) -> Answer<Response> {
    let key = key_of(&request)?;
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, body_max).await;
    let body =
        body.map_err(|_| Problem::new(Code::TooLarge, "the body is longer than this path takes: send less at once"))?;
    let keyed = Keyed::of(caller, &path, &key, &body);
    if !present.under_way().set().insert(keyed.name) {
        let what = "a request with this Idempotency-Key is under way: ask again when it is done";
        return Err(Problem::new(Code::Conflict, what));
    }
    let seat = Seat { present: present.clone(), name: keyed.name };
    let (answer, answered) = oneshot::channel();
    let request = Request::from_parts(parts, Body::from(body));
    let work = async move {
        let done = seat.present.clone().done(&keyed, request, next).await;
        drop(seat);
        // Where nobody waits any more the answer is kept for who comes back.
        drop(answer.send(done));
    };
    present.tasks().spawn("request with an idempotency key", work);
    answered.await.unwrap_or_else(|_| Err(Problem::new(Code::Internal, "the request failed; see the collector's log")))
}

fn key_of(request: &Request) -> Answer<String> {
    let mut given = request.headers().get_all(HEADER).iter();
    let key = given.next().and_then(|value| value.to_str().ok()).filter(|_| given.next().is_none());
    let fits =
        |key: &&str| (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let what = "an Idempotency-Key has 1 to 255 printable ASCII characters, a random UUID for instance";
    key.filter(fits).map(str::to_owned).ok_or_else(|| Problem::new(Code::BadRequest, what))
}

impl Present {
    /// Does a request, unless it was done.
    async fn done(&self, keyed: &Keyed, request: Request, next: Next) -> Answer<Response> {
        let app = self.app();
        match app.begin_once(keyed.name, keyed.asks, clock::now()).await? {
            Begun::Known(kept) => return keyed.again(&kept),
            Begun::Full => {
                let what =
                    format!("{KEYS_MAX} Idempotency-Keys are remembered: send the request without one, or later");
                return Err(Problem::new(Code::TooMany, what));
            }
            Begun::New => {}
        }
        let (parts, body) = next.run(request).await.into_parts();
        let body = to_bytes(body, usize::MAX).await;
        let body = body.map_err(|_| Problem::new(Code::Internal, "the answer could not be made"))?;
        if parts.status.is_success() {
            if let Some(sealed) = keyed.sealed(&body) {
                app.finish_once(keyed.name, parts.status.as_u16(), sealed).await?;
            }
        } else {
            app.forget_once(keyed.name).await?;
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_opens_for_the_same_request_alone() {
        let keyed = Keyed::of("collector:ann", "/api/v1/join-tokens", "k1", b"{}");
        let sealed = keyed.sealed(b"{\"token\":\"secret\"}").unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(keyed.opened(&sealed).unwrap(), b"{\"token\":\"secret\"}");
        for other in [
            Keyed::of("collector:bob", "/api/v1/join-tokens", "k1", b"{}"),
            Keyed::of("collector:ann", "/api/v1/api-tokens", "k1", b"{}"),
            Keyed::of("collector:ann", "/api/v1/join-tokens", "k2", b"{}"),
        ] {
            assert_ne!(other.name, keyed.name);
            assert_eq!(other.opened(&sealed), None);
        }
        assert_eq!(keyed.opened(&sealed[..5]), None);
    }
}

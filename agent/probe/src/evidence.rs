//! What explains a run that is not up, when the target has long changed: what the resolver said, what the server sent, whom it showed.
//!
//! It is gathered on every run, for nobody knows before how a run ends; that costs no more than not throwing away what is there. Noted among
//! the facts it is only where the run is not up, or somebody looks at it: then the body is hashed and the certificates are read. A plain success
//! takes no more of the processor, and its record no more bytes.
//!
//! The body is the one that assertions look into: decoded, its first 1 MiB. Where none looks, it is kept all the same as long as it
//! is small ([`KEPT_UNASKED_MAX`]), or its status is no success; a large body of a good status whose run fails by something else (its latency, its size) is
//! counted and has no hash. Of a flow it is the evidence of the step that the explanation names.

use std::net::IpAddr;
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use sitepulse_model::record::{FactKey, Facts, RESOLVER_ANSWERS_MAX};

use crate::BODY_BYTES_MAX;
use crate::attempt::{Answer, Attempt};
use crate::resolve::Answerer;
use crate::tls::Shown;

/// A body that no assertion looks into is kept up to here, in bytes: a copy in the cache, a microsecond or two.
pub(crate) const KEPT_UNASKED_MAX: usize = 32 << 10;
/// Bytes that are hashed without a pause; then the other runs of this thread have their turn.
const BURST_BYTES: usize = 64 << 10;

/// What an attempt came across.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    /// Who told the addresses of the host, or that there are none.
    pub(crate) resolver: Option<Answerer>,
    /// The addresses, in the order told.
    pub(crate) resolved: Vec<IpAddr>,
    /// What the server showed in the newest handshake.
    pub(crate) shown: Option<Arc<Shown>>,
    /// The body as far as it came, decoded; `None` where it was not kept, or there is none.
    body: Option<Vec<u8>>,
    /// The answer was taken in as a whole, but for what is beyond the limit.
    is_taken: bool,
    /// It went on beyond the limit.
    is_truncated: bool,
    /// An assertion about the certificate or the handshake does not hold.
    pub(crate) is_about_tls: bool,
}

impl Evidence {
    /// A piece of a body came that is not coded, of which `received` bytes are there now. Of one that is longer than `most` nothing is kept.
    pub(crate) fn keep(&mut self, piece: &[u8], received: usize, most: usize) {
        if received > most {
            self.body = None;
        } else {
            extend(self.body.get_or_insert_default(), piece);
        }
    }

    /// What was kept of the body goes to the answer.
    pub(crate) fn take_body(&mut self) -> Vec<u8> {
        self.body.take().unwrap_or_default()
    }

    /// An answer was judged. `body_bytes`: as the facts have it; without it the kind knows no body.
    pub(crate) fn answered(&mut self, answer: Answer, body_bytes: Option<u64>) {
        self.body = (body_bytes == Some(answer.body.len() as u64)).then_some(answer.body);
        (self.is_taken, self.is_truncated) = (true, answer.truncated);
    }

    /// SHA-256 of the body in hexadecimal, and whether it is of a beginning alone. Nothing at all is no beginning.
    async fn hash(&self) -> Option<(String, bool)> {
        let body = self.body.as_ref().filter(|body| self.is_taken || !body.is_empty())?;
        let mut context = Context::new(&SHA256);
        for (at, burst) in body.chunks(BURST_BYTES).enumerate() {
            if at > 0 {
                tokio::task::yield_now().await;
            }
            context.update(burst);
        }
        Some((hex(context.finish().as_ref()), self.is_truncated || !self.is_taken))
    }
}

/// Notes what explains a run among its facts. `with_chain`: it is about the certificate or the handshake.
pub(crate) async fn note(attempt: &Attempt<'_>, facts: &mut Facts, with_chain: bool) {
    let evidence = &attempt.evidence;
    if let Some(resolver) = evidence.resolver {
        facts.text(FactKey::Resolver, &resolver.to_string());
    }
    for address in evidence.resolved.iter().take(RESOLVER_ANSWERS_MAX) {
        facts.text(FactKey::ResolverAnswer, &address.to_string());
    }
    if let Some(shown) = evidence.shown.as_ref().filter(|_| with_chain) {
        shown.note_chain(facts, |name| attempt.redact(name));
    }
    if let Some((sha256, is_cut)) = evidence.hash().await {
        facts.text(FactKey::ResponseSha256, &sha256);
        if is_cut {
            facts.number(FactKey::ResponseCut, 1);
        }
    }
}

/// Appends and never reserves beyond [`BODY_BYTES_MAX`]: doubling would take twice that.
pub(crate) fn extend(bytes: &mut Vec<u8>, more: &[u8]) {
    let needed = bytes.len() + more.len();
    if needed > bytes.capacity() {
        let capacity = needed.max((2 * bytes.capacity()).min(BODY_BYTES_MAX));
        bytes.reserve_exact(capacity - bytes.len());
    }
    bytes.extend_from_slice(more);
}

/// Bytes in lower case and without separators, as `sha256sum` prints them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;

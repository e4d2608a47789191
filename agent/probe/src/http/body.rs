//! The body as it comes in: counted, bounded, kept where somebody looks into it.

use bytes::Bytes;
use hyper::HeaderMap;
use sitepulse_model::record::{Cause, FactKey, Phase};

use super::coding::{self, Coding};
use crate::BODY_BYTES_MAX;
use crate::attempt::{Answer, Attempt, Failure};

/// A body under way. A coded one is kept as it comes and decoded once it is all there: no decoder waits for a slow target.
pub(super) struct Intake {
    coding: Option<Coding>,
    keep: bool,
    bytes: Vec<u8>,
    received: usize,
    truncated: bool,
}

impl Intake {
    pub(super) fn new(attempt: &mut Attempt<'_>, headers: &HeaderMap) -> Self {
        let coding = Coding::of(headers);
        if let Some(coding) = coding {
            attempt.facts.text(FactKey::ContentEncoding, coding.as_str());
        } else {
            attempt.facts.body_bytes = Some(0);
        }
        let keep = attempt.wants_body || coding.is_some();
        Self { coding, keep, bytes: Vec::new(), received: 0, truncated: false }
    }

    /// Takes a piece; whether more is wanted.
    pub(super) fn push(&mut self, attempt: &mut Attempt<'_>, data: &Bytes) -> bool {
        let room = BODY_BYTES_MAX - self.received;
        self.truncated = data.len() > room;
        let taken = &data[..data.len().min(room)];
        self.received += taken.len();
        if self.keep {
            extend(&mut self.bytes, taken);
        }
        if self.coding.is_none() {
            // Early: a deadline that strikes in the middle leaves what came.
            attempt.facts.body_bytes = Some(self.received as u64);
        }
        !self.truncated
    }

    /// The answer, decoded.
    pub(super) async fn finish(
        self,
        attempt: &mut Attempt<'_>,
        host: &str,
        headers: HeaderMap,
    ) -> Result<Answer, Failure> {
        let (mut body, mut body_bytes, mut truncated) = (self.bytes, self.received as u64, self.truncated);
        if let Some(coding) = self.coding {
            attempt.begin(Phase::Transfer);
            let decoded = coding::decode(coding, body, truncated, attempt.wants_body).await;
            attempt.end();
            let decoded = decoded.map_err(|reason| {
                let text = format!("{}: the {} body of {host} is broken ({reason})", Phase::Transfer, coding.as_str());
                Failure::new(Cause::ProtocolError, Phase::Transfer, text)
            })?;
            (body, body_bytes, truncated) = (decoded.body, decoded.bytes, decoded.truncated);
            attempt.facts.body_bytes = Some(body_bytes);
        }
        Ok(Answer { body, body_bytes, truncated, headers })
    }
}

/// Appends and never reserves beyond [`BODY_BYTES_MAX`]: doubling would take twice that.
pub(super) fn extend(bytes: &mut Vec<u8>, more: &[u8]) {
    let needed = bytes.len() + more.len();
    if needed > bytes.capacity() {
        let capacity = needed.max((2 * bytes.capacity()).min(BODY_BYTES_MAX));
        bytes.reserve_exact(capacity - bytes.len());
    }
    bytes.extend_from_slice(more);
}

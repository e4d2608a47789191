//! The body as it comes in: counted, bounded, kept where somebody looks into it, or may want to know later what it was.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::http::response::Parts;
use sitepulse_model::record::{Cause, FactKey, Phase};

use super::coding::{self, Coding};
use crate::BODY_BYTES_MAX;
use crate::attempt::{Answer, Attempt, Failure};
use crate::evidence::{KEPT_UNASKED_MAX, extend};

/// A body under way. A coded one is kept as it comes and decoded once it is all there: no decoder waits for a slow target.
pub(super) struct Intake {
    coding: Option<Coding>,
    /// Longest body that is kept, decoded, in bytes.
    keep: usize,
    coded: Vec<u8>,
    received: usize,
    truncated: bool,
}

impl Intake {
    pub(super) fn new(attempt: &mut Attempt<'_>, parts: &Parts) -> Self {
        let coding = Coding::of(&parts.headers);
        if let Some(coding) = coding {
            attempt.facts.text(FactKey::ContentEncoding, coding.as_str());
        } else {
            attempt.facts.body_bytes = Some(0);
        }
        let is_asked_for = attempt.wants_body || attempt.note_all || !parts.status.is_success();
        let keep = if is_asked_for { BODY_BYTES_MAX } else { KEPT_UNASKED_MAX };
        Self { coding, keep, coded: Vec::new(), received: 0, truncated: false }
    }

    /// Takes a piece; whether more is wanted.
    pub(super) fn push(&mut self, attempt: &mut Attempt<'_>, data: &Bytes) -> bool {
        let room = BODY_BYTES_MAX - self.received;
        self.truncated = data.len() > room;
        let taken = &data[..data.len().min(room)];
        self.received += taken.len();
        if self.coding.is_some() {
            extend(&mut self.coded, taken);
        } else {
            // Early: a deadline that strikes in the middle leaves what came.
            attempt.facts.body_bytes = Some(self.received as u64);
            attempt.evidence.keep(taken, self.received, self.keep);
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
        let Some(coding) = self.coding else {
            let body = attempt.evidence.take_body();
            return Ok(Answer { body, body_bytes: self.received as u64, truncated: self.truncated, headers });
        };
        attempt.begin(Phase::Transfer);
        let decoded = coding::decode(coding, self.coded, self.truncated, self.keep).await;
        attempt.end();
        let decoded = decoded.map_err(|reason| {
            let text = format!("{}: the {} body of {host} is broken ({reason})", Phase::Transfer, coding.as_str());
            Failure::new(Cause::ProtocolError, Phase::Transfer, text)
        })?;
        attempt.facts.body_bytes = Some(decoded.bytes);
        Ok(Answer { body: decoded.body, body_bytes: decoded.bytes, truncated: decoded.truncated, headers })
    }
}

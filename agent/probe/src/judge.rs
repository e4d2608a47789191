//! Judgement of what targets send, where it cannot hold up the others.
//!
//! All runs of an agent share one thread. To judge an answer by its status takes microseconds; to look into a body takes as long as the body's
//! limits allow, and a body made for it takes all of that. So bodies of more than [`INLINE_BYTES_MAX`] that somebody looks into are judged
//! on threads beside, at most [`SEATS`] at once, and within a time of their own: see [`until`]. Smaller ones are judged where they are, at no
//! further cost.
//!
//! Kinds that read until it is enough (`tcp`, `udp`, `websocket`) look into what came so far as well: [`Bench::search`].
//!
//! What happens beyond that time: an answer that was being judged for most of it is too costly, which is its sender's doing, as a body
//! beyond a limit is: down. One that waited for a seat instead tells nothing of its sender: unknown. Either way a judgement that has begun
//! ends on its thread and keeps its seat until then, for it cannot be interrupted.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::expect::{self, Expectation, Observed, Outcome};
use sitepulse_model::record::{Cause, Facts, Phase, Phases};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::profile::Thresholds;
use tokio::sync::Semaphore;

use crate::attempt::{Answer, Failure};
use crate::human_us;
use crate::run::HeaderLines;

/// Largest body that is judged on the thread of all runs.
const INLINE_BYTES_MAX: usize = 32 << 10;
/// Judgements beside that thread at once: they share the machine with it.
const SEATS: usize = 2;
/// Least time that a judgement has, however late its answer came.
const LEAST_US: u64 = 2_000_000;

/// An answer, and all that it is judged with. It is its own: it may go to another thread.
pub(crate) struct Case {
    pub(crate) expect: Arc<[Expectation]>,
    /// Counted: who judges keeps them, whatever comes of it.
    pub(crate) facts: Arc<Facts>,
    pub(crate) answer: Answer,
    pub(crate) phases: Phases,
    pub(crate) now: UtcMicros,
    pub(crate) thresholds: Option<Thresholds>,
}

impl Case {
    /// Looks into it.
    pub(crate) fn observed<T>(&self, look: impl FnOnce(&Observed<'_>) -> T) -> T {
        let Self { facts, answer, phases, now, thresholds, .. } = self;
        look(&Observed {
            facts,
            body: &answer.body,
            body_bytes: answer.body_bytes,
            body_truncated: answer.truncated,
            headers: &HeaderLines(&answer.headers),
            phases: *phases,
            now: *now,
            thresholds: thresholds.as_ref(),
        })
    }

    /// What its assertions say.
    pub(crate) fn evaluate(&self) -> Outcome {
        self.observed(|observed| expect::evaluate(&self.expect, observed))
    }
}

/// Why there is no judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unjudged {
    /// What looks into the answer panicked.
    Panicked,
    /// It takes longer than this, in microseconds.
    TooLong(u64),
    /// Others were being judged all this time, in microseconds.
    NoSeat(u64),
}

impl Unjudged {
    /// What the run is then; `panicked` makes the failure of a panic.
    pub(crate) fn failure(self, panicked: impl FnOnce() -> Failure) -> Failure {
        match self {
            Self::Panicked => panicked(),
            Self::TooLong(us) => Failure::new(
                Cause::ProtocolError,
                Phase::Transfer,
                format!("body: takes longer than {} to judge", human_us(us)),
            ),
            Self::NoSeat(us) => Failure::new(
                Cause::AgentFault,
                Phase::Total,
                format!("agent: busy with other bodies, this one was not judged within {}", human_us(us)),
            ),
        }
    }
}

/// Until when an answer is judged whose run has this deadline.
pub(crate) fn until(deadline: Monotonic) -> Monotonic {
    deadline.max(clock::monotonic().plus_us(LEAST_US))
}

/// The seats of judgements beside the thread of all runs.
#[derive(Debug, Clone)]
pub(crate) struct Bench(Arc<Semaphore>);

impl Default for Bench {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SEATS)))
    }
}

impl Bench {
    /// Has `look` judge a case, and gives both back. `reads_body`: it may look into the body.
    pub(crate) async fn judge<T: Send + 'static>(
        &self,
        case: Case,
        until: Monotonic,
        reads_body: bool,
        look: impl FnOnce(&Case) -> T + Send + 'static,
    ) -> Result<(T, Case), Unjudged> {
        if !reads_body || case.answer.body.len() <= INLINE_BYTES_MAX {
            let judged = catch_unwind(AssertUnwindSafe(|| look(&case)));
            return judged.map(|judged| (judged, case)).map_err(|_| Unjudged::Panicked);
        }
        let asked = clock::monotonic();
        let bound = until.since(asked);
        let Ok(Ok(seat)) = tokio::time::timeout(bound, self.0.clone().acquire_owned()).await else {
            return Err(Unjudged::NoSeat(us(bound)));
        };
        let seated = clock::monotonic();
        let left = until.since(seated);
        let work = tokio::task::spawn_blocking(move || {
            let judged = look(&case);
            drop(seat);
            (judged, case)
        });
        match tokio::time::timeout(left, work).await {
            Ok(Ok(judged)) => Ok(judged),
            Ok(Err(_)) => Err(Unjudged::Panicked),
            Err(_) if left >= bound / 2 => Err(Unjudged::TooLong(us(left))),
            Err(_) => Err(Unjudged::NoSeat(us(bound))),
        }
    }

    /// Searches a body that may still grow: which assertion lacks something. Beside: where [`is_costly`] says so. `Err`: nobody looked, or not until
    /// `until`. No harm: then it is read on, and judged as a whole in the end. So nobody waits for a seat here.
    ///
    /// # Panics
    /// What looks into it panicked.
    pub(crate) async fn search(
        &self,
        expect: &[Expectation],
        body: &mut Vec<u8>,
        beside: bool,
        until: Monotonic,
    ) -> Result<Option<usize>, NotSearched> {
        if !beside {
            return Ok(expect::body_lacks(expect, body));
        }
        let seat = self.0.clone().try_acquire_owned().map_err(|_| NotSearched)?;
        let (expect, whole) = (expect.to_vec(), Arc::new(std::mem::take(body)));
        let searched = whole.clone();
        let work = tokio::task::spawn_blocking(move || {
            let lacks = expect::body_lacks(&expect, &searched);
            // Before the other side hears of it: it takes the body back.
            drop(searched);
            drop(seat);
            lacks
        });
        let found = tokio::time::timeout(until.since(clock::monotonic()), work).await;
        *body = Arc::try_unwrap(whole).unwrap_or_else(|kept| kept.to_vec());
        match found {
            Ok(Ok(lacks)) => Ok(lacks),
            Ok(Err(error)) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_stopped) => Err(NotSearched),
            },
            Err(_) => Err(NotSearched),
        }
    }
}

/// A search did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotSearched;

/// Whether it would take too long to look into so many bytes on the thread of all runs.
pub(crate) fn is_costly(expect: &[Expectation], bytes: usize) -> bool {
    bytes > INLINE_BYTES_MAX && expect::needs_body(expect)
}

fn us(time: Duration) -> u64 {
    // Rounded: explanations of one cause are to read alike.
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).next_multiple_of(100_000)
}

#[cfg(test)]
mod tests;

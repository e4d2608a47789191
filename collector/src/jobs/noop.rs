//! Jobs that do nothing, for as long as they are told: to try the queue out on the machine it runs on, and to prove what it promises.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Said;
use super::handlers::{Finished, Outcome, Unfinished, Work};

/// Longest that one waits, in milliseconds.
pub const WAIT_MS_MAX: u64 = 30_000;
/// How often it tells how far it is.
const STEP: Duration = Duration::from_millis(100);

/// What one is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// For how long it does nothing, in milliseconds.
    #[serde(default)]
    pub wait_ms: u64,
    /// Attempts that fail before one goes well.
    #[serde(default)]
    pub fail: u32,
}

pub(super) async fn run(work: Work) -> Outcome {
    let args: Args = work.args()?;
    let whole = Duration::from_millis(args.wait_ms.min(WAIT_MS_MAX));
    let mut waited = Duration::ZERO;
    while waited < whole {
        let ms = |of: Duration| u64::try_from(of.as_millis()).unwrap_or(u64::MAX);
        work.progress(waited.as_secs_f64() / whole.as_secs_f64(), Said::Idle { ms: ms(waited), of: ms(whole) });
        let step = STEP.min(whole - waited);
        tokio::select! {
            () = tokio::time::sleep(step) => waited += step,
            () = work.stopping() => return Err(Unfinished::Stopped),
        }
    }
    if work.job.standing.tries < args.fail {
        return Err(Unfinished::Failed(Said::ToldToFail { attempt: work.job.standing.tries + 1 }.into()));
    }
    Ok(Finished::default())
}

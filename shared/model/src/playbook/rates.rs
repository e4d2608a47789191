//! What many runs come to: how many were carried through, and how long they took against what was thought.
//!
//! - *Completion* = finished / (finished + abandoned). A run that is under way counts neither way; without a run that ended there is no rate (never 0).
//! - *Steps done* = done / (done + skipped), over the runs that were finished.
//! - *Duration*: from the start to the last mark ([`super::run::Run::took_us`]); the median of the finished runs. Of an even number it is the mean of the two in the middle.
//! - *Against the estimate*: the median of each finished run's duration / the minutes of its steps that were not skipped. 1 is as thought, 2 twice as long.
//!
//! A run belongs to the period that it was started in, and to who started it.

use alloc::vec::Vec;

use super::run::{Run, State};
use crate::time::{Span, UtcMicros};

/// What counts of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// When it was started.
    pub started_at: UtcMicros,
    /// How it stands.
    pub state: State,
    /// Steps that are done.
    pub done: usize,
    /// Of these, ticked by a fact.
    pub by_itself: usize,
    /// Steps that are skipped.
    pub skipped: usize,
    /// How long it took, in microseconds.
    pub took_us: i64,
    /// How long it should have taken, in minutes.
    pub estimate_minutes: u32,
}

impl Outcome {
    /// Of a run, as it stands at an instant.
    pub fn of(run: &Run, now: UtcMicros) -> Self {
        let counts = run.counts();
        Self {
            started_at: UtcMicros(run.head.started_at),
            state: run.state,
            done: counts.done,
            by_itself: counts.by_itself,
            skipped: counts.skipped,
            took_us: run.took_us(now),
            estimate_minutes: run.estimate_minutes(),
        }
    }
}

/// What runs come to. Ratios are `None` where nothing was there to divide by.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Runs that were started.
    pub runs: usize,
    /// Under way.
    pub running: usize,
    /// Finished.
    pub finished: usize,
    /// Abandoned.
    pub abandoned: usize,
    /// Finished, of those that ended: 0 to 1.
    pub completion: Option<f64>,
    /// Steps done, of those done or skipped in finished runs: 0 to 1.
    pub steps_done: Option<f64>,
    /// Steps that ticked themselves, of those done in finished runs: 0 to 1.
    pub by_itself: Option<f64>,
    /// The median duration of finished runs, in microseconds.
    pub median_us: Option<f64>,
    /// The median of duration / estimate of finished runs.
    pub against_estimate: Option<f64>,
}

fn share(part: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle)?;
    if values.len() % 2 == 1 { Some(*upper) } else { Some(f64::midpoint(*values.get(middle.checked_sub(1)?)?, *upper)) }
}

/// Counts the runs that were started within a period.
pub fn rates(outcomes: impl IntoIterator<Item = Outcome>, period: Span) -> Rates {
    let mut rates = Rates::default();
    let (mut done, mut by_itself, mut skipped) = (0, 0, 0);
    let (mut took, mut against) = (Vec::new(), Vec::new());
    for one in outcomes.into_iter().filter(|one| period.contains(one.started_at)) {
        rates.runs += 1;
        match one.state {
            State::Running => rates.running += 1,
            State::Abandoned => rates.abandoned += 1,
            State::Finished => {
                rates.finished += 1;
                done += one.done;
                by_itself += one.by_itself;
                skipped += one.skipped;
                let us = one.took_us as f64;
                took.push(us);
                // Where all was skipped nothing was thought to take any time.
                if one.estimate_minutes > 0 {
                    against.push(us / (f64::from(one.estimate_minutes) * 60e6));
                }
            }
        }
    }
    rates.completion = share(rates.finished, rates.finished + rates.abandoned);
    rates.steps_done = share(done, done + skipped);
    rates.by_itself = share(by_itself, done);
    rates.median_us = median(took);
    rates.against_estimate = median(against);
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(state: State, minutes: i64) -> Outcome {
        Outcome {
            started_at: UtcMicros(5),
            state,
            done: 3,
            by_itself: 1,
            skipped: 1,
            took_us: minutes * 60_000_000,
            estimate_minutes: 10,
        }
    }

    #[test]
    fn runs_under_way_count_neither_way_and_nothing_is_not_zero() {
        let period = Span::new(UtcMicros(0), UtcMicros(10));
        assert_eq!(rates([], period), Rates::default());
        let running = rates([one(State::Running, 5)], period);
        assert_eq!((running.runs, running.running, running.completion, running.median_us), (1, 1, None, None));
        let all =
            [one(State::Finished, 5), one(State::Finished, 20), one(State::Abandoned, 900), one(State::Running, 1)];
        let found = rates(all, period);
        assert_eq!((found.finished, found.abandoned, found.running), (2, 1, 1));
        assert_eq!(found.completion, Some(2.0 / 3.0));
        assert_eq!((found.steps_done, found.by_itself), (Some(0.75), Some(1.0 / 3.0)));
        assert_eq!((found.median_us, found.against_estimate), (Some(750e6), Some(1.25)));
        assert_eq!(rates(all, Span::new(UtcMicros(6), UtcMicros(10))).runs, 0);
        // One whose every step was skipped was thought to take no time.
        let skipped = Outcome { estimate_minutes: 0, done: 0, by_itself: 0, ..one(State::Finished, 3) };
        let found = rates([skipped], period);
        assert_eq!((found.against_estimate, found.steps_done, found.by_itself), (None, Some(0.0), None));
    }
}

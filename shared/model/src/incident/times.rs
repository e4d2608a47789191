//! How long incidents take: until somebody takes them (MTTA), until they are over (MTTR).
//!
//! - An incident counts once, whatever happens in between: one that flaps or opens again runs from its first opening to its last resolve, the quiet between included.
//! - Both times count from when it opened: before that nobody could know. What was held (maintenance, a silence, a parent) counts too.
//! - It counts in the period in which the instant lies that ends the time: MTTA where it was taken for the first time, MTTR where it was over. So a period that is
//!   past changes only where an incident of its last minutes opens again.
//! - One that was over before anybody took it has no time to acknowledge. How many those are is told beside the mean, and so is what is still open: a mean
//!   over what ended says nothing about what does not end.
//! - Suspicions are no incidents. A severity is the most it ever was.

use serde::Serialize;

use super::machine::Life;
use super::{IncidentState, Severity};
use crate::time::{Span, UtcMicros};

/// How long the incidents of a period took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Incidents that opened within the period.
    pub opened: u32,
    /// Incidents that were taken for the first time within it.
    pub acknowledged: u32,
    /// Incidents that are over since an instant within it.
    pub resolved: u32,
    /// Of these the ones that nobody ever took.
    pub resolved_untaken: u32,
    /// Incidents that opened before the period's end and are not over by then, as far as is known.
    pub open: u32,
    /// The mean from opening to the first acknowledgement, in microseconds; `None` where none was taken.
    pub mtta_us: Option<i64>,
    /// The mean from opening to the end, in microseconds; `None` where none ended.
    pub mttr_us: Option<i64>,
}

#[derive(Default)]
struct Mean {
    sum: i128,
    count: u32,
}

impl Mean {
    /// A clock that was set back between the two makes no time negative.
    fn add(&mut self, from: UtcMicros, to: UtcMicros) {
        self.sum += i128::from(to.us_since(from).max(0));
        self.count += 1;
    }

    fn value(&self) -> Option<i64> {
        let count = i128::from(self.count);
        // Half a microsecond counts as one.
        let mean = (self.sum + count / 2).checked_div(count)?;
        i64::try_from(mean).ok()
    }
}

/// How long incidents of a severity and above took, as seen from the end of a period.
pub fn times<'a>(lives: impl IntoIterator<Item = &'a Life>, at_least: Severity, period: Span) -> Times {
    let (mut times, mut acknowledge, mut resolve) = (Times::default(), Mean::default(), Mean::default());
    for life in lives {
        let Some(opened_at) = life.opened_at.filter(|_| life.severity >= at_least) else { continue };
        times.opened += u32::from(period.contains(opened_at));
        if let Some(at) = life.first_acknowledged_at.filter(|at| period.contains(*at)) {
            acknowledge.add(opened_at, at);
        }
        let resolved_at = match life.state {
            IncidentState::Resolved => life.resolved_at,
            IncidentState::Suspected | IncidentState::Open | IncidentState::Acknowledged => None,
        };
        match resolved_at {
            Some(at) if at < period.to => {
                if period.contains(at) {
                    resolve.add(opened_at, at);
                    times.resolved_untaken += u32::from(life.first_acknowledged_at.is_none());
                }
            }
            Some(_) | None => times.open += u32::from(opened_at < period.to),
        }
    }
    (times.acknowledged, times.mtta_us) = (acknowledge.count, acknowledge.value());
    (times.resolved, times.mttr_us) = (resolve.count, resolve.value());
    times
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::id::CheckNo;
    use crate::incident::machine::{Incident, Input, Rules};
    use crate::incident::{Condition, IncidentId, IncidentKind, Subject};
    use crate::time::SECOND_US;

    const PERIOD: Span = Span::new(UtcMicros(0), UtcMicros(1_000 * SECOND_US));

    fn at(seconds: i64) -> UtcMicros {
        UtcMicros(seconds * SECOND_US)
    }

    fn bad(severity: Severity) -> Input<'static> {
        Input::Condition(Condition::Bad { since: at(0), severity })
    }

    const GOOD: Input<'_> = Input::Condition(Condition::Good);
    const TAKEN: Input<'_> = Input::Acknowledge { by: "ana" };

    /// What an incident comes to by what happened, in seconds.
    fn life(inputs: &[(i64, Input<'_>)]) -> Life {
        let (id, subject) = (IncidentId("i".into()), Subject::Check(CheckNo(1)));
        let mut incident =
            Incident::suspected(id, subject, IncidentKind::Down, Severity::Critical, at(0), Vec::new(), at(0));
        for (seconds, input) in inputs {
            incident.handle(*input, &Rules { reopen_window_us: 300 * SECOND_US, policy: None }, at(*seconds)).unwrap();
        }
        incident.life
    }

    fn of(lives: &[Life]) -> Times {
        times(lives, Severity::Critical, PERIOD)
    }

    const CRITICAL: Severity = Severity::Critical;

    #[test]
    fn the_means_are_of_what_was_taken_and_of_what_ended() {
        let lives = [
            life(&[(100, bad(CRITICAL)), (130, TAKEN), (200, GOOD)]),
            life(&[(100, bad(CRITICAL)), (150, GOOD)]),
            life(&[(900, bad(CRITICAL)), (910, TAKEN)]),
            life(&[(100, bad(Severity::Major)), (101, TAKEN), (102, GOOD)]),
            life(&[]),
        ];
        let want = Times {
            opened: 3,
            acknowledged: 2,
            resolved: 2,
            resolved_untaken: 1,
            open: 1,
            mtta_us: Some(20 * SECOND_US),
            mttr_us: Some(75 * SECOND_US),
        };
        assert_eq!(of(&lives), want);
    }

    #[test]
    fn nothing_is_no_mean() {
        assert_eq!(of(&[]), Times::default());
    }

    #[test]
    fn one_that_opens_again_counts_once_from_its_first_opening_to_its_last_end() {
        let lives =
            [life(&[(100, bad(CRITICAL)), (110, TAKEN), (200, GOOD), (300, bad(CRITICAL)), (350, TAKEN), (400, GOOD)])];
        let times = of(&lives);
        assert_eq!((times.opened, times.acknowledged, times.resolved), (1, 1, 1));
        assert_eq!((times.mtta_us, times.mttr_us), (Some(10 * SECOND_US), Some(300 * SECOND_US)));
    }

    #[test]
    fn one_that_flaps_counts_once_and_is_open_until_it_settles() {
        let mut inputs = Vec::new();
        for edge in 0..5 {
            inputs.push((100 + 20 * edge, bad(CRITICAL)));
            inputs.push((110 + 20 * edge, GOOD));
        }
        let flapping = life(&inputs);
        assert!(flapping.flapping);
        let times = of(&[flapping]);
        assert_eq!((times.opened, times.open, times.resolved, times.mttr_us), (1, 1, 0, None));
        inputs.push((110 + 20 * 4 + 1800, Input::Time));
        let settled = life(&inputs);
        assert_eq!(settled.state, IncidentState::Resolved);
        let later = Span::new(PERIOD.to, at(3_000));
        assert_eq!(super::times([&settled], CRITICAL, later).mttr_us, Some(1_890 * SECOND_US));
        // Seen from the end of the period before it was open.
        assert_eq!(of(&[settled]).open, 1);
    }

    #[test]
    fn each_time_belongs_to_the_period_that_ends_it() {
        let lives = [life(&[(990, bad(CRITICAL)), (1_010, TAKEN), (1_030, GOOD)])];
        let before = of(&lives);
        assert_eq!((before.opened, before.acknowledged, before.resolved, before.open), (1, 0, 0, 1));
        let after = times(&lives, CRITICAL, Span::new(at(1_000), at(2_000)));
        assert_eq!((after.opened, after.acknowledged, after.resolved, after.open), (0, 1, 1, 0));
        assert_eq!((after.mtta_us, after.mttr_us), (Some(20 * SECOND_US), Some(40 * SECOND_US)));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_time_negative() {
        let lives = [life(&[(500, bad(CRITICAL)), (400, TAKEN), (300, GOOD)])];
        assert_eq!((of(&lives).mtta_us, of(&lives).mttr_us), (Some(0), Some(0)));
    }
}

//! When a message that could not be delivered is tried again, and when it is given up. The collector's outbox asks; so may whoever else sends.
//!
//! - What may work later is tried again: first after about [`FIRST_US`], each time after about twice as long, after [`LONGEST_US`] at most. Messages spread by
//!   their keys, so that a provider that comes back is not met by all of them at once. A provider that says when (`Retry-After`) is left alone for as long,
//!   for [`RETRY_AFTER_US_MAX`] at most: a page must not wait for a day because somebody says so.
//! - It is given up when it has been tried for [`PATIENCE_US`]: counted from the first attempt, not from the incident, so that a collector that was away
//!   for longer gives the provider its time still; whoever sends takes away by how much the clock jumped ahead meanwhile.
//! - Where the provider turns the sender or the address away, nobody can tell a channel that is written wrongly from a provider that is being deployed for a minute, a
//!   name that leads elsewhere for as long, or a mail server whose directory is away: every 3xx and 4xx but those below, a name that leads to a refused address, a mail
//!   server that offers no STARTTLS, or says no before it has the mail. A lost page is worse than a page that waits, so it is tried again as long as anything else; it is
//!   told at once (`Denied` in the log, in `deliveries` and `/metrics`), and what mends it (a change of the channel or its secrets, or a person) has it tried at once.
//! - What the provider refuses as it stands (400, 413, 422, or a 5xx once a mail server has the mail) is given up at once. The same bytes are refused again, and what
//!   waits behind it (a resolve, a later page) may be fine. An engineer wants to see that at once and to mend it: the outbox tries again when the channel or its secrets change, or by hand.

use crate::id::fnv1a_of;
use crate::time::UtcMicros;

/// About how long after the first attempt the second one is, in microseconds: 2 s.
pub const FIRST_US: u64 = 2_000_000;
/// About how long at most lies between two attempts, in microseconds: 5 min.
pub const LONGEST_US: u64 = 300_000_000;
/// For how long at most a provider that asks for it is left alone, in microseconds: 1 h.
pub const RETRY_AFTER_US_MAX: u64 = 3_600_000_000;
/// For how long a message is tried, in microseconds: 24 h.
pub const PATIENCE_US: u64 = 24 * 3_600_000_000;

/// What the provider made of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It has the message.
    Taken,
    /// It may work later.
    Later {
        /// For how long the provider wants to be left alone, in microseconds.
        after_us: Option<u64>,
    },
    /// The sender or the address is turned away: for now, or until somebody mends the channel.
    Denied,
    /// It will not work as it is.
    Refused,
}

/// What becomes of a message after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The provider has it.
    Delivered,
    /// It is tried again.
    Again {
        /// When.
        at: UtcMicros,
    },
    /// It is not tried again by itself.
    GivenUp,
}

/// How a message has fared so far, since it was new or was taken up again by hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tries {
    /// How often it was tried before this attempt.
    pub count: u32,
    /// When it was tried first; `None`: this is the first time.
    pub since: Option<UtcMicros>,
}

/// What becomes of the message `key` after an attempt that ended at `now`.
pub fn decide(key: &str, tries: Tries, answer: Answer, now: UtcMicros) -> Decision {
    let after_us = match answer {
        Answer::Taken => return Decision::Delivered,
        Answer::Refused => return Decision::GivenUp,
        Answer::Denied => 0,
        Answer::Later { after_us } => after_us.unwrap_or(0).min(RETRY_AFTER_US_MAX),
    };
    // A clock that was set back makes a message younger, never older.
    let tried_us = tries.since.map_or(0, |since| now.us_since(since).max(0).unsigned_abs());
    if tried_us >= PATIENCE_US {
        return Decision::GivenUp;
    }
    let delay_us = delay_us(key, tries.count).max(after_us);
    Decision::Again { at: now.plus_us(delay_us.cast_signed()) }
}

/// How long after the attempt that follows `count` others the next one is, in microseconds: three quarters to five quarters of what doubles.
pub(crate) fn delay_us(key: &str, count: u32) -> u64 {
    let mut spread = fnv1a_of(&[key.as_bytes(), &count.to_le_bytes()]);
    // The low bits of FNV-1a alone are weak.
    spread ^= spread >> 32;
    let base = (FIRST_US << count.min(20)).min(LONGEST_US);
    base - base / 4 + spread % (base / 2 + 1)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;

    const LATER: Answer = Answer::Later { after_us: None };
    const T0: UtcMicros = UtcMicros(1_790_000_000_000_000);

    fn tried(count: u32, since: UtcMicros) -> Tries {
        Tries { count, since: Some(since) }
    }

    fn again(decision: Decision) -> UtcMicros {
        match decision {
            Decision::Again { at } => at,
            Decision::Delivered | Decision::GivenUp => panic!("{decision:?}"),
        }
    }

    #[test]
    fn an_answer_that_is_final_ends_it() {
        assert_eq!(decide("a", Tries::default(), Answer::Taken, T0), Decision::Delivered);
        assert_eq!(decide("a", Tries::default(), Answer::Refused, T0), Decision::GivenUp);
    }

    /// A provider that answers 404 for a quarter of an hour at its deploy, even after an hour of 503, loses nothing.
    #[test]
    fn who_is_turned_away_is_tried_again_for_as_long_as_anything_else() {
        let (mut now, mut tries) = (T0, Tries::default());
        for answer in core::iter::repeat_n(LATER, 20).chain(core::iter::repeat_n(Answer::Denied, 12)) {
            now = again(decide("a", tries, answer, now));
            tries = tried(tries.count + 1, T0);
        }
        assert!(now.us_since(T0) > 75 * 60 * 1_000_000, "{now:?}");
        let day = PATIENCE_US.cast_signed();
        assert_eq!(decide("a", tried(300, T0), Answer::Denied, T0.plus_us(day)), Decision::GivenUp);
    }

    #[test]
    fn it_is_tried_after_two_seconds_then_less_and_less_often() {
        for key in (0..200).map(|n| format!("20261122-4f7k2/{n}/ops")) {
            let first = again(decide(&key, Tries::default(), LATER, T0)).us_since(T0);
            assert!((1_500_000..=2_500_000).contains(&first), "{first}");
            let mut before = 0;
            for count in 0..40 {
                let delay = again(decide(&key, tried(count, T0), LATER, T0)).us_since(T0);
                let base = (2_000_000_i64 << count.min(20)).min(300_000_000);
                assert!((base * 3 / 4..=base * 5 / 4).contains(&delay), "{count}: {delay}");
                // Twice as much less a quarter is more than a quarter more.
                assert!(delay > before || base == 300_000_000, "{count}: {before} then {delay}");
                before = delay;
            }
        }
    }

    #[test]
    fn a_provider_that_comes_back_is_not_met_by_all_at_once() {
        let mut seconds: Vec<i64> = (0..500)
            .map(|n| again(decide(&format!("20261122-{n:05}/1/ops"), tried(9, T0), LATER, T0)).us_since(T0) / 1_000_000)
            .collect();
        seconds.sort_unstable();
        seconds.dedup();
        assert!(seconds.len() > 100, "{} different seconds of 150", seconds.len());
    }

    #[test]
    fn a_provider_that_says_when_is_left_alone_for_an_hour_at_most() {
        let after = |us| again(decide("a", Tries::default(), Answer::Later { after_us: Some(us) }, T0)).us_since(T0);
        assert_eq!(after(60_000_000), 60_000_000);
        assert_eq!(after(u64::MAX), 3_600_000_000);
        // Sooner than is usual is not needed.
        assert!(after(1) >= 1_500_000);
    }

    #[test]
    fn it_is_given_up_a_day_after_the_first_attempt_whatever_the_clock_does() {
        let day = PATIENCE_US.cast_signed();
        assert!(matches!(decide("a", tried(300, T0), LATER, T0.plus_us(day - 1)), Decision::Again { .. }));
        assert_eq!(decide("a", tried(300, T0), LATER, T0.plus_us(day)), Decision::GivenUp);
        // Old, but never tried: the collector was away.
        assert!(matches!(decide("a", Tries::default(), LATER, T0.plus_us(9 * day)), Decision::Again { .. }));
        // Set back.
        assert!(matches!(decide("a", tried(1, T0), LATER, T0.plus_us(-9 * day)), Decision::Again { .. }));
    }

    #[test]
    fn a_whole_life_has_a_few_hundred_attempts() {
        let (mut now, mut count) = (T0, 0);
        loop {
            match decide("20261122-4f7k2/1/ops", tried(count, T0), LATER, now) {
                Decision::Again { at } => now = at,
                Decision::Delivered => unreachable!(),
                Decision::GivenUp => break,
            }
            count += 1;
        }
        assert!((250..400).contains(&count), "{count}");
        assert!(now.us_since(T0) < (PATIENCE_US + 2 * LONGEST_US).cast_signed());
    }
}

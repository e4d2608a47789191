//! When a browser is started and when it has had its day. Decides, does nothing: handed the time and what happened.

use sitepulse_daemon::clock::Monotonic;

use crate::options::Options;

/// A browser is replaced after this: `RuntimeMaxSec=` of its unit is twice that.
const AGE_MAX_US: u64 = 3_600_000_000;
/// The first wait after a start that failed; each further one is twice as long.
const WAIT_FIRST_US: u64 = 1_000_000;
/// The longest.
const WAIT_MAX_US: u64 = 60_000_000;

/// The browsers of an agent, one after the other.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// Starts that failed and browsers that died since one was of use.
    failures: u32,
    /// No start before.
    not_before: Monotonic,
    why: String,
}

/// What is known of a browser that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    /// When it was up.
    pub(super) started: Monotonic,
    /// Loads begun.
    pub(super) loads: u32,
    /// Resident memory, in bytes; 0 where unknown.
    pub(super) memory: u64,
    /// Loads on it when that was seen.
    pub(super) crowd: u32,
}

/// Why a browser is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worn {
    Loads,
    Memory,
    Age,
}

impl Usage {
    /// Whether it has had its day.
    pub(super) fn worn(&self, options: &Options, now: Monotonic) -> Option<Worn> {
        if self.loads >= options.loads_max.max(1) {
            Some(Worn::Loads)
        } else if self.memory > options.memory_max_of(self.crowd) {
            Some(Worn::Memory)
        } else if now.us_since(self.started) > AGE_MAX_US {
            Some(Worn::Age)
        } else {
            None
        }
    }
}

impl Life {
    /// Whether one may be started.
    ///
    /// # Errors
    /// Not yet: why the last ones failed, and when it is tried again.
    pub(super) fn may_start(&self, now: Monotonic) -> Result<(), String> {
        match self.not_before.us_since(now) {
            0 => Ok(()),
            wait_us => Err(format!("{}; it is started again in {} s", self.why, wait_us.div_ceil(1_000_000))),
        }
    }

    /// A start failed.
    pub(super) fn start_failed(&mut self, now: Monotonic, why: &str) {
        self.failures = self.failures.saturating_add(1);
        self.wait(now, self.failures, why);
    }

    /// A browser ended by itself, or did not answer and was ended. Once, that is replaced at once.
    pub(super) fn died(&mut self, now: Monotonic) {
        self.failures = self.failures.saturating_add(1);
        if self.failures > 1 {
            let why = format!("it ended by itself {} times in a row before it was of use", self.failures);
            self.wait(now, self.failures - 1, &why);
        }
    }

    /// A browser did a load and went on.
    pub(super) fn served(&mut self) {
        *self = Self::default();
    }

    fn wait(&mut self, now: Monotonic, failures: u32, why: &str) {
        let doubled = WAIT_FIRST_US.saturating_mul(1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX));
        self.not_before = now.plus_us(doubled.min(WAIT_MAX_US));
        why.clone_into(&mut self.why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Monotonic = Monotonic(1_000);

    #[test]
    fn a_browser_that_keeps_dying_is_started_ever_more_slowly_and_at_least_once_a_minute() {
        let mut life = Life::default();
        let mut now = START;
        let mut waits = Vec::new();
        for _ in 0..80 {
            assert_eq!(life.may_start(now), Ok(()));
            life.died(now);
            let mut waited = 0;
            while life.may_start(now).is_err() {
                waited += 1;
                now = now.plus_us(1_000_000);
            }
            waits.push(waited);
        }
        assert_eq!(&waits[..9], [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(waits.iter().max(), Some(&60));
        life.died(now);
        let told = life.may_start(now).expect_err("not yet");
        assert_eq!(told, "it ended by itself 81 times in a row before it was of use; it is started again in 60 s");
        life.served();
        life.died(now);
        assert_eq!(life.may_start(now), Ok(()));
    }

    #[test]
    fn a_start_that_fails_waits_and_tells_why() {
        let mut life = Life::default();
        life.start_failed(START, "/x: cannot be started");
        assert_eq!(life.may_start(START), Err("/x: cannot be started; it is started again in 1 s".to_owned()));
        assert_eq!(life.may_start(START.plus_us(WAIT_FIRST_US)), Ok(()));
    }

    #[test]
    fn a_browser_wears_with_loads_memory_and_age() {
        let options = Options { loads_max: 3, memory_max: 100, ..Options::default() };
        let fresh = Usage { started: START, loads: 2, memory: 100, crowd: 1 };
        let hour = START.plus_us(AGE_MAX_US);
        assert_eq!(fresh.worn(&options, hour), None);
        assert_eq!(fresh.worn(&options, hour.plus_us(1)), Some(Worn::Age));
        assert_eq!(Usage { loads: 3, ..fresh }.worn(&options, START), Some(Worn::Loads));
        assert_eq!(Usage { memory: 101, ..fresh }.worn(&options, START), Some(Worn::Memory));
        let crowded = Usage { memory: 101, crowd: 2, ..fresh };
        assert_eq!(crowded.worn(&options, START), None, "two pages take more than one");
        let limit = options.memory_max_of(2);
        assert_eq!(Usage { memory: limit + 1, ..crowded }.worn(&options, START), Some(Worn::Memory));
        assert_eq!((options.memory_max_of(0), options.memory_max_of(1)), (100, 100));
        // A limit of no loads at all would never load.
        let none = Options { loads_max: 0, ..options };
        assert_eq!(Usage { loads: 0, ..fresh }.worn(&none, START), None);
    }
}

//! Which loads of a run count, when there are enough, and what the run comes to. Decided from what the loads bring, without a browser.
//!
//! - A run loads the page `runs` times; the median of each vital over the loads that count is its value.
//! - A load that the host had no time for ([`Load::low_confidence`]) does not count, whatever it found, and is repeated: at most `runs` loads more than asked for,
//!   and none that could end after the run's whole time. Where fewer than half of the loads that were asked for count in the end, the run is
//!   `unknown`, cause `host_pressure`. So is a page that was too slow on such a host: the host may be why. A page that answered an error
//!   did so for no want of time: that stands.
//! - A load that was ended because many pages at once took too much memory says nothing of the page either, and is treated alike.
//! - A load in which the browser ended says nothing of the page and is repeated in the same bounds.
//! - Any other failure ends the run with its cause: one visit of so many failed, and visitors do not come in medians. It is not tried again behind anybody's
//!   back; `retries` says where that is wanted, and `confirmations` when it matters.

use sitepulse_browser::{Failed, Loaded};
use sitepulse_model::record::{Cause, Phase};
use sitepulse_model::vitals::report::{Load, Report};
use sitepulse_model::vitals::{Spread, Vital};

use crate::attempt::Failure;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Loads that are to count.
    pub(super) runs: usize,
    /// The deadline of each, in microseconds.
    pub(super) timeout_us: u64,
    /// No additional load may end later than this after the first began, in microseconds.
    pub(super) whole_us: u64,
    /// The processor was the load's alone: else its blocking time counts only where it happened to be.
    pub(super) alone: bool,
}

/// A run under way.
#[derive(Debug)]
pub(super) struct Course {
    plan: Plan,
    /// Every load.
    loads: Vec<Load>,
    /// Those that count, with their places in `loads`.
    counted: Vec<(usize, Loaded)>,
    /// The host had no time for one of them.
    pressed: bool,
    /// The last that failed: why the run does, where that was decisive.
    failed: Option<Box<Failed>>,
    decided: bool,
    browser: String,
}

/// What a run comes to.
#[derive(Debug)]
pub(super) enum Ending {
    /// Enough loads count. The one shown has the median LCP.
    Measured {
        /// Each vital that was measured.
        spreads: Vec<(Vital, Spread)>,
        /// Loads that count.
        counted: usize,
        /// The one to show.
        shown: Box<Loaded>,
        /// Its place among all loads.
        place: usize,
    },
    /// The run failed.
    Failed {
        /// Why.
        failure: Failure,
        /// The load that says most about it.
        failed: Option<Box<Failed>>,
    },
}

impl Course {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            loads: Vec::new(),
            counted: Vec::new(),
            pressed: false,
            failed: None,
            decided: false,
            browser: String::new(),
        }
    }

    /// Which load is next, from 1; `None` when the run is over. `elapsed_us` microseconds have passed since the first began.
    pub(super) fn next(&self, elapsed_us: u64) -> Option<usize> {
        let Plan { runs, timeout_us, whole_us, .. } = self.plan;
        let begun = self.loads.len();
        let additional = begun >= runs;
        let over = self.decided || self.counted.len() >= runs || begun >= 2 * runs;
        let late = additional && elapsed_us.saturating_add(timeout_us) > whole_us;
        (!over && !late).then_some(begun + 1)
    }

    /// A load ended.
    pub(super) fn take(&mut self, outcome: Result<Loaded, Box<Failed>>) {
        let place = self.loads.len();
        match outcome {
            Ok(mut loaded) => {
                if !self.plan.alone && loaded.load.host.parallel > 1 {
                    loaded.load.values.tbt = None;
                }
                self.browser.clone_from(&loaded.browser);
                self.loads.push(loaded.load.clone());
                if loaded.load.low_confidence {
                    self.pressed = true;
                } else {
                    self.counted.push((place, loaded));
                }
            }
            Err(failed) => {
                if !failed.browser.is_empty() {
                    self.browser.clone_from(&failed.browser);
                }
                let failure = if failed.load.failure.is_empty() { &failed.detail } else { &failed.load.failure };
                self.loads.push(Load { failure: failure.clone(), ..failed.load.clone() });
                let slow = failed.cause == Cause::HostPressure || failed.load.low_confidence && is_slowness(&failed);
                self.pressed |= slow;
                self.decided = !slow && failed.cause != Cause::BrowserGone;
                self.failed = Some(failed);
            }
        }
    }

    /// Whether the host had no time for one of them.
    pub(super) const fn is_pressed(&self) -> bool {
        self.pressed
    }

    /// Every load so far, in a report that shows none yet.
    pub(super) fn report(&self) -> Report {
        Report { browser: self.browser.clone(), loads: self.loads.clone(), ..Report::default() }
    }

    /// Loads that the host had no time for.
    pub(super) fn low_confidence(&self) -> usize {
        self.loads.iter().filter(|load| load.low_confidence).count()
    }

    /// What the run comes to.
    pub(super) fn end(mut self) -> Ending {
        let runs = self.plan.runs;
        if self.decided
            && let Some(failed) = self.failed.take()
        {
            let detail = match self.loads.len() {
                1 if runs == 1 => failed.detail.clone(),
                load => format!("{} (load {load} of {runs})", failed.detail),
            };
            return Ending::Failed { failure: Failure::new(failed.cause, failed.phase, detail), failed: Some(failed) };
        }
        if self.counted.len() < runs.div_ceil(2) {
            return self.too_few();
        }
        let spreads: Vec<(Vital, Spread)> = Vital::ALL
            .into_iter()
            .filter_map(|vital| {
                let mut values: Vec<u64> =
                    self.counted.iter().filter_map(|(_, loaded)| loaded.load.values.get(vital)).collect();
                Some((vital, Spread::of(&mut values)?))
            })
            .collect();
        let median = spreads.iter().find(|(vital, _)| *vital == Vital::Lcp).map(|(_, spread)| spread.median);
        let counted = self.counted.len();
        let at = self.counted.iter().position(|(_, loaded)| loaded.load.values.lcp == median).unwrap_or(0);
        let (place, shown) = self.counted.swap_remove(at);
        Ending::Measured { spreads, counted, shown: Box::new(shown), place }
    }

    /// Too few loads count for a median.
    fn too_few(self) -> Ending {
        let runs = self.plan.runs;
        let all = self.loads.len();
        match self.failed {
            Some(failed) if !self.pressed => {
                let failure = Failure::new(failed.cause, failed.phase, failed.detail.clone());
                Ending::Failed { failure, failed: Some(failed) }
            }
            Some(failed) if failed.cause == Cause::HostPressure => {
                let detail =
                    format!("{} ({} of {all} loads count, {runs} were asked for)", failed.detail, self.counted.len());
                let failure = Failure::new(failed.cause, failed.phase, detail);
                Ending::Failed { failure, failed: Some(failed) }
            }
            failed => {
                let pressed = self.loads.iter().filter(|load| load.low_confidence);
                let worst = pressed.filter_map(|load| load.host.pressure_judged()).max().unwrap_or(0);
                let detail = format!(
                    "browser: the agent's host was too busy, {} of {all} loads count and {runs} were asked for (others, or pages at the same time, kept the processor from the page for up to {} % of a load); give the host more processors, space the checks out, or raise [browser] pressure_max",
                    self.counted.len(),
                    worst / 10
                );
                Ending::Failed { failure: Failure::new(Cause::HostPressure, Phase::Total, detail), failed }
            }
        }
    }
}

/// Whether a host without time could be why.
fn is_slowness(failed: &Failed) -> bool {
    let blank = failed.cause == Cause::NotAPage && failed.phase == Phase::Total;
    blank || matches!(failed.cause, Cause::Timeout | Cause::Unresponsive | Cause::InteractionFailed)
}

#[cfg(test)]
mod tests {
    use sitepulse_model::record::Phases;
    use sitepulse_model::vitals::report::{Attribution, Host, Page, Values};

    use super::*;

    const PLAN: Plan = Plan { runs: 3, timeout_us: 10_000_000, whole_us: 60_000_000, alone: true };

    fn loaded(lcp: u64) -> Loaded {
        let values = Values { lcp: Some(lcp), tbt: Some(lcp / 10), ..Values::default() };
        Loaded {
            browser: "Chrome/1".to_owned(),
            load: Load { values, ..Load::default() },
            attribution: Attribution::default(),
            page: Page::default(),
            phases: Phases::default(),
            address: None,
        }
    }

    fn pressed(lcp: u64) -> Loaded {
        let mut loaded = loaded(lcp);
        loaded.load.low_confidence = true;
        loaded.load.host = Host { pressure_others: Some(612), ..Host::default() };
        loaded
    }

    fn failed(cause: Cause, low_confidence: bool) -> Box<Failed> {
        Box::new(Failed {
            browser: "Chrome/1".to_owned(),
            cause,
            phase: Phase::Total,
            detail: format!("browser: {cause}"),
            load: Load { low_confidence, ..Load::default() },
            page: Page::default(),
            phases: Phases::default(),
            address: None,
            screenshot: None,
        })
    }

    fn course(outcomes: Vec<Result<Loaded, Box<Failed>>>) -> Course {
        let mut course = Course::new(PLAN);
        for (place, outcome) in outcomes.into_iter().enumerate() {
            assert_eq!(course.next(0), Some(place + 1), "it goes on");
            course.take(outcome);
        }
        course
    }

    fn cause(course: Course) -> (Cause, String) {
        match course.end() {
            Ending::Failed { failure, .. } => (failure.cause, failure.detail),
            Ending::Measured { .. } => panic!("it was measured"),
        }
    }

    #[test]
    fn the_median_counts_and_its_load_is_shown() {
        let course = course(vec![Ok(loaded(900)), Ok(loaded(700)), Ok(loaded(800))]);
        assert_eq!((course.next(0), course.low_confidence()), (None, 0));
        assert_eq!(course.report().loads.len(), 3);
        let Ending::Measured { spreads, counted, shown, place } = course.end() else { panic!("it was measured") };
        assert_eq!((counted, place, shown.load.values.lcp), (3, 2, Some(800)));
        let lcp = Spread { median: 800, min: 700, max: 900 };
        assert_eq!(spreads, [(Vital::Lcp, lcp), (Vital::Tbt, Spread { median: 80, min: 70, max: 90 })]);
    }

    #[test]
    fn loads_under_pressure_are_repeated_and_never_counted() {
        let once = course(vec![Ok(pressed(9_000)), Ok(loaded(1)), Ok(loaded(2)), Ok(loaded(3))]);
        assert_eq!((once.next(0), once.low_confidence()), (None, 1));
        let Ending::Measured { spreads, counted, place, .. } = once.end() else { panic!("it was measured") };
        assert_eq!((counted, place, spreads[0].1.max), (3, 2, 3));
        // Half of what was asked for is enough for a median.
        let two = course([4, 0, 5, 0, 0, 0].map(|lcp| Ok(if lcp > 0 { loaded(lcp) } else { pressed(1) })).into());
        assert_eq!(two.next(0), None, "twice the loads asked for, and no more");
        assert!(matches!(two.end(), Ending::Measured { counted: 2, .. }));
        let one = course([4, 0, 0, 0, 0, 0].map(|lcp| Ok(if lcp > 0 { loaded(lcp) } else { pressed(1) })).into());
        let (why, detail) = cause(one);
        assert_eq!(why, Cause::HostPressure);
        assert!(detail.starts_with("browser: the agent's host was too busy, 1 of 6 loads count and 3 were asked for"));
        assert!(detail.contains("61 %") && detail.contains("pressure_max"), "{detail}");
    }

    #[test]
    fn additional_loads_end_within_the_whole_time() {
        let course = course(vec![Ok(pressed(1)), Ok(loaded(2)), Ok(loaded(3))]);
        assert_eq!(course.next(50_000_000), Some(4));
        assert_eq!(course.next(50_000_001), None);
        let mut slow = Course::new(PLAN);
        slow.take(Ok(loaded(1)));
        assert_eq!(slow.next(59_000_000), Some(2), "what was asked for is done");
    }

    #[test]
    fn one_failed_load_is_the_run_s_outcome() {
        let error = course(vec![Ok(loaded(1)), Err(failed(Cause::HttpStatus, false))]);
        assert_eq!(error.next(0), None, "not tried again behind anybody's back");
        assert_eq!(error.report().loads[1].failure, "browser: http_status");
        assert_eq!(cause(error), (Cause::HttpStatus, "browser: http_status (load 2 of 3)".to_owned()));
        let pressed_error = course(vec![Err(failed(Cause::HttpStatus, true))]);
        assert_eq!(cause(pressed_error).0, Cause::HttpStatus, "an error is one however busy the host is");
        let slow = course(vec![Err(failed(Cause::Timeout, false))]);
        assert_eq!(cause(slow).0, Cause::Timeout);
        let missing = course(vec![Err(failed(Cause::BrowserMissing, false))]);
        assert_eq!((missing.next(0), cause(missing).0), (None, Cause::BrowserMissing));
        let mut single = Course::new(Plan { runs: 1, ..PLAN });
        single.take(Err(failed(Cause::NotAPage, false)));
        assert_eq!(cause(single).1, "browser: not_a_page");
    }

    #[test]
    fn a_slow_page_on_a_busy_host_is_not_judged() {
        let slow = || Err(failed(Cause::Timeout, true));
        let never = course(vec![slow(), slow(), slow(), slow(), slow(), slow()]);
        assert_eq!((never.next(0), cause(never).0), (None, Cause::HostPressure));
        let later = course(vec![slow(), Ok(loaded(1)), Ok(loaded(2)), Ok(loaded(3))]);
        assert!(matches!(later.end(), Ending::Measured { counted: 3, .. }));
    }

    /// The defect: a page that makes itself by script was down where the host had no time to run it.
    #[test]
    fn a_page_that_stayed_blank_on_a_busy_host_is_not_judged() {
        let blank = |low_confidence| Err(failed(Cause::NotAPage, low_confidence));
        let never = course(vec![blank(true), blank(true), blank(true), blank(true), blank(true), blank(true)]);
        assert_eq!((never.next(0), cause(never).0), (None, Cause::HostPressure));
        let later = course(vec![blank(true), Ok(loaded(1)), Ok(loaded(2)), Ok(loaded(3))]);
        assert!(matches!(later.end(), Ending::Measured { counted: 3, .. }));
        assert_eq!(cause(course(vec![blank(false)])).0, Cause::NotAPage, "of a calm host the page is at fault");
        let mut download = failed(Cause::NotAPage, true);
        download.phase = Phase::FirstByte;
        assert_eq!(
            cause(course(vec![Err(download)])).0,
            Cause::NotAPage,
            "what came is none, however busy the host is"
        );
    }

    #[test]
    fn a_page_that_was_ended_for_the_memory_of_many_is_repeated_and_not_down() {
        let ended = || Err(failed(Cause::HostPressure, true));
        let back = course(vec![ended(), Ok(loaded(1)), Ok(loaded(2)), Ok(loaded(3))]);
        assert_eq!(back.low_confidence(), 1);
        assert!(matches!(back.end(), Ending::Measured { counted: 3, .. }));
        let never = course(vec![ended(), ended(), ended(), ended(), ended(), ended()]);
        let told = "browser: host_pressure (0 of 6 loads count, 3 were asked for)".to_owned();
        assert_eq!((never.next(0), cause(never)), (None, (Cause::HostPressure, told)));
        let alone = course(vec![Err(failed(Cause::RendererCrashed, false))]);
        assert_eq!((alone.next(0), cause(alone).0), (None, Cause::RendererCrashed));
    }

    #[test]
    fn pressure_by_pages_at_the_same_time_is_told() {
        let beside = || {
            let mut one = pressed(1);
            let (others, during) = (Some(10), Some(700));
            one.load.host =
                Host { pressure_others: others, pressure_during: during, parallel: 3, shared: true, ..Host::default() };
            Ok(one)
        };
        let mut light = Course::new(Plan { alone: false, runs: 1, ..PLAN });
        light.take(beside());
        light.take(beside());
        let (why, detail) = cause(light);
        assert_eq!(why, Cause::HostPressure);
        assert!(detail.contains("70 %"), "{detail}");
    }

    #[test]
    fn a_browser_that_ended_says_nothing_of_the_page() {
        let gone = || Err(failed(Cause::BrowserGone, false));
        let back = course(vec![Ok(loaded(1)), gone(), Ok(loaded(2)), Ok(loaded(3))]);
        assert!(!back.is_pressed(), "the host is not why");
        assert!(matches!(back.end(), Ending::Measured { counted: 3, .. }));
        let never = course(vec![gone(), gone(), gone(), gone(), gone(), gone()]);
        assert_eq!((never.next(0), cause(never)), (None, (Cause::BrowserGone, "browser: browser_gone".to_owned())));
    }

    #[test]
    fn the_blocking_time_of_a_load_in_company_is_not_told() {
        let with = |alone: bool, parallel: u32| {
            let mut course = Course::new(Plan { alone, runs: 1, ..PLAN });
            let mut one = loaded(500);
            one.load.host.parallel = parallel;
            course.take(Ok(one));
            let Ending::Measured { spreads, .. } = course.end() else { panic!("it was measured") };
            spreads.iter().any(|(vital, _)| *vital == Vital::Tbt)
        };
        assert!(with(false, 1) && with(true, 2));
        assert!(!with(false, 2));
    }
}

//! A promise held against the evidence: the error budget, how fast it burns, and what that calls for.
//!
//! **One check.** `allowed = (1 - objective) x counted`, `used` is the bad time, both as the accounting policy counts them ([`Reckoning`]).
//!
//! **Several checks.** Their availability is the mean of the checks' availabilities, weighted by check weight, over those of which anything counts. The budget says the
//! same in time: with the weighted mean `C` of their counted time, `allowed = (1 - objective) x C` and `used = (1 - availability) x C`. So it is used up exactly where the
//! availability falls to the objective, however long each check was measured, and equals the weighted mean of the checks' budgets where all were measured equally long.
//! Turning good time into bad never raises what is left. (Measuring a check longer raises `C` and with it `allowed`: what never rises with more bad time of any kind is
//! the *share* that is left.)
//!
//! **Calendar periods** are still running: their budget looks at what they will be if all goes well from now on. Each check's time to come, within the service hours, counts
//! as good (planned maintenance too, until it is there). So a month's budget is a month's from its first day, and used up when the promise cannot be kept any more. Rolling periods have no time to come.
//!
//! **Burn rates** are `(1 - availability) / (1 - objective)` over a window up to now: 1 uses a period's budget up in exactly that period. Three pairs of windows are looked
//! at; a pair speaks when both of its windows reach its threshold, the long one as proof that it matters, the short one (a twelfth) that it still goes on. Thresholds are
//! those of the SRE workbook ("Alerting on SLOs", multiwindow, multi-burn-rate): of a 30 d budget they mean 2 % in 1 h, 5 % in 6 h, 10 % in 3 d.
//!
//! **Bounds** count every unknown microsecond as down and as up; a check that is not measured at all is among them, though the figure itself leaves it out. They hold the
//! availability and the share of the budget that is left between them. (A budget's time at a bound is that of another mean length, so of several checks compare shares.)
//! Nothing measured is `None`, never all well.
//!
//! **Changes** rewrite nothing: each instant is counted by the version of the policy in force then ([`Term`]), and a check whose life ended within the period stays a member,
//! with what it used up, though nothing of it is to come.

use alloc::vec::Vec;

use crate::accounting::{Objective, cut, window};
use crate::control::Weight;
use crate::terms::{Reckoned, Term};
use crate::time::{Span, UtcMicros, union};
use crate::unknown::UnknownShares;
use crate::vote::VerdictSpan;

/// Parts of a whole, for shares of time.
const WHOLE: i128 = 1_000_000_000_000_000_000;
/// The long windows in microseconds, each with the burn rate in tenths at which it speaks.
const PAIRS: [(i64, i64); 3] = [(HOUR_US, 144), (6 * HOUR_US, 60), (72 * HOUR_US, 10)];
const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// A short window is this part of its long one.
const SHORT: i64 = 12;

/// The farthest that windows look back, in microseconds: 3 d. Verdicts are needed from there on, or from the period's start where that is earlier.
pub const LOOK_BACK_US: i64 = PAIRS[2].0;

/// A check that a promise covers.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its weight among the others.
    pub weight: Weight,
    /// Its verdicts in their order, canonical, up to now; see [`LOOK_BACK_US`].
    pub spans: &'a [VerdictSpan],
    /// Whether it still lives: else no time of it is to come.
    pub lives: bool,
}

/// What was promised, and how time counts.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// What was promised; the terms' own objectives are not looked at.
    pub objective: Objective,
    /// How time counts, over all that is asked and a period's length ahead: in order, not overlapping. Time without a term does not count.
    pub terms: &'a [Term],
}

/// An error budget, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// What may be bad.
    pub allowed_us: i64,
    /// What was bad.
    pub used_us: i64,
}

impl Amount {
    /// What is left; below 0 where it is overdrawn.
    pub const fn left_us(&self) -> i64 {
        self.allowed_us - self.used_us
    }

    /// What is left, as a share of what was allowed; below 0 where it is overdrawn, `None` where nothing was allowed.
    pub fn left_share(&self) -> Option<f64> {
        (self.allowed_us > 0).then(|| self.left_us() as f64 / self.allowed_us as f64)
    }

    /// Whether nothing is left of it.
    pub const fn is_exhausted(&self) -> bool {
        self.left_us() <= 0 && self.used_us > 0
    }
}

/// A figure with its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounded<T> {
    /// As the policy counts; `None` where nothing counts.
    pub value: Option<T>,
    /// If all that is unknown had been down.
    pub unknown_down: Option<T>,
    /// If all that is unknown had been up.
    pub unknown_up: Option<T>,
}

impl<T> Bounded<T> {
    fn of<S>(of: &Bounded<S>, figure: impl Fn(&S) -> Option<T>) -> Self {
        let each = |one: &Option<S>| one.as_ref().and_then(&figure);
        Self { value: each(&of.value), unknown_down: each(&of.unknown_down), unknown_up: each(&of.unknown_up) }
    }
}

/// How fast the budget burns over one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burn {
    /// The window.
    pub window: Span,
    /// Times faster than evenly. `None` where nothing counts, or where the objective allows nothing and something was bad.
    pub rate: Bounded<f64>,
    /// The share of the window's time for which evidence exists.
    pub completeness: Option<f64>,
    /// What it leaves open, by cause.
    pub unknown: Option<UnknownShares>,
    /// Whether the rate reaches the threshold of its pair; by the figure itself, not its bounds.
    pub reached: bool,
    /// The bad share of the time.
    share: Option<i128>,
}

/// A long window with its short companion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurnPair {
    /// The long window.
    pub long: Burn,
    /// A twelfth of it.
    pub short: Burn,
    /// The burn rate at which both speak, in tenths.
    pub threshold_tenths: i64,
}

impl BurnPair {
    /// Whether both windows reach the threshold.
    pub const fn speaks(&self) -> bool {
        self.long.reached && self.short.reached
    }
}

/// What a budget calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing that counts was measured in the period.
    Unknown,
    /// All is well.
    Ok,
    /// The 3 d pair speaks: a ticket.
    BurningSlow,
    /// The 1 h or the 6 h pair speaks: a page.
    BurningFast,
    /// Nothing is left.
    Exhausted,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Unknown, Self::Ok, Self::BurningSlow, Self::BurningFast, Self::Exhausted];

    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::BurningSlow => "burning_slow",
            Self::BurningFast => "burning_fast",
            Self::Exhausted => "exhausted",
        }
    }
}

/// A promise and what became of it so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Status {
    /// Availability.
    pub availability: Bounded<f64>,
    /// The share of the period so far for which evidence exists; `None` where nothing was to be measured.
    pub completeness: Option<f64>,
    /// What it leaves open, by cause.
    pub unknown: Option<UnknownShares>,
    /// The time that counts, as the mean of the checks, in microseconds.
    pub counted_us: i64,
    /// The time of the period still to come, in microseconds.
    pub to_come_us: i64,
    /// The error budget.
    pub budget: Bounded<Amount>,
    /// Over 1 h, 6 h and 3 d.
    pub burns: [BurnPair; 3],
    /// Over the last 24 h. Nothing is called by it; a forecast asks it besides.
    pub day: Burn,
    /// What that calls for.
    pub state: State,
    /// The pair whose long window the forecast goes by: the first that speaks, else that of 3 d.
    pub forecast_by: usize,
    /// When nothing will be left if it goes on burning as in that window; `None` where it is not within the period (of a rolling one: within its length from now), where
    /// nothing is left already, or where that window has no evidence. Old bad time that leaves a rolling period meanwhile is not looked at, so it errs early.
    pub exhausted_at: Option<UtcMicros>,
}

/// Time of one check.
#[derive(Debug, Clone, Copy, Default)]
struct Time {
    counted_us: i64,
    bad_us: i64,
}

/// Time of several checks, taken together.
#[derive(Debug, Clone, Copy)]
struct Together {
    /// The mean of what counts.
    counted_us: i64,
    /// One minus the mean availability, in parts of [`WHOLE`], rounded up.
    bad_share: i128,
}

impl Together {
    fn of(times: impl Iterator<Item = (Weight, Time)>) -> Option<Self> {
        let (mut weights, mut counted, mut bad) = (0_i128, 0_i128, 0_i128);
        for (weight, time) in times.filter(|(_, time)| time.counted_us > 0) {
            let weight = i128::from(weight.0);
            let us = i128::from(time.counted_us);
            weights += weight;
            counted += weight * us;
            bad += weight * ceil(i128::from(time.bad_us) * WHOLE, us);
        }
        (weights > 0).then(|| Self { counted_us: (counted / weights) as i64, bad_share: ceil(bad, weights) })
    }

    fn availability(&self) -> f64 {
        1.0 - self.bad_share as f64 / WHOLE as f64
    }

    /// Rounded down both; of one check the bad time is exact, because shares are rounded up.
    fn amount(&self, objective: Objective) -> Amount {
        let whole = i128::from(self.counted_us);
        Amount {
            allowed_us: (whole * i128::from(objective.allowed()) / 1_000_000) as i64,
            used_us: (whole * self.bad_share / WHOLE) as i64,
        }
    }

    fn burn_rate(&self, objective: Objective) -> Option<f64> {
        match objective.allowed() {
            0 => (self.bad_share == 0).then_some(0.0),
            allowed => Some(self.bad_share as f64 / WHOLE as f64 / (f64::from(allowed) / 1e6)),
        }
    }

    fn reaches(&self, objective: Objective, threshold_tenths: i64) -> bool {
        let limit = i128::from(threshold_tenths) * i128::from(objective.allowed()) * WHOLE;
        self.bad_share > 0 && self.bad_share * 10_000_000 >= limit
    }
}

fn ceil(a: i128, b: i128) -> i128 {
    a / b + i128::from(a % b > 0)
}

/// What is known of one check.
#[derive(Debug, Clone, Copy)]
struct Evidence {
    weight: Weight,
    lives: bool,
    known: Time,
    unknown_us: i64,
    /// What of the unknown time the policy counts.
    unknown: Time,
    causes: Option<UnknownShares>,
}

/// How unknown time is looked at.
#[derive(Debug, Clone, Copy)]
enum Unknown {
    AsCounted,
    Down,
    Up,
}

impl Evidence {
    fn time(&self, unknown: Unknown) -> Time {
        let more = match unknown {
            Unknown::AsCounted => self.unknown,
            Unknown::Down => Time { counted_us: self.unknown_us, bad_us: self.unknown_us },
            Unknown::Up => Time { counted_us: self.unknown_us, bad_us: 0 },
        };
        Time { counted_us: self.known.counted_us + more.counted_us, bad_us: self.known.bad_us + more.bad_us }
    }
}

/// What is known of several checks within a span.
#[derive(Debug)]
struct Taken {
    evidence: Vec<Evidence>,
}

impl Taken {
    fn of(members: &[Member<'_>], terms: &Terms<'_>, within: Span) -> Self {
        let evidence = members.iter().map(|member| {
            let counts = Reckoned::of(terms.terms, &cut(member.spans, within)).counts;
            let unknown = Time { counted_us: counts.unknown_counted_us, bad_us: counts.unknown_down_us };
            let known = Time { counted_us: counts.known_us(), bad_us: counts.bad_us() - unknown.bad_us };
            let (unknown_us, causes) = (counts.unknown_us, counts.unknown_shares());
            Evidence { weight: member.weight, lives: member.lives, known, unknown_us, unknown, causes }
        });
        Self { evidence: evidence.collect() }
    }

    /// Taken together, with so much more good time of each that lives; `None` where nothing else counts.
    fn together(&self, to_come_us: i64) -> Bounded<Together> {
        let with = |unknown: Unknown| {
            Together::of(self.evidence.iter().map(|one| (one.weight, one.time(unknown)))).and_then(|so_far| {
                if to_come_us == 0 {
                    return Some(so_far);
                }
                let more = |one: &Evidence| {
                    let time = one.time(unknown);
                    let to_come_us = if one.lives { to_come_us } else { 0 };
                    (one.weight, Time { counted_us: time.counted_us + to_come_us, ..time })
                };
                Together::of(self.evidence.iter().map(more))
            })
        };
        Bounded { value: with(Unknown::AsCounted), unknown_down: with(Unknown::Down), unknown_up: with(Unknown::Up) }
    }

    /// The mean of the completenesses.
    fn completeness(&self) -> Option<f64> {
        let missing = self.evidence.iter().map(|one| {
            let counted_us = one.known.counted_us + one.unknown_us;
            (one.weight, Time { counted_us, bad_us: one.unknown_us })
        });
        Together::of(missing).map(|together| together.availability())
    }

    /// What it leaves open, by cause.
    fn unknown(&self) -> Option<UnknownShares> {
        UnknownShares::mean(self.evidence.iter().map(|one| (one.weight, one.causes)))
    }
}

/// The time of `within` that lies in the service hours.
fn in_hours(within: Span, terms: &[Term]) -> Vec<Span> {
    let mut spans = Vec::new();
    for term in terms {
        let inside = term.span.clip(within);
        match &term.hours {
            None => spans.push(inside),
            Some(hours) => spans.extend(hours.iter().map(|hour| hour.clip(inside))),
        }
    }
    spans.retain(|span| !span.is_empty());
    union(spans)
}

/// What is known of a period at an instant, with its time still to come.
fn taken(members: &[Member<'_>], terms: &Terms<'_>, period: Span, now: UtcMicros) -> (Taken, i64) {
    let so_far = Taken::of(members, terms, period.clip(Span::new(UtcMicros::MIN, now)));
    let to_come = period.clip(Span::new(now, UtcMicros::MAX));
    (so_far, in_hours(to_come, terms.terms).iter().map(|span| span.us()).sum())
}

/// The error budget of `period` as it stood at `now`, with its bounds.
pub fn budget(members: &[Member<'_>], terms: &Terms<'_>, period: Span, now: UtcMicros) -> Bounded<Amount> {
    let (taken, to_come_us) = taken(members, terms, period, now);
    Bounded::of(&taken.together(to_come_us), |together| Some(together.amount(terms.objective)))
}

/// All of a promise. `period` is the whole one: of a calendar period also what is still to come after `now`.
pub fn status(members: &[Member<'_>], terms: &Terms<'_>, period: Span, now: UtcMicros) -> Status {
    let (taken, to_come_us) = taken(members, terms, period, now);
    let together = taken.together(0);
    let budget = Bounded::of(&taken.together(to_come_us), |together| Some(together.amount(terms.objective)));
    let burns = PAIRS.map(|(long_us, threshold_tenths)| BurnPair {
        long: burn(members, terms, window(now, long_us), threshold_tenths),
        short: burn(members, terms, window(now, long_us / SHORT), threshold_tenths),
        threshold_tenths,
    });
    let day = burn(members, terms, window(now, DAY_US), 0);
    let state = match &budget.value {
        None => State::Unknown,
        Some(amount) if amount.is_exhausted() => State::Exhausted,
        Some(_) if burns[0].speaks() || burns[1].speaks() => State::BurningFast,
        Some(_) if burns[2].speaks() => State::BurningSlow,
        Some(_) => State::Ok,
    };
    let forecast_by = burns.iter().position(BurnPair::speaks).unwrap_or(burns.len() - 1);
    let left_us = budget.value.map_or(0, |amount| amount.left_us());
    let horizon = if to_come_us > 0 { period.to } else { now.plus_us(period.us()) };
    let exhausted_at = burns[forecast_by]
        .long
        .share
        .filter(|share| *share > 0 && left_us > 0)
        .and_then(|share| after(now, horizon, ceil(i128::from(left_us) * WHOLE, share), terms.terms));
    Status {
        availability: Bounded::of(&together, |together| Some(together.availability())),
        completeness: taken.completeness(),
        unknown: taken.unknown(),
        counted_us: together.value.map_or(0, |together| together.counted_us),
        to_come_us,
        budget,
        burns,
        day,
        state,
        forecast_by,
        exhausted_at,
    }
}

fn burn(members: &[Member<'_>], terms: &Terms<'_>, window: Span, threshold_tenths: i64) -> Burn {
    let taken = Taken::of(members, terms, window);
    let together = taken.together(0);
    Burn {
        window,
        rate: Bounded::of(&together, |together| together.burn_rate(terms.objective)),
        completeness: taken.completeness(),
        unknown: taken.unknown(),
        reached: together.value.is_some_and(|together| together.reaches(terms.objective, threshold_tenths)),
        share: together.value.map(|together| together.bad_share),
    }
}

/// When `us` of service hours will have passed from `now` on; `None` where that is after `horizon`.
fn after(now: UtcMicros, horizon: UtcMicros, us: i128, terms: &[Term]) -> Option<UtcMicros> {
    let mut rest = us;
    for span in in_hours(Span::new(now, horizon), terms) {
        let here = i128::from(span.us());
        if rest <= here {
            return Some(span.from.plus_us(rest as i64));
        }
        rest -= here;
    }
    None
}

#[cfg(test)]
mod tests;

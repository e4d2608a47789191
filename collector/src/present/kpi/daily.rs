//! Days of UTC that are over, counted once: what makes a period of weeks as cheap as its two ends.
//!
//! What a check's day came to is kept with a *stamp*: a number that changes with everything that may still change the day. Of each agent's records that is anything but what is
//! put in at their end; and the end too, until so many results follow the day that no streak which began in it is undecided. A changed definition, suspension, weight or window
//! changes every stamp. So late data, or an amendment of any kind, has its days counted again, and the sum is that of a pass over the whole period to the last digit: whole
//! microseconds are added.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sitepulse_model::id::CheckNo;
use sitepulse_model::record::ProbeState;
use sitepulse_model::series::{Run, Seen, Series};
use sitepulse_model::sla::{Account, Figures, UnknownTime};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::VerdictSpan;

use super::period::Periods;
use crate::app::App;
use crate::book::{Book, Check, Filter, Gathered};
use crate::latency::{Day, Hour};

/// Days of a check that are kept: twice 30, and the two that begin and end them.
const DAYS_MAX: usize = 64;

/// Time by what availability is made of, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    measured_us: i64,
    down_us: i64,
    unknown: UnknownTime,
}

impl Counted {
    fn of(spans: &[VerdictSpan]) -> Self {
        let account = Account::of(spans);
        Self { measured_us: account.measured_us(), down_us: account.down_us, unknown: account.unknown }
    }

    fn add(&mut self, other: Self) {
        self.measured_us += other.measured_us;
        self.down_us += other.down_us;
        self.unknown.add(other.unknown);
    }

    /// The figures: those that a banner shows. Of the weighted availability and its bounds nothing is kept.
    fn figures(self) -> Figures {
        let up_us = self.measured_us - self.down_us;
        let account = Account { up_us, down_us: self.down_us, unknown: self.unknown, ..Account::default() };
        Figures { weighted_availability: None, weighted_lower: None, weighted_upper: None, ..Figures::from(&account) }
    }
}

/// What days came to.
#[derive(Debug, Default)]
pub struct Daily {
    checks: HashMap<CheckNo, BTreeMap<Day, (u64, Counted)>>,
}

impl Daily {
    /// Adds every check to both periods.
    pub fn gather(&mut self, app: &App, checks: &[CheckNo], periods: Periods) -> (Gathered, Gathered) {
        let (mut now, mut before) = (Gathered::default(), Gathered::default());
        for check in checks {
            let book = app.book();
            let Some(check) = book.check(*check) else { continue };
            for (period, gathered) in [(periods.now, &mut now), (periods.before, &mut before)] {
                let lived = book.period(check, Some(period.from), Some(period.to), period.to);
                if let Some(counting) = check.counting(lived) {
                    gathered.add(counting, self.count(&book, check, lived).figures());
                }
            }
        }
        let living: BTreeSet<CheckNo> = checks.iter().copied().collect();
        self.checks.retain(|check, _| living.contains(check));
        (now, before)
    }

    /// A period of a check: its whole days as they are kept, the rest from the evidence.
    pub fn count(&mut self, book: &Book, check: &Check, period: Span) -> Counted {
        if period.is_empty() {
            return Counted::default();
        }
        let kept = self.checks.entry(check.number).or_default();
        let first = Hour::of(period.from.plus_us(-1)).day().0 + 1;
        let last = Hour::of(period.to).day().0 - 1;
        let (mut sum, mut from) = (Counted::default(), period.from);
        // What is not kept is found in one go, as far as it hangs together.
        let mut missing: Vec<(Day, u64)> = Vec::new();
        let find = |from: UtcMicros,
                    to: UtcMicros,
                    missing: &mut Vec<(Day, u64)>,
                    kept: &mut BTreeMap<Day, (u64, Counted)>| {
            let spans = book.verdicts(check.number, &Filter::All, Span::new(from, to)).unwrap_or_default();
            for (day, stamp) in missing.drain(..) {
                kept.insert(day, (stamp, Counted::of(&super::clipped(&spans, day.span()))));
            }
            Counted::of(&spans)
        };
        for day in (first..=last).map(Day) {
            let stamp = stamp(book, check, day.span().to);
            match kept.get(&day).filter(|(of, _)| *of == stamp) {
                Some((_, counted)) => {
                    let counted = *counted;
                    if from < day.span().from {
                        sum.add(find(from, day.span().from, &mut missing, kept));
                    }
                    sum.add(counted);
                    from = day.span().to;
                }
                None => missing.push((day, stamp)),
            }
        }
        if from < period.to {
            sum.add(find(from, period.to, &mut missing, kept));
        }
        while kept.len() > DAYS_MAX {
            kept.pop_first();
        }
        sum
    }
}

/// Changes with everything that may change what a check's verdicts were before an instant.
fn stamp(book: &Book, check: &Check, end: UtcMicros) -> u64 {
    let mut stamp = Stamp(0xcbf2_9ce4_8422_2325);
    let (version, windows) = super::defined(book);
    [version, windows as u64, book.touched_all(), check.touched.own, check.revisions.len() as u64]
        .into_iter()
        .for_each(|number| stamp.add(number));
    let streaks = check.policies().iter().map(|(_, _, policy)| policy.confirmations.max(policy.recoveries));
    let needed = u64::from(streaks.max().unwrap_or(1).max(1));
    for (agent, pair) in &check.pairs {
        stamp.add(u64::from(agent.0));
        stamp.add(pair.series.edits());
        if !is_decided(&pair.series, end, needed) {
            stamp.add(pair.series.run_count() as u64);
            if let Some(run) = pair.series.runs().next_back() {
                stamp.add(run.first.0.cast_unsigned());
                stamp.add(run.count);
            }
        }
    }
    stamp.0
}

/// Whether so many results follow an instant that none which comes after them decides a streak from before it.
fn is_decided(series: &Series, end: UtcMicros, needed: u64) -> bool {
    let mut found = 0;
    for run in series.runs().rev() {
        found += after(run, end);
        if found >= needed {
            return true;
        }
        if run.first < end {
            return false;
        }
    }
    false
}

/// The results of a run that tell a state and lie at or after an instant.
fn after(run: &Run, end: UtcMicros) -> u64 {
    match run.obs.seen {
        Seen::State(ProbeState::Up | ProbeState::Degraded | ProbeState::Down) => {}
        Seen::State(ProbeState::Unknown) | Seen::Missed(_) => return 0,
    }
    if run.first >= end {
        return run.count;
    }
    let beyond = run.last().us_since(end);
    if beyond < 0 {
        0
    } else {
        beyond.unsigned_abs().checked_div(run.step_us).map_or(1, |steps| steps + 1).min(run.count)
    }
}

/// FNV-1a over numbers.
struct Stamp(u64);

impl Stamp {
    fn add(&mut self, number: u64) {
        for byte in number.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

//! The slow signals of a check: how long runs took, and what pages were like. From the store's sketches and what is not sealed yet; no record is read.
//!
//! - They are as of a full hour of UTC: the hour under way does not count. So a score that is found again later, of the same instant, is the same.
//! - Each value weighs as its hour does, in the newest two days, and as its day of UTC before that.
//! - p95: of whole runs that reached their target, from agents with a vote, against the check's budget ([`budget_us`]). Its regression: the p95 of the last 24 hours against that
//!   of the 7 days before (widened to full days), neither decayed. A p95 of fewer than [`RUNS_MIN`] runs is nothing but the slowest of them, so there is none.
//! - Web vitals: the p75 over the graded runs on the check's present profile, against that profile's thresholds; of [`PAGE_RUNS_MIN`] runs at least.
//!
//! As for every latency figure, what is not sealed is taken from the book *first*, then the store is read at one instant.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::check::{CheckDefinition, CheckKind};
use sitepulse_model::expect::Rule;
use sitepulse_model::id::{AgentNo, Bucket, CheckId, CheckNo, Region};
use sitepulse_model::impact::decay::Decay;
use sitepulse_model::impact::evidence::{RUNS_MIN, Weighed, regression};
use sitepulse_model::impact::{Measured, PageSignals};
use sitepulse_model::record::Phase;
use sitepulse_model::sketch::Sketch;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vitals::Vital;
use sitepulse_model::vitals::profile::Profile;

use crate::book::{Book, Check};
use crate::impact::{Model, of_one};
use crate::latency::{Day, Hour};
use crate::store::rollup::{self, Class};
use crate::store::rows::Arrival;
use crate::store::seal::{self, Upto};
use crate::store::{StoreError, Tables, vital_days, vitals};
use crate::vitals::profile_of;

/// A p75 of fewer page loads than this is nothing but the slowest of them.
pub const PAGE_RUNS_MIN: u128 = 4;
/// A regression is looked for in so many hours, against the seven days before them.
const RECENT_HOURS: i64 = 24;
const BEFORE_HOURS: i64 = 7 * 24;

/// The slow signals.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Slow {
    /// In budgets.
    pub latency_p95: Option<f64>,
    /// How much slower than before.
    pub latency_regression: Option<f64>,
    /// Of a page.
    pub page: PageSignals,
}

/// How long a whole run of a check may take before that counts, in microseconds.
///
/// The check's own word first: the smallest bound that one of its assertions puts on `latency`, a soft one (`degraded if latency > 800ms`) before a hard one (`latency < 2s`: what
/// is slower is down, and no latency). Where it says nothing, its timeout: the budget is then such that the score is full where runs begin to time out, which is
/// the timeout divided by the model's critical ratio (`timeout / 2.5`). `None` where a run's length tells nothing of the target unless its author says so: heartbeats, echoes (they wait in
/// between), registrations of domains, and pages, which have their vitals.
pub fn budget_us(definition: &CheckDefinition, critical: f64) -> Option<u64> {
    let limits = |soft: bool| {
        let of_kind = definition.expect.iter().filter(move |one| (one.rule() == Rule::DegradedIf) == soft);
        of_kind.filter_map(|one| one.latency_limit_us()).min()
    };
    if let Some(us) = limits(true).or_else(|| limits(false)) {
        return Some(us);
    }
    match &definition.kind {
        CheckKind::Http(_)
        | CheckKind::Tcp(_)
        | CheckKind::Tls(_)
        | CheckKind::Dns(_)
        | CheckKind::Udp(_)
        | CheckKind::Websocket(_)
        | CheckKind::Grpc(_)
        | CheckKind::Smtp(_)
        | CheckKind::Imap(_)
        | CheckKind::Flow(_) => Some(((definition.timeout_us as f64 / critical) as u64).max(1)),
        CheckKind::Icmp(_) | CheckKind::Domain(_) | CheckKind::Heartbeat(_) | CheckKind::WebVitals(_) => None,
    }
}

/// What is taken from the book.
#[derive(Debug)]
pub(crate) struct Frame {
    id: CheckId,
    number: CheckNo,
    bucket: Bucket,
    decay: Decay,
    /// The first hour that does not count.
    end: Hour,
    now: UtcMicros,
    budget_us: Option<u64>,
    profile: Option<Profile>,
    /// Agents with a vote.
    voters: BTreeSet<AgentNo>,
    /// Whole runs that are not sealed, of hours that count.
    open: Vec<(Arrival, Hour, u64)>,
}

impl Frame {
    /// Of a check as it was defined at an instant, by the agents of a region alone or by all; `None` where it was not.
    pub(crate) fn of(
        book: &Book,
        check: &Check,
        model: &Model,
        seen_by: Option<&Region>,
        now: UtcMicros,
    ) -> Option<Self> {
        let definition = &check.at(now).filter(|revision| !revision.retired)?.definition;
        let (decay, end) = (model.body.fading(), Hour::of(now));
        let votes = |agent: AgentNo| book.control().weight_at(agent, check.number, now).0 > 0;
        let there = book.agents().filter(|agent| seen_by.is_none_or(|region| agent.region == *region));
        let voters: BTreeSet<AgentNo> = there.map(|agent| agent.number).filter(|agent| votes(*agent)).collect();
        let budget_us = budget_us(definition, model.body.latency.p95.critical);
        let first = Hour::of(decay.span(now).from).day().hour(0);
        let mut open = Vec::new();
        if budget_us.is_some() {
            for (_, samples) in check.latencies.iter().filter(|(agent, _)| voters.contains(agent)) {
                open.extend(samples.iter().filter_map(|(arrival, sample)| {
                    let hour = Hour::of(sample.scheduled);
                    Some((arrival, hour, sample.phases.total?)).filter(|_| first <= hour && hour < end)
                }));
            }
        }
        let profile = profile_of(definition).and_then(|choice| choice.resolve());
        Some(Self {
            id: check.id.clone(),
            number: check.number,
            bucket: check.bucket(),
            decay,
            end,
            now,
            budget_us,
            profile,
            voters,
            open,
        })
    }

    /// The check.
    pub(crate) const fn number(&self) -> CheckNo {
        self.number
    }

    /// The signals. `tables` must be of one instant, after the frame was made; `sealed` of the same.
    pub(crate) fn read(&self, tables: Tables<'_>, sealed: &Upto) -> Result<Slow, StoreError> {
        let mut slow = Slow::default();
        if let Some(budget_us) = self.budget_us {
            self.latency(tables, sealed, budget_us, &mut slow)?;
        }
        if let Some(profile) = &self.profile {
            slow.page = self.page(tables, profile)?;
        }
        Ok(slow)
    }

    /// What an hour, or a day that it is told as, weighs.
    fn weight(&self, span: Span) -> u64 {
        self.decay.mean(span, self.now)
    }

    fn latency(&self, tables: Tables<'_>, sealed: &Upto, budget_us: u64, slow: &mut Slow) -> Result<(), StoreError> {
        let of = (self.bucket, self.number);
        let first = Hour::of(self.decay.span(self.now).from).day();
        let recent = Hour(self.end.0 - RECENT_HOURS);
        let before = Hour(recent.0 - BEFORE_HOURS).day().hour(0);
        // From this day on by the hour.
        let fine = recent.day();
        let (mut decayed, mut of_now, mut of_before) = (Weighed::default(), Sketch::new(), Sketch::new());
        let mut add_hour = |hour: Hour, sketch: &Sketch| {
            decayed.add(sketch, self.weight(if hour.day() < fine { hour.day().span() } else { hour.span() }));
            if hour >= recent {
                of_now.merge(sketch);
            } else if hour >= before {
                of_before.merge(sketch);
            }
        };
        let arrived = sealed.get(usize::from(self.bucket.0)).copied().unwrap_or_default();
        let mut open: BTreeMap<Hour, Sketch> = BTreeMap::new();
        for (_, hour, us) in self.open.iter().filter(|(arrival, ..)| *arrival > arrived) {
            open.entry(*hour).or_default().add(*us);
        }
        open.iter().for_each(|(hour, sketch)| add_hour(*hour, sketch));
        // What is damaged is told and mended by others; a score goes by what is left.
        let wholes = (first, Day(fine.0 - 1));
        rollup::rollups_of(tables, of, Class::Whole, wholes, |agent, day, body| {
            if self.voters.contains(&agent) {
                add_hour(day.hour(0), rollup::decode_whole(body)?.phase(Phase::Total));
            }
            Ok(())
        })?;
        rollup::rollups_of(tables, of, Class::Hours, (fine, self.end.day()), |agent, day, body| {
            if self.voters.contains(&agent) {
                for (of_day, latencies) in &rollup::decode_hours(body)?.hours {
                    if day.hour(*of_day) < self.end {
                        add_hour(day.hour(*of_day), latencies.phase(Phase::Total));
                    }
                }
            }
            Ok(())
        })?;
        if decayed.values() >= RUNS_MIN {
            slow.latency_p95 = decayed.quantile(950).map(|us| us as f64 / budget_us as f64);
        }
        if of_now.count() >= RUNS_MIN && of_before.count() >= RUNS_MIN {
            let both = of_now.quantile(950).zip(of_before.quantile(950));
            slow.latency_regression = both.and_then(|(now, before)| regression(now, before));
        }
        Ok(())
    }

    fn page(&self, tables: Tables<'_>, profile: &Profile) -> Result<PageSignals, StoreError> {
        let of = (self.bucket, self.number);
        let span = Span::new(self.decay.span(self.now).from, self.end.start());
        if span.is_empty() {
            return Ok(PageSignals::default());
        }
        let mut weighed: [Weighed; Vital::ALL.len()] = std::array::from_fn(|_| Weighed::default());
        let mut hours: BTreeMap<(Hour, usize), Sketch> = BTreeMap::new();
        vitals::rows(tables, self.bucket, self.number, span, |row| {
            if row.profile == profile.name && row.graded() && self.voters.contains(&row.agent) {
                for (at, spread) in row.values.iter().enumerate() {
                    if let Some(spread) = spread {
                        hours.entry((Hour::of(row.scheduled), at)).or_default().add(spread.median);
                    }
                }
            }
        })?;
        for ((hour, at), sketch) in &hours {
            weighed[*at].add(sketch, self.weight(hour.span()));
        }
        // Days whose rows are gone.
        let days = (Hour::of(span.from).day(), Hour::of(span.to.plus_us(-1)).day());
        vital_days::days(tables, of, days, |agent, day, sketches| {
            if let Some(of_day) = sketches.profiles.get(&profile.name).filter(|_| self.voters.contains(&agent)) {
                for (weighed, vital) in weighed.iter_mut().zip(&of_day.vitals) {
                    weighed.add(&vital.medians, self.weight(day.span()));
                }
            }
        })?;
        let measured = |vital: Vital| {
            let at = Vital::ALL.iter().position(|one| *one == vital)?;
            let weighed = weighed.get(at).filter(|weighed| weighed.values() >= PAGE_RUNS_MIN)?;
            Some(Measured { p75: weighed.quantile(750)?, threshold: profile.thresholds.of(vital) })
        };
        Ok(PageSignals {
            lcp: measured(Vital::Lcp),
            inp: measured(Vital::Inp),
            tbt: measured(Vital::Tbt),
            cls: measured(Vital::Cls),
        })
    }
}

/// The signals of many checks, at one instant of the store.
pub(crate) fn read(tables: Tables<'_>, frames: &[Frame]) -> Result<BTreeMap<CheckNo, Slow>, StoreError> {
    let sealed = seal::upto(tables)?;
    let read = |frame: &Frame| {
        let slow = of_one(|| frame.id.to_string(), || frame.read(tables, &sealed))?;
        Some(slow.map(|slow| (frame.number(), slow)))
    };
    frames.iter().filter_map(read).collect()
}

//! The snapshot, made from what was kept of the one before: what it costs is what changed, not how many checks there are.
//!
//! # Exact, not nearly
//! A snapshot is equal to [`Snapshot::take`] from scratch, to the last bit of every figure; a property test holds it. What is kept is never a figure but what figures
//! are made of, and each kind of it only for as long as nothing can have changed it:
//!
//! - The *verdicts* of a check are derived from the last 24 h up to an hour ahead: what is known of suspensions, weights, windows and holds that end tells what the verdict will be
//!   while nothing new comes in. Verdicts of a period are those of a longer one, clipped; so as time passes the sliding 24 h are a clip of what is kept, and the account is
//!   added up anew from the clip, in the order in which it would be from scratch.
//! - They are derived anew where the check, its agents or its windows changed (the counters of `book/touched.rs`), or where new evidence did more than to continue a pair's newest run. Where it
//!   only continued one, the verdicts stay right up to the end of the hold that was known before (`book/until.rs`), and are derived anew only then.
//! - What one *agent* sees is built anew with each record of the pair, and when its hold ends.
//! - The rest of a check's view is built anew when its own definition, suspension, amendments or screenshots change, and at each instant at which a suspension or a
//!   weight that is known beforehand begins or ends (the check's turn, there too).
//! - A clock that went back makes all of it anew.
//!
//! # The book is free
//! The book is held to compare counters, which is a fraction of a millisecond, and then in slices of a millisecond ([`in_slices`]): whoever writes waits no longer.
//! So the evidence of two checks may be some milliseconds apart; what one check shows is always of one instant. Figures are added up with the book free.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use sitepulse_daemon::{clock, instant};
use sitepulse_model::control::Weight;
use sitepulse_model::id::{AgentNo, CheckId, CheckNo, Group};
use sitepulse_model::sla::{Account, Figures};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::VerdictSpan;

use super::runs::Runs;
use super::{Snapshot, Strip, agents, amendments, check_base, list, pair_view, show_verdict, sla_of};
use crate::book::{Amended, Book, Check, Filter, Gathered, Mark, PERIOD_DEFAULT_US, period_asked};
use crate::present::dto::{AgentView, CheckView, PairView};
use crate::present::slices::in_slices;

/// Verdicts are derived so far ahead at least, in microseconds: half an hour.
const AHEAD_US: i64 = 1_800_000_000;
/// Most that is added to that, in steps of a minute by the check's number: so that not all are due at once.
const SPREAD: u32 = 30;

/// What a snapshot cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    /// Checks of which something was made anew.
    pub looked_at: usize,
    /// Those of them whose verdicts were derived anew.
    pub judged: usize,
    /// Pairs whose runs were counted anew.
    pub counted: usize,
    /// The longest that the book was held, in microseconds.
    pub held_us_max: u64,
    /// How long it took in all, in microseconds.
    pub took_us: u64,
}

/// What is kept from one snapshot for the next.
#[derive(Debug, Default)]
pub struct Keeper {
    checks: BTreeMap<CheckNo, Kept>,
    /// The checks that are not retired, in the order in which they are shown.
    living: BTreeMap<CheckId, CheckNo>,
    runs: Runs,
}

/// What is kept of a check.
#[derive(Debug)]
struct Kept {
    /// The counters that it was looked at with: of all checks, of this one, of it alone.
    seen: (u64, u64, u64),
    /// When it was looked at.
    at: UtcMicros,
    /// From here on it is not all right any more, though nothing came in.
    due: UtcMicros,
    /// From here on nothing of it is.
    turn: UtcMicros,
    verdicts: Verdicts,
    pairs: Vec<KeptPair>,
    lives: Vec<Span>,
    amended: Vec<Amended>,
    /// As what it counts in means, and from when on; of a check that is not retired as what it counts now.
    counts: Vec<(UtcMicros, Option<Group>, Weight)>,
    /// What does not change with evidence, of a check that is not retired.
    base: Option<CheckView>,
}

/// The verdicts of a check.
#[derive(Debug, Default)]
struct Verdicts {
    /// From 24 h before they were derived.
    spans: Vec<VerdictSpan>,
    /// Right up to here as far as evidence was known; the marks tell whether newer evidence leaves them right.
    until: UtcMicros,
    marks: Vec<(AgentNo, u64, Option<Mark>)>,
}

/// What one agent sees of a check.
#[derive(Debug)]
struct KeptPair {
    agent: AgentNo,
    /// The counter that it was looked at with.
    seen: u64,
    /// From here on the state is another one, though nothing came in.
    until: UtcMicros,
    view: Arc<PairView>,
}

/// The counters of a check.
fn counters(book: &Book, check: &Check) -> (u64, u64, u64) {
    (book.touched_all(), check.touched.any, check.touched.own)
}

impl Keeper {
    /// A snapshot, and the version of the book that it is not older than. `book` gives a guard, which is held for a moment only.
    pub fn snapshot<B: Deref<Target = Book>>(&mut self, book: impl Fn() -> B, now: UtcMicros) -> (u64, Snapshot) {
        let began = clock::monotonic();
        let mut effort = Effort::default();
        let (version, agents, stale, uncounted) = {
            let book = book();
            (book.version(), agents(&book, now), self.stale(&book, now), self.runs.stale(&book, now))
        };
        effort.held_us_max = clock::monotonic().us_since(began);
        let held = in_slices(&book, stale, |book, number| self.look(book, number, now, &mut effort));
        let counting = in_slices(&book, uncounted, |book, number| effort.counted += self.runs.look(book, number, now));
        effort.held_us_max = effort.held_us_max.max(held).max(counting);
        let mut snapshot = self.assemble(agents, now);
        effort.took_us = clock::monotonic().us_since(began);
        snapshot.effort = effort;
        (version, snapshot)
    }

    /// The checks of which something is not right any more.
    fn stale(&self, book: &Book, now: UtcMicros) -> Vec<CheckNo> {
        let is_stale = |check: &Check| {
            self.checks.get(&check.number).is_none_or(|kept| {
                kept.seen != counters(book, check) || now < kept.at || now >= kept.due || now >= kept.turn
            })
        };
        book.checks().filter(|check| is_stale(check)).map(|check| check.number).collect()
    }

    /// Makes anew what is not right any more of a check.
    fn look(&mut self, book: &Book, number: CheckNo, now: UtcMicros, effort: &mut Effort) {
        let Some(check) = book.check(number) else { return };
        effort.looked_at += 1;
        let seen = counters(book, check);
        let before = self.checks.remove(&number);
        let before = before.filter(|kept| {
            let ((all, _, own), (kept_all, _, kept_own)) = (seen, kept.seen);
            (all, own) == (kept_all, kept_own) && now >= kept.at && now < kept.turn
        });
        let mut kept = before.unwrap_or_else(|| Kept::of(book, check, now));
        if check.current().is_some() {
            self.living.insert(check.id.clone(), number);
        } else {
            self.living.remove(&check.id);
        }
        let right = kept.verdicts.right_until(check).filter(|until| now < *until);
        let right = right.unwrap_or_else(|| {
            effort.judged += 1;
            kept.verdicts = Verdicts::of(book, check, now);
            kept.verdicts.until
        });
        kept.due = right.min(kept.look_at_pairs(book, check, now));
        (kept.seen, kept.at) = (seen, now);
        self.checks.insert(number, kept);
    }

    fn assemble(&self, agents: Vec<AgentView>, now: UtcMicros) -> Snapshot {
        let mut gathered = Gathered::default();
        let mut checks = Vec::with_capacity(self.living.len());
        let mut strips = Vec::with_capacity(self.living.len());
        let mut texts = Texts::default();
        for kept in self.living.values().filter_map(|number| self.checks.get(number)) {
            let (strip, last) = kept.strip(now);
            let account = Account::of(&strip.spans);
            if let (Some((_, group, weight)), Some(base)) = (kept.counts.last(), &kept.base) {
                gathered.add_to(group.as_ref(), *weight, Figures::from(&account));
                let mut view = base.clone();
                show_verdict(&mut view, &strip.spans, last.as_ref());
                view.agents = kept.pairs.iter().map(|pair| Arc::clone(&pair.view)).collect();
                let amended = amendments::amended_of(&kept.amended, strip.period);
                view.sla = sla_of(&view.id, texts.of(strip.period), &account, amended);
                checks.push(Arc::new(view));
                strips.push(strip);
            }
        }
        for kept in self.checks.values().filter(|kept| kept.base.is_none()) {
            let (strip, _) = kept.strip(now);
            let counts = kept.counts.iter().rfind(|(from, ..)| *from < strip.period.to);
            let Some((_, group, weight)) = counts else { continue };
            if kept.lives.iter().any(|life| !life.clip(strip.period).is_empty()) {
                gathered.add_to(group.as_ref(), *weight, Figures::from(&Account::of(&strip.spans)));
            }
        }
        let groups = gathered.groups().map(|(group, together)| (group.to_string(), together)).collect();
        let (shelf, effort) = (list::Shelf::default(), Effort::default());
        let (global, runs) = (gathered.whole(), self.runs.sums());
        Snapshot { now, checks, strips, agents, runs, global, groups, shelf, effort }
    }
}

impl Kept {
    /// What does not change with evidence; the rest is still to be looked at.
    fn of(book: &Book, check: &Check, now: UtcMicros) -> Self {
        let current = check.current();
        let counting = check.revisions.iter().filter(|revision| match current {
            Some(current) => revision.revision == current.revision,
            None => !revision.retired,
        });
        let counts = counting
            .map(|revision| (revision.effective_from, revision.labels.group.clone(), revision.definition.weight));
        Self {
            seen: (0, 0, 0),
            at: now,
            due: now,
            turn: book.turn(check, now),
            verdicts: Verdicts { until: UtcMicros::MIN, ..Verdicts::default() },
            pairs: Vec::new(),
            lives: check.lives(),
            amended: check.amended.clone(),
            counts: counts.collect(),
            base: current.map(|current| check_base(book, check, current, now)),
        }
    }

    /// Makes anew what agents see where it is not right any more; until when all of it is.
    fn look_at_pairs(&mut self, book: &Book, check: &Check, now: UtcMicros) -> UtcMicros {
        if check.current().is_none() {
            self.pairs.clear();
            return UtcMicros::MAX;
        }
        let mut before = std::mem::take(&mut self.pairs);
        for agent in book.assigned_now(check, now) {
            let seen = check.touched.pairs.get(&agent.number).copied().unwrap_or(0);
            let same = before.iter().position(|pair| pair.agent == agent.number);
            let same = same.map(|at| before.swap_remove(at)).filter(|pair| pair.seen == seen && now < pair.until);
            let pair = same.or_else(|| {
                let (told, until) = book.agent_now(check, agent, now, now.plus_us(AHEAD_US));
                let view = Arc::new(pair_view(book, check.number, &told, now)?);
                Some(KeptPair { agent: agent.number, seen, until, view })
            });
            self.pairs.extend(pair);
        }
        self.pairs.sort_by(|a, b| (&a.view.region, &a.view.agent).cmp(&(&b.view.region, &b.view.agent)));
        self.pairs.iter().map(|pair| pair.until).min().unwrap_or(UtcMicros::MAX)
    }

    /// The verdicts of the last 24 h, clipped to the check's life, and the one of now.
    fn strip(&self, now: UtcMicros) -> (Strip, Option<VerdictSpan>) {
        let asked = period_asked(None, None, now);
        let lived = self.lives.first().zip(self.lives.last());
        let period = lived.map_or(Span::new(asked.to, asked.to), |(first, last)| {
            let lived = asked.clip(Span::new(first.from, last.to));
            Span::new(lived.from.min(lived.to), lived.to)
        });
        let clipped = |within: Span| {
            let clip = move |one: &VerdictSpan| VerdictSpan { span: one.span.clip(within), ..*one };
            let first = self.verdicts.spans.partition_point(|one| one.span.to <= within.from);
            self.verdicts.spans[first..].iter().take_while(move |one| one.span.from < within.to).map(clip)
        };
        let spans = clipped(period).filter(|one| !one.span.is_empty()).collect();
        let recent = Span::new(now.plus_us(-PERIOD_DEFAULT_US), now.plus_us(1));
        let last = clipped(recent).last().filter(|one| !one.span.is_empty());
        (Strip { period, spans }, last)
    }
}

impl Verdicts {
    fn of(book: &Book, check: &Check, now: UtcMicros) -> Self {
        let ahead = AHEAD_US + i64::from(check.number.0 % SPREAD) * 60_000_000;
        let until = now.plus_us(ahead);
        let spans = book.verdicts(check.number, &Filter::All, Span::new(now.plus_us(-PERIOD_DEFAULT_US), until));
        let marks = check.touched.pairs.iter().map(|(agent, seen)| (*agent, *seen, check.mark(*agent)));
        Self { spans: spans.unwrap_or_default(), until, marks: marks.collect() }
    }

    /// Up to which instant they are right by the evidence of now.
    fn right_until(&self, check: &Check) -> Option<UtcMicros> {
        if self.until == UtcMicros::MIN {
            return None;
        }
        let mut until = self.until;
        let mut marks = self.marks.iter();
        for (agent, seen) in &check.touched.pairs {
            // Both are in the order of agents, and no agent's counter ever goes.
            let mark = marks.find(|(of, ..)| of == agent);
            match mark {
                Some((_, marked, _)) if marked == seen => {}
                Some((.., Some(mark))) => until = until.min(check.right_until(*agent, mark)?),
                Some((.., None)) | None => return None,
            }
        }
        Some(until)
    }
}

/// The texts of a period's ends, of which most are those of the period before.
#[derive(Default)]
struct Texts {
    from: Option<(UtcMicros, String)>,
    to: Option<(UtcMicros, String)>,
}

impl Texts {
    fn of(&mut self, period: Span) -> [String; 2] {
        let text = |known: &mut Option<(UtcMicros, String)>, at: UtcMicros| match known {
            Some((of, text)) if *of == at => text.clone(),
            Some(_) | None => known.insert((at, instant::format(at))).1.clone(),
        };
        [text(&mut self.from, period.from), text(&mut self.to, period.to)]
    }
}

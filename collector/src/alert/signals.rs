//! What the present says about every (subject, kind) that an incident can be about.
//!
//! | kind | what says so |
//! |---|---|
//! | `down`, `regional`, `degraded` | the check's present ([`sitepulse_model::present`]), and what it hangs on ([`kin`]) |
//! | `agent_silent` | who is not heard of ([`agents`]) |
//! | `certificate` | the expiry that newest results tell ([`expiry`]) |
//! | `web_vitals` | regressions over runs ([`pages`]) |
//! | `slo_burn` | multi-window burn rates ([`burn`]) |
//!
//! **What a look costs.** A check is looked at when results of it came in, when what it hangs on was looked at (where it has an incident), when its incident is another
//! one than it was, when what would be said of it changes without any of that (a hold, a suspension, a window, a silence or a wait ends: [`Look::check`] adds up when), and
//! each [`LOOK_US`] in any case; all are after a change of definitions or orders. So a second costs about what its results do, however many incidents are open: that
//! looking at all of it each second says the same is tried out with random fleets.
//!
//! **Late data.** [`Present::note`] remembers up to which slot each pair's results came late (`late_after_us` in the model), for as long as that can matter: until a
//! hundred more came in time, for no check asks for more recoveries. A start takes them from the episodes of late data that are still under way
//! ([`crate::amend`]). What is left: after an episode was settled and the collector was started again, a pair of a check with several recoveries whose newest result is good,
//! came in time, and follows on failures that all came late, votes down until it has recovered.

mod agents;
mod burn;
mod expiry;
pub(crate) mod in_time;
mod kin;
mod memory;
mod pages;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use sitepulse_model::amendment::{LATE_US_MIN, late_after_us};
use sitepulse_model::control::Scope;
use sitepulse_model::id::{AgentNo, CheckNo, Revision};
use sitepulse_model::incident::machine::REOPEN_WINDOW_US;
use sitepulse_model::incident::{Condition, HoldReason, IncidentKind, Subject};
use sitepulse_model::notice::{Context, Found};
use sitepulse_model::present;
use sitepulse_model::record::Record;
use sitepulse_model::time::{SECOND_US, Span, UtcMicros};

use super::Desk;
use crate::book::{Book, Check};
use crate::engine::Engine;
use kin::Kin;
use memory::Memory;

/// A check is looked at this often, whatever happens.
const LOOK_US: i64 = 60 * SECOND_US;
/// So many results in time leave no doubt about a vote: no check asks for more recoveries.
const RECOVERIES_MAX: u32 = crate::checkfile::STREAK_MAX;

/// What the configuration says of incidents. Lengths in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// An agent that is not heard of for this long is silent.
    pub agent_silent_after_us: i64,
    /// A certificate that expires sooner than this is an incident.
    pub certificate_within_us: i64,
    /// A domain's registration that ends sooner than this is one.
    pub domain_within_us: i64,
}

/// A day, in microseconds.
pub(crate) const DAY_US: i64 = 86_400 * SECOND_US;

impl Default for Settings {
    fn default() -> Self {
        Self {
            agent_silent_after_us: 120 * SECOND_US,
            certificate_within_us: 14 * DAY_US,
            domain_within_us: 30 * DAY_US,
        }
    }
}

/// Results of a pair that came late.
#[derive(Debug, Clone, Copy)]
struct Late {
    /// The newest slot of those.
    upto: UtcMicros,
    /// How many came in time since.
    since: u32,
}

/// A newest result whose hold the book must tell before it is known whether it came late.
#[derive(Debug, Clone, Copy)]
struct Slow {
    slot: UtcMicros,
    revision: Revision,
    lag_us: i64,
}

/// What tells the present from the past.
#[derive(Debug, Default)]
pub(crate) struct Present {
    /// When the collector started: before it agents could not be heard.
    started: Option<UtcMicros>,
    settings: Settings,
    late: HashMap<(CheckNo, AgentNo), Late>,
    /// Results that came more than a minute after their slots, since the last look.
    slow: HashMap<(CheckNo, AgentNo), Slow>,
    /// When records came in, by agent.
    heard: HashMap<AgentNo, UtcMicros>,
    pages: pages::Pages,
    burns: burn::Burns,
    /// What was known in time where records came late.
    pub(crate) in_time: in_time::InTime,
    /// What the last looks found. A cache: without it everything is looked at.
    known: RefCell<Memory>,
}

impl Present {
    pub(super) fn starting(now: UtcMicros) -> Self {
        Self { started: Some(now), ..Self::default() }
    }

    /// The clock was set back: nothing was heard later than now.
    pub(super) fn turn_back(&mut self, book: &Book, now: UtcMicros) {
        self.started = self.started.map(|started| started.min(now));
        self.heard.values_mut().for_each(|heard| *heard = now.min(*heard));
        for agent in book.agents() {
            agent.presence.update(|presence| presence.last_seen = presence.last_seen.map(|seen| seen.min(now)));
        }
    }

    /// The pairs whose newest results came late before the start, with the newest slot of those.
    pub(crate) fn restore_late(&mut self, pairs: impl IntoIterator<Item = ((CheckNo, AgentNo), UtcMicros)>) {
        self.late.extend(pairs.into_iter().map(|(pair, upto)| (pair, Late { upto, since: 0 })));
    }

    /// A record is stored that was new.
    pub(super) fn note(&mut self, agent: AgentNo, record: &Record, received: UtcMicros) {
        let heard = self.heard.entry(agent).or_insert(received);
        *heard = received.max(*heard);
        let Record::Result(result) = record else { return };
        let pair = (result.check, agent);
        let lag_us = received.us_since(result.scheduled);
        if lag_us > LATE_US_MIN {
            // Whether that is late depends on how long it holds, which the book tells: at the next look.
            let slow = Slow { slot: result.scheduled, revision: result.revision, lag_us };
            let newest = self.slow.entry(pair).or_insert(slow);
            if newest.slot <= slow.slot {
                *newest = slow;
            }
        } else if let Some(late) = self.late.get_mut(&pair).filter(|late| result.scheduled > late.upto) {
            late.since += 1;
            if late.since >= RECOVERIES_MAX {
                self.late.remove(&pair);
            }
        }
    }

    /// The live voters of a check, as the last look found them.
    pub(super) fn live(&self, check: CheckNo) -> Vec<AgentNo> {
        self.known.borrow().live(check).to_vec()
    }

    /// Up to which slot results of a pair came late.
    pub(crate) fn late_upto(&self, book: &Book, pair: (CheckNo, AgentNo)) -> Option<UtcMicros> {
        let known = self.late.get(&pair).map(|late| late.upto);
        let slow = self.slow.get(&pair).filter(|slow| slow.lag_us > late_after_us(book.holds(pair.0, slow.revision).0));
        known.max(slow.map(|slow| slow.slot))
    }

    /// Judges what came slowly.
    fn settle_slow(&mut self, book: &Book) {
        for (pair, slow) in std::mem::take(&mut self.slow) {
            if slow.lag_us > late_after_us(book.holds(pair.0, slow.revision).0) {
                let late = self.late.entry(pair).or_insert(Late { upto: slow.slot, since: 0 });
                if late.upto <= slow.slot {
                    *late = Late { upto: slow.slot, since: 0 };
                }
            }
        }
    }
}

/// What the present says about one (subject, kind).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signal {
    pub(crate) subject: Subject,
    pub(crate) kind: IncidentKind,
    pub(crate) condition: Condition,
    /// What keeps its pages still.
    pub(crate) hold: Option<HoldReason>,
    /// Whether it stays a suspicion because something that the check hangs on is down.
    pub(crate) behind: bool,
}

impl Engine {
    /// Sets what the configuration says of incidents.
    pub fn set_incidents(&mut self, settings: Settings) {
        self.alert.present.settings = settings;
    }

    /// Gathers what is not in the book: what came late, vitals, burn rates. Takes some milliseconds at most.
    pub(super) fn gather(&mut self, everything: bool, now: UtcMicros) {
        let shared = std::sync::Arc::clone(&self.shared);
        self.alert.present.settle_slow(&shared.book());
        pages::gather(self, everything, now);
        if everything {
            burn::gather(self, now);
        }
    }
}

/// What keeps the pages of a check's incidents still, but for its parents.
pub(super) fn hold_of(book: &Book, _desk: &Desk, check: CheckNo, now: UtcMicros) -> Option<HoldReason> {
    let covered = !book.windows(check, Span::new(now, now.plus_us(1))).spans().is_empty();
    // Who suspends a check as a whole wants to hear nothing of it.
    let suspended = || book.control().scope_suspended_at(Scope::Check(check), now).is_some();
    match covered {
        true => Some(HoldReason::Maintenance),
        false if suspended() => Some(HoldReason::Silence),
        false => None,
    }
}

/// What is so of a check, as its incidents see it: without windows, and without what came late.
pub(super) fn present_of(book: &Book, desk: &Desk, check: &Check, now: UtcMicros) -> present::Present {
    book.present(check, now, |agent| desk.present.late_upto(book, (check.number, agent)))
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Extent<'a> {
    /// These checks.
    Checks(&'a BTreeSet<CheckNo>),
    /// All that is due, these checks among it.
    Due(&'a BTreeSet<CheckNo>),
    /// Everything: nothing that was found before counts.
    All,
}

/// Calls `take` with every signal that can matter. What is fine and has no incident is not told.
pub(super) fn each(book: &Book, desk: &Desk, extent: Extent<'_>, now: UtcMicros, take: impl FnMut(Signal)) {
    let signals = {
        let mut memory = desk.present.known.borrow_mut();
        memory.looked.clear();
        let mut look =
            Look { book, desk, now, memory: &mut memory, kin: HashMap::new(), turn: None, signals: Vec::new() };
        match extent {
            Extent::Checks(checks) => look.checks(checks),
            Extent::Due(checks) => look.due(checks),
            Extent::All => look.everything(),
        }
        look.signals
    };
    // Who takes them may ask what was found.
    signals.into_iter().for_each(take);
}

/// The checks that the last look looked at.
pub(super) fn looked(desk: &Desk) -> Vec<CheckNo> {
    desk.present.known.borrow().looked.clone()
}

/// What a message says beside the incident itself, as far as the present tells: the checks that a silent agent leaves unwatched, those that hang on a check.
pub(super) fn context(book: &Book, desk: &Desk, subject: &Subject, kind: IncidentKind, now: UtcMicros) -> Context {
    let checks = match (subject, kind) {
        (Subject::Agent(agent), IncidentKind::AgentSilent) => {
            agents::unwatched(book, &desk.present, &desk.present.known.borrow(), *agent, now)
        }
        (Subject::Check(check), IncidentKind::Down) => kin::children(book, *check),
        (Subject::Check(_) | Subject::Agent(_) | Subject::Slo(_) | Subject::Manual(_), _) => Vec::new(),
    };
    let named = checks.into_iter().filter_map(|check| book.check(check)).map(|check| check.id.to_string());
    Context { checks: named.take(CHECKS_NAMED_MAX).collect(), ..Context::default() }
}

/// What was found of what no vote is about.
pub(super) struct Finding {
    pub(super) found: Found,
    /// Where, of a page that got slower.
    pub(super) regions: Vec<String>,
    /// In how many regions it is measured; 0 where that is not the question.
    pub(super) regions_of: u32,
}

/// What was found, where the incident is about what no vote is about; `None` also where nothing is any more.
pub(super) fn found(
    book: &Book,
    desk: &Desk,
    subject: &Subject,
    kind: IncidentKind,
    now: UtcMicros,
) -> Option<Finding> {
    let alone = |found: Found| Finding { found, regions: Vec::new(), regions_of: 0 };
    match (subject, kind) {
        (Subject::Check(number), IncidentKind::Certificate) => {
            let check = book.check(*number)?;
            let present = present_of(book, desk, check, now);
            expiry::found(&desk.present.settings, check, &present).map(alone)
        }
        (Subject::Check(number), IncidentKind::WebVitals) => {
            let pages::Slower { found, regions, regions_of, .. } = desk.present.pages.slower(*number)?;
            Some(Finding { found: found.clone(), regions: regions.clone(), regions_of: *regions_of })
        }
        (Subject::Slo(id), IncidentKind::SloBurn) => desk.present.burns.of(id).map(alone),
        (Subject::Check(_) | Subject::Agent(_) | Subject::Slo(_) | Subject::Manual(_), _) => None,
    }
}

/// Most checks that a message names.
const CHECKS_NAMED_MAX: usize = 50;

/// A look at the present under way.
struct Look<'a> {
    book: &'a Book,
    desk: &'a Desk,
    now: UtcMicros,
    memory: &'a mut Memory,
    /// What checks that others hang on say.
    kin: HashMap<CheckNo, Kin>,
    /// When a silence begins or ends next, once asked.
    turn: Option<Option<UtcMicros>>,
    signals: Vec<Signal>,
}

impl Look<'_> {
    fn everything(&mut self) {
        self.memory.forget(self.book);
        let all: BTreeSet<CheckNo> = self.book.checks().map(|check| check.number).collect();
        self.checks(&all);
        self.rest(&self.desk.by_key.keys().cloned().collect::<Vec<_>>());
    }

    fn due(&mut self, touched: &BTreeSet<CheckNo>) {
        let mut due: BTreeSet<CheckNo> = self.memory.due(self.now).chain(touched.iter().copied()).collect();
        let behind = self.memory.behind(&due);
        due.extend(behind.into_iter().filter(|check| self.desk.incidents_of(*check).next().is_some()));
        self.checks(&due);
        let others = (Bound::Included((Subject::Agent(AgentNo(0)), IncidentKind::ALL[0])), Bound::Unbounded);
        let concerned = due.iter().flat_map(|check| self.desk.incidents_of(*check)).cloned();
        let concerned = concerned.chain(self.desk.by_key.range(others).map(|(key, _)| key.clone()));
        self.rest(&concerned.collect::<Vec<_>>());
    }

    fn checks(&mut self, checks: &BTreeSet<CheckNo>) {
        let book = self.book;
        checks.iter().filter_map(|number| book.check(*number)).for_each(|check| self.check(check));
    }

    /// What is no check's, and which of these subjects ended.
    fn rest(&mut self, known: &[(Subject, IncidentKind)]) {
        agents::each(self);
        burn::each(self);
        self.ended(known);
    }

    /// Whether there is an incident of this subject and kind, and whether that is open.
    fn standing(&self, subject: &Subject, kind: IncidentKind) -> Option<bool> {
        let id = self.desk.by_key.get(&(subject.clone(), kind))?;
        Some(self.desk.standing.get(id).is_some_and(|standing| standing.incident.life.state.is_open()))
    }

    /// Tells a signal where it can matter.
    fn tell(&mut self, subject: &Subject, kind: IncidentKind, condition: Condition, hold: Option<HoldReason>) {
        self.signals.push(Signal { subject: subject.clone(), kind, condition, hold, behind: false });
    }

    /// What was bad must be fine for a while before it is said to be; the instant: when that is over. It is remembered until it is written down that the incident is over:
    /// a write that fails must not have it wait anew.
    fn settled(
        &mut self,
        subject: &Subject,
        kind: IncidentKind,
        condition: Condition,
        after_us: i64,
    ) -> (Condition, Option<UtcMicros>) {
        let key = (subject.clone(), kind);
        let bad = matches!(condition, Condition::Bad { .. } | Condition::Suspect { .. });
        if bad || self.standing(subject, kind) != Some(true) {
            self.memory.fine.remove(&key);
        }
        // Not to know makes nothing bad again.
        if condition != Condition::Good || self.standing(subject, kind) != Some(true) {
            return (condition, None);
        }
        let since = *self.memory.fine.entry(key).or_insert(self.now);
        if (0..after_us).contains(&self.now.us_since(since)) {
            return (Condition::Unknown, Some(since.plus_us(after_us)));
        }
        (condition, None)
    }

    /// When what holds a check's incidents, or whether one that is over is meant, is another next though nothing is said of the check.
    fn turns(&mut self, check: CheckNo) -> Option<UtcMicros> {
        let (book, desk, now) = (self.book, self.desk, self.now);
        let silence = *self.turn.get_or_insert_with(|| desk.silences.next_turn(now));
        let covered = book.windows(check, Span::new(now, now.plus_us(LOOK_US)));
        let bounds = covered.spans().iter().flat_map(|span| [span.from, span.to]);
        let window = bounds.filter(|at| *at > now).min();
        let order = book.control().next_change_of(Scope::Check(check), now);
        let over = desk
            .incidents_of(check)
            .filter_map(|key| desk.standing.get(desk.by_key.get(key)?)?.incident.life.resolved_at);
        let over = over.map(|at| at.plus_us(REOPEN_WINDOW_US + 1)).filter(|at| *at > now).min();
        [silence, window, order, over].into_iter().flatten().min()
    }

    fn check(&mut self, check: &Check) {
        let Some(current) = check.current() else {
            self.retired(check.number);
            return;
        };
        let (book, desk, now) = (self.book, self.desk, self.now);
        let late = |agent| desk.present.late_upto(book, (check.number, agent));
        let present = book.present(check, now, late);
        let subject = Subject::Check(check.number);
        let mut held: Option<Option<HoldReason>> = None;
        let class = current.labels.class;
        let mut next = present.next.unwrap_or(UtcMicros::MAX).min(now.plus_us(LOOK_US));
        let mut by = |at: Option<UtcMicros>| next = at.map_or(next, |at| next.min(at));
        for (kind, condition) in present.conditions(class) {
            let standing = self.standing(&subject, kind);
            if standing.is_none() && matches!(condition, Condition::Good | Condition::Unknown) {
                continue;
            }
            let hold = *held.get_or_insert_with(|| hold_of(book, desk, check.number, now));
            if current.labels.parents.is_empty() {
                self.tell(&subject, kind, condition, hold);
                continue;
            }
            let left = self.behind(check, &present, condition, standing == Some(true));
            by(left.noticed);
            let (condition, hold) = (left.condition, hold.or(left.hold));
            self.signals.push(Signal { subject: subject.clone(), kind, condition, hold, behind: left.behind });
        }
        let expiry = expiry::of(&desk.present.settings, check, &present, now);
        by(expiry.next);
        for (kind, condition, settle_us) in [
            (IncidentKind::Certificate, expiry.condition, expiry::SETTLE_US),
            (IncidentKind::WebVitals, desk.present.pages.condition(check, class), 0),
        ] {
            let calm = matches!(condition, Condition::Good | Condition::Unknown);
            if self.standing(&subject, kind).is_none() && calm {
                continue;
            }
            let (condition, wait) = self.settled(&subject, kind, condition, settle_us);
            by(wait);
            let hold = *held.get_or_insert_with(|| hold_of(book, desk, check.number, now));
            self.tell(&subject, kind, condition, hold);
        }
        if held.is_some() {
            by(self.turns(check.number));
        }
        let live = present.voices.iter().map(|voice| voice.agent).collect();
        self.memory.note(check.number, next, live);
    }

    /// A check that is retired says nothing; what holds its incidents changes with time all the same.
    fn retired(&mut self, check: CheckNo) {
        if self.desk.incidents_of(check).next().is_none() {
            self.memory.drop(check);
            return;
        }
        let next = self.now.plus_us(LOOK_US);
        let next = self.turns(check).map_or(next, |turn| turn.min(next));
        self.memory.note(check, next, Vec::new());
    }

    /// What ended of these is fine: a check that is retired, an agent that is gone, a promise that nobody makes any more.
    fn ended(&mut self, known: &[(Subject, IncidentKind)]) {
        let book = self.book;
        for (subject, kind) in known {
            let gone = match subject {
                Subject::Check(check) => book.check(*check).is_none_or(Check::retired),
                Subject::Agent(agent) => book.agent(*agent).is_none(),
                Subject::Slo(id) => book.objects().slos.current(id).is_none(),
                Subject::Manual(_) => false,
            };
            if gone && *kind != IncidentKind::Manual {
                self.tell(subject, *kind, Condition::Good, None);
            }
        }
    }
}

/// Whether a verdict's voters are bad.
fn bad_voice(voice: &present::Voice) -> bool {
    use sitepulse_model::vote::Vote;
    voice.vote != Vote::Up || voice.newest != Vote::Up
}

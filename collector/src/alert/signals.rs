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
//! **What a look costs.** A check is looked at when results of it came in, when it has an incident, when its present would change without results (a hold or a
//! suspension ends: [`Known::next`]), and each [`LOOK_US`] in any case; all are after a change of definitions or orders, and after a write that failed. So a second costs
//! about what its results do.
//!
//! **Late data.** [`Present::note`] remembers up to which slot each pair's results came late (`late_after_us` in the model), for as long as that can matter: until a
//! hundred more came in time, for no check asks for more recoveries. A start takes them from the episodes of late data that are still under way
//! ([`crate::amend`]). What is left: after an episode was settled and the collector was started again, a pair of a check with several recoveries whose newest result is good,
//! came in time, and follows on failures that all came late, votes down until it has recovered.

mod agents;
mod burn;
mod expiry;
mod kin;
mod pages;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};

use sitepulse_model::amendment::{LATE_US_MIN, late_after_us};
use sitepulse_model::control::Scope;
use sitepulse_model::id::{AgentNo, CheckNo, Revision};
use sitepulse_model::incident::{Condition, HoldReason, IncidentKind, Subject};
use sitepulse_model::notice::Context;
use sitepulse_model::present;
use sitepulse_model::record::Record;
use sitepulse_model::time::{SECOND_US, Span, UtcMicros};

use super::Desk;
use crate::book::{Book, Check};
use crate::engine::Engine;
use kin::Kin;

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
    /// What the last looks found. A cache: without it everything is looked at.
    known: RefCell<Memory>,
}

/// What the last look at a check found.
#[derive(Debug, Clone)]
struct Known {
    /// When to look again.
    next: UtcMicros,
    /// Its live voters.
    live: Vec<AgentNo>,
}

#[derive(Debug, Default)]
struct Memory {
    /// The book's version that all of it is of.
    version: Option<u64>,
    looked: Option<UtcMicros>,
    checks: HashMap<CheckNo, Known>,
    /// Since when what has an open incident is fine.
    fine: HashMap<(Subject, IncidentKind), UtcMicros>,
    silent: HashMap<AgentNo, agents::Silent>,
}

impl Present {
    pub(super) fn starting(now: UtcMicros) -> Self {
        Self { started: Some(now), ..Self::default() }
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

    /// Up to which slot results of a pair came late.
    fn late_upto(&self, book: &Book, pair: (CheckNo, AgentNo)) -> Option<UtcMicros> {
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

/// Calls `take` with every signal that can matter: of these checks, or of everything. What is fine and has no incident is not told.
pub(super) fn each(
    book: &Book,
    desk: &Desk,
    checks: Option<&BTreeSet<CheckNo>>,
    now: UtcMicros,
    take: impl FnMut(Signal),
) {
    let signals = {
        let mut memory = desk.present.known.borrow_mut();
        let mut look = Look { book, desk, now, memory: &mut memory, kin: HashMap::new(), signals: Vec::new() };
        match checks {
            Some(checks) => checks.iter().filter_map(|number| book.check(*number)).for_each(|check| look.check(check)),
            None => look.everything(),
        }
        look.signals
    };
    // Who takes them may ask what was found.
    signals.into_iter().for_each(take);
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
    signals: Vec<Signal>,
}

impl Look<'_> {
    fn everything(&mut self) {
        let version = Some(self.book.version());
        let back = self.memory.looked.is_some_and(|looked| self.now < looked);
        if self.memory.version != version || back || self.desk.not_before.is_some() {
            self.memory.checks.clear();
        }
        (self.memory.version, self.memory.looked) = (version, Some(self.now));
        let concerned: HashSet<CheckNo> = self
            .desk
            .by_key
            .keys()
            .filter_map(|(subject, _)| match subject {
                Subject::Check(check) => Some(*check),
                Subject::Agent(_) | Subject::Slo(_) | Subject::Manual(_) => None,
            })
            .collect();
        for check in self.book.checks() {
            let due = self.memory.checks.get(&check.number).is_none_or(|known| known.next <= self.now);
            if due || concerned.contains(&check.number) || self.desk.touched.contains(&check.number) {
                self.check(check);
            }
        }
        agents::each(self);
        burn::each(self);
        self.ended();
    }

    /// Whether there is an incident of this subject and kind, and whether that is open.
    fn standing(&self, subject: &Subject, kind: IncidentKind) -> Option<bool> {
        let id = self.desk.by_key.get(&(subject.clone(), kind))?;
        Some(self.desk.standing.get(id).is_some_and(|standing| standing.incident.life.state.is_open()))
    }

    /// Tells a signal where it can matter.
    fn tell(&mut self, subject: &Subject, kind: IncidentKind, condition: Condition, hold: Option<HoldReason>) {
        self.signals.push(Signal { subject: subject.clone(), kind, condition, hold });
    }

    /// What was bad must be fine for a while before it is said to be.
    fn settled(&mut self, subject: &Subject, kind: IncidentKind, condition: Condition, after_us: i64) -> Condition {
        let key = (subject.clone(), kind);
        let bad = matches!(condition, Condition::Bad { .. } | Condition::Suspect { .. });
        if bad || self.standing(subject, kind) != Some(true) {
            self.memory.fine.remove(&key);
        }
        // Not to know makes nothing bad again.
        if condition != Condition::Good || self.standing(subject, kind) != Some(true) {
            return condition;
        }
        let since = *self.memory.fine.entry(key.clone()).or_insert(self.now);
        if (0..after_us).contains(&self.now.us_since(since)) {
            return Condition::Unknown;
        }
        self.memory.fine.remove(&key);
        condition
    }

    fn check(&mut self, check: &Check) {
        let Some(current) = check.current() else { return };
        let (book, desk, now) = (self.book, self.desk, self.now);
        let late = |agent| desk.present.late_upto(book, (check.number, agent));
        let present = book.present(check, now, late);
        let subject = Subject::Check(check.number);
        let mut held: Option<Option<HoldReason>> = None;
        let class = current.labels.class;
        for (kind, condition) in present.conditions(class) {
            let standing = self.standing(&subject, kind);
            if standing.is_none() && matches!(condition, Condition::Good | Condition::Unknown) {
                continue;
            }
            let hold = *held.get_or_insert_with(|| hold_of(book, desk, check.number, now));
            let (condition, parent) = if current.labels.parents.is_empty() {
                (condition, None)
            } else {
                self.behind(check, &present, condition, standing == Some(true))
            };
            self.tell(&subject, kind, condition, hold.or(parent));
        }
        let mut next = present.next.unwrap_or(UtcMicros::MAX).min(now.plus_us(LOOK_US));
        let expiry = expiry::of(&desk.present.settings, check, &present, now);
        next = expiry.next.map_or(next, |at| next.min(at));
        for (kind, condition, settle_us) in [
            (IncidentKind::Certificate, expiry.condition, expiry::SETTLE_US),
            (IncidentKind::WebVitals, desk.present.pages.condition(check, class), 0),
        ] {
            let calm = matches!(condition, Condition::Good | Condition::Unknown);
            if self.standing(&subject, kind).is_none() && calm {
                continue;
            }
            let condition = self.settled(&subject, kind, condition, settle_us);
            let hold = *held.get_or_insert_with(|| hold_of(book, desk, check.number, now));
            self.tell(&subject, kind, condition, hold);
        }
        let live = present.voices.iter().map(|voice| voice.agent).collect();
        self.memory.checks.insert(check.number, Known { next, live });
    }

    /// What ended is fine: a check that is retired, an agent that is gone, a promise that nobody makes any more.
    fn ended(&mut self) {
        let book = self.book;
        let gone = |subject: &Subject| match subject {
            Subject::Check(check) => book.check(*check).is_none_or(Check::retired),
            Subject::Agent(agent) => book.agent(*agent).is_none(),
            Subject::Slo(id) => book.objects().slos.current(id).is_none(),
            Subject::Manual(_) => false,
        };
        let gone = |(subject, kind): &&(Subject, IncidentKind)| *kind != IncidentKind::Manual && gone(subject);
        let ended: Vec<(Subject, IncidentKind)> = self.desk.by_key.keys().filter(gone).cloned().collect();
        for (subject, kind) in ended {
            self.tell(&subject, kind, Condition::Good, None);
        }
        self.memory.checks.retain(|check, _| book.check(*check).is_some_and(|check| !check.retired()));
    }
}

/// Whether a verdict's voters are bad.
fn bad_voice(voice: &present::Voice) -> bool {
    use sitepulse_model::vote::Vote;
    voice.vote != Vote::Up || voice.newest != Vote::Up
}

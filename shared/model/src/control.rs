//! Control events and the effective-dated histories they fold into: weights and suspensions.
//!
//! An event applies from its own instant on and never rewrites the past. Two sides may give events while cut off from each other;
//! the union is ordered by time, then author, then number, so every side folds the same history and nobody's event is lost.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::id::{AgentNo, CheckNo};
use crate::time::{Span, UtcMicros, union};

/// A weight in thousandths, 0 to 1,000,000 (`0.001` steps up to 1000). Integers keep shares exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(pub u32);

impl Weight {
    /// The default: 1.
    pub const ONE: Self = Self(1000);
    /// Watched, but never counted.
    pub const ZERO: Self = Self(0);
    /// The largest: 1000.
    pub const MAX: Self = Self(1_000_000);

    /// Parses `2`, `1.5` or `0.25`: 0 to 1000 with at most 3 decimals.
    pub fn parse(text: &str) -> Result<Self, WeightError> {
        let error = || WeightError { text: String::from(text) };
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty()
            || whole.len() > 4
            || decimals.len() > 3
            || !digits(whole)
            || !digits(decimals)
            || (decimals.is_empty() && text.contains('.'))
        {
            return Err(error());
        }
        let number = |text: &str| text.bytes().fold(0_u32, |n, b| n * 10 + u32::from(b - b'0'));
        let thousandths = number(whole) * 1000 + number(decimals) * 10_u32.pow(3 - decimals.len() as u32);
        if thousandths > Self::MAX.0 { Err(error()) } else { Ok(Self(thousandths)) }
    }

    /// The weight as a number, for JSON.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, thousandths) = (self.0 / 1000, self.0 % 1000);
        if thousandths == 0 {
            return write!(f, "{whole}");
        }
        let decimals = alloc::format!("{thousandths:03}");
        write!(f, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

/// Why a text is no weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightError {
    /// The text as given.
    pub text: String,
}

impl fmt::Display for WeightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no weight: use a number from 0 to 1000 with at most 3 decimals, as in 1.5", self.text)
    }
}

impl core::error::Error for WeightError {}

/// What a control event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A whole agent.
    Agent(AgentNo),
    /// One check on one agent.
    AgentCheck(AgentNo, CheckNo),
    /// One check on every agent.
    Check(CheckNo),
}

/// What a control event does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Stops runs until an instant, or until a resume before it.
    Suspend {
        /// First instant of running again.
        until: UtcMicros,
        /// Why; 1 to 500 bytes.
        reason: String,
    },
    /// Ends a suspension of the same scope.
    Resume,
    /// Sets the vote's weight. Not for [`Scope::Check`] (a check's weight is part of its definition).
    Weight(Weight),
}

/// Names an event for ever: no two events share one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// `agent:NAME` for an agent's own CLI, `collector:USER` for the collector's. At most 100 bytes.
    pub author: String,
    /// Counts the author's events, from 1.
    pub number: u64,
}

/// A change of a weight or a suspension, by somebody, at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlEvent {
    /// Its name.
    pub id: EventId,
    /// When it was given, and applies from.
    pub at: UtcMicros,
    /// What it is about.
    pub scope: Scope,
    /// What it does.
    pub change: Change,
}

/// Longest author of an event, in bytes.
pub const AUTHOR_BYTES_MAX: usize = 100;
/// How long a suspension lasts where nobody says: an hour, in microseconds.
pub const SUSPENSION_US_DEFAULT: i64 = 3600 * 1_000_000;
/// Longest suspension that people may ask for: 366 days, in microseconds.
pub const SUSPENSION_US_MAX: i64 = 366 * 86_400 * 1_000_000;
/// Longest reason of a suspension, in bytes.
pub const REASON_BYTES_MAX: usize = 500;

/// What is wrong with a control event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlError {
    /// The author is empty, too long, or holds control characters.
    Author,
    /// The author's number is 0.
    Number,
    /// The reason is empty, too long, or holds control characters.
    Reason,
    /// A suspension that ends before it begins.
    Until,
    /// A suspension longer than [`SUSPENSION_US_MAX`].
    TooLong,
    /// A weight above [`Weight::MAX`].
    Weight,
    /// A weight for [`Scope::Check`].
    WeightOfCheck,
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Author => write!(f, "the author must be 1 to {AUTHOR_BYTES_MAX} bytes of plain text"),
            Self::Number => f.write_str("the event's number must be 1 or more"),
            Self::Reason => {
                write!(
                    f,
                    "the reason of a suspension must be 1 to {REASON_BYTES_MAX} bytes on one line; tell why it is suspended"
                )
            }
            Self::Until => f.write_str("the suspension ends before it begins; give a later end"),
            Self::TooLong => f.write_str("a suspension lasts 366 days at most: give an earlier end"),
            Self::Weight => f.write_str("the weight is above 1000; use a number from 0 to 1000"),
            Self::WeightOfCheck => {
                f.write_str("a check's weight is part of its definition; change it there, or name an agent")
            }
        }
    }
}

impl core::error::Error for ControlError {}

fn plain(text: &str, bytes_max: usize) -> bool {
    !text.trim().is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control)
}

impl ControlEvent {
    /// Checks lengths and ranges. Events from outside are checked before they are kept; [`ControlLog`] folds any event.
    pub fn validate(&self) -> Result<(), ControlError> {
        if !plain(&self.id.author, AUTHOR_BYTES_MAX) {
            return Err(ControlError::Author);
        }
        if self.id.number == 0 {
            return Err(ControlError::Number);
        }
        match &self.change {
            Change::Suspend { until, reason } => {
                if !plain(reason, REASON_BYTES_MAX) {
                    return Err(ControlError::Reason);
                }
                if *until <= self.at {
                    return Err(ControlError::Until);
                }
            }
            Change::Resume => {}
            Change::Weight(weight) => {
                if matches!(self.scope, Scope::Check(_)) {
                    return Err(ControlError::WeightOfCheck);
                }
                if *weight > Weight::MAX {
                    return Err(ControlError::Weight);
                }
            }
        }
        Ok(())
    }
}

impl ControlEvent {
    /// What whoever gives an order is held to besides [`Self::validate`]. Not what a frame is held to: one order that asks for too much must not keep the others.
    pub fn allowed(&self) -> Result<(), ControlError> {
        self.validate()?;
        match &self.change {
            Change::Suspend { until, .. } if until.us_since(self.at) > SUSPENSION_US_MAX => Err(ControlError::TooLong),
            Change::Suspend { .. } | Change::Resume | Change::Weight(_) => Ok(()),
        }
    }
}

/// A stretch of one scope's suspension, as one event set it.
///
/// A second suspension of a scope that is suspended already ends the first one's stretch and starts its own: both authors and
/// reasons stay in the history, and the two stretches touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// When; never empty.
    pub span: Span,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
    /// What is suspended.
    pub scope: Scope,
}

/// Orders events: time, then author, then number.
type Key = (UtcMicros, EventId);

#[derive(Debug, Clone, Default)]
struct Folded {
    events: BTreeMap<Key, Change>,
    suspensions: Vec<Suspension>,
    /// Whether the last of `suspensions` is not ended by an event yet.
    open: bool,
    weights: Vec<(UtcMicros, Weight)>,
}

impl Folded {
    /// Adds an event. What comes last, as nearly all do, is folded alone; else all are folded again.
    fn insert(&mut self, key: Key, change: Change, scope: Scope) {
        let last = self.events.last_key_value().is_none_or(|(newest, _)| *newest < key);
        if last {
            self.fold(&key, &change, scope);
        }
        self.events.insert(key, change);
        if !last {
            self.suspensions.clear();
            self.open = false;
            self.weights.clear();
            let events = core::mem::take(&mut self.events);
            for (key, change) in &events {
                self.fold(key, change, scope);
            }
            self.events = events;
        }
    }

    fn fold(&mut self, (at, id): &Key, change: &Change, scope: Scope) {
        match change {
            Change::Suspend { until, reason } => {
                self.close(*at);
                let span = Span::new(*at, *until);
                self.open = !span.is_empty();
                if self.open {
                    let (reason, author) = (reason.clone(), id.author.clone());
                    self.suspensions.push(Suspension { span, reason, author, scope });
                }
            }
            Change::Resume => self.close(*at),
            Change::Weight(weight) => {
                if self.weights.last().is_some_and(|(last, _)| last == at) {
                    self.weights.pop();
                }
                self.weights.push((*at, *weight));
            }
        }
    }

    /// Ends the open stretch at `at` or at its own end, whichever is first.
    fn close(&mut self, at: UtcMicros) {
        if core::mem::take(&mut self.open)
            && let Some(suspension) = self.suspensions.last_mut()
        {
            suspension.span.to = suspension.span.to.min(at);
            if suspension.span.is_empty() {
                self.suspensions.pop();
            }
        }
    }

    fn suspended_at(&self, at: UtcMicros) -> Option<&Suspension> {
        let after = self.suspensions.partition_point(|suspension| suspension.span.from <= at);
        self.suspensions[..after].last().filter(|suspension| suspension.span.contains(at))
    }

    /// The first instant after `at` at which a suspension begins or ends, or a weight is another.
    fn next_change(&self, at: UtcMicros) -> Option<UtcMicros> {
        let ends = self.suspensions.partition_point(|suspension| suspension.span.to <= at);
        let ahead =
            self.suspensions.get(ends).map(|Suspension { span, .. }| if span.from > at { span.from } else { span.to });
        let weights = self.weights.partition_point(|(from, _)| *from <= at);
        [ahead, self.weights.get(weights).map(|(from, _)| *from)].into_iter().flatten().min()
    }
}

/// A set of control events with what they fold into. A pure function of the set: order and duplicates do not matter.
///
/// Folding, per scope: a suspension starts at its instant and ends at its `until`, at the next resume or at the next suspension
/// of the same scope (which replaces it). A suspension whose `until` is not after its instant suspends nothing, and still ends
/// the one before. Scopes do not touch each other: resuming a check on one agent does not lift the agent's own suspension.
#[derive(Debug, Clone, Default)]
pub struct ControlLog {
    ids: BTreeMap<EventId, UtcMicros>,
    order: BTreeMap<Key, Scope>,
    scopes: BTreeMap<Scope, Folded>,
}

impl ControlLog {
    /// A log without events.
    pub const fn new() -> Self {
        Self { ids: BTreeMap::new(), order: BTreeMap::new(), scopes: BTreeMap::new() }
    }

    /// Adds an event; `false` when its id is known already (the one known stays).
    pub fn insert(&mut self, event: ControlEvent) -> bool {
        if self.ids.contains_key(&event.id) {
            return false;
        }
        self.ids.insert(event.id.clone(), event.at);
        let key = (event.at, event.id);
        self.order.insert(key.clone(), event.scope);
        self.scopes.entry(event.scope).or_default().insert(key, event.change, event.scope);
        true
    }

    /// Whether an event of this id is known.
    pub fn contains(&self, id: &EventId) -> bool {
        self.ids.contains_key(id)
    }

    /// The event of an id.
    pub fn event(&self, id: &EventId) -> Option<ControlEvent> {
        let (id, at) = self.ids.get_key_value(id)?;
        let key = (*at, id.clone());
        let scope = *self.order.get(&key)?;
        let change = self.scopes.get(&scope)?.events.get(&key)?.clone();
        Some(ControlEvent { id: key.1, at: key.0, scope, change })
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Every event, by time, author and number.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = ControlEvent> {
        self.events_where(|_, _| true)
    }

    /// The events that `wanted` lets pass, by time, author and number. The others are not copied.
    pub fn events_where(
        &self,
        wanted: impl Fn(&EventId, Scope) -> bool,
    ) -> impl DoubleEndedIterator<Item = ControlEvent> {
        self.order.iter().filter(move |((_, id), scope)| wanted(id, **scope)).filter_map(|(key, scope)| {
            let change = self.scopes.get(scope)?.events.get(key)?.clone();
            Some(ControlEvent { id: key.1.clone(), at: key.0, scope: *scope, change })
        })
    }

    /// The highest number that `author` has given, 0 before the first.
    pub fn last_number(&self, author: &str) -> u64 {
        self.ids_of(author).next_back().map_or(0, |id| id.number)
    }

    /// How many events `author` has given. Counts them one by one.
    pub fn count_of(&self, author: &str) -> usize {
        self.ids_of(author).count()
    }

    fn ids_of(&self, author: &str) -> impl DoubleEndedIterator<Item = &EventId> {
        let from = EventId { author: String::from(author), number: 0 };
        let to = EventId { author: String::from(author), number: u64::MAX };
        self.ids.range(from..=to).map(|(id, _)| id)
    }

    /// The weight of `agent`'s vote on `check` over time: steps `(from, weight)`, starting at [`UtcMicros::MIN`] with 1, no two
    /// equal neighbours. From the first weight given for the check on the agent on, that one counts; before, the agent's own.
    pub fn weights(&self, agent: AgentNo, check: CheckNo) -> Vec<(UtcMicros, Weight)> {
        let own = self.weight_events(Scope::Agent(agent));
        let exact = self.weight_events(Scope::AgentCheck(agent, check));
        let until = exact.first().map_or(UtcMicros::MAX, |(at, _)| *at);
        steps(own.iter().take_while(|(at, _)| *at < until).chain(exact))
    }

    /// The weight of an agent itself over time, as [`ControlLog::weights`] for a check without a weight of its own.
    pub fn agent_weights(&self, agent: AgentNo) -> Vec<(UtcMicros, Weight)> {
        steps(self.weight_events(Scope::Agent(agent)).iter())
    }

    /// The weight of `agent`'s vote on `check` at an instant.
    pub fn weight_at(&self, agent: AgentNo, check: CheckNo, at: UtcMicros) -> Weight {
        let latest = |scope| {
            let events = self.weight_events(scope);
            let after = events.partition_point(|(from, _)| *from <= at);
            events[..after].last().map(|(_, weight)| *weight)
        };
        latest(Scope::AgentCheck(agent, check)).or_else(|| latest(Scope::Agent(agent))).unwrap_or_default()
    }

    fn weight_events(&self, scope: Scope) -> &[(UtcMicros, Weight)] {
        self.scopes.get(&scope).map_or(&[], |folded| &folded.weights)
    }

    /// One scope's suspensions in order; stretches do not overlap.
    pub fn suspensions_of(&self, scope: Scope) -> &[Suspension] {
        self.scopes.get(&scope).map_or(&[], |folded| &folded.suspensions)
    }

    /// The events that touch `check` on `agent`, but for these: what was known before they came in.
    #[must_use]
    pub fn without(&self, agent: AgentNo, check: CheckNo, left_out: &BTreeSet<EventId>) -> Self {
        let mut known = Self::new();
        for scope in pair_scopes(agent, check) {
            let Some(folded) = self.scopes.get(&scope) else { continue };
            for ((at, id), change) in folded.events.iter().filter(|((_, id), _)| !left_out.contains(id)) {
                known.insert(ControlEvent { id: id.clone(), at: *at, scope, change: change.clone() });
            }
        }
        known
    }

    /// Every suspension that touches `check` on `agent`, scope by scope: the agent's, the pair's, the check's.
    pub fn suspensions(&self, agent: AgentNo, check: CheckNo) -> Vec<Suspension> {
        pair_scopes(agent, check).into_iter().flat_map(|scope| self.suspensions_of(scope)).cloned().collect()
    }

    /// When `check` is suspended on `agent` in any scope: spans in order that neither overlap nor touch.
    pub fn suspended_spans(&self, agent: AgentNo, check: CheckNo) -> Vec<Span> {
        union(
            pair_scopes(agent, check)
                .into_iter()
                .flat_map(|scope| self.suspensions_of(scope))
                .map(|s| s.span)
                .collect(),
        )
    }

    /// The suspension of `check` on `agent` at an instant; of several the one that ends last.
    pub fn suspended_at(&self, agent: AgentNo, check: CheckNo, at: UtcMicros) -> Option<&Suspension> {
        pair_scopes(agent, check)
            .into_iter()
            .filter_map(|scope| self.scopes.get(&scope)?.suspended_at(at))
            .max_by_key(|suspension| suspension.span.to)
    }

    /// The first instant after `at` at which time alone changes who is suspended there, or how much its vote weighs; `None`: never.
    pub fn next_change(&self, agent: AgentNo, check: CheckNo, at: UtcMicros) -> Option<UtcMicros> {
        pair_scopes(agent, check).into_iter().filter_map(|scope| self.next_change_of(scope, at)).min()
    }

    /// As [`Self::next_change`], of one scope alone.
    pub fn next_change_of(&self, scope: Scope, at: UtcMicros) -> Option<UtcMicros> {
        self.scopes.get(&scope)?.next_change(at)
    }

    /// The suspension of one scope alone at an instant.
    pub fn scope_suspended_at(&self, scope: Scope, at: UtcMicros) -> Option<&Suspension> {
        self.scopes.get(&scope)?.suspended_at(at)
    }
}

const fn pair_scopes(agent: AgentNo, check: CheckNo) -> [Scope; 3] {
    [Scope::Agent(agent), Scope::AgentCheck(agent, check), Scope::Check(check)]
}

fn steps<'a>(events: impl Iterator<Item = &'a (UtcMicros, Weight)>) -> Vec<(UtcMicros, Weight)> {
    let mut steps = alloc::vec![(UtcMicros::MIN, Weight::ONE)];
    for (at, weight) in events {
        if steps.last().is_none_or(|(_, last)| last != weight) {
            steps.push((*at, *weight));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const AGENT: AgentNo = AgentNo(1);
    const CHECK: CheckNo = CheckNo(7);

    fn event(author: &str, number: u64, at: i64, scope: Scope, change: Change) -> ControlEvent {
        ControlEvent { id: EventId { author: author.to_string(), number }, at: UtcMicros(at), scope, change }
    }

    fn suspend(until: i64, reason: &str) -> Change {
        Change::Suspend { until: UtcMicros(until), reason: reason.to_string() }
    }

    fn spans(spans: &[(i64, i64)]) -> Vec<Span> {
        spans.iter().map(|(from, to)| Span::new(UtcMicros(*from), UtcMicros(*to))).collect()
    }

    #[test]
    fn weights_round_trip() {
        for text in ["0", "1", "1.5", "0.001", "0.25", "1000", "999.999"] {
            assert_eq!(Weight::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Weight::parse("2.50").unwrap(), Weight(2500));
        for bad in ["", "-1", "1.", ".5", "1000.001", "0.0001", "1e3", "NaN", "10000", "+1", " 1"] {
            assert!(Weight::parse(bad).is_err(), "{bad:?}");
        }
    }

    /// The instants that it names are all at which anything changes.
    #[test]
    fn the_next_change_is_the_next_instant_at_which_anything_is_another() {
        let mut log = ControlLog::new();
        let pair = Scope::AgentCheck(AGENT, CHECK);
        for event in [
            event("a", 1, 100, Scope::Agent(AGENT), suspend(500, "update")),
            event("b", 1, 200, Scope::Agent(AGENT), suspend(400, "network")),
            event("a", 2, 300, pair, suspend(450, "noisy")),
            event("c", 1, 450, Scope::Check(CHECK), suspend(470, "broken")),
            event("a", 3, 600, Scope::Agent(AGENT), Change::Weight(Weight(2000))),
            event("a", 4, 700, pair, Change::Weight(Weight(500))),
        ] {
            log.insert(event);
        }
        let says = |at: i64| {
            let at = UtcMicros(at);
            let scopes = pair_scopes(AGENT, CHECK).map(|scope| log.scope_suspended_at(scope, at).cloned());
            (scopes, log.weight_at(AGENT, CHECK, at))
        };
        for at in 0..800 {
            let next = log.next_change(AGENT, CHECK, UtcMicros(at)).map_or(801, |next| next.0);
            assert!(next > at);
            assert!((at..next).all(|between| says(between) == says(at)), "nothing changes between {at} and {next}");
            assert!(next > 800 || says(next) != says(next - 1), "something does at {next}");
        }
    }

    #[test]
    fn both_sides_changes_are_kept_in_order() {
        let events = [
            event("agent:a", 1, 100, Scope::Agent(AGENT), suspend(500, "update")),
            event("collector:cli", 1, 200, Scope::Agent(AGENT), suspend(400, "network")),
            event("agent:a", 2, 300, Scope::AgentCheck(AGENT, CHECK), suspend(450, "noisy")),
            event("agent:a", 3, 600, Scope::Agent(AGENT), Change::Resume),
        ];
        let mut log = ControlLog::new();
        for event in events.iter().rev().chain(&events) {
            log.insert(event.clone());
        }
        assert_eq!(log.events().collect::<Vec<_>>(), events);
        let own: Vec<(i64, i64, &str)> = log
            .suspensions_of(Scope::Agent(AGENT))
            .iter()
            .map(|s| (s.span.from.0, s.span.to.0, s.reason.as_str()))
            .collect();
        assert_eq!(own, [(100, 200, "update"), (200, 400, "network")]);
        assert_eq!(log.suspended_spans(AGENT, CHECK), spans(&[(100, 450)]));
        assert_eq!(log.suspended_spans(AGENT, CheckNo(8)), spans(&[(100, 400)]));
        assert_eq!(log.suspended_at(AGENT, CHECK, UtcMicros(350)).unwrap().reason, "noisy");
        assert!(log.suspended_at(AGENT, CHECK, UtcMicros(450)).is_none());
        assert_eq!(log.last_number("agent:a"), 3);
        assert_eq!(log.last_number("agent:b"), 0);
    }

    #[test]
    fn a_resume_ends_its_own_scope_alone() {
        let mut log = ControlLog::new();
        log.insert(event("a", 1, 0, Scope::Agent(AGENT), suspend(100, "x")));
        log.insert(event("a", 2, 0, Scope::AgentCheck(AGENT, CHECK), suspend(100, "x")));
        log.insert(event("a", 3, 50, Scope::AgentCheck(AGENT, CHECK), Change::Resume));
        assert_eq!(log.suspended_spans(AGENT, CHECK), spans(&[(0, 100)]));
        log.insert(event("a", 4, 60, Scope::Agent(AGENT), Change::Resume));
        assert_eq!(log.suspended_spans(AGENT, CHECK), spans(&[(0, 60)]));
    }

    #[test]
    fn a_pairs_weight_overrides_from_its_instant_on() {
        let mut log = ControlLog::new();
        let weight = |thousandths| Change::Weight(Weight(thousandths));
        log.insert(event("a", 1, 100, Scope::Agent(AGENT), weight(2000)));
        log.insert(event("a", 2, 200, Scope::AgentCheck(AGENT, CHECK), weight(500)));
        log.insert(event("a", 3, 300, Scope::Agent(AGENT), weight(0)));
        let at = |at| UtcMicros(at);
        assert_eq!(
            log.weights(AGENT, CHECK),
            [(UtcMicros::MIN, Weight::ONE), (at(100), Weight(2000)), (at(200), Weight(500))]
        );
        assert_eq!(log.weight_at(AGENT, CHECK, at(250)), Weight(500));
        assert_eq!(log.weight_at(AGENT, CHECK, at(150)), Weight(2000));
        assert_eq!(log.weight_at(AGENT, CheckNo(8), at(300)), Weight::ZERO);
        assert_eq!(log.weight_at(AGENT, CHECK, at(99)), Weight::ONE);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let check = |change, scope, author: &str, number| event(author, number, 10, scope, change).validate();
        let agent = Scope::Agent(AGENT);
        assert_eq!(check(Change::Resume, agent, "", 1), Err(ControlError::Author));
        assert_eq!(check(Change::Resume, agent, &"x".repeat(101), 1), Err(ControlError::Author));
        assert_eq!(check(Change::Resume, agent, "a", 0), Err(ControlError::Number));
        assert_eq!(check(suspend(20, " "), agent, "a", 1), Err(ControlError::Reason));
        assert_eq!(
            check(
                suspend(
                    20, "a
b"
                ),
                agent,
                "a",
                1
            ),
            Err(ControlError::Reason)
        );
        assert_eq!(check(suspend(10, "x"), agent, "a", 1), Err(ControlError::Until));
        let allowed = |until| event("a", 1, 10, agent, suspend(until, "x")).allowed();
        assert_eq!((allowed(10), allowed(10 + SUSPENSION_US_MAX)), (Err(ControlError::Until), Ok(())));
        for until in [11 + SUSPENSION_US_MAX, i64::MAX] {
            assert_eq!(allowed(until), Err(ControlError::TooLong));
            assert_eq!(check(suspend(until, "x"), agent, "a", 1), Ok(()), "a frame may bring it");
        }
        assert_eq!(check(Change::Weight(Weight(1_000_001)), agent, "a", 1), Err(ControlError::Weight));
        assert_eq!(check(Change::Weight(Weight::ONE), Scope::Check(CHECK), "a", 1), Err(ControlError::WeightOfCheck));
        assert_eq!(check(Change::Weight(Weight::ONE), agent, "a", 1), Ok(()));
    }
}

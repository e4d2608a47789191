//! From timelines to verdicts: each agent's vote with its hysteresis, then the quorum over all votes at every instant.
//!
//! A voter's vote is made by two equal machines, one for "at least degraded" and one for "down". A machine switches on after
//! `confirmations` consecutive results at or above its level, and off after `recoveries` consecutive results below it; either
//! way the switch counts from the first of those results. The vote is the highest level that is on. Both numbers are those of
//! the revision that the result named, at the result that completes the streak.
//!
//! Unknown results, missed runs and silence neither confirm nor clear: two failing results with a missed run between them are
//! still consecutive. Meanwhile the voter is not live, because its raw state is unknown. Failing results at the end of the evidence that
//! are not confirmed yet leave the vote where it was.
//!
//! The quorum, and the check's life, are those in force at the instant. A maintenance window stands above every other verdict,
//! "unknown" included.

use alloc::vec::Vec;

use crate::control::Weight;
use crate::id::Revision;
use crate::quorum::Quorum;
use crate::record::ProbeState;
use crate::series::{Run, Seen, Series};
use crate::time::{Span, UtcMicros, union};
use crate::timeline::{self, Raw, UnknownCause};

/// What accounting needs of one revision of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Time between two runs, in microseconds.
    pub interval_us: u64,
    /// A run's deadline, in microseconds.
    pub timeout_us: u64,
    /// The check's weight.
    pub weight: Weight,
    /// When enough voters are bad.
    pub quorum: Quorum,
    /// Consecutive bad results before an agent votes so; 0 counts as 1.
    pub confirmations: u32,
    /// Consecutive good results before it votes better again; 0 counts as 1.
    pub recoveries: u32,
}

impl Policy {
    /// What accounting needs of a definition.
    pub fn of(definition: &crate::check::CheckDefinition) -> Self {
        Self {
            interval_us: definition.interval_us,
            timeout_us: definition.timeout_us,
            weight: definition.weight,
            quorum: definition.quorum,
            confirmations: definition.confirmations,
            recoveries: definition.recoveries,
        }
    }

    /// How long one result speaks: `interval x 2 + timeout`, in microseconds.
    pub const fn hold_us(&self) -> i64 {
        let us = self.interval_us.saturating_mul(2).saturating_add(self.timeout_us);
        if us > i64::MAX as u64 { i64::MAX } else { us as i64 }
    }

    const fn needed(&self, on: bool) -> u64 {
        let needed = if on { self.recoveries } else { self.confirmations };
        if needed == 0 { 1 } else { needed as u64 }
    }
}

/// A check's history, as accounting sees it.
#[derive(Debug, Clone, Copy)]
pub struct CheckView<'a> {
    /// The definitions with the instants they are in force from; ascending in both instant and revision. Before the first instant
    /// the first one is in force.
    pub revisions: &'a [(UtcMicros, Revision, Policy)],
    /// From when the check exists, to when.
    pub life: Span,
}

impl CheckView<'_> {
    /// The policy of a revision. Of a revision that is not known the nearest one before it, else the first there is;
    /// `None` when there is none at all.
    pub fn policy(&self, revision: Revision) -> Option<&Policy> {
        let after = self.revisions.partition_point(|(_, known, _)| *known <= revision);
        self.revisions.get(after.saturating_sub(1)).map(|(_, _, policy)| policy)
    }

    /// The policy in force at an instant.
    pub fn in_force(&self, at: UtcMicros) -> Option<&Policy> {
        let after = self.revisions.partition_point(|(from, _, _)| *from <= at);
        self.revisions.get(after.saturating_sub(1)).map(|(_, _, policy)| policy)
    }

    /// How long a result of a revision speaks, in microseconds.
    pub fn hold_us(&self, revision: Revision) -> i64 {
        self.policy(revision).map_or(0, Policy::hold_us)
    }
}

/// One agent as a voter on a check.
#[derive(Debug, Clone)]
pub struct Voter<'a> {
    /// When the check is assigned to it; in any order.
    pub assigned: Vec<Span>,
    /// When it is suspended; in any order.
    pub suspended: Vec<Span>,
    /// Its weight as steps, ascending ([`crate::control::ControlLog::weights`]); before the first step it is 1.
    pub weights: Vec<(UtcMicros, Weight)>,
    /// What it reported.
    pub series: &'a Series,
}

/// What an agent votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vote {
    /// All is well.
    Up,
    /// A soft threshold is broken.
    Degraded,
    /// It is down.
    Down,
}

impl Vote {
    /// The stable text, as JSON shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// The collector's answer for a check at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Enough voters say so, and none is down.
    Up,
    /// Nobody is down; those that are degraded meet the quorum.
    Degraded,
    /// Somebody is down; the quorum is not met.
    Regional,
    /// Those that are down meet the quorum.
    Down,
    /// No live voter.
    Unknown,
    /// A maintenance window covers the check.
    Maintenance,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: &'static [Self] =
        &[Self::Up, Self::Degraded, Self::Regional, Self::Down, Self::Unknown, Self::Maintenance];

    /// The stable text, as JSON and labels show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Regional => "regional",
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Maintenance => "maintenance",
        }
    }
}

impl core::fmt::Display for Verdict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A span of time in which a verdict and what it rests on do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerdictSpan {
    /// When; never empty.
    pub span: Span,
    /// What.
    pub verdict: Verdict,
    /// Weight of the live voters that vote down, and of all live voters, in thousandths. Kept under maintenance too.
    pub share_down: (u64, u64),
    /// Why nothing is known; `Some` exactly when the verdict is [`Verdict::Unknown`].
    pub unknown_cause: Option<UnknownCause>,
    /// The quorum asks for more voters than are live, and was clamped.
    pub quorum_reduced: bool,
}

/// What a voter is at an instant. Of several that apply the first one here is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The check is not assigned to it.
    Unassigned,
    /// Its weight is 0: watched, never counted.
    Weightless,
    /// It is suspended.
    Suspended,
    /// Its raw state is unknown.
    Unknown(UnknownCause),
    /// It votes.
    Live {
        /// With this weight.
        weight: Weight,
        /// For this.
        vote: Vote,
    },
}

/// A span of time in which a voter's standing does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingSpan {
    /// When; never empty.
    pub span: Span,
    /// What.
    pub standing: Standing,
}

/// One of the two machines of a voter: is it at least this bad?
#[derive(Debug, Clone)]
struct Level {
    on: bool,
    /// Consecutive results against the present position.
    streak: u64,
    /// The first of them.
    since: UtcMicros,
    switches: Vec<(UtcMicros, bool)>,
}

impl Level {
    const fn new() -> Self {
        Self { on: false, streak: 0, since: UtcMicros::MIN, switches: Vec::new() }
    }

    /// Takes a whole run of equal results at once.
    fn feed(&mut self, run: &Run, hit: bool, policy: &Policy) {
        if hit == self.on {
            self.streak = 0;
            return;
        }
        if self.streak == 0 {
            self.since = run.first;
        }
        self.streak += run.count;
        if self.streak >= policy.needed(self.on) {
            self.on = hit;
            self.streak = 0;
            self.switches.push((self.since, hit));
        }
    }

    /// Whether results still to come may switch it at an instant before `at`.
    fn undecided_before(&self, at: UtcMicros) -> bool {
        self.streak > 0 && self.since < at
    }
}

/// Whether a run alone leaves both machines in a position that does not depend on what came before it.
fn settles(run: &Run, policy: &Policy) -> bool {
    let (on, off) = (run.count >= policy.needed(false), run.count >= policy.needed(true));
    match run.obs.seen {
        Seen::State(ProbeState::Up) => off,
        Seen::State(ProbeState::Degraded) => on && off,
        Seen::State(ProbeState::Down) => on,
        Seen::State(ProbeState::Unknown) | Seen::Missed(_) => false,
    }
}

/// Whether more results like a series' newest ones leave every vote as it is: the newest run settles it alone, or is of slots that say nothing of it.
pub fn calm(view: &CheckView<'_>, series: &Series) -> bool {
    series.runs().next_back().is_none_or(|run| match run.obs.seen {
        Seen::State(ProbeState::Unknown) | Seen::Missed(_) => true,
        Seen::State(ProbeState::Up | ProbeState::Degraded | ProbeState::Down) => {
            view.policy(run.obs.revision).is_some_and(|policy| settles(run, policy))
        }
    })
}

/// Both machines of a voter.
struct Levels {
    /// From where on results were looked at.
    start: UtcMicros,
    degraded: Level,
    down: Level,
}

/// Both machines over `period`. They look back only to the last run that settles the vote, and ahead only as far as failing results of the period are confirmed.
fn levels(view: &CheckView<'_>, series: &Series, period: Span) -> Levels {
    let mut start = UtcMicros::MIN;
    for run in series.runs_in(Span::new(UtcMicros::MIN, period.from)).rev() {
        if run.last() < period.from && view.policy(run.obs.revision).is_some_and(|policy| settles(run, policy)) {
            start = run.first;
            break;
        }
    }
    let (mut degraded, mut down) = (Level::new(), Level::new());
    for run in series.runs_in(Span::new(start, UtcMicros::MAX)) {
        if run.first >= period.to && !degraded.undecided_before(period.to) && !down.undecided_before(period.to) {
            break;
        }
        let hits = match run.obs.seen {
            Seen::State(ProbeState::Up) => (false, false),
            Seen::State(ProbeState::Degraded) => (true, false),
            Seen::State(ProbeState::Down) => (true, true),
            Seen::State(ProbeState::Unknown) | Seen::Missed(_) => continue,
        };
        if let Some(policy) = view.policy(run.obs.revision) {
            degraded.feed(run, hits.0, policy);
            down.feed(run, hits.1, policy);
        }
    }
    Levels { start, degraded, down }
}

/// What a series votes over `period`, as steps; the first is at or before the period's start.
fn votes(view: &CheckView<'_>, series: &Series, period: Span) -> Vec<(UtcMicros, Vote)> {
    let Levels { degraded, down, .. } = levels(view, series, period);
    let mut instants: Vec<UtcMicros> = degraded.switches.iter().chain(&down.switches).map(|(at, _)| *at).collect();
    instants.sort_unstable();
    instants.dedup();
    let (mut is_degraded, mut is_down) = (Steps::new(&degraded.switches, false), Steps::new(&down.switches, false));
    let mut steps = alloc::vec![(UtcMicros::MIN, Vote::Up)];
    for at in instants {
        let vote = match (is_down.at(at), is_degraded.at(at)) {
            (true, _) => Vote::Down,
            (false, true) => Vote::Degraded,
            (false, false) => Vote::Up,
        };
        if steps.last().is_none_or(|(_, last)| *last != vote) {
            steps.push((at, vote));
        }
    }
    steps
}

/// Reads a step function at ascending instants.
struct Steps<'a, T> {
    steps: core::slice::Iter<'a, (UtcMicros, T)>,
    value: T,
}

impl<'a, T: Copy> Steps<'a, T> {
    fn new(steps: &'a [(UtcMicros, T)], before: T) -> Self {
        Self { steps: steps.iter(), value: before }
    }

    fn at(&mut self, at: UtcMicros) -> T {
        while let Some((from, value)) = self.steps.as_slice().first()
            && *from <= at
        {
            self.value = *value;
            self.steps.next();
        }
        self.value
    }
}

/// Spans as a step function.
fn inside(spans: &[Span]) -> Vec<(UtcMicros, bool)> {
    union(spans.to_vec()).iter().flat_map(|span| [(span.from, true), (span.to, false)]).collect()
}

/// A voter's standing over `period` clipped to the check's life: contiguous, no two equal neighbours.
pub fn standings(view: &CheckView<'_>, voter: &Voter<'_>, period: Span) -> Vec<StandingSpan> {
    let period = period.clip(view.life);
    let raw = timeline::pair(view, voter.series, &voter.assigned, period);
    if raw.is_empty() {
        return Vec::new();
    }
    let votes = votes(view, voter.series, period);
    let suspended = inside(&voter.suspended);
    let mut instants: Vec<UtcMicros> = raw.iter().map(|raw| raw.span.from).collect();
    instants.extend(votes.iter().map(|(at, _)| *at));
    instants.extend(suspended.iter().map(|(at, _)| *at));
    instants.extend(voter.weights.iter().map(|(at, _)| *at));
    instants.retain(|at| period.contains(*at));
    instants.sort_unstable();
    instants.dedup();

    let raw: Vec<(UtcMicros, Raw)> = raw.iter().map(|raw| (raw.span.from, raw.state)).collect();
    let mut raw = Steps::new(&raw, Raw::Unknown(UnknownCause::Unassigned));
    let mut vote = Steps::new(&votes, Vote::Up);
    let mut suspended = Steps::new(&suspended, false);
    let mut weight = Steps::new(&voter.weights, Weight::ONE);
    let mut spans: Vec<StandingSpan> = Vec::new();
    for at in instants {
        let (raw, vote, suspended, weight) = (raw.at(at), vote.at(at), suspended.at(at), weight.at(at));
        let standing = match raw {
            Raw::Unknown(UnknownCause::Unassigned) => Standing::Unassigned,
            Raw::State(_) | Raw::Unknown(_) if weight == Weight::ZERO => Standing::Weightless,
            Raw::State(_) | Raw::Unknown(_) if suspended => Standing::Suspended,
            Raw::Unknown(cause) => Standing::Unknown(cause),
            Raw::State(_) => Standing::Live { weight, vote },
        };
        match spans.last_mut() {
            Some(last) if last.standing == standing => {}
            last => {
                if let Some(last) = last {
                    last.span.to = at;
                }
                spans.push(StandingSpan { span: Span::new(at, period.to), standing });
            }
        }
    }
    spans
}

/// The voters at an instant, added up.
#[derive(Debug, Default)]
struct Tally {
    live: Bloc,
    down: Bloc,
    degraded: Bloc,
    offline: u32,
    stopped: u32,
    shed: u32,
    suspended: u32,
}

#[derive(Debug, Default, Clone, Copy)]
struct Bloc {
    count: u32,
    weight: u64,
}

impl Bloc {
    const fn change(&mut self, weight: Weight, joins: bool) {
        if joins {
            self.count += 1;
            self.weight += weight.0 as u64;
        } else {
            self.count -= 1;
            self.weight -= weight.0 as u64;
        }
    }
}

impl Tally {
    fn change(&mut self, standing: Standing, joins: bool) {
        let count = |count: &mut u32| *count = if joins { *count + 1 } else { *count - 1 };
        match standing {
            Standing::Unassigned | Standing::Weightless => {}
            Standing::Suspended | Standing::Unknown(UnknownCause::Suspended) => count(&mut self.suspended),
            Standing::Unknown(UnknownCause::AgentStopped) => count(&mut self.stopped),
            Standing::Unknown(UnknownCause::Shed) => count(&mut self.shed),
            Standing::Unknown(UnknownCause::AgentOffline | UnknownCause::Unassigned) => count(&mut self.offline),
            Standing::Live { weight, vote } => {
                self.live.change(weight, joins);
                match vote {
                    Vote::Up => {}
                    Vote::Degraded => self.degraded.change(weight, joins),
                    Vote::Down => self.down.change(weight, joins),
                }
            }
        }
    }

    /// Why there is no live voter: the cause that calls for somebody most, of the assigned voters with a weight.
    const fn unknown_cause(&self) -> UnknownCause {
        if self.offline > 0 {
            UnknownCause::AgentOffline
        } else if self.stopped > 0 {
            UnknownCause::AgentStopped
        } else if self.shed > 0 {
            UnknownCause::Shed
        } else if self.suspended > 0 {
            UnknownCause::Suspended
        } else {
            UnknownCause::Unassigned
        }
    }

    fn verdict(&self, span: Span, quorum: Quorum, maintenance: bool) -> VerdictSpan {
        let meets = |bloc: Bloc| quorum.met(bloc.weight, self.live.weight, bloc.count, self.live.count);
        let down = meets(self.down);
        let verdict = if maintenance {
            Verdict::Maintenance
        } else if self.live.count == 0 {
            Verdict::Unknown
        } else if down.met {
            Verdict::Down
        } else if self.down.count > 0 {
            Verdict::Regional
        } else if meets(self.degraded).met {
            Verdict::Degraded
        } else {
            Verdict::Up
        };
        VerdictSpan {
            span,
            verdict,
            share_down: (self.down.weight, self.live.weight),
            unknown_cause: (verdict == Verdict::Unknown).then(|| self.unknown_cause()),
            quorum_reduced: down.reduced,
        }
    }
}

/// Where a voter's machines stand at an instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ballot {
    /// What it votes.
    pub(crate) vote: Vote,
    /// Since when, as far as results were looked at: the first result of the streak that made it so.
    pub(crate) since: UtcMicros,
    /// The first of the newest results that are at least degraded, and down, where the newest are.
    pub(crate) bad_since: (UtcMicros, UtcMicros),
}

/// A voter's vote at an instant: what [`standings`] says of it while it is live.
pub(crate) fn ballot(view: &CheckView<'_>, series: &Series, now: UtcMicros) -> Ballot {
    let Levels { start, degraded, down } = levels(view, series, Span::new(now.plus_us(1), now.plus_us(1)));
    let position = |level: &Level| level.switches.iter().rfind(|(at, _)| *at <= now).copied().unwrap_or((start, false));
    let bad_since = |level: &Level, (at, on): (UtcMicros, bool)| if on { at } else { level.since };
    let (degraded_now, down_now) = (position(&degraded), position(&down));
    let (vote, since) = match (down_now, degraded_now) {
        ((at, true), _) => (Vote::Down, at),
        ((off, false), (at, true)) => (Vote::Degraded, at.max(off)),
        ((off, false), (at, false)) => (Vote::Up, at.max(off)),
    };
    Ballot { vote, since, bad_since: (bad_since(&degraded, degraded_now), bad_since(&down, down_now)) }
}

/// The verdict of live voters, windows aside.
pub(crate) fn decide(quorum: Quorum, votes: impl Iterator<Item = (Weight, Vote)>) -> Verdict {
    let mut tally = Tally::default();
    votes.for_each(|(weight, vote)| tally.change(Standing::Live { weight, vote }, true));
    tally.verdict(Span::new(UtcMicros::MIN, UtcMicros::MIN), quorum, false).verdict
}

/// A check's verdicts over `period` clipped to its life: contiguous, adding up to it exactly, no two equal neighbours.
/// `windows` are the maintenance windows that cover the check, in any order.
pub fn verdicts(view: &CheckView<'_>, voters: &[Voter<'_>], windows: &[Span], period: Span) -> Vec<VerdictSpan> {
    let period = period.clip(view.life);
    if period.is_empty() {
        return Vec::new();
    }
    let mut changes: Vec<(UtcMicros, usize, Standing)> = Vec::new();
    for (index, voter) in voters.iter().enumerate() {
        changes.extend(standings(view, voter, period).iter().map(|span| (span.span.from, index, span.standing)));
    }
    changes.sort_unstable_by_key(|(at, index, _)| (*at, *index));
    let windows = inside(windows);
    let mut instants = alloc::vec![period.from];
    instants.extend(changes.iter().map(|(at, _, _)| *at));
    instants.extend(windows.iter().map(|(at, _)| *at));
    instants.extend(view.revisions.iter().map(|(at, _, _)| *at));
    instants.retain(|at| period.contains(*at));
    instants.sort_unstable();
    instants.dedup();

    let mut tally = Tally::default();
    let mut present = alloc::vec![Standing::Unassigned; voters.len()];
    let mut changes = changes.into_iter().peekable();
    let mut maintenance = Steps::new(&windows, false);
    let mut spans: Vec<VerdictSpan> = Vec::new();
    for (index, at) in instants.iter().enumerate() {
        while let Some((_, voter, standing)) = changes.next_if(|(change, _, _)| change <= at) {
            tally.change(present[voter], false);
            tally.change(standing, true);
            present[voter] = standing;
        }
        let to = instants.get(index + 1).copied().unwrap_or(period.to);
        let quorum = view.in_force(*at).map_or(Quorum::default(), |policy| policy.quorum);
        let next = tally.verdict(Span::new(*at, to), quorum, maintenance.at(*at));
        match spans.last_mut() {
            Some(last) if (VerdictSpan { span: next.span, ..*last }) == next => last.span.to = to,
            _ => spans.push(next),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    const POLICY: Policy = Policy {
        interval_us: 10,
        timeout_us: 5,
        weight: Weight::ONE,
        quorum: Quorum::Majority,
        confirmations: 2,
        recoveries: 1,
    };
    const LIFE: Span = Span::new(UtcMicros(0), UtcMicros(1000));

    /// One character a slot: U D d(egraded) ?(unknown) s(hed) .(silence).
    fn series(slots: &str) -> Series {
        let mut series = Series::new();
        for (index, slot) in slots.chars().enumerate() {
            let at = UtcMicros(index as i64 * 10);
            let state = match slot {
                'U' => ProbeState::Up,
                'D' => ProbeState::Down,
                'd' => ProbeState::Degraded,
                '?' => ProbeState::Unknown,
                's' => {
                    series.insert_missed(Revision(1), at, at, 10, crate::record::MissedCause::Overloaded).unwrap();
                    continue;
                }
                _ => continue,
            };
            series.insert_result(Revision(1), at, state);
        }
        series
    }

    fn voter(series: &Series) -> Voter<'_> {
        Voter { assigned: alloc::vec![LIFE], suspended: Vec::new(), weights: Vec::new(), series }
    }

    /// The standing at each slot: U d D as voted, ? as unknown.
    fn drawn(slots: &str, policy: Policy) -> String {
        let series = series(slots);
        let revisions = [(LIFE.from, Revision(1), policy)];
        let view = CheckView { revisions: &revisions, life: LIFE };
        let spans = standings(&view, &voter(&series), LIFE);
        (0..slots.len())
            .map(|index| {
                let at = UtcMicros(index as i64 * 10);
                match spans.iter().find(|span| span.span.contains(at)).unwrap().standing {
                    Standing::Live { vote: Vote::Up, .. } => 'U',
                    Standing::Live { vote: Vote::Degraded, .. } => 'd',
                    Standing::Live { vote: Vote::Down, .. } => 'D',
                    Standing::Unknown(_) | Standing::Suspended | Standing::Weightless | Standing::Unassigned => '?',
                }
            })
            .collect()
    }

    #[test]
    fn a_vote_needs_confirmation_and_is_backdated() {
        assert_eq!(drawn("UUDUU", POLICY), "UUUUU");
        assert_eq!(drawn("UUDDU", POLICY), "UUDDU");
        assert_eq!(drawn("UUDDUDU", POLICY), "UUDDUUU");
        assert_eq!(drawn("UUD", POLICY), "UUU");
        assert_eq!(drawn("UDdDU", POLICY), "UdddU");
        assert_eq!(drawn("UDdDDU", POLICY), "UddDDU");
        assert_eq!(drawn("UDsDU", POLICY), "UD?DU");
        assert_eq!(drawn("UD?DU", POLICY), "UD?DU");
        assert_eq!(drawn("DDdDD", POLICY), "DDdDD");
        let slow = Policy { recoveries: 2, ..POLICY };
        assert_eq!(drawn("DDUDUU", slow), "DDDDUU");
        assert_eq!(drawn("UDD......U", POLICY), "UDDDD????U");
    }

    #[test]
    fn confirmation_after_the_period_counts() {
        let series = series("UUUUUDDDUU");
        let revisions = [(LIFE.from, Revision(1), POLICY)];
        let view = CheckView { revisions: &revisions, life: LIFE };
        let period = Span::new(UtcMicros(40), UtcMicros(55));
        let spans = verdicts(&view, &[voter(&series)], &[], period);
        let got: Vec<_> = spans.iter().map(|span| (span.span.from.0, span.span.to.0, span.verdict)).collect();
        assert_eq!(got, [(40, 50, Verdict::Up), (50, 55, Verdict::Down)]);
    }

    #[test]
    fn windows_stand_above_all() {
        let empty = Series::new();
        let revisions = [(LIFE.from, Revision(1), POLICY)];
        let view = CheckView { revisions: &revisions, life: LIFE };
        let windows = [Span::new(UtcMicros(100), UtcMicros(200))];
        let spans = verdicts(&view, &[voter(&empty)], &windows, LIFE);
        let got: Vec<_> = spans.iter().map(|span| (span.span.us(), span.verdict, span.unknown_cause)).collect();
        let offline = Some(UnknownCause::AgentOffline);
        assert_eq!(
            got,
            [(100, Verdict::Unknown, offline), (100, Verdict::Maintenance, None), (800, Verdict::Unknown, offline)]
        );
        let nobody = verdicts(&view, &[], &[], LIFE);
        assert_eq!(nobody[0].unknown_cause, Some(UnknownCause::Unassigned));
    }
}

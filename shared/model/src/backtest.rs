//! Back-tests: the same evidence under another policy. Which incidents would have opened, when they would have been known, and what the figures would be.
//!
//! Two timelines stand behind it. The verdicts *as they stand* ([`vote::verdicts`]) are dated back: they begin at the first failing result. The verdicts *as they
//! were heard* are those that an engine gives live, where a vote changes only with the result that confirms it. An episode spans both: it begins where hindsight
//! says, and is known, which is when it would page, from the first instant at which the live verdict says so.
//!
//! What live evidence is: a record counts from its slot on. How long its run lasted, and when it arrived, is not looked at, because arrival is not part of the evidence.
//! So a replay takes late results as if they had come in time, under both policies alike: an agent that was cut off and drained its backlog later would not have
//! paged then, and does here.
//!
//! Episodes of `down`, `regional` and `degraded` are kinds of their own, as incidents are. Time unknown or under maintenance neither ends an episode nor begins one:
//! it ends where the check is known to have recovered. One that begins within the reopen window of the last one's end continues it, and so does one that makes more
//! than [`FLAPS_MAX`] edges within [`FLAP_WINDOW_US`]: it is flapping, and pages once.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::control::Weight;
use crate::id::Revision;
use crate::incident::machine::{FLAPS_MAX, edge_counts};
use crate::quorum::Quorum;
use crate::record::ProbeState;
use crate::series::{Run, Seen, Series};
use crate::time::{Span, UtcMicros};
use crate::vote::{self, CheckView, Policy, Verdict, VerdictSpan, Voter};

/// The reopen window where nobody says: 5 minutes, in microseconds.
pub const REOPEN_US_DEFAULT: i64 = 5 * 60 * 1_000_000;

/// What a back-test replaces in every revision of a check's policy; the rest stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Knobs {
    /// When enough voters are bad.
    pub quorum: Option<Quorum>,
    /// Consecutive bad results before an agent votes so.
    pub confirmations: Option<u32>,
    /// Consecutive good results before it votes better again.
    pub recoveries: Option<u32>,
}

impl Knobs {
    /// The policies of a check's revisions with these knobs turned.
    pub fn applied(&self, revisions: &[(UtcMicros, Revision, Policy)]) -> Vec<(UtcMicros, Revision, Policy)> {
        let turned = |policy: &Policy| Policy {
            quorum: self.quorum.unwrap_or(policy.quorum),
            confirmations: self.confirmations.unwrap_or(policy.confirmations),
            recoveries: self.recoveries.unwrap_or(policy.recoveries),
            ..*policy
        };
        revisions.iter().map(|(from, revision, policy)| (*from, *revision, turned(policy))).collect()
    }
}

/// Gives a voter one weight for all of its time.
pub fn weigh(voter: &mut Voter<'_>, weight: Weight) {
    voter.weights = alloc::vec![(UtcMicros::MIN, weight)];
}

/// What an episode is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EpisodeKind {
    /// Those that were down met the quorum.
    Down,
    /// Somebody was down, the quorum was not met.
    Regional,
    /// Nobody was down; those that were degraded met the quorum.
    Degraded,
}

impl EpisodeKind {
    /// Every kind, the worst first.
    pub const ALL: &'static [Self] = &[Self::Down, Self::Regional, Self::Degraded];

    /// The stable text, as JSON shows it: that of its verdict.
    pub const fn as_str(self) -> &'static str {
        self.verdict().as_str()
    }

    /// The verdict that it is an episode of.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Down => Verdict::Down,
            Self::Regional => Verdict::Regional,
            Self::Degraded => Verdict::Degraded,
        }
    }
}

/// An episode of a bad verdict: what an incident is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Episode {
    /// Which verdict.
    pub kind: EpisodeKind,
    /// From the first failing result, or the period's start, to where recovery is known, or the end of the period or of the check's life.
    pub span: Span,
    /// When a live engine would have known: the slot of the result that confirmed it, or the period's start. `None` where it is seen in hindsight alone,
    /// because the votes overlapped only once they were dated back: nobody would have been paged.
    pub known: Option<UtcMicros>,
    /// It had not ended when the period did.
    pub lasting: bool,
    /// Time that counts as this verdict, in microseconds: 0 where only the live engine thought so.
    pub bad_us: i64,
    /// It went back and forth so often that it was held open.
    pub flapping: bool,
}

/// A check's evidence under one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The verdicts as they stand, as for [`vote::verdicts`].
    pub verdicts: Vec<VerdictSpan>,
    /// The episodes, by begin, then kind.
    pub episodes: Vec<Episode>,
}

/// Replays a check's evidence over `period` clipped to its life. `windows` as for [`vote::verdicts`]. `reopen_us` is the reopen window in microseconds.
pub fn replay(view: &CheckView<'_>, voters: &[Voter<'_>], windows: &[Span], period: Span, reopen_us: i64) -> Replay {
    let verdicts = vote::verdicts(view, voters, windows, period);
    let heard: Vec<Series> = voters.iter().map(|voter| heard(view, voter.series, period)).collect();
    let live: Vec<Voter<'_>> =
        voters.iter().zip(&heard).map(|(voter, series)| Voter { series, ..voter.clone() }).collect();
    // Each result as heard speaks for itself: it is confirmed already.
    let revisions = Knobs { quorum: None, confirmations: Some(1), recoveries: Some(1) }.applied(view.revisions);
    let live = vote::verdicts(&CheckView { revisions: &revisions, ..*view }, &live, windows, period);
    let mut episodes: Vec<Episode> =
        EpisodeKind::ALL.iter().flat_map(|kind| episodes(*kind, &verdicts, &live, reopen_us)).collect();
    episodes.sort_by_key(|episode| (episode.span.from, episode.kind));
    Replay { verdicts, episodes }
}

/// The records that speak of `period`, with the state of each result replaced by the vote as it stood with that result: not dated back. It looks back only to the
/// last run that leaves the vote where it is whatever came before.
fn heard(view: &CheckView<'_>, series: &Series, period: Span) -> Series {
    let mut start = UtcMicros::MIN;
    for run in series.runs_in(Span::new(UtcMicros::MIN, period.from)).rev() {
        if run.last() < period.from && settles(view, run) {
            start = run.first;
            break;
        }
    }
    let (mut degraded, mut down) = (Latch::default(), Latch::default());
    let mut out = Series::new();
    for run in series.runs_in(Span::new(start, period.to)) {
        let Some(hits) = hits(run.obs.seen) else {
            out.insert(*run);
            continue;
        };
        let Some(policy) = view.policy(run.obs.revision) else { continue };
        let before = (degraded.on, down.on);
        let turns = (degraded.feed(run.count, hits.0, policy), down.feed(run.count, hits.1, policy));
        let cuts = (turns.0.unwrap_or(run.count), turns.1.unwrap_or(run.count));
        let (first, second) = (cuts.0.min(cuts.1), cuts.0.max(cuts.1));
        for (from, until) in [(0, first), (first, second), (second, run.count)] {
            let on = |before: bool, turn: Option<u64>| before != turn.is_some_and(|turn| turn <= from);
            let state = match (on(before.1, turns.1), on(before.0, turns.0)) {
                (true, _) => ProbeState::Down,
                (false, true) => ProbeState::Degraded,
                (false, false) => ProbeState::Up,
            };
            if let Some(mut part) = run.part(from, until) {
                part.obs.seen = Seen::State(state);
                out.insert(part);
            }
        }
    }
    out
}

/// Whether a result is at least degraded, and whether it is down; `None` where it says neither.
const fn hits(seen: Seen) -> Option<(bool, bool)> {
    match seen {
        Seen::State(ProbeState::Up) => Some((false, false)),
        Seen::State(ProbeState::Degraded) => Some((true, false)),
        Seen::State(ProbeState::Down) => Some((true, true)),
        Seen::State(ProbeState::Unknown) | Seen::Missed(_) => None,
    }
}

/// Whether a run leaves the vote in one position, whichever it found.
fn settles(view: &CheckView<'_>, run: &Run) -> bool {
    let (Some(hits), Some(policy)) = (hits(run.obs.seen), view.policy(run.obs.revision)) else { return false };
    let turns = |hit: bool| {
        let mut against = Latch { on: !hit, streak: 0 };
        against.feed(run.count, hit, policy).is_some()
    };
    turns(hits.0) && turns(hits.1)
}

/// One machine of a vote as it stands live: is it at least this bad?
#[derive(Debug, Default)]
struct Latch {
    on: bool,
    /// Consecutive results against the present position.
    streak: u64,
}

impl Latch {
    /// Takes `count` equal results; gives the index of the one it turned with.
    fn feed(&mut self, count: u64, hit: bool, policy: &Policy) -> Option<u64> {
        if hit == self.on {
            self.streak = 0;
            return None;
        }
        let needed = u64::from(if self.on { policy.recoveries } else { policy.confirmations }.max(1));
        let missing = needed.saturating_sub(self.streak).max(1);
        if count < missing {
            self.streak += count;
            return None;
        }
        self.on = hit;
        self.streak = 0;
        Some(missing - 1)
    }
}

/// The episodes of one kind, in order. Both lists are contiguous over the same time.
fn episodes(kind: EpisodeKind, stands: &[VerdictSpan], live: &[VerdictSpan], reopen_us: i64) -> Vec<Episode> {
    let mut found = Found { episodes: Vec::new(), open: false, edges: VecDeque::new() };
    let mut live = live.iter().peekable();
    for stands in stands {
        let mut from = stands.span.from;
        while from < stands.span.to {
            while live.next_if(|heard| heard.span.to <= from).is_some() {}
            let Some(heard) = live.peek() else { break };
            let to = heard.span.to.min(stands.span.to);
            let (bad, known) = (stands.verdict == kind.verdict(), heard.verdict == kind.verdict());
            let blind = matches!(stands.verdict, Verdict::Unknown | Verdict::Maintenance);
            if bad || known {
                let episode = found.at(kind, from, reopen_us);
                episode.known = episode.known.or(known.then_some(from));
                episode.bad_us += if bad { to.us_since(from) } else { 0 };
            } else if !blind {
                found.close(from);
            }
            from = to;
        }
    }
    if let (true, Some(episode), Some(last)) = (found.open, found.episodes.last_mut(), stands.last()) {
        episode.span.to = last.span.to;
        episode.lasting = true;
    }
    found.episodes
}

struct Found {
    episodes: Vec<Episode>,
    /// Whether the last of them has not ended.
    open: bool,
    /// Begins and ends within [`FLAP_WINDOW_US`] of the last one, as incidents count them.
    edges: VecDeque<UtcMicros>,
}

impl Found {
    /// The episode that bad time from an instant on belongs to.
    fn at(&mut self, kind: EpisodeKind, at: UtcMicros, reopen_us: i64) -> &mut Episode {
        if !self.open {
            self.open = true;
            let flapping = self.edge(at);
            match self.episodes.last_mut() {
                Some(last) if flapping || at.us_since(last.span.to) <= reopen_us => last.flapping |= flapping,
                Some(_) | None => {
                    let span = Span::new(at, at);
                    let new = Episode { kind, span, known: None, lasting: false, bad_us: 0, flapping: false };
                    self.episodes.push(new);
                }
            }
        }
        let last = self.episodes.len() - 1;
        &mut self.episodes[last]
    }

    fn close(&mut self, at: UtcMicros) {
        if !self.open {
            return;
        }
        self.open = false;
        let flapping = self.edge(at);
        if let Some(last) = self.episodes.last_mut() {
            last.span.to = at;
            last.flapping |= flapping;
        }
    }

    /// Counts an edge; tells whether there are too many.
    fn edge(&mut self, at: UtcMicros) -> bool {
        while self.edges.front().is_some_and(|edge| !edge_counts(*edge, at)) {
            self.edges.pop_front();
        }
        self.edges.push_back(at);
        self.edges.len() > FLAPS_MAX
    }
}

/// What became of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is there under both policies.
    Kept {
        /// As it was.
        before: Episode,
        /// As it would be.
        after: Episode,
    },
    /// It would not be there: noise that is spared, or an outage that is missed.
    Gone(Episode),
    /// It would be there besides.
    New(Episode),
}

impl Change {
    /// The episode as it was, or would be where it was not.
    pub const fn episode(&self) -> &Episode {
        match self {
            Self::Kept { before: episode, .. } | Self::Gone(episode) | Self::New(episode) => episode,
        }
    }

    /// The page: whether it went out, and whether it would.
    pub const fn pages(&self) -> (bool, bool) {
        match self {
            Self::Kept { before, after } => (before.known.is_some(), after.known.is_some()),
            Self::Gone(before) => (before.known.is_some(), false),
            Self::New(after) => (false, after.known.is_some()),
        }
    }
}

/// Holds the episodes under one policy against those under another: of one kind, each with the first one that overlaps it and is not taken. By begin.
pub fn compare(before: &[Episode], after: &[Episode]) -> Vec<Change> {
    let mut changes = Vec::new();
    for kind in EpisodeKind::ALL {
        let of = |episodes: &[Episode]| episodes.iter().filter(|one| one.kind == *kind).copied().collect::<Vec<_>>();
        let (before, after) = (of(before), of(after));
        let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
        loop {
            changes.push(match (before.peek(), after.peek()) {
                (None, None) => break,
                (Some(one), Some(other)) if one.span.from < other.span.to && other.span.from < one.span.to => {
                    let kept = Change::Kept { before: **one, after: **other };
                    before.next();
                    after.next();
                    kept
                }
                (Some(one), other) if other.is_none_or(|other| one.span.to <= other.span.from) => {
                    let gone = Change::Gone(**one);
                    before.next();
                    gone
                }
                (_, Some(other)) => {
                    let new = Change::New(**other);
                    after.next();
                    new
                }
                (Some(_), None) => break,
            });
        }
    }
    changes.sort_by_key(|change| (change.episode().span.from, change.episode().kind));
    changes
}

/// How many episodes and pages there were, and would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Episodes under both policies.
    pub kept: usize,
    /// Episodes that would not be.
    pub gone: usize,
    /// Episodes that would be besides.
    pub new: usize,
    /// Pages that went out.
    pub pages_before: usize,
    /// Pages that would.
    pub pages_after: usize,
    /// Pages that would be spared, or missed.
    pub pages_gone: usize,
    /// Pages that would be besides.
    pub pages_new: usize,
}

impl Totals {
    /// Adds up a comparison.
    pub fn of(changes: &[Change]) -> Self {
        let mut totals = Self::default();
        for change in changes {
            *match change {
                Change::Kept { .. } => &mut totals.kept,
                Change::Gone(_) => &mut totals.gone,
                Change::New(_) => &mut totals.new,
            } += 1;
            let (before, after) = change.pages();
            totals.pages_before += usize::from(before);
            totals.pages_after += usize::from(after);
            totals.pages_gone += usize::from(before && !after);
            totals.pages_new += usize::from(after && !before);
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::id::CheckNo;
    use crate::incident::machine::{Incident, Input, Rules};
    use crate::incident::{Condition, IncidentId, IncidentKind, Severity, Subject};

    const MINUTE_US: i64 = 60_000_000;
    const POLICY: Policy = Policy {
        interval_us: MINUTE_US as u64,
        timeout_us: 10_000_000,
        weight: Weight::ONE,
        quorum: Quorum::Majority,
        confirmations: 2,
        recoveries: 1,
    };
    const LIFE: Span = Span::new(UtcMicros(0), UtcMicros(600 * MINUTE_US));

    proptest! {
        /// Found in review: an edge exactly 30 min old counted here, and not for an incident.
        #[test]
        fn a_replay_flaps_where_an_incident_does(gaps in vec((1..=8_i64).prop_map(|gap| gap * 150), 1..40)) {
            let subject = Subject::Check(CheckNo(1));
            let start = UtcMicros(0);
            let (id, kind) = (IncidentId("i".into()), IncidentKind::Down);
            let mut incident = Incident::suspected(id, subject, kind, Severity::Major, start, Vec::new(), start);
            // No end of one begins another: edges alone decide.
            let rules = Rules { reopen_window_us: i64::MAX / 4, policy: None };
            let mut found = Found { episodes: Vec::new(), open: false, edges: VecDeque::new() };
            let mut now = start;
            for (turn, gap) in gaps.into_iter().enumerate() {
                now = now.plus_us(gap * 1_000_000);
                let severity = Severity::Major;
                let condition = if turn % 2 == 0 { Condition::Bad { since: now, severity } } else { Condition::Good };
                incident.handle(Input::Condition(condition), &rules, now).unwrap();
                let flaps = found.edge(now);
                prop_assert_eq!(incident.life.flapping, flaps, "at {}", now.0);
            }
        }
    }

    /// A result a minute: U D d ? or silence (.).
    fn series(slots: &str) -> Series {
        let mut series = Series::new();
        for (minute, slot) in slots.chars().enumerate() {
            let state = match slot {
                'U' => ProbeState::Up,
                'D' => ProbeState::Down,
                'd' => ProbeState::Degraded,
                '?' => ProbeState::Unknown,
                _ => continue,
            };
            series.insert_result(Revision(1), UtcMicros(minute as i64 * MINUTE_US), state);
        }
        series
    }

    /// Kind, begin, known, end and bad time of each episode, in minutes.
    fn told(stories: &[&str], knobs: Knobs, reopen: i64) -> Vec<(&'static str, i64, Option<i64>, i64, i64)> {
        let all: Vec<Series> = stories.iter().map(|slots| series(slots)).collect();
        let voters: Vec<Voter<'_>> = all
            .iter()
            .map(|series| Voter { assigned: alloc::vec![LIFE], suspended: Vec::new(), weights: Vec::new(), series })
            .collect();
        let revisions = knobs.applied(&[(LIFE.from, Revision(1), POLICY)]);
        let view = CheckView { revisions: &revisions, life: LIFE };
        let period = Span::new(LIFE.from, UtcMicros(stories[0].len() as i64 * MINUTE_US));
        let minutes = |at: UtcMicros| at.0 / MINUTE_US;
        replay(&view, &voters, &[], period, reopen * MINUTE_US)
            .episodes
            .iter()
            .map(|one| {
                let (from, to) = (minutes(one.span.from), minutes(one.span.to));
                (one.kind.as_str(), from, one.known.map(minutes), to, one.bad_us / MINUTE_US)
            })
            .collect()
    }

    #[test]
    fn an_episode_begins_at_the_first_failure_and_is_known_at_the_confirming_one() {
        let knobs = Knobs::default();
        assert_eq!(told(&["UUUDDDUU"], knobs, 0), [("down", 3, Some(4), 6, 3)]);
        let patient = Knobs { confirmations: Some(3), recoveries: Some(2), ..knobs };
        assert_eq!(told(&["UUUDDDUU"], patient, 0), [("down", 3, Some(5), 7, 3)], "known to be over a minute later");
        let eager = Knobs { confirmations: Some(1), ..knobs };
        assert_eq!(told(&["UDUUDDUU"], eager, 0), [("down", 1, Some(1), 2, 1), ("down", 4, Some(4), 6, 2)]);
        assert_eq!(told(&["UDUUDDUU"], eager, 2), [("down", 1, Some(1), 6, 3)], "reopened");
    }

    #[test]
    fn a_vote_that_lags_behind_is_regional_first() {
        let stories = ["UUDDDDUU", "UUUDDDUU", "UUUUUUUU"];
        assert_eq!(
            told(&stories, Knobs::default(), 0),
            [("regional", 2, Some(3), 4, 1), ("down", 3, Some(4), 6, 3)],
            "at minute 3 one is known to be down, from minute 3 on two are"
        );
        let any = Knobs { quorum: Some(Quorum::Any), ..Knobs::default() };
        assert_eq!(told(&stories, any, 0), [("down", 2, Some(3), 6, 4)]);
    }

    #[test]
    fn what_overlaps_in_hindsight_alone_pages_nobody() {
        let stories = ["UUDDUUUU", "UUUDDUUU"];
        let all = Knobs { quorum: Some(Quorum::All), ..Knobs::default() };
        assert_eq!(told(&stories, all, 0)[1], ("down", 3, None, 4, 1));
    }

    #[test]
    fn silence_does_not_end_an_episode() {
        let slots = "UUDD?????UU";
        assert_eq!(told(&[slots], Knobs::default(), 0), [("down", 2, Some(3), 9, 2)]);
        assert_eq!(told(&["UUDD?????DDUU"], Knobs::default(), 0), [("down", 2, Some(3), 11, 4)]);
    }

    #[test]
    fn flapping_is_held_open() {
        let slots = "DUUUUUDUUUUUDUUUUUDUUUUUU";
        let eager = Knobs { confirmations: Some(1), ..Knobs::default() };
        let told = told(&[slots], eager, 2);
        assert_eq!(told, [("down", 0, Some(0), 1, 1), ("down", 6, Some(6), 19, 3)]);
        // Five edges, but over more than 30 minutes.
        let calm = alloc::format!("D{0}D{0}D{0}", "U".repeat(15));
        assert_eq!(self::told(&[&calm], eager, 2).len(), 3);
    }

    #[test]
    fn comparisons_tell_what_is_kept_gone_and_new() {
        let one = |kind, from: i64, to: i64, known| Episode {
            kind,
            span: Span::new(UtcMicros(from), UtcMicros(to)),
            known,
            lasting: false,
            bad_us: to - from,
            flapping: false,
        };
        use EpisodeKind::{Down, Regional};
        let known = Some(UtcMicros(1));
        let before = [one(Down, 0, 10, known), one(Regional, 5, 8, known), one(Down, 20, 30, known)];
        let after = [one(Down, 2, 4, None), one(Down, 6, 9, known), one(Regional, 50, 60, known)];
        let changes = compare(&before, &after);
        assert_eq!(
            changes,
            [
                Change::Kept { before: before[0], after: after[0] },
                Change::Gone(before[1]),
                Change::New(after[1]),
                Change::Gone(before[2]),
                Change::New(after[2]),
            ]
        );
        let totals = Totals { kept: 1, gone: 2, new: 2, pages_before: 3, pages_after: 2, pages_gone: 3, pages_new: 2 };
        assert_eq!(Totals::of(&changes), totals);
        let apart = compare(&[one(Down, 0, 10, known)], &[one(Down, 10, 20, known)]);
        assert!(matches!(apart[..], [Change::Gone(_), Change::New(_)]), "touching is not overlapping: {apart:?}");
    }
}

//! What is so now, as pages see it: a check's verdict at one instant, and the conditions of its incidents.
//!
//! Two verdicts are made of the same voters, who are those of [`crate::vote`]: assigned, not suspended, with a weight, and a newest result that still holds.
//! The *confirmed* one is that of their votes, with confirmations and recoveries: what [`crate::vote::verdicts`] says of the instant where no window covers it.
//! The *newest* one takes each voter's newest result for its vote: what would be so if it were confirmed.
//!
//! Maintenance windows change neither: an incident goes by the evidence, and a window holds its pages.
//!
//! **Late data pages nobody.** A voter whose newest result came late says nothing, before its next one in time. Where the newest result is in time, but all that is
//! as bad as the vote came late, the voter votes what its newest result says: with several recoveries a backlog of failures would page after the fact.
//!
//! **One outage, one incident.** Agents find out one after the other, and recover one after the other. So `regional` opens only when the newest results do not say `down`
//! already, those that are not down were heard since the others began to be, and the others since those were back. A voter that is not heard is waited for as long as its last result holds.

use alloc::vec::Vec;

use crate::control::Weight;
use crate::id::AgentNo;
use crate::incident::{CheckClass, Condition, IncidentKind};
use crate::quorum::Quorum;
use crate::record::ProbeState;
use crate::series::{Seen, Series};
use crate::time::{Span, UtcMicros};
use crate::timeline::Raw;
use crate::vote::{Ballot, CheckView, Verdict, Vote, ballot, decide};

/// An agent that a check is assigned to now, and that is not suspended.
#[derive(Debug, Clone, Copy)]
pub struct Witness<'a> {
    /// Which.
    pub agent: AgentNo,
    /// Its vote's weight now; with 0 it has none.
    pub weight: Weight,
    /// What it reported.
    pub series: &'a Series,
    /// Some of its results came late: the newest slot of those.
    pub late_upto: Option<UtcMicros>,
}

/// A live voter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voice {
    /// Which agent.
    pub agent: AgentNo,
    /// Its weight.
    pub weight: Weight,
    /// What it votes, with confirmations and recoveries.
    pub vote: Vote,
    /// The first result of the streak that made it so. Of a vote that was settled long ago the first result of a later run of equal ones.
    pub since: UtcMicros,
    /// What its newest result says.
    pub newest: Vote,
    /// The first of the newest results that are as bad; of good ones the newest.
    pub newest_since: UtcMicros,
    /// The slot of its newest result.
    pub slot: UtcMicros,
}

/// A verdict, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// Which; never [`Verdict::Maintenance`].
    pub verdict: Verdict,
    /// The result by which the voters that are bad now became enough; the instant itself where none is.
    pub since: UtcMicros,
}

/// What is so at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The live voters, in the order they were given in.
    pub voices: Vec<Voice>,
    /// The verdict of their votes.
    pub confirmed: Said,
    /// The verdict of their newest results.
    pub newest: Said,
    /// When something of it changes next though nothing new is reported; `None`: never.
    pub next: Option<UtcMicros>,
}

/// The record that speaks for a pair at an instant.
struct Newest {
    slot: UtcMicros,
    state: Option<ProbeState>,
    /// When another one speaks, or none.
    until: Option<UtcMicros>,
}

/// As [`crate::timeline::pair`] has it.
fn newest(view: &CheckView<'_>, series: &Series, now: UtcMicros) -> Newest {
    let ahead = series.runs_from(now.plus_us(1)).1.next().map(|run| run.first);
    let Some(run) = series.runs_in(Span::new(now, now.plus_us(1))).next_back().filter(|run| run.first <= now) else {
        return Newest { slot: UtcMicros::MIN, state: None, until: ahead };
    };
    let begun = run.count_before(now.plus_us(1));
    let slot = run.slot(begun - 1);
    let ahead = if begun < run.count { Some(run.slot(begun)) } else { ahead };
    let over = slot.plus_us(view.hold_us(run.obs.revision));
    if over <= now {
        return Newest { slot, state: None, until: ahead };
    }
    let state = match Raw::of(run.obs.seen) {
        Raw::State(state) => Some(state),
        Raw::Unknown(_) => None,
    };
    Newest { slot, state, until: Some(ahead.map_or(over, |ahead| ahead.min(over))) }
}

const fn vote_of(state: ProbeState) -> Option<Vote> {
    match state {
        ProbeState::Up => Some(Vote::Up),
        ProbeState::Degraded => Some(Vote::Degraded),
        ProbeState::Down => Some(Vote::Down),
        ProbeState::Unknown => None,
    }
}

/// The newest slot up to `now` with a result that is as bad as `vote`.
fn newest_as_bad(series: &Series, vote: Vote, now: UtcMicros) -> Option<UtcMicros> {
    let as_bad = |seen: Seen| match seen {
        Seen::State(state) => vote_of(state).is_some_and(|found| found >= vote),
        Seen::Missed(_) => false,
    };
    let run = series.runs_in(Span::new(UtcMicros::MIN, now.plus_us(1))).rev().find(|run| as_bad(run.obs.seen))?;
    Some(run.slot(run.count_before(now.plus_us(1)).checked_sub(1)?))
}

fn voice(view: &CheckView<'_>, witness: &Witness<'_>, newest: &Newest, now: UtcMicros) -> Option<Voice> {
    let says = newest.state.and_then(vote_of)?;
    let late = |slot: UtcMicros| witness.late_upto.is_some_and(|upto| slot <= upto);
    if witness.weight == Weight::ZERO || late(newest.slot) {
        return None;
    }
    let Ballot { mut vote, mut since, bad_since } = ballot(view, witness.series, now);
    let newest_since = match says {
        Vote::Up => newest.slot,
        Vote::Degraded => bad_since.0.min(newest.slot),
        Vote::Down => bad_since.1.min(newest.slot),
    };
    let by_late =
        vote > says && witness.late_upto.is_some() && newest_as_bad(witness.series, vote, now).is_none_or(late);
    if by_late {
        (vote, since) = (says, newest_since);
    }
    let (agent, weight, slot) = (witness.agent, witness.weight, newest.slot);
    Some(Voice { agent, weight, vote, since, newest: says, newest_since, slot })
}

/// The verdict of votes, each with the instant from which it is so.
fn said(quorum: Quorum, votes: &[(Weight, Vote, UtcMicros)], now: UtcMicros) -> Said {
    let verdict = decide(quorum, votes.iter().map(|(weight, vote, _)| (*weight, *vote)));
    let needed = match verdict {
        Verdict::Down | Verdict::Regional => Vote::Down,
        Verdict::Degraded => Vote::Degraded,
        Verdict::Up | Verdict::Unknown | Verdict::Maintenance => return Said { verdict, since: now },
    };
    let mut instants: Vec<UtcMicros> =
        votes.iter().filter(|(_, vote, _)| *vote >= needed).map(|(_, _, since)| *since).collect();
    instants.sort_unstable();
    let then = |at: UtcMicros| {
        let vote = |since: UtcMicros, vote: Vote| if since <= at { vote } else { Vote::Up };
        decide(quorum, votes.iter().map(|(weight, now, since)| (*weight, vote(*since, *now))))
    };
    let since = instants.into_iter().find(|at| then(*at) == verdict).unwrap_or(now);
    Said { verdict, since }
}

impl Present {
    /// What is so at `now`, which nothing reported is newer than but for agents whose clocks run ahead.
    pub fn at<'a>(view: &CheckView<'_>, witnesses: impl IntoIterator<Item = Witness<'a>>, now: UtcMicros) -> Self {
        let mut next: Option<UtcMicros> = None;
        let mut voices = Vec::new();
        if view.life.contains(now) {
            for witness in witnesses {
                let newest = newest(view, witness.series, now);
                next = [next, newest.until].into_iter().flatten().min();
                voices.extend(voice(view, &witness, &newest, now));
            }
        }
        let quorum = view.in_force(now).map_or(Quorum::default(), |policy| policy.quorum);
        let votes: Vec<_> = voices.iter().map(|voice| (voice.weight, voice.vote, voice.since)).collect();
        let confirmed = said(quorum, &votes, now);
        let votes: Vec<_> = voices.iter().map(|voice| (voice.weight, voice.newest, voice.newest_since)).collect();
        let newest = said(quorum, &votes, now);
        Self { voices, confirmed, newest, next }
    }

    /// Whether every live voter was heard of `at` or later.
    pub fn heard_since(&self, at: UtcMicros) -> bool {
        self.voices.iter().all(|voice| voice.slot >= at)
    }

    /// Whether those that are not down were heard since the others began to be, and those since the former were back: who was not may be about to say the same.
    fn parted(&self) -> bool {
        let last = |down: bool| {
            let those = self.voices.iter().filter(|voice| (voice.vote == Vote::Down) == down);
            those.map(|voice| voice.since).max().unwrap_or(UtcMicros::MIN)
        };
        let (began, back) = (last(true), last(false));
        self.voices.iter().all(|voice| voice.slot >= if voice.vote == Vote::Down { back } else { began })
    }

    /// Whether it is down, or would be if the newest results were confirmed.
    pub fn down_or_suspected(&self) -> bool {
        self.confirmed.verdict == Verdict::Down || self.newest.verdict == Verdict::Down
    }

    /// What it says about the kinds of incidents that verdicts make. Of several at once only the worst is bad.
    pub fn conditions(&self, class: CheckClass) -> [(IncidentKind, Condition); 3] {
        let (confirmed, newest) = (self.confirmed, self.newest);
        let condition = |kind: IncidentKind, bad: Verdict, opens: bool| {
            let severity = class.severity(kind);
            let condition = if confirmed.verdict == Verdict::Unknown {
                Condition::Unknown
            } else if confirmed.verdict == bad && opens {
                Condition::Bad { since: confirmed.since, severity }
            } else if confirmed.verdict == bad {
                Condition::Suspect { since: confirmed.since, severity }
            } else if newest.verdict == bad && !worse(confirmed.verdict, bad) {
                Condition::Suspect { since: newest.since, severity }
            } else {
                Condition::Good
            };
            (kind, condition)
        };
        [
            condition(IncidentKind::Down, Verdict::Down, true),
            condition(IncidentKind::Regional, Verdict::Regional, newest.verdict != Verdict::Down && self.parted()),
            condition(IncidentKind::Degraded, Verdict::Degraded, !worse(newest.verdict, Verdict::Degraded)),
        ]
    }
}

/// Whether a verdict is one that stands for more than another.
const fn worse(verdict: Verdict, than: Verdict) -> bool {
    const fn rank(verdict: Verdict) -> u8 {
        match verdict {
            Verdict::Down => 3,
            Verdict::Regional => 2,
            Verdict::Degraded => 1,
            Verdict::Up | Verdict::Unknown | Verdict::Maintenance => 0,
        }
    }
    rank(verdict) > rank(than)
}

#[cfg(test)]
mod tests;

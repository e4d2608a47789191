//! What checks share and when they failed; how agents stand to each other.
//!
//! No look goes over all checks at once: each check's own look leaves here what others need of it ([`Ledger`]), after a start a first one that the book alone is asked for. Failures in common
//! and agents' votes are asked of what is here once every check left something; who resolves slowly, once the store was read of every check.
//!
//! - What a check may share is in [`super::traits`].
//! - Down spans of children of a parent count like any other: which incident opened does not matter.
//! - An agent is compared where at least two others with a vote could tell: theirs is the weighted majority, by the weights of that time. Its answers are counted by time, one each
//!   interval. All four weeks are counted anew by each look, so late results count, and it does not matter who looked when. The newest hour that is over is left out: not every check has
//!   looked since.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::id::AgentNo;
use sitepulse_model::insight::found::Evidence;
use sitepulse_model::insight::input::{AgentVotes, DnsHour, FailingCheck, Failures, Resolvers, VoteHour, hour_of};
use sitepulse_model::insight::thresholds::Thresholds;
use sitepulse_model::insight::{Kind, Subject, agent_disagrees, correlated_failures, slow_resolver};
use sitepulse_model::record::ProbeState;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::timeline::{Raw, RawSpan};

use super::traits::{self, Traits};
use super::{Frame, Known};
use crate::book::{Book, Check};
use crate::insight::look::{Hit, Look, Target};

const HOUR_US: i64 = 3_600_000_000;
/// Hours of an agent's votes that are kept: four weeks.
const VOTE_HOURS: i64 = 28 * 24;
/// Hours that an agent is judged by: those that every check's look has, in whichever of the last two hours it was.
const JUDGED_HOURS: i64 = VOTE_HOURS - 1;
/// Hours that count as recent.
const RECENT_HOURS: i64 = 24;
/// Beginnings of failures that are kept, in microseconds: four weeks.
pub(super) const FAILED_US: i64 = 28 * 86_400_000_000;
/// Others with a vote that must be able to tell.
const OTHERS_MIN: usize = 2;

/// What looks at checks left behind.
#[derive(Debug, Default)]
pub struct Ledger {
    checks: BTreeMap<String, OfCheck>,
}

#[derive(Debug, Default)]
struct OfCheck {
    traits: Traits,
    began: Vec<UtcMicros>,
    interval_us: i64,
    /// What resolving its name took; `None` before the store was read.
    dns: Option<Vec<(String, i64, u64, u32)>>,
    votes: BTreeMap<AgentNo, Vec<VoteHours>>,
}

/// What a check's look leaves behind, taken from the book together with its frame.
#[derive(Debug)]
pub struct Left {
    id: String,
    traits: Traits,
    interval_us: i64,
    votes: BTreeMap<AgentNo, Vec<VoteHours>>,
}

/// Hours in a row in which an agent's answers to a check were compared for as long, and disagreed for as long. Of an agent that never disagrees, all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct VoteHours {
    from: i64,
    /// The first hour after them.
    to: i64,
    compared_us: u32,
    disagreed_us: u32,
}

/// What an agent said, and how much its vote weighed since when, both in order.
#[derive(Debug)]
struct Voter {
    agent: AgentNo,
    weights: Vec<(UtcMicros, u64)>,
    spans: Vec<RawSpan>,
}

impl Left {
    /// Of a check whose frame was just made.
    pub fn of(book: &Book, check: &Check, frame: &Frame, now: UtcMicros) -> Option<Self> {
        let revision = check.current()?;
        let interval_us = revision.definition.interval_us.cast_signed().max(1);
        let hour = |hour: i64| UtcMicros(hour.saturating_mul(HOUR_US));
        let period = Span::new(hour(hour_of(now) - VOTE_HOURS), hour(hour_of(now)));
        let votes = if check.pairs.len() > OTHERS_MIN {
            let control = book.control();
            let voter = |agent: &AgentNo| {
                let weights = control.weights(*agent, check.number).into_iter();
                Voter {
                    agent: *agent,
                    weights: weights.map(|(at, weight)| (at, u64::from(weight.0))).collect(),
                    spans: book.timeline(check.number, *agent, period),
                }
            };
            compare(&check.pairs.keys().map(voter).collect::<Vec<_>>(), period)
        } else {
            BTreeMap::new()
        };
        let lasts = check.pairs.iter().filter(|(agent, _)| frame.voters.contains_key(agent));
        let traits = Traits::of(revision, lasts.filter_map(|(_, pair)| pair.last.as_deref()));
        Some(Self { id: frame.id.clone(), traits, interval_us, votes })
    }
}

/// By agent, how long its answers could be compared with the others' majority hour by hour, and how long they said another thing.
fn compare(voters: &[Voter], period: Span) -> BTreeMap<AgentNo, Vec<VoteHours>> {
    let hours = hour_of(period.from)..=hour_of(period.to);
    let mut edges: Vec<UtcMicros> = hours.map(|hour| UtcMicros(hour.saturating_mul(HOUR_US))).collect();
    for voter in voters {
        edges.extend(voter.spans.iter().flat_map(|one| [one.span.from, one.span.to]));
        edges.extend(voter.weights.iter().map(|(at, _)| *at));
    }
    edges.retain(|at| period.from <= *at && *at <= period.to);
    edges.sort_unstable();
    edges.dedup();
    let mut at = vec![(0_usize, 0_usize); voters.len()];
    let mut found: Vec<Vec<(i64, u32, u32)>> = vec![Vec::new(); voters.len()];
    // Whether each says down, and with what weight; `None` where it cannot tell or has no vote.
    let mut said: Vec<Option<(bool, u64)>> = Vec::with_capacity(voters.len());
    for pair in edges.windows(2) {
        let from = pair[0];
        // No stretch is longer than its hour.
        let us = u32::try_from(pair[1].us_since(from)).unwrap_or(u32::MAX);
        said.clear();
        said.extend(voters.iter().zip(&mut at).map(|(voter, (span, weight))| {
            while voter.spans.get(*span).is_some_and(|one| one.span.to <= from) {
                *span += 1;
            }
            while voter.weights.get(*weight + 1).is_some_and(|(at, _)| *at <= from) {
                *weight += 1;
            }
            let one = voter.spans.get(*span).filter(|one| one.span.from <= from)?;
            let weighs = voter.weights.get(*weight).map(|(_, weight)| *weight).filter(|weight| *weight > 0)?;
            match one.state {
                Raw::State(state) => Some((state == ProbeState::Down, weighs)),
                Raw::Unknown(_) => None,
            }
        }));
        let tell = said.iter().flatten().count();
        let all: u64 = said.iter().flatten().map(|(_, weight)| weight).sum();
        let down: u64 = said.iter().flatten().filter(|(down, _)| *down).map(|(_, weight)| weight).sum();
        if tell <= OTHERS_MIN {
            continue;
        }
        for (own, hours) in said.iter().zip(&mut found) {
            let Some((says_down, weight)) = *own else { continue };
            let (others, others_down) = (all - weight, if says_down { down - weight } else { down });
            let disagreed_us = if says_down == (others_down * 2 > others) { 0 } else { us };
            match hours.last_mut() {
                Some((hour, compared, disagreed)) if *hour == hour_of(from) => {
                    (*compared, *disagreed) = (*compared + us, *disagreed + disagreed_us);
                }
                Some(_) | None => hours.push((hour_of(from), us, disagreed_us)),
            }
        }
    }
    let in_rows = |hours: Vec<(i64, u32, u32)>| {
        let mut rows: Vec<VoteHours> = Vec::new();
        for (hour, compared_us, disagreed_us) in hours {
            match rows.last_mut() {
                Some(row) if (row.to, row.compared_us, row.disagreed_us) == (hour, compared_us, disagreed_us) => {
                    row.to = hour + 1;
                }
                Some(_) | None => rows.push(VoteHours { from: hour, to: hour + 1, compared_us, disagreed_us }),
            }
        }
        rows.shrink_to_fit();
        rows
    };
    let agents = voters.iter().map(|voter| voter.agent);
    agents.zip(found.into_iter().map(in_rows)).filter(|(_, rows)| !rows.is_empty()).collect()
}

impl Ledger {
    /// Whether a check left something since the start.
    pub fn knows(&self, check: &str) -> bool {
        self.checks.contains_key(check)
    }

    /// Takes in what a look at a check left behind; `dns` where the store was read.
    pub fn learn(&mut self, mut left: Left, dns: Option<Vec<(String, i64, u64, u32)>>) {
        let of = self.checks.entry(left.id).or_default();
        left.traits.keep(&of.traits);
        (of.traits, of.interval_us, of.votes) = (left.traits, left.interval_us, left.votes);
        of.dns = dns.or_else(|| of.dns.take());
    }

    /// Nothing could be found out of a check: nobody waits for it.
    pub fn give_up(&mut self, check: &str) {
        self.checks.entry(check.to_owned()).or_default().dns.get_or_insert_default();
    }

    /// Whether the store was read of every check that is here.
    pub fn has_names(&self) -> bool {
        self.checks.values().all(|of| of.dns.is_some())
    }

    /// Takes in when a check failed, as a look at it saw, a quick one too.
    pub fn failed(&mut self, frame: &Frame, now: UtcMicros) {
        let Some(of) = self.checks.get_mut(&frame.id) else { return };
        let since = now.plus_us(-FAILED_US);
        // A quick look knows of the newest alone. What was down when it begins began before.
        let told_from = frame.verdicts.first().map_or(now, |span| span.span.from);
        of.began.retain(|at| *at >= since && *at <= told_from);
        let began = frame.down().map(|span| span.from).filter(|at| *at >= since && *at > told_from);
        of.began.extend(began);
    }

    /// Forgets the checks that are there no more.
    pub fn forget(&mut self, is_living: impl Fn(&str) -> bool) {
        self.checks.retain(|check, _| is_living(check));
    }

    /// Failures in common.
    pub fn failures(&self, rules: &Thresholds, now: UtcMicros) -> Look {
        let traits = traits::together(self.checks.values().map(|of| &of.traits));
        let checks: Vec<FailingCheck<'_>> = self
            .checks
            .iter()
            .zip(&traits)
            .map(|((check, of), traits)| FailingCheck { check, traits, began: &of.began, interval_us: of.interval_us })
            .collect();
        let failures = Failures { checks: &checks, history_from: now.plus_us(-FAILED_US) };
        let hit = |finding: sitepulse_model::insight::found::Found| {
            let mut named = BTreeSet::new();
            if let Evidence::CorrelatedFailures { checks, .. } = &finding.evidence {
                named.extend(checks.iter().cloned());
            }
            let checks = named;
            Hit { finding, checks }
        };
        let found = correlated_failures::find(&failures, &rules.correlated_failures, now);
        let hits = found.into_iter().map(hit).collect();
        Look { kinds: BTreeSet::from([Kind::CorrelatedFailures]), full: true, hits, ..Look::new(Target::Together) }
    }

    /// Looks at agents: who sees what the others do not, and whose names take long to resolve, once the store was read of every check. `clocks` has those that are enrolled.
    pub fn agents(&self, clocks: &[AgentClock], known: &Known, rules: &Thresholds, now: UtcMicros) -> Vec<Look> {
        let hours: Vec<DnsHour<'_>> = self
            .checks
            .iter()
            .flat_map(|(check, of)| of.dns.iter().flatten().map(move |one| (check.as_str(), one)))
            .map(|(check, (agent, hour, median_us, runs))| DnsHour {
                agent,
                check,
                hour: *hour,
                median_us: *median_us,
                runs: *runs,
            })
            .collect();
        let subject = |agent: &str| Subject::Agent { agent: agent.to_owned() };
        let slow_since: Vec<(&str, UtcMicros)> = clocks
            .iter()
            .filter_map(|one| Some((one.agent.as_str(), known.since(Kind::SlowResolver, &subject(&one.agent))?)))
            .collect();
        let resolvers = Resolvers { hours: &hours, known: &slow_since };
        let mut kinds = BTreeSet::from([Kind::AgentDisagrees]);
        let mut found = Vec::new();
        // By the names of some checks alone anybody is slow.
        if self.has_names() {
            kinds.insert(Kind::SlowResolver);
            found.extend(slow_resolver::find(&resolvers, &rules.slow_resolver, now));
        }
        let votes_to = now.plus_us(-HOUR_US);
        for one in clocks {
            let (hours, recent) = self.votes(one.number, hour_of(votes_to));
            let votes = AgentVotes {
                agent: &one.agent,
                hours: &hours,
                checks_compared: recent.0,
                checks_disagreed: recent.1,
                clock_offset_us: one.offset_us,
                clock_uncertainty_us: one.uncertainty_us,
                clock_measured_at: one.measured_at,
                known_since: known.since(Kind::AgentDisagrees, &subject(&one.agent)),
            };
            found.extend(agent_disagrees::find(&votes, &rules.agent_disagrees, votes_to));
        }
        let look = |one: &AgentClock| {
            let theirs = found.iter().filter(|found| found.subject == subject(&one.agent)).cloned();
            Look {
                kinds: kinds.clone(),
                full: true,
                // An agent is no check: it counts for none.
                hits: theirs.map(|finding| Hit { finding, checks: BTreeSet::new() }).collect(),
                ..Look::new(Target::Agent(one.agent.clone()))
            }
        };
        clocks.iter().map(look).collect()
    }

    /// An agent's votes on all checks together, hour by hour up to one; and on how many checks it was compared, and disagreed, in the recent ones of them.
    fn votes(&self, agent: AgentNo, to: i64) -> (Vec<VoteHour>, (u32, u32)) {
        let from = to - JUDGED_HOURS;
        // What each hour has more than the one before, in thousandths of an answer: whole numbers, so the order of the checks leaves no trace.
        let mut more = vec![(0_i64, 0_i64); (JUDGED_HOURS + 1).unsigned_abs() as usize];
        let at = |hour: i64| (hour.clamp(from, to) - from).unsigned_abs() as usize;
        let (mut compared, mut disagreed) = (0, 0);
        for of in self.checks.values() {
            let Some(rows) = of.votes.get(&agent) else { continue };
            let answers = |us: u32| i64::from(us) * 1_000 / of.interval_us.max(1);
            for row in rows {
                let these = (answers(row.compared_us), answers(row.disagreed_us));
                let (first, end) = (at(row.from), at(row.to));
                more[first] = (more[first].0 + these.0, more[first].1 + these.1);
                more[end] = (more[end].0 - these.0, more[end].1 - these.1);
            }
            let recent = |row: &&VoteHours| row.to > to - RECENT_HOURS && row.from < to;
            compared += u32::from(rows.iter().any(|row| recent(&row)));
            disagreed += u32::from(rows.iter().any(|row| recent(&row) && row.disagreed_us > 0));
        }
        let mut sums = (0, 0);
        let whole = |thousandths: i64| u32::try_from((thousandths + 500) / 1_000).unwrap_or(u32::MAX);
        let hours = more.iter().zip(from..to).map(|(more, hour)| {
            sums = (sums.0 + more.0, sums.1 + more.1);
            VoteHour { hour, compared: whole(sums.0), disagreed: whole(sums.1) }
        });
        (hours.filter(|hour| hour.compared > 0).collect(), (compared, disagreed))
    }
}

/// An agent, and what is known of its clock.
#[derive(Debug, Clone)]
pub struct AgentClock {
    /// Its name.
    pub agent: String,
    number: AgentNo,
    offset_us: Option<i64>,
    uncertainty_us: u64,
    measured_at: Option<UtcMicros>,
}

/// The agents that are enrolled, but for the collector's own.
pub fn clocks(book: &Book) -> Vec<AgentClock> {
    let living = book.agents().filter(|agent| !agent.internal && agent.revoked_at.is_none());
    living
        .map(|agent| {
            let presence = agent.presence.read();
            let status = presence.status.as_ref();
            AgentClock {
                agent: agent.name.to_string(),
                number: agent.number,
                offset_us: status.and_then(|status| status.clock_offset_us),
                uncertainty_us: status.map_or(0, |status| status.clock_uncertainty_us),
                measured_at: status.and(presence.spool_before).map(|(at, ..)| at),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_held_against_the_majority_of_at_least_two_others() {
        let start = UtcMicros(500_000 * HOUR_US);
        let period = Span::new(start, start.plus_us(2 * HOUR_US));
        let span = |from: i64, to: i64, state| {
            let minutes = |at: i64| start.plus_us(at * 60_000_000);
            RawSpan { span: Span::new(minutes(from), minutes(to)), state }
        };
        let (up, down) = (Raw::State(ProbeState::Up), Raw::State(ProbeState::Down));
        let of = |agent: u32, weights: &[(i64, u64)], spans: Vec<RawSpan>| {
            let weights = weights.iter().map(|(at, weight)| (start.plus_us(at * 60_000_000), *weight)).collect();
            Voter { agent: AgentNo(agent), weights, spans }
        };
        let one = [(0, 1_000)];
        let voters = vec![
            of(1, &one, vec![span(0, 120, up)]),
            of(2, &one, vec![span(0, 120, up)]),
            // Says something else for a quarter of an hour, across the hour.
            of(3, &one, vec![span(0, 50, up), span(50, 65, down), span(65, 120, up)]),
        ];
        let minutes = |found: &BTreeMap<AgentNo, Vec<VoteHours>>, agent: u32| {
            let rows = found.get(&AgentNo(agent)).cloned().unwrap_or_default();
            let in_minutes = |us: u32| us / 60_000_000;
            let of = |row: &VoteHours| {
                let hours = (row.from - 500_000)..(row.to - 500_000);
                (hours, in_minutes(row.compared_us), in_minutes(row.disagreed_us))
            };
            rows.iter().map(of).collect::<Vec<_>>()
        };
        let found = compare(&voters, period);
        assert_eq!(minutes(&found, 3), [(0..1, 60, 10), (1..2, 60, 5)]);
        // One against one is no majority: up is what is not down by more than half. Hours alike are one row.
        assert_eq!((minutes(&found, 1), minutes(&found, 2)), (vec![(0..2, 60, 0)], vec![(0..2, 60, 0)]));
        assert!(compare(&voters[..2], period).is_empty());
        // A weight counts from its own instant on: for the first hour what the third says is what there is, and the first had no vote then.
        let voters = vec![
            of(1, &[(0, 0), (60, 1_000)], vec![span(0, 120, up)]),
            of(2, &one, vec![span(0, 120, up)]),
            of(3, &[(0, 3_000), (60, 1_000)], vec![span(0, 120, down)]),
            of(4, &one, vec![span(0, 120, up)]),
        ];
        let found = compare(&voters, period);
        assert_eq!(minutes(&found, 1), [(1..2, 60, 0)]);
        assert_eq!(minutes(&found, 2), [(0..1, 60, 60), (1..2, 60, 0)]);
        assert_eq!(minutes(&found, 3), [(0..2, 60, 60)]);
    }

    /// Each hour was counted when it was first seen, and added to what was there: who looked twice, or later, counted otherwise.
    #[test]
    fn votes_are_counted_anew_and_in_any_order() {
        let rows = |disagreed_us: u32| {
            let row = |from, to, disagreed_us| VoteHours { from, to, compared_us: 3_600_000_000, disagreed_us };
            vec![row(499_000, 499_990, 0), row(499_990, 500_000, disagreed_us)]
        };
        let left = |check: &str, interval_s: i64, disagreed_us: u32| Left {
            id: check.to_owned(),
            traits: Traits::default(),
            interval_us: interval_s * 1_000_000,
            votes: BTreeMap::from([(AgentNo(1), rows(disagreed_us))]),
        };
        let all = [("a", 7, 600_000_000), ("b", 60, 0), ("c", 13, 1_800_000_000)];
        let mut one = Ledger::default();
        all.iter().for_each(|(check, seconds, _)| one.learn(left(check, *seconds, 0), None));
        all.iter().for_each(|(check, seconds, us)| one.learn(left(check, *seconds, *us), None));
        let mut other = Ledger::default();
        all.iter().rev().for_each(|(check, seconds, us)| other.learn(left(check, *seconds, *us), Some(Vec::new())));
        let (hours, about) = one.votes(AgentNo(1), 500_000);
        assert_eq!((hours.clone(), about), other.votes(AgentNo(1), 500_000));
        assert_eq!((hours.len(), about), (JUDGED_HOURS as usize, (3, 2)));
        let newest = hours.last().unwrap();
        // 514.3 + 60 + 276.9 answers an hour, of which 85.7 and 138.5 disagreed.
        assert_eq!((newest.hour, newest.compared, newest.disagreed), (499_999, 851, 224));
        assert_eq!((hours[0].hour, hours[0].disagreed), (500_000 - JUDGED_HOURS, 0));
        assert!(!one.has_names() && other.has_names());
        // A day later the hours that disagreed are recent no more.
        assert_eq!(one.votes(AgentNo(1), 500_024).1, (0, 0));
    }
}

//! What checks share and when they failed; how agents stand to each other.
//!
//! No look goes over all checks at once: each check's own look leaves here what others need of it ([`Ledger`]). Failures in common are asked of what is here at any time; agents are
//! judged once every check was looked at since the start.
//!
//! - What a check may share is in [`super::traits`].
//! - Down spans of children of a parent count like any other: which incident opened does not matter.
//! - An agent is compared where at least two others with a vote could tell: theirs is the weighted majority. Its answers are counted by time, one each interval.

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
/// Hours that count as recent.
const RECENT_HOURS: i64 = 24;
/// Beginnings of failures that are kept, in microseconds: four weeks.
const FAILED_US: i64 = 28 * 86_400_000_000;
/// Others with a vote that must be able to tell.
const OTHERS_MIN: usize = 2;

/// What looks at checks left behind.
#[derive(Debug, Default)]
pub struct Ledger {
    checks: BTreeMap<String, OfCheck>,
    /// By agent and hour: answers that were compared, and those that disagreed, in microseconds of time divided by the check's interval.
    votes: BTreeMap<String, BTreeMap<i64, (f64, f64)>>,
}

#[derive(Debug, Default)]
struct OfCheck {
    traits: Traits,
    began: Vec<UtcMicros>,
    interval_us: i64,
    dns: Vec<(String, i64, u64, u32)>,
    /// The first hour whose votes were not counted yet.
    votes_from: i64,
    /// By agent, the newest hour in which it was compared, and in which it disagreed.
    recent: BTreeMap<String, (i64, i64)>,
}

/// What a check's look leaves behind, taken from the book together with its frame.
#[derive(Debug)]
pub struct Left {
    id: String,
    traits: Traits,
    interval_us: i64,
    votes: Vec<Votes>,
    upto: i64,
}

/// An agent's answers to a check in an hour.
#[derive(Debug)]
struct Votes {
    agent: String,
    hour: i64,
    compared: f64,
    disagreed: f64,
}

impl Left {
    /// Of a check whose frame was just made. `from` is the hour that [`Ledger::votes_from`] told.
    pub fn of(book: &Book, check: &Check, frame: &Frame, from: i64, now: UtcMicros) -> Option<Self> {
        let revision = check.current()?;
        let interval_us = revision.definition.interval_us.cast_signed().max(1);
        let upto = hour_of(now);
        let from = from.max(upto - VOTE_HOURS);
        let period = Span::new(UtcMicros(from.saturating_mul(HOUR_US)), UtcMicros(upto.saturating_mul(HOUR_US)));
        let votes = if frame.voters.len() > OTHERS_MIN && !period.is_empty() {
            let timelines: Vec<(AgentNo, u64, Vec<RawSpan>)> = frame
                .voters
                .keys()
                .map(|agent| {
                    let weight = book.control().weight_at(*agent, check.number, now).0;
                    (*agent, u64::from(weight), book.timeline(check.number, *agent, period))
                })
                .collect();
            let name = |agent: AgentNo| frame.voters.get(&agent).map(|(_, name)| name.clone()).unwrap_or_default();
            compare(&timelines, period, interval_us)
                .into_iter()
                .map(|((agent, hour), (compared, disagreed))| Votes { agent: name(agent), hour, compared, disagreed })
                .collect()
        } else {
            Vec::new()
        };
        let lasts = check.pairs.iter().filter(|(agent, _)| frame.voters.contains_key(agent));
        let traits = Traits::of(revision, lasts.filter_map(|(_, pair)| pair.last.as_deref()));
        Some(Self { id: frame.id.clone(), traits, interval_us, votes, upto })
    }
}

/// By agent and hour, how many answers could be compared with the others' majority and how many said another thing.
fn compare(
    timelines: &[(AgentNo, u64, Vec<RawSpan>)],
    period: Span,
    interval_us: i64,
) -> BTreeMap<(AgentNo, i64), (f64, f64)> {
    let mut edges: BTreeSet<UtcMicros> =
        (hour_of(period.from)..=hour_of(period.to)).map(|hour| UtcMicros(hour.saturating_mul(HOUR_US))).collect();
    edges.extend(timelines.iter().flat_map(|(_, _, spans)| spans.iter().flat_map(|one| [one.span.from, one.span.to])));
    let edges: Vec<UtcMicros> = edges.into_iter().filter(|at| period.from <= *at && *at <= period.to).collect();
    let mut at = vec![0_usize; timelines.len()];
    let mut found: BTreeMap<(AgentNo, i64), (f64, f64)> = BTreeMap::new();
    for pair in edges.windows(2) {
        let (from, us) = (pair[0], pair[1].us_since(pair[0]));
        // Whether each says down; `None` where it cannot tell.
        let said: Vec<Option<bool>> = timelines
            .iter()
            .zip(&mut at)
            .map(|((_, _, spans), at)| {
                while spans.get(*at).is_some_and(|one| one.span.to <= from) {
                    *at += 1;
                }
                let one = spans.get(*at).filter(|one| one.span.from <= from)?;
                match one.state {
                    Raw::State(state) => Some(state == ProbeState::Down),
                    Raw::Unknown(_) => None,
                }
            })
            .collect();
        for (nth, (agent, ..)) in timelines.iter().enumerate() {
            let Some(own) = said[nth] else { continue };
            let others = timelines.iter().zip(&said).enumerate().filter(|(other, _)| *other != nth);
            let others: Vec<(u64, bool)> =
                others.filter_map(|(_, ((_, weight, _), said))| Some((*weight, (*said)?))).collect();
            if others.len() < OTHERS_MIN {
                continue;
            }
            let all: u64 = others.iter().map(|(weight, _)| weight).sum();
            let down: u64 = others.iter().filter(|(_, down)| *down).map(|(weight, _)| weight).sum();
            let answers = us as f64 / interval_us as f64;
            let entry = found.entry((*agent, hour_of(from))).or_default();
            entry.0 += answers;
            if own != (down * 2 > all) {
                entry.1 += answers;
            }
        }
    }
    found
}

impl Ledger {
    /// From which hour on a check's votes were not counted yet.
    pub fn votes_from(&self, check: &str) -> i64 {
        self.checks.get(check).map_or(i64::MIN, |of| of.votes_from)
    }

    /// Takes in what a look at a check left behind.
    pub fn learn(&mut self, mut left: Left, dns: Vec<(String, i64, u64, u32)>) {
        let of = self.checks.entry(left.id).or_default();
        left.traits.keep(&of.traits);
        (of.traits, of.interval_us, of.dns, of.votes_from) = (left.traits, left.interval_us, dns, left.upto);
        for Votes { agent, hour, compared, disagreed } in left.votes {
            let recent = of.recent.entry(agent.clone()).or_insert((i64::MIN, i64::MIN));
            recent.0 = recent.0.max(hour);
            if disagreed > 0.0 {
                recent.1 = recent.1.max(hour);
            }
            let hours = self.votes.entry(agent).or_default();
            let entry = hours.entry(hour).or_default();
            (entry.0, entry.1) = (entry.0 + compared, entry.1 + disagreed);
            hours.retain(|hour, _| *hour >= left.upto - VOTE_HOURS);
        }
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

    /// A check is there no more.
    pub fn forget(&mut self, living: &BTreeSet<String>) {
        self.checks.retain(|check, _| living.contains(check));
    }

    /// How many checks have left something.
    pub fn len(&self) -> usize {
        self.checks.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty()
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

    /// Looks at agents: whose names take long to resolve, and who sees what the others do not. `clocks` has those that are enrolled.
    pub fn agents(&self, clocks: &[AgentClock], known: &Known, rules: &Thresholds, now: UtcMicros) -> Vec<Look> {
        let hours: Vec<DnsHour<'_>> = self
            .checks
            .iter()
            .flat_map(|(check, of)| of.dns.iter().map(move |one| (check.as_str(), one)))
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
        let mut found = slow_resolver::find(&resolvers, &rules.slow_resolver, now);
        for one in clocks {
            let hours: Vec<VoteHour> = self
                .votes
                .get(&one.agent)
                .into_iter()
                .flatten()
                .map(|(hour, (compared, disagreed))| VoteHour {
                    hour: *hour,
                    compared: compared.round() as u32,
                    disagreed: disagreed.round() as u32,
                })
                .collect();
            let since = hour_of(now) - RECENT_HOURS;
            let recent = |of: fn(&(i64, i64)) -> i64| {
                let hours = self.checks.values().filter_map(|check| check.recent.get(&one.agent)).map(of);
                u32::try_from(hours.filter(|hour| *hour >= since).count()).unwrap_or(u32::MAX)
            };
            let votes = AgentVotes {
                agent: &one.agent,
                hours: &hours,
                checks_compared: recent(|(compared, _)| *compared),
                checks_disagreed: recent(|(_, disagreed)| *disagreed),
                clock_offset_us: one.offset_us,
                clock_uncertainty_us: one.uncertainty_us,
                clock_measured_at: one.measured_at,
                known_since: known.since(Kind::AgentDisagrees, &subject(&one.agent)),
            };
            found.extend(agent_disagrees::find(&votes, &rules.agent_disagrees, now));
        }
        let look = |one: &AgentClock| {
            let theirs = found.iter().filter(|found| found.subject == subject(&one.agent)).cloned();
            Look {
                kinds: BTreeSet::from([Kind::SlowResolver, Kind::AgentDisagrees]),
                full: true,
                // An agent is no check: it counts for none.
                hits: theirs.map(|finding| Hit { finding, checks: BTreeSet::new() }).collect(),
                ..Look::new(Target::Agent(one.agent.clone()))
            }
        };
        clocks.iter().map(look).collect()
    }
}

/// An agent, and what is known of its clock.
#[derive(Debug, Clone)]
pub struct AgentClock {
    /// Its name.
    pub agent: String,
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
        let timelines = vec![
            (AgentNo(1), 1_000, vec![span(0, 120, up)]),
            (AgentNo(2), 1_000, vec![span(0, 120, up)]),
            // Says something else for a quarter of an hour, across the hour.
            (AgentNo(3), 1_000, vec![span(0, 50, up), span(50, 65, down), span(65, 120, up)]),
        ];
        let found = compare(&timelines, period, 60_000_000);
        let of = |agent: u32, hour: i64| found.get(&(AgentNo(agent), 500_000 + hour)).copied().unwrap_or_default();
        assert_eq!((of(3, 0), of(3, 1)), ((60.0, 10.0), (60.0, 5.0)));
        // One against one is no majority: up is what is not down by more than half.
        assert_eq!((of(1, 0), of(2, 1)), ((60.0, 0.0), (60.0, 0.0)));
        assert!(compare(&timelines[..2], period, 60_000_000).is_empty());
    }
}

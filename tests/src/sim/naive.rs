//! The SLA a second time, as simply as it can be said: at every instant at which anything may change, ask everybody what they vote.
//! Shares no code with the model's series, timeline, vote and sla.

use std::collections::BTreeMap;

use sitepulse_collector::book::{Agent, Book, Check, Filter};
use sitepulse_model::control::{Change, ControlEvent, Scope};
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::quorum::Quorum;
use sitepulse_model::record::{MissedCause, ProbeState, Record};
use sitepulse_model::sla::Account;
use sitepulse_model::time::Span;

/// Seen at a slot: a rank that says which of two records of one slot counts, and the revision that was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    rank: u8,
    revision: u32,
}

const UNKNOWN: u8 = 6;
const UP: u8 = 7;
const DEGRADED: u8 = 8;
const DOWN: u8 = 9;

fn rank_of_state(state: ProbeState) -> u8 {
    match state {
        ProbeState::Down => DOWN,
        ProbeState::Degraded => DEGRADED,
        ProbeState::Up => UP,
        ProbeState::Unknown => UNKNOWN,
    }
}

fn rank_of_missed(cause: MissedCause) -> u8 {
    match cause {
        MissedCause::Overloaded => 5,
        MissedCause::Suspended => 4,
        MissedCause::Maintenance => 3,
        MissedCause::ClockStep => 2,
        MissedCause::AgentStopped => 1,
    }
}

/// What each agent saw of each check.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    seen: BTreeMap<(CheckNo, AgentNo), BTreeMap<i64, Seen>>,
}

impl Evidence {
    /// Adds a record; `interval_us` is that of its revision.
    pub(super) fn add(&mut self, agent: AgentNo, record: &Record, interval_us: i64) {
        let slots = self.seen.entry((record.check(), agent)).or_default();
        let mut put = |slot: i64, seen: Seen| {
            let known = slots.entry(slot).or_insert(seen);
            *known = seen.max(*known);
        };
        match record {
            Record::Result(result) => {
                put(result.scheduled.0, Seen { rank: rank_of_state(result.state), revision: result.revision.0 });
            }
            Record::Missed(missed) => {
                let mut slot = missed.first.0;
                while slot <= missed.last.0 {
                    put(slot, Seen { rank: rank_of_missed(missed.cause), revision: missed.revision.0 });
                    slot += interval_us;
                }
            }
            Record::Dropped(_) => {}
        }
    }
}

/// A voter at an instant.
enum Voice {
    Absent,
    Silent(Why),
    Votes { weight: u64, rank: u8 },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    Offline,
    Stopped,
    Shed,
    Suspended,
}

struct Voter<'a> {
    agent: &'a Agent,
    slots: Vec<(i64, Seen)>,
    /// From when on it votes at least degraded, and down: (instant, whether).
    levels: [Vec<(i64, bool)>; 2],
    events: Vec<ControlEvent>,
}

/// One check's figures over a period.
pub(super) fn account(book: &Book, evidence: &Evidence, check: &Check, filter: &Filter, period: Span) -> Account {
    let voters: Vec<Voter<'_>> = book
        .agents()
        .filter(|agent| match filter {
            Filter::All => true,
            Filter::Agent(number) => agent.number == *number,
            Filter::Region(region) => agent.region == *region,
        })
        .map(|agent| voter(book, evidence, check, agent))
        .collect();
    let mut instants = vec![period.from.0, period.to.0];
    instants.extend(check.revisions.iter().map(|revision| revision.effective_from.0));
    for voter in &voters {
        instants.push(voter.agent.enrolled_at.0);
        for (slot, seen) in &voter.slots {
            instants.extend([*slot, slot + hold(check, seen.revision)]);
        }
        instants.extend(voter.levels.iter().flatten().map(|(at, _)| *at));
        for event in &voter.events {
            instants.push(event.at.0);
            if let Change::Suspend { until, .. } = &event.change {
                instants.push(until.0);
            }
        }
    }
    instants.sort_unstable();
    instants.dedup();
    instants.retain(|at| (period.from.0..=period.to.0).contains(at));
    let mut account = Account::default();
    for pair in instants.windows(2) {
        add(&mut account, check, &voters, pair[0], pair[1] - pair[0]);
    }
    account
}

fn hold(check: &Check, revision: u32) -> i64 {
    let revision = check.revisions.iter().find(|known| known.revision.0 == revision).expect("a known revision");
    (revision.definition.interval_us * 2 + revision.definition.timeout_us) as i64
}

fn voter<'a>(book: &Book, evidence: &Evidence, check: &Check, agent: &'a Agent) -> Voter<'a> {
    let slots: Vec<(i64, Seen)> =
        evidence.seen.get(&(check.number, agent.number)).into_iter().flatten().map(|(at, seen)| (*at, *seen)).collect();
    let level = |least: u8| {
        let mut switches = Vec::new();
        let (mut on, mut streak, mut since) = (false, 0, 0);
        for (slot, seen) in slots.iter().filter(|(_, seen)| seen.rank >= UP) {
            if (seen.rank >= least) == on {
                streak = 0;
                continue;
            }
            if streak == 0 {
                since = *slot;
            }
            streak += 1;
            let known =
                check.revisions.iter().find(|known| known.revision.0 == seen.revision).expect("a known revision");
            if streak >= if on { known.definition.recoveries } else { known.definition.confirmations } {
                on = !on;
                streak = 0;
                switches.push((since, on));
            }
        }
        switches
    };
    let levels = [level(DEGRADED), level(DOWN)];
    let concerns = |scope: Scope| match scope {
        Scope::Agent(of) => of == agent.number,
        Scope::AgentCheck(of, about) => of == agent.number && about == check.number,
        Scope::Check(about) => about == check.number,
    };
    let mut events: Vec<ControlEvent> = book.control().events().filter(|event| concerns(event.scope)).collect();
    events.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    Voter { agent, slots, levels, events }
}

impl Voter<'_> {
    fn suspended(&self, at: i64) -> bool {
        let scopes: Vec<Scope> = self.events.iter().map(|event| event.scope).collect();
        scopes.into_iter().any(|scope| {
            let last = self
                .events
                .iter()
                .rfind(|event| event.scope == scope && event.at.0 <= at && !matches!(event.change, Change::Weight(_)));
            last.is_some_and(|event| matches!(&event.change, Change::Suspend { until, .. } if until.0 > at))
        })
    }

    fn weight(&self, at: i64) -> u64 {
        let latest = |pair: bool| {
            self.events.iter().rev().filter(|event| event.at.0 <= at).find_map(|event| {
                match (&event.change, event.scope) {
                    (Change::Weight(weight), Scope::AgentCheck(..)) if pair => Some(weight.0),
                    (Change::Weight(weight), Scope::Agent(_)) if !pair => Some(weight.0),
                    _ => None,
                }
            })
        };
        u64::from(latest(true).or_else(|| latest(false)).unwrap_or(1000))
    }

    fn voice(&self, check: &Check, at: i64) -> Voice {
        let in_force = check.revisions.iter().rev().find(|revision| revision.effective_from.0 <= at);
        let assigned =
            in_force.is_some_and(|revision| !revision.retired && revision.definition.runs_in(&self.agent.region));
        if !assigned || at < self.agent.enrolled_at.0 || self.weight(at) == 0 {
            return Voice::Absent;
        }
        if self.suspended(at) {
            return Voice::Silent(Why::Suspended);
        }
        let after = self.slots.partition_point(|(slot, _)| *slot <= at);
        let Some((slot, seen)) = self.slots[..after].last() else { return Voice::Silent(Why::Offline) };
        if at >= slot + hold(check, seen.revision) {
            return Voice::Silent(Why::Offline);
        }
        match seen.rank {
            1 => return Voice::Silent(Why::Stopped),
            2 | UNKNOWN => return Voice::Silent(Why::Offline),
            3 | 4 => return Voice::Silent(Why::Suspended),
            5 => return Voice::Silent(Why::Shed),
            _ => {}
        }
        let on = |level: &Vec<(i64, bool)>| level.iter().rev().find(|(from, _)| *from <= at).is_some_and(|(_, on)| *on);
        let rank = if on(&self.levels[1]) {
            DOWN
        } else if on(&self.levels[0]) {
            DEGRADED
        } else {
            UP
        };
        Voice::Votes { weight: self.weight(at), rank }
    }
}

fn add(account: &mut Account, check: &Check, voters: &[Voter<'_>], at: i64, us: i64) {
    let Some(revision) = check.revisions.iter().rev().find(|revision| revision.effective_from.0 <= at) else { return };
    if revision.retired {
        return;
    }
    let (mut votes, mut why) = (Vec::new(), Vec::new());
    for voter in voters {
        match voter.voice(check, at) {
            Voice::Absent => {}
            Voice::Silent(cause) => why.push(cause),
            Voice::Votes { weight, rank } => votes.push((weight, rank)),
        }
    }
    if votes.is_empty() {
        let unknown = &mut account.unknown;
        *match why.into_iter().min() {
            Some(Why::Offline) => &mut unknown.agent_offline_us,
            Some(Why::Stopped) => &mut unknown.agent_stopped_us,
            Some(Why::Shed) => &mut unknown.shed_us,
            Some(Why::Suspended) => &mut unknown.suspended_us,
            None => &mut unknown.unassigned_us,
        } += us;
        return;
    }
    let total: u64 = votes.iter().map(|(weight, _)| weight).sum();
    let bloc = |rank: u8| {
        let bad: Vec<u64> = votes.iter().filter(|(_, of)| *of == rank).map(|(weight, _)| *weight).collect();
        (bad.iter().sum::<u64>(), bad.len())
    };
    let met = |(weight, count): (u64, usize)| {
        count > 0
            && match revision.definition.quorum {
                Quorum::Any => true,
                Quorum::Majority => 2 * weight > total,
                Quorum::All => count == votes.len(),
                Quorum::Share(ppm) => weight * 1_000_000 >= total * u64::from(ppm),
                Quorum::Agents(n) => count >= (n as usize).min(votes.len()),
            }
    };
    let down = bloc(DOWN);
    account.down_share_us += us as f64 * down.0 as f64 / total as f64;
    *if met(down) {
        &mut account.down_us
    } else if down.1 > 0 {
        &mut account.regional_us
    } else if met(bloc(DEGRADED)) {
        &mut account.degraded_us
    } else {
        &mut account.up_us
    } += us;
}

//! What is wrong with an agent: its resolver, its network, its clock.

use std::ops::Range;

use sitepulse_model::insight::input::{AgentVotes, DnsHour, Resolvers, VoteHour};
use sitepulse_model::insight::thresholds::Thresholds;
use sitepulse_model::insight::{Subject, agent_disagrees, slow_resolver};
use sitepulse_model::time::UtcMicros;

use crate::noise::{CLOSES, Outcome, Rng, WEEK, YEAR, openings};

const HOUR_US: i64 = 3_600_000_000;

/// Names that agents resolve: some are answered from a cache, some from far away; an agent is as far as it is; bad hours come, and names whose server is slow for one of them.
fn names(rng: &mut Rng, hours: i64, slow: Option<(i64, f64)>) -> Vec<(i64, usize, usize, u64)> {
    let (agents, checks) = (rng.whole(2, 6) as usize, rng.whole(3, 15) as usize);
    let far: Vec<f64> = (0..agents).map(|_| (0.2 * rng.normal()).exp()).collect();
    let takes: Vec<f64> =
        (0..checks).map(|_| if rng.chance(0.4) { rng.between(500.0, 4e3) } else { rng.between(8e3, 60e3) }).collect();
    let odd = (rng.whole(0, agents as i64 - 1) as usize, rng.whole(0, checks as i64 - 1) as usize);
    let (mut bad, mut out) = (vec![(0, 1.0); agents], Vec::new());
    for hour in 0..hours {
        for agent in 0..agents {
            if rng.chance(1.0 / 200.0) {
                bad[agent] = (rng.whole(1, 4), rng.between(2.0, 10.0));
            }
            bad[agent].0 -= 1;
            let worse = if bad[agent].0 >= 0 { bad[agent].1 } else { 1.0 };
            for (check, takes) in takes.iter().enumerate() {
                if rng.chance(0.03) {
                    continue;
                }
                let one_name = if odd == (agent, check) { 5.0 } else { 1.0 };
                let planted = slow.filter(|(from, _)| agent == 0 && hour >= *from).map_or(0.0, |(_, more_us)| more_us);
                let us = takes * far[agent] * worse * one_name * (0.3 * rng.normal()).exp() + planted;
                out.push((hour, agent, check, us as u64));
            }
        }
    }
    out
}

/// Resolvers that begin to take so much longer, between two in milliseconds; and a clean month of all agents.
pub(crate) fn resolvers(name: &str, seeds: Range<u64>, more_ms: (f64, f64), clean: u64) -> Outcome {
    let mut outcome = Outcome::new(name);
    let names_of = |count: usize, of: &str| -> Vec<String> { (0..count).map(|nth| format!("{of}-{nth}")).collect() };
    let (agents, checks) = (names_of(6, "agent"), names_of(15, "check"));
    let look = |all: &[(i64, usize, usize, u64)], now: i64, known: &[(&str, UtcMicros)]| {
        let first = all.partition_point(|(hour, ..)| *hour < now - 24);
        let last = all.partition_point(|(hour, ..)| *hour < now);
        let hours: Vec<DnsHour<'_>> = all[first..last]
            .iter()
            .map(|(hour, agent, check, us)| DnsHour {
                agent: &agents[*agent],
                check: &checks[*check],
                hour: *hour,
                median_us: *us,
                runs: 12,
            })
            .collect();
        let resolvers = Resolvers { hours: &hours, known };
        slow_resolver::find(&resolvers, &Thresholds::default().slow_resolver, UtcMicros(now * HOUR_US))
    };
    let first_clean = seeds.start;
    for seed in seeds {
        let mut rng = Rng::new(7_000 + seed);
        let (from, more) = (48 + rng.whole(0, 24), rng.between(more_ms.0, more_ms.1) * 1e3);
        let all = names(&mut rng, from + 36, Some((from, more)));
        let subject = Subject::Agent { agent: agents[0].clone() };
        let first =
            (from + 1..from + 36).find(|now| look(&all, *now, &[]).iter().any(|found| found.subject == subject));
        outcome.note(first.map(|now| (now - from) as f64));
        if seed - first_clean < clean {
            let mut rng = Rng::new(800_000 + seed);
            let all = names(&mut rng, 5 * WEEK, None);
            let there = all.iter().map(|(_, agent, ..)| agent + 1).max().unwrap_or(0);
            let mut known: Vec<(String, UtcMicros)> = Vec::new();
            for now in WEEK..5 * WEEK {
                let named: Vec<(&str, UtcMicros)> = known.iter().map(|(name, since)| (name.as_str(), *since)).collect();
                let found = look(&all, now, &named);
                let mut next = Vec::new();
                for found in found {
                    let Subject::Agent { agent } = found.subject else { panic!("an agent") };
                    outcome.false_findings += usize::from(!known.iter().any(|(name, _)| *name == agent));
                    next.push((agent, found.since));
                }
                known = next;
            }
            outcome.clean_years += there as f64 * 4.0 * WEEK as f64 / YEAR;
        }
    }
    outcome
}

/// An agent's hours, and in each the checks that it disagreed about.
fn votes(rng: &mut Rng, hours: i64, odd: Option<(i64, f64)>) -> (Vec<VoteHour>, Vec<Vec<bool>>, usize) {
    let checks = rng.log_between(5.0, 60.0) as usize;
    let runs = *rng.pick(&[12, 60]);
    let usual = rng.log_between(0.0005, 0.01);
    let mut trouble: Vec<(i64, f64)> = vec![(0, 0.0); checks];
    let (mut out, mut about) = (Vec::new(), Vec::new());
    for hour in 0..hours {
        // Its region has trouble with a check for some hours, once in a month and check; with many of them once in two months.
        let many = rng.chance(1.0 / 1_440.0).then(|| (rng.whole(1, 3), rng.between(0.1, 1.0)));
        let (mut compared, mut disagreed, mut here) = (0, 0, vec![false; checks]);
        for (check, trouble) in trouble.iter_mut().enumerate() {
            if rng.chance(1.0 / 720.0) {
                *trouble = (rng.whole(1, 8), rng.between(0.1, 1.0));
            }
            if let Some(many) = many.filter(|_| rng.chance(0.7)) {
                *trouble = many;
            }
            trouble.0 -= 1;
            let regional = if trouble.0 >= 0 { trouble.1 } else { 0.0 };
            let planted = odd.filter(|(from, _)| hour >= *from).map_or(0.0, |(_, share)| share);
            let chance = (usual + regional + planted).min(1.0);
            for _ in 0..runs {
                compared += 1;
                if rng.chance(chance) {
                    disagreed += 1;
                    here[check] = true;
                }
            }
        }
        if rng.chance(0.99) {
            out.push(VoteHour { hour, compared, disagreed });
        }
        about.push(here);
    }
    (out, about, checks)
}

/// Agents that begin to disagree about all of their checks by a share between two; and a clean ten weeks.
pub(crate) fn disagreement(name: &str, seeds: Range<u64>, shares: (f64, f64), clean: u64) -> Outcome {
    let mut outcome = Outcome::new(name);
    let look = |all: &(Vec<VoteHour>, Vec<Vec<bool>>, usize), now: i64, known_since: Option<UtcMicros>| {
        let hours = |from: i64| {
            let first = all.0.partition_point(|hour| hour.hour < from);
            &all.0[first..all.0.partition_point(|hour| hour.hour < now)]
        };
        let recent = &all.1[(now - 24).max(0) as usize..now as usize];
        let about = (0..all.2).filter(|check| recent.iter().any(|hour| hour[*check])).count();
        let votes = AgentVotes {
            agent: "paris-1",
            hours: hours(now - 4 * WEEK),
            checks_compared: all.2 as u32,
            checks_disagreed: about as u32,
            clock_offset_us: Some(4_000),
            clock_uncertainty_us: 20_000,
            clock_measured_at: Some(UtcMicros(now * HOUR_US)),
            known_since,
        };
        let now = UtcMicros(now * HOUR_US);
        agent_disagrees::find(&votes, &Thresholds::default().agent_disagrees, now).map(|found| found.since)
    };
    let first_clean = seeds.start;
    for seed in seeds {
        let mut rng = Rng::new(8_000 + seed);
        let (from, share) = (4 * WEEK + rng.whole(0, 24), rng.between(shares.0, shares.1));
        let all = votes(&mut rng, from + 48, Some((from, share)));
        let opened = openings(from + 1..from + 48, CLOSES, |now, known| look(&all, now, known));
        outcome.note(opened.first().map(|now| (now - from) as f64));
        if seed - first_clean < clean {
            let mut rng = Rng::new(900_000 + seed);
            let all = votes(&mut rng, 10 * WEEK, None);
            outcome.false_findings += openings(WEEK..10 * WEEK, CLOSES, |now, known| look(&all, now, known)).len();
            outcome.clean_years += 9.0 * WEEK as f64 / YEAR;
        }
    }
    outcome
}

//! A backlog of twelve hours that arrives late: every agent was cut off and drains, check by check, what it kept.

use std::path::Path;

use sitepulse_collector::book::Filter;
use sitepulse_model::sla::Account;
use sitepulse_model::time::{SECOND_US, Span};
use sitepulse_tests::usage;

use crate::ours::{Feed, Ours, wall_us};
use crate::synthetic::Size;
use crate::{SEED, ledger, setting, verdict};

/// How long the agents were cut off.
const AWAY_US: i64 = 12 * 3600 * SECOND_US;

pub(crate) fn run(below: &Path) {
    let size = Size {
        checks: setting("SITEPULSE_BENCH_CHECKS", 1000).div_ceil(5) as usize,
        agents: 5,
        interval_s: 60,
        days: setting("SITEPULSE_BENCH_DAYS", 30).div_ceil(2),
    };
    let ledger = ledger(SEED, size);
    let mut ours = Ours::new(&ledger, below);
    let mut feed = Feed::new(&ledger);
    let cut = ledger.to().plus_us(-AWAY_US - 3600 * SECOND_US);
    let all = ours.fill(&mut feed, cut);
    let before = ours.stored;

    // Held back by the agents; in the meantime the last hour's results arrive, which go first.
    let mut held = Vec::new();
    while let Some(round) = feed.next(cut.plus_us(AWAY_US)) {
        held.push(round);
    }
    let fresh = ours.fill(&mut feed, ledger.to());
    let known = ours.stored;
    let period = Span::new(cut, ledger.to());
    let told = completeness(&ours, period);
    let began = usage::own_cpu_us();
    let now = ledger.to().plus_us(60 * SECOND_US);
    let mut jobs = Vec::new();
    for round in held {
        for (agent, found) in round.found {
            let records = found.iter().map(|one| (one.check, ours.record(one))).collect();
            jobs.push(ours.job(agent, records, now));
        }
        if jobs.len() >= 16 {
            ours.take(std::mem::take(&mut jobs));
        }
    }
    ours.take(jobs);
    let taken = (usage::own_cpu_us() - began) as f64 / 1e6;
    let amendments = ours.engine.settle(now, true).expect("amendments are written");
    let took = (usage::own_cpu_us() - began) as f64 / 1e6;
    let late = ours.stored - known;
    let again = completeness(&ours, period);
    println!(
        "{} checks, 5 agents, every 60 s: {late} late results; completeness of those hours {told:.3} before, {again:.3} after",
        size.checks
    );
    assert!(again > told + 0.5, "the late results changed nothing");
    assert!(amendments > 0, "no amendment tells what they changed");
    let scratch = (all + fresh) as f64 / 1e6 * ours.stored as f64 / known.max(before) as f64;
    println!("taken in                {taken:>8.2} s of CPU");
    println!("{amendments:>5} amendments written {:>7.2} s of CPU", took - taken);
    println!("both                    {took:>8.2} s of CPU; goal <= 5 s: {}", verdict(took <= 5.0));
    println!(
        "all of {} days anew     {scratch:>8.2} s of CPU; the backlog is 1/{:.1} of it, its amendments 1/{:.0}; goal <= 1/20",
        size.days,
        scratch / took,
        scratch / (took - taken)
    );
    let account = || completeness(&ours, Span::new(ledger.from, ledger.to()));
    println!("figures of all checks   {:>8.2} ms", wall_us(3, account) / 1000.0);
}

/// The mean completeness of all checks.
fn completeness(ours: &Ours, period: Span) -> f64 {
    let book = ours.book();
    let accounts = ours.checks.iter().filter_map(|check| book.account(*check, &Filter::All, period));
    accounts.filter_map(|account| Account::completeness(&account)).sum::<f64>() / ours.checks.len() as f64
}

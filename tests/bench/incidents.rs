//! How long it takes from an outage to the message about it, with the real programs: from the first failing slot to the open incident, to its row in the outbox, and to the
//! provider that has it, beside what confirmations and interval allow at least; with one agent, and with three in as many regions, of which two must agree. And what the
//! present costs the collector second by second, with many checks.
//!
//!     cargo bench -p sitepulse-tests --bench incidents              both
//!     cargo bench -p sitepulse-tests --bench incidents -- latency   one of them: latency, cost
//!
//! `SITEPULSE_BENCH_OUTAGES` sets how many outages there are (default 20), `SITEPULSE_BENCH_CHECKS` how many checks the second part has (default 10,000).

use std::collections::BTreeSet;

use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_daemon::clock;
use sitepulse_daemon::identity::{AgentKey, CertificateAuthority};
use sitepulse_model::id::{AgentName, AgentNo, Incarnation, Region, Revision, Seq};
use sitepulse_model::record::{Facts, Phases, ProbeResult, ProbeState, Provenance, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::time::UtcMicros;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::incidents::Incident;
use sitepulse_tests::provider::{Provider, Received};
use sitepulse_tests::site::{Mood, Site};
use sitepulse_tests::{incidents, wait};
use sitepulse_wire::message::{Batch, Entry, JoinRequest};

const INTERVAL_S: i64 = 2;
const CONFIRMATIONS: i64 = 2;
const POLICY: &str = r#"
[[escalation]]
id = "default"
default = true
levels = [ { after = "0s", notify = ["ops-hook"] } ]
"#;

fn main() {
    let which = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let asked = |name: &str| which.as_deref().is_none_or(|which| which == name);
    if asked("latency") {
        for regions in [&["eu-west"][..], &["eu-west", "us-east", "ap-south"]] {
            latency(regions);
        }
    }
    if asked("cost") {
        cost();
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The channel that the policy names.
fn channel(url: &str) -> String {
    format!("[[channel]]\nid = \"ops-hook\"\nkind = \"webhook\"\nurl = \"{url}\"\n")
}

fn latency(regions: &[&str]) {
    let outages = number("SITEPULSE_BENCH_OUTAGES", 20);
    // A site for each outage: an incident that opens again is another story.
    let sites: Vec<Site> = (0..outages).map(|_| Site::start()).collect();
    let checks = sites.iter().enumerate().map(|(nth, site)| {
        format!(
            "[[check]]\nid = \"c{nth}\"\nkind = \"http\"\nurl = \"{}\"\ninterval = \"{INTERVAL_S}s\"\ntimeout = \"2s\"\nconfirmations = {CONFIRMATIONS}\n",
            site.url("c")
        )
    });
    let mut cluster = Cluster::start();
    let provider = Provider::start();
    cluster.apply(&format!("{}{}{POLICY}", checks.collect::<String>(), channel(&provider.url("hook")))).ok();
    for region in regions {
        cluster.add_agent(&format!("bench-{region}"), region);
    }
    // Each agent a few times.
    let hits = 4 * regions.len() as u64;
    wait::until("all are watched", 120, || {
        let unseen = sites.iter().filter(|site| site.hits().values().sum::<u64>() < hits).count();
        if unseen == 0 { Ok(()) } else { Err(format!("{unseen} sites had less than {hits} visits")) }
    });
    let checks = cluster.ctl(&["checks", "--json"]).json();
    let unready = checks.as_array().expect("a list").iter().filter(|check| check["verdict"] != "up").count();
    assert_eq!(unready, 0, "every check is up before the first outage: {checks}");
    let (mut from_outage, mut from_slot, mut to_outbox) = (Vec::new(), Vec::new(), Vec::new());
    let (mut to_provider, mut whole) = (Vec::new(), Vec::new());
    let mut again = 0;
    for (nth, site) in sites.iter().enumerate() {
        let is_open = |one: &&Incident| one.kind == "down" && matches!(one.state.as_str(), "open" | "acknowledged");
        let open = |all: &[Incident]| all.iter().filter(is_open).map(|one| one.id.clone()).collect::<BTreeSet<_>>();
        let before = open(&incidents::read(&cluster.collector_dir()));
        let began = clock::now();
        site.set(Mood::Ill);
        // Where one region finds out first, that may be an incident of its own. Outages before are down still, and open no more. Told by what was open before and not by
        // when: this machine's clock may be set in between.
        let (incident, opened_us) = wait::until("it opens", 60, || {
            let found = incidents::read(&cluster.collector_dir());
            let new = found.iter().filter(is_open).find(|one| !before.contains(&one.id));
            new.and_then(|one| Some((one.clone(), one.opened_us?))).ok_or_else(|| {
                // What all see of it tells why, should it never open.
                let late = clock::now().us_since(began) > 30_000_000;
                let seen = if late { cluster.ctl(&["checks", "--json"]).stdout } else { String::new() };
                let past = |one: &Incident| (one.since_us - began.0, one.opened_us.map(|at| at - began.0));
                let others: Vec<_> = found.iter().map(|one| (one.check, &one.kind, &one.state, past(one))).collect();
                format!("outage {nth}, {} incidents: {others:?}; {seen}", found.len())
            })
        });
        if opened_us < began.0 {
            // It had been down for a moment before, or the clock was set.
            println!("  outage {nth}: {incident:?} was there before it, no figure: the clock says {}", began.0);
            again += 1;
            continue;
        }
        from_outage.push(opened_us - began.0);
        from_slot.push(opened_us - incident.since_us);
        to_outbox.push(incident.told_us.expect("a message") - opened_us);
        let received = wait::until("its page arrives", 60, || {
            let mut received = provider.received().into_iter();
            let page =
                |one: &Received| one.key.starts_with(&format!("{}/", incident.id)) && one.body["event"] == "opened";
            received.find(page).ok_or("nothing yet")
        });
        to_provider.push(received.at.0 - opened_us);
        whole.push(received.at.0 - began.0);
    }
    let least_us = (CONFIRMATIONS - 1) * INTERVAL_S * 1_000_000;
    let bound_us = CONFIRMATIONS * INTERVAL_S * 1_000_000 + 2_000_000;
    let in_time = whole.iter().filter(|us| **us <= bound_us).count();
    assert!(again <= outages / 10, "{again} of {outages} outages are no figures");
    println!("{} agents, {outages} outages, interval {INTERVAL_S} s, {CONFIRMATIONS} confirmations:", regions.len());
    told("from the outage to the open incident", &mut from_outage, "at most confirmations x interval + 2 s");
    let over = from_slot.iter().map(|us| us - least_us).collect::<Vec<_>>();
    told("from the first failing slot to the open incident", &mut from_slot, "at least (confirmations - 1) x interval");
    told("  of that beyond the least", &mut over.clone(), "");
    told("from the open incident to its row in the outbox", &mut to_outbox, "0: one transaction");
    told("from the open incident to its page at the provider", &mut to_provider, "");
    told("from the outage to the page at the provider", &mut whole, "at most confirmations x interval + 2 s");
    println!("  {in_time} of {} pages within that bound of {} s", whole.len(), bound_us / 1_000_000);
}

fn told(what: &str, us: &mut [i64], bound: &str) {
    us.sort_unstable();
    let at = |share: usize| us.get((us.len().max(1) - 1) * share / 100).copied().unwrap_or(0) as f64 / 1e3;
    println!("  {what}: median {:.0} ms, p95 {:.0} ms, max {:.0} ms  {bound}", at(50), at(95), at(100));
}

/// Three agents report many checks, a second after the other, to an engine in memory; what [`Engine::watch`] takes of each second.
fn cost() {
    let checks = number("SITEPULSE_BENCH_CHECKS", 10_000);
    let interval_us = 60_000_000_u64;
    let start = UtcMicros(1_790_000_000_000_000);
    let mut engine =
        Engine::in_memory(CertificateAuthority::create(start).expect("an authority"), start).expect("an engine");
    engine.set_addresses(vec!["127.0.0.1:8443".into()]).expect("addresses");
    let agents: Vec<(AgentName, AgentNo)> = (0..3).map(|nth| enrol(&mut engine, nth, start)).collect();
    let file: String = (0..checks)
        .map(|nth| {
            format!("[[check]]\nid = \"c{nth}\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\ninterval = \"60s\"\n")
        })
        .collect();
    let text = format!("{file}{}{POLICY}", channel("https://ops.invalid/hook"));
    let written = checkfile::parse(&[Source { name: "bench".into(), text }]).expect("checks");
    let options = sitepulse_collector::app::ApplyOptions { prune: false, dry_run: false, author: "bench".into() };
    engine.apply(written, &options, start).expect("applied");

    // By the second, what each agent reports: every check once a minute.
    let mut due: Vec<Vec<(usize, Entry)>> = vec![Vec::new(); 60];
    {
        let book = engine.shared().book();
        for check in book.checks() {
            for (agent, (name, _)) in agents.iter().enumerate() {
                let slot = Lattice::new(&check.id, name, interval_us).at_or_after(start);
                let second = usize::try_from(slot.us_since(start) / 1_000_000).expect("within a minute");
                let record = Record::Result(ProbeResult {
                    check: check.number,
                    revision: Revision(1),
                    scheduled: slot,
                    started: slot,
                    phases: Phases { total: Some(1_234), ..Phases::default() },
                    state: ProbeState::Up,
                    cause: None,
                    failed_phase: None,
                    detail: String::new(),
                    address: None,
                    facts: Facts::default(),
                });
                due[second].push((agent, Entry { bucket: check.bucket(), seq: Seq(0), provenance: 0, record }));
            }
        }
    }
    let mut seqs = [0_u64; 3];
    for (what, state, minutes) in [("all is well", ProbeState::Up, 4), ("everything is down", ProbeState::Down, 4)] {
        let (mut watch_us, mut longest_us, mut ingest_us) = (0, 0, 0);
        let first = if state == ProbeState::Up { 0 } else { 4 };
        for second in (first * 60)..((first + minutes) * 60) {
            let minute = second / 60;
            let now = start.plus_us(i64::try_from(second + 1).expect("small") * 1_000_000);
            for agent in 0..agents.len() {
                let entries = due[second % 60].iter().filter(|(of, _)| *of == agent).map(|(_, entry)| {
                    let mut entry = entry.clone();
                    seqs[agent] += 1;
                    entry.seq = Seq(seqs[agent]);
                    if let Record::Result(result) = &mut entry.record {
                        result.scheduled = result.scheduled.plus_us(i64::try_from(minute).expect("small") * 60_000_000);
                        result.started = result.scheduled;
                        result.state = state;
                        result.cause = (state == ProbeState::Down).then_some(sitepulse_model::record::Cause::Timeout);
                    }
                    entry
                });
                let provenances =
                    vec![Provenance { build: "0".into(), clock_offset_us: None, clock_uncertainty_us: 0 }];
                let batch = Batch { number: 1, incarnation: Incarnation(7), provenances, entries: entries.collect() };
                let began = clock::monotonic();
                engine.ingest(vec![IngestJob { agent: agents[agent].1, received_at: now, batch }]).expect("stored");
                ingest_us += clock::monotonic().us_since(began);
            }
            let began = clock::monotonic();
            engine.watch(now).expect("watched");
            let took_us = clock::monotonic().us_since(began);
            // The first minute finds everything out for the first time.
            if minute > first {
                watch_us += took_us;
                longest_us = longest_us.max(took_us);
            }
        }
        let seconds = (minutes - 1) as f64 * 60.0;
        println!(
            "{checks} checks x 3 agents at 60 s, {what}: {:.2} % of a core (mean {:.1} ms, longest {:.1} ms a second); taking in the same results: {:.2} %",
            watch_us as f64 / seconds / 1e4,
            watch_us as f64 / seconds / 1e3,
            longest_us as f64 / 1e3,
            ingest_us as f64 / (minutes as f64 * 60.0) / 1e4,
        );
    }
}

fn enrol(engine: &mut Engine, nth: usize, now: UtcMicros) -> (AgentName, AgentNo) {
    let region = Region::parse(&format!("region-{nth}")).expect("a region");
    let name = AgentName::parse(&format!("region-{nth}-1")).expect("a name");
    let token = engine.create_join_token(region, 3_600_000_000, now).expect("a token").token;
    let key = AgentKey::generate().expect("a key");
    let request = JoinRequest {
        protocol_min: 1,
        protocol_max: 1,
        secret: token.secret,
        csr_der: key.csr_der(&name).expect("a request"),
        name: Some(name.clone()),
        build: "0".into(),
    };
    let joined = engine.join(&request, now).expect("the store writes").expect("the agent is taken");
    (name, joined.agent)
}

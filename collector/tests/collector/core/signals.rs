//! What the present says, as people would be told of it: from results of a fleet, second by second, to the messages in the outbox.

use std::collections::BTreeMap;

use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::outbox::{Attempt, Message, Outcome};
use sitepulse_model::id::{AgentName, AgentNo, CheckId, CheckNo};
use sitepulse_model::incident::Severity;
use sitepulse_model::incident::indicators::Sparing;
use sitepulse_model::record::{ProbeResult, ProbeState, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::Verdict;
use sitepulse_wire::message::Entry;

use super::world::{INTERVAL_US, SECOND, at, batch, enrol, in_memory, job, options, result};
use sitepulse_collector::book::Filter;
use sitepulse_model::id::Seq;

const TOLD: &str = r#"
[[channel]]
id = "ops-hook"
kind = "webhook"
url = "https://ops.example/hook"

[[escalation]]
id = "default"
default = true
levels = [ { after = "0s", notify = ["ops-hook"] }, { after = "10m", notify = ["ops-hook"] } ]
"#;

pub(super) fn check(id: &str, more: &str) -> String {
    format!("[[check]]\nid = \"{id}\"\nkind = \"http\"\nurl = \"http://127.0.0.1:1/\"\ninterval = \"30s\"\n{more}\n")
}

/// A collector, its fleet, and what was sent.
pub(super) struct Site {
    pub(super) engine: Engine,
    agents: Vec<(AgentName, AgentNo)>,
    seqs: BTreeMap<AgentNo, u64>,
    /// Everything that was sent.
    pub(super) sent: Vec<Message>,
    /// What each result tells beside its state.
    pub(super) dress: fn(&mut ProbeResult),
}

impl Site {
    /// Agents in regions of their own, and checks.
    pub(super) fn new(agents: usize, checks: &str) -> Self {
        Self::over(in_memory(), agents, checks)
    }

    fn over(mut engine: Engine, agents: usize, checks: &str) -> Self {
        let agents = (0..agents).map(|index| {
            let name = format!("region-{index}-1");
            let number = enrol(&mut engine, &format!("region-{index}"), Some(&name)).agent;
            (AgentName::parse(&name).unwrap(), number)
        });
        let agents = agents.collect();
        let mut site = Self { engine, agents, seqs: BTreeMap::new(), sent: Vec::new(), dress: |_| {} };
        site.apply(checks, 0);
        site
    }

    fn apply(&mut self, checks: &str, seconds: i64) {
        let source = Source { name: "all.toml".into(), text: format!("{checks}{TOLD}") };
        self.engine.apply(checkfile::parse(&[source]).unwrap(), &options(), at(seconds)).unwrap();
    }

    fn number(&self, id: &str) -> CheckNo {
        self.engine.shared().book().check_by_id(&CheckId::parse(id).unwrap()).unwrap().number
    }

    /// The fleet reports from a second to another what `state` says of (agent, check, second); `None`: it is not heard of.
    pub(super) fn run(&mut self, from: i64, to: i64, state: impl Fn(usize, &str, i64) -> Option<ProbeState>) {
        let checks: Vec<(CheckId, CheckNo)> = {
            let book = self.engine.shared().book();
            book.checks().map(|check| (check.id.clone(), check.number)).collect()
        };
        let interval = INTERVAL_US.cast_signed() / SECOND;
        // By the second they come in, by agent.
        let mut due: BTreeMap<i64, BTreeMap<usize, Vec<Record>>> = BTreeMap::new();
        for (index, (name, _)) in self.agents.iter().enumerate() {
            for (id, number) in &checks {
                let lattice = Lattice::new(id, name, INTERVAL_US);
                let first = lattice.at_or_after(at(from)).us_since(at(0));
                for slot in (0..).map(|nth| first + nth * interval * SECOND).take_while(|slot| *slot < to * SECOND) {
                    let second = slot.div_euclid(SECOND);
                    if let Some(state) = state(index, id.as_str(), second) {
                        let mut record = scheduled(result(*number, 0, state), at(0).plus_us(slot));
                        if let Record::Result(result) = &mut record {
                            (self.dress)(result);
                        }
                        due.entry(second + 1).or_default().entry(index).or_default().push(record);
                    }
                }
            }
        }
        for second in from + 1..=to {
            for (agent, records) in due.remove(&second).unwrap_or_default() {
                self.report(agent, records, second);
            }
            self.engine.watch(at(second)).unwrap();
            self.send(second);
        }
    }

    /// The first agent reports the first check down while looks fail.
    fn run_failing(&mut self, from: i64, to: i64) {
        let (id, number) = {
            let book = self.engine.shared().book();
            let check = book.checks().next().unwrap();
            (check.id.clone(), check.number)
        };
        let lattice = Lattice::new(&id, &self.agents[0].0, INTERVAL_US);
        let mut slot = lattice.at_or_after(at(from));
        let mut failed = 0;
        while slot < at(to) {
            self.take_in(
                0,
                vec![scheduled(result(number, 0, ProbeState::Down), slot)],
                slot.us_since(at(0)) / SECOND + 1,
            );
            failed += usize::from(self.engine.watch(slot.plus_us(2 * SECOND)).is_err());
            slot = slot.plus_us(INTERVAL_US.cast_signed());
        }
        assert!(failed > 0, "the store failed");
    }

    /// Records of an agent come in at a second.
    fn report(&mut self, agent: usize, records: Vec<Record>, second: i64) {
        self.take_in(agent, records, second);
        self.engine.watch(at(second)).unwrap();
    }

    fn take_in(&mut self, agent: usize, records: Vec<Record>, second: i64) {
        let agent = self.agents[agent].1;
        let seq = self.seqs.entry(agent).or_default();
        let entries = records.into_iter().map(|record| {
            *seq += 1;
            let bucket = self.engine.shared().book().check(record.check()).unwrap().bucket();
            Entry { bucket, seq: Seq(*seq), provenance: 0, record }
        });
        let entries: Vec<Entry> = entries.collect();
        for entries in entries.chunks(500) {
            let mut job = job(agent, Vec::new());
            (job.batch, job.received_at) = (batch(1, entries.to_vec()), at(second));
            let outcome = self.engine.ingest(vec![job]).unwrap();
            assert_eq!(outcome[0].set_aside, 0);
        }
    }

    pub(super) fn send(&mut self, second: i64) {
        loop {
            let messages = self.engine.lease(at(second), 1_000).unwrap();
            if messages.is_empty() {
                return;
            }
            for message in messages {
                let attempt =
                    Attempt { at: at(second), took_us: 1, outcome: Outcome::Delivered, note: "HTTP 200".into() };
                self.sent.push(message.clone());
                self.engine.mark(message, &attempt).unwrap();
            }
        }
    }

    /// `down opened shop` for each message.
    pub(super) fn told(&self) -> Vec<String> {
        let told = |message: &Message| {
            let incident = &message.notice.incident;
            let subject = [&incident.check, &incident.agent, &incident.slo].into_iter().flatten().next().unwrap();
            format!("{} {} {subject}", incident.kind, message.notice.event)
        };
        self.sent.iter().map(told).collect()
    }

    fn verdict_at(&self, id: &str, second: i64) -> Verdict {
        let span = Span::new(at(second), at(second).plus_us(1));
        let number = self.number(id);
        self.engine.shared().book().verdicts(number, &Filter::All, span).unwrap()[0].verdict
    }
}

fn scheduled(record: Record, slot: UtcMicros) -> Record {
    let Record::Result(mut result) = record else { panic!("no result") };
    (result.scheduled, result.started) = (slot, slot.plus_us(150));
    Record::Result(result)
}

/// Down within a span of seconds.
pub(super) fn down(from: i64, to: i64, second: i64) -> Option<ProbeState> {
    Some(if (from..to).contains(&second) { ProbeState::Down } else { ProbeState::Up })
}

#[test]
fn one_region_of_three_down_is_one_regional_incident_and_all_three_are_one_outage() {
    for offset in 0..30 {
        let (from, to) = (70 + offset, 145 + offset);
        let mut site = Site::new(3, &check("shop", ""));
        site.run(0, 300, |agent, _, second| if agent == 1 { down(from, to, second) } else { Some(ProbeState::Up) });
        assert_eq!(site.told(), ["regional opened shop", "regional resolved shop"], "from {from}");
        assert_eq!(site.sent[0].notice.incident.severity, Severity::Minor);

        let mut site = Site::new(3, &check("shop", ""));
        site.run(0, 300, |_, _, second| down(from, to, second));
        assert_eq!(site.told(), ["down opened shop", "down resolved shop"], "from {from}");
        let incident = &site.sent[0].notice.incident;
        let noticed_us = incident.opened_at.unwrap().us_since(at(from));
        // The second of three finds out within an interval, and is sure one later; then its result travels.
        assert!(noticed_us <= (30 + 30 + 2) * SECOND, "from {from}: {noticed_us}");
        assert_eq!(incident.severity, Severity::Major);
    }
}

#[test]
fn one_blip_is_nobodys_business() {
    let mut site = Site::new(3, &check("shop", ""));
    site.run(0, 300, |_, _, second| down(100, 130, second));
    assert_eq!(site.told(), [""; 0]);
    assert_eq!(site.engine.lease(at(300), 10).unwrap(), []);
}

/// A promise about the shop.
pub(super) const SLO: &str = "[[slo]]\nid = \"gold\"\nobjective = \"99.9 %\"\nchecks = [\"shop\"]\nperiod = \"30d\"\n";

#[test]
fn twelve_hours_of_failures_that_come_late_page_nobody() {
    for (more, slo) in [("", ""), ("recoveries = 3", ""), ("", SLO)] {
        let mut site = Site::new(1, &format!("{}{slo}", check("shop", more)));
        site.run(0, 60, |_, _, _| Some(ProbeState::Up));
        let late = 12 * 3600;
        site.run(60, 90, |_, _, _| None);
        let shop = site.number("shop");
        let name = site.agents[0].0.clone();
        let lattice = Lattice::new(&CheckId::parse("shop").unwrap(), &name, INTERVAL_US);
        let first = lattice.at_or_after(at(60));
        let slots = (0..).map(|nth| first.plus_us(nth * INTERVAL_US.cast_signed()));
        let slots: Vec<UtcMicros> = slots.take_while(|slot| *slot < at(late - 120)).collect();
        site.engine.watch(at(late)).unwrap();
        site.report(0, slots.iter().map(|slot| scheduled(result(shop, 0, ProbeState::Down), *slot)).collect(), late);
        site.run(late, late + 300, |_, _, _| Some(ProbeState::Up));
        let about_the_check = site.told().into_iter().filter(|told| !told.starts_with("agent_silent"));
        assert_eq!(about_the_check.collect::<Vec<_>>(), [""; 0], "{more}");
        assert_eq!(site.verdict_at("shop", 6 * 3600), Verdict::Down, "history knows");

        // What is so now is told at once.
        site.sent.clear();
        site.run(late + 300, late + 400, |_, _, _| Some(ProbeState::Down));
        assert_eq!(site.told()[..1], ["down opened shop"], "{more}");
    }
}

/// 12 h of failures of a shop with a promise, that come late from the second agent of two; the first says at each second what `first` says.
fn late_with_a_promise(engine: Engine, first: impl Fn(i64) -> Option<ProbeState>) -> (Site, i64) {
    let checks = format!("{}{SLO}", check("shop", "quorum = \"any\""));
    let mut site = Site::over(engine, 2, &checks);
    site.run(0, 60, |_, _, _| Some(ProbeState::Up));
    let late = 12 * 3600;
    site.run(late - 7_200, late, |agent, _, second| if agent == 0 { first(second - late) } else { None });
    let shop = site.number("shop");
    let lattice = Lattice::new(&CheckId::parse("shop").unwrap(), &site.agents[1].0, INTERVAL_US);
    let slots = (0..).map(|nth| lattice.at_or_after(at(60)).plus_us(nth * INTERVAL_US.cast_signed()));
    let slots: Vec<UtcMicros> = slots.take_while(|slot| *slot < at(late - 120)).collect();
    site.report(1, slots.iter().map(|slot| scheduled(result(shop, 0, ProbeState::Down), *slot)).collect(), late);
    site.run(late, late + 400, |_, _, _| Some(ProbeState::Up));
    (site, late)
}

fn about_the_promise(site: &Site) -> Vec<String> {
    site.told().into_iter().filter(|told| told.starts_with("slo_burn")).collect()
}

#[test]
fn late_failures_burn_no_budget_for_pages_also_beside_another_agent_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (mut site, late) = late_with_a_promise(super::world::on_disk(dir.path()), |_| Some(ProbeState::Up));
    assert_eq!(about_the_promise(&site), [""; 0]);
    assert_eq!(site.verdict_at("shop", 11 * 3600), Verdict::Down, "history knows");
    // The amendment is written, and tells what was late after a start.
    site.engine.settle(at(late + 400), false).unwrap();
    site.engine = in_memory();
    site.engine = super::world::on_disk(dir.path());
    site.run(late + 400, late + 900, |_, _, _| Some(ProbeState::Up));
    assert_eq!(about_the_promise(&site), [""; 0]);
}

#[test]
fn what_one_agent_says_in_time_burns_a_budget_though_another_one_is_late() {
    let failing = |second: i64| down(-600, -60, second);
    let (site, _) = late_with_a_promise(in_memory(), failing);
    assert_eq!(about_the_promise(&site)[..1], ["slo_burn opened gold"], "{:?}", site.told());
}

#[test]
fn a_thousand_checks_behind_one_parent_are_one_page() {
    let mut checks = check("gateway", "");
    for child in 0..1_000 {
        checks.push_str(&check(&format!("child-{child}"), "parents = [\"gateway\"]"));
    }
    let mut site = Site::new(1, &checks);
    site.run(0, 360, |_, _, second| down(100, 260, second));
    assert_eq!(site.told(), ["down opened gateway", "down resolved gateway"]);
    assert_eq!(site.sent[0].notice.context.checks.len(), 50, "the first of those that hang on it");
    for child in [0, 500, 999] {
        assert_eq!(site.verdict_at(&format!("child-{child}"), 220), Verdict::Down, "the truth stays");
    }
}

#[test]
fn a_child_is_paged_for_by_itself_and_when_it_stays_down_after_its_parents_return() {
    let checks =
        [check("router", ""), check("gateway", "parents = [\"router\"]"), check("shop", "parents = [\"gateway\"]")]
            .concat();
    let mut site = Site::new(1, &checks);
    site.run(0, 300, |_, id, second| if id == "shop" { down(100, 200, second) } else { Some(ProbeState::Up) });
    assert_eq!(site.told(), ["down opened shop", "down resolved shop"]);

    // The router takes both along, though the gateway itself is seen well; the shop has a trouble of its own.
    site.run(300, 700, |_, _, _| Some(ProbeState::Up));
    site.sent.clear();
    site.run(700, 1300, |_, id, second| match id {
        "router" => down(800, 1000, second),
        "shop" => down(800, 1200, second),
        _ => Some(ProbeState::Up),
    });
    assert_eq!(site.told(), ["down opened router", "down resolved router", "down opened shop", "down resolved shop"]);
    let opened = site.sent[2].notice.incident.opened_at.unwrap();
    let back = site.sent[1].notice.incident.resolved_at.unwrap();
    assert!(opened > back, "on results from after the router's return");
}

#[test]
fn a_page_waits_for_a_parent_that_runs_rarely_two_minutes_longer_than_for_itself_at_most() {
    let hourly = check("gateway", "").replace("30s", "1h");
    let checks = [hourly, check("shop", "parents = [\"gateway\"]")].concat();
    let mut site = Site::new(1, &checks);
    // It answers in its one slot of the hour; a minute and a half later the shop fails.
    let lattice = Lattice::new(&CheckId::parse("gateway").unwrap(), &site.agents[0].0, 3_600_000_000);
    let slot = lattice.at_or_after(at(0));
    let second = slot.us_since(at(0)) / SECOND + 1;
    site.run(0, second, |_, id, _| (id == "shop").then_some(ProbeState::Up));
    let gateway = site.number("gateway");
    site.report(0, vec![scheduled(result(gateway, 0, ProbeState::Up), slot)], second);
    site.run(
        second,
        second + 500,
        |_, id, now| {
            if id == "shop" { down(second + 90, second + 10_000, now) } else { None }
        },
    );
    assert_eq!(site.told(), ["down opened shop"]);
    let notice = &site.sent[0].notice;
    let waited = notice.at.us_since(notice.incident.since);
    assert!((180 * SECOND..=200 * SECOND).contains(&waited), "2 x 30 s, the timeout, 2 min: {waited}");
}

#[test]
fn applying_warns_of_a_parent_that_runs_much_more_rarely_whichever_of_both_is_written() {
    let mut site = Site::new(1, &check("plain", ""));
    let mut warnings = |text: String| {
        let source = Source { name: "all.toml".into(), text };
        site.engine.apply(checkfile::parse(&[source]).unwrap(), &options(), at(1)).unwrap().warnings
    };
    let gateway = |interval: &str| check("gateway", "").replace("30s", interval);
    let shop = check("shop", "parents = [\"gateway\"]");
    assert_eq!(warnings([gateway("150s"), shop.clone()].concat()), [""; 0]);
    let slow = "check shop hangs on gateway, which runs every 1h, and itself every 30s: its pages wait 2 min at most for so slow a parent, give that a shorter interval";
    assert_eq!(warnings(gateway("1h")), [slow]);
    assert_eq!(warnings(shop), [slow]);
    assert_eq!(warnings(check("plain", "")), [""; 0], "neither of both");
    assert_eq!(warnings(gateway("30s")), [""; 0]);
}

#[test]
fn what_parents_and_damping_spare_is_written_down_once_each() {
    let checks = [check("gateway", ""), check("shop", "parents = [\"gateway\"]"), check("blog", "")].concat();
    let mut site = Site::new(1, &checks);
    let spared = |site: &Site| -> Vec<(CheckNo, Sparing)> {
        let facts = site.engine.alert_facts(Span::new(at(0), at(100_000))).unwrap();
        facts.spared.iter().map(|one| (one.check, one.by)).collect()
    };
    let pages = |site: &Site| site.engine.alert_facts(Span::new(at(0), at(100_000))).unwrap().pages.len();
    site.run(0, 360, |_, id, second| if id == "blog" { Some(ProbeState::Up) } else { down(100, 260, second) });
    let (shop, blog) = (site.number("shop"), site.number("blog"));
    assert_eq!((spared(&site), pages(&site)), (vec![(shop, Sparing::Parent)], 1), "{:?}", site.told());

    // A trouble of its own is paged, and is spared nothing.
    site.run(360, 700, |_, id, second| if id == "shop" { down(400, 500, second) } else { Some(ProbeState::Up) });
    assert_eq!((spared(&site).len(), pages(&site)), (1, 2));

    // Seven times down and up again within half an hour: the third opening makes it flapping, and four turns are swallowed.
    site.sent.clear();
    let turns = |second: i64| (800..2060).contains(&second) && (second - 800) % 180 < 90;
    site.run(700, 2200, |_, id, second| {
        Some(if id == "blog" && turns(second) { ProbeState::Down } else { ProbeState::Up })
    });
    let opened = site.told().iter().filter(|told| *told == "down opened blog").count();
    let swallowed = spared(&site).iter().filter(|one| **one == (blog, Sparing::Flapping)).count();
    assert_eq!((opened, swallowed), (3, 4), "{:?}", site.told());
    // Beside the openings, the ladder's next level for what did not end.
    assert_eq!((pages(&site), site.told().iter().filter(|told| *told == "down escalated blog").count()), (6, 1));
}

#[test]
fn an_open_incident_is_held_while_its_parent_is_down() {
    let checks = [check("gateway", ""), check("shop", "parents = [\"gateway\"]")].concat();
    let mut site = Site::new(1, &checks);
    let state = |_: usize, id: &str, second: i64| match id {
        "gateway" => down(400, 1000, second),
        _ => down(100, 1300, second),
    };
    site.run(0, 1000, state);
    assert_eq!(
        site.told(),
        ["down opened shop", "down opened gateway"],
        "ten minutes are over, and nobody is told more"
    );
    site.run(1000, 1200, state);
    assert_eq!(site.told()[2..], ["down resolved gateway"]);
    site.run(1200, 1500, state);
    assert_eq!(site.told()[3..], ["down resolved shop"], "the ladder stood still for ten minutes");
}

#[test]
fn an_agent_that_is_not_heard_of_is_one_incident_whatever_it_watched() {
    let checks: String = (0..5).map(|nth| check(&format!("shop-{nth}"), "")).collect();
    let mut site = Site::new(2, &checks);
    site.run(0, 200, |_, _, _| Some(ProbeState::Up));
    site.run(200, 500, |agent, _, _| (agent == 0).then_some(ProbeState::Up));
    assert_eq!(site.told(), ["agent_silent opened region-1-1"]);
    let notice = &site.sent[0].notice;
    assert_eq!((notice.incident.severity, notice.context.checks.len()), (Severity::Minor, 0));
    let heard = notice.incident.since;
    assert!(notice.at.us_since(heard) >= 120 * SECOND && heard >= at(170), "{heard:?}");

    site.run(500, 800, |_, _, _| None);
    assert_eq!(site.told()[1..], ["agent_silent opened region-0-1"]);
    let notice = &site.sent[1].notice;
    assert_eq!((notice.incident.severity, notice.context.checks.len()), (Severity::Major, 5));

    site.run(800, 900, |_, _, _| Some(ProbeState::Up));
    let mut back = site.told().split_off(2);
    back.sort();
    assert_eq!(back, ["agent_silent resolved region-0-1", "agent_silent resolved region-1-1"]);
}

#[test]
fn nobody_is_silent_for_a_collector_that_was_not_there_to_hear() {
    use sitepulse_daemon::identity::CertificateAuthority;
    let dir = tempfile::tempdir().unwrap();
    let open = |seconds: i64| {
        let authority = CertificateAuthority::create(at(0)).unwrap();
        Engine::open(dir.path(), authority, 1, at(seconds)).unwrap()
    };
    let mut engine = open(0);
    engine.set_addresses(vec!["127.0.0.1:8443".into()]).unwrap();
    enrol(&mut engine, "eu-west", Some("eu-west-1"));
    let source = Source { name: "all.toml".into(), text: format!("{}{TOLD}", check("shop", "")) };
    engine.apply(checkfile::parse(&[source]).unwrap(), &options(), at(0)).unwrap();
    drop(engine);
    let mut engine = open(10_000);
    for second in 10_000..10_120 {
        engine.watch(at(second)).unwrap();
    }
    assert_eq!(engine.lease(at(10_120), 10).unwrap(), []);
    engine.watch(at(10_121)).unwrap();
    assert_eq!(engine.lease(at(10_121), 10).unwrap().len(), 1);
}

/// The clock ran three days ahead and is set right: who falls silent then is silent after as long as ever.
#[test]
fn a_clock_that_is_set_back_keeps_nobody_from_being_silent() {
    let ahead = 3 * 86_400;
    let mut site = Site::new(2, &check("shop", ""));
    site.run(ahead, ahead + 100, |_, _, _| Some(ProbeState::Up));
    site.sent.clear();
    site.run(1_000, 1_300, |agent, _, _| (agent == 0).then_some(ProbeState::Up));
    assert_eq!(site.told(), ["agent_silent opened region-1-1"]);
}

#[test]
fn a_store_that_fails_before_the_clock_is_set_back_holds_nothing_up() {
    let ahead = 3 * 86_400;
    let mut site = Site::new(1, &check("shop", ""));
    site.run(ahead, ahead + 60, |_, _, _| Some(ProbeState::Up));
    let rename = |site: &mut Site, from: &str, to: &str| {
        site.engine.store().connection().execute(&format!("ALTER TABLE {from} RENAME TO {to}"), []).unwrap();
    };
    rename(&mut site, "incident", "gone");
    site.run_failing(ahead + 60, ahead + 200);
    rename(&mut site, "gone", "incident");
    site.run(1_000, 1_100, |_, _, _| Some(ProbeState::Down));
    assert_eq!(site.told(), ["down opened shop"]);
}

#[test]
fn a_suspended_agent_is_not_silent_and_a_retired_check_has_no_incident() {
    use sitepulse_model::control::{Change, Scope};
    let checks = [check("shop", ""), check("blog", "")].concat();
    let mut site = Site::new(1, &checks);
    site.run(0, 200, |_, id, second| if id == "shop" { down(100, 900, second) } else { Some(ProbeState::Up) });
    assert_eq!(site.told(), ["down opened shop"]);
    let written = checkfile::parse(&[Source { name: "a".into(), text: format!("{}{TOLD}", check("blog", "")) }]);
    let prune = sitepulse_collector::app::ApplyOptions { prune: true, ..options() };
    site.engine.apply(written.unwrap(), &prune, at(200)).unwrap();
    let agent = site.agents[0].1;
    let (until, reason) = (at(5_000), "moved".to_owned());
    let change = Change::Suspend { until, reason };
    site.engine.control(Scope::Agent(agent), change, "ana", at(200)).unwrap();
    site.run(200, 900, |_, _, _| None);
    assert_eq!(site.told()[1..], ["down resolved shop"]);
}

#[test]
fn a_window_holds_the_pages_of_its_checks_and_lets_go_of_those_still_due() {
    // In the zone's own wall-clock time, to the second.
    let from = sitepulse_daemon::instant::format(at(60));
    let window =
        format!("[[maintenance]]\nid = \"move\"\nchecks = [\"shop\"]\nfrom = \"{}\"\nlasts = \"340s\"\n", &from[..19]);
    let mut site = Site::new(1, &format!("{}{window}", check("shop", "")));
    site.run(0, 399, |_, _, second| down(100, 600, second));
    assert_eq!(site.told(), [""; 0]);
    assert_eq!(site.verdict_at("shop", 300), Verdict::Maintenance);
    site.run(399, 405, |_, _, second| down(100, 600, second));
    assert_eq!(site.told(), ["down opened shop"]);
}

#[test]
fn a_certificate_is_told_of_before_it_expires_and_again_when_it_is_urgent() {
    let day = 86_400 * SECOND;
    let mut site = Site::new(1, &check("shop", ""));
    let shop = site.number("shop");
    let told_at = |site: &mut Site, second: i64, expires: UtcMicros| {
        let lattice = Lattice::new(&CheckId::parse("shop").unwrap(), &site.agents[0].0, INTERVAL_US);
        for slot in [lattice.at_or_after(at(second)), lattice.at_or_after(at(second + 30))] {
            let Record::Result(mut result) = scheduled(result(shop, 0, ProbeState::Up), slot) else { panic!("none") };
            result.facts.certificate_expires = Some(expires);
            site.report(0, vec![Record::Result(result)], slot.us_since(at(0)) / SECOND + 1);
        }
        site.send(second + 61);
        let told = site.sent.drain(..).map(|message| message.notice);
        let told = told.filter(|notice| notice.incident.agent.is_none());
        told.map(|notice| format!("{} {} {}", notice.incident.kind, notice.event, notice.incident.severity))
            .collect::<Vec<_>>()
    };
    let expires = at(0).plus_us(15 * day);
    assert_eq!(told_at(&mut site, 100, expires), [""; 0]);
    let soon = 86_400 + 100;
    assert_eq!(told_at(&mut site, soon, expires), ["certificate opened minor"]);
    // The new one and the old one take turns behind one name: nothing is over.
    assert_eq!(told_at(&mut site, soon + 100, expires.plus_us(90 * day)), [""; 0]);
    assert_eq!(told_at(&mut site, soon + 200, expires), [""; 0]);
    let later = told_at(&mut site, soon + 700, expires.plus_us(90 * day));
    assert_eq!(later, ["certificate escalated minor"], "nobody has taken it for ten minutes");
    assert_eq!(told_at(&mut site, soon + 1400, expires.plus_us(90 * day)), ["certificate resolved minor"]);
    let near = 13 * 86_400;
    assert_eq!(told_at(&mut site, near, expires), ["certificate opened major"]);
}

/// What was fine for long enough is not looked at for as long again because the disk was full in that very second.
#[test]
fn a_write_that_fails_makes_nothing_wait_anew() {
    let mut site = Site::new(1, &check("shop", ""));
    let shop = site.number("shop");
    let lattice = Lattice::new(&CheckId::parse("shop").unwrap(), &site.agents[0].0, INTERVAL_US);
    let left_days = |site: &mut Site, second: i64, days: i64| {
        let slot = lattice.at_or_after(at(second));
        let Record::Result(mut result) = scheduled(result(shop, 0, ProbeState::Up), slot) else { panic!("none") };
        result.facts.certificate_expires = Some(slot.plus_us(days * 86_400 * SECOND));
        let received = slot.us_since(at(0)) / SECOND + 1;
        site.report(0, vec![Record::Result(result)], received);
        site.send(received);
        received
    };
    let rename = |site: &mut Site, from: &str, to: &str| {
        site.engine.store().connection().execute(&format!("ALTER TABLE {from} RENAME TO {to}"), []).unwrap();
    };
    left_days(&mut site, 100, 5);
    assert_eq!(site.told(), ["certificate opened shop"]);
    let fine = left_days(&mut site, 130, 90);
    let mut newest = fine;
    while newest + 31 < fine + 600 {
        newest = left_days(&mut site, newest, 90);
    }
    site.sent.clear();
    rename(&mut site, "incident_entry", "gone");
    for second in fine + 600..fine + 605 {
        site.engine.watch(at(second)).ok();
    }
    assert!(site.engine.watch(at(fine + 606)).is_err(), "it is to be over by now");
    rename(&mut site, "gone", "incident_entry");
    site.engine.watch(at(fine + 608)).unwrap();
    site.send(fine + 608);
    assert_eq!(site.told(), ["certificate resolved shop"]);
}

#[test]
fn a_budget_that_burns_is_told_of() {
    let slo = "[[slo]]\nid = \"gold\"\nobjective = \"99.9 %\"\nchecks = [\"shop\"]\nperiod = \"30d\"\n";
    let mut site = Site::new(1, &format!("{}{slo}", check("shop", "")));
    site.run(0, 900, |_, _, second| down(300, 600, second));
    let told = site.told();
    assert!(told.contains(&"slo_burn opened gold".to_owned()), "{told:?}");
    let burn = site.sent.iter().find(|message| message.notice.incident.slo.is_some()).unwrap();
    assert_eq!(burn.notice.incident.severity, Severity::Major);
    let about_the_promise = told.iter().filter(|told| told.starts_with("slo_burn"));
    assert_eq!(about_the_promise.count(), 1, "the six hours pair goes on: {told:?}");
}

/// What the disk does not tell is not known: nothing is fine because of that.
#[test]
fn a_page_whose_rows_cannot_be_read_at_a_start_keeps_its_incident() {
    use sitepulse_model::record::FactKey;
    let dir = tempfile::tempdir().unwrap();
    let page = "[[check]]\nid = \"page\"\nkind = \"web_vitals\"\nurl = \"http://127.0.0.1:1/\"\ninterval = \"5m\"\n";
    let mut site = Site::over(super::world::on_disk(dir.path()), 1, page);
    let number = site.number("page");
    let lattice = Lattice::new(&CheckId::parse("page").unwrap(), &site.agents[0].0, 300_000_000);
    let first = lattice.at_or_after(at(0));
    let mut second = 0;
    for (nth, ms) in (0..).zip([2_000, 2_010, 1_990, 2_000, 2_005, 1_995, 2_000, 2_000, 2_600, 2_600, 2_600]) {
        let slot = first.plus_us(nth * 300_000_000);
        let Record::Result(mut result) = scheduled(result(number, 0, ProbeState::Up), slot) else { panic!("none") };
        for key in [FactKey::Lcp, FactKey::LcpMin, FactKey::LcpMax] {
            result.facts.number(key, ms * 1_000);
        }
        second = slot.us_since(at(0)) / SECOND + 1;
        site.report(0, vec![Record::Result(result)], second);
    }
    let state = |site: &mut Site| -> String {
        let sql = "SELECT state FROM incident WHERE kind = 'web_vitals'";
        site.engine.store().connection().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(state(&mut site), "open");
    site.engine = in_memory();
    site.engine = super::world::on_disk(dir.path());
    let rename = |site: &mut Site, from: &str, to: &str| {
        site.engine.store().connection().execute(&format!("ALTER TABLE {from} RENAME TO {to}"), []).unwrap();
    };
    rename(&mut site, "vitals", "gone");
    for more in 1..30 {
        site.engine.watch(at(second + more)).unwrap();
    }
    assert_eq!(state(&mut site), "open");
    rename(&mut site, "gone", "vitals");
    for more in 30..60 {
        site.engine.watch(at(second + more)).unwrap();
    }
    assert_eq!(state(&mut site), "open", "its rows say so");
}

#[test]
fn what_checks_hang_on_must_be_there_and_lead_in_no_circle() {
    use sitepulse_collector::app::AppError;
    let mut site = Site::new(0, &check("shop", ""));
    let mut faults = |text: &str, prune: bool| {
        let written = checkfile::parse(&[Source { name: "a.toml".into(), text: text.into() }]).unwrap();
        let options = sitepulse_collector::app::ApplyOptions { prune, ..options() };
        match site.engine.apply(written, &options, at(10)) {
            Ok(_) => Vec::new(),
            Err(AppError::BadFiles(faults)) => faults,
            Err(error) => panic!("{error}"),
        }
    };
    let blog = check("blog", "parents = [\"shop\", \"gatewoy\"]\nescalation = \"night\"");
    assert_eq!(
        faults(&blog, false),
        [
            r#"a.toml:6:12: check "blog": parents[0]: there is no check "gatewoy": write it as a [[check]], or leave it out"#,
            r#"a.toml:7:14: check "blog": escalation: there is no escalation "night": write it as a [[escalation]], or leave it out"#,
        ]
        .map(|fault| fault.replace("6:12: check \"blog\": parents[0]", "6:20: check \"blog\": parents[0]"))
    );
    let circle =
        [check("a", "parents = [\"b\"]"), check("b", "parents = [\"c\", \"shop\"]"), check("c", "parents = [\"a\"]")];
    assert_eq!(
        faults(&circle.concat(), false),
        [
            r#"a.toml:6:12: check "a": parents[0]: a check cannot hang on itself (a -> b -> c -> a): leave one of these parents out"#
        ]
    );
    assert_eq!(faults(&check("self", "parents = [\"self\"]"), false).len(), 1);
    assert_eq!(faults(&check("blog", "parents = [\"shop\"]"), false), [""; 0]);
    // A parent that ends takes its children along, or they let go of it.
    let orphan = faults(&check("blog", "parents = [\"shop\"]"), true);
    assert_eq!(orphan.len(), 1, "{orphan:?}");
    // A circle that a file closes with what is there already.
    let closed = faults(&check("shop", "parents = [\"blog\"]"), false);
    assert_eq!(closed.len(), 1, "{closed:?}");
}

#[test]
fn a_page_that_was_slower_as_late_data_tells_pages_nobody() {
    use sitepulse_model::record::FactKey;
    let page = "[[check]]\nid = \"page\"\nkind = \"web_vitals\"\nurl = \"http://127.0.0.1:1/\"\ninterval = \"5m\"\n";
    let mut site = Site::new(1, page);
    let number = site.number("page");
    let lattice = Lattice::new(&CheckId::parse("page").unwrap(), &site.agents[0].0, 300_000_000);
    let first = lattice.at_or_after(at(0));
    let record = |nth: i64, ms: i64| {
        let slot = first.plus_us(nth * 300_000_000);
        let Record::Result(mut result) = scheduled(result(number, 0, ProbeState::Up), slot) else { panic!("none") };
        for key in [FactKey::Lcp, FactKey::LcpMin, FactKey::LcpMax] {
            result.facts.number(key, ms * 1_000);
        }
        (Record::Result(result), slot.us_since(at(0)) / SECOND + 1)
    };
    for nth in 0..10 {
        let (record, second) = record(nth, 2_000);
        site.report(0, vec![record], second);
    }
    // Cut off for three hours, in which the page was slow.
    let slow: Vec<Record> = (10..46).map(|nth| record(nth, 4_000).0).collect();
    let (newest, second) = record(60, 2_000);
    site.report(0, slow, second);
    for more in 0..5 {
        site.engine.watch(at(second + more)).unwrap();
    }
    site.report(0, vec![newest], second + 5);
    for more in 5..20 {
        site.engine.watch(at(second + more)).unwrap();
        site.send(second + more);
    }
    let worse = |site: &Site| site.told().into_iter().filter(|told| told.starts_with("web_vitals")).collect::<Vec<_>>();
    assert_eq!(worse(&site), [""; 0]);
    let rows: i64 = {
        let sql = "SELECT count(*) FROM vitals WHERE late = 1";
        site.engine.store().connection().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(rows, 36, "the figures have them");
    // What is so now is told.
    for nth in 61..64 {
        let (record, second) = record(nth, 4_000);
        site.report(0, vec![record], second);
        site.engine.watch(at(second + 1)).unwrap();
        site.send(second + 1);
    }
    assert_eq!(worse(&site), ["web_vitals opened page"]);
}

#[test]
fn a_page_that_stays_worse_is_told_of_and_one_slow_run_is_not() {
    use sitepulse_model::record::FactKey;
    let page = "[[check]]\nid = \"page\"\nkind = \"web_vitals\"\nurl = \"http://127.0.0.1:1/\"\ninterval = \"5m\"\n";
    let mut site = Site::new(1, page);
    let number = site.number("page");
    let lattice = Lattice::new(&CheckId::parse("page").unwrap(), &site.agents[0].0, 300_000_000);
    let first = lattice.at_or_after(at(0));
    let lcp_ms = [
        2_000, 2_010, 1_990, 2_000, 2_005, 1_995, 2_000, 2_000, 9_000, 2_000, 2_600, 2_600, 2_600, 2_000, 2_000, 2_000,
    ];
    let mut told = Vec::new();
    for (nth, ms) in (0..).zip(lcp_ms) {
        let slot = first.plus_us(nth * 300_000_000);
        let Record::Result(mut result) = scheduled(result(number, 0, ProbeState::Up), slot) else { panic!("none") };
        for key in [FactKey::Lcp, FactKey::LcpMin, FactKey::LcpMax] {
            result.facts.number(key, ms * 1_000);
        }
        let second = slot.us_since(at(0)) / SECOND + 1;
        site.report(0, vec![Record::Result(result)], second);
        site.send(second);
        let sent = site.told();
        let news = sent.into_iter().filter(|told| told.starts_with("web_vitals")).map(|told| (nth, told));
        told.extend(news);
        site.sent.clear();
    }
    told.retain(|(_, what)| !what.contains("escalated"));
    assert_eq!(
        told,
        [(12, "web_vitals opened page".to_owned()), (15, "web_vitals resolved page".to_owned())],
        "the third in a row says so, and the third of those that are back ends it"
    );
}

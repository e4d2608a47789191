//! From a level's targets to users, whoever is on call, and their channels.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sitepulse_collector::app::AppError;
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::oncall::duty::SpotOverride;
use sitepulse_collector::outbox::{Attempt, Outcome};
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::incident::NoticeEvent;
use sitepulse_model::incident::machine::Input;
use sitepulse_model::oncall::roster::By;
use sitepulse_model::record::{ProbeState, Record};
use sitepulse_model::time::{Span, UtcMicros};

use super::world::{at, enrol, entry, in_memory, job, options, result};

/// The world begins at 14:13:01 UTC on a Monday, 2026-09-21. Ana rests from 14:00 to 15:40.
const FILE: &str = r#"
[[check]]
id = "shop"
kind = "http"
url = "http://127.0.0.1:1/"
interval = "30s"

[[channel]]
id = "ops"
kind = "webhook"
url = "https://ops.example/hook"

[[channel]]
id = "ana-hook"
kind = "webhook"
url = "https://ana.example/hook"

[[channel]]
id = "bob-hook"
kind = "webhook"
url = "https://bob.example/hook"

[[user]]
id = "ana"
name = "Ana Silva"
notify = ["ana-hook"]
language = "fr"
quiet = { from = "14:00", to = "15:40" }

[[user]]
id = "bob"
notify = ["bob-hook", "ops"]
zone = "Europe/Paris"

[[user]]
id = "cleo"

[[schedule]]
id = "primary"
zone = "UTC"
layers = [ { users = ["ana"], rotation = "daily", handoff = "00:00", start = "2026-09-01" } ]

[[schedule]]
id = "nights"
zone = "UTC"
layers = [
    { users = ["bob"], rotation = "daily", handoff = "00:00", start = "2026-09-01", hours = [{ from = "20:00", to = "06:00" }] },
]

[[escalation]]
id = "default"
default = true
levels = [
    { after = "0s", notify = ["oncall:primary", "oncall:nights", "user:cleo"] },
    { after = "10m", notify = ["user:bob", "ops"] },
    { after = "20m", notify = ["ana-hook"] },
]
"#;

const CHECK: &str = "class = \"critical\"\n";

struct World {
    engine: Engine,
    agent: AgentNo,
    check: CheckNo,
    seq: u64,
}

impl World {
    fn new(file: &str) -> Self {
        let mut engine = in_memory();
        let agent = enrol(&mut engine, "eu-west", Some("eu-west-1")).agent;
        engine.apply(written(file), &options(), at(0)).unwrap();
        let check = engine.shared().book().checks().next().unwrap().number;
        Self { engine, agent, check, seq: 0 }
    }

    fn report(&mut self, seconds: i64, state: ProbeState) {
        self.take_in(result(self.check, seconds, state));
    }

    fn take_in(&mut self, record: Record) {
        let entry = entry(&self.engine, self.seq, record);
        self.seq += 1;
        let received_at = entry.record.scheduled().plus_us(200_000);
        self.engine.note_handshake(self.agent, "0.0.0", received_at).unwrap();
        let mut job = job(self.agent, vec![entry]);
        job.received_at = received_at;
        self.engine.ingest(vec![job]).unwrap();
        self.engine.watch(received_at).unwrap();
    }

    /// Sends what is due: channel, what for, for whom.
    fn sent(&mut self, seconds: i64) -> Vec<(String, NoticeEvent, Option<String>)> {
        let now = at(seconds);
        // An agent that is silent is another story.
        self.engine.note_handshake(self.agent, "0.0.0", now).unwrap();
        self.engine.watch(now).unwrap();
        let mut sent = Vec::new();
        loop {
            let leased = self.engine.lease(now, 10).unwrap();
            if leased.is_empty() {
                sent.sort_by(|a: &(String, _, _), b| a.0.cmp(&b.0));
                return sent;
            }
            for message in leased {
                let recipient = message.notice.context.recipient.clone();
                sent.push((message.key.channel.clone(), message.notice.event, recipient.map(|one| one.user)));
                let attempt = Attempt { at: now, took_us: 1, outcome: Outcome::Delivered, note: String::new() };
                self.engine.mark(message, &attempt).unwrap();
            }
        }
    }
}

fn written(file: &str) -> checkfile::Written {
    checkfile::parse(&[Source { name: "checks.toml".into(), text: file.into() }]).unwrap()
}

fn to(channel: &str, event: NoticeEvent, user: Option<&str>) -> (String, NoticeEvent, Option<String>) {
    (channel.into(), event, user.map(str::to_owned))
}

/// The clock shows 15:40 then.
const REST_ENDS: i64 = 5_219;

#[test]
fn quiet_hours_hold_a_page_back_and_a_channel_that_two_ways_lead_to_is_told_once() {
    let mut world = World::new(FILE);
    world.report(0, ProbeState::Up);
    world.report(30, ProbeState::Down);
    world.report(60, ProbeState::Down);
    assert_eq!(world.sent(70), [], "Ana rests, Bob is on call by night, Cleo has no channel");
    assert_eq!(
        world.sent(661),
        [to("bob-hook", NoticeEvent::Escalated, Some("bob")), to("ops", NoticeEvent::Escalated, None)]
    );
    // The third level names her channel itself: that goes out at once, and the page that waits is not needed any more.
    assert_eq!(world.sent(1_261), [to("ana-hook", NoticeEvent::Escalated, None)]);
    assert_eq!(world.sent(REST_ENDS + 1), []);
}

#[test]
fn a_page_that_waited_goes_out_when_quiet_hours_end() {
    let file = FILE.replace("    { after = \"20m\", notify = [\"ana-hook\"] },\n", "");
    let mut world = World::new(&file);
    world.report(30, ProbeState::Down);
    world.report(60, ProbeState::Down);
    world.report(90, ProbeState::Down);
    assert_eq!(world.sent(661).len(), 2);
    assert_eq!(world.sent(REST_ENDS - 1), []);
    assert_eq!(world.sent(REST_ENDS), [to("ana-hook", NoticeEvent::Opened, Some("ana"))]);
    world.report(5_250, ProbeState::Up);
    let resolved = |channel, user| to(channel, NoticeEvent::Resolved, user);
    let all = [resolved("ana-hook", Some("ana")), resolved("bob-hook", Some("bob")), resolved("ops", None)];
    assert_eq!(world.sent(5_260), all);
}

/// A certificate that expires soon waits for the end of quiet hours; in its last days it is as severe as an outage.
#[test]
fn a_page_that_waits_goes_out_when_the_incident_becomes_as_severe_as_they_let_through() {
    let (before, _) = FILE.split_once("levels = [").unwrap();
    let file = format!("{before}levels = [ {{ after = \"0s\", notify = [\"oncall:primary\"] }} ]\n");
    let file = file.replacen("interval = \"30s\"\n", &format!("interval = \"30s\"\n{CHECK}"), 1);
    let mut world = World::new(&file);
    // In ten minutes it has three days left.
    let expires = at(3 * 86_400 + 600);
    let tell = |world: &mut World, seconds: i64| {
        let Record::Result(mut result) = result(world.check, seconds, ProbeState::Up) else { panic!("no result") };
        result.facts.certificate_expires = Some(expires);
        world.take_in(Record::Result(result));
    };
    tell(&mut world, 30);
    assert_eq!(world.sent(70), [], "Ana rests");
    tell(&mut world, 570);
    assert_eq!(world.sent(599), []);
    tell(&mut world, 600);
    assert_eq!(world.sent(660), [to("ana-hook", NoticeEvent::Opened, Some("ana"))]);
    assert_eq!(world.sent(REST_ENDS + 1), [], "once");
    let text = |world: &mut World, sql: &str| -> String {
        world.engine.store().connection().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let entry =
        text(&mut world, "SELECT body FROM incident_entry WHERE json_extract(body, '$.record') = 'let_through'");
    assert_eq!(entry, r#"{"record":"let_through","channels":{"ana-hook":1}}"#);
    let notice = text(&mut world, "SELECT notice FROM outbox WHERE channel_id = 'ana-hook'");
    assert!(notice.contains(r#""severity":"critical""#), "it says how severe it is now: {notice}");
    // Who was told that way is told of the end.
    for seconds in (5_250..6_300).step_by(30) {
        let Record::Result(mut renewed) = result(world.check, seconds, ProbeState::Up) else { panic!("no result") };
        renewed.facts.certificate_expires = Some(at(90 * 86_400));
        world.take_in(Record::Result(renewed));
    }
    assert_eq!(world.sent(6_310), [to("ana-hook", NoticeEvent::Resolved, Some("ana"))]);
}

#[test]
fn a_page_that_waited_is_taken_back_when_the_incident_is_over() {
    let file = FILE.replace("    { after = \"20m\", notify = [\"ana-hook\"] },\n", "");
    let mut world = World::new(&file);
    world.report(30, ProbeState::Down);
    world.report(60, ProbeState::Down);
    world.report(90, ProbeState::Down);
    assert!(world.engine.next_delivery().unwrap().is_some());
    world.report(120, ProbeState::Up);
    assert_eq!(world.engine.next_delivery().unwrap(), None, "nobody was told, so nobody is told that it is over");
}

#[test]
fn a_page_that_waited_is_taken_back_when_somebody_takes_the_incident() {
    let file = FILE.replace("\"oncall:primary\", ", "\"oncall:primary\", \"ops\", ");
    let mut world = World::new(&file);
    world.report(30, ProbeState::Down);
    world.report(60, ProbeState::Down);
    world.report(90, ProbeState::Down);
    let message = world.engine.lease(at(95), 10).unwrap().remove(0);
    let id = message.key.incident.clone();
    let attempt = Attempt { at: at(95), took_us: 1, outcome: Outcome::Delivered, note: String::new() };
    world.engine.mark(message, &attempt).unwrap();
    world.engine.act(&id, Input::Acknowledge { by: "bob" }, "bob", at(120)).unwrap();
    assert_eq!(world.sent(121), [to("ops", NoticeEvent::Acknowledged, None)]);
    assert_eq!(world.engine.next_delivery().unwrap(), None);
    // The pause is over, and Ana still rests: the page waits again.
    assert_eq!(world.sent(120 + 3_600), [to("ops", NoticeEvent::Escalated, None)]);
    assert_eq!(world.sent(REST_ENDS)[0], to("ana-hook", NoticeEvent::Escalated, Some("ana")));
}

/// The collector was away when both levels became due: both run, and the one that is told now takes the place of the one that waits.
#[test]
fn a_page_that_waits_gives_way_to_a_later_one_of_the_same_channel() {
    let (before, _) = FILE.split_once("levels = [").unwrap();
    let levels = "{ after = \"0s\", notify = [\"ops\"] }, { after = \"10m\", notify = [\"user:ana\"] }, { after = \"20m\", notify = [\"ana-hook\"] }";
    let mut world = World::new(&format!("{before}levels = [ {levels} ]\n"));
    world.report(30, ProbeState::Down);
    world.report(60, ProbeState::Down);
    world.report(90, ProbeState::Down);
    assert_eq!(world.sent(100), [to("ops", NoticeEvent::Opened, None)]);
    assert_eq!(world.sent(1_400), [to("ana-hook", NoticeEvent::Escalated, None)]);
    assert_eq!(world.sent(REST_ENDS), []);
}

/// Ana rests from 14:25: she is paged before, and the incident is over when she rests. `levels`: when ops and Ana are told.
fn over_while_ana_rests(levels: [&str; 2]) -> World {
    let (before, _) = FILE.split_once("levels = [").unwrap();
    let [ops, ana] = levels;
    let levels =
        format!("{{ after = \"{ops}\", notify = [\"ops\"] }}, {{ after = \"{ana}\", notify = [\"user:ana\"] }}");
    let mut world =
        World::new(&format!("{before}levels = [ {levels} ]\n").replace("from = \"14:00\"", "from = \"14:25\""));
    world.report(0, ProbeState::Up);
    world.report(30, ProbeState::Down);
    world.report(60, ProbeState::Down);
    let mut sent = world.sent(240);
    sent.extend(world.sent(400));
    assert_eq!(sent, [to("ops", NoticeEvent::Opened, None), to("ana-hook", NoticeEvent::Escalated, Some("ana"))]);
    world.report(750, ProbeState::Up);
    assert_eq!(world.sent(752), [to("ops", NoticeEvent::Resolved, None)], "Ana rests");
    world
}

#[test]
fn who_rests_when_an_incident_ends_is_told_of_the_end_though_it_opened_again_in_between() {
    let mut world = over_while_ana_rests(["0s", "5m"]);
    world.report(780, ProbeState::Down);
    world.report(810, ProbeState::Down);
    assert_eq!(world.sent(812), [to("ops", NoticeEvent::Opened, None)]);
    world.report(840, ProbeState::Up);
    assert_eq!(world.sent(842), [to("ops", NoticeEvent::Resolved, None)]);
    let last = steps(&mut world).pop().unwrap();
    assert_eq!((&last["channels"], &last["withdrawn"]), (&json!(["ana-hook", "ops"]), &json!({ "ana-hook": 3 })));
    assert_eq!(world.sent(REST_ENDS), [to("ana-hook", NoticeEvent::Resolved, Some("ana"))]);
    assert_eq!(world.sent(REST_ENDS + 600), []);
}

#[test]
fn who_rests_when_an_incident_ends_is_told_of_it_though_nobody_was_paged_when_it_opened_again() {
    let mut world = over_while_ana_rests(["1m", "5m"]);
    world.report(780, ProbeState::Down);
    world.report(810, ProbeState::Down);
    world.report(840, ProbeState::Up);
    assert_eq!(world.sent(842), []);
    assert_eq!(world.sent(REST_ENDS), [to("ana-hook", NoticeEvent::Resolved, Some("ana"))]);
}

#[test]
fn an_incident_that_opens_again_more_severe_lets_no_end_through_quiet_hours() {
    let mut world = over_while_ana_rests(["0s", "5m"]);
    let critical = format!(
        "[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"http://127.0.0.1:1/\"\ninterval = \"30s\"\n{CHECK}"
    );
    world.engine.apply(written(&critical), &options(), at(755)).unwrap();
    let revision = world.engine.shared().book().check(world.check).unwrap().newest().revision;
    for seconds in [780, 810] {
        let Record::Result(mut failed) = result(world.check, seconds, ProbeState::Down) else { panic!("no result") };
        failed.revision = revision;
        world.take_in(Record::Result(failed));
    }
    assert_eq!(world.sent(812), [to("ops", NoticeEvent::Opened, None)], "it is open: that it was over is no news");
    assert_eq!(world.sent(1_112), [to("ana-hook", NoticeEvent::Escalated, Some("ana"))], "quiet hours let it through");
    let severe = "SELECT count(*) FROM incident_entry WHERE json_extract(body, '$.entry') = 'severity'";
    let rose: u32 = world.engine.store().connection().query_row(severe, [], |row| row.get(0)).unwrap();
    assert_eq!(rose, 1);
}

/// What an incident's history says of its steps: level, whom it told, and why others were not.
fn steps(world: &mut World) -> Vec<Value> {
    let mut rows = world
        .engine
        .store()
        .connection()
        .prepare("SELECT body FROM incident_entry WHERE json_extract(body, '$.record') = 'step' ORDER BY number")
        .unwrap();
    let bodies = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
    bodies.map(|body| serde_json::from_str(&body.unwrap()).unwrap()).collect()
}

/// By day the nights' schedule has nobody: who comes next is told in the same breath, and later levels keep their distance.
#[test]
fn a_level_that_reaches_nobody_is_passed_at_once_and_the_history_says_why() {
    let (before, _) = FILE.split_once("levels = [").unwrap();
    let levels = "{ after = \"0s\", notify = [\"oncall:nights\", \"user:cleo\"] }, { after = \"10m\", notify = [\"ops\"] }, { after = \"25m\", notify = [\"bob-hook\"] }";
    let mut world = World::new(&format!("{before}levels = [ {levels} ]\n"));
    world.report(0, ProbeState::Up);
    world.report(30, ProbeState::Down);
    world.report(60, ProbeState::Down);
    assert_eq!(world.sent(62), [to("ops", NoticeEvent::Escalated, None)]);
    let told = steps(&mut world);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((&told[0]["level"], &told[0]["channels"]), (&json!(0), &json!([])));
    assert_eq!(
        told[0]["unreached"],
        json!([
            "oncall:nights: nobody is on call",
            "user:cleo: the user has no channel: write notify = [...] in its [[user]]"
        ])
    );
    assert_eq!(
        (&told[1]["level"], &told[1]["channels"], &told[1]["unreached"]),
        (&json!(1), &json!(["ops"]), &json!([]))
    );
    assert_eq!(world.sent(60 + 14 * 60), []);
    assert_eq!(world.sent(62 + 15 * 60), [to("bob-hook", NoticeEvent::Escalated, None)]);
}

/// With nobody behind any level, the ladder ends, and nothing spins.
#[test]
fn a_policy_that_reaches_nobody_at_all_writes_each_level_once() {
    let (before, _) = FILE.split_once("levels = [").unwrap();
    let levels = "{ after = \"0s\", notify = [\"oncall:nights\"] }, { after = \"10m\", notify = [\"user:cleo\"] }";
    let mut world = World::new(&format!("{before}levels = [ {levels} ]\n"));
    world.report(0, ProbeState::Up);
    world.report(30, ProbeState::Down);
    world.report(60, ProbeState::Down);
    for seconds in 61..90 {
        assert_eq!(world.sent(seconds), []);
    }
    assert_eq!(steps(&mut world).iter().map(|step| step["level"].clone()).collect::<Vec<_>>(), [json!(0), json!(1)]);
}

#[test]
fn applying_warns_of_levels_that_reach_nobody_whichever_side_of_them_is_written() {
    let mut world = World::new(FILE);
    let mut warnings = |file: &str| world.engine.apply(written(file), &options(), at(10)).unwrap().warnings;
    assert_eq!(warnings(FILE), [""; 0], "the nights have nobody by day, and somebody by night");
    let policy = "[[escalation]]\nid = \"default\"\ndefault = true\nlevels = [ { after = \"0s\", notify = [\"ops\"] }, { after = \"5m\", notify = [\"user:cleo\"] } ]\n";
    let level_2 = "level 2 of escalation default reaches nobody, so the next one follows at once: its users have no channel, write notify = [...] in a [[user]]";
    assert_eq!(warnings(policy), [level_2]);
    let cleo = "[[user]]\nid = \"cleo\"\nnotify = [\"ops\"]\n";
    assert_eq!(warnings(cleo), [""; 0]);
    assert_eq!(warnings(policy), [""; 0]);
    assert_eq!(warnings("[[user]]\nid = \"cleo\"\n"), [level_2], "the policy is not written, but it is Cleo's");
    assert_eq!(warnings("[[user]]\nid = \"ana\"\n"), [""; 0], "another level of another one");
}

/// What is taken back is in the history, gone from the outbox, and nothing waits behind it.
#[test]
fn a_withdrawn_page_is_written_down_and_leaves_the_outbox() {
    let file = FILE.replace("\"oncall:primary\", ", "\"oncall:primary\", \"ops\", ");
    let mut world = World::new(&file);
    world.report(0, ProbeState::Up);
    world.report(30, ProbeState::Down);
    world.report(60, ProbeState::Down);
    assert_eq!(world.sent(62), [to("ops", NoticeEvent::Opened, None)]);
    let waiting = |world: &mut World| -> Vec<(String, u32)> {
        let sql = "SELECT channel_id, step FROM outbox WHERE state NOT IN (3, 4) ORDER BY 1, 2";
        let mut rows = world.engine.store().connection().prepare(sql).unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert_eq!(waiting(&mut world), [("ana-hook".to_owned(), 1)], "Ana rests");
    world.report(90, ProbeState::Up);
    assert_eq!(waiting(&mut world), [("ops".to_owned(), 2)]);
    let last = steps(&mut world).pop().unwrap();
    assert_eq!((&last["event"], &last["channels"]), (&json!("resolved"), &json!(["ops"])));
    assert_eq!(last["withdrawn"], json!({ "ana-hook": 1 }));
    assert_eq!(world.sent(REST_ENDS + 60), [to("ops", NoticeEvent::Resolved, None)]);
}

/// The clock was set back between: what quiet hours held back is on its way when it is to be withdrawn. It is not taken from whoever sends it.
#[test]
fn a_page_on_its_way_is_not_withdrawn() {
    let file = FILE.replace("{ after = \"20m\", notify = [\"ana-hook\"] },", "");
    let mut world = World::new(&file);
    world.report(0, ProbeState::Up);
    world.report(30, ProbeState::Down);
    world.report(60, ProbeState::Down);
    let leased = world.engine.lease(at(REST_ENDS), 10).unwrap();
    let page = leased.into_iter().find(|one| one.key.channel == "ana-hook").unwrap();
    world.report(90, ProbeState::Up);
    let withdrawn = steps(&mut world).iter().filter_map(|step| step.get("withdrawn").cloned()).collect::<Vec<_>>();
    assert_eq!(withdrawn, [json!({ "ana-hook": 1 })]);
    let states = |world: &mut World| -> Vec<(u32, u8)> {
        let sql = "SELECT step, state FROM outbox WHERE channel_id = 'ana-hook' ORDER BY 1";
        let mut rows = world.engine.store().connection().prepare(sql).unwrap();
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(states(&mut world), [(1, 2)], "leased still");
    let attempt = Attempt { at: at(91), took_us: 1, outcome: Outcome::Delivered, note: String::new() };
    world.engine.mark(page, &attempt).unwrap();
    assert_eq!(states(&mut world), [(1, 3)]);
}

#[test]
fn a_critical_incident_wakes_who_rests() {
    let mut world = World::new(&FILE.replace("interval", &format!("{CHECK}interval")));
    world.report(30, ProbeState::Down);
    world.report(60, ProbeState::Down);
    world.report(90, ProbeState::Down);
    assert_eq!(world.sent(100), [to("ana-hook", NoticeEvent::Opened, Some("ana"))]);
}

fn on_call(world: &World, seconds: i64) -> Option<(String, By)> {
    let on_call = world.engine.shared().book().on_call("primary", at(seconds));
    on_call.map(|on_call| (on_call.user, on_call.by))
}

#[test]
fn who_stands_in_on_the_spot_is_on_call_until_it_ends_or_is_taken_back() {
    let mut world = World::new(FILE);
    let ana = Some(("ana".to_owned(), By::Layer(1)));
    let bob = Some(("bob".to_owned(), By::OnTheSpot(1)));
    let span = |from, to| Span::new(at(from), at(to));
    let given = world.engine.override_on_call("primary", "bob", span(-500, 1_000), "collector:cli", at(10)).unwrap();
    assert_eq!((given.number, given.span), (1, span(10, 1_000)), "the past stays as it was");
    assert_eq!(
        [on_call(&world, 9), on_call(&world, 10), on_call(&world, 999)],
        [ana.clone(), bob.clone(), bob.clone()]
    );
    assert_eq!(on_call(&world, 1_000), ana);
    world.engine.override_on_call("primary", "cleo", span(100, 200), "collector:cli", at(20)).unwrap();
    assert_eq!(on_call(&world, 150), Some(("cleo".to_owned(), By::OnTheSpot(2))));
    let ended = world.engine.end_override("primary", 1, "collector:cli", at(500)).unwrap();
    assert_eq!(ended.counts(), span(10, 500));
    assert_eq!([on_call(&world, 499), on_call(&world, 500)], [bob, ana]);
    let refused = [
        world.engine.end_override("primary", 1, "x", at(600)).unwrap_err(),
        world.engine.override_on_call("primary", "dan", span(700, 800), "x", at(600)).unwrap_err(),
        world.engine.override_on_call("second", "bob", span(700, 800), "x", at(600)).unwrap_err(),
        world.engine.override_on_call("primary", "bob", span(500, 600), "x", at(600)).unwrap_err(),
    ];
    let kind = |error: &AppError| match error {
        AppError::NotFound(_) => "not found",
        AppError::Invalid(_) => "invalid",
        AppError::Conflict(_) => "conflict",
        AppError::BadFiles(_) | AppError::Unavailable(_) | AppError::Forbidden(_) => "other",
    };
    assert_eq!(refused.iter().map(kind).collect::<Vec<_>>(), ["conflict", "not found", "not found", "invalid"]);
    let known: BTreeMap<u32, SpotOverride> = {
        let book = world.engine.shared().book();
        book.duty().overrides("primary").iter().map(|one| (one.number, one.clone())).collect()
    };
    assert_eq!(known.keys().copied().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_changed_schedule_leaves_the_past_as_it_was() {
    let mut world = World::new(FILE);
    let changed = FILE.replace("users = [\"ana\"]", "users = [\"bob\"]");
    world.engine.apply(written(&changed), &options(), at(1_000)).unwrap();
    let book = world.engine.shared().book();
    let shifts = book.shifts("primary", Span::new(at(-10), at(2_000)));
    let told: Vec<(UtcMicros, Option<String>)> =
        shifts.iter().map(|shift| (shift.span.from, shift.on_call.as_ref().map(|one| one.user.clone()))).collect();
    assert_eq!(
        told,
        [(at(-10), None), (at(0), Some("ana".to_owned())), (at(1_000), Some("bob".to_owned()))],
        "before it was applied nobody was"
    );
}

#[test]
fn what_refers_to_nobody_is_refused_when_it_is_applied_and_when_it_is_taken_away() {
    let mut world = World::new(FILE);
    let mut options = options();
    options.prune = true;
    let without = |begin: &str| {
        let (before, after) = FILE.split_once(begin).unwrap();
        let rest = after.split_once("\n[[").map_or(String::new(), |(_, rest)| format!("[[{rest}"));
        format!("{before}{rest}")
    };
    let mut faults = |file: &str| match world.engine.apply(written(file), &options, at(10)) {
        Err(AppError::BadFiles(faults)) => faults,
        other => panic!("{other:?}"),
    };
    let user = faults(&without("[[user]]\nid = \"ana\""));
    assert_eq!(user.len(), 1, "{user:?}");
    assert!(user[0].contains("schedule \"primary\": layers[0].users[0]: there is no user \"ana\""), "{user:?}");
    assert!(user[0].contains("write it as a [[user]]"), "{user:?}");
    let channel = faults(&without("[[channel]]\nid = \"bob-hook\""));
    assert!(channel[0].contains("user \"bob\": notify[0]: there is no channel \"bob-hook\""), "{channel:?}");
    let schedule = faults(&without("[[schedule]]\nid = \"nights\""));
    assert!(schedule[0].contains("levels[0].notify[1]: there is no schedule \"nights\""), "{schedule:?}");
    let misspelt = faults(&FILE.replace("user:cleo", "user:cleoo"));
    assert!(misspelt[0].contains("did you mean \"cleo\"?"), "{misspelt:?}");
}

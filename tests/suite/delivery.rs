//! Messages about incidents from a real collector to a provider that misbehaves, through `kill -9` at any instant and at named ones; and the pings that vouch for it.
//!
//! Incidents are of heartbeat checks: their jobs say when they are bad, and the collector judges them by itself each second.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rusqlite::Connection;
use sitepulse_collector::app::App;
use sitepulse_collector::outbox;
use sitepulse_collector::watchdog::{self, Watchdog};
use sitepulse_daemon::clock;
use sitepulse_model::time::UtcMicros;
use sitepulse_notify::Sender;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::provider::{Provider, Received, Reply};
use sitepulse_tests::wait;
use tokio::sync::watch as flag;

/// A job flips at most so often: more would be flapping, which is told once.
const FLIPS: usize = 4;

/// A collector with jobs to watch and channels that lead to a provider.
struct World {
    cluster: Cluster,
    tokens: Vec<String>,
    flips: usize,
}

impl World {
    fn start(jobs: usize, channels: &[(&str, String)]) -> Self {
        let cluster = Cluster::start();
        cluster.apply(&file(jobs, channels)).ok();
        let db = open(&cluster);
        let mut rows = db.prepare("SELECT token FROM heartbeat ORDER BY check_no").expect("the table is there");
        let tokens = rows.query_map([], |row| row.get(0)).expect("rows").map(|token| token.expect("a token")).collect();
        Self { cluster, tokens, flips: 0 }
    }

    /// The next job in turn fails, or is well again. Whether the collector took the ping.
    fn flip(&mut self) -> bool {
        let (job, bad) = (self.flips % self.tokens.len(), (self.flips / self.tokens.len()).is_multiple_of(2));
        assert!(self.flips / self.tokens.len() < FLIPS, "the jobs would flap");
        let taken = self.ping(job, bad);
        self.flips += usize::from(taken);
        taken
    }

    fn ping(&self, job: usize, bad: bool) -> bool {
        let path = format!("/ping/{}{}", self.tokens[job], if bad { "/fail" } else { "" });
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.cluster.http())?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            let host = self.cluster.http();
            write!(stream, "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// The state of every message.
    fn messages(&self) -> BTreeMap<String, u8> {
        let db = open(&self.cluster);
        let sql = "SELECT incident_id || '/' || step || '/' || channel_id, state FROM outbox";
        let mut rows = db.prepare(sql).expect("the table is there");
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    }

    /// Waits until every job is as it said last and nothing waits.
    fn settle(&self, seconds: u64) -> BTreeMap<String, u8> {
        let round = self.flips / self.tokens.len();
        wait::until("every job is seen as it said last, and nothing waits", seconds, || {
            let checks = self.cluster.ctl(&["checks", "--json"]).json();
            let mut wrong = 0;
            for (job, check) in checks.as_array().expect("a list").iter().enumerate() {
                // A job has flipped once more in this round, or not yet.
                let flips = round + usize::from(job < self.flips % self.tokens.len());
                let bad = flips % 2 == 1;
                wrong += usize::from((check["verdict"] == "down") != bad && flips > 0);
            }
            let messages = self.messages();
            let waiting = messages.values().filter(|state| ![3, 4].contains(*state)).count();
            if wrong == 0 && waiting == 0 { Ok(messages) } else { Err((wrong, waiting)) }
        })
    }
}

fn open(cluster: &Cluster) -> Connection {
    Connection::open(cluster.collector_dir().join("collector.db")).expect("the store opens")
}

fn file(jobs: usize, channels: &[(&str, String)]) -> String {
    let mut file: String = (0..jobs)
        .map(|n| {
            format!("[[check]]\nid = \"j{n:03}\"\nkind = \"heartbeat\"\nperiod = \"1d\"\ngrace = \"1d\"\ninterval = \"1s\"\n")
        })
        .collect();
    for (id, url) in channels {
        file.push_str(&format!("[[channel]]\nid = \"{id}\"\nkind = \"webhook\"\nurl = \"{url}\"\n"));
    }
    let notify: Vec<String> = channels.iter().map(|(id, _)| format!("{id:?}")).collect();
    let levels = format!("levels = [ {{ after = \"0s\", notify = [{}] }} ]\n", notify.join(", "));
    file.push_str(&format!("[[escalation]]\nid = \"default\"\ndefault = true\n{levels}"));
    file
}

/// Holds what the store says against what the provider has. `lives` are the instants at which the collector was started. How many messages came twice.
fn judge(messages: &BTreeMap<String, u8>, received: &[Received], lives: &[UtcMicros]) -> usize {
    let undelivered: Vec<_> = messages.iter().filter(|(_, state)| **state != 3).collect();
    assert!(undelivered.is_empty(), "not delivered: {undelivered:?}");
    let taken: Vec<&Received> = received.iter().filter(|one| one.reply.takes()).collect();
    let keys: BTreeSet<String> = taken.iter().map(|one| one.key.clone()).collect();
    assert_eq!(messages.keys().cloned().collect::<BTreeSet<_>>(), keys, "what was committed is what arrived");
    let mut twice: BTreeMap<(usize, &str), u32> = BTreeMap::new();
    let mut first: BTreeMap<(String, String), Vec<u32>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut events: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for one in taken {
        assert_eq!(one.body["key"], one.key.as_str(), "the body tells the same key");
        let parts: Vec<&str> = one.key.split('/').collect();
        let (incident, step, channel) = (parts[0].to_owned(), parts[1].parse::<u32>().expect("a step"), parts[2]);
        assert_eq!(one.path, channel);
        if seen.insert(&one.key) {
            let of = (incident, channel.to_owned());
            let steps = first.entry(of.clone()).or_default();
            assert!(steps.last().is_none_or(|last| *last < step), "{} came too late: {steps:?}", one.key);
            steps.push(step);
            events.entry(of).or_default().push(one.body["event"].as_str().expect("an event"));
        } else {
            // What a life sent may be read in the next one, on a busy machine: where the second it was sent in says that it may be so, it was.
            let life = lives.iter().filter(|start| **start <= one.at).count();
            let may_be_older = one.sent_s * 1_000_000 < lives[life - 1].0;
            let older = (life - 1, channel);
            let of = if may_be_older && !twice.contains_key(&older) { older } else { (life, channel) };
            *twice.entry(of).or_default() += 1;
        }
    }
    for (of, events) in &events {
        assert_eq!(events[0], "opened", "{of:?}: {events:?}");
    }
    let worst: Vec<_> = twice.iter().filter(|(_, count)| **count > 1).collect();
    assert!(worst.is_empty(), "more than one duplicate of a channel in a life: {worst:?}");
    twice.values().sum::<u32>() as usize
}

/// A small fixed generator: the instants of the kills are spread, and the same in each run.
fn pause(n: u64) -> Duration {
    Duration::from_millis((n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 900)
}

/// Kills where nothing else is said.
const KILLS: usize = 200;
/// Kills of one store. A store that has met more of them shows nothing more, and costs more at each start.
const KILLS_OF_A_STORE: usize = 25;
/// Flips in a life.
const FLIPS_OF_A_LIFE: usize = 2;

/// Many stores, each killed a few times and judged for itself: so a kill costs the same however many there are, and what is wrong is told as soon as its store is.
#[test]
fn killing_the_collector_again_and_again_loses_no_message() {
    let kills: usize = std::env::var("SITEPULSE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let began = clock::monotonic();
    let (mut sent, mut twice) = (0, 0);
    for first in (0..kills).step_by(KILLS_OF_A_STORE) {
        let (messages, doubles) = kill_one_store(first, KILLS_OF_A_STORE.min(kills - first));
        (sent, twice) = (sent + messages, twice + doubles);
        let took_s = clock::monotonic().since(began).as_secs();
        println!("{} kills, {sent} messages, {twice} came twice, {took_s} s", (first + KILLS_OF_A_STORE).min(kills));
    }
}

/// How many messages there were, and how many of them came twice.
fn kill_one_store(first: usize, kills: usize) -> (usize, usize) {
    let provider = Provider::start();
    let channels = [("a", provider.url("a")), ("b", provider.url("b"))];
    let jobs = (FLIPS_OF_A_LIFE * kills).div_ceil(FLIPS) + 1;
    let mut world = World::start(jobs, &channels);
    let mut lives = vec![UtcMicros(0)];
    for n in first..first + kills {
        // Some lives have a provider that is slow, or hangs up.
        if n % 5 == 0 {
            provider.script(&[
                Reply::TakeAfter(Duration::from_millis(150)),
                Reply::Broken,
                Reply::TakeAfter(pause(n as u64)),
            ]);
        }
        for _ in 0..FLIPS_OF_A_LIFE {
            assert!(world.flip(), "the collector takes pings");
        }
        // Not a wait for a state: the instant of the blow is the input of this test.
        std::thread::sleep(pause(n as u64));
        world.cluster.kill_collector();
        lives.push(clock::now());
        world.cluster.start_collector();
    }
    let messages = world.settle(180);
    world.cluster.stop_collector();
    let twice = judge(&messages, &provider.received(), &lives);
    assert!(messages.len() >= kills, "only {} messages", messages.len());
    (messages.len(), twice)
}

#[test]
fn a_kill_at_any_named_place_loses_no_message_and_doubles_one_at_most() {
    let provider = Provider::start();
    let channels = [("a", provider.url("a")), ("b", provider.url("b"))];
    let mut world = World::start(24, &channels);
    let mut lives = vec![UtcMicros(0)];
    for place in ["insert", "committed", "turn", "turned", "send", "sent"] {
        // Both flips may be committed at once.
        for count in 1..=if place == "committed" { 1 } else { 3 } {
            // With nothing on its way, it does not pass the place before it is seen to be up.
            world.settle(60);
            world.cluster.stop_collector();
            world.cluster.set_env("SITEPULSE_FAILPOINT", &format!("outbox.{place}:{count}"));
            lives.push(clock::now());
            // Two messages each. It may die before it has answered a ping, and where the watchdog has the dispatcher proven, before it is up.
            let flips = world.flips + 2;
            if world.cluster.starts_collector() {
                for _ in 0..2 {
                    world.flip();
                }
                let status = world.cluster.collector.as_mut().expect("it was started").wait_for_end(60);
                assert_eq!(
                    std::os::unix::process::ExitStatusExt::signal(&status),
                    Some(9),
                    "{place}:{count}: {status}"
                );
                world.cluster.collector = None;
            }
            world.cluster.clear_env();
            lives.push(clock::now());
            world.cluster.start_collector();
            while world.flips < flips {
                assert!(world.flip(), "the collector takes pings");
            }
        }
    }
    let messages = world.settle(120);
    world.cluster.stop_collector();
    let twice = judge(&messages, &provider.received(), &lives);
    println!("{} messages, {twice} came twice", messages.len());
    assert!(twice > 0, "a kill between sending and marking must show");
}

#[test]
fn whatever_the_provider_does_each_message_arrives_with_one_key_and_in_order() {
    let provider = Provider::start();
    let replies = [
        Reply::TooMany,
        Reply::Broken,
        Reply::ResetAtOnce,
        Reply::TakeAndReset,
        Reply::TakeAfter(Duration::from_secs(2)),
        Reply::TakeInSilence,
    ];
    provider.script(&replies);
    let mut world = World::start(replies.len(), &[("a", provider.url("a"))]);
    for _ in 0..2 * replies.len() {
        assert!(world.flip());
        if world.flips == replies.len() {
            // Each is open before it ends; the first attempts of all fail in their ways.
            wait::until("every job's incident is committed", 60, || {
                let count = world.messages().len();
                if count >= replies.len() { Ok(()) } else { Err(count) }
            });
        }
    }
    let messages = world.settle(120);
    let received = provider.received();
    assert_eq!((provider.left(), provider.resets()), (0, 1), "every reply was given");
    world.cluster.stop_collector();
    assert!(messages.values().all(|state| *state == 3), "{messages:?}");
    // First arrivals in order; the same key and body throughout.
    let mut bodies: BTreeMap<&str, &serde_json::Value> = BTreeMap::new();
    let mut latest: BTreeMap<&str, u32> = BTreeMap::new();
    for one in &received {
        assert_eq!(*bodies.entry(&one.key).or_insert(&one.body), &one.body, "{}", one.key);
        let (incident, rest) = one.key.split_once('/').expect("INCIDENT/STEP/CHANNEL");
        let step: u32 = rest.split('/').next().and_then(|step| step.parse().ok()).expect("a step");
        let latest = latest.entry(incident).or_default();
        assert!(*latest <= step, "{} came after step {latest}", one.key);
        *latest = step;
    }
    assert_eq!(
        bodies.keys().map(|key| (*key).to_owned()).collect::<Vec<_>>(),
        messages.keys().cloned().collect::<Vec<_>>()
    );
}

/// A provider that is being deployed says 401 and 404 for a while: no page may be lost by it, and somebody must hear of it at once.
#[test]
fn a_provider_that_turns_everybody_away_for_a_while_gets_each_message_afterwards() {
    let provider = Provider::start();
    provider.script(&[Reply::NotFound, Reply::Unauthorized]);
    let mut world = World::start(1, &[("a", provider.url("a"))]);
    assert!(world.flip());
    wait::until("the incident is committed", 60, || {
        let count = world.messages().len();
        if count > 0 { Ok(()) } else { Err(count) }
    });
    let messages = world.settle(60);
    assert!(messages.len() == 1 && messages.values().all(|state| *state == 3), "{messages:?}");
    let received = provider.received();
    assert_eq!(
        received.iter().map(|one| one.reply).collect::<Vec<_>>(),
        [Reply::NotFound, Reply::Unauthorized, Reply::Take]
    );
    assert!(received.iter().all(|one| one.key == received[0].key), "{received:?}");
    let log = world.cluster.collector.as_ref().expect("it runs").log();
    assert!(log.contains("TURNED AWAY by channel a: HTTP 404"), "{log}");
    let metrics = metrics(&world.cluster);
    for line in ["sitepulse_outbox_denied_total{channel=\"a\"} 2", "sitepulse_outbox_dead_total{channel=\"a\"} 0"] {
        assert!(metrics.lines().any(|told| told == line), "no {line:?} in {metrics}");
    }
}

#[test]
fn what_a_provider_refuses_is_a_dead_letter_that_is_sent_when_the_channel_is_mended() {
    let (good, strict) = (Provider::start(), Provider::start());
    strict.script(&[Reply::Unprocessable]);
    let mut world = World::start(1, &[("a", good.url("a")), ("b", strict.url("b"))]);
    assert!(world.flip());
    wait::until("b is a dead letter and a has it", 60, || {
        let states: Vec<u8> = world.messages().into_values().collect();
        if states == [3, 4] { Ok(()) } else { Err(states) }
    });
    assert!(world.cluster.collector.as_ref().expect("it runs").log().contains("NOT DELIVERED"));
    let metrics = metrics(&world.cluster);
    for line in [
        "sitepulse_outbox_dead_total{channel=\"b\"} 1",
        "sitepulse_outbox_delivered_total{channel=\"a\"} 1",
        "sitepulse_outbox_waiting{channel=\"b\"} 0",
        "sitepulse_ready 1",
    ] {
        assert!(metrics.lines().any(|told| told == line), "no {line:?} in {metrics}");
    }
    world.cluster.apply(&file(1, &[("a", good.url("a")), ("b", strict.url("b?token=right"))])).ok();
    let messages = world.settle(60);
    assert!(messages.values().all(|state| *state == 3), "{messages:?}");
    let keys: Vec<String> = strict.received().into_iter().map(|one| one.key).collect();
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
}

fn metrics(cluster: &Cluster) -> String {
    let mut stream = TcpStream::connect(cluster.http()).expect("the console listens");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", cluster.http()).expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

#[tokio::test]
async fn pings_stop_when_the_store_fails_or_the_dispatcher_does() {
    let provider = Provider::start();
    let dir = tempfile::tempdir().expect("a folder");
    let app = App::open(dir.path(), clock::now()).expect("the data directory opens");
    let (stop, stopping) = flag::channel(false);
    let dog = Watchdog::new(&provider.url("ping"), Some("1s")).expect("an address");
    let pings = watchdog::run(app.clone(), Sender::default(), dog, stopping.clone());
    let dispatcher = outbox::task::run(app.clone(), Sender::default(), stopping);
    let pinged = || provider.received().len();
    let more = async |than: usize| {
        while pinged() <= than {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let test = async {
        // The dispatcher does not turn yet: the watchdog rings for a proof, and says nothing.
        let mut bell = app.shared().outbox.subscribe();
        bell.changed().await.expect("the collector runs");
        assert_eq!(pinged(), 0, "no ping before the dispatcher turns");
        let test = async {
            more(1).await;
            // Somebody else holds a lease: nothing can be written.
            let own = |fenced: bool| {
                app.writer().run(move |engine| {
                    let sql = if fenced {
                        "UPDATE lease SET owner = owner + 1"
                    } else {
                        "UPDATE lease SET owner = owner - 1"
                    };
                    engine.store().connection().execute(sql, []).expect("a lease");
                })
            };
            own(true).await.expect("the writer runs");
            let (before, failed) = (pinged(), app.metrics().write_failures);
            while app.metrics().write_failures < failed + 8 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // One may have been on its way.
            assert!(pinged() <= before + 1, "pings go out while nothing can be written");
            own(false).await.expect("the writer runs");
            more(before + 1).await;
        };
        tokio::select! {
            () = test => {}
            () = dispatcher => panic!("the dispatcher ended"),
        }
    };
    tokio::select! {
        () = test => {}
        () = pings => panic!("the watchdog ended"),
    }
    drop(stop);
    app.close().await;
}

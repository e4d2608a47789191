//! Messages about incidents from a real collector to a provider that misbehaves, through `kill -9` at any instant and at named ones; and the pings that vouch for it.
//!
//! Incidents are of heartbeat checks: their jobs say when they are bad, and the collector judges them by itself each second.

mod judge;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use sitepulse_collector::app::App;
use sitepulse_collector::outbox;
use sitepulse_collector::watchdog::{self, Watchdog};
use sitepulse_daemon::clock;
use sitepulse_notify::Sender;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::provider::{Provider, Reply};
use sitepulse_tests::wait;
use tokio::sync::watch as flag;

use judge::{End, Sum, judge};

/// A job flips at most so often: more would be flapping, which is told once.
const FLIPS: usize = 4;

/// A collector with jobs to watch and channels that lead to a provider.
struct World {
    cluster: Cluster,
    /// By job: its check's number.
    checks: Vec<i64>,
    tokens: Vec<String>,
    flips: usize,
    /// How each life of the collector ended.
    ends: Vec<End>,
}

impl World {
    fn start(jobs: usize, channels: &[(&str, String)]) -> Self {
        let cluster = Cluster::start();
        cluster.apply(&file(jobs, channels)).ok();
        let db = open(&cluster);
        let mut rows =
            db.prepare("SELECT check_no, token FROM heartbeat ORDER BY check_no").expect("the table is there");
        let jobs = rows.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))).expect("rows");
        let (checks, tokens): (Vec<i64>, Vec<String>) = jobs.map(|job| job.expect("a job")).unzip();
        Self { cluster, checks, tokens, flips: 0, ends: Vec::new() }
    }

    /// The next job in turn fails, or is well again. An error where the collector did not take the ping: the next flip is the same one.
    fn flip(&mut self) -> Result<(), String> {
        let (job, bad) = (self.flips % self.tokens.len(), (self.flips / self.tokens.len()).is_multiple_of(2));
        assert!(self.flips / self.tokens.len() < FLIPS, "the jobs would flap");
        self.ping(job, bad)?;
        self.flips += 1;
        Ok(())
    }

    fn flips(&mut self) {
        if let Err(why) = self.flip() {
            let log = self.cluster.collector.as_ref().map(sitepulse_tests::process::Daemon::log).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            panic!("the collector does not take a ping: {why}\n{last:#?}");
        }
    }

    /// The collector has died: what it had sent is told from what the next one sends.
    fn over(&mut self, provider: &Provider, end: End) {
        assert!(self.cluster.collector.is_none(), "it is dead");
        provider.fence();
        self.ends.push(end);
    }

    /// A life that ends at a named place; on its way up already where what was left to it passes there.
    fn dies_at(&mut self, provider: &Provider, place: &str) {
        self.cluster.set_env("SITEPULSE_FAILPOINT", place);
        if self.cluster.starts_collector() {
            // It may die before it has answered.
            for _ in 0..FLIPS_OF_A_LIFE {
                self.flip().ok();
            }
            let status = self.cluster.collector.as_mut().expect("it was started").wait_for_end(60);
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{place}: {status}");
            self.cluster.collector = None;
        }
        self.over(provider, End::Killed);
        self.cluster.clear_env();
    }

    /// A life that ends after a while, wherever it is then.
    fn dies_by_a_blow(&mut self, provider: &Provider, after: Duration) {
        self.cluster.start_collector();
        (0..FLIPS_OF_A_LIFE).for_each(|_| self.flips());
        // Not a wait for a state: the instant of the blow is the input of this test.
        std::thread::sleep(after);
        self.cluster.kill_collector();
        self.over(provider, End::Killed);
    }

    /// Ends the collector in peace, and judges.
    fn end(&mut self, provider: &Provider, channels: &[(&str, String)]) -> Sum {
        self.cluster.stop_collector();
        let channels: Vec<&str> = channels.iter().map(|(id, _)| *id).collect();
        judge(&self.cluster.collector_dir(), &provider.received(), &self.ends, &channels)
    }

    fn ping(&self, job: usize, bad: bool) -> Result<(), String> {
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
        match ask() {
            Ok(answer) if answer.starts_with("HTTP/1.1 200") => Ok(()),
            Ok(answer) => Err(answer),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The state of every message.
    fn messages(&self) -> BTreeMap<String, u8> {
        let db = open(&self.cluster);
        let sql = "SELECT incident_id || '/' || step || '/' || channel_id, state FROM outbox";
        let mut rows = db.prepare(sql).expect("the table is there");
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    }

    /// Whether a job said last that it failed; `None`: it said nothing yet.
    fn said(&self, job: usize) -> Option<bool> {
        let round = self.flips / self.tokens.len();
        // A job has flipped once more in this round, or not yet.
        let flips = round + usize::from(job < self.flips % self.tokens.len());
        (flips > 0).then_some(flips % 2 == 1)
    }

    /// The jobs whose incidents are not as they said last: one that failed has one that is open and was told of, one that is well has none.
    fn unlike(&self) -> Vec<usize> {
        let db = open(&self.cluster);
        let sql = "SELECT check_no, state, json_extract(life, '$.announced') FROM incident WHERE check_no IS NOT NULL AND state != 'resolved'";
        let mut rows = db.prepare(sql).expect("the table is there");
        let rows = rows.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).expect("rows");
        let standing: BTreeMap<i64, (String, bool)> = rows.map(|row| row.expect("a row")).collect();
        let unlike = |job: &usize| {
            let incident = standing.get(&self.checks[*job]);
            if self.said(*job) == Some(true) {
                !incident.is_some_and(|(state, told)| state == "open" && *told)
            } else {
                incident.is_some()
            }
        };
        (0..self.checks.len()).filter(unlike).collect()
    }

    /// Waits until every job is as it said last, by its verdict and by its incidents, and no message waits.
    fn settle(&self, seconds: u64) -> BTreeMap<String, u8> {
        wait::until("every job is seen as it said last, and nothing waits", seconds, || {
            let unlike = self.unlike();
            let messages = self.messages();
            let waiting: Vec<&String> =
                messages.iter().filter(|(_, state)| ![3, 4].contains(*state)).map(|(key, _)| key).collect();
            if !unlike.is_empty() || !waiting.is_empty() {
                return Err(format!("jobs {unlike:?}, messages {waiting:?}"));
            }
            // Last, for it costs most: what is not judged yet may still become an incident.
            let checks = self.cluster.ctl(&["checks", "--json"]).json();
            let checks = checks.as_array().expect("a list").iter().enumerate();
            let wrong =
                checks.filter(|(job, check)| self.said(*job).is_some_and(|bad| (check["verdict"] == "down") != bad));
            let wrong: Vec<usize> = wrong.map(|(job, _)| job).collect();
            if wrong.is_empty() && self.unlike().is_empty() {
                Ok(messages)
            } else {
                Err(format!("verdicts of jobs {wrong:?}"))
            }
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

/// A small fixed generator: the instants of the kills are spread, and the same in each run.
fn pause(n: usize) -> Duration {
    Duration::from_millis(((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 900)
}

/// Where a collector dies: before and after the commit of what is to be told, as the dispatcher takes its turn, before and after it sends (what is marked is marked in a turn).
const PLACES: [&str; 6] = ["insert", "committed", "turn", "turned", "send", "sent"];
/// At which passing of it, at most: a life has two incidents at least to tell of, and two channels.
const PASSINGS: usize = 3;

/// Kills at these places where nothing else is said.
const KILLS: usize = 200;
/// After so many of them comes one at any instant, which no account of kills has.
const KILLS_BETWEEN_BLOWS: usize = 4;
/// Kills of one store. A store that has met more of them shows nothing more, and costs more at each start.
const KILLS_OF_A_STORE: usize = 25;
/// Flips in a life.
const FLIPS_OF_A_LIFE: usize = 2;

/// Stores that are killed side by side: most of a life is waiting for the blow.
const LANES: usize = 2;
/// From so many kills on some must have hit between sending and marking, or nothing is shown.
const KILLS_THAT_DOUBLE: usize = 100;

/// Many stores, each killed a few times and judged for itself: so a kill costs the same however many there are, and what is wrong is told as soon as its store is.
#[test]
fn killing_the_collector_around_commit_send_and_mark_loses_no_message_and_doubles_one_at_most() {
    let kills: usize = std::env::var("SITEPULSE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let began = clock::monotonic();
    let (next, done) = (AtomicUsize::new(0), Mutex::new((0, Sum::default())));
    let lane = || {
        let _others = EndsOthers(&next, kills);
        loop {
            let first = next.fetch_add(KILLS_OF_A_STORE, Ordering::SeqCst);
            if first >= kills {
                return;
            }
            let count = KILLS_OF_A_STORE.min(kills - first);
            let one = kill_one_store(first, count);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            let (killed, sum) = &mut *done;
            *killed += count;
            sum.messages += one.messages;
            sum.twice += one.twice;
            sum.openings += one.openings;
            sum.untold += one.untold;
            let took_s = clock::monotonic().since(began).as_secs_f64();
            println!("{killed} of {kills} kills, {took_s:.0} s ({:.2} s a kill): {sum:?}", took_s / *killed as f64);
        }
    };
    std::thread::scope(|scope| (0..LANES).for_each(|_| drop(scope.spawn(lane))));
    let (killed, sum) = *done.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(killed, kills);
    assert!(sum.messages >= kills, "too little was told to show anything: {sum:?}");
    assert!(kills < KILLS_THAT_DOUBLE || sum.twice > 0, "no kill hit between sending and marking: {sum:?}");
}

/// One store that is found wrong is enough: the others begin no more.
struct EndsOthers<'a>(&'a AtomicUsize, usize);

impl Drop for EndsOthers<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(self.1, Ordering::SeqCst);
        }
    }
}

fn kill_one_store(first: usize, kills: usize) -> Sum {
    let provider = Provider::start();
    let channels = [("a", provider.url("a")), ("b", provider.url("b"))];
    let lives = kills + kills / KILLS_BETWEEN_BLOWS;
    let jobs = (FLIPS_OF_A_LIFE * lives).div_ceil(FLIPS) + 1;
    let mut world = World::start(jobs, &channels);
    world.cluster.stop_collector();
    world.over(&provider, End::InPeace);
    for n in first..first + kills {
        let place = PLACES[n % PLACES.len()];
        // Both incidents may be committed at once.
        let passing = if place == "committed" { 1 } else { 1 + n / PLACES.len() % PASSINGS };
        world.dies_at(&provider, &format!("outbox.{place}:{passing}"));
        if n % KILLS_BETWEEN_BLOWS == KILLS_BETWEEN_BLOWS - 1 {
            // The provider is slow, or hangs up.
            provider.script(&[Reply::TakeAfter(Duration::from_millis(150)), Reply::Broken, Reply::TakeAfter(pause(n))]);
            world.dies_by_a_blow(&provider, pause(n));
        }
    }
    world.cluster.start_collector();
    // What died before it answered may have taken the last ping all the same: the job says it once more.
    world.flips();
    world.settle(180);
    world.end(&provider, &channels)
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
        world.flips();
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
    world.flips();
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
    world.flips();
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

/// `test-channel` and the log of deliveries, by the real programs: what the provider said is what the command says, by its exit code too.
#[test]
fn a_channel_is_tried_out_by_a_command_that_tells_what_the_provider_said() {
    let provider = Provider::start();
    let world = World::start(1, &[("a", provider.url("a"))]);
    let test = |args: &[&str]| world.cluster.ctl(&[&["test-channel"], args].concat());

    let well = test(&["a"]);
    assert_eq!((well.code, well.stdout.starts_with("Delivered by channel a in ")), (0, true), "{well:?}");
    provider.script(&[Reply::Broken]);
    let later = test(&["a"]);
    assert_eq!(later.code, 1, "{later:?}");
    assert!(later.stderr.contains("channel a did not deliver: HTTP 500"), "{later:?}");
    assert!(later.stderr.contains("a page would be tried again"), "{later:?}");
    provider.script(&[Reply::NotFound]);
    let away = test(&["a"]);
    assert_eq!(away.code, 1, "{away:?}");
    assert!(away.stderr.contains("turned away: HTTP 404") && away.stderr.contains("tried again"), "{away:?}");
    provider.script(&[Reply::Unprocessable]);
    let never = test(&["a", "--json"]);
    assert_eq!(never.code, 1, "{never:?}");
    let told: serde_json::Value = serde_json::from_str(&never.stdout).expect("JSON beside the failure");
    assert_eq!((&told["channel"], &told["outcome"]), (&"a".into(), &"gave_up".into()), "{told}");
    assert!(never.stderr.contains("a page would be given up"), "{never:?}");
    let unknown = test(&["b"]);
    assert_eq!(unknown.code, 8, "{unknown:?}");
    assert!(unknown.stderr.contains("`sitepulse-collector channels` lists what there is"), "{unknown:?}");

    // Once each, never again by itself, and as a test.
    let received = provider.received();
    let replies: Vec<Reply> = received.iter().map(|one| one.reply).collect();
    assert_eq!(replies, [Reply::Take, Reply::Broken, Reply::NotFound, Reply::Unprocessable]);
    assert!(received.iter().all(|one| one.body["event"] == "test"), "{received:?}");
    let logged = world.cluster.ctl(&["deliveries", "--json"]).json();
    let outcomes: Vec<&str> =
        logged.as_array().expect("a list").iter().filter_map(|one| one["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["gave_up", "again", "again", "delivered"], "newest first: {logged}");
    assert!(world.messages().is_empty(), "a test is no message that waits");
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
        () = tokio::time::sleep(Duration::from_secs(120)) => panic!("not within two minutes; {} pings", pinged()),
    }
    drop(stop);
    app.close().await;
}

//! `kill -9` of a collector that seals, merges, lets go or migrates; and a backup of one that seals. Each record is there once, before and after.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use sitepulse_collector::app::App;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_daemon::clock;
use sitepulse_model::id::{AgentName, AgentNo, CheckId, CheckNo, Incarnation, Revision, Seq};
use sitepulse_model::record::{Facts, Phases, ProbeResult, ProbeState, Provenance, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::time::UtcMicros;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::oracle;
use sitepulse_tests::site::Site;
use sitepulse_tests::wait;
use sitepulse_wire::message::{Batch, Entry};

const INTERVAL_US: i64 = 60_000_000;
const DAY_US: i64 = 86_400_000_000;
/// Seals at once, and again and again.
const HASTY: &str = "[sealing]\nafter = \"300ms\"\nrecords = 2000\n";

fn open(dir: &Path) -> Connection {
    Connection::open(dir.join("collector.db")).expect("the store opens")
}

/// Blows at any instant. A job during which the collector dies again and again is held back for longer each time.
const BLOWS: u64 = 2;

/// What is stored: every key with its slot.
type Keys = BTreeSet<(u8, u32, i64, i64, i64)>;

/// Every record, none twice.
fn keys(dir: &Path) -> Keys {
    let db = open(dir);
    let verdict: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("the store is readable");
    assert_eq!(verdict, "ok");
    let rows = oracle::rows(&db);
    let keys: Keys =
        rows.iter().map(|row| (row.bucket, row.agent, row.incarnation, row.seq, row.record.scheduled().0)).collect();
    assert_eq!(keys.len(), rows.len(), "a record is stored twice");
    keys
}

/// A collector that is not running, with an agent, some checks, and `days` of a record a minute of each, none sealed.
fn filled(checks: u32, days: i64) -> Cluster {
    filled_by(checks, days, None)
}

/// [`filled`]; with `sealed_by`, each so many records of a check are sealed when they are there, and nothing is merged.
fn filled_by(checks: u32, days: i64, sealed_by: Option<usize>) -> Cluster {
    let mut cluster = Cluster::start();
    let file: String = (0..checks)
        .map(|n| format!("[[check]]\nid = \"c{n}\"\nkind = \"tcp\"\naddress = \"127.0.0.1:1\"\ninterval = \"1m\"\n"))
        .collect();
    cluster.apply(&file).ok();
    cluster.join("eu-west-1", "eu-west");
    cluster.stop_collector();
    // It was enrolled long ago.
    let db = open(&cluster.collector_dir());
    db.execute("UPDATE agent SET enrolled_at_us = enrolled_at_us - ?1", [(days + 2) * DAY_US]).expect("an agent");
    db.execute("UPDATE check_revision SET effective_from_us = effective_from_us - ?1", [(days + 1) * DAY_US])
        .expect("the checks");
    drop(db);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let now = clock::now();
        let app = App::open(&cluster.collector_dir(), now).expect("the data directory opens");
        let name = AgentName::parse("eu-west-1").expect("a name");
        let agent = app.book().agent_by_name(&name).expect("the agent is enrolled").number;
        for n in 0..checks {
            let id = CheckId::parse(&format!("c{n}")).expect("an id");
            let number = app.book().check_by_id(&id).expect("the check is there").number;
            let job = job(agent, number, &id, &name, now.plus_us(-days * DAY_US), days * DAY_US / INTERVAL_US);
            for part in parts(job, sealed_by) {
                let outcome = app.writer().run(move |engine| engine.ingest(vec![part])).await.expect("the writer runs");
                assert_eq!(outcome.expect("the store writes")[0].set_aside, 0);
                if sealed_by.is_some() {
                    let outcome = app.writer().run(sitepulse_collector::engine::Engine::seal_now).await;
                    outcome.expect("the writer runs").expect("the store writes");
                }
            }
        }
        app.close().await;
    });
    cluster
}

/// A job in batches of so many records.
fn parts(job: IngestJob, of: Option<usize>) -> Vec<IngestJob> {
    let IngestJob { agent, received_at, batch } = job;
    let Batch { incarnation, provenances, entries, .. } = batch;
    let part = |(n, entries): (usize, &[Entry])| {
        let (number, provenances) = (n as u64 + 1, provenances.clone());
        let batch = Batch { number, incarnation, provenances, entries: entries.to_vec() };
        IngestJob { agent, received_at, batch }
    };
    entries.chunks(of.unwrap_or(usize::MAX)).enumerate().map(part).collect()
}

fn job(agent: AgentNo, check: CheckNo, id: &CheckId, name: &AgentName, from: UtcMicros, count: i64) -> IngestJob {
    let first = Lattice::new(id, name, INTERVAL_US.unsigned_abs()).at_or_after(from);
    let entry = |n: i64| {
        let scheduled = first.plus_us(n * INTERVAL_US);
        let result = ProbeResult {
            check,
            revision: Revision(1),
            scheduled,
            started: scheduled.plus_us(700),
            phases: Phases { total: Some(40_000 + (n as u64 * 2_654_435_761) % 9_000), ..Phases::default() },
            state: ProbeState::Up,
            cause: None,
            failed_phase: None,
            detail: String::new(),
            address: None,
            facts: Facts::default(),
        };
        // Numbered apart for each check, as several of them may share a bucket.
        let seq = Seq(u64::from(check.0) * 1_000_000 + n as u64);
        Entry { bucket: id.bucket(), seq, provenance: 0, record: Record::Result(result) }
    };
    let provenances = vec![Provenance { build: "0.0.0".into(), clock_offset_us: Some(0), clock_uncertainty_us: 0 }];
    let batch = Batch { number: 1, incarnation: Incarnation(7), provenances, entries: (0..count).map(entry).collect() };
    IngestJob { agent, received_at: clock::now(), batch }
}

/// A small fixed generator: the instants of the kills are spread, and the same in each run.
fn pause(n: u64, most_ms: u64) -> Duration {
    Duration::from_millis((n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % most_ms)
}

fn told(cluster: &Cluster) -> String {
    let agents = cluster.ctl(&["agents", "--json"]).json();
    let sla = cluster.ctl(&["sla", "--from", "-2d", "--to", "-1h", "--json"]).json();
    let figures = sla.as_array().expect("a list").iter().map(|one| one["availability"].to_string());
    format!("{} {}", agents[0]["conservation"], figures.collect::<String>())
}

#[test]
fn killing_a_collector_that_seals_loses_and_doubles_no_record() {
    let mut cluster = filled(12, 2);
    let dir = cluster.collector_dir();
    let before = keys(&dir);
    let figures = told(&cluster);
    assert_eq!(oracle::sealed(&open(&dir)), 0);
    cluster.configure(HASTY);
    let mut seen = BTreeSet::from([0]);
    let all = before.len() as i64;
    // Before a bucket's transaction is committed, and right after: the second starts from what the first left.
    for (place, least, most) in [("seal.turn:1", 0, 0), ("seal.turned:1", 1, all - 1)] {
        cluster.collector_dies_at(place);
        assert_eq!(keys(&dir), before, "{place}");
        let sealed = oracle::sealed(&open(&dir));
        assert!((least..=most).contains(&sealed), "{place}: {sealed} of {all}");
        seen.insert(sealed);
    }
    // And wherever it falls: each of these blows but the first few falls a little after some bucket's transaction.
    for n in 0..BLOWS {
        cluster.start_collector();
        let least = seen.last().copied().filter(|_| n >= 2).unwrap_or(-1);
        let db = open(&dir);
        wait::until("more is sealed", 60, || if oracle::sealed(&db).max(0) > least { Ok(()) } else { Err(least) });
        // Not a wait for a state: the instant of the blow is the input of this test.
        std::thread::sleep(pause(n, 12));
        cluster.kill_collector();
        drop(db);
        seen.insert(oracle::sealed(&open(&dir)));
        assert_eq!(keys(&dir), before);
        if seen.last() == Some(&all) {
            break;
        }
    }
    cluster.start_collector();
    wait::until("everything is sealed and its rows are gone", 120, || {
        let db = open(&dir);
        let rows: i64 = db.query_row("SELECT count(*) FROM result", [], |row| row.get(0)).expect("a count");
        if (rows, oracle::sealed(&db)) == (0, before.len() as i64) { Ok(()) } else { Err(rows) }
    });
    cluster.stop_collector();
    assert_eq!(keys(&dir), before);
    assert_eq!(told(&cluster), figures);
    println!("sealed after each kill: {seen:?}");
}

#[test]
fn killing_a_collector_that_lets_go_keeps_the_counts_and_the_timeline() {
    // One transaction lets 64 chunks go: so many checks have more that are too old.
    let mut cluster = filled(36, 5);
    let dir = cluster.collector_dir();
    let before = keys(&dir);
    cluster.configure(HASTY);
    cluster.start_collector();
    let sealed = |dir: &Path| oracle::sealed(&open(dir));
    wait::until("everything is sealed", 60, || {
        if sealed(&dir) == before.len() as i64 { Ok(()) } else { Err(sealed(&dir)) }
    });
    cluster.stop_collector();
    let figures = told(&cluster);
    cluster.configure(&format!("{HASTY}[retention]\nraw = \"2d\"\n"));
    let limit = |days: i64| clock::now().plus_us(-days * DAY_US).0;
    // Each blow falls right after some transaction of letting go: before it, the book has a whole chunk less than at the last one.
    let begun = limit(2);
    let old = |dir: &Path| -> i64 {
        let sql = "SELECT count(*) FROM chunk WHERE last_us < ?1";
        open(dir).query_row(sql, [begun], |row| row.get(0)).expect("a count")
    };
    let whole_chunks_went = || {
        let left = keys(&dir);
        assert!(left.is_subset(&before));
        assert!(before.difference(&left).all(|key| key.4 < limit(2)));
    };
    let first = old(&dir);
    let mut seen = Vec::new();
    // In a transaction of letting go, and right after one.
    for (place, less) in [("retention.turn:1", 0), ("retention.turned:1", 64)] {
        cluster.collector_dies_at(place);
        whole_chunks_went();
        assert_eq!(old(&dir), first - less, "{place}");
    }
    // And wherever it falls, a little after some transaction.
    for n in 0..BLOWS {
        let were = old(&dir);
        cluster.start_collector();
        wait::until("something is let go", 60, || if old(&dir) < were { Ok(()) } else { Err(were) });
        // Not a wait for a state: the instant of the blow is the input of this test.
        std::thread::sleep(pause(n, 12));
        cluster.kill_collector();
        seen.push(old(&dir));
        whole_chunks_went();
        if seen.last() == Some(&0) {
            break;
        }
    }
    println!("chunks too old after each kill: {first}, {seen:?}");
    cluster.start_collector();
    wait::until("what is too old is gone", 120, || {
        let db = open(&dir);
        let oldest: i64 = db.query_row("SELECT min(last_us) FROM chunk", [], |row| row.get(0)).expect("a chunk");
        if oldest >= limit(2) { Ok(()) } else { Err(oldest) }
    });
    // What is gone is told, and the figures stand.
    let listed = cluster.ctl(&["results", "c3", "--from", "-5d", "--limit", "3", "--json"]).json();
    let gone = listed["gone"][0]["records"].as_u64().expect("a number");
    cluster.stop_collector();
    assert_eq!(told(&cluster), figures);
    let left = keys(&dir);
    let of_check = |keys: &Keys| keys.iter().filter(|key| key.3 / 1_000_000 == number(&dir, "c3")).count() as u64;
    assert_eq!(gone, of_check(&before) - of_check(&left));
    assert!(gone > 2 * 1440, "{gone}");
}

fn number(dir: &Path, id: &str) -> i64 {
    let sql = "SELECT check_no FROM check_revision WHERE check_id = ?1";
    open(dir).query_row(sql, [id], |row| row.get(0)).expect("the check is there")
}

#[test]
fn killing_a_collector_that_migrates_loses_nothing() {
    let mut cluster = Cluster::start();
    cluster.stop_collector();
    let dir = cluster.collector_dir();
    for name in ["collector.db", "collector.db-wal", "collector.db-shm"] {
        std::fs::remove_file(dir.join(name)).ok();
    }
    let fixture = sitepulse_tests::process::root().join("collector/tests/fixtures/schema-3/collector.db");
    std::fs::copy(fixture, dir.join("collector.db")).expect("the fixture can be copied");
    // Many of its records, all to be moved.
    let copies = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000) \
                  INSERT INTO result SELECT bucket, agent_no, incarnation, seq + i * 1000, check_no, scheduled_us, provenance_no, body \
                  FROM (SELECT * FROM result), n";
    let db = open(&dir);
    db.execute_batch(copies).expect("the records are copied");
    let schema_of =
        |db: &Connection| -> i64 { db.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a schema") };
    // From schema 5 on a row holds several.
    let count = |db: &Connection| -> i64 {
        let records = if schema_of(db) < 5 { "count(*)" } else { "sum(records)" };
        db.query_row(&format!("SELECT {records} FROM result"), [], |row| row.get(0)).expect("a count")
    };
    let before = count(&db);
    let first = schema_of(&db);
    drop(db);
    let schema = |dir: &Path| schema_of(&open(dir));
    // Before each step's commit, and right after.
    for found in first..sitepulse_collector::store::SCHEMA {
        cluster.collector_dies_at("migration.step:1");
        // It does not fit into memory: what the step wrote lies in the write-ahead log, not committed.
        let spilled = std::fs::metadata(dir.join("collector.db-wal")).is_ok_and(|file| file.len() > 1 << 20);
        assert!(spilled || found != 4, "the step from schema {found} moves the records");
        assert_eq!((schema(&dir), count(&open(&dir))), (found, before));
        cluster.collector_dies_at("migration.stepped:1");
        assert_eq!((schema(&dir), count(&open(&dir))), (found + 1, before));
    }
    cluster.start_collector();
    let shop = cluster.ctl(&["agents", "--json"]).json();
    assert_eq!(shop[0]["conservation"]["unaccounted"], 0);
    cluster.stop_collector();
    assert_eq!(count(&open(&dir)), before);
}

#[test]
fn a_backup_of_a_collector_that_seals_holds_each_record_once() {
    let mut cluster = filled(12, 2);
    let dir = cluster.collector_dir();
    let before = keys(&dir);
    cluster.configure(HASTY);
    cluster.start_collector();
    let mut sealed = BTreeSet::new();
    for n in 0..200 {
        let file = cluster.dir().join(format!("backup-{n}.db"));
        let held = cluster.ctl(&["backup", &file.display().to_string(), "--json"]).json();
        assert_eq!(held["records"], before.len());
        let copy = tempfile::tempdir().expect("a folder");
        std::fs::rename(&file, copy.path().join("collector.db")).expect("a backup");
        assert_eq!(keys(copy.path()), before);
        sealed.insert(oracle::sealed(&open(copy.path())));
        if sealed.last() == Some(&(before.len() as i64)) {
            break;
        }
    }
    println!("sealed in each backup: {sealed:?}");
    assert_eq!(sealed.last(), Some(&(before.len() as i64)));
    cluster.stop_collector();
}

#[test]
fn killing_a_collector_that_merges_loses_and_doubles_no_record() {
    let mut cluster = filled_by(6, 2, Some(160));
    let dir = cluster.collector_dir();
    let before = keys(&dir);
    let figures = told(&cluster);
    let one = |sql: &str| -> i64 { open(&dir).query_row(sql, [], |row| row.get(0)).expect("a figure") };
    let chunks = || one("SELECT count(*) FROM chunk");
    let first = chunks();
    assert_eq!((first, one("SELECT count(*) FROM result")), (6 * 18, 0));
    // Nothing is sealed any more: what was left to merge is found at the start.
    for (place, less) in [("merge.turn:1", 0), ("merge.turned:1", 3)] {
        cluster.collector_dies_at(place);
        assert_eq!(keys(&dir), before, "{place}");
        assert_eq!(chunks(), first - less, "{place}");
    }
    let mut seen = Vec::new();
    for n in 0..BLOWS {
        let were = chunks();
        cluster.start_collector();
        let merged = || if chunks() < were || were <= 6 * 6 { Ok(()) } else { Err(were) };
        wait::until("chunks are merged", 60, merged);
        // Not a wait for a state: the instant of the blow is the input of this test.
        std::thread::sleep(pause(n, 12));
        cluster.kill_collector();
        assert_eq!(keys(&dir), before);
        seen.push(chunks());
        if chunks() <= 6 * 6 {
            break;
        }
    }
    println!("chunks after each kill: {first}, {seen:?}");
    cluster.start_collector();
    wait::until("everything is merged", 120, || if chunks() <= 6 * 6 { Ok(()) } else { Err(chunks()) });
    cluster.stop_collector();
    assert_eq!(keys(&dir), before);
    assert!(one("SELECT max(records) FROM chunk") >= 600);
    assert_eq!(told(&cluster), figures);
}

#[test]
fn a_backup_that_a_kill_meets_is_whole_or_absent() {
    // Long enough to be met: results take little room.
    let mut cluster = filled(12, 12);
    let dir = cluster.collector_dir();
    let before = keys(&dir);
    cluster.configure(HASTY);
    let (mut whole, mut met) = (0, 0);
    for n in 0..12_u64 {
        cluster.start_collector();
        let file = cluster.dir().join(format!("met-{n}.db"));
        let mut child = sitepulse_tests::process::collector()
            .args(["backup", &file.display().to_string(), "--data-dir"])
            .arg(&dir)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the program starts");
        let partial = || {
            let files = std::fs::read_dir(cluster.dir()).expect("a folder").flatten();
            let mut names = files.map(|file| file.file_name().to_string_lossy().into_owned());
            names.any(|name| name.contains(&format!("met-{n}.")) && name.ends_with(".partial"))
        };
        wait::until("the backup is under way or done", 60, || if partial() || file.exists() { Ok(()) } else { Err(n) });
        // Not a wait for a state: the instant of the blow is the input of this test.
        std::thread::sleep(pause(n, 4));
        met += i32::from(!file.exists());
        // Of the collector, and of the command.
        if n % 2 == 0 {
            cluster.kill_collector();
        } else {
            child.kill().expect("it can be killed");
        }
        child.wait().expect("it ends");
        if n % 2 == 1 {
            cluster.kill_collector();
        }
        if file.exists() {
            whole += 1;
            let copy = tempfile::tempdir().expect("a folder");
            std::fs::rename(&file, copy.path().join("collector.db")).expect("a backup");
            assert_eq!(keys(copy.path()), before);
        }
        assert_eq!(keys(&dir), before);
    }
    println!("{met} kills met an unfinished backup; {whole} became whole");
    assert!(met > 0, "no blow fell while a backup was made");
}

#[test]
fn a_collector_that_seals_all_the_time_serves_its_agents() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.kill_collector();
    cluster.configure("[sealing]\nafter = \"300ms\"\nrecords = 3\n");
    cluster.start_collector();
    cluster.apply(&(0..4).map(|n| site.check(&format!("c{n}"))).collect::<String>()).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    for n in 0..10 {
        // Not a wait for a state: the instant of the blow is the input of this test.
        std::thread::sleep(pause(n, 900));
        cluster.kill_collector();
        cluster.start_collector();
    }
    wait::until("results are sealed", 30, || {
        let sealed = oracle::sealed(&open(&cluster.collector_dir()));
        if sealed > 20 { Ok(()) } else { Err(sealed) }
    });
    cluster.wait_for_drain("eu-west-1", 60);
    cluster.stop_agent("eu-west-1");
    cluster.stop_collector();
    let store = oracle::read(&cluster.collector_dir(), 1_000_000);
    assert_eq!(store.unaccounted(1_000_000), Vec::<String>::new());
    assert_eq!(store.ledgers.len(), 4);
}

//! Stores of schemas before: `tests/fixtures/schema-3` was made by the last build that wrote it, with a real agent that was suspended, cut off
//! from its target, killed and started again; `schema-4` likewise, with a target that went away for a while and three quarters of its records sealed; `schema-6`
//! with an incident and its message, a user's password, an audit log, scores, a request that was done once, sealed records and blocks; `schema-7` is that store as the last build
//! of its schema left it after a start, with scores, jobs and findings, and with a gap written into a mark; `schema-8` is that store after a start of the build after, with
//! a page's row written into `vitals`. Beside each database lies what that build explained of it, but for these two, of which that is what lies beside `schema-6`.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;
use sitepulse_collector::app::App;
use sitepulse_collector::book::Filter;
use sitepulse_collector::engine::Engine;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_collector::store::rows::Arrival;
use sitepulse_collector::store::{block, chunk, rollup};
use sitepulse_model::id::{AgentNo, Bucket, CheckId, CheckNo, Incarnation, Seq};
use sitepulse_model::record::{ProbeState, Record};
use sitepulse_model::sla::Account;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_wire::message::Entry;

use super::world::*;

fn fixture(schema: i64, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/schema-{schema}")).join(name)
}

fn explained(schema: i64, check: &str) -> Value {
    let schema = if matches!(schema, 7 | 8) { 6 } else { schema };
    serde_json::from_str(&std::fs::read_to_string(fixture(schema, &format!("explain-{check}.json"))).unwrap()).unwrap()
}

fn instant(text: &Value) -> UtcMicros {
    sitepulse_daemon::instant::parse(text.as_str().unwrap(), UtcMicros(0)).unwrap()
}

/// The figures are those that the build before gave, to the microsecond.
fn assert_same(schema: i64, engine: &Engine) {
    let book = engine.shared().book();
    let checks: &[(&str, u64, u64)] = match schema {
        3 => &[("shop", 25, 4), ("gone", 14, 2)],
        6..=8 => &[("shop", 53, 19), ("gone", 10, 0), ("mail", 52, 19)],
        _ => &[("shop", 14, 0), ("gone", 13, 0), ("mail", 14, 0)],
    };
    for (check, stored, stopped) in checks.iter().copied() {
        let told = explained(schema, check);
        let figures = &told["figures"];
        let number = book.check_by_id(&CheckId::parse(check).unwrap()).unwrap().number;
        let period = Span::new(instant(&figures["from"]), instant(&figures["to"]));
        let verdicts = book.verdicts(number, &Filter::All, period).unwrap();
        let account = Account::of(&verdicts);
        // Reading a number may cost its last bit; the seconds below are exact.
        for (is, was) in [(account.availability(), "availability"), (account.completeness(), "completeness")] {
            let was = figures[was].as_f64().unwrap();
            assert!(is.is_some_and(|is| (is - was).abs() < 1e-15), "{check}: {is:?}, {was}");
        }
        let seconds = |us: i64| us as f64 / 1e6;
        let told_seconds = &figures["seconds"];
        assert_eq!(
            [account.up_us, account.down_us, account.unknown.agent_stopped_us, account.unknown.suspended_us]
                .map(seconds),
            [
                &told_seconds["up"],
                &told_seconds["down"],
                &told_seconds["unknown"]["agent_stopped"],
                &told_seconds["unknown"]["suspended"]
            ]
            .map(|value| value.as_f64().unwrap()),
            "{check}"
        );
        // As the build before counted them in `agents --json`, when its agent had delivered everything.
        let row = book.conservation(START).into_iter().find(|row| row.check == number).unwrap();
        assert!(row.counts.stored >= stored, "{check}: {row:?}");
        assert_eq!((row.slots.missed_agent_stopped, row.slots.unexplained()), (stopped, 0), "{check}");
    }
}

/// A record with what dedupes it.
type Key = (u32, u64, u64, u32, Record);

/// Every record of a store that no later build has opened yet.
fn records_before(db: &Connection, schema: i64) -> Vec<Key> {
    let mut records = Vec::new();
    let mut take = |sql: &str, each: &mut dyn FnMut(&rusqlite::Row<'_>) -> Vec<Key>| {
        let mut statement = db.prepare(sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            records.extend(each(row));
        }
    };
    let mut of_row = |row: &rusqlite::Row<'_>| {
        let number = |column| row.get::<_, i64>(column).unwrap();
        let record = sitepulse_wire::record::decode(&row.get::<_, Vec<u8>>(3).unwrap()).unwrap();
        vec![(number(0) as u32, number(1).cast_unsigned(), number(2).cast_unsigned(), record.check().0, record)]
    };
    if schema >= 6 {
        let sources = {
            let mut statement = db.prepare("SELECT source_no, agent_no, incarnation FROM source").unwrap();
            let rows =
                statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned()))));
            rows.unwrap().collect::<Result<std::collections::BTreeMap<u32, (u32, u64)>, _>>().unwrap()
        };
        let unsealed = "SELECT arrival, records, body FROM result";
        take(unsealed, &mut |row| {
            let body: Vec<u8> = row.get(2).unwrap();
            let key = |raw: block::Raw<'_>| {
                let (agent, incarnation) = sources[&raw.place.source];
                let record = raw.record().unwrap();
                (agent, incarnation, raw.place.seq.0, record.check().0, record)
            };
            block::Reader::new(Arrival(row.get(0).unwrap()), row.get(1).unwrap(), &body).map(key).collect()
        });
    }
    if schema == 3 {
        take("SELECT agent_no, incarnation, seq, body FROM result", &mut of_row);
    } else {
        let unsealed = "SELECT agent_no, incarnation, seq, body FROM result r JOIN source USING (source_no) \
                        WHERE arrival > (SELECT upto FROM seal s WHERE s.bucket = r.bucket)";
        if schema == 4 {
            take(unsealed, &mut of_row);
        }
        take("SELECT agent_no, body FROM chunk", &mut |row| {
            let stored = chunk::decode(&row.get::<_, Vec<u8>>(1).unwrap()).unwrap().into_iter();
            let agent = row.get(0).unwrap();
            stored.map(|one| (agent, one.incarnation.0, one.seq.0, one.record.check().0, one.record)).collect()
        });
    }
    records.sort_by_key(|record| (record.0, record.1, record.2, record.3));
    records
}

/// Every record of a running collector.
fn records_after(engine: &mut Engine) -> Vec<Key> {
    let mut records = Vec::new();
    engine
        .each_record(|check, kept| {
            let stored = kept.stored;
            records.push((kept.agent.0, stored.incarnation.0, stored.seq.0, check.0, stored.record));
        })
        .unwrap();
    records.sort_by_key(|record| (record.0, record.1, record.2, record.3));
    records
}

fn figures_survive_from(schema: i64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("collector.db");
    std::fs::copy(fixture(schema, "collector.db"), &path).unwrap();
    let before = records_before(&Connection::open(&path).unwrap(), schema);
    let unsealed = || -> i64 {
        let sql = "SELECT coalesce(sum(records), 0) FROM result";
        Connection::open(&path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let mut engine = on_disk(dir.path());
    assert_same(schema, &engine);
    assert_eq!(records_after(&mut engine), before);
    let unsealed_before = match schema {
        3 => 44,
        8 => 0,
        _ => 10,
    };
    assert_eq!(engine.seal_now().unwrap(), unsealed_before);
    assert_same(schema, &engine);
    drop(engine);
    assert_eq!(unsealed(), 0);
    let mut engine = on_disk(dir.path());
    assert_same(schema, &engine);
    assert_eq!(records_after(&mut engine), before);
    // What was stored by the build before is still recognised: by its marks.
    for (agent, incarnation, seq, check, record) in before {
        let bucket = engine.shared().book().check(CheckNo(check)).unwrap().bucket();
        let mut again = batch(1, Vec::new());
        again.incarnation = Incarnation(incarnation);
        again.entries = vec![Entry { bucket, seq: Seq(seq), provenance: 0, record }];
        let job = IngestJob { agent: AgentNo(agent), received_at: UtcMicros(i64::MAX / 2), batch: again };
        assert_eq!(engine.ingest(vec![job]).unwrap()[0].duplicates, 1);
    }
}

#[test]
fn figures_survive_the_migration_and_the_sealing_after_it() {
    figures_survive_from(3);
    figures_survive_from(4);
    figures_survive_from(6);
    figures_survive_from(7);
    figures_survive_from(8);
}

/// Of a page that was measured before browsers were noted, nobody knows which it was.
#[test]
fn vitals_of_a_build_that_noted_no_browser_survive_the_migration() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(fixture(8, "collector.db"), dir.path().join("collector.db")).unwrap();
    let mut engine = on_disk(dir.path());
    let row = "SELECT profile, lcp, browser FROM vitals";
    let row: (String, i64, Option<String>) =
        engine.store().connection().query_row(row, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    assert_eq!(row, ("mobile".to_owned(), 2_000_000, None));
}

/// What was not seen before the migration is new after it, and what was seen is not; nothing of what else the store holds is damaged.
#[test]
fn a_gap_in_a_mark_survives_the_migration_and_scores_go_on() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(fixture(7, "collector.db"), dir.path().join("collector.db")).unwrap();
    let mut engine = on_disk(dir.path());
    let (incarnation, bucket) = (Incarnation((-8_189_984_684_836_045_511_i64).cast_unsigned()), Bucket(9));
    let check = engine.shared().book().checks().find(|check| check.bucket() == bucket).unwrap().number;
    let mut again = batch(1, Vec::new());
    again.incarnation = incarnation;
    for (nth, (seq, duplicates)) in
        [(54, 1), (55, 0), (57, 0), (58, 1), (59, 1), (60, 0), (56, 0), (55, 1)].into_iter().enumerate()
    {
        let record = result(check, 600 * nth.cast_signed() as i64, ProbeState::Up);
        again.entries = vec![Entry { bucket, seq: Seq(seq), provenance: 0, record }];
        let job = IngestJob { agent: AgentNo(1), received_at: UtcMicros(i64::MAX / 2), batch: again.clone() };
        assert_eq!(engine.ingest(vec![job]).unwrap()[0].duplicates, duplicates, "{seq}");
    }
    let scores = "SELECT (SELECT count(*) FROM impact_day WHERE made IS NULL) + (SELECT count(*) FROM impact_set_day WHERE made IS NULL)";
    let scores: i64 = engine.store().connection().query_row(scores, [], |row| row.get(0)).unwrap();
    assert_eq!(scores, 6);
    drop(engine);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sitepulse-collector"))
        .args(["verify", "--json", "--data-dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &told["problems"]), (Some(0), &serde_json::json!([])), "{told}");
}

/// What an earlier build sealed is written by this one to the last bit: chunks and rollups have one form for what they hold.
#[test]
fn what_an_earlier_build_sealed_is_written_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("collector.db");
    std::fs::copy(fixture(6, "collector.db"), &path).unwrap();
    let db = Connection::open(&path).unwrap();
    let bodies = |sql: &str| -> Vec<Vec<u8>> {
        let mut statement = db.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let chunks = bodies("SELECT body FROM chunk");
    assert_eq!(chunks.len(), 18);
    for body in chunks {
        assert_eq!(chunk::encode(&chunk::decode(&body).unwrap()), body);
    }
    let (hours, wholes) =
        (bodies("SELECT body FROM rollup WHERE class = 1"), bodies("SELECT body FROM rollup WHERE class = 2"));
    assert_eq!((hours.len(), wholes.len()), (3, 3));
    // Of version 1: they are read for ever, and written as of today where their day is sealed anew.
    for body in hours {
        let day = rollup::decode_hours(&body).unwrap();
        assert_eq!((body[0], rollup::decode_hours(&rollup::encode_hours(&day))), (1, Ok(day)));
    }
    for body in wholes {
        let whole = rollup::decode_whole(&body).unwrap();
        assert_eq!((body[0], rollup::decode_whole(&rollup::encode_whole(&whole))), (1, Ok(whole)));
    }
}

/// All that `before` says is said by `now`, which may say more.
fn assert_told(before: &Value, now: &Value, at: &str) {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            for (key, value) in before {
                assert_told(value, now.get(key).unwrap_or(&Value::Null), &format!("{at}.{key}"));
            }
        }
        (Value::Array(before), Value::Array(now)) => {
            assert_eq!(before.len(), now.len(), "{at}");
            for (nth, (before, now)) in before.iter().zip(now).enumerate() {
                assert_told(before, now, &format!("{at}[{nth}]"));
            }
        }
        _ => assert_eq!(before, now, "{at}"),
    }
}

#[tokio::test]
async fn incidents_and_the_audit_log_survive_the_migration() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(fixture(6, "collector.db"), dir.path().join("collector.db")).unwrap();
    let told = |args: &[&str]| -> Vec<u8> {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sitepulse-collector"));
        let output = command.args(args).arg("--data-dir").arg(dir.path()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    // The fixture has no keys: another store's do, for nobody connects.
    let keys = tempfile::tempdir().unwrap();
    App::open(keys.path(), sitepulse_daemon::clock::now()).unwrap().close().await;
    for name in ["ca.key", "ca.pem"] {
        std::fs::copy(keys.path().join(name), dir.path().join(name)).unwrap();
    }
    let before = |name| -> Value { serde_json::from_slice(&std::fs::read(fixture(6, name)).unwrap()).unwrap() };
    let incident = before("incident.json");
    let id = incident["id"].as_str().unwrap();
    let now: Value = serde_json::from_slice(&told(&["incident", id, "--json"])).unwrap();
    assert_told(&incident, &now, "incident");
    told(&["incident", id, "--verify"]);
    assert_told(&before("audit.json"), &serde_json::from_slice(&told(&["audit", "--json"])).unwrap(), "audit");
    told(&["audit", "--verify"]);
    let users = String::from_utf8(told(&["user", "list"])).unwrap();
    assert!(users.contains("ana"), "{users}");
}

#[test]
fn rows_that_are_dead_missing_or_damaged_do_not_disturb_those_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("collector.db");
    std::fs::copy(fixture(4, "collector.db"), &path).unwrap();
    let db = Connection::open(&path).unwrap();
    // Those that arrived from 32 on are not sealed. One is gone, one cannot be read, one is sealed and lies there still.
    db.execute("DELETE FROM result WHERE arrival = 34", []).unwrap();
    let mut before = records_before(&db, 4);
    let damaged: (i64, i64, Vec<u8>) = db
        .query_row("SELECT source_no, seq, body FROM result WHERE arrival = 37", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    let lost = sitepulse_wire::record::decode(&damaged.2).unwrap();
    before.retain(|record| record.4 != lost);
    db.execute("UPDATE result SET body = x'01ff' WHERE arrival = 37", []).unwrap();
    db.execute("INSERT INTO result SELECT 31, bucket, source_no, seq + 1000, body FROM result WHERE arrival = 32", [])
        .unwrap();
    drop(db);
    let mut engine = on_disk(dir.path());
    assert_eq!(records_after(&mut engine), before);
    let arrivals: Vec<(i64, i64)> = {
        let mut rows =
            engine.store().connection().prepare("SELECT arrival, records FROM result ORDER BY arrival").unwrap();
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(arrivals, [(32, 2), (35, 2), (38, 4)]);
    let set_aside =
        "SELECT count(*) FROM quarantine WHERE reason = 'damaged' AND body = x'01ff' AND agent_no = 1 AND seq = ?1";
    let set_aside: i64 = engine.store().connection().query_row(set_aside, [damaged.1], |row| row.get(0)).unwrap();
    assert_eq!(set_aside, 1);
    // What comes in next arrives after all of them.
    assert_eq!(engine.seal_now().unwrap(), 8);
    assert_eq!(records_after(&mut engine), before);
}

#[test]
fn a_migration_that_was_cut_short_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("collector.db");
    std::fs::copy(fixture(3, "collector.db"), &path).unwrap();
    // As a kill in the middle leaves it: some of the migration's statements in a write-ahead log, and no commit.
    let db = Connection::open(&path).unwrap();
    db.execute_batch(
        "PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN IMMEDIATE; ALTER TABLE result RENAME TO result_3",
    )
    .unwrap();
    db.execute_batch("CREATE TABLE filler AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i, randomblob(100) FROM n").unwrap();
    let copy = tempfile::tempdir().unwrap();
    for name in ["collector.db", "collector.db-wal"] {
        std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    assert!(std::fs::metadata(copy.path().join("collector.db-wal")).unwrap().len() > 1 << 20);
    assert_same(3, &on_disk(copy.path()));
}

//! A store of the schema before: `tests/fixtures/schema-3` was made by the last build that wrote it, with a real agent that was suspended, cut off
//! from its target, killed and started again; beside the database lies what that build explained of it.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sitepulse_collector::book::Filter;
use sitepulse_collector::engine::Engine;
use sitepulse_model::id::{CheckId, Seq};
use sitepulse_model::sla::Account;
use sitepulse_model::time::{Span, UtcMicros};

use super::world::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schema-3").join(name)
}

fn explained(check: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture(&format!("explain-{check}.json"))).unwrap()).unwrap()
}

fn instant(text: &Value) -> UtcMicros {
    sitepulse_daemon::instant::parse(text.as_str().unwrap(), UtcMicros(0)).unwrap()
}

/// The figures are those that the build before gave, to the microsecond.
fn assert_same(engine: &Engine) {
    let book = engine.shared().book();
    for (check, stored, stopped) in [("shop", 25, 4), ("gone", 14, 2)] {
        let told = explained(check);
        let figures = &told["figures"];
        let number = book.check_by_id(&CheckId::parse(check).unwrap()).unwrap().number;
        let period = Span::new(instant(&figures["from"]), instant(&figures["to"]));
        let verdicts = book.verdicts(number, &Filter::All, period).unwrap();
        let account = Account::of(&verdicts);
        assert_eq!(serde_json::to_value(account.availability()).unwrap(), figures["availability"], "{check}");
        assert_eq!(serde_json::to_value(account.completeness()).unwrap(), figures["completeness"], "{check}");
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
        let row = book.conservation().into_iter().find(|row| row.check == number).unwrap();
        assert!(row.counts.stored >= stored, "{check}: {row:?}");
        assert_eq!((row.slots.missed_agent_stopped, row.slots.unexplained()), (stopped, 0), "{check}");
    }
}

#[test]
fn figures_survive_the_migration_and_the_sealing_after_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("collector.db"), dir.path().join("collector.db")).unwrap();
    let count = |table: &str| -> i64 {
        let db = rusqlite::Connection::open(dir.path().join("collector.db")).unwrap();
        db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    let rows = count("result");
    let mut engine = on_disk(dir.path());
    assert_same(&engine);
    assert_eq!(count("result"), rows);
    assert_eq!(engine.seal_now().unwrap(), rows.unsigned_abs());
    assert_same(&engine);
    drop(engine);
    assert_eq!(count("result"), 0);
    let mut engine = on_disk(dir.path());
    assert_same(&engine);
    // What was stored by the build before is still recognised: by its marks.
    let mut keys = Vec::new();
    engine.each_record(|check, kept| keys.push((check, kept))).unwrap();
    assert_eq!(keys.len() as i64, rows);
    let (check, kept) = keys.swap_remove(3);
    let bucket = engine.shared().book().check(check).unwrap().bucket();
    let mut again = batch(1, Vec::new());
    again.incarnation = kept.stored.incarnation;
    again.entries = vec![sitepulse_wire::message::Entry {
        bucket,
        seq: Seq(kept.stored.seq.0),
        provenance: 0,
        record: kept.stored.record,
    }];
    let job = sitepulse_collector::ingest::IngestJob {
        agent: kept.agent,
        received_at: UtcMicros(i64::MAX / 2),
        batch: again,
    };
    assert_eq!(engine.ingest(vec![job]).unwrap()[0].duplicates, 1);
}

#[test]
fn a_migration_that_was_cut_short_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("collector.db");
    std::fs::copy(fixture("collector.db"), &path).unwrap();
    // As a kill in the middle leaves it: some of the migration's statements in a write-ahead log, and no commit.
    let db = rusqlite::Connection::open(&path).unwrap();
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
    assert_same(&on_disk(copy.path()));
}

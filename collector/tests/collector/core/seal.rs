//! Sealing, merging and letting go change where records lie, never what they say; each counts once through every restart.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sitepulse_collector::app::App;
use sitepulse_collector::book::{Filter, Pair};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::present::{Present, health};
use sitepulse_collector::seal::retention::Retention;
use sitepulse_collector::store::block;
use sitepulse_collector::store::rows::Arrival;
use sitepulse_daemon::identity::CertificateAuthority;
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::record::{MissedCause, ProbeState, Record};
use sitepulse_model::time::Span;

use super::world::*;

const DAY: i64 = 86_400;

fn rows(engine: &mut Engine, sql: &str) -> i64 {
    engine.store().connection().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Everything that a book says of results.
fn says(engine: &Engine) -> (String, Vec<(CheckNo, AgentNo, Pair)>, String) {
    let book = engine.shared().book();
    let pairs = |check: &sitepulse_collector::book::Check| {
        check.pairs.iter().map(|(agent, pair)| (check.number, *agent, pair.clone())).collect::<Vec<_>>()
    };
    let span = Span::new(at(-DAY), at(40 * DAY));
    let figures = book.checks().map(|check| format!("{:?}\n", book.verdicts(check.number, &Filter::All, span)));
    let figures: String = figures.chain([format!("{:?}", book.conservation(at(0)))]).collect();
    let pairs = book.checks().flat_map(pairs).collect();
    drop(book);
    (picture(engine), pairs, figures)
}

/// Every record that is kept, with its key, sorted.
fn kept(engine: &mut Engine) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    engine
        .each_record(|check, mut one| {
            // A restart gives the same provenance another number.
            one.stored.provenance = 0;
            kept.push(format!("{check} {one:?}"));
        })
        .unwrap();
    kept.sort();
    kept
}

#[derive(Debug, Clone)]
enum Step {
    Results(u8, u8, i64, u8, u8),
    Missed(u8, i64, u64, u8),
    Seal,
    Compact,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let check = 1_u8..=3;
    // Slots over five weeks: a month ends in between, and much comes late.
    let slot = prop_oneof![0_i64..200, 0_i64..100_000];
    prop_oneof![
        6 => (check.clone(), 0_u8..2, slot.clone(), 1_u8..=4, 1_u8..20)
            .prop_map(|(check, agent, slot, state, count)| Step::Results(check, agent, slot, state, count)),
        1 => (check, slot, 1_u64..2000, 1_u8..=5).prop_map(|(check, slot, count, cause)| Step::Missed(check, slot, count, cause)),
        2 => Just(Step::Seal),
        1 => Just(Step::Compact),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// One store that seals, merges and restarts at random beside one that only takes in: they say the same.
    #[test]
    fn a_sealed_store_says_what_an_unsealed_one_says(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut engines = [on_disk(dir.path()), in_memory()];
        let mut seqs: BTreeMap<(u8, u8), u64> = BTreeMap::new();
        let mut agents = Vec::new();
        for engine in &mut engines {
            agents = vec![enrol(engine, "eu-west", None).agent, enrol(engine, "us-east", Some("far")).agent];
            engine.apply(vec![definition("shop"), definition("blog"), definition("api")], &options(), START).unwrap();
        }
        let send = |engines: &mut [Engine; 2], seqs: &mut BTreeMap<(u8, u8), u64>, check: u8, agent: u8, records: Vec<Record>| {
            let name = ["eu-west-1", "far"][usize::from(agent)];
            let bucket = engines[0].shared().book().check(CheckNo(u32::from(check))).unwrap().bucket().0;
            let seq = seqs.entry((bucket, agent)).or_default();
            let entries: Vec<_> = records.into_iter().map(|record| { *seq += 1; entry_of(&engines[0], name, *seq - 1, record) }).collect();
            for engine in engines.iter_mut() {
                let mut job = job(agents[usize::from(agent)], entries.clone());
                job.received_at = at(60 * DAY);
                let outcome = engine.ingest(vec![job]).unwrap()[0];
                prop_assert_eq!(outcome.stored as usize, entries.len());
            }
            Ok(())
        };
        for step in &steps {
            match step {
                Step::Results(check, agent, slot, state, count) => {
                    let state = ProbeState::from_code(*state).unwrap();
                    let records = (0..i64::from(*count)).map(|n| result(CheckNo(u32::from(*check)), (slot + n) * 30, state)).collect();
                    send(&mut engines, &mut seqs, *check, *agent, records)?;
                }
                Step::Missed(check, slot, count, cause) => {
                    let mut record = missed(CheckNo(u32::from(*check)), slot * 30, *count);
                    if let Record::Missed(missed) = &mut record {
                        missed.cause = MissedCause::from_code(*cause).unwrap();
                    }
                    send(&mut engines, &mut seqs, *check, 0, vec![record])?;
                }
                Step::Seal => { engines[0].seal_now().unwrap(); }
                Step::Compact => { engines[0].compact_now().unwrap(); }
                Step::Restart => {
                    let [sealed, plain] = engines;
                    drop(sealed);
                    engines = [on_disk(dir.path()), plain];
                }
            }
        }
        let [mut sealed, mut plain] = engines;
        prop_assert_eq!(says(&sealed), says(&plain));
        drop(sealed);
        sealed = on_disk(dir.path());
        prop_assert_eq!(says(&sealed), says(&plain));
        prop_assert_eq!(kept(&mut sealed), kept(&mut plain));
        sealed.seal_now().unwrap();
        sealed.compact_now().unwrap();
        prop_assert_eq!(rows(&mut sealed, "SELECT count(*) FROM result"), 0);
        prop_assert_eq!(kept(&mut sealed), kept(&mut plain));
        drop(sealed);
        sealed = on_disk(dir.path());
        prop_assert_eq!(says(&sealed), says(&plain));
    }
}

fn filled(dir: &std::path::Path, from: i64, count: i64) -> (Engine, AgentNo, CheckNo) {
    let mut engine = on_disk(dir);
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let entries =
        (0..count).map(|n| entry(&engine, n.cast_unsigned(), result(CheckNo(1), (from + n) * 30, ProbeState::Up)));
    let mut job = job(agent, entries.collect());
    job.received_at = at(400 * DAY);
    engine.ingest(vec![job]).unwrap();
    (engine, agent, CheckNo(1))
}

#[test]
fn arrivals_are_never_given_twice_though_every_row_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, agent, check) = filled(dir.path(), 0, 10);
    assert_eq!(engine.seal_now().unwrap(), 10);
    assert_eq!(rows(&mut engine, "SELECT count(*) FROM result"), 0);
    drop(engine);
    let mut engine = on_disk(dir.path());
    let late = entry(&engine, 10, result(check, 300, ProbeState::Down));
    engine.ingest(vec![job(agent, vec![late.clone()])]).unwrap();
    assert_eq!(rows(&mut engine, "SELECT arrival FROM result"), 11);
    // What is sealed is still recognised.
    assert_eq!(engine.ingest(vec![job(agent, vec![late])]).unwrap()[0].duplicates, 1);
    assert_eq!(engine.seal_now().unwrap(), 1);
    assert_eq!(kept(&mut engine).len(), 11);
}

#[test]
fn a_slot_in_two_chunks_counts_as_the_worse() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, agent, check) = filled(dir.path(), 0, 3);
    engine.seal_now().unwrap();
    let again = entry(&engine, 3, result(check, 30, ProbeState::Down));
    engine.ingest(vec![job(agent, vec![again])]).unwrap();
    engine.seal_now().unwrap();
    drop(engine);
    let mut engine = on_disk(dir.path());
    let book = engine.shared().book();
    let pair = book.pair(check, agent).unwrap().clone();
    drop(book);
    assert_eq!((pair.ledger.stored, pair.series.slot_count()), (4, 3));
    let slot = pair.series.slots().nth(1).unwrap();
    assert_eq!(slot.1.seen, sitepulse_model::series::Seen::State(ProbeState::Down));
    assert_eq!(kept(&mut engine).len(), 4);
}

#[test]
fn nothing_is_sealed_past_what_an_amendment_needs() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, _, _) = filled(dir.path(), 0, 10);
    let bucket = engine.shared().book().check(CheckNo(1)).unwrap().bucket().0;
    engine.settle(START, true).unwrap();
    let insert = format!("INSERT INTO late VALUES ({bucket}, 1, 1, 4, 0, 0)");
    engine.store().connection().execute(&insert, []).unwrap();
    assert_eq!(engine.seal_what_can_be().unwrap(), 4);
    assert_eq!(engine.seal_what_can_be().unwrap(), 0);
    assert_eq!(kept(&mut engine).len(), 10);
    // The other buckets are sealed to the end, and no row that is needed went.
    assert_eq!(rows(&mut engine, "SELECT sum(records) FROM result"), 10);
    engine.store().connection().execute("DELETE FROM late", []).unwrap();
    assert_eq!(engine.seal_what_can_be().unwrap(), 6);
    assert_eq!(kept(&mut engine).len(), 10);
}

#[test]
fn a_deleted_or_dead_row_is_counted_by_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, _, _) = filled(dir.path(), 0, 10);
    let before = says(&engine);
    // As after a kill between the bucket's transaction and the deletion: the rows still lie there.
    engine.store().connection().execute_batch("CREATE TABLE saved AS SELECT * FROM result").unwrap();
    engine.seal_now().unwrap();
    engine.store().connection().execute_batch("INSERT INTO result SELECT * FROM saved; DROP TABLE saved").unwrap();
    assert_eq!(rows(&mut engine, "SELECT sum(records) FROM result"), 10);
    assert_eq!(kept(&mut engine).len(), 10);
    drop(engine);
    let mut engine = on_disk(dir.path());
    assert_eq!(says(&engine), before);
    assert_eq!(engine.seal_now().unwrap(), 0);
    assert_eq!(rows(&mut engine, "SELECT count(*) FROM result"), 0);
    assert_eq!(kept(&mut engine).len(), 10);
}

#[test]
fn what_is_too_old_goes_and_the_timeline_stays() {
    let dir = tempfile::tempdir().unwrap();
    // 100 days of a result each half minute would be many: the first day, and the hundredth.
    let (mut engine, agent, check) = filled(dir.path(), 0, 2880);
    let fresh: Vec<_> = (0..2880)
        .map(|n| entry(&engine, 2880 + n, result(check, 100 * DAY + n.cast_signed() * 30, ProbeState::Up)))
        .collect();
    let mut fresh = job(agent, fresh);
    fresh.received_at = at(400 * DAY);
    engine.ingest(vec![fresh]).unwrap();
    let before = says(&engine);
    engine.seal_now().unwrap();
    engine.compact_now().unwrap();
    assert_eq!(kept(&mut engine).len(), 5760);
    engine.expire_now(Retention::default(), at(101 * DAY)).unwrap();
    assert_eq!(kept(&mut engine).len(), 2880);
    assert_eq!(says(&engine), before);
    drop(engine);
    let mut engine = on_disk(dir.path());
    assert_eq!(says(&engine), before);
    // A record that comes for a day whose chunks are gone joins its timeline all the same.
    let late = entry(&engine, 6000, result(check, 2880 * 30, ProbeState::Down));
    engine.ingest(vec![job(agent, vec![late])]).unwrap();
    let before = says(&engine);
    engine.seal_now().unwrap();
    drop(engine);
    assert_eq!(says(&on_disk(dir.path())), before);
}

#[test]
fn the_file_stops_growing() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let mut pages = Vec::new();
    let three_days_us = Some(3 * 86_400 * 1_000_000);
    let retention = Retention { raw_us: three_days_us, hourly_us: three_days_us, daily_us: three_days_us };
    for day in 0..20 {
        let entries: Vec<_> = (0..2880)
            .map(|n: i64| {
                // What makes records differ in length and content.
                let mut record = result(CheckNo(1), day * DAY + n * 30, ProbeState::Up);
                if let Record::Result(result) = &mut record {
                    result.phases.total = Some((n.cast_unsigned() * 2_654_435_761) % 1_000_000);
                }
                entry(&engine, (day * 2880 + n).cast_unsigned(), record)
            })
            .collect();
        let mut job = job(agent, entries);
        job.received_at = at(400 * DAY);
        engine.ingest(vec![job]).unwrap();
        engine.seal_now().unwrap();
        engine.compact_now().unwrap();
        engine.expire_now(retention, at((day + 1) * DAY)).unwrap();
        pages.push(engine.store().pages().unwrap());
    }
    // What is kept for ever (timelines, and here an amendment a day) grows a little; a day of records would be three pages more each.
    assert!(pages[19] < pages[6] + 12, "{pages:?}");
    let book = engine.shared().book();
    assert_eq!(book.pair(CheckNo(1), agent).unwrap().ledger.stored, 20 * 2880);
}

/// Flips the last byte of every body of a table.
fn damage(dir: &std::path::Path, table: &str) {
    let db = rusqlite::Connection::open(dir.join("collector.db")).unwrap();
    let select = format!("SELECT rowid, body FROM {table}");
    let (key, select) = match table {
        "chunk" | "rollup" => ("rowid", select),
        "mark" => ("agent_no", format!("SELECT agent_no, body FROM {table}")),
        _ => ("check_no", format!("SELECT check_no, body FROM {table}")),
    };
    let rows: Vec<(i64, Vec<u8>)> = {
        let mut statement = db.prepare(&select).unwrap();
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    for (row, mut body) in rows {
        *body.last_mut().unwrap() ^= 1;
        db.execute(&format!("UPDATE {table} SET body = ?1 WHERE {key} = ?2"), (body, row)).unwrap();
    }
}

#[test]
fn a_damaged_segment_is_made_anew_from_its_records() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, agent, check) = filled(dir.path(), 0, 2000);
    let down = entry(&engine, 2000, result(check, 300, ProbeState::Down));
    engine.ingest(vec![job(agent, vec![down, entry(&engine, 2001, missed(check, 69_990, 50))])]).unwrap();
    engine.seal_now().unwrap();
    let before = says(&engine);
    drop(engine);
    damage(dir.path(), "series");
    assert_eq!(says(&on_disk(dir.path())), before);
    // It was written back: the next start finds nothing wrong, and sealing goes on over it.
    let mut engine = on_disk(dir.path());
    let late = entry(&engine, 2002, result(check, 330, ProbeState::Down));
    engine.ingest(vec![job(agent, vec![late])]).unwrap();
    let before = says(&engine);
    engine.seal_now().unwrap();
    drop(engine);
    assert_eq!(says(&on_disk(dir.path())), before);
}

/// Every body of a table.
fn bodies(engine: &mut Engine, table: &str) -> Vec<Vec<u8>> {
    let mut statement =
        engine.store().connection().prepare(&format!("SELECT body FROM {table} ORDER BY body")).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_damaged_body_is_kept_before_another_takes_its_place() {
    // At the start.
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, agent, check) = filled(dir.path(), 0, 2000);
    engine.seal_now().unwrap();
    drop(engine);
    damage(dir.path(), "series");
    damage(dir.path(), "pair");
    let damaged = |engine: &mut Engine, tables: &[&str]| {
        let mut all: Vec<_> = tables.iter().flat_map(|table| bodies(engine, table)).collect();
        all.sort();
        all
    };
    let mut lost = {
        let db = rusqlite::Connection::open(dir.path().join("collector.db")).unwrap();
        let mut statement = db.prepare("SELECT body FROM series UNION ALL SELECT body FROM pair").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect::<Vec<Vec<u8>>>()
    };
    lost.sort();
    let mut engine = on_disk(dir.path());
    assert_eq!(bodies(&mut engine, "quarantine"), lost);
    assert_eq!(engine.shared().book().quarantined(), 0, "they are no records");
    let reasons = "SELECT count(*) FROM quarantine WHERE reason LIKE 'table series, check 1, month 680: %checksum%' \
                   OR reason LIKE 'table pair, check 1: %checksum%'";
    assert_eq!(rows(&mut engine, reasons), 2);
    // Each once: what was made anew is sound.
    drop(engine);
    let mut engine = on_disk(dir.path());
    assert_eq!(bodies(&mut engine, "quarantine"), lost);
    engine.store().connection().execute("DELETE FROM quarantine", []).unwrap();

    // When it is sealed over.
    for table in ["series", "rollup"] {
        damage(dir.path(), table);
    }
    let mut lost = damaged(&mut engine, &["series", "rollup"]);
    let late = entry(&engine, 2000, result(check, 330, ProbeState::Down));
    engine.ingest(vec![job(agent, vec![late])]).unwrap();
    assert_eq!(engine.seal_now().unwrap(), 1);
    // The day without a late record was not touched.
    let left = bodies(&mut engine, "rollup");
    lost.retain(|body| !left.contains(body));
    assert_eq!(bodies(&mut engine, "quarantine"), lost);
    assert_eq!(lost.len(), 3);
    engine.store().connection().execute("DELETE FROM quarantine", []).unwrap();

    // When records go by their age.
    damage(dir.path(), "pair");
    let lost = damaged(&mut engine, &["pair"]);
    let mut newest = job(agent, vec![entry(&engine, 2001, result(check, 200 * DAY, ProbeState::Up))]);
    newest.received_at = at(201 * DAY);
    engine.ingest(vec![newest]).unwrap();
    engine.expire_now(Retention::default(), at(201 * DAY)).unwrap();
    assert_eq!(bodies(&mut engine, "quarantine"), lost);
}

#[test]
fn what_goes_bad_while_it_runs_holds_up_neither_sealing_nor_retention() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, agent, check) = filled(dir.path(), 0, 2000);
    engine.seal_now().unwrap();
    damage(dir.path(), "series");
    damage(dir.path(), "pair");
    let late = entry(&engine, 2000, result(check, 330, ProbeState::Down));
    engine.ingest(vec![job(agent, vec![late])]).unwrap();
    let before = says(&engine);
    assert_eq!(engine.seal_now().unwrap(), 1);
    drop(engine);
    assert_eq!(says(&on_disk(dir.path())), before);
    let mut engine = on_disk(dir.path());
    damage(dir.path(), "pair");
    let newest = entry(&engine, 2001, result(check, 200 * DAY, ProbeState::Up));
    let mut newest = job(agent, vec![newest]);
    newest.received_at = at(201 * DAY);
    engine.ingest(vec![newest]).unwrap();
    engine.expire_now(Retention::default(), at(201 * DAY)).unwrap();
    assert_eq!(kept(&mut engine).len(), 1);
    let before = says(&engine);
    drop(engine);
    assert_eq!(says(&on_disk(dir.path())), before);
}

/// Writes a byte over the one `before` a record that is not sealed, of the only block that there is; the bytes from the record on.
fn overwrite(engine: &mut Engine, arrival: i64, before: usize, byte: u8) -> Vec<u8> {
    let connection = engine.store().connection();
    let mut body: Vec<u8> = connection.query_row("SELECT body FROM result", [], |row| row.get(0)).unwrap();
    let mut records = block::Reader::new(Arrival(1), u32::MAX, &body);
    let record = records.find(|raw| raw.arrival == Arrival(arrival)).unwrap();
    let (at, length) = (record.bytes.as_ptr().addr() - body.as_ptr().addr(), record.bytes.len());
    body[at - before] = byte;
    connection.execute("UPDATE result SET body = ?1", [&body]).unwrap();
    body[at - before..if before == 0 { at + length } else { body.len() }].to_vec()
}

#[test]
fn a_block_whose_end_makes_no_sense_keeps_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, ..) = filled(dir.path(), 0, 10);
    // The fourth record's length.
    let rest = overwrite(&mut engine, 4, 1, 0x7f);
    drop(engine);
    let mut engine = on_disk(dir.path());
    assert_eq!(kept(&mut engine).len(), 3);
    // New ones arrive after what is lost.
    let next = entry(&engine, 10, result(CheckNo(1), 300, ProbeState::Up));
    let agent = engine.shared().book().agents().next().unwrap().number;
    engine.ingest(vec![job(agent, vec![next])]).unwrap();
    assert_eq!(rows(&mut engine, "SELECT max(arrival) FROM result"), 11);
    engine.seal_now().unwrap();
    assert_eq!(rows(&mut engine, "SELECT count(*) FROM result"), 0);
    // All that is left of it, as one.
    let set_aside: Vec<u8> = engine
        .store()
        .connection()
        .query_row("SELECT body FROM quarantine WHERE reason = 'damaged' AND seq = 3", [], |row| row.get(0))
        .unwrap();
    assert_eq!(set_aside, rest);
    assert_eq!(kept(&mut engine).len(), 4);
}

#[test]
fn a_block_that_is_none_stops_neither_the_start_nor_sealing() {
    for body in ["x''", "x'09'", "x'01ff'", "x'0102ff'"] {
        let dir = tempfile::tempdir().unwrap();
        let (mut engine, ..) = filled(dir.path(), 0, 10);
        engine.store().connection().execute(&format!("UPDATE result SET body = {body}"), []).unwrap();
        drop(engine);
        let mut engine = on_disk(dir.path());
        assert_eq!(kept(&mut engine).len(), 0);
        engine.seal_now().unwrap();
        assert_eq!(rows(&mut engine, "SELECT count(*) FROM result"), 0);
        assert_eq!(rows(&mut engine, "SELECT count(*) FROM quarantine WHERE reason = 'damaged'"), 1, "{body}");
    }
}

#[test]
fn a_record_that_cannot_be_read_stops_neither_the_start_nor_sealing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, ..) = filled(dir.path(), 0, 10);
    // The first byte of its head, so that nothing follows that could be one.
    let body = overwrite(&mut engine, 4, 0, 0x03);
    drop(engine);
    let mut engine = on_disk(dir.path());
    assert_eq!(kept(&mut engine).len(), 9);
    engine.seal_now().unwrap();
    assert_eq!(rows(&mut engine, "SELECT count(*) FROM result"), 0);
    let set_aside = "SELECT count(*) FROM quarantine WHERE reason = 'damaged' AND seq = 3 AND body = ?1";
    let found: i64 = engine.store().connection().query_row(set_aside, [&body], |row| row.get(0)).unwrap();
    assert_eq!(found, 1);
    assert_eq!(kept(&mut engine).len(), 9);
    let before = says(&engine);
    drop(engine);
    assert_eq!(says(&on_disk(dir.path())), before);
}

#[test]
fn a_clock_that_leapt_ahead_takes_nothing_away() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, ..) = filled(dir.path(), 0, 2880);
    engine.seal_now().unwrap();
    engine.expire_now(Retention::default(), at(1000 * DAY)).unwrap();
    assert_eq!(kept(&mut engine).len(), 2880);
}

#[test]
fn damaged_counts_are_counted_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, ..) = filled(dir.path(), 0, 2000);
    engine.seal_now().unwrap();
    let before = says(&engine);
    drop(engine);
    damage(dir.path(), "pair");
    assert_eq!(says(&on_disk(dir.path())), before);
    assert_eq!(says(&on_disk(dir.path())), before);
}

#[test]
fn a_damaged_chunk_stops_neither_the_start_nor_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, agent, check) = filled(dir.path(), 0, 50);
    engine.seal_now().unwrap();
    drop(engine);
    damage(dir.path(), "chunk");
    let mut engine = on_disk(dir.path());
    let more = (50..60).map(|n| entry(&engine, n, result(check, n.cast_signed() * 30, ProbeState::Up))).collect();
    engine.ingest(vec![job(agent, more)]).unwrap();
    engine.seal_now().unwrap();
    let before = says(&engine);
    // It is left where it is: somebody may still read it.
    assert_eq!(engine.compact_now().unwrap(), 0);
    let told = engine.each_record(|_, _| ()).unwrap_err().to_string();
    assert!(told.contains("checksum"), "{told}");
    assert_eq!(rows(&mut engine, "SELECT sum(records) FROM chunk"), 60);
    drop(engine);
    assert_eq!(says(&on_disk(dir.path())), before);
}

/// What `verify` says of a store, with its exit code.
fn verified(dir: &std::path::Path) -> (Option<i32>, serde_json::Value) {
    let program = std::process::Command::new(env!("CARGO_BIN_EXE_sitepulse-collector"))
        .args(["verify", "--json", "--data-dir"])
        .arg(dir)
        .output()
        .unwrap();
    (program.status.code(), serde_json::from_slice(&program.stdout).unwrap())
}

#[test]
fn verify_finds_what_is_damaged_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, agent, check) = filled(dir.path(), 0, 2000);
    engine.seal_now().unwrap();
    let more = vec![
        entry(&engine, 2000, missed(check, 69_990, 50)),
        entry(&engine, 2001, result(check, 30, ProbeState::Down)),
    ];
    engine.ingest(vec![job(agent, more)]).unwrap();
    engine.seal_now().unwrap();
    engine.ingest(vec![job(agent, vec![entry(&engine, 2002, result(check, 60, ProbeState::Down))])]).unwrap();
    let (code, told) = verified(dir.path());
    assert_eq!((code, &told["problems"]), (Some(0), &serde_json::json!([])));
    assert_eq!((&told["records_sealed"], &told["records_unsealed"]), (&2002.into(), &1.into()));
    // The same bodies, with sound checksums, of another pair: found by what they say.
    let db = engine.store().connection();
    db.execute_batch("CREATE TABLE saved AS SELECT * FROM series; DELETE FROM series").unwrap();
    let (code, told) = verified(dir.path());
    assert_eq!(code, Some(4));
    assert!(told["problems"][0].as_str().unwrap().contains("the timeline is not that of its records"), "{told}");
    db.execute_batch("INSERT INTO series SELECT * FROM saved; DELETE FROM chunk WHERE rowid = 1").unwrap();
    let (code, told) = verified(dir.path());
    assert_eq!(code, Some(4));
    assert!(told["problems"][0].as_str().unwrap().contains("2002 records were sealed"), "{told}");
    drop(engine);
    damage(dir.path(), "chunk");
    damage(dir.path(), "series");
    damage(dir.path(), "pair");
    damage(dir.path(), "mark");
    let (_, told) = verified(dir.path());
    let problems = told["problems"].to_string();
    for table in ["table chunk", "table series", "table pair", "table mark"] {
        assert!(problems.contains(table), "{problems}");
    }
}

#[test]
fn verify_reads_every_sketch_and_names_the_damaged_row() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, ..) = filled(dir.path(), 0, 3000);
    engine.seal_now().unwrap();
    let (code, told) = verified(dir.path());
    assert_eq!((code, &told["problems"], &told["rollups"]), (Some(0), &serde_json::json!([]), &4.into()), "{told}");
    let db = engine.store().connection();
    db.execute_batch("CREATE TABLE saved AS SELECT * FROM rollup").unwrap();
    let again = |db: &rusqlite::Connection| {
        db.execute_batch("DELETE FROM rollup; INSERT INTO rollup SELECT * FROM saved").unwrap();
    };
    for (damage, says) in [
        ("UPDATE rollup SET body = x'01020304' WHERE class = 1 AND day = 20717", "latencies by the hour 2026-09-21: "),
        (
            "UPDATE rollup SET body = substr(body, 1, length(body) - 1) WHERE class = 2 AND day = 20718",
            "latencies of the day 2026-09-22: ",
        ),
        // Sound bodies of another day.
        (
            "UPDATE rollup SET body = (SELECT body FROM saved WHERE class = 2 AND day = 20718) WHERE class = 2 AND day = 20717",
            "latencies of the day 2026-09-21: they are not those of its records",
        ),
        ("UPDATE rollup SET class = 3 WHERE class = 1 AND day = 20718", "vitals of the day 2026-09-22: "),
    ] {
        db.execute_batch(damage).unwrap();
        let (code, told) = verified(dir.path());
        let problem = told["problems"][0].as_str().unwrap_or_default();
        assert!(
            code == Some(4) && problem.starts_with("table rollup: check 1, agent 1, ") && problem.contains(says),
            "{damage}: {told}"
        );
        assert_eq!(told["problems_count"], 1, "{told}");
        again(db);
    }
    // Where records are gone, the hours of a day tell of the day.
    engine.expire_now(Retention { raw_us: Some(0), ..Retention::default() }, at(30 * DAY)).unwrap();
    let db = engine.store().connection();
    db.execute_batch("DELETE FROM chunk; UPDATE pair SET body = body").unwrap();
    db.execute_batch("UPDATE rollup SET body = (SELECT body FROM saved WHERE class = 2 AND day = 20718) WHERE class = 2 AND day = 20717")
        .unwrap();
    let (_, told) = verified(dir.path());
    assert!(told["problems"].to_string().contains("they are not those of the day's hours"), "{told}");
}

#[test]
fn a_torn_file_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, ..) = filled(dir.path(), 0, 3000);
    engine.store().checkpoint().unwrap();
    drop(engine);
    let path = dir.path().join("collector.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // A page of results: its header is no longer one.
    let page = bytes.len() / 4096 / 2 * 4096;
    bytes[page..page + 4096].fill(0x55);
    std::fs::write(&path, bytes).unwrap();
    let authority = sitepulse_daemon::identity::CertificateAuthority::create(START).unwrap();
    let error = Engine::open(dir.path(), authority, 1, START).unwrap_err().to_string();
    assert!(error.contains("restore a backup"), "{error}");
}

#[tokio::test]
async fn a_torn_file_that_is_too_big_for_the_start_is_found_beside_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, agent, check) = filled(dir.path(), 0, 3000);
    engine.seal_now().unwrap();
    engine.store().checkpoint().unwrap();
    let chunk: Vec<u8> = {
        let sql = "SELECT body FROM chunk ORDER BY number LIMIT 1";
        engine.store().connection().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    drop(engine);
    let path = dir.path().join("collector.db");
    let sound = std::fs::read(&path).unwrap();
    // The page that the chunk begins in: a start reads no chunk.
    let lies = sound.windows(32).position(|part| part == &chunk[..32]).unwrap();
    let page = lies / 4096 * 4096;
    let mut torn = sound.clone();
    torn[page..page + 4096].fill(0x55);
    let authority = || CertificateAuthority::create(START).unwrap();
    let readyz = async |app: &App| {
        let (_stop, stopping) = tokio::sync::watch::channel(false);
        let console = "https://console.example".into();
        let present = Present::new(app.clone(), sitepulse_notify::Sender::default(), console, stopping);
        health::readyz(axum::extract::State(present)).await
    };
    for (bytes, damaged) in [(&sound, false), (&torn, true)] {
        std::fs::write(&path, bytes).unwrap();
        let at_start = |bytes_max| Engine::open_checking(dir.path(), authority(), 1, START, bytes_max);
        assert_eq!(at_start(bytes.len() as u64).is_err(), damaged, "a small file is looked through before it is used");
        let engine = at_start(bytes.len() as u64 - 1).unwrap();
        assert!(engine.shared().book().pair(check, agent).is_some());
        let app = App::over(engine).unwrap();
        assert_eq!(app.shared().integrity.found(), None, "nobody looked yet");
        sitepulse_collector::seal::task::look_through(app.clone()).await;
        let found = app.shared().integrity.found().expect("it was looked through");
        assert_eq!(found.is_err(), damaged, "{found:?}");
        assert!(found.err().is_none_or(|told| told.contains("restore a backup")));
        let (status, told) = readyz(&app).await;
        assert_eq!((status.as_u16(), told.contains("damaged")), (200, damaged), "{told}");
        app.close().await;
    }
}

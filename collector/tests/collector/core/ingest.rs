//! Each record counts once, whatever happens; nothing is acknowledged that is not durable; nothing blocks an agent for ever.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sitepulse_collector::engine::Engine;
use sitepulse_collector::ingest::{IngestJob, IngestOutcome};
use sitepulse_model::id::{AgentNo, Bucket, CheckNo, Seq};
use sitepulse_model::record::{ProbeState, Record};
use sitepulse_model::time::UtcMicros;

use super::world::*;

fn world() -> (Engine, AgentNo, CheckNo) {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    (engine, agent, CheckNo(1))
}

/// Rows of a table; of results, which share rows, the records.
fn rows(engine: &mut Engine, table: &str) -> i64 {
    let count = if table == "result" { "coalesce(sum(records), 0)" } else { "count(*)" };
    engine.store().connection().query_row(&format!("SELECT {count} FROM {table}"), [], |row| row.get(0)).unwrap()
}

fn ingest(engine: &mut Engine, job: IngestJob) -> IngestOutcome {
    engine.ingest(vec![job]).unwrap()[0]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// N deliveries in any order and grouping give one row, one contribution.
    #[test]
    fn deliveries_count_once(deliveries in prop::collection::vec(prop::collection::vec(0_u64..40, 1..12), 1..20), group in 1_usize..4) {
        let (mut engine, agent, check) = world();
        let mut naive = BTreeSet::new();
        for jobs in deliveries.chunks(group) {
            let mut expected = Vec::new();
            let mut group = Vec::new();
            for seqs in jobs {
                let stored = seqs.iter().filter(|seq| naive.insert(**seq)).count() as u64;
                expected.push(IngestOutcome { stored, duplicates: seqs.len() as u64 - stored, set_aside: 0 });
                let record = |seq: u64| result(check, seq.cast_signed() * 30, ProbeState::Up);
                group.push(job(agent, seqs.iter().map(|seq| entry(&engine, *seq, record(*seq))).collect()));
            }
            prop_assert_eq!(engine.ingest(group).unwrap(), expected);
        }
        prop_assert_eq!(rows(&mut engine, "result"), naive.len() as i64);
        let book = engine.shared().book();
        let pair = book.pair(check, agent).unwrap();
        prop_assert_eq!(pair.ledger.stored, naive.len() as u64);
        prop_assert_eq!(pair.series.slot_count(), naive.len() as u64);
        let last = naive.last().map(|seq| at(seq.cast_signed() * 30));
        prop_assert_eq!(pair.last.as_ref().map(|last| last.scheduled), last);
    }
}

#[test]
fn what_was_committed_before_a_crash_is_recognised_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop"), definition("blog")], &options(), START).unwrap();
    let records = |engine: &Engine| {
        let of = |check, n: u64| entry(engine, n, result(CheckNo(check), n.cast_signed() * 30, ProbeState::Up));
        job(agent, (0..50).flat_map(|n| [of(1, n), of(2, n)]).collect())
    };
    let sent = records(&engine);
    assert_eq!(ingest(&mut engine, sent).stored, 100);
    assert_ne!(definition("shop").id.bucket(), definition("blog").id.bucket());
    assert_eq!(rows(&mut engine, "mark"), 1, "a spool's marks are one row, however many buckets a batch touches");
    // The ack is never sent: the process is gone.
    let before = picture(&engine);
    drop(engine);
    let mut engine = on_disk(dir.path());
    assert_eq!(picture(&engine), before);
    let again = records(&engine);
    assert_eq!(ingest(&mut engine, again), IngestOutcome { stored: 0, duplicates: 100, set_aside: 0 });
    assert_eq!(picture(&engine), before);
    assert_eq!(rows(&mut engine, "result"), 100);
}

#[test]
fn a_rebuilt_book_equals_the_live_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let agent = enrol(&mut engine, "eu-west", None).agent;
    let other = enrol(&mut engine, "us-east", Some("far")).agent;
    engine.apply(vec![definition("shop"), definition("blog")], &options(), START).unwrap();
    let (shop, blog) = (CheckNo(2), CheckNo(1));
    assert_eq!(engine.shared().book().check(shop).unwrap().id.as_str(), "shop");
    let entries = vec![
        entry(&engine, 0, result(shop, 0, ProbeState::Up)),
        entry(&engine, 1, result(shop, 30, ProbeState::Down)),
        entry(&engine, 0, result(blog, 60, ProbeState::Degraded)),
        entry(&engine, 5, missed(shop, 90, 4)),
        entry(&engine, 7, dropped(shop, 300, 2, &[(2, 4), (6, 6)])),
        entry(&engine, 8, result(shop, 30 * 86_400, ProbeState::Up)),
    ];
    let outcome = ingest(&mut engine, job(agent, entries));
    assert_eq!(outcome, IngestOutcome { stored: 5, duplicates: 0, set_aside: 1 });
    let late = entry_of(&engine, "far", 0, result(shop, 30, ProbeState::Up));
    ingest(&mut engine, job(other, vec![late]));
    let mut changed = definition("blog");
    changed.confirmations = 5;
    engine.apply(vec![changed], &options(), at(100)).unwrap();
    let scope = sitepulse_model::control::Scope::Agent(agent);
    let change = sitepulse_model::control::Change::Suspend { until: at(900), reason: "work".into() };
    engine.control(scope, change, "collector:cli", at(400)).unwrap();
    engine.revoke_agent(&sitepulse_model::id::AgentName::parse("far").unwrap(), at(500)).unwrap();
    let live = picture(&engine);
    assert_eq!(engine.awaited(agent), 0, "the tombstone closed every gap");
    drop(engine);
    assert_eq!(picture(&on_disk(dir.path())), live);
}

#[test]
fn a_tombstone_of_what_came_after_all_does_not_count_it_twice() {
    let (mut engine, agent, check) = world();
    let stored = (0..3).map(|n| entry(&engine, n, result(check, n.cast_signed() * 30, ProbeState::Up))).collect();
    ingest(&mut engine, job(agent, stored));
    // The acks were lost; the agent dropped 0..=4 of which 0..=2 are stored here.
    let tombstone = entry(&engine, 5, dropped(check, 0, 5, &[(0, 4)]));
    ingest(&mut engine, job(agent, vec![tombstone]));
    let book = engine.shared().book();
    let ledger = book.pair(check, agent).unwrap().ledger;
    assert_eq!((ledger.stored, ledger.dropped, ledger.accounted()), (3, 2, 5));
}

#[test]
fn senseless_records_are_set_aside_and_the_rest_goes_on() {
    let (mut engine, agent, check) = world();
    let bucket = engine.shared().book().check(check).unwrap().bucket();
    let fine = |engine: &Engine, seq: u64| entry(engine, seq, result(check, seq.cast_signed() * 30, ProbeState::Up));
    let mut entries = vec![fine(&engine, 0)];
    let mut add = |record: Record| {
        let seq = Seq(entries.len() as u64);
        entries.push(sitepulse_wire::message::Entry { bucket, seq, provenance: 0, record });
    };
    add(result(CheckNo(99), 0, ProbeState::Up));
    add(result(check, 3600 + 2 * 86_400, ProbeState::Up));
    add(result(check, -2 * 86_400, ProbeState::Up));
    let mut odd = result(check, 30, ProbeState::Up);
    if let Record::Result(result) = &mut odd {
        result.scheduled = result.scheduled.plus_us(1);
    }
    add(odd);
    let mut revision = result(check, 30, ProbeState::Up);
    if let Record::Result(result) = &mut revision {
        result.revision.0 = 9;
    }
    add(revision);
    let mut range = missed(check, 0, 3);
    if let Record::Missed(missed) = &mut range {
        missed.count = 4;
    }
    add(range);
    add(dropped(check, 0, 1, &[(0, 50)]));
    let mut off = result(check, 30, ProbeState::Up);
    if let Record::Result(result) = &mut off {
        result.scheduled = result.scheduled.plus_us(1000);
    }
    add(off);
    let senseless = entries.len() as u64 - 1;
    let next = entries.len() as u64;
    entries.push(fine(&engine, next));
    let mut wrong = fine(&engine, 0);
    wrong.bucket = Bucket((bucket.0 + 1) % 64);
    entries.push(wrong);
    let mut far = fine(&engine, 0);
    far.seq = Seq(u64::MAX);
    entries.push(far);
    let outcome = ingest(&mut engine, job(agent, entries.clone()));
    assert_eq!(outcome, IngestOutcome { stored: 2, duplicates: 0, set_aside: senseless + 2 });
    assert_eq!(engine.shared().book().quarantined(), senseless + 2);
    assert_eq!(engine.awaited(agent), 0, "what was set aside is not waited for");
    // Sent again, only the one without a mark is written again.
    let outcome = ingest(&mut engine, job(agent, entries));
    assert_eq!((outcome.stored, outcome.set_aside), (0, 1));
    let reasons: i64 = engine
        .store()
        .connection()
        .query_row("SELECT count(DISTINCT reason) FROM quarantine", [], |row| row.get(0))
        .unwrap();
    assert_eq!(reasons, 9);
}

/// Ranges between each other's slots would take memory for each slot: gigabytes for two records.
#[test]
fn interleaving_ranges_cannot_fill_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let year = 365 * 86_400;
    let range = |engine: &Engine, seq: u64, shift_us: i64| {
        let mut entry = entry(engine, seq, missed(CheckNo(1), 0, 1_000_000));
        let Record::Missed(missed) = &mut entry.record else { unreachable!() };
        (missed.first, missed.last) = (missed.first.plus_us(shift_us), missed.last.plus_us(shift_us));
        if seq % 2 == 1 {
            missed.cause = sitepulse_model::record::MissedCause::Overloaded;
        }
        entry
    };
    let ranges = (0..30).map(|seq| range(&engine, seq, seq.cast_signed() * SECOND)).collect();
    let mut sent = job(agent, ranges);
    sent.received_at = at(year);
    let outcome = ingest(&mut engine, sent);
    assert_eq!((outcome.stored, outcome.set_aside), (1, 29));
    assert_eq!(engine.shared().book().pair(CheckNo(1), agent).unwrap().series.run_count(), 1);

    // Nor may one record name more slots than a range holds.
    let mut long = entry(&engine, 40, missed(CheckNo(1), 0, 5_000_001));
    let Record::Missed(missed) = &mut long.record else { unreachable!() };
    missed.last = missed.first.plus_us(INTERVAL_US.cast_signed() * 5_000_000);
    let mut sent = job(agent, vec![long]);
    sent.received_at = at(6 * year);
    assert_eq!(ingest(&mut engine, sent).set_aside, 1);
}

#[test]
fn the_quarantine_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 99999) \
                INSERT INTO quarantine SELECT 0, 1, 1, i, 0, 'bad_range', x'' FROM n";
    engine.store().connection().execute(fill, []).unwrap();
    drop(engine);
    let mut engine = on_disk(dir.path());
    let senseless = |seq| entry(&engine, seq, result(CheckNo(1), -2 * 86_400, ProbeState::Up));
    let sent = job(agent, (0..3).map(senseless).collect());
    assert_eq!(ingest(&mut engine, sent).set_aside, 3);
    let late = entry(&engine, 3, result(CheckNo(1), -2 * 86_400, ProbeState::Up));
    ingest(&mut engine, job(agent, vec![late]));
    assert_eq!((rows(&mut engine, "quarantine"), engine.shared().book().quarantined()), (100_000, 100_003));
}

#[test]
fn a_full_disk_refuses_heals_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let pages = engine.store().pages().unwrap();
    engine.store().limit_pages(pages + 2).unwrap();
    let send = |engine: &Engine, from: u64| {
        let record = |n: u64| entry(engine, n, result(CheckNo(1), n.cast_signed() * 30, ProbeState::Up));
        job(agent, (from..from + 100).map(record).collect())
    };
    let mut acknowledged = 0;
    let refused = loop {
        let sent = send(&engine, acknowledged);
        match engine.ingest(vec![sent]) {
            Ok(outcomes) => acknowledged += outcomes[0].stored,
            Err(error) => break error,
        }
    };
    assert!(refused.is_full(), "{refused}");
    assert!(engine.store().health().readiness().is_err());
    let sent = send(&engine, acknowledged);
    assert!(engine.ingest(vec![sent]).is_err(), "it stays full");
    assert_eq!(engine.shared().book().pair(CheckNo(1), agent).map_or(0, |pair| pair.ledger.stored), acknowledged);

    engine.store().limit_pages(0).unwrap();
    engine.store().probe_write(UtcMicros(0)).unwrap();
    assert!(engine.store().health().readiness().is_ok());
    let sent = send(&engine, acknowledged);
    assert_eq!(engine.ingest(vec![sent]).unwrap()[0].stored, 100);
    assert_eq!(rows(&mut engine, "result"), (acknowledged + 100).cast_signed());
    let live = picture(&engine);
    drop(engine);
    assert_eq!(picture(&on_disk(dir.path())), live);
}

#[test]
fn sources_are_kept_once() {
    let (mut engine, agent, check) = world();
    for n in 0..5 {
        let entries = vec![entry(&engine, n, result(check, n.cast_signed() * 30, ProbeState::Up))];
        ingest(&mut engine, job(agent, entries));
    }
    assert_eq!(rows(&mut engine, "source"), 1);
    let mut other = job(agent, vec![entry(&engine, 9, result(check, 900, ProbeState::Up))]);
    other.batch.provenances[0].clock_offset_us = None;
    ingest(&mut engine, other);
    assert_eq!(rows(&mut engine, "source"), 2);
    // What nothing names, and what only a senseless record names, leaves no row.
    let mut unused = job(agent, vec![entry(&engine, 10, result(check, 990, ProbeState::Up))]);
    unused.batch.provenances.push(sitepulse_model::record::Provenance { build: "x".into(), ..Default::default() });
    ingest(&mut engine, unused);
    assert_eq!(rows(&mut engine, "source"), 2);
    let mut known = 0;
    engine.each_record(|_, _| known += 1).unwrap();
    assert_eq!(known, 7);
}

#[tokio::test]
async fn the_writer_refuses_while_the_disk_is_full_and_takes_again_after() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let entries = |from: u64| -> Vec<_> {
        (from..from + 2000)
            .map(|n| entry(&engine, n, result(CheckNo(1), n.cast_signed() * 30, ProbeState::Up)))
            .collect()
    };
    let (first, second) = (entries(0), entries(0));
    let app = sitepulse_collector::app::App::over(engine).unwrap();
    let fill = |engine: &mut Engine| {
        let pages = engine.store().pages().unwrap();
        engine.store().limit_pages(pages + 1).unwrap();
    };
    app.writer().run(fill).await.unwrap();
    let send = async |entries| {
        let (told, hears) = tokio::sync::oneshot::channel();
        let mut sent = job(agent, entries);
        // Within a day of these slots.
        sent.received_at = at(2000 * 30);
        app.writer().ingest(sent, move |outcome| told.send(outcome).unwrap()).await.unwrap();
        hears.await.unwrap()
    };
    assert_eq!(send(first).await, None);
    assert!(app.readiness().unwrap_err().contains("free some space"));
    app.writer().run(|engine| engine.store().limit_pages(0).unwrap()).await.unwrap();
    assert_eq!(send(second).await.unwrap().stored, 2000);
    assert_eq!(app.readiness(), Ok(()));
    app.close().await;
}

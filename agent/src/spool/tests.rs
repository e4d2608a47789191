//! The spool against a naive model, power cuts, its bound, a full disk and damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use sitepulse_model::id::{Bucket, CheckNo, Incarnation, Revision, Seq};
use sitepulse_model::record::{
    DropReason, Facts, Missed, MissedCause, Phases, ProbeResult, ProbeState, Provenance, Record,
};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::PROVENANCES_MAX;

use super::policy::{Keep, PendingRecord};
use super::schema::OpenSlots;
use super::{Limits, Opened, Spool, SpoolError};

const LIMITS: Limits = Limits { bytes_max: 1 << 20, ballast_bytes: 0 };
const ROOMY: Limits = Limits { bytes_max: 64 << 20, ballast_bytes: 0 };

fn incarnations() -> impl FnMut() -> Incarnation {
    let mut next = 100;
    move || {
        next += 1;
        Incarnation(next)
    }
}

fn open_at(path: &Path, limits: Limits) -> Opened {
    Spool::open(path, limits, UtcMicros(1), &mut incarnations()).unwrap()
}

fn open(dir: &Path, limits: Limits) -> Spool {
    let opened = open_at(&dir.join("spool.db"), limits);
    assert_eq!(opened.set_aside, None);
    opened.spool
}

fn result(check: u32, slot: i64, state: ProbeState) -> Record {
    Record::Result(ProbeResult {
        check: CheckNo(check),
        revision: Revision(1),
        scheduled: UtcMicros(slot),
        started: UtcMicros(slot + 10),
        phases: Phases { connect: Some(300), total: Some(1500), ..Phases::default() },
        state,
        cause: (state != ProbeState::Up).then_some(sitepulse_model::record::Cause::ConnectionRefused),
        failed_phase: None,
        detail: String::new(),
        address: Some("127.0.0.1:80".parse().unwrap()),
        facts: Facts { status: Some(200), ..Facts::default() },
    })
}

fn up(check: u32, slot: i64) -> PendingRecord {
    PendingRecord { bucket: bucket(check), keep: Keep::Success, record: result(check, slot, ProbeState::Up) }
}

fn down(check: u32, slot: i64) -> PendingRecord {
    PendingRecord { bucket: bucket(check), keep: Keep::Notable, record: result(check, slot, ProbeState::Down) }
}

fn bucket(check: u32) -> Bucket {
    Bucket((check % 5) as u8)
}

fn slots(check: u32, slot: i64) -> OpenSlots {
    OpenSlots { revision: Revision(1), bucket: bucket(check), last: UtcMicros(slot), count: 1 }
}

/// All records, by pages.
fn all(spool: &mut Spool) -> Vec<(Bucket, Seq, Record)> {
    let mut out = Vec::new();
    let mut after = 0;
    loop {
        let page = spool.page(after, u64::MAX, 7, usize::MAX).unwrap();
        let Some((_, last)) = page.ids else { return out };
        after = last;
        out.extend(page.entries.into_iter().map(|entry| (entry.bucket, entry.seq, entry.record)));
    }
}

#[test]
fn records_come_back_in_order_with_gapless_numbers_and_their_provenance() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), ROOMY);
    let first = Provenance { build: "1".into(), clock_offset_us: None, clock_uncertainty_us: 0 };
    let second = Provenance { build: "1".into(), clock_offset_us: Some(-7), clock_uncertainty_us: 3 };
    spool.set_provenance(&first);
    spool.append(&[up(1, 10), up(2, 11), down(6, 12)]).unwrap();
    spool.set_provenance(&second);
    spool.append(&[up(1, 20)]).unwrap();
    let page = spool.page(0, u64::MAX, 100, usize::MAX).unwrap();
    assert_eq!(page.ids, Some((1, 4)));
    let keys: Vec<_> = page.entries.iter().map(|entry| (entry.bucket.0, entry.seq.0)).collect();
    assert_eq!(keys, [(1, 0), (2, 0), (1, 1), (1, 2)]);
    let who: Vec<_> = page.entries.iter().map(|entry| &page.provenances[usize::from(entry.provenance)]).collect();
    assert_eq!(who, [&first, &first, &first, &second]);
    // Within the boundary only, and only so many bytes.
    assert_eq!(spool.page(1, 3, 100, usize::MAX).unwrap().ids, Some((2, 3)));
    assert_eq!(spool.page(0, u64::MAX, 100, 1).unwrap().ids, Some((1, 1)));
}

#[test]
fn ids_and_numbers_are_never_used_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), ROOMY);
    spool.append(&[up(1, 10), up(1, 20)]).unwrap();
    spool.delete(&(1..=2)).unwrap();
    let incarnation = spool.incarnation();
    spool.close().unwrap();
    let mut spool = open(dir.path(), ROOMY);
    assert_eq!(spool.incarnation(), incarnation);
    spool.append(&[up(1, 30)]).unwrap();
    let page = spool.page(0, u64::MAX, 10, usize::MAX).unwrap();
    assert_eq!((page.ids, page.entries[0].seq), (Some((3, 3)), Seq(2)));
    assert_eq!(spool.stats().unwrap().oldest, Some(UtcMicros(30)));
}

#[test]
fn full_pages_refuse_and_deletes_still_work() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), ROOMY);
    spool.append(&(0..2000).map(|slot| up(1, slot)).collect::<Vec<_>>()).unwrap();
    spool.begin(CheckNo(1), UtcMicros(9999), slots(1, 9999));
    spool.limit_pages(Some(1)).unwrap();
    let more: Vec<_> = (5000..6000).map(|slot| up(1, slot)).collect();
    let error = spool.append(&more).unwrap_err();
    assert!(matches!(error, SpoolError::Full { .. }), "{error}");
    assert!(error.to_string().contains("free disk space"));
    assert_eq!(spool.records(), 2000);
    assert_eq!(spool.progress().open.len(), 1, "a failed transaction changes nothing");
    spool.delete(&(1..=1500)).unwrap();
    spool.append(&more).unwrap();
    assert_eq!(spool.records(), 1500);
}

#[test]
fn more_provenances_than_a_batch_may_name_take_more_pages() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), ROOMY);
    let count = PROVENANCES_MAX as i64 + 10;
    for at in 0..count {
        spool.set_provenance(&Provenance {
            build: "1".into(),
            clock_offset_us: Some(at * 100),
            clock_uncertainty_us: 3,
        });
        spool.append(&[up(1, at)]).unwrap();
    }
    let page = spool.page(0, u64::MAX, 1000, usize::MAX).unwrap();
    assert_eq!((page.ids, page.provenances.len()), (Some((1, PROVENANCES_MAX as u64)), PROVENANCES_MAX));
    let page = spool.page(PROVENANCES_MAX as u64, u64::MAX, 1000, usize::MAX).unwrap();
    assert_eq!((page.ids, page.provenances.len()), (Some((PROVENANCES_MAX as u64 + 1, count as u64)), 10));
}

#[test]
fn a_clock_measured_to_go_as_before_is_no_new_provenance() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), ROOMY);
    let measured = |clock_offset_us, clock_uncertainty_us| Provenance {
        build: "1".into(),
        clock_offset_us: Some(clock_offset_us),
        clock_uncertainty_us,
    };
    let told = [
        (measured(0, 100), 1),
        (measured(-90, 80), 1),
        (measured(300, 500), 1),
        // Twice as exact, or elsewhere for sure.
        (measured(20, 40), 2),
        (measured(200, 40), 3),
        (measured(201, 30), 3),
        (Provenance { build: "2".into(), ..measured(200, 40) }, 4),
    ];
    for (slot, (provenance, number)) in (0..).zip(told) {
        spool.set_provenance(&provenance);
        spool.append(&[up(1, slot)]).unwrap();
        let page = spool.page(0, u64::MAX, 1000, usize::MAX).unwrap();
        assert_eq!(page.provenances.len(), number, "{provenance:?}");
    }
}

#[test]
fn a_full_disk_does_not_keep_the_spool_from_opening() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { ballast_bytes: 64 << 10, ..ROOMY };
    let mut spool = open(dir.path(), limits);
    spool.append(&[up(1, 10)]).unwrap();
    spool.close().unwrap();
    let ballast = dir.path().join("spool.db.ballast");
    assert!(ballast.exists());
    // Opening and saying who measures write nothing.
    let before = fs::read(dir.path().join("spool.db")).unwrap();
    let mut spool = open(dir.path(), limits);
    spool.set_provenance(&Provenance { build: "2".into(), ..Provenance::default() });
    assert_eq!(fs::metadata(dir.path().join("spool.db-wal")).map_or(0, |metadata| metadata.len()), 0);
    assert_eq!(fs::read(dir.path().join("spool.db")).unwrap(), before);
    // The first transaction takes the clean mark away and says who measured.
    spool.append(&[up(1, 20)]).unwrap();
    let copy = power_cut(dir.path());
    let raw = rusqlite::Connection::open(copy.path().join("spool.db")).unwrap();
    let closed: bool = raw.query_row("SELECT closed FROM state", [], |row| row.get(0)).unwrap();
    assert!(!closed);
    let page = spool.page(1, u64::MAX, 10, usize::MAX).unwrap();
    assert_eq!(page.provenances[0].build, "2");
}

#[test]
fn a_tombstone_is_younger_than_all_it_buries() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), LIMITS);
    // Nothing is read in between, so the check's tombstone may grow as long as that is right.
    for round in 0..600_i64 {
        let group: Vec<_> = (0..100).map(|i| up(1, round * 100 + i)).collect();
        spool.append(&group).unwrap();
    }
    let mut tombstones = 0;
    for (_, seq, record) in all(&mut spool) {
        let Record::Dropped(dropped) = record else { continue };
        tombstones += 1;
        assert!(dropped.seqs.iter().all(|(_, last)| last.0 < seq.0), "{seq:?} buries {:?}", dropped.seqs);
    }
    assert!(tombstones > 0);
}

#[test]
fn what_makes_room_says_nothing_of_slots_whose_tombstone_is_still_to_come() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), LIMITS);
    spool.begin(CheckNo(3), UtcMicros(1), slots(3, 1));
    spool.advance(UtcMicros(2));
    for round in 0..60_i64 {
        spool.append(&(0..100).map(|i| up(1, round * 100 + i)).collect::<Vec<_>>()).unwrap();
    }
    let kept = power_cut(dir.path());
    let progress = open(kept.path(), LIMITS).progress().clone();
    // Its record was dropped in memory; other slots came and went.
    spool.forget(CheckNo(3), UtcMicros(1));
    spool.advance(UtcMicros(1_000_000));
    let mut made_room = 0;
    while spool.drop_chunk(Keep::Success).unwrap() > 0 && made_room < 3 {
        made_room += 1;
    }
    assert_eq!(made_room, 3);
    let cut = power_cut(dir.path());
    assert_eq!(open(cut.path(), LIMITS).progress(), &progress);
    spool.checkpoint_progress().unwrap();
    assert!(spool.progress().open.is_empty());
}

#[test]
fn the_bound_drops_successes_first_and_accounts_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), LIMITS);
    let mut scheduled: BTreeMap<u32, u64> = BTreeMap::new();
    let mut downs = 0;
    for round in 0..400_i64 {
        let mut group = Vec::new();
        for i in 0..100_i64 {
            let slot = round * 100 + i;
            let check = (slot % 3) as u32;
            *scheduled.entry(check).or_default() += 1;
            if slot % 50 == 0 {
                downs += 1;
                group.push(down(check, slot));
            } else {
                group.push(up(check, slot));
            }
        }
        spool.append(&group).unwrap();
    }
    let size = fs::metadata(dir.path().join("spool.db")).map_or(0, |m| m.len());
    assert!(size <= 1 << 20, "{size}");
    let records = all(&mut spool);
    assert_eq!(records.len() as u64, spool.records());
    let kept_downs = records
        .iter()
        .filter(|(_, _, record)| matches!(record, Record::Result(result) if result.state == ProbeState::Down))
        .count();
    assert_eq!(kept_downs, downs, "failures stay while successes can go");
    conserve(&records, &scheduled);
}

#[test]
fn a_spool_of_failures_alone_stays_bounded_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), LIMITS);
    for round in 0..300_i64 {
        let group: Vec<_> = (0..100).map(|i| down((i % 40) as u32, round * 100 + i)).collect();
        spool.append(&group).unwrap();
        if round % 50 == 0 {
            // What was read may have been sent: its tombstones stop growing.
            all(&mut spool);
        }
    }
    let records = all(&mut spool);
    let scheduled = (0..40).map(|check| (check, if check < 20 { 900 } else { 600 })).collect();
    conserve(&records, &scheduled);
}

/// Scheduled = stored + dropped, per check; and no number is both stored and dropped.
fn conserve(records: &[(Bucket, Seq, Record)], scheduled: &BTreeMap<u32, u64>) {
    let mut seen: BTreeMap<u32, u64> = BTreeMap::new();
    let mut numbers: BTreeMap<(u8, u64), u32> = BTreeMap::new();
    for (bucket, seq, record) in records {
        *numbers.entry((bucket.0, seq.0)).or_default() += 1;
        *seen.entry(record.check().0).or_default() += match record {
            Record::Result(_) => 1,
            Record::Missed(missed) => missed.count,
            Record::Dropped(dropped) => {
                assert_eq!(dropped.reason, DropReason::SpoolFull);
                for (from, to) in &dropped.seqs {
                    for seq in from.0..=to.0 {
                        *numbers.entry((bucket.0, seq)).or_default() += 1;
                    }
                }
                dropped.count
            }
        };
    }
    assert_eq!(&seen, scheduled);
    assert!(numbers.values().all(|count| *count == 1), "a number occurs twice");
}

#[test]
fn damage_is_set_aside_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    fs::write(&path, b"this is no database, however long it is, and it never was one").unwrap();
    let opened = open_at(&path, ROOMY);
    let moved = opened.set_aside.unwrap();
    assert!(moved.path.file_name().unwrap().to_str().unwrap().starts_with("spool.db.corrupt-"));
    let mut spool = opened.spool;
    spool.append(&[up(1, 1)]).unwrap();
    spool.begin(CheckNo(2), UtcMicros(5), slots(2, 5));
    let before = spool.incarnation();
    let (mut spool, _) = spool.set_aside("a test".into(), UtcMicros(2), &mut || Incarnation(7)).unwrap();
    assert_ne!(spool.incarnation(), before);
    assert_eq!(spool.records(), 0);
    assert!(spool.progress().open.contains_key(&(CheckNo(2), UtcMicros(5))), "the schedule's progress goes on");
    assert_eq!(all(&mut spool), []);
    assert_eq!(fs::read_dir(dir.path()).unwrap().filter(|e| is_set_aside(e.as_ref().unwrap())).count(), 2);
}

fn is_set_aside(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy().into_owned();
    name.contains(".corrupt-") && !name.ends_with("-wal")
}

/// Copies database and log as they are on the disk now: what a power cut leaves.
fn power_cut(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["spool.db", "spool.db-wal"] {
        if dir.join(name).exists() {
            fs::copy(dir.join(name), copy.path().join(name)).unwrap();
        }
    }
    copy
}

#[derive(Debug, Clone)]
enum Step {
    Begin(u32),
    Append(usize),
    Miss(u32),
    Advance,
    Delete(usize),
    PowerCut,
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_u32).prop_map(Step::Begin),
        4 => (1..6_usize).prop_map(Step::Append),
        1 => (0..4_u32).prop_map(Step::Miss),
        2 => Just(Step::Advance),
        2 => (1..5_usize).prop_map(Step::Delete),
        1 => Just(Step::PowerCut),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 1..60)
}

/// The naive model: what must be on the disk.
#[derive(Debug, Clone, Default)]
struct Model {
    records: Vec<(Bucket, Seq, Record)>,
    next_seq: BTreeMap<u8, u64>,
    open: BTreeMap<(CheckNo, UtcMicros), OpenSlots>,
    frontier: i64,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_the_model_across_power_cuts(steps in steps()) {
        let mut home = tempfile::tempdir().unwrap();
        let mut spool = open(home.path(), ROOMY);
        spool.advance(UtcMicros(0));
        spool.checkpoint_progress().unwrap();
        let mut memory = Model::default();
        let mut disk = memory.clone();
        let mut slot = 0;
        for step in steps {
            slot += 1;
            match step {
                Step::Begin(check) => {
                    spool.begin(CheckNo(check), UtcMicros(slot), slots(check, slot));
                    memory.open.insert((CheckNo(check), UtcMicros(slot)), slots(check, slot));
                }
                Step::Advance => {
                    spool.advance(UtcMicros(slot));
                    memory.frontier = slot;
                }
                Step::Append(count) => {
                    let keys: Vec<_> = memory.open.keys().take(count).copied().collect();
                    let group: Vec<_> = keys.iter().map(|(check, slot)| up(check.0, slot.0)).collect();
                    spool.append(&group).unwrap();
                    note(&mut memory, &group);
                    disk = memory.clone();
                }
                Step::Miss(check) => {
                    let record = Record::Missed(Missed {
                        check: CheckNo(check), revision: Revision(1), first: UtcMicros(slot), last: UtcMicros(slot),
                        count: 1, cause: MissedCause::Suspended,
                    });
                    let group = [PendingRecord { bucket: bucket(check), keep: Keep::Notable, record }];
                    spool.append(&group).unwrap();
                    note(&mut memory, &group);
                    disk = memory.clone();
                }
                Step::Delete(count) => {
                    if let Some((first, last)) = spool.page(0, u64::MAX, count, usize::MAX).unwrap().ids {
                        spool.delete(&(first..=last)).unwrap();
                        let gone = count.min(memory.records.len());
                        memory.records.drain(..gone);
                        disk = memory.clone();
                    }
                }
                Step::PowerCut => {
                    let copy = power_cut(home.path());
                    drop(spool);
                    home = copy;
                    spool = open(home.path(), ROOMY);
                    memory = disk.clone();
                }
                Step::Close => {
                    spool.close().unwrap();
                    spool = open(home.path(), ROOMY);
                    disk = memory.clone();
                }
            }
            prop_assert_eq!(&spool.progress().open, &memory.open);
            prop_assert_eq!(spool.progress().frontier, UtcMicros(memory.frontier));
            prop_assert_eq!(spool.records(), memory.records.len() as u64);
        }
        prop_assert_eq!(all(&mut spool), memory.records);
    }

    #[test]
    fn random_damage_never_panics_nor_gives_wrong_records(
        at in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 1..20),
        cut in prop::option::of(0.0..1.0_f64),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool.db");
        let mut spool = open(dir.path(), ROOMY);
        spool.append(&(0..500).map(|slot| up((slot % 7) as u32, slot)).collect::<Vec<_>>()).unwrap();
        let truth = all(&mut spool);
        // Without the clean mark: as after a crash.
        let copy = power_cut(dir.path());
        drop(spool);
        fs::copy(&path, copy.path().join("spool.db")).unwrap();
        drop(fs::remove_file(copy.path().join("spool.db-wal")));
        let path: PathBuf = copy.path().join("spool.db");
        let mut bytes = fs::read(&path).unwrap();
        for (share, value) in at {
            let index = ((bytes.len() - 1) as f64 * share) as usize;
            bytes[index] ^= value;
        }
        if let Some(share) = cut {
            bytes.truncate((bytes.len() as f64 * share) as usize);
        }
        fs::write(&path, &bytes).unwrap();
        let mut spool = match Spool::open(&path, ROOMY, UtcMicros(9), &mut incarnations()) {
            Ok(opened) => opened.spool,
            // Damage of these four bytes looks like a newer version.
            Err(error) if error.to_string().contains("newer agent") => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(format!("cannot go on: {error}"))),
        };
        let mut after = 0;
        let mut read = Vec::new();
        loop {
            match spool.page(after, u64::MAX, 50, usize::MAX) {
                Ok(page) => {
                    let Some((_, last)) = page.ids else { break };
                    after = last;
                    read.extend(page.entries.into_iter().map(|entry| (entry.bucket, entry.seq, entry.record)));
                }
                Err(SpoolError::Damaged { reason, .. }) => {
                    spool = spool.set_aside(reason, UtcMicros(10), &mut incarnations()).unwrap().0;
                    after = 0;
                }
                Err(error) => return Err(TestCaseError::fail(format!("not told as damage: {error}"))),
            }
        }
        prop_assert!(read.iter().all(|record| truth.contains(record)));
        if let Err(error) = spool.append(&[up(1, 1000)]) {
            prop_assert!(matches!(error, SpoolError::Damaged { .. }), "{}", error);
        }
    }
}

fn note(model: &mut Model, group: &[PendingRecord]) {
    for record in group {
        let next = model.next_seq.entry(record.bucket.0).or_default();
        model.records.push((record.bucket, Seq(*next), record.record.clone()));
        *next += 1;
        model.open.remove(&(record.record.check(), record.record.scheduled()));
    }
}

//! What must hold once everything is healed and drained. Each breach is told in one line; an empty list is a passed run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;
use sitepulse_collector::book::{Book, Filter};
use sitepulse_collector::store::FILE;
use sitepulse_model::control::ControlEvent;
use sitepulse_model::id::{AgentNo, CheckNo, Incarnation, Revision};
use sitepulse_model::record::{DropReason, Dropped, Record};
use sitepulse_model::sla::Account;
use sitepulse_model::time::{Span, UtcMicros};

use super::agent::Agent;
use super::naive::{self, Evidence};
use super::{START, World, collector};

/// A row of the store.
struct Row {
    bucket: u8,
    agent: AgentNo,
    incarnation: Incarnation,
    seq: u64,
    record: Record,
}

/// Most breaches of one kind that are told.
const TOLD_MAX: usize = 5;

/// Looks at everything.
pub(super) fn judge(world: &mut World) -> Vec<String> {
    let mut broken = Vec::new();
    let copy = world.folder.path().join("judged");
    world.collector.copy(&copy);
    let rows = read(&copy);
    let engine = world.collector.engine.as_ref().expect("the collector runs");
    let book = engine.shared().book();
    keys(&rows, world, &mut broken);
    for agent in &world.agents {
        ledger(&rows, agent, &mut broken);
        coverage(&rows, agent, &book, &mut broken);
        control(agent, &book, &mut broken);
    }
    if book.quarantined() > 0 {
        broken.push(format!("{} records were set aside as senseless", book.quarantined()));
    }
    conservation(&book, &world.agents, world.now, &mut broken);
    rebuilt(&copy, &book, world.now, &mut broken);
    figures(&rows, &book, world.now, &mut world.rng.clone(), &mut broken);
    broken.truncate(40);
    broken
}

fn read(dir: &Path) -> Vec<Row> {
    let db = Connection::open(dir.join(FILE)).expect("the store opens");
    let row = |row: crate::oracle::StoredRow| Row {
        bucket: row.bucket,
        agent: AgentNo(row.agent),
        incarnation: Incarnation(row.incarnation as u64),
        seq: row.seq as u64,
        record: row.record,
    };
    crate::oracle::rows(&db).into_iter().map(row).collect()
}

/// I3: every key once; sequence numbers without gaps but for those a tombstone names.
fn keys(rows: &[Row], world: &World, broken: &mut Vec<String>) {
    let mut stored: BTreeMap<(u8, AgentNo, Incarnation), BTreeSet<u64>> = BTreeMap::new();
    let mut buried: BTreeMap<(u8, AgentNo, Incarnation), BTreeSet<u64>> = BTreeMap::new();
    for row in rows {
        let key = (row.bucket, row.agent, row.incarnation);
        if !stored.entry(key).or_default().insert(row.seq) {
            broken.push(format!("I3: {key:?} seq {} is stored twice", row.seq));
        }
        if let Record::Dropped(dropped) = &row.record {
            buried.entry(key).or_default().extend(dropped.seqs.iter().flat_map(|(first, last)| first.0..=last.0));
        }
    }
    for (key, seqs) in &stored {
        let lost = world.agents.iter().any(|agent| agent.truth.lost.contains(&key.2));
        let none = BTreeSet::new();
        let gone = buried.get(key).unwrap_or(&none);
        let last = seqs.last().copied().unwrap_or(0);
        let gaps: Vec<u64> = (0..=last).filter(|seq| !seqs.contains(seq) && !gone.contains(seq)).collect();
        if !gaps.is_empty() && !lost {
            broken.push(format!("I2: {key:?}: seqs {gaps:?} never came"));
        }
    }
}

/// I1 and I2: what was committed to a spool is stored once, and nothing else is.
fn ledger(rows: &[Row], agent: &Agent, broken: &mut Vec<String>) {
    let mut balance: BTreeMap<(Incarnation, Vec<u8>), i64> = BTreeMap::new();
    let bytes = |record: &Record| {
        let mut bytes = Vec::new();
        sitepulse_wire::record::encode(record, &mut bytes);
        bytes
    };
    for committed in &agent.truth.committed {
        *balance.entry((committed.incarnation, bytes(&committed.record))).or_default() += 1;
    }
    let mut dropped = false;
    for row in rows.iter().filter(|row| row.agent == agent.identity.agent) {
        match &row.record {
            Record::Dropped(_) => dropped = true,
            Record::Result(_) | Record::Missed(_) => {
                *balance.entry((row.incarnation, bytes(&row.record))).or_default() -= 1;
            }
        }
    }
    let mut told = 0;
    for ((incarnation, record), count) in balance.into_iter().filter(|(_, count)| *count != 0) {
        let excused = count > 0 && (dropped || agent.truth.lost.contains(&incarnation));
        if excused || told >= TOLD_MAX {
            continue;
        }
        told += 1;
        let what =
            if count > 0 { "I1: committed to the spool, not stored" } else { "stored more often than committed" };
        let record = sitepulse_wire::record::decode(&record);
        broken.push(format!("{}: {what} ({count}): {record:?}", agent.identity.name));
    }
}

/// The slots a record speaks for.
fn slots(record: &Record, book: &Book) -> Vec<UtcMicros> {
    match record {
        Record::Result(result) => vec![result.scheduled],
        Record::Missed(missed) => {
            let step = interval(book, missed.check, missed.revision);
            (0..missed.count as i64).map(|n| missed.first.plus_us(n * step)).collect()
        }
        Record::Dropped(_) => Vec::new(),
    }
}

fn interval(book: &Book, check: CheckNo, revision: Revision) -> i64 {
    let check = book.check(check).expect("a stored record's check is known");
    check.revision(revision).expect("a stored record's revision is known").definition.interval_us as i64
}

/// I4: every slot of the lattice has exactly one record, or a tombstone; nothing has a record that was no slot.
fn coverage(rows: &[Row], agent: &Agent, book: &Book, broken: &mut Vec<String>) {
    let truth = &agent.truth;
    let own = || rows.iter().filter(|row| row.agent == agent.identity.agent);
    for (check, epochs) in &truth.epochs {
        let mut counts: BTreeMap<UtcMicros, u64> = BTreeMap::new();
        let mut tombstones: Vec<&Dropped> = Vec::new();
        for row in own().filter(|row| row.record.check() == *check) {
            for slot in slots(&row.record, book) {
                *counts.entry(slot).or_default() += 1;
            }
            if let Record::Dropped(dropped) = &row.record {
                tombstones.push(dropped);
            }
        }
        let repeated = |slot: UtcMicros| truth.repeated.iter().any(|span| span.contains(slot));
        let buried = |slot: UtcMicros, reason: DropReason| {
            tombstones.iter().any(|dropped| dropped.reason == reason && dropped.first <= slot && slot <= dropped.last)
        };
        let mut wrong = Vec::new();
        let mut expected = BTreeSet::new();
        let mut uncovered = 0;
        for epoch in epochs {
            let last = epoch.to.unwrap_or(UtcMicros::MAX).min(truth.horizon.plus_us(-1));
            let mut slot = epoch.lattice.at_or_after(epoch.from);
            while slot <= last {
                expected.insert(slot);
                let count = counts.get(&slot).copied().unwrap_or(0);
                // What a lost spool held of a lattice that was gone by the next start is told by nobody: a known gap.
                let forgotten = !truth.lost.is_empty() && epoch.to.is_some();
                let fine = count == 1
                    || repeated(slot)
                    || (count == 0 && forgotten)
                    || (count == 0 && buried(slot, DropReason::SpoolCorrupt))
                    || (count == 0 && buried(slot, DropReason::SpoolFull));
                if count == 0 && !repeated(slot) && !buried(slot, DropReason::SpoolCorrupt) {
                    uncovered += 1;
                }
                if !fine {
                    wrong.push(format!("slot {} has {count} records", slot.us_since(START)));
                }
                slot = slot.plus_us(epoch.lattice.interval_us as i64);
            }
        }
        let ends = epochs.iter().filter(|epoch| epoch.to.is_none()).map(|epoch| epoch.lattice).next_back();
        for (slot, count) in &counts {
            let later = *slot >= truth.horizon && ends.is_some_and(|lattice| lattice.at_or_after(*slot) == *slot);
            if !expected.contains(slot) && !later && !repeated(*slot) {
                wrong.push(format!("slot {} is none and has {count} records", slot.us_since(START)));
            }
        }
        let told: u64 =
            tombstones.iter().filter(|dropped| dropped.reason == DropReason::SpoolFull).map(|one| one.count).sum();
        if truth.repeated.is_empty() && truth.lost.is_empty() && told != uncovered {
            wrong.push(format!("tombstones tell of {told} slots, {uncovered} have no record"));
        }
        let more = wrong.len().saturating_sub(TOLD_MAX);
        wrong.truncate(TOLD_MAX);
        let context = format!("I4: {} check {check}", agent.identity.name);
        broken.extend(wrong.into_iter().map(|what| format!("{context}: {what}")));
        if more > 0 {
            broken.push(format!("{context}: and {more} more"));
        }
    }
    let strange: BTreeSet<CheckNo> =
        own().map(|row| row.record.check()).filter(|check| !truth.epochs.contains_key(check)).collect();
    if !strange.is_empty() {
        broken.push(format!("{}: records of checks it never had: {strange:?}", agent.identity.name));
    }
    broken.extend(truth.broken.iter().cloned());
}

/// Both sides hold the same control events.
fn control(agent: &Agent, book: &Book, broken: &mut Vec<String>) {
    let sorted = |mut events: Vec<ControlEvent>| {
        events.sort_by(|a, b| a.id.cmp(&b.id));
        events
    };
    let there = sorted(book.events_for(agent.identity.agent).collect());
    let here = sorted(agent.events().into_iter().map(|(event, _)| event).collect());
    let known = sorted(agent.log().map(|log| log.events().collect()).unwrap_or_default());
    if here != there || known != there {
        broken.push(format!(
            "{}: control histories differ: {} in its file, {} in its memory, {} at the collector",
            agent.identity.name,
            here.len(),
            known.len(),
            there.len()
        ));
    }
}

/// The collector's own report explains every run of agents whose clocks and disks were sound. It cannot know when an agent heard of
/// a check that came back or changed its interval, so only pairs that kept one lattice are looked at.
fn conservation(book: &Book, agents: &[Agent], now: i64, broken: &mut Vec<String>) {
    for row in book.conservation(START.plus_us(now)) {
        let sound = agents.iter().find(|agent| agent.identity.agent == row.agent).is_some_and(|agent| {
            let truth = &agent.truth;
            truth.repeated.is_empty()
                && truth.lost.is_empty()
                && truth.epochs.get(&row.check).is_some_and(|epochs| epochs.len() == 1)
        });
        if sound && row.slots.unexplained() > 0 {
            broken.push(format!(
                "I4: the collector reports {} unexplained runs of check {} on agent {}",
                row.slots.unexplained(),
                row.check,
                row.agent
            ));
        }
    }
}

/// The book is a function of the tables.
fn rebuilt(dir: &Path, live: &Book, now: i64, broken: &mut Vec<String>) {
    let again = collector::open(dir, START.plus_us(now));
    let again = again.shared().book();
    let mut differ = |what: String| broken.push(format!("the book rebuilt from the store differs: {what}"));
    if live.checks().count() != again.checks().count() || live.agents().count() != again.agents().count() {
        differ("other checks or agents".to_owned());
    }
    for check in live.checks() {
        let Some(other) = again.check(check.number) else {
            differ(format!("no check {}", check.number));
            continue;
        };
        if check.revisions != other.revisions || check.pairs.len() != other.pairs.len() {
            differ(format!("check {}'s history", check.number));
        }
        for (agent, pair) in &check.pairs {
            let same = other.pairs.get(agent).is_some_and(|other| {
                pair.series == other.series && pair.ledger == other.ledger && pair.last == other.last
            });
            if !same {
                differ(format!("check {} on agent {agent}", check.number));
            }
        }
    }
    if !live.control().events().eq(again.control().events()) || live.quarantined() != again.quarantined() {
        differ("control events or quarantine".to_owned());
    }
}

/// The figures equal a naive model's over the same records.
fn figures(rows: &[Row], book: &Book, now: i64, rng: &mut super::Rng, broken: &mut Vec<String>) {
    let mut evidence = Evidence::default();
    for row in rows {
        let interval = match &row.record {
            Record::Missed(missed) => interval(book, missed.check, missed.revision),
            Record::Result(_) | Record::Dropped(_) => 0,
        };
        evidence.add(row.agent, &row.record, interval);
    }
    let agents: Vec<AgentNo> = book.agents().map(|agent| agent.number).collect();
    for check in book.checks() {
        let whole = book.period(check, Some(START), None, START.plus_us(now));
        let from = START.plus_us(rng.range(0, now / 2));
        let part = Span::new(from, from.plus_us(rng.range(1, now / 2)));
        let one = Filter::Agent(rng.pick(&agents));
        for (filter, period) in [(&Filter::All, whole), (&one, part)] {
            let period = period.clip(whole);
            let said = book.account(check.number, filter, period).expect("a known check");
            let naive = naive::account(book, &evidence, check, filter, period);
            if !alike(&said, &naive) {
                broken.push(format!(
                    "SLA of check {} ({filter:?}, {period:?}): {said:?}, naively {naive:?}",
                    check.number
                ));
            }
        }
    }
}

fn alike(a: &Account, b: &Account) -> bool {
    let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    let times = |a: &Account| (a.up_us, a.degraded_us, a.regional_us, a.down_us, a.maintenance_us, a.unknown);
    times(a) == times(b)
        && near(a.weighted_availability(), b.weighted_availability())
        && near(a.availability(), b.availability())
        && near(a.completeness(), b.completeness())
}

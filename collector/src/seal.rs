//! The life of results after their arrival: sealed into chunks and series, merged, in the end dropped; the store's file neither grows
//! without bound nor is read whole at a start.
//!
//! One background task does it all, one step at a time ([`task`]). It reads beside the writer, prepares whole bodies, and hands the writer short
//! transactions; each of them checks that what it was prepared from still stands, so a kill between any two leaves nothing to repair.
//! When to seal is decided by [`Arrivals`], a machine without IO.
//!
//! What is sealed describes exactly the records up to the seal, however much more the book knows: it is derived from what was sealed before and the
//! records that are sealed now, never from the book.

pub mod compact;
mod excess;
pub mod retention;
pub mod task;

pub(crate) use excess::{UNSEALED_AT_START_MAX, seal_excess};

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_model::id::{AgentNo, BUCKETS, CheckNo, Revision};
use sitepulse_model::record::Record;
use sitepulse_model::time::{Span, UtcMicros};

use crate::book::Book;
use crate::engine::Engine;
use crate::failpoint;
use crate::latency::Sample;
use crate::store::chunk::{self, Stored};
use crate::store::records::{self, Kept};
use crate::store::rows::Arrival;
use crate::store::seal::{self, ChunkBody, PairKey, Portion, Prepared, PreparedPair, RawRow, RawRows};
use crate::store::series::{self, Sealed};
use crate::store::{StoreError, Tables, mend, rollup};

/// Records of one chunk, about.
pub(crate) const CHUNK_RECORDS: usize = 1000;
/// Most bytes of the portions that are held at a time, before they are decoded.
const GATHER_BYTES_MAX: u64 = 64 << 20;
/// Most rows that one transaction deletes: blocks, each about a page.
pub(crate) const DELETE_ROWS: u64 = 500;

/// When records are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealing {
    /// Each time so many microseconds are over, counted from 1970: nothing waits for longer. Of twelve hours that is at noon and at midnight of UTC, so a day's rollups are
    /// written when half of it is there and when all is. A little later in fact ([`Self::edge`]).
    pub after_us: i64,
    /// When there are so many; the newest quarter waits.
    pub records: u64,
    /// When there are so many of each pair of a check and an agent, if that is more: what sealing writes anew for each pair is shared by them, and where they make whole
    /// chunks none is merged later. A quarter of that at a time costs three times as much for each.
    pub per_pair: u64,
}

/// Pairs raise the number of records to no more than this: a start reads them one by one, and so does who asks for records.
const RECORDS_FOR_PAIRS_MAX: u64 = 800_000;

impl Default for Sealing {
    fn default() -> Self {
        Self { after_us: 12 * 3600 * 1_000_000, records: 250_000, per_pair: 800 }
    }
}

impl Sealing {
    /// What came in up to this instant is due at `now`. A 72nd of the time behind the hour, so that what was due before it is there: a straggler would have its whole day's
    /// rollups written once more.
    fn edge(self, now: UtcMicros) -> UtcMicros {
        let after = self.after_us.max(1);
        let behind = after / 72;
        UtcMicros(now.0.saturating_sub(behind).div_euclid(after).saturating_mul(after).saturating_add(behind))
    }

    /// With the number of records that goes with so many pairs.
    pub(crate) fn among(self, pairs: u64) -> Self {
        let wanted = self.per_pair.saturating_mul(pairs).min(RECORDS_FOR_PAIRS_MAX);
        Self { records: self.records.max(wanted), ..self }
    }
}

/// Remembers when records came in, and tells how far to seal.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// Instants with the newest arrival of then, oldest first.
    seen: VecDeque<(UtcMicros, Arrival)>,
}

/// Most instants that are remembered: a few for each share of the waiting time.
const SEEN_MAX: usize = 256;

impl Arrivals {
    /// Everything that is there at the start came in by `at`.
    pub(crate) fn starting(at: UtcMicros, newest: Arrival) -> Self {
        Self { seen: VecDeque::from([(at, newest)]) }
    }

    /// Notes the newest arrival. `sealed` is where the buckets are sealed to.
    pub(crate) fn note(&mut self, now: UtcMicros, newest: Arrival, sealed: Arrival, sealing: Sealing) {
        // The first instant that is not sealed tells how old the oldest is.
        while self.seen.front().is_some_and(|(_, arrival)| *arrival <= sealed) {
            self.seen.pop_front();
        }
        // With some to spare: records wait for a little more than the time.
        let step = sealing.after_us / (SEEN_MAX as i64 * 3 / 4);
        let known = self.seen.back().is_some_and(|(at, arrival)| *arrival == newest || now.us_since(*at) < step);
        if newest > sealed && !known && self.seen.len() < SEEN_MAX {
            self.seen.push_back((now, newest));
        }
    }

    /// The arrival to seal up to now, if it is time.
    pub(crate) fn cut(&self, now: UtcMicros, newest: Arrival, sealed: Arrival, sealing: Sealing) -> Option<Arrival> {
        let unsealed = newest.0.saturating_sub(sealed.0).unsigned_abs();
        let by_count = (unsealed >= sealing.records.max(1))
            .then(|| Arrival(newest.0 - (sealing.records / 4).min(unsealed / 2).cast_signed()));
        let edge = sealing.edge(now);
        let by_age = self.seen.iter().rev().find(|(at, _)| *at <= edge).map(|(_, arrival)| *arrival);
        by_count.max(by_age).filter(|cut| *cut > sealed)
    }
}

/// The interval of every revision of every check: what missed ranges are spread by.
#[derive(Debug, Default, Clone)]
pub(crate) struct Intervals(HashMap<(CheckNo, Revision), u64>);

impl Intervals {
    pub(crate) fn of(book: &Book) -> Self {
        let revisions = book.checks().flat_map(|check| check.revisions.iter().map(move |one| (check.number, one)));
        Self(revisions.map(|(check, one)| ((check, one.revision), one.definition.interval_us)).collect())
    }

    /// Learns of a revision.
    pub(crate) fn learn(&mut self, check: CheckNo, revision: Revision, interval_us: u64) {
        self.0.insert((check, revision), interval_us);
    }

    /// The interval that a record's slots are apart, for a missed range.
    pub(crate) fn of_record(&self, record: &Record) -> Option<u64> {
        match record {
            Record::Missed(missed) => self.0.get(&(missed.check, missed.revision)).copied(),
            Record::Result(_) | Record::Dropped(_) => None,
        }
    }
}

/// The latest slot that a record speaks of.
pub(crate) fn last_slot(record: &Record) -> UtcMicros {
    match record {
        Record::Result(result) => result.scheduled,
        Record::Missed(missed) => missed.last,
        Record::Dropped(dropped) => dropped.last,
    }
}

/// What is sealed of one pair: its records in order of arrival, and when each arrived. Used for one pair after the other: a record is large, and one
/// pair's fit into the processor's caches.
#[derive(Debug, Default)]
struct Arrived {
    arrivals: Vec<Arrival>,
    records: Vec<Stored>,
}

/// To bodies of about [`CHUNK_RECORDS`], by their slots.
fn chunks(arrived: &mut Arrived) -> Vec<ChunkBody> {
    let Arrived { arrivals, records } = arrived;
    // A record is large to move about, and mostly they lie in order.
    if !records.is_sorted_by_key(|stored| stored.record.scheduled()) {
        let mut both: Vec<(Arrival, Stored)> = arrivals.drain(..).zip(records.drain(..)).collect();
        both.sort_by_key(|(arrival, stored)| (stored.record.scheduled(), *arrival));
        (*arrivals, *records) = both.into_iter().unzip();
    }
    let parts = records.len().div_ceil(CHUNK_RECORDS).max(1);
    let each = records.len().div_ceil(parts).max(1);
    let number = |arrivals: &[Arrival]| arrivals.iter().copied().max().unwrap_or_default();
    let bodies = records.chunks(each).zip(arrivals.chunks(each));
    bodies.map(|(records, arrivals)| chunk_of(records, number(arrivals))).collect()
}

/// The body of a chunk; `number` is the newest arrival among its records.
pub(crate) fn chunk_of(records: &[Stored], number: Arrival) -> ChunkBody {
    let first = records.iter().map(|stored| stored.record.scheduled()).min().unwrap_or_default();
    let last = records.iter().map(|stored| last_slot(&stored.record)).max().unwrap_or(first);
    ChunkBody { first, last, number, records: records.len() as u64, body: chunk::encode(records) }
}

/// The months whose slots records add to.
fn months<'r>(records: impl Iterator<Item = &'r Record>) -> BTreeSet<i64> {
    let mut months = BTreeSet::new();
    // Of the month that came last: mostly the next record's too, and a date costs some divisions.
    let mut known = Span::new(UtcMicros::MAX, UtcMicros::MAX);
    for record in records {
        let (first, last) = match record {
            Record::Result(_) | Record::Missed(_) => (record.scheduled(), last_slot(record)),
            Record::Dropped(_) => continue,
        };
        if !known.contains(first) || !known.contains(last) {
            let (begin, end) = (series::month_of(first), series::month_of(last));
            // One that is damaged may end before it begins.
            months.extend(begin.min(end)..=begin.max(end));
            known = series::month_span(end);
        }
    }
    months
}

/// What a portion's transaction writes: from what is sealed before and the portion's records, in order of arrival.
pub(crate) fn prepare(
    tables: Tables<'_>,
    portion: Portion,
    rows: &RawRows,
    intervals: &Intervals,
) -> Result<Prepared, StoreError> {
    let mut prepared = Prepared::of(portion);
    let set_aside = |row: &RawRow, bytes: &[u8], error: StoreError| {
        tracing::error!("{error}: the record with arrival {} is set aside in the table quarantine", row.arrival.0);
        row.set_aside(bytes, portion.bucket)
    };
    // Which pair each is of is told before they are read, so that they are read pair by pair.
    let mut order: Vec<(CheckNo, AgentNo, usize)> = Vec::with_capacity(rows.iter().len());
    for (at, (row, bytes)) in rows.iter().enumerate() {
        match row.check(bytes) {
            Ok(check) => order.push((check, row.agent, at)),
            Err(error) => prepared.damaged.push(set_aside(row, bytes, error)),
        }
    }
    order.sort_unstable();
    let mut arrived = Arrived::default();
    for pair in order.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1)) {
        arrived.arrivals.clear();
        arrived.records.clear();
        for (_, _, at) in pair {
            let (row, bytes) = rows.at(*at);
            match row.decode(bytes) {
                Ok(stored) => {
                    arrived.arrivals.push(row.arrival);
                    arrived.records.push(stored);
                }
                Err(error) => prepared.damaged.push(set_aside(row, bytes, error)),
            }
        }
        let Some((check, agent, _)) = pair.first().filter(|_| !arrived.records.is_empty()) else { continue };
        let key = PairKey { bucket: portion.bucket, check: *check, agent: *agent };
        let records = arrived.records.iter().map(|stored| &stored.record);
        let mut sealed: Sealed = mend::pair_or_anew(tables, key, intervals, &mut prepared.asides)?.unwrap_or_default();
        let touched = months(records.clone());
        for month in &touched {
            mend::load_or_anew(tables, (key, *month), intervals, &mut sealed, &mut prepared.asides)?;
        }
        sealed.insert_all(records, |record| intervals.of_record(record));
        let chunks = chunks(&mut arrived);
        // By their slots now: hour after hour.
        let begun = clock::monotonic();
        let samples = arrived.records.iter().filter_map(|stored| sample(&stored.record));
        let rollups = rollup::with_sealed(tables, key, samples, &mut prepared.asides)?;
        prepared.rollups += clock::monotonic().since(begun);
        let (segments, pair) = (segments(&sealed.pair.series), series::encode_pair(&sealed));
        prepared.pairs.push(PreparedPair { key, rollups, chunks, segments, pair });
    }
    Ok(prepared)
}

/// What latency figures need of a record.
fn sample(record: &Record) -> Option<Sample> {
    match record {
        Record::Result(result) => Sample::of(result),
        Record::Missed(_) | Record::Dropped(_) => None,
    }
}

/// A series to the bodies of its months.
pub(crate) fn segments(series: &sitepulse_model::series::Series) -> Vec<(i64, Vec<u8>)> {
    let mut months: BTreeMap<i64, Vec<sitepulse_model::series::Run>> = BTreeMap::new();
    for run in series.runs() {
        series::by_month(*run, |month, part| months.entry(month).or_default().push(part));
    }
    months.into_iter().map(|(month, runs)| (month, series::encode_segment(runs.iter()))).collect()
}

/// The first of `portions` that fit into memory together; at least one.
fn batch(portions: &[Portion]) -> &[Portion] {
    let mut bytes = 0;
    let fits = portions.iter().take_while(|portion| {
        bytes += portion.bytes;
        bytes <= GATHER_BYTES_MAX
    });
    let count = fits.count().max(1).min(portions.len());
    &portions[..count]
}

/// Everything of some portions, ready to be written.
pub(crate) fn prepare_batch(
    tables: Tables<'_>,
    portions: &[Portion],
    intervals: &Intervals,
) -> Result<Vec<Prepared>, StoreError> {
    let rows = seal::gather(tables, portions)?;
    let none = RawRows::default();
    let of = |portion: &Portion| rows.get(&portion.bucket).unwrap_or(&none);
    portions.iter().map(|portion| prepare(tables, *portion, of(portion), intervals)).collect()
}

impl Engine {
    /// Writes what was prepared of one bucket in one transaction; whether it still fitted.
    pub(crate) fn write_sealed(&mut self, prepared: &Prepared) -> Result<bool, StoreError> {
        let sealed = self.pausing(|engine| -> Result<Option<Duration>, StoreError> {
            let sealed = engine.store.write(|tables| {
                let sealed = seal::seal(tables, prepared, clock::now())?;
                failpoint::pass("seal.turn");
                Ok(sealed)
            })?;
            failpoint::pass("seal.turned");
            Ok(sealed)
        })?;
        if let Some(set) = sealed {
            let ns = u64::try_from((prepared.rollups + set).as_nanos()).unwrap_or(u64::MAX);
            self.shared.counters.rollups_ns.fetch_add(ns, Ordering::Relaxed);
            // From here on the store's rollups tell of them.
            let mut book = self.shared.book_mut();
            book.forget_latencies(prepared.portion.bucket, prepared.portion.upto);
            let set_aside = prepared.damaged.len() as u64;
            book.count_quarantined(set_aside);
            drop(book);
            self.quarantined_rows += set_aside;
        }
        Ok(sealed.is_some())
    }

    /// Deletes a slice of the rows that every bucket has sealed; how many went.
    pub(crate) fn delete_sealed(&mut self) -> Result<u64, StoreError> {
        self.pausing(|engine| engine.store.write(|tables| seal::delete_sealed(tables, DELETE_ROWS)))
    }

    /// Does something that everybody else waits for, and notes how long they did.
    fn pausing<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let started = clock::monotonic();
        let out = work(self);
        let us = clock::monotonic().us_since(started);
        self.shared.counters.pause_us_max.fetch_max(us, Ordering::Relaxed);
        out
    }

    /// The longest transaction of sealing, merging and letting go so far.
    pub fn pauses(&self) -> Duration {
        Duration::from_micros(self.shared.counters.pause_us_max.load(Ordering::Relaxed))
    }

    /// How much of the time that sealing took went into rollups so far: reading, making and setting them, without their share of the commits.
    pub fn rollups(&self) -> Duration {
        Duration::from_nanos(self.shared.counters.rollups_ns.load(Ordering::Relaxed))
    }

    /// Calls `each` with every record that is kept, once, by check and slot: for tests and the simulator.
    pub fn each_record(&mut self, mut each: impl FnMut(CheckNo, Kept)) -> Result<(), StoreError> {
        let checks: Vec<_> = self.shared.book().checks().map(|check| (check.bucket(), check.number)).collect();
        let always = Span::new(UtcMicros::MIN, UtcMicros::MAX);
        for (bucket, check) in checks {
            let told = records::records_of(self.store.read(), bucket, check, None, always, |kept| {
                each(check, kept);
                ControlFlow::Continue(())
            })?;
            if let Some(damaged) = told.damaged.first() {
                return Err(StoreError::BadRow { table: "chunk", what: damaged.what.clone() });
            }
        }
        Ok(())
    }

    /// Seals everything there is up to now in the caller's thread, and deletes the rows: what the task does in steps, for tests and the simulator.
    /// Amendments under way are written first, as they would be in time. How many records were sealed.
    pub fn seal_now(&mut self) -> Result<u64, StoreError> {
        self.settle(clock::now(), true)?;
        self.seal_what_can_be()
    }

    /// [`Self::seal_now`] without what amendments under way need.
    pub fn seal_what_can_be(&mut self) -> Result<u64, StoreError> {
        self.seal_first(u64::MAX)
    }

    /// Seals at most so many buckets and deletes nothing: what a kill may leave behind. How many there were, and records in them.
    pub fn seal_buckets(&mut self, buckets: usize) -> Result<(usize, u64), StoreError> {
        self.seal_turn(self.arrival, buckets)
    }

    /// Seals what arrived first, so many records, as the task does from time to time, and deletes the rows: for benchmarks. How many were sealed.
    pub fn seal_first(&mut self, records: u64) -> Result<u64, StoreError> {
        let sealed = seal::upto(self.store.read())?.into_iter().min().unwrap_or_default();
        let cut = Arrival(sealed.0.saturating_add_unsigned(records)).min(self.arrival);
        let mut records = 0;
        loop {
            let (buckets, sealed) = self.seal_turn(cut, usize::from(BUCKETS))?;
            records += sealed;
            if buckets == 0 {
                break;
            }
        }
        while self.delete_sealed()? > 0 {}
        Ok(records)
    }

    fn seal_turn(&mut self, cut: Arrival, buckets: usize) -> Result<(usize, u64), StoreError> {
        let intervals = Intervals::of(&self.shared.book());
        let portions = seal::portions(self.store.read(), cut)?;
        let first = batch(&portions);
        let mut records = 0;
        let mut done = 0;
        for prepared in prepare_batch(self.store.read(), &first[..buckets.min(first.len())], &intervals)? {
            if !self.write_sealed(&prepared)? {
                break;
            }
            done += 1;
            records += prepared.portion.rows;
        }
        Ok((done, records))
    }
}

#[cfg(test)]
mod tests {
    use sitepulse_daemon::identity::CertificateAuthority;
    use sitepulse_model::id::{Bucket, Seq};
    use sitepulse_model::record::{DropReason, Dropped, Missed, MissedCause};

    use super::*;
    use crate::secret::Vault;
    use crate::store::Store;
    use crate::store::block::Place;
    use crate::store::rows::Appender;

    const NOW: UtcMicros = UtcMicros(1_790_000_000_000_000);

    /// An engine over so many records that are not sealed, of one source; `record` tells the bucket of each. None of them is late: no amendment holds a turn back.
    fn waiting(dir: &std::path::Path, count: u64, record: impl Fn(u64) -> (u8, Record)) -> Engine {
        let mut store = Store::open(dir, 1, NOW).unwrap();
        let write = |tables: Tables<'_>| {
            let mut appender = Appender::new(tables, Arrival(0))?;
            for n in 0..count {
                let (bucket, record) = record(n);
                appender.record(Place { bucket: Bucket(bucket), source: 1, seq: Seq(n) }, &record)?;
            }
            appender.finish()
        };
        store.write(write).unwrap();
        store.connection().execute("INSERT INTO source VALUES (0, 1, 1, 7, '', NULL, 0)", []).unwrap();
        let authority = CertificateAuthority::create(NOW).unwrap();
        Engine::rebuild(store, Vault::default(), authority, NOW, u64::MAX).unwrap()
    }

    /// Seals all; of each turn that took in something its portion, and the records that it wrote, whatever the portion says.
    fn turns(engine: &mut Engine) -> Vec<(Portion, u64)> {
        let mut turns = Vec::new();
        loop {
            let portions = seal::portions(engine.store.read(), engine.arrival).unwrap();
            if portions.is_empty() {
                break;
            }
            for prepared in prepare_batch(engine.store.read(), batch(&portions), &Intervals::default()).unwrap() {
                let taken: u64 = prepared.pairs.iter().flat_map(|pair| &pair.chunks).map(|chunk| chunk.records).sum();
                assert!(engine.write_sealed(&prepared).unwrap());
                turns.extend((taken > 0).then_some((prepared.portion, taken)));
            }
        }
        let count = |engine: &Engine, what: &str| -> u64 {
            let sum = format!("SELECT coalesce(sum(records), 0) FROM {what}");
            engine.store.connection().query_row(&sum, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
        };
        assert_eq!(count(engine, "chunk"), count(engine, "result"));
        while engine.delete_sealed().unwrap() > 0 {}
        assert_eq!(count(engine, "result"), 0);
        turns
    }

    /// All that is written waits for one transaction of sealing, so what it takes in of a bucket is bounded, however many pairs wait there and however
    /// much of each.
    #[test]
    fn a_turn_takes_in_a_bounded_part_of_a_bucket_and_in_the_end_all_is_sealed() {
        const MOST: u64 = 32_000;
        const PAIRS: u64 = 40;
        let (records, beside) = (2 * MOST + 6_000, 300);
        let dir = tempfile::tempdir().unwrap();
        let mut engine = waiting(dir.path(), records + beside, |n| {
            let (bucket, check) = if n < records { (5, 1 + n % PAIRS) } else { (6, 1 + PAIRS) };
            let slot = NOW.plus_us((n / PAIRS).cast_signed() * 60_000_000);
            let (check, revision, cause) = (CheckNo(check as u32), Revision(1), MissedCause::Overloaded);
            (bucket, Record::Missed(Missed { check, revision, first: slot, last: slot, count: 1, cause }))
        });
        let turns: Vec<_> = turns(&mut engine).into_iter().map(|(portion, taken)| (portion.bucket.0, taken)).collect();
        assert_eq!(turns, [(5, MOST), (6, beside), (5, MOST), (5, 6_000)]);
    }

    /// Few large records are as long a turn as many small ones.
    #[test]
    fn a_turn_takes_in_a_bounded_number_of_bytes() {
        const MOST: u64 = 16 << 20;
        const RECORDS: u64 = 5_000;
        let dir = tempfile::tempdir().unwrap();
        let mut engine = waiting(dir.path(), RECORDS, |n| {
            let slot = NOW.plus_us(n.cast_signed() * 60_000_000);
            // Far apart, so that each takes bytes.
            let seqs: Vec<_> =
                (0..1_000).map(|gap| (n + gap * 1_000_003) * 1_009).map(|at| (Seq(at), Seq(at))).collect();
            let count = seqs.len() as u64;
            let (revision, reason) = (Revision(1), DropReason::SpoolFull);
            (5, Record::Dropped(Dropped { check: CheckNo(1), revision, first: slot, last: slot, count, reason, seqs }))
        });
        let turns = turns(&mut engine);
        let bytes: Vec<u64> = turns.iter().map(|(portion, _)| portion.bytes).collect();
        let each = bytes.iter().sum::<u64>() / RECORDS;
        assert!(each > 4_000 && bytes.len() >= 2, "{bytes:?}");
        let (last, full) = bytes.split_last().unwrap();
        assert!(full.iter().all(|bytes| *bytes <= MOST && *bytes > MOST - 2 * each) && *last <= MOST, "{bytes:?}");
        assert_eq!(turns.iter().map(|(_, taken)| taken).sum::<u64>(), RECORDS);
    }

    const MINUTE: i64 = 60 * 1_000_000;
    const HOUR: i64 = 60 * MINUTE;
    const SEALING: Sealing = Sealing { after_us: 6 * HOUR, records: 1000, per_pair: 0 };

    fn at(hours: i64) -> UtcMicros {
        UtcMicros(hours * HOUR)
    }

    #[test]
    fn what_came_in_is_sealed_a_little_after_every_sixth_hour() {
        let mut arrivals = Arrivals::starting(at(6).plus_us(10 * MINUTE), Arrival(0));
        for hour in 7..12 {
            arrivals.note(at(hour), Arrival(10 * hour), Arrival(0), SEALING);
            assert_eq!(arrivals.cut(at(hour), Arrival(10 * hour), Arrival(0), SEALING), None, "{hour}");
        }
        // The first of what comes after noon is of slots before it.
        let noon = |minutes: i64| at(12).plus_us(minutes * MINUTE);
        arrivals.note(noon(4), Arrival(125), Arrival(0), SEALING);
        assert_eq!(arrivals.cut(noon(4), Arrival(125), Arrival(0), SEALING), None);
        arrivals.note(noon(6), Arrival(130), Arrival(0), SEALING);
        assert_eq!(arrivals.cut(noon(6), Arrival(130), Arrival(0), SEALING), Some(Arrival(125)));
        arrivals.note(noon(7), Arrival(130), Arrival(125), SEALING);
        assert_eq!(arrivals.cut(at(18), Arrival(130), Arrival(125), SEALING), None);
        assert_eq!(arrivals.cut(at(18).plus_us(5 * MINUTE), Arrival(130), Arrival(125), SEALING), Some(Arrival(130)));
        // After hours in which nobody looked: all but what came in since.
        arrivals.note(at(23), Arrival(140), Arrival(130), SEALING);
        arrivals.note(at(47), Arrival(150), Arrival(130), SEALING);
        assert_eq!(arrivals.cut(at(47), Arrival(150), Arrival(130), SEALING), Some(Arrival(140)));
    }

    #[test]
    fn many_are_sealed_at_once_but_for_the_newest() {
        let arrivals = Arrivals::starting(at(0), Arrival(1999));
        assert_eq!(arrivals.cut(at(0), Arrival(1999), Arrival(1000), SEALING), None);
        assert_eq!(arrivals.cut(at(0), Arrival(2000), Arrival(1000), SEALING), Some(Arrival(1750)));
        // Nobody may ask for a seal without an end.
        let none = Sealing { records: 0, ..SEALING };
        assert_eq!(arrivals.cut(at(0), Arrival(1000), Arrival(1000), none), None);
    }

    #[test]
    fn many_pairs_wait_for_more_than_a_handful_of_each() {
        let default = Sealing::default();
        assert_eq!(
            [0, 300, 500, 1_000, 50_000, u64::MAX].map(|pairs| default.among(pairs).records),
            [250_000, 250_000, 400_000, 800_000, 800_000, 800_000]
        );
        assert_eq!(SEALING.among(50_000), SEALING, "a number that somebody chose stays");
        let more = Sealing { records: 5_000_000, ..default };
        assert_eq!(more.among(50_000).records, 5_000_000);
    }

    #[test]
    fn nothing_new_is_nothing_to_seal_whatever_the_clock_does() {
        let mut arrivals = Arrivals::starting(at(0), Arrival(5));
        for hour in [1, 100, 50, 1000] {
            arrivals.note(at(hour), Arrival(5), Arrival(5), SEALING);
            assert_eq!(arrivals.cut(at(hour), Arrival(5), Arrival(5), SEALING), None);
        }
        // A clock that leapt back only delays.
        arrivals.note(at(500), Arrival(6), Arrival(5), SEALING);
        assert_eq!(arrivals.cut(at(0), Arrival(6), Arrival(5), SEALING), None);
        assert_eq!(arrivals.cut(at(506), Arrival(6), Arrival(5), SEALING), Some(Arrival(6)));
    }

    #[test]
    fn every_month_that_records_add_to_is_told() {
        use sitepulse_model::record::{DropReason, Dropped};
        let (check, revision, cause) = (CheckNo(1), Revision(1), MissedCause::Suspended);
        // 2026-11-01T00:00:00Z, the first of month 682.
        let november = series::month_span(682).from;
        let slot = |days: i64| november.plus_us(days * 24 * HOUR);
        let missed = |first: i64, last: i64| {
            let (first, last) = (slot(first), slot(last));
            Record::Missed(Missed { check, revision, first, last, count: 1, cause })
        };
        let (first, last, reason, seqs) = (slot(-400), slot(400), DropReason::SpoolFull, Vec::new());
        let dropped = Record::Dropped(Dropped { check, revision, first, last, count: 1, reason, seqs });
        let told = |records: &[Record]| months(records.iter()).into_iter().collect::<Vec<_>>();
        assert_eq!(told(&[missed(0, 0), missed(29, 29), dropped]), [682]);
        assert_eq!(told(&[missed(5, 5), missed(30, 30), missed(6, 6), missed(-1, -1)]), [681, 682, 683]);
        assert_eq!(
            told(&[missed(5, 5), missed(6, 70)]),
            [682, 683, 684],
            "a range that begins in a month that is known"
        );
        assert_eq!(told(&[missed(70, 70), missed(-1, 69)]), [681, 682, 683, 684]);
        assert_eq!(told(&[missed(30, 5), missed(6, 6)]), [682, 683], "a damaged one that ends before it begins");
        assert_eq!(told(&[]), [0_i64; 0]);
    }

    #[test]
    fn memory_of_arrivals_is_bounded() {
        let mut arrivals = Arrivals::starting(at(0), Arrival(0));
        for n in 0..100_000 {
            arrivals.note(UtcMicros(n * SEALING.after_us), Arrival(n), Arrival(-1), SEALING);
        }
        assert!(arrivals.seen.len() <= SEEN_MAX);
    }
}

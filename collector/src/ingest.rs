//! Takes in batches: validates, regroups by bucket, dedupes by mark, writes everything in one transaction, then updates the book.
//!
//! What figures need of a `web_vitals` result goes into a table of its own in the same transaction, and so do its report and its screenshot, which
//! leave its record ([`crate::vitals`]). The mark that dedupes the record dedupes them.
//!
//! A record that makes no sense never blocks its agent: it is set aside in the table `quarantine` with the reason, counted, and
//! acknowledged like the rest, because its sender could only send it again.

pub mod import;
mod mark;
mod validate;
mod vitals;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;

use sitepulse_model::amendment::{LATE_US_MIN, late_after_us};
use sitepulse_model::id::{AgentNo, BUCKETS, Bucket, CheckNo};
use sitepulse_model::record::Record;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::{Batch, Entry};

use crate::amend::Old;
use crate::book::Book;
use crate::engine::Engine;
use crate::store::block::Place;
use crate::store::rows::{Appender, Arrival, Quarantine, RecordKey, Source};
use crate::store::{self, StoreError, Tables, rows};
use crate::vitals::{Documents, Row, ScreenshotKey, profile_of, put_report};

pub use mark::{Inserted, Mark, Marks, SpoolKey};
pub use validate::SetAside;
use validate::Sound;

/// Largest sequence number that is taken: beyond it a sender is broken.
const SEQ_MAX: u64 = 1 << 62;
/// Most rows in the table `quarantine`: what is set aside beyond is only counted.
const QUARANTINE_ROWS_MAX: u64 = 100_000;

/// One batch of one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestJob {
    /// Whose.
    pub agent: AgentNo,
    /// When it came in.
    pub received_at: UtcMicros,
    /// The records.
    pub batch: Batch,
}

/// From where batches come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From their agent, which forgets them once they are acknowledged.
    Agent,
    /// From a collector's export: tombstones were settled there, and what is refused is in the file still.
    Import,
}

/// What became of a batch's records: their sum is the batch's length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IngestOutcome {
    /// New and stored.
    pub stored: u64,
    /// Seen before: nothing was written.
    pub duplicates: u64,
    /// Set aside as senseless.
    pub set_aside: u64,
}

/// What a transaction will change in memory once it is committed.
#[derive(Default)]
struct Pending {
    marks: Vec<(SpoolKey, Marks)>,
    sources: Vec<(u32, Source)>,
    screenshots: Vec<(CheckNo, ScreenshotKey)>,
    quarantined: u64,
    /// Records that may be late.
    old: Vec<Old>,
}

impl Pending {
    /// Position of a spool's marks in `marks`, copied from the committed ones at their first use. `home`: the agent's bucket.
    fn marks(&mut self, known: &Known<'_>, key: SpoolKey, home: Bucket) -> usize {
        // A transaction brings batches of a few spools.
        self.marks.iter().position(|(pended, _)| *pended == key).unwrap_or_else(|| {
            self.marks.push((key, known.marks.get(&key).cloned().unwrap_or_else(|| Marks::new(home))));
            self.marks.len() - 1
        })
    }
}

/// What the book says of a batch. Only the writer changes what it is judged by, so it stays true until the batch is written.
struct Judged {
    /// The agent's bucket; `None` for an unknown agent.
    bucket: Option<Bucket>,
    verdicts: Vec<Result<CheckNo, SetAside>>,
    /// Each entry that is a result of a `web_vitals` check.
    pages: BTreeMap<usize, PageResult>,
}

/// What a result of a `web_vitals` check has beyond its record.
struct PageResult {
    /// The device profile's name.
    profile: String,
    /// Whether it came in late: it counts for figures, and pages nobody.
    late: bool,
    /// What was taken out of the record.
    documents: Documents,
}

impl Judged {
    fn of(book: &Book, job: &IngestJob) -> Self {
        let agent = book.agent(job.agent);
        let provenances = job.batch.provenances.len();
        let judge = |entry| match agent {
            Some(agent) => validate::entry(book, agent, entry, provenances, job.received_at),
            None => Err(SetAside::UnknownAgent),
        };
        let mut pages = BTreeMap::new();
        let mut verdicts = Vec::with_capacity(job.batch.entries.len());
        for (index, entry) in job.batch.entries.iter().enumerate() {
            let sound = judge(entry);
            if let (Record::Result(_), Ok(Sound { revision: Some(revision), .. })) = (&entry.record, &sound)
                && let Some(profile) = profile_of(&revision.definition)
            {
                let profile = profile.name().to_owned();
                let lag_us = job.received_at.us_since(entry.record.scheduled());
                let late = lag_us > late_after_us(revision.definition.hold_us());
                pages.insert(index, PageResult { profile, late, documents: Documents::default() });
            }
            verdicts.push(sound.map(|sound| sound.check));
        }
        Self { bucket: agent.map(|agent| agent.name.bucket()), pages, verdicts }
    }

    /// Takes the documents out of the results that bring some. Reads them, so it is for when nobody waits for a lock.
    fn take_documents(&mut self, job: &mut IngestJob) {
        let mut refused = 0;
        for (index, page) in &mut self.pages {
            if let Some(Entry { record: Record::Result(result), .. }) = job.batch.entries.get_mut(*index) {
                page.documents = Documents::take(&mut result.facts);
                refused += page.documents.refused;
            }
        }
        if refused > 0 {
            tracing::warn!(agent = %job.agent, refused, "reports or screenshots that are none: their results are kept without them");
        }
    }
}

/// What is committed.
struct Known<'a> {
    quarantined: u64,
    marks: &'a HashMap<SpoolKey, Marks>,
    sources: &'a SourceCache,
}

impl Engine {
    /// Takes in a group of batches in one transaction: all of it is durable when this returns `Ok`, and nothing changed when it
    /// returns `Err`. Each job's outcome in order. An agent the book does not know is a programming error of the session's and
    /// has all its records set aside.
    pub fn ingest(&mut self, jobs: Vec<IngestJob>) -> Result<Vec<IngestOutcome>, StoreError> {
        self.ingest_from(jobs, Origin::Agent)
    }

    /// [`Self::ingest`] of batches that come another way.
    pub(crate) fn ingest_from(
        &mut self,
        jobs: Vec<IngestJob>,
        origin: Origin,
    ) -> Result<Vec<IngestOutcome>, StoreError> {
        let mut jobs = jobs;
        let mut pending = Pending::default();
        let mut outcomes = vec![IngestOutcome::default(); jobs.len()];
        // Of what is stored its number of arrival.
        let mut fresh: Vec<Vec<Option<Arrival>>> = jobs.iter().map(|job| vec![None; job.batch.entries.len()]).collect();
        // No guard is held while the disk works: readers would wait for it behind the next writer.
        let mut judged: Vec<Judged> = {
            let book = self.shared.book();
            jobs.iter().map(|job| Judged::of(&book, job)).collect()
        };
        for (job, judged) in jobs.iter_mut().zip(&mut judged) {
            judged.take_documents(job);
        }
        let known = Known { quarantined: self.quarantined_rows, marks: &self.marks, sources: &self.sources };
        let (arrival, late) = self.store.write(|tables| {
            let mut appender = Appender::new(tables, self.arrival)?;
            for (((job, judged), outcome), fresh) in jobs.iter_mut().zip(&judged).zip(&mut outcomes).zip(&mut fresh) {
                known.take_in(tables, origin, job, judged, &mut appender, &mut pending, outcome, fresh)?;
            }
            let arrival = appender.finish()?;
            store::marks::set(tables, &pending.marks)?;
            let late = {
                let book = self.shared.book();
                self.amend.sort(&pending.old, |check, revision| book.holds(check, revision))
            };
            for (write, row) in late.rows(self.arrival) {
                store::amendments::note(tables, write, &row)?;
            }
            Ok((arrival, late))
        })?;

        self.arrival = arrival;
        self.quarantined_rows += pending.quarantined;
        self.marks.extend(pending.marks);
        for (number, source) in pending.sources {
            self.sources.remember(number, source);
        }
        let set_aside = outcomes.iter().map(|outcome| outcome.set_aside).sum();
        let mut book = self.shared.book_mut();
        let known = |(check, agent)| book.pair(check, agent).map(|pair| &pair.series);
        self.alert.note_late(&late, known);
        self.amend.take(&late, known);
        for ((job, judged), fresh) in jobs.into_iter().zip(&mut judged).zip(fresh) {
            for ((index, mut entry), fresh) in job.batch.entries.into_iter().enumerate().zip(fresh) {
                let Some(arrival) = fresh else { continue };
                // The newest result of each agent is shown whole.
                let report = judged.pages.get_mut(&index).and_then(|page| page.documents.report.take());
                if let (Record::Result(result), Some(json)) = (&mut entry.record, report) {
                    put_report(&mut result.facts, json);
                }
                self.alert.note(job.agent, &entry.record, job.received_at);
                book.insert_record(job.agent, arrival, entry.record);
            }
        }
        for (check, key) in pending.screenshots {
            book.insert_screenshot(check, key);
        }
        book.count_quarantined(set_aside);
        drop(book);
        self.shared.counters.commits.fetch_add(1, Ordering::Relaxed);
        for outcome in &outcomes {
            self.shared.counters.stored.fetch_add(outcome.stored, Ordering::Relaxed);
            self.shared.counters.duplicates.fetch_add(outcome.duplicates, Ordering::Relaxed);
            self.shared.counters.set_aside.fetch_add(outcome.set_aside, Ordering::Relaxed);
            self.shared.counters.batches.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.tick();
        Ok(outcomes)
    }
}

impl Known<'_> {
    #[allow(clippy::too_many_arguments, reason = "each is another owner's")]
    fn take_in(
        &self,
        tables: Tables<'_>,
        origin: Origin,
        job: &mut IngestJob,
        judged: &Judged,
        appender: &mut Appender<'_>,
        pending: &mut Pending,
        outcome: &mut IngestOutcome,
        fresh: &mut [Option<Arrival>],
    ) -> Result<(), StoreError> {
        let agent_no = job.agent;
        let incarnation = job.batch.incarnation;
        let mut sources: Vec<Option<u32>> = vec![None; job.batch.provenances.len()];
        let home = judged.bucket.unwrap_or(Bucket(0));
        let mut spool = None;
        let mut first_set_aside = None;

        for index in by_bucket(&job.batch.entries) {
            let Some(entry) = job.batch.entries.get_mut(index) else { continue };
            let mut verdict = judged.verdicts[index];
            // A number that is no bucket, or beyond every counter, has no mark to be noted in.
            if entry.bucket.0 < BUCKETS && entry.seq.0 <= SEQ_MAX {
                let at =
                    *spool.get_or_insert_with(|| pending.marks(self, SpoolKey { agent: agent_no, incarnation }, home));
                let mark = pending.marks[at].1.of_mut(entry.bucket);
                let inserted = match origin {
                    Origin::Agent => mark.insert(entry.seq),
                    // The agent may live and need what is left.
                    Origin::Import if mark.is_half_full() => mark.insert_without_gap(entry.seq),
                    Origin::Import => mark.insert(entry.seq),
                };
                match inserted {
                    Inserted::New => {}
                    Inserted::Known => {
                        outcome.duplicates += 1;
                        continue;
                    }
                    Inserted::Full if origin == Origin::Import => {
                        outcome.set_aside += 1;
                        continue;
                    }
                    Inserted::Full => verdict = Err(SetAside::TooManyGaps),
                }
                if verdict.is_ok()
                    && origin == Origin::Agent
                    && let Record::Dropped(dropped) = &mut entry.record
                {
                    // What came in after all, though its sender never heard the ack, is stored and not dropped.
                    let known: u64 = dropped.seqs.iter().map(|(first, last)| mark.insert_range(*first, *last)).sum();
                    dropped.count = dropped.count.saturating_sub(known);
                }
            }
            match (verdict, &mut entry.record) {
                (Ok(check), Record::Result(result)) => {
                    if let Some(PageResult { profile, late, documents }) = judged.pages.get(&index) {
                        let shift_sources = documents.shift_sources.clone();
                        let row = Row { shift_sources, ..Row::of(agent_no, profile, result) };
                        store::vitals::insert(tables, entry.bucket, check, (incarnation, entry.seq), &row, *late)?;
                        let run = (agent_no, result.scheduled);
                        store::vitals::set_report(tables, entry.bucket, check, run, documents.report.as_deref())?;
                        if let Some(jpeg) = &documents.jpeg {
                            let key = ScreenshotKey { scheduled: result.scheduled, agent: agent_no };
                            store::vitals::insert_screenshot(tables, entry.bucket, check, key, jpeg)?;
                            pending.screenshots.push((check, key));
                        }
                    }
                }
                (Err(_), Record::Result(result)) => vitals::cut_documents(&mut result.facts),
                (Ok(_) | Err(_), Record::Missed(_) | Record::Dropped(_)) => {}
            }
            match verdict {
                Ok(_) => {
                    let at = usize::from(entry.provenance);
                    let source = match sources[at] {
                        Some(number) => number,
                        None => {
                            let provenance = job.batch.provenances[at].clone();
                            let source = Source { agent: agent_no, incarnation, provenance };
                            self.source_number(tables, source, judged.bucket, pending)?
                        }
                    };
                    sources[at] = Some(source);
                    let place = Place { bucket: entry.bucket, source, seq: entry.seq };
                    fresh[index] = Some(appender.record(place, &entry.record)?);
                    outcome.stored += 1;
                    if job.received_at.us_since(entry.record.scheduled()) > LATE_US_MIN {
                        pending.old.extend(Old::of(entry.bucket, agent_no, &entry.record, job.received_at));
                    }
                }
                Err(reason) => {
                    if self.quarantined + pending.quarantined < QUARANTINE_ROWS_MAX {
                        let key = RecordKey { bucket: entry.bucket, agent: agent_no, incarnation, seq: entry.seq };
                        let mut body = Vec::new();
                        sitepulse_wire::record::encode(&entry.record, &mut body);
                        Quarantine::new(tables)?.set_aside(key, job.received_at, reason.as_str(), &body)?;
                        pending.quarantined += 1;
                    }
                    outcome.set_aside += 1;
                    first_set_aside.get_or_insert((entry.bucket, entry.seq, entry.record.check(), reason));
                }
            }
        }
        if let Some((bucket, seq, check, reason)) = first_set_aside {
            let count = outcome.set_aside;
            tracing::warn!(agent = %agent_no, count, %bucket, %seq, %check, %reason, "records set aside in the table quarantine");
        }
        Ok(())
    }

    /// The stored number of a source; adds one not seen lately. Only records that are stored ask for it.
    fn source_number(
        &self,
        tables: Tables<'_>,
        source: Source,
        bucket: Option<Bucket>,
        pending: &mut Pending,
    ) -> Result<u32, StoreError> {
        let Some(bucket) = bucket else { return Ok(0) };
        let pended = pending.sources.iter().find(|(_, known)| *known == source).map(|(number, _)| *number);
        if let Some(number) = pended.or_else(|| self.sources.number(&source)) {
            return Ok(number);
        }
        // Not used lately: after a start, or where many take turns.
        if let Some(number) = rows::source_number(tables, bucket, &source)? {
            pending.sources.push((number, source));
            return Ok(number);
        }
        let newest = pending.sources.iter().map(|(number, _)| *number).max();
        let number = newest.unwrap_or(0).max(self.sources.newest) + 1;
        rows::insert_source(tables, bucket, number, &source)?;
        pending.sources.push((number, source));
        Ok(number)
    }
}

/// Most sources of one agent that are compared with before they are looked for in the table.
const SOURCES_KEPT: usize = 16;

/// The sources that were used last.
#[derive(Debug, Default)]
pub(crate) struct SourceCache {
    newest: u32,
    recent: HashMap<AgentNo, Vec<(u32, Source)>>,
}

impl SourceCache {
    pub(crate) fn after(newest: u32) -> Self {
        Self { newest, recent: HashMap::new() }
    }

    fn number(&self, source: &Source) -> Option<u32> {
        let recent = self.recent.get(&source.agent)?;
        recent.iter().rev().find(|(_, known)| known == source).map(|(number, _)| *number)
    }

    fn remember(&mut self, number: u32, source: Source) {
        self.newest = self.newest.max(number);
        let recent = self.recent.entry(source.agent).or_default();
        if recent.len() >= SOURCES_KEPT {
            recent.remove(0);
        }
        recent.push((number, source));
    }
}

/// The entries' indexes grouped by bucket, each group in the batch's order: a counting sort.
fn by_bucket(entries: &[Entry]) -> Vec<usize> {
    let slot = |entry: &Entry| usize::from(entry.bucket.0.min(BUCKETS));
    let mut starts = [0_usize; BUCKETS as usize + 2];
    for entry in entries {
        starts[slot(entry) + 1] += 1;
    }
    for bucket in 1..starts.len() {
        starts[bucket] += starts[bucket - 1];
    }
    let mut order = vec![0; entries.len()];
    for (index, entry) in entries.iter().enumerate() {
        let at = &mut starts[slot(entry)];
        order[*at] = index;
        *at += 1;
    }
    order
}

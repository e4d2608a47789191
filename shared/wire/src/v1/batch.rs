//! A batch of records as columns.
//!
//! Entries are taken apart field by field, each field of all entries one column (see [`super::columns`]): fields that do not vary
//! (status 200, port 443, revision 1) cost nothing, the others their own bits. `docs/wire.md` lists the columns in order.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use bincode::{Decode, Encode};
use sitepulse_model::id::{BUCKETS, Bucket, CheckNo, Incarnation, Revision, Seq};
use sitepulse_model::record::{
    DETAIL_BYTES_MAX, DROPPED_RANGES_MAX, Dropped, Facts, Missed, ProbeResult, Provenance, Record,
};
use sitepulse_model::time::UtcMicros;

use super::columns::{Bad, pack, pack_signed, unpack, unpack_signed};
use super::{BUILD_BYTES_MAX, field, text};
use crate::frame::FieldError;
use crate::head::{AddressFamily, Head, SHORT_MASK, phases_array, phases_from};
use crate::leb;
use crate::message::{BATCH_RECORDS_MAX, Batch, Entry, PROVENANCES_MAX};
use crate::record::{DecodeError, Input, put_facts, put_ranges, put_text, sum};

const TOTAL: usize = 6;
/// Told to the agent, and to the collector's own people.
const NEWER_FACT: Bad =
    "a result tells a fact that this collector does not know, for the agent is newer: upgrade the collector first";

#[derive(Debug, Encode, Decode)]
pub(super) struct BatchV1 {
    number: u64,
    incarnation: u64,
    provenances: Vec<ProvenanceV1>,
    count: u32,
    columns: Vec<u8>,
}

#[derive(Debug, Encode, Decode)]
struct ProvenanceV1 {
    build: String,
    clock_offset_us: Option<i64>,
    clock_uncertainty_us: u64,
}

impl BatchV1 {
    pub(super) fn of(batch: &Batch) -> Result<Self, FieldError> {
        validate(batch)?;
        let provenances = batch.provenances.iter().map(|provenance| ProvenanceV1 {
            build: provenance.build.clone(),
            clock_offset_us: provenance.clock_offset_us,
            clock_uncertainty_us: provenance.clock_uncertainty_us,
        });
        let mut columns = Columns::default();
        for entry in &batch.entries {
            columns.push(entry);
        }
        Ok(Self {
            number: batch.number,
            incarnation: batch.incarnation.0,
            provenances: provenances.collect(),
            count: batch.entries.len() as u32,
            columns: columns.pack(),
        })
    }

    pub(super) fn into_batch(self) -> Result<Batch, FieldError> {
        let count = self.count as usize;
        if count > BATCH_RECORDS_MAX {
            return Err(field("batch.entries", format!("{count} records, at most {BATCH_RECORDS_MAX} are allowed")));
        }
        let provenances = self.provenances.into_iter().map(|provenance| Provenance {
            build: provenance.build,
            clock_offset_us: provenance.clock_offset_us,
            clock_uncertainty_us: provenance.clock_uncertainty_us,
        });
        let batch = Batch {
            number: self.number,
            incarnation: Incarnation(self.incarnation),
            provenances: provenances.collect(),
            entries: entries(&self.columns, count).map_err(|bad| field("batch.entries", bad))?,
        };
        validate(&batch)?;
        Ok(batch)
    }
}

/// The rules of a batch, for both sides.
fn validate(batch: &Batch) -> Result<(), FieldError> {
    if batch.number == 0 {
        return Err(field("batch.number", "batches count from 1"));
    }
    if batch.entries.is_empty() || batch.entries.len() > BATCH_RECORDS_MAX {
        let message = format!("{} records, 1 to {BATCH_RECORDS_MAX} are allowed", batch.entries.len());
        return Err(field("batch.entries", message));
    }
    if batch.provenances.len() > PROVENANCES_MAX {
        let message = format!("{} provenances, at most {PROVENANCES_MAX} are allowed", batch.provenances.len());
        return Err(field("batch.provenances", message));
    }
    for provenance in &batch.provenances {
        text("batch.provenances.build", &provenance.build, BUILD_BYTES_MAX)?;
    }
    for (at, entry) in batch.entries.iter().enumerate() {
        let error = |name: &str, message: &str| field(&format!("batch.entries[{at}].{name}"), message);
        if entry.bucket.0 >= BUCKETS {
            return Err(error("bucket", "there is no such bucket"));
        }
        if usize::from(entry.provenance) >= batch.provenances.len() {
            return Err(error("provenance", "the batch has no such provenance"));
        }
        match &entry.record {
            Record::Result(result) => validate_result(result),
            Record::Missed(missed) => validate_range(missed.revision, missed.first, missed.last, missed.count),
            Record::Dropped(dropped) => validate_dropped(dropped),
        }
        .map_err(|message| error("record", message))?;
    }
    Ok(())
}

fn validate_result(result: &ProbeResult) -> Result<(), &'static str> {
    use sitepulse_model::record::ProbeState;
    let fits = match (result.state, result.cause.map(|cause| cause.code())) {
        (ProbeState::Up, cause) => cause.is_none(),
        (ProbeState::Down, Some(cause)) => cause < 64,
        (ProbeState::Degraded, Some(cause)) => (64..96).contains(&cause),
        (ProbeState::Unknown, Some(cause)) => cause >= 96,
        (ProbeState::Down | ProbeState::Degraded | ProbeState::Unknown, None) => false,
    };
    if !fits {
        return Err("the cause does not fit the state");
    }
    if result.revision.0 == 0 {
        return Err("revisions count from 1");
    }
    if result.detail.len() > DETAIL_BYTES_MAX {
        return Err("the detail is too long");
    }
    Ok(())
}

fn validate_range(revision: Revision, first: UtcMicros, last: UtcMicros, count: u64) -> Result<(), &'static str> {
    if revision.0 == 0 {
        Err("revisions count from 1")
    } else if last < first {
        Err("the last slot is before the first")
    } else if count == 0 {
        Err("a range of no slots")
    } else {
        Ok(())
    }
}

fn validate_dropped(dropped: &Dropped) -> Result<(), &'static str> {
    validate_range(dropped.revision, dropped.first, dropped.last, dropped.count)?;
    if dropped.seqs.len() > DROPPED_RANGES_MAX {
        return Err("too many ranges of sequence numbers");
    }
    let ordered = dropped.seqs.iter().all(|(first, last)| first <= last);
    let ascending = dropped.seqs.windows(2).all(|pair| pair[0].1 < pair[1].0);
    if ordered && ascending { Ok(()) } else { Err("the ranges of sequence numbers do not ascend") }
}

/// One more than the newest sequence number of each bucket, as far as the batch has come.
struct Expected([Option<u64>; BUCKETS as usize]);

impl Default for Expected {
    fn default() -> Self {
        Self([None; BUCKETS as usize])
    }
}

/// The columns of a batch, in their order on the wire.
#[derive(Default)]
struct Columns {
    /// Distinct heads, in order of appearance; entries point into it.
    heads: Vec<u64>,
    head: Vec<u64>,
    provenance: Vec<u64>,
    bucket: Vec<u64>,
    /// Of a bucket's first entry.
    seq_first: Vec<u64>,
    /// Of its others: the difference to one more than the one before.
    seq_next: Vec<i64>,
    check: Vec<u64>,
    revision: Vec<u64>,
    /// The difference to the entry before, the first one's to zero kept apart.
    scheduled_first: i64,
    scheduled: Vec<i64>,
    started: Vec<i64>,
    steps: [Vec<u64>; TOTAL],
    /// The difference to the sum of the steps.
    total: Vec<i64>,
    v4: Vec<u64>,
    port: Vec<u64>,
    status: Vec<u64>,
    body_bytes: Vec<u64>,
    certificate: Vec<i64>,
    /// Last slot - first slot, of missed and dropped records.
    span: Vec<i64>,
    count: Vec<u64>,
    /// Number of ranges, of dropped records.
    ranges: Vec<u64>,
    /// What has no column, entry by entry: IPv6 addresses with scope, details, more facts, ranges.
    tail: Vec<u8>,
    seq_expected: Expected,
    scheduled_before: i64,
}

impl Columns {
    fn push(&mut self, entry: &Entry) {
        let bits = Head::of(&entry.record).bits();
        let head = self.heads.iter().rposition(|known| *known == bits).unwrap_or_else(|| {
            self.heads.push(bits);
            self.heads.len() - 1
        });
        self.head.push(head as u64);
        self.provenance.push(u64::from(entry.provenance));
        self.bucket.push(u64::from(entry.bucket.0));
        let expected = &mut self.seq_expected.0[usize::from(entry.bucket.0)];
        match *expected {
            None => self.seq_first.push(entry.seq.0),
            Some(expected) => self.seq_next.push(entry.seq.0.wrapping_sub(expected) as i64),
        }
        *expected = Some(entry.seq.0.wrapping_add(1));
        let scheduled = entry.record.scheduled().0;
        if self.head.len() == 1 {
            self.scheduled_first = scheduled;
        } else {
            self.scheduled.push(scheduled.wrapping_sub(self.scheduled_before));
        }
        self.scheduled_before = scheduled;
        self.check.push(u64::from(entry.record.check().0));
        match &entry.record {
            Record::Result(result) => self.push_result(result),
            Record::Missed(missed) => self.push_range(missed.revision, missed.first, missed.last, missed.count),
            Record::Dropped(dropped) => {
                self.push_range(dropped.revision, dropped.first, dropped.last, dropped.count);
                self.ranges.push(dropped.seqs.len() as u64);
                put_ranges(&dropped.seqs, &mut self.tail);
            }
        }
    }

    fn push_range(&mut self, revision: Revision, first: UtcMicros, last: UtcMicros, count: u64) {
        self.revision.push(u64::from(revision.0));
        self.span.push(last.0.wrapping_sub(first.0));
        self.count.push(count);
    }

    fn push_result(&mut self, result: &ProbeResult) {
        self.revision.push(u64::from(result.revision.0));
        self.started.push(result.started.0.wrapping_sub(result.scheduled.0));
        let [steps @ .., total] = phases_array(&result.phases);
        for (column, step) in self.steps.iter_mut().zip(steps) {
            column.extend(step);
        }
        self.total.extend(total.map(|total| total.wrapping_sub(sum(&steps)) as i64));
        match result.address {
            None => {}
            Some(SocketAddr::V4(address)) => self.v4.push(u64::from(address.ip().to_bits())),
            Some(SocketAddr::V6(address)) => {
                self.tail.extend_from_slice(&address.ip().octets());
                leb::put(u64::from(address.scope_id()), &mut self.tail);
            }
        }
        self.port.extend(result.address.map(|address| u64::from(address.port())));
        self.status.extend(result.facts.status.map(u64::from));
        self.body_bytes.extend(result.facts.body_bytes);
        self.certificate.extend(result.facts.certificate_expires.map(|at| at.0));
        if !result.detail.is_empty() {
            put_text(&result.detail, &mut self.tail);
        }
        put_facts(&result.facts.more, &mut self.tail);
    }

    fn pack(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.head.len() * 28 + self.tail.len());
        leb::put(self.heads.len() as u64, &mut out);
        for head in &self.heads {
            leb::put(*head, &mut out);
        }
        pack(&self.head, &mut out);
        pack(&self.provenance, &mut out);
        pack(&self.bucket, &mut out);
        pack(&self.seq_first, &mut out);
        pack_signed(&self.seq_next, &mut out);
        pack(&self.check, &mut out);
        pack(&self.revision, &mut out);
        leb::put_signed(self.scheduled_first, &mut out);
        pack_signed(&self.scheduled, &mut out);
        pack_signed(&self.started, &mut out);
        for step in &self.steps {
            pack(step, &mut out);
        }
        pack_signed(&self.total, &mut out);
        pack(&self.v4, &mut out);
        pack(&self.port, &mut out);
        pack(&self.status, &mut out);
        pack(&self.body_bytes, &mut out);
        pack_signed(&self.certificate, &mut out);
        pack_signed(&self.span, &mut out);
        pack(&self.count, &mut out);
        pack(&self.ranges, &mut out);
        out.extend_from_slice(&self.tail);
        out
    }
}

/// Reads `count` entries, `count` at most [`BATCH_RECORDS_MAX`].
fn entries(mut bytes: &[u8], count: usize) -> Result<Vec<Entry>, Bad> {
    const EARLY: Bad = "the columns end early";
    let input = &mut bytes;
    let distinct = leb::take(input).filter(|distinct| *distinct <= count as u64).ok_or("too many heads")?;
    let mut heads = Vec::with_capacity(distinct as usize);
    for _ in 0..distinct {
        let bits = leb::take(input).ok_or("a head is malformed")?;
        if bits & SHORT_MASK != 0 {
            return Err("a head has short forms within a batch");
        }
        heads.push(Head::parse(bits)?);
    }
    let head: Vec<Head> = unpack(input, count)?
        .into_iter()
        .map(|at| usize::try_from(at).ok().and_then(|at| heads.get(at)).copied().ok_or("no such head"))
        .collect::<Result<_, _>>()?;

    let results = |has: &dyn Fn(&crate::head::ResultHead) -> bool| {
        head.iter().filter(|head| matches!(head, Head::Result(result) if has(result))).count()
    };
    let result_count = results(&|_| true);
    let dropped_count = head.iter().filter(|head| matches!(head, Head::Dropped(_))).count();
    let range_count = count - result_count;

    let mut provenance = unpack(input, count)?.into_iter();
    let bucket = unpack(input, count)?;
    if bucket.iter().any(|bucket| *bucket >= u64::from(BUCKETS)) {
        return Err("there is no such bucket");
    }
    let firsts = bucket.iter().fold(0_u64, |seen, bucket| seen | 1 << bucket).count_ones() as usize;
    let mut seq_first = unpack(input, firsts)?.into_iter();
    let mut seq_next = unpack_signed(input, count - firsts)?.into_iter();
    let mut check = unpack(input, count)?.into_iter();
    let mut revision = unpack(input, count)?.into_iter();
    let mut scheduled = leb::take(input).map(leb::unzigzag).ok_or(EARLY)?;
    let mut scheduled_next = unpack_signed(input, count.saturating_sub(1))?.into_iter();
    let mut started = unpack_signed(input, result_count)?.into_iter();
    let mut steps = Vec::with_capacity(TOTAL);
    for at in 0..TOTAL {
        steps.push(unpack(input, results(&|head| head.has_phase(at)))?.into_iter());
    }
    let mut total = unpack_signed(input, results(&|head| head.has_phase(TOTAL)))?.into_iter();
    let mut v4 = unpack(input, results(&|head| head.address == AddressFamily::V4))?.into_iter();
    let mut port = unpack(input, results(&|head| head.address != AddressFamily::None))?.into_iter();
    let mut status = unpack(input, results(&|head| head.status))?.into_iter();
    let mut body_bytes = unpack(input, results(&|head| head.body_bytes))?.into_iter();
    let mut certificate = unpack_signed(input, results(&|head| head.certificate))?.into_iter();
    let mut span = unpack_signed(input, range_count)?.into_iter();
    let mut slots = unpack(input, range_count)?.into_iter();
    let mut ranges = unpack(input, dropped_count)?.into_iter();
    let mut tail = Input { bytes: input };

    let mut seq_expected = Expected::default();
    let mut out = Vec::with_capacity(count);
    for (at, (head, bucket)) in head.into_iter().zip(bucket).enumerate() {
        let expected = &mut seq_expected.0[bucket as usize];
        let seq = match *expected {
            None => seq_first.next().ok_or(EARLY)?,
            Some(expected) => expected.wrapping_add(seq_next.next().ok_or(EARLY)? as u64),
        };
        *expected = Some(seq.wrapping_add(1));
        if at > 0 {
            scheduled = scheduled.wrapping_add(scheduled_next.next().ok_or(EARLY)?);
        }
        let first = UtcMicros(scheduled);
        let check = CheckNo(narrow(check.next(), "a check's number is too large")?);
        let revision = Revision(narrow(revision.next(), "a revision is too large")?);
        let mut last = || span.next().map(|span| UtcMicros(scheduled.wrapping_add(span))).ok_or(EARLY);
        let record = match head {
            Head::Missed(cause) => {
                let count = slots.next().ok_or(EARLY)?;
                Record::Missed(Missed { check, revision, first, last: last()?, count, cause })
            }
            Head::Dropped(reason) => {
                let count = slots.next().ok_or(EARLY)?;
                let ranges: usize = narrow(ranges.next(), "too many ranges of sequence numbers")?;
                if ranges > DROPPED_RANGES_MAX {
                    return Err("too many ranges of sequence numbers");
                }
                let seqs = tail.ranges(ranges).map_err(|_| "a range of sequence numbers is malformed")?;
                Record::Dropped(Dropped { check, revision, first, last: last()?, count, reason, seqs })
            }
            Head::Result(head) => {
                let started = UtcMicros(scheduled.wrapping_add(started.next().ok_or(EARLY)?));
                let mut phases = [None; 7];
                for (at, step) in steps.iter_mut().enumerate() {
                    if head.has_phase(at) {
                        phases[at] = Some(step.next().ok_or(EARLY)?);
                    }
                }
                if head.has_phase(TOTAL) {
                    phases[TOTAL] = Some(sum(&phases[..TOTAL]).wrapping_add(total.next().ok_or(EARLY)? as u64));
                }
                let address = match head.address {
                    AddressFamily::None => None,
                    AddressFamily::V4 => {
                        let ip = Ipv4Addr::from_bits(narrow(v4.next(), "an IPv4 address is too large")?);
                        Some(SocketAddr::V4(SocketAddrV4::new(ip, narrow(port.next(), "a port is too large")?)))
                    }
                    AddressFamily::V6 => {
                        let ip = Ipv6Addr::from(tail.array::<16>("").map_err(|_| EARLY)?);
                        let scope = tail.small("").map_err(|_| "a scope is malformed")?;
                        let port = narrow(port.next(), "a port is too large")?;
                        Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope)))
                    }
                };
                let status = head.status.then(|| narrow(status.next(), "a status is too large")).transpose()?;
                let body_bytes = head.body_bytes.then(|| body_bytes.next().ok_or(EARLY)).transpose()?;
                let expires = head.certificate.then(|| certificate.next().ok_or(EARLY)).transpose()?;
                let detail = if head.detail {
                    tail.text("", DETAIL_BYTES_MAX).map_err(|_| "a detail is malformed or too long")?
                } else {
                    String::new()
                };
                let more = if head.more {
                    tail.facts().map_err(|error| match error {
                        DecodeError::NewerFact { .. } => NEWER_FACT,
                        DecodeError::Empty
                        | DecodeError::Version { .. }
                        | DecodeError::Malformed { .. }
                        | DecodeError::Invalid(_)
                        | DecodeError::Trailing { .. } => "a fact is malformed or too long",
                    })?
                } else {
                    Vec::new()
                };
                Record::Result(ProbeResult {
                    check,
                    revision,
                    scheduled: first,
                    started,
                    phases: phases_from(phases),
                    state: head.state,
                    cause: head.cause,
                    failed_phase: head.failed_phase,
                    detail,
                    address,
                    facts: Facts { status, body_bytes, certificate_expires: expires.map(UtcMicros), more },
                })
            }
        };
        let provenance = narrow(provenance.next(), "a provenance's number is too large")?;
        out.push(Entry { bucket: Bucket(bucket as u8), seq: Seq(seq), provenance, record });
    }
    if tail.bytes.is_empty() { Ok(out) } else { Err("bytes trail after the columns") }
}

fn narrow<T: TryFrom<u64>>(value: Option<u64>, bad: Bad) -> Result<T, Bad> {
    value.and_then(|value| T::try_from(value).ok()).ok_or(bad)
}

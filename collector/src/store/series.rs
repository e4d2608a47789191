//! The bodies of the tables `series` and `pair`: what timelines and counts are made of, of the sealed records. Kept for ever.
//!
//! Both begin with a version byte and the CRC-32C of what follows, so that damage is found before it is believed. Numbers are LEB128, signed
//! ones zigzag. A segment is the runs of one UTC month of a series, in order; each run is a byte of flags, the distance of its first slot
//! from the run before's last, and its step, count and revision where those differ from the run before. A steady month is some 20 bytes.

use sitepulse_model::id::Revision;
use sitepulse_model::record::{MissedCause, ProbeResult, ProbeState, Record};
use sitepulse_model::series::{Obs, Run, Seen, Series};
use sitepulse_model::time::{Span, UtcMicros};
use thiserror::Error;

use crate::book::{Ends, Ledger, Pair, Sight, Sights, newest_rank};

/// The version of a segment's body.
const SEGMENT_VERSION: u8 = 1;
/// The version of a pair's body.
const PAIR_VERSION: u8 = 2;
/// The one before: it had no sights, so the newest result tells what it saw.
const PAIR_VERSION_1: u8 = 1;
/// Bytes before the content: version and checksum.
pub(super) const HEAD_BYTES: usize = 5;

/// Low bits of a run's flags: 1 to 9, the state or cause ([`seen_code`]).
const SEEN_BITS: u8 = 0x0f;
/// The run has one slot: no step, no count.
const ONE_SLOT: u8 = 0x10;
/// The step of the run before.
const SAME_STEP: u8 = 0x20;
/// The revision of the run before.
const SAME_REVISION: u8 = 0x40;

/// Why a body is unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BodyError {
    /// Written by a newer build.
    #[error("version {0} is not known")]
    Version(u8),
    /// The bytes are not those that were written.
    #[error("the checksum does not fit")]
    Checksum,
    /// The bytes make no sense though the checksum fits.
    #[error("it makes no sense")]
    Senseless,
}

/// The UTC month of an instant, counted from January 1970.
pub fn month_of(at: UtcMicros) -> i64 {
    // Days to a civil date: years run from March, so that the leap day is the last.
    let days = at.0.div_euclid(86_400 * 1_000_000) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    (era * 400 + year - 1970) * 12 + month_from_march + 2
}

/// The span of a month.
pub fn month_span(month: i64) -> Span {
    Span::new(month_start(month), month_start(month + 1))
}

fn month_start(month: i64) -> UtcMicros {
    let shifted = month - 2;
    let (year, month_from_march) = (1970 + shifted.div_euclid(12), shifted.rem_euclid(12));
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day = year * 365 + year / 4 - year / 100 + (153 * month_from_march + 2) / 5;
    UtcMicros((era * 146_097 + day - 719_468).saturating_mul(86_400 * 1_000_000))
}

/// Calls `each` with every part of a run that lies in one month, in order.
pub fn by_month(run: Run, mut each: impl FnMut(i64, Run)) {
    let mut rest = Some(run);
    while let Some(run) = rest {
        let month = month_of(run.first);
        let end = month_span(month).to;
        // The end of time is no border.
        if run.last() < end || end == UtcMicros::MAX {
            each(month, run);
            return;
        }
        if let Some(part) = run.before(end) {
            each(month, part);
        }
        rest = run.starting(end);
    }
}

fn seen_code(seen: Seen) -> u8 {
    match seen {
        Seen::State(state) => state.code(),
        Seen::Missed(cause) => 4 + cause.code(),
    }
}

fn seen_of(code: u8) -> Option<Seen> {
    let missed = || MissedCause::from_code(code.checked_sub(4)?).map(Seen::Missed);
    ProbeState::from_code(code).map(Seen::State).or_else(missed)
}

/// Runs in order to a segment's body.
pub fn encode_segment<'r>(runs: impl Iterator<Item = &'r Run>) -> Vec<u8> {
    let mut out = vec![0; HEAD_BYTES];
    let (mut at, mut step, mut revision) = (0_i64, 0, 0);
    for run in runs {
        let one = run.count == 1;
        let mut flags = seen_code(run.obs.seen);
        flags |= if one { ONE_SLOT } else { 0 };
        flags |= if !one && run.step_us == step { SAME_STEP } else { 0 };
        flags |= if run.obs.revision.0 == revision { SAME_REVISION } else { 0 };
        out.push(flags);
        put_signed(run.first.0.wrapping_sub(at), &mut out);
        if !one {
            if run.step_us != step {
                put(run.step_us, &mut out);
            }
            put(run.count, &mut out);
            step = run.step_us;
        }
        if run.obs.revision.0 != revision {
            put(u64::from(run.obs.revision.0), &mut out);
        }
        (at, revision) = (run.last().0, run.obs.revision.0);
    }
    seal_head(SEGMENT_VERSION, &mut out);
    out
}

/// Puts a segment's runs into a series.
pub fn decode_segment(body: &[u8], into: &mut Series) -> Result<(), BodyError> {
    let mut input = content(SEGMENT_VERSION, body)?;
    let (mut at, mut step, mut revision) = (0_i64, 0, 0);
    while let Some((flags, rest)) = input.split_first() {
        input = rest;
        let seen = seen_of(flags & SEEN_BITS).ok_or(BodyError::Senseless)?;
        let first = UtcMicros(at.wrapping_add(take_signed(&mut input)?));
        let count = if flags & ONE_SLOT != 0 {
            1
        } else {
            if flags & SAME_STEP == 0 {
                step = take(&mut input)?;
            }
            take(&mut input)?
        };
        if flags & SAME_REVISION == 0 {
            revision = u32::try_from(take(&mut input)?).map_err(|_| BodyError::Senseless)?;
        }
        let step_us = if count == 1 { 0 } else { step };
        let run = Run { first, step_us, count, obs: Obs { seen, revision: Revision(revision) } };
        into.insert_run(run).ok_or(BodyError::Senseless)?;
        at = run.last().0;
    }
    Ok(())
}

/// What is sealed of one pair, beside its series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sealed {
    /// How many records: results, missed ranges, tombstones.
    pub records: u64,
    /// How many of them went with their chunks when these were older than is kept.
    pub expired: u64,
    /// When the newest of its results was started, by the agent's clock.
    pub newest_started: Option<UtcMicros>,
    /// The series, the counts, what was seen last and the last result.
    pub pair: Pair,
}

impl Sealed {
    /// Takes in a record that is sealed now; `interval_us` is that of a missed record's revision.
    pub fn insert(&mut self, record: &Record, interval_us: Option<u64>) {
        self.insert_all([record].into_iter(), |_| interval_us);
    }

    /// Takes in records in order of arrival; of each missed one `interval_us` tells the interval of its revision.
    pub fn insert_all<'r>(
        &mut self,
        records: impl Iterator<Item = &'r Record>,
        interval_us: impl Fn(&Record) -> Option<u64>,
    ) {
        let mut newest: Option<&ProbeResult> = None;
        for record in records {
            self.records += 1;
            self.pair.count(record, interval_us(record));
            if let Record::Result(result) = record {
                self.newest_started = self.newest_started.max(Some(result.started));
                newest = newest.filter(|newest| newest_rank(newest) > newest_rank(result)).or(Some(result));
            }
        }
        if let Some(newest) = newest {
            self.pair.show(newest.clone());
        }
    }
}

/// Counts, sights and the last result to a pair's body; the series has segments of its own.
pub fn encode_pair(sealed: &Sealed) -> Vec<u8> {
    let ledger = &sealed.pair.ledger;
    let mut out = vec![0; HEAD_BYTES];
    for count in [sealed.records, sealed.expired, ledger.stored, ledger.dropped].into_iter().chain(ledger.missed) {
        put(count, &mut out);
    }
    for at in [ledger.first, ledger.last, sealed.newest_started] {
        out.push(u8::from(at.is_some()));
        if let Some(at) = at {
            put_signed(at.0, &mut out);
        }
    }
    put_sight(sealed.pair.sights.certificate.as_ref(), &mut out);
    put_sight(sealed.pair.sights.domain.as_ref(), &mut out);
    if let Some(last) = &sealed.pair.last {
        sitepulse_wire::record::encode(&Record::Result((**last).clone()), &mut out);
    }
    seal_head(PAIR_VERSION, &mut out);
    out
}

/// A pair's body to counts, sights and the last result, with an empty series.
pub fn decode_pair(body: &[u8]) -> Result<Sealed, BodyError> {
    let first = body.first().copied() == Some(PAIR_VERSION_1);
    let mut input = content(if first { PAIR_VERSION_1 } else { PAIR_VERSION }, body)?;
    let input = &mut input;
    let mut ledger = Ledger::default();
    let (records, expired) = (take(input)?, take(input)?);
    ledger.stored = take(input)?;
    ledger.dropped = take(input)?;
    for missed in &mut ledger.missed {
        *missed = take(input)?;
    }
    let mut at = || -> Result<Option<UtcMicros>, BodyError> {
        let (some, rest) = input.split_first().ok_or(BodyError::Senseless)?;
        *input = rest;
        Ok(if *some == 0 { None } else { Some(UtcMicros(take_signed(input)?)) })
    };
    (ledger.first, ledger.last) = (at()?, at()?);
    let newest_started = at()?;
    let mut sights = Sights::default();
    if !first {
        sights = Sights { certificate: take_sight(input)?, domain: take_sight(input)? };
    }
    let last = match *input {
        [] => None,
        bytes => match sitepulse_wire::record::decode(bytes) {
            Ok(Record::Result(result)) => Some(Box::new(result)),
            Ok(Record::Missed(_) | Record::Dropped(_)) | Err(_) => return Err(BodyError::Senseless),
        },
    };
    if let Some(last) = last.as_deref().filter(|_| first) {
        sights.take(last);
    }
    Ok(Sealed { records, expired, newest_started, pair: Pair { series: Series::new(), last, sights, ledger } })
}

/// Whether there is one, its slot, whether it saw something, when that ends, and which it is: its length and its bytes.
fn put_sight(sight: Option<&Sight>, out: &mut Vec<u8>) {
    let Some(Sight { slot, ends }) = sight else { return out.push(0) };
    out.push(if ends.is_some() { 2 } else { 1 });
    put_signed(slot.0, out);
    if let Some(Ends { at, which }) = ends {
        put_signed(at.0, out);
        put(which.len() as u64, out);
        out.extend_from_slice(which.as_bytes());
    }
}

fn take_sight(input: &mut &[u8]) -> Result<Option<Sight>, BodyError> {
    let (some, rest) = input.split_first().ok_or(BodyError::Senseless)?;
    *input = rest;
    if *some == 0 {
        return Ok(None);
    }
    let slot = UtcMicros(take_signed(input)?);
    if *some == 1 {
        return Ok(Some(Sight { slot, ends: None }));
    }
    let at = UtcMicros(take_signed(input)?);
    let length = usize::try_from(take(input)?).map_err(|_| BodyError::Senseless)?;
    let (which, rest) = input.split_at_checked(length).ok_or(BodyError::Senseless)?;
    *input = rest;
    let which = String::from_utf8(which.to_vec()).map_err(|_| BodyError::Senseless)?;
    Ok(Some(Sight { slot, ends: Some(Ends { at, which }) }))
}

pub(super) fn seal_head(version: u8, out: &mut [u8]) {
    let crc = crc32c::crc32c(&out[HEAD_BYTES..]).to_le_bytes();
    out[0] = version;
    out[1..HEAD_BYTES].copy_from_slice(&crc);
}

pub(super) fn content(version: u8, body: &[u8]) -> Result<&[u8], BodyError> {
    let (head, content) = body.split_first_chunk::<HEAD_BYTES>().ok_or(BodyError::Senseless)?;
    let [found, crc @ ..] = *head;
    if found != version {
        return Err(BodyError::Version(found));
    }
    if crc32c::crc32c(content) != u32::from_le_bytes(crc) {
        return Err(BodyError::Checksum);
    }
    Ok(content)
}

pub(super) fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(value: i64, out: &mut Vec<u8>) {
    put(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
}

pub(super) fn take(input: &mut &[u8]) -> Result<u64, BodyError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first().ok_or(BodyError::Senseless)?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(BodyError::Senseless)
}

fn take_signed(input: &mut &[u8]) -> Result<i64, BodyError> {
    let value = take(input)?;
    Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sitepulse_model::id::CheckNo;
    use sitepulse_model::record::{Facts, Missed, Phases, ProbeResult};

    #[test]
    fn months_are_those_of_the_calendar() {
        let at = |text: &str| UtcMicros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond());
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2024-02-29T12:00:00Z", 649),
            ("2024-03-01T00:00:00Z", 650),
            ("2000-02-29T23:59:59Z", 361),
            ("2026-12-31T23:59:59Z", 683),
        ];
        for (text, month) in cases {
            assert_eq!(month_of(at(text)), month, "{text}");
            assert!(month_span(month).contains(at(text)), "{text}");
        }
        for month in -300..3000 {
            let span = month_span(month);
            assert_eq!((month_of(span.from), month_of(span.to.plus_us(-1))), (month, month));
            assert!((28..=31).contains(&(span.us() / 86_400_000_000)));
        }
    }

    fn result(slot: i64, state: ProbeState) -> Record {
        Record::Result(ProbeResult {
            check: CheckNo(3),
            revision: Revision(2),
            scheduled: UtcMicros(slot),
            started: UtcMicros(slot + 5),
            phases: Phases { total: Some(7), ..Phases::default() },
            state,
            cause: (state == ProbeState::Down).then_some(sitepulse_model::record::Cause::Timeout),
            failed_phase: None,
            detail: String::new(),
            address: None,
            facts: Facts::default(),
        })
    }

    #[test]
    fn a_pair_is_read_as_it_was_written() {
        let mut sealed = Sealed::default();
        assert_eq!(decode_pair(&encode_pair(&sealed)), Ok(sealed.clone()));
        sealed.insert(&result(1_000_000, ProbeState::Up), None);
        sealed.insert(&result(500_000, ProbeState::Down), None);
        let missed = Missed {
            check: CheckNo(3),
            revision: Revision(2),
            first: UtcMicros(2_000_000),
            last: UtcMicros(4_000_000),
            count: 3,
            cause: MissedCause::Overloaded,
        };
        sealed.insert(&Record::Missed(missed), Some(1_000_000));
        let body = encode_pair(&sealed);
        let read = decode_pair(&body).unwrap();
        assert_eq!((read.records, read.newest_started), (3, Some(UtcMicros(1_000_005))));
        assert_eq!((&read.pair.ledger, &read.pair.last), (&sealed.pair.ledger, &sealed.pair.last));
    }

    #[test]
    fn what_ends_is_known_after_a_failed_run_and_a_restart() {
        let Record::Result(mut seen) = result(1_000_000, ProbeState::Up) else { panic!("a result") };
        seen.facts.certificate_expires = Some(UtcMicros(9_000_000));
        seen.facts.text(sitepulse_model::record::FactKey::CertificateSha256, &"ab".repeat(32));
        let mut sealed = Sealed::default();
        sealed.insert(&Record::Result(seen.clone()), None);
        sealed.insert(&result(2_000_000, ProbeState::Down), None);
        let body = encode_pair(&sealed);
        let read = decode_pair(&body).unwrap();
        assert_eq!(read.pair.sights, sealed.pair.sights);
        let ends = read.pair.sights.certificate.unwrap().ends.unwrap();
        assert_eq!((ends.at, ends.which), (UtcMicros(9_000_000), "ab".repeat(32)));
        for cut in 0..body.len() {
            assert!(decode_pair(&body[..cut]).is_err(), "{cut}");
        }
        // What was written before there were sights: the newest result tells.
        let mut sealed = Sealed::default();
        sealed.insert(&Record::Result(seen), None);
        let sights = std::mem::take(&mut sealed.pair.sights);
        let mut body = encode_pair(&sealed);
        // Neither sight: two bytes before the record.
        let mut record = Vec::new();
        sitepulse_wire::record::encode(&Record::Result((**sealed.pair.last.as_ref().unwrap()).clone()), &mut record);
        let from = body.len() - record.len() - 2;
        assert_eq!(body.drain(from..from + 2).collect::<Vec<_>>(), [0, 0]);
        seal_head(PAIR_VERSION_1, &mut body);
        assert_eq!(decode_pair(&body).unwrap().pair.sights, sights);
        body[0] = 9;
        assert_eq!(decode_pair(&body), Err(BodyError::Version(9)));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let mut sealed = Sealed::default();
        for slot in 0..20 {
            sealed.insert(
                &result(slot * 60_000_000, if slot % 3 == 0 { ProbeState::Down } else { ProbeState::Up }),
                None,
            );
        }
        let segment = encode_segment(sealed.pair.series.runs());
        let pair = encode_pair(&sealed);
        assert!(segment.len() < 120, "{}", segment.len());
        for body in [&segment, &pair] {
            let fails = |body: &[u8]| decode_segment(body, &mut Series::new()).is_err() && decode_pair(body).is_err();
            for length in 0..body.len() {
                assert!(fails(&body[..length]), "{length}");
                for bit in 0..8 {
                    let mut damaged = body.clone();
                    damaged[length] ^= 1 << bit;
                    // A version byte may turn into the other kind's; the checksum does not.
                    assert!(length == 0 || decode_segment(&damaged, &mut Series::new()).is_err());
                    assert!(length == 0 || decode_pair(&damaged).is_err());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_series_survives_its_segments(
            slots in prop::collection::vec((-40_i64..40, 0_i64..2_000_000, 1_u8..=4, 1_u32..4), 0..60),
            ranges in prop::collection::vec((-40_i64..40, 0_u64..300_000, 1_u8..=5), 0..4),
        ) {
            let mut series = Series::new();
            for (month, slot, state, revision) in slots {
                let at = month_span(month).from.plus_us(slot * 1_000_000);
                series.insert_result(Revision(revision), at, ProbeState::from_code(state).unwrap());
            }
            for (month, count, cause) in ranges {
                let first = month_span(month).from.plus_us(17_000_000);
                let last = first.plus_us(count.cast_signed() * 30_000_000);
                series.insert_missed(Revision(1), first, last, 30_000_000, MissedCause::from_code(cause).unwrap()).unwrap();
            }
            let mut segments: std::collections::BTreeMap<i64, Vec<Run>> = std::collections::BTreeMap::new();
            for run in series.runs() {
                by_month(*run, |month, part| segments.entry(month).or_default().push(part));
            }
            let mut again = Series::new();
            // In any order: a segment stands for itself.
            for (month, runs) in segments.iter().rev() {
                prop_assert!(runs.iter().all(|run| month_of(run.first) == *month && month_of(run.last()) == *month));
                decode_segment(&encode_segment(runs.iter()), &mut again).unwrap();
            }
            prop_assert_eq!(again, series);
        }

        #[test]
        fn hostile_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut body = vec![0; HEAD_BYTES];
            body.extend(bytes);
            seal_head(1, &mut body);
            let mut series = Series::new();
            if decode_segment(&body, &mut series).is_ok() {
                prop_assert!(series.runs().all(|run| run.last() >= run.first));
            }
            drop(decode_pair(&body));
        }
    }
}

//! Records that are not sealed yet, as they came in: a row of the table `result` holds a block of them.
//!
//! A row for each would pay for a cell, a key and a header of its own: more than a third of its bytes and of what it costs to write. A block is what one
//! transaction stored, in order of arrival, cut where it would no longer fit into a page of the database beside the row's other columns. Its
//! records have consecutive numbers of arrival: the row's key is the first one's.
//!
//! What records share is said once: of the block the instant that slots count from, of a *group* the bucket and the source, and that the sequence numbers
//! are consecutive. Each record is told by itself ([`sitepulse_wire::record::encode_from`]) behind its length, so one that cannot be read costs no other.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, [`BLOCK_VERSION`] |
//! | n | the instant that slots count from, in milliseconds since 1970 |
//! | | the groups, of each: |
//! | 1 | bucket |
//! | n | number of the source |
//! | n | sequence number of the first record |
//! | 1 | records, 1 to 255 |
//! | | the records, each behind its length |
//!
//! Numbers are LEB128. A block of this store mixes buckets, for a batch brings few records of each; a store that is spread by bucket cuts a block
//! for each of them.

use sitepulse_model::id::{BUCKETS, Bucket, Seq};
use sitepulse_model::record::Record;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::record::DecodeError;

use super::rows::Arrival;
use super::series::{put, take};

/// The version byte of a block.
pub const BLOCK_VERSION: u8 = 1;

/// A block is cut before it is longer, so that its row fills a page of 4 KiB and needs no other. One record may be longer alone.
const BLOCK_BYTES_MAX: usize = 4_050;

const MILLI_US: i64 = 1_000;

/// Where the record comes from, beside its number of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its check's bucket.
    pub bucket: Bucket,
    /// The number of its source.
    pub source: u32,
    /// Its number in the agent's spool.
    pub seq: Seq,
}

/// Gathers records into a block.
#[derive(Debug, Default)]
pub struct Builder {
    base: UtcMicros,
    bytes: Vec<u8>,
    records: u32,
    group: Option<Group>,
    one: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    next: Place,
    /// Where its count stands.
    count_at: usize,
}

impl Builder {
    /// Adds a record that arrived next; `false` where it has no place any more: take the block out, and add it again.
    pub fn push(&mut self, place: Place, record: &Record) -> bool {
        if self.records == 0 {
            self.base = UtcMicros(record.scheduled().0.div_euclid(MILLI_US).saturating_mul(MILLI_US));
            self.bytes.push(BLOCK_VERSION);
            put((self.base.0 / MILLI_US).cast_unsigned(), &mut self.bytes);
        }
        let before = self.bytes.len();
        let group = self.group.filter(|group| group.next == place && self.bytes[group.count_at] < u8::MAX);
        let count_at = match group {
            Some(group) => group.count_at,
            None => {
                self.bytes.push(place.bucket.0);
                put(u64::from(place.source), &mut self.bytes);
                put(place.seq.0, &mut self.bytes);
                self.bytes.push(0);
                self.bytes.len() - 1
            }
        };
        self.one.clear();
        sitepulse_wire::record::encode_from(self.base, record, &mut self.one);
        put(self.one.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(&self.one);
        if self.bytes.len() > BLOCK_BYTES_MAX && self.records > 0 {
            self.bytes.truncate(before);
            return false;
        }
        self.bytes[count_at] += 1;
        self.records += 1;
        let next = Place { seq: Seq(place.seq.0.wrapping_add(1)), ..place };
        self.group = Some(Group { next, count_at });
        true
    }

    /// The block's records and its bytes; `None` of an empty one.
    pub fn block(&self) -> Option<(u32, &[u8])> {
        (self.records > 0).then_some((self.records, &self.bytes))
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records = 0;
        self.group = None;
    }
}

/// A record of a block, not decoded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'b> {
    /// Its number of arrival.
    pub arrival: Arrival,
    /// Where it comes from; of what is [torn](Self::is_torn) what the record before says.
    pub place: Place,
    /// The instant that its slot counts from.
    pub base: UtcMicros,
    /// Its bytes.
    pub bytes: &'b [u8],
    torn: Option<&'static str>,
}

impl Raw<'_> {
    /// The record.
    pub fn record(&self) -> Result<Record, DecodeError> {
        match self.torn {
            Some(what) => Err(DecodeError::Invalid(what)),
            None => sitepulse_wire::record::decode_from(self.base, self.bytes),
        }
    }

    /// Whether this is no record but what is left of a block where no more can be told apart.
    pub fn is_torn(&self) -> bool {
        self.torn.is_some()
    }
}

/// Reads a block's records in order of arrival. Where it makes no sense any more what is left comes as one that is torn.
#[derive(Debug, Clone)]
pub struct Reader<'b> {
    base: UtcMicros,
    bytes: &'b [u8],
    first: Arrival,
    arrival: Arrival,
    /// Records that are to come.
    left: u32,
    place: Place,
    in_group: u8,
    torn: Option<&'static str>,
}

impl<'b> Reader<'b> {
    /// Of a row: its first number of arrival, how many records it says it has, and the block.
    pub fn new(first: Arrival, records: u32, block: &'b [u8]) -> Self {
        let place = Place { bucket: Bucket(0), source: 0, seq: Seq(0) };
        let (base, arrival) = (UtcMicros(0), first);
        let mut reader = Self { base, bytes: block, first, arrival, left: records, place, in_group: 0, torn: None };
        reader.torn = match block.split_first() {
            None => Some("a block is empty"),
            Some((&BLOCK_VERSION, rest)) => {
                reader.bytes = rest;
                match take(&mut reader.bytes).map(u64::cast_signed).ok().and_then(|ms| ms.checked_mul(MILLI_US)) {
                    Some(base) => {
                        reader.base = UtcMicros(base);
                        None
                    }
                    None => Some("a block's instant is malformed"),
                }
            }
            Some(_) => {
                Some("a block has a version that this build does not understand: upgrade, or the file is damaged")
            }
        };
        reader
    }

    fn next_record(&mut self) -> Result<&'b [u8], &'static str> {
        if self.in_group == 0 {
            let (bucket, rest) = self.bytes.split_first().ok_or("a block ends early")?;
            let mut input = rest;
            let source = take(&mut input).ok().and_then(|source| u32::try_from(source).ok());
            let seq = take(&mut input).map_err(|_| "a block's sequence number is malformed")?;
            let (count, rest) = input.split_first().ok_or("a block ends early")?;
            if *bucket >= BUCKETS || *count == 0 {
                return Err("a block has a group that cannot be");
            }
            let source = source.ok_or("a block's source is malformed")?;
            self.place = Place { bucket: Bucket(*bucket), source, seq: Seq(seq) };
            self.in_group = *count;
            self.bytes = rest;
        }
        let mut input = self.bytes;
        let length = take(&mut input).ok().and_then(|length| usize::try_from(length).ok());
        let (record, rest) = length.and_then(|length| input.split_at_checked(length)).ok_or("a block ends early")?;
        self.bytes = rest;
        Ok(record)
    }
}

impl<'b> Iterator for Reader<'b> {
    type Item = Raw<'b>;

    fn next(&mut self) -> Option<Raw<'b>> {
        let raw = |reader: &Self, bytes, torn| {
            let Self { arrival, place, base, .. } = *reader;
            Raw { arrival, place, base, bytes, torn }
        };
        if self.left == 0 {
            let rest = std::mem::take(&mut self.bytes);
            let what = "a block holds more than its row says";
            self.arrival = Arrival(self.arrival.0 - 1).max(self.first);
            return (!rest.is_empty()).then(|| raw(self, rest, Some(what)));
        }
        let read = match self.torn {
            Some(what) => Err(what),
            None => self.next_record(),
        };
        match read {
            Ok(bytes) => {
                let record = raw(self, bytes, None);
                self.left -= 1;
                self.in_group -= 1;
                self.arrival = self.arrival.next();
                self.place.seq = Seq(self.place.seq.0.wrapping_add(1));
                Some(record)
            }
            Err(what) => {
                self.left = 0;
                let rest = std::mem::take(&mut self.bytes);
                Some(raw(self, rest, Some(what)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sitepulse_model::id::{CheckNo, Revision};
    use sitepulse_model::record::{Missed, MissedCause};

    use super::*;

    fn missed(check: u32, first: i64) -> Record {
        let (first, last) = (UtcMicros(first), UtcMicros(first));
        let cause = MissedCause::Overloaded;
        Record::Missed(Missed { check: CheckNo(check), revision: Revision(1), first, last, count: 1, cause })
    }

    /// Blocks of records that arrive from 1 on.
    fn blocks(records: &[(Place, Record)]) -> Vec<(Arrival, u32, Vec<u8>)> {
        let mut builder = Builder::default();
        let (mut blocks, mut first) = (Vec::new(), Arrival(1));
        let mut cut = |builder: &mut Builder| {
            let (count, bytes) = builder.block().expect("it holds records");
            blocks.push((first, count, bytes.to_vec()));
            first = Arrival(first.0 + i64::from(count));
            builder.clear();
        };
        for (place, record) in records {
            if !builder.push(*place, record) {
                cut(&mut builder);
                assert!(builder.push(*place, record));
            }
        }
        if builder.block().is_some() {
            cut(&mut builder);
        }
        blocks
    }

    proptest! {
        #[test]
        fn records_come_back_with_their_places_and_numbers(
            given in prop::collection::vec((0..BUCKETS, 0..3_u32, any::<u64>(), 0..400_usize, any::<i64>(), any::<bool>()), 0..20)
        ) {
            let mut records = Vec::new();
            for (bucket, source, seq, count, at, whole) in given {
                for n in 0..count as u64 {
                    let place = Place { bucket: Bucket(bucket), source, seq: Seq(seq.wrapping_add(n)) };
                    let at = if whole { at / 1_000_000 * 1_000 } else { at };
                    records.push((place, missed(n as u32, at.wrapping_add(n as i64))));
                }
            }
            let mut read = Vec::new();
            for (first, count, bytes) in blocks(&records) {
                prop_assert!(bytes.len() <= BLOCK_BYTES_MAX);
                let before = read.len();
                read.extend(Reader::new(first, count, &bytes).map(|raw| {
                    assert!(!raw.is_torn());
                    (raw.arrival, raw.place, raw.record().unwrap())
                }));
                prop_assert_eq!(read.len() - before, count as usize);
            }
            let expected: Vec<_> = (1..).map(Arrival).zip(records).map(|(arrival, (place, record))| (arrival, place, record)).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn whatever_is_damaged_is_read_without_harm(at in 0..1_000_usize, byte: u8, records in 0..300_u32, cut in 0..1_000_usize) {
            let place = |n: u64| Place { bucket: Bucket((n / 9) as u8), source: 1, seq: Seq(n) };
            let given: Vec<_> = (0..60).map(|n| (place(n), missed(7, n as i64 * 60_000_000))).collect();
            let [(first, _, bytes)] = &blocks(&given)[..] else { panic!("they fit into one") };
            let mut bytes = bytes.clone();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len() - cut % bytes.len());
            let last = first.0 + i64::from(records.max(1));
            for raw in Reader::new(*first, records, &bytes) {
                assert!((first.0..last).contains(&raw.arrival.0) && raw.place.bucket.0 < BUCKETS);
                assert!(raw.bytes.len() <= bytes.len());
                raw.record().ok();
            }
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_costs_no_other() {
        let given: Vec<_> = (0..9_u64)
            .map(|n| (Place { bucket: Bucket(3), source: 1, seq: Seq(n) }, missed(7, n as i64 * 60_000_000)))
            .collect();
        let (first, count, mut bytes) = blocks(&given).remove(0);
        // Its own bytes: the head of the fifth.
        let fifth = Reader::new(first, count, &bytes).nth(4).unwrap().bytes;
        let at = fifth.as_ptr().addr() - bytes.as_ptr().addr();
        bytes[at] = 0xff;
        let read: Vec<bool> = Reader::new(first, count, &bytes).map(|raw| raw.record().is_ok()).collect();
        assert_eq!(read, [true, true, true, true, false, true, true, true, true]);
        // Its length: what comes after it is not told apart any more, and comes as one.
        bytes[at - 1] = 0x7f;
        let read: Vec<_> = Reader::new(first, count, &bytes).map(|raw| (raw.arrival.0, raw.is_torn())).collect();
        assert_eq!(read, [(1, false), (2, false), (3, false), (4, false), (5, true)]);
        assert!(Reader::new(first, count, &bytes).last().unwrap().bytes.len() > 5 * 5);
    }

    #[test]
    fn a_block_fills_a_page_and_a_long_record_has_its_own() {
        let given: Vec<_> = (0..2_000_u64)
            .map(|n| (Place { bucket: Bucket(3), source: 1, seq: Seq(n) }, missed(7, n as i64 * 60_000_000)))
            .collect();
        let cut = blocks(&given);
        assert!(cut.len() > 2 && cut[..cut.len() - 1].iter().all(|(_, _, bytes)| bytes.len() > BLOCK_BYTES_MAX - 20));
    }
}

//! A record as a shape and a row of numbers, and back.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use sitepulse_model::id::{CheckNo, Incarnation, Revision, Seq};
use sitepulse_model::record::{
    Cause, DropReason, Dropped, FACTS_MAX, Fact, FactKey, FactValue, Facts, Missed, MissedCause, Phase, Phases,
    ProbeResult, ProbeState, Record,
};
use sitepulse_model::time::UtcMicros;

use super::{ChunkError, RECORDS_MAX, Stored};
use crate::store::range::{Coder, Hit, Number, unzigzag, zigzag};

/// Most blobs or shapes that are read: each record can bring a few texts of its own.
pub(super) const LISTED_MAX: u64 = (RECORDS_MAX * 64) as u64;

/// Where a shape tells what; from [`FACTS`] on, the keys of its facts.
const KIND: usize = 0;
const CHECK: usize = 1;
const REVISION: usize = 2;
const INCARNATION: usize = 3;
const PROVENANCE: usize = 4;
/// The state's, the missed run's or the drop's code.
const STATE: usize = 5;
const CAUSE: usize = 6;
const FAILED_PHASE: usize = 7;
/// Bit n: the phase of code n + 1; then [`HAS_ADDRESS`] and so on.
const PRESENT: usize = 8;
/// The HTTP status + 1; 0 of none.
const STATUS: usize = 9;
const FACTS: usize = 10;

const RESULT: u64 = 0;
const MISSED: u64 = 1;
const DROPPED: u64 = 2;

const HAS_ADDRESS: u64 = 1 << 8;
const HAS_BODY: u64 = 1 << 9;
const HAS_CERTIFICATE: u64 = 1 << 10;
const HAS_DETAIL: u64 = 1 << 11;

/// What goes with all records of a kind, in few numbers.
pub(super) type Shape = Vec<u64>;

/// Records: of each the number of its shape, and a number of each of the shape's columns.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Each with where its numbers end.
    shapes: Vec<(u64, usize)>,
    values: Vec<u64>,
}

impl Rows {
    /// Each record's shape and numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &[u64])> {
        let mut from = 0;
        self.shapes.iter().map(move |(shape, to)| (*shape, &self.values[std::mem::replace(&mut from, *to)..*to]))
    }
}

/// Columns that every shape can have; those of facts follow, by key.
const SLOT: usize = 0;
const SEQ: usize = 1;
const STARTED: usize = 2;
const PHASE: usize = 3;
const TOTAL: usize = 9;
const ADDRESS: usize = 10;
const BODY: usize = 11;
const CERTIFICATE: usize = 12;
const DETAIL: usize = 13;
const LAST: usize = 14;
const COUNT: usize = 15;
const RANGES: usize = 16;
const FACT: usize = 17;
const COLUMNS: usize = FACT + 256;

/// How a column's numbers go on.
#[derive(Clone, Copy)]
enum Habit {
    /// By the same step as before.
    Steps,
    /// They stay.
    Stays,
    /// Each for itself, of a distribution.
    Varies,
    /// Likewise, around zero.
    VariesSigned,
}

const fn habit(column: usize) -> Habit {
    match column {
        SLOT | SEQ => Habit::Steps,
        STARTED | TOTAL => Habit::VariesSigned,
        PHASE..TOTAL => Habit::Varies,
        _ => Habit::Stays,
    }
}

/// A column while it is coded.
struct Column {
    habit: Habit,
    last: u64,
    step: u64,
    hit: Hit,
    number: Box<Number>,
}

impl Column {
    fn new(habit: Habit) -> Self {
        Self { habit, last: 0, step: 0, hit: Hit::new(), number: Number::new() }
    }

    fn code<C: Coder>(&mut self, coder: &mut C, value: u64) -> Result<u64, C::Error> {
        let expected = match self.habit {
            Habit::Varies => return self.number.code(coder, value),
            Habit::VariesSigned => return self.number.code(coder, zigzag(value)).map(unzigzag),
            Habit::Steps => self.last.wrapping_add(self.step),
            Habit::Stays => self.last,
        };
        let value = if self.hit.code(coder, value == expected)? {
            expected
        } else {
            let off = self.number.code(coder, zigzag(value.wrapping_sub(expected)))?;
            expected.wrapping_add(unzigzag(off))
        };
        self.step = value.wrapping_sub(self.last);
        self.last = value;
        Ok(value)
    }
}

/// Each once, numbered as they came.
struct Listed<T> {
    places: BTreeMap<Vec<T>, usize>,
    list: Vec<Vec<T>>,
    /// Which one came last.
    newest: usize,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), list: Vec::new(), newest: 0 }
    }
}

impl<T: Ord + Clone> Listed<T> {
    fn place(&mut self, entry: &[T]) -> u64 {
        // Mostly it is the one of before.
        if self.list.get(self.newest).is_some_and(|newest| newest == entry) {
            return self.newest as u64;
        }
        let place = self.places.get(entry).copied().unwrap_or_else(|| {
            self.places.insert(entry.to_vec(), self.list.len());
            self.list.push(entry.to_vec());
            self.list.len() - 1
        });
        self.newest = place;
        place as u64
    }
}

/// Texts, addresses and ranges.
#[derive(Default)]
pub(super) struct Blobs(Listed<u8>);

impl Blobs {
    pub(super) fn list(&self) -> &[Vec<u8>] {
        &self.0.list
    }

    /// The pieces of `plain` with these lengths, which add up to it.
    pub(super) fn cut(mut plain: &[u8], lengths: &[u64]) -> Result<Self, ChunkError> {
        let wrong = ChunkError::Damaged("its texts have other lengths than it says");
        let mut list = Vec::with_capacity(lengths.len());
        for length in lengths {
            let length = usize::try_from(*length).map_err(|_| wrong.clone())?;
            let (blob, rest) = plain.split_at_checked(length).ok_or_else(|| wrong.clone())?;
            list.push(blob.to_vec());
            plain = rest;
        }
        if plain.is_empty() { Ok(Self(Listed { list, ..Listed::default() })) } else { Err(wrong) }
    }

    fn place(&mut self, blob: &[u8]) -> u64 {
        self.0.place(blob)
    }

    /// A blob, as far as there is room left for what is read.
    fn get(&self, place: u64, room: &mut usize) -> Result<&[u8], ChunkError> {
        let blob = usize::try_from(place).ok().and_then(|place| self.0.list.get(place));
        let blob = blob.ok_or(ChunkError::Damaged("a text that is not listed"))?;
        *room = room.checked_sub(blob.len()).ok_or(ChunkError::Damaged("longer texts than its records can have"))?;
        Ok(blob)
    }

    fn text(&self, place: u64, room: &mut usize) -> Result<String, ChunkError> {
        let text = str::from_utf8(self.get(place, room)?);
        text.map(str::to_owned).map_err(|_| ChunkError::Damaged("a text that is not UTF-8"))
    }
}

/// The shapes of a chunk and what was learnt of its columns.
pub(super) struct Table {
    shapes: Listed<u64>,
    row_shape: Column,
    /// By number; only those that a shape has.
    columns: Vec<Option<Column>>,
    /// The shape and the values of the record that is taken apart.
    scratch: Shape,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            shapes: Listed::default(),
            row_shape: Column::new(Habit::Stays),
            columns: (0..COLUMNS).map(|_| None).collect(),
            scratch: Vec::new(),
        }
    }
}

impl Table {
    /// Codes the shapes: how many; of each how many facts and its numbers, which mostly are those of the shape before.
    pub(super) fn code_shapes<C: Coder>(&mut self, coder: &mut C) -> Result<(), C::Error> {
        let mut sizes = Number::new();
        let mut columns: Vec<Column> = (0..=FACTS).map(|_| Column::new(Habit::Stays)).collect();
        let given = std::mem::take(&mut self.shapes.list);
        let count = sizes.code(coder, given.len() as u64)?.min(RECORDS_MAX as u64) as usize;
        for at in 0..count {
            let given = given.get(at).map_or(&[][..], Vec::as_slice);
            let facts = sizes.code(coder, given.len().saturating_sub(FACTS) as u64)?.min(FACTS_MAX as u64) as usize;
            let mut shape = Vec::with_capacity(FACTS);
            for at in 0..FACTS + facts {
                let value = given.get(at).copied().unwrap_or_default();
                shape.push(columns[at.min(FACTS)].code(coder, value)?);
            }
            self.shapes.list.push(shape);
        }
        Ok(())
    }

    /// Whether the shapes that were read are such as [`Table::take_apart`] makes.
    pub(super) fn check(&self) -> Result<(), ChunkError> {
        for shape in &self.shapes.list {
            let facts = shape.get(FACTS..).ok_or(ChunkError::Damaged("a shape is cut"))?;
            if facts.iter().any(|fact| fact_key(*fact).is_none()) {
                return Err(ChunkError::Damaged("a fact of an unknown key"));
            }
        }
        Ok(())
    }

    /// Codes a row, by the columns of its shape: gives back the shape, and the numbers in `told`, which is cleared before. Who reads gives none.
    pub(super) fn code_row<C: Coder>(
        &mut self,
        coder: &mut C,
        (shape, given): (u64, &[u64]),
        told: &mut Vec<u64>,
    ) -> Result<u64, C::Error> {
        let Self { shapes, row_shape, columns, .. } = self;
        told.clear();
        let number = row_shape.code(coder, shape)?;
        // A shape that is not there has no columns, and is refused where the record is put together.
        let shape = usize::try_from(number).ok().and_then(|at| shapes.list.get(at)).map_or(&[][..], Vec::as_slice);
        let mut error = None;
        columns_of(shape, |column| {
            if error.is_some() {
                return;
            }
            let column = columns[column].get_or_insert_with(|| Column::new(habit(column)));
            match column.code(coder, given.get(told.len()).copied().unwrap_or_default()) {
                Ok(value) => told.push(value),
                Err(cut) => error = Some(cut),
            }
        });
        match error {
            Some(cut) => Err(cut),
            None => Ok(number),
        }
    }

    /// A record as a row; what is new of it is listed.
    pub(super) fn take_apart(&mut self, stored: &Stored, blobs: &mut Blobs, rows: &mut Rows) {
        let record = &stored.record;
        let mut shape = std::mem::take(&mut self.scratch);
        shape.clear();
        shape.resize(FACTS, 0);
        shape[CHECK] = u64::from(record.check().0);
        shape[INCARNATION] = stored.incarnation.0;
        shape[PROVENANCE] = u64::from(stored.provenance);
        let values = &mut rows.values;
        values.extend([record.scheduled().0.cast_unsigned(), stored.seq.0]);
        match record {
            Record::Result(result) => {
                shape[KIND] = RESULT;
                shape[REVISION] = u64::from(result.revision.0);
                take_result_apart(result, &mut shape, values, blobs);
            }
            Record::Missed(missed) => {
                shape[KIND] = MISSED;
                shape[REVISION] = u64::from(missed.revision.0);
                shape[STATE] = u64::from(missed.cause.code());
                values.extend([missed.last.0.wrapping_sub(missed.first.0).cast_unsigned(), missed.count]);
            }
            Record::Dropped(dropped) => {
                shape[KIND] = DROPPED;
                shape[REVISION] = u64::from(dropped.revision.0);
                shape[STATE] = u64::from(dropped.reason.code());
                let ranges: Vec<u8> = dropped
                    .seqs
                    .iter()
                    .flat_map(|(first, last)| [first.0.to_le_bytes(), last.0.to_le_bytes()].concat())
                    .collect();
                let ranges = blobs.place(&ranges);
                values.extend([dropped.last.0.wrapping_sub(dropped.first.0).cast_unsigned(), dropped.count, ranges]);
            }
        }
        let place = self.shapes.place(&shape);
        self.scratch = shape;
        rows.shapes.push((place, rows.values.len()));
    }

    /// The record of a row. `room`: bytes of texts that may still be read.
    pub(super) fn put_together(
        &self,
        (shape, values): (u64, &[u64]),
        blobs: &Blobs,
        room: &mut usize,
    ) -> Result<Stored, ChunkError> {
        let shape = usize::try_from(shape).ok().and_then(|place| self.shapes.list.get(place));
        let shape = shape.ok_or(ChunkError::Damaged("a shape that is not listed"))?;
        let mut values = Values(values.iter());
        let scheduled = UtcMicros(values.next()?.cast_signed());
        let seq = Seq(values.next()?);
        let check = CheckNo(small(shape[CHECK])?);
        let revision = Revision(small(shape[REVISION])?);
        let record = match shape[KIND] {
            RESULT => {
                let start = ProbeResult {
                    check,
                    revision,
                    scheduled,
                    started: scheduled,
                    phases: Phases::default(),
                    state: coded(ProbeState::from_code, shape[STATE])?,
                    cause: optional(Cause::from_code, shape[CAUSE])?,
                    failed_phase: optional(Phase::from_code, shape[FAILED_PHASE])?,
                    detail: String::new(),
                    address: None,
                    facts: Facts::default(),
                };
                Record::Result(put_result_together(start, shape, &mut values, blobs, room)?)
            }
            MISSED => {
                let last = UtcMicros(scheduled.0.wrapping_add(values.next()?.cast_signed()));
                let cause = coded(MissedCause::from_code, shape[STATE])?;
                Record::Missed(Missed { check, revision, first: scheduled, last, count: values.next()?, cause })
            }
            DROPPED => {
                let last = UtcMicros(scheduled.0.wrapping_add(values.next()?.cast_signed()));
                let count = values.next()?;
                let reason = coded(DropReason::from_code, shape[STATE])?;
                let seqs = ranges(blobs.get(values.next()?, room)?)?;
                Record::Dropped(Dropped { check, revision, first: scheduled, last, count, reason, seqs })
            }
            _ => return Err(ChunkError::Damaged("a record of an unknown kind")),
        };
        let incarnation = Incarnation(shape[INCARNATION]);
        Ok(Stored { incarnation, seq, provenance: small(shape[PROVENANCE])?, record })
    }
}

/// Calls `each` with the columns of a shape, in the order of a row's values.
fn columns_of(shape: &[u64], mut each: impl FnMut(usize)) {
    let Some((shape, facts)) = shape.split_at_checked(FACTS) else {
        return;
    };
    each(SLOT);
    each(SEQ);
    match shape[KIND] {
        RESULT => {
            each(STARTED);
            let present = shape[PRESENT];
            (0..6).filter(|bit| present >> bit & 1 == 1).for_each(|bit| each(PHASE + bit));
            let rest = [(1 << 6, TOTAL), (HAS_ADDRESS, ADDRESS), (HAS_BODY, BODY), (HAS_CERTIFICATE, CERTIFICATE)];
            rest.into_iter()
                .chain([(HAS_DETAIL, DETAIL)])
                .filter(|(bit, _)| present & bit != 0)
                .for_each(|(_, at)| each(at));
            facts.iter().filter_map(|fact| fact_key(*fact)).for_each(|(key, _)| each(FACT + usize::from(key.code())));
        }
        MISSED => [LAST, COUNT].into_iter().for_each(each),
        DROPPED => [LAST, COUNT, RANGES].into_iter().for_each(each),
        _ => {}
    }
}

/// A fact in its shape: the key's code, doubled, and 1 for text.
fn fact_key(fact: u64) -> Option<(FactKey, bool)> {
    let key = u8::try_from(fact >> 1).ok().and_then(FactKey::from_code)?;
    Some((key, fact & 1 == 1))
}

fn take_result_apart(result: &ProbeResult, shape: &mut Shape, values: &mut Vec<u64>, blobs: &mut Blobs) {
    shape[STATE] = u64::from(result.state.code());
    shape[CAUSE] = result.cause.map_or(0, |cause| u64::from(cause.code()));
    shape[FAILED_PHASE] = result.failed_phase.map_or(0, |phase| u64::from(phase.code()));
    shape[STATUS] = result.facts.status.map_or(0, |status| u64::from(status) + 1);
    values.push(result.started.0.wrapping_sub(result.scheduled.0).cast_unsigned());
    let mut present = 0;
    let mut sum = 0_u64;
    for (bit, phase) in Phase::ALL.iter().enumerate() {
        if let Some(us) = result.phases.get(*phase) {
            present |= 1 << bit;
            // The whole is told against the sum of its parts.
            values.push(if *phase == Phase::Total { us.wrapping_sub(sum) } else { us });
            sum = sum.wrapping_add(us);
        }
    }
    let mut optional = |bit: u64, value: Option<u64>| {
        if let Some(value) = value {
            present |= bit;
            values.push(value);
        }
    };
    optional(HAS_ADDRESS, result.address.map(|address| address_bytes(address, |bytes| blobs.place(bytes))));
    optional(HAS_BODY, result.facts.body_bytes);
    optional(HAS_CERTIFICATE, result.facts.certificate_expires.map(|at| at.0.cast_unsigned()));
    optional(HAS_DETAIL, (!result.detail.is_empty()).then(|| blobs.place(result.detail.as_bytes())));
    shape[PRESENT] = present;
    for Fact { key, value } in result.facts.more.iter().take(FACTS_MAX) {
        let (is_text, value) = match value {
            FactValue::Number(number) => (0, number.cast_unsigned()),
            FactValue::Text(text) => (1, blobs.place(text.as_bytes())),
        };
        shape.push(u64::from(key.code()) << 1 | is_text);
        values.push(value);
    }
}

fn put_result_together(
    mut result: ProbeResult,
    shape: &[u64],
    values: &mut Values<'_>,
    blobs: &Blobs,
    room: &mut usize,
) -> Result<ProbeResult, ChunkError> {
    let present = shape[PRESENT];
    result.started = UtcMicros(result.scheduled.0.wrapping_add(values.next()?.cast_signed()));
    let mut sum = 0_u64;
    for (bit, phase) in Phase::ALL.iter().enumerate().filter(|(bit, _)| present >> bit & 1 == 1) {
        let value = values.next()?;
        let us = if bit == 6 { value.wrapping_add(sum) } else { value };
        result.phases.add(*phase, us);
        sum = sum.wrapping_add(us);
    }
    if present & HAS_ADDRESS != 0 {
        result.address = Some(address(blobs.get(values.next()?, room)?)?);
    }
    result.facts.status = shape[STATUS].checked_sub(1).map(small).transpose()?;
    if present & HAS_BODY != 0 {
        result.facts.body_bytes = Some(values.next()?);
    }
    if present & HAS_CERTIFICATE != 0 {
        result.facts.certificate_expires = Some(UtcMicros(values.next()?.cast_signed()));
    }
    if present & HAS_DETAIL != 0 {
        result.detail = blobs.text(values.next()?, room)?;
    }
    for fact in &shape[FACTS..] {
        let (key, is_text) = fact_key(*fact).ok_or(ChunkError::Damaged("a fact of an unknown key"))?;
        let value = values.next()?;
        *room =
            room.checked_sub(size_of::<Fact>()).ok_or(ChunkError::Damaged("more facts than its records can have"))?;
        let value =
            if is_text { FactValue::Text(blobs.text(value, room)?) } else { FactValue::Number(value.cast_signed()) };
        result.facts.more.push(Fact { key, value });
    }
    Ok(result)
}

/// The values of a row, in order.
struct Values<'a>(std::slice::Iter<'a, u64>);

impl Values<'_> {
    fn next(&mut self) -> Result<u64, ChunkError> {
        self.0.next().copied().ok_or(ChunkError::Damaged("a record is cut"))
    }
}

fn small<T: TryFrom<u64>>(value: u64) -> Result<T, ChunkError> {
    T::try_from(value).map_err(|_| ChunkError::Damaged("a number is too large"))
}

fn coded<T>(from_code: fn(u8) -> Option<T>, code: u64) -> Result<T, ChunkError> {
    from_code(small(code)?).ok_or(ChunkError::Damaged("an unknown state or cause"))
}

fn optional<T>(from_code: fn(u8) -> Option<T>, code: u64) -> Result<Option<T>, ChunkError> {
    if code == 0 { Ok(None) } else { coded(from_code, code).map(Some) }
}

/// 4 or 16 bytes and the port; of IPv6 also scope and flow label. Little endian but for the address itself.
/// Calls `with` with an address as bytes.
fn address_bytes<T>(address: SocketAddr, with: impl FnOnce(&[u8]) -> T) -> T {
    let (mut out, mut length) = ([0; 26], 0);
    let mut put = |bytes: &[u8]| {
        out[length..length + bytes.len()].copy_from_slice(bytes);
        length += bytes.len();
    };
    match address {
        SocketAddr::V4(v4) => put(&v4.ip().octets()),
        SocketAddr::V6(v6) => put(&v6.ip().octets()),
    }
    put(&address.port().to_le_bytes());
    if let SocketAddr::V6(v6) = address {
        put(&v6.scope_id().to_le_bytes());
        put(&v6.flowinfo().to_le_bytes());
    }
    with(&out[..length])
}

fn address(bytes: &[u8]) -> Result<SocketAddr, ChunkError> {
    if let Some((ip, port)) = bytes.split_first_chunk::<4>()
        && let Ok(port) = port.try_into()
    {
        return Ok(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(*ip), u16::from_le_bytes(port))));
    }
    let damaged = ChunkError::Damaged("an address of a wrong length");
    let bytes: &[u8; 26] = bytes.try_into().map_err(|_| damaged.clone())?;
    let (ip, rest) = bytes.split_first_chunk::<16>().ok_or_else(|| damaged.clone())?;
    let [p0, p1, s0, s1, s2, s3, f0, f1, f2, f3] = rest.try_into().map_err(|_| damaged)?;
    let (port, scope) = (u16::from_le_bytes([p0, p1]), u32::from_le_bytes([s0, s1, s2, s3]));
    let flow = u32::from_le_bytes([f0, f1, f2, f3]);
    Ok(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(*ip), port, flow, scope)))
}

fn ranges(bytes: &[u8]) -> Result<Vec<(Seq, Seq)>, ChunkError> {
    let (pairs, rest) = bytes.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(ChunkError::Damaged("ranges of a wrong length"));
    }
    let number = |half: &[u8]| Seq(half.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)));
    Ok(pairs.iter().map(|pair| (number(&pair[..8]), number(&pair[8..]))).collect())
}

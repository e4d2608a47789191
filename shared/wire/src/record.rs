//! One record in few bytes, readable by itself: for the spool and the store.
//!
//! Layout, version 1: version byte; head (33 bits, LEB128); check; revision; scheduled; then by kind. All numbers are LEB128,
//! differences and instants zigzag. Short forms, told by the head's bits 16 to 20, save the common case's bytes:
//!
//! | bit | says |
//! |---|---|
//! | 16 | `scheduled` counts milliseconds instead of microseconds |
//! | 17 | the certificate's expiry counts seconds instead of microseconds |
//! | 18, 19 | the port is 443, 80, and left out |
//! | 20 | the status is 200, and left out |
//!
//! Result: started - scheduled; phases present, in order (`total` as the difference to the sum of the others); address (4 or 16
//! bytes, port, scope of IPv6); status; body bytes; certificate expiry; detail (length and UTF-8);
//! more facts (how many; then key and value, a number zigzag or a text with its length).
//! Missed: last - first; count. Dropped: last - first; count; number of ranges, then each as gap from the one before and length.
//!
//! Among others whose bytes say once what holds for all of them ([`encode_from`]), a record has no version byte, and `scheduled` counts from an
//! instant that they share.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use sitepulse_model::id::{CheckNo, Revision, Seq};
use sitepulse_model::record::{
    DETAIL_BYTES_MAX, DropReason, Dropped, FACTS_MAX, Fact, FactKey, FactValue, Facts, Missed, MissedCause,
    ProbeResult, Record, beginning,
};
use sitepulse_model::time::{SECOND_US, UtcMicros};
use thiserror::Error;

use crate::head::{AddressFamily, Head, ResultHead, phases_array, phases_from};
use crate::leb::{self, put, put_signed, unzigzag};

/// The version byte that [`encode`] writes.
pub const RECORD_VERSION: u8 = 1;

/// No record takes more bytes: the largest are those of pages, with a report and a screenshot.
pub const RECORD_BYTES_MAX: usize = 128 << 10;

const MILLIS: u64 = 1 << 16;
const CERTIFICATE_SECONDS: u64 = 1 << 17;
const PORT_443: u64 = 1 << 18;
const PORT_80: u64 = 1 << 19;
const STATUS_200: u64 = 1 << 20;
const MILLI_US: i64 = 1_000;

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// There are no bytes.
    #[error("a record is empty")]
    Empty,
    /// Written by a newer build.
    #[error(
        "a record has format version {found}, this build understands {RECORD_VERSION}: upgrade, or the file is damaged"
    )]
    Version {
        /// The version byte.
        found: u8,
    },
    /// The bytes end early, or a number is malformed.
    #[error("a record ends early or has a malformed number in {field}")]
    Malformed {
        /// Where.
        field: &'static str,
    },
    /// A value that cannot be.
    #[error("a record is damaged: {0}")]
    Invalid(&'static str),
    /// Written by a newer build: it tells something that this one has no name for.
    #[error(
        "a result has a fact of key {key}, which this build does not know: upgrade it, a collector before its agents"
    )]
    NewerFact {
        /// The key's number.
        key: u64,
    },
    /// The bytes go on after the record.
    #[error("{bytes} bytes trail after a record")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

/// Appends a record. A detail longer than [`DETAIL_BYTES_MAX`] is cut; the flow label of an IPv6 address is dropped.
pub fn encode(record: &Record, out: &mut Vec<u8>) {
    out.push(RECORD_VERSION);
    encode_from(UtcMicros(0), record, out);
}

/// Appends a record without its version ([`RECORD_VERSION`]), its slot counted from `base`: for whoever keeps both beside it.
pub fn encode_from(base: UtcMicros, record: &Record, out: &mut Vec<u8>) {
    match record {
        Record::Result(result) => encode_result(base, result, out),
        Record::Missed(missed) => {
            let head = Head::Missed(missed.cause).bits();
            encode_start(head, missed.check, missed.revision, since(missed.first, base), out);
            put_signed(missed.last.0.wrapping_sub(missed.first.0), out);
            put(missed.count, out);
        }
        Record::Dropped(dropped) => {
            let head = Head::Dropped(dropped.reason).bits();
            encode_start(head, dropped.check, dropped.revision, since(dropped.first, base), out);
            put_signed(dropped.last.0.wrapping_sub(dropped.first.0), out);
            put(dropped.count, out);
            put(dropped.seqs.len() as u64, out);
            put_ranges(&dropped.seqs, out);
        }
    }
}

/// Wrapping, so that every instant comes back from every base.
fn since(at: UtcMicros, base: UtcMicros) -> i64 {
    at.0.wrapping_sub(base.0)
}

fn encode_start(head: u64, check: CheckNo, revision: Revision, scheduled: i64, out: &mut Vec<u8>) {
    let millis = scheduled % MILLI_US == 0;
    put(if millis { head | MILLIS } else { head }, out);
    put(u64::from(check.0), out);
    put(u64::from(revision.0), out);
    put_signed(if millis { scheduled / MILLI_US } else { scheduled }, out);
}

fn encode_result(base: UtcMicros, result: &ProbeResult, out: &mut Vec<u8>) {
    let mut head = Head::Result(ResultHead::of(result)).bits();
    let port = result.address.map(|address| address.port());
    if port == Some(443) {
        head |= PORT_443;
    } else if port == Some(80) {
        head |= PORT_80;
    }
    if result.facts.status == Some(200) {
        head |= STATUS_200;
    }
    if result.facts.certificate_expires.is_some_and(|at| at.0 % SECOND_US == 0) {
        head |= CERTIFICATE_SECONDS;
    }
    encode_start(head, result.check, result.revision, since(result.scheduled, base), out);
    put_signed(result.started.0.wrapping_sub(result.scheduled.0), out);
    let [steps @ .., total] = phases_array(&result.phases);
    for step in steps.into_iter().flatten() {
        put(step, out);
    }
    if let Some(total) = total {
        put_signed(total.wrapping_sub(sum(&steps)) as i64, out);
    }
    if let Some(address) = result.address {
        match address {
            SocketAddr::V4(v4) => out.extend_from_slice(&v4.ip().octets()),
            SocketAddr::V6(v6) => out.extend_from_slice(&v6.ip().octets()),
        }
        if head & (PORT_443 | PORT_80) == 0 {
            put(u64::from(address.port()), out);
        }
        if let SocketAddr::V6(v6) = address {
            put(u64::from(v6.scope_id()), out);
        }
    }
    if let Some(status) = result.facts.status
        && head & STATUS_200 == 0
    {
        put(u64::from(status), out);
    }
    if let Some(bytes) = result.facts.body_bytes {
        put(bytes, out);
    }
    if let Some(expires) = result.facts.certificate_expires {
        put_signed(if head & CERTIFICATE_SECONDS != 0 { expires.0 / SECOND_US } else { expires.0 }, out);
    }
    if !result.detail.is_empty() {
        put_text(beginning(&result.detail, DETAIL_BYTES_MAX), out);
    }
    put_facts(&result.facts.more, out);
}

/// Of facts that nobody shortened, what the decoder takes: the first of them, and no document beyond its bound, for half of one is none.
pub(crate) fn carried(facts: &[Fact]) -> impl Iterator<Item = &Fact> {
    let whole = |fact: &&Fact| match &fact.value {
        FactValue::Text(text) => !fact.key.is_document() || text.len() <= fact.key.bytes_max(),
        FactValue::Number(_) => true,
    };
    facts.iter().filter(whole).take(FACTS_MAX)
}

/// Facts: how many, then each as its key's code and its value; a number zigzag, a text with its length. Of none, nothing: the head says so.
pub(crate) fn put_facts(facts: &[Fact], out: &mut Vec<u8>) {
    let count = carried(facts).count();
    if count == 0 {
        return;
    }
    put(count as u64, out);
    for fact in carried(facts) {
        put(u64::from(fact.key.code()), out);
        match &fact.value {
            FactValue::Number(value) => put_signed(*value, out),
            FactValue::Text(text) => put_text(beginning(text, fact.key.bytes_max()), out),
        }
    }
}

/// The sum that `total` is told against.
pub(crate) fn sum(steps: &[Option<u64>]) -> u64 {
    steps.iter().flatten().fold(0, |sum, step| sum.wrapping_add(*step))
}

pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    put(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn put_ranges(ranges: &[(Seq, Seq)], out: &mut Vec<u8>) {
    let mut end = 0_u64;
    for (first, last) in ranges {
        put_signed(first.0.wrapping_sub(end) as i64, out);
        put_signed(last.0.wrapping_sub(first.0) as i64, out);
        end = last.0;
    }
}

/// Reads one record; the bytes must end with it.
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    let (version, rest) = bytes.split_first().ok_or(DecodeError::Empty)?;
    if *version != RECORD_VERSION {
        return Err(DecodeError::Version { found: *version });
    }
    decode_from(UtcMicros(0), rest)
}

/// Reads what [`encode_from`] wrote with the same `base`; the bytes must end with it.
pub fn decode_from(base: UtcMicros, bytes: &[u8]) -> Result<Record, DecodeError> {
    let mut input = Input { bytes };
    let head_bits = input.number("head")?;
    let check = CheckNo(input.small("check")?);
    let revision = Revision(input.small("revision")?);
    let scheduled = input.scaled("scheduled", head_bits & MILLIS != 0, MILLI_US)?;
    let scheduled = UtcMicros(base.0.wrapping_add(scheduled));
    let record = match Head::parse(head_bits).map_err(DecodeError::Invalid)? {
        Head::Result(head) => Record::Result(input.result(head, head_bits, check, revision, scheduled)?),
        Head::Missed(cause) => Record::Missed(input.missed(cause, check, revision, scheduled)?),
        Head::Dropped(reason) => Record::Dropped(input.dropped(reason, check, revision, scheduled)?),
    };
    if input.bytes.is_empty() { Ok(record) } else { Err(DecodeError::Trailing { bytes: input.bytes.len() }) }
}

/// The check that a record speaks of, out of what [`encode_from`] wrote; nothing behind it is looked at.
pub fn check_of(bytes: &[u8]) -> Result<CheckNo, DecodeError> {
    let mut input = Input { bytes };
    input.number("head")?;
    Ok(CheckNo(input.small("check")?))
}

/// Bytes being read.
pub(crate) struct Input<'a> {
    pub(crate) bytes: &'a [u8],
}

impl Input<'_> {
    pub(crate) fn number(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        leb::take(&mut self.bytes).ok_or(DecodeError::Malformed { field })
    }

    fn signed(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        self.number(field).map(unzigzag)
    }

    /// A number that fits into a smaller type.
    pub(crate) fn small<T: TryFrom<u64>>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        T::try_from(self.number(field)?).map_err(|_| DecodeError::Malformed { field })
    }

    fn scaled(&mut self, field: &'static str, short: bool, scale: i64) -> Result<i64, DecodeError> {
        let value = self.signed(field)?;
        if short { value.checked_mul(scale).ok_or(DecodeError::Malformed { field }) } else { Ok(value) }
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or(DecodeError::Malformed { field })?;
        self.bytes = rest;
        Ok(*array)
    }

    pub(crate) fn text(&mut self, field: &'static str, bytes_max: usize) -> Result<String, DecodeError> {
        let malformed = DecodeError::Malformed { field };
        let length: usize = self.small(field)?;
        let (text, rest) =
            self.bytes.split_at_checked(length).filter(|_| length <= bytes_max).ok_or(malformed.clone())?;
        self.bytes = rest;
        str::from_utf8(text).map(str::to_owned).map_err(|_| malformed)
    }

    pub(crate) fn facts(&mut self) -> Result<Vec<Fact>, DecodeError> {
        let count: usize = self.small("facts")?;
        if count == 0 || count > FACTS_MAX {
            return Err(DecodeError::Invalid("no facts, or too many of them"));
        }
        let mut facts = Vec::with_capacity(count);
        for _ in 0..count {
            let key = self.number("facts")?;
            let known = u8::try_from(key).ok().and_then(FactKey::from_code);
            // Its value cannot be read over: whether it is a number or a text is known by the key alone.
            let key = known.ok_or(DecodeError::NewerFact { key })?;
            let value = if key.is_number() {
                FactValue::Number(self.signed("facts")?)
            } else {
                FactValue::Text(self.text("facts", key.bytes_max())?)
            };
            facts.push(Fact { key, value });
        }
        Ok(facts)
    }

    pub(crate) fn ranges(&mut self, count: usize) -> Result<Vec<(Seq, Seq)>, DecodeError> {
        // Each range takes two bytes at least, so the bytes at hand bound the memory.
        let mut ranges = Vec::with_capacity(count.min(self.bytes.len() / 2));
        let mut end = 0_u64;
        for _ in 0..count {
            let first = end.wrapping_add(self.signed("ranges")? as u64);
            end = first.wrapping_add(self.signed("ranges")? as u64);
            ranges.push((Seq(first), Seq(end)));
        }
        Ok(ranges)
    }

    fn result(
        &mut self,
        head: ResultHead,
        head_bits: u64,
        check: CheckNo,
        revision: Revision,
        scheduled: UtcMicros,
    ) -> Result<ProbeResult, DecodeError> {
        let started = UtcMicros(scheduled.0.wrapping_add(self.signed("started")?));
        let mut phases = [None; 7];
        for (at, phase) in phases.iter_mut().enumerate().take(6) {
            if head.has_phase(at) {
                *phase = Some(self.number("phases")?);
            }
        }
        if head.has_phase(6) {
            phases[6] = Some(sum(&phases[..6]).wrapping_add(self.signed("total")? as u64));
        }
        let address = self.address(head.address, head_bits)?;
        let status = match (head.status, head_bits & STATUS_200 != 0) {
            (true, true) => Some(200),
            (true, false) => Some(self.small("status")?),
            (false, false) => None,
            (false, true) => return Err(DecodeError::Invalid("a short form of a status that is absent")),
        };
        let body_bytes = head.body_bytes.then(|| self.number("body bytes")).transpose()?;
        let seconds = head_bits & CERTIFICATE_SECONDS != 0;
        let certificate_expires =
            head.certificate.then(|| self.scaled("certificate", seconds, SECOND_US)).transpose()?.map(UtcMicros);
        let detail = if head.detail { self.text("detail", DETAIL_BYTES_MAX)? } else { String::new() };
        let more = if head.more { self.facts()? } else { Vec::new() };
        Ok(ProbeResult {
            check,
            revision,
            scheduled,
            started,
            phases: phases_from(phases),
            state: head.state,
            cause: head.cause,
            failed_phase: head.failed_phase,
            detail,
            address,
            facts: Facts { status, body_bytes, certificate_expires, more },
        })
    }

    fn address(&mut self, family: AddressFamily, head_bits: u64) -> Result<Option<SocketAddr>, DecodeError> {
        let port = |input: &mut Self| match head_bits & (PORT_443 | PORT_80) {
            0 => input.small("port"),
            PORT_443 => Ok(443),
            PORT_80 => Ok(80),
            _ => Err(DecodeError::Invalid("two short forms of a port")),
        };
        Ok(match family {
            AddressFamily::None => None,
            AddressFamily::V4 => {
                let ip = Ipv4Addr::from(self.array::<4>("address")?);
                Some(SocketAddr::V4(SocketAddrV4::new(ip, port(self)?)))
            }
            AddressFamily::V6 => {
                let ip = Ipv6Addr::from(self.array::<16>("address")?);
                let port = port(self)?;
                Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, self.small("scope")?)))
            }
        })
    }

    fn missed(
        &mut self,
        cause: MissedCause,
        check: CheckNo,
        revision: Revision,
        first: UtcMicros,
    ) -> Result<Missed, DecodeError> {
        let last = UtcMicros(first.0.wrapping_add(self.signed("last")?));
        Ok(Missed { check, revision, first, last, count: self.number("count")?, cause })
    }

    fn dropped(
        &mut self,
        reason: DropReason,
        check: CheckNo,
        revision: Revision,
        first: UtcMicros,
    ) -> Result<Dropped, DecodeError> {
        let last = UtcMicros(first.0.wrapping_add(self.signed("last")?));
        let count = self.number("count")?;
        let ranges = self.small("ranges")?;
        Ok(Dropped { check, revision, first, last, count, reason, seqs: self.ranges(ranges)? })
    }
}

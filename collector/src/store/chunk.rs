//! Sealed records of one check from one agent in few bytes: the body of the table `chunk`.
//!
//! Records are taken apart: what hardly ever changes (check, revision, provenance, state, which phases there are, which facts, ...) is a
//! *shape*, listed once; texts and addresses are *blobs*, listed once; what is left of a record is its shape and a few numbers, one of each
//! *column* of the shape (`chunk/columns.rs`). Slots and sequence numbers are told against the step before, repeated values
//! by a bit that costs next to nothing, durations by what was learnt of the earlier ones: all by a range coder (`store/range.rs`). That
//! takes a third less room than the same columns under zstd 3 (8.7 B an HTTPS result instead of 13.5) and needs no C. Blobs are deflated.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, [`CHUNK_VERSION`] |
//! | 4 | CRC32C of all that follows |
//! | 4 | records |
//! | 4, 4 | bytes of all blobs, and as stored (equal: not deflated) |
//! | 4 | bytes of the raw bits |
//! | | the blobs, the raw bits, the coded numbers: how many blobs and each one's length, how many shapes and each one's numbers, the records |
//!
//! Numbers are little endian. Every field of a record comes back as it was. Limits: [`RECORDS_MAX`] records; of each the first
//! [`FACTS_MAX`](sitepulse_model::record::FACTS_MAX) facts, as [`sitepulse_wire::record`] has it; texts, facts and tombstones' ranges of at most [`RECORD_BYTES_MAX`] bytes a record on the
//! mean. What is read is held to them before memory is taken.

mod columns;

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use sitepulse_model::id::{Incarnation, Seq};
use sitepulse_model::record::Record;
use sitepulse_wire::record::RECORD_BYTES_MAX;
use thiserror::Error;

use super::range::{Coder, Cut, Decoder, Encoder, Number};
use columns::{Blobs, Rows, Table};

/// The version byte that [`encode`] writes.
pub const CHUNK_VERSION: u8 = 1;
/// Most records of one chunk.
pub const RECORDS_MAX: usize = 8_192;
/// Blobs of fewer bytes, mostly an address, are stored as they are: what deflates them takes longer to set up than a hundred records to code.
const DEFLATED_MIN: usize = 64;
/// Bytes before the blobs.
const HEAD_BYTES: usize = 21;

/// A record as it is stored: with what dedupes it and says who measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Of the agent's spool.
    pub incarnation: Incarnation,
    /// Its number there.
    pub seq: Seq,
    /// The number of its source: who measured, with which clock.
    pub provenance: u32,
    /// The record.
    pub record: Record,
}

/// Why bytes are no chunk.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// They end early.
    #[error("a chunk of {0} bytes is cut short")]
    Cut(usize),
    /// A newer build wrote them, or the first byte is damaged.
    #[error(
        "a chunk has format version {0}, this build understands {CHUNK_VERSION}: upgrade, or the file is damaged: restore a backup"
    )]
    Version(u8),
    /// They are not what was written.
    #[error("a chunk's checksum is wrong: the file is damaged; restore a backup")]
    Checksum,
    /// They contradict themselves.
    #[error("a chunk is damaged: {0}; restore a backup")]
    Damaged(&'static str),
}

/// Writes records of one check from one agent, in whatever order they are given.
///
/// # Panics
/// Of more than [`RECORDS_MAX`]: split them before.
pub fn encode(records: &[Stored]) -> Vec<u8> {
    assert!(records.len() <= RECORDS_MAX, "a chunk holds at most {RECORDS_MAX} records");
    let mut order: Vec<&Stored> = records.iter().collect();
    order.sort_by_key(|stored| (stored.record.scheduled(), stored.incarnation, stored.seq));
    let mut blobs = Blobs::default();
    let mut table = Table::default();
    let mut rows = Rows::default();
    order.into_iter().for_each(|stored| table.take_apart(stored, &mut blobs, &mut rows));

    let mut coder = Encoder::new();
    let lengths = blobs.list().iter().map(|blob| blob.len() as u64).collect();
    let (Ok(_), Ok(_)) = (code_list(&mut coder, lengths), table.code_shapes(&mut coder));
    let mut told = Vec::new();
    for row in rows.iter() {
        let Ok(_) = table.code_row(&mut coder, row, &mut told);
    }
    let (raw, coded) = coder.finish();

    let plain = blobs.list().concat();
    let deflated = if plain.len() < DEFLATED_MIN { None } else { Some(deflate(&plain)) };
    let stored = deflated.filter(|deflated| deflated.len() < plain.len()).unwrap_or_else(|| plain.clone());
    let mut out = vec![CHUNK_VERSION, 0, 0, 0, 0];
    for length in [records.len(), plain.len(), stored.len(), raw.len()] {
        let length = u32::try_from(length).expect("8,192 records of at most 128 KiB");
        out.extend_from_slice(&length.to_le_bytes());
    }
    for part in [&stored, &raw, &coded] {
        out.extend_from_slice(part);
    }
    let sum = crc32c::crc32c(&out[5..]);
    out[1..5].copy_from_slice(&sum.to_le_bytes());
    out
}

/// Reads what [`encode`] wrote: by slot, then incarnation, then sequence number.
///
/// # Errors
/// They are no chunk, or not as they were written.
pub fn decode(bytes: &[u8]) -> Result<Vec<Stored>, ChunkError> {
    let cut = || ChunkError::Cut(bytes.len());
    let version = *bytes.first().ok_or_else(cut)?;
    if version != CHUNK_VERSION {
        return Err(ChunkError::Version(version));
    }
    let (head, content) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or_else(cut)?;
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if crc32c::crc32c(&bytes[5..]) != number(1) {
        return Err(ChunkError::Checksum);
    }
    let [records, plain, stored, raw] = [5, 9, 13, 17].map(|at| number(at) as usize);
    if records > RECORDS_MAX {
        return Err(ChunkError::Damaged("more records than a chunk holds"));
    }
    let bytes_max = records * RECORD_BYTES_MAX;
    if plain > bytes_max {
        return Err(ChunkError::Damaged("longer texts than its records can have"));
    }
    let (stored, content) = content.split_at_checked(stored).ok_or_else(cut)?;
    let (raw, coded) = content.split_at_checked(raw).ok_or_else(cut)?;
    let inflated = if stored.len() == plain { None } else { Some(inflate(stored, plain)?) };

    let lost = |Cut| cut();
    let mut coder = Decoder::new(raw, coded).map_err(lost)?;
    let lengths = code_list(&mut coder, Vec::new()).map_err(lost)?;
    let blobs = Blobs::cut(inflated.as_deref().unwrap_or(stored), &lengths)?;
    let mut table = Table::default();
    table.code_shapes(&mut coder).map_err(lost)?;
    table.check()?;
    let mut out = Vec::with_capacity(records.min(1_024));
    let mut room = bytes_max;
    let mut values = Vec::new();
    for _ in 0..records {
        let shape = table.code_row(&mut coder, (0, &[]), &mut values).map_err(lost)?;
        out.push(table.put_together((shape, &values), &blobs, &mut room)?);
    }
    if coder.is_at_end() { Ok(out) } else { Err(ChunkError::Damaged("it goes on after its last record")) }
}

/// Codes a list of numbers, with its length.
fn code_list<C: Coder>(coder: &mut C, mut list: Vec<u64>) -> Result<Vec<u64>, C::Error> {
    let mut number = Number::new();
    let count = number.code(coder, list.len() as u64)?;
    let mut out = Vec::with_capacity(list.len());
    list.reverse();
    for _ in 0..count.min(columns::LISTED_MAX) {
        out.push(number.code(coder, list.pop().unwrap_or_default())?);
    }
    Ok(out)
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(plain).and_then(|()| encoder.finish());
    written.expect("memory takes all that is written")
}

fn inflate(stored: &[u8], plain: usize) -> Result<Vec<u8>, ChunkError> {
    let damaged = ChunkError::Damaged("its texts cannot be unpacked");
    let mut out = Vec::new();
    let read = DeflateDecoder::new(stored).take(plain as u64 + 1).read_to_end(&mut out);
    if read.is_ok_and(|read| read == plain) { Ok(out) } else { Err(damaged) }
}

#[cfg(test)]
mod tests;

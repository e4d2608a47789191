//! Sealed records: a body of the table `chunk`. Temporary: record by record.

use sitepulse_model::id::{Incarnation, Seq};
use sitepulse_model::record::Record;

/// A sealed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its agent's spool.
    pub incarnation: Incarnation,
    /// Its number there.
    pub seq: Seq,
    /// Its provenance's number.
    pub provenance: u32,
    /// The record.
    pub record: Record,
}

/// Records to a body.
pub fn encode(records: &[Stored]) -> Vec<u8> {
    let mut out = vec![0; 4];
    let mut body = Vec::new();
    for stored in records {
        out.extend_from_slice(&stored.incarnation.0.to_le_bytes());
        out.extend_from_slice(&stored.seq.0.to_le_bytes());
        out.extend_from_slice(&stored.provenance.to_le_bytes());
        body.clear();
        sitepulse_wire::record::encode(&stored.record, &mut body);
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(&body);
    }
    let crc = crc32c::crc32c(&out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out
}

/// A body to records.
pub fn decode(bytes: &[u8]) -> Result<Vec<Stored>, String> {
    let bad = || String::from("cut off");
    let (crc, mut rest) = bytes.split_first_chunk::<4>().ok_or_else(bad)?;
    if crc32c::crc32c(rest) != u32::from_le_bytes(*crc) {
        return Err("the checksum does not fit".into());
    }
    let mut out = Vec::new();
    while !rest.is_empty() {
        let mut u64s = [0_u64; 2];
        for value in &mut u64s {
            let (bytes, tail) = rest.split_first_chunk::<8>().ok_or_else(bad)?;
            *value = u64::from_le_bytes(*bytes);
            rest = tail;
        }
        let mut u32s = [0_u32; 2];
        for value in &mut u32s {
            let (bytes, tail) = rest.split_first_chunk::<4>().ok_or_else(bad)?;
            *value = u32::from_le_bytes(*bytes);
            rest = tail;
        }
        let (body, tail) = rest.split_at_checked(u32s[1] as usize).ok_or_else(bad)?;
        rest = tail;
        let record = sitepulse_wire::record::decode(body).map_err(|error| error.to_string())?;
        out.push(Stored { incarnation: Incarnation(u64s[0]), seq: Seq(u64s[1]), provenance: u32s[0], record });
    }
    Ok(out)
}

//! The table `mark`: which sequence numbers were seen, of each spool in one row with the marks of all buckets.
//!
//! A batch brings few records of each bucket. A row for each of them cost more to set than the batch's records to write; one row costs the same whether a
//! batch touches one bucket or all. A store that is spread by bucket has a row for each, set in the transaction of that bucket.
//!
//! Layout of a body: version byte; CRC-32C of what follows (4 bytes, little endian); of each bucket of which anything was seen, in order: the bucket's number, the next
//! sequence number, how many gaps there are, and of each gap how far it begins after the one before (the first: after 0) and how much longer than one it is.
//! Numbers behind the bucket are LEB128.

use rusqlite::params;
use sitepulse_model::id::{AgentNo, BUCKETS, Bucket, Incarnation};

use super::series::{BodyError, HEAD_BYTES, content, put, seal_head, take};
use super::{StoreError, Tables};
use crate::ingest::{Mark, Marks, SpoolKey};

const VERSION: u8 = 1;

/// Sets the marks of some spools.
pub(crate) fn set(tables: Tables<'_>, spools: &[(SpoolKey, Marks)]) -> Result<(), StoreError> {
    let mut statement = tables.prepare_cached(
        "INSERT INTO mark(bucket, agent_no, incarnation, body) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (bucket, agent_no, incarnation) DO UPDATE SET body = excluded.body",
    )?;
    for (key, marks) in spools {
        statement.execute(params![marks.home.0, key.agent.0, key.incarnation.0.cast_signed(), encode(marks)])?;
    }
    Ok(())
}

/// The marks of every spool.
pub(crate) fn all(tables: Tables<'_>) -> Result<Vec<(SpoolKey, Marks)>, StoreError> {
    let mut statement = tables.prepare("SELECT bucket, agent_no, incarnation, body FROM mark")?;
    let mut rows = statement.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let (agent, incarnation) = (AgentNo(row.get(1)?), Incarnation(row.get::<_, i64>(2)?.cast_unsigned()));
        let remedy = "restore a backup, for without it what an agent sends again would count twice";
        let bad = |what: String| StoreError::BadRow { table: "mark", what: format!("agent {agent}: {what}; {remedy}") };
        let body = row.get_ref(3)?.as_blob().map_err(|error| bad(error.to_string()))?;
        let marks = decode(Bucket(row.get(0)?), body).map_err(|error| bad(error.to_string()))?;
        out.push((SpoolKey { agent, incarnation }, marks));
    }
    Ok(out)
}

/// Marks to a body.
pub(super) fn encode(marks: &Marks) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.resize(HEAD_BYTES, 0);
    for (bucket, mark) in marks.seen() {
        out.push(bucket.0);
        put(mark.next(), &mut out);
        put(mark.gaps().len() as u64, &mut out);
        let mut end = 0;
        for (first, last) in mark.gaps() {
            put(first - end, &mut out);
            put(last - first, &mut out);
            end = *last;
        }
    }
    seal_head(VERSION, &mut out);
    out
}

/// A body to marks.
fn decode(home: Bucket, body: &[u8]) -> Result<Marks, BodyError> {
    let mut input = content(VERSION, body)?;
    let mut marks = Marks::new(home);
    let mut before = None;
    while let Some((bucket, rest)) = input.split_first() {
        input = rest;
        let bucket = Bucket(*bucket);
        if bucket.0 >= BUCKETS || before.is_some_and(|before| bucket <= before) {
            return Err(BodyError::Senseless);
        }
        before = Some(bucket);
        let next = take(&mut input)?;
        let count = take(&mut input)?;
        let mut gaps = Vec::new();
        let mut end = 0_u64;
        for _ in 0..count {
            let first = end.checked_add(take(&mut input)?).ok_or(BodyError::Senseless)?;
            end = first.checked_add(take(&mut input)?).ok_or(BodyError::Senseless)?;
            gaps.push((first, end));
        }
        *marks.of_mut(bucket) = Mark::from_parts(next, gaps).filter(|_| next > 0).ok_or(BodyError::Senseless)?;
    }
    Ok(marks)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sitepulse_model::id::Seq;

    use super::*;

    proptest! {
        #[test]
        fn marks_come_back(seen in prop::collection::vec((0..BUCKETS, 0_u64..400, 0_u64..20, 0..63_u32), 0..60)) {
            let mut marks = Marks::new(Bucket(9));
            for (bucket, first, more, shift) in seen {
                let first = first << shift.min(50);
                marks.of_mut(Bucket(bucket)).insert_range(Seq(first), Seq(first + more));
            }
            prop_assert_eq!(decode(Bucket(9), &encode(&marks)), Ok(marks));
        }

        #[test]
        fn whatever_is_read_makes_sense_or_is_refused(content: Vec<u8>) {
            let mut body = vec![0; HEAD_BYTES];
            body.extend(content);
            seal_head(VERSION, &mut body);
            if let Ok(marks) = decode(Bucket(0), &body) {
                prop_assert_eq!(decode(Bucket(0), &encode(&marks)), Ok(marks));
            }
        }
    }

    /// These bytes are stored: they are read for ever.
    #[test]
    fn golden_bytes() {
        let mut marks = Marks::new(Bucket(5));
        marks.of_mut(Bucket(3)).insert_range(Seq(0), Seq(299));
        marks.of_mut(Bucket(63)).insert_range(Seq(2), Seq(2));
        marks.of_mut(Bucket(63)).insert_range(Seq(7), Seq(7));
        let body = encode(&marks);
        assert_eq!(body[HEAD_BYTES..], [3, 172, 2, 0, 63, 8, 2, 0, 1, 2, 3]);
        assert_eq!(decode(Bucket(5), &body), Ok(marks));
    }

    #[test]
    fn damage_is_told() {
        let mut marks = Marks::new(Bucket(5));
        marks.of_mut(Bucket(3)).insert_range(Seq(4), Seq(299));
        let body = encode(&marks);
        for at in 0..body.len() {
            let mut damaged = body.clone();
            damaged[at] ^= 0x40;
            assert!(decode(Bucket(5), &damaged).is_err(), "byte {at}");
            assert!(decode(Bucket(5), &body[..at]).is_err(), "cut at {at}");
        }
    }
}

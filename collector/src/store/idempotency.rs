//! The table `idempotency`: requests that are done once. Functions that write are given the tables within a transaction, by
//! [`super::Store::write`].

use rusqlite::{OptionalExtension, params};
use sitepulse_model::id::BUCKETS;
use sitepulse_model::time::UtcMicros;

use super::{StoreError, Tables};

/// How long a request is remembered, in microseconds: 24 h.
const KEPT_US: i64 = 24 * 3_600_000_000;

/// SHA-256 of something.
pub(crate) type Hash = [u8; 32];

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// What it asked for.
    pub asks: Hash,
    /// Status and body of its answer, sealed; `None`: it was begun, and nobody knows what became of it.
    pub answer: Option<(u16, Vec<u8>)>,
}

/// What beginning a request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is noted, and is to be done.
    New,
    /// It was begun before.
    Known(Kept),
    /// So many are remembered that no more are.
    Full,
}

fn bucket(name: &Hash) -> u8 {
    name[0] % BUCKETS
}

fn hash(bytes: Vec<u8>) -> Result<Hash, StoreError> {
    let bad =
        |bytes: Vec<u8>| StoreError::BadRow { table: "idempotency", what: format!("a hash of {} bytes", bytes.len()) };
    bytes.try_into().map_err(bad)
}

/// Notes that a request begins, unless it did before. Those that are too old are let go.
pub(crate) fn begin(
    tables: Tables<'_>,
    name: &Hash,
    asks: &Hash,
    now: UtcMicros,
    most: usize,
) -> Result<Begun, StoreError> {
    tables.prepare_cached("DELETE FROM idempotency WHERE at_us < ?1")?.execute([now.0.saturating_sub(KEPT_US)])?;
    let known = tables
        .prepare_cached("SELECT asks, status, answer FROM idempotency WHERE bucket = ?1 AND name = ?2")?
        .query_row(params![bucket(name), name], |row| Ok((row.get(0)?, row.get::<_, Option<u16>>(1)?, row.get(2)?)))
        .optional()?;
    if let Some((asked, status, answer)) = known {
        let answer: Option<Vec<u8>> = answer;
        return Ok(Begun::Known(Kept { asks: hash(asked)?, answer: status.zip(answer) }));
    }
    let count: i64 = tables.prepare_cached("SELECT count(*) FROM idempotency")?.query_row([], |row| row.get(0))?;
    if usize::try_from(count).unwrap_or(usize::MAX) >= most {
        return Ok(Begun::Full);
    }
    tables
        .prepare_cached("INSERT INTO idempotency(bucket, name, asks, at_us) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![bucket(name), name, asks, now.0])?;
    Ok(Begun::New)
}

/// Keeps a request's answer.
pub(crate) fn finish(tables: Tables<'_>, name: &Hash, status: u16, answer: &[u8]) -> Result<(), StoreError> {
    tables
        .prepare_cached("UPDATE idempotency SET status = ?3, answer = ?4 WHERE bucket = ?1 AND name = ?2")?
        .execute(params![bucket(name), name, status, answer])?;
    Ok(())
}

/// Forgets a request that changed nothing.
pub(crate) fn forget(tables: Tables<'_>, name: &Hash) -> Result<(), StoreError> {
    tables
        .prepare_cached("DELETE FROM idempotency WHERE bucket = ?1 AND name = ?2")?
        .execute(params![bucket(name), name])?;
    Ok(())
}

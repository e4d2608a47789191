//! Reads records back, with their keys.

use std::collections::HashMap;

use rusqlite::params;
use sitepulse_model::id::{AgentNo, Bucket, CheckNo, Incarnation, Seq};
use sitepulse_model::record::{Provenance, Record};
use sitepulse_model::time::Span;

use super::{StoreError, Tables};

fn bad(table: &'static str, what: impl ToString) -> StoreError {
    StoreError::BadRow { table, what: what.to_string() }
}

/// A record with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) agent: AgentNo,
    pub(crate) incarnation: Incarnation,
    pub(crate) seq: Seq,
    /// Its number in the table `provenance`.
    pub(crate) provenance: u32,
    pub(crate) record: Record,
}

/// Calls `each` with every record of a check whose first slot lies in `span`, by agent and slot.
pub(crate) fn records_of(
    tables: Tables<'_>,
    bucket: Bucket,
    check: CheckNo,
    span: Span,
    mut each: impl FnMut(Kept) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT agent_no, incarnation, seq, provenance_no, body FROM result \
         WHERE bucket = ?1 AND check_no = ?2 AND scheduled_us >= ?3 AND scheduled_us < ?4 ORDER BY agent_no, scheduled_us, incarnation, seq",
    )?;
    let mut rows = statement.query(params![bucket.0, check.0, span.from.0, span.to.0])?;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(4)?.as_blob().map_err(|error| bad("result", error))?;
        each(Kept {
            agent: AgentNo(row.get(0)?),
            incarnation: Incarnation(row.get::<_, i64>(1)?.cast_unsigned()),
            seq: Seq(row.get::<_, i64>(2)?.cast_unsigned()),
            provenance: row.get(3)?,
            record: sitepulse_wire::record::decode(body).map_err(|error| bad("result", error))?,
        })?;
    }
    Ok(())
}

/// Every provenance by agent and number.
pub(crate) fn provenances(tables: Tables<'_>) -> Result<HashMap<(AgentNo, u32), Provenance>, StoreError> {
    let mut statement = tables
        .prepare("SELECT agent_no, provenance_no, build, clock_offset_us, clock_uncertainty_us FROM provenance")?;
    let rows = statement.query_map([], |row| {
        let provenance = Provenance {
            build: row.get(2)?,
            clock_offset_us: row.get(3)?,
            clock_uncertainty_us: row.get::<_, i64>(4)?.cast_unsigned(),
        };
        Ok(((AgentNo(row.get(0)?), row.get(1)?), provenance))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

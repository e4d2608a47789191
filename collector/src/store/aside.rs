//! Bodies that cannot be read are kept before others take their place: in the table `quarantine`, whole, with the reason. Nobody reads them
//! there; a person can, and a build that understands them better.

use rusqlite::params;
use sitepulse_model::time::UtcMicros;

use super::rollup::Class;
use super::seal::PairKey;
use super::{StoreError, Tables};
use crate::latency::Day;

/// Where a body lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A pair's counts.
    Pair,
    /// The segment of a month.
    Segment(i64),
    /// Sketches of a day.
    Rollup(Class, Day),
}

/// A body that cannot be read and whose place another is about to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aside {
    key: PairKey,
    place: Place,
    why: String,
}

impl Aside {
    /// The body at `place` cannot be read, for the reason `why`.
    pub(crate) fn new(key: PairKey, place: Place, why: impl ToString) -> Self {
        Self { key, place, why: why.to_string() }
    }
}

/// Copies the bodies into the table `quarantine`: to be called in the transaction that writes others in their place, before it does.
/// `table` begins each reason, as it begins no record's.
pub(crate) fn keep(tables: Tables<'_>, asides: &[Aside], now: UtcMicros) -> Result<(), StoreError> {
    for Aside { key, place, why } in asides {
        let check = key.check;
        let (table, rest, reason) = match place {
            Place::Pair => ("pair", String::new(), format!("table pair, check {check}: {why}")),
            Place::Segment(month) => {
                ("series", format!("AND month = {month}"), format!("table series, check {check}, month {month}: {why}"))
            }
            Place::Rollup(class, day) => {
                let (class, day) = (*class as u8, day.0);
                let reason = format!("table rollup, check {check}, class {class}, day {day}: {why}");
                ("rollup", format!("AND class = {class} AND day = {day}"), reason)
            }
        };
        tables
            .prepare_cached(&format!(
                "INSERT INTO quarantine(bucket, agent_no, incarnation, seq, received_us, reason, body) \
                 SELECT bucket, agent_no, 0, 0, ?4, ?5, body FROM {table} WHERE bucket = ?1 AND check_no = ?2 AND agent_no = ?3 {rest}"
            ))?
            .execute(params![key.bucket.0, key.check.0, key.agent.0, now.0, reason])?;
    }
    Ok(())
}

//! Class 3 of the table `rollup`: the page loads of a day as sketches ([`DayVitals`]), set in the transaction that deletes their rows, so each
//! run counts once.
//!
//! Layout of a body: version byte; CRC32C of the rest (4 bytes, little endian); then numbers of 8 bytes and byte strings with their length before them:
//! how many profiles; of each its name, its runs, the graded ones, the ones under pressure, and of each vital the extremes and the
//! sketch ([`Sketch::to_bytes`]).

use rusqlite::params;
use sitepulse_model::id::{AgentNo, Bucket, CheckNo};
use sitepulse_model::sketch::Sketch;
use sitepulse_model::time::UtcMicros;

use super::aside::{self, Aside, Place};
use super::rollup::{self, Class, RollupError};
use super::seal::PairKey;
use super::{StoreError, Tables, vitals};
use crate::latency::Day;
use crate::vitals::day::{DayVitals, ProfileDay};

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 5;

fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A day as bytes.
pub fn encode(day: &DayVitals) -> Vec<u8> {
    let mut out = vec![VERSION, 0, 0, 0, 0];
    put(&mut out, day.profiles.len() as u64);
    for (name, profile) in &day.profiles {
        put_bytes(&mut out, name.as_bytes());
        for number in [profile.runs, profile.graded, profile.low_confidence] {
            put(&mut out, number);
        }
        for vital in &profile.vitals {
            put(&mut out, vital.extremes.0);
            put(&mut out, vital.extremes.1);
            put_bytes(&mut out, &vital.medians.to_bytes());
        }
    }
    let sum = crc32c::crc32c(&out[HEAD_BYTES..]);
    out[1..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
    out
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// They are no such day, or not as they were written.
pub fn decode(bytes: &[u8]) -> Result<DayVitals, RollupError> {
    let cut = || RollupError::Length(bytes.len());
    let (head, mut rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or_else(cut)?;
    if head[0] != VERSION {
        return Err(RollupError::Version(head[0]));
    }
    if crc32c::crc32c(rest) != u32::from_le_bytes([head[1], head[2], head[3], head[4]]) {
        return Err(RollupError::Checksum);
    }
    let mut day = DayVitals::default();
    let profiles = take(&mut rest).ok_or_else(cut)?;
    for _ in 0..profiles {
        let name = take_bytes(&mut rest).ok_or_else(cut)?;
        let name = str::from_utf8(name).map_err(|_| RollupError::Damaged("a profile's name is no text"))?;
        let mut number = || take(&mut rest).ok_or_else(cut);
        let (runs, graded, low_confidence) = (number()?, number()?, number()?);
        let mut profile = ProfileDay { runs, graded, low_confidence, ..ProfileDay::default() };
        for vital in &mut profile.vitals {
            let mut number = || take(&mut rest).ok_or_else(cut);
            vital.extremes = (number()?, number()?);
            vital.medians = Sketch::from_bytes(take_bytes(&mut rest).ok_or_else(cut)?)?;
        }
        if day.profiles.insert(name.to_owned(), profile).is_some() {
            return Err(RollupError::Damaged("a profile twice"));
        }
    }
    if rest.is_empty() { Ok(day) } else { Err(cut()) }
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

/// Puts the rows of a day of a pair into its sketches and deletes them.
pub(crate) fn fold(tables: Tables<'_>, key: PairKey, day: Day, now: UtcMicros) -> Result<(), StoreError> {
    let stored = rollup::body(tables, key, Class::Pages, day)?.map(|body| decode(&body)).transpose();
    let mut asides = Vec::new();
    let mut sketches = stored.unwrap_or_else(|error| {
        // Damage must not hold up what comes after it.
        tracing::error!(
            "table rollup: check {}, agent {}, vitals of day {}: {error}; they are begun anew with the runs that are left, the table quarantine keeps what stood there",
            key.check,
            key.agent,
            day.0
        );
        asides.push(Aside::new(key, Place::Rollup(Class::Pages, day), error));
        None
    });
    let mut found = false;
    vitals::rows(tables, key.bucket, key.check, day.span(), |row| {
        if row.agent == key.agent {
            found = true;
            sketches.get_or_insert_default().add(&row);
        }
    })?;
    let Some(sketches) = sketches.filter(|_| found) else { return Ok(()) };
    aside::keep(tables, &asides, now)?;
    rollup::set_body(tables, key, Class::Pages, day, &encode(&sketches))?;
    tables
        .prepare_cached(
            "DELETE FROM vitals WHERE bucket = ?1 AND check_no = ?2 AND scheduled_us >= ?3 AND scheduled_us < ?4 AND agent_no = ?5",
        )?
        .execute(params![key.bucket.0, key.check.0, day.span().from.0, day.span().to.0, key.agent.0])?;
    Ok(())
}

/// The first and the last day, from `first` to `last`, of which a check has sketches.
pub(crate) fn known(
    tables: Tables<'_>,
    (bucket, check): (Bucket, CheckNo),
    (first, last): (Day, Day),
) -> Result<Option<(Day, Day)>, StoreError> {
    let (first, last): (Option<i64>, Option<i64>) = tables
        .prepare_cached(
            "SELECT min(day), max(day) FROM rollup WHERE bucket = ?1 AND check_no = ?2 AND class = ?3 AND day >= ?4 AND day <= ?5",
        )?
        .query_row(params![bucket.0, check.0, Class::Pages as u8, first.0, last.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(first.zip(last).map(|(first, last)| (Day(first), Day(last))))
}

/// Calls `each` with the sketches of a check from `first` to `last`.
///
/// # Errors
/// Some cannot be read: nothing else tells of those runs, so no figure is better than one without them.
pub(crate) fn days(
    tables: Tables<'_>,
    of: (Bucket, CheckNo),
    span: (Day, Day),
    mut each: impl FnMut(AgentNo, Day, DayVitals),
) -> Result<(), StoreError> {
    let damaged = rollup::rollups_of(tables, of, Class::Pages, span, |agent, day, body| {
        each(agent, day, decode(body)?);
        Ok(())
    })?;
    match damaged.first() {
        None => Ok(()),
        Some(damaged) => {
            let what = format!("{damaged}; ask for a period without it, or restore a backup");
            Err(StoreError::BadRow { table: "rollup", what })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sitepulse_model::id::Revision;
    use sitepulse_model::record::ProbeState;
    use sitepulse_model::vitals::{Spread, Vital};

    use super::*;
    use crate::vitals::Row;

    fn row(profile: &str, value: Option<u64>) -> Row {
        Row {
            scheduled: UtcMicros(0),
            agent: AgentNo(1),
            revision: Revision(1),
            state: ProbeState::Up,
            cause: None,
            profile: profile.to_owned(),
            loads_counted: 3,
            loads_low_confidence: 0,
            values: [value.map(|median| Spread { median, min: median / 2, max: median.saturating_mul(2) });
                Vital::ALL.len()],
            lcp_element: String::new(),
            lcp_url: None,
            shift_sources: None,
            browser: None,
        }
    }

    proptest! {
        #[test]
        fn days_come_back(runs in prop::collection::vec(("[a-c]", prop::option::of(any::<u64>())), 0..50)) {
            let mut day = DayVitals::default();
            runs.iter().for_each(|(profile, value)| day.add(&row(profile, *value)));
            prop_assert_eq!(decode(&encode(&day)), Ok(day));
        }

        #[test]
        fn damage_is_found_and_never_panics(at in 0_usize..200, bit in 0_u8..8, cut in 0_usize..200) {
            let mut day = DayVitals::default();
            day.add(&row("mobile", Some(2_000_000)));
            let mut bytes = encode(&day);
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
            prop_assume!(bytes != encode(&day));
            prop_assert!(decode(&bytes).is_err());
        }
    }
}

//! Messages as a part of all work that is done beside answering: newest first, whatever became of them.

use rusqlite::{Row, params};
use sitepulse_model::incident::IncidentId;
use sitepulse_model::job::{LATE_US, State};
use sitepulse_model::time::UtcMicros;

use super::{BEHIND, DELIVERED, DUE, GIVEN_UP, LEASED, LINE, WITHDRAWN, read_key, read_line, state};
use crate::jobs::all::Place;
use crate::outbox::{DeliveryKey, Logged, Sending};
use crate::store::{StoreError, Tables};

const COLUMNS: &str = "o.bucket, o.incident_id, o.channel_id, o.step, o.state, o.attempts, o.tries, o.created_us, o.due_us, o.tried_us, \
                       f.at_us, d.at_us, coalesce(d.took_us, 0), coalesce(d.note, '')";
/// With the newest attempt, and the first.
const FROM: &str = "outbox o \
                    LEFT JOIN delivery d ON d.bucket = o.bucket AND d.incident_id = o.incident_id AND d.channel_id = o.channel_id \
                    AND d.step = o.step AND d.attempt = o.attempts \
                    LEFT JOIN delivery f ON f.bucket = o.bucket AND f.incident_id = o.incident_id AND f.channel_id = o.channel_id \
                    AND f.step = o.step AND f.attempt = 1";

fn read(row: &Row<'_>) -> Result<Sending, StoreError> {
    let instant = |column: usize| Ok::<_, StoreError>(row.get::<_, Option<i64>>(column)?.map(UtcMicros));
    Ok(Sending {
        key: read_key(row)?,
        state: state(row.get(4)?)?,
        attempts: row.get(5)?,
        tries: row.get(6)?,
        created: UtcMicros(row.get(7)?),
        due: UtcMicros(row.get(8)?),
        tried: instant(9)?,
        first: instant(10)?,
        last: instant(11)?,
        took_us: row.get::<_, i64>(12)?.cast_unsigned(),
        note: row.get(13)?,
    })
}

const fn codes(state: State) -> &'static [u8] {
    match state {
        State::Waiting => &[DUE, BEHIND],
        State::Running => &[LEASED],
        State::Done => &[DELIVERED],
        State::Failed => &[GIVEN_UP],
        State::Cancelled => &[WITHDRAWN],
    }
}

fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Messages in a state, or in any, after a place: of each state the newest, `most` at most.
pub(crate) fn list(
    tables: Tables<'_>,
    wanted: Option<State>,
    after: Option<&Place>,
    most: usize,
) -> Result<Vec<Sending>, StoreError> {
    let mut statement = tables.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM {FROM} WHERE o.state = ?1 AND o.created_us <= ?2 \
         AND (o.created_us, o.incident_id, o.step, o.channel_id) < (?2, ?3, ?4, ?5) \
         ORDER BY o.created_us DESC, o.incident_id DESC, o.step DESC, o.channel_id DESC LIMIT ?6"
    ))?;
    let end = Place { at: i64::MAX, ..Place::default() };
    let Place { at, incident, step, channel } = after.unwrap_or(&end);
    let states = wanted.map_or_else(|| State::ALL.to_vec(), |state| vec![state]);
    let mut out = Vec::new();
    for code in states.into_iter().flat_map(codes) {
        let mut rows = statement.query(params![code, at, incident, step, channel, limit(most)])?;
        while let Some(row) = rows.next()? {
            out.push(read(row)?);
        }
    }
    Ok(out)
}

/// A message.
pub(crate) fn one(
    tables: Tables<'_>,
    incident: &IncidentId,
    step: u32,
    channel: &str,
) -> Result<Option<Sending>, StoreError> {
    let mut statement = tables.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM {FROM} WHERE (o.bucket, o.incident_id) IN (SELECT bucket, incident_id FROM incident WHERE incident_id = ?1) \
         AND o.channel_id = ?2 AND o.step = ?3"
    ))?;
    let mut rows = statement.query(params![incident.0, channel, step])?;
    rows.next()?.map(read).transpose()
}

/// The attempts to deliver a message, the oldest first; of more than `most` the newest.
pub(crate) fn attempts(tables: Tables<'_>, key: &DeliveryKey, most: usize) -> Result<Vec<Logged>, StoreError> {
    let mut statement = tables.prepare_cached(&format!(
        "SELECT {LINE} FROM delivery WHERE bucket = ?1 AND incident_id = ?2 AND channel_id = ?3 AND step = ?4 ORDER BY attempt DESC LIMIT ?5"
    ))?;
    let mut rows = statement.query(params![key.bucket.0, key.incident.0, key.channel, key.step, limit(most)])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read_line(row)?);
    }
    out.reverse();
    Ok(out)
}

/// How many messages are in each state.
pub(crate) fn counts(tables: Tables<'_>) -> Result<Vec<(State, u64)>, StoreError> {
    let mut count = tables.prepare_cached("SELECT count(*) FROM outbox WHERE state = ?1")?;
    let mut out = Vec::new();
    for state in State::ALL {
        let mut of = 0;
        for code in codes(state) {
            of += count.query_row(params![code], |row| row.get::<_, i64>(0))?.unsigned_abs();
        }
        out.push((state, of));
    }
    Ok(out)
}

/// How many messages are late, `most` at most: see [`Sending::late`].
pub(crate) fn late(tables: Tables<'_>, now: UtcMicros, most: usize) -> Result<usize, StoreError> {
    let count: i64 = tables
        .prepare_cached(&format!(
            "SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state IN ({DUE}, {LEASED}, {BEHIND}) AND coalesce(tried_us, due_us) < ?1 LIMIT ?2)"
        ))?
        .query_row(params![now.plus_us(-LATE_US).0, limit(most)], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or_default())
}

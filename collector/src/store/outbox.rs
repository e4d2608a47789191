//! The tables `outbox` and `delivery`. Functions that write are given the tables within a transaction, by [`super::Store::write`].

use rusqlite::{Row, params};
use sitepulse_model::id::Bucket;
use sitepulse_model::incident::IncidentId;
use sitepulse_model::time::UtcMicros;

use super::{StoreError, Tables};
use crate::outbox::{Attempt, DeliveryKey, DeliveryState, Logged, Message, Outcome};

fn bad(what: impl ToString) -> StoreError {
    StoreError::BadRow { table: "outbox", what: what.to_string() }
}

const DUE: u8 = 1;
const LEASED: u8 = 2;

fn code(state: DeliveryState) -> u8 {
    match state {
        DeliveryState::Due => DUE,
        DeliveryState::Leased => LEASED,
        DeliveryState::Delivered => 3,
        DeliveryState::GivenUp => 4,
    }
}

fn state(code: u8) -> Result<DeliveryState, StoreError> {
    let all = [DeliveryState::Due, DeliveryState::Leased, DeliveryState::Delivered, DeliveryState::GivenUp];
    all.into_iter().find(|state| self::code(*state) == code).ok_or_else(|| bad(format!("state {code}")))
}

/// Adds messages.
pub(crate) fn insert(tables: Tables<'_>, message: &Message) -> Result<(), StoreError> {
    let Message { key, state, attempts, created, due, notice } = message;
    tables
        .prepare_cached(
            "INSERT INTO outbox(bucket, incident_id, channel_id, step, state, attempts, created_us, due_us, notice) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            key.bucket.0,
            key.incident.0,
            key.channel,
            key.step,
            code(*state),
            attempts,
            created.0,
            due.0,
            serde_json::to_string(notice).map_err(bad)?,
        ])?;
    Ok(())
}

const COLUMNS: &str = "bucket, incident_id, channel_id, step, state, attempts, created_us, due_us, notice";

fn read(row: &Row<'_>) -> Result<Message, StoreError> {
    let key = DeliveryKey {
        bucket: Bucket(row.get(0)?),
        incident: IncidentId(row.get(1)?),
        channel: row.get(2)?,
        step: row.get(3)?,
    };
    Ok(Message {
        key,
        state: state(row.get(4)?)?,
        attempts: row.get(5)?,
        created: UtcMicros(row.get(6)?),
        due: UtcMicros(row.get(7)?),
        notice: serde_json::from_str(&row.get::<_, String>(8)?).map_err(bad)?,
    })
}

/// Leases messages that are due, oldest first: at most `limit`, and of one incident and channel the earliest step alone.
pub(crate) fn lease(tables: Tables<'_>, now: UtcMicros, limit: usize) -> Result<Vec<Message>, StoreError> {
    let mut leased = {
        let mut statement = tables.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM outbox o WHERE state = {DUE} AND due_us <= ?1 AND NOT EXISTS (SELECT 1 FROM outbox e \
             WHERE e.bucket = o.bucket AND e.incident_id = o.incident_id AND e.channel_id = o.channel_id AND e.step < o.step \
             AND e.state IN ({DUE}, {LEASED})) ORDER BY due_us, step LIMIT ?2"
        ))?;
        let mut rows = statement.query(params![now.0, i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push(read(row)?);
        }
        out
    };
    for message in &mut leased {
        message.state = DeliveryState::Leased;
        set(tables, message)?;
    }
    Ok(leased)
}

/// Writes a message's state, attempts and next instant.
fn set(tables: Tables<'_>, message: &Message) -> Result<(), StoreError> {
    let Message { key, state, attempts, due, .. } = message;
    tables
        .prepare_cached(
            "UPDATE outbox SET state = ?1, attempts = ?2, due_us = ?3 \
             WHERE bucket = ?4 AND incident_id = ?5 AND channel_id = ?6 AND step = ?7",
        )?
        .execute(params![code(*state), attempts, due.0, key.bucket.0, key.incident.0, key.channel, key.step])?;
    Ok(())
}

/// Writes what became of an attempt, with its line in the log.
pub(crate) fn mark(tables: Tables<'_>, message: &Message, attempt: &Attempt) -> Result<(), StoreError> {
    set(tables, message)?;
    let outcome = match attempt.outcome {
        Outcome::Delivered => 1,
        Outcome::Again { .. } => 2,
        Outcome::GivenUp => 3,
    };
    let key = &message.key;
    tables
        .prepare_cached(
            "INSERT INTO delivery(bucket, incident_id, channel_id, step, attempt, at_us, took_us, outcome, note) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            key.bucket.0,
            key.incident.0,
            key.channel,
            key.step,
            message.attempts,
            attempt.at.0,
            attempt.took_us.cast_signed(),
            outcome,
            attempt.note,
        ])?;
    Ok(())
}

/// Whether any message is handed out.
pub(crate) fn any_leased(tables: Tables<'_>) -> Result<bool, StoreError> {
    Ok(tables
        .query_row(&format!("SELECT EXISTS (SELECT 1 FROM outbox WHERE state = {LEASED})"), [], |row| row.get(0))?)
}

/// What a process leased that ended is due again: whether it went out nobody knows.
pub(crate) fn release_all(tables: Tables<'_>, now: UtcMicros) -> Result<usize, StoreError> {
    Ok(tables
        .execute(&format!("UPDATE outbox SET state = {DUE}, due_us = ?1 WHERE state = {LEASED}"), params![now.0])?)
}

/// When the next message is due; `None` when none waits.
pub(crate) fn next_due(tables: Tables<'_>) -> Result<Option<UtcMicros>, StoreError> {
    let due: Option<i64> = tables
        .prepare_cached(&format!("SELECT min(due_us) FROM outbox WHERE state = {DUE}"))?
        .query_row([], |row| row.get(0))?;
    Ok(due.map(UtcMicros))
}

/// The messages of an incident, by step and channel.
pub(crate) fn of_incident(tables: Tables<'_>, id: &IncidentId) -> Result<Vec<Message>, StoreError> {
    let mut statement = tables.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM outbox WHERE (bucket, incident_id) IN (SELECT bucket, incident_id FROM incident WHERE incident_id = ?1) \
         ORDER BY step, channel_id"
    ))?;
    let mut rows = statement.query(params![id.0])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

/// The newest attempts, of one channel or all, newest first.
pub(crate) fn log(tables: Tables<'_>, channel: Option<&str>, limit: usize) -> Result<Vec<Logged>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT incident_id, channel_id, step, attempt, at_us, took_us, outcome, note FROM delivery \
         WHERE ?1 IS NULL OR channel_id = ?1 ORDER BY at_us DESC, attempt DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![channel, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(Logged {
            incident: IncidentId(row.get(0)?),
            channel: row.get(1)?,
            step: row.get(2)?,
            attempt: row.get(3)?,
            at: UtcMicros(row.get(4)?),
            took_us: row.get::<_, i64>(5)?.cast_unsigned(),
            delivered: match row.get::<_, u8>(6)? {
                1 => Some(true),
                2 => None,
                3 => Some(false),
                code => return Err(bad(format!("outcome {code}"))),
            },
            note: row.get(7)?,
        });
    }
    Ok(out)
}

//! The tables `oncall_override` and `oncall_feed`, and held messages that go out no more. Functions that write are given the tables within a transaction, by
//! [`super::Store::write`].

use rusqlite::params;
use sitepulse_model::id::Bucket;
use sitepulse_model::time::{Span, UtcMicros};

use super::{StoreError, Tables};
use crate::oncall::duty::{FeedKey, SpotOverride};
use crate::outbox::{DeliveryKey, Message};

/// Writes an override given on the spot, or its end.
pub(crate) fn set_override(tables: Tables<'_>, one: &SpotOverride) -> Result<(), StoreError> {
    let (ended, ended_by) = one.ended.as_ref().map(|(at, by)| (at.0, by.as_str())).unzip();
    tables
        .prepare_cached(
            "INSERT INTO oncall_override(bucket, schedule_id, number, user_id, from_us, to_us, given_us, author, ended_us, ended_by) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
             ON CONFLICT (bucket, schedule_id, number) DO UPDATE SET ended_us = excluded.ended_us, ended_by = excluded.ended_by",
        )?
        .execute(params![
            Bucket::of(&one.schedule).0,
            one.schedule,
            one.number,
            one.user,
            one.span.from.0,
            one.span.to.0,
            one.given.0,
            one.author,
            ended,
            ended_by,
        ])?;
    Ok(())
}

/// Every override that was given on the spot, by schedule and number.
pub(crate) fn overrides(tables: Tables<'_>) -> Result<Vec<SpotOverride>, StoreError> {
    let mut statement = tables.prepare(
        "SELECT schedule_id, number, user_id, from_us, to_us, given_us, author, ended_us, ended_by FROM oncall_override \
         ORDER BY schedule_id, number",
    )?;
    let mut rows = statement.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let ended: Option<i64> = row.get(7)?;
        let ended_by: Option<String> = row.get(8)?;
        out.push(SpotOverride {
            schedule: row.get(0)?,
            number: row.get(1)?,
            user: row.get(2)?,
            span: Span::new(UtcMicros(row.get(3)?), UtcMicros(row.get(4)?)),
            given: UtcMicros(row.get(5)?),
            author: row.get(6)?,
            ended: ended.map(UtcMicros).zip(ended_by),
        });
    }
    Ok(out)
}

/// Writes what a schedule's calendar is signed with, in the place of what was.
pub(crate) fn set_feed(tables: Tables<'_>, schedule: &str, key: &FeedKey, now: UtcMicros) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO oncall_feed(bucket, schedule_id, key, made_us) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (bucket, schedule_id) DO UPDATE SET key = excluded.key, made_us = excluded.made_us",
        )?
        .execute(params![Bucket::of(schedule).0, schedule, key.0, now.0])?;
    Ok(())
}

/// What every schedule's calendar is signed with.
pub(crate) fn feeds(tables: Tables<'_>) -> Result<Vec<(String, FeedKey)>, StoreError> {
    let mut statement = tables.prepare("SELECT schedule_id, key FROM oncall_feed")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, FeedKey(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A message that quiet hours held back goes out now, and says what is so now; one that is out already stays as it is.
pub(crate) fn let_through(tables: Tables<'_>, message: &Message) -> Result<(), StoreError> {
    let Message { key, due, notice, .. } = message;
    let notice = serde_json::to_string(notice)
        .map_err(|error| StoreError::BadRow { table: "outbox", what: error.to_string() })?;
    tables
        .prepare_cached(
            "UPDATE outbox SET due_us = ?1, notice = ?2 WHERE bucket = ?3 AND incident_id = ?4 AND channel_id = ?5 AND step = ?6 \
             AND tries = 0 AND state NOT IN (2, 3, 4)",
        )?
        .execute(params![due.0, notice, key.bucket.0, key.incident.0, key.channel, key.step])?;
    Ok(())
}

/// Takes a message back that waits: neither leased, delivered nor given up.
pub(crate) fn withdraw(tables: Tables<'_>, key: &DeliveryKey) -> Result<(), StoreError> {
    let gone = tables
        .prepare_cached(
            "DELETE FROM outbox WHERE bucket = ?1 AND incident_id = ?2 AND channel_id = ?3 AND step = ?4 AND state NOT IN (2, 3, 4)",
        )?
        .execute(params![key.bucket.0, key.incident.0, key.channel, key.step])?;
    if gone == 0 {
        // A clock that was set back between the two: its time had come already.
        tracing::warn!(message = %key, "a message that quiet hours held back went out before it could be withdrawn");
    }
    Ok(())
}

//! The tables `outbox` and `delivery`. Functions that write are given the tables within a transaction, by [`super::Store::write`].
//!
//! Of one incident and channel the earliest step that is not over is due or leased, and the later ones are behind it: [`reorder`] holds that after every
//! change. So what is due can go out, and looking for it never passes over what cannot.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, Row, params};
use sitepulse_model::delivery::{LONGEST_US, Tries};
use sitepulse_model::id::Bucket;
use sitepulse_model::incident::IncidentId;
use sitepulse_model::time::UtcMicros;

use super::{StoreError, Tables};
use crate::failpoint;
use crate::outbox::{Attempt, DeliveryKey, DeliveryState, LogKey, Logged, Message, Outcome, Waiting};

fn bad(what: impl ToString) -> StoreError {
    StoreError::BadRow { table: "outbox", what: what.to_string() }
}

const DUE: u8 = 1;
const LEASED: u8 = 2;
const DELIVERED: u8 = 3;
const GIVEN_UP: u8 = 4;
/// Due, but behind an earlier step.
const BEHIND: u8 = 5;

const fn code(state: DeliveryState) -> u8 {
    match state {
        DeliveryState::Due => DUE,
        DeliveryState::Leased => LEASED,
        DeliveryState::Delivered => DELIVERED,
        DeliveryState::GivenUp => GIVEN_UP,
    }
}

fn state(code: u8) -> Result<DeliveryState, StoreError> {
    match code {
        DUE | BEHIND => Ok(DeliveryState::Due),
        LEASED => Ok(DeliveryState::Leased),
        DELIVERED => Ok(DeliveryState::Delivered),
        GIVEN_UP => Ok(DeliveryState::GivenUp),
        code => Err(bad(format!("state {code}"))),
    }
}

/// Adds a message, unless it is there.
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
    reorder(tables, key)?;
    failpoint::pass("outbox.insert");
    Ok(())
}

/// Of the messages of an incident and channel that wait, the earliest is due and the others are behind it.
fn reorder(tables: Tables<'_>, key: &DeliveryKey) -> Result<(), StoreError> {
    tables
        .prepare_cached(&format!(
            "UPDATE outbox AS o SET state = CASE WHEN step = (SELECT min(step) FROM outbox e WHERE e.bucket = o.bucket \
             AND e.incident_id = o.incident_id AND e.channel_id = o.channel_id AND e.state IN ({DUE}, {LEASED}, {BEHIND})) \
             THEN {DUE} ELSE {BEHIND} END \
             WHERE bucket = ?1 AND incident_id = ?2 AND channel_id = ?3 AND state IN ({DUE}, {BEHIND})"
        ))?
        .execute(params![key.bucket.0, key.incident.0, key.channel])?;
    Ok(())
}

const COLUMNS: &str = "bucket, incident_id, channel_id, step, state, attempts, created_us, due_us, notice";

fn read_key(row: &Row<'_>) -> Result<DeliveryKey, StoreError> {
    Ok(DeliveryKey {
        bucket: Bucket(row.get(0)?),
        incident: IncidentId(row.get(1)?),
        channel: row.get(2)?,
        step: row.get(3)?,
    })
}

fn read(row: &Row<'_>) -> Result<Message, StoreError> {
    Ok(Message {
        key: read_key(row)?,
        state: state(row.get(4)?)?,
        attempts: row.get(5)?,
        created: UtcMicros(row.get(6)?),
        due: UtcMicros(row.get(7)?),
        notice: serde_json::from_str(&row.get::<_, String>(8)?).map_err(bad)?,
    })
}

/// The channels that messages are due for, now or later, each with the earliest instant.
fn due_by_channel(tables: Tables<'_>) -> Result<BTreeMap<String, UtcMicros>, StoreError> {
    let mut next = tables.prepare_cached(&format!(
        "SELECT channel_id, due_us FROM outbox WHERE state = {DUE} AND channel_id > ?1 ORDER BY channel_id, due_us LIMIT 1"
    ))?;
    let mut out = BTreeMap::new();
    let mut after = String::new();
    while let Some((channel, due)) =
        next.query_row(params![after], |row| Ok((row.get::<_, String>(0)?, row.get(1)?))).optional()?
    {
        out.insert(channel.clone(), UtcMicros(due));
        after = channel;
    }
    Ok(out)
}

/// What is to be handed out: see [`due`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room<'a> {
    /// So many messages at most.
    pub(crate) total: usize,
    /// So many of one channel, beside those that are out.
    pub(crate) per_channel: usize,
    /// Messages that are out.
    pub(crate) out: &'a BTreeSet<DeliveryKey>,
    /// Messages that went out, which could not be written down yet: they are not out, and not to go out.
    pub(crate) unmarked: &'a BTreeSet<DeliveryKey>,
    /// Channels that are to be left alone until an instant.
    pub(crate) resting: &'a BTreeMap<String, UtcMicros>,
}

impl Room<'_> {
    fn out_of(&self, channel: &str) -> usize {
        self.out.iter().filter(|key| key.channel == channel).count()
    }
}

/// The messages that are due and that there is room for: of the channels that waited longest first, of each channel those that waited longest.
pub(crate) fn due(tables: Tables<'_>, now: UtcMicros, room: Room<'_>) -> Result<Vec<Message>, StoreError> {
    let mut channels: Vec<(UtcMicros, String)> =
        due_by_channel(tables)?.into_iter().map(|(channel, due)| (due, channel)).collect();
    channels.sort();
    let mut statement = tables.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM outbox WHERE state = {DUE} AND channel_id = ?1 AND due_us <= ?2 ORDER BY due_us, step LIMIT ?3"
    ))?;
    let mut messages = Vec::new();
    for (_, channel) in channels.iter().take_while(|(due, _)| *due <= now) {
        if room.resting.contains_key(channel) {
            continue;
        }
        let mut free = room.per_channel.saturating_sub(room.out_of(channel)).min(room.total - messages.len());
        if free == 0 {
            continue;
        }
        let limit = free.saturating_add(room.out.len()).saturating_add(room.unmarked.len());
        let mut rows = statement.query(params![channel, now.0, i64::try_from(limit).unwrap_or(i64::MAX)])?;
        while free > 0
            && let Some(row) = rows.next()?
        {
            // Where a lease could not be written, what is out is due in the table.
            let key = read_key(row)?;
            if !room.out.contains(&key) && !room.unmarked.contains(&key) {
                messages.push(read(row)?);
                free -= 1;
            }
        }
    }
    Ok(messages)
}

/// Leases these messages.
pub(crate) fn lease(tables: Tables<'_>, messages: &mut [Message]) -> Result<(), StoreError> {
    for message in messages {
        message.state = DeliveryState::Leased;
        set(tables, message)?;
    }
    Ok(())
}

/// Leased messages that are in nobody's hands.
pub(crate) fn lost(tables: Tables<'_>, room: Room<'_>) -> Result<Vec<DeliveryKey>, StoreError> {
    let mut statement = tables
        .prepare_cached(&format!("SELECT bucket, incident_id, channel_id, step FROM outbox WHERE state = {LEASED}"))?;
    let mut rows = statement.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let key = read_key(row)?;
        if !room.out.contains(&key) && !room.unmarked.contains(&key) {
            out.push(key);
        }
    }
    Ok(out)
}

/// A message that was leased is due: whether it went out nobody knows.
pub(crate) fn release(tables: Tables<'_>, key: &DeliveryKey, now: UtcMicros) -> Result<(), StoreError> {
    change(tables, key, LEASED, DUE, now)?;
    reorder(tables, key)
}

/// From one state to another, due at an instant.
fn change(tables: Tables<'_>, key: &DeliveryKey, from: u8, to: u8, due: UtcMicros) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "UPDATE outbox SET state = ?1, due_us = ?2 \
             WHERE bucket = ?3 AND incident_id = ?4 AND channel_id = ?5 AND step = ?6 AND state = ?7",
        )?
        .execute(params![to, due.0, key.bucket.0, key.incident.0, key.channel, key.step, from])?;
    Ok(())
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

/// Writes what a message says: to whom it is still to go changed.
pub(crate) fn set_notice(tables: Tables<'_>, message: &Message) -> Result<(), StoreError> {
    let key = &message.key;
    tables
        .prepare_cached(
            "UPDATE outbox SET notice = ?1 WHERE bucket = ?2 AND incident_id = ?3 AND channel_id = ?4 AND step = ?5",
        )?
        .execute(params![
            serde_json::to_string(&message.notice).map_err(bad)?,
            key.bucket.0,
            key.incident.0,
            key.channel,
            key.step
        ])?;
    Ok(())
}

/// How a message has fared since it was new or was taken up again.
pub(crate) fn tries(tables: Tables<'_>, key: &DeliveryKey) -> Result<Tries, StoreError> {
    let read = |row: &Row<'_>| Ok(Tries { count: row.get(0)?, since: row.get::<_, Option<i64>>(1)?.map(UtcMicros) });
    let tries = tables
        .prepare_cached(
            "SELECT tries, tried_us FROM outbox WHERE bucket = ?1 AND incident_id = ?2 AND channel_id = ?3 AND step = ?4",
        )?
        .query_row(params![key.bucket.0, key.incident.0, key.channel, key.step], read)
        .optional()?;
    Ok(tries.unwrap_or_default())
}

/// The clock was set back; `looked`: when it was read last. What was due by then, and what waits for nothing, is due now, and what is to be tried again waits no
/// longer than it may. What quiet hours hold back waits for an instant on the wall, which stays.
pub(crate) fn measure_anew(tables: Tables<'_>, looked: Option<UtcMicros>, now: UtcMicros) -> Result<(), StoreError> {
    let latest = now.plus_us(LONGEST_US.cast_signed());
    tables
        .prepare_cached(&format!(
            "UPDATE outbox SET due_us = ?1 WHERE state IN ({DUE}, {BEHIND}) AND tries > 0 AND due_us > ?1"
        ))?
        .execute(params![latest.0])?;
    tables
        .prepare_cached(&format!(
            "UPDATE outbox SET due_us = ?1 WHERE state IN ({DUE}, {BEHIND}) AND tries = 0 AND due_us > ?1 \
             AND (due_us = created_us OR due_us <= ?2)"
        ))?
        .execute(params![now.0, looked.unwrap_or(UtcMicros::MIN).0])?;
    Ok(())
}

/// The clock jumped ahead by so much while nothing was sent: nothing was tried for as long either, and it counts for no message's patience.
pub(crate) fn forgive(tables: Tables<'_>, ahead_us: i64) -> Result<(), StoreError> {
    tables
        .prepare_cached(&format!(
            "UPDATE outbox SET tried_us = tried_us + ?1 WHERE state IN ({DUE}, {LEASED}, {BEHIND}) AND tried_us IS NOT NULL"
        ))?
        .execute(params![ahead_us])?;
    Ok(())
}

/// Writes what became of an attempt, with its line in the log; `noted`: when that is. What waited behind a message that is over is due.
pub(crate) fn mark(
    tables: Tables<'_>,
    message: &Message,
    attempt: &Attempt,
    noted: UtcMicros,
) -> Result<(), StoreError> {
    set(tables, message)?;
    let outcome = match attempt.outcome {
        Outcome::Delivered => 1,
        Outcome::Again { .. } => 2,
        Outcome::GivenUp => 3,
    };
    let key = &message.key;
    tables
        .prepare_cached(
            "UPDATE outbox SET tries = tries + 1, tried_us = coalesce(tried_us, ?1) \
             WHERE bucket = ?2 AND incident_id = ?3 AND channel_id = ?4 AND step = ?5",
        )?
        .execute(params![noted.0, key.bucket.0, key.incident.0, key.channel, key.step])?;
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
    reorder(tables, key)
}

/// Writes a message, looks for it as for one that is due, and takes it away: whether it was found.
pub(crate) fn prove(tables: Tables<'_>, now: UtcMicros) -> Result<bool, StoreError> {
    // No channel and no incident have such an id.
    const ID: &str = "/proof";
    let mut write = tables.prepare_cached(&format!(
        "INSERT INTO outbox(bucket, incident_id, channel_id, step, state, attempts, created_us, due_us, notice) \
         VALUES (0, '{ID}', '{ID}', 0, {DUE}, 0, ?1, ?1, '')"
    ))?;
    write.execute(params![now.0])?;
    let found = due_by_channel(tables)?.get(ID) == Some(&now);
    let mut remove = tables.prepare_cached(&format!("DELETE FROM outbox WHERE bucket = 0 AND incident_id = '{ID}'"))?;
    Ok(remove.execute([])? == 1 && found)
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

/// When the next message of a channel that is not `busy` is due; `None` when none waits. One that is behind another is not due.
pub(crate) fn next_due(
    tables: Tables<'_>,
    busy: &BTreeSet<&str>,
    resting: &BTreeMap<String, UtcMicros>,
) -> Result<Option<UtcMicros>, StoreError> {
    let by_channel = due_by_channel(tables)?;
    let free = by_channel.into_iter().filter(|(channel, _)| !busy.contains(channel.as_str()));
    Ok(free.map(|(channel, due)| resting.get(&channel).map_or(due, |until| due.max(*until))).min())
}

/// Where a message is, and whether a later one of its incident and channel is out or was delivered; `None`: there is no such message.
pub(crate) fn standing(tables: Tables<'_>, key: &DeliveryKey) -> Result<Option<(DeliveryState, bool)>, StoreError> {
    let found: Option<(u8, bool)> = tables
        .prepare_cached(&format!(
            "SELECT state, EXISTS (SELECT 1 FROM outbox e WHERE e.bucket = o.bucket AND e.incident_id = o.incident_id \
             AND e.channel_id = o.channel_id AND e.step > o.step AND e.state IN ({LEASED}, {DELIVERED})) \
             FROM outbox o WHERE bucket = ?1 AND incident_id = ?2 AND channel_id = ?3 AND step = ?4"
        ))?
        .query_row(params![key.bucket.0, key.incident.0, key.channel, key.step], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found.map(|(code, overtaken)| Ok((state(code)?, overtaken))).transpose()
}

/// A dead letter has its life before it again, from `now`.
pub(crate) fn revive(tables: Tables<'_>, key: &DeliveryKey, now: UtcMicros) -> Result<(), StoreError> {
    tables
        .prepare_cached(&format!(
            "UPDATE outbox SET state = {DUE}, due_us = ?1, tries = 0, tried_us = NULL \
             WHERE bucket = ?2 AND incident_id = ?3 AND channel_id = ?4 AND step = ?5 AND state = {GIVEN_UP}"
        ))?
        .execute(params![now.0, key.bucket.0, key.incident.0, key.channel, key.step])?;
    reorder(tables, key)
}

/// A message that waits to be tried again need not wait longer.
pub(crate) fn hurry(tables: Tables<'_>, key: &DeliveryKey, now: UtcMicros) -> Result<(), StoreError> {
    change(tables, key, DUE, DUE, now)
}

/// The messages of a channel that may go through now that it was mended: those that wait to be tried again, and the dead letters of steps since `since` that
/// no later message has overtaken.
pub(crate) fn mendable(
    tables: Tables<'_>,
    channel: &str,
    since: UtcMicros,
) -> Result<Vec<(DeliveryKey, DeliveryState)>, StoreError> {
    let mut statement = tables.prepare_cached(&format!(
        "SELECT bucket, incident_id, channel_id, step, state FROM outbox o WHERE channel_id = ?1 AND (state = {DUE} AND tries > 0 \
         OR state = {GIVEN_UP} AND created_us >= ?2 AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.bucket = o.bucket \
         AND e.incident_id = o.incident_id AND e.channel_id = o.channel_id AND e.step > o.step AND e.state IN ({LEASED}, {DELIVERED})))"
    ))?;
    let mut rows = statement.query(params![channel, since.0])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push((read_key(row)?, state(row.get(4)?)?));
    }
    Ok(out)
}

/// What waits for each channel.
pub(crate) fn waiting(tables: Tables<'_>) -> Result<BTreeMap<String, Waiting>, StoreError> {
    let mut statement = tables.prepare_cached(&format!(
        "SELECT channel_id, count(*), min(created_us) FROM outbox WHERE state IN ({DUE}, {LEASED}, {BEHIND}) GROUP BY channel_id"
    ))?;
    let rows = statement.query_map([], |row| {
        let messages = row.get::<_, i64>(1)?.unsigned_abs();
        Ok((row.get(0)?, Waiting { messages, oldest: UtcMicros(row.get(2)?) }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
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

/// Dead letters that no later message of their incident and channel has overtaken, the newest first.
pub(crate) fn dead(tables: Tables<'_>, limit: usize) -> Result<Vec<Message>, StoreError> {
    let mut statement = tables.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM outbox o WHERE state = {GIVEN_UP} AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.bucket = o.bucket \
         AND e.incident_id = o.incident_id AND e.channel_id = o.channel_id AND e.step > o.step AND e.state IN ({LEASED}, {DELIVERED})) \
         ORDER BY created_us DESC LIMIT ?1"
    ))?;
    let mut rows = statement.query(params![i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

/// The newest attempts, of one channel or all, newest first.
pub(crate) fn log(tables: Tables<'_>, channel: Option<&str>, limit: usize) -> Result<Vec<Logged>, StoreError> {
    log_after(tables, channel, None, limit)
}

/// [`log`], after an attempt.
pub(crate) fn log_after(
    tables: Tables<'_>,
    channel: Option<&str>,
    after: Option<&LogKey>,
    limit: usize,
) -> Result<Vec<Logged>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT incident_id, channel_id, step, attempt, at_us, took_us, outcome, note FROM delivery \
         WHERE (?1 IS NULL OR channel_id = ?1) \
         AND (?3 IS NULL OR (at_us, attempt, incident_id, channel_id, step) < (?3, ?4, ?5, ?6, ?7)) \
         ORDER BY at_us DESC, attempt DESC, incident_id DESC, channel_id DESC, step DESC LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![
        channel,
        limit,
        after.map(|key| key.0),
        after.map(|key| key.1),
        after.map(|key| &key.2),
        after.map(|key| &key.3),
        after.map(|key| key.4),
    ])?;
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

/// Writes a line of the log that belongs to no message of the outbox: a channel was tried out.
pub(crate) fn log_test(tables: Tables<'_>, line: &Logged) -> Result<(), StoreError> {
    let outcome = match line.delivered {
        Some(true) => 1,
        None => 2,
        Some(false) => 3,
    };
    tables
        .prepare_cached(
            "INSERT INTO delivery(bucket, incident_id, channel_id, step, attempt, at_us, took_us, outcome, note) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            Bucket::of(&line.incident.0).0,
            line.incident.0,
            line.channel,
            line.step,
            line.attempt,
            line.at.0,
            line.took_us.cast_signed(),
            outcome,
            line.note,
        ])?;
    Ok(())
}

/// What is over and too old: messages by their steps, lines of the log by their instants.
const OLD_MESSAGES: &str = "FROM outbox WHERE state IN (3, 4) AND created_us < ?1";
const OLD_LINES: &str = "FROM delivery WHERE at_us < ?1";

/// How many messages that are over, and lines of the log, are older than an instant.
pub(crate) fn count_before(tables: Tables<'_>, before: UtcMicros) -> Result<[usize; 2], StoreError> {
    let count = |what: &str| -> Result<usize, StoreError> {
        let count: i64 = tables.query_row(&format!("SELECT count(*) {what}"), params![before.0], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or_default())
    };
    Ok([count(OLD_MESSAGES)?, count(OLD_LINES)?])
}

/// Deletes at most `limit` messages that are over and older than an instant, and as many lines of the log.
pub(crate) fn delete_before(tables: Tables<'_>, before: UtcMicros, limit: usize) -> Result<(), StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    for (table, key, old) in [
        ("outbox", "bucket, incident_id, channel_id, step", OLD_MESSAGES),
        ("delivery", "bucket, incident_id, channel_id, step, attempt", OLD_LINES),
    ] {
        tables
            .prepare_cached(&format!("DELETE FROM {table} WHERE ({key}) IN (SELECT {key} {old} LIMIT ?2)"))?
            .execute(params![before.0, limit])?;
    }
    Ok(())
}

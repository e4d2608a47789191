//! Rows to domain types and back. Functions that write are given the tables within a transaction, by [`super::Store::write`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{CachedStatement, OptionalExtension, Row, params};
use sitepulse_model::control::{Change, ControlEvent, EventId, Scope, Weight};
use sitepulse_model::id::{AgentName, AgentNo, Bucket, CheckNo, Incarnation, Region, Revision, Seq};
use sitepulse_model::record::{Provenance, Record};
use sitepulse_model::time::UtcMicros;

use super::block::{self, Place};
use super::{StoreError, Tables, definition};
use crate::access::Way;
use crate::app::{Access, Credential, CredentialKind};
use crate::book::{Agent, CheckRevision, Presence};
use crate::heartbeat::{Memory, Ping, PingKind, StoredPing};

/// The bucket of the collector's own rows.
const OWN: Bucket = Bucket(0);

fn bad(table: &'static str, what: impl ToString) -> StoreError {
    StoreError::BadRow { table, what: what.to_string() }
}

fn hash(table: &'static str, bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| bad(table, format!("a hash of {} bytes", bytes.len())))
}

/// The bucket of a row keyed by a hash.
pub(crate) fn bucket_of_hash(hash: &[u8; 32]) -> Bucket {
    Bucket(hash[0] % sitepulse_model::id::BUCKETS)
}

// ---- meta

/// A small fact of the collector itself.
pub(crate) fn meta(tables: Tables<'_>, name: &str) -> Result<Option<String>, StoreError> {
    Ok(tables
        .prepare_cached("SELECT value FROM meta WHERE bucket = ?1 AND name = ?2")?
        .query_row(params![OWN.0, name], |row| row.get(0))
        .optional()?)
}

/// Sets a small fact of the collector itself.
pub(crate) fn set_meta(tables: Tables<'_>, name: &str, value: &str) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO meta(bucket, name, value) VALUES (?1, ?2, ?3) ON CONFLICT (bucket, name) DO UPDATE SET value = excluded.value",
        )?
        .execute(params![OWN.0, name, value])?;
    Ok(())
}

// ---- checks

/// Adds a revision of a check.
pub(crate) fn insert_revision(tables: Tables<'_>, number: CheckNo, revision: &CheckRevision) -> Result<(), StoreError> {
    let id = &revision.definition.id;
    tables
        .prepare_cached(
            "INSERT INTO check_revision(bucket, check_no, revision, check_id, effective_from_us, retired, author, ordinal, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            id.bucket().0,
            number.0,
            revision.revision.0,
            id.as_str(),
            revision.effective_from.0,
            revision.retired,
            revision.author,
            revision.ordinal.cast_signed(),
            definition::to_json(&revision.definition, &revision.labels),
        ])?;
    Ok(())
}

/// Every revision of every check, oldest first within a check.
pub(crate) fn revisions(tables: Tables<'_>) -> Result<Vec<(CheckNo, CheckRevision)>, StoreError> {
    let mut statement = tables.prepare(
        "SELECT check_no, revision, effective_from_us, retired, author, ordinal, body FROM check_revision ORDER BY check_no, revision",
    )?;
    let mut rows = statement.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let (definition, labels) = definition::from_json(&row.get::<_, String>(6)?)?;
        out.push((
            CheckNo(row.get(0)?),
            CheckRevision {
                revision: Revision(row.get(1)?),
                effective_from: UtcMicros(row.get(2)?),
                retired: row.get(3)?,
                author: row.get(4)?,
                ordinal: row.get::<_, i64>(5)?.cast_unsigned(),
                definition,
                labels,
            },
        ));
    }
    Ok(out)
}

// ---- agents

/// Adds an agent.
pub(crate) fn insert_agent(tables: Tables<'_>, agent: &Agent) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO agent(bucket, agent_no, name, region, spki_sha256, enrolled_at_us, build, internal) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            agent.name.bucket().0,
            agent.number.0,
            agent.name.as_str(),
            agent.region.as_str(),
            agent.spki_sha256,
            agent.enrolled_at.0,
            agent.build,
            agent.internal,
        ])?;
    Ok(())
}

/// Notes a handshake.
pub(crate) fn note_agent(tables: Tables<'_>, agent: &Agent, build: &str, now: UtcMicros) -> Result<(), StoreError> {
    tables
        .prepare_cached("UPDATE agent SET build = ?1, last_seen_us = ?2 WHERE bucket = ?3 AND agent_no = ?4")?
        .execute(params![build, now.0, agent.name.bucket().0, agent.number.0])?;
    Ok(())
}

/// Revokes an agent.
pub(crate) fn revoke_agent(tables: Tables<'_>, agent: &Agent, now: UtcMicros) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "UPDATE agent SET revoked_at_us = ?1 WHERE bucket = ?2 AND agent_no = ?3 AND revoked_at_us IS NULL",
        )?
        .execute(params![now.0, agent.name.bucket().0, agent.number.0])?;
    Ok(())
}

/// Every agent.
pub(crate) fn agents(tables: Tables<'_>) -> Result<Vec<Agent>, StoreError> {
    let mut statement = tables.prepare(
        "SELECT agent_no, name, region, spki_sha256, enrolled_at_us, revoked_at_us, build, last_seen_us, internal FROM agent \
         ORDER BY agent_no",
    )?;
    let mut rows = statement.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(Agent {
            number: AgentNo(row.get(0)?),
            name: AgentName::parse(&row.get::<_, String>(1)?).map_err(|error| bad("agent", error))?,
            region: Region::parse(&row.get::<_, String>(2)?).map_err(|error| bad("agent", error))?,
            spki_sha256: hash("agent", &row.get::<_, Vec<u8>>(3)?)?,
            enrolled_at: UtcMicros(row.get(4)?),
            revoked_at: row.get::<_, Option<i64>>(5)?.map(UtcMicros),
            build: row.get(6)?,
            presence: Presence { last_seen: row.get::<_, Option<i64>>(7)?.map(UtcMicros), ..Presence::default() }
                .into(),
            internal: row.get(8)?,
        });
    }
    Ok(out)
}

// ---- secrets

/// Sets a secret, sealed.
pub(crate) fn set_secret(tables: Tables<'_>, name: &str, sealed: &[u8], now: UtcMicros) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO secret(bucket, name, sealed, set_at_us) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (bucket, name) DO UPDATE SET sealed = excluded.sealed, set_at_us = excluded.set_at_us",
        )?
        .execute(params![OWN.0, name, sealed, now.0])?;
    Ok(())
}

/// Removes a secret.
pub(crate) fn delete_secret(tables: Tables<'_>, name: &str) -> Result<(), StoreError> {
    tables.prepare_cached("DELETE FROM secret WHERE bucket = ?1 AND name = ?2")?.execute(params![OWN.0, name])?;
    Ok(())
}

/// Every secret, sealed: name, value, when it was set.
pub(crate) fn secrets(tables: Tables<'_>) -> Result<Vec<(String, Vec<u8>, UtcMicros)>, StoreError> {
    let mut statement = tables.prepare("SELECT name, sealed, set_at_us FROM secret ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, UtcMicros(row.get(2)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

// ---- heartbeats

/// Adds a heartbeat that was never called.
pub(crate) fn insert_heartbeat(
    tables: Tables<'_>,
    bucket: Bucket,
    check: CheckNo,
    token: &str,
) -> Result<(), StoreError> {
    tables
        .prepare_cached("INSERT INTO heartbeat(bucket, check_no, token, pings, failed) VALUES (?1, ?2, ?3, 0, 0)")?
        .execute(params![bucket.0, check.0, token])?;
    Ok(())
}

/// Sets what a job told so far.
pub(crate) fn set_memory(
    tables: Tables<'_>,
    bucket: Bucket,
    check: CheckNo,
    memory: &Memory,
) -> Result<(), StoreError> {
    let us = |at: Option<UtcMicros>| at.map(|at| at.0);
    tables
        .prepare_cached(
            "UPDATE heartbeat SET pings = ?1, last_ping_us = ?2, last_success_us = ?3, last_failure_us = ?4, started_us = ?5, \
             failed = ?6, exit_status = ?7, duration_us = ?8 WHERE bucket = ?9 AND check_no = ?10",
        )?
        .execute(params![
            memory.pings.cast_signed(),
            us(memory.last_ping),
            us(memory.last_success),
            us(memory.last_failure),
            us(memory.started),
            memory.failed,
            memory.exit_status,
            memory.duration_us.map(u64::cast_signed),
            bucket.0,
            check.0,
        ])?;
    Ok(())
}

/// Every heartbeat: its check, its token, what the job told so far.
pub(crate) fn heartbeats(tables: Tables<'_>) -> Result<Vec<(CheckNo, String, Memory)>, StoreError> {
    let mut statement = tables.prepare(
        "SELECT check_no, token, pings, last_ping_us, last_success_us, last_failure_us, started_us, failed, exit_status, duration_us \
         FROM heartbeat ORDER BY check_no",
    )?;
    let rows = statement.query_map([], |row| {
        let at = |column: usize| row.get::<_, Option<i64>>(column).map(|at| at.map(UtcMicros));
        let memory = Memory {
            pings: row.get::<_, i64>(2)?.cast_unsigned(),
            last_ping: at(3)?,
            last_success: at(4)?,
            last_failure: at(5)?,
            started: at(6)?,
            failed: row.get(7)?,
            exit_status: row.get(8)?,
            duration_us: row.get::<_, Option<i64>>(9)?.map(i64::cast_unsigned),
        };
        Ok((CheckNo(row.get(0)?), row.get(1)?, memory))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds a ping, and removes those that are `kept` or more older.
pub(crate) fn insert_ping(
    tables: Tables<'_>,
    bucket: Bucket,
    check: CheckNo,
    ping: &StoredPing,
    kept: u64,
) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO ping(bucket, check_no, number, at_us, kind, exit_status, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            bucket.0,
            check.0,
            ping.number.cast_signed(),
            ping.ping.at.0,
            ping.ping.kind.code(),
            ping.ping.exit_status,
            ping.body,
        ])?;
    tables
        .prepare_cached("DELETE FROM ping WHERE bucket = ?1 AND check_no = ?2 AND number <= ?3")?
        .execute(params![bucket.0, check.0, ping.number.saturating_sub(kept).cast_signed()])?;
    Ok(())
}

/// The pings kept of a check, newest first.
pub(crate) fn pings(tables: Tables<'_>, bucket: Bucket, check: CheckNo) -> Result<Vec<StoredPing>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT number, at_us, kind, exit_status, body FROM ping WHERE bucket = ?1 AND check_no = ?2 ORDER BY number DESC",
    )?;
    let mut rows = statement.query(params![bucket.0, check.0])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: u8 = row.get(2)?;
        let kind = PingKind::from_code(kind).ok_or_else(|| bad("ping", format!("kind {kind}")))?;
        let ping = Ping { at: UtcMicros(row.get(1)?), kind, exit_status: row.get(3)? };
        out.push(StoredPing { number: row.get::<_, i64>(0)?.cast_unsigned(), ping, body: row.get(4)? });
    }
    Ok(out)
}

// ---- join tokens

/// A join token's columns: region, expiry, the key that used it, the agent it became.
type TokenColumns = (String, i64, Option<Vec<u8>>, Option<u32>);

/// A join token as stored.
#[derive(Debug, Clone)]
pub(crate) struct TokenRow {
    pub(crate) region: Region,
    pub(crate) expires: UtcMicros,
    pub(crate) used: Option<([u8; 32], AgentNo)>,
}

/// Adds a join token.
pub(crate) fn insert_token(
    tables: Tables<'_>,
    sha256: &[u8; 32],
    region: &Region,
    created: UtcMicros,
    expires: UtcMicros,
) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO join_token(bucket, token_sha256, region, created_us, expires_us) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![bucket_of_hash(sha256).0, sha256, region.as_str(), created.0, expires.0])?;
    Ok(())
}

/// Finds a join token by its hash.
pub(crate) fn token(tables: Tables<'_>, sha256: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
    let row: Option<TokenColumns> = tables
        .prepare_cached(
            "SELECT region, expires_us, used_spki, agent_no FROM join_token WHERE bucket = ?1 AND token_sha256 = ?2",
        )?
        .query_row(params![bucket_of_hash(sha256).0, sha256], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, Option<Vec<u8>>>(2)?,
                row.get::<_, Option<u32>>(3)?,
            ))
        })
        .optional()?;
    let Some((region, expires, spki, agent)) = row else {
        return Ok(None);
    };
    Ok(Some(TokenRow {
        region: Region::parse(&region).map_err(|error| bad("join_token", error))?,
        expires: UtcMicros(expires),
        used: match spki.zip(agent) {
            Some((spki, agent)) => Some((hash("join_token", &spki)?, AgentNo(agent))),
            None => None,
        },
    }))
}

/// Marks a join token as used by a key.
pub(crate) fn use_token(
    tables: Tables<'_>,
    sha256: &[u8; 32],
    spki: &[u8; 32],
    agent: AgentNo,
    now: UtcMicros,
) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "UPDATE join_token SET used_spki = ?1, used_at_us = ?2, agent_no = ?3 WHERE bucket = ?4 AND token_sha256 = ?5",
        )?
        .execute(params![spki, now.0, agent.0, bucket_of_hash(sha256).0, sha256])?;
    Ok(())
}

// ---- credentials

/// Adds a credential.
pub(crate) fn insert_credential(
    tables: Tables<'_>,
    sha256: &[u8; 32],
    credential: &Credential,
) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO credential(bucket, sha256, kind, access, note, created_us, expires_us, user_id, way, author) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            bucket_of_hash(sha256).0,
            sha256,
            credential.kind.code(),
            credential.access.code(),
            credential.note,
            credential.created.0,
            credential.expires.0,
            credential.user,
            credential.way.code(),
            credential.author,
        ])?;
    Ok(())
}

/// Removes a credential; whether it was there.
pub(crate) fn delete_credential(tables: Tables<'_>, sha256: &[u8; 32]) -> Result<bool, StoreError> {
    let deleted = tables
        .prepare_cached("DELETE FROM credential WHERE bucket = ?1 AND sha256 = ?2")?
        .execute(params![bucket_of_hash(sha256).0, sha256])?;
    Ok(deleted > 0)
}

/// Removes credentials that have ended.
pub(crate) fn delete_credentials_before(tables: Tables<'_>, now: UtcMicros) -> Result<(), StoreError> {
    tables.execute("DELETE FROM credential WHERE expires_us <= ?1", params![now.0])?;
    Ok(())
}

/// Notes when a credential was used last.
pub(crate) fn note_credential_used(tables: Tables<'_>, sha256: &[u8; 32], at: UtcMicros) -> Result<(), StoreError> {
    tables.prepare_cached("UPDATE credential SET used_us = ?1 WHERE bucket = ?2 AND sha256 = ?3")?.execute(params![
        at.0,
        bucket_of_hash(sha256).0,
        sha256
    ])?;
    Ok(())
}

/// A credential by its hash, with when it was used last.
type StoredCredential = ([u8; 32], Credential, Option<UtcMicros>);

/// Every credential.
pub(crate) fn credentials(tables: Tables<'_>) -> Result<Vec<StoredCredential>, StoreError> {
    let mut statement = tables.prepare(
        "SELECT sha256, kind, access, note, expires_us, user_id, way, author, created_us, used_us FROM credential",
    )?;
    let mut rows = statement.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: u8 = row.get(1)?;
        let access: u8 = row.get(2)?;
        out.push((
            hash("credential", &row.get::<_, Vec<u8>>(0)?)?,
            Credential {
                kind: CredentialKind::from_code(kind).ok_or_else(|| bad("credential", format!("kind {kind}")))?,
                access: Access::from_code(access).ok_or_else(|| bad("credential", format!("access {access}")))?,
                note: row.get(3)?,
                expires: UtcMicros(row.get(4)?),
                user: row.get(5)?,
                way: Way::from_code(row.get(6)?),
                author: row.get(7)?,
                created: UtcMicros(row.get(8)?),
            },
            row.get::<_, Option<i64>>(9)?.map(UtcMicros),
        ));
    }
    Ok(out)
}

// ---- control events

/// Adds an event; a known id changes nothing.
pub(crate) fn insert_event(tables: Tables<'_>, event: &ControlEvent, received: UtcMicros) -> Result<(), StoreError> {
    let (scope, agent, check) = match event.scope {
        Scope::Agent(agent) => (1, Some(agent.0), None),
        Scope::AgentCheck(agent, check) => (2, Some(agent.0), Some(check.0)),
        Scope::Check(check) => (3, None, Some(check.0)),
    };
    let (change, until, weight, reason) = match &event.change {
        Change::Suspend { until, reason } => (1, Some(until.0), None, Some(reason.as_str())),
        Change::Resume => (2, None, None, None),
        Change::Weight(weight) => (3, None, Some(weight.0), None),
    };
    tables
        .prepare_cached(
            "INSERT INTO control_event(bucket, author, number, at_us, scope, agent_no, check_no, change, until_us, weight, reason, \
             received_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            Bucket::of(&event.id.author).0,
            event.id.author,
            event.id.number.cast_signed(),
            event.at.0,
            scope,
            agent,
            check,
            change,
            until,
            weight,
            reason,
            received.0,
        ])?;
    Ok(())
}

/// Every event, and when it came in.
pub(crate) fn events(tables: Tables<'_>) -> Result<Vec<(ControlEvent, UtcMicros)>, StoreError> {
    let mut statement = tables.prepare(
        "SELECT author, number, at_us, scope, agent_no, check_no, change, until_us, weight, reason, received_us FROM control_event \
         ORDER BY at_us, author, number",
    )?;
    let mut rows = statement.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push((event(row)?, UtcMicros(row.get(10)?)));
    }
    Ok(out)
}

fn event(row: &Row<'_>) -> Result<ControlEvent, StoreError> {
    let agent = row.get::<_, Option<u32>>(4)?.map(AgentNo);
    let check = row.get::<_, Option<u32>>(5)?.map(CheckNo);
    let scope = match (row.get::<_, u8>(3)?, agent, check) {
        (1, Some(agent), None) => Scope::Agent(agent),
        (2, Some(agent), Some(check)) => Scope::AgentCheck(agent, check),
        (3, None, Some(check)) => Scope::Check(check),
        (scope, _, _) => return Err(bad("control_event", format!("scope {scope}"))),
    };
    let until = row.get::<_, Option<i64>>(7)?.map(UtcMicros);
    let weight = row.get::<_, Option<u32>>(8)?.map(Weight);
    let change = match (row.get::<_, u8>(6)?, until, weight) {
        (1, Some(until), None) => {
            Change::Suspend { until, reason: row.get::<_, Option<String>>(9)?.unwrap_or_default() }
        }
        (2, None, None) => Change::Resume,
        (3, None, Some(weight)) => Change::Weight(weight),
        (change, _, _) => return Err(bad("control_event", format!("change {change}"))),
    };
    Ok(ControlEvent {
        id: EventId { author: row.get(0)?, number: row.get::<_, i64>(1)?.cast_unsigned() },
        at: UtcMicros(row.get(2)?),
        scope,
        change,
    })
}

// ---- sources

/// From where records came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) agent: AgentNo,
    pub(crate) incarnation: Incarnation,
    pub(crate) provenance: Provenance,
}

/// Adds a source under a number that no other has; `bucket` is its agent's.
pub(crate) fn insert_source(
    tables: Tables<'_>,
    bucket: Bucket,
    number: u32,
    source: &Source,
) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO source(bucket, source_no, agent_no, incarnation, build, clock_offset_us, clock_uncertainty_us) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            bucket.0,
            number,
            source.agent.0,
            source.incarnation.0.cast_signed(),
            source.provenance.build,
            source.provenance.clock_offset_us,
            source.provenance.clock_uncertainty_us.cast_signed(),
        ])?;
    Ok(())
}

/// The number of the newest source.
pub(crate) fn newest_source(tables: Tables<'_>) -> Result<u32, StoreError> {
    Ok(tables.query_row("SELECT coalesce(max(source_no), 0) FROM source", [], |row| row.get(0))?)
}

/// The number of a source that is there; `bucket` is its agent's.
pub(crate) fn source_number(tables: Tables<'_>, bucket: Bucket, source: &Source) -> Result<Option<u32>, StoreError> {
    Ok(tables
        .prepare_cached(
            "SELECT source_no FROM source WHERE bucket = ?1 AND agent_no = ?2 AND incarnation = ?3 AND build = ?4 \
             AND clock_offset_us IS ?5 AND clock_uncertainty_us = ?6 LIMIT 1",
        )?
        .query_row(
            params![
                bucket.0,
                source.agent.0,
                source.incarnation.0.cast_signed(),
                source.provenance.build,
                source.provenance.clock_offset_us,
                source.provenance.clock_uncertainty_us.cast_signed(),
            ],
            |row| row.get(0),
        )
        .optional()?)
}

/// Sources by number, read when they are first asked for.
pub(crate) struct Sources<'c> {
    tables: Tables<'c>,
    read: HashMap<u32, Source>,
}

impl<'c> Sources<'c> {
    pub(crate) fn of_tables(tables: Tables<'c>) -> Self {
        Self { tables, read: HashMap::new() }
    }

    /// The source of a record.
    pub(crate) fn of(&mut self, number: u32) -> Result<&Source, StoreError> {
        Ok(match self.read.entry(number) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(source(self.tables, number)?),
        })
    }
}

fn source(tables: Tables<'_>, number: u32) -> Result<Source, StoreError> {
    let source = tables
        .prepare_cached(
            "SELECT agent_no, incarnation, build, clock_offset_us, clock_uncertainty_us FROM source WHERE source_no = ?1",
        )?
        .query_row(params![number], |row| {
            let provenance = Provenance {
                build: row.get(2)?,
                clock_offset_us: row.get(3)?,
                clock_uncertainty_us: row.get::<_, i64>(4)?.cast_unsigned(),
            };
            let incarnation = Incarnation(row.get::<_, i64>(1)?.cast_unsigned());
            Ok(Source { agent: AgentNo(row.get(0)?), incarnation, provenance })
        })
        .optional()?;
    source.ok_or_else(|| bad("source", format!("number {number} of a record is not there")))
}

/// Who measured, with which clock, by the number of the source; `bucket` is the agent's.
pub(crate) fn provenance(tables: Tables<'_>, bucket: Bucket, number: u32) -> Result<Option<Provenance>, StoreError> {
    Ok(tables
        .prepare_cached(
            "SELECT build, clock_offset_us, clock_uncertainty_us FROM source WHERE bucket = ?1 AND source_no = ?2",
        )?
        .query_row(params![bucket.0, number], |row| {
            Ok(Provenance {
                build: row.get(0)?,
                clock_offset_us: row.get(1)?,
                clock_uncertainty_us: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })
        .optional()?)
}

// ---- results

/// Numbers records in the order they came in, over all buckets: never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Arrival(pub i64);

impl Arrival {
    /// The next number.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The newest number of arrival that was ever given out.
pub(crate) fn newest_arrival(tables: Tables<'_>) -> Result<Arrival, StoreError> {
    let newest = "SELECT max(coalesce((SELECT arrival + records - 1 FROM result ORDER BY arrival DESC LIMIT 1), 0), \
                  (SELECT coalesce(max(upto), 0) FROM seal))";
    Ok(Arrival(tables.query_row(newest, [], |row| row.get(0))?))
}

/// Where a record comes from: with its bucket the key that dedupes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordKey {
    pub(crate) bucket: Bucket,
    pub(crate) agent: AgentNo,
    pub(crate) incarnation: Incarnation,
    pub(crate) seq: Seq,
}

/// Appends records in their order of arrival: what is added is there once [`Self::finish`] was called.
pub(crate) struct Appender<'t> {
    result: CachedStatement<'t>,
    /// The newest number of arrival given out.
    arrival: Arrival,
    block: block::Builder,
}

impl<'t> Appender<'t> {
    /// `arrival` is the newest number of arrival given out.
    pub(crate) fn new(tables: Tables<'t>, arrival: Arrival) -> Result<Self, StoreError> {
        let result = tables.prepare_cached("INSERT INTO result(arrival, records, body) VALUES (?1, ?2, ?3)")?;
        Ok(Self { result, arrival, block: block::Builder::default() })
    }

    /// Adds a record; its number of arrival.
    pub(crate) fn record(&mut self, place: Place, record: &Record) -> Result<Arrival, StoreError> {
        if !self.block.push(place, record) {
            self.flush()?;
            self.block.push(place, record);
        }
        self.arrival = self.arrival.next();
        Ok(self.arrival)
    }

    /// Writes what was added; the newest number of arrival given out.
    pub(crate) fn finish(mut self) -> Result<Arrival, StoreError> {
        self.flush()?;
        Ok(self.arrival)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        if let Some((records, body)) = self.block.block() {
            let first = self.arrival.0 - i64::from(records) + 1;
            self.result.execute(params![first, records, body])?;
            self.block.clear();
        }
        Ok(())
    }
}

/// Takes what is set aside.
pub(crate) struct Quarantine<'t>(CachedStatement<'t>);

impl<'t> Quarantine<'t> {
    pub(crate) fn new(tables: Tables<'t>) -> Result<Self, StoreError> {
        Ok(Self(tables.prepare_cached(
            "INSERT INTO quarantine(bucket, agent_no, incarnation, seq, received_us, reason, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?))
    }

    /// Adds a record that is set aside.
    pub(crate) fn set_aside(
        &mut self,
        key: RecordKey,
        received: UtcMicros,
        reason: &str,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let RecordKey { bucket, agent, incarnation, seq } = key;
        let (incarnation, seq) = (incarnation.0.cast_signed(), seq.0.cast_signed());
        self.0.execute(params![bucket.0, agent.0, incarnation, seq, received.0, reason, body])?;
        Ok(())
    }
}

/// How many records were set aside. Bodies of other tables ([`super::aside`]) are none.
pub(crate) fn quarantined(tables: Tables<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM quarantine WHERE reason NOT LIKE 'table %'";
    let count: i64 = tables.query_row(sql, [], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

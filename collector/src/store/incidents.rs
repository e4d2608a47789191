//! The tables `incident` and `incident_entry`. Functions that write are given the tables within a transaction, by [`super::Store::write`].

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params, params_from_iter};
use sha2::{Digest as _, Sha256};
use sitepulse_model::id::{AgentNo, Bucket, CheckNo};
use sitepulse_model::incident::machine::{Incident, Life};
use sitepulse_model::incident::{IncidentId, IncidentKind, Severity, Subject};
use sitepulse_model::time::{Span, UtcMicros};

use super::{StoreError, Tables};
use crate::alert::{About, Record, Standing, StoredEntry};
use crate::outbox::Logged;

fn bad(table: &'static str, what: impl ToString) -> StoreError {
    StoreError::BadRow { table, what: what.to_string() }
}

/// An incident's subject as columns: its code, check, agent, object. A manual incident's check is the one that was named with it.
fn columns<'s>(subject: &'s Subject, about: &About) -> (u8, Option<u32>, Option<u32>, Option<&'s str>) {
    match subject {
        Subject::Check(check) => (1, Some(check.0), None, None),
        Subject::Agent(agent) => (2, None, Some(agent.0), None),
        Subject::Slo(id) => (3, None, None, Some(id)),
        Subject::Manual(_) => (4, about.check, None, None),
    }
}

/// Writes an incident as it is now.
pub(crate) fn set(tables: Tables<'_>, standing: &Standing, due: Option<UtcMicros>) -> Result<(), StoreError> {
    let Standing { bucket, incident, about, .. } = standing;
    let Incident { id, subject, kind, life } = incident;
    let (code, check, agent, object) = columns(subject, about);
    let json = |value: serde_json::Result<String>| value.map_err(|error| bad("incident", error));
    tables
        .prepare_cached(
            "INSERT INTO incident(bucket, incident_id, subject, check_no, agent_no, object_id, kind, state, suspected_us, opened_us, \
             resolved_us, due_us, life, about) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
             ON CONFLICT (bucket, incident_id) DO UPDATE SET state = excluded.state, opened_us = excluded.opened_us, \
             resolved_us = excluded.resolved_us, due_us = excluded.due_us, life = excluded.life, about = excluded.about",
        )?
        .execute(params![
            bucket.0,
            id.0,
            code,
            check,
            agent,
            object,
            kind.as_str(),
            life.state.as_str(),
            life.suspected_at.0,
            life.opened_at.map(|at| at.0),
            life.resolved_at.map(|at| at.0),
            due.map(|at| at.0),
            json(serde_json::to_string(life))?,
            json(serde_json::to_string(about))?,
        ])?;
    Ok(())
}

/// How many incidents are not over, by kind, state and severity as the model names them.
pub(crate) fn open_counts(tables: Tables<'_>) -> Result<Vec<(String, String, String, u64)>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT kind, state, json_extract(life, '$.severity'), count(*) FROM incident WHERE resolved_us IS NULL GROUP BY 1, 2, 3",
    )?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?.unsigned_abs())))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes a suspicion that came to nothing.
pub(crate) fn remove(tables: Tables<'_>, standing: &Standing) -> Result<(), StoreError> {
    let id = &standing.incident.id.0;
    for sql in [
        "DELETE FROM incident_entry WHERE bucket = ?1 AND incident_id = ?2",
        "DELETE FROM incident WHERE bucket = ?1 AND incident_id = ?2",
    ] {
        tables.prepare_cached(sql)?.execute(params![standing.bucket.0, id])?;
    }
    Ok(())
}

const COLUMNS: &str = "bucket, incident_id, subject, check_no, agent_no, object_id, kind, life, about, \
                       (SELECT max(number) FROM incident_entry e WHERE e.bucket = i.bucket AND e.incident_id = i.incident_id)";

fn read(row: &Row<'_>) -> Result<Standing, StoreError> {
    let id = IncidentId(row.get(1)?);
    let subject = match row.get::<_, u8>(2)? {
        1 => Subject::Check(CheckNo(row.get(3)?)),
        2 => Subject::Agent(AgentNo(row.get(4)?)),
        3 => Subject::Slo(row.get(5)?),
        4 => Subject::Manual(id.clone()),
        code => return Err(bad("incident", format!("{id}: subject {code}"))),
    };
    let kind: String = row.get(6)?;
    let kind = IncidentKind::parse(&kind).ok_or_else(|| bad("incident", format!("{id}: kind {kind:?}")))?;
    let json = |error: serde_json::Error| bad("incident", format!("{id}: {error}"));
    let life: Life = serde_json::from_str(&row.get::<_, String>(7)?).map_err(json)?;
    let about: About = serde_json::from_str(&row.get::<_, String>(8)?).map_err(json)?;
    let entries: Option<i64> = row.get(9)?;
    let incident = Incident { id, subject, kind, life };
    Ok(Standing { bucket: Bucket(row.get(0)?), incident, about, entries: entries.unwrap_or(0).cast_unsigned() })
}

fn many(tables: Tables<'_>, condition: &str, params: impl rusqlite::Params) -> Result<Vec<Standing>, StoreError> {
    let mut statement = tables.prepare(&format!("SELECT {COLUMNS} FROM incident i WHERE {condition}"))?;
    let mut rows = statement.query(params)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

/// The incidents that are not over, those that ended after an instant, and those that somebody resolved by hand while the evidence was bad and is so still.
pub(crate) fn standing(tables: Tables<'_>, ended_after: UtcMicros) -> Result<Vec<Standing>, StoreError> {
    many(
        tables,
        "resolved_us IS NULL OR resolved_us > ?1 \
         OR (json_extract(life, '$.bad') AND json_extract(life, '$.resolved_by') IS NOT NULL) ORDER BY suspected_us, incident_id",
        params![ended_after.0],
    )
}

/// Which incidents, by whether they are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that are not.
    Open,
    /// Those that are.
    Over,
    /// Both.
    All,
}

/// What a list of incidents is asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Those that were suspected before its end, and were not over before its start.
    pub period: Span,
    /// By whether they are over.
    pub which: Which,
    /// This check's alone.
    pub check: Option<CheckNo>,
    /// This agent's alone.
    pub agent: Option<AgentNo>,
    /// This kind's alone.
    pub kind: Option<IncidentKind>,
    /// Those of this severity alone, as they stand.
    pub severity: Option<Severity>,
    /// At most so many, the newest.
    pub limit: usize,
}

impl Asked {
    /// The question as a condition on `incident`, with its values: what is not asked is not in it, so that an index can answer.
    fn condition(&self) -> (String, Vec<Value>) {
        let mut parts = Vec::new();
        let mut values = Vec::new();
        let mut and = |part: &str, value: Option<Value>| {
            values.extend(value);
            parts.push(part.replace("{}", &format!("?{}", values.len())));
        };
        if self.period.to < UtcMicros::MAX {
            and("suspected_us < {}", Some(self.period.to.0.into()));
        }
        let from = Some(self.period.from).filter(|from| *from > UtcMicros::MIN).map(|from| Value::from(from.0));
        match (self.which, from) {
            (Which::Open, _) => and("resolved_us IS NULL", None),
            (Which::Over, None) => and("resolved_us IS NOT NULL", None),
            (Which::Over, from) => and("resolved_us >= {}", from),
            (Which::All, None) => {}
            (Which::All, from) => and("(resolved_us IS NULL OR resolved_us >= {})", from),
        }
        if let Some(check) = self.check {
            and("check_no = {}", Some(i64::from(check.0).into()));
        }
        if let Some(agent) = self.agent {
            and("agent_no = {}", Some(i64::from(agent.0).into()));
        }
        if let Some(kind) = self.kind {
            and("kind = {}", Some(kind.as_str().to_owned().into()));
        }
        if let Some(severity) = self.severity {
            and("json_extract(life, '$.severity') = {}", Some(severity.as_str().to_owned().into()));
        }
        if parts.is_empty() {
            parts.push("1".to_owned());
        }
        (parts.join(" AND "), values)
    }
}

/// Incidents, suspicions too, the newest first.
pub(crate) fn list(tables: Tables<'_>, asked: &Asked) -> Result<Vec<Standing>, StoreError> {
    page(tables, asked, None)
}

/// [`list`], after an incident that was suspected then.
pub(crate) fn page(
    tables: Tables<'_>,
    asked: &Asked,
    after: Option<&(UtcMicros, IncidentId)>,
) -> Result<Vec<Standing>, StoreError> {
    let (mut condition, mut values) = asked.condition();
    if let Some((suspected, id)) = after {
        values.extend([suspected.0.into(), id.0.clone().into()]);
        let at = values.len();
        condition.push_str(&format!(" AND (suspected_us, incident_id) < (?{}, ?{at})", at - 1));
    }
    values.push(i64::try_from(asked.limit).unwrap_or(i64::MAX).into());
    condition.push_str(&format!(" ORDER BY suspected_us DESC, incident_id DESC LIMIT ?{}", values.len()));
    many(tables, &condition, params_from_iter(values))
}

/// How many there are, whatever the question's limit.
pub(crate) fn count(tables: Tables<'_>, asked: &Asked) -> Result<usize, StoreError> {
    let (condition, values) = asked.condition();
    let mut statement = tables.prepare_cached(&format!("SELECT count(*) FROM incident WHERE {condition}"))?;
    let count: i64 = statement.query_row(params_from_iter(values), |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// An incident by its id.
pub(crate) fn one(tables: Tables<'_>, id: &IncidentId) -> Result<Option<Standing>, StoreError> {
    Ok(many(tables, "incident_id = ?1", params![id.0])?.pop())
}

/// The lives of the incidents that a period is about, as in [`list`], those that are over too.
pub(crate) fn lives(tables: Tables<'_>, period: Span, check: Option<CheckNo>) -> Result<Vec<Life>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT incident_id, life FROM incident WHERE suspected_us < ?1 AND (resolved_us IS NULL OR resolved_us >= ?2) \
         AND (?3 IS NULL OR check_no = ?3)",
    )?;
    let mut rows = statement.query(params![period.to.0, period.from.0, check.map(|check| check.0)])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let life = row.get_ref(1)?.as_str().map_err(|error| bad("incident", format!("{id}: {error}")))?;
        out.push(serde_json::from_str(life).map_err(|error| bad("incident", format!("{id}: {error}")))?);
    }
    Ok(out)
}

/// Every incident's id.
pub(crate) fn ids(tables: Tables<'_>) -> Result<Vec<IncidentId>, StoreError> {
    let mut statement = tables.prepare("SELECT incident_id FROM incident ORDER BY incident_id")?;
    let ids = statement.query_map([], |row| row.get(0).map(IncidentId))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Whether an incident has this id.
pub(crate) fn is_taken(tables: Tables<'_>, id: &IncidentId) -> Result<bool, StoreError> {
    Ok(tables
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM incident WHERE incident_id = ?1)")?
        .query_row(params![id.0], |row| row.get(0))?)
}

/// The hash of an entry: over that of the entry before (none of the first), its number, instant, author and body.
pub(crate) fn entry_hash(before: &[u8], number: u64, at: UtcMicros, author: &str, body: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(number.to_le_bytes());
    hash.update(at.0.to_le_bytes());
    hash.update((author.len() as u64).to_le_bytes());
    hash.update(author);
    hash.update(body);
    hash.finalize().into()
}

/// Adds an entry to an incident's history.
pub(crate) fn append_entry(
    tables: Tables<'_>,
    (bucket, id): (Bucket, &IncidentId),
    number: u64,
    at: UtcMicros,
    author: &str,
    record: &Record,
) -> Result<(), StoreError> {
    let body = serde_json::to_string(record).map_err(|error| bad("incident_entry", error))?;
    let before: Option<Vec<u8>> = tables
        .prepare_cached("SELECT hash FROM incident_entry WHERE bucket = ?1 AND incident_id = ?2 AND number = ?3")?
        .query_row(params![bucket.0, id.0, number.cast_signed() - 1], |row| row.get(0))
        .optional()?;
    let hash = entry_hash(&before.unwrap_or_default(), number, at, author, &body);
    tables
        .prepare_cached(
            "INSERT INTO incident_entry(bucket, incident_id, number, at_us, author, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![bucket.0, id.0, number.cast_signed(), at.0, author, body, hash])?;
    Ok(())
}

/// An incident's history, oldest first.
pub(crate) fn entries(tables: Tables<'_>, id: &IncidentId) -> Result<Vec<StoredEntry>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT e.number, e.at_us, e.author, e.body, e.hash FROM incident i JOIN incident_entry e USING (bucket, incident_id) \
         WHERE i.incident_id = ?1 ORDER BY e.number",
    )?;
    let mut rows = statement.query(params![id.0])?;
    let mut out = Vec::new();
    let mut before: Vec<u8> = Vec::new();
    let mut sound = true;
    while let Some(row) = rows.next()? {
        let (number, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (author, body, hash): (String, String, Vec<u8>) = (row.get(2)?, row.get(3)?, row.get(4)?);
        let expected = entry_hash(&before, number.cast_unsigned(), UtcMicros(at), &author, &body);
        // An entry is as good as the chain up to it; its number shows what is missing before it.
        sound &= expected.as_slice() == hash.as_slice() && number.cast_unsigned() == out.len() as u64 + 1;
        out.push(StoredEntry {
            number: number.cast_unsigned(),
            at: UtcMicros(at),
            author,
            record: serde_json::from_str(&body).ok(),
            hash: hash.clone(),
            intact: sound,
        });
        before = hash;
    }
    Ok(out)
}

/// Every attempt to deliver a message of an incident: channel, step and the attempt, the oldest first.
pub(crate) fn deliveries(tables: Tables<'_>, id: &IncidentId) -> Result<Vec<Logged>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT channel_id, step, attempt, at_us, took_us, outcome, note FROM delivery \
         WHERE (bucket, incident_id) IN (SELECT bucket, incident_id FROM incident WHERE incident_id = ?1) ORDER BY step, channel_id, attempt",
    )?;
    let mut rows = statement.query(params![id.0])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(Logged {
            incident: id.clone(),
            channel: row.get(0)?,
            step: row.get(1)?,
            attempt: row.get(2)?,
            at: UtcMicros(row.get(3)?),
            took_us: row.get::<_, i64>(4)?.cast_unsigned(),
            delivered: match row.get::<_, u8>(5)? {
                1 => Some(true),
                2 => None,
                3 => Some(false),
                code => return Err(bad("delivery", format!("{id}: outcome {code}"))),
            },
            note: row.get(6)?,
        });
    }
    Ok(out)
}

//! The agent's state besides the spool: who it is, what it runs, which control events it knows. One SQLite file, `state.db`.
//!
//! The key lives here too (the file has mode 0600, its directory 0700) and appears in no log and no output.
//! Assignments and control events are kept as the frames they travel in, so that there is one encoding of them, with its version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};
use sitepulse_model::check::AssignedCheck;
use sitepulse_model::control::ControlEvent;
use sitepulse_model::id::{AgentName, AgentNo, CheckNo, Incarnation, Region};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::frame::{FrameDecoder, FrameError, Message, PUSH_BYTES_MAX};
use sitepulse_wire::message::{AssignmentPart, ToAgent, ToCollector};
use thiserror::Error;

use crate::spool::schema::migrate;

/// The file's name in the data directory.
pub const FILE_NAME: &str = "state.db";
/// Checks of a stored part: few, and one part after the other, for what this thread once took of memory stays with it.
const PART_CHECKS: usize = 50;

const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE join_key (id INTEGER PRIMARY KEY CHECK (id = 1), token TEXT NOT NULL, key_pkcs8 BLOB NOT NULL);
    CREATE TABLE identity (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        name TEXT NOT NULL,
        agent INTEGER NOT NULL,
        region TEXT NOT NULL,
        key_pkcs8 BLOB NOT NULL,
        certificate BLOB NOT NULL,
        certificate_expires INTEGER NOT NULL,
        ca BLOB NOT NULL,
        token TEXT NOT NULL
    );
    CREATE TABLE address (position INTEGER PRIMARY KEY, address TEXT NOT NULL);
    CREATE TABLE assignment (part INTEGER PRIMARY KEY, revision INTEGER NOT NULL, frame BLOB NOT NULL);
    CREATE TABLE assigned_since (check_no INTEGER PRIMARY KEY, since INTEGER NOT NULL);
    CREATE TABLE control (
        author TEXT NOT NULL,
        number INTEGER NOT NULL,
        acked INTEGER NOT NULL,
        frame BLOB NOT NULL,
        PRIMARY KEY (author, number)
    ) WITHOUT ROWID;
    CREATE TABLE note (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
",
    "
    CREATE TABLE secret (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
",
];

/// Why the state could not be read or written.
#[derive(Debug, Error)]
pub enum StateError {
    /// The file cannot be used.
    #[error("{path}: cannot use the agent's state ({source}); check that the disk is writable and has space")]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file is damaged.
    #[error(
        "{path}: the agent's state is damaged ({reason}); restore it from a backup, or delete it and join again with a new token"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
}

/// Who the agent is.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub name: AgentName,
    /// Its number.
    pub agent: AgentNo,
    /// Its region.
    pub region: Region,
    /// The private key, PKCS#8 DER.
    pub key_pkcs8_der: Vec<u8>,
    /// The leaf certificate, DER.
    pub certificate_der: Vec<u8>,
    /// When the leaf expires.
    pub certificate_expires: UtcMicros,
    /// The collector's CA, DER.
    pub ca_der: Vec<u8>,
    /// A digest of the token it joined with, to recognise a retry. Never the token.
    pub token_digest: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("name", &self.name)
            .field("agent", &self.agent)
            .field("region", &self.region)
            .field("certificate_expires", &self.certificate_expires)
            .finish_non_exhaustive()
    }
}

/// What the agent runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// The assignment's revision, 0 before the first.
    pub revision: u64,
    /// Its checks.
    pub checks: Vec<AssignedCheck>,
    /// From when on each of them runs here with this revision of it.
    pub since: BTreeMap<CheckNo, UtcMicros>,
}

/// The open state file.
#[derive(Debug)]
pub struct StateDb {
    path: PathBuf,
    connection: Connection,
}

impl StateDb {
    /// Opens the file in `dir` or makes it.
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        let path = dir.join(FILE_NAME);
        let connect = || -> rusqlite::Result<Connection> {
            let mut connection = Connection::open(&path)?;
            set_private(&path);
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "cache_size", -256)?;
            migrate(&mut connection, MIGRATIONS)?;
            Ok(connection)
        };
        match connect() {
            Ok(connection) => Ok(Self { path, connection }),
            Err(source) => Err(classify(&path, source)),
        }
    }

    /// The key of a join that was begun with this token.
    pub fn join_key(&self, token_digest: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.connection
            .query_row("SELECT key_pkcs8 FROM join_key WHERE token = ?1", params![token_digest], |row| row.get(0))
            .optional()
            .map_err(|error| classify(&self.path, error))
    }

    /// Keeps the key before it is sent for the first time: a retry must show the same one.
    pub fn save_join_key(&self, token_digest: &str, key_pkcs8_der: &[u8]) -> Result<(), StateError> {
        self.connection
            .execute(
                "INSERT OR REPLACE INTO join_key (id, token, key_pkcs8) VALUES (1, ?1, ?2)",
                params![token_digest, key_pkcs8_der],
            )
            .map(|_| ())
            .map_err(|error| classify(&self.path, error))
    }

    /// Who the agent is; `None` before it joined.
    pub fn identity(&self) -> Result<Option<Identity>, StateError> {
        let row = self
            .connection
            .query_row(
                "SELECT name, agent, region, key_pkcs8, certificate, certificate_expires, ca, token FROM identity",
                [],
                |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        row.get::<_, String>(2)?,
                        Identity {
                            name: AgentName::parse("x").expect("x is a slug"),
                            agent: AgentNo(row.get(1)?),
                            region: Region::parse("x").expect("x is a slug"),
                            key_pkcs8_der: row.get(3)?,
                            certificate_der: row.get(4)?,
                            certificate_expires: UtcMicros(row.get(5)?),
                            ca_der: row.get(6)?,
                            token_digest: row.get(7)?,
                        },
                    ))
                },
            )
            .optional()
            .map_err(|error| classify(&self.path, error))?;
        let Some((name, region, mut identity)) = row else { return Ok(None) };
        identity.name = AgentName::parse(&name).map_err(|error| self.damaged(error.to_string()))?;
        identity.region = Region::parse(&region).map_err(|error| self.damaged(error.to_string()))?;
        Ok(Some(identity))
    }

    /// Stores a fresh enrolment with its addresses, and forgets the join that led to it.
    pub fn save_identity(&mut self, identity: &Identity, addresses: &[String]) -> Result<(), StateError> {
        self.transaction(|transaction| {
            transaction.execute("DELETE FROM identity", [])?;
            transaction.execute(
                "INSERT INTO identity (id, name, agent, region, key_pkcs8, certificate, certificate_expires, ca, token)
                 VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    identity.name.as_str(),
                    identity.agent.0,
                    identity.region.as_str(),
                    identity.key_pkcs8_der,
                    identity.certificate_der,
                    identity.certificate_expires.0,
                    identity.ca_der,
                    identity.token_digest
                ],
            )?;
            write_addresses(transaction, addresses)?;
            transaction.execute("DELETE FROM join_key", [])?;
            Ok(())
        })
    }

    /// Replaces the leaf certificate.
    pub fn save_certificate(&self, certificate_der: &[u8], expires: UtcMicros) -> Result<(), StateError> {
        self.connection
            .execute(
                "UPDATE identity SET certificate = ?1, certificate_expires = ?2",
                params![certificate_der, expires.0],
            )
            .map(|_| ())
            .map_err(|error| classify(&self.path, error))
    }

    /// Addresses of collectors, in the order to try them.
    pub fn addresses(&self) -> Result<Vec<String>, StateError> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.connection.prepare_cached("SELECT address FROM address ORDER BY position")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        read().map_err(|error| classify(&self.path, error))
    }

    /// Replaces the addresses.
    pub fn save_addresses(&mut self, addresses: &[String]) -> Result<(), StateError> {
        self.transaction(|transaction| write_addresses(transaction, addresses))
    }

    /// What the agent runs. One that this build cannot read, because another build stored it, is none: the collector sends it again.
    pub fn assignment(&self) -> Result<Assignment, StateError> {
        let unavailable = |error| classify(&self.path, error);
        let read = || -> rusqlite::Result<BTreeMap<CheckNo, UtcMicros>> {
            let mut since = self.connection.prepare_cached("SELECT check_no, since FROM assigned_since")?;
            since.query_map([], |row| Ok((CheckNo(row.get(0)?), UtcMicros(row.get(1)?))))?.collect()
        };
        let mut assignment = Assignment { since: read().map_err(unavailable)?, ..Assignment::default() };
        // One part after the other: they may have megabytes.
        let mut parts = self
            .connection
            .prepare_cached("SELECT revision, frame FROM assignment ORDER BY part")
            .map_err(unavailable)?;
        let parts =
            parts.query_map([], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, Vec<u8>>(1)?))).map_err(unavailable)?;
        for part in parts {
            let (revision, frame) = part.map_err(unavailable)?;
            let part = match self.decode::<ToAgent>(&frame) {
                Ok(ToAgent::Assignment(part)) => part,
                Ok(_) => return Err(self.damaged("an assignment is of another kind".to_owned())),
                Err(StateError::Damaged { reason, .. }) => {
                    tracing::warn!("the stored checks cannot be read ({reason}): they come again from the collector");
                    return Ok(Assignment::default());
                }
                Err(error @ StateError::Unavailable { .. }) => return Err(error),
            };
            assignment.revision = revision;
            assignment.checks.extend(part.checks);
        }
        Ok(assignment)
    }

    /// Replaces what the agent runs.
    pub fn save_assignment(&mut self, assignment: &Assignment) -> Result<(), StateError> {
        let chunks: Vec<&[AssignedCheck]> = assignment.checks.chunks(PART_CHECKS).collect();
        let empty: [&[AssignedCheck]; 1] = [&[]];
        let chunks = if chunks.is_empty() { &empty[..] } else { &chunks[..] };
        self.transaction(|transaction| {
            transaction.execute("DELETE FROM assignment", [])?;
            for (part, checks) in chunks.iter().enumerate() {
                let message = ToAgent::Assignment(AssignmentPart {
                    revision: assignment.revision,
                    part: part as u32,
                    parts: chunks.len() as u32,
                    checks: checks.to_vec(),
                });
                let frame = message.encode().map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                transaction.execute(
                    "INSERT INTO assignment (part, revision, frame) VALUES (?1, ?2, ?3)",
                    params![part, assignment.revision, frame],
                )?;
            }
            transaction.execute("DELETE FROM assigned_since", [])?;
            for (check, since) in &assignment.since {
                transaction.execute(
                    "INSERT INTO assigned_since (check_no, since) VALUES (?1, ?2)",
                    params![check.0, since.0],
                )?;
            }
            Ok(())
        })
    }

    /// Every control event, with whether the collector has acknowledged it.
    pub fn events(&self) -> Result<Vec<(ControlEvent, bool)>, StateError> {
        let read = || -> rusqlite::Result<Vec<(Vec<u8>, bool)>> {
            let mut statement =
                self.connection.prepare_cached("SELECT frame, acked FROM control ORDER BY author, number")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        let mut events = Vec::new();
        for (frame, acked) in read().map_err(|error| classify(&self.path, error))? {
            let ToCollector::Control(list) = self.decode::<ToCollector>(&frame)? else {
                return Err(self.damaged("a control event is of another kind".to_owned()));
            };
            events.extend(list.into_iter().map(|event| (event, acked)));
        }
        Ok(events)
    }

    /// Stores events; known ones stay as they are. `acked` says whether the collector has them.
    pub fn save_events(&mut self, events: &[ControlEvent], acked: bool) -> Result<(), StateError> {
        let mut frames = Vec::new();
        for event in events {
            let message = ToCollector::Control(vec![event.clone()]);
            frames.push(message.encode().map_err(|error| self.damaged(error.to_string()))?);
        }
        self.transaction(|transaction| {
            for (event, frame) in events.iter().zip(&frames) {
                transaction.execute(
                    "INSERT INTO control (author, number, acked, frame) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (author, number) DO UPDATE SET acked = max(acked, excluded.acked)",
                    params![event.id.author, event.id.number, acked, frame],
                )?;
            }
            Ok(())
        })
    }

    /// The collector has these events.
    pub fn mark_acked(&mut self, ids: &[sitepulse_model::control::EventId]) -> Result<(), StateError> {
        self.transaction(|transaction| {
            for id in ids {
                transaction.execute(
                    "UPDATE control SET acked = 1 WHERE author = ?1 AND number = ?2",
                    params![id.author, id.number],
                )?;
            }
            Ok(())
        })
    }

    /// The sealed secrets by name.
    pub fn secrets(&self) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        let read = || -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
            let mut statement = self.connection.prepare_cached("SELECT name, sealed FROM secret ORDER BY name")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        read().map_err(|error| classify(&self.path, error))
    }

    /// Replaces the sealed secrets.
    pub fn save_secrets(&mut self, secrets: &[(String, Vec<u8>)]) -> Result<(), StateError> {
        self.transaction(|transaction| {
            transaction.execute("DELETE FROM secret", [])?;
            for (name, sealed) in secrets {
                transaction.execute("INSERT INTO secret (name, sealed) VALUES (?1, ?2)", params![name, sealed])?;
            }
            Ok(())
        })
    }

    /// The next number for an author's own event, from 1.
    pub fn next_event_number(&self, author: &str) -> Result<u64, StateError> {
        self.connection
            .query_row("SELECT coalesce(max(number), 0) + 1 FROM control WHERE author = ?1", params![author], |row| {
                row.get(0)
            })
            .map_err(|error| classify(&self.path, error))
    }

    /// Every slot before this was acknowledged by the collector, or reported as dropped.
    pub fn acked_until(&self) -> Result<Option<UtcMicros>, StateError> {
        Ok(self.note("acked_until")?.map(UtcMicros))
    }

    /// Remembers how far everything is acknowledged.
    pub fn save_acked_until(&self, at: UtcMicros) -> Result<(), StateError> {
        self.save_note("acked_until", at.0)
    }

    /// The incarnation of the spool that this agent last used: another one means that records were lost.
    pub fn spool_incarnation(&self) -> Result<Option<Incarnation>, StateError> {
        Ok(self.note("spool_incarnation")?.map(|value| Incarnation(value as u64)))
    }

    /// Remembers the spool's incarnation.
    pub fn save_spool_incarnation(&self, incarnation: Incarnation) -> Result<(), StateError> {
        self.save_note("spool_incarnation", incarnation.0 as i64)
    }

    fn note(&self, name: &str) -> Result<Option<i64>, StateError> {
        self.connection
            .query_row("SELECT value FROM note WHERE name = ?1", params![name], |row| row.get(0))
            .optional()
            .map_err(|error| classify(&self.path, error))
    }

    fn save_note(&self, name: &str, value: i64) -> Result<(), StateError> {
        self.connection
            .execute("INSERT OR REPLACE INTO note (name, value) VALUES (?1, ?2)", params![name, value])
            .map(|_| ())
            .map_err(|error| classify(&self.path, error))
    }

    fn transaction(
        &mut self,
        body: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StateError> {
        let run = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction()?;
            body(&transaction)?;
            transaction.commit()
        };
        run().map_err(|error| classify(&self.path, error))
    }

    /// Limits the file to so many pages, or to what it has: SQLite then answers as on a full disk.
    #[cfg(test)]
    pub(crate) fn limit_pages(&mut self, pages: u64) {
        self.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    }

    fn decode<M: Message>(&self, frame: &[u8]) -> Result<M, StateError> {
        let mut decoder = FrameDecoder::new();
        let mut read = || -> Result<Option<M>, FrameError> {
            for piece in frame.chunks(PUSH_BYTES_MAX) {
                decoder.push(piece)?;
                if let Some(message) = decoder.next::<M>()? {
                    return Ok(Some(message));
                }
            }
            Ok(None)
        };
        match read() {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(self.damaged("a stored frame is cut short".to_owned())),
            Err(error) => Err(self.damaged(error.to_string())),
        }
    }

    fn damaged(&self, reason: String) -> StateError {
        StateError::Damaged { path: self.path.clone(), reason }
    }
}

fn write_addresses(transaction: &rusqlite::Transaction<'_>, addresses: &[String]) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM address", [])?;
    for (position, address) in addresses.iter().enumerate() {
        transaction.execute("INSERT INTO address (position, address) VALUES (?1, ?2)", params![position, address])?;
    }
    Ok(())
}

fn set_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    // SQLite gives its log the file's mode; the directory is private as well.
    drop(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)));
}

fn classify(path: &Path, source: rusqlite::Error) -> StateError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StateError::Damaged { path: path.to_owned(), reason: source.to_string() }
        }
        _ => StateError::Unavailable { path: path.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_that_another_build_stored_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = StateDb::open(dir.path()).unwrap();
        let since = BTreeMap::from([(CheckNo(1), UtcMicros(5))]);
        state.save_assignment(&Assignment { revision: 7, checks: Vec::new(), since }).unwrap();
        assert_eq!(state.assignment().unwrap().revision, 7);
        state.connection.execute("UPDATE assignment SET frame = x'0300000002ffff'", []).unwrap();
        assert_eq!(state.assignment().unwrap(), Assignment::default());
        state.connection.execute("UPDATE assignment SET frame = x''", []).unwrap();
        assert_eq!(state.assignment().unwrap(), Assignment::default());
    }
}

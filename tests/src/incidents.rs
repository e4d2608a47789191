//! Reads the incidents of a running collector out of its database, with nothing of the collector's own code.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// An incident as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its id.
    pub id: String,
    /// Its check's number, where it is about one.
    pub check: Option<u32>,
    /// `down`.
    pub kind: String,
    /// `open`.
    pub state: String,
    /// Since when the evidence is bad, UTC microseconds.
    pub since_us: i64,
    /// When it was opened.
    pub opened_us: Option<i64>,
    /// When its first message was put into the outbox.
    pub told_us: Option<i64>,
}

/// Every incident that is more than suspected, oldest first.
///
/// # Panics
/// When the database cannot be read.
pub fn read(collector_dir: &Path) -> Vec<Incident> {
    let path = collector_dir.join("collector.db");
    let store = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the store opens");
    store.busy_timeout(std::time::Duration::from_secs(5)).expect("a timeout can be set");
    let mut rows = store
        .prepare(
            "SELECT i.incident_id, i.check_no, i.kind, i.state, i.life, i.opened_us, (SELECT min(o.created_us) FROM outbox AS o \
             WHERE o.bucket = i.bucket AND o.incident_id = i.incident_id) FROM incident AS i WHERE i.state != 'suspected' \
             ORDER BY i.suspected_us",
        )
        .expect("the tables are there");
    let incident = |row: &rusqlite::Row<'_>| {
        let life: String = row.get(4)?;
        let life: Value = serde_json::from_str(&life).expect("a life is JSON");
        Ok(Incident {
            id: row.get(0)?,
            check: row.get(1)?,
            kind: row.get(2)?,
            state: row.get(3)?,
            since_us: life["since"].as_i64().expect("a life has a beginning"),
            opened_us: row.get(5)?,
            told_us: row.get(6)?,
        })
    };
    rows.query_map([], incident).expect("rows").map(|row| row.expect("a row")).collect()
}

//! Uptime Kuma's way of keeping results: a row for each heartbeat in SQLite, with the indexes that version 2 has. Without its server: the same rows in the same
//! kind of table, and the question asked as well as such a table allows.
//!
//! Kuma keeps no phases, knows no agents (each would be an installation of its own) and no missed runs.

use std::path::Path;

use rusqlite::{Connection, params};
use sitepulse_daemon::instant;
use sitepulse_model::record::ProbeState;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_tests::usage;
use tempfile::TempDir;

use crate::ours::{Feed, Found, What};
use crate::synthetic::phases;

/// The columns and keys of Kuma's own table; monitors are not needed to ask.
const SCHEMA: &str = "
CREATE TABLE heartbeat(
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, important BOOLEAN NOT NULL DEFAULT 0, monitor_id INTEGER NOT NULL,
    status SMALLINT NOT NULL, msg TEXT, time DATETIME NOT NULL, ping INTEGER, duration INTEGER NOT NULL DEFAULT 0,
    down_count INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX by_monitor ON heartbeat(monitor_id);
CREATE INDEX by_important ON heartbeat(important);
CREATE INDEX by_monitor_time ON heartbeat(monitor_id, time);
CREATE INDEX by_monitor_important_time ON heartbeat(monitor_id, important, time);
";

/// Availability weighted by the time each heartbeat speaks for.
const SUMS: &str = "sum(duration * (status = 1)) * 1.0 / sum(duration)";

/// A table of heartbeats.
pub(crate) struct Kuma {
    base: Connection,
    dir: TempDir,
    rows: u64,
    /// By monitor: its status before.
    before: Vec<Option<ProbeState>>,
}

impl Kuma {
    /// An empty one, in a folder of its own.
    pub(crate) fn new(below: &Path, monitors: usize) -> Self {
        let dir = tempfile::tempdir_in(below).expect("the folder is writable");
        let base = Connection::open(dir.path().join("kuma.db")).expect("the folder is writable");
        // What filling it costs is not measured.
        base.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;")
            .expect("SQL");
        base.execute_batch(SCHEMA).expect("SQL");
        Self { base, dir, rows: 0, before: vec![None; monitors] }
    }

    /// Takes a ledger in, in the order of arrival.
    pub(crate) fn fill(&mut self, feed: &mut Feed<'_>, until: UtcMicros, interval_s: u64) {
        self.base.execute_batch("BEGIN").expect("SQL");
        {
            let mut insert = self
                .base
                .prepare("INSERT INTO heartbeat(important, monitor_id, status, msg, time, ping, duration) VALUES (?1,?2,?3,?4,?5,?6,?7)")
                .expect("SQL");
            while let Some(round) = feed.next(until) {
                for one in round.found.iter().flat_map(|(_, found)| found) {
                    let Found { check, first, what: What::Result(state) } = *one else { continue };
                    let down = state == ProbeState::Down;
                    let important =
                        self.before[check].replace(state).is_none_or(|before| (before == ProbeState::Down) != down);
                    let message = if down { "connect ECONNREFUSED 192.0.2.1:443" } else { "200 - OK" };
                    let ping = (!down).then(|| phases(check, first)[5] / 1000);
                    let values = params![important, check, !down, message, time(first), ping, interval_s];
                    insert.execute(values).expect("SQL");
                    self.rows += 1;
                }
            }
        }
        self.base.execute_batch("COMMIT").expect("SQL");
    }

    /// The availability of one monitor.
    pub(crate) fn one(&self, monitor: usize, period: Span) -> f64 {
        let question = format!("SELECT {SUMS} FROM heartbeat WHERE monitor_id = ?1 AND time >= ?2 AND time < ?3");
        let mut question = self.base.prepare_cached(&question).expect("SQL");
        let values = params![monitor, time(period.from), time(period.to)];
        question.query_row(values, |row| row.get(0)).expect("it has heartbeats")
    }

    /// The availability of every monitor.
    pub(crate) fn all(&self, period: Span) -> Vec<f64> {
        let question =
            format!("SELECT monitor_id, {SUMS} FROM heartbeat WHERE time >= ?1 AND time < ?2 GROUP BY +monitor_id");
        let mut question = self.base.prepare_cached(&question).expect("SQL");
        let rows = question.query_map(params![time(period.from), time(period.to)], |row| row.get(1)).expect("SQL");
        rows.map(|one| one.expect("a number")).collect()
    }

    /// Bytes of its file for each heartbeat.
    pub(crate) fn bytes_per_row(&self) -> f64 {
        usage::disk_bytes(self.dir.path()) as f64 / self.rows as f64
    }
}

/// As Kuma writes it: UTC to the millisecond, without a zone.
fn time(at: UtcMicros) -> String {
    let text = instant::format(UtcMicros(at.0 / 1000 * 1000));
    let (day, rest) = text.split_once('T').expect("RFC 3339");
    let clock = rest.trim_end_matches('Z');
    let (seconds, millis) = clock.split_once('.').unwrap_or((clock, ""));
    format!("{day} {seconds}.{millis:0<3.3}")
}

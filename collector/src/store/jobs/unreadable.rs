//! Rows of jobs that this build cannot read: a kind that another build knew, a priority that is none, damage. Such a row must not stop the rest of the queue, so it
//! is given up by SQL that does not read it, and a line in its log says why.

use rusqlite::params;
use sitepulse_model::time::UtcMicros;

use super::{FAILED, read};
use crate::jobs::{Job, Said};
use crate::store::{StoreError, Tables};

/// Where a row is that cannot be read, and why.
pub(super) struct Unreadable {
    bucket: i64,
    id: i64,
    why: String,
}

/// Rows, those that can be read and those that cannot.
pub(super) struct Rows {
    pub(super) jobs: Vec<Job>,
    pub(super) unreadable: Vec<Unreadable>,
}

/// Reads rows of which the first two columns are the key. An error is the disk's: what a row is made of makes none.
pub(super) fn sort(mut rows: rusqlite::Rows<'_>) -> Result<Rows, StoreError> {
    let mut sorted = Rows { jobs: Vec::new(), unreadable: Vec::new() };
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(job) => sorted.jobs.push(job),
            Err(error) => {
                sorted.unreadable.push(Unreadable { bucket: row.get(0)?, id: row.get(1)?, why: error.to_string() })
            }
        }
    }
    Ok(sorted)
}

/// Ends them as failed. What they were told goes, for that may be what cannot be read.
pub(super) fn give_up(tables: Tables<'_>, unreadable: &[Unreadable], now: UtcMicros) -> Result<(), StoreError> {
    for Unreadable { bucket, id, why } in unreadable {
        let said = Said::unreadable(why);
        tracing::error!(job = %sitepulse_model::job::JobId(*id), "job FAILED: {said}");
        let note = String::from(said);
        tables
            .prepare_cached(
                "UPDATE job SET state = ?3, ended_us = ?4, note = ?5, args = 'null', cancelling = 0, priority = max(0, min(1000, priority)), \
                 tries = max(0, min(1000000, tries)), epoch = max(0, min(4000000000, epoch)), deaths = max(0, min(1000000, deaths)), progress = 0, \
                 mark = NULL WHERE bucket = ?1 AND job_id = ?2",
            )?
            .execute(params![bucket, id, FAILED, now.0, note])?;
        tables
            .prepare_cached(
                "INSERT INTO job_log(bucket, job_id, line, at_us, epoch, text) \
                 SELECT ?1, ?2, coalesce(max(line), 0) + 1, ?3, 0, ?4 FROM job_log WHERE bucket = ?1 AND job_id = ?2",
            )?
            .execute(params![bucket, id, now.0, note])?;
    }
    Ok(())
}

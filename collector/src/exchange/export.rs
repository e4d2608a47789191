//! Out of the store: reads at one instant, beside a collector that runs or without one.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use sitepulse_model::id::{CheckId, CheckNo};
use sitepulse_model::time::{Span, UtcMicros};
use thiserror::Error;

use super::files::Writer;
use super::row::Named;
use super::{ExchangeError, Format, Histories, Row, scores};
use crate::book::Book;
use crate::store::records::{self, Unsealed, records_with};
use crate::store::rows::Sources;
use crate::store::{Store, StoreError, Tables, objects, rows};

/// What is to be exported.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The checks; all where there is none.
    pub checks: Vec<CheckId>,
    /// Records whose first slot lies here.
    pub span: Span,
}

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Checks with their histories.
    pub checks: usize,
    /// Records.
    pub records: u64,
    /// Records in damaged chunks: they are not in the file.
    pub unreadable: u64,
    /// Records that retention has removed, of the checks and perhaps of the time that was asked for: they are not in the file.
    pub gone: u64,
    /// Records outside of chunks that cannot be read, of all checks: whose they were is lost with them.
    pub set_aside: u64,
}

/// Why nothing was exported.
#[derive(Debug, Error)]
pub enum ExportError {
    /// A check that is not there.
    #[error("there is no check {0}: see `sitepulse-collector checks`")]
    NoCheck(CheckId),
    /// The file or the store.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// Whoever hears of its progress wanted it to stop.
    #[error("stopped before it was whole")]
    Stopped,
}

/// Hears how many checks of how many are done, and says whether to go on.
pub type Progress<'p> = &'p mut dyn FnMut(u64, u64) -> ControlFlow<()>;

/// Progress is told at least after so many records, for a check may have a hundred million of them.
const TOLD_EVERY: u64 = 10_000;

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Exchange(error.into())
    }
}

/// Writes records and histories of the data in `data_dir` into a new file.
///
/// # Errors
/// When something fails, or `progress` wants no more. A file that could not be ended is removed.
pub fn export(
    data_dir: &Path,
    wanted: &Wanted,
    path: &Path,
    format: Format,
    now: UtcMicros,
    progress: Progress<'_>,
) -> Result<Exported, ExportError> {
    let reader = Store::open_to_read(data_dir)?;
    let mut outcome = Ok(Exported::default());
    reader.at_one_instant(|tables| {
        outcome = export_from(tables, wanted, path, format, now, progress);
        Ok(())
    })?;
    outcome
}

fn export_from(
    tables: Tables<'_>,
    wanted: &Wanted,
    path: &Path,
    format: Format,
    now: UtcMicros,
    progress: Progress<'_>,
) -> Result<Exported, ExportError> {
    let book = histories_of(tables)?;
    let checks: Vec<CheckNo> = if wanted.checks.is_empty() {
        book.checks().map(|check| check.number).collect()
    } else {
        let number = |id: &CheckId| book.check_by_id(id).map(|check| check.number);
        let numbers = wanted.checks.iter().map(|id| number(id).ok_or_else(|| ExportError::NoCheck(id.clone())));
        numbers.collect::<Result<_, _>>()?
    };
    let mut histories = Histories::of(&book, &checks, now);
    let only: Option<BTreeSet<CheckNo>> = (!wanted.checks.is_empty()).then(|| checks.iter().copied().collect());
    histories.scores = scores::read(tables, &book, only.as_ref(), wanted.span)?;
    let mut writer = Writer::create(path, format, &histories)?;
    let written = write(tables, &book, &checks, wanted.span, &mut writer, progress)
        .and_then(|exported| writer.finish().map(|()| exported).map_err(ExportError::from));
    if written.is_err() && path != Path::new("-") {
        // Half an export would pass for a whole one.
        drop(std::fs::remove_file(path));
    }
    written
}

fn write(
    tables: Tables<'_>,
    book: &Book,
    checks: &[CheckNo],
    span: Span,
    writer: &mut Writer,
    progress: Progress<'_>,
) -> Result<Exported, ExportError> {
    let mut sources = Sources::of_tables(tables);
    let unsealed = Unsealed::read(tables)?;
    // Whose they were nobody can tell: they are missing in whatever is exported.
    let set_aside = unsealed.unreadable.iter().map(|one| one.records).sum();
    let mut exported = Exported { checks: checks.len(), records: 0, unreadable: 0, gone: 0, set_aside };
    for (done, check) in checks.iter().filter_map(|number| book.check(*number)).enumerate() {
        let (done, all) = (done as u64, checks.len() as u64);
        if progress(done, all).is_break() {
            return Err(ExportError::Stopped);
        }
        let mut outcome = Ok(());
        let told = records_with(tables, &unsealed, (check.bucket(), check.number), span, |kept| {
            // A range that began before the span belongs to the part before it: parts add up to the whole.
            let Some(agent) = book.agent(kept.agent).filter(|_| kept.stored.record.scheduled() >= span.from) else {
                return ControlFlow::Continue(());
            };
            let provenance = sources.of(kept.stored.provenance).map(|source| source.provenance.clone());
            let row = Row::of(&Named {
                check: check.id.to_string(),
                agent: agent.name.to_string(),
                region: agent.region.to_string(),
                incarnation: kept.stored.incarnation,
                seq: kept.stored.seq,
                provenance: provenance.unwrap_or_default(),
                record: kept.stored.record,
            });
            exported.records += 1;
            outcome = writer.write(row).map_err(ExportError::from);
            if exported.records.is_multiple_of(TOLD_EVERY) && outcome.is_ok() && progress(done, all).is_break() {
                outcome = Err(ExportError::Stopped);
            }
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        outcome?;
        // Of pairs whose kept records begin later than what was asked for.
        let gone = records::gone(tables, check.bucket(), check.number)?.into_iter();
        let concerned = gone.filter(|gone| gone.kept_from.is_none_or(|kept| span.from < kept));
        exported.gone += concerned.map(|gone| gone.records).sum::<u64>();
        exported.unreadable += told.damaged.iter().map(|chunk| chunk.records).sum::<u64>();
    }
    if progress(checks.len() as u64, checks.len() as u64).is_break() {
        return Err(ExportError::Stopped);
    }
    Ok(exported)
}

/// The book without its records.
fn histories_of(tables: Tables<'_>) -> Result<Book, StoreError> {
    let mut book = Book::default();
    for agent in rows::agents(tables)? {
        book.insert_agent(agent);
    }
    for (number, revision) in rows::revisions(tables)? {
        book.insert_revision(number, revision);
    }
    for (event, _) in rows::events(tables)? {
        book.insert_event(event);
    }
    for revised in objects::versions(tables)? {
        book.insert_object(revised);
    }
    Ok(book)
}

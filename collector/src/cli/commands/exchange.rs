//! `export` and `import`. `export` works on the files themselves, as `backup` does; `import` asks the collector.

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;

use serde::Serialize;
use sitepulse_daemon::clock;
use sitepulse_daemon::exit::Exit;
use sitepulse_daemon::instant;
use sitepulse_model::id::CheckId;
use sitepulse_model::time::{Span, UtcMicros};

use super::{print, print_json};
use crate::cli::client::{Client, Need};
use crate::cli::{ExportArgs, Failure, Global, ImportArgs};
use crate::exchange::export::{ExportError, Exported, Wanted, export as write_export};
use crate::exchange::files::{Item, Reader};
use crate::exchange::{ExchangeError, Format, Histories, Row};
use crate::present::dto::exchange::{ImportBody, ImportView, RefusedView};

/// Most records that are sent in one go.
const BATCH: usize = 2_000;
/// Most bytes of them, about.
const BATCH_BYTES: usize = 8 << 20;
/// Refusals that are told one by one.
const REFUSALS_TOLD: usize = 20;
/// How often progress is shown, in microseconds.
const PROGRESS_US: u64 = 500_000;

#[derive(Debug, Serialize)]
struct ExportView {
    file: String,
    format: Format,
    checks: usize,
    records: u64,
    unreadable: u64,
    gone: u64,
    set_aside: u64,
}

/// What `import --json` prints.
#[derive(Debug, Default, Serialize)]
struct ImportedView {
    file: String,
    checks: usize,
    agents: usize,
    events: usize,
    objects: usize,
    stored: u64,
    known: u64,
    refused: u64,
    /// The first refusals.
    refusals: Vec<RefusalView>,
}

#[derive(Debug, Serialize)]
struct RefusalView {
    place: String,
    why: String,
}

fn failure(error: &ExchangeError) -> Failure {
    let exit = match error {
        ExchangeError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Exit::NotFound,
        ExchangeError::File { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => Exit::Refused,
        ExchangeError::File { .. } => Exit::Failure,
        ExchangeError::Content { .. } => Exit::Config,
        ExchangeError::Store(_) => Exit::DataDir,
    };
    Failure::new(exit, error.to_string())
}

fn format(path: &std::path::Path, told: Option<Format>) -> Result<Format, Failure> {
    told.or_else(|| Format::of(path)).ok_or_else(|| {
        let path = path.display();
        Failure::new(Exit::Usage, format!("{path}: the name tells no format: add --format jsonl, csv or parquet"))
    })
}

fn shown(what: &'static str, unit: &'static str) -> impl FnMut(u64, Option<u64>) {
    let terminal = std::io::stderr().is_terminal();
    let mut last = clock::monotonic();
    move |done, total| {
        let now = clock::monotonic();
        if terminal && (now.us_since(last) >= PROGRESS_US || total == Some(done)) {
            last = now;
            let of = total.map_or_else(String::new, |total| format!(" of {total}"));
            let end = if total == Some(done) { "\n" } else { "" };
            // Progress that nobody sees is none.
            drop(write!(std::io::stderr(), "\r{what}: {done}{of} {unit}{end}"));
        }
    }
}

pub(super) fn export(global: &Global, args: &ExportArgs) -> Result<(), Failure> {
    if global.url.is_some() {
        let message = "export reads the collector's files: run it on its machine, without --url";
        return Err(Failure::new(Exit::Usage, message));
    }
    let format = format(&args.file, args.format)?;
    let now = clock::now();
    let at = |text: &Option<String>, otherwise: UtcMicros| match text {
        None => Ok(otherwise),
        Some(text) => instant::parse(text, now).map_err(|error| Failure::new(Exit::Usage, error.to_string())),
    };
    let span = Span::new(at(&args.from, UtcMicros::MIN)?, at(&args.to, UtcMicros::MAX)?);
    let checks = args.checks.iter().map(|id| CheckId::parse(id));
    let checks = checks.collect::<Result<_, _>>().map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let wanted = Wanted { checks, span };
    let mut progress = shown("export", "checks");
    let dir = global.data_dir();
    let exported = write_export(&dir, &wanted, &args.file, format, now, &mut |done, total| {
        progress(done, Some(total));
        ControlFlow::Continue(())
    });
    let exported = exported.map_err(|error| match &error {
        ExportError::NoCheck(_) => Failure::new(Exit::NotFound, error.to_string()),
        ExportError::Exchange(error) => failure(error),
        ExportError::Stopped => Failure::new(Exit::DataDir, error.to_string()),
    })?;
    let file = args.file.display().to_string();
    if file == "-" {
        return Ok(());
    }
    if global.json {
        let Exported { checks, records, unreadable, gone, set_aside } = exported;
        return print_json(&ExportView { file, format, checks, records, unreadable, gone, set_aside });
    }
    let mut text = format!("Exported {} records of {} checks to {file}.\n", exported.records, exported.checks);
    if exported.unreadable > 0 {
        text.push_str(&format!(
            "{} records are not in it: their chunks are damaged, see the collector's log.\n",
            exported.unreadable
        ));
    }
    if exported.gone > 0 {
        text.push_str(&format!(
            "{} older records are not in it: retention has removed them (`[retention] raw`). Timelines of that time are kept here and move with a backup only.\n",
            exported.gone
        ));
    }
    if exported.set_aside > 0 {
        text.push_str(&format!(
            "{} records that came in damaged are not in it, and nobody can tell which checks they were of: the collector keeps them in the table quarantine.\n",
            exported.set_aside
        ));
    }
    print(&text)
}

/// Records on their way, with the place of each in the file.
struct Sender<'c> {
    client: &'c Client,
    waiting: Vec<Row>,
    /// What those take, about.
    bytes: usize,
    places: Vec<String>,
    sum: ImportedView,
}

impl Sender<'_> {
    async fn send(&mut self, histories: Option<Histories>) -> Result<(), Failure> {
        if self.waiting.is_empty() && histories.is_none() {
            return Ok(());
        }
        self.bytes = 0;
        let records = std::mem::take(&mut self.waiting);
        let places = std::mem::take(&mut self.places);
        let view: ImportView = self.client.post("/api/v1/import", &ImportBody { histories, records }).await?;
        self.sum.checks += view.checks;
        self.sum.agents += view.agents;
        self.sum.events += view.events;
        self.sum.objects += view.objects;
        self.sum.stored += view.stored;
        self.sum.known += view.known;
        self.sum.refused += view.without_place;
        if view.without_place > 0 {
            let why = format!(
                "{} records: too many sequence numbers lie between them: export without --check, whole agents leave no gaps",
                view.without_place
            );
            self.refuse(places.first().cloned().unwrap_or_default(), why);
        }
        for RefusedView { index, why } in view.refused {
            self.sum.refused += 1;
            self.refuse(places.get(index).cloned().unwrap_or_default(), why);
        }
        Ok(())
    }

    fn refuse(&mut self, place: String, why: String) {
        if self.sum.refusals.len() < REFUSALS_TOLD {
            self.sum.refusals.push(RefusalView { place, why });
        }
    }
}

pub(super) async fn import(global: &Global, args: ImportArgs) -> Result<Exit, Failure> {
    let format = format(&args.file, args.format)?;
    let mut reader = Reader::open(&args.file, format).map_err(|error| failure(&error))?;
    let client = Client::open(global, Need::Directory).await?;
    let mut sender =
        Sender { client: &client, waiting: Vec::new(), bytes: 0, places: Vec::new(), sum: ImportedView::default() };
    let mut progress = shown("import", "records");
    let mut done = 0;
    let outcome = async {
        while let Some(item) = reader.read().map_err(|error| failure(&error))? {
            match item {
                Item::Histories(histories) => {
                    sender.send(None).await?;
                    sender.send(Some(*histories)).await?;
                }
                Item::Row(row) => {
                    sender.bytes += 1_000 + row.facts.as_ref().map_or(0, |facts| 2 * facts.len());
                    sender.bytes += row.seqs.as_ref().map_or(0, String::len);
                    sender.waiting.push(*row);
                    sender.places.push(reader.place());
                    done += 1;
                }
            }
            if sender.waiting.len() >= BATCH || sender.bytes >= BATCH_BYTES {
                sender.send(None).await?;
                progress(done, None);
            }
        }
        sender.send(None).await?;
        progress(done, Some(done));
        Ok(())
    }
    .await;
    let mut sum = sender.sum;
    client.close().await;
    outcome.map_err(|error: Failure| {
        let taken = format!(
            "{}\n{} records were taken before this; import again: what is there already is known",
            error.message, sum.stored
        );
        Failure { message: taken, ..error }
    })?;
    sum.file = args.file.display().to_string();
    let exit = if sum.refused > 0 { Exit::Refused } else { Exit::Ok };
    if global.json {
        print_json(&sum)?;
        return Ok(exit);
    }
    let mut text = format!(
        "Imported {} records from {}; {} were known, {} refused. New here: {} checks, {} agents, {} events, {} policies, windows and others as code.\n",
        sum.stored, sum.file, sum.known, sum.refused, sum.checks, sum.agents, sum.events, sum.objects
    );
    for RefusalView { place, why } in &sum.refusals {
        text.push_str(&format!("refused: {place}: {why}\n"));
    }
    if sum.refused > sum.refusals.len() as u64 {
        text.push_str("refused: and more\n");
    }
    if sum.checks > 0 {
        text.push_str("Imported checks have ended with the export: `apply` their file to go on.\n");
    }
    print(&text)?;
    Ok(exit)
}

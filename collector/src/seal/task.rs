//! The shell of sealing: jobs that come again by themselves, read beside the writer, and hand it short transactions one at a time.
//!
//! Between any two of them others have their turn, and any of them may be the last: what was begun goes on with the next round.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_model::time::UtcMicros;
use thiserror::Error;
use tokio::sync::Mutex;

use super::retention::{Retention, trusted};
use super::{Arrivals, Intervals, Sealing, batch, compact, prepare_batch};
use crate::app::{App, AppError};
use crate::engine::Engine;
use crate::jobs::{Finished, Outcome, Said, Unfinished, Work};
use crate::store::rows::{self, Arrival};
use crate::store::seal::{self, PairKey, PreparedPair};
use crate::store::{StoreError, expire, mend};
use crate::writer::Closed;

/// How often it looks whether there is something to seal, at most and at least.
const LOOK_US: (i64, i64) = (50_000, 60_000_000);
/// How often it looks for what is too old: it looks through whole tables.
pub const RETENTION_EVERY: Duration = Duration::from_secs(3_600);

/// What the task is told at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Life {
    /// When records are sealed.
    pub sealing: Sealing,
    /// How long what is kept.
    pub retention: Retention,
}

/// Why a round was left; the next one goes on.
#[derive(Debug, Error)]
enum Left {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Read(#[from] AppError),
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Looks through the database once, where the start left that to be done beside the service.
pub async fn look_through(app: App) {
    if app.shared().integrity.found().is_none() {
        let found = app.read_in_background(mend::quick_check).await;
        app.shared().integrity.note(found.map_err(|error| StoreError::Integrity { what: error.to_string() }));
    }
}

impl Life {
    /// How often it is looked whether there is something to seal.
    pub fn look_every(&self) -> Duration {
        Duration::from_micros((self.sealing.after_us / 8).clamp(LOOK_US.0, LOOK_US.1).unsigned_abs())
    }
}

/// What rounds know of each other. One has its turn at a time: sealing and letting go change the same rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedRounds(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// `None` before the first round.
    arrivals: Option<Arrivals>,
    /// Pairs that were sealed and whose chunks were not looked at since, each with the first slot of what was added.
    to_merge: BTreeMap<PairKey, UtcMicros>,
}

impl Known {
    fn note(&mut self, pairs: impl IntoIterator<Item = (PairKey, UtcMicros)>) {
        for (key, since) in pairs {
            let known = self.to_merge.entry(key).or_insert(since);
            *known = since.min(*known);
        }
    }
}

/// The job of the kind `seal`: seals what is settled, and merges chunks.
pub(crate) async fn seal(work: Work) -> Outcome {
    let round = async {
        let mut known = work.setup.rounds.0.lock().await;
        let mut round = Round { work: &work, known: &mut known, sealed: 0 };
        round.seal().await.map(|()| round.sealed)
    };
    let left = tokio::select! {
        left = round => left,
        () = work.stopping() => return Err(Unfinished::Stopped),
    };
    match left {
        Ok(0) => Ok(Finished::default()),
        Ok(records) => Ok(Finished::with(Said::Sealed { records })),
        Err(error) => Err(error.into()),
    }
}

/// The job of the kind `retention`: lets go of what is older than it is kept.
pub(crate) async fn retention(work: Work) -> Outcome {
    let round = async {
        let mut known = work.setup.rounds.0.lock().await;
        Round { work: &work, known: &mut known, sealed: 0 }.let_go(clock::now()).await?;
        if let Some(kept_us) = work.setup.audit_us {
            let now = trusted(clock::now(), work.app.book().newest_slot());
            let before = now.plus_us(-i64::try_from(kept_us).unwrap_or(i64::MAX));
            work.app.let_audit_go(before).await?;
        }
        Ok::<_, Left>(())
    };
    tokio::select! {
        left = round => left?,
        () = work.stopping() => return Err(Unfinished::Stopped),
    }
    Ok(Finished::default())
}

impl From<Left> for Unfinished {
    fn from(left: Left) -> Self {
        match left {
            Left::Closed(_) => Self::Stopped,
            Left::Store(_) | Left::Read(_) => {
                Self::Failed(format!("{left}; nothing is lost, the next round tries again"))
            }
        }
    }
}

struct Round<'w> {
    work: &'w Work,
    known: &'w mut Known,
    /// Results that were sealed.
    sealed: u64,
}

impl<'w> Round<'w> {
    fn app(&self) -> &'w App {
        &self.work.app
    }

    async fn seal(&mut self) -> Result<(), Left> {
        let read = |tables: crate::store::Tables<'_>| Ok((rows::newest_arrival(tables)?, seal::upto(tables)?));
        let (newest, upto) = self.app().read_in_background(read).await?;
        // What lags behind has an amendment to wait for; that must not bring everything else in a hurry.
        let sealed = upto.iter().copied().max().unwrap_or_default();
        let now = clock::now();
        let mut begun = None;
        if self.known.arrivals.is_none() {
            let arrived_by = self.app().writer().run(|engine| engine.arrived_by).await?;
            // A round that a kill ended goes on, with its merging too.
            self.find_what_waits().await?;
            self.known.arrivals = Some(Arrivals::starting(arrived_by, newest));
            begun = upto.iter().any(|upto| *upto < sealed).then_some(sealed);
        }
        // A handful of each pair would be written with all that is written anew for a pair.
        let pairs: usize = self.app().book().checks().map(|check| check.pairs.len()).sum();
        let sealing = self.work.setup.life.sealing.among(pairs as u64);
        let arrivals = self.known.arrivals.get_or_insert_default();
        arrivals.note(now, newest, sealed, sealing);
        let cut = begun.max(arrivals.cut(now, newest, sealed, sealing));
        if let Some(cut) = cut {
            self.seal_to(cut).await?;
        }
        while self.write(Engine::delete_sealed).await? > 0 {}
        let pairs = self.known.to_merge.len();
        while !self.known.to_merge.is_empty() {
            let some = self.known.to_merge.iter().take(compact::PAIRS);
            let some: Vec<_> = some.map(|(key, since)| (*key, *since)).collect();
            let next = self.app().read_in_background(move |tables| compact::next_of(tables, &some)).await?;
            let mut over = next.done;
            for merge in next.merges {
                let key = merge.key;
                if !self.write(move |engine| engine.merge_chunks(&merge)).await? {
                    over.push(key);
                }
            }
            for key in &over {
                self.known.to_merge.remove(key);
            }
            let done = pairs.saturating_sub(self.known.to_merge.len());
            let said = Said::Merged { done: done as u64, of: pairs as u64 };
            self.work.progress(0.5 + 0.5 * share(done, pairs), said);
        }
        Ok(())
    }

    async fn find_what_waits(&mut self) -> Result<(), Left> {
        let mut after = None;
        loop {
            let page = self.app().read_in_background(move |tables| compact::waiting(tables, after)).await?;
            self.known.note(page.found);
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn seal_to(&mut self, cut: Arrival) -> Result<(), Left> {
        let started = clock::monotonic();
        let rollups_ns = |round: &Self| round.app().shared().counters.rollups_ns.load(Ordering::Relaxed);
        let before = rollups_ns(self);
        let intervals = Intervals::of(&self.app().book());
        let mut records = 0;
        'all: loop {
            let portions = self.app().read_in_background(move |tables| seal::portions(tables, cut)).await?;
            if portions.is_empty() {
                break;
            }
            let (batch, intervals) = (batch(&portions).to_vec(), intervals.clone());
            let prepared =
                self.app().read_in_background(move |tables| prepare_batch(tables, &batch, &intervals)).await?;
            for prepared in prepared {
                let first = |pair: &PreparedPair| pair.chunks.iter().map(|chunk| chunk.first).min();
                self.known.note(prepared.pairs.iter().filter_map(|pair| Some((pair.key, first(pair)?))));
                let rows = prepared.portion.rows;
                if !self.write(move |engine| engine.write_sealed(&prepared)).await? {
                    // An amendment came in between: the next round sees it.
                    break 'all;
                }
                records += rows;
                self.work.progress(0.0, Said::Sealed { records });
                self.app().shared().counters.sealed.fetch_add(rows, Ordering::Relaxed);
            }
            // What is dead is not read again.
            while self.write(Engine::delete_sealed).await? > 0 {}
        }
        self.sealed += records;
        if records > 0 {
            let took_ms = clock::monotonic().since(started).as_millis();
            let rollups_ms = (rollups_ns(self) - before) / 1_000_000;
            tracing::info!(records, took_ms, rollups_ms, upto = cut.0, "results are sealed");
        }
        Ok(())
    }

    async fn let_go(&mut self, now: UtcMicros) -> Result<(), Left> {
        let limits = self.work.setup.life.retention.limits(now, self.app().book().newest_slot());
        loop {
            let slices = self.app().read_in_background(move |tables| expire::find(tables, limits)).await?;
            if slices.is_empty() {
                return Ok(());
            }
            for slice in slices {
                self.write(move |engine| engine.let_go(&slice, limits)).await?;
            }
        }
    }

    /// Runs one transaction on the writer's thread, and notes how long the others waited for it.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Left> {
        let timed = move |engine: &mut Engine| {
            let started = clock::monotonic();
            let out = work(engine);
            let us = clock::monotonic().us_since(started);
            engine.shared().counters.pause_us_max.fetch_max(us, Ordering::Relaxed);
            out
        };
        Ok(self.app().writer().run(timed).await??)
    }
}

#[allow(clippy::cast_precision_loss, reason = "a share for people")]
fn share(done: usize, of: usize) -> f64 {
    if of == 0 { 1.0 } else { done as f64 / of as f64 }
}

//! The shell of sealing: one task that wakes now and then, reads beside the writer, and hands it short transactions one at a time.
//!
//! Between any two of them others have their turn, and any of them may be the last: what was begun goes on at the next start.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_model::time::UtcMicros;
use thiserror::Error;
use tokio::sync::watch;

use super::retention::Retention;
use super::{Arrivals, Intervals, Sealing, batch, compact, prepare_batch};
use crate::app::{App, AppError};
use crate::engine::Engine;
use crate::store::rows::{self, Arrival};
use crate::store::seal::{self, PairKey};
use crate::store::{StoreError, expire, mend};
use crate::writer::Closed;

/// How often it looks whether there is something to seal, at most and at least.
const LOOK_US: (i64, i64) = (50_000, 60_000_000);
/// How often it looks for what is too old.
const RETENTION_EVERY_US: u64 = 3_600 * 1_000_000;

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

/// Seals, merges and lets go until `stopping` turns true or the writer is gone.
pub async fn run(app: App, life: Life, mut stopping: watch::Receiver<bool>) {
    let every = Duration::from_micros((life.sealing.after_us / 8).clamp(LOOK_US.0, LOOK_US.1).unsigned_abs());
    let mut rounds =
        Rounds { app, life, arrivals: None, to_merge: BTreeSet::new(), retention_at: None, complained: false };
    loop {
        let stopped = async {
            // A sender that is gone stops it too.
            drop(stopping.wait_for(|stop| *stop).await);
        };
        tokio::select! {
            () = stopped => return,
            left = rounds.round() => match left {
                Ok(()) => rounds.complained = false,
                Err(Left::Closed(_)) => return,
                Err(error) => rounds.complain(&error),
            },
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

struct Rounds {
    app: App,
    life: Life,
    /// `None` before the first round.
    arrivals: Option<Arrivals>,
    /// Pairs that were sealed and whose chunks were not looked at since.
    to_merge: BTreeSet<PairKey>,
    /// When to look for what is too old, in monotonic microseconds.
    retention_at: Option<u64>,
    complained: bool,
}

impl Rounds {
    fn complain(&mut self, error: &Left) {
        if !std::mem::replace(&mut self.complained, true) {
            tracing::warn!("sealing waits: {error}; nothing is lost, the next round tries again");
        }
    }

    async fn round(&mut self) -> Result<(), Left> {
        let sealing = self.life.sealing;
        let read = |tables: crate::store::Tables<'_>| Ok((rows::newest_arrival(tables)?, seal::upto(tables)?));
        let (newest, upto) = self.app.read_in_background(read).await?;
        // What lags behind has an amendment to wait for; that must not bring everything else in a hurry.
        let sealed = upto.iter().copied().max().unwrap_or_default();
        let now = clock::now();
        let mut begun = None;
        if self.arrivals.is_none() {
            let arrived_by = self.app.writer().run(|engine| engine.arrived_by).await?;
            self.arrivals = Some(Arrivals::starting(arrived_by, newest));
            // A round that a kill ended goes on, with its merging too.
            self.find_what_waits().await?;
            begun = upto.iter().any(|upto| *upto < sealed).then_some(sealed);
        }
        let arrivals = self.arrivals.get_or_insert_default();
        arrivals.note(now, newest, sealed, sealing);
        let cut = begun.max(arrivals.cut(now, newest, sealed, sealing));
        if let Some(cut) = cut {
            self.seal_to(cut).await?;
        }
        while self.write(Engine::delete_sealed).await? > 0 {}
        while let Some(key) = self.to_merge.first().copied() {
            self.merge(key).await?;
            self.to_merge.remove(&key);
        }
        let monotonic = clock::monotonic().0;
        if self.retention_at.is_none_or(|at| at <= monotonic) {
            // Also where it fails: it looks through whole tables.
            self.retention_at = Some(monotonic + RETENTION_EVERY_US);
            self.let_go(now).await?;
        }
        Ok(())
    }

    async fn find_what_waits(&mut self) -> Result<(), Left> {
        let mut after = None;
        loop {
            let page = self.app.read_in_background(move |tables| compact::waiting(tables, after)).await?;
            self.to_merge.extend(page.found);
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn seal_to(&mut self, cut: Arrival) -> Result<(), Left> {
        let started = clock::monotonic();
        let intervals = Intervals::of(&self.app.book());
        let mut records = 0;
        'all: loop {
            let portions = self.app.read_in_background(move |tables| seal::portions(tables, cut)).await?;
            if portions.is_empty() {
                break;
            }
            let (batch, intervals) = (batch(&portions).to_vec(), intervals.clone());
            let prepared = self.app.read_in_background(move |tables| prepare_batch(tables, &batch, &intervals)).await?;
            for prepared in prepared {
                self.to_merge.extend(prepared.pairs.iter().map(|pair| pair.key));
                let rows = prepared.portion.rows;
                if !self.write(move |engine| engine.write_sealed(&prepared)).await? {
                    // An amendment came in between: the next round sees it.
                    break 'all;
                }
                records += rows;
                self.app.shared().counters.sealed.fetch_add(rows, Ordering::Relaxed);
            }
            // What is dead is not read again.
            while self.write(Engine::delete_sealed).await? > 0 {}
        }
        if records > 0 {
            let took_ms = clock::monotonic().since(started).as_millis();
            tracing::info!(records, took_ms, upto = cut.0, "results are sealed");
        }
        Ok(())
    }

    async fn merge(&mut self, key: PairKey) -> Result<(), Left> {
        while let Some(merge) = self.app.read_in_background(move |tables| compact::next(tables, key)).await? {
            if !self.write(move |engine| engine.merge_chunks(&merge)).await? {
                break;
            }
        }
        Ok(())
    }

    async fn let_go(&mut self, now: UtcMicros) -> Result<(), Left> {
        let limits = self.life.retention.limits(now, self.app.book().newest_slot());
        loop {
            let slices = self.app.read_in_background(move |tables| expire::find(tables, limits)).await?;
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
        Ok(self.app.writer().run(timed).await??)
    }
}

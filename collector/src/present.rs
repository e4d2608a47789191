//! Everything that people and scripts see: the console, the API, metrics. One router behind three doors.
//!
//! Reading order: [`route`] is the table of all routes, [`door`] says who may pass; [`view`] turns the book into the shapes of
//! [`dto`]; [`api`], [`console`], [`metrics`] and [`health`] answer with them, [`ping`] takes in what jobs tell; [`http`] listens.
//!
//! Limits: one snapshot of the book a second serves all readers, however many they are; [`http`] bounds connections, headers and
//! bodies.
//!
//! Architecture invariant: nothing calls this half; it reads [`crate::book`] and calls [`crate::app::App`].

pub mod door;
pub mod route;

pub mod acknowledge;
pub mod backtest;
pub mod dto;
pub mod explain;
pub mod figure;
pub mod groups;
pub mod impact;
pub mod incidents;
pub mod kpi;
pub mod oncall;
pub mod policy;
pub mod problem;
pub mod results;
pub mod sla_report;
pub mod text;
pub mod view;
pub mod windows;

pub mod api;
pub mod channels;
pub mod console;
pub mod health;
pub mod metrics;
pub mod ping;
pub mod slo;

pub mod live;

pub mod http;

use std::sync::Arc;

use sitepulse_daemon::clock;
use sitepulse_notify::Sender;
use tokio::sync::{Mutex, watch};

use crate::app::{App, CredentialKind};
use crate::book::Book;
use crate::present::door::Caller;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::view::Snapshot;

/// How long one snapshot serves, in microseconds.
const SNAPSHOT_US: u64 = 400_000;

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct Present {
    shared: Arc<Shared>,
}

struct Shared {
    app: App,
    console_url: Option<String>,
    /// Tries channels out.
    sender: Option<Sender>,
    stopping: watch::Receiver<bool>,
    snapshot: Mutex<Option<Cached>>,
    slos: slo::Shelf,
    latencies: metrics::LatencyShelf,
    live: live::Live,
    kpis: kpi::Shelf,
}

/// The snapshot that serves all readers.
struct Cached {
    /// On the monotonic clock.
    made: u64,
    /// The book's version: whoever changed checks, agents or control events sees the change.
    version: u64,
    snapshot: Arc<Snapshot>,
}

impl Present {
    /// For a server whose console is at `console_url`; its event streams end when `stopping` turns true.
    pub fn new(app: App, sender: Sender, console_url: String, stopping: watch::Receiver<bool>) -> Self {
        Self::build(app, Some(sender), Some(console_url), stopping)
    }

    /// For calls within this process, while no server runs.
    pub fn in_process(app: App) -> Self {
        let (_, stopping) = watch::channel(false);
        Self::build(app, None, None, stopping)
    }

    fn build(app: App, sender: Option<Sender>, console_url: Option<String>, stopping: watch::Receiver<bool>) -> Self {
        let (slos, latencies, live, kpis) = Default::default();
        let snapshot = Mutex::new(None);
        let shared = Shared { app, console_url, sender, stopping, snapshot, slos, latencies, live, kpis };
        Self { shared: Arc::new(shared) }
    }

    /// The collector.
    pub fn app(&self) -> &App {
        &self.shared.app
    }

    /// Where browsers reach the console; `None` when no server runs.
    pub fn console_url(&self) -> Option<&str> {
        self.shared.console_url.as_deref()
    }

    /// What channels are tried out with.
    pub fn sender(&self) -> Sender {
        self.shared.sender.clone().unwrap_or_default()
    }

    /// Turns true when the server stops.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.shared.stopping.clone()
    }

    /// What changed, for whoever listens.
    fn live(&self) -> &live::Live {
        &self.shared.live
    }

    /// Whether what a caller came in by still holds.
    fn still_holds(&self, caller: &Caller) -> bool {
        let Some(session) = &caller.session else { return true };
        self.app().verify(CredentialKind::Session, session, clock::now()).is_some()
    }

    /// Where judged promises lie.
    fn slo_shelf(&self) -> &slo::Shelf {
        &self.shared.slos
    }

    /// Where the SLA of the KPI banner lies.
    fn kpi_shelf(&self) -> &kpi::Shelf {
        &self.shared.kpis
    }

    /// Where the latencies of `/metrics` lie.
    fn latency_shelf(&self) -> &metrics::LatencyShelf {
        &self.shared.latencies
    }

    /// All checks and agents with their figures: at most about a second old, and never older than a change of checks, agents or
    /// control events.
    ///
    /// # Errors
    /// When the computation was cut short by a stop.
    pub async fn snapshot(&self) -> Answer<Arc<Snapshot>> {
        let mut cached = self.shared.snapshot.lock().await;
        let monotonic = clock::monotonic().0;
        let version = self.app().book().version();
        if let Some(cached) = cached.as_ref()
            && monotonic.saturating_sub(cached.made) < SNAPSHOT_US
            && cached.version == version
        {
            return Ok(Arc::clone(&cached.snapshot));
        }
        let (version, snapshot) = self.read(|book| (book.version(), Snapshot::take(book, clock::now()))).await?;
        let snapshot = Arc::new(snapshot);
        *cached = Some(Cached { made: monotonic, version, snapshot: Arc::clone(&snapshot) });
        Ok(snapshot)
    }

    /// Reads the book beside the tasks: such a computation may take a while.
    ///
    /// # Errors
    /// When it was cut short by a stop.
    pub async fn read<T: Send + 'static>(&self, work: impl FnOnce(&Book) -> T + Send + 'static) -> Answer<T> {
        let app = self.app().clone();
        self.beside(move || work(&app.book())).await
    }

    /// Works beside the tasks.
    ///
    /// # Errors
    /// When it was cut short by a stop.
    pub async fn beside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Problem::new(Code::Internal, "the figures could not be computed; see the collector's log"))
    }
}

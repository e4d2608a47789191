//! Everything that people and scripts see: the console, the API, metrics. One router behind three doors.
//!
//! Reading order: [`route`] is the table of all routes, [`door`] says who may pass; [`view`] turns the book into the shapes of
//! [`dto`]; [`api`], [`console`], [`metrics`] and [`health`] answer with them, [`ping`] takes in what jobs tell; [`http`] listens.
//!
//! Limits: one snapshot of the book a second serves all readers, however many they are, and none of them waits for a newer one unless somebody changed
//! something; [`http`] bounds connections, headers and bodies.
//!
//! Architecture invariant: nothing calls this half; it reads [`crate::book`] and calls [`crate::app::App`].

pub mod door;
pub mod route;

pub mod access;
pub mod acknowledge;
pub mod audit;
pub mod backtest;
pub mod dto;
pub mod etag;
pub mod explain;
pub mod figure;
pub mod findings;
pub mod groups;
pub mod idempotency;
pub mod impact;
pub mod incidents;
pub mod indicators;
pub mod kpi;
pub mod list;
pub mod oncall;
pub mod openapi;
pub mod playbooks;
pub mod policy;
pub mod problem;
pub mod results;
pub mod sla_report;
pub mod slices;
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
pub mod status;

pub mod jobs;
pub mod live;

pub mod http;
pub mod weight;
pub mod wording;

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use sitepulse_daemon::clock;
use sitepulse_daemon::task::TaskSet;
use sitepulse_model::id::{AgentName, CheckNo};
use sitepulse_notify::Sender;
use tokio::sync::{Mutex, watch};

use crate::app::App;
use crate::book::Book;
use crate::oidc::Oidc;
use crate::present::door::Caller;
use crate::present::dto::AgentView;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::slices::in_slices;
use crate::present::view::Snapshot;
use crate::present::view::keep::Keeper;

/// How long one snapshot serves, in microseconds.
const SNAPSHOT_US: u64 = 400_000;
/// How long it serves while the next one is made beside, in microseconds: 1.5 s.
const MEANWHILE_US: u64 = 1_500_000;

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
    snapshot: RwLock<Cached>,
    /// Who makes the next one holds it.
    making: Mutex<()>,
    /// What the next one is made from. Apart, so that a reader who goes away while it is made takes nothing along.
    keeper: Arc<std::sync::Mutex<Keeper>>,
    slos: slo::Shelf,
    statuses: status::Shelf,
    /// Where the public reaches status pages, if that is elsewhere.
    public_url: OnceLock<String>,
    /// The identity provider that people may sign in by.
    oidc: OnceLock<Arc<Oidc>>,
    latencies: metrics::LatencyShelf,
    live: live::Live,
    kpis: kpi::Shelf,
    under_way: idempotency::UnderWay,
    tasks: TaskSet,
}

/// The snapshot that serves all readers.
#[derive(Default)]
struct Cached {
    /// On the monotonic clock.
    made: u64,
    /// The book's version: whoever changed checks, agents or control events sees the change.
    version: u64,
    /// What counts the changes of maintenance windows.
    touched: u64,
    /// What the app's ticks stood at before it was made: it has all that they told of.
    ticks: u64,
    snapshot: Option<Arc<Snapshot>>,
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
        let (slos, latencies, live, kpis, snapshot, statuses) = Default::default();
        let (public_url, oidc, under_way, tasks, making) = Default::default();
        let shared = Shared {
            app,
            console_url,
            sender,
            stopping,
            snapshot,
            making,
            keeper: Arc::default(),
            slos,
            statuses,
            public_url,
            oidc,
            latencies,
            live,
            kpis,
            under_way,
            tasks,
        };
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

    /// Requests that are done once, while they are done.
    fn under_way(&self) -> &idempotency::UnderWay {
        &self.shared.under_way
    }

    /// Work that goes on though its client went away; to be joined when the server stops.
    pub fn tasks(&self) -> &TaskSet {
        &self.shared.tasks
    }

    /// Whether what a caller came in by still holds.
    fn still_holds(&self, caller: &Caller) -> bool {
        caller.credential.is_none_or(|hash| self.app().still_holds(&hash, clock::now()))
    }

    /// Has status pages reached at another address than the console, from the start on.
    #[must_use]
    pub fn public_at(self, url: &str) -> Self {
        // Said once: a second time would change what readers have.
        self.shared.public_url.get_or_init(|| url.trim_end_matches('/').to_owned());
        self
    }

    /// Where the public reaches status pages, without a slash at its end; empty where no server runs.
    pub fn public_url(&self) -> &str {
        let console = || self.console_url().unwrap_or_default().trim_end_matches('/');
        self.shared.public_url.get().map_or_else(console, String::as_str)
    }

    /// Has people sign in by an identity provider too, from the start on.
    #[must_use]
    pub fn signed_in_by(self, oidc: Arc<Oidc>) -> Self {
        self.shared.oidc.get_or_init(|| oidc);
        self
    }

    /// The identity provider that people may sign in by.
    fn oidc(&self) -> Option<&Arc<Oidc>> {
        self.shared.oidc.get()
    }

    /// Where status pages lie.
    fn status_shelf(&self) -> &status::Shelf {
        &self.shared.statuses
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

    /// All checks and agents with their figures: at most two seconds old, and never older than a change of checks, agents,
    /// maintenance windows or control events. Where one is there that may be shown still, nobody waits for the next.
    ///
    /// # Errors
    /// When the computation was cut short by a stop.
    pub async fn snapshot(&self) -> Answer<Arc<Snapshot>> {
        if let Some((_, newest)) = self.newest(SNAPSHOT_US) {
            return Ok(newest);
        }
        match self.newest(MEANWHILE_US) {
            Some((_, recent)) => {
                if self.shared.making.try_lock().is_ok() {
                    let present = self.clone();
                    // What goes wrong is told to whoever waits for it.
                    self.tasks().spawn("snapshot", async move { drop(present.fresh_snapshot().await) });
                }
                Ok(recent)
            }
            None => self.fresh_snapshot().await,
        }
    }

    /// The same, at most about a second old.
    ///
    /// # Errors
    /// When the computation was cut short by a stop.
    pub async fn fresh_snapshot(&self) -> Answer<Arc<Snapshot>> {
        Ok(self.ticked_snapshot().await?.1)
    }

    /// The same, and what the ticks stood at before it was made: where they went on since, a later one may say more.
    async fn ticked_snapshot(&self) -> Answer<(u64, Arc<Snapshot>)> {
        let _making = self.shared.making.lock().await;
        if let Some(newest) = self.newest(SNAPSHOT_US) {
            return Ok(newest);
        }
        let ticks = *self.app().subscribe().borrow();
        let (began, touched) = (clock::monotonic().0, self.app().book().touched_all());
        let (app, keeper) = (self.app().clone(), Arc::clone(&self.shared.keeper));
        let made = self.beside(move || {
            let mut keeper = keeper.lock().unwrap_or_else(|poisoned| {
                // Whoever panicked may have left it half done.
                keeper.clear_poison();
                let mut keeper = poisoned.into_inner();
                *keeper = Keeper::default();
                keeper
            });
            let (version, snapshot) = keeper.snapshot(|| app.book(), clock::now());
            drop(keeper);
            snapshot.work_out();
            (version, Arc::new(snapshot))
        });
        let (version, snapshot) = made.await?;
        let cached = Cached { made: began, version, touched, ticks, snapshot: Some(Arc::clone(&snapshot)) };
        *self.shared.snapshot.write().unwrap_or_else(PoisonError::into_inner) = cached;
        Ok((ticks, snapshot))
    }

    /// The newest snapshot, where it is younger than so many microseconds and nobody changed anything since; before it its ticks.
    fn newest(&self, younger_us: u64) -> Option<(u64, Arc<Snapshot>)> {
        let (version, touched) = {
            let book = self.app().book();
            (book.version(), book.touched_all())
        };
        let cached = self.shared.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        let young = clock::monotonic().0.saturating_sub(cached.made) < younger_us;
        let same = (cached.version, cached.touched) == (version, touched);
        let snapshot = cached.snapshot.as_ref().filter(|_| young && same)?;
        Some((cached.ticks, Arc::clone(snapshot)))
    }

    /// Reads the book beside the tasks: such a computation may take a while.
    ///
    /// # Errors
    /// When it was cut short by a stop.
    pub async fn read<T: Send + 'static>(&self, work: impl FnOnce(&Book) -> T + Send + 'static) -> Answer<T> {
        let app = self.app().clone();
        self.beside(move || work(&app.book())).await
    }

    /// Every agent with the account of where its runs went, also check by check: a pass over all pairs.
    ///
    /// # Errors
    /// When it was cut short by a stop.
    pub async fn agents(&self) -> Answer<Vec<AgentView>> {
        let app = self.app().clone();
        self.beside(move || {
            let (mut counted, now) = (view::Counted::with_checks(), clock::now());
            let checks: Vec<CheckNo> = app.book().checks().map(|check| check.number).collect();
            in_slices(|| app.book(), checks, |book, check| counted.add(book.conservation_of(check, now)));
            counted.agents(&app.book(), now)
        })
        .await
    }

    /// One of them: of a name that was taken again the one that is not revoked.
    ///
    /// # Errors
    /// When there is none of that name, or it was cut short by a stop.
    pub async fn agent(&self, name: &str) -> Answer<AgentView> {
        let app = self.app().clone();
        let known = AgentName::parse(name).ok();
        let found = self.beside(move || {
            let (mut counted, now) = (view::Counted::with_checks(), clock::now());
            let (number, checks) = {
                let book = app.book();
                let number = book.agent_by_name(&known?)?.number;
                (number, book.checks().map(|check| check.number).collect::<Vec<_>>())
            };
            in_slices(
                || app.book(),
                checks,
                |book, check| {
                    if let Some((check, agent)) = book.check(check).zip(book.agent(number)) {
                        counted.add(book.conservation_with(check, agent, now).0);
                    }
                },
            );
            let book = app.book();
            Some(counted.agent(&book, book.agent(number)?, now))
        });
        found.await?.ok_or_else(|| Problem::not_found("agent", name))
    }

    /// Every agent with the account of where its runs went in all, as of the snapshot.
    ///
    /// # Errors
    /// When the computation was cut short by a stop.
    pub async fn agent_sums(&self) -> Answer<Vec<AgentView>> {
        let snapshot = self.snapshot().await?;
        Ok(view::Counted::of(snapshot.runs.clone()).agents(&self.app().book(), clock::now()))
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

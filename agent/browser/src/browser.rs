//! The one warm browser of an agent: started when it is first needed, replaced when it is worn, dead or hung, ended when nobody needs it, shared by loads that do
//! not disturb each other.
//!
//! A browser that is replaced does its running loads to their end, while new ones go to the next; there are never more than those two, and where loads overlap
//! that may not share a browser ([`lanes`]) as many again. An agent without loads has none.

mod lanes;
mod lease;
mod life;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde_json::json;
use sitepulse_daemon::clock;
use sitepulse_daemon::task::TaskSet;
use sitepulse_model::record::{Cause, Phase};
use sitepulse_model::vitals::profile::Milli;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::browser::lanes::{LANES, Lanes};
use crate::browser::lease::Tenant;
use crate::browser::life::{Life, Usage};
use crate::gate::{Gate, is_web};
use crate::launch::program::Program;
use crate::launch::{self, Culls, Process, tree};
use crate::load;
use crate::options::Options;
use crate::pressure::{self, Crowd, Watch, is_pressed};
use crate::proxy::Proxy;
use crate::{Failed, Job, Loaded};

pub(crate) use crate::browser::lease::Lease;

/// Seats of a processor: so many loads that measure times alone go on at once. A load on a slowed-down processor, or one whose blocking time counts, takes those of
/// two processors.
const SEATS_PER_CPU: u32 = 2;
/// How long a browser may take to tell its processor time.
const PROCESSOR_TIME_MAX: Duration = Duration::from_millis(500);
/// How often a browser with loads is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A load that has not ended by itself so long after its deadline is given up.
const OVERDUE: Duration = Duration::from_millis(900);

/// An agent's browser. Dropping it ends what runs.
#[derive(Debug)]
pub struct Browser {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    slots: [tokio::sync::Mutex<Slot>; LANES],
    lanes: Lanes,
    /// Whether pages can be slowed down by rest, as far as is known.
    rests: AtomicBool,
    crowd: Crowd,
    life: Mutex<Life>,
    tasks: TaskSet,
    seats: Arc<Semaphore>,
    seats_max: u32,
}

/// The browser that loads of a lane go to, and the one before it.
#[derive(Debug, Default)]
struct Slot {
    current: Option<Arc<Process>>,
    /// Lives as long as a load on it.
    retired: Weak<Process>,
}

/// The right to load a page now.
#[derive(Debug)]
pub struct Seat {
    heavy: bool,
    _permit: OwnedSemaphorePermit,
}

/// Told how browsers fare.
#[derive(Debug, Clone)]
struct Keeper(Weak<Inner>);

impl Keeper {
    fn served(&self) {
        if let Some(inner) = self.0.upgrade() {
            inner.life().served();
        }
    }
}

impl Browser {
    /// A browser with these options; nothing is started yet.
    pub fn new(options: Options) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32);
        let seats_max = (cpus * SEATS_PER_CPU).max(1);
        let inner = Inner {
            options,
            slots: Default::default(),
            lanes: Lanes::default(),
            rests: AtomicBool::new(true),
            crowd: Crowd::default(),
            life: Mutex::default(),
            tasks: TaskSet::new(),
            seats: Arc::new(Semaphore::new(seats_max as usize)),
            seats_max,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The program that would be started; nothing is.
    ///
    /// # Errors
    /// None is installed: with the remedy.
    pub fn installed(options: &Options) -> Result<PathBuf, String> {
        Program::of(&options.form).map(|program| program.path)
    }

    /// Waits for the right to load a page: `heavy` where the processor's time is measured or slowed down. First come, first served.
    pub async fn seat(&self, heavy: bool) -> Seat {
        let seats = if heavy { (2 * SEATS_PER_CPU).min(self.inner.seats_max) } else { 1 };
        let permit = self.inner.seats.clone().acquire_many_owned(seats).await;
        Seat { heavy, _permit: permit.expect("the seats are never closed") }
    }

    /// Loads a page and measures it, within the job's timeout; a browser that must be started first has a deadline of its own. Dropped midway, the page is
    /// closed all the same.
    ///
    /// # Errors
    /// What kept it from being measured: the page's fault, or the agent's (then the cause is an unknown one).
    pub async fn load(&self, seat: &Seat, job: &Job, gate: &dyn Gate) -> Result<Loaded, Box<Failed>> {
        if !is_web(&job.url) {
            let detail = "policy: a page's address begins with http:// or https://";
            return Err(Box::new(Failed::new(Cause::PolicyRefused, Phase::Total, detail)));
        }
        let gone =
            |detail: String| Box::new(Failed::new(Cause::BrowserGone, Phase::Total, format!("browser: {detail}")));
        let proxy = Proxy::bind().await.map_err(|error| gone(format!("no port for its proxy ({error})")))?;
        let rate = if self.inner.rests.load(Ordering::Relaxed) { job.profile.cpu.max(Milli::ONE) } else { Milli::ONE };
        let place = self.inner.lanes.take(rate);
        let lease = self.inner.lease(&proxy.url(), place.lane).await?;
        let culled = lease.process.culls().count;
        let (crowd, own_us) = (self.inner.crowd.clone(), processor_us(&lease.process).await);
        let fault = |error: tokio::task::JoinError| gone(format!("the host cannot be looked at ({error})"));
        let watch = tokio::task::spawn_blocking(move || Watch::begin(&crowd, own_us)).await.map_err(fault)?;
        let deadline = Duration::from_micros(job.timeout_us) + OVERDUE;
        let outcome = tokio::select! {
            outcome = timeout(deadline, load::load(&lease, job, &proxy, place.rate)) => outcome.unwrap_or_else(|_| {
                let detail = format!("page: did not answer within {} s", job.timeout_us as f64 / 1e6);
                Err(Box::new(Failed::new(Cause::Unresponsive, Phase::Total, detail)))
            }),
            () = proxy.serve(gate) => Err(gone("its proxy ended".to_owned())),
        };
        let build = lease.process.build.clone();
        // Before the page's processes are gone, whose time is the browser's own.
        let own_us = processor_us(&lease.process).await;
        let heavy = seat.heavy;
        let host = tokio::task::spawn_blocking(move || watch.end(own_us, heavy)).await.map_err(fault)?;
        let low_confidence = is_pressed(&host, self.inner.options.pressure_max);
        // Nobody tells of a unit's memory: where pages share it, each may be the one that is ended for it.
        let limited = (lease.process.pid().is_none() && host.parallel > 1).then_some(host.parallel);
        let culls = lease.process.culls();
        if !lease.process.rests() {
            self.inner.rests.store(false, Ordering::Relaxed);
        }
        lease.end().await;
        match outcome {
            Ok(mut loaded) => {
                loaded.load.host = host;
                loaded.load.low_confidence = low_confidence;
                loaded.browser = build;
                Ok(loaded)
            }
            Err(mut failed) => {
                if failed.cause == Cause::RendererCrashed && culls.count > culled {
                    (failed.cause, failed.detail) = culled_why(culls);
                } else if let (Cause::RendererCrashed, Some(loads)) = (failed.cause, limited) {
                    (failed.cause, failed.detail) = limited_why(loads);
                }
                failed.load.host = host;
                failed.load.low_confidence = low_confidence || failed.cause == Cause::HostPressure;
                failed.browser = build;
                Err(failed)
            }
        }
    }

    /// Ends what runs, and waits until nothing is left of it. A load after that starts a browser anew.
    pub async fn close(&self) {
        for slot in &self.inner.slots {
            let (current, retired) = {
                let mut slot = slot.lock().await;
                (slot.current.take(), std::mem::take(&mut slot.retired).upgrade())
            };
            for process in current.into_iter().chain(retired) {
                process.end().await;
            }
        }
    }
}

impl Inner {
    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A context of a lane's browser that answers. One that has died or hangs is replaced, once.
    async fn lease(self: &Arc<Self>, proxy: &str, lane: usize) -> Result<Lease, Box<Failed>> {
        let failed = |cause, why: String| Box::new(Failed::new(cause, Phase::Total, format!("browser: {why}")));
        let mut why = String::new();
        for _ in 0..2 {
            let tenant = self.tenant(lane).await.map_err(|why| failed(Cause::BrowserMissing, why))?;
            match Lease::create(tenant, proxy, Keeper(Arc::downgrade(self)), &self.tasks).await {
                Ok(lease) => return Ok(lease),
                Err(error) => why = error,
            }
        }
        Err(failed(Cause::BrowserGone, why))
    }

    /// A place in the browser that runs, or in one that is started now.
    async fn tenant(self: &Arc<Self>, lane: usize) -> Result<Tenant, String> {
        let mut slot = self.slots[lane].lock().await;
        let now = clock::monotonic();
        self.bury(&mut slot);
        if let Some(process) = &slot.current {
            let usage = Usage {
                started: process.started,
                loads: process.loads.load(Ordering::Relaxed),
                memory: process.memory.load(Ordering::Relaxed),
                crowd: process.crowd.load(Ordering::Relaxed),
            };
            match usage.worn(&self.options, now) {
                Some(worn) if slot.retired.strong_count() == 0 => {
                    let memory = usage.memory >> 20;
                    tracing::info!("{} is replaced ({worn:?}): {} loads, {memory} MiB", process.build, usage.loads);
                    slot.retired = Arc::downgrade(process);
                    slot.current = None;
                }
                // Its predecessor still has a load: two are enough.
                Some(_) | None => return Ok(Tenant::of(process)),
            }
        }
        self.life().may_start(now)?;
        let process = match launch::launch(&self.options, &self.tasks).await {
            Ok(process) => Arc::new(process),
            Err(why) => {
                self.life().start_failed(clock::monotonic(), &why);
                return Err(why);
            }
        };
        tracing::info!(pid = process.pid(), "{} runs", process.build);
        self.rests.store(process.rests(), Ordering::Relaxed);
        self.tasks.spawn("browser watch", watch(Arc::downgrade(self), lane, Arc::downgrade(&process)));
        let tenant = Tenant::of(&process);
        slot.current = Some(process);
        Ok(tenant)
    }

    /// Takes a browser that has ended by itself out of its place.
    fn bury(&self, slot: &mut Slot) {
        if let Some(process) = slot.current.take_if(|process| process.connection.is_gone()) {
            tracing::warn!("{} ended by itself after {} loads", process.build, process.loads.load(Ordering::Relaxed));
            self.life().died(clock::monotonic());
        }
    }
}

/// The processor time that a browser has taken so far, in microseconds; `None` where it does not tell.
async fn processor_us(process: &Process) -> Option<u64> {
    if let Some(pid) = process.pid() {
        let pid = u32::try_from(pid).ok()?;
        return tokio::task::spawn_blocking(move || pressure::tree_us(pid)).await.ok()?;
    }
    // Another's child, maybe in a namespace of its own: it tells of its processes itself.
    let asked = async {
        // One at a time: an answer that comes late would look like other processes.
        let mut spent = process.spent.lock().await;
        let told = process.connection.call(None, "SystemInfo.getProcessInfo", json!({})).await.ok()?;
        spent.take(&told)
    };
    timeout(PROCESSOR_TIME_MAX, asked).await.ok()?
}

/// Why a page's renderer was ended by the agent.
fn culled_why(culls: Culls) -> (Cause, String) {
    let mib = culls.limit >> 20;
    if culls.loads > 1 {
        let detail = format!(
            "browser: {} pages at once took more than {mib} MiB and the largest was ended; space the checks out, or raise [browser] memory_max if the host has the memory",
            culls.loads
        );
        return (Cause::HostPressure, detail);
    }
    let detail =
        format!("page: took more than {mib} MiB of memory and was ended (twice the agent's [browser] memory_max)");
    (Cause::RendererCrashed, detail)
}

/// Why a page beside others may have lost its renderer in a browser whose memory the agent cannot look at.
fn limited_why(loads: u32) -> (Cause, String) {
    let detail = format!(
        "browser: the page lost its renderer while {loads} loaded at once: it crashed, or the browser's unit ended it for their memory; raise MemoryMax= there (systemctl edit sitepulse-browser@.service), or space the checks out"
    );
    (Cause::HostPressure, detail)
}

/// Keeps an eye on a browser: its end, its memory while there are loads, its idleness while there are none.
async fn watch(inner: Weak<Inner>, lane: usize, process: Weak<Process>) {
    loop {
        let (pause, connection, used) = {
            let (Some(inner), Some(process)) = (inner.upgrade(), process.upgrade()) else { return };
            let pause = if process.leases.load(Ordering::Relaxed) > 0 {
                LOOK_EVERY
            } else {
                let idle = clock::monotonic().us_since(clock::Monotonic(process.touched_us.load(Ordering::Relaxed)));
                let left_us = inner.options.idle_max_s.saturating_mul(1_000_000).saturating_sub(idle);
                Duration::from_micros(left_us)
            };
            (pause, process.connection.clone(), process.used.clone())
        };
        tokio::select! {
            () = connection.ended() => {}
            () = tokio::time::sleep(pause) => {}
            () = used.notified() => continue,
        }
        let (Some(inner), Some(process)) = (inner.upgrade(), process.upgrade()) else { return };
        if connection.is_gone() {
            inner.bury(&mut *inner.slots[lane].lock().await);
            return;
        }
        if process.leases.load(Ordering::Relaxed) > 0 {
            guard(&process, &inner.options).await;
            if process.pid().is_none() {
                // Those of its processes that end are told of no more.
                processor_us(&process).await;
            }
            continue;
        }
        let mut slot = inner.slots[lane].lock().await;
        let idle_us = clock::monotonic().us_since(clock::Monotonic(process.touched_us.load(Ordering::Relaxed)));
        // Places are given under the same lock: none is taken now.
        let idle = process.leases.load(Ordering::Relaxed) == 0
            && idle_us >= inner.options.idle_max_s.saturating_mul(1_000_000);
        if idle && slot.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &process)) {
            tracing::info!("{} ends: no load for {} s", process.build, idle_us / 1_000_000);
            slot.current = None;
            return;
        }
    }
}

/// A page that takes more than the browser's limit twice over loses its renderer, and nobody else anything.
async fn guard(process: &Arc<Process>, options: &Options) {
    let seen = process.clone();
    let Ok(members) = tokio::task::spawn_blocking(move || seen.look()).await else { return };
    let memory = tree::memory(&members);
    let loads = process.leases.load(Ordering::Relaxed);
    let limit = options.memory_max_of(loads).saturating_mul(2);
    if memory <= limit {
        return;
    }
    let mib = memory >> 20;
    match tree::largest_renderer(&members) {
        Some(renderer) => {
            tracing::warn!("{} takes {mib} MiB with {loads} loads: its largest renderer is ended", process.build);
            let alone = options.memory_max_of(1).saturating_mul(2);
            // Before its page can tell that it crashed.
            if renderer.own > alone {
                process.cull(alone, 1);
            } else {
                process.cull(limit, loads);
            }
            tree::kill(renderer);
        }
        None => {
            tracing::warn!("{} takes {mib} MiB: it is ended", process.build);
            process.kill();
        }
    }
}

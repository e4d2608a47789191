//! The one warm browser of an agent: started when it is first needed, replaced when it is worn, shared by loads that do not disturb each other.

use std::sync::Arc;

use serde_json::json;
use sitepulse_model::record::{Cause, Phase};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::cdp::{CallError, Connection};
use crate::gate::Gate;
use crate::launch::{self, Process};
use crate::load;
use crate::options::Options;
use crate::pressure::{Crowd, Watch, is_pressed};
use crate::proxy::Proxy;
use crate::{Failed, Job, Loaded};

/// Seats of a processor: so many loads that measure times alone go on at once. A load on a slowed-down processor, or one whose blocking time counts, takes those of
/// two processors.
const SEATS_PER_CPU: u32 = 2;

/// An agent's browser.
#[derive(Debug)]
pub struct Browser {
    options: Options,
    running: Mutex<Option<Arc<Process>>>,
    crowd: Crowd,
    seats: Arc<Semaphore>,
    seats_max: u32,
}

/// The right to load a page now.
#[derive(Debug)]
pub struct Seat {
    _permit: OwnedSemaphorePermit,
}

/// A fresh context of a running browser: no cookie, no cache, a proxy of its own. It must be [`Lease::dispose`]d of.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) process: Arc<Process>,
    pub(crate) context: String,
}

impl Lease {
    pub(crate) fn connection(&self) -> &Connection {
        &self.process.connection
    }

    /// Ends the context with all its pages.
    async fn dispose(self) {
        let params = json!({ "browserContextId": self.context });
        // A browser that is gone has no contexts.
        drop(self.connection().call(None, "Target.disposeBrowserContext", params).await);
    }
}

impl Browser {
    /// A browser with these options; nothing is started yet.
    pub fn new(options: Options) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32);
        let seats_max = (cpus * SEATS_PER_CPU).max(1);
        Self {
            options,
            running: Mutex::new(None),
            crowd: Crowd::default(),
            seats: Arc::new(Semaphore::new(seats_max as usize)),
            seats_max,
        }
    }

    /// Waits for the right to load a page: `heavy` where the processor's time is measured or slowed down. First come, first served.
    pub async fn seat(&self, heavy: bool) -> Seat {
        let seats = if heavy { (2 * SEATS_PER_CPU).min(self.seats_max) } else { 1 };
        let permit = self.seats.clone().acquire_many_owned(seats).await;
        Seat { _permit: permit.expect("the seats are never closed") }
    }

    /// Loads a page and measures it, within the job's timeout.
    ///
    /// # Errors
    /// What kept it from being measured: the page's fault, or the agent's (then the cause is an unknown one).
    pub async fn load(&self, _seat: &Seat, job: &Job, gate: &dyn Gate) -> Result<Loaded, Box<Failed>> {
        let gone =
            |detail: String| Box::new(Failed::new(Cause::BrowserGone, Phase::Total, format!("browser: {detail}")));
        let proxy = Proxy::bind().await.map_err(|error| gone(format!("no port for its proxy ({error})")))?;
        let lease = self.lease(&proxy).await?;
        let watch = Watch::begin(&self.crowd, lease.process.pid());
        let outcome = tokio::select! {
            outcome = load::load(&lease, job, &proxy) => outcome,
            () = proxy.serve(gate) => Err(gone("its proxy ended".to_owned())),
        };
        let build = lease.process.build.clone();
        // Before the page's processes are gone, whose time is the browser's own.
        let host = watch.end();
        let low_confidence = is_pressed(&host, self.options.pressure_max);
        lease.dispose().await;
        match outcome {
            Ok(mut loaded) => {
                loaded.load.host = host;
                loaded.load.low_confidence = low_confidence;
                loaded.browser = build;
                Ok(loaded)
            }
            Err(mut failed) => {
                failed.load.host = host;
                failed.load.low_confidence = low_confidence;
                failed.browser = build;
                Err(failed)
            }
        }
    }

    async fn lease(&self, proxy: &Proxy) -> Result<Lease, Box<Failed>> {
        let missing =
            |why: String| Box::new(Failed::new(Cause::BrowserMissing, Phase::Total, format!("browser: {why}")));
        let process = self.process().await.map_err(missing)?;
        let params = json!({ "disposeOnDetach": true, "proxyServer": proxy.url(), "proxyBypassList": "<-loopback>" });
        let made = process.connection.call(None, "Target.createBrowserContext", params).await;
        match made.map(|made| made["browserContextId"].as_str().unwrap_or_default().to_owned()) {
            Ok(context) => Ok(Lease { process, context }),
            Err(error @ (CallError::Gone | CallError::Refused { .. })) => {
                Err(Box::new(Failed::new(Cause::BrowserGone, Phase::Total, format!("browser: {error}"))))
            }
        }
    }

    /// The browser that runs, or one that is started now.
    async fn process(&self) -> Result<Arc<Process>, String> {
        let mut running = self.running.lock().await;
        if let Some(process) = running.as_ref().filter(|process| !process.connection.is_gone()) {
            return Ok(process.clone());
        }
        let process = Arc::new(launch::launch(&self.options).await?);
        tracing::info!(pid = process.pid(), "{} runs", process.build);
        *running = Some(process.clone());
        Ok(process)
    }
}

//! A fresh context of a running browser for one load, and how it is taken back whatever happens to the load.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use sitepulse_daemon::clock;
use sitepulse_daemon::task::TaskSet;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Keeper;
use crate::cdp::{CallError, Connection};
use crate::launch::Process;

/// How long a context may take to be there.
const CONTEXT_MAX: Duration = Duration::from_secs(5);
/// How long its end may take before the browser is asked whether it lives. The full browser gives a page that hangs half a second.
const DISPOSE_SOON: Duration = Duration::from_millis(600);
/// How long the answer to that may take.
const ALIVE_MAX: Duration = Duration::from_secs(2);
/// How long the end of a context may take in a browser that lives.
const DISPOSE_MAX: Duration = Duration::from_secs(10);

/// A fresh context of a running browser: no cookie, no cache, a proxy of its own. Dropping it ends the context with all its pages, however much they hang.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) process: Arc<Process>,
    pub(crate) context: String,
    keeper: Keeper,
    tasks: TaskSet,
    /// Told when the context is gone.
    ended: Option<oneshot::Sender<()>>,
}

/// Counts among the loads of a browser, from before the context is asked for.
#[derive(Debug)]
pub(super) struct Tenant(Arc<Process>);

impl Tenant {
    pub(super) fn of(process: &Arc<Process>) -> Self {
        process.leases.fetch_add(1, Ordering::Relaxed);
        process.used.notify_one();
        Self(process.clone())
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        self.0.touched_us.store(clock::monotonic().0, Ordering::Relaxed);
        self.0.leases.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lease {
    pub(crate) fn connection(&self) -> &Connection {
        &self.process.connection
    }

    /// A context in the browser of `tenant`, with `proxy` as its way out.
    ///
    /// # Errors
    /// The browser is gone; one that does not answer is ended.
    pub(super) async fn create(tenant: Tenant, proxy: &str, keeper: Keeper, tasks: &TaskSet) -> Result<Self, String> {
        let process = tenant.0.clone();
        // Made by a task: were it dropped midway with the load, the context would be made and belong to nobody.
        let (made, hears) = oneshot::channel();
        let params = json!({ "disposeOnDetach": true, "proxyServer": proxy, "proxyBypassList": "<-loopback>" });
        let maker = (process.clone(), keeper, tasks.clone());
        tasks.spawn("browser context", async move {
            let (process, keeper, tasks) = maker;
            let call = process.connection.call(None, "Target.createBrowserContext", params);
            let answer = match timeout(CONTEXT_MAX, call).await {
                Ok(Ok(answer)) => {
                    let context = answer["browserContextId"].as_str().unwrap_or_default().to_owned();
                    let leased = process.clone();
                    process.loads.fetch_add(1, Ordering::Relaxed);
                    // Counted by the lease from here on, which counts before this tenant does no more.
                    leased.leases.fetch_add(1, Ordering::Relaxed);
                    Ok(Self { process: leased, context, keeper, tasks, ended: None })
                }
                Ok(Err(error @ (CallError::Gone | CallError::Refused { .. }))) => Err(error.to_string()),
                Err(_) => {
                    process.kill();
                    Err(format!("the browser did not answer for {} s and was ended", CONTEXT_MAX.as_secs()))
                }
            };
            drop(tenant);
            // Nobody waits for it any more: it is dropped, and the context with it.
            drop(made.send(answer));
        });
        hears.await.unwrap_or_else(|_| Err("the browser is gone".to_owned()))
    }

    /// Ends the context with all its pages, and waits for that.
    pub(super) async fn end(mut self) {
        let (ended, hears) = oneshot::channel();
        self.ended = Some(ended);
        drop(self);
        // An error says that the runtime ends, and all with it.
        drop(hears.await);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (process, keeper, ended) = (self.process.clone(), self.keeper.clone(), self.ended.take());
        let context = std::mem::take(&mut self.context);
        if tokio::runtime::Handle::try_current().is_err() {
            // Outside of the runtime nobody can ask the browser for anything.
            process.kill();
            process.leases.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        // Takes the lease's count over.
        let tenant = Tenant(process.clone());
        self.tasks.spawn("browser context end", async move {
            if dispose(&process, &context).await {
                keeper.served();
            }
            let seen = process.clone();
            // A look reads hundreds of small files.
            drop(tokio::task::spawn_blocking(move || seen.look()).await);
            drop(tenant);
            if let Some(ended) = ended {
                // An error says that nobody waits for it any more.
                ended.send(()).ok();
            }
        });
    }
}

/// Ends a context. Returns whether the browser is fit for more; one that is not is ended.
async fn dispose(process: &Process, context: &str) -> bool {
    let connection = &process.connection;
    let params = json!({ "browserContextId": context });
    let mut call = std::pin::pin!(connection.call(None, "Target.disposeBrowserContext", params));
    let answer = match timeout(DISPOSE_SOON, &mut call).await {
        Ok(answer) => Some(answer),
        Err(_) => match timeout(ALIVE_MAX, connection.call(None, "Browser.getVersion", json!({}))).await {
            Ok(Ok(_)) => timeout(DISPOSE_MAX, call).await.ok(),
            Ok(Err(error)) => Some(Err(error)),
            Err(_) => None,
        },
    };
    match answer {
        // Refused: there is no such context any more.
        Some(Ok(_) | Err(CallError::Refused { .. })) => true,
        Some(Err(CallError::Gone)) => false,
        None => {
            tracing::warn!("{} hangs: it is ended, and started anew when it is needed", process.build);
            process.kill();
            false
        }
    }
}

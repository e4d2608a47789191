//! One page, from a fresh context to its figures.

use sitepulse_model::record::{Cause, Phase};

use crate::browser::Lease;
use crate::proxy::Proxy;
use crate::{Failed, Job, Loaded};

/// Loads a page in a fresh context, within the job's timeout.
pub(crate) async fn load(lease: &Lease, job: &Job, proxy: &Proxy) -> Result<Loaded, Box<Failed>> {
    let text = format!("browser: {} cannot be measured yet ({} connections)", job.url, proxy.asked().len());
    drop(lease.connection().events(""));
    Err(Box::new(Failed::new(Cause::AgentFault, Phase::Total, text)))
}

//! One page, from a fresh context to its figures.

use std::time::Duration;

use serde_json::json;
use sitepulse_model::record::{Cause, Phase};

use crate::browser::Lease;
use crate::cdp::{CallError, Event};
use crate::proxy::Proxy;
use crate::{Failed, Job, Loaded};

/// Loads a page in a fresh context, within the job's timeout.
pub(crate) async fn load(lease: &Lease, job: &Job, proxy: &Proxy) -> Result<Loaded, Box<Failed>> {
    let within = Duration::from_micros(job.timeout_us);
    let text = match tokio::time::timeout(within, visit(lease, job)).await {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "timeout".to_owned(),
    };
    let asked: Vec<_> = proxy.asked().iter().map(|asked| format!("{}:{}", asked.host, asked.port)).collect();
    Err(Box::new(Failed::new(Cause::AgentFault, Phase::Total, format!("{text} {}", asked.join(" ")))))
}

async fn visit(lease: &Lease, job: &Job) -> Result<String, CallError> {
    let connection = lease.connection();
    let target =
        connection.call(None, "Target.createTarget", json!({"url": "about:blank", "browserContextId": lease.context})).await?;
    let session = connection
        .call(None, "Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}))
        .await?["sessionId"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mut events = connection.events(&session);
    let session = Some(session.as_str());
    connection.call(session, "Page.enable", json!({})).await?;
    connection.call(session, "Runtime.enable", json!({})).await?;
    let went = connection.call(session, "Page.navigate", json!({"url": job.url})).await?;
    let mut text = format!("{went}");
    if went.get("errorText").is_some() {
        return Ok(text);
    }
    while let Some(event) = events.recv().await {
        if let Event::Told { method, params } = event {
            match method.as_str() {
                "Page.loadEventFired" => break,
                "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" => text.push_str(&params.to_string()),
                _ => {}
            }
        }
    }
    tokio::time::sleep(Duration::from_micros(job.settle_us)).await;
    Ok(text)
}

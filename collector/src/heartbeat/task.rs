//! The observer's shell: sleeps until a heartbeat check is due or the checks change, then has the writer's thread look.

use std::time::Duration;

use sitepulse_daemon::clock;
use tokio::sync::watch;

use crate::app::App;

/// Observes until `stopping` turns true or the writer is gone.
pub async fn run(app: App, mut stopping: watch::Receiver<bool>) {
    let mut versions = app.shared().subscribe_versions();
    loop {
        versions.mark_unchanged();
        let Ok(deadline) = app.writer().run(|engine| engine.observe(clock::now(), clock::monotonic().0)).await else {
            return;
        };
        let due = async {
            match deadline {
                Some(us) => tokio::time::sleep(Duration::from_micros(us.saturating_sub(clock::monotonic().0))).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            Ok(()) = versions.changed() => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

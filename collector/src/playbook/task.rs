//! The shell: one task that looks at the runs under way each second. Where there is none it costs nothing.

use std::time::Duration;

use sitepulse_daemon::clock;
use tokio::sync::watch;

use crate::app::App;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);

/// Ticks steps until `stopping` turns true or the writer is gone.
pub async fn run(app: App, mut stopping: watch::Receiver<bool>) {
    let mut complained = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        if app.shared().playbooks.is_idle() {
            continue;
        }
        match app.see_playbooks(clock::now()).await {
            Ok(_) => complained = false,
            // Told once, until it is over.
            Err(error) => {
                if !std::mem::replace(&mut complained, true) {
                    tracing::warn!("steps of playbooks do not tick by themselves: {error}");
                }
            }
        }
    }
}

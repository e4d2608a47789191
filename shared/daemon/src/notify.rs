//! Tells systemd how the service fares (`Type=notify`), and feeds its watchdog from real progress only.
//!
//! Each loop that must never stall registers a [`Progress`] and ticks it every time round (at least every quarter of the watchdog's
//! interval, also when idle). The watchdog is pinged only if every counter moved since the last ping: a stuck loop gets the service
//! restarted. Without systemd all of this does nothing.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;

/// A loop's counter. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// The loop went round.
    pub fn tick(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Watched {
    name: Cow<'static, str>,
    progress: Progress,
    seen: u64,
}

/// Talks to systemd. Clones share it.
#[derive(Debug, Clone)]
pub struct Notifier {
    watchdog: Option<Duration>,
    watched: Arc<Mutex<Vec<Watched>>>,
}

impl Notifier {
    /// From the environment that systemd sets (`NOTIFY_SOCKET`, `WATCHDOG_USEC`).
    pub fn from_env() -> Self {
        Self::with_watchdog(sd_notify::watchdog_enabled())
    }

    fn with_watchdog(watchdog: Option<Duration>) -> Self {
        Self { watchdog, watched: Arc::default() }
    }

    /// The service is up.
    pub fn ready(&self) {
        send(&[NotifyState::Ready]);
    }

    /// The service ends on purpose.
    pub fn stopping(&self) {
        send(&[NotifyState::Stopping]);
    }

    /// One line for `systemctl status`.
    pub fn status(&self, text: &str) {
        let line = text.replace(['\n', '\r'], " ");
        send(&[NotifyState::Status(&line)]);
    }

    /// The watchdog's interval, where systemd wants one.
    pub const fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Registers a loop that must never stall.
    pub fn progress(&self, name: impl Into<Cow<'static, str>>) -> Progress {
        let progress = Progress::default();
        let watched = Watched { name: name.into(), progress: progress.clone(), seen: 0 };
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
        progress
    }

    /// Pings the watchdog if every registered loop moved since the last call that said so; else names those that did not.
    pub fn watchdog(&self) -> Result<(), Vec<String>> {
        self.check()?;
        send(&[NotifyState::Watchdog]);
        Ok(())
    }

    /// Pings for ever, at half the interval. Returns at once where systemd wants no watchdog.
    pub async fn run_watchdog(&self) {
        let Some(interval) = self.watchdog else { return };
        let mut ticker = tokio::time::interval(interval / 2);
        ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticker.tick().await;
            if let Err(stalled) = self.watchdog() {
                tracing::warn!("no watchdog ping: no progress of {}", stalled.join(", "));
            }
        }
    }

    fn check(&self) -> Result<(), Vec<String>> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let counts: Vec<u64> = watched.iter().map(|one| one.progress.0.load(Ordering::Relaxed)).collect();
        let stalled: Vec<String> = watched
            .iter()
            .zip(&counts)
            .filter(|(one, count)| one.seen == **count)
            .map(|(one, _)| one.name.to_string())
            .collect();
        if !stalled.is_empty() {
            return Err(stalled);
        }
        for (one, count) in watched.iter_mut().zip(counts) {
            one.seen = count;
        }
        Ok(())
    }
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("cannot notify systemd: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_needs_progress_of_every_loop() {
        let notifier = Notifier::with_watchdog(Some(Duration::from_secs(30)));
        assert_eq!(notifier.check(), Ok(()));
        let (writer, scheduler) = (notifier.progress("writer"), notifier.progress("scheduler"));
        writer.tick();
        assert_eq!(notifier.check(), Err(vec!["scheduler".to_owned()]));
        scheduler.tick();
        assert_eq!(notifier.check(), Ok(()));
        scheduler.tick();
        assert_eq!(notifier.check(), Err(vec!["writer".to_owned()]));
        writer.clone().tick();
        assert_eq!(notifier.check(), Ok(()));
    }

    #[test]
    fn without_systemd_nothing_happens() {
        let notifier = Notifier::with_watchdog(None);
        notifier.ready();
        notifier.status("two\nlines");
        notifier.stopping();
        assert_eq!(notifier.watchdog_interval(), None);
    }
}

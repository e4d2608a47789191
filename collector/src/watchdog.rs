//! The outside watchdog: a ping to a service elsewhere as long as this collector evaluates, writes and can send. Who watches the watcher is told by silence.
//!
//! A collector that is ill cannot be trusted to say so. So it says that it is well, after a full turn, and the service (Healthchecks, Better Stack, any other
//! that alarms when pings stay away) pages people by ways of its own. What must be true for a ping to go out is [`Vitals::well`]: the present was looked at, and the
//! dispatcher itself, asked anew for each ping, wrote a message to the outbox and found it there as it finds pages ([`crate::outbox::Bell::prove`]). The ping takes the same
//! way out as messages, so that a firewall that stops them stops it too. It is no message of the outbox: it must not be kept, repeated or late.
//!
//! What is wrong keeps pings back within two of their intervals, so that the outside learns of it as soon.

use std::time::Duration;

use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::channel::Channel;
use sitepulse_model::channel::setting::{Address, Setting};
use sitepulse_model::channel::way::{Way, Webhook};
use sitepulse_model::duration;
use sitepulse_model::incident::{IncidentKind, IncidentState, NoticeEvent, Severity};
use sitepulse_model::notice::{Context, IncidentFacts, Notice};
use sitepulse_model::time::UtcMicros;
use sitepulse_notify::{Sender, Sent};
use tokio::sync::watch;

use crate::app::App;

/// How often a ping goes out where nothing is said, in microseconds.
pub const EVERY_US: u64 = 60_000_000;
/// The shortest and the longest interval, in microseconds.
const EVERY_US_RANGE: std::ops::RangeInclusive<u64> = 1_000_000..=86_400_000_000;
/// What is done each second, or each few, and was not for so long, has stopped.
const STOPPED_US: u64 = 30_000_000;
/// When every attempt to send has failed for so long, nobody is told of anything.
const UNHEARD_US: u64 = 300_000_000;
/// What is done each few seconds may be late by as much, however short the interval of pings is.
const STOPPED_US_MIN: u64 = 10_000_000;
/// How long the proof that the dispatcher works, and its store, may take.
const PROBE: Duration = Duration::from_secs(10);
/// How long a ping may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The id under which it stands in logs.
const ID: &str = "watchdog";

/// Where the pings go, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watchdog {
    channel: Channel,
    every: Duration,
}

impl Watchdog {
    /// `url` is an address or `secret:NAME`; `every` a duration.
    ///
    /// # Errors
    /// The key that is of no use, and why.
    pub fn new(url: &str, every: Option<&str>) -> Result<Self, (&'static str, String)> {
        let url = Address(url.to_owned());
        if let Some(why) = url.fault(ID) {
            return Err(("url", why));
        }
        let us = every.map_or(Ok(EVERY_US), duration::parse).map_err(|error| ("every", error.to_string()))?;
        if !EVERY_US_RANGE.contains(&us) {
            return Err(("every", String::from("1s at least, 1d at most")));
        }
        let way = Way::Webhook(Webhook { url, secret: None });
        Ok(Self {
            channel: Channel { id: ID.to_owned(), language: None, agents_after: None, way },
            every: Duration::from_micros(us),
        })
    }
}

/// What a ping vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Vitals {
    now: Monotonic,
    /// How often pings go out, in microseconds.
    every_us: u64,
    /// When the present was last looked at with success.
    watched: Option<Monotonic>,
    /// When the dispatcher last had a turn.
    dispatched: Option<Monotonic>,
    /// Since when no attempt to send has gone through.
    failing_since: Option<Monotonic>,
    /// What the dispatcher's proof came to, just now.
    proof: Result<(), String>,
}

impl Vitals {
    /// Whether everything goes on, else what does not.
    fn well(&self) -> Result<(), String> {
        let within_us = self.every_us.saturating_mul(2);
        let stopped_us = STOPPED_US.min(within_us.max(STOPPED_US_MIN));
        let goes_on = |what: &str, last: Option<Monotonic>| match last {
            Some(last) if self.now.us_since(last) < stopped_us => Ok(()),
            Some(last) => Err(format!("{what} for {} s", self.now.us_since(last) / 1_000_000)),
            None => Err(format!("{what} since the start")),
        };
        self.proof.clone()?;
        goes_on("the present was not evaluated", self.watched)?;
        goes_on("the dispatcher had no turn", self.dispatched)?;
        match self.failing_since {
            Some(since) if self.now.us_since(since) >= UNHEARD_US.min(within_us) => Err(format!(
                "no message has gone through by any channel for {} s",
                self.now.us_since(since) / 1_000_000
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// Pings until `stopping` turns true.
pub async fn run(app: App, sender: Sender, watchdog: Watchdog, mut stopping: watch::Receiver<bool>) {
    let pings = async {
        let mut said: Option<String> = None;
        loop {
            let trouble = match vitals(&app, watchdog.every).await.well() {
                Ok(()) => {
                    let pinged = ping(&app, &sender, &watchdog.channel).await;
                    if pinged.is_ok() {
                        app.shared().pulses.pinged.beat();
                    }
                    pinged.err()
                }
                Err(why) => Some(format!("no ping goes out: {why}")),
            };
            if trouble != said {
                match &trouble {
                    Some(why) => tracing::error!("watchdog: {why}"),
                    None if said.is_some() => tracing::info!("watchdog: pings go out again"),
                    None => {}
                }
            }
            // What went wrong may be over soon, and the service waits.
            let wait = if trouble.is_some() { watchdog.every / 4 } else { watchdog.every };
            said = trouble;
            tokio::time::sleep(wait).await;
        }
    };
    tokio::select! {
        () = pings => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

async fn vitals(app: &App, every: Duration) -> Vitals {
    let shared = app.shared();
    let proof = tokio::time::timeout(PROBE, shared.outbox.prove()).await;
    let proof = proof
        .unwrap_or_else(|_| Err(format!("the dispatcher or its writer did not answer within {} s", PROBE.as_secs())));
    let known = app.book().objects().channels.living().map(|(id, _)| id.to_owned()).collect();
    let now = clock::monotonic();
    Vitals {
        now,
        every_us: u64::try_from(every.as_micros()).unwrap_or(u64::MAX),
        watched: shared.pulses.watched.last(),
        dispatched: shared.pulses.dispatched.last(),
        failing_since: shared.deliveries.failing_since(&known, now),
        proof,
    }
}

async fn ping(app: &App, sender: &Sender, channel: &Channel) -> Result<(), String> {
    let value = channel.secrets().into_iter().find_map(|name| app.book().vault().value(&name));
    let secret = move |_: &str| value.clone();
    match sender.send(channel, &secret, &alive(clock::now()), DEADLINE).await {
        Sent::Delivered { .. } | Sent::Partly { .. } => Ok(()),
        Sent::Again { why, .. } | Sent::Denied { why } | Sent::Refused { why } => {
            Err(format!("a ping did not go through: {why}"))
        }
    }
}

/// What the service is told beside that there is a ping: nothing about what is watched.
fn alive(now: UtcMicros) -> Notice {
    Notice {
        event: NoticeEvent::Test,
        key: format!("{ID}/0/{}", now.0),
        step: 0,
        at: now,
        incident: IncidentFacts {
            id: ID.to_owned(),
            check: None,
            agent: None,
            slo: None,
            kind: IncidentKind::Manual,
            state: IncidentState::Resolved,
            severity: Severity::Info,
            since: now,
            opened_at: None,
            acknowledged_at: None,
            resolved_at: Some(now),
            flapping: false,
        },
        context: Context { title: Some(String::from("the collector is well")), ..Context::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Vitals {
        let now = Monotonic(1_000_000_000);
        let lately = Some(Monotonic(now.0 - 1_000_000));
        let every_us = 600_000_000;
        Vitals { now, every_us, watched: lately, dispatched: lately, failing_since: None, proof: Ok(()) }
    }

    #[test]
    fn a_ping_vouches_for_everything_that_must_go_on() {
        assert_eq!(well().well(), Ok(()));
        let long_ago = Some(Monotonic(well().now.0 - STOPPED_US));
        let ills: [(Vitals, &str); 6] = [
            (Vitals { proof: Err("the disk is full".into()), ..well() }, "the disk is full"),
            (Vitals { watched: None, ..well() }, "the present was not evaluated since the start"),
            (Vitals { watched: long_ago, ..well() }, "the present was not evaluated for 30 s"),
            (Vitals { dispatched: None, ..well() }, "the dispatcher had no turn since the start"),
            (Vitals { dispatched: long_ago, ..well() }, "the dispatcher had no turn for 30 s"),
            (
                Vitals { failing_since: Some(Monotonic(well().now.0 - UNHEARD_US)), ..well() },
                "no message has gone through by any channel for 300 s",
            ),
        ];
        for (vitals, why) in ills {
            assert_eq!(vitals.well(), Err(why.to_owned()));
        }
        // A provider that was away for a minute is no reason to wake somebody.
        let lately = Some(Monotonic(well().now.0 - 60_000_000));
        assert_eq!(Vitals { failing_since: lately, ..well() }.well(), Ok(()));
        // But whoever has a ping each 20 s wants to know within two of them.
        let often = Vitals { every_us: 20_000_000, ..well() };
        assert_eq!(often.well(), Ok(()));
        assert!(Vitals { failing_since: lately, ..often.clone() }.well().is_err());
        let before = Some(Monotonic(well().now.0 - 12_000_000));
        assert_eq!(Vitals { watched: before, ..often }.well(), Ok(()));
        assert!(Vitals { watched: before, every_us: 1_000_000, ..well() }.well().is_err());
    }

    #[test]
    fn settings_are_read_and_refused_by_their_key() {
        let watchdog = Watchdog::new("https://hc.example/ping/x", None).unwrap();
        assert_eq!(watchdog.every, Duration::from_secs(60));
        assert_eq!(Watchdog::new("secret:hc", Some("5m")).unwrap().every, Duration::from_secs(300));
        for (url, every, key) in
            [("hc.example", None, "url"), ("https://a", Some("0s"), "every"), ("https://a", Some("soon"), "every")]
        {
            assert_eq!(Watchdog::new(url, every).unwrap_err().0, key);
        }
    }
}

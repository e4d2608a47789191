//! The referee: whether the agent's own network is out. Then a failure says nothing of the target and is [`Cause::NetworkLost`], `unknown`.
//!
//! Asked only about failures that a lost network would look like ([`Evidence`]): a name that does not resolve, no route, silence. Where the target
//! had answered before it fell silent, a slow server is the likelier reason, and only the first of the two ways looks further:
//!
//! - With reference targets (`host:port`, as the configuration names them): each is dialled, all at once, for [`REFERENCE_US_MAX`] at most. When one
//!   answers, if only by refusing, the network is there and the failure stands. So it is when the collector answers meanwhile over its connection
//!   ([`Witness`]): one that stays silent may be a connection that has not noticed yet. A collector on this machine or at a private address tells
//!   nothing of the way out and is not asked. When nobody answers, the network is lost. The outcome holds for [`KNOWN_US`], an answer
//!   only for runs whose silence began before it came: the cable may have been cut since. Where a connection fell silent, when it did is
//!   not known: that takes an answer from after the failure. Runs that fail meanwhile wait for the same round, and there are [`APART_US`]
//!   between one answered round and the next.
//! - Without them, by what the agent's own runs saw ([`Outlook`]): the collector is away, and [`HOSTS_MIN`] different hosts failed that way within
//!   [`WINDOW_US`], and nothing beyond this machine has answered since the first of them nor for [`QUIET_US`]. The collector's absence alone never
//!   suffices: its own outage must not hide those of others. An agent that checks fewer hosts needs reference targets.
//!
//! Reference targets are the operator's word, like the collector's address: the policy on targets does not apply to them.
//!
//! Architecture invariant: no lock is held across an await, and no task outlives the run that asked.

pub(crate) mod outlook;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sitepulse_daemon::address::{Scope, scope};
use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::check::Family;
use sitepulse_model::record::{Cause, Phase, Phases};
use tokio::net::TcpStream;
use tokio::sync::watch;

use self::outlook::Outlook;
use crate::attempt::Failure;
use crate::resolve::Resolver;
use crate::resolve::host::Host;

/// How long a reference target may take to answer.
const REFERENCE_US_MAX: u64 = 2_000_000;
/// How long the references' outcome holds.
const KNOWN_US: u64 = 5_000_000;
/// Time between an answered round and the next one: however many targets fail, the references are not pestered.
const APART_US: u64 = 200_000;
/// How often it is looked whether the collector answered.
const LOOK_US: u64 = 20_000;
/// Different hosts that must have failed before the agent doubts itself.
pub const HOSTS_MIN: usize = 3;
/// The time within which they failed.
pub const WINDOW_US: u64 = 60_000_000;
/// How long nothing has answered then.
pub const QUIET_US: u64 = 20_000_000;

/// A connection to the collector, as a witness of the agent's network.
pub trait Witness: std::fmt::Debug + Send + Sync {
    /// Where the collector is.
    fn peer(&self) -> SocketAddr;
    /// Makes the collector answer something soon.
    fn ask(&self);
    /// How much came from it so far; grows with everything that comes.
    fn received(&self) -> u64;
}

/// The referee. One for all probes of the agent.
#[derive(Debug, Default)]
pub struct Network {
    references: Vec<String>,
    outlook: Mutex<Outlook>,
    witness: Mutex<Option<Arc<dyn Witness>>>,
    round: Mutex<Round>,
}

/// Where the references stand.
#[derive(Debug, Default)]
enum Round {
    /// Nobody asked yet.
    #[default]
    None,
    /// A run asks them just now.
    Asking(watch::Receiver<Option<bool>>),
    /// They were asked.
    Known { at: Monotonic, answered: bool },
}

/// What who asks does.
enum Turn {
    /// Looks again in so many microseconds.
    Wait(u64),
    /// Asks the references, and tells the others.
    Ask(watch::Sender<Option<bool>>),
    /// Waits for who asks them already.
    Join(watch::Receiver<Option<bool>>),
}

/// Whom a run talked to, and how far it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contact<'a> {
    pub(crate) host: &'a str,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) phases: Phases,
}

impl Contact<'_> {
    /// It leads out of this machine, as far as is known.
    fn is_outside(&self) -> bool {
        self.address.is_none_or(|address| !address.ip().to_canonical().is_loopback())
    }
}

impl Network {
    /// A referee with these reference targets, `host:port` each. One that is not written so never answers: the configuration judges them first.
    pub fn new(references: Vec<String>) -> Self {
        Self { references, ..Self::default() }
    }

    /// The connection to the collector came up, or (`None`) is not there. A program without a collector tells nothing.
    pub fn collector_link(&self, link: Option<Arc<dyn Witness>>) {
        lock(&self.outlook).collector_link(link.is_some());
        *lock(&self.witness) = link.filter(|link| scope(link.peer().ip().to_canonical()) == Scope::Global);
    }

    /// A run had an answer.
    pub(crate) fn succeeded(&self, contact: Contact<'_>) {
        if contact.is_outside() {
            lock(&self.outlook).answered(clock::monotonic());
        }
    }

    /// What a failure is really: itself, or [`Cause::NetworkLost`] with the reason. Takes up to 2.2 s with reference targets.
    pub(crate) async fn judge(&self, resolver: &Resolver, contact: Contact<'_>, failure: Failure) -> Failure {
        if !contact.is_outside() {
            return failure;
        }
        match evidence(&failure, &contact.phases) {
            Evidence::Nothing => return failure,
            Evidence::FellSilent if self.references.is_empty() => return failure,
            Evidence::Answered => {
                lock(&self.outlook).answered(clock::monotonic());
                return failure;
            }
            Evidence::Silence | Evidence::FellSilent => {}
        }
        if self.references.is_empty() {
            let lost = lock(&self.outlook).failed(contact.host, clock::monotonic());
            return match lost {
                Some(reason) => not_judged(&failure, &reason),
                None => failure,
            };
        }
        // A phase before the request is silent as a whole. Of the later ones nobody knows since when: the question is then whether the network
        // is there now.
        let silent_us = match failure.phase {
            Phase::Dns | Phase::Connect | Phase::Tls => contact.phases.get(failure.phase).unwrap_or_default(),
            Phase::Send | Phase::FirstByte | Phase::Transfer | Phase::Total => 0,
        };
        let since = Monotonic(clock::monotonic().0.saturating_sub(silent_us));
        if self.any_reference(resolver, since).await {
            return failure;
        }
        let reason = format!("this agent reaches none of its reference targets ({})", self.references.join(", "));
        not_judged(&failure, &reason)
    }

    /// Whether any reference has answered `since` then. One round at a time, shared by all who ask meanwhile.
    async fn any_reference(&self, resolver: &Resolver, since: Monotonic) -> bool {
        loop {
            let now = clock::monotonic();
            let turn = {
                let mut round = lock(&self.round);
                match &*round {
                    Round::Known { at, answered } if now < at.plus_us(KNOWN_US) && (!answered || *at >= since) => {
                        return *answered;
                    }
                    Round::Known { at, answered: true } if now < at.plus_us(APART_US) => {
                        Turn::Wait(at.plus_us(APART_US).us_since(now))
                    }
                    Round::Asking(outcome) if outcome.has_changed().is_ok() => Turn::Join(outcome.clone()),
                    // Also where the run that asked was dropped half-way.
                    Round::Asking(_) | Round::Known { .. } | Round::None => {
                        let (sender, outcome) = watch::channel(None);
                        *round = Round::Asking(outcome);
                        Turn::Ask(sender)
                    }
                }
            };
            match turn {
                Turn::Wait(us) => tokio::time::sleep(Duration::from_micros(us)).await,
                Turn::Ask(sender) => {
                    let answered = self.ask_references(resolver).await;
                    *lock(&self.round) = Round::Known { at: clock::monotonic(), answered };
                    sender.send_replace(Some(answered));
                    return answered;
                }
                Turn::Join(mut outcome) => {
                    let waited = outcome.wait_for(Option::is_some).await;
                    if let Ok(Some(answered)) = waited.map(|answered| *answered) {
                        return answered;
                    }
                }
            }
        }
    }

    async fn ask_references(&self, resolver: &Resolver) -> bool {
        let deadline = clock::monotonic().plus_us(REFERENCE_US_MAX);
        let witness = lock(&self.witness).clone().map(|witness| (witness.received(), witness));
        if let Some((_, witness)) = &witness {
            witness.ask();
        }
        let mut asking: Vec<_> =
            self.references.iter().map(|reference| Box::pin(answers(resolver, reference, deadline))).collect();
        let first = std::future::poll_fn(|context| {
            use std::task::Poll;
            let mut answered = false;
            asking.retain_mut(|asked| match asked.as_mut().poll(context) {
                Poll::Ready(answer) => {
                    answered |= answer;
                    false
                }
                Poll::Pending => true,
            });
            if answered || asking.is_empty() { Poll::Ready(answered) } else { Poll::Pending }
        });
        if tokio::time::timeout(Duration::from_micros(REFERENCE_US_MAX), first).await.unwrap_or(false) {
            return true;
        }
        let Some((before, witness)) = witness else { return false };
        while witness.received() == before && clock::monotonic() < deadline {
            tokio::time::sleep(Duration::from_micros(LOOK_US)).await;
        }
        witness.received() != before
    }
}

/// Whether a reference answers, if only by refusing the connection: that comes from over there as well.
async fn answers(resolver: &Resolver, reference: &str, deadline: Monotonic) -> bool {
    let Some((host, port)) = reference.rsplit_once(':') else { return false };
    let Ok(port) = port.parse::<u16>() else { return false };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let addresses = match Host::parse(host) {
        Ok(Host::Address(address)) => vec![address],
        Ok(Host::Name { name, absolute }) => {
            resolver.addresses(&name, absolute, Family::Any, deadline).await.unwrap_or_default()
        }
        Err(_) => return false,
    };
    let Some(address) = addresses.first() else { return false };
    match TcpStream::connect((*address, port)).await {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
    }
}

fn not_judged(failure: &Failure, reason: &str) -> Failure {
    let text = format!("network: {reason}; the target was not judged ({})", failure.detail);
    Failure::new(Cause::NetworkLost, failure.phase, text)
}

/// What a failure tells of the agent's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// Nothing came back: so would it look if the network were lost.
    Silence,
    /// Something had come back before the connection fell silent or broke: a slow server, or a network that was lost meanwhile.
    FellSilent,
    /// Somebody out there answered.
    Answered,
    /// Nothing at all.
    Nothing,
}

fn evidence(failure: &Failure, phases: &Phases) -> Evidence {
    match failure.cause {
        // A page that came and stayed blank: what makes it may never have come.
        Cause::NotAPage if failure.phase == Phase::Total => Evidence::FellSilent,
        Cause::DnsFailed | Cause::Unreachable | Cause::NetworkLost => Evidence::Silence,
        Cause::Timeout => match failure.phase {
            Phase::Dns | Phase::Connect | Phase::Tls => Evidence::Silence,
            // Without a connection (UDP, ICMP) nothing has come back before the first byte.
            Phase::Send | Phase::FirstByte | Phase::Total if phases.connect.is_none() && phases.tls.is_none() => {
                Evidence::Silence
            }
            Phase::Send | Phase::FirstByte | Phase::Transfer | Phase::Total => Evidence::FellSilent,
        },
        Cause::ConnectionRefused
        | Cause::TlsFailed
        | Cause::CertificateInvalid
        | Cause::ProtocolError
        | Cause::AssertionFailed
        | Cause::RedirectFailed
        | Cause::LoginRefused
        | Cause::NotServing
        | Cause::NotRegistered
        | Cause::ProxyFailed
        | Cause::HttpStatus
        | Cause::NotAPage
        | Cause::SoftAssertion => Evidence::Answered,
        // It may come from a box on the way, or from this machine as its network goes.
        Cause::ConnectionReset => Evidence::FellSilent,
        // Found out in the browser, up to a whole deadline after the page had answered: that says nothing of now.
        Cause::Unresponsive
        | Cause::RendererCrashed
        | Cause::NavigatedAway
        | Cause::InteractionFailed
        | Cause::HeartbeatMissing
        | Cause::HeartbeatFailed
        | Cause::HeartbeatWaiting
        | Cause::PolicyRefused
        | Cause::AgentFault
        | Cause::SecretMissing
        | Cause::BrowserMissing
        | Cause::BrowserGone
        | Cause::HostPressure => Evidence::Nothing,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

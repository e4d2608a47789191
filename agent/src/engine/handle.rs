//! How everything else asks the engine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sitepulse_daemon::exit::Exit;
use sitepulse_daemon::transport::Connection;
use sitepulse_model::check::AssignedCheck;
use sitepulse_model::control::{ControlEvent, EventId};
use sitepulse_model::id::CheckNo;
use sitepulse_model::record::ProbeResult;
use sitepulse_model::time::UtcMicros;
use sitepulse_probe::network::Witness;
use sitepulse_wire::message::Status;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::control::result::ResultView;
use crate::control::{Answer, Request};
use crate::secrets::SecretValues;
use crate::spool::writer::Gone;
use crate::state::Identity;

/// How long a person, or the collector's orders, wait for a disk that hangs.
const DISK_PATIENCE: Duration = Duration::from_secs(4);

/// What a new connection starts from.
#[derive(Debug, Clone)]
pub struct Handover {
    /// Who the agent is, with its present certificate.
    pub identity: Identity,
    /// Where collectors are.
    pub addresses: Vec<String>,
    /// Events the collector has not acknowledged.
    pub events: Vec<ControlEvent>,
    /// Revision of the assignment held.
    pub assignment_revision: u64,
}

/// How the connection fares, for `status` and for the judgement on the agent's own network.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// The collector, while connected.
    pub collector: Option<String>,
    /// The connection, while there is one.
    pub pulse: Option<Arc<Pulse>>,
    /// What is wrong, while not.
    pub trouble: Option<String>,
}

/// A connection that can be asked whether the collector is still there: one whose cable was cut looks alive for as long as its idle timeout.
#[derive(Debug)]
pub struct Pulse {
    connection: Connection,
    asked: Notify,
}

impl Pulse {
    /// Of this connection.
    pub fn new(connection: Connection) -> Self {
        Self { connection, asked: Notify::new() }
    }

    /// Waits until somebody asks. Cancel safe. Then something must be sent, which the collector's transport acknowledges.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }
}

impl Witness for Pulse {
    fn peer(&self) -> SocketAddr {
        self.connection.peer()
    }

    fn ask(&self) {
        self.asked.notify_one();
    }

    fn received(&self) -> u64 {
        self.connection.received_datagrams()
    }
}

/// Which check is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckName {
    /// By its number: the collector asks.
    Number(CheckNo),
    /// By its id: a person asks.
    Id(String),
}

/// What a run besides the schedule found, with the check's id and what it probes; or why there was none.
pub type RanNow = Result<(String, String, Box<ProbeResult>), RunNowRefused>;

/// Why a check is not run now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunNowRefused {
    /// How the command line ends.
    pub exit: Exit,
    /// Why, with the remedy.
    pub reason: String,
}

pub(super) enum Ask {
    Handover(oneshot::Sender<Handover>),
    Assign { revision: u64, checks: Vec<AssignedCheck> },
    StoreEvents { events: Vec<ControlEvent>, reply: oneshot::Sender<Vec<EventId>> },
    EventsAcked(Vec<EventId>),
    StoreAddresses(Vec<String>),
    StoreSecrets(SecretValues),
    RunNow { check: CheckName, reply: oneshot::Sender<RanNow> },
    StoreCertificate { certificate_der: Vec<u8>, expires: UtcMicros },
    Clock { offset_us: i64, uncertainty_us: u64 },
    Link(Link),
    Status(oneshot::Sender<Status>),
    Control { request: Request, reply: oneshot::Sender<Answer> },
}

/// Asks the engine. Clones share it. When the engine is gone, orders vanish and questions answer [`Gone`].
#[derive(Debug, Clone)]
pub struct EngineHandle {
    pub(super) asks: mpsc::Sender<Ask>,
}

/// Asks that may wait for the engine.
pub(super) const ASKS_MAX: usize = 256;

impl EngineHandle {
    async fn tell(&self, ask: Ask) {
        // The engine ends only with the process.
        drop(self.asks.send(ask).await);
    }

    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(make(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// What a new connection starts from.
    pub async fn handover(&self) -> Result<Handover, Gone> {
        self.ask(Ask::Handover).await
    }

    /// Runs these checks from now on.
    pub async fn assign(&self, revision: u64, checks: Vec<AssignedCheck>) {
        self.tell(Ask::Assign { revision, checks }).await;
    }

    /// Stores and applies the collector's events; answers with those that are durable. The others are kept and tried again, but a disk that
    /// hangs must not hold up the connection.
    pub async fn store_events(&self, events: Vec<ControlEvent>) -> Result<Vec<EventId>, Gone> {
        let asked = self.ask(|reply| Ask::StoreEvents { events, reply });
        tokio::time::timeout(DISK_PATIENCE, asked).await.unwrap_or_else(|_| Ok(Vec::new()))
    }

    /// The collector has these events.
    pub async fn events_acked(&self, ids: Vec<EventId>) {
        self.tell(Ask::EventsAcked(ids)).await;
    }

    /// Remembers where collectors are.
    pub async fn store_addresses(&self, addresses: Vec<String>) {
        self.tell(Ask::StoreAddresses(addresses)).await;
    }

    /// Uses these secrets, and no others, from now on; keeps them sealed.
    pub async fn store_secrets(&self, secrets: SecretValues) {
        self.tell(Ask::StoreSecrets(secrets)).await;
    }

    /// Runs a check at once, besides its schedule. No record is made of it. Answers within the check's timeout, times its attempts.
    pub async fn run_now(&self, check: CheckName) -> Result<RanNow, Gone> {
        self.ask(|reply| Ask::RunNow { check, reply }).await
    }

    /// Keeps a new certificate.
    pub async fn store_certificate(&self, certificate_der: Vec<u8>, expires: UtcMicros) {
        self.tell(Ask::StoreCertificate { certificate_der, expires }).await;
    }

    /// The clock was measured.
    pub async fn clock(&self, offset_us: i64, uncertainty_us: u64) {
        self.tell(Ask::Clock { offset_us, uncertainty_us }).await;
    }

    /// How the connection fares.
    pub async fn link(&self, link: Link) {
        self.tell(Ask::Link(link)).await;
    }

    /// How the agent fares.
    pub async fn status(&self) -> Result<Status, Gone> {
        self.ask(Ask::Status).await
    }

    /// Answers the command line.
    pub async fn control(&self, request: Request) -> Result<Answer, Gone> {
        if let Request::RunNow { check } = request {
            // As long as the check takes: no disk is asked.
            return Ok(match self.run_now(CheckName::Id(check)).await? {
                Ok((check, target, result)) => Answer::Ran(Box::new(ResultView::of(&result, Some(check), target))),
                Err(RunNowRefused { exit, reason }) => Answer::error(exit, reason),
            });
        }
        let asked = self.ask(|reply| Ask::Control { request, reply });
        tokio::time::timeout(DISK_PATIENCE, asked).await.unwrap_or_else(|_| {
            let text = "the disk of the data directory does not answer; probing goes on, an order may still take effect: ask again later";
            Ok(Answer::error(Exit::DataDir, text))
        })
    }
}

//! The shipper: keeps a connection to some collector for ever, and carries out what its [`ShipSession`] decides.
//!
//! Addresses are tried in turn, then a jittered pause. A refusal that only people can mend is an error in the log, naming the remedy, and is
//! tried again slowly; the data stays. Only a revocation ends the agent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_daemon::exit::Exit;
use sitepulse_daemon::identity::{AgentKey, IdentityError, certificate_times};
use sitepulse_daemon::task::TaskSet;
use sitepulse_daemon::transport::{Client, ClientIdentity, ConnectError, Connection, StreamError, StreamPriority};
use sitepulse_model::backoff::Backoff;
use sitepulse_model::control::ControlEvent;
use sitepulse_model::record::ProbeResult;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::frame::EncodeError;
use sitepulse_wire::message::{Lane, Refusal, RefusalCode, Status, ToAgent, ToCollector};
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use super::{Action, Opening, Settings, ShipSession, Stop, Stream};
use crate::engine::BUILD;
use crate::engine::handle::{CheckName, EngineHandle, Handover, Link, Pulse};
use crate::host;
use crate::spool::writer::{Durable, Gone, PageError, SpoolHandle};
use crate::state::Identity;

/// Messages that wait between the streams and the session.
const INBOX_MAX: usize = 64;
/// Runs besides the schedule whose outcomes wait for the session.
const RAN_MAX: usize = 64;
/// A connection that lasted so long clears what earlier troubles cost in patience.
const SETTLED_US: u64 = 5_000_000;
/// First pause after a refusal that people must mend; doubles up to the longest.
const REFUSED_US_MIN: u64 = 30_000_000;
/// Longest pause after a refusal.
const REFUSED_US_MAX: u64 = 300_000_000;
/// How long a stopping agent waits until the collector's machine has heard that the connection is closed.
const LEAVE_MAX: Duration = Duration::from_millis(200);
/// How often the same trouble is told again.
const SAY_AGAIN_US: u64 = 600_000_000;
/// Clock offset above which a warning is due.
const OFFSET_WARN_US: u64 = 2_000_000;

/// Why the shipper ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The agent stops.
    Stopped,
    /// The spool's thread or the engine ended, though nobody told them to: nothing can be shipped any more.
    SpoolGone,
    /// The collector revoked this agent; its message.
    Revoked(String),
}

/// Why one connection is over.
#[derive(Debug, Error)]
enum Trouble {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{address}: {source}")]
    Stream { address: String, source: StreamError },
    #[error("the collector at {address} says: {message}")]
    Refused { address: String, code: RefusalCode, message: String },
    #[error("the collector at {address}: {reason}")]
    Broken { address: String, reason: String },
    #[error("this agent's key or certificate cannot be used ({0}); join again with a new token")]
    Identity(#[from] IdentityError),
    #[error("no collector's address is known; name one with --collector or in the configuration file")]
    NoAddress,
    #[error("{0}")]
    Spool(String),
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// How one connection ended well.
enum Next {
    /// Connect again at once.
    Again { renew: bool },
    /// The agent stops.
    Stopped,
}

/// What came of a run besides the schedule.
type Ran = Result<Box<ProbeResult>, String>;

/// Keeps the connection.
pub struct Shipper {
    engine: EngineHandle,
    spool: SpoolHandle,
    tasks: TaskSet,
    /// Addresses to try before those the collector named.
    preferred: Vec<String>,
    local_events: mpsc::UnboundedReceiver<ControlEvent>,
    backoff: Backoff,
    refused_us: u64,
    /// What [`ShipSession::records_max`] said last, per lane.
    records_max: BTreeMap<Lane, usize>,
    said: Option<(String, clock::Monotonic)>,
}

impl Shipper {
    /// A shipper; `seed` jitters its pauses.
    pub fn new(
        engine: EngineHandle,
        spool: SpoolHandle,
        tasks: TaskSet,
        preferred: Vec<String>,
        local_events: mpsc::UnboundedReceiver<ControlEvent>,
        seed: u64,
    ) -> Self {
        Self {
            engine,
            spool,
            tasks,
            preferred,
            local_events,
            backoff: Backoff::new(seed),
            refused_us: REFUSED_US_MIN,
            records_max: BTreeMap::new(),
            said: None,
        }
    }

    /// Ships until the agent stops or is revoked.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) -> Ended {
        let mut turn = 0_usize;
        let mut renew = false;
        let mut hurried = 0;
        loop {
            let pause_us = match self.round(&mut turn, renew, &mut stopped).await {
                Ok(Next::Stopped) => return Ended::Stopped,
                Ok(Next::Again { renew: next }) => {
                    renew = next;
                    hurried += 1;
                    // A collector and an agent that disagree about a certificate must not turn in circles.
                    if hurried < 4 { 0 } else { self.backoff.next_us() }
                }
                Err(Trouble::Refused { code: RefusalCode::Revoked, message, .. }) => return Ended::Revoked(message),
                Err(Trouble::Gone(Gone)) if *stopped.borrow() => return Ended::Stopped,
                Err(Trouble::Gone(Gone)) => {
                    tracing::error!(
                        "the spool's thread ended: nothing can be shipped until the agent is started again"
                    );
                    return Ended::SpoolGone;
                }
                Err(trouble) => {
                    renew = false;
                    hurried = 0;
                    self.pause_after(&trouble).await
                }
            };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_micros(pause_us)) => {}
                _ = stopped.wait_for(|stop| *stop) => return Ended::Stopped,
            }
        }
    }

    /// Tells a trouble, and how long to wait after it.
    async fn pause_after(&mut self, trouble: &Trouble) -> u64 {
        let text = trouble.to_string();
        let for_people = match trouble {
            Trouble::Connect(error) => error.exit() == Exit::Refused || error.exit() == Exit::DataDir,
            Trouble::Refused { code, .. } => *code != RefusalCode::Unavailable,
            Trouble::Identity(_) | Trouble::NoAddress => true,
            Trouble::Stream { .. } | Trouble::Broken { .. } | Trouble::Spool(_) | Trouble::Gone(_) => false,
        };
        let now = clock::monotonic();
        let known = self.said.as_ref().is_some_and(|(said, at)| *said == text && now.us_since(*at) < SAY_AGAIN_US);
        match (known, for_people) {
            (true, _) => tracing::debug!("{text}"),
            (false, true) => tracing::error!("{text}; results are kept here until it is mended"),
            (false, false) => tracing::warn!("{text}; results are kept here, it is tried again"),
        }
        if !known {
            self.said = Some((text.clone(), now));
        }
        self.engine.link(Link { trouble: Some(text), ..Link::default() }).await;
        if for_people {
            let pause = self.refused_us;
            self.refused_us = (pause * 2).min(REFUSED_US_MAX);
            pause - pause / 4 + self.backoff.next_us().min(pause / 2)
        } else {
            self.backoff.next_us()
        }
    }

    /// Tries every address once. On a stop the connection is closed before anything of it is dropped, so that the collector hears of it at
    /// once and its stream tasks end.
    async fn round(
        &mut self,
        turn: &mut usize,
        renew: bool,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<Next, Trouble> {
        let handover = tokio::select! {
            handover = self.engine.handover() => handover?,
            _ = stopped.wait_for(|stop| *stop) => return Ok(Next::Stopped),
        };
        let mut addresses = self.preferred.clone();
        for address in &handover.addresses {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        if addresses.is_empty() {
            return Err(Trouble::NoAddress);
        }
        let identity = &handover.identity;
        let client = Client::new(ClientIdentity::Enrolled {
            ca_der: identity.ca_der.clone(),
            certificate_der: identity.certificate_der.clone(),
            key_pkcs8_der: identity.key_pkcs8_der.clone(),
        });
        let mut last = Trouble::NoAddress;
        for step in 0..addresses.len() {
            let address = addresses[(*turn + step) % addresses.len()].clone();
            let connected = tokio::select! {
                connected = client.connect(&address) => connected,
                _ = stopped.wait_for(|stop| *stop) => return Ok(Next::Stopped),
            };
            match connected {
                Ok(connection) => {
                    // Stay with what works; begin with the next one after a failure.
                    *turn = (*turn + step) % addresses.len();
                    let outcome = tokio::select! {
                        outcome = self.ship(&address, &connection, handover, renew) => outcome,
                        _ = stopped.wait_for(|stop| *stop) => Ok(Next::Stopped),
                    };
                    connection.close(0, "done");
                    if matches!(outcome, Ok(Next::Stopped)) {
                        // The process may end right after.
                        client.leave(LEAVE_MAX).await;
                    }
                    if outcome.is_err() {
                        *turn += 1;
                    }
                    return outcome;
                }
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }

    /// Drives one connection.
    async fn ship(
        &mut self,
        address: &str,
        connection: &Connection,
        handover: Handover,
        renew: bool,
    ) -> Result<Next, Trouble> {
        let mut durable = self.spool.durable();
        let Durable { incarnation, last_id } = *durable.borrow_and_update();
        let records = self.spool.figures().borrow().stats.records;
        let now = clock::now();
        let settings = settings(&handover, renew, now, incarnation, last_id, records)?;
        let mut session = ShipSession::new(settings, now, clock::monotonic());
        for (lane, records_max) in &self.records_max {
            session.limit_records(*lane, *records_max);
        }
        let (inbox_sender, mut inbox) = mpsc::channel(INBOX_MAX);
        let mut streams = Streams {
            connection: connection.clone(),
            tasks: self.tasks.clone(),
            inbox: inbox_sender,
            outboxes: BTreeMap::new(),
        };
        let (ran_sender, mut ran) = mpsc::channel(RAN_MAX);
        let pulse = Arc::new(Pulse::new(connection.clone()));
        let mut open = false;
        let mut settled = None;
        loop {
            while let Some(action) = session.poll_action() {
                if let Some(next) = self.carry_out(action, &mut session, &mut streams, &ran_sender, address).await? {
                    return Ok(next);
                }
            }
            // A collector that welcomes and then refuses (its disk is full) is not asked in a quick circle.
            if settled.is_some_and(|at| clock::monotonic().us_since(at) >= SETTLED_US) {
                settled = None;
                self.backoff.reset();
            }
            if session.is_open() && !open {
                open = true;
                settled = Some(clock::monotonic());
                self.refused_us = REFUSED_US_MIN;
                self.said = None;
                tracing::info!("connected to the collector at {address}");
                let link = Link { collector: Some(address.to_owned()), pulse: Some(pulse.clone()), trouble: None };
                self.engine.link(link).await;
            }
            let timeout = session.poll_timeout().map(clock::tokio_instant);
            let indifferent = clock::tokio_instant(session.indifferent_until());
            let news = async {
                tokio::time::sleep_until(indifferent).await;
                durable.changed().await
            };
            tokio::select! {
                Some((stream, heard)) = inbox.recv() => match heard {
                    Heard::Message(frame) => session.handle_frame(stream, frame, clock::now(), clock::monotonic()),
                    Heard::End => {
                        let reason = format!("it closed the {stream:?} stream");
                        return Err(Trouble::Broken { address: address.to_owned(), reason });
                    }
                    Heard::Lost(source) => return Err(Trouble::Stream { address: address.to_owned(), source }),
                    Heard::Unsendable { lane, number, error } => {
                        tracing::error!("{error}");
                        session.handle_unsendable(lane, number, &error.to_string());
                        self.records_max.insert(lane, session.records_max(lane));
                    }
                },
                changed = news => {
                    changed.map_err(|_| Gone)?;
                    let Durable { incarnation, last_id } = *durable.borrow_and_update();
                    session.handle_durable(incarnation, last_id, clock::monotonic());
                }
                Some(event) = self.local_events.recv() => session.handle_event(event),
                Some((ask, outcome)) = ran.recv() => session.handle_ran(ask, outcome),
                () = pulse.asked() => session.hurry_status(clock::monotonic()),
                () = sleep_until(timeout) => session.handle_timeout(clock::now(), clock::monotonic()),
            }
        }
    }

    async fn carry_out(
        &mut self,
        action: Action,
        session: &mut ShipSession,
        streams: &mut Streams,
        ran: &mpsc::Sender<(u64, Ran)>,
        address: &str,
    ) -> Result<Option<Next>, Trouble> {
        match action {
            Action::Send(stream, message) => {
                let sent = streams.send(stream, message).await;
                sent.map_err(|source| Trouble::Stream { address: address.to_owned(), source })?;
            }
            Action::ReadPage { lane, after, up_to, records_max, bytes_max } => {
                match self.spool.page(after, up_to, records_max, bytes_max).await {
                    Ok(page) => session.handle_records(lane, page, clock::monotonic()),
                    Err(PageError::Gone(Gone)) => return Err(Trouble::Gone(Gone)),
                    Err(PageError::Failed(reason)) => {
                        let Durable { incarnation, last_id } = *self.spool.durable().borrow();
                        session.handle_durable(incarnation, last_id, clock::monotonic());
                        // After damage there is another file, and the session ends by itself. What cannot be read is tried again.
                        if !session.is_over() {
                            return Err(Trouble::Spool(reason));
                        }
                    }
                }
            }
            Action::Delete { incarnation, ids } => self.spool.delete(incarnation, ids)?,
            Action::Clock { offset_us, uncertainty_us } => {
                if offset_us.unsigned_abs() > OFFSET_WARN_US {
                    tracing::warn!(
                        "this machine's clock is {:.1} s {} the collector's; check its time synchronisation",
                        offset_us.unsigned_abs() as f64 / 1e6,
                        if offset_us > 0 { "behind" } else { "ahead of" }
                    );
                }
                self.engine.clock(offset_us, uncertainty_us).await;
            }
            Action::StoreAddresses(addresses) => self.engine.store_addresses(addresses).await,
            Action::Assign { revision, checks } => self.engine.assign(revision, checks).await,
            Action::StoreEvents(events) => {
                let ids = self.engine.store_events(events).await?;
                session.handle_stored(ids);
            }
            Action::StoreSecrets(secrets) => self.engine.store_secrets(secrets).await,
            Action::RunNow { ask, check } => {
                // The connection goes on meanwhile, and may be over before the run is.
                let (engine, ran) = (self.engine.clone(), ran.clone());
                self.tasks.spawn("run now", async move {
                    let Ok(outcome) = engine.run_now(CheckName::Number(check)).await else { return };
                    let outcome = outcome.map(|(_, _, result)| result).map_err(|refused| refused.reason);
                    drop(ran.send((ask, outcome)).await);
                });
            }
            Action::EventsAcked(ids) => self.engine.events_acked(ids).await,
            Action::WantStatus => {
                let status = Status { host: host::read(), ..self.engine.status().await? };
                session.handle_status(status, clock::monotonic());
            }
            Action::StoreCertificate { certificate_der, expires } => {
                self.engine.store_certificate(certificate_der, expires).await;
            }
            Action::Stop(stop) => {
                return match stop {
                    Stop::Refused(Refusal { code, message }) => {
                        Err(Trouble::Refused { address: address.to_owned(), code, message })
                    }
                    Stop::CertificateExpired => Ok(Some(Next::Again { renew: true })),
                    Stop::Renewed | Stop::SpoolReplaced => Ok(Some(Next::Again { renew: false })),
                    Stop::Broken(reason) => Err(Trouble::Broken { address: address.to_owned(), reason }),
                };
            }
        }
        Ok(None)
    }
}

fn settings(
    handover: &Handover,
    renew: bool,
    now: UtcMicros,
    incarnation: sitepulse_model::id::Incarnation,
    boundary: u64,
    spool_records: u64,
) -> Result<Settings, IdentityError> {
    let identity: &Identity = &handover.identity;
    let (from, to) = certificate_times(&identity.certificate_der)?;
    let opening = if renew || to <= now { Opening::Renew } else { Opening::Hello };
    Ok(Settings {
        opening,
        agent: identity.agent,
        build: BUILD.to_owned(),
        incarnation,
        boundary,
        spool_records,
        assignment_revision: handover.assignment_revision,
        events: handover.events.clone(),
        renew_at: from.plus_us(to.us_since(from) / 2),
        csr_der: AgentKey::from_pkcs8_der(&identity.key_pkcs8_der)?.csr_der(&identity.name)?,
    })
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What a stream's tasks tell.
enum Heard {
    Message(ToAgent),
    /// The collector finished the stream.
    End,
    Lost(StreamError),
    /// A batch breaks the protocol's rules or does not fit into a frame.
    Unsendable {
        lane: Lane,
        number: u64,
        error: EncodeError,
    },
}

type Inbox = mpsc::Sender<(Stream, Heard)>;

/// The connection's streams: a task sends on each and a task receives, so that a full lane holds up no other.
struct Streams {
    connection: Connection,
    tasks: TaskSet,
    inbox: Inbox,
    /// Unbounded, but the session sends no more than its window.
    outboxes: BTreeMap<Stream, mpsc::UnboundedSender<ToCollector>>,
}

impl Streams {
    async fn send(&mut self, stream: Stream, message: ToCollector) -> Result<(), StreamError> {
        let outbox = match self.outboxes.get(&stream) {
            Some(outbox) => outbox,
            None => {
                let outbox = self.open(stream).await?;
                self.outboxes.entry(stream).or_insert(outbox)
            }
        };
        // A sender that ended has told why through the inbox.
        drop(outbox.send(message));
        Ok(())
    }

    async fn open(&self, stream: Stream) -> Result<mpsc::UnboundedSender<ToCollector>, StreamError> {
        let priority = match stream {
            Stream::Control => StreamPriority::Control,
            Stream::Lane(Lane::Fresh) => StreamPriority::Fresh,
            Stream::Lane(Lane::Backlog) => StreamPriority::Backlog,
        };
        let frames = self.connection.open_stream::<ToAgent, ToCollector>(priority).await?;
        let (mut sender, mut receiver) = frames.split();
        let (outbox, mut outgoing) = mpsc::unbounded_channel();
        let inbox = self.inbox.clone();
        self.tasks.spawn("ship send", async move {
            while let Some(message) = outgoing.recv().await {
                let Err(error) = sender.send(&message).await else { continue };
                let heard = match (error, message, stream) {
                    (StreamError::Encode(error), ToCollector::Batch(batch), Stream::Lane(lane)) => {
                        Heard::Unsendable { lane, number: batch.number, error }
                    }
                    (error, _, _) => Heard::Lost(error),
                };
                // The session may be over already.
                drop(inbox.send((stream, heard)).await);
                return;
            }
        });
        let inbox = self.inbox.clone();
        self.tasks.spawn("ship receive", async move {
            loop {
                let heard = match receiver.recv().await {
                    Ok(Some(message)) => Heard::Message(message),
                    Ok(None) => Heard::End,
                    Err(error) => Heard::Lost(error),
                };
                let last = !matches!(heard, Heard::Message(_));
                if inbox.send((stream, heard)).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(outbox)
    }
}

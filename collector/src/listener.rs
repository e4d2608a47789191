//! The agents' door: takes QUIC connections and drives a [`ReceiveSession`] over each, in a task of the program's set.
//!
//! Per connection: a reader per stream hands messages over one by one; a lane's reader takes a credit before it reads, and gets it
//! back when its batch is durable, so a slow disk slows the agents and fills no memory. A peer that does not read what it is sent
//! is closed after [`SEND_MAX`].

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_daemon::identity;
use sitepulse_daemon::task::TaskSet;
use sitepulse_daemon::transport::{
    Accepted, FrameReceiver, FrameSender, FrameStream, ListenError, Server, StreamError, StreamPriority,
};
use sitepulse_model::id::{AgentName, AgentNo};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::{Refusal, RefusalCode, ToAgent, ToCollector};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::app::App;
use crate::book::{Presence, PresenceCell};
use crate::receive::{Action, BATCHES_WAITING_MAX, CONTROL, PeerCertificate, ReceiveSession, StreamNo};
use crate::run_now::{Answer, Ask};

/// How long a message may wait for the peer to read.
const SEND_MAX: Duration = Duration::from_secs(15);
/// How long a close waits for the peer to have the last message.
const FLUSH_MAX: Duration = Duration::from_secs(2);
/// Close code of an orderly end.
const CLOSE_DONE: u32 = 0;
/// Most connections of one agent: more than one after an address change, until the old one's end is noticed.
const AGENT_CONNECTIONS_MAX: usize = 4;

/// Listens for agents.
#[derive(Debug)]
pub struct Listener {
    app: App,
    server: Server,
    local: SocketAddr,
}

impl Listener {
    /// Listens on `address` (UDP), with a fresh server certificate. Within a tokio runtime.
    pub fn bind(app: &App, address: SocketAddr) -> Result<Self, ListenError> {
        let authority = app.authority();
        let identity = authority
            .issue_server(clock::now())
            .map_err(|error| ListenError::Identity { address, reason: error.to_string() })?;
        let known = app.clone();
        let server = Server::bind(address, &identity, authority.certificate_der())?.with_known(move |der| {
            read_certificate(der).is_ok_and(|certificate| agent_of(&known, &certificate).is_some())
        });
        let local = server.local_address().map_err(|source| ListenError::from_io(address, source))?;
        Ok(Self { app: app.clone(), server, local })
    }

    /// Where it listens, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Takes connections until `stop` is ready, then closes them all and waits for them.
    pub async fn run(mut self, tasks: TaskSet, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let seats = Seats::default();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = self.server.accept() => accepted,
            };
            let Some(accepted) = accepted else { break };
            self.app.shared().counters.connections.fetch_add(1, Ordering::Relaxed);
            tasks.spawn(
                "agent's session",
                serve(self.app.clone(), accepted, tasks.clone(), seats.clone(), stopped.clone()),
            );
        }
        // Sessions say goodbye by themselves and drop their receivers.
        drop(stopped);
        stopping.send_replace(true);
        drop(tokio::time::timeout(FLUSH_MAX * 2, stopping.closed()).await);
        self.server.close(CLOSE_DONE, "the collector is shutting down");
        drop(tokio::time::timeout(FLUSH_MAX, self.server.wait_idle()).await);
    }
}

/// The agent that a certificate is in force for.
fn agent_of(app: &App, certificate: &PeerCertificate) -> Option<AgentNo> {
    let book = app.book();
    let agent = book.agent_by_name(&certificate.name)?;
    (agent.revoked_at.is_none() && agent.spki_sha256 == certificate.spki_sha256).then_some(agent.number)
}

/// Who holds a connection: at most [`AGENT_CONNECTIONS_MAX`] for one agent, the newest win.
#[derive(Debug, Clone, Default)]
struct Seats {
    taken: Arc<Mutex<BTreeMap<AgentNo, VecDeque<oneshot::Sender<()>>>>>,
}

impl Seats {
    /// Takes a seat; what is given is ready when a newer connection needs it.
    fn take(&self, agent: AgentNo) -> oneshot::Receiver<()> {
        let (lost, losing) = oneshot::channel();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let seats = taken.entry(agent).or_default();
        seats.retain(|seat| !seat.is_closed());
        seats.push_back(lost);
        while seats.len() > AGENT_CONNECTIONS_MAX {
            // Dropping it tells its holder.
            seats.pop_front();
        }
        losing
    }
}

/// What the writer reports of a batch.
struct Ingested {
    stream: StreamNo,
    number: u64,
    durable: bool,
}

/// What a stream brought: a message, its end, or why it broke.
type Heard = (StreamNo, Result<Option<ToCollector>, StreamError>);

/// One connection.
struct Shell {
    app: App,
    session: ReceiveSession,
    peer: SocketAddr,
    certificate: Option<PeerCertificate>,
    present: Option<(AgentNo, PresenceCell)>,
    senders: BTreeMap<StreamNo, FrameSender<ToAgent>>,
    credits: Arc<Semaphore>,
    ingested: mpsc::UnboundedSender<Ingested>,
    /// Runs that somebody wants, once the agent is welcome.
    asking: Option<mpsc::Receiver<Ask>>,
    /// Who waits for the answer of a run, by the session's number.
    replies: BTreeMap<u64, oneshot::Sender<Answer>>,
}

async fn serve(app: App, accepted: Accepted, tasks: TaskSet, seats: Seats, mut stopped: watch::Receiver<bool>) {
    let Accepted { connection, peer, certificate_der } = accepted;
    let certificate = match certificate_der.as_deref().map(read_certificate).transpose() {
        Ok(certificate) => certificate,
        Err(what) => {
            tracing::warn!(%peer, "closed a connection: {what}");
            return connection.close(CLOSE_DONE, &what);
        }
    };
    let known = certificate.as_ref().and_then(|certificate| agent_of(&app, certificate));
    let mut seat = known.map(|agent| seats.take(agent));
    let mut versions = app.shared().subscribe_versions();
    // Bounded by the session's credits.
    let (ingested, mut outcomes) = mpsc::unbounded_channel();
    let (heard, mut hearing) = mpsc::channel::<Heard>(1);
    let credits = Arc::new(Semaphore::new(BATCHES_WAITING_MAX));
    let session = ReceiveSession::new(certificate.clone(), env!("CARGO_PKG_VERSION"), app.addresses(), clock::now());
    let mut shell = Shell {
        app,
        session,
        peer,
        certificate,
        present: None,
        senders: BTreeMap::new(),
        credits,
        ingested,
        asking: None,
        replies: BTreeMap::new(),
    };
    let mut streams: StreamNo = 0;
    let reason = loop {
        let deadline = shell.session.poll_timeout();
        tokio::select! {
            stream = connection.accept_stream::<ToCollector, ToAgent>() => match stream {
                Ok(stream) => {
                    shell.take_stream(streams, stream, &heard, &tasks);
                    streams += 1;
                }
                Err(error) => break error.to_string(),
            },
            Some((stream, message)) = hearing.recv() => match message {
                Ok(Some(message)) => shell.hear(stream, message),
                Ok(None) if stream == CONTROL => break "the peer ended the control stream".into(),
                Ok(None) => {}
                Err(StreamError::Frame(error)) => shell.session.handle_bad_frame(&error.to_string()),
                Err(error) => break error.to_string(),
            },
            Some(first) = outcomes.recv() => {
                // What was committed together is acknowledged together: in one datagram, mostly.
                let others = std::iter::from_fn(|| outcomes.try_recv().ok());
                for Ingested { stream, number, durable } in std::iter::once(first).chain(others) {
                    shell.credits.add_permits(1);
                    shell.session.handle_ingested(stream, number, durable, &shell.app.book());
                }
            }
            Ok(()) = versions.changed() => shell.session.handle_book(&shell.app.book()),
            () = sleep_until(deadline), if deadline.is_some() => shell.session.handle_timeout(clock::now()),
            Some(ask) = next_ask(&mut shell.asking) => shell.ask(ask),
            () = lost(&mut seat) => break "the agent has newer connections".into(),
            _ = stopped.changed() => {
                let message = "the collector is shutting down: keep the data and come again";
                let refusal = Refusal { code: RefusalCode::Unavailable, message: message.into() };
                shell.send(CONTROL, &ToAgent::Refusal(refusal)).await;
                shell.flush().await;
                break message.into();
            }
        }
        if let Some(reason) = shell.act().await {
            break reason;
        }
    };
    connection.close(CLOSE_DONE, &reason);
    shell.leave(&reason);
}

/// Waits until a newer connection took the seat.
async fn lost(seat: &mut Option<oneshot::Receiver<()>>) {
    match seat {
        Some(seat) => drop(seat.await),
        None => std::future::pending().await,
    }
}

/// The next run that somebody wants.
async fn next_ask(asking: &mut Option<mpsc::Receiver<Ask>>) -> Option<Ask> {
    match asking {
        Some(asking) => asking.recv().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<UtcMicros>) {
    let wait_us = deadline.map_or(0, |deadline| deadline.us_since(clock::now()));
    tokio::time::sleep(Duration::from_micros(u64::try_from(wait_us).unwrap_or(0))).await;
}

fn read_certificate(der: &[u8]) -> Result<PeerCertificate, String> {
    let unusable = |what: String| format!("the client certificate is unusable: {what}: join again with a new token");
    let name = identity::common_name(der).map_err(|error| unusable(error.to_string()))?;
    let (_, not_after) = identity::certificate_times(der).map_err(|error| unusable(error.to_string()))?;
    Ok(PeerCertificate {
        name: AgentName::parse(&name).map_err(|error| unusable(error.to_string()))?,
        spki_sha256: identity::spki_sha256(der).map_err(|error| unusable(error.to_string()))?,
        not_after,
    })
}

/// Hands a stream's messages over until it ends. A lane's reader takes a credit for each message.
async fn read(
    number: StreamNo,
    mut receiver: FrameReceiver<ToCollector>,
    heard: mpsc::Sender<Heard>,
    credits: Option<Arc<Semaphore>>,
) {
    loop {
        if let Some(credits) = &credits {
            match credits.acquire().await {
                Ok(credit) => credit.forget(),
                Err(_) => return,
            }
        }
        let message = receiver.recv().await;
        let last = !matches!(message, Ok(Some(_)));
        if heard.send((number, message)).await.is_err() || last {
            return;
        }
    }
}

impl Shell {
    fn take_stream(
        &mut self,
        number: StreamNo,
        stream: FrameStream<ToCollector, ToAgent>,
        heard: &mpsc::Sender<Heard>,
        tasks: &TaskSet,
    ) {
        let (mut sender, receiver) = stream.split();
        sender.set_priority(if number == CONTROL { StreamPriority::Control } else { StreamPriority::Fresh });
        self.senders.insert(number, sender);
        let credits = (number != CONTROL).then(|| Arc::clone(&self.credits));
        tasks.spawn("agent's stream", read(number, receiver, heard.clone(), credits));
    }

    fn hear(&mut self, stream: StreamNo, message: ToCollector) {
        let now = clock::now();
        if stream != CONTROL && !matches!(message, ToCollector::Batch(_)) {
            self.credits.add_permits(1);
        }
        self.session.handle_frame(stream, message, &self.app.book(), now);
    }

    /// Hands a wish on to the session; its reply is dropped when the session cannot ask.
    fn ask(&mut self, ask: Ask) {
        let gone: Vec<u64> = self.replies.iter().filter(|(_, reply)| reply.is_closed()).map(|(ask, _)| *ask).collect();
        for ask in gone {
            self.replies.remove(&ask);
            self.session.forget_ask(ask);
        }
        if let Some(number) = self.session.handle_ask(ask.check) {
            self.replies.insert(number, ask.reply);
        }
    }

    /// Does what the session wants; the reason when it wants the connection closed.
    async fn act(&mut self) -> Option<String> {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Send(stream, message) => {
                    if matches!(message, ToAgent::Refusal(_)) {
                        self.app.shared().counters.refusals.fetch_add(1, Ordering::Relaxed);
                    }
                    if !self.send(stream, &message).await {
                        return Some("the peer does not read what it is sent".into());
                    }
                }
                Action::Welcomed { agent, build, incarnation, assignment_revision } => {
                    self.enter(agent, |presence| {
                        presence.incarnation = Some(incarnation);
                        presence.assignment_revision = Some(assignment_revision);
                    });
                    let noted =
                        self.app.writer().run(move |engine| engine.note_handshake(agent, &build, clock::now())).await;
                    match noted {
                        // The store's health tells of errors; the session works without the note.
                        Ok(Ok(()) | Err(_)) => {}
                        Err(closed) => return Some(closed.to_string()),
                    }
                }
                Action::Ingest { stream, number, job } => {
                    let ingested = self.ingested.clone();
                    let reply = move |outcome: Option<_>| {
                        // The connection may be gone: the agent sends the batch again on the next.
                        drop(ingested.send(Ingested { stream, number, durable: outcome.is_some() }));
                    };
                    if let Err(closed) = self.app.writer().ingest(job, reply).await {
                        return Some(closed.to_string());
                    }
                }
                Action::KeepEvents { agent, events } => {
                    let kept = self
                        .app
                        .writer()
                        .run(move |engine| engine.take_agent_events(agent, events, clock::now()))
                        .await;
                    self.session.handle_events_kept(kept.ok().and_then(Result::ok));
                }
                Action::Join(request) => {
                    let joined = self.app.writer().run(move |engine| engine.join(&request, clock::now())).await;
                    self.session.handle_joined(joined.ok().and_then(Result::ok));
                }
                Action::Renew { agent, csr_der } => {
                    let renewed =
                        self.app.writer().run(move |engine| engine.renew(agent, &csr_der, clock::now())).await;
                    match renewed {
                        Ok(answer) => {
                            if let Ok(ToAgent::Renewed { expires, .. }) = &answer {
                                let expires = *expires;
                                self.update(agent, |presence| presence.certificate_expires = Some(expires));
                            }
                            self.session.handle_renewed(answer);
                        }
                        Err(closed) => return Some(closed.to_string()),
                    }
                }
                Action::Status(agent, status) => {
                    let now = clock::now();
                    self.update(agent, |presence| {
                        presence.tell(status, now);
                        presence.last_seen = Some(now);
                    });
                    self.app.shared().tick();
                }
                Action::Ran { ask, outcome } => {
                    if let Some(reply) = self.replies.remove(&ask) {
                        // Whoever asked may have gone.
                        drop(reply.send(outcome));
                    }
                }
                Action::Close(reason) => {
                    self.flush().await;
                    return Some(reason);
                }
            }
        }
        None
    }

    /// Sends a message; whether the peer can be talked to still.
    async fn send(&mut self, stream: StreamNo, message: &ToAgent) -> bool {
        let Some(sender) = self.senders.get_mut(&stream) else { return true };
        match tokio::time::timeout(SEND_MAX, sender.send(message)).await {
            Ok(Ok(())) => true,
            Ok(Err(StreamError::Encode(error))) => {
                tracing::error!(peer = %self.peer, "a message to an agent cannot be sent: {error}");
                false
            }
            // The connection's own end tells why.
            Ok(Err(_)) => true,
            Err(_) => false,
        }
    }

    /// Waits until the peer has what the control stream carried last.
    async fn flush(&mut self) {
        let Some(sender) = self.senders.get_mut(&CONTROL) else { return };
        let flushed = async {
            sender.finish().await?;
            sender.drained().await
        };
        // Whatever comes of it, the connection is closed next.
        drop(tokio::time::timeout(FLUSH_MAX, flushed).await);
    }

    fn update(&self, agent: AgentNo, update: impl FnOnce(&mut Presence)) {
        if let Some((_, presence)) = self.present.as_ref().filter(|(present, _)| *present == agent) {
            presence.update(update);
        }
    }

    fn enter(&mut self, agent: AgentNo, update: impl FnOnce(&mut Presence)) {
        self.present = self.app.book().agent(agent).map(|known| (agent, known.presence.clone()));
        let (peer, expires) =
            (self.peer.to_string(), self.certificate.as_ref().map(|certificate| certificate.not_after));
        self.update(agent, |presence| {
            presence.connections += 1;
            presence.connected = true;
            presence.peer = Some(peer);
            presence.last_seen = Some(clock::now());
            presence.certificate_expires = expires;
            update(presence);
        });
        self.asking = Some(self.app.shared().runs.enter(agent));
        tracing::info!(%agent, peer = %self.peer, "agent connected");
    }

    fn leave(&self, reason: &str) {
        self.credits.close();
        let Some((agent, presence)) = &self.present else {
            return tracing::info!(peer = %self.peer, "connection ended: {reason}");
        };
        presence.update(|presence| {
            presence.connections = presence.connections.saturating_sub(1);
            presence.connected = presence.connections > 0;
            presence.last_seen = Some(clock::now());
        });
        self.app.shared().tick();
        tracing::info!(%agent, peer = %self.peer, "agent disconnected: {reason}");
    }
}

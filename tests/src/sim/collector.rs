//! The simulated collector: the real engine over files, with one real receive session per connection, wired as
//! `sitepulse_collector::{listener, writer}` wire them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sitepulse_agent::state::Identity;
use sitepulse_collector::engine::Engine;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_collector::receive::{Action, BATCHES_WAITING_MAX, CONTROL, PeerCertificate, ReceiveSession};
use sitepulse_collector::store::FILE;
use sitepulse_daemon::identity::{AgentKey, CertificateAuthority};
use sitepulse_model::id::{AgentName, Region};
use sitepulse_model::record::Record;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::frame::{FrameDecoder, Message as _, PUSH_BYTES_MAX};
use sitepulse_wire::message::{JoinRequest, RefusalCode, ToAgent, ToCollector};

use super::rng::Rng;
use super::{START, disk};

/// Keys are random and cost time; nothing depends on them, so all worlds of a process share one authority.
fn authority() -> CertificateAuthority {
    static PEM: OnceLock<(String, String)> = OnceLock::new();
    let (certificate, key) = PEM.get_or_init(|| {
        let authority = CertificateAuthority::create(START).expect("an authority is made");
        (authority.certificate_pem().to_owned(), authority.key_pem().to_owned())
    });
    CertificateAuthority::load(certificate, key).expect("the authority loads")
}

/// Opens an engine over the files in `dir`.
pub(super) fn open(dir: &Path, now: UtcMicros) -> Engine {
    Engine::open(dir, authority(), 1, now).expect("the store opens")
}

/// One stream of a connection: bytes that came, and what takes them apart.
#[derive(Default)]
struct Inbox {
    bytes: Vec<u8>,
    decoder: FrameDecoder,
}

/// A connection from the collector's side.
pub(super) struct Peer {
    session: ReceiveSession,
    inboxes: BTreeMap<u32, Inbox>,
    credits: usize,
    version: u64,
    ended: bool,
}

/// What the collector asks of the world.
#[derive(Debug)]
pub(super) enum Wish {
    /// Bytes for a connection.
    Send { connection: u64, stream: u32, bytes: Vec<u8> },
    /// It is done with a connection, once what was sent is there.
    Close { connection: u64 },
}

struct Waiting {
    connection: u64,
    stream: u32,
    number: u64,
    job: IngestJob,
}

/// A result that became durable.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Its slot on its agent's clock.
    pub scheduled: UtcMicros,
    /// When it became durable, true time.
    pub stored_us: i64,
}

/// The collector with its disk. Survives its processes.
pub struct Collector {
    root: PathBuf,
    dir: PathBuf,
    lives: u32,
    /// The process, while it runs.
    pub engine: Option<Engine>,
    pub(super) peers: BTreeMap<u64, Peer>,
    waiting: Vec<Waiting>,
    /// When what waits is committed.
    pub(super) commit_at: Option<i64>,
    /// Dies between the next commit and its acks.
    pub dies_after_commit: bool,
    /// The disk takes no growth.
    pub disk_full: bool,
    /// How many transactions took batches in.
    commits: u64,
    /// Results in the order of their commits.
    pub arrivals: Vec<Arrival>,
    /// What must never happen.
    pub broken: Vec<String>,
}

impl Collector {
    pub(super) fn new(root: PathBuf) -> Self {
        let dir = root.join("0");
        std::fs::create_dir_all(&dir).expect("a folder");
        let mut engine = open(&dir, START);
        engine.set_addresses(vec!["collector:8443".to_owned()]).expect("the store takes addresses");
        Self {
            root,
            dir,
            lives: 0,
            engine: Some(engine),
            peers: BTreeMap::new(),
            waiting: Vec::new(),
            commit_at: None,
            dies_after_commit: false,
            disk_full: false,
            commits: 0,
            arrivals: Vec::new(),
            broken: Vec::new(),
        }
    }

    /// Enrols an agent.
    pub(super) fn enrol(&mut self, name: &str, region: &Region) -> Identity {
        let engine = self.engine.as_mut().expect("the collector runs");
        let token = engine.create_join_token(region.clone(), 3_600_000_000, START).expect("a token").token;
        let name = AgentName::parse(name).expect("a name");
        let key = AgentKey::generate().expect("a key");
        let request = JoinRequest {
            protocol_min: 1,
            protocol_max: 1,
            secret: token.secret,
            csr_der: key.csr_der(&name).expect("a request"),
            name: Some(name),
            build: "0.0.0".to_owned(),
        };
        let joined = engine.join(&request, START).expect("the store writes").expect("the agent is taken");
        Identity {
            name: joined.name,
            agent: joined.agent,
            region: joined.region,
            key_pkcs8_der: key.pkcs8_der().to_vec(),
            certificate_der: joined.certificate_der,
            certificate_expires: joined.expires,
            ca_der: joined.ca_der,
            token_digest: String::new(),
        }
    }

    /// Whether it takes connections.
    pub fn is_running(&self) -> bool {
        self.engine.is_some()
    }

    /// Where its files are now.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Copies the files as a kill would leave them, to look into.
    pub(super) fn copy(&self, to: &Path) {
        disk::survive(&self.dir, to, &[FILE], None);
    }

    /// `kill -9`, or a power cut: what is committed stays.
    pub(super) fn kill(&mut self, power: Option<&mut Rng>) {
        self.lives += 1;
        let dir = self.root.join(self.lives.to_string());
        disk::survive(&self.dir, &dir, &[FILE], power);
        self.engine = None;
        drop(std::fs::remove_dir_all(&self.dir));
        self.dir = dir;
        self.peers.clear();
        self.waiting.clear();
        self.commit_at = None;
        self.dies_after_commit = false;
    }

    pub(super) fn start(&mut self, now: i64) {
        self.engine = Some(open(&self.dir, START.plus_us(now)));
        self.set_disk_full(self.disk_full);
    }

    /// Fills the disk, or makes room again.
    pub(super) fn set_disk_full(&mut self, full: bool) {
        self.disk_full = full;
        if let Some(engine) = &mut self.engine {
            engine.store().limit_pages(u32::from(full)).expect("the limit is set");
        }
    }

    /// A connection came in.
    pub(super) fn accept(&mut self, connection: u64, identity: &Identity, now: UtcMicros) {
        let Some(engine) = &self.engine else { return };
        let book = engine.shared().book();
        let agent = book.agent(identity.agent).expect("an enrolled agent is known");
        let certificate =
            PeerCertificate { name: agent.name.clone(), spki_sha256: agent.spki_sha256, not_after: UtcMicros::MAX };
        let session = ReceiveSession::new(Some(certificate), "0.0.0", engine.shared().addresses(), now);
        let version = book.version();
        let peer = Peer { session, inboxes: BTreeMap::new(), credits: BATCHES_WAITING_MAX, version, ended: false };
        self.peers.insert(connection, peer);
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<i64> {
        let deadlines = self.peers.values().filter_map(|peer| peer.session.poll_timeout());
        deadlines.map(|at| at.us_since(START)).chain(self.commit_at).min()
    }

    /// Bytes came in on a connection.
    pub(super) fn receive(
        &mut self,
        connection: u64,
        stream: u32,
        bytes: &[u8],
        now: i64,
        rng: &mut Rng,
        wishes: &mut Vec<Wish>,
    ) {
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        peer.inboxes.entry(stream).or_default().bytes.extend_from_slice(bytes);
        self.read(connection, now, rng, wishes);
    }

    /// Takes messages out of a connection's streams, as far as its credits go.
    fn read(&mut self, connection: u64, now: i64, rng: &mut Rng, wishes: &mut Vec<Wish>) {
        let Some(engine) = &mut self.engine else { return };
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        let shared = Arc::clone(engine.shared());
        for number in 0..peer.inboxes.len() as u32 {
            loop {
                if peer.ended || (number != CONTROL && peer.credits == 0) {
                    break;
                }
                let Some(inbox) = peer.inboxes.get_mut(&number) else { break };
                match inbox.decoder.next::<ToCollector>() {
                    Ok(Some(message)) => {
                        if matches!(message, ToCollector::Batch(_)) {
                            peer.credits -= 1;
                        }
                        peer.session.handle_frame(number, message, &shared.book(), START.plus_us(now));
                    }
                    Ok(None) if inbox.bytes.is_empty() => break,
                    Ok(None) => {
                        let length = inbox.bytes.len().min(PUSH_BYTES_MAX);
                        let piece: Vec<u8> = inbox.bytes.drain(..length).collect();
                        if let Err(error) = inbox.decoder.push(&piece) {
                            peer.session.handle_bad_frame(&error.to_string());
                        }
                    }
                    Err(error) => peer.session.handle_bad_frame(&error.to_string()),
                }
                act(engine, connection, peer, &mut self.waiting, &mut self.broken, now, wishes);
            }
        }
        if !self.waiting.is_empty() && self.commit_at.is_none() {
            self.commit_at = Some(now + rng.range(1_000, 20_000));
        }
        self.spread(now, wishes);
    }

    /// Tells every session of changes of the book.
    pub(super) fn spread(&mut self, now: i64, wishes: &mut Vec<Wish>) {
        let Some(engine) = &mut self.engine else { return };
        let shared = Arc::clone(engine.shared());
        for (connection, peer) in &mut self.peers {
            let version = shared.book().version();
            if peer.version != version {
                peer.version = version;
                peer.session.handle_book(&shared.book());
                act(engine, *connection, peer, &mut self.waiting, &mut self.broken, now, wishes);
            }
        }
    }

    /// Does what is due; whether the collector died of it.
    #[must_use]
    pub(super) fn tick(&mut self, now: i64, rng: &mut Rng, wishes: &mut Vec<Wish>) -> bool {
        let Some(engine) = &mut self.engine else { return false };
        for (connection, peer) in &mut self.peers {
            if peer.session.poll_timeout().is_some_and(|at| at <= START.plus_us(now)) {
                peer.session.handle_timeout(START.plus_us(now));
                act(engine, *connection, peer, &mut self.waiting, &mut self.broken, now, wishes);
            }
        }
        if self.commit_at.is_none_or(|at| at > now) {
            return false;
        }
        self.commit_at = None;
        let waiting = std::mem::take(&mut self.waiting);
        let (replies, jobs): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|one| ((one.connection, one.stream, one.number), one.job)).unzip();
        let slots: Vec<UtcMicros> = jobs
            .iter()
            .flat_map(|job| &job.batch.entries)
            .filter(|entry| matches!(entry.record, Record::Result(_)))
            .map(|entry| entry.record.scheduled())
            .collect();
        let stored = engine.ingest(jobs);
        if stored.is_ok() {
            self.arrivals.extend(slots.into_iter().map(|scheduled| Arrival { scheduled, stored_us: now }));
            self.commits += 1;
            age(engine, self.commits);
            if std::mem::take(&mut self.dies_after_commit) {
                return true;
            }
        }
        let shared = Arc::clone(engine.shared());
        let mut touched = Vec::new();
        for (connection, stream, number) in replies {
            let Some(peer) = self.peers.get_mut(&connection) else { continue };
            peer.credits += 1;
            peer.session.handle_ingested(stream, number, stored.is_ok(), &shared.book());
            act(engine, connection, peer, &mut self.waiting, &mut self.broken, now, wishes);
            touched.push(connection);
        }
        for connection in touched {
            self.read(connection, now, rng, wishes);
        }
        false
    }
}

/// Now and then seals a few buckets and leaves it there, as a kill would; seals all; merges. A full disk refuses, and that is all.
fn age(engine: &mut Engine, commits: u64) {
    match commits % 11 {
        3 => drop(engine.seal_buckets(2)),
        6 => drop(engine.seal_now()),
        9 => drop(engine.compact_now()),
        _ => {}
    }
}

/// Does what a session wants.
fn act(
    engine: &mut Engine,
    connection: u64,
    peer: &mut Peer,
    waiting: &mut Vec<Waiting>,
    broken: &mut Vec<String>,
    now: i64,
    wishes: &mut Vec<Wish>,
) {
    let at = START.plus_us(now);
    while let Some(action) = peer.session.poll_action() {
        match action {
            Action::Send(stream, message) => {
                if let ToAgent::Refusal(refusal) = &message
                    && refusal.code != RefusalCode::Unavailable
                {
                    broken.push(format!("an agent was refused: {refusal:?}"));
                }
                let bytes = message.encode().expect("the collector's messages can be sent");
                wishes.push(Wish::Send { connection, stream, bytes });
            }
            // A store that takes nothing loses the note, and the session goes on.
            Action::Welcomed { agent, build, .. } => drop(engine.note_handshake(agent, &build, at)),
            Action::Ingest { stream, number, job } => waiting.push(Waiting { connection, stream, number, job }),
            Action::KeepEvents { agent, events } => {
                peer.session.handle_events_kept(engine.take_agent_events(agent, events, at).ok());
            }
            Action::Join(_) | Action::Renew { .. } => broken.push("somebody asks for a certificate".to_owned()),
            Action::Status(_, _) => {}
            Action::Ran { .. } => broken.push("somebody answers a run that nobody asked for".to_owned()),
            Action::Close(_) => {
                peer.ended = true;
                wishes.push(Wish::Close { connection });
            }
        }
    }
}

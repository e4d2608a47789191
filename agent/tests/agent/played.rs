//! The other side of the program: a collector, a site and its own command line.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_daemon::identity::CertificateAuthority;
use sitepulse_daemon::task::TaskSet;
use sitepulse_daemon::transport::{Accepted, ConnectionLost, FrameStream, Server};
use sitepulse_model::check::{AssignedCheck, CheckDefinition, CheckKind};
use sitepulse_model::control::{ControlEvent, Weight};
use sitepulse_model::id::{AgentName, AgentNo, CheckId, CheckNo, Region, Revision};
use sitepulse_model::quorum::Quorum;
use sitepulse_model::record::{ProbeResult, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_wire::message::{
    ASSIGNMENT_PART_MAX, Ack, AssignmentPart, Entry, Joined, PROTOCOL, Refusal, RefusalCode, SecretsPart, ToAgent,
    ToCollector, Welcome,
};
use sitepulse_wire::token::JoinToken;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const SECRET: [u8; 32] = [7; 32];

/// What the played collector knows.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) entries: BTreeMap<(u64, u8, u64), Entry>,
    pub(crate) events: Vec<ControlEvent>,
    pub(crate) statuses: usize,
    /// Connections that the agent closed in so many words.
    pub(crate) goodbyes: usize,
    pub(crate) revoked: bool,
    pub(crate) token_expired: bool,
    /// Nobody is welcome.
    pub(crate) away: bool,
    pub(crate) secrets: Vec<(String, String)>,
    /// Checks to run now, asked for with the next status; the asks are numbered from 1.
    pub(crate) run_now: Vec<CheckNo>,
    pub(crate) asked: u64,
    pub(crate) ran: BTreeMap<u64, Result<Box<ProbeResult>, String>>,
}

pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    pub(crate) book: Arc<Mutex<Book>>,
    pub(crate) pin: [u8; 32],
}

pub(crate) struct Shared {
    pub(crate) ca: CertificateAuthority,
    pub(crate) address: SocketAddr,
    pub(crate) book: Arc<Mutex<Book>>,
    pub(crate) checks: Vec<AssignedCheck>,
}

impl Collector {
    pub(crate) fn start(checks: Vec<AssignedCheck>) -> Self {
        let ca = CertificateAuthority::create(clock::now()).unwrap();
        let pin = ca.pin();
        let book = Arc::new(Mutex::new(Book::default()));
        let (tell, told) = std::sync::mpsc::channel();
        let kept = book.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let identity = ca.issue_server(clock::now()).unwrap();
                let mut server = Server::bind("127.0.0.1:0".parse().unwrap(), &identity, ca.certificate_der()).unwrap();
                let address = server.local_address().unwrap();
                tell.send(address).unwrap();
                let shared = Arc::new(Shared { ca, address, book: kept, checks });
                let tasks = TaskSet::new();
                while let Some(accepted) = server.accept().await {
                    tasks.spawn("connection", converse(shared.clone(), accepted, tasks.clone()));
                }
            });
        });
        Self { address: told.recv().unwrap(), book, pin }
    }

    pub(crate) fn token(&self) -> String {
        JoinToken::new(vec![self.address.to_string()], self.pin, SECRET).unwrap().to_string()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.book.lock().unwrap().entries.values().map(|entry| entry.record.clone()).collect()
    }
}

async fn converse(shared: Arc<Shared>, accepted: Accepted, tasks: TaskSet) {
    let connection = accepted.connection;
    while let Ok(stream) = connection.accept_stream::<ToCollector, ToAgent>().await {
        let known = accepted.certificate_der.is_some();
        tasks.spawn("stream", answer(shared.clone(), stream, known));
    }
    if matches!(connection.closed().await, ConnectionLost::Closed { code: 0, .. }) {
        shared.book.lock().unwrap().goodbyes += 1;
    }
}

async fn answer(shared: Arc<Shared>, mut stream: FrameStream<ToCollector, ToAgent>, known: bool) {
    while let Ok(Some(message)) = stream.recv().await {
        let mut answers = Vec::new();
        match message {
            ToCollector::Join(join) => {
                let (expired, good) = {
                    let book = shared.book.lock().unwrap();
                    (book.token_expired, join.secret == SECRET)
                };
                if expired || !good {
                    let code = if good { RefusalCode::TokenExpired } else { RefusalCode::TokenUnknown };
                    answers.push(ToAgent::Refusal(Refusal { code, message: "the token is over".into() }));
                } else {
                    let name = join.name.unwrap_or_else(|| AgentName::parse("chosen").unwrap());
                    let issued = shared.ca.issue_agent(&name, &join.csr_der, clock::now()).unwrap();
                    answers.push(ToAgent::Joined(Joined {
                        agent: AgentNo(3),
                        name,
                        region: Region::parse("eu-west").unwrap(),
                        certificate_der: issued.certificate_der,
                        ca_der: shared.ca.certificate_der().to_vec(),
                        expires: issued.expires,
                        addresses: vec![shared.address.to_string()],
                    }));
                }
            }
            ToCollector::Hello(hello) => {
                assert!(known, "a hello needs a certificate");
                if shared.book.lock().unwrap().revoked {
                    let message = "this agent was revoked".to_owned();
                    answers.push(ToAgent::Refusal(Refusal { code: RefusalCode::Revoked, message }));
                } else if shared.book.lock().unwrap().away {
                    let message = "come again".to_owned();
                    answers.push(ToAgent::Refusal(Refusal { code: RefusalCode::Unavailable, message }));
                } else {
                    let follows = hello.assignment_revision != 1;
                    answers.push(ToAgent::Welcome(Welcome {
                        protocol: PROTOCOL,
                        build: "test".into(),
                        received_at: clock::now(),
                        sent_at: clock::now(),
                        agent: AgentNo(3),
                        addresses: vec![shared.address.to_string()],
                        assignment_follows: follows,
                        backlog_per_s: 10_000,
                    }));
                    let secrets = shared.book.lock().unwrap().secrets.clone();
                    answers.push(ToAgent::Secrets(SecretsPart { part: 0, parts: 1, secrets }));
                    if follows {
                        let parts: Vec<_> = shared.checks.chunks(ASSIGNMENT_PART_MAX).map(<[_]>::to_vec).collect();
                        let count = parts.len().max(1) as u32;
                        if parts.is_empty() {
                            let checks = Vec::new();
                            answers.push(ToAgent::Assignment(AssignmentPart {
                                revision: 1,
                                part: 0,
                                parts: 1,
                                checks,
                            }));
                        }
                        for (part, checks) in (0..).zip(parts) {
                            answers.push(ToAgent::Assignment(AssignmentPart {
                                revision: 1,
                                part,
                                parts: count,
                                checks,
                            }));
                        }
                    }
                }
            }
            ToCollector::Batch(batch) => {
                let mut book = shared.book.lock().unwrap();
                for entry in batch.entries {
                    let key = (batch.incarnation.0, entry.bucket.0, entry.seq.0);
                    if let Some(before) = book.entries.insert(key, entry.clone()) {
                        assert_eq!(before.record, entry.record, "a key names one record for ever");
                    }
                }
                answers.push(ToAgent::Ack(Ack { number: batch.number, backlog_per_s: 10_000 }));
            }
            ToCollector::Control(events) => {
                answers.push(ToAgent::ControlAck(events.iter().map(|event| event.id.clone()).collect()));
                shared.book.lock().unwrap().events.extend(events);
            }
            ToCollector::Status(_) => {
                let mut book = shared.book.lock().unwrap();
                book.statuses += 1;
                for check in std::mem::take(&mut book.run_now) {
                    book.asked += 1;
                    answers.push(ToAgent::RunNow { ask: book.asked, check });
                }
            }
            ToCollector::Ran { ask, outcome } => {
                let before = shared.book.lock().unwrap().ran.insert(ask, outcome);
                assert_eq!(before, None, "an ask has one answer");
            }
            ToCollector::LaneOpen(_) | ToCollector::ControlAck(_) | ToCollector::Renew { .. } => {}
        }
        for answer in answers {
            if stream.send(&answer).await.is_err() {
                return;
            }
        }
    }
}

pub(crate) fn check(number: u32, id: &str, url: String) -> AssignedCheck {
    AssignedCheck {
        number: CheckNo(number),
        revision: Revision(1),
        definition: CheckDefinition {
            id: CheckId::parse(id).unwrap(),
            kind: CheckKind::http(url),
            interval_us: 1_000_000,
            timeout_us: 500_000,
            retries: 0,
            weight: Weight::ONE,
            regions: None,
            quorum: Quorum::parse("majority").unwrap(),
            confirmations: 2,
            recoveries: 1,
            expect: Vec::new(),
        },
    }
}

/// A site that answers everything with 200 until it is dropped.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) over: Arc<AtomicBool>,
    pub(crate) hits: Arc<AtomicUsize>,
    /// The last request.
    pub(crate) request: Arc<Mutex<String>>,
}

impl Site {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let end = over.clone();
        let hits = Arc::new(AtomicUsize::new(0));
        let count = hits.clone();
        let request = Arc::new(Mutex::new(String::new()));
        let last = request.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                count.fetch_add(1, Ordering::Relaxed);
                let mut request = [0; 1024];
                let read = stream.read(&mut request).unwrap_or(0);
                *last.lock().unwrap() = String::from_utf8_lossy(&request[..read]).into_owned();
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
            }
        });
        Self { address, over, hits, request }
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::Relaxed)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(std::net::TcpStream::connect(self.address));
    }
}

pub(crate) fn agent(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sitepulse-agent"));
    command
        .args(arguments)
        .arg("--data-dir")
        .arg(dir)
        .env_remove("SITEPULSE_AGENT_DATA_DIR")
        .env("SITEPULSE_ALLOW", "loopback");
    command
}

pub(crate) fn ask(dir: &Path, arguments: &[&str]) -> Output {
    agent(dir, arguments).output().unwrap()
}

pub(crate) fn json(dir: &Path, arguments: &[&str]) -> serde_json::Value {
    let output = ask(dir, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// An agent's daemon; killed when dropped.
pub(crate) struct Daemon(pub(crate) Child);

impl Daemon {
    pub(crate) fn start(dir: &Path) -> Self {
        Self(agent(dir, &["run"]).stderr(Stdio::inherit()).spawn().unwrap())
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn terminate(mut self) -> std::process::ExitStatus {
        let killed = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(killed.success());
        self.0.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = clock::monotonic();
    while !holds() {
        assert!(clock::monotonic().since(begin) < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn results(records: &[Record], check: u32) -> usize {
    records.iter().filter(|record| matches!(record, Record::Result(result) if result.check == CheckNo(check))).count()
}

/// Every slot of the check from its first to its last record has exactly one record.
pub(crate) fn every_slot_once(records: &[Record], check: &AssignedCheck, agent: &str) {
    let lattice = Lattice::new(&check.definition.id, &AgentName::parse(agent).unwrap(), check.definition.interval_us);
    let mut slots = BTreeSet::new();
    for record in records.iter().filter(|record| record.check() == check.number) {
        let (first, last) = match record {
            Record::Result(result) => (result.scheduled, result.scheduled),
            Record::Missed(missed) => {
                assert_eq!(missed.count, lattice.count(missed.first, missed.last));
                (missed.first, missed.last)
            }
            Record::Dropped(dropped) => panic!("{dropped:?}"),
        };
        let mut slot = first;
        while slot <= last {
            assert!(slots.insert(slot), "slot {slot:?} has two records");
            assert_eq!(lattice.at_or_before(slot), slot);
            slot = lattice.after(slot);
        }
    }
    let (Some(first), Some(last)) = (slots.first().copied(), slots.last().copied()) else { return };
    assert_eq!(slots.len() as u64, lattice.count(first, last), "a slot has no record");
}

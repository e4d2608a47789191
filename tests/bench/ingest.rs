//! What a result costs the collector from the socket to the ack, beside a bare floor in the same run: QUIC receive, decode, dedupe,
//! rows in one `synchronous=FULL` transaction, a rollup in memory, ack, and nothing else. Both take the same batches from the same sender, in turn.
//! VictoriaMetrics, where it is installed, takes the same results as Influx lines, as many a request as a batch has, over plain HTTP and without a FULL commit.
//!
//! Rollups are made when results are sealed, half a day of them at a time: what that costs is measured in the same run with the same kind of results, and told for
//! itself and added to what taking them in costs ([`rollups`]).
//!
//!     cargo bench -p sitepulse-tests --bench ingest
//!
//! CPU is that of the receiving process (user and system, all threads). `SITEPULSE_BENCH_RECORDS` sets the records of a round
//! (default 200,000).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;

use sitepulse_collector::app::ApplyOptions;
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_daemon::clock;
use sitepulse_daemon::identity::{AgentKey, CertificateAuthority};
use sitepulse_daemon::transport::{Client, ClientIdentity, FrameStream, Server};
use sitepulse_model::id::{AgentName, Bucket, CheckId, CheckNo, Incarnation, Region, Revision, Seq};
use sitepulse_model::record::{Facts, Phases, ProbeResult, ProbeState, Provenance, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::time::UtcMicros;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process::Daemon;
use sitepulse_tests::victoria::Victoria;
use sitepulse_tests::{usage, wait};
use sitepulse_wire::frame::Message;
use sitepulse_wire::message::{
    Ack, Batch, Entry, Hello, JoinRequest, Lane, PROTOCOL, PROTOCOL_MIN, ToAgent, ToCollector,
};

const CHECKS: u32 = 1000;
const ROUNDS: usize = 5;
const WINDOW: usize = 4;
const HOUR_US: i64 = 3_600_000_000;

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("floor") {
        floor(Path::new(&args.next().expect("a folder")));
        return;
    }
    let records: usize =
        std::env::var("SITEPULSE_BENCH_RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);

    let mut cluster = Cluster::start();
    let checks: String = (0..CHECKS)
        .map(|n| {
            format!("[[check]]\nid = \"c{n:04}\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\ninterval = \"60s\"\n")
        })
        .collect();
    cluster.apply(&checks).ok();
    cluster.join("bench", "eu-west");
    let state = rusqlite::Connection::open(cluster.agent_dir("bench").join("state.db")).expect("the state opens");
    let identity = state
        .query_row("SELECT ca, certificate, key_pkcs8 FROM identity", [], |row| {
            Ok(ClientIdentity::Enrolled {
                ca_der: row.get(0)?,
                certificate_der: row.get(1)?,
                key_pkcs8_der: row.get(2)?,
            })
        })
        .expect("an identity");
    let real = Peer {
        pid: cluster.collector.as_ref().expect("it runs").pid(),
        address: cluster.listen().to_owned(),
        client: Client::new(identity),
    };

    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable");
    let daemon = Daemon::start(
        Command::new(std::env::current_exe().expect("a running bench has a path")).arg("floor").arg(dir.path()),
        &dir.path().join("floor.log"),
    );
    let file =
        |name: &str| std::fs::read(dir.path().join(name)).map_err(|error| format!("{name}: {error}; {}", daemon.log()));
    let address = wait::until("the floor is up", 10, || file("address"));
    let bare = Peer {
        pid: daemon.pid(),
        address: String::from_utf8(address).expect("an address"),
        client: Client::new(ClientIdentity::Enrolled {
            ca_der: file("ca").expect("written before the address"),
            certificate_der: file("certificate").expect("written before the address"),
            key_pkcs8_der: file("key").expect("written before the address"),
        }),
    };

    // Before VictoriaMetrics starts: it closes a connection that is silent for seconds.
    let (sealing_us, rollups_us) = rollups(&checks);
    println!(
        "sealed by half days: {sealing_us:.2} us of CPU per result, of which {rollups_us:.2} us are the rollups (read, made and set; by the clock, without their share of the commits)"
    );
    let victoria = Victoria::start(dir.path());

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // From now on into the next day, which clocks may differ by: what lies in the past is late and costs its amendments too, see `ledger amend`.
    let mut next = clock::now().0;
    next -= next % 60_000_000;
    let mut sent = 0;
    for batch in [1000, 100] {
        let (mut ours, mut floors, mut ratios, mut wire) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
        let (mut theirs, mut over) = (Vec::new(), Vec::new());
        // Whole rounds of all checks: a part of one would name slots that the next names again.
        let records = (records * batch.min(500) / 500).next_multiple_of(CHECKS as usize);
        for round in 0..=ROUNDS {
            let rows = generate(records, next);
            next += (records as i64 / i64::from(CHECKS)) * 60_000_000;
            let batches = batches(rows, batch);
            wire = batches
                .iter()
                .map(|batch| ToCollector::Batch(batch.clone()).encode().expect("it encodes").len())
                .sum::<usize>() as f64
                / records as f64;
            sent += records;
            let floor = runtime.block_on(bare.take(&batches)) as f64 / records as f64;
            let our = runtime.block_on(real.take(&batches)) as f64 / records as f64;
            let their = victoria.as_ref().map(|victoria| take_lines(victoria, &batches) as f64 / records as f64);
            if round == 0 {
                continue; // warm-up
            }
            theirs.extend(their);
            over.extend(their.map(|their| their / our));
            floors.push(floor);
            ours.push(our);
            ratios.push(our / floor);
        }
        let (our, floor) = (usage::median(&mut ours), usage::median(&mut floors));
        println!(
            "batches of {batch:>4}: collector {our:.2} us, floor {floor:.2} us of CPU per result, ratio {:.2}; {wire:.1} bytes per result on the wire; medians of {ROUNDS} pairs x {records} results",
            usage::median(&mut ratios)
        );
        let whole = our + rollups_us;
        println!("    with rollups {whole:.2} us (goal <= 1.2), {:.2} of the floor (goal <= 1.35)", whole / floor);
        if !theirs.is_empty() {
            let their = usage::median(&mut theirs);
            println!(
                "    VictoriaMetrics {their:.2} us of CPU per result, the collector costs 1/{:.1} of it, with rollups 1/{:.1} (goal <= 1/3.5)",
                usage::median(&mut over),
                their / whole
            );
        }
    }
    // A figure about records that were set aside would be none.
    let agents = cluster.ctl(&["agents", "--json"]).json();
    assert_eq!(agents[0]["conservation"]["stored"], sent, "not all that was sent was stored");
    cluster.stop_collector();
    let began = clock::monotonic();
    cluster.start_collector();
    let log = cluster.collector.as_ref().expect("it runs").log();
    let rebuilt = log.lines().rfind(|line| line.contains("the book is rebuilt")).unwrap_or("");
    println!("start again: {} ms until it answers; {rebuilt}", clock::monotonic().us_since(began) / 1000);
}

/// What sealing costs, and what of its time goes into rollups, in microseconds a result: the same kind of results, taken in by a collector's engine in this process as
/// they would come in over two days, and sealed a little after each noon and midnight, as they are by default. The second day is measured: by then
/// each seal finds what the one before it left of the day.
fn rollups(checks: &str) -> (f64, f64) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable");
    let now = clock::now().0;
    let midnight = now - now.rem_euclid(24 * HOUR_US) - 4 * 24 * HOUR_US;
    let start = UtcMicros(midnight);
    let authority = CertificateAuthority::create(start).expect("a CA");
    let mut engine = Engine::open(dir.path(), authority, 1, start).expect("the store opens");
    engine.set_addresses(vec!["collector:8443".to_owned()]).expect("the store takes addresses");
    let source = Source { name: "bench.toml".into(), text: checks.to_owned() };
    let options = ApplyOptions { prune: false, dry_run: false, author: "collector:bench".to_owned() };
    engine.apply(checkfile::parse(&[source]).expect("they are valid"), &options, start).expect("they are applied");
    let token = engine.create_join_token(Region::parse("eu-west").expect("a slug"), HOUR_US as u64, start);
    let (key, name) = (AgentKey::generate().expect("a key"), AgentName::parse("bench").expect("a slug"));
    let request = JoinRequest {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL,
        secret: token.expect("a token").token.secret,
        csr_der: key.csr_der(&name).expect("a request"),
        name: Some(name),
        build: "0.0.0".to_owned(),
    };
    let agent = engine.join(&request, start).expect("the store takes writes").expect("the agent is taken").agent;
    let (mut results, mut sealing_us, mut rollups_us, mut minute) = (0, 0, 0, 0);
    for half_day in 1..=4 {
        let edge = half_day * 12 * 60 + 10;
        while minute < edge {
            let minutes = (edge - minute).min(60);
            let rows = generate(minutes as usize * CHECKS as usize, midnight + minute * 60_000_000);
            minute += minutes;
            for batch in batches(rows, CHECKS as usize) {
                let slots = batch.entries.iter().map(|entry| entry.record.scheduled());
                let received_at = slots.max().unwrap_or(start).plus_us(1_000_000);
                engine.ingest(vec![IngestJob { agent, received_at, batch }]).expect("the store takes writes");
            }
        }
        let (before, rollups) = (usage::own_cpu_us(), engine.rollups());
        let sealed = engine.seal_now().expect("the store takes writes");
        assert!(sealed > 0, "nothing was sealed");
        if half_day > 2 {
            results += sealed;
            sealing_us += usage::own_cpu_us() - before;
            rollups_us += (engine.rollups() - rollups).as_micros() as u64;
        }
    }
    assert_eq!(results, 2 * 720 * u64::from(CHECKS), "not all that came in was sealed");
    (sealing_us as f64 / results as f64, rollups_us as f64 / results as f64)
}

/// A receiver under test.
struct Peer {
    pid: u32,
    address: String,
    client: Client,
}

impl Peer {
    /// Sends the batches over one lane, [`WINDOW`] under way at once, until all are acknowledged. The receiver's CPU in microseconds.
    async fn take(&self, batches: &[Batch]) -> u64 {
        let connection = self.client.connect(&self.address).await.expect("it listens");
        let mut control: FrameStream<ToAgent, ToCollector> =
            connection.open_stream(sitepulse_daemon::transport::StreamPriority::Control).await.expect("a stream");
        let hello = Hello {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL,
            build: "bench".to_owned(),
            incarnation: batches[0].incarnation,
            sent_at: clock::now(),
            assignment_revision: 0,
            spool_records: 0,
        };
        control.send(&ToCollector::Hello(hello)).await.expect("it listens");
        let welcome = control.recv().await.expect("it answers").expect("it answers");
        assert!(matches!(welcome, ToAgent::Welcome(_)), "{welcome:?}");
        let mut lane: FrameStream<ToAgent, ToCollector> =
            connection.open_stream(sitepulse_daemon::transport::StreamPriority::Backlog).await.expect("a stream");
        lane.send(&ToCollector::LaneOpen(Lane::Backlog)).await.expect("it listens");
        let before = usage::cpu_us(self.pid);
        let (mut sent, mut acked) = (0, 0);
        while acked < batches.len() {
            while sent < batches.len() && sent < acked + WINDOW {
                lane.send(&ToCollector::Batch(batches[sent].clone())).await.expect("it listens");
                sent += 1;
            }
            match lane.recv().await.expect("it answers").expect("it answers") {
                ToAgent::Ack(Ack { number, .. }) => acked = number as usize,
                ToAgent::Welcome(_)
                | ToAgent::Refusal(_)
                | ToAgent::Assignment(_)
                | ToAgent::Control(_)
                | ToAgent::ControlAck(_)
                | ToAgent::Joined(_)
                | ToAgent::Renewed { .. }
                | ToAgent::Secrets(_)
                | ToAgent::RunNow { .. } => panic!("something else than an ack"),
            }
        }
        let used = usage::cpu_us(self.pid) - before;
        connection.close(0, "done");
        used
    }
}

/// VictoriaMetrics' CPU time for the same results as lines, a request for each batch: what is in memory then reaches its disk later.
fn take_lines(victoria: &Victoria, batches: &[Batch]) -> u64 {
    let requests: Vec<String> = batches.iter().map(lines).collect();
    let before = victoria.cpu_us();
    for request in &requests {
        victoria.write(request);
    }
    // It gathers what came in and writes it in the background: part of what a result costs.
    victoria.flush();
    victoria.cpu_us() - before
}

/// A batch as Influx lines: a state and the phases, by check and agent.
fn lines(batch: &Batch) -> String {
    let mut lines = String::new();
    for entry in &batch.entries {
        let Record::Result(result) = &entry.record else { continue };
        let us = |phase: Option<u64>| phase.unwrap_or(0);
        let phases = &result.phases;
        writeln!(
            lines,
            "probe,check=c{:04},agent=bench,region=eu-west up=1,dns={},connect={},tls={},first_byte={},transfer={} {}",
            result.check.0 - 1,
            us(phases.dns),
            us(phases.connect),
            us(phases.tls),
            us(phases.first_byte),
            us(phases.transfer),
            result.scheduled.0 / 1000
        )
        .expect("a text grows");
    }
    lines
}

/// The results of [`CHECKS`] HTTPS checks at 60 s from the instant `from` on.
fn generate(records: usize, from: i64) -> Vec<(Bucket, Record)> {
    let agent = AgentName::parse("bench").expect("a slug");
    let lattices: Vec<Lattice> = (0..CHECKS)
        .map(|n| Lattice::new(&CheckId::parse(&format!("c{n:04}")).expect("a slug"), &agent, 60_000_000))
        .collect();
    (0..records as u64)
        .map(|n| {
            let check = (n % u64::from(CHECKS)) as u32;
            let jitter = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50;
            let round = UtcMicros(from + (n / u64::from(CHECKS)) as i64 * 60_000_000);
            let scheduled = lattices[check as usize].at_or_after(round);
            let record = Record::Result(ProbeResult {
                check: CheckNo(check + 1),
                revision: Revision(1),
                scheduled,
                started: scheduled.plus_us(1_000 + (jitter % 1000) as i64),
                phases: Phases {
                    dns: Some(2_000 + jitter % 500),
                    connect: Some(30_000 + jitter),
                    tls: Some(60_000 + jitter),
                    send: Some(30),
                    first_byte: Some(80_000 + jitter * 2),
                    transfer: Some(1_000 + jitter % 300),
                    total: Some(173_100 + jitter * 4),
                },
                state: ProbeState::Up,
                cause: None,
                failed_phase: None,
                detail: String::new(),
                address: Some(([192, 0, 2, (check % 250) as u8], 443).into()),
                facts: Facts {
                    status: Some(200),
                    body_bytes: Some(12_345),
                    certificate_expires: None,
                    more: Vec::new(),
                },
            });
            (Bucket::of(&format!("c{check:04}")), record)
        })
        .collect()
}

fn batches(rows: Vec<(Bucket, Record)>, size: usize) -> Vec<Batch> {
    let incarnation = Incarnation(clock::now().0 as u64);
    let mut seqs = [0_u64; 64];
    let entries: Vec<Entry> = rows
        .into_iter()
        .map(|(bucket, record)| {
            let seq = Seq(seqs[usize::from(bucket.0)]);
            seqs[usize::from(bucket.0)] += 1;
            Entry { bucket, seq, provenance: 0, record }
        })
        .collect();
    let provenance = Provenance { build: "bench".to_owned(), clock_offset_us: Some(12), clock_uncertainty_us: 150 };
    entries
        .chunks(size)
        .zip(1..)
        .map(|(chunk, number)| Batch {
            number,
            incarnation,
            provenances: vec![provenance.clone()],
            entries: chunk.to_vec(),
        })
        .collect()
}

/// The bare receiver.
fn floor(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let now = clock::now();
        let ca = CertificateAuthority::create(now).expect("a CA");
        let key = AgentKey::generate().expect("a key");
        let name = AgentName::parse("bench").expect("a slug");
        let issued = ca.issue_agent(&name, &key.csr_der(&name).expect("a request"), now).expect("a certificate");
        let identity = ca.issue_server(now).expect("a certificate");
        let mut server =
            Server::bind("127.0.0.1:0".parse().expect("an address"), &identity, ca.certificate_der()).expect("a port");
        let write = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).expect("writable");
        write("ca", ca.certificate_der());
        write("certificate", &issued.certificate_der);
        write("key", key.pkcs8_der());
        write("address", server.local_address().expect("bound").to_string().as_bytes());
        let jobs = writer(dir.join("floor.db"));
        while let Some(accepted) = server.accept().await {
            let connection = accepted.connection;
            let Ok(mut control) = connection.accept_stream::<ToCollector, ToAgent>().await else { continue };
            let Ok(Some(ToCollector::Hello(hello))) = control.recv().await else { continue };
            let welcome = sitepulse_wire::message::Welcome {
                protocol: PROTOCOL,
                build: "floor".to_owned(),
                received_at: hello.sent_at,
                sent_at: hello.sent_at,
                agent: sitepulse_model::id::AgentNo(1),
                addresses: Vec::new(),
                assignment_follows: false,
                backlog_per_s: 1_000_000,
            };
            control.send(&ToAgent::Welcome(welcome)).await.expect("the sender listens");
            let Ok(lane) = connection.accept_stream::<ToCollector, ToAgent>().await else { continue };
            let (mut sender, mut receiver) = lane.split();
            let (acks, mut durable) = tokio::sync::mpsc::unbounded_channel();
            let answer = async {
                while let Some(number) = durable.recv().await {
                    if sender.send(&ToAgent::Ack(Ack { number, backlog_per_s: 1_000_000 })).await.is_err() {
                        break;
                    }
                }
            };
            let take = async {
                while let Ok(Some(message)) = receiver.recv().await {
                    if let ToCollector::Batch(batch) = message {
                        jobs.send((batch, acks.clone())).expect("the writer lives");
                    }
                }
                drop(acks);
            };
            tokio::join!(answer, take);
        }
    });
}

type Job = (Batch, tokio::sync::mpsc::UnboundedSender<u64>);

/// What is kept in memory of a check's hour: how often it was what, and a histogram of how long it took.
#[derive(Default)]
struct Rollup {
    states: [u32; 5],
    total_us: u64,
    histogram: [u32; 32],
}

impl Rollup {
    fn count(&mut self, record: &Record) {
        let Record::Result(result) = record else { return };
        self.states[usize::from(result.state.code())] += 1;
        let us = result.phases.total.unwrap_or(0);
        self.total_us += us;
        self.histogram[(us | 1).ilog2().min(31) as usize] += 1;
    }
}

/// One thread that puts whatever waits into one FULL transaction.
fn writer(path: PathBuf) -> mpsc::Sender<Job> {
    let (jobs, inbox) = mpsc::channel::<Job>();
    std::thread::spawn(move || {
        let mut db = rusqlite::Connection::open(path).expect("writable");
        db.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
             CREATE TABLE result(bucket INTEGER, agent_no INTEGER, incarnation INTEGER, seq INTEGER, check_no INTEGER,
                                 scheduled_us INTEGER, provenance_no INTEGER, body BLOB) STRICT;
             CREATE TABLE mark(incarnation INTEGER PRIMARY KEY, body BLOB) STRICT;",
        )
        .expect("writable");
        // Of each spool, by bucket.
        let mut marks: HashMap<u64, BTreeMap<u8, u64>> = HashMap::new();
        let mut rollups: HashMap<(u32, i64), Rollup> = HashMap::new();
        let mut body = Vec::new();
        while let Ok(first) = inbox.recv() {
            let group: Vec<Job> = std::iter::once(first).chain(inbox.try_iter()).collect();
            let transaction = db.transaction().expect("writable");
            {
                let mut insert =
                    transaction.prepare_cached("INSERT INTO result VALUES(?1,?2,?3,?4,?5,?6,?7,?8)").expect("SQL");
                let mut touched = BTreeSet::new();
                for (batch, _) in &group {
                    for entry in &batch.entries {
                        let next = marks.entry(batch.incarnation.0).or_default().entry(entry.bucket.0).or_default();
                        if entry.seq.0 < *next {
                            continue;
                        }
                        *next = entry.seq.0 + 1;
                        touched.insert(batch.incarnation.0);
                        let hour = entry.record.scheduled().0 / 3_600_000_000;
                        rollups.entry((entry.record.check().0, hour)).or_default().count(&entry.record);
                        body.clear();
                        sitepulse_wire::record::encode(&entry.record, &mut body);
                        insert
                            .execute(rusqlite::params![
                                entry.bucket.0,
                                1,
                                batch.incarnation.0.cast_signed(),
                                entry.seq.0.cast_signed(),
                                entry.record.check().0,
                                entry.record.scheduled().0,
                                entry.provenance,
                                body
                            ])
                            .expect("writable");
                    }
                }
                let mut set = transaction.prepare_cached("INSERT OR REPLACE INTO mark VALUES(?1,?2)").expect("SQL");
                for incarnation in touched {
                    body.clear();
                    for (bucket, next) in &marks[&incarnation] {
                        body.push(*bucket);
                        body.extend_from_slice(&next.to_le_bytes());
                    }
                    set.execute(rusqlite::params![incarnation.cast_signed(), body]).expect("writable");
                }
            }
            transaction.commit().expect("writable");
            std::hint::black_box(&rollups);
            for (batch, acks) in group {
                acks.send(batch.number).ok();
            }
        }
    });
    jobs
}

//! A collector's files with months of history in them, and the results that keep coming.
//!
//! History goes in the way sealed months lie in the store, without their raw results: 6.5 billion of them would take hours to bring in one by one, and no page
//! reads them. From the instant at which the history ends on every result goes through the collector's own door.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sitepulse_collector::app::{App, ApplyOptions};
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_collector::store::{self, series::Sealed};
use sitepulse_daemon::clock;
use sitepulse_daemon::identity::{AgentKey, CertificateAuthority};
use sitepulse_model::id::{AgentNo, Bucket, CheckNo, Incarnation, Region, Revision, Seq};
use sitepulse_model::record::{Cause, Facts, Phase, Phases, ProbeResult, ProbeState, Provenance, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::series::Run;
use sitepulse_model::time::{SECOND_US, UtcMicros};
use sitepulse_wire::message::{Batch, Entry, JoinRequest, PROTOCOL, PROTOCOL_MIN};

use crate::synthetic::{DAY, Ledger, Size, phases};

/// Groups that the checks are spread over.
const GROUPS: usize = 40;
/// Batches of one transaction while what is missed is caught up with.
const BATCH: usize = 1000;

/// How long each second's batches waited, in microseconds.
pub(crate) type Waits = Arc<Mutex<Vec<u64>>>;

/// What was put in.
pub(crate) struct Filled {
    checks: Vec<(CheckNo, Bucket)>,
    agents: Vec<AgentNo>,
    /// Where the history ends.
    to: UtcMicros,
}

/// Makes the files.
pub(crate) fn fill(dir: &Path, size: Size) -> Filled {
    let began = clock::monotonic();
    let now = clock::now();
    let to = now.plus_us(-now.0.rem_euclid(60 * SECOND_US));
    let from = to.plus_us(-(size.days as i64) * DAY);
    let ledger = Ledger::new(5, size, from);
    let authority = CertificateAuthority::create(from).expect("an authority");
    std::fs::write(dir.join("ca.pem"), authority.certificate_pem()).expect("the folder is writable");
    std::fs::write(dir.join("ca.key"), authority.key_pem()).expect("the folder is writable");
    let mut engine = Engine::open(dir, authority, 1, from).expect("the store opens");
    engine.set_addresses(vec!["collector:8443".to_owned()]).expect("the store takes addresses");
    let text = (0..size.checks).map(|n| {
        format!(
            "[[check]]\nid = \"{}\"\nkind = \"http\"\nurl = \"https://site-{n}.example/\"\ninterval = \"60s\"\ngroup = \"team-{}\"\ntags = [\"tier-{}\"]\n",
            Ledger::check(n),
            n % GROUPS,
            n % 3
        )
    });
    // A file has its longest length.
    let text: Vec<String> = text.collect();
    for part in text.chunks(2000) {
        let source = Source { name: "bench.toml".into(), text: part.concat() };
        let options = ApplyOptions { prune: false, dry_run: false, author: "collector:bench".to_owned() };
        engine.apply(checkfile::parse(&[source]).expect("they are valid"), &options, from).expect("they are applied");
    }
    let agents: Vec<AgentNo> = (0..size.agents).map(|n| enrol(&mut engine, n, from)).collect();
    let checks: Vec<(CheckNo, Bucket)> = {
        let book = engine.shared().book();
        let known = (0..size.checks).map(|n| book.check_by_id(&Ledger::check(n)).expect("it was applied"));
        known.map(|check| (check.number, check.bucket())).collect()
    };
    let slots = imprint(&mut engine, &ledger, &checks, &agents);
    println!(
        "{slots} results put in as {} days of sealed months in {:.0} s",
        size.days,
        clock::monotonic().us_since(began) as f64 / 1e6
    );
    Filled { checks, agents, to }
}

fn imprint(engine: &mut Engine, ledger: &Ledger, checks: &[(CheckNo, Bucket)], agents: &[AgentNo]) -> u64 {
    let connection = engine.store().connection();
    connection.execute_batch("BEGIN").expect("SQL");
    let mut segment = connection.prepare("INSERT INTO series VALUES (?1, ?2, ?3, ?4, ?5)").expect("SQL");
    let mut counts = connection.prepare("INSERT INTO pair VALUES (?1, ?2, ?3, ?4)").expect("SQL");
    let mut slots = 0;
    for (index, (check, bucket)) in checks.iter().enumerate() {
        for (place, agent) in agents.iter().enumerate() {
            let series = ledger.series(index, place);
            let mut months: BTreeMap<i64, Vec<Run>> = BTreeMap::new();
            for run in series.runs() {
                store::series::by_month(*run, |month, part| months.entry(month).or_default().push(part));
            }
            for (month, runs) in months {
                let body = store::series::encode_segment(runs.iter());
                let values = rusqlite::params![bucket.0, check.0, agent.0, month, body];
                segment.execute(values).expect("the table takes segments");
            }
            let count = series.slot_count();
            slots += count;
            let mut sealed = Sealed { records: count, expired: count, ..Sealed::default() };
            sealed.pair.ledger.stored = count;
            let body = store::series::encode_pair(&sealed);
            counts.execute(rusqlite::params![bucket.0, check.0, agent.0, body]).expect("the table takes pairs");
        }
    }
    drop((segment, counts));
    connection.execute_batch("COMMIT").expect("SQL");
    slots
}

fn enrol(engine: &mut Engine, n: usize, now: UtcMicros) -> AgentNo {
    let region = Region::parse(&format!("region-{n}")).expect("a slug");
    let token = engine.create_join_token(region, 3_600_000_000, now).expect("a token").token;
    let name = Ledger::agent(n);
    let csr_der = AgentKey::generate().expect("a key").csr_der(&name).expect("a request");
    let request = JoinRequest {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL,
        secret: token.secret,
        csr_der,
        name: Some(name),
        build: "0.0.0".to_owned(),
    };
    engine.join(&request, now).expect("the store takes writes").expect("the agent is taken").agent
}

/// Sends what every agent finds, second by second.
pub(crate) struct Feeder {
    filled: Filled,
    /// By the second of the minute, by agent: the checks with a slot then, and by how much the slot lies beyond the second.
    due: Vec<Vec<Vec<(usize, i64)>>>,
    /// By agent, then bucket.
    seqs: Vec<[u64; 64]>,
    numbers: u64,
    /// The next second to send.
    next: UtcMicros,
    waits: Waits,
}

impl Feeder {
    pub(crate) fn new(app: &App, filled: Filled, size: Size) -> Self {
        let mut due = vec![vec![Vec::new(); size.agents]; 60];
        {
            let book = app.book();
            for (index, (check, _)) in filled.checks.iter().enumerate() {
                let id = &book.check(*check).expect("it was applied").id;
                let agents = (0..size.agents).map(Ledger::agent).collect::<Vec<_>>();
                for (agent, name) in agents.iter().enumerate() {
                    let lattice = Lattice::new(id, name, 60 * SECOND_US as u64);
                    let beyond = lattice.at_or_after(filled.to).us_since(filled.to);
                    let second = usize::try_from(beyond / SECOND_US).expect("within a minute");
                    due[second][agent].push((index, beyond % SECOND_US));
                }
            }
        }
        let (seqs, next) = (vec![[0; 64]; size.agents], filled.to);
        Self { filled, due, seqs, numbers: 0, next, waits: Waits::default() }
    }

    pub(crate) fn waits(&self) -> Waits {
        Arc::clone(&self.waits)
    }

    /// Takes in what came due since the history ended, and a minute at least: then every pair has a newest result.
    pub(crate) async fn catch_up(&mut self, app: &App) {
        while self.next.plus_us(SECOND_US) < clock::now() || self.next < self.filled.to.plus_us(60 * SECOND_US) {
            if self.next.plus_us(SECOND_US) > clock::now() {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            self.send(app).await;
        }
    }

    /// Sends on until it is told to end.
    pub(crate) async fn go_on(mut self, app: &App, ended: &AtomicBool) {
        while !ended.load(Ordering::Relaxed) {
            let wait = self.next.plus_us(SECOND_US).us_since(clock::now());
            if let Ok(wait) = u64::try_from(wait) {
                tokio::time::sleep(Duration::from_micros(wait)).await;
            }
            let began = clock::monotonic();
            self.send(app).await;
            self.waits.lock().expect("nobody panics").push(clock::monotonic().us_since(began));
        }
    }

    /// A second's batches, all stored when this returns.
    async fn send(&mut self, app: &App) {
        let second = self.next.us_since(self.filled.to) / SECOND_US;
        let at = usize::try_from(second % 60).expect("small");
        let mut answers = Vec::new();
        for agent in 0..self.filled.agents.len() {
            let found = std::mem::take(&mut self.due[at][agent]);
            for part in found.chunks(BATCH) {
                let job = self.job(agent, part);
                let (done, answer) = tokio::sync::oneshot::channel();
                let sent = job.batch.entries.len() as u64;
                app.writer()
                    .ingest(job, move |outcome| {
                        // Nobody waits any more where the benchmark has failed.
                        done.send(outcome).ok();
                    })
                    .await
                    .expect("the writer lives");
                answers.push((sent, answer));
            }
            self.due[at][agent] = found;
        }
        for (sent, answer) in answers {
            let stored = answer.await.expect("an answer").expect("it is stored").stored;
            assert_eq!(stored, sent, "not all that was sent was stored");
        }
        self.next = self.next.plus_us(SECOND_US);
    }

    fn job(&mut self, agent: usize, found: &[(usize, i64)]) -> IngestJob {
        self.numbers += 1;
        let entries = found.iter().map(|(index, beyond)| {
            let (check, bucket) = self.filled.checks[*index];
            let seq = &mut self.seqs[agent][usize::from(bucket.0)];
            *seq += 1;
            let record = Record::Result(result(check, *index, self.next.plus_us(*beyond)));
            Entry { bucket, seq: Seq(*seq - 1), provenance: 0, record }
        });
        let entries = entries.collect();
        let provenances =
            vec![Provenance { build: "bench".to_owned(), clock_offset_us: Some(12), clock_uncertainty_us: 150 }];
        let batch = Batch { number: self.numbers, incarnation: Incarnation(2), provenances, entries };
        IngestJob { agent: self.filled.agents[agent], received_at: clock::now(), batch }
    }
}

/// One check of 200 is down for five minutes, by turns.
fn result(check: CheckNo, index: usize, scheduled: UtcMicros) -> ProbeResult {
    let turn = scheduled.0 / (300 * SECOND_US);
    let down = (index as i64 + turn) % 200 == 0;
    let [dns, connect, tls, first_byte, transfer, total] = phases(index, scheduled);
    let unless_down = |us: u64| (!down).then_some(us);
    ProbeResult {
        check,
        revision: Revision(1),
        scheduled,
        started: scheduled.plus_us(i64::try_from(total % 2000).expect("small")),
        phases: Phases {
            dns: Some(dns),
            connect: unless_down(connect),
            tls: unless_down(tls),
            send: unless_down(30),
            first_byte: unless_down(first_byte),
            transfer: unless_down(transfer),
            total: Some(if down { dns + 30 } else { total }),
        },
        state: if down { ProbeState::Down } else { ProbeState::Up },
        cause: down.then_some(Cause::ConnectionRefused),
        failed_phase: down.then_some(Phase::Connect),
        detail: if down { "connection refused".to_owned() } else { String::new() },
        address: Some(([192, 0, 2, (index % 250) as u8], 443).into()),
        facts: Facts {
            status: (!down).then_some(200),
            body_bytes: unless_down(12_345),
            certificate_expires: Some(scheduled.plus_us(60 * DAY)),
            more: Vec::new(),
        },
    }
}

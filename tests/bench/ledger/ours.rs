//! The real collector, filled through its own door.

use std::collections::BTreeMap;
use std::path::Path;

use sitepulse_collector::app::ApplyOptions;
use sitepulse_collector::engine::{BookRead, Engine};
use sitepulse_collector::ingest::IngestJob;
use sitepulse_collector::store::{self, series::Sealed};
use sitepulse_daemon::clock;
use sitepulse_daemon::identity::{AgentKey, CertificateAuthority};
use sitepulse_model::id::{AgentNo, Bucket, CheckNo, Incarnation, Region, Revision, Seq};
use sitepulse_model::record::{
    Cause, Facts, Missed, MissedCause, Phase, Phases, ProbeResult, ProbeState, Provenance, Record,
};
use sitepulse_model::series::Run;
use sitepulse_model::time::UtcMicros;
use sitepulse_tests::usage;
use sitepulse_wire::message::{Batch, Entry, JoinRequest, PROTOCOL, PROTOCOL_MIN};
use tempfile::TempDir;

use crate::synthetic::{Ledger, Reader, Slot, phases};

/// Batches of one transaction while a ledger is filled.
const GROUP: usize = 16;
/// Most records of a batch.
const BATCH: usize = 1000;

/// An engine over a file of its own, with the checks and agents of a ledger.
pub(crate) struct Ours {
    pub(crate) engine: Engine,
    pub(crate) checks: Vec<CheckNo>,
    pub(crate) agents: Vec<AgentNo>,
    buckets: Vec<Bucket>,
    /// By agent, then bucket.
    seqs: Vec<[u64; 64]>,
    numbers: u64,
    pub(crate) stored: u64,
    dir: TempDir,
}

impl Ours {
    /// An empty one.
    pub(crate) fn new(ledger: &Ledger, below: &Path) -> Self {
        let dir = tempfile::tempdir_in(below).expect("the folder is writable");
        let authority = CertificateAuthority::create(ledger.from).expect("an authority");
        let mut engine = Engine::open(dir.path(), authority, 1, ledger.from).expect("the store opens");
        engine.set_addresses(vec!["collector:8443".to_owned()]).expect("the store takes addresses");
        let options = ApplyOptions { prune: false, dry_run: false, author: "collector:bench".to_owned() };
        let definitions = ledger.definitions();
        engine.apply(definitions, &options, ledger.from).expect("the definitions are valid");
        let agents: Vec<AgentNo> = (0..ledger.size.agents).map(|n| enrol(&mut engine, n, ledger.from)).collect();
        let ids: Vec<_> = (0..ledger.size.checks).map(Ledger::check).collect();
        let checks = {
            let book = engine.shared().book();
            ids.iter().map(|id| book.check_by_id(id).expect("it was applied").number).collect()
        };
        let buckets = ids.iter().map(sitepulse_model::id::CheckId::bucket).collect();
        let seqs = vec![[0; 64]; agents.len()];
        Self { engine, checks, agents, buckets, seqs, numbers: 0, stored: 0, dir }
    }

    /// The book.
    pub(crate) fn book(&self) -> BookRead<'_> {
        self.engine.shared().book()
    }

    /// Bytes of its files, with what is in the write-ahead log brought into the file first.
    pub(crate) fn disk_bytes(&mut self) -> u64 {
        self.engine.store().checkpoint().expect("the store takes writes");
        usage::disk_bytes(self.dir.path())
    }

    /// Bytes of a copy that has only the pages in use.
    pub(crate) fn packed_bytes(&mut self) -> u64 {
        let copy = self.dir.path().join("packed.db");
        let into = copy.to_str().expect("a path of plain letters");
        self.engine.store().connection().execute("VACUUM INTO ?1", [into]).expect("there is room for a copy");
        let bytes = usage::disk_bytes(&copy);
        std::fs::remove_file(&copy).expect("it can be removed");
        bytes
    }

    /// Bytes of the contents of each table that has any worth telling: rows and keys, without pages' spare room.
    pub(crate) fn table_bytes(&mut self) -> Vec<(&'static str, u64)> {
        let connection = self.engine.store().connection();
        let of = |table: &'static str| {
            let sum = format!("SELECT coalesce(sum(length(body)), 0) FROM {table}");
            (table, connection.query_row(&sum, [], |row| row.get(0)).expect("the table has bodies"))
        };
        ["result", "chunk", "series", "pair", "rollup"].map(of).into_iter().filter(|(_, bytes)| *bytes > 0).collect()
    }

    /// Puts a whole ledger in as if it had been sealed long ago, its raw results gone: series and counts. Then starts the engine again over it, and
    /// tells how long that took, in microseconds.
    pub(crate) fn imprint(self, ledger: &Ledger) -> (Self, u64) {
        let Self { mut engine, checks, agents, buckets, seqs, numbers, dir, .. } = self;
        let mut stored = 0;
        {
            let connection = engine.store().connection();
            connection.execute_batch("BEGIN").expect("SQL");
            let mut segment = connection.prepare("INSERT INTO series VALUES (?1, ?2, ?3, ?4, ?5)").expect("SQL");
            let mut counts = connection.prepare("INSERT INTO pair VALUES (?1, ?2, ?3, ?4)").expect("SQL");
            for ((index, check), bucket) in checks.iter().enumerate().zip(&buckets) {
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
                    let slots = series.slot_count();
                    stored += slots;
                    let mut sealed = Sealed { records: slots, expired: slots, ..Sealed::default() };
                    sealed.pair.ledger.stored = slots;
                    let body = store::series::encode_pair(&sealed);
                    counts.execute(rusqlite::params![bucket.0, check.0, agent.0, body]).expect("the table takes pairs");
                }
            }
            connection.execute_batch("COMMIT").expect("SQL");
        }
        let authority = engine.authority();
        let authority = CertificateAuthority::load(authority.certificate_pem(), authority.key_pem()).expect("its own");
        drop(engine);
        let began = clock::monotonic();
        let engine = Engine::open(dir.path(), authority, 1, ledger.to()).expect("the store opens");
        let took = clock::monotonic().us_since(began);
        (Self { engine, checks, agents, buckets, seqs, numbers, stored, dir }, took)
    }

    /// A batch of records with their checks' indexes, as `agent` would send it.
    pub(crate) fn job(&mut self, agent: usize, records: Vec<(usize, Record)>, at: UtcMicros) -> IngestJob {
        self.numbers += 1;
        let entries = records
            .into_iter()
            .map(|(check, record)| {
                let bucket = self.buckets[check];
                let next = &mut self.seqs[agent][usize::from(bucket.0)];
                *next += 1;
                Entry { bucket, seq: Seq(*next - 1), provenance: 0, record }
            })
            .collect();
        let provenance = Provenance { build: "bench".to_owned(), clock_offset_us: Some(12), clock_uncertainty_us: 150 };
        let batch = Batch { number: self.numbers, incarnation: Incarnation(1), provenances: vec![provenance], entries };
        IngestJob { agent: self.agents[agent], received_at: at, batch }
    }

    /// Takes batches in, in one transaction, and checks that every record was stored.
    pub(crate) fn take(&mut self, jobs: Vec<IngestJob>) {
        let sent: u64 = jobs.iter().map(|job| job.batch.entries.len() as u64).sum();
        let outcomes = self.engine.ingest(jobs).expect("the store takes writes");
        let stored: u64 = outcomes.iter().map(|outcome| outcome.stored).sum();
        assert_eq!(stored, sent, "not all that was sent was stored");
        self.stored += stored;
    }

    /// Takes a part of a ledger in, as it would have arrived. The CPU time that the engine used, in microseconds.
    pub(crate) fn fill(&mut self, feed: &mut Feed<'_>, until: UtcMicros) -> u64 {
        self.fill_by(feed, until, BATCH, GROUP)
    }

    /// [`Self::fill`] with at most so many records in a batch, and about so many batches in a transaction.
    pub(crate) fn fill_by(&mut self, feed: &mut Feed<'_>, until: UtcMicros, batch: usize, group: usize) -> u64 {
        let mut used = 0;
        let mut jobs = Vec::new();
        while let Some(round) = feed.next(until) {
            for (agent, found) in round.found {
                for part in found.chunks(batch) {
                    let records = part.iter().map(|one| (one.check, self.record(one))).collect();
                    jobs.push(self.job(agent, records, round.at));
                    if jobs.len() >= group {
                        let before = usage::own_cpu_us();
                        self.take(std::mem::take(&mut jobs));
                        used += usage::own_cpu_us() - before;
                    }
                }
            }
        }
        let before = usage::own_cpu_us();
        self.take(jobs);
        used + usage::own_cpu_us() - before
    }

    /// The record of a find.
    pub(crate) fn record(&self, found: &Found) -> Record {
        let (check, revision) = (self.checks[found.check], Revision(1));
        match found.what {
            What::Result(state) => Record::Result(result(check, found.check, found.first, state)),
            What::Stopped { last, count } => {
                let cause = MissedCause::AgentStopped;
                Record::Missed(Missed { check, revision, first: found.first, last, count, cause })
            }
        }
    }
}

fn enrol(engine: &mut Engine, n: usize, now: UtcMicros) -> AgentNo {
    let region = Region::parse(&format!("region-{n}")).expect("a slug");
    let token = engine.create_join_token(region, 3_600_000_000, now).expect("a token").token;
    let name = Ledger::agent(n);
    let key = AgentKey::generate().expect("a key");
    let request = JoinRequest {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL,
        secret: token.secret,
        csr_der: key.csr_der(&name).expect("a request"),
        name: Some(name),
        build: "0.0.0".to_owned(),
    };
    engine.join(&request, now).expect("the store takes writes").expect("the agent is taken").agent
}

fn result(check: CheckNo, index: usize, scheduled: UtcMicros, state: ProbeState) -> ProbeResult {
    let [dns, connect, tls, first_byte, transfer, total] = phases(index, scheduled);
    let down = state == ProbeState::Down;
    let unless_down = |us: u64| (!down).then_some(us);
    ProbeResult {
        check,
        revision: Revision(1),
        scheduled,
        started: scheduled.plus_us((total % 2000) as i64),
        phases: Phases {
            dns: Some(dns),
            connect: unless_down(connect),
            tls: unless_down(tls),
            send: unless_down(30),
            first_byte: unless_down(first_byte),
            transfer: unless_down(transfer),
            total: Some(if down { dns + 30 } else { total }),
        },
        state,
        cause: match state {
            ProbeState::Down => Some(Cause::ConnectionRefused),
            ProbeState::Degraded => Some(Cause::SoftAssertion),
            ProbeState::Up | ProbeState::Unknown => None,
        },
        failed_phase: down.then_some(Phase::Connect),
        detail: String::new(),
        address: Some(([192, 0, 2, (index % 250) as u8], 443).into()),
        facts: Facts {
            status: (!down).then_some(200),
            body_bytes: unless_down(12_345),
            certificate_expires: None,
            more: Vec::new(),
        },
    }
}

/// What an agent tells of one check.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// The check's index.
    pub(crate) check: usize,
    /// The slot, or the first of those missed.
    pub(crate) first: UtcMicros,
    /// What.
    pub(crate) what: What,
}

/// What is told of a slot, or of some.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// A result.
    Result(ProbeState),
    /// The agent did not run.
    Stopped {
        /// The last slot missed.
        last: UtcMicros,
        /// How many.
        count: u64,
    },
}

/// What all agents send after one interval.
pub(crate) struct Round {
    /// When it is sent.
    pub(crate) at: UtcMicros,
    /// By agent; in the order of the slots.
    pub(crate) found: Vec<(usize, Vec<Found>)>,
}

/// A ledger in the order in which it arrives: interval by interval, agent by agent, slot by slot.
pub(crate) struct Feed<'l> {
    ledger: &'l Ledger,
    at: UtcMicros,
    agents: Vec<Vec<Source<'l>>>,
}

/// A pair that is read from left to right.
struct Source<'l> {
    check: usize,
    next: UtcMicros,
    reader: Reader<'l>,
    /// The first slot of those missed that are not told yet, and how many.
    missed: Option<(UtcMicros, u64)>,
}

impl<'l> Feed<'l> {
    /// From the ledger's beginning on.
    pub(crate) fn new(ledger: &'l Ledger) -> Self {
        let source = |check: usize, agent: usize| Source {
            check,
            next: ledger.lattice(check, agent).at_or_after(ledger.from),
            reader: ledger.reader(check, agent),
            missed: None,
        };
        let agents = (0..ledger.size.agents)
            .map(|agent| {
                let mut sources: Vec<Source<'l>> = (0..ledger.size.checks).map(|check| source(check, agent)).collect();
                sources.sort_by_key(|source| source.next);
                sources
            })
            .collect();
        Self { ledger, at: ledger.from, agents }
    }

    /// What comes in over the next interval; `None` when that would be after `until`.
    pub(crate) fn next(&mut self, until: UtcMicros) -> Option<Round> {
        let interval = self.ledger.size.interval_s as i64 * 1_000_000;
        let end = self.at.plus_us(interval);
        if end > until {
            return None;
        }
        self.at = end;
        let mut found = Vec::with_capacity(self.agents.len());
        for (agent, sources) in self.agents.iter_mut().enumerate() {
            let mut told = Vec::with_capacity(sources.len());
            for source in sources {
                source.tell(interval, &mut told);
            }
            found.push((agent, told));
        }
        Some(Round { at: end, found })
    }
}

impl Source<'_> {
    fn tell(&mut self, interval: i64, told: &mut Vec<Found>) {
        let slot = self.next;
        self.next = slot.plus_us(interval);
        match self.reader.at(slot) {
            Slot::Stopped => {
                let (first, count) = self.missed.unwrap_or((slot, 0));
                self.missed = Some((first, count + 1));
            }
            Slot::Found(state) => {
                if let Some((first, count)) = self.missed.take() {
                    let what = What::Stopped { last: slot.plus_us(-interval), count };
                    told.push(Found { check: self.check, first, what });
                }
                told.push(Found { check: self.check, first: slot, what: What::Result(state) });
            }
        }
    }
}

/// The wall time of something, in microseconds: the median of `times`.
pub(crate) fn wall_us<T>(times: usize, mut work: impl FnMut() -> T) -> f64 {
    let mut took: Vec<f64> = (0..times.max(1))
        .map(|_| {
            let began = clock::monotonic();
            std::hint::black_box(work());
            clock::monotonic().since(began).as_nanos() as f64 / 1000.0
        })
        .collect();
    usage::median(&mut took)
}

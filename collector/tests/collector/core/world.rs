//! A collector in memory or on disk, with agents to speak for.

use std::path::Path;

use sitepulse_collector::app::ApplyOptions;
use sitepulse_collector::engine::Engine;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_collector::receive::PeerCertificate;
use sitepulse_collector::store::block;
use sitepulse_collector::store::rows::Arrival;
use sitepulse_daemon::identity::{AgentKey, CertificateAuthority};
use sitepulse_model::check::{Auth, CheckDefinition, CheckKind, DurationUs, HeartbeatTarget, HttpTarget, SecretText};
use sitepulse_model::control::Weight;
use sitepulse_model::id::{AgentName, AgentNo, CheckId, CheckNo, Incarnation, Region, Revision, Seq};
use sitepulse_model::quorum::Quorum;
use sitepulse_model::record::{
    DropReason, Dropped, Facts, Missed, MissedCause, Phases, ProbeResult, ProbeState, Provenance, Record,
};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::{Batch, Entry, JoinRequest, Joined};

pub const SECOND: i64 = 1_000_000;
/// When these worlds begin: a slot of the check `shop` on the agent `eu-west-1`.
pub const START: UtcMicros = UtcMicros(1_790_000_000 * SECOND + OFFSET_US);
const OFFSET_US: i64 = -18_019_000;
pub const INTERVAL_US: u64 = 30 * 1_000_000;

pub fn at(seconds: i64) -> UtcMicros {
    START.plus_us(seconds * SECOND)
}

pub fn definition(id: &str) -> CheckDefinition {
    CheckDefinition {
        id: CheckId::parse(id).unwrap(),
        kind: CheckKind::http("http://127.0.0.1:1/"),
        interval_us: INTERVAL_US,
        timeout_us: 10_000_000,
        retries: 0,
        weight: Weight::ONE,
        regions: None,
        quorum: Quorum::Majority,
        confirmations: 2,
        recoveries: 1,
        expect: Vec::new(),
    }
}

/// A check that refers to a secret.
pub fn with_secret(id: &str, secret: &str) -> CheckDefinition {
    let mut target = HttpTarget::get("http://127.0.0.1:1/");
    target.auth = Some(Auth::Bearer(SecretText(format!("secret:{secret}"))));
    CheckDefinition { kind: CheckKind::Http(Box::new(target)), ..definition(id) }
}

/// A heartbeat that must call every `period` seconds, with `grace` seconds of grace; looked at every 30 s.
pub fn heartbeat(id: &str, period: u64, grace: u64) -> CheckDefinition {
    let seconds = |seconds: u64| DurationUs(seconds * 1_000_000);
    let target = HeartbeatTarget { period: Some(seconds(period)), cron: None, zone: None, grace: seconds(grace) };
    CheckDefinition { kind: CheckKind::Heartbeat(target), confirmations: 1, ..definition(id) }
}

pub fn options() -> ApplyOptions {
    ApplyOptions { prune: false, dry_run: false, author: "collector:cli".into() }
}

pub fn in_memory() -> Engine {
    let mut engine = Engine::in_memory(CertificateAuthority::create(START).unwrap(), START).unwrap();
    engine.set_addresses(vec!["127.0.0.1:8443".into()]).unwrap();
    engine
}

/// An engine over the files of `dir`, with an authority of its own.
pub fn on_disk(dir: &Path) -> Engine {
    let mut engine = Engine::open(dir, CertificateAuthority::create(START).unwrap(), 1, START).unwrap();
    engine.set_addresses(vec!["127.0.0.1:8443".into()]).unwrap();
    engine
}

pub fn key_and_csr() -> (AgentKey, Vec<u8>) {
    let key = AgentKey::generate().unwrap();
    let csr = key.csr_der(&AgentName::parse("wish").unwrap()).unwrap();
    (key, csr)
}

pub fn request(secret: [u8; 32], name: Option<&str>, csr_der: &[u8]) -> JoinRequest {
    JoinRequest {
        protocol_min: 1,
        protocol_max: 1,
        secret,
        name: name.map(|name| AgentName::parse(name).unwrap()),
        csr_der: csr_der.to_vec(),
        build: "0.0.0".into(),
    }
}

/// Enrols an agent at the world's start.
pub fn enrol(engine: &mut Engine, region: &str, name: Option<&str>) -> Joined {
    let token = engine.create_join_token(Region::parse(region).unwrap(), 3600 * 1_000_000, START).unwrap().token;
    let (_, csr) = key_and_csr();
    engine.join(&request(token.secret, name, &csr), START).unwrap().unwrap()
}

pub fn certificate(engine: &Engine, agent: AgentNo) -> PeerCertificate {
    let book = engine.shared().book();
    let agent = book.agent(agent).unwrap();
    PeerCertificate { name: agent.name.clone(), spki_sha256: agent.spki_sha256, not_after: at(7 * 86_400) }
}

pub fn result(check: CheckNo, seconds: i64, state: ProbeState) -> Record {
    Record::Result(ProbeResult {
        check,
        revision: Revision(1),
        scheduled: at(seconds),
        started: at(seconds).plus_us(150),
        phases: Phases { total: Some(1234), ..Phases::default() },
        state,
        cause: match state {
            ProbeState::Up => None,
            ProbeState::Degraded => Some(sitepulse_model::record::Cause::SoftAssertion),
            ProbeState::Down => Some(sitepulse_model::record::Cause::Timeout),
            ProbeState::Unknown => Some(sitepulse_model::record::Cause::NetworkLost),
        },
        failed_phase: None,
        detail: String::new(),
        address: None,
        facts: Facts::default(),
    })
}

pub fn missed(check: CheckNo, from: i64, count: u64) -> Record {
    let first = at(from);
    let last = first.plus_us(INTERVAL_US.cast_signed() * (count.cast_signed() - 1));
    Record::Missed(Missed { check, revision: Revision(1), first, last, count, cause: MissedCause::AgentStopped })
}

pub fn dropped(check: CheckNo, from: i64, count: u64, seqs: &[(u64, u64)]) -> Record {
    let first = at(from);
    let last = first.plus_us(INTERVAL_US.cast_signed() * (count.cast_signed() - 1));
    let seqs = seqs.iter().map(|(first, last)| (Seq(*first), Seq(*last))).collect();
    Record::Dropped(Dropped { check, revision: Revision(1), first, last, count, reason: DropReason::SpoolFull, seqs })
}

pub fn entry(engine: &Engine, seq: u64, record: Record) -> Entry {
    entry_of(engine, "eu-west-1", seq, record)
}

/// An entry of an agent: its record is moved to the agent's next slot of the check.
pub fn entry_of(engine: &Engine, agent: &str, seq: u64, mut record: Record) -> Entry {
    let book = engine.shared().book();
    let check = book.check(record.check()).unwrap();
    let lattice = Lattice::new(&check.id, &AgentName::parse(agent).unwrap(), INTERVAL_US);
    let by_us = lattice.at_or_after(START).us_since(START);
    match &mut record {
        Record::Result(result) => result.scheduled = result.scheduled.plus_us(by_us),
        Record::Missed(missed) => {
            (missed.first, missed.last) = (missed.first.plus_us(by_us), missed.last.plus_us(by_us));
        }
        Record::Dropped(_) => {}
    }
    Entry { bucket: check.bucket(), seq: Seq(seq), provenance: 0, record }
}

pub fn batch(number: u64, entries: Vec<Entry>) -> Batch {
    let provenances = vec![Provenance { build: "0.0.0".into(), clock_offset_us: Some(5), clock_uncertainty_us: 7 }];
    Batch { number, incarnation: Incarnation(u64::MAX - 1), provenances, entries }
}

pub fn job(agent: AgentNo, entries: Vec<Entry>) -> IngestJob {
    IngestJob { agent, received_at: at(3600), batch: batch(1, entries) }
}

/// The book as text, without what is not durable.
pub fn picture(engine: &Engine) -> String {
    let book = engine.shared().book();
    let mut out = String::new();
    for check in book.checks() {
        out.push_str(&format!("{} {} {:?} {:?}\n", check.number, check.id, check.revisions, check.bucket()));
        for (agent, pair) in &check.pairs {
            out.push_str(&format!("  {agent} {:?} {:?}\n", pair.ledger, pair.last));
            for slot in 0..200 {
                out.push_str(&format!("{:?}", pair.series.at(at(slot * 30)).map(|seen| seen.seen)));
            }
        }
    }
    for agent in book.agents() {
        out.push_str(&format!(
            "{} {} {} {:?} {:?}\n",
            agent.number, agent.name, agent.region, agent.enrolled_at, agent.revoked_at
        ));
    }
    for event in book.control().events() {
        out.push_str(&format!("{event:?}\n"));
    }
    out.push_str(&book.quarantined().to_string());
    out
}

/// Makes the bytes of a record that is not sealed senseless; where it comes from can be told still.
pub fn garble(engine: &mut Engine, arrival: i64) {
    let connection = engine.store().connection();
    let sql = "SELECT arrival, records, body FROM result WHERE arrival <= ?1 ORDER BY arrival DESC LIMIT 1";
    let (first, records, mut body): (i64, u32, Vec<u8>) =
        connection.query_row(sql, [arrival], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let record =
        block::Reader::new(Arrival(first), records, &body).find(|raw| raw.arrival == Arrival(arrival)).unwrap();
    let (at, length) = (record.bytes.as_ptr().addr() - body.as_ptr().addr(), record.bytes.len());
    body[at..at + length].fill(0xff);
    connection.execute("UPDATE result SET body = ?1 WHERE arrival = ?2", (&body, first)).unwrap();
}

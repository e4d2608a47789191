//! A collector whose agents measured a page.

use base64::Engine as _;
use sitepulse_collector::ingest::{IngestJob, IngestOutcome};
use sitepulse_daemon::clock;
use sitepulse_daemon::identity::AgentKey;
use sitepulse_model::check::{CheckDefinition, CheckKind, WebVitalsTarget};
use sitepulse_model::id::{AgentName, AgentNo, Incarnation, Region, Revision, Seq};
use sitepulse_model::record::{Cause, FactKey, Facts, Phases, ProbeResult, ProbeState, Provenance, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::{Spread, Vital};
use sitepulse_wire::message::{Batch, Entry, JoinRequest};

use super::bench::{Bench, backup, options};

pub const MINUTE: i64 = 60 * 1_000_000;
pub const INTERVAL_US: u64 = 15 * 60 * 1_000_000;

/// The beginning of a JPEG, which is all that anybody looks at.
pub fn jpeg(last: u8) -> Vec<u8> {
    vec![0xff, 0xd8, 0xff, 0xe0, last]
}

pub fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A collector with a check `shop-vitals` that is ten days old.
pub struct Pages {
    pub bench: Bench,
    pub now: UtcMicros,
    pub check: CheckDefinition,
    seq: std::cell::Cell<u64>,
}

/// What a run found, in the units of records.
#[derive(Clone, Default)]
pub struct Found {
    pub lcp: Option<u64>,
    pub cls: Option<u64>,
    pub more: Vec<(FactKey, String)>,
    pub low_confidence: bool,
    pub down: bool,
}

impl Pages {
    pub async fn new() -> Self {
        Self::over(Bench::new()).await
    }

    /// One whose data directory is there.
    pub async fn at(dir: &std::path::Path) -> Self {
        Self::over(Bench::at(dir)).await
    }

    async fn over(bench: Bench) -> Self {
        let now = clock::now();
        let mut check = backup();
        check.id = sitepulse_model::id::CheckId::parse("shop-vitals").unwrap();
        check.kind = CheckKind::WebVitals(Box::new(WebVitalsTarget::page("https://shop.example/")));
        check.interval_us = INTERVAL_US;
        let start = now.plus_us(-10 * 86_400 * 1_000_000);
        bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
        bench.app.apply(vec![check.clone()], options(), start).await.unwrap();
        Self { bench, now, check, seq: std::cell::Cell::new(0) }
    }

    pub async fn enrol(&self, region: &str, name: &str) -> AgentNo {
        let region = Region::parse(region).unwrap();
        let name = AgentName::parse(name).unwrap();
        let start = self.now.plus_us(-10 * 86_400 * 1_000_000);
        let enrol = move |engine: &mut sitepulse_collector::engine::Engine| {
            let token = engine.create_join_token(region, 3_600_000_000, start).unwrap().token;
            let csr_der = AgentKey::generate().unwrap().csr_der(&name).unwrap();
            let (protocol_min, protocol_max, build) = (1, 1, "0.0.0".to_owned());
            let request =
                JoinRequest { protocol_min, protocol_max, secret: token.secret, name: Some(name), csr_der, build };
            engine.join(&request, start).unwrap().unwrap().agent
        };
        self.bench.app.writer().run(enrol).await.unwrap()
    }

    /// The slot of an agent about so many minutes ago.
    pub fn slot(&self, agent: AgentNo, minutes_ago: i64) -> UtcMicros {
        let book = self.bench.app.book();
        let lattice = Lattice::new(&self.check.id, &book.agent(agent).unwrap().name, INTERVAL_US);
        lattice.at_or_before(self.now.plus_us(-minutes_ago * MINUTE))
    }

    /// The result of a run; its facts as an agent notes them.
    pub fn result(&self, agent: AgentNo, minutes_ago: i64, found: &Found) -> ProbeResult {
        let scheduled = self.slot(agent, minutes_ago);
        let mut facts = Facts::default();
        for (vital, value) in [(Vital::Lcp, found.lcp), (Vital::Cls, found.cls)] {
            if let Some(median) = value {
                Spread { median, min: median - median / 10, max: median + median / 10 }.note(vital, &mut facts);
            }
        }
        let (counted, low) = if found.low_confidence { (0, 3) } else { (3, 0) };
        facts.number(FactKey::LoadsCounted, counted);
        facts.number(FactKey::LoadsLowConfidence, low);
        for (key, text) in &found.more {
            facts.text(*key, text);
        }
        ProbeResult {
            check: self.bench.app.book().check_by_id(&self.check.id).unwrap().number,
            revision: Revision(1),
            scheduled,
            started: scheduled,
            phases: Phases { total: Some(12_000_000), ..Phases::default() },
            state: match (found.low_confidence, found.down) {
                (_, true) => ProbeState::Down,
                (true, false) => ProbeState::Unknown,
                (false, false) => ProbeState::Up,
            },
            cause: match (found.low_confidence, found.down) {
                (_, true) => Some(Cause::Timeout),
                (true, false) => Some(Cause::HostPressure),
                (false, false) => None,
            },
            failed_phase: None,
            detail: String::new(),
            address: None,
            facts,
        }
    }

    pub fn entry(&self, result: ProbeResult) -> Entry {
        let seq = self.seq.replace(self.seq.get() + 1);
        Entry { bucket: self.check.id.bucket(), seq: Seq(seq), provenance: 0, record: Record::Result(result) }
    }

    pub async fn ingest(&self, agent: AgentNo, entries: Vec<Entry>) -> IngestOutcome {
        let provenances = vec![Provenance { build: "0.0.0".into(), clock_offset_us: None, clock_uncertainty_us: 0 }];
        let batch = Batch { number: 1, incarnation: Incarnation(u64::from(agent.0)), provenances, entries };
        let job = IngestJob { agent, received_at: self.now, batch };
        self.bench.app.writer().run(move |engine| engine.ingest(vec![job])).await.unwrap().unwrap()[0]
    }

    /// Leaves numbers out, which another bench over the same data has given.
    pub fn skip(&self, count: u64) {
        self.seq.set(self.seq.get() + count);
    }

    /// One run, taken in.
    pub async fn ran(&self, agent: AgentNo, minutes_ago: i64, found: &Found) {
        let entry = self.entry(self.result(agent, minutes_ago, found));
        assert_eq!(self.ingest(agent, vec![entry]).await.stored, 1);
    }
}

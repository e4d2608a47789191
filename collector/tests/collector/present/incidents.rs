//! Incidents as people and scripts see them.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_collector::outbox::{Attempt, Outcome};
use sitepulse_daemon::clock;
use sitepulse_daemon::identity::AgentKey;
use sitepulse_model::id::{AgentName, AgentNo, CheckId, Incarnation, Region, Revision, Seq};
use sitepulse_model::record::{Facts, Phases, ProbeResult, ProbeState, Provenance, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::{Batch, Entry, JoinRequest};

use super::bench::Bench;

pub const FILE: &str = r#"
[[check]]
id = "shop"
kind = "http"
url = "http://127.0.0.1:1/"
interval = "30s"
group = "web"

[[channel]]
id = "ops-hook"
kind = "webhook"
url = "https://ops.example/hook"

[[escalation]]
id = "default"
default = true
levels = [ { after = "0s", notify = ["ops-hook"] }, { after = "10m", notify = ["ops-hook"] } ]
"#;

fn enrol(engine: &mut Engine, now: UtcMicros) -> AgentNo {
    let token = engine.create_join_token(Region::parse("eu-west").unwrap(), 3_600_000_000, now).unwrap().token;
    let name = AgentName::parse("eu-1").unwrap();
    let csr_der = AgentKey::generate().unwrap().csr_der(&name).unwrap();
    let (protocol_min, protocol_max, build) = (1, 1, "0.0.0".to_owned());
    let request = JoinRequest { protocol_min, protocol_max, secret: token.secret, name: Some(name), csr_der, build };
    engine.join(&request, now).unwrap().unwrap().agent
}

/// Takes in slots of the check `shop`, the last of these states in the newest slot but `back`, and looks at the present.
fn observe(engine: &mut Engine, agent: AgentNo, states: &[ProbeState], back: i64, first_seq: u64) {
    let now = clock::now();
    let entries = {
        let book = engine.shared().book();
        let check = book.check_by_id(&CheckId::parse("shop").unwrap()).unwrap();
        let lattice = Lattice::new(&check.id, &AgentName::parse("eu-1").unwrap(), 30_000_000);
        let newest = lattice.at_or_after(now.plus_us(-30_000_000));
        let entry = |(at, state): (usize, &ProbeState)| {
            let ago = (back + i64::try_from(states.len() - 1 - at).unwrap()) * 30_000_000;
            let slot = newest.plus_us(-ago);
            let record = Record::Result(ProbeResult {
                check: check.number,
                revision: Revision(1),
                scheduled: slot,
                started: slot,
                phases: Phases::default(),
                state: *state,
                cause: (*state == ProbeState::Down).then_some(sitepulse_model::record::Cause::ConnectionRefused),
                failed_phase: (*state == ProbeState::Down).then_some(sitepulse_model::record::Phase::Connect),
                detail: "nobody listens".into(),
                address: Some("127.0.0.1:1".parse().unwrap()),
                facts: Facts::default(),
            });
            Entry { bucket: check.bucket(), seq: Seq(first_seq + at as u64), provenance: 0, record }
        };
        states.iter().enumerate().map(entry).collect()
    };
    let provenances = vec![Provenance { build: "0.0.0".into(), clock_offset_us: Some(0), clock_uncertainty_us: 7 }];
    let batch = Batch { number: 1 + first_seq, incarnation: Incarnation(7), provenances, entries };
    engine.ingest(vec![IngestJob { agent, batch, received_at: now }]).unwrap();
    engine.watch(clock::now()).unwrap();
}

/// A collector whose check `shop` is down; the agent that says so.
pub async fn down() -> (Bench, AgentNo) {
    let bench = Bench::new();
    bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
    let long_ago = clock::now().plus_us(-3_600_000_000);
    let written = sitepulse_collector::checkfile::parse(&[sitepulse_collector::checkfile::Source {
        name: "checks.toml".into(),
        text: FILE.into(),
    }])
    .unwrap();
    bench.app.apply(written, super::bench::options(), long_ago).await.unwrap();
    let work = move |engine: &mut Engine| {
        let agent = enrol(engine, long_ago);
        observe(engine, agent, &[ProbeState::Up, ProbeState::Down, ProbeState::Down], 1, 1);
        agent
    };
    let agent = bench.app.writer().run(work).await.unwrap();
    (bench, agent)
}

pub async fn recover(bench: &Bench, agent: AgentNo) {
    let work = move |engine: &mut Engine| observe(engine, agent, &[ProbeState::Up], 0, 10);
    bench.app.writer().run(work).await.unwrap();
}

pub async fn list(bench: &Bench, query: &str) -> Vec<Value> {
    let answer = bench.get(&format!("/api/v1/incidents{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json().as_array().unwrap().clone()
}

#[tokio::test]
async fn an_outage_is_listed_with_every_field_that_scripts_read() {
    let (bench, _) = down().await;
    let found = list(&bench, "").await;
    let [one] = &found[..] else { panic!("{found:?}") };
    for (field, value) in [
        ("check", json!("shop")),
        ("agent", json!(null)),
        ("kind", json!("down")),
        ("state", json!("open")),
        ("severity", json!("major")),
        ("acknowledged_at", json!(null)),
        ("resolved_at", json!(null)),
        ("flapping", json!(false)),
    ] {
        assert_eq!(one[field], value, "{field}");
    }
    assert!(one["opened_at"].as_str().unwrap().ends_with('Z'));
    assert!(one["since"].as_str().unwrap() < one["opened_at"].as_str().unwrap());
    assert_eq!(list(&bench, "?check=shop&kind=down").await.len(), 1);
    assert_eq!(list(&bench, "?kind=regional").await.len(), 0);
    assert_eq!(list(&bench, "?agent=eu-1").await.len(), 0);
    for bad in ["?state=closed", "?kind=fire", "?limit=0", "?from=now&to=-1d", "?colour=red"] {
        assert_eq!(bench.get(&format!("/api/v1/incidents{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    for bad in ["?check=nowhere", "?agent=nobody"] {
        assert_eq!(bench.get(&format!("/api/v1/incidents{bad}")).await.status, StatusCode::NOT_FOUND, "{bad}");
    }
}

#[tokio::test]
async fn what_is_over_is_listed_when_all_is_asked_for() {
    let (bench, agent) = down().await;
    recover(&bench, agent).await;
    assert_eq!(list(&bench, "").await, Vec::<Value>::new());
    let all = list(&bench, "?state=all").await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["state"], "resolved");
    assert!(all[0]["resolved_at"].is_string());
    assert_eq!(list(&bench, "?state=all&to=-1d").await.len(), 0);
}

#[tokio::test]
async fn an_incident_tells_its_history_its_messages_and_what_became_of_them() {
    let (bench, _) = down().await;
    let work = |engine: &mut Engine| {
        let now = clock::now();
        let message = engine.lease(now, 10).unwrap().remove(0);
        let attempt = Attempt { at: now, took_us: 1500, outcome: Outcome::Delivered, note: "HTTP 200".into() };
        engine.mark(message, &attempt).unwrap();
    };
    bench.app.writer().run(work).await.unwrap();
    let id = list(&bench, "").await[0]["id"].as_str().unwrap().to_owned();
    let one = bench.get(&format!("/api/v1/incidents/{id}")).await.json();
    assert_eq!(one["id"], json!(id));
    assert_eq!(one["escalation"], "default");
    assert!(one["next_step_at"].is_string());
    let actions: Vec<&str> = one["history"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert!(actions.starts_with(&["opened"]), "{actions:?}");
    assert!(actions.contains(&"step"), "{actions:?}");
    assert_eq!(one["messages"][0]["state"], "delivered");
    assert_eq!(one["messages"][0]["deliveries"][0]["note"], "HTTP 200");
    assert_eq!(one["integrity"]["intact"], true);
    assert_eq!(bench.get("/api/v1/incidents/20000101-aaaaa").await.status, StatusCode::NOT_FOUND);
}

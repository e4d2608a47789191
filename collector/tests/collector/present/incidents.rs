//! Incidents as people and scripts see them.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::alert::people::{Act, Manual};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_collector::outbox::{Attempt, Outcome};
use sitepulse_collector::present::door::Door;
use sitepulse_daemon::clock;
use sitepulse_daemon::identity::AgentKey;
use sitepulse_model::id::{AgentName, AgentNo, CheckId, Incarnation, Region, Revision, Seq};
use sitepulse_model::incident::Severity;
use sitepulse_model::record::{ChainCertificate, FactKey, Facts, Phases, ProbeResult, ProbeState, Provenance, Record};
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

pub fn enrol(engine: &mut Engine, now: UtcMicros) -> AgentNo {
    let token = engine.create_join_token(Region::parse("eu-west").unwrap(), 3_600_000_000, now).unwrap().token;
    let name = AgentName::parse("eu-1").unwrap();
    let csr_der = AgentKey::generate().unwrap().csr_der(&name).unwrap();
    let (protocol_min, protocol_max, build) = (1, 1, "0.0.0".to_owned());
    let request = JoinRequest { protocol_min, protocol_max, secret: token.secret, name: Some(name), csr_der, build };
    engine.join(&request, now).unwrap().unwrap().agent
}

/// What a run that is down tells besides: all the evidence that there is.
fn told() -> Facts {
    let mut facts = Facts { status: Some(500), ..Facts::default() };
    facts.text(FactKey::Resolver, "192.0.2.53:53");
    for answer in ["127.0.0.1", "192.0.2.7"] {
        facts.text(FactKey::ResolverAnswer, answer);
    }
    for (subject, issuer) in [("shop.example", "R3"), ("R3", "Root")] {
        let one = ChainCertificate {
            sha256: "0f".repeat(32).into(),
            not_after: Some("2026-12-01T00:00:00Z".into()),
            subject: subject.into(),
            issuer: issuer.into(),
        };
        facts.text(FactKey::CertificateChain, &one.line());
    }
    facts.text(FactKey::ResponseSha256, &"ab".repeat(32));
    facts
}

/// [`take_in`], and looks at the present.
fn observe(engine: &mut Engine, agent: AgentNo, states: &[ProbeState], back: i64, first_seq: u64) {
    take_in(engine, agent, states, back, first_seq);
    engine.watch(clock::now()).unwrap();
}

/// Takes in slots of the check `shop`, the last of these states in the newest slot but `back`.
pub fn take_in(engine: &mut Engine, agent: AgentNo, states: &[ProbeState], back: i64, first_seq: u64) {
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
                facts: if *state == ProbeState::Down { told() } else { Facts::default() },
            });
            Entry { bucket: check.bucket(), seq: Seq(first_seq + at as u64), provenance: 0, record }
        };
        states.iter().enumerate().map(entry).collect()
    };
    let provenances = vec![Provenance { build: "0.0.0".into(), clock_offset_us: Some(0), clock_uncertainty_us: 7 }];
    let batch = Batch { number: 1 + first_seq, incarnation: Incarnation(7), provenances, entries };
    engine.ingest(vec![IngestJob { agent, batch, received_at: now }]).unwrap();
}

/// A collector whose check `shop` is down; the agent that says so.
pub async fn down() -> (Bench, AgentNo) {
    let bench = Bench::new();
    bench.app.shared().links.set_console(Some("https://console.example"));
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

async fn id_of(bench: &Bench) -> String {
    list(bench, "").await[0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_people_do_is_told_in_the_history_with_who_did_it() {
    let (bench, _) = down().await;
    let id = id_of(&bench).await;
    let path = format!("/api/v1/incidents/{id}/acts");
    for (act, state) in [
        (json!({"act": "acknowledge", "by": "ana"}), "acknowledged"),
        (json!({"act": "assign", "to": "ben"}), "acknowledged"),
        (json!({"act": "comment", "text": "the switch\nin rack 4"}), "acknowledged"),
        (json!({"act": "resolve"}), "resolved"),
        (json!({"act": "reopen"}), "open"),
        (json!({"act": "post_mortem", "text": "a cable"}), "open"),
    ] {
        let answer = bench.post(&path, &act).await;
        assert_eq!((answer.status, &answer.json()["state"]), (StatusCode::OK, &json!(state)), "{act}: {}", answer.text);
    }
    let one = bench.get(&format!("/api/v1/incidents/{id}")).await.json();
    let of = |action: &str| {
        let history = one["history"].as_array().unwrap();
        history.iter().find(|entry| entry["action"] == action).unwrap_or_else(|| panic!("no {action}")).clone()
    };
    assert_eq!((&of("acknowledged")["by"], &of("acknowledged")["author"]), (&json!("ana"), &json!("collector:cli")));
    assert_eq!(of("assigned")["text"], "ben");
    assert_eq!(of("comment")["text"], "the switch\nin rack 4");
    assert_eq!(of("reopened")["by"], "collector:cli");
    assert_eq!((&one["assignee"], &one["post_mortem"]), (&json!("ben"), &json!("a cable")));
    let evidence = one["evidence"].as_array().unwrap();
    assert_eq!(evidence.len(), 3, "at the opening, the resolve and the opening again");
    let vote = &evidence[0]["votes"][0];
    for (field, value) in [("agent", "eu-1"), ("region", "eu-west"), ("vote", "down")] {
        assert_eq!(vote[field], value, "{field}");
    }
    for (field, value) in [
        ("cause", "connection_refused"),
        ("phase", "connect"),
        ("detail", "nobody listens"),
        ("address", "127.0.0.1:1"),
        ("state", "down"),
    ] {
        assert_eq!(vote["result"][field], value, "{field}");
    }
    assert!(vote["result"]["key"].as_str().unwrap().starts_with("eu-1@"));
    assert_eq!(one["integrity"]["intact"], true, "{}", one["integrity"]);
    for (act, status) in [
        (json!({"act": "reopen"}), StatusCode::CONFLICT),
        (json!({"act": "dance"}), StatusCode::BAD_REQUEST),
        (json!({"act": "comment", "text": ""}), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(bench.post(&path, &act).await.status, status, "{act}");
    }
}

#[tokio::test]
async fn incidents_of_ones_own_and_silences_go_over_the_api() {
    let (bench, _) = down().await;
    let opened = bench.post("/api/v1/incidents", &json!({"title": "mail bounces", "severity": "critical"})).await;
    assert_eq!(opened.status, StatusCode::OK, "{}", opened.text);
    let opened = opened.json();
    assert_eq!((&opened["kind"], &opened["severity"]), (&json!("manual"), &json!("critical")));
    assert_eq!((&opened["title"], &opened["state"]), (&json!("mail bounces"), &json!("open")));
    for bad in [json!({"title": ""}), json!({"title": "t", "severity": "loud"})] {
        assert_eq!(bench.post("/api/v1/incidents", &bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let missing = json!({"title": "t", "check": "nowhere"});
    assert_eq!(bench.post("/api/v1/incidents", &missing).await.status, StatusCode::NOT_FOUND);

    let until = sitepulse_daemon::instant::format(clock::now().plus_us(3_600_000_000));
    let wanted = json!({"groups": ["web"], "until": until, "reason": "release"});
    let made = bench.post("/api/v1/silences", &wanted).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.json()["state"], "active");
    bench.app.writer().run(|engine: &mut Engine| engine.watch(clock::now()).unwrap()).await.unwrap();
    let held = list(&bench, "?check=shop").await;
    assert_eq!(held[0]["held"]["reason"], "silence", "{held:?}");
    assert_eq!(bench.get("/api/v1/silences").await.json().as_array().unwrap().len(), 1);
    let path = format!("/api/v1/silences/{id}");
    for status in [StatusCode::NO_CONTENT, StatusCode::CONFLICT] {
        assert_eq!(bench.send(Door::Local, "DELETE", &path, &[], "").await.status, status);
    }
    assert_eq!(bench.get("/api/v1/silences").await.json(), json!([]));
    assert_eq!(bench.get("/api/v1/silences?all=true").await.json()[0]["ended_by"], "collector:cli");
}

#[tokio::test]
async fn the_page_behind_an_acknowledge_link_says_since_when_as_the_console_does() {
    let (bench, _) = down().await;
    let work = |engine: &mut Engine| engine.lease(clock::now(), 10).unwrap().remove(0);
    let message = bench.app.writer().run(work).await.unwrap();
    let link = message.notice.context.acknowledge_link.unwrap();
    let path = link.strip_prefix("https://console.example").unwrap();
    let id = id_of(&bench).await;
    let one = bench.get(&format!("/api/v1/incidents/{id}")).await.json();
    let since = one["since"].as_str().unwrap();
    let (day, time) = (&since[..10], &since[11..19]);
    let shown = bench.send(super::bench::NETWORK, "GET", path, &[], "").await.text;
    let wanted = format!("<time datetime=\"{since}\">{day} {time} UTC</time>");
    assert!(shown.contains(&wanted), "{wanted}: {shown}");
}

#[tokio::test]
async fn a_french_page_marks_what_a_provider_said_as_english() {
    let (bench, _) = down().await;
    let refuse = |engine: &mut Engine| {
        let now = clock::now();
        let message = engine.lease(now, 10).unwrap().remove(0);
        let note = "turned away: HTTP 404: no such hook".into();
        let attempt = Attempt { at: now, took_us: 1, outcome: Outcome::GivenUp, note };
        engine.mark(message, &attempt).unwrap();
    };
    bench.app.writer().run(refuse).await.unwrap();
    let id = id_of(&bench).await;
    for path in ["/channels".to_owned(), format!("/incidents/{id}")] {
        let page = bench.send(Door::Local, "GET", &path, &[("accept-language", "fr")], "").await.text;
        let wanted = "refusé par le fournisseur\u{a0}: HTTP 404 <q lang=\"en\">no such hook</q>";
        assert!(page.contains(wanted) && !page.contains("turned away"), "{path}: {page}");
    }
    let english = bench.get("/channels").await.text;
    assert!(english.contains("turned away: HTTP 404: no such hook") && !english.contains("<q"), "{english}");
}

#[tokio::test]
async fn an_acknowledge_link_acts_on_post_alone() {
    let (bench, agent) = down().await;
    let work = |engine: &mut Engine| engine.lease(clock::now(), 10).unwrap().remove(0);
    let message = bench.app.writer().run(work).await.unwrap();
    let link = message.notice.context.acknowledge_link.unwrap();
    let path = link.strip_prefix("https://console.example").unwrap().to_owned();
    let stranger = super::bench::NETWORK;
    let french = [("accept-language", "fr")];
    let id = id_of(&bench).await;
    let state = || async { bench.get(&format!("/api/v1/incidents/{id}")).await.json() };

    let shown = bench.send(stranger, "GET", &path, &french, "").await;
    assert_eq!(shown.status, StatusCode::OK);
    assert!(shown.text.contains("<button") && shown.text.contains("Prendre en charge"), "{}", shown.text);
    assert!(shown.text.contains("shop") && shown.text.contains("method=\"post\""));
    assert_eq!(bench.send(stranger, "HEAD", &path, &[], "").await.status, StatusCode::OK);
    assert_eq!(state().await["state"], "open", "who looks takes nothing over");

    let taken = bench.send(stranger, "POST", &path, &[], "").await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.text);
    assert!(taken.text.contains("It is yours") && !taken.text.contains("<button"), "{}", taken.text);
    let now = state().await;
    assert_eq!((&now["state"], &now["acknowledged_by"]), (&json!("acknowledged"), &json!("ops-hook")));
    let again = bench.send(stranger, "POST", &path, &[], "").await;
    assert!(again.text.contains("ops-hook has it already"), "{}", again.text);

    recover(&bench, agent).await;
    let over = bench.send(stranger, "GET", &path, &[], "").await;
    assert!(over.text.contains("is over") && !over.text.contains("<button"), "{}", over.text);

    let mut forged = path.clone();
    let last = if forged.ends_with('A') { 'B' } else { 'A' };
    forged.replace_range(20..21, if &forged[20..21] == "A" { "B" } else { "A" });
    for bad in [forged, format!("{path}{last}"), "/a/x".to_owned()] {
        for method in ["GET", "POST"] {
            let answer = bench.send(stranger, method, &bad, &[], "").await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {bad}");
            assert!(!answer.text.contains("shop") && !answer.text.contains(&id), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_summary_tells_how_long_incidents_took() {
    let (bench, agent) = down().await;
    let id = id_of(&bench).await;
    let open = bench.get("/api/v1/incidents/summary").await.json();
    assert_eq!((&open["all"]["opened"], &open["all"]["open"]), (&json!(1), &json!(1)));
    assert_eq!((&open["open_now"]["major"], &open["critical"]["opened"]), (&json!(1), &json!(0)));
    assert_eq!((&open["all"]["mtta_seconds"], &open["all"]["mttr_seconds"]), (&json!(null), &json!(null)));
    let act = json!({"act": "acknowledge"});
    assert_eq!(bench.post(&format!("/api/v1/incidents/{id}/acts"), &act).await.status, StatusCode::OK);
    recover(&bench, agent).await;
    let one = bench.get(&format!("/api/v1/incidents/{id}")).await.json();
    let over = bench.get("/api/v1/incidents/summary?check=shop").await.json();
    assert_eq!((&over["all"]["resolved"], &over["all"]["open"]), (&json!(1), &json!(0)));
    let at = |field: &str| sitepulse_daemon::instant::parse(one[field].as_str().unwrap(), clock::now()).unwrap();
    let took = |to: &str| at(to).us_since(at("opened_at")) as f64 / 1e6;
    assert_eq!(over["all"]["mtta_seconds"], json!(took("first_acknowledged_at")));
    assert_eq!(over["all"]["mttr_seconds"], json!(took("resolved_at")));
}

fn program(dir: &std::path::Path, args: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sitepulse-collector"));
    for name in ["SITEPULSE_URL", "SITEPULSE_TOKEN", "SITEPULSE_COLLECTOR_DATA_DIR", "NOTIFY_SOCKET", "SITEPULSE_LOG"] {
        command.env_remove(name);
    }
    command.args(args).arg("--data-dir").arg(dir).stdin(std::process::Stdio::null()).output().unwrap()
}

fn printed(dir: &std::path::Path, args: &[&str]) -> Value {
    let output = program(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_row_that_somebody_changed_breaks_the_history_from_there_on() {
    let (bench, _) = down().await;
    let id = id_of(&bench).await;
    for text in ["one", "two", "three"] {
        let act = json!({"act": "comment", "text": text});
        assert_eq!(bench.post(&format!("/api/v1/incidents/{id}/acts"), &act).await.status, StatusCode::OK);
    }
    bench.app.close().await;
    let dir = bench.app.data_dir();
    let verify = |exit: i32| {
        let one = program(dir, &["incident", &id, "--verify", "--json"]);
        let whole = program(dir, &["verify", "--json"]);
        assert_eq!((one.status.code(), whole.status.code()), (Some(exit), Some(exit)));
        let whole: Value = serde_json::from_slice(&whole.stdout).unwrap();
        assert_eq!(whole["incidents"], 1);
        (serde_json::from_slice::<Value>(&one.stdout).unwrap(), whole)
    };
    let (sound, _) = verify(0);
    assert_eq!((&sound["intact"], &sound["broken_at"]), (&json!(true), &json!(null)));
    let entries = sound["entries"].as_i64().unwrap();

    let db = rusqlite::Connection::open(dir.join("collector.db")).unwrap();
    let changed = "UPDATE incident_entry SET body = replace(body, 'two', 'TWO') WHERE body LIKE '%two%'";
    assert_eq!(db.execute(changed, []).unwrap(), 1);
    drop(db);
    let (broken, whole) = verify(4);
    assert_eq!((&broken["intact"], &broken["broken_at"]), (&json!(false), &json!(entries - 1)));
    assert!(whole["problems"][0].as_str().unwrap().contains(&id), "{whole}");
    let one = printed(dir, &["incident", &id, "--json"]);
    let intact: Vec<bool> = one["history"].as_array().unwrap().iter().map(|e| e["intact"].as_bool().unwrap()).collect();
    let expected: Vec<bool> = (1..=entries).map(|number| number < entries - 1).collect();
    assert_eq!(intact, expected);

    // A row that is gone, in the midst and at the end.
    let db = rusqlite::Connection::open(dir.join("collector.db")).unwrap();
    db.execute("UPDATE incident_entry SET body = replace(body, 'TWO', 'two')", []).unwrap();
    db.execute("DELETE FROM incident_entry WHERE number = 2", []).unwrap();
    drop(db);
    assert_eq!(verify(4).0["broken_at"], 2);
    let db = rusqlite::Connection::open(dir.join("collector.db")).unwrap();
    db.execute("DELETE FROM incident_entry WHERE number >= 2", []).unwrap();
    drop(db);
    assert_eq!(verify(4).0["broken_at"], 2, "the incident counts a step that no entry tells of");
}

#[tokio::test]
async fn the_evidence_tells_chain_hash_and_resolver_and_whoever_changes_them_there_is_found() {
    let (bench, _) = down().await;
    let id = id_of(&bench).await;
    let path = format!("/api/v1/incidents/{id}");
    let one = bench.get(&path).await.json();
    let facts = &one["evidence"][0]["votes"][0]["result"]["facts"];
    let certificate = |subject: &str, issuer: &str| {
        let sha256 = "0f".repeat(32);
        json!({"sha256": sha256, "not_after": "2026-12-01T00:00:00Z", "subject": subject, "issuer": issuer})
    };
    let chain = json!([certificate("shop.example", "R3"), certificate("R3", "Root")]);
    for (name, value) in [
        ("certificate_chain", &chain),
        ("response_sha256", &json!("ab".repeat(32))),
        ("resolver", &json!("192.0.2.53:53")),
        ("resolver_answer", &json!(["127.0.0.1", "192.0.2.7"])),
    ] {
        assert_eq!(&facts[name], value, "{name}");
    }
    // The result has them by the same names.
    let results = bench.get("/api/v1/results?check=shop&from=-1h").await.json();
    let records = results["records"].as_array().unwrap();
    let mine = records.iter().find(|record| record["result"]["state"] == "down").unwrap();
    assert_eq!(&mine["result"]["facts"], facts);

    bench.app.close().await;
    let dir = bench.app.data_dir();
    let text = String::from_utf8(program(dir, &["incident", &id]).stdout).unwrap();
    let line =
        format!("certificate_chain = shop.example \u{2190} R3 \u{b7} 2026-12-01T00:00:00Z \u{b7} {}", "0f".repeat(32));
    assert!(text.contains(&line) && text.contains("resolver_answer = 192.0.2.7\n"), "{text}");
    let verify = |exit: i32| -> Value {
        let output = program(dir, &["incident", &id, "--verify", "--json"]);
        assert_eq!(output.status.code(), Some(exit));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(verify(0)["intact"], true);
    let change = |from: &str, to: &str| {
        let db = rusqlite::Connection::open(dir.join("collector.db")).unwrap();
        let changed = "UPDATE incident_entry SET body = replace(body, ?1, ?2) WHERE body LIKE '%' || ?1 || '%'";
        assert_eq!(db.execute(changed, [from, to]).unwrap(), 1, "{from}");
    };
    for (was, is) in [
        ("shop.example", "shop.invalid"),
        (&*"0f".repeat(32), &*"1f".repeat(32)),
        (&*"ab".repeat(32), &*"ac".repeat(32)),
        ("192.0.2.7", "192.0.2.8"),
        ("192.0.2.53:53", "192.0.2.54:53"),
    ] {
        change(was, is);
        let broken = verify(4);
        assert!(broken["intact"] == false && broken["broken_at"].is_number(), "{was}: {broken}");
        change(is, was);
        assert_eq!(verify(0)["intact"], true, "{was}");
    }
}

#[tokio::test]
async fn the_command_line_works_without_a_server_and_concludes_nothing_by_itself() {
    let (bench, _) = down().await;
    let id = id_of(&bench).await;
    bench.app.close().await;
    let dir = bench.app.data_dir();
    let listed = printed(dir, &["incidents", "--json"]);
    assert_eq!((&listed[0]["id"], &listed[0]["state"]), (&json!(id), &json!("open")));
    assert_eq!(printed(dir, &["ack", &id, "--by", "ana", "--json"])["acknowledged_by"], "ana");
    let again = program(dir, &["ack", &id]);
    assert_eq!(again.status.code(), Some(5), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(program(dir, &["resolve", "20000101-aaaaa"]).status.code(), Some(8));
    assert_eq!(printed(dir, &["resolve", &id, "--json"])["state"], "resolved");
    assert_eq!(printed(dir, &["reopen", &id, "--json"])["state"], "open");
    assert_eq!(printed(dir, &["assign", &id, "ben", "--json"])["assignee"], "ben");
    printed(dir, &["comment", &id, "a cable", "--json"]);
    let file = dir.join("learned.md");
    std::fs::write(&file, "a cable\n").unwrap();
    printed(dir, &["post-mortem", &id, file.to_str().unwrap(), "--json"]);
    assert_eq!(program(dir, &["post-mortem", &id, "nowhere.md"]).status.code(), Some(8));
    assert_eq!(program(dir, &["comment", &id, " "]).status.code(), Some(2));
    let own = printed(dir, &["open", "--title", "mail bounces", "--check", "shop", "--json"]);
    assert_eq!((&own["kind"], &own["check"]), (&json!("manual"), &json!("shop")));
    let silence = printed(dir, &["silence", "--check", "shop", "--for", "2h", "--reason", "release", "--json"]);
    let silence = silence["id"].as_str().unwrap();
    assert_eq!(printed(dir, &["silences", "--json"])[0]["id"], silence);
    printed(dir, &["unsilence", silence, "--json"]);
    assert_eq!(program(dir, &["unsilence", silence]).status.code(), Some(5));
    assert_eq!(printed(dir, &["silences", "--json"]), json!([]));
    assert_eq!(printed(dir, &["silences", "--all", "--json"])[0]["state"], "ended");
    let text = String::from_utf8(program(dir, &["incident", &id]).stdout).unwrap();
    for told in ["History", "Evidence of", "connection_refused", "Resolved by cli", "a cable", "Post-mortem"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let all = printed(dir, &["incidents", "--all", "--json"]);
    assert_eq!(all.as_array().unwrap().len(), 2, "no agent was called silent meanwhile: {all}");
}

/// What a sign-in link gives a browser.
async fn session(bench: &Bench, link: &str) -> String {
    let link = bench.post(link, &Value::Null).await.json();
    let token = link["url"].as_str().unwrap().strip_prefix("https://console.example/sign-in?token=").unwrap();
    let opened = bench.open_link(super::bench::NETWORK, token).await;
    opened.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn the_console_shows_incidents_to_every_session_and_takes_acts_from_those_that_may() {
    let bench = Bench::new();
    let (looks, acts) =
        (session(&bench, "/api/v1/sign-in-links").await, session(&bench, "/api/v1/sign-in-links?admin=true").await);
    let empty = bench.get("/incidents").await;
    assert!(
        empty.text.contains("Nothing is open") && empty.text.contains("Nobody is told of incidents"),
        "{}",
        empty.text
    );
    assert_eq!(bench.apply(FILE, json!({})).await.status, StatusCode::OK);
    let opened =
        bench.post("/api/v1/incidents", &json!({"title": "<b>Payment provider</b>", "check": "shop"})).await.json();
    let id = opened["id"].as_str().unwrap();
    let from = [("origin", "https://console.example"), ("host", "console.example")];
    let form = ("content-type", "application/x-www-form-urlencoded");
    let send = async |method: &str, path: &str, cookie: &str, body: &str| {
        let headers = [("cookie", cookie), from[0], from[1], form];
        bench.send(super::bench::NETWORK, method, path, &headers, body).await
    };
    let list = send("GET", "/incidents?lang=fr", &looks, "").await;
    assert!(list.text.contains("&#60;b&#62;Payment provider") && list.text.contains("ouvert"), "{}", list.text);
    let page = format!("/incidents/{id}");
    let seen = send("GET", &page, &looks, "").await;
    assert!(
        seen.status == StatusCode::OK && !seen.text.contains("/ack\""),
        "who may only look is offered nothing: {}",
        seen.text
    );
    assert_eq!(send("POST", &format!("{page}/ack"), &looks, "").await.status, StatusCode::FORBIDDEN);
    assert_eq!(
        bench.send(super::bench::NETWORK, "POST", &format!("{page}/ack"), &[], "").await.status,
        StatusCode::UNAUTHORIZED
    );
    let stranger = bench.send(super::bench::NETWORK, "GET", &page, &[], "").await;
    assert!(
        stranger.status == StatusCode::UNAUTHORIZED && stranger.text.starts_with("<!doctype html>"),
        "the link of a message leads to the sign-in page"
    );
    let evil = [("cookie", acts.as_str()), ("origin", "https://evil.example"), ("host", "console.example"), form];
    let crossed = bench.send(super::bench::NETWORK, "POST", &format!("{page}/ack"), &evil, "").await;
    assert_eq!(crossed.status, StatusCode::FORBIDDEN, "another site's form takes nothing");

    assert!(send("GET", &page, &acts, "").await.text.contains("/ack\""));
    assert_eq!(send("POST", &format!("{page}/ack"), &acts, "").await.status, StatusCode::SEE_OTHER);
    assert_eq!(send("POST", &format!("{page}/ack"), &acts, "").await.status, StatusCode::CONFLICT);
    let said = send("POST", &format!("{page}/comment?lang=fr"), &acts, "text=On+regarde+%3Cscript%3E").await;
    assert_eq!(said.headers["location"].to_str().unwrap(), page);
    assert_eq!(send("POST", &format!("{page}/resolve"), &acts, "").await.status, StatusCode::SEE_OTHER);
    assert_eq!(send("POST", &format!("{page}/burn"), &acts, "").await.status, StatusCode::NOT_FOUND);
    let over = send("GET", &format!("{page}?lang=fr"), &acts, "").await.text;
    assert!(over.contains("On regarde &#60;script&#62;") && over.contains("Pris en charge par console"), "{over}");
    assert!(over.contains("résolu") && over.contains("telles qu’elles ont été écrites"), "{over}");
    assert_eq!(bench.get("/incidents/20260101-zzzzz").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_dead_letter_is_tried_again_by_hand() {
    let bench = Bench::new();
    assert_eq!(bench.apply(FILE, json!({})).await.status, StatusCode::OK);
    let id =
        bench.post("/api/v1/incidents", &json!({"title": "Provider"})).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/deliveries/{id}/1/ops-hook/retry");
    let early = bench.post(&path, &Value::Null).await;
    assert!(early.status == StatusCode::CONFLICT && early.text.contains("for the first time"), "{}", early.text);
    let give_up = |engine: &mut Engine| {
        let now = clock::now();
        let message = engine.lease(now, 10).unwrap().remove(0);
        engine
            .mark(message, &Attempt { at: now, took_us: 1, outcome: Outcome::GivenUp, note: "HTTP 404".into() })
            .unwrap();
        assert!(engine.lease(now, 10).unwrap().is_empty());
    };
    bench.app.writer().run(give_up).await.unwrap();
    let read =
        bench.token(sitepulse_collector::app::CredentialKind::ApiToken, sitepulse_collector::app::Access::Read).await;
    let bearer = format!("Bearer {read}");
    let refused = bench.send(super::bench::NETWORK, "POST", &path, &[("authorization", &bearer)], "").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(bench.post(&path, &Value::Null).await.json()["key"], format!("{id}/1/ops-hook"));
    let again =
        bench.app.writer().run(|engine| engine.lease(clock::now(), 10).unwrap().remove(0).key.to_string()).await;
    assert_eq!(again.unwrap(), format!("{id}/1/ops-hook"));
    for unknown in [format!("{id}/9/ops-hook"), format!("{id}/x/ops-hook"), "20260101-zzzzz/1/ops-hook".into()] {
        let answer = bench.post(&format!("/api/v1/deliveries/{unknown}/retry"), &Value::Null).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{unknown}: {}", answer.text);
    }
}

/// The pages of a list from an address on, each as text; `next` finds the address of the one after.
async fn pages(bench: &Bench, first: String, next: impl Fn(&super::bench::Answer) -> Option<String>) -> Vec<String> {
    let (mut pages, mut at) = (Vec::new(), Some(first));
    while let Some(path) = at {
        let page = bench.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        at = next(&page);
        pages.push(page.text);
        assert!(pages.len() < 20, "{path} leads in circles");
    }
    pages
}

#[tokio::test]
async fn incidents_of_any_age_are_reached_page_by_page_and_filters_stay() {
    const DAY_US: i64 = 86_400_000_000;
    let bench = Bench::new();
    // One every third day of more than a year, the newest first; every tenth does not matter much.
    let work = |engine: &mut Engine| {
        let now = clock::now();
        let mut ids: Vec<String> = (0..130_i64)
            .rev()
            .map(|n| {
                let at = now.plus_us(-(n + 1) * 3 * DAY_US);
                let severity = Some(if n % 10 == 0 { Severity::Minor } else { Severity::Critical });
                let manual = Manual { title: format!("outage {n}"), check: None, severity };
                let id = engine.open_manual(&manual, "ana", at).unwrap();
                engine.act_on(&id, &Act::Resolve { by: None }, "ana", at.plus_us(60_000_000)).unwrap();
                id.0
            })
            .collect();
        ids.reverse();
        ids
    };
    let ids = bench.app.writer().run(work).await.unwrap();
    let shown = |page: &str| -> Vec<usize> {
        (0..ids.len()).filter(|n| page.contains(&format!("href=\"/incidents/{}\"", ids[*n]))).collect()
    };
    for (lang, older, newest) in [("en", "Older", "Newest"), ("fr", "Plus anciens", "Plus récents")] {
        let next = |page: &super::bench::Answer| {
            let href = page.text.split_once("rel=\"next\" href=\"")?.1.split_once('"')?.0;
            Some(format!("{}&lang={lang}", href.replace("&#38;", "&")))
        };
        let all = pages(&bench, format!("/incidents?state=all&lang={lang}"), next).await;
        assert_eq!(all.iter().map(|page| shown(page)).collect::<Vec<_>>().concat(), (0..130).collect::<Vec<_>>());
        let [first, last] = &all[..] else { panic!("{} pages of 100", all.len()) };
        assert!(first.contains(older) && !first.contains(newest) && first.contains("id=\"incidents-open\""), "{first}");
        assert!(last.contains(newest) && !last.contains("rel=\"next\""), "{last}");
        assert!(!last.contains("id=\"incidents-open\""), "what is open stands on the first page: {last}");
        let critical = pages(&bench, format!("/incidents?state=all&severity=critical&lang={lang}"), next).await;
        assert_eq!(critical.len(), 2);
        assert_eq!(
            critical.iter().map(|page| shown(page)).collect::<Vec<_>>().concat(),
            (0..130).filter(|n| n % 10 != 0).collect::<Vec<_>>()
        );
        let minor = pages(&bench, format!("/incidents?state=all&severity=minor&lang={lang}"), next).await;
        assert!(minor.len() == 1 && !minor[0].contains("class=\"pager\""), "{}", minor[0]);

        let oldest = bench.get(&format!("/incidents/{}?lang={lang}", ids[129])).await;
        assert!(oldest.status == StatusCode::OK && oldest.text.contains("outage 129"), "{}", oldest.text);
    }
    // Scripts say from when on.
    let link = |page: &super::bench::Answer| {
        let link = page.headers.get("link")?.to_str().unwrap();
        Some(link.strip_prefix('<')?.split_once('>')?.0.to_owned())
    };
    let told = pages(&bench, "/api/v1/incidents?state=all&from=-400d&limit=50".to_owned(), link).await;
    let told = told.iter().flat_map(|page| serde_json::from_str::<Vec<Value>>(page).unwrap());
    assert_eq!(told.map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), ids);
}

#[tokio::test]
async fn a_flood_of_open_incidents_comes_page_by_page_in_the_order_of_the_queue() {
    let bench = Bench::new();
    let work = |engine: &mut Engine| {
        let now = clock::now();
        let ids = (0..130_i64).map(|n| {
            // The severe ones came last.
            let severity = Some(if n < 30 { Severity::Minor } else { Severity::Critical });
            let manual = Manual { title: format!("outage {n}"), check: None, severity };
            engine.open_manual(&manual, "ana", now.plus_us((n - 200) * 1_000_000)).unwrap().0
        });
        ids.collect::<Vec<_>>()
    };
    let ids = bench.app.writer().run(work).await.unwrap();
    let shown = |page: &str, wanted: std::ops::Range<usize>| {
        (0..130).all(|n| page.contains(&format!("href=\"/incidents/{}\"", ids[n])) == wanted.contains(&n))
    };
    let next = |page: &super::bench::Answer| {
        let href = page.text.split_once("rel=\"next\" href=\"")?.1.split_once('"')?.0;
        Some(href.replace("&#38;", "&"))
    };
    let told = pages(&bench, "/incidents?kind=manual&lang=en".to_owned(), next).await;
    let [first, last] = &told[..] else { panic!("{} pages of 100", told.len()) };
    assert!(shown(first, 30..130) && first.contains("1 to 100 of 130"), "{first}");
    assert!(shown(last, 0..30) && last.contains("101 to 130 of 130") && last.contains("rel=\"prev\""), "{last}");
}

//! What late data changed, as people and scripts see it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_daemon::clock;
use sitepulse_daemon::identity::AgentKey;
use sitepulse_model::check::{CheckDefinition, CheckKind};
use sitepulse_model::id::{AgentName, AgentNo, Incarnation, Region, Revision, Seq};
use sitepulse_model::record::{Facts, Phases, ProbeResult, ProbeState, Provenance, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::{Batch, Entry, JoinRequest};

use super::bench::{Bench, backup, options};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
const INTERVAL_US: u64 = 60_000_000;
/// How long ago the agent was cut off, and was back.
const CUT: i64 = 14 * HOUR;
const BACK: i64 = 2 * HOUR;

fn shop(id: &str) -> CheckDefinition {
    let mut check = backup();
    check.id = sitepulse_model::id::CheckId::parse(id).unwrap();
    check.kind = CheckKind::http("http://127.0.0.1:9/");
    check.interval_us = INTERVAL_US;
    check
}

fn enrol(engine: &mut Engine, name: &str, start: UtcMicros) -> AgentNo {
    let token = engine.create_join_token(Region::parse("eu-west").unwrap(), 3_600_000_000, start).unwrap().token;
    let name = AgentName::parse(name).unwrap();
    let csr_der = AgentKey::generate().unwrap().csr_der(&name).unwrap();
    let (protocol_min, protocol_max, build) = (1, 1, "0.0.0".to_owned());
    let request = JoinRequest { protocol_min, protocol_max, secret: token.secret, name: Some(name), csr_der, build };
    engine.join(&request, start).unwrap().unwrap().agent
}

/// The results of a check's slots in a span; down in the ninth and eighth hour before `now`.
fn batch(
    engine: &Engine,
    id: &str,
    agent: AgentNo,
    span: (UtcMicros, UtcMicros),
    now: UtcMicros,
    seq: &mut u64,
) -> Batch {
    let book = engine.shared().book();
    let check = book.check_by_id(&sitepulse_model::id::CheckId::parse(id).unwrap()).unwrap();
    let lattice = Lattice::new(&check.id, &book.agent(agent).unwrap().name, INTERVAL_US);
    let mut slot = lattice.at_or_after(span.0);
    let mut entries = Vec::new();
    while slot < span.1 {
        let ago = now.us_since(slot);
        let down = (8 * HOUR..9 * HOUR).contains(&ago);
        let record = Record::Result(ProbeResult {
            check: check.number,
            revision: Revision(1),
            scheduled: slot,
            started: slot,
            phases: Phases::default(),
            state: if down { ProbeState::Down } else { ProbeState::Up },
            cause: down.then_some(sitepulse_model::record::Cause::Timeout),
            failed_phase: None,
            detail: String::new(),
            address: None,
            facts: Facts::default(),
        });
        entries.push(Entry { bucket: check.bucket(), seq: Seq(*seq), provenance: 0, record });
        *seq += 1;
        slot = slot.plus_us(INTERVAL_US.cast_signed());
    }
    let provenances = vec![Provenance { build: "0.0.0".into(), clock_offset_us: Some(5), clock_uncertainty_us: 7 }];
    Batch { number: 1, incarnation: Incarnation(7), provenances, entries }
}

/// The check `shop` from two days ago, whose agent was cut off for twelve hours and sent all it had kept two hours ago, `episodes` times a part of it.
async fn cut_off(bench: &Bench, now: UtcMicros, episodes: i64, settle: bool) {
    let start = now.plus_us(-48 * HOUR);
    bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
    bench.app.apply(vec![shop("shop"), shop("blog")], options(), start).await.unwrap();
    let work = move |engine: &mut Engine| {
        let agent = enrol(engine, "eu-1", start);
        let mut seq = 0;
        // In time, as far as anybody can tell: each batch comes when its last slot is.
        let in_time = |engine: &mut Engine, from: UtcMicros, to: UtcMicros, seq: &mut u64| {
            let mut at = from;
            while at < to {
                let next = at.plus_us(60 * SECOND);
                let batch = batch(engine, "shop", agent, (at, next), now, seq);
                engine.ingest(vec![IngestJob { agent, received_at: next, batch }]).unwrap();
                at = next;
            }
        };
        in_time(engine, now.plus_us(-CUT - HOUR), now.plus_us(-CUT), &mut seq);
        for episode in 0..episodes {
            let part = (CUT - BACK) / episodes;
            let from = now.plus_us(-CUT + episode * part);
            let batch = batch(engine, "shop", agent, (from, from.plus_us(part)), now, &mut seq);
            let received_at = now.plus_us(-BACK + 200 * SECOND + episode * 360 * SECOND);
            engine.ingest(vec![IngestJob { agent, received_at, batch }]).unwrap();
            if settle {
                assert_eq!(engine.settle(received_at.plus_us(300 * SECOND), false).unwrap(), 1);
            }
        }
    };
    bench.app.writer().run(work).await.unwrap();
}

#[tokio::test]
async fn the_api_tells_what_changed_and_the_figures_say_so() {
    let bench = Bench::new();
    let now = clock::now();
    cut_off(&bench, now, 1, true).await;
    let told = bench.get("/api/v1/amendments?check=shop").await.json();
    assert_eq!(told["next"], Value::Null);
    let [one] = &told["amendments"].as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!((&one["check"], &one["number"]), (&json!("shop"), &json!(1)));
    assert_eq!(one["late"][0]["agent"], "eu-1");
    assert_eq!((&one["late"][0]["region"], &one["late"][0]["records"]), (&json!("eu-west"), &json!(720)));
    let seconds = |of: &str, what: &str| one[of]["seconds"][what].as_f64().unwrap();
    assert_eq!((seconds("before", "down"), seconds("after", "down")), (0.0, 3600.0));
    let changed: f64 =
        one["changes"].as_array().unwrap().iter().map(|change| change["seconds"].as_f64().unwrap()).sum();
    let unknown = |of: &str| one[of]["seconds"]["unknown"]["agent_offline"].as_f64().unwrap();
    assert!((unknown("before") - unknown("after") - changed).abs() < 1e-6, "{one}");
    assert_eq!(one["changes"][0]["before"]["unknown_cause"], "agent_offline");
    assert!(one["before"]["completeness"].as_f64() < one["after"]["completeness"].as_f64());

    // A figure of that time says that it was amended, one of another time does not.
    let sla = bench.get("/api/v1/sla?check=shop").await.json();
    assert_eq!(sla[0]["amended"]["count"], 1, "{sla}");
    let before = bench.get("/api/v1/sla?check=shop&from=-16h&to=-15h").await.json();
    assert_eq!(before[0].get("amended"), None, "{before}");
    assert_eq!(bench.get("/api/v1/sla?check=blog").await.json()[0].get("amended"), None);

    // Which time it is about chooses.
    let count = async |query: &str| {
        let told = bench.get(&format!("/api/v1/amendments?{query}")).await.json();
        told["amendments"].as_array().map(Vec::len)
    };
    assert_eq!(count("").await, Some(1));
    assert_eq!(count("from=-9h&to=-8h").await, Some(1));
    assert_eq!(count("from=-16h&to=-15h").await, Some(0));
    assert_eq!(count("check=blog").await, Some(0));
    for (query, status) in [
        ("check=nothing", 404),
        ("from=-1h&to=-2h", 400),
        ("limit=0", 400),
        ("limit=1001", 400),
        ("after=1.2", 400),
        ("after=1.2.3.4", 400),
        ("number=1", 400),
    ] {
        let answer = bench.get(&format!("/api/v1/amendments?{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query}: {}", answer.text);
    }

    // And so does the console.
    for (lang, words) in [
        (
            "en",
            ["Amendments", "amended by late data", "720 records, up to 12 h late", "unknown (agent offline) → down"],
        ),
        (
            "fr",
            [
                "Rectifications",
                "rectifié par des données tardives",
                "720 enregistrements, jusqu’à 12 h de retard",
                "inconnu (agent hors ligne) → en panne",
            ],
        ),
    ] {
        let page = bench.get(&format!("/checks/shop?lang={lang}")).await.text;
        for word in words {
            assert!(page.contains(word), "{word} in {page}");
        }
        assert!(bench.get(&format!("/checks?lang={lang}")).await.text.contains(words[1]));
        assert!(!bench.get(&format!("/checks/blog?lang={lang}")).await.text.contains(words[0]));
    }
}

#[tokio::test]
async fn pages_of_amendments_go_on_where_the_one_before_ended() {
    let bench = Bench::new();
    cut_off(&bench, clock::now(), 4, true).await;
    let all = bench.get("/api/v1/amendments").await.json();
    let numbers = |told: &Value| -> Vec<u64> {
        told["amendments"].as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&all), [4, 3, 2, 1], "the newest first");
    let mut got = Vec::new();
    let mut next = String::new();
    for page in 0.. {
        let told = bench.get(&format!("/api/v1/amendments?check=shop&limit=3{next}")).await.json();
        got.push(numbers(&told));
        match told["next"].as_str() {
            Some(after) => next = format!("&after={after}"),
            None => break,
        }
        assert!(page < 5, "it ends");
    }
    assert_eq!(got, [vec![4, 3, 2], vec![1]]);
    // They outlive a restart, and go on counting.
    let again = bench.again().await;
    assert_eq!(again.get("/api/v1/amendments").await.json(), all);
    assert_eq!(again.get("/api/v1/sla?check=shop").await.json()[0]["amended"]["count"], 4);
}

#[tokio::test]
async fn where_the_runs_went_is_told_for_each_agent() {
    let bench = Bench::new();
    cut_off(&bench, clock::now(), 1, false).await;
    // An hour of one check that nobody heard of: its next record is there, the ones between are not.
    let now = clock::now();
    let hole = move |engine: &mut Engine| {
        let agent = engine.shared().book().agent_by_name(&AgentName::parse("eu-1").unwrap()).unwrap().number;
        let mut seq = 0;
        for (from, to) in [(-5 * HOUR, -4 * HOUR), (-3 * HOUR, -2 * HOUR)] {
            let batch = batch(engine, "blog", agent, (now.plus_us(from), now.plus_us(to)), now, &mut seq);
            engine.ingest(vec![IngestJob { agent, received_at: now, batch }]).unwrap();
        }
    };
    bench.app.writer().run(hole).await.unwrap();
    let agents = bench.get("/api/v1/agents").await.json();
    let sums = |counts: &Value| {
        let missed: u64 = counts["missed"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        let of = |what: &str| counts[what].as_u64().unwrap();
        (of("scheduled"), of("stored") + missed + of("dropped") + of("unaccounted"))
    };
    let (scheduled, told) = sums(&agents[0]["conservation"]);
    assert_eq!((scheduled, agents[0]["conservation"]["unaccounted"].as_u64()), (told, Some(60)));
    for check in agents[0]["checks"].as_array().unwrap() {
        let (scheduled, told) = sums(check);
        assert_eq!((scheduled, scheduled > 0), (told, true), "{check}");
    }
    let english = bench.get("/agents/eu-1?lang=en").await.text;
    assert!(english.contains("60 scheduled runs have no record: on their way still, or lost."), "{english}");
    assert!(bench.get("/agents/eu-1?lang=fr").await.text.contains("60 exécutions prévues n’ont pas d’enregistrement"));
    assert!(bench.get("/agents?lang=en").await.text.contains("60 unaccounted"));
    assert!(bench.get("/?lang=en").await.text.contains("href=\"/agents\""));
}

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sitepulse-collector"));
    for name in ["SITEPULSE_URL", "SITEPULSE_TOKEN", "SITEPULSE_COLLECTOR_DATA_DIR"] {
        command.env_remove(name);
    }
    command.args(args).arg("--data-dir").arg(dir).stdin(Stdio::null()).output().unwrap()
}

#[tokio::test]
async fn the_end_of_the_program_settles_and_the_command_tells_it_from_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::at(dir.path());
    cut_off(&bench, clock::now(), 1, false).await;
    bench.app.close().await;
    let output = run(dir.path(), &["amendments", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["amendments"].as_array().unwrap().len(), 1, "{told}");
    let text = |args: &[&str]| String::from_utf8(run(dir.path(), args).stdout).unwrap();
    let table = text(&["amendments"]);
    assert!(table.starts_with("NOTED") && table.contains("eu-1: 720 records, up to 12 h late"), "{table}");
    let story = text(&["amendments", "shop"]);
    for line in [
        "shop #1, noted ",
        "  late          eu-1: 720 records, up to 12 h late, of ",
        " s up, 0.000 s degraded, 0.000 s regional, 3600.000 s down, 0.000 s unknown, 0.000 s maintenance",
        "unknown (agent_offline) -> down",
    ] {
        assert!(story.contains(line), "{line:?} in {story}");
    }
    assert_eq!(text(&["amendments", "blog"]), "No late data changed a figure.\n");
    assert_eq!(run(dir.path(), &["amendments", "nothing"]).status.code(), Some(8));
    assert!(text(&["sla"]).ends_with("shop: amended by late data: `sitepulse-collector amendments shop`\n"));
    assert!(text(&["agents"]).contains("UNACCOUNTED"));
}

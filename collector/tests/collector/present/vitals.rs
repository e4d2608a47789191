//! Pages: what is kept of their results, the figures over a span, the screenshots, the console.

use axum::http::{StatusCode, header};
use serde_json::json;
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::present::door::Door;
use sitepulse_collector::seal::retention::Retention;
use sitepulse_collector::vitals::{REPORTS_MAX, SCREENSHOTS_MAX};
use sitepulse_model::id::AgentNo;
use sitepulse_model::record::{FactKey, FactValue};

use super::bench::NETWORK;
use super::pages::{Found, Pages, base64, jpeg};

const HOSTILE: &str = "\"><script>alert('x')</script>";

fn lcp(ms: u64) -> Found {
    Found { lcp: Some(ms * 1000), cls: Some(500), ..Found::default() }
}

/// A report in which everything a page says is hostile.
fn hostile_report() -> String {
    json!({
        "browser": "HeadlessChrome/156.0.8078.79",
        "profile": sitepulse_model::vitals::profile::Profile::builtin("mobile"),
        "loads": [{"values": {"lcp": 2_400_000, "cls": 1_300}, "ended": "quiet", "observed_us": 5_100_000, "failure": HOSTILE,
                   "host": {"pressure_before": 12, "pressure_during": 340, "parallel": 1, "cpus": 2, "benchmark_us": 21_000}}],
        "shown": 0,
        "attribution": {
            "lcp": {"element": format!("img#{HOSTILE}"), "url": format!("https://shop.example/{HOSTILE}"), "area": 120_000,
                    "load_delay_us": 300_000, "load_us": 900_000, "render_delay_us": 120_000},
            "shifts": [{"at_us": 900_000, "score": 1_200, "sources": [format!("div#{HOSTILE}")]}],
            "interactions": [{"action": format!("click {HOSTILE}"), "target": HOSTILE, "duration_us": 180_000, "input_delay_us": 20_000,
                              "processing_us": 100_000, "presentation_us": 60_000}],
            "ttfb": {"dns_us": 12_000, "connect_us": 33_000, "tls_us": 41_000, "wait_us": 140_000}
        },
        "page": {"url": format!("https://shop.example/?{HOSTILE}"), "status": 200, "protocol": HOSTILE, "address": "192.0.2.1:443",
                 "requests": 41, "bytes": 1_234_567, "js_errors": 1, "js_error_texts": [HOSTILE], "refused": [HOSTILE], "consent": true},
        "what_a_newer_agent_adds": 1
    })
    .to_string()
}

/// Rows of a table; of results, which share rows, the records.
async fn rows(pages: &Pages, what: &str) -> i64 {
    let count = if what.starts_with("result") { "coalesce(sum(records), 0)" } else { "count(*)" };
    let sql = format!("SELECT {count} FROM {what}");
    let count = move |engine: &mut sitepulse_collector::engine::Engine| {
        engine.store().connection().query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    pages.bench.app.writer().run(count).await.unwrap()
}

#[tokio::test]
async fn figures_are_told_by_profile_and_region() {
    let pages = Pages::new().await;
    let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
    for (agent, minutes, ms) in
        [(west, 20, 1000), (west, 40, 2000), (west, 60, 3000), (west, 80, 5000), (east, 20, 2400)]
    {
        pages.ran(agent, minutes, &lcp(ms)).await;
    }
    pages.ran(west, 100, &Found { low_confidence: true, ..lcp(90_000) }).await;
    pages.ran(west, 120, &Found { down: true, ..Found::default() }).await;
    pages.ran(west, 3 * 24 * 60, &lcp(9000)).await;
    let view = pages.bench.get("/api/v1/checks/shop-vitals/vitals").await.json();
    assert_eq!((&view["check"], &view["source"]), (&json!("shop-vitals"), &json!("lab")));
    let places: Vec<_> = view["groups"].as_array().unwrap().iter().map(|group| group["region"].clone()).collect();
    assert_eq!(places, [json!(null), json!("eu-west"), json!("us-east")]);
    let west_group = &view["groups"][1];
    assert_eq!(
        (&west_group["profile"], &west_group["runs"], &west_group["graded"], &west_group["low_confidence"]),
        (&json!("mobile"), &json!(6), &json!(4), &json!(1))
    );
    let expected = json!({"p75": 3000.0, "median": 2000.0, "p95": 5000.0, "p99": 5000.0, "min": 900.0, "max": 5500.0, "rating": "needs_improvement", "runs": 4,
                          "good": 0.5, "needs_improvement": 0.25, "poor": 0.25, "thresholds": [2500.0, 4000.0], "method": "exact"});
    assert_eq!(west_group["lcp_ms"], expected);
    assert_eq!((&west_group["cls"]["p75"], &west_group["inp_ms"]), (&json!(0.05), &json!(null)));
    assert_eq!((&view["groups"][0]["lcp_ms"]["runs"], &view["groups"][0]["runs"]), (&json!(5), &json!(7)));

    // Of how much of that time they speak: as the SLA of the same agents says, with the causes of what is missing.
    for (told, whose) in [
        (&view, ""),
        (&view["groups"][0], ""),
        (&view["groups"][1], "&region=eu-west"),
        (&view["groups"][2], "&region=us-east"),
    ] {
        let [from, to] = ["from", "to"].map(|end| view[end].as_str().unwrap());
        let sla = pages.bench.get(&format!("/api/v1/sla?check=shop-vitals&from={from}&to={to}{whose}")).await.json();
        let completeness = told["completeness"].as_f64().unwrap();
        assert_eq!(told["completeness"], sla[0]["completeness"], "{whose}");
        let unknown: f64 = told["unknown"].as_object().unwrap().values().filter_map(serde_json::Value::as_f64).sum();
        assert!((0.0..1.0).contains(&completeness) && (completeness + unknown - 1.0).abs() < 1e-9, "{whose}: {told}");
    }
    assert_ne!(view["groups"][1]["completeness"], view["groups"][2]["completeness"]);

    let ask = async |query: &str| pages.bench.get(&format!("/api/v1/checks/shop-vitals/vitals?{query}")).await;
    assert_eq!(ask("from=-7d&region=eu-west").await.json()["groups"][0]["lcp_ms"]["p75"], 5000.0);
    let agents = ask("by=agent&agent=e").await.json();
    assert_eq!((&agents["groups"][1]["agent"], &agents["groups"][1]["region"]), (&json!("e"), &json!("us-east")));
    assert_eq!(agents["groups"].as_array().unwrap().len(), 2);
    for (query, status) in [
        ("profile=desktop", StatusCode::NOT_FOUND),
        ("region=nowhere", StatusCode::NOT_FOUND),
        ("agent=nobody", StatusCode::NOT_FOUND),
        ("by=page", StatusCode::BAD_REQUEST),
        ("from=now&to=-1h", StatusCode::BAD_REQUEST),
        ("what=1", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(ask(query).await.status, status, "{query}");
    }
    assert_eq!(pages.bench.get("/api/v1/checks/none/vitals").await.status, StatusCode::NOT_FOUND);
    pages.bench.apply(super::bench::CHECK, json!({})).await;
    let no_page = pages.bench.get("/api/v1/checks/shop/vitals").await;
    assert_eq!(no_page.status, StatusCode::BAD_REQUEST);
    assert!(no_page.text.contains("of kind http"), "{}", no_page.text);
}

#[tokio::test]
async fn rows_that_go_leave_sketches_that_tell_the_same() {
    let pages = Pages::new().await;
    let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
    let day = 24 * 60;
    // None of them is as near to a threshold as a sketch is inexact.
    for (nth, minutes) in (0..40_u64).map(|nth| (nth, 4 * day + nth.cast_signed() * 100)) {
        pages.ran(west, minutes, &lcp(1050 + 100 * nth)).await;
        pages.ran(east, minutes, &lcp(4950 - 100 * nth)).await;
    }
    pages.ran(west, 20, &lcp(7000)).await;
    pages.ran(west, 5 * day + 50, &Found { low_confidence: true, ..lcp(90_000) }).await;
    let ask = async |query: &str| pages.bench.get(&format!("/api/v1/checks/shop-vitals/vitals?{query}")).await;
    let before = ask("from=-9d").await.json();
    let expire = async || {
        let now = pages.now;
        let two_days = Retention { hourly_us: Some(2 * 86_400 * 1_000_000), ..Retention::default() };
        pages.bench.app.writer().run(move |engine| engine.expire_now(two_days, now)).await.unwrap().unwrap();
    };
    expire().await;
    assert_eq!(rows(&pages, "vitals").await, 1);
    assert!(rows(&pages, "rollup WHERE class = 3").await >= 6);
    let after = ask("from=-9d").await.json();
    for (before, after) in before["groups"].as_array().unwrap().iter().zip(after["groups"].as_array().unwrap()) {
        for same in ["profile", "region", "runs", "graded", "low_confidence"] {
            assert_eq!(before[same], after[same], "{same}");
        }
        for same in ["min", "max", "runs", "good", "needs_improvement", "poor", "rating"] {
            assert_eq!(before["lcp_ms"][same], after["lcp_ms"][same], "{same}");
        }
        for near in ["p75", "median", "p95", "p99"] {
            let [before, after] = [before, after].map(|group| group["lcp_ms"][near].as_f64().unwrap());
            assert!((before - after).abs() <= before / 100.0, "{near}: {before}, {after}");
        }
        assert_eq!(after["lcp_ms"]["method"], "sketch");
    }
    // Such a day is told as a whole: of one hour of it the whole, and that is said.
    let hour = ask("from=-121h&to=-120h&region=us-east").await.json();
    assert!(hour["from"].as_str().unwrap().ends_with("T00:00:00Z"), "{hour}");
    assert!(hour["to"].as_str().unwrap().ends_with("T00:00:00Z"), "{hour}");
    assert!(hour["groups"][0]["runs"].as_u64().unwrap() > 1, "{hour}");
    // A run that came late joins its day once.
    pages.ran(east, 5 * day + 30, &lcp(9000)).await;
    let runs = async || ask("from=-9d&region=us-east").await.json()["groups"][0]["runs"].clone();
    assert_eq!(runs().await, 41);
    expire().await;
    assert_eq!((runs().await, rows(&pages, "vitals").await), (json!(41), 1));
    // What cannot be read is told, not left out.
    let damage = |engine: &mut sitepulse_collector::engine::Engine| {
        engine.store().connection().execute("UPDATE rollup SET body = x'0102' WHERE class = 3", []).unwrap()
    };
    pages.bench.app.writer().run(damage).await.unwrap();
    assert!(ask("from=-9d").await.status.is_server_error());
    assert_eq!(ask("from=-1h").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_result_sent_twice_counts_once() {
    let pages = Pages::new().await;
    let agent = pages.enrol("eu-west", "w").await;
    let mut found = lcp(2000);
    found.more.push((FactKey::Screenshot, base64(&jpeg(1))));
    let entry = pages.entry(pages.result(agent, 20, &found));
    let first = pages.ingest(agent, vec![entry.clone(), entry.clone()]).await;
    assert_eq!((first.stored, first.duplicates), (1, 1));
    assert_eq!(pages.ingest(agent, vec![entry]).await.duplicates, 1);
    assert_eq!(
        [rows(&pages, "result").await, rows(&pages, "vitals").await, rows(&pages, "screenshot").await],
        [1, 1, 1]
    );
}

#[tokio::test]
async fn a_store_opened_again_knows_the_same() {
    let pages = Pages::new().await;
    let agent = pages.enrol("eu-west", "w").await;
    let mut found = lcp(2000);
    found.more.push((FactKey::VitalsReport, hostile_report()));
    found.more.push((FactKey::Screenshot, base64(&jpeg(1))));
    pages.ran(agent, 20, &found).await;
    // Of one period: completeness changes with each instant.
    let now = sitepulse_daemon::instant::format(sitepulse_daemon::clock::now());
    let told = async |bench: &super::bench::Bench| {
        let check = bench.get("/api/v1/checks/shop-vitals").await.json();
        let vitals = bench.get(&format!("/api/v1/checks/shop-vitals/vitals?to={now}")).await.json();
        (check["agents"][0]["vitals"].clone(), check["screenshots"].clone(), vitals["groups"].clone())
    };
    let before = told(&pages.bench).await;
    assert_eq!(before.1.as_array().unwrap().len(), 1, "{before:?}");
    assert_eq!(told(&pages.bench.again().await).await, before);
}

#[tokio::test]
async fn documents_are_no_facts_and_stand_beside_them() {
    let pages = Pages::new().await;
    let agent = pages.enrol("eu-west", "w").await;
    let mut found = lcp(2600);
    found.more.push((FactKey::VitalsReport, hostile_report()));
    found.more.push((FactKey::Screenshot, base64(&jpeg(7))));
    found.down = true;
    pages.ran(agent, 20, &found).await;
    let check = pages.bench.get("/api/v1/checks/shop-vitals").await.json();
    let pair = &check["agents"][0];
    assert_eq!((&pair["facts"]["vitals_report"], &pair["facts"]["screenshot"]), (&json!(null), &json!(null)));
    assert_eq!(pair["facts"]["lcp_us"], 2_600_000);
    assert_eq!(pair["latency_seconds"], 2.6);
    let vitals = &pair["vitals"];
    assert_eq!(
        vitals["lcp_ms"],
        json!({"median": 2600.0, "min": 2340.0, "max": 2860.0, "rating": "needs_improvement", "thresholds": [2500.0, 4000.0]})
    );
    assert_eq!((&vitals["source"], &vitals["graded"]), (&json!("lab"), &json!(true)));
    assert_eq!(vitals["report"]["attribution"]["lcp"]["area"], 120_000);
    // The picture itself is no part of any other answer, nor of the ledger.
    let picture = base64(&jpeg(7));
    for path in ["/api/v1/checks", "/api/v1/checks/shop-vitals", "/checks/shop-vitals", "/", "/metrics"] {
        assert!(!pages.bench.get(path).await.text.contains(&picture), "{path}");
    }
    assert_eq!(rows(&pages, &format!("result WHERE instr(body, '{picture}') > 0")).await, 0);

    let path = pair["screenshot"].as_str().unwrap();
    assert_eq!(check["screenshots"][0]["path"], path);
    let shot = pages.bench.get(path).await;
    assert_eq!((shot.status, shot.bytes), (StatusCode::OK, jpeg(7)));
    assert_eq!(shot.headers[header::CONTENT_TYPE], "image/jpeg");
    assert_eq!(shot.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(shot.headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(pages.bench.send(NETWORK, "GET", path, &[], "").await.status, StatusCode::UNAUTHORIZED);
    let looks = format!("Bearer {}", pages.bench.token(CredentialKind::ApiToken, Access::Read).await);
    assert_eq!(pages.bench.send(NETWORK, "GET", path, &[("authorization", &looks)], "").await.status, StatusCode::OK);
    for other in [path.replace("/w/", "/v/"), format!("{path}0"), format!("{path}x")] {
        assert_eq!(pages.bench.get(&other).await.status, StatusCode::NOT_FOUND, "{other}");
    }
}

#[tokio::test]
async fn the_newest_screenshots_of_a_check_are_kept() {
    let pages = Pages::new().await;
    let agents = [pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await];
    let most = SCREENSHOTS_MAX as i64;
    // The newest first, as a backlog may come.
    for nth in 0..most {
        for agent in agents {
            let more = vec![(FactKey::Screenshot, base64(&jpeg(nth as u8)))];
            pages.ran(agent, 20 + nth * 15, &Found { more, down: true, ..Found::default() }).await;
        }
    }
    assert_eq!(rows(&pages, "screenshot").await, most);
    let told = |check: &serde_json::Value| -> Vec<String> {
        let shots = check["screenshots"].as_array().unwrap().iter();
        shots.map(|shot| shot["path"].as_str().unwrap().to_owned()).collect()
    };
    let live = told(&pages.bench.get("/api/v1/checks/shop-vitals").await.json());
    assert_eq!(live.len(), SCREENSHOTS_MAX);
    for path in &live {
        assert_eq!(pages.bench.get(path).await.status, StatusCode::OK, "{path}");
    }
    let again = pages.bench.again().await;
    assert_eq!(told(&again.get("/api/v1/checks/shop-vitals").await.json()), live);
}

/// Makes the facts of a sane result senseless.
type Change = dyn Fn(&mut Vec<sitepulse_model::record::Fact>);

#[tokio::test]
async fn vitals_that_cannot_be_are_set_aside_and_bound_in_size() {
    let pages = Pages::new().await;
    let agent = pages.enrol("eu-west", "w").await;
    let refused = async |minutes: i64, change: &Change| {
        let mut result = pages.result(agent, minutes, &lcp(2000));
        change(&mut result.facts.more);
        let entry = pages.entry(result);
        pages.ingest(agent, vec![entry]).await.set_aside
    };
    let number = |key: FactKey, value: i64| {
        move |facts: &mut Vec<sitepulse_model::record::Fact>| {
            facts.retain(|fact| fact.key != key);
            facts.push(sitepulse_model::record::Fact { key, value: FactValue::Number(value) });
        }
    };
    let text = |key: FactKey, value: String| {
        move |facts: &mut Vec<sitepulse_model::record::Fact>| {
            facts.push(sitepulse_model::record::Fact { key, value: FactValue::Text(value.clone()) });
        }
    };
    let missing =
        |key: FactKey| move |facts: &mut Vec<sitepulse_model::record::Fact>| facts.retain(|fact| fact.key != key);
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(FactKey::VitalsReport.bytes_max()));
    let changes: Vec<Box<Change>> = vec![
        Box::new(number(FactKey::Lcp, -1)),
        Box::new(number(FactKey::Lcp, 1)),
        Box::new(number(FactKey::LcpMax, i64::MAX)),
        Box::new(number(FactKey::ClsMax, i64::MAX)),
        Box::new(number(FactKey::LoadsCounted, -1)),
        Box::new(missing(FactKey::LcpMin)),
        Box::new(missing(FactKey::Cls)),
        Box::new(move |facts| {
            number(FactKey::LoadsCounted, -1)(facts);
            text(FactKey::VitalsReport, huge.clone())(facts);
        }),
    ];
    let count = changes.len() as i64;
    for (nth, change) in changes.iter().enumerate() {
        assert_eq!(refused(20 + 15 * nth as i64, change).await, 1, "change {nth}");
    }
    assert_eq!(rows(&pages, "quarantine WHERE reason = 'bad_vitals'").await, count);
    assert_eq!(rows(&pages, "quarantine WHERE length(body) > 2000").await, 0, "documents are cut");
    assert_eq!([rows(&pages, "result").await, rows(&pages, "vitals").await], [0, 0]);
    // What a newer build says is kept, though this one cannot show it.
    let newer = json!({"loads": [{"ended": "of_a_newer_kind"}]}).to_string();
    assert_eq!(refused(600, &text(FactKey::VitalsReport, newer)).await, 0);
    assert_eq!(pages.bench.get("/checks/shop-vitals").await.status, StatusCode::OK);
    // A check that loads no page has no vitals.
    pages.bench.apply(&super::bench::CHECK.replace("1s", "15m"), json!({})).await;
    let mut result = pages.result(agent, 0, &lcp(2000));
    let shop = sitepulse_model::id::CheckId::parse("shop").unwrap();
    let mut entry = {
        let book = pages.bench.app.book();
        let check = book.check_by_id(&shop).unwrap();
        result.check = check.number;
        result.scheduled =
            sitepulse_model::schedule::Lattice::new(&shop, &book.agent(agent).unwrap().name, super::pages::INTERVAL_US)
                .at_or_before(pages.now);
        pages.entry(result)
    };
    entry.bucket = shop.bucket();
    assert_eq!(pages.ingest(agent, vec![entry]).await.set_aside, 1);
    assert_eq!(rows(&pages, "quarantine WHERE reason = 'bad_vitals'").await, count + 1);
}

/// The page makes the report and is in the picture: what is wrong with them must not cost the verdict on it.
#[tokio::test]
async fn a_fault_in_a_document_costs_the_document_alone() {
    let pages = Pages::new().await;
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(FactKey::VitalsReport.bytes_max()));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(4000), "]".repeat(4000));
    let text = |text: &str| FactValue::Text(text.to_owned());
    let faults = [
        (FactKey::VitalsReport, text("no JSON")),
        (FactKey::VitalsReport, text("[1]")),
        (FactKey::VitalsReport, text(&huge)),
        (FactKey::VitalsReport, text(&deep)),
        (FactKey::VitalsReport, FactValue::Number(1)),
        (FactKey::Screenshot, text(&base64(b"<svg onload=alert(1)>"))),
        (FactKey::Screenshot, text("!")),
        (FactKey::Screenshot, text(&base64(&[jpeg(0), vec![0; 96 << 10]].concat()))),
    ];
    for (nth, (key, value)) in faults.iter().cloned().enumerate() {
        let agent = pages.enrol("eu-west", &format!("w{nth}")).await;
        let other = match key == FactKey::VitalsReport {
            true => (FactKey::Screenshot, base64(&jpeg(1))),
            false => (FactKey::VitalsReport, hostile_report()),
        };
        let mut result = pages.result(agent, 0, &Found { down: true, more: vec![other], ..lcp(2000) });
        result.facts.more.push(sitepulse_model::record::Fact { key, value });
        let entry = pages.entry(result);
        assert_eq!(pages.ingest(agent, vec![entry]).await.stored, 1, "fault {nth}");
    }
    let check = pages.bench.get("/api/v1/checks/shop-vitals").await.json();
    assert_eq!(check["verdict"], "down");
    for (nth, (key, _)) in faults.iter().enumerate() {
        let pair = &check["agents"][nth];
        assert_eq!((&pair["state"], &pair["facts"]["lcp_us"]), (&json!("down"), &json!(2_000_000)), "fault {nth}");
        let (report, picture) = (!pair["vitals"]["report"].is_null(), !pair["screenshot"].is_null());
        assert_eq!((report, picture), (*key == FactKey::Screenshot, *key == FactKey::VitalsReport), "fault {nth}");
    }
    assert_eq!(rows(&pages, "result WHERE length(body) > 2000").await, 0);
    assert_eq!([rows(&pages, "report").await, rows(&pages, "screenshot").await], [3, 5]);
    assert_eq!(pages.bench.get("/checks/shop-vitals").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_page_cannot_hide_its_result_by_shifting_more_than_anybody_expects() {
    let pages = Pages::new().await;
    let agent = pages.enrol("eu-west", "w").await;
    let most = sitepulse_model::vitals::Vital::Cls.value_max();
    let mut result = pages.result(agent, 20, &lcp(2000));
    for key in [FactKey::Cls, FactKey::ClsMax] {
        result.facts.number(key, most as i64);
    }
    let entry = pages.entry(result);
    assert_eq!(pages.ingest(agent, vec![entry]).await.stored, 1);
    let view = pages.bench.get("/api/v1/checks/shop-vitals/vitals").await.json();
    assert_eq!(view["groups"][1]["cls"]["max"], 1000.0);
}

#[tokio::test]
async fn a_report_leaves_the_ledger_and_the_newest_of_each_agent_are_kept() {
    let pages = Pages::new().await;
    let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
    let found = |nth: i64| {
        let report = json!({"browser": format!("Marked/{nth}"), "loads": []}).to_string();
        Found { more: vec![(FactKey::VitalsReport, report)], ..lcp(2000) }
    };
    pages.ran(east, 20, &found(-1)).await;
    let most = REPORTS_MAX as i64;
    // The newest first, as a backlog may come, in several batches.
    let entries: Vec<_> =
        (0..most + 5).map(|nth| pages.entry(pages.result(west, 20 + 15 * nth, &found(nth)))).collect();
    for batch in entries.chunks(50) {
        assert_eq!(pages.ingest(west, batch.to_vec()).await.stored, batch.len() as u64);
    }
    assert_eq!(rows(&pages, "result WHERE instr(body, 'Marked') > 0").await, 0);
    let counts = [rows(&pages, "result").await, rows(&pages, "vitals").await, rows(&pages, "report").await];
    assert_eq!(counts, [most + 6, most + 6, most + 1], "figures are kept for ever");
    let kept = "report WHERE instr(body, '\"Marked/";
    assert_eq!(rows(&pages, &format!("{kept}{}\"') > 0", most - 1)).await, 1);
    assert_eq!(rows(&pages, &format!("{kept}{}\"') > 0", most)).await, 0);
    pages.ran(west, 4, &found(777)).await;
    assert_eq!(rows(&pages, &format!("{kept}{}\"') > 0", most - 1)).await, 0);
    let told = async |bench: &super::bench::Bench| {
        let check = bench.get("/api/v1/checks/shop-vitals").await.json();
        [0, 1].map(|at| check["agents"][at]["vitals"]["report"]["browser"].clone())
    };
    assert_eq!(told(&pages.bench).await, [json!("Marked/777"), json!("Marked/-1")]);
    assert_eq!(told(&pages.bench.again().await).await, [json!("Marked/777"), json!("Marked/-1")]);
}

/// After its clock leapt back an agent may run a slot again.
#[tokio::test]
async fn a_report_is_never_shown_beside_another_run_of_its_slot() {
    let pages = Pages::new().await;
    let agent = pages.enrol("eu-west", "w").await;
    pages.ran(agent, 20, &Found { more: vec![(FactKey::VitalsReport, hostile_report())], ..lcp(2000) }).await;
    pages.ran(agent, 20, &lcp(3000)).await;
    let told = async |bench: &super::bench::Bench| {
        let check = bench.get("/api/v1/checks/shop-vitals").await.json();
        let vitals = &check["agents"][0]["vitals"];
        (vitals["lcp_ms"]["median"].clone(), vitals["report"].clone())
    };
    assert_eq!(told(&pages.bench).await, (json!(3000.0), json!(null)));
    assert_eq!(told(&pages.bench.again().await).await, (json!(3000.0), json!(null)));
}

#[tokio::test]
async fn a_page_that_fails_under_pressure_failed_and_is_not_excused() {
    let pages = Pages::new().await;
    let agent = pages.enrol("eu-west", "w").await;
    let more = vec![(FactKey::VitalsReport, hostile_report())];
    pages.ran(agent, 20, &Found { down: true, low_confidence: true, more, ..Found::default() }).await;
    let view = pages.bench.get("/api/v1/checks/shop-vitals/vitals").await.json();
    assert_eq!((&view["groups"][0]["runs"], &view["groups"][0]["low_confidence"]), (&json!(1), &json!(0)));
    let metrics = pages.bench.get("/metrics").await.text;
    assert!(metrics.lines().any(|line| line.starts_with("sitepulse_vitals_low_confidence{") && line.ends_with(" 0")));
    let check = pages.bench.get("/api/v1/checks/shop-vitals").await.json();
    assert_eq!(check["agents"][0]["vitals"]["low_confidence"], false);
    assert!(!pages.bench.get("/checks/shop-vitals").await.text.contains("The host was under pressure: not graded."));
    // It has no LCP, and how long all its loads took is no latency.
    assert_eq!(check["agents"][0]["latency_seconds"], json!(null));
}

#[tokio::test]
async fn any_period_can_be_asked_for() {
    let pages = Pages::new().await;
    let mut old = pages.check.clone();
    old.id = sitepulse_model::id::CheckId::parse("old-vitals").unwrap();
    let start = pages.now.plus_us(-500 * 86_400 * 1_000_000);
    pages.bench.app.apply(vec![old], super::bench::options(), start).await.unwrap();
    let ask =
        async |check: &str, from: &str| pages.bench.get(&format!("/api/v1/checks/{check}/vitals?from={from}")).await;
    for from in ["-499d", "-399d", "-1h"] {
        assert_eq!(ask("old-vitals", from).await.status, StatusCode::OK, "{from}");
    }
    assert_eq!(ask("shop-vitals", "-401d").await.status, StatusCode::OK, "it has lived for ten days");
}

#[tokio::test]
async fn the_page_shows_vitals_in_both_languages_and_nothing_hostile_gets_out() {
    let pages = Pages::new().await;
    let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
    for nth in 0..8 {
        pages.ran(west, 20 + 60 * nth, &lcp(2000 + 400 * nth as u64)).await;
        pages.ran(east, 20 + 60 * nth, &lcp(1500)).await;
    }
    let mut found = lcp(2600);
    found.more.push((FactKey::VitalsReport, hostile_report()));
    found.more.push((FactKey::LcpElement, format!("img#{HOSTILE}")));
    found.more.push((FactKey::Screenshot, base64(&jpeg(7))));
    pages.ran(west, 0, &Found { down: true, ..found }).await;
    let page = pages.bench.get("/checks/shop-vitals?lang=en&span=7d").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(!page.text.contains("<script>alert") && !page.text.contains("\"><script"), "{}", page.text);
    for told in [
        "Web vitals <span class=\"lab\">lab</span>",
        "eu-west",
        "us-east",
        "needs improvement",
        "▲",
        "img#&#34;&#62;&#60;script&#62;",
        "1\u{202f}234\u{202f}567",
        "processor 4× slower",
        "Last failure",
        "/screenshots/w/",
        "span=7d\" aria-current=\"true\"",
        "the page came to rest",
    ] {
        assert!(page.text.contains(told), "no {told}: {}", page.text);
    }
    let french = pages.bench.get("/checks/shop-vitals?lang=fr").await;
    for told in ["à améliorer", "2,60 s", "Dernier échec", "processeur 4× plus lent"] {
        assert!(french.text.contains(told), "no {told}: {}", french.text);
    }
    let other = pages.bench.get("/checks/shop-vitals?span=%22%3E%3Cscript%3E").await;
    assert!(other.status == StatusCode::OK && !other.text.contains("\"><script>"));
    let list = pages.bench.get("/checks").await;
    assert!(list.text.contains("2.60 s") || list.text.contains("shop-vitals"), "{}", list.text);
}

#[tokio::test]
async fn metrics_tell_the_newest_run_where_it_is_graded() {
    let pages = Pages::new().await;
    let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
    pages.ran(west, 60, &lcp(9000)).await;
    pages.ran(west, 20, &lcp(2500)).await;
    pages.ran(east, 20, &Found { low_confidence: true, ..lcp(9000) }).await;
    let text = pages.bench.get("/metrics").await.text;
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("sitepulse_vitals_")).collect();
    let labels = "check=\"shop-vitals\",agent=\"w\",region=\"eu-west\"";
    let expected = [
        format!("sitepulse_vitals_seconds{{{labels},profile=\"mobile\",vital=\"lcp\"}} 2.5"),
        format!("sitepulse_vitals_layout_shift_score{{{labels},profile=\"mobile\"}} 0.05"),
        "sitepulse_vitals_low_confidence{check=\"shop-vitals\",agent=\"w\",region=\"eu-west\"} 0".into(),
        "sitepulse_vitals_low_confidence{check=\"shop-vitals\",agent=\"e\",region=\"us-east\"} 1".into(),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    assert!(expected.iter().all(|line| lines.contains(&line.as_str())), "{lines:?}");
}

#[tokio::test]
async fn a_budget_is_an_assertion_and_makes_the_verdict() {
    let pages = Pages::new().await;
    let agent: AgentNo = pages.enrol("eu-west", "w").await;
    pages.ran(agent, 0, &Found { down: true, ..lcp(9000) }).await;
    let check = pages.bench.get("/api/v1/checks/shop-vitals").await.json();
    assert_eq!((&check["verdict"], &check["agents"][0]["state"]), (&json!("down"), &json!("down")));
    // The values count all the same: a page over its budget was measured.
    let view = pages.bench.send(Door::Local, "GET", "/api/v1/checks/shop-vitals/vitals", &[], "").await.json();
    assert_eq!(view["groups"][1]["lcp_ms"]["rating"], "poor");
}

#[tokio::test]
async fn a_regression_is_called_after_three_runs_with_what_changed() {
    let pages = Pages::new().await;
    let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
    let run = async |agent: AgentNo, minutes: i64, ms: u64, element: &str| {
        let more = vec![(FactKey::LcpElement, element.to_owned())];
        pages.ran(agent, minutes, &Found { more, ..lcp(ms) }).await;
    };
    // Its baseline lies before the span of 24 hours, its regions apart.
    for nth in 0..10 {
        run(west, 2 * 24 * 60 - 15 * nth, 2000, "img.hero").await;
        run(east, 2 * 24 * 60 - 15 * nth, 4000, "img.hero").await;
    }
    let told = async || {
        let view = pages.bench.get("/api/v1/checks/shop-vitals/vitals").await.json();
        let groups = view["groups"].as_array().unwrap().clone();
        groups.into_iter().map(|group| group["regressions"].clone()).collect::<Vec<_>>()
    };
    run(west, 80, 2600, &format!("div{HOSTILE}")).await;
    run(west, 60, 2700, &format!("div{HOSTILE}")).await;
    run(west, 40, 9000, "img.hero").await;
    run(east, 40, 4000, "img.hero").await;
    let since = sitepulse_daemon::instant::format(pages.slot(west, 80));
    let expected = json!([{"vital": "lcp", "since": since, "baseline": 2000.0, "median": 2700.0, "runs": 3,
                           "lcp_element_before": "img.hero", "lcp_element_after": format!("div{HOSTILE}")}]);
    assert_eq!(told().await, [json!([]), expected, json!([])]);
    let page = pages.bench.get("/checks/shop-vitals").await.text;
    assert!(page.contains("LCP became worse: 2.00 s → 2.70 s") && !page.contains("<script>alert"), "{page}");
}

/// Two runs are not enough, and neither is any number under pressure.
#[tokio::test]
async fn one_noisy_run_is_no_regression() {
    let pages = Pages::new().await;
    let west = pages.enrol("eu-west", "w").await;
    for nth in 0..10 {
        pages.ran(west, 1000 - 15 * nth, &lcp(2000)).await;
    }
    pages.ran(west, 80, &lcp(9000)).await;
    for minutes in [65, 50, 35] {
        pages.ran(west, minutes, &Found { low_confidence: true, ..lcp(9000) }).await;
    }
    pages.ran(west, 20, &lcp(9000)).await;
    let view = pages.bench.get("/api/v1/checks/shop-vitals/vitals?from=-7d").await.json();
    assert_eq!((&view["groups"][1]["regressions"], &view["groups"][1]["low_confidence"]), (&json!([]), &json!(3)));
}

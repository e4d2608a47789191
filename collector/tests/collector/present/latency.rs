//! Latencies as people and scripts see them: the API, the console in both languages, the metrics.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_model::check::{CheckDefinition, CheckKind};
use sitepulse_model::id::{AgentNo, CheckId};
use sitepulse_model::record::{Cause, Phases, ProbeState};

use super::pages::{Found, Pages};

const HOUR: i64 = 60;

/// A collector with an HTTPS check `shop` that is ten days old.
async fn shop() -> Pages {
    let mut pages = Pages::new().await;
    let id = CheckId::parse("shop").unwrap();
    let check = CheckDefinition { id, kind: CheckKind::http("http://127.0.0.1:1/"), ..pages.check.clone() };
    let start = pages.now.plus_us(-10 * 86_400 * 1_000_000);
    pages.bench.app.apply(vec![check.clone()], super::bench::options(), start).await.unwrap();
    pages.check = check;
    pages
}

async fn ran(pages: &Pages, agent: AgentNo, minutes_ago: i64, total_ms: u64, state: ProbeState) {
    let mut result = pages.result(agent, minutes_ago, &Found::default());
    let total = total_ms * 1_000;
    result.phases = Phases { connect: Some(total / 4), total: Some(total), ..Phases::default() };
    result.state = state;
    result.cause = (state == ProbeState::Down).then_some(Cause::Timeout);
    result.facts = Default::default();
    let entry = pages.entry(result);
    assert_eq!(pages.ingest(agent, vec![entry]).await.stored, 1);
}

/// The figures of the whole run in a group.
fn total(group: &Value) -> &Value {
    group["phases"].as_array().unwrap().iter().find(|one| one["phase"] == "total").unwrap()
}

async fn filled() -> Pages {
    let pages = shop().await;
    let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
    for n in 0..20 {
        ran(&pages, west, 16 + 15 * n, 100 + n.unsigned_abs(), ProbeState::Up).await;
    }
    ran(&pages, west, 30 * HOUR, 90_000, ProbeState::Up).await;
    ran(&pages, east, 20, 2_500, ProbeState::Up).await;
    ran(&pages, east, 35, 10_000, ProbeState::Down).await;
    pages
}

#[tokio::test]
async fn percentiles_are_told_over_all_by_region_and_by_agent_sealed_or_not() {
    let pages = filled().await;
    let bench = &pages.bench;
    for sealed in [false, true] {
        if sealed {
            bench.app.writer().run(|engine| engine.seal_now().unwrap()).await.unwrap();
        }
        let answer = bench.get("/api/v1/checks/shop/latency").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let found = answer.json();
        let groups = found["groups"].as_array().unwrap();
        let places: Vec<(&Value, &Value)> = groups.iter().map(|group| (&group["region"], &group["agent"])).collect();
        assert_eq!(
            places,
            [(&Value::Null, &Value::Null), (&json!("eu-west"), &Value::Null), (&json!("us-east"), &Value::Null)]
        );
        assert_eq!(
            (&groups[0]["failed"], &groups[1]["failed"], &groups[2]["failed"]),
            (&json!(1), &json!(0), &json!(1))
        );
        assert_eq!((&total(&groups[0])["count"], &total(&groups[0])["max_us"]), (&json!(21), &json!(2_500_000)));
        assert_eq!((&total(&groups[1])["count"], &total(&groups[1])["min_us"]), (&json!(20), &json!(100_000)));
        let p50 = total(&groups[1])["p50_us"].as_u64().unwrap();
        assert!(p50.abs_diff(109_000) <= 1_000, "{p50}");
        assert_eq!(groups[1]["phases"].as_array().unwrap().len(), 2, "phases that no result had are absent");
        assert!(found["covered_from"].as_str().unwrap().ends_with(":00:00Z"), "{found}");
        // Of how much of that time they speak: as the SLA of the same agents says, with the causes of what is missing.
        for (view, whose) in
            [(&found, ""), (&groups[0], ""), (&groups[1], "&region=eu-west"), (&groups[2], "&region=us-east")]
        {
            let [from, to] = ["covered_from", "covered_to"].map(|end| found[end].as_str().unwrap());
            let sla = bench.get(&format!("/api/v1/sla?check=shop&from={from}&to={to}{whose}")).await.json();
            let completeness = view["completeness"].as_f64().unwrap();
            assert_eq!(view["completeness"], sla[0]["completeness"], "{whose}");
            let unknown: f64 = view["unknown"].as_object().unwrap().values().filter_map(Value::as_f64).sum();
            assert!(completeness < 1.0 && (completeness + unknown - 1.0).abs() < 1e-9, "{whose}: {view}");
        }

        let by_agent = bench.get("/api/v1/checks/shop/latency?by=agent&region=us-east&from=-2d").await.json();
        assert_eq!(by_agent["groups"][1]["agent"], json!("e"));
        assert_eq!(by_agent["groups"].as_array().unwrap().len(), 2);
        let longer = bench.get("/api/v1/checks/shop/latency?agent=w&from=-2d").await.json();
        assert_eq!(
            (&total(&longer["groups"][0])["count"], &total(&longer["groups"][0])["max_us"]),
            (&json!(21), &json!(90_000_000))
        );
    }
    for (query, status) in [
        ("by=phase", 400),
        ("from=now", 400),
        ("from=yesterday-ish", 400),
        ("unknown=1", 400),
        ("region=nowhere", 404),
        ("agent=nobody", 404),
    ] {
        let answer = bench.get(&format!("/api/v1/checks/shop/latency?{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query}: {}", answer.text);
    }
    assert_eq!(bench.get("/api/v1/checks/none/latency").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_checks_page_shows_them_in_both_languages() {
    let pages = filled().await;
    let english = pages.bench.get("/checks/shop?lang=en&span=7d").await.text;
    for words in
        ["<h2>Latency</h2>", "Full hours from 20", "p95", "1 result down, left out", "all regions", "us-east", "2.50 s"]
    {
        assert!(english.contains(words), "{words}: {english}");
    }
    let french = pages.bench.get("/checks/shop?lang=fr").await.text;
    for words in ["<h2>Latence</h2>", "Heures entières", "1 résultat en panne, écarté", "toutes les régions", "2,50 s"]
    {
        assert!(french.contains(words), "{words}: {french}");
    }
    assert!(!pages.bench.get("/checks/shop-vitals").await.text.contains("<h2>Latency</h2>"), "a page has vitals");
}

#[tokio::test]
async fn metrics_tell_the_last_hours_whole_runs() {
    let pages = filled().await;
    let metrics = pages.bench.get("/metrics").await.text;
    let lines: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("sitepulse_probe_latency_seconds{")).collect();
    assert_eq!(lines.len(), 8, "{lines:?}");
    let east = "sitepulse_probe_latency_seconds{check=\"shop\",agent=\"e\",region=\"us-east\",quantile=\"0.99\"} 2.5";
    assert!(lines.contains(&east), "{lines:?}");
    assert!(!metrics.contains("quantile=\"0.99\"} 90"), "older ones do not count");
}

//! The KPI banner: each figure is the one that the other surfaces tell.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::outbox::{Attempt, Outcome};
use sitepulse_daemon::clock;

use super::bench::Bench;
use super::incidents::{down, list, recover};
use super::pages::{Found, Pages};

async fn kpi(bench: &Bench, query: &str) -> Value {
    let answer = bench.get(&format!("/api/v1/kpi{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

fn term<'v>(view: &'v Value, name: &str) -> &'v Value {
    view["debt"]["terms"].as_array().unwrap().iter().find(|term| term["term"] == name).unwrap()
}

#[tokio::test]
async fn the_availability_is_that_of_all_checks_and_its_change_that_of_two_periods() {
    let pages = Pages::new().await;
    let agent = pages.enrol("eu-west", "w").await;
    // 75 minutes down of the last 24 hours, 150 of the day before.
    let down = |minutes: i64| (60..=120).contains(&minutes) || (1_500..=1_635).contains(&minutes);
    let found = |minutes| Found { down: down(minutes), lcp: Some(1_000_000), ..Found::default() };
    let entries = (0..3 * 96).rev().map(|run| pages.entry(pages.result(agent, run * 15, &found(run * 15))));
    pages.ingest(agent, entries.collect()).await;
    let view = kpi(&pages.bench, "").await;
    assert_eq!((&view["period"], &view["zone"]), (&json!("24h"), &json!(null)));
    let groups = |from: &str, to: &str| format!("/api/v1/sla/groups?from={from}&to={to}");
    let [from, to, before] = ["from", "to", "before_from"].map(|name| view[name].as_str().unwrap());
    let now = pages.bench.get(&groups(from, to)).await.json();
    let then = pages.bench.get(&groups(before, from)).await.json();
    for figure in ["availability", "completeness", "lower", "upper", "checks", "measured"] {
        assert_eq!(view["sla"][figure], now["whole"][figure], "{figure}");
    }
    assert_eq!(view["sla"]["before"], then["whole"]["availability"]);
    let number = |name: &str| view["sla"][name].as_f64().unwrap();
    assert!((number("percent") - 94.79).abs() < 0.01, "{view}");
    assert!((number("before_percent") - 89.58).abs() < 0.01, "{view}");
    assert!((number("change_points") - (number("percent") - number("before_percent"))).abs() < 1e-9);
    let week = kpi(&pages.bench, "?period=7d&zone=Europe/Paris").await;
    assert_eq!((&week["period"], &week["zone"]), (&json!("7d"), &json!("Europe/Paris")));
    assert_eq!(week["sla"]["change_points"], json!(null), "nothing was measured before");
}

#[tokio::test]
async fn open_incidents_dead_letters_and_times_are_those_of_their_own_pages() {
    let (bench, agent) = down().await;
    let view = kpi(&bench, "").await;
    assert_eq!(view["incidents"]["by_severity"], json!({"critical": 0, "major": 1, "minor": 0, "info": 0}));
    assert_eq!(view["incidents"]["top"][0]["id"], list(&bench, "").await[0]["id"]);
    assert_eq!(term(&view, "failed_jobs")["count"], 0);
    assert_eq!(view["response"]["mttr_met"], json!(null));
    let give_up = |engine: &mut Engine| {
        let now = clock::now();
        let message = engine.lease(now, 10).unwrap().remove(0);
        let attempt = Attempt { at: now, took_us: 1500, outcome: Outcome::GivenUp, note: "HTTP 410".into() };
        engine.mark(message, &attempt).unwrap();
    };
    bench.app.writer().run(give_up).await.unwrap();
    let view = kpi(&bench, "").await;
    let dead = term(&view, "failed_jobs");
    assert_eq!((&dead["count"], &dead["points"], &view["debt"]["points"]), (&json!(1), &json!(2.0), &json!(2.0)));
    assert!(dead["named"][0].as_str().unwrap().ends_with("/ops-hook"), "{dead}");
    assert_eq!(term(&view, "overdue_jobs")["count"], 0);
    for absent in ["open_findings", "stale_findings", "overdue_tasks"] {
        assert_eq!(
            (&term(&view, absent)["count"], &term(&view, absent)["points"]),
            (&json!(null), &json!(null)),
            "{absent}"
        );
    }
    assert_eq!(view["debt"]["complete"], false);
    // A person opens a critical one, takes it and ends it: both means have something to tell.
    let opened = bench.post("/api/v1/incidents", &json!({"title": "the lift", "severity": "critical"})).await.json();
    let top = &kpi(&bench, "").await["incidents"];
    assert_eq!((&top["top"][0]["id"], &top["open"]), (&opened["id"], &json!(2)), "the worst first");
    for act in ["acknowledge", "resolve"] {
        let path = format!("/api/v1/incidents/{}/acts", opened["id"].as_str().unwrap());
        assert_eq!(bench.post(&path, &json!({"act": act})).await.status, StatusCode::OK);
    }
    let response = &kpi(&bench, "?period=7d").await["response"];
    assert_eq!(
        (&response["acknowledged"], &response["resolved"], &response["mttr_met"]),
        (&json!(1), &json!(1), &json!(true))
    );
    assert_eq!(response["mttr_target_seconds"], 14_400.0);
    recover(&bench, agent).await;
    assert_eq!(kpi(&bench, "").await["incidents"]["open"], 0);
}

#[tokio::test]
async fn reading_changes_nothing_and_nonsense_is_refused() {
    let (bench, _) = down().await;
    let version = bench.app.book().version();
    let before = list(&bench, "?state=all").await;
    let first = kpi(&bench, "?period=30d").await;
    let second = kpi(&bench, "?period=30d").await;
    assert_eq!((bench.app.book().version(), first["debt"].clone()), (version, second["debt"].clone()));
    let steady = |list: &[Value]| list.iter().map(|one| (one["id"].clone(), one["state"].clone())).collect::<Vec<_>>();
    assert_eq!(steady(&list(&bench, "?state=all").await), steady(&before));
    for bad in ["?period=1h", "?zone=Europe/Nowhere&period=7d", "?colour=red"] {
        assert_eq!(bench.get(&format!("/api/v1/kpi{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn an_empty_collector_has_no_availability_and_no_debt() {
    let view = kpi(&Bench::new(), "").await;
    assert_eq!((&view["sla"]["availability"], &view["sla"]["percent"]), (&json!(null), &json!(null)));
    assert_eq!((&view["debt"]["points"], &view["debt"]["level"]), (&json!(0.0), &json!("ok")));
}

//! The KPI banner: each figure is the one that the other surfaces tell.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::book::Filter;
use sitepulse_collector::engine::Engine;
use sitepulse_collector::outbox::{Attempt, Outcome};
use sitepulse_collector::present::Present;
use sitepulse_collector::present::kpi::daily::Daily;
use sitepulse_collector::present::kpi::period::{Period, Periods};
use sitepulse_collector::present::kpi::{self as banner};
use sitepulse_daemon::clock;
use sitepulse_model::control::{Change, ControlEvent, EventId, Scope};
use sitepulse_model::id::Revision;
use sitepulse_model::sla::Together;
use sitepulse_model::time::Span;

use super::bench::{Bench, options};
use super::incidents::{down, list, recover};
use super::pages::{Found, Pages};

const DAY_US: i64 = 86_400 * 1_000_000;

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
    for figure in ["availability", "completeness", "unknown", "lower", "upper", "checks", "measured"] {
        assert_eq!(view["sla"][figure], now["whole"][figure], "{figure}");
    }
    for (shown, figure) in [
        ("before", "availability"),
        ("before_completeness", "completeness"),
        ("before_lower", "lower"),
        ("before_upper", "upper"),
    ] {
        assert_eq!(view["sla"][shown], then["whole"][figure], "{shown}");
    }
    let number = |name: &str| view["sla"][name].as_f64().unwrap();
    assert!((number("percent") - 94.79).abs() < 0.01, "{view}");
    assert!((number("before_percent") - 89.58).abs() < 0.01, "{view}");
    assert!((number("change_points") - (number("percent") - number("before_percent"))).abs() < 1e-9);
    let week = kpi(&pages.bench, "?period=7d&zone=Europe/Paris").await;
    assert_eq!((&week["period"], &week["zone"]), (&json!("7d"), &json!("Europe/Paris")));
    assert_eq!(week["sla"]["change_points"], json!(null), "nothing was measured before");
}

#[tokio::test]
async fn what_is_unknown_is_told_by_its_own_cause() {
    let pages = Pages::new().await;
    let agent = pages.enrol("eu-west", "w").await;
    let entries = (0..96).rev().map(|run| pages.entry(pages.result(agent, run * 15, &Found::default())));
    pages.ingest(agent, entries.collect()).await;
    let from = clock::now().plus_us(-6 * 3_600 * 1_000_000);
    let suspend = ControlEvent {
        id: EventId { author: "agent:w".into(), number: 1 },
        at: from,
        scope: Scope::Agent(agent),
        change: Change::Suspend { until: from.plus_us(2 * 3_600 * 1_000_000), reason: "moving".into() },
    };
    let take = move |engine: &mut Engine| engine.take_agent_events(agent, vec![suspend], clock::now()).unwrap();
    pages.bench.app.writer().run(take).await.unwrap();
    let view = kpi(&pages.bench, "").await;
    let suspended = view["sla"]["unknown"]["suspended"].as_f64().unwrap();
    assert!((suspended - 2.0 / 24.0).abs() < 0.01, "{view}");
    let [from, to] = ["from", "to"].map(|name| view[name].as_str().unwrap());
    let whole = pages.bench.get(&format!("/api/v1/sla/groups?from={from}&to={to}")).await.json();
    assert_eq!(view["sla"]["unknown"], whole["whole"]["unknown"]);
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

/// A plain generator: the same numbers each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// What a pass over the evidence gives, by whichever way: the figures that a banner shows.
fn shown(together: &Together) -> (usize, usize, [Option<f64>; 4]) {
    let Together { checks, measured, availability, completeness, lower, upper, .. } = *together;
    (checks, measured, [availability, completeness, lower, upper])
}

#[tokio::test]
async fn days_that_are_kept_add_up_to_a_pass_over_everything() {
    for seed in 0..6 {
        let mut dice = Dice(seed);
        let mut pages = Pages::new().await;
        // Streaks that reach over midnight are decided later.
        (pages.check.confirmations, pages.check.recoveries) = (3, 2);
        let start = pages.now.plus_us(-9 * DAY_US);
        pages.bench.app.apply(vec![pages.check.clone()], options(), start).await.unwrap();
        let agents = [pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await];
        let number = pages.bench.app.book().check_by_id(&pages.check.id).unwrap().number;
        // The slots of nine days, each agent's, that nobody told of yet: the oldest last.
        let mut open: Vec<(usize, i64)> = (0..8 * 96).flat_map(|quarter| [(0, quarter), (1, quarter)]).collect();
        let mut kept = Daily::default();
        for round in 0..30 {
            let mut told: [Vec<i64>; 2] = Default::default();
            for _ in 0..1 + dice.below(60) {
                // In order for the most part, and out of it.
                let at = if dice.below(3) > 0 { open.len().saturating_sub(1) } else { dice.below(open.len().max(1)) };
                if at < open.len() {
                    let (agent, quarter) = open.remove(at);
                    told[agent].push(quarter);
                }
            }
            for (agent, mut quarters) in agents.iter().zip(told) {
                quarters.sort_unstable_by_key(|quarter| std::cmp::Reverse(*quarter));
                let entries = quarters.into_iter().map(|quarter| {
                    let down = dice.below(3) == 0 || (quarter / 7) % 4 == 0;
                    let mut result =
                        pages.result(*agent, quarter * 15, &Found { down, lcp: Some(1), ..Found::default() });
                    result.revision = Revision(2);
                    pages.entry(result)
                });
                pages.ingest(*agent, entries.collect()).await;
            }
            if round % 9 == 8 {
                let body = json!({"check": "shop-vitals", "action": "suspend", "reason": "x", "until": null});
                let path = if round % 2 == 0 { "suspend" } else { "resume" };
                let body = if path == "suspend" { body } else { json!({"check": "shop-vitals", "action": "resume"}) };
                assert_eq!(pages.bench.post("/api/v1/control", &body).await.status, StatusCode::OK);
            }
            let end = pages.now.plus_us(-(dice.below(4) as i64) * 7_200_000_000);
            let middle = end.plus_us(-(1 + dice.below(4) as i64) * DAY_US);
            let before = Span::new(middle.plus_us(middle.us_since(end)), middle);
            let periods = Periods { now: Span::new(middle, end), before };
            let app = &pages.bench.app;
            let (now, then) = kept.gather(app, &[number], periods);
            for (found, period) in [(now, periods.now), (then, periods.before)] {
                let book = app.book();
                let pass = book.gathered(None, &Filter::All, None, (Some(period.from), Some(period.to)), period.to);
                assert_eq!(shown(&found.whole()), shown(&pass.whole()), "seed {seed}, round {round}, {period:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_makes_the_figures_as_it_starts() {
    let (bench, _) = down().await;
    let (_stop, stopping) = tokio::sync::watch::channel(false);
    let present = Present::in_process(bench.app.clone());
    banner::keep(present.clone(), stopping).await;
    for period in Period::ALL {
        let view = present.kpi(period, None).await.unwrap();
        assert_eq!((view.sla.pending, view.sla.checks), (false, 1));
    }
    // Of a zone that nobody asked for before they are made beside, while its reader waits.
    let view = present.kpi(Period::Week, Some("Europe/Paris")).await.unwrap();
    assert_eq!((view.sla.pending, view.sla.checks), (false, 1));
    assert!(view.impact.is_some_and(|impact| impact.score > 0.0 && impact.before.is_none()));
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

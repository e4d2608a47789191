//! Impact scores: kept, told, found again, tried.

mod history;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::failpoint;
use sitepulse_collector::impact::board::{Board, Scores};
use sitepulse_collector::impact::task::settle;
use sitepulse_collector::present::door::Door;
use sitepulse_collector::present::impact::seen_by;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::check::{CheckDefinition, CheckKind};
use sitepulse_model::id::{AgentName, AgentNo, CheckId, Region};
use sitepulse_model::impact::Signal;
use sitepulse_model::record::{Cause, Phases, ProbeState};

use super::bench::{Bench, NETWORK, options};
use super::incidents::{down, recover};
use super::pages::{Found, Pages};

const DAY_US: i64 = 86_400 * 1_000_000;

async fn get(bench: &Bench, path: &str) -> Value {
    let answer = bench.get(&format!("/api/v1/impact{path}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

/// What a score's parts add up to, in hundredths.
fn sum(parts: &Value) -> i64 {
    let points = parts.as_array().unwrap().iter().map(|one| one["points"].as_f64().unwrap());
    points.map(|points| (points * 100.0).round() as i64).sum()
}

fn hundredths(number: &Value) -> i64 {
    (number.as_f64().unwrap() * 100.0).round() as i64
}

fn part<'v>(view: &'v Value, signal: &str) -> &'v Value {
    let parts = view["contributions"].as_array().unwrap();
    parts.iter().find(|one| one["signal"] == signal).unwrap_or_else(|| panic!("{signal}: {view}"))
}

/// Three days of a page that paints late and was down for 75 minutes.
async fn slow_page() -> (Pages, AgentNo) {
    let pages = Pages::new().await;
    let agent = pages.enrol("eu-west", "w").await;
    let found = |minutes: i64| Found {
        down: (180..=240).contains(&minutes),
        lcp: Some(3_250_000),
        cls: Some(500),
        ..Found::default()
    };
    let entries = (0..3 * 96).rev().map(|run| pages.entry(pages.result(agent, run * 15, &found(run * 15))));
    pages.ingest(agent, entries.collect()).await;
    (pages, agent)
}

#[tokio::test]
async fn a_score_is_the_sum_of_what_it_is_made_of() {
    let (pages, _) = slow_page().await;
    let one = get(&pages.bench, "/shop-vitals").await;
    assert_eq!(sum(&one["contributions"]), hundredths(&one["score"]), "{one}");
    let weights: f64 = one["contributions"].as_array().unwrap().iter().map(|one| one["weight"].as_f64().unwrap()).sum();
    assert!((weights - 1.0).abs() < 1e-9);
    // Half way between good and poor.
    let lcp = part(&one, "lcp");
    assert!((lcp["value"].as_f64().unwrap() - 3_250.0).abs() < 30.0, "{lcp}");
    assert_eq!((&lcp["warning"], &lcp["critical"]), (&json!(2500.0), &json!(4000.0)));
    assert!((lcp["points"].as_f64().unwrap() / lcp["weight"].as_f64().unwrap() - 50.0).abs() < 3.0, "{lcp}");
    assert_eq!(part(&one, "cls")["points"], 0.0);
    // 75 minutes of 72 hours, the newest of which weigh more.
    let availability = part(&one, "weighted_availability");
    assert!((availability["value"].as_f64().unwrap() - 0.98).abs() < 0.005, "{availability}");
    assert_eq!((&one["dominant"], &one["model"]), (&json!("weighted_availability"), &json!("built-in@1")));
    assert!(one["reason"]["en"].as_str().unwrap().starts_with("Mostly because its availability is 9"), "{one}");
    assert!(one["reason"]["fr"].as_str().unwrap().contains(','), "{one}");
    let list = get(&pages.bench, "").await;
    assert_eq!((&list["checks"][0]["check"], &list["checks"][0]["score"]), (&one["check"], &one["score"]));
    assert_eq!((&list["whole"]["score"], &list["whole"]["scored"]), (&one["score"], &json!(1)));
    let metrics = pages.bench.get("/metrics").await.text;
    let line = format!("sitepulse_impact_score{{check=\"shop-vitals\"}} {}\n", one["score"].as_f64().unwrap());
    assert!(
        metrics.contains(&line) && metrics.contains("sitepulse_impact_model_info{model=\"built-in@1\"} 1"),
        "{line}"
    );
}

#[tokio::test]
async fn without_evidence_there_is_no_score() {
    let pages = Pages::new().await;
    let one = get(&pages.bench, "/shop-vitals").await;
    assert_eq!((&one["score"], &one["band"], &one["contributions"]), (&json!(null), &json!(null), &json!([])));
    let list = get(&pages.bench, "").await;
    assert_eq!((&list["whole"], &list["checks"][0]["score"]), (&json!(null), &json!(null)));
    assert!(!pages.bench.get("/metrics").await.text.contains("sitepulse_impact_score{"));
    let empty = get(&Bench::new(), "").await;
    assert_eq!((&empty["checks"], &empty["whole"]), (&json!([]), &json!(null)));
}

/// A check that took ever longer: 100 ms ten days ago, three times as long today.
async fn slower(expect: &str) -> Pages {
    let mut pages = Pages::new().await;
    let id = CheckId::parse("shop").unwrap();
    let mut check = CheckDefinition { id, kind: CheckKind::http("http://127.0.0.1:1/"), ..pages.check.clone() };
    if !expect.is_empty() {
        check.expect = vec![sitepulse_model::expect::Expectation::parse(expect, "http").unwrap()];
    }
    pages.bench.app.apply(vec![check.clone()], options(), pages.now.plus_us(-10 * DAY_US)).await.unwrap();
    pages.check = check;
    let agent = pages.enrol("eu-west", "w").await;
    let mut entries = Vec::new();
    for run in (0..9 * 96).rev() {
        let mut result = pages.result(agent, run * 15, &Found::default());
        let total = if run * 15 < 26 * 60 { 300_000 } else { 100_000 };
        result.phases = Phases { total: Some(total), ..Phases::default() };
        result.facts = Default::default();
        entries.push(pages.entry(result));
    }
    pages.ingest(agent, entries).await;
    pages
}

#[tokio::test]
async fn latency_is_held_against_the_budget_and_the_week_before_sealed_or_not() {
    let pages = slower("degraded if latency > 200ms").await;
    let path = format!("/shop?at={}", instant::format(clock::now()));
    let open = get(&pages.bench, &path).await;
    let p95 = part(&open, "latency_p95");
    assert!((p95["value"].as_f64().unwrap() - 1.5).abs() < 0.03, "{p95}");
    let regression = part(&open, "latency_regression");
    assert!((regression["value"].as_f64().unwrap() - 2.0).abs() < 0.05, "{regression}");
    assert_eq!(hundredths(&regression["points"]), (regression["weight"].as_f64().unwrap() * 1e4).round() as i64);
    pages.bench.app.writer().run(|engine| engine.seal_now().unwrap()).await.unwrap();
    let sealed = get(&pages.bench, &path).await;
    assert_eq!(sealed["contributions"], open["contributions"]);
    // Ten hours ago the slow ones were as many; ten days ago there was nothing.
    let then = get(&pages.bench, "/shop?at=-3d").await;
    assert!(part(&then, "latency_p95")["value"].as_f64().unwrap() < 0.6, "{then}");
    assert!(then["contributions"].as_array().unwrap().iter().all(|one| one["points"] == 0.0), "{then}");
}

#[tokio::test]
async fn without_a_word_of_its_own_a_check_is_slow_by_its_timeout() {
    let pages = slower("").await;
    let one = get(&pages.bench, "/shop").await;
    let budget_s = pages.check.timeout_us as f64 / 1e6 / 2.5;
    let p95 = part(&one, "latency_p95")["value"].as_f64().unwrap();
    assert!((p95 * budget_s - 0.3).abs() < 0.01, "{p95}");
}

#[tokio::test]
async fn what_changed_is_found_again_and_nothing_else() {
    let (pages, agent) = slow_page().await;
    let app = &pages.bench.app;
    let now = clock::now();
    let first = settle(app, now).await.unwrap();
    assert_eq!((first.turned.len(), first.left), (1, 0));
    let again = settle(app, now.plus_us(1)).await.unwrap();
    assert_eq!((again.changed, again.turned.len()), (0, 0), "nothing happened");
    let before = app.board().newest().unwrap();
    // The newest run fails: no verdict yet, but something that may become one.
    let mut result = pages.result(agent, -15, &Found::default());
    result.state = ProbeState::Down;
    result.cause = Some(Cause::Timeout);
    pages.ingest(agent, vec![pages.entry(result)]).await;
    let changed = settle(app, now.plus_us(2)).await.unwrap();
    assert_eq!((changed.changed, changed.turned.len()), (1, 0));
    assert!(!std::sync::Arc::ptr_eq(&before, &app.board().newest().unwrap()));
    // The hour turns: everything once more.
    let turned = settle(app, now.plus_us(3_600_000_000)).await.unwrap();
    assert_eq!((turned.changed, turned.turned.len()), (0, 1));
}

/// The first instant of the newest hour that is over, and `minutes` after it.
fn in_the_last_hour(minutes: i64) -> sitepulse_model::time::UtcMicros {
    let hour_us = 3_600_000_000;
    sitepulse_model::time::UtcMicros((clock::now().0.div_euclid(hour_us) - 1) * hour_us).plus_us(minutes * 60_000_000)
}

/// The defect: once an outage was confirmed the score stood still until the hour turned, while `--at now` told another number.
#[tokio::test]
async fn a_score_moves_with_every_minute_of_an_outage() {
    let pages = Pages::new().await;
    let agent = pages.enrol("eu-west", "w").await;
    let found = |minutes: i64| Found { down: minutes <= 240, ..Found::default() };
    let entries = (0..96).rev().map(|run| pages.entry(pages.result(agent, run * 15, &found(run * 15))));
    pages.ingest(agent, entries.collect()).await;
    let app = &pages.bench.app;
    let availability = |scores: &Scores| {
        let check = scores.checks.values().next().unwrap();
        let parts = &check.score.as_ref().unwrap().contributions;
        let part = parts.iter().find(|part| part.signal == Signal::WeightedAvailability).unwrap();
        (check.at, part.value)
    };
    let newest = || app.board().newest().unwrap();
    settle(app, in_the_last_hour(1)).await.unwrap();
    let mut before = availability(&newest());
    for minutes in [2, 3, 20, 55] {
        let now = in_the_last_hour(minutes);
        let refreshed = settle(app, now).await.unwrap();
        assert_eq!((refreshed.changed, refreshed.turned.len()), (1, 0), "after {minutes} min");
        let after = availability(&newest());
        assert!(after.0 == now && after.1 < before.1, "{after:?} after {before:?}");
        let told = get(&pages.bench, &format!("/shop-vitals?at={}&evidence=true", instant::format(now))).await;
        let told = part(&told, "weighted_availability")["value"].as_f64().unwrap();
        assert!((told - after.1).abs() < 1e-9, "found again of this instant it is the same: {told} {after:?}");
        // A region follows, without the store's help.
        let region = newest().regions.values().next().unwrap().clone();
        assert_eq!(availability(&region), after);
        before = after;
    }
    // Once a minute is enough.
    assert_eq!(settle(app, in_the_last_hour(55).plus_us(1)).await.unwrap().changed, 0);
}

/// The defect: what ends or begins by its time alone, as silence does, was not noticed until the hour turned.
#[tokio::test]
async fn silence_is_noticed_in_its_minute_and_a_check_that_is_up_is_left_alone() {
    let pages = Pages::new().await;
    let agent = pages.enrol("eu-west", "w").await;
    // The newest run's word holds until some minutes after the hour began: twice the interval and the timeout.
    let first = in_the_last_hour(0);
    let minutes = pages.now.us_since(first) / 60_000_000;
    let entries = (2..96).rev().map(|run| pages.entry(pages.result(agent, minutes + run * 15 - 20, &Found::default())));
    pages.ingest(agent, entries.collect()).await;
    let app = &pages.bench.app;
    settle(app, in_the_last_hour(1)).await.unwrap();
    let verdict = |minutes: i64| {
        let now = in_the_last_hour(minutes);
        let book = app.book();
        let check = book.checks().next().unwrap().number;
        book.verdict_now(check, now).unwrap().verdict.verdict
    };
    let mut noticed = 0;
    for minutes in 2..58 {
        let moved = verdict(minutes) != verdict(minutes - 1);
        let changed = settle(app, in_the_last_hour(minutes)).await.unwrap().changed;
        assert_eq!(changed, usize::from(moved), "{minutes}: {:?}", verdict(minutes));
        noticed += changed;
    }
    assert_eq!(noticed, 1, "it is silent from some minute on");
}

/// The defect: while the checks took their turns, scores of the old model were told under the new one's name.
#[tokio::test]
async fn scores_of_two_models_are_never_told_together() {
    let (pages, _) = slow_page().await;
    let bench = &pages.bench;
    let text =
        "[[check]]\nid = \"shop-vitals\"\nkind = \"web_vitals\"\nurl = \"https://shop.example/\"\ninterval = \"15m\"\n";
    let two = text.to_owned() + &text.replace("shop-vitals", "shop-too");
    bench.apply(&two, json!({})).await;
    let now = in_the_last_hour(10);
    settle(&bench.app, now).await.unwrap();
    let told = || {
        let scores = bench.app.board().newest().unwrap();
        let score = scores.checks.values().find(|check| check.id.as_str() == "shop-vitals").unwrap().score.clone();
        (scores.model.label.clone(), score, scores.regions.clone())
    };
    let same = |one: &std::sync::Arc<_>, other: &std::sync::Arc<_>| std::sync::Arc::ptr_eq(one, other);
    let before = told();
    assert_eq!(before.0, "built-in@1");
    let model = "[[scoring]]\nid = \"default\"\nweb_vitals = { weight = 0 }\n";
    bench.apply(&(two.clone() + model), json!({})).await;
    // The model is in force from when it was applied.
    let now = clock::now();
    let first = Board::refresh(&bench.app, now.plus_us(1), 1).await.unwrap();
    assert_eq!((first.turned.len(), first.left), (0, 1), "nothing is told, so nothing is to be written down");
    let meanwhile = told();
    assert_eq!((meanwhile.0, meanwhile.1), (before.0, before.1.clone()));
    let second = Board::refresh(&bench.app, now.plus_us(2), 1).await.unwrap();
    assert_eq!((second.turned.len(), second.left), (2, 0));
    let after = told();
    assert!(after.0 == "default@1" && after.1 != before.1);
    assert!(same(&after.2, &before.2), "regions follow");
    // The defect: what a region saw of a check bore the new model's name meanwhile.
    let seen_by_regions = || {
        let number = bench.app.book().check_by_id(&CheckId::parse("shop-vitals").unwrap()).unwrap().number;
        let scores = bench.app.board().newest().unwrap();
        seen_by(&scores, number).map(|seen| seen.model).collect::<Vec<String>>()
    };
    assert_eq!(seen_by_regions(), ["built-in@1"]);
    // Of one of the checks alone a region has no score to tell.
    assert_eq!(Board::refresh_regions(&bench.app, now.plus_us(3), 1).await.unwrap(), 1);
    assert!(same(&told().2, &before.2));
    assert_eq!(Board::refresh_regions(&bench.app, now.plus_us(3), 1).await.unwrap(), 0);
    assert!(told().2.values().all(|region| region.model.label == "default@1"));
    assert_eq!(seen_by_regions(), ["default@1"]);
}

/// The defect: a change of one check made every region's scores anew.
#[tokio::test]
async fn a_region_of_which_nothing_changed_is_told_as_it_was() {
    let pages = two_regions().await;
    let app = &pages.bench.app;
    settle(app, in_the_last_hour(1)).await.unwrap();
    let regions = || app.board().newest().unwrap().regions.clone();
    let before = regions();
    let agent = app.book().agent_by_name(&AgentName::parse("e").unwrap()).unwrap().number;
    let mut result = pages.result(agent, -15, &Found { down: true, ..Found::default() });
    result.cause = Some(Cause::Timeout);
    pages.ingest(agent, vec![pages.entry(result)]).await;
    // One that is down ahead changes nothing yet; half an hour makes the outage of `us-east` older. `eu-west` saw none.
    assert_eq!(settle(app, in_the_last_hour(30)).await.unwrap().changed, 1);
    let after = regions();
    let same = |region: &str| {
        let region = Region::parse(region).unwrap();
        std::sync::Arc::ptr_eq(&before[&region], &after[&region])
    };
    assert_eq!([same("us-east"), same("eu-west")], [false, true]);
}

/// The defect: a panic over one check ended scoring of all checks for the rest of the process, and nothing said which one it was.
#[tokio::test]
async fn a_check_whose_score_panics_costs_no_other_check_its_own() {
    let (pages, _) = slow_page().await;
    let app = &pages.bench.app;
    let add = async |id: &str| {
        let check = format!("[[check]]\nid = \"{id}\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\n");
        assert_eq!(pages.bench.apply(&check, json!({})).await.status, StatusCode::OK);
    };
    add("cannot-be-scored").await;
    failpoint::plant_panic("impact.score", "cannot-be-scored");
    for later in ["comes-later", "comes-last"] {
        settle(app, clock::now()).await.unwrap();
        let scores = app.board().newest().unwrap();
        let scored: Vec<&str> =
            scores.checks.values().filter(|one| one.score.is_some()).map(|one| one.id.as_str()).collect();
        assert_eq!(scored, ["shop-vitals"]);
        assert!(
            scores.checks.values().all(|one| one.id.as_str() != "cannot-be-scored"),
            "of that one nothing is known"
        );
        assert!(later == "comes-later" || scores.checks.values().any(|one| one.id.as_str() == "comes-later"));
        add(later).await;
    }
    // Nobody looks at it again in each second.
    settle(app, clock::now()).await.unwrap();
    assert_eq!(settle(app, clock::now()).await.unwrap().changed, 0);
}

#[tokio::test]
async fn an_incident_counts_for_its_check_and_a_critical_check_raises_its_group() {
    let (bench, agent) = down().await;
    let one = get(&bench, "/shop").await;
    let recurrence = part(&one, "recurrence");
    assert!((recurrence["value"].as_f64().unwrap() - 1.0).abs() < 0.05, "one incident is one in 7 days: {recurrence}");
    let more: String = ["a", "b", "c"]
        .map(|id| format!("[[check]]\nid = \"{id}\"\nkind = \"http\"\nurl = \"http://127.0.0.1:1/\"\ninterval = \"30s\"\ngroup = \"web\"\nweight = 5\n"))
        .concat();
    let critical =
        super::incidents::FILE.replace("group = \"web\"\n", "group = \"web\"\nclass = \"critical\"\n") + &more;
    bench.apply(&critical, json!({})).await;
    let list = get(&bench, "?group=web").await;
    let group = &list["groups"][0];
    assert_eq!((&group["group"], &group["checks"], &group["scored"]), (&json!("web"), &json!(4), &json!(1)));
    assert_eq!((&list["whole"], list["checks"].as_array().unwrap().len()), (&json!(null), 4));
    assert_eq!(
        sum(&group["contributions"]) + group["raised"].as_object().map_or(0, |raised| hundredths(&raised["points"])),
        hundredths(&group["score"])
    );
    recover(&bench, agent).await;
    assert_eq!(part(&get(&bench, "/shop").await, "recurrence")["value"].as_f64().map(f64::round), Some(1.0));
}

#[tokio::test]
async fn another_model_is_tried_and_changes_nothing() {
    let (pages, _) = slow_page().await;
    let before = get(&pages.bench, "").await;
    let strict = json!({"model": {"id": "default", "warning": 1, "critical": 2}});
    let trial = pages.bench.post("/api/v1/impact-trials", &strict).await;
    assert_eq!(trial.status, StatusCode::OK, "{}", trial.text);
    let trial = trial.json();
    assert_eq!((&trial["model"], &trial["checks"], &trial["moved"]), (&json!("built-in@1"), &json!(1), &json!(1)));
    assert_eq!(
        (&trial["rows"][0]["check"], &trial["rows"][0]["band_after"]),
        (&json!("shop-vitals"), &json!("critical"))
    );
    assert_eq!(trial["rows"][0]["before"], trial["rows"][0]["after"], "only the bands moved");
    let days = pages
        .bench
        .post("/api/v1/impact-trials", &json!({"model": {"id": "default"}, "check": "shop-vitals"}))
        .await
        .json();
    assert_eq!((days["rows"].as_array().unwrap().len(), &days["moved"], &days["whole"]), (11, &json!(0), &json!(null)));
    assert_eq!(get(&pages.bench, "").await["checks"][0]["score"], before["checks"][0]["score"]);
    for bad in [json!({"model": {"id": "mine"}}), json!({"model": {"id": "default", "colour": 1}}), json!({})] {
        let status = pages.bench.post("/api/v1/impact-trials", &bad).await.status;
        assert!(status.is_client_error(), "{bad} {status}");
    }
}

/// Two regions that see a page of the group `front`: one of them sees it down for a while.
async fn two_regions() -> Pages {
    seen_by_two(Pages::new().await).await
}

async fn seen_by_two(pages: Pages) -> Pages {
    let text = "[[check]]\nid = \"shop-vitals\"\nkind = \"web_vitals\"\nurl = \"https://shop.example/\"\ninterval = \"15m\"\ngroup = \"front\"\n";
    let sources = [Source { name: "all.toml".into(), text: text.into() }];
    let written = checkfile::parse(&sources).unwrap();
    pages.bench.app.apply(written, options(), pages.now.plus_us(-9 * DAY_US)).await.unwrap();
    for (region, name, bad) in [("eu-west", "w", false), ("us-east", "e", true)] {
        let agent = pages.enrol(region, name).await;
        let found = |minutes: i64| Found {
            down: bad && (180..=400).contains(&minutes),
            lcp: Some(if bad { 3_250_000 } else { 1_000_000 }),
            ..Found::default()
        };
        let entries = (0..3 * 96).rev().map(|run| pages.entry(pages.result(agent, run * 15, &found(run * 15))));
        pages.ingest(agent, entries.collect()).await;
    }
    pages
}

#[tokio::test]
async fn each_region_scores_by_what_its_own_agents_saw() {
    let pages = two_regions().await;
    let bench = &pages.bench;
    settle(&bench.app, clock::now()).await.unwrap();
    let list = get(bench, "").await;
    let regions: Vec<&str> =
        list["regions"].as_array().unwrap().iter().map(|one| one["region"].as_str().unwrap()).collect();
    assert_eq!(regions, ["us-east", "eu-west"], "the worst first: {list}");
    let detail = get(bench, "/shop-vitals").await;
    let seen = detail["regions"].as_array().unwrap();
    let (east, west) = (&seen[0], &seen[1]);
    assert_eq!((&east["region"], &west["region"]), (&json!("us-east"), &json!("eu-west")));
    for one in seen {
        assert_eq!(sum(&one["contributions"]), hundredths(&one["score"]), "{one}");
        let signals = one["contributions"].as_array().unwrap();
        assert!(signals.iter().all(|part| part["signal"] != "recurrence"), "incidents are nobody's alone: {one}");
    }
    assert_eq!(part(west, "weighted_availability")["value"], 1.0);
    assert_eq!(
        (&part(east, "lcp")["value"], hundredths(&part(west, "lcp")["points"])),
        (&part(east, "lcp")["value"], 0)
    );
    assert!(hundredths(&part(east, "lcp")["points"]) > 0);
    // Both agents together: a regional outage costs its share.
    let all = part(&detail, "weighted_availability")["value"].as_f64().unwrap();
    let alone = part(east, "weighted_availability")["value"].as_f64().unwrap();
    assert!(alone < all && all < 1.0 && (all - (1.0 + alone) / 2.0).abs() < 0.01, "{alone} {all}");
    // Found again of this instant it is the same.
    let again = get(bench, &format!("?region=us-east&at={}", instant::format(clock::now()))).await;
    assert_eq!(
        (&again["region"], &again["checks"][0]["contributions"][1]),
        (&json!("us-east"), &east["contributions"][1])
    );
    assert_eq!(get(bench, "?region=eu-west").await["whole"]["score"], west["score"]);
    let metrics = bench.get("/metrics").await.text;
    assert!(metrics.contains("sitepulse_impact_region_score{region=\"us-east\"} "), "{metrics}");
    assert_eq!(bench.get("/api/v1/impact?region=nowhere").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn lists_are_sorted_by_impact_page_by_page() {
    let (pages, _) = slow_page().await;
    let bench = &pages.bench;
    let more: String = (0..250)
        .map(|n| {
            format!("[[check]]\nid = \"c{n:03}\"\nkind = \"http\"\nurl = \"http://127.0.0.1:1/\"\ninterval = \"30s\"\n")
        })
        .collect();
    assert_eq!(bench.apply(&more, json!({})).await.status, StatusCode::OK);
    let (mut told, mut at) = (Vec::new(), Some("/api/v1/checks?sort=impact&limit=40".to_owned()));
    while let Some(path) = at {
        let page = bench.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        told.extend(page.json().as_array().unwrap().iter().map(|check| check["id"].as_str().unwrap().to_owned()));
        let link = page.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
        at = link.map(|link| link.split_once('>').unwrap().0.trim_start_matches('<').to_owned());
    }
    assert_eq!(
        (told.len(), told[0].as_str(), told[1].as_str(), told[250].as_str()),
        (251, "shop-vitals", "c000", "c249")
    );
    for (sort, first) in [("impact", "shop-vitals"), ("-impact", "shop-vitals"), ("name", "c000")] {
        let page = bench.get(&format!("/checks?sort={sort}")).await.text;
        let at = |id: &str| page.find(&format!("href=\"/checks/{id}\"")).unwrap_or(usize::MAX);
        assert!(at(first) < at("c001"), "{sort}");
    }
    assert_eq!(bench.get("/api/v1/checks?sort=colour").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_score_raises_an_incident_in_the_queue_and_says_why() {
    let (bench, _) = down().await;
    // An older one of the same severity, about nothing that has a score.
    for title in ["the lift", "the door"] {
        let opened = bench.post("/api/v1/incidents", &json!({"title": title, "severity": "major"})).await;
        assert_eq!(opened.status, StatusCode::OK, "{}", opened.text);
    }
    let critical = bench.post("/api/v1/incidents", &json!({"title": "fire", "severity": "critical"})).await.json();
    let found = bench.get("/api/v1/incidents?sort=queue").await.json();
    let queue: Vec<&Value> = found.as_array().unwrap().iter().collect();
    assert_eq!((queue.len(), &queue[0]["id"], &queue[1]["check"]), (4, &critical["id"], &json!("shop")));
    for (at, one) in queue.iter().enumerate() {
        assert_eq!(one["rank"]["position"], at + 1, "{one}");
    }
    assert!(queue[1]["rank"]["score"].as_f64().unwrap() > 0.0, "{}", queue[1]);
    assert!(queue[1]["rank"]["reason"]["fr"].as_str().unwrap().contains("shop"));
    assert_eq!(queue[2]["rank"]["score"], json!(null));
    let one = bench.get(&format!("/api/v1/incidents/{}", queue[1]["id"].as_str().unwrap())).await.json();
    assert_eq!(one["rank"], queue[1]["rank"]);
    let page = bench.get("/incidents?lang=en").await.text;
    assert!(page.contains("Sorted by severity, then by the impact score") && page.contains("No. 2"), "{page}");
    assert!(page.find("fire").unwrap() < page.find(">shop<").unwrap() && page.find(">shop<") < page.find("the lift"));
    let page = bench.get(&format!("/incidents/{}?lang=fr", queue[1]["id"].as_str().unwrap())).await.text;
    assert!(page.contains("Rang dans la file"), "{page}");
    for bad in ["?sort=colour", "?sort=queue&state=all"] {
        assert_eq!(bench.get(&format!("/api/v1/incidents{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let resolve = format!("/api/v1/incidents/{}/acts", queue[0]["id"].as_str().unwrap());
    let over = bench.post(&resolve, &json!({"act": "resolve"})).await.json();
    assert_eq!(over["rank"], json!(null), "what is over has no place");
}

#[tokio::test]
async fn the_model_is_tried_and_saved_in_the_console() {
    let (pages, _) = slow_page().await;
    let bench = &pages.bench;
    let form = bench.get("/impact/model?lang=en").await;
    assert_eq!(form.status, StatusCode::OK, "{}", form.text);
    // What the page holds, with the bands moved.
    let mut fields: std::collections::BTreeMap<String, String> = form
        .text
        .split("<input id=\"f-")
        .skip(1)
        .filter_map(|text| {
            let name = text.split_once('"')?.0;
            let value = text.split_once("value=\"")?.1.split_once('"')?.0;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect();
    assert_eq!(fields.len(), 5 + 4 + 18 + 3 + 1, "{fields:?}");
    fields.insert("warning".into(), "1".into());
    fields.insert("critical".into(), "2,5".into());
    let send = async |what: &str| {
        let pairs = fields.iter().map(|(name, value)| format!("{name}={value}"));
        let form = pairs.chain([format!("do={what}")]).collect::<Vec<_>>().join("&");
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        bench.send(Door::Local, "POST", "/impact/model", &kind, &form).await
    };
    let tried = send("plan").await;
    assert_eq!(tried.status, StatusCode::OK, "{}", tried.text);
    for word in [
        "1 of 1 checks would change their band",
        "shop-vitals",
        "class=\"chart\"",
        "Save as a new version",
        "critical = 2.5",
    ] {
        assert!(tried.text.contains(word), "{word}: {}", tried.text);
    }
    assert_eq!(get(bench, "").await["model"], "built-in@1", "trying saves nothing");
    let saved = send("apply").await;
    assert_eq!(
        (saved.status, &saved.headers["location"]),
        (StatusCode::SEE_OTHER, &axum::http::HeaderValue::from_static("/impact"))
    );
    let after = get(bench, "").await;
    assert_eq!((&after["model"], &after["checks"][0]["band"]), (&json!("default@1"), &json!("critical")));
    fields.insert("critical".into(), "0.5".into());
    let refused = {
        let pairs = fields.iter().map(|(name, value)| format!("{name}={value}"));
        let form = pairs.chain(["do=apply".to_owned()]).collect::<Vec<_>>().join("&");
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        bench.send(Door::Local, "POST", "/impact/model", &kind, &form).await
    };
    assert!(refused.status.is_client_error() && refused.text.contains("below"), "{}", refused.text);
    let bearer = format!("Bearer {}", bench.token(CredentialKind::ApiToken, Access::Respond).await);
    let read = bench.send(NETWORK, "GET", "/impact/model", &[("authorization", &bearer)], "").await;
    assert_eq!(read.status, StatusCode::FORBIDDEN, "a model is an editor's");
}

#[tokio::test]
async fn a_trial_of_all_checks_goes_back_day_by_day() {
    let (pages, _) = slow_page().await;
    let body = json!({"model": {"id": "default", "web_vitals": {"weight": 0}}, "days": 3});
    let trial = pages.bench.post("/api/v1/impact-trials", &body).await.json();
    let days = trial["days"].as_array().unwrap();
    assert_eq!((days.len(), &days[2], trial["rows"].as_array().unwrap().len()), (3, &trial["whole"], 1));
    assert!(days[2]["after"].as_f64() > days[2]["before"].as_f64(), "the outage weighs more alone: {trial}");
    // What was stored tells the same of the model that was in force then.
    settle(&pages.bench.app, clock::now()).await.unwrap();
    let kept = pages.bench.get("/api/v1/impact-history").await.json();
    assert_eq!(kept["hours"][0]["score"], days[2]["before"]);
    for bad in [0, 29] {
        let body = json!({"model": {"id": "default"}, "days": bad});
        assert_eq!(pages.bench.post("/api/v1/impact-trials", &body).await.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn nonsense_is_refused_with_what_to_write() {
    let (pages, _) = slow_page().await;
    for (path, status) in [
        ("?at=2100-01-01", 400),
        ("?limit=0", 400),
        ("?colour=red", 400),
        ("?group=none", 404),
        ("/none", 404),
        ("/shop-vitals?at=-300d", 404),
    ] {
        assert_eq!(pages.bench.get(&format!("/api/v1/impact{path}")).await.status.as_u16(), status, "{path}");
    }
    let faults =
        |text: &str| checkfile::parse(&[Source { name: "s.toml".into(), text: text.into() }]).unwrap_err().to_string();
    let fault = faults(
        "[[scoring]]\nid = \"default\"\nlatency = { weight = 1, p95 = { share = 1, warning = 3, critical = 2 } }\n",
    );
    assert!(fault.contains("p95: \"warning\" must lie below \"critical\""), "{fault}");
    assert!(faults("[[scoring]]\nid = \"default\"\nhalf_life = \"7d\"\n").contains("half_life"));
}

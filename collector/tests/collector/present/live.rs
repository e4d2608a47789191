//! What open pages hear: nothing is lost between a page and its stream, and nothing is told twice.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use sitepulse_collector::present::door::Door;
use sitepulse_model::record::ProbeState;
use tokio::time::timeout;
use tower::ServiceExt;

use super::bench::{Bench, CHECK};
use super::incidents::{down, take_in};

/// A stream, from its start.
async fn stream(bench: &Bench, after: &str) -> Body {
    let mut request = Request::get(format!("/events{after}")).body(Body::empty()).unwrap();
    request.extensions_mut().insert(Door::Local);
    let response = bench.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    response.into_body()
}

/// What a stream says next.
async fn next_words(stream: &mut Body) -> String {
    let frame = stream.frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

/// The first that a stream says, which is all that came after `after`.
async fn first_words(bench: &Bench, after: &str) -> String {
    next_words(&mut stream(bench, after).await).await
}

/// The event that a page's stream goes on from.
async fn told(bench: &Bench, path: &str) -> String {
    let page = bench.get(path).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let rest =
        page.text.split_once("data-told=\"").unwrap_or_else(|| panic!("{path} is told nothing: {}", page.text)).1;
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn what_changes_between_a_page_and_its_stream_is_heard() {
    let bench = Bench::new();
    // Nobody ever listened: the first page begins the story.
    for (path, event) in
        [("/jobs", "event: job\n"), ("/findings", "event: objects\n"), ("/incidents", "event: incident\n")]
    {
        let number = told(&bench, path).await;
        let quiet = first_words(&bench, &format!("?after={number}")).await;
        assert!(quiet.contains("event: hello\n") && !quiet.contains("event: reset"), "{quiet}");
        assert!(!quiet.contains(event), "nothing changed, nothing is told: {quiet}");
        match path {
            "/jobs" => drop(bench.post("/api/v1/jobs", &json!({"kind": "noop", "args": {"wait_ms": 5}})).await),
            "/findings" => assert_eq!(bench.apply(CHECK, json!({})).await.status, StatusCode::OK),
            _ => {
                let body = json!({"title": "by hand", "severity": "minor", "check": "shop"});
                let opened = bench.post("/api/v1/incidents", &body).await;
                assert!(opened.status.is_success(), "{}", opened.text);
            }
        }
        let heard = first_words(&bench, &format!("?after={number}")).await;
        assert!(heard.contains(event), "{path}: {heard}");
        // A page that is read after the change is told so, and its stream says it no second time.
        let later = told(&bench, path).await;
        let again = first_words(&bench, &format!("?after={later}")).await;
        assert!(!again.contains(event), "{path}: {again}");
    }
    let nonsense = bench.get("/events?after=x").await;
    assert_eq!(nonsense.status, StatusCode::BAD_REQUEST, "{}", nonsense.text);
}

#[tokio::test]
async fn a_page_of_an_earlier_life_reads_everything_anew() {
    let bench = Bench::new();
    let number = told(&bench, "/jobs").await;
    let bench = bench.again().await;
    // Others listen already, and the new story is longer than the old one was.
    told(&bench, "/jobs").await;
    for weight in 2..5 {
        let text = format!("{CHECK}weight = {weight}\n");
        assert_eq!(bench.apply(&text, json!({})).await.status, StatusCode::OK);
        first_words(&bench, "").await;
    }
    let heard = first_words(&bench, &format!("?after={number}")).await;
    assert!(heard.contains("event: reset\n"), "{heard}");
}

/// A snapshot serves longer than a stream waits: a change that comes right after a look, and none after it, is not told two seconds late.
#[tokio::test]
async fn a_change_right_after_a_look_is_told_within_a_second() {
    let (bench, agent) = down().await;
    let mut stream = stream(&bench, "").await;
    assert!(next_words(&mut stream).await.contains("event: hello\n"));
    bench.app.writer().run(move |engine| take_in(engine, agent, &[ProbeState::Up], 0, 10)).await.unwrap();
    let told = async { while !next_words(&mut stream).await.contains("event: check\n") {} };
    assert!(timeout(Duration::from_millis(1_500), told).await.is_ok(), "the stream looked again too late");
}

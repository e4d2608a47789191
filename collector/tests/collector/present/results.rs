//! `/api/v1/results`: every record once, page by page, sealed or not; what is gone is told.

use axum::http::StatusCode;
use serde_json::Value;
use sitepulse_collector::engine::Engine;
use sitepulse_collector::seal::retention::Retention;

use super::pages::{Found, Pages};
use crate::collector::core::world::garble;

async fn on_the_writer<T: Send + 'static>(pages: &Pages, work: impl FnOnce(&mut Engine) -> T + Send + 'static) -> T {
    pages.bench.app.writer().run(work).await.unwrap()
}

/// The records of all pages of three, as `(id, seq, state)`.
async fn listed(pages: &Pages, query: &str) -> Vec<(String, u64, String)> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = pages.bench.get(&format!("/api/v1/results?check=shop-vitals&limit=3{query}{after}")).await.json();
        let records = page["records"].as_array().unwrap();
        assert!(records.len() <= 3);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        all.extend(
            records
                .iter()
                .map(|record| (text(&record["id"]), record["seq"].as_u64().unwrap(), text(&record["result"]["state"]))),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn pages_hold_every_record_once_sealed_or_not() {
    let pages = Pages::new().await;
    let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
    let found = Found { lcp: Some(2_000_000), ..Found::default() };
    for minutes in [400, 300, 200, 100, 50, 20] {
        pages.ran(west, minutes, &found).await;
        pages.ran(east, minutes, &Found { down: minutes == 200, ..Found::default() }).await;
        if minutes == 200 {
            on_the_writer(&pages, |engine| engine.seal_now().unwrap()).await;
        }
    }
    // Late, of a time that is sealed.
    pages.ran(west, 350, &found).await;
    let all = listed(&pages, "").await;
    assert_eq!(all.len(), 13);
    let seqs: std::collections::BTreeSet<u64> = all.iter().map(|(_, seq, _)| *seq).collect();
    assert_eq!(seqs.len(), 13);
    let slots: Vec<&str> = all.iter().map(|(id, ..)| id.split_once('@').unwrap().1).collect();
    assert!(slots.is_sorted(), "{slots:?}");
    assert_eq!(all.iter().filter(|(.., state)| state == "down").count(), 1);
    let of_west = listed(&pages, "&agent=w").await;
    assert_eq!(of_west.len(), 7);
    assert!(of_west.iter().all(|(id, ..)| id.starts_with("w@")));
    assert_eq!(listed(&pages, "&from=-150m").await.len(), 6);
    on_the_writer(&pages, |engine| engine.seal_now().unwrap()).await;
    assert_eq!(listed(&pages, "").await, all);
    let first = pages.bench.get("/api/v1/results?check=shop-vitals&limit=1").await.json();
    assert_eq!((&first["records"][0]["build"], &first["records"][0]["kind"]), (&"0.0.0".into(), &"result".into()));
    assert!(first["gone"].as_array().unwrap().is_empty() && first["damaged"].as_array().unwrap().is_empty());
}

/// The ids that every page of a path lists.
async fn ids(pages: &Pages, path: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = String::new();
    loop {
        let page = pages.bench.get(&format!("{path}&limit=3{after}")).await.json();
        let records = page["records"].as_array().unwrap_or_else(|| panic!("{path}: {page}"));
        ids.extend(records.iter().map(|record| record["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn explain_names_the_results_behind_each_vote_and_listing_them_gives_exactly_these() {
    let pages = Pages::new().await;
    let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
    // One is missing between others; an outage that one of the two sees; a blip.
    for quarter in (1..40).rev().filter(|quarter| *quarter != 30) {
        let state = |down: bool| Found { down, lcp: Some(2_000_000), ..Found::default() };
        pages.ran(west, quarter * 15, &state((10..14).contains(&quarter) || quarter == 20)).await;
        pages.ran(east, quarter * 15, &state((12..16).contains(&quarter))).await;
        if quarter == 17 {
            on_the_writer(&pages, |engine| engine.seal_now().unwrap()).await;
        }
    }
    // A second record of a slot, of a clock that leapt: it is not what the vote rests on.
    let mut leapt = pages.result(west, 300, &Found::default());
    leapt.started = leapt.started.plus_us(5);
    assert_eq!(pages.ingest(west, vec![pages.entry(leapt)]).await.stored, 1);
    let explained = pages.bench.get("/api/v1/explain?check=shop-vitals&from=-11h").await.json();
    let (mut looked_at, mut of_many) = (0, 0);
    for interval in explained["intervals"].as_array().unwrap() {
        for vote in interval["votes"].as_array().unwrap() {
            assert!(vote["standing"] != "live" || !vote["evidence"].as_array().unwrap().is_empty(), "{interval}");
            for evidence in vote["evidence"].as_array().unwrap() {
                let text = |key: &str| evidence[key].as_str().unwrap().to_owned();
                let at = |id: &str| {
                    let (agent, slot) = id.split_once('@').unwrap();
                    assert_eq!(agent, vote["agent"]);
                    sitepulse_daemon::instant::parse(slot, pages.now).unwrap()
                };
                let (count, step_us) = (evidence["count"].as_i64().unwrap(), evidence["step_us"].as_i64());
                let first = at(&text("first_id"));
                let named: Vec<String> = (0..count)
                    .map(|n| first.plus_us(n * step_us.unwrap_or(0)))
                    .map(|slot| {
                        format!("{}@{}", vote["agent"].as_str().unwrap(), sitepulse_daemon::instant::format(slot))
                    })
                    .collect();
                assert_eq!(named.last(), Some(&text("last_id")), "{evidence}");
                assert_eq!(ids(&pages, &text("results")).await, named, "{evidence}");
                looked_at += 1;
                of_many += u32::from(count > 1);
            }
        }
    }
    assert!(looked_at > 12 && of_many > 8, "{looked_at}, {of_many}: {explained}");
    // What is no state is refused with those that there are.
    let refused = pages.bench.get("/api/v1/results?check=shop-vitals&state=bad").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("up, degraded, down, unknown, missed, dropped"), "{}", refused.text);
    // The page links to the same.
    let page = pages.bench.get("/checks/shop-vitals/explain?span=24h").await.text;
    assert!(page.contains("href=\"/api/v1/results?check=shop-vitals&#38;agent=w&#38;state=down&#38;from="), "{page}");
}

#[tokio::test]
async fn what_is_gone_by_its_age_is_told() {
    let pages = Pages::new().await;
    let west = pages.enrol("eu-west", "w").await;
    for days in [8, 7, 1] {
        pages.ran(west, days * 24 * 60, &Found::default()).await;
        on_the_writer(&pages, |engine| engine.seal_now().unwrap()).await;
    }
    let now = pages.now;
    let raw_us = Some(3 * 86_400 * 1_000_000);
    on_the_writer(&pages, move |engine| {
        engine.expire_now(Retention { raw_us, ..Retention::default() }, now).unwrap();
    })
    .await;
    let told = pages.bench.get("/api/v1/results?check=shop-vitals&from=-9d").await.json();
    assert_eq!(told["records"].as_array().unwrap().len(), 1);
    assert_eq!((&told["gone"][0]["agent"], &told["gone"][0]["records"]), (&"w".into(), &2.into()));
    assert_eq!(told["gone"][0]["kept_from"], told["records"][0]["scheduled"]);
    // Of a period that is kept there is nothing to tell.
    let told = pages.bench.get("/api/v1/results?check=shop-vitals&from=-2h").await.json();
    assert!(told["gone"].as_array().unwrap().is_empty(), "{told}");
    // The figures still stand on all three.
    let agents = pages.bench.get("/api/v1/agents").await.json();
    assert_eq!(agents[0]["conservation"]["stored"], 3);
}

#[tokio::test]
async fn bad_questions_are_told() {
    let pages = Pages::new().await;
    for (query, says) in [
        ("", "name the check"),
        ("?check=shop-vitals&limit=0", "1 to 1000"),
        ("?check=shop-vitals&limit=1001", "1 to 1000"),
        ("?check=shop-vitals&after=x", "`next`"),
        ("?check=shop-vitals&from=now&to=-1d", "empty"),
    ] {
        let answer = pages.bench.get(&format!("/api/v1/results{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(says), "{query}: {}", answer.json());
    }
    for query in ["?check=none", "?check=shop-vitals&agent=none"] {
        assert_eq!(pages.bench.get(&format!("/api/v1/results{query}")).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn what_cannot_be_read_before_it_is_sealed_is_told_with_where_it_lies() {
    let pages = Pages::new().await;
    let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
    for minutes in [60, 40, 20] {
        pages.ran(west, minutes, &Found::default()).await;
        pages.ran(east, minutes, &Found::default()).await;
    }
    on_the_writer(&pages, |engine| {
        garble(engine, 3);
        garble(engine, 4);
        // Nobody knows any more who sent that one.
        engine.store().connection().execute("UPDATE result SET body = x'ff' WHERE arrival = 6", []).unwrap();
    })
    .await;
    let told = |query: &str| {
        let path = format!("/api/v1/results?check=shop-vitals{query}");
        let pages = &pages;
        async move {
            let told = pages.bench.get(&path).await.json();
            (told["records"].as_array().unwrap().len(), told["unreadable"].clone())
        }
    };
    let one = |agent: Option<&str>, table: &str| serde_json::json!({"agent": agent, "records": 1, "table": table});
    let all = |table: &str| serde_json::json!([one(None, table), one(Some("w"), table), one(Some("e"), table)]);
    assert_eq!(told("").await, (3, all("result")));
    // It may have been this agent's.
    assert_eq!(told("&agent=w").await, (2, serde_json::json!([one(None, "result"), one(Some("w"), "result")])));
    on_the_writer(&pages, |engine| engine.seal_now().unwrap()).await;
    assert_eq!(told("").await, (3, all("quarantine")));
    assert_eq!(
        told("&agent=e&limit=1").await,
        (1, serde_json::json!([one(None, "quarantine"), one(Some("e"), "quarantine")]))
    );
}

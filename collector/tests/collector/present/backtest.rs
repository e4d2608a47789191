//! A check's evidence under another policy, as the API and the program tell it.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::pages::{Found, Pages};

/// Runs of the last day, every 15 minutes.
const RUNS: i64 = 96;

/// Three agents over a day. `w` and `e` see the page down for five runs; `w` alone sees it down once more.
async fn a_day() -> Pages {
    let pages = Pages::new().await;
    for (region, name) in [("eu-west", "w"), ("us-east", "e"), ("ap-south", "s")] {
        let agent = pages.enrol(region, name).await;
        let runs = (0..RUNS).rev().map(|run| {
            let down = match name {
                "w" => (40..45).contains(&run) || run == 20,
                "e" => (40..45).contains(&run),
                _ => false,
            };
            pages.entry(pages.result(agent, run * 15, &Found { down, lcp: Some(1_000_000), ..Found::default() }))
        });
        let runs = runs.collect();
        pages.ingest(agent, runs).await;
    }
    pages
}

fn kinds<'a>(view: &'a Value, outcome: &str) -> Vec<&'a str> {
    let changes = view["changes"].as_array().unwrap().iter();
    changes.filter(|change| change["outcome"] == outcome).map(|change| change["kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn another_policy_keeps_spares_and_adds_incidents() {
    let pages = a_day().await;
    let ask =
        async |query: &str| pages.bench.get(&format!("/api/v1/backtest?check=shop-vitals&from=-23h{query}")).await;

    // The same policy changes nothing: one outage, with one region ahead and behind, and a blip of one region.
    let same = ask("").await.json();
    assert_eq!(same["before"], same["after"]);
    assert_eq!((kinds(&same, "gone").len(), kinds(&same, "new").len()), (0, 0));
    assert_eq!(kinds(&same, "kept"), ["regional", "down", "regional", "regional"], "{same}");
    assert_eq!((&same["totals"]["pages_before"], &same["totals"]["pages_after"]), (&json!(4), &json!(4)));
    let sla = pages
        .bench
        .get(&format!(
            "/api/v1/sla?check=shop-vitals&from={}&to={}",
            same["before"]["from"].as_str().unwrap(),
            same["before"]["to"].as_str().unwrap()
        ))
        .await
        .json();
    assert_eq!(sla[0], same["before"]);

    // Two confirmations: the blip is spared, the outage is known a run later. Verdicts are dated back, so the figures differ by the blip alone.
    let two = ask("&confirmations=2").await.json();
    assert_eq!((kinds(&two, "gone"), kinds(&two, "kept").len()), (vec!["regional"], 3), "{two}");
    let outage = two["changes"].as_array().unwrap().iter().find(|change| change["kind"] == "down").unwrap();
    assert_eq!((&outage["page_later_seconds"], &outage["page"]), (&json!(900.0), &json!("kept")));
    assert_eq!(outage["before"]["from"], outage["after"]["from"]);
    assert_eq!(outage["before"]["paged_at"], outage["before"]["from"]);
    assert_eq!(two["before"]["availability"], two["after"]["availability"]);
    assert!(two["after"]["weighted_availability"].as_f64() > two["before"]["weighted_availability"].as_f64());
    assert_eq!(two["policy"]["confirmations"], 2);

    // One bad agent is enough: what was regional is down.
    let any = ask("&quorum=any&reopen=0s").await.json();
    assert_eq!((kinds(&any, "gone"), kinds(&any, "new")), (vec!["regional"; 3], vec!["down"]), "{any}");
    assert!(any["after"]["seconds"]["down"].as_f64() > any["before"]["seconds"]["down"].as_f64());

    // Without those who saw it, or with their votes at 0, nothing happened.
    for query in ["&without=w,e", "&weight=w=0,e=0"] {
        let nothing = ask(query).await.json();
        assert_eq!((nothing["totals"]["gone"].as_u64(), nothing["totals"]["pages_after"].as_u64()), (Some(4), Some(0)));
        assert_eq!(nothing["after"]["availability"], 1.0);
    }
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused() {
    let pages = a_day().await;
    for (query, status, told) in [
        ("check=none", StatusCode::NOT_FOUND, "none"),
        ("", StatusCode::BAD_REQUEST, "check"),
        ("check=shop-vitals&quorum=most", StatusCode::BAD_REQUEST, "use \\\"any\\\""),
        ("check=shop-vitals&confirmations=0", StatusCode::BAD_REQUEST, "from 1 to 100"),
        ("check=shop-vitals&recoveries=101", StatusCode::BAD_REQUEST, "from 1 to 100"),
        ("check=shop-vitals&weight=w", StatusCode::BAD_REQUEST, "AGENT=WEIGHT"),
        ("check=shop-vitals&weight=w=-1", StatusCode::BAD_REQUEST, "no weight"),
        ("check=shop-vitals&weight=w=1,w=2", StatusCode::BAD_REQUEST, "twice"),
        ("check=shop-vitals&weight=nobody=1", StatusCode::NOT_FOUND, "nobody"),
        ("check=shop-vitals&without=nobody", StatusCode::NOT_FOUND, "nobody"),
        ("check=shop-vitals&reopen=2d", StatusCode::BAD_REQUEST, "1d at most"),
        ("check=shop-vitals&from=now&to=-1h", StatusCode::BAD_REQUEST, "empty"),
        ("check=shop-vitals&what=1", StatusCode::BAD_REQUEST, "what"),
    ] {
        let answer = pages.bench.get(&format!("/api/v1/backtest?{query}")).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text);
        assert!(answer.text.contains(told), "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn the_console_asks_and_tells_in_both_languages() {
    let pages = a_day().await;
    let ask = async |query: &str| pages.bench.get(&format!("/checks/shop-vitals/backtest?{query}")).await;
    let link = "href=\"/checks/shop-vitals/backtest\"";
    assert!(pages.bench.get("/checks/shop-vitals?lang=fr").await.text.contains(link));
    let page = ask("lang=en&span=24h&quorum=&confirmations=2&recoveries=&weight=&without=").await;
    assert_eq!(page.status, StatusCode::OK);
    // Which region is ahead, and so how many pages there are, depends on where now lies between their slots.
    let told = pages.bench.get("/api/v1/backtest?check=shop-vitals&from=-24h&confirmations=2").await.json();
    let of = |key: &str| told["totals"][key].as_u64().unwrap();
    let (gone, new) = (of("pages_gone"), of("pages_new"));
    let totals = format!("{} → {} · {gone} spared or missed, {new} new", of("pages_before"), of("pages_after"));
    for words in [&*totals, "page 15 min later", "<strong>gone</strong>", "value=\"2\""] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    let page = ask("lang=fr&quorum=any").await.text;
    for words in ["Simulation", "évitées ou manquées", "<strong>nouveau</strong>", "plus tard"] {
        assert!(page.contains(words) == (words != "plus tard"), "{words}: {page}");
    }
    // What makes no sense is said, with the form still there; nothing typed comes back as markup.
    let page = ask("quorum=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&confirmations=two").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("confirmations: use a whole number from 1 to 100"), "{}", page.text);
    assert!(!page.text.contains("<script>alert"), "{}", page.text);
    assert_eq!(pages.bench.get("/checks/none/backtest").await.status, StatusCode::NOT_FOUND);
}

//! The indicators: each figure is as long as the list it counts, on every surface.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::app::{Access, CredentialKind};

use super::bench::{Bench, NETWORK};
use super::incidents::{down, list, recover};

async fn get(bench: &Bench, path: &str) -> Value {
    let answer = bench.get(&format!("/api/v1/indicators{path}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

/// How long the list of a figure is.
async fn count(bench: &Bench, figure: &str) -> u64 {
    get(bench, figure).await.as_array().unwrap().len() as u64
}

/// Every figure is the length of its list.
async fn agrees(bench: &Bench) -> Value {
    let view = get(bench, "").await;
    for row in view["times"].as_array().unwrap() {
        let of = row["severity"].as_str().map(|severity| format!("?severity={severity}")).unwrap_or_default();
        for figure in ["opened", "acknowledged", "resolved", "open"] {
            assert_eq!(row["now"][figure], count(bench, &format!("/{figure}{of}")).await, "{figure}{of}");
        }
        for (figure, mean) in [("acknowledged", "mtta_seconds"), ("resolved", "mttr_seconds")] {
            let found = get(bench, &format!("/{figure}{of}")).await;
            let took: Vec<f64> = found.as_array().unwrap().iter().map(|one| one["seconds"].as_f64().unwrap()).collect();
            match row["now"][mean].as_f64() {
                None => assert!(took.is_empty()),
                Some(told) => assert!((told - took.iter().sum::<f64>() / took.len() as f64).abs() < 1e-6, "{row}"),
            }
        }
    }
    let noise = &view["noise"];
    assert_eq!(noise["pages"], count(bench, "/pages").await);
    assert_eq!(noise["in_time"], count(bench, "/in-time").await);
    assert_eq!(noise["judged"].as_u64().unwrap() - noise["in_time"].as_u64().unwrap(), count(bench, "/late").await);
    for by in ["quorum", "parent", "flapping"] {
        assert_eq!(noise["spared"][by], count(bench, &format!("/{by}")).await);
    }
    view
}

#[tokio::test]
async fn an_outage_that_is_taken_in_time_and_ends() {
    let (bench, agent) = down().await;
    let view = agrees(&bench).await;
    assert_eq!((&view["period"], &view["zone"], &view["playbooks"]), (&json!("30d"), &json!(null), &json!(null)));
    assert_eq!(view["reports"], json!({"users": 0, "automated": 0, "available": false}));
    assert_eq!((&view["noise"]["pages"], &view["noise"]["pages_per_incident"]), (&json!(1), &json!(1.0)));
    assert_eq!((&view["noise"]["judged"], &view["noise"]["in_time_share"]), (&json!(0), &json!(null)), "too young");
    assert_eq!(view["mttr_met"], json!(null));
    let id = list(&bench, "").await[0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/incidents/{id}/acts");
    assert_eq!(bench.post(&path, &json!({"act": "acknowledge"})).await.status, StatusCode::OK);
    let view = agrees(&bench).await;
    assert_eq!((&view["noise"]["judged"], &view["noise"]["in_time_share"]), (&json!(1), &json!(1.0)));
    assert_eq!(get(&bench, "/in-time").await[0]["incident"], id.as_str());
    // A person's own is critical, and ends at once.
    let opened = bench.post("/api/v1/incidents", &json!({"title": "the lift", "severity": "critical"})).await.json();
    let path = format!("/api/v1/incidents/{}/acts", opened["id"].as_str().unwrap());
    assert_eq!(bench.post(&path, &json!({"act": "resolve"})).await.status, StatusCode::OK);
    recover(&bench, agent).await;
    let view = agrees(&bench).await;
    assert_eq!((&view["mttr_met"], &view["mttr_target_seconds"]), (&json!(true), &json!(14_400.0)));
    assert_eq!(view["times"][1]["severity"], "critical");
    assert_eq!(
        (&view["times"][1]["now"]["resolved"], &view["times"][1]["now"]["resolved_untaken"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(view["times"][0]["now"]["resolved"], 2);
    // What was before the period is in the one before.
    assert_eq!(view["times"][0]["before"]["opened"], 0);
    assert_eq!(count(&bench, "/opened?before=true").await, 0);
    assert_eq!(count(&bench, "/opened?period=24h&zone=Europe/Paris").await, 2);
}

#[tokio::test]
async fn lists_come_in_pages_and_nonsense_is_refused() {
    let bench = Bench::new();
    for title in ["a", "b", "c"] {
        let opened = bench.post("/api/v1/incidents", &json!({"title": title})).await;
        assert_eq!(opened.status, StatusCode::OK, "{}", opened.text);
    }
    let (mut told, mut at) = (Vec::new(), Some("/api/v1/indicators/opened?limit=1".to_owned()));
    while let Some(path) = at {
        let page = bench.get(&path).await;
        told.extend(page.json().as_array().unwrap().iter().map(|one| one["incident"].as_str().unwrap().to_owned()));
        let link = page.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
        at = link.map(|link| link.split_once('>').unwrap().0.trim_start_matches('<').to_owned());
    }
    assert_eq!(told.len(), 3);
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 3, "each once");
    for (path, status) in [
        ("/none", 404),
        ("?period=1h", 400),
        ("?zone=Europe/Nowhere", 400),
        ("?colour=red", 400),
        ("/open?severity=bad", 400),
    ] {
        assert_eq!(bench.get(&format!("/api/v1/indicators{path}")).await.status.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn the_page_tells_each_figure_with_its_definition_and_its_list_in_both_languages() {
    let (bench, _) = down().await;
    let page = bench.get("/indicators?lang=en").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for word in ["Mean time to acknowledge", "Pages per incident", "spared", "no runs", "0 of 0", "show=pages#counted"]
    {
        assert!(page.text.contains(word), "{word}: {}", page.text);
    }
    let list = bench.get("/indicators?lang=fr&period=7d&show=pages").await.text;
    for word in
        ["Délai moyen de prise en charge", "Compté", "shop", "aucune exécution", "/api/v1/indicators/pages?period=7d"]
    {
        assert!(list.contains(word), "{word}: {list}");
    }
    let bearer = format!("Bearer {}", bench.token(CredentialKind::ApiToken, Access::Read).await);
    let read = bench.send(NETWORK, "GET", "/indicators", &[("authorization", &bearer)], "").await;
    assert_eq!(read.status, StatusCode::OK);
    assert_eq!(bench.send(NETWORK, "GET", "/api/v1/indicators", &[], "").await.status, StatusCode::UNAUTHORIZED);
}

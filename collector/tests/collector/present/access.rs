//! Who may pass: links, sessions, tokens; and secrets.

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::present::door::Door;
use sitepulse_daemon::clock;
use sitepulse_model::check::{Auth, CheckKind, HttpTarget, SecretText};

use super::bench::{Bench, NETWORK, backup, options};

#[tokio::test]
async fn a_sign_in_link_works_once_and_its_session_only_looks() {
    let bench = Bench::new();
    let link = bench.post("/api/v1/sign-in-links", &Value::Null).await.json();
    let url = link["url"].as_str().unwrap();
    let path = url.strip_prefix("https://console.example").unwrap();
    let first = bench.send(NETWORK, "GET", path, &[], "").await;
    assert_eq!((first.status, first.headers[header::LOCATION].to_str().unwrap()), (StatusCode::SEE_OTHER, "/"));
    let set = first.headers[header::SET_COOKIE].to_str().unwrap();
    for part in ["__Host-sitepulse_session=", "; HttpOnly", "; SameSite=Strict", "; Secure", "; Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    assert_eq!(bench.send(NETWORK, "GET", path, &[], "").await.status, StatusCode::FORBIDDEN);
    let cookie = ("cookie", set.split(';').next().unwrap());
    let page = bench.send(NETWORK, "GET", "/", &[cookie], "").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("Welcome to SitePulse"));
    let french = bench.send(NETWORK, "GET", "/", &[cookie, ("accept-language", "fr-FR,en;q=0.5")], "").await;
    assert!(french.text.contains("lang=\"fr\"") && french.text.contains("Bienvenue dans SitePulse"));
    assert_eq!(bench.send(NETWORK, "POST", "/api/v1/join-tokens", &[cookie], "{}").await.status, StatusCode::FORBIDDEN);
    let elsewhere = [cookie, ("origin", "https://evil.example"), ("host", "console.example")];
    assert_eq!(bench.send(NETWORK, "POST", "/sign-out", &elsewhere, "").await.status, StatusCode::FORBIDDEN);
    let here = [cookie, ("origin", "https://console.example"), ("host", "console.example")];
    assert_eq!(bench.send(NETWORK, "POST", "/sign-out", &here, "").await.status, StatusCode::SEE_OTHER);
    assert_eq!(bench.send(NETWORK, "GET", "/", &[cookie], "").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn tokens_open_the_api_and_bodies_are_bounded() {
    let bench = Bench::new();
    bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
    let made = bench.post("/api/v1/api-tokens", &json!({"ttl_seconds": 60})).await.json();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let auth = ("authorization", bearer.as_str());
    assert_eq!(bench.send(NETWORK, "GET", "/api/v1/agents", &[auth], "").await.json(), json!([]));
    let join = bench
        .send(NETWORK, "POST", "/api/v1/join-tokens", &[auth], "{\"region\": \"eu-west\", \"ttl_seconds\": 60}")
        .await;
    assert!(join.json()["token"].as_str().unwrap().starts_with("sp1_"), "{}", join.text);
    let long = bench
        .send(NETWORK, "POST", "/api/v1/join-tokens", &[auth], "{\"region\": \"eu-west\", \"ttl_seconds\": 3601}")
        .await;
    assert_eq!(long.status, StatusCode::BAD_REQUEST, "{}", long.text);
    let big = format!("\"{}\"", "x".repeat(2 << 20));
    assert_eq!(
        bench.send(NETWORK, "POST", "/api/v1/join-tokens", &[auth], &big).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let metrics = bench.send(NETWORK, "GET", "/metrics", &[auth], "").await;
    assert!(metrics.text.contains("sitepulse_ready 1"), "{}", metrics.text);
}

#[tokio::test]
async fn a_secret_is_set_listed_and_removed_and_never_given_back() {
    let bench = Bench::new();
    let read = bench.token(CredentialKind::ApiToken, Access::Read).await;
    let put = async |name: &str, value: &str| {
        bench.send(Door::Local, "PUT", &format!("/api/v1/secrets/{name}"), &[], value).await
    };
    let mut with_secret = backup();
    let mut target = HttpTarget::get("http://127.0.0.1:9/");
    target.auth = Some(Auth::Bearer(SecretText("secret:ops.token".into())));
    with_secret.kind = CheckKind::Http(Box::new(target));
    let plan = bench.app.apply(vec![with_secret], options(), clock::now()).await.unwrap();
    assert!(plan.warnings[0].contains("secret set ops.token"), "{:?}", plan.warnings);

    let set = put("ops.token", "hunter2-correct\n").await;
    assert_eq!((set.status, set.text.as_str()), (StatusCode::NO_CONTENT, ""));
    let list = bench.get("/api/v1/secrets").await;
    assert_eq!((&list.json()[0]["name"], &list.json()[0]["checks"]), (&json!("ops.token"), &json!(["backup"])));
    assert_eq!(list.json()[0]["opens"], true);
    let looks = format!("Bearer {read}");
    for path in [
        "/api/v1/secrets",
        "/api/v1/secrets/ops.token",
        "/api/v1/checks",
        "/api/v1/checks/backup",
        "/",
        "/checks",
        "/checks/backup/edit",
        "/checks/backup",
        "/metrics",
    ] {
        let answer = bench.get(path).await;
        assert!(answer.status.is_success() && !answer.text.contains("hunter2"), "{path}");
        assert!(!bench.send(NETWORK, "GET", path, &[("authorization", &looks)], "").await.text.contains("hunter2"));
    }
    // What is refused is not quoted either.
    for (name, value) in
        [("a%20b", "hunter2".to_owned()), ("ops", "hunter2".repeat(2000)), ("ops", "hunter2".repeat(200_000))]
    {
        let refused = put(name, &value).await;
        assert!(refused.status.is_client_error() && !refused.text.contains("hunter2"), "{}", refused.text);
        assert_eq!(refused.headers[header::CONTENT_TYPE], "application/problem+json");
    }
    let remove = async |path: &str| bench.send(Door::Local, "DELETE", path, &[], "").await;
    let used = remove("/api/v1/secrets/ops.token").await;
    assert_eq!((used.status, used.json()["code"].clone()), (StatusCode::CONFLICT, json!("conflict")));
    assert_eq!(remove("/api/v1/secrets/ops.token?force=true").await.status, StatusCode::NO_CONTENT);
    assert_eq!(remove("/api/v1/secrets/ops.token").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/api/v1/secrets/ops.token").await.status, StatusCode::NOT_FOUND);
}

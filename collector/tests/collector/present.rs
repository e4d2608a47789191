//! What people and scripts see: the router behind each door, and the real program.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sitepulse_collector::app::{Access, App, ApplyOptions, CredentialKind, PlanStep};
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::heartbeat::PingKind;
use sitepulse_collector::present::Present;
use sitepulse_collector::present::door::{Door, Scope};
use sitepulse_collector::present::route::{router, routes};
use sitepulse_daemon::clock;
use sitepulse_model::check::{Auth, CheckDefinition, CheckKind, DurationUs, HeartbeatTarget, HttpTarget, SecretText};
use sitepulse_model::control::Weight;
use sitepulse_model::expect::Operand;
use sitepulse_model::id::{CheckId, CheckNo};
use sitepulse_model::quorum::Quorum;
use tokio::sync::watch;
use tower::ServiceExt;

const NETWORK: Door = Door::Network {
    peer: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7)), 40000),
    loopback: false,
    secure: true,
};

const CHECK: &str = "[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\ninterval = \"1s\"\n";

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];

/// A collector without listeners, and its router.
struct Bench {
    app: App,
    router: Router,
    _stop: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let app = App::open(dir.path(), clock::now()).unwrap();
        let (stop, stopping) = watch::channel(false);
        let router = router(Present::new(app.clone(), "https://console.example".into(), stopping));
        Self { app, router, _stop: stop, _dir: dir }
    }

    async fn send(&self, door: Door, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let mut request = request.body(Body::from(body.to_string())).unwrap();
        request.extensions_mut().insert(door);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Door::Local, "GET", path, &[], "").await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Door::Local, "POST", path, &[], &body.to_string()).await
    }

    async fn apply(&self, text: &str, more: Value) -> Answer {
        let mut body = json!({"files": [{"name": "checks.toml", "text": text}]});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        self.post("/api/v1/apply", &body).await
    }

    async fn token(&self, kind: CredentialKind, access: Access) -> String {
        self.app.create_credential(kind, access, "test", 60_000_000, clock::now()).await.unwrap().secret
    }
}

/// A path that the route takes.
fn concrete(path: &str) -> String {
    path.replace("{id}", "shop").replace("{name}", "agent-1").replace("{token}", "forged").replace("{action}", "start")
}

#[tokio::test]
async fn every_route_that_is_not_public_refuses_strangers() {
    let bench = Bench::new();
    let read = bench.token(CredentialKind::ApiToken, Access::Read).await;
    let mut seen = BTreeSet::new();
    for route in routes() {
        assert!(seen.insert((route.method, route.path)), "{} {} stands twice", route.method, route.path);
        let path = concrete(route.path);
        let bare = bench.send(NETWORK, route.method, &path, &[], "").await;
        let forged = bench.send(NETWORK, route.method, &path, &[("authorization", "Bearer spa_forged")], "").await;
        let cookie =
            bench.send(NETWORK, route.method, &path, &[("cookie", "__Host-sitepulse_session=forged")], "").await;
        // A token that only looks; `/events` never ends its body, so it is not asked with good credentials here.
        let looks = format!("Bearer {read}");
        match route.scope {
            Scope::Public => assert!(!matches!(bare.status.as_u16(), 401 | 403), "{path}: {}", bare.status),
            Scope::Machine | Scope::Read => {
                for answer in [&bare, &forged, &cookie] {
                    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{} {path}", route.method);
                }
            }
            Scope::Admin => {
                for answer in [&bare, &forged, &cookie] {
                    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{} {path}", route.method);
                }
                let answer = bench.send(NETWORK, route.method, &path, &[("authorization", &looks)], "").await;
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{} {path} with a read-only token", route.method);
            }
        }
        assert!(bare.headers.contains_key(header::CONTENT_SECURITY_POLICY), "{path} has no policy");
    }
    assert_eq!(bench.send(NETWORK, "GET", "/nowhere", &[], "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.send(NETWORK, "PUT", "/healthz", &[], "").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_request_by_no_door_is_refused() {
    let bench = Bench::new();
    let request = Request::builder().uri("/api/v1/checks").body(Body::empty()).unwrap();
    let response = bench.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn the_api_page_lists_every_route() {
    let page = include_str!("../../../docs/api.md");
    for route in routes() {
        let scope = match route.scope {
            Scope::Public => "public",
            Scope::Machine => "machine",
            Scope::Read => "read",
            Scope::Admin => "admin",
        };
        let row = format!("| {} | `{}` | {scope} |", route.method, route.path);
        assert!(page.contains(&row), "docs/api.md has no row {row}");
    }
    assert_eq!(
        page.lines().filter(|line| METHODS.iter().any(|method| line.starts_with(&format!("| {method} |")))).count(),
        routes().len()
    );
}

#[test]
fn the_samples_of_the_checks_page_parse() {
    let page = include_str!("../../../docs/checks.md");
    let samples: Vec<Source> = page
        .split("```toml\n")
        .skip(1)
        .enumerate()
        .map(|(index, rest)| Source { name: format!("sample {index}"), text: rest.split("```").next().unwrap().into() })
        .collect();
    assert!(samples.len() >= 4);
    checkfile::parse(&samples).unwrap();
    for key in checkfile::KEYS {
        assert!(page.contains(&format!("| `{key}` |")), "docs/checks.md does not describe {key}");
    }
    for kind in CheckKind::NAMES {
        let (_, section) = page
            .split_once(&format!("\n### `{kind}`\n"))
            .unwrap_or_else(|| panic!("docs/checks.md has no section for kind {kind}"));
        let section = section.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
        assert!(section.contains(&format!("kind = \"{kind}\"")), "docs/checks.md has no example of kind {kind}");
        for key in CheckKind::keys(kind).unwrap() {
            assert!(section.contains(&format!("| `{key}` |")), "docs/checks.md does not describe {key} of kind {kind}");
        }
        for operand in Operand::names_for(kind) {
            let told = [format!("`{operand}`"), format!("`{operand} '")];
            assert!(told.iter().any(|told| page.contains(told)), "docs/checks.md does not describe {operand}");
        }
    }
}

#[tokio::test]
async fn apply_is_idempotent_and_tells_its_plan() {
    let bench = Bench::new();
    let actions = |answer: &Answer| -> Vec<(String, String)> {
        let plan = answer.json();
        let items = plan["items"].as_array().unwrap().iter();
        items.map(|item| (item["check"].as_str().unwrap().into(), item["action"].as_str().unwrap().into())).collect()
    };
    let pair = |check: &str, action: &str| (check.to_string(), action.to_string());
    let dry = bench.apply(CHECK, json!({"dry_run": true})).await;
    assert_eq!((actions(&dry), dry.json()["dry_run"].clone()), (vec![pair("shop", "create")], json!(true)));
    assert_eq!(bench.get("/api/v1/checks").await.json(), json!([]));
    assert_eq!(actions(&bench.apply(CHECK, json!({})).await), [pair("shop", "create")]);
    assert_eq!(actions(&bench.apply(CHECK, json!({})).await), [pair("shop", "unchanged")]);
    let changed = bench.apply(&CHECK.replace("1s", "2s"), json!({})).await;
    assert_eq!(actions(&changed), [pair("shop", "change")]);
    assert_eq!(changed.json()["items"][0]["fields"][0]["field"], "interval");
    let other = CHECK.replace("shop", "blog");
    assert_eq!(
        actions(&bench.apply(&other, json!({"prune": true})).await),
        [pair("blog", "create"), pair("shop", "retire")]
    );
    let left = bench.get("/api/v1/checks").await.json();
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(left[0]["id"], "blog");
}

#[tokio::test]
async fn a_bad_check_file_applies_nothing_and_lists_all_faults() {
    let bench = Bench::new();
    let answer = bench.apply(&format!("{CHECK}\n[[check]]\nid = \"B\"\nkind = \"tcp\"\ncolour = 1\n"), json!({})).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["code"], "bad_checks");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 3, "{problem}");
    assert_eq!(bench.get("/api/v1/checks").await.json(), json!([]));
}

#[tokio::test]
async fn suspensions_end_by_themselves() {
    let bench = Bench::new();
    bench.apply(CHECK, json!({})).await;
    let suspend = async |until: Option<&str>| {
        let body = json!({"check": "shop", "action": "suspend", "reason": "work", "until": until});
        bench.post("/api/v1/control", &body).await
    };
    let event = suspend(None).await.json();
    let instant = |key: &str| {
        let text = event[key].as_str().unwrap_or_else(|| panic!("no {key}: {event}"));
        sitepulse_daemon::instant::parse(text, clock::now()).unwrap()
    };
    assert_eq!(instant("until").us_since(instant("at")), 3600 * 1_000_000);
    let far = sitepulse_daemon::instant::format(clock::now().plus_us(367 * 86_400 * 1_000_000));
    let refused = suspend(Some(&far)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("366 days"), "{}", refused.text);
    // Who changed something sees it in the shared snapshot at once.
    assert!(bench.get("/api/v1/checks/shop").await.json()["suspended"].is_object());
    assert_eq!(bench.get("/api/v1/checks/none").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn sla_json_has_exactly_the_promised_shape() {
    let bench = Bench::new();
    assert_eq!(bench.get("/api/v1/sla").await.json(), json!([]));
    bench.apply(CHECK, json!({})).await;
    let answer = bench.get("/api/v1/sla?check=shop").await.json();
    let one = answer[0].as_object().unwrap();
    let keys = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(ToString::to_string).collect() };
    assert_eq!(
        keys(&answer[0]),
        set(&[
            "check",
            "from",
            "to",
            "availability",
            "weighted_availability",
            "completeness",
            "lower",
            "upper",
            "seconds"
        ])
    );
    assert_eq!(keys(&one["seconds"]), set(&["up", "degraded", "regional", "down", "maintenance", "unknown"]));
    assert_eq!(
        keys(&one["seconds"]["unknown"]),
        set(&["agent_stopped", "agent_offline", "suspended", "shed", "unassigned"])
    );
    // Nothing was measured: null, never 100 %.
    assert_eq!((&one["availability"], &one["weighted_availability"]), (&Value::Null, &Value::Null));
    assert!(one["seconds"]["unknown"]["unassigned"].as_f64().unwrap() > 0.0);
    assert!(one["from"].as_str().unwrap().ends_with('Z'));
    let before = bench.get("/api/v1/sla?check=shop&from=-2h&to=-1h").await.json();
    assert_eq!((&before[0]["from"], &before[0]["completeness"]), (&before[0]["to"], &Value::Null));
    assert_eq!(before[0]["seconds"]["up"], 0.0);
    assert_eq!(bench.get("/api/v1/sla?check=none").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/api/v1/sla?agent=none").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/api/v1/sla?from=tomorrow").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(bench.get("/api/v1/sla?from=now&to=-1h").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(bench.get("/api/v1/sla?when=now").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn suspensions_are_kept_with_author_and_reason_and_shown_escaped() {
    let bench = Bench::new();
    let refused = bench.apply(&CHECK.replace("9/", "9/?q=<script>alert(1)</script>"), json!({})).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
    assert_eq!(bench.apply(&CHECK.replace("9/", "9/?a='&b=1"), json!({})).await.status, StatusCode::OK);
    let hostile = "</span><script>alert(\"x\")</script>";
    let answer = bench
        .post("/api/v1/control", &json!({"check": "shop", "action": "suspend", "until": "+1h", "reason": hostile}))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let history = bench.get("/api/v1/history?check=shop").await.json();
    assert_eq!(history[0]["author"], "collector:cli");
    assert_eq!(history[0]["side"], "collector");
    assert_eq!(history[0]["reason"], hostile);
    let page = bench.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(!page.text.contains("<script>alert"), "{}", page.text);
    assert!(page.text.contains("&#60;script&#62;alert"), "{}", page.text);
    for bad in [
        json!({"check": "shop", "action": "suspend", "reason": ""}),
        json!({"check": "shop", "action": "suspend", "until": "-1h", "reason": "x"}),
        json!({"check": "shop", "action": "weight", "weight": 2}),
        json!({"check": "shop", "action": "dance"}),
        json!({"action": "resume"}),
        json!({"check": "shop", "action": "resume", "unknown": 1}),
    ] {
        assert!(bench.post("/api/v1/control", &bad).await.status.is_client_error(), "{bad}");
    }
    assert_eq!(
        bench.post("/api/v1/control", &json!({"agent": "none", "action": "resume"})).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        bench.post("/api/v1/control", &json!({"check": "shop", "action": "resume"})).await.status,
        StatusCode::OK
    );
    assert_eq!(bench.get("/api/v1/history").await.json().as_array().unwrap().len(), 2);
}

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
    assert!(page.text.contains("No checks yet"));
    let french = bench.send(NETWORK, "GET", "/", &[cookie, ("accept-language", "fr-FR,en;q=0.5")], "").await;
    assert!(french.text.contains("lang=\"fr\"") && french.text.contains("Aucun contrôle"));
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

/// A heartbeat that must call every minute.
fn backup() -> CheckDefinition {
    let minute = DurationUs(60_000_000);
    let target = HeartbeatTarget { period: Some(minute), cron: None, zone: None, grace: minute };
    CheckDefinition {
        id: CheckId::parse("backup").unwrap(),
        kind: CheckKind::Heartbeat(target),
        interval_us: 1_000_000,
        timeout_us: 1_000_000,
        retries: 0,
        weight: Weight::ONE,
        regions: None,
        quorum: Quorum::Majority,
        confirmations: 1,
        recoveries: 1,
        expect: Vec::new(),
    }
}

fn options() -> ApplyOptions {
    ApplyOptions { prune: false, dry_run: false, author: "collector:cli".into() }
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

#[tokio::test]
async fn jobs_call_and_what_they_told_is_shown_to_administrators() {
    let bench = Bench::new();
    bench.app.apply(vec![backup()], options(), clock::now()).await.unwrap();
    let heartbeat = bench.get("/api/v1/checks/backup/heartbeat").await.json();
    let url = heartbeat["url"].as_str().unwrap();
    let path = url.strip_prefix("https://console.example").unwrap();
    assert!(path.len() >= "/ping/".len() + 22, "{path}");
    assert_eq!(bench.get("/api/v1/checks").await.json()[0]["ping_url"], url);
    let call = async |method: &str, more: &str, body: &str| {
        bench.send(NETWORK, method, &format!("{path}{more}"), &[], body).await
    };
    for (method, more, body) in [
        ("GET", "", ""),
        ("POST", "/start", ""),
        ("HEAD", "/log", ""),
        ("POST", "", "done"),
        ("POST", "/fail", "no space left"),
        ("GET", "/0", ""),
        ("POST", "/3", &"x".repeat(20_000)),
    ] {
        let answer = call(method, more, body).await;
        let text = if method == "HEAD" { "" } else { "OK" };
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, text), "{method} {more}");
    }
    assert_eq!(call("GET", "/256", "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.send(NETWORK, "GET", "/ping/forged", &[], "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.send(NETWORK, "PUT", path, &[], "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    // However much it brings along: the call counts.
    assert_eq!(call("POST", "", &"x".repeat(2 << 20)).await.status, StatusCode::OK);
    let told = bench.get("/api/v1/checks/backup/heartbeat").await.json();
    let pings = told["pings"].as_array().unwrap();
    let kinds: Vec<&str> = pings.iter().map(|ping| ping["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["success", "fail", "success", "fail", "success", "log", "start", "success"]);
    assert_eq!(pings[0]["body"].as_str().unwrap().len(), 10 << 10);
    assert_eq!((&pings[1]["exit_status"], pings[1]["body"].as_str().unwrap().len()), (&json!(3), 10 << 10));
    assert_eq!(pings[3]["body"], "no space left");

    // Who may only look does not learn the address.
    let looks = format!("Bearer {}", bench.token(CredentialKind::ApiToken, Access::Read).await);
    let token = path.strip_prefix("/ping/").unwrap();
    for page in ["/api/v1/checks", "/api/v1/checks/backup", "/checks/backup", "/"] {
        let answer = bench.send(NETWORK, "GET", page, &[("authorization", &looks)], "").await;
        assert!(answer.status.is_success() && !answer.text.contains(token), "{page}");
    }
    // The allowance of a minute is used up before any more is stored.
    let mut refused = None;
    for _ in 0..80 {
        let answer = call("GET", "/log", "").await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
    }
    assert!(refused.unwrap().headers.contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn a_checks_page_shows_its_state_and_runs_it() {
    let bench = Bench::new();
    bench.apply(CHECK, json!({})).await;
    bench.app.apply(vec![backup()], options(), clock::now()).await.unwrap();
    let page = bench.get("/checks/shop?lang=fr").await;
    assert!(
        page.text.contains("Lancer maintenant") && page.text.contains("action=\"/checks/shop/run?lang=fr\""),
        "{}",
        page.text
    );
    assert_eq!(bench.get("/checks/none").await.status, StatusCode::NOT_FOUND);
    assert!(bench.get("/").await.text.contains("href=\"/checks/shop?lang=en\""));
    let ran = bench.send(Door::Local, "POST", "/checks/shop/run", &[], "").await;
    assert!(ran.status.is_success() && ran.text.contains("neither stored nor counted"), "{}", ran.text);
    // A session looks, so it may run too; another site may not.
    let session = bench.token(CredentialKind::Session, Access::Read).await;
    let cookie = format!("__Host-sitepulse_session={session}");
    let from = |origin| [("cookie", cookie.as_str()), ("origin", origin), ("host", "console.example")];
    let evil = bench.send(NETWORK, "POST", "/checks/shop/run", &from("https://evil.example"), "").await;
    assert_eq!(evil.status, StatusCode::FORBIDDEN);
    let own = bench.send(NETWORK, "POST", "/checks/shop/run", &from("https://console.example"), "").await;
    assert_eq!(own.status, StatusCode::OK);
    // A job is not run by agents, and its page says how it calls.
    assert!(bench.get("/checks/backup").await.text.contains("sitepulse-collector heartbeat url backup"));
    let refused = bench.send(Door::Local, "POST", "/api/v1/checks/backup/run", &[], "").await;
    assert!(refused.status == StatusCode::BAD_REQUEST && refused.text.contains("heartbeat"), "{}", refused.text);
    let asked = bench.send(Door::Local, "POST", "/api/v1/checks/shop/run", &[], "").await.json();
    assert_eq!(asked, json!({"check": "shop", "runs": []}));
    let nobody = bench.send(Door::Local, "POST", "/api/v1/checks/shop/run?agent=nobody", &[], "").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/api/v1/checks/shop").await.json()["target"], "http://127.0.0.1:9/");
}

#[tokio::test]
async fn a_plan_names_the_target_s_keys_that_change() {
    let bench = Bench::new();
    let mut check = backup();
    let mut target = HttpTarget::get("http://127.0.0.1:9/");
    check.kind = CheckKind::Http(Box::new(target.clone()));
    bench.app.apply(vec![check.clone()], options(), clock::now()).await.unwrap();
    target.redirects = 3;
    target.tls.insecure = true;
    check.kind = CheckKind::Http(Box::new(target));
    let plan = bench.app.apply(vec![check], options(), clock::now()).await.unwrap();
    let PlanStep::Change { fields, .. } = &plan.items[0].step else { panic!("{plan:?}") };
    let told: Vec<(&str, &str, &str)> = fields.iter().map(|one| (&*one.field, &*one.old, &*one.new)).collect();
    assert_eq!(told, [("redirects", "(default)", "3"), ("tls.insecure", "(default)", "true")]);
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sitepulse-collector"));
    for name in ["SITEPULSE_URL", "SITEPULSE_TOKEN", "SITEPULSE_COLLECTOR_DATA_DIR", "NOTIFY_SOCKET", "SITEPULSE_LOG"] {
        command.env_remove(name);
    }
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    program().args(args).arg("--data-dir").arg(dir).stdin(Stdio::null()).output().unwrap()
}

fn ran(dir: &Path, args: &[&str]) -> Value {
    let output = run(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A real server on ports of its own; killed when dropped.
struct Server {
    child: Child,
    http: String,
}

impl Server {
    fn start(dir: &Path) -> Self {
        let mut command = program();
        command.stderr(Stdio::inherit());
        Self::spawn(dir, command)
    }

    /// One that tells everything, to `log`.
    fn start_logging(dir: &Path, log: Stdio) -> Self {
        let mut command = program();
        command.env("SITEPULSE_LOG", "trace").stderr(log);
        Self::spawn(dir, command)
    }

    fn spawn(dir: &Path, mut command: Command) -> Self {
        let mut child = command
            .args(["serve", "--json", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The line comes when everything listens.
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { child, http: told["http"].as_str().unwrap().to_string() }
    }

    fn end(mut self) -> i32 {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_program_serves_and_its_commands_reach_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let file = dir.path().join("checks.toml");
    std::fs::write(&file, CHECK).unwrap();
    let file = file.to_str().unwrap();

    let server = Server::start(&data);
    let runtime: Value = serde_json::from_slice(&std::fs::read(data.join("runtime.json")).unwrap()).unwrap();
    assert_eq!(runtime["http"], server.http);
    assert_eq!(runtime["pid"], server.child.id());

    let token = ran(&data, &["token", "create", "--region", "eu-west", "--json"]);
    assert!(token["token"].as_str().unwrap().starts_with("sp1_"), "{token}");
    assert_eq!(ran(&data, &["apply", file, "--json"])["items"][0]["action"], "create");
    assert_eq!(ran(&data, &["apply", file, "--json"])["items"][0]["action"], "unchanged");
    assert_eq!(ran(&data, &["sla", "--json"])[0]["check"], "shop");
    assert_eq!(ran(&data, &["checks", "--json"])[0]["verdict"], "unknown");
    assert_eq!(ran(&data, &["agents", "--json"]), json!([]));
    assert!(ran(&data, &["sign-in", "--json"])["url"].as_str().unwrap().starts_with(&server.http));
    let text = run(&data, &["apply", file]);
    assert_eq!(String::from_utf8(text.stdout).unwrap(), "= shop\nCreated 0, changed 0, retired 0; 1 unchanged.\n");
    assert_eq!(run(&data, &["sla", "nothing"]).status.code(), Some(8));
    assert_eq!(run(&data, &["agents", "revoke", "nobody"]).status.code(), Some(8));
    assert_eq!(run(&data, &["suspend", "--reason", "x"]).status.code(), Some(2));

    // From afar, with a token; without one it is refused.
    let api = ran(&data, &["token", "create", "--api", "--json"]);
    let afar =
        |token: &str| program().args(["checks", "--json", "--url", &server.http, "--token", token]).output().unwrap();
    assert!(afar(api["token"].as_str().unwrap()).status.success());
    assert_eq!(afar("spa_forged").status.code(), Some(5));

    // A second server finds the data directory taken; another one the port.
    let second = run(&data, &["serve", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(4), "{}", String::from_utf8_lossy(&second.stderr));
    let taken = server.http.strip_prefix("http://").unwrap();
    let third = run(&dir.path().join("other"), &["serve", "--http", taken, "--listen", "127.0.0.1:0"]);
    assert_eq!(third.status.code(), Some(7), "{}", String::from_utf8_lossy(&third.stderr));
    assert!(String::from_utf8_lossy(&third.stderr).contains("choose another with --http"));

    // An open event stream does not keep it from stopping.
    let mut stream = UnixStream::connect(data.join("admin.sock")).unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    assert_eq!(server.end(), 0);
    assert!(!data.join("runtime.json").exists());
    assert!(!data.join("admin.sock").exists());

    // Stopped: the files themselves answer.
    assert_eq!(ran(&data, &["checks", "--json"])[0]["id"], "shop");
    assert_eq!(run(&data, &["checks", "--watch"]).status.code(), Some(6));
    assert_eq!(run(&data, &["sign-in"]).status.code(), Some(6));
    let again = Server::start(&data);
    assert_eq!(ran(&data, &["checks", "--json"])[0]["id"], "shop");
    assert_eq!(again.end(), 0);
}

#[tokio::test]
async fn the_list_of_checks_reads_no_pings() {
    let bench = Bench::new();
    bench.app.apply(vec![backup()], options(), clock::now()).await.unwrap();
    bench.app.writer().run(|engine| engine.store().read().execute_batch("DROP TABLE ping").unwrap()).await.unwrap();
    for path in ["/api/v1/checks", "/api/v1/checks/backup"] {
        let checks = bench.get(path).await.json();
        let check = if checks.is_array() { &checks[0] } else { &checks };
        assert!(check["ping_url"].as_str().unwrap().starts_with("https://console.example/ping/"), "{checks}");
    }
}

#[tokio::test]
async fn a_ping_is_dated_when_the_writer_comes_to_it() {
    let bench = Bench::new();
    bench.app.apply(vec![backup()], options(), clock::now()).await.unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let writer = bench.app.writer();
    let (_, taken, released) = tokio::join!(
        biased;
        writer.run(move |_| held.recv().unwrap()),
        bench.app.ping(CheckNo(1), PingKind::Success, None, Vec::new()),
        async {
            let until = clock::now();
            while clock::now() == until {}
            let released = clock::now();
            release.send(()).unwrap();
            released
        },
    );
    assert!(taken.unwrap());
    let told = bench.app.heartbeat(CheckNo(1)).await.unwrap().unwrap();
    assert!(told.pings[0].ping.at >= released, "dated before the looks that came first");
}

#[tokio::test]
async fn a_heartbeat_is_a_check_as_code() {
    let bench = Bench::new();
    let job = "[[check]]\nid = \"job\"\nkind = \"heartbeat\"\ncron = \"30 2 * * 1-5\"\nzone = \"Europe/Paris\"\ngrace = \"10m\"\n";
    let applied = bench.apply(job, json!({})).await;
    assert_eq!(applied.status, StatusCode::OK, "{}", applied.text);
    let checks = bench.get("/api/v1/checks").await.json();
    assert_eq!((&checks[0]["kind"], &checks[0]["target"]), (&json!("heartbeat"), &json!("30 2 * * 1-5")));
    assert_eq!(bench.get("/api/v1/agents").await.json()[0]["region"], "collector");
    for (from, to, says) in [("Europe/Paris", "Europe/Nowhere", "zone"), ("30 2 * * 1-5", "0 0 30 2 *", "cron")] {
        let refused = bench.apply(&job.replace(from, to), json!({})).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
        assert!(refused.json()["errors"][0].as_str().unwrap().contains(says), "{}", refused.text);
    }
}

/// Runs a command with something on its stdin.
fn fed(dir: &Path, args: &[&str], input: &str) -> Output {
    let mut command = program();
    command.args(args).arg("--data-dir").arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn secrets_pass_through_every_door_of_the_program_and_stay_in_none() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let value = "hunter2-correct-horse";
    let mut said = Vec::new();
    let mut set = |args: &[&str]| {
        let output = fed(&data, args, &format!("{value}\n"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        said.extend([output.stdout, output.stderr].concat());
    };
    // No server runs; then through its socket; then from afar.
    set(&["secret", "set", "stopped"]);
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let server = Server::start_logging(&data, log.into());
    set(&["secret", "set", "socket"]);
    let file = dir.path().join("value.txt");
    std::fs::write(&file, value).unwrap();
    set(&["secret", "set", "file", "--file", file.to_str().unwrap()]);
    let api = ran(&data, &["token", "create", "--api", "--json"]);
    set(&["secret", "set", "afar", "--url", &server.http, "--token", api["token"].as_str().unwrap()]);
    let names = |list: &Value| {
        list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let list = ran(&data, &["secret", "list", "--json"]);
    assert_eq!(names(&list), ["afar", "file", "socket", "stopped"]);
    assert!(list.as_array().unwrap().iter().all(|one| one["opens"] == true));
    assert!(run(&data, &["secret", "remove", "file"]).status.success());
    assert_eq!(run(&data, &["secret", "remove", "file"]).status.code(), Some(8));
    assert_eq!(run(&data, &["secret", "set", "empty"]).status.code(), Some(2));
    assert_eq!(run(&data, &["heartbeat", "url", "none"]).status.code(), Some(8));
    assert_eq!(server.end(), 0);
    let table = run(&data, &["secret", "list"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("stopped"), "{table:?}");
    said.extend([table.stdout, table.stderr].concat());
    said.extend(list.to_string().into_bytes());
    for entry in std::fs::read_dir(&data).unwrap() {
        said.extend(std::fs::read(entry.unwrap().path()).unwrap_or_default());
    }
    let log = std::fs::read(dir.path().join("log")).unwrap();
    assert!(String::from_utf8_lossy(&log).contains("secret set"), "the log is where this looks");
    said.extend(log);
    assert!(!said.windows(value.len()).any(|window| window == value.as_bytes()));
}

#[test]
fn a_job_calls_the_running_program() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let app = App::open(&data, clock::now()).unwrap();
        app.apply(vec![backup()], options(), clock::now()).await.unwrap();
        app.close().await;
    });
    let server = Server::start(&data);
    let url = ran(&data, &["heartbeat", "url", "backup", "--json"])["url"].as_str().unwrap().to_owned();
    let authority = server.http.strip_prefix("http://").unwrap();
    let path = url.strip_prefix(&server.http).unwrap();
    let call = |path: &str| {
        let mut stream = std::net::TcpStream::connect(authority).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    assert!(call(path).starts_with("HTTP/1.1 200"));
    let state = || {
        let checks = ran(&data, &["checks", "--json"]);
        checks[0]["agents"].as_array().unwrap().first().map(|one| one["state"].clone()).unwrap_or_default()
    };
    let wait = |wanted: &str| {
        let until = clock::monotonic();
        while state() != wanted {
            assert!(clock::monotonic().since(until).as_secs() < 30, "never {wanted}: {}", state());
        }
    };
    wait("up");
    assert!(call(&format!("{path}/7")).starts_with("HTTP/1.1 200"));
    wait("down");
    let one = ran(&data, &["checks", "--json"])[0]["agents"][0].clone();
    assert_eq!((&one["cause"], &one["facts"]["exit_status"]), (&json!("heartbeat_failed"), &json!(7)));
    let agents = ran(&data, &["agents", "--json"]);
    assert_eq!((&agents[0]["name"], &agents[0]["internal"]), (&json!("collector"), &json!(true)));
    let table = run(&data, &["agents"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("built in"));
    assert_eq!(run(&data, &["agents", "revoke", "collector"]).status.code(), Some(2));
    assert_eq!(run(&data, &["run-now", "backup"]).status.code(), Some(2));
    assert_eq!(server.end(), 0);
}

#[test]
fn what_cannot_work_is_told_with_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none");
    let nobody = run(&none, &["checks"]);
    assert_eq!(nobody.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("sitepulse-collector serve"));
    assert!(!none.exists(), "looking must not make a data directory");
    let outside = run(&none, &["serve", "--http", "0.0.0.0:0", "--listen", "127.0.0.1:0"]);
    assert_eq!(outside.status.code(), Some(3), "{}", String::from_utf8_lossy(&outside.stderr));
    let config = dir.path().join("c.toml");
    std::fs::write(&config, "htpp = 1\n").unwrap();
    let unknown = run(&none, &["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(unknown.status.code(), Some(3));
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("c.toml:1:1"),
        "{}",
        String::from_utf8_lossy(&unknown.stderr)
    );
    let bad = dir.path().join("bad.toml");
    std::fs::write(&bad, "[[check]]\nid = \"a\"\n").unwrap();
    let bad = run(&none, &["apply", bad.to_str().unwrap()]);
    assert_eq!(bad.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("bad.toml:1:1: check \"a\": \"kind\" is missing"));
    assert_eq!(run(&none, &["apply", "/nonexistent.toml"]).status.code(), Some(3));
    assert_eq!(run(&none, &["nonsense"]).status.code(), Some(2));
}

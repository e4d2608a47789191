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
use sitepulse_collector::app::{Access, App, CredentialKind};
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::present::Present;
use sitepulse_collector::present::door::{Door, Scope};
use sitepulse_collector::present::route::{router, routes};
use sitepulse_daemon::clock;
use sitepulse_model::check::CheckKind;
use sitepulse_model::expect::Operand;
use tokio::sync::watch;
use tower::ServiceExt;

const NETWORK: Door = Door::Network {
    peer: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7)), 40000),
    loopback: false,
    secure: true,
};

const CHECK: &str = "[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\ninterval = \"1s\"\n";

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
    path.replace("{id}", "shop").replace("{name}", "agent-1")
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
        page.lines().filter(|line| line.starts_with("| GET |") || line.starts_with("| POST |")).count(),
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
        let mut child = program()
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

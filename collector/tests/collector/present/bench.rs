//! A collector without listeners, to be asked through its router.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sitepulse_collector::app::{Access, App, ApplyOptions, CredentialKind};
use sitepulse_collector::present::Present;
use sitepulse_collector::present::door::Door;
use sitepulse_collector::present::route::router;
use sitepulse_daemon::clock;
use sitepulse_model::check::{CheckDefinition, CheckKind, DurationUs, HeartbeatTarget};
use sitepulse_model::control::Weight;
use sitepulse_model::id::CheckId;
use sitepulse_model::quorum::Quorum;
use tokio::sync::watch;
use tower::ServiceExt;

pub const NETWORK: Door = Door::Network {
    peer: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7)), 40000),
    loopback: false,
    secure: true,
};

pub const CHECK: &str = "[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\ninterval = \"1s\"\n";

/// A collector without listeners, and its router.
pub struct Bench {
    pub app: App,
    pub router: Router,
    _stop: watch::Sender<bool>,
    /// Removed with the last bench over it.
    dir: Option<std::sync::Arc<tempfile::TempDir>>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// What a page's hidden field holds, as a browser sends it back.
    pub fn hidden(&self, name: &str) -> String {
        let rest = self.text.split_once(&format!("name=\"{name}\" value=\""));
        let value = rest.unwrap_or_else(|| panic!("no {name}: {}", self.text)).1.split_once('"').unwrap().0;
        let plain = value.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">");
        let plain = plain.replace("&#38;", "&").replace('\n', "\r\n");
        plain.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }
}

impl Bench {
    pub fn new() -> Self {
        let dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
        Self { dir: Some(std::sync::Arc::clone(&dir)), ..Self::at(dir.path()) }
    }

    /// The same data directory, opened anew: this one is closed.
    pub async fn again(&self) -> Self {
        self.app.close().await;
        Self { dir: self.dir.clone(), ..Self::at(self.app.data_dir()) }
    }

    /// One whose data directory is there.
    pub fn at(dir: &std::path::Path) -> Self {
        let app = App::open(dir, clock::now()).unwrap();
        let (stop, stopping) = watch::channel(false);
        let router = router(Present::new(
            app.clone(),
            sitepulse_notify::Sender::default(),
            "https://console.example".into(),
            stopping,
        ));
        Self { app, router, _stop: stop, dir: None }
    }

    pub async fn send(&self, door: Door, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() && headers.iter().all(|(name, _)| *name != "content-type") {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let mut request = request.body(Body::from(body.to_string())).unwrap();
        request.extensions_mut().insert(door);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status, headers, bytes, text }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Door::Local, "GET", path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Door::Local, "POST", path, &[], &body.to_string()).await
    }

    pub async fn apply(&self, text: &str, more: Value) -> Answer {
        let mut body = json!({"files": [{"name": "checks.toml", "text": text}]});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        self.post("/api/v1/apply", &body).await
    }

    /// Opens a sign-in link and presses its button, as a browser would.
    pub async fn open_link(&self, door: Door, token: &str) -> Answer {
        let headers = [("sec-fetch-site", "same-origin"), ("content-type", "application/x-www-form-urlencoded")];
        self.send(door, "POST", "/sign-in", &headers, &format!("token={token}")).await
    }

    pub async fn token(&self, kind: CredentialKind, access: Access) -> String {
        self.app.create_credential(kind, access, "test", 60_000_000, clock::now()).await.unwrap().secret
    }
}

/// A heartbeat that must call every minute.
pub fn backup() -> CheckDefinition {
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

pub fn options() -> ApplyOptions {
    ApplyOptions { prune: false, dry_run: false, author: "collector:cli".into() }
}

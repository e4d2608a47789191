//! Connections: whoever sends nothing, or opens many, keeps nobody out who is known. Over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::present::http::{HttpListener, Limits};
use sitepulse_daemon::task::TaskSet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::bench::Bench;

/// A collector that listens, within limits of its own.
struct Listening {
    bench: Bench,
    address: SocketAddr,
    tasks: TaskSet,
    stop: watch::Sender<bool>,
}

impl Listening {
    async fn start(limits: Limits) -> Self {
        let bench = Bench::new();
        let (stop, stopping) = watch::channel(false);
        let tasks = TaskSet::new();
        let http = HttpListener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap().within(limits);
        let address = http.local_addr();
        tasks.spawn("http", http.run(bench.router.clone(), tasks.clone(), stopping));
        Self { bench, address, tasks, stop }
    }

    async fn open(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.tasks.join_all(Duration::from_secs(20)).await.unwrap();
    }
}

fn get(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n")
}

/// The head of the next answer on a connection, its body too; nothing where the connection is over.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse().unwrap() {
                return whole;
            }
        }
        let mut some = [0; 4096];
        match stream.read(&mut some).await {
            Ok(0) | Err(_) => return whole,
            Ok(count) => text.extend_from_slice(&some[..count]),
        }
    }
}

#[tokio::test]
async fn strangers_who_hold_every_place_keep_nobody_out_who_is_known() {
    let limits = Limits { connections: 12, ..Limits::default() };
    let world = Listening::start(limits).await;
    let token = world.bench.token(CredentialKind::ApiToken, Access::Read).await;
    let mut early = world.open(&get("/api/v1/agents", &token)).await;
    assert!(answer(&mut early).await.starts_with("HTTP/1.1 200"));
    // Announced, and never sent: each would hold its place as long as a body may take.
    let slow = "POST /sign-in HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: same-origin\r\n\
                content-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\n";
    let mut strangers = Vec::new();
    for _ in 0..3 * limits.connections {
        strangers.push(world.open(slow).await);
    }
    // Who comes now finds a place.
    let mut late = world.open(&get("/api/v1/agents", &token)).await;
    assert!(answer(&mut late).await.starts_with("HTTP/1.1 200"));
    // And who was there kept it: on the same connection.
    early.write_all(get("/api/v1/checks", &token).as_bytes()).await.unwrap();
    assert!(answer(&mut early).await.starts_with("HTTP/1.1 200"));
    // The oldest strangers went for it.
    let mut end = [0; 1];
    assert!(!matches!(strangers[0].read(&mut end).await, Ok(1..)), "the oldest stranger is still there");
    drop(strangers);
    world.end().await;
}

#[tokio::test]
async fn where_everybody_is_known_a_stranger_is_turned_away() {
    let limits = Limits { connections: 3, ..Limits::default() };
    let world = Listening::start(limits).await;
    let token = world.bench.token(CredentialKind::ApiToken, Access::Read).await;
    let mut known = Vec::new();
    for _ in 0..limits.connections {
        let mut stream = world.open(&get("/api/v1/agents", &token)).await;
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
        known.push(stream);
    }
    let mut stranger = TcpStream::connect(world.address).await.unwrap();
    let mut end = [0; 1];
    assert!(!matches!(stranger.read(&mut end).await, Ok(1..)));
    drop(known);
    world.end().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_its_request_and_its_connection() {
    let limits = Limits { body: Duration::from_millis(50), ..Limits::default() };
    let world = Listening::start(limits).await;
    let token = world.bench.token(CredentialKind::ApiToken, Access::Admin).await;
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    for request in [
        format!(
            "POST /sign-in HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: same-origin\r\n{form}content-length: 10\r\n\r\nuser="
        ),
        format!(
            "POST /api/v1/apply HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             content-length: 100\r\n\r\n{{"
        ),
        format!(
            "POST /api/v1/join-tokens HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nidempotency-key: a\r\n\
             content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        ),
    ] {
        let mut stream = world.open(&request).await;
        let mut whole = String::new();
        // To the end of the connection, not of the answer.
        stream.read_to_string(&mut whole).await.unwrap();
        assert!(whole.starts_with("HTTP/1.1 4"), "{request}\n{whole}");
    }
    world.end().await;
}

//! VictoriaMetrics from Debian as a peer in benchmarks: started on loopback over a folder of its own, fed with lines, asked over HTTP.
//!
//! Its folder is gone and its process ended when [`Victoria`] is dropped. Where `victoria-metrics` is not installed there is none: a benchmark says so
//! and goes on without.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Daemon, bound};
use crate::{usage, wait};

/// The program, where Debian's package `victoria-metrics` puts it.
const PROGRAM: &str = "/usr/bin/victoria-metrics";

/// A running server.
pub struct Victoria {
    daemon: Daemon,
    connection: RefCell<BufReader<TcpStream>>,
    dir: TempDir,
}

impl Victoria {
    /// Starts one with its data in a new folder below `dir`; `None`, and a line that says so, where it is not installed.
    pub fn start(dir: &Path) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            println!("VictoriaMetrics is left out: `apt-get install victoria-metrics` brings it");
            return None;
        }
        let dir = tempfile::tempdir_in(dir).expect("the folder is writable");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a free port").port();
        // It keeps a month unless told otherwise.
        let daemon = Daemon::start(
            bound(PROGRAM)
                .arg(format!("-storageDataPath={}", dir.path().join("data").display()))
                .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
                .arg("-retentionPeriod=10y"),
            &dir.path().join("log"),
        );
        let connect = || TcpStream::connect(("127.0.0.1", port));
        let stream = wait::until("VictoriaMetrics listens", 30, connect);
        stream.set_nodelay(true).expect("a socket takes options");
        Some(Self { daemon, connection: RefCell::new(BufReader::new(stream)), dir })
    }

    /// CPU time used so far, in microseconds.
    pub fn cpu_us(&self) -> u64 {
        usage::cpu_us(self.daemon.pid())
    }

    /// Takes in Influx lines, timestamps in milliseconds.
    pub fn write(&self, lines: &str) {
        let answer = self.request("POST", "/write?precision=ms", lines.as_bytes());
        assert!(answer.0 == 204, "VictoriaMetrics refuses lines: {answer:?}; {}", self.daemon.log());
    }

    /// Makes what was taken in visible to queries.
    pub fn flush(&self) {
        self.get("/internal/force_flush");
    }

    /// Makes what was taken in visible to queries, and merges its parts into few, as it would in time.
    pub fn settle(&self) {
        self.flush();
        self.get("/internal/force_merge");
        // The merge goes on in the background; it is done when the bytes on disk no longer change.
        let mut before = 0;
        let mut calm = 0;
        wait::until("VictoriaMetrics has merged its parts", 600, || {
            let now = self.disk_bytes();
            calm = if now == before { calm + 1 } else { 0 };
            before = now;
            if calm > 20 { Ok(()) } else { Err(now) }
        });
    }

    /// The answer to a question in PromQL at an instant (seconds), without its caches.
    pub fn query(&self, query: &str, at_s: i64) -> Value {
        let (_, body) = self.get(&format!("/api/v1/query?nocache=1&time={at_s}&query={}", escaped(query)));
        let answer: Value = serde_json::from_slice(&body).expect("it answers with JSON");
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].clone()
    }

    /// Ends it, which brings all it holds in memory to the disk, and gives the bytes of its files.
    pub fn weigh(mut self) -> u64 {
        self.daemon.stop();
        self.disk_bytes()
    }

    fn disk_bytes(&self) -> u64 {
        usage::disk_bytes(&self.dir.path().join("data"))
    }

    fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let answer = self.request("GET", path, b"");
        assert!((200..300).contains(&answer.0), "{path}: {} {}", answer.0, String::from_utf8_lossy(&answer.1));
        answer
    }

    /// One request on the one connection that is kept: status and body.
    fn request(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut connection = self.connection.borrow_mut();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        let stream = connection.get_mut();
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("VictoriaMetrics listens");
        answer(&mut *connection)
    }
}

fn answer(from: &mut impl BufRead) -> (u16, Vec<u8>) {
    let mut line = String::new();
    let mut next = |from: &mut dyn BufRead| {
        line.clear();
        from.read_line(&mut line).expect("VictoriaMetrics answers");
        line.trim_end().to_ascii_lowercase()
    };
    let status = next(from).split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    let (mut length, mut chunked) = (0, false);
    loop {
        let header = next(from);
        match header.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().expect("a length"),
            Some(("transfer-encoding", "chunked")) => chunked = true,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = Vec::new();
    let mut take = |from: &mut dyn BufRead, length: usize| {
        let start = body.len();
        body.resize(start + length, 0);
        from.read_exact(&mut body[start..]).expect("VictoriaMetrics answers");
    };
    if !chunked {
        take(from, length);
        return (status, body);
    }
    loop {
        let size = usize::from_str_radix(&next(from), 16).expect("a chunk's length");
        take(from, size);
        next(from);
        if size == 0 {
            return (status, body);
        }
    }
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

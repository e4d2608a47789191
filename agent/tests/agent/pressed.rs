//! A page that the host has no time for, in a real browser, through the program.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Ends the site and the loops, however the test ends.
struct Over<'a>(&'a AtomicBool, SocketAddr);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        // Who waits for a connection looks up.
        drop(TcpStream::connect(self.1));
    }
}

/// Answers every request with a page until it is over.
fn serve(listener: &TcpListener, over: &AtomicBool) {
    let body = "<!doctype html><h1>Words</h1>";
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    for stream in listener.incoming() {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        // Browsers open connections that they may never use.
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut request = [0; 4096];
        if stream.read(&mut request).unwrap_or(0) > 0 {
            drop(stream.write_all(answer.as_bytes()));
        }
    }
}

#[test]
fn a_page_beside_busy_loops_is_loaded_again_and_judged_by_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}/");
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("agent.toml");
    std::fs::write(&config, "[network]\nallow = [\"loopback\"]\n[browser]\npressure_max = 1\n").unwrap();
    let over = AtomicBool::new(false);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let vitals = |json: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sitepulse-agent"));
        command.args([
            "vitals",
            &url,
            "--profile",
            "desktop",
            "--no-throttling",
            "--settle",
            "200ms",
            "--timeout",
            "60s",
        ]);
        command.args(["--runs", "1", "--config"]).arg(&config).args(json.then_some("--json"));
        command.output().unwrap()
    };
    let (told, shown) = std::thread::scope(|threads| {
        let _over = Over(&over, address);
        threads.spawn(|| serve(&listener, &over));
        for _ in 0..2 * cpus {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        (vitals(true), vitals(false))
    });
    assert_eq!((told.status.code(), shown.status.code()), (Some(10), Some(10)), "{told:?} {shown:?}");
    let json: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((json["state"].as_str(), json["cause"].as_str()), (Some("unknown"), Some("host_pressure")), "{json}");
    assert!(json["lcp_ms"].is_null(), "nothing is graded: {json}");
    let loads = json["provenance"]["loads"].as_array().unwrap();
    assert_eq!(loads.len(), 2, "one was asked for, one is added: {json}");
    for load in loads {
        assert_eq!(load["low_confidence"], true, "{json}");
        assert!(load["values"]["lcp"].as_u64() > Some(0), "what was seen is told: {json}");
        assert!(load["host"]["pressure_others"].as_u64() > Some(10), "{json}");
    }
    let progress = String::from_utf8_lossy(&told.stderr);
    assert!(progress.contains("load 2: the host was too busy for one of 1, again"), "{progress}");
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.contains("(host_pressure)") && shown.contains("0 of 2 loads count"), "{shown}");
    assert_eq!(shown.lines().filter(|line| line.contains("others kept the processor from it")).count(), 2, "{shown}");
}

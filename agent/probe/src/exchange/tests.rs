//! How often what came is searched, and on which thread.

use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::thread::JoinHandle;

use sitepulse_model::check::{CheckKind, Family, TcpTarget, UdpTarget, WebsocketTarget};
use sitepulse_model::record::ProbeState;
use tokio_tungstenite::tungstenite::{Message, accept};

use super::*;
use crate::testing::{self, COSTLY, irregular, some_roots, tools};
use crate::tools::Tools;

fn expecting(text: &str) -> [Expectation; 1] {
    [Expectation::parse(text, "tcp").unwrap()]
}

/// Far away: a test that gets there hangs visibly.
fn attempt<'a>(tools: &'a Tools, expect: &'a [Expectation]) -> Attempt<'a> {
    Attempt::new(tools, expect, true, clock::monotonic().plus_us(60_000_000))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn addresses_are_split() {
    for (text, host, port) in
        [("db.example:5432", "db.example", 5432), ("[::1]:7", "::1", 7), ("10.0.0.1:1", "10.0.0.1", 1)]
    {
        assert_eq!(host_port(text), Ok((host.to_owned(), port)));
    }
    for wrong in ["", "a", ":1", "a:", "a:0", "a:65536", "::1:7", "[::1:7", "[]:7"] {
        assert!(host_port(wrong).unwrap_err().contains("host:port"), "{wrong}");
    }
}

#[test]
fn a_dripped_megabyte_is_not_searched_byte_by_byte() {
    let (tools, expect) = (tools(some_roots()), expecting("body contains 'END'"));
    let attempt = attempt(&tools, &expect);
    let mut heard = Heard::new();
    let (mut searches, mut searched) = (0, 0);
    block_on(async {
        for at in 0..BODY_BYTES_MAX as u64 {
            heard.body.push(b'x');
            // A byte each microsecond.
            assert!(!heard.enough(&attempt, Monotonic(at)).await);
            searches += usize::from(heard.searched > searched);
            searched = heard.searched;
        }
    });
    // Each byte at first: 1,450 of them are the easy ones.
    assert!((100..1_800).contains(&searches), "{searches}");
    assert_eq!(heard.room(), 0);
}

#[test]
fn what_is_not_searched_at_once_is_searched_soon() {
    let (tools, expect) = (tools(some_roots()), expecting("body contains 'END'"));
    let attempt = attempt(&tools, &expect);
    let end = Monotonic(attempt.deadline.0 - VERDICT_US);
    let mut heard = Heard { body: vec![b'x'; 100_000], searched: EASY_BYTES, ..Heard::new() };
    block_on(async {
        assert!(!heard.enough(&attempt, Monotonic(10)).await);
        assert_eq!(heard.patience(&attempt), end, "nothing new");
        heard.body.extend(b"END");
        let last = heard.last.unwrap();
        assert!(!heard.enough(&attempt, last.at.plus_us(1)).await, "little was added");
        let next = last.at.plus_us(SEARCHED_EVERY_US.max(last.rest_us));
        assert_eq!(heard.patience(&attempt), next);
        assert!(heard.enough(&attempt, next).await);
    });
}

#[test]
fn a_search_that_took_long_is_followed_by_a_rest() {
    assert_eq!([0, 999, 1_000, 500_000].map(rest_us), [0, 0, 4_000, 2_000_000]);
    let (tools, expect) = (tools(some_roots()), expecting("body contains 'END'"));
    let attempt = attempt(&tools, &expect);
    let last = Search { at: Monotonic(100), rest_us: 2_000_000, length: 1, lacks: Some(0) };
    let mut heard = Heard { body: b"all of it: END".to_vec(), last: Some(last), ..Heard::new() };
    block_on(async {
        assert!(!heard.enough(&attempt, Monotonic(2_000_099)).await);
        assert_eq!(heard.patience(&attempt), Monotonic(2_000_100));
        assert!(heard.enough(&attempt, Monotonic(2_000_100)).await);
    });
}

#[test]
fn a_large_body_that_nobody_had_the_time_to_search_is_judged_as_a_whole() {
    let (tools, expect) = (tools(some_roots()), expecting("body contains 'END'"));
    let silence = || unreachable!();
    block_on(async {
        // At the end, what is not searched yet may be enough.
        let mut late = attempt(&tools, &expect);
        late.deadline = clock::monotonic();
        let mut heard = Heard { body: vec![b'x'; 100_000], ..Heard::new() };
        assert!(heard.enough(&late, clock::monotonic()).await);
        assert_eq!(heard.waited(&late, silence).await, Ok(true));
        // What was searched is not.
        let searched = Search { at: Monotonic(0), rest_us: 0, length: 100_000, lacks: Some(0) };
        heard.last = Some(searched);
        let failure = heard.waited(&late, silence).await.unwrap_err();
        assert_eq!((failure.cause, failure.phase), (Cause::Timeout, Phase::Transfer));
        assert!(failure.detail.starts_with("transfer: no answer satisfied body contains 'END' within "), "{failure:?}");
        // Before it, it is searched, and read on.
        let early = attempt(&tools, &expect);
        heard.last = None;
        assert_eq!(heard.waited(&early, silence).await, Ok(false));
        assert_eq!(heard.last.map(|last| (last.length, last.lacks)), Some((100_000, Some(0))));
    });
}

/// Processor time that this thread took so far (schedstat of proc(5): nanoseconds on the processor come first).
fn thread_us() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<u64>().unwrap() / 1000
}

/// What the thread of all runs works while a run reads what `serve` sends, in parts of what searching `body` once takes.
fn share(kind: CheckKind, body: &[u8], timeout_us: u64, server: JoinHandle<()>) -> f64 {
    let expect = [Expectation::parse(COSTLY, kind.as_str()).unwrap()];
    let begun = thread_us();
    assert_eq!(expect::body_lacks(&expect, body), Some(0));
    let once = thread_us() - begun;
    let check = testing::check(kind, timeout_us, &[COSTLY]);
    let tools = tools(some_roots());
    let begun = thread_us();
    let result = testing::run(&check, &tools);
    let worked = thread_us() - begun;
    server.join().unwrap();
    assert_eq!(
        (result.state, result.facts.body_bytes),
        (ProbeState::Down, Some(body.len() as u64)),
        "{}",
        result.detail
    );
    worked as f64 / once as f64
}

#[test]
fn the_thread_of_all_runs_does_not_search_the_large_bodies_that_it_reads() {
    let mut shares = Vec::new();
    let body = irregular(600_000);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let sent = body.clone();
    let server = std::thread::spawn(move || listener.accept().unwrap().0.write_all(&sent).unwrap());
    let target = TcpTarget { address, send: None, family: Family::Any };
    shares.push(("tcp", share(CheckKind::Tcp(target), &body, 120_000_000, server)));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let sent = body.clone();
    let server = std::thread::spawn(move || {
        let mut socket = accept(listener.accept().unwrap().0).unwrap();
        let (one, other) = sent.split_at(300_000);
        // The prober joins messages with a line feed.
        socket.send(Message::binary(one.to_vec())).unwrap();
        socket.send(Message::binary(other[1..].to_vec())).unwrap();
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
    });
    let target = WebsocketTarget::handshake(url);
    shares.push(("websocket", share(CheckKind::Websocket(Box::new(target)), &body, 120_000_000, server)));

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let sent = body[..50_000].to_vec();
    let server = std::thread::spawn(move || {
        let (_, from) = socket.recv_from(&mut [0; 10]).unwrap();
        socket.send_to(&sent, from).unwrap();
    });
    let target = UdpTarget { address, send: None, send_hex: None, family: Family::Any };
    shares.push(("udp", share(CheckKind::Udp(target), &body[..50_000], 3_000_000, server)));

    assert!(shares.iter().all(|(_, share)| *share < 0.5), "{shares:?}");
}

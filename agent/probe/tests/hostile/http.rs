//! Behaviours over HTTP/1.1: connections, heads, framings, codings, redirects.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::behaviour::{
    ASSERTION, Behaviour, PROTOCOL, REDIRECT, RESET, Scheme, TIMEOUT, UP, UP_OR_PROTOCOL, drip, flood, outlast,
    request, reset, send,
};

/// 32 MiB of zeros, by `brotli -q 11 -w 24`.
const BROTLI_BOMB: &[u8] =
    b"\xcf\xff\xff\x7f\xf8\x27\x00\xe2\xb1\x40\x20\xf7\xfe\x9f\xff\xff\xff\xf0\x4f\x00\xc4\x61\x01\x80\xee\xfd\xff";

fn gzip_bomb() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..32 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}

/// A frame whose window is 2^`window_log` bytes, of blocks that each repeat one byte 128 KiB times: 4 bytes a block (RFC 8878).
fn zstd_bomb(window_log: u8) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
    let block = (128_u32 << 10) << 3 | 1 << 1;
    for _ in 0..4096 {
        frame.extend_from_slice(&block.to_le_bytes()[..3]);
        frame.push(b'x');
    }
    frame
}

/// An answer that is sent once the request came, and then the connection is closed.
pub(crate) fn answer(
    name: &'static str,
    outcomes: &'static [Option<sitepulse_model::record::Cause>],
    bytes: impl Into<Vec<u8>>,
) -> Behaviour {
    let bytes: std::sync::Arc<[u8]> = bytes.into().into();
    Behaviour::new(Scheme::Http, name, outcomes, move |mut stream| {
        let bytes = bytes.clone();
        async move {
            request(&mut stream).await;
            send(&mut stream, &bytes).await;
            outlast_closing(stream).await;
        }
    })
}

/// As [`answer`], but the connection stays open.
fn answer_and_stay(
    name: &'static str,
    outcomes: &'static [Option<sitepulse_model::record::Cause>],
    bytes: &'static str,
) -> Behaviour {
    Behaviour::new(Scheme::Http, name, outcomes, move |mut stream| async move {
        request(&mut stream).await;
        send(&mut stream, bytes.as_bytes()).await;
        outlast(&mut stream).await;
    })
}

/// A beginning, and then the same block without end.
fn endless(
    name: &'static str,
    outcomes: &'static [Option<sitepulse_model::record::Cause>],
    head: &'static str,
    block: impl Into<Vec<u8>>,
) -> Behaviour {
    let block: Vec<u8> = block.into();
    let block: std::sync::Arc<[u8]> = block.repeat((64 << 10) / block.len() + 1).into();
    Behaviour::new(Scheme::Http, name, outcomes, move |mut stream| {
        let block = block.clone();
        async move {
            request(&mut stream).await;
            send(&mut stream, head.as_bytes()).await;
            flood(&mut stream, &block).await;
        }
    })
}

fn coded(coding: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Ends the answer, and waits until the prober hangs up too.
async fn outlast_closing(mut stream: TcpStream) {
    stream.shutdown().await.ok();
    outlast(&mut stream).await;
}

fn connections() -> Vec<Behaviour> {
    vec![
        Behaviour::new(Scheme::Http, "closed at once", RESET, |stream| async move { drop(stream) }),
        Behaviour::new(Scheme::Http, "reset at once", RESET, |stream| async move { reset(stream) }),
        Behaviour::new(Scheme::Http, "silent for ever", TIMEOUT, |mut stream| async move {
            outlast(&mut stream).await;
        }),
        Behaviour::new(Scheme::Http, "half-closed before an answer", RESET, |mut stream| async move {
            request(&mut stream).await;
            outlast_closing(stream).await;
        }),
        Behaviour::new(Scheme::Http, "reset after the request", RESET, |mut stream| async move {
            request(&mut stream).await;
            reset(stream);
        }),
        Behaviour::new(Scheme::Http, "reset within the body", RESET, |mut stream| async move {
            request(&mut stream).await;
            send(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
            // A reset overtakes what the prober has not read yet: it may find no answer at all.
            reset(stream);
        }),
    ]
}

fn heads() -> Vec<Behaviour> {
    vec![
        Behaviour::new(Scheme::Http, "headers at 1 B/s", TIMEOUT, |mut stream| async move {
            request(&mut stream).await;
            drip(&mut stream, b"HTTP/1.1 200 OK\r\nX-A: b\r\nX-C: d\r\n").await;
        }),
        endless("endless headers", PROTOCOL, "HTTP/1.1 200 OK\r\n", "X-A: b\r\n"),
        endless("one endless header line", PROTOCOL, "HTTP/1.1 200 OK\r\nX-A: ", "a"),
        endless("endless status line", PROTOCOL, "HTTP/1.1 200 O", "K"),
        answer("100,000 header lines", PROTOCOL, format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: b\r\n".repeat(100_000))),
        answer(
            "one header line of 10 MB",
            PROTOCOL,
            format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "a".repeat(10_000_000)),
        ),
        endless("never-ending 1xx", PROTOCOL, "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        answer_and_stay("one 100 and silence", TIMEOUT, "HTTP/1.1 100 Continue\r\n\r\n"),
        answer("HTTP/0.9", PROTOCOL, "<html>hello</html>\n"),
        endless("endless garbage", PROTOCOL, "", "\0\u{1}garbage"),
        endless("endless empty lines", PROTOCOL, "", "\r\n"),
        answer_and_stay(
            "an upgrade unasked",
            ASSERTION,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        ),
    ]
}

fn framings() -> Vec<Behaviour> {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    vec![
        endless("endless body", UP, "HTTP/1.1 200 OK\r\n\r\n", "x"),
        endless("endless chunks", UP, CHUNKED, format!("1000\r\n{}\r\n", "x".repeat(0x1000))),
        endless("endless chunks of one byte", PROTOCOL, CHUNKED, "1\r\nx\r\n"),
        endless("endless chunk extensions", PROTOCOL, CHUNKED, "1;ext=ext\r\nx\r\n"),
        endless(
            "one endless chunk extension",
            PROTOCOL,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            "x",
        ),
        endless(
            "endless trailers",
            PROTOCOL,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            "X-A: b\r\n",
        ),
        answer("a chunk size beyond 64 bits", PROTOCOL, format!("{CHUNKED}FFFFFFFFFFFFFFFFF\r\nx")),
        answer("a chunk size that is none", PROTOCOL, format!("{CHUNKED}-5\r\nx\r\n")),
        answer_and_stay(
            "a huge chunk that never comes",
            TIMEOUT,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF\r\nx",
        ),
        answer("a negative length", PROTOCOL, "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx"),
        answer(
            "a length beyond 64 bits",
            PROTOCOL,
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nx",
        ),
        answer("an absurd length", RESET, "HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\nx"),
        answer("two lengths", PROTOCOL, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
        answer(
            "both a length and chunks",
            UP,
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        ),
        answer("a body longer than announced", UP, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxxxxxxxx"),
        answer("a body shorter than announced", RESET, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"),
        Behaviour::new(Scheme::Http, "body at 1 B/s", TIMEOUT, |mut stream| async move {
            request(&mut stream).await;
            send(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
            drip(&mut stream, b"x").await;
        }),
    ]
}

fn codings() -> Vec<Behaviour> {
    let (gzip, huge_window) = (gzip_bomb(), zstd_bomb(31));
    let cut = &gzip[..gzip.len() / 2];
    vec![
        answer("a gzip bomb", UP, coded("gzip", &gzip)),
        answer("a deflate bomb", UP, coded("deflate", &gzip[10..gzip.len() - 8])),
        answer("a brotli bomb", UP, coded("br", BROTLI_BOMB)),
        answer("a zstd bomb", UP, coded("zstd", &zstd_bomb(23))),
        answer("a zstd window of 2 GiB", PROTOCOL, coded("zstd", &huge_window)),
        answer(
            "a million zstd frames",
            PROTOCOL,
            coded("zstd", &b"\x28\xb5\x2f\xfd\x00\x68\x01\x00\x00".repeat(100_000)),
        ),
        answer("gzip that is none", PROTOCOL, coded("gzip", b"this is not gzip at all")),
        answer("gzip in gzip", UP, coded("gzip, gzip", &gzip)),
        answer("gzip cut short", UP_OR_PROTOCOL, coded("gzip", cut)),
        endless("endless gzip", UP_OR_PROTOCOL, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip),
    ]
}

fn redirects() -> Vec<Behaviour> {
    let to = |name, redirects, location: &'static str| {
        let bytes = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        answer(name, REDIRECT, bytes).redirects(redirects)
    };
    vec![
        to("a redirect loop", 10, "/"),
        to("a redirect to nowhere", 3, "ftp://a.example/"),
        to("a redirect to garbage", 3, "http://[::"),
        to("a redirect to a script", 3, "javascript:alert(1)"),
        answer(
            "a redirect to 60 kB",
            REDIRECT,
            format!("HTTP/1.1 302 Found\r\nLocation: /{}\r\n\r\n", "a".repeat(60_000)),
        )
        .redirects(3),
        Behaviour::new(Scheme::Http, "a chain of new redirects", REDIRECT, |mut stream| async move {
            request(&mut stream).await;
            let (here, there) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap().port());
            let answer = format!("HTTP/1.1 307 Next\r\nLocation: http://{here}/{there}\r\n\r\n");
            send(&mut stream, answer.as_bytes()).await;
            // The body of a redirect is not read, however long.
            flood(&mut stream, &[b'x'; 1024]).await;
        })
        .redirects(10),
    ]
}

/// The rows of this file.
pub(crate) fn table() -> Vec<Behaviour> {
    [connections(), heads(), framings(), codings(), redirects()].into_iter().flatten().collect()
}

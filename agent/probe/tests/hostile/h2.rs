//! Behaviours over HTTP/2, written frame by frame: the servers of libraries behave.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::behaviour::{Behaviour, PROTOCOL, RESET, Scheme, TIMEOUT, UP_OR_PROTOCOL, flood, outlast, send};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// `:status: 200` and `:status: 100`-like blocks, by HPACK's static table and as a literal.
const OK: &[u8] = &[0x88];
const EARLY_HINTS: &[u8] = b"\x08\x03103";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Takes the preface and frames up to the request's head, and greets with `settings`.
async fn greet(stream: &mut TcpStream, settings: &[u8]) {
    send(stream, &frame(SETTINGS, 0, 0, settings)).await;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.ok();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.ok();
        if head[3] == HEADERS {
            return;
        }
    }
}

/// After the request's head: `first` once, then `again` without end.
fn endless(
    name: &'static str,
    outcomes: &'static [Option<sitepulse_model::record::Cause>],
    first: Vec<u8>,
    again: Vec<u8>,
) -> Behaviour {
    let times = (64 << 10) / again.len().max(1);
    let again: std::sync::Arc<[u8]> = again.repeat(times.max(1)).into();
    Behaviour::new(Scheme::PlainH2, name, outcomes, move |mut stream| {
        let (first, again) = (first.clone(), again.clone());
        async move {
            greet(&mut stream, &[]).await;
            send(&mut stream, &first).await;
            // Both ways: a prober that answers each frame must not be what stops the flood.
            let (mut read, mut write) = stream.split();
            let sink = async {
                let mut bytes = [0; 4096];
                while matches!(read.read(&mut bytes).await, Ok(1..)) {}
            };
            let source = async { while tokio::io::AsyncWriteExt::write_all(&mut write, &again).await.is_ok() {} };
            tokio::select! { () = sink => {}, () = source => {} }
        }
    })
}

/// After the request's head: `bytes`, and nothing more.
fn once(name: &'static str, outcomes: &'static [Option<sitepulse_model::record::Cause>], bytes: Vec<u8>) -> Behaviour {
    let bytes: std::sync::Arc<[u8]> = bytes.into();
    Behaviour::new(Scheme::PlainH2, name, outcomes, move |mut stream| {
        let bytes = bytes.clone();
        async move {
            greet(&mut stream, &[]).await;
            send(&mut stream, &bytes).await;
            outlast(&mut stream).await;
        }
    })
}

fn giant_headers() -> Vec<u8> {
    // One entry of 4 kB goes into the table, and is then named 4,000 times: 16 MB out of 8 kB.
    let mut block = vec![0x88, 0x40, 1, b'a', 0x7f];
    let length = 4000 - 127_u32;
    block.extend_from_slice(&[(length & 127) as u8 | 128, (length >> 7) as u8]);
    block.extend(std::iter::repeat_n(b'x', 4000));
    block.extend(std::iter::repeat_n(0xbe, 4000));
    frame(HEADERS, END_HEADERS, 1, &block)
}

/// The rows of this file.
pub(crate) fn table() -> Vec<Behaviour> {
    let ok = frame(HEADERS, END_HEADERS, 1, OK);
    let header_line = b"\x00\x03x-a\x01b";
    vec![
        endless("h2: settings flood", PROTOCOL, Vec::new(), frame(SETTINGS, 0, 0, &[])),
        endless("h2: ping flood", PROTOCOL, Vec::new(), frame(PING, 0, 0, &[7; 8])),
        endless("h2: priority flood", PROTOCOL, Vec::new(), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        endless("h2: window flood", PROTOCOL, Vec::new(), frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        endless("h2: flood of unknown frames", PROTOCOL, Vec::new(), frame(0x77, 0, 0, &[0; 100])),
        endless("h2: resets of unknown streams", PROTOCOL, Vec::new(), frame(RST_STREAM, 0, 3, &[0, 0, 0, 8])),
        endless("h2: resets of the stream", RESET, Vec::new(), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        endless("h2: CONTINUATION flood", PROTOCOL, frame(HEADERS, 0, 1, OK), frame(CONTINUATION, 0, 1, header_line)),
        endless("h2: empty CONTINUATION flood", PROTOCOL, frame(HEADERS, 0, 1, OK), frame(CONTINUATION, 0, 1, &[])),
        endless("h2: never-ending 1xx", PROTOCOL, Vec::new(), frame(HEADERS, END_HEADERS, 1, EARLY_HINTS)),
        once("h2: giant headers", PROTOCOL, giant_headers()),
        endless("h2: endless data, whatever the window", UP_OR_PROTOCOL, ok.clone(), frame(DATA, 0, 1, &[b'x'; 16384])),
        endless("h2: endless empty data", PROTOCOL, ok.clone(), frame(DATA, 0, 1, &[])),
        endless("h2: endless data of one byte", PROTOCOL, ok.clone(), frame(DATA, 0, 1, b"x")),
        endless(
            "h2: endless padding",
            PROTOCOL,
            ok.clone(),
            frame(DATA, 8, 1, &{
                let mut padded = [0; 256];
                padded[0] = 255;
                padded
            }),
        ),
        once("h2: a push unasked", PROTOCOL, frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82, 0x86, 0x84])),
        once("h2: a frame over the limit", PROTOCOL, frame(DATA, 0, 1, &vec![0; 1 << 20])),
        once("h2: GOAWAY at once", RESET, frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2])),
        once("h2: the head and silence", TIMEOUT, ok),
        Behaviour::new(Scheme::PlainH2, "h2: a window of zero", TIMEOUT, |mut stream| async move {
            greet(&mut stream, &[0, 4, 0, 0, 0, 0]).await;
            outlast(&mut stream).await;
        })
        .post(100_000),
        Behaviour::new(Scheme::PlainH2, "h2: HTTP/1.1 instead", PROTOCOL, |mut stream| async move {
            send(&mut stream, b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
            outlast(&mut stream).await;
        }),
        Behaviour::new(Scheme::PlainH2, "h2: garbage for ever", PROTOCOL, |mut stream| async move {
            flood(&mut stream, &[0xa5; 4096]).await;
        }),
    ]
}

use std::future::Future;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use sitepulse_daemon::clock;

use super::*;

/// Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Opens `target` for every host whose name begins with `open`; others are refused with the cause that their name spells, or never answered.
struct Doors {
    target: SocketAddr,
    asked: AtomicUsize,
}

impl Gate for Doors {
    fn open<'a>(&'a self, host: &'a str, port: u16, _timeout_us: u64) -> BoxFuture<'a, Result<Dialled, Refusal>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if let Some(cause) = Cause::ALL.iter().find(|cause| host.strip_suffix(".example") == Some(cause.as_str())) {
                let detail = format!("{host}:{port} is {cause}");
                return Err(Refusal { cause: *cause, phase: Phase::Connect, detail, address: None });
            }
            if host == "never.example" {
                return std::future::pending().await;
            }
            let stream = TcpStream::connect(self.target).await.unwrap();
            Ok(Dialled { stream, address: self.target, dns_us: Some(7), connect_us: 8 })
        })
    }
}

struct Setting {
    proxy: Proxy,
    gate: Doors,
    server: TcpListener,
}

impl Setting {
    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.proxy.address).await.unwrap()
    }

    /// A client that has asked for `host`, and the reply's code.
    async fn ask(&self, host: &str) -> (TcpStream, u8) {
        let mut client = self.client().await;
        client.write_all(b"\x05\x01\x00").await.unwrap();
        let mut welcome = [0; 2];
        client.read_exact(&mut welcome).await.unwrap();
        assert_eq!(welcome, [5, 0]);
        client.write_all(&request(host, 443)).await.unwrap();
        let mut reply = [0; 10];
        client.read_exact(&mut reply).await.unwrap();
        assert_eq!((reply[0], &reply[2..]), (5, &[0, 1, 0, 0, 0, 0, 0, 0][..]));
        (client, reply[1])
    }

    /// A client that is connected, and the server's end of it.
    async fn pair(&self) -> (TcpStream, TcpStream) {
        let ((client, code), server) = tokio::join!(self.ask("open.example"), self.server.accept());
        assert_eq!(code, 0);
        (client, server.unwrap().0)
    }
}

fn request(host: &str, port: u16) -> Vec<u8> {
    [&[5, 1, 0, 3, host.len() as u8], host.as_bytes(), &port.to_be_bytes()].concat()
}

/// Runs `client` beside a proxy whose gate leads to `server`.
fn beside<T>(client: impl AsyncFnOnce(&Setting) -> T) -> T {
    block_on(async {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Doors { target: server.local_addr().unwrap(), asked: AtomicUsize::new(0) };
        let setting = Setting { proxy: Proxy::bind().await.unwrap(), gate, server };
        tokio::select! {
            () = setting.proxy.serve(&setting.gate) => panic!("the proxy ended"),
            done = tokio::time::timeout(PATIENCE, client(&setting)) => done.expect("nothing hangs"),
        }
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[test]
fn bytes_pass_both_ways_and_each_direction_ends_by_itself() {
    beside(async |setting| {
        let (mut client, mut server) = setting.pair().await;
        client.write_all(b"request").await.unwrap();
        client.shutdown().await.unwrap();
        // The server sees the end of the request, and its own direction is open still.
        assert_eq!(rest(&mut server).await, b"request");
        let answer = vec![42; 1 << 20];
        let (sent, got) = tokio::join!(
            async {
                server.write_all(&answer).await.unwrap();
                server.shutdown().await
            },
            rest(&mut client)
        );
        sent.unwrap();
        assert_eq!(got, answer);
        let opened = Opened { address: setting.gate.target, dns_us: Some(7), connect_us: 8 };
        let asked = Asked { host: "open.example".to_owned(), port: 443, outcome: Some(Ok(opened)) };
        assert_eq!(setting.proxy.asked(), [asked]);
    });
}

#[test]
fn bytes_that_come_with_the_request_are_the_targets() {
    beside(async |setting| {
        let mut client = setting.client().await;
        let early = [&b"\x05\x01\x00"[..], &request("open.example", 80), b"GET / HTTP/1.1\r\n"].concat();
        client.write_all(&early).await.unwrap();
        client.shutdown().await.unwrap();
        let mut server = setting.server.accept().await.unwrap().0;
        assert_eq!(rest(&mut server).await, b"GET / HTTP/1.1\r\n");
    });
}

#[test]
fn a_reset_stays_a_reset() {
    beside(async |setting| {
        let (mut client, server) = setting.pair().await;
        server.set_zero_linger().unwrap();
        drop(server);
        let error = client.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "not an end: {error}");
        let (client, mut server) = setting.pair().await;
        client.set_zero_linger().unwrap();
        drop(client);
        let error = server.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "not an end: {error}");
    });
}

#[test]
fn every_refusal_has_its_reply_and_is_remembered() {
    beside(async |setting| {
        for (cause, code) in [
            (Cause::PolicyRefused, 2),
            (Cause::NetworkLost, 3),
            (Cause::DnsFailed, 4),
            (Cause::Unreachable, 4),
            (Cause::ConnectionRefused, 5),
            (Cause::Timeout, 6),
            (Cause::AgentFault, 1),
        ] {
            let host = format!("{cause}.example");
            let (mut client, reply) = setting.ask(&host).await;
            assert_eq!(reply, code, "{cause}");
            assert_eq!(rest(&mut client).await, b"", "{cause}: the connection ends");
            let asked = setting.proxy.asked().pop().unwrap();
            assert_eq!(asked.host, host);
            assert_eq!(asked.outcome.unwrap().unwrap_err().cause, cause);
        }
    });
}

#[test]
fn a_connection_under_way_is_asked_for_without_an_outcome() {
    beside(async |setting| {
        let mut client = setting.client().await;
        client.write_all(&[&b"\x05\x01\x00"[..], &request("never.example", 80)].concat()).await.unwrap();
        until(|| !setting.proxy.asked().is_empty()).await;
        let asked = setting.proxy.asked();
        assert_eq!((asked[0].host.as_str(), asked[0].outcome.clone()), ("never.example", None));
    });
}

/// Waits for a state that other futures of this thread bring about.
async fn until(state: impl Fn() -> bool) {
    while !state() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn malformed_handshakes_get_their_answer_and_never_reach_the_gate() {
    beside(async |setting| {
        let hello = b"\x05\x01\x00".to_vec();
        for (sent, answer) in [
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), &b""[..]),
            (b"\x16\x03\x01\x02\x00\x01".to_vec(), b""),
            (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00".to_vec(), b""),
            (b"\x05\x00".to_vec(), b"\x05\xff"),
            (b"\x05\x02\x01\x02".to_vec(), b"\x05\xff"),
            ([&hello[..], b"\x04\x01\x00\x01"].concat(), b"\x05\x00"),
            ([&hello[..], b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50"].concat(), b"\x05\x00\x05\x07\0\x01\0\0\0\0\0\0"),
            ([&hello[..], b"\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x50"].concat(), b"\x05\x00\x05\x07\0\x01\0\0\0\0\0\0"),
            ([&hello[..], b"\x05\x01\x00\x02\x7f\x00\x00\x01\x00\x50"].concat(), b"\x05\x00\x05\x08\0\x01\0\0\0\0\0\0"),
            ([&hello[..], b"\x05\x01\x00\x03\x00\x00\x50"].concat(), b"\x05\x00\x05\x01\0\x01\0\0\0\0\0\0"),
            ([&hello[..], b"\x05\x01\x00\x03\x03a\nb\x00\x50"].concat(), b"\x05\x00\x05\x01\0\x01\0\0\0\0\0\0"),
        ] {
            let mut client = setting.client().await;
            client.write_all(&sent).await.unwrap();
            let mut got = Vec::new();
            // Closed with bytes unread, the end may be a reset, which takes the answer along.
            match client.read_to_end(&mut got).await {
                Ok(_) => assert_eq!(got, answer, "{sent:02x?}"),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{sent:02x?}"),
            }
        }
        assert_eq!(setting.gate.asked.load(Ordering::SeqCst), 0);
        assert_eq!(setting.proxy.asked(), []);
    });
}

#[test]
fn the_types_of_address_reach_the_gate_as_text() {
    beside(async |setting| {
        for (kind, address, host) in [
            (1, &[127, 0, 0, 1][..], "127.0.0.1"),
            (4, &Ipv6Addr::LOCALHOST.octets()[..], "::1"),
            (3, b"\x03::1", "::1"),
            (3, b"\x0a2130706433", "2130706433"),
        ] {
            let mut client = setting.client().await;
            client.write_all(&[&b"\x05\x01\x00\x05\x01\x00"[..], &[kind], address, &[0, 80]].concat()).await.unwrap();
            let mut reply = [0; 4];
            client.read_exact(&mut reply).await.unwrap();
            assert_eq!(reply, [5, 0, 5, 0], "{host}");
            assert_eq!(setting.proxy.asked().pop().unwrap().host, host);
        }
    });
}

#[test]
fn the_proxy_leads_not_to_itself() {
    block_on(async {
        let proxy = Proxy::bind().await.unwrap();
        let gate = Doors { target: proxy.address, asked: AtomicUsize::new(0) };
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let setting = Setting { proxy, gate, server };
        tokio::select! {
            () = setting.proxy.serve(&setting.gate) => panic!("the proxy ended"),
            (_, reply) = setting.ask("open.example") => assert_eq!(reply, 2),
        }
        let refusal = setting.proxy.asked()[0].outcome.clone().unwrap().unwrap_err();
        assert_eq!(refusal.cause, Cause::PolicyRefused);
    });
}

#[test]
fn a_slow_handshake_ends_at_its_deadline() {
    block_on(async {
        let mut proxy = Proxy::bind().await.unwrap();
        proxy.handshake_us_max = 200_000;
        let gate = Doors { target: proxy.address, asked: AtomicUsize::new(0) };
        let drip = async {
            let mut silent = TcpStream::connect(proxy.address).await.unwrap();
            let mut slow = TcpStream::connect(proxy.address).await.unwrap();
            let before = clock::monotonic();
            // A method every 20 ms: none of the waits is long, all of them are.
            slow.write_all(&[5, 255]).await.unwrap();
            let mut sent = 0;
            while slow.write_all(&[1]).await.is_ok() && sent < 250 {
                sent += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(sent < 250, "the whole greeting was waited for");
            assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "the silent one was closed");
            assert!(clock::monotonic().us_since(before) >= 200_000);
        };
        tokio::select! {
            () = proxy.serve(&gate) => panic!("the proxy ended"),
            done = tokio::time::timeout(PATIENCE, drip) => done.expect("nothing hangs"),
        }
    });
}

#[test]
fn a_flood_is_served_a_bounded_number_at_a_time_and_the_list_is_bounded() {
    beside(async |setting| {
        // So many that say nothing at all, and one that wants something: it waits for a place.
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(setting.client().await);
        }
        let mut late = setting.client().await;
        late.write_all(&[&b"\x05\x01\x00"[..], &request("open.example", 80)].concat()).await.unwrap();
        let waits = tokio::time::timeout(Duration::from_millis(50), late.read_u8()).await;
        assert!(waits.is_err(), "a flood has no more than its places");
        drop(silent.pop());
        assert_eq!(late.read_u8().await.unwrap(), 5);
        drop(silent);
        for _ in 0..ASKED_MAX + 10 {
            let (_, reply) = setting.ask("policy_refused.example").await;
            assert_eq!(reply, 2);
        }
        assert_eq!(setting.proxy.asked().len(), ASKED_MAX);
    });
}

#[test]
fn all_connections_end_with_the_proxy() {
    block_on(async {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Doors { target: server.local_addr().unwrap(), asked: AtomicUsize::new(0) };
        let setting = Setting { proxy: Proxy::bind().await.unwrap(), gate, server };
        let (mut client, mut far) = tokio::select! {
            () = setting.proxy.serve(&setting.gate) => panic!("the proxy ended"),
            pair = setting.pair() => pair,
        };
        let both = async { (client.read(&mut [0]).await, far.read(&mut [0]).await) };
        let (near, far) = tokio::time::timeout(PATIENCE, both).await.expect("both ends see it");
        assert_eq!((near.unwrap(), far.unwrap()), (0, 0));
    });
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    /// Whatever a client sends, in whatever pieces: the proxy serves the next one.
    #[test]
    fn any_bytes_leave_the_proxy_serving(pieces: Vec<Vec<u8>>, greets: bool) {
        beside(async |setting| {
            let mut client = setting.client().await;
            let hello = if greets { b"\x05\x01\x00".to_vec() } else { Vec::new() };
            for piece in std::iter::once(&hello).chain(&pieces) {
                // It may have closed by now.
                if client.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(client.shutdown().await);
            drop(client.read_to_end(&mut Vec::new()).await);
            let (_, reply) = setting.ask("policy_refused.example").await;
            assert_eq!(reply, 2);
        });
    }
}

use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::net::{TcpListener, UdpSocket};

use sitepulse_daemon::address::Policy;

use super::*;
use crate::resolve::Resolver;
use crate::tls::Tls;

/// Generous: the machine may be busy.
const TIMEOUT_US: u64 = 60_000_000;

/// A listener that nobody may reach: it counts.
struct Canary {
    listener: std::net::TcpListener,
    port: u16,
}

impl Canary {
    fn at(address: &str) -> Self {
        let listener = std::net::TcpListener::bind((address, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    fn came(&self) -> usize {
        std::iter::from_fn(|| self.listener.accept().ok()).count()
    }
}

fn tools(allow: &[&str], server: SocketAddr) -> Tools {
    let policy = Policy::parse(&allow.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap();
    let mut tools = Tools::new(Tls::with_roots(crate::testing::some_roots()).unwrap(), policy);
    tools.resolver = Resolver::with_server(server);
    tools
}

/// A name server that answers the n-th question for addresses with what `answer` gives for the name and `n`, in the order given.
async fn name_server(socket: UdpSocket, asked: &AtomicUsize, answer: impl Fn(&str, usize) -> Vec<String>) {
    let mut buffer = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..length]).unwrap();
        let mut reply = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        reply.add_queries(question.queries.iter().cloned());
        let query = &question.queries[0];
        let name = query.name.to_ascii();
        if query.query_type == RecordType::A {
            let n = asked.fetch_add(1, Ordering::SeqCst);
            let found = answer(name.trim_end_matches('.'), n);
            if found.is_empty() {
                reply.metadata.response_code = ResponseCode::NXDomain;
            }
            for address in found.iter().filter_map(|text| text.parse().ok()) {
                reply.add_answer(Record::from_rdata(query.name.clone(), 0, RData::A(A(address))));
            }
        } else if query.query_type == RecordType::AAAA {
            for address in answer(name.trim_end_matches('.'), 0).iter().filter_map(|text| text.parse::<Ipv6Addr>().ok())
            {
                reply.add_answer(Record::from_rdata(query.name.clone(), 0, RData::AAAA(address.into())));
            }
        }
        socket.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
    }
}

/// Runs `client` with an agent's tools of this allow-list, beside that name server; `client` gets the number of questions as well.
fn beside<T>(
    allow: &[&str],
    answer: impl Fn(&str, usize) -> Vec<String>,
    client: impl AsyncFnOnce(&Tools, &AtomicUsize) -> T,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let tools = tools(allow, socket.local_addr().unwrap());
        let asked = AtomicUsize::new(0);
        tokio::select! {
            () = name_server(socket, &asked, answer) => panic!("the name server ended"),
            done = client(&tools, &asked) => done,
        }
    })
}

fn texts(addresses: &[&str]) -> Vec<String> {
    addresses.iter().map(|text| (*text).to_owned()).collect()
}

async fn refused_of(gate: &LoadGate<'_>, host: &str, port: u16) -> Refusal {
    match gate.open(host, port, TIMEOUT_US).await {
        Ok(dialled) => panic!("{host}:{port} was dialled at {}", dialled.address),
        Err(refusal) => refusal,
    }
}

#[test]
fn addresses_that_are_not_public_are_refused_as_such_and_by_name() {
    let bad = [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
    ];
    // Its own name for each: the n-th is nN.example.
    let answer = |name: &str, _| match name.strip_prefix('n').and_then(|name| name.strip_suffix(".example")) {
        Some(n) => texts(&[bad[n.parse::<usize>().unwrap()]]),
        None => vec![],
    };
    beside(&[], answer, async |tools: &Tools, _: &AtomicUsize| {
        let gate = LoadGate::new(tools);
        for (n, address) in bad.iter().enumerate() {
            for host in [(*address).to_owned(), format!("n{n}.example")] {
                let refusal = refused_of(&gate, &host, 80).await;
                assert_eq!((refusal.cause, refusal.phase), (Cause::PolicyRefused, Phase::Connect), "{host}: {address}");
                assert!(refusal.detail.starts_with("policy: "), "{}", refusal.detail);
            }
        }
        // This machine's own names need no question, and are judged like others.
        for host in ["localhost", "LOCALHOST", "localhost.", "a.localhost", "a.b.localhost."] {
            assert_eq!(refused_of(&gate, host, 80).await.cause, Cause::PolicyRefused, "{host}");
        }
    });
}

#[test]
fn loopback_is_dialled_where_the_policy_says_so_and_metadata_is_not() {
    let canary = Canary::at("127.0.0.1");
    let six = Canary::at("::1");
    let answer = |name: &str, _| match name {
        "local.example" => texts(&["127.0.0.1"]),
        "six.example" => texts(&["::1"]),
        "metadata.example" => texts(&["169.254.169.254"]),
        _ => vec![],
    };
    beside(&["loopback", "private"], answer, async |tools: &Tools, _: &AtomicUsize| {
        let gate = LoadGate::new(tools);
        for (host, port, address, named) in [
            ("127.0.0.1", canary.port, "127.0.0.1", false),
            ("local.example", canary.port, "127.0.0.1", true),
            ("localhost", canary.port, "127.0.0.1", true),
            ("::1", six.port, "::1", false),
            ("six.example", six.port, "::1", true),
        ] {
            let dialled = gate.open(host, port, TIMEOUT_US).await.unwrap_or_else(|refusal| panic!("{refusal:?}"));
            assert_eq!(dialled.address, SocketAddr::new(address.parse().unwrap(), port), "{host}");
            assert_eq!(dialled.stream.peer_addr().unwrap(), dialled.address, "{host}");
            assert_eq!(dialled.dns_us.is_some(), named, "{host}");
        }
        assert_eq!((canary.came(), six.came()), (3, 2));
        for host in ["169.254.169.254", "metadata.example", "::ffff:169.254.169.254", "fd00:ec2::254"] {
            assert_eq!(refused_of(&gate, host, 80).await.cause, Cause::PolicyRefused, "{host}");
        }
    });
}

#[test]
fn a_mixed_answer_is_dialled_at_what_is_allowed_of_it() {
    let denied = Canary::at("127.0.0.1");
    let allowed = std::net::TcpListener::bind(("127.0.0.2", denied.port)).unwrap();
    let answer = |name: &str, _| match name {
        "mixed.example" => texts(&["127.0.0.1", "10.0.0.1", "127.0.0.2"]),
        "bad.example" => texts(&["127.0.0.1", "10.0.0.1"]),
        _ => vec![],
    };
    beside(&["127.0.0.2"], answer, async |tools: &Tools, _: &AtomicUsize| {
        let gate = LoadGate::new(tools);
        let dialled = gate.open("mixed.example", denied.port, TIMEOUT_US).await.unwrap();
        assert_eq!(dialled.address, allowed.local_addr().unwrap());
        let refusal = refused_of(&gate, "bad.example", denied.port).await;
        assert!(refusal.detail.contains("127.0.0.1 is loopback, 10.0.0.1 is private"), "{}", refusal.detail);
        assert_eq!(denied.came(), 0);
    });
}

#[test]
fn a_name_that_changes_its_mind_is_asked_once_in_a_load_and_judged_in_the_next() {
    let denied = Canary::at("127.0.0.1");
    let allowed = std::net::TcpListener::bind(("127.0.0.2", denied.port)).unwrap();
    // The allowed address for the first question, the denied one ever after.
    let answer = |_: &str, n| texts(&[if n == 0 { "127.0.0.2" } else { "127.0.0.1" }]);
    beside(&["127.0.0.2"], answer, async |tools: &Tools, asked: &AtomicUsize| {
        let gate = LoadGate::new(tools);
        // At once, and again: one question.
        let host = "rebind.example";
        let several = (0..8).map(|_| gate.open(host, denied.port, TIMEOUT_US));
        for dialled in futures_util::future::join_all(several).await {
            assert_eq!(dialled.unwrap().address, allowed.local_addr().unwrap());
        }
        assert_eq!(gate.open(host, denied.port, TIMEOUT_US).await.unwrap().address, allowed.local_addr().unwrap());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        // Another spelling may be another question; the answer is judged.
        assert_eq!(refused_of(&gate, "rebind.example.", denied.port).await.cause, Cause::PolicyRefused);
        let next = LoadGate::new(tools);
        assert_eq!(refused_of(&next, host, denied.port).await.cause, Cause::PolicyRefused);
        assert_eq!(denied.came(), 0);
    });
}

#[test]
fn what_is_no_host_asks_nobody() {
    beside(
        &["loopback"],
        |_, _| texts(&["127.0.0.1"]),
        async |tools: &Tools, asked: &AtomicUsize| {
            let gate = LoadGate::new(tools);
            for host in [
                "",
                ".",
                "..",
                "bücher.example",
                "a b",
                "[::1]",
                "::1%lo",
                "fe80::1%eth0",
                "2130706433",
                "0x7f.1",
                "0177.0.0.1",
                "127.1",
                "127.0.0.1.",
                "a@127.0.0.1",
                "127.0.0.1:80",
                "a/b",
                "%31",
                "1.1.1.1.1",
            ] {
                let refusal = refused_of(&gate, host, 80).await;
                assert_eq!(
                    (refusal.cause, refusal.phase),
                    (Cause::DnsFailed, Phase::Dns),
                    "{host:?}: {}",
                    refusal.detail
                );
            }
            for host in ["127.0.0.1", "shop.example", "::1"] {
                let refusal = refused_of(&gate, host, 0).await;
                assert_eq!(refusal.cause, Cause::PolicyRefused, "{host}");
                assert!(refusal.detail.contains("port 0"), "{}", refusal.detail);
            }
            assert_eq!(asked.load(Ordering::SeqCst), 0);
        },
    );
}

#[test]
fn an_internationalised_name_is_resolved_in_its_ascii_form() {
    let canary = Canary::at("127.0.0.1");
    let answer = |name: &str, _| match name {
        "xn--bcher-kva.example" => texts(&["127.0.0.1"]),
        _ => vec![],
    };
    beside(&["loopback"], answer, async |tools: &Tools, _: &AtomicUsize| {
        let gate = LoadGate::new(tools);
        gate.open("XN--Bcher-kva.example", canary.port, TIMEOUT_US).await.unwrap();
        let refusal = refused_of(&gate, "none.example", canary.port).await;
        assert_eq!((refusal.cause, refusal.phase), (Cause::DnsFailed, Phase::Dns));
        assert_eq!(refusal.detail, "dns: none.example does not exist (NXDOMAIN)");
        assert_eq!(canary.came(), 1);
    });
}

#[test]
fn a_closed_port_and_silence_keep_their_causes_and_addresses() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let tools = tools(&["loopback"], silent.local_addr().unwrap());
        let gate = LoadGate::new(&tools);
        let refusal = refused_of(&gate, "127.0.0.1", closed.port()).await;
        assert_eq!((refusal.cause, refusal.phase), (Cause::ConnectionRefused, Phase::Connect));
        assert_eq!(refusal.address, Some(closed));
        assert_eq!(refusal.detail, format!("connect: {closed} refused the connection"));
        // A name server that never answers: the gate gives up by itself.
        let refusal = gate.open("shop.example", 80, 300_000).await.unwrap_err();
        assert_eq!((refusal.cause, refusal.phase), (Cause::NetworkLost, Phase::Dns), "{}", refusal.detail);
    });
}

#[test]
fn a_page_asks_for_a_bounded_number_of_names() {
    beside(
        &[],
        |_, _| texts(&["10.0.0.1"]),
        async |tools: &Tools, asked: &AtomicUsize| {
            let gate = LoadGate::new(tools);
            for n in 0..NAMES_MAX + 20 {
                assert_eq!(refused_of(&gate, &format!("n{n}.example"), 80).await.cause, Cause::PolicyRefused);
            }
            assert_eq!(asked.load(Ordering::SeqCst), NAMES_MAX);
            let refusal = refused_of(&gate, "one.more.example", 80).await;
            assert!(refusal.detail.contains("is not looked up"), "{}", refusal.detail);
            // Those that are known are known still.
            assert!(refused_of(&gate, "n0.example", 80).await.detail.contains("10.0.0.1 is private"));
        },
    );
}

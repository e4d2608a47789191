use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpSocket};

use super::*;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn contact(host: &str) -> Contact<'_> {
    Contact { host, address: Some("192.0.2.7:443".parse().unwrap()), phases: Phases::default() }
}

fn unreachable() -> Failure {
    Failure::new(Cause::Unreachable, Phase::Connect, "connect: 192.0.2.7:443 is unreachable")
}

/// A port of this machine that takes no connection and refuses none: its queue is full.
struct Silent {
    address: SocketAddr,
    _held: (TcpListener, Vec<TcpStream>),
}

impl Silent {
    async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            held.push(stream);
            assert!(held.len() < 100, "the queue never fills");
        }
        Self { address, _held: (listener, held) }
    }
}

/// A connection to a collector that answers when asked, or does not.
#[derive(Debug)]
struct Collector {
    peer: SocketAddr,
    answers: bool,
    received: AtomicU64,
}

impl Collector {
    fn new(peer: &str, answers: bool) -> Arc<Self> {
        Arc::new(Self { peer: peer.parse().unwrap(), answers, received: AtomicU64::new(7) })
    }
}

impl Witness for Collector {
    fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn ask(&self) {
        self.received.fetch_add(u64::from(self.answers), Ordering::Relaxed);
    }

    fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

#[test]
fn a_failure_stands_when_the_collector_answers_and_no_reference_does() {
    block_on(async {
        // References that fail at once leave the collector its time all the same.
        for (peer, answers, cause) in [
            ("203.0.114.7:9443", true, Cause::Unreachable),
            ("[::ffff:203.0.114.7]:9443", true, Cause::Unreachable),
            ("203.0.114.7:9443", false, Cause::NetworkLost),
            // They are on this side of what was lost.
            ("127.0.0.1:9443", true, Cause::NetworkLost),
            ("10.0.0.7:9443", true, Cause::NetworkLost),
        ] {
            let network = Network::new(vec!["nonsense".to_owned()]);
            network.collector_link(Some(Collector::new(peer, answers)));
            let judged = network.judge(&Resolver::default(), contact("a"), unreachable()).await;
            assert_eq!(judged.cause, cause, "{peer} {answers}");
        }
        let network = Network::new(vec!["nonsense".to_owned()]);
        network.collector_link(Some(Collector::new("203.0.114.7:9443", true)));
        network.collector_link(None);
        let judged = network.judge(&Resolver::default(), contact("a"), unreachable()).await;
        assert_eq!(judged.cause, Cause::NetworkLost, "the link is down");
    });
}

#[test]
fn a_failure_stands_when_any_reference_answers() {
    block_on(async {
        let silent = Silent::new().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let network = Network::new(vec![silent.address.to_string(), open.to_string()]);
        let judged = network.judge(&Resolver::default(), contact("a"), unreachable()).await;
        assert_eq!(judged, unreachable());
    });
}

#[test]
fn a_reference_that_refuses_has_answered() {
    block_on(async {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let network = Network::new(vec![closed.to_string()]);
        assert_eq!(network.judge(&Resolver::default(), contact("a"), unreachable()).await, unreachable());
    });
}

#[test]
fn the_network_is_lost_when_no_reference_answers() {
    block_on(async {
        let silent = Silent::new().await;
        let network = Network::new(vec![silent.address.to_string(), "nonsense".to_owned(), "127.1:80".to_owned()]);
        network.collector_link(Some(Collector::new("203.0.114.7:1", false)));
        let start = clock::monotonic();
        let judged = network.judge(&Resolver::default(), contact("a"), unreachable()).await;
        let detail = format!(
            "network: this agent reaches none of its reference targets ({}, nonsense, 127.1:80); the target was not judged \
             (connect: 192.0.2.7:443 is unreachable)",
            silent.address
        );
        assert_eq!(judged, Failure::new(Cause::NetworkLost, Phase::Connect, detail));
        let took = clock::monotonic().us_since(start);
        assert!((REFERENCE_US_MAX..REFERENCE_US_MAX * 3).contains(&took), "{took} us");
        let again = clock::monotonic();
        let judged = network.judge(&Resolver::default(), contact("b"), unreachable()).await;
        assert_eq!(judged.cause, Cause::NetworkLost);
        assert!(clock::monotonic().us_since(again) < REFERENCE_US_MAX / 2, "what is known is not asked again");
    });
}

#[test]
fn all_who_ask_at_once_share_one_round() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let network = Arc::new(Network::new(vec![listener.local_addr().unwrap().to_string()]));
        let accepted = AtomicUsize::new(0);
        let serving = async {
            loop {
                listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        };
        let resolver = Resolver::default();
        let asking = async {
            let mut runs = Vec::new();
            for _ in 0..20 {
                runs.push(Box::pin(network.judge(&resolver, contact("a"), unreachable())));
            }
            std::future::poll_fn(|context| {
                runs.retain_mut(|run| match run.as_mut().poll(context) {
                    std::task::Poll::Ready(judged) => {
                        assert_eq!(judged, unreachable());
                        false
                    }
                    std::task::Poll::Pending => true,
                });
                if runs.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
        };
        tokio::select! {
            () = serving => {}
            () = asking => {}
        }
        assert!(accepted.load(Ordering::Relaxed) <= 1);
    });
}

#[test]
fn a_round_that_was_dropped_is_taken_over() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let network = Network::new(vec![listener.local_addr().unwrap().to_string()]);
        let resolver = Resolver::default();
        {
            let mut first = Box::pin(network.judge(&resolver, contact("a"), unreachable()));
            std::future::poll_fn(|context| {
                assert!(first.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            assert!(matches!(*lock(&network.round), Round::Asking(_)));
        }
        let judged = tokio::time::timeout(
            Duration::from_micros(REFERENCE_US_MAX * 2),
            network.judge(&resolver, contact("b"), unreachable()),
        );
        assert_eq!(judged.await.unwrap(), unreachable());
    });
}

#[test]
fn without_references_the_runs_themselves_are_the_evidence() {
    block_on(async {
        let network = Network::default();
        let resolver = Resolver::default();
        let judge = async |host: &str| network.judge(&resolver, contact(host), unreachable()).await;
        network.collector_link(Some(Collector::new("127.0.0.1:1", true)));
        for host in ["a", "b", "c", "d"] {
            assert_eq!(judge(host).await, unreachable());
        }
        network.collector_link(None);
        let judged = judge("e").await;
        assert_eq!(judged.cause, Cause::NetworkLost);
        assert!(
            judged.detail.starts_with("network: this agent reaches neither its collector nor any host (c, d, e"),
            "{judged:?}"
        );
        network.succeeded(Contact { address: Some("127.0.0.1:80".parse().unwrap()), ..contact("local") });
        assert_eq!(judge("f").await.cause, Cause::NetworkLost, "this machine proves nothing");
        let refused = Failure::new(Cause::ConnectionRefused, Phase::Connect, "connect: refused");
        assert_eq!(network.judge(&resolver, contact("g"), refused.clone()).await, refused);
        assert_eq!(judge("h").await, unreachable(), "somebody out there refused");
        let local = Contact { address: Some("127.0.0.1:80".parse().unwrap()), ..contact("local") };
        assert_eq!(network.judge(&resolver, local, unreachable()).await, unreachable());
    });
}

#[test]
fn silence_before_any_answer_looks_like_a_lost_network_and_after_one_it_may() {
    let connected = Phases { connect: Some(1), ..Phases::default() };
    let of = |cause, phase, phases: &Phases| evidence(&Failure::new(cause, phase, ""), phases);
    for phase in [Phase::Dns, Phase::Connect, Phase::Tls] {
        assert_eq!(of(Cause::Timeout, phase, &connected), Evidence::Silence);
    }
    for phase in [Phase::Send, Phase::FirstByte, Phase::Transfer, Phase::Total] {
        assert_eq!(of(Cause::Timeout, phase, &connected), Evidence::FellSilent, "a slow server, or a cut cable");
        assert_eq!(of(Cause::ConnectionReset, phase, &connected), Evidence::FellSilent);
    }
    assert_eq!(of(Cause::Timeout, Phase::FirstByte, &Phases::default()), Evidence::Silence, "UDP");
    assert_eq!(of(Cause::CertificateInvalid, Phase::Tls, &connected), Evidence::Answered);
    assert_eq!(of(Cause::PolicyRefused, Phase::Connect, &Phases::default()), Evidence::Nothing);
}

#[test]
fn a_run_of_an_agent_without_a_network_is_unknown() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let silent = runtime.block_on(Silent::new());
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut tools = crate::testing::tools(crate::testing::some_roots());
    // Nobody listens there any more.
    tools.resolver = Resolver::with_server(closed);
    tools.network = Network::new(vec![silent.address.to_string()]);
    let target = sitepulse_model::check::HttpTarget::get("http://shop.example/");
    let check = crate::testing::check(sitepulse_model::check::CheckKind::Http(Box::new(target)), 1_000_000, &[]);
    let result = crate::testing::run(&check, &tools);
    assert_eq!(result.state, sitepulse_model::record::ProbeState::Unknown);
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::NetworkLost), Some(Phase::Dns)));
    assert!(result.detail.contains("none of its reference targets"), "{}", result.detail);
    assert!(result.detail.contains("name servers do not answer for shop.example"), "{}", result.detail);
}

#[test]
fn an_answer_from_before_a_run_says_nothing_of_it() {
    block_on(async {
        let silent = Silent::new().await;
        let network = Network::new(vec![silent.address.to_string()]);
        let answered = clock::monotonic();
        *lock(&network.round) = Round::Known { at: answered, answered: true };
        // It was silent for so long that the answer came meanwhile.
        let mut long = contact("a");
        long.phases.connect = Some(60_000_000);
        assert_eq!(network.judge(&Resolver::default(), long, unreachable()).await, unreachable());
        // The cable may have been cut since: asked anew, within the time that the answer would hold.
        while clock::monotonic() == answered {}
        let judged = network.judge(&Resolver::default(), contact("a"), unreachable()).await;
        assert_eq!(judged.cause, Cause::NetworkLost, "{}", judged.detail);
    });
}

/// The defect: a page that crashed or hung, found out half a minute after it had come, was an answer of that moment, for all checks of the agent.
#[test]
fn what_a_page_did_long_after_it_came_does_not_say_that_the_network_is_there_now() {
    let came = Phases { connect: Some(1), first_byte: Some(1), total: Some(30_000_000), ..Phases::default() };
    let of = |cause, phase| evidence(&Failure::new(cause, phase, ""), &came);
    for cause in [Cause::Unresponsive, Cause::RendererCrashed, Cause::NavigatedAway, Cause::InteractionFailed] {
        assert_eq!(of(cause, Phase::Total), Evidence::Nothing, "{cause}");
    }
    assert_eq!(of(Cause::NotAPage, Phase::Total), Evidence::FellSilent, "blank, for what makes it did not come");
    assert_eq!(of(Cause::NotAPage, Phase::FirstByte), Evidence::Answered, "a download");
    assert_eq!(of(Cause::HttpStatus, Phase::FirstByte), Evidence::Answered);
    block_on(async {
        let network = Network::default();
        let resolver = Resolver::default();
        network.collector_link(None);
        for host in ["a", "b"] {
            assert_eq!(network.judge(&resolver, contact(host), unreachable()).await, unreachable());
        }
        for (cause, phase) in [(Cause::Unresponsive, Phase::Total), (Cause::NotAPage, Phase::Total)] {
            let late = Failure::new(cause, phase, "page: late");
            let page = Contact { phases: came, ..contact("page") };
            assert_eq!(network.judge(&resolver, page, late.clone()).await, late);
        }
        let judged = network.judge(&resolver, contact("c"), unreachable()).await;
        assert_eq!(judged.cause, Cause::NetworkLost, "three hosts are silent, and nobody answered since");
    });
}

fn fell_silent(host: &str) -> (Contact<'_>, [Failure; 4]) {
    let phases =
        Phases { connect: Some(1), first_byte: Some(60_000_000), total: Some(60_000_001), ..Phases::default() };
    let timeout = |phase: Phase| Failure::new(Cause::Timeout, phase, "http: no answer within 900 ms");
    let reset = Failure::new(Cause::ConnectionReset, Phase::FirstByte, "http: a reset the connection");
    let failures = [timeout(Phase::Send), timeout(Phase::FirstByte), timeout(Phase::Transfer), reset];
    (Contact { phases, ..contact(host) }, failures)
}

#[test]
fn a_cut_after_the_connection_is_the_networks_where_no_reference_answers() {
    block_on(async {
        let silent = Silent::new().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lost = Network::new(vec![silent.address.to_string()]);
        let there = Network::new(vec![listener.local_addr().unwrap().to_string()]);
        let resolver = Resolver::default();
        let (contact, failures) = fell_silent("a");
        for failure in failures {
            let judged = lost.judge(&resolver, contact, failure.clone()).await;
            assert_eq!((judged.cause, judged.phase), (Cause::NetworkLost, failure.phase), "{}", judged.detail);
            assert!(judged.detail.contains("the target was not judged (http: "), "{}", judged.detail);
            assert_eq!(there.judge(&resolver, contact, failure.clone()).await, failure, "a slow server");
            // Without references nothing is told by it, and it proves nothing either.
            let alone = Network::default();
            alone.collector_link(None);
            for host in ["b", "c", "d"] {
                assert_eq!(alone.judge(&resolver, Contact { host, ..contact }, failure.clone()).await, failure);
            }
        }
    });
}

#[test]
fn a_connection_that_fell_silent_takes_an_answer_from_after_the_failure() {
    block_on(async {
        let silent = Silent::new().await;
        let network = Network::new(vec![silent.address.to_string()]);
        // The answer came while the run was under way, before the cable was cut.
        let answered = clock::monotonic();
        *lock(&network.round) = Round::Known { at: answered, answered: true };
        while clock::monotonic() == answered {}
        let (contact, [_, failure, ..]) = fell_silent("a");
        let judged = network.judge(&Resolver::default(), contact, failure).await;
        assert_eq!(judged.cause, Cause::NetworkLost, "{}", judged.detail);
    });
}

#[test]
fn however_many_connections_fall_silent_the_references_are_not_pestered() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let network = Network::new(vec![listener.local_addr().unwrap().to_string()]);
        let resolver = Resolver::default();
        let (contact, [failure, ..]) = fell_silent("a");
        let start = clock::monotonic();
        for _ in 0..4 {
            assert_eq!(network.judge(&resolver, contact, failure.clone()).await, failure);
        }
        assert!(
            clock::monotonic().us_since(start) >= 3 * APART_US,
            "each of them was asked about anew, with time between"
        );
    });
}

//! Agent and collector over loopback: who gets in, who does not, and what they are told.

#![allow(clippy::unwrap_used, reason = "helpers of tests; a panic is their error")]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_daemon::exit::Exit;
use sitepulse_daemon::identity::{AgentKey, CertificateAuthority, certificate_times, common_name, pin_text};
use sitepulse_daemon::task::TaskSet;
use sitepulse_daemon::transport::admission::{ANONYMOUS_NETWORK_MAX, HANDSHAKES_MAX, RETRY_ABOVE};
use sitepulse_daemon::transport::{
    Accepted, Client, ClientIdentity, ConnectError, Connection, ConnectionLost, FrameStream, ListenError, Server,
    StreamError, StreamPriority,
};
use sitepulse_model::id::AgentName;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::frame::FrameError;
use sitepulse_wire::message::{Ack, Lane, ToAgent, ToCollector};
use tokio::sync::mpsc;

const DAY_US: i64 = 86_400_000_000;
/// Far above what any step takes: a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it did not happen in time")
}

fn name() -> AgentName {
    AgentName::parse("eu-west-1").unwrap()
}

/// A collector's CA and its listening server on loopback.
struct Site {
    ca: CertificateAuthority,
    server: Server,
    address: SocketAddr,
}

impl Site {
    fn new() -> Self {
        let now = clock::now();
        let ca = CertificateAuthority::create(now).unwrap();
        let identity = ca.issue_server(now).unwrap();
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), &identity, ca.certificate_der()).unwrap();
        let address = server.local_address().unwrap();
        Self { ca, server, address }
    }

    /// An agent enrolled at `at`.
    fn agent(&self, at: UtcMicros) -> Client {
        enrolled(&self.ca, &self.ca, at)
    }

    fn pinned(&self) -> Client {
        Client::new(ClientIdentity::Pinned { ca_pin: self.ca.pin() })
    }
}

/// An agent whose certificate is of `issuer` and that trusts `trusted`.
fn enrolled(issuer: &CertificateAuthority, trusted: &CertificateAuthority, at: UtcMicros) -> Client {
    let key = AgentKey::generate().unwrap();
    let issued = issuer.issue_agent(&name(), &key.csr_der(&name()).unwrap(), at).unwrap();
    Client::new(ClientIdentity::Enrolled {
        ca_der: trusted.certificate_der().to_vec(),
        certificate_der: issued.certificate_der,
        key_pkcs8_der: key.pkcs8_der().to_vec(),
    })
}

/// Both ends of a new connection.
async fn meet(client: &Client, site: &mut Site) -> (Connection, Accepted) {
    let address = site.address.to_string();
    let (connection, accepted) = soon(async { tokio::join!(client.connect(&address), site.server.accept()) }).await;
    (connection.unwrap(), accepted.unwrap())
}

/// The error that a client gets while the server goes on accepting.
async fn refused(site: &mut Site, client: &Client) -> ConnectError {
    let address = site.address.to_string();
    soon(async {
        tokio::select! {
            result = client.connect(&address) => result.unwrap_err(),
            accepted = site.server.accept() => panic!("accepted {accepted:?}"),
        }
    })
    .await
}

type AgentStream = FrameStream<ToAgent, ToCollector>;
type CollectorStream = FrameStream<ToCollector, ToAgent>;

#[tokio::test]
async fn an_enrolled_agent_and_its_collector_talk() {
    let mut site = Site::new();
    let (agent, accepted) = meet(&site.agent(clock::now()), &mut site).await;
    let certificate = accepted.certificate_der.unwrap();
    assert_eq!(common_name(&certificate).unwrap(), "eu-west-1");
    assert_eq!(agent.peer(), site.address);
    assert!(accepted.peer.ip().is_loopback());

    let mut lane: AgentStream = soon(agent.open_stream(StreamPriority::Fresh)).await.unwrap();
    soon(lane.send(&ToCollector::LaneOpen(Lane::Fresh))).await.unwrap();
    let mut other: CollectorStream = soon(accepted.connection.accept_stream()).await.unwrap();
    assert_eq!(soon(other.recv()).await.unwrap(), Some(ToCollector::LaneOpen(Lane::Fresh)));
    let ack = ToAgent::Ack(Ack { number: 1, backlog_per_s: 9 });
    soon(other.send(&ack)).await.unwrap();
    let (mut sender, mut receiver) = lane.split();
    assert_eq!(soon(receiver.recv()).await.unwrap(), Some(ack));
    soon(sender.finish()).await.unwrap();
    assert_eq!(soon(other.recv()).await.unwrap(), None);
    soon(sender.drained()).await.unwrap();

    accepted.connection.close(7, "revoked");
    assert_eq!(soon(agent.closed()).await, ConnectionLost::Closed { code: 7, reason: "revoked".into() });
    assert_eq!(
        soon(receiver.recv()).await,
        Err(StreamError::Lost(ConnectionLost::Closed { code: 7, reason: "revoked".into() }))
    );
}

#[tokio::test]
async fn a_token_holder_gets_in_without_a_certificate() {
    let mut site = Site::new();
    let (_agent, accepted) = meet(&site.pinned(), &mut site).await;
    assert_eq!(accepted.certificate_der, None);
}

#[tokio::test]
async fn a_wrong_pin_is_refused_by_the_agent_and_both_pins_are_named() {
    let mut site = Site::new();
    let other = CertificateAuthority::create(clock::now()).unwrap();
    for client in
        [Client::new(ClientIdentity::Pinned { ca_pin: other.pin() }), enrolled(&site.ca, &other, clock::now())]
    {
        let error = refused(&mut site, &client).await;
        let text = error.to_string();
        assert!(matches!(error, ConnectError::WrongCa { .. }), "{text}");
        assert!(text.contains(&pin_text(&other.pin())) && text.contains(&pin_text(&site.ca.pin())), "{text}");
        assert_eq!(Exit::of(&error), Exit::Refused);
    }
}

#[tokio::test]
async fn an_expired_certificate_passes_and_is_told_by_its_times() {
    let mut site = Site::new();
    let now = clock::now();
    let (_agent, accepted) = meet(&site.agent(now.plus_us(-30 * DAY_US)), &mut site).await;
    let (_, expires) = certificate_times(&accepted.certificate_der.unwrap()).unwrap();
    assert!(expires < now);
}

#[tokio::test]
async fn clocks_that_were_set_back_do_not_lock_anybody_out() {
    let mut site = Site::new();
    // The collector's clock is behind: the agent's certificate is not valid yet.
    let (_agent, accepted) = meet(&site.agent(clock::now().plus_us(30 * DAY_US)), &mut site).await;
    assert!(accepted.certificate_der.is_some());
    // The agent's clock is behind: the server's certificate is not valid yet.
    let ca = CertificateAuthority::create(clock::now()).unwrap();
    let identity = ca.issue_server(clock::now().plus_us(30 * DAY_US)).unwrap();
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), &identity, ca.certificate_der()).unwrap();
    let address = server.local_address().unwrap();
    let mut site = Site { ca, server, address };
    let client = site.agent(clock::now());
    meet(&client, &mut site).await;
}

#[tokio::test]
async fn an_expired_server_certificate_is_refused() {
    let ca = CertificateAuthority::create(clock::now()).unwrap();
    let identity = ca.issue_server(clock::now().plus_us(-4000 * DAY_US)).unwrap();
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), &identity, ca.certificate_der()).unwrap();
    let address = server.local_address().unwrap();
    let mut site = Site { ca, server, address };
    let client = site.pinned();
    let error = refused(&mut site, &client).await;
    assert!(matches!(error, ConnectError::Certificate { .. }), "{error}");
    assert!(error.to_string().contains("check this machine's clock"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_by_the_collector() {
    let mut site = Site::new();
    let foreign = CertificateAuthority::create(clock::now()).unwrap();
    let client = enrolled(&foreign, &site.ca, clock::now());
    let address = site.address.to_string();
    // In TLS 1.3 the client is done first: it learns of the refusal from the connection.
    let lost = soon(async {
        let told = async {
            match client.connect(&address).await {
                Ok(connection) => connection.closed().await.to_string(),
                Err(error) => error.to_string(),
            }
        };
        tokio::select! {
            lost = told => lost,
            accepted = site.server.accept() => panic!("accepted {accepted:?}"),
        }
    })
    .await;
    assert!(lost.contains("refused"), "{lost}");
}

#[tokio::test]
async fn an_oversized_frame_is_refused_by_its_header() {
    let mut site = Site::new();
    let client = site.agent(clock::now());
    let (agent, accepted) = meet(&client, &mut site).await;
    // The collector sends a frame that the agent's direction does not know; the agent's decoder must refuse it by name.
    let mut wrong: FrameStream<ToCollector, ToAgent> = soon(agent.open_stream(StreamPriority::Control)).await.unwrap();
    soon(wrong.send(&ToAgent::Ack(Ack { number: 1, backlog_per_s: 1 }))).await.unwrap();
    let mut stream: CollectorStream = soon(accepted.connection.accept_stream()).await.unwrap();
    let error = soon(stream.recv()).await.unwrap_err();
    assert!(error.to_string().contains("unknown message kind 132 for a collector"), "{error}");

    let mut raw: FrameStream<Raw, Raw> = soon(agent.open_stream(StreamPriority::Control)).await.unwrap();
    let mut header = b"SP\x01\x00\x03\x00\x00\x00".to_vec();
    header.extend_from_slice(&u32::MAX.to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    soon(raw.send(&Raw(header))).await.unwrap();
    let mut stream: CollectorStream = soon(accepted.connection.accept_stream()).await.unwrap();
    assert_eq!(soon(stream.recv()).await, Err(StreamError::Frame(FrameError::TooLong { bytes: u32::MAX.into() })));
}

/// Bytes that are no message, to see what the other side says.
struct Raw(Vec<u8>);

impl sitepulse_wire::frame::Message for Raw {
    fn kind(&self) -> u16 {
        0
    }

    fn encode(&self) -> Result<Vec<u8>, sitepulse_wire::frame::EncodeError> {
        Ok(self.0.clone())
    }

    fn decode(_kind: u16, body: &[u8]) -> Result<Self, sitepulse_wire::frame::DecodeError> {
        Ok(Self(body.to_vec()))
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_remedy() {
    let site = Site::new();
    let identity = site.ca.issue_server(clock::now()).unwrap();
    let error = Server::bind(site.address, &identity, site.ca.certificate_der()).unwrap_err();
    assert!(matches!(error, ListenError::InUse { .. }));
    assert!(error.to_string().contains(&site.address.to_string()) && error.to_string().contains("--listen"), "{error}");
    assert_eq!(Exit::of(&error), Exit::Listen);
    let error = Server::bind("192.0.2.1:0".parse().unwrap(), &identity, site.ca.certificate_der()).unwrap_err();
    assert!(matches!(error, ListenError::NotOurs { .. }), "{error}");
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_named_with_the_remedy() {
    let site = Site::new();
    // A socket that never answers.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = site.pinned().with_timeout(Duration::from_millis(200));
    let address = silent.local_addr().unwrap().to_string();
    let error = soon(client.connect(&address)).await.unwrap_err();
    assert!(error.to_string().contains(&address) && error.to_string().contains("is it running"), "{error}");
    assert_eq!(Exit::of(&error), Exit::Unreachable);
    for bad in ["collector", ":8443", "host:port", "host:99999"] {
        assert!(matches!(soon(client.connect(bad)).await, Err(ConnectError::BadAddress { .. })), "{bad}");
    }
    let error = soon(client.connect("nowhere.invalid:8443")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Resolve { .. }), "{error}");
}

#[tokio::test]
async fn connections_without_a_certificate_are_few() {
    let mut site = Site::new();
    let mut held = Vec::new();
    for _ in 0..ANONYMOUS_NETWORK_MAX {
        held.push(meet(&site.pinned(), &mut site).await);
    }
    let client = site.pinned();
    let address = site.address.to_string();
    let told = soon(async {
        tokio::select! {
            lost = async { client.connect(&address).await.unwrap().closed().await } => lost,
            accepted = site.server.accept() => panic!("accepted {accepted:?}"),
        }
    })
    .await;
    assert!(told.to_string().contains("no place"), "{told}");
    // Enrolled ones have places of their own, and places come back.
    let enrolled = site.agent(clock::now());
    held.push(meet(&enrolled, &mut site).await);
    assert_eq!(site.server.places().connections(), ANONYMOUS_NETWORK_MAX + 1);
    drop(held);
    assert_eq!(site.server.places().connections(), 0);
    meet(&client, &mut site).await;
}

/// First packets recorded from real clients are sent from many sockets that never go on, and junk between them: the server's
/// handshakes stay bounded, and an enrolled agent still gets in.
#[tokio::test]
async fn a_flood_of_half_handshakes_does_not_keep_an_agent_out() {
    let Site { ca, mut server, address: target } = Site::new();
    let places = server.places().clone();
    let tasks = TaskSet::new();
    let (accepted_to, mut accepted) = mpsc::channel(16);
    tasks.spawn("server", async move {
        while let Some(one) = server.accept().await {
            if accepted_to.send(one).await.is_err() {
                break;
            }
        }
    });

    let attacker = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut most = 0;
    for n in 0..300_u32 {
        let first = first_packet(&ca).await;
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(&first, target).unwrap();
        let mut junk = first;
        junk.iter_mut().skip(20).for_each(|byte| *byte ^= n as u8 | 1);
        attacker.send_to(&junk, target).unwrap();
        most = most.max(places.handshakes());
    }
    // The server has looked at enough of them to be at its limit for unproven addresses.
    soon(async {
        while places.handshakes() < RETRY_ABOVE {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let agent = enrolled(&ca, &ca, clock::now()).with_timeout(PATIENCE);
    let address = target.to_string();
    let (connection, one) = soon(async { tokio::join!(agent.connect(&address), accepted.recv()) }).await;
    assert!(one.unwrap().certificate_der.is_some());
    most = most.max(places.handshakes());
    assert!(most <= HANDSHAKES_MAX, "{most} handshakes under way");
    assert!(places.handshakes() >= RETRY_ABOVE, "the flood was over before the agent came");
    drop(connection.unwrap());
    drop(accepted);
    drop(tasks.join_all(Duration::ZERO).await);
}

/// The first packet of a client that is then gone.
async fn first_packet(ca: &CertificateAuthority) -> Vec<u8> {
    let listener = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(ClientIdentity::Pinned { ca_pin: ca.pin() });
    let address = listener.local_addr().unwrap().to_string();
    let mut packet = vec![0; 2000];
    let length = soon(async {
        tokio::select! {
            length = listener.recv(&mut packet) => length.unwrap(),
            error = client.connect(&address) => panic!("{error:?}"),
        }
    })
    .await;
    packet.truncate(length);
    packet
}

#[tokio::test]
async fn a_peer_that_is_there_shows_by_its_mere_acknowledgement() {
    let mut site = Site::new();
    let (agent, accepted) = meet(&site.agent(clock::now()), &mut site).await;
    let mut stream: AgentStream = soon(agent.open_stream(StreamPriority::Control)).await.unwrap();
    // Twice: what the handshake left behind may count for the first.
    for _ in 0..2 {
        let before = agent.received_datagrams();
        soon(stream.send(&ToCollector::LaneOpen(Lane::Fresh))).await.unwrap();
        soon(async {
            while agent.received_datagrams() == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
    drop(accepted);
}

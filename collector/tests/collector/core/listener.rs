//! The real listener on loopback: joining, shipping, revocation and shutdown over QUIC.

use std::time::Duration;

use sitepulse_collector::app::{Access, App, AppError};
use sitepulse_collector::listener::Listener;
use sitepulse_collector::run_now::{Outcome, run_now};
use sitepulse_daemon::clock;
use sitepulse_daemon::identity::AgentKey;
use sitepulse_daemon::task::TaskSet;
use sitepulse_daemon::transport::admission::ANONYMOUS_NETWORK_MAX;
use sitepulse_daemon::transport::{Client, ClientIdentity, Connection, FrameStream, StreamPriority};
use sitepulse_model::id::{AgentName, Bucket, CheckId, CheckNo, Incarnation, Region, Seq};
use sitepulse_model::record::{ProbeResult, ProbeState, Record};
use sitepulse_model::schedule::Lattice;
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::{Entry, Hello, Joined, Lane, RefusalCode, ToAgent, ToCollector};
use tokio::sync::oneshot;

use super::world::{INTERVAL_US, batch, definition, options, request, result, with_secret};

type Stream = FrameStream<ToAgent, ToCollector>;

struct World {
    app: App,
    address: std::net::SocketAddr,
    tasks: TaskSet,
    stop: Option<oneshot::Sender<()>>,
    _dir: tempfile::TempDir,
}

async fn start() -> World {
    let dir = tempfile::tempdir().unwrap();
    let app = App::open(dir.path(), clock::now()).unwrap();
    let listener = Listener::bind(&app, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr();
    app.set_addresses(vec![address.to_string()]).await.unwrap();
    app.apply(vec![definition("shop")], options(), clock::now()).await.unwrap();
    let tasks = TaskSet::new();
    let (stop, stopped) = oneshot::channel::<()>();
    tasks.spawn("listener", listener.run(tasks.clone(), async move { drop(stopped.await) }));
    World { app, address, tasks, stop: Some(stop), _dir: dir }
}

impl World {
    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.tasks.join_all(Duration::from_secs(20)).await.unwrap();
        self.app.close().await;
    }

    async fn join(&self) -> (AgentKey, Joined) {
        let token = self
            .app
            .create_join_token(Region::parse("eu-west").unwrap(), 60_000_000, clock::now())
            .await
            .unwrap()
            .token;
        let key = AgentKey::generate().unwrap();
        let csr = key.csr_der(&AgentName::parse("wish").unwrap()).unwrap();
        let client = Client::new(ClientIdentity::Pinned { ca_pin: token.ca_pin });
        let connection = client.connect(&self.address.to_string()).await.unwrap();
        let mut control: Stream = connection.open_stream(StreamPriority::Control).await.unwrap();
        control.send(&ToCollector::Join(request(token.secret, None, &csr))).await.unwrap();
        match control.recv().await.unwrap() {
            Some(ToAgent::Joined(joined)) => (key, joined),
            other => panic!("{other:?}"),
        }
    }

    async fn connect(&self, key: &AgentKey, joined: &Joined) -> (Connection, Stream) {
        let identity = ClientIdentity::Enrolled {
            ca_der: joined.ca_der.clone(),
            certificate_der: joined.certificate_der.clone(),
            key_pkcs8_der: key.pkcs8_der().to_vec(),
        };
        let connection = Client::new(identity).connect(&self.address.to_string()).await.unwrap();
        let mut control: Stream = connection.open_stream(StreamPriority::Control).await.unwrap();
        let hello = Hello {
            protocol_min: 1,
            protocol_max: 1,
            build: "0.0.0".into(),
            incarnation: Incarnation(1),
            sent_at: clock::now(),
            assignment_revision: 0,
            spool_records: 0,
        };
        control.send(&ToCollector::Hello(hello)).await.unwrap();
        assert!(
            matches!(control.recv().await.unwrap(), Some(ToAgent::Welcome(welcome)) if welcome.agent == joined.agent)
        );
        assert!(matches!(control.recv().await.unwrap(), Some(ToAgent::Secrets(part)) if part.secrets.is_empty()));
        assert!(matches!(control.recv().await.unwrap(), Some(ToAgent::Assignment(part)) if part.checks.len() == 1));
        (connection, control)
    }
}

/// `count` results of the last hours, numbered from `from`.
fn entries(from: u64, count: u64, now: UtcMicros) -> Vec<Entry> {
    let bucket: Bucket = CheckId::parse("shop").unwrap().bucket();
    let lattice = Lattice::new(&CheckId::parse("shop").unwrap(), &AgentName::parse("eu-west-1").unwrap(), INTERVAL_US);
    let record = |n: u64| {
        let mut record = result(CheckNo(1), 0, ProbeState::Up);
        if let Record::Result(result) = &mut record {
            let back = INTERVAL_US.cast_signed() * (2000 - n.cast_signed());
            result.scheduled = lattice.at_or_before(now).plus_us(-back);
            result.started = result.scheduled;
        }
        record
    };
    (from..from + count).map(|n| Entry { bucket, seq: Seq(n), provenance: 0, record: record(n) }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_joins_ships_and_is_revoked() {
    let world = start().await;
    let (key, joined) = world.join().await;
    let (connection, mut control) = world.connect(&key, &joined).await;
    let mut lane: Stream = connection.open_stream(StreamPriority::Fresh).await.unwrap();
    lane.send(&ToCollector::LaneOpen(Lane::Fresh)).await.unwrap();
    let now = clock::now();
    // More than may wait at once: the lane's credits come back.
    for number in 1..=20 {
        lane.send(&ToCollector::Batch(batch(number, entries((number - 1) * 50, 50, now)))).await.unwrap();
    }
    let mut newest = 0;
    while newest < 20 {
        match lane.recv().await.unwrap() {
            Some(ToAgent::Ack(ack)) => newest = ack.number,
            other => panic!("{other:?}"),
        }
    }
    {
        let book = world.app.book();
        assert_eq!(book.pair(CheckNo(1), joined.agent).unwrap().ledger.stored, 1000);
        let agent = book.agent(joined.agent).unwrap();
        assert!(agent.presence.is_connected() && agent.presence.read().connections == 1);
    }
    assert_eq!(world.app.metrics().stored, 1000);

    world.app.revoke_agent(&joined.name, clock::now()).await.unwrap();
    match control.recv().await.unwrap() {
        Some(ToAgent::Refusal(refusal)) => assert_eq!(refusal.code, RefusalCode::Revoked),
        other => panic!("{other:?}"),
    }
    connection.closed().await;
    let mut ticks = world.app.subscribe();
    while world.app.book().agent(joined.agent).unwrap().presence.is_connected() {
        ticks.changed().await.unwrap();
    }
    world.stop().await;
}

/// The ask that the collector sends, however late.
async fn asked(control: &mut Stream) -> (u64, CheckNo) {
    match control.recv().await.unwrap() {
        Some(ToAgent::RunNow { ask, check }) => (ask, check),
        other => panic!("{other:?}"),
    }
}

fn found() -> Box<ProbeResult> {
    let Record::Result(result) = result(CheckNo(1), 0, ProbeState::Down) else { panic!("a result") };
    Box::new(result)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_now_brings_back_what_each_agent_says_and_leaves_no_trace() {
    let world = start().await;
    let (key, joined) = world.join().await;
    let (_, away) = world.join().await;
    let (connection, mut control) = world.connect(&key, &joined).await;
    let before = clock::monotonic();
    let agent = async {
        let (ask, check) = asked(&mut control).await;
        assert_eq!(check, CheckNo(1));
        // A second ask of the same check waits for the first; answers to asks that nobody made are nothing.
        assert!(matches!(run_now(&world.app, CheckNo(1), None).await, Err(AppError::Conflict(_))));
        control.send(&ToCollector::Ran { ask: ask + 40, outcome: Err("nobody asked".into()) }).await.unwrap();
        control.send(&ToCollector::Ran { ask, outcome: Ok(found()) }).await.unwrap();
        control.send(&ToCollector::Ran { ask, outcome: Err("twice".into()) }).await.unwrap();
        ask
    };
    let (runs, first) = tokio::join!(run_now(&world.app, CheckNo(1), None), agent);
    assert!(clock::monotonic().since(before) < Duration::from_secs(2));
    let outcomes: Vec<_> = runs.unwrap().iter().map(|run| (run.agent.clone(), run.outcome.clone())).collect();
    assert_eq!(outcomes, [(joined.name.clone(), Outcome::Ran(found())), (away.name.clone(), Outcome::NotConnected)]);
    assert!(world.app.book().pair(CheckNo(1), joined.agent).is_none(), "nothing is stored or counted");
    assert_eq!(world.app.metrics().stored, 0);

    // The named agent alone, which refuses.
    let agent = async {
        let (ask, _) = asked(&mut control).await;
        control.send(&ToCollector::Ran { ask, outcome: Err("suspended".into()) }).await.unwrap();
        ask
    };
    let (runs, second) = tokio::join!(run_now(&world.app, CheckNo(1), Some(joined.agent)), agent);
    let runs = runs.unwrap();
    assert_eq!((runs.len(), &runs[0].outcome), (1, &Outcome::Refused("suspended".into())));
    assert!(second > first);

    // An agent that goes away while it is asked.
    let agent = async {
        asked(&mut control).await;
        connection.close(0, "gone");
    };
    let (runs, ()) = tokio::join!(run_now(&world.app, CheckNo(1), Some(joined.agent)), agent);
    assert_eq!(runs.unwrap()[0].outcome, Outcome::TimedOut);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_reaches_the_agent_when_it_is_set_and_again_when_it_changes() {
    let world = start().await;
    let (key, joined) = world.join().await;
    let (_connection, mut control) = world.connect(&key, &joined).await;
    world.app.apply_as(Access::Admin, vec![with_secret("shop", "ops")], options(), clock::now()).await.unwrap();
    assert!(matches!(control.recv().await.unwrap(), Some(ToAgent::Assignment(_))));
    for value in ["one", "two"] {
        world.app.set_secret("ops", value.into(), clock::now()).await.unwrap();
        match control.recv().await.unwrap() {
            Some(ToAgent::Secrets(part)) => assert_eq!(part.secrets, [("ops".to_owned(), value.to_owned())]),
            other => panic!("{other:?}"),
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_of_one_network_join_one_after_the_other() {
    let world = start().await;
    let begun = clock::monotonic();
    for number in 1..=20 {
        let (_, joined) = world.join().await;
        assert_eq!(joined.name.as_str(), format!("eu-west-{number}"));
    }
    assert!(clock::monotonic().since(begun) < Duration::from_secs(10));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_newest_connections_win() {
    let world = start().await;
    let (key, joined) = world.join().await;
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(world.connect(&key, &joined).await);
    }
    for (connection, _) in &held[..2] {
        tokio::time::timeout(Duration::from_secs(10), connection.closed()).await.unwrap();
    }
    for (connection, _) in &held[2..] {
        assert!(tokio::time::timeout(Duration::from_millis(20), connection.closed()).await.is_err());
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_agents_connections_take_no_agents_places() {
    let world = start().await;
    let (key, joined) = world.join().await;
    world.app.revoke_agent(&joined.name, clock::now()).await.unwrap();
    let identity = || ClientIdentity::Enrolled {
        ca_der: joined.ca_der.clone(),
        certificate_der: joined.certificate_der.clone(),
        key_pkcs8_der: key.pkcs8_der().to_vec(),
    };
    let mut held = Vec::new();
    for _ in 0..ANONYMOUS_NETWORK_MAX + 4 {
        held.push(Client::new(identity()).connect(&world.address.to_string()).await);
    }
    let mut closed = 0;
    for connection in held.iter().flatten() {
        closed += usize::from(tokio::time::timeout(Duration::from_millis(500), connection.closed()).await.is_ok());
    }
    assert!(closed + held.iter().filter(|one| one.is_err()).count() >= 4, "{closed} closed");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_says_goodbye() {
    let world = start().await;
    let (key, joined) = world.join().await;
    let (connection, mut control) = world.connect(&key, &joined).await;
    let address = world.address;
    world.stop().await;
    match control.recv().await.unwrap() {
        Some(ToAgent::Refusal(refusal)) => assert_eq!(refusal.code, RefusalCode::Unavailable),
        other => panic!("{other:?}"),
    }
    connection.closed().await;
    // The port is free again.
    std::net::UdpSocket::bind(address).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_is_refused() {
    let world = start().await;
    let (key, joined) = world.join().await;
    let (connection, mut control) = world.connect(&key, &joined).await;
    control.send(&ToCollector::LaneOpen(Lane::Fresh)).await.unwrap();
    match control.recv().await.unwrap() {
        Some(ToAgent::Refusal(refusal)) => assert_eq!(refusal.code, RefusalCode::BadMessage),
        other => panic!("{other:?}"),
    }
    connection.closed().await;
    world.stop().await;
}

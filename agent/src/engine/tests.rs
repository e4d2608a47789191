//! The engine beside a disk that hangs, one that is full, and a clock that is put back.

use std::io::{Read as _, Write as _};
use std::path::Path;

use sitepulse_model::check::{CheckDefinition, CheckKind};
use sitepulse_model::control::{Change, Scope, Weight};
use sitepulse_model::id::{AgentName, AgentNo, CheckId, Region};
use sitepulse_model::quorum::Quorum;
use sitepulse_probe::policy::Policy;
use sitepulse_probe::tls::Tls;
use tempfile::TempDir;

use super::*;
use crate::spool::writer;
use crate::spool::{FILE_NAME, Limits, Spool};

const PATIENCE: Duration = Duration::from_secs(20);

/// A site that answers everything with 200, for as long as the test lasts.
fn site() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            drop(stream.read(&mut [0; 1024]));
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
        }
    });
    format!("http://{address}/")
}

fn check(number: u32, url: &str) -> AssignedCheck {
    AssignedCheck {
        number: CheckNo(number),
        revision: Revision(1),
        definition: CheckDefinition {
            id: CheckId::parse(&format!("check-{number}")).unwrap(),
            kind: CheckKind::http(url.to_owned()),
            interval_us: 1_000_000,
            timeout_us: 900_000,
            retries: 0,
            weight: Weight::ONE,
            regions: None,
            quorum: Quorum::parse("majority").unwrap(),
            confirmations: 2,
            recoveries: 1,
            expect: Vec::new(),
        },
    }
}

fn orders(count: u64) -> Vec<ControlEvent> {
    let order = |number| ControlEvent {
        id: EventId { author: "collector:cli".to_owned(), number },
        at: clock::now(),
        scope: Scope::AgentCheck(AgentNo(3), CheckNo(77)),
        change: Change::Suspend { until: clock::now().plus_us(60_000_000), reason: "x".repeat(100) },
    };
    (1..=count).map(order).collect()
}

fn open(dir: &Path) -> Spool {
    let mut incarnation = || Incarnation(7);
    Spool::open(&dir.join(FILE_NAME), Limits::default(), clock::now(), &mut incarnation).unwrap().spool
}

struct Rig {
    engine: Engine,
    handle: EngineHandle,
    spool: SpoolHandle,
    spool_thread: JoinHandle<()>,
    dir: TempDir,
}

fn rig(checks: Vec<AssignedCheck>) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let (spool, spool_thread) = writer::start(open(dir.path()), Heartbeat::default(), || Incarnation(8)).unwrap();
    let parts = Parts {
        state: StateDb::open(dir.path()).unwrap(),
        identity: Identity {
            name: AgentName::parse("berlin-1").unwrap(),
            agent: AgentNo(3),
            region: Region::parse("eu-west").unwrap(),
            key_pkcs8_der: Vec::new(),
            certificate_der: Vec::new(),
            certificate_expires: UtcMicros(0),
            ca_der: Vec::new(),
            token_digest: String::new(),
        },
        assignment: Assignment { revision: 1, checks, since: BTreeMap::new() },
        spool: spool.clone(),
        spool_bytes_max: 1 << 20,
        incarnation_noted: true,
        resume_after: clock::now(),
        in_flight_max: 10,
        tools: Arc::new(Tools::new(Tls::from_system().unwrap(), Policy::parse(&["loopback".to_owned()]).unwrap())),
        tasks: TaskSet::new(),
        heartbeat: Heartbeat::default(),
    };
    let (engine, handle, local) = Engine::new(parts).unwrap();
    drop(local);
    Rig { engine, handle, spool, spool_thread, dir }
}

/// Runs the engine while `talk` talks to it; gives the engine back with the data directory, all threads ended.
async fn play(rig: Rig, talk: impl AsyncFnOnce(&EngineHandle, &SpoolHandle)) -> TempDir {
    let Rig { mut engine, handle, spool, spool_thread, dir } = rig;
    let (stop, stopped) = watch::channel(false);
    let talking = async {
        tokio::time::timeout(PATIENCE, talk(&handle, &spool)).await.expect("the engine answers");
        stop.send_replace(true);
    };
    let (ran, ()) = tokio::join!(engine.run(stopped), talking);
    ran.unwrap();
    let state_thread = engine.end();
    spool.close();
    spool_thread.join().unwrap();
    state_thread.join().unwrap();
    dir
}

async fn records(spool: &SpoolHandle, at_least: u64) {
    while spool.refresh().await.unwrap().stats.records < at_least {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_state_file_whose_disk_hangs_stops_no_probe() {
    let rig = rig(vec![check(1, &site())]);
    let (release, hang) = std::sync::mpsc::channel::<()>();
    rig.engine.keeper.run(move |_| hang.recv().unwrap_or(()));
    let dir = play(rig, async |handle, spool| {
        handle.assign(2, vec![check(1, "http://127.0.0.1:9/"), check(2, "http://127.0.0.1:9/")]).await;
        handle.store_addresses(vec!["a:1".to_owned()]).await;
        handle.events_acked(Vec::new()).await;
        // The disk's patience alone ends these two.
        let (stored, answer) = tokio::join!(handle.store_events(orders(1)), handle.control(Request::Status));
        assert_eq!(stored.unwrap(), []);
        assert!(matches!(answer.unwrap(), Answer::Error { exit: 4, .. }));
        assert_eq!(handle.handover().await.unwrap().assignment_revision, 1);
        // What ran meanwhile waits for the assignment; nothing of it is lost.
        drop(release);
        while handle.handover().await.unwrap().assignment_revision != 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        records(spool, 3).await;
    })
    .await;
    let state = StateDb::open(dir.path()).unwrap();
    assert_eq!(state.assignment().unwrap().checks.len(), 2);
    assert_eq!(state.events().unwrap().len(), 1, "an order that waited is stored all the same");
}

#[tokio::test]
async fn what_a_full_disk_refuses_is_taken_without_asking_the_collector_again() {
    let rig = rig(vec![check(1, &site())]);
    let keeper = rig.engine.keeper.clone();
    keeper.run(|state| state.limit_pages(1));
    let many: Vec<_> = (1..400).map(|number| check(number, "http://127.0.0.1:9/")).collect();
    let dir = play(rig, async |handle, spool| {
        handle.assign(2, many).await;
        assert_eq!(handle.store_events(orders(400)).await.unwrap(), []);
        records(spool, 2).await;
        assert_eq!(handle.handover().await.unwrap().assignment_revision, 1);
        keeper.run(|state| state.limit_pages(1 << 30));
        while handle.handover().await.unwrap().assignment_revision != 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The next question's job comes after the orders' next attempt.
        tokio::time::sleep(Duration::from_micros(RETRY_US * 3)).await;
        handle.control(Request::Status).await.unwrap();
        drop(keeper);
    })
    .await;
    assert_eq!(StateDb::open(dir.path()).unwrap().events().unwrap().len(), 400);
}

#[tokio::test]
async fn a_clock_that_is_put_back_takes_the_frontier_with_it() {
    let mut rig = rig(vec![check(1, &site())]);
    let hour = 3_600_000_000;
    rig.spool.submit(Submission { frontier: Some(clock::now().plus_us(hour)), ..Submission::default() }).unwrap();
    assert!(rig.spool.flush().await.unwrap());
    rig.engine.carry_out(vec![Action::ClockStepped { by_us: -hour }]);
    let dir = play(rig, async |_, spool| records(spool, 1).await).await;
    let reopened = open(dir.path());
    let frontier = reopened.progress().frontier;
    assert!(frontier <= clock::now(), "a kill now would find nothing missed for an hour: {frontier:?}");
    assert!(frontier > clock::now().plus_us(-hour));
}

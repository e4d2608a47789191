//! The engine beside a disk that hangs, one that is full, and a clock that is put back.

use std::io::{Read as _, Write as _};
use std::path::Path;

use sitepulse_daemon::address::Policy;
use sitepulse_daemon::exit::Exit;
use sitepulse_model::check::{CheckDefinition, CheckKind};
use sitepulse_model::control::{Change, Scope, Weight};
use sitepulse_model::id::{AgentName, AgentNo, CheckId, Region};
use sitepulse_model::quorum::Quorum;
use sitepulse_probe::tls::Tls;
use tempfile::TempDir;

use super::handle::CheckName;
use super::run_now::RUN_NOW_MAX;
use super::*;
use crate::control::{Answer, Request};
use crate::secrets::SecretValues;
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
    rig_with(checks, 10)
}

fn rig_with(checks: Vec<AssignedCheck>, per_host_max: usize) -> Rig {
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
        per_host_max,
        tools: Arc::new(Tools::new(Tls::from_system().unwrap(), Policy::parse(&["loopback".to_owned()]).unwrap())),
        vault: Vault::open(dir.path()),
        pager: watch::channel(crate::pager::News::default()).0,
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
        let stored = async || {
            let (tell, told) = tokio::sync::oneshot::channel();
            keeper.run(move |state| {
                tell.send(state.events().unwrap().len()).ok();
            });
            told.await.unwrap()
        };
        while stored().await != 400 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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

fn secrets(value: &str) -> SecretValues {
    SecretValues(BTreeMap::from([("api".to_owned(), value.to_owned())]))
}

#[tokio::test]
async fn secrets_are_used_at_once_and_kept_sealed_for_the_next_start() {
    let rig = rig(vec![check(1, &site())]);
    let tools = rig.engine.tools.clone();
    let keeper = rig.engine.keeper.clone();
    let (release, hang) = std::sync::mpsc::channel::<()>();
    keeper.run(move |_| hang.recv().unwrap_or(()));
    let dir = play(rig, async |handle, spool| {
        handle.store_secrets(secrets("hunter2-hunter2")).await;
        // The disk hangs; the next run has them all the same.
        handle.handover().await.unwrap();
        assert!(format!("{tools:?}").contains("api"), "{tools:?}");
        assert!(!format!("{tools:?}").contains("hunter2"));
        drop(release);
        handle.store_secrets(secrets("correct-horse")).await;
        records(spool, 2).await;
        assert!(matches!(handle.control(Request::Checks).await.unwrap(), Answer::Checks(_)));
        drop(keeper);
    })
    .await;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for plain in ["hunter2-hunter2", "correct-horse"] {
            assert!(!bytes.windows(plain.len()).any(|window| window == plain.as_bytes()));
        }
    }
    let state = StateDb::open(dir.path()).unwrap();
    assert_eq!(Vault::open(dir.path()).load(&state), secrets("correct-horse"));
}

/// A target that takes connections and says nothing until it is told to close them.
fn silent() -> (String, std::sync::mpsc::Receiver<std::net::TcpStream>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (taken, streams) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if taken.send(stream).is_err() {
                return;
            }
        }
    });
    (format!("http://{address}/"), streams)
}

#[tokio::test]
async fn a_run_now_answers_besides_the_schedule_and_is_no_record() {
    let mut never = check(1, &site());
    never.definition.interval_us = 86_400_000_000;
    let (url, streams) = silent();
    let mut slow = check(2, &url);
    slow.definition.interval_us = 86_400_000_000;
    slow.definition.timeout_us = 60_000_000;
    let mut hidden = never.clone();
    (hidden.number, hidden.definition.id) = (CheckNo(3), CheckId::parse("hidden").unwrap());
    let rig = rig(vec![never, slow, hidden]);
    play(rig, async |handle, spool| {
        let (id, target, result) = handle.run_now(CheckName::Number(CheckNo(1))).await.unwrap().unwrap();
        assert_eq!((id.as_str(), result.state.as_str(), result.facts.status), ("check-1", "up", Some(200)));
        assert!(target.starts_with("http://127.0.0.1:"), "{target}");
        let Answer::Ran(view) = handle.control(Request::RunNow { check: "check-1".to_owned() }).await.unwrap() else {
            panic!("no result")
        };
        assert_eq!((view.check.as_deref(), view.state.as_str()), (Some("check-1"), "up"));
        let unknown = handle.run_now(CheckName::Id("nope".to_owned())).await.unwrap().unwrap_err();
        assert_eq!(unknown.exit, Exit::NotFound);
        let unknown = handle.run_now(CheckName::Number(CheckNo(99))).await.unwrap().unwrap_err();
        assert!(unknown.reason.contains("does not run check"), "{unknown:?}");

        let until = clock::now().plus_us(60_000_000);
        let suspend =
            Request::Suspend { check: Some("hidden".to_owned()), until_us: until.0, reason: "works".to_owned() };
        assert!(matches!(handle.control(suspend).await.unwrap(), Answer::Event(_)));
        let suspended = handle.run_now(CheckName::Id("hidden".to_owned())).await.unwrap().unwrap_err();
        assert!(suspended.reason.contains("suspended until") && suspended.reason.contains("works"), "{suspended:?}");

        // Eight at most, and the ninth is told so; when one has ended there is a place again.
        let slow = || handle.run_now(CheckName::Id("check-2".to_owned()));
        let eight = async {
            let (a, b, c, d, e, f, g, h) = tokio::join!(slow(), slow(), slow(), slow(), slow(), slow(), slow(), slow());
            [a, b, c, d, e, f, g, h].map(|answer| answer.unwrap().unwrap())
        };
        let ninth = async {
            let mut held = Vec::new();
            while held.len() < RUN_NOW_MAX {
                held.extend(streams.try_recv());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let refused = slow().await.unwrap().unwrap_err();
            assert!(refused.reason.starts_with("8 runs besides the schedule"), "{refused:?}");
            drop(held);
        };
        let (answers, ()) = tokio::join!(eight, ninth);
        assert!(answers.iter().all(|(_, _, result)| result.state.as_str() == "down"));
        let again = handle.run_now(CheckName::Id("check-1".to_owned())).await.unwrap();
        assert!(again.is_ok(), "{again:?}");
        assert_eq!(spool.refresh().await.unwrap().stats.records, 0, "nothing of it is a record");
        let Answer::Checks(checks) = handle.control(Request::Checks).await.unwrap() else { panic!("no checks") };
        assert!(checks.checks.iter().all(|check| check.last.is_none()), "nor the last run of the schedule");
    })
    .await;
}

#[tokio::test]
async fn a_host_that_hangs_has_its_places_and_leaves_the_rest_to_others() {
    const PLACES: usize = 2;
    let (url, streams) = silent();
    let hang = |number| {
        let mut check = check(number, &url);
        check.definition.timeout_us = 60_000_000;
        check
    };
    let listener = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    let other = check(9, &format!("http://{}/", listener.local_addr().unwrap()));
    let (tell, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            drop(stream.read(&mut [0; 1024]));
            drop(stream.write_all(b"HTTP/1.1 204 None\r\nConnection: close\r\n\r\n"));
            if tell.send(()).is_err() {
                return;
            }
        }
    });
    let checks = (1..=6).map(hang).chain([other]).collect();
    play(rig_with(checks, PLACES), async |_, _| {
        // By the other host's third run each of the six was due at least once, and there are places for all of them but this host's.
        let mut runs = 0;
        while runs < 3 {
            runs += asked.try_iter().count();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut held: Vec<_> = streams.try_iter().collect();
        assert_eq!(held.len(), PLACES);
        // Who ends makes room for one that waits.
        drop(held.pop());
        while held.len() < PLACES {
            held.extend(streams.try_iter());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop((held, streams));
    })
    .await;
}

#[tokio::test]
async fn status_tells_lag_missed_slots_and_what_was_shed() {
    let (url, streams) = silent();
    let lattice = |check: &AssignedCheck| Plan::of(check, &AgentName::parse("berlin-1").unwrap()).lattice;
    // One place, held by the heaviest check: the other is shed when its wait (its interval) is over.
    let mut heavy = check(1, &url);
    (heavy.definition.weight, heavy.definition.timeout_us) = (Weight(9_000), 60_000_000);
    heavy.definition.interval_us = 86_400_000_000;
    let light = check(2, &url);
    let mut rig = rig(vec![heavy.clone(), light.clone()]);
    rig.engine.scheduler = Scheduler::new(1, 1);
    // The heavy one is due now.
    let due = lattice(&heavy).at_or_before(clock::now());
    let plans = [
        Plan { check: CheckNo(1), revision: Revision(1), lattice: lattice(&heavy), weight: Weight(9_000), host: 0 },
        Plan::of(&light, &AgentName::parse("berlin-1").unwrap()),
    ];
    assert_eq!(rig.engine.scheduler.assign(&plans, due.plus_us(-1)), []);
    play(rig, async |handle, _| {
        let status = loop {
            let Answer::Status(status) = handle.control(Request::Status).await.unwrap() else { panic!("no status") };
            if status.shed >= 2 {
                break status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(status.missed["overloaded"] >= status.shed, "{status:?}");
        assert_eq!((status.in_flight, status.lag_us), (1, None), "no run has ended yet");
        assert!(status.text().contains("overloaded since the start"), "{}", status.text());
        drop(streams);
        let status = loop {
            let Answer::Status(status) = handle.control(Request::Status).await.unwrap() else { panic!("no status") };
            if status.lag_us.is_some_and(|lag| lag.runs >= 2) {
                break status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let lag = status.lag_us.unwrap();
        assert!(lag.p50 <= lag.p99 && lag.p99 <= lag.max, "{lag:?}");
        assert!(status.text().contains("99 of 100 within"), "{}", status.text());
    })
    .await;
}

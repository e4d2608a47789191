//! The job queue beside a naive one: what waits, what is handed out, what becomes of it; across crashes. And the runner.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use sitepulse_collector::app::App;
use sitepulse_collector::engine::Engine;
use sitepulse_collector::jobs::{Ask, Finished, Given, Job, Kind, Outcome, Over, Said, Setup, Unfinished, Work, task};
use sitepulse_collector::store::jobs::Wanted;
use sitepulse_daemon::clock;
use sitepulse_daemon::task::TaskSet;
use sitepulse_model::job::{AGE_US, DEATHS_MAX, Ended, JobId, Priority, State, delay_us};
use sitepulse_model::time::UtcMicros;
use tokio::sync::watch;

use super::world::{at, definition, in_memory, on_disk, options};

/// Kinds whose jobs stand in each other's way.
const KINDS: [Kind; 3] = [Kind::Export, Kind::RunChecks, Kind::Noop];

fn ask(kind: Kind) -> Ask {
    Ask { key: None, author: "collector:test".into(), ..Ask::own(kind) }
}

/// What a job is to the naive queue: a list, looked through from one end to the other.
#[derive(Debug, Clone, PartialEq)]
struct Naive {
    id: JobId,
    kind: Kind,
    key: Option<String>,
    priority: i64,
    due: i64,
    state: State,
    tries: u32,
    epoch: u32,
    cancelling: bool,
    deaths: u32,
    held: Option<i64>,
}

impl Naive {
    fn of(job: &Job) -> Self {
        let one = &job.standing;
        Self {
            id: job.id,
            kind: job.kind,
            key: job.key.clone(),
            priority: i64::from(one.priority.get()),
            due: one.due.0,
            state: one.state,
            tries: one.tries,
            epoch: one.epoch,
            cancelling: one.cancelling,
            deaths: one.deaths,
            held: one.held.map(|held| held.0),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Ask {
        kind: usize,
        key: Option<u8>,
        priority: u16,
        later_s: i64,
    },
    /// Time passes, some of what runs ends, the rest is handed out.
    Turn {
        wait_s: i64,
        ends: Vec<(u8, u8)>,
    },
    Cancel(u8),
    Retry(u8),
    Prioritise(u8, u16),
    /// The process dies, and another one starts.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let delay = prop_oneof![3 => Just(0_i64), 1 => 1_i64..3_000];
    prop_oneof![
        6 => (0_usize..3, prop::option::of(0_u8..3), 0_u16..=1000, delay)
            .prop_map(|(kind, key, priority, later_s)| Step::Ask { kind, key, priority, later_s }),
        6 => (0_i64..1_500, prop::collection::vec((any::<u8>(), 0_u8..4), 0..6)).prop_map(|(wait_s, ends)| Step::Turn { wait_s, ends }),
        1 => any::<u8>().prop_map(Step::Cancel),
        1 => any::<u8>().prop_map(Step::Retry),
        1 => (any::<u8>(), 0_u16..=1000).prop_map(|(nth, priority)| Step::Prioritise(nth, priority)),
        2 => Just(Step::Crash),
    ]
}

struct Queues {
    engine: Engine,
    naive: Vec<Naive>,
    /// What the process has in its hands.
    out: BTreeMap<JobId, Job>,
    now: UtcMicros,
}

impl Queues {
    fn new() -> Self {
        Self { engine: in_memory(), naive: Vec::new(), out: BTreeMap::new(), now: at(0) }
    }

    fn one(&mut self, nth: u8) -> Option<&mut Naive> {
        let count = self.naive.len();
        (count > 0).then(|| &mut self.naive[usize::from(nth) % count])
    }

    fn ask(&mut self, kind: usize, key: Option<u8>, priority: u16, later_s: i64) {
        let (kind, key) = (KINDS[kind], key.map(|key| format!("key-{key}")));
        let due = self.now.0 + later_s * 1_000_000;
        let ask =
            Ask { key: key.clone(), priority: Priority::new(priority), not_before: Some(UtcMicros(due)), ..ask(kind) };
        let asked = self.engine.enqueue(&[ask], self.now).unwrap().remove(0);
        let open = |one: &&mut Naive| {
            key.is_some() && one.kind == kind && one.key == key && matches!(one.state, State::Waiting | State::Running)
        };
        match self.naive.iter_mut().find(open) {
            Some(known) => {
                assert_eq!((asked.new, asked.job.id), (false, known.id));
                if known.state == State::Waiting {
                    known.priority = known.priority.max(i64::from(priority));
                    if known.tries == 0 {
                        known.due = known.due.min(due);
                    }
                }
            }
            None => {
                assert!(asked.new && self.naive.iter().all(|one| one.id < asked.job.id));
                self.naive.push(Naive {
                    id: asked.job.id,
                    kind,
                    key,
                    priority: i64::from(priority),
                    due,
                    state: State::Waiting,
                    tries: 0,
                    epoch: 0,
                    cancelling: false,
                    deaths: 0,
                    held: None,
                });
            }
        }
    }

    fn turn(&mut self, wait_s: i64, ends: &[(u8, u8)]) {
        self.now = self.now.plus_us(wait_s * 1_000_000);
        let mut over = Vec::new();
        for (nth, how) in ends {
            let Some(id) = self.out.keys().nth(usize::from(*nth) % self.out.len().max(1)).copied() else { continue };
            let job = self.out.remove(&id).unwrap();
            let ended = [Ended::Done, Ended::Failed, Ended::Refused, Ended::Interrupted][usize::from(*how)];
            let known = self.naive.iter_mut().find(|one| one.id == id).unwrap();
            naive_end(known, ended, self.now.0);
            over.push(Over { job, ended, note: String::new(), progress: 0, file: None, lines: Vec::new(), took_us: 1 });
        }
        let out = self.out.values().map(|job| (job.id, (job.bucket, job.kind))).collect();
        let given = Given { out, take: true, ..Given::default() };
        let (turn, _) = self.engine.take_job_turn(over, &given, &Setup::default(), self.now).unwrap();
        let mut handed: Vec<JobId> = turn.handed.iter().map(|job| job.id).collect();
        handed.sort();
        self.out.extend(turn.handed.into_iter().map(|job| (job.id, job)));
        assert_eq!(handed, self.naive_choice());
        for id in handed {
            let known = self.naive.iter_mut().find(|one| one.id == id).unwrap();
            known.state = State::Running;
            known.epoch += 1;
            known.held = None;
        }
    }

    /// Of each kind, by what waiting and priority come to, as many as there is room for.
    fn naive_choice(&self) -> Vec<JobId> {
        let mut chosen = Vec::new();
        for kind in KINDS {
            let running = self.naive.iter().filter(|one| one.kind == kind && one.state == State::Running).count();
            let ready = |one: &Naive| one.due.max(one.held.unwrap_or(one.due)) <= self.now.0;
            let waits = |one: &&Naive| one.kind == kind && one.state == State::Waiting && ready(one);
            let mut waiting: Vec<&Naive> = self.naive.iter().filter(waits).collect();
            // The most points first: those of its priority, and one for every 10 s that it waited.
            waiting.sort_by_key(|one| (-(one.priority * AGE_US + self.now.0 - one.due), one.id));
            let room = kind.spec().rules.concurrency - running;
            chosen.extend(waiting.iter().take(room).map(|one| one.id));
        }
        chosen.sort();
        chosen
    }

    fn crash(&mut self) {
        self.out.clear();
        self.engine.begin_jobs(&Setup::default(), self.now).unwrap();
        let now = self.now.0;
        self.naive
            .iter_mut()
            .filter(|one| one.state == State::Running)
            .for_each(|one| naive_end(one, Ended::Died, now));
    }

    fn compare(&self) {
        let mut told: Vec<Naive> =
            self.engine.jobs(&Wanted::default(), 10_000).unwrap().iter().map(Naive::of).collect();
        told.reverse();
        assert_eq!(told, self.naive);
        for state in State::ALL {
            let wanted = Wanted { state: Some(state), ..Wanted::default() };
            let told = self.engine.jobs(&wanted, 10_000).unwrap().len();
            assert_eq!(told, self.naive.iter().filter(|one| one.state == state).count(), "{state:?}");
        }
    }
}

fn naive_end(one: &mut Naive, ended: Ended, now: i64) {
    let state = match ended {
        Ended::Done => State::Done,
        Ended::Failed | Ended::Refused | Ended::Interrupted | Ended::Died | Ended::Cancelled if one.cancelling => {
            State::Cancelled
        }
        Ended::Died if one.deaths + 1 >= DEATHS_MAX => State::Failed,
        Ended::Cancelled => State::Cancelled,
        Ended::Refused => State::Failed,
        Ended::Failed if one.tries + 1 >= one.kind.spec().rules.tries => State::Failed,
        Ended::Failed | Ended::Interrupted | Ended::Died => State::Waiting,
    };
    if ended == Ended::Died && state != State::Cancelled {
        one.deaths += 1;
        if state == State::Waiting && one.deaths > 1 {
            one.held = Some(now + delay_us(one.id, one.deaths - 2).cast_signed());
        }
    }
    if ended == Ended::Failed && state == State::Waiting {
        one.due = now + delay_us(one.id, one.tries).cast_signed();
        one.deaths = 0;
    }
    if state != State::Waiting || ended == Ended::Failed {
        one.tries += 1;
    }
    one.state = state;
    one.cancelling = false;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_queue_is_a_naive_one_with_indexes(steps in prop::collection::vec(step(), 1..60)) {
        let mut queues = Queues::new();
        for step in steps {
            let now = queues.now;
            match step {
                Step::Ask { kind, key, priority, later_s } => queues.ask(kind, key, priority, later_s),
                Step::Turn { wait_s, ends } => queues.turn(wait_s, &ends),
                Step::Cancel(nth) => {
                    let Some(id) = queues.one(nth).map(|one| one.id) else { continue };
                    let done = queues.engine.cancel_job(id, "collector:test", now).is_ok();
                    let one = queues.one(nth).unwrap();
                    prop_assert_eq!(done, matches!(one.state, State::Waiting | State::Running));
                    match one.state {
                        State::Waiting => one.state = State::Cancelled,
                        State::Running => one.cancelling = true,
                        State::Done | State::Failed | State::Cancelled => {}
                    }
                }
                Step::Retry(nth) => {
                    let Some(known) = queues.one(nth).cloned() else { continue };
                    let done = queues.engine.retry_job(known.id, "collector:test", now).is_ok();
                    let over = matches!(known.state, State::Failed | State::Cancelled);
                    let twin = |one: &Naive| {
                        one.id != known.id && one.kind == known.kind && one.key == known.key && matches!(one.state, State::Waiting | State::Running)
                    };
                    let twin = queues.naive.iter().position(twin).filter(|_| over && known.key.is_some());
                    let again = |one: &Naive| one.state == State::Waiting && (one.tries > 0 || one.held.is_some());
                    let hindered = twin.is_some_and(|twin| queues.naive[twin].state == State::Running);
                    prop_assert_eq!(done, (over || again(&known)) && !hindered);
                    if done {
                        let one = twin.unwrap_or(usize::from(nth) % queues.naive.len());
                        let one = &mut queues.naive[one];
                        if twin.is_some() && !again(one) {
                            (one.priority, one.due) = (one.priority.max(known.priority), one.due.min(now.0));
                        } else {
                            (one.state, one.tries, one.due) = (State::Waiting, 0, now.0);
                            (one.deaths, one.held) = (0, None);
                        }
                    }
                }
                Step::Prioritise(nth, priority) => {
                    let Some(id) = queues.one(nth).map(|one| one.id) else { continue };
                    let done = queues.engine.prioritise_job(id, Priority::new(priority).unwrap(), "collector:test", now).is_ok();
                    let one = queues.one(nth).unwrap();
                    prop_assert_eq!(done, one.state == State::Waiting);
                    if done {
                        one.priority = i64::from(priority);
                    }
                }
                Step::Crash => queues.crash(),
            }
            queues.compare();
        }
    }
}

#[test]
fn what_a_dead_process_leased_waits_again_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let id = engine.enqueue(&[ask(Kind::Noop)], at(0)).unwrap()[0].job.id;
    let given = Given { take: true, ..Given::default() };
    let (turn, _) = engine.take_job_turn(Vec::new(), &given, &Setup::default(), at(1)).unwrap();
    assert_eq!(turn.handed[0].id, id);
    drop(engine);
    let mut engine = on_disk(dir.path());
    assert_eq!(engine.begin_jobs(&Setup::default(), at(2)).unwrap(), 1);
    let job = engine.jobs(&Wanted::default(), 1).unwrap().remove(0);
    assert_eq!((job.standing.state, job.standing.tries, job.standing.epoch), (State::Waiting, 0, 1));
    let log = engine.job_log(&job, 10).unwrap();
    assert_eq!(Said::of(&log[0].text), Some(Said::Died { deaths: 1, held: None }), "{log:?}");
    // What the dead process would say of its lease is not heard.
    let over = Over {
        job: turn.handed[0].clone(),
        ended: Ended::Done,
        note: String::new(),
        progress: 0,
        file: None,
        lines: Vec::new(),
        took_us: 1,
    };
    let (again, _) = engine.take_job_turn(Vec::new(), &given, &Setup::default(), at(3)).unwrap();
    assert_eq!(again.handed[0].standing.epoch, 2);
    let (late, _) = engine.take_job_turn(vec![over], &Given::default(), &Setup::default(), at(4)).unwrap();
    assert_eq!(late.states, [None]);
    assert_eq!(engine.jobs(&Wanted::default(), 1).unwrap()[0].standing.state, State::Running);
}

/// The defect: a job that killed the collector was run again at once, with every start, for ever.
#[test]
fn a_job_that_kills_the_collector_is_held_back_and_given_up_while_sealing_goes_on() {
    let setup = Setup::repeating(vec![(Kind::Seal, Duration::from_secs(60))]);
    let mut engine = in_memory();
    let id = engine.enqueue(&[ask(Kind::Noop)], at(0)).unwrap()[0].job.id;
    let other = engine.enqueue(&[ask(Kind::Export)], at(0)).unwrap()[0].job.id;
    let given = Given { take: true, ..Given::default() };
    let one = |engine: &Engine, id: JobId| {
        let jobs = engine.jobs(&Wanted::default(), 100).unwrap();
        jobs.into_iter().find(|job| job.id == id).unwrap()
    };
    engine.begin_jobs(&setup, at(0)).unwrap();
    let (mut now, mut deaths) = (at(1), 0);
    while one(&engine, id).standing.state == State::Waiting {
        now = now.max(one(&engine, id).standing.ready());
        let (turn, _) = engine.take_job_turn(Vec::new(), &given, &setup, now).unwrap();
        assert!(turn.handed.iter().any(|job| job.id == id));
        // The others did what they had to before it killed the collector.
        let others = turn.handed.into_iter().filter(|job| job.kind == Kind::Export);
        let over = |job| Over {
            job,
            ended: Ended::Done,
            note: String::new(),
            progress: 0,
            file: None,
            lines: vec![],
            took_us: 1,
        };
        let running = one(&engine, id);
        let out = [(id, (running.bucket, running.kind))].into();
        let rest = Given { out, ..Given::default() };
        engine.take_job_turn(others.map(over).collect(), &rest, &setup, now).unwrap();
        engine.begin_jobs(&setup, now).unwrap();
        deaths += 1;
    }
    let job = one(&engine, id);
    assert_eq!((deaths, job.standing.state, job.ended), (DEATHS_MAX, State::Failed, Some(now)));
    assert_eq!(Said::of(&job.note), Some(Said::Deadly { deaths: 16 }));
    assert_eq!(one(&engine, other).standing.state, State::Done);
    let log = engine.job_log(&job, 100).unwrap();
    assert!(matches!(Said::of(&log[1].text), Some(Said::Died { deaths: 2, held: Some(_) })), "{log:?}");
    // What comes by itself is held back at most: it met as many deaths, and is never given up for good.
    let seal = engine.jobs(&Wanted { kind: Some(Kind::Seal), ..Wanted::default() }, 10).unwrap().remove(0);
    assert_eq!(seal.standing.state, State::Waiting);
    assert!(seal.standing.deaths >= 2 && seal.standing.held.is_some(), "{seal:?}");
}

/// A process that is stopped leaves no lease: what did not stop in time is no death.
#[test]
fn a_runner_that_ends_gives_all_leases_back() {
    let mut engine = in_memory();
    engine.enqueue(&[ask(Kind::Noop)], at(0)).unwrap();
    let given = Given { take: true, ..Given::default() };
    let (turn, _) = engine.take_job_turn(Vec::new(), &given, &Setup::default(), at(1)).unwrap();
    let job = &turn.handed[0];
    let (bucket, id) = (job.bucket, job.id);
    let last = Given {
        out: [(id, (bucket, job.kind))].into(),
        marks: vec![(bucket, id, "7".into())],
        last: true,
        ..Given::default()
    };
    engine.take_job_turn(Vec::new(), &last, &Setup::default(), at(2)).unwrap();
    let job = engine.jobs(&Wanted::default(), 1).unwrap().remove(0);
    assert_eq!((job.standing.state, job.standing.deaths, job.standing.tries), (State::Waiting, 0, 0));
    assert_eq!(job.mark.as_deref(), Some("7"));
    assert_eq!(engine.begin_jobs(&Setup::default(), at(3)).unwrap(), 0, "no lease is left");
    // Whoever takes it back and up again begins anew.
    engine.cancel_job(id, "collector:ana", at(4)).unwrap();
    assert_eq!(engine.retry_job(id, "collector:ana", at(5)).unwrap().mark, None);
}

#[test]
fn a_full_disk_loses_no_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    engine.enqueue(&[ask(Kind::Noop)], at(0)).unwrap();
    let given = Given { take: true, ..Given::default() };
    let (turn, _) = engine.take_job_turn(Vec::new(), &given, &Setup::default(), at(1)).unwrap();
    let over = Over {
        job: turn.handed[0].clone(),
        ended: Ended::Done,
        note: "done".into(),
        progress: 0,
        file: None,
        lines: vec![],
        took_us: 1,
    };
    // Somebody else holds the lease: nothing can be written.
    engine.store().connection().execute("UPDATE lease SET owner = owner + 1", []).unwrap();
    let (_, back) = engine.take_job_turn(vec![over.clone()], &Given::default(), &Setup::default(), at(2)).unwrap_err();
    assert_eq!(back, [over]);
    engine.store().connection().execute("UPDATE lease SET owner = owner - 1", []).unwrap();
    let (turn, _) = engine.take_job_turn(back, &Given::default(), &Setup::default(), at(3)).unwrap();
    assert_eq!(turn.states, [Some(State::Done)]);
}

/// An attempt that met a full disk.
fn full_disk(job: &Job) -> Over {
    Over {
        job: job.clone(),
        ended: Ended::Failed,
        note: "the disk is full".into(),
        progress: 0,
        file: None,
        lines: vec![],
        took_us: 1,
    }
}

#[test]
fn what_comes_by_itself_comes_again_also_when_it_was_taken_back() {
    let mut engine = in_memory();
    let setup = Setup::repeating(vec![(Kind::Retention, Duration::from_secs(3_600))]);
    engine.begin_jobs(&setup, at(0)).unwrap();
    engine.begin_jobs(&setup, at(1)).unwrap();
    let open = |engine: &Engine| engine.jobs(&Wanted { state: Some(State::Waiting), ..Wanted::default() }, 10).unwrap();
    assert_eq!(open(&engine).len(), 1, "one at a time");
    let given = Given { take: true, ..Given::default() };
    let (turn, _) = engine.take_job_turn(Vec::new(), &given, &setup, at(2)).unwrap();
    let over = full_disk(&turn.handed[0]);
    engine.take_job_turn(vec![over], &Given::default(), &setup, at(10)).unwrap();
    let next = open(&engine).remove(0);
    assert_eq!((next.kind, next.standing.due), (Kind::Retention, at(3_610)));
    engine.cancel_job(next.id, "collector:ana", at(11)).unwrap();
    assert_eq!(open(&engine), []);
    engine.take_job_turn(Vec::new(), &Given { sweep: true, ..Given::default() }, &setup, at(20)).unwrap();
    assert_eq!(open(&engine)[0].standing.due, at(3_620));
}

/// The defect: the next round was asked for as one failed, so it was always in the way of who wanted to try that one again.
#[test]
fn a_round_that_failed_is_tried_again_by_the_next_one_now() {
    let mut engine = in_memory();
    let setup = Setup::repeating(vec![(Kind::Retention, Duration::from_secs(3_600))]);
    engine.begin_jobs(&setup, at(0)).unwrap();
    let take = Given { take: true, ..Given::default() };
    let (turn, _) = engine.take_job_turn(Vec::new(), &take, &setup, at(2)).unwrap();
    let over = full_disk(&turn.handed[0]);
    let failed = over.job.id;
    engine.take_job_turn(vec![over], &Given::default(), &setup, at(10)).unwrap();
    let next = engine.retry_job(failed, "collector:ana", at(20)).unwrap();
    assert!(next.id != failed && next.standing.due == at(20), "{next:?}");
    assert_eq!(engine.job_log(&next, 10).unwrap().len(), 1, "who did it is in its log");
    let (turn, _) = engine.take_job_turn(Vec::new(), &take, &setup, at(21)).unwrap();
    assert_eq!(turn.handed.iter().map(|job| job.id).collect::<Vec<_>>(), [next.id]);
    // It runs: there is nothing to bring forward.
    let refused = engine.retry_job(failed, "collector:ana", at(22)).unwrap_err();
    assert!(refused.to_string().contains("runs already"), "{refused}");
}

/// For how long something is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A collector whose runner runs.
struct Running {
    app: App,
    tasks: TaskSet,
    stop: watch::Sender<bool>,
}

impl Running {
    fn start(dir: &std::path::Path) -> Self {
        Self::with(dir, Setup::default())
    }

    fn with(dir: &std::path::Path, setup: Setup) -> Self {
        let app = App::open_still(dir, clock::now()).unwrap();
        let (stop, stopping) = watch::channel(false);
        let tasks = TaskSet::new();
        tasks.spawn("jobs", task::run(app.clone(), setup, tasks.clone(), stopping));
        Self { app, tasks, stop }
    }

    async fn ask(&self, ask: Ask) -> JobId {
        let asked = self.app.writer().run(move |engine| engine.enqueue(&[ask], clock::now()).unwrap()).await.unwrap();
        asked[0].job.id
    }

    async fn job(&self, id: JobId) -> Job {
        let jobs = self.app.writer().run(|engine| engine.jobs(&Wanted::default(), 100).unwrap()).await.unwrap();
        jobs.into_iter().find(|job| job.id == id).unwrap()
    }

    /// Waits until a job is so.
    async fn when(&self, id: JobId, so: impl Fn(&Job) -> bool) -> Job {
        let waiting = async {
            loop {
                let job = self.job(id).await;
                if so(&job) {
                    return job;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(job) => job,
            Err(_) => panic!("never so: {:?}", self.job(id).await),
        }
    }

    /// Waits until a job is in a state.
    async fn until(&self, id: JobId, state: State) -> Job {
        self.when(id, |job| job.standing.state == state).await
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.tasks.join_all(Duration::from_secs(60)).await.unwrap();
        self.app.close().await;
    }
}

fn noop(args: serde_json::Value) -> Ask {
    Ask { args, ..ask(Kind::Noop) }
}

#[tokio::test]
async fn the_runner_does_the_work_tells_how_far_it_is_and_stops_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path());
    let done = running.ask(noop(serde_json::json!({}))).await;
    let job = running.until(done, State::Done).await;
    assert_eq!((job.progress, job.standing.tries), (1000, 1));
    // What makes no sense is not tried again.
    let senseless = running.ask(noop(serde_json::json!({ "wait": "long" }))).await;
    let job = running.until(senseless, State::Failed).await;
    assert!(
        matches!(Said::of(&job.note), Some(Said::Nonsense { why }) if why.contains("wait_ms"))
            && job.standing.tries == 1,
        "{job:?}"
    );
    let long = running.ask(noop(serde_json::json!({ "wait_ms": 30_000 }))).await;
    running.until(long, State::Running).await;
    let begun = async {
        loop {
            // The row says so before the runner has it in its hands.
            match running.app.shared().jobs.live(long) {
                Some(live) if live.progressed().0 > 0 => return live,
                Some(_) | None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let live = tokio::time::timeout(PATIENCE, begun).await.expect("it goes on");
    assert!(matches!(Said::of(&live.progressed().1), Some(Said::Idle { of: 30_000, .. })), "{:?}", live.progressed());
    running
        .app
        .writer()
        .run(move |engine| engine.cancel_job(long, "collector:ana", clock::now()).unwrap())
        .await
        .unwrap();
    running.until(long, State::Cancelled).await;
    assert_eq!(running.app.shared().jobs.fared()[&Kind::Noop].done, 1);
    running.stop().await;
}

#[tokio::test]
async fn a_shutdown_interrupts_and_the_next_start_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path());
    let long = running.ask(noop(serde_json::json!({ "wait_ms": 1_000 }))).await;
    running.until(long, State::Running).await;
    running.stop().await;
    let running = Running::start(dir.path());
    let job = running.until(long, State::Done).await;
    assert_eq!((job.standing.tries, job.standing.epoch), (1, 2), "the interrupted attempt counts for nothing");
    running.stop().await;
}

/// The defect: an attempt that said it was told to stop, and was not, was run again at once, for ever.
#[tokio::test]
async fn who_stops_without_being_told_has_failed() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::with(dir.path(), reporting(|_| Box::pin(async { Err(Unfinished::Stopped) })));
    let id = running.ask(ask(Kind::SlaReport)).await;
    let job = running.when(id, |job| job.standing.tries > 0).await;
    assert_eq!(job.standing.state, State::Waiting, "it is tried again, in a while");
    assert_eq!((job.standing.epoch, Said::of(&job.note)), (1, Some(Said::NotStopped)), "{job:?}");
    running.stop().await;
}

/// Whose reports are made by a handler of the test.
fn reporting(handler: sitepulse_collector::jobs::Handler) -> Setup {
    let mut setup = Setup::default();
    setup.sla_report = Some(handler);
    setup
}

/// Marks how far it is and waits; the next attempt is handed that.
fn marking(work: Work) -> futures_util::future::BoxFuture<'static, Outcome> {
    Box::pin(async move {
        if let Some(mark) = work.marked::<u32>() {
            return Ok(Finished::with(format!("goes on at {mark}")));
        }
        work.mark(&41);
        work.mark(&42);
        work.stopping().await;
        Err(Unfinished::Stopped)
    })
}

#[tokio::test]
async fn an_attempt_goes_on_where_the_one_that_was_cut_short_came_to() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::with(dir.path(), reporting(marking));
    let id = running.ask(ask(Kind::SlaReport)).await;
    // Written while it runs, so that a kill has it too.
    running.when(id, |job| job.mark.as_deref() == Some("42")).await;
    running.stop().await;
    let running = Running::with(dir.path(), reporting(marking));
    let job = running.until(id, State::Done).await;
    assert_eq!((job.note.as_str(), job.standing.deaths), ("goes on at 42", 0));
    running.stop().await;
}

/// The defect: a run of many checks that was cut short began with its first check again.
#[tokio::test]
async fn a_run_of_checks_goes_on_after_those_that_were_run() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path());
    let checks = ["a", "b", "c", "d"].map(definition).to_vec();
    running.app.apply(checks, options(), clock::now()).await.unwrap();
    let ask = Ask { args: serde_json::json!({ "checks": ["a", "b", "c", "d"] }), ..ask(Kind::RunChecks) };
    // As an attempt leaves it that is cut short after its second check.
    let enqueue = move |engine: &mut Engine| {
        let job = engine.enqueue(&[ask], clock::now()).unwrap().remove(0).job;
        let mark = r#"{"upto":"b","up":1,"not_up":1,"not_run":0}"#;
        let given = Given { marks: vec![(job.bucket, job.id, mark.into())], ..Given::default() };
        engine.take_job_turn(Vec::new(), &given, &Setup::default(), clock::now()).unwrap();
        job.id
    };
    let id = running.app.writer().run(enqueue).await.unwrap();
    let job = running.until(id, State::Done).await;
    assert_eq!(Said::of(&job.note), Some(Said::Ran { checks: 4, up: 1, not_up: 1, not_run: 2 }));
    assert_eq!(job.mark.as_deref(), Some(r#"{"upto":"d","up":1,"not_up":1,"not_run":2}"#));
    let log = running.app.writer().run(move |engine| engine.job_log(&job, 100).unwrap()).await.unwrap();
    assert_eq!((Said::of(&log[0].text), log.len()), (Some(Said::GoesOn { after: "b".into() }), 3), "{log:?}");
    let told: Vec<Option<Said>> = log[1..].iter().map(|line| Said::of(&line.text)).collect();
    for check in ["c", "d"] {
        assert!(told.contains(&Some(Said::NoAgent { check: check.into() })), "{told:?}");
    }
    running.stop().await;
}

/// The defect: pages in French told in English, or in a sentence about something else, that a check is not there.
#[tokio::test]
async fn a_check_that_is_gone_is_told_by_a_code() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path());
    for (kind, args) in [
        (Kind::RunChecks, serde_json::json!({ "checks": ["gone"] })),
        (Kind::Export, serde_json::json!({ "format": "jsonl", "checks": ["gone"] })),
    ] {
        let id = running.ask(Ask { args, ..ask(kind) }).await;
        let job = running.until(id, State::Failed).await;
        assert_eq!(Said::of(&job.note), Some(Said::NoSuchCheck { check: "gone".into() }), "{}", job.note);
        assert_eq!(job.standing.tries, 1, "it is not there the next time either");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_backup_and_an_export_are_files_in_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path());
    let backup = running.ask(ask(Kind::Backup)).await;
    let export = running.ask(Ask { args: serde_json::json!({ "format": "jsonl" }), ..ask(Kind::Export) }).await;
    for (id, ending) in [(backup, ".db"), (export, ".jsonl")] {
        let job = running.until(id, State::Done).await;
        let name = job.file.clone().unwrap();
        assert!(name.ends_with(ending) && name.contains(&id.to_string()), "{name}");
        assert!(dir.path().join("files").join(&name).metadata().unwrap().len() > 0);
    }
    // Four backups: the newest three are kept.
    for _ in 0..3 {
        let id = running.ask(ask(Kind::Backup)).await;
        running.until(id, State::Done).await;
    }
    let backups = std::fs::read_dir(dir.path().join("files")).unwrap();
    let names: Vec<String> = backups.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("backup-")).count(), 3, "{names:?}");
    assert!(!names.iter().any(|name| name.contains(&backup.to_string())), "{names:?}");
    running.stop().await;
}

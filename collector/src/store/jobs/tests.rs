use sitepulse_model::id::BUCKETS;

use super::super::Store;
use super::*;

const NOW: UtcMicros = UtcMicros(1_790_000_000_000_000);

fn store() -> Store {
    Store::in_memory(1, NOW).unwrap()
}

fn ask(kind: Kind, key: Option<&str>) -> Ask {
    Ask { key: key.map(str::to_owned), ..Ask::own(kind) }
}

/// What looks for work, or for what is wrong with it, is found by an index: never by looking at all jobs.
#[test]
fn no_question_of_the_runner_scans_the_table() {
    let store = store();
    for sql in [
        "SELECT max(job_id) FROM job WHERE bucket = 5",
        "SELECT min(ready_us) FROM job INDEXED BY job_later WHERE state = 0",
        "SELECT bucket, job_id FROM job INDEXED BY job_later WHERE state = 0 AND ready_us <= 1 ORDER BY ready_us LIMIT 5",
        "SELECT count(*) FROM (SELECT 1 FROM job INDEXED BY job_by_state WHERE state = 1 AND kind = 'noop' LIMIT 5)",
        "SELECT note FROM job INDEXED BY job_ready WHERE state = 1 AND kind = 'noop' ORDER BY rank, job_id LIMIT 5",
        "SELECT EXISTS (SELECT 1 FROM job INDEXED BY job_ready WHERE state = 1 AND kind = 'noop')",
        "SELECT note FROM job WHERE state = 2",
        "SELECT note FROM job WHERE bucket = 1 AND job_id = 5",
        "SELECT note FROM job WHERE bucket = 1 AND kind = 'noop' AND dedupe = 'x' AND state <= 2",
        "SELECT note FROM job WHERE state = 4 AND kind = 'noop' AND job_id < 5 ORDER BY job_id DESC LIMIT 5",
    ] {
        let mut statement = store.connection().prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> = statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        let plan = plan.join("; ");
        assert!(plan.contains("INDEX") || plan.contains("USING PRIMARY KEY"), "{sql}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

/// Each index is a page that an ask writes, and a place that each step of a job's life changes: that is most of what a job costs. Who adds one measures it (`--bench jobs`).
#[test]
fn a_job_that_is_asked_for_touches_three_trees() {
    let mut store = store();
    store.write(|tables| enqueue(tables, &ask(Kind::Noop, None), NOW)).unwrap();
    let mut trees =
        store.connection().prepare("SELECT name FROM sqlite_schema WHERE tbl_name = 'job' AND type = 'index'").unwrap();
    let trees: Vec<String> = trees.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let conditional = ["job_key", "job_later"];
    let always: Vec<&String> = trees.iter().filter(|name| !conditional.contains(&name.as_str())).collect();
    assert_eq!(always, ["job_by_state", "job_ready"], "beside the table itself");
}

/// What waits, runs and waits for later is late alike, and the latest is told first.
#[test]
fn what_is_late_is_found_wherever_it_is() {
    let mut store = store();
    let jobs = [300, 200, 100].map(|seconds| {
        let ask = Ask { deadline: Some(NOW.plus_us(-seconds * 1_000_000)), ..ask(Kind::Noop, None) };
        store.write(|tables| enqueue(tables, &ask, NOW)).unwrap().job
    });
    let mut later = jobs[1].clone();
    later.standing.due = NOW.plus_us(60_000_000);
    let mut runs = jobs[2].clone();
    assert!(runs.standing.start(NOW));
    for job in [&later, &runs] {
        store.write(|tables| save(tables, job, NOW)).unwrap();
    }
    let over = Ask { deadline: Some(NOW.plus_us(1)), ..ask(Kind::Noop, None) };
    store.write(|tables| enqueue(tables, &over, NOW)).unwrap();
    let found: Vec<JobId> = late(store.read(), NOW, 10).unwrap().iter().map(|job| job.id).collect();
    assert_eq!(found, jobs.clone().map(|job| job.id));
    assert_eq!(late(store.read(), NOW, 1).unwrap().len(), 1);
}

/// Ids are kept in memory between asks; a new start finds the newest in the table, also where the clock was set back since.
#[test]
fn no_two_jobs_have_one_id_though_the_clock_is_set_back_and_the_process_starts_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for start in 0..3_i64 {
        let mut store = Store::open(dir.path(), 1, NOW).unwrap();
        let now = NOW.plus_us(-start * 1_000_000);
        let rolled: Result<(), StoreError> = store.write(|tables| {
            enqueue(tables, &ask(Kind::Noop, None), now)?;
            Err(bad("nothing of it stays"))
        });
        rolled.unwrap_err();
        for _ in 0..20 {
            let job = store.write(|tables| enqueue(tables, &ask(Kind::Noop, None), now)).unwrap().job;
            assert!(ids.last().is_none_or(|last| *last < job.id) && ids.insert(job.id), "{job:?}");
            assert_eq!(one(store.read(), job.id).unwrap(), Some(job));
        }
    }
}

#[test]
fn an_ask_commits_with_the_change_that_causes_it_or_not_at_all() {
    let mut store = store();
    let failed: Result<(), StoreError> = store.write(|tables| {
        enqueue(tables, &ask(Kind::Noop, None), NOW)?;
        Err(bad("the change failed"))
    });
    failed.unwrap_err();
    assert_eq!(list(store.read(), &Wanted::default(), 10).unwrap(), []);
    store.write(|tables| enqueue(tables, &ask(Kind::Noop, None), NOW)).unwrap();
    assert_eq!(list(store.read(), &Wanted::default(), 10).unwrap().len(), 1);
}

#[test]
fn what_is_asked_for_twice_is_one_job_with_the_higher_priority() {
    let mut store = store();
    let asked = |store: &mut Store, priority: u16| {
        let ask = Ask { priority: Priority::new(priority), ..ask(Kind::Export, Some("a")) };
        store.write(|tables| enqueue(tables, &ask, NOW)).unwrap()
    };
    let first = asked(&mut store, 300);
    assert!(first.new);
    for (priority, expected) in [(200, 300), (700, 700)] {
        let again = asked(&mut store, priority);
        assert_eq!((again.new, again.job.id, again.job.standing.priority.get()), (false, first.job.id, expected));
    }
    let other = store.write(|tables| enqueue(tables, &ask(Kind::Export, Some("b")), NOW)).unwrap();
    assert!(other.new && other.job.id > first.job.id);
    // What is over stands in nobody's way.
    let mut over = first.job;
    over.standing.state = State::Done;
    store.write(|tables| save(tables, &over, NOW)).unwrap();
    assert!(asked(&mut store, 300).new);
}

/// The defect: who asked again in a hurry was not heard, and a deadline that was dropped came back with the next write.
#[test]
fn who_asks_again_with_an_earlier_deadline_is_heard() {
    let mut store = store();
    let minute = |minutes: i64| NOW.plus_us(minutes * 60_000_000);
    let asked = |store: &mut Store, deadline: Option<UtcMicros>| {
        let ask = Ask { deadline, ..ask(Kind::SlaReport, Some("a")) };
        store.write(|tables| enqueue(tables, &ask, NOW)).unwrap().job.deadline
    };
    // Without one it is late 15 minutes after it was due.
    assert_eq!(asked(&mut store, None), None);
    assert_eq!(asked(&mut store, Some(minute(20))), None, "no hurry");
    assert_eq!(asked(&mut store, Some(minute(10))), Some(minute(10)));
    assert_eq!(asked(&mut store, Some(minute(12))), Some(minute(10)));
    assert_eq!(asked(&mut store, Some(minute(5))), Some(minute(5)));
    assert_eq!(late(store.read(), minute(6), 10).unwrap().len(), 1);
    let mut job = list(store.read(), &Wanted::default(), 1).unwrap().remove(0);
    job.deadline = None;
    store.write(|tables| save(tables, &job, NOW)).unwrap();
    assert_eq!(list(store.read(), &Wanted::default(), 1).unwrap(), [job]);
}

#[test]
fn a_kind_is_full_when_so_many_wait() {
    let mut store = store();
    for n in 0..4 {
        let not_before = (n % 2 == 0).then(|| NOW.plus_us(5_000_000));
        store.write(|tables| enqueue(tables, &Ask { not_before, ..ask(Kind::Noop, None) }, NOW)).unwrap();
    }
    let full = |kind: Kind, most: usize| is_full(store.read(), kind, most).unwrap();
    assert_eq!([full(Kind::Noop, 4), full(Kind::Noop, 5), full(Kind::Export, 1)], [true, false, false]);
}

/// Where a change is written that what waits looks at, it comes at once; where none waits nothing is asked for.
#[test]
fn what_waits_is_hurried_by_a_change_and_nothing_is_made_of_it() {
    let mut store = store();
    store.write(|tables| hurry(tables, Kind::Insights, NOW)).unwrap();
    assert_eq!(list(store.read(), &Wanted::default(), 10).unwrap(), []);
    let later = Ask { not_before: Some(NOW.plus_us(30_000_000)), ..Ask::own(Kind::Insights) };
    store.write(|tables| enqueue(tables, &later, NOW)).unwrap();
    store.write(|tables| hurry(tables, Kind::Insights, NOW.plus_us(5))).unwrap();
    let jobs = list(store.read(), &Wanted::default(), 10).unwrap();
    assert_eq!((jobs.len(), jobs[0].standing.due), (1, NOW.plus_us(5)));
}

/// The defect: one row that could not be read stopped the queue, and sealing and retention with it.
#[test]
fn a_row_that_cannot_be_read_is_given_up_and_stops_nothing() {
    for damage in [
        "kind = 'of_another_build', state = 2",
        "args = '{', state = 2",
        "args = '{'",
        "priority = -5",
        "priority = 1001",
        "epoch = 1 << 40",
        "deaths = -1",
    ] {
        let mut store = store();
        let mut add =
            |kind: Kind, key: Option<&str>| store.write(|tables| enqueue(tables, &ask(kind, key), NOW)).unwrap().job.id;
        let (bad, good) = (add(Kind::Noop, Some("")), add(Kind::Noop, Some("other")));
        let damaged = format!("UPDATE job SET {damage}, rank = rank - 1 WHERE job_id = ?1");
        store.connection().execute(&damaged, params![bad.0]).unwrap();
        let found = store.write(|tables| {
            running(tables, NOW)?;
            ready(tables, Kind::Noop, 1, NOW)
        });
        let found: Vec<JobId> = found.unwrap().iter().map(|job| job.id).collect();
        assert_eq!(found, [good], "{damage}");
        let (state, note): (u8, String) = store
            .read()
            .query_row("SELECT state, note FROM job WHERE job_id = ?1", params![bad.0], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(state, FAILED, "{damage}");
        assert!(matches!(crate::jobs::Said::of(&note), Some(crate::jobs::Said::Unreadable { .. })), "{note}");
        // People see it, unless nobody here knows its kind; and it can be asked for again.
        let listed = list(store.read(), &Wanted::default(), 10).unwrap();
        assert_eq!(listed.len(), if damage.contains("another_build") { 1 } else { 2 }, "{damage}");
        assert!(counts(store.read()).unwrap().len() <= 2);
        assert!(store.write(|tables| enqueue(tables, &ask(Kind::Noop, Some("")), NOW)).unwrap().new, "{damage}");
    }
}

/// The same of a job that is asked for again while its row waits.
#[test]
fn a_row_that_cannot_be_read_does_not_stand_for_what_is_asked_for() {
    let mut store = store();
    store.write(|tables| enqueue(tables, &Ask::own(Kind::Seal), NOW)).unwrap();
    store.connection().execute("UPDATE job SET args = '{'", []).unwrap();
    assert!(store.write(|tables| enqueue(tables, &Ask::own(Kind::Seal), NOW)).unwrap().new);
    assert_eq!(store.write(|tables| ready(tables, Kind::Seal, 5, NOW)).unwrap().len(), 1);
}

#[test]
fn what_is_over_is_kept_by_count_and_by_age() {
    let mut store = store();
    let day = 86_400_000_000;
    for n in 0..10_i64 {
        let now = NOW.plus_us(n * day);
        let state = if n % 2 == 0 { State::Done } else { State::Failed };
        let job = store.write(|tables| enqueue(tables, &ask(Kind::Noop, None), now)).unwrap().job;
        let over = Job { standing: Standing { state, ..job.standing }, ended: Some(now), ..job };
        let line = Line { at: now, epoch: 1, text: "x".into() };
        store
            .write(|tables| {
                save(tables, &over, now)?;
                log(tables, over.bucket, over.id, &[line])
            })
            .unwrap();
    }
    store.write(|tables| enqueue(tables, &ask(Kind::Noop, None), NOW)).unwrap();
    // Of five that are done and five that failed three each stay.
    assert_eq!(store.write(|tables| forget(tables, Kind::Noop, 3, UtcMicros(0), 100)).unwrap(), 4);
    assert_eq!(store.write(|tables| forget(tables, Kind::Noop, 3, NOW.plus_us(6 * day), 100)).unwrap(), 2);
    let left = list(store.read(), &Wanted::default(), 100).unwrap();
    assert_eq!(left.len(), 5, "{left:?}");
    assert_eq!(left.iter().filter(|job| job.standing.state == State::Waiting).count(), 1);
    let lines: i64 = store.read().query_row("SELECT count(*) FROM job_log", [], |row| row.get(0)).unwrap();
    assert_eq!(lines, 4);
}

#[test]
fn a_failure_counts_until_a_later_round_went_well() {
    let mut store = store();
    let mut add = |key: Option<&str>, state: State, minute: i64| {
        let now = NOW.plus_us(minute * 60_000_000);
        let job = store.write(|tables| enqueue(tables, &ask(Kind::Backup, key), now)).unwrap().job;
        let over = Job { standing: Standing { state, ..job.standing }, ..job };
        store.write(|tables| save(tables, &over, now)).unwrap();
        failed(store.read(), NOW.plus_us(-1), 10).unwrap().len()
    };
    assert_eq!(add(Some(""), State::Failed, 0), 1);
    assert_eq!(add(Some(""), State::Failed, 1), 2);
    assert_eq!(add(None, State::Failed, 2), 3);
    assert_eq!(add(Some(""), State::Done, 3), 1, "the one without a key is a thing of its own");
}

/// The defect: an export that failed was debt for a week, though the same one was made a minute later; so was an hour whose scores were not written down.
#[test]
fn a_failure_counts_until_the_same_thing_was_done() {
    let mut store = store();
    let mut add = |kind: Kind, key: &str, state: State, minute: i64| {
        let now = NOW.plus_us(minute * 60_000_000);
        let job = store.write(|tables| enqueue(tables, &ask(kind, Some(key)), now)).unwrap().job;
        let over = Job { standing: Standing { state, ..job.standing }, ..job };
        store.write(|tables| save(tables, &over, now)).unwrap();
        failed(store.read(), NOW.plus_us(-1), 10).unwrap().len()
    };
    assert_eq!(add(Kind::Export, "of shop", State::Failed, 0), 1);
    assert_eq!(add(Kind::Export, "of api", State::Done, 1), 1, "another thing");
    assert_eq!(add(Kind::Export, "of shop", State::Done, 2), 0);
    assert_eq!(add(Kind::Export, "of shop", State::Failed, 3), 1, "it was done before");
    assert_eq!(add(Kind::Impact, "7/built-in@1", State::Failed, 4), 2);
    assert_eq!(add(Kind::Impact, "8/built-in@1", State::Done, 5), 1, "a later hour");
}

#[test]
fn buckets_are_within_bounds() {
    for n in 0..200 {
        assert!(ask(Kind::Noop, None).bucket(JobId(n)).0 < BUCKETS);
    }
}

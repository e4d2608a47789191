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
        "SELECT max(job_id) FROM job",
        "SELECT min(due_us) FROM job WHERE state = 0",
        "SELECT bucket, job_id FROM job WHERE state = 0 AND due_us <= 1 ORDER BY due_us LIMIT 5",
        "SELECT note FROM job WHERE state = 1 AND kind = 'noop' ORDER BY rank, job_id LIMIT 5",
        "SELECT EXISTS (SELECT 1 FROM job WHERE state = 1 AND kind = 'noop')",
        "SELECT note FROM job WHERE state = 2",
        "SELECT note FROM job WHERE job_id = 5",
        "SELECT note FROM job WHERE bucket = 1 AND kind = 'noop' AND dedupe = 'x' AND state <= 2",
        "SELECT note FROM job WHERE state <= 2 AND late_us < 5 ORDER BY late_us LIMIT 5",
        "SELECT note FROM job WHERE state = 4 AND kind = 'noop' AND job_id < 5 ORDER BY job_id DESC LIMIT 5",
        "SELECT note FROM job WHERE job_id < 5 ORDER BY job_id DESC LIMIT 5",
    ] {
        let mut statement = store.connection().prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> = statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        let plan = plan.join("; ");
        assert!(plan.contains("USING") && plan.contains("INDEX"), "{sql}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
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

#[test]
fn buckets_are_within_bounds() {
    for n in 0..200 {
        assert!(ask(Kind::Noop, None).bucket(JobId(n)).0 < BUCKETS);
    }
}

//! What scores were: the job that writes them down, hour by hour, and how they are told.

use std::path::Path;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::app::App;
use sitepulse_collector::engine::Engine;
use sitepulse_collector::exchange::export::{Wanted as Exported, export};
use sitepulse_collector::exchange::files::{Item, Reader};
use sitepulse_collector::exchange::{Format, Histories};
use sitepulse_collector::impact::hour::ask;
use sitepulse_collector::impact::task::settle;
use sitepulse_collector::jobs::{Given, Job, Kind, Said, Setup};
use sitepulse_collector::latency::Hour;
use sitepulse_collector::present::impact::impacts_view;
use sitepulse_collector::seal::retention::Retention;
use sitepulse_collector::store::jobs::Wanted;
use sitepulse_daemon::task::TaskSet;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::job::{JobId, State};
use sitepulse_model::time::{Span, UtcMicros};
use tokio::sync::watch;

use super::*;

#[tokio::test]
async fn what_scores_were_is_kept_with_their_model_until_it_is_too_old() {
    let (pages, _) = slow_page().await;
    let bench = &pages.bench;
    let now = clock::now();
    for hours in [60, 3, 2, 1] {
        settle(&bench.app, now.plus_us(-hours * 3_600_000_000)).await.unwrap();
    }
    bench.apply("[[scoring]]\nid = \"default\"\nweb_vitals = { weight = 0 }\n", json!({})).await;
    settle(&bench.app, clock::now()).await.unwrap();
    let one = get(bench, "/shop-vitals").await;
    assert_eq!(one["model"], "default@1");
    assert!(one["contributions"].as_array().unwrap().iter().all(|part| part["module"] == "availability"), "{one}");
    let history = one["history"].as_array().unwrap();
    let models: Vec<&str> = history.iter().map(|hour| hour["model"].as_str().unwrap()).collect();
    assert_eq!(models, ["built-in@1", "built-in@1", "built-in@1", "built-in@1", "default@1"]);
    assert_eq!(history[4]["score"], one["score"]);
    // The model of then, not of now.
    assert_eq!(get(bench, "/shop-vitals?at=-1h").await["model"], "built-in@1");
    let retention = Retention { hourly_us: Some(2 * DAY_US.unsigned_abs()), ..Retention::default() };
    let later = pages.now.plus_us(5 * DAY_US);
    // The newest slot holds the clock back to a day after it: what is 60 hours old goes, yesterday's stays.
    bench.app.writer().run(move |engine| engine.expire_now(retention, later).unwrap()).await.unwrap();
    assert_eq!(get(bench, "/shop-vitals").await["history"].as_array().unwrap().len(), 4);
}

/// A runner of jobs over a bench.
struct Runner {
    tasks: TaskSet,
    stop: watch::Sender<bool>,
}

impl Runner {
    fn over(app: &App) -> Self {
        let (stop, stopping) = watch::channel(false);
        let tasks = TaskSet::new();
        tasks.spawn(
            "jobs",
            sitepulse_collector::jobs::task::run(app.clone(), Setup::default(), tasks.clone(), stopping),
        );
        Self { tasks, stop }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.tasks.join_all(Duration::from_secs(60)).await.unwrap();
    }
}

/// Asks for the job of an hour.
async fn asked(app: &App, hour: Hour, model: &str) -> JobId {
    let ask = ask(hour, model);
    let asked = app.writer().run(move |engine| engine.enqueue(&[ask], clock::now()).unwrap()).await.unwrap();
    asked[0].job.id
}

/// How many scores a job says it wrote down.
fn scores(job: &Job) -> Option<u64> {
    let Some(Said::Written { scores, .. }) = Said::of(&job.note) else { return None };
    Some(scores)
}

/// Waits until a job is over.
async fn over(app: &App, id: JobId) -> Job {
    let waiting = async {
        loop {
            let jobs = app.writer().run(|engine| engine.jobs(&Wanted::default(), 100).unwrap()).await.unwrap();
            let job = jobs.into_iter().find(|job| job.id == id).unwrap();
            if job.standing.state.is_over() {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it is over within a minute")
}

#[tokio::test]
async fn what_scores_were_is_a_job_that_can_be_run_at_any_time() {
    let (pages, agent) = slow_page().await;
    let (bench, app) = (&pages.bench, &pages.bench.app);
    let runner = Runner::over(app);
    let hour = Hour::of(clock::now());
    let first = over(app, asked(app, hour, "built-in@1").await).await;
    assert_eq!((first.kind, first.standing.state), (Kind::Impact, State::Done), "{first:?}");
    // The check, its region and all together: it is in no group.
    assert_eq!(scores(&first), Some(3), "{}", first.note);
    let told = get(bench, "/shop-vitals").await;
    let history = |view: &Value| view["history"].as_array().unwrap().clone();
    assert_eq!(history(&told).len(), 1, "{told}");

    // Things get worse, and it is run once more: what was told of the hour stays.
    let down = Found { down: true, ..Found::default() };
    let entries = (1..40).map(|run| pages.entry(pages.result(agent, -run * 15, &down)));
    pages.ingest(agent, entries.collect()).await;
    let again = over(app, asked(app, hour, "built-in@1").await).await;
    assert_ne!(again.id, first.id);
    assert_eq!(scores(&again), Some(0), "{}", again.note);
    assert_eq!(history(&get(bench, "/shop-vitals").await), history(&told));

    // One that comes to its turn long after its hour finds that hour's scores from the evidence.
    let late = Hour(hour.0 - 5);
    let done = over(app, asked(app, late, "built-in@1").await).await;
    assert_eq!(scores(&done), Some(3), "{}", done.note);
    let then = get(bench, &format!("/shop-vitals?at={}", instant::format(late.start()))).await;
    let both = history(&get(bench, "/shop-vitals").await);
    assert_eq!((both.len(), &both[0]["score"]), (2, &then["score"]));
    let regions = bench.get("/api/v1/impact-history?region=eu-west").await.json();
    assert_eq!(regions["hours"].as_array().unwrap().len(), 2, "{regions}");

    // A model that nobody ever wrote tells nothing.
    let unknown = over(app, asked(app, late, "default@7").await).await;
    assert_eq!((unknown.standing.state, unknown.standing.tries), (State::Failed, 1));
    assert_eq!(Said::of(&unknown.note), Some(Said::NoModel { label: "default@7".into() }), "{}", unknown.note);
    runner.stop().await;
}

#[tokio::test]
async fn a_crash_between_lease_and_rows_costs_no_hour() {
    let dir = tempfile::tempdir().unwrap();
    let hour = Hour::of(clock::now());
    let id = {
        let pages = Pages::at(dir.path()).await;
        let agent = pages.enrol("eu-west", "w").await;
        let entries = (0..96).rev().map(|run| pages.entry(pages.result(agent, run * 15, &Found::default())));
        pages.ingest(agent, entries.collect()).await;
        let id = asked(&pages.bench.app, hour, "built-in@1").await;
        // It is handed out, and the process is gone before a row is written.
        let lease = |engine: &mut sitepulse_collector::engine::Engine| {
            let given = Given { take: true, ..Given::default() };
            engine.take_job_turn(Vec::new(), &given, &Setup::default(), clock::now()).unwrap().0.handed.len()
        };
        assert_eq!(pages.bench.app.writer().run(lease).await.unwrap(), 1);
        pages.bench.app.close().await;
        id
    };
    let bench = Bench::at(dir.path());
    let runner = Runner::over(&bench.app);
    let job = over(&bench.app, id).await;
    assert_eq!((job.standing.state, job.standing.epoch, job.standing.tries), (State::Done, 2, 1), "{job:?}");
    assert_eq!(get(&bench, "/shop-vitals").await["history"].as_array().unwrap().len(), 1);
    runner.stop().await;
}

#[tokio::test]
async fn the_task_asks_for_one_job_an_hour_and_for_checks_that_come_later() {
    let (pages, _) = slow_page().await;
    let app = &pages.bench.app;
    let runner = Runner::over(app);
    let (stop, stopping) = watch::channel(false);
    let tasks = TaskSet::new();
    tasks.spawn("impact scores", sitepulse_collector::impact::task::run(app.clone(), stopping));
    let jobs = async || {
        let wanted = Wanted { kind: Some(Kind::Impact), ..Wanted::default() };
        app.writer().run(move |engine| engine.jobs(&wanted, 100).unwrap()).await.unwrap()
    };
    let until = async |count: usize| {
        let waiting = async {
            while jobs().await.into_iter().filter(|job| job.standing.state == State::Done).count() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("so many are done within a minute");
    };
    until(1).await;
    assert_eq!(get(&pages.bench, "/shop-vitals").await["history"].as_array().unwrap().len(), 1);
    pages.bench.apply(super::super::bench::CHECK, json!({})).await;
    until(2).await;
    stop.send_replace(true);
    tasks.join_all(Duration::from_secs(60)).await.unwrap();
    let list = pages.bench.get("/api/v1/jobs?kind=impact").await.json();
    assert!(list.as_array().unwrap().iter().all(|job| job["author"] == "collector"), "{list}");
    runner.stop().await;
}

#[tokio::test]
async fn groups_and_regions_have_a_history_and_all_of_it_is_a_table() {
    let pages = two_regions().await;
    let bench = &pages.bench;
    for hours in [3, 2, 1, 0] {
        settle(&bench.app, clock::now().plus_us(-hours * 3_600_000_000)).await.unwrap();
    }
    let history = async |query: &str| {
        let answer = bench.get(&format!("/api/v1/impact-history{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["hours"].as_array().unwrap().clone()
    };
    let list = get(bench, "").await;
    for (query, newest) in [
        ("", &list["whole"]["score"]),
        ("?group=front", &list["groups"][0]["score"]),
        ("?region=us-east", &list["regions"][0]["score"]),
        ("?check=shop-vitals", &list["checks"][0]["score"]),
    ] {
        let hours = history(query).await;
        assert_eq!((hours.len(), &hours[3]["score"]), (4, newest), "{query}");
    }
    assert!(history("?group=none").await.is_empty());
    for bad in ["?check=shop-vitals&group=front", "?at=2100-01-01", "?colour=red"] {
        assert_eq!(bench.get(&format!("/api/v1/impact-history{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let csv = bench.get("/api/v1/impact-history.csv?group=front").await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8; header=present");
    let lines: Vec<&str> = csv.text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (5, "at,check,group,region,score,model"));
    let table = bench.get("/api/v1/impact-scores.csv").await.text;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(
        lines.iter().map(|line| line[0]).collect::<Vec<_>>(),
        ["of", "check", "group", "region", "region", "all"]
    );
    let score = |line: &[&str]| (line[6].parse::<f64>().unwrap() * 100.0).round() as i64;
    let points = |line: &[&str]| -> i64 {
        line[12..]
            .iter()
            .filter_map(|cell| cell.parse::<f64>().ok())
            .map(|points| (points * 100.0).round() as i64)
            .sum()
    };
    assert_eq!(lines[1].len(), lines[0].len());
    assert_eq!((score(&lines[1]), points(&lines[1])), (hundredths(&list["checks"][0]["score"]), score(&lines[1])));
    // The pages show their courses.
    for lang in ["en", "fr"] {
        let page = bench.get(&format!("/impact?lang={lang}")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        assert!(
            page.text.matches("class=\"sparkline\"").count() >= 4 && page.text.contains("us-east"),
            "{}",
            page.text
        );
        let check = bench.get(&format!("/checks/shop-vitals?lang={lang}")).await.text;
        assert!(check.contains("impact-history.csv?check=shop-vitals") && check.contains("us-east"), "{check}");
    }
}

/// A score's parts that add something: what of it is stored.
fn added(view: &Value) -> Vec<Value> {
    let parts = view["contributions"].as_array().unwrap();
    parts.iter().filter(|part| part["points"].as_f64() > Some(0.0)).cloned().collect()
}

/// What a score is, but for the values: seven digits of those are stored.
fn told(view: &Value) -> Value {
    let mut parts = added(view);
    for part in &mut parts {
        part.as_object_mut().unwrap().remove("value");
    }
    json!([view["score"], view["band"], view["raised"], view["checks"], view["scored"], view["dominant"], parts])
}

/// Scores of an hour that is over, and what late results made of its evidence since.
async fn hour_that_is_over(dir: &Path) -> (Pages, Value, String) {
    let pages = seen_by_two(Pages::at(dir).await).await;
    let bench = &pages.bench;
    let more = "[[check]]\nid = \"calm\"\nkind = \"http\"\nurl = \"http://127.0.0.1:1/\"\n";
    bench.apply(more, json!({})).await;
    settle(&bench.app, in_the_last_hour(5)).await.unwrap();
    // Read as an answer is, for reading a number may cost its last bit.
    let then = serde_json::to_string(&impacts_view(&bench.app.board().newest().unwrap(), None)).unwrap();
    let then = serde_json::from_str(&then).unwrap();
    // Somebody who was cut off saw it down all the time.
    let agent = pages.enrol("eu-west", "late").await;
    let down = Found { down: true, ..Found::default() };
    let entries = (0..3 * 96).rev().map(|run| pages.entry(pages.result(agent, run * 15, &down)));
    pages.ingest(agent, entries.collect()).await;
    let at = instant::format(in_the_last_hour(40));
    (pages, then, at)
}

/// What `verify` says.
fn verified(dir: &Path) -> (Option<i32>, Value) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sitepulse-collector"));
    let answer = command.args(["verify", "--json", "--data-dir"]).arg(dir).output().unwrap();
    let told: Value = serde_json::from_slice(&answer.stdout).unwrap();
    (answer.status.code(), told["problems"].clone())
}

/// The defect: of a past hour the score alone was kept, and what it was made of was found again, of another score.
#[tokio::test]
async fn a_past_hour_is_told_as_it_was_stored_whatever_is_known_since() {
    let dir = tempfile::tempdir().unwrap();
    let (pages, then, at) = hour_that_is_over(dir.path()).await;
    assert_eq!(verified(dir.path()), (Some(0), json!([])));
    let bench = &pages.bench;
    let list = get(bench, &format!("?at={at}")).await;
    let check = |view: &Value| {
        view["checks"].as_array().unwrap().iter().find(|one| one["check"] == "shop-vitals").unwrap().clone()
    };
    for (stored, was) in [
        (&check(&list), &check(&then)),
        (&list["whole"], &then["whole"]),
        (&list["groups"][0], &then["groups"][0]),
        (&list["regions"][0], &then["regions"][0]),
        (&list["regions"][1], &then["regions"][1]),
    ] {
        assert_eq!(told(stored), told(was));
        assert_eq!(stored["basis"], "stored", "{stored}");
        let raised = stored["raised"].as_object().map_or(0, |raised| hundredths(&raised["points"]));
        assert_eq!(sum(&stored["contributions"]) + raised, hundredths(&stored["score"]), "{stored}");
    }
    assert!(hundredths(&check(&list)["score"]) > 0);
    for (part, was) in added(&check(&list)).iter().zip(added(&check(&then))) {
        let (value, was) = (part["value"].as_f64().unwrap(), was["value"].as_f64().unwrap());
        assert!((value - was).abs() <= was.abs() * 1e-6, "{value} {was}");
    }
    // Of one check the same, with its sentence; and the history has the very score.
    let one = get(bench, &format!("/shop-vitals?at={at}")).await;
    assert_eq!((told(&one), &one["reason"]), (told(&check(&list)), &check(&then)["reason"]));
    assert_eq!(one["history"].as_array().unwrap().last().unwrap()["score"], one["score"]);
    assert_eq!(one["at"], instant::format(Hour::of(in_the_last_hour(40)).start()));
    // What is known today says something else, and says so.
    let again = get(bench, &format!("/shop-vitals?at={at}&evidence=true")).await;
    assert_eq!(again["basis"], "evidence");
    let available = |view: &Value| part(view, "weighted_availability")["value"].as_f64().unwrap();
    assert!(available(&again) < available(&one) - 0.1, "{again} {one}");
    assert_eq!(get(bench, "").await["checks"][0]["basis"], "now");
    // People see the same.
    for (lang, stored, signal) in [
        ("en", "As it was stored in that hour", "weighted availability"),
        ("fr", "Tels que conservés à cette heure-là", "disponibilité pondérée"),
    ] {
        let page = bench.get(&format!("/impact?lang={lang}&at={at}&check=shop-vitals")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let score = format!("{:.2}", one["score"].as_f64().unwrap());
        let score = if lang == "fr" { score.replace('.', ",") } else { score };
        for word in [stored, signal, score.as_str()] {
            assert!(page.text.contains(word), "{word}: {}", page.text);
        }
    }
    for (query, words) in [("at=2100-01-01", "ce moment est à venir"), ("check=none", "aucun contrôle ne s’appelle")]
    {
        let page = bench.get(&format!("/impact?lang=fr&{query}")).await.text;
        assert!(page.contains(words), "{page}");
    }
}

#[tokio::test]
async fn an_hour_of_which_the_score_alone_is_known_is_found_again_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (pages, _, at) = hour_that_is_over(dir.path()).await;
    let bench = &pages.bench;
    let forget = |engine: &mut sitepulse_collector::engine::Engine| {
        let sql = "UPDATE impact_day SET made = NULL; UPDATE impact_set_day SET made = x'0102'";
        engine.store().connection().execute_batch(sql).unwrap();
    };
    bench.app.writer().run(forget).await.unwrap();
    let (code, problems) = verified(dir.path());
    assert_eq!(code, Some(4));
    for of in ["group front", "region eu-west", "region us-east"] {
        assert!(problems.to_string().contains(&format!("scores of {of} on day")), "{problems}");
    }
    let list = get(bench, &format!("?at={at}")).await;
    let again = get(bench, &format!("?at={at}&evidence=true")).await;
    assert_eq!(list["checks"], again["checks"]);
    assert_eq!((&list["whole"], &list["groups"]), (&again["whole"], &again["groups"]));
    assert!(list["checks"].as_array().unwrap().iter().all(|one| one["basis"] == "evidence"), "{list}");
    assert_eq!(list["regions"], json!([]));
    for (lang, words) in
        [("en", "Found again from the evidence as it is known today"), ("fr", "Scores recalculés d’après")]
    {
        let page = bench.get(&format!("/impact?lang={lang}&at={at}")).await.text;
        assert!(page.contains(words), "{page}");
    }
    // The history tells the score that was told then, as ever.
    assert_eq!(get(bench, "/shop-vitals").await["history"].as_array().unwrap().len(), 1);
}

/// The histories of an export of all that there is in a data directory.
fn exported(dir: &Path, name: &str) -> Histories {
    let path = dir.join(name);
    let format = Format::of(&path).unwrap();
    let wanted = Exported { checks: Vec::new(), span: Span::new(UtcMicros::MIN, UtcMicros::MAX) };
    export(dir, &wanted, &path, format, clock::now(), &mut |_, _| std::ops::ControlFlow::Continue(())).unwrap();
    let mut reader = Reader::open(&path, format).unwrap();
    loop {
        if let Item::Histories(read) = reader.read().unwrap().expect("histories") {
            return *read;
        }
    }
}

async fn imported(bench: &Bench, histories: &Histories) -> Result<(), String> {
    let histories = histories.clone();
    let import = move |engine: &mut Engine| engine.import_histories(&histories, "collector:cli", clock::now());
    bench.app.writer().run(import).await.unwrap().map(drop).map_err(|error| error.to_string())
}

/// Every row of scores as it is stored.
async fn rows(bench: &Bench) -> Vec<String> {
    let read = |engine: &mut Engine| {
        let sql = "SELECT check_no || ' ' || day || ' ' || model || ' ' || hex(hours) || ' ' || hex(made) FROM impact_day \
                   UNION ALL SELECT kind || name || ' ' || day || ' ' || model || ' ' || hex(hours) || ' ' || hex(made) FROM impact_set_day \
                   ORDER BY 1";
        let mut statement = engine.store().connection().prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<Vec<String>, _>>().unwrap()
    };
    bench.app.writer().run(read).await.unwrap()
}

/// The hours of the check, its group, a region and all of them.
async fn courses(bench: &Bench) -> Vec<Value> {
    let mut found = Vec::new();
    for query in ["?check=shop-vitals", "?group=front", "?region=us-east", ""] {
        let answer = bench.get(&format!("/api/v1/impact-history{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
        found.push(answer.json()["hours"].clone());
    }
    found
}

fn models(course: &Value) -> Vec<&str> {
    course.as_array().unwrap().iter().map(|hour| hour["model"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_scores_were_goes_along_with_an_export() {
    let dir = tempfile::tempdir().unwrap();
    let pages = seen_by_two(Pages::at(dir.path()).await).await;
    let bench = &pages.bench;
    // Two hours of one day, with an export between them; and one by a model of its own.
    let noon = UtcMicros((clock::now().0.div_euclid(DAY_US) - 1) * DAY_US + DAY_US / 2);
    settle(&bench.app, noon).await.unwrap();
    let early = exported(dir.path(), "early.jsonl");
    settle(&bench.app, noon.plus_us(3_600_000_000)).await.unwrap();
    let scoring = "[[scoring]]\nid = \"default\"\nweb_vitals = { weight = 0 }\n";
    assert_eq!(bench.apply(scoring, json!({})).await.status, StatusCode::OK);
    settle(&bench.app, clock::now()).await.unwrap();
    let (before, stored) = (courses(bench).await, rows(bench).await);
    for course in &before {
        assert_eq!(models(course), ["built-in@1", "built-in@1", "default@1"]);
    }
    for name in ["all.jsonl", "all.parquet"] {
        let histories = exported(dir.path(), name);
        let of: std::collections::BTreeSet<&str> = histories.scores.iter().map(|one| one.of.as_str()).collect();
        let all = ["all", "check:shop-vitals", "group:front", "region:eu-west", "region:us-east"];
        assert_eq!(of.into_iter().collect::<Vec<_>>(), all, "{name}");

        // Where they came from nothing changes; what they were made of neither.
        imported(bench, &histories).await.unwrap();
        assert_eq!(rows(bench).await, stored, "{name}");

        // Elsewhere, twice. The defect: of a day that an earlier export had begun the rest was left out.
        let other = Bench::new();
        imported(&other, &early).await.unwrap();
        assert_eq!(courses(&other).await.iter().map(|course| models(course).len()).collect::<Vec<_>>(), [1; 4]);
        imported(&other, &histories).await.unwrap();
        assert_eq!(courses(&other).await, before, "{name}");
        let once = rows(&other).await;
        assert!(once.len() == stored.len() && once.iter().all(|row| row.ends_with(' ')), "the scores alone: {once:?}");
        imported(&other, &histories).await.unwrap();
        assert_eq!(rows(&other).await, once, "{name}");

        // Where `default` has another history its versions mean another model.
        let own = Bench::new();
        assert_eq!(own.apply(scoring, json!({})).await.status, StatusCode::OK);
        imported(&own, &histories).await.unwrap();
        for course in courses(&own).await {
            assert_eq!(models(&course), ["built-in@1", "built-in@1"], "{name}");
        }

        for bad in [vec![5; 23], [vec![5; 23], vec![10_001]].concat()] {
            let mut broken = histories.clone();
            broken.scores[0].hours = bad;
            let none = Bench::new();
            let error = imported(&none, &broken).await.unwrap_err();
            assert!(error.contains("there must be 24 hours, each -1 or 0 to 10000"), "{error}");
            assert!(none.app.book().checks().next().is_none() && rows(&none).await.is_empty(), "all or nothing");
        }
    }
}

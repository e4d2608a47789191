//! Jobs as people and scripts see them: lists, logs, files, who may do what, the debt, the figures.

use std::collections::BTreeSet;

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::jobs::{Ask, Given, Kind, Over, Setup};
use sitepulse_collector::outbox::Done;
use sitepulse_collector::present::door::Door;
use sitepulse_daemon::clock;
use sitepulse_model::delivery::Answer as Provider;
use sitepulse_model::job::Ended;

use super::bench::{Answer, Bench, NETWORK};
use super::incidents::{down, recover};

async fn asked(bench: &Bench, body: &Value) -> Value {
    let answer = bench.post("/api/v1/jobs", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

/// Runs what is due as the runner does, in this very thread: each of it ends as told.
async fn run(bench: &Bench, ended: Ended, note: &'static str) {
    let turn = move |engine: &mut sitepulse_collector::engine::Engine| {
        let (given, setup) = (Given { take: true, ..Given::default() }, Setup::default());
        let (turn, _) = engine.take_job_turn(Vec::new(), &given, &setup, clock::now()).unwrap();
        let over = turn.handed.into_iter().map(|job| Over {
            job,
            ended,
            note: note.into(),
            progress: 400,
            file: None,
            lines: Vec::new(),
            took_us: 5,
        });
        engine.take_job_turn(over.collect(), &Given::default(), &setup, clock::now()).unwrap();
    };
    bench.app.writer().run(turn).await.unwrap();
}

#[tokio::test]
async fn jobs_are_listed_page_by_page_and_told_with_their_log() {
    let bench = Bench::new();
    let mut ids = Vec::new();
    for priority in [100, 900, 500] {
        let job = asked(&bench, &json!({"kind": "noop", "priority": priority, "args": {"wait_ms": 5}})).await;
        assert_eq!(
            (&job["state"], &job["priority"], &job["author"]),
            (&json!("waiting"), &json!(priority), &json!("collector:cli"))
        );
        ids.insert(0, job["id"].as_str().unwrap().to_owned());
    }
    let first = bench.get("/api/v1/jobs?kind=noop&state=waiting&limit=2").await;
    let told = |answer: &Answer| -> Vec<String> {
        answer.json().as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(told(&first), ids[..2], "the newest first");
    let link = first.headers[header::LINK].to_str().unwrap().to_owned();
    let next = link.split(['<', '>']).nth(1).unwrap();
    let second = bench.get(next).await;
    assert_eq!(told(&second), ids[2..]);
    assert!(!second.headers.contains_key(header::LINK));
    for bad in ["?state=lost", "?kind=nothing", "?colour=red"] {
        assert_eq!(bench.get(&format!("/api/v1/jobs{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let path = format!("/api/v1/jobs/{}", ids[0]);
    let raised = bench.post(&format!("{path}/priority"), &json!({"priority": 950})).await;
    assert_eq!((raised.status, &raised.json()["priority"]), (StatusCode::OK, &json!(950)));
    assert_eq!(
        bench.post(&format!("{path}/priority"), &json!({"priority": 1001})).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(bench.post(&format!("{path}/cancel"), &json!({})).await.json()["state"], "cancelled");
    assert_eq!(bench.post(&format!("{path}/cancel"), &json!({})).await.status, StatusCode::CONFLICT);
    assert_eq!(bench.post(&format!("{path}/retry"), &json!({})).await.json()["state"], "waiting");
    let log: Vec<String> = bench.get(&path).await.json()["log"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(log, ["priority 950 by collector:cli", "cancelled by collector:cli", "taken up again by collector:cli"]);
    assert_eq!(bench.get("/api/v1/jobs/zzzz").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_asked_for_is_judged_before_it_waits() {
    let bench = Bench::new();
    bench
        .apply("[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\ngroup = \"web\"\n", json!({}))
        .await;
    for (bad, why) in [
        (json!({"kind": "nothing"}), "there is no kind"),
        (json!({"kind": "seal"}), "come by themselves"),
        (json!({"kind": "backup", "args": {"with_seal_key": true}}), "told nothing"),
        (json!({"kind": "export", "args": {"format": "xml"}}), "args"),
        (json!({"kind": "export", "args": {"format": "csv", "from": "-1d", "to": "-2d"}}), "period is empty"),
        (json!({"kind": "run_checks"}), "name a `group`"),
        (json!({"kind": "run_checks", "args": {"group": "none"}}), "no check"),
        (json!({"kind": "run_checks", "args": {"checks": ["gone"]}}), "there is no check gone"),
        (json!({"kind": "vitals_batch", "args": {"group": "web"}}), "no check"),
        (json!({"kind": "noop", "priority": 1001}), "write 0 to 1000"),
        (json!({"kind": "noop", "not_before": "soon"}), "not_before"),
    ] {
        let answer = bench.post("/api/v1/jobs", &bad).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}: {}", answer.text);
        assert!(answer.text.contains(why), "{bad}: {}", answer.text);
    }
    let run = json!({"kind": "run_checks", "args": {"group": "web"}});
    let (first, again) = (asked(&bench, &run).await, asked(&bench, &run).await);
    assert_eq!(first["id"], again["id"], "one job does it for both");
    assert_eq!(bench.get("/api/v1/jobs").await.json().as_array().unwrap().len(), 1);
}

/// The defect: whoever may ask could fill the queue without end.
#[tokio::test]
async fn a_kind_of_which_too_many_wait_takes_no_more_and_says_what_to_do() {
    let bench = Bench::new();
    let waiting = Kind::Export.spec().waiting;
    let body = json!({"kind": "export", "args": {"format": "csv"}});
    let first = asked(&bench, &body).await;
    let fill = move |engine: &mut sitepulse_collector::engine::Engine| {
        let asks: Vec<Ask> = (1..waiting).map(|_| Ask { key: None, ..Ask::own(Kind::Export) }).collect();
        engine.enqueue(&asks, clock::now()).unwrap().len()
    };
    assert_eq!(bench.app.writer().run(fill).await.unwrap(), waiting - 1);
    let more = bench.post("/api/v1/jobs", &json!({"kind": "export", "args": {"format": "jsonl"}})).await;
    assert_eq!(more.status, StatusCode::CONFLICT, "{}", more.text);
    assert!(more.text.contains("1000 jobs of the kind export wait already") && more.text.contains("--state waiting"));
    // What waits already is no more, and other kinds have room.
    assert_eq!(asked(&bench, &body).await["id"], first["id"]);
    asked(&bench, &json!({"kind": "noop"})).await;
    // One is taken back: there is room for one.
    bench.post(&format!("/api/v1/jobs/{}/cancel", first["id"].as_str().unwrap()), &json!({})).await;
    asked(&bench, &json!({"kind": "export", "args": {"format": "jsonl"}})).await;
}

#[tokio::test]
async fn who_may_ask_for_a_kind_may_change_it_and_take_its_file() {
    let bench = Bench::new();
    let edit = format!("Bearer {}", bench.token(CredentialKind::ApiToken, Access::Edit).await);
    let send = async |method: &str, path: &str, body: &Value| {
        bench
            .send(
                NETWORK,
                method,
                path,
                &[("authorization", &edit), ("content-type", "application/json")],
                &body.to_string(),
            )
            .await
            .status
    };
    assert_eq!(
        send("POST", "/api/v1/jobs", &json!({"kind": "export", "args": {"format": "jsonl"}})).await,
        StatusCode::OK
    );
    for kind in ["backup", "noop"] {
        assert_eq!(send("POST", "/api/v1/jobs", &json!({"kind": kind})).await, StatusCode::FORBIDDEN, "{kind}");
        let job = asked(&bench, &json!({"kind": kind})).await;
        let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
        for act in ["cancel", "retry"] {
            assert_eq!(send("POST", &format!("{path}/{act}"), &json!({})).await, StatusCode::FORBIDDEN, "{kind} {act}");
        }
        assert_eq!(send("GET", &format!("{path}/file"), &Value::Null).await, StatusCode::FORBIDDEN);
        assert_eq!(bench.get(&format!("{path}/file")).await.status, StatusCode::NOT_FOUND, "it made none");
    }
}

#[tokio::test]
async fn what_is_late_or_failed_is_debt_and_is_counted() {
    let bench = Bench::new();
    let debt = async || bench.get("/api/v1/kpi").await.json()["debt"].clone();
    let term = |debt: &Value, name: &str| {
        debt["terms"].as_array().unwrap().iter().find(|term| term["term"] == name).unwrap().clone()
    };
    assert_eq!(term(&debt().await, "overdue_jobs")["count"], 0);
    asked(&bench, &json!({"kind": "noop", "priority": 500, "deadline": "-1m"})).await;
    let late = term(&debt().await, "overdue_jobs");
    assert_eq!((&late["count"], &late["points"]), (&json!(1), &json!(2.0)), "1 + 500/500");
    run(&bench, Ended::Refused, "it cannot work").await;
    let after = debt().await;
    assert_eq!(term(&after, "overdue_jobs")["count"], 0);
    let failed = term(&after, "failed_jobs");
    assert_eq!((&failed["count"], &failed["points"]), (&json!(1), &json!(2.0)));
    assert!(failed["named"][0].as_str().unwrap().starts_with("noop "), "{failed}");
    let summary = bench.get("/api/v1/jobs/summary").await.json();
    assert_eq!((&summary["late"], &summary["failed"], &summary["messages_waiting"]), (&json!(0), &json!(1), &json!(0)));
    let metrics = bench.get("/metrics").await.text;
    for line in [
        "sitepulse_jobs{kind=\"noop\",state=\"failed\"} 1",
        "sitepulse_jobs{kind=\"seal\",state=\"waiting\"} 0",
        "sitepulse_job_run_seconds_total{kind=\"noop\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn the_page_shows_jobs_in_both_languages_and_acts_for_who_may() {
    let bench = Bench::new();
    let hostile = Ask {
        kind: Kind::Noop,
        key: Some("<script>alert(1)</script>".into()),
        author: "collector:<b>".into(),
        ..Ask::own(Kind::Noop)
    };
    bench.app.writer().run(move |engine| engine.enqueue(&[hostile], clock::now()).unwrap()).await.unwrap();
    run(&bench, Ended::Refused, "<img src=x>").await;
    let english = bench.get("/jobs?lang=en").await;
    assert_eq!(english.status, StatusCode::OK);
    assert!(english.text.contains("Messages about incidents") && english.text.contains("failed"), "{}", english.text);
    for bad in ["<script>alert", "<img src=x>", "collector:<b>"] {
        assert!(!english.text.contains(bad), "{bad}");
    }
    let french = bench.get("/jobs?lang=fr").await.text;
    assert!(
        french.contains("Tâches") && french.contains("Messages d’incident") && french.contains("échouée"),
        "{french}"
    );
    let id = bench.get("/api/v1/jobs").await.json()[0]["id"].as_str().unwrap().to_owned();
    let page = bench.get(&format!("/jobs/{id}")).await.text;
    assert!(page.contains("Try again") && !page.contains("<img src=x>"), "{page}");
    let form = async |path: &str, body: &str| {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        bench.send(sitepulse_collector::present::door::Door::Local, "POST", path, &headers, body).await
    };
    let again = form(&format!("/jobs/{id}/retry"), "").await;
    assert_eq!(
        (again.status, &again.headers[header::LOCATION]),
        (StatusCode::SEE_OTHER, &format!("/jobs/{id}").parse().unwrap())
    );
    assert_eq!(form(&format!("/jobs/{id}/priority"), "priority=990").await.status, StatusCode::SEE_OTHER);
    assert_eq!(bench.get(&format!("/api/v1/jobs/{id}")).await.json()["job"]["priority"], 990);
    assert_eq!(form(&format!("/jobs/{id}/priority"), "priority=many").await.status, StatusCode::BAD_REQUEST);
    // What it said has words in each language; the API tells it in English.
    let french = bench.get(&format!("/jobs/{id}?lang=fr")).await.text;
    assert!(french.contains("reprise par cli") && french.contains("priorité 990 par cli"), "{french}");
    let english = bench.get(&format!("/jobs/{id}?lang=en")).await.text;
    assert!(english.contains("taken up again by collector:cli") && !english.contains("taken_up"), "{english}");
    run(&bench, Ended::Refused, "{\"no_such_check\":{\"check\":\"gone\"}}").await;
    assert_eq!(bench.get(&format!("/api/v1/jobs/{id}")).await.json()["job"]["note"], "there is no check gone");
    assert!(bench.get(&format!("/jobs/{id}?lang=fr")).await.text.contains("il n’y a pas de contrôle gone"));
    assert_eq!(form(&format!("/jobs/{id}/retry"), "").await.status, StatusCode::SEE_OTHER);
    run(&bench, Ended::Done, "{\"sealed\":{\"records\":7}}").await;
    assert_eq!(bench.get(&format!("/api/v1/jobs/{id}")).await.json()["job"]["note"], "7 results sealed");
    assert!(bench.get(&format!("/jobs/{id}?lang=fr")).await.text.contains("7 résultats scellés"));
    let backup = form("/jobs", "kind=backup").await;
    assert_eq!(backup.status, StatusCode::SEE_OTHER, "{}", backup.text);
    // Who only looks is offered nothing to do.
    let token = format!("Bearer {}", bench.token(CredentialKind::ApiToken, Access::Read).await);
    let read = bench.send(NETWORK, "GET", &format!("/jobs/{id}"), &[("authorization", &token)], "").await;
    assert!(!read.text.contains("<form method=\"post\" action=\"/jobs"), "{}", read.text);
}

/// What became of the one message that waits, as the dispatcher has it.
async fn attempt(bench: &Bench, answer: Provider) -> Value {
    let turn = move |engine: &mut sitepulse_collector::engine::Engine| {
        let now = clock::now();
        let handed = engine.take_turn(Vec::new(), &BTreeSet::new(), now).unwrap().handed;
        let done = handed.iter().map(|message| Done {
            message: message.clone(),
            began: now,
            took_us: 2_000_000,
            answer,
            note: "HTTP 503".into(),
            left: Vec::new(),
        });
        let (done, count) = (done.collect(), handed.len());
        engine.take_turn(done, &BTreeSet::new(), now).unwrap();
        count
    };
    assert_eq!(bench.app.writer().run(turn).await.unwrap(), 1, "one message was handed out");
    bench.get("/api/v1/jobs?kind=notification").await.json()[0].clone()
}

/// All asynchronous work is in one place: a message that waits, is tried again or was given up is a row like any other, and the same verbs do what the outbox does.
#[tokio::test]
async fn messages_about_incidents_are_jobs_among_others() {
    let (bench, _) = down().await;
    asked(&bench, &json!({"kind": "noop"})).await;
    let all = bench.get("/api/v1/jobs").await.json();
    let kinds: Vec<&str> = all.as_array().unwrap().iter().map(|job| job["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["noop", "notification"], "the newest first: {all}");
    let message = &all[1];
    let id = message["id"].as_str().unwrap().to_owned();
    assert_eq!(message["key"].as_str().unwrap().replace('/', "."), id);
    assert_eq!(
        (&message["state"], &message["priority"], &message["tries"], &message["tries_max"], &message["late"]),
        (&json!("waiting"), &json!(1000), &json!(0), &Value::Null, &json!(false)),
        "{message}"
    );
    assert_eq!(message["args"]["channel"], "ops-hook");
    let path = format!("/api/v1/jobs/{id}");

    // It was never tried, and goes before all else.
    let refused = bench.post(&format!("{path}/retry"), &json!({})).await;
    assert!(refused.status == StatusCode::CONFLICT && refused.text.contains("for the first time"), "{}", refused.text);
    let refused = bench.post(&format!("{path}/priority"), &json!({"priority": 5})).await;
    assert!(refused.status == StatusCode::CONFLICT && refused.text.contains("always go first"), "{}", refused.text);
    assert_eq!(bench.post("/api/v1/jobs", &json!({"kind": "notification"})).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(bench.get(&format!("{path}/file")).await.status, StatusCode::NOT_FOUND);

    // It waits to be tried again.
    let tried = attempt(&bench, Provider::Later { after_us: None }).await;
    assert_eq!((&tried["state"], &tried["tries"], &tried["note"]), (&json!("waiting"), &json!(1), &json!("HTTP 503")));
    assert!(tried["due"].as_str() > tried["asked"].as_str() && tried["started"].is_string(), "{tried}");
    assert_eq!(bench.post(&format!("{path}/retry"), &json!({})).await.json()["state"], "waiting");
    // It is a dead letter: in the list, in the sums, in the debt, in the figures.
    let dead = attempt(&bench, Provider::Refused).await;
    assert_eq!((&dead["state"], &dead["tries"]), (&json!("failed"), &json!(2)), "{dead}");
    assert_eq!(bench.get("/api/v1/jobs?state=failed").await.json()[0]["id"], id.as_str());
    let summary = bench.get("/api/v1/jobs/summary").await.json();
    assert_eq!((&summary["failed"], &summary["messages_failed"]), (&json!(1), &json!(1)), "{summary}");
    let of_kind = summary["kinds"].as_array().unwrap().iter().find(|one| one["kind"] == "notification").unwrap();
    assert_eq!((&of_kind["failed"], &of_kind["waiting"]), (&json!(1), &json!(0)), "{summary}");
    assert!(of_kind["wait_p95_seconds"].as_f64().is_some(), "{summary}");
    let metrics = bench.get("/metrics").await.text;
    for line in [
        "sitepulse_jobs{kind=\"notification\",state=\"failed\"} 1\n",
        "sitepulse_jobs_failed_total{kind=\"notification\"} 1\n",
        "sitepulse_job_attempts_failed_total{kind=\"notification\"} 2\n",
        "sitepulse_job_run_seconds_total{kind=\"notification\"} 4\n",
        "sitepulse_job_wait_p95_seconds{kind=\"notification\"} ",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    let log = bench.get(&path).await.json()["log"].clone();
    assert_eq!(
        [&log[0]["text"], &log[1]["text"]],
        [&json!("not delivered, tried again: HTTP 503"), &json!("given up: HTTP 503")]
    );
    assert_eq!(bench.post(&format!("{path}/cancel"), &json!({})).await.status, StatusCode::CONFLICT);

    // From its page, with the same button as any job, in both languages.
    let page = bench.get(&format!("/jobs/{id}?lang=fr")).await.text;
    for word in
        ["Message d’incident", "échouée", "abandonné\u{a0}: HTTP 503", "passent toujours en premier", "/incidents/"]
    {
        assert!(page.contains(word), "{word}: {page}");
    }
    assert!(bench.get("/jobs?lang=en&state=failed").await.text.contains(&format!("/jobs/{id}")));
    let form = async |act: &str| {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        bench.send(Door::Local, "POST", &format!("/jobs/{id}/{act}"), &headers, "").await
    };
    assert_eq!(form("retry").await.status, StatusCode::SEE_OTHER);
    assert_eq!(bench.get(&path).await.json()["job"]["state"], "waiting");
    // Taken back, and up again, and delivered.
    assert_eq!(form("cancel").await.status, StatusCode::SEE_OTHER);
    let taken = bench.get(&path).await.json();
    assert_eq!(taken["job"]["state"], "cancelled", "{taken}");
    let pages = async || bench.get("/api/v1/indicators").await.json()["noise"]["pages"].clone();
    assert_eq!(pages().await, 0, "nobody is told");
    let debt = bench.get("/api/v1/kpi").await.json()["debt"]["terms"].clone();
    assert!(debt.as_array().unwrap().iter().all(|term| term["term"] != "failed_jobs" || term["count"] == 0), "{debt}");
    let again = form("cancel").await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.text);
    assert_eq!(form("retry").await.status, StatusCode::SEE_OTHER);
    assert_eq!(pages().await, 1);
    let done = attempt(&bench, Provider::Taken).await;
    assert_eq!((&done["state"], &done["progress"]), (&json!("done"), &json!(1.0)), "{done}");
    assert_eq!(form("retry").await.status, StatusCode::CONFLICT, "it was delivered");

    // The defect: who took it back stood in the audit log alone.
    let incident = id.split('.').next().unwrap();
    let told = bench.get(&format!("/api/v1/incidents/{incident}")).await.json();
    let entries = told["history"].as_array().unwrap();
    let acts: Vec<_> = entries.iter().filter(|one| one.get("of_step").is_some()).collect();
    let act = |one: &serde_json::Value| (one["action"].clone(), one["of_step"].clone(), one["author"].clone());
    assert_eq!(acts.len(), 2, "what waits or failed and was tried again is no change of mind: {told}");
    assert_eq!(act(acts[0]).0, "message_cancelled");
    assert_eq!(act(acts[1]).0, "message_taken_up");
    for one in acts {
        assert!(one["author"].as_str().unwrap().starts_with("collector:") && one["intact"] == true, "{one}");
        assert_eq!(one["text"].as_str(), id.splitn(3, '.').nth(2), "{one}");
    }
    assert_eq!(told["integrity"]["broken_at"], json!(null), "{told}");
    let page = async |lang: &str| bench.get(&format!("/incidents/{incident}?lang={lang}")).await.text;
    assert!(page("en").await.contains("taken back: it is not sent"));
    assert!(page("fr").await.contains("retiré\u{a0}: il n’est pas envoyé"));
}

#[tokio::test]
async fn a_message_that_nobody_got_for_long_is_overdue_with_the_highest_priority() {
    let (bench, _) = down().await;
    attempt(&bench, Provider::Later { after_us: None }).await;
    let overdue = async || {
        let kpi = bench.get("/api/v1/kpi").await.json();
        let terms = kpi["debt"]["terms"].as_array().unwrap().clone();
        terms.into_iter().find(|term| term["term"] == "overdue_jobs").unwrap()
    };
    assert_eq!(overdue().await["count"], 0);
    // It was tried first 16 minutes ago; by now it is due in some minutes again.
    let age = |engine: &mut sitepulse_collector::engine::Engine| {
        let sql = "UPDATE outbox SET tried_us = tried_us - 960000000";
        assert_eq!(engine.store().connection().execute(sql, []).unwrap(), 1);
    };
    bench.app.writer().run(age).await.unwrap();
    let late = overdue().await;
    assert_eq!((&late["count"], &late["points"]), (&json!(1), &json!(3.0)), "1 + 1000/500");
    assert_eq!(bench.get("/api/v1/jobs").await.json()[0]["late"], true);
    assert_eq!(bench.get("/api/v1/jobs/summary").await.json()["late"], 1);
}

/// Jobs and messages are one list, by pages of any length, whichever sort a page ends with.
#[tokio::test]
async fn jobs_and_messages_are_told_page_by_page() {
    let (bench, agent) = down().await;
    asked(&bench, &json!({"kind": "noop"})).await;
    recover(&bench, agent).await;
    asked(&bench, &json!({"kind": "noop"})).await;
    let ids = |answer: &Answer| -> Vec<String> {
        answer.json().as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    let whole = ids(&bench.get("/api/v1/jobs").await);
    assert_eq!(whole.iter().map(|id| id.contains('.')).collect::<Vec<_>>(), [false, true, false, true], "{whole:?}");
    for limit in [1, 2, 3] {
        let (mut found, mut path) = (Vec::new(), format!("/api/v1/jobs?limit={limit}"));
        loop {
            let page = bench.get(&path).await;
            found.extend(ids(&page));
            let Some(link) = page.headers.get(header::LINK) else { break };
            path = link.to_str().unwrap().split(['<', '>']).nth(1).unwrap().to_owned();
        }
        assert_eq!(found, whole, "by {limit}");
    }
}

//! Jobs that call.

use axum::http::{StatusCode, header};
use serde_json::json;
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::heartbeat::PingKind;
use sitepulse_daemon::clock;
use sitepulse_model::id::CheckNo;

use super::bench::{Bench, NETWORK, backup, options};

#[tokio::test]
async fn jobs_call_and_what_they_told_is_shown_to_administrators() {
    let bench = Bench::new();
    bench.app.apply(vec![backup()], options(), clock::now()).await.unwrap();
    let heartbeat = bench.get("/api/v1/checks/backup/heartbeat").await.json();
    let url = heartbeat["url"].as_str().unwrap();
    let path = url.strip_prefix("https://console.example").unwrap();
    assert!(path.len() >= "/ping/".len() + 22, "{path}");
    assert_eq!(bench.get("/api/v1/checks").await.json()[0]["ping_url"], url);
    let call = async |method: &str, more: &str, body: &str| {
        bench.send(NETWORK, method, &format!("{path}{more}"), &[], body).await
    };
    for (method, more, body) in [
        ("GET", "", ""),
        ("POST", "/start", ""),
        ("HEAD", "/log", ""),
        ("POST", "", "done"),
        ("POST", "/fail", "no space left"),
        ("GET", "/0", ""),
        ("POST", "/3", &"x".repeat(20_000)),
    ] {
        let answer = call(method, more, body).await;
        let text = if method == "HEAD" { "" } else { "OK" };
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, text), "{method} {more}");
    }
    assert_eq!(call("GET", "/256", "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.send(NETWORK, "GET", "/ping/forged", &[], "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.send(NETWORK, "PUT", path, &[], "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    // However much it brings along: the call counts.
    assert_eq!(call("POST", "", &"x".repeat(2 << 20)).await.status, StatusCode::OK);
    let told = bench.get("/api/v1/checks/backup/heartbeat").await.json();
    let pings = told["pings"].as_array().unwrap();
    let kinds: Vec<&str> = pings.iter().map(|ping| ping["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["success", "fail", "success", "fail", "success", "log", "start", "success"]);
    assert_eq!(pings[0]["body"].as_str().unwrap().len(), 10 << 10);
    assert_eq!((&pings[1]["exit_status"], pings[1]["body"].as_str().unwrap().len()), (&json!(3), 10 << 10));
    assert_eq!(pings[3]["body"], "no space left");

    // Who may only look does not learn the address.
    let looks = format!("Bearer {}", bench.token(CredentialKind::ApiToken, Access::Read).await);
    let token = path.strip_prefix("/ping/").unwrap();
    for page in ["/api/v1/checks", "/api/v1/checks/backup", "/checks/backup", "/checks", "/"] {
        let answer = bench.send(NETWORK, "GET", page, &[("authorization", &looks)], "").await;
        assert!(answer.status.is_success() && !answer.text.contains(token), "{page}");
    }
    // The allowance of a minute is used up before any more is stored.
    let mut refused = None;
    for _ in 0..80 {
        let answer = call("GET", "/log", "").await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
    }
    assert!(refused.unwrap().headers.contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn the_list_of_checks_reads_no_pings() {
    let bench = Bench::new();
    bench.app.apply(vec![backup()], options(), clock::now()).await.unwrap();
    bench
        .app
        .writer()
        .run(|engine| engine.store().connection().execute_batch("DROP TABLE ping").unwrap())
        .await
        .unwrap();
    for path in ["/api/v1/checks", "/api/v1/checks/backup"] {
        let checks = bench.get(path).await.json();
        let check = if checks.is_array() { &checks[0] } else { &checks };
        assert!(check["ping_url"].as_str().unwrap().starts_with("https://console.example/ping/"), "{checks}");
    }
}

#[tokio::test]
async fn a_ping_is_dated_when_the_writer_comes_to_it() {
    let bench = Bench::new();
    bench.app.apply(vec![backup()], options(), clock::now()).await.unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let writer = bench.app.writer();
    let (_, taken, released) = tokio::join!(
        biased;
        writer.run(move |_| held.recv().unwrap()),
        bench.app.ping(CheckNo(1), PingKind::Success, None, Vec::new()),
        async {
            let until = clock::now();
            while clock::now() == until {}
            let released = clock::now();
            release.send(()).unwrap();
            released
        },
    );
    assert!(taken.unwrap());
    let told = bench.app.heartbeat(CheckNo(1)).await.unwrap().unwrap();
    assert!(told.pings[0].ping.at >= released, "dated before the looks that came first");
}

#[tokio::test]
async fn home_says_that_a_job_has_not_called_and_no_agent_is_offline() {
    let bench = Bench::new();
    bench.app.apply(vec![backup()], options(), clock::now()).await.unwrap();
    let looked = |engine: &mut Engine| {
        let now = clock::now();
        for second in 0..5_i64 {
            engine.observe(now.plus_us(second * 1_000_000), second.unsigned_abs() * 1_000_000);
        }
    };
    bench.app.writer().run(looked).await.unwrap();
    let home = bench.get("/").await.text;
    assert!(home.contains("has not called yet") && !home.contains("· agent offline"), "{home}");
    let agents = bench.get("/agents").await.text;
    assert!(agents.contains("0 of 0 agents connected"), "the collector is no agent: {agents}");
}

#[tokio::test]
async fn a_heartbeat_is_a_check_as_code() {
    let bench = Bench::new();
    let job = "[[check]]\nid = \"job\"\nkind = \"heartbeat\"\ncron = \"30 2 * * 1-5\"\nzone = \"Europe/Paris\"\ngrace = \"10m\"\n";
    let applied = bench.apply(job, json!({})).await;
    assert_eq!(applied.status, StatusCode::OK, "{}", applied.text);
    let checks = bench.get("/api/v1/checks").await.json();
    assert_eq!((&checks[0]["kind"], &checks[0]["target"]), (&json!("heartbeat"), &json!("30 2 * * 1-5")));
    assert_eq!(bench.get("/api/v1/agents").await.json()[0]["region"], "collector");
    for (from, to, says) in [("Europe/Paris", "Europe/Nowhere", "zone"), ("30 2 * * 1-5", "0 0 30 2 *", "cron")] {
        let refused = bench.apply(&job.replace(from, to), json!({})).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
        assert!(refused.json()["errors"][0].as_str().unwrap().contains(says), "{}", refused.text);
    }
}

//! What the audit log says of a change: who looks there later sees what was done, to what, with which values.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::present::door::Door;
use sitepulse_daemon::clock;

use super::bench::{Bench, CHECK};
use super::incidents::{FILE, enrol};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn newest(bench: &Bench) -> Value {
    bench.app.writer().run(|_| ()).await.unwrap();
    bench.get("/api/v1/audit?limit=1").await.json()[0].clone()
}

fn written(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn what_people_do_on_pages_is_told_with_its_values() {
    let bench = Bench::new();
    bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
    assert_eq!(bench.apply(FILE, json!({})).await.status, StatusCode::OK);
    bench.app.writer().run(|engine| enrol(engine, clock::now())).await.unwrap();
    let file = written(&CHECK.replace("shop", "blog"));
    let plan = format!("toml={file}&base=");
    let apply = format!("toml={file}&base=&seen={file}");
    let ladder = "id=web&after-0=0s&to-0-0=ops-hook";
    let (ladder_plan, ladder_apply) = (format!("{ladder}&do=plan"), format!("{ladder}&do=apply"));
    for (path, form, told) in [
        ("/new-check", plan.as_str(), "dry run: +check blog"),
        ("/new-check", apply.as_str(), "+check blog"),
        ("/agents/eu-1/weight", "weight=0%2C5", "weight, agent eu-1, weight 0.5"),
        ("/agents/eu-1/suspend", "reason=new+disk&for=1h", "suspend, agent eu-1, until"),
        ("/agents/eu-1/suspend", "reason=new+disk&for=1h", "reason new disk"),
        ("/agents/eu-1/resume", "", "resume, agent eu-1"),
        ("/checks/shop/suspend", "reason=deploy&length=1h", "reason deploy"),
        ("/checks/shop/resume", "", "resume, check shop"),
        ("/new-agent", "region=eu-east&ttl=15m", "region eu-east, good for 900 s"),
        ("/escalations/new", ladder_plan.as_str(), "dry run: +escalation web"),
        ("/escalations/new", ladder_apply.as_str(), "+escalation web"),
        ("/channels/new", "kind=webhook&id=team&url=https%3A%2F%2Fops.example%2Fx", "+channel team"),
        ("/silences/new", "reason=deploy&for=1h&checks=shop", "silence of shop until"),
        ("/incidents/new", "title=Provider+down&severity=major", ": Provider down"),
        ("/agents/eu-1/revoke", "name=eu-1", "agent eu-1 revoked for good"),
        // What is refused is told with what was tried, and why.
        ("/incidents/new", "title=&severity=major", "refused: "),
        (
            "/channels/new",
            "kind=webhook&id=team&url=https%3A%2F%2Fops.example%2Fx",
            "refused: there is one of the name",
        ),
    ] {
        let answer = bench.send(Door::Local, "POST", path, &[FORM], form).await;
        let entry = newest(&bench).await;
        let detail = entry["detail"].as_str().unwrap();
        assert!(detail.contains(told), "{path} {form}: {entry} {}", answer.text);
    }
}

#[tokio::test]
async fn what_scripts_do_is_told_with_its_values() {
    let bench = Bench::new();
    bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
    assert_eq!(bench.apply(FILE, json!({})).await.status, StatusCode::OK);
    bench.app.writer().run(|engine| enrol(engine, clock::now())).await.unwrap();
    let until = sitepulse_daemon::instant::format(clock::now().plus_us(3_600_000_000));
    for (method, path, body, told) in [
        ("PUT", "/api/v1/agents/eu-1/weight", json!({"weight": 0.25}), "weight, weight 0.25"),
        ("PUT", "/api/v1/checks/shop/agents/eu-1/weight", json!({"weight": 3}), "weight, weight 3"),
        ("PUT", "/api/v1/checks/shop/suspension", json!({"reason": "deploy", "until": until}), "reason deploy"),
        ("DELETE", "/api/v1/checks/shop/suspension", Value::Null, "resume"),
        ("POST", "/api/v1/sign-in-links?admin=true", Value::Null, "access admin"),
        ("POST", "/api/v1/sign-in-links", Value::Null, "access read"),
        (
            "POST",
            "/api/v1/silences",
            json!({"everything": true, "until": until, "reason": "x"}),
            "silence of everything",
        ),
        ("POST", "/api/v1/incidents", json!({"title": "Cable"}), ": Cable"),
        ("POST", "/api/v1/import", json!({}), "import: 0 checks"),
        ("POST", "/api/v1/apply", json!({"files": [], "dry_run": true}), "dry run: nothing differs"),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = bench.send(Door::Local, method, path, &[], &body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
        let entry = newest(&bench).await;
        assert!(entry["detail"].as_str().unwrap().contains(told), "{method} {path}: {entry}");
    }
}

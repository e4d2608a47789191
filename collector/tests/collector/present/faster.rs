//! Two people with the same form: whoever comes second is told, keeps what they wrote, and overwrites nothing unseen.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::present::door::Door;

use super::bench::{Answer, Bench};
use super::incidents::FILE;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const ENGLISH: &str = "Somebody changed this since you opened the form";
const FRENCH: &str = "Quelqu’un l’a changé depuis l’ouverture du formulaire";

async fn post(bench: &Bench, path: &str, form: &str) -> Answer {
    bench.send(Door::Local, "POST", path, &[FORM, ("accept-language", "fr")], form).await
}

fn written(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn bench() -> Bench {
    let bench = Bench::new();
    assert_eq!(bench.apply(FILE, json!({})).await.status, StatusCode::OK);
    bench
}

async fn definition(bench: &Bench, path: &str) -> Value {
    bench.get(&format!("/api/v1/definitions/{path}")).await.json()["definition"].clone()
}

#[tokio::test]
async fn the_editor_of_a_check_overwrites_nothing_unseen() {
    let bench = bench().await;
    let form = bench.get("/checks/shop/edit").await;
    let (base, tag) = (form.hidden("base"), form.hidden("tag"));
    assert_ne!(tag, "", "the form knows what it was opened with");
    assert_eq!(
        bench.apply(&FILE.replace("interval = \"30s\"", "interval = \"45s\""), json!({})).await.status,
        StatusCode::OK
    );
    let file = "[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"http://127.0.0.1:2/\"\ninterval = \"30s\"\ngroup = \"web\"\n";
    let file = written(file);
    let late = post(&bench, "/checks/shop/edit", &format!("toml={file}&base={base}&seen={file}&tag={tag}")).await;
    assert_eq!(late.status, StatusCode::OK, "{}", late.text);
    assert!(late.text.contains(FRENCH), "{}", late.text);
    assert!(late.text.contains("127.0.0.1:2"), "what was written is kept: {}", late.text);
    assert!(late.text.contains("45s"), "the plan begins with what is there now: {}", late.text);
    assert_eq!(definition(&bench, "check/shop").await["interval"], "45s");
    let again = late.hidden("tag");
    assert_ne!(again, tag);
    let done = post(&bench, "/checks/shop/edit", &format!("toml={file}&base={base}&seen={file}&tag={again}")).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    let now = definition(&bench, "check/shop").await;
    assert_eq!((&now["url"], &now["interval"]), (&json!("http://127.0.0.1:2/"), &json!("30s")));
}

#[tokio::test]
async fn a_new_check_takes_no_others_place() {
    let bench = bench().await;
    let file = written("[[check]]\nid = \"shop\"\nkind = \"tcp\"\nhost = \"127.0.0.1\"\nport = 9\n");
    let late = post(&bench, "/new-check", &format!("toml={file}&base=&seen={file}&tag=")).await;
    assert_eq!(late.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", late.text);
    assert_eq!(definition(&bench, "check/shop").await["kind"], "http");
}

#[tokio::test]
async fn the_form_of_a_policy_overwrites_nothing_unseen() {
    let bench = bench().await;
    let tag = bench.get("/escalations/default/edit").await.hidden("tag");
    assert_eq!(bench.apply(&FILE.replace("\"10m\"", "\"20m\""), json!({})).await.status, StatusCode::OK);
    let form = "default=yes&repeat=1&ack_pause=33m&after-0=0s&to-0-0=ops-hook&do=apply";
    let late = post(&bench, "/escalations/default/edit", &format!("{form}&tag={tag}")).await;
    assert_eq!(late.status, StatusCode::OK, "{}", late.text);
    assert!(late.text.contains(FRENCH) && late.text.contains("value=\"33m\""), "{}", late.text);
    assert_eq!(definition(&bench, "escalation/default").await["levels"][1]["after"], "20m");
    let again = late.hidden("tag");
    let done = post(&bench, "/escalations/default/edit", &format!("{form}&tag={again}")).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert_eq!(definition(&bench, "escalation/default").await["ack_pause"], "33m");
    // A new one of that name.
    let taken = post(&bench, "/escalations/new", &format!("{form}&id=default&tag=")).await;
    assert_eq!(taken.status, StatusCode::CONFLICT, "{}", taken.text);
    assert!(taken.text.contains("le nom default est déjà pris"), "{}", taken.text);
}

#[tokio::test]
async fn the_form_of_a_channel_overwrites_nothing_unseen() {
    let bench = bench().await;
    let tag = bench.get("/channels/ops-hook/edit").await.hidden("tag");
    let other = FILE.replace("kind = \"webhook\"", "kind = \"webhook\"\nlanguage = \"fr\"");
    assert_eq!(bench.apply(&other, json!({})).await.status, StatusCode::OK);
    let form = format!("kind=webhook&url={}&language=", written("https://ops.example/mine"));
    let late = post(&bench, "/channels/ops-hook/edit", &format!("{form}&tag={tag}")).await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED, "{}", late.text);
    assert!(late.text.contains("quelqu’un l’a changé") && late.text.contains("ops.example/mine"), "{}", late.text);
    assert_eq!(definition(&bench, "channel/ops-hook").await["url"], "https://ops.example/hook");
    let again = late.hidden("tag");
    let done = post(&bench, "/channels/ops-hook/edit", &format!("{form}&tag={again}")).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert_eq!(definition(&bench, "channel/ops-hook").await["url"], "https://ops.example/mine");
    let taken = post(&bench, "/channels/new", &format!("{form}&id=ops-hook&tag=")).await;
    assert_eq!(taken.status, StatusCode::CONFLICT, "{}", taken.text);
}

#[tokio::test]
async fn the_form_of_the_scoring_model_overwrites_nothing_unseen() {
    let bench = bench().await;
    let page = bench.get("/impact/model").await;
    let fields: Vec<String> = page
        .text
        .split("<input")
        .skip(1)
        .filter_map(|input| {
            let of = |key: &str| Some(input.split_once(&format!(" {key}=\""))?.1.split_once('"')?.0.to_owned());
            let name = of("name").filter(|name| !["tag", "check", "back", "decay"].contains(&name.as_str()))?;
            Some(format!("{name}={}", written(&of("value")?)))
        })
        .collect();
    let form = format!("{}&decay=3d&do=apply", fields.join("&"));
    // Nobody saved one before: the form was opened with the built-in model.
    let first = bench.send(Door::Local, "POST", "/impact/model", &[FORM], &format!("{form}&tag=")).await;
    assert_eq!(first.status, StatusCode::SEE_OTHER, "{}", first.text);
    let mine = form.replace("decay=3d", "decay=4d");
    let late = bench.send(Door::Local, "POST", "/impact/model", &[FORM], &format!("{mine}&tag=")).await;
    assert_eq!(late.status, StatusCode::OK, "{}", late.text);
    assert!(late.text.contains(ENGLISH) && late.text.contains("value=\"4d\""), "{}", late.text);
    assert_eq!(definition(&bench, "scoring/default").await["decay"], "3d");
    let again = late.hidden("tag");
    let done = bench.send(Door::Local, "POST", "/impact/model", &[FORM], &format!("{mine}&tag={again}")).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert_eq!(definition(&bench, "scoring/default").await["decay"], "4d");
}

//! Definitions one by one: read, written, retired; and what is steered by itself.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::checkfile::{self, Source, write};
use sitepulse_collector::present::door::Door;

use super::bench::{Answer, Bench, CHECK};
use super::pages::{Found, Pages};

async fn put(bench: &Bench, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    bench.send(Door::Local, "PUT", path, headers, &body.to_string()).await
}

/// The code blocks of a page of the documentation, each a file of its own.
fn samples(page: &str) -> Vec<Source> {
    let blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.enumerate().map(|(number, text)| Source { name: format!("sample {number}"), text }).collect()
}

#[test]
fn whatever_can_be_written_is_told_so_that_it_can_be_written_again() {
    let pages = [
        include_str!("../../../../docs/checks.md"),
        include_str!("../../../../docs/channels.md"),
        include_str!("../../../../docs/oncall.md"),
    ];
    let (mut checks, mut objects) = (0, 0);
    for source in pages.iter().flat_map(|page| samples(page)) {
        let Ok(written) = checkfile::parse(std::slice::from_ref(&source)) else { continue };
        for check in written.checks {
            let keys = write::check(&check.definition, &check.labels);
            let file = write::file("again", "check", keys).unwrap();
            let again =
                checkfile::parse(std::slice::from_ref(&file)).unwrap_or_else(|error| panic!("{error}\n{}", file.text));
            assert_eq!(again.checks[0].definition, check.definition, "{}", file.text);
            assert_eq!(again.checks[0].labels, check.labels, "{}", file.text);
            checks += 1;
        }
        for object in written.objects {
            let keys = write::object(&object.object);
            let file = write::file("again", object.object.kind().table(), keys).unwrap();
            let again =
                checkfile::parse(std::slice::from_ref(&file)).unwrap_or_else(|error| panic!("{error}\n{}", file.text));
            assert_eq!(again.objects[0].object.json(), object.object.json(), "{}", file.text);
            objects += 1;
        }
    }
    assert!(checks >= 20 && objects >= 15, "{checks} checks and {objects} objects are little");
}

#[tokio::test]
async fn two_editors_do_not_overwrite_each_other() {
    let bench = Bench::new();
    bench.apply(CHECK, json!({})).await;
    let path = "/api/v1/definitions/check/shop";
    let read = bench.get(path).await;
    let tag = read.headers["etag"].to_str().unwrap().to_owned();
    let mut mine = read.json()["definition"].clone();
    assert_eq!((&mine["interval"], &mine["weight"]), (&json!("1s"), &json!(1.0)));
    mine["weight"] = json!(2.5);
    let written = put(&bench, path, &[("if-match", &tag)], &mine).await;
    assert_eq!(written.status, StatusCode::OK, "{}", written.text);
    let plan = written.json();
    assert_eq!(
        (&plan["items"][0]["action"], &plan["items"][0]["fields"][0]["field"]),
        (&json!("change"), &json!("weight"))
    );
    // The other one read the same.
    let mut other = mine.clone();
    other["weight"] = json!(7);
    let refused = put(&bench, path, &[("if-match", &tag)], &other).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::PRECONDITION_FAILED, &json!("changed")));
    let now = bench.get(path).await;
    assert_eq!((&now.json()["definition"]["weight"], &now.json()["version"]), (&json!(2.5), &json!(2)));
    // A plan alone changes nothing, not even with the right tag.
    let tag = now.headers["etag"].to_str().unwrap().to_owned();
    let dry = put(&bench, &format!("{path}?dry_run=true"), &[("if-match", &tag)], &other).await;
    assert_eq!((dry.status, &dry.json()["dry_run"]), (StatusCode::OK, &json!(true)));
    assert_eq!(bench.get(path).await.text, now.text);
    for (headers, body) in [([("if-none-match", "*")], other.clone()), ([("if-match", "\"made-up\"")], other.clone())] {
        assert_eq!(put(&bench, path, &headers, &body).await.status, StatusCode::PRECONDITION_FAILED);
    }
    let missing = put(&bench, "/api/v1/definitions/check/new", &[("if-match", "*")], &mine).await;
    assert_eq!(missing.status, StatusCode::BAD_REQUEST, "its id is another's: {}", missing.text);
    mine.as_object_mut().unwrap().remove("id");
    let missing = put(&bench, "/api/v1/definitions/check/new", &[("if-match", "*")], &mine).await;
    assert_eq!(missing.status, StatusCode::PRECONDITION_FAILED, "{}", missing.text);
    let made = put(&bench, "/api/v1/definitions/check/new", &[("if-none-match", "*")], &mine).await;
    assert_eq!((made.status, &made.json()["items"][0]["action"]), (StatusCode::OK, &json!("create")));
}

#[tokio::test]
async fn files_are_applied_on_what_was_read_or_not_at_all() {
    let bench = Bench::new();
    bench.apply(CHECK, json!({})).await;
    let read = async || bench.get("/api/v1/definitions").await.headers["etag"].to_str().unwrap().to_owned();
    let tag = read().await;
    let send = async |tag: &str, weight: u32, dry_run: bool| {
        let text = format!("{CHECK}weight = {weight}\n");
        let body = json!({"files": [{"name": "checks.toml", "text": text}], "dry_run": dry_run});
        bench.send(Door::Local, "POST", "/api/v1/apply", &[("if-match", tag)], &body.to_string()).await
    };
    assert_eq!(send(&tag, 2, true).await.status, StatusCode::OK);
    assert_eq!(read().await, tag, "a plan changes nothing");
    assert_eq!(send(&tag, 2, false).await.status, StatusCode::OK);
    for dry_run in [true, false] {
        let late = send(&tag, 3, dry_run).await;
        assert_eq!((late.status, &late.json()["code"]), (StatusCode::PRECONDITION_FAILED, &json!("changed")));
    }
    assert_eq!(bench.get("/api/v1/definitions/check/shop").await.json()["definition"]["weight"], 2.0);
    assert_eq!(send(&read().await, 3, false).await.status, StatusCode::OK);
    // Conditions are offered, never demanded.
    assert_eq!(bench.apply(CHECK, json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn one_is_retired_and_the_others_stay() {
    let bench = Bench::new();
    let text = format!(
        "{CHECK}{}[[slo]]\nid = \"front\"\nchecks = [\"shop\"]\npolicy = \"contract\"\nperiod = \"30d\"\n\
         [[policy]]\nid = \"contract\"\nobjective = \"99.9%\"\n",
        CHECK.replace("shop", "blog")
    );
    let applied = bench.apply(&text, json!({})).await;
    assert_eq!(applied.status, StatusCode::OK, "{}", applied.text);
    let delete = async |path: &str| bench.send(Door::Local, "DELETE", path, &[], "").await;
    // Something refers to it.
    let used = delete("/api/v1/definitions/policy/contract").await;
    assert_eq!(used.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", used.text);
    let plan = delete("/api/v1/definitions/slo/front?dry_run=true").await.json();
    assert_eq!((&plan["dry_run"], &plan["objects"][0]["action"]), (&json!(true), &json!("retire")));
    assert_eq!(plan["items"], json!([]), "the plan tells of what was named alone");
    assert_eq!(delete("/api/v1/definitions/slo/front").await.status, StatusCode::OK);
    assert_eq!(delete("/api/v1/definitions/slo/front").await.status, StatusCode::NOT_FOUND);
    assert_eq!(delete("/api/v1/definitions/policy/contract").await.status, StatusCode::OK);
    let retired = delete("/api/v1/definitions/check/blog").await;
    assert_eq!(retired.json()["items"], json!([{"check": "blog", "action": "retire", "fields": []}]));
    let left = bench.get("/api/v1/definitions").await.json();
    let left: Vec<&str> = left.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(left, ["shop"]);
    assert_eq!(bench.get("/api/v1/definitions/check/shop").await.json()["version"], 1, "the others are not touched");
}

#[tokio::test]
async fn a_definition_comes_as_toml_too_and_what_is_wrong_is_told() {
    let bench = Bench::new();
    let path = "/api/v1/definitions/check/shop";
    let toml = async |text: &str| {
        let mut request =
            axum::http::Request::builder().method("PUT").uri(path).header("content-type", "application/toml");
        request.extensions_mut().unwrap().insert(Door::Local);
        let request = request.body(axum::body::Body::from(text.to_owned())).unwrap();
        tower::ServiceExt::oneshot(bench.router.clone(), request).await.unwrap().status()
    };
    assert_eq!(toml("kind = \"http\"\nurl = \"http://127.0.0.1:9/\"\ninterval = \"1s\"\n").await, StatusCode::OK);
    assert_eq!(toml("kind = ").await, StatusCode::BAD_REQUEST);
    assert_eq!(toml("kind = \"http\"\n").await, StatusCode::UNPROCESSABLE_ENTITY);
    let wrong = put(&bench, path, &[], &json!({"kind": "http", "url": "http://127.0.0.1:9/", "intervall": "1s"})).await;
    assert_eq!((wrong.status, &wrong.json()["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad_checks")));
    assert!(wrong.json()["errors"][0].as_str().unwrap().contains("intervall"), "{}", wrong.text);
    for body in [json!([]), json!("x"), json!(null)] {
        assert_eq!(put(&bench, path, &[], &body).await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(bench.get("/api/v1/definitions/nothing/shop").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/api/v1/definitions?kind=nothing").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_timeline_is_what_the_figures_are_made_of() {
    let pages = Pages::new().await;
    let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
    for minutes in [120, 105, 90, 75, 60, 45, 30, 15] {
        pages.ran(west, minutes, &Found { down: minutes == 60, ..Found::default() }).await;
        pages.ran(east, minutes, &Found { down: minutes == 60, ..Found::default() }).await;
    }
    let period = "from=-100m&to=-20m";
    let told = pages.bench.get(&format!("/api/v1/checks/shop-vitals/timeline?{period}")).await.json();
    let seconds = |span: &Value| {
        let at = |key: &str| span[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        at("to").duration_since(at("from")).as_secs_f64()
    };
    let verdicts = told["verdicts"].as_array().unwrap();
    assert!(verdicts.windows(2).all(|pair| pair[0]["to"] == pair[1]["from"]), "contiguous");
    let down: f64 = verdicts.iter().filter(|span| span["verdict"] == "down").map(seconds).sum();
    assert!(down > 0.0);
    let span = format!("from={}&to={}", told["from"].as_str().unwrap(), told["to"].as_str().unwrap());
    let sla = pages.bench.get(&format!("/api/v1/sla?check=shop-vitals&{span}")).await.json();
    assert!((sla[0]["seconds"]["down"].as_f64().unwrap() - down).abs() < 1e-5, "{sla} {down}");
    let agents: Vec<&str> =
        told["agents"].as_array().unwrap().iter().map(|one| one["agent"].as_str().unwrap()).collect();
    assert_eq!(agents, ["e", "w"]);
    let one = pages.bench.get(&format!("/api/v1/checks/shop-vitals/timeline?{period}&region=eu-west")).await.json();
    assert_eq!(one["agents"].as_array().unwrap().len(), 1);
    let both = pages.bench.get("/api/v1/checks/shop-vitals/timeline?agent=w&region=eu-west").await;
    assert_eq!(both.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn agents_and_checks_are_steered_by_their_own_addresses() {
    let pages = Pages::new().await;
    pages.enrol("eu-west", "w").await;
    let bench = &pages.bench;
    let delete = async |path: &str| bench.send(Door::Local, "DELETE", path, &[], "").await.status;
    for about in ["agents/w", "checks/shop-vitals/agents/w"] {
        let set = put(bench, &format!("/api/v1/{about}/weight"), &[], &json!({"weight": 0.25})).await;
        assert_eq!((set.status, &set.json()["weight"]), (StatusCode::OK, &json!(0.25)), "{}", set.text);
    }
    for about in ["agents/w", "checks/shop-vitals", "checks/shop-vitals/agents/w"] {
        let path = format!("/api/v1/{about}/suspension");
        let set = put(bench, &path, &[], &json!({"reason": "work", "until": "2099-01-01T00:00:00Z"})).await;
        assert_eq!(set.status, StatusCode::BAD_REQUEST, "longer than 366 days");
        let set = put(bench, &path, &[], &json!({"reason": "work"})).await;
        assert_eq!((set.status, &set.json()["action"]), (StatusCode::OK, &json!("suspend")), "{}", set.text);
        assert_eq!(put(bench, &path, &[], &json!({"reason": ""})).await.status, StatusCode::BAD_REQUEST);
    }
    let region = bench.get("/api/v1/regions").await.json()[0].clone();
    assert_eq!(
        (&region["region"], &region["agents"], &region["suspended"], &region["weight"]),
        (&json!("eu-west"), &json!(["w"]), &json!(1), &json!(0.0))
    );
    for about in ["agents/w", "checks/shop-vitals", "checks/shop-vitals/agents/w"] {
        assert_eq!(delete(&format!("/api/v1/{about}/suspension")).await, StatusCode::OK);
    }
    let region = bench.get("/api/v1/regions").await.json()[0].clone();
    assert_eq!((&region["suspended"], &region["weight"], &region["checks"]), (&json!(0), &json!(0.25), &json!(1)));
    assert_eq!(bench.get("/api/v1/history?check=shop-vitals").await.json().as_array().unwrap().len(), 5);
    assert_eq!(delete("/api/v1/agents/nobody/suspension").await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn join_tokens_are_listed_and_taken_back() {
    let pages = Pages::new().await;
    let bench = &pages.bench;
    pages.enrol("eu-west", "w").await;
    let made = bench.post("/api/v1/join-tokens", &json!({"region": "us-east", "ttl_seconds": 600})).await;
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let listed = bench.get("/api/v1/join-tokens").await;
    assert!(!listed.text.contains(&token));
    let listed = listed.json();
    let told: Vec<(&str, &Value)> =
        listed.as_array().unwrap().iter().map(|one| (one["state"].as_str().unwrap(), &one["agent"])).collect();
    assert_eq!(told, [("used", &json!("w")), ("open", &Value::Null)]);
    let delete = async |index: usize| {
        let path = format!("/api/v1/join-tokens/{}", listed[index]["id"].as_str().unwrap());
        bench.send(Door::Local, "DELETE", &path, &[], "").await.status
    };
    assert_eq!(delete(0).await, StatusCode::CONFLICT);
    assert_eq!(delete(1).await, StatusCode::NO_CONTENT);
    assert_eq!(delete(1).await, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/api/v1/join-tokens").await.json().as_array().unwrap().len(), 1);
}

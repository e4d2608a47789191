//! Checks as code, their figures, their page.

use std::collections::BTreeSet;

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use sitepulse_collector::app::{Access, CredentialKind, PlanStep};
use sitepulse_collector::present::door::Door;
use sitepulse_daemon::clock;
use sitepulse_model::check::{CheckKind, HttpTarget};

use super::bench::{Answer, Bench, CHECK, NETWORK, backup, options};

#[tokio::test]
async fn apply_is_idempotent_and_tells_its_plan() {
    let bench = Bench::new();
    let actions = |answer: &Answer| -> Vec<(String, String)> {
        let plan = answer.json();
        let items = plan["items"].as_array().unwrap().iter();
        items.map(|item| (item["check"].as_str().unwrap().into(), item["action"].as_str().unwrap().into())).collect()
    };
    let pair = |check: &str, action: &str| (check.to_string(), action.to_string());
    let dry = bench.apply(CHECK, json!({"dry_run": true})).await;
    assert_eq!((actions(&dry), dry.json()["dry_run"].clone()), (vec![pair("shop", "create")], json!(true)));
    assert_eq!(bench.get("/api/v1/checks").await.json(), json!([]));
    assert_eq!(actions(&bench.apply(CHECK, json!({})).await), [pair("shop", "create")]);
    assert_eq!(actions(&bench.apply(CHECK, json!({})).await), [pair("shop", "unchanged")]);
    let changed = bench.apply(&CHECK.replace("1s", "2s"), json!({})).await;
    assert_eq!(actions(&changed), [pair("shop", "change")]);
    assert_eq!(changed.json()["items"][0]["fields"][0]["field"], "interval");
    let other = CHECK.replace("shop", "blog");
    assert_eq!(
        actions(&bench.apply(&other, json!({"prune": true})).await),
        [pair("blog", "create"), pair("shop", "retire")]
    );
    let left = bench.get("/api/v1/checks").await.json();
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(left[0]["id"], "blog");
}

#[tokio::test]
async fn a_bad_check_file_applies_nothing_and_lists_all_faults() {
    let bench = Bench::new();
    let answer = bench.apply(&format!("{CHECK}\n[[check]]\nid = \"B\"\nkind = \"tcp\"\ncolour = 1\n"), json!({})).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["code"], "bad_checks");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 3, "{problem}");
    assert_eq!(bench.get("/api/v1/checks").await.json(), json!([]));
}

#[tokio::test]
async fn suspensions_end_by_themselves() {
    let bench = Bench::new();
    bench.apply(CHECK, json!({})).await;
    let suspend = async |until: Option<&str>| {
        let body = json!({"check": "shop", "action": "suspend", "reason": "work", "until": until});
        bench.post("/api/v1/control", &body).await
    };
    let event = suspend(None).await.json();
    let instant = |key: &str| {
        let text = event[key].as_str().unwrap_or_else(|| panic!("no {key}: {event}"));
        sitepulse_daemon::instant::parse(text, clock::now()).unwrap()
    };
    assert_eq!(instant("until").us_since(instant("at")), 3600 * 1_000_000);
    let far = sitepulse_daemon::instant::format(clock::now().plus_us(367 * 86_400 * 1_000_000));
    let refused = suspend(Some(&far)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("366 days"), "{}", refused.text);
    // Who changed something sees it in the shared snapshot at once.
    assert!(bench.get("/api/v1/checks/shop").await.json()["suspended"].is_object());
    assert_eq!(bench.get("/api/v1/checks/none").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn sla_json_has_exactly_the_promised_shape() {
    let bench = Bench::new();
    assert_eq!(bench.get("/api/v1/sla").await.json(), json!([]));
    bench.apply(CHECK, json!({})).await;
    let answer = bench.get("/api/v1/sla?check=shop").await.json();
    let one = answer[0].as_object().unwrap();
    let keys = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(ToString::to_string).collect() };
    assert_eq!(
        keys(&answer[0]),
        set(&[
            "check",
            "from",
            "to",
            "availability",
            "weighted_availability",
            "completeness",
            "lower",
            "upper",
            "weighted_lower",
            "weighted_upper",
            "seconds"
        ])
    );
    assert_eq!(keys(&one["seconds"]), set(&["up", "degraded", "regional", "down", "maintenance", "unknown"]));
    assert_eq!(
        keys(&one["seconds"]["unknown"]),
        set(&["agent_stopped", "agent_offline", "suspended", "shed", "unassigned"])
    );
    // Of several checks together the causes stand as shares.
    let together = bench.get("/api/v1/sla/groups").await.json();
    let whole = &together["whole"];
    assert_eq!((&whole["completeness"], &whole["unknown"]["unassigned"]), (&json!(0.0), &json!(1.0)), "{together}");
    assert_eq!((&whole["weighted_lower"], &whole["weighted_upper"]), (&json!(0.0), &json!(1.0)));
    // Nothing was measured: null, never 100 %.
    assert_eq!((&one["availability"], &one["weighted_availability"]), (&Value::Null, &Value::Null));
    assert!(one["seconds"]["unknown"]["unassigned"].as_f64().unwrap() > 0.0);
    assert!(one["from"].as_str().unwrap().ends_with('Z'));
    let before = bench.get("/api/v1/sla?check=shop&from=-2h&to=-1h").await.json();
    assert_eq!((&before[0]["from"], &before[0]["completeness"]), (&before[0]["to"], &Value::Null));
    assert_eq!(before[0]["seconds"]["up"], 0.0);
    assert_eq!(bench.get("/api/v1/sla?check=none").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/api/v1/sla?agent=none").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/api/v1/sla?from=tomorrow").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(bench.get("/api/v1/sla?from=now&to=-1h").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(bench.get("/api/v1/sla?when=now").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn suspensions_are_kept_with_author_and_reason_and_shown_escaped() {
    let bench = Bench::new();
    let refused = bench.apply(&CHECK.replace("9/", "9/?q=<script>alert(1)</script>"), json!({})).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
    assert_eq!(bench.apply(&CHECK.replace("9/", "9/?a='&b=1"), json!({})).await.status, StatusCode::OK);
    let hostile = "</span><script>alert(\"x\")</script>";
    let answer = bench
        .post("/api/v1/control", &json!({"check": "shop", "action": "suspend", "until": "+1h", "reason": hostile}))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let history = bench.get("/api/v1/history?check=shop").await.json();
    assert_eq!(history[0]["author"], "collector:cli");
    assert_eq!(history[0]["side"], "collector");
    assert_eq!(history[0]["reason"], hostile);
    let page = bench.get("/checks").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(!page.text.contains("<script>alert"), "{}", page.text);
    assert!(page.text.contains("&#60;script&#62;alert"), "{}", page.text);
    for bad in [
        json!({"check": "shop", "action": "suspend", "reason": ""}),
        json!({"check": "shop", "action": "suspend", "until": "-1h", "reason": "x"}),
        json!({"check": "shop", "action": "weight", "weight": 2}),
        json!({"check": "shop", "action": "dance"}),
        json!({"action": "resume"}),
        json!({"check": "shop", "action": "resume", "unknown": 1}),
    ] {
        assert!(bench.post("/api/v1/control", &bad).await.status.is_client_error(), "{bad}");
    }
    assert_eq!(
        bench.post("/api/v1/control", &json!({"agent": "none", "action": "resume"})).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        bench.post("/api/v1/control", &json!({"check": "shop", "action": "resume"})).await.status,
        StatusCode::OK
    );
    assert_eq!(bench.get("/api/v1/history").await.json().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_checks_page_shows_its_state_and_runs_it() {
    let bench = Bench::new();
    bench.apply(CHECK, json!({})).await;
    bench.app.apply(vec![backup()], options(), clock::now()).await.unwrap();
    let page = bench.get("/checks/shop?lang=fr").await;
    assert!(
        page.text.contains("Lancer maintenant") && page.text.contains("action=\"/checks/shop/run\""),
        "{}",
        page.text
    );
    assert_eq!(bench.get("/checks/none").await.status, StatusCode::NOT_FOUND);
    assert!(bench.get("/checks").await.text.contains("href=\"/checks/shop\""));
    let ran = bench.send(Door::Local, "POST", "/checks/shop/run", &[], "").await;
    assert!(ran.status.is_success() && ran.text.contains("neither stored nor counted"), "{}", ran.text);
    // A session looks, so it may run too; another site may not.
    let session = bench.token(CredentialKind::Session, Access::Read).await;
    let cookie = format!("__Host-sitepulse_session={session}");
    let from = |origin| [("cookie", cookie.as_str()), ("origin", origin), ("host", "console.example")];
    let evil = bench.send(NETWORK, "POST", "/checks/shop/run", &from("https://evil.example"), "").await;
    assert_eq!(evil.status, StatusCode::FORBIDDEN);
    let own = bench.send(NETWORK, "POST", "/checks/shop/run", &from("https://console.example"), "").await;
    assert_eq!(own.status, StatusCode::OK);
    // A job is not run by agents, and its page says how it calls.
    assert!(bench.get("/checks/backup").await.text.contains("sitepulse-collector heartbeat url backup"));
    let refused = bench.send(Door::Local, "POST", "/api/v1/checks/backup/run", &[], "").await;
    assert!(refused.status == StatusCode::BAD_REQUEST && refused.text.contains("heartbeat"), "{}", refused.text);
    let asked = bench.send(Door::Local, "POST", "/api/v1/checks/shop/run", &[], "").await.json();
    assert_eq!(asked, json!({"check": "shop", "runs": []}));
    let nobody = bench.send(Door::Local, "POST", "/api/v1/checks/shop/run?agent=nobody", &[], "").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/api/v1/checks/shop").await.json()["target"], "http://127.0.0.1:9/");
}

#[tokio::test]
async fn a_plan_names_the_target_s_keys_that_change() {
    let bench = Bench::new();
    let mut check = backup();
    let mut target = HttpTarget::get("http://127.0.0.1:9/");
    check.kind = CheckKind::Http(Box::new(target.clone()));
    bench.app.apply(vec![check.clone()], options(), clock::now()).await.unwrap();
    target.redirects = 3;
    target.tls.insecure = true;
    check.kind = CheckKind::Http(Box::new(target));
    let plan = bench.app.apply(vec![check], options(), clock::now()).await.unwrap();
    let PlanStep::Change { fields, .. } = &plan.items[0].step else { panic!("{plan:?}") };
    let told: Vec<(&str, &str, &str)> = fields.iter().map(|one| (&*one.field, &*one.old, &*one.new)).collect();
    assert_eq!(told, [("redirects", "(default)", "3"), ("tls.insecure", "(default)", "true")]);
}

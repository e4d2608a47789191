//! Objects beside checks, groups and maintenance windows through the API and the console.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_daemon::{clock, instant};

use super::bench::{Bench, CHECK};

fn all() -> String {
    let soon = instant::format(clock::now().plus_us(3600 * 1_000_000));
    let soon = format!("{}:00Z", &soon[..16]);
    format!(
        "{CHECK}group = \"web\"\ntags = [\"eu\"]\n[[policy]]\nid = \"gold\"\nobjective = \"99.9%\"\n\
         [[slo]]\nid = \"web\"\ngroups = [\"web\"]\npolicy = \"gold\"\n\
         [[maintenance]]\nid = \"release\"\ntags = [\"eu\"]\nfrom = {soon}\nlasts = \"2h\"\n"
    )
}

#[tokio::test]
async fn the_plan_tells_objects_too() {
    let bench = Bench::new();
    let rows = |answer: &Value| -> Vec<String> {
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let rows = answer["objects"].as_array().unwrap().iter();
        rows.map(|row| format!("{} {} {}", text(row, "kind"), text(row, "id"), text(row, "action"))).collect()
    };
    let all = all();
    let plan = bench.apply(&all, json!({})).await.json();
    assert_eq!(rows(&plan), ["policy gold create", "slo web create", "maintenance release create"]);
    let again = bench.apply(&all, json!({"prune": true})).await.json();
    assert_eq!(rows(&again), ["policy gold unchanged", "slo web unchanged", "maintenance release unchanged"]);
    let changed = bench.apply(&all.replace("99.9%", "99.95%"), json!({"dry_run": true})).await.json();
    assert_eq!(changed["objects"][0]["fields"], json!([{"field": "objective", "from": "99.9%", "to": "99.95%"}]));

    let broken = bench.apply(&all.replace("groups = [\"web\"]", "groups = [\"wep\"]"), json!({})).await;
    assert_eq!(broken.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(broken.json()["code"], "bad_checks");
    let fault = broken.json()["errors"][0].as_str().unwrap().to_owned();
    assert!(fault.ends_with(r#"slo "web": groups[0]: there is no group "wep": did you mean "web"?"#), "{fault}");
    assert!(fault.starts_with("checks.toml:13:11: "), "{fault}");
}

#[tokio::test]
async fn checks_tell_their_labels_and_groups_their_figures() {
    let bench = Bench::new();
    bench.apply(&all(), json!({})).await;
    let check = bench.get("/api/v1/checks/shop").await.json();
    assert_eq!((&check["group"], &check["tags"]), (&json!("web"), &json!(["eu"])));
    let figures = bench.get("/api/v1/sla/groups?from=-1h").await.json();
    let [whole, group] = [&figures["whole"], &figures["groups"][0]];
    assert_eq!((&whole["group"], &whole["checks"], &whole["measured"]), (&Value::Null, &json!(1), &json!(0)));
    assert_eq!((&group["group"], &group["availability"]), (&json!("web"), &Value::Null));
    assert_eq!((&group["lower"], &group["upper"]), (&json!(0.0), &json!(1.0)));
    let one = bench.get("/api/v1/sla/groups?group=web").await.json();
    assert_eq!((&one["whole"], one["groups"].as_array().unwrap().len()), (&Value::Null, 1));
    let unknown = bench.get("/api/v1/sla/groups?group=wep").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn windows_are_told_by_the_api_and_the_console() {
    let bench = Bench::new();
    bench.apply(&all(), json!({})).await;
    let windows = bench.get("/api/v1/windows?check=shop").await.json();
    let [one] = &windows.as_array().unwrap()[..] else { panic!("{windows}") };
    assert_eq!(
        (&one["window"], &one["version"], &one["state"], &one["checks"]),
        (&json!("release"), &json!(1), &json!("coming"), &json!(["shop"]))
    );
    assert_eq!(bench.get("/api/v1/windows?from=-2h&to=-1h").await.json(), json!([]));
    assert_eq!(bench.get("/api/v1/windows?from=now&to=-1h").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(bench.get("/api/v1/windows?check=nope").await.status, StatusCode::NOT_FOUND);

    let from = one["from"].as_str().unwrap()[..16].replace('T', " ");
    for (lang, ahead, group, to) in [
        ("en", "Maintenance, next 30 days", "Group", " to "),
        ("fr", "Maintenance, 30 prochains jours", "Groupe", " au "),
    ] {
        let page = bench.get(&format!("/checks/shop?lang={lang}")).await.text;
        assert!(page.contains(ahead) && page.contains(&format!("{from} UTC{to}")), "{page}");
        assert!(page.contains("web · #eu"), "{page}");
        let home = bench.get(&format!("/checks?lang={lang}")).await.text;
        assert!(home.contains(&format!("<span>{group}</span>")) && home.contains("web (1)"), "{home}");
    }
}

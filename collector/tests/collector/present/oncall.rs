//! Who is on call and who is told, through the API and calendars; and the page that describes it.

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::book::ObjectKind;
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_daemon::{clock, instant};

use super::bench::{Bench, CHECK, NETWORK};

const PAGE: &str = include_str!("../../../../docs/oncall.md");

/// The page's samples.
pub(super) fn samples() -> String {
    let samples = PAGE.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    samples.collect::<Vec<_>>().join("\n")
}

async fn bench() -> Bench {
    let bench = Bench::new();
    let applied = bench.apply(&format!("{CHECK}{}", samples()), json!({})).await;
    assert_eq!(applied.status, StatusCode::OK, "{}", applied.text);
    bench
}

#[test]
fn the_page_describes_every_key() {
    checkfile::parse(&[Source { name: "oncall.md".into(), text: samples() }]).unwrap();
    for kind in [ObjectKind::User, ObjectKind::Schedule] {
        for key in kind.keys() {
            assert!(PAGE.contains(&format!("| `{key}`")), "docs/oncall.md does not describe {key} of {}", kind.table());
        }
    }
    for key in ["users", "rotation", "handoff", "start", "hours", "until", "quiet.days", "quiet.except"] {
        assert!(PAGE.contains(&format!("| `{key}`")), "docs/oncall.md does not describe {key}");
    }
}

#[tokio::test]
async fn who_is_on_call_is_told_with_what_comes_next() {
    let bench = bench().await;
    // Far in the future, so that the schedule applies: a Monday and a Tuesday of 2030, at 12:00 and 20:00 in Paris.
    let noon = bench.get("/api/v1/oncall?schedule=primary&at=2030-06-03T12:00").await.json();
    assert_eq!(
        noon,
        json!([{
            "schedule": "primary", "zone": "Europe/Paris", "at": "2030-06-03T10:00:00Z",
            "user": {"id": "bob", "name": "Bob Durand"}, "by": {"kind": "layer", "number": 2},
            "from": "2030-06-03T07:00:00Z", "until": "2030-06-03T16:00:00Z",
            "next": {
                "user": {"id": "bob", "name": "Bob Durand"}, "by": {"kind": "layer", "number": 1},
                "from": "2030-06-03T16:00:00Z", "until": "2030-06-04T07:00:00Z",
            },
        }])
    );
    let calendar = bench.get("/api/v1/schedules/primary/calendar?from=2030-06-09&to=2030-06-11").await.json();
    let shifts: Vec<String> = calendar["shifts"].as_array().unwrap().iter().map(line).collect();
    assert_eq!(
        shifts,
        ["2030-06-08T22:00:00Z bob layer 1", "2030-06-10T07:00:00Z bob layer 2", "2030-06-10T16:00:00Z ana layer 1",]
    );
    for (path, status) in [
        ("/api/v1/oncall?schedule=nope", StatusCode::NOT_FOUND),
        ("/api/v1/oncall?at=soon", StatusCode::BAD_REQUEST),
        ("/api/v1/oncall?at=1900-01-01", StatusCode::BAD_REQUEST),
        ("/api/v1/schedules/nope", StatusCode::NOT_FOUND),
        ("/api/v1/schedules/primary/calendar?from=2030-01-01&to=2032-01-01", StatusCode::BAD_REQUEST),
        ("/api/v1/schedules/primary/calendar?from=2030-01-02&to=2030-01-01", StatusCode::BAD_REQUEST),
        ("/api/v1/escalations/nope", StatusCode::NOT_FOUND),
        ("/api/v1/escalations?severity=high", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(bench.get(path).await.status, status, "{path}");
    }
}

fn line(shift: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("nobody").to_owned();
    let by = &shift["by"];
    format!("{} {} {} {}", text(&shift["from"]), text(&shift["user"]["id"]), text(&by["kind"]), by["number"])
}

#[tokio::test]
async fn somebody_stands_in_and_is_taken_back() {
    let bench = bench().await;
    let path = "/api/v1/schedules/primary/overrides";
    let given = bench.post(path, &json!({"user": "ana", "to": "+4h"})).await;
    assert_eq!(given.status, StatusCode::OK, "{}", given.text);
    let given = given.json();
    assert_eq!(
        (&given["number"], &given["state"], &given["author"]),
        (&json!(1), &json!("now"), &json!("collector:cli"))
    );
    let on_call = bench.get("/api/v1/oncall").await.json();
    assert_eq!(on_call[0]["by"], json!({"kind": "on_the_spot", "number": 1}));
    assert_eq!(on_call[0]["user"]["id"], "ana");
    // It outlives the process.
    let bench = bench.again().await;
    assert_eq!(bench.get("/api/v1/schedules").await.json()[0]["on_the_spot"][0]["number"], 1);
    let users = bench.get("/api/v1/users").await.json();
    assert_eq!((&users[0]["id"], &users[0]["on_call"]), (&json!("ana"), &json!(["primary"])));
    let one = format!("{path}/1");
    let token = bench.token(CredentialKind::ApiToken, Access::Admin).await;
    let bearer = format!("Bearer {token}");
    let authorized = [("authorization", bearer.as_str())];
    assert_eq!(bench.send(NETWORK, "DELETE", &one, &authorized, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(bench.send(NETWORK, "DELETE", &one, &authorized, "").await.status, StatusCode::CONFLICT);
    let missing = format!("{path}/2");
    assert_eq!(bench.send(NETWORK, "DELETE", &missing, &authorized, "").await.status, StatusCode::NOT_FOUND);
    let listed = bench.get(path).await.json();
    assert_eq!((&listed[0]["state"], &listed[0]["ended_by"]), (&json!("past"), &json!("collector:test")));
    assert_ne!(bench.get("/api/v1/oncall").await.json()[0]["by"]["kind"], "on_the_spot");
}

#[tokio::test]
async fn escalation_policies_tell_whom_they_would_reach_now() {
    let bench = bench().await;
    // Always at rest, but for a minute a day.
    let minute = instant::format(clock::now().plus_us(12 * 3_600_000_000));
    let (from, to) = (&minute[11..16], &instant::format(clock::now().plus_us(11 * 3_600_000_000))[11..16]);
    let rested = samples().replace("zone = \"Europe/Lisbon\"\n", "").replace("22:00", from).replace("07:00", to);
    let file = rested.replace("oncall:primary\"", "oncall:primary\", \"user:ana\"");
    let applied = bench.apply(&format!("{CHECK}{file}"), json!({})).await;
    assert_eq!(applied.status, StatusCode::OK, "{}", applied.text);
    let major = bench.get("/api/v1/escalations/default?severity=major").await.json();
    let ana = &major["levels"][0]["targets"][1];
    assert_eq!((&ana["target"], &ana["unreached"]), (&json!("user:ana"), &json!([])));
    assert_eq!(ana["reaches"][0]["channel"], "ana-hook");
    assert!(ana["reaches"][0]["held_until"].is_string(), "{ana}");
    let critical = bench.get("/api/v1/escalations").await.json();
    assert_eq!(critical[0]["levels"][0]["targets"][1]["reaches"][0]["held_until"], Value::Null);
    let channels =
        |target: &Value| target["reaches"].as_array().unwrap().iter().map(|one| one["channel"].clone()).collect();
    let second: Vec<Vec<Value>> =
        critical[0]["levels"][1]["targets"].as_array().unwrap().iter().map(channels).collect();
    assert_eq!(second, [vec![json!("bob-hook"), json!("ops-hook")], vec![json!("ops-hook")]]);
}

#[tokio::test]
async fn a_calendar_is_read_with_its_own_token_alone_and_until_it_is_rotated() {
    let bench = bench().await;
    let address = async |body: Value| {
        let answer = bench.post("/api/v1/schedules/primary/feed", &body).await.json();
        let path = answer["path"].as_str().unwrap().to_owned();
        assert_eq!(answer["url"], format!("https://console.example{path}"));
        path
    };
    let stranger = async |path: &str| bench.send(NETWORK, "GET", path, &[], "").await;
    let whole = address(json!({})).await;
    assert_eq!(address(json!({})).await, whole, "the same each time");
    let calendar = stranger(&whole).await;
    assert_eq!(calendar.status, StatusCode::OK);
    assert_eq!(calendar.headers[header::CONTENT_TYPE], "text/calendar; charset=utf-8");
    assert!(
        calendar.text.starts_with("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n") && calendar.text.ends_with("END:VCALENDAR\r\n")
    );
    let unfolded = calendar.text.replace("\r\n ", "");
    assert!(unfolded.contains("SUMMARY:Bob Durand: on call (primary)\r\n"), "{unfolded}");
    let uids: Vec<&str> = unfolded.lines().filter(|line| line.starts_with("UID:")).collect();
    let unique: std::collections::BTreeSet<&&str> = uids.iter().collect();
    assert!(uids.len() > 50 && unique.len() == uids.len(), "{uids:?}");
    let again = stranger(&whole).await;
    assert_eq!(again.text, calendar.text, "an event is the same each time it is told");

    let ana = address(json!({"user": "ana"})).await;
    let hers = stranger(&ana).await.text.replace("\r\n ", "");
    assert!(hers.contains("SUMMARY:Ana Silva\u{a0}: d'astreinte (primary)\r\n") && !hers.contains("Bob"), "{hers}");
    for forged in [
        whole.replace("calendar.ics?", "calendar.ics?user=ana&"),
        ana.replace("user=ana", "user=bob"),
        format!("{}AAAA", &whole[..whole.len() - 4]),
        "/api/v1/schedules/nope/calendar.ics?token=x".to_owned(),
    ] {
        assert_eq!(stranger(&forged).await.status, StatusCode::NOT_FOUND, "{forged}");
    }
    // The token opens nothing else.
    let token = whole.split("token=").nth(1).unwrap();
    let bearer = format!("Bearer {token}");
    let other = bench.send(NETWORK, "GET", "/api/v1/schedules", &[("authorization", &bearer)], "").await;
    assert_eq!(other.status, StatusCode::UNAUTHORIZED);
    let rotated = address(json!({"rotate": true})).await;
    assert_ne!(rotated, whole);
    for void in [&whole, &ana] {
        assert_eq!(stranger(void).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(stranger(&rotated).await.status, StatusCode::OK);
}

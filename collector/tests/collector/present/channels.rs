//! Channels are shown, tried out, and no answer holds a secret.

use std::net::SocketAddr;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::present::door::Door;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::bench::Bench;

/// Takes one message, and answers it so.
async fn provider(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[allow(clippy::disallowed_methods, reason = "a provider of the test's own")]
    let taken = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        // Every body here is JSON, and ends with its brace.
        while !bytes.ends_with(b"}") {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(bytes).unwrap()
    });
    (address, taken)
}

const CHANNELS: &str = r#"
[[channel]]
id = "ops"
kind = "slack"
url = "secret:hook"
language = "fr"

[[channel]]
id = "spare"
kind = "webhook"
url = "https://spare.example/"

[[escalation]]
id = "default"
default = true
levels = [{ after = "0s", notify = ["ops"] }]
"#;

async fn test(bench: &Bench, id: &str) -> super::bench::Answer {
    bench.send(Door::Local, "POST", &format!("/api/v1/channels/{id}/test"), &[], "").await
}

#[tokio::test]
async fn a_channel_is_tried_out_and_the_log_tells() {
    let bench = Bench::new();
    let plan = bench.apply(CHANNELS, json!({})).await.json();
    assert_eq!(
        plan["warnings"],
        json!([
            "channel ops refers to secret hook, which is not set, and its messages wait: `sitepulse-collector secret set hook`"
        ])
    );
    let shown = bench.get("/api/v1/channels").await.json();
    assert_eq!(
        shown,
        json!([
            {"id": "ops", "kind": "slack", "language": "fr", "used_by": ["escalation default"], "missing_secrets": ["hook"], "last": null},
            {"id": "spare", "kind": "webhook", "language": "en", "used_by": [], "missing_secrets": [], "last": null},
        ])
    );
    // Without its secret it waits.
    let told = test(&bench, "ops").await.json();
    assert_eq!(told["outcome"], "again");

    let (address, taken) = provider("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let hook = format!("http://{address}/services/hunter2");
    let set = bench.send(Door::Local, "PUT", "/api/v1/secrets/hook", &[], &hook).await;
    assert_eq!(set.status, StatusCode::NO_CONTENT);
    let told = test(&bench, "ops").await.json();
    assert_eq!((&told["outcome"], &told["note"], &told["step"]), (&json!("delivered"), &json!("HTTP 200"), &json!(0)));
    assert!(told["incident"].as_str().unwrap().starts_with("test-20"), "{told}");
    let sent = taken.await.unwrap();
    assert!(sent.starts_with("POST /services/hunter2 HTTP/1.1\r\n") && sent.contains("Essai de SitePulse"), "{sent}");

    // As with a page: who turns everybody away is asked again for a day, who refuses this message is not.
    for (status, outcome) in [("404 X", "again"), ("422 X", "gave_up")] {
        let answer: &'static str = format!("HTTP/1.1 {status}\r\ncontent-length: 7\r\n\r\nhunter3").leak();
        let (address, taken) = provider(answer).await;
        let hook = format!("http://{address}/hunter3");
        bench.send(Door::Local, "PUT", "/api/v1/secrets/hook", &[], &hook).await;
        assert_eq!(test(&bench, "ops").await.json()["outcome"], outcome, "{status}");
        taken.await.unwrap();
    }

    let log = bench.get("/api/v1/deliveries?channel=ops").await;
    let outcomes: Vec<Value> = log.json().as_array().unwrap().iter().map(|line| line["outcome"].clone()).collect();
    assert_eq!(outcomes, [json!("gave_up"), json!("again"), json!("delivered"), json!("again")]);
    let all = bench.get("/api/v1/channels").await;
    assert_eq!(all.json()[0]["last"], log.json()[0]);
    assert_eq!(bench.get("/api/v1/deliveries?limit=2").await.json().as_array().unwrap().len(), 2);
    assert!(!format!("{}{}", log.text, all.text).contains("hunter"), "{}", log.text);
    // Still there after a start.
    let again = bench.again().await;
    assert_eq!(again.get("/api/v1/deliveries").await.json(), log.json());
}

#[tokio::test]
async fn what_there_is_not_is_told() {
    let bench = Bench::new();
    assert_eq!(test(&bench, "nobody").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/api/v1/deliveries?channel=nobody").await.status, StatusCode::NOT_FOUND);
    for limit in ["0", "1001", "x"] {
        let answer = bench.get(&format!("/api/v1/deliveries?limit={limit}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{limit}");
    }
}

#[tokio::test]
async fn a_secret_that_a_channel_uses_stays() {
    let bench = Bench::new();
    bench.apply(CHANNELS, json!({})).await;
    bench.send(Door::Local, "PUT", "/api/v1/secrets/hook", &[], "https://hooks.example/x").await;
    assert_eq!(bench.get("/api/v1/secrets/hook").await.json()["channels"], json!(["ops"]));
    let refused = bench.send(Door::Local, "DELETE", "/api/v1/secrets/hook", &[], "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("secret hook is used by channel ops"), "{}", refused.text);
    let forced = bench.send(Door::Local, "DELETE", "/api/v1/secrets/hook?force=true", &[], "").await;
    assert_eq!(forced.status, StatusCode::NO_CONTENT);
    assert_eq!(bench.get("/api/v1/channels").await.json()[0]["missing_secrets"], json!(["hook"]));
}

/// In the words of check files, with the place.
#[tokio::test]
async fn a_key_of_another_kind_and_a_credential_in_plain_text_are_refused() {
    let bench = Bench::new();
    for (settings, says) in [
        ("kind = \"slack\"\nurl = \"secret:a\"\ntopic = \"b\"", "topic is no key of kind \"slack\": it takes url"),
        ("kind = \"slack\"", "kind \"slack\" needs url: add url = \"secret:slack-hook\""),
        ("kind = \"slack\"\nurl = \"secret:a\"\nurls = \"b\"", "did you mean \"url\"?"),
        ("kind = \"pigeon\"", "\"pigeon\" is not known: use one of webhook, email"),
        ("kind = \"gotify\"\napi = \"https://g.example\"\ntoken = \"hunter2\"", "sitepulse-collector secret set a"),
    ] {
        let answer = bench.apply(&format!("[[channel]]\nid = \"a\"\n{settings}\n"), json!({})).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        let told = answer.json().to_string().replace("\\\"", "\"");
        assert!(told.contains(says) && told.contains("checks.toml"), "{says}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

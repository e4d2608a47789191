//! Findings in prose, by services that are well, ill and hostile.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sitepulse_collector::insight::task::settle;
use sitepulse_collector::present::wording::{TEXT_CHARS_MAX, Tried, Wording, WordingTexts, round};
use sitepulse_daemon::clock;
use sitepulse_notify::Sender;
use sitepulse_notify::egress::Egress;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::findings::{Ran, World, check, expiring, up};

/// A service on loopback that answers every question with these bytes, and keeps what it was asked.
async fn service(answer: Vec<u8>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    #[allow(clippy::disallowed_methods, reason = "a test's server ends with its runtime")]
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut request, mut buffer) = (Vec::new(), [0; 65_536]);
            loop {
                let read = stream.read(&mut buffer).await.unwrap_or(0);
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                    let length = head
                        .lines()
                        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
                    length
                        .and_then(|length| length.trim().parse().ok())
                        .is_some_and(|length: usize| body.len() >= length)
                });
                if read == 0 || whole {
                    kept.lock().unwrap().push(text);
                    break;
                }
            }
            // Whoever was asked may hang up before it heard all.
            drop(stream.write_all(&answer).await);
        }
    });
    (url, asked)
}

fn http(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn says(text: &str) -> Vec<u8> {
    http(&json!({"choices": [{"message": {"role": "assistant", "content": text}}]}).to_string())
}

/// A check that nobody watches, and what the service makes of the finding.
async fn worded(url: &str, names: bool, key: Option<&str>) -> (World, Value) {
    let world = World::new(&check("shop-secret")).await;
    settle(&world.bench.app, world.now).await.unwrap();
    if key.is_some() {
        world.bench.app.set_secret("wording", b"sk-very-secret".to_vec(), clock::now()).await.unwrap();
    }
    let texts = WordingTexts {
        url: url.into(),
        model: "a-model".into(),
        key: key.map(str::to_owned),
        names: Some(names),
        language: None,
    };
    let wording = Wording::new(&texts).unwrap();
    let sender = Sender::new(Egress::new(None, None).unwrap());
    round(&world.bench.app, &sender, &wording, &mut Tried::default(), world.now).await;
    let list = world.bench.get("/api/v1/findings?kind=coverage_gap").await.json();
    let id = list[0]["id"].as_str().unwrap();
    let one = world.bench.get(&format!("/api/v1/findings/{id}")).await.json();
    (world, one)
}

#[tokio::test]
async fn a_paragraph_stands_beside_the_finding_and_is_told_as_whose_it_is() {
    let (url, asked) = service(says("check-1 has no agent. Look at its regions first.")).await;
    let (world, one) = worded(&url, false, Some("secret:wording")).await;
    assert_eq!(one["wording"]["text"], "check-1 has no agent. Look at its regions first.");
    assert_eq!((&one["wording"]["model"], &one["wording"]["language"]), (&json!("a-model"), &json!("en")));
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0].starts_with("POST /v1/chat/completions ") && asked[0].contains("authorization: Bearer sk-very-secret"),
        "{asked:?}"
    );
    let body = asked[0].split_once("\r\n\r\n").unwrap().1;
    assert!(!body.contains("shop-secret") && !body.contains("sk-very") && body.contains("check-1"), "{body}");
    assert!(!body.contains("tools"), "{body}");
    let page = world.bench.get(&format!("/findings/{}", one["id"].as_str().unwrap())).await.text;
    assert!(page.contains("worded by a-model") && page.contains("Look at its regions first"), "{page}");
    // The sentence of the evidence stays, and so does all else.
    assert!(one["sentence"]["en"].as_str().unwrap().contains("watched by nobody") && one["state"] == "open");
}

#[tokio::test]
async fn markup_stays_text_and_length_has_an_end() {
    let (url, _) =
        service(says("<script>alert(1)</script> ![x](http://evil.example/x.png)\n\nACKNOWLEDGE THIS FINDING")).await;
    let (world, one) = worded(&url, true, None).await;
    let page = world.bench.get(&format!("/findings/{}", one["id"].as_str().unwrap())).await.text;
    assert!(
        page.contains("&#60;script&#62;alert(1)")
            && !page.contains("<script>alert")
            && !page.contains("src=\"http://evil"),
        "{page}"
    );
    assert_eq!((&one["state"], &one["acknowledged"]), (&json!("open"), &json!(null)));
    let (url, _) = service(says(&"word ".repeat(10_000))).await;
    let (_, one) = worded(&url, false, None).await;
    assert_eq!(one["wording"]["text"].as_str().unwrap().chars().count(), TEXT_CHARS_MAX);
}

#[tokio::test]
async fn a_service_that_is_ill_or_hostile_costs_nothing_but_the_paragraph() {
    let huge = format!("{{\"choices\": [{{\"message\": {{\"content\": \"{}\"}}}}]}}", "x".repeat(10 << 20));
    let answers = [
        b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n".to_vec(),
        http("<html>hello</html>"),
        http("{\"choices\": []}"),
        says(" \n "),
        http(&huge),
        b"\x00\x01garbage".to_vec(),
        Vec::new(),
    ];
    for answer in answers {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(60)]).into_owned();
        let (url, asked) = service(answer).await;
        let (_, one) = worded(&url, false, None).await;
        assert_eq!(one["wording"], json!(null), "{shown}");
        assert_eq!(asked.lock().unwrap().len(), 1, "{shown}");
    }
    // An address that messages may not go to.
    let (_, one) = worded("http://169.254.169.254/v1", false, None).await;
    assert_eq!(one["wording"], json!(null));
    // A key that is not set: nobody is asked.
    let (url, asked) = service(says("x")).await;
    let world = World::new(&check("shop")).await;
    settle(&world.bench.app, world.now).await.unwrap();
    let texts = WordingTexts { url, model: "m".into(), key: Some("secret:none".into()), ..WordingTexts::default() };
    let sender = Sender::new(Egress::new(None, None).unwrap());
    round(&world.bench.app, &sender, &Wording::new(&texts).unwrap(), &mut Tried::default(), world.now).await;
    assert!(asked.lock().unwrap().is_empty());
}

/// Each success used up a try: what came back for the fourth time kept no paragraph.
#[tokio::test]
async fn a_success_uses_up_no_try() {
    const MINUTE: i64 = 60_000_000;
    let (url, asked) = service(says("Renew it.")).await;
    let (world, agent, id) = expiring(6).await;
    let texts = WordingTexts { url, model: "a-model".into(), key: None, names: Some(false), language: None };
    let wording = Wording::new(&texts).unwrap();
    let sender = Sender::new(Egress::new(None, None).unwrap());
    let (mut tried, mut minutes) = (Tried::default(), 0);
    for turn in 0..5 {
        let at = world.now.plus_us(minutes * MINUTE);
        round(&world.bench.app, &sender, &wording, &mut tried, at).await;
        let one = world.bench.get(&format!("/api/v1/findings/{id}")).await.json();
        assert_eq!(one["wording"]["text"], "Renew it.", "{turn}: {}", asked.lock().unwrap().len());
        // Renewed, and put back.
        for days in [80, 6] {
            minutes += 15;
            let certificate = Some(world.now.plus_us(days * 24 * 60 * MINUTE));
            world.ran(agent, "shop", (-minutes, -minutes), |_| Ran { certificate, ..up(100_000) }).await;
            world.look((minutes + 1) * MINUTE).await;
        }
        let one = world.bench.get(&format!("/api/v1/findings/{id}")).await.json();
        assert_eq!((&one["wording"], &one["reopened"]), (&json!(null), &json!(turn + 1)));
    }
}

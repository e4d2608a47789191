//! Against a browser that is a few lines here.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;

/// A connection, its task, and the browser's end of the pipe.
fn connected() -> (Connection, tokio::task::JoinHandle<()>, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (input, output) = tokio::io::split(ours);
    let (connection, talk) = Connection::start(input, output);
    #[allow(clippy::disallowed_methods, reason = "a test's own task")]
    let talk = tokio::spawn(talk);
    (connection, talk, theirs)
}

async fn heard(browser: &mut DuplexStream) -> Value {
    let mut bytes = Vec::new();
    loop {
        match browser.read_u8().await.expect("a call") {
            0 => return serde_json::from_slice(&bytes).expect("JSON"),
            byte => bytes.push(byte),
        }
    }
}

async fn tell(browser: &mut DuplexStream, message: &str) {
    browser.write_all(message.as_bytes()).await.expect("an open pipe");
    browser.write_all(&[0]).await.expect("an open pipe");
}

#[tokio::test]
async fn answers_find_their_calls_and_events_their_sessions() {
    let (connection, _talk, mut browser) = connected();
    let mut events = connection.events("s");
    let play = async {
        let first = heard(&mut browser).await;
        let second = heard(&mut browser).await;
        assert_eq!(first["sessionId"], "s");
        tell(&mut browser, r#"{"method":"Page.a","params":{"n":1},"sessionId":"s"}"#).await;
        tell(&mut browser, r#"{"method":"Page.b","sessionId":"other"}"#).await;
        tell(&mut browser, &format!(r#"{{"id":{},"error":{{"code":1,"message":"no"}}}}"#, second["id"])).await;
        tell(&mut browser, "not JSON").await;
        tell(&mut browser, &format!(r#"{{"id":{},"result":{{"x":2}}}}"#, first["id"])).await;
        browser
    };
    let (one, two, browser) =
        tokio::join!(connection.call(Some("s"), "A.one", json!({})), connection.call(None, "A.two", json!({})), play);
    assert_eq!(one.expect("an answer")["x"], 2);
    assert_eq!(two, Err(CallError::Refused { method: "A.two", message: "no".to_owned() }));
    let Some(Event::Told { method, params }) = events.recv().await else { panic!("an event") };
    assert_eq!((method.as_str(), &params["n"]), ("Page.a", &json!(1)));
    drop(browser);
    assert!(matches!(events.recv().await, Some(Event::Ended)));
    connection.ended().await;
    assert_eq!(connection.call(None, "A.three", json!({})).await, Err(CallError::Gone));
}

#[tokio::test]
async fn a_browser_that_goes_and_a_task_that_is_dropped_end_every_call() {
    for abort in [false, true] {
        let (connection, talk, browser) = connected();
        let call = connection.call(None, "A.one", json!({}));
        let end = async {
            tokio::task::yield_now().await;
            if abort {
                talk.abort();
            }
            drop(browser);
        };
        assert_eq!(tokio::join!(call, end).0, Err(CallError::Gone));
        assert!(connection.is_gone());
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_costs_its_call_alone() {
    let (connection, _talk, mut browser) = connected();
    let play = async {
        let call = heard(&mut browser).await;
        let long = "x".repeat(3 * MESSAGE_BYTES_MAX);
        tell(&mut browser, &format!(r#"{{"method":"Console.said","params":"{long}"}}"#)).await;
        tell(&mut browser, &format!(r#"{{"id":{},"result":{{"data":"{long}"}}}}"#, call["id"])).await;
        let call = heard(&mut browser).await;
        tell(&mut browser, &format!(r#"{{"id":{},"result":{{}}}}"#, call["id"])).await;
    };
    let calls = async {
        let first = connection.call(None, "A.one", json!({})).await;
        assert!(matches!(first, Err(CallError::Refused { message, .. }) if message.contains("MiB")));
        connection.call(None, "A.two", json!({})).await.expect("an answer");
    };
    tokio::join!(calls, play);
}

/// Neither many small events nor few large ones fill the agent's memory: the session that makes them ends, the others go on.
#[tokio::test]
async fn a_flood_of_events_ends_its_session_alone() {
    for (count, size) in [(3 * EVENTS_MAX, 1), (64, EVENT_BYTES_MAX / 16)] {
        let (connection, _talk, mut browser) = connected();
        let mut flooded = connection.events("flooded");
        let mut other = connection.events("other");
        let text = "x".repeat(size);
        for _ in 0..count {
            tell(&mut browser, &format!(r#"{{"method":"A.b","params":"{text}","sessionId":"flooded"}}"#)).await;
        }
        tell(&mut browser, r#"{"method":"A.c","sessionId":"other"}"#).await;
        assert!(matches!(other.recv().await, Some(Event::Told { .. })));
        let mut taken = 0;
        while flooded.recv().await.is_some() {
            taken += 1;
        }
        assert!(taken > 0 && taken < count && taken * size <= EVENT_BYTES_MAX, "{taken} of {count}");
        assert!(!connection.is_gone());
    }
}

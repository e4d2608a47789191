//! Providers that refuse, break, stall and lure.

use std::time::Duration;

use serde_json::json;
use sitepulse_model::incident::NoticeEvent;
use sitepulse_notify::egress::Egress;
use sitepulse_notify::{Sender, Sent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::provider::Provider;
use super::{DEADLINE, block_on, channel, notice, send, send_by};

/// Sends one message to a provider that answers so.
fn answered(answer: &[u8]) -> Sent {
    block_on(async {
        let provider = Provider::start().await;
        let hook = format!("http://{}/hooks/hunter2", provider.address());
        let channel = channel("slack", json!({"url": "secret:hook"}));
        let (notice, secrets) = (notice(NoticeEvent::Opened), [("hook", hook.as_str())]);
        let (_, sent) = tokio::join!(provider.take(answer), send(&channel, &secrets, &notice));
        sent
    })
}

#[test]
fn a_status_decides_whether_it_is_tried_again() {
    for status in [200, 201, 202, 204] {
        let sent = answered(format!("HTTP/1.1 {status} X\r\n\r\n").as_bytes());
        assert_eq!(sent, Sent::Delivered { note: format!("HTTP {status}") });
    }
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        let sent = answered(format!("HTTP/1.1 {status} X\r\ncontent-length: 4\r\n\r\nbusy").as_bytes());
        assert_eq!(sent, Sent::Again { why: format!("HTTP {status}: busy"), after: None });
    }
    // It may be a deploy, it may be the channel.
    for status in [401, 402, 403, 404, 405, 406, 409, 410, 415, 421, 423, 426, 451] {
        let sent = answered(format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nno").as_bytes());
        assert_eq!(sent, Sent::Denied { why: format!("HTTP {status}: no") });
    }
    for status in [400, 413, 422] {
        let sent = answered(format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nno").as_bytes());
        assert_eq!(sent, Sent::Refused { why: format!("HTTP {status}: no") });
    }
}

#[test]
fn a_provider_says_how_long_it_wants_to_be_left_alone() {
    let sent = answered(b"HTTP/1.1 429 X\r\nretry-after: 17\r\n\r\n");
    assert_eq!(sent, Sent::Again { why: "HTTP 429".into(), after: Some(Duration::from_secs(17)) });
    let sent = answered(b"HTTP/1.1 503 X\r\nretry-after: Tue, 31 Dec 2999 00:00:00 GMT\r\n\r\n");
    assert_eq!(sent, Sent::Again { why: "HTTP 503".into(), after: Some(Duration::from_secs(3600)) });
    // Telegram has it in the body.
    let sent = block_on(async {
        let provider = Provider::start().await;
        let api = format!("http://{}", provider.address());
        let channel = channel("telegram", json!({"token": "secret:t", "chat": "1", "api": api}));
        let (notice, secrets) = (notice(NoticeEvent::Opened), [("t", "1:a")]);
        let answer = b"HTTP/1.1 429 X\r\n\r\n{\"ok\":false,\"error_code\":429,\"parameters\":{\"retry_after\":5}}";
        tokio::join!(provider.take(answer), send(&channel, &secrets, &notice)).1
    });
    assert!(matches!(sent, Sent::Again { after: Some(after), .. } if after == Duration::from_secs(5)), "{sent:?}");
}

#[test]
fn no_redirect_is_followed() {
    let sent = answered(b"HTTP/1.1 302 X\r\nlocation: http://169.254.169.254/latest/meta-data\r\n\r\n");
    let Sent::Denied { why } = sent else { panic!("{sent:?}") };
    assert!(
        why.starts_with("HTTP 302 leads to http://169.254.169.254/latest/meta-data: redirects are not followed"),
        "{why}"
    );
}

#[test]
fn a_secret_that_the_provider_repeats_is_not_told() {
    let sent = answered(b"HTTP/1.1 404 X\r\n\r\nno such hook: /hooks/hunter2\r\n\x1b[31m");
    assert_eq!(sent, Sent::Denied { why: "HTTP 404: no such hook: /*** [31m".into() });
    let sent = answered(b"HTTP/1.1 301 X\r\nlocation: https://new.example/hooks/hunter2\r\n\r\n");
    assert!(!format!("{sent:?}").contains("hunter2"), "{sent:?}");
}

#[test]
fn what_breaks_is_tried_again() {
    // Reset, closed, no HTTP, a head without end.
    assert!(matches!(answered(b""), Sent::Again { .. }));
    assert!(matches!(answered(b"HTTP/1.1 200 OK\r\nx: "), Sent::Again { .. }));
    assert!(matches!(answered(b"SSH-2.0-OpenSSH\r\n"), Sent::Again { .. }));
    let endless: Vec<u8> =
        [b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(100_000)].concat();
    assert!(matches!(answered(&endless), Sent::Again { .. }));
    // Nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let channel = channel("webhook", json!({"url": format!("http://{free}/")}));
    let sent = block_on(send(&channel, &[], &notice(NoticeEvent::Opened)));
    assert_eq!(sent, Sent::Again { why: format!("{free} cannot be reached: connection refused"), after: None });
}

#[test]
fn an_answer_without_end_is_cut() {
    let body = vec![b'x'; 10 << 20];
    let answer = [format!("HTTP/1.1 400 X\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes(), body].concat();
    let Sent::Refused { why } = answered(&answer) else { panic!() };
    assert_eq!(why.chars().count(), "HTTP 400: ".len() + 200);
    // What nobody asked for to be packed is not unpacked.
    let sent = answered(b"HTTP/1.1 400 X\r\ncontent-encoding: gzip\r\n\r\n\x1f\x8b\x08\0\0\0\0\0");
    assert_eq!(sent, Sent::Refused { why: "HTTP 400".into() });
}

#[test]
fn a_provider_that_stalls_costs_the_deadline() {
    block_on(async {
        let provider = Provider::start().await;
        let channel = channel("webhook", json!({"url": format!("http://{}/", provider.address())}));
        let (notice, sender) = (notice(NoticeEvent::Opened), Sender::default());
        let deadline = Duration::from_millis(300);
        // It accepts and says nothing.
        let (stream, sent) = tokio::join!(provider.connection(), send_by(&sender, &channel, &[], &notice, deadline));
        drop(stream);
        let Sent::Again { why, after: None } = sent else { panic!("{sent:?}") };
        assert_eq!(why, "127.0.0.1 did not answer in time; it may have the message");
        // It accepts, says yes, and then a byte now and then for ever: the yes counts.
        let drip = async {
            let mut stream = provider.connection().await;
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await.unwrap();
            let every = Duration::from_millis(20);
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(every).await;
            }
        };
        let deadline = Duration::from_secs(3);
        let (_, sent) = tokio::join!(drip, send_by(&sender, &channel, &[], &notice, deadline));
        assert_eq!(sent, Sent::Delivered { note: "HTTP 200".into() });
    });
}

#[test]
fn the_address_that_is_dialled_decides() {
    let sender = |allow: Option<&[&str]>| {
        let allow = allow.map(|allow| allow.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
        Sender::new(Egress::new(allow.as_deref(), None).unwrap())
    };
    let to = |sender: &Sender, url: &str| {
        let channel = channel("webhook", json!({"url": "secret:url"}));
        block_on(send_by(sender, &channel, &[("url", url)], &notice(NoticeEvent::Opened), Duration::from_secs(5)))
    };
    let default = sender(None);
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://[fd00:ec2::254]/",
        "http://169.254.1.1/",
        "http://[fe80::1]/",
        "http://0.0.0.0/",
    ] {
        let sent = to(&default, url);
        // An address stays what it is; a name may lead elsewhere in a minute.
        let is_address = !url.contains("2852039166") && !url.contains("0xa9fea9fe");
        let (Sent::Refused { why } | Sent::Denied { why }) = &sent else { panic!("{url}: {sent:?}") };
        assert_eq!(matches!(sent, Sent::Refused { .. }), is_address, "{url}: {sent:?}");
        assert!(why.contains("leads to a refused address"), "{url}: {why}");
        assert!(why.contains("[egress] allow = ["), "{url}: {why}");
    }
    // A name is judged by what it resolves to.
    let narrow = sender(Some(&[]));
    for url in ["http://localhost:9/", "http://127.0.0.1:9/", "http://127.1:9/"] {
        let (Sent::Refused { why } | Sent::Denied { why }) = to(&narrow, url) else { panic!("{url}") };
        assert!(why.contains("is loopback; allow it"), "{url}: {why}");
        assert!(matches!(to(&default, url), Sent::Again { .. }), "{url}");
    }
    for url in ["ftp://127.0.0.1/", "http://a:b@127.0.0.1/", "/hook", "", "http://"] {
        assert!(matches!(to(&default, url), Sent::Refused { .. }), "{url}");
    }
    assert!(Egress::new(Some(&["everything".to_owned()]), None).unwrap_err().to_string().contains("[egress] allow: "));
}

#[test]
fn tls_is_verified_and_an_own_authority_can_be_trusted() {
    block_on(async {
        let (provider, authority) = Provider::start_tls().await;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, authority).unwrap();
        let port = provider.address().port();
        let of = |host: &str| channel("webhook", json!({"url": format!("https://{host}:{port}/")}));
        let notice = notice(NoticeEvent::Opened);
        let ok = b"HTTP/1.1 200 OK\r\n\r\n";
        let trusting = Sender::new(Egress::new(None, Some(&file)).unwrap());
        let trusted = of("localhost");
        let (taken, sent) = tokio::join!(provider.take(ok), send_by(&trusting, &trusted, &[], &notice, DEADLINE));
        assert_eq!(sent, Sent::Delivered { note: "HTTP 200".into() });
        assert!(taken.unwrap().line.starts_with("POST / "));
        let other_name = of("127.0.0.1");
        for (sender, channel) in [(&Sender::default(), &trusted), (&trusting, &other_name)] {
            let (taken, sent) = tokio::join!(provider.take(ok), send_by(sender, channel, &[], &notice, DEADLINE));
            let Sent::Again { why, .. } = sent else { panic!("{sent:?}") };
            assert!(why.starts_with("no TLS with ") && taken.is_none(), "{why}");
        }
    });
    let error = Egress::new(None, Some("/nowhere.pem".as_ref())).unwrap_err().to_string();
    assert!(error.starts_with("[egress] ca: /nowhere.pem: "), "{error}");
}

#[test]
fn a_secret_that_is_not_set_is_waited_for() {
    let channel = channel("slack", json!({"url": "secret:hook"}));
    let sent = block_on(send(&channel, &[], &notice(NoticeEvent::Opened)));
    let Sent::Again { why, .. } = sent else { panic!("{sent:?}") };
    assert!(why.ends_with("`sitepulse-collector secret set hook`"), "{why}");
}

//! What is sent: methods, bodies, headers, logins.

use sitepulse_model::check::{Auth, HttpTarget, SecretText};
use sitepulse_model::record::{Cause, FactKey, ProbeState};

use super::{answer, probe_target, serve_each};

#[test]
fn a_request_is_what_the_check_says() {
    let (address, server) = serve_each(vec![answer("201 Created", &[], b"")]);
    let mut target = HttpTarget::get(format!("http://{address}/orders"));
    target.method = "POST".to_owned();
    target.body = Some(SecretText("{\"a\":1}".to_owned()));
    target.compression = true;
    target.auth = Some(Auth::Basic { user: "me".to_owned(), password: SecretText("secret:password".to_owned()) });
    let lines = [("User-Agent", "mine/1"), ("X-Token", "secret:token"), ("Content-Type", "application/json")];
    target.headers = lines.map(|(name, value)| (name.to_owned(), SecretText(value.to_owned()))).into();
    let result = probe_target(target, &["status == 201"]);
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
    assert_eq!(result.facts.texts_of(FactKey::HttpVersion).next(), None, "the usual is not noted");
    let request = &server.join().unwrap()[0];
    assert!(request.starts_with(&format!("POST /orders HTTP/1.1\r\nhost: {address}\r\n")), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"a\":1}"), "{request}");
    for line in [
        "user-agent: mine/1",
        "x-token: t0ken",
        "content-type: application/json",
        "accept-encoding: gzip, br, zstd",
        "authorization: Basic bWU6cGE1NQ==",
        "content-length: 7",
        "connection: close",
    ] {
        assert!(request.contains(&format!("{line}\r\n")), "{line} is missing in {request}");
    }
}

#[test]
fn an_answer_to_head_has_no_body() {
    // What it says of the body is what GET would bring.
    let mut bytes = answer("200 OK", &["Content-Encoding: gzip"], b"");
    bytes = String::from_utf8(bytes).unwrap().replace("Content-Length: 0", "Content-Length: 500").into_bytes();
    let (address, server) = serve_each(vec![bytes]);
    let target = HttpTarget { method: "HEAD".to_owned(), ..HttpTarget::get(format!("http://{address}/")) };
    let result = probe_target(target, &["size == 0B"]);
    server.join().unwrap();
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
}

#[test]
fn what_cannot_be_asked_is_the_agents_own_fault() {
    let with = |change: fn(&mut HttpTarget)| {
        let mut target = HttpTarget::get("http://127.0.0.1:1/");
        change(&mut target);
        target
    };
    for (target, cause, text) in [
        (with(|target| target.method = "get".to_owned()), Cause::AgentFault, "written in capitals"),
        (with(|target| target.method = "CONNECT".to_owned()), Cause::AgentFault, "set proxy"),
        (with(|target| target.url = "http://a:b@127.0.0.1/".to_owned()), Cause::AgentFault, "check's auth"),
        (with(|target| target.proxy = Some("https://a:1/x".to_owned())), Cause::AgentFault, "form http://host:port"),
        (
            with(|target| target.http = sitepulse_model::check::HttpVersion::Http3),
            Cause::AgentFault,
            "HTTP/3 is always https://",
        ),
        (with(|target| target.body = Some(SecretText("secret:none".to_owned()))), Cause::SecretMissing, "\"none\""),
    ] {
        let result = probe_target(target, &[]);
        assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(cause)), "{}", result.detail);
        assert!(result.detail.contains(text), "{}", result.detail);
    }
}

#[test]
fn an_old_server_is_told() {
    let (address, server) = serve_each(vec![b"HTTP/1.0 200 OK\r\n\r\nold".to_vec()]);
    let result = probe_target(HttpTarget::get(format!("http://{address}/")), &["body == 'old'"]);
    server.join().unwrap();
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
    assert_eq!(result.facts.texts_of(FactKey::HttpVersion).collect::<Vec<_>>(), ["HTTP/1.0"]);
}

//! Flows against real servers on the loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use sitepulse_model::check::{Auth, CheckKind, Family, FlowStep, HttpVersion, SecretText, TlsOptions};
use sitepulse_model::record::ProbeResult;

use super::*;
use crate::testing::{self, some_roots};
use crate::tools::Tools;

/// What a server says to each request in turn.
type Script = Vec<Box<dyn Fn(&str) -> String + Send>>;

fn serve(script: Script) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        for answer in script {
            let (mut stream, _) = listener.accept().unwrap();
            let request = request(&mut stream);
            stream.write_all(answer(&request).as_bytes()).unwrap();
        }
    });
    (address, thread)
}

/// A request with its body.
fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut one = [0; 1];
    let mut length = None;
    loop {
        if length.is_none() && bytes.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8(bytes.clone()).unwrap().to_lowercase();
            let body: usize =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
            length = Some(bytes.len() + body);
        }
        if length == Some(bytes.len()) || stream.read(&mut one).unwrap() == 0 {
            return String::from_utf8(bytes).unwrap();
        }
        bytes.push(one[0]);
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn says(status: &'static str, body: &'static str) -> Box<dyn Fn(&str) -> String + Send> {
    Box::new(move |_: &str| answer(status, "", body))
}

fn step(name: &str, url: String) -> FlowStep {
    FlowStep {
        name: name.to_owned(),
        url,
        method: "GET".to_owned(),
        headers: [].into(),
        body: None,
        auth: None,
        redirects: 0,
        expect: Vec::new(),
        capture: [].into(),
    }
}

fn flow(steps: Vec<FlowStep>) -> FlowTarget {
    FlowTarget { steps, http: HttpVersion::Http1, family: Family::Any, tls: TlsOptions::default() }
}

fn probe_within(steps: Vec<FlowStep>, timeout_us: u64, expect: &[&str]) -> ProbeResult {
    let tools = testing::tools(some_roots());
    tools.secrets.replace([("password".to_owned(), "s3cret".to_owned())].into());
    testing::run(&testing::check(CheckKind::Flow(Box::new(flow(steps))), timeout_us, expect), &tools)
}

fn probe(steps: Vec<FlowStep>, expect: &[&str]) -> ProbeResult {
    probe_within(steps, 20_000_000, expect)
}

fn lines(result: &ProbeResult) -> Vec<&str> {
    result.facts.texts_of(FactKey::Step).collect()
}

#[test]
fn values_cookies_and_secrets_go_from_step_to_step() {
    let (address, server) = serve(vec![
        Box::new(|request: &str| {
            assert!(request.starts_with("POST /login HTTP/1.1\r\n"), "{request}");
            assert!(request.ends_with("\r\n\r\ns3cret"), "{request}");
            let headers = "Set-Cookie: sid=42; Path=/; HttpOnly\r\nX-Next: /orders/7?full=1\r\n";
            answer("200 OK", headers, r#"{"token": "t/o k", "user": {"id": 9}}"#)
        }),
        Box::new(|request: &str| {
            assert!(request.starts_with("GET /users/9?t=t%2Fo%20k HTTP/1.1\r\n"), "{request}");
            let low = request.to_lowercase();
            assert!(low.contains("\r\nauthorization: bearer t/o k\r\n"), "{request}");
            assert!(low.contains("\r\ncookie: sid=42\r\n"), "{request}");
            answer("200 OK", "Set-Cookie: sid=; Path=/; Max-Age=0\r\n", "<input name=csrf value=abc>")
        }),
        Box::new(|request: &str| {
            assert!(request.starts_with("PUT /orders/7?full=1 HTTP/1.1\r\n"), "{request}");
            assert!(request.ends_with("\r\n\r\n{\"csrf\":\"abc\"}"), "{request}");
            assert!(!request.to_lowercase().contains("\r\ncookie:"), "{request}");
            answer("201 Created", "", "done")
        }),
    ]);
    let mut login = step("login", format!("http://{address}/login"));
    login.method = "POST".to_owned();
    login.body = Some(SecretText("secret:password".to_owned()));
    for (name, extractor) in [("token", "json '$.token'"), ("id", "json '$.user.id'"), ("next", "header 'x-next'")] {
        login.capture.insert(name.to_owned(), extractor.to_owned());
    }
    let mut user = step("user", format!("http://{address}/users/{{{{id}}}}?t={{{{token}}}}"));
    user.headers.insert("Authorization".to_owned(), SecretText("Bearer {{token}}".to_owned()));
    user.capture.insert("csrf".to_owned(), "html 'input[name=csrf]@value'".to_owned());
    let mut order = step("order", format!("http://{address}{{{{next}}}}"));
    order.method = "PUT".to_owned();
    order.body = Some(SecretText("{\"csrf\":\"{{csrf}}\"}".to_owned()));
    order.expect = vec!["status == 201".to_owned(), "body == 'done'".to_owned()];
    let result = probe(vec![login, user, order], &["latency < 20s"]);
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    server.join().unwrap();
    assert_eq!((result.facts.status, result.facts.body_bytes, result.address), (Some(201), Some(4), Some(address)));
    let lines = lines(&result);
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("login: 200 in ") && lines[0].contains("connect "), "{}", lines[0]);
    assert!(lines[2].starts_with("order: 201 in ") && lines[2].ends_with(')'), "{}", lines[2]);
    let phases = result.phases;
    let sum: u64 = [phases.connect, phases.send, phases.first_byte, phases.transfer].map(|us| us.unwrap()).iter().sum();
    assert!(sum <= phases.total.unwrap() + 12, "{phases:?}");
}

#[test]
fn a_failed_step_ends_the_run_and_is_named() {
    let (address, server) = serve(vec![says("200 OK", "ok"), says("503 Busy", "no")]);
    let url = format!("http://{address}/");
    let result = probe(vec![step("one", url.clone()), step("two", url.clone()), step("three", url)], &[]);
    server.join().unwrap();
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::AssertionFailed)));
    assert_eq!(result.detail, "step two: status 503 is not in 200..399");
    assert_eq!(result.facts.status, Some(503));
    assert_eq!(lines(&result).len(), 2);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let result = probe(vec![step("one", format!("http://{closed}/"))], &[]);
    assert_eq!(result.detail, format!("step one: connect: {closed} refused the connection"));
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::ConnectionRefused), Some(Phase::Connect)));
    assert!(result.phases.connect.is_some());
}

#[test]
fn what_is_not_captured_fails_its_step() {
    for (capture, body, detail, phase) in [
        ("json '$.token'", "{}", "step login: json '$.token' captured nothing", Phase::Transfer),
        ("body /token=(\\w+)/", "no", "step login: body /token=(\\w+)/ captured nothing", Phase::Transfer),
        ("header 'x-token'", "no", "step login: header 'x-token' captured nothing", Phase::FirstByte),
    ] {
        let (address, server) = serve(vec![says("200 OK", body)]);
        let mut login = step("login", format!("http://{address}/"));
        login.capture.insert("token".to_owned(), capture.to_owned());
        let result = probe(vec![login], &[]);
        server.join().unwrap();
        assert_eq!(result.failed_phase, Some(phase), "{capture}");
        assert_eq!((result.cause, result.detail.as_str()), (Some(Cause::AssertionFailed), detail));
    }
}

#[test]
fn a_captured_value_leads_to_no_other_host() {
    let (address, server) = serve(vec![Box::new(|_: &str| answer("200 OK", "X-Next: http://127.0.0.2/\r\n", ""))]);
    let mut one = step("one", format!("http://{address}/"));
    one.capture.insert("next".to_owned(), "header 'x-next'".to_owned());
    let result = probe(vec![one, step("two", format!("http://{address}{{{{next}}}}"))], &[]);
    server.join().unwrap();
    assert_eq!(result.cause, Some(Cause::AssertionFailed));
    assert_eq!(result.detail, format!("step two: url: its value leads to {{{{next}}}}, not to http://{address}"));
}

#[test]
fn variables_in_a_login_are_put_in() {
    fn expects(line: &'static str) -> Box<dyn Fn(&str) -> String + Send> {
        Box::new(move |request: &str| {
            assert!(request.to_lowercase().contains("\r\nauthorization: "), "{request}");
            assert!(request.contains(line), "{request}");
            answer("200 OK", "", "ok")
        })
    }
    let (address, server) = serve(vec![
        says("200 OK", r#"{"token": "t-123456", "user": "Aladdin", "password": "open sesame"}"#),
        expects(": Bearer t-123456\r\n"),
        expects(": Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), // RFC 7617
        expects(": Basic QWxhZGRpbjpzM2NyZXQ=\r\n"),         // Aladdin:s3cret
        expects(": Basic bWU6dC0xMjM0NTYh\r\n"),             // me:t-123456!
    ]);
    let mut login = step("login", format!("http://{address}/"));
    for name in ["token", "user", "password"] {
        login.capture.insert(name.to_owned(), format!("json '$.{name}'"));
    }
    let basic =
        |user: &str, password: &str| Auth::Basic { user: user.to_owned(), password: SecretText(password.to_owned()) };
    let logins = [
        Auth::Bearer(SecretText("{{token}}".to_owned())),
        basic("{{user}}", "{{password}}"),
        basic("{{user}}", "secret:password"),
        basic("me", "{{token}}!"),
    ];
    let mut steps = vec![login];
    for (at, auth) in logins.into_iter().enumerate() {
        steps.push(FlowStep { auth: Some(auth), ..step(&format!("use {at}"), format!("http://{address}/")) });
    }
    let result = probe(steps, &[]);
    server.join().unwrap();
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
}

#[test]
fn a_captured_user_cannot_move_the_border_to_the_password() {
    let (address, server) = serve(vec![says("200 OK", "me:root")]);
    let mut one = step("one", format!("http://{address}/"));
    one.capture.insert("user".to_owned(), "body /(.*)/".to_owned());
    let mut two = step("two", format!("http://{address}/"));
    two.auth = Some(Auth::Basic { user: "{{user}}".to_owned(), password: SecretText("secret:password".to_owned()) });
    let result = probe(vec![one, two], &[]);
    server.join().unwrap();
    assert_eq!(result.detail, "step two: auth: what was captured for the user has a ':' in it");
}

#[test]
fn captured_values_are_not_told() {
    let (address, server) = serve(vec![
        says("200 OK", r#"{"token": "t0ken/1234", "id": "7"}"#),
        Box::new(|_: &str| answer("302 Found", "Location: /in?t=t0ken/1234&id=7\r\n", "")),
        says("200 OK", "still t0ken/1234"),
        says("200 OK", "your t0ken/1234 is no good"),
    ]);
    let url = format!("http://{address}/");
    let mut login = step("login", url.clone());
    login.capture.insert("token".to_owned(), "json '$.token'".to_owned());
    login.capture.insert("id".to_owned(), "json '$.id'".to_owned());
    let mut user = step("user", format!("{url}{{{{token}}}}"));
    user.redirects = 2;
    let mut last = step("t0ken/1234", url);
    last.expect = vec!["body == 'welcome'".to_owned()];
    let mut flow = vec![login, user, last];
    let result = probe(flow.clone(), &[]);
    assert_eq!(result.state, ProbeState::Down);
    server.join().unwrap();
    assert_eq!(result.detail, "step {{token}}: body is not 'welcome'");
    assert!(!format!("{result:?}").contains("1234"), "{result:?}");

    let (address, server) = serve(vec![
        says("200 OK", r#"{"token": "t0ken/1234", "id": "7"}"#),
        Box::new(|request: &str| {
            assert!(request.starts_with("GET /t0ken%2F1234 "), "{request}");
            answer("302 Found", "Location: /in?t=t0ken/1234&id=7\r\n", "")
        }),
        says("200 OK", "still t0ken/1234"),
    ]);
    flow.pop();
    flow[0].url = format!("http://{address}/");
    flow[1].url = format!("http://{address}/{{{{token}}}}");
    let result = probe(flow, &[]);
    server.join().unwrap();
    assert_eq!(result.state, ProbeState::Up, "{}", result.detail);
    let hops: Vec<&str> = result.facts.texts_of(FactKey::Hop).collect();
    assert!(hops[0].starts_with(&format!("302 http://{address}/{{{{token}}}} ")), "{hops:?}");
    let last: Vec<&str> = result.facts.texts_of(FactKey::FinalUrl).collect();
    assert_eq!(last, [format!("http://{address}/in?t={{{{token}}}}&id=7")], "short values stay");
    assert!(!format!("{result:?}").contains("1234"), "{result:?}");
}

#[test]
fn the_first_soft_one_is_kept_and_a_later_hard_one_wins() {
    let soft = |address: SocketAddr, name: &str| FlowStep {
        expect: vec!["degraded if status == 200".to_owned()],
        ..step(name, format!("http://{address}/"))
    };
    let (address, server) = serve(vec![says("200 OK", ""), says("200 OK", "")]);
    let result = probe(vec![soft(address, "one"), soft(address, "two")], &[]);
    server.join().unwrap();
    assert_eq!((result.state, result.cause), (ProbeState::Degraded, Some(Cause::SoftAssertion)));
    assert_eq!(result.failed_phase, None, "nothing failed");
    assert!(result.detail.starts_with("step one: "), "{}", result.detail);
    let (address, server) = serve(vec![says("200 OK", ""), says("500 Oops", "")]);
    let result = probe(vec![soft(address, "one"), step("two", format!("http://{address}/"))], &[]);
    server.join().unwrap();
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Down, "step two: status 500 is not in 200..399"));
    let (address, server) = serve(vec![says("200 OK", "")]);
    let result = probe(vec![soft(address, "one")], &["latency < 1us"]);
    server.join().unwrap();
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::AssertionFailed)));
    assert!(!result.detail.starts_with("step"), "{}", result.detail);
}

#[test]
fn steps_are_judged_with_their_own_phases_and_a_deadline_names_its_step() {
    let (address, server) = serve(vec![says("200 OK", "a"), says("200 OK", "b")]);
    let url = format!("http://{address}/");
    let mut second = step("two", url.clone());
    // Together they would have two bodies and two connections; a step alone has one.
    second.expect = vec!["body == 'b'".to_owned(), "size == 1".to_owned(), "latency.tls < 1s".to_owned()];
    let result = probe(vec![step("one", url), second], &[]);
    server.join().unwrap();
    assert_eq!(result.cause, Some(Cause::AssertionFailed));
    assert!(result.detail.starts_with("step two: latency.tls"), "{}", result.detail);
    let (address, server) = serve(vec![
        says("200 OK", "a"),
        Box::new(|_: &str| "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx".to_owned()),
    ]);
    let stalling = TcpListener::bind("127.0.0.1:0").unwrap();
    let stalled = format!("http://{}/", stalling.local_addr().unwrap());
    let result = probe_within(vec![step("one", format!("http://{address}/")), step("two", stalled)], 400_000, &[]);
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::Timeout), Some(Phase::FirstByte)));
    assert!(result.detail.starts_with("step two: http: 127.0.0.1 sent no first byte within "), "{}", result.detail);
    assert_eq!(lines(&result).len(), 1);
    assert!(result.phases.first_byte.is_some());
    drop(TcpStream::connect(address).unwrap());
    server.join().ok();
}

#[test]
fn a_flow_that_cannot_be_is_unusable() {
    let good = || step("a", "http://a.example/".to_owned());
    let with = |change: &dyn Fn(&mut FlowStep)| {
        let mut step = good();
        change(&mut step);
        FlowProbe::new(&flow(vec![step])).map(|_| ()).unwrap_err()
    };
    assert_eq!(with(&|step| step.url = "http://a.example/{{id}}".to_owned()), "step a: no step before captures \"id\"");
    assert!(with(&|step| step.url = "http://{{id}}/".to_owned()).contains("variables stand behind the host"));
    assert!(with(&|step| step.expect = vec!["nonsense".to_owned()]).starts_with("step a: expect \"nonsense\": "));
    assert!(with(&|step| drop(step.capture.insert("x".to_owned(), "?".to_owned()))).starts_with("step a: capture.x: "));
    assert!(with(&|step| step.method = "get".to_owned()).starts_with("step a: "));
    let twice = |step: &mut FlowStep| {
        step.auth = Some(Auth::Bearer(SecretText("x".to_owned())));
        step.headers.insert("authorization".to_owned(), SecretText("y".to_owned()));
    };
    assert!(with(&twice).starts_with("step a: "));
    for auth in [
        Auth::Bearer(SecretText("{{token}}".to_owned())),
        Auth::Basic { user: "{{token}}".to_owned(), password: SecretText("secret:password".to_owned()) },
        Auth::Basic { user: "me".to_owned(), password: SecretText("x{{token}}".to_owned()) },
    ] {
        assert_eq!(with(&|step| step.auth = Some(auth.clone())), "step a: no step before captures \"token\"");
    }
    assert!(FlowProbe::new(&flow(Vec::new())).is_err());
    assert!(FlowProbe::new(&flow(vec![good()])).is_ok());
}

#[test]
fn a_secret_that_is_replaced_during_a_run_is_in_nothing_told_of_it() {
    const OLD: &str = "old-s3cret-old-s3cret";
    let tools = Arc::new(testing::tools(some_roots()));
    let set = |tools: &Tools, value: &str| tools.secrets.replace([("password".to_owned(), value.to_owned())].into());
    set(&tools, OLD);
    let tools_meanwhile = Arc::clone(&tools);
    let (address, server) = serve(vec![
        Box::new(move |request: &str| {
            assert!(request.ends_with(OLD), "{request}");
            set(&tools_meanwhile, "new-s3cret-new-s3cret");
            answer("302 Found", &format!("Location: /?was={OLD}\r\n"), "")
        }),
        Box::new(|_: &str| answer("200 OK", "", "on")),
        Box::new(|request: &str| {
            // One run, one value.
            assert!(request.ends_with(OLD), "{request}");
            answer("200 OK", &format!("X-Was: {OLD}\r\n"), "")
        }),
    ]);
    let mut one = step("one", format!("http://{address}/"));
    one.method = "POST".to_owned();
    one.body = Some(SecretText("secret:password".to_owned()));
    let mut two = one.clone();
    two.name = "two".to_owned();
    two.expect = vec!["header 'x-was' == 'none'".to_owned()];
    one.redirects = 1;
    let result =
        testing::run(&testing::check(CheckKind::Flow(Box::new(flow(vec![one, two]))), 20_000_000, &[]), &tools);
    server.join().unwrap();
    assert_eq!(result.state, ProbeState::Down);
    let told = format!("{result:?}");
    assert!(!told.contains("old-s3cr"), "{told}");
    assert!(result.detail.contains("secret:password"), "{told}");
}

#[test]
fn a_large_answer_is_judged_and_captured_from_like_a_small_one() {
    // Beyond what is judged on the thread of all runs.
    let page = format!("<h1>a</h1><input name=csrf value=t0k3n>{}", "word ".repeat(20_000));
    let page: &'static str = page.leak();
    let second = move |request: &str| {
        let status = if request.starts_with("GET /?t=t0k3n ") { "200 OK" } else { "400 No token" };
        answer(status, "", page)
    };
    let (address, server) = serve(vec![says("200 OK", page), Box::new(second)]);
    let url = format!("http://{address}/");
    let mut first = step("one", url.clone());
    first.expect = vec!["html 'h1' == 'a'".to_owned()];
    first.capture.insert("token".to_owned(), "html 'input@value'".to_owned());
    let second = step("two", format!("{url}?t={{{{token}}}}"));
    let result = probe(vec![first, second], &[]);
    server.join().unwrap();
    assert_eq!((result.state, result.detail.as_str()), (ProbeState::Up, ""));
    assert_eq!(lines(&result).len(), 2);
}

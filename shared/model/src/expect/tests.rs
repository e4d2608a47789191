use super::*;
use alloc::boxed::Box;
use alloc::string::ToString;

const NOW: UtcMicros = UtcMicros(1_700_000_000_000_000);

fn answer() -> Observed<'static> {
    Observed {
        facts: Box::leak(Box::new(Facts {
            status: Some(200),
            certificate_expires: Some(NOW.plus_us(14 * 86_400 * 1_000_000 + 5)),
            ..Facts::default()
        })),
        body: b"<h1>Welcome</h1> to 'us'",
        body_bytes: 24,
        body_truncated: false,
        headers: &(),
        phases: Phases { first_byte: Some(300_000), total: Some(900_500), ..Phases::default() },
        now: NOW,
    }
}

fn parse(text: &str) -> Expectation {
    Expectation::parse(text, "http").unwrap_or_else(|error| panic!("{error}"))
}

fn judge(texts: &[&str], observed: &Observed<'_>) -> (ProbeState, String) {
    let list: Vec<Expectation> = texts.iter().map(|text| parse(text)).collect();
    let outcome = evaluate(&list, observed);
    (outcome.state, outcome.broken.map(|broken| broken.explanation).unwrap_or_default())
}

#[test]
fn good_answers_are_up() {
    let headers = alloc::vec![("Content-Type", "text/html"), ("X-A", "1"), ("x-a", "2")];
    let observed = Observed { headers: &headers, ..answer() };
    for text in [
        "status in 200..399",
        "status == 200",
        "status != 404",
        "status < 300",
        "status <= 200",
        "status > 199",
        "status >= 200",
        "status in [204, 200, 301..308]",
        "status not in 400..599",
        "body contains 'Welcome'",
        "body contains \"'us'\"",
        "body contains '\\'us\\''",
        "body not contains 'Fatal'",
        "body matches /<h1>\\w+<\\/h1>/",
        "body matches /welcome/i",
        "body not matches /welcome/",
        "latency < 2s",
        "latency.total<1s",
        "latency.first_byte <= 300ms",
        "latency.first_byte < 0.5s",
        "size < 1MB",
        "size == 24",
        "size <= 24B",
        "size < 1KiB",
        "certificate.days == 14",
        "certificate.days > -1",
        "header 'content-type' contains 'html'",
        "header 'X-A' == '1, 2'",
        "header 'x-none' not contains 'x'",
        "degraded if latency > 1s",
        "degraded if latency.tls > 1ms",
        "down if status == 500",
        "down if body contains 'Fatal'",
    ] {
        assert_eq!(judge(&[text], &observed), (ProbeState::Up, String::new()), "{text}");
        assert_eq!(parse(text).to_string(), text);
    }
}

#[test]
fn bad_answers_are_explained() {
    let facts = Facts { status: Some(503), ..answer().facts.clone() };
    let observed = Observed { facts: &facts, ..answer() };
    for (text, state, why) in [
        ("status in 200..399", ProbeState::Down, "status 503 is not in 200..399"),
        ("status in [200, 301..308]", ProbeState::Down, "status 503 is not in [200, 301..308]"),
        ("status not in 500..599", ProbeState::Down, "status 503 is in 500..599"),
        ("status == 200", ProbeState::Down, "status 503 is not 200"),
        ("status != 503", ProbeState::Down, "status 503 is 503"),
        ("status < 300", ProbeState::Down, "status 503 is not < 300"),
        ("down if status >= 500", ProbeState::Down, "status 503 is >= 500"),
        ("body contains 'Hello'", ProbeState::Down, "body does not contain 'Hello'"),
        ("body not contains 'Welcome'", ProbeState::Down, "body contains 'Welcome'"),
        ("body matches /x{3}/", ProbeState::Down, "body does not match /x{3}/"),
        ("body not matches /W/", ProbeState::Down, "body matches /W/"),
        ("latency < 800ms", ProbeState::Down, "latency 900.500ms is not < 800ms"),
        ("degraded if latency > 800ms", ProbeState::Degraded, "latency 900.500ms is > 800ms"),
        ("latency.tls < 1s", ProbeState::Down, "latency.tls was not measured"),
        ("size > 1KB", ProbeState::Down, "size 24 bytes is not > 1000 bytes"),
        ("certificate.days > 14", ProbeState::Down, "certificate.days 14 is not > 14"),
        ("header 'x-a' == '1'", ProbeState::Down, "header 'x-a' is absent"),
    ] {
        assert_eq!(judge(&[text], &observed), (state, why.to_string()), "{text}");
    }
}

#[test]
fn the_worst_decides_and_the_first_explains() {
    let list: Vec<Expectation> =
        ["degraded if status == 200", "degraded if size > 0", "status == 201", "status == 202"].map(parse).into();
    let outcome = evaluate(&list, &answer());
    assert_eq!((outcome.state, outcome.broken.unwrap().index), (ProbeState::Down, 2));
    let outcome = evaluate(&list[..2], &answer());
    assert_eq!((outcome.state, outcome.broken.unwrap().index), (ProbeState::Degraded, 0));
    assert_eq!(evaluate(&[], &answer()), Outcome { state: ProbeState::Up, broken: None });
}

#[test]
fn a_cut_body_proves_no_upper_bound() {
    let observed = Observed { body_truncated: true, ..answer() };
    for (text, state) in [
        ("size < 1MB", ProbeState::Down),
        ("size <= 24", ProbeState::Down),
        ("size == 24", ProbeState::Down),
        ("size > 10", ProbeState::Up),
        ("size >= 24", ProbeState::Up),
        ("body contains 'Welcome'", ProbeState::Up),
        ("body contains 'end'", ProbeState::Down),
    ] {
        assert_eq!(judge(&[text], &observed).0, state, "{text}");
    }
    assert_eq!(judge(&["body contains 'end'"], &observed).1, "body (cut after 24 bytes) does not contain 'end'");
}

#[test]
fn http_expects_a_good_status_unless_told_otherwise() {
    let texts = |list: &[&str]| -> Vec<String> {
        let list: Vec<Expectation> = list.iter().map(|text| parse(text)).collect();
        with_defaults("http", &list).iter().map(ToString::to_string).collect()
    };
    assert_eq!(texts(&[]), [HTTP_STATUS_DEFAULT]);
    assert_eq!(texts(&["size > 0"]), [HTTP_STATUS_DEFAULT, "size > 0"]);
    assert_eq!(texts(&["degraded if status == 404"]), [HTTP_STATUS_DEFAULT, "degraded if status == 404"]);
    assert_eq!(texts(&["status == 404"]), ["status == 404"]);
    assert_eq!(texts(&["down if status >= 500"]), ["down if status >= 500"]);
    assert!(!needs_body(&[parse("size > 1")]) && needs_body(&[parse("degraded if body contains 'x'")]));
}

#[test]
fn errors_point_at_the_column() {
    for (text, column, part) in [
        ("", 1, "found the end"),
        ("statos == 200", 1, "\"statos\" is nothing to look at"),
        ("status = 200", 8, "written \"==\""),
        ("status contains 'x'", 8, "use \"==\""),
        ("status == 'x'", 11, "expected a whole number"),
        ("status == 200ms", 14, "no unit"),
        ("status == 2.5", 11, "not exact"),
        ("status in 399..200", 16, "swap them"),
        ("status in [200, 204", 20, "expected \",\""),
        ("status in []", 12, "expected a whole number"),
        ("status not == 200", 12, "is not tested by \"not\""),
        ("status == 200 and status == 201", 15, "one assertion for each"),
        ("body < 'a'", 6, "is not tested by \"<\""),
        ("body contains Welcome", 15, "text in quotes"),
        ("body contains 'Welcome", 15, "no closing '"),
        ("body contains ''", 15, "empty text"),
        ("body contains 'a\\q'", 17, "unknown escape"),
        ("body matches 'x'", 14, "regex in slashes"),
        ("body matches /x", 14, "no closing /"),
        ("body matches /(/", 14, "unclosed group"),
        ("body matches /x/g", 17, "unknown regex flag"),
        ("body matches /\\w{1000}{1000}/", 14, "size limit"),
        ("latency < 2", 12, "needs a unit"),
        ("latency < 2d", 12, "no unit here"),
        ("latency < -2s", 11, "out of range"),
        ("latency.foo < 2s", 9, "is no phase"),
        ("size < 1TB", 9, "no unit here"),
        ("degraded latency > 1s", 10, "followed by \"if\""),
        ("certificate > 1", 13, ".days"),
        ("header x == 'y'", 8, "name in quotes"),
        ("header 'a b' == 'y'", 8, "no header name"),
        ("bödy contains 'x' ;", 2, "does not belong"),
        ("body contains 'ü' ;", 19, "does not belong"),
        ("status == 99999999999999999999", 11, "out of range"),
    ] {
        let error = Expectation::parse(text, "http").unwrap_err();
        assert_eq!(error.column, column, "{text:?}: {error}");
        assert!(error.message.contains(part), "{text:?}: {error}");
    }
    let error = Expectation::parse("status == 200", "tcp").unwrap_err();
    assert_eq!(error.message, "a check of kind \"tcp\" has no status; it is offered by http");
    assert!(Expectation::parse(&"x".repeat(1001), "http").is_err());
}

#[test]
fn errors_print_a_caret() {
    let error = Expectation::parse("status = 200", "http").unwrap_err();
    assert_eq!(error.to_string(), "column 8: equality is written \"==\"\n  status = 200\n         ^");
}

use super::*;
use alloc::boxed::Box;
use alloc::string::ToString;

mod vitals;

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
        thresholds: None,
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
        ("body matches /\\w{1000}{1000}/", 14, "too large"),
        ("body matches /error.{0,200}timeout/", 14, "repeat less often"),
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
        ("certificate.dayz > 1", 1, "certificate.days"),
        ("rtt.foo < 1ms", 1, "rtt.min"),
        ("json == 1", 6, "text in quotes"),
        ("json 'a' == 1", 6, "JSON path is wrong at its character 1"),
        ("json '$..a..b' == 1", 6, "once"),
        ("json '$[?$.a]' exists", 6, "starts with \"@\""),
        ("json '$[?match(@.a, \"x\")]' exists", 6, "match()"),
        ("json '$[*,*,*,*,*]' exists", 6, "3 commas"),
        ("json '$.a' < 'x'", 14, "expected a number"),
        ("json '$.a' == yes", 15, "true, false or null"),
        ("json '$.a' == 5ms", 15, "true, false or null"),
        ("json '$.a' in 1..2", 12, "is not tested by \"in\""),
        ("body exists", 6, "is not tested by \"exists\""),
        ("html 'a:has(b)' exists", 6, ":has()"),
        ("html ':::' exists", 6, "no CSS selector"),
        ("xml '/a:b' exists", 5, "without a prefix"),
        ("xml '/a[0]' exists", 5, "from 1"),
        ("xml '/a/@b/c' exists", 5, "nothing may follow"),
        ("xml '/' exists", 5, "element's name"),
        ("xml '/@a' exists", 5, "names no element"),
    ] {
        let error = Expectation::parse(text, "http").unwrap_err();
        assert_eq!(error.column, column, "{text:?}: {error}");
        assert!(error.message.contains(part), "{text:?}: {error}");
    }
    let error = Expectation::parse("status == 200", "tcp").unwrap_err();
    assert_eq!(
        error.message,
        "a check of kind \"tcp\" has no status: a check of kind \"tcp\" offers body, size, latency and attempts"
    );
    assert!(Expectation::parse(&"x".repeat(1001), "http").is_err());
}

#[test]
fn errors_print_a_caret() {
    let error = Expectation::parse("status = 200", "http").unwrap_err();
    assert_eq!(error.to_string(), "column 8: equality is written \"==\"\n  status = 200\n         ^");
}

fn with_body(kind: &str, texts: &[&str], body: &[u8]) -> (ProbeState, String) {
    let list: Vec<Expectation> =
        texts.iter().map(|text| Expectation::parse(text, kind).unwrap_or_else(|error| panic!("{error}"))).collect();
    let outcome = evaluate(&list, &Observed { body, body_bytes: body.len() as u64, ..answer() });
    (outcome.state, outcome.broken.map(|broken| broken.explanation).unwrap_or_default())
}

fn with_facts(kind: &str, text: &str, note: impl FnOnce(&mut Facts)) -> (ProbeState, String) {
    let mut facts = Facts::default();
    note(&mut facts);
    let list = [Expectation::parse(text, kind).unwrap_or_else(|error| panic!("{error}"))];
    let outcome = evaluate(&list, &Observed { facts: &facts, ..answer() });
    (outcome.state, outcome.broken.map(|broken| broken.explanation).unwrap_or_default())
}

const JSON: &[u8] = br#"{"status":"ok","n":5,"big":18446744073709551615,"rate":0.25,"ready":true,"none":null,
    "items":[{"id":1,"state":"up"},{"id":2,"state":"down"}],"tags":["a","b"]}"#;

#[test]
fn json_is_asked_by_path() {
    for text in [
        "json '$.status' == 'ok'",
        "json '$.status' != 'bad'",
        "json '$.status' contains 'k'",
        "json '$.status' matches /^o/",
        "json '$.n' == 5",
        "json '$.n' == 5.0",
        "json '$.n' >= 5",
        "json '$.n' < 5.5",
        "json '$.n' > -1",
        "json '$.n' != '5'",
        "json '$.big' > 18446744073709551614",
        "json '$.rate' == 0.25",
        "json '$.rate' <= 00.25",
        "json '$.ready' == true",
        "json '$.ready' != false",
        "json '$.none' == null",
        "json '$.none' exists",
        "json '$.nothing' not exists",
        "json '$.nothing' != 'x'",
        "json '$.nothing' not contains 'x'",
        "json '$.tags' contains '\"a\"'",
        "json '$.items[*].state' == 'down'",
        "json '$.items[*].state' != 'lost'",
        "json '$.items[?@.state == \"down\"].id' == 2",
        "json '$.items[?@.state == \"lost\"]' not exists",
        "json '$..id' == 2",
        "json \"$['status']\" == 'ok'",
    ] {
        assert_eq!(with_body("http", &[text], JSON), (ProbeState::Up, String::new()), "{text}");
        assert_eq!(parse(text).to_string(), text);
    }
    for (text, why) in [
        ("json '$.status' == 'bad'", "json '$.status' 'ok' is not 'bad'"),
        ("json '$.n' > 5", "json '$.n' 5 is not > 5"),
        ("json '$.n' == 'x'", "json '$.n' 5 is not 'x'"),
        ("json '$.status' < 5", "json '$.status' 'ok' is not < 5"),
        ("json '$.nothing' == null", "json '$.nothing' is absent"),
        ("json '$.nothing' exists", "json '$.nothing' is absent"),
        ("json '$.status' not exists", "json '$.status' exists"),
        ("json '$.items[*].state' == 'lost'", "json '$.items[*].state' 'up', 'down' is not 'lost'"),
        ("json '$.items[*].state' != 'down'", "json '$.items[*].state' 'up', 'down' is 'down'"),
        ("json '$.tags' contains 'c'", "json '$.tags' [\"a\",\"b\"] does not contain 'c'"),
    ] {
        assert_eq!(with_body("http", &[text], JSON), (ProbeState::Down, why.to_string()), "{text}");
    }
}

#[test]
fn a_body_that_is_no_json_breaks_every_json_condition() {
    for text in ["json '$.a' == 1", "json '$.a' != 1", "json '$.a' not exists"] {
        let found = with_body("http", &[text], b"{x}");
        assert_eq!(found, (ProbeState::Down, "body is not JSON (line 1 column 2)".to_string()), "{text}");
    }
    let found = with_body("http", &["json '$.a' == 1"], b"{\"a\":");
    assert_eq!(found.1, "body is not JSON (it ends early, line 1 column 5)");
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    assert!(with_body("http", &["json '$' exists"], &deep).1.starts_with("body is not JSON"));
}

#[test]
fn html_is_asked_by_selector() {
    let page = b"<!doctype html><title> The\n shop </title><body class=x><h1>Hi <b>you</b></h1><p>one<p>two\
        <form><input name=csrf value='t&amp;k'></form>";
    for text in [
        "html 'title' == 'The shop'",
        "html 'h1' == 'Hi you'",
        "html 'p:nth-of-type(2)' contains 'two'",
        "html 'input[name=csrf]@value' == 't&k'",
        "html 'body@class' == 'x'",
        "html '.missing' not exists",
        "html '.missing' not contains 'x'",
        "html 'h1@id' not exists",
        "html 'h1, h2' exists",
    ] {
        assert_eq!(with_body("http", &[text], page), (ProbeState::Up, String::new()), "{text}");
    }
    assert_eq!(with_body("http", &["html 'h2' == 'x'"], page).1, "html 'h2' is absent");
    assert_eq!(with_body("http", &["html 'h1' == 'x'"], page).1, "html 'h1' 'Hi you' is not 'x'");
    assert_eq!(
        with_body("http", &["html 'p' exists"], b"\xff\xfe"),
        (ProbeState::Down, "html 'p' is absent".to_string())
    );
}

#[test]
fn xml_is_asked_by_path() {
    let feed =
        b"\xef\xbb\xbf<?xml version='1.0'?><f:feed xmlns:f='urn:x' xmlns='urn:y'><title> a <![CDATA[<b>]]></title>\
        <entry/><entry><link href='h1'/><link href='h2' f:rel='r'/></entry></f:feed>";
    for text in [
        "xml '/feed/title' == 'a <b>'",
        "xml '/feed/entry/link/@href' == 'h1'",
        "xml '/feed/entry[2]/link[2]/@href' == 'h2'",
        "xml '/feed/entry/link/@rel' == 'r'",
        "xml '/feed/entry[1]/link' not exists",
        "xml '/feed' exists",
        "xml '/rss' not exists",
    ] {
        assert_eq!(with_body("http", &[text], feed), (ProbeState::Up, String::new()), "{text}");
    }
    assert_eq!(with_body("http", &["xml '/feed/x' exists"], feed).1, "xml '/feed/x' is absent");
    assert!(with_body("http", &["xml '/a' not exists"], b"<a>").1.starts_with("body is not XML ("));
    assert!(with_body("http", &["xml '/a' exists"], b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>").1.contains("DTD"));
}

#[test]
fn hostile_documents_are_refused_early() {
    let repeated = |text: &str, times: usize| text.repeat(times).into_bytes();
    let numbered = |text: &str, times: usize| (0..times).map(|n| text.replace('#', &n.to_string())).collect::<String>();
    for (text, body, why) in [
        ("html 'b' exists", repeated("<div>", 200_000), "body nests HTML deeper than 512 levels"),
        ("html 'i' exists", repeated("<i></i>", 140_000), "body has more than 32768 HTML nodes"),
        (
            "html 'i' exists",
            ("<p>".to_string() + &numbered("<b a=#>", 400) + &"<p>x".repeat(200_000)).into_bytes(),
            "32768 HTML nodes",
        ),
        (
            "html '.price' exists",
            ("<p><b class='".to_string() + &"x ".repeat(475_000) + "'>" + &"</p><p>x".repeat(10_900)).into_bytes(),
            "2 MiB in HTML attributes",
        ),
        ("html 'i' exists", ("<a ".to_string() + &numbered("a# ", 130_000)).into_bytes(), "256 attributes"),
        ("xml '/a' exists", ("<a ".to_string() + &numbered("a#='' ", 100_000) + "/>").into_bytes(), "1024 attributes"),
        ("xml '/a' exists", numbered("<a xmlns:a#='x'>", 50_000).into_bytes(), "1024 XML namespaces"),
        ("xml '/a' exists", repeated("<a>", 300_000), "body is not XML (nodes limit reached)"),
    ] {
        let found = with_body("http", &[text], &body);
        assert!(found.0 == ProbeState::Down && found.1.contains(why), "{text} {why}: {found:?}");
    }
    // Large attributes and texts are ordinary.
    let data = "<img src='data:image/png;base64,".to_string() + &"QUJDREVG".repeat(20_000) + "'><p>x y ";
    let page = data + &"z z ".repeat(100_000) + "<h1>a</h1>";
    assert_eq!(with_body("http", &["html 'h1' == 'a'"], page.as_bytes()).0, ProbeState::Up);
}

#[test]
fn ordinary_xml_is_not_refused_for_its_attributes() {
    let equations = "a = b, c='d' ".repeat(10_000);
    for (what, body) in [
        ("text", "<a><b/>".to_string() + &equations + "</a>"),
        ("a comment", "<a><b/><!-- <c ".to_string() + &equations + "--></a>"),
        ("CDATA", "<a><b/><![CDATA[ <c ".to_string() + &equations + "]]></a>"),
        ("an instruction", "<?xml version='1.0'?><a><?c <c ".to_string() + &equations + "?><b/></a>"),
        ("a value", "<a c=\"".to_string() + &equations + "\"><b/></a>"),
    ] {
        let found = with_body("http", &["xml '/a/b' exists"], body.as_bytes());
        assert_eq!(found, (ProbeState::Up, String::new()), "{what}");
    }
}

#[test]
fn every_xml_tag_with_many_attributes_is_refused() {
    let attributes: String = (0..1100).map(|n| alloc::format!("a{n}='>\"' ")).collect();
    for before in ["", "<!-- ' -->", "<![CDATA[\"]]>", "<?b '?>", "it's", "<b c=\"'\"/>", "<b>'</b>"] {
        let body = "<a>".to_string() + before + "<d " + &attributes + "/></a>";
        let found = with_body("http", &["xml '/a' exists"], body.as_bytes()).1;
        assert_eq!(found, "body has an XML tag with more than 1024 attributes", "{before}");
    }
}

#[test]
fn has_is_refused_however_it_is_written() {
    for selector in [
        "a:has(b)",
        "a:HAS(b)",
        "a:Has( b )",
        "a:h\\\\61s(b)",
        "a:\\\\68 as(b)",
        "a:\\\\has(b)",
        "a:/**/has(b)",
        "a:h\\\\00061 s(b)",
        "a\\\\':has(b)",
    ] {
        let text = alloc::format!("html \"{selector}\" exists");
        let error = Expectation::parse(&text, "http").unwrap_err();
        assert!(
            error.message.contains(":has() is not offered") || error.message.contains("no escaped letters"),
            "{selector}: {error}"
        );
    }
    // Tailwind's names hold escaped signs.
    let page = b"<a class='md:flex w-1/2' id=1a>x</a>";
    for selector in [".md\\\\:flex", ".w-1\\\\/2", "[id='1a']", "[class~='md:flex']"] {
        let text = alloc::format!("html \"{selector}\" == 'x'");
        assert_eq!(with_body("http", &[&text], page), (ProbeState::Up, String::new()), "{selector}");
    }
}

#[test]
fn facts_are_asked_by_name() {
    use crate::record::FactKey as Key;
    let up = |kind: &str, text: &str, note: &dyn Fn(&mut Facts)| {
        assert_eq!(with_facts(kind, text, note), (ProbeState::Up, String::new()), "{text}");
    };
    let dns = |facts: &mut Facts| {
        facts.number(Key::DnsAnswers, 2);
        facts.text(Key::DnsAnswer, "192.0.2.1");
        facts.text(Key::DnsAnswer, "192.0.2.2");
        facts.number(Key::DnsTtl, 300);
        facts.text(Key::DnsRcode, "NOERROR");
        facts.number(Key::DnsAd, 1);
    };
    for text in [
        "answers == 2",
        "answer == '192.0.2.2'",
        "answer matches /^192/",
        "answer not contains '198.51'",
        "answer != '192.0.2.3'",
        "ttl >= 60s",
        "ttl == 5m",
        "dns.rcode == 'NOERROR'",
        "dns.ad == true",
        "dns.ad != false",
    ] {
        up("dns", text, &dns);
    }
    assert_eq!(with_facts("dns", "answer != '192.0.2.2'", dns).1, "answer '192.0.2.1', '192.0.2.2' is '192.0.2.2'");
    assert_eq!(with_facts("dns", "dns.ad == false", dns).1, "dns.ad true is not false");
    assert_eq!(with_facts("dns", "ttl < 1m", dns).1, "ttl 300s is not < 60s");
    assert_eq!(with_facts("dns", "answer == 'x'", |_| {}).1, "answer: there is none");
    let icmp = |facts: &mut Facts| {
        facts.number(Key::Sent, 3);
        facts.number(Key::Received, 2);
        facts.number(Key::RttMin, 900);
        facts.number(Key::RttAvg, 1500);
        facts.number(Key::RttMax, 2000);
        facts.number(Key::Jitter, 100);
    };
    for text in [
        "loss < 50%",
        "loss == 33.3%",
        "loss > 33%",
        "received >= 2",
        "rtt < 2ms",
        "rtt.avg == 1.5ms",
        "rtt.min < 1ms",
        "rtt.max <= 2ms",
        "jitter < 1ms",
    ] {
        up("icmp", text, &icmp);
    }
    assert_eq!(with_facts("icmp", "loss < 20%", icmp).1, "loss 33.3% is not < 20%");
    assert_eq!(with_facts("icmp", "loss < 20%", |_| {}).1, "loss was not measured");
    up("grpc", "grpc.status == 'SERVING'", &|facts| facts.text(Key::GrpcStatus, "SERVING"));
    up("smtp", "banner contains 'ESMTP'", &|facts| facts.text(Key::Banner, "220 x ESMTP"));
    up("websocket", "subprotocol == 'chat'", &|facts| facts.text(Key::Subprotocol, "chat"));
    up("http", "http.version == 'HTTP/2'", &|facts| facts.text(Key::HttpVersion, "HTTP/2"));
    up("http", "url contains '/login'", &|facts| facts.text(Key::FinalUrl, "https://a/login"));
    up("http", "redirects == 0", &|_| {});
    up("tcp", "attempts == 1", &|_| {});
    up("tls", "tls.version == 'TLSv1.3'", &|facts| facts.text(Key::TlsVersion, "TLSv1.3"));
    up("tls", "certificate.issuer contains 'R3'", &|facts| facts.text(Key::CertificateIssuer, "CN=R3"));
    up("tls", "ocsp != 'revoked'", &|_| {});
    up("domain", "domain.days == 10", &|facts| {
        facts.number(Key::DomainExpires, NOW.0 / 1_000_000 + 10 * 86_400 + 5);
    });
    up("domain", "registrar == 'Example Registrar'", &|facts| facts.text(Key::Registrar, "Example Registrar"));
    assert_eq!(with_facts("http", "url == 'x'", |_| {}).1, "url: no redirect was followed");
}

#[test]
fn each_kind_has_its_defaults() {
    let texts = |kind: &str, list: &[&str]| -> Vec<String> {
        let list: Vec<Expectation> = list.iter().map(|text| Expectation::parse(text, kind).unwrap()).collect();
        with_defaults(kind, &list).iter().map(ToString::to_string).collect()
    };
    for (kind, default, replaced, kept) in [
        ("dns", "answers >= 1", "dns.rcode == 'NXDOMAIN'", "degraded if answers < 2"),
        ("tls", "degraded if certificate.days < 14", "degraded if certificate.days < 7", "tls.version == 'TLSv1.3'"),
        ("domain", "degraded if domain.days < 30", "domain.days > 5", "registrar == 'x'"),
        ("icmp", "loss < 100%", "received >= 1", "degraded if loss > 1%"),
        ("grpc", "grpc.status == 'SERVING'", "grpc.status == 'NOT_SERVING'", "latency < 1s"),
    ] {
        assert_eq!(texts(kind, &[]), [default]);
        assert_eq!(texts(kind, &[replaced]), [replaced]);
        assert_eq!(texts(kind, &[kept]), [default, kept]);
    }
    assert_eq!(texts("tcp", &[]), [""; 0]);
    for default in &DEFAULTS {
        assert!(Expectation::parse(default.assertion, default.kind).is_ok());
        assert!(default.replaced_by.iter().all(|name| Operand::names_for(default.kind).any(|known| known == *name)));
    }
}

#[test]
fn reading_ends_when_the_hard_assertions_hold_or_are_lost() {
    let parse = |texts: &[&str]| -> Vec<Expectation> {
        texts.iter().map(|text| Expectation::parse(text, "tcp").unwrap()).collect()
    };
    for (texts, body, lacks) in [
        (&["body contains 'OK'"][..], "", Some(0)),
        (&["body contains 'OK'"], "O", Some(0)),
        (&["body contains 'OK'"], "xOK", None),
        (&["body contains 'OK'", "body matches /end$/"], "OK", Some(1)),
        (&["latency < 1s", "body contains 'OK'", "body matches /end$/"], "x", Some(1)),
        (&["body contains 'OK'", "body matches /end$/"], "OK end", None),
        (&["body contains 'OK'", "body not contains 'ERR'"], "x", Some(0)),
        (&["body contains 'OK'", "body not contains 'ERR'"], "ERR", None),
        (&["body contains 'OK'", "down if body contains 'ERR'"], "ERR", None),
        (&["body contains 'OK'", "down if body contains 'ERR'"], "x", Some(0)),
        (&["latency < 1s", "body not contains 'ERR'"], "", Some(1)),
        (&["body not contains 'ERR'"], "x", None),
        (&["size >= 3"], "ab", Some(0)),
        (&["size >= 3"], "abc", None),
        (&["degraded if body contains 'slow'"], "x", None),
        (&["latency < 1s"], "", None),
        (&[], "x", None),
    ] {
        assert_eq!(body_lacks(&parse(texts), body.as_bytes()), lacks, "{texts:?} {body:?}");
    }
    assert!(asserts_body(&parse(&["degraded if body contains 'slow'"])) && asserts_body(&parse(&["size > 1"])));
    assert!(!asserts_body(&parse(&["latency < 1s"])) && !needs_body(&parse(&["size > 1"])));
    let json = Expectation::parse("json '$.op' == 'pong'", "websocket").unwrap();
    assert!(needs_body(core::slice::from_ref(&json)));
    assert_eq!(body_lacks(core::slice::from_ref(&json), b"{\"op\":"), Some(0));
    assert_eq!(body_lacks(&[json], b"{\"op\":\"pong\"}"), None);
}

#[test]
fn extractors_capture_one_value() {
    let headers = alloc::vec![("Location", "/next")];
    let observed = Observed { body: JSON, headers: &headers, ..answer() };
    for (text, value) in [
        ("json '$.status'", Some("ok")),
        ("json '$.n'", Some("5")),
        ("json '$.items[*].id'", Some("1")),
        ("json '$.tags'", Some("[\"a\",\"b\"]")),
        ("json '$.none'", None),
        ("json '$.nothing'", None),
        ("header 'location'", Some("/next")),
        ("header 'x'", None),
        ("body /\"n\":([0-9]+)/", Some("5")),
        ("body /STATUS/i", Some("status")),
        ("body /nothing/", None),
        ("status", Some("200")),
        ("xml '/a'", None),
    ] {
        let extractor = Extractor::parse(text).unwrap();
        assert_eq!(extractor.extract(&observed).as_deref(), value, "{text}");
        assert_eq!(extractor.to_string(), text);
    }
    let all = ["json '$.n'", "json '$.status'"].map(|text| Extractor::parse(text).unwrap());
    assert_eq!(Extractor::extract_all(&all, &observed), [Some("5".to_string()), Some("ok".to_string())]);
    let page = Observed { body: b"<input name=csrf value=tok>", ..answer() };
    assert_eq!(Extractor::parse("html 'input[name=csrf]@value'").unwrap().extract(&page).as_deref(), Some("tok"));
    let long = "x".repeat(EXTRACT_BYTES_MAX + 1);
    let long = Observed { body: long.as_bytes(), ..answer() };
    assert_eq!(Extractor::parse("body /x+/").unwrap().extract(&long), None);
    for (text, column, part) in [
        ("", 1, "expected what to capture"),
        ("jsn '$.a'", 1, "expected what to capture"),
        ("latency", 1, "expected what to capture"),
        ("json $.a", 6, "does not belong"),
        ("json '$.'", 6, "JSON path is wrong"),
        ("json '$.a' == 1", 12, "nothing may follow"),
        ("body", 5, "regex in slashes"),
        ("body /(/", 6, "unclosed group"),
        ("html '['", 6, "no CSS selector"),
        ("xml 'a'", 5, "starts with /"),
        ("header 'a b'", 8, "no header name"),
    ] {
        let error = Extractor::parse(text).unwrap_err();
        assert!(error.column == column && error.message.contains(part), "{text:?}: {error}");
    }
}

#[test]
fn each_kind_offers_its_own_operands() {
    for kind in crate::check::CheckKind::NAMES {
        let names: Vec<&str> = Operand::names_for(kind).collect();
        assert_eq!(names.is_empty(), kind == "heartbeat", "{kind}");
        assert_eq!(names.contains(&"latency"), kind != "heartbeat", "{kind}");
    }
    for (text, kind, part) in [
        ("latency < 1s", "heartbeat", "takes no assertions"),
        ("loss < 1%", "http", "has no loss: a check of kind \"http\" offers status, body"),
        ("status == 200", "flow", "offers latency and attempts"),
        ("certificate.days > 1", "domain", "offers latency, attempts, domain.days and registrar"),
    ] {
        let error = Expectation::parse(text, kind).unwrap_err();
        assert!(error.message.contains(part), "{error}");
    }
}

#[test]
fn a_broken_assertion_names_the_phase_that_failed() {
    for (kind, text, phase) in [
        ("http", "status == 200", "first_byte"),
        ("smtp", "status == 250", "transfer"),
        ("http", "header 'a' exists", "first_byte"),
        ("http", "http.version == 'HTTP/2'", "first_byte"),
        ("http", "body contains 'x'", "transfer"),
        ("http", "size < 1MB", "transfer"),
        ("http", "json '$.a' exists", "transfer"),
        ("http", "html 'a' exists", "transfer"),
        ("http", "xml '/a' exists", "transfer"),
        ("http", "latency < 1s", "total"),
        ("http", "latency.dns < 1s", "dns"),
        ("http", "latency.connect < 1s", "connect"),
        ("http", "latency.first_byte < 1s", "first_byte"),
        ("tls", "certificate.days > 3", "tls"),
        ("tls", "ocsp == 'good'", "tls"),
        ("tls", "tls.version == 'TLSv1.3'", "tls"),
        ("dns", "answers >= 1", "first_byte"),
        ("dns", "dns.rcode == 'NOERROR'", "first_byte"),
        ("icmp", "loss < 10%", "total"),
        ("icmp", "rtt < 10ms", "total"),
        ("grpc", "grpc.status == 'SERVING'", "transfer"),
        ("imap", "banner contains 'x'", "first_byte"),
        ("domain", "domain.days > 3", "transfer"),
        ("http", "redirects == 0", "total"),
    ] {
        assert_eq!(Expectation::parse(text, kind).unwrap().phase(kind).as_str(), phase, "{kind} {text}");
    }
}

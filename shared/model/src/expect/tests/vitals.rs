//! Assertions on pages.

use super::*;
use crate::check::DurationUs;
use crate::record::FactKey;
use crate::vitals::profile::{Milli, Thresholds};
use crate::vitals::{Spread, Vital};

fn page() -> Facts {
    let mut facts = Facts { status: Some(200), ..Facts::default() };
    for (vital, median) in [
        (Vital::Lcp, 5_200_000),
        (Vital::Cls, 1_200),
        (Vital::Tbt, 180_000),
        (Vital::Fcp, 900_000),
        (Vital::Ttfb, 3_250),
    ] {
        // Only the median is judged.
        Spread { median, min: 0, max: 60_000_000 }.note(vital, &mut facts);
    }
    facts.text(FactKey::LcpElement, "main > img.hero");
    for (key, value) in [
        (FactKey::Requests, 80),
        (FactKey::TransferBytes, 1_500_000),
        (FactKey::FailedRequests, 1),
        (FactKey::JsErrors, 0),
        (FactKey::Dialogs, 0),
    ] {
        facts.number(key, value);
    }
    facts
}

fn judged(text: &str, facts: &Facts, thresholds: Option<&Thresholds>) -> (ProbeState, String) {
    let list = [Expectation::parse(text, "web_vitals").unwrap_or_else(|error| panic!("{error}"))];
    let outcome = evaluate(&list, &Observed { facts, thresholds, ..answer() });
    (outcome.state, outcome.broken.map(|broken| broken.explanation).unwrap_or_default())
}

#[test]
fn pages_are_asked_by_name() {
    let facts = page();
    for text in [
        "lcp < 6s",
        "lcp <= 5200ms",
        "lcp == 5.2s",
        "cls == 0.12",
        "cls < 0.1201",
        "cls > 0",
        "tbt <= 200ms",
        "fcp >= 900ms",
        "ttfb < 4ms",
        "status == 200",
        "requests <= 80",
        "requests in 1..100",
        "transfer < 2MB",
        "transfer == 1500000",
        "failed_requests < 2",
        "js_errors == 0",
        "dialogs == 0",
        "lcp.element contains 'hero'",
        "lcp.url != 'https://cdn.example/x.jpg'",
        "url not contains '/login'",
        "latency < 2s",
        "attempts == 1",
        "cls > good",
        "cls <= poor",
        "lcp > poor",
        "tbt <= good",
        "ttfb < good",
    ] {
        assert_eq!(judged(text, &facts, None), (ProbeState::Up, String::new()), "{text}");
    }
}

#[test]
fn explanations_of_vitals_are_for_people() {
    let facts = page();
    for (text, state, explanation) in [
        ("degraded if lcp > good", ProbeState::Degraded, "lcp 5.2 s is > good (2.5 s)"),
        ("lcp <= good", ProbeState::Down, "lcp 5.2 s is not <= good (2.5 s)"),
        ("down if lcp > 4.25s", ProbeState::Down, "lcp 5.2 s is > 4.25 s"),
        ("down if cls > 0.1", ProbeState::Down, "cls 0.12 is > 0.1"),
        ("down if cls > good", ProbeState::Down, "cls 0.12 is > good (0.1)"),
        ("cls == 0.1201", ProbeState::Down, "cls 0.12 is not 0.1201"),
        ("tbt < 180ms", ProbeState::Down, "tbt 180 ms is not < 180 ms"),
        // Rounded alike, but not alike.
        ("lcp <= 5.1999s", ProbeState::Down, "lcp 5200.000 ms is not <= 5199.900 ms"),
        ("ttfb > 4ms", ProbeState::Down, "ttfb 3.3 ms is not > 4 ms"),
        ("inp <= good", ProbeState::Down, "inp was not measured (it needs an interaction)"),
        ("transfer < 1MB", ProbeState::Down, "transfer 1500000 bytes is not < 1000000 bytes"),
        ("js_errors > 0", ProbeState::Down, "js_errors 0 is not > 0"),
        ("lcp.element contains 'h1'", ProbeState::Down, "lcp.element 'main > img.hero' does not contain 'h1'"),
        ("lcp.url contains 'x'", ProbeState::Down, "lcp.url was not told"),
        ("url contains 'x'", ProbeState::Down, "url: no redirect was followed"),
    ] {
        assert_eq!(judged(text, &facts, None), (state, explanation.to_string()), "{text}");
    }
    let bare = Facts::default();
    assert_eq!(judged("lcp < 1h", &bare, None).1, "lcp was not measured");
    assert_eq!(judged("dialogs == 0", &bare, None).1, "dialogs was not measured");
}

#[test]
fn the_profile_says_what_is_good() {
    let facts = page();
    let own = Thresholds {
        lcp: [DurationUs(5_200_000), DurationUs(9_000_000)],
        cls: [Milli(50), Milli(110)],
        ..Thresholds::default()
    };
    assert_eq!(judged("lcp <= good", &facts, Some(&own)).0, ProbeState::Up);
    assert_eq!(judged("lcp > poor", &facts, Some(&own)).1, "lcp 5.2 s is not > poor (9 s)");
    assert_eq!(judged("down if cls > poor", &facts, Some(&own)).1, "cls 0.12 is > poor (0.11)");
    assert_eq!(judged("down if tbt > poor", &facts, Some(&own)).0, ProbeState::Up, "the rest is the default");
}

#[test]
fn an_absent_vital_degrades_nothing() {
    let facts = Facts::default();
    for vital in Vital::ALL {
        for test in ["> good", "< good", ">= poor", "<= poor"] {
            let text = alloc::format!("{} {test}", vital.as_str());
            assert_eq!(judged(&alloc::format!("degraded if {text}"), &facts, None).0, ProbeState::Up, "{text}");
            assert_eq!(judged(&alloc::format!("down if {text}"), &facts, None).0, ProbeState::Up, "{text}");
            assert_eq!(judged(&text, &facts, None).0, ProbeState::Down, "what is asked for is not there: {text}");
        }
    }
    let list = with_defaults("web_vitals", &[]);
    assert_eq!(evaluate(&list, &Observed { facts: &facts, ..answer() }).state, ProbeState::Up);
}

#[test]
fn pages_have_three_defaults_of_their_own() {
    const ALL: [&str; 3] = ["degraded if lcp > poor", "degraded if cls > poor", "degraded if inp > poor"];
    let texts = |list: &[&str]| -> Vec<String> {
        let list: Vec<Expectation> = list.iter().map(|text| Expectation::parse(text, "web_vitals").unwrap()).collect();
        with_defaults("web_vitals", &list).iter().map(ToString::to_string).collect()
    };
    assert_eq!(texts(&[]), ALL);
    let author = ["degraded if lcp > good", "down if lcp > 8s"];
    assert_eq!(texts(&author), [&ALL[1..], &author[..]].concat());
    assert_eq!(texts(&["inp <= good"]), [ALL[0], ALL[1], "inp <= good"]);
    let beside = "lcp.element contains 'hero'";
    assert_eq!(texts(&[beside]), [&ALL[..], &[beside]].concat(), "what was painted says nothing of when");
    assert_eq!(texts(&["cls < 0.2", "lcp < 3s", "inp < 1s"]), ["cls < 0.2", "lcp < 3s", "inp < 1s"]);
}

#[test]
fn mistakes_about_vitals_name_place_and_remedy() {
    for (kind, text, column, part) in [
        ("web_vitals", "lcp > god", 7, "expected a duration, as in 800ms, or good or poor, found \"god\""),
        (
            "web_vitals",
            "cls > needs_improvement",
            7,
            "expected a score with at most four decimals, as in 0.1, or good or poor",
        ),
        ("web_vitals", "lcp == good", 8, "compare by \"<\", \"<=\", \">\" or \">=\", as in lcp > good"),
        ("web_vitals", "cls != poor", 8, "\"poor\" is a threshold, which no page meets exactly"),
        (
            "web_vitals",
            "requests < good",
            12,
            "\"good\" is a threshold of vitals (lcp, cls, inp, tbt, fcp, ttfb), and requests is none: write a whole number, as in 200",
        ),
        ("web_vitals", "latency > poor", 11, "and latency is none: write a duration, as in 800ms"),
        ("web_vitals", "transfer > poor", 12, "and transfer is none: write a size, as in 1MB"),
        ("http", "latency.tls < good", 15, "and latency.tls is none: write a duration"),
        ("http", "url == good", 8, "expected text in quotes"),
        ("icmp", "loss > poor", 8, "and loss is none: write a percentage"),
        ("web_vitals", "lcp > 2500", 11, "the number needs a unit: use us, ms, s, m or h, as in 800ms"),
        ("web_vitals", "cls > 100ms", 10, "\"ms\" is no unit here: use no unit"),
        ("web_vitals", "cls > 10%", 9, "\"%\" is no unit here: use no unit"),
        ("web_vitals", "cls > 0.00001", 7, "is out of range or not exact; expected a score with at most four decimals"),
        ("web_vitals", "cls > -0.1", 7, "is out of range"),
        (
            "web_vitals",
            "cls in 0..1",
            5,
            "cls is not tested by \"in\": use \"==\", \"!=\", \"<\", \"<=\", \">\" or \">=\"",
        ),
        ("web_vitals", "lcp.elem exists", 1, "use lcp, lcp.element and lcp.url"),
        ("web_vitals", "lcp.element > good", 13, "lcp.element is not tested by \">\""),
        ("web_vitals", "lcp > good or inp > good", 12, "nothing may follow here"),
        (
            "web_vitals",
            "body contains 'x'",
            1,
            "a check of kind \"web_vitals\" has no body: a check of kind \"web_vitals\" offers status, latency, attempts, url, lcp, cls, inp, tbt, fcp, ttfb, lcp.element, lcp.url, requests, transfer, failed_requests, js_errors and dialogs",
        ),
        ("http", "lcp > good", 1, "a check of kind \"http\" has no lcp"),
        ("web_vitals", "size < 1MB", 1, "has no size"),
    ] {
        let error = Expectation::parse(text, kind).unwrap_err();
        assert_eq!(error.column, column, "{text:?}: {error}");
        assert!(error.message.contains(part), "{text:?}: {error}");
    }
}

use super::*;
use crate::present::dto::{SecondsView, UnknownView};
use crate::present::text::{EN, FR};

fn interval(verdict: &str, seconds: f64) -> IntervalView {
    let evidence = (0..7).map(|n| EvidenceView {
        state: "missed".into(),
        missed_cause: Some("suspended".into()),
        count: 2,
        first: format!("2026-11-22T10:0{n}:00Z"),
        last: format!("2026-11-22T10:0{n}:30Z"),
        first_id: None,
        last_id: None,
        step_us: Some(30_000_000),
        results: format!("/api/v1/results?check=shop&agent=<eu-1>&from=2026-11-22T10:0{n}:00Z"),
    });
    IntervalView {
        from: "2026-11-22T10:00:00.25Z".into(),
        to: "2026-11-22T10:01:00Z".into(),
        seconds,
        verdict: verdict.into(),
        unknown_cause: (verdict == "unknown").then(|| "agent_offline".into()),
        weight_down: 0.5,
        weight_live: 1.5,
        quorum_reduced: false,
        votes: vec![VoteView {
            agent: "<eu-1>".into(),
            region: "eu".into(),
            standing: "live".into(),
            vote: Some("down".into()),
            weight: Some(0.5),
            unknown_cause: None,
            evidence: evidence.collect(),
        }],
        counted: Vec::new(),
    }
}

/// Intervals of 0.1 s, which no float holds, beside figures that say the same.
fn view(intervals: usize, down: f64) -> ExplainView {
    let mut list = vec![interval("up", 0.1); intervals];
    list.push(interval("down", 59.7));
    list.push(interval("unknown", 10.0));
    let seconds = SecondsView {
        up: intervals as f64 / 10.0,
        degraded: 0.0,
        regional: 0.0,
        down,
        maintenance: 0.0,
        unknown: UnknownView { agent_offline: 10.0, ..UnknownView::default() },
    };
    let figures = SlaView {
        policy: None,
        check: "shop".into(),
        from: "2026-11-22T10:00:00Z".into(),
        to: "2026-11-22T11:00:00Z".into(),
        availability: Some(0.5),
        weighted_availability: Some(0.5),
        completeness: Some(0.9),
        lower: Some(0.4),
        upper: Some(0.6),
        weighted_lower: None,
        weighted_upper: None,
        amended: None,
        seconds,
    };
    let kept_from = Some("2026-11-22T10:30:00Z".into());
    let gone = vec![GoneView { agent: "<eu-1>".into(), records: 1200, kept_from }];
    ExplainView { figures, intervals: list, gone }
}

fn page(view: &ExplainView, lang: Language) -> String {
    let t = lang.texts();
    let spans = ["24h", "7d", "30d"].map(|name| SpanLink { name, label: name, current: name == "7d" }).into();
    let content = Content {
        t,
        w: t.explain,
        lang,
        id: "shop",
        path: "/checks/shop/explain",
        span: "7d",
        spans,
        policy: "gold@2",
        whose: ("", ""),
        whose_told: String::new(),
        ends: (String::new(), String::new()),
        choices: Vec::new(),
        refused: String::new(),
        found: Some(Found::of(view, t)),
    };
    content.render().unwrap()
}

#[test]
fn intervals_that_add_up_say_so_and_others_do_not() {
    assert!(Found::of(&view(3, 59.7), &EN).adds_up);
    let wrong = Found::of(&view(3, 59.700_001), &EN);
    assert!(!wrong.adds_up && wrong.verdict_on_sum.contains("NOT"), "{}", wrong.verdict_on_sum);
    assert_eq!(wrong.total, "5 intervals = 70.000 s");
    assert_eq!(wrong.division, "1 − 59.700 s / 60.000 s = 50.0000 %");
}

#[test]
fn a_long_list_is_cut_and_tells_what_is_missing() {
    let found = Found::of(&view(300, 59.7), &EN);
    assert_eq!((found.rows.len(), found.rows[0].class), (INTERVALS_MAX, "unknown"));
    // 302 intervals, of which the newest 200 are shown.
    assert_eq!(found.more, "and 102 more, earlier: 10.200 s in all.");
    let vote = &found.rows[1].votes[0];
    assert_eq!((vote.says.as_str(), vote.evidence.len(), vote.more.as_str()), ("down × 0.5", 5, "and 2 more"));
    assert_eq!(
        vote.evidence[0].told,
        "2 × missed (suspended) · 2026-11-22T10:00:00Z … 2026-11-22T10:00:30Z · every 30s"
    );
    assert!(vote.evidence[0].href.starts_with("/api/v1/results?check=shop"));
}

#[test]
fn the_page_reads_in_both_languages_and_escapes() {
    for (lang, words) in [
        (
            Language::English,
            [
                EN.explain.missed_named,
                EN.explain.adds_up,
                "1\u{202f}200 records are gone",
                "completeness 90.0 %",
                "[40.0 %, 60.0 %]",
            ],
        ),
        (
            Language::French,
            [
                FR.explain.missed_named,
                FR.explain.adds_up,
                "1\u{202f}200 enregistrements ont disparu",
                "complétude 90,0 %",
                "[40,0 % ; 60,0 %]",
            ],
        ),
    ] {
        let page = page(&view(3, 59.7), lang);
        for word in words {
            assert!(page.contains(word), "{word}: {page}");
        }
        let mut ran = view(3, 59.7);
        ran.intervals.iter_mut().flat_map(|one| &mut one.votes).for_each(|vote| vote.evidence.clear());
        assert!(!self::page(&ran, lang).contains(words[0]), "nothing was missed");
        assert!(!page.contains("<eu-1>") && page.contains("span=30d&#38;policy=gold@2"), "{page}");
    }
}

use sitepulse_model::vote::Verdict;

use std::sync::Arc;

use sitepulse_daemon::instant;
use sitepulse_model::time::{Span, UtcMicros};

use super::home::Overall;
use super::row::{CheckRow, Seen, ribbon};
use super::*;
use crate::present::dto::{CheckView, PairView, SuspensionView};
use crate::present::dto::{PhasesView, SecondsView, SlaView, UnknownView};
use crate::present::text::{EN, FR};
use crate::present::view::{Snapshot, Strip};

const NOW: UtcMicros = UtcMicros(1_795_341_600_000_000);
const HOSTILE: &str = "\"><script>alert('x')</script>";

fn check() -> CheckView {
    CheckView {
        id: "shop".into(),
        kind: "http".into(),
        target: format!("https://shop.example/{HOSTILE}"),
        url: format!("https://shop.example/{HOSTILE}"),
        ping_url: None,
        interval_seconds: 30.0,
        timeout_seconds: 10.0,
        weight: 2.5,
        regions: None,
        quorum: "majority".into(),
        confirmations: 2,
        recoveries: 1,
        group: None,
        tags: Vec::new(),
        expect: Vec::new(),
        revision: 1,
        verdict: "down".into(),
        since: Some(instant::format(NOW.plus_us(-125_000_000))),
        unknown_cause: None,
        share_down: Some(1.0),
        quorum_reduced: true,
        suspended: Some(SuspensionView { until: None, reason: HOSTILE.into(), author: HOSTILE.into() }),
        agents: vec![
            PairView {
                agent: "eu-1".into(),
                region: "eu-west".into(),
                state: "down".into(),
                unknown_cause: None,
                last_scheduled: None,
                cause: Some("timeout".into()),
                failed_phase: None,
                detail: HOSTILE.into(),
                latency_seconds: None,
                phases_seconds: PhasesView::default(),
                status: None,
                address: None,
                phases_us: crate::present::dto::PhasesUsView::default(),
                facts: crate::present::dto::FactsView::new(),
                vitals: None,
                screenshot: None,
                weight: 1.0,
                suspended: None,
            }
            .into(),
        ],
        screenshots: Vec::new(),
        sla: SlaView {
            policy: None,
            check: "shop".into(),
            from: String::new(),
            to: String::new(),
            availability: Some(0.9987),
            weighted_availability: Some(0.9987),
            completeness: Some(0.982),
            lower: Some(0.981),
            upper: Some(0.999),
            weighted_lower: None,
            weighted_upper: None,
            amended: Some(crate::present::dto::amendments::AmendedView { count: 2, noted: String::new() }),
            seconds: SecondsView {
                up: 1.0,
                degraded: 0.0,
                regional: 0.0,
                down: 1.0,
                maintenance: 0.0,
                unknown: UnknownView::default(),
            },
        },
    }
}

fn snapshot() -> Snapshot {
    let period = Span::new(NOW.plus_us(-86_400_000_000), NOW);
    let span = VerdictSpanOf(Span::new(NOW.plus_us(-125_000_000), NOW), Verdict::Down).build();
    Snapshot {
        now: NOW,
        checks: vec![check().into()],
        strips: vec![Strip { period, spans: vec![span] }],
        agents: Vec::new(),
        global: sitepulse_model::sla::Together::default(),
        ..Snapshot::default()
    }
}

struct VerdictSpanOf(Span, Verdict);

impl VerdictSpanOf {
    fn build(self) -> sitepulse_model::vote::VerdictSpan {
        sitepulse_model::vote::VerdictSpan {
            span: self.0,
            verdict: self.1,
            share_down: (1000, 1000),
            unknown_cause: None,
            quorum_reduced: false,
        }
    }
}

#[test]
fn agents_of_one_region_are_told_apart() {
    let mut check = check();
    let mut other = check.agents[0].clone();
    for (pair, name) in [(&mut check.agents[0], "a"), (&mut other, "b")] {
        let pair = Arc::make_mut(pair);
        (pair.agent, pair.region) = (name.into(), "eu".into());
    }
    assert_eq!(Seen::told(&Seen::all(&check, &EN)), "eu down");
    check.agents.push(other);
    assert_eq!(Seen::told(&Seen::all(&check, &EN)), "eu/a down, eu/b down");
}

#[test]
fn the_ribbon_shows_the_shortest_outage() {
    let bars = ribbon(&snapshot().strips[0], String::new()).bars;
    assert_eq!(bars.len(), 1);
    assert_eq!((bars[0].class, bars[0].x.as_str(), bars[0].width.as_str()), ("down", "1437.9", "2.1"));
}

#[test]
fn a_ribbon_of_very_many_stretches_is_bounded_and_keeps_the_worst() {
    let period = Span::new(NOW.plus_us(-86_400_000_000), NOW);
    let at = |second: i64| period.from.plus_us(second * 1_000_000);
    let one = |n: i64| {
        let (span, verdict) = if n % 2 == 0 {
            (Span::new(at(n * 43), at((n + 1) * 43)), Verdict::Up)
        } else {
            (Span::new(at(n * 43), at((n + 1) * 43)), Verdict::Down)
        };
        VerdictSpanOf(span, verdict).build()
    };
    let strip = Strip { period, spans: (0..2000).map(one).collect() };
    let bars = ribbon(&strip, String::new()).bars;
    assert_eq!(bars.len(), 1, "every part has an outage in it: {bars:?}");
    assert_eq!((bars[0].class, bars[0].width.as_str()), ("down", "1440"));
}

#[test]
fn verdict_notes_say_how_long_and_why() {
    let snapshot = snapshot();
    let row = CheckRow::of(&snapshot.checks[0], NOW, &EN);
    assert_eq!(row.verdict_note, "for 2 min · fewer voters than the quorum asks for");
    assert_eq!(row.note, "every 30 s · weight 2.5");
    assert_eq!((row.availability.as_str(), row.bounds.as_str()), ("99.87 %", "[98.1 %, 99.9 %]"));
    let row = CheckRow::of(&snapshot.checks[0], NOW, &FR);
    assert_eq!(row.note, "toutes les 30 s · poids 2,5");
    assert_eq!((row.availability.as_str(), row.bounds.as_str()), ("99,87 %", "[98,1 % ; 99,9 %]"));
}

#[test]
fn checks_in_maintenance_are_not_called_up() {
    for (lang, words) in
        [(Language::English, "1 check in maintenance"), (Language::French, "1 contrôle en maintenance")]
    {
        let of = |verdict: &str| {
            let mut snapshot = snapshot();
            Arc::make_mut(&mut snapshot.checks[0]).verdict = verdict.into();
            Overall::of(&snapshot, lang.texts())
        };
        let overall = of("maintenance");
        assert_eq!((overall.class, overall.headline.as_str()), ("maintenance", words));
        assert_eq!(of("up").headline, lang.texts().all_up);
    }
}

#[test]
fn scripts_stay_small() {
    assert!(JS.len() <= 40 * 1024, "{} bytes", JS.len());
}

/// What somebody opened stays open when the part around it comes in live: `js/live.js` knows it by its id.
#[test]
fn all_that_opens_has_an_id() {
    let (mut folders, mut seen) = (vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates")], 0);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for rest in text.split("<details").skip(1) {
                let tag = rest.split("<summary").next().unwrap();
                assert!(tag.contains(" id=\""), "{}: <details{tag}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen} of them were looked at");
}

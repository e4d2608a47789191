use sitepulse_model::vote::Verdict;

use super::*;
use crate::present::dto::{PhasesView, SecondsView, SlaView, UnknownView};
use crate::present::text::{EN, FR};

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
fn nothing_hostile_gets_out_of_its_place() {
    let text = Main::of(&snapshot(), Language::English).render().unwrap();
    assert!(!text.contains("<script"), "{text}");
    assert!(text.contains("&#34;&#62;&#60;script&#62;"), "{text}");
}

#[test]
fn figures_stand_with_their_evidence() {
    let text = Main::of(&snapshot(), Language::English).render().unwrap();
    assert!(text.contains("99.87 %"), "{text}");
    assert!(text.contains("completeness 98.2 % [98.1 %, 99.9 %]"), "{text}");
    assert!(text.contains("1 check is down"), "{text}");
    // The collector has no evidence for all checks together here, and says so.
    assert!(text.contains("no evidence yet"), "{text}");
    let french = Main::of(&snapshot(), Language::French).render().unwrap();
    assert!(french.contains("99,87 %") && french.contains("[98,1 %; 99,9 %]"), "{french}");
}

#[test]
fn agents_of_one_region_are_told_apart() {
    let mut check = check();
    let mut other = check.agents[0].clone();
    for (pair, name) in [(&mut check.agents[0], "a"), (&mut other, "b")] {
        let pair = Arc::make_mut(pair);
        (pair.agent, pair.region) = (name.into(), "eu".into());
    }
    assert_eq!(check.agents[0].place(&check.agents), "eu");
    check.agents.push(other);
    let row = CheckRow::of(&check, &snapshot().strips[0], NOW, &EN);
    assert_eq!(row.regions.iter().map(|chip| chip.region.as_str()).collect::<Vec<_>>(), ["eu/a", "eu/b"]);
}

#[test]
fn the_ribbon_shows_the_shortest_outage() {
    let bars = bars(&snapshot().strips[0]);
    assert_eq!(bars.len(), 1);
    assert_eq!((bars[0].class, bars[0].x.as_str(), bars[0].width.as_str()), ("down", "1437.92", "2.08"));
}

#[test]
fn verdict_notes_say_how_long_and_why() {
    let snapshot = snapshot();
    let row = CheckRow::of(&snapshot.checks[0], &snapshot.strips[0], NOW, &EN);
    assert_eq!(row.verdict_note, "for 2 min · fewer voters than the quorum asks for");
    assert_eq!(row.note, "every 30 s · weight 2.5");
    let row = CheckRow::of(&snapshot.checks[0], &snapshot.strips[0], NOW, &FR);
    assert_eq!(row.note, "toutes les 30 s · poids 2,5");
}

#[test]
fn checks_in_maintenance_are_not_called_up() {
    for (lang, words) in
        [(Language::English, "1 check in maintenance"), (Language::French, "1 contrôle en maintenance")]
    {
        let mut snapshot = snapshot();
        Arc::make_mut(&mut snapshot.checks[0]).verdict = "maintenance".into();
        let overall = Overall::of(&snapshot, lang.texts());
        assert_eq!((overall.class, overall.headline.as_str()), ("maintenance", words));
        Arc::make_mut(&mut snapshot.checks[0]).verdict = "up".into();
        assert_eq!(Overall::of(&snapshot, lang.texts()).headline, lang.texts().all_up);
    }
}

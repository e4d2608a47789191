use sitepulse_model::time::Span;
use sitepulse_model::unknown::UnknownShares;

use super::*;
use crate::book::{Filter, Known};
use crate::present::text::{EN, FR};
use crate::vitals::distribution::{Method, Ratings};

fn figures(trend: Vec<Option<u64>>) -> VitalFigures {
    VitalFigures {
        vital: Vital::Lcp,
        p75: 2_610_000,
        median: 2_310_000,
        p95: 3_900_000,
        p99: 4_100_000,
        min: 2_180_000,
        max: 4_120_000,
        ratings: Ratings { good: 1, needs_improvement: 2, poor: 1 },
        threshold: Threshold { good: 2_500_000, poor: 4_000_000 },
        method: Method::Exact,
        trend,
    }
}

#[test]
fn a_rating_is_a_shape_and_a_word_beside_its_colour() {
    let looks = [Rating::Good, Rating::NeedsImprovement, Rating::Poor].map(look);
    assert!(looks[0].1 != looks[1].1 && looks[1].1 != looks[2].1 && looks[0].1 != looks[2].1);
    let cell = shown(&figures(Vec::new()), &FR);
    assert_eq!((cell.class, cell.shape, cell.rating), ("between", "▲", "à améliorer"));
    assert_eq!((&*cell.p75, &*cell.spread), ("2,61 s", "2,18 s – 4,12 s"));
    assert_eq!(cell.tail, "p95 3,90 s · p99 4,10 s");
    assert_eq!(cell.shares, "bon 25 %, à améliorer 50 %, mauvais 25 %");
    let parts: Vec<(&str, &str)> = cell.parts.iter().map(|part| (&*part.x, &*part.width)).collect();
    assert_eq!(parts, [("0.00", "25.00"), ("25.00", "50.00"), ("75.00", "25.00")]);
}

#[test]
fn a_trend_needs_three_points_and_leaps_over_gaps() {
    assert_eq!(trend(&figures(vec![Some(1), None, Some(1)])).0, "");
    let (path, good) = trend(&figures(vec![Some(0), None, Some(2_500_000), Some(5_000_000), None]));
    assert_eq!((&*path, &*good), ("M0.0 20.0L50.0 10.0L75.0 0.0", "10.0"));
}

#[test]
fn a_single_region_stands_alone() {
    let group = |place: Place| Group {
        profile: "mobile".into(),
        place,
        runs: 4,
        graded: 2,
        low_confidence: 1,
        vitals: vec![figures(Vec::new())],
        worse: Vec::new(),
        known: Known {
            completeness: Some(0.982),
            unknown: Some(UnknownShares { agent_offline: 0.018, ..UnknownShares::default() }),
        },
        whose: Filter::All,
        reign: Span::new(UtcMicros::MIN, UtcMicros::MAX),
    };
    let region = |name: &str| Place::Region(sitepulse_model::id::Region::parse(name).unwrap());
    let rows = |groups: &[Group]| -> Vec<String> {
        let profiles = profiles(groups, UtcMicros(0), &EN);
        assert_eq!(
            (profiles.len(), profiles[0].vitals.len()),
            (1, 1),
            "of vitals that nobody measured no column stands"
        );
        profiles[0].rows.iter().map(|row| format!("{} {}", row.place, row.notes.join(", "))).collect()
    };
    let notes = "1 under pressure, 1 without values";
    assert_eq!(rows(&[group(Place::All), group(region("eu"))]), [format!("eu {notes}")]);
    assert_eq!(rows(&[group(Place::All), group(region("eu")), group(region("us"))]).len(), 3);
    let known = |t| profiles(&[group(Place::All)], UtcMicros(0), t)[0].rows[0].known.clone();
    assert_eq!(known(&EN), "completeness 98.2 % · unknown: 1.8 % agent offline");
    assert_eq!(known(&FR), "complétude 98,2\u{a0}% · inconnu\u{a0}: 1,8\u{a0}% agent hors ligne");
}

#[test]
fn an_unknown_span_is_a_day() {
    assert_eq!((span_of(Some("30d")).0, span_of(Some("1y")).0, span_of(None).0), ("30d", "24h", "24h"));
}

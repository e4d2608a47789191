//! What a score promises, for any evidence.

use proptest::prelude::*;

use super::*;

const LCP: Threshold = Threshold { good: 2_500_000, poor: 4_000_000 };
const INP: Threshold = Threshold { good: 200_000, poor: 500_000 };
const TBT: Threshold = Threshold { good: 200_000, poor: 600_000 };
const CLS: Threshold = Threshold { good: 1_000, poor: 2_500 };

fn model() -> ScoringModel {
    ScoringModel::built_in()
}

fn score(signals: &Signals) -> Score {
    model().score(signals).unwrap()
}

fn page(lcp: u64, cls: u64) -> PageSignals {
    let of = |p75, threshold| Some(Measured { p75, threshold });
    PageSignals { lcp: of(lcp, LCP), cls: of(cls, CLS), inp: None, tbt: of(200_000, TBT) }
}

fn all_bad() -> Signals {
    Signals {
        weighted_availability: Some(0.5),
        recurrence: Some(9.0),
        latency_p95: Some(4.0),
        latency_regression: Some(2.0),
        page: PageSignals { tbt: Some(Measured { p75: 900_000, threshold: TBT }), ..page(9_000_000, 9_000) },
        findings: Some(Findings { open: 50.0, stale: 50.0 }),
    }
}

/// Weights and points by signal.
fn parts(score: &Score) -> Vec<(&'static str, u32, u32)> {
    score.contributions.iter().map(|one| (one.signal.as_str(), one.weight, one.points.0)).collect()
}

#[test]
fn no_data_is_no_score() {
    assert_eq!(model().score(&Signals::default()), None);
    // The defect: a check that nobody ever saw had 0, "ok", as soon as detectors had looked at it.
    let quiet = Signals { findings: Some(Findings { open: 0.0, stale: 0.0 }), ..Signals::default() };
    assert_eq!(model().score(&quiet), None, "nothing was found where nothing was measured");
    let gap = Signals { findings: Some(Findings { open: 4.0, stale: 0.0 }), ..Signals::default() };
    assert!(score(&gap).points > Points(0), "what was found counts");
    let fine = Signals { weighted_availability: Some(1.0), recurrence: Some(0.0), ..Signals::default() };
    assert_eq!(score(&fine).points, Points(0), "what was looked at and is well has one");
}

#[test]
fn the_worst_of_everything_is_a_hundred() {
    let worst = score(&all_bad());
    assert_eq!((worst.points, worst.band), (Points(WHOLE), Band::Critical));
    let want = [
        ("weighted_availability", 2_800, 2_800),
        ("recurrence", 1_200, 1_200),
        ("latency_p95", 1_600, 1_600),
        ("latency_regression", 400, 400),
        ("lcp", 834, 834),
        ("tbt", 833, 833),
        ("cls", 833, 833),
        ("open_findings", 1_125, 1_125),
        ("stale_findings", 375, 375),
    ];
    assert_eq!(parts(&worst), want);
}

#[test]
fn weights_of_what_has_no_data_are_spread_over_the_rest() {
    // 40 : 20 without pages and detectors.
    let signals = Signals { page: PageSignals::default(), findings: None, ..all_bad() };
    let want = [
        ("weighted_availability", 4_667, 4_667),
        ("recurrence", 2_000, 2_000),
        ("latency_p95", 2_666, 2_666),
        ("latency_regression", 667, 667),
    ];
    assert_eq!(parts(&score(&signals)), want);
    // Within a module too.
    let signals = Signals { latency_regression: None, ..signals };
    assert_eq!(parts(&score(&signals))[2], ("latency_p95", 3_333, 3_333));
    let alone = Signals { latency_p95: Some(1.75), ..Signals::default() };
    assert_eq!(parts(&score(&alone)), [("latency_p95", 10_000, 5_000)]);
}

#[test]
fn interactions_stand_before_blocking_time() {
    let both = PageSignals { inp: Some(Measured { p75: 350_000, threshold: INP }), ..all_bad().page };
    let found = score(&Signals { page: both, ..Signals::default() });
    assert_eq!(parts(&found)[1], ("inp", 3_333, 1_667));
    assert_eq!((found.contributions[1].value, found.contributions[1].warning), (350.0, 200.0), "in milliseconds");
    assert_eq!((found.contributions[2].warning, found.contributions[2].critical), (0.1, 0.25));
}

#[test]
fn bands_begin_where_the_model_says() {
    let bands = [3_499, 3_500, 6_999, 7_000].map(|points| model().band(Points(points)));
    assert_eq!(bands, [Band::Ok, Band::Warning, Band::Warning, Band::Critical]);
}

#[test]
fn the_dominant_contribution_is_the_one_that_adds_the_most() {
    assert_eq!(score(&all_bad()).dominant().map(|one| one.signal), Some(Signal::WeightedAvailability));
    let latency = Signals { latency_p95: Some(2.5), weighted_availability: Some(1.0), ..Signals::default() };
    assert_eq!(score(&latency).dominant().map(|one| one.signal), Some(Signal::LatencyP95));
    let fine = Signals { weighted_availability: Some(1.0), ..Signals::default() };
    assert_eq!(score(&fine).dominant(), None);
}

#[test]
fn a_threshold_that_is_both_is_a_step() {
    let at = |p75| {
        let lcp = Some(Measured { p75, threshold: Threshold { good: 1_000, poor: 1_000 } });
        score(&Signals { page: PageSignals { lcp, ..PageSignals::default() }, ..Signals::default() }).points
    };
    assert_eq!((at(1_000), at(1_001)), (Points(0), Points(WHOLE)));
}

#[test]
fn what_has_no_weight_carries_no_score() {
    let mut model = model();
    model.latency.weight = 0.0;
    assert_eq!(model.score(&Signals { latency_p95: Some(9.0), ..Signals::default() }), None);
    model.availability.recurrence.share = 0.0;
    let found = model.score(&Signals { findings: None, page: PageSignals::default(), ..all_bad() }).unwrap();
    assert_eq!(parts(&found), [("weighted_availability", 10_000, 10_000)]);
}

/// One of the signals, set to a place between well below its warning and well above its critical threshold: -1 to 2.
fn set(signals: &mut Signals, which: usize, place: f64) {
    let along = |warning: f64, critical: f64| warning + (critical - warning) * place;
    let measured = |threshold: Threshold| {
        Some(Measured { p75: along(threshold.good as f64, threshold.poor as f64).max(0.0) as u64, threshold })
    };
    match which {
        0 => signals.weighted_availability = Some(along(0.999, 0.99)),
        1 => signals.recurrence = Some(along(1.0, 5.0)),
        2 => signals.latency_p95 = Some(along(1.0, 2.5)),
        3 => signals.latency_regression = Some(along(0.1, 0.3)),
        4 => signals.page.lcp = measured(LCP),
        5 => signals.page.inp = measured(INP),
        6 => signals.page.tbt = measured(TBT),
        7 => signals.page.cls = measured(CLS),
        8 => signals.findings = Some(Findings { open: along(0.0, 8.0), ..signals.findings.unwrap_or_default() }),
        _ => signals.findings = Some(Findings { stale: along(0.0, 4.0), ..signals.findings.unwrap_or_default() }),
    }
}

fn any_signals() -> impl Strategy<Value = Signals> {
    prop::collection::vec(prop::option::of(-1.0..2.0_f64), 10).prop_map(|places| {
        let mut signals = Signals::default();
        for (which, place) in places.into_iter().enumerate() {
            if let Some(place) = place {
                set(&mut signals, which, place);
            }
        }
        signals
    })
}

fn any_model() -> impl Strategy<Value = ScoringModel> {
    let weights = prop::collection::vec(prop_oneof![1 => Just(0.0), 4 => 0.1..100.0_f64], 4);
    let shares = prop::collection::vec(prop_oneof![1 => Just(0.0), 4 => 0.1..100.0_f64], 9);
    (weights, shares).prop_map(|(weights, shares)| {
        let mut model = model();
        model.availability.weight = weights[0];
        model.latency.weight = weights[1];
        model.web_vitals.weight = weights[2];
        model.insights.weight = weights[3];
        model.availability.weighted_availability.share = shares[0];
        model.availability.recurrence.share = shares[1];
        model.latency.p95.share = shares[2];
        model.latency.regression.share = shares[3];
        model.web_vitals.lcp = shares[4];
        model.web_vitals.responsiveness = shares[5];
        model.web_vitals.cls = shares[6];
        model.insights.open.share = shares[7];
        model.insights.stale.share = shares[8];
        model
    })
}

proptest! {
    #[test]
    fn contributions_add_up_and_weights_are_whole(model in any_model(), signals in any_signals()) {
        if let Some(score) = model.score(&signals) {
            let sum: u32 = score.contributions.iter().map(|one| one.points.0).sum();
            prop_assert_eq!(Points(sum), score.points);
            prop_assert_eq!(score.contributions.iter().map(|one| one.weight).sum::<u32>(), WHOLE);
            prop_assert!(score.points <= Points(WHOLE));
            prop_assert!(score.contributions.iter().all(|one| one.points.0 <= one.weight));
            prop_assert_eq!(score.band, model.band(score.points));
        }
    }

    #[test]
    fn worse_is_never_better(model in any_model(), signals in any_signals(), which in 0..10_usize, a in -1.0..2.0_f64, b in -1.0..2.0_f64) {
        let at = |place: f64| {
            let mut signals = signals;
            set(&mut signals, which, place);
            model.score(&signals).map(|score| score.points)
        };
        let (better, worse) = (at(a.min(b)), at(a.max(b)));
        prop_assert!(better <= worse, "{:?} {:?}", better, worse);
    }

    #[test]
    fn nothing_jumps(signals in any_signals(), which in 0..10_usize, threshold in 0..2_u8) {
        let at = |place: f64| {
            let mut signals = signals;
            set(&mut signals, which, place);
            // Where nothing is measured, findings alone begin at none: that is no jump.
            model().score(&signals).map_or(0, |score| i64::from(score.points.0))
        };
        // A ten-thousandth of the ramp to either side is worth a hundredth of a point at most; rounding may give one more. CLS is counted in 1500ths of its ramp.
        let most = if which == 7 { 8 } else { 2 };
        let threshold = f64::from(threshold);
        let (below, on, above) = (at(threshold - 1e-4), at(threshold), at(threshold + 1e-4));
        prop_assert!((on - below).abs() <= most && (above - on).abs() <= most, "{} {} {}", below, on, above);
    }

    #[test]
    fn weights_of_missing_modules_are_spread_in_proportion(model in any_model(), signals in any_signals(), gone in 0..4_usize) {
        let gone = Module::ALL[gone];
        let mut without = signals;
        let mut weightless = model.clone();
        match gone {
            Module::Availability => {
                (without.weighted_availability, without.recurrence) = (None, None);
                weightless.availability.weight = 0.0;
            }
            Module::Latency => {
                (without.latency_p95, without.latency_regression) = (None, None);
                weightless.latency.weight = 0.0;
            }
            Module::WebVitals => {
                without.page = PageSignals::default();
                weightless.web_vitals.weight = 0.0;
            }
            Module::Insights => {
                without.findings = None;
                weightless.insights.weight = 0.0;
            }
        }
        // Without data a module is as though it had no weight.
        prop_assert_eq!(model.score(&without), weightless.score(&without));
        let Some(score) = model.score(&without) else { return Ok(()) };
        prop_assert!(score.contributions.iter().all(|one| one.signal.module() != gone));
        // Whole modules stand to each other as the model says, but for the ten-thousandth that each signal's weight is rounded by.
        let weight = |module: Module| -> (usize, f64) {
            let of = score.contributions.iter().filter(|one| one.signal.module() == module);
            (of.clone().count(), of.map(|one| f64::from(one.weight)).sum())
        };
        let told = |module: Module| match module {
            Module::Availability => model.availability.weight,
            Module::Latency => model.latency.weight,
            Module::WebVitals => model.web_vitals.weight,
            Module::Insights => model.insights.weight,
        };
        let there: Vec<Module> = Module::ALL.into_iter().filter(|module| weight(*module).0 > 0).collect();
        let whole: f64 = there.iter().map(|module| told(*module)).sum();
        for module in there {
            let (signals, found) = weight(module);
            let want = told(module) / whole * f64::from(WHOLE);
            prop_assert!((found - want).abs() <= signals as f64, "{:?}: {} {}", module, found, want);
        }
    }

    #[test]
    fn there_is_a_score_exactly_where_something_that_counts_has_data(model in any_model(), signals in any_signals()) {
        let Signals { weighted_availability, recurrence, latency_p95, latency_regression, page, findings } = signals;
        let counts = |weight: f64, share: f64, has: bool| weight > 0.0 && share > 0.0 && has;
        let (availability, latency, vitals, insights) = (model.availability, model.latency, model.web_vitals, model.insights);
        let any = [
            counts(availability.weight, availability.weighted_availability.share, weighted_availability.is_some()),
            counts(availability.weight, availability.recurrence.share, recurrence.is_some()),
            counts(latency.weight, latency.p95.share, latency_p95.is_some()),
            counts(latency.weight, latency.regression.share, latency_regression.is_some()),
            counts(vitals.weight, vitals.lcp, page.lcp.is_some()),
            counts(vitals.weight, vitals.responsiveness, page.inp.is_some() || page.tbt.is_some()),
            counts(vitals.weight, vitals.cls, page.cls.is_some()),
            counts(insights.weight, insights.open.share, findings.is_some()),
            counts(insights.weight, insights.stale.share, findings.is_some()),
        ];
        let measured = signals != Signals { findings, ..Signals::default() };
        let found = findings.is_some_and(|findings| findings.open > 0.0 || findings.stale > 0.0);
        prop_assert_eq!(model.score(&signals).is_some(), any.contains(&true) && (measured || found));
    }

    #[test]
    fn below_every_warning_there_is_nothing(places in prop::collection::vec(-1.0..=0.0_f64, 10)) {
        let mut signals = Signals::default();
        places.iter().enumerate().for_each(|(which, place)| set(&mut signals, which, *place));
        prop_assert_eq!(score(&signals).points, Points(0));
    }
}

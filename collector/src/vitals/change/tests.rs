use sitepulse_model::check::{CheckKind, DurationUs, Interact};
use sitepulse_model::control::Weight;
use sitepulse_model::id::CheckId;
use sitepulse_model::quorum::Quorum;
use sitepulse_model::record::ProbeState;
use sitepulse_model::vitals::Spread;

use super::*;

fn row(agent: u32, at: i64, lcp_ms: u64) -> Row {
    let mut values = [None; Vital::ALL.len()];
    values[0] = Some(Spread { median: lcp_ms * 1_000, min: lcp_ms * 1_000, max: lcp_ms * 1_000 });
    Row {
        scheduled: UtcMicros(at),
        agent: AgentNo(agent),
        revision: Revision(1),
        state: ProbeState::Up,
        cause: None,
        profile: "mobile".into(),
        loads_counted: 3,
        loads_low_confidence: 0,
        values,
        lcp_element: String::new(),
        lcp_url: None,
        shift_sources: None,
        browser: None,
    }
}

/// Runs of an agent, one an instant from `from` on.
fn run(watches: &mut Watches, agent: u32, from: i64, lcp_ms: &[u64]) {
    for (at, ms) in (from..).zip(lcp_ms) {
        watches.add(&row(agent, at, *ms), Measured::default(), true);
    }
}

fn since(watches: &Watches) -> Option<(i64, u64)> {
    watches.worse().first().map(|one| (one.regression.since.0, one.regression.baseline / 1_000))
}

#[test]
fn agents_of_a_region_are_not_compared_with_each_other() {
    let mut watches = Watches::default();
    for at in 0..12 {
        watches.add(&row(1, at, 2_000), Measured::default(), true);
        watches.add(&row(2, at, 4_000), Measured::default(), true);
    }
    // The faster machine is gone: the page is as it was.
    run(&mut watches, 2, 12, &[4_000; 6]);
    assert_eq!(watches.worse(), []);
}

#[test]
fn a_region_says_what_most_of_its_agents_that_ran_say() {
    let mut watches = Watches::default();
    for agent in 1..=3 {
        run(&mut watches, agent, 0, &[2_000; 10]);
    }
    run(&mut watches, 1, 20, &[4_000; 4]);
    assert_eq!(since(&watches), None, "one of three");
    run(&mut watches, 3, 30, &[4_000; 4]);
    assert_eq!(since(&watches), Some((30, 2_000)), "since most of them are slower");
    // One more that ran in the look-back alone says nothing, one that ran since does.
    for at in 0..10 {
        watches.add(&row(4, at, 2_000), Measured::default(), false);
    }
    assert_eq!(since(&watches), Some((30, 2_000)));
    run(&mut watches, 5, 0, &[2_000; 10]);
    assert_eq!(since(&watches), None, "two of four are not most");
}

/// The defect: after an upgrade of the browser pages were told to have become worse that nobody had touched.
#[test]
fn another_browser_is_no_regression_of_the_page() {
    let mut watches = Watches::default();
    let mut measured = |at: i64, lcp_ms: u64, browser: Option<&str>| {
        let row = Row { browser: browser.map(str::to_owned), ..row(1, at, lcp_ms) };
        watches.add(&row, Measured::default(), true);
        since(&watches)
    };
    // As stored by a build that did not note it, and then noted: the same browser as far as anybody knows.
    for at in 0..6 {
        assert_eq!(measured(at, 2_000, None), None);
    }
    for at in 6..12 {
        assert_eq!(measured(at, 2_000, Some("HeadlessChrome/156")), None);
    }
    for at in 12..30 {
        assert_eq!(measured(at, 4_000, Some("HeadlessChrome/157")), None, "a newer one");
    }
    for at in 30..50 {
        assert_eq!(measured(at, 6_000, Some("Chrome/157")), None, "the full one");
    }
    assert_eq!([50, 51].map(|at| measured(at, 9_000, Some("Chrome/157"))), [None, None]);
    assert_eq!(measured(52, 9_000, None), Some((50, 6_000)), "what the page does itself is told as ever");
}

fn definition(change: impl FnOnce(&mut WebVitalsTarget)) -> CheckDefinition {
    let mut target = WebVitalsTarget::page("https://shop.example/");
    change(&mut target);
    CheckDefinition {
        id: CheckId::parse("shop").unwrap(),
        kind: CheckKind::WebVitals(Box::new(target)),
        interval_us: 900_000_000,
        timeout_us: 30_000_000,
        retries: 0,
        weight: Weight::ONE,
        regions: None,
        quorum: Quorum::Majority,
        confirmations: 1,
        recoveries: 1,
        expect: Vec::new(),
    }
}

fn own(change: impl FnOnce(&mut Profile)) -> ProfileChoice {
    let mut profile = Profile::builtin("mobile").unwrap();
    change(&mut profile);
    ProfileChoice::Own(Box::new(profile))
}

/// Whether two definitions, one after the other, measure the same.
fn same(before: &CheckDefinition, after: &CheckDefinition) -> bool {
    let epochs = Epochs::of([(Revision(1), before), (Revision(2), after)]);
    epochs.at(Revision(1)) == epochs.at(Revision(2))
}

#[test]
fn what_a_definition_measures_is_all_but_how_it_is_rated() {
    let before = definition(|_| {});
    let mut rarer = before.clone();
    rarer.interval_us *= 2;
    assert!(same(&before, &rarer));
    assert!(same(&before, &definition(|target| target.profile = own(|_| {}))), "the same device in full");
    let strict = Thresholds { lcp: [DurationUs(1), DurationUs(2)], ..Thresholds::default() };
    assert!(same(&before, &definition(|target| target.profile = own(|one| one.thresholds = strict))));
    let others: [fn(&mut WebVitalsTarget); 5] = [
        |target| target.throttling = false,
        |target| target.url.push_str("cart"),
        |target| target.runs = 5,
        |target| target.interact = vec![Interact::Click("#menu".into())],
        |target| target.profile = own(|one| one.width += 1),
    ];
    for (nth, other) in others.into_iter().enumerate() {
        assert!(!same(&before, &definition(other)), "change {nth}");
    }
}

#[test]
fn a_definition_that_measures_something_else_is_no_regression() {
    let (before, after) = (definition(|_| {}), definition(|target| target.throttling = false));
    let epochs = Epochs::of([(Revision(1), &after), (Revision(2), &before), (Revision(3), &before)]);
    let mut watches = Watches::default();
    for at in 0..20 {
        watches.add(&row(1, at, 1_000), epochs.at(Revision(1)), true);
    }
    for at in 20..40 {
        watches.add(&row(1, at, 4_000), epochs.at(Revision(2)), true);
    }
    assert_eq!(watches.worse(), []);
    for at in 40..44 {
        watches.add(&row(1, at, 6_000), epochs.at(Revision(3)), true);
    }
    assert_eq!(since(&watches), Some((40, 4_000)), "what is not touched by it is told as ever");
}

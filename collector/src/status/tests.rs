use super::*;

fn account(up: i64, degraded: i64, regional: i64, down: i64, unknown: i64) -> Account {
    let mut account =
        Account { up_us: up, degraded_us: degraded, regional_us: regional, down_us: down, ..Account::default() };
    account.unknown.agent_offline_us = unknown;
    // A third of the voters in a regional outage, all of them in a whole one.
    account.down_share_us = regional as f64 / 3.0 + down as f64;
    account
}

fn seen(verdicts: &[Verdict]) -> (State, bool) {
    let seen = item_state(verdicts);
    (seen.state, seen.partly)
}

#[test]
fn an_item_is_what_its_checks_say() {
    use Verdict::{Degraded, Down, Maintenance, Regional, Unknown, Up};
    assert_eq!(seen(&[]), (State::Unknown, false));
    assert_eq!(seen(&[Unknown]), (State::Unknown, false));
    assert_eq!(seen(&[Up, Up]), (State::Up, false));
    assert_eq!(seen(&[Up, Unknown]), (State::Up, true));
    assert_eq!(seen(&[Down, Unknown, Maintenance]), (State::Down, true));
    assert_eq!(seen(&[Down, Up]), (State::Partial, false));
    assert_eq!(seen(&[Regional]), (State::Partial, false));
    assert_eq!(seen(&[Degraded, Up]), (State::Degraded, false));
    assert_eq!(seen(&[Maintenance, Up]), (State::Maintenance, false));
}

#[test]
fn a_page_is_as_bad_as_its_worst_item_and_not_knowing_is_told() {
    let one = |state| Seen { state, partly: false };
    assert_eq!(overall(&[]), one(State::Unknown));
    assert_eq!(overall(&[one(State::Up), one(State::Up)]), one(State::Up));
    assert_eq!(overall(&[one(State::Up), one(State::Unknown)]), Seen { state: State::Up, partly: true });
    assert_eq!(overall(&[one(State::Unknown)]), one(State::Unknown));
    assert_eq!(overall(&[one(State::Degraded), one(State::Down), one(State::Unknown)]).state, State::Down);
    assert_eq!(overall(&[one(State::Maintenance), one(State::Up)]).state, State::Maintenance);
}

#[test]
fn a_regional_outage_costs_its_share_and_bounds_hold_the_figure() {
    let regional = public_figures(&account(700, 0, 300, 0, 0));
    assert!(regional.availability.unwrap() < 0.901, "{regional:?}");
    // Down by a quorum of two in three: the plain figure is the lower one.
    let mut by_quorum = account(900, 0, 0, 100, 0);
    by_quorum.down_share_us = 200.0 / 3.0;
    assert_eq!(public_figures(&by_quorum).availability, Some(0.9));
    let gap = public_figures(&account(500, 0, 0, 0, 500));
    assert_eq!(
        (gap.availability, gap.completeness, gap.lower, gap.upper),
        (Some(1.0), Some(0.5), Some(0.5), Some(1.0))
    );
    let nothing = public_figures(&account(0, 0, 0, 0, 10));
    assert_eq!((nothing.availability, nothing.lower, nothing.upper), (None, Some(0.0), Some(1.0)));
    assert_eq!(public_figures(&Account::default()), Figures::default());
    for (up, regional, down, unknown) in [(1, 2, 3, 4), (0, 5, 0, 1), (7, 0, 1, 0), (3, 9, 0, 100)] {
        let figures = public_figures(&account(up, 0, regional, down, unknown));
        let (lower, it, upper) = (figures.lower.unwrap(), figures.availability.unwrap(), figures.upper.unwrap());
        assert!(lower <= it + 1e-12 && it <= upper + 1e-12, "{figures:?}");
    }
}

#[test]
fn a_day_is_the_worst_of_it_and_never_up_without_evidence() {
    let day = |accounts: &[Account]| {
        let figures: Vec<(Weight, Figures)> =
            accounts.iter().map(|account| (Weight::ONE, public_figures(account))).collect();
        day_facts(accounts, &Together::of(&figures))
    };
    assert_eq!((day(&[]).state, day(&[]).availability), (State::Unknown, None));
    assert_eq!(day(&[account(0, 0, 0, 0, 86)]).state, State::Unknown);
    let work = Account { maintenance_us: 5, ..Account::default() };
    assert_eq!(day(&[work]).state, State::Maintenance);
    assert_eq!(day(&[account(9, 0, 0, 0, 0), work]).state, State::Up);
    assert_eq!(day(&[account(9, 1, 0, 0, 0)]).state, State::Degraded);
    let regional = day(&[account(9, 0, 1, 0, 0)]);
    assert!(regional.state == State::Partial && regional.availability.unwrap() < 1.0, "{regional:?}");
    let some = day(&[account(9, 0, 0, 1, 0), account(10, 0, 0, 0, 0)]);
    assert_eq!((some.state, some.down_us, some.partial_us), (State::Partial, 0, 1));
    let all = day(&[account(9, 0, 0, 1, 0), account(7, 0, 0, 3, 0)]);
    assert_eq!((all.state, all.down_us), (State::Down, 3));
    // Of whom nothing is known does not make it any better.
    assert_eq!(day(&[account(9, 0, 0, 1, 0), account(0, 0, 0, 0, 10)]).state, State::Down);
}

#[test]
fn days_are_those_of_the_zone() {
    let now = sitepulse_daemon::instant::parse("2026-11-22T23:30:00Z", UtcMicros(0)).unwrap();
    let paris = days::last(Some("Europe/Paris"), now, 90);
    assert_eq!((paris.len(), paris[89].date.as_str(), paris[0].date.as_str()), (90, "2026-11-23", "2026-08-26"));
    assert!(paris.windows(2).all(|pair| pair[0].span.to == pair[1].span.from));
    // The clock went back on 25 October.
    let long = paris.iter().find(|day| day.date == "2026-10-25").unwrap();
    assert_eq!(long.span.us(), 25 * 3600 * 1_000_000);
    assert_eq!(days::last(None, now, 2)[1].date, "2026-11-22");
    assert_eq!(days::last(Some("Nowhere/Never"), now, 2), days::last(None, now, 2));
}

use super::*;

mod naive;

fn window(from: &str, lasts: &str, zone: Option<&str>, rrule: Option<&str>) -> MaintenanceWindow {
    MaintenanceWindow {
        id: "w".into(),
        checks: vec!["shop".into()],
        groups: Vec::new(),
        tags: Vec::new(),
        from: from.into(),
        lasts: lasts.into(),
        zone: zone.map(str::to_owned),
        rrule: rrule.map(str::to_owned),
    }
}

fn us(text: &str) -> UtcMicros {
    UtcMicros(text.parse::<Timestamp>().unwrap().as_microsecond())
}

/// The beginnings within a span, as instants.
fn begins(window: &MaintenanceWindow, from: &str, to: &str) -> Vec<String> {
    let open = Timetable::of(window).unwrap().open(Span::new(us(from), us(to)));
    open.iter().map(|open| Timestamp::from_microsecond(open.from.0).unwrap().to_string()).collect()
}

const PARIS: Option<&str> = Some("Europe/Paris");

#[test]
fn a_window_without_a_rule_opens_once() {
    let once = window("2026-12-01T02:00", "2h", PARIS, None);
    assert_eq!(begins(&once, "2026-01-01T00:00Z", "2027-01-01T00:00Z"), ["2026-12-01T01:00:00Z"]);
    assert_eq!(begins(&once, "2026-12-01T02:59:59Z", "2027-01-01T00:00Z").len(), 1);
    assert_eq!(begins(&once, "2026-12-01T03:00:00Z", "2027-01-01T00:00Z").len(), 0);
    assert_eq!(begins(&once, "2026-01-01T00:00Z", "2026-12-01T01:00:00Z").len(), 0);
    let absolute = window("2026-12-01T02:00+02:00", "2h", PARIS, None);
    assert_eq!(begins(&absolute, "2026-01-01T00:00Z", "2027-01-01T00:00Z"), ["2026-12-01T00:00:00Z"]);
}

#[test]
fn a_time_on_the_wall_stays_there_when_clocks_change() {
    let weekly = window("2026-10-04T02:00", "2h", PARIS, Some("FREQ=WEEKLY;BYDAY=SU"));
    assert_eq!(
        begins(&weekly, "2026-10-15T00:00Z", "2026-11-03T00:00Z"),
        ["2026-10-18T00:00:00Z", "2026-10-25T00:00:00Z", "2026-11-01T01:00:00Z"]
    );
}

#[test]
fn a_time_that_is_skipped_or_comes_twice_has_a_meaning() {
    let nightly = window("2026-03-01T02:30", "1h", PARIS, Some("FREQ=DAILY"));
    // 02:30 does not exist on the 29th: the clocks show 03:30 then.
    assert_eq!(
        begins(&nightly, "2026-03-28T00:00Z", "2026-03-30T12:00Z"),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
    );
    // 02:30 comes twice on the 25th: at 00:30 and 01:30 of UTC.
    assert_eq!(
        begins(&nightly, "2026-10-24T00:00Z", "2026-10-26T12:00Z"),
        ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
}

#[test]
fn rules_mean_what_the_standard_says() {
    for (from, rule, expected) in [
        ("2026-01-05", "FREQ=DAILY;INTERVAL=3;COUNT=3", "01-05 01-08 01-11"),
        ("2026-01-05", "FREQ=DAILY;BYDAY=MO,TU;UNTIL=20260113", "01-05 01-06 01-12 01-13"),
        ("2026-01-07", "RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE;COUNT=4", "01-07 01-19 01-21 02-02"),
        ("2026-01-07", "FREQ=WEEKLY;COUNT=2", "01-07 01-14"),
        ("2026-01-31", "FREQ=MONTHLY;COUNT=4", "01-31 03-31 05-31 07-31"),
        ("2026-01-31", "FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=3", "01-31 02-28 03-31"),
        ("2026-01-06", "FREQ=MONTHLY;BYDAY=1TU,-1FR;COUNT=4", "01-06 01-30 02-03 02-27"),
        ("2026-02-13", "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13;COUNT=3", "02-13 03-13 11-13"),
        ("2026-01-02", "FREQ=MONTHLY;INTERVAL=2;BYDAY=1FR;UNTIL=20260701T000000Z", "01-02 03-06 05-01"),
        ("2026-01-05", "FREQ=DAILY;UNTIL=20260106T030000", "01-05 01-06"),
        ("2026-01-05", "FREQ=DAILY;UNTIL=20260106T025959", "01-05"),
    ] {
        let window = window(&format!("{from}T03:00"), "1h", None, Some(rule));
        let all = begins(&window, "2025-01-01T00:00Z", "2027-01-01T00:00Z");
        let days: Vec<&str> = all.iter().map(|at| &at[5..10]).collect();
        assert_eq!(days.join(" "), expected, "{rule}");
        // Skipping ahead changes nothing but where it begins.
        for (at, day) in all.iter().enumerate() {
            assert_eq!(begins(&window, day, "2027-01-01T00:00Z"), all[at..], "{rule} from {day}");
        }
    }
}

#[test]
fn mistakes_are_told_at_once_with_the_remedy() {
    let told = |window: MaintenanceWindow| faults(&window).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        told(window("soon", "3s", Some("Europe/Pariss"), Some("FREQ=WEEKLY;BYDAY=1MO"))),
        [
            r#"zone: "Europe/Pariss" is no IANA time zone: did you mean "Europe/Paris"?"#,
            r#"from: "soon" is no instant: write 2026-12-01T02:00 (on the wall of zone) or 2026-12-01T02:00:00Z"#,
            "lasts: 3s: allowed are 1m to 366d",
            "rrule: BYDAY takes an ordinal, as in 1MO, with FREQ=MONTHLY alone",
        ]
    );
    assert_eq!(
        told(window("2026-12-01T02:00", "2h", None, Some("FREQ=WEEKLY;BYDAY=SU"))),
        [
            "from: 2026-12-01T02:00:00 is none of the dates that the rule gives: begin with the first one, 2026-12-06T02:00:00"
        ]
    );
    let bare = MaintenanceWindow { checks: Vec::new(), ..window("2026-12-01", "2h", None, None) };
    assert_eq!(told(bare), ["it covers nothing: name checks, groups or tags"]);
    for (rule, says) in [
        ("", "no part of a rule"),
        ("BYDAY=MO", "FREQ is missing"),
        ("FREQ=YEARLY", "write DAILY, WEEKLY or MONTHLY"),
        ("FREQ=DAILY;BYHOUR=3", "BYHOUR is not taken"),
        ("FREQ=DAILY;COUNT=0", "from 1 to 10000"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20300101", "not both"),
        ("FREQ=DAILY;FREQ=DAILY", "stands twice"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "means nothing to FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "days from 1 to 31"),
        ("FREQ=MONTHLY;BYDAY=6MO", "write MO, TU"),
        ("FREQ=MONTHLY;BYDAY=é", "write MO, TU"),
        ("FREQ=DAILY;UNTIL=2030", "UNTIL=2030: write"),
        ("FREQ=MONTHLY;BYMONTHDAY=30;BYDAY=MO;INTERVAL=1001", "from 1 to 1000"),
    ] {
        let error = Rule::parse(rule).unwrap_err();
        assert!(error.contains(says), "{rule}: {error}");
    }
}

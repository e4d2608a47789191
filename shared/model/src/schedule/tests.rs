use super::*;

const MINUTE: u64 = 60_000_000;
const START: UtcMicros = UtcMicros(1_700_000_000_000_000);

fn plan(check: u32, interval_us: u64, weight: u32) -> Plan {
    let id = CheckId::parse(&alloc::format!("check-{check}")).unwrap();
    let agent = AgentName::parse("eu-west-1").unwrap();
    Plan {
        check: CheckNo(check),
        revision: Revision(1),
        lattice: Lattice::new(&id, &agent, interval_us),
        weight: Weight(weight),
        host: 0,
    }
}

fn runs(actions: &[Action]) -> Vec<(u32, UtcMicros)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Run { check, slot, .. } => Some((check.0, *slot)),
            Action::Missed(_) | Action::ClockStepped { .. } => None,
        })
        .collect()
}

fn missed(actions: &[Action]) -> Vec<(u32, u64, MissedCause)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Missed(missed) => Some((missed.check.0, missed.count, missed.cause)),
            Action::Run { .. } | Action::ClockStepped { .. } => None,
        })
        .collect()
}

#[test]
fn slots_spread_over_the_interval() {
    let mut per_second = [0_u32; 60];
    for check in 0..1000 {
        let lattice = plan(check, MINUTE, 1000).lattice;
        assert_eq!(lattice.offset_us % 1000, 0);
        per_second[(lattice.offset_us / 1_000_000) as usize] += 1;
    }
    assert!(per_second.iter().all(|n| (3..50).contains(n)), "{per_second:?}");
}

#[test]
fn lattices_are_exact() {
    let lattice = Lattice { offset_us: 3, interval_us: 10 };
    let at = |us| UtcMicros(us);
    assert_eq!(
        (lattice.at_or_before(at(13)), lattice.at_or_after(at(13)), lattice.after(at(13))),
        (at(13), at(13), at(23))
    );
    assert_eq!(
        (lattice.at_or_before(at(12)), lattice.at_or_after(at(12)), lattice.after(at(12))),
        (at(3), at(13), at(13))
    );
    assert_eq!((lattice.at_or_before(at(-1)), lattice.at_or_after(at(-8))), (at(-7), at(-7)));
    assert_eq!((lattice.count(at(3), at(33)), lattice.count(at(13), at(3))), (4, 0));
}

/// Runs a scheduler on a quiet machine for some time; each run takes no time.
fn quiet(scheduler: &mut Scheduler, wall: &mut UtcMicros, monotonic: &mut u64, for_us: i64) -> Vec<(u32, UtcMicros)> {
    let end = wall.plus_us(for_us);
    let mut all = Vec::new();
    while let Some(next) = scheduler.poll_timeout().filter(|next| *next <= end) {
        *monotonic += next.us_since(*wall).max(0) as u64;
        *wall = next.max(*wall);
        let actions = scheduler.handle_now(*wall, *monotonic);
        assert_eq!(missed(&actions), []);
        for run in runs(&actions) {
            scheduler.finished(0);
            all.push(run);
        }
    }
    *monotonic += end.us_since(*wall) as u64;
    *wall = end;
    all
}

#[test]
fn a_quiet_agent_runs_every_slot_on_time() {
    let plans: Vec<Plan> = (0..100).map(|check| plan(check, MINUTE, 1000)).collect();
    let mut scheduler = Scheduler::new(64, 16);
    assert_eq!(scheduler.assign(&plans, START), []);
    let (mut wall, mut monotonic) = (START, 5);
    let all = quiet(&mut scheduler, &mut wall, &mut monotonic, 10 * MINUTE as i64);
    assert_eq!(all.len(), 1000);
    for (index, plan) in plans.iter().enumerate() {
        let mine: Vec<UtcMicros> =
            all.iter().filter(|(check, _)| *check == index as u32).map(|(_, slot)| *slot).collect();
        let first = plan.lattice.after(START);
        assert_eq!(mine, (0..10).map(|k| first.plus_us(k * MINUTE as i64)).collect::<Vec<_>>());
    }
    assert_eq!(scheduler.earliest_next(), plans.iter().map(|plan| plan.lattice.after(wall)).min());
}

#[test]
fn a_stopped_process_runs_the_newest_slot_alone() {
    let mut scheduler = Scheduler::new(64, 16);
    let plan = plan(1, MINUTE, 1000);
    assert_eq!(scheduler.assign(&[plan], START), []);
    assert_eq!(scheduler.handle_now(START, 0), []);
    let late = START.plus_us(10 * MINUTE as i64 + 1);
    let actions = scheduler.handle_now(late, 10 * MINUTE + 1);
    assert_eq!(missed(&actions), [(1, 9, MissedCause::Overloaded)]);
    assert_eq!(runs(&actions), [(1, plan.lattice.at_or_before(late))]);
    assert_eq!(scheduler.handle_now(late, 10 * MINUTE + 1), []);
}

#[test]
fn a_leap_forward_runs_nothing_that_it_leapt_over() {
    let plans: Vec<Plan> = (0..50).map(|check| plan(check, MINUTE, 1000)).collect();
    let mut scheduler = Scheduler::new(64, 16);
    assert_eq!(scheduler.assign(&plans, START), []);
    let (mut wall, mut monotonic) = (START, 0);
    quiet(&mut scheduler, &mut wall, &mut monotonic, 5 * MINUTE as i64);
    let hour = 60 * MINUTE as i64;
    let actions = scheduler.handle_now(wall.plus_us(hour), monotonic);
    assert_eq!(actions[0], Action::ClockStepped { by_us: hour });
    assert_eq!(runs(&actions), []);
    let missed = missed(&actions);
    assert_eq!(missed.len(), 50);
    assert!(missed.iter().all(|(_, count, cause)| (*count, *cause) == (60, MissedCause::ClockStep)));
    wall = wall.plus_us(hour);
    assert_eq!(quiet(&mut scheduler, &mut wall, &mut monotonic, MINUTE as i64).len(), 50);
}

#[test]
fn a_leap_back_goes_on_within_an_interval_without_a_burst() {
    let plans: Vec<Plan> = (0..50).map(|check| plan(check, MINUTE, 1000)).collect();
    let mut scheduler = Scheduler::new(64, 16);
    assert_eq!(scheduler.assign(&plans, START), []);
    let (mut wall, mut monotonic) = (START, 0);
    quiet(&mut scheduler, &mut wall, &mut monotonic, 5 * MINUTE as i64);
    wall = wall.plus_us(-60 * MINUTE as i64);
    let actions = scheduler.handle_now(wall, monotonic);
    assert_eq!(actions, [Action::ClockStepped { by_us: -60 * MINUTE as i64 }]);
    assert_eq!(quiet(&mut scheduler, &mut wall, &mut monotonic, MINUTE as i64).len(), 50);
}

#[test]
fn a_small_step_back_repeats_no_slot() {
    let plan = plan(1, MINUTE, 1000);
    let mut scheduler = Scheduler::new(64, 16);
    assert_eq!(scheduler.assign(&[plan], START), []);
    let slot = plan.lattice.after(START);
    assert_eq!(runs(&scheduler.handle_now(slot, 0)), [(1, slot)]);
    let actions = scheduler.handle_now(slot.plus_us(-10_000_000), 0);
    assert_eq!(actions, [Action::ClockStepped { by_us: -10_000_000 }]);
    assert_eq!(scheduler.poll_timeout(), Some(slot.plus_us(MINUTE as i64)));
}

#[test]
fn the_lightest_checks_are_shed_first() {
    let lattice = Lattice { offset_us: 0, interval_us: MINUTE };
    let plans: Vec<Plan> = [500, 3000, 1000, 2000]
        .iter()
        .enumerate()
        .map(|(index, weight)| Plan { lattice, ..plan(index as u32, MINUTE, *weight) })
        .collect();
    let mut scheduler = Scheduler::new(2, 16);
    assert_eq!(scheduler.assign(&plans, START), []);
    let slot = lattice.after(START);
    let actions = scheduler.handle_now(slot, 0);
    assert_eq!(runs(&actions), [(1, slot), (3, slot)]);
    assert_eq!((missed(&actions), scheduler.waiting()), (alloc::vec![], 2));
    assert_eq!(scheduler.earliest_next(), Some(slot.plus_us(MINUTE as i64)));
    let waiting: Vec<_> = scheduler.waiting_slots().map(|(check, _, slot)| (check.0, slot)).collect();
    assert_eq!(waiting, [(0, slot), (2, slot)]);
    assert_eq!(scheduler.take_new_waiting().count(), 2);
    assert_eq!(scheduler.take_new_waiting().count(), 0, "each is told once");
    scheduler.finished(0);
    assert_eq!(runs(&scheduler.handle_now(slot.plus_us(1_000_000), 1_000_000)), [(2, slot)]);
    assert_eq!(scheduler.poll_timeout(), Some(slot.plus_us(WAIT_US_MAX as i64)));
    let actions = scheduler.handle_now(slot.plus_us(5_000_000), 5_000_000);
    assert_eq!(actions.len(), 1);
    assert_eq!(missed(&actions), [(0, 1, MissedCause::Overloaded)]);
    assert_eq!(scheduler.in_flight(), 2);
}

#[test]
fn assignments_change_without_losing_slots() {
    let lattice = Lattice { offset_us: 0, interval_us: MINUTE };
    let one = Plan { lattice, ..plan(1, MINUTE, 1000) };
    let mut scheduler = Scheduler::new(1, 16);
    assert_eq!(scheduler.assign(&[one], START), []);
    let slot = lattice.after(START);
    let newer = Plan { revision: Revision(2), ..one };
    assert_eq!(scheduler.assign(&[newer], slot.plus_us(-1)), []);
    assert_eq!(
        scheduler.handle_now(slot, 0),
        [Action::Run { check: CheckNo(1), revision: Revision(2), slot, host: 0 }]
    );
    let faster = Plan { lattice: Lattice { offset_us: 0, interval_us: MINUTE / 2 }, ..newer };
    assert_eq!(scheduler.assign(&[faster], slot.plus_us(1)), []);
    assert_eq!(scheduler.next_slot(CheckNo(1)), Some(slot.plus_us(MINUTE as i64 / 2)));
    let gone = scheduler.assign(&[], slot.plus_us(MINUTE as i64));
    assert_eq!(missed(&gone), [(1, 2, MissedCause::Overloaded)]);
    assert_eq!(scheduler.poll_timeout(), None);
}

#[test]
fn a_restart_tells_what_was_missed() {
    let plan = Plan { lattice: Lattice { offset_us: 3, interval_us: 10 }, ..plan(1, MINUTE, 1000) };
    let at = |us| UtcMicros(us);
    let ranges = |watermark, recorded: &[i64], now| -> Vec<(i64, i64, u64)> {
        let recorded: Vec<UtcMicros> = recorded.iter().copied().map(UtcMicros).collect();
        resume(&plan, at(watermark), &recorded, at(now)).iter().map(|m| (m.first.0, m.last.0, m.count)).collect()
    };
    assert_eq!(ranges(100, &[], 133), [(103, 133, 4)]);
    assert_eq!(ranges(103, &[123, 103, 107, 500], 139), [(113, 113, 1), (133, 133, 1)]);
    assert_eq!(ranges(103, &[103], 103), []);
    assert_eq!(ranges(200, &[], 100), []);
    let years = resume(&plan, at(0), &[], at(RANGE_SLOTS_MAX as i64 * 24));
    assert_eq!(
        years.iter().map(|m| m.count).collect::<Vec<_>>(),
        [RANGE_SLOTS_MAX, RANGE_SLOTS_MAX, RANGE_SLOTS_MAX * 2 / 5]
    );
}

#[test]
fn a_full_host_holds_up_its_own_checks_alone() {
    let lattice = Lattice { offset_us: 0, interval_us: MINUTE };
    // Four checks of one host, heavier than all others; two of another host; one of none.
    let plans: Vec<Plan> = [(9, 7), (9, 7), (9, 7), (8, 7), (1, 5), (1, 5), (1, 0)]
        .iter()
        .enumerate()
        .map(|(index, (weight, host))| Plan { lattice, host: *host, ..plan(index as u32, MINUTE, *weight) })
        .collect();
    let mut scheduler = Scheduler::new(100, 2);
    assert_eq!(scheduler.assign(&plans, START), []);
    let slot = lattice.after(START);
    let started: Vec<u32> = runs(&scheduler.handle_now(slot, 0)).iter().map(|(check, _)| *check).collect();
    assert_eq!(started, [0, 1, 4, 5, 6]);
    assert_eq!((scheduler.waiting(), scheduler.in_flight()), (2, 5));
    assert!(scheduler.poll_timeout().unwrap() > slot, "a full host must not make a busy loop");
    // A place on another host is none for them.
    scheduler.finished(5);
    assert_eq!(scheduler.handle_now(slot.plus_us(1), 1), []);
    scheduler.finished(7);
    assert_eq!(runs(&scheduler.handle_now(slot.plus_us(2), 2)), [(2, slot)]);
    let actions = scheduler.handle_now(slot.plus_us(WAIT_US_MAX as i64), WAIT_US_MAX);
    assert_eq!(missed(&actions), [(3, 1, MissedCause::Overloaded)]);
    assert_eq!((scheduler.waiting(), scheduler.shed_slots()), (0, 1));
}

#[test]
fn a_host_s_places_outlive_a_new_assignment() {
    let lattice = Lattice { offset_us: 0, interval_us: MINUTE };
    let plans: Vec<Plan> = (0..3).map(|check| Plan { lattice, host: 7, ..plan(check, MINUTE, 1000) }).collect();
    let mut scheduler = Scheduler::new(100, 2);
    assert_eq!(scheduler.assign(&plans, START), []);
    let slot = lattice.after(START);
    assert_eq!(runs(&scheduler.handle_now(slot, 0)).len(), 2);
    assert_eq!(scheduler.assign(&plans, slot), []);
    assert_eq!(scheduler.handle_now(slot, 0), [], "two runs are still under way");
    scheduler.finished(7);
    assert_eq!(runs(&scheduler.handle_now(slot, 0)), [(2, slot)]);
}

/// Calls cost O(log n): with every check waiting, a call that changes nothing must not look at all of them.
#[test]
fn ten_thousand_waiting_checks_cost_a_call_nothing() {
    let lattice = Lattice { offset_us: 0, interval_us: MINUTE };
    let plans: Vec<Plan> =
        (0..10_000).map(|check| Plan { lattice, host: u64::from(check % 500), ..plan(check, MINUTE, 1000) }).collect();
    let mut scheduler = Scheduler::new(100, 2);
    assert_eq!(scheduler.assign(&plans, START), []);
    let slot = lattice.after(START);
    assert_eq!(runs(&scheduler.handle_now(slot, 0)).len(), 100);
    assert_eq!(scheduler.waiting(), 9_900);
    // A million calls over a scan of 9,900 entries each would take minutes.
    for _ in 0..1_000_000 {
        assert!(scheduler.handle_now(slot, 0).is_empty());
        assert!(scheduler.poll_timeout().is_some());
    }
    assert_eq!(scheduler.take_new_waiting().count(), 9_900);
}

#[test]
fn a_host_may_have_limits_of_its_own() {
    let lattice = Lattice { offset_us: 0, interval_us: MINUTE };
    let plans: Vec<Plan> =
        (0..3).map(|check| Plan { lattice, host: host_key("browser"), ..plan(check, MINUTE, 1000) }).collect();
    let mut scheduler = Scheduler::new(100, 16);
    scheduler.limit("browser", HostLimit { runs_max: 1, wait_us_max: 4 * WAIT_US_MAX });
    assert_eq!(scheduler.assign(&plans, START), []);
    let slot = lattice.after(START);
    assert_eq!(runs(&scheduler.handle_now(slot, 0)), [(0, slot)]);
    let later = |us: u64| slot.plus_us(us as i64);
    assert_eq!(scheduler.handle_now(later(2 * WAIT_US_MAX), 2 * WAIT_US_MAX), [], "it waits longer than others do");
    scheduler.finished(host_key("browser"));
    assert_eq!(runs(&scheduler.handle_now(later(3 * WAIT_US_MAX), 3 * WAIT_US_MAX)), [(1, slot)]);
    let actions = scheduler.handle_now(later(4 * WAIT_US_MAX), 4 * WAIT_US_MAX);
    assert_eq!(missed(&actions), [(2, 1, MissedCause::Overloaded)]);
}

#[test]
fn heavy_runs_take_several_places_of_one_limit_and_are_missed_when_they_wait_long() {
    let lattice = Lattice { offset_us: 0, interval_us: MINUTE };
    let heavy = |check| Plan { lattice, host: host_key("alone"), ..plan(check, MINUTE, 1000) };
    let light = |check| Plan { lattice, host: host_key("browser"), ..plan(check, MINUTE, 1000) };
    let mut scheduler = Scheduler::new(100, 16);
    scheduler.limit("browser", HostLimit { runs_max: 4, wait_us_max: 4 * WAIT_US_MAX });
    scheduler.share("alone", "browser", 4);
    assert_eq!(scheduler.assign(&[light(0), heavy(1), light(2), heavy(3)], START), []);
    let slot = lattice.after(START);
    let later = |us: u64| slot.plus_us(us as i64);
    assert_eq!(runs(&scheduler.handle_now(slot, 0)), [(0, slot)], "what comes behind a heavy one waits for it");
    scheduler.finished(host_key("browser"));
    assert_eq!(runs(&scheduler.handle_now(later(1), 1)), [(1, slot)], "it has all places");
    scheduler.finished(host_key("alone"));
    assert_eq!(runs(&scheduler.handle_now(later(2), 2)), [(2, slot)]);
    let actions = scheduler.handle_now(later(4 * WAIT_US_MAX), 4 * WAIT_US_MAX);
    assert_eq!(missed(&actions), [(3, 1, MissedCause::Overloaded)]);
}

#[test]
fn slots_close_to_each_other_share_a_wake_up_and_none_comes_early() {
    let mut scheduler = Scheduler::new(1_000, 1_000);
    assert_eq!(scheduler.wake_at(), None);
    let plans: Vec<Plan> = (0..1_000).map(|check| plan(check, 1_000_000, 1_000)).collect();
    assert_eq!(scheduler.assign(&plans, START), []);
    let (mut now, mut wakes, mut ran) = (START, 0, 0);
    while now < START.plus_us(1_000_000) {
        let due = scheduler.poll_timeout().unwrap();
        let wake = scheduler.wake_at().unwrap();
        assert!((0..WAKE_US).contains(&wake.us_since(due)), "{due:?} is served at {wake:?}");
        now = wake;
        let started = runs(&scheduler.handle_now(now, now.us_since(START) as u64));
        for (_, slot) in &started {
            assert!((0..WAKE_US).contains(&now.us_since(*slot)));
            scheduler.finished(0);
        }
        (wakes, ran) = (wakes + 1, ran + started.len());
    }
    assert!((995..=1_005).contains(&ran), "{ran} of 1,000 slots");
    assert!((200..=251).contains(&wakes), "{wakes} wake-ups for 1,000 slots");
}

#[test]
fn what_is_overdue_is_not_put_off() {
    let mut scheduler = Scheduler::new(1, 1);
    let plans = [plan(1, MINUTE, 1_000), plan(2, MINUTE, 1_000)];
    assert_eq!(scheduler.assign(&plans, START), []);
    let both_due = START.plus_us(MINUTE as i64);
    assert_eq!(runs(&scheduler.handle_now(both_due, 1)).len(), 1);
    // The other one waits for a place; as soon as there is one, it is its turn.
    scheduler.finished(0);
    let now = both_due.plus_us(1_001);
    assert_eq!(scheduler.wake_at(), Some(both_due));
    assert_eq!(runs(&scheduler.handle_now(now, 1_002)).len(), 1);
}

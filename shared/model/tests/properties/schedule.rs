//! The scheduler under stops, overload and clock steps: every slot has exactly one outcome, and nothing comes in bursts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use sitepulse_model::control::Weight;
use sitepulse_model::id::{CheckNo, Revision};
use sitepulse_model::record::MissedCause;
use sitepulse_model::schedule::{Action, Lattice, MissedSlots, Plan, Scheduler, resume};
use sitepulse_model::time::UtcMicros;

use crate::cases;

const MS: i64 = 1000;
const START: UtcMicros = UtcMicros(1_700_000_000_000_000);

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    vec((1..20_u64, 0..20_000_u64, 0..3_u32, 0..3_u64), 1..8).prop_map(|plans| {
        let plan = |(index, (seconds, offset_ms, weight, host)): (usize, (u64, u64, u32, u64))| {
            let interval_us = seconds * 1_000_000;
            let offset_us = offset_ms * 1000 % interval_us;
            Plan {
                check: CheckNo(index as u32),
                revision: Revision(1),
                lattice: Lattice { offset_us, interval_us },
                weight: Weight(weight * 1000),
                host,
            }
        };
        plans.into_iter().enumerate().map(plan).collect()
    })
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// Time passes as the scheduler asks for.
    Poll,
    /// Time passes without a call: the process was stopped, or busy.
    Pass(i64),
    /// The wall clock leaps.
    Leap(i64),
    /// Some runs end: the oldest, or the newest.
    Finish { runs: usize, newest: bool },
}

fn event(leap_from_ms: i64) -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Poll),
        2 => (1..3000_i64).prop_map(|ms| Event::Pass(ms * MS)),
        1 => (3000..90_000_i64).prop_map(|ms| Event::Pass(ms * MS)),
        1 => (leap_from_ms..100_000_i64).prop_map(|ms| Event::Leap(ms * MS)),
        4 => (1..4_usize, any::<bool>()).prop_map(|(runs, newest)| Event::Finish { runs, newest }),
    ]
}

struct World {
    scheduler: Scheduler,
    wall: UtcMicros,
    monotonic: u64,
    in_flight_max: usize,
    per_host_max: usize,
    /// The same by the plainest means.
    naive: Naive,
    /// Hosts of the runs under way, oldest first.
    running: Vec<u64>,
}

impl World {
    fn new(plans: &[Plan], in_flight_max: usize, per_host_max: usize) -> Self {
        let mut scheduler = Scheduler::new(in_flight_max, per_host_max);
        assert_eq!(scheduler.assign(plans, START), []);
        assert_eq!(scheduler.handle_now(START, 77), []);
        let naive = Naive::new(plans, in_flight_max, per_host_max);
        Self { scheduler, wall: START, monotonic: 77, in_flight_max, per_host_max, naive, running: Vec::new() }
    }

    fn finish(&mut self, newest: bool) {
        if self.running.is_empty() {
            return;
        }
        let at = if newest { self.running.len() - 1 } else { 0 };
        self.scheduler.finished(self.running.remove(at));
    }

    fn pass(&mut self, us: i64) {
        self.wall = self.wall.plus_us(us);
        self.monotonic += us as u64;
    }

    /// Lets an event happen and calls the scheduler, with checks that hold for every call.
    fn step(&mut self, event: Event) -> Result<Vec<Action>, TestCaseError> {
        match event {
            Event::Poll => {
                let wait = self.scheduler.poll_deadline_us().unwrap() - self.monotonic;
                self.pass(wait as i64);
            }
            Event::Pass(us) => self.pass(us),
            Event::Leap(us) => self.wall = self.wall.plus_us(us),
            Event::Finish { runs, newest } => (0..runs).for_each(|_| self.finish(newest)),
        }
        let actions = self.scheduler.handle_now(self.wall, self.monotonic);
        let expected = self.naive.handle_now(self.wall, self.monotonic, &self.running);
        let mut seen = actions.clone();
        seen.sort_by_key(Naive::order);
        prop_assert_eq!(seen, expected);
        let mut ran: Vec<CheckNo> = Vec::new();
        for action in &actions {
            if let Action::Run { check, host, .. } = action {
                prop_assert!(!ran.contains(check), "a burst of one check: {:?}", actions);
                ran.push(*check);
                self.running.push(*host);
            }
        }
        prop_assert_eq!(self.scheduler.in_flight(), self.running.len());
        prop_assert!(self.running.len() <= self.in_flight_max);
        for host in self.running.iter().filter(|host| **host != 0) {
            prop_assert!(self.running.iter().filter(|other| *other == host).count() <= self.per_host_max);
        }
        let waiting: Vec<_> =
            self.naive.checks.iter().filter_map(|check| Some((check.plan.check, check.waiting?.0))).collect();
        let mut told: Vec<_> = self.scheduler.waiting_slots().map(|(check, _, slot)| (check, slot)).collect();
        told.sort_unstable();
        prop_assert_eq!(&told, &waiting);
        // Whoever listens to the news alone knows of every slot that waits.
        for (check, _, slot) in self.scheduler.take_new_waiting() {
            prop_assert!(told.contains(&(check, slot)));
            self.naive.told.insert((check, slot));
        }
        prop_assert!(told.iter().all(|slot| self.naive.told.contains(slot)));
        prop_assert!(self.scheduler.poll_timeout().unwrap() > self.wall, "a busy loop");
        prop_assert_eq!(self.scheduler.handle_now(self.wall, self.monotonic), []);
        Ok(actions)
    }
}

/// A check of the [`Naive`] scheduler.
struct NaiveCheck {
    plan: Plan,
    next: UtcMicros,
    /// Slot, and until when.
    waiting: Option<(UtcMicros, u64)>,
}

/// The scheduler's promises without its indexes: every call looks at every check.
struct Naive {
    checks: Vec<NaiveCheck>,
    in_flight_max: usize,
    per_host_max: usize,
    clock: (UtcMicros, u64),
    told: BTreeSet<(CheckNo, UtcMicros)>,
}

impl Naive {
    fn new(plans: &[Plan], in_flight_max: usize, per_host_max: usize) -> Self {
        let check = |plan: &Plan| NaiveCheck { plan: *plan, next: plan.lattice.after(START), waiting: None };
        let checks = plans.iter().map(check).collect();
        Self { checks, in_flight_max, per_host_max, clock: (START, 77), told: BTreeSet::new() }
    }

    /// Missed slots by check and slot, then runs in their order; leaps first.
    fn order(action: &Action) -> (u8, u32, UtcMicros) {
        match action {
            Action::ClockStepped { .. } => (0, 0, START),
            Action::Missed(missed) => (1, missed.check.0, missed.first),
            Action::Run { .. } => (2, 0, START),
        }
    }

    fn handle_now(&mut self, wall: UtcMicros, monotonic: u64, running: &[u64]) -> Vec<Action> {
        let leap = wall.us_since(self.clock.0.plus_us((monotonic - self.clock.1) as i64));
        self.clock = (wall, monotonic);
        let stepped = leap.abs() > 2_000_000;
        let (mut steps, mut runs) = (Vec::new(), Vec::new());
        let mut missed: Vec<(CheckNo, UtcMicros, UtcMicros, MissedCause)> = Vec::new();
        if stepped {
            steps.push(Action::ClockStepped { by_us: leap });
        }
        let real = if stepped && leap > 0 { wall.plus_us(-leap) } else { wall };
        for NaiveCheck { plan, next, waiting } in &mut self.checks {
            let interval = plan.lattice.interval_us as i64;
            if stepped && leap < 0 && plan.lattice.interval_us < leap.unsigned_abs() {
                *next = plan.lattice.after(wall);
                missed.extend(waiting.take().map(|(slot, _)| (plan.check, slot, slot, MissedCause::ClockStep)));
            }
            let mut overloaded: Vec<UtcMicros> = Vec::new();
            let mut leapt: Vec<UtcMicros> = Vec::new();
            while *next <= wall {
                if *next <= real {
                    overloaded.extend(waiting.take().map(|(slot, _)| slot));
                    *waiting = Some((*next, monotonic + 5_000_000.min(plan.lattice.interval_us)));
                } else {
                    leapt.push(*next);
                }
                *next = next.plus_us(interval);
            }
            for (slots, cause) in [(overloaded, MissedCause::Overloaded), (leapt, MissedCause::ClockStep)] {
                for run in slots.chunk_by(|a, b| a.plus_us(interval) == *b) {
                    missed.push((plan.check, run[0], run[run.len() - 1], cause));
                }
            }
        }
        let mut running = running.to_vec();
        while running.len() < self.in_flight_max {
            let free =
                |host: u64| host == 0 || running.iter().filter(|other| **other == host).count() < self.per_host_max;
            let turn = self.checks.iter_mut().filter(|check| check.waiting.is_some() && free(check.plan.host));
            let Some(check) = turn.min_by_key(|check| {
                (Reverse(check.plan.weight), check.waiting.map(|(slot, _)| slot), check.plan.check)
            }) else {
                break;
            };
            let (slot, _) = check.waiting.take().unwrap();
            let Plan { check, revision, host, .. } = check.plan;
            running.push(host);
            runs.push(Action::Run { check, revision, slot, host });
        }
        for check in &mut self.checks {
            if let Some((slot, _)) = check.waiting.take_if(|(_, until)| *until <= monotonic) {
                missed.push((check.plan.check, slot, slot, MissedCause::Overloaded));
            }
        }
        let plan = |check: CheckNo| self.checks[check.0 as usize].plan;
        let missed = missed.into_iter().map(|(check, first, last, cause)| {
            let Plan { revision, lattice, .. } = plan(check);
            Action::Missed(MissedSlots { check, revision, first, last, count: lattice.count(first, last), cause })
        });
        let mut all: Vec<Action> = steps.into_iter().chain(missed).chain(runs).collect();
        all.sort_by_key(Self::order);
        all
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn every_slot_has_one_outcome(plans in plans(), cap in 1..5_usize, host_cap in 1..3_usize, events in vec(event(0), 0..60)) {
        let mut world = World::new(&plans, cap, host_cap);
        let mut outcomes: BTreeMap<(CheckNo, UtcMicros), Option<MissedCause>> = BTreeMap::new();
        for event in events {
            let leapt = matches!(event, Event::Leap(us) if us > 2_000_000);
            let before = world.wall;
            for action in world.step(event)? {
                match action {
                    Action::Run { check, slot, .. } => {
                        prop_assert!(slot <= world.wall);
                        prop_assert!(!leapt || slot <= before, "a run that the clock leapt over");
                        prop_assert_eq!(outcomes.insert((check, slot), None), None);
                    }
                    Action::Missed(missed) => {
                        let lattice = plans[missed.check.0 as usize].lattice;
                        prop_assert_eq!(missed.count, lattice.count(missed.first, missed.last));
                        prop_assert!(missed.cause != MissedCause::ClockStep || leapt);
                        for k in 0..missed.count {
                            let slot = missed.first.plus_us((k * lattice.interval_us) as i64);
                            prop_assert!(slot <= world.wall);
                            prop_assert_eq!(outcomes.insert((missed.check, slot), Some(missed.cause)), None);
                        }
                    }
                    Action::ClockStepped { .. } => prop_assert!(leapt),
                }
            }
        }
        for action in world.scheduler.assign(&[], world.wall) {
            if let Action::Missed(missed) = action {
                prop_assert_eq!(missed.count, 1);
                prop_assert_eq!(outcomes.insert((missed.check, missed.first), Some(missed.cause)), None);
            }
        }
        for plan in &plans {
            let mut slot = plan.lattice.after(START);
            while slot <= world.wall {
                prop_assert!(outcomes.remove(&(plan.check, slot)).is_some(), "{:?} at {:?} is lost", plan.check, slot);
                slot = slot.plus_us(plan.lattice.interval_us as i64);
            }
        }
        prop_assert!(outcomes.is_empty(), "slots that are none: {:?}", outcomes);
    }

    #[test]
    fn no_clock_step_stops_or_bursts(plans in plans(), events in vec(event(-100_000), 0..60)) {
        let mut world = World::new(&plans, 100, 100);
        for event in events {
            let actions = world.step(event)?;
            let steps = actions.iter().filter(|action| matches!(action, Action::ClockStepped { .. })).count();
            let runs = actions.iter().filter(|action| matches!(action, Action::Run { .. })).count();
            if let Event::Leap(us) = event {
                prop_assert_eq!(steps, usize::from(us.abs() > 2_000_000));
                prop_assert!(us.abs() <= 2_000_000 || runs == 0, "a burst at a clock step: {:?}", actions);
            }
            (0..runs).for_each(|_| world.finish(false));
        }
        // After a last leap back, over many intervals, the call that sees it and one interval of quiet: each check runs.
        let mut ran = vec![false; plans.len()];
        world.wall = world.wall.plus_us(-100_000_000);
        let end = world.monotonic + 10_000_000 + 20_000_000;
        while world.monotonic < end {
            for action in world.step(Event::Poll)? {
                if let Action::Run { check, .. } = action {
                    ran[check.0 as usize] = true;
                    world.finish(false);
                }
            }
        }
        prop_assert!(ran.iter().all(|ran| *ran));
    }

    #[test]
    fn a_restart_tells_exactly_the_unrecorded_slots(
        offset in 0..7_u64,
        watermark in 0..100_i64,
        length in -10..100_i64,
        recorded in vec(0..220_i64, 0..12),
    ) {
        let lattice = Lattice { offset_us: offset, interval_us: 7 };
        let plan = Plan { check: CheckNo(1), revision: Revision(1), lattice, weight: Weight::ONE, host: 0 };
        let now = watermark + length;
        let instants: Vec<UtcMicros> = recorded.iter().copied().map(UtcMicros).collect();
        let mut told = Vec::new();
        for range in resume(&plan, UtcMicros(watermark), &instants, UtcMicros(now)) {
            prop_assert_eq!(range.cause, MissedCause::AgentStopped);
            told.extend((0..range.count).map(|k| range.first.0 + (k * 7) as i64));
            prop_assert_eq!(told.last(), Some(&range.last.0));
        }
        let expected: Vec<i64> =
            (watermark..=now).filter(|at| at.rem_euclid(7) == offset as i64 && !recorded.contains(at)).collect();
        prop_assert_eq!(told, expected);
    }
}

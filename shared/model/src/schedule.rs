//! When a check runs on an agent: a machine over the slots of all checks, without a clock of its own.
//!
//! A check's slots form a [`Lattice`]: `offset + k x interval`, the offset a stable hash of check and agent, so that runs spread over
//! the interval and are the same after a restart. Every slot ends as exactly one action: a run, or a missed slot with its cause.
//!
//! - Behind (overload, the process was stopped): of the slots of one check that passed since the last call only the newest
//!   runs; the older ones are missed, cause `overloaded`. So there is never a burst of one check's runs.
//! - Full: at most `in_flight_max` runs at once, and `per_host_max` against one host. Due slots then wait, heaviest check first, for
//!   [`WAIT_US_MAX`] at most and never past the check's next slot; what did not get its turn is missed, cause `overloaded`. A full host
//!   holds up its own checks alone. The browser is such a host, with limits of its own ([`HostLimit`]): a page takes long.
//! - The wall clock leapt forward (more than [`STEP_US_MIN`] against the monotonic one): slots leapt over are missed, cause
//!   `clock_step`, the newest included, because they all would start at once. Slots that really passed before run as usual.
//! - It leapt back: a check whose interval is shorter than the leap goes on at the next slot after the new time (some slots then
//!   come a second time; the collector resolves that). Others keep their next slot, which is at most an interval
//!   and the leap away. Nothing runs at once.
//!
//! Every event costs O(log n) in the number of checks.
//!
//! A shell that sleeps until each slot wakes its processor for each, and that costs more than a cheap run. [`Scheduler::wake_at`] puts the
//! wake-ups on a lattice of [`WAKE_US`]: slots that are due within one step of it start together. Nothing is hidden by that: the slot stays
//! the instant it was due at, the run's start is read when it starts, and the lag between them is told. Nor is a phase measured wrongly:
//! each run reads the clock as it begins, and those that share a step are the ones that the offsets put there, a few at 1,000 runs a second,
//! so what a run waits for its neighbours' work is what it would wait for a busy processor anyway.

mod waiting;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use self::waiting::{Waiting, WaitingRoom};
use crate::check::AssignedCheck;
use crate::control::Weight;
use crate::id::{AgentName, CheckId, CheckNo, Revision, fnv1a, fnv1a_of};
use crate::record::MissedCause;
use crate::series::RANGE_SLOTS_MAX;
use crate::time::UtcMicros;

/// Longest wait of a due slot for a free place: 5 s.
pub const WAIT_US_MAX: u64 = 5_000_000;
/// Longest sleep between two calls, so that a step of the wall clock is seen soon: 10 s.
pub const POLL_US_MAX: u64 = 10_000_000;
/// Distance of two wake-ups for slots, in microseconds: see [`Scheduler::wake_at`]. Small beside the 50 ms that a start may lag.
pub const WAKE_US: i64 = 4_000;
/// The least difference of the two clocks that counts as a step of the wall clock: more than 2 s.
pub const STEP_US_MIN: i64 = 2_000_000;

/// The slots of one check on one agent: `offset + k x interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lattice {
    /// The first slot after the epoch, in microseconds; below the interval, whole milliseconds.
    pub offset_us: u64,
    /// Distance of two slots, in microseconds; whole milliseconds, not 0.
    pub interval_us: u64,
}

impl Lattice {
    /// The lattice of a check on an agent. Stable for ever: the same after every restart.
    pub fn new(check: &CheckId, agent: &AgentName, interval_us: u64) -> Self {
        let interval_ms = (interval_us / 1000).max(1);
        let offset_ms = fnv1a_of(&[check.as_str().as_bytes(), b"@", agent.as_str().as_bytes()]) % interval_ms;
        Self { offset_us: offset_ms * 1000, interval_us: interval_ms * 1000 }
    }

    /// The last slot at or before an instant.
    pub const fn at_or_before(self, at: UtcMicros) -> UtcMicros {
        let past = at.0.saturating_sub(self.offset_us as i64).rem_euclid(self.interval_us as i64);
        at.plus_us(-past)
    }

    /// The first slot at or after an instant.
    pub const fn at_or_after(self, at: UtcMicros) -> UtcMicros {
        let before = self.at_or_before(at);
        if before.0 == at.0 { before } else { before.plus_us(self.interval_us as i64) }
    }

    /// The first slot after an instant.
    pub const fn after(self, at: UtcMicros) -> UtcMicros {
        self.at_or_before(at).plus_us(self.interval_us as i64)
    }

    /// How many slots there are from the slot `first` to the slot `last`, both included; 0 when `last` is before `first`.
    pub const fn count(self, first: UtcMicros, last: UtcMicros) -> u64 {
        if last.0 < first.0 { 0 } else { last.0.abs_diff(first.0) / self.interval_us + 1 }
    }
}

/// What the scheduler needs of an assigned check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The check.
    pub check: CheckNo,
    /// The definition's revision.
    pub revision: Revision,
    /// Its slots on this agent.
    pub lattice: Lattice,
    /// The check's weight: the lowest is shed first.
    pub weight: Weight,
    /// Names the host that a run talks to: runs against one host are limited together. 0 is none, without limit.
    pub host: u64,
}

impl Plan {
    /// The plan of a check on an agent.
    pub fn of(assigned: &AssignedCheck, agent: &AgentName) -> Self {
        let definition = &assigned.definition;
        Self {
            check: assigned.number,
            revision: assigned.revision,
            lattice: Lattice::new(&definition.id, agent, definition.interval_us),
            weight: definition.weight,
            host: definition.host().map_or(0, |host| host_key(&host)),
        }
    }

    /// The missed slots `first` to `last`, in ranges that a record and a series take.
    fn missed(&self, first: UtcMicros, last: UtcMicros, cause: MissedCause) -> impl Iterator<Item = MissedSlots> {
        let plan = *self;
        let interval = plan.lattice.interval_us as i64;
        let mut from = first;
        core::iter::from_fn(move || {
            let count = plan.lattice.count(from, last).min(RANGE_SLOTS_MAX);
            let first = from;
            let last = first.plus_us((count.checked_sub(1)? as i64).saturating_mul(interval));
            from = last.plus_us(interval);
            Some(MissedSlots { check: plan.check, revision: plan.revision, first, last, count, cause })
        })
    }
}

/// Slots that did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissedSlots {
    /// The check.
    pub check: CheckNo,
    /// The definition's revision.
    pub revision: Revision,
    /// First slot.
    pub first: UtcMicros,
    /// Last slot.
    pub last: UtcMicros,
    /// How many, an interval apart.
    pub count: u64,
    /// Why.
    pub cause: MissedCause,
}

/// What the shell must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start a run now, and call [`Scheduler::finished`] when it ended. Where the check is suspended the shell records a
    /// missed slot instead, and calls `finished` at once.
    Run {
        /// The check.
        check: CheckNo,
        /// The definition's revision.
        revision: Revision,
        /// The slot it was due at.
        slot: UtcMicros,
        /// [`Plan::host`], for [`Scheduler::finished`].
        host: u64,
    },
    /// Record missed slots.
    Missed(MissedSlots),
    /// Tell people that the wall clock leapt.
    ClockStepped {
        /// By how much against the monotonic clock, in microseconds; negative is back.
        by_us: i64,
    },
}

#[derive(Debug, Clone)]
struct Entry {
    plan: Plan,
    /// The first slot that is not dealt with.
    next: UtcMicros,
    /// A due slot that waits for a free place.
    waiting: Option<Waiting>,
}

/// The limits of one host, where they are not those of all hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostLimit {
    /// Most runs at once; at least 1. Where runs take several places: most places.
    pub runs_max: usize,
    /// Longest wait of a due slot for a place, in microseconds; it ends with the check's next slot all the same.
    pub wait_us_max: u64,
}

/// How [`Plan::host`] names a host; never 0.
fn host_key(host: &str) -> u64 {
    fnv1a(host.as_bytes()).max(1)
}

/// The scheduler of one agent. Memory grows with the number of checks alone.
#[derive(Debug, Clone)]
pub struct Scheduler {
    in_flight_max: usize,
    in_flight: usize,
    entries: BTreeMap<CheckNo, Entry>,
    due: BTreeSet<(UtcMicros, CheckNo)>,
    room: WaitingRoom,
    shed: u64,
    /// Wall and monotonic clock at the last call.
    clock: Option<(UtcMicros, u64)>,
}

impl Scheduler {
    /// A scheduler without checks that lets at most `in_flight_max` runs (at least 1) go on at once, and at most `per_host_max` (at least
    /// 1) of them against one host.
    pub fn new(in_flight_max: usize, per_host_max: usize) -> Self {
        Self {
            in_flight_max: in_flight_max.max(1),
            in_flight: 0,
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            room: WaitingRoom::new(per_host_max),
            shed: 0,
            clock: None,
        }
    }

    /// Gives a host limits of its own. For before the first [`Scheduler::assign`].
    pub fn limit(&mut self, host: &str, limit: HostLimit) {
        self.room.limit(host_key(host), limit);
    }

    /// The runs of `host` take so many places each of `of`, a host with a limit: one queue for both. A run that needs more places than there are runs alone.
    pub fn share(&mut self, host: &str, of: &str, places: usize) {
        self.room.share(host_key(host), host_key(of), places);
    }

    /// Replaces the set of checks. A new check, or one with another lattice, starts at its first slot after `wall_now`
    /// ([`resume`] speaks for slots up to then); a check that keeps its lattice keeps its place. Slots that were due and had not
    /// run when their check or lattice went are missed.
    #[must_use]
    pub fn assign(&mut self, plans: &[Plan], wall_now: UtcMicros) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut old = core::mem::take(&mut self.entries);
        self.room.clear();
        let entry = |plan: &Plan| {
            let entry = match old.remove(&plan.check) {
                Some(entry) if entry.plan.lattice == plan.lattice => Entry { plan: *plan, ..entry },
                gone => {
                    actions.extend(gone.iter().flat_map(|entry| entry.abandon(wall_now)));
                    Entry { plan: *plan, next: plan.lattice.after(wall_now), waiting: None }
                }
            };
            (plan.check, entry)
        };
        // At once: a map that takes its entries one by one in order keeps half of its room empty, and this one stays as it is.
        self.entries = plans.iter().map(entry).collect();
        actions.extend(old.values().flat_map(|entry| entry.abandon(wall_now)));
        self.due = self.entries.iter().map(|(check, entry)| (entry.next, *check)).collect();
        for entry in self.entries.values() {
            if let Some(waiting) = entry.waiting {
                self.room.rejoin(&entry.plan, waiting);
            }
        }
        actions
    }

    /// Deals with everything that is due. Call it when [`Scheduler::poll_timeout`] says, and after [`Scheduler::finished`].
    #[must_use]
    pub fn handle_now(&mut self, wall_now: UtcMicros, monotonic_now_us: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        let leap = self.clock.map_or(0, |(wall, monotonic)| {
            let passed = i64::try_from(monotonic_now_us.saturating_sub(monotonic)).unwrap_or(i64::MAX);
            wall_now.us_since(wall.plus_us(passed))
        });
        self.clock = Some((wall_now, monotonic_now_us));
        // Slots after this instant, up to now, were leapt over.
        let mut passed_to = wall_now;
        if leap.saturating_abs() > STEP_US_MIN {
            actions.push(Action::ClockStepped { by_us: leap });
            if leap > 0 {
                passed_to = wall_now.plus_us(-leap);
            } else {
                self.step_back(leap.unsigned_abs(), wall_now, &mut actions);
            }
        }
        while let Some((_, check)) = self.due.first().copied().filter(|(due, _)| *due <= wall_now) {
            self.due.pop_first();
            self.pass(check, passed_to, wall_now, monotonic_now_us, &mut actions);
        }
        while self.in_flight < self.in_flight_max
            && let Some((plan, waiting)) = self.room.next().and_then(|check| self.no_longer_waits(check))
        {
            self.room.start(&plan, waiting);
            self.in_flight += 1;
            let Plan { check, revision, host, .. } = plan;
            actions.push(Action::Run { check, revision, slot: waiting.slot, host });
        }
        self.shed(monotonic_now_us, &mut actions);
        actions
    }

    /// Goes on after the wall clock went back by `by_us`.
    fn step_back(&mut self, by_us: u64, wall_now: UtcMicros, actions: &mut Vec<Action>) {
        for (check, entry) in &mut self.entries {
            if entry.plan.lattice.interval_us >= by_us {
                continue;
            }
            self.due.remove(&(entry.next, *check));
            entry.next = entry.plan.lattice.after(wall_now);
            self.due.insert((entry.next, *check));
            if let Some(waiting) = entry.waiting.take() {
                self.room.leave(&entry.plan, waiting);
                actions
                    .extend(entry.plan.missed(waiting.slot, waiting.slot, MissedCause::ClockStep).map(Action::Missed));
            }
        }
    }

    /// Deals with one check's slots up to `wall_now`, of which those after `passed_to` were leapt over.
    fn pass(
        &mut self,
        check: CheckNo,
        passed_to: UtcMicros,
        wall_now: UtcMicros,
        monotonic_now_us: u64,
        actions: &mut Vec<Action>,
    ) {
        let Some(entry) = self.entries.get_mut(&check) else { return };
        let plan = entry.plan;
        let interval = plan.lattice.interval_us as i64;
        let newest = plan.lattice.at_or_before(wall_now);
        let passed = plan.lattice.at_or_before(passed_to);
        let mut leapt_from = entry.next;
        if entry.next <= passed {
            let mut older_from = entry.next;
            if let Some(waiting) = entry.waiting.take() {
                self.room.leave(&plan, waiting);
                self.shed += 1;
                if waiting.slot.plus_us(interval) == entry.next {
                    older_from = waiting.slot;
                } else {
                    actions
                        .extend(plan.missed(waiting.slot, waiting.slot, MissedCause::Overloaded).map(Action::Missed));
                }
            }
            actions.extend(
                plan.missed(older_from, passed.plus_us(-interval), MissedCause::Overloaded).map(Action::Missed),
            );
            let until_us =
                monotonic_now_us.saturating_add(self.room.wait_us_max(plan.host).min(plan.lattice.interval_us));
            let waiting = Waiting { slot: passed, until_us };
            entry.waiting = Some(waiting);
            self.room.join(&plan, waiting);
            leapt_from = passed.plus_us(interval);
        }
        actions.extend(plan.missed(leapt_from, newest, MissedCause::ClockStep).map(Action::Missed));
        entry.next = newest.plus_us(interval);
        self.due.insert((entry.next, check));
    }

    /// Gives up slots that have waited long enough.
    fn shed(&mut self, monotonic_now_us: u64, actions: &mut Vec<Action>) {
        while let Some((plan, waiting)) =
            self.room.overdue(monotonic_now_us).and_then(|check| self.no_longer_waits(check))
        {
            self.room.leave(&plan, waiting);
            self.shed += 1;
            actions.extend(plan.missed(waiting.slot, waiting.slot, MissedCause::Overloaded).map(Action::Missed));
        }
    }

    /// Takes the waiting slot of a check from its entry; the room is to be told.
    fn no_longer_waits(&mut self, check: CheckNo) -> Option<(Plan, Waiting)> {
        let entry = self.entries.get_mut(&check)?;
        Some((entry.plan, entry.waiting.take()?))
    }

    /// A run against this host ([`Action::Run`]) ended: its place is free. Call [`Scheduler::handle_now`] next if slots wait.
    pub fn finished(&mut self, host: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.room.finished(host);
    }

    /// When [`Scheduler::handle_now`] must be called next, on the wall clock as it was at the last call; `None` without checks. In
    /// the past means now.
    pub fn poll_timeout(&self) -> Option<UtcMicros> {
        let due = self.due.first().map(|(due, _)| *due)?;
        let (Some((wall, monotonic)), Some(until)) = (self.clock, self.room.deadline_us()) else {
            return Some(due);
        };
        if self.in_flight < self.in_flight_max && self.room.next().is_some() {
            return Some(wall);
        }
        let wait = until.saturating_sub(monotonic).min(WAIT_US_MAX);
        Some(due.min(wall.plus_us(wait as i64)))
    }

    /// When a shell that serves many checks should call [`Scheduler::handle_now`]: at [`Scheduler::poll_timeout`], or less than
    /// [`WAKE_US`] after it, together with the slots in between. What is overdue is not put off.
    pub fn wake_at(&self) -> Option<UtcMicros> {
        let at = self.poll_timeout()?;
        if self.clock.is_some_and(|(wall, _)| at <= wall) {
            return Some(at);
        }
        Some(at.plus_us(at.0.saturating_neg().rem_euclid(WAKE_US)))
    }

    /// As [`Scheduler::poll_timeout`], on the monotonic clock: what a shell should sleep until, because a wall clock that steps
    /// during the sleep does not move it. At most [`POLL_US_MAX`] after the last call, so that a step is seen soon.
    pub fn poll_deadline_us(&self) -> Option<u64> {
        let due = self.poll_timeout()?;
        let (wall, monotonic) = self.clock?;
        let wait = u64::try_from(due.us_since(wall)).unwrap_or(0);
        Some(monotonic.saturating_add(wait.min(POLL_US_MAX)))
    }

    /// Runs in flight.
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Due slots that wait for a free place.
    pub fn waiting(&self) -> usize {
        self.room.len()
    }

    /// Slots given up for want of a place, since the start.
    pub const fn shed_slots(&self) -> u64 {
        self.shed
    }

    /// Every slot before this was handed out, or waits ([`Scheduler::waiting_slots`]); `None` without checks.
    pub fn earliest_next(&self) -> Option<UtcMicros> {
        self.due.first().map(|(slot, _)| *slot)
    }

    /// The slots that are due and wait for a free place: at most one of each check, those that give up first first.
    pub fn waiting_slots(&self) -> impl Iterator<Item = (CheckNo, Revision, UtcMicros)> {
        self.room.checks().filter_map(|check| {
            let entry = self.entries.get(&check)?;
            Some((check, entry.plan.revision, entry.waiting?.slot))
        })
    }

    /// Those of [`Scheduler::waiting_slots`] that began to wait since the last call.
    pub fn take_new_waiting(&mut self) -> impl Iterator<Item = (CheckNo, Revision, UtcMicros)> {
        let new = self.room.take_new();
        new.into_iter().filter_map(|(check, slot)| {
            let entry = self.entries.get(&check)?;
            entry.waiting.filter(|waiting| waiting.slot == slot)?;
            Some((check, entry.plan.revision, slot))
        })
    }

    /// The next slot of a check.
    pub fn next_slot(&self, check: CheckNo) -> Option<UtcMicros> {
        self.entries.get(&check).map(|entry| entry.next)
    }
}

impl Entry {
    /// The slots that were due by `wall_now` and will not run any more.
    fn abandon(&self, wall_now: UtcMicros) -> impl Iterator<Item = Action> {
        let waiting = self.waiting.map(|waiting| waiting.slot);
        let waiting = waiting.into_iter().flat_map(|slot| self.plan.missed(slot, slot, MissedCause::Overloaded));
        let due = self.plan.missed(self.next, self.plan.lattice.at_or_before(wall_now), MissedCause::Overloaded);
        waiting.chain(due).map(Action::Missed).collect::<Vec<_>>().into_iter()
    }
}

/// After a restart: the slots of `plan` from `watermark` to `now`, both included, that are not `recorded`, as missed because the
/// agent was stopped. `recorded` may be in any order and hold other instants. Nothing when the clock is behind the watermark.
pub fn resume(plan: &Plan, watermark: UtcMicros, recorded: &[UtcMicros], now: UtcMicros) -> Vec<MissedSlots> {
    let lattice = plan.lattice;
    let (mut from, last) = (lattice.at_or_after(watermark), lattice.at_or_before(now));
    let known: BTreeSet<UtcMicros> = recorded
        .iter()
        .copied()
        .filter(|slot| (from..=last.max(from)).contains(slot) && lattice.at_or_before(*slot) == *slot)
        .collect();
    let interval = lattice.interval_us as i64;
    let mut missed = Vec::new();
    for slot in known {
        missed.extend(plan.missed(from, slot.plus_us(-interval), MissedCause::AgentStopped));
        from = slot.plus_us(interval);
    }
    missed.extend(plan.missed(from, last, MissedCause::AgentStopped));
    missed
}

#[cfg(test)]
mod tests;

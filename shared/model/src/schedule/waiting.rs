//! The due slots that wait for a place: in which order they get one, and which have waited long enough.
//!
//! There is a queue per host, heaviest check first. Only the first of each queue whose host has a place left competes for the agent's
//! places: a slow host holds up nobody else's checks, and no event looks at more than the queues it changes (O(log n)).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::{HostLimit, Plan, WAIT_US_MAX};
use crate::control::Weight;
use crate::id::CheckNo;
use crate::time::UtcMicros;

/// A waiting slot, in the order of turns.
type Turn = (Reverse<Weight>, UtcMicros, CheckNo);

/// A slot that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) slot: UtcMicros,
    /// On the monotonic clock.
    pub(super) until_us: u64,
}

#[derive(Debug, Clone, Default)]
struct Host {
    /// Places taken.
    running: usize,
    /// With the places that each takes.
    queue: BTreeMap<Turn, usize>,
}

/// Who waits, and who runs on each host.
#[derive(Debug, Clone)]
pub(super) struct WaitingRoom {
    per_host_max: usize,
    /// Hosts with a limit of their own.
    limits: BTreeMap<u64, HostLimit>,
    /// Hosts whose runs take places of another host, and how many each.
    shares: BTreeMap<u64, (u64, usize)>,
    /// Hosts with a run or a waiting slot. [`NO_HOST`] is without limit.
    hosts: BTreeMap<u64, Host>,
    /// The first of each host that has a place left.
    heads: BTreeSet<Turn>,
    deadlines: BTreeSet<(u64, CheckNo)>,
    /// Slots that began to wait since [`WaitingRoom::take_new`]; some may have left again.
    new: Vec<(CheckNo, UtcMicros)>,
}

/// The host of a check that dials none.
const NO_HOST: u64 = 0;

fn turn(plan: &Plan, waiting: Waiting) -> Turn {
    (Reverse(plan.weight), waiting.slot, plan.check)
}

impl Host {
    fn head(&self, running_max: usize) -> Option<Turn> {
        let (turn, places) = self.queue.first_key_value()?;
        // One that waits for more places than are free holds up those behind it: else it would wait for ever.
        (self.running == 0 || self.running + places <= running_max).then_some(*turn)
    }
}

impl WaitingRoom {
    pub(super) fn new(per_host_max: usize) -> Self {
        Self {
            per_host_max: per_host_max.max(1),
            limits: BTreeMap::new(),
            shares: BTreeMap::new(),
            hosts: BTreeMap::new(),
            heads: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            new: Vec::new(),
        }
    }

    /// A host has a limit of its own from now on. For before the first slot waits.
    pub(super) fn limit(&mut self, host: u64, limit: HostLimit) {
        self.limits.insert(host, limit);
    }

    /// A host's runs take places of another one from now on. For before the first slot waits.
    pub(super) fn share(&mut self, host: u64, of: u64, places: usize) {
        self.shares.insert(host, (of, places.max(1)));
    }

    /// Whose places a host's runs take, and how many each.
    fn places(&self, host: u64) -> (u64, usize) {
        self.shares.get(&host).copied().unwrap_or((host, 1))
    }

    /// How long a slot may wait for a place of this host.
    pub(super) fn wait_us_max(&self, host: u64) -> u64 {
        let (host, _) = self.places(host);
        self.limits.get(&host).map_or(WAIT_US_MAX, |limit| limit.wait_us_max)
    }

    fn running_max(&self, host: u64) -> usize {
        match self.limits.get(&host) {
            Some(limit) => limit.runs_max.max(1),
            None if host == NO_HOST => usize::MAX,
            None => self.per_host_max,
        }
    }

    /// Changes a host, and who of it competes.
    fn change(&mut self, host: u64, change: impl FnOnce(&mut Host, usize)) {
        let (key, places) = self.places(host);
        let running_max = self.running_max(key);
        let host = self.hosts.entry(key).or_default();
        let before = host.head(running_max);
        change(host, places);
        let after = host.head(running_max);
        if host.running == 0 && host.queue.is_empty() {
            self.hosts.remove(&key);
        }
        if before != after {
            if let Some(before) = before {
                self.heads.remove(&before);
            }
            self.heads.extend(after);
        }
    }

    /// A slot begins to wait.
    pub(super) fn join(&mut self, plan: &Plan, waiting: Waiting) {
        self.rejoin(plan, waiting);
        self.new.push((plan.check, waiting.slot));
    }

    /// A slot goes on waiting after [`WaitingRoom::clear`].
    pub(super) fn rejoin(&mut self, plan: &Plan, waiting: Waiting) {
        self.change(plan.host, |host, places| {
            host.queue.insert(turn(plan, waiting), places);
        });
        self.deadlines.insert((waiting.until_us, plan.check));
    }

    /// A slot waits no more, and does not run.
    pub(super) fn leave(&mut self, plan: &Plan, waiting: Waiting) {
        self.change(plan.host, |host, _| {
            host.queue.remove(&turn(plan, waiting));
        });
        self.deadlines.remove(&(waiting.until_us, plan.check));
    }

    /// A slot's turn has come: it runs.
    pub(super) fn start(&mut self, plan: &Plan, waiting: Waiting) {
        self.change(plan.host, |host, places| {
            host.queue.remove(&turn(plan, waiting));
            host.running += places;
        });
        self.deadlines.remove(&(waiting.until_us, plan.check));
    }

    /// A run on this host ended.
    pub(super) fn finished(&mut self, host: u64) {
        self.change(host, |host, places| host.running = host.running.saturating_sub(places));
    }

    /// Nobody waits any more. The runs go on.
    pub(super) fn clear(&mut self) {
        self.hosts.retain(|_, host| {
            host.queue.clear();
            host.running > 0
        });
        self.heads.clear();
        self.deadlines.clear();
    }

    /// Whose turn it is, if the agent has a place.
    pub(super) fn next(&self) -> Option<CheckNo> {
        self.heads.first().map(|(_, _, check)| *check)
    }

    /// The check whose slot waits longest against its deadline, if that has passed.
    pub(super) fn overdue(&self, monotonic_now_us: u64) -> Option<CheckNo> {
        self.deadlines.first().filter(|(until_us, _)| *until_us <= monotonic_now_us).map(|(_, check)| *check)
    }

    /// When the next slot has waited long enough, on the monotonic clock.
    pub(super) fn deadline_us(&self) -> Option<u64> {
        self.deadlines.first().map(|(until_us, _)| *until_us)
    }

    pub(super) fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Checks with a waiting slot, those that give up first first.
    pub(super) fn checks(&self) -> impl Iterator<Item = CheckNo> {
        self.deadlines.iter().map(|(_, check)| *check)
    }

    /// What [`WaitingRoom::join`] was told since the last call.
    pub(super) fn take_new(&mut self) -> Vec<(CheckNo, UtcMicros)> {
        core::mem::take(&mut self.new)
    }
}

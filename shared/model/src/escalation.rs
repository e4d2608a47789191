//! Escalation: whom to tell of an incident, in which order, when.
//!
//! A policy is an ordered list of levels. A level's `after` counts from the start of the round, which is when the incident opened; rounds are repeated.
//! [`Ladder`] is where one incident stands on it. Which policy applies is asked at each step, so a policy that is mended mid-incident is used as mended.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::coded::{Fault, Reference, Referent};
use crate::duration;
use crate::id::slug;
use crate::incident::Severity;
use crate::time::UtcMicros;

/// Most levels of a policy.
pub const LEVELS_MAX: usize = 20;
/// Most targets of a level.
pub const TARGETS_MAX: usize = 50;
/// Most repetitions.
pub const REPEAT_MAX: u32 = 100;
/// The longest delay, in microseconds: 7 d.
const AFTER_US_MAX: u64 = 7 * 86_400_000_000;
/// The shortest pause of an acknowledgement, in microseconds: 1 min.
const PAUSE_US_MIN: u64 = 60_000_000;
/// How long an acknowledgement pauses the ladder where nothing is said, in microseconds: 60 min.
pub const ACK_PAUSE_US: i64 = 3_600_000_000;
/// The shortest time between the last level of a round and the first of the next, in microseconds: 5 min.
const ROUND_GAP_US_MIN: i64 = 300_000_000;

/// An escalation policy, as it is written as code: an `[[escalation]]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EscalationPolicy {
    /// Its id: a slug.
    pub id: String,
    /// Whether it is that of all incidents that name none. At most one policy is.
    #[serde(default)]
    pub default: bool,
    /// Whom to tell, in order.
    pub levels: Vec<Level>,
    /// How often the levels are gone through again after the first time.
    #[serde(default)]
    pub repeat: u32,
    /// How long an acknowledgement keeps the ladder still, as a duration.
    #[serde(default = "EscalationPolicy::ack_pause_default")]
    pub ack_pause: String,
}

/// One level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// How long after the start of the round, as a duration; greater than that of the level before.
    pub after: String,
    /// Channels by id, `user:ID`, `oncall:SCHEDULE`.
    pub notify: Vec<String>,
    /// Incidents less severe than this pass the level by; one that becomes so severe later in the round is told of then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Severity>,
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A channel.
    Channel(String),
    /// A user, by the channels that are the user's.
    User(String),
    /// Whoever is on call by a schedule at the instant of the step.
    OnCall(String),
}

impl Target {
    /// Reads `ops-hook`, `user:ana`, `oncall:primary`.
    ///
    /// # Errors
    /// When the name is no slug.
    pub fn parse(text: &str) -> Result<Self, String> {
        let named = |what, name: &str| slug(what, name).map_err(|error| error.to_string());
        match text.split_once(':') {
            None => named("channel", text).map(Self::Channel),
            Some(("user", name)) => named("user", name).map(Self::User),
            Some(("oncall", name)) => named("schedule", name).map(Self::OnCall),
            Some((other, _)) => Err(alloc::format!(
                "{other:?} is no kind of target: write a channel's id, \"user:ID\" or \"oncall:SCHEDULE\""
            )),
        }
    }
}

impl EscalationPolicy {
    fn ack_pause_default() -> String {
        String::from("60m")
    }

    /// How long after the start of a round a level is due, in microseconds; `None` past the last one.
    pub fn after_us(&self, level: usize) -> Option<i64> {
        let level = self.levels.get(level)?;
        Some(duration::parse(&level.after).ok()?.cast_signed())
    }

    /// Whether an incident is severe enough for a level that there is.
    fn suits(&self, level: u32, severity: Severity) -> bool {
        let at_least = self.levels.get(level as usize).and_then(|level| level.at_least);
        at_least.is_none_or(|least| severity >= least)
    }

    /// How long an acknowledgement pauses the ladder, in microseconds.
    pub fn ack_pause_us(&self) -> i64 {
        duration::parse(&self.ack_pause).map_or(ACK_PAUSE_US, u64::cast_signed)
    }

    /// How long a round lasts, in microseconds: up to the last level, and then as long as between the last two, 5 min at least.
    pub fn round_us(&self) -> i64 {
        let last = self.levels.len().checked_sub(1).and_then(|last| self.after_us(last)).unwrap_or(0);
        let before = self.levels.len().checked_sub(2).and_then(|before| self.after_us(before)).unwrap_or(last);
        last + (last - before).max(ROUND_GAP_US_MIN)
    }

    /// What is wrong with it by itself, but for its id.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.levels.is_empty() || self.levels.len() > LEVELS_MAX {
            let message = alloc::format!(
                "{} levels: write 1 to {LEVELS_MAX}, as in levels = [{{ after = \"0s\", notify = [\"ops\"] }}]",
                self.levels.len()
            );
            faults.push(Fault::new("levels", message));
        }
        let mut before = None;
        for (at, level) in self.levels.iter().enumerate().take(LEVELS_MAX) {
            match duration::parse(&level.after) {
                Err(error) => faults.push(Fault::new(alloc::format!("levels[{at}].after"), error.to_string())),
                Ok(us) if us > AFTER_US_MAX => {
                    faults.push(Fault::new(alloc::format!("levels[{at}].after"), "at most 7d are allowed"));
                }
                Ok(us) => {
                    if before.is_some_and(|before| us <= before) {
                        let message =
                            "it must be later than the level before: `after` counts from when the incident opened";
                        faults.push(Fault::new(alloc::format!("levels[{at}].after"), message));
                    }
                    before = Some(us);
                }
            }
            if level.notify.is_empty() || level.notify.len() > TARGETS_MAX {
                let message = alloc::format!("{} targets: name 1 to {TARGETS_MAX}", level.notify.len());
                faults.push(Fault::new(alloc::format!("levels[{at}].notify"), message));
            }
            for (nth, target) in level.notify.iter().enumerate() {
                if let Err(message) = Target::parse(target) {
                    faults.push(Fault::new(alloc::format!("levels[{at}].notify[{nth}]"), message));
                }
            }
        }
        if self.repeat > REPEAT_MAX {
            faults.push(Fault::new("repeat", alloc::format!("at most {REPEAT_MAX} repetitions are allowed")));
        }
        match duration::parse(&self.ack_pause) {
            Err(error) => faults.push(Fault::new("ack_pause", error.to_string())),
            Ok(us) if !(PAUSE_US_MIN..=AFTER_US_MAX).contains(&us) => {
                faults.push(Fault::new("ack_pause", "write 1m to 7d"));
            }
            Ok(_) => {}
        }
        faults
    }

    /// The channels, users and schedules it names.
    pub fn references(&self) -> Vec<Reference> {
        let mut references = Vec::new();
        for (at, level) in self.levels.iter().enumerate() {
            for (nth, target) in level.notify.iter().enumerate() {
                let field = alloc::format!("levels[{at}].notify[{nth}]");
                let (to, name) = match Target::parse(target) {
                    Ok(Target::Channel(name)) => (Referent::Channel, name),
                    Ok(Target::User(name)) => (Referent::User, name),
                    Ok(Target::OnCall(name)) => (Referent::Schedule, name),
                    Err(_) => continue,
                };
                references.push(Reference { field, to, name });
            }
        }
        references
    }
}

/// Where an incident stands on its ladder: all of it is in its row, so a restart forgets no timer.
///
/// It holds no instant to come, only past ones: what is due follows from them and from the policy that is in force when it is asked. A policy that is mended
/// mid-incident (levels more or fewer, other delays, more rounds after the last one) is used as mended, level by level as they are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ladder {
    /// When the round began, moved on by what it was held, paused or late. Never later than now.
    pub base: UtcMicros,
    /// Rounds that are over.
    pub round: u32,
    /// The level of the round that is due next, from 0; as many as there are levels when the round is over.
    pub next: u32,
    /// The furthest step that was told: its round and level.
    pub reached: Option<(u32, u32)>,
    /// The levels of the round that it passed by, because it was not severe enough for them: a bit each.
    pub passed: u32,
}

/// A step that is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upcoming {
    /// When.
    pub due: UtcMicros,
    /// The level, from 0.
    pub level: u32,
    /// The round, from 0.
    pub round: u32,
}

const fn bit(level: u32) -> u32 {
    match 1_u32.checked_shl(level) {
        Some(bit) => bit,
        None => 0,
    }
}

impl Ladder {
    /// A ladder that starts now.
    pub const fn starting(now: UtcMicros) -> Self {
        Self { base: now, round: 0, next: 0, reached: None, passed: 0 }
    }

    /// The next step by a policy; `None` when every round is over.
    fn upcoming(&self, policy: &EscalationPolicy) -> Option<Upcoming> {
        if let Some(after) = policy.after_us(self.next as usize) {
            return Some(Upcoming { due: self.base.plus_us(after), level: self.next, round: self.round });
        }
        let after = policy.after_us(0).filter(|_| self.round < policy.repeat)?;
        Some(Upcoming { due: self.base.plus_us(policy.round_us()).plus_us(after), level: 0, round: self.round + 1 })
    }

    /// Levels that it passed by and that the incident is severe enough for by now.
    fn caught_up(&self, policy: &EscalationPolicy, severity: Severity) -> impl Iterator<Item = u32> {
        let (passed, levels) = (self.passed, policy.levels.len() as u32);
        (0..self.next.min(levels)).filter(move |level| passed & bit(*level) != 0 && policy.suits(*level, severity))
    }

    /// When there is something to do for an incident that is so severe; `None`: every round is over.
    pub fn due(&self, policy: &EscalationPolicy, severity: Severity) -> Option<UtcMicros> {
        if self.caught_up(policy, severity).next().is_some() {
            return Some(self.base);
        }
        self.upcoming(policy).map(|step| step.due)
    }

    /// Does what is due by now, and hands back the levels to tell, each with its round.
    ///
    /// - A level that the incident is not severe enough for is passed by. When it becomes severe enough within the round, the level is told then.
    /// - Every step that is overdue goes out (the collector was away, a policy came late, the clock was set forward): whoever should have been told is told now, not
    ///   after yet another delay. A level that is overdue in several rounds is told once, for the newest of them.
    pub fn climb(&mut self, policy: &EscalationPolicy, severity: Severity, now: UtcMicros) -> Vec<(u32, u32)> {
        let mut told: Vec<(u32, u32)> = self.caught_up(policy, severity).map(|level| (level, self.round)).collect();
        for (level, _) in &told {
            self.passed &= !bit(*level);
            self.reached = self.reached.max(Some((self.round, *level)));
        }
        while let Some(step) = self.upcoming(policy).filter(|step| step.due <= now) {
            if step.round > self.round {
                self.base = self.base.plus_us(policy.round_us());
                (self.round, self.passed) = (step.round, 0);
            }
            self.next = step.level + 1;
            if !policy.suits(step.level, severity) {
                self.passed |= bit(step.level);
                continue;
            }
            self.reached = self.reached.max(Some((step.round, step.level)));
            told.retain(|(level, _)| *level != step.level);
            told.push((step.level, step.round));
        }
        told
    }

    /// What was told reached nobody: the next level of the round is due at once, those after it as far behind it as ever. Nothing more is due in the last level of
    /// a round: the next round comes in its time.
    pub fn hurry(&mut self, policy: &EscalationPolicy, now: UtcMicros) {
        if let Some(after) = policy.after_us(self.next as usize) {
            self.base = self.base.min(now.plus_us(-after));
        }
    }

    /// Goes on at `now` from the furthest level that was told: that one is due at once, later ones as far behind it as ever. With none told it is the first.
    pub fn resume(&mut self, policy: &EscalationPolicy, severity: Severity, now: UtcMicros) {
        let (round, level) = self.reached.unwrap_or((0, 0));
        self.round = round;
        self.next = level.min((policy.levels.len() as u32).saturating_sub(1));
        self.passed = (0..self.next).filter(|level| !policy.suits(*level, severity)).map(bit).sum();
        self.base = now.plus_us(-policy.after_us(self.next as usize).unwrap_or(0));
    }
}

//! The life of one incident: a machine that is handed what the present says and what people do, and hands back what to write down and whom to tell.
//!
//! - A suspicion that is confirmed opens; one that is not is gone without a trace.
//! - Open, it climbs its ladder ([`Ladder`]) until somebody acknowledges or it resolves. What holds it (maintenance, a silence, a parent that is down) stops the
//!   ladder's clock: what is still due when the hold ends goes out then, and later levels keep their distance.
//! - An acknowledgement pauses the ladder for the `ack_pause` of the policy that was in force then; after it the incident is open again, and the furthest level
//!   that was told is due again. A step that is due at the very instant of an acknowledgement does not go out.
//! - It resolves when the evidence turns fine, and opens again when that does not last ([`Rules::reopen_window_us`]). Then the ladder starts anew, and an
//!   acknowledgement of before is void.
//! - More than [`FLAPS_MAX`] edges (the evidence turns bad, or fine) within [`FLAP_WINDOW_US`] make it flapping: it stays open over later edges, in silence, until
//!   they get fewer. Its ladder goes on: it is open. Edges count beyond the end of an incident, for the next one.
//! - Who resolves it by hand while the evidence is bad is believed until the evidence was fine once; who opens it again while the evidence is fine, until it was
//!   bad once.
//! - Who is told that it is taken or over was told that it is open: where nobody was (all of it happened within a hold), nobody is.
//! - Its severity is the most it ever was. When it rises, the levels that it passed by are told.
//!
//! Everything is a function of the calls in their order. All timers count from instants in the past. A clock that is set back lets them count from there: nothing
//! fires twice, and nothing waits longer than it may. One that is set forward fires what is due then, each level once.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Condition, HoldReason, IncidentId, IncidentKind, IncidentState, NoticeEvent, Severity, Subject};
use crate::escalation::{ACK_PAUSE_US, EscalationPolicy, Ladder};
use crate::time::UtcMicros;

/// Edges are counted over this long, in microseconds: 30 min.
pub const FLAP_WINDOW_US: i64 = 30 * 60 * 1_000_000;
/// More edges than this within the window are flapping.
pub const FLAPS_MAX: usize = 4;

/// Whether an edge still counts at an instant: one that is [`FLAP_WINDOW_US`] old to the microsecond does not, as an incident settles then.
pub const fn edge_counts(edge: UtcMicros, now: UtcMicros) -> bool {
    now.us_since(edge) < FLAP_WINDOW_US
}
/// Within this long a resolved incident opens again, where nothing else is said, in microseconds: 5 min.
pub const REOPEN_WINDOW_US: i64 = 5 * 60 * 1_000_000;

/// What an incident is judged by at a call.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Within this long after it resolved it opens again instead of a new one, in microseconds.
    pub reopen_window_us: i64,
    /// Whom to tell; `None`: nobody.
    pub policy: Option<&'a EscalationPolicy>,
}

/// Something that happens to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// The present says this.
    Condition(Condition),
    /// Its pages wait for this, or for nothing. It sends nothing by itself: what the present says goes with it, and may be that all is fine. A call for that, or
    /// for [`Input::Time`], follows.
    Hold(Option<HoldReason>),
    /// Somebody takes it.
    Acknowledge {
        /// Who.
        by: &'a str,
    },
    /// Somebody says it is over.
    Resolve {
        /// Who.
        by: &'a str,
    },
    /// Somebody opens it again.
    Reopen {
        /// Who.
        by: &'a str,
    },
    /// Time has passed.
    Time,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A row of its history.
    Entry(Entry),
    /// A step of the ladder: the targets of a level are told.
    Page {
        /// Counts the incident's messages from 1: part of their keys.
        step: u32,
        /// What for.
        event: NoticeEvent,
        /// The level, from 0.
        level: u32,
        /// The round, from 0.
        round: u32,
    },
    /// Whoever was told since it opened, or opened again, is told this.
    Tell {
        /// As in a page.
        step: u32,
        /// What.
        event: NoticeEvent,
    },
    /// It was a suspicion and is none any more.
    Gone,
}

/// A row of an incident's history, but for the messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "entry")]
pub enum Entry {
    /// It opened.
    Opened {
        /// How severe.
        severity: Severity,
    },
    /// It opened again.
    Reopened {
        /// Who did; `None`: the evidence.
        by: Option<String>,
    },
    /// It matters more than before.
    Severity {
        /// How much.
        to: Severity,
    },
    /// It flaps from here on.
    Flapping,
    /// It flaps no more.
    Settled,
    /// Its pages wait.
    Held {
        /// For what.
        reason: HoldReason,
    },
    /// They wait no more.
    Released,
    /// Somebody took it.
    Acknowledged {
        /// Who.
        by: String,
    },
    /// The acknowledgement's pause is over and it is not.
    AcknowledgementExpired,
    /// It is over.
    Resolved {
        /// Who says so; `None`: the evidence.
        by: Option<String>,
    },
}

/// Why something cannot be done to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody was told of it yet.
    #[error("it is only suspected: it opens when it is confirmed")]
    Suspected,
    /// It is over.
    #[error("it is resolved")]
    Resolved,
    /// Somebody took it before.
    #[error("it is acknowledged already")]
    Acknowledged,
    /// It is open.
    #[error("it is open")]
    Open,
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// What it is about.
    pub subject: Subject,
    /// What kind of trouble.
    pub kind: IncidentKind,
    /// All else.
    pub life: Life,
}

/// What changes about an incident: as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// How much it matters: the most it ever did.
    pub severity: Severity,
    /// Where it is in its life.
    pub state: IncidentState,
    /// Since when the evidence is bad: the first failing result.
    pub since: UtcMicros,
    /// When it was suspected.
    pub suspected_at: UtcMicros,
    /// When it was confirmed first.
    pub opened_at: Option<UtcMicros>,
    /// When it was taken; `None` again when that expired or it opened again.
    pub acknowledged_at: Option<UtcMicros>,
    /// By whom.
    pub acknowledged_by: Option<String>,
    /// When somebody took it for the first time: what MTTA is made of.
    pub first_acknowledged_at: Option<UtcMicros>,
    /// When it was over; `None` again when it opened again.
    pub resolved_at: Option<UtcMicros>,
    /// Who said so; `None`: the evidence.
    pub resolved_by: Option<String>,
    /// How often it opened again.
    pub reopened: u32,
    /// Whether the evidence was bad when it was last looked at.
    pub bad: bool,
    /// When that changed lately, oldest first: as many as flapping is made of, at most. Of a new incident those of the one before it.
    pub edges: Vec<UtcMicros>,
    /// Whether it flaps.
    pub flapping: bool,
    /// Where it stands on its ladder.
    pub ladder: Ladder,
    /// Until when an acknowledgement keeps the ladder still.
    pub paused_until: Option<UtcMicros>,
    /// What holds its pages, and since when.
    pub held: Option<(HoldReason, UtcMicros)>,
    /// The newest message's number.
    pub step: u32,
    /// Whether anybody was told since it opened, or opened again.
    pub announced: bool,
}

impl Incident {
    /// A suspicion. `edges` are those of the incident before it of the same subject and kind.
    pub fn suspected(
        id: IncidentId,
        subject: Subject,
        kind: IncidentKind,
        severity: Severity,
        since: UtcMicros,
        edges: Vec<UtcMicros>,
        now: UtcMicros,
    ) -> Self {
        let life = Life {
            severity,
            state: IncidentState::Suspected,
            since,
            suspected_at: now,
            opened_at: None,
            acknowledged_at: None,
            acknowledged_by: None,
            first_acknowledged_at: None,
            resolved_at: None,
            resolved_by: None,
            reopened: 0,
            bad: false,
            edges,
            flapping: false,
            ladder: Ladder::starting(now),
            paused_until: None,
            held: None,
            step: 0,
            announced: false,
        };
        Self { id, subject, kind, life }
    }

    /// Takes something in, then does what is due.
    ///
    /// # Errors
    /// When a person asks for what its state does not allow: nothing changed then.
    pub fn handle(&mut self, input: Input<'_>, rules: &Rules<'_>, now: UtcMicros) -> Result<Vec<Output>, Refusal> {
        let mut out = Vec::new();
        let mut life = self.life.clone();
        life.clock(now);
        life.expire(rules, now, &mut out);
        match input {
            Input::Condition(condition) => life.condition(condition, rules, now, &mut out),
            Input::Hold(reason) => life.hold(reason, now, &mut out),
            Input::Acknowledge { by } => life.acknowledge(by, rules, now, &mut out)?,
            Input::Resolve { by } => life.resolve_by(by, now, &mut out)?,
            Input::Reopen { by } => match life.state {
                IncidentState::Resolved => life.reopen(Some(by.into()), now, &mut out),
                IncidentState::Suspected => return Err(Refusal::Suspected),
                IncidentState::Open | IncidentState::Acknowledged => return Err(Refusal::Open),
            },
            Input::Time => {}
        }
        if !matches!(input, Input::Hold(_)) {
            life.settle(now, &mut out);
            life.climb(rules, now, &mut out);
        }
        self.life = life;
        Ok(out)
    }

    /// Of the levels that were just told none reached anybody: the next one is due at once.
    pub fn reached_nobody(&mut self, rules: &Rules<'_>, now: UtcMicros) {
        if let Some(policy) = rules.policy.filter(|_| self.life.state == IncidentState::Open) {
            self.life.ladder.hurry(policy, now);
        }
    }

    /// When something is due without any input; `None`: nothing is. [`Input::Time`] before it does nothing, at it something; only after the clock was set back
    /// it is found earlier, at any call.
    pub fn poll_timeout(&self, rules: &Rules<'_>) -> Option<UtcMicros> {
        let life = &self.life;
        let flap = if life.flapping { Some(life.settles_at()) } else { None };
        let ladder = rules.policy.and_then(|policy| match life.state {
            IncidentState::Open if life.held.is_none() => life.ladder.due(policy, life.severity),
            IncidentState::Acknowledged => life.paused_until,
            IncidentState::Open | IncidentState::Suspected | IncidentState::Resolved => None,
        });
        [flap, ladder].into_iter().flatten().min()
    }

    /// Whether what the present says is about this incident. If not it is over, and what is bad from now on is a new one, which is given this one's edges.
    pub fn concerns(&self, rules: &Rules<'_>, now: UtcMicros) -> bool {
        self.life.resolved_at.is_none_or(|at| now.us_since(at) <= rules.reopen_window_us) || self.life.is_dismissed()
    }

    /// Whether nothing that comes later can be about it: over for longer than edges and reopening look back.
    pub fn is_past(&self, rules: &Rules<'_>, now: UtcMicros) -> bool {
        self.past_at(rules).is_some_and(|at| at <= now)
    }

    /// From when on it is past, if nothing happens to it before; `None`: it is not over, or somebody dismissed it.
    pub fn past_at(&self, rules: &Rules<'_>) -> Option<UtcMicros> {
        let keep = rules.reopen_window_us.max(FLAP_WINDOW_US);
        self.life.resolved_at.filter(|_| !self.life.is_dismissed()).map(|at| at.plus_us(keep + 1))
    }
}

impl Life {
    /// Whether somebody resolved it by hand while the evidence was bad, and it is so still.
    pub const fn is_dismissed(&self) -> bool {
        self.bad && self.resolved_by.is_some()
    }

    /// Nothing that timers count from is to come: after the clock was set back they count from now, so none is longer away than it may be.
    fn clock(&mut self, now: UtcMicros) {
        self.edges.iter_mut().for_each(|edge| *edge = (*edge).min(now));
        if let Some((_, since)) = &mut self.held
            && *since > now
        {
            // The ladder's clock stands: it shows what it showed.
            self.ladder.base = self.ladder.base.plus_us(now.us_since(*since));
            *since = now;
        }
        self.ladder.base = self.ladder.base.min(now);
        self.resolved_at = self.resolved_at.map(|at| at.min(now));
        if let Some(at) = self.acknowledged_at.filter(|at| *at > now) {
            self.paused_until = self.paused_until.map(|until| now.plus_us(until.us_since(at)));
            self.acknowledged_at = Some(now);
        }
    }

    /// The acknowledgement's pause is over. Without a policy there is nothing to go on with, and it stays.
    fn expire(&mut self, rules: &Rules<'_>, now: UtcMicros, out: &mut Vec<Output>) {
        let Some(policy) = rules.policy else { return };
        if self.state == IncidentState::Acknowledged && self.paused_until.is_some_and(|until| until <= now) {
            self.state = IncidentState::Open;
            (self.acknowledged_at, self.acknowledged_by, self.paused_until) = (None, None, None);
            self.ladder.resume(policy, self.severity, now);
            self.hold_from(now);
            out.push(Output::Entry(Entry::AcknowledgementExpired));
        }
    }

    fn condition(&mut self, condition: Condition, rules: &Rules<'_>, now: UtcMicros, out: &mut Vec<Output>) {
        match (self.state, condition) {
            (IncidentState::Suspected, Condition::Bad { since, severity }) => {
                (self.since, self.severity) = (since, severity);
                self.state = IncidentState::Open;
                self.opened_at = Some(now);
                out.push(Output::Entry(Entry::Opened { severity }));
                self.start_ladder(now, out);
                self.edge(true, now, out);
            }
            (IncidentState::Suspected, Condition::Suspect { since, severity }) => {
                (self.since, self.severity) = (since, severity);
            }
            (IncidentState::Suspected, Condition::Good | Condition::Unknown) => out.push(Output::Gone),
            (IncidentState::Open | IncidentState::Acknowledged, Condition::Bad { severity, .. }) => {
                self.edge(true, now, out);
                self.rise(severity, out);
            }
            (IncidentState::Open | IncidentState::Acknowledged, Condition::Good) => {
                // One that was opened again by hand while all was fine waits for the next edge.
                if self.edge(false, now, out) && !self.flapping {
                    self.resolve(None, now, out);
                }
            }
            (IncidentState::Resolved, Condition::Bad { severity, .. }) => {
                if !self.is_dismissed() && self.resolved_at.is_none_or(|at| now.us_since(at) <= rules.reopen_window_us)
                {
                    self.reopen(None, now, out);
                    self.edge(true, now, out);
                    self.rise(severity, out);
                }
            }
            (IncidentState::Resolved, Condition::Good) => {
                self.turn(false, now);
            }
            (
                IncidentState::Open | IncidentState::Acknowledged | IncidentState::Resolved,
                Condition::Suspect { .. } | Condition::Unknown,
            ) => {}
        }
    }

    fn rise(&mut self, severity: Severity, out: &mut Vec<Output>) {
        if severity > self.severity {
            self.severity = severity;
            out.push(Output::Entry(Entry::Severity { to: severity }));
        }
    }

    fn hold(&mut self, reason: Option<HoldReason>, now: UtcMicros, out: &mut Vec<Output>) {
        match (self.held, reason) {
            (None, Some(reason)) => {
                self.held = Some((reason, now));
                if self.state.is_open() {
                    out.push(Output::Entry(Entry::Held { reason }));
                }
            }
            (Some((_, since)), None) => {
                self.held = None;
                if self.state.is_open() {
                    self.ladder.base = self.ladder.base.plus_us(now.us_since(since));
                    out.push(Output::Entry(Entry::Released));
                }
            }
            (Some((before, since)), Some(reason)) => {
                self.held = Some((reason, since));
                if before != reason && self.state.is_open() {
                    out.push(Output::Entry(Entry::Held { reason }));
                }
            }
            (None, None) => {}
        }
    }

    fn acknowledge(
        &mut self,
        by: &str,
        rules: &Rules<'_>,
        now: UtcMicros,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        match self.state {
            IncidentState::Suspected => return Err(Refusal::Suspected),
            IncidentState::Resolved => return Err(Refusal::Resolved),
            IncidentState::Acknowledged => return Err(Refusal::Acknowledged),
            IncidentState::Open => {}
        }
        self.state = IncidentState::Acknowledged;
        self.acknowledged_at = Some(now);
        self.acknowledged_by = Some(by.into());
        self.first_acknowledged_at.get_or_insert(now);
        self.paused_until = Some(now.plus_us(rules.policy.map_or(ACK_PAUSE_US, EscalationPolicy::ack_pause_us)));
        out.push(Output::Entry(Entry::Acknowledged { by: by.into() }));
        self.tell(NoticeEvent::Acknowledged, out);
        Ok(())
    }

    fn resolve_by(&mut self, by: &str, now: UtcMicros, out: &mut Vec<Output>) -> Result<(), Refusal> {
        match self.state {
            IncidentState::Suspected => Err(Refusal::Suspected),
            IncidentState::Resolved => Err(Refusal::Resolved),
            IncidentState::Open | IncidentState::Acknowledged => {
                self.resolve(Some(by.into()), now, out);
                Ok(())
            }
        }
    }

    fn resolve(&mut self, by: Option<String>, now: UtcMicros, out: &mut Vec<Output>) {
        self.state = IncidentState::Resolved;
        self.resolved_at = Some(now);
        self.resolved_by.clone_from(&by);
        self.paused_until = None;
        self.flapping = false;
        out.push(Output::Entry(Entry::Resolved { by }));
        self.tell(NoticeEvent::Resolved, out);
    }

    fn reopen(&mut self, by: Option<String>, now: UtcMicros, out: &mut Vec<Output>) {
        self.state = IncidentState::Open;
        (self.resolved_at, self.resolved_by) = (None, None);
        (self.acknowledged_at, self.acknowledged_by) = (None, None);
        self.reopened += 1;
        self.announced = false;
        out.push(Output::Entry(Entry::Reopened { by }));
        self.start_ladder(now, out);
    }

    fn start_ladder(&mut self, now: UtcMicros, out: &mut Vec<Output>) {
        self.ladder = Ladder::starting(now);
        self.hold_from(now);
        if let Some((reason, _)) = self.held {
            out.push(Output::Entry(Entry::Held { reason }));
        }
    }

    /// The ladder counts from now, so what holds it counts from now too.
    fn hold_from(&mut self, now: UtcMicros) {
        self.held = self.held.map(|(reason, _)| (reason, now));
    }

    /// Notes what the evidence is. Returns whether it turned.
    fn turn(&mut self, bad: bool, now: UtcMicros) -> bool {
        if self.bad == bad {
            return false;
        }
        self.bad = bad;
        self.edges.retain(|edge| edge_counts(*edge, now));
        self.edges.push(now);
        // Older ones can make no difference.
        let surplus = self.edges.len().saturating_sub(FLAPS_MAX + 1);
        self.edges.drain(..surplus);
        true
    }

    /// Notes what the evidence is, while it is open. Returns whether it turned.
    fn edge(&mut self, bad: bool, now: UtcMicros, out: &mut Vec<Output>) -> bool {
        let turned = self.turn(bad, now);
        if turned && !self.flapping && self.edges.len() > FLAPS_MAX {
            self.flapping = true;
            out.push(Output::Entry(Entry::Flapping));
        }
        turned
    }

    /// Tells whoever was told that it is open.
    fn tell(&mut self, event: NoticeEvent, out: &mut Vec<Output>) {
        if self.announced {
            self.step += 1;
            out.push(Output::Tell { step: self.step, event });
        }
    }

    /// When the edges within the window are few enough, where no other comes.
    fn settles_at(&self) -> UtcMicros {
        let oldest = self.edges.len().checked_sub(FLAPS_MAX + 1).and_then(|oldest| self.edges.get(oldest));
        oldest.map_or(UtcMicros::MIN, |edge| edge.plus_us(FLAP_WINDOW_US))
    }

    fn settle(&mut self, now: UtcMicros, out: &mut Vec<Output>) {
        if self.flapping && self.settles_at() <= now {
            self.flapping = false;
            out.push(Output::Entry(Entry::Settled));
            if !self.bad {
                self.resolve(None, now, out);
            }
        }
    }

    fn climb(&mut self, rules: &Rules<'_>, now: UtcMicros, out: &mut Vec<Output>) {
        let Some(policy) = rules.policy else { return };
        if self.state != IncidentState::Open || self.held.is_some() {
            return;
        }
        for (level, round) in self.ladder.climb(policy, self.severity, now) {
            let event = if self.announced { NoticeEvent::Escalated } else { NoticeEvent::Opened };
            self.announced = true;
            self.step += 1;
            out.push(Output::Page { step: self.step, event, level, round });
        }
    }
}

#[cfg(test)]
mod tests;

//! Incidents and their ladders, followed tick by tick in the most obvious way: everything that has a time is a stopwatch, everything that happened is on a list.
//! It shares no code with the machine, only the names of things.

use sitepulse_model::incident::machine::{Entry, Input, Output, Refusal};
use sitepulse_model::incident::{Condition, HoldReason, IncidentState, NoticeEvent, Severity};

/// Ticks of 30 s: 30 min.
const FLAP_WINDOW: i64 = 60;
/// Ticks: 5 min.
const ROUND_GAP_MIN: i64 = 10;

/// An escalation policy, in ticks.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) levels: Vec<(i64, Option<Severity>)>,
    pub(crate) repeat: u32,
    pub(crate) pause: i64,
}

impl Plan {
    fn suits(&self, level: u32, severity: Severity) -> bool {
        self.levels[level as usize].1.is_none_or(|least| least <= severity)
    }

    /// From the start of a round to that of the next.
    fn round(&self) -> i64 {
        let last = self.levels[self.levels.len() - 1].0;
        let before = if self.levels.len() > 1 { self.levels[self.levels.len() - 2].0 } else { last };
        last + ROUND_GAP_MIN.max(last - before)
    }
}

/// What holds at a call.
pub(crate) struct Terms<'a> {
    pub(crate) plan: Option<&'a Plan>,
    pub(crate) reopen_window: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Episode {
    pub(crate) state: IncidentState,
    pub(crate) severity: Severity,
    pub(crate) step: u32,
    pub(crate) reopened: u32,
    pub(crate) flapping: bool,
    /// Somebody has it, or had it when it was over.
    pub(crate) taken: bool,
    bad: bool,
    pub(crate) by_hand: bool,
    held: Option<HoldReason>,
    /// What was told since it opened, or opened again: round and level.
    told: Vec<(u32, u32)>,
    round: u32,
    next: u32,
    passed: Vec<u32>,
    pause: i64,
    /// Stopwatches.
    ladder: i64,
    edges: Vec<i64>,
    since_resolved: i64,
    since_taken: i64,
}

/// The incidents of one (subject, kind).
#[derive(Debug, Clone, Default)]
pub(crate) struct Naive {
    pub(crate) episodes: Vec<Episode>,
}

impl Naive {
    /// The clock on the wall went on, or back: a stopwatch never shows less than nothing.
    pub(crate) fn pass(&mut self, ticks: i64) {
        for episode in &mut self.episodes {
            let watches = [&mut episode.since_resolved, &mut episode.since_taken];
            for watch in watches.into_iter().chain(&mut episode.edges) {
                *watch = (*watch + ticks).max(0);
            }
            if episode.held.is_none() {
                episode.ladder = (episode.ladder + ticks).max(0);
            }
        }
    }

    /// The present is looked at.
    pub(crate) fn look(&mut self, hold: Option<HoldReason>, condition: Condition, terms: &Terms<'_>) -> Vec<Output> {
        let current = self.episodes.last().filter(|last| {
            last.state != IncidentState::Resolved
                || last.since_resolved <= terms.reopen_window
                || last.by_hand && last.bad
        });
        if current.is_none() {
            let (Condition::Bad { severity, .. } | Condition::Suspect { severity, .. }) = condition else {
                return Vec::new();
            };
            let edges = self.episodes.last().map(|last| last.edges.clone()).unwrap_or_default();
            self.episodes.push(Episode::suspected(severity, edges));
        }
        let episode = self.episodes.last_mut().unwrap();
        let mut out = episode.take(Input::Hold(hold), terms).unwrap();
        out.extend(episode.take(Input::Condition(condition), terms).unwrap());
        if out.contains(&Output::Gone) {
            self.episodes.pop();
        }
        out
    }

    pub(crate) fn take(&mut self, input: Input<'_>, terms: &Terms<'_>) -> Result<Vec<Output>, Refusal> {
        self.episodes.last_mut().map_or(Ok(Vec::new()), |episode| episode.take(input, terms))
    }
}

impl Episode {
    fn suspected(severity: Severity, edges: Vec<i64>) -> Self {
        Self {
            state: IncidentState::Suspected,
            severity,
            step: 0,
            reopened: 0,
            flapping: false,
            taken: false,
            bad: false,
            by_hand: false,
            held: None,
            told: Vec::new(),
            round: 0,
            next: 0,
            passed: Vec::new(),
            pause: 0,
            ladder: 0,
            edges,
            since_resolved: 0,
            since_taken: 0,
        }
    }

    fn is_open(&self) -> bool {
        self.state == IncidentState::Open || self.state == IncidentState::Acknowledged
    }

    fn take(&mut self, input: Input<'_>, terms: &Terms<'_>) -> Result<Vec<Output>, Refusal> {
        let mut out = Vec::new();
        // Whether its pause is over is known before anything else happens.
        let expired = self.state == IncidentState::Acknowledged && self.since_taken >= self.pause;
        let state = if expired && terms.plan.is_some() { IncidentState::Open } else { self.state };
        match (input, state) {
            (Input::Acknowledge { .. }, IncidentState::Acknowledged) => return Err(Refusal::Acknowledged),
            (Input::Acknowledge { .. } | Input::Resolve { .. }, IncidentState::Resolved) => {
                return Err(Refusal::Resolved);
            }
            (Input::Acknowledge { .. } | Input::Resolve { .. } | Input::Reopen { .. }, IncidentState::Suspected) => {
                return Err(Refusal::Suspected);
            }
            (Input::Reopen { .. }, IncidentState::Open | IncidentState::Acknowledged) => return Err(Refusal::Open),
            _ => {}
        }
        if expired && let Some(plan) = terms.plan {
            self.state = IncidentState::Open;
            self.taken = false;
            let (round, level) = self.told.iter().copied().max().unwrap_or_default();
            let last = (plan.levels.len() as u32).saturating_sub(1);
            (self.round, self.next) = (round, level.min(last));
            self.passed = (0..self.next).filter(|level| !plan.suits(*level, self.severity)).collect();
            self.ladder = plan.levels.get(self.next as usize).map_or(0, |level| level.0);
            out.push(Output::Entry(Entry::AcknowledgementExpired));
        }
        match input {
            Input::Condition(condition) => self.look(condition, terms, &mut out),
            Input::Hold(reason) => {
                if self.held != reason && self.is_open() {
                    out.push(Output::Entry(reason.map_or(Entry::Released, |reason| Entry::Held { reason })));
                }
                self.held = reason;
                return Ok(out);
            }
            Input::Acknowledge { by } => {
                self.state = IncidentState::Acknowledged;
                self.taken = true;
                self.pause = terms.plan.map_or(120, |plan| plan.pause);
                self.since_taken = 0;
                out.push(Output::Entry(Entry::Acknowledged { by: by.into() }));
                self.tell(NoticeEvent::Acknowledged, &mut out);
            }
            Input::Resolve { by } => self.resolve(Some(by), &mut out),
            Input::Reopen { by } => self.reopen(Some(by), &mut out),
            Input::Time => {}
        }
        if self.flapping && self.recent_edges() <= 4 {
            self.flapping = false;
            out.push(Output::Entry(Entry::Settled));
            if !self.bad {
                self.resolve(None, &mut out);
            }
        }
        if let Some(plan) = terms.plan {
            self.climb(plan, &mut out);
        }
        Ok(out)
    }

    fn look(&mut self, condition: Condition, terms: &Terms<'_>, out: &mut Vec<Output>) {
        match condition {
            Condition::Bad { severity, .. } => {
                match self.state {
                    IncidentState::Suspected => {
                        self.state = IncidentState::Open;
                        self.severity = severity;
                        out.push(Output::Entry(Entry::Opened { severity }));
                        self.start(out);
                    }
                    IncidentState::Resolved => {
                        let dismissed = self.by_hand && self.bad;
                        if dismissed || self.since_resolved > terms.reopen_window {
                            return;
                        }
                        self.reopen(None, out);
                    }
                    IncidentState::Open | IncidentState::Acknowledged => {}
                }
                let was_bad = self.bad;
                self.turn(true);
                if !was_bad && !self.flapping && self.recent_edges() > 4 {
                    self.flapping = true;
                    out.push(Output::Entry(Entry::Flapping));
                }
                if severity > self.severity {
                    self.severity = severity;
                    out.push(Output::Entry(Entry::Severity { to: severity }));
                }
            }
            Condition::Good => {
                let was_bad = self.bad;
                self.turn(false);
                match self.state {
                    IncidentState::Suspected => out.push(Output::Gone),
                    IncidentState::Open | IncidentState::Acknowledged => {
                        if was_bad && !self.flapping && self.recent_edges() > 4 {
                            self.flapping = true;
                            out.push(Output::Entry(Entry::Flapping));
                        }
                        if was_bad && !self.flapping {
                            self.resolve(None, out);
                        }
                    }
                    IncidentState::Resolved => {}
                }
            }
            Condition::Suspect { severity, .. } => {
                if self.state == IncidentState::Suspected {
                    self.severity = severity;
                }
            }
            Condition::Unknown => {
                if self.state == IncidentState::Suspected {
                    out.push(Output::Gone);
                }
            }
        }
    }

    /// The evidence is so: an edge where it was not.
    fn turn(&mut self, bad: bool) {
        if self.bad != bad {
            self.edges.retain(|age| *age < FLAP_WINDOW);
            self.edges.push(0);
            self.bad = bad;
        }
    }

    fn recent_edges(&self) -> usize {
        self.edges.iter().filter(|age| **age < FLAP_WINDOW).count()
    }

    fn start(&mut self, out: &mut Vec<Output>) {
        (self.ladder, self.round, self.next) = (0, 0, 0);
        self.told.clear();
        self.passed.clear();
        out.extend(self.held.map(|reason| Output::Entry(Entry::Held { reason })));
    }

    fn reopen(&mut self, by: Option<&str>, out: &mut Vec<Output>) {
        self.state = IncidentState::Open;
        (self.by_hand, self.taken) = (false, false);
        self.reopened += 1;
        out.push(Output::Entry(Entry::Reopened { by: by.map(Into::into) }));
        self.start(out);
    }

    fn resolve(&mut self, by: Option<&str>, out: &mut Vec<Output>) {
        self.state = IncidentState::Resolved;
        self.by_hand = by.is_some();
        self.since_resolved = 0;
        self.flapping = false;
        out.push(Output::Entry(Entry::Resolved { by: by.map(Into::into) }));
        self.tell(NoticeEvent::Resolved, out);
    }

    fn tell(&mut self, event: NoticeEvent, out: &mut Vec<Output>) {
        if !self.told.is_empty() {
            self.step += 1;
            out.push(Output::Tell { step: self.step, event });
        }
    }

    fn page(&mut self, round: u32, level: u32, out: &mut Vec<Output>) {
        let event = if self.told.is_empty() { NoticeEvent::Opened } else { NoticeEvent::Escalated };
        self.told.push((round, level));
        self.step += 1;
        out.push(Output::Page { step: self.step, event, level, round });
    }

    fn climb(&mut self, plan: &Plan, out: &mut Vec<Output>) {
        if self.state != IncidentState::Open || self.held.is_some() {
            return;
        }
        let levels = plan.levels.len() as u32;
        // Round and level of all that is due.
        let mut steps: Vec<(u32, u32)> = Vec::new();
        let mut passed = std::mem::take(&mut self.passed);
        passed.sort_unstable();
        for level in passed {
            if level < levels && level < self.next && plan.suits(level, self.severity) {
                steps.push((self.round, level));
            } else {
                self.passed.push(level);
            }
        }
        loop {
            if levels == 0 {
                break;
            }
            let over = self.next >= levels;
            if over && self.round >= plan.repeat {
                break;
            }
            let due = if over { plan.round() + plan.levels[0].0 } else { plan.levels[self.next as usize].0 };
            if self.ladder < due {
                break;
            }
            if over {
                self.ladder -= plan.round();
                self.round += 1;
                self.next = 0;
                self.passed.clear();
            }
            let level = self.next;
            self.next += 1;
            if plan.suits(level, self.severity) {
                steps.push((self.round, level));
            } else {
                self.passed.push(level);
            }
        }
        for (at, (round, level)) in steps.iter().enumerate() {
            // Of a level that is due more than once the newest.
            if !steps[at + 1..].iter().any(|(_, later)| later == level) {
                self.page(*round, *level, out);
            }
        }
    }
}

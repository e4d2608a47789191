//! The life of one run of a playbook: who started it, what became of each step, how it ended.
//!
//! A run is what it was started with ([`Head`]: the steps as they were then) and its entries, in order; everything else follows from those. The state is made by
//! [`Run::replay`], and the same [`Run::apply`] takes a new entry, so what is stored and what is shown cannot come apart.
//!
//! - A step is open, done (by somebody, or by itself with the fact that was seen) or skipped with a reason. What was marked can be taken back; a step
//!   that somebody took back is not ticked by itself again.
//! - A run ends finished, when no step is open, or abandoned, with a reason. What has ended changes no more. One that nobody touches for [`IDLE_US`] ends by itself: as
//!   whichever of the two it is.
//! - How long it took is from its start to its last mark: who forgets to press "finish" makes no run longer.

use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Step;
use super::condition::{Condition, Facts, Judged, Seen, judge};
use super::fill::Names;
use crate::insight;
use crate::time::UtcMicros;

/// Most entries of a run.
pub const ENTRIES_MAX: usize = 1_000;
/// Longest note, in characters.
pub const NOTE_CHARS_MAX: usize = 4_000;
/// Longest reason, in characters.
pub const REASON_CHARS_MAX: usize = 500;
/// A run that nothing happened to for so long ends by itself, in microseconds: 7 d.
pub const IDLE_US: i64 = 7 * 86_400_000_000;
/// Why one is abandoned by itself.
const IDLE_REASON: &str = "nothing happened for 7 days";
/// Who does what nobody did.
pub const ITSELF: &str = "evidence";

/// What a run is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "about")]
pub enum Occasion {
    /// An incident.
    Incident {
        /// Its id.
        id: String,
        /// Its kind.
        kind: String,
    },
    /// A finding.
    Finding {
        /// Its id.
        id: String,
        /// Its kind.
        kind: insight::Kind,
    },
    /// A check, with nothing wrong: an exercise.
    Check {
        /// Its id.
        id: String,
    },
}

impl Occasion {
    /// The id of what it is about.
    pub fn id(&self) -> &str {
        match self {
            Self::Incident { id, .. } | Self::Finding { id, .. } | Self::Check { id } => id,
        }
    }

    /// `incident`, `finding` or `check`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Incident { .. } => "incident",
            Self::Finding { .. } => "finding",
            Self::Check { .. } => "check",
        }
    }
}

/// What a run was started with. Does not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its id: `p-20261123-4f7k2mq`.
    pub id: String,
    /// The playbook's id.
    pub playbook: String,
    /// Its version then: `built-in` or the number of the version as code.
    pub version: String,
    /// What it was called.
    pub title: String,
    /// The same in French.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title_fr: Option<String>,
    /// What it is about.
    pub occasion: Occasion,
    /// When it was started, in microseconds of UTC.
    pub started_at: i64,
    /// By whom.
    pub started_by: String,
    /// The steps as they were, templates not filled in.
    pub steps: Vec<Step>,
    /// What they are filled in with.
    pub names: Names,
    /// What was known when it began.
    pub began: Facts,
}

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Entry {
    /// A step is done.
    Done {
        /// Which.
        step: String,
        /// What was seen, where it was ticked by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<Seen>,
    },
    /// A step is left out.
    Skipped {
        /// Which.
        step: String,
        /// Why.
        reason: String,
    },
    /// A mark was taken back.
    Undone {
        /// Of which step.
        step: String,
    },
    /// Somebody wrote something down.
    Noted {
        /// What.
        text: String,
    },
    /// It is over, with nothing left to do.
    Finished,
    /// It is over with something left to do.
    Abandoned {
        /// Why.
        reason: String,
    },
}

/// An entry with who and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When.
    pub at: UtcMicros,
    /// Who: `collector:USER`, or [`ITSELF`].
    pub by: String,
    /// What.
    pub entry: Entry,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// Nothing yet.
    Open,
    /// It is done.
    Done {
        /// When.
        at: UtcMicros,
        /// By whom.
        by: String,
        /// What was seen, where it was ticked by itself.
        seen: Option<Seen>,
    },
    /// It is left out.
    Skipped {
        /// When.
        at: UtcMicros,
        /// By whom.
        by: String,
        /// Why.
        reason: String,
    },
}

impl Mark {
    /// When it was made.
    pub const fn at(&self) -> Option<UtcMicros> {
        match self {
            Self::Open => None,
            Self::Done { at, .. } | Self::Skipped { at, .. } => Some(*at),
        }
    }

    /// Whether nothing became of the step yet.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Somebody works on it.
    Running,
    /// It is over, with nothing left to do.
    Finished,
    /// It is over with something left to do.
    Abandoned,
}

impl State {
    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Why something cannot be done to a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has ended.
    #[error("it is {} already: start another one", .0.as_str())]
    Ended(State),
    /// It has no such step.
    #[error("it has no step {0:?}: its steps are {1}")]
    NoStep(String, String),
    /// The step is marked already.
    #[error("step {0:?} is marked already: take that back first")]
    Marked(String),
    /// The step is open.
    #[error("step {0:?} is open: there is nothing to take back")]
    NotMarked(String),
    /// Steps are open.
    #[error("open steps are left: {0}; tick them, skip them with a reason, or abandon the run")]
    Open(String),
    /// The reason why a step is skipped is missing, or too long.
    #[error("say why it is skipped: one line of 1 to {REASON_CHARS_MAX} characters")]
    WhySkipped,
    /// The reason why it is abandoned is missing, or too long.
    #[error("say why it is abandoned: one line of 1 to {REASON_CHARS_MAX} characters")]
    WhyAbandoned,
    /// A note is empty, or too long.
    #[error("a note is plain text of 1 to {NOTE_CHARS_MAX} characters")]
    Note,
    /// There are too many entries.
    #[error("it has {ENTRIES_MAX} entries: finish or abandon it")]
    Full,
}

/// A run, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What it was started with.
    pub head: Head,
    /// What became of each of its steps, in their order.
    pub marks: Vec<Mark>,
    /// Everything that happened, the oldest first.
    pub entries: Vec<Told>,
    /// How it stands.
    pub state: State,
    /// Steps that somebody took back: they are not ticked by themselves again.
    held: BTreeSet<String>,
}

impl Run {
    /// A run that was just started.
    pub fn new(head: Head) -> Self {
        let marks = head.steps.iter().map(|_| Mark::Open).collect();
        Self { head, marks, entries: Vec::new(), state: State::Running, held: BTreeSet::new() }
    }

    /// A run of its stored parts. Entries that do not fit, which no build of ours wrote, are left out.
    pub fn replay(head: Head, entries: impl IntoIterator<Item = Told>) -> Self {
        let mut run = Self::new(head);
        for told in entries {
            drop(run.apply(told));
        }
        run
    }

    fn step(&self, id: &str) -> Result<usize, Refusal> {
        self.head.steps.iter().position(|step| step.id == id).ok_or_else(|| {
            let ids: Vec<&str> = self.head.steps.iter().map(|step| step.id.as_str()).collect();
            Refusal::NoStep(id.to_owned(), ids.join(", "))
        })
    }

    /// Whether an entry can be made now.
    ///
    /// # Errors
    /// Why not, with the remedy.
    pub fn allows(&self, entry: &Entry) -> Result<(), Refusal> {
        if self.state != State::Running {
            return Err(Refusal::Ended(self.state));
        }
        // There is always room to end it.
        let ends = matches!(entry, Entry::Finished | Entry::Abandoned { .. });
        if !ends && self.entries.len() >= ENTRIES_MAX - 1 {
            return Err(Refusal::Full);
        }
        match entry {
            Entry::Done { step, .. } => self.markable(step),
            Entry::Skipped { step, reason } => {
                self.markable(step)?;
                if is_line(reason) { Ok(()) } else { Err(Refusal::WhySkipped) }
            }
            Entry::Undone { step } => {
                if self.marks[self.step(step)?].is_open() {
                    return Err(Refusal::NotMarked(step.clone()));
                }
                Ok(())
            }
            Entry::Noted { text } => {
                let odd = text.chars().any(|c| c.is_control() && c != '\n');
                let fits = !text.trim().is_empty() && text.chars().count() <= NOTE_CHARS_MAX;
                if fits && !odd { Ok(()) } else { Err(Refusal::Note) }
            }
            Entry::Finished => {
                let open: Vec<&str> = self.open().map(|step| step.id.as_str()).collect();
                if open.is_empty() { Ok(()) } else { Err(Refusal::Open(open.join(", "))) }
            }
            Entry::Abandoned { reason } => {
                if is_line(reason) {
                    Ok(())
                } else {
                    Err(Refusal::WhyAbandoned)
                }
            }
        }
    }

    fn markable(&self, step: &str) -> Result<(), Refusal> {
        if self.marks[self.step(step)?].is_open() { Ok(()) } else { Err(Refusal::Marked(step.to_owned())) }
    }

    /// Makes an entry.
    ///
    /// # Errors
    /// Why it cannot be made; nothing changes then.
    pub fn apply(&mut self, told: Told) -> Result<(), Refusal> {
        self.allows(&told.entry)?;
        let (at, by) = (told.at, told.by.clone());
        match &told.entry {
            Entry::Done { step, seen } => {
                let place = self.step(step)?;
                self.marks[place] = Mark::Done { at, by, seen: seen.clone() };
            }
            Entry::Skipped { step, reason } => {
                let place = self.step(step)?;
                self.marks[place] = Mark::Skipped { at, by, reason: reason.clone() };
            }
            Entry::Undone { step } => {
                let place = self.step(step)?;
                self.marks[place] = Mark::Open;
                self.held.insert(step.clone());
            }
            Entry::Noted { .. } => {}
            Entry::Finished => self.state = State::Finished,
            Entry::Abandoned { .. } => self.state = State::Abandoned,
        }
        self.entries.push(told);
        Ok(())
    }

    /// The steps that are open.
    pub fn open(&self) -> impl Iterator<Item = &Step> {
        self.head.steps.iter().zip(&self.marks).filter(|(_, mark)| mark.is_open()).map(|(step, _)| step)
    }

    /// The open steps that may tick themselves, with what they wait for.
    pub fn waiting(&self) -> impl Iterator<Item = (&Step, Condition)> {
        let running = self.state == State::Running;
        let free = self.open().filter(move |step| running && !self.held.contains(&step.id));
        free.filter_map(|step| Some((step, step.condition()?)))
    }

    /// What happens by itself at an instant, by what is known then: steps that tick, or the end of a run that nobody works on.
    pub fn due(&self, facts: &Facts, now: UtcMicros) -> Vec<Entry> {
        if self.state != State::Running {
            return Vec::new();
        }
        let ticks =
            self.waiting().filter_map(|(step, condition)| match judge(condition, &self.head.began, facts, now) {
                Judged::Met(seen) => Some(Entry::Done { step: step.id.clone(), seen: Some(seen) }),
                Judged::NotYet | Judged::Unknown => None,
            });
        let mut due: Vec<Entry> = ticks.take(ENTRIES_MAX.saturating_sub(self.entries.len() + 1)).collect();
        if due.is_empty() && now.us_since(self.touched_at()) >= IDLE_US {
            // Who ticks the last step and goes has carried it through.
            let left = self.open().next().is_some();
            due.push(if left { Entry::Abandoned { reason: IDLE_REASON.to_owned() } } else { Entry::Finished });
        }
        due
    }

    /// When something happened to it last.
    pub fn touched_at(&self) -> UtcMicros {
        self.entries.last().map_or(UtcMicros(self.head.started_at), |told| told.at)
    }

    /// When it ended.
    pub fn ended_at(&self) -> Option<UtcMicros> {
        let last = self.entries.last()?;
        match self.state {
            State::Running => None,
            State::Finished | State::Abandoned => Some(last.at),
        }
    }

    /// From its start to its last mark, in microseconds; until `now` while steps are open.
    pub fn took_us(&self, now: UtcMicros) -> i64 {
        let last = self.marks.iter().filter_map(Mark::at).max();
        let open = self.state == State::Running && self.open().next().is_some();
        let until = if open { now } else { last.unwrap_or_else(|| self.ended_at().unwrap_or(now)) };
        until.us_since(UtcMicros(self.head.started_at)).max(0)
    }

    /// How long it should take, in minutes: all steps that are not skipped.
    pub fn estimate_minutes(&self) -> u32 {
        let counted = self.head.steps.iter().zip(&self.marks);
        let counted = counted.filter(|(_, mark)| !matches!(mark, Mark::Skipped { .. }));
        counted.fold(0, |sum: u32, (step, _)| sum.saturating_add(step.minutes))
    }

    /// How many steps are done, skipped, ticked by themselves.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { steps: self.marks.len(), ..Counts::default() };
        for mark in &self.marks {
            match mark {
                Mark::Open => {}
                Mark::Done { seen, .. } => {
                    counts.done += 1;
                    counts.by_itself += usize::from(seen.is_some());
                }
                Mark::Skipped { .. } => counts.skipped += 1,
            }
        }
        counts
    }
}

/// How many steps a run has, and what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub steps: usize,
    /// Done.
    pub done: usize,
    /// Done, and ticked by a fact.
    pub by_itself: usize,
    /// Skipped.
    pub skipped: usize,
}

/// Counted as a form counts: in characters.
fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= REASON_CHARS_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;

//! What jobs say, as a code with its arguments: each language has its own words for it: English ones here, which the log of the process has too, French ones in `present/text/jobs`. It is stored as JSON where a text could be. What has no code is text and shown as
//! it is: errors, what a check's target said.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::TEXT_BYTES_MAX;

/// Longest part of somebody else's text in it, in bytes: the whole must stay within [`TEXT_BYTES_MAX`].
const PART_BYTES_MAX: usize = 200;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs, reason = "the English words of each variant say what its fields are")]
pub enum Said {
    /// So many results are sealed, or were.
    Sealed { records: u64 },
    /// So many pairs were merged, of so many.
    Merged { done: u64, of: u64 },
    /// So many looks were made, so many are due.
    Looking { looks: u64, left: u64 },
    /// What looks came to.
    Looked { looks: u64, opened: u64, closed: u64 },
    /// Scores are written down.
    Writing { done: u64, of: u64 },
    /// So many scores were written down of the hour that begins then.
    Written { scores: u64, hour: String },
    /// So much is copied.
    Copied { mib: u64, of: u64 },
    /// A backup is made.
    BackedUp { records: u64, kib: u64 },
    /// So many checks are done.
    Checks { done: u64, of: u64 },
    /// An export is made; so many records are damaged and missing in it.
    Exported { records: u64, checks: u64, damaged: u64 },
    /// Older files went.
    FilesGone { gone: u64, kept: u64 },
    /// An attempt before had made it.
    MadeBefore,
    /// What runs of checks came to.
    Ran { checks: u64, up: u64, not_up: u64, not_run: u64 },
    /// Nothing is done, so long already.
    Idle { ms: u64, of: u64 },
    /// A report is kept.
    Report { name: String, checks: u64 },
    /// An attempt before had kept it.
    ReportBefore { name: String },
    /// Somebody took the job back.
    Cancelled { by: String },
    /// Somebody took it up again.
    TakenUp { by: String },
    /// Somebody gave it another priority.
    Priority { priority: u16, by: String },
    /// It failed, and is tried again then.
    Again { at: String, why: String },
    /// The process ended while it ran.
    Interrupted,
    /// The process died while it ran, so often in a row; it is held back until then.
    Died { deaths: u32, held: Option<String> },
    /// It is given up: the process died so often in a row while it ran.
    Deadly { deaths: u32 },
    /// An attempt before was cut short after that check.
    GoesOn { after: String },
    /// It took longer than it may.
    TooLong { seconds: u64 },
    /// Its log became too long.
    More,
    /// Its handler panicked.
    Panicked,
    /// Its handler says that it was stopped, and nobody stopped it.
    NotStopped,
    /// Its row makes no sense.
    Unreadable { why: String },
    /// What it is told makes no sense.
    Nonsense { why: String },
    /// No check that agents run is what it is told.
    NoCheck,
    /// A check that it is told is not there.
    NoSuchCheck { check: String },
    /// The scoring model is gone.
    NoModel { label: String },
    /// This process cannot do it.
    NotHere,
    /// That attempt was told to fail.
    ToldToFail { attempt: u32 },
    /// What agents said of a check.
    Agents { check: String, runs: Vec<AgentSaid> },
    /// No agent ran a check.
    NoAgent { check: String },
    /// A message that waited was taken back.
    TakenBack,
}

/// What became of a check's run on an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSaid {
    /// The agent.
    pub agent: String,
    /// A state, or why there is none.
    pub how: How,
    /// In the agent's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// See [`AgentSaid::how`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words are what they say")]
pub enum How {
    Up,
    Degraded,
    Down,
    Unknown,
    Refused,
    NotConnected,
    NoAnswer,
}

impl Said {
    /// What a stored text says; `None`: it is a text.
    pub fn of(text: &str) -> Option<Self> {
        // Variants without arguments are a quoted word.
        if text.starts_with(['{', '"']) { serde_json::from_str(text).ok() } else { None }
    }

    /// Of an attempt that failed.
    pub(super) fn again(at: String, why: &str) -> Self {
        // What was said by code stays one: cut in two it would be none.
        let why = if Self::of(why).is_some() && why.len() <= PART_BYTES_MAX { why.to_owned() } else { part(why) };
        Self::Again { at, why }
    }

    /// What agents said of a check: with as many of their own words as there is room for.
    pub(super) fn agents(check: &str, runs: Vec<AgentSaid>) -> Self {
        for most in [PART_BYTES_MAX, 60, 0] {
            let cut = |one: &AgentSaid| AgentSaid { why: cut(&one.why, most), ..one.clone() };
            let said = Self::Agents { check: check.to_owned(), runs: runs.iter().map(cut).collect() };
            if String::from(said.clone()).len() <= TEXT_BYTES_MAX {
                return said;
            }
        }
        // Of very many agents those that there is room for.
        let mut runs = runs;
        loop {
            runs.pop();
            let runs: Vec<AgentSaid> = runs.iter().map(|one| AgentSaid { why: String::new(), ..one.clone() }).collect();
            let said = Self::Agents { check: check.to_owned(), runs };
            if String::from(said.clone()).len() <= TEXT_BYTES_MAX {
                return said;
            }
        }
    }

    /// Of a row that cannot be read.
    pub(crate) fn unreadable(why: &str) -> Self {
        Self::Unreadable { why: part(why) }
    }

    /// Of a check that is not there, as somebody wrote it.
    pub(super) fn no_such_check(check: &str) -> Self {
        Self::NoSuchCheck { check: part(check) }
    }

    /// Of arguments that make no sense.
    pub(super) fn nonsense(why: &str) -> Self {
        Self::Nonsense { why: part(why) }
    }
}

/// Somebody else's text, short enough to be a part.
fn part(text: &str) -> String {
    cut(text, PART_BYTES_MAX)
}

fn cut(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace(char::is_control, " ")
}

/// English.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealed { records } => write!(f, "{records} results sealed"),
            Self::Merged { done, of } => write!(f, "{done} of {of} pairs merged"),
            Self::Looking { looks, left } => write!(f, "{looks} looks, {left} are due"),
            Self::Looked { looks, opened, closed } => {
                write!(f, "{looks} looks, {opened} findings opened, {closed} closed")
            }
            Self::Writing { done, of } => write!(f, "{done} of {of} scores"),
            Self::Written { scores, hour } => write!(f, "{scores} scores of {hour}"),
            Self::Copied { mib, of } => write!(f, "{mib} of {of} MiB"),
            Self::BackedUp { records, kib } => write!(f, "{records} records, {kib} KiB; the seal key is not in it"),
            Self::Checks { done, of } => write!(f, "{done} of {of} checks"),
            Self::Exported { records, checks, damaged: 0 } => write!(f, "{records} records of {checks} checks"),
            Self::Exported { records, checks, damaged } => {
                write!(f, "{records} records of {checks} checks; {damaged} are damaged and not in it")
            }
            Self::FilesGone { gone, kept } => write!(f, "{gone} older files went: the newest {kept} are kept"),
            Self::MadeBefore => f.write_str("made by an earlier attempt"),
            Self::Ran { checks, up, not_up, not_run } => {
                let word = if *checks == 1 { "check" } else { "checks" };
                write!(f, "{checks} {word}: {up} up, {not_up} not up, {not_run} not run")
            }
            Self::Idle { ms, of } => write!(f, "{ms} of {of} ms"),
            Self::Report { name, checks } => write!(f, "report {name} of {checks} checks is kept"),
            Self::ReportBefore { name } => write!(f, "report {name} was kept by an earlier attempt"),
            Self::Cancelled { by } => write!(f, "cancelled by {by}"),
            Self::TakenUp { by } => write!(f, "taken up again by {by}"),
            Self::Priority { priority, by } => write!(f, "priority {priority} by {by}"),
            Self::Again { at, why } => {
                let why = Self::of(why).map_or_else(|| why.clone(), |said| said.to_string());
                write!(f, "tried again at {at}: {why}")
            }
            Self::Interrupted => f.write_str("interrupted: the collector ended while it ran"),
            Self::Died { held: None, .. } => f.write_str("interrupted: the collector died while it ran"),
            Self::Died { deaths, held: Some(held) } => {
                write!(
                    f,
                    "interrupted: the collector died {deaths} times in a row while it ran; it is held back until {held}"
                )
            }
            Self::Deadly { deaths } => write!(
                f,
                "given up: the collector died {deaths} times in a row while it ran; look into its log and the kernel's (out of memory?), then try it again"
            ),
            Self::GoesOn { after } => write!(f, "goes on after {after}"),
            Self::TooLong { seconds } => write!(f, "it took longer than {seconds} s, and was stopped"),
            Self::More => f.write_str("and more, which is not kept"),
            Self::Panicked => f.write_str("internal error: it panicked, see the log"),
            Self::NotStopped => f.write_str("internal error: it stopped without being told to"),
            Self::Unreadable { why } => write!(f, "its row cannot be read: {why}; ask for it again"),
            Self::Nonsense { why } => write!(f, "what it is told makes no sense: {why}"),
            Self::NoCheck => f.write_str("no check that agents run fits"),
            Self::NoSuchCheck { check } => write!(f, "there is no check {check}"),
            Self::NoModel { label } => write!(f, "there is no scoring model {label} any more"),
            Self::NotHere => f.write_str("this collector has nobody who does it"),
            Self::ToldToFail { attempt } => write!(f, "attempt {attempt} was told to fail"),
            Self::Agents { check, runs } => {
                write!(f, "{check}: ")?;
                for (nth, AgentSaid { agent, how, why }) in runs.iter().enumerate() {
                    let between = if nth == 0 { "" } else { "; " };
                    let word = match how {
                        How::Up => "up",
                        How::Degraded => "degraded",
                        How::Down => "down",
                        How::Unknown => "unknown",
                        How::Refused => "refused",
                        How::NotConnected => "not connected",
                        How::NoAnswer => "no answer",
                    };
                    write!(f, "{between}{agent} {word}")?;
                    if !why.is_empty() {
                        write!(f, " ({why})")?;
                    }
                }
                Ok(())
            }
            Self::NoAgent { check } => write!(f, "{check}: no agent runs it"),
            Self::TakenBack => f.write_str("taken back before it went out: the audit log says by whom"),
        }
    }
}

/// As it is stored.
impl From<Said> for String {
    fn from(said: Said) -> Self {
        serde_json::to_string(&said).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_comes_back_and_texts_stay_texts() {
        let said = [
            Said::Interrupted,
            Said::Sealed { records: 5 },
            Said::Cancelled { by: "collector:ana".into() },
            Said::again("2026-11-23T09:00:00Z".into(), "it \"broke\""),
        ];
        for said in said {
            assert_eq!(Said::of(&String::from(said.clone())), Some(said));
        }
        for text in ["", "the disk is full", "{}", "{\"error\": 1}", "\"quoted\"", "shop: up"] {
            assert_eq!(Said::of(text), None, "{text}");
        }
    }

    #[test]
    fn a_long_reason_leaves_it_whole() {
        for why in ["é", "\"", "\u{1}", "x"].map(|one| one.repeat(5_000)) {
            let agent = AgentSaid { agent: "a".repeat(64), how: How::Refused, why: why.clone() };
            let runs = |count: usize| vec![agent.clone(); count];
            for said in [
                Said::again("2026-11-23T09:00:00Z".into(), &why),
                Said::unreadable(&why),
                Said::nonsense(&why),
                Said::no_such_check(&why),
                Said::agents(&"c".repeat(64), runs(1)),
                Said::agents(&"c".repeat(64), runs(50)),
            ] {
                let text = String::from(said);
                assert!(text.len() <= TEXT_BYTES_MAX && Said::of(&text).is_some(), "{}: {text}", text.len());
            }
        }
    }
}

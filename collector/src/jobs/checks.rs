//! Runs of many checks at once, besides their schedules: nothing stores or counts what they find, the job's log tells it.

use std::collections::BTreeMap;

use futures_util::stream::{StreamExt, iter};
use serde::{Deserialize, Serialize};
use sitepulse_model::check::CheckKind;
use sitepulse_model::id::{CheckId, CheckNo};
use sitepulse_model::record::ProbeState;

use super::handlers::{Finished, Outcome, Unfinished, Work};
use super::said::{AgentSaid, How, Said};
use crate::app::AppError;
use crate::book::{Book, is_heartbeat};
use crate::run_now::{AgentRun, Outcome as Ran, run_now};

/// So many checks are run at a time: most of the places are for people who wait before a page.
const AT_A_TIME: usize = 8;
/// So many pages are loaded at a time, for a browser takes much of an agent.
const PAGES_AT_A_TIME: usize = 2;

/// Which checks are run. Those that match all that is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Of this group.
    #[serde(default)]
    pub group: Option<String>,
    /// With this tag.
    #[serde(default)]
    pub tag: Option<String>,
    /// These.
    #[serde(default)]
    pub checks: Vec<String>,
}

impl Args {
    /// Whether anything is told: all checks of a collector at once is nothing that somebody should ask for by leaving something out.
    pub fn says_something(&self) -> bool {
        self.group.is_some() || self.tag.is_some() || !self.checks.is_empty()
    }

    /// The checks, by id; heartbeats are not run by agents.
    ///
    /// # Errors
    /// A check that is not there.
    pub fn checks(&self, book: &Book, pages_only: bool) -> Result<Vec<(CheckId, CheckNo)>, Said> {
        for id in &self.checks {
            let known = CheckId::parse(id).ok().and_then(|id| book.check_by_id(&id)).filter(|check| !check.retired());
            if known.is_none() {
                return Err(Said::no_such_check(id));
            }
        }
        let mut found: Vec<(CheckId, CheckNo)> = book
            .checks()
            .filter(|check| self.checks.is_empty() || self.checks.iter().any(|id| id == check.id.as_str()))
            .filter_map(|check| {
                let current = check.current()?;
                let labels = &current.labels;
                let grouped = self
                    .group
                    .as_deref()
                    .is_none_or(|group| labels.group.as_ref().is_some_and(|of| of.as_str() == group));
                let tagged = self.tag.as_deref().is_none_or(|tag| labels.tags.iter().any(|of| of.as_str() == tag));
                let page = matches!(current.definition.kind, CheckKind::WebVitals(_));
                let fits = grouped && tagged && !is_heartbeat(&current.definition) && (page || !pages_only);
                fits.then(|| (check.id.clone(), check.number))
            })
            .collect();
        found.sort();
        Ok(found)
    }
}

pub(super) async fn run(work: Work) -> Outcome {
    run_all(work, false, AT_A_TIME).await
}

pub(super) async fn vitals(work: Work) -> Outcome {
    run_all(work, true, PAGES_AT_A_TIME).await
}

/// How far a run of many checks came: all up to one, by id. What was run beyond it is run once more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    upto: Option<String>,
    up: u64,
    not_up: u64,
    not_run: u64,
}

impl Mark {
    fn count(&mut self, fared: Fared) {
        match fared {
            Fared::Up => self.up += 1,
            Fared::NotUp => self.not_up += 1,
            Fared::NotRun => self.not_run += 1,
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a share for people")]
async fn run_all(work: Work, pages_only: bool, at_a_time: usize) -> Outcome {
    let args: Args = work.args()?;
    let mut checks = args.checks(&work.app.book(), pages_only).map_err(|said| Unfinished::Refused(said.into()))?;
    if checks.is_empty() {
        return Err(Unfinished::Refused(Said::NoCheck.into()));
    }
    let total = checks.len();
    // An attempt that was cut short ran some of them.
    let mut mark: Mark = work.marked().unwrap_or_default();
    if let Some(upto) = &mark.upto {
        checks.retain(|(id, _)| id.as_str() > upto.as_str());
        work.log(Said::GoesOn { after: upto.clone() });
    }
    let mut done = total - checks.len();
    let mut ahead: BTreeMap<usize, Fared> = BTreeMap::new();
    let (mut at, ids) = (0, checks.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
    let tell_progress = |done: usize| {
        work.progress(done as f64 / total as f64, Said::Checks { done: done as u64, of: total as u64 });
    };
    tell_progress(done);
    let app = &work.app;
    let mut running = iter(checks.into_iter().enumerate())
        .map(|(nth, (id, number))| async move { (nth, id, run_now(app, number, None).await) })
        .buffer_unordered(at_a_time);
    loop {
        let (nth, id, runs) = tokio::select! {
            next = running.next() => match next {
                Some(next) => next,
                None => break,
            },
            () = work.stopping() => return Err(Unfinished::Stopped),
        };
        done += 1;
        let (said, fared) = tell(id.as_str(), &runs);
        work.log(said);
        tell_progress(done);
        ahead.insert(nth, fared);
        while let Some(fared) = ahead.remove(&at) {
            mark.count(fared);
            mark.upto = ids.get(at).map(ToString::to_string);
            at += 1;
        }
        work.mark(&mark);
    }
    let Mark { up, not_up, not_run, .. } = mark;
    Ok(Finished::with(Said::Ran { checks: total as u64, up, not_up, not_run }))
}

#[derive(Debug, Clone, Copy)]
enum Fared {
    Up,
    NotUp,
    NotRun,
}

/// What became of a check's run on all its agents, in a line.
fn tell(check: &str, runs: &Result<Vec<AgentRun>, AppError>) -> (String, Fared) {
    let runs = match runs {
        Ok(runs) if runs.is_empty() => return (Said::NoAgent { check: check.to_owned() }.into(), Fared::NotRun),
        Ok(runs) => runs,
        Err(error) => return (format!("{check}: {error}"), Fared::NotRun),
    };
    let mut fared = Fared::NotRun;
    let mut said = Vec::new();
    for run in runs {
        let (how, why) = match &run.outcome {
            Ran::Ran(result) => {
                fared = match (result.state, fared) {
                    (ProbeState::Up, Fared::Up | Fared::NotRun) => Fared::Up,
                    (ProbeState::Up, Fared::NotUp)
                    | (ProbeState::Degraded | ProbeState::Down | ProbeState::Unknown, _) => Fared::NotUp,
                };
                let how = match result.state {
                    ProbeState::Up => How::Up,
                    ProbeState::Degraded => How::Degraded,
                    ProbeState::Down => How::Down,
                    ProbeState::Unknown => How::Unknown,
                };
                (how, result.detail.clone())
            }
            Ran::Refused(why) => (How::Refused, why.to_string()),
            Ran::NotConnected => (How::NotConnected, String::new()),
            Ran::TimedOut => (How::NoAnswer, String::new()),
        };
        said.push(AgentSaid { agent: run.agent.to_string(), how, why });
    }
    (Said::agents(check, said).into(), fared)
}

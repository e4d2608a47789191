//! Runs that somebody asked for besides the schedule: a person over the control socket, or the collector.
//!
//! They are for whoever asked: no record, no lag, no last result comes of them. Limit: [`RUN_NOW_MAX`] at once.

use sitepulse_daemon::clock;
use sitepulse_daemon::exit::Exit;
use sitepulse_probe::Run;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::handle::{CheckName, RanNow, RunNowRefused};
use super::{Engine, Entry};
use crate::control;
use crate::summary::Summary;

/// Runs at once besides the schedule.
pub(super) const RUN_NOW_MAX: usize = 8;

impl Engine {
    /// Runs a check besides the schedule, in a task of its own: nothing counts it and nothing waits for it.
    pub(super) fn run_now(&self, check: &CheckName, reply: oneshot::Sender<RanNow>) {
        let (entry, permit) = match self.may_run_now(check) {
            Ok(may) => may,
            Err(refused) => {
                drop(reply.send(Err(refused)));
                return;
            }
        };
        let Summary { id, target, plan, .. } = &entry.held.summary;
        let (id, target) = (id.to_string(), target.to_string());
        let (check, revision) = (plan.check, plan.revision);
        let (held, tools) = (entry.held.clone(), self.tools.clone());
        self.tasks.spawn("run now", async move {
            let now = clock::now();
            let result = held.probe.run(Run { check, revision, slot: now, started: now, note_all: true }, &tools).await;
            drop(permit);
            // Who asked may be gone.
            drop(reply.send(Ok((id, target, Box::new(result)))));
        });
    }

    fn may_run_now(&self, check: &CheckName) -> Result<(&Entry, OwnedSemaphorePermit), RunNowRefused> {
        let refused = |exit, reason| Err(RunNowRefused { exit, reason });
        let entry = match check {
            CheckName::Number(number) => self.checks.get(number),
            CheckName::Id(id) => self.checks.values().find(|entry| entry.held.summary.id.as_str() == id),
        };
        let Some(entry) = entry else {
            return refused(
                Exit::NotFound,
                match check {
                    CheckName::Number(number) => format!("agent {} does not run check {number}", self.identity.name),
                    CheckName::Id(id) => control::no_such_check(id),
                },
            );
        };
        let number = entry.held.summary.plan.check;
        if let Some(suspension) = self.log.suspended_at(self.identity.agent, number, clock::now()) {
            let until = sitepulse_daemon::instant::format(suspension.span.to);
            let (id, author, why) = (&entry.held.summary.id, &suspension.author, &suspension.reason);
            let reason = format!("check {id} is suspended until {until} by {author}: {why}; resume it first");
            return refused(Exit::Failure, reason);
        }
        match self.run_now.clone().try_acquire_owned() {
            Ok(permit) => Ok((entry, permit)),
            Err(_) => {
                let reason =
                    format!("{RUN_NOW_MAX} runs besides the schedule are under way already; ask again in a moment");
                refused(Exit::Failure, reason)
            }
        }
    }
}

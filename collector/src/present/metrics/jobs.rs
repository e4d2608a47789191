//! The families of the job queue.

use sitepulse_model::job::State;

use super::Page;
use crate::jobs::live::Fared;
use crate::jobs::{Kind, all};
use crate::present::Present;
use crate::present::problem::Answer;

/// A counter of a kind: its name, its help, the value.
type Counter = (&'static str, &'static str, fn(&Fared) -> f64);

impl Present {
    /// Jobs, messages about incidents among them, by kind and state, how long they waited, what became of them.
    pub(super) async fn job_lines(&self) -> Answer<String> {
        let counts = self.app().read_store(all::counts).await?;
        let desk = &self.app().shared().jobs;
        let mut page = Page(String::new());
        let name = "sitepulse_jobs";
        page.family(name, "gauge", "Jobs that wait or run, and those that are over and kept, by kind and state.");
        for kind in Kind::ALL {
            for state in State::ALL {
                let of =
                    counts.iter().find(|(of, at, _)| (*of, *at) == (kind, state)).map_or(0, |(_, _, count)| *count);
                page.sample(name, &[("kind", kind.as_str()), ("state", state.as_str())], of as f64);
            }
        }
        let name = "sitepulse_job_wait_p95_seconds";
        page.family(
            name,
            "gauge",
            "95 % of the newest 1,000 starts of the kind had waited so long at most since they were due.",
        );
        for kind in Kind::ALL {
            if let Some(us) = desk.wait_p95_us(Some(kind)) {
                page.sample(name, &[("kind", kind.as_str())], us as f64 / 1e6);
            }
        }
        let fared = desk.fared();
        let counters: [Counter; 5] = [
            ("sitepulse_jobs_done_total", "Jobs that were done.", |one| one.done as f64),
            ("sitepulse_jobs_failed_total", "Jobs that were given up.", |one| one.failed as f64),
            ("sitepulse_job_attempts_failed_total", "Attempts that failed.", |one| one.attempts_failed as f64),
            ("sitepulse_job_runs_total", "Attempts that ended.", |one| one.runs as f64),
            ("sitepulse_job_run_seconds_total", "How long attempts took together.", |one| one.run_us as f64 / 1e6),
        ];
        for (name, help, figure) in counters {
            page.family(name, "counter", help);
            for kind in Kind::ALL {
                let one = fared.get(&kind).copied().unwrap_or_default();
                page.sample(name, &[("kind", kind.as_str())], figure(&one));
            }
        }
        Ok(page.0)
    }
}

//! The families of playbooks.

use std::collections::BTreeMap;

use sitepulse_daemon::clock;
use sitepulse_model::playbook::run::State;

use super::Page;
use crate::playbook::team_of;
use crate::present::Present;
use crate::present::playbooks::period;
use crate::present::problem::Answer;
use crate::store::playbooks as stored;

impl Present {
    /// Runs of the last 90 days by playbook, team and state, and how long the finished ones took together. Only what there is has a line.
    pub(super) async fn playbook_lines(&self) -> Answer<String> {
        let period = period(clock::now());
        let all = self.app().read_store(move |tables| stored::outcomes(tables, period)).await?;
        let mut runs: BTreeMap<(String, String, &'static str), u64> = BTreeMap::new();
        let mut took: BTreeMap<(String, String), (i64, u64)> = BTreeMap::new();
        {
            let book = self.app().book();
            for one in all {
                let team = team_of(book.objects(), &one.by, one.outcome.started_at).unwrap_or_default();
                *runs.entry((one.playbook.clone(), team.clone(), one.outcome.state.as_str())).or_default() += 1;
                if one.outcome.state == State::Finished {
                    let sums = took.entry((one.playbook, team)).or_default();
                    sums.0 = sums.0.saturating_add(one.outcome.took_us);
                    sums.1 = sums.1.saturating_add(u64::from(one.outcome.estimate_minutes) * 60);
                }
            }
        }
        let mut page = Page(String::new());
        let name = "sitepulse_playbook_runs";
        let help = "Runs of playbooks that were started in the last 90 days, by playbook, team of who started them (empty: no team) and state.";
        page.family(name, "gauge", help);
        for ((playbook, team, state), count) in &runs {
            page.sample(name, &[("playbook", playbook), ("team", team), ("state", state)], *count as f64);
        }
        let name = "sitepulse_playbook_run_seconds";
        page.family(name, "gauge", "How long those of them that were finished took together.");
        for ((playbook, team), (us, _)) in &took {
            page.sample(name, &[("playbook", playbook), ("team", team)], *us as f64 / 1e6);
        }
        let name = "sitepulse_playbook_estimate_seconds";
        page.family(name, "gauge", "How long they should have taken together.");
        for ((playbook, team), (_, seconds)) in &took {
            page.sample(name, &[("playbook", playbook), ("team", team)], *seconds as f64);
        }
        Ok(page.0)
    }
}

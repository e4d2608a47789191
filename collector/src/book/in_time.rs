//! Verdicts as they were told in time: without what came in late.

use std::collections::BTreeMap;

use sitepulse_model::amendment::{self, Touched};
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::series::Series;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::{CheckView, VerdictSpan, Voter};

use super::{Book, Filter};

impl Book {
    /// [`Book::verdicts`] of all agents, without what came late: `late` says by agent of which stretch that speaks, and what was known of it before.
    pub(crate) fn verdicts_in_time(
        &self,
        check: CheckNo,
        late: &BTreeMap<AgentNo, (Touched, Series)>,
        period: Span,
    ) -> Option<Vec<VerdictSpan>> {
        let check = self.check(check)?;
        let view = CheckView { revisions: check.policies(), life: Span::new(UtcMicros::MIN, UtcMicros::MAX) };
        let voters = self.voters(check, &Filter::All);
        let told = voters.iter().filter_map(|(agent, voter)| {
            let (touched, held) = late.get(agent)?;
            Some((*agent, amendment::without(&view, voter.series, *touched, held, period.from)))
        });
        let told: BTreeMap<AgentNo, Series> = told.collect();
        let voters = voters.into_iter().map(|(agent, voter)| {
            let series = told.get(&agent).unwrap_or(voter.series);
            Voter { series, ..voter }
        });
        let voters: Vec<Voter<'_>> = voters.collect();
        Some(self.judge(check, &voters, period))
    }
}

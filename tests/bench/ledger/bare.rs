//! The model alone: series made run by run, voters gathered by hand. For ledgers with more results than are worth being taken in one by one.

use sitepulse_model::control::Weight;
use sitepulse_model::explain::{Interval, explain};
use sitepulse_model::id::Revision;
use sitepulse_model::series::Series;
use sitepulse_model::sla::Account;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::{CheckView, Policy, Voter, verdicts};

use crate::synthetic::Ledger;

/// The series of a ledger.
pub(crate) struct Bare {
    policies: [(UtcMicros, Revision, Policy); 1],
    life: Span,
    /// By check, then agent.
    pub(crate) series: Vec<Vec<Series>>,
}

impl Bare {
    /// All of a ledger.
    pub(crate) fn new(ledger: &Ledger) -> Self {
        let policy = Policy::of(&ledger.definitions()[0]);
        let pairs = |check| (0..ledger.size.agents).map(|agent| ledger.series(check, agent)).collect();
        Self {
            policies: [(ledger.from, Revision(1), policy)],
            life: Span::new(ledger.from, UtcMicros::MAX),
            series: (0..ledger.size.checks).map(pairs).collect(),
        }
    }

    fn view(&self) -> CheckView<'_> {
        CheckView { revisions: &self.policies, life: self.life }
    }

    fn voters(&self, check: usize) -> Vec<Voter<'_>> {
        let weights = || vec![(UtcMicros::MIN, Weight::ONE)];
        let voter = |series| Voter { assigned: vec![self.life], suspended: Vec::new(), weights: weights(), series };
        self.series[check].iter().map(voter).collect()
    }

    /// The figures of a check.
    pub(crate) fn account(&self, check: usize, period: Span) -> Account {
        Account::of(&verdicts(&self.view(), &self.voters(check), &[], period))
    }

    /// The intervals behind them.
    pub(crate) fn explain(&self, check: usize, period: Span) -> Vec<Interval> {
        let mut room = usize::MAX;
        explain(&self.view(), &self.voters(check), &[], period, &mut room).expect("there is room")
    }
}

//! Figures of groups, and of all checks together.

use std::collections::BTreeMap;

use sitepulse_model::control::Weight;
use sitepulse_model::id::Group;
use sitepulse_model::sla::{Account, Figures, Together};
use sitepulse_model::terms::{Reckoned, Term};
use sitepulse_model::time::{Span, UtcMicros};

use super::{Book, Check, CheckRevision, Filter};

/// The figures of several checks, gathered for means by group and over all.
#[derive(Debug, Default)]
pub struct Gathered {
    whole: Vec<(Weight, Figures)>,
    groups: BTreeMap<Group, Vec<(Weight, Figures)>>,
}

impl Gathered {
    /// Adds a check's figures, in the group and with the weight of this revision.
    pub fn add(&mut self, revision: &CheckRevision, figures: Figures) {
        self.add_to(revision.labels.group.as_ref(), revision.definition.weight, figures);
    }

    /// Adds a check's figures, in this group and with this weight.
    pub fn add_to(&mut self, group: Option<&Group>, weight: Weight, figures: Figures) {
        let counted = (weight, figures);
        self.whole.push(counted);
        if let Some(group) = group {
            match self.groups.get_mut(group) {
                Some(checks) => checks.push(counted),
                None => self.groups.entry(group.clone()).or_default().push(counted),
            }
        }
    }

    /// All checks together.
    pub fn whole(&self) -> Together {
        Together::of(&self.whole)
    }

    /// Each group, by name.
    pub fn groups(&self) -> impl Iterator<Item = (&Group, Together)> {
        self.groups.iter().map(|(group, accounts)| (group, Together::of(accounts)))
    }
}

impl Check {
    /// The revision by which a check counts in means over a period: the last one in it that was no retirement. A check belongs to the group, and has the weight, that it
    /// had at the end of the period, or of its life where that ended within; so what is asked of a past period is answered alike for ever. `None` of a check that
    /// did not live then.
    pub fn counting(&self, period: Span) -> Option<&CheckRevision> {
        let lived = self.lives().iter().any(|life| !life.clip(period).is_empty());
        let living = self.revisions.iter().rev().filter(|revision| !revision.retired);
        living.into_iter().find(|revision| revision.effective_from < period.to).filter(|_| lived)
    }
}

impl Book {
    /// The figures of all checks that lived in a period, or of one group's, counted by terms where there are some. Ends of the period as for [`Self::period`].
    pub fn gathered(
        &self,
        group: Option<&Group>,
        filter: &Filter,
        terms: Option<&[Term]>,
        (from, to): (Option<UtcMicros>, Option<UtcMicros>),
        now: UtcMicros,
    ) -> Gathered {
        let mut gathered = Gathered::default();
        for check in self.checks() {
            self.gather(&mut gathered, check, group, filter, terms, self.period(check, from, to, now));
        }
        gathered
    }

    /// Adds a check to means, where it counted in its part of the period: see [`Self::gathered`].
    pub fn gather(
        &self,
        gathered: &mut Gathered,
        check: &Check,
        group: Option<&Group>,
        filter: &Filter,
        terms: Option<&[Term]>,
        period: Span,
    ) {
        let Some(counting) = check.counting(period) else { return };
        if group.is_some() && counting.labels.group.as_ref() != group {
            return;
        }
        if let Some(spans) = self.verdicts(check.number, filter, period) {
            let figures = match terms {
                Some(terms) => Figures::from(&Reckoned::of(terms, &spans).counts),
                None => Figures::from(&Account::of(&spans)),
            };
            gathered.add(counting, figures);
        }
    }
}

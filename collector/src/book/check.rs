//! A check with the history of its definition.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::check::CheckDefinition;
use sitepulse_model::id::{AgentNo, Bucket, CheckId, CheckNo, Group, ObjectId, Provider, Region, Revision, Tag};
use sitepulse_model::incident::CheckClass;
use sitepulse_model::record::Record;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::{CheckView, Policy};

use super::agent::runs_in;
use super::amended::Amended;
use super::pair::Pair;
use super::touched::Touched;
use crate::latency::Sample;
use crate::latency::open::OpenLatencies;
use crate::store::rows::Arrival;
use crate::vitals::{SCREENSHOTS_MAX, ScreenshotKey};

/// What a check belongs to. The collector alone knows: agents are not told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels {
    /// Its group.
    pub group: Option<Group>,
    /// Its tags.
    pub tags: BTreeSet<Tag>,
    /// How much it matters: what the severity of its incidents is made from.
    pub class: CheckClass,
    /// While one of these is down, it opens no incident of its own.
    pub parents: BTreeSet<CheckId>,
    /// Who operates what it needs: what fails together and shares one is one finding.
    pub providers: BTreeSet<Provider>,
    /// Whom its incidents are told to; the default policy where there is none.
    pub escalation: Option<ObjectId>,
}

/// One definition and when it applies from.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckRevision {
    /// Counts from 1.
    pub revision: Revision,
    /// Applies from here on; strictly greater than the revision's before.
    pub effective_from: UtcMicros,
    /// Whether the check is retired from here on (the definition is then the last one's).
    pub retired: bool,
    /// Who applied it: `collector:cli`, `collector:USER`.
    pub author: String,
    /// Counts the changes of all checks: what assignment revisions are made of.
    pub ordinal: u64,
    /// The definition.
    pub definition: CheckDefinition,
    /// What it belongs to.
    pub labels: Labels,
}

/// A check, its histories, and what agents found.
#[derive(Debug)]
pub struct Check {
    /// Its number.
    pub number: CheckNo,
    /// Its id.
    pub id: CheckId,
    /// Its definitions, oldest first; never empty.
    pub revisions: Vec<CheckRevision>,
    /// What each agent found.
    pub pairs: BTreeMap<AgentNo, Pair>,
    /// Of which failed runs a screenshot is kept: the newest [`SCREENSHOTS_MAX`].
    pub screenshots: BTreeSet<ScreenshotKey>,
    /// How long each agent's results took that are not sealed yet.
    pub latencies: BTreeMap<AgentNo, OpenLatencies>,
    /// The amendments that are kept of it, oldest first.
    pub amended: Vec<Amended>,
    /// Counts its changes.
    pub(crate) touched: Touched,
    bucket: Bucket,
    policies: Vec<(UtcMicros, Revision, Policy)>,
}

impl Check {
    pub(super) fn new(number: CheckNo, id: CheckId) -> Self {
        let bucket = id.bucket();
        let (pairs, screenshots) = (BTreeMap::new(), BTreeSet::new());
        let (revisions, policies, amended) = (Vec::new(), Vec::new(), Vec::new());
        let (latencies, touched) = (BTreeMap::new(), Touched::default());
        Self { number, id, revisions, pairs, screenshots, latencies, amended, touched, bucket, policies }
    }

    pub(super) fn push(&mut self, revision: CheckRevision) {
        self.touched.own();
        let definition = &revision.definition;
        let policy = Policy {
            interval_us: definition.interval_us,
            timeout_us: definition.timeout_us,
            weight: definition.weight,
            quorum: definition.quorum,
            confirmations: definition.confirmations,
            recoveries: definition.recoveries,
        };
        self.policies.push((revision.effective_from, revision.revision, policy));
        self.revisions.push(revision);
    }

    /// The bucket of everything about it.
    pub fn bucket(&self) -> Bucket {
        self.bucket
    }

    /// What accounting needs of each revision.
    pub fn policies(&self) -> &[(UtcMicros, Revision, Policy)] {
        &self.policies
    }

    /// How long results of a revision hold, in microseconds.
    pub(crate) fn hold_us(&self, revision: Revision) -> i64 {
        CheckView { revisions: &self.policies, life: Span::new(UtcMicros::MIN, UtcMicros::MAX) }.hold_us(revision)
    }

    /// The newest revision, a retirement too.
    pub fn newest(&self) -> &CheckRevision {
        self.revisions.last().expect("a check is made with its first revision")
    }

    /// The definition that applies now; `None` when the check is retired.
    pub fn current(&self) -> Option<&CheckRevision> {
        Some(self.newest()).filter(|newest| !newest.retired)
    }

    /// Whether the check is retired.
    pub fn retired(&self) -> bool {
        self.newest().retired
    }

    /// The revision by its number.
    pub fn revision(&self, revision: Revision) -> Option<&CheckRevision> {
        self.revisions.iter().rfind(|candidate| candidate.revision == revision)
    }

    /// The revision that applied at an instant; `None` before the first. Look at `retired`.
    pub fn at(&self, at: UtcMicros) -> Option<&CheckRevision> {
        self.revisions.iter().rev().find(|revision| revision.effective_from <= at)
    }

    /// The check's life: from its first definition to its retirement; several spans when it was retired and applied again.
    pub fn lives(&self) -> Vec<Span> {
        let mut lives = Vec::new();
        let mut open: Option<UtcMicros> = None;
        for revision in &self.revisions {
            match (open, revision.retired) {
                (None, false) => open = Some(revision.effective_from),
                (Some(from), true) => {
                    lives.push(Span::new(from, revision.effective_from));
                    open = None;
                }
                (None, true) | (Some(_), false) => {}
            }
        }
        lives.extend(open.map(|from| Span::new(from, UtcMicros::MAX)));
        lives
    }

    /// When it was to run as `runs` says of each definition: see [`super::Agent::runs`].
    pub fn spans_where(&self, runs: impl Fn(&CheckDefinition) -> bool) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for (index, revision) in self.revisions.iter().enumerate() {
            if revision.retired || !runs(&revision.definition) {
                continue;
            }
            let to = self.revisions.get(index + 1).map_or(UtcMicros::MAX, |next| next.effective_from);
            match spans.last_mut() {
                Some(last) if last.to == revision.effective_from => last.to = to,
                Some(_) | None => spans.push(Span::new(revision.effective_from, to)),
            }
        }
        spans
    }

    /// The ordinal of the newest change that agents of `region` must hear of.
    pub(super) fn newest_ordinal_for(&self, region: &Region) -> Option<u64> {
        let runs = |revision: &CheckRevision| !revision.retired && runs_in(&revision.definition, region);
        let mut newest = None;
        let mut ran = false;
        for revision in &self.revisions {
            let runs = runs(revision);
            if runs || ran {
                newest = Some(revision.ordinal);
            }
            ran = runs;
        }
        newest
    }

    /// As the table does it.
    pub(super) fn insert_screenshot(&mut self, key: ScreenshotKey) {
        self.touched.own();
        self.screenshots.insert(key);
        if self.screenshots.len() > SCREENSHOTS_MAX {
            self.screenshots.pop_first();
        }
    }

    pub(super) fn insert_record(&mut self, agent: AgentNo, arrival: Arrival, record: Record) {
        let interval_us = match &record {
            Record::Missed(missed) => self.revision(missed.revision).map(|revision| revision.definition.interval_us),
            Record::Result(result) => {
                if let Some(sample) = Sample::of(result) {
                    self.latencies.entry(agent).or_default().push(arrival, &sample);
                }
                None
            }
            Record::Dropped(_) => None,
        };
        self.touched.pair(agent);
        self.pairs.entry(agent).or_default().insert(record, interval_us);
    }
}

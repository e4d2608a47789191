//! What detectors are fed with, gathered check by check: [`Frame::of`] takes from the book what only it knows, and lets go of it; [`Frame::read`] then reads the store's sketches,
//! beside the writer. As for every latency figure, what is not sealed is taken from the book *first*, then the store is read at one instant, so each run counts once.
//!
//! - [`watch`]: what the book alone tells of a check: what expires, how its verdicts turned, who watches it, whether its assertions can fail
//! - [`latency`]: hours of the check and its regions, and what resolving names took, from the sketches by the hour
//! - [`vitals`]: the runs of a page
//! - [`budget`]: an objective as it stands
//! - [`traits`]: what a check may share with others: an address, a certificate, a provider
//! - [`together`]: what checks share and when they failed; how agents stand to each other. Made of what each check's own look left behind
//!
//! Only agents with a vote count. Hours under maintenance say nothing about how things usually are, and are left out.

pub mod budget;
pub mod latency;
pub mod together;
pub mod traits;
pub mod vitals;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::id::{AgentNo, Bucket, CheckNo};
use sitepulse_model::insight::input::{Sight, hour_of};
use sitepulse_model::insight::thresholds::Thresholds;
use sitepulse_model::insight::{Kind, Subject};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::{Verdict, VerdictSpan};

use self::latency::LatencyFrame;
use self::vitals::PageFrame;
use self::watch::Watched;
use super::look::{Hit, Look, Target};
use super::shelf::Shelf;
use crate::book::{Book, Check, Filter};
use crate::store::seal::Upto;
use crate::store::{StoreError, Tables};

/// How far back is looked, in microseconds: five weeks, so that four lie before the last seven days.
pub const LOOK_BACK_US: i64 = 35 * 86_400_000_000;
/// How far before a finding that is open, in microseconds: four weeks.
const BEFORE_KNOWN_US: i64 = 28 * 86_400_000_000;
/// And no further than this in all, in microseconds: 90 days.
const LOOK_BACK_US_MAX: i64 = 90 * 86_400_000_000;

/// What earlier looks left behind of what is looked at.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Since when its findings stand that are not over.
    since: BTreeMap<(Kind, Subject), UtcMicros>,
    /// The certificates that were seen of a check, each when it was seen first.
    certificates: Vec<Sight>,
}

impl Known {
    /// Of the findings that are looked for by looking at a target.
    pub fn of(shelf: &Shelf, target: &Target) -> Self {
        let standing = match target {
            Target::Check(id) => shelf.of_check(id),
            Target::Objective(_) | Target::Agent(_) | Target::Together => shelf.standing(),
        };
        let theirs = standing.iter().filter(|one| Target::of_subject(&one.found.subject) == *target);
        let since = theirs.map(|one| ((one.found.kind, one.found.subject.clone()), one.found.since)).collect();
        let certificates = match target {
            Target::Check(id) => shelf.certificates_of(id),
            Target::Objective(_) | Target::Agent(_) | Target::Together => Vec::new(),
        };
        Self { since, certificates }
    }

    /// Of one finding.
    pub fn since(&self, kind: Kind, subject: &Subject) -> Option<UtcMicros> {
        self.since.get(&(kind, subject.clone())).copied()
    }

    /// With those of another.
    pub fn extend(&mut self, other: Self) {
        self.since.extend(other.since);
        self.certificates.extend(other.certificates);
    }

    /// From when on histories are needed that one of these kinds is found by.
    fn from(&self, kinds: &[Kind], now: UtcMicros) -> UtcMicros {
        let known = self.since.iter().filter(|((kind, _), _)| kinds.contains(kind)).map(|(_, since)| *since);
        let needed =
            known.map(|since| since.plus_us(-BEFORE_KNOWN_US)).fold(now.plus_us(-LOOK_BACK_US), UtcMicros::min);
        needed.max(now.plus_us(-LOOK_BACK_US_MAX))
    }
}

/// What is taken from the book.
#[derive(Debug)]
pub struct Frame {
    /// The check's id.
    pub id: String,
    pub(crate) number: CheckNo,
    pub(crate) bucket: Bucket,
    now: UtcMicros,
    known: Known,
    /// Agents with a vote: region and name.
    voters: BTreeMap<AgentNo, (String, String)>,
    /// The verdicts since the beginning of what is looked at, in order.
    verdicts: Vec<VerdictSpan>,
    watched: Watched,
    latency: Option<LatencyFrame>,
    page: Option<PageFrame>,
}

impl Frame {
    /// Of a check as it is defined now; `None` where it is not. A quick one holds what needs no store.
    pub fn of(book: &Book, check: &Check, known: Known, quick: bool, now: UtcMicros) -> Option<Self> {
        let revision = check.current()?;
        let definition = &revision.definition;
        let votes = |agent: AgentNo| book.control().weight_at(agent, check.number, now).0 > 0;
        let agents = book.agents().filter(|agent| votes(agent.number) && agent.revoked_at.is_none());
        let voters: BTreeMap<AgentNo, (String, String)> =
            agents.map(|agent| (agent.number, (agent.region.to_string(), agent.name.to_string()))).collect();
        let from = known.from(&[Kind::LatencyRegression, Kind::RegionSlow, Kind::VitalsRegression], now);
        let back = if quick { now.plus_us(-Thresholds::default().flapping.window_us) } else { from };
        let period = book.period(check, Some(back), Some(now), now);
        let verdicts = book.verdicts(check.number, &Filter::All, period).unwrap_or_default();
        Some(Self {
            id: check.id.to_string(),
            number: check.number,
            bucket: check.bucket(),
            now,
            watched: Watched::of(book, check, revision, &voters, &known.certificates, now),
            latency: if quick { None } else { LatencyFrame::of(check, definition, &voters, from, now) },
            page: if quick { None } else { PageFrame::of(definition, from) },
            known,
            voters,
            verdicts,
        })
    }

    /// The check's number.
    pub const fn number(&self) -> CheckNo {
        self.number
    }

    /// Whether an hour lies in maintenance, or touches it.
    fn maintained(&self) -> BTreeSet<i64> {
        let spans = self.verdicts.iter().filter(|span| span.verdict == Verdict::Maintenance);
        spans.flat_map(|span| hour_of(span.span.from)..=hour_of(span.span.to.plus_us(-1))).collect()
    }

    /// The stretches in which the check was down.
    pub(crate) fn down(&self) -> impl Iterator<Item = Span> {
        self.verdicts.iter().filter(|span| span.verdict == Verdict::Down).map(|span| span.span)
    }

    /// What the check alone tells. `tables` must be of one instant, after the frame was made; `sealed` of the same. Nothing is read for a quick frame.
    pub(crate) fn look(&self, tables: Option<(Tables<'_>, &Upto)>, rules: &Thresholds) -> Result<Seen, StoreError> {
        let mut seen = Seen::new(&self.id);
        self.watched.look(self, rules, &mut seen);
        if let Some((tables, sealed)) = tables {
            if let Some(frame) = &self.latency {
                frame.look(self, tables, sealed, rules, &mut seen)?;
            }
            if let Some(frame) = &self.page {
                frame.look(self, tables, rules, &mut seen)?;
            }
            // Of a kind of check that has no latency or vitals, what stood of them is over.
            seen.look.kinds.extend([Kind::LatencyRegression, Kind::RegionSlow, Kind::VitalsRegression]);
            seen.look.full = true;
        }
        Ok(seen)
    }
}

/// What a look at a check came to, and what it leaves behind for looks at what several share.
#[derive(Debug)]
pub struct Seen {
    /// The look.
    pub look: Look,
    /// What resolving its name took by agent and hour: the name, the hour, the median in microseconds, the runs.
    pub dns: Vec<(String, i64, u64, u32)>,
}

impl Seen {
    fn new(id: &str) -> Self {
        let target = Target::Check(id.to_owned());
        Self { look: Look::new(target), dns: Vec::new() }
    }

    fn note(&mut self, kind: Kind, id: &str, found: impl IntoIterator<Item = sitepulse_model::insight::found::Found>) {
        self.look.kinds.insert(kind);
        let hit = |finding| Hit { finding, checks: BTreeSet::from([id.to_owned()]) };
        self.look.hits.extend(found.into_iter().map(hit));
    }
}

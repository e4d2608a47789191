//! Maintenance windows as each check meets them: which spans of time they take out of its account.
//!
//! A version of a window applies from its own instant until the next one's, and covers a check while that check's revision has the id, the group or a tag that the
//! window names. So neither a change of a window nor a check that moves to another group rewrites the past: what was taken out stays out, what was not stays in, and
//! a window that was applied late covers from then on.
//!
//! What covers which check is found once after each change of checks or objects; spans are worked out up to [`AHEAD_US`] beyond what was asked, and kept. A question
//! costs a look-up and two binary searches.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use sitepulse_model::id::CheckNo;
use sitepulse_model::maintenance::MaintenanceWindow;
use sitepulse_model::time::{Span, UtcMicros, union};

use super::{Book, Check, CheckRevision, Revised};
use crate::maintenance::Timetable;

/// How far beyond a question spans are worked out: 400 days.
const AHEAD_US: i64 = 400 * 86_400 * 1_000_000;
/// Windows are not worked out beyond this: the year 2200.
const LAST: UtcMicros = UtcMicros(7_258_118_400_000_000);

/// A version of a window.
#[derive(Debug)]
struct Version {
    id: String,
    number: u32,
    timetable: Timetable,
    /// When it applies.
    applies: Span,
    kept: Mutex<Kept>,
}

/// Spans worked out so far: all that begin before `upto`.
#[derive(Debug, Clone)]
struct Kept {
    upto: UtcMicros,
    spans: Arc<[Span]>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { upto: UtcMicros::MIN, spans: Arc::from([]) }
    }
}

/// The spans up to an instant, worked out by `make` where they are not kept.
fn kept(kept: &Mutex<Kept>, upto: UtcMicros, make: impl FnOnce(UtcMicros) -> Arc<[Span]>) -> Kept {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.upto < upto {
        let upto = upto.plus_us(AHEAD_US);
        *kept = Kept { upto, spans: make(upto) };
    }
    kept.clone()
}

impl Version {
    /// When it is open, up to an instant at least: ascending, none touching another.
    fn spans(&self, upto: UtcMicros) -> Kept {
        kept(&self.kept, upto, |upto| {
            let until = Span::new(self.applies.from, self.applies.to.min(upto).min(LAST));
            let open = self.timetable.open(until);
            union(open.into_iter().map(|open| open.clip(self.applies)).collect()).into()
        })
    }
}

/// One version of a window and when it covers a check: spans in order that do not touch.
#[derive(Debug)]
struct Cover {
    /// Its place in the index.
    version: usize,
    during: Vec<Span>,
}

#[derive(Debug)]
struct Covers {
    covers: Vec<Cover>,
    kept: Mutex<Kept>,
}

impl Covers {
    fn spans(&self, versions: &[Version], upto: UtcMicros) -> Kept {
        // A whole version's spans are shared by all of the checks it covers.
        if let [Cover { version, during }] = &self.covers[..]
            && during[..] == [versions[*version].applies]
        {
            return versions[*version].spans(upto);
        }
        kept(&self.kept, upto, |upto| {
            let mut spans = Vec::new();
            for Cover { version, during } in &self.covers {
                let open = versions[*version].spans(upto).spans;
                for during in during {
                    let first = open.partition_point(|open| open.to <= during.from);
                    let inside = open[first..].iter().take_while(|open| open.from < during.to);
                    spans.extend(inside.map(|open| open.clip(*during)));
                }
            }
            union(spans).into()
        })
    }
}

/// Which windows cover which checks.
#[derive(Debug, Default)]
pub(super) struct WindowIndex {
    by_check: BTreeMap<CheckNo, Covers>,
    versions: Vec<Version>,
}

/// The windows that cover a check within a period.
#[derive(Debug, Clone)]
pub struct Covered {
    spans: Arc<[Span]>,
    range: Range<usize>,
}

impl Covered {
    /// In order, none touching another; the first and the last may reach beyond the period.
    pub fn spans(&self) -> &[Span] {
        &self.spans[self.range.clone()]
    }
}

/// One time that a window was, is or will be open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// The window's id.
    pub window: String,
    /// Its version.
    pub version: u32,
    /// When it is open, as far as this version applies.
    pub span: Span,
    /// When it begins as a whole: earlier than `span` where another version applied then.
    pub begins: UtcMicros,
    /// The checks that it covers meanwhile, or part of it.
    pub checks: Vec<CheckNo>,
}

/// The windows that name something, by what they name.
#[derive(Default)]
struct Named<'o> {
    checks: BTreeMap<&'o str, Vec<usize>>,
    groups: BTreeMap<&'o str, Vec<usize>>,
    tags: BTreeMap<&'o str, Vec<usize>>,
}

impl<'o> Named<'o> {
    fn add(&mut self, window: &'o MaintenanceWindow, version: usize) {
        let MaintenanceWindow { checks, groups, tags, .. } = window;
        for (by, names) in [(&mut self.checks, checks), (&mut self.groups, groups), (&mut self.tags, tags)] {
            names.iter().for_each(|name| by.entry(name).or_default().push(version));
        }
    }

    fn of(&self, revision: &CheckRevision) -> BTreeSet<usize> {
        let labels = &revision.labels;
        let by_id = self.checks.get(revision.definition.id.as_str());
        let by_group = labels.group.as_ref().and_then(|group| self.groups.get(group.as_str()));
        let by_tag = labels.tags.iter().filter_map(|tag| self.tags.get(tag.as_str()));
        by_id.into_iter().chain(by_group).chain(by_tag).flatten().copied().collect()
    }
}

impl WindowIndex {
    fn of(book: &Book) -> Self {
        let mut index = Self::default();
        let mut named = Named::default();
        for (id, versions) in book.objects.windows.iter() {
            for (at, revised) in versions.iter().enumerate().filter(|(_, revised)| !revised.retired) {
                let to = versions.get(at + 1).map_or(UtcMicros::MAX, |next| next.effective_from);
                let Revised { version: number, effective_from, body, .. } = revised;
                match Timetable::of(body) {
                    Ok(timetable) => {
                        let applies = Span::new(*effective_from, to);
                        let (id, number) = (id.to_owned(), *number);
                        named.add(body, index.versions.len());
                        let version = Version { id, number, timetable, applies, kept: Mutex::default() };
                        index.versions.push(version);
                    }
                    Err(faults) => {
                        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                        let faults = faults.join("; ");
                        tracing::error!(
                            "maintenance {id}@{number}: {faults}: it covers nothing until it is changed and applied"
                        );
                    }
                }
            }
        }
        if !index.versions.is_empty() {
            let covers = book.checks().filter_map(|check| Some((check.number, index.covers(&named, check)?)));
            index.by_check = covers.collect();
        }
        index
    }

    fn covers(&self, named: &Named<'_>, check: &Check) -> Option<Covers> {
        let mut during: BTreeMap<usize, Vec<Span>> = BTreeMap::new();
        for (at, revision) in check.revisions.iter().enumerate().filter(|(_, revision)| !revision.retired) {
            let to = check.revisions.get(at + 1).map_or(UtcMicros::MAX, |next| next.effective_from);
            // The life before the first revision is nobody's: counted with it, a version that is older than the check covers it as a whole.
            let from = if at == 0 { UtcMicros::MIN } else { revision.effective_from };
            for version in named.of(revision) {
                during.entry(version).or_default().push(Span::new(from, to).clip(self.versions[version].applies));
            }
        }
        let covers = during.into_iter().filter_map(|(version, during)| {
            let during = union(during);
            (!during.is_empty()).then_some(Cover { version, during })
        });
        let covers: Vec<Cover> = covers.collect();
        (!covers.is_empty()).then(|| Covers { covers, kept: Mutex::default() })
    }
}

impl Book {
    fn window_index(&self) -> &WindowIndex {
        self.windows.get_or_init(|| WindowIndex::of(self))
    }

    /// The maintenance windows that cover a check within a period.
    pub fn windows(&self, check: CheckNo, period: Span) -> Covered {
        let index = self.window_index();
        let Some(covers) = index.by_check.get(&check) else {
            return Covered { spans: Arc::from([]), range: 0..0 };
        };
        let spans = covers.spans(&index.versions, period.to).spans;
        let first = spans.partition_point(|span| span.to <= period.from);
        let last = spans.partition_point(|span| span.from < period.to);
        Covered { spans, range: first..last.max(first) }
    }

    /// The living checks that a window names as they are now: by their id, their group or a tag.
    pub fn named_by<'b>(&'b self, window: &'b MaintenanceWindow) -> impl Iterator<Item = &'b Check> {
        let is_named = |check: &&Check| {
            let Some(labels) = check.current().map(|current| &current.labels) else { return false };
            let any = |names: &[String], name: &str| names.iter().any(|one| one == name);
            any(&window.checks, check.id.as_str())
                || labels.group.as_ref().is_some_and(|group| any(&window.groups, group.as_str()))
                || labels.tags.iter().any(|tag| any(&window.tags, tag.as_str()))
        };
        self.checks().filter(is_named)
    }

    /// Every time that a window is open within a span, by its beginning, of one check or of all; `None` where there are more than `room`.
    pub fn occurrences(&self, check: Option<CheckNo>, within: Span, room: usize) -> Option<Vec<Occurrence>> {
        let index = self.window_index();
        let mut covered: BTreeMap<usize, Vec<(CheckNo, Vec<Span>)>> = BTreeMap::new();
        let asked = match check {
            Some(check) => index.by_check.range(check..=check),
            None => index.by_check.range(..),
        };
        for (number, covers) in asked {
            let lives = self.check(*number).map(Check::lives).unwrap_or_default();
            for Cover { version, during } in &covers.covers {
                let lived = during.iter().flat_map(|during| lives.iter().map(|life| life.clip(*during)));
                covered.entry(*version).or_default().push((*number, lived.collect()));
            }
        }
        let mut occurrences = Vec::new();
        for (version, covered) in covered.iter().map(|(version, covered)| (&index.versions[*version], covered)) {
            let within = within.clip(version.applies).clip(Span::new(UtcMicros::MIN, LAST));
            for open in version.timetable.open_after(within.from).take_while(|open| open.from < within.to) {
                let span = open.clip(version.applies);
                let meets = |during: &[Span]| during.iter().any(|during| !during.clip(span).is_empty());
                let checks = covered.iter().filter(|(_, during)| meets(during)).map(|(number, _)| *number);
                let checks: Vec<CheckNo> = checks.collect();
                if checks.is_empty() {
                    continue;
                }
                if occurrences.len() == room {
                    return None;
                }
                let (window, version) = (version.id.clone(), version.number);
                occurrences.push(Occurrence { window, version, span, begins: open.from, checks });
            }
        }
        occurrences.sort_by(|a, b| (a.span, &a.window).cmp(&(b.span, &b.window)));
        Some(occurrences)
    }
}

//! Lists of checks out of a snapshot: filtered, counted, sorted, a page at a time.
//!
//! Everything is answered from the snapshot, so that no list holds the book. A question looks at each check once and copies none; at 5,000 checks that
//! is a fraction of a millisecond, which needs no index beside the snapshot that could contradict it. What filters can offer ([`Facets`]) is counted once for each
//! snapshot, when it is first asked for.
//!
//! A [`Cursor`] names the row that a page begins after by what it is sorted by and its id, not by its place: rows that move, come or go between
//! two pages make the next page begin where the last one ended. A row that changed its verdict in between may be met twice or missed, as in every list that
//! is sorted by what changes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use sitepulse_model::impact::{Points, WHOLE};
use sitepulse_model::vote::Verdict;

use super::course::{self, Courses};
use super::{Snapshot, Strip};
use crate::present::dto::CheckView;

/// Rows of a page where nobody says.
pub const ROWS_DEFAULT: usize = 100;
/// Most rows of a page.
pub const ROWS_MAX: usize = 1_000;

/// Which checks a list is about. The default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// With one of these verdicts; empty: any.
    pub states: Vec<Verdict>,
    /// Only those that are suspended as a whole, or only those that are not.
    pub suspended: Option<bool>,
    /// In this group.
    pub group: InGroup,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// Of which an agent of this region is assigned now.
    pub region: Option<String>,
    /// Of this kind: `http`, `dns`, ...
    pub kind: Option<String>,
    /// Each word is part of the id, the target, the group or a tag; capitals do not matter.
    pub text: String,
}

/// Which group a check is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum InGroup {
    /// Any, or none.
    #[default]
    Any,
    /// None.
    Ungrouped,
    /// This one.
    Named(String),
}

/// What a list is sorted by; the id decides between equals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// What calls for somebody most: down, regional, degraded, unknown, maintenance, up.
    #[default]
    Severity,
    /// The id.
    Name,
    /// The availability of the last 24 h, lowest first.
    Availability,
    /// The weight, highest first.
    Weight,
    /// The impact score, highest first: [`Slice::scores`] tells it.
    Impact,
}

/// The part of a list that is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slice {
    /// By what.
    pub sort: Sort,
    /// From the other end. Checks without a figure to sort by come last all the same.
    pub reverse: bool,
    /// The row to begin after; `None`: from the beginning.
    pub after: Option<Cursor>,
    /// How many rows at most: see [`ROWS_DEFAULT`] and [`ROWS_MAX`].
    pub rows: Option<usize>,
    /// The checks' scores by id, for [`Sort::Impact`]; those without one are missing.
    pub scores: HashMap<String, Points>,
}

/// A row's place in a list: as text `RANK.ID`, for links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    rank: u64,
    id: String,
}

/// A text that is no cursor of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor that a list gave: begin without one")]
pub struct BadCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.rank, self.id)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (rank, id) = text.split_once('.').ok_or(BadCursor)?;
        let rank = u64::from_str_radix(rank, 16).map_err(|_| BadCursor)?;
        Ok(Self { rank, id: id.to_owned() })
    }
}

/// How many checks have which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    by_verdict: [usize; Verdict::ALL.len()],
    /// How many of them are suspended as a whole.
    pub suspended: usize,
}

impl Totals {
    /// All of them.
    pub fn checks(&self) -> usize {
        self.by_verdict.iter().sum()
    }

    /// Those with a verdict.
    pub const fn of(&self, verdict: Verdict) -> usize {
        self.by_verdict[verdict as usize]
    }

    /// The worst verdict that there is; `None` of no checks.
    pub fn worst(&self) -> Option<Verdict> {
        WORST_FIRST.into_iter().find(|verdict| self.of(*verdict) > 0)
    }

    fn add(&mut self, check: &CheckView) {
        self.by_verdict[verdict(check) as usize] += 1;
        self.suspended += usize::from(check.suspended.is_some());
    }
}

/// The verdicts by how much they call for somebody.
pub const WORST_FIRST: [Verdict; Verdict::ALL.len()] =
    [Verdict::Down, Verdict::Regional, Verdict::Degraded, Verdict::Unknown, Verdict::Maintenance, Verdict::Up];

/// The verdict of a check now.
pub fn verdict(check: &CheckView) -> Verdict {
    Verdict::ALL.iter().copied().find(|verdict| verdict.as_str() == check.verdict).unwrap_or(Verdict::Unknown)
}

/// What there is to filter by, each by name with its counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facets {
    /// All checks.
    pub totals: Totals,
    /// Groups.
    pub groups: BTreeMap<String, Totals>,
    /// The checks in no group.
    pub ungrouped: Totals,
    /// Tags.
    pub tags: BTreeMap<String, Totals>,
    /// Regions with an agent that is assigned to a check now.
    pub regions: BTreeMap<String, Totals>,
    /// Kinds.
    pub kinds: BTreeMap<String, Totals>,
}

/// What is worked out of a snapshot once for all who ask.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    facets: OnceLock<Arc<Facets>>,
    courses: OnceLock<Arc<Courses>>,
}

/// A check in a list.
#[derive(Debug, Clone, Copy)]
pub struct Row<'s> {
    /// The check.
    pub check: &'s Arc<CheckView>,
    /// Its verdicts of the last 24 h.
    pub strip: &'s Strip,
}

/// A part of a list.
#[derive(Debug, Clone)]
pub struct Page<'s> {
    /// The rows.
    pub rows: Vec<Row<'s>>,
    /// How many rows come before them.
    pub before: usize,
    /// How many checks the filter lets pass.
    pub found: usize,
    /// The same by verdict, and as if the filter named no state and no suspension: what a choice of states would show.
    pub totals: Totals,
    /// The cursor of the next page; `None` of the last one.
    pub next: Option<Cursor>,
    /// The cursor of the page before. `Some(None)` is the first page, `None` that this is the first.
    pub previous: Option<Option<Cursor>>,
}

impl Filter {
    /// Everything but the state and the suspension.
    fn names(&self, check: &CheckView, words: &[String]) -> bool {
        let group = match &self.group {
            InGroup::Any => true,
            InGroup::Ungrouped => check.group.is_none(),
            InGroup::Named(name) => check.group.as_ref() == Some(name),
        };
        group
            && self.kind.as_ref().is_none_or(|kind| *kind == check.kind)
            && self.tags.iter().all(|tag| check.tags.contains(tag))
            && self.region.as_ref().is_none_or(|region| check.agents.iter().any(|pair| pair.region == *region))
            && words.iter().all(|word| says(check, word))
    }

    fn lets_state_pass(&self, check: &CheckView) -> bool {
        (self.states.is_empty() || self.states.contains(&verdict(check)))
            && self.suspended.is_none_or(|suspended| suspended == check.suspended.is_some())
    }

    /// The words of the text, in small letters.
    fn words(&self) -> Vec<String> {
        self.text.split_whitespace().map(str::to_lowercase).collect()
    }
}

/// Whether a check's texts hold a word in small letters.
fn says(check: &CheckView, word: &str) -> bool {
    let texts = [&check.id, &check.target].into_iter().chain(&check.group).chain(&check.tags);
    texts.into_iter().any(|text| holds(text, word))
}

fn holds(text: &str, word: &str) -> bool {
    if text.is_ascii() {
        let (text, word) = (text.as_bytes(), word.as_bytes());
        word.is_empty() || text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
    } else {
        text.to_lowercase().contains(word)
    }
}

impl Slice {
    /// What a check is sorted by, ascending where the list is not reversed.
    fn rank(&self, check: &CheckView) -> u64 {
        let last = if self.reverse { u64::MIN } else { u64::MAX };
        match self.sort {
            Sort::Severity => {
                let verdict = verdict(check);
                WORST_FIRST.iter().position(|one| *one == verdict).map_or(last, |at| at as u64)
            }
            Sort::Name => 0,
            // Bits of floats from 0 on are in their order.
            Sort::Availability => check.sla.availability.map_or(last, |value| value.max(0.0).to_bits() + 1),
            Sort::Weight => u64::MAX - check.weight.max(0.0).to_bits(),
            Sort::Impact => {
                let below = |points: &Points| u64::from((WHOLE + 1).saturating_sub(points.0).max(1));
                self.scores.get(&check.id).map_or(last, below)
            }
        }
    }

    fn order(&self, a: (u64, &str), b: (u64, &str)) -> Ordering {
        let order = a.cmp(&b);
        if self.reverse { order.reverse() } else { order }
    }
}

impl Snapshot {
    /// A page of the checks that a filter lets pass, with their counts.
    pub fn query(&self, filter: &Filter, slice: &Slice) -> Page<'_> {
        let words = filter.words();
        let mut totals = Totals::default();
        let mut found: Vec<(u64, usize)> = Vec::new();
        for (at, check) in self.checks.iter().enumerate() {
            if !filter.names(check, &words) {
                continue;
            }
            totals.add(check);
            if filter.lets_state_pass(check) {
                found.push((slice.rank(check), at));
            }
        }
        let key = |(rank, at): &(u64, usize)| (*rank, self.checks[*at].id.as_str());
        found.sort_by(|a, b| slice.order(key(a), key(b)));
        let before = slice.after.as_ref().map_or(0, |cursor| {
            let after = (cursor.rank, cursor.id.as_str());
            found.partition_point(|one| slice.order(key(one), after) != Ordering::Greater)
        });
        let rows = slice.rows.unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX);
        let shown = &found[before..found.len().min(before + rows)];
        let cursor = |at: usize| {
            let (rank, id) = key(&found[at]);
            Cursor { rank, id: id.to_owned() }
        };
        let end = before + shown.len();
        Page {
            rows: shown.iter().map(|(_, at)| Row { check: &self.checks[*at], strip: &self.strips[*at] }).collect(),
            before,
            found: found.len(),
            totals,
            next: (end < found.len()).then(|| cursor(end.saturating_sub(1))),
            previous: (before > 0).then(|| before.checked_sub(rows + 1).map(cursor)),
        }
    }

    /// One check by its id. Checks are in the order of their ids.
    pub fn check(&self, id: &str) -> Option<Row<'_>> {
        let at = self.checks.binary_search_by(|check| check.id.as_str().cmp(id)).ok()?;
        Some(Row { check: &self.checks[at], strip: &self.strips[at] })
    }

    /// What there is to filter by, with counts.
    pub fn facets(&self) -> &Facets {
        self.shelf.facets.get_or_init(|| Arc::new(Facets::of(&self.checks)))
    }

    /// How groups fared in each of the last 24 hours.
    pub fn courses(&self) -> &Courses {
        self.shelf.courses.get_or_init(|| Arc::new(course::of(self)))
    }

    /// Works out what pages will ask for, so that no reader has to wait for it.
    pub fn work_out(&self) {
        self.facets();
        self.courses();
    }
}

impl Facets {
    fn of(checks: &[Arc<CheckView>]) -> Self {
        let mut facets = Self::default();
        for check in checks {
            let add = |by: &mut BTreeMap<String, Totals>, name: &str| match by.get_mut(name) {
                Some(totals) => totals.add(check),
                None => by.entry(name.to_owned()).or_default().add(check),
            };
            facets.totals.add(check);
            match &check.group {
                Some(group) => add(&mut facets.groups, group),
                None => facets.ungrouped.add(check),
            }
            check.tags.iter().for_each(|tag| add(&mut facets.tags, tag));
            add(&mut facets.kinds, &check.kind);
            // Pairs are sorted by region.
            let mut before = None;
            for region in check.agents.iter().map(|pair| pair.region.as_str()) {
                if before != Some(region) {
                    add(&mut facets.regions, region);
                }
                before = Some(region);
            }
        }
        facets
    }
}

#[cfg(test)]
mod tests;

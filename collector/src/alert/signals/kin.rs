//! What a check hangs on: while a parent is down, or a parent of it, the check opens no incident of its own.
//!
//! Outages behind a router are found out in any order. So a child's incident stays suspected while a parent is down or would be if its newest results were confirmed;
//! until every live voter of each parent was heard since the child's first failing result, for as long as the parent may take to notice, but no more than two minutes
//! longer than the child itself may take; and, once a parent is back, until the child fails in results from after that. An incident that is open already keeps its
//! state, and its pages are held.
//!
//! A parent that nobody can tell of (no live voter) keeps nothing back.

use std::collections::BTreeSet;

use sitepulse_model::check::CheckDefinition;
use sitepulse_model::id::{CheckId, CheckNo};
use sitepulse_model::incident::{Condition, HoldReason};
use sitepulse_model::present::Present;
use sitepulse_model::time::{SECOND_US, UtcMicros};
use sitepulse_model::vote::Verdict;

use super::{Look, bad_voice};
use crate::book::{Book, Check};

/// How far back the end of a parent's outage is looked for at least: an hour, in microseconds.
const LOOK_BACK_US: i64 = 3_600 * SECOND_US;

/// How much longer than a child itself a parent may take to notice, in microseconds: two minutes. A child's page waits no longer for a parent that runs rarely.
const SLOWER_US: i64 = 120 * SECOND_US;

/// How long a check may take to notice that it is down, in microseconds.
fn notices_us(definition: &CheckDefinition) -> i64 {
    let confirmations = u64::from(definition.confirmations.max(1));
    let notices_us = confirmations.saturating_mul(definition.interval_us).saturating_add(definition.timeout_us);
    i64::try_from(notices_us).unwrap_or(i64::MAX)
}

/// What a check that others hang on says.
#[derive(Debug)]
pub(super) struct Kin {
    present: Present,
    /// How long it may take to notice that it is down, in microseconds.
    notices_us: i64,
    /// When it came back, as far as was looked.
    back: Option<UtcMicros>,
    looked_us: i64,
}

/// What its parents leave of a child's condition.
pub(super) struct Left {
    /// The condition.
    pub(super) condition: Condition,
    /// Whether they hold its pages.
    pub(super) hold: Option<HoldReason>,
    /// When a parent has had the time to notice.
    pub(super) noticed: Option<UtcMicros>,
    /// Whether it is bad, and stays a suspicion because a parent is down, or was when it was heard.
    pub(super) behind: bool,
}

/// Everything that a check hangs on, however far up; not itself, though somebody made a circle of it.
pub(super) fn ancestors(book: &Book, check: &Check) -> BTreeSet<CheckNo> {
    let parents = |check: &Check| check.current().map(|current| current.labels.parents.clone()).unwrap_or_default();
    let mut found = BTreeSet::new();
    let mut ahead: Vec<CheckId> = parents(check).into_iter().collect();
    while let Some(id) = ahead.pop() {
        let Some(parent) = book.check_by_id(&id).filter(|parent| !parent.retired()) else { continue };
        if parent.number != check.number && found.insert(parent.number) {
            ahead.extend(parents(parent));
        }
    }
    found
}

/// The checks that name a check as a parent.
pub(super) fn children(book: &Book, check: CheckNo) -> Vec<CheckNo> {
    let Some(id) = book.check(check).map(|check| &check.id) else { return Vec::new() };
    let hangs = |child: &&Check| child.current().is_some_and(|current| current.labels.parents.contains(id));
    book.checks().filter(hangs).map(|child| child.number).collect()
}

impl Look<'_> {
    fn kin(&mut self, number: CheckNo, look_us: i64) -> Option<&Kin> {
        if self.kin.get(&number).is_none_or(|kin| kin.looked_us < look_us) {
            let (book, desk, now) = (self.book, self.desk, self.now);
            let check = book.check(number)?;
            let definition = &check.current()?.definition;
            let late = |agent| desk.present.late_upto(book, (number, agent));
            let present = book.present(check, now, late);
            let kin = Kin {
                present,
                notices_us: notices_us(definition),
                back: book.down_until(check, now.plus_us(-look_us), now),
                looked_us: look_us,
            };
            self.kin.insert(number, kin);
        }
        self.kin.get(&number)
    }

    /// A child's condition as its parents leave it.
    pub(super) fn behind(&mut self, check: &Check, present: &Present, condition: Condition, open: bool) -> Left {
        let now = self.now;
        let since = match condition {
            Condition::Bad { since, .. } | Condition::Suspect { since, .. } => Some(since),
            Condition::Good | Condition::Unknown => None,
        };
        // The oldest of the newest results that speak for it.
        let heard = present.voices.iter().filter(|voice| bad_voice(voice)).map(|voice| voice.slot).min();
        let look_us = LOOK_BACK_US.max(check.hold_us(check.newest().revision));
        let most_us = notices_us(&check.newest().definition).saturating_add(SLOWER_US);
        let (mut waits, mut held) = (false, false);
        let mut noticed: Option<UtcMicros> = None;
        for parent in ancestors(self.book, check) {
            let Some(kin) = self.kin(parent, look_us) else { continue };
            let before_it_was_back = kin.back.is_some_and(|back| heard.is_some_and(|heard| heard < back));
            let by = since.map(|since| since.plus_us(kin.notices_us.min(most_us))).filter(|by| now < *by);
            let may_notice = by.is_some() && since.is_some_and(|since| !kin.present.heard_since(since));
            noticed = [noticed, by].into_iter().flatten().min();
            waits |= kin.present.down_or_suspected() || before_it_was_back || may_notice;
            held |= kin.present.confirmed.verdict == Verdict::Down || before_it_was_back;
        }
        // While a parent only may notice yet, or is suspected, nobody knows what the child hangs behind.
        let behind = matches!(condition, Condition::Bad { .. }) && held && !open;
        let condition = match condition {
            Condition::Bad { since, severity } if waits && !open => Condition::Suspect { since, severity },
            Condition::Bad { .. } | Condition::Suspect { .. } | Condition::Good | Condition::Unknown => condition,
        };
        Left { condition, hold: (open && held).then_some(HoldReason::Parent), noticed, behind }
    }
}

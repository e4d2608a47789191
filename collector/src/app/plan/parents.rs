//! Parents that do no good: those that go in a circle, so that none of these checks ever opened an incident, and those that run too rarely to spare a page.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::duration;

use crate::book::{Book, Labels};
use crate::checkfile::Written;

/// So many times a child's interval a parent's may be: one that runs more rarely is found down when its child was paged for.
const SLOWER_MAX: u64 = 5;

/// Parents that run much more rarely than a child, where either of them is written.
pub(super) fn slow(book: &Book, written: &Written, prune: bool) -> Vec<String> {
    let own: BTreeMap<&str, (&Labels, u64)> = written
        .checks
        .iter()
        .map(|check| (check.definition.id.as_str(), (&check.labels, check.definition.interval_us)))
        .collect();
    let current = book.checks().filter_map(|check| {
        let current = check.current()?;
        Some((check.id.as_str(), (&current.labels, current.definition.interval_us)))
    });
    let stays = current.filter(|(id, _)| !prune && !own.contains_key(id));
    let all: BTreeMap<&str, (&Labels, u64)> = stays.chain(own.iter().map(|(id, check)| (*id, *check))).collect();
    let mut told = Vec::new();
    for (id, (labels, interval_us)) in &all {
        for parent in labels.parents.iter().map(|parent| parent.as_str()) {
            let Some((_, theirs_us)) = all.get(parent) else { continue };
            let is_written = own.contains_key(id) || own.contains_key(parent);
            if is_written && *theirs_us > interval_us.saturating_mul(SLOWER_MAX) {
                told.push(format!(
                    "check {id} hangs on {parent}, which runs every {}, and itself every {}: its pages wait 2 min at most for so slow a parent, give that a shorter interval",
                    duration::format(*theirs_us),
                    duration::format(*interval_us)
                ));
            }
        }
    }
    told
}

/// Each circle of parents that would be there after applying, once; with the place where a file closes it.
pub(super) fn circles(book: &Book, written: &Written, prune: bool) -> Vec<String> {
    let own: BTreeMap<&str, &Labels> =
        written.checks.iter().map(|check| (check.definition.id.as_str(), &check.labels)).collect();
    let current = book.checks().filter_map(|check| Some((check.id.as_str(), &check.current()?.labels)));
    let stays = current.filter(|(id, _)| !prune && !own.contains_key(id));
    let all: BTreeMap<&str, &Labels> = stays.chain(own.iter().map(|(id, labels)| (*id, *labels))).collect();
    let parents = |id: &str| all.get(id).into_iter().flat_map(|labels| labels.parents.iter().map(|id| id.as_str()));

    let mut told = Vec::new();
    // Nothing above these leads back to them.
    let mut clear: BTreeSet<&str> = BTreeSet::new();
    for start in all.keys().copied() {
        // The way up from `start`, and which parents of each are still to be tried.
        let mut way: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut ahead = (!clear.contains(start)).then_some(start);
        while let Some(id) = ahead.take() {
            way.push((id, parents(id).collect()));
            while ahead.is_none()
                && let Some((id, left)) = way.last_mut()
            {
                let Some(next) = left.pop() else {
                    clear.insert(*id);
                    way.pop();
                    continue;
                };
                match way.iter().position(|(id, _)| *id == next) {
                    Some(from) => {
                        let circle: Vec<&str> = way[from..].iter().map(|(id, _)| *id).collect();
                        told.push(complaint(written, &circle));
                    }
                    None if !clear.contains(next) => ahead = Some(next),
                    None => {}
                }
            }
        }
    }
    told
}

/// `circle`: each hangs on the one after it, and the last on the first.
fn complaint(written: &Written, circle: &[&str]) -> String {
    let next = |at: usize| circle[(at + 1) % circle.len()];
    let place = circle.iter().enumerate().find_map(|(at, id)| {
        let check = written.checks.iter().find(|check| check.definition.id.as_str() == *id)?;
        let (reference, place) = check.references.iter().find(|(reference, _)| reference.name == next(at))?;
        Some(format!("{place}: check {id:?}: {}: ", reference.field))
    });
    let around: Vec<&str> = circle.iter().copied().chain(circle.first().copied()).collect();
    let place = place.unwrap_or_default();
    format!("{place}a check cannot hang on itself ({}): leave one of these parents out", around.join(" -> "))
}

//! The findings that stand, in memory: those that are not over, and those that may come back. Kept by the writer's thread after each commit, read by everybody.
//!
//! A step ([`Engine::note_looks`], [`Engine::act_on_finding`]) finds out what changes, writes all of it in one transaction, and puts it on the shelf then: what is shown is
//! durable. A write that fails changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use sitepulse_daemon::instant;
use sitepulse_model::id::{Bucket, fnv1a_of};
use sitepulse_model::impact::Findings;
use sitepulse_model::insight::found::Found;
use sitepulse_model::insight::input::Sight;
use sitepulse_model::insight::{Kind, Subject};
use sitepulse_model::time::UtcMicros;

use super::life::{Entry, Life, NOTE_CHARS_MAX, REOPEN_US, Refused, State};
use super::look::{Hit, Look, Target};
use super::{EVIDENCE, FindingId, Standing, Worded, bucket_of, signal};
use crate::alert::short;
use crate::app::AppError;
use crate::engine::Engine;
use crate::store::{StoreError, Tables, findings as stored};

/// Certificates that are kept of a check: so many that two renewals are among them when several servers show their own.
pub(crate) const CERTIFICATES_KEPT: usize = 6;

/// Certificates that were seen, the oldest first, by the check's id.
pub(crate) type Certificates = BTreeMap<String, Vec<Sight>>;

/// See the module.
#[derive(Debug, Default)]
pub struct Shelf(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    standing: BTreeMap<FindingId, Arc<Standing>>,
    /// The findings that count for a check.
    of_check: BTreeMap<String, BTreeSet<FindingId>>,
    /// Those that are found by looking at a target, by what they are and whom they are about. No step goes over all that stand.
    of_target: BTreeMap<Target, BTreeSet<(Kind, Subject, FindingId)>>,
    /// Those that are over and may come back, by when they were.
    over: BTreeSet<(UtcMicros, FindingId)>,
    /// When what was looked at last, by [`Target::key`].
    looks: BTreeMap<String, UtcMicros>,
    /// The newest certificates that were seen of each check, by its id.
    certificates: Certificates,
    /// Counts what changed of each check's findings.
    versions: BTreeMap<String, u64>,
}

impl Inner {
    fn put(&mut self, standing: Standing) {
        self.take(&standing.id.clone());
        for check in &standing.checks {
            self.of_check.entry(check.clone()).or_default().insert(standing.id.clone());
            *self.versions.entry(check.clone()).or_default() += 1;
        }
        let Found { kind, subject, .. } = &standing.found;
        let key = (*kind, subject.clone(), standing.id.clone());
        self.of_target.entry(Target::of_subject(subject)).or_default().insert(key);
        self.over.extend(standing.life.closed_at.map(|at| (at, standing.id.clone())));
        self.standing.insert(standing.id.clone(), Arc::new(standing));
    }

    fn take(&mut self, id: &FindingId) {
        let Some(before) = self.standing.remove(id) else { return };
        for check in &before.checks {
            if let Some(ids) = self.of_check.get_mut(check) {
                ids.remove(id);
                if ids.is_empty() {
                    self.of_check.remove(check);
                }
            }
            *self.versions.entry(check.clone()).or_default() += 1;
        }
        let Found { kind, subject, .. } = &before.found;
        let target = Target::of_subject(subject);
        if let Some(theirs) = self.of_target.get_mut(&target) {
            theirs.remove(&(*kind, subject.clone(), id.clone()));
            if theirs.is_empty() {
                self.of_target.remove(&target);
            }
        }
        if let Some(at) = before.life.closed_at {
            self.over.remove(&(at, id.clone()));
        }
    }

    /// Everything that looking at a target may find again, in the order of kinds and subjects.
    fn of_target(&self, target: &Target) -> impl Iterator<Item = &Arc<Standing>> {
        let keys = self.of_target.get(target).into_iter().flatten();
        keys.filter_map(|(_, _, id)| self.standing.get(id))
    }

    /// The one that something found now is again.
    fn known(&self, kind: Kind, subject: &Subject, now: UtcMicros) -> Option<&Arc<Standing>> {
        let target = Target::of_subject(subject);
        let theirs = self.of_target(&target);
        let same = theirs.filter(|one| one.found.kind == kind && one.found.subject == *subject);
        same.filter(|one| one.life.takes(now)).max_by_key(|one| one.life.opened_at)
    }

    /// Those that cannot come back any more.
    fn past(&self, now: UtcMicros) -> Vec<FindingId> {
        let past = |id: &FindingId| self.standing.get(id).is_none_or(|one| !one.life.takes(now));
        self.over.iter().map(|(_, id)| id).take_while(|id| past(id)).cloned().collect()
    }
}

impl Shelf {
    /// Since when closed findings are asked of the store at a start.
    pub(crate) fn looks_back(now: UtcMicros) -> UtcMicros {
        now.plus_us(-REOPEN_US)
    }

    pub(crate) fn restore(
        standing: Vec<Standing>,
        looks: BTreeMap<String, UtcMicros>,
        certificates: Certificates,
    ) -> Self {
        let mut inner = Inner { looks, certificates, ..Inner::default() };
        standing.into_iter().for_each(|one| inner.put(one));
        Self(RwLock::new(inner))
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The findings that are not over, the oldest first.
    pub fn standing(&self) -> Vec<Arc<Standing>> {
        let mut all: Vec<_> =
            self.read().standing.values().filter(|one| one.life.state != State::Closed).map(Arc::clone).collect();
        all.sort_by(|a, b| (a.life.opened_at, &a.id).cmp(&(b.life.opened_at, &b.id)));
        all
    }

    /// Those of them that count for a check.
    pub fn of_check(&self, check: &str) -> Vec<Arc<Standing>> {
        let inner = self.read();
        let ids = inner.of_check.get(check).into_iter().flatten();
        let found = ids.filter_map(|id| inner.standing.get(id)).filter(|one| one.life.state != State::Closed);
        found.map(Arc::clone).collect()
    }

    /// The newest certificates that were seen of a check, each when it was seen first.
    pub fn certificates_of(&self, check: &str) -> Vec<Sight> {
        self.read().certificates.get(check).cloned().unwrap_or_default()
    }

    /// The findings that are not over and that looking at a target would find.
    pub fn of_target(&self, target: &Target) -> Vec<Arc<Standing>> {
        self.read().of_target(target).filter(|one| one.life.state != State::Closed).map(Arc::clone).collect()
    }

    /// What they add to the impact score of a check; `None` where no detector looked at it yet.
    pub fn signal(&self, check: &str, now: UtcMicros) -> Option<Findings> {
        self.looked(&Target::Check(check.to_owned()))?;
        Some(signal(self.of_check(check).iter().map(|one| &**one), now))
    }

    /// Changes with every change of what [`Self::signal`] is made of, but for time alone.
    pub fn print_of(&self, check: &str) -> u64 {
        let inner = self.read();
        let looked = inner.looks.contains_key(&Target::Check(check.to_owned()).key());
        inner.versions.get(check).copied().unwrap_or_default() * 2 + u64::from(looked)
    }

    /// When something was looked at last.
    pub fn looked(&self, target: &Target) -> Option<UtcMicros> {
        self.read().looks.get(&target.key()).copied()
    }

    /// Everything that was ever looked at and is not gone.
    pub fn all_looks(&self) -> BTreeMap<String, UtcMicros> {
        self.read().looks.clone()
    }

    /// The one that something found now is again.
    fn known(&self, kind: Kind, subject: &Subject, now: UtcMicros) -> Option<Arc<Standing>> {
        self.read().known(kind, subject, now).map(Arc::clone)
    }

    fn get(&self, id: &FindingId) -> Option<Arc<Standing>> {
        self.read().standing.get(id).map(Arc::clone)
    }
}

/// What a step changes.
#[derive(Default)]
struct Step {
    set: BTreeMap<FindingId, Standing>,
    entries: Vec<(FindingId, Bucket, u64, String, Entry)>,
    /// Looks to be noted.
    looks: Vec<(Bucket, String)>,
    /// Looks to be forgotten.
    gone: Vec<(Bucket, String)>,
    /// Certificates that were seen first, by the check's id.
    certificates: Vec<(String, Sight)>,
    /// Seen again, and nothing else: not worth a write.
    seen: Vec<Standing>,
}

impl Step {
    fn change(&mut self, mut standing: Standing, author: &str, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            standing.entries += 1;
            let id = standing.id.clone();
            self.entries.push((id, standing.bucket, standing.entries, author.to_owned(), entry));
        }
        self.set.insert(standing.id.clone(), standing);
    }

    fn write(&self, tables: Tables<'_>, now: UtcMicros) -> Result<(), StoreError> {
        self.set.values().try_for_each(|standing| stored::set(tables, standing))?;
        for (id, bucket, number, author, entry) in &self.entries {
            stored::append_entry(tables, (*bucket, id), *number, (now, author), entry)?;
        }
        self.looks.iter().try_for_each(|(bucket, key)| stored::note_look(tables, *bucket, key, now))?;
        for (check, sight) in &self.certificates {
            stored::note_certificate(tables, Bucket::of(check), check, *sight, CERTIFICATES_KEPT)?;
        }
        self.gone.iter().try_for_each(|(bucket, key)| stored::forget_look(tables, *bucket, key))
    }
}

/// What looks came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noted {
    /// Findings that are new, or open again.
    pub opened: usize,
    /// Findings that are over.
    pub closed: usize,
}

/// What a person does to a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Somebody knows, and says why it may stay.
    Acknowledge {
        /// Why.
        note: String,
    },
    /// The acknowledgement is taken back.
    TakeBack,
}

impl Engine {
    /// Takes in what looks found: findings open, go on, close.
    ///
    /// # Errors
    /// When the store takes no write; nothing changed then.
    pub fn note_looks(&mut self, looks: &[Look], now: UtcMicros) -> Result<Noted, AppError> {
        let shared = Arc::clone(&self.shared);
        let shelf = &shared.findings;
        let (mut step, mut noted) = (Step::default(), Noted::default());
        for look in looks {
            if let (Target::Check(check), Some(ends_at)) = (&look.target, look.certificate_ends)
                && shelf.certificates_of(check).iter().all(|sight| sight.ends_at != ends_at)
            {
                step.certificates.push((check.clone(), Sight { seen_at: now, ends_at }));
            }
            let key = (look.target.bucket(), look.target.key());
            if look.gone {
                step.gone.push(key);
            } else if look.full {
                step.looks.push(key);
            }
            let mut found = BTreeSet::new();
            for hit in &look.hits {
                found.insert((hit.finding.kind, hit.finding.subject.clone()));
                noted.opened += usize::from(self.seen(&mut step, hit, look.full, now)?);
            }
            let standing = shelf.of_target(&look.target);
            let missed = standing.iter().filter(|one| look.answers_for(one.found.kind, &one.found.subject));
            for one in missed.filter(|one| !found.contains(&(one.found.kind, one.found.subject.clone()))) {
                let mut one = step.set.get(&one.id).cloned().unwrap_or_else(|| (**one).clone());
                let since = one.life.missing_since;
                let entry = if look.gone { one.life.gone(now) } else { one.life.missing(one.found.kind, now) };
                noted.closed += usize::from(entry.is_some());
                if entry.is_some() || one.life.missing_since != since {
                    step.change(one, EVIDENCE, entry);
                }
            }
        }
        self.keep_findings(step, now)?;
        Ok(noted)
    }

    /// Whether it is new, or open again.
    fn seen(&self, step: &mut Step, hit: &Hit, full: bool, now: UtcMicros) -> Result<bool, AppError> {
        let Hit { finding, checks } = hit;
        let mut finding = finding.clone();
        let known = self.shared.findings.known(finding.kind, &finding.subject, now);
        let Some(known) = known else {
            let (life, entry) = Life::open(finding.severity, now);
            let (bucket, id) = (bucket_of(&finding.subject), self.fresh_id(step, &finding.subject, finding.kind, now)?);
            let (checks, entries) = (checks.clone(), 0);
            step.change(
                Standing { bucket, id, found: finding, checks, life, wording: None, entries },
                EVIDENCE,
                [entry],
            );
            return Ok(true);
        };
        let before = step.set.get(&known.id).cloned().unwrap_or_else(|| (*known).clone());
        let mut after = before.clone();
        let entries = after.life.seen(finding.severity, now);
        let again = entries.iter().any(|entry| matches!(entry, Entry::Reopened { .. }));
        if !again {
            // Where a search by windows moves its answer a little each hour, it began when it was told to begin.
            finding.since = finding.since.min(before.found.since);
        }
        (after.found, after.checks) = (finding, checks.clone());
        if after.life.severity > before.life.severity || again {
            after.wording = None;
        }
        let quiet = entries.is_empty() && after.found == before.found && after.checks == before.checks;
        let same = quiet
            && after.life.missing_since == before.life.missing_since
            && after.life.milder_since == before.life.milder_since;
        if same && !full && !step.set.contains_key(&after.id) {
            step.seen.push(after);
        } else {
            step.change(after, EVIDENCE, entries);
        }
        Ok(again)
    }

    fn fresh_id(&self, step: &Step, subject: &Subject, kind: Kind, now: UtcMicros) -> Result<FindingId, StoreError> {
        let day = instant::format(now).get(..10).unwrap_or_default().replace('-', "");
        let what = format!("{subject:?}/{}", kind.as_str());
        let mut nonce = 0_u32;
        loop {
            let hash = fnv1a_of(&[what.as_bytes(), &now.0.to_le_bytes(), &nonce.to_le_bytes()]);
            let id = FindingId(format!("{day}-{}", short(hash, 7)));
            if !step.set.contains_key(&id) && !stored::is_taken(self.store.read(), &id)? {
                return Ok(id);
            }
            nonce += 1;
        }
    }

    /// Does what a person asks to a finding.
    ///
    /// # Errors
    /// When there is none of that id, it is over or not as the act needs it, or the store takes no write.
    pub fn act_on_finding(&mut self, id: &FindingId, act: &Act, author: &str, now: UtcMicros) -> Result<(), AppError> {
        let known = self.shared.findings.get(id);
        let known = match known {
            Some(known) => known,
            None if stored::is_taken(self.store.read(), id)? => {
                return Err(AppError::Conflict(format!("finding {id} is over: there is nothing to acknowledge")));
            }
            None => {
                let what = format!("there is no finding {id}: `sitepulse-collector findings` lists what there is");
                return Err(AppError::NotFound(what));
            }
        };
        let mut standing = (*known).clone();
        let entry = match act {
            Act::Acknowledge { note } => standing.life.acknowledge(author, note, now),
            Act::TakeBack => standing.life.take_back(now),
        };
        let entry = entry.map_err(|refused| match refused {
            Refused::Closed => AppError::Conflict(format!("finding {id} is over: there is nothing to acknowledge")),
            Refused::NotAcknowledged => {
                AppError::Conflict(format!("finding {id} is not acknowledged: there is nothing to take back"))
            }
            Refused::Note => AppError::Invalid(format!(
                "say why it may stay, or what is done about it: a note of 1 to {NOTE_CHARS_MAX} characters"
            )),
        })?;
        let mut step = Step::default();
        step.change(standing, author, [entry]);
        self.keep_findings(step, now)?;
        Ok(())
    }

    /// Puts what a service wrote beside a finding, if that still is what it was asked about.
    ///
    /// # Errors
    /// When the store takes no write.
    pub(crate) fn put_wording(&mut self, id: &FindingId, worded: Worded, now: UtcMicros) -> Result<(), AppError> {
        let Some(known) = self.shared.findings.get(id) else { return Ok(()) };
        if known.life.state == State::Closed || known.life.severity != worded.severity {
            return Ok(());
        }
        let mut step = Step::default();
        step.change(Standing { wording: Some(worded), ..(*known).clone() }, EVIDENCE, []);
        Ok(self.keep_findings(step, now)?)
    }

    fn keep_findings(&mut self, step: Step, now: UtcMicros) -> Result<(), StoreError> {
        let changed = !step.set.is_empty();
        if changed || !step.looks.is_empty() || !step.gone.is_empty() || !step.certificates.is_empty() {
            self.store.write(|tables| step.write(tables, now))?;
        }
        let mut inner = self.shared.findings.0.write().unwrap_or_else(PoisonError::into_inner);
        inner.looks.extend(step.looks.into_iter().map(|(_, key)| (key, now)));
        for (check, sight) in step.certificates {
            let kept = inner.certificates.entry(check).or_default();
            kept.push(sight);
            let over = kept.len().saturating_sub(CERTIFICATES_KEPT);
            kept.drain(..over);
        }
        for (_, key) in step.gone {
            inner.looks.remove(&key);
            if let Some(Target::Check(check)) = Target::of_key(&key) {
                inner.certificates.remove(&check);
            }
        }
        for one in step.seen {
            // Nothing that counts changed.
            inner.standing.insert(one.id.clone(), Arc::new(one));
        }
        step.set.into_values().for_each(|one| inner.put(one));
        // What cannot come back is the store's alone.
        let past = inner.past(now);
        past.iter().for_each(|id| inner.take(id));
        drop(inner);
        if changed {
            self.shared.pulses.finding_changed();
            self.shared.tick();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sitepulse_model::insight::found::{Evidence, Expires};
    use sitepulse_model::insight::{Confidence, Severity};

    use super::*;

    const NOW: UtcMicros = UtcMicros(1_790_000_000_000_000);

    fn standing(check: usize) -> Standing {
        let subject = Subject::Check { check: format!("c-{check}"), part: "certificate".to_owned() };
        let evidence =
            Evidence::Expiry { what: Expires::Certificate, ends_at: NOW, left_us: 0, seen_at: NOW, told_from_us: 1 };
        let (bucket, id) = (bucket_of(&subject), FindingId(format!("20260921-{check:07}")));
        let found = Found::new(subject, Severity::Warning, Confidence(1_000), evidence, NOW);
        let (checks, (life, _)) = (BTreeSet::from([format!("c-{check}")]), Life::open(Severity::Warning, NOW));
        Standing { bucket, id, found, checks, life, wording: None, entries: 1 }
    }

    /// What the indexes would be, made anew.
    fn holds(inner: &Inner) {
        let mut anew = Inner::default();
        inner.standing.values().for_each(|one| anew.put((**one).clone()));
        assert_eq!((&inner.of_target, &inner.over, &inner.of_check), (&anew.of_target, &anew.over, &anew.of_check));
    }

    /// Each look went over all that stood, on the writer's thread: 5,000 looks at 5,000 findings compared 25 million times.
    #[test]
    fn a_look_asks_for_its_own_findings_and_not_for_all_that_stand() {
        const CHECKS: usize = 5_000;
        let mut inner = Inner::default();
        (0..CHECKS).for_each(|check| inner.put(standing(check)));
        let mut compared = 0;
        for check in 0..CHECKS {
            let one = standing(check);
            let target = Target::of_subject(&one.found.subject);
            compared += inner.of_target(&target).count();
            assert_eq!(inner.known(one.found.kind, &one.found.subject, NOW).map(|known| &known.id), Some(&one.id));
        }
        assert_eq!(compared, CHECKS);
        assert!(inner.past(NOW).is_empty());
        holds(&inner);
    }

    #[test]
    fn indexes_follow_what_stands() {
        let mut inner = Inner::default();
        (0..20).for_each(|check| inner.put(standing(check)));
        let mut over = standing(3);
        over.life.gone(NOW).unwrap();
        inner.put(over.clone());
        holds(&inner);
        let subject = over.found.subject.clone();
        let back = |inner: &Inner, at: UtcMicros| inner.known(over.found.kind, &subject, at).is_some();
        assert!(back(&inner, NOW.plus_us(REOPEN_US - 1)) && !back(&inner, NOW.plus_us(REOPEN_US)));
        assert_eq!(inner.past(NOW.plus_us(REOPEN_US - 1)), []);
        assert_eq!(inner.past(NOW.plus_us(REOPEN_US)), [over.id.clone()]);
        // Open again it is not past, however long.
        inner.put(standing(3));
        assert_eq!(inner.past(NOW.plus_us(9 * REOPEN_US)), []);
        holds(&inner);
        inner.take(&over.id);
        assert!(!back(&inner, NOW));
        holds(&inner);
    }
}

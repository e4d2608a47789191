//! The scores of now, in memory: kept as evidence changes, read by everybody.
//!
//! [`Board::refresh`] brings them up to date. It finds out what must be found again by looking at little: each check has a *print*, a number that changes when something changed
//! that may change its verdicts (a run of equal results ends or begins, a record comes in late, a streak grows that may be confirmed, a definition changes), and its list of incidents. What
//! changed is found again at once. Each minute a check is looked at for what time alone does to it (its *pulse*): one that is down loses ever more, and silence, a window, a
//! suspension or a finding that turns stale changes what counts without a word from anybody. That is found again from the book alone. What turned its hour, or what something bigger changed (weights, suspensions, windows, the model), is found again in turns of [`TURN`]
//! checks, for it reads the store; until then its score stands as it was found. How regions see what was found again follows ([`Board::refresh_regions`]), for it costs as
//! much again for each of them. By another model the scores are found beside those of the old one, which are told, with its name, until all of them are there.
//!
//! Readers take an [`Arc`] and wait for nobody. The book's guard is taken for each check anew, or to look at [`SLICE`] of them, and never while the store is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use sitepulse_model::id::{CheckNo, Group};
use sitepulse_model::impact::together::{Member, Together};
use sitepulse_model::impact::{Findings, Signals};
use sitepulse_model::series::Seen;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::Verdict;
use tokio::sync::Mutex;

use super::evidence::{self, Frame, Slow};
use super::regions;
use super::regions::{Found, Regions};
use super::{Basis, CheckScore, Model, id_of, of_one, scored, signals};
use crate::app::{App, AppError};
use crate::book::{Book, Check, Filter, Histories};
use crate::latency::Hour;
use crate::store::impact::openings;

/// How many checks turn their hour at a time.
pub const TURN: usize = 100;
/// How many checks are looked at under one guard of the book.
const SLICE: usize = 256;
/// How often a check is looked at for what time alone does, in microseconds: each minute, not all in the same second.
const PULSE_US: i64 = 60_000_000;
/// Incidents are read at least so often, in microseconds: 5 s.
const OPENINGS_US: i64 = 5_000_000;

/// The scores of an instant.
#[derive(Debug, Clone)]
pub struct Scores {
    /// When something of them was found last.
    pub as_of: UtcMicros,
    /// What the model is called that they were found by.
    pub model: Model,
    /// Living checks by number.
    pub checks: BTreeMap<CheckNo, Arc<CheckScore>>,
    /// Groups by name; those without a score are missing.
    pub groups: BTreeMap<Group, Together>,
    /// All checks together.
    pub whole: Option<Together>,
    /// The same as each region sees it; empty before they were found.
    pub regions: Arc<Regions>,
    /// The groups, and all checks together (`None`), whose score is told as it was written down.
    pub stored: BTreeSet<Option<Group>>,
}

/// What a refresh did.
#[derive(Debug, Clone, Default)]
pub struct Refreshed {
    /// Checks that something changed of, if only by time.
    pub changed: usize,
    /// Checks that turned their hour, with it: of those that are told.
    pub turned: Vec<(CheckNo, Hour)>,
    /// Checks whose turn is still to come.
    pub left: usize,
}

/// What a score was found from.
#[derive(Debug, Clone, Copy)]
struct Known {
    print: u64,
    /// How many incidents, and the newest.
    opened: (usize, i64),
    hour: Hour,
    defined: (u64, usize),
    slow: Slow,
    pulse: Pulse,
    /// The minute in which the pulse was felt.
    minute: i64,
}

/// What time alone may change of a score.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Pulse {
    verdict: Option<(Verdict, (u64, u64))>,
    findings: Option<Findings>,
}

impl Pulse {
    fn of(book: &Book, check: &Check, findings: Option<Findings>, now: UtcMicros) -> Self {
        let instant = Span::new(now.plus_us(-1), now.plus_us(1));
        let verdicts = book.verdicts(check.number, &Filter::All, instant).unwrap_or_default();
        Self { verdict: verdicts.last().map(|span| (span.verdict, span.share_down)), findings }
    }

    /// Whether each minute costs the check some of its availability.
    fn costs(&self) -> bool {
        self.verdict.is_some_and(|(verdict, (down, _))| match verdict {
            Verdict::Up | Verdict::Degraded | Verdict::Regional | Verdict::Down => down > 0,
            // Time that nobody measures, or that does not count.
            Verdict::Unknown | Verdict::Maintenance => false,
        })
    }
}

/// A check as it was looked at.
struct Looked {
    check: CheckNo,
    print: u64,
    /// Where its minute came.
    pulse: Option<Pulse>,
}

/// Which of its minutes an instant lies in, by the check's number, so that not all turn at once.
fn minute(check: CheckNo, now: UtcMicros) -> i64 {
    (now.0.saturating_add(i64::from(check.0) * 1_000_000)).div_euclid(PULSE_US)
}

/// What only who refreshes needs.
#[derive(Debug, Default)]
struct Work {
    known: BTreeMap<CheckNo, Known>,
    checks: BTreeMap<CheckNo, Arc<CheckScore>>,
    openings: Arc<BTreeMap<CheckNo, Vec<UtcMicros>>>,
    openings_at: Option<UtcMicros>,
    model: Option<Model>,
    /// Checks whose scores by region are to be found again.
    behind: BTreeSet<CheckNo>,
    regions: Found,
    /// Whether the regions are known of all checks by this model.
    regions_whole: bool,
    /// Checks that turned their hour and are not told yet.
    turned: Vec<(CheckNo, Hour)>,
}

/// The scores of now.
#[derive(Debug, Default)]
pub struct Board {
    newest: RwLock<Option<Arc<Scores>>>,
    work: Mutex<Work>,
    /// Whether a task keeps it.
    kept: AtomicBool,
    /// The newest hour in which every score was found, those of regions too; [`i64::MIN`] before the first.
    complete: Complete,
}

#[derive(Debug)]
struct Complete(AtomicI64);

impl Default for Complete {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

/// What must be found again.
#[derive(Debug, Default)]
struct Due {
    /// At once, from the book.
    changed: Vec<(CheckNo, Known)>,
    /// With the store's help.
    turned: Vec<(CheckNo, Known)>,
}

impl Board {
    /// The scores as they were found last; `None` before the first.
    pub fn newest(&self) -> Option<Arc<Scores>> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same; before the first, and where somebody is at it, once that turn is over.
    pub async fn first(&self) -> Option<Arc<Scores>> {
        if let Some(newest) = self.newest() {
            return Some(newest);
        }
        drop(self.work.lock().await);
        self.newest()
    }

    /// Whether a task keeps it; without one, who reads refreshes first.
    pub fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Everything is found anew, whatever was known: a refresh panicked in the middle.
    pub(super) async fn start_over(&self) {
        self.work.lock().await.model = None;
    }

    /// Every score was found in this hour, those of regions too.
    pub(super) fn complete(&self, hour: Hour) {
        self.complete.0.store(hour.0, Ordering::Release);
    }

    /// The newest hour in which every score was found; `None` before the first.
    pub fn completed(&self) -> Option<Hour> {
        let hour = self.complete.0.load(Ordering::Acquire);
        (hour != i64::MIN).then_some(Hour(hour))
    }

    /// Brings the scores up to date, with at most so many checks that turn their hour.
    ///
    /// # Errors
    /// When the store cannot be read; what was found before stands.
    pub async fn refresh(app: &App, now: UtcMicros, turns: usize) -> Result<Refreshed, AppError> {
        let board = app.board();
        let mut work = board.work.lock().await;
        let (model, defined) = {
            let book = app.book();
            (Model::at(book.objects(), now), defined(&book))
        };
        if work.model.as_ref() != Some(&model) {
            // Everything was found by another model.
            work.known.clear();
            work.checks.clear();
            work.regions.clear();
            work.regions_whole = false;
            work.turned.clear();
            work.openings_at = None;
            work.model = Some(model.clone());
        }
        let told = board.newest();
        let decay = model.body.fading();
        let looked =
            look(app, |check| work.known.get(&check).is_some_and(|known| known.minute != minute(check, now)), now);
        let news = |work: &Work| {
            looked.iter().any(|one| work.known.get(&one.check).is_none_or(|known| known.print != one.print))
        };
        let stale = work.openings_at.is_none_or(|at| !(0..OPENINGS_US).contains(&now.us_since(at)));
        if stale || news(&work) {
            let from = decay.span(now).from;
            work.openings = Arc::new(app.read_in_background(move |tables| openings(tables, from, now)).await?);
            work.openings_at = Some(now);
        }
        let mut due = work.due(&looked, Hour::of(now), defined, now);
        let left = due.turned.len().saturating_sub(turns);
        due.turned.truncate(turns);
        let gone = work.known.len() != looked.len() || !looked.iter().map(|one| &one.check).eq(work.known.keys());
        let by_this = told.as_ref().is_some_and(|told| told.model == model);
        if due.changed.is_empty() && due.turned.is_empty() && !gone && by_this {
            return Ok(Refreshed { left, ..Refreshed::default() });
        }
        for turn in due.turned.chunks_mut(TURN) {
            let checks: Vec<CheckNo> = turn.iter().map(|(check, _)| *check).collect();
            let slow = slow(app, checks, &model, now).await?;
            for (check, known) in turn {
                known.slow = slow.get(check).copied().unwrap_or_default();
            }
        }
        let found: Vec<(CheckNo, Known)> = due.changed.iter().chain(&due.turned).copied().collect();
        let (app, opened, by) = (app.clone(), Arc::clone(&work.openings), model.clone());
        let computed = tokio::task::spawn_blocking(move || {
            let none = Vec::new();
            let one = |check: CheckNo, known: &Known| {
                let book = app.book();
                let check = book.check(check)?;
                let revision = check.current()?;
                let opened = opened.get(&check.number).unwrap_or(&none);
                let findings = app.shared().findings.signal(check.id.as_str(), now);
                let pulse = Pulse::of(&book, check, findings, now);
                let signals = signals(&book, check, &Filter::All, decay, Some(opened), &known.slow, now);
                let signals = Signals { findings, ..signals };
                let known = Known { pulse, minute: minute(check.number, now), ..*known };
                Some((known, Some(Arc::new(scored(check, revision, by.body.score(&signals), (now, Basis::Now))))))
            };
            let each = |(check, known): &(CheckNo, Known)| {
                // What panics is known as it is: it is not looked at again in each second.
                let known_as_it_is = || Some((Known { minute: minute(*check, now), ..*known }, None));
                let (known, score) =
                    of_one(|| id_of(&app.book(), *check), || one(*check, known)).unwrap_or_else(known_as_it_is)?;
                Some((*check, known, score))
            };
            found.iter().filter_map(each).collect::<Vec<_>>()
        });
        let scores =
            computed.await.map_err(|_| AppError::Unavailable("the collector is shutting down: try again".into()))?;
        for (check, known, score) in scores {
            work.known.insert(check, known);
            if let Some(score) = score {
                work.checks.insert(check, score);
                work.behind.insert(check);
            }
        }
        let living: BTreeSet<CheckNo> = looked.iter().map(|one| one.check).collect();
        work.known.retain(|check, _| living.contains(check));
        work.checks.retain(|check, _| living.contains(check));
        work.behind.retain(|check| living.contains(check));
        work.regions.retain(&living);
        work.turned.extend(due.turned.iter().map(|(check, known)| (*check, known.hour)));
        let changed = due.changed.len();
        // Scores of two models are no set of scores: those of the old one are told until all are there.
        if told.is_some() && !by_this && left > 0 {
            return Ok(Refreshed { changed, turned: Vec::new(), left });
        }
        let mut scores = Scores::of(work.checks.clone(), model, now);
        if let Some(before) = told {
            scores.regions = Arc::clone(&before.regions);
        }
        *board.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(scores));
        Ok(Refreshed { changed, turned: std::mem::take(&mut work.turned), left })
    }

    /// Finds again, of at most so many checks whose scores changed, how each region sees them. Returns how many are left.
    ///
    /// # Errors
    /// When the store cannot be read; what was found before stands, and the checks are found later.
    pub async fn refresh_regions(app: &App, now: UtcMicros, most: usize) -> Result<usize, AppError> {
        let board = app.board();
        let mut work = board.work.lock().await;
        let Some(model) = work.model.clone() else { return Ok(0) };
        let mut done = 0;
        while done < most && !work.behind.is_empty() {
            let turn: Vec<CheckNo> = work.behind.iter().copied().take(TURN.min(most - done)).collect();
            // What is read from the store is as of the hour: a check that only got worse is found from the book.
            let fresh = |check: &CheckNo| {
                let known = work.known.get(check)?;
                Some((known.hour, known.defined))
            };
            let fresh: Vec<_> = turn.iter().map(|check| (*check, fresh(check))).collect();
            let (known, unread) = work.regions.known(app, &fresh);
            let mut slow = regions::slow(app, &unread, &model, now).await?;
            for (check, as_of) in &fresh {
                if let Some(of) = slow.get(check) {
                    work.regions.keep(*check, *as_of, of.clone());
                }
            }
            slow.extend(known);
            let found = regions::seen(app, slow, &model, now).await?;
            done += turn.len();
            for check in turn {
                work.behind.remove(&check);
                work.regions.put(check, found.get(&check).cloned().unwrap_or_default());
            }
        }
        work.regions_whole |= work.behind.is_empty();
        // Of some of the checks a region's score would be another one.
        if done > 0
            && work.regions_whole
            && let Some(before) = board.newest()
        {
            let regions = Arc::new(work.regions.regions(&model, now));
            let scores = Scores { regions, ..(*before).clone() };
            *board.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(scores));
        }
        Ok(work.behind.len())
    }
}

impl Scores {
    /// With the groups that they make.
    pub(super) fn of(checks: BTreeMap<CheckNo, Arc<CheckScore>>, model: Model, as_of: UtcMicros) -> Self {
        let mut by_group: BTreeMap<&Group, Vec<Member<'_>>> = BTreeMap::new();
        for check in checks.values() {
            if let Some(group) = &check.group {
                by_group.entry(group).or_default().push(check.member());
            }
        }
        let together = |members: &[Member<'_>]| model.body.together(members);
        let groups = by_group.into_iter().filter_map(|(group, members)| Some((group.clone(), together(&members)?)));
        let groups = groups.collect();
        let whole = together(&checks.values().map(|check| check.member()).collect::<Vec<_>>());
        Self { as_of, model, checks, groups, whole, regions: Arc::default(), stored: BTreeSet::new() }
    }

    /// Where the score of a group, or of all checks together, comes from.
    pub fn basis(&self, group: Option<&Group>) -> Basis {
        // Checks of now and of then are not among each other.
        match self.checks.values().next().map(|check| check.basis) {
            _ if self.stored.contains(&group.cloned()) => Basis::Stored,
            Some(Basis::Stored | Basis::Evidence) => Basis::Evidence,
            Some(Basis::Now) | None => Basis::Now,
        }
    }

    /// The checks of a group, or all of them.
    pub fn members(&self, group: Option<&Group>) -> impl Iterator<Item = &Arc<CheckScore>> {
        self.checks.values().filter(move |check| group.is_none() || check.group.as_ref() == group)
    }
}

impl Work {
    fn due(&mut self, looked: &[Looked], hour: Hour, defined: (u64, usize), now: UtcMicros) -> Due {
        let mut due = Due::default();
        let mut rest = Vec::new();
        for Looked { check, print, pulse } in looked {
            let opened = self.openings.get(check).map_or((0, 0), |at| (at.len(), at.last().map_or(0, |at| at.0)));
            let (slow, felt, minute) = (Slow::default(), Pulse::default(), minute(*check, now));
            let fresh = Known { print: *print, opened, hour, defined, slow, pulse: felt, minute };
            let known = self.known.get_mut(check);
            let moved = |known: &Known| pulse.is_some_and(|pulse| pulse.costs() || pulse != known.pulse);
            let changed =
                known.as_ref().is_none_or(|known| known.print != *print || known.opened != opened || moved(known));
            match known.filter(|known| known.hour == hour && known.defined == defined) {
                Some(known) if changed => due.changed.push((*check, Known { slow: known.slow, ..fresh })),
                // It was looked at in this minute.
                Some(known) => known.minute = minute,
                // What changed, too, has its turn first.
                None if changed => due.turned.push((*check, fresh)),
                None => rest.push((*check, fresh)),
            }
        }
        due.turned.append(&mut rest);
        due
    }
}

/// Grows with every change that may concern all checks.
fn defined(book: &Book) -> (u64, usize) {
    fn versions<T>(histories: &Histories<T>) -> usize {
        histories.iter().map(|(_, versions)| versions.len()).sum()
    }
    (book.version(), versions(&book.objects().windows))
}

/// What all living checks are like, by number: their prints, and the pulses of those that `feel` names.
fn look(app: &App, feel: impl Fn(CheckNo) -> bool, now: UtcMicros) -> Vec<Looked> {
    let shelf = &app.shared().findings;
    let living = |check: &&Check| !check.retired();
    let numbers: Vec<CheckNo> = app.book().checks().filter(living).map(|check| check.number).collect();
    let mut looked = Vec::with_capacity(numbers.len());
    for slice in numbers.chunks(SLICE) {
        let book = app.book();
        for check in slice.iter().filter_map(|number| book.check(*number)).filter(living) {
            let id = check.id.as_str();
            let pulse = || of_one(|| check.id.to_string(), || Pulse::of(&book, check, shelf.signal(id, now), now));
            let pulse = feel(check.number).then(pulse).flatten();
            looked.push(Looked { check: check.number, print: print_of(check, shelf.print_of(id)), pulse });
        }
    }
    looked
}

/// Changes whenever the verdicts or the findings of a check may have changed but for time alone.
fn print_of(check: &Check, findings: u64) -> u64 {
    let mut print = Print(0xcbf2_9ce4_8422_2325);
    print.add(findings);
    print.add(check.revisions.len() as u64);
    let needed = check.policies().last().map_or(1, |(_, _, policy)| policy.confirmations.max(policy.recoveries).max(1));
    for (agent, pair) in &check.pairs {
        print.add(u64::from(agent.0));
        print.add(pair.series.edits());
        print.add(pair.series.run_count() as u64);
        if let Some(run) = pair.series.runs().next_back() {
            print.add(run.first.0.cast_unsigned());
            print.add(u64::from(run.obs.revision.0));
            print.add(match run.obs.seen {
                Seen::State(state) => u64::from(state.code()),
                Seen::Missed(cause) => 256 + u64::from(cause.code()),
            });
            // A streak that is confirmed says nothing new by going on.
            print.add(run.count.min(u64::from(needed)));
        }
    }
    print.0
}

/// FNV-1a over numbers.
struct Print(u64);

impl Print {
    fn add(&mut self, number: u64) {
        for byte in number.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The slow signals of checks.
async fn slow(
    app: &App,
    checks: Vec<CheckNo>,
    model: &Model,
    now: UtcMicros,
) -> Result<BTreeMap<CheckNo, Slow>, AppError> {
    let (inner, model) = (app.clone(), model.clone());
    let frames = tokio::task::spawn_blocking(move || {
        let frame = |check: &CheckNo| {
            let book = inner.book();
            of_one(|| id_of(&book, *check), || Frame::of(&book, book.check(*check)?, &model, None, now))?
        };
        checks.iter().filter_map(frame).collect::<Vec<_>>()
    });
    let frames = frames.await.map_err(|_| AppError::Unavailable("the collector is shutting down: try again".into()))?;
    app.read_in_background(move |tables| evidence::read(tables, &frames)).await
}

#[cfg(test)]
mod tests {
    use sitepulse_daemon::clock;

    use super::*;
    use crate::app::ApplyOptions;
    use crate::checkfile::{self, Source};
    use crate::present::Present;

    /// All scores take seconds at thousands of checks: after a start, while a task is at them, a reader waits for a turn alone.
    #[tokio::test]
    async fn the_first_reader_after_a_start_waits_for_a_turn_and_not_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let app = App::open(dir.path(), clock::now()).unwrap();
        let check = |n: usize| format!("[[check]]\nid = \"c{n}\"\nkind = \"tcp\"\naddress = \"shop.example:443\"\n");
        let text = (0..TURN + 1).map(check).collect();
        let read = checkfile::parse(&[Source { name: "checks.toml".into(), text }]).unwrap();
        let options = ApplyOptions { prune: false, dry_run: false, author: "test".into() };
        app.apply(read, options, clock::now()).await.unwrap();
        app.board().keep();
        let present = Present::in_process(app.clone());
        assert_eq!(present.scores().await.unwrap().checks.len(), TURN);
        // A turn that is under way is waited for, and is what its reader gets.
        Board::refresh(&app, clock::now(), TURN).await.unwrap();
        assert_eq!(present.scores().await.unwrap().checks.len(), TURN + 1);
    }
}

//! Decides what is looked at when, and has it looked at, a few checks at a time: a job that comes again by itself.
//!
//! - Each check, objective and agent once an hour at its own offset: what is due is found by arithmetic, and a restart makes no burst, for when something was looked at last is stored.
//! - What only the book tells of a check, each [`QUICK_US`] where a finding of it is open or it is down, and of all checks after the start and after definitions, weights or suspensions
//!   changed: [`QUICK_TURN`] at a time. Each waits for its turn once, so none waits for ever, however many there are.
//! - Failures in common each [`QUICK_US`], and agents each hour, once the book was asked of every check since the start; who resolves slowly, once the store was.
//!
//! The book's guard is taken for each check anew. Nothing of it is held while the store is read. A detector that panics on one check is told, and the others go on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_model::id::{CheckNo, fnv1a_of};
use sitepulse_model::insight::thresholds::Thresholds;
use sitepulse_model::record::ProbeState;
use sitepulse_model::time::UtcMicros;
use tokio::sync::Mutex;

use super::evidence::together::{self, Ledger, Left};
use super::evidence::{Depth, Frame, Known, Seen, budget};
use super::look::{Look, Target};
use super::shelf::Noted;
use crate::app::{App, AppError};
use crate::book::{Book, Check, Histories};
use crate::engine::Told;
use crate::jobs::{Finished, Outcome, Said, Unfinished, Work};
use crate::store::seal;

/// Everything is looked at once in so long, in microseconds: an hour.
pub const EVERY_US: i64 = 3_600_000_000;
/// What is open, or fails, so often, in microseconds: 5 min.
pub const QUICK_US: i64 = 300_000_000;
/// Checks that are looked at in full at a time.
pub const TURN: usize = 25;
/// Checks that are looked at by the book alone at a time.
const QUICK_TURN: usize = 200;
/// How often it is looked whether something is due.
pub const TICK: Duration = Duration::from_secs(30);
/// How long it rests between two turns.
const REST: Duration = Duration::from_millis(100);

/// What rounds share.
#[derive(Debug, Default)]
pub struct Rounds(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What looks at checks left behind. Apart, for it is read and written beside the tasks.
    ledger: Arc<std::sync::Mutex<Ledger>>,
    /// What was looked at since the start, and when.
    looked: BTreeMap<Target, UtcMicros>,
    /// Checks that are to be looked at by the book alone.
    quick: VecDeque<CheckNo>,
    /// What was defined when they were put there last.
    defined: Option<(u64, usize)>,
    quick_at: Option<UtcMicros>,
    /// When failures in common were looked for last.
    together_at: Option<UtcMicros>,
    /// Since when that waits for checks before it.
    together_waits: Option<UtcMicros>,
    agents_at: Option<UtcMicros>,
    /// Whether what resolving names took was known of every check then.
    named: bool,
}

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looked {
    /// Looks that were made.
    pub looks: usize,
    /// What is due still.
    pub left: usize,
    /// Findings that came and went.
    pub noted: Noted,
}

/// The job of the kind `insights`: looks at what is due, a turn at a time.
pub(crate) async fn look(work: Work) -> Outcome {
    let mut all = Looked::default();
    loop {
        let one = round(&work.app, clock::now(), TURN).await?;
        all.add(one);
        let whole = (all.looks + one.left).max(1);
        let said = Said::Looking { looks: all.looks as u64, left: one.left as u64 };
        work.progress(all.looks as f64 / whole as f64, said);
        if one.left == 0 {
            break;
        }
        tokio::select! {
            // The processor is others' meanwhile.
            () = tokio::time::sleep(REST) => {}
            () = work.stopping() => return Err(Unfinished::Stopped),
        }
    }
    if all.looks == 0 {
        return Ok(Finished::default());
    }
    let Noted { opened, closed } = all.noted;
    let said = Said::Looked { looks: all.looks as u64, opened: opened as u64, closed: closed as u64 };
    Ok(Finished::with(said))
}

/// Looks at all that there is at once, whatever is due: for tests, which have no task.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn settle(app: &App, now: UtcMicros) -> Result<Looked, AppError> {
    {
        let mut state = app.insights().0.lock().await;
        (state.looked, state.agents_at, state.quick_at, state.together_at) = Default::default();
        state.defined = None;
    }
    // The second pass is of agents, which are judged after all checks.
    let mut all = Looked::default();
    for _ in 0..2 {
        let one = Box::pin(turn(app, now, usize::MAX, true)).await?;
        all.add(one);
    }
    Ok(all)
}

/// Looks at what is due, at most so many checks of it.
///
/// # Errors
/// When the store cannot be read or written; what was due is due still.
pub async fn round(app: &App, now: UtcMicros, most: usize) -> Result<Looked, AppError> {
    turn(app, now, most, false).await
}

async fn turn(app: &App, now: UtcMicros, most: usize, anew: bool) -> Result<Looked, AppError> {
    let mut state = app.insights().0.lock().await;
    let inner = app.clone();
    let living = beside(move || Living::of(&inner.book(), now)).await?;
    let mut done = Looked::default();
    let shelf = &app.shared().findings;
    let rules = Thresholds::default();

    // What is there no more.
    let stored = shelf.all_looks();
    let told = shelf.standing().into_iter().map(|one| Target::of_subject(&one.found.subject));
    let known: BTreeSet<Target> = stored.keys().filter_map(|key| Target::of_key(key)).chain(told).collect();
    let gone: Vec<Look> = known.into_iter().filter(|target| !living.has(target)).map(Look::gone).collect();
    if !gone.is_empty() {
        done.take(app, gone, now).await?;
    }

    // Checks in full.
    let last = |state: &State, target: &Target| {
        let stored = if anew { None } else { stored.get(&target.key()).copied() };
        state.looked.get(target).copied().max(stored)
    };
    let mut due: Vec<(CheckNo, Target)> = living
        .checks
        .iter()
        .map(|(id, number)| (*number, Target::Check(id.clone())))
        .filter(|(_, target)| is_due(target, last(&state, target), now))
        .collect();
    done.left += due.len().saturating_sub(most);
    due.truncate(most);
    for some in due.chunks(TURN) {
        let numbers = some.iter().map(|(number, _)| *number).collect();
        let looks = look_at(app, &state.ledger, numbers, Depth::Full, rules, now).await?;
        state.looked.extend(looks.iter().map(|look| (look.target.clone(), now)));
        done.take(app, looks, now).await?;
    }

    // By the book alone.
    let quick = anew || state.quick_at.is_none_or(|at| !(0..QUICK_US).contains(&now.us_since(at)));
    let mut wanted: BTreeSet<CheckNo> = BTreeSet::new();
    if state.defined != Some(living.defined) {
        state.defined = Some(living.defined);
        wanted.extend(living.checks.values());
    } else if quick {
        let standing = shelf.standing();
        let open = standing.iter().flat_map(|one| &one.checks).filter_map(|id| living.checks.get(id));
        wanted.extend(open.chain(&living.failing));
    }
    if quick {
        state.quick_at = Some(now);
    }
    // Who waits keeps its place.
    let waiting: BTreeSet<CheckNo> = state.quick.iter().copied().collect();
    state.quick.extend(wanted.difference(&waiting));
    let most_quick = if most == usize::MAX { usize::MAX } else { QUICK_TURN };
    let some: Vec<CheckNo> = (0..most_quick).map_while(|_| state.quick.pop_front()).collect();
    done.left += state.quick.len();
    if !some.is_empty() {
        let looks = look_at(app, &state.ledger, some, Depth::Quick, rules, now).await?;
        done.take(app, looks, now).await?;
    }
    // Whoever has not heard of all checks yet would say that what they share is over.
    let (ready, named) = {
        let ledger = state.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        (living.checks.keys().all(|check| ledger.knows(check)), ledger.has_names())
    };
    // It waits for the checks before it, but not for those that come and come.
    let due = anew || state.together_at.is_none_or(|at| !(0..QUICK_US).contains(&now.us_since(at)));
    let waits = due && ready && !state.quick.is_empty() && {
        let since = *state.together_waits.get_or_insert(now);
        (0..QUICK_US).contains(&now.us_since(since))
    };
    if due && ready && !waits {
        let ledger = Arc::clone(&state.ledger);
        let checks: BTreeSet<String> = living.checks.keys().cloned().collect();
        let told = Arc::clone(app.shared());
        let look = beside(move || {
            let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.forget(|check| checks.contains(check));
            guarded(&told.told, "failures in common", || ledger.failures(&rules, now))
        });
        let look = look.await?;
        done.take(app, look.into_iter().collect(), now).await?;
        (state.together_at, state.together_waits) = (Some(now), None);
    }

    // Objectives.
    let due: Vec<String> = living
        .objectives
        .iter()
        .filter(|id| {
            let target = Target::Objective((*id).clone());
            is_due(&target, last(&state, &target), now)
        })
        .cloned()
        .collect();
    done.left += due.len().saturating_sub(most);
    for id in due.into_iter().take(most) {
        let target = Target::Objective(id.clone());
        let (inner, known) = (app.clone(), Known::of(shelf, &target));
        let look = beside(move || {
            guarded(&inner.shared().told, &format!("objective {id}"), || budget::look(&inner, &id, &known, &rules, now))
        });
        let look = look.await?;
        state.looked.insert(target, now);
        done.take(app, look.into_iter().collect(), now).await?;
    }

    // Agents, once everything they are judged by is there.
    let due = state.agents_at.is_none_or(|at| !(0..EVERY_US).contains(&now.us_since(at))) || named && !state.named;
    if due && ready && !living.agents.is_empty() {
        let mut known = Known::default();
        living.agents.iter().for_each(|agent| known.extend(Known::of(shelf, &Target::Agent(agent.clone()))));
        let (inner, ledger) = (app.clone(), Arc::clone(&state.ledger));
        let looks = beside(move || {
            let clocks = together::clocks(&inner.book());
            let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
            guarded(&inner.shared().told, "agents", || ledger.agents(&clocks, &known, &rules, now))
        });
        let looks = looks.await?;
        (state.agents_at, state.named) = (Some(now), named);
        done.take(app, looks.unwrap_or_default(), now).await?;
    }
    Ok(done)
}

impl Looked {
    fn add(&mut self, other: Self) {
        self.looks += other.looks;
        self.noted.opened += other.noted.opened;
        self.noted.closed += other.noted.closed;
    }

    /// Takes looks in: what they found is durable then.
    async fn take(&mut self, app: &App, looks: Vec<Look>, now: UtcMicros) -> Result<(), AppError> {
        self.looks += looks.len();
        let Noted { opened, closed } = app.writer().run(move |engine| engine.note_looks(&looks, now)).await??;
        self.noted.opened += opened;
        self.noted.closed += closed;
        Ok(())
    }
}

/// Whether something that was looked at last then is to be looked at again: each target at its own offset within the hour.
fn is_due(target: &Target, last: Option<UtcMicros>, now: UtcMicros) -> bool {
    let offset = (fnv1a_of(&[target.key().as_bytes()]) % EVERY_US.unsigned_abs()).cast_signed();
    let slot = |at: UtcMicros| (at.0 - offset).div_euclid(EVERY_US);
    // A clock that leapt back does not keep it waiting.
    last.is_none_or(|last| slot(last) != slot(now))
}

/// A check's id, and what was taken of it; nothing where that panicked.
type Framed = (String, Option<(Frame, Option<Left>)>);

/// Looks at some checks, in full or quickly. Of a check that left nothing since the start a quick look learns what others need.
async fn look_at(
    app: &App,
    ledger: &Arc<std::sync::Mutex<Ledger>>,
    numbers: Vec<CheckNo>,
    depth: Depth,
    rules: Thresholds,
    now: UtcMicros,
) -> Result<Vec<Look>, AppError> {
    let (inner, kept) = (app.clone(), Arc::clone(ledger));
    let framed = beside(move || {
        let mut framed: Vec<Framed> = Vec::with_capacity(numbers.len());
        for number in numbers {
            let Some(id) = inner.book().check(number).map(|check| check.id.to_string()) else { continue };
            let known = Known::of(&inner.shared().findings, &Target::Check(id.clone()));
            let is_new = !kept.lock().unwrap_or_else(PoisonError::into_inner).knows(&id);
            let depth = if is_new && depth == Depth::Quick { Depth::Failures } else { depth };
            let frame = guarded(&inner.shared().told, &format!("check {id}"), || {
                let book = inner.book();
                let check = book.check(number)?;
                let frame = Frame::of(&book, check, known, depth, now)?;
                let left = if depth == Depth::Quick { None } else { Left::of(&book, check, &frame, now) };
                Some((frame, left))
            });
            match frame {
                Some(Some(frame)) => framed.push((id, Some(frame))),
                // It is there no more.
                Some(None) => {}
                None => framed.push((id, None)),
            }
        }
        framed
    });
    let framed = framed.await?;
    let shared = Arc::clone(app.shared());
    let work = move |framed: Vec<Framed>, store: Option<(crate::store::Tables<'_>, seal::Upto)>| {
        let one = |frame: &Frame| {
            let tables = store.as_ref().map(|(tables, sealed)| (*tables, sealed));
            frame.look(tables, &rules).or_else(|error| {
                // Damage of one check must not keep the others waiting; what the book tells of it is told.
                shared.told.error(&format!("check {}: no look at its history: {error}", frame.id));
                frame.look(None, &rules)
            })
        };
        let seen: Result<Vec<Option<Seen>>, _> = framed
            .iter()
            .map(|(id, framed)| {
                let Some((frame, _)) = framed else { return Ok(None) };
                guarded(&shared.told, &format!("check {id}"), || one(frame)).transpose()
            })
            .collect();
        seen.map(|seen| (framed, seen))
    };
    let (framed, seen) = if depth == Depth::Full {
        app.read_in_background(move |tables| {
            let sealed = seal::upto(tables)?;
            work(framed, Some((tables, sealed)))
        })
        .await?
    } else {
        beside(move || work(framed, None)).await??
    };
    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let mut looks = Vec::with_capacity(seen.len());
    for ((id, framed), seen) in framed.into_iter().zip(seen) {
        let Some(((frame, left), seen)) = framed.zip(seen) else {
            // Nothing could be told of it: what stood of it stands, and it has its turn again in an hour.
            ledger.give_up(&id);
            looks.push(Seen::new(&id).look);
            continue;
        };
        if let Some(left) = left {
            ledger.learn(left, (depth == Depth::Full).then_some(seen.dns));
        }
        ledger.failed(&frame, now);
        looks.push(seen.look);
    }
    Ok(looks)
}

/// What the work comes to; `None` where it panicked, which is told: what it looked at must not keep the others waiting.
fn guarded<T>(told: &Told, what: &str, work: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work));
    if done.is_err() {
        told.error(&format!(
            "{what}: internal error: a detector panicked, see the log above; nothing was found out of it"
        ));
    }
    done.ok()
}

/// What there is to look at.
struct Living {
    checks: BTreeMap<String, CheckNo>,
    /// Those of them that some agent says are down.
    failing: BTreeSet<CheckNo>,
    objectives: BTreeSet<String>,
    agents: BTreeSet<String>,
    /// Grows with every change that may concern all checks.
    defined: (u64, usize),
}

impl Living {
    fn of(book: &Book, now: UtcMicros) -> Self {
        fn versions<T>(histories: &Histories<T>) -> usize {
            histories.iter().map(|(_, versions)| versions.len()).sum()
        }
        let living = || book.checks().filter(|check| !check.retired());
        let fails = |check: &&Check| {
            let mut lasts = check.pairs.values().filter_map(|pair| pair.last.as_deref());
            lasts.any(|last| {
                let holds = last.scheduled.plus_us(check.hold_us(last.revision)) > now;
                holds && last.state == ProbeState::Down
            })
        };
        let agents = book.agents().filter(|agent| !agent.internal && agent.revoked_at.is_none());
        Self {
            checks: living().map(|check| (check.id.to_string(), check.number)).collect(),
            failing: living().filter(fails).map(|check| check.number).collect(),
            objectives: book.objects().slos.living().map(|(id, _)| id.to_owned()).collect(),
            agents: agents.map(|agent| agent.name.to_string()).collect(),
            defined: (book.version(), versions(&book.objects().windows)),
        }
    }

    fn has(&self, target: &Target) -> bool {
        match target {
            Target::Check(id) => self.checks.contains_key(id),
            Target::Objective(id) => self.objectives.contains(id),
            Target::Agent(name) => self.agents.contains(name),
            Target::Together => true,
        }
    }
}

async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AppError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        let why = if error.is_panic() {
            "internal error: a look for findings panicked, see the log"
        } else {
            "the collector is shutting down: try again"
        };
        AppError::Unavailable(why.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that panicked ended the whole turn, each time, and was told as a shutdown.
    #[test]
    fn a_detector_that_panics_on_one_check_is_told_and_the_others_go_on() {
        let told = Told::default();
        let looked: Vec<Option<u32>> =
            (0..4).map(|check| guarded(&told, &format!("check c-{check}"), || 12 / (check % 3))).collect();
        assert_eq!(looked, [None, Some(12), Some(6), None]);
        assert!(!told.first_time(
            "check c-0: internal error: a detector panicked, see the log above; nothing was found out of it"
        ));
    }

    #[test]
    fn everything_is_due_once_an_hour_and_not_all_at_once() {
        let now = UtcMicros(1_790_000_000_000_000);
        let targets: Vec<Target> = (0..1_000).map(|n| Target::Check(format!("check-{n}"))).collect();
        let mut last: Vec<UtcMicros> = vec![now; targets.len()];
        let mut most = 0;
        for minute in 1..=120 {
            let now = now.plus_us(minute * 60_000_000);
            let mut due = 0;
            for (target, last) in targets.iter().zip(&mut last) {
                if is_due(target, Some(*last), now) {
                    assert!(now.us_since(*last) <= EVERY_US + 60_000_000);
                    *last = now;
                    due += 1;
                }
            }
            most = most.max(due);
        }
        assert!((10..=40).contains(&most), "{most} of 1,000 in the busiest minute");
        assert!(is_due(&targets[0], None, now) && is_due(&targets[0], Some(now.plus_us(EVERY_US)), now));
    }
}

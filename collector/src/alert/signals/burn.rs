//! Error budgets that burn too fast: the multi-window rule of [`sitepulse_model::slo::status`], promise after promise, all of them once a minute where that takes no longer.
//!
//! The verdicts of three days of every check that a promise covers are needed, so a turn takes a few checks alone ([`STEPS`]): judging a promise over
//! ten thousand checks takes more than a minute, and keeps nobody waiting.
//!
//! Late data pages nobody: a pair speaks only if it does without what came late as well ([`Trial::judge`], [`super::in_time`]).
//!
//! The 1 h and the 6 h pair are a page (`major`), the 3 d pair is a ticket (`minor`). What burnt is fine once no pair has spoken for [`SETTLE_US`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sitepulse_model::incident::{Condition, IncidentKind, Severity, Subject};
use sitepulse_model::notice::Found;
use sitepulse_model::time::{SECOND_US, UtcMicros};

use super::{Look, Present};
use crate::engine::Engine;
use crate::slo::{Burning, Pace, Trial};

/// How many checks' verdicts a turn takes.
const STEPS: usize = 128;
/// How often every promise is judged, in microseconds.
const ROUND_US: i64 = 60 * SECOND_US;
/// How long no pair must have spoken, in microseconds: 5 min.
const SETTLE_US: i64 = 300 * SECOND_US;

/// What is known of promises.
#[derive(Debug, Default)]
pub(super) struct Burns {
    round: Option<UtcMicros>,
    ahead: VecDeque<String>,
    trial: Option<(String, Trial)>,
    /// How fast each burns, and since when it does so.
    found: BTreeMap<String, (Pace, UtcMicros)>,
    /// Of those that burn too fast, by which windows.
    burning: BTreeMap<String, Burning>,
}

impl Burns {
    /// What is said of a promise whose budget burns, or burned when it was last too fast.
    pub(super) fn of(&self, id: &str) -> Option<Found> {
        let Burning { hours, rate, threshold_tenths, left } = *self.burning.get(id)?;
        // A share that lies beyond them says nothing more.
        let whole = |value: f64| value.clamp(-1e9, 1e9).round() as i64;
        let rate_tenths = rate.map(|rate| whole(rate * 10.0).unsigned_abs());
        let left_permille = left.map(|left| whole((left * 1_000.0).floor()));
        Some(Found::Burn { hours, rate_tenths, threshold_tenths, left_permille })
    }

    fn note(&mut self, id: String, (pace, burning): (Pace, Option<Burning>), now: UtcMicros) {
        if let Some(burning) = burning {
            self.burning.insert(id.clone(), burning);
        }
        let burns = |pace: Pace| matches!(pace, Pace::Slow | Pace::Fast);
        let since = self.found.get(&id).filter(|(before, _)| burns(*before) == burns(pace)).map(|(_, since)| *since);
        self.found.insert(id, (pace, since.unwrap_or(now)));
    }
}

/// Goes on judging.
pub(super) fn gather(engine: &mut Engine, now: UtcMicros) {
    let shared = Arc::clone(&engine.shared);
    let Present { burns, in_time, .. } = &mut engine.alert.present;
    let resting = burns.round.is_some_and(|round| (0..ROUND_US).contains(&now.us_since(round)));
    if burns.trial.is_none() && burns.ahead.is_empty() && !resting {
        let book = shared.book();
        burns.ahead = book.objects().slos.living().map(|(id, _)| id.to_owned()).collect();
        burns.found.retain(|id, _| book.objects().slos.current(id).is_some());
        burns.burning.retain(|id, _| book.objects().slos.current(id).is_some());
        burns.round = Some(now);
        in_time.forget_old(now);
    }
    for _ in 0..STEPS {
        if let Some((_, trial)) = &mut burns.trial {
            let over = trial.step(&shared.book(), in_time);
            if over && let Some((id, trial)) = burns.trial.take() {
                let judged = trial.judge(&shared.book()).unwrap_or_else(|why| {
                    tracing::debug!("slo {id}: {why}");
                    (Pace::Unknown, None)
                });
                burns.note(id, judged, now);
            }
        } else if let Some(id) = burns.ahead.pop_front() {
            match Trial::of(&shared.book(), &id, now) {
                Some(Ok(trial)) => burns.trial = Some((id, trial)),
                Some(Err(why)) => {
                    tracing::debug!("slo {id}: {why}");
                    burns.note(id, (Pace::Unknown, None), now);
                }
                None => {}
            }
        } else {
            return;
        }
    }
}

pub(super) fn each(look: &mut Look<'_>) {
    for (id, (pace, since)) in &look.desk.present.burns.found {
        let subject = Subject::Slo(id.clone());
        let condition = match pace {
            Pace::Fast => Condition::Bad { since: *since, severity: Severity::Major },
            Pace::Slow => Condition::Bad { since: *since, severity: Severity::Minor },
            Pace::Calm => Condition::Good,
            Pace::Unknown => Condition::Unknown,
        };
        let calm = matches!(pace, Pace::Calm | Pace::Unknown);
        if calm && look.standing(&subject, IncidentKind::SloBurn).is_none() {
            continue;
        }
        let (condition, _) = look.settled(&subject, IncidentKind::SloBurn, condition, SETTLE_US);
        look.tell(&subject, IncidentKind::SloBurn, condition, None);
    }
}

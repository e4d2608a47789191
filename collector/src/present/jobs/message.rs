//! A message about an incident as a job.

use serde_json::json;
use sitepulse_daemon::instant;
use sitepulse_model::job::State;
use sitepulse_model::time::UtcMicros;

use crate::jobs::all::Id;
use crate::jobs::{Kind, Said};
use crate::outbox::{Logged, Sending};
use crate::present::dto::jobs::{JobLineView, JobView};
use crate::present::text::jobs::JobTexts;

/// A message as it is shown among jobs.
pub(super) fn view(message: &Sending, words: &JobTexts, now: UtcMicros) -> JobView {
    let Sending { key, .. } = message;
    let state = message.standing();
    let at = |at: Option<UtcMicros>| at.map(instant::format);
    let ended = message.last.map(|last| last.plus_us(i64::try_from(message.took_us).unwrap_or_default()));
    JobView {
        id: Id::from(key).to_string(),
        kind: Kind::Notification.as_str().to_owned(),
        key: Some(key.to_string()),
        state: state.as_str().to_owned(),
        priority: Kind::Notification.spec().priority.get(),
        due: instant::format(message.due),
        deadline: None,
        late: message.late(now),
        asked: instant::format(message.created),
        author: "collector".to_owned(),
        tries: message.tries,
        tries_max: None,
        epoch: message.attempts,
        cancelling: false,
        first_started: at(message.first),
        started: at(message.last),
        ended: at(ended.filter(|_| matches!(state, State::Done | State::Failed))),
        progress: if state == State::Done { 1.0 } else { 0.0 },
        message: String::new(),
        note: if state == State::Cancelled { (words.said)(&Said::TakenBack) } else { message.note.clone() },
        file: None,
        args: json!({ "incident": key.incident.to_string(), "step": key.step, "channel": key.channel }),
    }
}

/// An attempt, as a line of the message's log.
pub(super) fn line(attempt: &Logged, words: &JobTexts) -> JobLineView {
    JobLineView {
        at: instant::format(attempt.at),
        epoch: attempt.attempt,
        text: (words.attempt)(attempt.delivered, &attempt.note),
    }
}

//! All work that is done beside answering, as people see it: the queue's jobs, and the messages about incidents that the outbox keeps and sends. One list, one kind of id,
//! one set of counts. What people do to a message goes by the outbox's own verbs: there is one way to deliver, and pages always go first.

use std::fmt;

use serde::{Deserialize, Serialize};
use sitepulse_model::incident::IncidentId;
use sitepulse_model::job::{JobId, State};
use sitepulse_model::time::UtcMicros;

use super::{Job, Kind};
use crate::outbox::{DeliveryKey, Sending};
use crate::store::jobs::{self as stored, Wanted as WantedJobs};
use crate::store::outbox::listed;
use crate::store::{StoreError, Tables};

/// A job, or a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// A row of the queue.
    Job(Box<Job>),
    /// A row of the outbox.
    Message(Sending),
}

/// Which: `hncvd2o4ao` of a job, `INCIDENT.STEP.CHANNEL` of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Id {
    /// A job.
    Job(JobId),
    /// A message.
    Message {
        /// The incident that it tells of.
        incident: IncidentId,
        /// The incident's step.
        step: u32,
        /// The channel's id.
        channel: String,
    },
}

impl Id {
    /// Reads what [`fmt::Display`] wrote; `None` where it is no id.
    pub fn parse(text: &str) -> Option<Self> {
        // Neither ids of jobs nor of incidents have a point.
        let Some((incident, rest)) = text.split_once('.') else { return JobId::parse(text).map(Self::Job) };
        let (step, channel) = rest.split_once('.')?;
        let incident = IncidentId(incident.to_owned());
        Some(Self::Message { incident, step: step.parse().ok()?, channel: channel.to_owned() })
    }
}

impl From<&DeliveryKey> for Id {
    fn from(key: &DeliveryKey) -> Self {
        Self::Message { incident: key.incident.clone(), step: key.step, channel: key.channel.clone() }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(id) => id.fmt(f),
            Self::Message { incident, step, channel } => write!(f, "{incident}.{step}.{channel}"),
        }
    }
}

/// Where in the list: the newest is the greatest. Of a job `at` is its id, and the rest is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// When it was asked for, in microseconds.
    pub at: i64,
    /// Of a message: its incident.
    pub incident: String,
    /// Of a message: the incident's step.
    pub step: u32,
    /// Of a message: its channel.
    pub channel: String,
}

impl Place {
    /// Reads what [`fmt::Display`] wrote; `None` where it is no place.
    pub fn parse(text: &str) -> Option<Self> {
        let (at, rest) = text.split_once('.').map_or((text, None), |(at, rest)| (at, Some(rest)));
        let at = JobId::parse(at)?.0;
        match rest.map(Id::parse) {
            None => Some(Self { at, ..Self::default() }),
            Some(Some(Id::Message { incident, step, channel })) => {
                Some(Self { at, incident: incident.0, step, channel })
            }
            Some(Some(Id::Job(_)) | None) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, incident, step, channel } = self;
        JobId(*at).fmt(f)?;
        if incident.is_empty() { Ok(()) } else { write!(f, ".{incident}.{step}.{channel}") }
    }
}

impl Shown {
    /// Which.
    pub fn id(&self) -> Id {
        match self {
            Self::Job(job) => Id::Job(job.id),
            Self::Message(message) => Id::from(&message.key),
        }
    }

    /// What is done.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Job(job) => job.kind,
            Self::Message(_) => Kind::Notification,
        }
    }

    /// Where in the list.
    pub fn place(&self) -> Place {
        match self {
            Self::Job(job) => Place { at: job.id.0, ..Place::default() },
            Self::Message(Sending { key, created, .. }) => {
                Place { at: created.0, incident: key.incident.0.clone(), step: key.step, channel: key.channel.clone() }
            }
        }
    }
}

/// What is listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// In this state; `None`: in any.
    pub state: Option<State>,
    /// Of this kind; `None`: of any.
    pub kind: Option<Kind>,
    /// After this place: the next page.
    pub after: Option<Place>,
}

/// Jobs and messages, the newest first.
///
/// # Errors
/// When the tables cannot be read.
pub fn list(tables: Tables<'_>, wanted: &Wanted, most: usize) -> Result<Vec<Shown>, StoreError> {
    let mut all = Vec::new();
    if wanted.kind != Some(Kind::Notification) {
        // At the same instant jobs stand behind messages.
        let before = |place: &Place| JobId(place.at.saturating_add(i64::from(!place.incident.is_empty())));
        let of = WantedJobs { state: wanted.state, kind: wanted.kind, after: wanted.after.as_ref().map(before) };
        all.extend(stored::list(tables, &of, most)?.into_iter().map(|job| Shown::Job(Box::new(job))));
    }
    if wanted.kind.is_none_or(|kind| kind == Kind::Notification) {
        let messages = listed::list(tables, wanted.state, wanted.after.as_ref(), most)?;
        all.extend(messages.into_iter().map(Shown::Message));
    }
    all.sort_by_cached_key(|one| std::cmp::Reverse(one.place()));
    all.truncate(most);
    Ok(all)
}

/// A job or a message; `None`: there is none, or it is kept no longer.
///
/// # Errors
/// When the tables cannot be read.
pub fn one(tables: Tables<'_>, id: &Id) -> Result<Option<Shown>, StoreError> {
    Ok(match id {
        Id::Job(id) => stored::one(tables, *id)?.map(|job| Shown::Job(Box::new(job))),
        Id::Message { incident, step, channel } => listed::one(tables, incident, *step, channel)?.map(Shown::Message),
    })
}

/// How much of each kind is in each state.
///
/// # Errors
/// When the tables cannot be read.
pub fn counts(tables: Tables<'_>) -> Result<Vec<(Kind, State, u64)>, StoreError> {
    let mut all = stored::counts(tables)?;
    all.extend(listed::counts(tables)?.into_iter().map(|(state, count)| (Kind::Notification, state, count)));
    Ok(all)
}

/// The priorities of what is late: of each sort `most` at most.
///
/// # Errors
/// When the tables cannot be read.
pub fn late(tables: Tables<'_>, now: UtcMicros, most: usize) -> Result<Vec<u16>, StoreError> {
    let mut late: Vec<u16> = stored::late(tables, now, most)?.iter().map(|job| job.standing.priority.get()).collect();
    let messages = listed::late(tables, now, most)?;
    late.extend(std::iter::repeat_n(Kind::Notification.spec().priority.get(), messages));
    Ok(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_places_come_back_as_they_were_written() {
        for text in ["hncvd2o4ao", "20261122-4f7k2zq.3.ops", "20261122-4f7k2zq.3.ops.of.paris"] {
            assert_eq!(Id::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "HNC", "20261122-4f7k2zq.ops", "20261122-4f7k2zq.x.ops", "20261122-4f7k2zq"] {
            assert_eq!(Id::parse(bad), None, "{bad}");
        }
        let job = Place { at: 1_790_000_000_000_000, ..Place::default() };
        let message = Place { incident: "20261122-4f7k2zq".into(), step: 2, channel: "a.b".into(), ..job.clone() };
        for place in [&job, &message] {
            assert_eq!(Place::parse(&place.to_string()).as_ref(), Some(place));
        }
        assert!(message > job, "of one instant the message stands first");
        for bad in ["", "x.y", "hncvd2o4ao.", "hncvd2o4ao.hncvd2o4ao"] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }
}

//! From a policy's name to terms: which version of which accounting policy counts a period, with its service hours laid out.
//!
//! `contract` counts each instant by the version in force then, `contract@2` the whole period by that version ([`sitepulse_model::terms`] says why). `default` and
//! `default@1` are built in and always were in force.
//!
//! Two steps, because the time zone database may have to be read from the disk: [`Drawn`] is taken from the book under its lock, [`Drawn::terms`] is not.

pub mod trial;

use std::sync::Arc;

use sitepulse_model::accounting::{AccountingPolicy, BUILT_IN};
use sitepulse_model::service_hours::HoursError;
use sitepulse_model::terms::Term;
use sitepulse_model::time::{Span, UtcMicros};
use thiserror::Error;

use crate::book::{Book, Objects, Revised};
use crate::service_hours;

/// Why no policy is found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyAskedError {
    /// The text names no policy.
    #[error("{0:?} names no policy: write its id, or its id and a version, like contract@2")]
    Text(String),
    /// There is no such policy.
    #[error("there is no policy {0}: `sitepulse-collector policies` lists what there is")]
    Unknown(String),
    /// There is no such version.
    #[error("policy {id} has no version {version}, its newest is {newest}")]
    Version {
        /// The policy.
        id: String,
        /// The version asked for.
        version: u32,
        /// The newest one.
        newest: u32,
    },
}

/// A policy as it is asked for: `contract` or `contract@2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyAsked {
    /// The policy's id.
    pub id: String,
    /// This version alone; `None` is each in its own time.
    pub version: Option<u32>,
}

impl PolicyAsked {
    /// Reads `contract` or `contract@2`.
    pub fn parse(text: &str) -> Result<Self, PolicyAskedError> {
        let bad = || PolicyAskedError::Text(text.to_owned());
        let (id, version) = match text.split_once('@') {
            Some((id, version)) => (id, Some(version.parse().ok().filter(|version| *version > 0).ok_or_else(bad)?)),
            None => (text, None),
        };
        if id.is_empty() { Err(bad()) } else { Ok(Self { id: id.to_owned(), version }) }
    }
}

impl std::fmt::Display for PolicyAsked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@{version}", self.id),
            None => f.write_str(&self.id),
        }
    }
}

/// The versions that count a period, as the book has them.
#[derive(Debug, Clone)]
pub struct Drawn {
    asked: PolicyAsked,
    parts: Vec<(Span, u32, AccountingPolicy)>,
}

/// The terms that count a period. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What was asked for.
    pub asked: PolicyAsked,
    /// In order, apart from each other.
    pub terms: Arc<[Term]>,
}

/// The versions of a policy, oldest first; the built-in one's too.
pub fn versions(objects: &Objects, id: &str) -> Vec<Revised<AccountingPolicy>> {
    if id == BUILT_IN { vec![built_in()] } else { objects.policies.versions(id).to_vec() }
}

/// The only version of the policy `default`.
pub fn built_in() -> Revised<AccountingPolicy> {
    Revised {
        version: 1,
        effective_from: UtcMicros::MIN,
        retired: false,
        author: "collector".into(),
        body: AccountingPolicy::built_in(),
    }
}

impl Drawn {
    /// What counts `period` of the book's checks.
    ///
    /// # Errors
    /// When there is no such policy or version.
    pub fn of(book: &Book, asked: PolicyAsked, period: Span) -> Result<Self, PolicyAskedError> {
        let versions = versions(book.objects(), &asked.id);
        Self::of_versions(book, asked, period, versions)
    }

    /// What counts `period` as far as it is known at an instant: without the versions that came later, and nothing where there was none yet.
    pub fn known(book: &Book, id: &str, period: Span, at: UtcMicros) -> Self {
        let asked = PolicyAsked { id: id.to_owned(), version: None };
        let mut versions = versions(book.objects(), id);
        versions.retain(|version| version.effective_from <= at);
        Self::of_versions(book, asked.clone(), period, versions).unwrap_or(Self { asked, parts: Vec::new() })
    }

    fn of_versions(
        book: &Book,
        asked: PolicyAsked,
        period: Span,
        versions: Vec<Revised<AccountingPolicy>>,
    ) -> Result<Self, PolicyAskedError> {
        let born = book.checks().filter_map(|check| check.lives().first().map(|life| life.from)).min();
        // Nothing was counted before the first check; the zone's calendar may be long before that.
        let period = Span::new(period.from.max(born.unwrap_or(period.to)), period.to);
        let Some(newest) = versions.last().map(|newest| newest.version) else {
            return Err(PolicyAskedError::Unknown(asked.id));
        };
        let mut parts = Vec::new();
        if let Some(version) = asked.version {
            let Some(found) = versions.into_iter().find(|revised| revised.version == version) else {
                return Err(PolicyAskedError::Version { id: asked.id, version, newest });
            };
            parts.push((period, version, found.body));
        } else {
            let ends: Vec<UtcMicros> = versions.iter().skip(1).map(|next| next.effective_from).collect();
            for (revised, to) in versions.into_iter().zip(ends.into_iter().chain([UtcMicros::MAX])) {
                if !revised.retired {
                    parts.push((Span::new(revised.effective_from, to).clip(period), revised.version, revised.body));
                }
            }
        }
        parts.retain(|(span, _, _)| !span.is_empty());
        Ok(Self { asked, parts })
    }

    /// The same with the service hours laid out.
    ///
    /// # Errors
    /// When a zone is not in this machine's time zone database.
    pub fn terms(self) -> Result<Terms, HoursError> {
        let term = |(span, version, policy): (Span, u32, AccountingPolicy)| {
            let hours = policy.hours.as_ref().map(|hours| service_hours::expand(hours, span)).transpose()?;
            Ok(Term { span, version, rules: policy.rules(), objective: policy.objective, hours })
        };
        Ok(Terms { terms: self.parts.into_iter().map(term).collect::<Result<_, HoursError>>()?, asked: self.asked })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_asked_for_by_id_and_version() {
        for text in ["contract", "contract@2"] {
            assert_eq!(PolicyAsked::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "@1", "contract@", "contract@0", "contract@-1", "contract@x", "a@1@2"] {
            assert_eq!(PolicyAsked::parse(bad), Err(PolicyAskedError::Text(bad.into())));
        }
    }
}

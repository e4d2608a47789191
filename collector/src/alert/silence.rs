//! Silences: somebody keeps pages still for a time, with a reason. Incidents open all the same and are held; what is still due goes out when the silence ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sitepulse_model::id::{Bucket, CheckNo, fnv1a_of};
use sitepulse_model::incident::{HoldReason, Subject};
use sitepulse_model::time::{Span, UtcMicros};

use crate::app::AppError;
use crate::book::{Book, Check};
use crate::engine::Engine;
use crate::store::silences as stored;

/// The longest silence, in microseconds: 90 d.
pub const SILENCE_US_MAX: i64 = 90 * 86_400 * 1_000_000;
/// Longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 500;
/// Most names of a scope.
pub const NAMES_MAX: usize = 200;
/// Most silences that are not over.
pub const SILENCES_MAX: usize = 1_000;

/// What a silence is about: anything that one of its names names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// Checks by id.
    pub checks: Vec<String>,
    /// Groups of checks.
    pub groups: Vec<String>,
    /// Tags of checks.
    pub tags: Vec<String>,
    /// Agents by name: incidents about the agents themselves.
    pub agents: Vec<String>,
    /// Everything.
    pub everything: bool,
}

/// What is stored of a silence beside when it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// What it is about.
    pub scope: Scope,
    /// Why.
    pub reason: String,
    /// Who made it: `collector:cli`, `collector:USER`.
    pub author: String,
    /// Who ended it before its time, and when that was, in microseconds of UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<(String, i64)>,
}

/// A silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Its id: `s-4f7k2mq`.
    pub id: String,
    /// When.
    pub span: Span,
    /// All else.
    pub body: Body,
}

impl Silence {
    /// Its bucket.
    pub fn bucket(&self) -> Bucket {
        Bucket::of(&self.id)
    }
}

impl Scope {
    /// Whether it is about a check.
    fn covers_check(&self, check: &Check) -> bool {
        let labels = &check.newest().labels;
        self.everything
            || self.checks.iter().any(|id| *id == check.id.as_str())
            || labels.group.as_ref().is_some_and(|group| self.groups.iter().any(|named| named == group.as_str()))
            || labels.tags.iter().any(|tag| self.tags.iter().any(|named| named == tag.as_str()))
    }

    /// Whether it is about an incident's subject; `about`: the number of the check that a person named with one of their own.
    fn covers(&self, book: &Book, subject: &Subject, about: Option<u32>) -> bool {
        let check = |number: CheckNo| book.check(number).is_some_and(|check| self.covers_check(check));
        match subject {
            Subject::Check(number) => check(*number),
            Subject::Agent(number) => {
                let name = book.agent(*number).map(|agent| agent.name.as_str());
                self.everything || name.is_some_and(|name| self.agents.iter().any(|named| named == name))
            }
            // An objective's own checks may be silenced one by one; its budget burns on.
            Subject::Slo(_) => self.everything,
            Subject::Manual(_) => self.everything || about.is_some_and(|number| check(CheckNo(number))),
        }
    }
}

/// The silences that are not over.
#[derive(Debug, Default)]
pub(crate) struct Silences(BTreeMap<String, Silence>);

impl Silences {
    pub(crate) fn new(silences: Vec<Silence>) -> Self {
        Self(silences.into_iter().map(|silence| (silence.id.clone(), silence)).collect())
    }

    /// What holds an incident's pages now, as far as people say so.
    pub(crate) fn hold(
        &self,
        book: &Book,
        subject: &Subject,
        about: Option<u32>,
        now: UtcMicros,
    ) -> Option<HoldReason> {
        let silenced = self
            .0
            .values()
            .any(|silence| silence.span.contains(now) && silence.body.scope.covers(book, subject, about));
        silenced.then_some(HoldReason::Silence)
    }

    /// When a silence begins or ends next.
    pub(crate) fn next_turn(&self, now: UtcMicros) -> Option<UtcMicros> {
        let turns = self.0.values().flat_map(|silence| [silence.span.from, silence.span.to]);
        turns.filter(|at| *at > now).min()
    }

    pub(crate) fn forget_over(&mut self, now: UtcMicros) {
        self.0.retain(|_, silence| now < silence.span.to);
    }
}

/// Who asks for a silence of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// About what.
    pub scope: Scope,
    /// When.
    pub span: Span,
    /// Why.
    pub reason: String,
}

impl Engine {
    /// Keeps pages still.
    ///
    /// # Errors
    /// When it names nothing, or what is not there, is too long, gives no reason, or cannot be written.
    pub fn silence(&mut self, wanted: Wanted, author: &str, now: UtcMicros) -> Result<Silence, AppError> {
        let shared = Arc::clone(&self.shared);
        let invalid = |what: &str| AppError::Invalid(what.to_owned());
        let Wanted { mut scope, span, reason } = wanted;
        let reason = reason.trim().to_owned();
        if reason.is_empty() || reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
            return Err(invalid("a silence needs a reason: one line of 1 to 500 bytes"));
        }
        if span.to <= now || span.is_empty() {
            return Err(invalid("the silence would be over already: its end must lie ahead, and after its beginning"));
        }
        if span.to.us_since(span.from) > SILENCE_US_MAX || span.from.us_since(now) > SILENCE_US_MAX {
            return Err(invalid("a silence begins within 90 days, and lasts 90 days at most"));
        }
        known(&shared.book(), &mut scope)?;
        if self.alert.silences.0.len() >= SILENCES_MAX {
            return Err(AppError::Conflict(format!("there are {SILENCES_MAX} silences: end some with `unsilence`")));
        }
        let body = Body { scope, reason, author: author.to_owned(), ended: None };
        let id = self.free_silence_id(&body, now)?;
        let silence = Silence { id, span, body };
        self.store.write(|tables| stored::set(tables, &silence))?;
        self.alert.silences.0.insert(silence.id.clone(), silence.clone());
        self.alert.touch_all();
        shared.tick();
        Ok(silence)
    }

    /// Ends a silence before its time.
    ///
    /// # Errors
    /// When there is none, it is over, or it cannot be written.
    pub fn unsilence(&mut self, id: &str, author: &str, now: UtcMicros) -> Result<Silence, AppError> {
        let Some(mut silence) = stored::one(self.store.read(), id)? else {
            return Err(AppError::NotFound(format!("no silence {id}: see `sitepulse-collector silences --all`")));
        };
        if silence.span.to <= now {
            return Err(AppError::Conflict(format!("silence {id} is over")));
        }
        silence.span = Span::new(silence.span.from.min(now), now);
        silence.body.ended = Some((author.to_owned(), now.0));
        self.store.write(|tables| stored::set(tables, &silence))?;
        self.alert.silences.0.remove(id);
        self.alert.touch_all();
        self.shared.tick();
        Ok(silence)
    }

    fn free_silence_id(&self, body: &Body, now: UtcMicros) -> Result<String, AppError> {
        let text = format!("{body:?}");
        for nonce in 0_u32.. {
            let hash = fnv1a_of(&[text.as_bytes(), &now.0.to_le_bytes(), &nonce.to_le_bytes()]);
            let id = format!("s-{}", super::short(hash, 7));
            if stored::one(self.store.read(), &id)?.is_none() {
                return Ok(id);
            }
        }
        Err(AppError::Unavailable("no id is free".into()))
    }
}

/// Sorts the names of a scope, and refuses those of what is not there: a silence of a misspelt check would let it page.
fn known(book: &Book, scope: &mut Scope) -> Result<(), AppError> {
    let Scope { checks, groups, tags, agents, everything } = scope;
    let named = checks.len() + groups.len() + tags.len() + agents.len();
    match (named, *everything) {
        (0, false) => {
            return Err(AppError::Invalid("name what is silenced: checks, groups, tags, agents, or everything".into()));
        }
        (1.., true) => return Err(AppError::Invalid("everything is silenced with no names beside it".into())),
        (0, true) => return Ok(()),
        (1..=NAMES_MAX, false) => {}
        (_, false) => return Err(AppError::Invalid(format!("a silence names {NAMES_MAX} at most"))),
    }
    for names in [&mut *checks, &mut *groups, &mut *tags, &mut *agents] {
        names.sort();
        names.dedup();
    }
    let living = || book.checks().filter(|check| !check.retired());
    let nothing =
        |what: &str, name: &str| Err(AppError::NotFound(format!("no {what} {name:?}: nothing would be silenced")));
    if let Some(name) = checks.iter().find(|name| !living().any(|check| check.id.as_str() == **name)) {
        return nothing("check", name);
    }
    let has_group = |name: &str| {
        living().any(|check| check.newest().labels.group.as_ref().is_some_and(|group| group.as_str() == name))
    };
    if let Some(name) = groups.iter().find(|name| !has_group(name)) {
        return nothing("group", name);
    }
    let has_tag = |name: &str| living().any(|check| check.newest().labels.tags.iter().any(|tag| tag.as_str() == name));
    if let Some(name) = tags.iter().find(|name| !has_tag(name)) {
        return nothing("tag", name);
    }
    let has_agent = |name: &str| book.agents().any(|agent| agent.name.as_str() == name);
    if let Some(name) = agents.iter().find(|name| !has_agent(name)) {
        return nothing("agent", name);
    }
    Ok(())
}

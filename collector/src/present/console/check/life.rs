//! What a check is and how it came to be so: its definition in words, what it depends on, its revisions and who suspended it when.

use sitepulse_daemon::instant;
use sitepulse_model::duration;
use sitepulse_model::time::UtcMicros;

use super::super::row::clock_text;
use crate::app::{FieldDiff, changes};
use crate::book::{Book, Check};
use crate::present::api::check_of;
use crate::present::dto::{CheckView, EventView};
use crate::present::problem::Answer;
use crate::present::text::Texts;
use crate::present::view::event_view;

/// Turns of a check's history that are shown: the newest.
const SHOWN: usize = 20;

/// What a check is.
pub(super) struct Life {
    /// The definition, key by key.
    pub(super) facts: Vec<(&'static str, String)>,
    /// Checks that it depends on.
    pub(super) parents: Vec<String>,
    /// Checks that depend on it.
    pub(super) children: Vec<String>,
    /// Newest first.
    pub(super) turns: Vec<Turn>,
}

/// Something that was changed.
pub(super) struct Turn {
    pub(super) at: String,
    pub(super) what: String,
    pub(super) by: String,
    /// Field, before and after.
    pub(super) fields: Vec<FieldDiff>,
    pub(super) note: String,
}

impl Life {
    pub(super) fn of(book: &Book, view: &CheckView, t: &Texts) -> Answer<Self> {
        let check = check_of(book, &view.id)?;
        let labels = &check.newest().labels;
        let children = book
            .checks()
            .filter(|other| other.current().is_some_and(|revision| revision.labels.parents.contains(&check.id)));
        let mut children: Vec<String> = children.map(|other| other.id.to_string()).collect();
        children.sort();
        Ok(Self {
            facts: facts(check, view, t),
            parents: labels.parents.iter().map(ToString::to_string).collect(),
            children,
            turns: turns(book, check, t),
        })
    }
}

fn facts(check: &Check, view: &CheckView, t: &Texts) -> Vec<(&'static str, String)> {
    let w = t.page;
    let (definition, labels) = (&check.newest().definition, &check.newest().labels);
    let mut facts = vec![
        (w.interval, duration::format(definition.interval_us)),
        (w.timeout, duration::format(definition.timeout_us)),
        (t.weight, (t.number)(definition.weight.to_string())),
        (t.regions, view.regions.as_ref().map_or_else(|| w.every_region.to_owned(), |regions| regions.join(", "))),
        (w.quorum, view.quorum.clone()),
        (w.confirmations, view.confirmations.to_string()),
        (w.recoveries, view.recoveries.to_string()),
        (w.class, (w.class_of)(labels.class.as_str()).to_owned()),
    ];
    let more = [
        (t.list.group, view.group.clone().unwrap_or_default()),
        (t.list.tag, view.tags.join(", ")),
        (w.expect, view.expect.join(", ")),
        (w.providers, labels.providers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        (w.escalation, labels.escalation.as_ref().map(ToString::to_string).unwrap_or_default()),
    ];
    facts.extend(more.into_iter().filter(|(_, value)| !value.is_empty()));
    facts
}

fn turns(book: &Book, check: &Check, t: &Texts) -> Vec<Turn> {
    let w = t.page;
    let second = |at: UtcMicros| clock_text(UtcMicros(at.0 - at.0.rem_euclid(1_000_000)));
    let mut turns: Vec<(UtcMicros, Turn)> = Vec::new();
    let mut before = None;
    for revision in &check.revisions {
        let mut what = (w.revision)(revision.revision.0);
        let fields = match before {
            _ if revision.retired => {
                what = format!("{what} · {}", w.retired);
                Vec::new()
            }
            Some(before) => changes(before, revision),
            None => {
                what = format!("{what} · {}", w.made);
                Vec::new()
            }
        };
        before = Some(revision);
        let (at, by) = (revision.effective_from, revision.author.clone());
        turns.push((at, Turn { at: second(at), what, by, fields, note: String::new() }));
    }
    for event in book.control().events() {
        let view: EventView = event_view(book, &event);
        if view.check.as_deref() != Some(check.id.as_str()) {
            continue;
        }
        let mut what = (w.acted)(&view.action).to_owned();
        if let Some(agent) = &view.agent {
            what.push_str(&format!(" · {agent}"));
        }
        if let Some(weight) = view.weight {
            what.push_str(&format!(" · {}", (t.number)(weight.to_string())));
        }
        let until = view.until.as_deref().and_then(|until| instant::parse(until, event.at).ok());
        let until = until.map(|until| (t.suspended_until)(&second(until)));
        let note: Vec<String> = [until, view.reason].into_iter().flatten().collect();
        let turn = Turn { at: second(event.at), what, by: view.author, fields: Vec::new(), note: note.join(" · ") };
        turns.push((event.at, turn));
    }
    turns.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    turns.into_iter().take(SHOWN).map(|(_, turn)| turn).collect()
}

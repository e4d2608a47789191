//! Takes records in that another way brings than an agent's connection: out of an exported file.
//!
//! They pass the same judgement and the same marks as an agent's batches, so importing twice, or into the collector they came from, stores
//! nothing twice. What is refused is told to who imports and not set aside: the file is still there.
//!
//! Histories come first. A check that is not known here is taken with all its definitions and ends at the instant of the export: `apply`
//! starts it again. An agent that is not known is taken with its life up to that instant; its key is elsewhere, so nobody connects as
//! it. What is known here must have the same history as far as the file's goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use sitepulse_model::control::ControlEvent;
use sitepulse_model::id::{AgentName, AgentNo, CheckId, CheckNo, Incarnation, Revision};
use sitepulse_model::record::{Provenance, Record};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::{Batch, Entry};

use super::{IngestJob, Origin, validate};
use crate::app::AppError;
use crate::book::{Agent, Book, CheckRevision, Object, ObjectKind, Revised};
use crate::engine::Engine;
use crate::exchange::histories::{CheckHistory, Histories, ObjectHistory};
use crate::exchange::row::Named;
use crate::exchange::scores;
use crate::jobs::Kind;
use crate::store::{impact, jobs, objects, rows};

/// What became of histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportedHistories {
    /// Checks that were not known.
    pub checks: usize,
    /// Agents that were not known.
    pub agents: usize,
    /// Events that were not known.
    pub events: usize,
    /// Policies, maintenance windows, and whom incidents are told, that were not known.
    pub objects: usize,
}

/// What became of records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportedRecords {
    /// New and stored.
    pub stored: u64,
    /// Known before.
    pub known: u64,
    /// Which of them, counted from 0, were refused, and why.
    pub refused: Vec<(usize, String)>,
    /// How many more found no place in their mark: nothing was written of them.
    pub without_place: u64,
}

/// What the histories add.
#[derive(Default)]
struct News {
    revisions: Vec<(CheckNo, CheckRevision)>,
    agents: Vec<Agent>,
    events: Vec<ControlEvent>,
    objects: Vec<Revised<Object>>,
    checks: BTreeMap<CheckId, CheckNo>,
}

impl Engine {
    /// Takes histories in: all of them in one transaction, or nothing.
    ///
    /// # Errors
    /// When they make no sense, or what is known here has another history.
    pub fn import_histories(
        &mut self,
        histories: &Histories,
        author: &str,
        now: UtcMicros,
    ) -> Result<ImportedHistories, AppError> {
        let floor = self.numbers_from()?;
        let shared = Arc::clone(&self.shared);
        let news = news(&shared.book(), histories, author, floor, now).map_err(AppError::Conflict)?;
        let imported = ImportedHistories {
            checks: news.checks.len(),
            agents: news.agents.len(),
            events: news.events.len(),
            objects: news.objects.iter().filter(|revised| revised.version == 1).count(),
        };
        let scores = {
            let book = shared.book();
            let number =
                |id: &CheckId| news.checks.get(id).copied().or_else(|| book.check_by_id(id).map(|check| check.number));
            scores::taken(&book, &histories.scores, &histories.objects, number).map_err(AppError::Invalid)?
        };
        if imported == ImportedHistories::default() && scores.is_empty() {
            return Ok(imported);
        }
        self.store.write(|tables| {
            scores.iter().try_for_each(|(of, day, one)| impact::take_day(tables, of, *day, &one.model, &one.hours))?;
            news.revisions
                .iter()
                .try_for_each(|(number, revision)| rows::insert_revision(tables, *number, revision))?;
            for agent in &news.agents {
                rows::insert_agent(tables, agent)?;
                agent.revoked_at.iter().try_for_each(|at| rows::revoke_agent(tables, agent, *at))?;
            }
            news.objects.iter().try_for_each(|revised| objects::insert_version(tables, revised))?;
            news.events.iter().try_for_each(|event| rows::insert_event(tables, event, now))?;
            // Detectors look at what came in as soon as they can.
            jobs::hurry(tables, Kind::Insights, now)
        })?;
        shared.jobs.wake();
        let mut book = shared.book_mut();
        for (number, revision) in news.revisions {
            book.insert_revision(number, revision);
        }
        for agent in news.agents {
            book.insert_agent(agent);
        }
        for event in news.events {
            book.insert_event(event);
        }
        for revised in news.objects {
            book.insert_object(revised);
        }
        drop(book);
        shared.tick();
        Ok(imported)
    }

    /// Takes records in.
    ///
    /// # Errors
    /// When the store cannot be written; then none of them is taken.
    pub fn import_records(&mut self, records: Vec<Named>, now: UtcMicros) -> Result<ImportedRecords, AppError> {
        let mut imported = ImportedRecords::default();
        let mut jobs: BTreeMap<(AgentNo, Incarnation), (Vec<Provenance>, Vec<Entry>)> = BTreeMap::new();
        {
            let book = self.shared.book();
            for (index, named) in records.into_iter().enumerate() {
                let mut place = |agent: &Agent, entry: Entry, provenance: Provenance, incarnation: Incarnation| {
                    let (provenances, entries) = jobs.entry((agent.number, incarnation)).or_default();
                    let at = provenances.iter().position(|known| *known == provenance).unwrap_or_else(|| {
                        provenances.push(provenance);
                        provenances.len() - 1
                    });
                    let at = u16::try_from(at).map_err(|_| "more than 65535 provenances in one go".to_owned())?;
                    entries.push(Entry { provenance: at, ..entry });
                    Ok(())
                };
                let outcome = judged(&book, named, now)
                    .and_then(|(agent, entry, provenance, incarnation)| place(agent, entry, provenance, incarnation));
                if let Err(why) = outcome {
                    imported.refused.push((index, why));
                }
            }
        }
        let jobs = jobs.into_iter().map(|((agent, incarnation), (provenances, mut entries))| {
            // In their order fewer gaps open.
            entries.sort_by_key(|entry| (entry.bucket, entry.seq));
            IngestJob { agent, received_at: now, batch: Batch { number: 0, incarnation, provenances, entries } }
        });
        for outcome in self.ingest_from(jobs.collect(), Origin::Import)? {
            imported.stored += outcome.stored;
            imported.known += outcome.duplicates;
            imported.without_place += outcome.set_aside;
        }
        Ok(imported)
    }
}

/// A record as its agent would have brought it.
fn judged(book: &Book, named: Named, now: UtcMicros) -> Result<(&Agent, Entry, Provenance, Incarnation), String> {
    let agent = AgentName::parse(&named.agent).ok().and_then(|name| book.agent_by_name(&name));
    let agent = agent.ok_or_else(|| {
        format!("there is no agent {:?}: JSON Lines and Parquet bring the agents along, CSV does not", named.agent)
    })?;
    let check = CheckId::parse(&named.check).ok().and_then(|id| book.check_by_id(&id));
    let check = check.ok_or_else(|| {
        format!("there is no check {:?}: JSON Lines and Parquet bring the checks along, CSV does not", named.check)
    })?;
    let mut record = named.record;
    match &mut record {
        Record::Result(result) => result.check = check.number,
        Record::Missed(missed) => missed.check = check.number,
        Record::Dropped(dropped) => dropped.check = check.number,
    }
    let entry = Entry { bucket: check.bucket(), seq: named.seq, provenance: 0, record };
    validate::entry(book, agent, &entry, 1, now).map_err(|reason| reason.to_string())?;
    Ok((agent, entry, named.provenance, named.incarnation))
}

fn news(book: &Book, histories: &Histories, author: &str, floor: u32, now: UtcMicros) -> Result<News, String> {
    let exported = histories.exported.0;
    if exported > now {
        return Err("the export is of the future: set this machine's clock right".to_owned());
    }
    let mut news = News::default();
    let mut number_next = floor.max(1 + book.checks().map(|check| check.number.0).max().unwrap_or(0));
    let ordinal = crate::app::number_after(book.checks().map(|check| check.newest().ordinal).max().unwrap_or(0), now);
    for check in &histories.checks {
        let id = CheckId::parse(&check.id).map_err(|error| error.to_string())?;
        let mut revisions = revisions(check, ordinal)?;
        if let Some(known) = book.check_by_id(&id) {
            let same = |theirs: &CheckRevision| {
                known.revision(theirs.revision).is_some_and(|ours| {
                    (ours.effective_from, ours.retired) == (theirs.effective_from, theirs.retired)
                        && ours.definition == theirs.definition
                })
            };
            if let Some(other) = revisions.iter().find(|revision| !same(revision)) {
                return Err(format!(
                    "check {id} has another history here: revision {} is not the file's. Import into a collector that does not \
                     know the check, or export others with --check",
                    other.revision.0
                ));
            }
            continue;
        }
        if let Some(last) = revisions.last().filter(|last| !last.retired).cloned() {
            let effective_from = exported.max(last.effective_from.plus_us(1));
            let revision = Revision(last.revision.0.saturating_add(1));
            let author = author.to_owned();
            revisions.push(CheckRevision { revision, effective_from, retired: true, author, ..last });
        }
        let number = CheckNo(number_next);
        number_next += 1;
        news.revisions.extend(revisions.into_iter().map(|revision| (number, revision)));
        news.checks.insert(id, number);
    }
    let mut agent_next = 1 + book.agents().map(|agent| agent.number.0).max().unwrap_or(0);
    for history in &histories.agents {
        let agent = history.to_agent(AgentNo(agent_next), exported)?;
        match book.agent_by_name(&agent.name) {
            Some(known) if known.spki_sha256 == agent.spki_sha256 && known.enrolled_at == agent.enrolled_at => {}
            Some(known) => {
                return Err(format!(
                    "agent {} is another one here, which joined with another key in region {}: import into a collector that does \
                     not know an agent of this name",
                    agent.name, known.region
                ));
            }
            None => {
                agent_next += 1;
                news.agents.push(agent);
            }
        }
    }
    for event in &histories.events {
        let agent = |name: &AgentName| {
            let new = || news.agents.iter().find(|agent| agent.name == *name).map(|agent| agent.number);
            book.agent_by_name(name).map(|agent| agent.number).or_else(new)
        };
        let check =
            |id: &CheckId| book.check_by_id(id).map(|check| check.number).or_else(|| news.checks.get(id).copied());
        let event = event.to_event(agent, check)?;
        if !book.control().contains(&event.id) {
            event.validate().map_err(|error| error.to_string())?;
            news.events.push(event);
        }
    }
    news.objects = objects_of(book, histories, author)?;
    Ok(news)
}

/// The objects that are not known, each ended at the instant of the export: `apply` begins it again.
fn objects_of(book: &Book, histories: &Histories, author: &str) -> Result<Vec<Revised<Object>>, String> {
    let mut histories_of: BTreeMap<(ObjectKind, String), Vec<Revised<Object>>> = BTreeMap::new();
    for history in &histories.objects {
        let revised = history.to_revised()?;
        let versions = histories_of.entry((revised.body.kind(), revised.body.id().to_owned())).or_default();
        let after = versions.last().map_or((0, UtcMicros::MIN), |last| (last.version, last.effective_from));
        if revised.version != after.0 + 1 || revised.effective_from <= after.1 {
            return Err(format!("{} {}: its versions are out of order", history.kind, revised.body.id()));
        }
        versions.push(revised);
    }
    let mut news = Vec::new();
    for ((kind, id), mut versions) in histories_of {
        let known = book.objects().versions(kind, &id);
        let same = |(ours, theirs): (&Revised<Object>, &Revised<Object>)| {
            (ours.version, ours.effective_from, ours.retired) == (theirs.version, theirs.effective_from, theirs.retired)
                && ours.body.json() == theirs.body.json()
        };
        if !known.is_empty() && !ObjectHistory::counts(kind) {
            continue;
        }
        if !known.is_empty() {
            if known.len() < versions.len() || !known.iter().zip(&versions).all(same) {
                let table = kind.table();
                return Err(format!(
                    "[[{table}]] {id} has another history here: import into a collector that does not know it"
                ));
            }
            continue;
        }
        if let Some(stranger) = versions.iter().find_map(|revised| covers_others(book, histories, &revised.body)) {
            return Err(format!(
                "maintenance window {id} covers check {stranger} here too, whose past it would rewrite: import into another collector"
            ));
        }
        if let Some(last) = versions.last().filter(|last| !last.retired).cloned() {
            let effective_from = histories.exported.0.max(last.effective_from.plus_us(1));
            let (version, author) = (last.version + 1, author.to_owned());
            versions.push(Revised { version, effective_from, retired: true, author, ..last });
        }
        news.append(&mut versions);
    }
    Ok(news)
}

/// A check that is not the file's and that a window covers.
fn covers_others<'b>(book: &'b Book, histories: &Histories, object: &Object) -> Option<&'b CheckId> {
    let Object::Maintenance(window) = object else { return None };
    let foreign = |id: &CheckId| !histories.checks.iter().any(|check| check.id == id.as_str());
    let covered = |check: &&crate::book::Check| {
        check.revisions.iter().any(|revision| {
            let labels = &revision.labels;
            window.checks.iter().any(|id| id == check.id.as_str())
                || labels.group.as_ref().is_some_and(|group| window.groups.iter().any(|of| of == group.as_str()))
                || labels.tags.iter().any(|tag| window.tags.iter().any(|of| of == tag.as_str()))
        })
    };
    book.checks().filter(|check| foreign(&check.id)).find(covered).map(|check| &check.id)
}

/// A check's definitions, ascending in number and in time.
fn revisions(check: &CheckHistory, ordinal: u64) -> Result<Vec<CheckRevision>, String> {
    let mut revisions: Vec<CheckRevision> = Vec::with_capacity(check.revisions.len());
    for history in &check.revisions {
        let revision = history.to_revision(ordinal).map_err(|what| format!("check {}: {what}", check.id))?;
        let ascends = revisions
            .last()
            .is_none_or(|last| last.revision < revision.revision && last.effective_from < revision.effective_from);
        if !ascends || revision.definition.id.as_str() != check.id {
            return Err(format!("check {}: its revisions are out of order, or of another check", check.id));
        }
        revisions.push(revision);
    }
    if revisions.is_empty() {
        return Err(format!("check {} has no revision", check.id));
    }
    Ok(revisions)
}

//! Checks as code: what applying definitions would change, and doing it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sitepulse_model::check::{AssignedCheck, CheckDefinition};
use sitepulse_model::duration;
use sitepulse_model::escalation::{EscalationPolicy, Level, Target};
use sitepulse_model::id::{CheckId, CheckNo, Group, ObjectId, Provider, Region, Revision, Tag};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::frame::Message;
use sitepulse_wire::message::{AssignmentPart, ToAgent};

use super::control::number_after;
use super::{Access, AppError, ApplyOptions};
use crate::book::Object;
use crate::book::{Book, CheckRevision, Labels};
use crate::checkfile::{Written, WrittenCheck, WrittenObject};
use crate::engine::Engine;
use crate::heartbeat::timing::Timing;
use crate::jobs::Kind;
use crate::outbox;
use crate::store::backup::META_NUMBERS_FROM;
use crate::store::{StoreError, jobs, objects as stored, rows};

mod objects;
mod parents;
mod secrets;

pub use objects::ObjectItem;

/// What applying did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One item per check concerned, by id.
    pub items: Vec<PlanItem>,
    /// One item per object concerned, by kind and id.
    pub objects: Vec<ObjectItem>,
    /// Whether it was carried out: false for a dry run.
    pub applied: bool,
    /// What will not work as it is, though it may be applied: secrets that are not set.
    pub warnings: Vec<String>,
}

/// What happens to one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanItem {
    /// The check's id.
    pub id: CheckId,
    /// The check's number; `None` for a check that a dry run would create.
    pub number: Option<CheckNo>,
    /// What happens.
    pub step: PlanStep,
}

/// A kind of change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanStep {
    /// A new check, or a retired one that comes back.
    Create,
    /// A new revision.
    Change {
        /// The revision it becomes; of an object: the version.
        revision: Revision,
        /// What differs, in the definition's order.
        fields: Vec<FieldDiff>,
    },
    /// Nothing differs: no revision is made.
    Unchanged,
    /// It ends: the files do not name it and `prune` was asked for.
    Retire,
}

/// One field's old and new value, as people write them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDiff {
    /// The field's name in a check file; `tls.insecure` for a key within a table.
    pub field: String,
    /// The value before.
    pub old: String,
    /// The value after.
    pub new: String,
}

impl Engine {
    /// The least number that a new check, or a new revision of a known one, may have (see [`META_NUMBERS_FROM`]).
    pub(crate) fn numbers_from(&self) -> Result<u32, StoreError> {
        let floor = rows::meta(self.store.read(), META_NUMBERS_FROM)?;
        Ok(floor.and_then(|floor| floor.parse().ok()).unwrap_or(1))
    }

    /// Applies what files say: all of it in one transaction, effective at `now` (later than the revision before in any case).
    /// Applying the same again changes nothing. Who may sign in as what stays as it is, and no secret goes where none goes yet.
    pub fn apply(
        &mut self,
        written: impl Into<Written>,
        options: &ApplyOptions,
        now: UtcMicros,
    ) -> Result<Plan, AppError> {
        self.apply_as(Access::Edit, written, options, now)
    }

    /// [`Self::apply`] on behalf of somebody who reaches so far: admins alone change who may sign in as what, and where a secret goes. Otherwise who
    /// may edit could make themselves an admin, or have any secret sent to themselves.
    pub fn apply_as(
        &mut self,
        access: Access,
        written: impl Into<Written>,
        options: &ApplyOptions,
        now: UtcMicros,
    ) -> Result<Plan, AppError> {
        let mut written = written.into();
        let shared = Arc::clone(&self.shared);
        let mut faults = objects::unresolved(&shared.book(), &written, options.prune);
        faults.extend(parents::circles(&shared.book(), &written, options.prune));
        if !faults.is_empty() {
            return Err(AppError::BadFiles(faults));
        }
        let slow_parents = parents::slow(&shared.book(), &written, options.prune);
        let mut wanted = BTreeMap::new();
        for check in std::mem::take(&mut written.checks) {
            usable(&check.definition)?;
            if let Some(double) = wanted.insert(check.definition.id.clone(), check) {
                return Err(AppError::Invalid(format!(
                    "check {} is defined twice: give each check an id of its own",
                    double.definition.id
                )));
            }
        }
        let mut warnings = missing_secrets(&shared.book(), &wanted);
        warnings.extend(missing_secrets_of_channels(&shared.book(), &written.objects));
        warnings.extend(levels_that_reach_nobody(&shared.book(), &written.objects));
        warnings.extend(slow_parents);
        let floor = self.numbers_from()?;
        let (objects, revised) = objects::plan(&shared.book(), &written, options, floor, now)?;
        if access < Access::Admin {
            let book = shared.book();
            if let Some(user) = revised.iter().find_map(|revised| objects::changed_standing(&book, revised)) {
                return Err(AppError::Forbidden(format!(
                    "this changes what user {user} may do, or who may sign in as them: only an admin may set, change or retire a user's role, \
                     change the email of one who has a role, or write a user that a sign-in made"
                )));
            }
            if let Some(told) = secrets::led_elsewhere(&book, wanted.values(), &written.objects) {
                return Err(AppError::Forbidden(told));
            }
        }
        warnings.extend(revised.iter().filter_map(|revised| objects::late(revised, now)));
        let (mut items, revisions) = plan(&shared.book(), wanted, options, floor, now);
        if options.dry_run || (revisions.is_empty() && revised.is_empty()) {
            if options.dry_run {
                let book = shared.book();
                for item in &mut items {
                    item.number = book.check_by_id(&item.id).map(|check| check.number);
                }
            }
            return Ok(Plan { items, objects, applied: !options.dry_run, warnings });
        }
        let newcomers = self.heartbeat_newcomers(&revisions, now)?;
        let channels = outbox::changed(&revised);
        self.store.write(|tables| {
            revisions.iter().try_for_each(|(number, revision)| rows::insert_revision(tables, *number, revision))?;
            revised.iter().try_for_each(|revised| stored::insert_version(tables, revised))?;
            newcomers.observer.iter().try_for_each(|observer| rows::insert_agent(tables, observer))?;
            let mut tokens = newcomers.tokens.iter();
            tokens.try_for_each(|(check, bucket, token)| rows::insert_heartbeat(tables, *bucket, *check, token))?;
            // Detectors look at what was written as soon as they can.
            jobs::hurry(tables, Kind::Insights, now)?;
            outbox::mend(tables, &channels, now)
        })?;
        shared.jobs.wake();
        let mut book = shared.book_mut();
        if let Some(observer) = newcomers.observer.clone() {
            book.insert_agent(observer);
        }
        for (number, revision) in revisions {
            book.insert_revision(number, revision);
        }
        for revised in revised {
            book.insert_object(revised);
        }
        drop(book);
        self.welcome_newcomers(newcomers, now);
        self.mended(&channels);
        self.alert.touch_all();
        shared.tick();
        Ok(Plan { items, objects, applied: true, warnings })
    }
}

/// The secrets that checks refer to and nobody has set.
fn missing_secrets(book: &Book, wanted: &BTreeMap<CheckId, WrittenCheck>) -> Vec<String> {
    let mut warnings = Vec::new();
    for WrittenCheck { definition, .. } in wanted.values() {
        for name in definition.kind.secrets().into_iter().filter(|name| !book.vault().contains(name)) {
            let id = &definition.id;
            warnings.push(format!(
                "check {id} refers to secret {name}, which is not set: `sitepulse-collector secret set {name}`"
            ));
        }
    }
    warnings
}

/// The levels of policies that name users alone, none of whom has a channel: of the policies that are written, and of those that name a user who is.
fn levels_that_reach_nobody(book: &Book, objects: &[WrittenObject]) -> Vec<String> {
    let user_of = |written: &WrittenObject| {
        if let Object::User(user) = &written.object { Some((user.id.clone(), !user.notify.is_empty())) } else { None }
    };
    let policy_of = |written: &WrittenObject| {
        if let Object::Escalation(policy) = &written.object { Some((policy.id.clone(), policy.clone())) } else { None }
    };
    let users: BTreeMap<String, bool> = objects.iter().filter_map(user_of).collect();
    let policies: BTreeMap<String, EscalationPolicy> = objects.iter().filter_map(policy_of).collect();
    let standing = book.objects().escalations.living().map(|(_, policy)| &policy.body);
    let others = standing.filter(|policy| !policies.contains_key(&policy.id)).map(|policy| (policy, false));
    let has_channel = |id: &str| {
        let known = || book.objects().users.current(id).map(|user| !user.body.notify.is_empty());
        users.get(id).copied().or_else(known).unwrap_or(false)
    };
    let may_reach = |target: &String| match Target::parse(target) {
        Ok(Target::User(user)) => has_channel(&user),
        // Who is on call is another one next week, and channels that are not there are refused.
        Ok(Target::Channel(_) | Target::OnCall(_)) | Err(_) => true,
    };
    let is_written =
        |target: &String| matches!(Target::parse(target), Ok(Target::User(user)) if users.contains_key(&user));
    let mut warnings = Vec::new();
    for (policy, is_new) in policies.values().map(|policy| (policy, true)).chain(others) {
        let concerned = |level: &Level| is_new || level.notify.iter().any(is_written);
        let mute = |level: &Level| concerned(level) && !level.notify.iter().any(may_reach);
        for (nth, _) in policy.levels.iter().enumerate().filter(|(_, level)| mute(level)) {
            warnings.push(format!(
                "level {} of escalation {} reaches nobody, so the next one follows at once: its users have no channel, write notify = [...] in a [[user]]",
                nth + 1,
                policy.id
            ));
        }
    }
    warnings
}

/// The secrets that channels refer to and nobody has set.
fn missing_secrets_of_channels(book: &Book, objects: &[WrittenObject]) -> Vec<String> {
    let mut warnings = Vec::new();
    for written in objects {
        let Object::Channel(channel) = &written.object else { continue };
        for name in channel.secrets().into_iter().filter(|name| !book.vault().contains(name)) {
            let id = &channel.id;
            warnings.push(format!(
                "channel {id} refers to secret {name}, which is not set, and its messages wait: `sitepulse-collector secret set {name}`"
            ));
        }
    }
    warnings
}

/// Refuses what could not be watched, and what could not be sent to agents: one such check would cut them all off.
fn usable(definition: &CheckDefinition) -> Result<(), AppError> {
    if let Some(Err(what)) = Timing::of_kind(&definition.kind) {
        return Err(AppError::Invalid(format!("check {}: {what}", definition.id)));
    }
    let check = AssignedCheck { number: CheckNo(1), revision: Revision(1), definition: definition.clone() };
    let part = AssignmentPart { revision: 1, part: 0, parts: 1, checks: vec![check] };
    match ToAgent::Assignment(part).encode() {
        Ok(_) => Ok(()),
        Err(error) => Err(AppError::Invalid(format!("check {} cannot be sent to agents: {error}", definition.id))),
    }
}

/// What is to be done. New check numbers, and new revisions of known checks, are `floor` at least (see [`META_NUMBERS_FROM`]).
fn plan(
    book: &Book,
    wanted: BTreeMap<CheckId, WrittenCheck>,
    options: &ApplyOptions,
    floor: u32,
    now: UtcMicros,
) -> (Vec<PlanItem>, Vec<(CheckNo, CheckRevision)>) {
    let ordinal = number_after(book.checks().map(|check| check.newest().ordinal).max().unwrap_or(0), now);
    let mut number_next = floor.max(1 + book.checks().map(|check| check.number.0).max().unwrap_or(0));
    let revision_after = |last: &CheckRevision| Revision(floor.max(last.revision.0 + 1));
    let mut items = Vec::new();
    let mut revisions = Vec::new();
    let ending: Vec<CheckId> = if options.prune {
        let living = book.checks().filter(|check| !check.retired() && !wanted.contains_key(&check.id));
        living.map(|check| check.id.clone()).collect()
    } else {
        Vec::new()
    };
    for id in ending {
        let Some(check) = book.check_by_id(&id) else { continue };
        let last = check.newest();
        revisions.push((
            check.number,
            CheckRevision {
                revision: revision_after(last),
                effective_from: now.max(last.effective_from.plus_us(1)),
                retired: true,
                author: options.author.clone(),
                ordinal,
                definition: last.definition.clone(),
                labels: last.labels.clone(),
            },
        ));
        items.push(PlanItem { id, number: Some(check.number), step: PlanStep::Retire });
    }
    for (id, WrittenCheck { definition, labels, .. }) in wanted {
        let known = book.check_by_id(&id);
        let number = known.map_or_else(
            || {
                number_next += 1;
                CheckNo(number_next - 1)
            },
            |check| check.number,
        );
        let last = known.map(|check| check.newest());
        let revision = last.map_or(Revision(1), revision_after);
        let step = match last {
            Some(last) if !last.retired && last.definition == definition && last.labels == labels => {
                PlanStep::Unchanged
            }
            Some(last) if !last.retired => {
                let fields = differing(&fields(&last.definition, &last.labels), &fields(&definition, &labels));
                PlanStep::Change { revision, fields }
            }
            Some(_) | None => PlanStep::Create,
        };
        if step != PlanStep::Unchanged {
            let effective_from = last.map_or(now, |last| now.max(last.effective_from.plus_us(1)));
            let author = options.author.clone();
            revisions.push((
                number,
                CheckRevision { revision, effective_from, retired: false, author, ordinal, definition, labels },
            ));
        }
        items.push(PlanItem { id, number: Some(number), step });
    }
    items.sort_by(|a, b| a.id.cmp(&b.id));
    (items, revisions)
}

/// What a revision changed of the one before, as a check file writes it.
pub fn changes(before: &CheckRevision, after: &CheckRevision) -> Vec<FieldDiff> {
    differing(&fields(&before.definition, &before.labels), &fields(&after.definition, &after.labels))
}

/// What differs, as a check file writes it: in the file's order, tables key by key.
fn differing(old: &[(String, String)], new: &[(String, String)]) -> Vec<FieldDiff> {
    let mut diffs: Vec<FieldDiff> = Vec::new();
    let value = |fields: &[(String, String)], name: &str| {
        fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone())
    };
    for (field, _) in new.iter().chain(old.iter().filter(|(field, _)| value(new, field).is_none())) {
        let (from, to) = (value(old, field), value(new, field));
        if from != to {
            let absent = || ABSENT.to_owned();
            let diff =
                FieldDiff { field: field.clone(), old: from.unwrap_or_else(absent), new: to.unwrap_or_else(absent) };
            diffs.push(diff);
        }
    }
    diffs
}

/// How a key that is not there is shown.
const ABSENT: &str = "(default)";

fn fields(definition: &CheckDefinition, labels: &Labels) -> Vec<(String, String)> {
    let list =
        |texts: Vec<&str>| format!("[{}]", texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", "));
    let mut fields = vec![("kind".to_owned(), definition.kind.as_str().to_owned())];
    let target = serde_json::from_str(&definition.kind.target_json()).expect("a target is an object");
    flatten("", &target, &mut fields);
    let common = [
        ("interval", duration::format(definition.interval_us)),
        ("timeout", duration::format(definition.timeout_us)),
        ("retries", definition.retries.to_string()),
        ("weight", definition.weight.to_string()),
        ("group", labels.group.as_ref().map_or_else(|| "none".to_owned(), Group::to_string)),
        ("tags", list(labels.tags.iter().map(Tag::as_str).collect())),
        ("class", labels.class.as_str().to_owned()),
        ("parents", list(labels.parents.iter().map(CheckId::as_str).collect())),
        ("providers", list(labels.providers.iter().map(Provider::as_str).collect())),
        ("escalation", labels.escalation.as_ref().map_or_else(|| "the default policy".to_owned(), ObjectId::to_string)),
        (
            "regions",
            match &definition.regions {
                Some(regions) => list(regions.iter().map(Region::as_str).collect()),
                None => "every region".to_owned(),
            },
        ),
        ("quorum", definition.quorum.to_string()),
        ("confirmations", definition.confirmations.to_string()),
        ("recoveries", definition.recoveries.to_string()),
        ("expect", list(definition.expect.iter().map(|expectation| expectation.source()).collect())),
    ];
    fields.extend(common.into_iter().map(|(field, value)| (field.to_owned(), value)));
    fields
}

/// The keys of a target, those of its tables too, with their values as people write them.
fn flatten(prefix: &str, value: &serde_json::Value, fields: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(keys) => {
            for (key, value) in keys {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&name, value, fields);
            }
        }
        serde_json::Value::String(text) => fields.push((prefix.to_owned(), text.clone())),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::Array(_) => fields.push((prefix.to_owned(), value.to_string())),
    }
}

//! What applying objects would change, and whether what they refer to would be there.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::coded::{Reference, Referent};
use sitepulse_model::id::Revision;
use sitepulse_model::time::UtcMicros;

use super::{FieldDiff, PlanStep, differing, flatten};
use crate::app::identity::AUTHOR as PROVIDER;
use crate::app::{AppError, ApplyOptions, identity};
use crate::book::{Book, Object, ObjectKind, Revised};
use crate::checkfile::words::nearest;
use crate::checkfile::{OBJECTS_MAX, Written, WrittenObject, references_of};
use crate::maintenance::Timetable;

/// What happens to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectItem {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its id.
    pub id: String,
    /// What happens.
    pub step: PlanStep,
}

/// Whether pruning leaves an object alone, for it never stood in a file: a user whom a sign-in made. Once a file names them, they are the files'.
fn is_spared(written: &Written, one: &Revised<Object>) -> bool {
    !written.is_in_force && one.body.kind() == ObjectKind::User && one.author == identity::AUTHOR
}

/// What is to be done, by kind and id. New versions of known objects are `floor` at least, as revisions of checks are.
pub(super) fn plan(
    book: &Book,
    written: &Written,
    options: &ApplyOptions,
    floor: u32,
    now: UtcMicros,
) -> Result<(Vec<ObjectItem>, Vec<Revised<Object>>), AppError> {
    let mut by_key: BTreeMap<(ObjectKind, &str), &Object> = BTreeMap::new();
    for WrittenObject { object, .. } in &written.objects {
        let (kind, id) = (object.kind(), object.id());
        if by_key.insert((kind, id), object).is_some() {
            let table = kind.table();
            return Err(AppError::Invalid(format!(
                "{table} {id} is defined twice: give each {table} an id of its own"
            )));
        }
    }
    let living = book.objects().living();
    let mut items = Vec::new();
    let mut revised = Vec::new();
    let mut next = |last: Option<&Revised<Object>>, retired: bool, body: Object| {
        let version = last.map_or(1, |last| floor.max(last.version + 1));
        let effective_from = last.map_or(now, |last| now.max(last.effective_from.plus_us(1)));
        revised.push(Revised { version, effective_from, retired, author: options.author.clone(), body });
        Revision(version)
    };
    let unnamed = |one: &&Revised<Object>| !by_key.contains_key(&(one.body.kind(), one.body.id()));
    let stays = |one: &&Revised<Object>| unnamed(one) && (!options.prune || is_spared(written, one));
    if options.prune {
        for ending in living.iter().filter(|one| unnamed(one) && !stays(one)) {
            next(Some(ending), true, ending.body.clone());
            let (kind, id) = (ending.body.kind(), ending.body.id().to_owned());
            items.push(ObjectItem { kind, id, step: PlanStep::Retire });
        }
    }
    for ((kind, id), object) in &by_key {
        let last = book.objects().newest(*kind, id);
        let step = match &last {
            Some(last) if !last.retired && last.body.json() == object.json() => PlanStep::Unchanged,
            Some(last) if !last.retired => {
                let fields = diff(&last.body, object);
                PlanStep::Change { revision: next(Some(last), false, (*object).clone()), fields }
            }
            Some(_) | None => {
                next(last.as_ref(), false, (*object).clone());
                PlanStep::Create
            }
        };
        items.push(ObjectItem { kind: *kind, id: (*id).to_owned(), step });
    }
    items.sort_by(|a, b| (a.kind, &a.id).cmp(&(b.kind, &b.id)));
    for kind in ObjectKind::ALL {
        let stay = living.iter().filter(stays).filter(|one| one.body.kind() == *kind).count();
        let count = stay + by_key.keys().filter(|(of, _)| of == kind).count();
        if count > OBJECTS_MAX {
            let table = kind.table();
            return Err(AppError::Invalid(format!(
                "{count} objects of kind {table} would be more than the {OBJECTS_MAX} that one collector takes: retire some with --prune"
            )));
        }
    }
    Ok((items, revised))
}

/// The user of whom a version changes who may sign in as them, or as what: their role; the address of one who has a role, for whoever an identity provider
/// vouches for is the user of their address; anything of one whom a sign-in wrote, for then the code would rule their role.
pub(super) fn changed_standing(book: &Book, revised: &Revised<Object>) -> Option<String> {
    let Object::User(user) = &revised.body else { return None };
    let before = book.objects().users.current(&user.id);
    let role_before = before.and_then(|version| version.body.role);
    let role_after = if revised.retired { None } else { user.role };
    let has_role = role_before.is_some() || role_after.is_some();
    let moved = before.is_some_and(|version| version.body.email != user.email);
    let provided = before.is_some_and(|version| version.author == PROVIDER);
    (role_before != role_after || (has_role && moved) || provided).then(|| user.id.clone())
}

/// What a window cannot cover any more, for it was applied too late.
pub(super) fn late(revised: &Revised<Object>, now: UtcMicros) -> Option<String> {
    let Object::Maintenance(window) = &revised.body else { return None };
    let timetable = Timetable::of(window).ok().filter(|_| !revised.retired)?;
    let id = &window.id;
    match timetable.open_after(now).next() {
        None => {
            Some(format!("maintenance {id} is over already: it covers nothing, for the past stays as it was accounted"))
        }
        Some(open) if open.from < now && revised.version == 1 => Some(format!(
            "maintenance {id} began before it was applied: it covers from now on, the past stays as it was accounted"
        )),
        Some(_) => None,
    }
}

fn diff(old: &Object, new: &Object) -> Vec<FieldDiff> {
    let fields = |object: &Object| {
        let mut fields = Vec::new();
        let json = serde_json::from_str(&object.json()).expect("an object's JSON is JSON");
        flatten("", &json, &mut fields);
        fields
    };
    differing(&fields(old), &fields(new))
}

/// What would be there after applying.
#[derive(Default)]
struct Known<'k> {
    checks: BTreeSet<&'k str>,
    groups: BTreeSet<&'k str>,
    tags: BTreeSet<&'k str>,
    policies: BTreeSet<&'k str>,
    channels: BTreeSet<&'k str>,
    users: BTreeSet<&'k str>,
    schedules: BTreeSet<&'k str>,
    escalations: BTreeSet<&'k str>,
}

impl<'k> Known<'k> {
    fn of(book: &'k Book, written: &'k Written, living: &'k [Revised<Object>], prune: bool) -> Self {
        let mut known = Self::default();
        let own = written.checks.iter().map(|check| (check.definition.id.as_str(), &check.labels));
        let own: BTreeMap<&str, _> = own.collect();
        let stays = |id: &str| !prune && !own.contains_key(id);
        let current = book.checks().filter_map(|check| Some((check.id.as_str(), &check.current()?.labels)));
        for (id, labels) in current.filter(|(id, _)| stays(id)).chain(own.iter().map(|(id, labels)| (*id, *labels))) {
            known.checks.insert(id);
            known.groups.extend(labels.group.iter().map(|group| group.as_str()));
            known.tags.extend(labels.tags.iter().map(|tag| tag.as_str()));
        }
        let objects = living.iter().filter(|one| !prune || is_spared(written, one)).map(|revised| &revised.body);
        let objects = objects.chain(written.objects.iter().map(|written| &written.object));
        for object in objects {
            let names = match object.kind() {
                ObjectKind::Policy => &mut known.policies,
                ObjectKind::Channel => &mut known.channels,
                ObjectKind::Escalation => &mut known.escalations,
                ObjectKind::Schedule => &mut known.schedules,
                ObjectKind::User => &mut known.users,
                ObjectKind::Slo
                | ObjectKind::Maintenance
                | ObjectKind::StatusPage
                | ObjectKind::Scoring
                | ObjectKind::Playbook => continue,
            };
            names.insert(object.id());
        }
        known.policies.insert(sitepulse_model::accounting::BUILT_IN);
        known
    }

    fn names(&self, to: Referent) -> &BTreeSet<&'k str> {
        match to {
            Referent::Check => &self.checks,
            Referent::Group => &self.groups,
            Referent::Tag => &self.tags,
            Referent::Policy => &self.policies,
            Referent::Channel => &self.channels,
            Referent::User => &self.users,
            Referent::Schedule => &self.schedules,
            Referent::Escalation => &self.escalations,
        }
    }

    /// What is wrong with a reference.
    fn fault(&self, reference: &Reference) -> Option<String> {
        let names = self.names(reference.to);
        if names.contains(reference.name.as_str()) {
            return None;
        }
        let (to, name) = (reference.to.as_str(), &reference.name);
        let remedy = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => match reference.to {
                Referent::Check => "write it as a [[check]], or leave it out".to_owned(),
                Referent::Group => format!("put a check into it with group = {name:?}, or leave it out"),
                Referent::Tag => format!("give it to a check with tags = [{name:?}], or leave it out"),
                Referent::Policy | Referent::Channel | Referent::User | Referent::Schedule | Referent::Escalation => {
                    format!("write it as a [[{to}]], or leave it out")
                }
            },
        };
        Some(format!("{}: there is no {to} {name:?}: {remedy}", reference.field))
    }
}

/// What is wrong with a channel that must send mail: those of the files count before those that were applied.
fn not_mail(reference: &Reference, written: &Written, living: &[Revised<Object>]) -> Option<String> {
    if reference.to != Referent::Channel {
        return None;
    }
    let applied = living.iter().map(|revised| &revised.body);
    let mut all = written.objects.iter().map(|written| &written.object).chain(applied);
    let kind = all.find_map(|object| {
        let Object::Channel(channel) = object else { return None };
        (channel.id == reference.name).then(|| channel.kind())
    })?;
    let told = format!("{}: channel {:?} is of kind {kind}: name one of kind email", reference.field, reference.name);
    (kind != "email").then_some(told)
}

/// What checks and objects would refer to though it would not be there: those of the files with their places, and those applied before that stay.
pub(super) fn unresolved(book: &Book, written: &Written, prune: bool) -> Vec<String> {
    let living = book.objects().living();
    let known = Known::of(book, written, &living, prune);
    let mut faults = Vec::new();
    for check in &written.checks {
        for (reference, place) in &check.references {
            if let Some(fault) = known.fault(reference) {
                faults.push(format!("{place}: check {:?}: {fault}", check.definition.id.as_str()));
            }
        }
    }
    let names: BTreeSet<&str> = written.checks.iter().map(|check| check.definition.id.as_str()).collect();
    for check in book.checks().filter(|check| !prune && !names.contains(check.id.as_str())) {
        let references = check.current().map(|current| references_of(&current.labels)).unwrap_or_default();
        for fault in references.iter().filter_map(|reference| known.fault(reference)) {
            faults.push(format!("check {:?}, applied before: {fault}", check.id.as_str()));
        }
    }
    for WrittenObject { object, references } in &written.objects {
        for (reference, place) in references {
            let is_page = matches!(object, Object::StatusPage(_));
            let not_mail = || is_page.then(|| not_mail(reference, written, &living)).flatten();
            if let Some(fault) = known.fault(reference).or_else(not_mail) {
                faults.push(format!("{place}: {} {:?}: {fault}", object.kind().table(), object.id()));
            }
        }
    }
    let own: BTreeSet<(ObjectKind, &str)> =
        written.objects.iter().map(|written| (written.object.kind(), written.object.id())).collect();
    let stays = |one: &&Revised<Object>| {
        (!prune || is_spared(written, one)) && !own.contains(&(one.body.kind(), one.body.id()))
    };
    for Revised { body, .. } in living.iter().filter(stays) {
        for fault in body.references().iter().filter_map(|reference| known.fault(reference)) {
            faults.push(format!("{} {:?}, applied before: {fault}", body.kind().table(), body.id()));
        }
    }
    faults
}

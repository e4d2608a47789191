//! Reads one file: its tables, and the common keys of each.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use sitepulse_model::check::{
    CheckDefinition, CheckKind, INTERVAL_US_MAX, INTERVAL_US_MIN, Interact, TIMEOUT_US_MAX, TIMEOUT_US_MIN,
    WebVitalsTarget,
};
use sitepulse_model::coded::{Reference, Referent};
use sitepulse_model::control::Weight;
use sitepulse_model::expect::Expectation;
use sitepulse_model::id::CheckId;
use sitepulse_model::incident::CheckClass;
use sitepulse_model::quorum::Quorum;
use sitepulse_model::vitals::Vital;
use sitepulse_model::vitals::profile::Profile;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::objects::SeenObjects;
use super::target::Targets;
use super::words::{a_type, nearest};
use super::{
    CONFIRMATIONS_DEFAULT, CheckFileError, FILE_BYTES_MAX, HEARTBEAT_CONFIRMATIONS_DEFAULT,
    HEARTBEAT_INTERVAL_US_DEFAULT, INTERVAL_US_DEFAULT, KEYS, KEYS_NOT_OF_HEARTBEATS, Place, RECOVERIES_DEFAULT,
    Source, TIMEOUT_US_DEFAULT, Written, WrittenCheck, references_of,
};
use crate::book::{Labels, ObjectKind};

/// The values of a table by key.
pub(super) type Fields<'t, 'i> = BTreeMap<&'t str, &'t Spanned<DeValue<'i>>>;

/// One file, and what was found wrong in it so far.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    /// Where each line starts.
    lines: Vec<usize>,
    /// The check being read.
    check: Option<String>,
    /// What else is being read: `profile "slow"`.
    pub(super) object: Option<String>,
    /// The profiles that the file describes; `None` where something is wrong with one.
    pub(super) own_profiles: BTreeMap<String, Option<Profile>>,
    errors: Vec<CheckFileError>,
}

/// Where the name of a reference is written.
fn named(fields: &Fields<'_, '_>, reference: &Reference) -> Option<usize> {
    let is_it = |value: &Spanned<DeValue<'_>>| value.get_ref().as_str() == Some(reference.name.as_str());
    match reference.to {
        Referent::Escalation => fields.get("escalation").map(|value| value.span().start),
        Referent::Check => {
            let parents = fields.get("parents").and_then(|value| value.get_ref().as_array())?;
            parents.iter().find(|value| is_it(value)).map(|value| value.span().start)
        }
        Referent::Group
        | Referent::Tag
        | Referent::Policy
        | Referent::Channel
        | Referent::User
        | Referent::Schedule => None,
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        let after = source.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(after).collect();
        Self { source, lines, check: None, object: None, own_profiles: BTreeMap::new(), errors: Vec::new() }
    }

    pub(super) fn into_errors(self) -> Vec<CheckFileError> {
        self.errors
    }

    /// Line and column, from 1, of a place in the text.
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        let text = &self.source.text;
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let line = self.lines.partition_point(|start| *start <= at);
        let start = line.checked_sub(1).and_then(|line| self.lines.get(line)).copied().unwrap_or(0);
        (line, text[start..at].chars().count() + 1)
    }

    pub(super) fn error(&mut self, at: usize, message: impl Into<String>) {
        let (line, column) = self.place(at);
        let message = message.into();
        self.errors.push(CheckFileError {
            file: self.source.name.clone(),
            line,
            column,
            check: self.check.clone(),
            message: match &self.object {
                Some(object) => format!("{object}: {message}"),
                None => message,
            },
        });
    }

    pub(super) fn file(
        &mut self,
        seen: &mut BTreeMap<CheckId, String>,
        seen_objects: &mut SeenObjects,
        written: &mut Written,
    ) {
        if self.source.text.len() > FILE_BYTES_MAX {
            self.error(0, format!("the file has more than {FILE_BYTES_MAX} bytes: split it"));
            return;
        }
        let text = self.source.text.clone();
        let (document, faults) = DeTable::parse_recoverable(&text);
        for fault in &faults {
            let at = fault.span().map_or(0, |span| span.start);
            self.error(at, format!("not valid TOML: {}", fault.message()));
        }
        if !faults.is_empty() {
            return;
        }
        // Checks are read with all the profiles known, wherever those stand.
        if let Some((key, value)) = document.get_ref().get_key_value("profile") {
            self.profiles(value, key.span().start);
        }
        for (key, value) in document.get_ref() {
            if key.get_ref() == "profile" {
                continue;
            }
            let name = key.get_ref().as_ref();
            if let Some(kind) = ObjectKind::ALL.iter().find(|kind| kind.table() == name) {
                self.objects(*kind, value, key.span().start, seen_objects, &mut written.objects);
                continue;
            }
            if name != "check" {
                let tables = || ["check", "profile"].into_iter().chain(ObjectKind::ALL.iter().map(|kind| kind.table()));
                let hint = nearest(name, tables()).map_or_else(
                    || {
                        let lists: Vec<String> =
                            tables().filter(|name| *name != "profile").map(|name| format!("[[{name}]]")).collect();
                        format!("a check file holds {} and [profile.NAME] tables only", lists.join(", "))
                    },
                    |near| format!("did you mean {near:?}?"),
                );
                self.error(key.span().start, format!("unknown key {name:?}: {hint}"));
                continue;
            }
            let DeValue::Array(entries) = value.get_ref() else {
                self.error(
                    key.span().start,
                    "\"check\" is one table: write [[check]] with two brackets, once for each check",
                );
                continue;
            };
            for entry in entries.iter() {
                self.check = None;
                if let DeValue::Table(table) = entry.get_ref() {
                    self.entry(&entry.span(), table, seen, &mut written.checks);
                } else {
                    self.error(entry.span().start, format!("a check is a table, not {}", a_type(entry.get_ref())));
                }
                self.check = None;
            }
        }
    }

    fn entry(
        &mut self,
        span: &Range<usize>,
        table: &DeTable<'_>,
        seen: &mut BTreeMap<CheckId, String>,
        checks: &mut Vec<WrittenCheck>,
    ) {
        let errors_before = self.errors.len();
        let fields: Fields<'_, '_> = table.iter().map(|(key, value)| (key.get_ref().as_ref(), value)).collect();
        if let Some(DeValue::String(id)) = fields.get("id").map(|value| value.get_ref()) {
            self.check = Some(id.to_string());
        }
        let id = self.required(span, &fields, "id", "\"shop\"").and_then(|value| self.id(value, seen));
        let kind = self.kind(span, &fields);
        self.unknown_keys(kind, table);
        let heartbeat = kind == Some("heartbeat");
        let interval_default = match kind {
            Some("heartbeat") => HEARTBEAT_INTERVAL_US_DEFAULT,
            Some("web_vitals") => WebVitalsTarget::INTERVAL_US_DEFAULT,
            Some(_) | None => INTERVAL_US_DEFAULT,
        };
        let timeout_default = match kind {
            Some("web_vitals") => WebVitalsTarget::TIMEOUT_US_DEFAULT,
            Some(_) | None => TIMEOUT_US_DEFAULT,
        };
        let confirmations_default = if heartbeat { HEARTBEAT_CONFIRMATIONS_DEFAULT } else { CONFIRMATIONS_DEFAULT };
        let interval_us = fields
            .get("interval")
            .map_or(Some(interval_default), |value| self.duration(value, "interval", INTERVAL_US_MIN, INTERVAL_US_MAX));
        let fields_of_runs = if heartbeat { BTreeMap::new() } else { fields.clone() };
        let timeout_us = fields_of_runs
            .get("timeout")
            .map_or(Some(timeout_default), |value| self.duration(value, "timeout", TIMEOUT_US_MIN, TIMEOUT_US_MAX));
        let retries = fields_of_runs.get("retries").map_or(Some(0), |value| self.retries(value));
        let regions = match fields_of_runs.get("regions") {
            None => Some(None),
            Some(value) => self.regions(value).map(Some),
        };
        let weight = fields.get("weight").map_or(Some(Weight::ONE), |value| self.weight(value));
        let quorum = fields.get("quorum").map_or(Some(Quorum::Majority), |value| self.quorum(value));
        let confirmations = fields
            .get("confirmations")
            .map_or(Some(confirmations_default), |value| self.streak(value, "confirmations"));
        let recoveries =
            fields.get("recoveries").map_or(Some(RECOVERIES_DEFAULT), |value| self.streak(value, "recoveries"));
        let group = match fields.get("group") {
            None => Some(None),
            Some(value) => self.group(value).map(Some),
        };
        let tags = fields.get("tags").map_or_else(|| Some(BTreeSet::new()), |value| self.tags(value));
        let class = fields.get("class").map_or(Some(CheckClass::default()), |value| self.class(value));
        let parents = fields.get("parents").map_or_else(|| Some(BTreeSet::new()), |value| self.parents(value));
        let providers = fields.get("providers").map_or_else(|| Some(BTreeSet::new()), |value| self.providers(value));
        let escalation = match fields.get("escalation") {
            None => Some(None),
            Some(value) => self.escalation(value).map(Some),
        };
        // Which assertions there are depends on the kind.
        let expect = match (kind, fields.get("expect")) {
            (_, None) | (None, Some(_)) => Some(Vec::new()),
            (Some(kind), Some(value)) => self.expect(kind, value),
        };
        let targets = kind.and_then(|kind| self.targets(kind, span, table));
        if let (Some(timeout_us), Some(retries)) = (timeout_us, retries) {
            self.whole_run(span, &fields, timeout_us, retries, targets.as_ref());
        }
        if self.errors.len() == errors_before {
            self.inp_is_measured(&fields, expect.as_deref().unwrap_or_default(), targets.as_ref());
        }
        if self.errors.len() > errors_before {
            return;
        }
        let (
            Some(id),
            Some(targets),
            Some(interval_us),
            Some(timeout_us),
            Some(retries),
            Some(weight),
            Some(regions),
            Some(quorum),
            Some(confirmations),
            Some(recoveries),
            Some(expect),
            Some(group),
            Some(tags),
            Some(class),
            Some(parents),
            Some(providers),
            Some(escalation),
        ) = (
            id,
            targets,
            interval_us,
            timeout_us,
            retries,
            weight,
            regions,
            quorum,
            confirmations,
            recoveries,
            expect,
            group,
            tags,
            class,
            parents,
            providers,
            escalation,
        )
        else {
            return;
        };
        let labels = Labels { group, tags, class, parents, providers, escalation };
        let references: Vec<(Reference, Place)> = references_of(&labels)
            .into_iter()
            .map(|reference| {
                let place = self.placed(named(&fields, &reference).unwrap_or(span.start));
                (reference, place)
            })
            .collect();
        let written = |id: CheckId, kind: CheckKind| {
            let (regions, expect) = (regions.clone(), expect.clone());
            let definition = CheckDefinition {
                id,
                kind,
                interval_us,
                timeout_us,
                retries,
                weight,
                regions,
                quorum,
                confirmations,
                recoveries,
                expect,
            };
            WrittenCheck { definition, labels: labels.clone(), references: references.clone() }
        };
        let at = fields.get("id").map_or(span.start, |value| value.span().start);
        match targets {
            Targets::One(kind) => checks.push(written(id, kind)),
            Targets::Both(kinds) => {
                for (family, kind) in kinds {
                    if let Some(id) = self.new_id(&format!("{id}-{}", family.as_str()), at, seen) {
                        checks.push(written(id, kind));
                    }
                }
            }
        }
    }

    /// All attempts of a run together, and the echoes of one, must end in time.
    fn whole_run(
        &mut self,
        entry: &Range<usize>,
        fields: &Fields<'_, '_>,
        timeout_us: u64,
        retries: u8,
        targets: Option<&Targets>,
    ) {
        let Some(Targets::One(kind) | Targets::Both([(_, kind), _])) = targets else { return };
        let Err(fault) = kind.ends_in_time(timeout_us, retries) else { return };
        let at = [fault.field.as_str(), "spacing", "settle", "timeout"].into_iter().find_map(|key| fields.get(key));
        self.error(at.map_or(entry.start, |value| value.span().start), fault.message);
    }

    /// An assertion on what is never measured would break every run, or never tell anything.
    fn inp_is_measured(&mut self, fields: &Fields<'_, '_>, expect: &[Expectation], targets: Option<&Targets>) {
        let Some(Targets::One(CheckKind::WebVitals(target))) = targets else { return };
        if target.interact.iter().any(Interact::is_timed) {
            return;
        }
        let Some(DeValue::Array(entries)) = fields.get("expect").map(|value| value.get_ref()) else { return };
        for (entry, expectation) in entries.iter().zip(expect) {
            if expectation.condition().operand.vital() == Some(Vital::Inp) {
                let message = format!(
                    "assertion {:?}: there is no INP without an interaction: add interact = [{{ click = \"#menu\" }}]",
                    expectation.source()
                );
                self.error(entry.span().start, message);
            }
        }
    }

    fn unknown_keys(&mut self, kind: Option<&str>, table: &DeTable<'_>) {
        let heartbeat = kind == Some("heartbeat");
        let of_kind = kind.and_then(CheckKind::keys);
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if heartbeat && KEYS_NOT_OF_HEARTBEATS.contains(&name) {
                let message =
                    format!("{name:?} means nothing to a heartbeat, the collector watches it itself: leave it out");
                self.error(key.span().start, message);
                continue;
            }
            let known = || KEYS.into_iter().chain(of_kind.unwrap_or_default().iter().copied());
            // Without a kind nobody can say which other keys there are, except that a near miss of a common one is no accident.
            let hint = match nearest(name, known()) {
                _ if known().any(|known| known == name) => continue,
                Some(near) => format!("did you mean {near:?}?"),
                None if of_kind.is_none() => continue,
                None => format!("known are {}", known().collect::<Vec<_>>().join(", ")),
            };
            let of = match kind {
                Some(kind) if of_kind.is_some() => format!("unknown key {name:?} of kind {kind:?}"),
                Some(_) | None => format!("unknown key {name:?}"),
            };
            self.error(key.span().start, format!("{of}: {hint}"));
        }
    }

    pub(super) fn required<'t, 'i>(
        &mut self,
        entry: &Range<usize>,
        fields: &BTreeMap<&str, &'t Spanned<DeValue<'i>>>,
        key: &str,
        sample: &str,
    ) -> Option<&'t Spanned<DeValue<'i>>> {
        let value = fields.get(key).copied();
        if value.is_none() {
            self.error(entry.start, format!("{key:?} is missing: add {key} = {sample}"));
        }
        value
    }

    pub(super) fn text<'t>(&mut self, value: &'t Spanned<DeValue<'_>>, key: &str, sample: &str) -> Option<&'t str> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(text);
        }
        let found = a_type(value.get_ref());
        self.error(value.span().start, format!("{key} is {found}: write a text, like {sample}"));
        None
    }

    fn id(&mut self, value: &Spanned<DeValue<'_>>, seen: &mut BTreeMap<CheckId, String>) -> Option<CheckId> {
        let text = self.text(value, "id", "\"shop\"")?;
        self.new_id(text, value.span().start, seen)
    }

    /// An id that no other check has.
    fn new_id(&mut self, text: &str, at: usize, seen: &mut BTreeMap<CheckId, String>) -> Option<CheckId> {
        let id = match CheckId::parse(text) {
            Ok(id) => id,
            Err(error) => {
                self.error(at, error.to_string());
                return None;
            }
        };
        if let Some(place) = seen.get(&id) {
            let which =
                if self.check.as_deref() == Some(text) { "the id".to_owned() } else { format!("the id {text:?}") };
            self.error(at, format!("{which} is already used at {place}: give each check an id of its own"));
            return None;
        }
        let (line, _) = self.place(at);
        seen.insert(id.clone(), format!("{}:{line}", self.source.name));
        Some(id)
    }

    fn kind<'t>(&mut self, entry: &Range<usize>, fields: &Fields<'t, '_>) -> Option<&'static str> {
        let value = self.required(entry, fields, "kind", "\"http\"")?;
        let text = self.text(value, "kind", "\"http\"")?;
        let kind = CheckKind::NAMES.into_iter().find(|name| *name == text);
        if kind.is_none() {
            let hint = nearest(text, CheckKind::NAMES).map_or_else(
                || format!("known are {}", CheckKind::NAMES.join(", ")),
                |near| format!("did you mean {near:?}?"),
            );
            self.error(value.span().start, format!("unknown kind {text:?}: {hint}"));
        }
        kind
    }
}

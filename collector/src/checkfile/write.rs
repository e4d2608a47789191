//! A definition as a check file has it, made from what is in force: what editors show, and what they send back.

use serde_json::{Map, Value, json};
use sitepulse_model::check::CheckDefinition;
use sitepulse_model::duration;
use sitepulse_model::incident::CheckClass;

use super::{KEYS_NOT_OF_HEARTBEATS, Place, Source, Written, WrittenCheck, WrittenObject, compose, references_of};
use crate::book::{Labels, Object};

/// The keys of a check's table with their values. Read again it is the same check.
pub fn check(definition: &CheckDefinition, labels: &Labels) -> Map<String, Value> {
    let texts = |all: Vec<&str>| json!(all);
    let mut keys = Map::new();
    keys.insert("id".into(), definition.id.as_str().into());
    keys.insert("kind".into(), definition.kind.as_str().into());
    if let Ok(Value::Object(target)) = serde_json::from_str(&definition.kind.target_json()) {
        keys.extend(target);
    }
    // Else it would be that of the profile that an own one is based on.
    if let Some(profile) = keys.get_mut("profile").and_then(Value::as_object_mut) {
        profile.entry("network").or_insert_with(|| "none".into());
    }
    let mut set = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    set("interval", duration::format(definition.interval_us).into());
    set("timeout", duration::format(definition.timeout_us).into());
    set("retries", definition.retries.into());
    set("weight", (f64::from(definition.weight.0) / 1000.0).into());
    if let Some(group) = &labels.group {
        set("group", group.to_string().into());
    }
    set("tags", texts(labels.tags.iter().map(|tag| tag.as_str()).collect()));
    if labels.class != CheckClass::default() {
        set("class", labels.class.as_str().into());
    }
    if !labels.parents.is_empty() {
        set("parents", texts(labels.parents.iter().map(|parent| parent.as_str()).collect()));
    }
    if !labels.providers.is_empty() {
        set("providers", texts(labels.providers.iter().map(|provider| provider.as_str()).collect()));
    }
    if let Some(policy) = &labels.escalation {
        set("escalation", policy.to_string().into());
    }
    if let Some(regions) = &definition.regions {
        set("regions", texts(regions.iter().map(|region| region.as_str()).collect()));
    }
    set("quorum", definition.quorum.to_string().into());
    set("confirmations", definition.confirmations.into());
    set("recoveries", definition.recoveries.into());
    set("expect", texts(definition.expect.iter().map(|one| one.source()).collect()));
    if definition.kind.as_str() == "heartbeat" {
        KEYS_NOT_OF_HEARTBEATS.iter().for_each(|key| drop(keys.remove(*key)));
    }
    keys
}

/// The keys of an object's table with their values.
pub fn object(object: &Object) -> Map<String, Value> {
    match without_null(serde_json::from_str(&object.json()).unwrap_or_default()) {
        Value::Object(keys) => keys,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// A key that is absent is not written.
pub(super) fn without_null(value: Value) -> Value {
    match value {
        Value::Object(keys) => Value::Object(
            keys.into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_null(value)))
                .collect(),
        ),
        Value::Array(all) => Value::Array(all.into_iter().filter(|value| !value.is_null()).map(without_null).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// One table of a check file: `[[check]]`, `[[slo]]`, ... An own profile, which a file describes beside the checks that name it, is among the
/// check's keys here.
///
/// # Errors
/// What TOML cannot say.
pub fn file(name: &str, table: &str, keys: Map<String, Value>) -> Result<Source, String> {
    let (keys, others) = compose::apart(keys).map_err(|error| error.to_string())?;
    let tables = [(table.to_owned(), toml::Value::Array(vec![keys.into()]))];
    let file: toml::Table = tables.into_iter().chain(others).collect();
    let text = toml::to_string(&file).map_err(|error| error.to_string())?;
    Ok(Source { name: name.to_owned(), text })
}

/// A check as if it was written, to be applied with the rest.
pub(crate) fn as_written(definition: CheckDefinition, labels: Labels) -> WrittenCheck {
    let references = references_of(&labels).into_iter().map(|reference| (reference, nowhere())).collect();
    WrittenCheck { definition, labels, references }
}

/// Everything that lives, as if it was written in one file, but for one thing.
pub(crate) fn all_but(book: &crate::book::Book, table: &str, id: &str) -> Written {
    let living = book.checks().filter(|check| !(check.retired() || table == "check" && check.id.as_str() == id));
    let checks = living.map(|check| as_written(check.newest().definition.clone(), check.newest().labels.clone()));
    let objects = book.objects().living().into_iter().map(|revised| revised.body);
    let objects = objects.filter(|object| object.kind().table() != table || object.id() != id);
    let objects = objects.map(|object| {
        let references = object.references().into_iter().map(|reference| (reference, nowhere())).collect();
        WrittenObject { object, references }
    });
    Written { checks: checks.collect(), objects: objects.collect(), is_in_force: true }
}

/// What is in force stands in no file.
pub(crate) fn nowhere() -> Place {
    Place { file: "(in force)".into(), line: 1, column: 1 }
}

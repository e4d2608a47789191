//! A check's definition as JSON, for the table `check_revision`. The field names and meanings are fixed once released; a new
//! field gets a default.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sitepulse_model::check::{CheckDefinition, CheckKind};
use sitepulse_model::control::Weight;
use sitepulse_model::expect::Expectation;
use sitepulse_model::id::{CheckId, Group, ObjectId, Provider, Region, Tag};
use sitepulse_model::incident::CheckClass;
use sitepulse_model::quorum::Quorum;

use super::StoreError;
use crate::book::Labels;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    id: String,
    kind: StoredKind,
    /// The kind's keys; absent beside [`StoredKind::Whole`].
    #[serde(default)]
    target: serde_json::Value,
    interval_us: u64,
    timeout_us: u64,
    #[serde(default)]
    retries: u8,
    weight_thousandths: u32,
    regions: Option<Vec<String>>,
    quorum: String,
    confirmations: u32,
    recoveries: u32,
    expect: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<CheckClass>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parents: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    providers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    escalation: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum StoredKind {
    Name(String),
    /// What builds wrote that knew one kind alone: `{"http": {"url": ...}}`.
    Whole(WholeKind),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WholeKind {
    Http { url: String },
}

/// The definition as stored.
pub fn to_json(definition: &CheckDefinition, labels: &Labels) -> String {
    let stored = Stored {
        id: definition.id.to_string(),
        kind: StoredKind::Name(definition.kind.as_str().to_owned()),
        target: serde_json::from_str(&definition.kind.target_json()).expect("a target is an object"),
        interval_us: definition.interval_us,
        timeout_us: definition.timeout_us,
        retries: definition.retries,
        weight_thousandths: definition.weight.0,
        regions: definition.regions.as_ref().map(|regions| regions.iter().map(Region::to_string).collect()),
        quorum: definition.quorum.to_string(),
        confirmations: definition.confirmations,
        recoveries: definition.recoveries,
        expect: definition.expect.iter().map(|expectation| expectation.source().to_owned()).collect(),
        group: labels.group.as_ref().map(Group::to_string),
        tags: labels.tags.iter().map(Tag::to_string).collect(),
        class: Some(labels.class).filter(|class| *class != CheckClass::default()),
        parents: labels.parents.iter().map(CheckId::to_string).collect(),
        providers: labels.providers.iter().map(Provider::to_string).collect(),
        escalation: labels.escalation.as_ref().map(ObjectId::to_string),
    };
    serde_json::to_string(&stored).expect("numbers and texts always serialize")
}

/// Reads what [`to_json`] wrote, in this build or an earlier one. The target is read without being judged: a build with stricter rules
/// must still open the database. See [`crate::book::Book::assignment`].
pub fn from_json(json: &str) -> Result<(CheckDefinition, Labels), StoreError> {
    let bad = |what: String| StoreError::BadRow { table: "check_revision", what };
    let stored: Stored = serde_json::from_str(json).map_err(|error| bad(error.to_string()))?;
    let kind = match &stored.kind {
        StoredKind::Name(kind) => CheckKind::from_stored_json(kind, &stored.target.to_string()),
        StoredKind::Whole(WholeKind::Http { url }) => {
            CheckKind::from_stored_json("http", &serde_json::json!({ "url": url }).to_string())
        }
    };
    let kind = kind.map_err(|error| bad(error.to_string()))?;
    let regions = stored
        .regions
        .map(|regions| regions.iter().map(|region| Region::parse(region)).collect::<Result<BTreeSet<_>, _>>())
        .transpose()
        .map_err(|error| bad(error.to_string()))?;
    let expect = stored
        .expect
        .iter()
        .map(|text| Expectation::parse(text, kind.as_str()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(error.to_string()))?;
    let labels = Labels {
        group: stored.group.map(|group| Group::parse(&group)).transpose().map_err(|error| bad(error.to_string()))?,
        tags: stored
            .tags
            .iter()
            .map(|tag| Tag::parse(tag))
            .collect::<Result<_, _>>()
            .map_err(|error| bad(error.to_string()))?,
        class: stored.class.unwrap_or_default(),
        parents: stored
            .parents
            .iter()
            .map(|parent| CheckId::parse(parent))
            .collect::<Result<_, _>>()
            .map_err(|error| bad(error.to_string()))?,
        providers: stored
            .providers
            .iter()
            .map(|provider| Provider::parse(provider))
            .collect::<Result<_, _>>()
            .map_err(|error| bad(error.to_string()))?,
        escalation: stored
            .escalation
            .map(|policy| ObjectId::parse(&policy))
            .transpose()
            .map_err(|error| bad(error.to_string()))?,
    };
    let definition = CheckDefinition {
        id: CheckId::parse(&stored.id).map_err(|error| bad(error.to_string()))?,
        kind,
        interval_us: stored.interval_us,
        timeout_us: stored.timeout_us,
        retries: stored.retries,
        weight: Weight(stored.weight_thousandths),
        regions,
        quorum: Quorum::parse(&stored.quorum).map_err(|error| bad(error.to_string()))?,
        confirmations: stored.confirmations,
        recoveries: stored.recoveries,
        expect,
    };
    Ok((definition, labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_of_the_first_builds_are_read() {
        let stored = r#"{"id":"shop","kind":{"http":{"url":"https://shop.example/"}},"interval_us":30000000,"timeout_us":10000000,
            "weight_thousandths":1000,"regions":["eu"],"quorum":"majority","confirmations":2,"recoveries":1,"expect":["status == 200"]}"#;
        let (read, labels) = from_json(stored).unwrap();
        assert_eq!(labels, Labels::default());
        assert_eq!((read.kind.clone(), read.retries), (CheckKind::http("https://shop.example/"), 0));
        assert_eq!(from_json(&to_json(&read, &labels)).unwrap(), (read, labels));
    }

    #[test]
    fn definitions_that_are_no_longer_valid_are_read() {
        let stored = r#"{"id":"shop","kind":"http","target":{"url":"gopher://shop.example"},"interval_us":30000000,"timeout_us":10000000,
            "weight_thousandths":1000,"regions":null,"quorum":"majority","confirmations":2,"recoveries":1,"expect":[]}"#;
        let (read, labels) = from_json(stored).unwrap();
        assert!(read.kind.validate().is_err(), "{:?}", read.kind);
        assert_eq!(from_json(&to_json(&read, &labels)).unwrap(), (read, labels));
    }

    #[test]
    fn labels_are_stored_with_the_definition() {
        let stored = r#"{"id":"shop","kind":"http","target":{"url":"https://shop.example"},"interval_us":30000000,"timeout_us":10000000,
            "weight_thousandths":1000,"regions":null,"quorum":"majority","confirmations":2,"recoveries":1,"expect":[],
            "group":"web","tags":["checkout","eu"],"providers":["ovh"]}"#;
        let (read, labels) = from_json(stored).unwrap();
        let tags: Vec<&str> = labels.tags.iter().map(Tag::as_str).collect();
        assert_eq!((labels.group.as_ref().map(Group::as_str), tags), (Some("web"), vec!["checkout", "eu"]));
        assert_eq!(labels.providers.iter().map(Provider::as_str).collect::<Vec<_>>(), ["ovh"]);
        assert_eq!(from_json(&to_json(&read, &labels)).unwrap(), (read, labels));
    }
}

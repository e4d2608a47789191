//! A check's definition as JSON, for the table `check_revision`. The field names and meanings are fixed once released; a new
//! field gets a default.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sitepulse_model::check::{CheckDefinition, CheckKind};
use sitepulse_model::control::Weight;
use sitepulse_model::expect::Expectation;
use sitepulse_model::id::{CheckId, Region};
use sitepulse_model::quorum::Quorum;

use super::StoreError;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    id: String,
    kind: String,
    /// The kind's keys.
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
}

/// The definition as stored.
pub fn to_json(definition: &CheckDefinition) -> String {
    let stored = Stored {
        id: definition.id.to_string(),
        kind: definition.kind.as_str().to_owned(),
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
    };
    serde_json::to_string(&stored).expect("numbers and texts always serialize")
}

/// Reads what [`to_json`] wrote.
pub fn from_json(json: &str) -> Result<CheckDefinition, StoreError> {
    let bad = |what: String| StoreError::BadRow { table: "check_revision", what };
    let stored: Stored = serde_json::from_str(json).map_err(|error| bad(error.to_string()))?;
    let kind = CheckKind::from_target_json(&stored.kind, &stored.target.to_string())
        .map_err(|error| bad(error.to_string()))?;
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
    Ok(CheckDefinition {
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
    })
}

//! A check as it is assigned. The target travels as JSON, assertions and the quorum as their texts; all are parsed and judged again.

use std::collections::BTreeSet;

use bincode::{Decode, Encode};
use sitepulse_model::check::{
    AssignedCheck, CheckDefinition, CheckKind, EXPECTATIONS_MAX, INTERVAL_US_MAX, INTERVAL_US_MIN, RETRIES_MAX,
    TIMEOUT_US_MAX, TIMEOUT_US_MIN,
};
use sitepulse_model::control::Weight;
use sitepulse_model::expect::{EXPECTATION_BYTES_MAX, Pool};
use sitepulse_model::id::{CheckId, CheckNo, Region, Revision};
use sitepulse_model::quorum::Quorum;

use super::field;
use crate::frame::FieldError;

/// Most regions that one check names.
const REGIONS_MAX: usize = 256;
/// Longest quorum text, in bytes.
const QUORUM_BYTES_MAX: usize = 64;
/// Most confirmations or recoveries.
const STREAK_MAX: u32 = 1000;

#[derive(Debug, Encode, Decode)]
pub(super) struct AssignedCheckV1 {
    number: u32,
    revision: u32,
    id: String,
    kind: String,
    /// The kind's keys, as JSON.
    target: String,
    interval_us: u64,
    timeout_us: u64,
    retries: u8,
    weight: u32,
    regions: Option<Vec<String>>,
    quorum: String,
    confirmations: u32,
    recoveries: u32,
    expect: Vec<String>,
}

impl AssignedCheckV1 {
    pub(super) fn of(check: &AssignedCheck) -> Result<Self, FieldError> {
        validate(check)?;
        let definition = &check.definition;
        Ok(Self {
            number: check.number.0,
            revision: check.revision.0,
            id: definition.id.to_string(),
            kind: definition.kind.as_str().to_owned(),
            target: definition.kind.target_json(),
            interval_us: definition.interval_us,
            timeout_us: definition.timeout_us,
            retries: definition.retries,
            weight: definition.weight.0,
            regions: definition.regions.as_ref().map(|regions| regions.iter().map(Region::to_string).collect()),
            quorum: definition.quorum.to_string(),
            confirmations: definition.confirmations,
            recoveries: definition.recoveries,
            expect: definition.expect.iter().map(|expectation| expectation.source().to_owned()).collect(),
        })
    }

    /// `pool` holds the assertions of the checks before it.
    pub(super) fn into_check(self, pool: &mut Pool) -> Result<AssignedCheck, FieldError> {
        let id = CheckId::parse(&self.id).map_err(|error| field("assignment.check.id", error.to_string()))?;
        let error = |name: &str, message: String| field(&format!("assignment.check {id}.{name}"), message);
        let kind = CheckKind::from_target_json(&self.kind, &self.target)
            .map_err(|refused| error("target", refused.to_string()))?;
        let regions = match self.regions {
            None => None,
            Some(texts) if texts.len() > REGIONS_MAX => {
                return Err(error("regions", format!("{} regions, at most {REGIONS_MAX} are allowed", texts.len())));
            }
            Some(texts) => {
                let count = texts.len();
                let regions = texts.iter().map(|text| Region::parse(text)).collect::<Result<BTreeSet<_>, _>>();
                let regions = regions.map_err(|slug| error("regions", slug.to_string()))?;
                if regions.len() != count {
                    return Err(error("regions", "a region is named twice".to_owned()));
                }
                Some(regions)
            }
        };
        if self.quorum.len() > QUORUM_BYTES_MAX {
            return Err(error("quorum", format!("longer than {QUORUM_BYTES_MAX} bytes")));
        }
        let quorum = Quorum::parse(&self.quorum).map_err(|quorum| error("quorum", quorum.to_string()))?;
        if self.expect.len() > EXPECTATIONS_MAX {
            return Err(error(
                "expect",
                format!("{} assertions, at most {EXPECTATIONS_MAX} are allowed", self.expect.len()),
            ));
        }
        let mut expect = Vec::with_capacity(self.expect.len());
        for (at, source) in self.expect.iter().enumerate() {
            let name = format!("expect[{at}]");
            if source.len() > EXPECTATION_BYTES_MAX {
                return Err(error(&name, format!("longer than {EXPECTATION_BYTES_MAX} bytes")));
            }
            expect.push(pool.parse(source, kind.as_str()).map_err(|bad| error(&name, bad.to_string()))?);
        }
        let check = AssignedCheck {
            number: CheckNo(self.number),
            revision: Revision(self.revision),
            definition: CheckDefinition {
                id: id.clone(),
                kind,
                interval_us: self.interval_us,
                timeout_us: self.timeout_us,
                retries: self.retries,
                weight: Weight(self.weight),
                regions,
                quorum,
                confirmations: self.confirmations,
                recoveries: self.recoveries,
                expect,
            },
        };
        validate(&check)?;
        Ok(check)
    }
}

/// The rules that the types do not hold.
fn validate(check: &AssignedCheck) -> Result<(), FieldError> {
    let definition = &check.definition;
    let name = |name: &str| format!("assignment.check {}.{name}", definition.id);
    let error = |at: &str, message: String| Err(field(&name(at), message));
    if check.revision.0 == 0 {
        return error("revision", "revisions count from 1".to_owned());
    }
    definition.kind.validate().map_err(|refused| field(&name("target"), refused.to_string()))?;
    if definition.retries > RETRIES_MAX {
        return error("retries", format!("{}, at most {RETRIES_MAX} are allowed", definition.retries));
    }
    let interval = definition.interval_us;
    if !(INTERVAL_US_MIN..=INTERVAL_US_MAX).contains(&interval) || !interval.is_multiple_of(1_000) {
        let rule = format!("{INTERVAL_US_MIN} to {INTERVAL_US_MAX} in whole milliseconds are allowed");
        return error("interval_us", format!("{interval} microseconds, {rule}"));
    }
    if !(TIMEOUT_US_MIN..=TIMEOUT_US_MAX).contains(&definition.timeout_us) {
        let rule = format!("{TIMEOUT_US_MIN} to {TIMEOUT_US_MAX} are allowed");
        return error("timeout_us", format!("{} microseconds, {rule}", definition.timeout_us));
    }
    if definition.weight > Weight::MAX {
        return error("weight", format!("{} thousandths, at most {} are allowed", definition.weight.0, Weight::MAX.0));
    }
    for (at, streak) in [("confirmations", definition.confirmations), ("recoveries", definition.recoveries)] {
        if !(1..=STREAK_MAX).contains(&streak) {
            return error(at, format!("{streak}, 1 to {STREAK_MAX} are allowed"));
        }
    }
    if definition.expect.len() > EXPECTATIONS_MAX {
        return error(
            "expect",
            format!("{} assertions, at most {EXPECTATIONS_MAX} are allowed", definition.expect.len()),
        );
    }
    if definition.regions.as_ref().is_some_and(|regions| regions.len() > REGIONS_MAX) {
        return error("regions", format!("more than {REGIONS_MAX} regions"));
    }
    Ok(())
}

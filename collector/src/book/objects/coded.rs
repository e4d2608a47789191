//! How each kind of object is written, judged and stored.

use serde::{Deserialize, Deserializer, Serialize};
use sitepulse_model::accounting::{AccountingPolicy, Counting, Objective, Rules};
use sitepulse_model::coded::{Fault, Reference, Referent, names_faults};
use sitepulse_model::duration;
use sitepulse_model::maintenance::MaintenanceWindow;
use sitepulse_model::slo::Slo;

use super::Coded;
use crate::maintenance;

fn stored(object: &impl Serialize) -> String {
    serde_json::to_string(object).expect("texts and numbers always serialize")
}

/// A policy as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPolicy {
    id: String,
    #[serde(default = "excluded")]
    maintenance: String,
    #[serde(default = "excluded")]
    unknown: String,
    #[serde(default = "up")]
    degraded: String,
    #[serde(default = "up")]
    regional: String,
    objective: String,
}

fn excluded() -> String {
    Counting::Excluded.as_str().to_owned()
}

fn up() -> String {
    Counting::Up.as_str().to_owned()
}

impl Coded for AccountingPolicy {
    const KEYS: &'static [&'static str] = &["id", "objective", "maintenance", "unknown", "degraded", "regional"];

    fn id(&self) -> &str {
        &self.name
    }

    fn read<'de, D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let written = WrittenPolicy::deserialize(reader)?;
        let counting = |key: &str, text: &str| {
            let known = "write excluded, up, down or by_share";
            Counting::parse(text).ok_or_else(|| D::Error::custom(format!("{key}: {text:?} is not known: {known}")))
        };
        let objective = Objective::parse(&written.objective).ok_or_else(|| {
            let text = &written.objective;
            D::Error::custom(format!(
                "objective: {text:?} is none: write a share with at most four decimals, as in 99.9%"
            ))
        })?;
        let rules = Rules {
            maintenance: counting("maintenance", &written.maintenance)?,
            unknown: counting("unknown", &written.unknown)?,
            degraded: counting("degraded", &written.degraded)?,
            regional: counting("regional", &written.regional)?,
        };
        Ok(Self { name: written.id, version: 0, rules, objective })
    }

    fn json(&self) -> String {
        let text = |counting: Counting| counting.as_str().to_owned();
        stored(&WrittenPolicy {
            id: self.name.clone(),
            maintenance: text(self.rules.maintenance),
            unknown: text(self.rules.unknown),
            degraded: text(self.rules.degraded),
            regional: text(self.rules.regional),
            objective: self.objective.to_string(),
        })
    }

    fn faults(&self) -> Vec<Fault> {
        Vec::new()
    }

    fn references(&self) -> Vec<Reference> {
        Vec::new()
    }

    fn sample(key: &str) -> &'static str {
        match key {
            "objective" => "\"99.9%\"",
            _ => "\"business-hours\"",
        }
    }

    fn numbered(self, version: u32) -> Self {
        Self { version, ..self }
    }
}

impl Coded for Slo {
    const KEYS: &'static [&'static str] = &["id", "checks", "groups", "policy", "period"];

    fn id(&self) -> &str {
        &self.id
    }

    fn read<'de, D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        Self::deserialize(reader)
    }

    fn json(&self) -> String {
        stored(self)
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> =
            names_faults("checks", &self.checks).chain(names_faults("groups", &self.groups)).collect();
        if let Err(error) = duration::parse(&self.period) {
            faults.push(Fault::new("period", error.to_string()));
        }
        faults
    }

    fn references(&self) -> Vec<Reference> {
        let policy = self.policy.iter().map(|name| Reference {
            field: "policy".to_owned(),
            to: Referent::Policy,
            name: name.clone(),
        });
        Reference::list("checks", Referent::Check, &self.checks)
            .chain(Reference::list("groups", Referent::Group, &self.groups))
            .chain(policy)
            .collect()
    }

    fn sample(key: &str) -> &'static str {
        match key {
            "period" => "\"30d\"",
            _ => "\"shop\"",
        }
    }
}

impl Coded for MaintenanceWindow {
    const KEYS: &'static [&'static str] = &["id", "checks", "groups", "tags", "from", "lasts", "zone", "rrule"];

    fn id(&self) -> &str {
        &self.id
    }

    fn read<'de, D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        Self::deserialize(reader)
    }

    fn json(&self) -> String {
        stored(self)
    }

    fn faults(&self) -> Vec<Fault> {
        maintenance::faults(self)
    }

    fn references(&self) -> Vec<Reference> {
        Reference::list("checks", Referent::Check, &self.checks)
            .chain(Reference::list("groups", Referent::Group, &self.groups))
            .chain(Reference::list("tags", Referent::Tag, &self.tags))
            .collect()
    }

    fn sample(key: &str) -> &'static str {
        match key {
            "from" => "\"2026-12-01T02:00\"",
            "lasts" => "\"2h\"",
            _ => "\"release\"",
        }
    }
}

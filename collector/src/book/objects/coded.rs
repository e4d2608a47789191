//! How each kind of object is written, judged and stored.

use sitepulse_model::accounting::{AccountingPolicy, PolicyError};
use sitepulse_model::channel::Channel;
use sitepulse_model::coded::{Fault, Reference, Referent};
use sitepulse_model::escalation::EscalationPolicy;
use sitepulse_model::impact::model::ScoringModel;
use sitepulse_model::maintenance::MaintenanceWindow;
use sitepulse_model::oncall::Schedule;
use sitepulse_model::playbook::Playbook;
use sitepulse_model::slo::Slo;
use sitepulse_model::status_page::StatusPage;
use sitepulse_model::user::User;

use super::Coded;
use crate::{maintenance, oncall, service_hours, slo, status};

impl Coded for AccountingPolicy {
    const KEYS: &'static [&'static str] =
        &["id", "objective", "maintenance", "unknown", "degraded", "regional", "hours"];

    fn id(&self) -> &str {
        &self.id
    }

    fn faults(&self) -> Vec<Fault> {
        // The text names the key first.
        let fault = |error: PolicyError| {
            let text = error.to_string();
            let (field, message) = text.split_once(": ").unwrap_or(("", &text));
            Fault::new(field, message)
        };
        service_hours::validate(self).err().map(fault).into_iter().collect()
    }

    fn sample(key: &str) -> &'static str {
        match key {
            "objective" => "\"99.9%\"",
            _ => "\"business-hours\"",
        }
    }
}

impl Coded for Slo {
    const KEYS: &'static [&'static str] =
        &["id", "checks", "groups", "policy", "objective", "period", "zone", "description"];

    fn id(&self) -> &str {
        &self.id
    }

    fn faults(&self) -> Vec<Fault> {
        slo::faults(self)
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

impl Coded for Channel {
    const KEYS: &'static [&'static str] = Self::KEYS;

    fn id(&self) -> &str {
        &self.id
    }

    fn faults(&self) -> Vec<Fault> {
        Self::faults(self)
    }

    fn sample(key: &str) -> &'static str {
        match key {
            "kind" => "\"webhook\"",
            _ => "\"ops-hook\"",
        }
    }
}

impl Coded for EscalationPolicy {
    const KEYS: &'static [&'static str] = &["id", "default", "levels", "repeat", "ack_pause"];

    fn id(&self) -> &str {
        &self.id
    }

    fn faults(&self) -> Vec<Fault> {
        Self::faults(self)
    }

    fn references(&self) -> Vec<Reference> {
        Self::references(self)
    }

    fn sample(key: &str) -> &'static str {
        match key {
            "levels" => "[{ after = \"0s\", notify = [\"ops-hook\"] }]",
            _ => "\"default\"",
        }
    }
}

impl Coded for Schedule {
    const KEYS: &'static [&'static str] = Self::KEYS;

    fn id(&self) -> &str {
        &self.id
    }

    fn faults(&self) -> Vec<Fault> {
        oncall::schedule_faults(self)
    }

    fn references(&self) -> Vec<Reference> {
        Self::references(self)
    }

    fn sample(key: &str) -> &'static str {
        match key {
            "zone" => "\"Europe/Paris\"",
            "layers" => {
                "[{ users = [\"ana\", \"bob\"], rotation = \"weekly\", handoff = \"mon 09:00\", start = \"2026-11-02\" }]"
            }
            "users" => "[\"ana\", \"bob\"]",
            "rotation" => "\"weekly\"",
            "handoff" => "\"mon 09:00\"",
            "start" | "from" => "\"2026-11-02\"",
            "to" => "\"2026-11-09\"",
            "user" => "\"ana\"",
            _ => "\"primary\"",
        }
    }
}

impl Coded for User {
    const KEYS: &'static [&'static str] = Self::KEYS;

    fn id(&self) -> &str {
        &self.id
    }

    fn faults(&self) -> Vec<Fault> {
        oncall::user_faults(self)
    }

    fn references(&self) -> Vec<Reference> {
        Self::references(self)
    }

    fn sample(key: &str) -> &'static str {
        match key {
            "from" => "\"22:00\"",
            "to" => "\"07:00\"",
            "role" => "\"responder\"",
            _ => "\"ana\"",
        }
    }
}

impl Coded for StatusPage {
    const KEYS: &'static [&'static str] = Self::KEYS;

    fn id(&self) -> &str {
        &self.id
    }

    fn faults(&self) -> Vec<Fault> {
        status::faults(self)
    }

    fn references(&self) -> Vec<Reference> {
        Self::references(self)
    }

    fn sample(key: &str) -> &'static str {
        match key {
            "title" => "\"Example\"",
            "groups" => "[{ name = \"Web\", items = [{ id = \"shop\", name = \"Shop\", checks = [\"shop\"] }] }]",
            "items" => "[{ id = \"shop\", name = \"Shop\", checks = [\"shop\"] }]",
            "name" => "\"Shop\"",
            _ => "\"public\"",
        }
    }
}

impl Coded for ScoringModel {
    const KEYS: &'static [&'static str] = Self::KEYS;

    fn id(&self) -> &str {
        &self.id
    }

    fn faults(&self) -> Vec<Fault> {
        Self::faults(self)
    }

    fn sample(key: &str) -> &'static str {
        match key {
            "share" | "warning" | "critical" => "{ share = 70, warning = 99.9, critical = 99 }",
            _ => "\"default\"",
        }
    }
}

impl Coded for Playbook {
    const KEYS: &'static [&'static str] = Self::KEYS;

    fn id(&self) -> &str {
        &self.id
    }

    fn faults(&self) -> Vec<Fault> {
        Self::faults(self)
    }

    fn references(&self) -> Vec<Reference> {
        Self::references(self)
    }

    fn sample(key: &str) -> &'static str {
        match key {
            "title" => "\"The shop is down\"",
            "steps" => "[{ id = \"look\", title = \"Look at the evidence\", minutes = 3 }]",
            "minutes" => "3",
            _ => "\"shop-down\"",
        }
    }
}

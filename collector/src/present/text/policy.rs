//! The words of accounting policies.

/// Every text about accounting policies.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct PolicyTexts {
    pub title: &'static str,
    pub what: &'static str,
    pub policy: &'static str,
    pub show: &'static str,
    pub period: &'static str,
    pub objective: &'static str,
    pub several: &'static str,
    pub met: &'static str,
    pub missed: &'static str,
    pub counted: &'static str,
    pub outside: &'static str,
    pub budget_left: &'static str,
    pub versions: fn(&str) -> String,
    pub none_in_force: &'static str,
    pub each_in_its_time: &'static str,
    pub unknown_policy: fn(&str) -> String,
}

/// English.
pub static EN: PolicyTexts = PolicyTexts {
    title: "As a policy counts",
    what: "Which time counts, in which hours, and what was promised. A policy counts each instant by the version in force then; one version by its number counts all of it.",
    policy: "Accounting policy",
    show: "Show",
    period: "Period",
    objective: "Objective",
    several: "several",
    met: "met",
    missed: "missed",
    counted: "Counted",
    outside: "Outside the hours",
    budget_left: "Error budget left",
    versions: |versions| format!("version {versions}"),
    none_in_force: "no version was in force",
    each_in_its_time: "each version in its time",
    unknown_policy: |name| format!("There is no policy {name}."),
};

/// French.
pub static FR: PolicyTexts = PolicyTexts {
    title: "Selon une politique de calcul",
    what: "Quel temps compte, à quelles heures, et ce qui a été promis. Une politique compte chaque instant selon la version alors en vigueur ; une version donnée par son numéro compte toute la période.",
    policy: "Politique de calcul",
    show: "Afficher",
    period: "Période",
    objective: "Objectif",
    several: "plusieurs",
    met: "tenu",
    missed: "manqué",
    counted: "Compté",
    outside: "Hors des heures",
    budget_left: "Budget d’erreur restant",
    versions: |versions| format!("version {versions}"),
    none_in_force: "aucune version n’était en vigueur",
    each_in_its_time: "chaque version en son temps",
    unknown_policy: |name| format!("Il n’y a pas de politique {name}."),
};

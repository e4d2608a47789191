//! The words of explanations.

/// Every text about what a figure is made of.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct ExplainTexts {
    pub title: &'static str,
    pub what: &'static str,
    pub link: &'static str,
    pub refused: &'static str,
    pub period: fn(&str, &str) -> String,
    pub no_policy: &'static str,
    pub sum: &'static str,
    pub time: &'static str,
    pub intervals: fn(usize) -> String,
    pub adds_up: &'static str,
    pub does_not: fn(&str) -> String,
    pub no_life: &'static str,
    pub counted: &'static str,
    pub counted_down: &'static str,
    pub excluded: &'static str,
    pub outside: &'static str,
    pub counts: &'static str,
    pub by_share: fn(&str, &str) -> String,
    pub excluded_short: &'static str,
    pub outside_short: &'static str,
    pub from_to: &'static str,
    pub weights: &'static str,
    pub votes: &'static str,
    pub agents: fn(usize) -> String,
    pub weightless: &'static str,
    pub missed: &'static str,
    /// How far like records are apart.
    pub every: fn(&str) -> String,
    pub missed_cause: fn(&str) -> &'static str,
    pub more: fn(usize) -> String,
    pub more_intervals: fn(usize, &str) -> String,
    pub all_by: &'static str,
    pub records_by: &'static str,
    /// Why missed runs have no id, and what names them.
    pub missed_named: &'static str,
    /// An agent, how many records, from when on they are kept.
    pub gone: fn(&str, &str, Option<&str>) -> String,
    pub nothing: &'static str,
    pub of_agent: fn(&str) -> String,
    pub of_region: fn(&str) -> String,
    pub of_all: &'static str,
}

/// English.
pub static EN: ExplainTexts = ExplainTexts {
    title: "Explanation",
    what: "Each interval is time in which neither the verdict nor any vote changed. The newest come first.",
    link: "why this figure?",
    refused: "This cannot be explained at once:",
    period: |from, to| format!("{from} to {to}"),
    no_policy: "none: the verdicts alone",
    sum: "Sum:",
    time: "Time",
    intervals: |n| if n == 1 { "1 interval".into() } else { format!("{n} intervals") },
    adds_up: "The intervals add up to the figures, to the microsecond.",
    does_not: |told| format!("The intervals do NOT add up to the figures ({told}). Please report this."),
    no_life: "not counted: the check did not live",
    counted: "counted by the policy",
    counted_down: "of it down",
    excluded: "excluded by the policy",
    outside: "outside the service hours",
    counts: "Counts",
    by_share: |down, of| format!("{down} of {of} down"),
    excluded_short: "excluded",
    outside_short: "outside",
    from_to: "Interval",
    weights: "weight down / live:",
    votes: "Votes and evidence",
    agents: |n| match n {
        0 => "no agent".into(),
        1 => "1 agent".into(),
        n => format!("{n} agents"),
    },
    weightless: "watches, without a vote",
    missed: "missed",
    every: |step| format!("every {step}"),
    missed_cause: |cause| match cause {
        "agent_stopped" => "agent stopped",
        "overloaded" => "agent overloaded",
        "suspended" => "suspended",
        "maintenance" => "maintenance",
        _ => "step of the clock",
    },
    more: |n| format!("and {n} more"),
    more_intervals: |n, time| {
        if n == 1 { format!("and 1 more, earlier: {time}.") } else { format!("and {n} more, earlier: {time} in all.") }
    },
    all_by: "All of them:",
    records_by: "The records one by one, by their ids:",
    missed_named: "Missed runs never ran, so they have no id: the instants at which the first and the last were due, their distance and their number name each of them.",
    gone: |agent, records, kept| {
        let kept = kept.map_or_else(|| "none is kept".to_owned(), |kept| format!("kept from {kept} on"));
        format!(
            "{agent}: {records} records are gone by their age ({kept}). The timeline stays: intervals, counts and figures are the same without them."
        )
    },
    nothing: "The check did not live in this time.",
    of_agent: |name| format!("By the votes of the agent {name} alone."),
    of_region: |name| format!("By the votes of the region {name} alone."),
    of_all: "By all votes",
};

/// French.
pub static FR: ExplainTexts = ExplainTexts {
    title: "Explication",
    what: "Chaque intervalle est un temps pendant lequel ni le verdict ni aucun vote n’a changé. Les plus récents d’abord.",
    link: "pourquoi ce chiffre ?",
    refused: "Impossible de tout expliquer d’un coup :",
    period: |from, to| format!("du {from} au {to}"),
    no_policy: "aucune : les verdicts seuls",
    sum: "Somme :",
    time: "Temps",
    intervals: |n| if n < 2 { format!("{n} intervalle") } else { format!("{n} intervalles") },
    adds_up: "La somme des intervalles donne les chiffres, à la microseconde près.",
    does_not: |told| format!("La somme des intervalles ne donne PAS les chiffres ({told}). Merci de le signaler."),
    no_life: "hors compte : le contrôle n’existait pas",
    counted: "compté par la politique",
    counted_down: "dont en panne",
    excluded: "exclu par la politique",
    outside: "hors des heures de service",
    counts: "Compte",
    by_share: |down, of| format!("{down} sur {of} en panne"),
    excluded_short: "exclu",
    outside_short: "hors des heures",
    from_to: "Intervalle",
    weights: "poids en panne / actif :",
    votes: "Votes et preuves",
    agents: |n| match n {
        0 => "aucun agent".into(),
        1 => "1 agent".into(),
        n => format!("{n} agents"),
    },
    weightless: "observe, sans voter",
    missed: "manqué",
    every: |step| format!("toutes les {step}"),
    missed_cause: |cause| match cause {
        "agent_stopped" => "agent arrêté",
        "overloaded" => "agent surchargé",
        "suspended" => "suspendu",
        "maintenance" => "maintenance",
        _ => "saut de l’horloge",
    },
    more: |n| if n < 2 { format!("et {n} autre") } else { format!("et {n} autres") },
    more_intervals: |n, time| {
        if n < 2 {
            format!("et {n} autre, antérieur : {time}.")
        } else {
            format!("et {n} autres, antérieurs : {time} en tout.")
        }
    },
    all_by: "Tous les intervalles :",
    records_by: "Les enregistrements un par un, par leur identifiant :",
    missed_named: "Les exécutions manquées n’ont pas eu lieu et n’ont donc pas d’identifiant : les instants prévus de la première et de la dernière, leur écart et leur nombre désignent chacune d’elles.",
    gone: |agent, records, kept| {
        let kept =
            kept.map_or_else(|| "aucun n’est conservé".to_owned(), |kept| format!("conservés à partir du {kept}"));
        format!(
            "{agent} : {records} enregistrements ont disparu avec l’âge ({kept}). La chronologie demeure : intervalles, comptes et chiffres sont les mêmes sans eux."
        )
    },
    nothing: "Le contrôle n’existait pas pendant ce temps.",
    of_agent: |name| format!("Par les seuls votes de l’agent {name}."),
    of_region: |name| format!("Par les seuls votes de la région {name}."),
    of_all: "Par tous les votes",
};

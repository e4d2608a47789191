//! The words of promises and their error budgets.

use sitepulse_model::slo::status::State;

/// Every text about promises.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct SloTexts {
    pub title: &'static str,
    pub short: &'static str,
    pub what: &'static str,
    pub none: &'static str,
    pub none_how: &'static str,
    pub promise: &'static str,
    pub state: &'static str,
    pub budget: &'static str,
    pub burn: &'static str,
    /// What a pair of rates and its threshold mean.
    pub burn_what: &'static str,
    pub rolling: fn(&str) -> String,
    /// The sign of a day.
    pub day: &'static str,
    pub week: &'static str,
    pub month: &'static str,
    pub quarter: &'static str,
    pub policy: fn(&str) -> String,
    pub checks: fn(usize) -> String,
    /// Left, of what was allowed, as a share.
    pub left: fn(&str, &str) -> String,
    pub overdrawn: fn(&str, &str) -> String,
    pub nothing_allowed: &'static str,
    pub between: fn(&str, &str) -> String,
    pub exhausted_at: fn(&str, &str) -> String,
    pub not_in_sight: &'static str,
    pub endless: &'static str,
    pub threshold: fn(&str) -> String,
    pub missing: fn(&str) -> String,
    /// The word for a state, and what it calls for.
    pub word: fn(State) -> (&'static str, &'static str),
}

/// English.
pub static EN: SloTexts = SloTexts {
    title: "Service level objectives",
    short: "SLOs",
    what: "What was promised, how much of the error budget is left, and how fast it burns: 1× uses a period’s budget up in exactly that period.",
    none: "No objectives yet",
    none_how: "Write an [[slo]] in a check file and apply it:",
    promise: "Objective",
    state: "State",
    budget: "Error budget",
    burn: "Burn rate",
    burn_what: "Over a long window / over its last twelfth; where both reach the threshold the budget burns fast, over 3 d slowly.",
    rolling: |length| format!("over the last {length}"),
    day: "d",
    week: "this week",
    month: "this month",
    quarter: "this quarter",
    policy: |policy| format!("policy {policy}"),
    checks: |n| if n == 1 { "1 check".into() } else { format!("{n} checks") },
    left: |left, allowed| format!("{left} of {allowed} left"),
    overdrawn: |over, allowed| format!("{over} over the {allowed} allowed"),
    nothing_allowed: "100 % promised: nothing may be bad",
    between: |lower, upper| format!("between {lower} and {upper} with what is unknown"),
    exhausted_at: |at, window| format!("used up on {at} at the rate of the last {window}"),
    not_in_sight: "not used up within the period at the present rate",
    endless: "endless",
    threshold: |rate| format!("limit {rate}×"),
    missing: |names| format!("not found: {names}"),
    word: |state| match state {
        State::Unknown => ("no evidence", "nothing was measured"),
        State::Ok => ("on track", "nothing to do"),
        State::BurningSlow => ("burning slowly", "worth a ticket"),
        State::BurningFast => ("burning fast", "worth a page"),
        State::Exhausted => ("exhausted", "the promise is broken"),
    },
};

/// French.
pub static FR: SloTexts = SloTexts {
    title: "Objectifs de niveau de service",
    short: "SLO",
    what: "Ce qui a été promis, ce qui reste du budget d’erreur et la vitesse à laquelle il brûle : 1× consomme le budget d’une période en exactement cette période.",
    none: "Aucun objectif",
    none_how: "Écrivez un [[slo]] dans un fichier de contrôles et appliquez-le :",
    promise: "Objectif",
    state: "État",
    budget: "Budget d’erreur",
    burn: "Vitesse de consommation",
    burn_what: "Sur une fenêtre longue / sur son dernier douzième ; quand les deux atteignent le seuil, le budget brûle vite, sur 3 j lentement.",
    rolling: |length| format!("sur {length} glissants"),
    day: "j",
    week: "cette semaine",
    month: "ce mois-ci",
    quarter: "ce trimestre",
    policy: |policy| format!("politique {policy}"),
    checks: |n| if n == 1 { "1 contrôle".into() } else { format!("{n} contrôles") },
    left: |left, allowed| format!("reste {left} sur {allowed}"),
    overdrawn: |over, allowed| format!("{over} au-delà des {allowed} permis"),
    nothing_allowed: "100 % promis : aucun écart permis",
    between: |lower, upper| format!("entre {lower} et {upper} avec ce qui est inconnu"),
    exhausted_at: |at, window| format!("épuisé le {at} au rythme observé sur {window}"),
    not_in_sight: "pas d’épuisement dans la période au rythme actuel",
    endless: "sans limite",
    threshold: |rate| format!("seuil {rate}×"),
    missing: |names| format!("introuvable : {names}"),
    word: |state| match state {
        State::Unknown => ("sans mesure", "rien n’a été mesuré"),
        State::Ok => ("tenu", "rien à faire"),
        State::BurningSlow => ("consommation lente", "mérite un ticket"),
        State::BurningFast => ("consommation rapide", "mérite une alerte"),
        State::Exhausted => ("épuisé", "la promesse est rompue"),
    },
};

impl SloTexts {
    /// The words for a state as the API tells it.
    pub fn words(&self, state: &str) -> (&'static str, &'static str) {
        (self.word)(State::ALL.into_iter().find(|one| one.as_str() == state).unwrap_or(State::Unknown))
    }
}

//! The words of impact scores.

use sitepulse_model::impact::{Module, Signal};

/// Every text about impact scores.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct ImpactTexts {
    pub title: &'static str,
    pub what: &'static str,
    pub score: &'static str,
    pub none: &'static str,
    /// By the word of the JSON.
    pub band: fn(&str) -> &'static str,
    pub module: fn(Module) -> &'static str,
    pub signal: fn(Signal) -> &'static str,
    /// The dominant contribution as a sentence: the signal, its value, what it is held against.
    pub reason: fn(Signal, &str, &str) -> String,
    /// Where nothing adds anything.
    pub calm: &'static str,
    pub no_data: &'static str,
    pub weight: &'static str,
    pub points: &'static str,
    pub value: &'static str,
    pub raised: fn(&str) -> String,
    pub model: fn(&str) -> String,
}

/// English.
pub static EN: ImpactTexts = ImpactTexts {
    title: "Impact",
    what: "0 to 100, higher is worse: what to look at first.",
    score: "Impact score",
    none: "no score",
    band: |band| match band {
        "critical" => "critical",
        "warning" => "warning",
        _ => "ok",
    },
    module: |module| match module {
        Module::Availability => "Availability",
        Module::Latency => "Latency",
        Module::WebVitals => "Web vitals",
        Module::Insights => "Findings",
    },
    signal: |signal| match signal {
        Signal::WeightedAvailability => "weighted availability",
        Signal::Recurrence => "incidents in 7 days",
        Signal::LatencyP95 => "p95 latency against the budget",
        Signal::LatencyRegression => "p95 latency against the week before",
        Signal::Lcp => "largest contentful paint",
        Signal::Inp => "interaction to next paint",
        Signal::Tbt => "total blocking time",
        Signal::Cls => "cumulative layout shift",
        Signal::OpenFindings => "open findings",
        Signal::StaleFindings => "stale findings",
    },
    reason: |signal, value, warning| match signal {
        Signal::WeightedAvailability => format!("Mostly because its availability is {value}, below {warning}."),
        Signal::Recurrence => format!("Mostly because it keeps failing: {value} incidents in 7 days."),
        Signal::LatencyP95 => format!("Mostly because it is slow: its p95 is {value} of its latency budget."),
        Signal::LatencyRegression => {
            format!("Mostly because it became slower: its p95 grew by {value} against the week before.")
        }
        Signal::Lcp => format!("Mostly because its largest content is painted after {value}, above {warning}."),
        Signal::Inp => format!("Mostly because it answers an interaction after {value}, above {warning}."),
        Signal::Tbt => format!("Mostly because its scripts block for {value}, above {warning}."),
        Signal::Cls => format!("Mostly because its layout shifts by {value}, above {warning}."),
        Signal::OpenFindings => "Mostly because findings about it are open.".into(),
        Signal::StaleFindings => "Mostly because findings about it were left lying.".into(),
    },
    calm: "Nothing stands out.",
    no_data: "There is no evidence to go by.",
    weight: "Weight",
    points: "Points",
    value: "Value",
    raised: |check| format!("raised by {check}, which is critical"),
    model: |model| format!("by the scoring model {model}"),
};

/// French.
pub static FR: ImpactTexts = ImpactTexts {
    title: "Impact",
    what: "De 0 à 100, plus c’est haut, plus c’est grave : ce qu’il faut regarder d’abord.",
    score: "Score d’impact",
    none: "pas de score",
    band: |band| match band {
        "critical" => "critique",
        "warning" => "à surveiller",
        _ => "correct",
    },
    module: |module| match module {
        Module::Availability => "Disponibilité",
        Module::Latency => "Latence",
        Module::WebVitals => "Signaux web",
        Module::Insights => "Constats",
    },
    signal: |signal| match signal {
        Signal::WeightedAvailability => "disponibilité pondérée",
        Signal::Recurrence => "incidents en 7 jours",
        Signal::LatencyP95 => "latence p95 par rapport au budget",
        Signal::LatencyRegression => "latence p95 par rapport à la semaine précédente",
        Signal::Lcp => "affichage du plus grand contenu",
        Signal::Inp => "réponse aux interactions",
        Signal::Tbt => "temps de blocage total",
        Signal::Cls => "décalage cumulé de la mise en page",
        Signal::OpenFindings => "constats ouverts",
        Signal::StaleFindings => "constats négligés",
    },
    reason: |signal, value, warning| match signal {
        Signal::WeightedAvailability => format!("Surtout parce que sa disponibilité est de {value}, sous {warning}."),
        Signal::Recurrence => format!("Surtout parce que les pannes se répètent : {value} incidents en 7 jours."),
        Signal::LatencyP95 => format!("Surtout parce qu’il est lent : son p95 vaut {value} de son budget de latence."),
        Signal::LatencyRegression => {
            format!(
                "Surtout parce qu’il a ralenti : son p95 a augmenté de {value} par rapport à la semaine précédente."
            )
        }
        Signal::Lcp => {
            format!("Surtout parce que son plus grand contenu s’affiche après {value}, au-delà de {warning}.")
        }
        Signal::Inp => format!("Surtout parce qu’il répond aux interactions après {value}, au-delà de {warning}."),
        Signal::Tbt => format!("Surtout parce que ses scripts bloquent pendant {value}, au-delà de {warning}."),
        Signal::Cls => format!("Surtout parce que sa mise en page se décale de {value}, au-delà de {warning}."),
        Signal::OpenFindings => "Surtout parce que des constats à son sujet sont ouverts.".into(),
        Signal::StaleFindings => "Surtout parce que des constats à son sujet ont été laissés de côté.".into(),
    },
    calm: "Rien ne se distingue.",
    no_data: "Rien n’a été mesuré.",
    weight: "Poids",
    points: "Points",
    value: "Valeur",
    raised: |check| format!("relevé par {check}, qui est critique"),
    model: |model| format!("selon le modèle de score {model}"),
};

//! The words of latencies.

/// Every text about latencies.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct LatencyTexts {
    pub title: &'static str,
    pub what: &'static str,
    pub covered: fn(&str, &str) -> String,
    pub nothing: &'static str,
    /// Before why there are no figures.
    pub refused: &'static str,
    pub phase: &'static str,
    pub smallest: &'static str,
    pub largest: &'static str,
    pub results: &'static str,
    pub failed: fn(u64) -> String,
    pub all_places: &'static str,
}

pub(super) const EN: LatencyTexts = LatencyTexts {
    title: "Latency",
    what: "Of results that were up or degraded. Percentiles are off by less than 1 %.",
    covered: |from, to| format!("Full hours from {from} to {to} UTC"),
    nothing: "No result in this time has a latency.",
    refused: "There are no figures:",
    phase: "Phase",
    smallest: "smallest",
    largest: "largest",
    results: "Results",
    failed: |count| match count {
        1 => "1 result down, left out".into(),
        count => format!("{count} results down, left out"),
    },
    all_places: "all regions",
};

pub(super) const FR: LatencyTexts = LatencyTexts {
    title: "Latence",
    what: "Des résultats en service ou dégradés. Les centiles sont justes à moins de 1 % près.",
    covered: |from, to| format!("Heures entières du {from} au {to} UTC"),
    nothing: "Aucun résultat de cette période n’a de latence.",
    refused: "Pas de valeurs :",
    phase: "Phase",
    smallest: "minimum",
    largest: "maximum",
    results: "Résultats",
    failed: |count| match count {
        0 | 1 => format!("{count} résultat en panne, écarté"),
        count => format!("{count} résultats en panne, écartés"),
    },
    all_places: "toutes les régions",
};

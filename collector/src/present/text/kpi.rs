//! The words of the KPI banner.

/// Every text of the banner.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct KpiTexts {
    pub title: &'static str,
    /// `24h`, `7d`, `30d`, as people say it.
    pub period: fn(&str) -> &'static str,
    pub sla: &'static str,
    /// While the figures are being made.
    pub pending: &'static str,
    pub incidents: &'static str,
    pub debt: &'static str,
    pub response: &'static str,
    pub mtta: &'static str,
    pub mttr: &'static str,
    /// How much a percentage changed; the points are signed.
    pub change: fn(&str) -> String,
    pub unchanged: &'static str,
    pub no_change: &'static str,
    pub none_open: &'static str,
    /// How many, and the word for their severity.
    pub of_severity: fn(u64, &str) -> String,
    pub level: fn(&str) -> &'static str,
    /// A term of the debt.
    pub term: fn(&str) -> &'static str,
    pub absent: &'static str,
    /// That some terms have no source.
    pub incomplete: &'static str,
    pub target: fn(&str) -> String,
    pub met: &'static str,
    pub missed: &'static str,
    pub none_resolved: &'static str,
    pub none_acknowledged: &'static str,
    pub resolved: fn(u32) -> String,
    pub points: fn(&str) -> String,
}

/// English.
pub static EN: KpiTexts = KpiTexts {
    title: "At a glance",
    period: |period| match period {
        "7d" => "7 days",
        "30d" => "30 days",
        _ => "24 hours",
    },
    sla: "Availability",
    pending: "being counted…",
    incidents: "Open incidents",
    debt: "Maintenance debt",
    response: "Critical incidents",
    mtta: "mean time to acknowledge",
    mttr: "mean time to resolve",
    change: |points| format!("{points} points against the period before"),
    unchanged: "as in the period before",
    no_change: "nothing measured in the period before",
    none_open: "None",
    of_severity: |count, severity| format!("{count} {severity}"),
    level: |level| match level {
        "critical" => "critical",
        "warning" => "warning",
        _ => "ok",
    },
    term: |term| match term {
        "overdue_jobs" => "overdue jobs and messages",
        "failed_jobs" => "failed jobs and messages nobody got",
        "open_findings" => "open findings",
        "stale_findings" => "stale findings",
        "overdue_tasks" => "overdue maintenance tasks",
        _ => "certificates and domains within 14 days of expiry",
    },
    absent: "no source yet",
    incomplete: "without the terms that have no source yet",
    target: |target| format!("target: below {target}"),
    met: "met",
    missed: "missed",
    none_resolved: "none resolved",
    none_acknowledged: "none acknowledged",
    resolved: |count| format!("{count} resolved"),
    points: |points| if points == "1" { "1 point".into() } else { format!("{points} points") },
};

/// French.
pub static FR: KpiTexts = KpiTexts {
    title: "En bref",
    period: |period| match period {
        "7d" => "7 jours",
        "30d" => "30 jours",
        _ => "24 heures",
    },
    sla: "Disponibilité",
    pending: "calcul en cours…",
    incidents: "Incidents ouverts",
    debt: "Dette de maintenance",
    response: "Incidents critiques",
    mtta: "délai moyen de prise en charge",
    mttr: "délai moyen de résolution",
    change: |points| format!("{points} points par rapport à la période précédente"),
    unchanged: "comme la période précédente",
    no_change: "rien de mesuré pendant la période précédente",
    none_open: "Aucun",
    of_severity: |count, severity| format!("{count} {severity}{}", if count > 1 { "s" } else { "" }),
    level: |level| match level {
        "critical" => "critique",
        "warning" => "à surveiller",
        _ => "correct",
    },
    term: |term| match term {
        "overdue_jobs" => "tâches et messages en retard",
        "failed_jobs" => "tâches échouées et messages non remis",
        "open_findings" => "constats ouverts",
        "stale_findings" => "constats négligés",
        "overdue_tasks" => "tâches de maintenance en retard",
        _ => "certificats et domaines à moins de 14 jours de l’expiration",
    },
    absent: "pas encore de source",
    incomplete: "sans les termes qui n’ont pas encore de source",
    target: |target| format!("cible : moins de {target}"),
    met: "tenue",
    missed: "manquée",
    none_resolved: "aucun résolu",
    none_acknowledged: "aucun pris en charge",
    resolved: |count| if count == 1 { "1 résolu".into() } else { format!("{count} résolus") },
    points: |points| {
        if points == "1" || points == "0" { format!("{points} point") } else { format!("{points} points") }
    },
};

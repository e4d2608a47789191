//! The words of amendments, and of where an agent's runs went.

/// Every text about what late data changed, and about conservation.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct LedgerTexts {
    pub amendments: &'static str,
    pub amendments_what: &'static str,
    /// Beside a figure.
    pub amended: fn(usize) -> String,
    /// The availability in which a regional outage costs its share.
    pub weighted: &'static str,
    pub noted: &'static str,
    pub about: &'static str,
    pub late: &'static str,
    /// Records, and how far behind.
    pub late_records: fn(&str, u64, &str) -> String,
    pub changes: fn(u64) -> String,
    pub more: fn(u64) -> String,
    pub runs: &'static str,
    pub runs_what: &'static str,
    pub scheduled: &'static str,
    pub stored: &'static str,
    pub missed: &'static str,
    pub dropped: &'static str,
    pub unaccounted: &'static str,
    pub all_accounted: &'static str,
    pub some_unaccounted: fn(&str) -> String,
    pub all_checks: &'static str,
    pub overloaded: &'static str,
    pub clock_step: &'static str,
}

/// English.
pub static EN: LedgerTexts = LedgerTexts {
    amendments: "Amendments",
    amendments_what: "Results that came in late changed these figures. Late data pages nobody.",
    amended: |n| if n == 1 { "amended by late data".into() } else { format!("amended {n} times by late data") },
    weighted: "weighted availability",
    noted: "Noted",
    about: "About",
    late: "Late",
    late_records: |records, acts, behind| match acts {
        0 => format!("{records} records, up to {behind} late"),
        1 => format!("{records} records and 1 control event, up to {behind} late"),
        _ => format!("{records} records and {acts} control events, up to {behind} late"),
    },
    changes: |n| if n == 1 { "1 change".into() } else { format!("{n} changes") },
    more: |n| format!("and {n} more"),
    runs: "Where the runs went",
    runs_what: "Scheduled = stored + missed + dropped + unaccounted, from when a check was assigned to the agent's last record of it; what it never spoke of is missed.",
    scheduled: "Scheduled",
    stored: "Stored",
    missed: "Missed",
    dropped: "Dropped",
    unaccounted: "Unaccounted",
    all_accounted: "Every scheduled run is accounted for.",
    some_unaccounted: |n| format!("{n} scheduled runs have no record: on their way still, or lost."),
    all_checks: "all checks",
    overloaded: "agent overloaded",
    clock_step: "clock stepped",
};

/// French.
pub static FR: LedgerTexts = LedgerTexts {
    amendments: "Rectifications",
    amendments_what: "Des résultats arrivés en retard ont changé ces chiffres. Les données tardives n’alertent personne.",
    amended: |n| {
        if n == 1 {
            "rectifié par des données tardives".into()
        } else {
            format!("rectifié {n} fois par des données tardives")
        }
    },
    weighted: "disponibilité pondérée",
    noted: "Noté",
    about: "Période",
    late: "En retard",
    late_records: |records, acts, behind| match acts {
        0 => format!("{records} enregistrements, jusqu’à {behind} de retard"),
        1 => format!("{records} enregistrements et 1 commande, jusqu’à {behind} de retard"),
        _ => format!("{records} enregistrements et {acts} commandes, jusqu’à {behind} de retard"),
    },
    changes: |n| if n == 1 { "1 changement".into() } else { format!("{n} changements") },
    more: |n| format!("et {n} de plus"),
    runs: "Où sont passées les exécutions",
    runs_what: "Prévues = enregistrées + manquées + abandonnées + inexpliquées, de l’affectation d’un contrôle au dernier enregistrement que l’agent en a donné ; ce dont il n’a jamais parlé est manqué.",
    scheduled: "Prévues",
    stored: "Enregistrées",
    missed: "Manquées",
    dropped: "Abandonnées",
    unaccounted: "Inexpliquées",
    all_accounted: "Chaque exécution prévue est expliquée.",
    some_unaccounted: |n| format!("{n} exécutions prévues n’ont pas d’enregistrement : encore en route, ou perdues."),
    all_checks: "tous les contrôles",
    overloaded: "agent surchargé",
    clock_step: "saut d’horloge",
};

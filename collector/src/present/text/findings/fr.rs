//! French.

use sitepulse_model::insight::found::{
    AttributionOf, CannotFail, Disagreement, Evidence, Expires, Found, Gap, SlowPart, TraitOf,
};
use sitepulse_model::insight::{Kind, Severity};

use super::{FindingTexts, count, excess, latency, length, listed, minute, name_of, new_with_it, share, times, vital};
use crate::insight::life::{Entry, State};

/// French.
pub static FR: FindingTexts = FindingTexts {
    title: "Constats",
    what: "Ce que disent les mesures et qu’aucun résultat ne dit seul. Chacun est retrouvé toutes les heures dans le registre et se ferme de lui-même quand c’est fini.",
    finding: "Constat",
    kind: |kind| match kind {
        Kind::LatencyRegression => "plus lent qu’avant",
        Kind::RegionSlow => "région lente",
        Kind::Expiry => "expiration",
        Kind::Flapping => "instabilité",
        Kind::CorrelatedFailures => "pannes communes",
        Kind::BudgetForecast => "prévision de budget",
        Kind::VitalsRegression => "page dégradée",
        Kind::SlowResolver => "résolveur lent",
        Kind::AgentDisagrees => "agent en désaccord",
        Kind::CannotFail => "ne peut échouer",
        Kind::CoverageGap => "couverture insuffisante",
    },
    severity: |severity| match severity {
        Severity::Info => "info",
        Severity::Warning => "à surveiller",
        Severity::Critical => "critique",
    },
    state: |state| match state {
        State::Open => "ouvert",
        State::Acknowledged => "pris en compte",
        State::Closed => "fermé",
    },
    stale: "négligé",
    sentence,
    confidence: |percent| format!("confiance {percent} %"),
    rows,
    entry: |entry| match entry {
        Entry::Opened { severity } => format!("Constaté, {}", (FR.severity)(*severity)),
        Entry::Reopened { severity, acknowledged: false } => {
            format!("Constaté de nouveau, {}", (FR.severity)(*severity))
        }
        Entry::Reopened { severity, acknowledged: true } => {
            format!("Constaté de nouveau, {} ; la prise en compte vaut toujours", (FR.severity)(*severity))
        }
        Entry::Severity { to } => format!("Désormais {}", (FR.severity)(*to)),
        Entry::Acknowledged { note } => format!("Pris en compte : {note}"),
        Entry::Outgrown => "Rouvert : c’est devenu pire que ce qui avait été pris en compte".into(),
        Entry::TakenBack => "Prise en compte retirée".into(),
        Entry::Closed => "Fermé : ce n’est plus constaté".into(),
        Entry::Gone => "Fermé : son objet n’existe plus".into(),
    },
    evidence: "Preuves",
    history: "Historique",
    found_first: "Premier constat",
    found_last: "Dernier constat",
    since: "Ainsi depuis",
    closed: "Fermé",
    counts_for: "Compte pour",
    missing: |age| format!("plus constaté depuis {age}"),
    acknowledge: "Prendre en compte",
    acknowledge_what: "Dites pourquoi cela peut rester, ou ce qui est fait. Cela ne compte plus dans les scores et la dette, jusqu’à ce que cela empire ou que ce soit retiré.",
    acknowledged_by: |who, when| format!("pris en compte par {who}, {when}"),
    note: "Note",
    take_back: "Retirer",
    none: "Rien n’est constaté : aucun constat ouvert.",
    none_match: "Aucun constat ne correspond.",
    none_yet: "Rien n’a encore été examiné. Chaque contrôle l’est dans l’heure qui suit le démarrage.",
    none_of_check: "Rien n’a été constaté.",
    all: "Tous",
    standing: "Ouverts",
    over: "Fermés",
    worded: |model| format!("formulé par {model}"),
    see: "Voir",
    see_latency: "la latence",
    see_explain: "la chronologie et les votes",
    see_incidents: "les incidents",
    see_objective: "l’objectif",
    see_agent: "l’agent",
    see_definition: "la définition",
    nobody: "personne n’a encore rien dit",
};

/// With the decimal comma.
fn comma(number: String) -> String {
    number.replace('.', ",")
}

fn ms(us: u64) -> String {
    comma(latency(us))
}

fn more(us: i64) -> String {
    comma(excess(us))
}

fn by(per_mille: u64) -> String {
    comma(times(per_mille))
}

fn part_per(per_mille: u32) -> String {
    comma(share(per_mille))
}

fn sentence(found: &Found) -> String {
    let (name, since) = (name_of(&found.subject), minute(found.since));
    match &found.evidence {
        Evidence::LatencyRegression { before_us, after_us, ratio_per_mille, .. } => format!(
            "{name} prend {} fois ce que prenaient ces heures de la semaine, depuis le {since} : {} au lieu de {}",
            by((*ratio_per_mille).into()),
            ms(*after_us),
            ms(*before_us)
        ),
        Evidence::RegionSlow { region, region_us, expected_us, ratio_per_mille, part, .. } => format!(
            "{name} prend à {region} {} fois ce que laissent attendre les autres régions, depuis le {since} : {} au lieu de {} ; {}",
            by((*ratio_per_mille).into()),
            ms(*region_us),
            ms(*expected_us),
            part_of(*part)
        ),
        Evidence::Expiry { what, ends_at, left_us, .. } => {
            let (thing, at) = (expires(*what), minute(*ends_at));
            if *left_us < 0 {
                format!("{thing} de {name} a expiré il y a {}, le {at}", length(*left_us, "j"))
            } else {
                format!("{thing} de {name} expire dans {}, le {at}", length(*left_us, "j"))
            }
        }
        Evidence::Flapping { turns, window_us, turns_half_hour, bad_us, down, .. } => format!(
            "{name} a basculé {turns} fois entre bon et mauvais en {}, jusqu’à {turns_half_hour} fois en une demi-heure ; {} pendant {} en tout",
            length(*window_us, "j"),
            if *down { "mauvais, parfois en panne," } else { "dégradé" },
            length(*bad_us, "j")
        ),
        Evidence::CorrelatedFailures { shared, checks, sharing, others_failing, others, within_us, .. } => format!(
            "{} sont tombés à {} d’intervalle au plus et partagent {} {} : {} sur {sharing} qui le partagent, et {others_failing} sur {others} autres",
            listed(checks, "et", |more| if more == 1 { "1 autre".into() } else { format!("{more} autres") }),
            length(*within_us, "j"),
            trait_of(shared.of),
            shared.what,
            checks.len()
        ),
        Evidence::BudgetForecast {
            exhausted_at, exhausted_in_us, long_rate_per_mille, short_rate_per_mille, ..
        } => {
            if *exhausted_in_us <= 0 {
                format!("Le budget d’erreur de {name} est épuisé")
            } else {
                format!(
                    "Le budget d’erreur de {name} sera épuisé dans {} à ce rythme, le {} : il brûle {} fois, et dernièrement {} fois plus vite que permis",
                    length(*exhausted_in_us, "j"),
                    minute(*exhausted_at),
                    by(*long_rate_per_mille),
                    by(*short_rate_per_mille)
                )
            }
        }
        Evidence::VitalsRegression { vital: of, before, after, ratio_per_mille, changed, .. } => {
            let much = if *ratio_per_mille > 0 {
                format!("vaut {} fois ce qu’il valait", by((*ratio_per_mille).into()))
            } else {
                "s’est dégradé".to_owned()
            };
            let what = of.as_str().to_uppercase();
            let new = new_with_it(changed, " ; nouveau depuis : ", " et ", |one| {
                let before =
                    if one.before.is_empty() { String::new() } else { format!(" (avant, surtout {})", one.before) };
                format!("{} {}{before}", attribution(one.of), one.after)
            });
            let (after, before) = (comma(vital(*of, *after)), comma(vital(*of, *before)));
            format!("Le {what} de {name} {much}, depuis le {since} : {after} au lieu de {before}{new}")
        }
        Evidence::SlowResolver { agent_us, others_us, ratio_per_mille, checks, checks_slow, hours, hours_slow } => {
            format!(
                "Résoudre un nom prend à {name} {} fois plus longtemps que chez les autres agents : {} contre {}, pour {checks_slow} contrôles sur {checks} pendant {hours_slow} heures sur {hours}",
                by((*ratio_per_mille).into()),
                ms(*agent_us),
                ms(*others_us)
            )
        }
        Evidence::AgentDisagrees {
            why, compared, share_per_mille, usual_per_mille, checks, clock_offset_us, ..
        } => {
            let votes = format!(
                "{name} a dit autre chose que les autres agents dans {} de {} réponses (d’habitude {}), pour {checks} contrôles",
                part_per(*share_per_mille),
                count(*compared),
                part_per(*usual_per_mille)
            );
            let offset = more(clock_offset_us.unwrap_or_default());
            match why {
                Disagreement::Votes => votes,
                Disagreement::Clock => format!("L’horloge de {name} est décalée de {offset}"),
                Disagreement::VotesAndClock => format!("{votes} ; son horloge est décalée de {offset}"),
            }
        }
        Evidence::CannotFail { why, assertion, accepted_statuses, runs, watched_us, .. } => match why {
            CannotFail::AlwaysHolds => {
                format!(
                    "L’assertion « {assertion} » de {name} tient quelle que soit la réponse : elle ne peut rien trouver"
                )
            }
            CannotFail::NeverMet => {
                format!("La condition « {assertion} » de {name} n’est jamais remplie : elle ne peut rien trouver")
            }
            CannotFail::AcceptsErrorPage => format!(
                "{name} a réussi ses {} exécutions en {}, et prendrait une page d’erreur pour bonne{}",
                count(*runs),
                length(*watched_us, "j"),
                statuses(accepted_statuses)
            ),
        },
        Evidence::CoverageGap { gaps, voters, quorum_agents, .. } => match gaps.first() {
            None | Some(Gap::NoAgent) => {
                format!("{name} n’est surveillé par personne : aucun agent ne lui est affecté")
            }
            Some(Gap::AllSuspended) => {
                format!("{name} n’est surveillé par personne : tous ses agents sont suspendus pour lui")
            }
            Some(Gap::AllWeightless) => format!("Personne ne compte pour {name} : tous ses agents ont un poids nul"),
            Some(Gap::QuorumOutOfReach) => {
                format!("Le quorum de {name} demande {quorum_agents} agents, et {voters} comptent : il est réduit")
            }
            Some(Gap::OneAgent) => format!("Un seul agent surveille {name} : ce qu’il voit est ce qui est dit"),
            Some(Gap::OneRegion) => format!("{name} est critique et vu d’une seule région"),
        },
    }
}

fn statuses(accepted: &[u16]) -> String {
    if accepted.is_empty() {
        return String::new();
    }
    let list: Vec<String> = accepted.iter().map(u16::to_string).collect();
    format!(" (statut {})", list.join(", "))
}

fn expires(what: Expires) -> &'static str {
    match what {
        Expires::Certificate => "Le certificat",
        Expires::Domain => "Le nom de domaine",
    }
}

fn part_of(part: SlowPart) -> &'static str {
    match part {
        SlowPart::Network => "le temps se perd en chemin (nom, connexion, TLS)",
        SlowPart::Server => "le temps se perd dans la réponse",
        SlowPart::Both => "le temps se perd en chemin et dans la réponse",
        SlowPart::Untold => "ses phases ne disent pas où",
    }
}

fn trait_of(of: TraitOf) -> &'static str {
    match of {
        TraitOf::Parent => "le parent",
        TraitOf::Address => "l’adresse",
        TraitOf::Certificate => "le certificat",
        TraitOf::Domain => "le domaine",
        TraitOf::Network => "le réseau",
        TraitOf::Provider => "le fournisseur",
    }
}

fn attribution(of: AttributionOf) -> &'static str {
    match of {
        AttributionOf::LcpElement => "le plus grand élément",
        AttributionOf::LcpUrl => "la source du plus grand élément",
        AttributionOf::ShiftSource => "l’élément qui se déplace",
    }
}

fn gap(gap: Gap) -> &'static str {
    match gap {
        Gap::NoAgent => "aucun agent n’est affecté",
        Gap::AllSuspended => "tous les agents sont suspendus pour lui",
        Gap::AllWeightless => "tous les agents ont un poids nul",
        Gap::QuorumOutOfReach => "le quorum demande plus d’agents qu’il n’en compte",
        Gap::OneAgent => "un seul agent compte",
        Gap::OneRegion => "une seule région",
    }
}

fn rows(found: &Found) -> Vec<(String, String)> {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |what: &str, value: String| rows.push((what.to_owned(), value));
    match &found.evidence {
        Evidence::LatencyRegression {
            before_us,
            after_us,
            ratio_per_mille,
            hours,
            hours_slower,
            noise_per_mille,
            baseline_hours,
        } => {
            row("médiane d’avant, aux mêmes heures de la semaine", ms(*before_us));
            row("médiane depuis", ms(*after_us));
            row("depuis, par rapport à avant", format!("× {}", by((*ratio_per_mille).into())));
            row("heures depuis, dont plus lentes", format!("{hours}, {hours_slower}"));
            row("bruit habituel de six heures", part_per(*noise_per_mille));
            row("heures de référence", count((*baseline_hours).into()));
        }
        Evidence::RegionSlow {
            region,
            region_us,
            expected_us,
            others_us,
            ratio_per_mille,
            others,
            hours,
            network_us,
            server_us,
            part,
        } => {
            row("région", region.clone());
            row("médiane là-bas", ms(*region_us));
            row("attendu là-bas d’après les autres régions", ms(*expected_us));
            row("médiane des autres régions", ms(*others_us));
            row("par rapport à l’attendu", format!("× {}", by((*ratio_per_mille).into())));
            row("autres régions", others.to_string());
            row("heures depuis", hours.to_string());
            row("de plus en chemin (nom, connexion, TLS)", more(*network_us));
            row("de plus dans la réponse", more(*server_us));
            row("où", part_of(*part).to_owned());
        }
        Evidence::Expiry { what, ends_at, left_us, seen_at, told_from_us } => {
            row("quoi", expires(*what).to_owned());
            row("expire", minute(*ends_at));
            row(if *left_us < 0 { "expiré depuis" } else { "reste" }, length(*left_us, "j"));
            row("vu en dernier", minute(*seen_at));
            row("signalé à partir de", length(*told_from_us, "j"));
        }
        Evidence::Flapping { turns, window_us, turns_half_hour, episodes, episode_us, bad_us, .. } => {
            row("bascules", turns.to_string());
            row("en", length(*window_us, "j"));
            row("au plus en une demi-heure", turns_half_hour.to_string());
            row("épisodes mauvais", episodes.to_string());
            row("durée médiane d’un épisode", length(*episode_us, "j"));
            row("temps mauvais en tout", length(*bad_us, "j"));
        }
        Evidence::CorrelatedFailures { shared, checks, sharing, others_failing, others, within_us, times_before } => {
            row("partagé", format!("{} {}", trait_of(shared.of), shared.what));
            row("tombés ensemble", checks.join(", "));
            row("le partagent", sharing.to_string());
            row("autres tombés alors", format!("{others_failing} sur {others}"));
            row("du premier au dernier", length(*within_us, "j"));
            row("fois auparavant", times_before.to_string());
        }
        Evidence::BudgetForecast {
            exhausted_at,
            left_us,
            allowed_us,
            long_rate_per_mille,
            long_us,
            short_rate_per_mille,
            short_us,
            ..
        } => {
            row("plus rien le", minute(*exhausted_at));
            row(if *left_us < 0 { "dépassé de" } else { "reste" }, length(*left_us, "j"));
            row("permis", length(*allowed_us, "j"));
            row(&format!("rythme sur {}", length(*long_us, "j")), format!("× {}", by(*long_rate_per_mille)));
            row(&format!("rythme sur {}", length(*short_us, "j")), format!("× {}", by(*short_rate_per_mille)));
        }
        Evidence::VitalsRegression { vital: of, before, after, ratio_per_mille, runs, baseline_runs, changed } => {
            row("mesure", of.as_str().to_uppercase());
            row("médiane d’avant", comma(vital(*of, *before)));
            row("médiane depuis", comma(vital(*of, *after)));
            row("depuis, par rapport à avant", format!("× {}", by((*ratio_per_mille).into())));
            row("exécutions depuis", runs.to_string());
            row("exécutions de référence", baseline_runs.to_string());
            for one in changed {
                let before = if one.before.is_empty() { "-" } else { &one.before };
                row(
                    attribution(one.of),
                    if one.runs_told == 0 {
                        format!("{} (avant : {before} ; {} exécutions)", one.after, one.runs)
                    } else {
                        format!(
                            "{} (dans {} exécutions sur {} depuis et {} sur {} avant, alors surtout : {before})",
                            one.after, one.runs, one.runs_told, one.runs_before, one.runs_before_told
                        )
                    },
                );
            }
        }
        Evidence::SlowResolver { agent_us, others_us, ratio_per_mille, checks, checks_slow, hours, hours_slow } => {
            row("médiane là-bas", ms(*agent_us));
            row("médiane chez les autres agents", ms(*others_us));
            row("là-bas, par rapport aux autres", format!("× {}", by((*ratio_per_mille).into())));
            row("contrôles comparés, dont lents", format!("{checks}, {checks_slow}"));
            row("heures comparées, dont lentes", format!("{hours}, {hours_slow}"));
        }
        Evidence::AgentDisagrees {
            compared,
            disagreed,
            share_per_mille,
            usual_per_mille,
            checks,
            hours,
            clock_offset_us,
            clock_uncertainty_us,
            ..
        } => {
            row("réponses comparées", count(*compared));
            row("ont dit autre chose", format!("{} ({})", count(*disagreed), part_per(*share_per_mille)));
            row("d’habitude", part_per(*usual_per_mille));
            row("contrôles concernés", checks.to_string());
            row("heures concernées", hours.to_string());
            if let Some(offset) = clock_offset_us {
                row("horloge", format!("{} ± {}", more(*offset), ms(*clock_uncertainty_us)));
            }
        }
        Evidence::CannotFail { assertion, accepted_statuses, runs, watched_us, .. } => {
            if !assertion.is_empty() {
                row("assertion", assertion.clone());
            }
            if !accepted_statuses.is_empty() {
                let list: Vec<String> = accepted_statuses.iter().map(u16::to_string).collect();
                row("statuts pris pour bons", list.join(", "));
            }
            if *runs > 0 {
                row("exécutions, toutes réussies", count(*runs));
                row("en", length(*watched_us, "j"));
            }
        }
        Evidence::CoverageGap { gaps, agents, voters, regions, quorum_agents } => {
            for one in gaps {
                row("manque", gap(*one).to_owned());
            }
            row("agents affectés", agents.to_string());
            row("agents qui comptent", voters.to_string());
            row("régions de ceux-là", regions.to_string());
            if *quorum_agents > 0 {
                row("le quorum en demande", quorum_agents.to_string());
            }
        }
    }
    rows
}

//! The words of incidents.

use std::collections::BTreeMap;

use sitepulse_daemon::instant;
use sitepulse_model::time::UtcMicros;

use super::cause;
use super::playbooks::moment;
use crate::present::dto::incidents::{EntryView, StepView};

/// Every text about incidents.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct IncidentTexts {
    pub incidents: &'static str,
    pub incident: &'static str,
    pub none: &'static str,
    /// By the word of the JSON, which is given back where it is none of them.
    pub kind: fn(&str) -> String,
    pub state: fn(&str) -> String,
    pub severity: fn(&str) -> String,
    /// What pages wait for.
    pub held: fn(&str) -> String,
    pub flapping: &'static str,
    pub reopened: fn(u32) -> String,
    /// An entry of the history as a sentence.
    pub entry: fn(&EntryView) -> String,
    /// Who wrote an entry.
    pub author: fn(&str) -> String,
    pub since: &'static str,
    pub opened: &'static str,
    pub acknowledged: &'static str,
    pub resolved: &'static str,
    pub lasted: &'static str,
    pub assignee: &'static str,
    pub nobody: &'static str,
    pub post_mortem: &'static str,
    pub history: &'static str,
    pub messages: &'static str,
    pub evidence: &'static str,
    /// What the protocol told: so many facts.
    pub told: fn(usize) -> String,
    pub intact: fn(u64) -> String,
    /// Of the page behind an acknowledge link.
    pub acknowledge: &'static str,
    pub acknowledge_what: &'static str,
    pub acknowledge_done: &'static str,
    pub acknowledge_was: fn(&str) -> String,
    pub acknowledge_over: &'static str,
    pub acknowledge_dead: &'static str,
    pub acknowledge_later: &'static str,
    pub check: &'static str,
    pub agent: &'static str,
}

/// The one of a list of (word, text) that a word has, else the word.
fn of(word: &str, texts: &[(&str, &str)]) -> String {
    texts.iter().find(|(known, _)| *known == word).map_or(word, |(_, text)| text).to_owned()
}

/// A name as people say it: `collector:ana` is ana.
fn person(name: &str) -> &str {
    name.strip_prefix("collector:").unwrap_or(name)
}

fn names<'a>(channels: impl Iterator<Item = &'a String>) -> String {
    channels.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The channels that a step went out by at once.
fn told_now(step: &StepView) -> Vec<&str> {
    step.channels.iter().filter(|channel| !step.held.contains_key(*channel)).map(String::as_str).collect()
}

/// The channels whose message quiet hours hold back, by the minute until when.
fn waiting(step: &StepView) -> BTreeMap<String, Vec<&str>> {
    let mut waiting: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (channel, until) in &step.held {
        let until = instant::parse(until, UtcMicros(0)).map_or_else(|_| until.clone(), |until| moment(until.0));
        waiting.entry(until).or_default().push(channel);
    }
    waiting
}

fn step_en(step: &StepView) -> String {
    let mut parts = Vec::new();
    match told_now(step).as_slice() {
        [] if step.channels.is_empty() => parts.push("nobody was reached".to_owned()),
        [] => {}
        channels => parts.push(format!("told {}", channels.join(", "))),
    }
    parts.extend(waiting(step).iter().map(|(until, channels)| format!("waits until {until}: {}", channels.join(", "))));
    if !step.withdrawn.is_empty() {
        parts.push(format!("taken back: {}", names(step.withdrawn.keys())));
    }
    let level = step.level.map_or_else(String::new, |level| match step.round {
        0 | 1 => format!(", level {level}"),
        round => format!(", level {level}, round {round}"),
    });
    parts.extend(step.unreached.iter().map(|why| format!("not told: {why}")));
    format!("Step {} ({}{level}): {}", step.number, step.event, parts.join("; "))
}

fn step_fr(step: &StepView) -> String {
    let event = of(
        &step.event,
        &[
            ("opened", "ouverture"),
            ("escalated", "escalade"),
            ("acknowledged", "prise en charge"),
            ("resolved", "résolution"),
        ],
    );
    let mut parts = Vec::new();
    match told_now(step).as_slice() {
        [] if step.channels.is_empty() => parts.push("personne n’a été joint".to_owned()),
        [] => {}
        channels => parts.push(format!("prévenus : {}", channels.join(", "))),
    }
    parts.extend(
        waiting(step).iter().map(|(until, channels)| format!("attend jusqu’au {until} : {}", channels.join(", "))),
    );
    if !step.withdrawn.is_empty() {
        parts.push(format!("retirés : {}", names(step.withdrawn.keys())));
    }
    let level = step.level.map_or_else(String::new, |level| match step.round {
        0 | 1 => format!(", niveau {level}"),
        round => format!(", niveau {level}, tour {round}"),
    });
    parts.extend(step.unreached.iter().map(|why| format!("non prévenu : {}", (cause::FR.unreached)(why))));
    format!("Étape {} ({event}{level}) : {}", step.number, parts.join(" ; "))
}

fn entry_en(entry: &EntryView) -> String {
    let text = entry.text.as_deref();
    let by = |what: &str| {
        entry.by.as_ref().map_or_else(|| format!("{what} by the evidence"), |by| format!("{what} by {}", person(by)))
    };
    match entry.action.as_str() {
        "opened" => format!("Opened, {}", entry.severity.as_deref().unwrap_or_default()),
        "reopened" => by("Opened again"),
        "severity" => format!("Got worse: {}", entry.severity.as_deref().unwrap_or_default()),
        "flapping" => "Flaps: it stays open and pages once".into(),
        "settled" => "Flaps no more".into(),
        "held" => format!("Pages wait: {}", (EN.held)(entry.reason.as_deref().unwrap_or_default())),
        "released" => "Pages wait no more".into(),
        "acknowledged" => by("Acknowledged"),
        "acknowledgement_expired" => "The acknowledgement's pause is over: the ladder goes on".into(),
        "resolved" => by("Resolved"),
        "step" => entry.step.as_ref().map(step_en).unwrap_or_default(),
        "let_through" => format!("Too severe for quiet hours to hold back: told {}", text.unwrap_or_default()),
        "message_cancelled" => {
            let (step, channel) = (entry.of_step.unwrap_or_default(), text.unwrap_or_default());
            format!("Message of step {step} to {channel} taken back: it is not sent")
        }
        "message_taken_up" => {
            let (step, channel) = (entry.of_step.unwrap_or_default(), text.unwrap_or_default());
            format!("Message of step {step} to {channel} taken up again")
        }
        "evidence" => "Evidence kept".into(),
        "comment" => text.unwrap_or_default().to_owned(),
        "public_note" => format!("Published: {}", text.unwrap_or_default()),
        "assigned" => text.map_or_else(|| "Assigned to nobody".into(), |to| format!("Assigned to {to}")),
        "post_mortem" => "Post-mortem written".into(),
        _ => "This row cannot be read: it was damaged or changed".into(),
    }
}

fn entry_fr(entry: &EntryView) -> String {
    let text = entry.text.as_deref();
    let by = |what: &str| {
        entry
            .by
            .as_ref()
            .map_or_else(|| format!("{what} d’après les mesures"), |by| format!("{what} par {}", person(by)))
    };
    let severity = || (FR.severity)(entry.severity.as_deref().unwrap_or_default());
    match entry.action.as_str() {
        "opened" => format!("Ouvert, {}", severity()),
        "reopened" => by("Rouvert"),
        "severity" => format!("Aggravé : {}", severity()),
        "flapping" => "Instable : reste ouvert et n’alerte qu’une fois".into(),
        "settled" => "N’est plus instable".into(),
        "held" => format!("Alertes retenues : {}", (FR.held)(entry.reason.as_deref().unwrap_or_default())),
        "released" => "Alertes libérées".into(),
        "acknowledged" => by("Pris en charge"),
        "acknowledgement_expired" => "La pause de la prise en charge est finie : l’escalade reprend".into(),
        "resolved" => by("Résolu"),
        "step" => entry.step.as_ref().map(step_fr).unwrap_or_default(),
        "let_through" => format!("Trop grave pour les heures de repos : prévenu {}", text.unwrap_or_default()),
        "message_cancelled" => {
            let (step, channel) = (entry.of_step.unwrap_or_default(), text.unwrap_or_default());
            format!("Message de l’étape {step} à {channel} retiré : il n’est pas envoyé")
        }
        "message_taken_up" => {
            let (step, channel) = (entry.of_step.unwrap_or_default(), text.unwrap_or_default());
            format!("Message de l’étape {step} à {channel} repris")
        }
        "evidence" => "Preuves conservées".into(),
        "comment" => text.unwrap_or_default().to_owned(),
        "public_note" => format!("Publié : {}", text.unwrap_or_default()),
        "assigned" => text.map_or_else(|| "Attribué à personne".into(), |to| format!("Attribué à {to}")),
        "post_mortem" => "Post-mortem rédigé".into(),
        _ => "Cette ligne est illisible : elle a été abîmée ou modifiée".into(),
    }
}

/// English.
pub static EN: IncidentTexts = IncidentTexts {
    incidents: "Incidents",
    incident: "Incident",
    none: "No incident is open.",
    kind: |word| {
        of(
            word,
            &[
                ("agent_silent", "agent silent"),
                ("certificate", "certificate expires"),
                ("web_vitals", "web vitals"),
                ("slo_burn", "error budget burns"),
            ],
        )
    },
    state: str::to_owned,
    severity: str::to_owned,
    held: |word| of(word, &[("maintenance", "maintenance"), ("silence", "silenced"), ("parent", "a parent is down")]),
    flapping: "flapping",
    reopened: |n| if n == 1 { "opened again once".into() } else { format!("opened again {n} times") },
    entry: entry_en,
    author: |author| of(author, &[("evidence", "evidence")]),
    since: "Since",
    opened: "Opened",
    acknowledged: "Acknowledged",
    resolved: "Resolved",
    lasted: "Lasted",
    assignee: "Assignee",
    nobody: "nobody",
    post_mortem: "Post-mortem",
    history: "History",
    messages: "Messages",
    evidence: "Evidence",
    told: |count| format!("What the protocol told ({count})"),
    intact: |n| format!("All {n} entries are as they were written."),
    acknowledge: "Acknowledge",
    acknowledge_what: "Whoever acknowledges takes the incident: nobody else is paged for now.",
    acknowledge_done: "It is yours: the escalation pauses.",
    acknowledge_was: |by| format!("{by} has it already."),
    acknowledge_over: "The incident is over: there is nothing to acknowledge.",
    acknowledge_dead: "This link does not work, or no longer.",
    acknowledge_later: "The collector could not write it down. Try again in a moment.",
    check: "Check",
    agent: "Agent",
};

/// French.
pub static FR: IncidentTexts = IncidentTexts {
    incidents: "Incidents",
    incident: "Incident",
    none: "Aucun incident n’est ouvert.",
    kind: |word| {
        of(
            word,
            &[
                ("down", "en panne"),
                ("regional", "régional"),
                ("degraded", "dégradé"),
                ("agent_silent", "agent muet"),
                ("certificate", "certificat expirant"),
                ("web_vitals", "signaux web"),
                ("slo_burn", "budget d’erreur consommé"),
                ("manual", "manuel"),
            ],
        )
    },
    state: |word| {
        of(
            word,
            &[
                ("suspected", "suspecté"),
                ("open", "ouvert"),
                ("acknowledged", "pris en charge"),
                ("resolved", "résolu"),
            ],
        )
    },
    severity: |word| {
        of(word, &[("critical", "critique"), ("major", "majeur"), ("minor", "mineur"), ("info", "information")])
    },
    held: |word| {
        of(word, &[("maintenance", "maintenance"), ("silence", "mis en silence"), ("parent", "un parent est en panne")])
    },
    flapping: "instable",
    reopened: |n| if n == 1 { "rouvert une fois".into() } else { format!("rouvert {n} fois") },
    entry: entry_fr,
    author: |author| of(author, &[("evidence", "mesures")]),
    since: "Depuis",
    opened: "Ouvert",
    acknowledged: "Pris en charge",
    resolved: "Résolu",
    lasted: "Durée",
    assignee: "Attribué à",
    nobody: "personne",
    post_mortem: "Post-mortem",
    history: "Historique",
    messages: "Messages",
    evidence: "Preuves",
    told: |count| format!("Ce qu’a dit le protocole ({count})"),
    intact: |n| format!("Les {n} entrées sont telles qu’elles ont été écrites."),
    acknowledge: "Prendre en charge",
    acknowledge_what: "Qui prend en charge l’incident s’en occupe : personne d’autre n’est alerté pour l’instant.",
    acknowledge_done: "Il est à vous : l’escalade est en pause.",
    acknowledge_was: |by| format!("{by} s’en occupe déjà."),
    acknowledge_over: "L’incident est terminé : il n’y a plus rien à prendre en charge.",
    acknowledge_dead: "Ce lien ne fonctionne pas, ou plus.",
    acknowledge_later: "Le collecteur n’a pas pu l’enregistrer. Réessayez dans un instant.",
    check: "Contrôle",
    agent: "Agent",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_who_is_told_later_and_which_messages_were_taken_back() {
        let names = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let mut step = StepView {
            number: 3,
            event: "escalated".into(),
            level: Some(2),
            round: 1,
            channels: names(&["ana-phone", "ops-hook"]),
            unreached: Vec::new(),
            held: BTreeMap::from([("ana-phone".into(), "2026-09-22T07:00:00Z".into())]),
            withdrawn: BTreeMap::new(),
        };
        assert_eq!(
            step_en(&step),
            "Step 3 (escalated, level 2): told ops-hook; waits until 2026-09-22 07:00 UTC: ana-phone"
        );
        assert_eq!(
            step_fr(&step),
            "Étape 3 (escalade, niveau 2)\u{a0}: prévenus\u{a0}: ops-hook\u{a0}; attend jusqu’au 2026-09-22 07:00 UTC\u{a0}: ana-phone"
        );
        step.channels = names(&["ana-phone"]);
        assert_eq!(step_en(&step), "Step 3 (escalated, level 2): waits until 2026-09-22 07:00 UTC: ana-phone");
        (step.event, step.level, step.channels) = ("resolved".into(), None, names(&["ops-hook"]));
        (step.held, step.withdrawn) = (BTreeMap::new(), BTreeMap::from([("ana-phone".into(), 2)]));
        assert_eq!(step_en(&step), "Step 3 (resolved): told ops-hook; taken back: ana-phone");
        assert_eq!(
            step_fr(&step),
            "Étape 3 (résolution)\u{a0}: prévenus\u{a0}: ops-hook\u{a0}; retirés\u{a0}: ana-phone"
        );
        step.channels = Vec::new();
        assert_eq!(step_en(&step), "Step 3 (resolved): nobody was reached; taken back: ana-phone");
    }
}

//! The words of jobs.

use sitepulse_model::job::State;

use super::refusals;
use crate::jobs::said::{AgentSaid, How};
use crate::jobs::{Kind, Said};

/// Every text about jobs.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct JobTexts {
    pub title: &'static str,
    pub what: &'static str,
    pub none: &'static str,
    pub job: &'static str,
    pub state: &'static str,
    pub any_state: &'static str,
    pub kind: &'static str,
    pub any_kind: &'static str,
    pub priority: &'static str,
    pub progress: &'static str,
    pub asked: &'static str,
    pub asked_by: fn(&str) -> String,
    pub due: &'static str,
    pub deadline: &'static str,
    pub started: &'static str,
    pub ended: &'static str,
    pub tries: &'static str,
    /// So many of so many; of a message none is the most.
    pub tries_of: fn(u32, Option<u32>) -> String,
    pub took: &'static str,
    pub result: &'static str,
    pub told: &'static str,
    pub file: &'static str,
    pub log: &'static str,
    pub no_log: &'static str,
    pub cancel: &'static str,
    pub retry: &'static str,
    pub set_priority: &'static str,
    pub late: &'static str,
    pub cancelling: &'static str,
    pub ask: &'static str,
    pub ask_what: &'static str,
    pub backup: &'static str,
    pub export: &'static str,
    pub run_group: &'static str,
    pub vitals_group: &'static str,
    pub group: &'static str,
    pub waiting: &'static str,
    pub running: &'static str,
    pub overdue: &'static str,
    pub failed: &'static str,
    pub wait_p95: &'static str,
    pub messages: &'static str,
    /// How many messages wait, and how many were given up.
    pub messages_are: fn(u64, u64) -> String,
    pub of_7_days: &'static str,
    pub older: &'static str,
    pub newest: &'static str,
    pub back: &'static str,
    pub word: fn(State) -> &'static str,
    pub kind_word: fn(Kind) -> &'static str,
    /// What a job said.
    pub said: fn(&Said) -> String,
    /// The same where it has no code: refusals have French words, the rest stays as it is.
    pub plain: fn(&str) -> String,
    /// An attempt to deliver a message (`None`: it is tried again), and what the provider said.
    pub attempt: fn(Option<bool>, &str) -> String,
    /// Why there is no other priority.
    pub pages_first: &'static str,
    pub incident: &'static str,
    pub channel: &'static str,
}

/// Before the name of what acts on this machine.
const OWN: &str = "collector:";

/// English.
pub static EN: JobTexts = JobTexts {
    title: "Jobs",
    what: "Work that is done beside answering: it waits for its turn by priority, is tried again when it fails, and is resumed after a restart.",
    none: "No such jobs",
    job: "Job",
    state: "State",
    any_state: "All states",
    kind: "Kind",
    any_kind: "All kinds",
    priority: "Priority",
    progress: "Progress",
    asked: "Asked for",
    asked_by: |who| format!("by {who}"),
    due: "Due",
    deadline: "Deadline",
    started: "Started",
    ended: "Ended",
    tries: "Attempts",
    tries_of: |tries, max| match max {
        Some(max) => format!("{tries} of {max}"),
        None => format!("{tries}, for 24 h at most"),
    },
    took: "Took",
    result: "Result",
    told: "Arguments",
    file: "File",
    log: "Log",
    no_log: "Nothing was logged",
    cancel: "Cancel",
    retry: "Try again",
    set_priority: "Set priority",
    late: "late",
    cancelling: "ending",
    ask: "Ask for a job",
    ask_what: "Where one for the same thing waits or runs already, that one does it.",
    backup: "Back up now",
    export: "Export all records",
    run_group: "Run a group’s checks now",
    vitals_group: "Load a group’s pages now",
    group: "Group",
    waiting: "Waiting",
    running: "Running",
    overdue: "Late",
    failed: "Failed",
    wait_p95: "Wait, p95",
    messages: "Messages about incidents",
    messages_are: |waiting, failed| format!("{waiting} waiting, {failed} given up"),
    of_7_days: "in 7 days, not done since",
    older: "Older",
    newest: "Newest",
    back: "All jobs",
    word: |state| match state {
        State::Waiting => "waiting",
        State::Running => "running",
        State::Done => "done",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    },
    kind_word: |kind| match kind {
        Kind::Seal => "Seal results",
        Kind::Retention => "Let old data go",
        Kind::Insights => "Look for findings",
        Kind::Impact => "Write scores down",
        Kind::Backup => "Backup",
        Kind::Export => "Export",
        Kind::SlaReport => "Store an SLA report",
        Kind::RunChecks => "Run checks",
        Kind::VitalsBatch => "Load pages",
        Kind::Noop => "Nothing, as a test",
        Kind::Notification => "Message about an incident",
    },
    said: Said::to_string,
    plain: str::to_owned,
    attempt: |delivered, note| {
        let what = match delivered {
            Some(true) => "delivered",
            Some(false) => "given up",
            None => "not delivered, tried again",
        };
        if note.is_empty() { what.to_owned() } else { format!("{what}: {note}") }
    },
    pages_first: "Messages about incidents always go first.",
    incident: "Incident",
    channel: "Channel",
};

/// French.
pub static FR: JobTexts = JobTexts {
    title: "Tâches",
    what: "Le travail fait en arrière-plan : il attend son tour par priorité, est réessayé en cas d’échec et reprend après un redémarrage.",
    none: "Aucune tâche de ce type",
    job: "Tâche",
    state: "État",
    any_state: "Tous les états",
    kind: "Type",
    any_kind: "Tous les types",
    priority: "Priorité",
    progress: "Avancement",
    asked: "Demandée",
    asked_by: |who| format!("par {who}"),
    due: "Prévue",
    deadline: "Échéance",
    started: "Commencée",
    ended: "Terminée",
    tries: "Tentatives",
    tries_of: |tries, max| match max {
        Some(max) => format!("{tries} sur {max}"),
        None => format!("{tries}, pendant 24 h au plus"),
    },
    took: "Durée",
    result: "Résultat",
    told: "Paramètres",
    file: "Fichier",
    log: "Journal",
    no_log: "Rien n’a été journalisé",
    cancel: "Annuler",
    retry: "Réessayer",
    set_priority: "Changer la priorité",
    late: "en retard",
    cancelling: "s’arrête",
    ask: "Demander une tâche",
    ask_what: "Si une tâche pour la même chose attend ou tourne déjà, c’est elle qui la fait.",
    backup: "Sauvegarder maintenant",
    export: "Exporter tous les enregistrements",
    run_group: "Exécuter les contrôles d’un groupe",
    vitals_group: "Charger les pages d’un groupe",
    group: "Groupe",
    waiting: "En attente",
    running: "En cours",
    overdue: "En retard",
    failed: "Échouées",
    wait_p95: "Attente, p95",
    messages: "Messages d’incident",
    messages_are: |waiting, failed| format!("{waiting} en attente, {failed} abandonnés"),
    of_7_days: "en 7 jours, pas refaites depuis",
    older: "Plus anciennes",
    newest: "Plus récentes",
    back: "Toutes les tâches",
    word: |state| match state {
        State::Waiting => "en attente",
        State::Running => "en cours",
        State::Done => "faite",
        State::Failed => "échouée",
        State::Cancelled => "annulée",
    },
    kind_word: |kind| match kind {
        Kind::Seal => "Sceller les résultats",
        Kind::Retention => "Supprimer les données anciennes",
        Kind::Insights => "Chercher des constats",
        Kind::Impact => "Consigner les scores",
        Kind::Backup => "Sauvegarde",
        Kind::Export => "Export",
        Kind::SlaReport => "Conserver un rapport SLA",
        Kind::RunChecks => "Exécuter des contrôles",
        Kind::VitalsBatch => "Charger des pages",
        Kind::Noop => "Rien, pour essai",
        Kind::Notification => "Message d’incident",
    },
    said: said_fr,
    plain: plain_fr,
    attempt: |delivered, note| {
        let what = match delivered {
            Some(true) => "remis",
            Some(false) => "abandonné",
            None => "non remis, sera réessayé",
        };
        if note.is_empty() { what.to_owned() } else { format!("{what} : {note}") }
    },
    pages_first: "Les messages d’incident passent toujours en premier.",
    incident: "Incident",
    channel: "Canal",
};

fn said_fr(said: &Said) -> String {
    let person = |by: &str| by.strip_prefix(OWN).unwrap_or(by).to_owned();
    // Zero and one are singular.
    let s = |count: u64| if count < 2 { "" } else { "s" };
    match said {
        Said::Sealed { records } => format!("{records} résultat{0} scellé{0}", s(*records)),
        Said::Merged { done, of } => format!("{done} paires fusionnées sur {of}"),
        Said::Looking { looks, left } => format!("{looks} examens, {left} à venir"),
        Said::Looked { looks, opened, closed } => {
            format!("{looks} examens, {opened} constat{0} ouvert{0}, {closed} fermé{1}", s(*opened), s(*closed))
        }
        Said::Writing { done, of } => format!("{done} scores sur {of}"),
        Said::Written { scores, hour } => format!("{scores} score{0} de {hour}", s(*scores)),
        Said::Copied { mib, of } => format!("{mib} Mio sur {of}"),
        Said::BackedUp { records, kib } => {
            format!("{records} enregistrements, {kib} Kio ; la clé de scellement n’y est pas")
        }
        Said::Checks { done, of } => format!("{done} contrôles sur {of}"),
        Said::Exported { records, checks, damaged: 0 } => format!("{records} enregistrements de {checks} contrôles"),
        Said::Exported { records, checks, damaged } => {
            format!("{records} enregistrements de {checks} contrôles ; {damaged} sont abîmés et n’y figurent pas")
        }
        Said::FilesGone { gone, kept } => {
            format!("{gone} fichier{0} plus ancien{0} supprimé{0} : les {kept} plus récents sont gardés", s(*gone))
        }
        Said::MadeBefore => "fait par un essai précédent".into(),
        Said::Ran { checks, up, not_up, not_run } => {
            format!("{checks} contrôle{} : {up} en service, {not_up} non, {not_run} sans exécution", s(*checks))
        }
        Said::Idle { ms, of } => format!("{ms} ms sur {of}"),
        Said::Report { name, checks } => format!("le rapport {name} de {checks} contrôles est conservé"),
        Said::ReportBefore { name } => format!("le rapport {name} a été conservé par un essai précédent"),
        Said::Cancelled { by } => format!("annulée par {}", person(by)),
        Said::TakenUp { by } => format!("reprise par {}", person(by)),
        Said::Priority { priority, by } => format!("priorité {priority} par {}", person(by)),
        Said::Again { at, why } => {
            let why = Said::of(why).map_or_else(|| plain_fr(why), |said| said_fr(&said));
            format!("nouvel essai le {at} : {why}")
        }
        Said::Interrupted => "interrompue : le collecteur s’est arrêté pendant qu’elle tournait".into(),
        Said::Died { held: None, .. } => "interrompue : le collecteur est mort pendant qu’elle tournait".into(),
        Said::Died { deaths, held: Some(held) } => {
            format!(
                "interrompue : le collecteur est mort {deaths} fois de suite pendant qu’elle tournait ; elle est retenue jusqu’au {held}"
            )
        }
        Said::Deadly { deaths } => format!(
            "abandonnée : le collecteur est mort {deaths} fois de suite pendant qu’elle tournait ; voyez son journal et celui du noyau (mémoire épuisée ?), puis réessayez"
        ),
        Said::GoesOn { after } => format!("reprend après {after}"),
        Said::TooLong { seconds } => format!("elle a duré plus de {seconds} s et a été arrêtée"),
        Said::More => "et d’autres lignes, qui ne sont pas gardées".into(),
        Said::Panicked => "erreur interne : elle s’est effondrée, voyez le journal du collecteur".into(),
        Said::NotStopped => "erreur interne : elle s’est arrêtée sans qu’on le lui demande".into(),
        Said::Unreadable { why } => format!("sa ligne est illisible : {why} ; redemandez-la"),
        Said::Nonsense { why } => format!("ses paramètres n’ont pas de sens : {why}"),
        Said::NoCheck => "aucun contrôle exécuté par des agents ne convient".into(),
        Said::NoSuchCheck { check } => format!("il n’y a pas de contrôle {check}"),
        Said::NoModel { label } => format!("le modèle de score {label} n’existe plus"),
        Said::NotHere => "personne ici ne sait la faire".into(),
        Said::ToldToFail { attempt } => format!("l’essai {attempt} devait échouer"),
        Said::Agents { check, runs } => {
            let one = |AgentSaid { agent, how, why }: &AgentSaid| {
                let word = match how {
                    How::Up => "en service",
                    How::Degraded => "dégradé",
                    How::Down => "en panne",
                    How::Unknown => "inconnu",
                    How::Refused => "refusé",
                    How::NotConnected => "non connecté",
                    How::NoAnswer => "sans réponse",
                };
                let why = if why.is_empty() { String::new() } else { format!(" (« {why} »)") };
                format!("{agent} {word}{why}")
            };
            format!("{check} : {}", runs.iter().map(one).collect::<Vec<_>>().join(" ; "))
        }
        Said::NoAgent { check } => format!("{check} : aucun agent ne l’exécute"),
        Said::TakenBack => "retiré avant son envoi : le journal d’audit dit par qui".into(),
    }
}

fn plain_fr(text: &str) -> String {
    refusals::french(text).unwrap_or_else(|| text.to_owned())
}

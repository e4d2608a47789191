//! The words of playbooks and their runs. What a playbook says is written in it.

use sitepulse_daemon::instant;
use sitepulse_model::duration;
use sitepulse_model::playbook::condition::{Condition, Seen};
use sitepulse_model::time::UtcMicros;

use crate::present::figure;

/// Every text about playbooks.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct PlaybookTexts {
    pub title: &'static str,
    pub what: &'static str,
    pub playbook: &'static str,
    pub playbooks: fn(usize) -> String,
    pub library: &'static str,
    pub built_in: &'static str,
    pub version: fn(&str) -> String,
    pub own_how: &'static str,
    pub is_for: &'static str,
    pub steps: &'static str,
    pub step_count: fn(u64) -> String,
    pub minutes: fn(u64) -> String,
    pub estimate: &'static str,
    pub completion: &'static str,
    pub median: &'static str,
    pub against: fn(&str) -> String,
    pub no_runs: &'static str,
    pub runs: &'static str,
    pub run: &'static str,
    pub runs_of: fn(u64) -> String,
    pub running_now: &'static str,
    pub recent: &'static str,
    pub none_running: &'static str,
    pub by_team: &'static str,
    pub by_team_what: &'static str,
    pub team: &'static str,
    pub no_team: &'static str,
    pub by_playbook: &'static str,
    /// How many runs were carried through, of those that ended.
    pub carried: fn(u64, u64) -> String,
    pub by_person: &'static str,
    pub by_person_what: &'static str,
    pub person: &'static str,
    pub period: &'static str,
    pub rates_what: &'static str,
    /// `running`, `finished`, `abandoned`.
    pub state: fn(&str) -> &'static str,
    pub started: &'static str,
    pub started_by: fn(&str) -> String,
    pub took: &'static str,
    pub of_estimate: fn(&str, u32) -> String,
    pub progress: fn(u64, u64) -> String,
    pub about: fn(&str) -> &'static str,
    pub open_it: &'static str,
    pub go_on: &'static str,
    pub start: &'static str,
    pub offered: &'static str,
    pub offered_what: &'static str,
    pub others: fn(usize) -> String,
    pub done: &'static str,
    pub open_step: &'static str,
    pub skipped: &'static str,
    pub waits: fn(&str) -> String,
    pub by_itself: &'static str,
    pub tick: &'static str,
    pub skip: &'static str,
    pub reason: &'static str,
    pub reason_hint: &'static str,
    pub undo: &'static str,
    pub command: &'static str,
    pub fill_in: fn(&str) -> String,
    pub look_there: &'static str,
    pub note: &'static str,
    pub note_hint: &'static str,
    pub write_note: &'static str,
    pub finish: &'static str,
    pub finish_when: fn(u64) -> String,
    pub abandon: &'static str,
    pub history: &'static str,
    /// What happened: `done`, ..., and the step's title.
    pub entry: fn(&str, &str) -> String,
    pub nobody: &'static str,
    /// Why a run is abandoned that nobody abandoned.
    pub idle: &'static str,
    /// What a condition waits for.
    pub condition: fn(&Condition) -> String,
    /// What was seen.
    pub seen: fn(&Seen) -> String,
    pub is_for_kinds: &'static str,
    pub exercise: &'static str,
    pub no_such: &'static str,
    pub exercise_what: &'static str,
}

fn length(us: u64) -> String {
    duration::format(us)
}

/// To the minute: `2027-02-01 12:00 UTC`.
pub(super) fn moment(us: i64) -> String {
    let minute = UtcMicros(us - us.rem_euclid(60_000_000));
    instant::format(minute).replace('T', " ").replace(":00Z", " UTC")
}

fn seconds(us: u64) -> String {
    figure::latency(us as f64 / 1e6)
}

fn weight(thousandths: u32) -> String {
    format!("{}", f64::from(thousandths) / 1_000.0)
}

/// English.
pub static EN: PlaybookTexts = PlaybookTexts {
    title: "Playbooks",
    what: "What to do about a kind of incident or finding, step by step. Steps tick themselves where the evidence shows that they are done.",
    playbook: "Playbook",
    playbooks: |n| if n == 1 { "1 playbook".into() } else { format!("{n} playbooks") },
    library: "Library",
    built_in: "built in",
    version: |version| format!("version {version}"),
    own_how: "Write your own as [[playbook]] in a check file and apply it: it comes before the built-in ones of its kind.",
    is_for: "For",
    steps: "Steps",
    step_count: |n| if n == 1 { "1 step".into() } else { format!("{n} steps") },
    minutes: |n| format!("{n} min"),
    estimate: "Estimate",
    completion: "Carried through",
    median: "Median duration",
    against: |ratio| format!("{ratio}× the estimate"),
    no_runs: "no run yet",
    runs: "Runs",
    run: "Run",
    runs_of: |n| if n == 1 { "1 run".into() } else { format!("{n} runs") },
    running_now: "Under way",
    recent: "Newest runs",
    none_running: "No playbook is under way.",
    by_team: "By team",
    by_team_what: "Runs count for the team of who started them, as it was then (team in [[user]]).",
    team: "Team",
    no_team: "no team",
    by_playbook: "By playbook",
    carried: |finished, ended| format!("{finished} of {ended} carried through"),
    by_person: "By person",
    by_person_what: "Runs count for who started them.",
    person: "Person",
    period: "last 90 days",
    rates_what: "Carried through = finished / (finished + abandoned); a run under way counts neither way. The duration is from the start to the last mark, the median of the finished runs.",
    state: |state| match state {
        "finished" => "finished",
        "abandoned" => "abandoned",
        _ => "under way",
    },
    started: "Started",
    started_by: |who| format!("started by {who}"),
    took: "Took",
    of_estimate: |took, minutes| format!("{took} of {minutes} min"),
    progress: |done, of| format!("{done} of {of} steps"),
    about: |about| match about {
        "incident" => "Incident",
        "finding" => "Finding",
        _ => "Check",
    },
    open_it: "Open the run",
    go_on: "Go on",
    start: "Start",
    offered: "What to do",
    offered_what: "The playbook that fits best. Starting one records who did what, and when.",
    others: |n| if n == 1 { "1 other fits too".into() } else { format!("{n} others fit too") },
    done: "done",
    open_step: "to do",
    skipped: "skipped",
    waits: |what| format!("ticks itself when {what}"),
    by_itself: "by itself",
    tick: "Done",
    skip: "Skip",
    reason: "Why",
    reason_hint: "One line",
    undo: "Take back",
    command: "Command",
    fill_in: |names| format!("to be filled in by you: {names}"),
    look_there: "Look there",
    note: "Note",
    note_hint: "What was seen, tried, decided",
    write_note: "Write down",
    finish: "Finish",
    finish_when: |n| {
        if n == 1 {
            "1 step is open: do it or skip it first".into()
        } else {
            format!("{n} steps are open: do or skip them first")
        }
    },
    abandon: "Abandon",
    history: "What happened",
    entry: |what, step| match what {
        "done" => format!("done: {step}"),
        "skipped" => format!("skipped: {step}"),
        "undone" => format!("taken back: {step}"),
        "noted" => "note".into(),
        "finished" => "finished".into(),
        _ => "abandoned".into(),
    },
    nobody: "the evidence",
    idle: "nothing happened for 7 days",
    condition: |condition| match condition {
        Condition::CheckUp(0) => "the check is up".into(),
        Condition::CheckUp(us) => format!("the check has been up for {}", length(*us)),
        Condition::CertificateRenewed => "every voter sees a certificate that ends later".into(),
        Condition::CertificateValid(us) => format!("every voter sees a certificate valid for {}", length(*us)),
        Condition::DomainRenewed => "the registry tells a later end".into(),
        Condition::DomainValid(us) => format!("the registry tells an end {} ahead", length(*us)),
        Condition::IncidentAcknowledged => "somebody has taken the incident".into(),
        Condition::IncidentResolved => "the incident is over".into(),
        Condition::FindingClosed => "the finding is closed".into(),
        Condition::AgentConnected => "the agent is connected".into(),
        Condition::LatencyBelow(us) => format!("the p95 of new runs is below {}", seconds(*us)),
        Condition::SuspensionEnded => "nothing is suspended".into(),
        Condition::ClockBelow(us) => format!("the agent’s clock is off by less than {}", length(*us)),
        Condition::WeightChanged => "a weight is changed".into(),
        Condition::CheckChanged => "a new definition of the check is applied".into(),
        Condition::Voters(1) => "a live agent votes".into(),
        Condition::Voters(count) => format!("{count} live agents vote"),
    },
    seen: |seen| match seen {
        Seen::Up { since } => format!("up since {}", moment(*since)),
        Seen::Expires { at, before: Some(before) } => format!("ends {}, not {} any more", moment(*at), moment(*before)),
        Seen::Expires { at, before: None } => format!("ends {}", moment(*at)),
        Seen::Acknowledged => "the incident is taken".into(),
        Seen::Resolved => "the incident is over".into(),
        Seen::Closed => "the finding is closed".into(),
        Seen::Connected => "the agent is connected".into(),
        Seen::Latency { p95_us, runs } => format!("p95 {} over {runs} runs", seconds(*p95_us)),
        Seen::Running => "nothing is suspended".into(),
        Seen::Offset { us } => format!("clock offset {}", figure::offset(*us as f64 / 1e6)),
        Seen::Weight { from, to } => format!("weight {} → {}", weight(*from), weight(*to)),
        Seen::Revision { from, to } => format!("definition {from} → {to}"),
        Seen::Voters { count } => {
            if *count == 1 {
                "1 live voter".into()
            } else {
                format!("{count} live voters")
            }
        }
    },
    is_for_kinds: "Kinds",
    no_such: "No playbook is for this kind. Write one as [[playbook]].",
    exercise: "Exercise",
    exercise_what: "Try it on a check with nothing wrong.",
};

/// French.
pub static FR: PlaybookTexts = PlaybookTexts {
    title: "Procédures",
    what: "Que faire pour un type d’incident ou de constat, étape par étape. Les étapes se cochent seules quand les mesures montrent qu’elles sont faites.",
    playbook: "Procédure",
    playbooks: |n| if n == 1 { "1 procédure".into() } else { format!("{n} procédures") },
    library: "Bibliothèque",
    built_in: "intégrée",
    version: |version| format!("version {version}"),
    own_how: "Écrivez les vôtres en [[playbook]] dans un fichier de contrôles et appliquez-le : elles passent avant les intégrées du même type.",
    is_for: "Pour",
    steps: "Étapes",
    step_count: |n| if n == 1 { "1 étape".into() } else { format!("{n} étapes") },
    minutes: |n| format!("{n} min"),
    estimate: "Estimation",
    completion: "Menées à bien",
    median: "Durée médiane",
    against: |ratio| format!("{ratio}× l’estimation"),
    no_runs: "aucune exécution",
    runs: "Exécutions",
    run: "Exécution",
    runs_of: |n| if n == 1 { "1 exécution".into() } else { format!("{n} exécutions") },
    running_now: "En cours",
    recent: "Dernières exécutions",
    none_running: "Aucune procédure en cours.",
    by_team: "Par équipe",
    by_team_what: "Une exécution compte pour l’équipe, à ce moment-là, de la personne qui l’a lancée (team dans [[user]]).",
    team: "Équipe",
    no_team: "sans équipe",
    by_playbook: "Par procédure",
    carried: |finished, ended| format!("menées à bien : {finished} sur {ended}"),
    by_person: "Par personne",
    by_person_what: "Une exécution compte pour qui l’a lancée.",
    person: "Personne",
    period: "90 derniers jours",
    rates_what: "Menées à bien = terminées / (terminées + abandonnées) ; une exécution en cours ne compte pas. La durée va du lancement à la dernière coche, médiane des exécutions terminées.",
    state: |state| match state {
        "finished" => "terminée",
        "abandoned" => "abandonnée",
        _ => "en cours",
    },
    started: "Lancée",
    started_by: |who| format!("lancée par {who}"),
    took: "Durée",
    of_estimate: |took, minutes| format!("{took} sur {minutes} min"),
    progress: |done, of| format!("{done} étapes sur {of}"),
    about: |about| match about {
        "incident" => "Incident",
        "finding" => "Constat",
        _ => "Contrôle",
    },
    open_it: "Ouvrir l’exécution",
    go_on: "Continuer",
    start: "Lancer",
    offered: "Que faire",
    offered_what: "La procédure la mieux adaptée. La lancer consigne qui a fait quoi, et quand.",
    others: |n| if n == 1 { "1 autre convient aussi".into() } else { format!("{n} autres conviennent aussi") },
    done: "fait",
    open_step: "à faire",
    skipped: "passée",
    waits: |what| format!("se coche seule quand {what}"),
    by_itself: "d’elle-même",
    tick: "Fait",
    skip: "Passer",
    reason: "Pourquoi",
    reason_hint: "Une ligne",
    undo: "Annuler",
    command: "Commande",
    fill_in: |names| format!("à compléter par vous : {names}"),
    look_there: "Y regarder",
    note: "Note",
    note_hint: "Ce qui a été vu, essayé, décidé",
    write_note: "Noter",
    finish: "Terminer",
    finish_when: |n| {
        if n == 1 {
            "1 étape reste à faire : faites-la ou passez-la d’abord".into()
        } else {
            format!("{n} étapes restent à faire : faites-les ou passez-les d’abord")
        }
    },
    abandon: "Abandonner",
    history: "Ce qui s’est passé",
    entry: |what, step| match what {
        "done" => format!("fait : {step}"),
        "skipped" => format!("passée : {step}"),
        "undone" => format!("annulée : {step}"),
        "noted" => "note".into(),
        "finished" => "terminée".into(),
        _ => "abandonnée".into(),
    },
    nobody: "les mesures",
    idle: "rien ne s’est passé pendant 7 jours",
    condition: |condition| match condition {
        Condition::CheckUp(0) => "le contrôle est en service".into(),
        Condition::CheckUp(us) => format!("le contrôle est en service depuis {}", length(*us)),
        Condition::CertificateRenewed => "chaque votant voit un certificat qui finit plus tard".into(),
        Condition::CertificateValid(us) => format!("chaque votant voit un certificat valable {}", length(*us)),
        Condition::DomainRenewed => "le registre annonce une fin plus tardive".into(),
        Condition::DomainValid(us) => format!("le registre annonce une fin dans {}", length(*us)),
        Condition::IncidentAcknowledged => "quelqu’un a pris l’incident".into(),
        Condition::IncidentResolved => "l’incident est terminé".into(),
        Condition::FindingClosed => "le constat est fermé".into(),
        Condition::AgentConnected => "l’agent est connecté".into(),
        Condition::LatencyBelow(us) => {
            format!("le p95 des nouvelles exécutions passe sous {}", seconds(*us).replace('.', ","))
        }
        Condition::SuspensionEnded => "rien n’est suspendu".into(),
        Condition::ClockBelow(us) => format!("l’horloge de l’agent s’écarte de moins de {}", length(*us)),
        Condition::WeightChanged => "un poids est modifié".into(),
        Condition::CheckChanged => "une nouvelle définition du contrôle est appliquée".into(),
        Condition::Voters(1) => "un agent vivant vote".into(),
        Condition::Voters(count) => format!("{count} agents vivants votent"),
    },
    seen: |seen| match seen {
        Seen::Up { since } => format!("en service depuis {}", moment(*since)),
        Seen::Expires { at, before: Some(before) } => {
            format!("finit le {}, et non plus le {}", moment(*at), moment(*before))
        }
        Seen::Expires { at, before: None } => format!("finit le {}", moment(*at)),
        Seen::Acknowledged => "l’incident est pris".into(),
        Seen::Resolved => "l’incident est terminé".into(),
        Seen::Closed => "le constat est fermé".into(),
        Seen::Connected => "l’agent est connecté".into(),
        Seen::Latency { p95_us, runs } => format!("p95 {} sur {runs} exécutions", seconds(*p95_us).replace('.', ",")),
        Seen::Running => "rien n’est suspendu".into(),
        Seen::Offset { us } => format!("écart d’horloge {}", figure::offset(*us as f64 / 1e6).replace('.', ",")),
        Seen::Weight { from, to } => {
            format!("poids {} → {}", weight(*from).replace('.', ","), weight(*to).replace('.', ","))
        }
        Seen::Revision { from, to } => format!("définition {from} → {to}"),
        Seen::Voters { count } => {
            if *count == 1 {
                "1 votant".into()
            } else {
                format!("{count} votants")
            }
        }
    },
    is_for_kinds: "Types",
    no_such: "Aucune procédure pour ce type. Écrivez-en une en [[playbook]].",
    exercise: "Exercice",
    exercise_what: "L’essayer sur un contrôle sans problème.",
};

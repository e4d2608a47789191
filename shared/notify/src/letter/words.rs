//! The words of messages in English and French. A sentence with `{name}` is filled by [`fill`].

use sitepulse_model::incident::{IncidentKind, NoticeEvent, Severity};

/// One language's words.
pub(super) struct Words {
    pub(super) language: &'static str,
    pub(super) open_incident: &'static str,
    pub(super) acknowledge: &'static str,
    pub(super) somebody: &'static str,
    pub(super) test_subject: &'static str,
    pub(super) test_lead: &'static str,
    pub(super) since_lead: &'static str,
    pub(super) resolved_lead: &'static str,
    pub(super) resolved_by: &'static str,
    /// Of one, and of any other number.
    regions: [&'static str; 2],
    pub(super) regions_short: &'static str,
    pub(super) colon: &'static str,
    pub(super) more: &'static str,
    pub(super) step: &'static str,
    pub(super) flapping: &'static str,
    // Labels.
    pub(super) what: &'static str,
    pub(super) title: &'static str,
    pub(super) since: &'static str,
    pub(super) until: &'static str,
    pub(super) seen_from: &'static str,
    pub(super) region: &'static str,
    pub(super) why: &'static str,
    pub(super) found: &'static str,
    pub(super) severity_label: &'static str,
    pub(super) flapping_label: &'static str,
    pub(super) step_label: &'static str,
    pub(super) acknowledged_by: &'static str,
    pub(super) checks: &'static str,
    pub(super) incident: &'static str,
    pub(super) key: &'static str,
    // What was found: what is to come, and what is past.
    pub(super) certificate: [&'static str; 2],
    pub(super) domain: [&'static str; 2],
    pub(super) vital: &'static str,
    pub(super) vital_more: &'static str,
    pub(super) burn: &'static str,
    /// Of an objective that allows nothing.
    pub(super) burn_whole: &'static str,
    pub(super) budget_left: &'static str,
    pub(super) budget_none: &'static str,
    // The same in as few words as a text message has room for, after the name of what it is about.
    pub(super) certificate_short: [&'static str; 2],
    pub(super) domain_short: [&'static str; 2],
    pub(super) vital_short: &'static str,
    pub(super) burn_short: &'static str,
    pub(super) burn_whole_short: &'static str,
    pub(super) budget_left_short: &'static str,
    pub(super) budget_none_short: &'static str,
    /// A number of hundredths.
    pub(super) percent: &'static str,
    decimal: &'static str,
    /// Days, hours, minutes, seconds.
    units: [&'static str; 4],
    severities: [&'static str; 4],
    subjects: [&'static str; 4],
    troubles: fn(IncidentKind) -> (&'static str, &'static str),
    phases: [(&'static str, &'static str); 6],
    /// How the cause and the agent's line go together.
    pub(super) how: &'static str,
    /// Causes of the closed list; one that is not in here is told by its name.
    causes: &'static [(&'static str, &'static str)],
}

pub(super) const EN: Words = Words {
    language: "en",
    open_incident: "Open the incident",
    acknowledge: "Acknowledge",
    somebody: "somebody",
    test_subject: "Test from SitePulse",
    test_lead: "This channel works. Nothing is wrong, there is nothing to do.",
    since_lead: "Since {since} ({lasted})",
    resolved_lead: "It began {since} and lasted {took}.",
    resolved_by: "Resolved by {by}.",
    regions: ["{count} of {of} regions", "{count} of {of} regions"],
    regions_short: "regions",
    colon: ": ",
    more: "{count} more",
    step: "{step}: nobody has acknowledged it yet",
    flapping: "it opened and ended several times within a short while",
    what: "What",
    title: "Title",
    since: "Since",
    until: "Until",
    seen_from: "Seen from",
    region: "Region",
    why: "First failure",
    found: "Found",
    severity_label: "Severity",
    flapping_label: "Flapping",
    step_label: "Step",
    acknowledged_by: "Acknowledged by",
    checks: "Checks concerned",
    incident: "Incident",
    key: "Key",
    certificate: [
        "the certificate of {name} expires {at} (in {left})",
        "the certificate of {name} expired {at} ({left} ago)",
    ],
    domain: ["the registration of {name} ends {at} (in {left})", "the registration of {name} ended {at} ({left} ago)"],
    vital: "{vital} went from {baseline} to {median}{percent} on {profile}",
    vital_more: "; measures that got worse beside it: {count}",
    burn: "burn rate {rate} over {hours} h (told from {threshold} on)",
    burn_whole: "the objective allows no failure, and there was one in the last {hours} h",
    budget_left: "; {left} % of the error budget is left",
    budget_none: "; the error budget is used up",
    certificate_short: ["certificate expires {at} (in {left})", "certificate expired {at} ({left} ago)"],
    domain_short: ["domain ends {at} (in {left})", "domain ended {at} ({left} ago)"],
    vital_short: "{vital} {baseline} to {median}{percent}, {profile}",
    burn_short: "burn rate {rate} over {hours} h",
    burn_whole_short: "a failure where none is allowed",
    budget_left_short: ", {left} % of the budget left",
    budget_none_short: ", budget used up",
    percent: "{number} %",
    decimal: ".",
    units: ["d", "h", "min", "s"],
    severities: ["info", "minor", "major", "critical"],
    subjects: [
        "[{severity}] {sentence}",
        "[{severity}] still open: {sentence}",
        "Acknowledged by {by}: {sentence}",
        "Resolved after {took}: {sentence}",
    ],
    troubles: |kind| match kind {
        IncidentKind::Down => ("{what} is down", "{what} was down"),
        IncidentKind::Regional => ("{what} fails in some regions", "{what} failed in some regions"),
        IncidentKind::Degraded => ("{what} is degraded", "{what} was degraded"),
        IncidentKind::AgentSilent => ("agent {what} is silent", "agent {what} was silent"),
        IncidentKind::Certificate => {
            ("a certificate or domain of {what} expires soon", "a certificate or domain of {what} was about to expire")
        }
        IncidentKind::WebVitals => ("{what} got slower for visitors", "{what} was slower for visitors"),
        IncidentKind::SloBurn => ("{what} burns its error budget too fast", "{what} burned its error budget too fast"),
        IncidentKind::Manual => ("{what}", "{what}"),
    },
    phases: [
        ("dns", "name resolution"),
        ("connect", "connection"),
        ("tls", "TLS"),
        ("send", "sending"),
        ("first_byte", "first byte"),
        ("transfer", "transfer"),
    ],
    // The line says all of it, in the same language.
    how: "{line}",
    causes: &[],
};

pub(super) const FR: Words = Words {
    language: "fr",
    open_incident: "Ouvrir l'incident",
    acknowledge: "Prendre en charge",
    somebody: "quelqu'un",
    test_subject: "Essai de SitePulse",
    test_lead: "Ce canal fonctionne. Tout va bien, il n'y a rien à faire.",
    since_lead: "Depuis le {since} ({lasted})",
    resolved_lead: "Début le {since}, durée {took}.",
    resolved_by: "Résolu par {by}.",
    regions: ["{count} région sur {of}", "{count} régions sur {of}"],
    regions_short: "régions",
    colon: "\u{a0}: ",
    more: "{count} de plus",
    step: "{step}\u{a0}: personne ne l'a encore pris en charge",
    flapping: "ouvert et terminé plusieurs fois en peu de temps",
    what: "Quoi",
    title: "Titre",
    since: "Depuis",
    until: "Jusqu'à",
    seen_from: "Vu depuis",
    region: "Région",
    why: "Premier échec",
    found: "Constat",
    severity_label: "Gravité",
    flapping_label: "Instable",
    step_label: "Étape",
    acknowledged_by: "Pris en charge par",
    checks: "Contrôles concernés",
    incident: "Incident",
    key: "Clé",
    certificate: [
        "le certificat de {name} expire le {at} (dans {left})",
        "le certificat de {name} a expiré le {at} (il y a {left})",
    ],
    domain: [
        "l'enregistrement de {name} se termine le {at} (dans {left})",
        "l'enregistrement de {name} s'est terminé le {at} (il y a {left})",
    ],
    vital: "{vital} est passé de {baseline} à {median}{percent} sur {profile}",
    vital_more: "\u{a0}; autres mesures dégradées\u{a0}: {count}",
    burn: "rythme de consommation {rate} sur {hours} h (seuil {threshold})",
    burn_whole: "l'objectif n'admet aucun échec, et il y en a eu un dans les dernières {hours} h",
    budget_left: "\u{a0}; il reste {left}\u{a0}% du budget d'erreur",
    budget_none: "\u{a0}; le budget d'erreur est épuisé",
    certificate_short: ["certificat expire le {at} (dans {left})", "certificat expiré le {at} (il y a {left})"],
    domain_short: ["domaine expire le {at} (dans {left})", "domaine expiré le {at} (il y a {left})"],
    vital_short: "{vital} {baseline} à {median}{percent}, {profile}",
    burn_short: "consommation {rate} sur {hours} h",
    burn_whole_short: "un échec là où aucun n'est admis",
    budget_left_short: ", reste {left}\u{a0}% du budget",
    budget_none_short: ", budget épuisé",
    percent: "{number}\u{a0}%",
    decimal: ",",
    units: ["j", "h", "min", "s"],
    severities: ["information", "mineur", "majeur", "critique"],
    subjects: [
        "[{severity}] {sentence}",
        "[{severity}] toujours ouvert\u{a0}: {sentence}",
        "Pris en charge par {by}\u{a0}: {sentence}",
        "Résolu après {took}\u{a0}: {sentence}",
    ],
    troubles: |kind| match kind {
        IncidentKind::Down => ("{what} est en panne", "{what} était en panne"),
        IncidentKind::Regional => ("{what} échoue dans certaines régions", "{what} échouait dans certaines régions"),
        IncidentKind::Degraded => ("{what} est dégradé", "{what} était dégradé"),
        IncidentKind::AgentSilent => ("l'agent {what} est muet", "l'agent {what} était muet"),
        IncidentKind::Certificate => {
            ("un certificat ou domaine de {what} expire sous peu", "un certificat ou domaine de {what} allait expirer")
        }
        IncidentKind::WebVitals => ("{what} ralentit pour les visiteurs", "{what} était plus lent pour les visiteurs"),
        IncidentKind::SloBurn => {
            ("{what} consomme trop vite son budget d'erreur", "{what} consommait trop vite son budget d'erreur")
        }
        IncidentKind::Manual => ("{what}", "{what}"),
    },
    phases: [
        ("dns", "résolution du nom"),
        ("connect", "connexion"),
        ("tls", "TLS"),
        ("send", "envoi"),
        ("first_byte", "premier octet"),
        ("transfer", "transfert"),
    ],
    how: "{cause} («\u{a0}{line}\u{a0}»)",
    causes: &[
        ("dns_failed", "le nom ne se résout pas"),
        ("connection_refused", "connexion refusée"),
        ("unreachable", "adresse injoignable"),
        ("connection_reset", "connexion coupée par le serveur"),
        ("timeout", "délai dépassé"),
        ("tls_failed", "échec de la négociation TLS"),
        ("certificate_invalid", "certificat non valide"),
        ("protocol_error", "réponse contraire au protocole"),
        ("assertion_failed", "une assertion n'est pas vérifiée"),
        ("redirect_failed", "redirection sans issue"),
        ("login_refused", "connexion au compte refusée"),
        ("not_serving", "le service se déclare hors service"),
        ("not_registered", "domaine non enregistré"),
        ("heartbeat_missing", "la tâche n'a pas donné signe de vie à temps"),
        ("heartbeat_failed", "la tâche a signalé un échec"),
        ("proxy_failed", "échec du proxy"),
        ("http_status", "statut HTTP d'erreur"),
        ("not_a_page", "la réponse n'est pas une page"),
        ("unresponsive", "la page ne répond plus"),
        ("renderer_crashed", "la page a fait planter le moteur de rendu"),
        ("navigated_away", "la page est partie ailleurs avant la mesure"),
        ("interaction_failed", "une interaction n'a rien trouvé"),
        ("soft_assertion", "un seuil de dégradation est franchi"),
        ("policy_refused", "adresse refusée par la politique de l'agent"),
        ("network_lost", "réseau de l'agent perdu"),
        ("agent_fault", "l'agent n'a pas pu exécuter le contrôle"),
        ("secret_missing", "secret absent"),
        ("heartbeat_waiting", "on ne peut pas encore savoir si la tâche tourne"),
        ("browser_missing", "pas de navigateur sur la machine de l'agent"),
        ("browser_gone", "le navigateur s'est arrêté en cours de mesure"),
        ("host_pressure", "machine de l'agent trop chargée pour mesurer"),
    ],
};

impl Words {
    /// The subject of an event; a test has its own.
    pub(super) const fn subject(&self, event: NoticeEvent) -> &'static str {
        match event {
            NoticeEvent::Opened | NoticeEvent::Test => self.subjects[0],
            NoticeEvent::Escalated => self.subjects[1],
            NoticeEvent::Acknowledged => self.subjects[2],
            NoticeEvent::Resolved => self.subjects[3],
        }
    }

    /// What is wrong, and what was.
    pub(super) fn trouble(&self, kind: IncidentKind) -> (&'static str, &'static str) {
        (self.troubles)(kind)
    }

    /// From how many regions of how many.
    pub(super) fn regions(&self, count: usize, of: u32) -> String {
        let sentence = self.regions[usize::from(count != 1)];
        fill(sentence, &[("count", &count.to_string()), ("of", &of.to_string())])
    }

    pub(super) const fn severity(&self, severity: Severity) -> &'static str {
        match severity {
            Severity::Info => self.severities[0],
            Severity::Minor => self.severities[1],
            Severity::Major => self.severities[2],
            Severity::Critical => self.severities[3],
        }
    }

    /// A cause's word; one that is not known stays as it is.
    pub(super) fn cause(&self, cause: &str) -> String {
        self.known_cause(cause).map_or_else(|| super::said(&cause.replace('_', " ")), str::to_owned)
    }

    /// The word of a cause that has one.
    pub(super) fn known_cause(&self, cause: &str) -> Option<&'static str> {
        self.causes.iter().find(|(name, _)| *name == cause).map(|(_, word)| *word)
    }

    /// A phase's word; one that is not known stays as it is.
    pub(super) fn phase(&self, phase: &str) -> String {
        let known = self.phases.iter().find(|(name, _)| *name == phase).map(|(_, word)| (*word).to_owned());
        known.unwrap_or_else(|| super::said(phase))
    }

    /// A number as the language writes it.
    pub(super) fn number(&self, text: &str) -> String {
        text.replace('.', self.decimal)
    }

    /// Two units at most: `3 h 5 min`.
    pub(super) fn duration(&self, seconds: u64) -> String {
        let [d, h, min, s] = self.units;
        let parts = [(seconds / 86_400, d), (seconds / 3_600 % 24, h), (seconds / 60 % 60, min), (seconds % 60, s)];
        let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
        // Minutes are exact enough once there are any.
        let last = if first == 2 { 2 } else { (first + 1).min(3) };
        let shown = parts[first..=last].iter().enumerate().filter(|(at, (count, _))| *at == 0 || *count > 0);
        let shown: Vec<String> = shown.map(|(_, (count, unit))| format!("{count} {unit}")).collect();
        shown.join(" ")
    }
}

/// Puts values in the places of their names. What a value holds is not looked at again.
pub(super) fn fill(sentence: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        let value = values.iter().find(|(known, _)| *known == name);
        out.push_str(value.map_or("", |(_, value)| value));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use sitepulse_model::record::Cause;

    use super::*;

    #[test]
    fn every_cause_of_the_closed_list_has_french_words() {
        let missing: Vec<&str> = Cause::ALL
            .iter()
            .map(|cause| cause.as_str())
            .filter(|cause| FR.causes.iter().all(|(name, _)| name != cause))
            .collect();
        assert_eq!(missing, [""; 0]);
        assert_eq!(FR.causes.len(), Cause::ALL.len());
        assert_eq!(EN.cause("connection_refused"), "connection refused");
    }
}

//! Why a run failed, in the reader's language.
//!
//! Agents write their line in English. For who reads English it says all of it; for others the cause, the phase and the status say the same in their words, and the line stands
//! beside as a quotation.

use sitepulse_daemon::instant;
use sitepulse_model::notice::Found;
use sitepulse_model::record::Phase;

use super::{Texts, refusals};
use crate::alert::evidence;
use crate::outbox::TURNED_AWAY;
use crate::present::dto::FactsView;

/// What notes of evidence say in English, as they are kept.
const LAST_SEEN: &str = "last seen: ";
const SAID: &str = "a person says so: nothing is measured";

/// Every text about causes.
#[derive(Debug)]
pub struct CauseTexts {
    /// The words for a cause; `None` where the agent's line is in the reader's language, or of a cause that is not known.
    pub word: fn(&str) -> Option<String>,
    /// Before the phase that failed.
    pub phase: &'static str,
    /// The HTTP status of an answer.
    pub status: fn(u16) -> String,
    /// Why an agent had no vote, by what evidence keeps; `None` of what is a cause of unknown.
    pub no_vote: fn(&str) -> Option<&'static str>,
    /// A note of evidence, by the English one that is kept.
    pub note: fn(&str) -> String,
    /// What was found of what no vote is about: what expires, what got slower, what burns.
    pub found: fn(&Found) -> String,
    /// Why a target of an escalation reaches nobody, by the English that is kept.
    pub unreached: fn(&str) -> String,
    /// What became of a message, or is wrong with a history, by the English that is kept.
    pub said: fn(&str) -> Why,
}

/// English.
pub static EN: CauseTexts = CauseTexts {
    word: |_| None,
    phase: "phase",
    status: |status| format!("HTTP status {status}"),
    no_vote: |why| match why {
        "its newest results came late" => Some("its newest results came late"),
        "weight 0" => Some("weight 0"),
        _ => None,
    },
    note: |note| note.to_owned(),
    found: evidence::note_of,
    unreached: |why| why.to_owned(),
    said: |line| Why { sentence: line.to_owned(), quoted: String::new() },
};

/// French.
pub static FR: CauseTexts = CauseTexts {
    word: |cause| sitepulse_notify::cause_in("fr", cause).map(|word| word.replace('\'', "’")),
    phase: "phase",
    status: |status| format!("statut HTTP {status}"),
    no_vote: |why| match why {
        "its newest results came late" => Some("ses derniers résultats sont arrivés en retard"),
        "weight 0" => Some("poids 0"),
        _ => None,
    },
    note: note_fr,
    found: found_fr,
    unreached: |why| refusals::french(why).unwrap_or_else(|| why.to_owned()),
    said: said_fr,
};

/// In French what the collector says; what a provider says stays as it said it.
fn said_fr(line: &str) -> Why {
    if let Some(rest) = line.strip_prefix(TURNED_AWAY) {
        let Why { sentence, quoted } = said_fr(rest);
        let rest = if sentence.is_empty() { sentence } else { format!(" : {sentence}") };
        return Why { sentence: format!("refusé par le fournisseur{rest}"), quoted };
    }
    if let Some(sentence) = refusals::french(line) {
        return Why { sentence, quoted: String::new() };
    }
    // A status is one in any language.
    let (status, rest) = line.split_once(": ").unwrap_or((line, ""));
    let digits = status.strip_prefix("HTTP ").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let (sentence, quoted) = if digits.is_some() { (status, rest) } else { ("", line) };
    Why { sentence: sentence.to_owned(), quoted: quoted.to_owned() }
}

fn found_fr(found: &Found) -> String {
    let of = |name: &Option<String>| name.as_ref().map_or_else(String::new, |name| format!(" de {name}"));
    let number = |text: String| (super::FR.number)(text);
    let tenths = |value: u64| number(format!("{}.{}", value / 10, value % 10));
    match found {
        Found::Certificate { name, expires } => {
            format!("le certificat{} expire le {}", of(name), instant::format(*expires))
        }
        Found::Domain { name, expires } => {
            format!("l’enregistrement{} se termine le {}", of(name), instant::format(*expires))
        }
        Found::Vital { vital, profile, baseline, median, worse } => {
            let name = vital.as_str().to_uppercase();
            let more = if *worse > 1 { format!("\u{a0}; {worse} mesures se sont dégradées") } else { String::new() };
            let [before, after] = [baseline, median].map(|value| number(vital.shown(*value)));
            format!("{name} est passé de {before} à {after} sur {profile}{more}")
        }
        Found::Burn { hours, rate_tenths, threshold_tenths, left_permille } => {
            let rate = rate_tenths.map_or_else(|| "sans mesure".to_owned(), |rate| format!("de {}", tenths(rate)));
            let left =
                left_permille.map(|left| number(format!(", il reste {:.1}\u{a0}% du budget", left as f64 / 10.0)));
            let threshold = tenths(*threshold_tenths);
            let left = left.unwrap_or_default();
            format!("vitesse de consommation {rate} sur {hours} h (signalée à partir de {threshold}){left}")
        }
    }
}

fn note_fr(note: &str) -> String {
    if let Some(at) = note.strip_prefix(LAST_SEEN) {
        return format!("vu pour la dernière fois : {}", if at == "never" { "jamais" } else { at });
    }
    if let Some((agent, rest)) = note.strip_prefix("agent ").and_then(|rest| rest.split_once(" in region ")) {
        let (region, build) = rest.split_once(", build ").unwrap_or((rest, ""));
        return format!("agent {agent} en région {region}, version {build}");
    }
    if let Some(count) = note.strip_suffix(" checks run on it") {
        return format!("contrôles qu’il exécute : {count}");
    }
    match note.split_once(' ') {
        Some(("check", id)) => format!("contrôle {id}"),
        Some(("objective", id)) => format!("objectif {id}"),
        _ if note == SAID => "une personne le dit : rien n’est mesuré".to_owned(),
        _ => note.to_owned(),
    }
}

/// What is known of why a run failed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Failure<'a> {
    /// The cause, by its stable text.
    pub cause: Option<&'a str>,
    /// The phase that failed, likewise.
    pub phase: Option<&'a str>,
    /// The HTTP status of the answer.
    pub status: Option<u16>,
    /// The agent's own line, in English.
    pub line: &'a str,
}

/// The HTTP status among what a run found.
pub fn status_of(facts: &FactsView) -> Option<u16> {
    facts.get("status").and_then(serde_json::Value::as_u64).and_then(|status| u16::try_from(status).ok())
}

/// Why a run failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Why {
    /// In the reader's language where there are words for it.
    pub sentence: String,
    /// The agent's own line, in English, where the sentence is not that line.
    pub quoted: String,
}

impl Texts {
    /// Why a run failed.
    pub fn why(&self, failure: Failure<'_>) -> Why {
        let Failure { cause, phase, status, line } = failure;
        let Some(word) = cause.and_then(self.causes.word) else {
            let bare = || cause.unwrap_or_default().replace('_', " ");
            let sentence = if line.is_empty() { bare() } else { line.to_owned() };
            return Why { sentence, quoted: String::new() };
        };
        let phase = phase.and_then(|phase| Phase::ALL.iter().find(|known| known.as_str() == phase));
        let phase = phase.filter(|phase| **phase != Phase::Total);
        let parts = [
            phase.map(|phase| format!("{}{}{}", self.causes.phase, self.colon, (self.phase)(*phase))),
            status.map(self.causes.status),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let sentence = if parts.is_empty() { word } else { format!("{word} ({})", parts.join(", ")) };
        Why { sentence, quoted: line.to_owned() }
    }

    /// Why an agent had no vote, by what evidence keeps.
    pub fn no_vote(&self, why: &str) -> &'static str {
        (self.causes.no_vote)(why).unwrap_or_else(|| self.unknown_cause(why))
    }
}

#[cfg(test)]
mod tests {
    use sitepulse_model::record::Cause;
    use sitepulse_model::time::UtcMicros;
    use sitepulse_model::vitals::Vital;

    use super::super::{EN, FR};
    use super::*;

    #[test]
    fn every_cause_has_french_words_and_english_keeps_the_agents_line() {
        for cause in Cause::ALL.iter().map(|cause| cause.as_str()) {
            let failure = Failure { cause: Some(cause), line: "it failed", ..Failure::default() };
            let (french, english) = (FR.why(failure), EN.why(failure));
            assert!(!french.sentence.is_empty() && !french.sentence.contains(['_', '\'']), "{cause}: {french:?}");
            assert_eq!(french.quoted, "it failed");
            assert_eq!(english, Why { sentence: "it failed".into(), quoted: String::new() });
        }
    }

    #[test]
    fn a_french_sentence_is_made_of_cause_phase_and_status() {
        let failure = Failure {
            cause: Some("timeout"),
            phase: Some("first_byte"),
            status: Some(503),
            line: "no answer within 10 s",
        };
        let why = FR.why(failure);
        assert_eq!(why.sentence, "délai dépassé (phase\u{a0}: premier octet, statut HTTP 503)");
        assert_eq!(why.quoted, "no answer within 10 s");
        let bare = Failure { cause: Some("timeout"), phase: Some("total"), ..Failure::default() };
        assert_eq!(FR.why(bare), Why { sentence: "délai dépassé".into(), quoted: String::new() });
        assert_eq!(EN.why(Failure { cause: Some("dns_failed"), ..Failure::default() }).sentence, "dns failed");
        // What is not known, and what went well, is told as it was.
        assert_eq!(FR.why(Failure { line: "as it was", ..Failure::default() }).sentence, "as it was");
    }

    #[test]
    fn deliveries_and_faults_of_histories_are_told_in_french_and_providers_are_quoted() {
        for (english, sentence, quoted) in [
            ("", "", ""),
            ("HTTP 200", "HTTP 200", ""),
            ("HTTP 500: upstream is away", "HTTP 500", "upstream is away"),
            ("turned away: HTTP 404: no such hook", "refusé par le fournisseur\u{a0}: HTTP 404", "no such hook"),
            ("turned away: 535 bad password", "refusé par le fournisseur", "535 bad password"),
            (
                "turned away: HTTP 302 leads to /login: redirects are not followed, set the channel's own address to the right one",
                "refusé par le fournisseur\u{a0}: HTTP 302 mène à /login\u{a0}: les redirections ne sont pas suivies, donnez la bonne adresse au canal",
                "",
            ),
            (
                "secret hook is not set: `sitepulse-collector secret set hook`",
                "le secret hook n’est pas défini\u{a0}: `sitepulse-collector secret set hook`",
                "",
            ),
            (
                "there is no channel ops any more: apply one, and this message is sent",
                "il n’y a plus de canal ops\u{a0}: créez-le, et ce message part",
                "",
            ),
            (
                "entry 3 is missing: nothing from there on is vouched for",
                "l’entrée 3 manque\u{a0}: rien n’est garanti à partir de là",
                "",
            ),
            (
                "the incident says resolved, its 4 entries come to open: the end of the history is missing, or the incident was changed",
                "l’incident se dit résolu, ses 4 entrées mènent à ouvert\u{a0}: la fin de l’historique manque, ou l’incident a été modifié",
                "",
            ),
        ] {
            let told = Why { sentence: sentence.into(), quoted: quoted.into() };
            assert_eq!((FR.causes.said)(english), told, "{english}");
            assert_eq!((EN.causes.said)(english), Why { sentence: english.into(), quoted: String::new() });
        }
    }

    #[test]
    fn notes_of_evidence_are_told_in_french() {
        for (english, french) in [
            ("agent eu-1 in region eu-west, build 0.3.0", "agent eu-1 en région eu-west, version 0.3.0"),
            ("last seen: never", "vu pour la dernière fois\u{a0}: jamais"),
            ("12 checks run on it", "contrôles qu’il exécute\u{a0}: 12"),
            ("check shop", "contrôle shop"),
            ("objective web", "objectif web"),
            ("a person says so: nothing is measured", "une personne le dit\u{a0}: rien n’est mesuré"),
            ("something new", "something new"),
        ] {
            assert_eq!((FR.causes.note)(english), french);
            assert_eq!((EN.causes.note)(english), english);
        }
        for (found, english, french) in [
            (
                Found::Certificate { name: Some("shop.example".into()), expires: UtcMicros(0) },
                "the certificate of shop.example expires 1970-01-01T00:00:00Z",
                "le certificat de shop.example expire le 1970-01-01T00:00:00Z",
            ),
            (
                Found::Domain { name: None, expires: UtcMicros(0) },
                "the registration ends 1970-01-01T00:00:00Z",
                "l’enregistrement se termine le 1970-01-01T00:00:00Z",
            ),
            (
                Found::Vital { vital: Vital::Cls, profile: "mobile".into(), baseline: 500, median: 2500, worse: 2 },
                "CLS went from 0.05 to 0.25 on mobile; 2 measures got worse",
                "CLS est passé de 0,05 à 0,25 sur mobile\u{a0}; 2 mesures se sont dégradées",
            ),
            (
                Found::Burn { hours: 1, rate_tenths: Some(144), threshold_tenths: 140, left_permille: Some(-25) },
                "burn rate 14.4 over 1 h (told from 14.0 on), -2.5 % of the budget is left",
                "vitesse de consommation de 14,4 sur 1 h (signalée à partir de 14,0), il reste -2,5\u{a0}% du budget",
            ),
            (
                Found::Burn { hours: 6, rate_tenths: None, threshold_tenths: 60, left_permille: None },
                "burn rate beyond all measure over 6 h (told from 6.0 on)",
                "vitesse de consommation sans mesure sur 6 h (signalée à partir de 6,0)",
            ),
        ] {
            assert_eq!((EN.causes.found)(&found), english);
            assert_eq!((FR.causes.found)(&found), french);
        }
        for (english, french) in [
            ("oncall:primary: nobody is on call", "oncall:primary: personne n’est d’astreinte"),
            ("ops-hook: there is no such channel any more", "ops-hook: ce canal n’existe plus"),
            ("user:ana: there is no channel \"sms\" any more", "user:ana: il n’y a plus de canal \"sms\""),
        ] {
            assert_eq!((FR.causes.unreached)(english), french);
            assert_eq!((EN.causes.unreached)(english), english);
        }
        assert_eq!(FR.no_vote("weight 0"), "poids 0");
        assert_eq!(FR.no_vote("suspended"), FR.cause_suspended);
    }
}

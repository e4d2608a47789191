//! Why a run failed, in the reader's language.
//!
//! Agents write their line in English. For who reads English it says all of it; for others the cause, the phase and the status say the same in their words, and the line stands
//! beside as a quotation.

use sitepulse_model::record::Phase;

use super::Texts;
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
};

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
        assert_eq!(FR.no_vote("weight 0"), "poids 0");
        assert_eq!(FR.no_vote("suspended"), FR.cause_suspended);
    }
}

//! What was known at a turn of an incident: kept in its history, so that it can be read when results are long gone.

use serde::{Deserialize, Serialize};
use sitepulse_daemon::instant;
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::incident::Subject;
use sitepulse_model::notice::Found;
use sitepulse_model::present::Voice;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote;

use super::{Desk, Standing, signals};
use crate::book::{Agent, Book, Check, Filter, LastResult, last_seen};
use crate::facts;

/// The longest evidence, in bytes of JSON.
pub const BYTES_MAX: usize = 32 << 10;
/// So many of them are for all but the votes.
const RESERVED_BYTES: usize = 8 << 10;
/// Most checks that are named.
const NAMES_MAX: usize = 50;

/// What was known of an incident's subject at an instant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// The verdict: `down`, `regional`, ...; of a check alone.
    pub verdict: Option<String>,
    /// The quorum that decides.
    pub quorum: Option<String>,
    /// Share of the live weight that votes down.
    pub share_down: Option<f64>,
    /// Every agent that the check is assigned to.
    pub votes: Vec<VoteEvidence>,
    /// How many votes had no room.
    pub votes_more: u32,
    /// Why nothing more is known, or what was seen, for people: of subjects other than checks, and of what no vote is about.
    pub notes: Vec<String>,
    /// What was found, of what no vote is about: what expires, which measure of a page got worse, which budget burns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
}

/// An agent's vote, and the newest result behind it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VoteEvidence {
    /// The agent's name.
    pub agent: String,
    /// Its region.
    pub region: String,
    /// The weight of its vote; 0 where it does not count.
    pub weight: f64,
    /// What it votes: `up`, `degraded`, `down`, `unknown`.
    pub vote: String,
    /// Whether the vote counts.
    pub live: bool,
    /// Why it does not.
    pub why_not: Option<String>,
    /// The newest result.
    pub result: Option<ResultEvidence>,
}

/// A result, as far as it says why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResultEvidence {
    /// Its slot, RFC 3339.
    pub slot: String,
    /// Its id as `results` has it: `agent@slot`.
    pub key: String,
    /// The revision of the check that was probed.
    pub revision: u32,
    /// What it found.
    pub state: String,
    /// Why it was not up.
    pub cause: Option<String>,
    /// The phase that failed.
    pub phase: Option<String>,
    /// One line for people.
    pub detail: String,
    /// The address dialled.
    pub address: Option<String>,
    /// How long the run took, in seconds.
    pub seconds: Option<f64>,
    /// What the protocol told: status, certificate, resolver answers, the answer's hash, ..., by the names that `results` has for them.
    pub facts: serde_json::Map<String, serde_json::Value>,
}

/// What is known of an incident's subject at an instant.
pub(super) fn of(book: &Book, desk: &Desk, standing: &Standing, now: UtcMicros) -> Evidence {
    let mut evidence = match &standing.incident.subject {
        Subject::Check(number) => of_check(book, desk, *number, now),
        Subject::Agent(number) => of_agent(book, *number, now),
        Subject::Slo(id) => Evidence { notes: vec![format!("objective {id}")], ..Evidence::default() },
        Subject::Manual(_) => match standing.about.check {
            Some(number) => of_check(book, desk, CheckNo(number), now),
            None => Evidence { notes: vec!["a person says so: nothing is measured".into()], ..Evidence::default() },
        },
    };
    let incident = &standing.incident;
    if let Some(finding) = signals::found(book, desk, &incident.subject, incident.kind, now) {
        evidence.notes.push(note_of(&finding.found));
        evidence.found = Some(finding.found);
    }
    bound(&mut evidence);
    evidence
}

/// What was found, in one line, as notes have it.
pub(crate) fn note_of(found: &Found) -> String {
    let of = |name: &Option<String>| name.as_ref().map_or_else(String::new, |name| format!(" of {name}"));
    let tenths = |value: u64| format!("{}.{}", value / 10, value % 10);
    match found {
        Found::Certificate { name, expires } => {
            format!("the certificate{} expires {}", of(name), instant::format(*expires))
        }
        Found::Domain { name, expires } => format!("the registration{} ends {}", of(name), instant::format(*expires)),
        Found::Vital { vital, profile, baseline, median, worse } => {
            let name = vital.as_str().to_uppercase();
            let more = if *worse > 1 { format!("; {worse} measures got worse") } else { String::new() };
            format!("{name} went from {} to {} on {profile}{more}", vital.shown(*baseline), vital.shown(*median))
        }
        Found::Burn { hours, rate_tenths, threshold_tenths, left_permille } => {
            let rate = rate_tenths.map_or_else(|| "beyond all measure".to_owned(), tenths);
            let left = left_permille.map(|left| format!(", {:.1} % of the budget is left", left as f64 / 10.0));
            let threshold = tenths(*threshold_tenths);
            format!("burn rate {rate} over {hours} h (told from {threshold} on){}", left.unwrap_or_default())
        }
    }
}

fn of_check(book: &Book, desk: &Desk, number: CheckNo, now: UtcMicros) -> Evidence {
    let Some(check) = book.check(number) else { return Evidence::default() };
    let present = signals::present_of(book, desk, check, now);
    let weight = |voices: &mut dyn Iterator<Item = &Voice>| voices.map(|voice| voice.weight.as_f64()).sum::<f64>();
    let live = weight(&mut present.voices.iter());
    let down = weight(&mut present.voices.iter().filter(|voice| voice.vote == vote::Vote::Down));
    let mut evidence = Evidence {
        verdict: Some(present.confirmed.verdict.to_string()),
        quorum: Some(check.newest().definition.quorum.to_string()),
        share_down: (live > 0.0).then_some(down / live),
        ..Evidence::default()
    };
    let instant = Span::new(now, now.plus_us(1));
    let explained = book.explain(number, &Filter::All, instant, usize::MAX).unwrap_or_default().into_iter().next();
    let testimonies = explained.map(|explained| explained.testimonies).unwrap_or_default();
    evidence.votes = testimonies
        .into_iter()
        .filter_map(|(number, testimony)| {
            let agent = book.agent(number)?;
            let voice = present.voices.iter().find(|voice| voice.agent == number);
            Some(vote_of(book, check, agent, voice, testimony.standing))
        })
        .collect();
    // Who says that it is bad comes first: they have the room.
    evidence.votes.sort_by(|a, b| badness(&b.vote).cmp(&badness(&a.vote)).then_with(|| a.agent.cmp(&b.agent)));
    evidence
}

fn badness(vote: &str) -> u8 {
    match vote {
        "down" => 2,
        "degraded" => 1,
        _ => 0,
    }
}

fn vote_of(book: &Book, check: &Check, agent: &Agent, voice: Option<&Voice>, standing: vote::Standing) -> VoteEvidence {
    let why_not = match (voice, standing) {
        (Some(_), _) => None,
        // It has a vote in the figures, and none in the present.
        (None, vote::Standing::Live { .. }) => Some("its newest results came late".to_owned()),
        (None, vote::Standing::Unassigned) => Some("unassigned".to_owned()),
        (None, vote::Standing::Weightless) => Some("weight 0".to_owned()),
        (None, vote::Standing::Suspended) => Some("suspended".to_owned()),
        (None, vote::Standing::Unknown(cause)) => Some(cause.to_string()),
    };
    let weight = voice.map_or(0.0, |voice| voice.weight.as_f64());
    let vote = voice.map_or("unknown", |voice| voice.vote.as_str()).to_owned();
    let last = book.pair(check.number, agent.number).and_then(|pair| pair.last.as_deref());
    VoteEvidence {
        agent: agent.name.to_string(),
        region: agent.region.to_string(),
        weight,
        vote,
        live: why_not.is_none(),
        why_not,
        result: last.map(|last| result(agent, last)),
    }
}

fn result(agent: &Agent, last: &LastResult) -> ResultEvidence {
    let slot = instant::format(last.scheduled);
    ResultEvidence {
        key: format!("{}@{slot}", agent.name),
        slot,
        revision: last.revision.0,
        state: last.state.to_string(),
        cause: last.cause.map(|cause| cause.to_string()),
        phase: last.failed_phase.map(|phase| phase.to_string()),
        detail: last.detail.clone(),
        address: last.address_text(),
        seconds: last.phases.total.map(|us| us as f64 / 1e6),
        facts: facts::by_name(&last.facts),
    }
}

fn of_agent(book: &Book, number: AgentNo, now: UtcMicros) -> Evidence {
    let Some(agent) = book.agent(number) else { return Evidence::default() };
    let seen = last_seen(agent, now).map_or_else(|| "never".to_owned(), instant::format);
    let theirs = runs(book, agent);
    let mut notes = vec![
        format!("agent {} in region {}, build {}", agent.name, agent.region, agent.build),
        format!("last seen: {seen}"),
        format!("{} checks run on it", theirs.len()),
    ];
    notes.extend(theirs.iter().take(NAMES_MAX).map(|check| format!("check {check}")));
    Evidence { notes, ..Evidence::default() }
}

/// The checks that an agent runs.
pub(super) fn runs(book: &Book, agent: &Agent) -> Vec<String> {
    let living = book.checks().filter_map(|check| Some((check, check.current()?)));
    living.filter(|(_, current)| agent.runs(&current.definition)).map(|(check, _)| check.id.to_string()).collect()
}

/// Lets go of what has no room: facts of the last votes first, then votes.
fn bound(evidence: &mut Evidence) {
    let mut room = BYTES_MAX - RESERVED_BYTES;
    let mut kept = Vec::new();
    for mut vote in std::mem::take(&mut evidence.votes) {
        let mut size = json_bytes(&vote);
        if size > room
            && let Some(result) = &mut vote.result
        {
            result.facts.clear();
            size = json_bytes(&vote);
        }
        if size > room {
            evidence.votes_more += 1;
            continue;
        }
        room -= size;
        kept.push(vote);
    }
    evidence.votes = kept;
}

/// How many bytes something has as JSON, and a comma.
fn json_bytes(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(usize::MAX, |text| text.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(agent: usize, fact: usize) -> VoteEvidence {
        let mut facts = serde_json::Map::new();
        facts.insert("banner".into(), "x".repeat(fact).into());
        VoteEvidence {
            agent: format!("agent-{agent}"),
            vote: "down".into(),
            result: Some(ResultEvidence { facts, ..ResultEvidence::default() }),
            ..VoteEvidence::default()
        }
    }

    #[test]
    fn evidence_of_many_agents_fits_and_tells_what_did_not() {
        let votes = (0..400).map(|agent| vote(agent, 2_000)).collect();
        let mut evidence = Evidence { votes, ..Evidence::default() };
        bound(&mut evidence);
        assert!(json_bytes(&evidence) <= BYTES_MAX, "{}", json_bytes(&evidence));
        assert_eq!(evidence.votes.len() + evidence.votes_more as usize, 400);
        assert!(!evidence.votes[0].result.as_ref().unwrap().facts.is_empty());
        assert!(evidence.votes_more > 0);
    }

    #[test]
    fn facts_that_have_no_room_go_and_the_vote_stays() {
        let mut evidence = Evidence { votes: vec![vote(1, BYTES_MAX)], ..Evidence::default() };
        bound(&mut evidence);
        assert!(evidence.votes[0].result.as_ref().unwrap().facts.is_empty());
        assert_eq!(evidence.votes_more, 0);
    }
}

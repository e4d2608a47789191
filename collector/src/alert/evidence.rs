//! What was known at a turn of an incident: kept in its history, so that it can be read when results are long gone.

use serde::{Deserialize, Serialize};
use sitepulse_daemon::instant;
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::incident::Subject;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote;

use super::Standing;
use crate::book::{Agent, Book, Check, ExplainedInterval, Filter, LastResult, last_seen};
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
    /// Why nothing more is known, or what was seen, for people: of subjects other than checks.
    pub notes: Vec<String>,
}

/// An agent's vote, and the newest result behind it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VoteEvidence {
    /// The agent's name.
    pub agent: String,
    /// Its region.
    pub region: String,
    /// The weight of its vote.
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
pub(crate) fn of(book: &Book, standing: &Standing, now: UtcMicros) -> Evidence {
    let mut evidence = match &standing.incident.subject {
        Subject::Check(number) => of_check(book, *number, now),
        Subject::Agent(number) => of_agent(book, *number, now),
        Subject::Slo(id) => Evidence { notes: vec![format!("objective {id}")], ..Evidence::default() },
        Subject::Manual(_) => match standing.about.check {
            Some(number) => of_check(book, CheckNo(number), now),
            None => Evidence { notes: vec!["a person says so: nothing is measured".into()], ..Evidence::default() },
        },
    };
    bound(&mut evidence);
    evidence
}

fn of_check(book: &Book, number: CheckNo, now: UtcMicros) -> Evidence {
    let Some(check) = book.check(number) else { return Evidence::default() };
    let instant = Span::new(now, now.plus_us(1));
    let explained = book.explain(number, &Filter::All, instant, usize::MAX).unwrap_or_default().into_iter().next();
    let Some(ExplainedInterval { verdict, testimonies }) = explained else { return Evidence::default() };
    let (down, live) = verdict.share_down;
    let mut evidence = Evidence {
        verdict: Some(verdict.verdict.to_string()),
        quorum: Some(check.newest().definition.quorum.to_string()),
        share_down: (live > 0).then(|| down as f64 / live as f64),
        ..Evidence::default()
    };
    if verdict.quorum_reduced {
        evidence.notes.push("the quorum asks for more voters than are live, and was reduced to those".into());
    }
    if let Some(cause) = verdict.unknown_cause {
        evidence.notes.push(format!("nobody can tell: {cause}"));
    }
    let votes = testimonies.into_iter().filter_map(|(agent, testimony)| {
        let agent = book.agent(agent)?;
        Some(vote(book, check, agent, testimony.standing, now))
    });
    evidence.votes = votes.collect();
    // Who says that it is bad comes first: they have the room.
    evidence.votes.sort_by(|a, b| (badness(&b.vote), &a.agent).cmp(&(badness(&a.vote), &b.agent)));
    evidence
}

fn badness(vote: &str) -> u8 {
    match vote {
        "down" => 2,
        "degraded" => 1,
        _ => 0,
    }
}

fn vote(book: &Book, check: &Check, agent: &Agent, standing: vote::Standing, now: UtcMicros) -> VoteEvidence {
    let weight = book.control().weight_at(agent.number, check.number, now).as_f64();
    let (vote, why_not) = match standing {
        vote::Standing::Live { vote, .. } => (vote.as_str().to_owned(), None),
        vote::Standing::Unassigned => ("unknown".to_owned(), Some("unassigned".to_owned())),
        vote::Standing::Weightless => ("unknown".to_owned(), Some("weight 0".to_owned())),
        vote::Standing::Suspended => ("unknown".to_owned(), Some("suspended".to_owned())),
        vote::Standing::Unknown(cause) => ("unknown".to_owned(), Some(cause.to_string())),
    };
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
    let unwatched = unwatched(book, agent);
    let mut notes = vec![
        format!("agent {} in region {}, build {}", agent.name, agent.region, agent.build),
        format!("last seen: {seen}"),
        format!("{} checks run on it", unwatched.len()),
    ];
    notes.extend(unwatched.iter().take(NAMES_MAX).map(|check| format!("check {check}")));
    Evidence { notes, ..Evidence::default() }
}

/// The checks that an agent runs.
pub(super) fn unwatched(book: &Book, agent: &Agent) -> Vec<String> {
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
        assert!(evidence.votes.last().unwrap().result.as_ref().unwrap().facts.is_empty());
    }

    #[test]
    fn facts_that_have_no_room_go_and_the_vote_stays() {
        let mut evidence = Evidence { votes: vec![vote(1, BYTES_MAX)], ..Evidence::default() };
        bound(&mut evidence);
        assert!(evidence.votes[0].result.as_ref().unwrap().facts.is_empty());
        assert_eq!(evidence.votes_more, 0);
    }
}

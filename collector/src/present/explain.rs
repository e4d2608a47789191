//! `explain`: the intervals behind a figure, with the votes and the records each rests on.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::explain::Evidence;
use sitepulse_model::id::AgentNo;
use sitepulse_model::series::Seen;
use sitepulse_model::sla::Account;
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vote::{Standing, VerdictSpan};
use tokio::sync::Semaphore;

use crate::book::{Book, ExplainedInterval, Filter};
use crate::policy::Terms;
use crate::present::Present;
use crate::present::api::{Ask, SlaQuery, ask};
use crate::present::dto::SlaView;
use crate::present::dto::policy::IntervalCountedView;
use crate::present::policy;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::results::{GoneView, gone_view, record_id};
use crate::present::view::sla_view;
use crate::store::records::{self, Gone};

/// How much one answer tells: intervals, their agents and the evidence of those, all together. Tens of MiB of JSON at worst.
const ROOM: usize = 100_000;
/// Explanations at a time; more wait. Each holds the book's read lock for its computation, and its answer in memory.
static SEATS: Semaphore = Semaphore::const_new(2);

/// A figure and what it is made of. The intervals are contiguous within each life of the check, and their seconds add up to those of `figures`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainView {
    /// The figures of the period.
    pub figures: SlaView,
    /// Time in which neither the verdict nor any agent's standing changed, in order.
    pub intervals: Vec<IntervalView>,
    /// Whose records of some of the period went with their age. The timeline stays: the intervals and counts stand without them.
    #[serde(default)]
    pub gone: Vec<GoneView>,
}

/// Time in which nothing changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IntervalView {
    /// First instant.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// Its length.
    pub seconds: f64,
    /// `up`, `degraded`, `regional`, `down`, `unknown` or `maintenance`.
    pub verdict: String,
    /// Why nothing is known, where nothing is.
    pub unknown_cause: Option<String>,
    /// Weight of the live agents that vote down.
    pub weight_down: f64,
    /// Weight of all live agents.
    pub weight_live: f64,
    /// The quorum asks for more agents than were live.
    pub quorum_reduced: bool,
    /// The agents that were assigned.
    pub votes: Vec<VoteView>,
    /// Where a policy was asked for: how it counts this, by each version that does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted: Vec<IntervalCountedView>,
}

/// What an agent was in an interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VoteView {
    /// Its name.
    pub agent: String,
    /// Its region.
    pub region: String,
    /// `live`, `unknown`, `suspended` or `weightless` (weight 0: watched, never counted).
    pub standing: String,
    /// What it voted, where it was live: `up`, `degraded` or `down`.
    pub vote: Option<String>,
    /// The weight of that vote.
    pub weight: Option<f64>,
    /// Why it could not tell, where it could not.
    pub unknown_cause: Option<String>,
    /// The records it rests on, in order.
    pub evidence: Vec<EvidenceView>,
}

/// Records that say the same at equal distances, one after the other. Results are named by their ids, as `/api/v1/results` has them: `agent@slot`, from the first
/// to the last, `step_us` apart. Missed runs never ran, so they have no id: the slots of the first and the last, `step_us` and `count` name each of them. A record of them may tell of many and begin before the interval: `results` lists those that reach into it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceView {
    /// A result's state, or `missed`.
    pub state: String,
    /// Why runs were missed, where they were.
    pub missed_cause: Option<String>,
    /// How many.
    pub count: u64,
    /// The first one's slot; it may lie before the interval, where it still held.
    pub first: String,
    /// The last one's slot.
    pub last: String,
    /// The id of the first result; `null` of missed runs, which have none: `first` names it.
    #[serde(default)]
    pub first_id: Option<String>,
    /// The id of the last result; `null` of missed runs, which have none: `last` names it.
    #[serde(default)]
    pub last_id: Option<String>,
    /// How far two of them are apart; `null` of one.
    #[serde(default)]
    pub step_us: Option<u64>,
    /// The path that lists exactly these records, page by page.
    #[serde(default)]
    pub results: String,
}

/// `GET /api/v1/explain?check=...`
pub async fn explain(State(present): State<Present>, query: Ask<SlaQuery>) -> Answer<Json<ExplainView>> {
    explained(&present, ask(query)?, clock::now()).await.map(Json)
}

/// The same for the console.
pub(super) async fn explained(present: &Present, query: SlaQuery, now: UtcMicros) -> Answer<ExplainView> {
    let failed = || Problem::new(Code::Internal, "the figures could not be explained; see the collector's log");
    let seat = SEATS.acquire().await.map_err(|_| failed())?;
    let app = present.app().clone();
    let (bucket, check) = {
        let book = app.book();
        let check = query.one(&book)?;
        (check.bucket(), check.number)
    };
    let gone = app.read_store(move |tables| records::gone(tables, bucket, check)).await?;
    let explained = tokio::task::spawn_blocking(move || {
        // Also where nobody waits for the answer any more.
        let _seat = seat;
        let terms = query.terms(&app, now)?;
        let explained = Explained::read(&app.book(), &query, terms, &gone, now, ROOM)?;
        Ok(explained.view())
    });
    explained.await.map_err(|_| failed())?
}

/// What is read of the book: the answer's texts are made without its lock.
struct Explained {
    figures: SlaView,
    intervals: Vec<ExplainedInterval>,
    agents: BTreeMap<AgentNo, (String, String)>,
    terms: Option<Terms>,
    gone: Vec<GoneView>,
}

impl Explained {
    fn read(
        book: &Book,
        query: &SlaQuery,
        terms: Option<Terms>,
        gone: &[Gone],
        now: UtcMicros,
        room: usize,
    ) -> Answer<Self> {
        let check = query.one(book)?;
        let (from, to, filter) = query.asked(book, now)?;
        let period = book.period(check, from, to, now);
        let Some(intervals) = book.explain(check.number, &filter, period, room) else {
            let what = format!(
                "too much happened to explain at once (more than {room} intervals, votes and pieces of evidence): ask for a shorter period with from and to, or for one agent"
            );
            return Err(Problem::new(Code::BadRequest, what));
        };
        let spans: Vec<VerdictSpan> = intervals.iter().map(|interval| interval.verdict).collect();
        let mut figures = sla_view(check, period, &Account::of(&spans));
        if let Some(terms) = &terms {
            policy::count(&mut figures, terms, period, &spans);
        }
        let agent =
            |agent: &crate::book::Agent| (agent.number, (agent.name.to_string(), agent.region.as_str().to_owned()));
        let votes = |gone: &Gone| match &filter {
            Filter::All => true,
            Filter::Agent(agent) => *agent == gone.agent,
            Filter::Region(region) => book.agent(gone.agent).is_some_and(|agent| agent.region == *region),
        };
        let concerns = |gone: &&Gone| votes(gone) && gone.kept_from.is_none_or(|kept| period.from < kept);
        let gone = gone.iter().filter(concerns).map(|gone| gone_view(book, gone)).collect();
        Ok(Self { figures, intervals, agents: book.agents().map(agent).collect(), terms, gone })
    }

    fn view(self) -> ExplainView {
        let view = |interval: &ExplainedInterval| IntervalView {
            counted: self
                .terms
                .as_ref()
                .map_or_else(Vec::new, |terms| policy::interval_counted(terms, &interval.verdict)),
            ..interval_view(&self.figures.check, &self.agents, interval)
        };
        ExplainView { intervals: self.intervals.iter().map(view).collect(), figures: self.figures, gone: self.gone }
    }
}

fn interval_view(
    check: &str,
    agents: &BTreeMap<AgentNo, (String, String)>,
    interval: &ExplainedInterval,
) -> IntervalView {
    let verdict = &interval.verdict;
    let (down, live) = verdict.share_down;
    let votes = interval.testimonies.iter().map(|(number, testimony)| {
        let (name, region) = agents.get(number).cloned().unwrap_or_else(|| (format!("#{number}"), String::new()));
        let (standing, vote, weight, cause) = match testimony.standing {
            Standing::Live { weight, vote } => {
                ("live", Some(vote.as_str().to_owned()), Some(f64::from(weight.0) / 1000.0), None)
            }
            Standing::Unknown(cause) => ("unknown", None, None, Some(cause.as_str().to_owned())),
            Standing::Suspended => ("suspended", None, None, None),
            Standing::Weightless => ("weightless", None, None, None),
            Standing::Unassigned => ("unassigned", None, None, None),
        };
        VoteView {
            evidence: testimony.evidence.iter().map(|one| evidence_view(check, &name, one)).collect(),
            agent: name,
            region,
            standing: standing.to_owned(),
            vote,
            weight,
            unknown_cause: cause,
        }
    });
    IntervalView {
        from: instant::format(verdict.span.from),
        to: instant::format(verdict.span.to),
        seconds: verdict.span.us() as f64 / 1e6,
        verdict: verdict.verdict.as_str().to_owned(),
        unknown_cause: verdict.unknown_cause.map(|cause| cause.as_str().to_owned()),
        weight_down: down as f64 / 1000.0,
        weight_live: live as f64 / 1000.0,
        quorum_reduced: verdict.quorum_reduced,
        votes: votes.collect(),
        counted: Vec::new(),
    }
}

fn evidence_view(check: &str, agent: &str, evidence: &Evidence) -> EvidenceView {
    let (state, missed_cause) = match evidence.seen {
        Seen::State(state) => (state.as_str(), None),
        Seen::Missed(cause) => ("missed", Some(cause.as_str().to_owned())),
    };
    let (first, last) = (instant::format(evidence.first), instant::format(evidence.last));
    let id = |slot: &str| missed_cause.is_none().then(|| record_id(agent, slot));
    let after = instant::format(evidence.last.plus_us(1));
    EvidenceView {
        first_id: id(&first),
        last_id: id(&last),
        step_us: (evidence.count > 1).then_some(evidence.step_us),
        results: format!("/api/v1/results?check={check}&agent={agent}&state={state}&from={first}&to={after}"),
        state: state.to_owned(),
        missed_cause,
        count: evidence.count,
        first,
        last,
    }
}

#[cfg(test)]
mod tests {
    use sitepulse_daemon::identity::CertificateAuthority;

    use super::*;
    use crate::app::ApplyOptions;
    use crate::checkfile::{self, Source};
    use crate::engine::Engine;

    #[test]
    fn what_is_too_much_to_explain_is_refused_with_the_remedy() {
        let now = clock::now();
        let mut engine = Engine::in_memory(CertificateAuthority::create(now).unwrap(), now).unwrap();
        let text = "[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\n".to_owned();
        let checks = checkfile::parse(&[Source { name: "a.toml".into(), text }]).unwrap();
        let options = ApplyOptions { prune: false, dry_run: false, author: "collector:cli".into() };
        engine.apply(checks, &options, now).unwrap();
        let query: SlaQuery = serde_json::from_str("{\"check\": \"shop\"}").unwrap();
        let book = engine.shared().book();
        let explained = |room| Explained::read(&book, &query, None, &[], now.plus_us(60_000_000), room);
        // One interval, which nobody watched.
        assert_eq!(explained(1).unwrap().view().intervals.len(), 1);
        let problem = explained(0).err().unwrap().view();
        assert_eq!((problem.status, problem.code.as_str()), (400, "bad_request"));
        assert!(problem.detail.contains("ask for a shorter period"), "{}", problem.detail);
    }
}

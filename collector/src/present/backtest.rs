//! `backtest`: a check's evidence under another policy, episode by episode.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::backtest::{Change, Episode, Knobs, REOPEN_US_DEFAULT, Totals};
use sitepulse_model::control::Weight;
use sitepulse_model::duration;
use sitepulse_model::quorum::Quorum;
use sitepulse_model::time::UtcMicros;
use tokio::sync::Semaphore;

use crate::app::App;
use crate::book::{Altered, Book};
use crate::checkfile::STREAK_MAX;
use crate::present::Present;
use crate::present::api::{Ask, SlaQuery, agent_of, ask};
use crate::present::dto::SlaView;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::view::sla_view;

/// Most incidents that one answer tells of: some MiB of JSON.
const CHANGES_MAX: usize = 20_000;
/// Most agents that one question names.
const AGENTS_MAX: usize = 1_000;
/// Longest reopen window: a day, in microseconds.
const REOPEN_US_MAX: u64 = 86_400 * 1_000_000;
/// Back-tests at a time; more wait. Each computes on what it took out of the book.
static SEATS: Semaphore = Semaphore::const_new(2);

/// What `/api/v1/backtest` is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BacktestQuery {
    /// The check.
    pub check: String,
    /// First instant.
    pub from: Option<String>,
    /// First instant after.
    pub to: Option<String>,
    /// As in a check file.
    pub quorum: Option<String>,
    /// 1 to 100.
    pub confirmations: Option<u32>,
    /// 1 to 100.
    pub recoveries: Option<u32>,
    /// `AGENT=WEIGHT`, several apart by commas.
    pub weight: Option<String>,
    /// Agents, apart by commas.
    pub without: Option<String>,
    /// A duration; 5 minutes where nothing is said.
    pub reopen: Option<String>,
}

impl BacktestQuery {
    /// A check from an instant to now, as it was.
    pub fn of(check: &str, from: String) -> Self {
        Self { check: check.to_owned(), from: Some(from), ..Self::default() }
    }

    /// Confirmations or recoveries as people typed them; nothing is as it was.
    ///
    /// # Errors
    /// It is no such number.
    pub fn streak(name: &str, text: &str) -> Answer<Option<u32>> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| bad_streak(name))
    }
}

/// A back-test: what is, what would be, and what becomes of each incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BacktestView {
    /// What was replaced for the whole period.
    pub policy: PolicyView,
    /// The figures as they are.
    pub before: SlaView,
    /// The figures as they would be.
    pub after: SlaView,
    /// Incidents and pages.
    pub totals: TotalsView,
    /// What becomes of each incident, by begin.
    pub changes: Vec<ChangeView>,
}

/// What was replaced; `null` and empty: as it was.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PolicyView {
    /// When enough agents are down.
    pub quorum: Option<String>,
    /// Consecutive bad results before an agent votes so.
    pub confirmations: Option<u32>,
    /// Consecutive good results before it votes better again.
    pub recoveries: Option<u32>,
    /// Weights by agent.
    pub weights: BTreeMap<String, f64>,
    /// Agents whose votes were left out.
    pub without: Vec<String>,
    /// The reopen window; of both sides.
    pub reopen_seconds: f64,
}

/// Incidents and pages, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TotalsView {
    /// Incidents under both policies.
    pub kept: usize,
    /// Incidents that would not be.
    pub gone: usize,
    /// Incidents that would be besides.
    pub new: usize,
    /// Pages as it was.
    pub pages_before: usize,
    /// Pages as it would be.
    pub pages_after: usize,
    /// Pages that would be spared, or missed.
    pub pages_gone: usize,
    /// Pages that would be besides.
    pub pages_new: usize,
}

/// What becomes of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeView {
    /// `down`, `regional` or `degraded`.
    pub kind: String,
    /// `kept`, `gone` or `new`.
    pub outcome: String,
    /// Of its page: `kept`, `gone`, `new`, or `none` where neither policy pages.
    pub page: String,
    /// As it was.
    pub before: Option<EpisodeView>,
    /// As it would be.
    pub after: Option<EpisodeView>,
    /// How much later the page would go out, where both go out; below 0: earlier.
    pub page_later_seconds: Option<f64>,
    /// How much longer it would last, where it is kept; below 0: shorter.
    pub longer_seconds: Option<f64>,
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EpisodeView {
    /// The first failing result's slot, or the period's first instant.
    pub from: String,
    /// Where recovery was known, or the end of the period or of the check's life.
    pub to: String,
    /// From the one to the other.
    pub seconds: f64,
    /// It had not ended then.
    pub lasting: bool,
    /// When the confirming result was due: the page. `null`: seen in hindsight alone, no page.
    pub paged_at: Option<String>,
    /// How much of it counts as its kind in the figures.
    pub counted_seconds: f64,
    /// It went back and forth so often that it was held open.
    pub flapping: bool,
}

/// `GET /api/v1/backtest?check=...`
pub async fn backtest(State(present): State<Present>, query: Ask<BacktestQuery>) -> Answer<Json<BacktestView>> {
    let query = ask(query)?;
    replayed(&present, query).await.map(Json)
}

/// Replays as asked.
///
/// # Errors
/// There is no such check or agent, a value makes no sense, or there is too much to tell.
pub async fn replayed(present: &Present, query: BacktestQuery) -> Answer<BacktestView> {
    let now = clock::now();
    let failed = || Problem::new(Code::Internal, "the back-test could not be computed; see the collector's log");
    let seat = SEATS.acquire().await.map_err(|_| failed())?;
    let app = present.app().clone();
    let replayed = tokio::task::spawn_blocking(move || {
        // Also where nobody waits for the answer any more.
        let _seat = seat;
        view(&app, &query, now)
    });
    replayed.await.map_err(|_| failed())?
}

fn view(app: &App, query: &BacktestQuery, now: UtcMicros) -> Answer<BacktestView> {
    let asked = SlaQuery::plain(query.check.clone(), query.from.clone(), query.to.clone());
    let reopen_us = reopen(query)?;
    let not_found = || Problem::not_found("check", &query.check);
    let (number, period, altered, policy, evidence) = {
        let book = app.book();
        let check = asked.one(&book)?;
        let (from, to, _) = asked.asked(&book, now)?;
        let period = book.period(check, from, to, now);
        let (altered, policy) = altered(&book, query, reopen_us)?;
        let evidence = book.evidence(check.number, period).ok_or_else(not_found)?;
        (check.number, period, altered, policy, evidence)
    };
    // Without the book: those who take results in need it.
    let tested = evidence.backtest(&altered, reopen_us);
    let book = app.book();
    let check = book.check(number).ok_or_else(not_found)?;
    if tested.changes.len() > CHANGES_MAX {
        let what = format!(
            "there are more than {CHANGES_MAX} incidents to tell of: ask for a shorter period with from and to"
        );
        return Err(Problem::new(Code::BadRequest, what));
    }
    let totals = Totals::of(&tested.changes);
    Ok(BacktestView {
        policy,
        before: sla_view(check, period, &tested.before),
        after: sla_view(check, period, &tested.after),
        totals: TotalsView {
            kept: totals.kept,
            gone: totals.gone,
            new: totals.new,
            pages_before: totals.pages_before,
            pages_after: totals.pages_after,
            pages_gone: totals.pages_gone,
            pages_new: totals.pages_new,
        },
        changes: tested.changes.iter().map(change_view).collect(),
    })
}

fn bad(what: impl Into<String>) -> Problem {
    Problem::new(Code::BadRequest, what)
}

fn bad_streak(name: &str) -> Problem {
    bad(format!("{name}: use a whole number from 1 to {STREAK_MAX}"))
}

fn reopen(query: &BacktestQuery) -> Answer<i64> {
    let Some(text) = &query.reopen else { return Ok(REOPEN_US_DEFAULT) };
    let us = duration::parse(text).map_err(|error| bad(format!("reopen: {error}")))?;
    if us > REOPEN_US_MAX {
        return Err(bad("reopen: a reopen window has 1d at most"));
    }
    Ok(us.cast_signed())
}

/// The policy asked for, as the book takes it and as it is shown.
fn altered(book: &Book, query: &BacktestQuery, reopen_us: i64) -> Answer<(Altered, PolicyView)> {
    let quorum =
        query.quorum.as_deref().map(Quorum::parse).transpose().map_err(|error| bad(format!("quorum: {error}")))?;
    for (name, value) in [("confirmations", query.confirmations), ("recoveries", query.recoveries)] {
        if value.is_some_and(|value| !(1..=STREAK_MAX).contains(&value)) {
            return Err(bad_streak(name));
        }
    }
    let knobs = Knobs { quorum, confirmations: query.confirmations, recoveries: query.recoveries };
    let mut altered = Altered { knobs, ..Altered::default() };
    let mut policy = PolicyView {
        quorum: quorum.map(|quorum| quorum.to_string()),
        confirmations: knobs.confirmations,
        recoveries: knobs.recoveries,
        reopen_seconds: reopen_us as f64 / 1e6,
        ..PolicyView::default()
    };
    for text in listed(query.weight.as_deref())? {
        let (name, weight) = text
            .split_once('=')
            .ok_or_else(|| bad(format!("weight: {text:?} is not AGENT=WEIGHT, as in eu-west-1=0.5")))?;
        let weight = Weight::parse(weight).map_err(|error| bad(format!("weight of {name}: {error}")))?;
        if altered.weights.insert(agent_of(book, name)?, weight).is_some() {
            return Err(bad(format!("weight: {name} is named twice")));
        }
        policy.weights.insert(name.to_owned(), weight.as_f64());
    }
    for name in listed(query.without.as_deref())? {
        if altered.without.insert(agent_of(book, name)?) {
            policy.without.push(name.to_owned());
        }
    }
    Ok((altered, policy))
}

fn listed(text: Option<&str>) -> Answer<Vec<&str>> {
    let names: Vec<&str> = text.into_iter().flat_map(|text| text.split(',')).map(str::trim).collect();
    if names.len() > AGENTS_MAX {
        return Err(bad(format!("a question names {AGENTS_MAX} agents at most")));
    }
    Ok(names.into_iter().filter(|name| !name.is_empty()).collect())
}

fn change_view(change: &Change) -> ChangeView {
    let (outcome, before, after) = match change {
        Change::Kept { before, after } => ("kept", Some(before), Some(after)),
        Change::Gone(before) => ("gone", Some(before), None),
        Change::New(after) => ("new", None, Some(after)),
    };
    let page = match change.pages() {
        (true, true) => "kept",
        (true, false) => "gone",
        (false, true) => "new",
        (false, false) => "none",
    };
    let both = before.zip(after);
    let known = both.and_then(|(before, after)| before.known.zip(after.known));
    ChangeView {
        kind: change.episode().kind.as_str().to_owned(),
        outcome: outcome.to_owned(),
        page: page.to_owned(),
        before: before.map(episode_view),
        after: after.map(episode_view),
        page_later_seconds: known.map(|(before, after)| after.us_since(before) as f64 / 1e6),
        longer_seconds: both.map(|(before, after)| (after.span.us() - before.span.us()) as f64 / 1e6),
    }
}

fn episode_view(episode: &Episode) -> EpisodeView {
    EpisodeView {
        from: instant::format(episode.span.from),
        to: instant::format(episode.span.to),
        seconds: episode.span.us() as f64 / 1e6,
        lasting: episode.lasting,
        paged_at: episode.known.map(instant::format),
        counted_seconds: episode.bad_us as f64 / 1e6,
        flapping: episode.flapping,
    }
}

//! `results`: the records of a check over a period, one by one, with everything that is kept of each. Pages are bounded; where the retention or
//! damage took records, the answer says so.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::{AgentNo, Bucket, CheckNo, Incarnation, Seq};
use sitepulse_model::record::{ProbeState, Provenance, Record};
use sitepulse_model::time::{Span, UtcMicros};

use crate::book::{Book, Check};
use crate::present::Present;
use crate::present::api::{agent_of, check_of, instant_of};
use crate::present::dto::ResultView;
use crate::present::list::{List, Paged};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::view::result_view;
use crate::store::records::{self, Gone, Kept, ReadBack};
use crate::store::{StoreError, Tables, rows};

/// Records of one page when nothing is said.
const LIMIT_DEFAULT: usize = 100;

/// The records of a check that speak of a period, by slot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResultsView {
    /// The check's id.
    pub check: String,
    /// First instant of the period.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// The records.
    pub records: Vec<RecordView>,
    /// Asks for the next page, as `after`; absent on the last one.
    pub next: Option<String>,
    /// Where the retention let records of this period go. The timeline, the counts and the figures still stand on them.
    pub gone: Vec<GoneView>,
    /// Where records cannot be read because the store is damaged.
    pub damaged: Vec<DamagedView>,
    /// Records left out because they cannot be read and nobody can tell whose they were: of this check or of one that shares its bucket.
    #[serde(default)]
    pub unreadable: Vec<UnreadableView>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordView {
    /// `agent@slot`; two records of one slot, as after a clock's leap back, share it and differ in `incarnation` and `seq`.
    pub id: String,
    /// `result`, `missed` or `dropped`.
    pub kind: String,
    /// The agent's name.
    pub agent: String,
    /// Its region.
    pub region: String,
    /// The slot; of missed or dropped runs the first.
    pub scheduled: String,
    /// Of missed or dropped runs: the last slot.
    pub last: Option<String>,
    /// How many runs it speaks of.
    pub count: u64,
    /// The check's revision.
    pub revision: u32,
    /// When the run started, by the agent's clock.
    pub started: Option<String>,
    /// Of missed or dropped runs: why.
    pub reason: Option<String>,
    /// What the run found.
    pub result: Option<ResultView>,
    /// The agent's spool, in hexadecimal digits, and the record's number there: what dedupes it.
    pub incarnation: String,
    /// See `incarnation`.
    pub seq: u64,
    /// The agent's build.
    pub build: String,
    /// The collector's clock less the agent's at the last handshake, in microseconds.
    pub clock_offset_us: Option<i64>,
    /// How far off that may be.
    pub clock_uncertainty_us: u64,
}

/// Records of one agent that went with their age.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GoneView {
    /// The agent's name.
    pub agent: String,
    /// How many of this check went in all.
    pub records: u64,
    /// From when on records are kept; absent where none is.
    pub kept_from: Option<String>,
}

/// Records that cannot be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DamagedView {
    /// The agent's name.
    pub agent: String,
    /// The first slot.
    pub from: String,
    /// After the last slot.
    pub to: String,
    /// How many.
    pub records: u64,
    /// What is wrong, and what to do.
    pub what: String,
}

/// Records that cannot be read, of no known check and slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnreadableView {
    /// The agent's name; absent where that is lost too.
    pub agent: Option<String>,
    /// How many.
    pub records: u64,
    /// Where they lie: `quarantine`, or `result` until they are sealed, which sets them aside.
    pub table: String,
}

/// What `/api/v1/results` is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultsQuery {
    check: Option<String>,
    agent: Option<String>,
    /// `up`, `degraded`, `down` or `unknown`: results that found this alone. `missed`, `dropped`: records of such runs alone.
    state: Option<String>,
    from: Option<String>,
    to: Option<String>,
    after: Option<String>,
}

/// What orders records, and where a page ended.
type Cursor = (UtcMicros, AgentNo, Incarnation, Seq);

fn cursor_text((at, agent, incarnation, seq): Cursor) -> String {
    format!("{}.{}.{:x}.{}", at.0, agent.0, incarnation.0, seq.0)
}

fn cursor_of(text: &str) -> Option<Cursor> {
    let mut parts = text.split('.');
    let cursor = (
        UtcMicros(parts.next()?.parse().ok()?),
        AgentNo(parts.next()?.parse().ok()?),
        Incarnation(u64::from_str_radix(parts.next()?, 16).ok()?),
        Seq(parts.next()?.parse().ok()?),
    );
    parts.next().is_none().then_some(cursor)
}

fn cursor(kept: &Kept) -> Cursor {
    (kept.stored.record.scheduled(), kept.agent, kept.stored.incarnation, kept.stored.seq)
}

/// What records say, as a question names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Found(ProbeState),
    Missed,
    Dropped,
}

impl Says {
    const ALL: [Self; 6] = [
        Self::Found(ProbeState::Up),
        Self::Found(ProbeState::Degraded),
        Self::Found(ProbeState::Down),
        Self::Found(ProbeState::Unknown),
        Self::Missed,
        Self::Dropped,
    ];

    fn of(record: &Record) -> Self {
        match record {
            Record::Result(result) => Self::Found(result.state),
            Record::Missed(_) => Self::Missed,
            Record::Dropped(_) => Self::Dropped,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Found(state) => state.as_str(),
            Self::Missed => "missed",
            Self::Dropped => "dropped",
        }
    }

    fn parse(text: &str) -> Answer<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            Problem::new(Code::BadRequest, format!("state={text:?} is none: use {all}"))
        })
    }
}

/// A question to the tables.
struct Question {
    bucket: Bucket,
    check: CheckNo,
    agent: Option<AgentNo>,
    says: Option<Says>,
    period: Span,
    after: Option<Cursor>,
    limit: usize,
    /// The buckets of the agents' own rows.
    agents: BTreeMap<AgentNo, Bucket>,
}

/// What the tables say.
struct Page {
    kept: Vec<Kept>,
    more: bool,
    told: ReadBack,
    gone: Vec<Gone>,
    provenances: BTreeMap<(AgentNo, u32), Provenance>,
}

impl Question {
    fn read(&self, tables: Tables<'_>) -> Result<Page, StoreError> {
        let mut kept = Vec::new();
        let mut more = false;
        // What the pages before told lies before the cursor; ranges that reach into the period begin before it.
        let span = Span::new(self.after.map_or(self.period.from, |(at, ..)| at.max(self.period.from)), self.period.to);
        let told = records::records_of(tables, self.bucket, self.check, self.agent, span, |one| {
            let asked = self.says.is_none_or(|says| says == Says::of(&one.stored.record));
            if !asked || self.after.is_some_and(|after| cursor(&one) <= after) {
                return ControlFlow::Continue(());
            }
            if kept.len() == self.limit {
                more = true;
                return ControlFlow::Break(());
            }
            kept.push(one);
            ControlFlow::Continue(())
        })?;
        let mut provenances = BTreeMap::new();
        for one in &kept {
            let key = (one.agent, one.stored.provenance);
            if let (false, Some(bucket)) = (provenances.contains_key(&key), self.agents.get(&one.agent))
                && let Some(provenance) = rows::provenance(tables, *bucket, one.stored.provenance)?
            {
                provenances.insert(key, provenance);
            }
        }
        let mut gone = records::gone(tables, self.bucket, self.check)?;
        let concerns = |gone: &Gone| {
            self.agent.is_none_or(|agent| agent == gone.agent)
                && gone.kept_from.is_none_or(|kept| self.period.from < kept)
        };
        gone.retain(concerns);
        Ok(Page { kept, more, told, gone, provenances })
    }
}

/// `GET /api/v1/results?check=...`
pub async fn results(State(present): State<Present>, list: List<ResultsQuery>) -> Answer<Paged<ResultsView>> {
    let List { query, page: asked } = list;
    let limit = asked.limit_or(LIMIT_DEFAULT);
    let query = ResultsQuery { after: asked.cursor()?.or(query.after), ..query };
    let now = clock::now();
    let question = question(&present.app().book(), &query, limit, now)?;
    let (check, period) = (question.check, question.period);
    let page = present.app().read_store(move |tables| question.read(tables)).await?;
    let book = present.app().book();
    let check = book.check(check).ok_or_else(|| Problem::new(Code::Internal, "the check is gone"))?;
    let found = view(&book, check, period, &page);
    let next = found.next.clone();
    Ok(asked.around(found, limit, next.as_ref()))
}

fn question(book: &Book, query: &ResultsQuery, limit: usize, now: UtcMicros) -> Answer<Question> {
    let bad = |text: String| Problem::new(Code::BadRequest, text);
    let id = query.check.as_ref().ok_or_else(|| bad("name the check: `check=ID`".into()))?;
    let check = check_of(book, id)?;
    let at = |text: &Option<String>| text.as_deref().map(|text| instant_of(text, now)).transpose();
    let (from, to) = (at(&query.from)?, at(&query.to)?);
    if from.is_some_and(|from| from >= to.unwrap_or(now).min(now)) {
        return Err(bad("the period is empty: `from` must lie before `to`, and before now".into()));
    }
    let after = query.after.as_deref().map(|text| {
        cursor_of(text).ok_or_else(|| bad(format!("after={text:?}: take it from `next` of the page before")))
    });
    Ok(Question {
        bucket: check.bucket(),
        check: check.number,
        agent: query.agent.as_deref().map(|name| agent_of(book, name)).transpose()?,
        says: query.state.as_deref().map(Says::parse).transpose()?,
        period: book.period(check, from, to, now),
        after: after.transpose()?,
        limit,
        agents: book.agents().map(|agent| (agent.number, agent.name.bucket())).collect(),
    })
}

fn view(book: &Book, check: &Check, period: Span, page: &Page) -> ResultsView {
    let name = |agent: AgentNo| book.agent(agent).map_or_else(|| format!("#{agent}"), |agent| agent.name.to_string());
    let next = page.kept.last().filter(|_| page.more).map(|last| cursor_text(cursor(last)));
    ResultsView {
        check: check.id.to_string(),
        from: instant::format(period.from),
        to: instant::format(period.to),
        records: page.kept.iter().map(|kept| record_view(book, check, kept, page)).collect(),
        next,
        gone: page.gone.iter().map(|gone| gone_view(book, gone)).collect(),
        damaged: page
            .told
            .damaged
            .iter()
            .map(|chunk| DamagedView {
                agent: name(chunk.agent),
                from: instant::format(chunk.span.from),
                to: instant::format(chunk.span.to),
                records: chunk.records,
                what: chunk.what.clone(),
            })
            .collect(),
        unreadable: page
            .told
            .unreadable
            .iter()
            .map(|one| UnreadableView {
                agent: one.agent.map(name),
                records: one.records,
                table: if one.set_aside { "quarantine" } else { "result" }.to_owned(),
            })
            .collect(),
    }
}

/// The id of a record.
pub(super) fn record_id(agent: &str, slot: &str) -> String {
    format!("{agent}@{slot}")
}

/// Records that went with their age, as JSON.
pub(super) fn gone_view(book: &Book, gone: &Gone) -> GoneView {
    let agent = book.agent(gone.agent);
    GoneView {
        agent: agent.map_or_else(|| format!("#{}", gone.agent), |agent| agent.name.to_string()),
        records: gone.records,
        kept_from: gone.kept_from.map(instant::format),
    }
}

fn record_view(book: &Book, check: &Check, kept: &Kept, page: &Page) -> RecordView {
    let stored = &kept.stored;
    let (agent, region) = book.agent(kept.agent).map_or_else(
        || (format!("#{}", kept.agent), String::new()),
        |agent| (agent.name.to_string(), agent.region.to_string()),
    );
    let provenance = page.provenances.get(&(kept.agent, stored.provenance)).cloned().unwrap_or_default();
    let slot = instant::format(stored.record.scheduled());
    let mut view = RecordView {
        id: record_id(&agent, &slot),
        kind: String::new(),
        agent,
        region,
        scheduled: slot,
        last: None,
        count: 1,
        revision: 0,
        started: None,
        reason: None,
        result: None,
        incarnation: format!("{:016x}", stored.incarnation.0),
        seq: stored.seq.0,
        build: provenance.build,
        clock_offset_us: provenance.clock_offset_us,
        clock_uncertainty_us: provenance.clock_uncertainty_us,
    };
    match &stored.record {
        Record::Result(result) => {
            let revision = check.revision(result.revision).unwrap_or_else(|| check.newest());
            view.kind = "result".into();
            view.revision = result.revision.0;
            view.started = Some(instant::format(result.started));
            view.result = Some(result_view(&revision.definition, result));
        }
        Record::Missed(missed) => {
            view.kind = "missed".into();
            view.last = Some(instant::format(missed.last));
            view.count = missed.count;
            view.revision = missed.revision.0;
            view.reason = Some(missed.cause.to_string());
        }
        Record::Dropped(dropped) => {
            view.kind = "dropped".into();
            view.last = Some(instant::format(dropped.last));
            view.count = dropped.count;
            view.revision = dropped.revision.0;
            view.reason = Some(dropped.reason.to_string());
        }
    }
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let cursor = (UtcMicros(-5), AgentNo(7), Incarnation(u64::MAX), Seq(1 << 60));
        assert_eq!(cursor_of(&cursor_text(cursor)), Some(cursor));
        for text in ["", "1.2.3", "1.2.3.4.5", "a.1.1.1", "1.2.zz.4"] {
            assert_eq!(cursor_of(text), None, "{text}");
        }
    }
}

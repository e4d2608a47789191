//! Maintenance windows, past and coming: `GET /api/v1/windows`.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::time::{Span, UtcMicros};

use crate::book::{Book, Check, Occurrence};
use crate::present::Present;
use crate::present::api::{check_of, instant_of};
use crate::present::list::{List, Listed};
use crate::present::problem::{Answer, Code, Problem};

/// How far back and ahead is told where nothing else is asked: 7 and 30 days.
const AROUND_US: (i64, i64) = (7 * DAY_US, 30 * DAY_US);
const DAY_US: i64 = 86_400 * 1_000_000;
/// Most occurrences in one answer.
const OCCURRENCES_MAX: usize = 5_000;

/// What is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowsQuery {
    check: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

/// One time that a window was, is or will be open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WindowView {
    /// The window's id.
    pub window: String,
    /// Its version.
    pub version: u32,
    /// `past`, `open` or `coming`.
    pub state: String,
    /// First instant, as far as this version applies.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// The checks that it covers, by id.
    pub checks: Vec<String>,
}

/// `GET /api/v1/windows`
pub async fn windows(State(present): State<Present>, list: List<WindowsQuery>) -> Answer<Listed<WindowView>> {
    let List { query, page } = list;
    let now = clock::now();
    let windows = present.read(move |book| asked(book, &query, now)).await??;
    page.of_all(windows, |one| (one.from.clone(), one.window.clone(), one.version))
}

/// The windows of the last 7 and the coming 30 days.
///
/// # Errors
/// When they are too many to tell.
pub fn around(book: &Book, now: UtcMicros) -> Answer<Vec<WindowView>> {
    asked(book, &WindowsQuery::default(), now)
}

fn asked(book: &Book, query: &WindowsQuery, now: UtcMicros) -> Answer<Vec<WindowView>> {
    let check = query.check.as_ref().map(|id| check_of(book, id)).transpose()?;
    let at = |text: &Option<String>| text.as_deref().map(|text| instant_of(text, now)).transpose();
    let from = at(&query.from)?.unwrap_or(now.plus_us(-AROUND_US.0));
    let to = at(&query.to)?.unwrap_or(now.plus_us(AROUND_US.1).max(from.plus_us(AROUND_US.1)));
    if from >= to {
        return Err(Problem::new(Code::BadRequest, "the period is empty: `from` must lie before `to`"));
    }
    let found = book.occurrences(check.map(|check| check.number), Span::new(from, to), OCCURRENCES_MAX);
    let found = found.ok_or_else(|| {
        let what =
            format!("more than {OCCURRENCES_MAX} times: ask for a shorter period with from and to, or for one check");
        Problem::new(Code::BadRequest, what)
    })?;
    Ok(found.iter().map(|one| view(book, one, now)).collect())
}

fn view(book: &Book, one: &Occurrence, now: UtcMicros) -> WindowView {
    let state = match one.span {
        span if span.to <= now => "past",
        span if span.from <= now => "open",
        _ => "coming",
    };
    let mut checks: Vec<String> =
        one.checks.iter().filter_map(|number| Some(book.check(*number)?.id.to_string())).collect();
    checks.sort();
    WindowView {
        window: one.window.clone(),
        version: one.version,
        state: state.to_owned(),
        from: instant::format(one.span.from),
        to: instant::format(one.span.to),
        checks,
    }
}

/// The windows of a check that are open now or next, for its page: at most so many, within the coming 30 days.
pub fn next_of(book: &Book, check: &Check, now: UtcMicros, most: usize) -> Vec<WindowView> {
    let ahead = Span::new(now, now.plus_us(AROUND_US.1));
    let found = book.occurrences(Some(check.number), ahead, OCCURRENCES_MAX).unwrap_or_default();
    found.iter().take(most).map(|one| view(book, one, now)).collect()
}

//! `/api/v1/amendments`.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sitepulse_daemon::clock;
use sitepulse_model::id::CheckNo;
use sitepulse_model::time::{Span, UtcMicros};

use super::{check_of, instant_of};
use crate::present::Present;
use crate::present::dto::amendments::AmendmentsView;
use crate::present::list::{List, Paged};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::view::amendments::amendment_view;
use crate::store::amendments::{self, Asked, Cursor, Stored};

/// Most amendments of a page.
pub const PAGE_MAX: usize = 1000;
/// How many a page has where nothing is said.
const PAGE_DEFAULT: usize = 100;

/// What the amendments are asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AmendmentsQuery {
    pub(crate) check: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) after: Option<String>,
    #[serde(skip)]
    pub(crate) limit: Option<usize>,
}

/// `GET /api/v1/amendments`: the newest first.
pub async fn amendments(State(present): State<Present>, list: List<AmendmentsQuery>) -> Answer<Paged<AmendmentsView>> {
    let List { query, page: asked } = list;
    let limit = asked.limit_or(PAGE_DEFAULT);
    let after = asked.cursor()?.or(query.after);
    let query = AmendmentsQuery { limit: Some(limit), after, ..query };
    let found = page(&present, &query, clock::now()).await?;
    let next = found.next.clone();
    Ok(asked.around(found, limit, next.as_ref()))
}

/// A page of amendments.
///
/// # Errors
/// When there is no such check, or the question makes no sense.
pub async fn page(present: &Present, query: &AmendmentsQuery, now: UtcMicros) -> Answer<AmendmentsView> {
    let bad = |what: String| Problem::new(Code::BadRequest, what);
    let at = |text: &Option<String>| text.as_deref().map(|text| instant_of(text, now)).transpose();
    let (from, to) = (at(&query.from)?.unwrap_or(UtcMicros::MIN), at(&query.to)?.unwrap_or(UtcMicros::MAX));
    if from >= to {
        return Err(bad("the period is empty: `from` must lie before `to`".into()));
    }
    let limit = query.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(bad(format!("limit={limit}: a page has 1 to {PAGE_MAX} amendments")));
    }
    let after = query.after.as_deref().map(|text| {
        cursor(text).ok_or_else(|| bad(format!("after={text:?}: give what the page before had in `next`")))
    });
    let check = {
        let book = present.app().book();
        let check = query.check.as_deref().map(|id| check_of(&book, id)).transpose()?;
        check.map(|check| (check.bucket(), check.number))
    };
    // One more tells whether there is another page.
    let asked = Asked { check, period: Span::new(from, to), after: after.transpose()?, limit: limit + 1 };
    let mut stored = present.app().read_store(move |tables| amendments::page(tables, &asked)).await?;
    let more = stored.len() > limit;
    stored.truncate(limit);
    let next = stored.last().filter(|_| more).map(next_of);
    let book = present.app().book();
    Ok(AmendmentsView { amendments: stored.iter().map(|one| amendment_view(&book, one)).collect(), next })
}

fn next_of(last: &Stored) -> String {
    format!("{}.{}.{}", last.amendment.noted_us, last.check, last.number)
}

fn cursor(text: &str) -> Option<Cursor> {
    let mut parts = text.split('.');
    let noted = UtcMicros(parts.next()?.parse().ok()?);
    let (check, number) = (CheckNo(parts.next()?.parse().ok()?), parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(Cursor { noted, check, number })
}

//! What impact scores were, as an export carries them: they tell what was said then, so they cannot be found again from the records.
//!
//! A row is a day of UTC of one check, group or region, or of all checks together, by one model. The newest [`ROWS_MAX`] are carried; `/api/v1/impact-history.csv` tells any of them.
//! Groups, regions and all checks together come along with an export of all checks alone.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sitepulse_model::id::{CheckId, CheckNo};
use sitepulse_model::impact::model::{BUILT_IN, ID};
use sitepulse_model::time::{Span, UtcMicros};

use crate::book::{Book, ObjectKind};
use crate::exchange::histories::ObjectHistory;
use crate::latency::{Day, Hour};
use crate::store::impact::{self as stored, Of, WHOLE};
use crate::store::{StoreError, Tables};

/// Most rows of an export: what import takes at once has room for them.
pub const ROWS_MAX: usize = 100_000;
/// All checks together, where a name would stand.
const ALL: &str = "all";

/// A day of scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreHistory {
    /// `check:ID`, `group:NAME`, `region:NAME` or `all`.
    pub of: String,
    /// The day of UTC: days since 1970.
    pub day: i64,
    /// The model that found them.
    pub model: String,
    /// Hundredths of a point by the hour; -1 where there was no score.
    pub hours: Vec<i32>,
}

/// The days of some checks, or of all and of what they make together, within a span; the newest first.
pub(crate) fn read(
    tables: Tables<'_>,
    book: &Book,
    only: Option<&BTreeSet<CheckNo>>,
    span: Span,
) -> Result<Vec<ScoreHistory>, StoreError> {
    let days = (Hour::of(span.from).day(), Hour::of(UtcMicros(span.to.0.saturating_sub(1))).day());
    let mut found = Vec::new();
    stored::days(tables, days, |of, day, model, hours| {
        let name = match &of {
            Of::Check(bucket, check) if (*bucket, *check) == WHOLE => only.is_none().then(|| ALL.to_owned()),
            Of::Check(_, number) => {
                let wanted = only.is_none_or(|only| only.contains(number));
                book.check(*number).filter(|_| wanted).map(|check| format!("check:{}", check.id))
            }
            Of::Group(name) => only.is_none().then(|| format!("group:{name}")),
            Of::Region(name) => only.is_none().then(|| format!("region:{name}")),
        };
        if let Some(of) = name {
            found.push(ScoreHistory { of, day: day.0, model, hours });
        }
    })?;
    found.sort_by(|a, b| b.day.cmp(&a.day).then_with(|| (&a.of, &a.model).cmp(&(&b.of, &b.model))));
    found.truncate(ROWS_MAX);
    Ok(found)
}

/// A day that is taken in.
pub(crate) type Taken<'h> = (Of, Day, &'h ScoreHistory);

/// The days that mean here what they meant there: of checks that are known, by a model that is the same here. `number`: of a check, those of this import too.
pub(crate) fn taken<'h>(
    book: &Book,
    scores: &'h [ScoreHistory],
    objects: &[ObjectHistory],
    number: impl Fn(&CheckId) -> Option<CheckNo>,
) -> Result<Vec<Taken<'h>>, String> {
    let table = ObjectKind::Scoring.table();
    let theirs = |version: u32| objects.iter().find(|one| one.kind == table && one.version == version);
    let here = |version: u32, one: &ObjectHistory| {
        let known = book.objects().scorings.iter().find(|(id, _)| *id == ID);
        // Without a history of its own this collector takes theirs, in this very import.
        known.is_none_or(|(_, versions)| {
            versions.iter().any(|mine| mine.version == version && mine.effective_from == one.effective_from.0)
        })
    };
    let same = |model: &str| {
        model == format!("{BUILT_IN}@1")
            || model
                .strip_prefix(&format!("{ID}@"))
                .and_then(|version| version.parse().ok())
                .is_some_and(|version| theirs(version).is_some_and(|one| here(version, one)))
    };
    let mut found = Vec::new();
    for one in scores {
        let bad = |what: &str| format!("scores of {:?} on day {}: {what}", one.of, one.day);
        if one.hours.len() != 24 || one.hours.iter().any(|hour| !(-1..=10_000).contains(hour)) {
            return Err(bad("there must be 24 hours, each -1 or 0 to 10000"));
        }
        if !(-1_000_000..1_000_000).contains(&one.day) {
            return Err(bad("that is no day"));
        }
        let of = match one.of.split_once(':') {
            None if one.of == ALL => Some(Of::Check(WHOLE.0, WHOLE.1)),
            Some(("check", id)) => {
                let id = CheckId::parse(id).map_err(|_| bad("that is no check"))?;
                number(&id).map(|number| Of::Check(id.bucket(), number))
            }
            Some(("group", name)) => Some(Of::Group(name.to_owned())),
            Some(("region", name)) => Some(Of::Region(name.to_owned())),
            Some(_) | None => return Err(bad("use check:ID, group:NAME, region:NAME or all")),
        };
        found.extend(of.filter(|_| same(&one.model)).map(|of| (of, Day(one.day), one)));
    }
    Ok(found)
}

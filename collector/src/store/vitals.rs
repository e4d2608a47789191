//! The tables `vitals`, `report` and `screenshot`. Functions that write are given the tables within a
//! transaction, by [`super::Store::write`].

use rusqlite::{OptionalExtension, Row as SqlRow, params, params_from_iter};
use sitepulse_model::id::{AgentNo, Bucket, CheckNo, Incarnation, Revision, Seq};
use sitepulse_model::record::{Cause, ProbeState};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vitals::{Spread, Vital};

use super::{StoreError, Tables};
use crate::vitals::{REPORTS_MAX, Row, SCREENSHOTS_MAX, ScreenshotKey};

/// The columns of the values, in the order of [`Vital::ALL`]: median, smallest, largest.
const VALUES: &str = "lcp, lcp_min, lcp_max, cls, cls_min, cls_max, inp, inp_min, inp_max, tbt, tbt_min, tbt_max, \
     fcp, fcp_min, fcp_max, ttfb, ttfb_min, ttfb_max";

fn bad(what: String) -> StoreError {
    StoreError::BadRow { table: "vitals", what }
}

/// Adds what figures need of a result; `late`: it came in too late to page anybody.
pub(crate) fn insert(
    tables: Tables<'_>,
    bucket: Bucket,
    check: CheckNo,
    (incarnation, seq): (Incarnation, Seq),
    row: &Row,
    late: bool,
) -> Result<(), StoreError> {
    use rusqlite::types::Value;
    let number = |value: u64| Value::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    let mut values = vec![
        Value::Integer(i64::from(bucket.0)),
        Value::Integer(i64::from(check.0)),
        Value::Integer(row.scheduled.0),
        Value::Integer(i64::from(row.agent.0)),
        Value::Integer(incarnation.0.cast_signed()),
        Value::Integer(seq.0.cast_signed()),
        Value::Integer(i64::from(row.revision.0)),
        Value::Integer(i64::from(row.state.code())),
        row.cause.map_or(Value::Null, |cause| Value::Integer(i64::from(cause.code()))),
        Value::Text(row.profile.clone()),
        Value::Integer(i64::from(row.loads_counted)),
        Value::Integer(i64::from(row.loads_low_confidence)),
    ];
    for spread in &row.values {
        match spread {
            Some(spread) => values.extend([number(spread.median), number(spread.min), number(spread.max)]),
            None => values.extend([Value::Null, Value::Null, Value::Null]),
        }
    }
    values.push(Value::Text(row.lcp_element.clone()));
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
    values.extend([text(&row.lcp_url), text(&row.shift_sources), text(&row.browser)]);
    values.push(Value::Integer(late.into()));
    let places = vec!["?"; values.len()].join(", ");
    tables
        .prepare_cached(&format!(
            "INSERT INTO vitals(bucket, check_no, scheduled_us, agent_no, incarnation, seq, revision, state, cause, profile, \
             loads_counted, loads_low_confidence, {VALUES}, lcp_element, lcp_url, shift_sources, browser, late) VALUES ({places})"
        ))?
        .execute(params_from_iter(values))?;
    Ok(())
}

/// Calls `each` with every row of a check in a span, by slot.
pub(crate) fn rows(
    tables: Tables<'_>,
    bucket: Bucket,
    check: CheckNo,
    span: Span,
    each: impl FnMut(Row),
) -> Result<(), StoreError> {
    rows_where(tables, "", (bucket, check, span), each)
}

/// [`rows`] of what came in time: what pages may rest on.
pub(crate) fn rows_in_time(
    tables: Tables<'_>,
    bucket: Bucket,
    check: CheckNo,
    span: Span,
    each: impl FnMut(Row),
) -> Result<(), StoreError> {
    rows_where(tables, "AND late = 0", (bucket, check, span), each)
}

fn rows_where(
    tables: Tables<'_>,
    which: &str,
    (bucket, check, span): (Bucket, CheckNo, Span),
    mut each: impl FnMut(Row),
) -> Result<(), StoreError> {
    let mut statement = tables.prepare_cached(&format!(
        "SELECT scheduled_us, agent_no, state, profile, loads_counted, loads_low_confidence, lcp_element, revision, cause, {VALUES}, lcp_url, shift_sources, browser FROM vitals \
         WHERE bucket = ?1 AND check_no = ?2 AND scheduled_us >= ?3 AND scheduled_us < ?4 {which} ORDER BY scheduled_us, agent_no"
    ))?;
    let mut rows = statement.query(params![bucket.0, check.0, span.from.0, span.to.0])?;
    while let Some(row) = rows.next()? {
        each(read(row)?);
    }
    Ok(())
}

fn read(row: &SqlRow<'_>) -> Result<Row, StoreError> {
    let state: u8 = row.get(2)?;
    let mut values = [None; Vital::ALL.len()];
    for (index, value) in values.iter_mut().enumerate() {
        let column = |nth: usize| row.get::<_, Option<i64>>(9 + 3 * index + nth).map(|n| n.map(i64::cast_unsigned));
        if let (Some(median), Some(min), Some(max)) = (column(0)?, column(1)?, column(2)?) {
            *value = Some(Spread { median, min, max });
        }
    }
    Ok(Row {
        scheduled: UtcMicros(row.get(0)?),
        agent: AgentNo(row.get(1)?),
        revision: Revision(row.get(7)?),
        cause: row.get::<_, Option<u8>>(8)?.and_then(Cause::from_code),
        state: ProbeState::from_code(state).ok_or_else(|| bad(format!("state {state}")))?,
        profile: row.get(3)?,
        loads_counted: row.get(4)?,
        loads_low_confidence: row.get(5)?,
        values,
        lcp_element: row.get(6)?,
        lcp_url: row.get(9 + 3 * Vital::ALL.len())?,
        shift_sources: row.get(10 + 3 * Vital::ALL.len())?,
        browser: row.get(11 + 3 * Vital::ALL.len())?,
    })
}

/// Keeps the report of a run, and of its check from its agent the newest [`REPORTS_MAX`]. A clock that leapt back may bring a slot twice: what the later
/// run brought stays, be it nothing.
pub(crate) fn set_report(
    tables: Tables<'_>,
    bucket: Bucket,
    check: CheckNo,
    (agent, scheduled): (AgentNo, UtcMicros),
    json: Option<&str>,
) -> Result<(), StoreError> {
    let Some(json) = json else {
        tables
            .prepare_cached(
                "DELETE FROM report WHERE bucket = ?1 AND check_no = ?2 AND agent_no = ?3 AND scheduled_us = ?4",
            )?
            .execute(params![bucket.0, check.0, agent.0, scheduled.0])?;
        return Ok(());
    };
    tables
        .prepare_cached(
            "INSERT INTO report(bucket, check_no, agent_no, scheduled_us, body) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (bucket, check_no, agent_no, scheduled_us) DO UPDATE SET body = excluded.body",
        )?
        .execute(params![bucket.0, check.0, agent.0, scheduled.0, json])?;
    // Of fewer than that many the subquery finds none, and nothing is older than nothing.
    tables
        .prepare_cached(
            "DELETE FROM report WHERE bucket = ?1 AND check_no = ?2 AND agent_no = ?3 AND scheduled_us <= (SELECT scheduled_us \
             FROM report WHERE bucket = ?1 AND check_no = ?2 AND agent_no = ?3 ORDER BY scheduled_us DESC LIMIT 1 OFFSET ?4)",
        )?
        .execute(params![bucket.0, check.0, agent.0, REPORTS_MAX as i64])?;
    Ok(())
}

/// Calls `each` with the newest report of each check from each agent: check, agent, slot, JSON. The others are not read.
pub(crate) fn newest_reports(
    tables: Tables<'_>,
    mut each: impl FnMut(CheckNo, AgentNo, UtcMicros, String),
) -> Result<(), StoreError> {
    let mut statement = tables.prepare(
        "SELECT r.check_no, r.agent_no, r.scheduled_us, r.body FROM (SELECT bucket, check_no, agent_no, max(scheduled_us) AS newest \
         FROM report GROUP BY bucket, check_no, agent_no) AS n JOIN report AS r ON r.bucket = n.bucket AND r.check_no = n.check_no \
         AND r.agent_no = n.agent_no AND r.scheduled_us = n.newest",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(CheckNo(row.get(0)?), AgentNo(row.get(1)?), UtcMicros(row.get(2)?), row.get(3)?);
    }
    Ok(())
}

/// Keeps a screenshot, and of its check the newest [`SCREENSHOTS_MAX`]. A clock that leapt back may bring a slot twice: the later one stays.
pub(crate) fn insert_screenshot(
    tables: Tables<'_>,
    bucket: Bucket,
    check: CheckNo,
    key: ScreenshotKey,
    jpeg: &[u8],
) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO screenshot(bucket, check_no, scheduled_us, agent_no, jpeg) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (bucket, check_no, scheduled_us, agent_no) DO UPDATE SET jpeg = excluded.jpeg",
        )?
        .execute(params![bucket.0, check.0, key.scheduled.0, key.agent.0, jpeg])?;
    tables
        .prepare_cached(
            "DELETE FROM screenshot WHERE bucket = ?1 AND check_no = ?2 AND (scheduled_us, agent_no) NOT IN (SELECT scheduled_us, \
             agent_no FROM screenshot WHERE bucket = ?1 AND check_no = ?2 ORDER BY scheduled_us DESC, agent_no DESC LIMIT ?3)",
        )?
        .execute(params![bucket.0, check.0, SCREENSHOTS_MAX as i64])?;
    Ok(())
}

/// Of what there are screenshots.
pub(crate) fn screenshots(tables: Tables<'_>) -> Result<Vec<(CheckNo, ScreenshotKey)>, StoreError> {
    let mut statement = tables.prepare("SELECT check_no, scheduled_us, agent_no FROM screenshot")?;
    let rows = statement.query_map([], |row| {
        let key = ScreenshotKey { scheduled: UtcMicros(row.get(1)?), agent: AgentNo(row.get(2)?) };
        Ok((CheckNo(row.get(0)?), key))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One screenshot.
pub(crate) fn screenshot(
    tables: Tables<'_>,
    bucket: Bucket,
    check: CheckNo,
    key: ScreenshotKey,
) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(tables
        .prepare_cached(
            "SELECT jpeg FROM screenshot WHERE bucket = ?1 AND check_no = ?2 AND scheduled_us = ?3 AND agent_no = ?4",
        )?
        .query_row(params![bucket.0, check.0, key.scheduled.0, key.agent.0], |row| row.get(0))
        .optional()?)
}

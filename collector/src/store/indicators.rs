//! What the indicators ask of the tables, and the table `spared`: pages that nobody got.

use rusqlite::params;
use sitepulse_model::id::{Bucket, CheckNo};
use sitepulse_model::incident::indicators::{Episode, Facts, Moment, Spared, Sparing};
use sitepulse_model::incident::{IncidentId, IncidentKind, NoticeEvent};
use sitepulse_model::time::{Span, UtcMicros};

use super::{StoreError, Tables};
use crate::alert::Record;

/// Writes down that a page was spared; once, however often it is told.
pub(crate) fn spare(tables: Tables<'_>, bucket: Bucket, one: &Spared) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO spared(bucket, check_no, at_us, cause) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (bucket, check_no, at_us, cause) DO NOTHING",
        )?
        .execute(params![bucket.0, one.check.0, one.at.0, one.by.code()])?;
    Ok(())
}

/// A page with its step and channel.
type Page = (Moment, u32, String);

fn is_message((page, of, by): &Page, incident: &IncidentId, step: u32, channel: &str) -> bool {
    page.incident == *incident && *of == step && by == channel
}

/// What is known of a stretch of time.
pub(crate) fn facts(tables: Tables<'_>, span: Span) -> Result<Facts, StoreError> {
    let mut facts = Facts { episodes: episodes(tables, span)?, ..Facts::default() };
    // An entry is about an incident that is not over before it, so those of the span have it all.
    let mut statement = tables.prepare_cached(
        "SELECT e.incident_id, e.at_us, e.body FROM incident i JOIN incident_entry e USING (bucket, incident_id) \
         WHERE i.suspected_us < ?1 AND (i.resolved_us IS NULL OR i.resolved_us >= ?2) AND e.at_us >= ?2 AND e.at_us < ?1 \
         AND (json_extract(e.body, '$.record') IN ('step', 'message_cancelled', 'message_taken_up') \
              OR json_extract(e.body, '$.entry') = 'acknowledged') \
         ORDER BY e.incident_id, e.number",
    )?;
    let mut rows = statement.query(params![span.to.0, span.from.0])?;
    // Of one incident: each page with its step and channel, for it may be taken back.
    let mut pages: Vec<Page> = Vec::new();
    // Those that somebody took back: they may be taken up again.
    let mut cancelled: Vec<Page> = Vec::new();
    while let Some(row) = rows.next()? {
        let (incident, at) = (IncidentId(row.get(0)?), UtcMicros(row.get(1)?));
        // An entry that cannot be read is told on the page of its incident.
        let Ok(record) = serde_json::from_str::<Record>(row.get_ref(2)?.as_str().unwrap_or_default()) else { continue };
        match record {
            Record::Step { step, event, channels, withdrawn, .. } => {
                if !withdrawn.is_empty() {
                    pages.retain(|(page, of, channel)| page.incident != incident || withdrawn.get(channel) != Some(of));
                }
                if matches!(event, NoticeEvent::Opened | NoticeEvent::Escalated) {
                    let page = |channel| (Moment { at, incident: incident.clone() }, step, channel);
                    pages.extend(channels.into_iter().map(page));
                }
            }
            Record::Life(_) => facts.taken.push(Moment { at, incident }),
            Record::MessageCancelled { step, channel } => {
                cancelled.extend(pages.extract_if(.., |page| is_message(page, &incident, step, &channel)));
            }
            Record::MessageTakenUp { step, channel } => {
                pages.extend(cancelled.extract_if(.., |page| is_message(page, &incident, step, &channel)));
            }
            Record::LetThrough { .. }
            | Record::Comment { .. }
            | Record::PublicNote { .. }
            | Record::Assigned { .. }
            | Record::PostMortem { .. }
            | Record::Evidence(_) => {}
        }
    }
    facts.pages = pages.into_iter().map(|(page, ..)| page).collect();
    let mut statement = tables
        .prepare_cached("SELECT check_no, at_us, cause FROM spared WHERE at_us >= ?1 AND at_us < ?2 ORDER BY at_us")?;
    let mut rows = statement.query(params![span.from.0, span.to.0])?;
    while let Some(row) = rows.next()? {
        if let Some(by) = Sparing::of_code(row.get(2)?) {
            facts.spared.push(Spared { at: UtcMicros(row.get(1)?), check: CheckNo(row.get(0)?), by });
        }
    }
    Ok(facts)
}

/// The incidents that were suspected before a span's end and were not over before it.
fn episodes(tables: Tables<'_>, span: Span) -> Result<Vec<Episode>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT incident_id, CASE WHEN subject = 1 THEN check_no END, kind, life FROM incident \
         WHERE suspected_us < ?1 AND (resolved_us IS NULL OR resolved_us >= ?2) ORDER BY suspected_us, incident_id",
    )?;
    let mut rows = statement.query(params![span.to.0, span.from.0])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let bad = |what: String| StoreError::BadRow { table: "incident", what: format!("{id}: {what}") };
        let kind: String = row.get(2)?;
        let kind = IncidentKind::parse(&kind).ok_or_else(|| bad(format!("kind {kind:?}")))?;
        let life = row.get_ref(3)?.as_str().map_err(|error| bad(error.to_string()))?;
        let life = serde_json::from_str(life).map_err(|error| bad(error.to_string()))?;
        let check: Option<u32> = row.get(1)?;
        found.push(Episode { check: check.map(CheckNo), kind, life, id: IncidentId(id) });
    }
    Ok(found)
}

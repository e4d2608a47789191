//! The tables `subscriber` and `subscriber_mail`. Functions that write are given the tables within a transaction, by [`super::Store::write`].

use rusqlite::{OptionalExtension, params};
use sitepulse_model::id::Bucket;
use sitepulse_model::time::UtcMicros;

use super::{StoreError, Tables};
use crate::subscribers::{DueMail, MailKey, News, Subscriber};

/// How a mail is kept: its state's number.
const WAITS: u8 = 1;
const DELIVERED: u8 = 2;
const GIVEN_UP: u8 = 3;

/// A subscriber; `None` where there is none of this name.
pub(crate) fn one(tables: Tables<'_>, page: &str, subscriber: &str) -> Result<Option<Subscriber>, StoreError> {
    Ok(tables
        .prepare_cached(
            "SELECT sealed, language, state, asked_us FROM subscriber WHERE bucket = ?1 AND page_id = ?2 AND subscriber = ?3",
        )?
        .query_row(params![Bucket::of(page).0, page, subscriber], |row| {
            Ok(Subscriber {
                sealed: row.get(0)?,
                language: row.get(1)?,
                confirmed: row.get::<_, u8>(2)? == 2,
                asked: UtcMicros(row.get(3)?),
            })
        })
        .optional()?)
}

/// How many asked for the mails of a page and have not confirmed, and how many have.
pub(crate) fn count(tables: Tables<'_>, page: &str) -> Result<(u64, u64), StoreError> {
    let count = |state: u8| -> Result<u64, StoreError> {
        Ok(tables
            .prepare_cached("SELECT count(*) FROM subscriber WHERE bucket = ?1 AND page_id = ?2 AND state = ?3")?
            .query_row(params![Bucket::of(page).0, page, state], |row| row.get::<_, i64>(0))?
            .unsigned_abs())
    };
    Ok((count(1)?, count(2)?))
}

/// Notes that somebody asked, new or again.
pub(crate) fn ask(tables: Tables<'_>, page: &str, subscriber: &str, one: &Subscriber) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO subscriber(bucket, page_id, subscriber, sealed, language, state, asked_us) VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6) \
             ON CONFLICT (bucket, page_id, subscriber) DO UPDATE SET sealed = excluded.sealed, language = excluded.language, \
             asked_us = excluded.asked_us",
        )?
        .execute(params![Bucket::of(page).0, page, subscriber, one.sealed, one.language, one.asked.0])?;
    Ok(())
}

/// Notes that they confirmed; whether they had asked.
pub(crate) fn confirm(tables: Tables<'_>, page: &str, subscriber: &str, now: UtcMicros) -> Result<bool, StoreError> {
    let changed = tables
        .prepare_cached(
            "UPDATE subscriber SET state = 2, refused = 0, confirmed_us = coalesce(confirmed_us, ?1) WHERE bucket = ?2 AND page_id = ?3 AND subscriber = ?4",
        )?
        .execute(params![now.0, Bucket::of(page).0, page, subscriber])?;
    Ok(changed > 0)
}

/// Forgets a subscriber with their mails.
pub(crate) fn remove(tables: Tables<'_>, page: &str, subscriber: &str) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM subscriber_mail WHERE bucket = ?1 AND page_id = ?2 AND subscriber = ?3",
        "DELETE FROM subscriber WHERE bucket = ?1 AND page_id = ?2 AND subscriber = ?3",
    ] {
        tables.prepare_cached(sql)?.execute(params![Bucket::of(page).0, page, subscriber])?;
    }
    Ok(())
}

/// Forgets everybody of a page.
pub(crate) fn remove_all(tables: Tables<'_>, page: &str) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM subscriber_mail WHERE bucket = ?1 AND page_id = ?2",
        "DELETE FROM page_news WHERE bucket = ?1 AND page_id = ?2",
        "DELETE FROM subscriber WHERE bucket = ?1 AND page_id = ?2",
    ] {
        tables.prepare_cached(sql)?.execute(params![Bucket::of(page).0, page])?;
    }
    Ok(())
}

/// The pages that somebody asked for mails of.
pub(crate) fn pages(tables: Tables<'_>) -> Result<Vec<String>, StoreError> {
    let mut statement = tables.prepare_cached("SELECT DISTINCT page_id FROM subscriber")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many mails there are, and when the oldest of them was written.
type Counted = (u64, Option<UtcMicros>);

/// The mails of a page that wait, and those that were given up.
pub(crate) fn mails(tables: Tables<'_>, page: &str) -> Result<(Counted, Counted), StoreError> {
    let count = |state: u8| -> Result<Counted, StoreError> {
        Ok(tables
            .prepare_cached(
                "SELECT count(*), min(created_us) FROM subscriber_mail WHERE bucket = ?1 AND page_id = ?2 AND state = ?3",
            )?
            .query_row(params![Bucket::of(page).0, page, state], |row| {
                Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, Option<i64>>(1)?.map(UtcMicros)))
            })?)
    };
    Ok((count(WAITS)?, count(GIVEN_UP)?))
}

/// Writes a mail to one subscriber, once.
pub(crate) fn post(tables: Tables<'_>, key: &MailKey, text: (&str, &str), now: UtcMicros) -> Result<(), StoreError> {
    tables
        .prepare_cached(
            "INSERT INTO subscriber_mail(bucket, page_id, subscriber, mail, state, tries, created_us, due_us, subject, body) \
             VALUES (?1, ?2, ?3, ?4, 1, 0, ?5, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        )?
        .execute(params![Bucket::of(&key.page).0, key.page, key.subscriber, key.mail, now.0, text.0, text.1])?;
    Ok(())
}

/// Whether this was told of a page.
pub(crate) fn is_told(tables: Tables<'_>, page: &str, mail: &str) -> Result<bool, StoreError> {
    Ok(tables
        .prepare_cached("SELECT 1 FROM page_news WHERE bucket = ?1 AND page_id = ?2 AND mail = ?3")?
        .exists(params![Bucket::of(page).0, page, mail])?)
}

/// Writes a mail to everybody who had confirmed before it happened, in their language, and that it is told.
pub(crate) fn post_all(tables: Tables<'_>, page: &str, news: &News, now: UtcMicros) -> Result<u64, StoreError> {
    let bucket = Bucket::of(page).0;
    tables
        .prepare_cached("INSERT INTO page_news(bucket, page_id, mail, told_us) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![bucket, page, news.mail, now.0])?;
    let mut statement = tables.prepare_cached(
        "INSERT INTO subscriber_mail(bucket, page_id, subscriber, mail, state, tries, created_us, due_us, subject, body) \
         SELECT bucket, page_id, subscriber, ?3, 1, 0, ?4, ?4, ?5, ?6 FROM subscriber \
         WHERE bucket = ?1 AND page_id = ?2 AND state = 2 AND language = ?7 AND confirmed_us <= ?8 ON CONFLICT DO NOTHING",
    )?;
    let mut written = 0;
    for (language, subject, body) in &news.texts {
        written +=
            statement.execute(params![bucket, page, news.mail, now.0, subject, body, language, news.at.0])? as u64;
    }
    Ok(written)
}

/// The mails that are due, at most so many: of each subscriber the earliest alone, so that none overtakes another.
pub(crate) fn due(tables: Tables<'_>, now: UtcMicros, limit: usize) -> Result<Vec<DueMail>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT m.page_id, m.subscriber, m.mail, m.tries, m.tried_us, m.subject, m.body, s.sealed, s.language \
         FROM subscriber_mail m JOIN subscriber s USING (bucket, page_id, subscriber) \
         WHERE m.state = 1 AND m.due_us <= ?1 AND NOT EXISTS (SELECT 1 FROM subscriber_mail e WHERE e.bucket = m.bucket \
         AND e.page_id = m.page_id AND e.subscriber = m.subscriber AND e.state = 1 AND (e.created_us, e.mail) < (m.created_us, m.mail)) \
         ORDER BY m.due_us LIMIT ?2",
    )?;
    let rows = statement.query_map(params![now.0, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(DueMail {
            key: MailKey { page: row.get(0)?, subscriber: row.get(1)?, mail: row.get(2)? },
            tries: row.get(3)?,
            tried: row.get::<_, Option<i64>>(4)?.map(UtcMicros),
            subject: row.get(5)?,
            body: row.get(6)?,
            sealed: row.get(7)?,
            language: row.get(8)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What becomes of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is handed out until then.
    Leased(UtcMicros),
    /// It is tried again then.
    Again(UtcMicros),
    /// It is delivered.
    Delivered,
    /// It is not tried again.
    GivenUp,
}

/// Whatever was handed out and is not marked is due: whoever had it is gone.
pub(crate) fn release(tables: Tables<'_>, now: UtcMicros) -> Result<u64, StoreError> {
    Ok(tables
        .prepare_cached(
            "UPDATE subscriber_mail SET due_us = min(due_us, ?1), leased = 0 WHERE state = 1 AND leased = 1",
        )?
        .execute(params![now.0])? as u64)
}

/// Counts the mails in a row that were refused because nobody has the address; how many they are now. `None` where the subscriber is gone.
pub(crate) fn count_refused(
    tables: Tables<'_>,
    page: &str,
    subscriber: &str,
    refused: bool,
) -> Result<Option<u32>, StoreError> {
    Ok(tables
        .prepare_cached(
            "UPDATE subscriber SET refused = CASE WHEN ?1 THEN refused + 1 ELSE 0 END \
             WHERE bucket = ?2 AND page_id = ?3 AND subscriber = ?4 RETURNING refused",
        )?
        .query_row(params![refused, Bucket::of(page).0, page, subscriber], |row| row.get(0))
        .optional()?)
}

/// Notes what becomes of a mail; `tried` is when it was tried, where it was. Of one that is over the text goes.
pub(crate) fn mark(tables: Tables<'_>, key: &MailKey, mark: Mark, tried: Option<UtcMicros>) -> Result<(), StoreError> {
    let (state, leased, due) = match mark {
        Mark::Leased(until) => (WAITS, true, Some(until.0)),
        Mark::Again(at) => (WAITS, false, Some(at.0)),
        Mark::Delivered => (DELIVERED, false, None),
        Mark::GivenUp => (GIVEN_UP, false, None),
    };
    tables
        .prepare_cached(
            "UPDATE subscriber_mail SET subject = CASE WHEN ?1 = 1 THEN subject ELSE '' END, \
             body = CASE WHEN ?1 = 1 THEN body ELSE '' END, state = ?1, due_us = coalesce(?2, due_us), tries = tries + (?3 IS NOT NULL), \
             tried_us = coalesce(tried_us, ?3), leased = ?8 WHERE bucket = ?4 AND page_id = ?5 AND subscriber = ?6 AND mail = ?7 AND state = 1",
        )?
        .execute(params![
            state,
            due,
            tried.map(|at| at.0),
            Bucket::of(&key.page).0,
            key.page,
            key.subscriber,
            key.mail,
            leased
        ])?;
    Ok(())
}

/// Lets go of mails that are over, of askers who never confirmed, and of what was told, each from before an instant.
pub(crate) fn expire(
    tables: Tables<'_>,
    mails: UtcMicros,
    asked: UtcMicros,
    told: UtcMicros,
) -> Result<(), StoreError> {
    tables.prepare_cached("DELETE FROM page_news WHERE told_us < ?1")?.execute(params![told.0])?;
    tables
        .prepare_cached("DELETE FROM subscriber_mail WHERE state IN (2, 3) AND created_us < ?1")?
        .execute(params![mails.0])?;
    tables
        .prepare_cached(
            "DELETE FROM subscriber_mail WHERE (bucket, page_id, subscriber) IN \
             (SELECT bucket, page_id, subscriber FROM subscriber WHERE state = 1 AND asked_us < ?1)",
        )?
        .execute(params![asked.0])?;
    tables.prepare_cached("DELETE FROM subscriber WHERE state = 1 AND asked_us < ?1")?.execute(params![asked.0])?;
    Ok(())
}

//! Passwords and the audit log.

use rusqlite::{OptionalExtension, Row, params};
use sitepulse_model::id::Bucket;
use sitepulse_model::time::UtcMicros;

use super::rows::{meta, set_meta};
use super::{StoreError, Tables};
use crate::access::Password;
use crate::access::audit::{self, Chain, Deed, Entry, Link, Verdict};

/// The log is one chain, in the bucket of the collector's own rows.
const OWN: Bucket = Bucket(0);
/// Names in the table `meta`: where the log begins and ends, `NUMBER HASH`.
const META_BASE: &str = "audit_base";
const META_HEAD: &str = "audit_head";
/// Name in the table `meta`: somebody signed in once.
const META_OPENED: &str = "signed_in_once";
/// Most entries that go in one transaction.
const SLICE: i64 = 2000;

fn bad(table: &'static str, what: impl ToString) -> StoreError {
    StoreError::BadRow { table, what: what.to_string() }
}

/// The bucket of a user's rows.
fn bucket_of(user: &str) -> Bucket {
    Bucket(crate::enrol::sha256(user.as_bytes())[0] % sitepulse_model::id::BUCKETS)
}

/// Every password by its user.
pub(crate) fn passwords(tables: Tables<'_>) -> Result<Vec<(String, Password)>, StoreError> {
    let mut statement = tables.prepare("SELECT user_id, phc, set_us FROM password")?;
    let rows =
        statement.query_map([], |row| Ok((row.get(0)?, Password { phc: row.get(1)?, set: UtcMicros(row.get(2)?) })))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Sets or removes a user's password.
pub(crate) fn set_password(tables: Tables<'_>, user: &str, password: Option<&Password>) -> Result<(), StoreError> {
    let bucket = bucket_of(user).0;
    match password {
        Some(password) => tables
            .prepare_cached(
                "INSERT INTO password(bucket, user_id, phc, set_us) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (bucket, user_id) DO UPDATE SET phc = excluded.phc, set_us = excluded.set_us",
            )?
            .execute(params![bucket, user, password.phc, password.set.0])?,
        None => tables
            .prepare_cached("DELETE FROM password WHERE bucket = ?1 AND user_id = ?2")?
            .execute(params![bucket, user])?,
    };
    Ok(())
}

/// Whether anybody ever signed in.
pub(crate) fn opened(tables: Tables<'_>) -> Result<bool, StoreError> {
    Ok(meta(tables, META_OPENED)?.is_some())
}

/// Somebody signed in.
pub(crate) fn note_opened(tables: Tables<'_>) -> Result<(), StoreError> {
    set_meta(tables, META_OPENED, "1")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn link(tables: Tables<'_>, name: &str) -> Result<Link, StoreError> {
    let Some(text) = meta(tables, name)? else { return Ok(Link::START) };
    let parsed = text.split_once(' ').and_then(|(number, hash)| {
        let pairs = (0..hash.len() / 2).map(|at| u8::from_str_radix(hash.get(2 * at..2 * at + 2)?, 16).ok());
        Some(Link { number: number.parse().ok()?, hash: pairs.collect::<Option<_>>()? })
    });
    parsed.ok_or_else(|| bad("meta", format!("{name}: {text:?}")))
}

fn set_link(tables: Tables<'_>, name: &str, link: &Link) -> Result<(), StoreError> {
    set_meta(tables, name, &format!("{} {}", link.number, hex(&link.hash)))
}

/// Adds an entry; gives its number.
pub(crate) fn append(tables: Tables<'_>, at: UtcMicros, author: &str, deed: &Deed) -> Result<u64, StoreError> {
    let body = serde_json::to_string(deed).map_err(|error| bad("audit", error))?;
    let last: Option<(i64, Vec<u8>)> = tables
        .prepare_cached("SELECT number, hash FROM audit WHERE bucket = ?1 ORDER BY number DESC LIMIT 1")?
        .query_row(params![OWN.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    // After everything that was ever written: an end that was cut off stays a gap.
    let head = link(tables, META_HEAD)?;
    let last = last.map(|(number, hash)| Link { number: number.cast_unsigned(), hash });
    let last = last.filter(|last| last.number >= head.number).unwrap_or(head);
    let number = last.number + 1;
    let hash = audit::hash(&last.hash, number, at, author, &body);
    tables
        .prepare_cached(
            "INSERT INTO audit(bucket, number, at_us, of_number, author, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![OWN.0, number.cast_signed(), at.0, deed.of.map(u64::cast_signed), author, body, hash])?;
    set_link(tables, META_HEAD, &Link { number, hash: hash.to_vec() })?;
    Ok(number)
}

/// What is asked of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Not before.
    pub from: Option<UtcMicros>,
    /// Before.
    pub to: Option<UtcMicros>,
    /// By this author.
    pub author: Option<String>,
    /// Entries with a smaller number.
    pub before: Option<u64>,
    /// Most entries.
    pub limit: usize,
}

/// A deed with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What was asked, or told once.
    pub entry: Entry,
    /// What it says; `None`: it cannot be read.
    pub deed: Option<Deed>,
    /// What became of what was asked: when, and what is told of it.
    pub outcome: Option<(UtcMicros, Option<Deed>)>,
}

fn entry(row: &Row<'_>) -> rusqlite::Result<(i64, i64, String, String, Vec<u8>)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn entry_of((number, at, author, body, hash): (i64, i64, String, String, Vec<u8>)) -> Entry {
    // A hash of another length is none: it fits nothing.
    let hash = hash.try_into().unwrap_or([0; 32]);
    Entry { number: number.cast_unsigned(), at: UtcMicros(at), author, body, hash }
}

/// Deeds, the newest first.
pub(crate) fn deeds(tables: Tables<'_>, asked: &Asked) -> Result<Vec<Told>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT a.number, a.at_us, a.author, a.body, a.hash, o.at_us, o.body FROM audit a \
         LEFT JOIN audit o ON o.bucket = a.bucket AND o.of_number = a.number \
         WHERE a.bucket = ?1 AND a.of_number IS NULL AND a.at_us >= ?2 AND a.at_us < ?3 AND (?4 IS NULL OR a.author = ?4) AND a.number < ?5 \
         ORDER BY a.number DESC LIMIT ?6",
    )?;
    let limit = i64::try_from(asked.limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![
        OWN.0,
        asked.from.unwrap_or(UtcMicros::MIN).0,
        asked.to.unwrap_or(UtcMicros::MAX).0,
        asked.author,
        asked.before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX),
        limit
    ])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let entry = entry_of(entry(row)?);
        let outcome: Option<i64> = row.get(5)?;
        let outcome_body: Option<String> = row.get(6)?;
        let read = |body: &str| serde_json::from_str(body).ok();
        let outcome = outcome.map(|at| (UtcMicros(at), outcome_body.as_deref().and_then(read)));
        out.push(Told { deed: read(&entry.body), entry, outcome });
    }
    Ok(out)
}

/// Looks through the whole log.
pub(crate) fn verify(tables: Tables<'_>) -> Result<Verdict, StoreError> {
    let mut chain = Chain::after(link(tables, META_BASE)?);
    let mut statement = tables
        .prepare("SELECT number, at_us, author, body, hash, of_number FROM audit WHERE bucket = ?1 ORDER BY number")?;
    let mut rows = statement.query(params![OWN.0])?;
    let mut moved = None;
    while let Some(row) = rows.next()? {
        let entry = entry_of(entry(row)?);
        let of: Option<i64> = row.get(5)?;
        let told = serde_json::from_str::<Deed>(&entry.body).ok().and_then(|deed| deed.of);
        if moved.is_none() && told != of.map(i64::cast_unsigned) {
            moved = Some(format!("entry {} is the outcome of another than it says", entry.number));
        }
        chain.push(&entry);
    }
    let mut verdict = chain.end(&link(tables, META_HEAD)?);
    verdict.fault = verdict.fault.or(moved);
    Ok(verdict)
}

/// Lets the oldest entries go that are older than an instant, a slice of them; how many.
pub(crate) fn let_go(tables: Tables<'_>, before: UtcMicros) -> Result<usize, StoreError> {
    let last: Option<(i64, Vec<u8>)> = tables
        .prepare_cached(
            "SELECT number, hash FROM (SELECT number, hash, at_us FROM audit WHERE bucket = ?1 ORDER BY number LIMIT ?3) \
             WHERE number < coalesce((SELECT min(number) FROM audit WHERE bucket = ?1 AND at_us >= ?2), ?4) ORDER BY number DESC LIMIT 1",
        )?
        .query_row(params![OWN.0, before.0, SLICE, i64::MAX], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((number, hash)) = last else { return Ok(0) };
    set_link(tables, META_BASE, &Link { number: number.cast_unsigned(), hash })?;
    Ok(tables
        .prepare_cached("DELETE FROM audit WHERE bucket = ?1 AND number <= ?2")?
        .execute(params![OWN.0, number])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Way;
    use crate::access::audit::Told as Kind;
    use crate::store::Store;

    /// A log of six: three changes with their outcomes.
    fn log() -> Store {
        let mut store = Store::in_memory(1, UtcMicros(0)).unwrap();
        for change in 0..3 {
            let at = UtcMicros(10 * change);
            let asked = Deed::new(Kind::Asked, Way::Cli, "POST /api/v1/apply");
            let number = store.write(|tables| append(tables, at, "collector:cli", &asked)).unwrap();
            let mut outcome = Deed::new(Kind::Outcome, Way::Cli, "POST /api/v1/apply").status(200);
            outcome.of = Some(number);
            store.write(|tables| append(tables, at.plus_us(1), "collector:cli", &outcome)).unwrap();
        }
        store
    }

    fn fault(store: &Store) -> Option<String> {
        verify(store.read()).unwrap().fault
    }

    #[test]
    fn whoever_edits_the_table_is_found_out() {
        assert_eq!(fault(&log()), None);
        for (sql, told) in [
            ("UPDATE audit SET author = 'collector:ana' WHERE number = 3", "entry 3 is not as it was"),
            ("UPDATE audit SET at_us = at_us + 1 WHERE number = 6", "entry 6 is not as it was"),
            ("UPDATE audit SET body = replace(body, '200', '403') WHERE number = 2", "entry 2 is not as it was"),
            ("UPDATE audit SET of_number = 5 WHERE number = 2", "entry 2 is the outcome of another"),
            ("DELETE FROM audit WHERE number = 1", "entry 1 is missing"),
            ("DELETE FROM audit WHERE number = 4", "entry 4 is missing"),
            ("DELETE FROM audit WHERE number > 4", "the newest that was written is 6"),
            ("DELETE FROM audit", "the newest that was written is 6"),
        ] {
            let mut store = log();
            store.write(|tables| Ok(tables.execute(sql, [])?)).unwrap();
            let found = fault(&store).unwrap_or_default();
            assert!(found.contains(told), "{sql}: {found}");
            // What is written after does not mend it.
            let deed = Deed::new(Kind::Done, Way::Password, "sign-in");
            assert_eq!(store.write(|tables| append(tables, UtcMicros(99), "collector:ana", &deed)).unwrap(), 7);
            assert!(fault(&store).is_some(), "{sql}");
        }
    }

    #[test]
    fn what_is_asked_and_has_no_outcome_shows_as_open() {
        let mut store = log();
        let asked = Deed::new(Kind::Asked, Way::Token, "POST /api/v1/control");
        store.write(|tables| append(tables, UtcMicros(50), "collector:ci", &asked)).unwrap();
        let told = deeds(store.read(), &Asked { limit: 10, ..Asked::default() }).unwrap();
        assert_eq!(told.iter().map(|one| one.entry.number).collect::<Vec<_>>(), [7, 5, 3, 1]);
        assert!(told[0].outcome.is_none() && told[1..].iter().all(|one| one.outcome.is_some()));
        let of = Asked { author: Some("collector:ci".into()), limit: 10, ..Asked::default() };
        assert_eq!(deeds(store.read(), &of).unwrap().len(), 1);
        let early = Asked { to: Some(UtcMicros(20)), limit: 1, ..Asked::default() };
        assert_eq!(deeds(store.read(), &early).unwrap()[0].entry.number, 3);
    }

    #[test]
    fn old_entries_go_from_the_front_and_the_rest_stays_vouched_for() {
        let mut store = log();
        assert_eq!(store.write(|tables| let_go(tables, UtcMicros(20))).unwrap(), 4);
        assert_eq!(store.write(|tables| let_go(tables, UtcMicros(20))).unwrap(), 0);
        let verdict = verify(store.read()).unwrap();
        assert_eq!((verdict.entries, verdict.let_go, verdict.newest, verdict.fault), (2, 4, 6, None));
        // All of it, and what comes after goes on.
        assert_eq!(store.write(|tables| let_go(tables, UtcMicros::MAX)).unwrap(), 2);
        let deed = Deed::new(Kind::Done, Way::Link, "sign-in");
        assert_eq!(store.write(|tables| append(tables, UtcMicros(99), "collector:ana", &deed)).unwrap(), 7);
        assert_eq!(fault(&store), None);
    }
}

//! The table `identity`.

use rusqlite::params;
use sitepulse_model::id::Bucket;
use sitepulse_model::time::UtcMicros;

use super::{StoreError, Tables};
use crate::access::identity::Identity;

/// Every identity by its name.
pub(crate) fn all(tables: Tables<'_>) -> Result<Vec<(String, Identity)>, StoreError> {
    let mut statement = tables.prepare("SELECT name, user_id, issuer, subject, linked_us, used_us FROM identity")?;
    let rows = statement.query_map([], |row| {
        let identity = Identity {
            user: row.get(1)?,
            issuer: row.get(2)?,
            subject: row.get(3)?,
            linked: UtcMicros(row.get(4)?),
            used: UtcMicros(row.get(5)?),
        };
        Ok((row.get(0)?, identity))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes an identity, new or as it is now.
pub(crate) fn set(tables: Tables<'_>, name: &str, identity: &Identity) -> Result<(), StoreError> {
    let Identity { user, issuer, subject, linked, used } = identity;
    tables
        .prepare_cached(
            "INSERT INTO identity(bucket, name, user_id, issuer, subject, linked_us, used_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (bucket, name) DO UPDATE SET user_id = excluded.user_id, linked_us = excluded.linked_us, used_us = excluded.used_us",
        )?
        .execute(params![Bucket::of(name).0, name, user, issuer, subject, linked.0, used.0])?;
    Ok(())
}

/// Forgets an identity.
pub(crate) fn remove(tables: Tables<'_>, name: &str) -> Result<(), StoreError> {
    tables
        .prepare_cached("DELETE FROM identity WHERE bucket = ?1 AND name = ?2")?
        .execute(params![Bucket::of(name).0, name])?;
    Ok(())
}

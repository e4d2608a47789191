//! What the KPI banner asks of the tables.

use rusqlite::params;
use sitepulse_model::time::UtcMicros;

use super::{StoreError, Tables};

/// Messages that were given up and were not tried again since, of steps since an instant, the newest first: `INCIDENT/STEP/CHANNEL`.
pub(crate) fn dead_letters(tables: Tables<'_>, since: UtcMicros) -> Result<Vec<String>, StoreError> {
    let mut statement = tables.prepare_cached(
        "SELECT incident_id, step, channel_id FROM outbox WHERE state = 4 AND created_us >= ?1 ORDER BY created_us DESC, incident_id, step",
    )?;
    let key = |row: &rusqlite::Row<'_>| {
        let (incident, step, channel): (String, u32, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!("{incident}/{step}/{channel}"))
    };
    let keys = statement.query_map(params![since.0], key)?;
    Ok(keys.collect::<Result<_, _>>()?)
}

//! The join tokens that were given out. Functions that write are given the tables within a transaction, by [`super::Store::write`].

use rusqlite::params;
use sitepulse_model::id::AgentNo;
use sitepulse_model::time::UtcMicros;

use super::{StoreError, Tables};

/// Hexadecimal digits of a token's hash that name it.
const ID_DIGITS: usize = 16;

/// A join token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The beginning of its hash, in hexadecimal digits.
    pub id: String,
    /// The region of the agent that joins with it.
    pub region: String,
    /// When it was made.
    pub created: UtcMicros,
    /// When it expires.
    pub expires: UtcMicros,
    /// When an agent joined with it, and which.
    pub used: Option<(UtcMicros, AgentNo)>,
}

/// All of them.
pub(crate) fn all(tables: Tables<'_>) -> Result<Vec<Given>, StoreError> {
    let mut statement = tables.prepare(&format!(
        "SELECT lower(substr(hex(token_sha256), 1, {ID_DIGITS})), region, created_us, expires_us, used_at_us, agent_no FROM join_token"
    ))?;
    let given = statement.query_map([], |row| {
        let used: Option<i64> = row.get(4)?;
        let agent: Option<u32> = row.get(5)?;
        Ok(Given {
            id: row.get(0)?,
            region: row.get(1)?,
            created: UtcMicros(row.get(2)?),
            expires: UtcMicros(row.get(3)?),
            used: used.map(UtcMicros).zip(agent.map(AgentNo)),
        })
    })?;
    Ok(given.collect::<Result<_, _>>()?)
}

/// Takes one back that nobody joined with; whether there was such a one.
pub(crate) fn remove(tables: Tables<'_>, id: &str) -> Result<bool, StoreError> {
    let sql = format!(
        "DELETE FROM join_token WHERE lower(substr(hex(token_sha256), 1, {ID_DIGITS})) = ?1 AND used_spki IS NULL"
    );
    Ok(tables.prepare(&sql)?.execute(params![id])? > 0)
}

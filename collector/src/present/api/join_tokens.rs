//! `/api/v1/join-tokens`: those that were given out. The tokens themselves are kept as hashes alone.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_daemon::{clock, instant};

use crate::present::Present;
use crate::present::list::{List, Listed, Nothing};
use crate::present::problem::Answer;

/// A join token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinTokenView {
    /// The beginning of its hash, in hexadecimal digits.
    pub id: String,
    /// The region of the agent that joins with it.
    pub region: String,
    /// When it was made.
    pub created: String,
    /// When it expires.
    pub expires: String,
    /// `open`, `used` or `expired`.
    pub state: String,
    /// When an agent joined with it.
    pub used: Option<String>,
    /// That agent's name.
    pub agent: Option<String>,
}

/// `GET /api/v1/join-tokens`: by when they were made.
pub async fn join_tokens(State(present): State<Present>, list: List<Nothing>) -> Answer<Listed<JoinTokenView>> {
    let now = clock::now();
    let tokens = present.app().join_tokens().await?;
    let tokens = list.page.of_all(tokens, |token| (token.created.0, token.id.clone()))?;
    let book = present.app().book();
    Ok(tokens.map(|token| {
        let state = match token.used {
            Some(_) => "used",
            None if token.expires <= now => "expired",
            None => "open",
        };
        let agent = token.used.and_then(|(_, agent)| book.agent(agent));
        JoinTokenView {
            id: token.id,
            region: token.region,
            created: instant::format(token.created),
            expires: instant::format(token.expires),
            state: state.to_owned(),
            used: token.used.map(|(at, _)| instant::format(at)),
            agent: agent.map(|agent| agent.name.to_string()),
        }
    }))
}

/// `DELETE /api/v1/join-tokens/{id}`: no agent joins with it any more.
pub async fn revoke_join_token(State(present): State<Present>, Path(id): Path<String>) -> Answer<StatusCode> {
    present.app().revoke_join_token(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

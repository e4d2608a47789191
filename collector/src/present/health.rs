//! `/healthz`: the process answers. `/readyz`: the store takes writes.

use axum::extract::State;
use axum::http::StatusCode;

use crate::present::Present;

/// 200 as long as the process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 when the store takes writes, else 503. The reason is in the log, not shown to the public.
pub async fn readyz(State(present): State<Present>) -> (StatusCode, &'static str) {
    match present.app().readiness() {
        Ok(()) => match present.app().shared().integrity.found() {
            Some(Err(_)) => (StatusCode::OK, "ready, but the database is damaged, see the collector's log\n"),
            Some(Ok(())) | None => (StatusCode::OK, "ready\n"),
        },
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready: the store takes no writes, see the collector's log\n"),
    }
}

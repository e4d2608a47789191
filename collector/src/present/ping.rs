//! `/ping/TOKEN`: where jobs call. Public, because the token in the path is all that a job has to show.
//!
//! `GET`, `HEAD` and `POST` do the same. What a `POST` brings along is kept up to [`BODY_BYTES_MAX`]; more is read and dropped up to
//! [`BODY_READ_MAX`], and not read beyond: the ping counts all the same. `200 OK` is answered once the ping is durable, so that `curl --retry` loses none; the paths are those of Healthchecks.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use sitepulse_daemon::clock;

use crate::heartbeat::{BODY_BYTES_MAX, PingKind};
use crate::present::Present;
use crate::present::problem::{Answer, Code, Problem};

/// Most bytes of a body that are read at all.
const BODY_READ_MAX: usize = 1 << 20;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// `GET|POST /ping/{token}`: the job is done.
pub async fn success(
    State(present): State<Present>,
    Path(token): Path<String>,
    method: Method,
    body: Body,
) -> Response {
    take(&present, &token, &method, PingKind::Success, None, body).await
}

/// `GET|POST /ping/{token}/{action}`: `start`, `fail`, `log`, or an exit status.
pub async fn action(
    State(present): State<Present>,
    Path((token, action)): Path<(String, String)>,
    method: Method,
    body: Body,
) -> Response {
    match PingKind::parse(&action) {
        Some((kind, exit_status)) => take(&present, &token, &method, kind, exit_status, body).await,
        None => Problem::new(Code::NotFound, "a ping ends in start, fail, log, or an exit status of 0 to 255")
            .into_response(),
    }
}

async fn take(
    present: &Present,
    token: &str,
    method: &Method,
    kind: PingKind,
    exit_status: Option<u8>,
    body: Body,
) -> Response {
    let unknown =
        || Problem::new(Code::NotFound, "no check has this ping token: see `sitepulse-collector heartbeat url`");
    let Some(check) = present.app().shared().pings.check(token) else {
        return unknown().into_response();
    };
    if let Err(seconds) = present.app().shared().pings.take(check, clock::monotonic().0) {
        let mut response = Problem::new(Code::TooMany, "this job calls more than 60 times a minute").into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        return response;
    }
    let body = if method == Method::POST {
        match tokio::time::timeout(BODY_TIMEOUT, read(body)).await {
            Ok(Ok(body)) => body,
            Ok(Err(problem)) => return problem.into_response(),
            Err(_) => return Problem::new(Code::BadRequest, "the body did not come in time").into_response(),
        }
    } else {
        Vec::new()
    };
    match present.app().ping(check, kind, exit_status, body).await {
        Ok(true) => "OK".into_response(),
        Ok(false) => unknown().into_response(),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// The beginning of a body. The rest is read without being kept, for the job to hear the answer; endless ones are left unread.
async fn read(mut body: Body) -> Answer<Vec<u8>> {
    let mut kept = Vec::new();
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::new(Code::BadRequest, "the body broke off"))?;
        let Some(data) = frame.data_ref() else { continue };
        seen = seen.saturating_add(data.len());
        let room = BODY_BYTES_MAX - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if seen > BODY_READ_MAX {
            break;
        }
    }
    Ok(kept)
}

//! Every change leaves its trace: what a caller asks for is in the audit log before it is tried, what came of it after.
//!
//! A change is any request but `GET` and `HEAD`; [`SILENT`] paths change nothing that anybody watches. Where the log cannot be written, the change is
//! refused. On public paths, where anybody may knock, what worked is told once it did and what failed is bounded; the doors
//! that people sign in by ([`SELF_TOLD`]) tell more than that by themselves.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sitepulse_daemon::clock;
use sitepulse_model::time::UtcMicros;

use crate::access::Way;
use crate::access::audit::{Deed, Told};
use crate::app::{App, credential_id};
use crate::present::door::{self, Caller, Door};
use crate::present::problem::{Code, Problem};

/// Paths whose `POST` is no change: a reader's own colours, pings of jobs, which have a history of their own, and what the public does about its own mails, whose
/// addresses are nobody's to keep.
pub const SILENT: [&str; 6] = [
    "/appearance",
    "/ping/{token}",
    "/ping/{token}/{action}",
    "/status/{id}/subscribe",
    "/status/{id}/confirm/{token}",
    "/status/{id}/unsubscribe/{token}",
];
/// Paths that write their own entries.
const SELF_TOLD: [&str; 2] = ["/sign-in", "/invite"];
/// Who strangers are.
pub(super) const STRANGER: &str = "stranger";
/// A page's own request to stay live: no use by a person.
const PART: &str = "x-part";

/// Why something was refused, where the answer is a page that says so.
#[derive(Debug, Clone)]
pub struct Why(pub String);

/// Lets a handler say what it did, for the audit log: one line, never a secret.
#[derive(Debug, Clone, Default)]
pub struct Note(Arc<Mutex<String>>);

impl Note {
    /// Says it.
    pub fn tell(&self, what: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S: Sync> FromRequestParts<S> for Note {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// Whether a route's method is a change that is told.
pub fn is_told(method: &Method, path: &str) -> bool {
    *method != Method::GET && *method != Method::HEAD && !SILENT.contains(&path)
}

/// Notes that a session or token was used, unless by an open page that keeps itself live.
pub(super) fn note_use(app: &App, caller: Option<&Caller>, headers: &HeaderMap, path: &str, now: UtcMicros) {
    let by_itself = headers.contains_key(PART) || path.ends_with("/events");
    if let Some(hash) = caller.and_then(|caller| caller.credential).filter(|_| !by_itself) {
        app.touch(hash, now);
    }
}

/// The names in a path, but for tokens.
fn subject(template: &str, path: &str) -> String {
    let pairs = template.split('/').zip(path.split('/'));
    let names = pairs.filter(|(part, _)| part.starts_with('{') && *part != "{token}").map(|(_, name)| name);
    names.collect::<Vec<_>>().join("/")
}

fn deed(told: Told, door: Door, caller: Option<&Caller>, method: &Method, path: &str, actual: &str) -> Deed {
    let way = caller.map_or(Way::Stranger, |caller| caller.way);
    let mut deed = Deed::new(told, way, format!("{method} {path}")).about(&subject(path, actual));
    deed.address = door::address(door).map(|address| address.to_string());
    deed.credential = caller.and_then(|caller| caller.credential).map(|hash| credential_id(&hash));
    deed
}

/// Runs what comes next, told.
pub(super) async fn told(
    app: &App,
    door: Door,
    caller: Option<&Caller>,
    path: &'static str,
    mut request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    if !is_told(&method, path) || (caller.is_none() && SELF_TOLD.contains(&path)) {
        return next.run(request).await;
    }
    let note = Note::default();
    request.extensions_mut().insert(note.clone());
    let actual = request.uri().path().to_owned();
    let Some(caller) = caller else {
        let response = next.run(request).await;
        let status = response.status();
        let worked = !status.is_client_error() && !status.is_server_error();
        let told = if worked { Told::Done } else { Told::Refused };
        let said = outcome_of(&note, &response);
        let deed = deed(told, door, None, &method, path, &actual).status(status.as_u16()).detail(&said);
        if !worked {
            app.audit_bounded(STRANGER, deed, clock::now());
        } else if let Err(error) = app.audit(STRANGER, deed, clock::now()).await {
            tracing::error!("what a stranger did ({method} {path}) is not written to the audit log: {error}");
        }
        return response;
    };
    let asked = deed(Told::Asked, door, Some(caller), &method, path, &actual);
    let (way, action) = (asked.way, asked.action.clone());
    let number = match app.audit(&caller.author, asked, clock::now()).await {
        Ok(number) => number,
        Err(error) => {
            let text = format!("nothing was changed: it cannot be written to the audit log: {error}");
            return Problem::new(Code::Unavailable, text).into_response();
        }
    };
    let pending = Pending { app, author: &caller.author, way, action, number, note: &note, told: false };
    let response = next.run(request).await;
    let said = outcome_of(&note, &response);
    pending.end(response.status(), &said).await;
    response
}

/// What the handler said that it did, and why it was refused where it was.
fn outcome_of(note: &Note, response: &Response) -> String {
    let said = note.text();
    let told = response.extensions();
    let why = told.get::<Problem>().map(Problem::detail).or(told.get::<Why>().map(|why| why.0.as_str()));
    let status = response.status();
    let unread =
        if status.is_client_error() || status.is_server_error() { "what was sent is not understood" } else { "" };
    let why = why.unwrap_or(unread);
    match (said.is_empty(), why.is_empty()) {
        (_, true) => said,
        (true, false) => format!("refused: {why}"),
        (false, false) => format!("{said}; refused: {why}"),
    }
}

/// A change that is under way. Where it is cut off (whoever asked hung up, a handler failed), that is told.
struct Pending<'a> {
    app: &'a App,
    author: &'a str,
    way: Way,
    action: String,
    number: u64,
    note: &'a Note,
    told: bool,
}

impl Pending<'_> {
    fn outcome(&self) -> Deed {
        let mut deed = Deed::new(Told::Outcome, self.way, self.action.clone()).detail(&self.note.text());
        deed.of = Some(self.number);
        deed
    }

    async fn end(mut self, status: StatusCode, said: &str) {
        self.told = true;
        let deed = self.outcome().status(status.as_u16()).detail(said);
        if let Err(error) = self.app.audit(self.author, deed, clock::now()).await {
            tracing::error!("the outcome of entry {} of the audit log ({status}) is not written: {error}", self.number);
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.told {
            let mut deed = self.outcome();
            if deed.detail.is_empty() {
                deed.detail = "cut off: whoever asked hung up, or the handler failed; it may have been done".into();
            }
            self.app.audit_soon(self.author, deed, clock::now());
        }
    }
}

/// Tells of what was not allowed: somebody known who may not, or credentials that are not good. Whoever just has none is met by the sign-in page.
pub(super) fn refused(app: &App, door: Door, path: &'static str, problem: &Problem, request: &Request, now: UtcMicros) {
    let caller = door::whoever(app, door, request.headers(), now);
    let shown = request.headers().contains_key(axum::http::header::AUTHORIZATION);
    if caller.is_none() && !shown {
        return;
    }
    let author = caller.as_ref().map_or(STRANGER, |caller| caller.author.as_str());
    let deed = deed(Told::Refused, door, caller.as_ref(), request.method(), path, request.uri().path());
    app.audit_bounded(author, deed.status(problem.status().as_u16()).detail(problem.detail()), now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_names_no_token() {
        assert_eq!(
            subject("/api/v1/schedules/{id}/overrides/{number}", "/api/v1/schedules/primary/overrides/3"),
            "primary/3"
        );
        assert_eq!(subject("/a/{token}", "/a/secret"), "");
        assert_eq!(subject("/sign-out", "/sign-out"), "");
    }
}

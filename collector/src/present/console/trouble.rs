//! A refusal as a page: whoever asked with a browser sees it in the console's frame, in their language, with a way on. Programs get `application/problem+json`.
//!
//! A form that came in after its session was over leads to the sign-in page, which says that nothing was saved, and from there back to the form.

use std::sync::LazyLock;

use askama::Template;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sitepulse_daemon::clock;
use sitepulse_model::id::CheckId;
use sitepulse_model::time::UtcMicros;

use super::clock_text;
use super::frame::{Frame, Place};
use super::sign_in;
use crate::present::Present;
use crate::present::door::{self, Door};
use crate::present::problem::{Answer, Code, Problem, REFUSAL_BYTES_MAX};
use crate::present::route::routes;
use crate::present::text::Texts;

/// What programs ask for, whatever they say that they take.
const OF_PROGRAMS: [&str; 8] = ["/assets/", "/events", "/metrics", "/healthz", "/readyz", "/ping/", "/oembed", "/api/"];

#[derive(Template)]
#[template(path = "trouble.html")]
struct Trouble<'a> {
    t: &'a Texts,
    status: u16,
    title: &'static str,
    what: String,
    /// What exactly, in the reader's language or in English.
    detail: String,
    /// Whether that is English on a page that is not.
    foreign: bool,
    errors: Vec<String>,
    /// Where to go on: address and words; none for who has no console.
    ways: Vec<(String, String)>,
}

/// Whether people see this path in their browser.
pub fn is_for_people(path: &str) -> bool {
    path == "/api/v1/docs" || !OF_PROGRAMS.iter().any(|program| path.starts_with(program))
}

fn takes_pages(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().any(|value| value.as_bytes().windows(9).any(|word| word == b"text/html"))
}

/// Answers with a page where a browser was refused one.
pub async fn as_page(State(present): State<Present>, request: Request, next: Next) -> Response {
    if !is_for_people(request.uri().path()) || !takes_pages(request.headers()) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let asked = parts.clone();
    let response = next.run(Request::from_parts(parts, body)).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let Some((problem, response)) = problem_of(response).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let Some(problem) = problem else { return response };
    let mut page = page(&present, asked, status, &problem).unwrap_or_else(|_| problem.into_response());
    if let Some(retry) = response.headers().get(header::RETRY_AFTER).cloned() {
        page.headers_mut().insert(header::RETRY_AFTER, retry);
    }
    page
}

/// Why a request was refused, and the answer as it is; no problem: it is a page already. `None`: the answer broke off.
async fn problem_of(response: Response) -> Option<(Option<Problem>, Response)> {
    if let Some(problem) = response.extensions().get::<Problem>().cloned() {
        return Some((Some(problem), response));
    }
    let plain = |kind: &header::HeaderValue| kind.as_bytes().starts_with(b"text/plain");
    if !response.headers().get(header::CONTENT_TYPE).is_none_or(plain) {
        return Some((None, response));
    }
    // What the framework refuses before a handler sees it: a form without a field that it has, for instance.
    let code = if response.status() == StatusCode::PAYLOAD_TOO_LARGE { Code::TooLarge } else { Code::BadRequest };
    let (head, body) = response.into_parts();
    let text = to_bytes(body, REFUSAL_BYTES_MAX).await.ok()?;
    let problem = Problem::new(code, String::from_utf8_lossy(&text));
    Some((Some(problem), Response::from_parts(head, axum::body::Body::empty())))
}

fn page(present: &Present, mut asked: Parts, status: StatusCode, problem: &Problem) -> Answer<Response> {
    let known = asked.extensions.get::<Door>().copied();
    let caller = known.and_then(|door| door::whoever(present.app(), door, &asked.headers, clock::now()));
    let stranger = caller.is_none();
    if let Some(caller) = caller {
        asked.extensions.insert(caller);
    }
    let frame = Frame::of_request(&asked);
    let (t, w, path) = (frame.t, frame.t.trouble, asked.uri.path());
    if stranger && problem.code() == Code::Unauthorized {
        let fault = if asked.method == Method::GET { "" } else { w.nothing_saved };
        return sign_in::page(present, &frame, StatusCode::UNAUTHORIZED, fault.to_owned(), "", &page_of(path));
    }
    let retired = retired_since(present, path, problem);
    let (detail, foreign) = frame.lang.tell(problem.detail());
    let up = page_of(path.rsplit_once('/').map_or("/", |(up, _)| up));
    let place = Place::ALL.into_iter().skip(1).find(|place| path.starts_with(place.path())).unwrap_or(Place::Home);
    let mut ways = Vec::new();
    if !stranger {
        if let Some((id, _)) = &retired {
            ways.push((format!("/incidents?state=all&check={id}"), w.its_incidents.to_owned()));
        }
        if asked.method != Method::GET {
            ways.push((page_of(path), w.back.to_owned()));
        } else if up == place.path() && place != Place::Home {
            ways.push((up, place.label(t).to_owned()));
        }
        ways.push(("/".to_owned(), t.frame.home.to_owned()));
    }
    let content = Trouble {
        t,
        status: status.as_u16(),
        title: (w.title)(problem.code()),
        what: match &retired {
            Some((id, at)) => (w.retired)(id, at),
            None => (w.what)(problem.code()).to_owned(),
        },
        detail: if retired.is_some() { String::new() } else { detail },
        foreign,
        errors: problem.view().errors.iter().map(|line| frame.lang.tell(line).0).collect(),
        ways,
    };
    if stranger {
        return frame.narrow(status, content.title, &content);
    }
    let text = content.render().map_err(|_| super::broken_template())?;
    frame.around(status, place, content.title, None, text)
}

/// Of a check's page, where there was such a check: its id, and since when it is retired.
fn retired_since(present: &Present, path: &str, problem: &Problem) -> Option<(String, String)> {
    let id = path.strip_prefix("/checks/")?.split('/').next()?;
    if !problem.is_not_found() {
        return None;
    }
    let book = present.app().book();
    let check = book.check_by_id(&CheckId::parse(id).ok()?)?;
    let since = check.newest().effective_from.0;
    check.retired().then(|| (id.to_owned(), clock_text(UtcMicros(since - since.rem_euclid(1_000_000)))))
}

/// The nearest page above an address: where a form that is sent there stands.
pub(super) fn page_of(path: &str) -> String {
    static PAGES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        // Not each act on an incident has a page of its own.
        let pages = routes().into_iter().filter(|route| route.method == "GET" && !route.path.ends_with("{action}"));
        pages.map(|route| route.path).filter(|path| is_for_people(path)).collect()
    });
    let fits = |path: &str| {
        let parts = || path.split('/');
        PAGES.iter().any(|page| {
            page.split('/').count() == parts().count()
                && page
                    .split('/')
                    .zip(parts())
                    .all(|(page, part)| page == part || (page.starts_with('{') && !part.is_empty()))
        })
    };
    let mut path = path;
    while !path.is_empty() && !fits(path) {
        path = path.rsplit_once('/').map_or("", |(up, _)| up);
    }
    if path.is_empty() { "/".to_owned() } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_stands_on_the_nearest_page_above_its_address() {
        for (form, page) in [
            ("/checks/shop/edit", "/checks/shop/edit"),
            ("/checks/shop/resume", "/checks/shop"),
            ("/agents/eu-1/weight", "/agents/eu-1"),
            ("/settings/sessions/s1/end", "/settings"),
            ("/incidents/i-1/ack", "/incidents/i-1"),
            ("/sign-out", "/"),
            ("/nowhere/at/all", "/"),
        ] {
            assert_eq!(page_of(form), page, "{form}");
        }
    }
}

//! Errors of the API: `application/problem+json` with a stable code.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::present::dto::ProblemView;

/// Longest text of a refusal by the framework, in bytes.
pub(super) const REFUSAL_BYTES_MAX: usize = 10_000;

/// The kind of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request makes no sense.
    BadRequest,
    /// A check file is wrong.
    BadChecks,
    /// No credentials, or bad ones.
    Unauthorized,
    /// The credentials do not reach so far, or the request comes from another site.
    Forbidden,
    /// No such thing.
    NotFound,
    /// The path does not take this method.
    MethodNotAllowed,
    /// Something else is in its way.
    Conflict,
    /// What is to be changed is no more what its author saw.
    Changed,
    /// An idempotency key stands for another request.
    KeyReused,
    /// The body is too long.
    TooLarge,
    /// Asked too often.
    TooMany,
    /// The collector cannot do it now.
    Unavailable,
    /// The collector failed.
    Internal,
}

impl Code {
    /// Status, stable word and title.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad_request", "the request is not understood"),
            Self::BadChecks => (StatusCode::UNPROCESSABLE_ENTITY, "bad_checks", "a check file is wrong"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "credentials are needed"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "not allowed"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "not found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take that method")
            }
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "something is in the way"),
            Self::Changed => (StatusCode::PRECONDITION_FAILED, "changed", "it changed meanwhile"),
            Self::KeyReused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "key_reused", "the idempotency key stands for another request")
            }
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too_many", "asked too often"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too long"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "not possible now"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "the collector failed"),
        }
    }
}

/// A problem to answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<String>,
}

impl Problem {
    /// Whether it says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.code == Code::NotFound
    }

    /// Its kind.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Its status.
    pub const fn status(&self) -> StatusCode {
        self.code.parts().0
    }

    /// What it says.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// A problem with one sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new() }
    }

    /// The same with every single fault.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<String>) -> Self {
        self.errors = errors;
        self
    }

    /// `what` named `name` does not exist.
    pub fn not_found(what: &str, name: &str) -> Self {
        Self::new(Code::NotFound, format!("no {what} is named {name:?}"))
    }

    /// Its body.
    pub fn view(&self) -> ProblemView {
        let (status, code, title) = self.code.parts();
        ProblemView {
            status: status.as_u16(),
            code: code.to_string(),
            title: title.to_string(),
            detail: self.detail.clone(),
            errors: self.errors.clone(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, _, _) = self.code.parts();
        let mut response = (status, Json(self.view())).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        // Whoever asked with a browser is shown a page of it instead.
        response.extensions_mut().insert(self);
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sitepulse\""));
        }
        response
    }
}

/// What the framework refuses before a handler sees it, a path of bad UTF-8 for instance, as a problem like any other.
pub async fn as_problem(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let (status, kind) = (response.status(), response.headers().get(header::CONTENT_TYPE));
    if !status.is_client_error() || !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain")) {
        return response;
    }
    let text = to_bytes(response.into_body(), REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let code = if status == StatusCode::PAYLOAD_TOO_LARGE { Code::TooLarge } else { Code::BadRequest };
    Problem::new(code, String::from_utf8_lossy(&text)).into_response()
}

/// The answer of a handler.
pub type Answer<T> = Result<T, Problem>;

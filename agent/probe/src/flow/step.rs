//! One step of a flow, prepared once: its request with the places of its variables, its assertions, what it captures.

use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use sitepulse_model::check::{FlowStep, SecretText};
use sitepulse_model::expect::{self, Expectation, Extractor, Observed};
use sitepulse_model::record::{Cause, Phase};

use super::Variables;
use super::jar::Cookies;
use super::template::{Template, UrlTemplate};
use crate::attempt::{Answer, Attempt, Failure};
use crate::http::{self, Headers, Route};

#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) expect: Vec<Expectation>,
    /// An assertion or a capture looks into the body.
    pub(super) wants_body: bool,
    url: UrlTemplate,
    method: Method,
    headers: Headers,
    /// Headers with variables in their values.
    variable_headers: Vec<(HeaderName, Template)>,
    body: Body,
    redirects: u8,
    captures: Vec<(String, Extractor)>,
}

#[derive(Debug)]
enum Body {
    Secret(SecretText),
    Text(Template),
}

impl Step {
    /// Prepares a step; `known` are the variables that the steps before it capture.
    pub(super) fn new(step: &FlowStep, known: &[String]) -> Result<Self, String> {
        let written: Result<Vec<Expectation>, String> = step
            .expect
            .iter()
            .map(|text| Expectation::parse(text, "http").map_err(|error| format!("expect {text:?}: {}", error.message)))
            .collect();
        let expect = expect::with_defaults("http", &written?);
        let captures: Result<Vec<(String, Extractor)>, String> = step
            .capture
            .iter()
            .map(|(name, text)| {
                let extractor = Extractor::parse(text);
                extractor.map(|e| (name.clone(), e)).map_err(|error| format!("capture.{name}: {}", error.message))
            })
            .collect();
        let captures = captures?;
        let mut variable_headers = Vec::new();
        for (name, value) in step.headers.iter().filter(|(_, value)| value.name().is_none()) {
            let template = Template::parse(&value.0);
            if !template.is_plain() {
                let name = name.parse().map_err(|_| format!("{name:?} is no header name"))?;
                variable_headers.push((name, template));
            }
        }
        let prepared = Self {
            name: step.name.clone(),
            wants_body: expect::needs_body(&expect) || !captures.is_empty(),
            expect,
            url: UrlTemplate::parse(&step.url)?,
            method: http::method(&step.method)?,
            headers: Headers::new(&step.headers, step.auth.as_ref(), false)?,
            variable_headers,
            body: match &step.body {
                Some(text) if text.name().is_some() => Body::Secret(text.clone()),
                Some(text) => Body::Text(Template::parse(&text.0)),
                None => Body::Text(Template::parse("")),
            },
            redirects: step.redirects,
            captures,
        };
        let unknown = prepared.names().find(|name| !known.iter().any(|one| one == name));
        if let Some(name) = unknown {
            return Err(format!("no step before captures {name:?}"));
        }
        Ok(prepared)
    }

    /// The variables it uses.
    fn names(&self) -> impl Iterator<Item = &str> {
        let body = match &self.body {
            Body::Text(template) => Some(template),
            Body::Secret(_) => None,
        };
        let headers = self.variable_headers.iter().map(|(_, template)| template);
        self.url.names().chain(headers.chain(body).flat_map(Template::names))
    }

    /// Sends the request and takes the answer in.
    pub(super) async fn ask(
        &self,
        attempt: &mut Attempt<'_>,
        route: &Route,
        cookies: &mut Cookies,
        variables: &Variables,
    ) -> Result<Answer, Failure> {
        let secrets = &attempt.tools.secrets;
        let unusable = |text: String| Failure::new(Cause::AssertionFailed, Phase::Total, text);
        let url = self.url.render(variables).map_err(|reason| unusable(format!("url: {reason}")))?;
        let mut headers = self.headers.resolve(secrets)?;
        for (name, template) in &self.variable_headers {
            let value = HeaderValue::from_str(&template.render(variables));
            let mut value = value.map_err(|_| unusable(format!("header {name}: what was captured fits no header")))?;
            // Captured values may be logins: they do not follow a redirect to another origin.
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        let (body, secret_body) = match &self.body {
            Body::Secret(text) => (secrets.resolve(text)?, true),
            // As with headers: what was captured stays with the origin.
            Body::Text(template) => (template.render(variables), !template.is_plain()),
        };
        let request = http::Request {
            method: self.method.clone(),
            url: &url,
            headers,
            body: Bytes::from(body),
            secret_body,
            redirects: self.redirects,
        };
        http::fetch(attempt, route, request, Some(cookies)).await
    }

    /// Captures its variables; says which one is not there.
    pub(super) fn capture(&self, observed: &Observed<'_>, variables: &mut Variables) -> Result<(), String> {
        let values = Extractor::extract_all(self.captures.iter().map(|(_, extractor)| extractor), observed);
        for ((name, extractor), value) in self.captures.iter().zip(values) {
            let value = value.ok_or_else(|| format!("{extractor} captured nothing"))?;
            variables.insert(name.clone(), value);
        }
        Ok(())
    }
}

//! One step of a flow, prepared once: its request with the places of its variables, its assertions, what it captures.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use sitepulse_model::check::{Auth, FlowStep, SecretText};
use sitepulse_model::expect::{self, Expectation, Extractor, Outcome};
use sitepulse_model::record::{Cause, Phase, Phases, ProbeState};

use super::Variables;
use super::jar::Cookies;
use super::template::{Template, UrlTemplate};
use crate::attempt::{Answer, Attempt, Failure};
use crate::http::{self, Headers, Route};
use crate::judge::Case;
use crate::run::measured;
use crate::tools::Secrets;

#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) expect: Arc<[Expectation]>,
    /// An assertion or a capture looks into the body.
    pub(super) wants_body: bool,
    url: UrlTemplate,
    method: Method,
    headers: Headers,
    /// Headers with variables in their values.
    variable_headers: Vec<(HeaderName, Template)>,
    /// The login where it has variables.
    variable_auth: Option<VariableAuth>,
    body: Words,
    redirects: u8,
    captures: Arc<[(String, Extractor)]>,
}

/// A reference to a secret, or a text with variables.
#[derive(Debug)]
enum Words {
    Secret(SecretText),
    Text(Template),
}

impl Words {
    fn parse(text: &SecretText) -> Self {
        match text.name() {
            Some(_) => Self::Secret(text.clone()),
            None => Self::Text(Template::parse(&text.0)),
        }
    }

    fn template(&self) -> Option<&Template> {
        match self {
            Self::Text(template) => Some(template),
            Self::Secret(_) => None,
        }
    }

    fn has_variables(&self) -> bool {
        self.template().is_some_and(|template| !template.is_plain())
    }

    fn render(&self, secrets: &Secrets, variables: &Variables) -> Result<String, Failure> {
        match self {
            Self::Secret(text) => secrets.resolve(text),
            Self::Text(template) => Ok(template.render(variables)),
        }
    }
}

/// A login with variables.
#[derive(Debug)]
enum VariableAuth {
    Basic { user: Template, password: Words },
    Bearer(Words),
}

impl VariableAuth {
    /// `None` where nothing is variable.
    fn parse(auth: &Auth) -> Option<Self> {
        match auth {
            Auth::Basic { user, password } => {
                let (user, password) = (Template::parse(user), Words::parse(password));
                (!user.is_plain() || password.has_variables()).then_some(Self::Basic { user, password })
            }
            Auth::Bearer(token) => Some(Words::parse(token)).filter(Words::has_variables).map(Self::Bearer),
        }
    }

    fn templates(&self) -> impl Iterator<Item = &Template> {
        let (user, words) = match self {
            Self::Basic { user, password } => (Some(user), password),
            Self::Bearer(token) => (None, token),
        };
        user.into_iter().chain(words.template())
    }

    /// What `Authorization` says.
    fn render(&self, secrets: &Secrets, variables: &Variables) -> Result<String, Failure> {
        match self {
            Self::Basic { user, password } => {
                let user = user.render(variables);
                if user.contains(':') {
                    return Err(unusable("auth: what was captured for the user has a ':' in it".to_owned()));
                }
                Ok(http::basic(&user, &password.render(secrets, variables)?))
            }
            Self::Bearer(token) => Ok(format!("Bearer {}", token.render(secrets, variables)?)),
        }
    }
}

/// What was captured does not fit where it is used.
fn unusable(text: String) -> Failure {
    Failure::new(Cause::AssertionFailed, Phase::Total, text)
}

impl Step {
    /// Prepares a step; `known` are the variables that the steps before it capture.
    pub(super) fn new(step: &FlowStep, known: &[String]) -> Result<Self, String> {
        let written: Result<Vec<Expectation>, String> = step
            .expect
            .iter()
            .map(|text| Expectation::parse(text, "http").map_err(|error| format!("expect {text:?}: {}", error.message)))
            .collect();
        let expect: Arc<[Expectation]> = expect::with_defaults("http", &written?).into();
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
            variable_auth: step.auth.as_ref().and_then(VariableAuth::parse),
            body: step.body.as_ref().map_or_else(|| Words::Text(Template::parse("")), Words::parse),
            redirects: step.redirects,
            captures: captures.into(),
        };
        let unknown = prepared.names().find(|name| !known.iter().any(|one| one == name));
        if let Some(name) = unknown {
            return Err(format!("no step before captures {name:?}"));
        }
        Ok(prepared)
    }

    /// The variables it uses.
    fn names(&self) -> impl Iterator<Item = &str> {
        let headers = self.variable_headers.iter().map(|(_, template)| template);
        let auth = self.variable_auth.iter().flat_map(VariableAuth::templates);
        self.url.names().chain(headers.chain(auth).chain(self.body.template()).flat_map(Template::names))
    }

    /// Sends the request and takes the answer in.
    pub(super) async fn ask(
        &self,
        attempt: &mut Attempt<'_>,
        route: &Route,
        cookies: &mut Cookies,
    ) -> Result<Answer, Failure> {
        let secrets = &attempt.secrets;
        let variables = &attempt.captured;
        let url = self.url.render(variables).map_err(|reason| unusable(format!("url: {reason}")))?;
        let mut headers = self.headers.resolve(secrets)?;
        let mut lines: Vec<(&HeaderName, String)> =
            self.variable_headers.iter().map(|(name, template)| (name, template.render(variables))).collect();
        if let Some(auth) = &self.variable_auth {
            lines.push((&AUTHORIZATION, auth.render(secrets, variables)?));
        }
        for (name, line) in lines {
            let value = HeaderValue::try_from(line);
            let mut value = value.map_err(|_| unusable(format!("header {name}: what was captured fits no header")))?;
            // Captured values may be logins: they do not follow a redirect to another origin.
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        let body = self.body.render(secrets, variables)?;
        // As with headers: what was captured stays with the origin.
        let secret_body = self.body.template().is_none_or(|template| !template.is_plain());
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

    /// What judges its answer, and finds the values to capture where it is not down.
    pub(super) fn judgement(&self) -> impl FnOnce(&Case) -> (Outcome, Vec<Option<String>>) + Send + 'static {
        let captures = self.captures.clone();
        move |case| {
            let outcome = case.evaluate();
            if outcome.state == ProbeState::Down {
                return (outcome, Vec::new());
            }
            let extractors = captures.iter().map(|(_, extractor)| extractor);
            let found = case.observed(|observed| Extractor::extract_all(extractors, observed));
            (outcome, found)
        }
    }

    /// Keeps the values that were found for its variables; tells which one was not there, and the phase that should have brought it.
    pub(super) fn keep(
        &self,
        found: Vec<Option<String>>,
        phases: &Phases,
        variables: &mut Variables,
    ) -> Result<(), Failure> {
        for ((name, extractor), value) in self.captures.iter().zip(found) {
            let nothing = || {
                let phase = measured(extractor.phase(), phases);
                Failure::new(Cause::AssertionFailed, phase, format!("{extractor} captured nothing"))
            };
            variables.insert(name.clone(), value.ok_or_else(nothing)?);
        }
        Ok(())
    }
}

//! A domain's registration, by RDAP (RFC 9082, 9083): when it ends, with which registrar, and whether there still is one.
//!
//! The service to ask is the check's `rdap`, or the one that IANA's bootstrap registry names ([`Registry`]).
//!
//! Down is what the registry says of the domain: not registered, past its end, deleted. A registry that does not answer, limits the
//! rate or talks nonsense says nothing of the domain: that is `unknown`, with the reason. Registries that publish no end (some
//! countries' do not) leave the fact out.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use sitepulse_daemon::clock;
use sitepulse_model::check::{DomainTarget, Family, HttpVersion, SecretText};
use sitepulse_model::record::{Cause, FactKey, Phase};
use sitepulse_model::time::{SECOND_US, UtcMicros};

use crate::attempt::{Answer, Attempt, Failure};
use crate::http::{self, Headers, Request, Route, Url};
use crate::tls::span;

mod rdap;
mod registry;

pub use registry::Registry;

/// Redirects followed: registries send on to registrars' services and to moved ones.
const REDIRECTS: u8 = 3;
/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// A check of this kind, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct DomainProbe {
    /// As it is registered: lower case, other scripts in punycode, no dot at the end.
    domain: String,
    base: Option<String>,
    headers: Headers,
    route: Route,
}

impl DomainProbe {
    pub(crate) fn new(target: &DomainTarget) -> Result<Self, String> {
        if let Some(base) = &target.rdap {
            Url::parse(base).map_err(|error| format!("rdap: {error}"))?;
        }
        Ok(Self {
            domain: registered(&target.domain)?,
            base: target.rdap.clone(),
            headers: headers()?,
            route: Route::new(HttpVersion::Auto, Family::Any, None, &target.tls)?,
        })
    }

    pub(crate) async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        // A little before the run's own deadline, whose timeout would be the domain's fault.
        let left = attempt.deadline.us_since(clock::monotonic());
        let asking = tokio::time::timeout(Duration::from_micros(left - left / 20), self.ask(attempt)).await;
        // It is the registry's certificate, not the domain's.
        attempt.facts.certificate_expires = None;
        let told = match asking {
            Ok(told) => told,
            Err(_) => {
                let phase = attempt.phase();
                let text = format!("{} did not answer in time", attempt.host);
                Err(Failure::new(Cause::Timeout, phase, text))
            }
        };
        attempt.end();
        match told {
            Ok(registration) => self.judge(attempt, &registration, clock::now()),
            // The domain's own fault, or the agent's.
            Err(failure) if failure.cause == Cause::NotRegistered || failure.cause.code() >= 96 => Err(failure),
            Err(failure) => {
                let text = format!("rdap: what is registered of {} is not known: {}", self.domain, failure.detail);
                Err(Failure::new(Cause::AgentFault, failure.phase, text))
            }
        }
    }

    async fn ask(&self, attempt: &mut Attempt<'_>) -> Result<rdap::Registration, Failure> {
        let base = match &self.base {
            Some(base) => base.clone(),
            None => attempt.tools.registry.service(attempt, &self.domain).await?,
        };
        let slash = if base.ends_with('/') { "" } else { "/" };
        let unusable = |reason: String| Failure::new(Cause::AgentFault, Phase::Total, format!("agent: {reason}"));
        let url = Url::parse(&format!("{base}{slash}domain/{}", self.domain)).map_err(unusable)?;
        let answer = get(attempt, &self.route, &self.headers, &url).await?;
        let status = attempt.facts.status.unwrap_or_default();
        let host = url.host();
        let failed = |text: String| Failure::new(Cause::ProtocolError, Phase::Transfer, text);
        match status {
            200 => {}
            404 => {
                let text = format!("rdap: {} is not registered ({host} does not know it)", self.domain);
                return Err(Failure::new(Cause::NotRegistered, Phase::Transfer, text));
            }
            429 => return Err(failed(format!("{host} limits the rate of questions (status 429); ask less often"))),
            other => return Err(failed(format!("{host} answered with status {other}"))),
        }
        if answer.truncated || answer.body.len() > ANSWER_BYTES_MAX {
            return Err(failed(format!("{host} sent over {ANSWER_BYTES_MAX} bytes")));
        }
        let registration = rdap::Registration::parse(&answer.body)
            .map_err(|reason| failed(format!("{host} sent no RDAP answer ({reason})")))?;
        match &registration.name {
            Some(name) if !name.trim_end_matches('.').eq_ignore_ascii_case(&self.domain) => {
                Err(failed(format!("{host} answered about {name:?}")))
            }
            Some(_) | None => Ok(registration),
        }
    }

    /// What the registration means, and its facts.
    fn judge(
        &self,
        attempt: &mut Attempt<'_>,
        registration: &rdap::Registration,
        now: UtcMicros,
    ) -> Result<Answer, Failure> {
        let domain = &self.domain;
        if let Some(registrar) = &registration.registrar {
            attempt.facts.text(FactKey::Registrar, registrar);
        }
        if let Some(ends) = registration.expires {
            attempt.facts.number(FactKey::DomainExpires, ends.0.div_euclid(SECOND_US));
        }
        let gone = |text: String| Err(Failure::new(Cause::NotRegistered, Phase::Transfer, format!("rdap: {text}")));
        let fate = registration.fate();
        if let Some(ends) = registration.expires.filter(|ends| *ends <= now) {
            let fate = fate.map(|fate| format!(" ({fate})")).unwrap_or_default();
            return gone(format!("the registration of {domain} ended {} ago{fate}", span(now.us_since(ends))));
        }
        match fate {
            Some(fate) => gone(format!("the registration of {domain} was deleted ({fate})")),
            None => Ok(Answer::default()),
        }
    }
}

/// A GET, its body kept.
async fn get(attempt: &mut Attempt<'_>, route: &Route, headers: &Headers, url: &Url) -> Result<Answer, Failure> {
    attempt.wants_body = true;
    let request = Request {
        method: Method::GET,
        url,
        headers: headers.resolve(&attempt.secrets)?,
        body: Bytes::new(),
        secret_body: false,
        redirects: REDIRECTS,
    };
    http::fetch(attempt, route, request, None).await
}

fn headers() -> Result<Headers, String> {
    let accept = SecretText("application/rdap+json, application/json;q=0.5".to_owned());
    Headers::new(&BTreeMap::from([("accept".to_owned(), accept)]), None, false)
}

/// A domain as registries know it.
fn registered(text: &str) -> Result<String, String> {
    let wrong = || format!("domain: {text:?} is no registered domain, as in shop.example");
    let text = text.trim_end_matches('.');
    if text.is_empty() || !text.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '.') {
        return Err(wrong());
    }
    let url = Url::parse(&format!("https://{text}/")).map_err(|_| wrong())?;
    let host = url.host();
    let labels: Vec<&str> = host.split('.').collect();
    let fits = |label: &&str| (1..=63).contains(&label.len());
    if labels.len() < 2 || !labels.iter().all(fits) || host.len() > 253 || host.parse::<std::net::IpAddr>().is_ok() {
        return Err(wrong());
    }
    Ok(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;

//! Which RDAP service answers for which top-level domain: IANA's bootstrap registry (RFC 9224), fetched when the first check needs it and
//! kept for a day.
//!
//! One fetch at a time, for all checks. One that fails is told to every check that asks within [`RETRY_US`], and not tried again until then; an
//! older copy is used on meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::check::{Family, HttpVersion, TlsOptions};
use sitepulse_model::record::{Cause, Phase};

use crate::attempt::{Attempt, Failure};
use crate::http::{Route, Url};

/// Where IANA publishes it.
const SOURCE: &str = "https://data.iana.org/rdap/dns.json";
/// How long a copy is good.
const KEPT_US: u64 = 86_400_000_000;
/// Shortest time from a failed fetch to the next one.
const RETRY_US: u64 = 60_000_000;

/// Which RDAP service answers for which top-level domain.
#[derive(Debug)]
pub struct Registry {
    source: String,
    state: Mutex<State>,
    /// Held while fetching.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    copy: Option<(Arc<Services>, Monotonic)>,
    /// Why the last fetch failed, and when.
    failed: Option<(Failure, Monotonic)>,
}

/// Base URLs by domain suffix, in lower case.
type Services = HashMap<String, String>;

#[derive(Deserialize)]
struct Bootstrap {
    /// Suffixes, and the services for them.
    services: Vec<(Vec<String>, Vec<String>)>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { source: SOURCE.to_owned(), state: Mutex::default(), turn: tokio::sync::Mutex::new(()) }
    }
}

impl Registry {
    /// The base URL of the service that answers for `domain`.
    pub(super) async fn service(&self, attempt: &mut Attempt<'_>, domain: &str) -> Result<String, Failure> {
        let services = self.services(attempt).await?;
        service_of(&services, domain).ok_or_else(|| {
            let text = format!(
                "agent: the registry of {domain:?} has no RDAP service in IANA's list; name one with rdap, or drop the check"
            );
            Failure::new(Cause::AgentFault, Phase::Total, text)
        })
    }

    async fn services(&self, attempt: &mut Attempt<'_>) -> Result<Arc<Services>, Failure> {
        if let Some(known) = self.known(clock::monotonic()) {
            return known;
        }
        // Half of what is left, so that the question itself still has its chance with an older copy.
        let left = attempt.deadline.us_since(clock::monotonic()) / 2;
        let fetching = async {
            let _turn = self.turn.lock().await;
            // Somebody may have fetched it meanwhile.
            match self.known(clock::monotonic()) {
                Some(known) => known,
                None => self.keep(self.fetch(attempt).await),
            }
        };
        match tokio::time::timeout(Duration::from_micros(left), fetching).await {
            Ok(known) => known,
            Err(_) => {
                let text = format!("{} did not answer in time", self.source);
                self.give_up(Failure::new(Cause::AgentFault, Phase::Total, text))
            }
        }
    }

    /// What can be said without fetching.
    fn known(&self, now: Monotonic) -> Option<Result<Arc<Services>, Failure>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let resting = state.failed.as_ref().filter(|(_, at)| now.us_since(*at) < RETRY_US);
        match (&state.copy, resting) {
            (Some((services, at)), resting) if resting.is_some() || now.us_since(*at) < KEPT_US => {
                Some(Ok(services.clone()))
            }
            (_, Some((failure, _))) => Some(Err(failure.clone())),
            (_, None) => None,
        }
    }

    /// A check's patience ended. That is no failure for others, who may have more; who has an older copy stays with it.
    fn give_up(&self, failure: Failure) -> Result<Arc<Services>, Failure> {
        let has_copy = self.state.lock().unwrap_or_else(PoisonError::into_inner).copy.is_some();
        if has_copy { self.keep(Err(failure)) } else { Err(told(failure)) }
    }

    fn keep(&self, fetched: Result<Services, Failure>) -> Result<Arc<Services>, Failure> {
        let now = clock::monotonic();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(services) => {
                let services = Arc::new(services);
                state.copy = Some((services.clone(), now));
                state.failed = None;
                Ok(services)
            }
            Err(failure) => {
                let failure = told(failure);
                // A run that is told of it later measured nothing.
                state.failed = Some((Failure { phase: Phase::Total, ..failure.clone() }, now));
                match &state.copy {
                    Some((old, _)) => Ok(old.clone()),
                    None => Err(failure),
                }
            }
        }
    }

    /// Its phases and facts are not the check's: an attempt of its own takes them. Only where it fails, and the check with it, its phases show
    /// where the time went.
    async fn fetch(&self, attempt: &mut Attempt<'_>) -> Result<Services, Failure> {
        let unusable = |reason: String| Failure::new(Cause::AgentFault, Phase::Total, reason);
        let route = Route::new(HttpVersion::Auto, Family::Any, None, &TlsOptions::default()).map_err(unusable)?;
        let url = Url::parse(&self.source).map_err(unusable)?;
        let mut own = Attempt::new(attempt.tools, &[], true, attempt.deadline);
        let got = super::get(&mut own, &route, &super::headers().map_err(unusable)?, &url).await;
        own.end();
        let answer = got.inspect_err(|_| {
            for phase in Phase::ALL {
                if let Some(us) = own.phases.get(*phase) {
                    attempt.phases.add(*phase, us);
                }
            }
        })?;
        if own.facts.status != Some(200) || answer.truncated {
            return Err(unusable(format!("{} answered with status {:?}", self.source, own.facts.status)));
        }
        parse(&answer.body).map_err(|reason| unusable(format!("{} sent no bootstrap file ({reason})", self.source)))
    }
}

fn told(failure: Failure) -> Failure {
    let text = format!("agent: IANA's list of RDAP services is not to be had: {}", failure.detail);
    // The agent's own network, its policy: those keep their names.
    let cause = if failure.cause.code() >= 96 { failure.cause } else { Cause::AgentFault };
    Failure::new(cause, failure.phase, text)
}

fn parse(json: &[u8]) -> Result<Services, String> {
    let file: Bootstrap = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let mut services = Services::new();
    for (suffixes, urls) in file.services {
        // Both schemes may be listed (RFC 9224, 3).
        let url = urls.iter().find(|url| url.starts_with("https://")).or(urls.first());
        let Some(url) = url else { continue };
        for suffix in suffixes {
            services.insert(suffix.to_ascii_lowercase(), url.clone());
        }
    }
    if services.is_empty() { Err("it lists no services".to_owned()) } else { Ok(services) }
}

/// The service of the longest suffix that matches, label by label (RFC 9224, 4).
fn service_of(services: &Services, domain: &str) -> Option<String> {
    let mut rest = domain;
    loop {
        if let Some(url) = services.get(rest) {
            return Some(url.clone());
        }
        (_, rest) = rest.split_once('.')?;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    impl Registry {
        /// One that is published elsewhere.
        pub(in crate::domain) fn at(source: String) -> Self {
            Self { source, ..Self::default() }
        }
    }

    #[test]
    fn the_longest_suffix_counts() {
        let json = br#"{"version":"1.0","services":[[["com","NET"],["http://a.example/","https://b.example/"]],[["co.uk"],["https://uk.example/"]],[["empty"],[]]]}"#;
        let services = parse(json).unwrap();
        assert_eq!(service_of(&services, "shop.com").as_deref(), Some("https://b.example/"));
        assert_eq!(service_of(&services, "shop.net").as_deref(), Some("https://b.example/"));
        assert_eq!(service_of(&services, "shop.co.uk").as_deref(), Some("https://uk.example/"));
        assert_eq!(service_of(&services, "shop.uk"), None);
        assert_eq!(service_of(&services, "shop.empty"), None);
        assert!(parse(b"{\"services\":[]}").is_err() && parse(b"[]").is_err());
    }

    #[test]
    fn a_failure_rests_and_an_old_copy_goes_on() {
        let registry = Registry::at("https://x.example/".to_owned());
        let now = clock::monotonic();
        assert!(registry.known(now).is_none(), "nothing is known at first");
        let failure = || Failure::new(Cause::ConnectionRefused, Phase::Connect, "refused");
        let told = registry.keep(Err(failure())).unwrap_err();
        assert_eq!(told.cause, Cause::AgentFault);
        assert!(told.detail.ends_with("is not to be had: refused"), "{}", told.detail);
        let now = clock::monotonic();
        assert!(registry.known(now).unwrap().is_err(), "told again without fetching");
        assert!(registry.known(now.plus_us(RETRY_US)).is_none(), "worth another try");
        let impatient = Registry::at("https://x.example/".to_owned());
        assert!(impatient.give_up(failure()).is_err());
        assert!(impatient.known(clock::monotonic()).is_none(), "others may have more patience");
        registry.keep(Ok(Services::new())).unwrap();
        let now = clock::monotonic();
        assert!(registry.known(now.plus_us(KEPT_US - RETRY_US)).is_some());
        assert!(registry.known(now.plus_us(KEPT_US + 1)).is_none(), "a day is over");
        assert!(registry.keep(Err(failure())).is_ok(), "the old copy");
        assert!(registry.known(clock::monotonic()).unwrap().is_ok());
    }
}

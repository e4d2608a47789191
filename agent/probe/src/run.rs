//! A run: attempts within their deadlines, then the judgement.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::HeaderMap;
use sitepulse_daemon::clock;
use sitepulse_model::check::{AssignedCheck, CheckDefinition, CheckKind};
use sitepulse_model::expect::{self, Expectation, Headers, Outcome};
use sitepulse_model::id::{CheckNo, Revision};
use sitepulse_model::record::{Cause, FactKey, Phase, Phases, ProbeResult, ProbeState, detail};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::profile::Thresholds;

use crate::attempt::{Answer, Attempt, Failure};
use crate::judge::{self, Case};
use crate::network::Contact;
use crate::pool::Pool;
use crate::tools::Tools;
use crate::{BODY_BYTES_MAX, human_us};
use crate::{certificate, dns, domain, evidence, flow, grpc, http, icmp, imap, smtp, tcp, udp, web_vitals, websocket};

/// The run a result is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The check.
    pub check: CheckNo,
    /// The definition that is probed.
    pub revision: Revision,
    /// The slot it was due at.
    pub slot: UtcMicros,
    /// When it starts, by the wall clock.
    pub started: UtcMicros,
    /// Somebody will look at this one result: it shows everything measured. Scheduled runs leave out what is the same every time
    /// (what TLS negotiated, who signed the certificate), unless an assertion asks for it: their results are kept for years.
    pub note_all: bool,
}

/// A check, prepared once and run many times.
#[derive(Debug)]
pub struct Probe {
    kind: Kind,
    /// As check files call it.
    name: &'static str,
    timeout_us: u64,
    retries: u8,
    expect: Arc<[Expectation]>,
    wants_body: bool,
    has_secrets: bool,
    /// A panic was logged: once for all runs.
    panicked: AtomicBool,
}

/// The prober of each kind, or why there is none. Boxed where they are large: ten thousand small ones should not each take the room of the largest.
#[derive(Debug)]
enum Kind {
    Http(http::HttpProbe),
    Tcp(Box<tcp::TcpProbe>),
    Udp(Box<udp::UdpProbe>),
    Icmp(Box<icmp::IcmpProbe>),
    Certificate(Box<certificate::CertificateProbe>),
    Dns(Box<dns::DnsProbe>),
    Websocket(Box<websocket::WebsocketProbe>),
    Grpc(Box<grpc::GrpcProbe>),
    Smtp(Box<smtp::SmtpProbe>),
    Imap(Box<imap::ImapProbe>),
    Domain(Box<domain::DomainProbe>),
    Flow(Box<flow::FlowProbe>),
    WebVitals(Box<web_vitals::WebVitalsProbe>),
    Unusable(String),
    /// A target that brings the prober down.
    #[cfg(test)]
    Panics,
}

impl Probe {
    /// Prepares a check. A target that cannot be used makes every run `unknown` with the reason.
    pub fn new(assigned: &AssignedCheck) -> Self {
        Self::with_pool(assigned, &mut Pool::default())
    }

    /// As [`Probe::new`], one of many: what they have in common is kept once.
    pub fn with_pool(assigned: &AssignedCheck, pool: &mut Pool) -> Self {
        let definition = &assigned.definition;
        let expect = pool.expect(definition);
        Self {
            wants_body: expect::needs_body(&expect),
            kind: Kind::new(definition, &expect, pool),
            name: definition.kind.as_str(),
            timeout_us: definition.timeout_us,
            retries: definition.retries,
            has_secrets: !definition.kind.secrets().is_empty(),
            expect,
            panicked: AtomicBool::new(false),
        }
    }

    /// Runs the check once: at most its timeout for each attempt, or for each load of a page.
    ///
    /// Boxed and not inlined, for the size of the program: each unit that holds a future holds all of its code, and this one's is by far the largest.
    #[inline(never)]
    pub fn run<'a>(&'a self, run: Run, tools: &'a Tools) -> BoxFuture<'a, ProbeResult> {
        Box::pin(self.attempts(run, tools))
    }

    async fn attempts(&self, run: Run, tools: &Tools) -> ProbeResult {
        let mut failed = Vec::new();
        loop {
            let (mut result, worth_another) = self.attempt(&run, tools, &failed).await;
            if worth_another && failed.len() < usize::from(self.retries) {
                failed.push(result.detail);
                continue;
            }
            // Judged, and without secrets: now they may be cut.
            result.facts.shorten();
            return result;
        }
    }

    /// One attempt after the `failed` ones, and whether another one could end better.
    async fn attempt(&self, run: &Run, tools: &Tools, failed: &[String]) -> (ProbeResult, bool) {
        let start = clock::monotonic();
        let attempt_us = self.attempt_us();
        let mut attempt = Attempt::new(tools, &self.expect, self.wants_body, start.plus_us(attempt_us));
        attempt.kind = self.name;
        attempt.note_all = run.note_all;
        // First of all: facts are limited in number, and assertions ask for these.
        if !failed.is_empty() {
            attempt.facts.number(FactKey::Attempts, failed.len() as i64 + 1);
            for explanation in failed {
                attempt.facts.text(FactKey::FailedAttempt, explanation);
            }
        }
        // What targets send is read by the code of many others: a panic in it must not end the agent. What it leaves behind is dropped with the attempt.
        let talk = AssertUnwindSafe(self.kind.talk(&mut attempt)).catch_unwind();
        let seen = tokio::time::timeout(Duration::from_micros(attempt_us), talk).await;
        let struck = attempt.phase();
        let end = clock::monotonic();
        attempt.end_at(end);
        // A page tells its own: until its load event, in the load that is shown.
        attempt.phases.total.get_or_insert(end.us_since(start));
        let seen = match seen {
            Ok(Ok(seen)) => seen,
            Ok(Err(_panic)) => Err(self.panicked(run, struck, &attempt.host)),
            Err(_) if matches!(self.kind, Kind::WebVitals(_)) => {
                let text = format!("browser: it gave nothing back within {}; please report it", human_us(attempt_us));
                Err(Failure::new(Cause::AgentFault, Phase::Total, text))
            }
            Err(_) => {
                let text = timeout_text(struck, &attempt, self.timeout_us);
                Err(Failure::new(Cause::Timeout, struck, text))
            }
        };
        let contact = Contact { host: &attempt.host, address: attempt.address, phases: attempt.phases };
        let failure = match seen {
            Ok(answer) => {
                tools.network.succeeded(contact);
                Ok(answer)
            }
            Err(failure) => Err(tools.network.judge(&tools.resolver, contact, failure).await),
        };
        let mut result = ProbeResult {
            check: run.check,
            revision: run.revision,
            scheduled: run.slot,
            started: run.started,
            phases: attempt.phases,
            state: ProbeState::Up,
            cause: None,
            failed_phase: None,
            detail: String::new(),
            address: attempt.address,
            facts: std::mem::take(&mut attempt.facts),
        };
        let text = match failure {
            Ok(answer) => match self.judge(&mut result, answer, &mut attempt).await {
                Ok(text) => text,
                Err(unjudged) => {
                    fail(&mut result, unjudged.failure(|| self.panicked(run, Phase::Total, &attempt.host)))
                }
            },
            Err(failure) => fail(&mut result, failure),
        };
        let worth_another = result.state == ProbeState::Down;
        let is_last = !worth_another || failed.len() >= usize::from(self.retries);
        if run.note_all || (is_last && result.state != ProbeState::Up) {
            let is_about_tls = attempt.evidence.is_about_tls || result.failed_phase == Some(Phase::Tls);
            evidence::note(&attempt, &mut result.facts, run.note_all || is_about_tls).await;
        }
        // Before it is cut: of a value that was cut, too little may be left to be found. By the secrets that the attempt was made with.
        let secrets = if self.has_secrets { Arc::clone(&attempt.secrets) } else { Arc::default() };
        result.detail = detail(&flow::redact(&secrets, &attempt.captured, &text));
        flow::redact_facts(&secrets, &attempt.captured, &mut result.facts);
        (result, worth_another)
    }

    /// What a run is whose prober panicked. Logged, once.
    fn panicked(&self, run: &Run, phase: Phase, host: &str) -> Failure {
        let target = if host.is_empty() { "the target" } else { host };
        let text = format!("agent: the prober failed on what {target} sent; please report it");
        if !self.panicked.swap(true, Ordering::Relaxed) {
            tracing::error!(check = run.check.0, "{text}");
        }
        Failure::new(Cause::AgentFault, phase, text)
    }

    /// The deadline of an attempt: the check's timeout, or of a page, which is loaded several times, all of its deadlines.
    fn attempt_us(&self) -> u64 {
        if let Kind::WebVitals(probe) = &self.kind { probe.attempt_us() } else { self.timeout_us }
    }

    /// What `good` and `poor` are of a vital.
    fn thresholds(&self) -> Option<&Thresholds> {
        if let Kind::WebVitals(probe) = &self.kind { Some(probe.thresholds()) } else { None }
    }

    /// Judges an answer; tells what is wrong with it, or odd about it.
    async fn judge(
        &self,
        result: &mut ProbeResult,
        answer: Answer,
        attempt: &mut Attempt<'_>,
    ) -> Result<String, judge::Unjudged> {
        let facts = Arc::new(std::mem::take(&mut result.facts));
        let case = Case {
            expect: self.expect.clone(),
            facts: facts.clone(),
            answer,
            phases: result.phases,
            now: result.started,
            thresholds: self.thresholds().copied(),
        };
        let until = judge::until(attempt.deadline);
        let judged = attempt.tools.bench.judge(case, until, self.wants_body, Case::evaluate).await;
        // The case counts the facts too: let go of it first.
        let judged = judged.map(|(outcome, case)| (outcome, case.answer));
        result.facts = Arc::unwrap_or_clone(facts);
        let (outcome, answer) = judged?;
        let is_truncated = answer.truncated;
        attempt.evidence.answered(answer, result.facts.body_bytes);
        attempt.evidence.is_about_tls =
            self.broken(&outcome).is_some_and(|broken| broken.phase(self.name) == Phase::Tls);
        Ok(self.conclude(result, outcome, is_truncated))
    }

    /// The assertion that decided.
    fn broken(&self, outcome: &Outcome) -> Option<&Expectation> {
        outcome.broken.as_ref().and_then(|broken| self.expect.get(broken.index))
    }

    /// Puts a judgement into the result; tells what is wrong, or odd.
    fn conclude(&self, result: &mut ProbeResult, outcome: Outcome, is_truncated: bool) -> String {
        result.state = outcome.state;
        result.cause = match outcome.state {
            ProbeState::Up => None,
            ProbeState::Degraded => Some(Cause::SoftAssertion),
            ProbeState::Down => Some(Cause::AssertionFailed),
            ProbeState::Unknown => Some(Cause::AgentFault),
        };
        if outcome.state == ProbeState::Down {
            let broken = self.broken(&outcome);
            result.failed_phase = broken.map(|broken| measured(broken.phase(self.name), &result.phases));
        }
        match (outcome.broken, is_truncated) {
            (Some(broken), true) => format!("{} (body cut after {BODY_BYTES_MAX} bytes)", broken.explanation),
            (Some(broken), false) => broken.explanation,
            (None, true) => format!("body cut after {BODY_BYTES_MAX} bytes"),
            (None, false) => String::new(),
        }
    }
}

fn fail(result: &mut ProbeResult, failure: Failure) -> String {
    result.state = match failure.cause.code() {
        0..64 => ProbeState::Down,
        64..96 => ProbeState::Degraded,
        _ => ProbeState::Unknown,
    };
    result.cause = Some(failure.cause);
    // Nothing failed in a run that is only not quite good.
    result.failed_phase = (result.state != ProbeState::Degraded).then_some(failure.phase);
    failure.detail
}

/// The phase that an assertion is about, or the whole run where there was no such phase: a certificate is asked for over plain HTTP, a body
/// of an answer without one.
pub(crate) fn measured(phase: Phase, phases: &Phases) -> Phase {
    if phases.get(phase).is_some() { phase } else { Phase::Total }
}

impl Kind {
    fn new(definition: &CheckDefinition, expect: &[Expectation], pool: &mut Pool) -> Self {
        let made = match &definition.kind {
            CheckKind::Http(target) => http::HttpProbe::new(target, pool).map(Self::Http),
            CheckKind::Tcp(target) => tcp::TcpProbe::new(target).map(Box::new).map(Self::Tcp),
            CheckKind::Udp(target) => udp::UdpProbe::new(target).map(Box::new).map(Self::Udp),
            CheckKind::Icmp(target) => icmp::IcmpProbe::new(target).map(Box::new).map(Self::Icmp),
            CheckKind::Tls(target) => certificate::CertificateProbe::new(target).map(Box::new).map(Self::Certificate),
            CheckKind::Dns(target) => dns::DnsProbe::new(target).map(Box::new).map(Self::Dns),
            CheckKind::Websocket(target) => websocket::WebsocketProbe::new(target).map(Box::new).map(Self::Websocket),
            CheckKind::Grpc(target) => grpc::GrpcProbe::new(target).map(Box::new).map(Self::Grpc),
            CheckKind::Smtp(target) => smtp::SmtpProbe::new(target).map(Box::new).map(Self::Smtp),
            CheckKind::Imap(target) => imap::ImapProbe::new(target).map(Box::new).map(Self::Imap),
            CheckKind::Domain(target) => domain::DomainProbe::new(target).map(Box::new).map(Self::Domain),
            CheckKind::Flow(target) => flow::FlowProbe::new(target).map(Box::new).map(Self::Flow),
            CheckKind::WebVitals(target) => {
                let CheckDefinition { timeout_us, retries, .. } = *definition;
                web_vitals::WebVitalsProbe::new(target, timeout_us, retries, expect).map(Box::new).map(Self::WebVitals)
            }
            CheckKind::Heartbeat(_) => Err("the collector itself watches heartbeats".to_owned()),
        };
        made.unwrap_or_else(Self::Unusable)
    }

    /// Talks to the target. Each kind's state is boxed: a run holds no more than its own kind needs.
    async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        match self {
            Self::Http(probe) => Box::pin(probe.talk(attempt)).await,
            Self::Tcp(probe) => Box::pin(probe.talk(attempt)).await,
            Self::Udp(probe) => Box::pin(probe.talk(attempt)).await,
            Self::Icmp(probe) => Box::pin(probe.talk(attempt)).await,
            Self::Certificate(probe) => Box::pin(probe.talk(attempt)).await,
            Self::Dns(probe) => Box::pin(probe.talk(attempt)).await,
            Self::Websocket(probe) => Box::pin(probe.talk(attempt)).await,
            Self::Grpc(probe) => Box::pin(probe.talk(attempt)).await,
            Self::Smtp(probe) => Box::pin(probe.talk(attempt)).await,
            Self::Imap(probe) => Box::pin(probe.talk(attempt)).await,
            Self::Domain(probe) => Box::pin(probe.talk(attempt)).await,
            Self::Flow(probe) => Box::pin(probe.talk(attempt)).await,
            Self::WebVitals(probe) => Box::pin(probe.talk(attempt)).await,
            #[cfg(test)]
            Self::Panics => {
                "hostile.example".clone_into(&mut attempt.host);
                attempt.begin(Phase::Transfer);
                tokio::task::yield_now().await;
                panic!("a parser of somebody else's");
            }
            Self::Unusable(reason) => {
                Err(Failure::new(Cause::AgentFault, Phase::Total, format!("agent: the check is unusable ({reason})")))
            }
        }
    }
}

/// The headers of an answer, for assertions.
pub(crate) struct HeaderLines<'a>(pub(crate) &'a HeaderMap);

impl Headers for HeaderLines<'_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut lines = self.0.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let first = lines.next()?;
        Some(lines.fold(first, |all, line| Cow::Owned(format!("{all}, {line}"))))
    }
}

/// Why a deadline that strikes in `phase` is the target's.
pub(crate) fn timeout_text(phase: Phase, attempt: &Attempt<'_>, timeout_us: u64) -> String {
    let Attempt { host, kind, .. } = attempt;
    let within = human_us(timeout_us);
    match (phase, attempt.address) {
        (Phase::Dns, _) => format!("dns: {host} did not resolve within {within}"),
        (Phase::Connect, Some(address)) => {
            format!("connect: {host}:{} did not answer within {within}", address.port())
        }
        (Phase::Connect, None) => format!("connect: {host} did not answer within {within}"),
        (Phase::Tls, _) => format!("TLS: handshake with {host} not done within {within}"),
        (Phase::Send, _) => format!("{kind}: {host} did not take the request within {within}"),
        (Phase::FirstByte, _) => format!("{kind}: {host} sent no first byte within {within}"),
        (Phase::Transfer, _) => format!("{kind}: {host} did not complete its answer within {within}"),
        (Phase::Total, _) if host.is_empty() => format!("{kind}: not done within {within}"),
        (Phase::Total, _) => format!("{kind}: {host} was not done within {within}"),
    }
}

#[cfg(test)]
mod tests;

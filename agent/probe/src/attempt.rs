//! One attempt at a target: what it has seen so far, which phase is under way, what went wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::HeaderMap;
use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::expect::Expectation;
use sitepulse_model::record::{Cause, Facts, Phase, Phases};

use crate::evidence::Evidence;
use crate::flow;
use crate::tools::{Secrets, Tools};

/// What went wrong, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    pub(crate) phase: Phase,
    /// One line for people, beginning with the step that failed: `TLS: certificate for shop.example expired 3 days ago`.
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(cause: Cause, phase: Phase, detail: impl Into<String>) -> Self {
        Self { cause, phase, detail: detail.into() }
    }
}

/// What a kind of prober brings back when the target answered; its assertions are judged then.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// The decoded body (or what was received over `tcp`, `udp`, ...), as far as it was kept: see [`Attempt::wants_body`].
    pub(crate) body: Vec<u8>,
    /// Decoded body bytes received.
    pub(crate) body_bytes: u64,
    /// The body went on after what was received.
    pub(crate) truncated: bool,
    /// Response headers.
    pub(crate) headers: HeaderMap,
}

/// An attempt under way. What it has noted stays when the deadline cuts it short.
pub(crate) struct Attempt<'a> {
    /// What all probes of the agent share.
    pub(crate) tools: &'a Tools,
    /// The secrets it is made with: what it sends, and what it must not tell.
    pub(crate) secrets: Arc<Secrets>,
    /// What the answer will be judged by.
    pub(crate) expect: &'a [Expectation],
    /// The kind that explanations begin with where a phase has no name of its own for it.
    pub(crate) kind: &'static str,
    /// Somebody looks at this one result: note every fact, also those that others leave out for their size.
    pub(crate) note_all: bool,
    /// Somebody looks into the body: keep it.
    pub(crate) wants_body: bool,
    /// The deadline of this attempt, on the monotonic clock.
    pub(crate) deadline: Monotonic,
    /// Measured so far. Prefer [`Attempt::begin`] and [`Attempt::end`].
    pub(crate) phases: Phases,
    /// The address dialled (last).
    pub(crate) address: Option<SocketAddr>,
    /// What the protocol told.
    pub(crate) facts: Facts,
    /// The host being talked to, for explanations.
    pub(crate) host: String,
    /// What a flow captured so far, by name. None of it may be told: see [`Attempt::redact`].
    pub(crate) captured: BTreeMap<String, String>,
    /// What explains the run where it is not up.
    pub(crate) evidence: Evidence,
    open: Option<(Phase, Monotonic)>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(tools: &'a Tools, expect: &'a [Expectation], wants_body: bool, deadline: Monotonic) -> Self {
        Self {
            tools,
            secrets: tools.secrets.now(),
            expect,
            kind: "http",
            note_all: false,
            wants_body,
            deadline,
            phases: Phases::default(),
            address: None,
            facts: Facts::default(),
            host: String::new(),
            captured: BTreeMap::new(),
            evidence: Evidence::default(),
            open: None,
        }
    }

    /// A phase begins now, and the one before ends. A phase that comes again (the next hop, the next step) adds up.
    pub(crate) fn begin(&mut self, phase: Phase) {
        self.begin_at(phase, clock::monotonic());
    }

    /// As [`Attempt::begin`], at an instant that was noted when it happened.
    pub(crate) fn begin_at(&mut self, phase: Phase, at: Monotonic) {
        self.end_at(at);
        self.open = Some((phase, at));
    }

    /// The phase under way ends now.
    pub(crate) fn end(&mut self) {
        self.end_at(clock::monotonic());
    }

    /// As [`Attempt::end`], at an instant that was noted when it happened.
    pub(crate) fn end_at(&mut self, at: Monotonic) {
        if let Some((phase, since)) = self.open.take() {
            self.phases.add(phase, at.us_since(since));
        }
    }

    /// `text` without the values of secrets and without what a flow captured. For facts: noting cuts them, and a value that was cut
    /// is not found any more.
    pub(crate) fn redact(&self, text: &str) -> String {
        flow::redact(&self.secrets, &self.captured, text)
    }

    /// The phase under way: where a deadline strikes.
    pub(crate) fn phase(&self) -> Phase {
        self.open.map_or(Phase::Total, |(phase, _)| phase)
    }
}

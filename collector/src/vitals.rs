//! Web vitals over time: what is kept of each `web_vitals` result beside its record, and the figures over any span.
//!
//! A result's record stays in the ledger like any other. [`Row`] is the little that figures need of it, in a table of its own, written in
//! the same transaction; [`figures`] reads those rows. A screenshot is taken out of the record before it is stored, because a ledger that is
//! read whole at each start must stay small: the newest [`SCREENSHOTS_MAX`] of a check are kept in a table of their own.
//!
//! All values are lab values: what one browser on one device profile measured, the median of a run's loads. The p75 over runs is a figure
//! of the laboratory, too, and is nowhere passed off as what visitors met.

pub mod change;
pub mod distribution;
pub mod figures;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sitepulse_model::check::{CheckDefinition, CheckKind};
use sitepulse_model::id::AgentNo;
use sitepulse_model::record::{FactKey, FactValue, Facts, ProbeResult, ProbeState};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::profile::ProfileChoice;
use sitepulse_model::vitals::{Spread, Vital};

/// Most screenshots that are kept of one check.
pub const SCREENSHOTS_MAX: usize = 20;

/// What figures need of one result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The slot.
    pub scheduled: UtcMicros,
    /// Who measured.
    pub agent: AgentNo,
    /// What the run found.
    pub state: ProbeState,
    /// The device profile's name, as the result's definition has it.
    pub profile: String,
    /// Loads that count.
    pub loads_counted: u32,
    /// Loads that do not, because the host was under pressure.
    pub loads_low_confidence: u32,
    /// The values, in the order of [`Vital::ALL`].
    pub values: [Option<Spread>; Vital::ALL.len()],
    /// The element painted largest; empty where unknown.
    pub lcp_element: String,
}

/// Whose screenshot, of when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScreenshotKey {
    /// The slot of the failed run.
    pub scheduled: UtcMicros,
    /// Who ran it.
    pub agent: AgentNo,
}

impl Row {
    /// Of a result of a check whose profile is `profile`.
    pub fn of(agent: AgentNo, profile: &str, result: &ProbeResult) -> Self {
        let values = Vital::ALL.map(|vital| Spread::from_facts(vital, &result.facts));
        let measured = values.iter().any(Option::is_some);
        let loads = |key| result.facts.number_of(key).and_then(|count| u32::try_from(count).ok());
        Self {
            scheduled: result.scheduled,
            agent,
            state: result.state,
            profile: profile.to_owned(),
            loads_counted: loads(FactKey::LoadsCounted).unwrap_or(u32::from(measured)),
            loads_low_confidence: loads(FactKey::LoadsLowConfidence).unwrap_or(0),
            values,
            lcp_element: result.facts.texts_of(FactKey::LcpElement).next().unwrap_or_default().to_owned(),
        }
    }

    /// Whether its values are graded: some load counts, and the agent could tell.
    pub fn graded(&self) -> bool {
        self.loads_counted > 0 && self.state != ProbeState::Unknown && self.values.iter().any(Option::is_some)
    }

    /// Whether the host was under pressure in every load that measured anything.
    pub fn low_confidence(&self) -> bool {
        self.loads_counted == 0 && self.loads_low_confidence > 0
    }
}

/// The profile of a `web_vitals` check; `None` of other kinds.
pub fn profile_of(definition: &CheckDefinition) -> Option<&ProfileChoice> {
    match &definition.kind {
        CheckKind::WebVitals(target) => Some(&target.profile),
        CheckKind::Http(_)
        | CheckKind::Tcp(_)
        | CheckKind::Tls(_)
        | CheckKind::Dns(_)
        | CheckKind::Icmp(_)
        | CheckKind::Udp(_)
        | CheckKind::Websocket(_)
        | CheckKind::Grpc(_)
        | CheckKind::Smtp(_)
        | CheckKind::Imap(_)
        | CheckKind::Domain(_)
        | CheckKind::Heartbeat(_)
        | CheckKind::Flow(_) => None,
    }
}

/// The screenshot that a record brought, out of its base64; `None` of what is no JPEG.
pub fn jpeg_of(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|bytes| bytes.starts_with(b"\xff\xd8\xff"))
}

/// Takes the screenshot out of a record that is to be stored.
pub fn take_screenshot(facts: &mut Facts) -> Option<Vec<u8>> {
    let mut taken = None;
    facts.more.retain(|fact| {
        if let (FactKey::Screenshot, FactValue::Text(text)) = (fact.key, &fact.value) {
            taken = taken.take().or_else(|| jpeg_of(text));
        }
        fact.key != FactKey::Screenshot
    });
    taken
}

//! Web vitals over time: what is kept of each `web_vitals` result beside its record, and the figures over any span.
//!
//! A result's record stays in the ledger like any other. [`Row`] is the little that figures need of it, in a table of its own, written in
//! the same transaction; [`figures`] reads those rows. [`Documents`] (the report, the screenshot) are taken out of the record before it is stored,
//! because records must stay small: the newest [`REPORTS_MAX`] reports of a check from each agent and the
//! newest [`SCREENSHOTS_MAX`] screenshots of a check are kept in tables of their own, no longer than the retention says (`seal/retention.rs`).
//!
//! All values are lab values: what one browser on one device profile measured, the median of a run's loads. The p75 over runs is a figure
//! of the laboratory, too, and is nowhere passed off as what visitors met.

pub mod change;
pub mod day;
pub mod distribution;
pub mod figures;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sitepulse_model::check::{CheckDefinition, CheckKind, WebVitalsTarget};
use sitepulse_model::id::{AgentNo, Revision};
use sitepulse_model::record::{Cause, Fact, FactKey, FactValue, Facts, ProbeResult, ProbeState};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::profile::ProfileChoice;
use sitepulse_model::vitals::{Spread, Vital};

/// Most screenshots that are kept of one check.
pub const SCREENSHOTS_MAX: usize = 20;

/// Most reports that are kept of one check from one agent: at an interval of 15 minutes those of two days.
pub const REPORTS_MAX: usize = 200;

/// What figures need of one result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The slot.
    pub scheduled: UtcMicros,
    /// Who measured.
    pub agent: AgentNo,
    /// The definition that was measured.
    pub revision: Revision,
    /// What the run found.
    pub state: ProbeState,
    /// Why, where it was not up.
    pub cause: Option<Cause>,
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
            revision: result.revision,
            state: result.state,
            cause: result.cause,
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

    /// Whether too few loads count because the host was under pressure. A page that failed is no such run, whatever its loads were like.
    pub fn low_confidence(&self) -> bool {
        self.state == ProbeState::Unknown && self.cause == Some(Cause::HostPressure)
    }
}

/// The profile of a `web_vitals` check; `None` of other kinds.
pub fn profile_of(definition: &CheckDefinition) -> Option<&ProfileChoice> {
    target_of(definition).map(|target| &target.profile)
}

/// The target of a `web_vitals` check; `None` of other kinds.
fn target_of(definition: &CheckDefinition) -> Option<&WebVitalsTarget> {
    match &definition.kind {
        CheckKind::WebVitals(target) => Some(target),
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
fn jpeg_of(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|bytes| bytes.starts_with(b"\xff\xd8\xff"))
}

/// Whether a text is a report: a JSON object. One that is not in this build's words is kept, for a newer agent may say more; it is shown to nobody.
fn is_report(text: &str) -> bool {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok()
}

/// What a result brought to be opened, not to be listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Documents {
    /// The report, as JSON.
    pub report: Option<String>,
    /// The picture itself.
    pub jpeg: Option<Vec<u8>>,
    /// How many were none and are gone: too long, no JSON object, no JPEG. What a page did must not cost the verdict on it.
    pub refused: usize,
}

impl Documents {
    /// Takes them out of a record that is to be stored.
    pub fn take(facts: &mut Facts) -> Self {
        let mut taken = Self::default();
        facts.more.retain_mut(|fact| {
            if !fact.key.is_document() {
                return true;
            }
            let text = match &mut fact.value {
                FactValue::Text(text) if text.len() <= fact.key.bytes_max() => Some(std::mem::take(text)),
                FactValue::Text(_) | FactValue::Number(_) => None,
            };
            let kept = match (fact.key == FactKey::Screenshot, text) {
                (true, Some(text)) => jpeg_of(&text).map(|jpeg| taken.jpeg.get_or_insert(jpeg)).is_some(),
                (false, Some(text)) => is_report(&text) && !taken.report.get_or_insert(text).is_empty(),
                (_, None) => false,
            };
            taken.refused += usize::from(!kept);
            false
        });
        taken
    }
}

/// Puts a report back into a result that is to be shown.
pub fn put_report(facts: &mut Facts, json: String) {
    facts.more.push(Fact { key: FactKey::VitalsReport, value: FactValue::Text(json) });
}

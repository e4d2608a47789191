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

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sitepulse_model::check::{CheckDefinition, CheckKind, WebVitalsTarget};
use sitepulse_model::id::{AgentNo, Revision};
use sitepulse_model::record::{Cause, Fact, FactKey, FactValue, Facts, ProbeResult, ProbeState};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::profile::ProfileChoice;
use sitepulse_model::vitals::report::{Report, TEXT_BYTES_MAX};
use sitepulse_model::vitals::{Spread, Vital};

/// Most screenshots that are kept of one check.
pub const SCREENSHOTS_MAX: usize = 20;

/// Most reports that are kept of one check from one agent: at an interval of 15 minutes those of two days.
pub const REPORTS_MAX: usize = 200;

/// Most moved elements of a run that are kept beside its figures.
pub const SHIFT_SOURCES_MAX: usize = 5;

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
    /// Where it was loaded from; empty of text, `None` where unknown.
    pub lcp_url: Option<String>,
    /// What moved in the largest shifts, see [`moved`]; empty where nothing did, `None` where unknown.
    pub shift_sources: Option<String>,
    /// Form and major version of the browser, `HeadlessChrome/156`: what another measured is not compared with it. `None` where unknown.
    pub browser: Option<String>,
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
    /// Of a result of a check whose profile is `profile`. What moved stands in the report alone, which is taken out before: see [`Documents::shift_sources`].
    pub fn of(agent: AgentNo, profile: &str, result: &ProbeResult) -> Self {
        let values = Vital::ALL.map(|vital| Spread::from_facts(vital, &result.facts));
        let measured = values.iter().any(Option::is_some);
        let loads = |key| result.facts.number_of(key).and_then(|count| u32::try_from(count).ok());
        let lcp_element = result.facts.texts_of(FactKey::LcpElement).next().unwrap_or_default().to_owned();
        let lcp_url = result.facts.texts_of(FactKey::LcpUrl).next().map(str::to_owned);
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
            // Who tells of an element without an address says that it has none.
            lcp_url: lcp_url.or_else(|| (!lcp_element.is_empty()).then(String::new)),
            lcp_element,
            shift_sources: None,
            browser: result.facts.texts_of(FactKey::Browser).next().and_then(browser_of),
        }
    }

    /// Whether it was measured with another browser than one before, as far as both are known.
    pub fn has_other_browser(&self, before: Option<&str>) -> bool {
        self.browser.as_deref().zip(before).is_some_and(|(now, before)| now != before)
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

/// `HeadlessChrome/156` of `HeadlessChrome/156.0.8078.79`.
fn browser_of(build: &str) -> Option<String> {
    let (form, version) = build.split_once('/').unwrap_or((build, ""));
    let name = one_line(&format!("{form}/{}", version.split('.').next().unwrap_or_default()));
    (!form.trim().is_empty()).then_some(name)
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

/// What moved in the largest shifts of a report: short CSS paths, one a line, at most [`SHIFT_SOURCES_MAX`]; what moved in those of the highest score together first. `None`
/// where the report does not tell, empty where nothing moved.
fn moved(report: &str) -> Option<String> {
    let report: Report = serde_json::from_str(report).ok()?;
    let attribution = report.attribution?;
    let shown = report.shown.and_then(|shown| report.loads.get(shown));
    let cls = shown.and_then(|load| load.values.cls)?;
    if attribution.shifts.is_empty() {
        // A report that had too little room lost its lists.
        return (cls == 0).then(String::new);
    }
    let mut scores: Vec<(String, u64)> = Vec::new();
    for shift in &attribution.shifts {
        let sources: BTreeSet<String> = shift.sources.iter().map(|source| one_line(source)).collect();
        for source in sources.into_iter().filter(|source| !source.is_empty()) {
            match scores.iter_mut().find(|(known, _)| *known == source) {
                Some((_, score)) => *score = score.saturating_add(shift.score),
                None => scores.push((source, shift.score)),
            }
        }
    }
    // Of equal scores the one of the larger shift, which stands first.
    scores.sort_by_key(|(_, score)| std::cmp::Reverse(*score));
    let names: Vec<String> = scores.into_iter().take(SHIFT_SOURCES_MAX).map(|(source, _)| source).collect();
    Some(names.join("\n"))
}

/// A text that a page made, on one line and within what a report may say.
fn one_line(text: &str) -> String {
    let line = text.chars().map(|one| if one.is_control() { ' ' } else { one });
    let mut bytes = 0;
    let cut = line.take_while(|one| {
        bytes += one.len_utf8();
        bytes <= TEXT_BYTES_MAX
    });
    cut.collect::<String>().trim().to_owned()
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
    /// What the report says that moved: [`Row::shift_sources`].
    pub shift_sources: Option<String>,
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
        taken.shift_sources = taken.report.as_deref().and_then(moved);
        taken
    }
}

/// Puts a report back into a result that is to be shown.
pub fn put_report(facts: &mut Facts, json: String) {
    facts.more.push(Fact { key: FactKey::VitalsReport, value: FactValue::Text(json) });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(cls: u64, shifts: &str) -> String {
        format!(r#"{{"loads": [{{"values": {{"cls": {cls}}}}}], "shown": 0, "attribution": {{"shifts": [{shifts}]}}}}"#)
    }

    #[test]
    fn what_moved_most_in_all_shifts_stands_first() {
        let told = report(
            900,
            r#"{"score": 400, "sources": ["footer", "main > p"]}, {"score": 300, "sources": ["div.ad"]}, {"score": 200, "sources": ["div.ad", "div.ad"]}"#,
        );
        assert_eq!(moved(&told).as_deref(), Some("div.ad\nfooter\nmain > p"));
        let many: Vec<String> =
            (0..9).map(|nth| format!(r#"{{"score": 10, "sources": ["p:nth-child({nth})"]}}"#)).collect();
        assert_eq!(moved(&report(90, &many.join(","))).unwrap().lines().count(), SHIFT_SOURCES_MAX);
    }

    #[test]
    fn that_nothing_moved_is_not_that_nobody_told() {
        assert_eq!(moved(&report(0, "")).as_deref(), Some(""));
        // Its lists were left out for want of room.
        assert_eq!(moved(&report(900, "")), None);
        assert_eq!(moved(r#"{"loads": []}"#), None);
        assert_eq!(moved("no report"), None);
    }

    #[test]
    fn a_browser_is_its_form_and_its_major_version() {
        assert_eq!(browser_of("HeadlessChrome/156.0.8078.79").as_deref(), Some("HeadlessChrome/156"));
        assert_eq!(browser_of("Chrome/157.0.1.2").as_deref(), Some("Chrome/157"));
        assert_eq!((browser_of("Own").as_deref(), browser_of("")), (Some("Own/"), None));
    }

    #[test]
    fn a_hostile_name_stays_one_of_a_list() {
        let told = report(900, r#"{"score": 1, "sources": ["a\nb\u0000", ""]}, {"score": 1, "sources": ["LONG"]}"#);
        let told = told.replace("LONG", &"é".repeat(500));
        let moved = moved(&told).unwrap();
        let lines: Vec<&str> = moved.lines().collect();
        assert_eq!((lines.len(), lines[0]), (2, "a b"));
        assert_eq!(lines[1], "é".repeat(TEXT_BYTES_MAX / 2));
    }
}

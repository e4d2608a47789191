//! One result, as `probe` and `run-now` print it: as JSON, or as a picture of its phases.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sitepulse_daemon::instant;
use sitepulse_model::record::{ChainCertificate, FactKey, FactValue, Facts, Phase, Phases, ProbeResult};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::report::Report;
use sitepulse_model::vitals::{Spread, Vital};

use super::vitals;

/// Columns of the picture of phases.
const BAR_COLUMNS: u64 = 40;

/// A result. As JSON: what is absent did not happen, or is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultView {
    /// The check's id, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// What was probed.
    pub target: String,
    /// `up`, `degraded`, `down` or `unknown`.
    pub state: String,
    /// Why it was not up; `null` when it was.
    pub cause: Option<String>,
    /// The phase that failed; `null` when none did.
    pub phase: Option<String>,
    /// One line for people; empty for a plain success.
    pub explanation: String,
    /// The address dialled (last).
    pub address: Option<String>,
    /// How long each phase took, in microseconds.
    pub phases_us: PhasesView,
    /// What the protocol told. A key that may come several times has a list; instants are RFC 3339.
    pub facts: Map<String, Value>,
    /// What a browser told of a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vitals: Option<Box<Report>>,
}

/// Durations in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "named as in sitepulse_model::record::Phase")]
pub struct PhasesView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

impl From<Phases> for PhasesView {
    fn from(phases: Phases) -> Self {
        let Phases { dns, connect, tls, send, first_byte, transfer, total } = phases;
        Self { dns, connect, tls, send, first_byte, transfer, total }
    }
}

impl From<PhasesView> for Phases {
    fn from(view: PhasesView) -> Self {
        let PhasesView { dns, connect, tls, send, first_byte, transfer, total } = view;
        Self { dns, connect, tls, send, first_byte, transfer, total }
    }
}

impl ResultView {
    /// Of a result.
    pub fn of(result: &ProbeResult, check: Option<String>, target: String) -> Self {
        Self {
            check,
            target,
            state: result.state.as_str().to_owned(),
            cause: result.cause.map(|cause| cause.as_str().to_owned()),
            phase: result.failed_phase.map(|phase| phase.as_str().to_owned()),
            explanation: result.detail.clone(),
            address: result.address_text(),
            phases_us: result.phases.into(),
            facts: facts(&result.facts),
            vitals: vitals::report(&result.facts).map(Box::new),
        }
    }

    /// The part of the echoes that was lost, in percent.
    fn loss(&self) -> Option<String> {
        let number = |key: FactKey| self.facts.get(key.as_str()).and_then(Value::as_u64);
        let sent = number(FactKey::Sent).filter(|sent| *sent > 0)?;
        let lost = sent.saturating_sub(number(FactKey::Received).unwrap_or(0));
        Some(format!("{:.1} %", lost as f64 * 100.0 / sent as f64))
    }

    /// For people: the state with its reason, the phases as a waterfall, what the protocol told.
    pub fn text(&self, colour: bool) -> String {
        let mut out = String::new();
        let name = self.check.as_ref().map_or(String::new(), |check| format!("{check}  "));
        out.push_str(&format!("{}  {name}{}\n", paint(&self.state, colour), self.target));
        let why = match (&self.cause, &self.phase) {
            (Some(cause), Some(phase)) => format!(" ({cause}, in {phase})"),
            (Some(cause), None) => format!(" ({cause})"),
            (None, _) => String::new(),
        };
        if !self.explanation.is_empty() || !why.is_empty() {
            out.push_str(&format!("{}{why}\n", self.explanation));
        }
        let mut rows: Vec<(&str, String)> = Vec::new();
        rows.extend(self.address.as_ref().map(|address| ("address", address.clone())));
        let figures: Vec<&str> = Vital::ALL.iter().flat_map(|vital| vital.facts()).map(FactKey::as_str).collect();
        for (key, value) in self.facts.iter().filter(|(key, _)| !figures.contains(&key.as_str())) {
            let name = key.strip_suffix("_us").unwrap_or(key);
            match value {
                Value::Array(list) => rows.extend(list.iter().map(|value| (name, fact_text(key, value)))),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                    rows.push((name, fact_text(key, value)));
                }
            }
            if key == FactKey::Sent.as_str() {
                rows.extend(self.loss().map(|loss| ("loss", loss)));
            }
        }
        out.push('\n');
        out.push_str(&waterfall(&self.phases_us.into()));
        if !rows.is_empty() {
            out.push('\n');
        }
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in rows {
            out.push_str(&format!("{name:<width$}  {value}\n"));
        }
        if let Some(report) = &self.vitals {
            out.push_str(&self.vitals_text(report));
        }
        out
    }

    fn vitals_text(&self, report: &Report) -> String {
        let spread = |vital: Vital| {
            let [median, min, max] = vital.facts().map(|key| self.facts.get(key.as_str()).and_then(Value::as_u64));
            Some(Spread { median: median?, min: min?, max: max? })
        };
        let thresholds = report.profile.as_ref().map(|profile| profile.thresholds).unwrap_or_default();
        let table = report.shown.map(|_| format!("{}\n", vitals::table(spread, &thresholds)));
        format!("\n{}{}", table.unwrap_or_default(), vitals::explained(report))
    }
}

/// The phases below each other, each beginning where those before it ended.
fn waterfall(phases: &Phases) -> String {
    let seen: Vec<(Phase, u64)> = Phase::ALL.iter().filter_map(|phase| Some((*phase, phases.get(*phase)?))).collect();
    let parts: u64 = seen.iter().filter(|(phase, _)| *phase != Phase::Total).map(|(_, us)| us).sum();
    let whole = parts.max(phases.total.unwrap_or(0)).max(1);
    let column = |us: u64| (us * BAR_COLUMNS + whole / 2) / whole;
    let mut begun = 0;
    let mut out = String::new();
    for (phase, us) in seen {
        let from = if phase == Phase::Total { 0 } else { begun };
        // What happened shows, however short.
        let (indent, bar) = (column(from).min(BAR_COLUMNS - 1), (column(from + us) - column(from)).max(1));
        let (indent, bar) = (" ".repeat(indent as usize), "\u{2588}".repeat(bar as usize));
        out.push_str(&format!("{:<10}  {:>10}  {indent}{bar}\n", phase.as_str(), milliseconds(us)));
        begun += us;
    }
    out
}

fn milliseconds(us: u64) -> String {
    format!("{:.3} ms", us as f64 / 1e3)
}

fn paint(state: &str, colour: bool) -> String {
    let code = match state {
        "up" => 32,
        "degraded" => 33,
        "down" => 31,
        _ => 35,
    };
    if colour { format!("\x1b[1;{code}m{state}\x1b[0m") } else { state.to_owned() }
}

fn fact_text(key: &str, value: &Value) -> String {
    match value {
        Value::Number(number) if key.ends_with("_us") => milliseconds(number.as_u64().unwrap_or_default()),
        Value::String(text) => text.clone(),
        Value::Object(certificate) => {
            let field = |name: &str| certificate.get(name).and_then(Value::as_str).unwrap_or("-");
            let (subject, issuer) = (field("subject"), field("issuer"));
            format!("{subject} <- {issuer}, until {}, {}", field("not_after"), field("sha256"))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    }
}

/// A certificate of a chain; a line that is none stays as it is.
fn certificate(line: &str) -> Value {
    match ChainCertificate::parse(line) {
        Some(one) => one.fields().into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect(),
        None => Value::from(line),
    }
}

/// What a protocol told, by name.
fn facts(facts: &Facts) -> Map<String, Value> {
    let mut out = Map::new();
    out.extend(facts.status.map(|status| ("status".to_owned(), status.into())));
    out.extend(facts.body_bytes.map(|bytes| ("body_bytes".to_owned(), bytes.into())));
    let expires = facts.certificate_expires.map(instant::format);
    out.extend(expires.map(|expires| ("certificate_expires".to_owned(), expires.into())));
    for fact in facts.more.iter().filter(|fact| !fact.key.is_document()) {
        let value = match &fact.value {
            FactValue::Number(seconds) if fact.key.is_instant() => {
                instant::format(UtcMicros(seconds.saturating_mul(1_000_000))).into()
            }
            FactValue::Number(number) => Value::from(*number),
            FactValue::Text(text) if fact.key == FactKey::CertificateChain => certificate(text),
            FactValue::Text(text) => Value::from(text.clone()),
        };
        let name = fact.key.as_str().to_owned();
        if !fact.key.is_list() {
            out.insert(name, value);
        } else if let Value::Array(list) = out.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
            list.push(value);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use sitepulse_model::id::{CheckNo, Revision};
    use sitepulse_model::record::{Cause, ProbeState};

    use super::*;

    fn result() -> ProbeResult {
        let mut facts = Facts { status: Some(200), body_bytes: Some(5), ..Facts::default() };
        facts.certificate_expires = Some(UtcMicros(1_800_000_000_000_000));
        facts.number(FactKey::Redirects, 2);
        facts.number(FactKey::DomainExpires, 1_800_000_000);
        facts.number(FactKey::RttAvg, 1_500);
        facts.text(FactKey::Hop, "301 one");
        facts.text(FactKey::Hop, "302 two");
        ProbeResult {
            check: CheckNo(1),
            revision: Revision(1),
            scheduled: UtcMicros(0),
            started: UtcMicros(0),
            phases: Phases {
                dns: Some(1_000),
                tls: Some(0),
                transfer: Some(3_000),
                total: Some(4_000),
                ..Phases::default()
            },
            state: ProbeState::Up,
            cause: None,
            failed_phase: None,
            detail: String::new(),
            address: Some("127.0.0.1:443".parse().unwrap()),
            facts,
        }
    }

    #[test]
    fn json_tells_what_happened_and_leaves_out_what_did_not() {
        let view = ResultView::of(&result(), None, "https://a/".to_owned());
        let json = serde_json::to_value(&view).unwrap();
        let expected = serde_json::json!({
            "target": "https://a/",
            "state": "up",
            "cause": null,
            "phase": null,
            "explanation": "",
            "address": "127.0.0.1:443",
            "phases_us": {"dns": 1000, "tls": 0, "transfer": 3000, "total": 4000},
            "facts": {
                "status": 200,
                "body_bytes": 5,
                "certificate_expires": "2027-01-15T08:00:00Z",
                "redirects": 2,
                "domain_expires": "2027-01-15T08:00:00Z",
                "rtt_avg_us": 1500,
                "hop": ["301 one", "302 two"],
            },
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<ResultView>(json).unwrap(), view, "it travels over the control socket");
    }

    #[test]
    fn a_chain_is_a_list_of_objects_and_of_lines_for_people() {
        let mut result = result();
        let certificate = ChainCertificate {
            sha256: "0f".repeat(32).into(),
            not_after: Some("2026-12-01T00:00:00Z".into()),
            subject: "shop.example".into(),
            issuer: "R3".into(),
        };
        result.facts.text(FactKey::CertificateChain, &certificate.line());
        let view = ResultView::of(&result, None, "https://a/".to_owned());
        let sha256 = "0f".repeat(32);
        let told = serde_json::json!([
            {"sha256": sha256, "not_after": "2026-12-01T00:00:00Z", "subject": "shop.example", "issuer": "R3"}
        ]);
        assert_eq!(view.facts["certificate_chain"], told);
        let line = format!("shop.example <- R3, until 2026-12-01T00:00:00Z, {sha256}\n");
        assert!(view.text(false).contains(&line), "{}", view.text(false));
    }

    #[test]
    fn people_see_a_waterfall_and_the_reason() {
        let up = ResultView::of(&result(), None, "https://a/".to_owned()).text(false);
        let expected = "up  https://a/

dns           1.000 ms  ██████████
tls           0.000 ms            █
transfer      3.000 ms            ██████████████████████████████
total         4.000 ms  ████████████████████████████████████████

address              127.0.0.1:443
body_bytes           5
certificate_expires  2027-01-15T08:00:00Z
domain_expires       2027-01-15T08:00:00Z
hop                  301 one
hop                  302 two
redirects            2
rtt_avg              1.500 ms
status               200
";
        assert_eq!(up, expected);
        let down = ProbeResult {
            state: ProbeState::Down,
            cause: Some(Cause::ConnectionRefused),
            failed_phase: Some(Phase::Connect),
            detail: "connect: refused".to_owned(),
            phases: Phases::default(),
            facts: Facts::default(),
            address: None,
            ..result()
        };
        let down = ResultView::of(&down, Some("shop".to_owned()), "https://a/".to_owned());
        assert_eq!(down.text(false), "down  shop  https://a/\nconnect: refused (connection_refused, in connect)\n\n");
        assert!(down.text(true).starts_with("\x1b[1;31mdown\x1b[0m"));
    }

    #[test]
    fn echoes_have_a_loss_and_no_port_and_instants_are_no_numbers() {
        let mut facts = Facts::default();
        facts.number(FactKey::Sent, 3);
        facts.number(FactKey::Received, 2);
        facts.number(FactKey::Jitter, 119);
        facts.number(FactKey::LastPing, 1_800_000_000);
        let address = Some("[2001:db8::1]:0".parse().unwrap());
        let view = ResultView::of(&ProbeResult { facts, address, ..result() }, None, "gateway".to_owned());
        assert_eq!(view.address.as_deref(), Some("2001:db8::1"));
        assert_eq!(view.facts["last_ping"], "2027-01-15T08:00:00Z");
        let text = view.text(false);
        let (_, rows) = text.rsplit_once("\n\n").unwrap();
        let expected = "address    2001:db8::1
jitter     0.119 ms
last_ping  2027-01-15T08:00:00Z
received   2
sent       3
loss       33.3 %
";
        assert_eq!(rows, expected);
    }
}

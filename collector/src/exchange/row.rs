//! One record as a flat row, and back.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use sitepulse_daemon::instant;
use sitepulse_model::id::{CheckNo, Incarnation, Revision, Seq};
use sitepulse_model::record::{
    Cause, DropReason, Dropped, Fact, FactKey, FactValue, Facts, Missed, MissedCause, Phase, Phases, ProbeResult,
    ProbeState, Provenance, Record,
};
use sitepulse_model::time::UtcMicros;

/// An instant: RFC 3339 in text, microseconds since 1970 where a format has instants of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant(pub UtcMicros);

impl Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&instant::format(self.0))
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Relative instants would mean something else each time the file is read.
        if !text.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(serde::de::Error::custom(format!("{text:?} is no instant: write 2026-11-22T10:00:00Z")));
        }
        instant::parse(&text, UtcMicros(0)).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A cell of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Text.
    Text(Option<String>),
    /// A whole number.
    Number(Option<i64>),
    /// An instant.
    Instant(Option<UtcMicros>),
}

/// What a cell can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// Text.
    Text,
    /// A whole number.
    Number,
    /// An instant.
    Instant,
}

macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident: $kind:ident $type:ty;)+) => {
        /// A record, flat. Absent where the record has no such thing.
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Row {
            $($(#[$doc])* pub $name: Option<$type>,)+
        }

        impl Row {
            /// The columns in their order, with what each holds.
            pub const COLUMNS: &'static [(&'static str, CellKind)] = &[$((stringify!($name), CellKind::$kind),)+];

            /// The cells in the order of [`Self::COLUMNS`].
            pub fn cells(&self) -> Vec<Cell> {
                vec![$(rows!(@out $kind self.$name),)+]
            }

            /// Sets the cell of a column; `false` where there is no such column, or it holds something else.
            pub fn set(&mut self, column: &str, cell: Cell) -> bool {
                match (column, cell) {
                    $((stringify!($name), Cell::$kind(value)) => self.$name = rows!(@in $kind value),)+
                    _ => return false,
                }
                true
            }
        }
    };
    (@out Text $value:expr) => { Cell::Text($value.clone()) };
    (@out Number $value:expr) => { Cell::Number($value) };
    (@out Instant $value:expr) => { Cell::Instant($value.map(|at| at.0)) };
    (@in Text $value:expr) => { $value };
    (@in Number $value:expr) => { $value };
    (@in Instant $value:expr) => { $value.map(Instant) };
}

rows! {
    /// `result`, `missed` (runs that did not happen) or `dropped` (records that a spool lost).
    kind: Text String;
    /// The check's id.
    check: Text String;
    /// The revision of its definition.
    revision: Number i64;
    /// The agent's name.
    agent: Text String;
    /// The agent's region, for people.
    region: Text String;
    /// The agent's spool, 16 hexadecimal digits: with `seq` the record's key.
    incarnation: Text String;
    /// The record's number in it.
    seq: Number i64;
    /// The slot the run was due at; of a range its first.
    scheduled: Instant Instant;
    /// The last slot of a range.
    last: Instant Instant;
    /// How many slots a range has.
    count: Number i64;
    /// When the run started.
    started: Instant Instant;
    /// `up`, `degraded`, `down` or `unknown`.
    state: Text String;
    /// Why it was not `up`; of runs that did not happen why; of dropped records why.
    cause: Text String;
    /// The phase that failed.
    failed_phase: Text String;
    /// One line for people.
    detail: Text String;
    /// The address dialled.
    address: Text String;
    /// Name resolution, microseconds.
    dns_us: Number i64;
    /// Connection, microseconds.
    connect_us: Number i64;
    /// TLS handshake, microseconds.
    tls_us: Number i64;
    /// Request written, microseconds.
    send_us: Number i64;
    /// Waiting for the first byte, microseconds.
    first_byte_us: Number i64;
    /// Receiving the rest, microseconds.
    transfer_us: Number i64;
    /// The whole run, microseconds.
    total_us: Number i64;
    /// The answer's status.
    status: Number i64;
    /// Bytes of the body.
    body_bytes: Number i64;
    /// When the certificate expires.
    certificate_expires: Instant Instant;
    /// All other facts: a JSON list of pairs of key and value.
    facts: Text String;
    /// The sequence numbers that a tombstone buries: a JSON list of pairs of first and last.
    seqs: Text String;
    /// The agent's build.
    build: Text String;
    /// The collector's clock minus the agent's, microseconds.
    clock_offset_us: Number i64;
    /// Half the round trip of that measurement, microseconds.
    clock_uncertainty_us: Number i64;
}

/// A record with everything around it, in names instead of a collector's own numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The check's id.
    pub check: String,
    /// The agent's name.
    pub agent: String,
    /// The agent's region.
    pub region: String,
    /// The spool.
    pub incarnation: Incarnation,
    /// The record's number in it.
    pub seq: Seq,
    /// Who measured, with which clock.
    pub provenance: Provenance,
    /// The record; its check's number is 0.
    pub record: Record,
}

const RESULT: &str = "result";
const MISSED: &str = "missed";
const DROPPED: &str = "dropped";

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Row {
    /// The row of a record.
    pub fn of(named: &Named) -> Self {
        let mut row = Self {
            check: Some(named.check.clone()),
            agent: Some(named.agent.clone()),
            region: Some(named.region.clone()),
            incarnation: Some(format!("{:016x}", named.incarnation.0)),
            seq: Some(signed(named.seq.0)),
            scheduled: Some(Instant(named.record.scheduled())),
            build: Some(named.provenance.build.clone()),
            clock_offset_us: named.provenance.clock_offset_us,
            clock_uncertainty_us: Some(signed(named.provenance.clock_uncertainty_us)),
            ..Self::default()
        };
        match &named.record {
            Record::Result(result) => row.result(result),
            Record::Missed(missed) => {
                row.kind = Some(MISSED.into());
                row.revision = Some(missed.revision.0.into());
                row.last = Some(Instant(missed.last));
                row.count = Some(signed(missed.count));
                row.cause = Some(missed.cause.as_str().into());
            }
            Record::Dropped(dropped) => {
                row.kind = Some(DROPPED.into());
                row.revision = Some(dropped.revision.0.into());
                row.last = Some(Instant(dropped.last));
                row.count = Some(signed(dropped.count));
                row.cause = Some(dropped.reason.as_str().into());
                let seqs: Vec<(u64, u64)> = dropped.seqs.iter().map(|(first, last)| (first.0, last.0)).collect();
                row.seqs = Some(serde_json::to_string(&seqs).expect("numbers are JSON"));
            }
        }
        row
    }

    fn result(&mut self, result: &ProbeResult) {
        self.kind = Some(RESULT.into());
        self.revision = Some(result.revision.0.into());
        self.started = Some(Instant(result.started));
        self.state = Some(result.state.as_str().into());
        self.cause = result.cause.map(|cause| cause.as_str().into());
        self.failed_phase = result.failed_phase.map(|phase| phase.as_str().into());
        self.detail = Some(result.detail.clone()).filter(|detail| !detail.is_empty());
        self.address = result.address.map(|address| match address {
            // The scope of an address stands with the port alone.
            SocketAddr::V6(v6) if v6.scope_id() != 0 => v6.to_string(),
            SocketAddr::V6(_) | SocketAddr::V4(_) if address.port() == 0 => address.ip().to_string(),
            SocketAddr::V6(_) | SocketAddr::V4(_) => address.to_string(),
        });
        for phase in Phase::ALL {
            *self.phase(*phase) = result.phases.get(*phase).map(signed);
        }
        self.status = result.facts.status.map(i64::from);
        self.body_bytes = result.facts.body_bytes.map(signed);
        self.certificate_expires = result.facts.certificate_expires.map(Instant);
        if !result.facts.more.is_empty() {
            let facts = result.facts.more.iter().map(|fact| {
                let value = match &fact.value {
                    FactValue::Number(number) => serde_json::Value::from(*number),
                    FactValue::Text(text) => serde_json::Value::from(text.clone()),
                };
                (fact.key.as_str(), value)
            });
            self.facts = Some(serde_json::to_string(&facts.collect::<Vec<_>>()).expect("pairs are JSON"));
        }
    }

    const fn phase(&mut self, phase: Phase) -> &mut Option<i64> {
        match phase {
            Phase::Dns => &mut self.dns_us,
            Phase::Connect => &mut self.connect_us,
            Phase::Tls => &mut self.tls_us,
            Phase::Send => &mut self.send_us,
            Phase::FirstByte => &mut self.first_byte_us,
            Phase::Transfer => &mut self.transfer_us,
            Phase::Total => &mut self.total_us,
        }
    }

    /// The record of the row.
    ///
    /// # Errors
    /// Which column is missing or makes no sense, and what it should be.
    pub fn into_named(mut self) -> Result<Named, String> {
        let kind = self.kind.take();
        let kind = required(kind.as_deref(), "kind", "result, missed or dropped")?.to_owned();
        let check = required(self.check.take(), "check", "a check's id")?;
        let agent = required(self.agent.take(), "agent", "an agent's name")?;
        let incarnation = required(self.incarnation.take(), "incarnation", "16 hexadecimal digits")?;
        let incarnation = u64::from_str_radix(&incarnation, 16)
            .map(Incarnation)
            .map_err(|_| format!("incarnation {incarnation:?} is no number of 16 hexadecimal digits"))?;
        let seq = Seq(natural(required(self.seq, "seq", "the record's number")?, "seq")?);
        let revision = required(self.revision, "revision", "the definition's revision")?;
        let revision = u32::try_from(revision).map(Revision).map_err(|_| format!("revision {revision} is none"))?;
        let scheduled = required(self.scheduled, "scheduled", "an instant")?.0;
        let provenance = Provenance {
            build: self.build.take().unwrap_or_default(),
            clock_offset_us: self.clock_offset_us,
            clock_uncertainty_us: natural(self.clock_uncertainty_us.unwrap_or(0), "clock_uncertainty_us")?,
        };
        let region = self.region.take().unwrap_or_default();
        let record = match kind.as_str() {
            RESULT => Record::Result(self.into_result(revision, scheduled)?),
            MISSED => Record::Missed(Missed {
                check: CheckNo(0),
                revision,
                first: scheduled,
                last: required(self.last, "last", "the range's last slot")?.0,
                count: natural(required(self.count, "count", "how many slots")?, "count")?,
                cause: word(self.cause.as_deref(), "cause", MissedCause::ALL, MissedCause::as_str)?,
            }),
            DROPPED => {
                let seqs: Vec<(u64, u64)> = serde_json::from_str(self.seqs.as_deref().unwrap_or("[]"))
                    .map_err(|error| format!("seqs is no list of pairs of numbers: {error}"))?;
                Record::Dropped(Dropped {
                    check: CheckNo(0),
                    revision,
                    first: scheduled,
                    last: required(self.last, "last", "the range's last slot")?.0,
                    count: natural(required(self.count, "count", "how many slots")?, "count")?,
                    reason: word(self.cause.as_deref(), "cause", DropReason::ALL, DropReason::as_str)?,
                    seqs: seqs.into_iter().map(|(first, last)| (Seq(first), Seq(last))).collect(),
                })
            }
            other => return Err(format!("kind {other:?} is none: write result, missed or dropped")),
        };
        Ok(Named { check, agent, region, incarnation, seq, provenance, record })
    }

    fn into_result(mut self, revision: Revision, scheduled: UtcMicros) -> Result<ProbeResult, String> {
        let state = word(self.state.as_deref(), "state", ProbeState::ALL, ProbeState::as_str)?;
        let optional = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let cause = match optional(&self.cause) {
            None => None,
            Some(text) => Some(word(Some(text.as_str()), "cause", Cause::ALL, Cause::as_str)?),
        };
        if cause.is_none() != (state == ProbeState::Up) {
            return Err(format!("state {state} and its cause contradict each other: exactly `up` has none"));
        }
        let failed_phase = match optional(&self.failed_phase) {
            None => None,
            Some(text) => Some(word(Some(text.as_str()), "failed_phase", Phase::ALL, Phase::as_str)?),
        };
        let mut phases = Phases::default();
        for phase in Phase::ALL {
            if let Some(us) = *self.phase(*phase) {
                phases.add(*phase, natural(us, &format!("{phase}_us"))?);
            }
        }
        let address = match optional(&self.address) {
            None => None,
            Some(text) => Some(address(&text)?),
        };
        let status = self.status.map(u16::try_from).transpose();
        let mut facts = Facts {
            status: status.map_err(|_| "status is no number below 65536".to_owned())?,
            body_bytes: self.body_bytes.map(|bytes| natural(bytes, "body_bytes")).transpose()?,
            certificate_expires: self.certificate_expires.map(|at| at.0),
            more: facts(self.facts.as_deref().unwrap_or(""))?,
        };
        // Held by no agent's limits: a file may say anything.
        facts.shorten();
        let started = self.started.map_or(scheduled, |at| at.0);
        let detail = sitepulse_model::record::detail(&self.detail.take().unwrap_or_default());
        Ok(ProbeResult {
            check: CheckNo(0),
            revision,
            scheduled,
            started,
            phases,
            state,
            cause,
            failed_phase,
            detail,
            address,
            facts,
        })
    }
}

fn required<T>(value: Option<T>, column: &str, what: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("{column} is missing: it is {what}"))
}

fn natural(value: i64, column: &str) -> Result<u64, String> {
    u64::try_from(value).map_err(|_| format!("{column} is below 0"))
}

fn word<T: Copy>(text: Option<&str>, column: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T, String> {
    let text = text.unwrap_or("");
    all.iter().copied().find(|value| name(*value) == text).ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|value| name(*value)).collect();
        format!("{column} {text:?} is none: known are {}", known.join(", "))
    })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    text.parse().or_else(|_| bare()).map_err(|_| format!("address {text:?} is none: write 192.0.2.1:443"))
}

fn facts(text: &str) -> Result<Vec<Fact>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let pairs: Vec<(String, serde_json::Value)> =
        serde_json::from_str(text).map_err(|error| format!("facts are no list of pairs: {error}"))?;
    let fact = |(key, value): (String, serde_json::Value)| {
        let key = word(Some(key.as_str()), "facts: key", FactKey::ALL, FactKey::as_str)?;
        let value = match value {
            serde_json::Value::Number(number) => {
                FactValue::Number(number.as_i64().ok_or_else(|| format!("facts: {key} is no whole number"))?)
            }
            serde_json::Value::String(text) => FactValue::Text(text),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => return Err(format!("facts: {key} is neither number nor text")),
        };
        if matches!(value, FactValue::Number(_)) != key.is_number() {
            return Err(format!("facts: {key} is a {}", if key.is_number() { "number" } else { "text" }));
        }
        Ok(Fact { key, value })
    };
    pairs.into_iter().map(fact).collect()
}

#[cfg(test)]
mod tests;

//! Operands: what a condition looks at. One table says each one's name, type, kinds of check and source.

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use serde_json::Value;

use super::document::View;
use super::query::{HtmlQuery, JsonQuery, XmlQuery};
use crate::record::{FactKey, Phase};
use crate::vitals::{Spread, Vital};

/// The type of an operand: decides which tests and which units it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A whole number.
    Number,
    /// Bytes.
    Size,
    /// Microseconds.
    Duration,
    /// Tenths of a percent.
    Percent,
    /// Ten-thousandths of a score.
    Score,
    /// True or false.
    Flag,
    /// Text, as bytes.
    Text,
    /// Several texts: a positive test holds if it does for one of them, a negated one if for none.
    Texts,
    /// Whatever JSON holds at a path; of several values as with [`Type::Texts`].
    Json,
}

impl Type {
    /// The type for people, with an example.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Number => "a whole number, as in 200",
            Self::Size => "a size, as in 1MB",
            Self::Duration => "a duration, as in 800ms",
            Self::Percent => "a percentage with at most one decimal, as in 20%",
            Self::Score => "a score with at most four decimals, as in 0.1",
            Self::Flag => "true or false",
            Self::Text | Self::Texts => "text in quotes, as in 'Welcome'",
            Self::Json => "text in quotes, a number, true, false or null",
        }
    }

    /// The tests that fit, for people.
    pub const fn tests(self) -> &'static str {
        match self {
            Self::Number => "\"==\", \"!=\", \"<\", \"<=\", \">\", \">=\", \"in\" or \"not in\"",
            Self::Size | Self::Duration | Self::Percent | Self::Score => {
                "\"==\", \"!=\", \"<\", \"<=\", \">\" or \">=\""
            }
            Self::Flag => "\"==\" or \"!=\"",
            Self::Text | Self::Texts => {
                "\"==\", \"!=\", \"contains\", \"not contains\", \"matches\" or \"not matches\""
            }
            Self::Json => {
                "\"==\", \"!=\", \"<\", \"<=\", \">\", \">=\", \"contains\", \"matches\", \"exists\" or \"not\" before the last three"
            }
        }
    }

    /// Whether text is looked for in it.
    pub(super) const fn is_textual(self) -> bool {
        matches!(self, Self::Text | Self::Texts | Self::Json)
    }
}

/// Where an operand's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Status,
    Body,
    Size,
    Latency,
    Header,
    Json,
    Html,
    Xml,
    /// Whole days until the leaf certificate expires, rounded down; negative once expired.
    CertificateDays,
    /// Whole days until the domain's registration ends.
    DomainDays,
    /// Echoes lost, of those sent.
    Loss,
    /// A vital of a page; compared with the profile's thresholds too.
    Vital(Vital),
    /// A fact that is a number, times a scale; some have a value where the fact is absent.
    Number {
        key: FactKey,
        scale: i64,
        absent: Option<i64>,
    },
    Flag(FactKey),
    /// A fact that is a text, or several.
    Text(FactKey),
}

/// A line of the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) value_type: Type,
    pub(super) kinds: &'static [&'static str],
    pub(super) source: Source,
}

const HTTP: &[&str] = &["http"];
const PAGES: &[&str] = &["web_vitals"];
const URLS: &[&str] = &["http", "web_vitals"];
const STATUS: &[&str] = &["http", "websocket", "smtp", "web_vitals"];
const STREAMS: &[&str] = &["http", "tcp", "udp", "websocket"];
const HEADERS: &[&str] = &["http", "websocket"];
const TLS: &[&str] = &["http", "tls", "websocket", "grpc", "smtp", "imap"];
const MAIL: &[&str] = &["smtp", "imap"];
const AGENTS: &[&str] =
    &["http", "tcp", "tls", "dns", "icmp", "udp", "websocket", "grpc", "smtp", "imap", "domain", "flow", "web_vitals"];

const fn row(name: &'static str, value_type: Type, kinds: &'static [&'static str], source: Source) -> Row {
    Row { name, value_type, kinds, source }
}

const fn number(name: &'static str, kinds: &'static [&'static str], key: FactKey, absent: Option<i64>) -> Row {
    row(name, Type::Number, kinds, Source::Number { key, scale: 1, absent })
}

const fn duration(name: &'static str, kinds: &'static [&'static str], key: FactKey, scale: i64) -> Row {
    row(name, Type::Duration, kinds, Source::Number { key, scale, absent: None })
}

const fn text(name: &'static str, kinds: &'static [&'static str], key: FactKey) -> Row {
    row(name, if key.is_list() { Type::Texts } else { Type::Text }, kinds, Source::Text(key))
}

const fn vital(name: &'static str, vital: Vital) -> Row {
    let value_type = if vital.is_duration() { Type::Duration } else { Type::Score };
    row(name, value_type, PAGES, Source::Vital(vital))
}

/// All operands, in the order they are documented.
pub(super) const TABLE: &[Row] = &[
    row("status", Type::Number, STATUS, Source::Status),
    row("body", Type::Text, STREAMS, Source::Body),
    row("size", Type::Size, STREAMS, Source::Size),
    row("header", Type::Text, HEADERS, Source::Header),
    row("json", Type::Json, HEADERS, Source::Json),
    row("html", Type::Text, HTTP, Source::Html),
    row("xml", Type::Text, HTTP, Source::Xml),
    row("latency", Type::Duration, AGENTS, Source::Latency),
    number("attempts", AGENTS, FactKey::Attempts, Some(1)),
    text("url", URLS, FactKey::FinalUrl),
    number("redirects", HTTP, FactKey::Redirects, Some(0)),
    text("http.version", HTTP, FactKey::HttpVersion),
    text("tls.version", TLS, FactKey::TlsVersion),
    text("tls.cipher", TLS, FactKey::TlsCipher),
    text("tls.alpn", TLS, FactKey::Alpn),
    row("certificate.days", Type::Number, TLS, Source::CertificateDays),
    text("certificate.issuer", TLS, FactKey::CertificateIssuer),
    text("certificate.subject", TLS, FactKey::CertificateSubject),
    text("certificate.names", TLS, FactKey::CertificateNames),
    text("certificate.sha256", TLS, FactKey::CertificateSha256),
    text("ocsp", TLS, FactKey::Ocsp),
    number("answers", &["dns"], FactKey::DnsAnswers, None),
    text("answer", &["dns"], FactKey::DnsAnswer),
    duration("ttl", &["dns"], FactKey::DnsTtl, 1_000_000),
    text("dns.rcode", &["dns"], FactKey::DnsRcode),
    row("dns.ad", Type::Flag, &["dns"], Source::Flag(FactKey::DnsAd)),
    row("loss", Type::Percent, &["icmp"], Source::Loss),
    number("received", &["icmp"], FactKey::Received, None),
    duration("rtt", &["icmp"], FactKey::RttAvg, 1),
    duration("rtt.min", &["icmp"], FactKey::RttMin, 1),
    duration("rtt.avg", &["icmp"], FactKey::RttAvg, 1),
    duration("rtt.max", &["icmp"], FactKey::RttMax, 1),
    duration("jitter", &["icmp"], FactKey::Jitter, 1),
    text("subprotocol", &["websocket"], FactKey::Subprotocol),
    text("grpc.status", &["grpc"], FactKey::GrpcStatus),
    text("banner", MAIL, FactKey::Banner),
    row("domain.days", Type::Number, &["domain"], Source::DomainDays),
    text("registrar", &["domain"], FactKey::Registrar),
    vital("lcp", Vital::Lcp),
    vital("cls", Vital::Cls),
    vital("inp", Vital::Inp),
    vital("tbt", Vital::Tbt),
    vital("fcp", Vital::Fcp),
    vital("ttfb", Vital::Ttfb),
    text("lcp.element", PAGES, FactKey::LcpElement),
    text("lcp.url", PAGES, FactKey::LcpUrl),
    number("requests", PAGES, FactKey::Requests, None),
    row("transfer", Type::Size, PAGES, Source::Number { key: FactKey::TransferBytes, scale: 1, absent: None }),
    number("failed_requests", PAGES, FactKey::FailedRequests, None),
    number("js_errors", PAGES, FactKey::JsErrors, None),
    number("dialogs", PAGES, FactKey::Dialogs, None),
];

/// What follows some operands' names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument {
    None,
    Phase(Phase),
    /// A header's name, in lower case.
    Name(String),
    Json(JsonQuery),
    Html(HtmlQuery),
    Xml(XmlQuery),
}

/// What a condition looks at. Prints as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operand {
    pub(super) row: &'static Row,
    pub(super) argument: Argument,
}

/// A value as found in an answer.
pub(super) enum Actual<'a> {
    Integer(i64),
    Flag(bool),
    Text(Cow<'a, [u8]>),
    Texts(Vec<&'a str>),
    Json(Vec<&'a Value>),
}

/// What is known of an operand's value.
pub(super) enum Found<'a> {
    Value(Actual<'a>),
    Absent,
    /// The body cannot be read the way that the operand asks for, and why.
    Unreadable(&'a str),
}

impl Operand {
    /// The name in the table: `certificate.days`.
    pub const fn name(&self) -> &'static str {
        self.row.name
    }

    /// Its type.
    pub const fn value_type(&self) -> Type {
        self.row.value_type
    }

    /// The names of the operands that a kind of check offers.
    pub fn names_for(kind: &str) -> impl Iterator<Item = &'static str> {
        TABLE.iter().filter(move |row| row.kinds.contains(&kind)).map(|row| row.name)
    }

    /// The phase that brings its value in a check of `kind`, where one does: it failed when the value is not as it should be.
    pub(super) fn phase(&self, kind: &str) -> Phase {
        if let Argument::Phase(phase) = self.argument {
            return phase;
        }
        let name = self.row.name;
        match name.split('.').next().unwrap_or(name) {
            "certificate" | "tls" | "ocsp" => Phase::Tls,
            // The last reply's, after all the others.
            "status" if kind == "smtp" => Phase::Transfer,
            "status" | "header" | "http" | "subprotocol" | "banner" => Phase::FirstByte,
            "answers" | "answer" | "ttl" | "dns" => Phase::FirstByte,
            "body" | "size" | "json" | "html" | "xml" | "grpc" | "domain" | "registrar" => Phase::Transfer,
            // Of the run as a whole: losses, round trips, redirects, attempts.
            _ => Phase::Total,
        }
    }

    /// Whether it asks for what may be there or not: `exists` is a test of it.
    pub(super) const fn may_be_absent(&self) -> bool {
        matches!(self.row.source, Source::Header | Source::Json | Source::Html | Source::Xml)
    }

    /// The vital that it is, where it is one: it has thresholds.
    pub const fn vital(&self) -> Option<Vital> {
        match self.row.source {
            Source::Vital(vital) => Some(vital),
            Source::Status
            | Source::Body
            | Source::Size
            | Source::Latency
            | Source::Header
            | Source::Json
            | Source::Html
            | Source::Xml
            | Source::CertificateDays
            | Source::DomainDays
            | Source::Loss
            | Source::Number { .. }
            | Source::Flag(_)
            | Source::Text(_) => None,
        }
    }

    /// Whether it looks into the body.
    pub(super) const fn reads_body(&self) -> bool {
        matches!(self.row.source, Source::Body | Source::Json | Source::Html | Source::Xml)
    }

    /// Its value in an answer.
    pub(super) fn find<'v>(&self, view: &'v View<'_>) -> Found<'v> {
        let observed = view.observed;
        let facts = observed.facts;
        let integer = |value: Option<i64>| value.map(Actual::Integer);
        let day = |expires_us: i64| expires_us.saturating_sub(observed.now.0).div_euclid(DAY_US);
        let found = match (self.row.source, &self.argument) {
            (Source::Status, _) => integer(facts.status.map(i64::from)),
            (Source::Body, _) => Some(Actual::Text(Cow::Borrowed(observed.body))),
            (Source::Size, _) => Some(Actual::Integer(bounded(observed.body_bytes))),
            (Source::Latency, Argument::Phase(phase)) => integer(observed.phases.get(*phase).map(bounded)),
            (Source::Header, Argument::Name(name)) => observed.headers.value(name).map(|value| {
                Actual::Text(match value {
                    Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                    Cow::Owned(text) => Cow::Owned(text.into_bytes()),
                })
            }),
            (Source::Json, Argument::Json(query)) => match view.json() {
                Ok(value) => Some(query.find(value)).filter(|found| !found.is_empty()).map(Actual::Json),
                Err(why) => return Found::Unreadable(why),
            },
            (Source::Html, Argument::Html(query)) => match view.html().and_then(|html| query.find(html)) {
                Ok(found) => found.map(owned),
                Err(why) => return Found::Unreadable(why),
            },
            (Source::Xml, Argument::Xml(query)) => match view.xml() {
                Ok(document) => query.find(document).map(owned),
                Err(why) => return Found::Unreadable(why),
            },
            (Source::CertificateDays, _) => integer(facts.certificate_expires.map(|expires| day(expires.0))),
            (Source::DomainDays, _) => {
                integer(facts.number_of(FactKey::DomainExpires).map(|s| day(s.saturating_mul(1_000_000))))
            }
            (Source::Loss, _) => {
                let sent = facts.number_of(FactKey::Sent).filter(|sent| *sent > 0);
                integer(sent.map(|sent| {
                    let lost = (sent - facts.number_of(FactKey::Received).unwrap_or(0)).clamp(0, sent);
                    (lost.saturating_mul(2000) / sent + 1) / 2
                }))
            }
            (Source::Number { key, scale, absent }, _) => {
                integer(facts.number_of(key).map(|value| value.saturating_mul(scale)).or(absent))
            }
            (Source::Vital(vital), _) => integer(Spread::from_facts(vital, facts).map(|spread| bounded(spread.median))),
            (Source::Flag(key), _) => facts.number_of(key).map(|value| Actual::Flag(value != 0)),
            (Source::Text(key), _) if key.is_list() => {
                let texts: Vec<&str> = facts.texts_of(key).collect();
                (!texts.is_empty()).then_some(Actual::Texts(texts))
            }
            (Source::Text(key), _) => {
                facts.texts_of(key).next().map(|text| Actual::Text(Cow::Borrowed(text.as_bytes())))
            }
            (
                Source::Latency | Source::Header | Source::Json | Source::Html | Source::Xml,
                Argument::None
                | Argument::Phase(_)
                | Argument::Name(_)
                | Argument::Json(_)
                | Argument::Html(_)
                | Argument::Xml(_),
            ) => {
                debug_assert!(false, "the parser gave {} another argument", self.row.name);
                None
            }
        };
        found.map_or(Found::Absent, Found::Value)
    }

    /// Why there is no value, for people.
    pub(super) fn absence(&self) -> String {
        match self.row.source {
            Source::CertificateDays => alloc::format!("{self}: the answer came without a certificate"),
            Source::Header | Source::Json | Source::Html | Source::Xml => alloc::format!("{self} is absent"),
            Source::Text(FactKey::FinalUrl) => "url: no redirect was followed".to_string(),
            Source::Text(FactKey::DnsAnswer) => "answer: there is none".to_string(),
            Source::Text(FactKey::Ocsp) => "ocsp: no answer was stapled".to_string(),
            Source::Vital(Vital::Inp) => "inp was not measured (it needs an interaction)".to_string(),
            Source::DomainDays | Source::Text(_) | Source::Flag(_) => alloc::format!("{self} was not told"),
            Source::Status
            | Source::Body
            | Source::Size
            | Source::Latency
            | Source::Loss
            | Source::Vital(_)
            | Source::Number { .. } => alloc::format!("{self} was not measured"),
        }
    }
}

const DAY_US: i64 = 86_400 * 1_000_000;

fn bounded(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn owned(text: String) -> Actual<'static> {
    Actual::Text(Cow::Owned(text.into_bytes()))
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row.name)?;
        match &self.argument {
            Argument::None | Argument::Phase(Phase::Total) => Ok(()),
            Argument::Phase(phase) => write!(f, ".{phase}"),
            Argument::Name(name) => write!(f, " '{name}'"),
            Argument::Json(query) => write!(f, " {query}"),
            Argument::Html(query) => write!(f, " {query}"),
            Argument::Xml(query) => write!(f, " {query}"),
        }
    }
}

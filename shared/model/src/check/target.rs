//! What each kind of check asks for: one structure a kind, as a check file writes it.
//!
//! The structures are the format: field names are the keys of a `[[check]]` table, and the same structure travels and is stored as JSON.
//! Unknown keys are refused. What the types cannot hold, [`CheckKind::validate`](super::CheckKind::validate) does.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::duration;

/// Text that may name a secret: `secret:NAME` stands for the sealed value of that name, anything else for itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(pub String);

impl SecretText {
    /// What marks a reference.
    pub const PREFIX: &'static str = "secret:";

    /// The secret it names, if it does.
    pub fn name(&self) -> Option<&str> {
        self.0.strip_prefix(Self::PREFIX)
    }
}

/// A reference shows; a plain text does not, it may be confidential all the same.
impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "secret:{name}"),
            None => f.write_str("..."),
        }
    }
}

/// A duration in microseconds, written as text: `"200ms"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DurationUs(pub u64);

impl TryFrom<String> for DurationUs {
    type Error = duration::DurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        duration::parse(&text).map(Self)
    }
}

impl From<DurationUs> for String {
    fn from(duration: DurationUs) -> Self {
        duration::format(duration.0)
    }
}

/// Which addresses of a name are dialled. There is no racing: a run dials one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4 where the name has such an address, else IPv6.
    #[default]
    Any,
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
}

impl Family {
    /// Its name in a check file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// Which HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum HttpVersion {
    /// HTTP/2 or HTTP/1.1 as TLS negotiates; HTTP/1.1 without TLS.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// HTTP/1.1 alone.
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2 alone (without TLS: with prior knowledge).
    #[serde(rename = "2")]
    Http2,
    /// HTTP/3 alone, over QUIC.
    #[serde(rename = "3")]
    Http3,
    /// HTTP/3 where the host's HTTPS record offers it, else as [`HttpVersion::Auto`].
    #[serde(rename = "advertised")]
    Advertised,
}

/// How TLS is done. An empty table is the default: verified against the agent's roots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsOptions {
    /// Certificates (PEM) to trust instead of the agent's roots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The name to ask for and to verify instead of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Accept any certificate. What it says is still told and can be asserted on.
    #[serde(skip_serializing_if = "is_default")]
    pub insecure: bool,
    /// Client certificate chain (PEM); a reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<SecretText>,
    /// Its key (PEM, PKCS#8); a reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<SecretText>,
}

/// Who the agent says it is, over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        user: String,
        /// The password; a reference.
        password: SecretText,
    },
    /// `Authorization: Bearer`; a reference.
    Bearer(SecretText),
}

/// A user with a password, over SMTP and IMAP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password; a reference.
    pub password: SecretText,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn get() -> String {
    "GET".to_string()
}

fn is_get(method: &String) -> bool {
    method == "GET"
}

/// `http`: one request and what came of it, redirect by redirect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTarget {
    /// `http://` or `https://`, with a host; at most 2048 bytes.
    pub url: String,
    /// The method, in capitals.
    #[serde(default = "get", skip_serializing_if = "is_get")]
    pub method: String,
    /// Headers to send, besides the usual ones or in their place.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: BTreeMap<String, SecretText>,
    /// The body to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<SecretText>,
    /// Who the agent says it is; never sent to another host than the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Redirects followed, 0 to 10. With 0 a redirect is the answer, else one beyond them is down (`redirect_failed`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub redirects: u8,
    /// Which HTTP.
    #[serde(default, skip_serializing_if = "is_default")]
    pub http: HttpVersion,
    /// Which address.
    #[serde(default, skip_serializing_if = "is_default")]
    pub family: Family,
    /// An HTTP proxy to go through, `http://host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Ask for a compressed body. One that comes is decoded in any case.
    #[serde(default, skip_serializing_if = "is_default")]
    pub compression: bool,
    /// How TLS is done.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: TlsOptions,
}

impl HttpTarget {
    /// A plain GET of a URL.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: get(),
            headers: BTreeMap::new(),
            body: None,
            auth: None,
            redirects: 0,
            http: HttpVersion::Auto,
            family: Family::Any,
            proxy: None,
            compression: false,
            tls: TlsOptions::default(),
        }
    }
}

/// `tcp`: a connection, and optionally words exchanged over it.
///
/// With an assertion on `body` or `size` the run reads until the hard ones hold, the peer closes, or 1 MiB came. `send` alone is only sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpTarget {
    /// `host:port`.
    pub address: String,
    /// What to send once connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<SecretText>,
    /// Which address.
    #[serde(default, skip_serializing_if = "is_default")]
    pub family: Family,
}

/// `udp`: a datagram out, datagrams back until the hard assertions on `body` hold.
///
/// Without any assertion on `body`, one answer of any content is up. Silence is down: UDP tells no connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UdpTarget {
    /// `host:port`.
    pub address: String,
    /// What to send, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<SecretText>,
    /// What to send, as hexadecimal digits; instead of `send`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_hex: Option<String>,
    /// Which address.
    #[serde(default, skip_serializing_if = "is_default")]
    pub family: Family,
}

/// `tls`: a handshake and what the certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsTarget {
    /// `host:port`.
    pub address: String,
    /// Protocols to offer (ALPN), preferred first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub alpn: Vec<String>,
    /// Which address.
    #[serde(default, skip_serializing_if = "is_default")]
    pub family: Family,
    /// How TLS is done.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: TlsOptions,
}

/// A type of DNS record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DnsType {
    /// IPv4 addresses.
    #[default]
    A,
    /// IPv6 addresses.
    Aaaa,
    /// An alias.
    Cname,
    /// Mail exchangers.
    Mx,
    /// Name servers.
    Ns,
    /// Texts.
    Txt,
    /// The zone's start of authority.
    Soa,
    /// Services.
    Srv,
    /// Certification authorities allowed.
    Caa,
    /// Names of an address.
    Ptr,
}

impl DnsType {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Txt => "TXT",
            Self::Soa => "SOA",
            Self::Srv => "SRV",
            Self::Caa => "CAA",
            Self::Ptr => "PTR",
        }
    }
}

/// How a DNS question travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnsTransport {
    /// One datagram; a truncated answer is asked for again over TCP, and that is told.
    #[default]
    Udp,
    /// TCP from the start.
    Tcp,
}

/// `dns`: one question to one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsTarget {
    /// The name asked for.
    pub name: String,
    /// The type asked for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub record: DnsType,
    /// The server asked, `host` or `host:port`; absent: the first of the agent's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// How the question travels.
    #[serde(default, skip_serializing_if = "is_default")]
    pub transport: DnsTransport,
    /// Ask for DNSSEC records, and tell whether the server vouches for the answer (`dns.ad`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub dnssec: bool,
    /// Which address of a server given by name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub family: Family,
}

/// `icmp`: echoes. Up when at least one comes back; the rest is for assertions on `loss` and `rtt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IcmpTarget {
    /// Name or address.
    pub host: String,
    /// Echoes sent, 1 to 20.
    #[serde(default = "three", skip_serializing_if = "is_three")]
    pub count: u8,
    /// Time between two of them.
    #[serde(default = "spacing", skip_serializing_if = "is_spacing")]
    pub spacing: DurationUs,
    /// Bytes of payload, 16 to 1400.
    #[serde(default = "payload", skip_serializing_if = "is_payload")]
    pub size: u16,
    /// Which address.
    #[serde(default, skip_serializing_if = "is_default")]
    pub family: Family,
}

fn three() -> u8 {
    3
}

fn is_three(count: &u8) -> bool {
    *count == three()
}

fn spacing() -> DurationUs {
    DurationUs(200_000)
}

fn is_spacing(value: &DurationUs) -> bool {
    *value == spacing()
}

fn payload() -> u16 {
    56
}

fn is_payload(value: &u16) -> bool {
    *value == payload()
}

/// `websocket`: the handshake, and optionally one text message out and messages back until the hard assertions on `body` hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebsocketTarget {
    /// `ws://` or `wss://`.
    pub url: String,
    /// A text message to send once connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<SecretText>,
    /// Headers of the handshake.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: BTreeMap<String, SecretText>,
    /// Who the agent says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Subprotocols to offer; the server must choose one of them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub subprotocols: Vec<String>,
    /// Which address.
    #[serde(default, skip_serializing_if = "is_default")]
    pub family: Family,
    /// How TLS is done.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: TlsOptions,
}

impl WebsocketTarget {
    /// The handshake with a URL, and nothing more.
    pub fn handshake(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            send: None,
            headers: BTreeMap::new(),
            auth: None,
            subprotocols: Vec::new(),
            family: Family::Any,
            tls: TlsOptions::default(),
        }
    }
}

/// `grpc`: the health protocol `grpc.health.v1.Health/Check` over HTTP/2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcTarget {
    /// `https://host:port`, or `http://` without TLS.
    pub url: String,
    /// The service asked about; empty is the server as a whole.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service: String,
    /// Metadata to send.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: BTreeMap<String, SecretText>,
    /// Which address.
    #[serde(default, skip_serializing_if = "is_default")]
    pub family: Family,
    /// How TLS is done.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: TlsOptions,
}

/// How a mail connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailSecurity {
    /// Not at all.
    #[default]
    None,
    /// Plain at first, then `STARTTLS`; a server without it is down.
    Starttls,
    /// TLS from the first byte.
    Tls,
}

/// `smtp` and `imap`: the banner, the greeting, protection, and optionally a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailTarget {
    /// `host:port`.
    pub address: String,
    /// How the connection is protected.
    #[serde(default, skip_serializing_if = "is_default")]
    pub security: MailSecurity,
    /// Log in; needs protection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// Which address.
    #[serde(default, skip_serializing_if = "is_default")]
    pub family: Family,
    /// How TLS is done.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: TlsOptions,
}

/// `domain`: when a registered domain expires, by RDAP (RFC 9082).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainTarget {
    /// The registered domain, `shop.example`.
    pub domain: String,
    /// Base URL of the RDAP service; absent: the one that IANA's bootstrap registry names for the top-level domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdap: Option<String>,
    /// How TLS is done.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: TlsOptions,
}

/// `heartbeat`: a job that calls the collector. Run by the collector itself, not by agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatTarget {
    /// Longest time between two successes; or `cron`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<DurationUs>,
    /// When the job runs, as five cron fields; or `period`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The IANA time zone of `cron`; UTC by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How late a success may be; after a start signal, how long the job may take.
    pub grace: DurationUs,
}

/// `flow`: HTTP requests in order, with values captured from one and used in the next as `{{name}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowTarget {
    /// The steps, 1 to 20. The first that fails ends the run.
    pub steps: Vec<FlowStep>,
    /// Which HTTP.
    #[serde(default, skip_serializing_if = "is_default")]
    pub http: HttpVersion,
    /// Which address.
    #[serde(default, skip_serializing_if = "is_default")]
    pub family: Family,
    /// How TLS is done.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: TlsOptions,
}

/// One step of a [`FlowTarget`]. Cookies are kept from step to step, for the host that set them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowStep {
    /// Names the step in results; unique in its flow.
    pub name: String,
    /// `http://` or `https://`; may use captured variables after the host.
    pub url: String,
    /// The method, in capitals.
    #[serde(default = "get", skip_serializing_if = "is_get")]
    pub method: String,
    /// Headers to send; values may use variables.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: BTreeMap<String, SecretText>,
    /// The body to send; may use variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<SecretText>,
    /// Who the agent says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Redirects followed, 0 to 10.
    #[serde(default, skip_serializing_if = "is_default")]
    pub redirects: u8,
    /// The step's assertions, as an `http` check has them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub expect: Vec<String>,
    /// Variables to capture: name = an extractor, `json '$.token'`, `header 'location'`, `html 'input[name=csrf]@value'`, `body /token=(\w+)/`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub capture: BTreeMap<String, String>,
}

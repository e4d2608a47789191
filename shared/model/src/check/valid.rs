//! What the types of a target cannot hold: the rules for its values, and what follows from them.

use alloc::borrow::ToOwned as _;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::cron::cron;
use super::syntax::{self, shown};
use super::{
    Auth, CheckKind, DnsTarget, DnsType, DurationUs, EXPECTATIONS_MAX, FlowStep, FlowTarget, GrpcTarget,
    HeartbeatTarget, HttpTarget, HttpVersion, INTERACTIONS_MAX, IcmpTarget, Interact, Login, MailSecurity, MailTarget,
    RUNS_MAX, SELECTOR_BYTES_MAX, SecretText, TARGET_BYTES_MAX, TargetError, TlsOptions, UdpTarget, WebVitalsTarget,
    WebsocketTarget,
};
use crate::duration;
use crate::expect::{Expectation, Extractor};
use crate::vitals::Vital;
use crate::vitals::profile::{Profile, ProfileChoice};

/// Most redirects that are followed.
pub const REDIRECTS_MAX: u8 = 10;
/// Most steps of a flow.
pub const STEPS_MAX: usize = 20;
/// Most captures of a step.
pub const CAPTURES_MAX: usize = 16;
/// Most headers of a request.
pub const HEADERS_MAX: usize = 64;
/// Most protocols offered.
pub const PROTOCOLS_MAX: usize = 16;
/// Largest text sent to `tcp`, `udp` and `websocket`, in bytes.
pub const SEND_BYTES_MAX: usize = 32 << 10;

const SECOND_US: u64 = 1_000_000;
const DAY_US: u64 = 86_400 * SECOND_US;
/// `grace` of a heartbeat, in microseconds.
const GRACE_US: (u64, u64) = (SECOND_US, 7 * DAY_US);
/// `period` of a heartbeat, in microseconds.
const PERIOD_US: (u64, u64) = (SECOND_US, 366 * DAY_US);
/// `settle` of a page, in microseconds.
const SETTLE_US: (u64, u64) = (100_000, 10 * SECOND_US);
/// `wait` between interactions, in microseconds.
const WAIT_US: (u64, u64) = (1_000, 10 * SECOND_US);
/// `spacing` of echoes, in microseconds.
const SPACING_US: (u64, u64) = (10_000, 10 * SECOND_US);

impl CheckKind {
    /// Judges the target's values.
    ///
    /// # Errors
    /// The first value that cannot be, with its key and the remedy.
    pub fn validate(&self) -> Result<(), TargetError> {
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that is wrong with the target's values, each with its key and the remedy.
    pub fn faults(&self) -> Vec<TargetError> {
        let mut faults = Faults(Vec::new());
        match self {
            Self::Http(target) => faults.http(target),
            Self::Tcp(target) => {
                faults.check("address", syntax::address(&target.address));
                faults.send("send", target.send.as_ref());
            }
            Self::Tls(target) => {
                faults.check("address", syntax::address(&target.address));
                faults.protocols("alpn", &target.alpn, |name| {
                    name.len() <= 255 && name.bytes().all(|b| b.is_ascii_graphic())
                });
                faults.tls("tls", &target.tls);
            }
            Self::Dns(target) => faults.dns(target),
            Self::Icmp(target) => faults.icmp(target),
            Self::Udp(target) => faults.udp(target),
            Self::Websocket(target) => faults.websocket(target),
            Self::Grpc(target) => faults.grpc(target),
            Self::Smtp(target) | Self::Imap(target) => faults.mail(target),
            Self::Domain(target) => {
                faults.check(
                    "domain",
                    syntax::domain(&target.domain).map_err(|why| format!("{}: {why}", shown(&target.domain))),
                );
                if let Some(rdap) = &target.rdap
                    && let Some(url) = faults.check("rdap", syntax::url(rdap, &["https://", "http://"]))
                    && url.rest.contains('?')
                {
                    faults.push("rdap", "the base URL of an RDAP service has no query: leave it out");
                }
                faults.tls("tls", &target.tls);
            }
            Self::Heartbeat(target) => faults.heartbeat(target),
            Self::Flow(target) => faults.flow(target),
            Self::WebVitals(target) => faults.web_vitals(target),
        }
        let bytes = self.target_json().len();
        if bytes > TARGET_BYTES_MAX {
            faults.push("", format!("the whole target has {bytes} bytes, at most {TARGET_BYTES_MAX} are allowed"));
        }
        faults.0
    }
}

impl Profile {
    /// Everything that is wrong with a profile's values, each with its key and the remedy.
    pub fn faults(&self) -> Vec<TargetError> {
        let mut faults = Faults(Vec::new());
        faults.profile("", self);
        faults.0
    }
}

/// What was found so far. A field is where it stands: `steps[1].headers.cookie`.
struct Faults(Vec<TargetError>);

impl Faults {
    fn push(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(TargetError { field: field.to_owned(), message: message.into() });
    }

    fn check<T>(&mut self, field: &str, judged: Result<T, impl Into<String>>) -> Option<T> {
        judged.map_err(|message| self.push(field, message)).ok()
    }

    fn http(&mut self, target: &HttpTarget) {
        self.check("url", syntax::url(&target.url, &["http://", "https://"]));
        self.method("method", &target.method);
        self.headers("headers", &target.headers, false);
        self.reference("body", target.body.as_ref());
        self.auth("auth", target.auth.as_ref(), &target.headers, false);
        self.redirects("redirects", target.redirects);
        self.version("http", target.http, &target.url);
        if let Some(proxy) = &target.proxy {
            if let Some(url) = self.check("proxy", syntax::url(proxy, &["http://"]))
                && !matches!(url.rest, "" | "/")
            {
                self.push("proxy", "a proxy is http://host:port, without a path");
            }
            if target.http == HttpVersion::Http3 {
                self.push("proxy", "HTTP/3 does not go through a proxy: leave out proxy, or http = \"3\"");
            }
        }
        self.tls("tls", &target.tls);
    }

    fn dns(&mut self, target: &DnsTarget) {
        let name = target.name.as_str();
        let is_address = target.record == DnsType::Ptr && name.parse::<core::net::IpAddr>().is_ok();
        if name != "." && !is_address {
            self.check("name", syntax::dns_name(name).map_err(|why| format!("{}: {why}", shown(name))));
        }
        if let Some(server) = &target.server {
            self.check("server", syntax::host_and_port(server).map_err(|why| format!("{}: {why}", shown(server))));
        }
    }

    fn icmp(&mut self, target: &IcmpTarget) {
        self.check("host", syntax::host(&target.host).map_err(|why| format!("{}: {why}", shown(&target.host))));
        if !(1..=20).contains(&target.count) {
            self.push("count", format!("{} echoes: allowed are 1 to 20", target.count));
        }
        self.within("spacing", target.spacing, SPACING_US);
        if !(16..=1400).contains(&target.size) {
            self.push("size", format!("{} bytes: allowed are 16 to 1400", target.size));
        }
    }

    fn udp(&mut self, target: &UdpTarget) {
        self.check("address", syntax::address(&target.address));
        self.send("send", target.send.as_ref());
        match (&target.send, &target.send_hex) {
            (Some(_), Some(_)) => self.push("send_hex", "send and send_hex are both there: leave one out"),
            (None, None) => {
                self.push("send", "there is nothing to send, so nobody would answer: write send or send_hex")
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        if let Some(hex) = &target.send_hex {
            if let Some(bad) = hex.chars().find(|c| !c.is_ascii_hexdigit()) {
                self.push("send_hex", format!("{bad:?} is no hexadecimal digit: use 0-9 and a-f, without spaces"));
            } else if hex.is_empty() || hex.len() % 2 == 1 {
                self.push("send_hex", format!("{} digits are no whole bytes: write two for each byte", hex.len()));
            } else if hex.len() / 2 > SEND_BYTES_MAX {
                self.push("send_hex", format!("{} bytes: at most {SEND_BYTES_MAX} are sent", hex.len() / 2));
            }
        }
    }

    fn websocket(&mut self, target: &WebsocketTarget) {
        self.check("url", syntax::url(&target.url, &["ws://", "wss://"]));
        self.send("send", target.send.as_ref());
        self.headers("headers", &target.headers, false);
        for name in target.headers.keys().filter(|name| name.to_ascii_lowercase().starts_with("sec-websocket-")) {
            self.push(
                &format!("headers.{name}"),
                "this header belongs to the handshake: for a subprotocol use subprotocols",
            );
        }
        self.auth("auth", target.auth.as_ref(), &target.headers, false);
        self.protocols("subprotocols", &target.subprotocols, syntax::is_token);
        self.tls("tls", &target.tls);
    }

    fn grpc(&mut self, target: &GrpcTarget) {
        if let Some(url) = self.check("url", syntax::url(&target.url, &["http://", "https://"]))
            && !matches!(url.rest, "" | "/")
        {
            self.push("url", "the health protocol has a path of its own: write scheme, host and port alone");
        }
        let service = &target.service;
        if service.len() > 255 || !service.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.push(
                "service",
                format!("{} is no service: write at most 255 letters, digits, '.' and '_'", shown(service)),
            );
        }
        self.headers("headers", &target.headers, false);
        let own = |name: &&String| {
            let name = name.to_ascii_lowercase();
            name.starts_with("grpc-") || name == "content-type"
        };
        for name in target.headers.keys().filter(own) {
            self.push(&format!("headers.{name}"), "this header belongs to gRPC itself: leave it out");
        }
        self.tls("tls", &target.tls);
    }

    fn mail(&mut self, target: &MailTarget) {
        self.check("address", syntax::address(&target.address));
        if let Some(Login { user, password }) = &target.login {
            if user.is_empty() || user.chars().any(char::is_control) {
                self.push("login.user", "write the user's name, on one line");
            }
            self.must_be_reference("login.password", password, "the password", false);
            match target.security {
                MailSecurity::None => self.push(
                    "login",
                    "a password is never sent in the clear: add security = \"starttls\" or \"tls\", or leave login out",
                ),
                MailSecurity::Starttls | MailSecurity::Tls => {}
            }
        }
        self.tls("tls", &target.tls);
    }

    fn heartbeat(&mut self, target: &HeartbeatTarget) {
        match (target.period, &target.cron) {
            (Some(_), Some(_)) => self.push("cron", "period and cron are both there: leave one out"),
            (None, None) => {
                self.push("", "it says neither period nor cron: add period = \"1d\", or cron = \"0 3 * * *\"")
            }
            (Some(period), None) => self.within("period", period, PERIOD_US),
            (None, Some(text)) => {
                self.check("cron", cron(text).map_err(|why| format!("{}: {why}", shown(text))));
            }
        }
        if let Some(zone) = &target.zone {
            let part = |part: &str| {
                part.starts_with(|c: char| c.is_ascii_alphabetic())
                    && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
            };
            if zone.len() > 64 || !zone.split('/').all(part) {
                self.push(
                    "zone",
                    format!("{} is no time zone: write its IANA name, as in \"Europe/Berlin\"", shown(zone)),
                );
            }
            if target.cron.is_none() {
                self.push("zone", "a time zone means something to cron alone: leave it out");
            }
        }
        self.within("grace", target.grace, GRACE_US);
    }

    fn flow(&mut self, target: &FlowTarget) {
        self.tls("tls", &target.tls);
        if target.steps.is_empty() || target.steps.len() > STEPS_MAX {
            self.push("steps", format!("{} steps: write 1 to {STEPS_MAX}", target.steps.len()));
        }
        let mut names = BTreeSet::new();
        let mut known: BTreeSet<&str> = BTreeSet::new();
        for (index, step) in target.steps.iter().enumerate() {
            let at = |key: &str| format!("steps[{index}].{key}");
            if step.name.is_empty() || step.name.chars().count() > 64 || step.name.chars().any(char::is_control) {
                self.push(
                    &at("name"),
                    format!("{} is no name: write 1 to 64 characters on one line", shown(&step.name)),
                );
            } else if !names.insert(step.name.as_str()) {
                self.push(
                    &at("name"),
                    format!("{} names an earlier step too: give each step a name of its own", shown(&step.name)),
                );
            }
            self.step(step, &at, target.http, &known);
            known.extend(step.capture.keys().map(String::as_str));
        }
    }

    fn web_vitals(&mut self, target: &WebVitalsTarget) {
        self.check("url", syntax::url(&target.url, &["http://", "https://"]));
        match &target.profile {
            ProfileChoice::Named(name) if Profile::builtin(name).is_none() => {
                let known = Profile::NAMES.join(", ");
                let message = format!("{} is no profile: use {known}, or describe it as [profile.NAME]", shown(name));
                self.push("profile", message);
            }
            ProfileChoice::Own(profile) => self.profile("profile.", profile),
            ProfileChoice::Named(_) => {}
        }
        if !(1..=RUNS_MAX).contains(&target.runs) {
            self.push("runs", format!("{} loads: allowed are 1 to {RUNS_MAX}", target.runs));
        }
        if target.interact.len() > INTERACTIONS_MAX {
            let message = format!("{} interactions: at most {INTERACTIONS_MAX} are allowed", target.interact.len());
            self.push("interact", message);
        }
        for (index, step) in target.interact.iter().enumerate() {
            self.interaction(&format!("interact[{index}]"), step);
        }
        if let Some(consent) = &target.consent {
            self.interaction("consent", consent);
            if !matches!(consent, Interact::Click(_)) {
                self.push("consent", "consent is given by a click: write consent = { click = \"#accept\" }");
            }
        }
        self.within("settle", target.settle, SETTLE_US);
    }

    /// `within` goes in front of the keys.
    fn profile(&mut self, within: &str, profile: &Profile) {
        let slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if profile.name.is_empty() || profile.name.len() > 32 || !profile.name.chars().all(slug) {
            self.push(
                &format!("{within}name"),
                format!("{} is no name: use 1 to 32 of a-z, 0-9 and '-'", shown(&profile.name)),
            );
        } else if Profile::builtin(&profile.name).is_some_and(|builtin| builtin != *profile) {
            let message = format!("{} is built in and stays what it is: give yours a name of its own", profile.name);
            self.push(&format!("{within}name"), message);
        }
        for (key, pixels) in [("width", profile.width), ("height", profile.height)] {
            if !(200..=4_000).contains(&pixels) {
                self.push(&format!("{within}{key}"), format!("{pixels} pixels: allowed are 200 to 4000"));
            }
        }
        for (key, value, first, last) in [("dpr", profile.dpr, 500, 4_000), ("cpu", profile.cpu, 1_000, 20_000)] {
            if !(first..=last).contains(&value.0) {
                let [first, last] = [first, last].map(|thousandths| f64::from(thousandths) / 1e3);
                self.push(&format!("{within}{key}"), format!("{}: allowed are {first} to {last}", value.get()));
            }
        }
        if let Some(link) = &profile.network {
            if link.rtt.0 > 10 * SECOND_US {
                self.push(&format!("{within}network.rtt"), "the longest round trip is 10s");
            }
            for (key, kbps) in [("down_kbps", link.down_kbps), ("up_kbps", link.up_kbps)] {
                if kbps.0 < 1_000 {
                    self.push(&format!("{within}network.{key}"), "write kilobits per second, from 1");
                }
            }
        }
        if profile.user_agent.as_deref() == Some("") {
            self.push(
                &format!("{within}user_agent"),
                "there is nothing in it: leave it out, or write what the browser says it is",
            );
        } else if let Some(agent) = &profile.user_agent {
            self.check(&format!("{within}user_agent"), syntax::header_value(agent));
        }
        for vital in Vital::ALL {
            let threshold = profile.thresholds.of(vital);
            if threshold.good > threshold.poor {
                let sample = if vital.is_duration() { "[\"2.5s\", \"4s\"]" } else { "[0.1, 0.25]" };
                let message = format!("good comes first and is at most poor, as in {} = {sample}", vital.as_str());
                self.push(&format!("{within}thresholds.{}", vital.as_str()), message);
            }
        }
    }

    fn interaction(&mut self, field: &str, step: &Interact) {
        match step {
            Interact::Click(selector) => self.selector(field, selector),
            Interact::Type(selector, text) => {
                self.selector(field, selector);
                let selector = selector.to_ascii_lowercase();
                if ["password", "passwd"].iter().any(|word| selector.contains(word)) {
                    self.must_be_reference(field, text, "a password", false);
                    return;
                }
                self.reference(field, Some(text));
                let characters = text.0.chars().count();
                if text.name().is_none() && (!(1..=500).contains(&characters) || text.0.chars().any(char::is_control)) {
                    self.push(
                        field,
                        "write 1 to 500 characters on one line to type; a key is pressed by { press = \"Enter\" }",
                    );
                }
            }
            Interact::Press(key) => {
                let name =
                    key.chars().count() == 1 || (key.len() <= 20 && key.bytes().all(|b| b.is_ascii_alphanumeric()));
                if key.is_empty() || !name {
                    self.push(field, format!("{} is no key: write its name, as in \"Enter\" or \"a\"", shown(key)));
                }
            }
            Interact::Scroll(pixels) => {
                if pixels.unsigned_abs() > 100_000 {
                    self.push(field, format!("{pixels} pixels: at most 100000 are scrolled"));
                }
            }
            Interact::Wait(duration) => self.within(field, *duration, WAIT_US),
        }
    }

    fn selector(&mut self, field: &str, selector: &str) {
        if selector.trim().is_empty() || selector.len() > SELECTOR_BYTES_MAX || selector.chars().any(char::is_control) {
            self.push(field, format!("{} is no CSS selector: write one line, as in \"#menu\"", shown(selector)));
        }
    }

    fn step(&mut self, step: &FlowStep, at: &dyn Fn(&str) -> String, version: HttpVersion, known: &BTreeSet<&str>) {
        // Judged with something harmless in the variables' places.
        self.variables(&at("url"), &step.url, known);
        let host_end = step.url.find("://").map_or(0, |scheme| {
            step.url[scheme + 3..].find(['/', '?']).map_or(step.url.len(), |path| scheme + 3 + path)
        });
        if step.url[..host_end].contains("{{") {
            self.push(&at("url"), "a variable may stand in the path and the query, not in the scheme, host or port");
        } else {
            self.check(&at("url"), syntax::url(&syntax::without_variables(&step.url), &["http://", "https://"]));
            self.version(&at("url"), version, &step.url);
        }
        self.method(&at("method"), &step.method);
        self.headers(&at("headers"), &step.headers, true);
        for (name, value) in &step.headers {
            self.variables(&at(&format!("headers.{name}")), &value.0, known);
        }
        self.reference(&at("body"), step.body.as_ref());
        if let Some(body) = &step.body {
            self.variables(&at("body"), &body.0, known);
        }
        self.auth(&at("auth"), step.auth.as_ref(), &step.headers, true);
        match &step.auth {
            Some(Auth::Bearer(token)) => self.variables(&at("auth.bearer"), &token.0, known),
            Some(Auth::Basic { user, password }) => {
                self.variables(&at("auth.basic.user"), user, known);
                self.variables(&at("auth.basic.password"), &password.0, known);
            }
            None => {}
        }
        self.redirects(&at("redirects"), step.redirects);
        if step.expect.len() > EXPECTATIONS_MAX {
            self.push(
                &at("expect"),
                format!("{} assertions: at most {EXPECTATIONS_MAX} are allowed", step.expect.len()),
            );
        }
        for (index, text) in step.expect.iter().enumerate() {
            if let Err(error) = Expectation::parse(text, "http") {
                let message =
                    format!("assertion {text:?}: {} (at column {} of the assertion)", error.message, error.column);
                self.push(&at(&format!("expect[{index}]")), message);
            }
        }
        if step.capture.len() > CAPTURES_MAX {
            self.push(&at("capture"), format!("{} captures: at most {CAPTURES_MAX} are allowed", step.capture.len()));
        }
        for (name, text) in &step.capture {
            let field = at(&format!("capture.{name}"));
            if !syntax::is_variable(name) {
                self.push(
                    &field,
                    format!("{} names no variable: use 1 to 64 of a-z, 0-9 and '_', not a digit first", shown(name)),
                );
            }
            if let Err(error) = Extractor::parse(text) {
                self.push(&field, format!("{text:?}: {} (at column {})", error.message, error.column));
            }
        }
    }

    fn variables(&mut self, field: &str, text: &str, known: &BTreeSet<&str>) {
        let Some(names) = self.check(field, syntax::variables(text)) else { return };
        for name in names.into_iter().filter(|name| !known.contains(name)) {
            self.push(
                field,
                format!("no earlier step captures {{{{{name}}}}}: add {name} = ... to the capture of one"),
            );
        }
    }

    fn method(&mut self, field: &str, method: &str) {
        let ok =
            !method.is_empty() && method.len() <= 32 && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        if !ok {
            self.push(field, format!("{} is no method: write it in capitals, as in \"POST\"", shown(method)));
        } else if method == "CONNECT" {
            self.push(field, "CONNECT is for proxies: name one with proxy = \"http://host:port\"");
        }
    }

    fn redirects(&mut self, field: &str, redirects: u8) {
        if redirects > REDIRECTS_MAX {
            self.push(field, format!("{redirects} redirects: at most {REDIRECTS_MAX} are followed"));
        }
    }

    fn version(&mut self, field: &str, version: HttpVersion, url: &str) {
        let plain = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
        if version == HttpVersion::Http3 && plain {
            self.push(field, "HTTP/3 is always encrypted: write an https:// URL, or leave out http = \"3\"");
        }
    }

    /// `templated` values hold variables instead of references.
    fn headers(&mut self, field: &str, headers: &BTreeMap<String, SecretText>, templated: bool) {
        if headers.len() > HEADERS_MAX {
            self.push(field, format!("{} headers: at most {HEADERS_MAX} are allowed", headers.len()));
        }
        let mut seen = BTreeSet::new();
        for (name, value) in headers {
            let field = format!("{field}.{name}");
            if self.check(&field, syntax::header_name(name)).is_none() {
                continue;
            }
            if !seen.insert(name.to_ascii_lowercase()) {
                self.push(&field, "the header is written twice, in another case: leave one out");
            }
            if syntax::is_confidential_header(name) {
                self.must_be_reference(&field, value, "the value of this header", templated);
            }
            self.reference(&field, Some(value));
            if value.name().is_none() {
                self.check(&field, syntax::header_value(&value.0));
            }
        }
    }

    fn auth(&mut self, field: &str, auth: Option<&Auth>, headers: &BTreeMap<String, SecretText>, templated: bool) {
        match auth {
            Some(Auth::Basic { user, password }) => {
                if user.contains(':') || user.chars().any(char::is_control) {
                    self.push(
                        &format!("{field}.basic.user"),
                        "a user of Basic authentication holds no ':' and no line break",
                    );
                }
                self.must_be_reference(&format!("{field}.basic.password"), password, "the password", templated);
            }
            Some(Auth::Bearer(token)) => {
                self.must_be_reference(&format!("{field}.bearer"), token, "the token", templated);
            }
            None => return,
        }
        if headers.keys().any(|name| name.eq_ignore_ascii_case("authorization")) {
            self.push(field, "auth and the header \"authorization\" are both there: leave one out");
        }
    }

    fn tls(&mut self, field: &str, tls: &TlsOptions) {
        if let Some(ca) = &tls.ca {
            self.check(&format!("{field}.ca"), syntax::pem_certificates(ca));
        }
        if let Some(name) = &tls.server_name {
            let judged = syntax::host(name).map_err(|why| format!("{}: {why}", shown(name)));
            self.check(&format!("{field}.server_name"), judged);
        }
        if let Some(certificate) = &tls.client_certificate {
            let field = format!("{field}.client_certificate");
            self.reference(&field, Some(certificate));
            if certificate.name().is_none() {
                self.check(&field, syntax::pem_certificates(&certificate.0));
            }
        }
        if let Some(key) = &tls.client_key {
            self.must_be_reference(&format!("{field}.client_key"), key, "the key", false);
        }
        match (&tls.client_certificate, &tls.client_key) {
            (Some(_), None) => {
                self.push(&format!("{field}.client_certificate"), "a client certificate needs its client_key")
            }
            (None, Some(_)) => self.push(&format!("{field}.client_key"), "a client key needs its client_certificate"),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    fn protocols(&mut self, field: &str, names: &[String], good: impl Fn(&str) -> bool) {
        if names.len() > PROTOCOLS_MAX {
            self.push(field, format!("{} protocols: at most {PROTOCOLS_MAX} are offered", names.len()));
        }
        for (index, name) in names.iter().enumerate() {
            let field = format!("{field}[{index}]");
            if name.is_empty() || !good(name) {
                self.push(
                    &field,
                    format!("{} is no protocol's name: use letters, digits, '-', '.' and '/'", shown(name)),
                );
            } else if names[..index].contains(name) {
                self.push(&field, format!("{} is named twice: once is enough", shown(name)));
            }
        }
    }

    fn send(&mut self, field: &str, send: Option<&SecretText>) {
        let Some(text) = send else { return };
        self.reference(field, send);
        if text.0.is_empty() {
            self.push(field, "there is nothing in it: leave it out, or write what to send");
        } else if text.0.len() > SEND_BYTES_MAX {
            self.push(field, format!("{} bytes: at most {SEND_BYTES_MAX} are sent", text.0.len()));
        }
    }

    fn within(&mut self, field: &str, value: DurationUs, (first, last): (u64, u64)) {
        if !(first..=last).contains(&value.0) {
            let [value, first, last] = [value.0, first, last].map(duration::format);
            self.push(field, format!("{value}: allowed are {first} to {last}"));
        } else if !value.0.is_multiple_of(1000) {
            self.push(field, format!("{}: use whole milliseconds", duration::format(value.0)));
        }
    }

    /// A text that refers to a secret does so by a good name.
    fn reference(&mut self, field: &str, text: Option<&SecretText>) {
        if let Some(name) = text.and_then(SecretText::name) {
            self.check(field, syntax::secret_name(name));
        }
    }

    /// Where everybody who reads the checks would read the secret, only a reference is taken. In a flow, a captured value may stand
    /// there as well.
    fn must_be_reference(&mut self, field: &str, text: &SecretText, what: &str, templated: bool) {
        if text.name().is_some() {
            self.reference(field, Some(text));
        } else if !(templated && syntax::variables(&text.0).is_ok_and(|names| !names.is_empty())) {
            self.push(
                field,
                format!(
                    "{what} may not stand here in the clear: keep it with `sitepulse-collector secret set NAME` and write \"secret:NAME\""
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests;

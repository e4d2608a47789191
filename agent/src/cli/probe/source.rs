//! What `probe` was given, as checks: a URL with options, or a file of `[[check]]` tables.
//!
//! The collector's parser of check files tells every mistake with its line; this one runs what a person is just trying out, and tells the first.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;

use serde_json::{Map, Value, json};
use sitepulse_daemon::config::{self, CHECKS_BYTES_MAX};
use sitepulse_daemon::exit::{Exit, Fatal};
use sitepulse_model::check::{
    AssignedCheck, CheckDefinition, CheckKind, EXPECTATIONS_MAX, Family, RETRIES_MAX, SecretText, TIMEOUT_US_MAX,
    TIMEOUT_US_MIN, WebVitalsTarget,
};
use sitepulse_model::control::Weight;
use sitepulse_model::duration;
use sitepulse_model::expect::Expectation;
use sitepulse_model::id::{CheckId, CheckNo, Revision};
use sitepulse_model::quorum::Quorum;
use sitepulse_model::vitals::profile::{OwnProfile, Profile, ProfileChoice};

use super::{PASSWORD_SECRET, UrlOptions};

/// The id of a check that has none.
const URL_CHECK_ID: &str = "probe";
const TIMEOUT_US_DEFAULT: u64 = 10_000_000;
/// A run besides every schedule has no interval; a definition needs one.
const INTERVAL_US: u64 = 60_000_000;
/// Most checks of one file.
const CHECKS_MAX: usize = 1000;
/// Keys of a `[[check]]` that every kind has, and that say nothing of one run.
const SCHEDULE_KEYS: [&str; 12] = [
    "interval",
    "weight",
    "group",
    "tags",
    "regions",
    "quorum",
    "confirmations",
    "recoveries",
    "class",
    "parents",
    "providers",
    "escalation",
];
/// What a check file may hold besides checks and profiles: the collector's alone.
const COLLECTOR_TABLES: [&str; 10] =
    ["policy", "slo", "maintenance", "channel", "escalation", "schedule", "user", "status_page", "scoring", "playbook"];

/// What `probe` was given.
#[derive(Debug)]
pub(super) enum Given {
    /// A URL's one check; it has no id.
    Url(AssignedCheck),
    /// A file's checks, and what else there is to tell.
    File(FileChecks),
}

/// The checks of a file.
#[derive(Debug, Default)]
pub(super) struct FileChecks {
    pub(super) checks: Vec<AssignedCheck>,
    /// Ids of the heartbeats, which nobody can probe.
    pub(super) heartbeats: Vec<String>,
}

/// The checks that are meant; `only` picks one of a file by its id.
pub(super) fn given(target: &str, only: Option<&str>, options: &UrlOptions) -> Result<Given, Fatal> {
    if is_url(target) {
        if only.is_some() {
            return Err(Fatal::new(Exit::Usage, "--check picks a check of a FILE; a URL is one already"));
        }
        let definition = url_check(target, options).map_err(|reason| Fatal::new(Exit::Usage, reason))?;
        return Ok(Given::Url(assigned(1, definition)));
    }
    if *options != UrlOptions::default() {
        let text = "options of the check go with a URL; for a FILE write them into it (--check, --config, --allow and --json stay)";
        return Err(Fatal::new(Exit::Usage, text));
    }
    let (text, name) = if target == "-" {
        (stdin()?, Path::new("standard input"))
    } else if Path::new(target).exists() {
        let text = config::read_within(Path::new(target), CHECKS_BYTES_MAX)
            .map_err(|error| Fatal::new(Exit::Config, error))?;
        (text, Path::new(target))
    } else {
        let text =
            format!("{target:?} is neither a file nor a URL: write https://{target} or tcp://{target}; see --help");
        return Err(Fatal::new(Exit::Usage, text));
    };
    file_checks(&text, name, only).map(Given::File)
}

fn stdin() -> Result<String, Fatal> {
    let mut text = String::new();
    let read = std::io::stdin().take(CHECKS_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| Fatal::new(Exit::Config, format!("standard input: {error}")))?;
    if text.len() as u64 > CHECKS_BYTES_MAX {
        return Err(Fatal::new(Exit::Config, format!("standard input: longer than {CHECKS_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn is_url(target: &str) -> bool {
    target.contains("://") || target.starts_with("domain:")
}

fn assigned(number: u32, definition: CheckDefinition) -> AssignedCheck {
    AssignedCheck { number: CheckNo(number), revision: Revision(1), definition }
}

/// A check of a kind whose keys were given otherwise.
///
/// # Errors
/// What is wrong with it, with the remedy.
pub(in crate::cli) fn check_of(
    kind: CheckKind,
    timeout: Option<&str>,
    expect: &[String],
) -> Result<AssignedCheck, String> {
    let timeout = timeout.map(str::to_owned);
    let run = OneRun { id: URL_CHECK_ID.to_owned(), kind, timeout, retries: 0, expect: expect.to_vec() };
    Ok(assigned(1, run.definition()?))
}

/// What of a definition says something about one run.
#[derive(Clone)]
struct OneRun {
    id: String,
    kind: CheckKind,
    timeout: Option<String>,
    retries: u64,
    expect: Vec<String>,
}

impl OneRun {
    fn definition(self) -> Result<CheckDefinition, String> {
        self.kind.validate().map_err(|error| error.to_string())?;
        let timeout_us = match &self.timeout {
            Some(text) => duration::parse(text).map_err(|error| format!("timeout: {error}"))?,
            None if matches!(self.kind, CheckKind::WebVitals(_)) => WebVitalsTarget::TIMEOUT_US_DEFAULT,
            None => TIMEOUT_US_DEFAULT,
        };
        if !(TIMEOUT_US_MIN..=TIMEOUT_US_MAX).contains(&timeout_us) {
            let (min, max) = (duration::format(TIMEOUT_US_MIN), duration::format(TIMEOUT_US_MAX));
            return Err(format!("timeout is {}: allowed are {min} to {max}", duration::format(timeout_us)));
        }
        let retries = u8::try_from(self.retries).ok().filter(|retries| *retries <= RETRIES_MAX);
        let retries = retries.ok_or_else(|| format!("retries is {}: allowed are 0 to {RETRIES_MAX}", self.retries))?;
        self.kind.ends_in_time(timeout_us, retries).map_err(|fault| fault.message)?;
        if self.expect.len() > EXPECTATIONS_MAX {
            return Err(format!("{} assertions: at most {EXPECTATIONS_MAX} are allowed", self.expect.len()));
        }
        let parse = |text: &String| Expectation::parse(text, self.kind.as_str());
        let expect: Result<Vec<_>, _> = self.expect.iter().map(parse).collect();
        Ok(CheckDefinition {
            id: CheckId::parse(&self.id).map_err(|error| error.to_string())?,
            expect: expect.map_err(|error| error.to_string())?,
            kind: self.kind,
            interval_us: INTERVAL_US,
            timeout_us,
            retries,
            weight: Weight::ONE,
            regions: None,
            quorum: Quorum::Majority,
            confirmations: 1,
            recoveries: 1,
        })
    }
}

/// The check of a URL, or why there is none.
fn url_check(url: &str, options: &UrlOptions) -> Result<CheckDefinition, String> {
    let (kind, mut keys) = url_keys(url)?;
    let mut set = |flag: &str, kinds: &[&str], key: &str, value: Option<Value>| -> Result<(), String> {
        let Some(value) = value else { return Ok(()) };
        if !kinds.contains(&kind) {
            return Err(format!("{flag} says nothing to a check of kind {kind}; it is for {}", kinds.join(", ")));
        }
        keys.insert(key.to_owned(), value);
        Ok(())
    };
    let text = |option: &Option<String>| option.clone().map(Value::from);
    set("--http", &["http"], "http", text(&options.http))?;
    set("--method", &["http"], "method", text(&options.method))?;
    set("--redirects", &["http"], "redirects", options.redirects.map(Value::from))?;
    let dialling = ["http", "tcp", "udp", "tls", "dns", "icmp", "websocket", "grpc", "smtp", "imap"];
    set("--family", &dialling, "family", text(&options.family))?;
    let secured = ["http", "tls", "websocket", "grpc", "smtp", "imap", "domain"];
    let mut tls = Map::new();
    for (flag, key, value) in [
        ("--insecure", "insecure", options.insecure.then(|| true.into())),
        ("--ca", "ca", options.ca.as_deref().map(certificates).transpose()?.map(Value::from)),
        ("--server-name", "server_name", text(&options.server_name)),
    ] {
        tls.extend(value.map(|value| (key.to_owned(), value)));
        set(flag, &secured, "tls", tls.contains_key(key).then(|| tls.clone().into()))?;
    }
    set("--proxy", &["http"], "proxy", text(&options.proxy))?;
    if let Some(user) = &options.user {
        let known = json!({"user": user, "password": format!("{}{PASSWORD_SECRET}", SecretText::PREFIX)});
        let (key, value) = match kind {
            "smtp" | "imap" => ("login", known),
            _ => ("auth", json!({"basic": known})),
        };
        set("--user", &["http", "websocket", "smtp", "imap"], key, Some(value))?;
    }
    let body = if kind == "http" { "body" } else { "send" };
    set("--body", &["http", "tcp", "udp", "websocket"], body, text(&options.body))?;
    let headers: Result<Map<String, Value>, String> = options.header.iter().map(|line| header(line)).collect();
    let headers = headers.map(|headers| (!headers.is_empty()).then_some(Value::Object(headers)))?;
    set("--header", &["http", "websocket", "grpc"], "headers", headers)?;
    let kind = CheckKind::deserialize(kind, Value::Object(keys)).expect("every scheme's kind is known");
    let run = OneRun {
        id: URL_CHECK_ID.to_owned(),
        kind: kind.map_err(|error| format!("{url}: {error}"))?,
        timeout: options.timeout.clone(),
        retries: options.retries.unwrap_or(0).into(),
        expect: options.expect.clone(),
    };
    run.definition()
}

/// The certificates of a file, as text.
fn certificates(path: &Path) -> Result<String, String> {
    config::read(path).map_err(|error| format!("--ca: {error}"))
}

fn header(line: &str) -> Result<(String, Value), String> {
    let (name, value) =
        line.split_once(':').ok_or_else(|| format!("--header {line:?} has no colon: write 'Name: value'"))?;
    Ok((name.trim().to_owned(), Value::from(value.trim())))
}

/// The kind and the keys that a URL stands for.
fn url_keys(url: &str) -> Result<(&'static str, Map<String, Value>), String> {
    if let Some(domain) = url.strip_prefix("domain:") {
        return Ok(("domain", Map::from_iter([("domain".to_owned(), domain.trim_start_matches("//").into())])));
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("{url:?} is no URL"))?;
    let scheme = scheme.to_ascii_lowercase();
    // These are URLs to their kinds too.
    if let Some(kind) = match scheme.as_str() {
        "http" | "https" => Some("http"),
        "ws" | "wss" => Some("websocket"),
        _ => None,
    } {
        return Ok((kind, Map::from_iter([("url".to_owned(), url.into())])));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.is_empty() {
        return Err(format!("{url:?} names no host"));
    }
    let known: &[&str] = match scheme.as_str() {
        "udp" => &["send_hex"],
        "dns" => &["record", "server", "transport", "dnssec"],
        "icmp" => &["count", "size", "spacing"],
        "smtp" | "imap" => &["starttls"],
        _ => &[],
    };
    let mut keys = Map::new();
    for (name, value) in
        query.split('&').filter(|part| !part.is_empty()).map(|part| part.split_once('=').unwrap_or((part, "")))
    {
        if !known.contains(&name) {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!("{url:?}: unknown parameter {name:?}; {scheme}:// knows {known}"));
        }
        keys.insert(name.to_owned(), parameter(name, value).map_err(|reason| format!("{url:?}: {reason}"))?);
    }
    let mut set = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    let needs_port = || {
        if port(authority) {
            Ok(authority.to_owned())
        } else {
            Err(format!("{url:?} has no port: write {scheme}://HOST:PORT"))
        }
    };
    let or_port = |default: u16| if port(authority) { authority.to_owned() } else { format!("{authority}:{default}") };
    let kind = match scheme.as_str() {
        "tcp" => {
            set("address", needs_port()?.into());
            "tcp"
        }
        "udp" => {
            set("address", needs_port()?.into());
            "udp"
        }
        "tls" => {
            set("address", or_port(443).into());
            "tls"
        }
        "dns" => {
            set("name", authority.into());
            "dns"
        }
        "icmp" => {
            set("host", authority.trim_start_matches('[').trim_end_matches(']').into());
            "icmp"
        }
        "grpc" | "grpcs" => {
            let web = if scheme == "grpc" { "http" } else { "https" };
            set("url", format!("{web}://{authority}").into());
            if !path.is_empty() {
                set("service", path.into());
            }
            "grpc"
        }
        "smtp" | "smtps" | "imap" | "imaps" => {
            let (kind, plain, secured) =
                if scheme.starts_with("smtp") { ("smtp", 25, 465) } else { ("imap", 143, 993) };
            let over_tls = scheme.ends_with('s');
            set("address", or_port(if over_tls { secured } else { plain }).into());
            if over_tls {
                set("security", "tls".into());
            }
            kind
        }
        other => {
            return Err(format!(
                "unknown scheme {other:?}: known are http, https, ws, wss, tcp, udp, tls, dns, icmp, grpc, grpcs, smtp, smtps, imap, imaps and domain:NAME"
            ));
        }
    };
    if let Some(Value::Bool(wanted)) = keys.remove("starttls")
        && wanted
    {
        keys.insert("security".to_owned(), "starttls".into());
    }
    Ok((kind, keys))
}

fn port(authority: &str) -> bool {
    let after_address = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    after_address.contains(':')
}

/// A parameter's value, of the type that its key has.
fn parameter(name: &str, value: &str) -> Result<Value, String> {
    match name {
        "dnssec" | "starttls" => match value {
            "" | "1" | "true" | "yes" => Ok(true.into()),
            "0" | "false" | "no" => Ok(false.into()),
            other => Err(format!("{name} is {other:?}: write yes or no")),
        },
        "count" | "size" => {
            value.parse::<u16>().map(Value::from).map_err(|_| format!("{name} is {value:?}: write a number"))
        }
        "record" => Ok(value.to_ascii_uppercase().into()),
        _ => Ok(value.into()),
    }
}

/// The checks of a file; with `only`, those of the one table that has this id (or made the check that has it).
fn file_checks(text: &str, path: &Path, only: Option<&str>) -> Result<FileChecks, Fatal> {
    let wrong = |reason: String| Fatal::new(Exit::Config, format!("{}: {reason}", path.display()));
    let mut document: toml::Table = config::parse(text, path).map_err(|error| Fatal::new(Exit::Config, error))?;
    let profiles = document.remove("profile").map_or_else(|| Ok(BTreeMap::new()), profiles).map_err(wrong)?;
    let others = COLLECTOR_TABLES.into_iter().filter(|name| document.remove(*name).is_some()).count();
    let tables = match document.remove("check") {
        Some(toml::Value::Array(tables)) if document.is_empty() => tables,
        None if others > 0 && document.is_empty() => return Err(wrong("it has no check: nothing to probe".to_owned())),
        Some(_) | None => {
            let tables = COLLECTOR_TABLES.map(|name| format!("[[{name}]]")).join(", ");
            return Err(wrong(format!("a check file holds [[check]], [profile.NAME], {tables} tables only")));
        }
    };
    if tables.is_empty() || tables.len() > CHECKS_MAX {
        return Err(wrong(format!("{} checks: from 1 to {CHECKS_MAX} can be probed", tables.len())));
    }
    let mut found = FileChecks::default();
    let mut ids = BTreeSet::new();
    for (number, table) in (1..).zip(tables) {
        let id = table.get("id").and_then(toml::Value::as_str).map_or(format!("check-{number}"), str::to_owned);
        let heartbeat = table.get("kind").and_then(toml::Value::as_str) == Some("heartbeat");
        let of_table = table_checks(table, &id, &profiles)
            .map_err(|reason| wrong(format!("check {number} ({id:?}): {reason}")))?;
        let all = only.is_none_or(|only| only == id);
        for definition in of_table {
            let made = definition.id.to_string();
            let meant = all || only == Some(&made);
            if !ids.insert(made.clone()) {
                return Err(wrong(format!("the id {made:?} is used twice: give each check an id of its own")));
            }
            if meant && heartbeat {
                found.heartbeats.push(made);
            } else if meant {
                found.checks.push(assigned(found.checks.len() as u32 + 1, definition));
            }
        }
    }
    if !found.checks.is_empty() {
        return Ok(found);
    }
    if let (true, Some(only)) = (found.heartbeats.is_empty(), only) {
        let known = ids.into_iter().collect::<Vec<_>>().join(", ");
        let text = format!("{}: no check {only:?}; there are {known}", path.display());
        return Err(Fatal::new(Exit::NotFound, text));
    }
    Err(wrong("a heartbeat is a call of a job to the collector: there is nothing to probe".to_owned()))
}

/// The device profiles that a file describes.
fn profiles(table: toml::Value) -> Result<BTreeMap<String, Profile>, String> {
    let described: BTreeMap<String, OwnProfile> =
        table.try_into().map_err(|error: toml::de::Error| format!("profile: {}", error.message()))?;
    let resolve = |(name, own): (String, OwnProfile)| {
        let of_profile = |reason: String| format!("profile {name:?}: {reason}");
        let base = |base| of_profile(format!("base: {base:?} is not built in: use {}", Profile::NAMES.join(" or ")));
        let profile = own.resolve(&name).map_err(base)?;
        match profile.faults().first() {
            Some(fault) => Err(of_profile(fault.to_string())),
            None => Ok((name, profile)),
        }
    };
    described.into_iter().map(resolve).collect()
}

/// The check of a table, or the two of one with `family = "both"`. A heartbeat is read, though nobody can run it here.
fn table_checks(
    table: toml::Value,
    id: &str,
    profiles: &BTreeMap<String, Profile>,
) -> Result<Vec<CheckDefinition>, String> {
    let toml::Value::Table(mut keys) = table else { return Err("a check is a table".to_owned()) };
    for key in SCHEDULE_KEYS {
        keys.remove(key);
    }
    fn take<T: serde::de::DeserializeOwned>(keys: &mut toml::Table, key: &str) -> Result<Option<T>, String> {
        let taken = keys.remove(key).map(T::deserialize).transpose();
        taken.map_err(|error| format!("{key}: {}", error.message()))
    }
    let kind: String = take(&mut keys, "kind")?.ok_or("\"kind\" is missing: add kind = \"http\"")?;
    // A text, or it is not read at all.
    let _: Option<String> = take(&mut keys, "id")?;
    let timeout = take(&mut keys, "timeout")?;
    let retries = take(&mut keys, "retries")?.unwrap_or(0);
    let expect = take(&mut keys, "expect")?.unwrap_or_default();
    let both = keys.get("family").and_then(toml::Value::as_str) == Some("both");
    if both {
        if !CheckKind::BOTH_FAMILIES.contains(&kind.as_str()) {
            let kinds = CheckKind::BOTH_FAMILIES.join(", ");
            return Err(format!("family: \"both\" is offered by {kinds}; write any, ipv4 or ipv6"));
        }
        keys.remove("family");
    }
    let target = CheckKind::deserialize(&kind, toml::Value::Table(keys))
        .ok_or_else(|| format!("unknown kind {kind:?}: known are {}", CheckKind::NAMES.join(", ")))?;
    let mut kind = target.map_err(|error| error.message().to_owned())?;
    if let CheckKind::WebVitals(target) = &mut kind
        && let Some(own) = profiles.get(target.profile.name())
    {
        target.profile = ProfileChoice::Own(Box::new(own.clone()));
    }
    let run = OneRun { id: id.to_owned(), kind, timeout, retries, expect };
    if !both {
        return Ok(vec![run.definition()?]);
    }
    if let Some(address) = run.kind.host().filter(|host| host.parse::<IpAddr>().is_ok()) {
        return Err(format!("family: {address} is one address already: leave family out, or write a name"));
    }
    let of_family = |(family, kind): (Family, CheckKind)| {
        OneRun { id: format!("{id}-{}", family.as_str()), kind, ..run.clone() }.definition()
    };
    run.kind.both_families().into_iter().map(of_family).collect()
}

#[cfg(test)]
mod tests {
    use sitepulse_model::check::HttpVersion;

    use super::*;

    fn url(url: &str) -> Result<(String, Value), String> {
        let definition = url_check(url, &UrlOptions::default())?;
        let kind = definition.kind;
        Ok((kind.as_str().to_owned(), serde_json::from_str(&kind.target_json()).unwrap()))
    }

    #[test]
    fn every_kind_has_a_url() {
        let cases = [
            ("https://shop.example/x?y=1", "http", json!({"url": "https://shop.example/x?y=1"})),
            ("wss://shop.example/ws", "websocket", json!({"url": "wss://shop.example/ws"})),
            ("tcp://shop.example:25", "tcp", json!({"address": "shop.example:25"})),
            ("udp://[2001:db8::1]:53?send_hex=00ff", "udp", json!({"address": "[2001:db8::1]:53", "send_hex": "00ff"})),
            ("tls://shop.example", "tls", json!({"address": "shop.example:443"})),
            ("tls://[2001:db8::1]", "tls", json!({"address": "[2001:db8::1]:443"})),
            ("tls://shop.example:8443", "tls", json!({"address": "shop.example:8443"})),
            (
                "dns://shop.example?record=mx&server=1.2.3.4&dnssec&transport=tcp",
                "dns",
                json!({"name": "shop.example", "record": "MX", "server": "1.2.3.4", "dnssec": true, "transport": "tcp"}),
            ),
            ("dns://shop.example", "dns", json!({"name": "shop.example"})),
            ("icmp://shop.example?count=5", "icmp", json!({"host": "shop.example", "count": 5})),
            ("icmp://[2001:db8::1]", "icmp", json!({"host": "2001:db8::1"})),
            ("grpc://a:50051", "grpc", json!({"url": "http://a:50051"})),
            ("grpcs://a:443/shop.Cart", "grpc", json!({"url": "https://a:443", "service": "shop.Cart"})),
            ("smtp://mx.example", "smtp", json!({"address": "mx.example:25"})),
            ("smtp://mx.example:587?starttls", "smtp", json!({"address": "mx.example:587", "security": "starttls"})),
            ("smtps://mx.example", "smtp", json!({"address": "mx.example:465", "security": "tls"})),
            ("imap://mx.example?starttls=no", "imap", json!({"address": "mx.example:143"})),
            ("IMAPS://mx.example", "imap", json!({"address": "mx.example:993", "security": "tls"})),
            ("domain:shop.example", "domain", json!({"domain": "shop.example"})),
        ];
        for (text, kind, target) in cases {
            assert_eq!(url(text), Ok((kind.to_owned(), target)), "{text}");
        }
        for (text, why) in [
            ("tcp://shop.example", "has no port: write tcp://HOST:PORT"),
            ("gopher://shop.example", "unknown scheme \"gopher\""),
            ("dns://shop.example?type=MX", "unknown parameter \"type\"; dns:// knows record, server"),
            ("icmp://shop.example?count=many", "count is \"many\""),
            ("udp://shop.example:53", "nothing to send"),
            ("tls://", "names no host"),
        ] {
            let error = url(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn options_become_keys_where_the_kind_has_them() {
        let options = UrlOptions {
            expect: vec!["status == 204".to_owned()],
            timeout: Some("500ms".to_owned()),
            retries: Some(2),
            http: Some("2".to_owned()),
            family: Some("ipv6".to_owned()),
            method: Some("POST".to_owned()),
            header: vec!["X-One: 1".to_owned(), "Authorization:secret:token".to_owned()],
            body: Some("hello".to_owned()),
            redirects: Some(3),
            insecure: true,
            ..UrlOptions::default()
        };
        let definition = url_check("https://a/", &options).unwrap();
        let json: Value = serde_json::from_str(&definition.kind.target_json()).unwrap();
        let expected = json!({
            "url": "https://a/", "http": "2", "family": "ipv6", "method": "POST", "body": "hello", "redirects": 3,
            "headers": {"X-One": "1", "Authorization": "secret:token"}, "tls": {"insecure": true},
        });
        assert_eq!(json, expected);
        assert_eq!((definition.timeout_us, definition.retries, definition.expect.len()), (500_000, 2, 1));
        let only = |change: fn(&mut UrlOptions)| {
            let mut options = UrlOptions::default();
            change(&mut options);
            options
        };
        let sent = url_check("tcp://a:1", &only(|options| options.body = Some("PING".to_owned()))).unwrap();
        assert_eq!(sent.kind.target_json(), r#"{"address":"a:1","send":"PING"}"#);
        for (options, why) in [
            (only(|options| options.redirects = Some(1)), "--redirects says nothing to a check of kind tcp"),
            (only(|options| options.insecure = true), "--insecure says nothing"),
            (only(|options| options.timeout = Some("1h".to_owned())), "timeout is 1h: allowed are"),
            (only(|options| options.timeout = Some("soon".to_owned())), "timeout: "),
            (only(|options| options.retries = Some(9)), "retries is 9: allowed are 0 to 5"),
            (only(|options| options.expect = vec!["status ==".to_owned()]), "column"),
        ] {
            let error = url_check("tcp://a:1", &options).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn every_http_that_a_file_may_name_is_an_option() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: UrlOptions,
        }
        let versions =
            [HttpVersion::Auto, HttpVersion::Http1, HttpVersion::Http2, HttpVersion::Http3, HttpVersion::Advertised];
        for version in versions {
            let Value::String(word) = json!(version) else { panic!("a version is a word") };
            let line = <Line as clap::Parser>::try_parse_from(["probe", "--http", &word]);
            let options = line.map(|line| line.options).unwrap_or_else(|error| panic!("{error}"));
            let CheckKind::Http(target) = url_check("https://a/", &options).unwrap().kind else {
                panic!("another kind")
            };
            assert_eq!(target.http, version);
        }
    }

    #[test]
    fn a_file_holds_the_collector_s_check_tables() {
        let text = "[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"https://a/\"\ninterval = \"30s\"\ntimeout = \"2s\"\nregions = [\"eu-west\"]\n\
            expect = [\"status == 200\"]\n[check.headers]\nX-A = \"1\"\n\n[[check]]\nkind = \"tcp\"\naddress = \"a:1\"\nretries = 1\n";
        let checks = of_file(text, None).unwrap().checks;
        let ids: Vec<&str> = checks.iter().map(|check| check.definition.id.as_str()).collect();
        assert_eq!(ids, ["shop", "check-2"]);
        assert_eq!((checks[0].definition.timeout_us, checks[1].definition.retries), (2_000_000, 1));
        assert_eq!(checks[0].definition.kind.target_json(), r#"{"url":"https://a/","headers":{"X-A":"1"}}"#);
        for (text, why) in [
            ("", "holds [[check]], [profile.NAME], [[policy]], [[slo]], [[maintenance]], [[channel]], "),
            ("[[policy]]\nid = \"gold\"\nobjective = \"99%\"\n", "it has no check: nothing to probe"),
            ("[[check]]\nkind = \"http\"\nurl = 3\n", "checks.toml: check 1 (\"check-1\"): "),
            (
                "[[check]]\nid = \"x\"\nkind = \"http\"\nurl = \"https://a/\"\nurll = 1\n",
                "(\"x\"): unknown field `urll`",
            ),
            ("[[check]]\nkind = \"ftp\"\n", "unknown kind \"ftp\""),
            ("[[check]]\nkind = \"heartbeat\"\nperiod = \"1h\"\ngrace = \"1m\"\n", "nothing to probe"),
            ("[[check]\n", "checks.toml:1:"),
            ("[[check]]\nurl = \"https://a/\"\n", "\"kind\" is missing"),
        ] {
            let error = of_file(text, None).unwrap_err();
            assert!(error.to_string().contains(why), "{text}: {error}");
            assert_eq!(error.exit, Exit::Config);
        }
    }

    /// What tells the collector whom to wake is no matter of a probe.
    #[test]
    fn a_file_with_channels_users_and_schedules_can_be_probed() {
        let page = include_str!("../../../../docs/oncall.md");
        let sample = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let check = "[[check]]\nkind = \"tcp\"\naddress = \"a:1\"\nclass = \"critical\"\nparents = []\nescalation = \"default\"\n";
        assert_eq!(of_file(&format!("{check}{sample}"), None).unwrap().checks.len(), 1);
    }

    #[test]
    fn every_key_that_all_kinds_have_can_stand_in_a_file_that_is_probed() {
        let page = include_str!("../../../../docs/checks.md");
        let table = page.split("## Common keys\n").nth(1).unwrap().split("Unknown keys").next().unwrap();
        let keys: Vec<&str> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .map(|row| row.split('`').next().unwrap())
            .collect();
        assert!(keys.len() >= 17 && keys.contains(&"providers"), "{keys:?}");
        for key in keys {
            let value = match key {
                "id" | "kind" => continue,
                "timeout" => "\"2s\"",
                "retries" => "1",
                _ => "[]",
            };
            let text = format!("[[check]]\nkind = \"tcp\"\naddress = \"a:1\"\n{key} = {value}\n");
            assert_eq!(of_file(&text, None).map(|found| found.checks.len()).map_err(|error| error.to_string()), Ok(1));
        }
    }

    fn of_file(text: &str, only: Option<&str>) -> Result<FileChecks, Fatal> {
        file_checks(text, Path::new("checks.toml"), only)
    }

    #[test]
    fn every_sample_of_the_page_can_be_probed() {
        let page = include_str!("../../../../docs/checks.md");
        let mut kinds = BTreeSet::new();
        let (mut heartbeats, mut others) = (0, 0);
        for sample in page.split("```toml\n").skip(1) {
            let sample = sample.split("```").next().unwrap();
            let only_heartbeats = !sample.replace("kind = \"heartbeat\"", "").contains("kind = ");
            match of_file(sample, None) {
                Ok(found) => {
                    assert!(!only_heartbeats && !found.checks.is_empty(), "{sample}");
                    kinds.extend(found.checks.iter().map(|check| check.definition.kind.as_str()));
                }
                Err(error) => {
                    assert!(only_heartbeats && error.to_string().contains("nothing to probe"), "{error}: {sample}");
                    *(if sample.contains("[[check]]") { &mut heartbeats } else { &mut others }) += 1;
                }
            }
        }
        let all: BTreeSet<&str> = CheckKind::NAMES.into_iter().filter(|name| *name != "heartbeat").collect();
        assert_eq!((kinds, heartbeats, others > 0), (all, 1, true));
    }

    #[test]
    fn a_file_describes_device_profiles() {
        let file = |profile: &str| {
            format!("[[check]]\nkind = \"web_vitals\"\nurl = \"https://a/\"\nprofile = \"kiosk\"\n{profile}")
        };
        let found = of_file(&file("[profile.kiosk]\nwidth = 1080\nnetwork = \"none\"\n"), None).unwrap();
        let CheckKind::WebVitals(target) = &found.checks[0].definition.kind else { panic!("another kind") };
        let profile = target.profile.resolve().unwrap();
        assert_eq!((profile.name.as_str(), profile.width, profile.network), ("kiosk", 1080, None));
        assert_eq!(found.checks[0].definition.timeout_us, 30_000_000);
        for (profile, why) in [
            ("", "\"kiosk\" is no profile: use mobile, desktop"),
            (
                "[profile.kiosk]\nbase = \"tv\"\n",
                "profile \"kiosk\": base: \"tv\" is not built in: use mobile or desktop",
            ),
            ("[profile.kiosk]\nwidth = 9\n", "profile \"kiosk\": width: 9 pixels: allowed are 200 to 4000"),
            ("[profile.kiosk]\nwidht = 9\n", "unknown field `widht`"),
        ] {
            let error = of_file(&file(profile), None).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    const MIXED: &str = "[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"https://a/\"\nfamily = \"both\"\nretries = 1\n\
        [[check]]\nid = \"job\"\nkind = \"heartbeat\"\nperiod = \"1h\"\ngrace = \"1m\"\nconfirmations = 1\n\
        [[check]]\nid = \"probe\"\nkind = \"tcp\"\naddress = \"a:1\"\n";

    #[test]
    fn both_families_are_two_checks_and_heartbeats_are_left_out() {
        let found = of_file(MIXED, None).unwrap();
        let told: Vec<(u32, &str, String)> = found
            .checks
            .iter()
            .map(|check| (check.number.0, check.definition.id.as_str(), check.definition.kind.target_json()))
            .collect();
        let expected = [
            (1, "shop-ipv4", r#"{"url":"https://a/","family":"ipv4"}"#.to_owned()),
            (2, "shop-ipv6", r#"{"url":"https://a/","family":"ipv6"}"#.to_owned()),
            (3, "probe", r#"{"address":"a:1"}"#.to_owned()),
        ];
        assert_eq!(told, expected);
        assert!(found.checks[..2].iter().all(|check| check.definition.retries == 1));
        assert_eq!(found.heartbeats, ["job"]);
        for (text, why) in [
            ("[[check]]\nkind = \"dns\"\nname = \"a\"\nfamily = \"both\"\n", "\"both\" is offered by http"),
            ("[[check]]\nkind = \"tcp\"\naddress = \"[::1]:1\"\nfamily = \"both\"\n", "::1 is one address already"),
            (
                "[[check]]\nkind = \"tcp\"\naddress = \"a:1\"\ntimeout = \"2m\"\nretries = 2\n",
                "take up to 6m: at most 5m",
            ),
            ("[[check]]\nkind = \"icmp\"\nhost = \"a\"\ncount = 6\ntimeout = \"1s\"\n", "6 echoes take 1s to send"),
            ("[[check]]\nkind = \"tcp\"\naddress = \"a:1\"\nid = 3\n", "id: "),
            (&[MIXED, MIXED].concat(), "\"shop-ipv4\" is used twice"),
        ] {
            let error = of_file(text, None).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn one_check_of_a_file_can_be_picked() {
        let ids = |only: &str| -> Vec<String> {
            of_file(MIXED, Some(only)).unwrap().checks.iter().map(|check| check.definition.id.to_string()).collect()
        };
        assert_eq!(ids("probe"), ["probe"]);
        assert_eq!(ids("shop"), ["shop-ipv4", "shop-ipv6"]);
        assert_eq!(ids("shop-ipv6"), ["shop-ipv6"]);
        let unknown = of_file(MIXED, Some("shopp")).unwrap_err();
        assert_eq!(unknown.exit, Exit::NotFound);
        assert!(unknown.to_string().contains("no check \"shopp\"; there are job, probe, shop-ipv4"), "{unknown}");
        let job = of_file(MIXED, Some("job")).unwrap_err();
        assert!(job.to_string().contains("nothing to probe"), "{job}");
        let url = given("https://a/", Some("shop"), &UrlOptions::default()).unwrap_err();
        assert_eq!(url.exit, Exit::Usage);
    }

    #[test]
    fn certificates_a_proxy_and_a_user_go_where_the_kind_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        let pem = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap().cert.pem();
        std::fs::write(&ca, &pem).unwrap();
        let options = UrlOptions {
            ca: Some(ca.clone()),
            server_name: Some("b.example".to_owned()),
            proxy: Some("http://proxy:3128".to_owned()),
            user: Some("me".to_owned()),
            ..UrlOptions::default()
        };
        let json =
            |definition: CheckDefinition| -> Value { serde_json::from_str(&definition.kind.target_json()).unwrap() };
        let secret = "secret:probe-password";
        let expected = json!({
            "url": "https://a/",
            "auth": {"basic": {"user": "me", "password": secret}},
            "proxy": "http://proxy:3128",
            "tls": {"ca": pem, "server_name": "b.example"},
        });
        let web = url_check("https://a/", &options).unwrap();
        assert_eq!(CheckKind::secrets(&web.kind), BTreeSet::from([PASSWORD_SECRET.to_owned()]));
        assert_eq!(json(web), expected);
        let user = UrlOptions { user: Some("me".to_owned()), ..UrlOptions::default() };
        let mail = json(url_check("imaps://a", &user).unwrap());
        assert_eq!(mail["login"], json!({"user": "me", "password": secret}));
        let missing = UrlOptions { ca: Some(dir.path().join("none.pem")), ..UrlOptions::default() };
        for (url, options, why) in [
            ("smtp://a", &user, "login"),
            ("tcp://a:1", &user, "--user says nothing to a check of kind tcp; it is for http, websocket, smtp, imap"),
            ("tls://a", &options, "--proxy says nothing"),
            ("udp://a:1?send_hex=00", &options, "--ca says nothing"),
            ("https://a/", &missing, "--ca: "),
        ] {
            let error = url_check(url, options).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
        }
    }
}

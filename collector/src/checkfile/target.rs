//! The keys of a kind: read by the kind's structure in the model, judged there, and told with their place in the file.

use std::net::IpAddr;
use std::ops::Range;

use sitepulse_model::check::{CheckKind, Family};
use sitepulse_model::vitals::profile::ProfileChoice;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::KEYS;
use super::reader::Reader;
use super::words::{either, nearest};
use crate::book::ObjectKind;

/// What one table asks to probe.
pub(super) enum Targets {
    One(CheckKind),
    /// Over IPv4 and over IPv6.
    Both([(Family, CheckKind); 2]),
}

impl Reader<'_> {
    /// The target of a table whose common keys others read.
    pub(super) fn targets(&mut self, kind: &str, entry: &Range<usize>, table: &DeTable<'_>) -> Option<Targets> {
        let known = CheckKind::keys(kind).unwrap_or_default();
        let both = table.get("family").filter(|family| family.get_ref().as_str() == Some("both")).map(Spanned::span);
        if let Some(span) =
            both.clone().filter(|_| known.contains(&"family") && !CheckKind::BOTH_FAMILIES.contains(&kind))
        {
            let kinds = CheckKind::BOTH_FAMILIES.join(", ");
            let message = format!("family: \"both\" is offered by {kinds}; write any, ipv4 or ipv6");
            self.error(span.start, message);
            return None;
        }
        let mut keys = DeTable::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            // Unknown keys are told elsewhere, all of them.
            let elsewhere = (name == "family" && both.is_some()) || (name == "profile" && kind == "web_vitals");
            if known.contains(&name) && !KEYS.contains(&name) && !elsewhere {
                keys.insert(key.clone(), value.clone());
            }
        }
        let profile = table.get("profile").filter(|_| kind == "web_vitals");
        let profile = profile.map(|value| self.profile_choice(value));
        let reader = toml::de::Deserializer::from(Spanned::new(entry.clone(), keys.clone()));
        let mut target = match CheckKind::deserialize(kind, reader)? {
            Ok(target) => target,
            Err(error) => {
                self.misread(kind, entry, &keys, &error);
                return None;
            }
        };
        let profile = match profile {
            Some(None) => None,
            Some(Some(profile)) => Some(profile),
            None => Some(ProfileChoice::default()),
        };
        if let (CheckKind::WebVitals(target), Some(profile)) = (&mut target, &profile) {
            target.profile.clone_from(profile);
        }
        let faults = target.faults();
        for fault in &faults {
            self.error(place(&keys, &fault.field).unwrap_or(entry.start), fault.to_string());
        }
        if !faults.is_empty() || profile.is_none() {
            return None;
        }
        let Some(span) = both else { return Some(Targets::One(target)) };
        if let Some(address) = target.host().filter(|host| host.parse::<IpAddr>().is_ok()) {
            let message = format!("family: {address} is one address already: leave family out, or write a name");
            self.error(span.start, message);
            return None;
        }
        Some(Targets::Both(target.both_families()))
    }

    /// Tells what the structure could not take, in the words of check files.
    pub(super) fn misread(&mut self, kind: &str, entry: &Range<usize>, keys: &DeTable<'_>, error: &toml::de::Error) {
        let message = error.message();
        let at = error.span().map_or(entry.start, |span| span.start);
        let ticked: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        if message.starts_with("missing field")
            && let Some(key) = ticked.first()
        {
            let (path, at) = if at == entry.start { (String::new(), at) } else { (path_of(keys, at), at) };
            let inside = if path.is_empty() { String::new() } else { format!("{path}: ") };
            self.error(at, format!("{inside}{key:?} is missing: add {key} = {}", sample(kind, key)));
            return;
        }
        let path = path_of(keys, at);
        if kind == "web_vitals"
            && let Some(remedy) = action_remedy(&path, message)
        {
            self.error(at, format!("{path}: {remedy}"));
            return;
        }
        if message.starts_with("unknown field")
            && let Some((unknown, known)) = ticked.split_first()
        {
            let hint = match nearest(unknown, known.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known are {}", known.join(", ")),
            };
            let parent = path.strip_suffix(unknown).map_or(path.as_str(), |parent| parent.trim_end_matches('.'));
            let inside = if parent.is_empty() { String::new() } else { format!(" in {parent}") };
            self.error(at, format!("unknown key {unknown:?}{inside}: {hint}"));
            return;
        }
        if message.starts_with("unknown variant")
            && let Some((unknown, known)) = ticked.split_first()
        {
            let hint = match (nearest(unknown, known.iter().copied()), *unknown) {
                (Some(near), _) if known.len() > 6 => format!("did you mean {near:?}?"),
                (Some(_) | None, _) => format!("use {}", either(known)),
            };
            self.error(at, format!("{path}: {unknown:?} is not known: {hint}"));
            return;
        }
        if let Some((found, expected)) = message.split_once(", expected ")
            && let Some(found) = found.strip_prefix("invalid type: ").or_else(|| found.strip_prefix("invalid value: "))
        {
            let expected = match expected {
                "a string" | "string" => "a text in quotes, and for a time its unit, as in \"10s\"",
                "u8" | "u16" | "u32" => "a whole number, not below 0",
                "i32" => "a whole number",
                "a boolean" => "true or false",
                "a sequence" => "a list",
                "a map" => "a table",
                other => other,
            };
            self.error(at, format!("{path}: found {}, write {expected}", found.replace('`', "")));
            return;
        }
        let inside = if path.is_empty() { String::new() } else { format!("{path}: ") };
        if let Some((found, expected)) =
            message.strip_prefix("invalid length ").and_then(|rest| rest.split_once(", expected an array of length "))
        {
            self.error(at, format!("{inside}write {expected} values, not {found}"));
            return;
        }
        self.error(at, format!("{inside}{message}"));
    }
}

/// How an action on a page is written, where it is not written that way.
fn action_remedy(path: &str, message: &str) -> Option<&'static str> {
    let consent = path == "consent";
    if !consent && !path.starts_with("interact[") && !path.starts_with("consent.") {
        return None;
    }
    if path.ends_with(".type") || path.contains(".type[") {
        return Some("write a selector and a text, as in type = [\"#search\", \"shoes\"]");
    }
    if consent {
        return Some("write what to click, as in consent = { click = \"#accept\" }");
    }
    let one_action =
        message.starts_with("wanted exactly 1 element") || message.starts_with("invalid type: unit variant");
    one_action.then_some("write one action and what it acts on, as in { click = \"#menu\" }")
}

/// What to write for a missing key.
fn sample(kind: &str, key: &str) -> &'static str {
    if let Some(object) = ObjectKind::ALL.iter().find(|object| object.table() == kind) {
        return object.sample(key);
    }
    match (kind, key) {
        ("websocket", "url") => "\"wss://shop.example/socket\"",
        ("grpc", "url") => "\"https://shop.example:443\"",
        (_, "url") => "\"https://shop.example/\"",
        (_, "address") => "\"shop.example:443\"",
        (_, "name" | "host") if kind != "flow" => "\"shop.example\"",
        (_, "domain") => "\"shop.example\"",
        (_, "name") => "\"log in\"",
        (_, "steps") => "[{ name = \"front page\", url = \"https://shop.example/\" }]",
        (_, "grace") => "\"10m\"",
        (_, "password") => "\"secret:NAME\"",
        _ => "...",
    }
}

/// Where a field like `steps[1].headers.x-token` stands: the deepest part of it that is written.
pub(super) fn place(keys: &DeTable<'_>, field: &str) -> Option<usize> {
    let (value, mut rest) = step_into(keys, field)?;
    let mut at = value;
    while !rest.is_empty() {
        let next = match at.get_ref() {
            DeValue::Table(table) => step_into(table, rest.strip_prefix('.').unwrap_or(rest)),
            DeValue::Array(array) => rest.strip_prefix('[').and_then(|inside| {
                let (index, after) = inside.split_once(']')?;
                Some((array.get(index.parse::<usize>().ok()?)?, after))
            }),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => None,
        };
        let Some((value, after)) = next else { break };
        (at, rest) = (value, after);
    }
    Some(at.span().start)
}

/// The value of the key that a field begins with, and the rest of the field. Keys may hold dots themselves: the longest counts.
fn step_into<'t, 'i, 'f>(table: &'t DeTable<'i>, field: &'f str) -> Option<(&'t Spanned<DeValue<'i>>, &'f str)> {
    let begins = |key: &str| field.strip_prefix(key).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    table
        .iter()
        .filter_map(|(key, value)| begins(key.get_ref()).map(|rest| (value, rest)))
        .min_by_key(|(_, rest)| rest.len())
}

/// What stands at a place, as a field: the reverse of [`place`]. The span of a table under a header of its own is the header alone,
/// so what is inside is looked through as well.
fn path_of(keys: &DeTable<'_>, at: usize) -> String {
    for (key, value) in keys {
        if key.span().contains(&at) {
            return key.get_ref().to_string();
        }
        let inside = path_inside(value, at);
        if !inside.is_empty() || value.span().contains(&at) {
            return joined(key.get_ref(), &inside);
        }
    }
    String::new()
}

fn path_inside(value: &Spanned<DeValue<'_>>, at: usize) -> String {
    match value.get_ref() {
        DeValue::Table(table) => path_of(table, at),
        DeValue::Array(array) => {
            for (index, value) in array.iter().enumerate() {
                let inside = path_inside(value, at);
                if !inside.is_empty() || value.span().contains(&at) {
                    return joined(&format!("[{index}]"), &inside);
                }
            }
            String::new()
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            String::new()
        }
    }
}

fn joined(outer: &str, inside: &str) -> String {
    let dot = if inside.is_empty() || inside.starts_with('[') { "" } else { "." };
    format!("{outer}{dot}{inside}")
}

//! Checks as code: TOML files of `[[check]]` tables become [`CheckDefinition`]s, or one list of everything that is wrong.
//!
//! Every error names `file:line:column`, the check and the remedy, and all errors of all files are told at once. Unknown keys are
//! errors. The format is described in `docs/checks.md`, whose samples a test parses.
//!
//! Limits: [`FILE_BYTES_MAX`] a file, [`CHECKS_MAX`] checks in one call, [`URL_BYTES_MAX`] a URL.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use sitepulse_model::check::{
    CheckDefinition, CheckKind, EXPECTATIONS_MAX, INTERVAL_US_MAX, INTERVAL_US_MIN, TIMEOUT_US_MAX, TIMEOUT_US_MIN,
};
use sitepulse_model::control::Weight;
use sitepulse_model::duration;
use sitepulse_model::expect::Expectation;
use sitepulse_model::id::{CheckId, Region};
use sitepulse_model::quorum::Quorum;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Largest check file, in bytes.
pub const FILE_BYTES_MAX: usize = 8 << 20;
/// Most checks in one call.
pub const CHECKS_MAX: usize = 20_000;
/// Longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 2048;
/// Time between runs when a check does not say: 60 s.
pub const INTERVAL_US_DEFAULT: u64 = 60_000_000;
/// A run's deadline when a check does not say: 10 s.
pub const TIMEOUT_US_DEFAULT: u64 = 10_000_000;
/// Confirmations when a check does not say.
pub const CONFIRMATIONS_DEFAULT: u32 = 2;
/// Recoveries when a check does not say.
pub const RECOVERIES_DEFAULT: u32 = 1;
/// Most confirmations or recoveries.
pub const STREAK_MAX: u32 = 100;

/// The keys of a `[[check]]`, in the order they are documented.
pub const KEYS: [&str; 11] = [
    "id",
    "kind",
    "url",
    "interval",
    "timeout",
    "weight",
    "regions",
    "quorum",
    "confirmations",
    "recoveries",
    "expect",
];

/// A check file: its name as people know it, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Names the file in errors.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// One thing that is wrong in a check file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFileError {
    /// The file's name.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The check's id, where it is known.
    pub check: Option<String>,
    /// What is wrong, and the remedy.
    pub message: String,
}

impl fmt::Display for CheckFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if let Some(check) = &self.check {
            write!(f, "check {check:?}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong in some check files, in the order of the files; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFileErrors(pub Vec<CheckFileError>);

impl fmt::Display for CheckFileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for CheckFileErrors {}

/// Parses check files together: ids must be unique across all of them. Definitions come in the order they are written.
///
/// # Errors
/// Everything that is wrong, at once; then no definition is returned.
pub fn parse(sources: &[Source]) -> Result<Vec<CheckDefinition>, CheckFileErrors> {
    let mut definitions = Vec::new();
    let mut errors = Vec::new();
    let mut seen: BTreeMap<CheckId, String> = BTreeMap::new();
    for source in sources {
        let mut reader = Reader { source, check: None, errors: Vec::new() };
        reader.file(&mut seen, &mut definitions);
        let mut of_file = reader.errors;
        of_file.sort_by_key(|error| (error.line, error.column));
        errors.append(&mut of_file);
    }
    if errors.is_empty() && definitions.len() > CHECKS_MAX {
        errors.push(CheckFileError {
            file: sources.first().map(|source| source.name.clone()).unwrap_or_default(),
            line: 1,
            column: 1,
            check: None,
            message: format!("{} checks are more than the {CHECKS_MAX} that one collector takes", definitions.len()),
        });
    }
    if errors.is_empty() { Ok(definitions) } else { Err(CheckFileErrors(errors)) }
}

struct Reader<'a> {
    source: &'a Source,
    check: Option<String>,
    errors: Vec<CheckFileError>,
}

impl Reader<'_> {
    fn error(&mut self, at: usize, message: impl Into<String>) {
        let text = &self.source.text;
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.errors.push(CheckFileError {
            file: self.source.name.clone(),
            line,
            column,
            check: self.check.clone(),
            message: message.into(),
        });
    }

    fn file(&mut self, seen: &mut BTreeMap<CheckId, String>, definitions: &mut Vec<CheckDefinition>) {
        if self.source.text.len() > FILE_BYTES_MAX {
            self.error(0, format!("the file has more than {FILE_BYTES_MAX} bytes: split it"));
            return;
        }
        let text = self.source.text.clone();
        let (document, faults) = DeTable::parse_recoverable(&text);
        for fault in &faults {
            let at = fault.span().map_or(0, |span| span.start);
            self.error(at, format!("not valid TOML: {}", fault.message()));
        }
        if !faults.is_empty() {
            return;
        }
        for (key, value) in document.get_ref() {
            if key.get_ref() != "check" {
                self.error(
                    key.span().start,
                    format!("unknown key {:?}: a check file holds [[check]] tables only", key.get_ref()),
                );
                continue;
            }
            let DeValue::Array(entries) = value.get_ref() else {
                self.error(
                    key.span().start,
                    "\"check\" is one table: write [[check]] with two brackets, once for each check",
                );
                continue;
            };
            for entry in entries.iter() {
                self.check = None;
                if let DeValue::Table(table) = entry.get_ref() {
                    self.entry(&entry.span(), table, seen, definitions);
                } else {
                    self.error(entry.span().start, format!("a check is a table, not {}", a_type(entry.get_ref())));
                }
                self.check = None;
            }
        }
    }

    fn entry(
        &mut self,
        span: &Range<usize>,
        table: &DeTable<'_>,
        seen: &mut BTreeMap<CheckId, String>,
        definitions: &mut Vec<CheckDefinition>,
    ) {
        let errors_before = self.errors.len();
        let fields: BTreeMap<&str, &Spanned<DeValue<'_>>> =
            table.iter().map(|(key, value)| (key.get_ref().as_ref(), value)).collect();
        if let Some(DeValue::String(id)) = fields.get("id").map(|value| value.get_ref()) {
            self.check = Some(id.to_string());
        }
        for key in table.keys() {
            if !KEYS.contains(&key.get_ref().as_ref()) {
                let hint = nearest(key.get_ref())
                    .map_or_else(|| format!("known are {}", KEYS.join(", ")), |near| format!("did you mean {near:?}?"));
                self.error(key.span().start, format!("unknown key {:?}: {hint}", key.get_ref()));
            }
        }
        let id = self.required(span, &fields, "id", "\"shop\"").and_then(|value| self.id(value, seen));
        let kind = self.kind(span, &fields);
        let interval_us = fields.get("interval").map_or(Some(INTERVAL_US_DEFAULT), |value| {
            self.duration(value, "interval", INTERVAL_US_MIN, INTERVAL_US_MAX)
        });
        let timeout_us = fields
            .get("timeout")
            .map_or(Some(TIMEOUT_US_DEFAULT), |value| self.duration(value, "timeout", TIMEOUT_US_MIN, TIMEOUT_US_MAX));
        let weight = fields.get("weight").map_or(Some(Weight::ONE), |value| self.weight(value));
        let regions = match fields.get("regions") {
            None => Some(None),
            Some(value) => self.regions(value).map(Some),
        };
        let quorum = fields.get("quorum").map_or(Some(Quorum::Majority), |value| self.quorum(value));
        let confirmations = fields
            .get("confirmations")
            .map_or(Some(CONFIRMATIONS_DEFAULT), |value| self.streak(value, "confirmations"));
        let recoveries =
            fields.get("recoveries").map_or(Some(RECOVERIES_DEFAULT), |value| self.streak(value, "recoveries"));
        let expect = fields.get("expect").map_or(Some(Vec::new()), |value| self.expect(value));
        if self.errors.len() > errors_before {
            return;
        }
        let (
            Some(id),
            Some(kind),
            Some(interval_us),
            Some(timeout_us),
            Some(weight),
            Some(regions),
            Some(quorum),
            Some(confirmations),
            Some(recoveries),
            Some(expect),
        ) = (id, kind, interval_us, timeout_us, weight, regions, quorum, confirmations, recoveries, expect)
        else {
            return;
        };
        definitions.push(CheckDefinition {
            id,
            kind,
            interval_us,
            timeout_us,
            retries: 0,
            weight,
            regions,
            quorum,
            confirmations,
            recoveries,
            expect,
        });
    }

    fn required<'t, 'i>(
        &mut self,
        entry: &Range<usize>,
        fields: &BTreeMap<&str, &'t Spanned<DeValue<'i>>>,
        key: &str,
        sample: &str,
    ) -> Option<&'t Spanned<DeValue<'i>>> {
        let value = fields.get(key).copied();
        if value.is_none() {
            self.error(entry.start, format!("{key:?} is missing: add {key} = {sample}"));
        }
        value
    }

    fn text<'t>(&mut self, value: &'t Spanned<DeValue<'_>>, key: &str, sample: &str) -> Option<&'t str> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(text);
        }
        let found = a_type(value.get_ref());
        self.error(value.span().start, format!("{key} is {found}: write a text, like {sample}"));
        None
    }

    fn id(&mut self, value: &Spanned<DeValue<'_>>, seen: &mut BTreeMap<CheckId, String>) -> Option<CheckId> {
        let text = self.text(value, "id", "\"shop\"")?;
        let id = match CheckId::parse(text) {
            Ok(id) => id,
            Err(error) => {
                self.error(value.span().start, error.to_string());
                return None;
            }
        };
        let line = self.source.text[..value.span().start].matches('\n').count() + 1;
        if let Some(place) = seen.get(&id) {
            let message = format!("the id is already used at {place}: give each check an id of its own");
            self.error(value.span().start, message);
            return None;
        }
        seen.insert(id.clone(), format!("{}:{line}", self.source.name));
        Some(id)
    }

    fn kind(&mut self, entry: &Range<usize>, fields: &BTreeMap<&str, &Spanned<DeValue<'_>>>) -> Option<CheckKind> {
        let kind = self.required(entry, fields, "kind", "\"http\"").and_then(|value| {
            let text = self.text(value, "kind", "\"http\"")?;
            if text == "http" {
                return Some(());
            }
            self.error(value.span().start, format!("unknown kind {text:?}: this build knows \"http\""));
            None
        });
        let url = self.required(entry, fields, "url", "\"https://shop.example/\"").and_then(|value| {
            let text = self.text(value, "url", "\"https://shop.example/\"")?;
            match valid_url(text) {
                Ok(()) => Some(text.to_string()),
                Err(message) => {
                    self.error(value.span().start, message);
                    None
                }
            }
        });
        kind?;
        Some(CheckKind::http(url?))
    }

    fn duration(&mut self, value: &Spanned<DeValue<'_>>, key: &str, min: u64, max: u64) -> Option<u64> {
        if let DeValue::Integer(number) = value.get_ref() {
            self.error(value.span().start, format!("{key} has no unit: write a text, like {key} = \"{number}s\""));
            return None;
        }
        let text = self.text(value, key, "\"30s\"")?;
        match duration::parse(text) {
            Ok(us) if us < min || us > max => {
                self.error(
                    value.span().start,
                    format!("{key} is {text}: allowed are {} to {}", duration::format(min), duration::format(max)),
                );
                None
            }
            Ok(us) if !us.is_multiple_of(1000) => {
                self.error(value.span().start, format!("{key} is {text}: use whole milliseconds"));
                None
            }
            Ok(us) => Some(us),
            Err(error) => {
                self.error(value.span().start, format!("{key}: {error}"));
                None
            }
        }
    }

    fn weight(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Weight> {
        let text = if let DeValue::Integer(number) = value.get_ref() {
            number.to_string()
        } else if let DeValue::Float(number) = value.get_ref() {
            number.to_string()
        } else {
            let found = a_type(value.get_ref());
            self.error(value.span().start, format!("weight is {found}: write a number, like 2 or 0.5"));
            return None;
        };
        match Weight::parse(text.strip_prefix('+').unwrap_or(&text)) {
            Ok(weight) => Some(weight),
            Err(_) => {
                self.error(
                    value.span().start,
                    format!("weight is {text}: write a number from 0 to 1000 with at most three decimals"),
                );
                None
            }
        }
    }

    fn regions(&mut self, value: &Spanned<DeValue<'_>>) -> Option<BTreeSet<Region>> {
        let DeValue::Array(entries) = value.get_ref() else {
            let found = a_type(value.get_ref());
            self.error(
                value.span().start,
                format!("regions is {found}: write a list, like [\"eu-west\", \"us-east\"]"),
            );
            return None;
        };
        if entries.is_empty() {
            self.error(
                value.span().start,
                "regions is empty, so nobody would run the check: name a region, or leave the key out for every region",
            );
            return None;
        }
        let mut regions = BTreeSet::new();
        let mut good = true;
        for entry in entries.iter() {
            let region = self.text(entry, "a region", "\"eu-west\"").map(Region::parse);
            match region {
                None => good = false,
                Some(Err(error)) => {
                    self.error(entry.span().start, error.to_string());
                    good = false;
                }
                Some(Ok(region)) => {
                    if !regions.insert(region.clone()) {
                        self.error(entry.span().start, format!("region \"{region}\" is named twice: once is enough"));
                        good = false;
                    }
                }
            }
        }
        good.then_some(regions)
    }

    fn quorum(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Quorum> {
        let text = self.text(value, "quorum", "\"majority\"")?;
        match Quorum::parse(text) {
            Ok(quorum) => Some(quorum),
            Err(error) => {
                self.error(value.span().start, error.to_string());
                None
            }
        }
    }

    fn streak(&mut self, value: &Spanned<DeValue<'_>>, key: &str) -> Option<u32> {
        let DeValue::Integer(number) = value.get_ref() else {
            let found = a_type(value.get_ref());
            self.error(value.span().start, format!("{key} is {found}: write a whole number from 1 to {STREAK_MAX}"));
            return None;
        };
        match i64::from_str_radix(number.as_str(), number.radix()).ok().and_then(|n| u32::try_from(n).ok()) {
            Some(n) if (1..=STREAK_MAX).contains(&n) => Some(n),
            Some(_) | None => {
                self.error(
                    value.span().start,
                    format!("{key} is {number}: write a whole number from 1 to {STREAK_MAX}"),
                );
                None
            }
        }
    }

    fn expect(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Vec<Expectation>> {
        let DeValue::Array(entries) = value.get_ref() else {
            let found = a_type(value.get_ref());
            self.error(value.span().start, format!("expect is {found}: write a list, like [\"status in 200..399\"]"));
            return None;
        };
        if entries.len() > EXPECTATIONS_MAX {
            self.error(
                value.span().start,
                format!("expect has {} assertions: at most {EXPECTATIONS_MAX} are allowed", entries.len()),
            );
            return None;
        }
        let mut expectations = Vec::with_capacity(entries.len());
        for entry in entries.iter() {
            let Some(text) = self.text(entry, "an assertion", "\"status in 200..399\"") else { continue };
            match Expectation::parse(text, "http") {
                Ok(expectation) => expectations.push(expectation),
                Err(error) => {
                    let (at, exact) = self.inside(entry, text, error.column);
                    let place =
                        if exact { String::new() } else { format!(" (at column {} of the assertion)", error.column) };
                    self.error(at, format!("assertion {text:?}: {}{place}", error.message));
                }
            }
        }
        Some(expectations)
    }

    /// Where column `column` (from 1, in characters) of a string value lies in the file; exact unless the string has escapes.
    fn inside(&self, value: &Spanned<DeValue<'_>>, text: &str, column: usize) -> (usize, bool) {
        let span = value.span();
        let raw = self.source.text.get(span.clone()).unwrap_or_default();
        match raw.find(text) {
            Some(start) if !text.is_empty() => {
                let offset = text.char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
                (span.start + start + offset, true)
            }
            Some(_) | None => (span.start, false),
        }
    }
}

/// Whether `text` is a URL that an http check may probe.
fn valid_url(text: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("url {:?}: {why}", shorten(text)));
    if text.len() > URL_BYTES_MAX {
        return refuse(&format!("it has {} bytes, at most {URL_BYTES_MAX} are allowed", text.len()));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return refuse("it holds a space or a control character: write them as %20 and the like");
    }
    if !text.is_ascii() {
        return refuse("it holds a character outside ASCII: write hosts as xn--..., paths as %C3%A9 and the like");
    }
    let lower = text.to_ascii_lowercase();
    let Some(rest) = ["http://", "https://"].iter().find_map(|scheme| lower.strip_prefix(scheme)) else {
        return refuse("it must start with http:// or https://");
    };
    if text.contains('#') {
        return refuse("a fragment (#...) never reaches a server: leave it out");
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return refuse("a user or password in the URL would be shown to everybody: leave it out");
    }
    let host = authority.rsplit_once(':').map_or(authority, |(host, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { authority }
    });
    if host.is_empty() {
        return refuse("it names no host");
    }
    let Ok(uri) = text.parse::<axum::http::Uri>() else {
        return refuse("it is not a valid URL");
    };
    let Some(authority) = uri.authority() else {
        return refuse("it names no host");
    };
    if authority.as_str().len() > authority.host().len() && !matches!(authority.port_u16(), Some(1..)) {
        return refuse("its port is not a number from 1 to 65535");
    }
    Ok(())
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 80 { text.to_string() } else { text.chars().take(77).chain("...".chars()).collect() }
}

fn a_type(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The known key that a mistyped one most likely means.
fn nearest(key: &str) -> Option<&'static str> {
    KEYS.into_iter()
        .map(|known| (distance(key, known), known))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, known)| known)
}

/// Edits (insert, delete, replace) between two short texts.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(32).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Vec<CheckDefinition>, CheckFileErrors> {
        parse(&[Source { name: "checks.toml".into(), text: text.into() }])
    }

    fn texts(text: &str) -> Vec<String> {
        one(text).unwrap_err().0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_full_sample_parses() {
        let checks = one(r#"
[[check]]
id = "shop"
kind = "http"
url = "https://shop.example/"
interval = "30s"
timeout = "10s"
weight = 2
regions = ["eu-west", "us-east"]
quorum = "majority"
confirmations = 2
recoveries = 3
expect = ["status in 200..399", "body contains 'Welcome'", "latency < 2s", "degraded if latency > 800ms"]
"#)
        .unwrap();
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].interval_us, 30_000_000);
        assert_eq!(checks[0].weight, Weight(2000));
        assert_eq!(checks[0].recoveries, 3);
        assert_eq!(checks[0].expect.len(), 4);
        assert_eq!(checks[0].regions.as_ref().unwrap().len(), 2);
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let checks = one("[[check]]\nid = \"a\"\nkind = \"http\"\nurl = \"http://[::1]:8080/x?y=1\"\n").unwrap();
        assert_eq!(
            checks[0],
            CheckDefinition {
                id: CheckId::parse("a").unwrap(),
                kind: CheckKind::http("http://[::1]:8080/x?y=1"),
                interval_us: 60_000_000,
                timeout_us: 10_000_000,
                retries: 0,
                weight: Weight::ONE,
                regions: None,
                quorum: Quorum::Majority,
                confirmations: 2,
                recoveries: 1,
                expect: Vec::new(),
            }
        );
    }

    #[test]
    fn all_errors_are_told_at_once_with_place_and_remedy() {
        let found = texts(
            r#"
title = "x"
[[check]]
id = "shop"
kind = "htp"
url = "ftp://shop.example/"
intervall = "30s"
timeout = 10
weight = -1
regions = ["EU"]
confirmations = 0
[[check]]
id = "shop"
kind = "http"
url = "https://u:p@shop.example/"
interval = "10ms"
[[check]]
id = 7
kind = "http"
weight = "2"
regions = []
quorum = true
expect = "status in 200..399"
"#,
        );
        assert_eq!(
            found,
            [
                r#"checks.toml:2:1: unknown key "title": a check file holds [[check]] tables only"#,
                r#"checks.toml:5:8: check "shop": unknown kind "htp": this build knows "http""#,
                r#"checks.toml:6:7: check "shop": url "ftp://shop.example/": it must start with http:// or https://"#,
                r#"checks.toml:7:1: check "shop": unknown key "intervall": did you mean "interval"?"#,
                r#"checks.toml:8:11: check "shop": timeout has no unit: write a text, like timeout = "10s""#,
                r#"checks.toml:9:10: check "shop": weight is -1: write a number from 0 to 1000 with at most three decimals"#,
                r#"checks.toml:10:12: check "shop": region "EU" is not a slug: use 1 to 64 of a-z, 0-9, '-', '_' and '.', starting with a letter or digit"#,
                r#"checks.toml:11:17: check "shop": confirmations is 0: write a whole number from 1 to 100"#,
                r#"checks.toml:13:6: check "shop": the id is already used at checks.toml:4: give each check an id of its own"#,
                r#"checks.toml:15:7: check "shop": url "https://u:p@shop.example/": a user or password in the URL would be shown to everybody: leave it out"#,
                r#"checks.toml:16:12: check "shop": interval is 10ms: allowed are 1s to 7d"#,
                r#"checks.toml:17:1: "url" is missing: add url = "https://shop.example/""#,
                r#"checks.toml:18:6: id is a whole number: write a text, like "shop""#,
                r#"checks.toml:20:10: weight is a text: write a number, like 2 or 0.5"#,
                r#"checks.toml:21:11: regions is empty, so nobody would run the check: name a region, or leave the key out for every region"#,
                r#"checks.toml:22:10: quorum is true or false: write a text, like "majority""#,
                r#"checks.toml:23:10: expect is a text: write a list, like ["status in 200..399"]"#,
            ]
        );
    }

    #[test]
    fn a_bad_assertion_points_at_its_column_in_the_file() {
        let error = one("[[check]]\nid = \"a\"\nkind = \"http\"\nurl = \"http://a/\"\nexpect = [\"status in 200..399\", \"latency << 2s\"]\n")
            .unwrap_err();
        assert_eq!(error.0.len(), 1);
        assert_eq!((error.0[0].line, error.0[0].column >= 34), (5, true), "{error}");
    }

    #[test]
    fn duplicates_are_found_across_files() {
        let text = "[[check]]\nid = \"a\"\nkind = \"http\"\nurl = \"http://a/\"\n";
        let sources = ["x.toml", "y.toml"].map(|name| Source { name: name.into(), text: text.into() });
        assert_eq!(
            parse(&sources).unwrap_err().to_string(),
            r#"y.toml:2:6: check "a": the id is already used at x.toml:2: give each check an id of its own"#
        );
    }

    #[test]
    fn malformed_toml_names_the_place() {
        let found = texts("[[check]]\nid = \"a\nkind = 1\n");
        assert!(found[0].starts_with("checks.toml:2:"), "{found:?}");
        assert!(found[0].contains("not valid TOML"), "{found:?}");
        assert!(texts("[check]\nid = \"a\"\n")[0].contains("two brackets"));
    }

    #[test]
    fn urls_that_hurt_are_refused() {
        for bad in [
            "http://",
            "https:///x",
            "http://:80/",
            "http://a:0/",
            "http://a:99999/",
            "http://a:x/",
            "javascript:alert(1)",
            "http://a/#x",
            "http://a b/",
            "http://é/",
            "http://a@b/",
            "//a",
            "",
        ] {
            assert!(valid_url(bad).is_err(), "{bad:?}");
        }
        for good in ["http://a", "HTTPS://A.example:8443/p?q=a:b@c", "http://[::1]/", "http://127.0.0.1:1/"] {
            assert_eq!(valid_url(good), Ok(()), "{good:?}");
        }
        assert!(valid_url(&format!("http://a/{}", "x".repeat(2048))).is_err());
    }
}

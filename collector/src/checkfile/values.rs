//! The values of the common keys.

use std::collections::BTreeSet;
use std::fmt::Display;

use sitepulse_model::check::{EXPECTATIONS_MAX, RETRIES_MAX};
use sitepulse_model::control::Weight;
use sitepulse_model::duration;
use sitepulse_model::expect::Expectation;
use sitepulse_model::id::{CheckId, Group, ObjectId, Provider, Region, Tag};
use sitepulse_model::incident::CheckClass;
use sitepulse_model::quorum::Quorum;
use toml::Spanned;
use toml::de::DeValue;

use super::reader::Reader;
use super::words::a_type;
use super::{PROVIDERS_MAX, STREAK_MAX, TAGS_MAX};

impl Reader<'_> {
    pub(super) fn duration(&mut self, value: &Spanned<DeValue<'_>>, key: &str, min: u64, max: u64) -> Option<u64> {
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

    pub(super) fn weight(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Weight> {
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

    pub(super) fn regions(&mut self, value: &Spanned<DeValue<'_>>) -> Option<BTreeSet<Region>> {
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

    pub(super) fn group(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Group> {
        let group = Group::parse(self.text(value, "group", "\"shop\"")?);
        if let Err(error) = &group {
            self.error(value.span().start, error.to_string());
        }
        group.ok()
    }

    pub(super) fn class(&mut self, value: &Spanned<DeValue<'_>>) -> Option<CheckClass> {
        let text = self.text(value, "class", "\"critical\"")?;
        let class = CheckClass::parse(text);
        if class.is_none() {
            let known: Vec<&str> = CheckClass::ALL.iter().map(|class| class.as_str()).collect();
            self.error(value.span().start, format!("class {text:?} is unknown: write one of {}", known.join(", ")));
        }
        class
    }

    pub(super) fn escalation(&mut self, value: &Spanned<DeValue<'_>>) -> Option<ObjectId> {
        let policy = ObjectId::parse(self.text(value, "escalation", "\"default\"")?);
        if let Err(error) = &policy {
            self.error(value.span().start, error.to_string());
        }
        policy.ok()
    }

    pub(super) fn parents(&mut self, value: &Spanned<DeValue<'_>>) -> Option<BTreeSet<CheckId>> {
        let DeValue::Array(entries) = value.get_ref() else {
            let found = a_type(value.get_ref());
            self.error(value.span().start, format!("parents is {found}: write a list of checks, like [\"gateway\"]"));
            return None;
        };
        let mut parents = BTreeSet::new();
        for entry in entries.iter() {
            let parent = CheckId::parse(self.text(entry, "a parent", "\"gateway\"")?);
            match parent {
                Ok(parent) => drop(parents.insert(parent)),
                Err(error) => {
                    self.error(entry.span().start, error.to_string());
                    return None;
                }
            }
        }
        Some(parents)
    }

    pub(super) fn tags(&mut self, value: &Spanned<DeValue<'_>>) -> Option<BTreeSet<Tag>> {
        let example = "[\"checkout\", \"eu\"]";
        self.words(value, ("tags", "tag"), example, TAGS_MAX, Tag::parse)
    }

    pub(super) fn providers(&mut self, value: &Spanned<DeValue<'_>>) -> Option<BTreeSet<Provider>> {
        let example = "[\"ovh\"]";
        self.words(value, ("providers", "provider"), example, PROVIDERS_MAX, Provider::parse)
    }

    /// A list of slugs, each once.
    fn words<T: Ord + Clone + Display, E: Display>(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        (key, one): (&str, &str),
        example: &str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<BTreeSet<T>> {
        let DeValue::Array(entries) = value.get_ref() else {
            let found = a_type(value.get_ref());
            self.error(value.span().start, format!("{key} is {found}: write a list, like {example}"));
            return None;
        };
        if entries.len() > most {
            let count = entries.len();
            self.error(value.span().start, format!("{key} has {count} entries: at most {most} are allowed"));
            return None;
        }
        let mut words = BTreeSet::new();
        let mut good = true;
        for entry in entries.iter() {
            let fault = match self.text(entry, &format!("a {one}"), "\"checkout\"").map(&parse) {
                None => {
                    good = false;
                    continue;
                }
                Some(Err(error)) => error.to_string(),
                Some(Ok(word)) => {
                    if words.insert(word.clone()) {
                        continue;
                    }
                    format!("{one} \"{word}\" is named twice: once is enough")
                }
            };
            self.error(entry.span().start, fault);
            good = false;
        }
        good.then_some(words)
    }

    pub(super) fn quorum(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Quorum> {
        let text = self.text(value, "quorum", "\"majority\"")?;
        match Quorum::parse(text) {
            Ok(quorum) => Some(quorum),
            Err(error) => {
                self.error(value.span().start, error.to_string());
                None
            }
        }
    }

    pub(super) fn streak(&mut self, value: &Spanned<DeValue<'_>>, key: &str) -> Option<u32> {
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

    pub(super) fn retries(&mut self, value: &Spanned<DeValue<'_>>) -> Option<u8> {
        let number = if let DeValue::Integer(number) = value.get_ref() {
            u8::from_str_radix(number.as_str(), number.radix()).ok()
        } else {
            None
        };
        let retries = number.filter(|number| *number <= RETRIES_MAX);
        if retries.is_none() {
            self.error(value.span().start, format!("retries: write a whole number from 0 to {RETRIES_MAX}"));
        }
        retries
    }

    pub(super) fn expect(&mut self, kind: &str, value: &Spanned<DeValue<'_>>) -> Option<Vec<Expectation>> {
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
            match Expectation::parse(text, kind) {
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
    pub(super) fn inside(&self, value: &Spanned<DeValue<'_>>, text: &str, column: usize) -> (usize, bool) {
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

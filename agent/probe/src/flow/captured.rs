//! Captured values in what is told of a run: tokens of sessions and the like, which results would keep for years.

use std::collections::BTreeMap;

use sitepulse_model::record::{FACT_BYTES_MAX, Fact, FactKey, FactValue, Facts};

use super::template;
use crate::http::Url;

/// Shorter values, in characters, stay: they are no secrets, and their like stands everywhere.
const HIDDEN_CHARS_MIN: usize = 6;
/// The beginning of a longer value, in characters, that is taken for the value: explanations cut what they quote.
const TOLD_CHARS_MIN: usize = 16;

/// Puts `{{name}}` in the place of every captured value in `text`, be it as it came or as a URL holds it.
pub(crate) fn redact(captured: &BTreeMap<String, String>, text: &str) -> String {
    redact_cut(captured, text, false)
}

/// As [`redact`], in those texts of a run that tell where it went.
pub(crate) fn redact_facts(captured: &BTreeMap<String, String>, facts: &mut Facts) {
    if captured.is_empty() {
        return;
    }
    for Fact { key, value } in std::mem::take(&mut facts.more) {
        match value {
            FactValue::Number(number) => facts.number(key, number),
            FactValue::Text(text) if [FactKey::Hop, FactKey::FinalUrl, FactKey::Step].contains(&key) => {
                // Noting may have cut a value that was captured only then.
                let is_cut = text.len() + char::MAX.len_utf8() > FACT_BYTES_MAX;
                facts.text(key, &redact_cut(captured, &text, is_cut));
            }
            FactValue::Text(text) => facts.text(key, &text),
        }
    }
}

fn redact_cut(captured: &BTreeMap<String, String>, text: &str, is_cut: bool) -> String {
    let mut forms = Vec::new();
    for (name, value) in captured {
        let as_path = place(value);
        // The beginning of a path or a URL is that of others too.
        let told = if as_path.is_some() { usize::MAX } else { TOLD_CHARS_MIN };
        let same = [Some(value.clone()), Some(template::encode(value)), as_path];
        forms.extend(same.into_iter().flatten().map(|form| (form, name, told)));
    }
    // A value may hold another one.
    forms.sort_by_key(|(form, ..)| std::cmp::Reverse(form.len()));
    let mut out = text.to_owned();
    forms.retain(|(form, ..)| form.chars().count() >= HIDDEN_CHARS_MIN);
    // Whole ones first: the forms of a value begin alike.
    for (form, name, _) in &forms {
        out = out.replace(form.as_str(), &format!("{{{{{name}}}}}"));
    }
    for (form, name, told) in &forms {
        let mark = format!("{{{{{name}}}}}");
        out = without(&out, form, *told, &mark);
        if is_cut && let Some(at) = cut_at(&out, form) {
            out.replace_range(at.., &mark);
        }
    }
    out
}

/// `text` with `mark` in the place of each `value`, and of each of its beginnings of at least `told` characters.
fn without(text: &str, value: &str, told: usize, mark: &str) -> String {
    let beginning = value.char_indices().nth(told).map_or(value, |(at, _)| &value[..at]);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.find(beginning).map(|at| rest.split_at(at)) {
        let same = from.chars().zip(value.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
        out.push_str(before);
        out.push_str(mark);
        rest = from.split_at(same).1;
    }
    out.push_str(rest);
    out
}

/// Where `text` ends with a beginning of `value`.
fn cut_at(text: &str, value: &str) -> Option<usize> {
    let ends = text.char_indices().map(|(at, _)| at).find(|at| value.starts_with(&text[*at..]))?;
    (text[ends..].chars().count() >= HIDDEN_CHARS_MIN).then_some(ends)
}

/// A value that leads somewhere, as the URL made of it holds it: see [`template::UrlTemplate`].
fn place(value: &str) -> Option<String> {
    if value.starts_with('/') {
        let url = Url::parse("http://host.invalid/").ok()?.join(value).ok()?;
        return Some(url.origin_form().to_string());
    }
    Url::parse(value).ok().map(|url| url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured() -> BTreeMap<String, String> {
        [
            ("id", "12345"),
            ("token", "eyJhbGciOiJIUzI1NiJ9.e30.x/y z"),
            ("short", "s3cr3t"),
            ("next", "/orders/7?of=Jürgen"),
            ("away", "https://shop.example/orders/8"),
            ("both", "s3cr3t-more"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    #[test]
    fn values_are_taken_out_as_they_came_and_as_urls_hold_them() {
        for (text, told) in [
            ("nothing of it", "nothing of it"),
            ("short ones stay: 12345", "short ones stay: 12345"),
            ("body is 's3cr3t' s3cr3ts3cr3t", "body is '{{short}}' {{short}}{{short}}"),
            ("s3cr3t-more holds another", "{{both}} holds another"),
            ("got eyJhbGciOiJIUzI1NiJ9.e30.x/y z", "got {{token}}"),
            ("302 http://a.example/?t=eyJhbGciOiJIUzI1NiJ9.e30.x%2Fy%20z&u", "302 http://a.example/?t={{token}}&u"),
            ("a quote that was cut: 'eyJhbGciOiJIUzI1NiJ9.e…'", "a quote that was cut: '{{token}}…'"),
            ("eyJhbGci alone", "eyJhbGci alone"),
            ("302 http://a.example/orders/7?of=J%C3%BCrgen", "302 http://a.example{{next}}"),
            ("302 http://a.example/orders/6", "302 http://a.example/orders/6"),
            ("to https://shop.example/orders/8", "to {{away}}"),
            ("to https://shop.example/orders/", "to https://shop.example/orders/"),
        ] {
            assert_eq!(redact(&captured(), text), told);
        }
    }

    #[test]
    fn facts_that_tell_the_way_hold_no_value_even_where_noting_cut_it() {
        let mut facts = Facts::default();
        facts.text(FactKey::FinalUrl, "http://a.example/s3cr3t");
        facts.text(FactKey::HttpVersion, "HTTP/1.1");
        facts.number(FactKey::Redirects, 1);
        let far = format!("302 http://a.example/{}?to=/orders/7?of=Jürgen", "x".repeat(200 - 21 - 4 - 12));
        facts.text(FactKey::Hop, &far);
        assert!(facts.texts_of(FactKey::Hop).all(|hop| hop.ends_with("?to=/orders/7?of")), "{facts:?}");
        redact_facts(&captured(), &mut facts);
        assert_eq!(facts.texts_of(FactKey::FinalUrl).collect::<Vec<_>>(), ["http://a.example/{{short}}"]);
        assert!(facts.texts_of(FactKey::Hop).all(|hop| hop.ends_with("?to={{next}}")), "{facts:?}");
        assert_eq!(facts.texts_of(FactKey::HttpVersion).collect::<Vec<_>>(), ["HTTP/1.1"]);
        assert_eq!(facts.number_of(FactKey::Redirects), Some(1));
    }
}

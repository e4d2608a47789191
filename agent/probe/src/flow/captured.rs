//! Captured values in what is told of a run: tokens of sessions and the like, which results would keep for years.

use std::collections::BTreeMap;

use sitepulse_model::record::{FACT_BYTES_MAX, Fact, FactKey, FactValue, Facts};

use super::template;
use crate::http::Url;
use crate::tools::Secrets;
use crate::tools::hide::{self, Hidden};

/// Shorter values, in characters, stay: they are no secrets, and their like stands everywhere.
const HIDDEN_CHARS_MIN: usize = 6;
/// The beginning of a longer value, in bytes, that is taken for the value: explanations cut what they quote.
const TOLD_BYTES_MIN: usize = 16;

/// Puts `{{name}}` in the place of every captured value in `text`, and `secret:NAME` in that of every secret. Both at once: each may hold a part
/// of the other.
pub(crate) fn redact(secrets: &Secrets, captured: &BTreeMap<String, String>, text: &str) -> String {
    redact_with(secrets, &Captured::new(captured), text, false)
}

/// As [`redact`], in every text of these facts; what was captured, in those that tell where a run went. Documents are no texts: whoever
/// makes one leaves secrets out of it.
pub(crate) fn redact_facts(secrets: &Secrets, captured: &BTreeMap<String, String>, facts: &mut Facts) {
    if secrets.is_empty() && captured.is_empty() {
        return;
    }
    let (captured, none) = (Captured::new(captured), Captured::default());
    for Fact { key, value } in std::mem::take(&mut facts.more) {
        match value {
            FactValue::Number(number) => facts.number(key, number),
            FactValue::Text(text) if key.is_document() => facts.text(key, &text),
            FactValue::Text(text) if [FactKey::Hop, FactKey::FinalUrl, FactKey::Step].contains(&key) => {
                // Noting may have cut a value that was captured only then.
                let is_cut = text.len() + char::MAX.len_utf8() > FACT_BYTES_MAX;
                facts.text(key, &redact_with(secrets, &captured, &text, is_cut));
            }
            FactValue::Text(text) => facts.text(key, &redact_with(secrets, &none, &text, false)),
        }
    }
}

/// What was captured, to be found.
#[derive(Default)]
struct Captured {
    values: Hidden,
    /// Paths and URLs: their beginnings are those of others too.
    places: Hidden,
}

impl Captured {
    fn new(captured: &BTreeMap<String, String>) -> Self {
        let mut values = Vec::new();
        let mut places = Vec::new();
        for (name, value) in captured {
            let mark = format!("{{{{{name}}}}}");
            let place = place(value);
            let into = if place.is_some() { &mut places } else { &mut values };
            let mut same: Vec<String> =
                [Some(value.clone()), Some(template::encode(value)), place].into_iter().flatten().collect();
            same.retain(|form| form.chars().count() >= HIDDEN_CHARS_MIN);
            into.push((mark, same));
        }
        Self { values: Hidden::new(values, TOLD_BYTES_MIN), places: Hidden::new(places, usize::MAX) }
    }
}

fn redact_with(secrets: &Secrets, captured: &Captured, text: &str, is_cut: bool) -> String {
    let mut hits = Vec::new();
    secrets.find(text, &mut hits);
    for hidden in [&captured.values, &captured.places] {
        hidden.find(text, &mut hits);
        if is_cut {
            hidden.find_cut(text, HIDDEN_CHARS_MIN, &mut hits);
        }
    }
    hide::replace(text, hits)
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
            assert_eq!(redact(&Secrets::default(), &captured(), text), told);
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
        redact_facts(&Secrets::default(), &captured(), &mut facts);
        assert_eq!(facts.texts_of(FactKey::FinalUrl).collect::<Vec<_>>(), ["http://a.example/{{short}}"]);
        assert!(facts.texts_of(FactKey::Hop).all(|hop| hop.ends_with("?to={{next}}")), "{facts:?}");
        assert_eq!(facts.texts_of(FactKey::HttpVersion).collect::<Vec<_>>(), ["HTTP/1.1"]);
        assert_eq!(facts.number_of(FactKey::Redirects), Some(1));
    }

    #[test]
    fn of_two_tokens_that_begin_alike_neither_is_left_over() {
        let header = "eyJhbGciOiJIUzI1NiJ9.";
        let captured = [("access", format!("{header}AAAAAAAAAAAA")), ("refresh", format!("{header}BBBBBBBBBBBB"))];
        let captured = captured.map(|(name, value)| (name.to_owned(), value)).into();
        for (text, told) in [
            (format!("got '{header}BBBBBBBB…'"), "got '{{refresh}}…'"),
            (format!("got '{header}AAAAAAAA…'"), "got '{{access}}…'"),
            (format!("{header}BBBBBBBBBBBB {header}AAAAAAAAAAAA"), "{{refresh}} {{access}}"),
        ] {
            assert_eq!(redact(&Secrets::default(), &captured, &text), told);
        }
    }

    #[test]
    fn what_was_captured_of_a_secret_leaves_nothing_of_it_and_the_other_way_round() {
        let secrets = Secrets::new([("api".to_owned(), "sk_live_AAAAAAAAAAAA".to_owned())].into());
        let part = [("part".to_owned(), "sk_live_AA".to_owned())].into();
        assert_eq!(redact(&secrets, &part, "no sk_live_AAAAAAAAAAAA"), "no secret:api");
        let more = [("more".to_owned(), "user-7-sk_live_AAAAAAAAAAAA-x9".to_owned())].into();
        assert_eq!(redact(&secrets, &more, "no user-7-sk_live_AAAAAAAAAAAA-x9"), "no {{more}}");
    }
}

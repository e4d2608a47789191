//! What protocols told, as JSON by the facts' names: shown by the API, kept as evidence.

use serde_json::{Map, Value};
use sitepulse_daemon::instant;
use sitepulse_model::record::{ChainCertificate, FactKey, FactValue, Facts};
use sitepulse_model::time::UtcMicros;

/// What the protocol told, by name, but for documents; a fact that may come several times is a list, a certificate of a chain an object.
pub(crate) fn by_name(facts: &Facts) -> Map<String, Value> {
    let mut view = Map::new();
    let mut set = |key: &str, value: Value| view.insert(key.to_owned(), value);
    if let Some(status) = facts.status {
        set("status", status.into());
    }
    if let Some(bytes) = facts.body_bytes {
        set("body_bytes", bytes.into());
    }
    if let Some(at) = facts.certificate_expires {
        set("certificate_expires", instant::format(at).into());
    }
    for fact in facts.more.iter().filter(|fact| !fact.key.is_document()) {
        let value = match &fact.value {
            FactValue::Number(seconds) if fact.key.is_instant() => {
                instant::format(UtcMicros(seconds.saturating_mul(1_000_000))).into()
            }
            FactValue::Number(number) => Value::from(*number),
            FactValue::Text(text) if fact.key == FactKey::CertificateChain => certificate(text),
            FactValue::Text(text) => Value::from(text.clone()),
        };
        match view.get_mut(fact.key.as_str()) {
            Some(Value::Array(list)) => list.push(value),
            Some(_) | None if fact.key.is_list() => {
                view.insert(fact.key.to_string(), Value::Array(vec![value]));
            }
            Some(_) | None => {
                view.insert(fact.key.to_string(), value);
            }
        }
    }
    view
}

/// A certificate of a chain, as its line has it; a line that is none stays as it is.
fn certificate(line: &str) -> Value {
    match ChainCertificate::parse(line) {
        Some(certificate) => {
            certificate.fields().into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
        }
        None => Value::from(line),
    }
}

/// A fact of [`by_name`] for people: each of a list, a certificate of a chain as `shop.example ← R3 · 2026-12-01T00:00:00Z · 0f3c...`.
pub(crate) fn lines(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Array(list) => list.iter().flat_map(lines).collect(),
        Value::Object(fields) => {
            let field = |name: &str| fields.get(name).filter(|value| !value.is_null()).map(text);
            let names = [field("subject"), field("issuer")].map(|name| name.filter(|name| !name.is_empty()));
            let names: Vec<String> = names.into_iter().flatten().collect();
            let parts = [Some(names.join(" \u{2190} ")), field("not_after"), field("sha256")];
            let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
            vec![parts.join(" \u{b7} ")]
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![text(value)],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_chain_is_a_list_of_objects_and_readable() {
        let mut facts = Facts::default();
        let leaf = ChainCertificate {
            sha256: "0f".repeat(32).into(),
            not_after: Some("2026-12-01T00:00:00Z".into()),
            subject: "shop.example".into(),
            issuer: "R3".into(),
        };
        let unread = ChainCertificate { not_after: None, subject: "".into(), issuer: "".into(), ..leaf.clone() };
        for one in [&leaf, &unread] {
            facts.text(FactKey::CertificateChain, &one.line());
        }
        facts.text(FactKey::ResolverAnswer, "192.0.2.1");
        facts.text(FactKey::ResolverAnswer, "192.0.2.2");
        let view = by_name(&facts);
        let sha256 = "0f".repeat(32);
        assert_eq!(
            view["certificate_chain"],
            json!([
                {"sha256": sha256, "not_after": "2026-12-01T00:00:00Z", "subject": "shop.example", "issuer": "R3"},
                {"sha256": sha256, "not_after": null, "subject": "", "issuer": ""},
            ])
        );
        assert_eq!(
            lines(&view["certificate_chain"]),
            [format!("shop.example \u{2190} R3 \u{b7} 2026-12-01T00:00:00Z \u{b7} {sha256}"), sha256.clone()]
        );
        assert_eq!(lines(&view["resolver_answer"]), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(lines(&json!(7)), ["7"]);
    }
}

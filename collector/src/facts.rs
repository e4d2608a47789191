//! What protocols told, as JSON by the facts' names: shown by the API, kept as evidence.

use serde_json::{Map, Value};
use sitepulse_daemon::instant;
use sitepulse_model::record::{FactValue, Facts};
use sitepulse_model::time::UtcMicros;

/// What the protocol told, by name, but for documents; a fact that may come several times is a list.
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

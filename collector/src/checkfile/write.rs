//! A check back into the file that describes it: what [`super::parse`] reads from the text is the same check again.

use sitepulse_model::check::{CheckDefinition, CheckKind};
use sitepulse_model::duration;
use toml::{Table, Value};

use super::{
    CONFIRMATIONS_DEFAULT, HEARTBEAT_CONFIRMATIONS_DEFAULT, HEARTBEAT_INTERVAL_US_DEFAULT, INTERVAL_US_DEFAULT, KEYS,
    RECOVERIES_DEFAULT, TIMEOUT_US_DEFAULT,
};
use crate::book::Labels;

/// Keys of a target that say where it is, of which a kind has one.
pub const ADDRESSES: [&str; 5] = ["url", "address", "host", "name", "domain"];

/// The keys of a check, without those that say what is so anyway, and the other tables that it needs beside it.
pub fn table(definition: &CheckDefinition, labels: &Labels) -> (Table, Table) {
    let heartbeat = matches!(definition.kind, CheckKind::Heartbeat(_));
    let (mut keys, mut others) = (Table::new(), Table::new());
    let mut put = |key: &str, value: Value| keys.insert(key.to_owned(), value);
    put("id", definition.id.to_string().into());
    put("kind", definition.kind.as_str().into());
    let target: serde_json::Value = serde_json::from_str(&definition.kind.target_json()).unwrap_or_default();
    if let serde_json::Value::Object(target) = target {
        for (key, value) in target {
            match of_json(value) {
                // An own profile is described beside the check, and named in it.
                Some(Value::Table(profile)) if key == "profile" => put(&key, described(profile, &mut others)),
                Some(value) => put(&key, value),
                None => None,
            };
        }
    }
    let interval = if heartbeat { HEARTBEAT_INTERVAL_US_DEFAULT } else { INTERVAL_US_DEFAULT };
    if definition.interval_us != interval {
        put("interval", duration::format(definition.interval_us).into());
    }
    if !heartbeat && definition.timeout_us != TIMEOUT_US_DEFAULT {
        put("timeout", duration::format(definition.timeout_us).into());
    }
    if definition.retries != 0 {
        put("retries", i64::from(definition.retries).into());
    }
    let weight = definition.weight.to_string();
    if weight != "1" {
        put("weight", number(&weight).unwrap_or_else(|| weight.into()));
    }
    if let Some(group) = &labels.group {
        put("group", group.to_string().into());
    }
    let list = |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::String).collect());
    if !labels.tags.is_empty() {
        put("tags", list(labels.tags.iter().map(ToString::to_string).collect()));
    }
    if labels.class != sitepulse_model::incident::CheckClass::default() {
        put("class", labels.class.as_str().into());
    }
    if !labels.parents.is_empty() {
        put("parents", list(labels.parents.iter().map(ToString::to_string).collect()));
    }
    if let Some(escalation) = &labels.escalation {
        put("escalation", escalation.to_string().into());
    }
    if let (Some(regions), false) = (&definition.regions, heartbeat) {
        put("regions", list(regions.iter().map(ToString::to_string).collect()));
    }
    if definition.quorum != sitepulse_model::quorum::Quorum::default() {
        put("quorum", definition.quorum.to_string().into());
    }
    let confirmations = if heartbeat { HEARTBEAT_CONFIRMATIONS_DEFAULT } else { CONFIRMATIONS_DEFAULT };
    if definition.confirmations != confirmations {
        put("confirmations", i64::from(definition.confirmations).into());
    }
    if definition.recoveries != RECOVERIES_DEFAULT {
        put("recoveries", i64::from(definition.recoveries).into());
    }
    if !definition.expect.is_empty() {
        put("expect", list(definition.expect.iter().map(|one| one.source().to_owned()).collect()));
    }
    (keys, others)
}

/// Describes a profile in full as a table of its own; gives its name.
fn described(mut profile: Table, others: &mut Table) -> Value {
    let name = profile.remove("name").unwrap_or_else(|| "own".into());
    // Else it would be that of the profile that it is based on.
    profile.entry("network").or_insert_with(|| "none".into());
    let named = [(name.as_str().unwrap_or_default().to_owned(), Value::Table(profile))];
    others.insert("profile".to_owned(), Value::Table(named.into_iter().collect()));
    name
}

/// A number of a file, where a text is one.
pub fn number(text: &str) -> Option<Value> {
    let whole = text.parse::<i64>().map(Value::Integer).ok();
    whole.or_else(|| text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::Float))
}

/// `null` is a key that is not there.
fn of_json(value: serde_json::Value) -> Option<Value> {
    Some(match value {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(value) => value.into(),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64()?.into(),
        },
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Array(list) => Value::Array(list.into_iter().filter_map(of_json).collect()),
        serde_json::Value::Object(keys) => {
            Value::Table(keys.into_iter().filter_map(|(key, value)| Some((key, of_json(value)?))).collect())
        }
    })
}

/// A file with one check: a key a line, in the order of the documentation, and the other tables of the file after it.
pub fn text(check: &Table, others: &Table) -> String {
    let mut text = String::from("[[check]]\n");
    let mut line = |key: &str, value: &Value| {
        let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let key = if bare { key.to_owned() } else { Value::from(key).to_string() };
        text.push_str(&format!("{key} = {value}\n"));
    };
    let common = |key: &str| KEYS.contains(&key);
    let first = ["id", "kind"];
    let named = |keys: &[&str], line: &mut dyn FnMut(&str, &Value)| {
        keys.iter().filter_map(|key| Some((*key, check.get(*key)?))).for_each(|(key, value)| line(key, value));
    };
    named(&first, &mut line);
    named(&ADDRESSES, &mut line);
    let others_of_kind = check.iter().filter(|(key, _)| !common(key) && !ADDRESSES.contains(&key.as_str()));
    others_of_kind.for_each(|(key, value)| line(key, value));
    let rest: Vec<&str> = KEYS.into_iter().filter(|key| !first.contains(key)).collect();
    named(&rest, &mut line);
    if !others.is_empty() {
        text.push('\n');
        text.push_str(&others.to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkfile::{Source, parse};

    /// Every sample of the documentation, as a file of its own.
    fn samples() -> Vec<String> {
        let page = include_str!("../../../docs/checks.md");
        let blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        blocks.filter(|block| block.contains("[[check]]")).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn every_documented_check_reads_back_as_it_was() {
        let (mut seen, mut wrong) = (0, Vec::new());
        for sample in samples() {
            let Ok(written) = parse(&[Source { name: "docs".into(), text: sample.clone() }]) else { continue };
            for check in written.checks {
                let (keys, others) = table(&check.definition, &check.labels);
                let file = text(&keys, &others);
                let again = parse(&[Source { name: "again".into(), text: file.clone() }]);
                match again.map(|written| written.checks) {
                    Ok(checks)
                        if checks.len() == 1
                            && checks[0].definition == check.definition
                            && checks[0].labels == check.labels =>
                    {
                        seen += 1
                    }
                    Ok(checks) => wrong.push(format!("{file}\n{checks:?}\n{:?}", check.definition)),
                    Err(errors) => wrong.push(format!("{file}\n{errors}")),
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        assert!(seen > 14, "{seen} checks of the documentation");
    }
}

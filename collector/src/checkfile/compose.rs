//! A check as people would write it: what [`write::check`] tells without the defaults, as TOML in the order of the documentation. What [`super::parse`]
//! reads from the text is the same check again.

use serde_json::{Map, json};
use sitepulse_model::check::CheckDefinition;
use sitepulse_model::duration;
use sitepulse_model::quorum::Quorum;
use toml::{Table, Value};

use super::{
    CONFIRMATIONS_DEFAULT, HEARTBEAT_CONFIRMATIONS_DEFAULT, HEARTBEAT_INTERVAL_US_DEFAULT, INTERVAL_US_DEFAULT, KEYS,
    RECOVERIES_DEFAULT, TIMEOUT_US_DEFAULT, write,
};
use crate::book::Labels;

/// Keys of a target that say where it is, of which a kind has one.
pub const ADDRESSES: [&str; 5] = ["url", "address", "host", "name", "domain"];

/// The keys of a check, without those that say what is so anyway, and the other tables that it needs beside it.
///
/// # Errors
/// What TOML cannot say.
pub fn table(definition: &CheckDefinition, labels: &Labels) -> Result<(Table, Table), toml::ser::Error> {
    let heartbeat = definition.kind.as_str() == "heartbeat";
    let mut keys = write::check(definition, labels);
    for (key, default) in defaults(heartbeat) {
        if keys.get(key) == Some(&default) {
            keys.remove(key);
        }
    }
    // Nobody writes 2.0.
    if let Some(weight) = keys.get_mut("weight") {
        let text = definition.weight.to_string();
        *weight = text.parse::<i64>().map_or_else(|_| weight.clone(), serde_json::Value::from);
    }
    apart(keys)
}

/// What a check that says nothing has.
fn defaults(heartbeat: bool) -> [(&'static str, serde_json::Value); 9] {
    let (interval, confirmations) = if heartbeat {
        (HEARTBEAT_INTERVAL_US_DEFAULT, HEARTBEAT_CONFIRMATIONS_DEFAULT)
    } else {
        (INTERVAL_US_DEFAULT, CONFIRMATIONS_DEFAULT)
    };
    [
        ("interval", duration::format(interval).into()),
        ("timeout", duration::format(TIMEOUT_US_DEFAULT).into()),
        ("retries", 0.into()),
        ("weight", 1.0.into()),
        ("tags", json!([])),
        ("quorum", Quorum::default().to_string().into()),
        ("confirmations", confirmations.into()),
        ("recoveries", RECOVERIES_DEFAULT.into()),
        ("expect", json!([])),
    ]
}

/// The keys of a table, and the tables beside it: an own profile is described there, and named by its key.
///
/// # Errors
/// What TOML cannot say.
pub(super) fn apart(mut keys: Map<String, serde_json::Value>) -> Result<(Table, Table), toml::ser::Error> {
    let mut others = Table::new();
    if let Some(profile) = keys.get_mut("profile").and_then(|profile| profile.as_object_mut())
        && let Some(name) = profile.remove("name").and_then(|name| Some(name.as_str()?.to_owned()))
    {
        let profile = Table::try_from(write::without_null(std::mem::take(profile).into()))?;
        keys.insert("profile".to_owned(), name.as_str().into());
        others.insert("profile".to_owned(), Table::from_iter([(name, Value::Table(profile))]).into());
    }
    Ok((Table::try_from(write::without_null(keys.into()))?, others))
}

/// A number of a file, where a text is one.
pub fn number(text: &str) -> Option<Value> {
    let whole = text.parse::<i64>().map(Value::Integer).ok();
    whole.or_else(|| text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::Float))
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
    fn a_profile_on_the_real_network_stays_on_it() {
        let sample = "[[check]]\nid = \"shop\"\nkind = \"web_vitals\"\nurl = \"https://shop.example/\"\nprofile = \"office\"\n\
                      [profile.office]\nnetwork = \"none\"\ncpu = 2\n";
        let parsed = |text: &str| parse(&[Source { name: "x".into(), text: text.into() }]).unwrap().checks.remove(0);
        let check = parsed(sample);
        let keys = write::check(&check.definition, &check.labels);
        let told = write::file("again", "check", keys).unwrap();
        let (keys, others) = table(&check.definition, &check.labels).unwrap();
        for text in [told.text, text(&keys, &others)] {
            assert_eq!(parsed(&text).definition, check.definition, "{text}");
        }
    }

    #[test]
    fn every_documented_check_reads_back_as_it_was() {
        let (mut seen, mut wrong) = (0, Vec::new());
        for sample in samples() {
            let Ok(written) = parse(&[Source { name: "docs".into(), text: sample.clone() }]) else { continue };
            for check in written.checks {
                let (keys, others) = table(&check.definition, &check.labels).unwrap();
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

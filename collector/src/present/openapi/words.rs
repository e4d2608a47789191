//! What the document says in words: the rows of `docs/api.md`, and what well-known parameters mean wherever they stand.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The page that lists all routes.
const PAGE: &str = include_str!("../../../../docs/api.md");

/// What the whole API has in common.
pub(super) const ABOUT: &str = "Instants are RFC 3339 in UTC, ratios 0 to 1, durations seconds as numbers unless a name ends in `_us` \
    (microseconds) or `_ms` (milliseconds); `null` where nothing was measured. Errors are `application/problem+json` with a stable `code`.\n\n\
    Lists take `limit` and `cursor`; the `Link` header with `rel=\"next\"` is the address of the page that follows. Answers to `GET` have an \
    `ETag`: with `If-None-Match` an unchanged one is 304. A `POST` with an `Idempotency-Key` is done once, however often it is sent.";

/// What a row of the page says, by method and path.
pub(super) fn rows() -> BTreeMap<(&'static str, &'static str), &'static str> {
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.splitn(4, " | ");
        let (method, path, _) = (cells.next()?, cells.next()?, cells.next()?);
        Some(((method, path.strip_prefix('`')?.strip_suffix('`')?), cells.next()?))
    };
    PAGE.lines().filter_map(row).collect()
}

/// A row's beginning as a title, and all of it as a text.
pub(super) fn told(row: &str) -> (String, String) {
    let row = row.replace("\\|", "|");
    // Shapes and statuses are told by the document itself.
    let words = if row.starts_with(['`', '2']) { row.split_once(": ").map_or("", |(_, words)| words) } else { &row };
    let end = words.find([';', ':', '.', ',', '(']).unwrap_or(words.len());
    (sentence(words[..end].trim_end()), sentence(&row))
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// `get_checks_by_id_latency`
pub(super) fn operation_id(method: &str, path: &str) -> String {
    let words = path.strip_prefix("/api/v1/").unwrap_or(path).replace('{', "by_").replace('}', "");
    format!("{}_{}", method.to_lowercase(), words.replace(['/', '-', '.'], "_"))
}

/// The parameters that a path names.
pub(super) fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.split_once('{')?.1.split_once('}').map(|(name, _)| name));
    let parameter = |name: &str| {
        let family = path.trim_start_matches("/api/v1/").split('/').next().unwrap_or_default();
        let (what, schema) = match name {
            "id" => (format!("Its id, as `/api/v1/{family}` tells it."), json!({"type": "string"})),
            "name" => (format!("Its name, as `/api/v1/{family}` tells it."), json!({"type": "string"})),
            "kind" => ("Its table in check files: `check`, `slo`, ...".to_owned(), json!({"type": "string"})),
            "number" => ("Its number.".to_owned(), json!({"type": "integer", "minimum": 0})),
            "step" => ("The incident's step.".to_owned(), json!({"type": "integer", "minimum": 0})),
            "figure" => {
                let all: Vec<&str> = crate::present::indicators::Of::ALL.iter().map(|(name, _)| *name).collect();
                (format!("Which list: {}.", all.join(", ")), json!({"type": "string", "enum": all}))
            }
            "slot" => ("The slot, in microseconds since 1970.".to_owned(), json!({"type": "integer"})),
            other => (format!("The {other}'s name or id."), json!({"type": "string"})),
        };
        json!({"name": name, "in": "path", "required": true, "description": what, "schema": schema})
    };
    names.map(parameter).collect()
}

/// What a parameter means, wherever it stands.
pub(super) fn parameter(name: &str) -> Option<&'static str> {
    Some(match name {
        "from" => "First instant of the period: RFC 3339, a day, unix seconds, `now`, or `-7d`.",
        "to" => "First instant after the period, written like `from`.",
        "at" => "The instant: RFC 3339, a day, unix seconds, `now`, or `-7d`.",
        "check" => "A check's id; where several are taken, separated by commas.",
        "agent" => "An agent's name: that one alone.",
        "region" => "A region: its agents alone.",
        "group" => "A group: its checks alone.",
        "policy" => "An accounting policy, `contract` or `contract@2`.",
        "by" => "What figures are told apart by: `region` or `agent`.",
        "profile" => "A profile's name.",
        "channel" => "A channel's id.",
        "schedule" => "A schedule's id.",
        "user" => "A user's id.",
        "kind" => "A kind: those alone.",
        "state" => "`open`, or `all`.",
        "severity" => "`critical`, `major`, `minor` or `info`.",
        "after" => "The same as `cursor`: what the page before told as `next`.",
        "limit" => "How many at most.",
        "all" => "Whether those that are over are told too.",
        "token" => "What the address holds.",
        "force" => "Whether it goes although it is used.",
        "admin" => "Whether its session may change things.",
        "quorum" => "A quorum instead of the check's: `majority`, `any`, `all`, `2` or `50%`.",
        "confirmations" => "How many bad results in a row a vote needs, instead of the check's.",
        "recoveries" => "How many good results in a row, instead of the check's.",
        "weight" => "Weights instead of the agents': `AGENT=0.5,...`.",
        "without" => "Agents that are left out, separated by commas.",
        "reopen" => "An incident that begins so soon after the last one continues it: `5m`.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_title_and_a_text() {
        let (title, text) = told("every check: its verdict; `a\\|b`");
        assert_eq!((title.as_str(), text.as_str()), ("Every check", "Every check: its verdict; `a|b`"));
        assert!(rows().contains_key(&("GET", "/api/v1/checks")));
    }

    #[test]
    fn an_operation_has_a_name() {
        assert_eq!(operation_id("GET", "/api/v1/checks/{id}/latency"), "get_checks_by_id_latency");
    }
}

//! What the API has in common: its document, pages of lists, tags, keys of requests.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use serde_json::{Value, json};
use sitepulse_collector::app::{Access, CredentialKind};
use sitepulse_collector::present::door::{Door, Scope};
use sitepulse_collector::present::openapi::document;
use sitepulse_collector::present::route::routes;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::record::Phases;
use sitepulse_wire::message::Status;

use super::bench::{Answer, Bench, CHECK, NETWORK, backup, options};
use super::pages::{Found, Pages};

/// Something of everything that is written as code.
const OBJECTS: &str = r#"
[[policy]]
id = "contract"
objective = "99.9%"

[[status_page]]
id = "public"
title = "Example"
groups = [{ name = "Web", items = [{ id = "shop", name = "Shop", checks = ["shop"] }] }]

[[slo]]
id = "front"
checks = ["shop"]
policy = "contract"
period = "30d"

[[maintenance]]
id = "sundays"
checks = ["shop"]
rrule = "FREQ=WEEKLY;BYDAY=SU"
from = "2026-01-04T02:00"
lasts = "1h"
zone = "Europe/Paris"
"#;

/// A collector with something of everything, and one page that ran.
async fn filled() -> Pages {
    let pages = Pages::new().await;
    let bench = &pages.bench;
    let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
    for minutes in [400, 300, 200, 100, 50, 20] {
        pages.ran(west, minutes, &Found { lcp: Some(2_000_000), cls: Some(500), ..Found::default() }).await;
        pages.ran(east, minutes, &Found { down: minutes < 200, ..Found::default() }).await;
    }
    let text = format!("{CHECK}{}{OBJECTS}", super::oncall::samples());
    let applied = bench.apply(&text, json!({})).await;
    assert_eq!(applied.status, StatusCode::OK, "{}", applied.text);
    bench.app.apply(vec![backup()], options(), clock::now()).await.unwrap();
    let tomorrow = instant::format(clock::now().plus_us(86_400_000_000));
    for (path, body) in [
        ("/api/v1/incidents", json!({"title": "By hand", "check": "shop"})),
        ("/api/v1/incidents", json!({"title": "Another", "severity": "minor"})),
        ("/api/v1/silences", json!({"checks": ["shop"], "until": tomorrow, "reason": "work"})),
        ("/api/v1/control", json!({"agent": "w", "action": "suspend", "reason": "work"})),
        ("/api/v1/control", json!({"agent": "w", "action": "resume"})),
        ("/api/v1/control", json!({"agent": "e", "action": "weight", "weight": 0.5})),
        ("/api/v1/sla-reports", json!({"name": "one", "checks": ["shop-vitals"]})),
        ("/api/v1/sla-reports", json!({"name": "two"})),
        ("/api/v1/schedules/primary/overrides", json!({"user": "bob", "to": tomorrow})),
    ] {
        let answer = bench.post(path, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    }
    for name in ["one", "two"] {
        let set = bench.send(Door::Local, "PUT", &format!("/api/v1/secrets/{name}"), &[], "value").await;
        assert_eq!(set.status, StatusCode::NO_CONTENT, "{}", set.text);
    }
    pages
}

/// Whether a value fits a schema, of the words that our schemas use; else what does not. Keys that no schema names do not fit either.
fn misfit(value: &Value, schema: &Value, at: &str) -> Option<String> {
    const KNOWN: [&str; 20] = [
        "$ref",
        "type",
        "properties",
        "required",
        "items",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "description",
        "format",
        "minimum",
        "maximum",
        "default",
        "title",
        "additionalProperties",
        "minItems",
        "maxItems",
        "prefixItems",
        "allOf",
    ];
    let schema = schema.as_object()?;
    if let Some(unknown) = schema.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Some(format!("{at}: the schema's word {unknown:?} is not known here"));
    }
    let mut merged = schema.clone();
    if let Some(path) = merged.remove("$ref") {
        return misfit(value, resolved(path.as_str().unwrap()), at);
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(all) = merged.get(word).and_then(Value::as_array) {
            let faults: Vec<String> = all.iter().filter_map(|one| misfit(value, one, at)).collect();
            if faults.len() == all.len() {
                return Some(format!("{at}: fits none of {faults:?}"));
            }
        }
    }
    if let Some(types) = merged.get("type") {
        let types: Vec<&str> = match types {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                one.as_str().into_iter().collect()
            }
        };
        let fits = types.iter().any(|one| match *one {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("type {other}"),
        });
        if !fits {
            return Some(format!("{at}: {value} is none of {types:?}"));
        }
    }
    if let Some(all) = merged.get("enum").and_then(Value::as_array)
        && !all.contains(value)
    {
        return Some(format!("{at}: {value} is none of {all:?}"));
    }
    if let Some(object) = value.as_object()
        && let Some(properties) = merged.get("properties").and_then(Value::as_object)
    {
        let needed = merged.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        if let Some(missing) = needed.into_iter().find(|name| !object.contains_key(*name)) {
            return Some(format!("{at}: {missing} is missing"));
        }
        let open = merged.get("additionalProperties") == Some(&Value::Bool(true));
        for (name, value) in object {
            let at = format!("{at}.{name}");
            match properties.get(name) {
                Some(schema) => {
                    if let Some(fault) = misfit(value, schema, &at) {
                        return Some(fault);
                    }
                }
                None if open => {}
                None => return Some(format!("{at}: no schema tells of it")),
            }
        }
    }
    if let (Some(items), Some(schema)) = (value.as_array(), merged.get("items")) {
        return items.iter().enumerate().find_map(|(n, item)| misfit(item, schema, &format!("{at}[{n}]")));
    }
    None
}

fn resolved(path: &str) -> &'static Value {
    document().pointer(path.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{path} leads nowhere"))
}

/// Every schema reference below a value.
fn references<'v>(value: &'v Value, out: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(object) => {
            out.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|value| references(value, out));
        }
        Value::Array(all) => all.iter().for_each(|value| references(value, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_document_has_every_route_and_keeps_the_rules_of_openapi() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut ids = BTreeSet::new();
    let mut found = 0;
    for route in routes().into_iter().filter(|route| route.path.starts_with("/api/v1/")) {
        // A page for people.
        if route.path == "/api/v1/docs" {
            continue;
        }
        let operation = &document["paths"][route.path][route.method.to_lowercase()];
        let what = format!("{} {}", route.method, route.path);
        assert!(
            operation.is_object(),
            "{what} is not in the document: put it into the table by api_read, api_change, ..."
        );
        found += 1;
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{what}: its operationId is taken");
        let summary = operation["summary"].as_str().unwrap();
        assert!(
            summary.starts_with(char::is_alphabetic) && !["The same", "Likewise"].contains(&summary),
            "{what} has no summary but {summary:?}: begin its row in docs/api.md with words of its own"
        );
        let scopes: Vec<&str> = operation["security"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one.as_object().unwrap().values().next().unwrap()[0].as_str().unwrap())
            .collect();
        assert_eq!(scopes.first().copied().unwrap_or("public"), route.scope.as_str(), "{what}");
        let parameters = operation["parameters"].as_array().unwrap();
        let mut names = BTreeSet::new();
        for parameter in parameters {
            assert!(names.insert((parameter["in"].as_str(), parameter["name"].as_str())), "{what}: {parameter} twice");
            assert!(
                parameter["description"].as_str().is_some_and(|told| !told.is_empty()),
                "{what}: {} is not described",
                parameter["name"]
            );
            assert!(parameter["schema"].is_object(), "{what}");
        }
        let in_path: BTreeSet<&str> =
            parameters.iter().filter(|one| one["in"] == "path").map(|one| one["name"].as_str().unwrap()).collect();
        let written: BTreeSet<&str> =
            route.path.split('{').skip(1).map(|rest| rest.split_once('}').unwrap().0).collect();
        assert_eq!(in_path, written, "{what}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{what} has no good answer");
        assert!(responses.contains_key("default"), "{what}");
        assert_eq!(responses.contains_key("401"), route.scope != Scope::Public, "{what}");
        for (status, response) in responses {
            assert!(response["description"].is_string() || response["$ref"].is_string(), "{what} {status}");
        }
    }
    let told: usize = document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(told, found, "the document tells of routes that are not there");
    let mut all = BTreeSet::new();
    references(document, &mut all);
    all.iter().for_each(|path| assert!(resolved(path).is_object()));
    let mut silent = Vec::new();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if !schema["description"].is_string() {
            silent.push(name.clone());
        }
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let told = property["description"].is_string() || property["$ref"].is_string();
            if !told && !property["anyOf"].is_array() {
                silent.push(format!("{name}.{key}"));
            }
        }
    }
    assert!(silent.is_empty(), "these are not described: {silent:?}");
}

/// The path of an operation that is asked here, with what the bench has.
fn asked(path: &str) -> Option<String> {
    let shop = ["/heartbeat", "/latency", "/vitals", "/timeline"];
    let path = path.replace("/checks/{id}/heartbeat", "/checks/backup/heartbeat");
    let path = if shop.iter().any(|end| path.ends_with(end)) { path.replace("{id}", "shop-vitals") } else { path };
    let path = path.replace("checks/{id}", "checks/shop").replace("agents/{name}", "agents/w").replace("{name}", "one");
    let path = path.replace("schedules/{id}", "schedules/primary").replace("escalations/{id}", "escalations/default");
    let path = path.replace("definitions/{kind}/{id}", "definitions/check/shop");
    let path = path.replace("impact/{id}", "impact/shop").replace("status-pages/{id}", "status-pages/public");
    let path = path.replace("indicators/{figure}", "indicators/opened");
    let path = path.replace("playbooks/{id}", "playbooks/renew-certificate");
    let path = path.replace("slos/{id}", "slos/front").replace("silences/{id}", "silences/none");
    let query = match path.as_str() {
        "/api/v1/explain" | "/api/v1/backtest" | "/api/v1/results" => "?check=shop-vitals",
        "/api/v1/incidents" => "?state=all",
        "/api/v1/playbook-offers" => "?check=shop",
        "/api/v1/events" => return None,
        _ if path.ends_with("calendar.ics")
            || path.contains("screenshots")
            || path.ends_with(".csv")
            || path.ends_with("/file") =>
        {
            return None;
        }
        _ => "",
    };
    Some(format!("{path}{query}"))
}

#[tokio::test]
async fn every_answer_fits_its_schema() {
    let pages = filled().await;
    let incident = pages.bench.get("/api/v1/incidents?state=all").await.json()[0]["id"].as_str().unwrap().to_owned();
    let started = json!({"playbook": "service-down", "incident": incident});
    let run = pages.bench.post("/api/v1/playbook-runs", &started).await.json()["id"].as_str().unwrap().to_owned();
    // Nobody watches this one, which is found when it has been so for an hour.
    let far = "[[check]]\nid = \"far\"\nkind = \"tcp\"\naddress = \"far.example:80\"\nregions = [\"nowhere\"]\n";
    assert_eq!(pages.bench.apply(far, json!({})).await.status, StatusCode::OK);
    let later = clock::now().plus_us(2 * 3_600_000_000);
    sitepulse_collector::insight::task::settle(&pages.bench.app, later).await.unwrap();
    let finding = pages.bench.get("/api/v1/findings").await.json()[0]["id"].as_str().unwrap().to_owned();
    let job = pages.bench.post("/api/v1/jobs", &json!({"kind": "noop"})).await.json()["id"].to_string();
    let job = job.trim_matches('"').to_owned();
    let mut looked_at = 0;
    for (path, operations) in document()["paths"].as_object().unwrap() {
        let Some(operation) = operations.get("get") else { continue };
        let Some(uri) = asked(path) else { continue };
        let uri = uri.replace("playbook-runs/{id}", &format!("playbook-runs/{run}"));
        let uri = uri.replace("incidents/{id}", &format!("incidents/{incident}"));
        let uri = uri.replace("findings/{id}", &format!("findings/{finding}"));
        let uri = uri.replace("jobs/{id}", &format!("jobs/{job}"));
        let answer = pages.bench.get(&uri).await;
        assert_eq!(answer.status, StatusCode::OK, "{uri}: {}", answer.text);
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{path}");
        let fault = misfit(&answer.json(), schema, "answer");
        assert_eq!(fault, None, "{uri}");
        looked_at += 1;
    }
    assert!(looked_at >= 35, "{looked_at}");
    // What the check cannot pass over.
    let sla = &document()["components"]["schemas"]["SlaView"];
    let mut one = pages.bench.get("/api/v1/sla?check=shop").await.json()[0].take();
    assert_eq!(misfit(&one, sla, "it"), None);
    one["surprise"] = json!(1);
    assert!(misfit(&one, sla, "it").is_some());
    one.as_object_mut().unwrap().remove("surprise");
    one["seconds"]["up"] = json!("many");
    assert!(misfit(&one, sla, "it").is_some());
}

#[tokio::test]
async fn refusals_fit_their_schema() {
    let bench = Bench::new();
    let problem = &document()["components"]["schemas"]["ProblemView"];
    for (method, path, body) in [
        ("GET", "/api/v1/checks/none", ""),
        ("GET", "/api/v1/sla?from=never", ""),
        ("POST", "/api/v1/apply", "{"),
        ("POST", "/api/v1/apply", "{\"files\": [{\"name\": \"a\", \"text\": \"x = 1\"}]}"),
        ("DELETE", "/api/v1/silences/none", ""),
    ] {
        let answer = bench.send(Door::Local, method, path, &[], body).await;
        assert!(answer.status.is_client_error(), "{path}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(misfit(&answer.json(), problem, path), None);
    }
}

#[tokio::test]
async fn a_path_that_cannot_be_read_is_refused_as_a_problem() {
    let bench = Bench::new();
    let schedule = "/api/v1/schedules/primary/overrides";
    for (method, path) in [("DELETE", &format!("{schedule}/null%2Cnull")), ("GET", &"/api/v1/checks/%FF".to_owned())] {
        let answer = bench.send(Door::Local, method, path, &[], "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{path}: {}", answer.text);
        assert_eq!(answer.json()["code"], "bad_request");
    }
}

#[tokio::test]
async fn the_document_is_a_page_too() {
    let bench = Bench::new();
    for (language, word) in [("en", "Answers"), ("fr", "Réponses")] {
        let page = bench.get(&format!("/api/v1/docs?lang={language}")).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains(word));
        for route in routes().into_iter().filter(|route| route.tell.is_some()) {
            assert!(page.text.contains(&format!("<code>{}</code>", route.path)), "{}", route.path);
        }
        // What a shape is linked to is there.
        for link in page.text.split("href=\"#").skip(1).map(|rest| rest.split_once('"').unwrap().0) {
            assert!(page.text.contains(&format!("id=\"{link}\"")), "#{link} leads nowhere");
        }
    }
}

#[tokio::test]
async fn metrics_tell_of_each_check_and_agent_what_alerts_are_written_on() {
    let pages = Pages::new().await;
    let west = pages.enrol("eu-west", "w").await;
    pages.ran(west, 20, &Found::default()).await;
    pages.ran(west, 2, &Found::default()).await;
    let text = pages.bench.get("/metrics").await.text;
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    let pair = "{check=\"shop-vitals\",agent=\"w\",region=\"eu-west\"}";
    assert_eq!(line("sitepulse_check_up"), "sitepulse_check_up{check=\"shop-vitals\"} 1");
    assert_eq!(line("sitepulse_probe_up"), format!("sitepulse_probe_up{pair} 1"));
    let age: f64 = line("sitepulse_probe_last_result_age_seconds").rsplit(' ').next().unwrap().parse().unwrap();
    assert!(age >= 0.0, "{age}");
    // Each family once, with its help and type before its samples.
    let mut families = BTreeSet::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().unwrap();
            assert!(families.insert(family), "{family} stands twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            assert_eq!(line.split(['{', ' ']).next().unwrap(), family, "{line}");
        }
    }
}

/// An exposition's value of a family with its labels; `None` where it is not told.
fn told(text: &str, series: &str) -> Option<f64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = lines.next().map(|value| value.parse().unwrap());
    assert_eq!(lines.next(), None, "{series} is told twice");
    value
}

/// A day of a check that one agent saw down for two hours and lost sight of in the middle, while another said for an hour that it is down and
/// was outvoted: every figure is worked out by hand.
#[tokio::test]
async fn metrics_tell_a_days_figures_with_their_bounds_and_the_phases_of_the_newest_run() {
    let pages = Pages::new().await;
    let (west, east) = (pages.enrol("eu-west", "w").await, pages.enrol("us-east", "e").await);
    let run = |agent, slot: i64, down: bool| {
        // The results of fifteen minutes each; the newest tells how long each phase took.
        let mut result = pages.result(agent, slot * 15, &Found { down, ..Found::default() });
        if slot == 0 {
            let (dns, connect, first_byte) = (Some(2_000), Some(30_000), Some(400_000));
            result.phases = Phases { dns, connect, first_byte, total: Some(1_500_000), ..Phases::default() };
        }
        pages.entry(result)
    };
    let seen = (0..=100).filter(|slot| !(40..48).contains(slot));
    let seen = seen.map(|slot| run(west, slot, (20..28).contains(&slot))).collect();
    assert_eq!(pages.ingest(west, seen).await.stored, 93);
    let seen = (60..=72).map(|slot| run(east, slot, (64..68).contains(&slot))).collect();
    assert_eq!(pages.ingest(east, seen).await.stored, 13);
    pages.bench.app.apply(vec![backup()], options(), clock::now()).await.unwrap();
    let text = pages.bench.get("/metrics").await.text;

    for (check, is) in [("shop-vitals", "up"), ("backup", "unknown")] {
        for verdict in ["up", "degraded", "regional", "down", "maintenance", "unknown"] {
            let series = format!("sitepulse_check_verdict{{check=\"{check}\",verdict=\"{verdict}\"}}");
            assert_eq!(told(&text, &series), Some(f64::from(u8::from(verdict == is))), "{series}");
        }
    }
    // Of nine quarters of an hour between two results the first holds for two intervals and the timeout.
    let (day, down) = (24.0 * 3600.0, 2.0 * 3600.0);
    let unknown = 9.0 * 900.0 - (2.0 * 900.0 + 1.0);
    let measured = day - unknown;
    let weighted = down + 0.5 * 3600.0;
    for (figure, value) in [
        ("availability", 1.0 - down / measured),
        ("availability_lower", 1.0 - (down + unknown) / day),
        ("availability_upper", 1.0 - down / day),
        ("weighted_availability", 1.0 - weighted / measured),
        ("weighted_availability_lower", 1.0 - (weighted + unknown) / day),
        ("weighted_availability_upper", 1.0 - weighted / day),
        ("completeness", measured / day),
    ] {
        let series = format!("sitepulse_check_{figure}_ratio{{check=\"shop-vitals\"}}");
        let is = told(&text, &series).unwrap_or_else(|| panic!("no {series}"));
        assert!((is - value).abs() < 1e-9, "{series} {is}, not {value}");
    }
    let nothing = "sitepulse_check_availability_ratio{check=\"backup\"}";
    assert_eq!(told(&text, nothing), None, "without evidence there is none");

    for (agent, region, phases) in [
        ("w", "eu-west", [Some(0.002), Some(0.03), None, None, Some(0.4), None, Some(1.5)]),
        ("e", "us-east", [None, None, None, None, None, None, Some(12.0)]),
    ] {
        let names = ["dns", "connect", "tls", "send", "first_byte", "transfer", "total"];
        for (phase, seconds) in names.into_iter().zip(phases) {
            let labels = format!("check=\"shop-vitals\",agent=\"{agent}\",region=\"{region}\",phase=\"{phase}\"");
            assert_eq!(told(&text, &format!("sitepulse_probe_phase_seconds{{{labels}}}")), seconds, "{labels}");
        }
    }
}

#[tokio::test]
async fn metrics_tell_what_waits_in_spools_and_how_late_it_is() {
    let pages = Pages::new().await;
    let now = pages.now;
    for (region, name, status) in [
        (
            "eu-west",
            "w",
            Some(Status {
                spool_records: 7,
                spool_bytes: 4096,
                spool_oldest: Some(now.plus_us(-90 * 1_000_000)),
                ..Status::default()
            }),
        ),
        ("us-east", "e", Some(Status { spool_bytes: 512, ..Status::default() })),
        // That something waits and not since when; that nothing was said yet.
        ("us-east", "old", Some(Status { spool_records: 3, spool_bytes: 256, ..Status::default() })),
        ("us-east", "new", None),
    ] {
        let number = pages.enrol(region, name).await;
        let book = pages.bench.app.book();
        let presence = &book.agent(number).unwrap().presence;
        presence.update(|presence| status.into_iter().for_each(|status| presence.tell(status, now)));
    }
    let text = pages.bench.get("/metrics").await.text;
    let of = |family: &str, region: &str, name: &str| {
        told(&text, &format!("sitepulse_agent_{family}{{agent=\"{name}\",region=\"{region}\"}}"))
    };
    let spool = |region, name| (of("spool_records", region, name), of("spool_bytes", region, name));
    assert_eq!(spool("eu-west", "w"), (Some(7.0), Some(4096.0)));
    assert_eq!(spool("us-east", "e"), (Some(0.0), Some(512.0)));
    assert_eq!(spool("us-east", "old"), (Some(3.0), Some(256.0)));
    assert_eq!(spool("us-east", "new"), (None, None));
    let late = clock::now().us_since(now) as f64 / 1e6;
    let lag = of("ingest_lag_seconds", "eu-west", "w").unwrap();
    assert!((90.0..=90.001 + late).contains(&lag), "{lag}, {late} s later");
    assert_eq!(of("ingest_lag_seconds", "us-east", "e"), Some(0.0));
    assert_eq!(of("ingest_lag_seconds", "us-east", "old"), None);
    assert_eq!(of("ingest_lag_seconds", "us-east", "new"), None);
}

/// The address of the next page.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.headers.get("link")?.to_str().unwrap();
    let (address, rest) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
    assert_eq!(rest, "; rel=\"next\"");
    Some(address.to_owned())
}

/// The rows of a list's answer.
fn rows(answer: &Answer) -> Vec<Value> {
    let body = answer.json();
    let rows = body.as_array().or(body["records"].as_array()).or(body["amendments"].as_array());
    rows.cloned().unwrap_or_else(|| panic!("no list: {}", answer.text))
}

/// Whether the rows are the same ones, leaving aside what moves with the clock.
fn names(rows: &[Value]) -> Vec<String> {
    let keys = ["id", "name", "check", "window", "from", "at", "schedule", "number", "incident", "started"];
    rows.iter()
        .map(|row| {
            let told: BTreeMap<&str, &Value> = keys.iter().filter_map(|key| Some((*key, row.get(*key)?))).collect();
            // Of figures of the last 24 h the ends move.
            let told: Vec<String> = told
                .iter()
                .filter(|(key, _)| row.get("seconds").is_none() || **key == "check")
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            told.join(" ")
        })
        .collect()
}

#[tokio::test]
async fn every_list_is_told_page_by_page() {
    let pages = filled().await;
    let bench = &pages.bench;
    let mut lists = BTreeSet::new();
    for (path, operations) in document()["paths"].as_object().unwrap() {
        let Some(operation) = operations.get("get") else { continue };
        let takes = |name: &str| operation["parameters"].as_array().unwrap().iter().any(|one| one["name"] == name);
        let array = operation["responses"]["200"]["content"]["application/json"]["schema"]["type"] == "array";
        assert!(!array || takes("cursor"), "{path} is a list without pages");
        if !takes("cursor") {
            continue;
        }
        assert!(takes("limit"), "{path}");
        let whole_uri = asked(path).unwrap();
        let joint = if whole_uri.contains('?') { '&' } else { '?' };
        let whole = rows(&bench.get(&whole_uri).await);
        let (mut told, mut uri, mut asked_times) = (Vec::new(), Some(format!("{whole_uri}{joint}limit=1")), 0);
        while let Some(address) = uri {
            let answer = bench.get(&address).await;
            assert_eq!(answer.status, StatusCode::OK, "{address}: {}", answer.text);
            let page = rows(&answer);
            assert!(page.len() <= 1, "{address}");
            told.extend(page);
            uri = next(&answer);
            asked_times += 1;
            assert!(asked_times <= 500, "{path} never ends");
        }
        // On-call tells the instant it was asked at.
        if !path.ends_with("oncall") {
            assert_eq!(names(&told), names(&whole), "{path}");
        }
        assert_eq!(told.len(), whole.len(), "{path}");
        if whole.len() > 1 {
            lists.insert(path.as_str());
        }
        for wrong in ["limit=0", "limit=1001", "limit=x", "cursor=made-up", "cursor="] {
            let refused = bench.get(&format!("{whole_uri}{joint}{wrong}")).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path} {wrong}: {}", refused.text);
        }
    }
    assert!(lists.len() >= 12, "few lists have more than one page here: {lists:?}");
}

#[tokio::test]
async fn a_list_that_changes_between_two_pages_repeats_nothing_and_leaves_nothing_out() {
    let bench = Bench::new();
    let check = |id: &str| CHECK.replace("shop", id);
    let text: String = ["b", "d", "f", "h"].map(check).concat();
    bench.apply(&text, json!({})).await;
    let first = bench.get("/api/v1/checks?limit=2").await;
    assert_eq!(names(&rows(&first)), ["id=\"b\"", "id=\"d\""]);
    // One comes before what was told, one after, and the one that the cursor names goes.
    let text: String = ["a", "b", "e", "f", "h"].map(check).concat();
    bench.apply(&text, json!({"prune": true})).await;
    let second = bench.get(&next(&first).unwrap()).await;
    assert_eq!(names(&rows(&second)), ["id=\"e\"", "id=\"f\""]);
    let third = bench.get(&next(&second).unwrap()).await;
    assert_eq!(names(&rows(&third)), ["id=\"h\""]);
    assert_eq!(next(&third), None);
    // A cursor of another list.
    let cursor = next(&first).unwrap().split_once("cursor=").unwrap().1.to_owned();
    assert_eq!(bench.get(&format!("/api/v1/agents?cursor={cursor}")).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_answer_that_is_known_is_not_sent_again() {
    let bench = Bench::new();
    bench.apply(CHECK, json!({})).await;
    let path = "/api/v1/policies";
    let first = bench.get(path).await;
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    assert!(tag.starts_with('"'));
    let known = async |tag: &str| bench.send(Door::Local, "GET", path, &[("if-none-match", tag)], "").await;
    for tag in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
        let again = known(&tag).await;
        assert_eq!((again.status, again.bytes.len()), (StatusCode::NOT_MODIFIED, 0), "{tag}");
        assert_eq!(again.headers["etag"], first.headers["etag"]);
    }
    assert_eq!(known("\"x\"").await.status, StatusCode::OK);
    bench.apply("[[policy]]\nid = \"contract\"\nobjective = \"99.9%\"\n", json!({})).await;
    let changed = known(&tag).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_ne!(changed.headers["etag"], first.headers["etag"]);
    let head = bench.send(Door::Local, "HEAD", path, &[], "").await;
    assert_eq!((head.bytes.len(), &head.headers["etag"]), (0, &changed.headers["etag"]));
    // Refusals have none.
    assert!(!bench.get("/api/v1/checks/none").await.headers.contains_key("etag"));
}

const KEY: (&str, &str) = ("idempotency-key", "11f0-8a");

/// One that agents can be told the address of.
async fn reachable() -> Bench {
    let bench = Bench::new();
    bench.app.set_addresses(vec!["127.0.0.1:8443".into()]).await.unwrap();
    bench
}

async fn join_token(bench: &Bench, headers: &[(&str, &str)], region: &str) -> Answer {
    let body = json!({"region": region, "ttl_seconds": 60}).to_string();
    bench.send(Door::Local, "POST", "/api/v1/join-tokens", headers, &body).await
}

#[tokio::test]
async fn a_request_with_a_key_is_done_once_also_after_a_restart() {
    let bench = reachable().await;
    let first = join_token(&bench, &[KEY], "eu-west").await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    let again = join_token(&bench, &[KEY], "eu-west").await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.headers["content-type"], "application/json");
    assert_ne!(join_token(&bench, &[], "eu-west").await.text, first.text);
    assert_ne!(join_token(&bench, &[(KEY.0, "another")], "eu-west").await.text, first.text);
    let other = join_token(&bench, &[KEY], "us-east").await;
    assert_eq!((other.status, other.json()["code"].clone()), (StatusCode::UNPROCESSABLE_ENTITY, json!("key_reused")));
    let bench = bench.again().await;
    assert_eq!(join_token(&bench, &[KEY], "eu-west").await.text, first.text);
}

#[tokio::test]
async fn the_store_keeps_no_token_in_an_answer() {
    let bench = reachable().await;
    let token = join_token(&bench, &[KEY], "eu-west").await.json()["token"].as_str().unwrap().to_owned();
    let dir = bench.app.data_dir().to_owned();
    bench.app.close().await;
    for file in std::fs::read_dir(dir).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        assert!(!bytes.windows(token.len()).any(|part| part == token.as_bytes()));
    }
}

#[tokio::test]
async fn a_refused_request_frees_its_key_and_a_bad_key_is_refused() {
    let bench = reachable().await;
    let refused = join_token(&bench, &[KEY], "NO REGION").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(join_token(&bench, &[KEY], "eu-west").await.status, StatusCode::OK);
    let long = "k".repeat(256);
    for key in ["", long.as_str()] {
        assert_eq!(join_token(&bench, &[(KEY.0, key)], "eu-west").await.status, StatusCode::BAD_REQUEST, "{key:?}");
    }
    let twice = join_token(&bench, &[(KEY.0, "a"), (KEY.0, "b")], "eu-west").await;
    assert_eq!(twice.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn keys_of_two_callers_are_two_keys() {
    let bench = reachable().await;
    let token = format!("Bearer {}", bench.token(CredentialKind::ApiToken, Access::Admin).await);
    let body = json!({"region": "eu-west", "ttl_seconds": 60}).to_string();
    let own = join_token(&bench, &[KEY], "eu-west").await;
    let headers = [KEY, ("authorization", token.as_str())];
    let other = bench.send(NETWORK, "POST", "/api/v1/join-tokens", &headers, &body).await;
    assert_eq!(other.status, StatusCode::OK);
    assert_ne!(own.text, other.text);
    // Who may not ask at all learns nothing by a key.
    assert_eq!(
        bench.send(NETWORK, "POST", "/api/v1/join-tokens", &[KEY], &body).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn of_requests_at_the_same_time_with_one_key_one_is_done() {
    let bench = std::sync::Arc::new(reachable().await);
    let ask = || join_token(&bench, &[KEY], "eu-west");
    let (a, b, c) = tokio::join!(ask(), ask(), ask());
    let answers = [a, b, c];
    let done: BTreeSet<&str> =
        answers.iter().filter(|one| one.status == StatusCode::OK).map(|one| one.text.as_str()).collect();
    assert_eq!(done.len(), 1, "two tokens were made");
    for one in answers.iter().filter(|one| one.status != StatusCode::OK) {
        assert_eq!(one.status, StatusCode::CONFLICT, "{}", one.text);
    }
}

#[tokio::test]
async fn a_request_is_done_once_whenever_its_client_goes_away() {
    let bench = reachable().await;
    for polls in 1..=8_usize {
        let key = format!("gone-after-{polls}");
        let key = [(KEY.0, key.as_str())];
        {
            let gone = join_token(&bench, &key, "eu-west");
            let mut gone = std::pin::pin!(gone);
            // Polled so often; then its connection breaks, before or after its work began.
            for _ in 0..polls {
                let done =
                    std::future::poll_fn(|context| std::task::Poll::Ready(gone.as_mut().poll(context).is_ready()));
                if done.await {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        // 409 while it is under way.
        loop {
            let answer = join_token(&bench, &key, "eu-west").await;
            if answer.status == StatusCode::OK {
                break;
            }
            assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text);
            tokio::task::yield_now().await;
        }
        let made = bench.get("/api/v1/join-tokens").await.json().as_array().unwrap().len();
        assert_eq!(made, polls, "dropped after {polls} polls, it was done twice or never");
    }
}

#[tokio::test]
async fn of_work_that_a_stop_cut_short_nobody_claims_to_know() {
    let bench = reachable().await;
    join_token(&bench, &[KEY], "eu-west").await;
    let forget = |engine: &mut sitepulse_collector::engine::Engine| {
        let sql = "UPDATE idempotency SET status = NULL, answer = NULL";
        engine.store().connection().execute(sql, []).unwrap()
    };
    assert_eq!(bench.app.writer().run(forget).await.unwrap(), 1);
    let bench = bench.again().await;
    let answer = join_token(&bench, &[KEY], "eu-west").await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.text.contains("nobody knows"), "{}", answer.text);
}

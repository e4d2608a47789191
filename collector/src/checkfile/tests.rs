use super::*;
use sitepulse_model::check::CheckKind;
use sitepulse_model::control::Weight;
use sitepulse_model::quorum::Quorum;

mod objects;
mod pages;

fn one(text: &str) -> Result<Vec<CheckDefinition>, CheckFileErrors> {
    Ok(written(text)?.checks.into_iter().map(|check| check.definition).collect())
}

fn written(text: &str) -> Result<Written, CheckFileErrors> {
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
            r#"checks.toml:2:1: unknown key "title": a check file holds [[check]], [[policy]], [[slo]], [[maintenance]], [[channel]], [[escalation]], [[schedule]], [[user]], [[status_page]], [[scoring]], [[playbook]] and [profile.NAME] tables only"#,
            r#"checks.toml:5:8: check "shop": unknown kind "htp": did you mean "http"?"#,
            r#"checks.toml:7:1: check "shop": unknown key "intervall": did you mean "interval"?"#,
            r#"checks.toml:8:11: check "shop": timeout has no unit: write a text, like timeout = "10s""#,
            r#"checks.toml:9:10: check "shop": weight is -1: write a number from 0 to 1000 with at most three decimals"#,
            r#"checks.toml:10:12: check "shop": region "EU" is not a slug: use 1 to 64 of a-z, 0-9, '-', '_' and '.', starting with a letter or digit"#,
            r#"checks.toml:11:17: check "shop": confirmations is 0: write a whole number from 1 to 100"#,
            r#"checks.toml:13:6: check "shop": the id is already used at checks.toml:4: give each check an id of its own"#,
            r#"checks.toml:15:7: check "shop": url: "https://u:p@shop.example/": a user or password in the URL would be shown to everybody: leave it out"#,
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
fn keys_of_a_kind_are_told_with_their_place() {
    let found = texts(
        r#"
[[check]]
id = "a"
kind = "tcp"
adress = "a:1"
url = "http://a/"
retries = 6
[[check]]
id = "b"
kind = "http"
url = "http://b/"
redirects = 11
headers = { "X-Api-Key" = "plain", "x.y" = "a\nb" }
[check.tls]
ca = "x"
[[check]]
id = "c"
kind = "http"
url = "http://b/"
[check.tls]
insecur = true
[[check]]
id = "d"
kind = "icmp"
host = "a"
spacing = 5
[[check]]
id = "e"
kind = "flow"
[[check.steps]]
name = "one"
url = "http://a/"
[[check.steps]]
name = "two"
url = "http://a/{{token}}"
expect = ["status = 200"]
[[check]]
id = "f"
kind = "dns"
name = "a"
record = "AAA"
[[check]]
id = "g"
kind = "flow"
steps = [{ name = "one" }]
[[check]]
id = "h"
kind = "udp"
address = "a:1"
expect = ["status == 200"]
[[check]]
id = "i"
kind = "http"
url = "http://a/"
auth = { basic = { user = "u", password = "x" } }
redirects = "2"
"#,
    );
    assert_eq!(
        found,
        [
            r#"checks.toml:2:1: check "a": "address" is missing: add address = "shop.example:443""#,
            r#"checks.toml:5:1: check "a": unknown key "adress" of kind "tcp": did you mean "address"?"#,
            r#"checks.toml:6:1: check "a": unknown key "url" of kind "tcp": known are id, kind, interval, timeout, retries, weight, group, tags, class, parents, providers, escalation, regions, quorum, confirmations, recoveries, expect, address, send, family"#,
            r#"checks.toml:7:11: check "a": retries: write a whole number from 0 to 5"#,
            r#"checks.toml:12:13: check "b": redirects: 11 redirects: at most 10 are followed"#,
            r#"checks.toml:13:27: check "b": headers.X-Api-Key: the value of this header may not stand here in the clear: keep it with `sitepulse-collector secret set NAME` and write "secret:NAME""#,
            r#"checks.toml:13:44: check "b": headers.x.y: a header's value holds ASCII on one line: no line breaks, no control characters"#,
            r#"checks.toml:15:6: check "b": tls.ca: it is not PEM: each certificate stands between -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----"#,
            r#"checks.toml:21:1: check "c": unknown key "insecur" in tls: did you mean "insecure"?"#,
            r#"checks.toml:26:11: check "d": spacing: found integer 5, write a text in quotes, and for a time its unit, as in "10s""#,
            r#"checks.toml:35:7: check "e": steps[1].url: no earlier step captures {{token}}: add token = ... to the capture of one"#,
            r#"checks.toml:36:11: check "e": steps[1].expect[0]: assertion "status = 200": equality is written "==" (at column 8 of the assertion)"#,
            r#"checks.toml:41:10: check "f": record: "AAA" is not known: did you mean "AAAA"?"#,
            r#"checks.toml:45:10: check "g": steps[0]: "url" is missing: add url = "https://shop.example/""#,
            r#"checks.toml:46:1: check "h": send: there is nothing to send, so nobody would answer: write send or send_hex"#,
            r#"checks.toml:50:12: check "h": assertion "status == 200": a check of kind "udp" has no status: a check of kind "udp" offers body, size, latency and attempts"#,
            r#"checks.toml:56:13: check "i": redirects: found string "2", write a whole number, not below 0"#,
        ]
    );
}

#[test]
fn both_families_are_two_checks() {
    let checks =
        one("[[check]]\nid = \"a\"\nkind = \"tcp\"\naddress = \"a:1\"\nfamily = \"both\"\nretries = 2\n").unwrap();
    let found: Vec<(&str, String)> = checks.iter().map(|check| (check.id.as_str(), check.kind.target_json())).collect();
    assert_eq!(
        found,
        [
            ("a-ipv4", r#"{"address":"a:1","family":"ipv4"}"#.to_owned()),
            ("a-ipv6", r#"{"address":"a:1","family":"ipv6"}"#.to_owned()),
        ]
    );
    assert!(checks.iter().all(|check| check.retries == 2));
    for (keys, why) in [
        ("kind = \"tcp\"\naddress = \"[::1]:1\"", "::1 is one address already"),
        ("kind = \"dns\"\nname = \"a\"", "\"both\" is offered by http, tcp"),
        ("kind = \"heartbeat\"\ngrace = \"1m\"\nperiod = \"1m\"", "unknown key \"family\""),
        (
            "kind = \"tcp\"\naddress = \"a:1\"\n[[check]]\nid = \"a-ipv6\"\nkind = \"tcp\"\naddress = \"a:1\"",
            "already used",
        ),
    ] {
        let text = format!("[[check]]\nid = \"a\"\nfamily = \"both\"\n{keys}\n");
        let found = texts(&text);
        assert!(found.len() == 1 && found[0].contains(why), "{found:?}");
    }
}

#[test]
fn every_kind_of_both_takes_a_family() {
    for kind in CheckKind::NAMES {
        let takes = CheckKind::keys(kind).unwrap().contains(&"family");
        assert!(takes || !CheckKind::BOTH_FAMILIES.contains(&kind), "{kind}");
        assert!(CheckKind::keys(kind).unwrap().iter().all(|key| !KEYS.contains(key)), "{kind} hides a common key");
    }
}

#[test]
fn heartbeats_have_defaults_of_their_own() {
    let checks = one("[[check]]\nid = \"a\"\nkind = \"heartbeat\"\nperiod = \"1d\"\ngrace = \"1h\"\n").unwrap();
    assert_eq!((checks[0].interval_us, checks[0].confirmations), (30_000_000, 1));
    let found = texts(
        "[[check]]\nid = \"a\"\nkind = \"heartbeat\"\ngrace = \"1h\"\ntimeout = \"1s\"\nretries = 1\nregions = [\"eu\"]\nexpect = [\"latency < 1s\"]\n",
    );
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found[0].contains("1:1: check \"a\": it says neither period nor cron"));
    assert!(found[1].contains("\"timeout\" means nothing to a heartbeat"));
    assert!(found[4].contains("takes no assertions"));
}

#[test]
fn a_whole_run_ends_in_time() {
    let check = |keys: &str| format!("[[check]]\nid = \"a\"\nkind = \"icmp\"\nhost = \"a\"\n{keys}\n");
    assert!(one(&check("retries = 4\ntimeout = \"60s\"")).is_ok());
    let found = texts(&check("retries = 5\ntimeout = \"60s\""));
    assert!(
        found[0].contains("5:11: check \"a\": 5 retries after a timeout of 1m take up to 6m: at most 5m"),
        "{found:?}"
    );
    let found = texts(&check("count = 11\nspacing = \"1s\""));
    assert!(found[0].contains("5:9: check \"a\": 11 echoes take 10s to send, the timeout is 10s"), "{found:?}");
}

//! Runs that somebody asks for, of an agent and without one.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use sitepulse_model::id::CheckNo;
use sitepulse_model::record::ProbeState;

use crate::played::*;

#[test]
fn a_check_runs_now_when_a_person_or_the_collector_asks() {
    let site = Site::start();
    let mut checks =
        vec![check(1, "shop", format!("http://{}/", site.address)), check(2, "gone", "http://127.0.0.1:9/".to_owned())];
    for check in &mut checks {
        check.definition.interval_us = 7 * 86_400_000_000;
    }
    let collector = Collector::start(checks);
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    json(&dir, &["join", &collector.token(), "--json"]);
    let daemon = Daemon::start(&dir);
    wait_for("the assignment", || json(&dir, &["status", "--json"])["checks"] == 2);

    let ran = json(&dir, &["run-now", "shop", "--json"]);
    assert_eq!(
        (ran["state"].as_str(), ran["check"].as_str(), ran["facts"]["status"].as_u64()),
        (Some("up"), Some("shop"), Some(200))
    );
    assert!(ran["cause"].is_null() && ran["phases_us"]["total"].is_u64(), "{ran}");
    assert!(ran["phases_us"].get("tls").is_none(), "what did not happen is absent: {ran}");
    let output = ask(&dir, &["run-now", "gone"]);
    assert_eq!(output.status.code(), Some(9), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("down  gone  http://127.0.0.1:9/\n") && text.contains("connection_refused"), "{text}");
    assert_eq!(ask(&dir, &["run-now", "nope"]).status.code(), Some(8));

    collector.book.lock().unwrap().run_now = vec![CheckNo(1), CheckNo(2), CheckNo(77)];
    wait_for("three answers", || collector.book.lock().unwrap().ran.len() == 3);
    {
        let book = collector.book.lock().unwrap();
        let states: Vec<_> = book.ran.values().map(|outcome| outcome.as_ref().map(|result| result.state)).collect();
        assert_eq!((states[0], states[1]), (Ok(ProbeState::Up), Ok(ProbeState::Down)));
        assert!(states[2].unwrap_err().contains("does not run check 77"), "{states:?}");
    }
    assert_eq!(collector.records(), [], "nothing counts it");
    assert!(daemon.terminate().success());
    let output = ask(&dir, &["run-now", "shop"]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("sitepulse-agent probe"), "{output:?}");
}

/// `sitepulse-agent probe ...` without any agent.
fn probe(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sitepulse-agent"));
    command.arg("probe").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_probe_needs_no_agent_and_prints_every_phase() {
    let site = Site::start();
    let url = format!("http://{}/", site.address);
    let (code, out, err) = probe(&[&url, "--json"], "");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let keys: BTreeSet<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["target", "state", "cause", "phase", "explanation", "address", "phases_us", "facts"];
    assert_eq!(keys, BTreeSet::from(expected));
    assert_eq!(json["address"], site.address.to_string());
    for phase in ["connect", "send", "first_byte", "total"] {
        assert!(json["phases_us"][phase].is_u64(), "{phase}: {json}");
    }

    let (code, out, _) = probe(&[&url, "--expect", "status == 204"], "");
    assert_eq!(code, 9, "{out}");
    assert!(out.starts_with("down") && out.contains("assertion_failed") && out.contains("first_byte"), "{out}");
    assert!(!out.contains('\x1b'), "colours are for terminals");
    let (code, out, _) = probe(&[&url, "--expect", "degraded if status == 200", "--json"], "");
    assert_eq!((code, out.contains("\"degraded\"")), (0, true), "{out}");
    let (code, out, _) = probe(&["http://169.254.169.254/", "--json"], "");
    assert_eq!((code, out.contains("policy_refused")), (10, true), "{out}");

    let file = format!("[[check]]\nid = \"one\"\nkind = \"http\"\nurl = \"{url}\"\n");
    let (code, out, _) = probe(&["-", "--json"], &file);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["check"].as_str()), (0, Some("one")), "one check is one object: {out}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checks.toml");
    std::fs::write(&path, format!("{file}[[check]]\nid = \"two\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\n"))
        .unwrap();
    let (code, out, _) = probe(&[path.to_str().unwrap(), "--json"], "");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, json[0]["state"].as_str(), json[1]["cause"].as_str()),
        (9, Some("up"), Some("connection_refused"))
    );
    let (_, out, _) = probe(&[path.to_str().unwrap()], "");
    assert!(out.contains("up  one  ") && out.contains("\ndown  two  "), "{out}");

    for (arguments, code, why) in [
        (&["shop.example"][..], 2, "neither a file nor a URL"),
        (&["tcp://shop.example"], 2, "no port"),
        (&[path.to_str().unwrap(), "--redirects", "1"], 2, "write them into it"),
        (&["https://a/", "--allow", "everything"], 2, "--allow"),
        (&["https://a/", "--config", "/no/such.toml"], 3, "/no/such.toml"),
        (&["https://a/", "--expect", "status =="], 2, "column"),
    ] {
        let (seen, out, err) = probe(arguments, "");
        assert_eq!((seen, out.as_str()), (code, ""), "{arguments:?}: {err}");
        assert!(err.contains(why), "{arguments:?}: {err}");
    }
}

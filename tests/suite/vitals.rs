//! Pages in a real browser, through the whole system: a check file, the collector, an agent with Chromium, and what is kept of it all.
//!
//! The host of a test may be busy with other tests: the agents here doubt no figure for that (`pressure_max = 100`). What figures are worth is tested beside
//! the browser's own code.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use sitepulse_model::record::{Cause, FactKey, MissedCause, ProbeResult, ProbeState, Record};
use sitepulse_model::vitals::report::Report;
use sitepulse_model::vitals::{Spread, Vital};
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::descent::{descendants, gone_soon};
use sitepulse_tests::process::{self, Daemon};
use sitepulse_tests::site::{Mood, Site};
use sitepulse_tests::{oracle, wait};

const INTERVAL_US: i64 = 10_000_000;
/// A page in a debug build on a host that builds something else meanwhile.
const PATIENCE_S: u64 = 300;

fn page(site: &Site, id: &str, more: &str) -> String {
    let url = site.url("page");
    format!(
        "[[check]]\nid = \"{id}\"\nkind = \"web_vitals\"\nurl = \"{url}\"\nprofile = \"desktop\"\nthrottling = false\nruns = 1\nsettle = \"200ms\"\n\
         interval = \"10s\"\ntimeout = \"60s\"\nconfirmations = 1\n{more}\n"
    )
}

/// Starts an enrolled agent with a table `[browser]`.
fn start_agent(cluster: &mut Cluster, name: &str, browser: &str) {
    let config = cluster.dir().join(format!("{name}.toml"));
    std::fs::write(&config, format!("[browser]\npressure_max = 100\n{browser}\n")).expect("writable");
    let daemon = Daemon::start(
        process::agent().args(["run", "--config"]).arg(&config).arg("--data-dir").arg(cluster.agent_dir(name)),
        &cluster.dir().join(format!("agent-{name}.log")),
    );
    assert!(cluster.agents.insert(name.to_owned(), daemon).is_none(), "{name} runs already");
}

/// Every record in a collector's store.
fn stored(dir: &Path) -> Vec<Record> {
    let db = Connection::open_with_flags(dir.join("collector.db"), OpenFlags::SQLITE_OPEN_READ_WRITE).expect("a store");
    sitepulse_tests::oracle::rows(&db).into_iter().map(|row| row.record).collect()
}

fn results(dir: &Path) -> Vec<ProbeResult> {
    let of = |record| if let Record::Result(result) = record { Some(result) } else { None };
    stored(dir).into_iter().filter_map(of).collect()
}

/// The report of a run: the store keeps it beside its record.
fn report(dir: &Path, result: &ProbeResult) -> Report {
    assert_eq!(result.facts.texts_of(FactKey::VitalsReport).count(), 0, "records stay small");
    let db = Connection::open_with_flags(dir.join("collector.db"), OpenFlags::SQLITE_OPEN_READ_WRITE).expect("a store");
    let json: String = db
        .query_row(
            "SELECT body FROM report WHERE check_no = ?1 AND scheduled_us = ?2",
            (result.check.0, result.scheduled.0),
            |row| row.get(0),
        )
        .expect("every run of a page has a report");
    serde_json::from_str(&json).expect("a report")
}

/// Pictures that a store keeps.
fn screenshots(dir: &Path) -> i64 {
    let db = Connection::open_with_flags(dir.join("collector.db"), OpenFlags::SQLITE_OPEN_READ_WRITE).expect("a store");
    db.query_row("SELECT count(*) FROM screenshot", [], |row| row.get(0)).expect("a count")
}

#[test]
fn pages_are_measured_shipped_and_kept_while_the_collector_is_away() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    let good = page(&site, "good", "expect = [\"degraded if lcp > 60s\"]");
    let slow = page(&site, "slow", "expect = [\"degraded if lcp > 1ms\"]");
    cluster.apply(&format!("{good}{slow}")).ok();
    cluster.join("a", "eu-west");
    start_agent(&mut cluster, "a", "");
    cluster.wait_for_verdict("good", "up", PATIENCE_S);
    cluster.wait_for_verdict("slow", "degraded", PATIENCE_S);

    // Somebody looks at one run.
    let now = wait::until("a page is measured at once", PATIENCE_S, || {
        let answer = cluster.agent_ctl("a", &["run-now", "good", "--json"]);
        if answer.code == 0 { Ok(answer.json()) } else { Err(answer) }
    });
    assert_eq!((now["state"].as_str(), now["facts"]["status"].as_u64()), (Some("up"), Some(200)), "{now}");
    assert!(now["facts"]["lcp_us"].as_u64().is_some_and(|lcp| lcp > 0), "{now}");
    assert_eq!(now["vitals"]["loads"].as_array().map(Vec::len), Some(1), "{now}");
    assert_eq!(now["vitals"]["profile"]["name"], "desktop", "{now}");
    assert!(now["facts"]["vitals_report"].is_null(), "documents are no facts to be listed: {now}");

    // Suspended, nothing runs; resumed, it goes on.
    cluster.agent_ctl("a", &["suspend", "--check", "good", "--reason", "test"]).ok();
    let refused = cluster.agent_ctl("a", &["run-now", "good"]);
    assert!(refused.code != 0 && refused.stderr.contains("is suspended"), "{refused:?}");
    wait::until("a suspended slot is recorded as missed", PATIENCE_S, || {
        let missed =
            |record: &Record| matches!(record, Record::Missed(missed) if missed.cause == MissedCause::Suspended);
        let all = stored(&cluster.collector_dir());
        if all.iter().any(missed) { Ok(()) } else { Err(all.len()) }
    });
    cluster.agent_ctl("a", &["resume", "--check", "good"]).ok();
    cluster.wait_for_verdict("good", "up", PATIENCE_S);

    // Cut off, and the page fails: what was seen is kept, and shipped later with its picture.
    cluster.stop_collector();
    let before = results(&cluster.collector_dir()).len();
    site.set(Mood::Ill);
    let waiting = |cluster: &Cluster| cluster.agent_ctl("a", &["checks", "--json"]).json();
    wait::until("both pages fail", PATIENCE_S, || {
        let checks = waiting(&cluster);
        let down = |check: &serde_json::Value| check["last"]["state"] == "down";
        if checks.as_array().expect("a list").iter().all(down) { Ok(()) } else { Err(checks) }
    });
    assert_eq!(results(&cluster.collector_dir()).len(), before, "the collector is away");
    cluster.start_collector();
    cluster.wait_for_verdict("good", "down", PATIENCE_S);
    cluster.wait_for_drain("a", PATIENCE_S);
    cluster.stop_agent("a");
    cluster.stop_collector();

    let all = results(&cluster.collector_dir());
    let of = |state: ProbeState| all.iter().filter(move |result| result.state == state);
    for result in of(ProbeState::Up).chain(of(ProbeState::Degraded)) {
        let report = report(&cluster.collector_dir(), result);
        let lcp = Spread::from_facts(Vital::Lcp, &result.facts).expect("every page that is shown has an LCP");
        assert_eq!(report.loads[report.shown.expect("one is shown")].values.lcp, Some(lcp.median));
        assert!(report.attribution.is_some_and(|attribution| attribution.lcp.is_some_and(|lcp| lcp.area > 0)));
        assert_eq!(report.page.map(|page| page.status), Some(Some(200)));
        assert!(!report.browser.is_empty() && result.address.is_some() && result.phases.total.is_some());
    }
    assert!(of(ProbeState::Degraded).all(|result| result.cause == Some(Cause::SoftAssertion)));
    assert!(of(ProbeState::Down).count() >= 2);
    for result in of(ProbeState::Down) {
        assert_eq!(result.cause, Some(Cause::HttpStatus), "{}", result.detail);
        assert_eq!(result.facts.number_of(FactKey::Lcp), None, "an error document is not graded");
        assert!(!report(&cluster.collector_dir(), result).loads[0].failure.is_empty());
    }
    assert!(screenshots(&cluster.collector_dir()) > 0, "failures have a picture");
    let store = oracle::read(&cluster.collector_dir(), INTERVAL_US);
    assert_eq!(store.unaccounted(INTERVAL_US), Vec::<String>::new());
}

#[test]
fn a_killed_agent_leaves_no_browser_and_its_run_is_missed() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&page(&site, "page", "")).ok();
    cluster.join("a", "eu-west");
    start_agent(&mut cluster, "a", "");
    cluster.wait_for_verdict("page", "up", PATIENCE_S);
    // In the middle of a run: the page was asked for, and its result cannot be there yet.
    let hits = site.hits()["page"];
    let pid = cluster.agents["a"].pid();
    wait::until("the next page is asked for", PATIENCE_S, || {
        let now = site.hits()["page"];
        if now > hits { Ok(()) } else { Err(now) }
    });
    let browser = descendants(pid);
    cluster.kill_agent("a");
    gone_soon(&browser);
    start_agent(&mut cluster, "a", "");
    wait::until("a page is measured again", PATIENCE_S, || {
        let all = stored(&cluster.collector_dir());
        let missed =
            |record: &Record| matches!(record, Record::Missed(missed) if missed.cause == MissedCause::AgentStopped);
        let after = all.iter().skip_while(|record| !missed(record)).any(|record| matches!(record, Record::Result(_)));
        if after { Ok(()) } else { Err(all) }
    });
    let browser = descendants(cluster.agents["a"].pid());
    cluster.stop_agent("a");
    gone_soon(&browser);
    cluster.stop_collector();
    let store = oracle::read(&cluster.collector_dir(), INTERVAL_US);
    assert_eq!(store.unaccounted(INTERVAL_US), Vec::<String>::new());
    assert_eq!(store.count(ProbeState::Down), 0, "a kill is never `down`");
}

#[test]
fn without_a_browser_pages_are_unknown_and_all_else_goes_on() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&format!("{}{}", page(&site, "page", ""), site.check("shop"))).ok();
    cluster.join("a", "eu-west");
    start_agent(&mut cluster, "a", "program = \"/nonexistent/chromium\"");
    cluster.wait_for_verdict("shop", "up", PATIENCE_S);
    let result = wait::until("the page has a result", PATIENCE_S, || {
        let all = results(&cluster.collector_dir());
        all.iter().find(|result| result.cause == Some(Cause::BrowserMissing)).cloned().ok_or(all.len())
    });
    assert_eq!(result.state, ProbeState::Unknown);
    assert!(result.detail.contains("[browser] program"), "it names the remedy: {}", result.detail);
    cluster.wait_for_verdict("shop", "up", PATIENCE_S);
    cluster.stop_agent("a");
}

#[test]
fn a_page_is_measured_at_the_command_line() {
    let site = Site::start();
    let config = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(config.path(), "[network]\nallow = [\"loopback\"]\n[browser]\npressure_max = 100\n")
        .expect("writable");
    let vitals = |more: &[&str]| {
        let url = site.url("page");
        let common =
            ["vitals", &url, "--profile", "desktop", "--no-throttling", "--settle", "200ms", "--timeout", "60s"];
        process::run(process::agent().args(common).arg("--config").arg(config.path()).args(more))
    };
    let answer = vitals(&["--runs", "1", "--json"]);
    assert!(answer.stderr.contains("load 1 of 1"), "{answer:?}");
    let json = answer.json();
    assert_eq!(
        (json["state"].as_str(), json["runs"].as_u64(), json["profile"].as_str()),
        (Some("up"), Some(1), Some("desktop"))
    );
    for vital in ["lcp_ms", "fcp_ms", "ttfb_ms"] {
        assert!(json[vital]["median"].as_f64().is_some_and(|value| value > 0.0), "{vital}: {json}");
    }
    assert!(json["inp_ms"].is_null() && json["cls"]["rating"] == "good", "{json}");
    assert_eq!(json["provenance"]["source"], "lab");
    assert!(json["host"]["cpus"].as_u64().is_some_and(|cpus| cpus > 0), "{json}");

    site.set(Mood::Ill);
    let picture = tempfile::NamedTempFile::new().expect("a file");
    let path = picture.path().to_str().expect("temporary paths are UTF-8");
    let failed = vitals(&["--runs", "1", "--screenshot", path]);
    assert_eq!(failed.code, 9, "{failed:?}");
    assert!(failed.stdout.contains("503") && failed.stdout.contains("(http_status)"), "{failed:?}");
    assert!(std::fs::read(path).expect("a picture").starts_with(&[0xff, 0xd8]), "a JPEG");
    let missing = vitals(&["--browser", "/nonexistent/chromium"]);
    assert_eq!(missing.code, 10, "{missing:?}");
    assert!(missing.stdout.contains("(browser_missing)"), "{missing:?}");
    assert_eq!(vitals(&["--browser", "firefox"]).code, 2);
}

//! What a kill, a damaged file and a full disk leave: every run is accounted for.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use sitepulse_agent::spool::policy::{Keep, PendingRecord};
use sitepulse_agent::spool::{Limits, Spool};
use sitepulse_daemon::clock;
use sitepulse_model::control::{Change, Scope, Weight};
use sitepulse_model::id::{AgentNo, CheckId, CheckNo, Incarnation};
use sitepulse_model::record::{DropReason, MissedCause, ProbeState, Record};
use sitepulse_model::time::UtcMicros;

use crate::played::*;

#[test]
fn a_killed_agent_accounts_for_every_slot_and_nobodys_order_is_lost() {
    let site = Site::start();
    let checks =
        vec![check(1, "shop", format!("http://{}/", site.address)), check(2, "gone", "http://127.0.0.1:9/".to_owned())];
    let collector = Collector::start(checks.clone());
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    json(&dir, &["join", &collector.token(), "--json"]);

    let daemon = Daemon::start(&dir);
    wait_for("the first results", || {
        let records = collector.records();
        results(&records, 1) >= 2 && results(&records, 2) >= 2
    });
    let status = json(&dir, &["status", "--json"]);
    assert_eq!((status["running"].as_bool(), status["name"].as_str()), (Some(true), Some("chosen")));
    let listed = json(&dir, &["checks", "--json"]);
    assert_eq!((listed[0]["check"].as_str(), listed[0]["last"]["state"].as_str()), (Some("gone"), Some("down")));
    assert_eq!(listed[1]["last"]["state"].as_str(), Some("up"));
    let output = agent(&dir, &["run"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "one process per data directory");

    // While it runs, an order takes effect at the next slot and reaches the collector.
    json(&dir, &["suspend", "--check", "gone", "--for", "2h", "--reason", "works", "--json"]);
    let output = ask(&dir, &["suspend", "--check", "nope", "--reason", "x"]);
    assert_eq!(output.status.code(), Some(8), "{}", String::from_utf8_lossy(&output.stderr));
    wait_for("the suspension and a missed slot", || {
        let missed = collector.records().iter().any(|record| {
            matches!(record, Record::Missed(missed) if missed.cause == MissedCause::Suspended && missed.check == CheckNo(2))
        });
        missed && collector.book.lock().unwrap().events.len() == 1
    });
    daemon.kill();

    // While it is stopped, an order waits in the files.
    let weight = json(&dir, &["weight", "2.5", "--json"]);
    assert_eq!((weight["weight"].as_f64(), weight["number"].as_u64()), (Some(2.5), Some(2)));
    let spool = json(&dir, &["spool", "--json"]);
    assert!(spool["records"].is_u64());
    let before = results(&collector.records(), 1);
    let killed = clock::now();
    wait_for("a slot while stopped", || clock::now().us_since(killed) > 1_200_000);
    let daemon = Daemon::start(&dir);
    wait_for("results after the kill", || results(&collector.records(), 1) >= before + 2);
    wait_for("the order of the stopped agent", || collector.book.lock().unwrap().events.len() >= 2);
    {
        let book = collector.book.lock().unwrap();
        assert!(matches!(book.events[1].change, Change::Weight(Weight(2500))));
        assert_eq!(book.events[1].scope, Scope::Agent(AgentNo(3)));
        assert!(book.statuses > 0);
    }
    assert!(daemon.terminate().success());
    let daemon = Daemon::start(&dir);
    let before = results(&collector.records(), 1);
    wait_for("results after a clean stop", || results(&collector.records(), 1) > before);
    assert!(daemon.terminate().success());
    // What came in after the last acknowledgement is sent by the next start.
    let daemon = Daemon::start(&dir);
    wait_for("the rest", || json(&dir, &["spool", "--json"])["records"].as_u64().unwrap() < 3);
    daemon.kill();
    let records = collector.records();
    assert!(
        records
            .iter()
            .any(|record| matches!(record, Record::Missed(missed) if missed.cause == MissedCause::AgentStopped))
    );
    let states: BTreeSet<ProbeState> = records
        .iter()
        .filter_map(|record| match record {
            Record::Result(result) if result.check == CheckNo(1) => Some(result.state),
            Record::Result(_) | Record::Missed(_) | Record::Dropped(_) => None,
        })
        .collect();
    assert_eq!(states, BTreeSet::from([ProbeState::Up]));
    for check in &checks {
        every_slot_once(&records, check, "chosen");
    }
}

#[test]
fn a_damaged_spool_is_reported_and_a_revoked_agent_ends() {
    let checks = vec![check(1, "shop", "http://127.0.0.1:9/".to_owned())];
    let collector = Collector::start(checks);
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    json(&dir, &["join", &collector.token(), "--json"]);
    let daemon = Daemon::start(&dir);
    wait_for("a result", || results(&collector.records(), 1) >= 1);
    daemon.kill();
    std::fs::write(dir.join("spool.db"), vec![0x5a; 20_000]).unwrap();
    // The log alone could restore all of it.
    std::fs::remove_file(dir.join("spool.db-wal")).unwrap();
    let daemon = Daemon::start(&dir);
    wait_for("a tombstone", || {
        let now = clock::now();
        collector.records().iter().any(|record| {
            matches!(record, Record::Dropped(dropped)
                if dropped.reason == DropReason::SpoolCorrupt && dropped.count > 0 && dropped.last <= now && dropped.first > UtcMicros(0))
        })
    });
    drop(daemon);
    assert!(
        std::fs::read_dir(&dir).unwrap().any(|entry| entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains(".corrupt-"))
    );
    collector.book.lock().unwrap().revoked = true;
    let output = agent(&dir, &["run"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("this agent was revoked"));
}

#[test]
fn a_record_damaged_at_rest_does_not_stop_shipping() {
    let checks = vec![check(1, "shop", "http://127.0.0.1:9/".to_owned())];
    let collector = Collector::start(checks);
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    json(&dir, &["join", &collector.token(), "--json"]);
    let daemon = Daemon::start(&dir);
    wait_for("a result", || results(&collector.records(), 1) >= 1);
    assert!(daemon.terminate().success());

    // A record that waits in a cleanly closed spool loses a bit: only its checksum can tell, when the shipper reads it.
    let path = dir.join("spool.db");
    let mut spool = Spool::open(&path, Limits::default(), clock::now(), &mut || Incarnation(1)).unwrap().spool;
    let mark = "a detail like no other";
    let result = collector.records().into_iter().find_map(|record| match record {
        Record::Result(result) => Some(result),
        Record::Missed(_) | Record::Dropped(_) => None,
    });
    let mut result = result.unwrap();
    result.detail = mark.to_owned();
    let bucket = CheckId::parse("shop").unwrap().bucket();
    spool.append(&[PendingRecord { bucket, keep: Keep::Notable, record: Record::Result(result) }]).unwrap();
    spool.close().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(mark.len()).position(|window| window == mark.as_bytes()).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let before = results(&collector.records(), 1);
    let daemon = Daemon::start(&dir);
    wait_for("new results", || results(&collector.records(), 1) >= before + 2);
    wait_for("the report of what was lost", || {
        let records = collector.records();
        records
            .iter()
            .any(|record| matches!(record, Record::Dropped(dropped) if dropped.reason == DropReason::SpoolCorrupt))
    });
    assert!(daemon.terminate().success());
}

/// Runs in a mount namespace of its own, with a data directory on a small file system that is full. Where the machine allows none, nothing is tested.
#[test]
fn a_full_disk_does_not_keep_an_agent_from_starting_and_probing() {
    let allowed = Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success());
    if !allowed {
        println!("no mount namespaces here: skipped");
        return;
    }
    let site = Site::start();
    let collector = Collector::start(vec![check(1, "shop", format!("http://{}/", site.address))]);
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    json(&dir, &["join", &collector.token(), "--json"]);
    let daemon = Daemon::start(&dir);
    wait_for("a result", || results(&collector.records(), 1) >= 1);
    assert!(daemon.terminate().success());
    drop(std::fs::remove_file(dir.join("spool.db.ballast")));
    let hits = site.hits();
    let script = "mkdir $0/full && mount -t tmpfs -o size=1m tmpfs $0/full && cp -a $0/data $0/full/ \
        && { cat /dev/zero > $0/full/filler; exec $1 run --data-dir $0/full/data; }";
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script]).arg(home.path()).arg(env!("CARGO_BIN_EXE_sitepulse-agent"));
    command.env("SITEPULSE_ALLOW", "loopback");
    let daemon = Daemon(command.stderr(Stdio::inherit()).spawn().unwrap());
    wait_for("probes on a full disk", || site.hits() >= hits + 3);
    assert!(daemon.terminate().success());
}

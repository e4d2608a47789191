//! Backups of a collector that runs, and a collector made from one.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process;
use sitepulse_tests::site::Site;
use sitepulse_tests::wait;

fn stored(cluster: &Cluster) -> u64 {
    let agents = cluster.ctl(&["agents", "--json"]).json();
    agents.as_array().expect("a list").iter().filter_map(|agent| agent["conservation"]["stored"].as_u64()).sum()
}

fn backup(cluster: &Cluster, file: &Path) -> Value {
    cluster.ctl(&["backup", &file.display().to_string(), "--json"]).json()
}

#[test]
fn a_collector_made_from_a_backup_tells_the_same_and_goes_on() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 60);
    wait::until("results came in", 60, || if stored(&cluster) >= 5 { Ok(()) } else { Err(stored(&cluster)) });

    // While results come in, each is whole: at least what was stored before is in it.
    let folder = cluster.dir().to_owned();
    let file = |n: u32| folder.join(format!("backup-{n}.db"));
    for n in 0..3 {
        let before = stored(&cluster);
        let held = backup(&cluster, &file(n));
        assert!(held["records"].as_u64() >= Some(before), "{before} were stored before {held}");
        assert_eq!(held["keys"], serde_json::json!(["ca.pem", "ca.key"]));
    }
    let again = cluster.ctl(&["backup", &file(2).display().to_string()]);
    assert_eq!(again.code, 5, "{}", again.stderr);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    // Until here every collector must tell the same.
    let until = cluster.check("shop")["agents"][0]["last_scheduled"].clone();
    let until = until.as_str().map_or_else(|| panic!("no last result"), str::to_owned);

    let over = cluster.ctl(&["restore", &file(2).display().to_string()]);
    assert_ne!(over.code, 0, "a running collector's files are its own");
    cluster.stop_collector();
    let over = cluster.ctl(&["restore", &file(2).display().to_string()]);
    assert_eq!(over.code, 5, "{}", over.stderr);
    let last = file(3);
    let held = backup(&cluster, &last);
    let told = |cluster: &Cluster| cluster.sla("shop", &["--to", &until])["seconds"].clone();
    let before = told(&cluster);
    std::fs::rename(cluster.collector_dir(), cluster.dir().join("lost")).expect("the folder can be moved");
    let restored = cluster.ctl(&["restore", &last.display().to_string(), "--json"]).json();
    assert_eq!(restored["records"], held["records"]);
    cluster.start_collector();
    assert_eq!(told(&cluster), before);
    let kept = stored(&cluster);
    wait::until("the agent goes on with the restored collector", 90, || {
        if stored(&cluster) > kept + 3 { Ok(()) } else { Err(stored(&cluster)) }
    });
}

#[test]
fn a_backup_that_is_killed_leaves_no_file_of_its_name() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 60);
    let (mut whole, mut cut) = (0, 0);
    for n in 0..20_u64 {
        let file = cluster.dir().join(format!("killed-{n}.db"));
        let mut child = process::collector()
            .args(["backup", &file.display().to_string(), "--data-dir"])
            .arg(cluster.collector_dir())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        // The instants of the kills: spread over the life of the command.
        std::thread::sleep(std::time::Duration::from_millis(n * 3));
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        if file.exists() {
            whole += 1;
            let into = cluster.dir().join(format!("restored-{n}"));
            std::fs::create_dir(&into).expect("a folder can be made");
            process::run(process::collector().arg("restore").arg(&file).arg("--data-dir").arg(&into)).ok();
        } else {
            cut += 1;
        }
    }
    println!("{whole} were whole, {cut} were cut short");
    // The collector minded none of it.
    let kept = stored(&cluster);
    wait::until("results go on", 60, || if stored(&cluster) > kept { Ok(()) } else { Err(stored(&cluster)) });
}

/// What the collector gave out after the backup is lost with it, and agents remember it: new orders and definitions must not be taken for those.
#[test]
fn orders_given_after_a_restore_reach_the_agent_that_knows_the_lost_ones() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 60);
    let file = cluster.dir().join("backup.db");
    backup(&cluster, &file);

    // Lost later: a suspension, another definition, another check.
    cluster.apply(&format!("{}weight = 2\n{}", site.check("shop"), site.check("lost"))).ok();
    cluster.wait_for_verdict("lost", "up", 60);
    cluster.ctl(&["suspend", "--agent", "eu-west-1", "--for", "1h", "--reason", "lost order"]).ok();
    let status = |cluster: &Cluster| cluster.agent_ctl("eu-west-1", &["status", "--json"]).json().to_string();
    wait::until("the agent is suspended", 60, || {
        if status(&cluster).contains("lost order") { Ok(()) } else { Err(status(&cluster)) }
    });

    cluster.stop_collector();
    std::fs::rename(cluster.collector_dir(), cluster.dir().join("lost")).expect("the folder can be moved");
    let said = cluster.ctl(&["restore", &file.display().to_string()]).ok();
    for word in ["must join again", "Apply the check files again", "set aside", "or resume"] {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
    cluster.start_collector();
    cluster.ctl(&["resume", "--agent", "eu-west-1"]).ok();
    wait::until("the agent is told to go on", 90, || {
        if status(&cluster).contains("lost order") { Err(status(&cluster)) } else { Ok(()) }
    });
    // Definitions of the same revisions and numbers as the lost ones, were they given again.
    cluster.apply(&format!("{}weight = 3\n{}", site.check("shop"), site.check("other"))).ok();
    cluster.wait_for_verdict("other", "up", 90);
    let checks = wait::until("the agent runs the new definitions alone", 60, || {
        let told = cluster.agent_ctl("eu-west-1", &["checks", "--json"]).json();
        let checks: BTreeMap<String, u64> = told
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|check| Some((check["check"].as_str()?.to_owned(), check["revision"].as_u64()?)))
            .collect();
        if checks.keys().eq(["other", "shop"]) { Ok(checks) } else { Err(told.to_string()) }
    });
    // Revision 2 of one is the lost one for ever; the other is a check of a new number.
    assert!(checks["shop"] > 1_000_000 && checks["other"] == 1, "{checks:?}");
    // No result of a lost check counts for one that came after it.
    assert_eq!(cluster.sla("other", &[])["seconds"]["down"], 0.0);
}

/// By the real commands: out beside a collector that runs, into another one, twice, with the same figures.
#[test]
fn what_is_exported_tells_the_same_elsewhere() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 60);
    wait::until("results came in", 60, || if stored(&cluster) >= 5 { Ok(()) } else { Err(stored(&cluster)) });
    let until = cluster.check("shop")["agents"][0]["last_scheduled"].clone();
    let until = until.as_str().map_or_else(|| panic!("no last result"), str::to_owned);
    let told = |cluster: &Cluster| cluster.sla("shop", &["--to", &until])["seconds"].clone();
    let before = told(&cluster);
    for name in ["ledger.jsonl", "ledger.parquet"] {
        let file = cluster.dir().join(name).display().to_string();
        let exported = cluster.ctl(&["export", &file, "--json"]).json();
        let records = exported["records"].as_u64().expect("a number");
        assert!(records >= 5, "{exported}");
        let again = cluster.ctl(&["export", &file]);
        assert_eq!(again.code, 5, "nothing is overwritten: {}", again.stderr);
        let same = cluster.ctl(&["import", &file, "--json"]).json();
        assert_eq!((&same["stored"], &same["known"]), (&serde_json::json!(0), &serde_json::json!(records)), "{same}");

        let other = Cluster::start();
        let imported = other.ctl(&["import", &file, "--json"]).json();
        let counts = ["checks", "agents", "stored", "known", "refused"].map(|key| imported[key].as_u64());
        assert_eq!(counts, [Some(1), Some(1), Some(records), Some(0), Some(0)], "{imported}");
        assert_eq!(told(&other), before, "{name}");
        let twice = other.ctl(&["import", &file, "--json"]).json();
        assert_eq!(twice["known"].as_u64(), Some(records), "{twice}");
    }
    let csv = cluster.ctl(&["export", "--check", "shop", "--format", "csv", "-"]);
    assert!(csv.stdout.starts_with("kind,check,revision,agent,"), "{}", csv.stdout);
    let file = cluster.dir().join("alone.csv");
    std::fs::write(&file, &csv.stdout).expect("writable");
    let refused = Cluster::start().ctl(&["import", &file.display().to_string()]);
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert!(refused.stdout.contains("alone.csv") && refused.stdout.contains("CSV does not"), "{}", refused.stdout);
}

//! The house's own rules: crates know only whom they may, units and samples are what the programs take.

use sitepulse_tests::process::{self, root, run};

fn manifest(place: &str) -> String {
    std::fs::read_to_string(root().join(place).join("Cargo.toml")).expect("each member has a manifest")
}

/// The names in `[dependencies]`.
fn dependencies(place: &str) -> Vec<String> {
    manifest(place)
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split([' ', '=']).next().map(str::to_owned))
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn crates_depend_only_along_the_edges() {
    for (place, allowed) in [
        ("shared/model", &[][..]),
        ("shared/wire", &["sitepulse-model"][..]),
        ("shared/daemon", &["sitepulse-model", "sitepulse-wire"][..]),
        ("shared/notify", &["sitepulse-daemon", "sitepulse-model"][..]),
        ("agent/browser", &["sitepulse-daemon", "sitepulse-model"][..]),
        ("agent/probe", &["sitepulse-browser", "sitepulse-daemon", "sitepulse-model"][..]),
        (
            "agent",
            &[
                "sitepulse-browser",
                "sitepulse-daemon",
                "sitepulse-model",
                "sitepulse-notify",
                "sitepulse-probe",
                "sitepulse-wire",
            ][..],
        ),
        ("collector", &["sitepulse-daemon", "sitepulse-model", "sitepulse-notify", "sitepulse-wire"][..]),
    ] {
        let ours: Vec<String> = dependencies(place).into_iter().filter(|name| name.starts_with("sitepulse-")).collect();
        assert_eq!(ours, allowed, "{place}");
    }
    for place in
        ["shared/model", "shared/daemon", "shared/notify", "agent", "agent/browser", "agent/probe", "collector"]
    {
        assert!(!dependencies(place).contains(&"bincode".to_owned()), "only shared/wire names bincode, not {place}");
    }
    for place in ["shared/model", "shared/wire", "shared/daemon", "shared/notify", "agent/browser", "agent/probe"] {
        assert!(!dependencies(place).contains(&"rusqlite".to_owned()), "{place} may not know SQLite");
    }
    let model = std::fs::read_to_string(root().join("shared/model/src/lib.rs")).expect("the model is there");
    assert!(model.contains("#![no_std]"), "the model is pure: no_std");
}

/// Every file of the collector's source: its place, and its text.
fn collector_source() -> Vec<(String, String)> {
    let source = root().join("collector/src");
    let mut folders = vec![source.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let place = path.strip_prefix(&source).expect("within").to_string_lossy().into_owned();
            files.push((place, std::fs::read_to_string(&path).expect("readable")));
        }
    }
    files
}

fn is_store(place: &str) -> bool {
    place == "store.rs" || place.starts_with("store/")
}

/// What is compiled into the program, without a file's unit tests, which stand last.
fn without_tests(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(program, _)| program)
}

/// Another database can stand where SQLite stands: the collector speaks of it, and in its language, in `store` alone.
#[test]
fn the_collector_names_its_database_in_one_place() {
    let mut files = 0;
    for (place, text) in collector_source().iter().filter(|(place, _)| !is_store(place)) {
        files += 1;
        assert!(!text.contains("rusqlite"), "{place} names rusqlite: give the store a verb for what it needs");
        for sql in ["SELECT ", "INSERT INTO ", "DELETE FROM ", "CREATE TABLE ", "PRAGMA ", ".connection()"] {
            assert!(!without_tests(text).contains(sql), "{place} has `{sql}`: give the store a verb for what it needs");
        }
    }
    assert!(files > 50, "{files} files were looked at");
}

/// No type of the database stands in what the store offers to the rest: its verbs are in the domain's words.
#[test]
fn the_store_hands_out_nothing_of_its_database() {
    let mut verbs = 0;
    for (place, text) in collector_source().iter().filter(|(place, _)| is_store(place)) {
        for begin in ["pub fn ", "pub(crate) fn "] {
            for rest in without_tests(text).split(begin).skip(1) {
                let verb = rest.split(['{', ';']).next().unwrap_or_default();
                verbs += 1;
                // Tests count rows by it, and damage them.
                if verb.starts_with("connection(&self)") {
                    continue;
                }
                for of_database in ["rusqlite", "Connection", "Transaction", "Statement", "Row<", "Params"] {
                    assert!(!verb.contains(of_database), "store: {place}: {verb} hands out {of_database}");
                }
            }
        }
    }
    assert!(verbs > 150, "{verbs} verbs were looked at");
}

/// Every commented-out setting of the sample configurations is a key the programs take.
#[test]
fn sample_configurations_are_taken() {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, mut program, sub) in [("agent", process::agent(), "run"), ("collector", process::collector(), "serve")] {
        let sample = std::fs::read_to_string(root().join(format!("packaging/config/{name}.toml"))).expect("the sample");
        let all: String = sample
            .lines()
            .map(|line| {
                line.strip_prefix("# ").filter(|rest| rest.contains(" = ") || rest.starts_with('[')).unwrap_or(line)
            })
            .filter(|line| !line.starts_with("data_dir"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(all.lines().filter(|line| line.contains(" = ")).count() >= 3, "nothing was uncommented: {all}");
        let file = dir.path().join(format!("{name}.toml"));
        std::fs::write(&file, all + "nonsense_at_the_end = 1\n").expect("writable");
        let answer = run(program.arg(sub).arg("--config").arg(&file).arg("--data-dir").arg(dir.path().join(name)));
        assert_eq!(answer.code, 3, "{answer:?}");
        assert!(answer.stderr.contains("nonsense_at_the_end"), "only the nonsense may be refused: {answer:?}");
    }
}

#[test]
fn units_are_hardened_and_speak_the_documented_exit_codes() {
    for name in ["agent", "collector"] {
        let unit = std::fs::read_to_string(root().join(format!("systemd/sitepulse-{name}.service"))).expect("the unit");
        for line in
            ["Type=notify", "WatchdogSec=", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=\n"]
        {
            assert!(unit.contains(line), "{name}: {line}");
        }
    }
}

/// What the browser's sandbox needs stays open, all else is closed: see the unit's comments.
#[test]
fn the_browsers_units_confine_it() {
    let read = |name: &str| std::fs::read_to_string(root().join("systemd").join(name)).expect("the unit");
    let unit = read("sitepulse-browser@.service");
    for line in [
        "StandardInput=socket\n",
        "User=sitepulse-browser\n",
        "KillMode=control-group\n",
        "MemoryMax=",
        "TasksMax=",
        "CPUWeight=",
        "RuntimeMaxSec=",
        "NoNewPrivileges=yes\n",
        "CapabilityBoundingSet=\n",
        "ProtectSystem=strict\n",
        "ProtectHome=yes\n",
        "IPAddressDeny=any\n",
        "IPAddressAllow=localhost\n",
    ] {
        assert!(unit.contains(line), "{line}");
    }
    // Chromium cannot lock its renderers in with these; a quota would falsify every figure.
    for line in ["\nCPUQuota=", "--no-sandbox", "\nRestrictNamespaces=", "\nMemoryDenyWriteExecute=", "\nPrivateUsers="]
    {
        assert!(!unit.contains(line), "{line}");
    }
    let socket = read("sitepulse-browser.socket");
    for line in ["Accept=yes\n", "SocketUser=sitepulse-agent\n", "SocketMode=0600\n", "MaxConnections="] {
        assert!(socket.contains(line), "{line}");
    }
    let users = std::fs::read_to_string(root().join("packaging/sysusers.d/sitepulse.conf")).expect("the users");
    for user in ["sitepulse-agent", "sitepulse-browser", "sitepulse-collector"] {
        assert!(users.contains(&format!("u {user} ")), "{user}");
    }
    // It may connect to the browser's socket.
    assert!(read("sitepulse-agent.service").lines().any(|line| {
        line.strip_prefix("RestrictAddressFamilies=").is_some_and(|families| families.contains("AF_UNIX"))
    }));
}

/// What systemd itself says of the units, where it is installed.
#[test]
fn systemd_understands_the_units() {
    let verify = std::process::Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(
            [
                "sitepulse-agent.service",
                "sitepulse-collector.service",
                "sitepulse-browser.socket",
                "sitepulse-browser@.service",
            ]
            .map(|name| root().join("systemd").join(name)),
        )
        .output();
    let Ok(output) = verify else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    // The programs are not installed where the tests run.
    let complaints: Vec<&str> = said.lines().filter(|line| !line.contains("is not executable")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn help_has_examples_and_needs_no_data() {
    for (program, subs) in [
        (
            process::agent as fn() -> std::process::Command,
            &["join", "run", "status", "checks", "spool", "suspend", "resume", "weight", "probe", "run-now"][..],
        ),
        (process::collector, &["serve", "apply", "agents", "checks", "sla", "suspend", "resume", "weight"][..]),
    ] {
        for sub in subs {
            let help = run(program().args([sub, "--help"])).ok();
            assert!(help.to_lowercase().contains("example"), "{sub}: {help}");
        }
        let version = run(program().arg("--version")).ok();
        assert!(version.contains("sitepulse"), "{version}");
    }
}

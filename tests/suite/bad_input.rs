//! What goes wrong at the edge: each a message that names place and remedy, a documented exit code, and nothing lost.

use std::process::Command;

use sitepulse_daemon::identity::{AgentKey, CertificateAuthority};
use sitepulse_daemon::{clock, identity, instant};
use sitepulse_model::id::AgentName;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process::{self, Answer, Daemon, run};
use sitepulse_tests::site::Site;
use sitepulse_tests::wait;

fn says(answer: &Answer, code: i32, words: &[&str]) {
    assert_eq!(answer.code, code, "{answer:?}");
    for word in words {
        assert!(answer.stderr.to_lowercase().contains(&word.to_lowercase()), "{word:?} is not in {answer:?}");
    }
}

#[test]
fn join_tokens_are_single_use_short_lived_and_pinned() {
    let cluster = Cluster::start();
    let token = cluster.token("eu-west");
    cluster.agent_ctl("a", &["join", &token, "--name", "a"]).ok();
    // The same agent with the same key again: the same identity.
    cluster.agent_ctl("a", &["join", &token, "--name", "a"]).ok();
    // Another key: used.
    says(&cluster.agent_ctl("b", &["join", &token, "--name", "b"]), 5, &["used", "token create"]);
    // Expired.
    let short = cluster.ctl(&["token", "create", "--region", "eu-west", "--ttl", "1s", "--json"]).json();
    let expires = instant::parse(short["expires"].as_str().expect("RFC 3339"), clock::now()).expect("RFC 3339");
    wait::until("the token's second is over", 5, || if clock::now() > expires { Ok(()) } else { Err(()) });
    let short = short["token"].as_str().expect("a token");
    says(&cluster.agent_ctl("c", &["join", short, "--name", "c"]), 5, &["time is over", "token create"]);
    // Longer than an hour is refused where it is asked for.
    says(&cluster.ctl(&["token", "create", "--region", "eu-west", "--ttl", "2h"]), 2, &["1h"]);
    // Damaged: a typo is told from a forgery.
    let mut typo = token.clone();
    typo.replace_range(20..21, if &typo[20..21] == "A" { "B" } else { "A" });
    says(&cluster.agent_ctl("d", &["join", &typo]), 2, &["token"]);
    // Forged: a good checksum, an unknown secret.
    let mut forged: sitepulse_wire::token::JoinToken = token.parse().expect("the token parses");
    forged.secret = [7; 32];
    says(&cluster.agent_ctl("e", &["join", &forged.to_string()]), 5, &["token"]);
    // Another collector at that address: the pin does not fit.
    let mut wrong: sitepulse_wire::token::JoinToken = cluster.token("eu-west").parse().expect("the token parses");
    wrong.ca_pin = [9; 32];
    says(&cluster.agent_ctl("f", &["join", &wrong.to_string()]), 5, &["pin"]);
    // A name that is taken.
    says(&cluster.agent_ctl("g", &["join", &cluster.token("eu-west"), "--name", "a"]), 5, &["name"]);
    // Nobody there.
    let mut gone: sitepulse_wire::token::JoinToken = token.parse().expect("the token parses");
    gone.addresses = vec!["127.0.0.1:1".to_owned()];
    says(&cluster.agent_ctl("h", &["join", &gone.to_string()]), 6, &["127.0.0.1:1"]);
    // Only `a` was enrolled.
    let agents = cluster.ctl(&["agents", "--json"]).json();
    assert_eq!(agents.as_array().expect("a list").len(), 1, "{agents}");
}

#[test]
fn a_revoked_agent_is_cut_off_told_why_and_keeps_its_spool() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    cluster.add_agent("a", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);
    cluster.ctl(&["agents", "revoke", "a"]).ok();
    let daemon = cluster.agents.get_mut("a").expect("it runs");
    let status = daemon.wait_for_end(60);
    assert_eq!(status.code(), Some(5), "{}", daemon.log());
    assert!(daemon.log().contains("revoked"), "{}", daemon.log());
    cluster.agents.remove("a");
    let spool = cluster.agent_ctl("a", &["spool", "--json"]).json();
    assert!(spool["records"].is_number(), "{spool}");
}

#[test]
fn an_agent_that_slept_past_its_certificate_proves_its_key_and_loses_nothing() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    cluster.add_agent("a", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);
    cluster.stop_agent("a");

    // Put a certificate in place that this collector issued thirty days ago.
    let pem =
        |name: &str| std::fs::read_to_string(cluster.collector_dir().join(name)).expect("the CA's files are there");
    let ca = CertificateAuthority::load(&pem("ca.pem"), &pem("ca.key")).expect("the CA loads");
    let state = rusqlite::Connection::open(cluster.agent_dir("a").join("state.db")).expect("the state opens");
    let key: Vec<u8> = state.query_row("SELECT key_pkcs8 FROM identity", [], |row| row.get(0)).expect("a key");
    let name = AgentName::parse("a").expect("a slug");
    let csr = AgentKey::from_pkcs8_der(&key).expect("the key loads").csr_der(&name).expect("a request");
    let long_ago = clock::now().plus_us(-30 * 86_400 * 1_000_000);
    let old = ca.issue_agent(&name, &csr, long_ago).expect("a certificate");
    state.execute("UPDATE identity SET certificate = ?1", [&old.certificate_der]).expect("the state is writable");
    drop(state);

    cluster.start_agent("a");
    let before = site.hits()["shop"];
    wait::until("it probes", 20, || if site.hits()["shop"] > before + 2 { Ok(()) } else { Err(site.hits()) });
    cluster.wait_for_drain("a", 30);
    cluster.stop_agent("a");
    let state = rusqlite::Connection::open(cluster.agent_dir("a").join("state.db")).expect("the state opens");
    let new: Vec<u8> =
        state.query_row("SELECT certificate FROM identity", [], |row| row.get(0)).expect("a certificate");
    let (_, expires) = identity::certificate_times(&new).expect("a certificate");
    assert!(expires > clock::now(), "the certificate was not renewed");
}

#[test]
fn a_port_in_use_and_a_second_server_are_told() {
    let cluster = Cluster::start();
    let dir = tempfile::tempdir().expect("a folder");
    let serve = |http: &str, listen: &str| {
        run(process::collector().args(["serve", "--http", http, "--listen", listen, "--data-dir"]).arg(dir.path()))
    };
    says(&serve(cluster.http(), "127.0.0.1:0"), 7, &["in use", cluster.http()]);
    says(&serve("127.0.0.1:0", cluster.listen()), 7, &["in use", cluster.listen()]);
    // Plain HTTP beyond loopback is refused.
    says(&serve("0.0.0.0:0", "127.0.0.1:0"), 3, &["tls"]);
    // The same data folder twice.
    let again = run(process::collector()
        .args(["serve", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(cluster.collector_dir()));
    says(&again, 4, &["in use by process"]);
}

#[test]
fn a_bad_configuration_names_file_line_and_key() {
    let dir = tempfile::tempdir().expect("a folder");
    for (program, sub) in [(process::collector as fn() -> Command, "serve"), (process::agent, "run")] {
        let file = dir.path().join("bad.toml");
        std::fs::write(&file, "\nlogg = \"info\"\n").expect("writable");
        let answer = run(program().arg(sub).arg("--config").arg(&file).arg("--data-dir").arg(dir.path().join(sub)));
        says(&answer, 3, &["bad.toml:2", "logg"]);
        std::fs::write(&file, "log = \n").expect("writable");
        let answer = run(program().arg(sub).arg("--config").arg(&file).arg("--data-dir").arg(dir.path().join(sub)));
        says(&answer, 3, &["bad.toml:1"]);
        let answer =
            run(program().arg(sub).arg("--config").arg("/no/such.toml").arg("--data-dir").arg(dir.path().join(sub)));
        says(&answer, 3, &["/no/such.toml"]);
    }
    // An agent that never joined.
    let answer = run(process::agent().arg("run").arg("--data-dir").arg(dir.path().join("fresh")));
    says(&answer, 4, &["join"]);
    // Nobody to talk to and nothing to read.
    let answer = run(process::collector().args(["checks", "--data-dir"]).arg(dir.path().join("nothing")));
    assert_ne!(answer.code, 0, "{answer:?}");
    assert!(!answer.stderr.is_empty());
}

#[test]
fn a_bad_check_file_names_line_column_and_changes_nothing() {
    let cluster = Cluster::start();
    for (toml, words) in [
        ("[[check]\n", &["checks.toml:1"][..]),
        (
            "[[check]]\nid = \"a\"\nkind = \"http\"\nurl = \"http://127.0.0.1/\"\ncolour = 1\n",
            &["checks.toml:5", "colour"],
        ),
        (
            "[[check]]\nid = \"a\"\nkind = \"http\"\nurl = \"http://127.0.0.1/\"\nexpect = [\"status in 200..\"]\n",
            &["checks.toml:5", "status in"],
        ),
        (
            "[[check]]\nid = \"a\"\nkind = \"http\"\nurl = \"http://127.0.0.1/\"\ninterval = \"10ms\"\n",
            &["checks.toml:5", "1s"],
        ),
        ("[[check]]\nid = \"a\"\nkind = \"http\"\nurl = \"gopher://127.0.0.1/\"\n", &["checks.toml:4", "http"]),
        (
            "[[check]]\nid = \"a\"\nkind = \"http\"\nurl = \"http://127.0.0.1/\"\nquorum = \"most\"\n",
            &["checks.toml:5", "majority"],
        ),
    ] {
        says(&cluster.apply(toml), 3, words);
    }
    assert_eq!(cluster.ctl(&["checks", "--json"]).json(), serde_json::json!([]));
}

#[test]
fn a_stranger_on_the_port_changes_nothing() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    cluster.add_agent("a", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
    for n in 0..500_u32 {
        let junk: Vec<u8> = (0..1200_u32).map(|i| (i.wrapping_mul(n ^ 0x9e37_79b9) >> 3) as u8).collect();
        socket.send_to(&junk, cluster.listen()).expect("loopback takes datagrams");
    }
    let before = site.hits()["shop"];
    wait::until("it probes on", 20, || if site.hits()["shop"] > before + 1 { Ok(()) } else { Err(()) });
    cluster.wait_for_drain("a", 20);
}

/// Runs `program` in a mount namespace of its own where `dir` is a tmpfs of `size`.
fn on_small_disk(program: &Command, dir: &std::path::Path, size: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "--user", "--propagation", "private", "sh", "-c"]);
    command.arg(format!(
        "mkdir -p {d}.keep {d} && cp -a {d}/. {d}.keep/ && mount -t tmpfs -o size={size},mode=0700 none {d} && cp -a {d}.keep/. {d}/ && exec \"$0\" \"$@\"",
        d = dir.display()
    ));
    command.arg(program.get_program()).args(program.get_args());
    command
}

#[test]
fn a_full_disk_never_stops_probing_and_heals() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    cluster.join("a", "eu-west");
    let dir = cluster.agent_dir("a");
    let mut run_agent = process::agent();
    run_agent.args(["run", "--allow", "loopback"]).arg("--data-dir").arg(&dir);
    let mut daemon = Daemon::start(&mut on_small_disk(&run_agent, &dir, "3m"), &cluster.dir().join("agent-a.log"));
    wait::until("it probes", 30, || {
        assert!(daemon.ended().is_none(), "{}", daemon.log());
        if site.hits().get("shop").is_some_and(|hits| *hits > 2) { Ok(()) } else { Err(daemon.log()) }
    });
    // The tmpfs lives in the agent's mount namespace; its root there is reached through /proc.
    let inside = std::path::PathBuf::from(format!("/proc/{}/root{}", daemon.pid(), dir.display()));
    let filler = inside.join("filler");
    let mut file = std::fs::File::create(&filler).expect("the small disk is reachable");
    let block = [0_u8; 4096];
    while std::io::Write::write_all(&mut file, &block).is_ok() {}
    drop(file);
    let full = site.hits()["shop"];
    wait::until("it probes on with a full disk", 60, || {
        assert!(daemon.ended().is_none(), "{}", daemon.log());
        if site.hits()["shop"] > full + 8 { Ok(()) } else { Err(site.hits()) }
    });
    std::fs::remove_file(&filler).expect("space comes back");
    let freed = clock::now();
    wait::until("what was measured since is stored within 60 s", 60, || {
        let sla = cluster.sla("shop", &["--from", &instant::format(freed)]);
        let up = sla["seconds"]["up"].as_f64().unwrap_or(0.0);
        if up > 2.0 { Ok(()) } else { Err(sla.to_string()) }
    });
    assert!(daemon.stop().success(), "{}", daemon.log());
    cluster.stop_collector();
    let store = sitepulse_tests::oracle::read(&cluster.collector_dir(), 1_000_000);
    assert_eq!(store.broken, Vec::<String>::new());
}

#[test]
fn a_read_only_disk_is_told_at_start() {
    let dir = tempfile::tempdir().expect("a folder");
    for (mut program, name) in [(process::collector(), "c"), (process::agent(), "a")] {
        let place = dir.path().join(name);
        std::fs::create_dir(&place).expect("writable");
        if name == "c" {
            program.args(["serve", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
        } else {
            program.arg("run");
        }
        program.arg("--data-dir").arg(&place);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "--user", "--propagation", "private", "sh", "-c"]);
        command.arg(format!("mount -t tmpfs -o ro none {} && exec \"$0\" \"$@\"", place.display()));
        command.arg(program.get_program()).args(program.get_args());
        says(&run(&mut command), 4, &["read-only", place.to_str().expect("UTF-8")]);
    }
}

#[test]
fn a_corrupt_spool_is_set_aside_and_told() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    cluster.add_agent("a", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);
    cluster.stop_agent("a");
    let spool = cluster.agent_dir("a").join("spool.db");
    let mut bytes = std::fs::read(&spool).expect("the spool is there");
    for byte in bytes.iter_mut().skip(100).step_by(3) {
        *byte ^= 0x5a;
    }
    std::fs::write(&spool, bytes).expect("writable");
    for rest in ["spool.db-wal", "spool.db-shm"] {
        std::fs::remove_file(cluster.agent_dir("a").join(rest)).ok();
    }
    cluster.start_agent("a");
    let before = site.hits()["shop"];
    wait::until("it probes again", 20, || if site.hits()["shop"] > before + 1 { Ok(()) } else { Err(()) });
    cluster.wait_for_drain("a", 20);
    let log = cluster.agents["a"].log();
    assert!(log.contains("spool.db.corrupt-"), "{log}");
    let agents = cluster.ctl(&["agents", "--json"]).json();
    assert!(
        agents[0]["conservation"]["dropped_reported"].as_u64() > Some(0),
        "the lost range is not reported: {agents}"
    );
}

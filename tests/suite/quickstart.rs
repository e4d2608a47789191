//! The README's first command, as a stranger runs it (with the debug build, to spare the time), and sd_notify.

use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process::{self, Daemon, root};
use sitepulse_tests::site::Site;
use sitepulse_tests::wait;

#[test]
fn quickstart_watches_a_site_and_goes_on_with_its_data() {
    let site = Site::start();
    let dir = tempfile::tempdir().expect("a folder");
    process::binaries();
    let life = |round: u32| {
        let log = dir.path().join(format!("quickstart-{round}.log"));
        let mut daemon = Daemon::start(
            process::forget_cargo(&mut Command::new(root().join("packaging/quickstart")))
                .arg(site.url("shop"))
                .env("SITEPULSE_DATA", dir.path().join("data"))
                .env("SITEPULSE_PROFILE", "dev")
                .env("SITEPULSE_INTERVAL", "1s")
                .env("SITEPULSE_HTTP", "127.0.0.1:18080")
                .env("SITEPULSE_LISTEN", "127.0.0.1:18443"),
            &log,
        );
        let seen = wait::until("the table shows the site up in three regions", 120, || {
            assert!(daemon.ended().is_none(), "{}", daemon.log());
            let text = daemon.log();
            let all = ["eu-west", "us-east", "ap-south", "sign-in?token=", "completeness"]
                .iter()
                .all(|word| text.contains(word));
            if all && text.contains("up") && site.hits().get("shop").is_some_and(|hits| *hits > 6) {
                Ok(text)
            } else {
                Err(text)
            }
        });
        let status = daemon.stop();
        assert!(status.success(), "{status}: {}", daemon.log());
        assert!(daemon.log().contains("stopped"), "{}", daemon.log());
        seen
    };
    life(1);
    life(2);
    let answer = process::run(
        process::collector().args(["agents", "--json", "--data-dir"]).arg(dir.path().join("data/collector")),
    )
    .json();
    assert_eq!(answer.as_array().expect("a list").len(), 3, "started again, it has the same three agents: {answer}");
    let checks = process::run(
        process::collector().args(["checks", "--json", "--data-dir"]).arg(dir.path().join("data/collector")),
    )
    .json();
    let ids: Vec<&str> = checks.as_array().expect("a list").iter().filter_map(|check| check["id"].as_str()).collect();
    let vitals = ids.iter().filter(|id| id.ends_with("-vitals")).count();
    assert_eq!((ids.len(), vitals), (2, 1), "a browser is installed, so that the page's vitals are measured: {checks}");
}

#[test]
fn readiness_and_watchdog_reach_systemd() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a timeout can be set");
    let mut daemon = Daemon::start(
        process::collector()
            .args(["serve", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path().join("c"))
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "1000000"),
        &dir.path().join("log"),
    );
    let mut heard = String::new();
    let mut buffer = [0_u8; 4096];
    while !(heard.contains("READY=1") && heard.matches("WATCHDOG=1").count() >= 2) {
        let n = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{error}; heard {heard}; {}", daemon.log()));
        heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
        heard.push('\n');
    }
    assert!(daemon.stop().success());
    while let Ok(n) = socket.recv(&mut buffer) {
        heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
        if heard.contains("STOPPING=1") {
            return;
        }
    }
    panic!("no STOPPING in {heard}");
}

#[test]
fn an_agent_that_schedules_and_commits_feeds_the_watchdog() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster
        .apply(&format!(
            "[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"{}\"\ninterval = \"1s\"\n",
            site.url("shop")
        ))
        .ok();
    cluster.join("a", "eu-west");
    let path = cluster.dir().join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("a timeout can be set");
    let mut child = process::agent()
        .args(["run", "--data-dir"])
        .arg(cluster.agent_dir("a"))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "1000000")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the agent starts");
    let mut heard = String::new();
    let mut buffer = [0_u8; 4096];
    while !(heard.contains("READY=1") && heard.contains("WATCHDOG=1")) {
        let Ok(n) = socket.recv(&mut buffer) else {
            child.kill().ok();
            let mut log = String::new();
            child.stderr.take().expect("piped").read_to_string(&mut log).ok();
            panic!("heard {heard}; {log}");
        };
        heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    cluster.stop_collector();
}

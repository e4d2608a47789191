//! An agent whose cable is cut: a network namespace of its own, joined to this machine by a pair of virtual Ethernet ports.
//!
//! Needs root and `ip`; without them the test fails, or with `SITEPULSE_SKIP_ROOT=1` says so and does nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use sitepulse_model::record::{Phase, ProbeState, Record};
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process::{self, run};
use sitepulse_tests::servers::free_port;
use sitepulse_tests::site::Site;
use sitepulse_tests::{oracle, wait};

use crate::no_root;

const INTERVAL_US: i64 = 1_000_000;

/// The namespace and both ports; gone when dropped.
struct Cable {
    namespace: String,
    /// This machine's end.
    here: String,
    /// This machine's address, where the collector and the sites are.
    address: String,
    /// An address of the same network that nobody has.
    nobody: String,
}

impl Cable {
    /// Lays it, or says why it cannot be.
    fn lay() -> Result<Self, String> {
        let id = std::process::id();
        // 198.18.0.0/15 is for tests of networks (RFC 2544).
        let net = format!("198.18.{}", id % 250 + 1);
        let cable = Self {
            namespace: format!("sitepulse-{id}"),
            here: format!("sp{id}"),
            address: format!("{net}.1"),
            nobody: format!("{net}.9"),
        };
        ip(&["netns", "add", &cable.namespace])?;
        let there = &cable.namespace;
        ip(&["link", "add", &cable.here, "type", "veth", "peer", "name", "eth0", "netns", there])?;
        ip(&["address", "add", &format!("{}/24", cable.address), "dev", &cable.here])?;
        ip(&["link", "set", &cable.here, "up"])?;
        ip(&["-n", there, "link", "set", "lo", "up"])?;
        ip(&["-n", there, "address", "add", &format!("{net}.2/24"), "dev", "eth0"])?;
        ip(&["-n", there, "link", "set", "eth0", "up"])?;
        Ok(cable)
    }

    /// `down`: the agent's port goes, and its routes with it. `up` brings both back.
    fn set_port(&self, state: &str) {
        ip(&["-n", &self.namespace, "link", "set", "eth0", state]).expect("the port can be switched");
    }

    /// `down`: this machine's end goes; the agent has its routes yet, and no answer.
    fn set_far_end(&self, state: &str) {
        ip(&["link", "set", &self.here, state]).expect("the port can be switched");
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // The pair goes with either end.
        ip(&["link", "delete", &self.here]).ok();
        ip(&["netns", "delete", &self.namespace]).ok();
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output().map_err(|error| format!("ip: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("ip {}: {}", args.join(" "), told.trim())) }
}

/// A site that takes its time, and tells of each request as it comes.
struct Slow {
    address: SocketAddr,
    came: mpsc::Receiver<()>,
}

impl Slow {
    const ANSWERS_AFTER: Duration = Duration::from_millis(300);

    fn start_on(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("the address is this machine's and has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (tell, came) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tell = tell.clone();
                // A client that is gone, or a test that ended, needs no answer.
                std::thread::spawn(move || Self::answer(&stream, &tell).ok());
            }
        });
        Self { address, came }
    }

    fn answer(mut stream: &TcpStream, tell: &mpsc::Sender<()>) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        tell.send(()).ok();
        // The site is slow: that is the input of this test.
        std::thread::sleep(Self::ANSWERS_AFTER);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nWelcome")
    }

    /// Waits until a run is under way that has asked and has no answer.
    fn wait_for_a_run(&self) {
        self.came.try_iter().for_each(drop);
        self.came.recv_timeout(Duration::from_secs(60)).expect("it is asked every second");
    }

    fn check(&self, id: &str) -> String {
        format!(
            "[[check]]\nid = \"{id}\"\nkind = \"http\"\nurl = \"http://{}/\"\ninterval = \"1s\"\ntimeout = \"900ms\"\n",
            self.address
        )
    }
}

/// The results of the checks called `slow` whose request was sent and never answered, as the stopped collector has them: how they were judged.
fn cut_short(cluster: &Cluster) -> Vec<(ProbeState, String)> {
    let store = Connection::open(cluster.collector_dir().join("collector.db")).expect("the store opens");
    sitepulse_tests::oracle::rows(&store)
        .into_iter()
        .filter_map(|row| match row.record {
            Record::Result(result) if result.failed_phase == Some(Phase::FirstByte) => {
                Some((result.state, result.detail))
            }
            Record::Result(_) | Record::Missed(_) | Record::Dropped(_) => None,
        })
        .collect()
}

/// What the agent itself says of a check's last run.
fn last(cluster: &Cluster, id: &str) -> Value {
    let all = cluster.agent_ctl("a", &["checks", "--json"]).json();
    let list = all.as_array().expect("checks --json is a list");
    list.iter().find(|check| check["check"] == id).map_or(Value::Null, |check| check["last"].clone())
}

fn wait_for_lost(cluster: &Cluster, id: &str) {
    wait::until(&format!("{id} is unknown"), 60, || {
        let last = last(cluster, id);
        if last["state"] == "unknown" && last["cause"] == "network_lost" { Ok(()) } else { Err(last.to_string()) }
    });
}

#[test]
fn an_agent_without_reference_targets_says_so_once_when_it_starts() {
    let mut cluster = Cluster::start();
    cluster.join("a", "lab");
    let warnings = |cluster: &Cluster| {
        let log = std::fs::read_to_string(cluster.dir().join("agent-a.log")).unwrap_or_default();
        log.matches("no reference targets are set").count()
    };
    let config = cluster.dir().join("agent.toml");
    std::fs::write(&config, "[network]\nreferences = [\"127.0.0.1:9\"]\n").expect("a file can be written");
    for (references, told) in [(true, 0), (false, 1)] {
        let mut command = process::agent();
        command.args(["run", "--data-dir"]).arg(cluster.agent_dir("a"));
        if references {
            command.arg("--config").arg(&config);
        }
        cluster.start_agent_by("a", &mut command);
        wait::until("the agent runs", 60, || {
            let status = cluster.agent_ctl("a", &["status"]);
            if status.code == 0 { Ok(()) } else { Err(status.stderr) }
        });
        cluster.stop_agent("a");
        assert_eq!(warnings(&cluster), told);
    }
}

#[test]
fn an_agent_that_lost_its_network_says_unknown_and_ships_it_later() {
    let cable = match Cable::lay() {
        Ok(cable) => cable,
        Err(reason) => return no_root(&format!("network namespaces need root and iproute2 ({reason})")),
    };
    let (site, reference) = (Site::start_on(&cable.address), Site::start_on(&cable.address));
    // Runs of this one are under way at any cut.
    let slow = Slow::start_on(&cable.address);
    let mut cluster = Cluster::start_on(&cable.address);
    let closed = free_port();
    // A lost network looks like silence; so do `silent` and its like, and they are down all the same.
    let toml = [
        site.check("shop"),
        slow.check("slow"),
        format!("[[check]]\nid = \"dead\"\nkind = \"tcp\"\naddress = \"{}:{closed}\"\ninterval = \"1s\"\ntimeout = \"900ms\"\n", cable.address),
        format!("[[check]]\nid = \"silent\"\nkind = \"tcp\"\naddress = \"{}:80\"\ninterval = \"1s\"\ntimeout = \"900ms\"\n", cable.nobody),
    ]
    .join("\n");
    cluster.apply(&toml).ok();
    let token = cluster.token("lab");
    let inside = |args: &[&str]| {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &cable.namespace]).arg(process::agent().get_program()).args(args);
        command.arg("--data-dir").arg(cluster.agent_dir("a"));
        command
    };
    run(&mut inside(&["join", &token, "--name", "a"])).ok();
    let config = cluster.dir().join("agent.toml");
    let address = reference.address();
    let text = format!("[network]\nallow = [\"198.18.0.0/15\"]\nreferences = [\"{address}\"]\n");
    std::fs::write(&config, text).expect("a file can be written");
    let mut agent = inside(&["run", "--config", config.to_str().expect("UTF-8")]);
    cluster.start_agent_by("a", &mut agent);

    let all_is_well = |cluster: &Cluster| {
        cluster.wait_for_verdict("shop", "up", 60);
        cluster.wait_for_verdict("slow", "up", 60);
        cluster.wait_for_verdict("dead", "down", 60);
        cluster.wait_for_verdict("silent", "down", 60);
    };
    all_is_well(&cluster);
    for cut in [Cable::set_port, Cable::set_far_end] {
        slow.wait_for_a_run();
        cut(&cable, "down");
        for id in ["shop", "slow", "dead", "silent"] {
            wait_for_lost(&cluster, id);
        }
        let told = last(&cluster, "shop")["detail"].as_str().unwrap_or_default().to_owned();
        assert!(told.starts_with("network: this agent"), "{told}");
        cut(&cable, "up");
        wait::until("the site is reached again", 60, || {
            let last = last(&cluster, "shop");
            if last["state"] == "up" { Ok(()) } else { Err(last.to_string()) }
        });
        all_is_well(&cluster);
    }
    cluster.wait_for_drain("a", 60);
    cluster.stop_agent("a");
    cluster.stop_collector();

    // Nothing is lost of what was seen meanwhile, and the site was never called down.
    let store = oracle::read(&cluster.collector_dir(), INTERVAL_US);
    assert_eq!(store.unaccounted(INTERVAL_US), Vec::<String>::new());
    for ((check, _), ledger) in &store.ledgers {
        let count = |state| ledger.states.get(&state).copied().unwrap_or_default();
        let id = store.checks[check].as_str();
        assert!(count(ProbeState::Unknown) > 0 && ledger.dropped == 0, "{id}: {:?}", ledger.states);
        match id {
            "shop" | "slow" => {
                assert!(count(ProbeState::Up) > 0 && count(ProbeState::Down) == 0, "{:?}", ledger.states)
            }
            _ => assert!(count(ProbeState::Down) > 0 && count(ProbeState::Up) == 0, "{id}: {:?}", ledger.states),
        }
    }
    // Both cuts struck runs that waited for their answer.
    let cut_short = cut_short(&cluster);
    assert!(cut_short.len() >= 2, "{cut_short:?}");
    for (state, detail) in cut_short {
        assert_eq!(state, ProbeState::Unknown, "{detail}");
        assert!(detail.contains("none of its reference targets"), "{detail}");
    }
}

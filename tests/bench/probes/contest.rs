//! Windows in which one program works and the others rest, and what they cost.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process::{self, Daemon};
use sitepulse_tests::{usage, wait};

use crate::servers::Site;

/// Time for a program to reach its pace before a window, seconds.
const SETTLE_S: u64 = 3;

/// What a ratio or a cost may be at most; for the other, how many times cheaper the agent must be.
pub(crate) struct Goals {
    pub(crate) floor: Option<f64>,
    pub(crate) other: Option<f64>,
    pub(crate) us: Option<f64>,
}

/// A program that can be told to work and to rest.
pub(crate) struct Contender {
    name: String,
    pid: u32,
    switch: Box<dyn Fn(bool)>,
    /// Panics when its probes went wrong.
    verify: Box<dyn Fn()>,
}

impl Contender {
    /// A real agent that is fed by a real collector. It is suspended to rest.
    pub(crate) fn agent(cluster: &mut Cluster, site: &Site, checks: &str, region: &str) -> Self {
        cluster.apply(checks).ok();
        cluster.join(region, region);
        let daemon = start_agent(cluster, site, region);
        let pid = daemon.pid();
        cluster.agents.insert(region.to_owned(), daemon);
        let dir = cluster.agent_dir(region);
        let ask = move |words: &[&str]| process::run(process::agent().args(words).arg("--data-dir").arg(&dir));
        let command = {
            let ask = ask.clone();
            move |words: &[&str]| drop(ask(words).ok())
        };
        let switch = move |on: bool| match on {
            true => command(&["resume"]),
            false => command(&["suspend", "--for", "12h", "--reason", "others' turn"]),
        };
        wait_for_checks(cluster, region, 1);
        switch(false);
        let verify = move || all_up(&ask(&["checks", "--json"]).json());
        Self { name: "sitepulse-agent".to_owned(), pid, switch: Box::new(switch), verify: Box::new(verify) }
    }

    /// A bare program, at `pace` a second: [`crate::floor`].
    pub(crate) fn floor(name: &str, site: &Site, pace: u32, words: &[&str]) -> Self {
        let child = Prober::start(site, pace, words);
        Self::driven(name, child.pid(), child)
    }

    /// A program that works when a driver asks it to. The driver itself tells what went wrong.
    pub(crate) fn driven(name: &str, pid: u32, driver: Prober) -> Self {
        Self { name: name.to_owned(), pid, switch: Box::new(move |on| driver.tell(on)), verify: Box::new(|| ()) }
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// CPU microseconds per probe in one window, and probes a second.
    fn window(&self, seconds: u64, count: &dyn Fn() -> u64) -> (f64, f64) {
        (self.switch)(true);
        std::thread::sleep(Duration::from_secs(SETTLE_S));
        let (probes, cpu) = (count(), usage::cpu_us(self.pid));
        std::thread::sleep(Duration::from_secs(seconds));
        let (probes, cpu) = (count() - probes, usage::cpu_us(self.pid) - cpu);
        (self.verify)();
        (self.switch)(false);
        assert!(probes > 0 && cpu > 0, "{} made {probes} probes in {cpu} us: is it running?", self.name);
        (cpu as f64 / probes as f64, probes as f64 / seconds as f64)
    }
}

/// Starts an enrolled agent that trusts the site and may dial the loopback.
pub(crate) fn start_agent(cluster: &Cluster, site: &Site, name: &str) -> Daemon {
    let config = cluster.dir().join(format!("{name}.toml"));
    let text = "max_in_flight = 2000\n\n[network]\nallow = [\"loopback\"]\nper_host_max = 2000\n";
    std::fs::write(&config, text).expect("the configuration can be written");
    Daemon::start(
        process::agent_daemon()
            .arg("run")
            .arg("--config")
            .arg(&config)
            .arg("--data-dir")
            .arg(cluster.agent_dir(name))
            .env("SSL_CERT_FILE", site.ca()),
        &cluster.dir().join(format!("agent-{name}.log")),
    )
}

/// Waits until the agent ran `runs` checks, and none of the last results is bad.
pub(crate) fn wait_for_checks(cluster: &Cluster, name: &str, runs: u64) {
    wait_for_runs(cluster, name, runs);
    all_up(&cluster.agent_ctl(name, &["checks", "--json"]).json());
}

/// Waits until the agent ran `runs` checks.
pub(crate) fn wait_for_runs(cluster: &Cluster, name: &str, runs: u64) {
    wait::until(&format!("{name} ran {runs} checks"), 180, || {
        let status = cluster.agent_ctl(name, &["status", "--json"]);
        if status.code != 0 {
            return Err(status.stderr);
        }
        let status = status.json();
        if status["lag_us"]["runs"].as_u64() >= Some(runs) { Ok(()) } else { Err(status.to_string()) }
    });
}

/// Panics where a last result is bad.
pub(crate) fn all_up(checks: &serde_json::Value) {
    let list = checks.as_array().expect("checks --json is a list");
    let bad = list.iter().find(|check| !check["last"].is_null() && check["last"]["state"] != "up");
    assert!(bad.is_none(), "a cost of failures would be no figure: {bad:?}");
}

/// A child process of this binary that probes at a pace: see [`crate::floor`].
pub(crate) struct Prober {
    child: RefCell<(Child, ChildStdin, BufReader<ChildStdout>)>,
}

impl Prober {
    pub(crate) fn start(site: &Site, pace: u32, words: &[&str]) -> Self {
        let exe = std::env::current_exe().expect("a running bench has a path");
        let mut child = process::bound(exe)
            .arg("floor")
            .arg(pace.to_string())
            .arg(site.ca())
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the floor starts");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self { child: RefCell::new((child, input, BufReader::new(output))) }
    }

    fn pid(&self) -> u32 {
        self.child.borrow().0.id()
    }

    /// Work, or rest. A rest tells how the work went.
    fn tell(&self, on: bool) {
        let (_, input, output) = &mut *self.child.borrow_mut();
        writeln!(input, "{}", if on { "work" } else { "rest" }).expect("the floor listens");
        let mut line = String::new();
        output.read_line(&mut line).expect("the floor answers");
        let failed: u64 = line.trim().parse().expect("the floor tells how many failed");
        assert_eq!(failed, 0, "probes of the floor failed: it would be no floor");
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        let (child, _, _) = &mut *self.child.borrow_mut();
        child.kill().ok();
        child.wait().ok();
    }
}

/// A number of the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Compares the agent with its floor and with another program, and prints what came of it. `count` tells the probes that the target saw.
pub(crate) fn contest(
    agent: Contender,
    floor: Option<Contender>,
    other: Option<Contender>,
    goals: &Goals,
    count: &dyn Fn() -> u64,
) {
    let (seconds, pairs) = (setting("SITEPULSE_BENCH_S", 15), setting("SITEPULSE_BENCH_PAIRS", 5));
    let mut ours = Vec::new();
    let mut pace = 0.0;
    let (mut floors, mut above, mut others, mut below) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // The first round warms up.
    for round in 0..=pairs {
        let floor_us = || floor.as_ref().map(|floor| floor.window(seconds, count).0);
        // Who goes first takes turns.
        let (floor_us, (our, rate)) = if round % 2 == 0 {
            (floor_us(), agent.window(seconds, count))
        } else {
            let our = agent.window(seconds, count);
            (floor_us(), our)
        };
        let other_us = other.as_ref().map(|other| other.window(seconds, count).0);
        if round == 0 {
            continue;
        }
        pace = rate;
        ours.push(our);
        if let Some(us) = floor_us {
            floors.push(us);
            above.push(our / us);
        }
        if let Some(us) = other_us {
            others.push(us);
            below.push(us / our);
        }
    }
    println!("medians of {pairs} pairs of windows of {seconds} s, {pace:.0} checks a second; CPU time per check");
    let verdict = |good: bool| if good { "met" } else { "MISSED" };
    let us = usage::median(&mut ours);
    match goals.us {
        Some(goal) => println!("{:<22} {us:>8.1} us   goal <= {goal} us: {}", agent.name, verdict(us <= goal)),
        None => println!("{:<22} {us:>8.1} us", agent.name),
    }
    if let Some(floor) = &floor {
        let ratio = usage::median(&mut above);
        let goal = goals.floor.map(|goal| format!(", goal <= {goal}: {}", verdict(ratio <= goal)));
        let cost = usage::median(&mut floors);
        println!("{:<22} {cost:>8.1} us   the agent costs {ratio:.2} x this{}", floor.name, goal.unwrap_or_default());
    }
    if let Some(other) = &other {
        let ratio = usage::median(&mut below);
        let goal = goals.other.map(|goal| format!(", goal 1/{goal}: {}", verdict(ratio >= goal)));
        let cost = usage::median(&mut others);
        println!(
            "{:<22} {cost:>8.1} us   the agent costs 1/{ratio:.1} of this{}",
            other.name,
            goal.unwrap_or_default()
        );
    }
}

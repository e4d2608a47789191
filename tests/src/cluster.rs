//! A collector and its agents as real processes in a folder of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{self, Answer, Daemon, run};
use crate::wait;

/// A collector with agents. Everything ends and vanishes when dropped.
#[derive(Debug)]
pub struct Cluster {
    dir: TempDir,
    listen: String,
    http: String,
    /// A configuration file of the collector's.
    config: Option<PathBuf>,
    /// Of the collector's environment.
    env: BTreeMap<String, String>,
    /// The collector, when it runs.
    pub collector: Option<Daemon>,
    /// The running agents, by name.
    pub agents: BTreeMap<String, Daemon>,
}

impl Cluster {
    /// Starts a collector on free ports of loopback.
    pub fn start() -> Self {
        Self::start_on("127.0.0.1")
    }

    /// Starts a collector that agents reach at an address of this machine; its console is on loopback.
    pub fn start_on(address: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("sitepulse-test-").tempdir().expect("a temporary folder can be made");
        let mut cluster = Self {
            dir,
            listen: format!("{address}:0"),
            http: "127.0.0.1:0".to_owned(),
            config: None,
            env: BTreeMap::new(),
            collector: None,
            agents: BTreeMap::new(),
        };
        cluster.start_collector();
        cluster
    }

    /// From its next start on, the collector has this configuration.
    pub fn configure(&mut self, toml: &str) {
        let path = self.dir.path().join("collector.toml");
        std::fs::write(&path, toml).expect("the configuration can be written");
        self.config = Some(path);
    }

    /// From its next start on, the collector has this in its environment.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// From its next start on, the collector has the tests' environment.
    pub fn clear_env(&mut self) {
        self.env.clear();
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The collector's data folder.
    pub fn collector_dir(&self) -> PathBuf {
        self.dir.path().join("collector")
    }

    /// An agent's data folder.
    pub fn agent_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("agent-{name}"))
    }

    /// Where agents connect.
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// Where the console is.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Starts the collector (again, on the same ports) and waits until it answers.
    pub fn start_collector(&mut self) {
        if let Err(ended) = self.try_start() {
            panic!("the collector ended with {ended}");
        }
    }

    /// The same with a failpoint in its environment: `false` where it died by that before it was up.
    pub fn starts_collector(&mut self) -> bool {
        match self.try_start() {
            Ok(()) => true,
            Err(ended) if ended.starts_with("signal: 9") => false,
            Err(ended) => panic!("the collector ended with {ended}"),
        }
    }

    fn try_start(&mut self) -> Result<(), String> {
        assert!(self.collector.is_none(), "the collector runs already");
        let runtime = self.collector_dir().join("runtime.json");
        std::fs::remove_file(&runtime).ok();
        let mut daemon = self.serve();
        let facts: Result<Value, String> = wait::until("collector is up", 30, || {
            if let Some(status) = daemon.ended() {
                return Ok(Err(format!("{status}: {}", daemon.log())));
            }
            let text = std::fs::read_to_string(&runtime).map_err(|error| error.to_string())?;
            serde_json::from_str(&text).map(Ok).map_err(|error| error.to_string())
        });
        let facts = facts?;
        self.listen = facts["listen"].as_str().expect("runtime.json tells listen").to_owned();
        let http = facts["http"].as_str().expect("runtime.json tells http");
        self.http = http.trim_start_matches("http://").trim_end_matches('/').to_owned();
        self.collector = Some(daemon);
        Ok(())
    }

    fn serve(&self) -> Daemon {
        Daemon::start(
            process::collector_daemon()
                .arg("serve")
                .arg("--data-dir")
                .arg(self.collector_dir())
                .args(["--http", &self.http, "--listen", &self.listen])
                .envs(&self.env)
                .args(self.config.iter().flat_map(|path| [std::ffi::OsStr::new("--config"), path.as_os_str()])),
            &self.dir.path().join("collector.log"),
        )
    }

    /// Starts the collector, which dies by SIGKILL where it passes the failpoint `NAME:COUNT`, whether it is up by then or not.
    pub fn collector_dies_at(&mut self, failpoint: &str) {
        assert!(self.collector.is_none(), "the collector runs already");
        self.set_env("SITEPULSE_FAILPOINT", failpoint);
        let mut daemon = self.serve();
        self.env.remove("SITEPULSE_FAILPOINT");
        let status = daemon.wait_for_end(60);
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(signal, Some(9), "{failpoint}: {status}; {}", daemon.log());
    }

    /// `kill -9` of the collector.
    pub fn kill_collector(&mut self) {
        self.collector.take().expect("the collector runs").kill_hard();
    }

    /// SIGTERM of the collector; it must end with code 0.
    pub fn stop_collector(&mut self) {
        let mut daemon = self.collector.take().expect("the collector runs");
        let status = daemon.stop();
        assert!(status.success(), "the collector ended with {status}: {}", daemon.log());
    }

    /// `sitepulse-collector ARGS --data-dir ...`
    pub fn ctl(&self, args: &[&str]) -> Answer {
        run(process::collector().args(args).arg("--data-dir").arg(self.collector_dir()))
    }

    /// `sitepulse-agent ARGS --data-dir ...`
    pub fn agent_ctl(&self, name: &str, args: &[&str]) -> Answer {
        run(process::agent().args(args).arg("--data-dir").arg(self.agent_dir(name)))
    }

    /// Opens a session by a sign-in link, as the button behind it does: its cookie, `name=value`.
    pub fn session(&self, link: &str) -> String {
        let token = link.split_once("/sign-in?token=").expect("a sign-in link").1;
        let body = format!("token={token}");
        let request = format!(
            "POST /sign-in HTTP/1.1\r\nHost: {}\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.http,
            body.len()
        );
        let mut stream = std::net::TcpStream::connect(&self.http).expect("the console listens");
        std::io::Write::write_all(&mut stream, request.as_bytes()).expect("the console takes a request");
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).expect("an answer in UTF-8");
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        cookie.and_then(|cookie| cookie.split(';').next()).unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Writes a check file and applies it.
    pub fn apply(&self, toml: &str) -> Answer {
        let file = self.dir.path().join("checks.toml");
        std::fs::write(&file, toml).expect("the check file can be written");
        self.ctl(&["apply", file.to_str().expect("temporary paths are UTF-8")])
    }

    /// A join token.
    pub fn token(&self, region: &str) -> String {
        let answer = self.ctl(&["token", "create", "--region", region, "--json"]).json();
        answer["token"].as_str().expect("token create --json gives a token").to_owned()
    }

    /// Enrols an agent.
    pub fn join(&self, name: &str, region: &str) {
        let token = self.token(region);
        self.agent_ctl(name, &["join", &token, "--name", name]).ok();
    }

    /// Starts an enrolled agent.
    pub fn start_agent(&mut self, name: &str) {
        self.start_agent_with(name, &["--allow", "loopback"]);
    }

    /// Starts an enrolled agent with arguments of `run`.
    pub fn start_agent_with(&mut self, name: &str, args: &[&str]) {
        let mut command = process::agent_daemon();
        self.start_agent_by(name, command.arg("run").args(args).arg("--data-dir").arg(self.agent_dir(name)));
    }

    /// Starts an enrolled agent by a command of the caller's.
    pub fn start_agent_by(&mut self, name: &str, command: &mut Command) {
        let daemon = Daemon::start(command, &self.dir.path().join(format!("agent-{name}.log")));
        let before = self.agents.insert(name.to_owned(), daemon);
        assert!(before.is_none(), "{name} runs already");
    }

    /// Enrols and starts an agent.
    pub fn add_agent(&mut self, name: &str, region: &str) {
        self.join(name, region);
        self.start_agent(name);
    }

    /// `kill -9` of an agent.
    pub fn kill_agent(&mut self, name: &str) {
        self.agents.remove(name).expect("the agent runs").kill_hard();
    }

    /// SIGTERM of an agent; it must end with code 0.
    pub fn stop_agent(&mut self, name: &str) {
        let mut daemon = self.agents.remove(name).expect("the agent runs");
        let status = daemon.stop();
        assert!(status.success(), "agent {name} ended with {status}: {}", daemon.log());
    }

    /// Everything `checks --json` says of one check.
    pub fn check(&self, id: &str) -> Value {
        let all = self.ctl(&["checks", "--json"]).json();
        let list = all.as_array().expect("checks --json is a list");
        list.iter().find(|check| check["id"] == id).cloned().unwrap_or(Value::Null)
    }

    /// Waits until a check's verdict is `verdict`.
    pub fn wait_for_verdict(&self, id: &str, verdict: &str, seconds: u64) -> Value {
        wait::until(&format!("verdict of {id} is {verdict}"), seconds, || {
            let check = self.check(id);
            if check["verdict"] == verdict { Ok(check) } else { Err(check.to_string()) }
        })
    }

    /// `sla CHECK ARGS --json`, the one check.
    pub fn sla(&self, id: &str, args: &[&str]) -> Value {
        let mut all = vec!["sla", id, "--json"];
        all.extend(args);
        self.ctl(&all).json()[0].clone()
    }

    /// Waits until nothing older than three seconds waits in the running agent's spool.
    pub fn wait_for_drain(&self, name: &str, seconds: u64) {
        wait::until(&format!("{name}'s spool drains"), seconds, || {
            let status = self.agent_ctl(name, &["spool", "--json"]).json();
            let now = sitepulse_daemon::clock::now();
            let age_us = status["oldest"].as_str().map_or(0, |text| {
                now.us_since(sitepulse_daemon::instant::parse(text, now).expect("instants are RFC 3339"))
            });
            if status["queued"] == 0 && age_us < 3_000_000 { Ok(()) } else { Err(status.to_string()) }
        });
    }
}

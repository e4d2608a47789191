//! The real program.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use sitepulse_collector::app::App;
use sitepulse_daemon::{clock, instant};

use super::bench::{CHECK, backup, options};
use super::pages::{Found, Pages};
use super::policies::Story;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sitepulse-collector"));
    for name in ["SITEPULSE_URL", "SITEPULSE_TOKEN", "SITEPULSE_COLLECTOR_DATA_DIR", "NOTIFY_SOCKET", "SITEPULSE_LOG"] {
        command.env_remove(name);
    }
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    program().args(args).arg("--data-dir").arg(dir).stdin(Stdio::null()).output().unwrap()
}

fn ran(dir: &Path, args: &[&str]) -> Value {
    let output = run(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A real server on ports of its own; killed when dropped.
struct Server {
    child: Child,
    http: String,
    /// The link of a first start.
    first: Option<String>,
}

impl Server {
    /// Opens a session by a sign-in link, as the button behind it does: its cookie.
    fn session(&self, link: &str) -> String {
        let authority = self.http.strip_prefix("http://").unwrap();
        let body = format!("token={}", link.split_once("/sign-in?token=").unwrap().1);
        let mut stream = std::net::TcpStream::connect(authority).unwrap();
        let head =
            format!("POST /sign-in HTTP/1.1\r\nhost: {authority}\r\norigin: {}\r\nconnection: close\r\n", self.http);
        let form = "content-type: application/x-www-form-urlencoded\r\n";
        write!(stream, "{head}{form}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut opened = String::new();
        stream.read_to_string(&mut opened).unwrap();
        let cookie = opened.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        cookie.unwrap_or_else(|| panic!("{opened}")).split(';').next().unwrap().to_owned()
    }

    fn start(dir: &Path) -> Self {
        let mut command = program();
        command.stderr(Stdio::inherit());
        Self::spawn(dir, command)
    }

    /// One that tells everything, to `log`.
    fn start_logging(dir: &Path, log: Stdio) -> Self {
        let mut command = program();
        command.env("SITEPULSE_LOG", "trace").stderr(log);
        Self::spawn(dir, command)
    }

    fn spawn(dir: &Path, mut command: Command) -> Self {
        let mut child = command
            .args(["serve", "--json", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The line comes when everything listens.
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let first = told["sign_in"].as_str().map(str::to_owned);
        Self { child, http: told["http"].as_str().unwrap().to_string(), first }
    }

    fn end(mut self) -> i32 {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_program_serves_and_its_commands_reach_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let file = dir.path().join("checks.toml");
    std::fs::write(&file, CHECK).unwrap();
    let file = file.to_str().unwrap();

    let server = Server::start(&data);
    let runtime: Value = serde_json::from_slice(&std::fs::read(data.join("runtime.json")).unwrap()).unwrap();
    assert_eq!(runtime["http"], server.http);
    assert_eq!(runtime["pid"], server.child.id());

    let token = ran(&data, &["token", "create", "--region", "eu-west", "--json"]);
    assert!(token["token"].as_str().unwrap().starts_with("sp1_"), "{token}");
    assert_eq!(ran(&data, &["apply", file, "--json"])["items"][0]["action"], "create");
    assert_eq!(ran(&data, &["apply", file, "--json"])["items"][0]["action"], "unchanged");
    assert_eq!(ran(&data, &["sla", "--json"])[0]["check"], "shop");
    assert_eq!(ran(&data, &["checks", "--json"])[0]["verdict"], "unknown");
    assert_eq!(ran(&data, &["agents", "--json"]), json!([]));
    assert!(ran(&data, &["sign-in", "--json"])["url"].as_str().unwrap().starts_with(&server.http));
    let text = run(&data, &["apply", file]);
    assert_eq!(String::from_utf8(text.stdout).unwrap(), "= shop\nCreated 0, changed 0, retired 0; 1 unchanged.\n");
    assert_eq!(run(&data, &["sla", "nothing"]).status.code(), Some(8));
    let replay = ["backtest", "--check", "shop", "--quorum", "agents >= 2"];
    assert_eq!(ran(&data, &[&replay[..], &["--json"]].concat())["policy"]["quorum"], "agents >= 2");
    let told = String::from_utf8(run(&data, &replay).stdout).unwrap();
    assert!(told.contains("quorum agents >= 2") && told.contains("pages         0 -> 0"), "{told}");
    assert_eq!(run(&data, &["backtest", "--check", "shop", "--confirmations", "0"]).status.code(), Some(2));
    assert_eq!(run(&data, &["backtest", "--check", "nothing"]).status.code(), Some(8));
    assert_eq!(run(&data, &["agents", "revoke", "nobody"]).status.code(), Some(8));
    assert_eq!(run(&data, &["suspend", "--reason", "x"]).status.code(), Some(2));

    // From afar, with a token; without one it is refused.
    let api = ran(&data, &["token", "create", "--api", "--json"]);
    let afar =
        |token: &str| program().args(["checks", "--json", "--url", &server.http, "--token", token]).output().unwrap();
    assert!(afar(api["token"].as_str().unwrap()).status.success());
    assert_eq!(afar("spa_forged").status.code(), Some(5));

    // A second server finds the data directory taken; another one the port.
    let second = run(&data, &["serve", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(4), "{}", String::from_utf8_lossy(&second.stderr));
    let taken = server.http.strip_prefix("http://").unwrap();
    let third = run(&dir.path().join("other"), &["serve", "--http", taken, "--listen", "127.0.0.1:0"]);
    assert_eq!(third.status.code(), Some(7), "{}", String::from_utf8_lossy(&third.stderr));
    assert!(String::from_utf8_lossy(&third.stderr).contains("choose another with --http"));

    // An open event stream does not keep it from stopping.
    let mut stream = UnixStream::connect(data.join("admin.sock")).unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    assert_eq!(server.end(), 0);
    assert!(!data.join("runtime.json").exists());
    assert!(!data.join("admin.sock").exists());

    // Stopped: the files themselves answer.
    assert_eq!(ran(&data, &["checks", "--json"])[0]["id"], "shop");
    assert_eq!(run(&data, &["checks", "--watch"]).status.code(), Some(6));
    assert_eq!(run(&data, &["sign-in"]).status.code(), Some(6));
    let again = Server::start(&data);
    assert_eq!(ran(&data, &["checks", "--json"])[0]["id"], "shop");
    assert_eq!(again.end(), 0);
}

/// Runs a command with something on its stdin.
fn fed(dir: &Path, args: &[&str], input: &str) -> Output {
    let mut command = program();
    command.args(args).arg("--data-dir").arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn secrets_pass_through_every_door_of_the_program_and_stay_in_none() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let value = "hunter2-correct-horse";
    let mut said = Vec::new();
    let mut set = |args: &[&str]| {
        let output = fed(&data, args, &format!("{value}\n"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        said.extend([output.stdout, output.stderr].concat());
    };
    // No server runs; then through its socket; then from afar.
    set(&["secret", "set", "stopped"]);
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let server = Server::start_logging(&data, log.into());
    set(&["secret", "set", "socket"]);
    let file = dir.path().join("value.txt");
    std::fs::write(&file, value).unwrap();
    set(&["secret", "set", "file", "--file", file.to_str().unwrap()]);
    let api = ran(&data, &["token", "create", "--api", "--json"]);
    set(&["secret", "set", "afar", "--url", &server.http, "--token", api["token"].as_str().unwrap()]);
    let names = |list: &Value| {
        list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let list = ran(&data, &["secret", "list", "--json"]);
    assert_eq!(names(&list), ["afar", "file", "socket", "stopped"]);
    assert!(list.as_array().unwrap().iter().all(|one| one["opens"] == true));
    assert!(run(&data, &["secret", "remove", "file"]).status.success());
    assert_eq!(run(&data, &["secret", "remove", "file"]).status.code(), Some(8));
    assert_eq!(run(&data, &["secret", "set", "empty"]).status.code(), Some(2));
    assert_eq!(run(&data, &["heartbeat", "url", "none"]).status.code(), Some(8));
    assert_eq!(server.end(), 0);
    let table = run(&data, &["secret", "list"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("stopped"), "{table:?}");
    said.extend([table.stdout, table.stderr].concat());
    said.extend(list.to_string().into_bytes());
    for entry in std::fs::read_dir(&data).unwrap() {
        said.extend(std::fs::read(entry.unwrap().path()).unwrap_or_default());
    }
    let log = std::fs::read(dir.path().join("log")).unwrap();
    assert!(String::from_utf8_lossy(&log).contains("secret set"), "the log is where this looks");
    said.extend(log);
    assert!(!said.windows(value.len()).any(|window| window == value.as_bytes()));
}

#[test]
fn a_job_calls_the_running_program() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let app = App::open(&data, clock::now()).unwrap();
        app.apply(vec![backup()], options(), clock::now()).await.unwrap();
        app.close().await;
    });
    let server = Server::start(&data);
    let url = ran(&data, &["heartbeat", "url", "backup", "--json"])["url"].as_str().unwrap().to_owned();
    let authority = server.http.strip_prefix("http://").unwrap();
    let path = url.strip_prefix(&server.http).unwrap();
    let call = |path: &str| {
        let mut stream = std::net::TcpStream::connect(authority).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    assert!(call(path).starts_with("HTTP/1.1 200"));
    let state = || {
        let checks = ran(&data, &["checks", "--json"]);
        checks[0]["agents"].as_array().unwrap().first().map(|one| one["state"].clone()).unwrap_or_default()
    };
    let wait = |wanted: &str| {
        let until = clock::monotonic();
        while state() != wanted {
            assert!(clock::monotonic().since(until).as_secs() < 30, "never {wanted}: {}", state());
        }
    };
    wait("up");
    assert!(call(&format!("{path}/7")).starts_with("HTTP/1.1 200"));
    wait("down");
    let one = ran(&data, &["checks", "--json"])[0]["agents"][0].clone();
    assert_eq!((&one["cause"], &one["facts"]["exit_status"]), (&json!("heartbeat_failed"), &json!(7)));
    let agents = ran(&data, &["agents", "--json"]);
    assert_eq!((&agents[0]["name"], &agents[0]["internal"]), (&json!("collector"), &json!(true)));
    let table = run(&data, &["agents"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("built in"));
    assert_eq!(run(&data, &["agents", "revoke", "collector"]).status.code(), Some(2));
    assert_eq!(run(&data, &["run-now", "backup"]).status.code(), Some(2));
    assert_eq!(server.end(), 0);
}

#[test]
fn what_cannot_work_is_told_with_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none");
    let nobody = run(&none, &["checks"]);
    assert_eq!(nobody.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("sitepulse-collector serve"));
    assert!(!none.exists(), "looking must not make a data directory");
    let outside = run(&none, &["serve", "--http", "0.0.0.0:0", "--listen", "127.0.0.1:0"]);
    assert_eq!(outside.status.code(), Some(3), "{}", String::from_utf8_lossy(&outside.stderr));
    let config = dir.path().join("c.toml");
    std::fs::write(&config, "htpp = 1\n").unwrap();
    let unknown = run(&none, &["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(unknown.status.code(), Some(3));
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("c.toml:1:1"),
        "{}",
        String::from_utf8_lossy(&unknown.stderr)
    );
    let bad = dir.path().join("bad.toml");
    std::fs::write(&bad, "[[check]]\nid = \"a\"\n").unwrap();
    let bad = run(&none, &["apply", bad.to_str().unwrap()]);
    assert_eq!(bad.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("bad.toml:1:1: check \"a\": \"kind\" is missing"));
    assert_eq!(run(&none, &["apply", "/nonexistent.toml"]).status.code(), Some(3));
    assert_eq!(run(&none, &["nonsense"]).status.code(), Some(2));
}

#[test]
fn vitals_are_shown_by_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let pages = Pages::at(&data).await;
        let west = pages.enrol("eu-west", "w").await;
        for (minutes, ms) in [(20, 2600), (40, 2000), (60, 1000)] {
            pages.ran(west, minutes, &Found { lcp: Some(ms * 1000), cls: Some(1234), ..Found::default() }).await;
        }
        pages.ran(west, 80, &Found { low_confidence: true, lcp: Some(9_000_000), ..Found::default() }).await;
        pages.bench.apply(CHECK, json!({})).await;
        pages.bench.app.close().await;
    });
    let shown = ran(&data, &["vitals", "shop-vitals", "--json"]);
    assert_eq!((&shown["source"], &shown["groups"][1]["region"]), (&json!("lab"), &json!("eu-west")));
    let table = run(&data, &["vitals", "shop-vitals", "--from", "-7d", "--region", "eu-west", "--by-agent"]);
    let text = String::from_utf8(table.stdout).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let lcp = [
        "mobile",
        "eu-west",
        "w",
        "LCP",
        "2.60",
        "s",
        "2.00",
        "s",
        "2.60",
        "s",
        "2.60",
        "s",
        "900",
        "ms",
        "2.86",
        "s",
        "needs",
        "improvement",
    ];
    assert!(lines.iter().any(|line| line.starts_with(&lcp)), "{text}");
    assert!(
        text.starts_with("Lab values of shop-vitals, ") && text.contains("3 of 4 runs are graded; 1 had a host"),
        "{text}"
    );
    assert!(text.contains("0.123"), "{text}");
    let ended = |args: &[&str]| run(&data, &[&["vitals"], args].concat()).status.code();
    assert_eq!(
        [ended(&["shop"]), ended(&["none"]), ended(&["shop-vitals", "--profile", "x"])],
        [Some(2), Some(8), Some(8)]
    );
    let before = run(&data, &["vitals", "shop-vitals", "--from", "-6d", "--to", "-5d"]);
    assert!(String::from_utf8_lossy(&before.stdout).starts_with("No run of shop-vitals"), "{before:?}");
}

#[test]
fn policies_and_reports_work_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (from, to) = runtime.block_on(async {
        let story = Story::new(Pages::at(&data).await).await;
        story.pages.bench.app.close().await;
        (story.ago(1200), story.ago(30))
    });
    let period = ["--from", from.as_str(), "--to", to.as_str()];
    let text = |args: &[&str]| {
        let output = run(&data, args);
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        (output.status.code().unwrap(), format!("{out}{err}"))
    };
    let (code, listed) = text(&["policies"]);
    assert_eq!(code, 0, "{listed}");
    assert!(listed.contains("default@1") && listed.contains("contract@2") && listed.contains("by_share"), "{listed}");
    let (_, sla) = text(&[&["sla", "shop-vitals", "--policy", "contract"], &period[..]].concat());
    assert!(sla.contains("Counted by policy contract: contract@1 from ") && sla.contains("contract@2 from "), "{sla}");
    let json = ran(&data, &[&["sla", "shop-vitals", "--policy", "contract@2", "--json"], &period[..]].concat());
    assert_eq!((&json[0]["policy"]["version"], &json[0]["policy"]["met"]), (&json!(2), &json!(false)));
    let (_, explained) = text(&[&["explain", "shop-vitals", "--policy", "contract@2"], &period[..]].concat());
    assert!(explained.contains("objective 99.9%: MISSED") && explained.contains("COUNTS"), "{explained}");
    assert_eq!(text(&["sla", "--policy", "none"]).0, 8);
    let draft = dir.path().join("draft.toml");
    let try_it = ["policies", "--try", draft.to_str().unwrap()];
    std::fs::write(&draft, "[[policy]]\nid = \"contract\"\nobjective = \"10%\"\nunknown = \"up\"\n").unwrap();
    let (code, tried) = text(&try_it);
    assert_eq!(code, 0, "{tried}");
    assert!(
        tried.contains("The last 30 days by contract as written, against contract@2.") && tried.contains("shop-vitals"),
        "{tried}"
    );
    assert_eq!(ran(&data, &[&try_it[..], &["--json"]].concat())["version"], 2);
    assert!(!text(&["policies"]).1.contains("contract@3"), "trying changes nothing");
    std::fs::write(&draft, "[[scoring]]\nid = \"default\"\n").unwrap();
    assert_eq!(text(&try_it).0, 2, "a file without a policy");
    assert_eq!(text(&["sla", "--policy", "contract@x"]).0, 2);

    let (code, none) = text(&["report", "list"]);
    assert_eq!((code, none.starts_with("No reports yet")), (0, true));
    let store = [&["report", "store", "may", "shop-vitals", "--policy", "contract"], &period[..]].concat();
    let (code, stored) = text(&store);
    assert_eq!((code, stored.starts_with("Stored.\nmay: ")), (0, true), "{stored}");
    assert_eq!(text(&store).0, 5, "a report never changes");
    assert_eq!(text(&["report", "verify", "may"]), (0, "Report may: the same to the last digit.\n".to_owned()));
    assert!(text(&["report", "show", "may"]).1.contains("contract (versions 1, 2)"));
    assert!(text(&["report", "list"]).1.contains("may"));
    assert_eq!(text(&["report", "verify", "june"]).0, 8);
    runtime.block_on(async {
        let pages = Pages::at(&data).await;
        let west = pages.bench.app.book().agents().next().unwrap().number;
        // Numbers go on where the story's ended.
        pages.skip(1000);
        pages.ran(west, 195, &Found::default()).await;
        pages.bench.app.close().await;
    });
    let (code, changed) = text(&["report", "verify", "may"]);
    assert_eq!(code, 11, "{changed}");
    assert!(changed.contains("the figures CHANGED") && changed.contains("unknown: stored "), "{changed}");
}

/// A data directory with a history of everything that is read: policies, promises, amendments, groups, latencies.
fn with_a_history(data: &Path) -> [String; 2] {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let story = Story::new(Pages::at(data).await).await;
        let text = "[[check]]\nid = \"shop-vitals\"\nkind = \"web_vitals\"\nurl = \"https://shop.example/\"\ninterval = \"15m\"\ngroup = \"front\"\n\
                    [[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"http://127.0.0.1:1/\"\ninterval = \"15m\"\ngroup = \"front\"\n\
                    [[slo]]\nid = \"tight\"\ngroups = [\"front\"]\nobjective = \"99%\"\n";
        let at = story.pages.now.plus_us(-2 * 86_400_000_000);
        let sources = [sitepulse_collector::checkfile::Source { name: "all.toml".into(), text: text.into() }];
        let written = sitepulse_collector::checkfile::parse(&sources).unwrap();
        story.pages.bench.app.apply(written, options(), at).await.unwrap();
        let mut pages = story.pages;
        pages.check.id = sitepulse_model::id::CheckId::parse("shop").unwrap();
        let entries = (2..90).map(|quarter| {
            let mut result = pages.result(story.west, quarter * 15, &Found { down: (40..44).contains(&quarter), ..Found::default() });
            result.facts = Default::default();
            pages.entry(result)
        });
        let entries: Vec<_> = entries.collect();
        assert_eq!(pages.ingest(story.west, entries).await.stored, 88);
        let now = pages.now;
        pages.bench.app.writer().run(move |engine| engine.settle(now, true).and_then(|_| engine.seal_now())).await.unwrap().unwrap();
        pages.bench.app.close().await;
        [1200, 30].map(|minutes| instant::format(now.plus_us(-minutes * super::pages::MINUTE)))
    })
}

/// Numbers that move with the clock are left out; everything else is compared.
fn steady(mut told: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                // A rolling period moves with now, and so does the end of an hour that is not over.
                // Hours of scores are written down while a server runs.
                // How much of that hour is known moves with it.
                if ["covered_to", "phases"].iter().any(|of_latency| fields.contains_key(*of_latency)) {
                    ["completeness", "unknown"].iter().for_each(|moving| drop(fields.remove(*moving)));
                }
                for moving in ["as_of", "outcome", "covered_to", "history"] {
                    fields.remove(moving);
                }
                fields.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    strip(&mut told);
    told
}

#[test]
fn reading_commands_say_the_same_on_the_files_over_the_socket_and_from_afar() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let [from, to] = with_a_history(&data);
    let period = ["--from", from.as_str(), "--to", to.as_str()];
    let with_period =
        |args: &[&'static str]| -> Vec<String> { args.iter().chain(&period).map(|arg| (*arg).to_owned()).collect() };
    let plain = |args: &[&'static str]| -> Vec<String> { args.iter().map(|arg| (*arg).to_owned()).collect() };
    let at_the_end = |args: &[&'static str]| -> Vec<String> {
        args.iter().copied().chain(["--at", to.as_str()]).map(str::to_owned).collect()
    };
    let store = |name: &str, more: &[&str]| {
        let args = [&["report", "store", name], more, &period[..], &["--json"]].concat();
        ran(&data, &args)
    };
    // Of one check, and of none by name: of all that lived.
    store("one", &["shop", "--policy", "contract"]);
    let all = store("all", &[]);
    let mut named: Vec<&str> =
        all["checks"].as_array().unwrap().iter().map(|check| check["check"].as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, ["shop", "shop-vitals"], "{all}");

    let commands = [
        plain(&["policies"]),
        plain(&["slo"]),
        plain(&["amendments"]),
        with_period(&["backtest", "--check", "shop", "--confirmations", "1"]),
        with_period(&["latency", "shop"]),
        with_period(&["latency", "shop", "--agent", "w"]),
        with_period(&["sla", "--group", "front", "--policy", "contract@2"]),
        with_period(&["sla", "shop", "--policy", "contract"]),
        with_period(&["explain", "shop"]),
        with_period(&["results", "shop"]),
        at_the_end(&["impact"]),
        at_the_end(&["impact", "shop"]),
        at_the_end(&["impact", "--group", "front"]),
        at_the_end(&["impact", "--region", "eu-west"]),
        plain(&["report", "list"]),
        plain(&["report", "show", "one"]),
        plain(&["report", "verify", "all"]),
    ];
    let through = |args: &[String], door: &[&str]| {
        let args: Vec<&str> = args.iter().map(String::as_str).chain(["--json"]).chain(door.iter().copied()).collect();
        steady(ran(&data, &args))
    };
    let on_files: Vec<Value> = commands.iter().map(|args| through(args, &[])).collect();
    let export = |name: &str| {
        let path = dir.path().join(name);
        let told = ran(&data, &["export", path.to_str().unwrap(), "--json"]);
        (
            told["records"].clone(),
            std::fs::read_to_string(path).unwrap().lines().skip(1).map(str::to_owned).collect::<Vec<_>>(),
        )
    };
    let exported = export("stopped.jsonl");
    assert!(exported.0.as_u64().unwrap() > 200, "{}", exported.0);

    let server = Server::start(&data);
    let api = ran(&data, &["token", "create", "--api", "--json"]);
    let afar = ["--url", server.http.as_str(), "--token", api["token"].as_str().unwrap()];
    for (args, expected) in commands.iter().zip(&on_files) {
        assert!(expected.as_array().is_none_or(|list| !list.is_empty()), "{args:?} tells nothing");
        assert_eq!(&through(args, &[]), expected, "{args:?} over the socket");
        assert_eq!(&through(args, &afar), expected, "{args:?} from afar");
    }
    // Periods that end now move between two calls; all that is counted in them stays.
    let rolling = |args: &[&str]| {
        let mut told = ran(&data, args);
        for moving in ["from", "to", "before_from", "sla", "impact"] {
            told.as_object_mut().unwrap().remove(moving);
        }
        told
    };
    for args in [&["kpi", "--period", "7d", "--json"][..], &["indicators", "--period", "7d", "--json"]] {
        let over_socket = rolling(args);
        assert!(over_socket["period"] == "7d" && over_socket.as_object().unwrap().len() > 4, "{over_socket}");
        assert_eq!(rolling(&[args, &afar[..]].concat()), over_socket, "{args:?}");
    }
    let sla = ran(&data, &[&["kpi", "--period", "7d", "--json"], &afar[..]].concat())["sla"].clone();
    assert_eq!((&sla["checks"], &sla["measured"], &sla["pending"]), (&json!(2), &json!(2), &json!(false)), "{sla}");
    for args in [&["impact", "--history"][..], &["impact", "--history", "--group", "front"], &["indicators", "spared"]]
    {
        let text = run(&data, &[args, &afar[..]].concat());
        assert_eq!(text.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&text.stderr));
    }
    for (args, code) in [(["indicators", "none"], 8), (["indicators", "--period=1h"], 2), (["impact", "nowhere"], 8)] {
        assert_eq!(run(&data, &args).status.code(), Some(code), "{args:?}");
    }
    assert_eq!(export("running.jsonl"), exported, "beside a running collector");
    let refused = run(&data, &[&["export", "x.jsonl"], &afar[..]].concat());
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("without --url"));
    // A report is stored from afar too, and a reader's token stores none.
    let stored = ran(&data, &[&["report", "store", "afar", "shop", "--json"], &period[..], &afar[..]].concat());
    assert_eq!(stored["checks"][0]["check"], "shop");
    assert_eq!(run(&data, &[&["report", "verify", "afar"], &afar[..]].concat()).status.code(), Some(0));
    let group = run(&data, &[&["sla", "--group", "front", "--policy", "contract@2"], &period[..], &afar[..]].concat());
    let told = String::from_utf8(group.stdout).unwrap();
    assert!(told.contains("front") && told.ends_with("Counted by policy contract@2.\n"), "{told}");
    let told = String::from_utf8(run(&data, &["sla", "--by-group", "--policy", "contract"]).stdout).unwrap();
    assert!(told.contains("Counted by policy contract: each instant by the version in force then."), "{told}");
    let told = String::from_utf8(run(&data, &["sla", "--by-group"]).stdout).unwrap();
    assert!(!told.contains("Counted by"), "{told}");

    // The explanation as a page, with the figure that the command has.
    let session = ran(&data, &["sign-in", "--json"])["url"].as_str().unwrap().to_owned();
    let authority = server.http.strip_prefix("http://").unwrap();
    let ask = |path: &str, cookie: &str| {
        let mut stream = std::net::TcpStream::connect(authority).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {authority}\r\n{cookie}connection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let cookie = format!("cookie: {}\r\n", server.session(&session));
    let page = ask("/checks/shop/explain?span=7d&policy=contract&lang=fr", &cookie);
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<html lang=\"fr\">"), "{page}");
    assert!(page.contains("contract") && page.contains("eu-west"), "{page}");
    let again = "name=\"back\" value=\"/checks/shop/explain?span=7d&#38;policy=contract\"";
    assert!(page.contains(again), "the language switch keeps what was asked: {page}");
    assert!(ask("/checks/none/explain", &cookie).starts_with("HTTP/1.1 404"));
    assert!(!ask("/checks/shop/explain", "").starts_with("HTTP/1.1 200"));
    assert_eq!(server.end(), 0);
}

#[test]
fn a_damaged_sketch_is_told_in_the_log_once_however_often_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let [from, to] = with_a_history(&data);
    let db = rusqlite::Connection::open(data.join("collector.db")).unwrap();
    assert!(db.execute("UPDATE rollup SET body = x'01020304050607080900' WHERE class IN (1, 2)", []).unwrap() > 0);
    drop(db);
    let log = dir.path().join("log");
    let server = Server::start_logging(&data, std::fs::File::create(&log).unwrap().into());
    let ask = ["latency", "shop", "--from", from.as_str(), "--to", to.as_str(), "--json"];
    let told = steady(ran(&data, &ask));
    assert!(told["groups"].as_array().is_some_and(|groups| !groups.is_empty()), "its records tell: {told}");
    for _ in 0..3 {
        assert_eq!(steady(ran(&data, &ask)), told);
    }
    assert_eq!(server.end(), 0);
    let log = std::fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("table rollup")).collect();
    let distinct: std::collections::BTreeSet<&str> =
        lines.iter().filter_map(|line| line.split_once("table rollup").map(|(_, what)| what)).collect();
    assert!(!lines.is_empty() && lines.len() == distinct.len(), "{lines:#?}");
}

#[test]
fn duty_is_told_and_changed_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("checks.toml"), dir.path().join("data"));
    std::fs::write(&file, format!("{CHECK}{}", super::oncall::samples())).unwrap();
    ran(&data, &["apply", file.to_str().unwrap(), "--json"]);
    let mut feeds = Vec::new();
    for live in [false, true] {
        let server = live.then(|| Server::start(&data));
        let noon = ran(&data, &["oncall", "primary", "--at", "2030-06-03T12:00", "--json"]);
        assert_eq!((&noon[0]["user"]["id"], &noon[0]["until"]), (&json!("bob"), &json!("2030-06-03T16:00:00Z")));
        let days = ["--from", "2030-06-10", "--to", "2030-06-11", "--json"];
        let calendar = ran(&data, &[&["oncall", "calendar", "primary"][..], &days[..]].concat());
        assert_eq!(calendar["shifts"].as_array().unwrap().len(), 3, "{calendar}");
        let given = ran(&data, &["oncall", "override", "primary", "ana", "--to", "+1h", "--json"]);
        let number = given["number"].to_string();
        let on_call = String::from_utf8(run(&data, &["oncall"]).stdout).unwrap();
        assert!(on_call.contains(&format!("override {number} on the spot")), "{on_call}");
        let ended = ran(&data, &["oncall", "end-override", "primary", &number, "--json"]);
        assert_eq!(ended["state"], "past");
        assert_eq!(
            ran(&data, &["oncall", "overrides", "primary", "--json"]).as_array().unwrap().len(),
            1 + usize::from(live)
        );
        assert_eq!(run(&data, &["oncall", "end-override", "primary", &number]).status.code(), Some(5));
        assert_eq!(run(&data, &["oncall", "nope"]).status.code(), Some(8));
        assert_eq!(ran(&data, &["oncall", "users", "--json"])[0]["name"], "Ana Silva");
        let policy = ran(&data, &["escalations", "default", "--severity", "minor", "--json"]);
        assert_eq!((&policy["severity"], &policy["levels"][1]["after"]), (&json!("minor"), &json!("10m")));
        let table = String::from_utf8(run(&data, &["escalations"]).stdout).unwrap();
        assert!(table.contains("default@1, the default: ") && table.contains("oncall:primary"), "{table}");
        let feed = ran(&data, &["oncall", "feed", "primary", "--user", "ana", "--json"]);
        assert_eq!(feed["url"].is_string(), live);
        feeds.push(feed["path"].clone());
        drop(server);
    }
    assert_eq!(feeds[0], feeds[1], "an address is good for as long as its key is");
}

#[test]
fn results_and_export_say_how_many_records_they_leave_out_and_where_those_lie() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    with_a_history(&data);
    let db = rusqlite::Connection::open(data.join("collector.db")).unwrap();
    let bucket = sitepulse_model::id::CheckId::parse("shop").unwrap().bucket().0;
    let set_aside = format!("INSERT INTO quarantine VALUES ({bucket}, 1, 1, 7, 0, 'damaged', x'ff')");
    // What agents sent and makes no sense was never a record; a body of a timeline is none.
    let others = format!(
        "INSERT INTO quarantine VALUES ({bucket}, 1, 1, 8, 0, 'of no revision', x'ff'), ({bucket}, 1, 0, 0, 0, 'table series, check 2', x'ff')"
    );
    db.execute_batch(&format!("{set_aside}; {others}")).unwrap();
    db.execute_batch("INSERT INTO result(arrival, records, body) VALUES (100000, 1, x'ff')").unwrap();
    drop(db);
    let text = |args: &[&str]| {
        let output = run(&data, args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let told = text(&["results", "shop"]);
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("1 records are left out")).collect();
    assert!(
        lines.len() == 2
            && lines[0].ends_with("they will be kept in the table quarantine once they are sealed")
            && lines[1].ends_with("they are kept in the table quarantine"),
        "{told}"
    );
    let path = dir.path().join("all.csv");
    let told = text(&["export", path.to_str().unwrap()]);
    assert!(told.contains("2 records that came in damaged are not in it"), "{told}");
}

#[test]
fn the_first_start_signs_an_admin_in_and_access_is_managed_by_command() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("users.toml"), dir.path().join("data"));
    let server = Server::start(&data);
    let first = server.first.clone().expect("nobody ever signed in");
    let authority = server.http.strip_prefix("http://").unwrap().to_owned();
    let send = |method: &str, path: &str, headers: &str, body: &str| {
        let mut stream = std::net::TcpStream::connect(&authority).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {authority}\r\norigin: http://{authority}\r\ncontent-length: {length}\r\n"
        );
        write!(stream, "{head}{headers}connection: close\r\n\r\n{body}").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    for method in ["HEAD", "GET"] {
        let looked = send(method, first.strip_prefix(&server.http).unwrap(), "", "");
        assert!(looked.starts_with("HTTP/1.1 200") && !looked.contains("set-cookie"), "{looked}");
    }
    let cookie = format!("cookie: {}\r\n", server.session(&first));
    let page = send("GET", "/settings/audit", &cookie, "");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("first sign-in link"), "an admin's: {page}");
    assert!(send("GET", first.strip_prefix(&server.http).unwrap(), "", "").starts_with("HTTP/1.1 403"), "once");

    std::fs::write(&file, "[[user]]\nid = \"ana\"\nrole = \"editor\"\n").unwrap();
    ran(&data, &["apply", file.to_str().unwrap(), "--json"]);
    let set = |password: &str| {
        let mut child = program();
        let child = child.args(["user", "password", "ana", "--data-dir"]).arg(&data);
        let mut child = child.stdin(Stdio::piped()).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        child.wait().unwrap().code()
    };
    assert_eq!(set("too short\n"), Some(2));
    assert_eq!(set("correct horse battery\n"), Some(0));
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let signed_in = send("POST", "/sign-in", form, "user=ana&password=correct+horse+battery");
    assert!(
        signed_in.starts_with("HTTP/1.1 303") && signed_in.contains("set-cookie: sitepulse_session=sps_"),
        "{signed_in}"
    );
    assert!(!signed_in.contains("__Host-"), "that name needs TLS, and browsers refuse it without");
    let users = ran(&data, &["user", "list", "--json"]);
    assert_eq!((&users[0]["role"], &users[0]["sessions"]), (&json!("editor"), &json!(1)));
    assert!(ran(&data, &["user", "invite", "ana", "--json"])["url"].as_str().unwrap().contains("/invite?token=spi_"));
    assert_eq!(run(&data, &["user", "sign-out", "ana"]).status.code(), Some(0));
    assert_eq!(ran(&data, &["user", "list", "--json"])[0]["sessions"], 0);
    assert_eq!(run(&data, &["user", "invite", "nobody"]).status.code(), Some(8));

    let made = ran(&data, &["api-token", "create", "--scope", "read", "--note", "far", "--ttl", "1h", "--json"]);
    let (token, id) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
    let far = |args: &[&str]| program().args(args).args(["--url", &server.http, "--token", token]).output().unwrap();
    assert_eq!(far(&["checks"]).status.code(), Some(0));
    assert_eq!(far(&["audit"]).status.code(), Some(5), "it only looks");
    assert_eq!(run(&data, &["api-token", "create", "--scope", "root", "--note", "x"]).status.code(), Some(2));
    assert_eq!(run(&data, &["api-token", "revoke", id]).status.code(), Some(0));
    assert_eq!(run(&data, &["api-token", "revoke", id]).status.code(), Some(8));
    assert_eq!(far(&["checks"]).status.code(), Some(5));
    let log = ran(&data, &["audit", "--json"]);
    let refused = log.as_array().unwrap().iter().find(|one| one["author"] == "collector:far").unwrap();
    assert_eq!((&refused["action"], &refused["status"]), (&json!("GET /api/v1/audit"), &json!(403)));
    assert_eq!(ran(&data, &["audit", "--author", "ana", "--json"])[0]["action"], "sign-in");
    assert!(!run(&data, &["audit", "--json", "--limit", "1000"]).stdout.is_empty());
    assert_eq!(server.end(), 0);

    // Somebody signed in: the next start prints no link. The log is read and looked through on the files too.
    let again = Server::start(&data);
    assert_eq!(again.first, None);
    assert_eq!(again.end(), 0);
    assert_eq!(ran(&data, &["audit", "--verify", "--json"])["intact"], true);
    let db = rusqlite::Connection::open(data.join("collector.db")).unwrap();
    let changed =
        "UPDATE audit SET body = replace(body, 'collector', 'x'), author = 'collector:mallory' WHERE number = 3";
    assert_eq!(db.execute(changed, []).unwrap(), 1);
    drop(db);
    let found = run(&data, &["audit", "--verify"]);
    assert_eq!(found.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&found.stderr).contains("entry 3 is not as it was written"));
}

//! Many checks, and more than an agent can run. Costs and times are the benchmarks' matter; here it works at all, whatever the machine.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;
use sitepulse_model::record::ProbeState;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process::{self, Daemon};
use sitepulse_tests::site::Site;
use sitepulse_tests::{oracle, wait};

/// The largest check file, in bytes.
const FILE_BYTES_MAX: usize = 8 << 20;

#[test]
fn a_file_of_ten_thousand_checks_is_applied_as_one_and_reaches_the_agent() {
    let mut cluster = Cluster::start();
    let check = |n: u32| {
        format!(
            "[[check]]\nid = \"c{n}\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9/{n}\"\ninterval = \"7d\"\n\
             expect = [\"status == 200\", \"body contains 'Welcome'\", \"degraded if latency > 2s\"]\n\n"
        )
    };
    let mut file: String = (0..10_000).map(check).collect();
    assert!(file.len() > 1 << 20, "as large as the former limit");
    let plan = apply(&cluster, &file);
    assert_eq!(actions(&plan), [10_000, 0], "all are created");
    let plan = apply(&cluster, &file);
    assert_eq!(actions(&plan), [0, 10_000], "nothing changes the second time");
    cluster.add_agent("a", "eu");
    wait::until("the agent has all checks", 300, || {
        let status = cluster.agent_ctl("a", &["status", "--json"]);
        let status = if status.code == 0 { status.json() } else { Value::Null };
        if status["checks"] == 10_000 { Ok(()) } else { Err(status) }
    });
    // One changed check of so many is one change, and the agent hears of it.
    file = file.replacen("127.0.0.1:9/77\"", "127.0.0.1:9/changed\"", 1);
    assert_eq!(actions(&apply(&cluster, &file)), [0, 9_999]);
    wait::until("the agent has the change", 300, || {
        let text = cluster.agent_ctl("a", &["checks"]);
        if text.stdout.contains("127.0.0.1:9/changed") { Ok(()) } else { Err(text.stderr) }
    });
}

#[test]
fn a_check_file_beyond_the_limit_is_refused_with_the_remedy() {
    let cluster = Cluster::start();
    let check = "[[check]]\nid = \"one\"\nkind = \"tcp\"\naddress = \"127.0.0.1:9\"\n";
    let padded = |bytes: usize| {
        let mut text = check.to_owned();
        while text.len() + 80 < bytes {
            text.push_str("# ");
            text.extend(std::iter::repeat_n('-', 77));
            text.push('\n');
        }
        text.extend(std::iter::repeat_n('\n', bytes - text.len()));
        text
    };
    let file = |name: &str, bytes: usize, id: &str| {
        let path = cluster.dir().join(name);
        std::fs::write(&path, padded(bytes).replacen("\"one\"", id, 1)).expect("it can be written");
        path.to_str().expect("UTF-8").to_owned()
    };
    // The largest one is taken.
    assert_eq!(
        actions(&cluster.ctl(&["apply", &file("full.toml", FILE_BYTES_MAX, "\"one\""), "--json"]).json()),
        [1, 0]
    );
    let long = file("long.toml", FILE_BYTES_MAX + 1, "\"two\"");
    let refused = cluster.ctl(&["apply", &long]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("long.toml: longer than 8388608 bytes"), "{refused:?}");
    assert!(refused.stderr.contains("split"), "{refused:?}");
    // The same over standard input.
    let refused = with_stdin(
        process::collector().args(["apply", "-", "--data-dir"]).arg(cluster.collector_dir()),
        &padded(FILE_BYTES_MAX + 1),
    );
    assert!(refused.contains("stdin") && refused.contains("8388608") && refused.contains("split"), "{refused}");
    // Together they may have twice as much.
    let (a, b, c) = ("\"a\"", "\"b\"", "\"c\"");
    let files = [("a", a), ("b", b), ("c", c)].map(|(name, id)| file(&format!("{name}.toml"), 6 << 20, id));
    let refused = cluster.ctl(&["apply", &files[0], &files[1], &files[2]]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("one after the other"), "{refused:?}");
    assert_eq!(cluster.ctl(&["checks", "--json"]).json().as_array().map(Vec::len), Some(1), "nothing was applied");
}

fn apply(cluster: &Cluster, toml: &str) -> Value {
    let file = cluster.dir().join("checks.toml");
    std::fs::write(&file, toml).expect("the check file can be written");
    cluster.ctl(&["apply", file.to_str().expect("UTF-8"), "--json"]).json()
}

/// Checks that a plan creates, and those it leaves as they are.
fn actions(plan: &Value) -> [usize; 2] {
    let items = plan["items"].as_array().expect("a plan lists its items");
    let count = |action: &str| items.iter().filter(|item| item["action"] == action).count();
    [count("create"), items.len() - count("create") - count("change") - count("retire")]
}

/// What a command that fails says on stderr.
fn with_stdin(command: &mut Command, text: &str) -> String {
    use std::process::Stdio;
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    // It may stop reading once it has seen enough.
    child.stdin.take().expect("piped").write_all(text.as_bytes()).ok();
    let ended = child.wait_with_output().expect("it ends");
    assert!(!ended.status.success());
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

/// Takes connections and never answers; ends with the test process.
fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
            });
        }
    });
    format!("http://{address}/")
}

#[test]
fn ten_times_overloaded_an_agent_sheds_the_lightest_and_still_runs_what_a_person_asks_for() {
    let site = Site::start();
    let slow = silent();
    let mut cluster = Cluster::start();
    // Four places, each held for two seconds: two runs a second, of the twenty-one that are due.
    let mut checks: String = (0..20)
        .map(|n| {
            format!(
                "[[check]]\nid = \"light{n}\"\nkind = \"http\"\nurl = \"{slow}{n}\"\ninterval = \"1s\"\ntimeout = \"2s\"\nweight = 0.5\n"
            )
        })
        .collect();
    let url = site.url("heavy");
    checks.push_str(&format!(
        "[[check]]\nid = \"heavy\"\nkind = \"http\"\nurl = \"{url}\"\ninterval = \"1s\"\nweight = 9\n"
    ));
    cluster.apply(&checks).ok();
    cluster.join("a", "eu");
    let config = cluster.dir().join("a.toml");
    std::fs::write(&config, "max_in_flight = 4\n\n[network]\nallow = [\"loopback\"]\n").expect("it can be written");
    let mut run = process::agent_daemon();
    run.arg("run").arg("--config").arg(&config).arg("--data-dir").arg(cluster.agent_dir("a"));
    let daemon = Daemon::start(&mut run, &cluster.dir().join("agent-a.log"));
    cluster.agents.insert("a".to_owned(), daemon);
    let overloaded = |shed: u64| {
        wait::until("the agent sheds", 120, || {
            let status = cluster.agent_ctl("a", &["status", "--json"]);
            let status = if status.code == 0 { status.json() } else { Value::Null };
            if status["shed"].as_u64() >= Some(shed) { Ok(status) } else { Err(status) }
        })
    };
    let status = overloaded(40);
    assert!(status["in_flight"].as_u64() <= Some(4), "never more than there are places: {status}");
    // All places are taken and the room is full; what a person asks for has places of its own.
    for _ in 0..3 {
        let ran = cluster.agent_ctl("a", &["run-now", "heavy", "--json"]).json();
        assert_eq!(ran["state"], "up", "{ran}");
        let ran = cluster.ctl(&["run-now", "heavy", "--json"]).json();
        assert_eq!(ran["runs"][0]["result"]["state"], "up", "{ran}");
    }
    let before = overloaded(41)["shed"].as_u64().unwrap_or(0);
    overloaded(before + 20);
    cluster.stop_agent("a");
    cluster.stop_collector();
    let store = oracle::read(&cluster.collector_dir(), 1_000_000);
    assert_eq!(store.broken, Vec::<String>::new());
    // The lightest paid for the overload, the heavy one did not.
    let [mut heavy, mut light] = [(0, 0); 2];
    for ledger in store.ledgers.values() {
        // It alone is ever up.
        let of = if ledger.states.contains_key(&ProbeState::Up) { &mut heavy } else { &mut light };
        *of = (of.0 + ledger.results.len(), of.1 + ledger.missed.len());
    }
    assert!(heavy.0 > 0 && light.1 >= 40, "runs and missed: heavy {heavy:?}, light {light:?}");
    assert!(heavy.1 * light.0 < light.1 * heavy.0, "runs and missed: heavy {heavy:?}, light {light:?}");
}

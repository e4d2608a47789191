//! Suspend, resume, weigh and run now: with the collector there, while it is away, and while the agent itself is stopped.

use serde_json::Value;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::site::{Mood, Site};
use sitepulse_tests::wait;

fn agent(cluster: &Cluster, name: &str) -> Value {
    let all = cluster.ctl(&["agents", "--json"]).json();
    all.as_array().expect("a list").iter().find(|agent| agent["name"] == name).cloned().unwrap_or(Value::Null)
}

#[test]
fn orders_given_while_cut_off_apply_from_their_own_instants() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);

    // The collector is away; the agent obeys all the same.
    cluster.stop_collector();
    let suspended_at = sitepulse_daemon::clock::now();
    let said = cluster.agent_ctl("eu-west-1", &["suspend", "--for", "1h", "--reason", "uplink work"]).ok();
    assert!(said.contains("uplink work") || said.contains("until"), "{said}");
    let quiet = site.hits()["shop"];
    let status = cluster.agent_ctl("eu-west-1", &["status", "--json"]).json();
    assert!(status.to_string().contains("uplink work"), "{status}");
    wait::until("three slots are missed as suspended", 20, || {
        let waited = sitepulse_daemon::clock::now().us_since(suspended_at);
        if waited > 3_500_000 { Ok(()) } else { Err(waited) }
    });
    assert!(site.hits()["shop"] <= quiet + 1, "a suspended agent still probes");

    // The agent is stopped too; its files take the order.
    cluster.stop_agent("eu-west-1");
    cluster.agent_ctl("eu-west-1", &["weight", "2.5"]).ok();
    let resumed_at = sitepulse_daemon::clock::now();
    cluster.agent_ctl("eu-west-1", &["resume"]).ok();

    cluster.start_agent("eu-west-1");
    cluster.start_collector();
    // Meanwhile the collector's side gives an order of its own: both stand in the history.
    cluster.ctl(&["weight", "3", "--agent", "eu-west-1", "--check", "shop"]).ok();
    cluster.wait_for_drain("eu-west-1", 30);
    let told = wait::until("the collector knows the agent's orders", 20, || {
        let agent = agent(&cluster, "eu-west-1");
        if agent["weight"] == 2.5 { Ok(agent) } else { Err(agent.to_string()) }
    });
    assert!(told["suspended"].is_null(), "{told}");
    let history = cluster.ctl(&["history", "--json"]).json().to_string();
    for word in ["uplink work", "agent:eu-west-1", "collector:"] {
        assert!(history.contains(word), "{word} is not in {history}");
    }
    wait::until("the agent knows the collector's order", 20, || {
        let checks = cluster.agent_ctl("eu-west-1", &["checks", "--json"]).json();
        if checks[0]["weight"] == 3.0 { Ok(()) } else { Err(checks.to_string()) }
    });

    // The suspension counts exactly from its own instant to the resume's.
    cluster.wait_for_verdict("shop", "up", 20);
    let sla = cluster.sla("shop", &[]);
    let suspended = sla["seconds"]["unknown"]["suspended"].as_f64().expect("a number");
    let given = resumed_at.us_since(suspended_at) as f64 / 1e6;
    assert!((suspended - given).abs() < 2.5, "suspended for {given} s, counted {suspended} in {sla}");
    assert_eq!(sla["seconds"]["down"], 0.0, "{sla}");
}

#[test]
fn a_check_is_suspended_from_the_collector_and_resumes_by_itself() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);
    cluster.ctl(&["suspend", "--check", "shop", "--for", "4s", "--reason", "release"]).ok();
    cluster.wait_for_verdict("shop", "unknown", 10);
    cluster.wait_for_verdict("shop", "up", 20);
    let sla = cluster.sla("shop", &[]);
    assert!(sla["seconds"]["unknown"]["suspended"].as_f64() >= Some(3.5), "{sla}");
}

#[test]
fn bad_orders_are_refused_with_place_and_remedy() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);
    for (args, code, word) in [
        (&["suspend", "--check", "nothing", "--reason", "x"][..], 8, "nothing"),
        (&["weight", "minus"][..], 2, "minus"),
        (&["weight", "-1"][..], 2, "-1"),
        (&["suspend", "--for", "2 parsecs", "--reason", "x"][..], 2, "parsecs"),
        (&["suspend"][..], 2, "--reason"),
        (&["suspend", "--until", "2001-01-01T00:00:00Z", "--reason", "x"][..], 2, "over"),
    ] {
        let answer = cluster.agent_ctl("eu-west-1", args);
        assert_eq!(answer.code, code, "{args:?}: {answer:?}");
        assert!(answer.stderr.contains(word), "{args:?}: {answer:?}");
    }
    assert!(cluster.agents.get_mut("eu-west-1").expect("it runs").ended().is_none());
}

/// Tries of a command whose time is taken: the fastest counts, others may have been held up by what else runs here.
const TRIES: u64 = 3;

#[test]
fn run_now_answers_within_two_seconds_from_both_sides_and_is_not_stored() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop").replace("interval = \"1s\"", "interval = \"1h\"")).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    wait::until("the agent has the check", 20, || {
        let checks = cluster.agent_ctl("eu-west-1", &["checks", "--json"]).json();
        if checks[0]["check"] == "shop" { Ok(()) } else { Err(checks.to_string()) }
    });
    let from_agent = || cluster.agent_ctl("eu-west-1", &["run-now", "shop", "--json"]);
    let from_collector = || cluster.ctl(&["run-now", "shop", "--json"]);
    let mut asked = 0;
    for (side, run_now) in
        [("agent", &from_agent as &dyn Fn() -> sitepulse_tests::process::Answer), ("collector", &from_collector)]
    {
        let mut fastest_us = u64::MAX;
        for _ in 0..TRIES {
            let begin = sitepulse_daemon::clock::monotonic();
            let answer = run_now().json();
            fastest_us = fastest_us.min(sitepulse_daemon::clock::monotonic().us_since(begin));
            asked += 1;
            let result = if side == "agent" { &answer } else { &answer["runs"][0]["result"] };
            assert_eq!(result["state"], "up", "{side}: {answer}");
        }
        assert!(fastest_us < 2_000_000, "{side}: run-now took {fastest_us} us");
    }

    // Both tell the shell what was found.
    site.set(Mood::Ill);
    for answer in [from_agent(), from_collector()] {
        assert_eq!(answer.code, 9, "{answer:?}");
        asked += 1;
    }

    // A slot of the hour may fall due meanwhile: its run alone may have left a record.
    cluster.stop_agent("eu-west-1");
    let spooled = cluster.agent_ctl("eu-west-1", &["spool", "--json"]).json();
    let told = agent(&cluster, "eu-west-1");
    let kept =
        spooled["records"].as_u64().expect("a number") + told["conservation"]["stored"].as_u64().expect("a number");
    assert_eq!(site.hits()["shop"], asked + kept, "{spooled} {told}");
}

//! Outages of a site that is watched from three regions: what becomes an incident, and what does not.

use std::process::Command;

use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::incidents::{self, Incident};
use sitepulse_tests::site::{Mood, Site};
use sitepulse_tests::{process, wait};

/// Runs `program` in a mount namespace of its own where the hosts file says what `shop.test` is.
fn where_the_shop_is(program: &Command, hosts: &std::path::Path) -> Command {
    let mut command = process::bound("unshare");
    command.args(["--mount", "--map-root-user", "--user", "--propagation", "private", "sh", "-c"]);
    command.arg(format!("mount --bind {} /etc/hosts && exec \"$0\" \"$@\"", hosts.display()));
    command.arg(program.get_program()).args(program.get_args());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// Kinds and states, oldest first.
fn known(cluster: &Cluster) -> Vec<(String, String)> {
    incidents::read(&cluster.collector_dir()).into_iter().map(|one| (one.kind, one.state)).collect()
}

/// Waits for an incident that is open, which its message must be in the outbox with.
fn opened(cluster: &Cluster, kind: &str) -> Incident {
    wait::until(&format!("{kind} is open"), 120, || {
        let all = incidents::read(&cluster.collector_dir());
        all.iter().find(|one| one.kind == kind && one.state == "open").cloned().ok_or(all)
    })
}

fn all_over(cluster: &Cluster) {
    wait::until("everything is over", 120, || {
        let all = known(cluster);
        if all.iter().all(|(_, state)| state == "resolved") { Ok(()) } else { Err(all) }
    });
}

#[test]
fn one_region_is_one_regional_incident_and_all_regions_are_one_outage() {
    // Two regions are led to one site, the third one to another: it alone can fail there.
    let near = Site::start();
    let far = Site::start_at("127.0.0.2", near.address().port());
    let mut cluster = Cluster::start();
    let port = near.address().port();
    cluster
        .apply(&format!(
            r#"
[[check]]
id = "shop"
kind = "http"
url = "http://shop.test:{port}/shop"
interval = "3s"
timeout = "3s"

[[channel]]
id = "ops-hook"
kind = "webhook"
url = "https://ops.invalid/hook"

[[escalation]]
id = "default"
default = true
levels = [ {{ after = "0s", notify = ["ops-hook"] }} ]
"#
        ))
        .ok();
    for (region, address) in [("ap-south", "127.0.0.1"), ("eu-west", "127.0.0.1"), ("us-east", "127.0.0.2")] {
        let name = format!("{region}-1");
        cluster.join(&name, region);
        let hosts = cluster.dir().join(format!("hosts-{region}"));
        std::fs::write(&hosts, format!("{address} shop.test\n")).expect("a hosts file");
        let mut program = process::agent_daemon();
        program.args(["run", "--allow", "loopback"]).arg("--data-dir").arg(cluster.agent_dir(&name));
        cluster.start_agent_by(&name, &mut where_the_shop_is(&program, &hosts));
    }
    let hits = |site: &Site| site.hits().get("shop").copied().unwrap_or(0);
    wait::until("all three watch", 60, || {
        let seen = (hits(&near), hits(&far));
        if seen.0 >= 4 && seen.1 >= 2 { Ok(()) } else { Err(seen) }
    });
    cluster.wait_for_verdict("shop", "up", 30);
    assert_eq!(known(&cluster), []);

    // Thirty seconds: ten runs.
    let before = hits(&far);
    far.set(Mood::Ill);
    let regional = opened(&cluster, "regional");
    assert!(regional.told_us == regional.opened_us && regional.told_us.is_some(), "{regional:?}");
    wait::until("the outage goes on", 120, || if hits(&far) >= before + 10 { Ok(()) } else { Err(hits(&far)) });
    far.set(Mood::Well);
    all_over(&cluster);
    let one = [("regional".to_owned(), "resolved".to_owned())];
    assert_eq!(known(&cluster), one);

    near.set(Mood::Ill);
    far.set(Mood::Ill);
    let down = opened(&cluster, "down");
    assert!(down.told_us == down.opened_us && down.told_us.is_some(), "{down:?}");
    let seen = hits(&near);
    wait::until("the outage goes on", 120, || if hits(&near) >= seen + 6 { Ok(()) } else { Err(hits(&near)) });
    near.set(Mood::Well);
    far.set(Mood::Well);
    all_over(&cluster);
    assert_eq!(known(&cluster), [one, [("down".to_owned(), "resolved".to_owned())]].concat());
}

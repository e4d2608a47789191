//! Three agents, one collector, a site that goes down and up again.

use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::site::{Mood, Site};
use sitepulse_tests::wait;

use crate::sums;

const REGIONS: [&str; 3] = ["eu-west", "us-east", "ap-south"];

fn shop(site: &Site, more: &str) -> String {
    format!("{}{more}\n", site.check("shop"))
}

#[test]
fn a_site_goes_down_and_up_and_the_sla_says_so() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    assert!(
        cluster
            .apply(&shop(&site, "expect = [\"status in 200..299\", \"body contains 'Welcome'\"]"))
            .ok()
            .contains("shop")
    );
    for region in REGIONS {
        cluster.add_agent(&format!("{region}-1"), region);
    }
    cluster.wait_for_verdict("shop", "up", 20);

    site.set(Mood::Ill);
    cluster.wait_for_verdict("shop", "down", 20);
    let during = wait::until("a second of downtime counts", 20, || {
        let sla = cluster.sla("shop", &[]);
        if sla["seconds"]["down"].as_f64() > Some(1.0) { Ok(sla) } else { Err(sla.to_string()) }
    });
    assert!(during["availability"].as_f64().expect("measured") < 1.0);

    site.set(Mood::Well);
    cluster.wait_for_verdict("shop", "up", 20);
    let sla = cluster.sla("shop", &[]);
    sums::hold(&sla);
    let availability = sla["availability"].as_f64().expect("measured");
    assert!(availability > 0.0 && availability < 1.0, "{sla}");
    assert!(
        sla["lower"].as_f64() <= sla["availability"].as_f64() && sla["availability"].as_f64() <= sla["upper"].as_f64()
    );

    // Explained: the same figures, interval by interval.
    sums::explained(&cluster.ctl(&["explain", "shop", "--json"]).json());
    let text = cluster.ctl(&["explain", "shop"]).ok();
    assert!(text.contains("availability  1 - ") && text.contains(" down ["), "{text}");
    assert_eq!(cluster.ctl(&["explain", "nothing"]).code, 8);

    // Each voter alone, by agent and by region; an unknown one is an error that names it.
    for region in REGIONS {
        sums::hold(&cluster.sla("shop", &["--agent", &format!("{region}-1")]));
        sums::hold(&cluster.sla("shop", &["--region", region]));
    }
    let answer = cluster.ctl(&["sla", "shop", "--agent", "nobody"]);
    assert_eq!(answer.code, 8, "{answer:?}");
    assert!(answer.stderr.contains("nobody"), "{answer:?}");
    let answer = cluster.ctl(&["sla", "nothing"]);
    assert_eq!(answer.code, 8, "{answer:?}");

    // What was before the check's life is no evidence: null, never 100 %.
    let past = cluster.sla("shop", &["--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z"]);
    assert!(past["availability"].is_null(), "{past}");

    // The same file again changes nothing.
    let plan = cluster.apply(&shop(&site, "expect = [\"status in 200..299\", \"body contains 'Welcome'\"]")).ok();
    assert!(plan.contains("unchanged"), "{plan}");

    // The figure from the running server and from the files is one figure.
    let from = sla["from"].as_str().expect("RFC 3339").to_owned();
    let to = sla["to"].as_str().expect("RFC 3339").to_owned();
    for region in REGIONS {
        cluster.stop_agent(&format!("{region}-1"));
    }
    let live = cluster.sla("shop", &["--from", &from, "--to", &to]);
    cluster.stop_collector();
    let stopped = cluster.sla("shop", &["--from", &from, "--to", &to]);
    assert_eq!(live, stopped);
}

#[test]
fn one_region_alone_is_regional_and_costs_its_share() {
    let site = Site::start();
    let other = Site::start();
    let mut cluster = Cluster::start();
    // Two checks share nothing but the agents; only `here` is ill.
    let toml =
        format!("{}{}", shop(&site, ""), shop(&other, "regions = [\"eu-west\"]").replace("\"shop\"", "\"here\""));
    cluster.apply(&toml).ok();
    for region in REGIONS {
        cluster.add_agent(&format!("{region}-1"), region);
    }
    cluster.wait_for_verdict("here", "up", 20);
    other.set(Mood::Mute);
    cluster.wait_for_verdict("here", "down", 20);
    let shop = cluster.wait_for_verdict("shop", "up", 20);
    assert_eq!(shop["verdict"], "up");
}

//! A playbook as people use it, in a real browser: offered on the incident's page, started, carried through in both languages, ticked by a certificate that a real
//! server shows, kept through a kill of the collector.

use serde_json::json;
use sitepulse_tests::chromium::Chromium;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::servers::pki::Pki;
use sitepulse_tests::servers::{free_port, showing};
use sitepulse_tests::wait;

/// Width of a phone, in CSS pixels.
const PHONE: u32 = 390;

fn signed_in(cluster: &Cluster) -> Chromium {
    let link = cluster.ctl(&["sign-in", "--admin", "--json"]).json();
    let mut browser = Chromium::start(1280, 900);
    browser.open(link["url"].as_str().expect("sign-in --json gives a url"));
    browser
}

fn at(cluster: &Cluster, path: &str) -> String {
    format!("http://{}{path}", cluster.http())
}

/// Whether a step's card bears a word.
fn step(id: &str, word: &str) -> String {
    format!("document.querySelector('#step-{id} .step-head .pill')?.innerText === {}", json!(word))
}

#[test]
fn a_certificate_is_renewed_by_a_playbook_that_ticks_itself() {
    let (dir, pki, port) = (tempfile::tempdir().expect("a folder"), Pki::new(), free_port());
    let mut site = showing(dir.path(), "old", &pki.expiring("localhost", 5), port);
    let mut cluster = Cluster::start();
    let check = format!(
        "[[check]]\nid = \"shop\"\nkind = \"tls\"\naddress = \"localhost:{port}\"\ninterval = \"1s\"\ntls = {{ ca = \"\"\"{}\"\"\" }}\n",
        pki.ca_pem()
    );
    cluster.apply(&check).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "degraded", 60);
    let incident = wait::until("the certificate is an incident", 60, || {
        let all = cluster.ctl(&["incidents", "--json"]).json();
        let found = all.as_array().and_then(|all| all.iter().find(|one| one["kind"] == "certificate").cloned());
        found.and_then(|one| one["id"].as_str().map(str::to_owned)).ok_or_else(|| all.to_string())
    });

    // Offered with its minutes, where somebody looks at the incident; started by one press.
    let mut browser = signed_in(&cluster);
    browser.open(&at(&cluster, &format!("/incidents/{incident}")));
    let offered = browser.eval("document.querySelector('#playbook-offer').innerText");
    let offered = offered.as_str().expect("a text");
    assert!(offered.contains("A certificate expires soon") && offered.contains("min"), "{offered}");
    browser.follow("#playbook-offer form button");
    let path = browser.path();
    let run = path.strip_prefix("/playbook-runs/").unwrap_or_else(|| panic!("{path}")).to_owned();
    let command = browser.eval("document.querySelector('#step-which pre').innerText");
    let command = command.as_str().expect("a text");
    assert!(command.contains(&format!("-connect localhost:{port} -servername localhost")), "{command}");

    // What people do: ticked, skipped with a reason, noted.
    browser.follow("#step-which button.primary");
    assert_eq!(browser.eval(&step("which", "done")), true);
    browser.press("#step-why summary");
    browser.write("#why-why", "the renewal was switched off on purpose");
    browser.follow("#step-why .skip-step form button");
    assert!(browser.text().contains("the renewal was switched off on purpose"), "{}", browser.text());
    browser.write("form.say textarea", "asked the provider");
    browser.follow("form.say button");
    assert!(browser.text().contains("asked the provider"));
    assert_eq!(browser.eval("!!document.querySelector('#run-end form[action$=\"/finish\"]')"), false);
    assert_eq!(browser.eval(&step("renew", "to do")), true, "nothing was renewed yet");

    // The collector is killed meanwhile: the run is as it was.
    cluster.kill_collector();
    cluster.start_collector();
    let kept = cluster.ctl(&["playbook", "status", &run, "--json"]).json();
    let states: Vec<&str> =
        kept["marks"].as_array().expect("steps").iter().filter_map(|one| one["state"].as_str()).collect();
    assert_eq!(states, ["done", "skipped", "open", "open", "open"], "{kept}");

    // The server shows another certificate: two steps tick themselves, on the open page. It is the same document all along.
    browser.open(&at(&cluster, &path));
    browser.eval("window.mark = true");
    site.stop();
    let _renewed = showing(dir.path(), "new", &pki.server("localhost"), port);
    browser.wait_for(&step("renew", "done"), 60);
    browser.wait_for(&step("everywhere", "done"), 60);
    assert_eq!(browser.eval("window.mark"), true);
    let seen = browser.eval("document.querySelector('#step-renew .marked').innerText");
    let seen = seen.as_str().expect("a text");
    assert!(seen.contains("by itself") && seen.contains("ends 2090-01-01"), "{seen}");

    // In French, on a phone, to the end.
    browser.resize(PHONE, 800);
    browser.open(&at(&cluster, &format!("{path}?lang=fr")));
    let french = browser.text();
    for word in ["Un certificat expire bientôt", "d’elle-même", "finit le 2090-01-01", "Passer", "Ce qui s’est passé"]
    {
        assert!(french.contains(word), "{word}: {french}");
    }
    assert_eq!(browser.eval("document.documentElement.scrollWidth <= innerWidth"), true, "wider than a phone");
    browser.follow("#step-prevent button.primary");
    browser.follow("#run-end form[action$='/finish'] button");
    browser.open(&at(&cluster, &format!("{path}?lang=fr")));
    assert_eq!(browser.eval("document.querySelector('#run-head .pill').innerText"), "terminée");
    for target in [
        "/playbooks?lang=fr",
        "/playbooks",
        "/playbooks/renew-certificate?lang=fr",
        &format!("/incidents/{incident}?lang=fr"),
    ] {
        browser.open(&at(&cluster, target));
        assert_eq!(
            browser.eval("document.documentElement.scrollWidth <= innerWidth"),
            true,
            "{target} is wider than a phone"
        );
    }

    // What it came to.
    let rates = cluster.ctl(&["playbook", "rates", "--json"]).json();
    assert_eq!((&rates["all"]["finished"], &rates["all"]["completion"]), (&json!(1), &json!(1.0)), "{rates}");
    let ended = cluster.ctl(&["playbook", "status", &run, "--json"]).json();
    assert_eq!(
        (&ended["state"], &ended["done"], &ended["by_itself"], &ended["skipped"]),
        (&json!("finished"), &json!(4), &json!(2), &json!(1))
    );
    let refused = cluster.ctl(&["playbook", "note", &run, "late"]);
    assert_eq!(refused.code, 5, "{refused:?}");
}

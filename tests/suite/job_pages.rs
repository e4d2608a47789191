//! Jobs in a real browser, in both languages: asked for, watched until they are done, raised, taken back and up again, on a phone.

use sitepulse_tests::chromium::Chromium;
use sitepulse_tests::cluster::Cluster;

/// Width of a phone, in CSS pixels.
const PHONE: u32 = 390;

fn at(cluster: &Cluster, path: &str) -> String {
    format!("http://{}{path}", cluster.http())
}

/// The state of the job on its page, waited for: the page follows by itself.
fn wait_for_state(browser: &mut Chromium, word: &str) {
    browser.wait_for(&format!("document.querySelector('#job-head .pill')?.innerText === '{word}'"), 60);
}

/// What the page tells by a name.
fn fact(browser: &mut Chromium, name: &str) -> String {
    let script = format!(
        "[...document.querySelectorAll('#job-facts dt')].find(one => one.innerText === '{name}')?.nextElementSibling.innerText"
    );
    browser.eval(&script).as_str().unwrap_or_default().to_owned()
}

/// A job that waits for tomorrow.
fn tomorrow(cluster: &Cluster) -> String {
    let job = cluster.ctl(&["jobs", "run", "noop", "--not-before", "+1d", "--priority", "400", "--json"]).json();
    assert_eq!(job["state"], "waiting", "{job}");
    job["id"].as_str().expect("an id").to_owned()
}

#[test]
fn jobs_are_asked_for_raised_taken_back_and_up_again_in_both_languages() {
    let cluster = Cluster::start();
    let link = cluster.ctl(&["sign-in", "--admin", "--json"]).json();
    let mut browser = Chromium::start(1280, 900);
    browser.open(link["url"].as_str().expect("sign-in --json gives a url"));

    // English: a backup, from the press to its file, on one page that follows.
    browser.open(&at(&cluster, "/jobs"));
    assert!(browser.text().contains("Messages about incidents"), "{}", browser.text());
    browser.press("#jobs-ask summary");
    browser.follow("#jobs-ask form:has(input[value=backup]) button");
    let backup = browser.path();
    assert!(backup.starts_with("/jobs/"), "{backup}");
    wait_for_state(&mut browser, "done");
    let file = browser.wait_for("document.querySelector('#job-facts a[download]')?.getAttribute('href')", 20);
    assert_eq!(file, format!("/api/v1{backup}/file"));
    let size = browser.eval(&format!("fetch({file}).then(answer => answer.blob()).then(blob => blob.size)"));
    assert!(size.as_u64() > Some(4_096), "{size}");

    // One that waits: raised, taken back, taken up again, done.
    for (lang, words) in [
        ("en", ["Priority", "waiting", "cancelled", "done", "priority 900 by", "taken up again by", "Set priority"]),
        (
            "fr",
            ["Priorité", "en attente", "annulée", "faite", "priorité 900 par", "reprise par", "Changer la priorité"],
        ),
    ] {
        let [priority, waiting, cancelled, done, raised, again, set] = words;
        let id = tomorrow(&cluster);
        browser.open(&at(&cluster, "/jobs?state=waiting&kind=noop"));
        browser.follow(&format!("button[name=lang][value={lang}]"));
        browser.follow(&format!("#jobs-list a[href='/jobs/{id}']"));
        wait_for_state(&mut browser, waiting);
        assert_eq!(fact(&mut browser, priority), "400", "{}", browser.text());
        assert!(browser.text().contains(set), "{}", browser.text());
        browser.write("#job-acts input[name=priority]", "900");
        browser.follow("#job-acts form[action$='/priority'] button");
        assert_eq!(fact(&mut browser, priority), "900", "{}", browser.text());
        assert!(browser.text().contains(raised), "{}", browser.text());
        browser.follow("#job-acts form[action$='/cancel'] button");
        wait_for_state(&mut browser, cancelled);
        // What is over has no place in the order.
        assert_eq!(browser.eval("!!document.querySelector('#job-acts form[action$=\"/priority\"]')"), false);
        browser.follow("#job-acts form[action$='/retry'] button");
        wait_for_state(&mut browser, done);
        assert!(browser.text().contains(again), "{}", browser.text());
        let told = cluster.ctl(&["jobs", "show", &id, "--json"]).json();
        assert_eq!(told["job"]["state"], "done", "{told}");
    }

    // What failed is told, and can be tried again; what it says cannot be done stays on its page.
    let report = [
        "jobs",
        "run",
        "sla_report",
        "--name",
        "november",
        "--policy",
        "none",
        "--from",
        "-2d",
        "--to",
        "-1d",
        "--json",
    ];
    let failed = cluster.ctl(&report).json();
    let path = format!("/jobs/{}", failed["id"].as_str().expect("an id"));
    browser.open(&at(&cluster, &path));
    wait_for_state(&mut browser, "échouée");
    browser.follow("#job-acts form[action$='/retry'] button");
    wait_for_state(&mut browser, "échouée");
    browser.open(&at(&cluster, "/jobs?state=failed"));
    assert!(browser.text().contains("Conserver un rapport SLA"), "{}", browser.text());

    // On a phone nothing is wider than the window.
    browser.resize(PHONE, 844);
    for path in ["/jobs", "/jobs?state=failed", &path, &backup] {
        for lang in ["en", "fr"] {
            let sign = if path.contains('?') { '&' } else { '?' };
            browser.open(&at(&cluster, &format!("{path}{sign}lang={lang}")));
            let wide = browser.eval("[document.documentElement.scrollWidth, innerWidth]");
            assert!(wide[0].as_u64() <= wide[1].as_u64(), "{path} {lang}: {wide}");
        }
    }
}

//! What people do in the console with mouse and keyboard, and what a real browser then shows: agents, incidents, channels, silences; in French, and on a phone.
//!
//! Jobs are asked for by forms that are sent as a browser sends them (with its session and origin); everything else is done in headless Chromium.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use sitepulse_tests::chromium::Chromium;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::provider::Provider;
use sitepulse_tests::site::{Mood, Site};
use sitepulse_tests::wait;

/// Width of a phone, in CSS pixels.
const PHONE: u32 = 390;

/// A browser that is signed in.
struct Browser<'c> {
    cluster: &'c Cluster,
    chromium: RefCell<Chromium>,
    cookie: String,
}

impl<'c> Browser<'c> {
    fn sign_in(cluster: &'c Cluster) -> Self {
        let link = || {
            let made = cluster.ctl(&["sign-in", "--admin", "--json"]).json();
            made["url"].as_str().expect("sign-in --json gives a url").to_owned()
        };
        let mut chromium = Chromium::start(1280, 900);
        chromium.open(&link());
        Self { cluster, chromium: RefCell::new(chromium), cookie: cluster.session(&link()) }
    }

    fn send(&self, method: &str, target: &str, form: Option<&str>) -> String {
        let http = self.cluster.http();
        let mut stream = TcpStream::connect(http).expect("the console listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout can be set");
        let body = form.unwrap_or_default();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {http}\r\nOrigin: http://{http}\r\nCookie: {}\r\nContent-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.cookie,
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("the console takes a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer in UTF-8");
        answer
    }

    /// Sends a form; where it leads.
    fn submit(&self, target: &str, form: &str) -> String {
        let answer = self.send("POST", target, Some(form));
        assert!(answer.starts_with("HTTP/1.1 303"), "POST {target} {form}: {answer}");
        let to = answer.lines().find_map(|line| line.strip_prefix("location: "));
        to.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Where a page is.
    fn at(&self, target: &str) -> String {
        format!("http://{}{target}", self.cluster.http())
    }

    /// A page as the browser shows it.
    fn page(&self, target: &str) -> String {
        let mut chromium = self.chromium.borrow_mut();
        chromium.open(&self.at(target));
        chromium.html()
    }

    /// How much wider than a phone a page is, in CSS pixels.
    fn overhang(&self, target: &str) -> i64 {
        self.chromium.borrow_mut().resize(PHONE, 900);
        self.page(target);
        let mut chromium = self.chromium.borrow_mut();
        let over = chromium.eval("document.documentElement.scrollWidth - innerWidth");
        chromium.resize(1280, 900);
        over.as_i64().unwrap_or_else(|| panic!("not measured: {over}"))
    }
}

/// Waits until these words can be read on the page that is open.
fn shown(chromium: &mut Chromium, words: &[&str]) {
    for word in words {
        chromium.wait_for(&format!("document.body.innerText.includes({})", json!(word)), 20);
    }
}

#[test]
fn people_act_in_the_console_and_a_browser_shows_what_came_of_it() {
    let (site, hook) = (Site::start(), Provider::start());
    let mut cluster = Cluster::start();
    let rest = format!(
        "[[channel]]\nid = \"ops-hook\"\nkind = \"webhook\"\nurl = \"{}\"\n[[user]]\nid = \"ana\"\nname = \"Ana\"\nnotify = [\"ops-hook\"]\n\
         [[schedule]]\nid = \"primary\"\nzone = \"Europe/Paris\"\nlayers = [{{ users = [\"ana\"], rotation = \"weekly\", handoff = \"mon 09:00\", start = \"2020-01-06\" }}]\n\
         [[escalation]]\nid = \"default\"\ndefault = true\nlevels = [{{ after = \"0s\", notify = [\"oncall:primary\"] }}, {{ after = \"30m\", notify = [\"ops-hook\"] }}]\n",
        hook.url("hook")
    );
    cluster.apply(&(site.check("shop") + &rest)).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 60);
    let browser = Browser::sign_in(&cluster);

    // An agent: weighed in the table, suspended with a reason in a dialog, resumed.
    {
        let mut chromium = browser.chromium.borrow_mut();
        chromium.open(&browser.at("/agents"));
        chromium.fill("form[action='/agents/eu-west-1/weight'] input[name=weight]", "2,5");
        chromium.go("form[action='/agents/eu-west-1/weight'] button");
        assert_eq!(chromium.path(), "/agents");
        let weight = "document.querySelector(\"form[action='/agents/eu-west-1/weight'] input[name=weight]\").value";
        assert_eq!(chromium.eval(weight), "2.5");
        chromium.click("a[href='/agents/eu-west-1/suspend']");
        chromium.wait_for("document.querySelector('dialog[open] #f-reason') === document.activeElement", 10);
        chromium.fill("dialog #f-reason", "disk swap");
        chromium.go("dialog form button[type=submit]");
        assert_eq!(chromium.path(), "/agents/eu-west-1");
        shown(&mut chromium, &["disk swap", "Resume"]);
        chromium.go("nav.places a[href='/agents']");
        shown(&mut chromium, &["disk swap", "eu-west", "Resume"]);
        // Nobody votes any more, and the check's page says why.
        chromium.go("nav.places a[href='/checks']");
        chromium.go(".name a[href='/checks/shop']");
        chromium.wait_for("document.querySelector('.check-head .pill')?.innerText === 'unknown'", 20);
        chromium.open(&browser.at("/agents"));
        chromium.go("form[action='/agents/eu-west-1/resume'] button");
        chromium.wait_for("!!document.querySelector(\"a[href='/agents/eu-west-1/suspend']\")", 20);
    }
    let steered = cluster.ctl(&["agents", "--json"]).json();
    assert_eq!(steered[0]["weight"], 2.5, "{steered}");
    cluster.wait_for_verdict("shop", "up", 60);

    // A channel: the provider has the test, and its answer is shown.
    {
        let mut chromium = browser.chromium.borrow_mut();
        chromium.open(&browser.at("/channels"));
        chromium.go("form[action='/channels/ops-hook/test'] button");
        assert_eq!(chromium.path(), "/channels?tested=ops-hook");
        shown(&mut chromium, &["answer to the test ops-hook", "delivered"]);
    }
    assert!(hook.received().iter().any(|one| one.body["event"] == "test"), "{:?}", hook.received());

    // An outage becomes an incident on the open list, which somebody takes on its page.
    let row = "#incidents-open a[href^='/incidents/']";
    browser.chromium.borrow_mut().open(&browser.at("/incidents"));
    assert_eq!(browser.chromium.borrow_mut().eval(&format!("document.querySelector(\"{row}\")")), Value::Null);
    site.set(Mood::Ill);
    let page = {
        let mut chromium = browser.chromium.borrow_mut();
        chromium.wait_for(&format!("!!document.querySelector(\"{row}\")"), 60);
        chromium.go(row);
        let page = chromium.path();
        chromium.wait_for("document.querySelector('#incident-head .pill')?.innerText === 'open'", 60);
        shown(&mut chromium, &["Who is paged next", "Level 2 at"]);
        chromium.go("#incident-acts form[action$='/ack'] button");
        assert_eq!(chromium.path(), page);
        assert_eq!(chromium.eval("document.querySelector('#incident-head .pill').innerText"), "acknowledged");
        assert_eq!(chromium.eval("document.querySelector(\"#incident-acts form[action$='/ack']\")"), Value::Null);
        chromium.fill("#incident-history textarea", "On regarde");
        chromium.go("#incident-history form button");
        shown(&mut chromium, &["On regarde"]);
        chromium.click("#incident-acts a[href$='/silence']");
        chromium.wait_for("document.querySelector('dialog[open] #f-reason') === document.activeElement", 10);
        chromium.fill("dialog #f-reason", "on it");
        chromium.go("dialog form button[type=submit]");
        page
    };
    let taken = cluster.ctl(&["incidents", "--json"]).json();
    assert_eq!(taken[0]["state"], "acknowledged", "{taken}");
    let french = browser.page(&format!("{page}?lang=fr"));
    for word in ["pris en charge", "On regarde", "Preuves", "Prochaines alertes"] {
        assert!(french.contains(word), "{word}: {french}");
    }
    assert!(browser.page("/incidents?lang=fr").contains(&page), "it is open still");
    assert!(browser.page("/silences").contains("on it"));
    let oncall = browser.page("/on-call");
    assert!(oncall.contains("<svg") && oncall.contains(">Ana<"), "{oncall}");

    // On a phone nothing hangs over the edge.
    for target in [
        "/agents",
        "/agents/eu-west-1",
        "/new-agent",
        "/incidents",
        &page,
        "/on-call",
        "/escalations",
        "/escalations/new",
        "/channels",
        "/channels/new?kind=email",
        "/silences",
        "/silences/new",
        "/windows",
        "/windows/new",
        "/settings",
        "/settings/policies",
        "/settings/policies/new",
    ] {
        assert!(browser.overhang(target) <= 0, "{target} is wider than a phone");
        assert!(
            browser.overhang(&format!("{target}{}lang=fr", if target.contains('?') { '&' } else { '?' })) <= 0,
            "{target} in French"
        );
    }
}

#[test]
fn jobs_are_asked_for_and_cancelled_in_the_console_and_a_browser_shows_how_far_they_are() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&(site.check("shop") + "group = \"web\"\n")).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 60);
    let browser = Browser::sign_in(&cluster);
    let state = |id: &str, wanted: &str| {
        wait::until(&format!("job {id} is {wanted}"), 60, || {
            let job = cluster.ctl(&["jobs", "show", id, "--json"]).json()["job"].clone();
            if job["state"] == wanted { Ok(()) } else { Err(job.to_string()) }
        });
    };

    let ran = browser.submit("/jobs", "kind=run_checks&group=web");
    let id = ran.strip_prefix("/jobs/").expect("the job's page").to_owned();
    state(&id, "done");
    let page = browser.page(&ran);
    assert!(page.contains("1 check: 1 up") && page.contains("shop: eu-west-1 up"), "{page}");

    // A backup by the command line, fetched by the API.
    let backup = cluster.ctl(&["jobs", "run", "backup", "--json"]).json()["id"].as_str().expect("an id").to_owned();
    state(&backup, "done");

    let long = cluster.ctl(&["jobs", "run", "noop", "--wait-ms", "30000", "--json"]).json()["id"].clone();
    let long = long.as_str().expect("an id").to_owned();
    state(&long, "running");
    let list = browser.page("/jobs?lang=en");
    assert!(list.contains("<progress") && list.contains(&format!("/jobs/{long}")), "{list}");
    assert_eq!(browser.submit(&format!("/jobs/{long}/cancel"), ""), format!("/jobs/{long}"));
    state(&long, "cancelled");
    let french = browser.page(&format!("/jobs/{long}?lang=fr"));
    assert!(french.contains("annulée") && french.contains("Réessayer") && french.contains("Journal"), "{french}");

    for target in ["/jobs?lang=en", "/jobs?lang=fr", &format!("{ran}?lang=en"), &format!("{ran}?lang=fr")] {
        assert!(browser.overhang(target) <= 0, "{target} is wider than a phone");
    }
}

//! The console as a person uses it, in a real browser: the first check by the form, seen going down and up live, suspended, in another
//! language and colours, on a phone, by the keyboard.

use sitepulse_daemon::clock;
use sitepulse_tests::chromium::Chromium;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process;
use sitepulse_tests::site::{Mood, Site};

/// Longest page, and longest script altogether, in bytes.
const PAGE_BYTES_MAX: u64 = 150 * 1024;
const SCRIPT_BYTES_MAX: u64 = 40 * 1024;

/// A browser that is signed in and may change things.
pub(crate) fn signed_in(cluster: &Cluster, width: u32, height: u32) -> Chromium {
    let link = cluster.ctl(&["sign-in", "--admin", "--json"]).json();
    let mut browser = Chromium::start(width, height);
    browser.open(link["url"].as_str().expect("sign-in --json gives a url"));
    browser
}

pub(crate) fn at(cluster: &Cluster, path: &str) -> String {
    format!("http://{}{path}", cluster.http())
}

/// The bytes of an answer as the page itself would get it.
fn bytes(browser: &mut Chromium, path: &str) -> u64 {
    let script = format!("fetch({path:?}).then((answer) => answer.arrayBuffer()).then((body) => body.byteLength)");
    browser.eval(&script).as_u64().expect("a number")
}

/// The first five minutes, to their end: what the pages say is done as they say it, with mouse and keyboard.
#[test]
fn from_an_empty_console_to_a_check_that_goes_down_and_up_live() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    let began = clock::monotonic();
    let mut browser = signed_in(&cluster, 1280, 900);
    // Empty, it leads to the first check and the first agent.
    let text = browser.text();
    assert!(text.contains("Welcome to SitePulse") && text.contains("Say what to watch"), "{text}");
    browser.fill("#begin", &site.url("shop"));
    browser.go(".begin button");
    assert!(browser.path().starts_with("/new-check?address="), "{}", browser.path());
    // What is wrong stands at its field, with the remedy.
    browser.fill("#f-id", "The Shop");
    browser.fill("#f-interval", "1");
    browser.go("form.editor .fields ~ .acts button");
    let wrong = browser.eval("[...document.querySelectorAll('.field.wrong label')].map((l) => l.htmlFor).join()");
    assert_eq!(wrong, "f-id,f-interval");
    // What would change is shown before it is done.
    browser.fill("#f-id", "shop");
    browser.fill("#f-interval", "1s");
    browser.go("form.editor .fields ~ .acts button");
    assert!(browser.text().contains("The check is new."), "{}", browser.text());
    let file = browser.eval("document.querySelector('#f-toml').value");
    let file = file.as_str().expect("a text");
    assert!(file.contains("id = \"shop\"") && file.contains("interval = \"1s\""), "{file}");
    assert_eq!(cluster.ctl(&["checks", "--json"]).json().as_array().map(Vec::len), Some(0), "nothing is applied yet");
    browser.go("#apply");
    assert_eq!(browser.path(), "/checks/shop");
    // The same document all along: nobody loads it anew.
    browser.eval("window.mark = true");
    let check = browser.here();

    // In another tab, the home page goes on to the agent.
    let joining = browser.new_tab();
    browser.show(&joining);
    browser.open(&at(&cluster, "/"));
    assert!(browser.text().contains("Say from where"), "{}", browser.text());
    browser.go("#welcome a[href='/new-agent']");
    browser.fill("#f-region", "eu-west");
    browser.go("#join-made form button[type=submit]");
    // What it says to run is run, to the letter.
    let shown = browser.eval("document.querySelector('#join-made pre').innerText");
    let shown = shown.as_str().expect("the command").to_owned();
    let (join, run) = shown.trim().split_once('\n').expect("two commands: join and run");
    let shell = |line: &str| {
        let mut command = process::bound("sh");
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(["-c", &format!("exec {line}")]);
        command.env("PATH", format!("{}:{path}", process::binaries().display()));
        // Where the tests' agents live and what they may dial; an agent of its own needs neither.
        command.env("SITEPULSE_AGENT_DATA_DIR", cluster.agent_dir("first")).env("SITEPULSE_ALLOW", "loopback");
        command
    };
    assert!(browser.text().contains("Waiting"), "{}", browser.text());
    process::run(&mut shell(join)).ok();
    browser.wait_for("!!document.querySelector('#join-wait .joined .dot.unknown')", 20);
    let mut running = shell(run);
    cluster.start_agent_by("first", &mut running);
    // The page that waits sees it come, and still has the command.
    browser.wait_for("!!document.querySelector('#join-wait .joined .dot.up')", 30);
    assert_eq!(browser.eval("document.querySelector('#join-made pre').innerText").as_str(), Some(&*shown));
    browser.go("#join-wait .joined a");
    assert!(browser.path().starts_with("/agents/"), "{}", browser.path());
    browser.wait_for("!!document.querySelector(\"#agent-checks a[href='/checks/shop']\")", 30);

    browser.show(&check);
    let pill = |word: &str| format!("document.querySelector('.check-head .pill')?.innerText === '{word}'");
    browser.wait_for(&pill("up"), 30);
    assert_eq!(browser.eval("window.mark"), true);
    println!("from the sign-in to a check that is up: {} ms", clock::monotonic().us_since(began) / 1000);
    for (mood, word) in [(Mood::Ill, "down"), (Mood::Well, "up")] {
        site.set(mood);
        cluster.wait_for_verdict("shop", word, 30);
        let known = clock::monotonic();
        browser.wait_for(&pill(word), 20);
        println!("{word}: on the page {} ms after the collector said it", clock::monotonic().us_since(known) / 1000);
        assert_eq!(browser.eval("window.mark"), true);
    }
}

#[test]
fn a_check_is_suspended_in_a_dialog_and_runs_again() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster
        .apply(&format!(
            "[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"{}\"\ninterval = \"1s\"\n",
            site.url("shop")
        ))
        .ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);
    let mut browser = signed_in(&cluster, 1280, 900);
    browser.open(&at(&cluster, "/checks/shop"));
    browser.click("a[data-dialog]");
    browser.wait_for("document.querySelector('dialog[open] #f-reason') === document.activeElement", 10);
    browser.fill("dialog #f-reason", "moving house");
    browser.go("dialog form button.primary");
    assert_eq!(browser.path(), "/checks/shop");
    let text = browser.text();
    assert!(text.contains("moving house") && text.contains("Resume"), "{text}");
    assert!(!cluster.check("shop")["suspended"].is_null());
    browser.go("form[action$='/resume'] button");
    assert!(cluster.check("shop")["suspended"].is_null());
    // The form is a page of its own without scripts, too.
    browser.open(&at(&cluster, "/checks/shop/suspend"));
    assert!(browser.text().contains("Suspend shop"));
}

/// `changed` tells from now on whether a part was replaced or written in.
fn watch(browser: &mut Chromium, part: &str) {
    let all = "{ attributes: true, characterData: true, childList: true, subtree: true }";
    browser.eval(&format!(
        "window.changed = false; new MutationObserver(() => {{ window.changed = true; }}).observe(document.getElementById('{part}').parentElement, {all})"
    ));
}

/// What comes in live takes nothing away: neither what somebody marked or typed and left, nor where they are, nor what they opened.
#[test]
fn drafts_focus_and_open_details_outlive_what_comes_in_live() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    let check = |id: &str| {
        format!("[[check]]\nid = \"{id}\"\nkind = \"http\"\nurl = \"{}\"\ninterval = \"1s\"\n", site.url(id))
    };
    cluster.apply(&(check("blog") + &check("shop"))).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);
    let mut browser = signed_in(&cluster, 1280, 900);
    let live = "!document.getElementById('pulse').hidden";

    // A comment that is not sent yet, while somebody else acts.
    browser.open(&at(&cluster, "/incidents/new"));
    browser.fill("main [name=title]", "by hand");
    browser.go("main form button[type=submit]");
    browser.wait_for(live, 30);
    browser.fill("textarea[name=text]", "half a thought");
    browser.click("#incident-history h2");
    let lines = browser.eval("document.querySelectorAll('ol.history li').length");
    browser.eval("fetch(location.pathname + '/ack', { method: 'POST', body: new URLSearchParams() }).then((answer) => answer.status)");
    browser.wait_for(&format!("document.querySelectorAll('ol.history li').length > {lines}"), 30);
    assert_eq!(browser.eval("document.querySelector('textarea[name=text]').value"), "half a thought");

    // A weight that is not set yet, in what somebody opened.
    browser.open(&at(&cluster, "/checks/shop"));
    browser.wait_for(live, 30);
    browser.click("#weights summary");
    browser.fill("#weights input[name=weight]", "3");
    browser.click("#incidents h2");
    browser.eval("getSelection().selectAllChildren(document.querySelector('#incidents h2'))");
    let marked = browser.eval("String(getSelection())");
    watch(&mut browser, "check-body");
    browser.wait_for("changed", 30);
    assert_eq!(browser.eval("document.querySelector('#weights input[name=weight]').value"), "3");
    assert_eq!(browser.eval("document.getElementById('weights').open"), true);
    assert!(marked != "" && browser.eval("String(getSelection())") == marked, "{marked}");

    // The row one is on, by the keyboard.
    browser.open(&at(&cluster, "/checks?sort=name"));
    browser.wait_for(live, 30);
    browser.key("j", 74);
    watch(&mut browser, "list-rows");
    cluster.apply(&(check("blog") + &check("shop") + &check("wiki"))).ok();
    browser.wait_for("changed && document.getElementById('list-rows').innerText.includes('wiki')", 30);
    assert_eq!(browser.eval("document.activeElement.innerText"), "blog");
    browser.key("j", 74);
    assert_eq!(browser.eval("document.activeElement.innerText"), "shop");
}

/// A button that does something else now is another one: who was about to press it does not press that.
#[test]
fn the_focus_does_not_go_over_to_another_button() {
    let cluster = Cluster::start();
    let mut browser = signed_in(&cluster, 1280, 900);
    browser.open(&at(&cluster, "/incidents/new"));
    browser.fill("main [name=title]", "by hand");
    browser.go("main form button[type=submit]");
    browser.wait_for("!document.getElementById('pulse').hidden", 30);
    let button = |act: &str| format!("document.querySelector(\"#incident-acts form[action$='/{act}'] button\")");
    let somebody_else = |browser: &mut Chromium, act: &str| {
        let post = "{ method: 'POST', body: new URLSearchParams() }";
        let fetched = format!("fetch(location.pathname + '/{act}', {post}).then((answer) => answer.status)");
        assert_eq!(browser.eval(&fetched), 200, "{act}");
    };
    // With no other button beside, so that the next could take its place.
    somebody_else(&mut browser, "ack");
    browser.wait_for(&format!("!{}", button("ack")), 30);
    let focused = browser.eval(&format!("{0}.focus(), document.activeElement === {0}", button("resolve")));
    assert_eq!(focused, true);
    somebody_else(&mut browser, "resolve");
    browser.wait_for(&format!("!!{}", button("reopen")), 30);
    assert_eq!(browser.eval(&format!("document.activeElement === {}", button("reopen"))), false);
}

/// What was typed stays with the agent that it is about, whatever list comes in live; and what is no draft shows what is set.
#[test]
fn a_draft_stays_with_what_it_is_about() {
    let cluster = Cluster::start();
    let check = |every: &str, regions: &str| {
        let target = "kind = \"tcp\"\naddress = \"127.0.0.1:9\"";
        format!("[[check]]\nid = \"shop\"\n{target}\ninterval = \"{every}\"\nregions = [{regions}]\n")
    };
    cluster.apply(&check("10s", "\"eu-west\", \"us-east\"")).ok();
    // None of them has to run.
    for region in ["eu-west", "us-east", "ap-south"] {
        cluster.join(&format!("{region}-1"), region);
    }
    let mut browser = signed_in(&cluster, 1280, 900);
    browser.open(&at(&cluster, "/checks/shop"));
    browser.wait_for("!document.getElementById('pulse').hidden", 30);
    browser.click("#weights summary");
    let field = |agent: &str| format!("#weights form[action*='/{agent}/'] input[name=weight]");
    let stands =
        |agent: &str, value: &str| format!("document.querySelector(\"{}\")?.value === '{value}'", field(agent));
    let leaves = "#incidents h2";

    // A weight that was typed, thought better of and left is no draft.
    browser.fill(&field("eu-west-1"), "2");
    browser.fill(&field("eu-west-1"), "1");
    browser.click(leaves);
    cluster.ctl(&["weight", "4", "--agent", "eu-west-1", "--check", "shop"]).ok();
    browser.wait_for(&stands("eu-west-1", "4"), 30);

    // A draft at the second of two agents, while the first goes and a third comes: as many as before, each in another place.
    browser.fill(&field("us-east-1"), "3");
    browser.click(leaves);
    cluster.apply(&check("10s", "\"us-east\", \"ap-south\"")).ok();
    browser.wait_for(&stands("ap-south-1", "1"), 30);
    assert_eq!(browser.eval(&stands("us-east-1", "3")), true);
    let all = "[...document.querySelectorAll('#weights input[name=weight]')].map((one) => one.value).sort().join()";
    assert_eq!(browser.eval(all), "1,3");

    // Where its agent goes it has no place: the list waits until it is done with.
    cluster.apply(&check("20s", "\"ap-south\"")).ok();
    browser.wait_for("document.getElementById('check-head').innerText.includes('20 s')", 30);
    assert_eq!(browser.eval(&stands("us-east-1", "3")), true);
    browser.fill(&field("us-east-1"), "1");
    browser.click(leaves);
    browser.wait_for(&format!("!document.querySelector(\"{}\")", field("us-east-1")), 30);
    assert_eq!(browser.eval(all), "1");
}

#[test]
fn languages_colours_phones_and_keys() {
    let mut cluster = Cluster::start();
    let check = |n: usize| {
        format!(
            "[[check]]\nid = \"a-check-with-quite-a-long-name-{n:03}\"\nkind = \"tcp\"\naddress = \"127.0.0.1:9\"\ngroup = \"group-{}\"\ntags = [\"t{}\"]\n",
            n % 7,
            n % 3
        )
    };
    cluster.apply(&(0..250).map(check).collect::<String>()).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    let mut browser = signed_in(&cluster, 1280, 900);
    browser.follow("button[name=lang][value=fr]");
    assert!(browser.text().contains("À faire d’abord"), "{}", browser.text());
    browser.follow("button[name=theme][value=dark]");
    assert_eq!(browser.eval("document.documentElement.dataset.theme"), "dark");
    assert_eq!(browser.eval("getComputedStyle(document.body).backgroundColor"), "rgb(16, 22, 28)");
    browser.follow("button[name=lang][value=en]");

    // Keys: to the search, from row to row, open, back.
    browser.open(&at(&cluster, "/checks?sort=name"));
    browser.key("j", 74);
    browser.key("j", 74);
    let focused = browser.eval("document.activeElement.innerText");
    assert_eq!(focused, "a-check-with-quite-a-long-name-001");
    browser.key("/", 191);
    assert_eq!(browser.eval("document.activeElement.id"), "search");
    browser.write("#search", "name-24");
    browser.follow("form.filter button");
    assert_eq!(browser.path(), "/checks?sort=name&q=name-24");
    assert_eq!(browser.eval("document.querySelectorAll('[data-rows] tbody tr').length"), 10);
    browser.eval("window.before = true; history.back()");
    browser.loaded();
    assert_eq!(browser.path(), "/checks?sort=name");
    browser.follow(".pager a[rel=next]");
    assert!(browser.text().contains("101 to 200 of 250"), "{}", browser.text());

    for path in ["/", "/checks", "/checks/a-check-with-quite-a-long-name-001", "/new-check"] {
        assert!(bytes(&mut browser, path) <= PAGE_BYTES_MAX, "{path} has {} bytes", bytes(&mut browser, path));
    }
    assert!(bytes(&mut browser, "/assets/console.js") <= SCRIPT_BYTES_MAX);

    browser.resize(390, 844);
    let id = "a-check-with-quite-a-long-name-001";
    for path in
        ["/", "/checks", &format!("/checks/{id}"), &format!("/checks/{id}/edit"), &format!("/checks/{id}/suspend")]
    {
        browser.open(&at(&cluster, path));
        let wide = browser.eval("[document.documentElement.scrollWidth, innerWidth]");
        let (page, window) = (wide[0].as_u64(), wide[1].as_u64());
        assert!(page <= window, "{path} is {page:?} wide in a window of {window:?}");
    }
}

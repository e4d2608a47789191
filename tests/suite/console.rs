//! The console in a real browser: the one-time link signs in, once, and shows the checks; its event stream follows a change.

use std::io::{Read, Write};
use std::net::TcpStream;

use sitepulse_tests::chromium::Chromium;
use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::site::{Mood, Site};

use crate::console_checks;

#[test]
fn the_sign_in_link_opens_a_live_console_once() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    let check = |id: &str| {
        format!("[[check]]\nid = \"{id}\"\nkind = \"http\"\nurl = \"{}\"\ninterval = \"1s\"\n", site.url(id))
    };
    cluster.apply(&(check("shop") + &check("blog"))).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    cluster.wait_for_verdict("shop", "up", 20);

    let link = |cluster: &Cluster| {
        let answer = cluster.ctl(&["sign-in", "--json"]).json();
        answer["url"].as_str().expect("sign-in --json gives a url").to_owned()
    };
    let first = link(&cluster);
    // Programs that look at links (mail scanners, previews) use none up.
    let target = first.split_once(cluster.http()).expect("the link is the console's").1;
    for method in ["HEAD", "GET", "GET"] {
        let looked = ask(&cluster, method, target, "").read_to_end_text();
        assert!(looked.starts_with("HTTP/1.1 200") && !looked.contains("set-cookie"), "{looked}");
    }
    let mut browser = Chromium::start(1280, 900);
    browser.open(&first);
    let page = browser.html();
    for word in ["100.00", "completeness", "href=\"/checks"] {
        assert!(page.contains(word), "{word:?} is not on the page: {page}");
    }
    // Used up: the page of a second use shows nothing of the checks.
    let mut other = Chromium::start(1280, 900);
    other.open(&first);
    let again = other.html();
    assert!(!again.contains("shop") && !again.contains("id=\"link\""), "{again}");
    // Without the link: nothing either.
    other.open(&format!("http://{}/", cluster.http()));
    let stranger = other.html();
    assert!(!stranger.contains("shop"), "{stranger}");

    // What an open page listens to tells the outage by itself.
    let cookie = cluster.session(&link(&cluster));
    let checks = get(&cluster, "/checks", &format!("Cookie: {cookie}\r\n")).read_to_end_text();
    for word in ["shop", "blog", "eu-west", "100.00"] {
        assert!(checks.contains(word), "{word:?} is not on the page: {checks}");
    }
    let mut events = get(&cluster, "/events", &format!("Cookie: {cookie}\r\n"));
    site.set(Mood::Ill);
    let mut heard = String::new();
    let mut buffer = [0; 16_384];
    while heard.matches("\"verdict\":\"down\"").count() < 2 {
        let n = events.0.read(&mut buffer).unwrap_or_else(|error| panic!("{error}; heard {heard}"));
        assert!(n > 0, "the stream ended; heard {heard}");
        heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
}

/// Browsers open six connections to a host over all tabs: pages that listen must not use them up.
#[test]
fn seven_tabs_stay_live_and_one_stream_serves_them() {
    let site = Site::start();
    let mut cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    cluster.add_agent("eu-west-1", "eu-west");
    let mut browser = console_checks::signed_in(&cluster, 1280, 900);
    let mut tabs = Vec::new();
    for _ in 0..7 {
        let tab = browser.new_tab();
        browser.open(&console_checks::at(&cluster, "/checks"));
        browser.wait_for("!document.getElementById('pulse').hidden", 30);
        browser.eval("window.kept = true");
        tabs.push(tab);
    }
    cluster.apply(&(site.check("shop") + &site.check("blog"))).ok();
    for tab in &tabs {
        browser.show(tab);
        // Looked at again, a tab hears what it missed; without being loaded anew.
        browser.wait_for("document.body.innerText.includes('blog')", 30);
        assert_eq!(browser.eval("window.kept"), true);
    }
    // What is told while one looks is heard by whichever tab holds the stream.
    browser.show(&tabs[3]);
    cluster.apply(&(site.check("shop") + &site.check("blog") + &site.check("cart"))).ok();
    browser.wait_for("document.body.innerText.includes('cart')", 30);
}

/// A page that was read before a change is told of it, however late its stream begins.
#[test]
fn a_change_between_a_page_and_its_stream_is_shown() {
    let site = Site::start();
    let cluster = Cluster::start();
    cluster.apply(&site.check("shop")).ok();
    let mut browser = console_checks::signed_in(&cluster, 1280, 900);
    // The page's stream begins when the change is there, and not before.
    let late = "{
        const there = () => {
            const ask = new XMLHttpRequest();
            ask.open('GET', '/api/v1/checks/blog', false);
            ask.send();
            return ask.status === 200;
        };
        EventSource = class extends EventSource { constructor(url) { while (!there()); super(url); } };
    }";
    browser.call("Page.addScriptToEvaluateOnNewDocument", serde_json::json!({ "source": late }));
    browser.eval("window.before = true");
    browser.call("Page.navigate", serde_json::json!({ "url": console_checks::at(&cluster, "/checks") }));
    cluster.apply(&(site.check("shop") + &site.check("blog"))).ok();
    browser.loaded();
    browser.wait_for("document.body.innerText.includes('blog')", 30);
}

/// An answer that is being read.
struct Answer(TcpStream);

impl Answer {
    fn read_to_end_text(mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).expect("an answer in UTF-8");
        text
    }
}

fn get(cluster: &Cluster, target: &str, headers: &str) -> Answer {
    ask(cluster, "GET", target, headers)
}

fn ask(cluster: &Cluster, method: &str, target: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(cluster.http()).expect("the console listens");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a timeout can be set");
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n", cluster.http())
        .expect("the console takes a request");
    Answer(stream)
}

//! The console in a real browser: the one-time link signs in, once, and shows the checks; its event stream follows a change.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use sitepulse_tests::cluster::Cluster;
use sitepulse_tests::process::run;
use sitepulse_tests::site::{Mood, Site};

/// The page's DOM after `ms` milliseconds in headless Chromium.
fn dom(cluster: &Cluster, url: &str, ms: u64) -> String {
    let profile = tempfile::tempdir().expect("a folder");
    let mut chromium = Command::new("timeout");
    chromium
        .args(["60", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--timeout={ms}"))
        .args(["--dump-dom", url])
        .stderr(Stdio::null());
    let answer = run(&mut chromium);
    assert!(
        answer.stdout.contains("<html"),
        "chromium gave no page (is it installed? ./tests/run does that): {answer:?}"
    );
    assert!(cluster.collector.is_some());
    answer.stdout
}

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
    let page = dom(&cluster, &first, 2000);
    for word in ["100.00", "completeness", "href=\"/checks"] {
        assert!(page.contains(word), "{word:?} is not on the page: {page}");
    }
    // Used up: the page of a second use shows nothing of the checks.
    let again = dom(&cluster, &first, 1000);
    assert!(!again.contains("shop"), "{again}");
    // Without the link: nothing either.
    let stranger = dom(&cluster, &format!("http://{}/", cluster.http()), 1000);
    assert!(!stranger.contains("shop"), "{stranger}");

    // What an open page listens to tells the outage by itself.
    let url = link(&cluster);
    let target = url.split_once(cluster.http()).expect("the link is the console's").1;
    let answer = get(&cluster, target, "").read_to_end_text();
    let cookie = answer
        .lines()
        .find_map(|line| line.to_lowercase().starts_with("set-cookie:").then(|| line["set-cookie:".len()..].trim()))
        .and_then(|cookie| cookie.split(';').next())
        .unwrap_or_else(|| panic!("no cookie in {answer}"));
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
    let mut stream = TcpStream::connect(cluster.http()).expect("the console listens");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a timeout can be set");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n", cluster.http())
        .expect("the console takes a request");
    Answer(stream)
}

//! Pages that try to reach what the agent may not: a real browser, both forms, every way out that a page has, and listeners that count who comes.
//!
//! Each way is tried on a control as well, which is allowed: there it must arrive, so that a way that is never gone shows as a failure here.

mod canary;
mod gate;
mod sockets;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sitepulse_browser::{Browser, Form, Job, Options};
use sitepulse_model::vitals::profile::Profile;

use crate::canary::{Denied, Server};
use crate::gate::Doors;
use crate::sockets::Socket;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

/// Where names lead. The first answer of `rebind.test` is allowed, where the port is.
const NAMES: [(&str, &[IpAddr]); 6] = [
    ("denied.test", &[OTHER]),
    ("rebind.test", &[LOCALHOST, OTHER]),
    ("canary.local", &[OTHER]),
    ("metadata.google.internal", &[METADATA]),
    ("mixed.test", &[OTHER, LOCALHOST]),
    ("xn--bcher-kva.test", &[IpAddr::V6(Ipv6Addr::LOCALHOST)]),
];

/// Hosts that lead to denied listeners, in every spelling.
const DENIED_HOSTS: [&str; 20] = [
    "127.0.0.2",
    "127.0.0.1",
    "127.0.0.53",
    "[::1]",
    "[::ffff:127.0.0.2]",
    "[::ffff:7f00:2]",
    "2130706434",
    "0x7f.0.0.2",
    "0177.0.0.2",
    "127.2",
    "0.0.0.0",
    "[::]",
    "localhost",
    "localhost.",
    "a.localhost",
    "denied.test",
    "user:word@127.0.0.2",
    "canary.local",
    "metadata.google.internal",
    "bücher.test",
];

/// Kinds that no page of this form gets anywhere: nothing is asked of them but that they reach nothing denied.
const NOT_IN_A_CONTROL: [&str; 8] =
    ["preconnect", "dns_prefetch", "redirect_websocket", "icon", "manifest", "payment", "webtransport", "https"];

fn answer(path: &str) -> Option<(String, Vec<u8>)> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let html =
        |lines: String, text: &str| Some((format!("{lines}\r\ncontent-type: text/html"), text.as_bytes().to_vec()));
    let script = |text: String| Some(("200 OK\r\ncontent-type: text/javascript".to_owned(), text.into_bytes()));
    match path {
        "/redirect" => Some((format!("302 Found\r\nlocation: {query}"), Vec::new())),
        "/csp" => html(format!("200 OK\r\ncontent-security-policy: img-src 'none'; report-uri {query}"), "<img src=/a>"),
        "/link" => html(format!("200 OK\r\nlink: <{query}>; rel=preload; as=image"), ""),
        "/refresh" => html(format!("200 OK\r\nrefresh: 0;url={query}"), ""),
        "/worker.js" => script("fetch(decodeURIComponent(location.search.slice(1)), {mode: 'no-cors'})".to_owned()),
        "/service.js" => script(
            "self.oninstall = (event) => event.waitUntil(fetch(decodeURIComponent(location.search.slice(1)), {mode: 'no-cors'}))"
                .to_owned(),
        ),
        _ => None,
    }
}

fn job(url: String) -> Job {
    Job {
        url,
        profile: Profile::builtin("desktop").unwrap().without_throttling(),
        interact: Vec::new(),
        consent: None,
        settle_us: 500_000,
        timeout_us: 180_000_000,
        insecure: false,
        screenshot: false,
    }
}

/// Looks at the browser's sockets again and again while a page is loaded.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(BTreeSet<Socket>, usize)>,
}

impl Watcher {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            let mut looks = 0;
            while !stopped.load(Ordering::SeqCst) {
                seen.extend(sockets::of(&sockets::below(std::process::id())));
                looks += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            (seen, looks)
        });
        Self { stop, thread }
    }

    fn stop(self) -> BTreeSet<Socket> {
        self.stop.store(true, Ordering::SeqCst);
        let (seen, looks) = self.thread.join().unwrap();
        assert!(looks > 10, "{looks} looks at the browser's sockets");
        seen
    }
}

fn hostile_page(form: &Form) {
    let denied = Denied::new();
    denied.assert_that_they_notice();
    let control = Arc::new(Server::start(Arc::new(answer)));
    let control_base = format!("http://{}", control.address);
    let bases: Vec<String> = std::iter::once(control_base)
        .chain(DENIED_HOSTS.map(|host| format!("http://{host}:{}", denied.port)))
        .chain(["http://169.254.169.254".to_owned()])
        .collect();
    let udp = ["127.0.0.1", "127.0.0.2", "::1"].map(|host| (host, denied.port));
    let page = format!(
        "<!doctype html><title>hostile</title><body><img src=/hold><script>const BASES = {}; const UDP = {}; const BASES_PORT = {};\n{}</script>",
        serde_json::to_string(&bases).unwrap(),
        serde_json::to_string(&udp).unwrap(),
        denied.port,
        include_str!("attacks.js")
            .replace("const ONLY = ''", &format!("const ONLY = '{}'", std::env::var("ONLY").unwrap_or_default()))
    );
    let kinds: Vec<String> = kinds();
    let (wanted, arrived) = (kinds.clone(), control.clone());
    let missing = move || {
        let paths = arrived.paths();
        let missing = wanted.iter().filter(|kind| !NOT_IN_A_CONTROL.contains(&kind.as_str()));
        missing.filter(|kind| !paths.contains(&format!("/{kind}"))).cloned().collect::<Vec<_>>()
    };
    let missing = Arc::new(missing);
    let told = missing.clone();
    let done = Arc::new(Mutex::new(String::new()));
    let own_done = done.clone();
    let own = Server::start(Arc::new(move |path: &str| match path.split_once('?').unwrap_or((path, "")) {
        ("/", _) => Some(("200 OK\r\ncontent-type: text/html; charset=utf-8".to_owned(), page.clone().into_bytes())),
        ("/missing", _) => Some(("200 OK".to_owned(), told().join(" ").into_bytes())),
        ("/done", found) => {
            found.clone_into(&mut own_done.lock().unwrap());
            None
        }
        _ => answer(path),
    }));
    let doors = Doors::new(vec![own.address, control.address], &NAMES);
    let browser = Browser::new(Options { form: form.clone(), ..Options::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let watcher = Watcher::start();
    let outcome = runtime.block_on(async {
        let seat = browser.seat(false).await;
        browser.load(&seat, &job(format!("http://{}/", own.address)), &doors).await
    });
    let sockets = watcher.stop();
    assert!(own.is_done(), "the page did not come to its end: {outcome:?}");
    let came = denied.came();
    assert!(came.is_empty(), "reached what is denied: {} times, as {:?}", came.len(), &came[..came.len().min(20)]);
    println!("missing at control: {:?}", missing());
    println!("done: {}", done.lock().unwrap());
    println!(
        "asked: {:?}",
        doors
            .asked(denied.port)
            .iter()
            .map(|(h, o)| format!("{h}{}", if *o { "!" } else { "" }))
            .collect::<BTreeSet<_>>()
    );
    println!(
        "sockets: {:?}",
        sockets.iter().map(|s| format!("{} {}>{} {}", s.protocol, s.local, s.remote, s.pid)).collect::<BTreeSet<_>>()
    );
    println!("outcome: {:?}", outcome.err().map(|f| f.detail.chars().take(300).collect::<String>()));
}

/// The names of the ways in `attacks.js`.
fn kinds() -> Vec<String> {
    let text = include_str!("attacks.js");
    let table = text.split_once("const KINDS = {").unwrap().1.split_once("\n};").unwrap().0;
    table
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_once(": (").map(|(kind, _)| kind.to_owned()))
        .collect()
}

#[test]
fn a_hostile_page_in_the_headless_shell_reaches_nothing_denied() {
    hostile_page(&Form::HeadlessShell);
}

#[test]
fn a_hostile_page_in_the_full_browser_reaches_nothing_denied() {
    hostile_page(&Form::Chromium);
}

#[allow(dead_code, reason = "wip")]
fn unused(_: SocketAddr) {}

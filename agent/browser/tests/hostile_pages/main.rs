//! Pages that try to reach what the agent may not: a real browser, both forms, every way out that a page has, and listeners that count who comes.
//!
//! Each way is tried on a control as well, which is allowed: there it must arrive, so that a way that is never gone shows as a failure here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod canary;
mod gate;
mod sockets;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sitepulse_browser::{Browser, Form, Job, Options};
use sitepulse_model::record::Cause;
use sitepulse_model::vitals::profile::Profile;

use crate::canary::{Denied, Server};
use crate::gate::Doors;
use crate::sockets::Socket;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

/// Where names lead. The first answer of `rebind.test` is allowed, where the port is.
const NAMES: [(&str, &[IpAddr]); 5] = [
    ("denied.test", &[OTHER]),
    ("rebind.test", &[LOCALHOST, OTHER]),
    ("canary.local", &[OTHER]),
    ("metadata.google.internal", &[METADATA]),
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

/// Denied hosts that one page tries.
const DENIED_AT_ONCE: usize = 7;

/// Ways that lead nowhere by themselves, or that this browser does not go: of these it is asked alone that they reach nothing denied. A connection without a
/// request has no path; WebSockets follow no redirect; a headless browser asks for no icon and no manifest and has no way to pay; QUIC goes through no proxy;
/// TLS is no request; the browser is told to send no pings; a load closes the windows that its page opens, before or after they ask for something.
const NOT_AT_CONTROL: [&str; 10] = [
    "preconnect",
    "dns_prefetch",
    "redirect_websocket",
    "icon",
    "manifest",
    "payment",
    "webtransport",
    "https",
    "ping",
    "open",
];

fn answer(path: &str) -> Option<(String, Vec<u8>)> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let html =
        |lines: String, text: &str| Some((format!("{lines}\r\ncontent-type: text/html"), text.as_bytes().to_vec()));
    let script = |text: String| Some(("200 OK\r\ncontent-type: text/javascript".to_owned(), text.into_bytes()));
    match path {
        "/redirect" => Some((format!("302 Found\r\nlocation: {query}"), Vec::new())),
        "/csp" => html(format!("200 OK\r\ncontent-security-policy: img-src 'none'; report-uri {query}"), "<img src=/a>"),
        "/link" => html(format!("200 OK\r\nlink: <{query}>; rel=preload; as=image"), ""),
        "/refresh" => html(format!("200 OK\r\nrefresh: 0;url={query}"), "<h1>a</h1>"),
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

/// Listeners that are denied, and two servers that are not: the page's own and the control.
struct World {
    /// Sockets are looked at below this process: one test at a time has a browser there.
    _alone: MutexGuard<'static, ()>,
    denied: Denied,
    control: Arc<Server>,
    doors: Doors,
    browser: Browser,
}

impl World {
    fn new(form: &Form) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let denied = Denied::new();
        denied.assert_that_they_notice();
        let control = Arc::new(Server::start(Arc::new(answer)));
        let browser = Browser::new(Options { form: form.clone(), ..Options::default() });
        Self { _alone: alone, denied, control, doors: Doors::new(&NAMES), browser }
    }

    /// Loads a page until it has tried everything, and tells what the browser's sockets were meanwhile.
    fn load_until_done(&self, own: &Server) -> BTreeSet<Socket> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let watcher = Watcher::start();
        runtime.block_on(async {
            let seat = self.browser.seat(false).await;
            let job = job(format!("http://{}/", own.address));
            let done = async {
                while !own.is_done() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::select! {
                outcome = self.browser.load(&seat, &job, &self.doors) => assert!(own.is_done(), "the page came not to its end: {outcome:?}"),
                () = done => {}
            }
            self.browser.close().await;
        });
        watcher.stop()
    }

    fn assert_nobody_came(&self) {
        let came = self.denied.came();
        assert!(came.is_empty(), "what is denied was reached {} times: {:?}", came.len(), &came[..came.len().min(20)]);
        let open: Vec<_> = self.doors.asked(self.denied.port).into_iter().filter(|(_, open)| *open).collect();
        assert!(open.is_empty(), "{open:?}");
    }
}

fn hostile_page(form: &Form) {
    let world = World::new(form);
    let port = world.denied.port;
    // A name that leads to the control first, and to a denied listener at the same port ever after.
    let rebound = TcpListener::bind((OTHER, world.control.address.port())).unwrap();
    rebound.set_nonblocking(true).unwrap();
    let control = format!("http://{}", world.control.address);
    let denied: Vec<String> = DENIED_HOSTS
        .iter()
        .map(|host| format!("http://{host}:{port}"))
        .chain(["http://169.254.169.254".to_owned()])
        .collect();
    // Several pages: one with all of it has thousands of frames and requests, and its renderer may not live to the end.
    for (part, bases) in denied.chunks(DENIED_AT_ONCE).enumerate() {
        let udp = ["127.0.0.1", "127.0.0.2", "::1"].map(|host| (host, port));
        let all = [std::slice::from_ref(&control), bases].concat();
        let settings = serde_json::json!({
            "bases": all,
            "udp": udp,
            "port": port,
            "rebind": format!("http://rebind.test:{}", world.control.address.port()),
            // Once is enough of what has nothing to do with bases.
            "rest": part == 0,
        });
        assert_one_way_out(&hostile_part(&world, &settings));
    }

    // It was tried, in every spelling that leads to a host of its own.
    let asked: BTreeSet<String> = world.doors.asked(port).into_iter().map(|(host, _)| host).collect();
    for host in [
        "127.0.0.1",
        "127.0.0.2",
        "127.0.0.53",
        "::1",
        "::ffff:7f00:2",
        "0.0.0.0",
        "::",
        "localhost",
        "localhost.",
        "a.localhost",
        "denied.test",
        "canary.local",
        "metadata.google.internal",
        "xn--bcher-kva.test",
    ] {
        assert!(asked.contains(host), "{host} was not asked for: {asked:?}");
    }
    assert!(world.doors.asked(80).contains(&("169.254.169.254".to_owned(), false)));

    // The name that changed its mind.
    let paths = world.control.paths();
    assert!(paths.contains("/rebind-first") && !paths.contains("/rebind-second"), "{paths:?}");
    let asked = world.doors.asked(world.control.address.port());
    assert!(asked.contains(&("rebind.test".to_owned(), true)) && asked.contains(&("rebind.test".to_owned(), false)));
    assert!(rebound.accept().is_err(), "the second answer was dialled");
}

/// Loads one hostile page to its end: nothing denied is reached, and every way is gone at the control.
fn hostile_part(world: &World, settings: &serde_json::Value) -> BTreeSet<Socket> {
    let page = format!(
        "<!doctype html><title>hostile</title><body><img src=/hold><script>const SETTINGS = {settings};\n{}</script>",
        include_str!("attacks.js")
    );
    let arrived = world.control.clone();
    let missing = move || {
        let paths = arrived.paths();
        let wanted = kinds().into_iter().filter(|kind| !NOT_AT_CONTROL.contains(&kind.as_str()));
        wanted.filter(|kind| !paths.contains(&format!("/{kind}"))).collect::<Vec<_>>().join(" ")
    };
    let told = Arc::new(Mutex::new(String::new()));
    let (still_missing, telling) = (missing.clone(), told.clone());
    let own = Server::start(Arc::new(move |path: &str| match path.split_once('?').unwrap_or((path, "")) {
        ("/", _) => Some(("200 OK\r\ncontent-type: text/html; charset=utf-8".to_owned(), page.clone().into_bytes())),
        ("/missing", _) => Some(("200 OK".to_owned(), still_missing().into_bytes())),
        ("/done", found) => {
            found.clone_into(&mut telling.lock().unwrap());
            None
        }
        _ => answer(path),
    }));
    world.doors.allow(&[own.address, world.control.address]);
    let sockets = world.load_until_done(&own);

    world.assert_nobody_came();
    assert_eq!(missing(), "", "these ways are not gone at all: the test shows nothing of them");
    // Neither this machine's files nor its addresses were told to the page.
    assert_eq!(*told.lock().unwrap(), "");
    sockets
}

/// In each load the browser talks to one port of this machine, its proxy, and listens to nobody.
fn assert_one_way_out(sockets: &BTreeSet<Socket>) {
    let (tcp, udp): (Vec<_>, Vec<_>) = sockets.iter().partition(|socket| socket.protocol.starts_with("tcp"));
    let remotes: BTreeSet<SocketAddr> = tcp.iter().map(|socket| socket.remote).collect();
    assert!(remotes.len() == 1 && remotes.iter().all(|remote| remote.ip() == LOCALHOST), "{tcp:?}");
    for socket in udp {
        // WebRTC looks up which of the machine's addresses leads to the Internet, by a socket that sends nothing. No socket has another peer, and none
        // listens where others would know it, as mDNS does.
        let probes = ["8.8.8.8:53", "[2001:4860:4860::8888]:53", "[2001:4860:4860::8888]:443"];
        let peer = socket.remote;
        assert!(
            (peer.ip().is_unspecified() && peer.port() == 0) || probes.contains(&peer.to_string().as_str()),
            "{socket:?}"
        );
        assert!(socket.local.port() != 5353 && !socket.local.ip().is_multicast(), "{socket:?}");
    }
}

/// Pages that take the window elsewhere by themselves, and servers that send it there.
fn hostile_ways_of_the_window(form: &Form) {
    let world = World::new(form);
    let port = world.denied.port;
    let denied = format!("http://127.0.0.2:{port}/");
    let script = |text: String| {
        ("200 OK\r\ncontent-type: text/html".to_owned(), format!("<h1>a</h1><script>{text}</script>").into_bytes())
    };
    let page = move |path: &str| {
        let (path, to) = path.split_once('?').unwrap_or((path, ""));
        match path {
            "/location" => Some(script(format!("location.href = {to:?}"))),
            "/replace" => Some(script(format!("onload = () => location.replace({to:?})"))),
            "/form" => Some(script(format!(
                "const f = document.createElement('form'); f.action = {to:?}; f.method = 'post'; document.body.append(f); f.submit()"
            ))),
            "/refresh" | "/redirect" => answer(&format!("{path}?{to}")),
            "/meta" => Some((
                "200 OK\r\ncontent-type: text/html".to_owned(),
                format!("<h1>a</h1><meta http-equiv=refresh content='0;url={to}'>").into_bytes(),
            )),
            _ => None,
        }
    };
    let own = Server::start(Arc::new(page));
    world.doors.allow(&[own.address, world.control.address]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let seat = world.browser.seat(false).await;
        for way in ["location", "replace", "form", "refresh", "meta", "redirect"] {
            let control = format!("http://{}/{way}", world.control.address);
            for to in [
                control.as_str(),
                &denied,
                "file:///etc/passwd",
                "chrome://version/",
                "data:text/html,a",
                "view-source:file:///etc/passwd",
            ] {
                let job = Job {
                    timeout_us: 20_000_000,
                    screenshot: true,
                    ..job(format!("http://{}/{way}?{to}", own.address))
                };
                let outcome = world.browser.load(&seat, &job, &world.doors).await;
                let page = match &outcome {
                    Ok(loaded) => &loaded.page,
                    Err(failed) => &failed.page,
                };
                for scheme in ["file:", "chrome:", "view-source:"] {
                    assert!(!page.url.starts_with(scheme), "{way} to {to}: {page:?}");
                }
            }
            assert!(
                world.control.paths().contains(&format!("/{way}")),
                "{way} leads nowhere at all: {:?}",
                world.control.paths()
            );
        }
        world.browser.close().await;
    });
    world.assert_nobody_came();
    assert!(world.doors.asked(port).contains(&("127.0.0.2".to_owned(), false)));
}

#[test]
fn a_check_is_no_way_to_this_machines_files() {
    let world = World::new(&Form::Auto);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let seat = world.browser.seat(false).await;
        for url in [
            "file:///etc/passwd",
            "view-source:http://a.example/",
            "chrome://version/",
            "about:blank",
            "data:text/html,a",
            "javascript:1",
            "devtools://devtools/bundled/inspector.html",
            "ftp://127.0.0.2/",
            "",
        ] {
            let failed = world.browser.load(&seat, &job(url.to_owned()), &world.doors).await.unwrap_err();
            assert_eq!(failed.cause, Cause::PolicyRefused, "{url}: {}", failed.detail);
        }
    });
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

#[test]
fn a_window_of_the_headless_shell_goes_nowhere_denied() {
    hostile_ways_of_the_window(&Form::HeadlessShell);
}

#[test]
fn a_window_of_the_full_browser_goes_nowhere_denied() {
    hostile_ways_of_the_window(&Form::Chromium);
}

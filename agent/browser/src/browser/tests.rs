//! Real browsers, in both forms: their life, their end, and what they may not.

mod end;
mod rest;
mod unit;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::cdp::Event;
use crate::launch::program;
use crate::launch::tree::{Member, alive};
use crate::options::Form;

const FORMS: [Form; 2] = [Form::HeadlessShell, Form::Chromium];
/// A page that never answers again, and does not want to be left.
const HANGS: &str = "<script>addEventListener('beforeunload', e => { e.preventDefault(); e.returnValue = 'x' }); setTimeout(() => { for (;;); }, 50)</script>hangs";
/// No load of these tests comes to the network.
const NO_PROXY: &str = "socks5://127.0.0.1:1";

/// A page that never sleeps rests for 19 twentieths of the time.
const SLOWEST: Milli = Milli(20_000);

/// Whether one of these is stopped.
fn resting(members: &[Member]) -> bool {
    let stopped = |member: &Member| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", member.pid)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T'))
    };
    members.iter().any(stopped)
}

/// A folder that every user may enter.
fn base() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), all).expect("its mode");
    dir
}

fn browser(form: &Form, base: &Path) -> Browser {
    browser_with(Options { form: form.clone(), dir: Some(base.to_owned()), ..Options::default() })
}

/// Slow machines start browsers slowly.
fn browser_with(options: Options) -> Browser {
    Browser::new(Options { start_max_s: options.start_max_s.max(120), ..options })
}

async fn lease(browser: &Browser) -> Lease {
    browser.inner.lease(NO_PROXY, 0).await.expect("a browser; chromium and chromium-headless-shell must be installed")
}

/// A page of a lease that shows this document: its session.
async fn page(lease: &Lease, html: &str) -> String {
    let call = |session: Option<String>, method, params: Value| async move {
        lease.connection().call(session.as_deref(), method, params).await.expect("an answer")
    };
    let target = json!({ "url": "about:blank", "browserContextId": lease.context });
    let target = call(None, "Target.createTarget", target).await["targetId"].clone();
    let session = json!({ "targetId": target, "flatten": true });
    let session =
        call(None, "Target.attachToTarget", session).await["sessionId"].as_str().expect("a session").to_owned();
    call(Some(session.clone()), "Page.enable", json!({})).await;
    let url = format!("data:text/html,{}", html.replace('%', "%25").replace('#', "%23"));
    call(Some(session.clone()), "Page.navigate", json!({ "url": url })).await;
    session
}

/// Waits until the page of a session no longer answers.
async fn hung(lease: &Lease, session: &str) {
    for _ in 0..600 {
        let call = lease.connection().call(Some(session), "Runtime.evaluate", json!({ "expression": "1" }));
        if timeout(Duration::from_millis(500), call).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not hang");
}

/// Waits for a state, long enough for a slow machine.
async fn until(what: &str, mut state: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if state() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

async fn all_gone(members: &[Member]) {
    until("all processes of the browser are gone", || !members.iter().any(alive)).await;
}

fn renderers(process: &Process) -> BTreeSet<i32> {
    process.look().iter().filter(|member| member.renderer).map(|member| member.pid).collect()
}

fn left_in(base: &Path) -> usize {
    std::fs::read_dir(base).expect("a folder").count()
}

fn status(pid: i32, key: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the key");
    line.trim().to_owned()
}

/// Whether a process has this word in its command line; renderers have theirs in one piece.
fn has_word(pid: i32, word: &str) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0 || *byte == b' ').any(|found| found == word.as_bytes())
}

fn link(pid: i32, name: &str) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/ns/{name}")).expect("a namespace")
}

#[tokio::test]
async fn it_is_confined() {
    for form in FORMS {
        let base = base();
        let browser = browser(&form, base.path());
        let lease = lease(&browser).await;
        page(&lease, "confined").await;
        let process = &lease.process;
        let main = process.pid().expect("its own process");
        let members = process.look();
        let renderer = renderers(process).into_iter().next().expect("a renderer");
        // Seccomp filters, and namespaces of its own: the sandbox is on.
        assert_eq!(status(renderer, "Seccomp:"), "2", "{form:?}");
        let me = i32::try_from(std::process::id()).expect("a number");
        for name in ["user", "pid", "net"] {
            assert_ne!(link(renderer, name), link(me, name), "{form:?} {name}");
        }
        for member in &members {
            assert_eq!(status(member.pid, "NoNewPrivs:"), "1", "{form:?}");
            assert!(!status(member.pid, "Uid:").split('\t').any(|uid| uid == "0"), "{form:?}: root");
            assert!(!status(member.pid, "Gid:").split('\t').any(|gid| gid == "0"), "{form:?}: root's group");
            let line = std::fs::read(format!("/proc/{}/cmdline", member.pid)).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&line).contains("no-sandbox"), "{form:?}");
        }
        let serves_network = |member: &&Member| has_word(member.pid, "--utility-sub-type=network.mojom.NetworkService");
        assert_eq!(members.iter().find(serves_network), None, "{form:?}: it takes memory and is confined no better");
        if program::user().is_some() {
            assert_eq!(status(main, "Groups:"), "", "{form:?}: other groups");
            assert_eq!(status(main, "CapEff:"), "0000000000000000", "{form:?}");
        }
        // Nothing of the agent's own environment.
        let environment = std::fs::read(format!("/proc/{main}/environ")).expect("an environment");
        let names: BTreeSet<String> = environment
            .split(|byte| *byte == 0)
            .filter(|entry| !entry.is_empty())
            .map(|entry| String::from_utf8_lossy(entry).split('=').next().unwrap_or_default().to_owned())
            .collect();
        // `PWD` and its like are the shell's.
        let allowed = ["HOME", "LANG", "OLDPWD", "PATH", "PWD", "SHLVL", "TMPDIR", "_"];
        assert!(names.iter().all(|name| allowed.contains(&name.as_str())), "{form:?}: {names:?}");
        let limits = std::fs::read_to_string(format!("/proc/{main}/limits")).expect("limits");
        let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).expect("a limit");
        assert!(core.trim().starts_with("0 "), "{limits}");
        let adjusted = std::fs::read_to_string(format!("/proc/{main}/oom_score_adj")).expect("a number");
        // The full browser lowers it again where root itself may not fix it (CAP_SYS_RESOURCE).
        assert!(adjusted.trim() == "200" || form == Form::Chromium, "{form:?}: {adjusted}");
        // Files, its own pages and the like are not for pages of the web; a port to command it by there is none.
        let ports = std::fs::read_to_string(format!("/proc/{main}/cmdline")).expect("a command line");
        assert!(!ports.contains("remote-debugging-port"));
        lease.end().await;
        browser.close().await;
        all_gone(&members).await;
        assert_eq!(left_in(base.path()), 0, "{form:?}");
    }
}

#[tokio::test]
async fn a_page_that_hangs_is_freed_and_the_browser_goes_on() {
    for form in FORMS {
        let base = base();
        let browser = browser(&form, base.path());
        let (hanging, healthy) = (lease(&browser).await, lease(&browser).await);
        let session = page(&healthy, "healthy").await;
        let before = renderers(&healthy.process);
        let hangs = page(&hanging, HANGS).await;
        hung(&hanging, &hangs).await;
        let mine: Vec<Member> = hanging.process.look();
        let mine: Vec<Member> =
            mine.into_iter().filter(|member| member.renderer && !before.contains(&member.pid)).collect();
        assert!(!mine.is_empty());
        hanging.end().await;
        all_gone(&mine).await;
        let evaluated = json!({ "expression": "document.body.textContent" });
        let answer = healthy.connection().call(Some(&session), "Runtime.evaluate", evaluated).await.expect("an answer");
        assert_eq!(answer["result"]["value"], "healthy", "{form:?}");
        browser.close().await;
    }
}

/// An agent that stops, or a timeout around the load, drops it anywhere.
#[tokio::test]
async fn a_load_that_is_dropped_midway_leaves_nothing_behind() {
    let base = base();
    let browser = browser(&Form::HeadlessShell, base.path());
    let first = lease(&browser).await;
    let process = first.process.clone();
    for pause_us in [0, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000] {
        let load = async {
            let lease = lease(&browser).await;
            page(&lease, HANGS).await;
            std::future::pending::<()>().await;
        };
        drop(timeout(Duration::from_micros(pause_us), load).await);
    }
    until("its context alone is left", || process.leases.load(Ordering::Relaxed) == 1).await;
    let contexts = first.connection().call(None, "Target.getBrowserContexts", json!({})).await.expect("an answer");
    assert_eq!(contexts["browserContextIds"], json!([first.context]));
    let targets = first.connection().call(None, "Target.getTargets", json!({})).await.expect("an answer");
    assert_eq!(targets["targetInfos"], json!([]));
    browser.close().await;
}

#[tokio::test]
async fn a_browser_that_hangs_whole_is_ended_and_replaced() {
    for form in FORMS {
        let base = base();
        let browser = browser(&form, base.path());
        let first = lease(&browser).await;
        page(&first, "x").await;
        let members = first.process.look();
        stop(first.process.pid().expect("its own process"));
        first.end().await;
        all_gone(&members).await;
        // And one that hangs before there is a context.
        let second = lease(&browser).await;
        let process = second.process.clone();
        second.end().await;
        stop(process.pid().expect("its own process"));
        let third = lease(&browser).await;
        assert_ne!(third.process.pid(), process.pid(), "{form:?}");
        third.end().await;
        browser.close().await;
        drop(process);
        until("all profiles are gone", || left_in(base.path()) == 0).await;
    }
}

fn stop(pid: i32) {
    signal(pid, rustix::process::Signal::STOP);
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, signal).expect("the signal is sent");
}

#[tokio::test]
async fn a_browser_that_is_killed_is_replaced_at_once_and_nothing_of_it_is_left() {
    for form in FORMS {
        let base = base();
        let browser = browser(&form, base.path());
        for round in 0..3 {
            if round == 2 {
                until("it may start again", || browser.inner.life().may_start(clock::monotonic()).is_ok()).await;
            }
            let lease = lease(&browser).await;
            let session = page(&lease, if round == 1 { HANGS } else { "x" }).await;
            if round == 1 {
                hung(&lease, &session).await;
            }
            let throttled = lease.process.slow_down(SLOWEST).await.expect("renderers that may be stopped");
            let mut events = lease.connection().events(&session);
            let members = lease.process.look();
            if round == 1 {
                until("its renderer rests", || resting(&members)).await;
            }
            signal(lease.process.pid().expect("its own process"), rustix::process::Signal::KILL);
            lease.connection().ended().await;
            while events.recv().await.is_some() {}
            all_gone(&members).await;
            drop(throttled);
            lease.end().await;
            if round == 0 {
                // The first death is made good at once.
                continue;
            }
            // After a second without a load that ended well between them it waits, and says so.
            let failed = browser.inner.lease(NO_PROXY, 0).await.expect_err("not yet");
            assert_eq!(failed.cause, Cause::BrowserMissing);
            assert!(failed.detail.contains("it is started again in"), "{}", failed.detail);
        }
        browser.close().await;
        until("all profiles are gone", || left_in(base.path()) == 0).await;
    }
}

#[tokio::test]
async fn a_worn_browser_does_its_loads_to_the_end_beside_one_replacement() {
    for form in FORMS {
        let base = base();
        let dir = Some(base.path().to_owned());
        let browser = browser_with(Options { form: form.clone(), dir, loads_max: 2, ..Options::default() });
        let (one, two) = (lease(&browser).await, lease(&browser).await);
        assert_eq!(one.process.pid(), two.process.pid());
        let (three, four) = (lease(&browser).await, lease(&browser).await);
        assert_ne!(one.process.pid(), three.process.pid());
        // The second is worn as well; with the first still at work there is no third.
        let five = lease(&browser).await;
        assert_eq!(five.process.pid(), three.process.pid());
        page(&one, "still here").await;
        let members = one.process.look();
        one.end().await;
        assert!(members.iter().any(alive), "{form:?}: a load was still on it");
        two.end().await;
        all_gone(&members).await;
        let six = lease(&browser).await;
        assert_ne!(six.process.pid(), five.process.pid(), "{form:?}");
        for lease in [three, four, five, six] {
            lease.end().await;
        }
        browser.close().await;
    }
}

#[tokio::test]
async fn memory_beyond_the_limit_wears_a_browser_and_twice_that_costs_a_page() {
    for form in FORMS {
        let base = base();
        let dir = Some(base.path().to_owned());
        let browser = browser_with(Options { form: form.clone(), dir, memory_max: 300 << 20, ..Options::default() });
        let first = lease(&browser).await;
        let session = page(&first, "x").await;
        let mut events = first.connection().events(&session);
        // Twice as much as the browser may have.
        let hog = "window.kept = []; for (let n = 0; n < 20; n++) kept.push(new Uint8Array(60 << 20).fill(n + 1)); 1";
        let evaluate = json!({ "expression": hog });
        let hogs = first.connection().call(Some(&session), "Runtime.evaluate", evaluate);
        // It never answers if the page is gone before it is done.
        drop(timeout(Duration::from_secs(5), hogs).await);
        loop {
            match events.recv().await.expect("a crash") {
                Event::Told { method, .. } if method == "Inspector.targetCrashed" => break,
                Event::Told { .. } => {}
                Event::Ended => panic!("{form:?}: the page alone, not the browser"),
            }
        }
        let process = first.process.clone();
        let ended = Culls { count: 1, limit: 600 << 20, loads: 1 };
        assert_eq!(process.culls(), ended, "{form:?}: the page would have been ended without others too");
        first.end().await;
        // As a load leaves it that took more than the limit.
        process.memory.store(301 << 20, Ordering::Relaxed);
        process.crowd.store(2, Ordering::Relaxed);
        let kept = lease(&browser).await;
        assert_eq!(kept.process.pid(), process.pid(), "{form:?}: two pages at once may take more than one");
        kept.end().await;
        process.memory.store(301 << 20, Ordering::Relaxed);
        process.crowd.store(1, Ordering::Relaxed);
        let second = lease(&browser).await;
        assert_ne!(second.process.pid(), process.pid(), "{form:?}");
        second.end().await;
        browser.close().await;
    }
}

/// A page whose processor time counts has two processors for itself; what asks for less later waits behind it.
#[tokio::test]
async fn pages_that_need_the_processor_have_two_for_themselves() {
    use futures_util::FutureExt as _;
    let browser = Browser::new(Options::default());
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
    let mut heavy = Vec::new();
    for _ in 0..(cpus / 2).max(1) {
        heavy.push(browser.seat(true).now_or_never().expect("each has two processors"));
    }
    let mut next = Box::pin(browser.seat(true));
    assert!(next.as_mut().now_or_never().is_none(), "{} at once on {cpus} processors", heavy.len() + 1);
    assert!(browser.seat(false).now_or_never().is_none(), "nobody passes one that waits");
    heavy.pop();
    let next = next.await;
    drop((next, heavy));
    let light: Vec<Option<Seat>> = (0..2 * cpus).map(|_| browser.seat(false).now_or_never()).collect();
    assert!(light.iter().all(Option::is_some), "two a processor");
    assert!(browser.seat(false).now_or_never().is_none());
}

#[test]
fn a_page_ended_for_its_memory_is_at_fault_only_by_itself() {
    let (cause, detail) = culled_why(Culls { count: 1, limit: 1_200 << 20, loads: 1 });
    assert_eq!(cause, Cause::RendererCrashed);
    assert!(detail.starts_with("page: took more than 1200 MiB of memory"), "{detail}");
    let (cause, detail) = culled_why(Culls { count: 3, limit: 3_000 << 20, loads: 4 });
    assert_eq!(cause, Cause::HostPressure);
    assert!(detail.starts_with("browser: 4 pages at once took more than 3000 MiB"), "{detail}");
}

#[tokio::test]
async fn a_browser_without_loads_ends_and_the_next_load_starts_one() {
    let base = base();
    let dir = Some(base.path().to_owned());
    let browser = browser_with(Options { form: Form::HeadlessShell, dir, idle_max_s: 1, ..Options::default() });
    assert_eq!(left_in(base.path()), 0);
    for _ in 0..2 {
        let lease = lease(&browser).await;
        let members = lease.process.look();
        assert!(!members.is_empty());
        lease.end().await;
        all_gone(&members).await;
        until("its profile is gone", || left_in(base.path()) == 0).await;
    }
}

#[tokio::test]
async fn a_browser_that_does_not_come_up_is_explained_and_not_tried_in_a_busy_loop() {
    let base = base();
    let started = base.path().join("started");
    let script = |name: &str, text: &str| {
        let path = base.path().join(name);
        std::fs::write(&path, text).expect("a script");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
        path
    };
    std::fs::write(&started, "").expect("a file");
    std::fs::set_permissions(&started, std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("its mode");
    let count = format!("#!/bin/sh\necho x >>{}\n", started.display());
    let cases = [
        ("ends", "echo out of luck >&2; exit 1", "ended before it was up; its last words: out of luck", 120),
        ("hangs", "echo thinking >&2; exec sleep 1000", "was not up within 1 s; its last words: thinking", 1),
        ("speaks", "printf 'hello\\0' >&4; echo no words of mine >&2", "its last words: no words of mine", 120),
    ];
    for (name, text, want, start_max_s) in cases {
        let program = script(name, &format!("{count}{text}\n"));
        let dir = Some(base.path().join("profiles"));
        std::fs::create_dir_all(dir.as_ref().expect("a path")).expect("a folder");
        std::fs::set_permissions(dir.as_ref().expect("a path"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("its mode");
        let options =
            Options { form: Form::Program(program.clone()), dir: dir.clone(), start_max_s, ..Options::default() };
        let browser = Browser::new(options);
        std::fs::write(&started, "").expect("a file");
        let failed = browser.inner.lease(NO_PROXY, 0).await.expect_err("no browser");
        assert_eq!(failed.cause, Cause::BrowserMissing);
        assert!(failed.detail.starts_with(&format!("browser: {}", program.display())), "{}", failed.detail);
        assert!(failed.detail.contains(want), "{}", failed.detail);
        for _ in 0..1_000 {
            let failed = browser.inner.lease(NO_PROXY, 0).await.expect_err("no browser");
            assert!(failed.detail.contains(want), "{}", failed.detail);
        }
        let starts = std::fs::read_to_string(&started).expect("a file").lines().count();
        assert!(starts < 20, "{name}: {starts} starts");
        until("its profile is gone", || left_in(dir.as_ref().expect("a path")) == 0).await;
    }
    let missing = Browser::new(Options { form: Form::Program("/nonexistent".into()), ..Options::default() });
    let failed = missing.inner.lease(NO_PROXY, 0).await.expect_err("no browser");
    // Under systemd the unit is named as well.
    let detail = "browser: /nonexistent: is no program; mend [browser] program in the agent's configuration";
    assert!(failed.detail.starts_with(detail), "{}", failed.detail);
}

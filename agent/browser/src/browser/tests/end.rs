//! An agent that is killed, or a thread of it that ends: the first takes its browser along, the second does not.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::*;

/// Says to this test that it is the agent, of which form and over which folder.
const FORM: &str = "SITEPULSE_TEST_FORM";
const BASE: &str = "SITEPULSE_TEST_BASE";

/// How long a browser may outlive its agent. It takes some 30 ms.
const ORPHANED_US_MAX: u64 = 2_000_000;

/// How often an agent is killed, for each form.
fn kills() -> usize {
    std::env::var("SITEPULSE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// The agent that is killed: has a browser with two pages, one of which hangs and rests most of the time, and says which.
fn be_the_agent(base: &Path) -> ! {
    let form = if std::env::var(FORM).is_ok_and(|form| form == "shell") { Form::HeadlessShell } else { Form::Chromium };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let browser = browser(&form, base);
        let (one, two) = (lease(&browser).await, lease(&browser).await);
        page(&one, "x").await;
        let session = page(&two, HANGS).await;
        hung(&two, &session).await;
        let _throttled = two.process.slow_down(SLOWEST).await.expect("renderers that may be stopped");
        println!("\npid={}", one.process.pid().expect("its own process"));
        std::future::pending::<Infallible>().await;
    });
    unreachable!("it hangs until it is killed")
}

/// It starts itself again as the agent: nothing else has this browser's inside.
#[test]
fn an_agent_that_is_killed_leaves_no_process_and_its_folder_goes_with_the_next_start() {
    if let Some(base) = std::env::var_os(BASE) {
        be_the_agent(Path::new(&base));
    }
    let (_, module) = module_path!().split_once("::").expect("a module of this crate");
    let name = format!("{module}::an_agent_that_is_killed_leaves_no_process_and_its_folder_goes_with_the_next_start");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for form in FORMS {
            let base = base();
            for round in 0..kills() {
                kill_an_agent(&name, &form, base.path(), round % 2 == 1).await;
            }
            let browser = browser(&form, base.path());
            let lease = lease(&browser).await;
            assert_eq!(left_in(base.path()), 1, "{form:?}: its own");
            lease.end().await;
            browser.close().await;
            assert_eq!(left_in(base.path()), 0);
        }
    });
}

/// `hangs`: its browser itself is stopped, so that it cannot see that its pipe was closed.
async fn kill_an_agent(test: &str, form: &Form, base: &Path, hangs: bool) {
    let mut agent = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--nocapture"])
        .env(FORM, if *form == Form::HeadlessShell { "shell" } else { "full" })
        .env(BASE, base)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test can be started");
    let lines = BufReader::new(agent.stdout.take().expect("its output")).lines();
    let pid: i32 = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("pid=").and_then(|pid| pid.parse().ok()))
        .expect("a browser");
    let members = tree::tree(pid);
    assert!(members.len() > 4, "{form:?}: {members:?}");
    until("a renderer rests", || resting(&members)).await;
    if hangs {
        stop(pid);
    }
    agent.kill().expect("it runs");
    agent.wait().expect("it ends");
    // Those that Chromium parts from itself (its crash handlers) name the folder.
    let folder = base.to_string_lossy().into_owned();
    let end = clock::monotonic();
    loop {
        // Before the look: where this test itself waits for a processor, it sees late that they are gone.
        let passed_us = clock::monotonic().us_since(end);
        let left: Vec<&Member> = members.iter().filter(|member| alive(member)).collect();
        let parted = naming(&folder);
        if left.is_empty() && parted.is_empty() {
            break;
        }
        assert!(passed_us < ORPHANED_US_MAX, "{form:?}: {left:?} {parted:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(left_in(base), 1);
}

/// Processes with this text in their command line.
fn naming(text: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("processes").flatten();
    let lines = entries.filter(|entry| entry.file_name().to_string_lossy().parse::<i32>().is_ok()).map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).into_owned()
    });
    lines.filter(|line| line.contains(text)).collect()
}

/// The kernel tells a child of the end of the *thread* that made it. Threads of a runtime come and go.
#[test]
fn a_thread_that_ends_does_not_take_the_browser_along() {
    let base = base();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_keep_alive(Duration::from_millis(1))
        .enable_all()
        .build()
        .expect("a runtime");
    let browser = Arc::new(browser(&Form::HeadlessShell, base.path()));
    let handle = runtime.handle().clone();
    let shared = browser.clone();
    let leased = runtime
        .block_on(runtime.spawn_blocking(move || {
            let name = std::fs::read_link("/proc/thread-self").expect("this thread");
            (handle.block_on(lease(&shared)), name)
        }))
        .expect("it does not panic");
    let (lease, thread) = leased;
    runtime.block_on(async {
        let thread = Path::new("/proc").join(thread);
        until("the thread is gone", || !thread.exists()).await;
        page(&lease, "still here").await;
        let members = lease.process.look();
        assert!(members.iter().all(alive));
        lease.end().await;
        browser.close().await;
        all_gone(&members).await;
    });
}

//! The units of systemd: their command line gives the same browser over a socket as a start by the agent does.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicUsize;

use futures_util::future::BoxFuture;
use sitepulse_model::vitals::profile::Profile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::gate::{Dialled, Refusal};
use crate::launch::BECOME;
use crate::launch::program::Program;

const UNIT: &str = include_str!("../../../../../systemd/sitepulse-browser@.service");

/// The agent's program beside a browser.
const KEEP: [&str; 3] = ["/usr/bin/sitepulse-agent", "keep-browser", "--"];
/// Says to this test that it is that program, and which browser it keeps: its words, a line each.
const KEPT: &str = "SITEPULSE_TEST_KEPT";

/// The words of a unit's command line, as systemd takes them apart: quotes, `$$` and continued lines.
fn command_line(profile: &str) -> Vec<String> {
    let unit = UNIT.replace("\\\n", " ");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (Some(_) | None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let given = |word: String| word.replace("$$", "$").replace("%%", "%").replace("${RUNTIME_DIRECTORY}", profile);
    words.into_iter().map(given).collect()
}

#[test]
fn the_unit_starts_the_browser_as_the_agent_does() {
    let words = command_line("/profile");
    let program = Program { path: "/usr/lib/chromium/chromium-headless-shell".into(), shell: true };
    let mut want: Vec<String> = KEEP.map(str::to_owned).into();
    want.push(program.path.to_string_lossy().into_owned());
    want.extend(program.flags(Path::new("/profile"), true));
    assert_eq!(words, want);
}

/// The defect: 1200 MiB on a host with four processors, where eight pages may load at once.
#[test]
fn the_unit_limits_the_memory_by_the_host_and_slows_nothing_down_for_it() {
    let of = |key: &str| UNIT.lines().find_map(|line| line.strip_prefix(key));
    let share = of("MemoryMax=").and_then(|limit| limit.strip_suffix('%')).expect("a share of the host");
    assert!((50..=80).contains(&share.parse::<u32>().expect("a number")), "{share}");
    assert_eq!(of("MemoryHigh="), None);
}

/// What systemd does for `Accept=yes`: one browser for each connection, which is its standard input.
#[derive(Default)]
struct Acceptor {
    children: Vec<Child>,
    /// Where the program is that keeps them: memory may be no place to run one from.
    folders: Vec<tempfile::TempDir>,
}

impl Acceptor {
    fn accept(&mut self, listener: &UnixListener, profile: &Path) {
        self.accept_by(listener, profile, false);
    }

    /// With somebody who keeps the browser, or as units were before there was one.
    fn accept_by(&mut self, listener: &UnixListener, profile: &Path, kept: bool) {
        let (socket, _) = listener.accept().expect("a connection");
        std::fs::create_dir_all(profile).expect("a folder");
        let browser = command_line(&profile.to_string_lossy()).split_off(KEEP.len());
        let text = browser.join("\n");
        let mut words: Vec<String> = vec!["/bin/sh".into(), "-c".into(), BECOME.into(), "sh".into()];
        if kept {
            // The user of the browser may not be able to enter the folder that this test is in.
            let folder = tempfile::tempdir().expect("a folder");
            let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(folder.path(), all).expect("its mode");
            let program = folder.path().join("keeper");
            self.folders.push(folder);
            std::fs::copy(std::env::current_exe().expect("this test"), &program).expect("a copy");
            words = vec![program.to_string_lossy().into_owned(), "--exact".into(), kept_test(), "--nocapture".into()];
        } else {
            words.extend(browser);
        }
        let mut setpriv: Vec<String> = vec!["setpriv".into(), "--no-new-privs".into()];
        if let Some((uid, gid)) = program::user() {
            std::os::unix::fs::chown(profile, Some(uid), Some(gid)).expect("it can be given away");
            setpriv.extend([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
        }
        setpriv.append(&mut words);
        let mut command = Command::new(&setpriv[0]);
        command.args(&setpriv[1..]).env_clear().env(KEPT, text).env("HOME", profile).env("PATH", "/usr/bin:/bin");
        command.stdin(OwnedFd::from(socket)).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        self.children.push(command.spawn().expect("a shell"));
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().expect("it can be ended");
            child.wait().expect("its end");
        }
    }
}

#[tokio::test]
async fn a_browser_behind_a_socket_loads_and_ends_with_its_connection() {
    let base = base();
    let path = base.path().join("browser.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let folder = base.path().to_owned();
    let acceptor = std::thread::spawn(move || {
        let mut acceptor = Acceptor::default();
        for number in 0..2 {
            acceptor.accept(&listener, &folder.join(format!("profile-{number}")));
        }
        acceptor
    });
    let dir = Some(base.path().join("nothing-is-started-here"));
    let browser = browser_with(Options { socket: Some(path.clone()), dir, loads_max: 1, ..Options::default() });
    let one = lease(&browser).await;
    assert!(one.process.pid().is_none() && one.process.build.starts_with("HeadlessChrome/"), "{:?}", one.process);
    let session = page(&one, HANGS).await;
    hung(&one, &session).await;
    // Worn: the next load is on another connection, the first one's browser ends.
    let two = lease(&browser).await;
    assert!(!Arc::ptr_eq(&one.process, &two.process));
    one.end().await;
    let session = page(&two, "x").await;
    let answer = two.connection().call(Some(&session), "Runtime.evaluate", json!({ "expression": "1 + 1" })).await;
    assert_eq!(answer.expect("an answer")["result"]["value"], 2);
    let mut acceptor = acceptor.join().expect("it does not panic");
    let ended = |child: &mut Child| matches!(child.try_wait(), Ok(Some(_)));
    until("the first browser ended", || ended(&mut acceptor.children[0])).await;
    assert!(!ended(&mut acceptor.children[1]));
    two.end().await;
    drop(browser);
    until("the second browser ended", || ended(&mut acceptor.children[1])).await;
}

fn kept_test() -> String {
    let (_, module) = module_path!().split_once("::").expect("a module of this crate");
    format!("{module}::a_browser_of_another_user_rests_at_the_agent_s_word_and_ends_with_it")
}

/// What a browser behind a socket has below its keeper, or is itself.
fn members(acceptor: &Acceptor) -> Vec<Member> {
    tree::tree(i32::try_from(acceptor.children[0].id()).expect("a number"))
}

/// Starts itself again as the program that keeps the browser.
#[test]
fn a_browser_of_another_user_rests_at_the_agent_s_word_and_ends_with_it() {
    if let Ok(words) = std::env::var(KEPT) {
        let words: Vec<std::ffi::OsString> = words.lines().map(Into::into).collect();
        let code = crate::keeper::keep(&words).expect("a browser");
        std::process::exit(code.into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for kept in [true, false] {
            let base = base();
            let path = base.path().join("browser.sock");
            let listener = UnixListener::bind(&path).expect("a socket");
            let profile = base.path().join("profile");
            let accept = std::thread::spawn(move || {
                let mut acceptor = Acceptor::default();
                acceptor.accept_by(&listener, &profile, kept);
                acceptor
            });
            let dir = Some(base.path().join("nothing-is-started-here"));
            let browser = browser_with(Options { socket: Some(path), dir, ..Options::default() });
            let lease = lease(&browser).await;
            let acceptor = accept.join().expect("it does not panic");
            let session = page(&lease, HANGS).await;
            hung(&lease, &session).await;
            assert!(lease.process.pid().is_none() && lease.process.rests());
            let mut throttled = lease.process.slow_down(SLOWEST).await;
            assert_eq!((throttled.is_some(), lease.process.rests()), (kept, kept), "nobody else may stop it");
            if let Some(throttled) = throttled.take() {
                let another = lease.process.slow_down(SLOWEST).await.expect("the same again");
                drop(throttled);
                let renderers: Vec<Member> = members(&acceptor).into_iter().filter(|member| member.renderer).collect();
                for _ in 0..5 {
                    until("it rests", || resting(&renderers)).await;
                    until("it works", || !resting(&renderers)).await;
                }
                drop(another);
                let mut worked = 0;
                until("it is let go on for good", || {
                    worked = if resting(&renderers) { 0 } else { worked + 1 };
                    worked > 20
                })
                .await;
            }
            let members = members(&acceptor);
            if kept {
                // It is ended while its page rests, and hangs itself.
                throttled = lease.process.slow_down(SLOWEST).await;
                until("it rests", || resting(&members)).await;
                let keeper = i32::try_from(acceptor.children[0].id()).expect("a number");
                members.iter().filter(|member| member.parent == keeper).for_each(|member| stop(member.pid));
            }
            browser.close().await;
            drop((lease, browser, throttled));
            if kept {
                all_gone(&members).await;
            }
        }
    });
}

/// A site whose pages are never loaded: each waits for a picture.
struct Endless {
    address: SocketAddr,
    waiting: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Endless {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let waiting = Arc::new(AtomicUsize::new(0));
        let (mut tasks, count) = (JoinSet::new(), waiting.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let count = count.clone();
                connections.spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    if head.starts_with(b"GET /never ") {
                        count.fetch_add(1, Ordering::Relaxed);
                        std::future::pending::<()>().await;
                    }
                    let body = "<h1>Words</h1><img src='/never'>";
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    drop(stream.write_all(answer.as_bytes()).await);
                });
            }
        });
        Self { address, waiting, _tasks: tasks }
    }
}

impl Gate for Endless {
    fn open<'a>(&'a self, _host: &'a str, _port: u16, _timeout_us: u64) -> BoxFuture<'a, Result<Dialled, Refusal>> {
        Box::pin(async move {
            let stream = TcpStream::connect(self.address).await.expect("it listens");
            Ok(Dialled { stream, address: self.address, dns_us: None, connect_us: 1 })
        })
    }
}

/// The kernel ends renderers of a unit that takes too much memory, and tells nobody: beside other pages that is no fault of the page that lost its own.
#[tokio::test]
async fn a_renderer_that_is_lost_beside_others_in_a_unit_is_repeated_and_alone_is_the_page_s_fault() {
    let base = base();
    let path = base.path().join("browser.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let profile = base.path().join("profile");
    let accept = std::thread::spawn(move || {
        let mut acceptor = Acceptor::default();
        acceptor.accept(&listener, &profile);
        acceptor
    });
    let dir = Some(base.path().join("nothing-is-started-here"));
    let browser = browser_with(Options { socket: Some(path), dir, ..Options::default() });
    lease(&browser).await.end().await;
    let acceptor = accept.join().expect("it does not panic");
    let root = i32::try_from(acceptor.children[0].id()).expect("a number");
    let site = Endless::start().await;
    let job = Job {
        url: format!("http://page.test:{}/", site.address.port()),
        profile: Profile::builtin("desktop").expect("built in").without_throttling(),
        interact: Vec::new(),
        consent: None,
        settle_us: 200_000,
        timeout_us: 120_000_000,
        insecure: false,
        screenshot: false,
    };
    let failed = async || {
        let seat = browser.seat(false).await;
        *browser.load(&seat, &job, &site).await.expect_err("its renderer is gone")
    };
    let lose = async |waiting: usize| {
        until("all pages wait", || site.waiting.load(Ordering::Relaxed) == waiting).await;
        tree::tree(root).iter().filter(|member| member.renderer).for_each(tree::kill);
    };
    let (alone, ()) = tokio::join!(failed(), lose(1));
    assert_eq!(alone.cause, Cause::RendererCrashed, "{alone:?}");
    let (one, two, ()) = tokio::join!(failed(), failed(), lose(3));
    for beside in [one, two] {
        assert_eq!((beside.cause, beside.load.low_confidence), (Cause::HostPressure, true), "{beside:?}");
        assert!(beside.detail.contains("while 2 loaded at once") && beside.detail.contains("MemoryMax="), "{beside:?}");
    }
    browser.close().await;
}

#[tokio::test]
async fn where_nobody_listens_the_browser_is_started_here_or_the_unit_is_named() {
    let base = base();
    let socket = Some(base.path().join("nobody.sock"));
    let dir = Some(base.path().to_owned());
    let here = browser_with(Options { socket: socket.clone(), dir: dir.clone(), ..Options::default() });
    let lease = lease(&here).await;
    assert!(lease.process.pid().is_some());
    lease.end().await;
    here.close().await;
    let program = Form::Program("/nonexistent".into());
    let nowhere = browser_with(Options { socket, dir, form: program, ..Options::default() });
    let failed = nowhere.inner.lease(NO_PROXY, 0).await.expect_err("no browser");
    assert!(failed.detail.contains("nobody.sock"), "{}", failed.detail);
    assert!(failed.detail.ends_with("systemctl enable --now sitepulse-browser.socket"), "{}", failed.detail);
}

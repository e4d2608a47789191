//! What the hostile servers cost: memory, and the schedule of a check that has nothing to do with them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use sitepulse_daemon::clock;
use sitepulse_model::check::CheckKind;
use sitepulse_model::record::ProbeState;
use sitepulse_probe::Probe;
use sitepulse_probe::tools::Tools;
use tokio::sync::oneshot;

/// Time between two runs of the well-behaved check.
const EVERY_US: u64 = 50_000;

/// Resident memory of this process, in bytes (proc(5), the second number of statm is in pages).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// The largest resident memory that this process ever had.
pub(crate) fn peak_kib() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").to_owned()
}

/// Watches the memory from a thread of its own, from when it is made.
pub(crate) struct Memory {
    before: usize,
    peak: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Memory {
    pub(crate) fn watch() -> Self {
        let before = resident();
        let peak = Arc::new(AtomicUsize::new(before));
        let over = Arc::new(AtomicBool::new(false));
        let (seen, end) = (peak.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                seen.fetch_max(resident(), Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_millis(5));
            }
        });
        Self { before, peak, over, thread }
    }

    /// By how much it grew at most, in bytes.
    pub(crate) fn grown(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().unwrap();
        self.peak.load(Ordering::Relaxed).max(resident()) - self.before
    }
}

/// A check of a good server, run on its schedule on the thread of the hostile ones.
pub(crate) struct Witness {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinSet<()>,
    lags: Arc<Mutex<Lags>>,
}

/// Processor time that this thread took so far (schedstat of proc(5): nanoseconds on the processor come first).
fn thread_us() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<u64>().unwrap() / 1000
}

/// How much processor time the thread spent from when each run was asked for, [`EVERY_US`] ahead, until its result was there.
#[derive(Default)]
pub(crate) struct Lags {
    us: Vec<u64>,
    failures: Vec<String>,
}

impl Witness {
    pub(crate) fn start(friend: SocketAddr, tools: Arc<Tools>) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let mut task = tokio::task::JoinSet::new();
        let kind = CheckKind::http(format!("http://{friend}/"));
        let probe = Probe::new(&super::assigned(kind, Duration::from_secs(10), &["body contains 'fine'"]));
        let lags = Arc::new(Mutex::new(Lags::default()));
        let noted = lags.clone();
        task.spawn(async move {
            loop {
                let (asked, due) = (thread_us(), clock::monotonic().plus_us(EVERY_US));
                tokio::select! {
                    _ = &mut stopped => return,
                    () = tokio::time::sleep_until(clock::tokio_instant(due)) => {}
                }
                let result = probe.run(super::a_run(), &tools).await;
                let mut lags = noted.lock().unwrap();
                lags.us.push(thread_us() - asked);
                if result.state != ProbeState::Up {
                    lags.failures.push(format!("{:?}: {}", result.state, result.detail));
                }
                drop(lags);
            }
        });
        Self { stop, task, lags }
    }

    pub(crate) async fn stop(self) -> Lags {
        self.stop.send(()).unwrap();
        self.task.join_all().await;
        std::mem::take(&mut *self.lags.lock().unwrap())
    }

    /// The largest lag from the run of number `from` on.
    pub(crate) fn worst_since(&self, from: usize) -> Duration {
        let lags = self.lags.lock().unwrap();
        Duration::from_micros(lags.us[from.min(lags.us.len())..].iter().max().copied().unwrap_or(0))
    }

    /// Runs so far.
    pub(crate) fn count(&self) -> usize {
        self.lags.lock().unwrap().count()
    }
}

impl Lags {
    pub(crate) fn count(&self) -> usize {
        self.us.len()
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.us.clone();
        sorted.sort_unstable();
        Duration::from_micros(sorted[(sorted.len() - 1) * percent / 100])
    }
}

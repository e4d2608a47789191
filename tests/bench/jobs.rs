//! What a job costs beside its work: asked for, leased, run and written down, in CPU of all threads.
//!
//!     cargo bench -p sitepulse-tests --bench jobs
//!
//! Jobs of the kind `noop`, on a disk with `synchronous=FULL`, by the collector's own runner. `SITEPULSE_BENCH_JOBS` sets how many (default 20,000). They are asked for one in a
//! transaction and a hundred in one; the goal is for both together with the run.

use std::time::Duration;

use sitepulse_collector::app::App;
use sitepulse_collector::jobs::{Ask, Kind, Setup, task};
use sitepulse_collector::store::jobs::Wanted;
use sitepulse_daemon::clock;
use sitepulse_daemon::task::TaskSet;
use sitepulse_model::job::{Priority, State};
use sitepulse_tests::usage::own_cpu_us;
use tokio::sync::watch;

const GOAL_US: f64 = 150.0;

fn main() {
    let jobs = std::env::var("SITEPULSE_BENCH_JOBS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("{jobs} jobs that do nothing; CPU of all threads per job, wall per job");
    for together in [1, 100] {
        runtime.block_on(measure(jobs, together));
    }
}

/// The CPU of the threads that live; threads for blocking work may end, so nothing is asked of them here.
async fn measure(jobs: usize, together: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let app = App::open_still(dir.path(), clock::now()).expect("a collector");
    let ask = |n: usize| Ask {
        key: None,
        priority: Priority::new((n * 7919 % 1_001) as u16),
        author: "collector:bench".into(),
        ..Ask::own(Kind::Noop)
    };
    let (cpu, wall) = (own_cpu_us(), clock::monotonic());
    for first in (0..jobs).step_by(together) {
        let asks: Vec<Ask> = (first..(first + together).min(jobs)).map(ask).collect();
        let asked = app.writer().run(move |engine| engine.enqueue(&asks, clock::now()).map(|asked| asked.len())).await;
        asked.expect("the writer runs").expect("the store writes");
    }
    let asking = per(jobs, own_cpu_us() - cpu, clock::monotonic().us_since(wall));

    let (stop, stopping) = watch::channel(false);
    let tasks = TaskSet::new();
    let (cpu, wall) = (own_cpu_us(), clock::monotonic());
    tasks.spawn("jobs", task::run(app.clone(), Setup::default(), tasks.clone(), stopping));
    while app.shared().jobs.fared().get(&Kind::Noop).is_none_or(|fared| fared.done < jobs as u64) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let running = per(jobs, own_cpu_us() - cpu, clock::monotonic().us_since(wall));
    let left = Wanted { state: Some(State::Waiting), kind: Some(Kind::Noop), after: None };
    let left = app.writer().run(move |engine| engine.jobs(&left, 10).map(|jobs| jobs.len())).await;
    assert_eq!(left.expect("the writer runs").expect("the store reads"), 0, "nothing is left");
    stop.send_replace(true);
    tasks.join_all(Duration::from_secs(10)).await.expect("the runner ends");
    app.close().await;

    let both = asking.0 + running.0;
    println!("asked for {together} in a transaction");
    println!("  asked for   {:8.1} us CPU {:8.1} us wall", asking.0, asking.1);
    println!("  run         {:8.1} us CPU {:8.1} us wall", running.0, running.1);
    println!("  together    {both:8.1} us CPU   goal <= {GOAL_US:.0}   ratio {:.2}", both / GOAL_US);
}

/// Of one job, in microseconds.
fn per(jobs: usize, cpu_us: u64, wall_us: u64) -> (f64, f64) {
    (cpu_us as f64 / jobs as f64, wall_us as f64 / jobs as f64)
}

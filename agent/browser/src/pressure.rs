//! Whether the host has the time to measure: pressure on its processors, and a small fixed computation.
//!
//! Linux tells for how much of the time some task waited for a processor (PSI). A page keeps processors busy by itself, and its own threads wait for
//! each other: alone on two processors a heavy page can make half of the time such time. That is what the page is like, and no reason to doubt
//! its figures. So the pressure that counts is the share of it that falls to others than the browser and this agent, as they have of the
//! processors' time; what a hypervisor gave to other machines is added, and what a quota on the agent's control group took, since nothing here could run meanwhile:
//!
//! `others = some x (busy - own) / busy + stolen + throttled`
//!
//! `own` is the processor time of the browser's processes, those included that ended, and of this one. Pages that load at once and share the processors cannot be told apart in it: for
//! them all of `some` counts ([`Host::shared`]). Where the kernel has no PSI, waiting is taken to begin
//! when half of the processors are busy. Where the browser's processes cannot be looked at, all pressure is
//! others'. Elsewhere than on Linux nothing is known, and nothing is doubted.
//!
//! A renderer that is stopped to slow it down ([`crate::throttle`]) waits for no processor: rest is in none of these figures.
//!
//! Reading all this takes a few milliseconds before and after a load, none within it.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::vitals::report::Host;

/// Most processes of a browser that are looked at.
const PROCESSES_MAX: usize = 512;
/// Where control groups are.
const CGROUPS: &str = "/sys/fs/cgroup";
/// Microseconds of a tick of `/proc/stat`.
const TICK_US: u64 = 10_000;

/// Loads under way, so that each can tell how much company it had.
#[derive(Debug, Clone, Default)]
pub(crate) struct Crowd(Arc<Mutex<Vec<(u64, u32)>>>);

impl Crowd {
    /// One more load; how many there are from here on is [`Member::most`].
    fn join(&self) -> Member {
        let mut all = self.all();
        let id = all.iter().map(|(id, _)| id + 1).max().unwrap_or(0);
        all.push((id, 0));
        let now = u32::try_from(all.len()).unwrap_or(u32::MAX);
        for (_, most) in all.iter_mut() {
            *most = now.max(*most);
        }
        drop(all);
        Member { crowd: self.clone(), id }
    }

    fn all(&self) -> MutexGuard<'_, Vec<(u64, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A load under way.
#[derive(Debug)]
struct Member {
    crowd: Crowd,
    id: u64,
}

impl Member {
    /// Most loads at once since it began, itself included.
    fn most(&self) -> u32 {
        self.crowd.all().iter().find(|(id, _)| *id == self.id).map_or(1, |(_, most)| *most)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.crowd.all().retain(|(id, _)| *id != self.id);
    }
}

/// The host around a load.
#[derive(Debug)]
pub(crate) struct Watch {
    member: Member,
    before: Sample,
    host: Host,
}

impl Watch {
    /// Begins now. The browser has taken so much processor time so far, in microseconds; `None` where that is not known.
    pub(crate) fn begin(crowd: &Crowd, browser_us: Option<u64>) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32);
        let pressure_before = fs::read_to_string("/proc/pressure/cpu").ok().and_then(|text| average(&text));
        let host = Host { pressure_before, cpus, benchmark_us: benchmark(), ..Host::default() };
        Self { member: crowd.join(), before: Sample::take(browser_us), host }
    }

    /// Ends now. Pages that share the processors are each other's others; a `heavy` one has processors of its own.
    pub(crate) fn end(self, browser_us: Option<u64>, heavy: bool) -> Host {
        let Pressure { during, others } = Sample::take(browser_us).since(&self.before);
        let parallel = self.member.most();
        let shared = !heavy && parallel > 1;
        Host { parallel, shared, pressure_during: during, pressure_others: others, ..self.host }
    }
}

/// Whether figures taken on this host are not to be graded: others than the page kept it from running for longer than `pressure_max`, in thousandths
/// of the time.
pub(crate) fn is_pressed(host: &Host, pressure_max: u32) -> bool {
    host.pressure_judged().is_some_and(|pressure| pressure > pressure_max)
}

/// Pressure between two samples, in thousandths of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Pressure {
    during: Option<u32>,
    others: Option<u32>,
}

/// What the kernel has counted so far.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Monotonic,
    /// Microseconds in which some task waited.
    waited_us: Option<u64>,
    processors: Option<Processors>,
    /// Microseconds of the browser's processes and of this one.
    own_us: Option<u64>,
    /// Microseconds for which a quota stopped this process's control group or one above it.
    throttled_us: u64,
}

/// Microseconds of all processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Processors {
    busy_us: u64,
    stolen_us: u64,
    all_us: u64,
}

impl Sample {
    fn take(browser_us: Option<u64>) -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        let own_us = browser_us.zip(process_us("self")).map(|(browser, this)| browser + this.alone);
        Self {
            at: clock::monotonic(),
            waited_us: read("/proc/pressure/cpu").and_then(|text| waited(&text)),
            processors: read("/proc/stat").and_then(|text| processors(&text)),
            own_us,
            throttled_us: read("/proc/self/cgroup").map_or(0, |text| throttled_within(Path::new(CGROUPS), &text)),
        }
    }

    fn since(&self, before: &Self) -> Pressure {
        let (Some(now), Some(then)) = (self.processors, before.processors) else { return Pressure::default() };
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let passed_us = self.at.us_since(before.at);
        let all_us = now.all_us.saturating_sub(then.all_us);
        let busy_us = now.busy_us.saturating_sub(then.busy_us);
        let some = match (self.waited_us, before.waited_us) {
            (Some(now), Some(then)) => share(now.saturating_sub(then), passed_us),
            (None, _) | (_, None) => 2.0 * share(busy_us, all_us) - 1.0,
        };
        let some = some.clamp(0.0, 1.0);
        let of_others = match (self.own_us, before.own_us) {
            (Some(now), Some(then)) => share(busy_us.saturating_sub(now.saturating_sub(then)), busy_us),
            (None, _) | (_, None) => 1.0,
        };
        let stolen = share(now.stolen_us.saturating_sub(then.stolen_us), all_us);
        let throttled = share(self.throttled_us.saturating_sub(before.throttled_us), passed_us);
        let thousandths = |share: f64| Some((share.clamp(0.0, 1.0) * 1e3).round() as u32);
        Pressure { during: thousandths(some), others: thousandths(some * of_others + stolen + throttled) }
    }
}

/// `total` of PSI's line `some`, in microseconds.
fn waited(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    line.split(' ').find_map(|word| word.strip_prefix("total="))?.parse().ok()
}

/// `avg10` of PSI's line `some`, in thousandths.
fn average(text: &str) -> Option<u32> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    let percent: f64 = line.split(' ').find_map(|word| word.strip_prefix("avg10="))?.parse().ok()?;
    Some((percent.clamp(0.0, 100.0) * 10.0).round() as u32)
}

/// The first line of `/proc/stat`.
fn processors(text: &str) -> Option<Processors> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Option<Vec<u64>> = line.split_whitespace().take(8).map(|ticks| ticks.parse().ok()).collect();
    let &[user, nice, system, idle, waiting, interrupts, soft_interrupts, stolen] = ticks?.as_slice() else {
        return None;
    };
    let busy = user + nice + system + interrupts + soft_interrupts;
    Some(Processors {
        busy_us: busy * TICK_US,
        stolen_us: stolen * TICK_US,
        all_us: (busy + idle + waiting + stolen) * TICK_US,
    })
}

/// What quotas took of a process whose `/proc/PID/cgroup` is `groups`, in microseconds; `root` is where control groups are.
fn throttled_within(root: &Path, groups: &str) -> u64 {
    let Some(group) = groups.lines().find_map(|line| line.strip_prefix("0::/")) else { return 0 };
    let group = root.join(group);
    let places = group.ancestors().take_while(|place| place.starts_with(root));
    places.filter_map(|place| throttled_of(&fs::read_to_string(place.join("cpu.stat")).ok()?)).sum()
}

/// Of a group's `cpu.stat`.
fn throttled_of(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("throttled_usec "))?.trim().parse().ok()
}

/// Processor time of a process: its own, and with that of its ended children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ProcessUs {
    alone: u64,
    with_ended: u64,
}

fn process_us(pid: &str) -> Option<ProcessUs> {
    of_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Of `/proc/PID/stat`.
fn of_stat(text: &str) -> Option<ProcessUs> {
    // The name, in brackets, may hold anything.
    let (_, fields) = text.rsplit_once(") ")?;
    let ticks: Option<Vec<u64>> = fields.split(' ').skip(11).take(4).map(|ticks| ticks.parse().ok()).collect();
    let &[user, system, ended_user, ended_system] = ticks?.as_slice() else { return None };
    let alone = (user + system) * TICK_US;
    Some(ProcessUs { alone, with_ended: alone + (ended_user + ended_system) * TICK_US })
}

/// Processor time of a process and all that come of it, those that ended included, in microseconds; `None` where they cannot be looked at.
pub(crate) fn tree_us(root: u32) -> Option<u64> {
    let mut left = vec![root];
    let mut seen = 0;
    let mut total = 0;
    while let Some(pid) = left.pop() {
        seen += 1;
        if seen > PROCESSES_MAX {
            return None;
        }
        match process_us(&pid.to_string()) {
            Some(us) => total += us.with_ended,
            None if pid == root => return None,
            // It ended just now; its parent has its time.
            None => continue,
        }
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            let children = match fs::read_to_string(thread.path().join("children")) {
                Ok(children) => children,
                // A thread that ended, or a kernel that does not tell.
                Err(_) if thread.path().exists() => return None,
                Err(_) => continue,
            };
            left.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    Some(total)
}

/// Rounds of the computation: about half a millisecond where processors are fast.
const ROUNDS: u64 = 200_000;

/// How long a fixed computation takes, in microseconds: the shortest of three times, for the first wakes the processor up.
fn benchmark() -> u64 {
    let once = || {
        let begin = clock::monotonic();
        let mut state = black_box(0x9e37_79b9_7f4a_7c15_u64);
        for round in 0..ROUNDS {
            state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb).wrapping_add(round);
        }
        black_box(state);
        clock::monotonic().us_since(begin)
    };
    (0..3).map(|_| once()).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_us: u64, waited_us: Option<u64>, busy_us: u64, stolen_us: u64, own_us: Option<u64>) -> Sample {
        // Two processors.
        let processors = Some(Processors { busy_us, stolen_us, all_us: 2 * at_us });
        Sample { at: Monotonic(at_us), waited_us, processors, own_us, throttled_us: 0 }
    }

    #[test]
    fn what_the_browser_itself_waits_for_is_no_pressure() {
        let before = sample(0, Some(0), 0, 0, Some(0));
        let alone = sample(1_000_000, Some(400_000), 1_600_000, 0, Some(1_590_000)).since(&before);
        assert_eq!(alone, Pressure { during: Some(400), others: Some(3) });
        let beside_two_loops = sample(1_000_000, Some(680_000), 2_000_000, 0, Some(600_000)).since(&before);
        assert_eq!(beside_two_loops, Pressure { during: Some(680), others: Some(476) });
        let many_processors_left = sample(1_000_000, Some(10_000), 1_000_000, 0, Some(100_000)).since(&before);
        assert_eq!(many_processors_left.others, Some(9), "others are busy, and nobody waits");
        let stolen = sample(1_000_000, Some(0), 1_000_000, 600_000, Some(1_000_000)).since(&before);
        assert_eq!(stolen.others, Some(300), "the hypervisor gave a third of two processors away");
    }

    #[test]
    fn without_psi_or_processes_less_is_known_and_more_is_doubted() {
        let before = sample(0, None, 0, 0, None);
        let calm = sample(1_000_000, None, 900_000, 0, None).since(&before);
        assert_eq!(calm, Pressure { during: Some(0), others: Some(0) });
        let busy = sample(1_000_000, None, 1_900_000, 0, None).since(&before);
        assert_eq!(busy, Pressure { during: Some(900), others: Some(900) });
        let nothing = Sample { processors: None, ..before };
        assert_eq!(nothing.since(&nothing), Pressure::default());
        assert!(!is_pressed(&Host::default(), 0), "what is not known is not held against the page");
        assert!(is_pressed(&Host { pressure_others: Some(251), ..Host::default() }, 250));
    }

    #[test]
    fn a_page_beside_others_is_pressed_by_them() {
        let crowd = Crowd::default();
        let beside = |loads: usize, heavy: bool| {
            let loads: Vec<Watch> = std::iter::repeat_with(|| Watch::begin(&crowd, None)).take(loads).collect();
            let hosts: Vec<Host> = loads.into_iter().map(|load| load.end(None, heavy)).collect();
            Host { pressure_during: Some(400), pressure_others: Some(10), ..hosts[0] }
        };
        assert!(!is_pressed(&beside(1, false), 250), "what it waits for alone is its own");
        assert!(is_pressed(&beside(2, false), 250), "whose it is nobody knows");
        assert!(!is_pressed(&beside(2, false), 400));
        assert!(!is_pressed(&beside(2, true), 250), "processors of its own");
    }

    #[test]
    fn a_quota_that_stops_the_agent_is_pressure_by_others() {
        let before = sample(0, Some(0), 0, 0, Some(0));
        let throttled = Sample { throttled_us: 300_000, ..sample(1_000_000, Some(0), 700_000, 0, Some(700_000)) };
        assert_eq!(throttled.since(&before), Pressure { during: Some(0), others: Some(300) });
        let stat = "usage_usec 9\nnr_periods 4\nnr_throttled 1\nthrottled_usec 1234\n";
        assert_eq!((throttled_of(stat), throttled_of("usage_usec 9\n")), (Some(1_234), None));
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a.slice/b.service")).unwrap();
        assert_eq!(throttled_within(dir.path(), "0::/a.slice/b.service\n"), 0);
        for place in ["a.slice", "a.slice/b.service"] {
            std::fs::write(dir.path().join(place).join("cpu.stat"), stat).unwrap();
        }
        assert_eq!(
            throttled_within(dir.path(), "1:name=x:/y\n0::/a.slice/b.service\n"),
            2_468,
            "either may have a quota"
        );
        assert_eq!(throttled_within(dir.path(), "4:cpu:/a.slice\n"), 0);
    }

    #[test]
    fn the_kernel_s_files_are_read() {
        let psi = "some avg10=12.34 avg60=1.37 avg300=2.66 total=6501546281\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!((waited(psi), average(psi)), (Some(6_501_546_281), Some(123)));
        let stat = "cpu  10 1 5 100 7 1 2 3 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        let read = Processors { busy_us: 190_000, stolen_us: 30_000, all_us: 1_290_000 };
        assert_eq!(processors(stat), Some(read));
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 50 10 6 4 20 0 1 0 100 1 1";
        assert_eq!(of_stat(stat), Some(ProcessUs { alone: 600_000, with_ended: 700_000 }));
        for bad in ["", "cpu", "cpu  1 2", "x"] {
            assert_eq!((waited(bad), processors(bad), of_stat(bad)), (None, None, None), "{bad}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_s_children_count_while_they_run_and_when_they_ended() {
        use std::io::BufRead as _;
        use std::process::{Command, Stdio};
        // A tree of its own: this process has children of other tests, which come and go.
        let loops = "sh -c 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done'; echo over; read end";
        let mut root = Command::new("sh");
        let mut root = root.args(["-c", loops]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let begin = clock::monotonic();
        while tree_us(root.id()).unwrap() < 2 * TICK_US {
            assert!(clock::monotonic().us_since(begin) < 60_000_000, "its time is not seen");
        }
        let mut over = String::new();
        std::io::BufReader::new(root.stdout.take().unwrap()).read_line(&mut over).unwrap();
        assert_eq!(over, "over\n");
        assert!(tree_us(root.id()).unwrap() >= 2 * TICK_US, "what ended counts");
        drop(root.stdin.take());
        root.wait().unwrap();
        assert_eq!(tree_us(u32::MAX), None);
    }

    #[test]
    fn a_load_tells_the_most_company_it_had() {
        let crowd = Crowd::default();
        let first = crowd.join();
        assert_eq!(first.most(), 1);
        let second = crowd.join();
        drop(second);
        let third = crowd.join();
        assert_eq!((first.most(), third.most()), (2, 2));
        drop((first, third));
        assert_eq!(crowd.join().most(), 1);
    }
}

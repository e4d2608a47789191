//! What a load of a page costs and whether its figures are right, beside Lighthouse 13 from npm: the same pages, the same Chromium, alternating in one run;
//! medians, told as ratios.
//!
//!     cargo bench -p sitepulse-tests --bench vitals -- [truth] [provided] [devtools] [memory] [rate] [flat] [hang]
//!
//! - `truth`: pages whose delays, shifts and tasks are known: how many loads say so, and what Lighthouse (`provided`) says
//! - `provided`: nothing slowed down, a desktop: processor time, wall time, LCP, CLS, TBT, for the light page and the heavy one
//! - `devtools`: a phone, processor and network slowed down by the browser
//! - `memory`: proportional set size of the browsers while they load (the sum over their processes, looked at each 50 ms; neither Node nor the agent's side), and of each
//!   further load at once
//! - `rate`: light loads a minute and core
//! - `flat`: memory over many loads, and how many browsers that took
//! - `hang`: how long after its deadline a page that hangs is gone
//!
//! Without a name: all of them, about an hour. Root only (control groups count what processes cost that have ended); Node with npm, chromium and
//! chromium-headless-shell must be installed. Figures are worth something on a quiet machine alone.
//! `SITEPULSE_BENCH_PAIRS` sets the number of pairs (default 9), `SITEPULSE_BENCH_LOADS` the loads of `flat` (1,000), `SITEPULSE_BENCH_S` the seconds of `rate`
//! (60), `SITEPULSE_LIGHTHOUSE` where Lighthouse is, or is to be installed.
//!
//! Ours is a child of this program that holds a warm browser, as an agent does; what its start costs is told apart. [`group`] counts, [`pages`] serves,
//! [`ours`] and [`lighthouse`] are the contenders.

mod group;
mod lighthouse;
mod ours;
mod pages;

use lighthouse::{Lighthouse, Run};
use ours::{Loads, Order, Ours};
use pages::Pages;
use sitepulse_daemon::clock;
use sitepulse_tests::usage::median;

const NAMES: [&str; 7] = ["truth", "provided", "devtools", "memory", "rate", "flat", "hang"];
const FORMS: [&str; 2] = ["shell", "full"];
const FIGURES: [(&str, f64, &str); 3] = [("LCP", 1e3, "ms"), ("CLS", 1e4, ""), ("TBT", 1e3, "ms")];

fn main() {
    // cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == "driver") {
        ours::driver(&words[1]);
        return;
    }
    if let Some(unknown) = words.iter().find(|word| !NAMES.contains(&word.as_str())) {
        eprintln!("{unknown:?} is no benchmark: use {}", NAMES.join(", "));
        std::process::exit(2);
    }
    if cfg!(debug_assertions) {
        println!("note: this is a debug build, its figures are for trying the benchmark out");
    }
    let pages = Pages::start();
    for name in NAMES.iter().filter(|name| words.is_empty() || words.iter().any(|word| word == *name)) {
        println!("\n== {name}");
        match *name {
            "truth" => truth(&pages),
            "provided" => contest(&pages, "provided"),
            "devtools" => contest(&pages, "devtools"),
            "memory" => memory(&pages),
            "rate" => rate(&pages),
            "flat" => flat(&pages),
            _ => hang(&pages),
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn order(url: &str) -> Order<'_> {
    Order { url, profile: "desktop", throttled: false, count: 1, parallel: 1, timeout_ms: 45_000 }
}

fn of(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().filter(|figure| figure.is_finite()).collect();
    if figures.is_empty() { f64::NAN } else { median(&mut figures) }
}

/// Ours in both forms and Lighthouse, one load each in turn.
fn contest(pages: &Pages, method: &str) {
    let lighthouse = Lighthouse::install();
    let mut ours = FORMS.map(|form| {
        let mut ours = Ours::start(form);
        let start = ours.load(order(&pages.url("light")));
        println!("{form:<22} first load, with the browser's start: {:.2} s of a processor", start.cpu_us as f64 / 1e6);
        ours
    });
    for page in ["light", "heavy"] {
        let url = pages.url(page);
        let (mut runs, mut loads): (Vec<Run>, [Vec<Loads>; 2]) = Default::default();
        let (profile, throttled) = if method == "provided" { ("desktop", false) } else { ("mobile", true) };
        let order = Order { profile, throttled, ..order(&url) };
        for _ in 0..setting("SITEPULSE_BENCH_PAIRS", 9) {
            for (ours, loads) in ours.iter_mut().zip(&mut loads) {
                loads.push(ours.load(order));
            }
            runs.push(lighthouse.run(&url, method));
        }
        let cpu = of(runs.iter().map(|run| run.cpu_us as f64));
        let wall = of(runs.iter().map(|run| run.wall_us as f64));
        let theirs = [0, 1, 2].map(|n| of(runs.iter().map(|run| run.figures[n])));
        let told = |figures: [f64; 3]| {
            let texts =
                FIGURES.iter().zip(figures).map(|((name, scale, unit), v)| format!("{name} {:.4} {unit}", v / scale));
            texts.collect::<Vec<_>>().join(", ")
        };
        println!("{page:<6} lighthouse      {:.2} s of a processor, {:.2} s, {}", cpu / 1e6, wall / 1e6, told(theirs));
        for (form, loads) in FORMS.iter().zip(&loads) {
            let our_cpu = of(loads.iter().map(|load| load.cpu_us as f64));
            let our_wall = of(loads.iter().map(|load| load.wall_us as f64));
            let figures = [0, 1, 2].map(|n| of(loads.iter().flat_map(|load| load.figures.iter().map(move |f| f[n]))));
            println!(
                "{page:<6} {form:<15} {:.3} s of a processor (1/{:.1}), {:.2} s (1/{:.1}), {}",
                our_cpu / 1e6,
                cpu / our_cpu,
                our_wall / 1e6,
                wall / our_wall,
                told(figures)
            );
            println!("{page:<6} {form:<15} minus lighthouse: {}", told([0, 1, 2].map(|n| figures[n] - theirs[n])));
            complain(loads);
        }
    }
}

/// Ours in both forms and Lighthouse on pages whose figures are known, one load each in turn.
fn truth(pages: &Pages) {
    let lighthouse = Lighthouse::install();
    let mut ours = FORMS.map(Ours::start);
    for ours in &mut ours {
        ours.load(order(&pages.url("light")));
    }
    let mut right = [(0, 0); 2];
    for (page, known) in pages::TRUTHS {
        let url = pages.url(page);
        let (name, scale, unit) = FIGURES[known.figure];
        let mut theirs: Vec<f64> = Vec::new();
        let mut said: [Vec<f64>; 2] = Default::default();
        for _ in 0..setting("SITEPULSE_BENCH_PAIRS", 9) {
            for (ours, said) in ours.iter_mut().zip(&mut said) {
                // As many as there is patience for: Lighthouse is what takes time.
                let loads = ours.load(Order { count: 5, ..order(&url) });
                said.extend(loads.figures.iter().map(|figures| figures[known.figure] / scale));
                complain(&[loads]);
            }
            theirs.push(lighthouse.run(&url, "provided").figures[known.figure] / scale);
        }
        let theirs = of(theirs);
        println!("{page:<13} {name} {} to {} {unit} known; lighthouse {theirs:.4} {unit}", known.from, known.to);
        for ((form, said), right) in FORMS.iter().zip(&said).zip(&mut right) {
            let within = said.iter().filter(|figure| (known.from..=known.to).contains(*figure)).count();
            *right = (right.0 + within, right.1 + said.len());
            let ours = of(said.iter().copied());
            println!(
                "{page:<13} {form:<15} {ours:.4} {unit}, {:+.4} beside lighthouse; {within} of {} within",
                ours - theirs,
                said.len()
            );
        }
    }
    for (form, (within, all)) in FORMS.iter().zip(right) {
        println!(
            "all           {form:<15} {within} of {all} within what is known ({:.1} %; goal >= 98)",
            100.0 * f64::from(within as u32) / f64::from(all as u32)
        );
    }
}

fn complain(loads: &[Loads]) {
    for failure in loads.iter().flat_map(|loads| &loads.failures) {
        println!("   failed: {failure}");
    }
}

/// The largest proportional set size seen until `done`, in MiB.
fn peak_mib(mut look: impl FnMut() -> u64, mut done: impl FnMut() -> bool) -> f64 {
    let mut peak = 0;
    while !done() {
        peak = peak.max(look());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    peak as f64 / 1024.0
}

fn memory(pages: &Pages) {
    let lighthouse = Lighthouse::install();
    let others = group::browsers();
    if others > 0 {
        println!(
            "note: {others} processes of other browsers share the program's pages with these: all figures of memory are too small"
        );
    }
    for page in ["light", "heavy"] {
        let url = pages.url(page);
        let theirs = of((0..3).map(|_| {
            let mut child = lighthouse.start(&url, "provided");
            peak_mib(|| lighthouse.group.browser_kib(), || child.try_wait().is_ok_and(|status| status.is_some()))
        }));
        println!("{page:<6} lighthouse      {theirs:.0} MiB at most");
        for form in FORMS {
            let mut first = f64::NAN;
            for parallel in [1, 2, 4] {
                let mut ours = Ours::start(form);
                ours.load(order(&url));
                let warm = ours.group.browser_kib() as f64 / 1024.0;
                let peak = of((0..3).map(|_| {
                    ours.order(Order { count: parallel, parallel, ..order(&url) });
                    let Ours { group, output, .. } = &mut ours;
                    // The answer is there when there is something to read.
                    let peak = std::thread::scope(|scope| {
                        let waits = scope.spawn(|| std::io::BufRead::fill_buf(output).map(|_| ()));
                        peak_mib(|| group.browser_kib(), || waits.is_finished())
                    });
                    complain(&[ours.done()]);
                    peak
                }));
                if parallel == 1 {
                    first = peak;
                    println!(
                        "{page:<6} {form:<15} {peak:.0} MiB at most (1/{:.1}), {warm:.0} MiB between loads",
                        theirs / peak
                    );
                } else {
                    let each = (peak - first) / (parallel - 1) as f64;
                    println!(
                        "{page:<6} {form:<15} {parallel} at once: {peak:.0} MiB at most, {each:.1} MiB for each further load"
                    );
                }
            }
        }
    }
}

fn rate(pages: &Pages) {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let url = pages.url("light");
    for form in FORMS {
        let mut ours = Ours::start(form);
        ours.load(order(&url));
        let begun = clock::monotonic();
        let (mut done, mut cpu_us, mut failed) = (0, 0, 0);
        while clock::monotonic().us_since(begun) < setting("SITEPULSE_BENCH_S", 60) * 1_000_000 {
            let loads = ours.load(Order { count: 8 * cpus, parallel: 2 * cpus, ..order(&url) });
            done += loads.figures.len();
            failed += loads.failures.len();
            cpu_us += loads.cpu_us;
            complain(&[loads]);
        }
        let minutes = clock::monotonic().us_since(begun) as f64 / 60e6;
        println!(
            "{form:<15} {:.1} light loads a minute and core ({done} in {minutes:.2} min on {cpus}, {failed} failed; {:.3} s of a processor each)",
            done as f64 / minutes / cpus as f64,
            cpu_us as f64 / 1e6 / done as f64
        );
    }
}

fn flat(pages: &Pages) {
    let (light, heavy) = (pages.url("light"), pages.url("heavy"));
    let loads = setting("SITEPULSE_BENCH_LOADS", 1_000);
    for form in FORMS {
        let mut ours = Ours::start(form);
        let mut done = 0;
        while done < loads {
            let count = 50.min(loads - done) as usize;
            let url = if done % 100 == 50 { &heavy } else { &light };
            let told = ours.load(Order { count, parallel: 4, ..order(url) });
            done += count as u64;
            let agent = sitepulse_tests::usage::rss_kib(ours.pid()) as f64 / 1024.0;
            let browser = ours.group.browser_kib() as f64 / 1024.0;
            println!(
                "{form:<15} after {done:>5} loads: browser {browser:.0} MiB (PSS), agent's side {agent:.1} MiB (RSS)"
            );
            complain(&[told]);
        }
    }
}

fn hang(pages: &Pages) {
    const TIMEOUT_MS: u64 = 3_000;
    let url = pages.url("hangs");
    for form in FORMS {
        let mut ours = Ours::start(form);
        ours.load(order(&pages.url("light")));
        let loads = (0..setting("SITEPULSE_BENCH_PAIRS", 9))
            .map(|_| ours.load(Order { timeout_ms: TIMEOUT_MS, ..order(&url) }))
            .collect::<Vec<_>>();
        let late = loads.iter().flat_map(|loads| &loads.each_us).map(|us| *us as f64 / 1e3 - TIMEOUT_MS as f64);
        let late: Vec<f64> = late.collect();
        let most = late.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        println!(
            "{form:<15} gone {:.0} ms after its deadline (median of {}), {most:.0} ms at most (goal <= 1000)",
            of(late.clone()),
            late.len()
        );
        let unlike = loads.iter().flat_map(|loads| &loads.failures).find(|text| !text.contains("answer"));
        if let Some(text) = loads.iter().flat_map(|loads| &loads.failures).next() {
            println!("{form:<15} told as: {text}{}", unlike.map_or(String::new(), |text| format!("; and: {text}")));
        }
    }
}

//! What each page is known to be.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use sitepulse_browser::{Failed, Job, Loaded};
use sitepulse_model::check::{DurationUs, Interact, SecretText};
use sitepulse_model::record::{Cause, Phase};
use sitepulse_model::vitals::profile::{Milli, Profile};
use sitepulse_model::vitals::report::{CpuThrottling, Ended, LargestPaint, Values};

use super::Lab;
use super::server::Loopback;

type Case = for<'a> fn(&'a Lab) -> BoxFuture<'a, ()>;

macro_rules! cases {
    ($($name:ident($lab:ident) $body:block)+) => {
        /// All of them.
        pub(crate) const ALL: &[(&str, Case)] = &[$((stringify!($name), |lab| Box::pin($name(lab)))),+];

        $(async fn $name($lab: &Lab) $body)+
    };
}

const MS: u64 = 1_000;
/// The block of the shifting pages: half the width, a fifth of the height, moved by a fifth of the height of 940, in a width of 1350.
const SHIFT: f64 = 0.5 * 0.4 * (0.2 * 940.0 / 1350.0) * 10_000.0;

fn paint(loaded: &Loaded) -> &LargestPaint {
    loaded.attribution.lcp.as_ref().expect("a largest paint")
}

/// Within two ten-thousandths: coordinates are whole pixels.
fn is_about(cls: Option<u64>, expected: f64) -> bool {
    cls.is_some_and(|cls| (cls as f64 - expected).abs() <= 20.0)
}

fn why(failed: &Failed) -> (Cause, Phase) {
    assert_eq!(failed.load.values, Values::default(), "nothing is graded of what failed: {failed:?}");
    assert_eq!(failed.load.ended, Ended::Failed);
    assert!(!failed.detail.is_empty() && !failed.detail.contains('\n'), "{failed:?}");
    (failed.cause, failed.phase)
}

fn click(selector: &str) -> Interact {
    Interact::Click(selector.to_owned())
}

/// A processor four times as slow, and nothing else.
fn slowed(lab: &Lab, path: &str) -> Job {
    let job = lab.job(path);
    Job { profile: Profile { cpu: Milli(4_000), ..job.profile }, ..job }
}

/// What a page told of a key: the last number.
fn told(lab: &Lab, key: &str) -> Option<f64> {
    lab.server.told().iter().rev().find_map(|told| told.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

async fn wait_to_be_told(lab: &Lab, key: &str) -> f64 {
    loop {
        if let Some(number) = told(lab, key) {
            return number;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// How long the main thread of each renderer was on a processor, in milliseconds.
fn main_threads_ms() -> BTreeMap<u32, f64> {
    let ran_ms = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat")).ok()?;
        Some((pid, text.split(' ').next()?.parse::<f64>().ok()? / 1e6))
    };
    renderers().into_iter().filter_map(ran_ms).collect()
}

/// What the page itself saw of its tasks, in milliseconds.
fn blocked(lab: &Lab) -> f64 {
    lab.server.told().iter().filter_map(|told| told.strip_prefix("blocked=")?.parse::<f64>().ok()).sum()
}

/// The fields of `/proc/PID/stat` from the state on.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

/// What this test's browser is made of, by number.
fn processes() -> Vec<u32> {
    let parent_of = |pid: u32| -> Option<u32> { stat(pid)?[1].parse().ok() };
    let ours = |pid: &u32| {
        let mut above = std::iter::successors(Some(*pid), |&pid| parent_of(pid)).skip(1);
        above.any(|pid| pid == std::process::id())
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(ours).collect()
}

fn command_line(pid: u32) -> String {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).into_owned()
}

/// Its renderers.
fn renderers() -> Vec<u32> {
    processes().into_iter().filter(|pid| command_line(*pid).contains("--type=renderer")).collect()
}

/// How many browsers there are.
fn browsers() -> usize {
    let is_browser = |line: &String| line.contains("--remote-debugging-pipe") && !line.contains("--type=");
    processes().into_iter().map(command_line).filter(is_browser).count()
}

/// Processor time of all of it, in seconds: that of what ended included.
fn processor_s() -> f64 {
    let ticks = |pid: u32| -> u64 {
        stat(pid).map_or(0, |stat| stat[11..15].iter().flat_map(|ticks| ticks.parse::<u64>()).sum())
    };
    processes().into_iter().map(ticks).sum::<u64>() as f64 / 100.0
}

/// Waits until nothing of the browser is stopped: what was held back goes on or has ended.
async fn nothing_is_stopped() {
    let stopped = || renderers().into_iter().filter_map(stat).any(|stat| stat[0] == "T");
    for _ in 0..100 {
        if !stopped() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("a renderer is stopped for good");
}

cases! {
    text(lab) {
        let loaded = lab.good(&lab.job("/text")).await;
        let values = loaded.load.values;
        assert_eq!(paint(&loaded).element, "html > body > h1");
        assert!(paint(&loaded).url.is_empty() && paint(&loaded).area > 0);
        assert!(values.lcp >= values.fcp && values.fcp >= values.ttfb && values.ttfb > Some(0), "{values:?}");
        assert_eq!((values.cls, values.inp, loaded.load.ended), (Some(0), None, Ended::Quiet));
        assert!(loaded.load.observed_us >= 700 * MS);
        assert_eq!((loaded.page.status, loaded.page.requests, loaded.page.failed_requests), (Some(200), 1, 0));
        assert_eq!(loaded.page.protocol, "http/1.1");
        assert_eq!(loaded.address, Some(lab.server.address));
        assert!(loaded.page.bytes > 100);
        assert_eq!((loaded.phases.dns, loaded.phases.connect), (Some(1_500), Some(700)));
    }

    late_image(lab) {
        let loaded = lab.good(&lab.job("/late-image")).await;
        let lcp = loaded.load.values.lcp.unwrap();
        assert!(lcp >= 600 * MS, "{loaded:?}");
        // It is painted soon after it is there; the load event comes when it is there.
        assert!(lcp <= loaded.phases.total.unwrap() + 2_000 * MS, "{loaded:?}");
        let paint = paint(&loaded);
        assert!(paint.element.ends_with("img#hero") && paint.url.ends_with("/picture?600"), "{paint:?}");
        assert_eq!(paint.area, 60_000);
        assert!(paint.load_us >= Some(590 * MS), "{paint:?}");
        let parts = [paint.load_delay_us, paint.load_us, paint.render_delay_us, loaded.load.values.ttfb];
        assert_eq!(parts.into_iter().flatten().sum::<u64>(), lcp, "the parts make all of it");
    }

    cached_image(lab) {
        let loaded = lab.good(&lab.job("/cached-image")).await;
        let lcp = loaded.load.values.lcp.unwrap();
        assert!(lcp >= 400 * MS, "{loaded:?}");
        assert!(paint(&loaded).element.ends_with("img#hero"), "{loaded:?}");
        assert!(loaded.load.values.fcp.unwrap() < lcp, "{loaded:?}");
        assert_eq!(loaded.page.requests, 2, "the second comes from the cache: {loaded:?}");
    }

    late_text(lab) {
        let loaded = lab.good(&lab.job("/late-text")).await;
        assert!(loaded.load.values.lcp.unwrap() >= 400 * MS, "{loaded:?}");
        assert!(paint(&loaded).element.ends_with("h1"), "{loaded:?}");
        assert_eq!(loaded.load.values.cls, Some(0));
    }

    overlay(lab) {
        let loaded = lab.good(&lab.job("/overlay")).await;
        let values = loaded.load.values;
        assert!(values.lcp.unwrap() >= values.fcp.unwrap() + 400 * MS, "{loaded:?}");
        assert!(paint(&loaded).element.contains("#cover"), "{loaded:?}");
    }

    single_shift(lab) {
        let loaded = lab.good(&lab.job("/shift")).await;
        assert!(is_about(loaded.load.values.cls, SHIFT), "{SHIFT}: {loaded:?}");
        assert_eq!(loaded.attribution.shifts.len(), 1);
        assert_eq!(loaded.attribution.shifts[0].sources, ["div#block"]);
    }

    late_shift(lab) {
        let job = lab.job("/late-shift");
        let loaded = lab.good(&Job { settle_us: 3_000 * MS, ..job }).await;
        assert!(is_about(loaded.load.values.cls, SHIFT), "{loaded:?}");
        assert!(loaded.attribution.shifts[0].at_us >= 900 * MS);
        assert!(loaded.load.observed_us >= 3_900 * MS, "a shift begins the wait anew: {loaded:?}");
    }

    session_shifts(lab) {
        let job = lab.job("/session-shifts");
        let loaded = lab.good(&Job { settle_us: 4_000 * MS, ..job }).await;
        assert_eq!(loaded.attribution.shifts.len(), 3, "{loaded:?}");
        assert!(is_about(loaded.load.values.cls, 2.0 * SHIFT), "{loaded:?}");
    }

    long_tasks(lab) {
        let loaded = lab.good(&lab.job("/long-tasks")).await;
        let tbt = loaded.load.values.tbt.unwrap();
        assert!(tbt >= 270 * MS, "{loaded:?}");
        let seen = blocked(lab);
        assert!(seen >= 270.0, "{:?}", lab.server.told());
        assert!((tbt as f64 / 1e3 - seen).abs() < 3.0, "{tbt} {:?}", lab.server.told());
    }

    work_takes_longer_on_a_slower_processor(lab) {
        let slowed = slowed(lab, "/work");
        for (job, factor, way) in [(lab.job("/work"), 0.9..3.0, None), (slowed, 3.4..7.0, Some(CpuThrottling::Rest))] {
            lab.server.forget();
            let watch = async {
                lab.server.wait_for("works").await;
                let before = main_threads_ms();
                let took_ms = wait_to_be_told(lab, "work").await;
                let worked_ms = main_threads_ms().into_iter().map(|(pid, ms)| ms - before.get(&pid).copied().unwrap_or(ms));
                (took_ms, worked_ms.fold(0.0, f64::max))
            };
            let (loaded, (took_ms, worked_ms)) = tokio::join!(lab.good(&job), watch);
            println!("work of {worked_ms} ms took {took_ms} ms");
            assert_eq!(loaded.load.cpu_throttling, way);
            // What waits for a processor is not slowed down besides.
            assert!(factor.contains(&(took_ms / worked_ms)), "{worked_ms} {took_ms} {loaded:?}");
            let (tbt, seen) = (loaded.load.values.tbt.unwrap(), blocked(lab));
            // Whole milliseconds of each task.
            assert!(seen >= took_ms - 7.0 * 51.0 && (tbt as f64 / 1e3 - seen).abs() < 3.0, "{tbt} {seen} {took_ms}");
        }
        nothing_is_stopped().await;
    }

    waiting_takes_as_long_on_a_slower_processor_and_costs_nothing(lab) {
        let watch = async {
            lab.server.wait_for("waits").await;
            let (begun, before) = (sitepulse_daemon::clock::monotonic(), processor_s());
            wait_to_be_told(lab, "waited").await;
            let spent_s = processor_s() - before;
            (spent_s, sitepulse_daemon::clock::monotonic().since(begun).as_secs_f64())
        };
        let job = slowed(lab, "/waits");
        let (loaded, (spent_s, passed_s)) = tokio::join!(lab.good(&job), watch);
        let waited_ms = told(lab, "waited").unwrap();
        println!("waits: {spent_s} s of a processor in {passed_s} s, {waited_ms} ms");
        assert!((3_000.0..4_500.0).contains(&waited_ms), "{waited_ms} {loaded:?}");
        // Chromium's own way burns three quarters of it.
        assert!(passed_s >= 2.9 && spent_s < 0.25 * passed_s, "{spent_s} s of a processor in {passed_s} s");
    }

    a_page_beside_a_slower_one_has_another_browser(lab) {
        let load = async |job: &Job| {
            let seat = lab.browser.seat(false).await;
            lab.browser.load(&seat, job, &Loopback(lab.server.address)).await.unwrap()
        };
        let (slow, fast) = (slowed(lab, "/waits"), lab.job("/text"));
        load(&slow).await;
        lab.server.forget();
        assert_eq!(browsers(), 1);
        let beside = async {
            lab.server.wait_for("waits").await;
            load(&fast).await;
            assert_eq!(told(lab, "waited"), None, "it overlaps");
        };
        tokio::join!(load(&slow), beside);
        assert_eq!(browsers(), 2);
        load(&fast).await;
        assert_eq!(browsers(), 2);
        lab.browser.close().await;
        assert_eq!(browsers(), 0);
    }

    tasks_before_the_first_paint_do_not_block(lab) {
        let loaded = lab.good(&lab.job("/task-before-paint")).await;
        let values = loaded.load.values;
        assert!(values.fcp.unwrap() >= 300 * MS, "{loaded:?}");
        assert!(values.tbt.unwrap() < 250 * MS, "{loaded:?}");
    }

    slow_first_byte(lab) {
        let loaded = lab.good(&lab.job("/slow-first-byte")).await;
        assert!(loaded.load.values.ttfb.unwrap() >= 700 * MS, "{loaded:?}");
        let ttfb = loaded.attribution.ttfb.as_ref().unwrap();
        assert!(ttfb.wait_us >= 690 * MS && ttfb.redirect_us == 0, "{ttfb:?}");
        assert_eq!((ttfb.dns_us, ttfb.connect_us), (1_500, 700));
        assert!(loaded.phases.first_byte.unwrap() >= 690 * MS);
    }

    redirects(lab) {
        let loaded = lab.good(&lab.job("/redirect")).await;
        assert_eq!(loaded.page.url, lab.url("page.test", "/text"));
        assert!(loaded.load.values.ttfb.unwrap() >= 600 * MS, "{loaded:?}");
        assert!(loaded.attribution.ttfb.as_ref().unwrap().redirect_us >= 600 * MS, "{loaded:?}");
        assert_eq!(loaded.page.requests, 3);
    }

    redirects_without_end(lab) {
        for path in ["/redirect-loop", "/redirects?10"] {
            let failed = lab.bad(&lab.job(path)).await;
            assert_eq!(why(&failed), (Cause::RedirectFailed, Phase::FirstByte), "{failed:?}");
            assert!(failed.detail.contains("more than 10 times"), "{failed:?}");
        }
        let loaded = lab.good(&lab.job("/redirects?9")).await;
        assert_eq!(loaded.page.requests, 11, "ten are followed: {loaded:?}");
    }

    blocking_handler(lab) {
        let job = Job { interact: vec![click("#blocking")], ..lab.job("/handlers") };
        let loaded = lab.good(&job).await;
        let inp = loaded.load.values.inp.unwrap();
        assert!(inp >= 600 * MS, "{loaded:?}");
        let slowest = &loaded.attribution.interactions[0];
        assert_eq!(slowest.duration_us, inp);
        assert!(slowest.processing_us >= 599 * MS, "{slowest:?}");
        assert_eq!((slowest.action.as_str(), slowest.target.contains("#blocking")), ("click #blocking", true));
        assert_eq!(slowest.input_delay_us + slowest.processing_us + slowest.presentation_us, inp);
        // Frozen before.
        assert!(loaded.load.values.tbt.unwrap() < 550 * MS, "{loaded:?}");
    }

    waiting_handler(lab) {
        let job = Job { interact: vec![click("#waiting")], ..lab.job("/handlers") };
        let loaded = lab.good(&job).await;
        assert!(loaded.load.values.inp.unwrap() < 2_000 * MS, "what it fetches is not what it answers: {loaded:?}");
        assert!(loaded.load.observed_us >= 2_500 * MS, "but it is waited for: {loaded:?}");
    }

    typing(lab) {
        let interact = vec![
            Interact::Type("#field".to_owned(), SecretText("aB 9ü".to_owned())),
            Interact::Press("Enter".to_owned()),
            Interact::Scroll(100),
            Interact::Wait(DurationUs(100 * MS)),
        ];
        let loaded = lab.good(&Job { interact, ..lab.job("/handlers") }).await;
        assert!(loaded.load.values.inp.is_some(), "{loaded:?}");
        let told = lab.server.told();
        assert!(told.iter().any(|told| told == "typed=aB%209%C3%BC&trusted=true"), "{told:?}");
        assert!(told.iter().any(|told| told == "entered"), "{told:?}");
        assert!(!format!("{loaded:?}").contains("aB 9"), "what is typed is told to nobody");
    }

    interactions_that_find_nothing(lab) {
        for (path, interact, said) in [
            ("/handlers", click("#nothing"), "#nothing is not there"),
            ("/handlers", click("##"), "interact 1 (click ##)"),
            ("/handlers", Interact::Press("Anykey".to_owned()), "no key is called Anykey"),
            ("/covered", click("#below"), "covered by"),
        ] {
            let job = Job { interact: vec![interact], timeout_us: 10_000 * MS, ..lab.job(path) };
            let failed = lab.bad(&job).await;
            assert_eq!(why(&failed).0, Cause::InteractionFailed, "{failed:?}");
            assert!(failed.detail.contains(said), "{failed:?}");
        }
    }

    consent(lab) {
        let job = Job {
            consent: Some(click("#accept")),
            settle_us: 2_000 * MS,
            ..lab.job("/consent")
        };
        let loaded = lab.good(&job).await;
        assert_eq!(loaded.page.consent, Some(true));
        assert_eq!(lab.server.told(), ["consent"]);
        let values = loaded.load.values;
        assert_eq!((values.cls, values.inp), (Some(0), None), "what consent moves is not counted: {loaded:?}");
        assert!(values.lcp.unwrap() >= 1_200 * MS, "what is painted after it is: {loaded:?}");
        assert!(paint(&loaded).element.ends_with("h1"), "{loaded:?}");
        let none = Job { consent: Some(click("#nothing")), ..lab.job("/text") };
        assert_eq!(lab.good(&none).await.page.consent, Some(false));
    }

    consent_that_nobody_can_give_hides_no_shifts(lab) {
        let of = |path| Job { consent: Some(click("#accept")), settle_us: 1_500 * MS, ..lab.job(path) };
        let loaded = lab.good(&of("/transparent-consent")).await;
        assert_eq!((loaded.page.consent, lab.server.told().len()), (Some(false), 0), "{loaded:?}");
        assert!(is_about(loaded.load.values.cls, SHIFT), "{loaded:?}");
        let loaded = lab.good(&of("/deaf-consent")).await;
        assert!((1..=2).contains(&lab.server.told().len()), "{:?}", lab.server.told());
        assert_eq!(loaded.page.consent, Some(true));
        lab.server.forget();
        lab.good(&of("/changing-consent")).await;
        assert_eq!(lab.server.told(), ["consent"], "once is enough");
    }

    consent_that_loads_the_page_anew(lab) {
        let of = |path| sitepulse_browser::Job { consent: Some(click("#accept")), ..lab.job(path) };
        let loaded = lab.good(&of("/reloading-consent")).await;
        let told = lab.server.told();
        // In the first window the document may come so far, too.
        assert!(told[0] == "without" && (2..=3).contains(&told.len()) && told[1..].iter().all(|told| told == "with"), "{told:?}");
        assert_eq!(loaded.page.consent, Some(true));
        // Of the page after consent alone, and nothing of it from the cache.
        assert_eq!(loaded.page.requests, 3, "document, picture, what it tells: {loaded:?}");
        assert!(loaded.load.values.lcp.unwrap() >= 500 * MS && loaded.page.bytes > 180_000, "{loaded:?}");
        assert!(paint(&loaded).element.ends_with("img#hero"), "{loaded:?}");
        lab.server.forget();
        let failed = lab.bad(&of("/always-reloading-consent")).await;
        assert_eq!(why(&failed).0, Cause::NavigatedAway, "{failed:?}");
        assert!(failed.detail.contains("it reloaded itself") && failed.detail.ends_with("check it without"), "{failed:?}");
        let told = lab.server.told();
        assert!(told.len() <= 2, "no third time: {told:?}");
        let failed = lab.bad(&of("/leaving-consent")).await;
        assert_eq!(why(&failed).0, Cause::NavigatedAway, "{failed:?}");
        assert!(!failed.detail.contains("check it without"), "another address is another page: {failed:?}");
    }

    error_statuses(lab) {
        for (path, status) in [("/error-500", 500), ("/error-404-empty", 404), ("/error-401", 401)] {
            let job = Job { screenshot: true, ..lab.job(path) };
            let failed = lab.bad(&job).await;
            assert_eq!(why(&failed), (Cause::HttpStatus, Phase::FirstByte), "{failed:?}");
            assert_eq!(failed.page.status, Some(status), "{failed:?}");
            if status == 500 {
                let picture = failed.screenshot.unwrap();
                assert!(picture.starts_with(&[0xff, 0xd8, 0xff]) && picture.len() <= 70_000);
            }
        }
    }

    broken_connections(lab) {
        let failed = lab.bad(&lab.job("/reset")).await;
        assert_eq!(why(&failed), (Cause::ConnectionReset, Phase::FirstByte), "{failed:?}");
        let failed = lab.bad(&lab.job("/reset-inside")).await;
        assert_eq!(why(&failed), (Cause::ConnectionReset, Phase::Transfer), "{failed:?}");
        let failed = lab.bad(&lab.job("/not-http")).await;
        assert_eq!(why(&failed).0, Cause::ProtocolError, "{failed:?}");
    }

    hosts_that_are_not_reached(lab) {
        for (host, cause, phase) in [
            ("denied.test", Cause::PolicyRefused, Phase::Connect),
            ("nowhere.test", Cause::DnsFailed, Phase::Dns),
            ("closed.test", Cause::ConnectionRefused, Phase::Connect),
        ] {
            let failed = lab.bad(&Job { url: lab.url(host, "/"), ..lab.job("/") }).await;
            assert_eq!(why(&failed), (cause, phase), "{failed:?}");
            assert!(failed.detail.contains(": "), "{failed:?}");
        }
    }

    certificates(lab) {
        let url = lab.url("page.test", "/text").replace("http:", "https:");
        let job = Job { url, ..lab.job("/") };
        let failed = lab.bad(&job).await;
        assert_eq!(why(&failed), (Cause::CertificateInvalid, Phase::Tls), "{failed:?}");
        let loaded = lab.good(&Job { insecure: true, ..job }).await;
        assert!(loaded.load.values.lcp.is_some() && loaded.phases.tls > Some(0), "{loaded:?}");
        assert!(loaded.attribution.ttfb.as_ref().unwrap().tls_us > 0, "{loaded:?}");
    }

    not_pages(lab) {
        for path in ["/download", "/pdf", "/json", "/no-content"] {
            let failed = lab.bad(&lab.job(path)).await;
            assert_eq!(why(&failed).0, Cause::NotAPage, "{path}: {failed:?}");
        }
    }

    timeouts(lab) {
        for (path, phase) in [("/silent", Phase::FirstByte), ("/drip", Phase::Transfer), ("/never-loaded", Phase::Total)] {
            let failed = lab.bad(&Job { timeout_us: 8_000 * MS, ..lab.job(path) }).await;
            assert_eq!(why(&failed), (Cause::Timeout, phase), "{path}: {failed:?}");
        }
    }

    hangs(lab) {
        for path in ["/hang", "/hang-later"] {
            let begun = std::time::Duration::from_micros(sitepulse_daemon::clock::monotonic().0);
            let failed = lab.bad(&Job { timeout_us: 8_000 * MS, ..lab.job(path) }).await;
            assert_eq!(why(&failed).0, Cause::Unresponsive, "{path}: {failed:?}");
            let took = std::time::Duration::from_micros(sitepulse_daemon::clock::monotonic().0) - begun;
            assert!(took.as_secs() < 30, "{path}: {took:?}");
            // The browser goes on.
            lab.good(&lab.job("/text")).await;
        }
    }

    hangs_on_a_slower_processor(lab) {
        lab.good(&slowed(lab, "/text")).await;
        for path in ["/hang", "/hang-later"] {
            let begun = sitepulse_daemon::clock::monotonic();
            let failed = lab.bad(&Job { timeout_us: 5_000 * MS, ..slowed(lab, path) }).await;
            assert_eq!(why(&failed).0, Cause::Unresponsive, "{path}: {failed:?}");
            let took = sitepulse_daemon::clock::monotonic().since(begun);
            println!("{path}: freed after {took:?}");
            // The full browser gives it half a second.
            assert!(took.as_secs_f64() < 6.5, "{path}: {took:?}");
            nothing_is_stopped().await;
            lab.good(&slowed(lab, "/text")).await;
        }
    }

    a_renderer_that_crashes(lab) {
        for job in [lab.job("/crash"), slowed(lab, "/crash-at-work")] {
            lab.server.forget();
            let kill = async {
                lab.server.wait_for("here").await;
                for pid in renderers() {
                    std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
                }
            };
            let (failed, ()) = tokio::join!(lab.bad(&job), kill);
            assert_eq!(why(&failed).0, Cause::RendererCrashed, "{failed:?}");
            lab.good(&lab.job("/text")).await;
        }
    }

    downloads(lab) {
        let loaded = lab.good(&lab.job("/downloads")).await;
        assert_eq!(loaded.page.downloads, 1, "{loaded:?}");
    }

    dialogs(lab) {
        let loaded = lab.good(&lab.job("/dialogs")).await;
        assert_eq!(loaded.page.dialogs, 4, "{loaded:?}");
        assert_eq!(lab.server.told(), ["alerted"]);
    }

    pages_that_go_elsewhere(lab) {
        for (path, said) in [("/meta-refresh", "a meta refresh"), ("/goes-away", "by a script")] {
            let failed = lab.bad(&lab.job(path)).await;
            assert_eq!(why(&failed).0, Cause::NavigatedAway, "{path}: {failed:?}");
            assert!(failed.detail.contains(said) && failed.detail.contains("/text"), "{failed:?}");
        }
        let loaded = lab.good(&lab.job("/moves-within")).await;
        assert!(loaded.load.values.lcp.is_some());
    }

    pages_that_stop_or_leave_while_they_come(lab) {
        let failed = lab.bad(&lab.job("/goes-while-it-comes")).await;
        assert_eq!(why(&failed).0, Cause::NavigatedAway, "{failed:?}");
        assert!(failed.detail.contains("/text"), "{failed:?}");
        for path in ["/stops-while-it-comes", "/stops-at-once"] {
            let loaded = lab.good(&lab.job(path)).await;
            assert!(loaded.load.values.lcp.is_some() && loaded.load.ended == Ended::Quiet, "{loaded:?}");
        }
    }

    pages_that_go_where_they_may_not(lab) {
        for way in ["meta", "form", "script"] {
            for to in [lab.url("denied.test", "/x"), lab.url("nowhere.test", "/x")] {
                let failed = lab.bad(&lab.job(&format!("/goes-by?{way},{to}"))).await;
                assert_eq!(why(&failed).0, Cause::NavigatedAway, "{way} {to}: {failed:?}");
                assert!(failed.detail.contains(&to), "{way}: {failed:?}");
                assert_eq!(failed.detail.contains("policy refuses"), to.contains("denied"), "{failed:?}");
                assert!(failed.load.observed_us < 50_000 * MS, "at once: {failed:?}");
            }
            for to in ["file:///etc/passwd", "chrome://version/"] {
                // Browsers may refuse.
                match lab.load(&lab.job(&format!("/goes-by?{way},{to}"))).await {
                    Ok(loaded) => {
                        println!("{way} {to}: stays");
                        assert!(loaded.load.values.fcp.is_some(), "{way} {to}: {loaded:?}");
                    }
                    Err(failed) => {
                        println!("{way} {to}: {}", failed.detail);
                        assert_eq!(why(&failed).0, Cause::NavigatedAway, "{way} {to}: {failed:?}");
                        assert!(failed.load.observed_us < 50_000 * MS, "at once: {failed:?}");
                    }
                }
            }
        }
    }

    popups(lab) {
        let loaded = lab.good(&lab.job("/popup")).await;
        assert!(loaded.page.popups >= 1, "{loaded:?}");
    }

    windows_that_close_themselves(lab) {
        // Browsers may refuse.
        match lab.load(&lab.job("/closes")).await {
            Ok(loaded) => assert!(loaded.load.values.lcp.is_some(), "{loaded:?}"),
            Err(failed) => assert_eq!(why(&failed).0, Cause::NavigatedAway, "{failed:?}"),
        }
    }

    pages_without_rest(lab) {
        let loaded = lab.good(&Job { timeout_us: 8_000 * MS, ..lab.job("/never-quiet") }).await;
        assert_eq!(loaded.load.ended, Ended::Deadline);
        assert!(loaded.load.values.lcp.is_some() && loaded.load.observed_us >= 1_500 * MS, "{loaded:?}");
        let loaded = lab.good(&lab.job("/streams")).await;
        assert_eq!(loaded.load.ended, Ended::Quiet, "{loaded:?}");
    }

    errors_of_scripts(lab) {
        let loaded = lab.good(&lab.job("/errors")).await;
        assert_eq!(loaded.page.js_errors, 3, "{loaded:?}");
        let texts = loaded.page.js_error_texts.join("\n");
        assert!(texts.contains("boom") && texts.contains("unkept") && texts.contains("nothing"), "{texts}");
    }

    failed_requests(lab) {
        let loaded = lab.good(&lab.job("/failed-requests")).await;
        assert_eq!(loaded.page.failed_requests, 3, "{loaded:?}");
        assert_eq!(loaded.page.refused, ["denied.test"]);
        assert!(loaded.load.values.lcp.is_some());
    }

    a_flood_of_the_console(lab) {
        let loaded = lab.good(&lab.job("/console")).await;
        assert!(loaded.load.values.lcp.is_some(), "{loaded:?}");
    }

    frames_and_workers(lab) {
        let loaded = lab.good(&lab.job("/workers")).await;
        assert!(lab.server.told().iter().any(|told| told == "worked"), "a worker is let run");
        assert_eq!(loaded.load.ended, Ended::Quiet, "{loaded:?}");
        assert!(loaded.page.requests >= 3, "{loaded:?}");
    }

    frames_and_workers_have_the_network_of_the_profile(lab) {
        let profile = Profile::builtin("mobile").unwrap();
        lab.good(&sitepulse_browser::Job { profile, ..lab.job("/throttled") }).await;
        let told = lab.server.told();
        for who in ["worker", "frame"] {
            let text = told.iter().find_map(|told| told.strip_prefix(who)?.strip_prefix("=180000,"));
            let ms: f64 = text.unwrap_or_else(|| panic!("{who}: {told:?}")).parse().unwrap();
            // At 1.6 Mbit/s; in no time as the network is here.
            assert!(ms >= 900.0, "{who}: {ms} ms");
        }
    }

    a_page_that_lies(lab) {
        let job = Job { interact: vec![click("#real")], ..lab.job("/hostile") };
        let loaded = lab.good(&job).await;
        assert_eq!(lab.server.told(), Vec::<String>::new(), "the page sees nothing of the observer");
        let values = loaded.load.values;
        assert!(values.lcp.unwrap() >= 400 * MS && values.inp.unwrap() >= 150 * MS, "{loaded:?}");
        assert!(paint(&loaded).element.ends_with("#real"), "{loaded:?}");
        assert_eq!(loaded.page.js_errors, 0, "{loaded:?}");
    }

    a_blank_page(lab) {
        for path in ["/blank", "/blank-script"] {
            let job = Job { timeout_us: 8_000 * MS, screenshot: true, ..lab.job(path) };
            let failed = lab.bad(&job).await;
            assert_eq!(why(&failed), (Cause::NotAPage, Phase::Total), "{failed:?}");
            assert_eq!(failed.detail, "page: nothing was painted within 8 s");
            assert!(failed.screenshot.is_some_and(|picture| picture.starts_with(&[0xff, 0xd8, 0xff])));
        }
        let loaded = lab.good(&lab.job("/painted-by-script")).await;
        assert!(loaded.load.values.fcp.unwrap() >= 2_500 * MS, "a page that makes itself is waited for: {loaded:?}");
    }

    a_page_whose_elements_have_the_names_of_functions(lab) {
        let loaded = lab.good(&lab.job("/clobbered")).await;
        assert!(loaded.load.values.fcp.is_some() && loaded.load.values.lcp.is_some(), "{loaded:?}");
    }

    a_page_without_scripts(lab) {
        let loaded = lab.good(&lab.job("/plain")).await;
        assert!(loaded.load.values.lcp.unwrap() >= 500 * MS && loaded.load.values.tbt.is_some(), "{loaded:?}");
        assert!(paint(&loaded).element.ends_with("img"), "{loaded:?}");
    }

    mobile(lab) {
        let profile = Profile::builtin("mobile").unwrap();
        let job = Job { profile, ..lab.job("/long-tasks") };
        let loaded = lab.good(&job).await;
        // Loops by the clock are not stretched; the network has its floor.
        assert!(loaded.load.values.tbt.unwrap() >= 270 * MS, "{loaded:?}");
        assert!(loaded.load.values.fcp.unwrap() >= 562 * MS, "{loaded:?}");
        let profile = Profile::builtin("mobile").unwrap();
        let job = Job { profile: profile.clone(), ..lab.job("/late-image") };
        let loaded = lab.good(&job).await;
        // 180 kB at 1.6 Mbit/s, twice the latency.
        assert!(loaded.load.values.lcp.unwrap() >= 2_000 * MS, "{loaded:?}");
        let shift = Job { profile, ..lab.job("/shift") };
        let loaded = lab.good(&shift).await;
        let expected = 0.5 * 0.4 * 0.2 * 10_000.0;
        assert!(is_about(loaded.load.values.cls, expected), "emulation marks shifts as if there had been input: {loaded:?}");
    }

    tapping(lab) {
        let profile = Profile::builtin("mobile").unwrap();
        let job = Job { profile, interact: vec![click("#blocking")], ..lab.job("/handlers") };
        let loaded = lab.good(&job).await;
        assert!(loaded.load.values.inp.unwrap() >= 200 * MS, "{loaded:?}");
        assert!(loaded.attribution.interactions[0].processing_us >= 199 * MS, "{loaded:?}");
    }

    the_device_is_what_the_profile_says(lab) {
        for name in Profile::NAMES {
            lab.server.forget();
            lab.good(&Job { profile: Profile::builtin(name).unwrap(), ..lab.job("/device") }).await;
            let told = lab.server.told().join(" ");
            let expected = match name {
                "mobile" => "412x823@1.75+5",
                _ => "1350x940@1+0",
            };
            assert!(told.contains(expected) && !told.contains("Headless"), "{told}");
            assert_eq!(told.contains("Android"), name == "mobile", "{told}");
        }
    }
}

//! Pages that get worse.

use std::ops::Range;

use sitepulse_model::insight::found::{AttributionChange, AttributionOf, Evidence};
use sitepulse_model::insight::input::{VitalRun, VitalSeries};
use sitepulse_model::insight::{Subject, vitals_regression};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::Vital;

use crate::noise::{Outcome, PAGES_CLOSE, Rng, WEEK, YEAR, openings, thresholds};

const HOUR_US: i64 = 3_600_000_000;

/// What made a page worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    /// Another element is painted largest, from another address.
    Element,
    /// The same element is another image.
    Image,
    /// Something new moves, while what always moved still moves most in half of the runs.
    Source,
    /// Nothing that a run tells of: it only takes longer.
    Nothing,
}

/// Of how many regressions that were found what came with them was named, and nothing else of its kind; where nothing came, nothing of the vital's own kinds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Named {
    pub(crate) found: usize,
    pub(crate) right: usize,
}

impl Planted {
    /// All of them, in the order in which they are told.
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (Self::Element, "the new largest element"),
        (Self::Image, "the new image of the same element"),
        (Self::Source, "what moves besides"),
        (Self::Nothing, "nothing, where nothing came"),
    ];

    /// What is to be named: what, before, since. The new image comes by an address with a query of its own each time.
    const fn named(self) -> Option<(AttributionOf, &'static str, &'static str)> {
        match self {
            Self::Element => Some((AttributionOf::LcpElement, "img.hero", "img.banner")),
            Self::Image => {
                Some((AttributionOf::LcpUrl, "https://shop.test/hero.avif", "https://shop.test/hero-4k.png"))
            }
            Self::Source => Some((AttributionOf::ShiftSource, "footer", "div.ad")),
            Self::Nothing => None,
        }
    }

    /// Whether that is what was named.
    fn is_named(self, changed: &[AttributionChange]) -> bool {
        let Some((of, before, after)) = self.named() else { return changed.is_empty() };
        let theirs: Vec<_> = changed.iter().filter(|one| one.of == of).collect();
        theirs.len() == 1 && theirs[0].before == before && theirs[0].after == after
    }
}

/// Runs of a page every so many hours, one vital; noise of loads, days, outliers, deployments that do not matter, pressure on the host.
fn page(
    rng: &mut Rng,
    vital: Vital,
    every: i64,
    hours: i64,
    worse: Option<(i64, f64, Planted)>,
) -> Vec<VitalRun<'static>> {
    const SALTED: [&str; 3] =
        ["https://shop.test/hero-4k.png?1", "https://shop.test/hero-4k.png?2", "https://shop.test/hero-4k.png?3"];
    let base = match vital {
        // Half of a CLS of 0.05 is more than its step of 0.02; of less it is nothing.
        Vital::Cls => rng.between(500.0, 2_000.0),
        Vital::Lcp => rng.log_between(900e3, 5e6),
        Vital::Fcp => rng.log_between(500e3, 3e6),
        Vital::Ttfb => rng.log_between(100e3, 1.5e6),
        Vital::Inp | Vital::Tbt => rng.log_between(60e3, 800e3),
    };
    // What the processor does differs more from run to run than what the network does.
    let noisy = if matches!(vital, Vital::Inp | Vital::Tbt) { 2.0 } else { 1.0 };
    let (noise, day) = (rng.between(0.02, 0.10) * noisy, rng.between(0.0, 0.10));
    let (mut hangs, mut deployed) = (0.0, 0.0);
    let mut runs = Vec::new();
    for hour in (0..hours).step_by(every as usize) {
        hangs = 0.4 * hangs + 0.5 * noise * rng.normal();
        if rng.chance(every as f64 / WEEK as f64) {
            deployed += 0.015 * rng.normal();
        }
        let wave = day * ((hour % 24) as f64 / 24.0 * std::f64::consts::TAU).cos() / 2.0;
        let outlier = if rng.chance(0.02) { rng.between(0.3, 1.0) } else { 0.0 };
        let planted = worse.filter(|(from, ..)| hour >= *from).map(|(.., planted)| planted);
        let by = if planted.is_some() { worse.map_or(0.0, |(_, by, _)| by.ln()) } else { 0.0 };
        let low_confidence = rng.chance(0.05);
        let pressure = if low_confidence { rng.between(0.0, 0.8) } else { 0.0 };
        let value = base * (hangs + deployed + wave + outlier + by + pressure + noise * rng.normal()).exp();
        if rng.chance(0.03) {
            continue;
        }
        // The largest paint is now and then another element anyway, and now and then what came is not there.
        let there = |rng: &mut Rng, what| planted == Some(what) && !rng.chance(0.1);
        let usual = if rng.chance(0.1) { "p.lead" } else { "img.hero" };
        let element = if there(rng, Planted::Element) { "img.banner" } else { usual };
        let url = match element {
            "p.lead" => "",
            "img.banner" => "https://shop.test/banner.avif",
            _ if there(rng, Planted::Image) => *rng.pick(&SALTED),
            _ => "https://shop.test/hero.avif",
        };
        // An advertisement moves the page now and then, before too.
        let moved = match (there(rng, Planted::Source), rng.chance(0.5), rng.chance(0.2)) {
            (true, true, _) => "footer\ndiv.ad",
            (true, false, _) => "div.ad\nfooter",
            (false, _, true) => "div.ad",
            (false, _, false) => "footer",
        };
        runs.push(VitalRun {
            at: UtcMicros(hour * HOUR_US + rng.whole(0, 1_000_000_000)),
            value: value as u64,
            low_confidence,
            lcp_element: Some(element),
            lcp_url: Some(url),
            shift_sources: Some(moved),
        });
    }
    runs
}

fn look(
    runs: &[VitalRun<'_>],
    vital: Vital,
    now: i64,
    known_since: Option<UtcMicros>,
) -> Option<(UtcMicros, Evidence)> {
    let from = known_since.map_or((now - 5 * WEEK) * HOUR_US, |since| since.0 - 4 * WEEK * HOUR_US);
    let first = runs.partition_point(|run| run.at.0 < from);
    let runs = &runs[first..runs.partition_point(|run| run.at.0 < now * HOUR_US)];
    let subject = Subject::Check { check: "shop".into(), part: format!("vital:{}", vital.as_str()) };
    let series = VitalSeries { subject, vital, runs, known_since };
    let thresholds = thresholds().vitals_regression;
    vitals_regression::find(&series, &thresholds, UtcMicros(now * HOUR_US)).map(|found| (found.since, found.evidence))
}

/// Pages that get worse by a factor between two, looked for over twelve runs; and a clean quarter of a year. Also how well what came with it is named: of the vitals of painting
/// in turns another element, another image of the same one, and nothing; of a CLS something that moves besides, or nothing.
pub(crate) fn worse(
    name: &str,
    seeds: Range<u64>,
    vital: Vital,
    factors: (f64, f64),
    clean: u64,
) -> (Outcome, [Named; 4]) {
    let (mut outcome, mut named) = (Outcome::new(name), [Named::default(); 4]);
    let first_clean = seeds.start;
    for seed in seeds {
        let mut rng = Rng::new(3_000 + seed);
        let every = *rng.pick(&[1, 2, 4, 6]);
        let (from, by) = (5 * WEEK + rng.whole(0, WEEK), rng.between(factors.0, factors.1));
        let to = from + 12 * every + 1;
        let planted = match (vital, seed % 3) {
            (_, 2) => Planted::Nothing,
            (Vital::Cls, _) => Planted::Source,
            (_, 0) => Planted::Element,
            (_, _) => Planted::Image,
        };
        let runs = page(&mut rng, vital, every, to, Some((from, by, planted)));
        let first = (from + 1..=to).find_map(|now| {
            let (since, evidence) = look(&runs, vital, now, None)?;
            (since.0 / HOUR_US >= from - 12).then_some((now, evidence))
        });
        outcome.note(first.as_ref().map(|(now, _)| (now - from) as f64));
        if let Some((_, Evidence::VitalsRegression { changed, .. })) = first {
            let of = Planted::ALL.iter().position(|(one, _)| *one == planted).expect("each is one of them");
            named[of].found += 1;
            named[of].right += usize::from(planted.is_named(&changed));
        }
        if seed - first_clean < clean {
            let mut rng = Rng::new(700_000 + seed);
            let every = *rng.pick(&[1, 2, 4, 6]);
            let runs = page(&mut rng, vital, every, 18 * WEEK, None);
            let times = (5 * WEEK..18 * WEEK).step_by(every as usize);
            let opened =
                openings(times, PAGES_CLOSE, |now, known| look(&runs, vital, now, known).map(|(since, _)| since));
            outcome.false_findings += opened.len();
            outcome.clean_years += 13.0 * WEEK as f64 / YEAR;
        }
    }
    (outcome, named)
}

//! Pages that get worse.

use std::ops::Range;

use sitepulse_model::insight::found::{AttributionOf, Evidence};
use sitepulse_model::insight::input::{VitalRun, VitalSeries};
use sitepulse_model::insight::{Subject, vitals_regression};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::Vital;

use crate::noise::{Outcome, PAGES_CLOSE, Rng, WEEK, YEAR, openings, thresholds};

const HOUR_US: i64 = 3_600_000_000;

/// Runs of a page every so many hours, one vital; noise of loads, days, outliers, deployments that do not matter, pressure on the host.
fn page(rng: &mut Rng, vital: Vital, every: i64, hours: i64, worse: Option<(i64, f64)>) -> Vec<VitalRun<'static>> {
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
        let is_worse = worse.is_some_and(|(from, _)| hour >= from);
        let by = if is_worse { worse.map_or(0.0, |(_, by)| by.ln()) } else { 0.0 };
        let low_confidence = rng.chance(0.05);
        let pressure = if low_confidence { rng.between(0.0, 0.8) } else { 0.0 };
        let value = base * (hangs + deployed + wave + outlier + by + pressure + noise * rng.normal()).exp();
        if rng.chance(0.03) {
            continue;
        }
        // The largest paint is now and then another element anyway.
        let usual = if rng.chance(0.1) { "p.lead" } else { "img.hero" };
        runs.push(VitalRun {
            at: UtcMicros(hour * HOUR_US + rng.whole(0, 1_000_000_000)),
            value: value as u64,
            low_confidence,
            lcp_element: if is_worse && !rng.chance(0.1) { "img.banner" } else { usual },
            lcp_url: "",
            shift_source: if rng.chance(0.2) { "div.ad" } else { "footer" },
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

/// Pages that get worse by a factor between two, looked for over twelve runs; and a clean quarter of a year. Also how many of those found had the new element named.
pub(crate) fn worse(name: &str, seeds: Range<u64>, vital: Vital, factors: (f64, f64), clean: u64) -> (Outcome, usize) {
    let (mut outcome, mut named) = (Outcome::new(name), 0);
    let first_clean = seeds.start;
    for seed in seeds {
        let mut rng = Rng::new(3_000 + seed);
        let every = *rng.pick(&[1, 2, 4, 6]);
        let (from, by) = (5 * WEEK + rng.whole(0, WEEK), rng.between(factors.0, factors.1));
        let to = from + 12 * every + 1;
        let runs = page(&mut rng, vital, every, to, Some((from, by)));
        let first = (from + 1..=to).find_map(|now| {
            let (since, evidence) = look(&runs, vital, now, None)?;
            (since.0 / HOUR_US >= from - 12).then_some((now, evidence))
        });
        outcome.note(first.as_ref().map(|(now, _)| (now - from) as f64));
        if let Some((_, Evidence::VitalsRegression { changed, .. })) = first {
            let is_new = |one: &&sitepulse_model::insight::found::AttributionChange| {
                one.of == AttributionOf::LcpElement && one.after == "img.banner" && one.before == "img.hero"
            };
            named += usize::from(changed.len() == 1 && changed.iter().any(|one| is_new(&one)));
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

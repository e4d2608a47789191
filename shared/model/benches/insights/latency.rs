//! Latency regressions, and regions that become slow.

use std::ops::Range;

use sitepulse_model::insight::found::{Evidence, SlowPart};
use sitepulse_model::insight::input::{LatencyHour, LatencySeries, PhasedHour, RegionHours, RegionsOfCheck};
use sitepulse_model::insight::{Subject, latency_regression, region_slow};
use sitepulse_model::time::UtcMicros;

use crate::noise::{CLOSES, Outcome, Rng, Standing, WEEK, Weather, YEAR, median_of_runs, openings, thresholds};

const HOUR_US: i64 = 3_600_000_000;

fn at(hour: i64) -> UtcMicros {
    UtcMicros(hour * HOUR_US)
}

/// The hours of a service that becomes slower by a factor at an hour.
fn series(rng: &mut Rng, hours: i64, slower: Option<(i64, f64)>) -> Vec<LatencyHour> {
    let mut weather = Weather::new(rng);
    let (base, spread) = (rng.log_between(20e3, 800e3).ln(), rng.between(0.1, 0.4));
    let runs = *rng.pick(&[12, 12, 30, 60]);
    (0..hours)
        .filter_map(|hour| {
            let level = weather.hour(hour, rng)?;
            let slower = slower.filter(|(from, _)| hour >= *from).map_or(0.0, |(_, by)| by.ln());
            let lost = rng.whole(0, 2);
            let median_us = median_of_runs(base + level + slower, runs - lost as usize, spread, rng) as u64;
            Some(LatencyHour { hour, median_us, runs: (runs as i64 - lost) as u32 })
        })
        .collect()
}

/// What is handed over at an hour: the last five weeks, or from four weeks before what is open.
fn slice<T>(all: &[T], hour: fn(&T) -> i64, now: i64, known: Option<UtcMicros>) -> &[T] {
    let from = known.map_or(now - 5 * WEEK, |since| since.0 / HOUR_US - 4 * WEEK);
    let first = all.partition_point(|one| hour(one) < from);
    &all[first..all.partition_point(|one| hour(one) < now)]
}

fn look(hours: &[LatencyHour], now: i64, known_since: Option<UtcMicros>) -> Option<UtcMicros> {
    let subject = Subject::Check { check: "shop".into(), part: String::new() };
    let hours = slice(hours, |hour| hour.hour, now, known_since);
    let series = LatencySeries { subject, hours, known_since };
    latency_regression::find(&series, &thresholds().latency_regression, at(now)).map(|found| found.since)
}

/// Regressions by a factor between two, looked for up to three days; and a quarter of a clean year of each seed.
pub(crate) fn regression(name: &str, seeds: Range<u64>, factors: (f64, f64), clean: u64) -> Outcome {
    let mut outcome = Outcome::new(name);
    let first_clean = seeds.start;
    for seed in seeds {
        let mut rng = Rng::new(1_000 + seed);
        let (from, by) = (5 * WEEK + rng.whole(0, WEEK), rng.between(factors.0, factors.1));
        let hours = series(&mut rng, from + 80, Some((from, by)));
        let opened = openings(from + 1..from + 73, CLOSES, |now, known| {
            // What began long before is not what was planted.
            look(&hours, now, known).filter(|since| since.0 / HOUR_US >= from - 12)
        });
        outcome.note(opened.first().map(|now| (now - from) as f64));
        if seed - first_clean < clean {
            let mut rng = Rng::new(500_000 + seed);
            let hours = series(&mut rng, 18 * WEEK, None);
            outcome.false_findings +=
                openings(5 * WEEK..18 * WEEK, CLOSES, |now, known| look(&hours, now, known)).len();
            outcome.clean_years += 13.0 * WEEK as f64 / YEAR;
        }
    }
    outcome
}

/// A region of a check: its hours.
type Regions = Vec<(String, Vec<PhasedHour>)>;

/// What is planted in the first region.
#[derive(Clone, Copy)]
struct Plant {
    from: i64,
    factor: f64,
    network: bool,
}

/// A check seen from several regions: one server, with one weather; a way from each, with its own. Sometimes the server becomes slower for all, and sometimes another region becomes faster.
fn regions(rng: &mut Rng, hours: i64, plant: Option<Plant>) -> Regions {
    let count = rng.whole(2, 5) as usize;
    let mut server = Weather::new(rng);
    let server_base = rng.log_between(15e3, 300e3);
    let mut ways: Vec<(Weather, f64, f64)> =
        (0..count).map(|_| (Weather::new(rng), rng.log_between(8e3, 200e3), rng.log_between(1e3, 30e3))).collect();
    let for_all = (rng.whole(5 * WEEK, 8 * WEEK), rng.between(1.0, 2.0));
    let faster = (rng.whole(6 * WEEK, 12 * WEEK), rng.between(0.5, 1.0));
    let mut out: Regions = (0..count).map(|nth| (format!("region-{nth}"), Vec::new())).collect();
    for hour in 0..hours {
        let at_server = server.hour(hour, rng);
        for (nth, (way, trip, name)) in ways.iter_mut().enumerate() {
            let (Some(at_server), Some(on_way)) = (at_server, way.hour(hour, rng)) else { continue };
            let median = |level: f64, rng: &mut Rng| (level + 0.06 * rng.normal()).exp();
            // The way has a weather of a third of what services have.
            let mut trip = *trip * (on_way / 3.0).exp();
            let mut work = server_base * at_server.exp() * if hour >= for_all.0 { for_all.1 } else { 1.0 };
            if nth == 1 && hour >= faster.0 {
                trip *= faster.1;
            }
            let total = *name + 3.2 * trip + work;
            if let Some(plant) = plant.filter(|plant| nth == 0 && hour >= plant.from) {
                // So much longer that the whole is longer by the factor.
                let more = (plant.factor - 1.0) * total;
                if plant.network { trip += more / 3.2 } else { work += more }
            }
            let us = |us: f64, rng: &mut Rng| (us * median(0.0, rng)) as u64;
            let (dns, connect, tls, first) = (us(*name, rng), us(trip, rng), us(1.1 * trip, rng), us(trip + work, rng));
            out[nth].1.push(PhasedHour {
                hour,
                runs: 12,
                total_us: dns + connect + tls + first + us(0.1 * trip, rng),
                dns_us: Some(dns),
                connect_us: Some(connect),
                tls_us: Some(tls),
                first_byte_us: Some(first),
            });
        }
    }
    out
}

fn look_regions(all: &Regions, now: i64, known: &[Option<UtcMicros>]) -> Vec<(usize, UtcMicros, SlowPart)> {
    let regions: Vec<RegionHours<'_>> = all
        .iter()
        .zip(known)
        .map(|((region, hours), known_since)| {
            let hours = slice(hours, |hour| hour.hour, now, known.iter().flatten().min().copied());
            RegionHours { region, hours, known_since: *known_since }
        })
        .collect();
    let check = RegionsOfCheck { check: "shop", regions: &regions };
    let found = region_slow::find(&check, &thresholds().region_slow, at(now));
    let of = |found: sitepulse_model::insight::found::Found| {
        let Evidence::RegionSlow { region, part, .. } = found.evidence else { panic!("another kind") };
        let nth = all.iter().position(|(name, _)| *name == region).expect("one of them");
        (nth, found.since, part)
    };
    found.into_iter().map(of).collect()
}

/// Regions that become slower by a factor between two; and a clean quarter of a year. Also how many of those found had the right part named.
pub(crate) fn regional(name: &str, seeds: Range<u64>, factors: (f64, f64), clean: u64) -> (Outcome, usize) {
    let (mut outcome, mut named) = (Outcome::new(name), 0);
    let first_clean = seeds.start;
    for seed in seeds {
        let mut rng = Rng::new(2_000 + seed);
        let from = 5 * WEEK + rng.whole(0, WEEK);
        let plant = Plant { from, factor: rng.between(factors.0, factors.1), network: rng.chance(0.5) };
        let all = regions(&mut rng, from + 80, Some(plant));
        let none = vec![None; all.len()];
        let first = (from + 1..from + 73).find_map(|now| {
            let found = look_regions(&all, now, &none);
            let first = found.into_iter().find(|(nth, since, _)| *nth == 0 && since.0 / HOUR_US >= from - 12);
            first.map(|(.., part)| (now, part))
        });
        outcome.note(first.map(|(now, _)| (now - from) as f64));
        let right = if plant.network { SlowPart::Network } else { SlowPart::Server };
        named += usize::from(first.is_some_and(|(_, part)| part == right));
        if seed - first_clean < clean {
            let mut rng = Rng::new(600_000 + seed);
            let all = regions(&mut rng, 18 * WEEK, None);
            let mut standing = vec![Standing::NONE; all.len()];
            for now in (5 * WEEK..18 * WEEK).step_by(2) {
                let known: Vec<Option<UtcMicros>> = standing.iter().map(Standing::known).collect();
                let mut found = vec![None; all.len()];
                for (nth, since, _) in look_regions(&all, now, &known) {
                    found[nth] = Some(since);
                }
                for (standing, found) in standing.iter_mut().zip(found) {
                    outcome.false_findings += usize::from(standing.look(now, found, CLOSES));
                }
            }
            outcome.clean_years += 13.0 * WEEK as f64 / YEAR;
        }
    }
    (outcome, named)
}

//! One region is slower than the others, by its network or by the server.
//!
//! Distance is no finding: Sydney is far from Paris every day. So each region is first held against itself (its hour of the week, as in
//! `latency_regression`), and then its difference against the median of the other regions' differences in the same hours. What slows all regions cancels out, what one of them
//! has alone remains: the "difference in differences" of econometrics (Snow 1855; Card and Krueger 1994), with medians. A change is called by the same rule as a latency
//! regression, and only where the region itself became slower: that the others became faster is no fault of its.
//!
//! **Which part.** The excess of a phase is how much longer it takes than before, less what the others' take longer (medians). Network is name, connection and TLS, and a round
//! trip of the wait for the first byte, which is as long as connecting; server is the rest of that wait. A part is named when it has [`RegionSlow::part_share`] of both.
//!
//! **Needs** two regions with two weeks and a day of hours. **Stays** like a latency regression does. **Confidence** is Cantelli's of the ratio over the noise of the differences.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::found::{Evidence, Found, SlowPart};
use super::input::{PhasedHour, RegionHours, RegionsOfCheck, hour_of};
use super::shift::{self, Point, Season, Split, WEEK};
use super::thresholds::RegionSlow;
use super::{HOUR_US, Severity, Subject, latency_regression, robust};
use crate::time::UtcMicros;

/// The regions that are slower at `now` than the others, in their order.
pub fn find(check: &RegionsOfCheck<'_>, thresholds: &RegionSlow, now: UtcMicros) -> Vec<Found> {
    if check.regions.len() < 2 {
        return Vec::new();
    }
    check.regions.iter().filter_map(|region| slow(region, check, thresholds, now)).collect()
}

/// A region's hours that count.
fn counted<'h>(region: &'h RegionHours<'_>, thresholds: &RegionSlow) -> impl Iterator<Item = &'h PhasedHour> {
    let runs_min = thresholds.shift.hour_runs_min;
    region.hours.iter().filter(move |hour| hour.runs >= runs_min && hour.total_us > 0)
}

/// A region against itself: the residuals before and since, and its points.
struct Own {
    before: Vec<Point>,
    since: Vec<Point>,
    recent: Vec<Point>,
}

impl Own {
    fn of(region: &RegionHours<'_>, split: Split, thresholds: &RegionSlow) -> Option<Self> {
        let points =
            counted(region, thresholds).map(|hour| Point { hour: hour.hour, y: libm::log(hour.total_us as f64) });
        let (baseline, recent) = split.cut(points);
        if baseline.len() < thresholds.shift.baseline_hours_min {
            return None;
        }
        let season = Season::new(&baseline, WEEK, 1);
        Some(Self { before: season.residuals(&baseline, true), since: season.residuals(&recent, false), recent })
    }
}

fn slow(
    region: &RegionHours<'_>,
    check: &RegionsOfCheck<'_>,
    thresholds: &RegionSlow,
    now: UtcMicros,
) -> Option<Found> {
    let first = counted(region, thresholds).map(|hour| hour.hour).min()?;
    let split = Split::of(first, hour_of(now), region.known_since.map(hour_of))?;
    let own = Own::of(region, split, thresholds)?;
    let others: Vec<(&RegionHours<'_>, Own)> = check
        .regions
        .iter()
        .filter(|other| other.region != region.region)
        .filter_map(|other| Own::of(other, split, thresholds).map(|own| (other, own)))
        .collect();
    if others.is_empty() {
        return None;
    }
    let of_others = |part: fn(&Own) -> &Vec<Point>| {
        let mut hours: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        for point in others.iter().flat_map(|(_, own)| part(own)) {
            hours.entry(point.hour).or_default().push(point.y);
        }
        hours
    };
    let against = |own: &[Point], others: &BTreeMap<i64, Vec<f64>>| -> Vec<Point> {
        let differs = |point: &Point| {
            let usual = robust::median(others.get(&point.hour)?.iter().copied())?;
            Some(Point { y: point.y - usual, ..*point })
        };
        own.iter().filter_map(differs).collect()
    };
    let before = against(&own.before, &of_others(|own| &own.before));
    let since = against(&own.since, &of_others(|own| &own.since));
    let known = region.known_since.is_some();
    let found = shift::find(&before, &since, split, &latency_regression::rule(&thresholds.shift), known)?;
    let rose = robust::median(own.since.iter().filter(|point| point.hour >= found.from).map(|point| point.y))?;
    if rose < found.effect / 2.0 {
        return None;
    }
    let log_us = robust::median(own.recent.iter().filter(|point| point.hour >= found.from).map(|point| point.y))?;
    let (region_us, expected_us) = (libm::exp(log_us) as u64, libm::exp(log_us - found.effect) as u64);
    if !known && region_us.saturating_sub(expected_us) < thresholds.shift.step_us {
        return None;
    }
    let ratio = libm::exp(found.effect);
    let hours = Hours { before_from: split.recent_from - shift::BASELINE, before_to: split.recent_from, since: found };
    let other_hours: Vec<&RegionHours<'_>> = others.iter().map(|(other, _)| *other).collect();
    let (network_us, server_us) = hours.excess(region, &other_hours, thresholds);
    let others_us =
        robust::median_whole(other_hours.iter().filter_map(|other| hours.since_of(other, thresholds, |h| h.total_us)));
    let evidence = Evidence::RegionSlow {
        region: region.region.to_string(),
        region_us,
        expected_us,
        others_us: others_us.unwrap_or(0),
        ratio_per_mille: robust::per_mille(ratio),
        others: others.len() as u32,
        hours: found.points as u32,
        network_us,
        server_us,
        part: part(network_us, server_us, region_us.saturating_sub(expected_us), thresholds),
    };
    let subject = Subject::Check { check: check.check.to_string(), part: String::from("region:") + region.region };
    let severity = if ratio >= thresholds.shift.ratio_critical { Severity::Critical } else { Severity::Warning };
    let since = region.known_since.unwrap_or(UtcMicros(found.from.saturating_mul(HOUR_US)));
    Some(Found::new(subject, severity, robust::confidence(found.z()), evidence, since))
}

/// The hours before a change and since.
struct Hours {
    before_from: i64,
    before_to: i64,
    since: shift::Shift,
}

impl Hours {
    /// How much longer the network and the server take than before, less what the others' take longer.
    fn excess(&self, region: &RegionHours<'_>, others: &[&RegionHours<'_>], thresholds: &RegionSlow) -> (i64, i64) {
        let of = |phase: fn(&PhasedHour) -> u64| {
            let own = self.longer(region, thresholds, phase);
            let usual = robust::median(others.iter().map(|other| self.longer(other, thresholds, phase)));
            own - usual.unwrap_or(0.0)
        };
        let connect = of(|hour| hour.connect_us.unwrap_or(0));
        let network = of(|hour| hour.dns_us.unwrap_or(0)) + of(|hour| hour.tls_us.unwrap_or(0)) + connect;
        let first_byte = of(|hour| hour.first_byte_us.unwrap_or(0));
        // The wait for the first byte has a round trip in it, where there is such a wait at all.
        let trip = connect.max(0.0).min(first_byte.max(0.0));
        ((network + trip) as i64, (first_byte - trip) as i64)
    }

    fn longer(&self, region: &RegionHours<'_>, thresholds: &RegionSlow, phase: fn(&PhasedHour) -> u64) -> f64 {
        let median = |since: bool| {
            let hours = counted(region, thresholds).filter(|hour| self.has(hour.hour, since));
            robust::median(hours.map(|hour| phase(hour) as f64)).unwrap_or(0.0)
        };
        median(true) - median(false)
    }

    fn since_of(&self, region: &RegionHours<'_>, thresholds: &RegionSlow, of: fn(&PhasedHour) -> u64) -> Option<u64> {
        robust::median_whole(counted(region, thresholds).filter(|hour| self.has(hour.hour, true)).map(of))
    }

    const fn has(&self, hour: i64, since: bool) -> bool {
        if since { hour >= self.since.from } else { self.before_from <= hour && hour < self.before_to }
    }
}

/// Which part the excess lies in.
fn part(network_us: i64, server_us: i64, excess_us: u64, thresholds: &RegionSlow) -> SlowPart {
    let (network, server) = (network_us.max(0) as f64, server_us.max(0) as f64);
    let both = network + server;
    if both < excess_us as f64 * 0.3 || both <= 0.0 {
        return SlowPart::Untold;
    }
    if network >= both * thresholds.part_share {
        SlowPart::Network
    } else if server >= both * thresholds.part_share {
        SlowPart::Server
    } else {
        SlowPart::Both
    }
}

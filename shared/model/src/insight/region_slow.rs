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
    let hours = check.regions.iter().flat_map(|region| counted(region, thresholds));
    let Some(first) = hours.map(|hour| hour.hour).min().filter(|_| check.regions.len() > 1) else {
        return Vec::new();
    };
    // Those of which no finding is open are all cut alike.
    let mut cut: Vec<(Split, Vec<Option<Own>>)> = Vec::new();
    let mut found = Vec::new();
    for (nth, region) in check.regions.iter().enumerate() {
        let Some(split) = Split::of(first, hour_of(now), region.known_since.map(hour_of)) else { continue };
        if !cut.iter().any(|(other, _)| *other == split) {
            let all = check.regions.iter().map(|region| Own::of(region, split, thresholds));
            cut.push((split, all.collect()));
        }
        let owns = cut.iter().find(|(other, _)| *other == split).map_or(&[][..], |(_, owns)| owns.as_slice());
        found.extend(slow(nth, check, owns, split, thresholds));
    }
    found
}

/// A region's hours that count.
fn counted<'h>(region: &'h RegionHours<'_>, thresholds: &RegionSlow) -> impl Iterator<Item = &'h PhasedHour> {
    let runs_min = thresholds.shift.hour_runs_min;
    region.hours.iter().filter(move |hour| hour.runs >= runs_min && hour.total_us > 0)
}

/// A region against itself: what differs since, and its points.
struct Own {
    season: Season,
    baseline: Vec<Point>,
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
        let since = season.residuals(&recent, false);
        Some(Self { season, baseline, since, recent })
    }

    /// What differed before.
    fn before(&self) -> Vec<Point> {
        self.season.residuals(&self.baseline, true)
    }
}

fn slow(
    nth: usize,
    check: &RegionsOfCheck<'_>,
    owns: &[Option<Own>],
    split: Split,
    thresholds: &RegionSlow,
) -> Option<Found> {
    let (region, own) = (check.regions.get(nth)?, owns.get(nth)?.as_ref()?);
    let others: Vec<(&RegionHours<'_>, &Own)> = check
        .regions
        .iter()
        .zip(owns)
        .enumerate()
        .filter(|(other, _)| *other != nth)
        .filter_map(|(_, (region, own))| Some((region, own.as_ref()?)))
        .collect();
    if others.is_empty() {
        return None;
    }
    let since = against(&own.since, others.iter().flat_map(|(_, other)| other.since.iter().copied()));
    let before = || against(&own.before(), others.iter().flat_map(|(_, other)| other.before()));
    let known = region.known_since.is_some();
    let found = shift::find(before, &since, split, &latency_regression::rule(&thresholds.shift), known)?;
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

/// A region's differences, less the median of the others' in the same hours; hours that none of them has are left out.
fn against(own: &[Point], others: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut hours: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    others.for_each(|point| hours.entry(point.hour).or_default().push(point.y));
    let differs = |point: &Point| {
        let usual = robust::median(hours.get(&point.hour)?.iter().copied())?;
        Some(Point { y: point.y - usual, ..*point })
    };
    own.iter().filter_map(differs).collect()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_HOUR: i64 = 5 * WEEK;
    const SINCE: i64 = NOW_HOUR - 12;

    /// What changes in the last twelve hours, in microseconds.
    #[derive(Clone, Copy, Default)]
    struct More {
        dns: u64,
        trip: u64,
        server: u64,
    }

    fn region(trip_us: u64, more: More) -> Vec<PhasedHour> {
        let hour = |hour: i64| {
            let noise = |us: u64, salt: i64| us + us * ((hour + salt) * 7_919 % 101) as u64 / 2_525;
            let more = if hour >= SINCE { more } else { More::default() };
            let trip = noise(trip_us + more.trip, 3);
            let (dns, first) = (noise(4_000 + more.dns, 5), trip + noise(60_000 + more.server, 7));
            PhasedHour {
                hour,
                runs: 60,
                total_us: dns + 2 * trip + first,
                dns_us: Some(dns),
                connect_us: Some(trip),
                tls_us: Some(trip),
                first_byte_us: Some(first),
            }
        };
        (0..NOW_HOUR).map(hour).collect()
    }

    fn look(regions: &[(&str, Vec<PhasedHour>)]) -> Vec<(String, SlowPart, i64)> {
        let regions: Vec<RegionHours<'_>> =
            regions.iter().map(|(region, hours)| RegionHours { region, hours, known_since: None }).collect();
        let check = RegionsOfCheck { check: "shop", regions: &regions };
        find(&check, &RegionSlow::default(), UtcMicros(NOW_HOUR * HOUR_US))
            .into_iter()
            .map(|found| {
                let Evidence::RegionSlow { region, part, .. } = found.evidence else { panic!("another kind") };
                (region, part, found.since.0 / HOUR_US)
            })
            .collect()
    }

    const NOTHING: More = More { dns: 0, trip: 0, server: 0 };

    #[test]
    fn one_region_by_its_network_or_by_the_server() {
        let three = |more: More| {
            look(&[
                ("oslo", region(20_000, NOTHING)),
                ("paris", region(8_000, more)),
                ("sydney", region(280_000, NOTHING)),
            ])
        };
        let paris = |part: SlowPart| Vec::from([("paris".to_string(), part, SINCE)]);
        assert_eq!(three(NOTHING), [], "distance is no finding");
        assert_eq!(three(More { trip: 30_000, ..NOTHING }), paris(SlowPart::Network));
        assert_eq!(three(More { dns: 90_000, ..NOTHING }), paris(SlowPart::Network));
        assert_eq!(three(More { server: 90_000, ..NOTHING }), paris(SlowPart::Server));
        assert_eq!(three(More { trip: 20_000, server: 80_000, dns: 0 }), paris(SlowPart::Both));
    }

    #[test]
    fn what_slows_all_is_no_regions_and_what_speeds_the_others_up_no_fault() {
        let slow = More { server: 200_000, ..NOTHING };
        assert_eq!(look(&[("oslo", region(20_000, slow)), ("paris", region(20_000, slow))]), []);
        let two = |oslo: More, paris: More| look(&[("oslo", region(20_000, oslo)), ("paris", region(20_000, paris))]);
        assert_eq!(two(slow, NOTHING).len(), 1);
        let faster = region(20_000, NOTHING).into_iter().map(|hour| {
            let by = if hour.hour >= SINCE { 3 } else { 1 };
            PhasedHour { total_us: hour.total_us / by, ..hour }
        });
        assert_eq!(look(&[("oslo", faster.collect()), ("paris", region(20_000, NOTHING))]), []);
        assert_eq!(look(&[("oslo", region(20_000, slow))]), [], "there is no other");
    }

    #[test]
    fn a_region_that_is_silent_moves_nobody() {
        let mut sydney = region(280_000, NOTHING);
        sydney.retain(|hour| hour.hour < SINCE);
        assert_eq!(
            look(&[("oslo", region(20_000, NOTHING)), ("paris", region(8_000, NOTHING)), ("sydney", sydney)]),
            []
        );
    }

    #[test]
    fn phases_that_are_not_told_are_not_guessed() {
        let bare = region(20_000, More { server: 200_000, ..NOTHING }).into_iter().map(|hour| PhasedHour {
            dns_us: None,
            connect_us: None,
            tls_us: None,
            first_byte_us: None,
            ..hour
        });
        let found = look(&[("oslo", bare.collect()), ("paris", region(20_000, NOTHING))]);
        assert_eq!(found.first().map(|(_, part, _)| *part), Some(SlowPart::Untold));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn more_is_never_less_and_the_order_of_hours_leaves_no_trace(trip in 0_u64..60_000, more in 0_u64..60_000, turn in 0_usize..840) {
            let with = |trip: u64, turn: usize| {
                let mut paris = region(20_000, More { trip, ..NOTHING });
                paris.rotate_left(turn);
                look(&[("oslo", region(20_000, NOTHING)), ("paris", paris)])
            };
            prop_assert!(with(trip, 0).is_empty() || !with(trip + more, 0).is_empty());
            prop_assert_eq!(with(trip, 0), with(trip, turn));
        }
    }
}

//! Hours of a check and its regions, from the store's sketches by the hour and what is not sealed yet.
//!
//! - An hour of a region is all runs of its agents with a vote that reached their target; its medians are those of each phase by itself.
//! - An hour of the check is the median over its regions of their medians, and only where every region that is usually there has runs: a region that is silent is no change. Usually is
//!   in [`USUAL_PER_CENT`] of the hours that any of them has.
//! - The hour under way does not count.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::check::{CheckDefinition, CheckKind};
use sitepulse_model::id::AgentNo;
use sitepulse_model::insight::input::{LatencyHour, LatencySeries, PhasedHour, RegionHours, RegionsOfCheck};
use sitepulse_model::insight::thresholds::Thresholds;
use sitepulse_model::insight::{Kind, Subject, latency_regression, region_slow};
use sitepulse_model::record::Phase;
use sitepulse_model::sketch::Sketch;
use sitepulse_model::time::UtcMicros;

use super::{Frame, Seen};
use crate::book::Check;
use crate::latency::{Hour, Latencies, Sample};
use crate::store::rollup::{self, Class};
use crate::store::rows::Arrival;
use crate::store::seal::Upto;
use crate::store::{StoreError, Tables};

/// A region is usually there when it has runs in so many of a hundred hours.
const USUAL_PER_CENT: usize = 60;
/// What resolving names took is told of so many hours.
const DNS_HOURS: i64 = 24;

/// What is taken from the book.
#[derive(Debug)]
pub(super) struct LatencyFrame {
    first: Hour,
    /// The hour under way, which does not count.
    end: Hour,
    /// Whether it resolves a name by the machine's own resolver.
    resolves: bool,
    /// What is not sealed.
    open: Vec<(AgentNo, Arrival, Sample)>,
}

/// By region and hour.
type Regions = BTreeMap<String, BTreeMap<i64, Latencies>>;

impl LatencyFrame {
    /// `None` of a check whose runs' length tells nothing of the target.
    pub(super) fn of(
        check: &Check,
        definition: &CheckDefinition,
        voters: &BTreeMap<AgentNo, (String, String)>,
        from: UtcMicros,
        now: UtcMicros,
    ) -> Option<Self> {
        let resolves = match &definition.kind {
            CheckKind::Http(_)
            | CheckKind::Tcp(_)
            | CheckKind::Tls(_)
            | CheckKind::Udp(_)
            | CheckKind::Websocket(_)
            | CheckKind::Grpc(_)
            | CheckKind::Smtp(_)
            | CheckKind::Imap(_)
            | CheckKind::Flow(_) => true,
            CheckKind::Dns(_) => false,
            CheckKind::Icmp(_) | CheckKind::Domain(_) | CheckKind::Heartbeat(_) | CheckKind::WebVitals(_) => return None,
        };
        let (first, end) = (Hour::of(from), Hour::of(now));
        let mut open = Vec::new();
        for (agent, samples) in check.latencies.iter().filter(|(agent, _)| voters.contains_key(agent)) {
            let counts = |sample: &Sample| (first..end).contains(&Hour::of(sample.scheduled));
            let theirs = samples.iter().filter(|(_, sample)| sample.reached && counts(sample));
            open.extend(theirs.map(|(arrival, sample)| (*agent, arrival, sample)));
        }
        Some(Self { first, end, resolves, open })
    }

    pub(super) fn look(
        &self,
        frame: &Frame,
        tables: Tables<'_>,
        sealed: &Upto,
        rules: &Thresholds,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let (mut regions, mut dns) = (Regions::new(), BTreeMap::new());
        let maintained = frame.maintained();
        let recent = Hour(self.end.0 - DNS_HOURS);
        let mut add = |agent: AgentNo, hour: Hour, latencies: &Latencies| {
            let Some((region, _)) = frame.voters.get(&agent) else { return };
            if hour < self.first || hour >= self.end || maintained.contains(&hour.0) {
                return;
            }
            regions.entry(region.clone()).or_default().entry(hour.0).or_default().merge(latencies);
            let names = latencies.phase(Phase::Dns);
            if self.resolves && hour >= recent && !names.is_empty() {
                dns.entry((agent, hour.0)).or_insert_with(Sketch::new).merge(names);
            }
        };
        let arrived = sealed.get(usize::from(frame.bucket.0)).copied().unwrap_or_default();
        let mut open: BTreeMap<(AgentNo, Hour), Latencies> = BTreeMap::new();
        for (agent, _, sample) in self.open.iter().filter(|(_, arrival, _)| *arrival > arrived) {
            open.entry((*agent, Hour::of(sample.scheduled))).or_default().add(sample);
        }
        open.iter().for_each(|((agent, hour), latencies)| add(*agent, *hour, latencies));
        let days = (self.first.day(), self.end.day());
        // What is damaged is told and mended by others; a finding goes by what is left.
        rollup::rollups_of(tables, (frame.bucket, frame.number), Class::Hours, days, |agent, day, body| {
            for (of_day, latencies) in &rollup::decode_hours(body)?.hours {
                add(agent, day.hour(*of_day), latencies);
            }
            Ok(())
        })?;
        seen.dns = dns
            .into_iter()
            .filter_map(|((agent, hour), sketch)| {
                let (_, name) = frame.voters.get(&agent)?;
                Some((name.clone(), hour, sketch.quantile(500)?, runs(&sketch)))
            })
            .collect();
        self.find(frame, &regions, rules, seen);
        Ok(())
    }

    fn find(&self, frame: &Frame, regions: &Regions, rules: &Thresholds, seen: &mut Seen) {
        let (id, now) = (frame.id.as_str(), frame.now);
        let subject = Subject::Check { check: id.to_owned(), part: String::new() };
        let known_since = frame.known.since(Kind::LatencyRegression, &subject);
        let hours = whole_hours(regions);
        let series = LatencySeries { subject, hours: &hours, known_since };
        let found = latency_regression::find(&series, &rules.latency_regression, now);
        seen.note(Kind::LatencyRegression, id, found);
        let phased: Vec<(&str, Vec<PhasedHour>)> =
            regions.iter().map(|(region, hours)| (region.as_str(), phased_hours(hours))).collect();
        let of_region = |(region, hours): &'_ (&'_ str, Vec<PhasedHour>)| {
            let subject = Subject::Check { check: id.to_owned(), part: format!("region:{region}") };
            (frame.known.since(Kind::RegionSlow, &subject), hours.len())
        };
        let known: Vec<_> = phased.iter().map(of_region).collect();
        let regions: Vec<RegionHours<'_>> = phased
            .iter()
            .zip(known)
            .map(|((region, hours), (known_since, _))| RegionHours { region, hours, known_since })
            .collect();
        let of_check = RegionsOfCheck { check: id, regions: &regions };
        seen.note(Kind::RegionSlow, id, region_slow::find(&of_check, &rules.region_slow, now));
    }
}

fn runs(sketch: &Sketch) -> u32 {
    u32::try_from(sketch.count()).unwrap_or(u32::MAX)
}

fn phased_hours(hours: &BTreeMap<i64, Latencies>) -> Vec<PhasedHour> {
    let median = |latencies: &Latencies, phase| latencies.phase(phase).quantile(500);
    let of_hour = |(hour, latencies): (&i64, &Latencies)| {
        Some(PhasedHour {
            hour: *hour,
            runs: runs(latencies.phase(Phase::Total)),
            total_us: median(latencies, Phase::Total)?,
            dns_us: median(latencies, Phase::Dns),
            connect_us: median(latencies, Phase::Connect),
            tls_us: median(latencies, Phase::Tls),
            first_byte_us: median(latencies, Phase::FirstByte),
        })
    };
    hours.iter().filter_map(of_hour).collect()
}

/// The hours of the check as a whole.
fn whole_hours(regions: &Regions) -> Vec<LatencyHour> {
    let all: BTreeSet<i64> = regions.values().flat_map(|hours| hours.keys().copied()).collect();
    let usual: Vec<&BTreeMap<i64, Latencies>> =
        regions.values().filter(|hours| hours.len() * 100 >= all.len() * USUAL_PER_CENT).collect();
    let of_hour = |hour: i64| {
        let mut medians = Vec::with_capacity(usual.len());
        let mut sum = 0_u32;
        for region in &usual {
            let sketch = region.get(&hour)?.phase(Phase::Total);
            medians.push(sketch.quantile(500)?);
            sum = sum.saturating_add(runs(sketch));
        }
        medians.sort_unstable();
        let (below, above) = (medians.get((medians.len().checked_sub(1)?) / 2)?, medians.get(medians.len() / 2)?);
        Some(LatencyHour { hour, median_us: below / 2 + above / 2 + (below % 2 + above % 2) / 2, runs: sum })
    };
    all.into_iter().filter_map(of_hour).collect()
}


#[cfg(test)]
mod tests {
    use super::*;

    fn region(hours: impl IntoIterator<Item = (i64, u64)>) -> BTreeMap<i64, Latencies> {
        let of = |(hour, us): (i64, u64)| {
            let mut latencies = Latencies::default();
            latencies.phases[usize::from(Phase::Total.code()) - 1].add_many(us, 60);
            (hour, latencies)
        };
        hours.into_iter().map(of).collect()
    }

    #[test]
    fn a_silent_region_is_no_change_and_a_new_one_is_none_yet() {
        let near = region((0..100).map(|hour| (hour, 20_000)));
        let far = region((0..100).filter(|hour| *hour < 60 || *hour >= 70).map(|hour| (hour, 200_000)));
        let new = region((90..100).map(|hour| (hour, 900_000)));
        let regions = BTreeMap::from([("near".into(), near), ("far".into(), far), ("new".into(), new)]);
        let hours = whole_hours(&regions);
        assert_eq!(hours.len(), 90, "the hours without the far region say nothing");
        assert!(hours.iter().all(|hour| hour.median_us.abs_diff(110_000) < 2_000 && hour.runs == 120), "{hours:?}");
        assert!(whole_hours(&Regions::new()).is_empty());
    }
}

//! Something is watched by too few, or not at all.
//!
//! A fact, no statistics: who of the agents that a check is assigned to counts (not suspended, weight above 0), and where they are. Said are a check that nobody watches, a quorum that asks for more voters than
//! there are (it is clamped, and the verdict says so), a check that one agent alone watches (its own network is then told as the target's state), and a critical check that is seen from
//! one region alone. Only the first of those that follow from one another is said.
//!
//! **Needs** an hour in which it has been so, for who sets something up needs a moment; a gap that is known needs none, for an edit closes no gap. **Confidence** is 1000.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::found::{Evidence, Found, Gap};
use super::input::Coverage;
use super::thresholds::Uncovered;
use super::{Confidence, Severity, Subject};
use crate::quorum::Quorum;
use crate::time::UtcMicros;

/// What is missing at `now`.
pub fn find(coverage: &Coverage<'_>, thresholds: &Uncovered, now: UtcMicros) -> Option<Found> {
    if coverage.known_since.is_none() && now.us_since(coverage.since) < thresholds.settle_us {
        return None;
    }
    let voters: Vec<_> = coverage.watchers.iter().filter(|watcher| !watcher.suspended && watcher.weight > 0).collect();
    let regions: BTreeSet<&str> = voters.iter().map(|watcher| watcher.region.as_str()).collect();
    let quorum_agents = match coverage.quorum {
        Quorum::Agents(agents) => agents,
        Quorum::Any | Quorum::Majority | Quorum::All | Quorum::Share(_) => 0,
    };
    let mut gaps = Vec::new();
    if coverage.watchers.is_empty() {
        gaps.push(Gap::NoAgent);
    } else if voters.is_empty() {
        let suspended = coverage.watchers.iter().all(|watcher| watcher.suspended);
        gaps.push(if suspended { Gap::AllSuspended } else { Gap::AllWeightless });
    } else {
        if quorum_agents as usize > voters.len() {
            gaps.push(Gap::QuorumOutOfReach);
        }
        if voters.len() == 1 {
            gaps.push(Gap::OneAgent);
        } else if coverage.critical && regions.len() == 1 {
            gaps.push(Gap::OneRegion);
        }
    }
    let severity = match *gaps.first()? {
        Gap::NoAgent | Gap::AllSuspended | Gap::AllWeightless if coverage.critical => Severity::Critical,
        Gap::NoAgent | Gap::AllSuspended | Gap::AllWeightless | Gap::QuorumOutOfReach | Gap::OneRegion => {
            Severity::Warning
        }
        Gap::OneAgent if coverage.critical => Severity::Warning,
        Gap::OneAgent => Severity::Info,
    };
    let evidence = Evidence::CoverageGap {
        gaps,
        agents: coverage.watchers.len() as u32,
        voters: voters.len() as u32,
        regions: regions.len() as u32,
        quorum_agents,
    };
    let subject = Subject::Check { check: coverage.check.to_string(), part: String::new() };
    Some(Found::new(subject, severity, Confidence(1000), evidence, coverage.known_since.unwrap_or(coverage.since)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::insight::HOUR_US;
    use crate::insight::input::Watcher;

    const NOW: UtcMicros = UtcMicros(100 * HOUR_US);

    fn watchers(of: &[(&str, u32, bool)]) -> Vec<Watcher> {
        let one = |(region, weight, suspended): &(&str, u32, bool)| Watcher {
            region: region.to_string(),
            weight: *weight,
            suspended: *suspended,
        };
        of.iter().map(one).collect()
    }

    fn gaps(of: &[(&str, u32, bool)], quorum: &str, critical: bool) -> Option<(Vec<Gap>, Severity)> {
        let (watchers, quorum) = (watchers(of), Quorum::parse(quorum).unwrap());
        let since = NOW.plus_us(-HOUR_US);
        let coverage = Coverage { check: "shop", critical, quorum, watchers: &watchers, since, known_since: None };
        find(&coverage, &Uncovered::default(), NOW).map(|found| {
            let Evidence::CoverageGap { gaps, .. } = found.evidence else { panic!("another kind") };
            (gaps, found.severity)
        })
    }

    const TWO: [(&str, u32, bool); 2] = [("paris", 1000, false), ("oslo", 1000, false)];

    #[test]
    fn each_gap_is_told() {
        let told = |gap: Gap, severity: Severity| Some((Vec::from([gap]), severity));
        assert_eq!(gaps(&TWO, "majority", true), None);
        assert_eq!(gaps(&[], "majority", false), told(Gap::NoAgent, Severity::Warning));
        assert_eq!(gaps(&[], "majority", true), told(Gap::NoAgent, Severity::Critical));
        let suspended = [("paris", 1000, true), ("oslo", 0, true)];
        assert_eq!(gaps(&suspended, "any", false), told(Gap::AllSuspended, Severity::Warning));
        let weightless = [("paris", 1000, true), ("oslo", 0, false)];
        assert_eq!(gaps(&weightless, "any", false), told(Gap::AllWeightless, Severity::Warning));
        assert_eq!(gaps(&TWO, "agents >= 3", false), told(Gap::QuorumOutOfReach, Severity::Warning));
        assert_eq!(gaps(&TWO[..1], "majority", false), told(Gap::OneAgent, Severity::Info));
        assert_eq!(gaps(&TWO[..1], "majority", true), told(Gap::OneAgent, Severity::Warning));
        let same = [("paris", 1000, false), ("paris", 500, false)];
        assert_eq!(gaps(&same, "majority", true), told(Gap::OneRegion, Severity::Warning));
        assert_eq!(gaps(&same, "majority", false), None);
        let both = gaps(&TWO[..1], "agents >= 2", false).unwrap();
        assert_eq!(both, (Vec::from([Gap::QuorumOutOfReach, Gap::OneAgent]), Severity::Warning));
    }

    #[test]
    fn a_moment_is_no_gap() {
        let since = NOW.plus_us(1 - HOUR_US);
        let quorum = Quorum::Majority;
        let coverage = Coverage { check: "shop", critical: true, quorum, watchers: &[], since, known_since: None };
        assert_eq!(find(&coverage, &Uncovered::default(), NOW), None);
    }

    /// The defect: with each edit of the check the finding was gone for an hour, closed, and opened again.
    #[test]
    fn an_edit_does_not_end_a_gap_that_is_known() {
        let known = NOW.plus_us(-9 * HOUR_US);
        let find = |watchers: &[Watcher]| {
            let quorum = Quorum::Majority;
            let known_since = Some(known);
            let edited =
                Coverage { check: "shop", critical: false, quorum, watchers, since: NOW.plus_us(-1), known_since };
            find(&edited, &Uncovered::default(), NOW)
        };
        assert_eq!(find(&watchers(&TWO[..1])).map(|found| found.since), Some(known));
        assert_eq!(find(&watchers(&TWO)), None, "what is mended is over at once");
    }

    proptest! {
        #[test]
        fn another_voter_elsewhere_never_makes_a_gap(
            of in prop::collection::vec((prop::sample::select(&["a", "b", "c"][..]), 0_u32..3, any::<bool>()), 0..6),
            critical: bool,
        ) {
            let more: Vec<_> = of.iter().copied().chain([("elsewhere", 1000, false)]).collect();
            let count = |of: &[(&str, u32, bool)]| gaps(of, "agents >= 2", critical).map_or(0, |(gaps, _)| gaps.len());
            let voters = of.iter().filter(|(_, weight, suspended)| *weight > 0 && !suspended).count();
            // From nobody to one says two things (one agent, quorum of two) in place of one worse.
            prop_assert!(voters == 0 || count(&more) <= count(&of));
            let turned: Vec<_> = of.iter().rev().copied().collect();
            prop_assert_eq!(gaps(&of, "majority", critical), gaps(&turned, "majority", critical));
        }
    }
}

//! What a detector hands back: a finding with the evidence it was found by.
//!
//! A finding is known by its kind and its subject: the same kind and subject of tomorrow are the same finding. Its words are made of its [`Evidence`], in each language,
//! and nothing else. Evidence is whole numbers with their unit in the name, so that it is stored, compared and shown without rounding twice: `_us` microseconds,
//! `_per_mille` thousandths (of a ratio too: 1420 is 1.42 times), `_tenths` tenths.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Confidence, Kind, Severity, Subject};
use crate::time::UtcMicros;
use crate::vitals::Vital;

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What was found; that of the evidence.
    pub kind: Kind,
    /// What it is about.
    pub subject: Subject,
    /// How much it matters.
    pub severity: Severity,
    /// How sure the detector is; what that means is said by each detector's module.
    pub confidence: Confidence,
    /// What it was found by.
    pub evidence: Evidence,
    /// Since when it has been so, as far as the evidence tells.
    pub since: UtcMicros,
}

impl Found {
    /// A finding of the evidence's kind.
    pub fn new(
        subject: Subject,
        severity: Severity,
        confidence: Confidence,
        evidence: Evidence,
        since: UtcMicros,
    ) -> Self {
        Self { kind: evidence.kind(), subject, severity, confidence, evidence, since }
    }
}

/// What a finding was found by, one variant a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Evidence {
    /// Of [`Kind::LatencyRegression`].
    LatencyRegression {
        /// What this hour of the week used to take: the median over the hours since.
        before_us: u64,
        /// What runs have taken since: the median of the hours.
        after_us: u64,
        /// After by before, each hour against its own hour of the week.
        ratio_per_mille: u32,
        /// Hours with runs since.
        hours: u32,
        /// Those among them that were slower than their hour of the week by half of the ratio at least.
        hours_slower: u32,
        /// How much six hours in a row usually differ from their hour of the week (a robust standard deviation).
        noise_per_mille: u32,
        /// Hours that the baseline is made of.
        baseline_hours: u32,
    },
    /// Of [`Kind::RegionSlow`].
    RegionSlow {
        /// The region.
        region: String,
        /// What runs take there: the median of the hours since.
        region_us: u64,
        /// What they would take if the region stood to the others as it used to.
        expected_us: u64,
        /// What they take in the other regions in the same hours.
        others_us: u64,
        /// `region_us` by `expected_us`.
        ratio_per_mille: u32,
        /// Other regions.
        others: u32,
        /// Hours with runs since.
        hours: u32,
        /// What of the excess lies in finding the name, connecting and the TLS handshake.
        network_us: i64,
        /// What of it lies in the wait for the first byte, less a round trip.
        server_us: i64,
        /// Where it lies.
        part: SlowPart,
    },
    /// Of [`Kind::Expiry`].
    Expiry {
        /// What ends.
        what: Expires,
        /// When.
        ends_at: UtcMicros,
        /// How long until then; below 0 where it is over.
        left_us: i64,
        /// When it was seen last.
        seen_at: UtcMicros,
        /// From how much on it is told.
        told_from_us: i64,
    },
    /// Of [`Kind::Flapping`].
    Flapping {
        /// Changes between good and bad within the window.
        turns: u32,
        /// The window.
        window_us: i64,
        /// The most changes within half an hour.
        turns_half_hour: u32,
        /// Stretches of bad time within the window.
        episodes: u32,
        /// The median of their lengths.
        episode_us: i64,
        /// Bad time within the window.
        bad_us: i64,
        /// Whether some of it was worse than degraded.
        down: bool,
    },
    /// Of [`Kind::CorrelatedFailures`].
    CorrelatedFailures {
        /// What they share.
        shared: Trait,
        /// The checks that failed together, by id, in order.
        checks: Vec<String>,
        /// Checks that share it, failing or not.
        sharing: u32,
        /// Checks that failed in the same time and do not share it.
        others_failing: u32,
        /// Checks that do not share it.
        others: u32,
        /// From the first beginning to the last.
        within_us: i64,
        /// Other times that this was so within the history that was looked at.
        times_before: u32,
    },
    /// Of [`Kind::BudgetForecast`].
    BudgetForecast {
        /// When nothing will be left, at the lower of both rates; the past where nothing is left already.
        exhausted_at: UtcMicros,
        /// From now until then.
        exhausted_in_us: i64,
        /// What is left of the budget.
        left_us: i64,
        /// What was allowed.
        allowed_us: i64,
        /// How fast it burns over the long window: 1000 uses a period's budget up in exactly that period.
        long_rate_per_mille: u64,
        /// That window.
        long_us: i64,
        /// How fast it burns over the short window.
        short_rate_per_mille: u64,
        /// That window.
        short_us: i64,
    },
    /// Of [`Kind::VitalsRegression`].
    VitalsRegression {
        /// The vital.
        vital: Vital,
        /// The median of the runs before, in the vital's own unit.
        before: u64,
        /// The median of the runs since.
        after: u64,
        /// After by before; 0 where before was 0.
        ratio_per_mille: u32,
        /// Runs since.
        runs: u32,
        /// Runs that the baseline is of.
        baseline_runs: u32,
        /// What else changed with it: what made it, by all appearances.
        changed: Vec<AttributionChange>,
    },
    /// Of [`Kind::SlowResolver`].
    SlowResolver {
        /// What resolving takes there: the median of the checks' hours.
        agent_us: u64,
        /// What it takes at the other agents for the same names in the same hours.
        others_us: u64,
        /// The first by the second, pair by pair.
        ratio_per_mille: u32,
        /// Checks that were compared.
        checks: u32,
        /// Of them, those whose name is slow there.
        checks_slow: u32,
        /// Hours that were compared.
        hours: u32,
        /// Of them, those in which it was slow.
        hours_slow: u32,
    },
    /// Of [`Kind::AgentDisagrees`].
    AgentDisagrees {
        /// Why it was found.
        why: Disagreement,
        /// Answers of its that could be held against the verdict of the others, recently.
        compared: u64,
        /// Of those, how many said something else.
        disagreed: u64,
        /// How large that share is, recently.
        share_per_mille: u32,
        /// How large it used to be.
        usual_per_mille: u32,
        /// Checks that it disagreed about.
        checks: u32,
        /// Hours in which it did.
        hours: u32,
        /// The collector's clock minus the agent's, where it is known.
        clock_offset_us: Option<i64>,
        /// How far off that may be.
        clock_uncertainty_us: u64,
    },
    /// Of [`Kind::CannotFail`].
    CannotFail {
        /// Why nothing breaks it.
        why: CannotFail,
        /// The assertion as written; empty where it is the check as a whole.
        assertion: String,
        /// Which of the check's assertions, from 0; `None` where it is the check as a whole.
        index: Option<u32>,
        /// What the check as a whole would take for good: error statuses.
        accepted_statuses: Vec<u16>,
        /// Runs that never were anything but up; 0 where that is not the reason.
        runs: u64,
        /// Over so much time.
        watched_us: i64,
    },
    /// Of [`Kind::CoverageGap`].
    CoverageGap {
        /// What is missing, the worst first.
        gaps: Vec<Gap>,
        /// Agents that the check is assigned to.
        agents: u32,
        /// Of those, the ones that count: not suspended, weight above 0.
        voters: u32,
        /// Regions of those that count.
        regions: u32,
        /// Voters that the quorum asks for; 0 where it names no number.
        quorum_agents: u32,
    },
}

impl Evidence {
    /// The kind of finding that it is evidence of.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::LatencyRegression { .. } => Kind::LatencyRegression,
            Self::RegionSlow { .. } => Kind::RegionSlow,
            Self::Expiry { .. } => Kind::Expiry,
            Self::Flapping { .. } => Kind::Flapping,
            Self::CorrelatedFailures { .. } => Kind::CorrelatedFailures,
            Self::BudgetForecast { .. } => Kind::BudgetForecast,
            Self::VitalsRegression { .. } => Kind::VitalsRegression,
            Self::SlowResolver { .. } => Kind::SlowResolver,
            Self::AgentDisagrees { .. } => Kind::AgentDisagrees,
            Self::CannotFail { .. } => Kind::CannotFail,
            Self::CoverageGap { .. } => Kind::CoverageGap,
        }
    }
}

/// Where a region loses its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlowPart {
    /// On the way: name, connection, TLS.
    Network,
    /// In the answer.
    Server,
    /// In both.
    Both,
    /// The phases do not tell.
    Untold,
}

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expires {
    /// A certificate.
    Certificate,
    /// A domain's registration.
    Domain,
}

/// Something that several checks may share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Trait {
    /// What kind of thing.
    pub of: TraitOf,
    /// Which: an address without a port, a certificate's SHA-256, a domain, an id.
    pub what: String,
}

impl Trait {
    /// As [`Subject::Shared`] names it: `address:192.0.2.1`.
    pub fn subject(&self) -> Subject {
        Subject::Shared { what: alloc::format!("{}:{}", self.of.as_str(), self.what) }
    }
}

/// A kind of thing that several checks may share. Ordered: of two that explain the same, the first does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraitOf {
    /// The check that they name as a parent.
    Parent,
    /// The address dialled.
    Address,
    /// The leaf certificate.
    Certificate,
    /// The host's registrable domain.
    Domain,
    /// The network that the address is announced in: `192.0.2.0/24`.
    Network,
    /// Who operates something that it needs: as its definition calls them, or a registrable domain that a CNAME or its name servers lead to.
    Provider,
}

impl TraitOf {
    /// The stable text: `address`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parent => "parent",
            Self::Address => "address",
            Self::Certificate => "certificate",
            Self::Domain => "domain",
            Self::Network => "network",
            Self::Provider => "provider",
        }
    }
}

/// What a page's vital is put down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttributionOf {
    /// The element painted largest.
    LcpElement,
    /// Where it was loaded from.
    LcpUrl,
    /// What moved in one of the largest shifts.
    ShiftSource,
}

/// An attribution that is another than it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributionChange {
    /// What.
    pub of: AttributionOf,
    /// What it mostly was before; empty where there was none.
    pub before: String,
    /// What came with the change.
    pub after: String,
    /// Runs since of which that is true.
    pub runs: u32,
    /// Runs since that told of such a thing. Of findings that are older than this field 0: not told. The same for the others.
    #[serde(default)]
    pub runs_told: u32,
    /// Runs before of which it was true already.
    #[serde(default)]
    pub runs_before: u32,
    /// Runs before that told of such a thing.
    #[serde(default)]
    pub runs_before_told: u32,
}

/// Why an agent stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disagreement {
    /// It says something else than the others, more often than it used to: its network.
    Votes,
    /// Its clock is off.
    Clock,
    /// Both.
    VotesAndClock,
}

/// Why an assertion or a check cannot fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CannotFail {
    /// The condition that must hold holds whatever is answered.
    AlwaysHolds,
    /// The condition that must not hold never does.
    NeverMet,
    /// No run ever failed, and an error page would pass.
    AcceptsErrorPage,
}

/// What is missing in how a check is watched. Ordered: the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// No agent is assigned to it.
    NoAgent,
    /// All of its agents are suspended for it.
    AllSuspended,
    /// All of those left weigh nothing.
    AllWeightless,
    /// The quorum asks for more voters than there are: it is clamped, and says so.
    QuorumOutOfReach,
    /// One agent alone counts: what it sees is what is told.
    OneAgent,
    /// A critical check is seen from one region alone.
    OneRegion,
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn evidence_is_stored_by_its_kind() {
        let found = Found::new(
            Subject::Check { check: "shop".to_string(), part: "region:paris".to_string() },
            Severity::Warning,
            Confidence(941),
            Evidence::Expiry {
                what: Expires::Domain,
                ends_at: UtcMicros(5),
                left_us: 3,
                seen_at: UtcMicros(2),
                told_from_us: 9,
            },
            UtcMicros(1),
        );
        let json = serde_json::to_string(&found).unwrap();
        assert!(json.contains(r#""evidence":{"kind":"expiry","what":"domain","ends_at":5,"#), "{json}");
        assert_eq!(serde_json::from_str::<Found>(&json).unwrap(), found);
        let shared = Trait { of: TraitOf::Address, what: "192.0.2.1".to_string() };
        assert_eq!(shared.subject(), Subject::Shared { what: "address:192.0.2.1".to_string() });
    }
}

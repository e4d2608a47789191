//! Accounting policies: how each kind of time counts, in which hours, and what was promised.
//!
//! A policy is a versioned object: a report names the version it was made with, and the same evidence under the same version gives the same digits, years later
//! too. So everything here is whole numbers: time in microseconds, shares of it in billionths, rounded down span by span, and spans are canonical
//! ([`crate::vote::verdicts`]).
//!
//! The default policy gives the figures of [`crate::sla::Account`].

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{SlugError, slug};
use crate::service_hours::{HoursError, ServiceHours};
use crate::sla::UnknownTime;
use crate::time::{Span, UtcMicros, union};
use crate::timeline::UnknownCause;
use crate::unknown::UnknownShares;
use crate::vote::{Verdict, VerdictSpan};

/// Billionths of a whole.
const WHOLE: i128 = 1_000_000_000;

/// How a kind of time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Counting {
    /// Not at all.
    Excluded,
    /// As time up.
    Up,
    /// As time down.
    Down,
    /// As time down by the share of the votes that say so, the rest as up.
    ByShare,
}

impl Counting {
    /// The stable text, as policies are written and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Excluded => "excluded",
            Self::Up => "up",
            Self::Down => "down",
            Self::ByShare => "by_share",
        }
    }

    /// The counting of a text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Excluded, Self::Up, Self::Down, Self::ByShare].into_iter().find(|counting| counting.as_str() == text)
    }
}

impl TryFrom<String> for Counting {
    type Error = PolicyError;

    fn try_from(text: String) -> Result<Self, PolicyError> {
        Self::parse(&text).ok_or(PolicyError::Counting(text))
    }
}

impl From<Counting> for &'static str {
    fn from(counting: Counting) -> Self {
        counting.as_str()
    }
}

/// How each kind of time counts. Time up is up and time down is down, whatever the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Time under maintenance.
    pub maintenance: Counting,
    /// Time of which nothing is known.
    pub unknown: Counting,
    /// Time degraded.
    pub degraded: Counting,
    /// Time regional: somebody down, the quorum not met.
    pub regional: Counting,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            maintenance: Counting::Excluded,
            unknown: Counting::Excluded,
            degraded: Counting::Up,
            regional: Counting::Up,
        }
    }
}

impl Rules {
    /// What a span is taken for, and how that counts. Time under maintenance that counts by share and that nobody could vote in is taken for unknown.
    pub fn counting(&self, span: &VerdictSpan) -> (Verdict, Counting) {
        let blind =
            span.verdict == Verdict::Maintenance && self.maintenance == Counting::ByShare && span.share_down.1 == 0;
        let verdict = if blind { Verdict::Unknown } else { span.verdict };
        (verdict, self.of(verdict))
    }

    const fn of(&self, verdict: Verdict) -> Counting {
        match verdict {
            Verdict::Up => Counting::Up,
            Verdict::Down => Counting::Down,
            Verdict::Degraded => self.degraded,
            Verdict::Regional => self.regional,
            Verdict::Unknown => self.unknown,
            Verdict::Maintenance => self.maintenance,
        }
    }
}

/// What was promised: the availability, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Objective(pub u32);

impl Objective {
    /// Reads `99.9%` or `99.95 %`: above 0 %, at most 100 %, at most four decimals.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_suffix('%')?.trim_end();
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        let good = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 3 || decimals.len() > 4 || !good(whole) || !good(decimals) {
            return None;
        }
        let mut millionths = whole.parse::<u32>().ok()? * 10_000;
        let mut unit = 1_000;
        for digit in decimals.bytes() {
            millionths += u32::from(digit - b'0') * unit;
            unit /= 10;
        }
        (1..=1_000_000).contains(&millionths).then_some(Self(millionths))
    }

    /// The part of the time that may be bad, in millionths.
    pub const fn allowed(self) -> u32 {
        1_000_000_u32.saturating_sub(self.0)
    }
}

impl core::fmt::Display for Objective {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        if rest == 0 {
            write!(f, "{whole}%")
        } else {
            let digits = alloc::format!("{rest:04}");
            write!(f, "{whole}.{}%", digits.trim_end_matches('0'))
        }
    }
}

impl TryFrom<String> for Objective {
    type Error = PolicyError;

    fn try_from(text: String) -> Result<Self, PolicyError> {
        Self::parse(&text).ok_or(PolicyError::Objective(text))
    }
}

impl From<Objective> for String {
    fn from(objective: Objective) -> Self {
        objective.to_string()
    }
}

/// Why an accounting policy makes no sense. The text names the key, but for what is found while reading, whose place the reader knows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// The id is no slug.
    #[error("id: {0}")]
    Id(#[from] SlugError),
    /// The id of the built-in policy.
    #[error("id: {BUILT_IN:?} is the built-in policy: choose another id")]
    BuiltIn,
    /// The objective cannot be read.
    #[error("{0:?} is no share of the time: write a percentage above 0% of at most four decimals, like \"99.9%\"")]
    Objective(String),
    /// How a kind of time counts cannot be read.
    #[error("{0:?} says nothing about how time counts: write \"excluded\", \"up\", \"down\" or \"by_share\"")]
    Counting(String),
    /// Nobody votes down in that kind of time.
    #[error(
        "{0}: \"by_share\" says nothing here, for nobody votes down in such time: write \"excluded\", \"up\" or \"down\""
    )]
    Shareless(&'static str),
    /// The service hours make no sense.
    #[error(transparent)]
    Hours(#[from] HoursError),
}

/// The id of the policy that is always there: [`AccountingPolicy::built_in`].
pub const BUILT_IN: &str = "default";

/// An accounting policy, as it is written as code: a `[[policy]]` table. Its version is not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountingPolicy {
    /// Its id: a slug.
    pub id: String,
    /// What was promised. Must be written: a promise is never assumed.
    pub objective: Objective,
    /// How time under maintenance counts; by share, the votes under it count. Time that nobody can vote in then counts as unknown does.
    #[serde(default = "excluded")]
    pub maintenance: Counting,
    /// How time counts of which nothing is known.
    #[serde(default = "excluded")]
    pub unknown: Counting,
    /// How time degraded counts.
    #[serde(default = "up")]
    pub degraded: Counting,
    /// How time regional counts.
    #[serde(default = "up")]
    pub regional: Counting,
    /// When the service is promised; always where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<ServiceHours>,
}

const fn excluded() -> Counting {
    Counting::Excluded
}

const fn up() -> Counting {
    Counting::Up
}

impl AccountingPolicy {
    /// The policy `default`, which always is there, in its only version 1: the figures of [`crate::sla::Account`], at all hours. Its objective is 99.9 %, so that an
    /// error budget exists where nobody has chosen.
    pub fn built_in() -> Self {
        let Rules { maintenance, unknown, degraded, regional } = Rules::default();
        let objective = Objective(999_000);
        Self { id: BUILT_IN.to_string(), objective, maintenance, unknown, degraded, regional, hours: None }
    }

    /// How each kind of time counts.
    pub const fn rules(&self) -> Rules {
        Rules { maintenance: self.maintenance, unknown: self.unknown, degraded: self.degraded, regional: self.regional }
    }

    /// Whether the policy makes sense; an error names the key and the remedy. Whether the zone of its hours exists is for the caller to look up.
    pub fn validate(&self) -> Result<(), PolicyError> {
        slug("policy", &self.id)?;
        if self.id == BUILT_IN {
            return Err(PolicyError::BuiltIn);
        }
        for (key, counting) in [("unknown", self.unknown), ("degraded", self.degraded)] {
            if counting == Counting::ByShare {
                return Err(PolicyError::Shareless(key));
            }
        }
        Ok(self.hours.as_ref().map_or(Ok(()), ServiceHours::validate)?)
    }
}

/// Time as a policy counts it.
///
/// Evidence does not become more by the way it is counted: time of which nothing is known stays so where the policy counts it as up or down. Completeness and
/// bounds look at the time within the service hours that is known or unknown; time that the policy takes out for another reason is in neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct Reckoning {
    /// Time that counts, in microseconds.
    pub counted_us: i64,
    /// Of it the bad time, in billionths of a microsecond.
    bad: i128,
    /// The same where time down and regional costs the share of the votes that are down, however the policy counts it.
    bad_weighted: i128,
    /// Time that does not count for its kind, in microseconds.
    pub excluded_us: i64,
    /// Time outside the service hours, in microseconds.
    pub outside_us: i64,
    /// Time within the service hours of which nothing is known, in microseconds, whether it counts or not.
    pub unknown_us: i64,
    /// Of it what has a cause, by cause; see [`Self::causes`].
    unknown: UnknownTime,
    /// Of it the planned work that counts by share and that nobody could vote in, in microseconds.
    blind_us: i64,
    /// The part of it that counts, in microseconds.
    pub unknown_counted_us: i64,
    /// The part of it that counts as down, in microseconds.
    pub unknown_down_us: i64,
}

impl Reckoning {
    /// Counts verdicts, in their order. `hours` are the service hours as spans in any order; `None` is always.
    pub fn of(spans: &[VerdictSpan], rules: &Rules, hours: Option<&[Span]>) -> Self {
        let mut sum = Self::default();
        let hours = hours.map(|hours| union(hours.to_vec()));
        let mut next = 0;
        for span in spans {
            let Some(hours) = &hours else {
                sum.count(span, span.span.us(), rules);
                continue;
            };
            while hours.get(next).is_some_and(|hour| hour.to <= span.span.from) {
                next += 1;
            }
            let mut inside = 0;
            for hour in hours[next..].iter().take_while(|hour| hour.from < span.span.to) {
                inside += hour.clip(span.span).us();
            }
            sum.outside_us += span.span.us() - inside;
            sum.count(span, inside, rules);
        }
        sum
    }

    /// Time in which no policy was in force: outside.
    pub fn outside(us: i64) -> Self {
        Self { outside_us: us, ..Self::default() }
    }

    fn count(&mut self, span: &VerdictSpan, us: i64, rules: &Rules) {
        let (down, live) = span.share_down;
        let (verdict, counting) = rules.counting(span);
        let share_down = if live == 0 { 0 } else { i128::from(down) * WHOLE / i128::from(live) };
        let share = match counting {
            Counting::Excluded => None,
            Counting::Up => Some(0),
            Counting::Down => Some(WHOLE),
            Counting::ByShare => Some(share_down),
        };
        if verdict == Verdict::Unknown {
            self.unknown_us += us;
            if span.verdict == Verdict::Maintenance {
                self.blind_us += us;
            } else {
                *self.unknown.of_mut(span.unknown_cause.unwrap_or(UnknownCause::AgentOffline)) += us;
            }
            self.unknown_counted_us += if share.is_some() { us } else { 0 };
            self.unknown_down_us += if share == Some(WHOLE) { us } else { 0 };
        }
        let Some(share) = share else {
            self.excluded_us += us;
            return;
        };
        let weighted = match verdict {
            Verdict::Regional | Verdict::Down => share_down,
            Verdict::Up | Verdict::Degraded | Verdict::Unknown | Verdict::Maintenance => share,
        };
        self.counted_us += us;
        self.bad += i128::from(us) * share;
        self.bad_weighted += i128::from(us) * weighted;
    }

    /// Bad time, in microseconds, rounded down.
    pub const fn bad_us(&self) -> i64 {
        (self.bad / WHOLE) as i64
    }

    /// Bad time exactly: whole microseconds, and billionths of one.
    pub const fn bad_exactly(&self) -> (i64, i64) {
        ((self.bad / WHOLE) as i64, (self.bad % WHOLE) as i64)
    }

    /// Bad time in seconds.
    pub fn down_seconds(&self) -> f64 {
        self.bad as f64 / (WHOLE as f64 * 1e6)
    }

    /// Bad time by the share of the votes that are down, exactly: whole microseconds, and billionths of one.
    pub const fn bad_weighted_exactly(&self) -> (i64, i64) {
        ((self.bad_weighted / WHOLE) as i64, (self.bad_weighted % WHOLE) as i64)
    }

    /// Counted time of which something is known, in microseconds.
    pub const fn known_us(&self) -> i64 {
        self.counted_us - self.unknown_counted_us
    }

    /// The whole time: what counts, what is excluded and what lies outside.
    pub const fn period_us(&self) -> i64 {
        self.counted_us + self.excluded_us + self.outside_us
    }

    /// `1 - bad / counted`; `None` where nothing counts.
    pub fn availability(&self) -> Option<f64> {
        good(self.counted_us, self.bad)
    }

    /// `1 - bad / counted`, where time down or regional costs the share of the votes that are down; `None` where nothing counts.
    pub fn weighted_availability(&self) -> Option<f64> {
        good(self.counted_us, self.bad_weighted)
    }

    /// `known / (known + unknown)` within the service hours; `None` where there is neither.
    pub fn completeness(&self) -> Option<f64> {
        let unknown = i128::from(self.unknown_us) * WHOLE;
        good(self.known_us() + self.unknown_us, unknown)
    }

    /// Availability if all unknown time within the service hours had been down; `None` where nothing is known or unknown.
    pub fn lower(&self) -> Option<f64> {
        let unknown_not_down = self.unknown_us - self.unknown_down_us;
        good(self.known_us() + self.unknown_us, self.bad + i128::from(unknown_not_down) * WHOLE)
    }

    /// Availability if all unknown time within the service hours had been up; `None` where nothing is known or unknown.
    pub fn upper(&self) -> Option<f64> {
        good(self.known_us() + self.unknown_us, self.bad - i128::from(self.unknown_down_us) * WHOLE)
    }

    /// [`Self::weighted_availability`] if all unknown time within the service hours had been down.
    pub fn weighted_lower(&self) -> Option<f64> {
        let unknown_not_down = self.unknown_us - self.unknown_down_us;
        good(self.known_us() + self.unknown_us, self.bad_weighted + i128::from(unknown_not_down) * WHOLE)
    }

    /// [`Self::weighted_availability`] if all unknown time within the service hours had been up.
    pub fn weighted_upper(&self) -> Option<f64> {
        good(self.known_us() + self.unknown_us, self.bad_weighted - i128::from(self.unknown_down_us) * WHOLE)
    }

    /// The unknown time by cause, and that of planned work which counts by share and which nobody could vote in, in microseconds. `None` of what was kept by a build
    /// that did not tell causes.
    pub fn causes(&self) -> Option<(&UnknownTime, i64)> {
        (self.unknown.total_us() + self.blind_us == self.unknown_us).then_some((&self.unknown, self.blind_us))
    }

    /// What completeness leaves open, by cause; `None` where nothing is known or unknown, or no cause is told.
    pub fn unknown_shares(&self) -> Option<UnknownShares> {
        let (unknown, blind_us) = self.causes()?;
        UnknownShares::of(unknown, blind_us, self.known_us() + self.unknown_us)
    }

    /// The same without causes, as older builds kept it.
    #[must_use]
    pub fn without_causes(&self) -> Self {
        Self { unknown: UnknownTime::default(), blind_us: 0, ..*self }
    }

    /// Whether the objective is met; `None` where nothing counts.
    pub const fn meets(&self, objective: Objective) -> Option<bool> {
        if self.counted_us == 0 {
            return None;
        }
        let allowed = self.counted_us as i128 * objective.allowed() as i128;
        Some(self.bad * 1_000_000 <= allowed * WHOLE)
    }

    /// The error budget over this time: what may be bad, and what is left of it (below 0 where more was bad), in microseconds.
    pub fn budget(&self, objective: Objective) -> Budget {
        let allowed = i128::from(self.counted_us) * i128::from(objective.allowed()) / 1_000_000;
        Budget { allowed_us: allowed as i64, left_us: (allowed - self.bad / WHOLE) as i64 }
    }

    /// How many times faster than evenly the budget burns: 1 uses it up exactly at the end of its period. `None` where nothing counts, or where the objective
    /// allows nothing and something is bad.
    pub fn burn_rate(&self, objective: Objective) -> Option<f64> {
        if self.counted_us == 0 {
            return None;
        }
        let bad = self.bad as f64 / WHOLE as f64 / self.counted_us as f64;
        match objective.allowed() {
            0 if self.bad == 0 => Some(0.0),
            0 => None,
            allowed => Some(bad / (f64::from(allowed) / 1e6)),
        }
    }
}

/// A reckoning as it is kept: exactly, in numbers that every reader of JSON has.
#[derive(Serialize, Deserialize)]
struct Kept {
    counted_us: i64,
    bad: (i64, i64),
    bad_weighted: (i64, i64),
    excluded_us: i64,
    outside_us: i64,
    unknown_us: i64,
    unknown_counted_us: i64,
    unknown_down_us: i64,
    /// Builds before this was told kept none: the causes then do not add up to `unknown_us`, unless that is 0.
    #[serde(default)]
    unknown: UnknownTime,
    #[serde(default)]
    blind_us: i64,
}

impl From<Kept> for Reckoning {
    fn from(kept: Kept) -> Self {
        let whole = |(us, billionths): (i64, i64)| i128::from(us) * WHOLE + i128::from(billionths);
        Self {
            counted_us: kept.counted_us,
            bad: whole(kept.bad),
            bad_weighted: whole(kept.bad_weighted),
            excluded_us: kept.excluded_us,
            outside_us: kept.outside_us,
            unknown_us: kept.unknown_us,
            unknown: kept.unknown,
            blind_us: kept.blind_us,
            unknown_counted_us: kept.unknown_counted_us,
            unknown_down_us: kept.unknown_down_us,
        }
    }
}

impl From<Reckoning> for Kept {
    fn from(counts: Reckoning) -> Self {
        Self {
            counted_us: counts.counted_us,
            bad: counts.bad_exactly(),
            bad_weighted: counts.bad_weighted_exactly(),
            excluded_us: counts.excluded_us,
            outside_us: counts.outside_us,
            unknown_us: counts.unknown_us,
            unknown_counted_us: counts.unknown_counted_us,
            unknown_down_us: counts.unknown_down_us,
            unknown: counts.unknown,
            blind_us: counts.blind_us,
        }
    }
}

impl core::ops::AddAssign for Reckoning {
    fn add_assign(&mut self, other: Self) {
        self.counted_us += other.counted_us;
        self.bad += other.bad;
        self.bad_weighted += other.bad_weighted;
        self.excluded_us += other.excluded_us;
        self.outside_us += other.outside_us;
        self.unknown_us += other.unknown_us;
        self.unknown_counted_us += other.unknown_counted_us;
        self.unknown_down_us += other.unknown_down_us;
        for cause in UnknownCause::ALL {
            *self.unknown.of_mut(*cause) += other.unknown.of(*cause);
        }
        self.blind_us += other.blind_us;
    }
}

/// `1 - bad / whole`, of microseconds and billionths of one. One division of integers that are exact where no share is broken, so the digits are the same on every
/// machine.
fn good(whole_us: i64, bad: i128) -> Option<f64> {
    if whole_us <= 0 {
        return None;
    }
    let whole = i128::from(whole_us) * WHOLE;
    Some(match (bad % WHOLE, i64::try_from((whole - bad) / WHOLE)) {
        (0, Ok(good_us)) => good_us as f64 / whole_us as f64,
        _ => (whole - bad) as f64 / whole as f64,
    })
}

/// An error budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// What may be bad, in microseconds.
    pub allowed_us: i64,
    /// What is left of it, in microseconds; below 0 where it is overdrawn.
    pub left_us: i64,
}

/// The windows that burn rates are looked at over, in microseconds: 1 h, 6 h, 3 d.
pub const BURN_WINDOWS_US: [i64; 3] = [3_600_000_000, 6 * 3_600_000_000, 3 * 86_400_000_000];

/// A window's end and length as a span.
pub fn window(until: UtcMicros, length_us: i64) -> Span {
    Span::new(until.plus_us(-length_us), until)
}

/// The spans of verdicts that lie in `within`, cut at its borders.
pub fn cut(spans: &[VerdictSpan], within: Span) -> Vec<VerdictSpan> {
    let first = spans.partition_point(|span| span.span.to <= within.from);
    spans[first..]
        .iter()
        .take_while(|span| span.span.from < within.to)
        .map(|span| VerdictSpan { span: span.span.clip(within), ..*span })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sla::Account;

    fn span(from: i64, to: i64, verdict: Verdict, share_down: (u64, u64)) -> VerdictSpan {
        VerdictSpan {
            span: Span::new(UtcMicros(from), UtcMicros(to)),
            verdict,
            share_down,
            unknown_cause: None,
            quorum_reduced: false,
        }
    }

    fn story() -> [VerdictSpan; 6] {
        [
            span(0, 600, Verdict::Up, (0, 3000)),
            span(600, 700, Verdict::Down, (2000, 3000)),
            span(700, 800, Verdict::Regional, (1000, 3000)),
            span(800, 850, Verdict::Degraded, (0, 3000)),
            span(850, 900, Verdict::Unknown, (0, 0)),
            span(900, 1000, Verdict::Maintenance, (3000, 3000)),
        ]
    }

    #[test]
    fn the_default_counts_as_accounts_do() {
        let spans = story();
        let (account, reckoned) = (Account::of(&spans), Reckoning::of(&spans, &Rules::default(), None));
        assert_eq!(reckoned.counted_us, account.measured_us());
        assert_eq!(reckoned.bad_us(), account.down_us);
        assert_eq!(reckoned.availability(), account.availability());
        let (ours, theirs) = (reckoned.weighted_availability().unwrap(), account.weighted_availability().unwrap());
        assert!((ours - theirs).abs() < 1e-9, "a share is cut to billionths: {ours} {theirs}");
        assert_eq!(reckoned.completeness(), account.completeness());
        assert_eq!((reckoned.lower(), reckoned.upper()), (account.lower(), account.upper()));
        assert_eq!(reckoned.period_us(), account.period_us());
    }

    #[test]
    fn the_built_in_policy_counts_so_too() {
        let policy = AccountingPolicy::built_in();
        assert_eq!((policy.rules(), policy.hours.clone()), (Rules::default(), None));
        assert_eq!(policy.validate(), Err(PolicyError::BuiltIn), "nobody writes another one");
    }

    #[test]
    fn unknown_time_that_counts_is_no_evidence() {
        let plain = Reckoning::of(&story(), &Rules::default(), None);
        for (unknown, availability) in [(Counting::Up, 800.0 / 900.0), (Counting::Down, 750.0 / 900.0)] {
            let rules = Rules { unknown, ..Rules::default() };
            let sum = Reckoning::of(&story(), &rules, None);
            assert_eq!(sum.availability(), Some(availability));
            assert_eq!((sum.known_us(), sum.unknown_us), (plain.known_us(), 50));
            assert_eq!(sum.completeness(), plain.completeness());
            assert_eq!((sum.lower(), sum.upper()), (plain.lower(), plain.upper()));
        }
        let blind = [span(0, 10, Verdict::Maintenance, (0, 0)), span(10, 20, Verdict::Unknown, (0, 0))];
        let rules = Rules { maintenance: Counting::ByShare, ..Rules::default() };
        let sum = Reckoning::of(&blind, &rules, None);
        assert_eq!((sum.counted_us, sum.unknown_us, sum.excluded_us), (0, 20, 20), "nobody could vote: unknown");
        assert_eq!((sum.availability(), sum.completeness()), (None, Some(0.0)));
        assert_eq!((sum.lower(), sum.upper()), (Some(0.0), Some(1.0)));
    }

    #[test]
    fn a_regional_outage_costs_its_share_however_it_counts() {
        let weighted = |regional| {
            let rules = Rules { regional, ..Rules::default() };
            Reckoning::of(&story(), &rules, None).bad_weighted_exactly()
        };
        let third = 333_333_333;
        // 100 us down by 2/3 and 100 us regional by 1/3.
        assert_eq!(weighted(Counting::Up), (99, 999_999_900));
        assert_eq!(weighted(Counting::Down), weighted(Counting::Up));
        assert_eq!(weighted(Counting::Excluded), (66, 666_666_600));
        let rules = Rules { regional: Counting::ByShare, ..Rules::default() };
        assert_eq!(Reckoning::of(&story(), &rules, None).bad_exactly(), (133, third * 100 % 1_000_000_000));
    }

    #[test]
    fn objectives_are_met_to_the_microsecond() {
        let spans = [span(0, 999, Verdict::Up, (0, 1)), span(999, 1000, Verdict::Down, (1, 1))];
        let sum = Reckoning::of(&spans, &Rules::default(), None);
        let meets = |text: &str| sum.meets(Objective::parse(text).unwrap());
        assert_eq!((meets("99.9%"), meets("99.9001%"), meets("100%")), (Some(true), Some(false), Some(false)));
        assert_eq!(Reckoning::outside(5).meets(Objective(1)), None);
    }

    #[test]
    fn policies_read_as_they_are_written() {
        let json = r#"{"id":"contract","objective":"99.95%","maintenance":"excluded","unknown":"down","degraded":"up",
                       "regional":"by_share","hours":{"zone":"Europe/Paris","weekly":["mon-fri 08:00-20:00"],
                       "except":["2026-12-25"]}}"#;
        let policy: AccountingPolicy = serde_json::from_str(json).unwrap();
        assert_eq!(policy.validate(), Ok(()));
        assert_eq!((policy.unknown, policy.objective), (Counting::Down, Objective(999_500)));
        let plain: String = json.split_whitespace().collect();
        assert_eq!(serde_json::to_string(&policy).unwrap(), plain.replace("fri08", "fri 08"));
        let short: AccountingPolicy = serde_json::from_str(r#"{"id":"a","objective":"99%"}"#).unwrap();
        assert_eq!((short.rules(), short.validate()), (Rules::default(), Ok(())));
        let refused = [
            (r#"{"id":"a"}"#, "objective"),
            (r#"{"id":"a","objective":"99"}"#, "percentage"),
            (r#"{"id":"a","objective":"99%","unknown":"bad"}"#, "by_share"),
            (r#"{"id":"a","objective":"99%","other":1}"#, "other"),
            (r#"{"id":"a","objective":"99%","hours":{"zone":"UTC","weekly":["x"]}}"#, "\"x\" is no entry"),
            (r#"{"id":"a","objective":"99%","hours":{"zone":"UTC","weekly":[],"except":["x"]}}"#, "\"x\" is no day"),
        ];
        for (json, what) in refused {
            let error = serde_json::from_str::<AccountingPolicy>(json).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        let invalid = |change: fn(&mut AccountingPolicy)| {
            let mut policy = short.clone();
            change(&mut policy);
            policy.validate().unwrap_err().to_string()
        };
        assert!(invalid(|policy| policy.id = "A b".into()).starts_with("id: "));
        assert!(invalid(|policy| policy.unknown = Counting::ByShare).starts_with("unknown: \"by_share\""));
        assert!(invalid(|policy| policy.degraded = Counting::ByShare).starts_with("degraded: \"by_share\""));
    }

    #[test]
    fn each_kind_counts_as_told() {
        let bad = |rules: Rules| {
            let sum = Reckoning::of(&story(), &rules, None);
            (sum.bad_us(), sum.counted_us, sum.excluded_us)
        };
        let default = Rules::default();
        assert_eq!(bad(Rules { regional: Counting::ByShare, ..default }), (133, 850, 150));
        assert_eq!(bad(Rules { regional: Counting::Down, ..default }), (200, 850, 150));
        assert_eq!(bad(Rules { degraded: Counting::Excluded, ..default }), (100, 800, 200));
        assert_eq!(bad(Rules { unknown: Counting::Down, ..default }), (150, 900, 100));
        assert_eq!(bad(Rules { maintenance: Counting::Up, unknown: Counting::Up, ..default }), (100, 1000, 0));
        assert_eq!(bad(Rules { maintenance: Counting::ByShare, ..default }), (200, 950, 50));
    }

    #[test]
    fn service_hours_leave_the_rest_out() {
        let hours = [Span::new(UtcMicros(650), UtcMicros(750)), Span::new(UtcMicros(100), UtcMicros(200))];
        let sum = Reckoning::of(&story(), &Rules::default(), Some(&hours));
        assert_eq!((sum.counted_us, sum.bad_us(), sum.outside_us, sum.excluded_us), (200, 50, 800, 0));
        let none = Reckoning::of(&story(), &Rules::default(), Some(&[]));
        assert_eq!((none.counted_us, none.outside_us, none.availability()), (0, 1000, None));
    }

    #[test]
    fn budgets_and_burn_rates() {
        let sum = Reckoning::of(&story(), &Rules::default(), None);
        let objective = Objective::parse("90%").unwrap();
        assert_eq!(sum.budget(objective), Budget { allowed_us: 85, left_us: -15 });
        let rate = sum.burn_rate(objective).unwrap();
        assert!((rate - 100.0 / 85.0).abs() < 1e-12, "{rate}");
        assert_eq!(sum.burn_rate(Objective(1_000_000)), None);
        let well = Reckoning::of(&story()[..1], &Rules::default(), None);
        assert_eq!(well.burn_rate(Objective(1_000_000)), Some(0.0));
        assert_eq!(Reckoning::default().burn_rate(objective), None);
    }

    #[test]
    fn objectives_read_as_they_are_shown() {
        for (text, millionths) in [("99.9%", 999_000), ("99.95 %", 999_500), ("100%", 1_000_000), ("0.0001%", 1)] {
            let objective = Objective::parse(text).unwrap();
            assert_eq!(objective.0, millionths, "{text}");
            assert_eq!(Objective::parse(&alloc::format!("{objective}")), Some(objective));
        }
        for bad in ["", "%", "99.9", "101%", "0%", "99.99999%", "-1%", "1000%", "9 9%", ".5%"] {
            assert_eq!(Objective::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn cuts_keep_what_lies_inside() {
        let spans = cut(&story(), Span::new(UtcMicros(650), UtcMicros(820)));
        let got: Vec<_> = spans.iter().map(|span| (span.span.from.0, span.span.to.0, span.verdict)).collect();
        assert_eq!(got, [(650, 700, Verdict::Down), (700, 800, Verdict::Regional), (800, 820, Verdict::Degraded)]);
    }
}

//! Accounting policies: how each kind of time counts, in which hours, and what was promised.
//!
//! A policy is a versioned object: a report names the version it was made with, and the same evidence under the same version gives the same digits, years later
//! too. So everything here is whole numbers: time in microseconds, shares of it in billionths, rounded down span by span, and spans are canonical
//! ([`crate::vote::verdicts`]).
//!
//! The default policy gives the figures of [`crate::sla::Account`].

use alloc::string::String;
use alloc::vec::Vec;

use crate::time::{Span, UtcMicros, union};
use crate::vote::{Verdict, VerdictSpan};

/// Billionths of a whole.
const WHOLE: i128 = 1_000_000_000;

/// How a kind of time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// How each kind of time counts. Time up is up and time down is down, whatever the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// An accounting policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountingPolicy {
    /// Its name: a slug.
    pub name: String,
    /// Its version, from 1; a change makes the next one.
    pub version: u32,
    /// How each kind of time counts.
    pub rules: Rules,
    /// What was promised.
    pub objective: Objective,
}

/// Time as a policy counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reckoning {
    /// Time that counts, in microseconds.
    pub counted_us: i64,
    /// Of it the bad time, in billionths of a microsecond.
    bad: i128,
    /// Time that does not count for its kind, in microseconds.
    pub excluded_us: i64,
    /// Time outside the service hours, in microseconds.
    pub outside_us: i64,
}

impl Reckoning {
    /// Counts verdicts, in their order. `hours` are the service hours as spans in any order; `None` is always.
    pub fn of(spans: &[VerdictSpan], rules: &Rules, hours: Option<&[Span]>) -> Self {
        let mut sum = Self::default();
        let hours = hours.map(|hours| union(hours.to_vec()));
        let mut next = 0;
        for span in spans {
            let Some(hours) = &hours else {
                sum.add(span, span.span.us(), rules);
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
            sum.add(span, inside, rules);
        }
        sum
    }

    fn add(&mut self, span: &VerdictSpan, us: i64, rules: &Rules) {
        let share = match rules.of(span.verdict) {
            Counting::Excluded => {
                self.excluded_us += us;
                return;
            }
            Counting::Up => 0,
            Counting::Down => WHOLE,
            Counting::ByShare => match span.share_down {
                (_, 0) => 0,
                (down, live) => i128::from(down) * WHOLE / i128::from(live),
            },
        };
        self.counted_us += us;
        self.bad += i128::from(us) * share;
    }

    /// Bad time, in microseconds, rounded down.
    pub const fn bad_us(&self) -> i64 {
        (self.bad / WHOLE) as i64
    }

    /// `1 - bad / counted`; `None` where nothing counts.
    pub fn availability(&self) -> Option<f64> {
        (self.counted_us > 0).then(|| 1.0 - self.bad as f64 / (self.counted_us as f64 * WHOLE as f64))
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
        assert_eq!(reckoned.counted_us + reckoned.excluded_us, account.period_us());
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

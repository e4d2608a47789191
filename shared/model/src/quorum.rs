//! When enough voters are bad: the quorum policy of a check.
//!
//! Texts: `any`, `majority` (the default: more than half of the live weight), `all`, `share >= 0.6`, `agents >= 2`.
//! Weights are integers (thousandths) and shares are parts per million, so every comparison is exact.

use alloc::string::{String, ToString};
use core::fmt;

/// A share of 1, in parts per million.
pub const SHARE_PPM_ONE: u32 = 1_000_000;
/// Most agents that `agents >= n` may ask for.
pub const AGENTS_MAX: u32 = 10_000;

/// When enough live voters are down (or degraded) for the verdict to say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Quorum {
    /// One bad voter is enough.
    Any,
    /// Bad voters hold more than half of the live weight.
    #[default]
    Majority,
    /// Every live voter is bad.
    All,
    /// Bad voters hold at least this share of the live weight, in parts per million: 1 to [`SHARE_PPM_ONE`].
    Share(u32),
    /// At least so many voters are bad, 1 to [`AGENTS_MAX`]; clamped to the number of live voters.
    Agents(u32),
}

/// What [`Quorum::met`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Met {
    /// The bad voters meet the quorum.
    pub met: bool,
    /// `agents >= n` asks for more voters than are live, so `n` was clamped. Told whether the quorum is met or not.
    pub reduced: bool,
}

/// Why a text is no quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumError {
    /// Where, counted in characters from 1.
    pub column: usize,
    /// What is wrong there, with the remedy.
    pub message: String,
}

impl fmt::Display for QuorumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "quorum, column {}: {}", self.column, self.message)
    }
}

impl core::error::Error for QuorumError {}

const CHOICES: &str = "use \"any\", \"majority\", \"all\", \"share >= 0.6\" or \"agents >= 2\"";

impl Quorum {
    /// Parses a quorum text; spaces around and between words do not matter.
    pub fn parse(text: &str) -> Result<Self, QuorumError> {
        let error = |rest: &str, message: String| QuorumError {
            column: text.chars().count() - rest.chars().count() + 1,
            message,
        };
        let rest = text.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        let after = tail.trim();
        let simple = |quorum: Self| {
            if after.is_empty() {
                Ok(quorum)
            } else {
                Err(error(tail.trim_start(), alloc::format!("nothing may follow \"{word}\"; remove {after:?}")))
            }
        };
        match word {
            "any" => simple(Self::Any),
            "majority" => simple(Self::Majority),
            "all" => simple(Self::All),
            "share" | "agents" => {
                let tail = tail.trim_start();
                let Some(value) = tail.strip_prefix(">=") else {
                    return Err(error(tail, alloc::format!("\"{word}\" is compared with \">=\": {CHOICES}")));
                };
                let value = value.trim_start();
                let number = value.trim_end();
                if word == "share" {
                    share_ppm(number).map(Self::Share).ok_or_else(|| {
                        error(
                            value,
                            alloc::format!(
                                "{number:?} is no share: use a number above 0, up to 1, with at most 6 decimals, as in \"share >= 0.6\""
                            ),
                        )
                    })
                } else {
                    number
                        .parse::<u32>()
                        .ok()
                        .filter(|n| (1..=AGENTS_MAX).contains(n) && number.bytes().all(|b| b.is_ascii_digit()))
                        .map(Self::Agents)
                        .ok_or_else(|| {
                            error(
                                value,
                                alloc::format!(
                                    "{number:?} is no number of agents: use a whole number from 1 to {AGENTS_MAX}, as in \"agents >= 2\""
                                ),
                            )
                        })
                }
            }
            _ => Err(error(rest, alloc::format!("{:?} is no quorum: {CHOICES}", rest.trim_end()))),
        }
    }

    /// Whether bad voters meet the quorum. `bad_*` are those of the live voters that vote bad; weights are sums of
    /// [`crate::control::Weight`]s. Nobody bad, or nobody live, never meets it.
    pub fn met(self, bad_weight: u64, total_weight: u64, bad_count: u32, live_count: u32) -> Met {
        let (bad, total) = (u128::from(bad_weight), u128::from(total_weight));
        let (enough, reduced) = match self {
            Self::Any => (true, false),
            Self::Majority => (bad * 2 > total, false),
            Self::All => (bad_count == live_count, false),
            Self::Share(ppm) => (bad * u128::from(SHARE_PPM_ONE) >= u128::from(ppm) * total, false),
            Self::Agents(n) => (bad_count >= n.min(live_count), n > live_count),
        };
        Met { met: enough && bad_count > 0, reduced: reduced && live_count > 0 }
    }
}

/// A decimal above 0 up to 1 with at most 6 decimals, in parts per million.
fn share_ppm(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 6 || (text.contains('.') && decimals.is_empty()) || whole.is_empty() || whole.len() > 3 {
        return None;
    }
    if !whole.bytes().chain(decimals.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = |text: &str| text.bytes().fold(0_u32, |n, b| n * 10 + u32::from(b - b'0'));
    let ppm = digits(whole) * SHARE_PPM_ONE + digits(decimals) * 10_u32.pow(6 - decimals.len() as u32);
    (1..=SHARE_PPM_ONE).contains(&ppm).then_some(ppm)
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Majority => f.write_str("majority"),
            Self::All => f.write_str("all"),
            Self::Share(SHARE_PPM_ONE) => f.write_str("share >= 1"),
            Self::Share(ppm) => {
                let decimals = alloc::format!("{ppm:06}");
                write!(f, "share >= 0.{}", decimals.trim_end_matches('0'))
            }
            Self::Agents(n) => f.write_str("agents >= ").and_then(|()| f.write_str(&n.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip() {
        for text in ["any", "majority", "all", "share >= 0.6", "share >= 1", "share >= 0.000001", "agents >= 2"] {
            assert_eq!(Quorum::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Quorum::parse(" share>=0.60 ").unwrap(), Quorum::Share(600_000));
        assert_eq!(Quorum::parse("agents  >=  3").unwrap(), Quorum::Agents(3));
    }

    #[test]
    fn errors_point_at_the_column() {
        for (text, column) in [
            ("most", 1),
            ("", 1),
            ("any 2", 5),
            ("share > 0.5", 7),
            ("share >= 1.5", 10),
            ("share >= 0", 10),
            ("share >= 0.1234567", 10),
            ("agents >= 0", 11),
            ("agents >= +2", 11),
            ("agents >= x", 11),
            ("agents", 7),
        ] {
            let error = Quorum::parse(text).unwrap_err();
            assert_eq!(error.column, column, "{text:?}: {error}");
        }
    }

    #[test]
    fn meets_exactly() {
        let met = |quorum: Quorum, bad, total, bad_count, live| quorum.met(bad, total, bad_count, live).met;
        assert!(!met(Quorum::Majority, 1000, 2000, 1, 2));
        assert!(met(Quorum::Majority, 1001, 2001, 1, 2));
        assert!(met(Quorum::Share(600_000), 3000, 5000, 3, 5));
        assert!(!met(Quorum::Share(600_001), 3000, 5000, 3, 5));
        assert!(met(Quorum::Any, 1, 5000, 1, 5));
        assert!(!met(Quorum::All, 4000, 5000, 4, 5));
        assert!(met(Quorum::All, 5000, 5000, 5, 5));
        for quorum in [Quorum::Any, Quorum::Majority, Quorum::All, Quorum::Share(1), Quorum::Agents(1)] {
            assert!(!met(quorum, 0, 0, 0, 0));
            assert!(!met(quorum, 0, 5000, 0, 5));
        }
        assert_eq!(Quorum::Agents(3).met(2000, 2000, 2, 2), Met { met: true, reduced: true });
        assert_eq!(Quorum::Agents(3).met(1000, 2000, 1, 2), Met { met: false, reduced: true });
        assert_eq!(Quorum::Agents(2).met(2000, 3000, 2, 3), Met { met: true, reduced: false });
    }
}

//! What the scores of a day were made of: the column `made` of the tables `impact_day` and `impact_set_day`.
//!
//! Only what added something is kept, and of a check whose score is 0 nothing is. A score's weights and thresholds change seldom, so a day has each of them once and its hours refer
//! to them: an hour of a check costs 2 bytes and 7 for each signal that adds something, and the day 19 for each of those, 8 besides.
//!
//! Layout, all numbers little endian: version byte; CRC32C of the rest (4); how many scales (2); of each its signal's code (1), its weight in ten-thousandths (2), where it begins to
//! count and where it counts in full (8 each, IEEE 754). Then the hours, until the end: which of the day (1; 128 more of several checks together), how many parts (1), the parts. Of a check's
//! each is its scale (1), its points in hundredths (2), its value (4, IEEE 754). Of several together a part is a signal's code (1) and points (2); after the parts how many checks
//! count (4), how many of them have a score (4), the number of the check that raised it (4; 0 of none) and by how much (2).

use std::collections::BTreeMap;

use sitepulse_model::id::CheckNo;
use sitepulse_model::impact::together::{Raised, Together};
use sitepulse_model::impact::{Contribution, Points, Score, Signal};
use thiserror::Error;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 5;
/// Of several checks together.
const TOGETHER: u8 = 128;

/// Why bytes do not tell what scores were made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum MadeError {
    /// They end early.
    #[error("what scores were made of is cut")]
    Length,
    /// A newer build wrote them, or the first byte is damaged.
    #[error("version {0} of what scores were made of is not known: this build knows version {VERSION}")]
    Version(u8),
    /// They are not what was written.
    #[error("the checksum of what scores were made of is wrong")]
    Checksum,
    /// They contradict themselves.
    #[error("what scores were made of contradicts itself: {0}")]
    Damaged(&'static str),
}

/// What a score was made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Made {
    /// A check's: what added something.
    Check(Vec<Contribution>),
    /// That of several checks.
    Together(MadeTogether),
}

/// What the score of several checks was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MadeTogether {
    /// What each signal added to the mean: those that did.
    pub contributions: Vec<(Signal, Points)>,
    /// What it was raised by.
    pub raised: Option<Raised>,
    /// Checks that counted.
    pub checks: u32,
    /// Those of them with a score.
    pub scored: u32,
}

impl Made {
    /// What of a score is kept.
    pub(crate) fn of(score: &Score) -> Self {
        let part = |one: &Contribution| Contribution { value: as_kept(one.value), ..*one };
        Self::Check(score.contributions.iter().filter(|one| one.points > Points(0)).map(part).collect())
    }

    /// What of the score of several checks is kept.
    pub(crate) fn together(score: &Together) -> Self {
        let parts = score.contributions.iter().filter(|(_, points)| *points > Points(0));
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self::Together(MadeTogether {
            contributions: parts.copied().collect(),
            raised: score.raised,
            checks: count(score.checks),
            scored: count(score.scored),
        })
    }

    /// What it adds up to.
    pub(crate) fn points(&self) -> Points {
        match self {
            Self::Check(parts) => Points(parts.iter().map(|one| one.points.0).sum()),
            Self::Together(MadeTogether { contributions, raised, .. }) => {
                let raised = raised.map_or(0, |raised| raised.points.0);
                Points(contributions.iter().map(|(_, points)| points.0).sum::<u32>() + raised)
            }
        }
    }
}

/// A value with the digits that are kept of it, seven: as it would be written, so that 0.999 stays 0.999.
fn as_kept(value: f64) -> f64 {
    (value as f32).to_string().parse().unwrap_or(value)
}

/// A signal's weight and thresholds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    signal: Signal,
    weight: u32,
    warning: f64,
    critical: f64,
}

/// A day, by the hour.
pub(crate) type Day = BTreeMap<u8, Made>;

/// A number that fits: points and weights are 10,000 at most.
fn short(number: u32) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes()
}

/// A day as bytes.
pub(crate) fn encode(day: &Day) -> Vec<u8> {
    let mut scales: Vec<Scale> = Vec::new();
    let mut hours = Vec::new();
    for (hour, made) in day {
        match made {
            Made::Check(parts) => {
                hours.extend([*hour, parts.len() as u8]);
                for one in parts {
                    let Contribution { signal, warning, critical, weight, .. } = *one;
                    let scale = Scale { signal, weight, warning, critical };
                    let at = scales.iter().position(|known| *known == scale).unwrap_or_else(|| {
                        scales.push(scale);
                        scales.len() - 1
                    });
                    // At most 24 hours of at most ten signals.
                    hours.push(at as u8);
                    hours.extend(short(one.points.0));
                    hours.extend((one.value as f32).to_le_bytes());
                }
            }
            Made::Together(MadeTogether { contributions, raised, checks, scored }) => {
                hours.extend([*hour | TOGETHER, contributions.len() as u8]);
                for (signal, points) in contributions {
                    hours.push(signal.code());
                    hours.extend(short(points.0));
                }
                let by = raised.map_or((0, 0), |raised| (raised.check.0, raised.points.0));
                for number in [*checks, *scored, by.0] {
                    hours.extend(number.to_le_bytes());
                }
                hours.extend(short(by.1));
            }
        }
    }
    let mut out = vec![VERSION, 0, 0, 0, 0];
    out.extend(short(scales.len() as u32));
    for Scale { signal, weight, warning, critical } in scales {
        out.push(signal.code());
        out.extend(short(weight));
        out.extend(warning.to_le_bytes());
        out.extend(critical.to_le_bytes());
    }
    out.extend(hours);
    let sum = crc32c::crc32c(&out[HEAD_BYTES..]);
    out[1..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
    out
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// They are no such day, or not as they were written.
pub(crate) fn decode(bytes: &[u8]) -> Result<Day, MadeError> {
    let (head, mut rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(MadeError::Length)?;
    if head[0] != VERSION {
        return Err(MadeError::Version(head[0]));
    }
    if crc32c::crc32c(rest) != u32::from_le_bytes([head[1], head[2], head[3], head[4]]) {
        return Err(MadeError::Checksum);
    }
    let rest = &mut rest;
    let signal = |code: u8| Signal::of_code(code).ok_or(MadeError::Damaged("a signal that there is not"));
    let mut scales = Vec::new();
    for _ in 0..u16::from_le_bytes(take(rest)?) {
        let [code] = take(rest)?;
        scales.push(Scale {
            signal: signal(code)?,
            weight: u16::from_le_bytes(take(rest)?).into(),
            warning: f64::from_le_bytes(take(rest)?),
            critical: f64::from_le_bytes(take(rest)?),
        });
    }
    let mut day = Day::new();
    while !rest.is_empty() {
        let [hour, parts] = take(rest)?;
        let made = if hour & TOGETHER == 0 {
            let mut contributions = Vec::new();
            for _ in 0..parts {
                let [at] = take(rest)?;
                let scale = scales.get(usize::from(at)).ok_or(MadeError::Damaged("a scale that there is not"))?;
                let Scale { signal, weight, warning, critical } = *scale;
                let points = Points(u16::from_le_bytes(take(rest)?).into());
                let value = as_kept(f32::from_le_bytes(take(rest)?).into());
                contributions.push(Contribution { signal, value, warning, critical, weight, points });
            }
            Made::Check(contributions)
        } else {
            let mut contributions = Vec::new();
            for _ in 0..parts {
                let [code] = take(rest)?;
                contributions.push((signal(code)?, Points(u16::from_le_bytes(take(rest)?).into())));
            }
            let (checks, scored) = (u32::from_le_bytes(take(rest)?), u32::from_le_bytes(take(rest)?));
            let check = CheckNo(u32::from_le_bytes(take(rest)?));
            let points = Points(u16::from_le_bytes(take(rest)?).into());
            let raised = (check != CheckNo(0)).then_some(Raised { check, points });
            Made::Together(MadeTogether { contributions, raised, checks, scored })
        };
        let hour = hour & !TOGETHER;
        if hour > 23 || day.insert(hour, made).is_some() {
            return Err(MadeError::Damaged("an hour twice, or one that no day has"));
        }
    }
    Ok(day)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], MadeError> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or(MadeError::Length)?;
    *bytes = rest;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sitepulse_model::impact::model::ScoringModel;
    use sitepulse_model::impact::together::Member;
    use sitepulse_model::impact::{Findings, Signals};

    use super::*;

    fn signals(availability: f64, recurrence: Option<f64>, p95: Option<f64>, findings: Option<f64>) -> Signals {
        Signals {
            weighted_availability: Some(availability),
            recurrence,
            latency_p95: p95,
            findings: findings.map(|open| Findings { open, stale: open / 2.0 }),
            ..Signals::default()
        }
    }

    #[test]
    fn golden_bytes_and_what_an_hour_costs() {
        let model = ScoringModel::built_in();
        let score = |availability| model.score(&signals(availability, Some(2.0), None, None)).unwrap();
        let day: Day = [(0, Made::of(&score(0.995))), (23, Made::of(&score(0.99)))].into();
        let bytes = encode(&day);
        // A head, two scales, two hours of two signals each.
        assert_eq!(bytes.len(), 7 + 2 * 19 + 2 * (2 + 2 * 7));
        assert_eq!(decode(&bytes), Ok(day));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = "01624e1202020001581b2c8716d9cef7ef3fae47e17a14aeef3f02b80b000000000000f03f0000000000001440000200270c\
                    52b87e3f01ee0200000040170200581ba4707d3f01ee0200000040";
        assert_eq!(hex, golden);
        assert_eq!(encode(&Day::new()).len(), 7);
    }

    #[test]
    fn each_kind_of_damage_is_told_apart() {
        let made = Made::of(&ScoringModel::built_in().score(&signals(0.99, None, None, None)).unwrap());
        let bytes = encode(&[(5, made)].into());
        assert_eq!(decode(&[]), Err(MadeError::Length));
        assert_eq!(decode(&[9, 0, 0, 0, 0, 0, 0]), Err(MadeError::Version(9)));
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(decode(&flipped), Err(MadeError::Checksum));
        let sealed = |mut bytes: Vec<u8>| {
            let sum = crc32c::crc32c(&bytes[HEAD_BYTES..]);
            bytes[1..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
            decode(&bytes)
        };
        assert_eq!(sealed(bytes[..bytes.len() - 1].to_vec()), Err(MadeError::Length));
        let hour = bytes.len() - 9;
        for (at, byte) in [(7, 77), (hour, 24), (hour + 2, 9)] {
            let mut damaged = bytes.clone();
            damaged[at] = byte;
            assert!(matches!(sealed(damaged), Err(MadeError::Damaged(_))), "{at}");
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_adds_up_to_the_score_to_the_last_digit(
            given in prop::collection::vec((0.98..=1.0_f64, prop::option::of(0.0..6.0_f64), prop::option::of(0.5..3.0_f64), prop::option::of(0.0..9.0_f64)), 1..24),
            critical in any::<bool>(),
        ) {
            let model = ScoringModel::built_in();
            let scores: Vec<Score> = given.iter().filter_map(|(a, r, p, f)| model.score(&signals(*a, *r, *p, *f))).collect();
            let day: Day = (0..).zip(&scores).map(|(hour, score)| (hour, Made::of(score))).collect();
            let told = decode(&encode(&day)).unwrap();
            for (hour, score) in (0..).zip(&scores) {
                let made = &told[&hour];
                prop_assert_eq!(made.points(), score.points);
                let Made::Check(parts) = made else { panic!("of a check") };
                for part in parts {
                    let was = score.contributions.iter().find(|one| one.signal == part.signal).unwrap();
                    prop_assert_eq!((part.points, part.weight), (was.points, was.weight));
                    prop_assert_eq!((part.warning, part.critical), (was.warning, was.critical));
                    prop_assert!((part.value - was.value).abs() <= was.value.abs() * 1e-6);
                }
                prop_assert_eq!(parts.iter().max_by_key(|one| one.points).map(|one| one.points), score.dominant().map(|one| one.points));
            }
            let members: Vec<Member<'_>> = (1..).zip(&scores).map(|(check, score)| Member {
                check: CheckNo(check), weight: sitepulse_model::control::Weight::ONE, critical, score: Some(score),
            }).collect();
            let whole = model.together(&members).unwrap();
            let made = Made::together(&whole);
            let told = decode(&encode(&[(7, made.clone())].into())).unwrap();
            prop_assert_eq!(told[&7].points(), whole.points);
            prop_assert_eq!(&told[&7], &made);
        }

        #[test]
        fn bytes_of_any_kind_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let mut sealed = [vec![VERSION, 0, 0, 0, 0], bytes].concat();
            let sum = crc32c::crc32c(&sealed[HEAD_BYTES..]);
            sealed[1..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
            if let Ok(day) = decode(&sealed) {
                prop_assert!(day.len() <= 24);
            }
        }
    }
}

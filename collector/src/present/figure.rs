//! How figures look: percentages that never flatter, durations, ages.

use sitepulse_model::vitals::Vital;

use crate::book::Known;
use crate::present::dto::unknown::CausesView;
use crate::present::text::Texts;

/// A ratio as a percentage, cut (never rounded up) to `decimals`: 0.99999 is `99.99`, not `100.00`.
pub fn percent_down(ratio: f64, decimals: u32) -> String {
    percent(ratio, decimals, f64::floor)
}

/// A ratio as a percentage, rounded up to `decimals`: for upper bounds.
pub fn percent_up(ratio: f64, decimals: u32) -> String {
    percent(ratio, decimals, f64::ceil)
}

fn percent(ratio: f64, decimals: u32, round: fn(f64) -> f64) -> String {
    let scale = 10_f64.powi(decimals as i32);
    // A ratio of two sums of microseconds may miss a round value by its last bits: forgive a millionth of the last digit.
    let scaled = ratio.clamp(0.0, 1.0) * 100.0 * scale;
    let nearest = scaled.round();
    let settled = if (scaled - nearest).abs() < 1e-6 { nearest } else { round(scaled) };
    format!("{:.*} %", decimals as usize, settled / scale)
}

/// `99.87 %`, or "no evidence yet".
pub fn availability(value: Option<f64>, texts: &Texts) -> String {
    value.map_or_else(|| texts.no_evidence.to_string(), |value| (texts.number)(percent_down(value, 2)))
}

/// `completeness 98.2 %`; empty where nothing was to be measured.
pub fn completeness(value: Option<f64>, texts: &Texts) -> String {
    value.map_or_else(String::new, |value| format!("{} {}", texts.completeness, (texts.number)(percent_down(value, 1))))
}

/// `unknown: 1.8 % agent offline, 0.2 % suspended`: what completeness leaves open, by cause; empty where nothing is.
pub fn unknown(causes: Option<&CausesView>, texts: &Texts) -> String {
    let cause = |name| if name == "maintenance" { texts.maintenance } else { texts.unknown_cause(name) };
    let told = |(name, share)| format!("{} {}", (texts.number)(percent_up(share, 1)), cause(name));
    let told: Vec<String> = causes.into_iter().flat_map(CausesView::named).map(told).collect();
    if told.is_empty() { String::new() } else { format!("{}{}{}", texts.unknown, texts.colon, told.join(", ")) }
}

/// [`completeness`] and [`unknown`] beside figures of something else than the SLA; empty where nothing was to be measured.
pub fn known(known: &Known, texts: &Texts) -> String {
    let causes = known.unknown.as_ref().map(CausesView::shares);
    let told = [completeness(known.completeness, texts), unknown(causes.as_ref(), texts)];
    told.into_iter().filter(|told| !told.is_empty()).collect::<Vec<_>>().join(" · ")
}

/// `[98.1 %, 99.9 %]`: the lower bound cut, the upper one rounded up.
pub fn bounds(lower: Option<f64>, upper: Option<f64>, texts: &Texts) -> String {
    bounds_to(lower, upper, 1, texts)
}

/// The same to other decimals, beside a figure that has as many.
pub fn bounds_to(lower: Option<f64>, upper: Option<f64>, decimals: u32, texts: &Texts) -> String {
    match (lower, upper) {
        (Some(lower), Some(upper)) => {
            let separator = if (texts.number)("0.5".into()).contains(',') { "\u{a0};" } else { "," };
            let (lower, upper) = (percent_down(lower, decimals), percent_up(upper, decimals));
            format!("[{}{separator} {}]", (texts.number)(lower), (texts.number)(upper))
        }
        (Some(_) | None, None) | (None, Some(_)) => String::new(),
    }
}

/// A figure with its bounds, to so many decimals: `99.87 % [98.10 %, 99.90 %]`; `nothing` where there is no figure.
pub fn bounded(of: (Option<f64>, Option<f64>, Option<f64>), decimals: u32, nothing: &str, texts: &Texts) -> String {
    let (value, lower, upper) = of;
    let value = value.map_or_else(|| nothing.to_owned(), |value| (texts.number)(percent_down(value, decimals)));
    format!("{value} {}", bounds_to(lower, upper, decimals, texts)).trim_end().to_owned()
}

/// A latency: `0.4 ms`, `87 ms`, `1.24 s`.
pub fn latency(seconds: f64) -> String {
    let ms = seconds * 1000.0;
    if ms < 9.95 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else {
        format!("{seconds:.2} s")
    }
}

/// Most digits that are shown beyond the usual: four of a second end in the microsecond.
const EXTRA_DIGITS_MAX: usize = 4;

/// A vital in the API's unit: `2.31 s`, `87 ms`, a score `0.1042` with all the digits it has.
pub fn vital(vital: Vital, value: f64) -> String {
    vital_with(vital, value, 0).0
}

/// A vital that is shown with its rating: with as many digits more as it takes to lie on the same side of both thresholds as the value does. 2.5004 s
/// need improvement, which `2.50 s` would contradict.
pub fn rated_vital(vital: Vital, value: f64, thresholds: [f64; 2]) -> String {
    let above = |value: f64| thresholds.map(|limit| value > limit);
    let mut texts = (0..=EXTRA_DIGITS_MAX).map(|more| vital_with(vital, value, more));
    texts
        .find(|(_, shown)| above(*shown) == above(value))
        .unwrap_or_else(|| vital_with(vital, value, EXTRA_DIGITS_MAX))
        .0
}

/// The text, with `more` digits than usual, and the value that it tells.
fn vital_with(vital: Vital, value: f64, more: usize) -> (String, f64) {
    let text = |value: f64, decimals: usize| format!("{value:.decimals$}");
    let (number, unit, scale) = match vital {
        Vital::Cls => (text(value, 4), "", 1.0),
        Vital::Lcp | Vital::Inp | Vital::Tbt | Vital::Fcp | Vital::Ttfb if value < 999.5 => {
            (text(value, more), " ms", 1.0)
        }
        Vital::Lcp | Vital::Inp | Vital::Tbt | Vital::Fcp | Vital::Ttfb => (text(value / 1e3, 2 + more), " s", 1e3),
    };
    let shown = number.parse().map_or(value, |number: f64| number * scale);
    (format!("{number}{unit}"), shown)
}

/// A length of time, coarse: `12 s`, `5 min`, `3 h`, `2 d`; `day` is the sign of a day.
pub fn coarse(seconds: f64, day: &str) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 60.0 {
        format!("{seconds:.0} s")
    } else if seconds < 3600.0 {
        format!("{:.0} min", (seconds / 60.0).floor())
    } else if seconds < 48.0 * 3600.0 {
        format!("{:.0} h", (seconds / 3600.0).floor())
    } else {
        format!("{:.0} {day}", (seconds / 86_400.0).floor())
    }
}

/// A length of time by its two largest units, cut: `43 min 12 s`; `day` is the sign of a day. Below a second in milliseconds.
pub fn length(seconds: f64, day: &str) -> String {
    let us = (seconds.max(0.0) * 1e6).round() as u64;
    if (1..1_000_000).contains(&us) {
        return format!("{:.1} ms", (us / 100) as f64 / 10.0);
    }
    let whole = us / 1_000_000;
    let parts = [(whole / 86_400, day), (whole / 3600 % 24, "h"), (whole / 60 % 60, "min"), (whole % 60, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown = parts[first..].iter().take(2).filter(|(count, _)| *count > 0 || first == 3);
    shown.map(|(count, unit)| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

/// A burn rate with one decimal, rounded up, and none from 100 on; with more where it would else seem to reach a threshold that it does not.
pub fn burn_rate(rate: f64, threshold: f64) -> String {
    let shown = |decimals: usize| {
        let scale = 10_f64.powi(decimals as i32);
        // 14.4 is a little less than 14.4 in binary.
        format!("{:.decimals$}", (rate * scale - 1e-6).ceil().max(0.0) / scale + 0.0)
    };
    if rate >= 99.95 {
        return shown(0);
    }
    let honest = |text: &String| (text.parse::<f64>().is_ok_and(|value| value >= threshold)) == (rate >= threshold);
    let decimals = 1..=1 + EXTRA_DIGITS_MAX;
    decimals.map(shown).find(honest).unwrap_or_else(|| shown(1))
}

/// A clock offset with its sign: `+0.3 ms`, `-2.41 s`.
pub fn offset(seconds: f64) -> String {
    let sign = if seconds < 0.0 { '\u{2212}' } else { '+' };
    format!("{sign}{}", latency(seconds.abs()))
}

/// A count with its thousands apart: `12 345`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::text::{EN, FR};

    #[test]
    fn availability_never_flatters() {
        assert_eq!(availability(Some(0.999_999), &EN), "99.99 %");
        assert_eq!(availability(Some(1.0), &EN), "100.00 %");
        assert_eq!(availability(Some(0.9987), &EN), "99.87 %");
        assert_eq!(availability(Some(0.9987), &FR), "99,87 %");
        assert_eq!(availability(None, &EN), "no evidence yet");
    }

    #[test]
    fn lengths_have_two_units() {
        let shown =
            [2592.0, 0.0, 59.999_999, 0.0004, 90_000.0, 86_400.0 * 30.0, 3601.0, 3600.0].map(|s| length(s, "d"));
        assert_eq!(shown, ["43 min 12 s", "0 s", "59 s", "0.4 ms", "1 d 1 h", "30 d", "1 h", "1 h"]);
    }

    #[test]
    fn a_burn_rate_never_seems_to_reach_what_it_does_not() {
        let shown = [0.0, 0.01, 14.36, 14.4, 14.41, 99.97, 1000.2].map(|rate| burn_rate(rate, 14.4));
        assert_eq!(shown, ["0.0", "0.1", "14.36", "14.4", "14.5", "100", "1001"]);
        assert_eq!([burn_rate(0.9, 1.0), burn_rate(0.96, 1.0), burn_rate(1.0, 1.0)], ["0.9", "0.96", "1.0"]);
    }

    #[test]
    fn bounds_go_outward() {
        assert_eq!(bounds(Some(0.981_99), Some(0.998_01), &EN), "[98.1 %, 99.9 %]");
        assert_eq!(bounds(Some(0.981_99), Some(0.998_01), &FR), "[98,1 % ; 99,9 %]");
        assert_eq!(bounds(None, None, &EN), "");
        assert_eq!(completeness(Some(0.982), &EN), "completeness 98.2 %");
    }

    #[test]
    fn what_completeness_leaves_open_is_told_by_cause() {
        let causes =
            CausesView { agent_offline: 0.018, suspended: 0.000_1, maintenance: 0.02, ..CausesView::default() };
        let told = [&EN, &FR].map(|texts| unknown(Some(&causes), texts));
        assert_eq!(
            told,
            [
                "unknown: 1.8 % agent offline, 0.1 % suspended, 2.0 % maintenance",
                "inconnu\u{a0}: 1,8\u{a0}% agent hors ligne, 0,1\u{a0}% suspendu, 2,0\u{a0}% maintenance"
            ]
        );
        assert_eq!((unknown(None, &EN), unknown(Some(&CausesView::default()), &EN)), (String::new(), String::new()));
    }

    #[test]
    fn a_vital_is_never_shown_beside_a_rating_that_it_contradicts() {
        let lcp = |value| rated_vital(Vital::Lcp, value, [2500.0, 4000.0]);
        assert_eq!([lcp(2310.0), lcp(2500.0), lcp(2500.4), lcp(2504.0)], ["2.31 s", "2.50 s", "2.5004 s", "2.504 s"]);
        assert_eq!([lcp(2500.001), lcp(3999.9), lcp(4000.2)], ["2.500001 s", "4.00 s", "4.0002 s"]);
        let inp = |value| rated_vital(Vital::Inp, value, [200.0, 500.0]);
        assert_eq!([inp(184.4), inp(200.0), inp(200.3), inp(500.04)], ["184 ms", "200 ms", "200.3 ms", "500.04 ms"]);
        let ttfb = |value| rated_vital(Vital::Ttfb, value, [999.4, 1800.0]);
        assert_eq!(ttfb(999.45), "999.5 ms");
        // A score has no digits beyond the fourth: the shown value is the value.
        assert_eq!(rated_vital(Vital::Cls, 0.1, [0.1, 0.25]), "0.1000");
        assert_eq!(rated_vital(Vital::Cls, 0.1001, [0.1, 0.25]), "0.1001");
        assert_eq!(vital(Vital::Cls, 0.104), "0.1040");
        assert_eq!([vital(Vital::Lcp, 999.4), vital(Vital::Lcp, 999.6)], ["999 ms", "1.00 s"]);
    }

    #[test]
    fn lengths_read_well() {
        assert_eq!(latency(0.000_42), "0.4 ms");
        assert_eq!(latency(0.0874), "87 ms");
        assert_eq!(latency(1.236), "1.24 s");
        assert_eq!(coarse(59.0, "d"), "59 s");
        assert_eq!(coarse(3599.0, "d"), "59 min");
        assert_eq!(coarse(200_000.0, "d"), "2 d");
        assert_eq!(offset(-2.41), "\u{2212}2.41 s");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
    }
}

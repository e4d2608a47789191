//! A check in a line: what lists and its own page say of it first.

use std::collections::{BTreeMap, HashMap};

use sitepulse_daemon::instant;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::{Verdict, VerdictSpan};

use super::parts::{Bar, Ribbon};
use crate::impact::CheckScore;
use crate::impact::board::Scores;
use crate::present::dto::{CheckView, PairView, SuspensionView};
use crate::present::figure;
use crate::present::text::Texts;
use crate::present::view::Strip;
use crate::present::view::list::WORST_FIRST;

/// Most stretches that a ribbon of a list has: beyond them it is drawn by so many equal parts, each as bad as its worst instant.
const BARS_MAX: usize = 24;

/// A check in words.
pub(super) struct CheckRow {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) url: String,
    pub(super) note: String,
    pub(super) class: &'static str,
    pub(super) verdict: &'static str,
    pub(super) verdict_note: String,
    pub(super) suspension: String,
    pub(super) availability: String,
    pub(super) measured: bool,
    pub(super) completeness: String,
    pub(super) bounds: String,
    /// That late data changed the figure; empty where none did.
    pub(super) amended: String,
}

impl CheckRow {
    pub(super) fn of(check: &CheckView, now: UtcMicros, t: &Texts) -> Self {
        let mut note = (t.every)(&figure::coarse(check.interval_seconds, t.slo.day));
        if (check.weight - 1.0).abs() > f64::EPSILON {
            note.push_str(&format!(" · {} {}", t.weight.to_lowercase(), (t.number)(check.weight.to_string())));
        }
        for label in check.group.iter().cloned().chain(check.tags.iter().map(|tag| format!("#{tag}"))) {
            note.push_str(&format!(" · {label}"));
        }
        let mut verdict_note = check
            .since
            .as_deref()
            .map(|since| (t.since)(&figure::coarse(age(since, now), t.slo.day)))
            .unwrap_or_default();
        if let Some(cause) = &check.unknown_cause {
            verdict_note = format!("{} · {verdict_note}", t.unknown_cause(cause));
        }
        if check.quorum_reduced {
            verdict_note = format!("{verdict_note} · {}", t.quorum_reduced);
        }
        Self {
            id: check.id.clone(),
            kind: check.kind.clone(),
            url: check.target.clone(),
            note,
            class: class(&check.verdict),
            verdict: t.state(&check.verdict),
            verdict_note,
            suspension: suspension(check.suspended.as_ref(), t),
            availability: figure::availability(check.sla.availability, t),
            measured: check.sla.availability.is_some(),
            completeness: figure::completeness(check.sla.completeness, t),
            bounds: figure::bounds(check.sla.lower, check.sla.upper, t),
            amended: check.sla.amended.as_ref().map(|one| (t.ledger.amended)(one.count)).unwrap_or_default(),
        }
    }
}

/// What one agent sees, small.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) class: &'static str,
    pub(super) place: String,
    /// Its latency; where it has none, its state.
    pub(super) says: String,
}

impl Seen {
    /// What all of a check's agents see.
    pub(super) fn all(check: &CheckView, t: &Texts) -> Vec<Self> {
        let mut regions: BTreeMap<&str, usize> = BTreeMap::new();
        for pair in &check.agents {
            *regions.entry(&pair.region).or_default() += 1;
        }
        let shared = |pair: &PairView| regions.get(pair.region.as_str()).is_some_and(|count| *count > 1);
        check.agents.iter().map(|pair| Self::of(pair, shared(pair), t)).collect()
    }

    fn of(pair: &PairView, shared: bool, t: &Texts) -> Self {
        let place = if shared { format!("{}/{}", pair.region, pair.agent) } else { pair.region.clone() };
        let says = match (pair.suspended.is_some(), pair.state.as_str(), pair.latency_seconds) {
            (true, _, _) => t.suspended.to_string(),
            (false, "up" | "degraded", Some(seconds)) => (t.number)(figure::latency(seconds)),
            (false, "unknown", _) => {
                pair.unknown_cause.as_deref().map_or(t.unknown, |cause| t.unknown_cause(cause)).to_string()
            }
            (false, state, _) => t.state(state).to_string(),
        };
        Self { class: class(&pair.state), place, says }
    }

    /// All of them in a line: `eu-west 87 ms, us-east down`.
    pub(super) fn told(all: &[Self]) -> String {
        all.iter().map(|seen| format!("{} {}", seen.place, seen.says)).collect::<Vec<_>>().join(", ")
    }
}

/// The ribbon of a list: short, without words of its own but for `label`.
pub(super) fn ribbon(strip: &Strip, label: String) -> Ribbon {
    let bars = if strip.spans.len() <= BARS_MAX { exact(strip) } else { parts(strip, 4 * BARS_MAX) };
    Ribbon { label, bars, ..Ribbon::default() }
}

fn exact(strip: &Strip) -> Vec<Bar> {
    let share = |at: UtcMicros| at.us_since(strip.period.from) as f64 / strip.period.us().max(1) as f64;
    let bar = |one: &VerdictSpan| {
        let shown: Span = one.span.clip(strip.period);
        Bar::of(class(one.verdict.as_str()), share(shown.from), share(shown.to), String::new())
    };
    same_together(&strip.spans).iter().map(bar).collect()
}

/// The verdicts without the seams between stretches that differ in their votes alone.
pub(super) fn same_together(spans: &[VerdictSpan]) -> Vec<VerdictSpan> {
    let mut together: Vec<VerdictSpan> = Vec::with_capacity(spans.len());
    for one in spans {
        match together.last_mut() {
            Some(last) if last.verdict == one.verdict && last.span.to == one.span.from => last.span.to = one.span.to,
            Some(_) | None => together.push(*one),
        }
    }
    together
}

/// Equal parts, each as bad as its worst instant; equal neighbours are one.
fn parts(strip: &Strip, count: usize) -> Vec<Bar> {
    let rank = |verdict: Verdict| WORST_FIRST.iter().position(|one| *one == verdict).unwrap_or(WORST_FIRST.len());
    let whole = strip.period.us().max(1);
    let part_of =
        |at: UtcMicros| (at.us_since(strip.period.from).max(0) as i128 * count as i128 / i128::from(whole)) as usize;
    let mut worst: Vec<Option<Verdict>> = vec![None; count];
    for one in &strip.spans {
        let shown = one.span.clip(strip.period);
        if shown.is_empty() {
            continue;
        }
        let (first, last) = (part_of(shown.from), part_of(shown.to.plus_us(-1)).min(count - 1));
        for part in &mut worst[first.min(count - 1)..=last] {
            if part.is_none_or(|known| rank(one.verdict) < rank(known)) {
                *part = Some(one.verdict);
            }
        }
    }
    let mut bars = Vec::new();
    let mut from = 0;
    for at in 1..=count {
        if at < count && worst[at] == worst[from] {
            continue;
        }
        if let Some(verdict) = worst[from] {
            let share = |part: usize| part as f64 / count as f64;
            bars.push(Bar::of(class(verdict.as_str()), share(from), share(at), String::new()));
        }
        from = at;
    }
    bars
}

/// The impact scores by the checks' ids.
pub(super) fn scores_by_id(scores: &Scores) -> HashMap<&str, &CheckScore> {
    scores.checks.values().map(|check| (check.id.as_str(), &**check)).collect()
}

/// `2026-11-22 10:00:00 UTC`
pub(super) fn clock_text(at: UtcMicros) -> String {
    instant::format(at).replace('T', " ").replace('Z', " UTC")
}

/// The class of a state's colour.
pub(super) fn class(state: &str) -> &'static str {
    match state {
        "up" => "up",
        "degraded" => "degraded",
        "regional" => "regional",
        "down" => "down",
        "maintenance" => "maintenance",
        _ => "unknown",
    }
}

/// `suspended until ... · reason · by author`; empty without one.
pub(super) fn suspension(suspension: Option<&SuspensionView>, t: &Texts) -> String {
    suspension.map_or_else(String::new, |one| {
        let until = one.until.as_deref().map_or_else(
            || t.suspended_open.to_string(),
            |until| {
                let whole = until.split(['.', 'Z']).next().unwrap_or_default();
                (t.suspended_until)(&format!("{} UTC", whole.replace('T', " ")))
            },
        );
        format!("{} {until} · {} · {} {}", t.suspended, one.reason, t.by, one.author)
    })
}

/// Seconds from an instant of ours to now.
pub(super) fn age(at: &str, now: UtcMicros) -> f64 {
    instant::parse(at, now).map_or(0.0, |at| now.us_since(at) as f64 / 1e6)
}

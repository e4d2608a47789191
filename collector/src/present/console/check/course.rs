//! How a check fared over a span: its ribbon, what each agent alone would say, its hours of a week, its latencies over time.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_daemon::instant;
use sitepulse_model::id::Region;
use sitepulse_model::record::Phase;
use sitepulse_model::sla::Account;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::{Verdict, VerdictSpan};

use super::super::parts::{Bar, Chart, Heatmap, Hour, Line, Ribbon};
use super::super::row::{class, clock_text, same_together};
use crate::app::App;
use crate::book::Filter;
use crate::latency::figures::Ask;
use crate::present::api::{check_of, latency::figures_of};
use crate::present::dto::SlaView;
use crate::present::problem::Answer;
use crate::present::text::Texts;
use crate::present::view::list::WORST_FIRST;
use crate::present::view::sla_view;
use crate::present::{Present, figure};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Days of the heat map.
const DAYS: i64 = 7;
/// Points of the chart: each asks for the latencies of a part of the span.
const POINTS: i64 = 12;
/// Most agents that are drawn one by one.
const AGENTS_MAX: usize = 50;
/// Most stretches of a ribbon: beyond them it is drawn by parts, each as bad as its worst instant.
const BARS_MAX: usize = 400;

/// The spans that the page offers, with their lengths in microseconds.
pub(in super::super) const SPANS: [(&str, i64); 4] =
    [("24h", DAY_US), ("7d", 7 * DAY_US), ("30d", 30 * DAY_US), ("90d", 90 * DAY_US)];

/// The span that is asked for; the first where none of them is.
pub(in super::super) fn span_of(asked: Option<&str>) -> (&'static str, i64) {
    SPANS.into_iter().find(|(name, _)| Some(*name) == asked).unwrap_or(SPANS[0])
}

/// What an agent or a region alone would say.
pub(super) struct Lane {
    /// The agent; of a region, how many are in it.
    pub(super) name: String,
    pub(super) region: String,
    pub(super) ribbon: Ribbon,
    /// Where its availability is explained.
    pub(super) href: String,
    pub(super) availability: String,
    /// How much of the time it knows.
    pub(super) completeness: String,
    pub(super) bounds: String,
}

/// What was found out of the book.
pub(super) struct Course {
    /// The figures over the span.
    pub(super) sla: SlaView,
    period: Span,
    spans: Vec<VerdictSpan>,
    /// Agent and region, with what they alone say.
    agents: Vec<(String, String, Vec<VerdictSpan>)>,
    /// What regions with several agents say.
    regions: BTreeMap<String, Vec<VerdictSpan>>,
    week: Vec<VerdictSpan>,
    now: UtcMicros,
}

impl Course {
    /// Looks it up. The book's guard is taken for each agent anew, so that nobody waits for all of them.
    pub(super) fn of(app: &App, id: &str, length_us: i64, now: UtcMicros) -> Answer<Self> {
        let (number, period, spans, sla, agents) = {
            let book = app.book();
            let check = check_of(&book, id)?;
            let period = book.period(check, Some(now.plus_us(-length_us)), Some(now), now);
            let spans = book.verdicts(check.number, &Filter::All, period).unwrap_or_default();
            let sla = sla_view(check, period, &Account::of(&spans));
            let seen = book.verdict_now(check.number, now).map(|answer| answer.agents).unwrap_or_default();
            let names = seen.iter().filter_map(|seen| book.agent(seen.agent));
            let agents: Vec<_> = names
                .take(AGENTS_MAX)
                .map(|agent| (agent.number, agent.name.to_string(), agent.region.to_string()))
                .collect();
            (check.number, period, spans, sla, agents)
        };
        let alone = agents.into_iter().map(|(agent, name, region)| {
            let spans = app.book().verdicts(number, &Filter::Agent(agent), period).unwrap_or_default();
            (name, region, spans)
        });
        let mut agents: Vec<_> = alone.collect();
        agents.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
        let several = agents.windows(2).filter(|two| two[0].1 == two[1].1).map(|two| two[0].1.clone());
        let several: BTreeSet<String> = several.collect();
        let regions = several.into_iter().filter_map(|name| {
            let region = Region::parse(&name).ok()?;
            let spans = app.book().verdicts(number, &Filter::Region(region), period)?;
            Some((name, spans))
        });
        let regions = regions.collect();
        let week = Span::new(UtcMicros(now.0 - now.0.rem_euclid(DAY_US)).plus_us(-(DAYS - 1) * DAY_US), now);
        let week = app.book().verdicts(number, &Filter::All, week).unwrap_or_default();
        Ok(Self { sla, period, spans, agents, regions, week, now })
    }

    /// The tall ribbon of the page's head.
    pub(super) fn ribbon(&self, availability: &str, t: &Texts) -> Ribbon {
        Ribbon {
            label: (t.page.verdicts)(availability),
            bars: bars(&self.spans, self.period, t),
            ticks: self.ticks(t),
            tall: true,
        }
    }

    fn ticks(&self, t: &Texts) -> Vec<String> {
        let day = self.period.us() <= 2 * DAY_US;
        let mut ticks: Vec<String> = (0..4)
            .map(|part| {
                let at = self.period.from.plus_us(self.period.us() / 4 * part);
                let text = instant::format(at);
                let shown = if day { text.get(11..16) } else { text.get(..10) };
                shown.unwrap_or_default().to_owned()
            })
            .collect();
        ticks.push(t.page.now.to_owned());
        ticks
    }

    /// The ribbons of the regions and their agents: a region with several agents first as a whole, then each of them.
    pub(super) fn lanes(&self, id: &str, span: &str, t: &Texts) -> Vec<Lane> {
        let lane = |place: (&'static str, &str), name: &str, region: &str, spans: &[VerdictSpan]| {
            let account = Account::of(spans);
            let availability = figure::availability(account.availability(), t);
            let completeness = figure::completeness(account.completeness(), t);
            let label = if name.is_empty() { region } else { name };
            let ribbon = Ribbon {
                label: format!("{label}{}{}, {completeness}", t.colon, (t.page.verdicts)(&availability)),
                bars: bars(spans, self.period, t),
                ..Ribbon::default()
            };
            Lane {
                name: name.to_owned(),
                region: region.to_owned(),
                ribbon,
                href: format!("/checks/{id}/explain?span={span}&{}={}", place.0, place.1),
                availability,
                completeness,
                bounds: figure::bounds_to(account.lower(), account.upper(), 2, t),
            }
        };
        let mut lanes = Vec::new();
        let mut before = "";
        for (name, region, spans) in &self.agents {
            if before != region
                && let Some(together) = self.regions.get(region)
            {
                let agents = self.agents.iter().filter(|(_, one, _)| one == region).count();
                lanes.push(lane(("region", region.as_str()), &(t.page.agents_together)(agents), region, together));
            }
            before = region;
            lanes.push(lane(("agent", name.as_str()), name, region, spans));
        }
        lanes
    }

    /// Seven days by hour; `None` where nothing of them is known.
    pub(super) fn heatmap(&self, t: &Texts) -> Option<Heatmap> {
        if self.week.iter().all(|one| one.verdict == Verdict::Unknown) {
            return None;
        }
        let today = UtcMicros(self.now.0 - self.now.0.rem_euclid(DAY_US));
        let days = (0..DAYS).map(|day| {
            let begin = today.plus_us((day + 1 - DAYS) * DAY_US);
            let name: String = instant::format(begin).chars().take(10).collect();
            let hours = (0..24).map(|hour| {
                let from = begin.plus_us(hour * HOUR_US);
                hour_of(&self.week, Span::new(from, from.plus_us(HOUR_US)), &format!("{name} {hour:02}:00"), t)
            });
            (name.clone(), hours.collect())
        });
        let word = |text: &str| (t.number)(text.to_owned());
        let key = vec![
            ("1", word("100 %")),
            ("2", word("≥ 99 %")),
            ("3", word("≥ 95 %")),
            ("4", word("≥ 80 %")),
            ("5", word("< 80 %")),
            ("m", t.maintenance.to_owned()),
            ("0", t.page.nothing_known.to_owned()),
            ("0 thin", t.page.half_unknown.to_owned()),
        ];
        Some(Heatmap { caption: format!("{}. {}", t.page.heatmap, t.page.heatmap_what), days: days.collect(), key })
    }
}

/// An hour of which less than this share is known is marked.
const HALF: f64 = 0.5;

fn hour_of(spans: &[VerdictSpan], hour: Span, name: &str, t: &Texts) -> Hour {
    let within = spans.iter().map(|one| VerdictSpan { span: one.span.clip(hour), ..*one });
    let within: Vec<VerdictSpan> = within.filter(|one| !one.span.is_empty()).collect();
    let account = Account::of(&within);
    let (grade, mut value) = match account.availability() {
        Some(share) => {
            let grade = match share {
                share if share >= 1.0 => "1",
                share if share >= 0.99 => "2",
                share if share >= 0.95 => "3",
                share if share >= 0.8 => "4",
                _ => "5",
            };
            (grade, figure::availability(Some(share), t))
        }
        None if within.iter().any(|one| one.verdict == Verdict::Maintenance) => ("m", t.maintenance.to_owned()),
        None => ("0", t.page.nothing_known.to_owned()),
    };
    // A grade goes by what is known; how little that may be is told beside it.
    let known = account.completeness().filter(|share| account.measured_us() > 0 && *share < 1.0);
    if known.is_some() {
        value = format!("{value}, {}", figure::completeness(known, t));
    }
    Hour { grade, thin: known.is_some_and(|share| share < HALF), title: format!("{name}{}{value}", t.colon), value }
}

/// Stretches with what they say: verdict, from when to when.
fn bars(spans: &[VerdictSpan], period: Span, t: &Texts) -> Vec<Bar> {
    let share = |at: UtcMicros| at.us_since(period.from) as f64 / period.us().max(1) as f64;
    let together = same_together(spans);
    let mut drawn: Vec<&VerdictSpan> = together.iter().filter(|one| !one.span.clip(period).is_empty()).collect();
    if drawn.len() > BARS_MAX {
        // The worst is drawn first of all, and of what is equally bad the longest.
        let rank = |verdict: Verdict| WORST_FIRST.iter().position(|one| *one == verdict);
        drawn.sort_by_key(|one| (rank(one.verdict), std::cmp::Reverse(one.span.clip(period).us())));
        drawn.truncate(BARS_MAX);
        drawn.sort_by_key(|one| one.span.from);
    }
    let second = |at: UtcMicros| clock_text(UtcMicros(at.0 - at.0.rem_euclid(1_000_000)));
    let bar = |one: &VerdictSpan| {
        let shown = one.span.clip(period);
        let state = one.verdict.as_str();
        let length = figure::length(shown.us() as f64 / 1e6, t.slo.day);
        let title = format!("{} · {} → {} · {length}", t.state(state), second(shown.from), second(shown.to));
        Bar::of(class(state), share(shown.from), share(shown.to), title)
    };
    drawn.into_iter().map(bar).collect()
}

/// Latencies of whole runs over a span; `None` where none was measured.
///
/// # Errors
/// When there is no such check, or the store cannot be read.
pub(super) async fn chart(
    present: &Present,
    id: &str,
    length_us: i64,
    now: UtcMicros,
    t: &Texts,
) -> Answer<Option<Chart>> {
    // Parts of full hours: figures are exact to the hour.
    let part = (length_us / POINTS).max(HOUR_US);
    let end = now.0 + (HOUR_US - now.0.rem_euclid(HOUR_US)) % HOUR_US;
    let (mut names, mut values) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
    for at in (1..=POINTS).rev() {
        let from = UtcMicros(end - at * part);
        let to = from.plus_us(part).min(now);
        let text = instant::format(from);
        let shown = if length_us <= DAY_US { text.get(11..16) } else { text.get(5..16) };
        names.push(shown.unwrap_or_default().replace('T', " "));
        let asked = Ask { from: Some(from), to: Some(to), ..Ask::default() };
        let figures = if from < to { figures_of(present, id, &asked, now).await.ok() } else { None };
        let total = figures.as_ref().and_then(|figures| {
            // What was asked for may lie before the check's life.
            (!figures.asked.is_empty()).then(|| figures.groups.first().map(|all| all.latencies.phase(Phase::Total)))?
        });
        for (value, per_mille) in values.iter_mut().zip([500, 950, 990]) {
            value.push(total.and_then(|sketch| sketch.quantile(per_mille)).map(|us| us as f64 / 1e6));
        }
    }
    if values[0].iter().all(Option::is_none) {
        return Ok(None);
    }
    let lines = values.into_iter().zip([("line-1", "p50"), ("line-2", "p95"), ("line-3", "p99")]);
    Ok(Some(Chart {
        label: t.page.chart.to_owned(),
        time: t.page.time.to_owned(),
        as_table: t.page.as_table.to_owned(),
        names,
        lines: lines.map(|(values, (class, name))| Line { class, name: name.to_owned(), values }).collect(),
        write: figure::latency,
        number: t.number,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::text::{EN, FR};

    fn span(from: i64, to: i64, verdict: Verdict) -> VerdictSpan {
        let at = |minute: i64| UtcMicros(minute * 60_000_000);
        VerdictSpan {
            span: Span::new(at(from), at(to)),
            verdict,
            share_down: (0, 1000),
            unknown_cause: None,
            quorum_reduced: false,
        }
    }

    #[test]
    fn an_hour_says_how_good_it_was_in_a_class_and_in_words() {
        let hour = Span::new(UtcMicros(0), UtcMicros(HOUR_US));
        let of = |spans: &[VerdictSpan]| {
            let hour = hour_of(spans, hour, "2026-11-22 00:00", &FR);
            (hour.grade, hour.title)
        };
        let thin = |spans: &[VerdictSpan]| hour_of(spans, hour, "", &EN).thin;
        let half = [span(0, 29, Verdict::Up), span(29, 60, Verdict::Unknown)];
        assert_eq!(of(&half), ("1", "2026-11-22 00:00 : 100,00 %, complétude 48,3 %".into()));
        assert!(thin(&half) && !thin(&[span(0, 30, Verdict::Up), span(30, 60, Verdict::Unknown)]));
        assert!(!thin(&[span(0, 60, Verdict::Unknown)]), "nothing known has a grade of its own");
        assert!(!thin(&[span(0, 5, Verdict::Up)]), "an hour that has just begun is known");
        assert_eq!(of(&[span(0, 60, Verdict::Up)]), ("1", "2026-11-22 00:00 : 100,00 %".into()));
        assert_eq!(of(&[span(0, 30, Verdict::Down), span(30, 60, Verdict::Up)]).0, "5");
        assert_eq!(of(&[span(0, 59, Verdict::Up), span(59, 60, Verdict::Down)]).0, "3");
        assert_eq!(of(&[span(0, 60, Verdict::Maintenance)]).0, "m");
        assert_eq!(of(&[span(60, 120, Verdict::Up)]).0, "0", "of another hour");
    }

    #[test]
    fn a_bar_tells_what_was_and_for_how_long() {
        let period = Span::new(UtcMicros(0), UtcMicros(DAY_US));
        let bars = bars(&[span(0, 90, Verdict::Down)], period, &EN);
        assert_eq!(bars[0].title, "down · 1970-01-01 00:00:00 UTC → 1970-01-01 01:30:00 UTC · 1 h 30 min");
    }

    #[test]
    fn outages_are_drawn_however_many_stretches_there_are() {
        let spans: Vec<VerdictSpan> = (0..1000)
            .map(|n| {
                span(
                    n,
                    n + 1,
                    if n % 100 == 7 {
                        Verdict::Down
                    } else if n % 2 == 0 {
                        Verdict::Up
                    } else {
                        Verdict::Degraded
                    },
                )
            })
            .collect();
        let bars = bars(&spans, Span::new(UtcMicros(0), UtcMicros(1000 * 60_000_000)), &EN);
        assert_eq!(bars.len(), BARS_MAX);
        assert_eq!(bars.iter().filter(|bar| bar.class == "down").count(), 10);
    }
}

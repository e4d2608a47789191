//! The indicators: how soon incidents are taken and over, how much noise they make; each with its definition, and with the list it counts below.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use sitepulse_daemon::clock;
use sitepulse_model::time::UtcMicros;

use super::clock_text;
use super::frame::{Frame, Place};
use super::incidents::moment;
use super::parts::{Chip, Chips};
use crate::present::Present;
use crate::present::api::indicators::{period_of, severity_of};
use crate::present::dto::indicators::{CountedView, IndicatorsView, SeverityTimesView, TeamCompletionView};
use crate::present::figure;
use crate::present::http::escape;
use crate::present::indicators::{Asked, Of};
use crate::present::kpi::period::Period;
use crate::present::problem::Answer;
use crate::present::text::Texts;
use crate::present::text::indicators::IndicatorTexts;

/// Most rows of a list on the page: the newest.
const ROWS_MAX: usize = 200;

/// What the page is asked.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct PageQuery {
    period: String,
    /// Which list is shown below.
    show: String,
    severity: String,
}

#[derive(Template)]
#[template(path = "indicators.html")]
struct Content<'a> {
    t: &'a Texts,
    w: &'a IndicatorTexts,
    periods: Chips,
    times: Vec<TimesRow>,
    target: String,
    /// `met`, `missed`, or that none is over.
    met: &'static str,
    met_class: &'static str,
    noise: Vec<Row>,
    spared: Vec<Row>,
    work: Vec<Row>,
    shown: Option<Shown>,
    as_of: String,
}

/// A figure with the one before and where its list is.
#[derive(Default)]
struct Figure {
    value: String,
    href: String,
    sub: String,
    before: String,
    /// Whether that is better: a class and its word; empty where there is nothing to compare.
    trend: (&'static str, &'static str),
}

struct TimesRow {
    name: String,
    opened: Figure,
    mtta: Figure,
    mttr: Figure,
    open: Figure,
}

struct Row {
    name: String,
    definition: &'static str,
    figure: Figure,
}

/// The list behind a figure.
struct Shown {
    title: String,
    rows: Vec<CountedRow>,
    more: String,
    api: String,
}

struct CountedRow {
    at: String,
    what: String,
    href: String,
    about: String,
    note: String,
}

/// `GET /indicators`
pub async fn indicators_page(
    State(present): State<Present>,
    frame: Frame,
    Query(query): Query<PageQuery>,
) -> Answer<Response> {
    let (t, w) = (frame.t, frame.t.indicators);
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let period = period_of(some(&query.period).as_deref())?;
    let severity = severity_of(some(&query.severity).as_deref())?;
    let asked = Asked { period, severity, ..Asked::default() };
    let view = present.indicators(&asked).await?;
    let now = clock::now();
    let shown = match Of::parse(&query.show) {
        None => None,
        Some(of) => {
            let found = present.counted(of, &asked).await?;
            Some(Shown::of(of, &query.severity, period, &found, now, t))
        }
    };
    let content = Content {
        t,
        w,
        periods: periods(period, t),
        times: view.times.iter().map(|row| TimesRow::of(row, period, t)).collect(),
        target: (w.target)(&figure::length(view.mttr_target_seconds, t.slo.day)),
        met: view.mttr_met.map_or(w.no_target, |met| if met { w.met } else { w.missed }),
        met_class: view.mttr_met.map_or("unknown", |met| if met { "up" } else { "down" }),
        noise: noise(&view, period, t),
        spared: spared(&view, period, t),
        work: work(&view, t),
        shown,
        as_of: clock_text(UtcMicros(now.0 - now.0.rem_euclid(1_000_000))),
    };
    frame.page(Place::Indicators, w.title, Some("incident objects figures"), &content)
}

fn periods(current: Period, t: &Texts) -> Chips {
    let chip = |period: Period| Chip {
        label: (t.kpi.period)(period.as_str()).to_owned(),
        href: format!("/indicators?period={}", period.as_str()),
        current: period == current,
        ..Chip::default()
    };
    Chips { label: t.home.period.to_owned(), chips: Period::ALL.map(chip).into(), tabs: false }
}

/// The page with the list of a figure.
fn list(of: &str, severity: Option<&str>, period: Period) -> String {
    let severity = severity.map(|severity| format!("&severity={severity}")).unwrap_or_default();
    format!("/indicators?period={}&show={of}{severity}#counted", period.as_str())
}

/// What a lower figure than before is called.
fn trend(
    now: Option<f64>,
    before: Option<f64>,
    lower_is_better: bool,
    w: &IndicatorTexts,
) -> (&'static str, &'static str) {
    let Some((now, before)) = now.zip(before) else { return ("", "") };
    if now == before {
        ("plain", w.same)
    } else if (now < before) == lower_is_better {
        ("good", w.better)
    } else {
        ("warning", w.worse)
    }
}

impl TimesRow {
    fn of(row: &SeverityTimesView, period: Period, t: &Texts) -> Self {
        let w = t.indicators;
        let severity = row.severity.as_deref();
        let href = |of: &str| list(of, severity, period);
        let length = |seconds: Option<f64>| seconds.map(|seconds| (t.number)(figure::length(seconds, t.slo.day)));
        let mean = |now: Option<f64>, before: Option<f64>, of: &str, count: u32| Figure {
            value: length(now).unwrap_or_else(|| w.none.to_owned()),
            href: href(of),
            sub: if count > 0 { (w.of_count)(u64::from(count)) } else { String::new() },
            before: length(before).map_or_else(|| w.none_before.to_owned(), |before| (w.before)(&before)),
            trend: trend(now, before, true, w),
        };
        let count = |now: u32, before: u32, of: &str| Figure {
            value: figure::count(u64::from(now)),
            href: href(of),
            before: (w.before)(&figure::count(u64::from(before))),
            ..Figure::default()
        };
        let (now, before) = (&row.now, &row.before);
        let mut mttr = mean(now.mttr_seconds, before.mttr_seconds, "resolved", now.resolved);
        if now.resolved_untaken > 0 {
            mttr.sub = format!("{}, {}", mttr.sub, (w.untaken)(now.resolved_untaken));
        }
        Self {
            name: severity.map_or_else(|| w.all.to_owned(), |severity| (t.incidents.severity)(severity)),
            opened: count(now.opened, before.opened, "opened"),
            mtta: mean(now.mtta_seconds, before.mtta_seconds, "acknowledged", now.acknowledged),
            mttr,
            open: count(now.open, before.open, "open"),
        }
    }
}

fn noise(view: &IndicatorsView, period: Period, t: &Texts) -> Vec<Row> {
    let w = t.indicators;
    let (now, before) = (&view.noise, &view.noise_before);
    let told = |value: Option<f64>| value.map(|value| (t.number)(format!("{value:.2}")));
    let share = |value: Option<f64>| value.map(|value| (t.number)(figure::percent_down(value, 0)));
    let was = |text: Option<String>| text.map_or_else(|| w.none_before.to_owned(), |text| (w.before)(&text));
    let none = || w.none.to_owned();
    vec![
        Row {
            name: w.pages.to_owned(),
            definition: w.pages_what,
            figure: Figure {
                value: figure::count(now.pages),
                href: list("pages", None, period),
                sub: (w.of_count)(now.incidents),
                before: (w.before)(&figure::count(before.pages)),
                trend: ("", ""),
            },
        },
        Row {
            name: w.per_incident.to_owned(),
            definition: w.per_incident_what,
            figure: Figure {
                value: told(now.pages_per_incident).unwrap_or_else(none),
                href: list("pages", None, period),
                sub: String::new(),
                before: was(told(before.pages_per_incident)),
                trend: trend(now.pages_per_incident, before.pages_per_incident, true, w),
            },
        },
        Row {
            name: w.in_time.to_owned(),
            definition: w.in_time_what,
            figure: Figure {
                value: share(now.in_time_share).unwrap_or_else(none),
                href: list("in-time", None, period),
                sub: (w.in_time_of)(now.in_time, now.judged),
                before: was(share(before.in_time_share)),
                trend: trend(now.in_time_share, before.in_time_share, false, w),
            },
        },
    ]
}

fn spared(view: &IndicatorsView, period: Period, t: &Texts) -> Vec<Row> {
    let w = t.indicators;
    let (now, before) = (view.noise.spared, view.noise_before.spared);
    let row = |name: &str, definition, of: &str, now: u64, before: u64| Row {
        name: name.to_owned(),
        definition,
        figure: Figure {
            value: figure::count(now),
            href: list(of, None, period),
            before: (w.before)(&figure::count(before)),
            ..Figure::default()
        },
    };
    vec![
        row(w.quorum, w.quorum_what, "quorum", now.quorum, before.quorum),
        row(w.parent, w.parent_what, "parent", now.parent, before.parent),
        row(w.flapping, w.flapping_what, "flapping", now.flapping, before.flapping),
    ]
}

fn work(view: &IndicatorsView, t: &Texts) -> Vec<Row> {
    let w = t.indicators;
    let share = |value: f64| (t.number)(figure::percent_down(value, 0));
    let runs = view.playbooks.as_ref();
    let reports = &view.reports;
    let mut rows = vec![
        Row {
            name: w.playbooks.to_owned(),
            definition: w.playbooks_what,
            figure: Figure {
                value: runs.and_then(|runs| runs.share).map_or_else(|| w.no_runs.to_owned(), share),
                sub: runs.map(|runs| (w.of_users)(runs.completed, runs.ended)).unwrap_or_default(),
                ..Figure::default()
            },
        },
        Row {
            name: w.reports.to_owned(),
            definition: w.reports_what,
            figure: Figure {
                value: (w.of_users)(reports.automated, reports.users),
                href: "/settings".into(),
                sub: if reports.available { String::new() } else { w.reports_none.to_owned() },
                ..Figure::default()
            },
        },
    ];
    // Where there are no teams they would say the same once more.
    let teams = view.playbook_teams.iter().filter(|_| view.playbook_teams.iter().any(|one| one.team.is_some()));
    let team_row = |one: &TeamCompletionView| Row {
        name: (w.playbooks_of)(one.team.as_deref().unwrap_or(t.playbooks.no_team)),
        definition: w.playbooks_of_what,
        figure: Figure {
            value: one.completion.share.map_or_else(|| w.no_runs.to_owned(), share),
            sub: (w.of_users)(one.completion.completed, one.completion.ended),
            href: "/playbooks#playbooks-teams".into(),
            ..Figure::default()
        },
    };
    rows.splice(1..1, teams.map(team_row).collect::<Vec<_>>());
    rows
}

impl Shown {
    fn of(of: Of, severity: &str, period: Period, found: &[CountedView], now: UtcMicros, t: &Texts) -> Self {
        let w = t.indicators;
        let name = match of.name() {
            "opened" => w.opened,
            "acknowledged" => w.mtta,
            "resolved" => w.mttr,
            "open" => w.open,
            "in-time" | "late" => w.in_time,
            "spared" => w.spared,
            "quorum" => w.quorum,
            "parent" => w.parent,
            "flapping" => w.flapping,
            _ => w.pages,
        };
        let severity_named =
            if severity.is_empty() { String::new() } else { format!(" · {}", (t.incidents.severity)(severity)) };
        let hidden = found.len().saturating_sub(ROWS_MAX);
        let asked = if severity.is_empty() { String::new() } else { format!("&severity={}", escape(severity)) };
        Self {
            title: (w.counted)(&format!("{name}{severity_named} ({})", figure::count(found.len() as u64))),
            rows: found.iter().rev().take(ROWS_MAX).map(|one| CountedRow::of(one, now, t)).collect(),
            more: if hidden > 0 { (w.more)(hidden) } else { String::new() },
            api: format!("/api/v1/indicators/{}?period={}{asked}", of.name(), period.as_str()),
        }
    }
}

impl CountedRow {
    fn of(one: &CountedView, now: UtcMicros, t: &Texts) -> Self {
        let w = t.indicators;
        let href = match (&one.incident, &one.check) {
            (Some(id), _) => format!("/incidents/{}", escape(id)),
            (None, Some(check)) => format!("/checks/{}", escape(check)),
            (None, None) => String::new(),
        };
        let kind = one.kind.as_deref().map(t.incidents.kind);
        let severity = one.severity.as_deref().map(t.incidents.severity);
        let took = one.seconds.map(|seconds| format!("{}: {}", w.took, (t.number)(figure::length(seconds, t.slo.day))));
        let in_time = one.in_time.map(|yes| format!("{}: {}", w.in_time, if yes { w.yes } else { w.no }));
        let by = one.spared_by.as_deref().map(|by| match by {
            "parent" => w.parent.to_owned(),
            "flapping" => w.flapping.to_owned(),
            _ => w.quorum.to_owned(),
        });
        let told = |parts: Vec<Option<String>>| parts.into_iter().flatten().collect::<Vec<_>>().join(" · ");
        Self {
            at: moment(&one.at, now),
            what: one.check.clone().or_else(|| one.incident.clone()).unwrap_or_default(),
            href,
            about: told(vec![severity, kind, one.incident.clone().filter(|_| one.check.is_some())]),
            note: told(vec![took, in_time, by]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::text::{EN, FR};

    #[test]
    fn lower_times_are_better_and_lower_shares_are_worse() {
        let w = EN.indicators;
        assert_eq!(trend(Some(1.0), Some(2.0), true, w), ("good", w.better));
        assert_eq!(trend(Some(1.0), Some(2.0), false, w), ("warning", w.worse));
        assert_eq!(trend(Some(2.0), Some(2.0), true, w), ("plain", w.same));
        assert_eq!(trend(None, Some(2.0), true, w), ("", ""), "nothing is not better than something");
    }

    #[test]
    fn what_was_counted_leads_to_its_incident() {
        let one = CountedView {
            at: "2026-11-22T10:00:00Z".into(),
            incident: Some("20261122-abc".into()),
            check: Some("shop".into()),
            kind: Some("down".into()),
            severity: Some("critical".into()),
            seconds: Some(90.0),
            ..CountedView::default()
        };
        let row = CountedRow::of(&one, UtcMicros(0), &FR);
        assert_eq!((row.href.as_str(), row.what.as_str()), ("/incidents/20261122-abc", "shop"));
        assert!(row.note.starts_with("Durée: 1 min 30 s"), "{}", row.note);
        let spared =
            CountedView { check: Some("shop".into()), spared_by: Some("parent".into()), ..CountedView::default() };
        let row = CountedRow::of(&spared, UtcMicros(0), &EN);
        assert_eq!((row.href.as_str(), row.note.as_str()), ("/checks/shop", "by parents"));
    }
}

//! What a figure of several things is made of: the mean over all checks or over a group, check by check; an objective's budget and burn rates; the maintenance debt,
//! term by term.
//!
//! Each check's own figure leads on to its intervals. The table is cut where it is long; what is cut is told with its sum, so that the mean can be followed.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::{CheckNo, Group};
use sitepulse_model::sla::{Account, Figures, Together};
use sitepulse_model::time::{Span, UtcMicros};

use super::clock_text;
use super::frame::{Frame, Place};
use super::parts::{Chip, Chips};
use crate::book::Filter;
use crate::present::api::{self, SlaQuery};
use crate::present::dto::kpi::{DebtTermView, DebtView};
use crate::present::dto::slo::OutcomeView;
use crate::present::http::escape;
use crate::present::kpi::period::Period;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::slices::in_slices;
use crate::present::text::Texts;
use crate::present::text::terms::TermsTexts;
use crate::present::{Present, figure};

/// Most checks in the table: those that take the most away.
const ROWS_MAX: usize = 300;

/// What is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TermsQuery {
    period: String,
    /// Of a group: its name.
    group: String,
    /// Of an objective: its id.
    slo: String,
}

#[derive(Template)]
#[template(path = "terms.html")]
struct Content<'a> {
    t: &'a Texts,
    w: &'a TermsTexts,
    title: String,
    what: String,
    periods: Option<Chips>,
    /// From when to when; empty of what stands now.
    of: String,
    figure: String,
    evidence: String,
    /// How the figure follows from the sums.
    division: String,
    /// More that follows, each in a line.
    lines: Vec<String>,
    rows: Vec<Row>,
    more: String,
    debt: Vec<DebtRow>,
}

struct Row {
    id: String,
    href: String,
    weight: String,
    availability: String,
    evidence: String,
    takes: String,
}

struct DebtRow {
    term: &'static str,
    href: &'static str,
    count: String,
    factor: String,
    points: String,
    /// Name and address, where it has one.
    named: Vec<(String, String)>,
}

/// `GET /terms/{figure}`: `sla`, `group` (`?group=NAME`), `slo` (`?slo=ID`) or `debt`.
pub async fn terms_page(
    State(present): State<Present>,
    frame: Frame,
    Path(figure): Path<String>,
    Query(query): Query<TermsQuery>,
) -> Answer<Response> {
    let period = Period::parse(&query.period).unwrap_or_default();
    match figure.as_str() {
        "sla" => mean(&present, &frame, period, None).await,
        "group" => {
            let name = || Problem::not_found("group", &query.group);
            let group = Group::parse(&query.group).map_err(|_| name())?;
            let known = present
                .app()
                .book()
                .checks()
                .flat_map(|check| &check.revisions)
                .any(|revision| revision.labels.group.as_ref() == Some(&group));
            if !known {
                return Err(name());
            }
            mean(&present, &frame, period, Some(group)).await
        }
        "debt" => {
            let kpi = present.kpi(period, None).await?;
            debt(&frame, &kpi.debt)
        }
        "slo" => slo(&present, &frame, &query.slo).await,
        other => {
            let what = format!("there is no figure {other:?}: use one of sla, group, slo, debt");
            Err(Problem::new(Code::NotFound, what))
        }
    }
}

/// A check's part in a mean.
struct Part {
    id: String,
    /// Thousandths.
    weight: u32,
    figures: Figures,
}

async fn mean(present: &Present, frame: &Frame, period: Period, group: Option<Group>) -> Answer<Response> {
    let (t, now) = (frame.t, clock::now());
    let span = period.upto(now, None).map_err(|error| Problem::new(Code::BadRequest, error))?.now;
    let (app, wanted) = (present.app().clone(), group.clone());
    let parts = present.beside(move || {
        let checks: Vec<CheckNo> = app.book().checks().map(|check| check.number).collect();
        let mut parts = Vec::new();
        in_slices(
            || app.book(),
            checks,
            |book, check| {
                let Some(check) = book.check(check) else { return };
                let lived = book.period(check, Some(span.from), Some(span.to), now);
                let Some(counting) = check.counting(lived) else { return };
                if wanted.is_some() && counting.labels.group != wanted {
                    return;
                }
                if let Some(spans) = book.verdicts(check.number, &Filter::All, lived) {
                    let (id, weight) = (check.id.to_string(), counting.definition.weight.0);
                    parts.push(Part { id, weight, figures: Figures::from(&Account::of(&spans)) });
                }
            },
        );
        parts
    });
    let content = of_mean(parts.await?, (period, span), group.as_ref(), t);
    frame.page(Place::Home, &content.title, None, &content)
}

/// What a check takes away from the mean: its weight times what it lacks.
fn lost(part: &Part) -> f64 {
    part.figures.availability.map_or(0.0, |availability| f64::from(part.weight) * (1.0 - availability))
}

fn of_mean<'a>(
    mut parts: Vec<Part>,
    (period, span): (Period, Span),
    group: Option<&Group>,
    t: &'a Texts,
) -> Content<'a> {
    let w = t.terms;
    let counted: Vec<_> =
        parts.iter().map(|part| (sitepulse_model::control::Weight(part.weight), part.figures)).collect();
    let together = Together::of(&counted);
    let measured = parts.iter().filter(|part| part.figures.availability.is_some());
    let weights: f64 = measured.map(|part| f64::from(part.weight)).sum();
    let all_lost: f64 = parts.iter().map(lost).sum();
    parts.sort_by(|a, b| lost(b).total_cmp(&lost(a)).then_with(|| a.id.cmp(&b.id)));
    let hidden = parts.split_off(parts.len().min(ROWS_MAX));
    let points = |lost: f64| if weights > 0.0 { lost / weights * 100.0 } else { 0.0 };
    let takes =
        |lost: f64| if lost > 0.0 { (w.points)(&(t.number)(format!("{:.3}", points(lost)))) } else { "–".to_owned() };
    let weight = |thousandths: f64| (t.number)((thousandths / 1000.0).to_string());
    let chip = |one: Period| Chip {
        label: (t.kpi.period)(one.as_str()).to_owned(),
        href: match group {
            Some(group) => format!("/terms/group?group={}&period={}", escape(group.as_str()), one.as_str()),
            None => format!("/terms/sla?period={}", one.as_str()),
        },
        current: one == period,
        ..Chip::default()
    };
    let ends = [span.from, span.to].map(|at| escape(&instant::format(at)));
    let ends = format!("from={}&to={}", ends[0], ends[1]);
    let second = |at: UtcMicros| clock_text(UtcMicros(at.0 - at.0.rem_euclid(1_000_000)));
    Content {
        t,
        w,
        title: match group {
            Some(group) => format!("{} · {}", t.availability, group.as_str()),
            None => format!("{} · {}", t.availability, t.home.all_checks),
        },
        what: w.mean_what.to_owned(),
        periods: Some(Chips { label: t.home.period.to_owned(), chips: Period::ALL.map(chip).into(), tabs: false }),
        of: (t.explain.period)(&second(span.from), &second(span.to)),
        figure: figure::availability(together.availability, t),
        evidence: evidence(together.completeness, together.lower, together.upper, t),
        division: together.availability.map_or_else(String::new, |availability| {
            let shown = (t.number)(figure::percent_down(availability, 4));
            let lost = (t.number)(format!("{:.6}", all_lost / 1000.0));
            (w.division)(&lost, &weight(weights), &shown)
        }),
        lines: Vec::new(),
        rows: parts
            .iter()
            .map(|part| Row {
                href: format!("/checks/{}/explain?{ends}", part.id),
                id: part.id.clone(),
                weight: weight(f64::from(part.weight)),
                availability: figure::availability(part.figures.availability, t),
                evidence: evidence(part.figures.completeness, part.figures.lower, part.figures.upper, t),
                takes: takes(lost(part)),
            })
            .collect(),
        more: match hidden.len() {
            0 => String::new(),
            more => (w.more)(more, &takes(hidden.iter().map(lost).sum())),
        },
        debt: Vec::new(),
    }
}

fn evidence(completeness: Option<f64>, lower: Option<f64>, upper: Option<f64>, t: &Texts) -> String {
    let parts = [figure::completeness(completeness, t), figure::bounds_to(lower, upper, 2, t)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// An objective: its checks as its policy counts them, and how the budget and its burn rates follow.
async fn slo(present: &Present, frame: &Frame, id: &str) -> Answer<Response> {
    let (t, w, now) = (frame.t, frame.t.terms, clock::now());
    let slos = present.slos().await?;
    let one = slos.iter().find(|slo| slo.id == id).ok_or_else(|| Problem::not_found("slo", id))?;
    let mut content = Content {
        t,
        w,
        title: format!("{} · {id}", t.slo.short),
        what: w.slo_what.to_owned(),
        periods: None,
        of: one.fault.as_deref().map(t.tell).unwrap_or_default(),
        figure: figure::availability(None, t),
        evidence: String::new(),
        division: String::new(),
        lines: Vec::new(),
        rows: Vec::new(),
        more: String::new(),
        debt: Vec::new(),
    };
    if let Some(outcome) = &one.outcome {
        // A calendar period ends after now.
        let to = if outcome.to < one.as_of { outcome.to.clone() } else { one.as_of.clone() };
        let policy = format!("{}@{}", outcome.policy, outcome.policy_version);
        let asked = SlaQuery::counted(one.checks.join(","), outcome.from.clone(), to.clone(), Some(policy.clone()));
        let figures = if one.checks.is_empty() { Vec::new() } else { api::figures_of(present, asked, now).await? };
        let ends = format!("from={}&to={}&policy={}", escape(&outcome.from), escape(&to), escape(&policy));
        let snapshot = present.snapshot().await?;
        let weight =
            |id: &str| snapshot.check(id).map_or_else(String::new, |row| (t.number)(row.check.weight.to_string()));
        content.rows = figures
            .iter()
            .take(ROWS_MAX)
            .map(|one| Row {
                href: format!("/checks/{}/explain?{ends}", one.check),
                id: one.check.clone(),
                weight: weight(&one.check),
                availability: figure::availability(one.availability, t),
                evidence: evidence(one.completeness, one.lower, one.upper, t),
                takes: String::new(),
            })
            .collect();
        if let Some(hidden) = figures.len().checked_sub(ROWS_MAX).filter(|hidden| *hidden > 0) {
            content.more = (t.ledger.more)(hidden as u64);
        }
        let cut = |at: &str| at.get(..19).map_or_else(|| at.to_owned(), |at| format!("{} UTC", at.replace('T', " ")));
        content.of = format!("{} · {policy}", (t.explain.period)(&cut(&outcome.from), &cut(&to)));
        content.figure = figure::availability(outcome.availability, t);
        content.evidence = evidence(outcome.completeness, outcome.lower, outcome.upper, t);
        content.lines = budget_lines(outcome, t);
    }
    frame.page(Place::Objectives, &content.title, None, &content)
}

/// How a budget follows from the time that counts, and each burn rate with its threshold.
fn budget_lines(outcome: &OutcomeView, t: &Texts) -> Vec<String> {
    let w = t.terms;
    let time = |seconds: f64| {
        let sign = if seconds < 0.0 { "−" } else { "" };
        format!("{sign}{}", (t.number)(figure::length(seconds.abs(), t.slo.day)))
    };
    let budget = &outcome.budget;
    let objective = (t.number)(outcome.objective.replace('%', " %"));
    let mut lines = Vec::new();
    if let Some(allowed) = budget.allowed_seconds {
        let whole = time(outcome.counted_seconds + outcome.to_come_seconds);
        lines.push((w.allowed)(&objective, &whole, &time(allowed)));
    }
    if let (Some(used), Some(availability)) = (budget.used_seconds, outcome.availability) {
        let shown = (t.number)(figure::percent_down(availability, 4));
        lines.push((w.used)(&shown, &time(outcome.counted_seconds), &time(used)));
    }
    if let (Some(allowed), Some(used), Some(left)) = (budget.allowed_seconds, budget.used_seconds, budget.left_seconds)
    {
        lines.push((w.left)(&time(allowed), &time(used), &time(left)));
    }
    for burn in outcome.burns.iter().flat_map(|pair| [&pair.long, &pair.short].map(|burn| (burn, pair.threshold))) {
        let (burn, threshold) = burn;
        let rate = burn.rate.map_or_else(|| t.no_evidence.to_owned(), |rate| (t.number)(format!("{rate:.2}")));
        let known = figure::completeness(burn.completeness, t);
        lines.push((w.burn)(&burn.window, &rate, &(t.number)(threshold.to_string()), &known));
    }
    lines
}

fn debt(frame: &Frame, view: &DebtView) -> Answer<Response> {
    let (t, w) = (frame.t, frame.t.terms);
    let number = |value: f64| {
        let text = format!("{value:.2}");
        (t.number)(text.trim_end_matches('0').trim_end_matches('.').to_owned())
    };
    let parts: Vec<String> = view.terms.iter().filter_map(|term| Some(number(term.points?))).collect();
    let content = Content {
        t,
        w,
        title: t.kpi.debt.to_owned(),
        what: w.debt_what.to_owned(),
        periods: None,
        of: (w.levels)(&number(view.warning), &number(view.critical)),
        figure: number(view.points),
        evidence: (t.kpi.level)(&view.level).to_owned(),
        division: format!("{} = {}", parts.join(" + "), number(view.points)),
        lines: Vec::new(),
        rows: Vec::new(),
        more: String::new(),
        debt: view.terms.iter().map(|term| DebtRow::of(term, number, t)).collect(),
    };
    frame.page(Place::Home, t.kpi.debt, None, &content)
}

impl DebtRow {
    fn of(term: &DebtTermView, number: impl Fn(f64) -> String, t: &Texts) -> Self {
        let href = match term.term.as_str() {
            "overdue_jobs" | "failed_jobs" => "/jobs",
            "open_findings" | "stale_findings" => "/findings",
            "overdue_tasks" => "/playbooks",
            _ => "/checks",
        };
        let link = |name: &String| match term.term.as_str() {
            "expiring" => (name.clone(), format!("/checks/{}", escape(name))),
            _ => (name.clone(), String::new()),
        };
        let absent = || t.kpi.absent.to_owned();
        Self {
            term: (t.kpi.term)(&term.term),
            href,
            count: term.count.map_or_else(absent, figure::count),
            factor: number(term.factor),
            points: term.points.map_or_else(absent, &number),
            named: term.named.iter().map(link).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::text::{EN, FR};

    fn part(id: &str, weight: u32, availability: Option<f64>) -> Part {
        let lower = Some(availability.unwrap_or(0.0));
        let figures = Figures { availability, completeness: Some(1.0), lower, upper: Some(1.0), ..Figures::default() };
        Part { id: id.into(), weight, figures }
    }

    #[test]
    fn what_takes_the_most_away_stands_first_and_the_terms_add_up() {
        let parts = || {
            vec![
                part("a", 1000, Some(0.9)),
                part("b", 3000, Some(0.9)),
                part("c", 1000, Some(1.0)),
                part("d", 1000, None),
            ]
        };
        let span = Span::new(UtcMicros(0), UtcMicros(86_400_000_000));
        let content = of_mean(parts(), (Period::Day, span), None, &EN);
        let ids: Vec<&str> = content.rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["b", "a", "c", "d"]);
        // 0.1 of the weights 1 and 3 is lost, of 5 in all.
        assert_eq!(content.figure, "92.00 %");
        assert!(
            content.division.contains("0.400000") && content.division.contains("92.0000 %"),
            "{}",
            content.division
        );
        assert_eq!((content.rows[0].takes.as_str(), content.rows[2].takes.as_str()), ("6.000 points", "–"));
        let french = of_mean(parts(), (Period::Week, span), None, &FR);
        assert_eq!(french.figure, "92,00\u{a0}%");
        assert!(french.rows[0].href.starts_with("/checks/b/explain?from=1970-"), "{}", french.rows[0].href);
    }
}

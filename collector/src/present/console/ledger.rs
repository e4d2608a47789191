//! What late data changed of a check, and where an agent's runs went.

use askama::Template;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::time::UtcMicros;

use super::{broken_template, clock_text};
use crate::present::api::amendments::{AmendmentsQuery, page};
use crate::present::dto::amendments::{AmendmentView, ChangeView, LateView, ToldView};
use crate::present::dto::{AgentView, ConservationView, MissedView};
use crate::present::problem::Answer;
use crate::present::text::Texts;
use crate::present::text::amendments::LedgerTexts;
use crate::present::{Present, figure};

/// How many amendments the page of a check shows: the newest.
const SHOWN: usize = 5;

/// The amendments of a check.
#[derive(Template)]
#[template(path = "amendments.html")]
struct Section<'a> {
    t: &'a Texts,
    w: &'a LedgerTexts,
    id: &'a str,
    rows: Vec<AmendmentRow>,
    more: String,
}

struct AmendmentRow {
    number: u64,
    noted: String,
    from: String,
    to: String,
    late: Vec<LateRow>,
    availability: String,
    completeness: String,
    bounds: String,
    weighted: String,
    summary: String,
    changes: Vec<String>,
}

struct LateRow {
    agent: String,
    note: String,
}

/// Where an agent's runs went.
#[derive(Template)]
#[template(path = "desk/runs.html")]
struct Content<'a> {
    t: &'a Texts,
    w: &'a LedgerTexts,
    agent: AgentRuns,
}

struct AgentRuns {
    note: String,
    lacks: bool,
    rows: Vec<RunsRow>,
}

struct RunsRow {
    check: String,
    /// Of all checks.
    sum: bool,
    scheduled: String,
    stored: String,
    missed: String,
    causes: Vec<String>,
    dropped: String,
    unaccounted: String,
    lacks: bool,
}

/// The amendments of a check, rendered; empty where there are none.
///
/// # Errors
/// When the store cannot be read.
pub(super) async fn section(present: &Present, id: &str, t: &Texts) -> Answer<String> {
    let query = AmendmentsQuery { check: Some(id.to_owned()), limit: Some(SHOWN), ..AmendmentsQuery::default() };
    let found = page(present, &query, clock::now()).await?;
    let more = if found.next.is_some() { "…".to_owned() } else { String::new() };
    let rows = found.amendments.iter().map(|one| AmendmentRow::of(one, t)).collect();
    Section { t, w: t.ledger, id, rows, more }.render().map_err(|_| broken_template())
}

/// An instant of ours for people, without the fraction of its second.
fn at(text: &str) -> String {
    instant::parse(text, UtcMicros(0))
        .map_or_else(|_| text.to_owned(), |at| clock_text(UtcMicros(at.0 - at.0.rem_euclid(1_000_000))))
}

impl AmendmentRow {
    fn of(one: &AmendmentView, t: &Texts) -> Self {
        let moved = |before: Option<f64>, after: Option<f64>| {
            let text = |value: Option<f64>| {
                value.map_or_else(|| t.nothing_measured.to_owned(), |value| (t.number)(figure::percent_down(value, 3)))
            };
            format!("{} → {}", text(before), text(after))
        };
        let late = |late: &LateView| LateRow {
            agent: late.agent.clone(),
            note: (t.ledger.late_records)(
                &figure::count(late.records),
                late.acts,
                &figure::coarse(late.behind_seconds, t.slo.day),
            ),
        };
        let mut changes: Vec<String> = one.changes.iter().map(|change| changed(change, t)).collect();
        if one.changes_more > 0 {
            changes.push((t.ledger.more)(one.changes_more));
        }
        Self {
            number: one.number,
            noted: at(&one.noted),
            from: at(&one.from),
            to: at(&one.to),
            late: one.late.iter().map(late).collect(),
            availability: moved(one.before.availability, one.after.availability),
            completeness: format!("{} {}", t.completeness, moved(one.before.completeness, one.after.completeness)),
            bounds: [&one.before, &one.after]
                .map(|figures| figure::bounds_to(figures.lower, figures.upper, 3, t))
                .into_iter()
                .filter(|bounds| !bounds.is_empty())
                .collect::<Vec<_>>()
                .join(" → "),
            weighted: {
                let each = [&one.before, &one.after].map(|one| {
                    let of = (one.weighted_availability, one.weighted_lower, one.weighted_upper);
                    figure::bounded(of, 3, t.nothing_measured, t)
                });
                format!("{} {}", t.ledger.weighted, each.join(" → "))
            },
            summary: (t.ledger.changes)(one.changes.len() as u64 + one.changes_more),
            changes,
        }
    }
}

fn changed(change: &ChangeView, t: &Texts) -> String {
    let told = |told: &ToldView| match (&told.unknown_cause, told.share_down) {
        (Some(cause), _) => format!("{} ({})", t.state(&told.verdict), t.unknown_cause(cause)),
        (None, Some(share)) if share < 1.0 => {
            format!("{} ({})", t.state(&told.verdict), (t.number)(figure::percent_down(share, 1)))
        }
        (None, Some(_) | None) => t.state(&told.verdict).to_owned(),
    };
    format!(
        "{}, {}{}{} → {}",
        at(&change.from),
        figure::coarse(change.seconds, t.slo.day),
        t.colon,
        told(&change.before),
        told(&change.after)
    )
}

/// Where an agent's runs went, rendered.
///
/// # Errors
/// When the template fails, which only a broken build does.
pub(super) fn runs_of(agent: &AgentView, t: &Texts) -> Answer<String> {
    Content { t, w: t.ledger, agent: AgentRuns::of(agent, t) }.render().map_err(|_| broken_template())
}

impl AgentRuns {
    fn of(agent: &AgentView, t: &Texts) -> Self {
        let lacking = agent.conservation.unaccounted;
        let mut rows: Vec<RunsRow> =
            agent.checks.iter().map(|one| RunsRow::of(one.check.clone(), &one.counts, t)).collect();
        // A sum of one says nothing new.
        if rows.len() != 1 {
            let sum = RunsRow::of(t.ledger.all_checks.to_owned(), &agent.conservation, t);
            rows.push(RunsRow { sum: true, ..sum });
        }
        Self {
            note: if lacking > 0 {
                (t.ledger.some_unaccounted)(&figure::count(lacking))
            } else {
                t.ledger.all_accounted.to_owned()
            },
            lacks: lacking > 0,
            rows,
        }
    }
}

impl RunsRow {
    fn of(check: String, counts: &ConservationView, t: &Texts) -> Self {
        let MissedView { agent_stopped, overloaded, suspended, maintenance, clock_step, agent_offline } = counts.missed;
        let causes = [
            (agent_stopped, t.agent_stopped),
            (overloaded, t.ledger.overloaded),
            (suspended, t.cause_suspended),
            (maintenance, t.maintenance),
            (clock_step, t.ledger.clock_step),
            (agent_offline, t.agent_offline),
        ];
        let named = causes.iter().filter(|(count, _)| *count > 0);
        Self {
            check,
            sum: false,
            scheduled: figure::count(counts.scheduled),
            stored: figure::count(counts.stored),
            missed: figure::count(counts.missed.total()),
            causes: named.map(|(count, cause)| format!("{} {cause}", figure::count(*count))).collect(),
            dropped: figure::count(counts.dropped),
            unaccounted: figure::count(counts.unaccounted),
            lacks: counts.unaccounted > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::dto::PairConservationView;
    use crate::present::text::Language;

    #[test]
    fn it_is_told_where_an_agents_runs_went_in_both_languages() {
        let missed = MissedView { agent_stopped: 1200, suspended: 2, ..MissedView::default() };
        let counts =
            ConservationView { scheduled: 2205, stored: 1000, missed, dropped: 0, dropped_reported: 0, unaccounted: 3 };
        let whole = ConservationView { scheduled: 7, stored: 7, ..ConservationView::default() };
        let agent = |name: &str, counts: ConservationView| AgentView {
            name: name.into(),
            region: "<eu>".into(),
            enrolled: String::new(),
            revoked: None,
            internal: false,
            connected: true,
            last_seen: None,
            weight: 1.0,
            suspended: None,
            spool_records: None,
            spool_bytes: None,
            spool_drain_seconds: None,
            spool_oldest: None,
            clock_offset_seconds: None,
            clock_uncertainty_seconds: None,
            clock_flagged: false,
            host: None,
            build: None,
            certificate_expires: None,
            conservation: counts,
            checks: vec![PairConservationView { check: "shop".into(), counts }],
        };
        let mut agents = [agent("eu-1", counts), agent("eu-2", whole)];
        // A sum stands under several checks alone.
        agents[0].checks.push(PairConservationView { check: "api".into(), counts: ConservationView::default() });
        for language in Language::ALL {
            let (t, w) = (language.texts(), language.texts().ledger);
            let page = runs_of(&agents[0], t).unwrap() + &runs_of(&agents[1], t).unwrap();
            for word in [w.scheduled, w.stored, w.missed, w.dropped, w.unaccounted, w.all_accounted, w.all_checks] {
                assert!(page.contains(word), "{word}: {page}");
            }
            assert_eq!(page.matches("class=\"sum\"").count(), 1, "{page}");
            assert!(page.contains(&(w.some_unaccounted)("3")) && !page.contains("<eu>"), "{page}");
            assert!(page.contains(&format!("1\u{202f}200 {}", t.agent_stopped)), "{page}");
        }
    }

    #[test]
    fn an_amendment_reads_in_both_languages() {
        let change = |cause: Option<&str>| ToldView {
            verdict: if cause.is_some() { "unknown" } else { "regional" }.into(),
            unknown_cause: cause.map(str::to_owned),
            share_down: cause.is_none().then_some(0.5),
        };
        let change = ChangeView {
            from: "2026-11-22T10:00:00.5Z".into(),
            to: "2026-11-22T22:00:00Z".into(),
            seconds: 43_200.0,
            before: change(Some("agent_offline")),
            after: change(None),
        };
        let said = Language::ALL.map(|language| changed(&change, language.texts()));
        assert_eq!(
            said,
            [
                "2026-11-22 10:00:00 UTC, 12 h: unknown (agent offline) → regional (50.0 %)",
                "2026-11-22 10:00:00 UTC, 12 h : inconnu (agent hors ligne) → régional (50,0 %)"
            ]
        );
    }
}

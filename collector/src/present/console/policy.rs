//! A check's figures as an accounting policy counts them, on its page: the policy is chosen there, and figures are computed once one is.

use askama::Template;
use sitepulse_model::sla::Account;
use sitepulse_model::time::{Span, UtcMicros};

use super::{broken_template, vitals};
use crate::app::App;
use crate::book::Filter;
use crate::present::dto::SlaView;
use crate::present::dto::policy::CountedView;
use crate::present::policy::{count, policy_views, terms_of};
use crate::present::problem::Answer;
use crate::present::text::{Language, Texts};
use crate::present::view::sla_view;
use crate::present::{Present, figure};

/// Longest name of a policy with its version that is looked at, in bytes.
const NAME_BYTES_MAX: usize = 80;

#[derive(Template)]
#[template(path = "policy.html")]
struct Section<'a> {
    t: &'a Texts,
    lang: Language,
    id: &'a str,
    choices: Vec<Choice>,
    fault: String,
    rows: Vec<Row>,
}

pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) chosen: bool,
}

struct Row {
    /// What the explanation of the row is asked for.
    span: &'static str,
    policy: String,
    period: &'static str,
    versions: String,
    availability: String,
    evidence: String,
    objective: String,
    met: &'static str,
    class: &'static str,
    budget_left: String,
    counted: String,
    outside: String,
}

/// The section, rendered; `chosen` is what the query says.
pub(super) async fn section(
    present: &Present,
    id: &str,
    chosen: Option<&str>,
    now: UtcMicros,
    lang: Language,
) -> Answer<String> {
    let t = lang.texts();
    let choices = choices(present.app(), chosen, t);
    let chosen = chosen.filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX).map(ToOwned::to_owned);
    let (mut rows, mut fault) = (Vec::new(), String::new());
    if let Some(name) = chosen {
        let (app, check, asked) = (present.app().clone(), id.to_owned(), name.clone());
        match present.beside(move || figures(&app, &check, &asked, now)).await? {
            Ok(views) => rows = views.iter().filter_map(|(span, view)| row(span, &name, view, t)).collect(),
            // Somebody changed the address by hand, or the policy is of another collector.
            Err(_) => fault = (t.policies.unknown_policy)(&name),
        }
    }
    Section { t, lang, id, choices, fault, rows }.render().map_err(|_| broken_template())
}

/// Every policy, and every version of it.
pub(super) fn choices(app: &App, chosen: Option<&str>, t: &Texts) -> Vec<Choice> {
    let choice = |value: String, label: String| Choice { chosen: chosen == Some(value.as_str()), value, label };
    let mut choices = Vec::new();
    for policy in policy_views(&app.book()) {
        let living: Vec<u32> =
            policy.versions.iter().filter(|version| !version.retired).map(|version| version.version).collect();
        if let [_, _, ..] = living[..] {
            choices.push(choice(policy.id.clone(), format!("{} ({})", policy.id, t.policies.each_in_its_time)));
        }
        choices.extend(living.iter().rev().map(|version| {
            let name = format!("{}@{version}", policy.id);
            choice(name.clone(), name)
        }));
    }
    choices
}

fn figures(app: &App, id: &str, policy: &str, now: UtcMicros) -> Answer<Vec<(&'static str, SlaView)>> {
    let longest = vitals::SPANS.iter().map(|(_, us)| *us).max().unwrap_or(0);
    let terms = terms_of(app, policy, Span::new(now.plus_us(-longest), now))?;
    let book = app.book();
    let Some(check) = crate::sla_report::find(&book, id) else { return Ok(Vec::new()) };
    let one = |(name, us): (&'static str, i64)| {
        let period = book.period(check, Some(now.plus_us(-us)), Some(now), now);
        let spans = book.verdicts(check.number, &Filter::All, period)?;
        let mut view = sla_view(check, period, &Account::of(&spans));
        count(&mut view, &terms, period, &spans);
        Some((name, view))
    };
    Ok(vitals::SPANS.into_iter().filter_map(one).collect())
}

fn row(span: &'static str, policy: &str, view: &SlaView, t: &Texts) -> Option<Row> {
    let counted = view.policy.as_ref()?;
    let (met, class) = match counted.met {
        Some(true) => (t.policies.met, "up"),
        Some(false) => (t.policies.missed, "down"),
        None => ("", ""),
    };
    let time = |seconds: f64| (t.number)(figure::coarse(seconds, t.slo.day));
    let left = counted.budget_left_seconds;
    Some(Row {
        span,
        policy: policy.to_owned(),
        period: match span {
            "7d" => t.vitals.last_7_d,
            "30d" => t.vitals.last_30_d,
            _ => t.last_24_h,
        },
        versions: versions(counted, t),
        availability: figure::availability(view.availability, t),
        evidence: format!(
            "{} {}",
            figure::completeness(view.completeness, t),
            figure::bounds(view.lower, view.upper, t)
        ),
        objective: match (&counted.objective, &counted.terms[..]) {
            (Some(objective), _) => (t.number)(objective.replace('%', " %")),
            (None, []) => String::new(),
            (None, _) => t.policies.several.to_owned(),
        },
        met,
        class,
        budget_left: if left < 0.0 { format!("−{}", time(-left)) } else { time(left) },
        counted: time(counted.seconds.counted),
        outside: time(counted.seconds.outside),
    })
}

fn versions(counted: &CountedView, t: &Texts) -> String {
    let versions: Vec<String> = counted.terms.iter().map(|term| term.version.to_string()).collect();
    if versions.is_empty() { t.policies.none_in_force.to_owned() } else { (t.policies.versions)(&versions.join(", ")) }
}

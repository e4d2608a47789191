//! Figures of groups and of all checks together: `GET /api/v1/sla/groups`.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::{CheckNo, Group};
use sitepulse_model::sla::Together;
use sitepulse_model::time::UtcMicros;

use crate::app::App;
use crate::book::{Gathered, PERIOD_DEFAULT_US};
use crate::policy::Terms;
use crate::present::Present;
use crate::present::api::{Ask, SlaQuery, ask};
use crate::present::dto::unknown::CausesView;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::slices::in_slices;

/// What is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupsQuery {
    group: Option<String>,
    from: Option<String>,
    to: Option<String>,
    agent: Option<String>,
    region: Option<String>,
    policy: Option<String>,
}

/// Figures of groups over a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupsView {
    /// First instant.
    pub from: String,
    /// First instant after.
    pub to: String,
    /// The policy that counted, as it was asked for; `null` of the plain figures.
    pub policy: Option<String>,
    /// All checks together; absent where one group was asked for.
    pub whole: Option<TogetherView>,
    /// Each group, by name.
    pub groups: Vec<TogetherView>,
}

/// Means over several checks, weighted by check weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TogetherView {
    /// The group; `null` of the whole.
    pub group: Option<String>,
    /// Checks of a weight above 0 that lived in the period.
    pub checks: usize,
    /// Those of them with measured time: the availabilities are means over these.
    pub measured: usize,
    /// Availability.
    pub availability: Option<f64>,
    /// The same with the share of a regional outage.
    pub weighted_availability: Option<f64>,
    /// Completeness.
    pub completeness: Option<f64>,
    /// What it leaves open, by cause, as shares of 1.
    pub unknown: Option<CausesView>,
    /// With every unknown second as down.
    pub lower: Option<f64>,
    /// With every unknown second as up.
    pub upper: Option<f64>,
    /// Weighted availability with every unknown second as down.
    pub weighted_lower: Option<f64>,
    /// Weighted availability with every unknown second as up.
    pub weighted_upper: Option<f64>,
}

/// `GET /api/v1/sla/groups`
pub async fn groups(State(present): State<Present>, query: Ask<GroupsQuery>) -> Answer<Json<GroupsView>> {
    let query = ask(query)?;
    let now = clock::now();
    let app = present.app().clone();
    present
        .beside(move || {
            let GroupsQuery { group, from, to, agent, region, policy } = query;
            let asked = SlaQuery::of_period(from, to, agent, region, policy);
            let terms = asked.terms(&app, now)?;
            figures(&app, group.as_ref(), &asked, terms.as_ref(), now)
        })
        .await?
        .map(Json)
}

fn figures(
    app: &App,
    group: Option<&String>,
    asked: &SlaQuery,
    terms: Option<&Terms>,
    now: UtcMicros,
) -> Answer<GroupsView> {
    let (from, to, filter) = asked.asked(&app.book(), now)?;
    let named = |name: &String| -> Answer<Group> {
        let group = Group::parse(name).ok();
        let known = |group: &Group| {
            app.book()
                .checks()
                .flat_map(|check| &check.revisions)
                .any(|revision| revision.labels.group.as_ref() == Some(group))
        };
        group.filter(known).ok_or_else(|| {
            let what =
                format!("no check is or was in group {name:?}: `sitepulse-collector sla --by-group` lists the groups");
            Problem::new(Code::NotFound, what)
        })
    };
    let group = group.map(named).transpose()?;
    let checks: Vec<CheckNo> = app.book().checks().map(|check| check.number).collect();
    let mut gathered = Gathered::default();
    in_slices(
        || app.book(),
        checks,
        |book, check| {
            let Some(check) = book.check(check) else { return };
            let (terms, period) = (terms.map(|terms| &*terms.terms), book.period(check, from, to, now));
            book.gather(&mut gathered, check, group.as_ref(), &filter, terms, period);
        },
    );
    let to = to.unwrap_or(now).min(now);
    Ok(GroupsView {
        from: instant::format(from.unwrap_or(to.plus_us(-PERIOD_DEFAULT_US))),
        to: instant::format(to),
        policy: terms.map(|terms| terms.asked.to_string()),
        whole: group.is_none().then(|| view(None, &gathered.whole())),
        groups: gathered.groups().map(|(group, together)| view(Some(group.to_string()), &together)).collect(),
    })
}

/// Means as JSON.
pub fn view(group: Option<String>, together: &Together) -> TogetherView {
    TogetherView {
        group,
        checks: together.checks,
        measured: together.measured,
        availability: together.availability,
        weighted_availability: together.weighted_availability,
        completeness: together.completeness,
        unknown: together.unknown.as_ref().map(CausesView::shares),
        lower: together.lower,
        upper: together.upper,
        weighted_lower: together.weighted_lower,
        weighted_upper: together.weighted_upper,
    }
}

//! `sla --by-group` and `sla --group`: figures of groups and of all checks together.

use super::policy::counted;
use super::{figures_of, hinted, print, print_json, share, weighted, whole, with, with_query};
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{Failure, Global, SlaArgs, watch};
use crate::present::groups::{GroupsView, TogetherView};

pub(super) async fn sla(global: &Global, args: SlaArgs) -> Result<(), Failure> {
    let [_, from, to, agent, region] = figures_of(None, args.asked);
    let path = with_query("/api/v1/sla/groups", [("group", args.group), from, to, agent, region]);
    let path = counted(path, args.counted);
    let figures: GroupsView = with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&figures);
    }
    let mut table =
        Table::new(&["GROUP", "AVAILABILITY", "COMPLETENESS", "BOUNDS", "WEIGHTED", "MEASURED", "FROM", "TO"]);
    for one in figures.groups.iter().chain(&figures.whole) {
        table.push(row(one, &figures));
    }
    let policy = match &figures.policy {
        Some(policy) if policy.contains('@') => format!("Counted by policy {policy}.\n"),
        Some(policy) => format!("Counted by policy {policy}: each instant by the version in force then.\n"),
        None => String::new(),
    };
    let unknown: String = figures.groups.iter().chain(&figures.whole).map(unknown).collect();
    print(&format!("{}{unknown}{policy}", table.text()))
}

/// Why something is missing, as shares of all checks' time; empty where all is known.
fn unknown(one: &TogetherView) -> String {
    let causes = one.unknown.map_or_else(String::new, |unknown| unknown.text(share));
    let group = one.group.as_deref().map_or_else(|| "(all checks)".to_owned(), clean);
    if causes.is_empty() { String::new() } else { format!("{group}: unknown: {causes}\n") }
}

fn row(one: &TogetherView, figures: &GroupsView) -> Vec<String> {
    let [availability, completeness, bounds] = watch::figures(one.availability, one.completeness, one.lower, one.upper);
    vec![
        one.group.clone().unwrap_or_else(|| "(all checks)".into()),
        availability,
        completeness,
        bounds,
        weighted(one.weighted_availability, one.weighted_lower, one.weighted_upper),
        format!("{} of {}", one.measured, one.checks),
        whole(&figures.from),
        whole(&figures.to),
    ]
}

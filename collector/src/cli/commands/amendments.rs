//! `amendments`: what late data changed.

use super::{hinted, length, print, print_json, weighted, whole, with, with_query};
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{AmendmentsArgs, Failure, Global};
use crate::present::dto::SecondsView;
use crate::present::dto::amendments::{AmendmentView, AmendmentsView, ChangeView, FiguresView, LateView, ToldView};
use crate::present::figure;
use crate::present::text::EN;

pub(super) async fn amendments(global: &Global, args: AmendmentsArgs) -> Result<(), Failure> {
    let detailed = args.check.is_some();
    let asked = [
        ("check", args.check),
        ("from", args.period.from),
        ("to", args.period.to),
        ("limit", args.limit.map(|limit| limit.to_string())),
        ("after", args.after),
    ];
    let path = with_query("/api/v1/amendments", asked);
    let page: AmendmentsView =
        with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&page);
    }
    if page.amendments.is_empty() {
        return print("No late data changed a figure.\n");
    }
    let mut text = String::new();
    if detailed {
        for one in &page.amendments {
            text.push_str(&story(one));
            text.push('\n');
        }
    } else {
        let mut table =
            Table::new(&["NOTED", "CHECK", "FROM", "TO", "AVAILABILITY", "COMPLETENESS", "BOUNDS", "CHANGES", "LATE"]);
        for one in &page.amendments {
            table.push(row(one));
        }
        text = table.text();
    }
    if let Some(next) = &page.next {
        text.push_str(&format!("There are older ones: --after {next}\n"));
    }
    print(&text)
}

fn row(one: &AmendmentView) -> Vec<String> {
    vec![
        whole(&one.noted),
        one.check.clone(),
        whole(&one.from),
        whole(&one.to),
        moved(one.before.availability, one.after.availability),
        moved(one.before.completeness, one.after.completeness),
        format!("{} -> {}", bounds(&one.before), bounds(&one.after)),
        (one.changes.len() as u64 + one.changes_more).to_string(),
        one.late.iter().map(late).collect::<Vec<_>>().join("; "),
    ]
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "nothing measured".into(), |value| figure::percent_down(value, 3))
}

fn moved(before: Option<f64>, after: Option<f64>) -> String {
    format!("{} -> {}", percent(before), percent(after))
}

/// Where an availability lies, for all that is unknown.
fn bounds(figures: &FiguresView) -> String {
    let bounds = figure::bounds_to(figures.lower, figures.upper, 3, &EN);
    if bounds.is_empty() { "nothing".to_owned() } else { bounds }
}

fn late(late: &LateView) -> String {
    let records = if late.records == 1 { "1 record".to_owned() } else { format!("{} records", late.records) };
    let acts = match late.acts {
        0 => String::new(),
        1 => ", 1 control event".to_owned(),
        more => format!(", {more} control events"),
    };
    format!("{}: {records}{acts}, up to {} late", late.agent, figure::coarse(late.behind_seconds, "d"))
}

/// One amendment, whole.
fn story(one: &AmendmentView) -> String {
    let mut text = format!(
        "{} #{}, noted {}: {} to {}\n",
        clean(&one.check),
        one.number,
        whole(&one.noted),
        whole(&one.from),
        whole(&one.to)
    );
    for agent in &one.late {
        text.push_str(&format!(
            "  late          {}, of {} to {}\n",
            clean(&late(agent)),
            whole(&agent.first),
            whole(&agent.last)
        ));
    }
    text.push_str(&format!("  before        {}\n", figures(&one.before)));
    text.push_str(&format!("  after         {}\n", figures(&one.after)));
    text.push_str(&format!("  availability  {}\n", moved(one.before.availability, one.after.availability)));
    text.push_str(&format!("  completeness  {}\n", moved(one.before.completeness, one.after.completeness)));
    text.push_str(&format!("  bounds        {} -> {}\n", bounds(&one.before), bounds(&one.after)));
    let weighted = |one: &FiguresView| weighted(one.weighted_availability, one.weighted_lower, one.weighted_upper);
    text.push_str(&format!("  weighted      {} -> {}\n", weighted(&one.before), weighted(&one.after)));
    for change in &one.changes {
        text.push_str(&format!("  {}\n", change_line(change)));
    }
    if one.changes_more > 0 {
        text.push_str(&format!("  and {} more, shorter ones\n", one.changes_more));
    }
    text
}

fn figures(figures: &FiguresView) -> String {
    let SecondsView { up, degraded, regional, down, maintenance, unknown } = figures.seconds;
    let unknown = unknown.agent_stopped + unknown.agent_offline + unknown.suspended + unknown.shed + unknown.unassigned;
    format!(
        "{up:.3} s up, {degraded:.3} s degraded, {regional:.3} s regional, {down:.3} s down, {unknown:.3} s unknown, {maintenance:.3} s maintenance"
    )
}

fn change_line(change: &ChangeView) -> String {
    format!(
        "{}  {:<10}  {} -> {}",
        whole(&change.from),
        length(change.seconds),
        told(&change.before),
        told(&change.after)
    )
}

fn told(told: &ToldView) -> String {
    match (&told.unknown_cause, told.share_down) {
        (Some(cause), _) => format!("{} ({cause})", told.verdict),
        (None, Some(share)) if share < 1.0 => format!("{} ({})", told.verdict, figure::percent_down(share, 1)),
        (None, Some(_) | None) => told.verdict.clone(),
    }
}

//! `indicators`: how alerting does, beside the period before.

use super::{print, print_json, whole, with};
use crate::cli::client::Need;
use crate::cli::table::Table;
use crate::cli::{Failure, Global, IndicatorsArgs};
use crate::present::dto::indicators::{CountedView, IndicatorsView, NoiseView};
use crate::present::figure;
use crate::present::http::escape;
use crate::present::text::EN;

pub(super) async fn indicators(global: &Global, args: IndicatorsArgs) -> Result<(), Failure> {
    let zone = args.zone.as_ref().map(|zone| format!("&zone={}", escape(zone))).unwrap_or_default();
    let asked = format!("period={}{zone}", escape(&args.period));
    if let Some(figure) = &args.figure {
        let severity = args.severity.as_ref().map(|severity| format!("&severity={}", escape(severity)));
        let path = format!("/api/v1/indicators/{}?{asked}{}", escape(figure), severity.unwrap_or_default());
        let list: Vec<CountedView> = with(global, Need::Data, async |client| client.get(&path).await).await?;
        return if global.json { print_json(&list) } else { print(&list_text(&list)) };
    }
    let path = format!("/api/v1/indicators?{asked}");
    let view: IndicatorsView = with(global, Need::Data, async |client| client.get(&path).await).await?;
    if global.json { print_json(&view) } else { print(&text(&view)) }
}

fn length(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".into(), |seconds| figure::length(seconds, EN.slo.day))
}

fn text(view: &IndicatorsView) -> String {
    let mut text = format!("{} up to {}\n\n", (EN.kpi.period)(&view.period), whole(&view.to));
    let mut table = Table::new(&["SEVERITY", "OPENED", "MTTA", "BEFORE", "MTTR", "BEFORE", "OPEN"]);
    for row in &view.times {
        table.push(vec![
            row.severity.clone().unwrap_or_else(|| "all".into()),
            row.now.opened.to_string(),
            length(row.now.mtta_seconds),
            length(row.before.mtta_seconds),
            length(row.now.mttr_seconds),
            length(row.before.mttr_seconds),
            row.now.open.to_string(),
        ]);
    }
    text.push_str(&table.text());
    let met = match view.mttr_met {
        Some(true) => "met",
        Some(false) => "missed",
        None => "none is over",
    };
    text.push_str(&format!("\nMTTR of critical incidents below {}: {met}\n\n", length(Some(view.mttr_target_seconds))));
    let mut table = Table::new(&["ALERT NOISE", "VALUE", "BEFORE"]);
    let mut row = |name: &str, of: fn(&NoiseView) -> String| {
        table.push(vec![name.to_owned(), of(&view.noise), of(&view.noise_before)]);
    };
    row("pages", |noise| noise.pages.to_string());
    row("pages per incident", |noise| none_or(noise.pages_per_incident.map(|value| format!("{value:.2}"))));
    row("taken within 5 min", |noise| none_or(noise.in_time_share.map(|share| figure::percent_down(share, 0))));
    row("spared by the quorum", |noise| noise.spared.quorum.to_string());
    row("spared by parents", |noise| noise.spared.parent.to_string());
    row("spared by flap damping", |noise| noise.spared.flapping.to_string());
    text.push_str(&table.text());
    let runs = view.playbooks.as_ref().and_then(|runs| Some((runs, runs.share?)));
    let runs = runs
        .map(|(runs, share)| format!("{} of {} runs, {}", runs.completed, runs.ended, figure::percent_down(share, 0)));
    text.push_str(&format!("\nplaybooks carried out to their end: {}\n", runs.unwrap_or_else(|| "no runs".into())));
    for one in view.playbook_teams.iter().filter(|_| view.playbook_teams.iter().any(|one| one.team.is_some())) {
        let (team, of) = (one.team.as_deref().unwrap_or("no team"), &one.completion);
        let share = of.share.map_or_else(String::new, |share| format!(", {}", figure::percent_down(share, 0)));
        text.push_str(&format!("  {team}: {} of {} runs{share}\n", of.completed, of.ended));
    }
    let reports = &view.reports;
    let note = if reports.available { "" } else { " (this collector sends none by itself yet)" };
    text.push_str(&format!("users with automated reports: {} of {}{note}\n", reports.automated, reports.users));
    text
}

fn none_or(value: Option<String>) -> String {
    value.unwrap_or_else(|| "-".into())
}

fn list_text(list: &[CountedView]) -> String {
    if list.is_empty() {
        return "Nothing was counted.\n".into();
    }
    let mut table = Table::new(&["AT", "INCIDENT", "CHECK", "KIND", "SEVERITY", "TOOK", "NOTE"]);
    let told = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    for one in list {
        let in_time = one.in_time.map(|yes| if yes { "taken in time" } else { "not in time" }.to_owned());
        let by = one.spared_by.as_ref().map(|by| format!("spared: {by}"));
        table.push(vec![
            whole(&one.at),
            told(&one.incident),
            told(&one.check),
            told(&one.kind),
            told(&one.severity),
            length(one.seconds),
            in_time.or(by).unwrap_or_default(),
        ]);
    }
    table.text()
}

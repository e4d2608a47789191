//! `impact`: what to look at first, and why.

use std::path::Path;

use sitepulse_model::impact::model::ScoringModel;

use super::{draft_of, print, print_json, whole, with};
use crate::book::Object;
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{Failure, Global, ImpactArgs};
use crate::present::dto::impact::{
    ImpactDetailView, ImpactHistoryView, ImpactTogetherView, ImpactView, ImpactsView, RegionImpactView, TrialBody,
    TrialRowView, TrialView,
};
use crate::present::http::escape;

pub(super) async fn impact(global: &Global, args: ImpactArgs) -> Result<(), Failure> {
    if let Some(file) = &args.model {
        let body = TrialBody { model: model_of(file)?, at: args.at, check: args.check, days: args.days };
        let trial: TrialView =
            with(global, Need::Data, async |client| client.post("/api/v1/impact-trials", &body).await).await?;
        return if global.json { print_json(&trial) } else { print(&trial_text(&trial)) };
    }
    let at = args.at.as_ref().map(|at| format!("at={}", escape(at)));
    let evidence = args.evidence.then(|| "evidence=true".to_owned());
    let named = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name}={}", escape(value)));
    if args.history {
        let of = [named("check", &args.check), named("group", &args.group), named("region", &args.region), at];
        let path = format!("/api/v1/impact-history{}", query(of.into_iter().flatten()));
        let view: ImpactHistoryView = with(global, Need::Data, async |client| client.get(&path).await).await?;
        return if global.json { print_json(&view) } else { print(&history_text(&view)) };
    }
    if let Some(check) = &args.check {
        let path = format!("/api/v1/impact/{}{}", escape(check), query(at.into_iter().chain(evidence)));
        let detail: ImpactDetailView = with(global, Need::Data, async |client| client.get(&path).await).await?;
        return if global.json { print_json(&detail) } else { print(&detail_text(&detail)) };
    }
    let asked = [named("group", &args.group), named("region", &args.region), at, evidence];
    let path = format!("/api/v1/impact{}", query(asked.into_iter().flatten()));
    let list: ImpactsView = with(global, Need::Data, async |client| client.get(&path).await).await?;
    if global.json { print_json(&list) } else { print(&list_text(&list)) }
}

fn query(parts: impl IntoIterator<Item = String>) -> String {
    let parts: Vec<String> = parts.into_iter().collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

/// The one [[scoring]] of a file.
fn model_of(file: &Path) -> Result<ScoringModel, Failure> {
    draft_of(file, "scoring", |object| if let Object::Scoring(model) = object { Some(model) } else { None })
}

fn score_text(score: Option<f64>) -> String {
    score.map_or_else(|| "-".into(), |score| format!("{score:.2}"))
}

fn band_text(band: Option<&String>) -> String {
    band.map_or_else(|| "no data".into(), Clone::clone)
}

fn list_text(list: &ImpactsView) -> String {
    if list.checks.is_empty() {
        return "No checks yet: apply a file with `sitepulse-collector apply FILE`.\n".into();
    }
    let mut table = Table::new(&["SCORE", "BAND", "CHECK", "GROUP", "WHY"]);
    for one in &list.checks {
        let group = one.group.clone().unwrap_or_else(|| "-".into());
        let band = band_text(one.band.as_ref());
        table.push(vec![score_text(one.score), band, one.check.clone(), group, one.reason.en.clone()]);
    }
    let mut text = table.text();
    let together: Vec<&ImpactTogetherView> = list.groups.iter().chain(&list.regions).chain(&list.whole).collect();
    if !together.is_empty() {
        text.push('\n');
        let mut table = Table::new(&["SCORE", "BAND", "TOGETHER", "MEAN", "CHECKS", "RAISED BY"]);
        for one in together {
            table.push(vec![
                score_text(Some(one.score)),
                one.band.clone(),
                match (&one.group, &one.region) {
                    (Some(group), _) => group.clone(),
                    (None, Some(region)) => format!("as {region} sees it"),
                    (None, None) => "all checks".into(),
                },
                score_text(Some(one.mean)),
                format!("{} of {}", one.scored, one.checks),
                one.raised.as_ref().map_or_else(|| "-".into(), |raised| raised.check.clone()),
            ]);
        }
        text.push_str(&table.text());
    }
    let region = list.region.as_ref().map(|region| format!(", as {region} sees it")).unwrap_or_default();
    let by = format!("by the scoring model {}, as of {}{region}", list.model, whole(&list.as_of));
    let of = |basis: &str| list.checks.iter().filter(|one| one.basis == basis && one.score.is_some()).count();
    let stored = of("stored");
    let again = of("evidence");
    let basis = match (stored, again) {
        (0, 0) => String::new(),
        (0, _) => ", found again from the evidence of today".to_owned(),
        (_, 0) => ", as stored in that hour".to_owned(),
        (_, again) => {
            format!(", as stored in that hour but for {again} of the checks, found again from the evidence of today")
        }
    };
    text.push_str(&format!("\n{}\n", clean(&(by + &basis))));
    text
}

/// Where a score comes from, after the score.
fn basis_text(basis: &str) -> &'static str {
    match basis {
        "stored" => ", as stored in that hour",
        "evidence" => ", found again from the evidence of today",
        _ => "",
    }
}

fn history_text(view: &ImpactHistoryView) -> String {
    if view.hours.is_empty() {
        return "No hour is kept yet: scores are written down once an hour.\n".into();
    }
    let mut table = Table::new(&["AT", "SCORE", "MODEL"]);
    for hour in &view.hours {
        table.push(vec![whole(&hour.at), score_text(Some(hour.score)), hour.model.clone()]);
    }
    table.text()
}

fn detail_text(detail: &ImpactDetailView) -> String {
    let ImpactView { check, score, band, model, at, basis, reason, contributions, .. } = &detail.impact;
    let mut text = clean(&format!(
        "{check}: {} ({}), by the scoring model {model}, as of {}{}",
        score_text(*score),
        band_text(band.as_ref()),
        whole(at),
        basis_text(basis)
    ));
    text.push_str(&format!("\n{}\n", clean(&reason.en)));
    if !contributions.is_empty() {
        let mut table = Table::new(&["POINTS", "WEIGHT", "MODULE", "SIGNAL", "VALUE", "COUNTS FROM", "IN FULL AT"]);
        for one in contributions {
            table.push(vec![
                format!("{:.2}", one.points),
                format!("{:.4}", one.weight),
                one.module.clone(),
                one.signal.clone(),
                format!("{:.4}", one.value),
                format!("{:.4}", one.warning),
                format!("{:.4}", one.critical),
            ]);
        }
        text.push('\n');
        text.push_str(&table.text());
    }
    if !detail.regions.is_empty() {
        let mut table = Table::new(&["SCORE", "BAND", "REGION", "WHY"]);
        for RegionImpactView { region, impact } in &detail.regions {
            let band = band_text(impact.band.as_ref());
            table.push(vec![score_text(impact.score), band, region.clone(), impact.reason.en.clone()]);
        }
        text.push('\n');
        text.push_str(&table.text());
    }
    if let (Some(first), Some(last)) = (detail.history.first(), detail.history.last()) {
        let most = detail.history.iter().map(|hour| hour.score).fold(0.0, f64::max);
        text.push_str(&format!(
            "\n{} hours kept, from {} to {}; the highest was {most:.2}\n",
            detail.history.len(),
            whole(&first.at),
            whole(&last.at)
        ));
    }
    text
}

fn trial_text(trial: &TrialView) -> String {
    let mut table = Table::new(&["AT", "CHECK", "BEFORE", "AFTER", "BAND BEFORE", "BAND AFTER"]);
    let row = |one: &TrialRowView| {
        vec![
            whole(&one.at),
            one.check.clone().unwrap_or_else(|| "all checks".into()),
            score_text(one.before),
            score_text(one.after),
            band_text(one.band_before.as_ref()),
            band_text(one.band_after.as_ref()),
        ]
    };
    let whole_row = trial.whole.iter().filter(|_| trial.days.is_empty());
    for one in trial.days.iter().chain(whole_row).chain(&trial.rows) {
        table.push(row(one));
    }
    let mut text = table.text();
    let of = if trial.whole.is_some() { "checks" } else { "days" };
    text.push_str(&format!("\n{} {of} would change their band; {} by {}\n", trial.moved, "before is", trial.model));
    text
}

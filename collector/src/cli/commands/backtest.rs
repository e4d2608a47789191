//! `backtest`: which incidents another policy would have opened.

use super::{hinted, length, print, print_json, weighted, whole, with, with_query};
use crate::cli::client::Need;
use crate::cli::table::Table;
use crate::cli::{BacktestArgs, Failure, Global};
use crate::present::backtest::{BacktestView, ChangeView, EpisodeView};
use crate::present::dto::SlaView;
use crate::present::figure;
use crate::present::text::EN;

pub(super) async fn backtest(global: &Global, args: BacktestArgs) -> Result<(), Failure> {
    let joined = |names: Vec<String>| (!names.is_empty()).then(|| names.join(","));
    let asked = [
        ("check", Some(args.check)),
        ("from", args.period.from),
        ("to", args.period.to),
        ("quorum", args.quorum),
        ("confirmations", args.confirmations.map(|n| n.to_string())),
        ("recoveries", args.recoveries.map(|n| n.to_string())),
        ("weight", joined(args.weights)),
        ("without", joined(args.without)),
        ("reopen", args.reopen),
    ];
    let path = with_query("/api/v1/backtest", asked);
    let tested: BacktestView =
        with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&tested);
    }
    let mut table = Table::new(&["INCIDENT", "KIND", "BEGAN", "LASTED", "PAGED", "IT WOULD"]);
    for change in &tested.changes {
        table.push(row(change));
    }
    let table = if tested.changes.is_empty() { String::new() } else { format!("\n{}", table.text()) };
    print(&format!("{}{table}", sum(&tested)))
}

/// The totals, in words.
fn sum(tested: &BacktestView) -> String {
    let totals = &tested.totals;
    let percent = |value: Option<f64>| value.map_or_else(|| "nothing".into(), |value| figure::percent_down(value, 4));
    let pair =
        |of: fn(&SlaView) -> Option<f64>| format!("{} -> {}", percent(of(&tested.before)), percent(of(&tested.after)));
    format!(
        "{}, {} to {}: {}\n\
         pages         {} -> {}: {} spared or missed, {} new\n\
         incidents     {} -> {}: {} kept, {} gone, {} new\n\
         availability  {}, completeness {}\n\
         it lies in    {} -> {}\n\
         weighted      {} -> {}\n\
         A page is due at the slot of the result that confirms it. Late results are taken as if they had come in time.\n",
        tested.before.check,
        whole(&tested.before.from),
        whole(&tested.before.to),
        policy(tested),
        totals.pages_before,
        totals.pages_after,
        totals.pages_gone,
        totals.pages_new,
        totals.kept + totals.gone,
        totals.kept + totals.new,
        totals.kept,
        totals.gone,
        totals.new,
        pair(|figures| figures.availability),
        pair(|figures| figures.completeness),
        bounds(&tested.before),
        bounds(&tested.after),
        weighted_of(&tested.before),
        weighted_of(&tested.after),
    )
}

fn weighted_of(figures: &SlaView) -> String {
    weighted(figures.weighted_availability, figures.weighted_lower, figures.weighted_upper)
}

/// Where an availability lies, for all that is unknown.
fn bounds(figures: &SlaView) -> String {
    let bounds = figure::bounds_to(figures.lower, figures.upper, 4, &EN);
    if bounds.is_empty() { "nothing".to_owned() } else { bounds }
}

fn policy(tested: &BacktestView) -> String {
    let policy = &tested.policy;
    let mut told = Vec::new();
    told.extend(policy.quorum.as_ref().map(|quorum| format!("quorum {quorum}")));
    told.extend(policy.confirmations.map(|n| format!("confirmations {n}")));
    told.extend(policy.recoveries.map(|n| format!("recoveries {n}")));
    told.extend(policy.weights.iter().map(|(agent, weight)| format!("weight of {agent} {weight}")));
    told.extend(policy.without.iter().map(|agent| format!("without {agent}")));
    if told.is_empty() { "as it was".into() } else { told.join(", ") }
}

fn row(change: &ChangeView) -> Vec<String> {
    let paged = |one: &EpisodeView| one.paged_at.as_deref().map_or_else(|| "-".into(), whole);
    let shown = change.before.as_ref().or(change.after.as_ref());
    let (began, lasted) = shown.map_or_else(Default::default, |one| {
        let mut lasted = length(one.seconds);
        lasted.push_str(if one.lasting { ", lasting" } else { "" });
        lasted.push_str(if one.flapping { ", flapping" } else { "" });
        (whole(&one.from), lasted)
    });
    vec![
        change.outcome.clone(),
        change.kind.clone(),
        began,
        lasted,
        change.before.as_ref().map_or_else(|| "-".into(), paged),
        would(change),
    ]
}

/// What the other policy would do.
fn would(change: &ChangeView) -> String {
    let Some(after) = &change.after else {
        return match change.page.as_str() {
            "gone" => "not page".into(),
            _ => "not be".into(),
        };
    };
    let page = match (&after.paged_at, change.page_later_seconds) {
        (None, _) => "page nobody (seen in hindsight alone)".to_owned(),
        (Some(_), Some(0.0)) => "page as it did".to_owned(),
        (Some(_), Some(later)) if later > 0.0 => format!("page {} later", length(later)),
        (Some(_), Some(later)) => format!("page {} earlier", length(-later)),
        (Some(at), None) => format!("page at {}", whole(at)),
    };
    match change.longer_seconds {
        Some(longer) if longer > 0.0 => format!("{page}, last {} longer", length(longer)),
        Some(longer) if longer < 0.0 => format!("{page}, last {} less", length(-longer)),
        Some(_) | None => page,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(
        before: Option<&str>,
        after: Option<Option<&str>>,
        later: Option<f64>,
        longer: Option<f64>,
    ) -> ChangeView {
        let episode = |paged: Option<&str>| EpisodeView {
            from: "2026-11-21T12:00:30.5Z".into(),
            to: "2026-11-21T12:05:30.5Z".into(),
            seconds: 300.0,
            lasting: true,
            paged_at: paged.map(Into::into),
            counted_seconds: 300.0,
            flapping: true,
        };
        ChangeView {
            kind: "down".into(),
            outcome: "kept".into(),
            page: if after.is_none() { "gone".into() } else { "kept".into() },
            before: before.map(|at| episode(Some(at))),
            after: after.map(episode),
            page_later_seconds: later,
            longer_seconds: longer,
        }
    }

    #[test]
    fn a_row_says_what_the_other_policy_would_do() {
        let at = "2026-11-21T12:01:00Z";
        let told = |change: &ChangeView| row(change).pop().unwrap_or_default();
        assert_eq!(told(&change(Some(at), Some(Some(at)), Some(0.0), Some(0.0))), "page as it did");
        assert_eq!(told(&change(Some(at), Some(Some(at)), Some(60.0), Some(-90.0))), "page 1m later, last 1m30s less");
        assert_eq!(
            told(&change(Some(at), Some(Some(at)), Some(-30.0), Some(30.0))),
            "page 30s earlier, last 30s longer"
        );
        assert_eq!(told(&change(None, Some(Some(at)), None, None)), "page at 2026-11-21T12:01:00Z");
        assert_eq!(told(&change(Some(at), Some(None), None, Some(0.0))), "page nobody (seen in hindsight alone)");
        let gone = row(&change(Some(at), None, None, None));
        assert_eq!(gone[2..], ["2026-11-21T12:00:30Z", "5m, lasting, flapping", at, "not page"]);
    }
}

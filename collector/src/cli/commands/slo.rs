//! `slo`: what was promised, and what is left of the error budget.

use sitepulse_daemon::exit::Exit;

use super::{print, print_json, share, whole, with};
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{Failure, Global, SloArgs, watch};
use crate::present::dto::slo::{BudgetView, BurnPairView, BurnView, OutcomeView, SloHistoryView, SloView};
use crate::present::figure;
use crate::present::http::escape;

pub(super) async fn slo(global: &Global, args: SloArgs) -> Result<(), Failure> {
    let Some(id) = args.id else {
        let slos: Vec<SloView> = with(global, Need::Data, async |client| client.all("/api/v1/slos").await).await?;
        return if global.json { print_json(&slos) } else { print(&text(&slos)) };
    };
    let path = format!("/api/v1/slos/{}", escape(&id));
    if args.history {
        let path = format!("{path}/history");
        let history: SloHistoryView =
            with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
        return if global.json { print_json(&history) } else { print(&history_text(&history)) };
    }
    let slo: SloView = with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
    if global.json { print_json(&slo) } else { print(&text(&[slo])) }
}

fn hinted(mut failure: Failure) -> Failure {
    if failure.exit == Exit::NotFound {
        failure.message.push_str(": `sitepulse-collector slo` lists what there is");
    }
    failure
}

fn text(slos: &[SloView]) -> String {
    if slos.is_empty() {
        return "No objectives yet: write an [[slo]] and apply it with `sitepulse-collector apply FILE`.\n".into();
    }
    let mut table = Table::new(&[
        "SLO",
        "STATE",
        "OBJECTIVE",
        "PERIOD",
        "AVAILABILITY",
        "COMPLETENESS",
        "BOUNDS",
        "BUDGET LEFT",
        "OF",
        "BURN 1H",
        "6H",
        "3D",
        "USED UP",
        "CHECKS",
    ]);
    for slo in slos {
        table.push(row(slo));
    }
    let mut text = table.text();
    for slo in slos {
        if let Some(fault) = &slo.fault {
            text.push_str(&clean(&format!("{}: {fault}", slo.id)));
            text.push('\n');
        }
        let causes = slo.outcome.as_ref().and_then(|one| one.unknown).map_or_else(String::new, |one| one.text(share));
        if !causes.is_empty() {
            text.push_str(&clean(&format!("{}: unknown: {causes}", slo.id)));
            text.push('\n');
        }
        for burn in slo.outcome.iter().flat_map(|one| &one.burns).flat_map(|pair| [&pair.long, &pair.short]) {
            let causes = burn.unknown.map_or_else(String::new, |unknown| unknown.text(share));
            if !causes.is_empty() {
                text.push_str(&clean(&format!("{}: unknown in {}: {causes}", slo.id, burn.window)));
                text.push('\n');
            }
        }
        if !slo.missing.is_empty() {
            text.push_str(&clean(&format!("{}: not found: {}", slo.id, slo.missing.join(", "))));
            text.push('\n');
        }
    }
    text
}

fn row(slo: &SloView) -> Vec<String> {
    let mut row = vec![slo.id.clone(), slo.state.replace('_', " ")];
    match &slo.outcome {
        None => row.extend(std::iter::repeat_n("-".to_owned(), 11)),
        Some(one) => row.extend(figures(slo, one)),
    }
    row.push(match slo.checks.as_slice() {
        [one] => one.clone(),
        many => many.len().to_string(),
    });
    row
}

fn figures(slo: &SloView, one: &OutcomeView) -> Vec<String> {
    let [availability, completeness, bounds] = watch::figures(one.availability, one.completeness, one.lower, one.upper);
    let mut row = vec![one.objective.clone(), slo.period.clone(), availability, completeness, bounds];
    row.extend(budget(&one.budget));
    row.extend(one.burns.iter().map(pair));
    row.push(one.exhausted_at.as_deref().map_or_else(|| "-".into(), whole));
    row
}

/// `23 min 4 s (53 %) [12 %, 53 %]`, and of how much.
fn budget(budget: &BudgetView) -> [String; 2] {
    let (Some(allowed), Some(left)) = (budget.allowed_seconds, budget.left_seconds) else {
        return ["-".into(), "-".into()];
    };
    let sign = if left < 0.0 { "-" } else { "" };
    let mut text = format!("{sign}{}", figure::length(left.abs(), "d"));
    if let Some(share) = budget.left_ratio {
        text.push_str(&format!(" ({:.0} %)", (share * 100.0).floor()));
    }
    if let (Some(lower), Some(upper)) = (budget.left_ratio_lower, budget.left_ratio_upper)
        && lower < upper
    {
        text.push_str(&format!(" [{:.0} %, {:.0} %]", (lower * 100.0).floor(), (upper * 100.0).ceil()));
    }
    [text, figure::length(allowed, "d")]
}

/// `2.1x/0.0x`; with a `!` where the pair speaks.
fn pair(pair: &BurnPairView) -> String {
    format!(
        "{}/{}{}",
        rate(&pair.long, pair.threshold),
        rate(&pair.short, pair.threshold),
        if pair.speaks { "!" } else { "" }
    )
}

fn rate(burn: &BurnView, threshold: f64) -> String {
    match burn.rate {
        Some(rate) => format!("{}x", figure::burn_rate(rate, threshold)),
        None if burn.reached => "endless".into(),
        None => "-".into(),
    }
}

fn history_text(history: &SloHistoryView) -> String {
    let mut table = Table::new(&["UNTIL", "BUDGET LEFT", "OF"]);
    for day in &history.days {
        let [left, allowed] = budget(&day.budget);
        table.push(vec![whole(&day.at), left, allowed]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_never_flatters() {
        let view = |allowed: f64, left: f64, lower: f64| BudgetView {
            allowed_seconds: Some(allowed),
            used_seconds: Some(allowed - left),
            left_seconds: Some(left),
            left_ratio: Some(left / allowed),
            left_ratio_lower: Some(lower),
            left_ratio_upper: Some(left / allowed),
        };
        assert_eq!(budget(&view(2592.0, 1399.5, 0.121)), ["23 min 19 s (53 %) [12 %, 54 %]", "43 min 12 s"]);
        assert_eq!(budget(&view(2592.0, 2592.0, 1.0)), ["43 min 12 s (100 %)", "43 min 12 s"]);
        assert_eq!(budget(&view(2592.0, -1.0, -1.0 / 2592.0)), ["-1 s (-1 %)", "43 min 12 s"]);
        assert_eq!(budget(&BudgetView::default()), ["-", "-"]);
    }
}

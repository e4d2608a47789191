//! `vitals`.

use sitepulse_model::vitals::Vital;

use super::{hinted, known, print, print_json, whole, with, with_query};
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{Failure, Global, VitalsArgs};
use crate::present::dto::vitals::{FiguresView, GroupView, RegressionView, VitalsView};
use crate::present::figure;
use crate::present::http::escape;

pub(super) async fn vitals(global: &Global, args: VitalsArgs) -> Result<(), Failure> {
    let asked = [
        ("from", args.period.from),
        ("to", args.period.to),
        ("profile", args.profile),
        ("region", args.region),
        ("agent", args.agent),
        ("by", args.by_agent.then(|| "agent".to_owned())),
    ];
    let path = with_query(&format!("/api/v1/checks/{}/vitals", escape(&args.check)), asked);
    let found: VitalsView = with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
    if global.json { print_json(&found) } else { print(&text(&found)) }
}

fn text(found: &VitalsView) -> String {
    let check = clean(&found.check);
    let span = format!("{} to {}", whole(&found.from), whole(&found.to));
    if found.groups.is_empty() {
        return format!("No run of {check} from {span}.\n{}", known("", found.completeness, found.unknown));
    }
    let mut table = Table::new(&[
        "PROFILE", "REGION", "AGENT", "VITAL", "P75", "P50", "P95", "P99", "MIN", "MAX", "RATING", "GOOD", "BETWEEN",
        "POOR", "RUNS",
    ]);
    for group in &found.groups {
        for vital in Vital::ALL {
            if let Some(one) = group.vitals.get(vital) {
                table.push(row(group, vital, one));
            }
        }
        if group.graded == 0 {
            let mut row = place(group);
            row.extend(std::iter::repeat_n("-".to_owned(), 11));
            row.push(group.runs.to_string());
            table.push(row);
        }
    }
    let mut text = format!("Lab values of {check}, {span}; percentiles of the runs' medians.\n{}", table.text());
    for group in &found.groups {
        for worse in &group.regressions {
            text.push_str(&regression(group, worse));
        }
    }
    for group in found.groups.iter().filter(|group| group.region.is_none() && group.graded < group.runs) {
        text.push_str(&format!(
            "{}: {} of {} runs are graded; {} had a host under pressure, the rest measured nothing.\n",
            clean(&group.profile),
            group.graded,
            group.runs,
            group.low_confidence
        ));
    }
    for group in &found.groups {
        let place = clean(&format!("{}: ", place(group).join(" ")));
        text.push_str(&known(&place, group.completeness, group.unknown));
    }
    text
}

fn regression(group: &GroupView, worse: &RegressionView) -> String {
    let vital = Vital::ALL.into_iter().find(|vital| vital.as_str() == worse.vital).unwrap_or(Vital::Lcp);
    let [baseline, median] = [worse.baseline, worse.median].map(|value| figure::vital(vital, value));
    let mut line = format!(
        "Regression: {} {} {baseline} -> {median} since {}, over {} runs",
        place(group).join(" "),
        worse.vital.to_uppercase(),
        whole(&worse.since),
        worse.runs
    );
    if let (Some(before), Some(after)) = (&worse.lcp_element_before, &worse.lcp_element_after) {
        line.push_str(&if before == after {
            format!("; the LCP element is the same, {after}")
        } else {
            format!("; the LCP element was {before}, is {after}")
        });
    }
    format!("{}\n", clean(&line))
}

fn place(group: &GroupView) -> Vec<String> {
    let or_all = |name: &Option<String>| name.clone().unwrap_or_else(|| "all".into());
    vec![group.profile.clone(), or_all(&group.region), or_all(&group.agent)]
}

fn row(group: &GroupView, vital: Vital, one: &FiguresView) -> Vec<String> {
    let mut row = place(group);
    row.push(vital.as_str().to_uppercase());
    row.push(figure::rated_vital(vital, one.p75, one.thresholds));
    row.extend([one.median, one.p95, one.p99, one.min, one.max].map(|value| figure::vital(vital, value)));
    row.push(one.rating.replace('_', " "));
    row.extend([one.good, one.needs_improvement, one.poor].map(|share| figure::percent_down(share, 0)));
    row.push(one.runs.to_string());
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::dto::unknown::CausesView;
    use crate::present::dto::vitals::PerVital;

    #[test]
    fn of_how_much_of_the_time_percentiles_speak_is_told() {
        let unknown = Some(CausesView { agent_offline: 0.018, ..CausesView::default() });
        let mut found = VitalsView {
            check: "shop".into(),
            from: "2026-11-21T10:20:00Z".into(),
            to: "2026-11-22T10:20:00Z".into(),
            source: "lab".into(),
            completeness: Some(0.9),
            unknown: None,
            groups: vec![GroupView {
                profile: "mobile".into(),
                region: Some("eu-west".into()),
                agent: None,
                runs: 2,
                graded: 2,
                low_confidence: 0,
                completeness: Some(0.982),
                unknown,
                vitals: PerVital::collect(|_| None),
                regressions: Vec::new(),
            }],
        };
        let shown = text(&found);
        assert!(
            shown.ends_with("\nmobile eu-west all: completeness 98.2 %; unknown: 1.8 % agent_offline\n"),
            "{shown}"
        );
        found.groups.clear();
        let nothing = "No run of shop from 2026-11-21T10:20:00Z to 2026-11-22T10:20:00Z.\ncompleteness 90.0 %\n";
        assert_eq!(text(&found), nothing);
    }
}

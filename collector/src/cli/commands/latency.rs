//! `latency`.

use super::{hinted, known, print, print_json, whole, with, with_query};
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{Failure, Global, LatencyArgs, Split};
use crate::present::api::latency::{LatencyGroupView, LatencyView};
use crate::present::figure;
use crate::present::http::escape;

pub(super) async fn latency(global: &Global, args: LatencyArgs) -> Result<(), Failure> {
    let by = match args.by {
        Split::Region => "region",
        Split::Agent => "agent",
    };
    let asked = [
        ("from", args.period.from),
        ("to", args.period.to),
        ("region", args.region),
        ("agent", args.agent),
        ("by", Some(by.to_owned())),
    ];
    let path = with_query(&format!("/api/v1/checks/{}/latency", escape(&args.check)), asked);
    let found: LatencyView = with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
    if global.json { print_json(&found) } else { print(&text(&found)) }
}

fn text(found: &LatencyView) -> String {
    let check = clean(&found.check);
    let span = format!("{} to {}", whole(&found.covered_from), whole(&found.covered_to));
    if found.groups.is_empty() {
        return format!("No result of {check} from {span}.\n{}", known("", found.completeness, found.unknown));
    }
    let mut table =
        Table::new(&["REGION", "AGENT", "PHASE", "P50", "P75", "P95", "P99", "MIN", "MEAN", "MAX", "RESULTS"]);
    for group in &found.groups {
        for one in &group.phases {
            let mut row = place(group);
            row.push(one.phase.clone());
            let figures = [one.p50_us, one.p75_us, one.p95_us, one.p99_us, one.min_us, one.mean_us, one.max_us];
            row.extend(figures.map(|us| figure::latency(us as f64 / 1e6)));
            row.push(one.count.to_string());
            table.push(row);
        }
    }
    let mut text = format!("Latency of {check}, {span}, of results that were up or degraded.\n{}", table.text());
    for group in found.groups.iter().filter(|group| group.failed > 0) {
        let results = if group.failed == 1 { "result" } else { "results" };
        text.push_str(&format!("{}: {} {results} down, left out.\n", place(group).join(" "), group.failed));
    }
    for group in &found.groups {
        text.push_str(&known(&format!("{}: ", place(group).join(" ")), group.completeness, group.unknown));
    }
    text
}

fn place(group: &LatencyGroupView) -> Vec<String> {
    [&group.region, &group.agent].map(|name| clean(name.as_deref().unwrap_or("all"))).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::api::latency::PhaseLatencyView;
    use crate::present::dto::unknown::CausesView;

    #[test]
    fn the_span_covered_and_what_is_left_out_are_told() {
        let phase = PhaseLatencyView {
            phase: "total".into(),
            count: 1_430,
            min_us: 80_100,
            mean_us: 101_000,
            p50_us: 99_400,
            p75_us: 104_000,
            p95_us: 187_000,
            p99_us: 1_240_000,
            max_us: 2_100_000,
        };
        let mut found = LatencyView {
            check: "shop".into(),
            from: "2026-11-21T10:20:00Z".into(),
            to: "2026-11-22T10:20:00Z".into(),
            covered_from: "2026-11-21T10:00:00Z".into(),
            covered_to: "2026-11-22T10:20:00.25Z".into(),
            completeness: Some(0.9),
            unknown: None,
            groups: vec![LatencyGroupView {
                region: None,
                agent: None,
                failed: 3,
                completeness: Some(0.982),
                unknown: Some(CausesView { agent_offline: 0.018, ..CausesView::default() }),
                phases: vec![phase],
            }],
        };
        let shown = text(&found);
        assert!(shown.starts_with("Latency of shop, 2026-11-21T10:00:00Z to 2026-11-22T10:20:00Z"), "{shown}");
        assert!(shown.contains("all     all    total  99 ms  104 ms  187 ms  1.24 s"), "{shown}");
        let end = "all all: 3 results down, left out.\nall all: completeness 98.2 %; unknown: 1.8 % agent_offline\n";
        assert!(shown.ends_with(end), "{shown}");
        found.groups.clear();
        assert!(text(&found).starts_with("No result of shop from 2026-11-21T10:00:00Z"));
    }
}

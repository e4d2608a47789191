//! `explain`: why a figure is what it is.

use super::{figures_of, hinted, length, policy, print, print_json, results, whole, with, with_query};
use sitepulse_model::duration;

use crate::cli::client::Need;
use crate::cli::table::Table;
use crate::cli::{ExplainArgs, Failure, Global};
use crate::present::dto::SlaView;
use crate::present::explain::{EvidenceView, ExplainView, IntervalView, VoteView};
use crate::present::figure;

pub(super) async fn explain(global: &Global, args: ExplainArgs) -> Result<(), Failure> {
    let path = with_query("/api/v1/explain", figures_of(Some(args.check), args.asked));
    let path = policy::counted(path, args.counted);
    let explained: ExplainView =
        with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&explained);
    }
    let figures = &explained.figures;
    if let Some(counted) = &figures.policy {
        let mut table = Table::new(&["FROM", "LASTED", "VERDICT", "COUNTS", "DOWN / LIVE", "VOTES"]);
        for interval in &explained.intervals {
            let mut cells = row(interval);
            cells.insert(3, policy::interval(&interval.counted));
            table.push(cells);
        }
        return print(&format!("{}\n{}{}", policy::sum(figures, counted), table.text(), gone(&explained)));
    }
    let mut table = Table::new(&["FROM", "LASTED", "VERDICT", "DOWN / LIVE", "VOTES"]);
    for interval in &explained.intervals {
        table.push(row(interval));
    }
    print(&format!("{}\n{}{}", sum(figures), table.text(), gone(&explained)))
}

/// That records behind the intervals are no longer kept; empty where all are.
fn gone(explained: &ExplainView) -> String {
    explained.gone.iter().map(results::gone).collect()
}

/// The arithmetic of the figures, in words.
fn sum(figures: &SlaView) -> String {
    let seconds = &figures.seconds;
    let unknown = &seconds.unknown;
    let unknown = unknown.agent_stopped + unknown.agent_offline + unknown.suspended + unknown.shed + unknown.unassigned;
    let measured = seconds.up + seconds.degraded + seconds.regional + seconds.down;
    let percent =
        |value: Option<f64>| value.map_or_else(|| "nothing measured".into(), |value| figure::percent_down(value, 4));
    format!(
        "{}, {} to {}\n\
         measured      {measured:.3} s = {:.3} up + {:.3} degraded + {:.3} regional + {:.3} down\n\
         outside       {unknown:.3} s unknown, {:.3} s maintenance\n\
         availability  1 - {:.3} / {measured:.3} = {}\n\
         completeness  {}, so it lies between {} and {}\n",
        figures.check,
        whole(&figures.from),
        whole(&figures.to),
        seconds.up,
        seconds.degraded,
        seconds.regional,
        seconds.down,
        seconds.maintenance,
        seconds.down,
        percent(figures.availability),
        percent(figures.completeness),
        percent(figures.lower),
        figures.upper.map_or_else(|| "nothing measured".into(), |value| figure::percent_up(value, 4)),
    )
}

fn row(interval: &IntervalView) -> Vec<String> {
    let why = interval.unknown_cause.as_ref().map_or_else(String::new, |cause| format!(" ({cause})"));
    let reduced = if interval.quorum_reduced { ", quorum reduced" } else { "" };
    vec![
        whole(&interval.from),
        length(interval.seconds),
        format!("{}{why}{reduced}", interval.verdict),
        format!("{} / {}", interval.weight_down, interval.weight_live),
        interval.votes.iter().map(vote).collect::<Vec<_>>().join("; "),
    ]
}

fn vote(vote: &VoteView) -> String {
    let what = match (&vote.vote, vote.weight, &vote.unknown_cause) {
        (Some(what), Some(weight), _) if weight != 1.0 => format!("{what} x {weight}"),
        (Some(what), _, _) => what.clone(),
        (None, _, Some(cause)) => format!("unknown ({cause})"),
        (None, _, None) => vote.standing.clone(),
    };
    let evidence: Vec<String> = vote.evidence.iter().map(evidence).collect();
    if evidence.is_empty() {
        format!("{} {what}", vote.agent)
    } else {
        format!("{} {what} [{}]", vote.agent, evidence.join(", "))
    }
}

fn evidence(evidence: &EvidenceView) -> String {
    let what = match &evidence.missed_cause {
        Some(cause) => format!("{} missed: {cause}", evidence.count),
        None => format!("{} {}", evidence.count, evidence.state),
    };
    // Ids in full: `results` takes and tells them so. Of missed runs the slots, for one record may tell of many.
    let slot = |slot: &str| format!("@ {slot}");
    let first = evidence.first_id.clone().unwrap_or_else(|| slot(&evidence.first));
    let last = evidence.last_id.clone().unwrap_or_else(|| slot(&evidence.last));
    match evidence.step_us {
        _ if evidence.count == 1 => format!("{what} {first}"),
        Some(step_us) => format!("{what} {first} .. {last} every {}", duration::format(step_us)),
        None => format!("{what} {first} .. {last}"),
    }
}

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
        let (missed, gone) = (missed(&explained), gone(&explained));
        return print(&format!("{}\n{}{missed}{gone}", policy::sum(figures, counted), table.text()));
    }
    let mut table = Table::new(&["FROM", "LASTED", "VERDICT", "DOWN / LIVE", "VOTES"]);
    for interval in &explained.intervals {
        table.push(row(interval));
    }
    print(&format!("{}\n{}{}{}", sum(figures), table.text(), missed(&explained), gone(&explained)))
}

/// Why some evidence has no ids; empty where all has.
fn missed(explained: &ExplainView) -> &'static str {
    let votes = explained.intervals.iter().flat_map(|interval| &interval.votes);
    let any = votes.flat_map(|vote| &vote.evidence).any(|evidence| evidence.missed_cause.is_some());
    if any {
        "Missed runs never ran, so they have no id: the slots of the first and the last, their distance and their number name each of them.\n"
    } else {
        ""
    }
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
    // Ids in full: `results` takes and tells them so. Missed runs have none: the slots, told alike.
    let slot = |slot: &str| format!("@ {slot}");
    let first = evidence.first_id.clone().unwrap_or_else(|| slot(&evidence.first));
    let last = evidence.last_id.clone().unwrap_or_else(|| slot(&evidence.last));
    match evidence.step_us {
        _ if evidence.count == 1 => format!("{what} {first}"),
        Some(step_us) => format!("{what} {first} .. {last} every {}", duration::format(step_us)),
        None => format!("{what} {first} .. {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_runs_are_named_by_their_slots_as_results_by_their_ids() {
        let slot = |n: u32| format!("2026-11-22T10:0{n}:00Z");
        let missed = EvidenceView {
            state: "missed".into(),
            missed_cause: Some("suspended".into()),
            count: 5,
            first: slot(0),
            last: slot(4),
            first_id: None,
            last_id: None,
            step_us: Some(60_000_000),
            results: String::new(),
        };
        let id = |n| Some(format!("eu-1@{}", slot(n)));
        let (state, missed_cause) = ("up".to_owned(), None);
        let ran = EvidenceView { state, missed_cause, first_id: id(0), last_id: id(4), ..missed.clone() };
        assert_eq!(
            [evidence(&missed), evidence(&ran)],
            [
                "5 missed: suspended @ 2026-11-22T10:00:00Z .. @ 2026-11-22T10:04:00Z every 1m",
                "5 up eu-1@2026-11-22T10:00:00Z .. eu-1@2026-11-22T10:04:00Z every 1m"
            ]
        );
    }
}

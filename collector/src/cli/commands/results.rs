//! `results`: the records of a check, one by one.

use super::{hinted, print, print_json, whole, with, with_query};
use crate::cli::client::Need;
use crate::cli::table::Table;
use crate::cli::{Failure, Global, ResultsArgs};
use crate::present::results::{GoneView, RecordView, ResultsView};

/// Most records of one page.
const PAGE: usize = 1000;

pub(super) async fn results(global: &Global, args: ResultsArgs) -> Result<(), Failure> {
    let found: ResultsView = with(global, Need::Data, async |client| {
        let mut all: Option<ResultsView> = None;
        loop {
            let so_far = all.as_ref().map_or(0, |all| all.records.len());
            let asked = [
                ("check", Some(args.check.clone())),
                ("agent", args.agent.clone()),
                ("state", args.state.clone()),
                ("from", args.period.from.clone()),
                ("to", args.period.to.clone()),
                ("limit", Some((args.limit - so_far).min(PAGE).to_string())),
                ("after", all.as_ref().and_then(|all| all.next.clone())),
            ];
            let page: ResultsView = client.get(&with_query("/api/v1/results", asked)).await?;
            match &mut all {
                None => all = Some(page),
                Some(all) => {
                    all.records.extend(page.records);
                    all.next = page.next;
                    // Each page tells all of them; the newest is the truth.
                    all.unreadable = page.unreadable;
                    for damaged in page.damaged {
                        if !all.damaged.contains(&damaged) {
                            all.damaged.push(damaged);
                        }
                    }
                }
            }
            match all.take() {
                Some(found) if found.next.is_none() || found.records.len() >= args.limit => return Ok(found),
                more => all = more,
            }
        }
    })
    .await
    .map_err(hinted)?;
    if global.json {
        return print_json(&found);
    }
    let mut table = Table::new(&["ID", "STATE", "TOTAL", "COUNT", "WHY"]);
    for record in &found.records {
        table.push(row(record));
    }
    print(&format!("{}{}", table.text(), notes(&found)))
}

fn row(record: &RecordView) -> Vec<String> {
    let result = record.result.as_ref();
    let total = result.and_then(|result| result.phases_us.total);
    vec![
        record.id.clone(),
        result.map_or_else(|| record.kind.clone(), |result| result.state.clone()),
        total.map_or_else(String::new, |us| format!("{:.1} ms", us as f64 / 1e3)),
        record.count.to_string(),
        match result {
            Some(result) => [result.cause.as_deref(), Some(result.explanation.as_str())]
                .into_iter()
                .flatten()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(": "),
            None => record.reason.clone().unwrap_or_default(),
        },
    ]
}

/// What is not listed, and why.
fn notes(found: &ResultsView) -> String {
    let mut text = String::new();
    if found.next.is_some() {
        text.push_str("there are more: raise --limit, or ask for a later --from\n");
    }
    for one in &found.gone {
        text.push_str(&gone(one));
    }
    for damaged in &found.damaged {
        text.push_str(&format!(
            "{}: {} records of {} to {} cannot be read: {}\n",
            damaged.agent,
            damaged.records,
            whole(&damaged.from),
            whole(&damaged.to),
            damaged.what
        ));
    }
    for one in &found.unreadable {
        let agent = one.agent.as_deref().unwrap_or("an unknown agent");
        let lie = match one.table.as_str() {
            "quarantine" => "are kept in the table quarantine",
            _ => "will be kept in the table quarantine once they are sealed",
        };
        text.push_str(&format!(
            "{agent}: {} records are left out: they cannot be read, so nobody can tell whether they were this check's, or when they were due; they {lie}\n",
            one.records
        ));
    }
    text
}

/// A line that tells of records that went with their age.
pub(super) fn gone(gone: &GoneView) -> String {
    let kept = gone.kept_from.as_ref().map_or_else(|| "none is kept".into(), |at| format!("kept from {}", whole(at)));
    format!(
        "{}: {} records are gone by their age ({kept}); the timeline and the figures still stand on them\n",
        gone.agent, gone.records
    )
}

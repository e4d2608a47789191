//! `findings` and `finding`: what detectors found, and what people say to it.

use sitepulse_daemon::exit::Exit;
use sitepulse_model::insight::found::{Evidence, Found};
use sitepulse_model::insight::{Confidence, Kind, Severity, Subject};
use sitepulse_model::time::UtcMicros;

use super::{hinted as hinted_names, print, print_json, whole, with, with_query};
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{Failure, FindingCommand, FindingsArgs, Global};
use crate::present::dto::findings::{AcknowledgeBody, FindingDetailView, FindingView};
use crate::present::http::escape;
use crate::present::text::findings::EN;

pub(super) async fn findings(global: &Global, args: FindingsArgs) -> Result<(), Failure> {
    if let Some(id) = &args.id {
        return one(global, id).await;
    }
    let state = match (args.all, args.stale) {
        (true, _) => Some("all".to_owned()),
        (false, true) => Some("stale".to_owned()),
        (false, false) => None,
    };
    let asked = [("state", state), ("check", args.check), ("kind", args.kind), ("severity", args.severity)];
    let path = with_query("/api/v1/findings", asked);
    let limit = args.limit;
    let mut found: Vec<FindingView> =
        with(global, Need::Data, async |client| client.list(&path, limit).await).await.map_err(hinted_names)?;
    if global.json {
        return print_json(&found);
    }
    if found.is_empty() {
        return print(if args.all { "Nothing was ever found.\n" } else { "No finding is open.\n" });
    }
    let more = found.len() == limit;
    // The worst first, of those the newest.
    let rank = |one: &FindingView| Severity::ALL.into_iter().position(|severity| severity.as_str() == one.severity);
    found.sort_by_key(|one| std::cmp::Reverse(rank(one)));
    let mut table = Table::new(&["ID", "SEVERITY", "STATE", "KIND", "SURE", "SINCE", "WHAT"]);
    for one in &found {
        let state = if one.stale { format!("{}, stale", one.state) } else { one.state.clone() };
        table.push(vec![
            one.id.clone(),
            one.severity.clone(),
            state,
            one.kind.clone(),
            sure(one),
            whole(&one.since),
            one.sentence.en.clone(),
        ]);
    }
    let more = if more { format!("The newest {limit}; there may be more: --limit N\n") } else { String::new() };
    print(&format!("{}{more}", table.text()))
}

/// How sure a detector is: cut, never rounded up.
fn sure(one: &FindingView) -> String {
    format!("{} %", (one.confidence * 100.0 + 1e-9).floor())
}

async fn one(global: &Global, id: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/findings/{}", escape(id));
    let found: FindingDetailView =
        with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&found);
    }
    print(&story(&found))
}

fn story(detail: &FindingDetailView) -> String {
    let one = &detail.finding;
    let mut text = format!("{} {} {}, {}\n{}\n", one.id, one.severity, one.kind, one.state, clean(&one.sentence.en));
    let mut line = |what: &str, value: String| text.push_str(&format!("{what}: {}\n", clean(&value)));
    line("confidence", sure(one));
    line("so since", whole(&one.since));
    line("found first", whole(&one.opened_at));
    line("found last", whole(&one.seen_at));
    if let Some(since) = &one.missing_since {
        line("not found since", whole(since));
    }
    if let Some(known) = &one.acknowledged {
        line("acknowledged", format!("{} by {}: {}", whole(&known.at), known.by, known.note));
    }
    if !one.checks.is_empty() {
        line("counts for", one.checks.join(", "));
    }
    let mut table = Table::new(&["EVIDENCE", ""]);
    for (what, value) in rows(detail) {
        table.push(vec![what, value]);
    }
    text.push_str(&format!("\n{}", table.text()));
    let mut table = Table::new(&["WHEN", "WHO", "WHAT"]);
    for entry in &detail.history {
        let what = [Some(entry.action.clone()), entry.severity.clone(), entry.note.clone()];
        let what: Vec<String> = what.into_iter().flatten().collect();
        table.push(vec![whole(&entry.at), entry.author.clone(), what.join(": ")]);
    }
    text.push_str(&format!("\n{}", table.text()));
    if let Some(worded) = &detail.wording {
        text.push_str(&format!("\n{} ({})\n", clean(&worded.text), (EN.worded)(&clean(&worded.model))));
    }
    text
}

/// The evidence in words; none where it is of a kind that this build does not know.
fn rows(detail: &FindingDetailView) -> Vec<(String, String)> {
    let evidence: Option<Evidence> = serde_json::from_value(detail.evidence.clone()).ok();
    let kind = Kind::parse(&detail.finding.kind);
    let Some((evidence, kind)) = evidence.zip(kind) else { return Vec::new() };
    let (subject, since) = (Subject::Shared { what: String::new() }, UtcMicros(0));
    (EN.rows)(&Found { kind, subject, severity: Severity::Info, confidence: Confidence(0), evidence, since })
}

pub(super) async fn act(global: &Global, command: FindingCommand) -> Result<(), Failure> {
    match command {
        FindingCommand::Ack { id, note } => {
            let path = format!("/api/v1/findings/{}/acknowledgement", escape(&id));
            let body = AcknowledgeBody { note };
            let made: FindingDetailView =
                with(global, Need::Data, async |client| client.post(&path, &body).await).await.map_err(hinted)?;
            if global.json {
                return print_json(&made);
            }
            let what = clean(&made.finding.sentence.en);
            print(&format!("Acknowledged {id}: {what}\nTake it back with `sitepulse-collector finding take-back {id}`.\n"))
        }
        FindingCommand::TakeBack { id } => {
            let path = format!("/api/v1/findings/{}/acknowledgement", escape(&id));
            with(global, Need::Data, async |client| client.delete(&path).await).await.map_err(hinted)?;
            if global.json {
                return print_json(&serde_json::json!({ "taken_back": id }));
            }
            print(&format!("Took the acknowledgement of {id} back: it counts again.\n"))
        }
    }
}

/// Says where findings are listed.
fn hinted(mut failure: Failure) -> Failure {
    if failure.exit == Exit::NotFound && !failure.message.contains('`') {
        failure.message.push_str(": `sitepulse-collector findings --all` lists what there is");
    }
    failure
}

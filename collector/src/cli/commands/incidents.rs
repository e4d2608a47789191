//! `incidents` and `incident`: what is wrong, and what happened.

pub(super) mod acts;

use sitepulse_daemon::exit::Exit;

use super::{print, print_json, whole, with, with_query};
use crate::alert::evidence::VoteEvidence;
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{Failure, Global, IncidentArgs, IncidentsArgs};
use crate::facts;
use crate::present::dto::incidents::{
    EvidenceView, IncidentDetailView, IncidentView, MessageView, OpenNowView, SummaryView,
};
use crate::present::figure;
use crate::present::http::escape;
use crate::present::text::incidents::EN;

pub(super) async fn incidents(global: &Global, args: IncidentsArgs) -> Result<(), Failure> {
    if args.summary {
        return summary(global, args).await;
    }
    let limit = args.limit;
    let asked = [
        ("state", args.all.then(|| "all".to_owned())),
        ("from", args.period.from),
        ("to", args.period.to),
        ("check", args.check),
        ("agent", args.agent),
        ("kind", args.kind),
    ];
    let path = with_query("/api/v1/incidents", asked);
    let found: Vec<IncidentView> =
        with(global, Need::Data, async |client| client.list(&path, limit).await).await.map_err(super::hinted)?;
    if global.json {
        return print_json(&found);
    }
    if found.is_empty() {
        return print(if args.all { "No incident in that time.\n" } else { "No incident is open.\n" });
    }
    let mut table =
        Table::new(&["ID", "STATE", "SEVERITY", "KIND", "WHAT", "SINCE", "LASTED", "RESOLVED", "WHO", "NOTES"]);
    for one in &found {
        table.push(row(one));
    }
    let more = if found.len() == limit {
        format!("The newest {limit}; there may be more: --limit N\n")
    } else {
        String::new()
    };
    print(&format!("{}{more}", table.text()))
}

async fn summary(global: &Global, args: IncidentsArgs) -> Result<(), Failure> {
    let asked = [("from", args.period.from), ("to", args.period.to), ("check", args.check)];
    let path = with_query("/api/v1/incidents/summary", asked);
    let found: SummaryView =
        with(global, Need::Data, async |client| client.get(&path).await).await.map_err(super::hinted)?;
    if global.json {
        return print_json(&found);
    }
    let mut table = Table::new(&["", "OPENED", "ACKNOWLEDGED", "RESOLVED", "UNTAKEN", "OPEN", "MTTA", "MTTR"]);
    for (name, times) in [("all", &found.all), ("critical", &found.critical)] {
        let length =
            |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), |seconds| figure::coarse(seconds, "d"));
        table.push(vec![
            name.to_owned(),
            times.opened.to_string(),
            times.acknowledged.to_string(),
            times.resolved.to_string(),
            times.resolved_untaken.to_string(),
            times.open.to_string(),
            length(times.mtta_seconds),
            length(times.mttr_seconds),
        ]);
    }
    let OpenNowView { critical, major, minor, info } = found.open_now;
    let now = format!("Open now: {critical} critical, {major} major, {minor} minor, {info} info.\n");
    print(&format!("{} to {}\n{}{now}", whole(&found.from), whole(&found.to), table.text()))
}

/// What an incident is about, in short.
fn what(one: &IncidentView) -> String {
    let subject = match (&one.check, &one.agent, &one.slo) {
        (Some(check), _, _) => check.clone(),
        (None, Some(agent), _) => format!("agent {agent}"),
        (None, None, Some(slo)) => format!("slo {slo}"),
        (None, None, None) => String::new(),
    };
    match &one.title {
        Some(title) if subject.is_empty() => title.clone(),
        Some(title) => format!("{title} ({subject})"),
        None => subject,
    }
}

fn notes(one: &IncidentView) -> String {
    let mut notes = Vec::new();
    if let Some(held) = &one.held {
        notes.push(format!("held: {}", (EN.held)(&held.reason)));
    }
    if one.flapping {
        notes.push("flapping".to_owned());
    }
    if one.reopened > 0 {
        notes.push((EN.reopened)(one.reopened));
    }
    if notes.is_empty() { "-".into() } else { notes.join(", ") }
}

fn row(one: &IncidentView) -> Vec<String> {
    let dash = || "-".to_owned();
    vec![
        one.id.clone(),
        one.state.clone(),
        one.severity.clone(),
        one.kind.clone(),
        what(one),
        whole(&one.since),
        figure::coarse(one.duration_seconds, "d"),
        one.resolved_at.as_deref().map_or_else(dash, whole),
        one.assignee.clone().or_else(|| one.acknowledged_by.clone()).unwrap_or_else(dash),
        notes(one),
    ]
}

pub(super) async fn incident(global: &Global, args: IncidentArgs) -> Result<Exit, Failure> {
    let path = format!("/api/v1/incidents/{}", escape(&args.id));
    let found: IncidentDetailView =
        with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
    let exit = if args.verify && !found.integrity.intact { Exit::DataDir } else { Exit::Ok };
    match (global.json, args.verify) {
        (true, true) => print_json(&found.integrity)?,
        (true, false) => print_json(&found)?,
        (false, true) => print(&integrity(&found))?,
        (false, false) => print(&story(&found))?,
    }
    Ok(exit)
}

/// Says where incidents are listed.
pub(super) fn hinted(mut failure: Failure) -> Failure {
    if failure.exit == Exit::NotFound && !failure.message.contains('`') {
        failure.message.push_str(": `sitepulse-collector incidents --all` lists what there is");
    }
    failure
}

fn integrity(one: &IncidentDetailView) -> String {
    let integrity = &one.integrity;
    let mut text = match &integrity.fault {
        None => format!("{}: {}\n", one.incident.id, (EN.intact)(integrity.entries)),
        Some(fault) => format!("{}: BROKEN: {}\n", one.incident.id, clean(fault)),
    };
    if let Some(head) = &integrity.head {
        text.push_str(&format!("The newest entry's hash, to be noted elsewhere: {head}\n"));
    }
    text
}

/// One incident, whole.
fn story(one: &IncidentDetailView) -> String {
    let view = &one.incident;
    let mut text = format!("{}  {} {} {}: {}\n", view.id, view.severity, view.kind, view.state, clean(&what(view)));
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<14}{}\n", clean(value)));
    line("since", &whole(&view.since));
    if let Some(opened) = &view.opened_at {
        line("opened", &whole(opened));
    }
    if let Some(at) = &view.acknowledged_at {
        line("acknowledged", &format!("{} by {}", whole(at), view.acknowledged_by.as_deref().unwrap_or("nobody")));
    }
    if let Some(at) = &view.resolved_at {
        line("resolved", &format!("{} by {}", whole(at), view.resolved_by.as_deref().unwrap_or("the evidence")));
    }
    line("lasted", &figure::coarse(view.duration_seconds, "d"));
    if let Some(assignee) = &view.assignee {
        line("assignee", assignee);
    }
    let notes = notes(view);
    if notes != "-" {
        line("notes", &notes);
    }
    line("escalation", one.escalation.as_deref().unwrap_or("none: nobody is told"));
    if let Some(next) = &one.next_step_at {
        line("next step", &whole(next));
    }
    for evidence in &one.evidence {
        text.push_str(&evidence_text(evidence));
    }
    text.push_str("\nHistory\n");
    for entry in &one.history {
        let mark = if entry.intact { "" } else { "  [NOT AS WRITTEN]" };
        let (at, author) = (whole(&entry.at), clean(&(EN.author)(&entry.author)));
        text.push_str(&format!("  {at}  {author:<16}  {}{mark}\n", clean(&(EN.entry)(entry))));
    }
    if !one.messages.is_empty() {
        text.push_str("\nMessages\n");
        for message in &one.messages {
            text.push_str(&message_text(message));
        }
    }
    if let Some(post_mortem) = &one.post_mortem {
        text.push_str("\nPost-mortem\n");
        for line in post_mortem.lines() {
            text.push_str(&format!("  {}\n", clean(line)));
        }
    }
    text.push('\n');
    text.push_str(&integrity(one));
    text
}

fn evidence_text(view: &EvidenceView) -> String {
    let evidence = &view.evidence;
    let mut text = format!("\nEvidence of {}", whole(&view.at));
    if let Some(verdict) = &evidence.verdict {
        text.push_str(&format!(": {verdict}"));
    }
    if let Some(share) = evidence.share_down {
        text.push_str(&format!(", {} of the live weight down", figure::percent_down(share, 1)));
    }
    if let Some(quorum) = &evidence.quorum {
        text.push_str(&format!(", quorum {quorum}"));
    }
    text.push('\n');
    for note in &evidence.notes {
        text.push_str(&format!("  {}\n", clean(note)));
    }
    for vote in &evidence.votes {
        text.push_str(&vote_text(vote));
    }
    if evidence.votes_more > 0 {
        text.push_str(&format!("  and {} more agents\n", evidence.votes_more));
    }
    text
}

fn vote_text(vote: &VoteEvidence) -> String {
    let counts = match &vote.why_not {
        Some(why) => format!("does not count: {why}"),
        None => format!("weight {}", vote.weight),
    };
    let mut text = format!("  {} ({}): {}, {counts}\n", clean(&vote.agent), clean(&vote.region), vote.vote);
    let Some(result) = &vote.result else { return text };
    let why: Vec<&str> =
        [result.cause.as_deref(), result.phase.as_deref(), result.address.as_deref()].into_iter().flatten().collect();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
    text.push_str(&format!("    {} {}{why} {}\n", clean(&result.key), result.state, clean(&result.detail)));
    for (name, value) in &result.facts {
        for line in facts::lines(value) {
            text.push_str(&format!("      {name} = {}\n", clean(&line)));
        }
    }
    text
}

fn message_text(message: &MessageView) -> String {
    let due = message.due.as_deref().map_or_else(String::new, |due| format!(", due {}", whole(due)));
    let mut text = format!(
        "  step {} {} to {}: {}{due}\n",
        message.step,
        message.event,
        clean(&message.channel),
        message.state.replace('_', " ")
    );
    for delivery in &message.deliveries {
        text.push_str(&format!(
            "    {}  attempt {}  {:.3} s  {}  {}\n",
            whole(&delivery.at),
            delivery.attempt,
            delivery.seconds,
            delivery.outcome.replace('_', " "),
            clean(&delivery.note)
        ));
    }
    text
}

//! `jobs`: the queue of work that is done beside answering.

use serde_json::{Map, Value, json};
use sitepulse_daemon::exit::Exit;

use super::{print, print_json, whole, with};
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{Failure, Global, JobRunArgs, JobsArgs, JobsCommand};
use crate::present::dto::jobs::{JobBody, JobDetailView, JobPriorityBody, JobView, JobsSummaryView};
use crate::present::http::escape;

pub(super) async fn jobs(global: &Global, command: Option<JobsCommand>, args: JobsArgs) -> Result<(), Failure> {
    match command {
        None => list(global, args).await,
        Some(JobsCommand::List(args)) => list(global, args).await,
        Some(JobsCommand::Show { id }) => show(global, &id).await,
        Some(JobsCommand::Cancel { id }) => act(global, &id, "cancel", &json!({})).await,
        Some(JobsCommand::Retry { id }) => act(global, &id, "retry", &json!({})).await,
        Some(JobsCommand::Priority { id, priority }) => {
            let body = serde_json::to_value(JobPriorityBody { priority });
            act(global, &id, "priority", &body.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?).await
        }
        Some(JobsCommand::Run(args)) => run(global, *args).await,
    }
}

fn hinted(mut failure: Failure) -> Failure {
    if failure.exit == Exit::NotFound {
        failure.message.push_str(": `sitepulse-collector jobs` lists what there is");
    }
    failure
}

async fn list(global: &Global, args: JobsArgs) -> Result<(), Failure> {
    let mut path = "/api/v1/jobs".to_owned();
    for (name, value) in [("state", &args.state), ("kind", &args.kind)] {
        if let Some(value) = value {
            path.push_str(&format!("{}{name}={}", if path.contains('?') { '&' } else { '?' }, escape(value)));
        }
    }
    let (jobs, summary): (Vec<JobView>, JobsSummaryView) = with(global, Need::Data, async |client| {
        Ok((client.list(&path, args.limit).await?, client.get("/api/v1/jobs/summary").await?))
    })
    .await?;
    if global.json {
        return print_json(&json!({ "jobs": jobs, "summary": summary }));
    }
    print(&text(&jobs, &summary))
}

fn text(jobs: &[JobView], summary: &JobsSummaryView) -> String {
    let mut out = String::new();
    if jobs.is_empty() {
        out.push_str("No such jobs.\n");
    } else {
        let mut table = Table::new(&["JOB", "KIND", "STATE", "PRIORITY", "DUE", "PROGRESS", "TRIES", "WHO", "NOTE"]);
        for job in jobs {
            table.push(row(job));
        }
        out.push_str(&table.text());
    }
    let sum = |of: fn(&crate::present::dto::jobs::JobCountsView) -> u64| summary.kinds.iter().map(of).sum::<u64>();
    let wait = summary.wait_p95_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"));
    out.push_str(&format!(
        "\n{} wait, {} run, {} are late, {} failed within 7 d; wait p95 {wait}.\nMessages about incidents among them (`--kind notification`): {} wait or are being sent, {} were given up.\n",
        sum(|kind| kind.waiting),
        sum(|kind| kind.running),
        summary.late,
        summary.failed,
        summary.messages_waiting,
        summary.messages_failed,
    ));
    out
}

fn row(job: &JobView) -> Vec<String> {
    let state = match (job.late, job.cancelling) {
        (_, true) => format!("{}, is told to end", job.state),
        (true, false) => format!("{}, late", job.state),
        (false, false) => job.state.clone(),
    };
    let said = if job.message.is_empty() { &job.note } else { &job.message };
    vec![
        job.id.clone(),
        job.kind.clone(),
        state,
        job.priority.to_string(),
        whole(&job.due),
        format!("{:.0} %", (job.progress * 100.0).floor()),
        job.tries_max.map_or_else(|| job.tries.to_string(), |most| format!("{}/{most}", job.tries)),
        job.author.clone(),
        said.clone(),
    ]
}

async fn show(global: &Global, id: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/jobs/{}", escape(id));
    let detail: JobDetailView =
        with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&detail);
    }
    let job = &detail.job;
    let mut out = format!("{} {}\n", job.kind, job.id);
    let at = |at: &Option<String>| at.as_deref().map_or_else(|| "-".to_owned(), whole);
    let tries = match job.tries_max {
        Some(most) => format!("{} of {most}", job.tries),
        None => format!("{}, for 24 h at most", job.tries),
    };
    for (name, value) in [
        ("state", row(job)[2].clone()),
        ("priority", job.priority.to_string()),
        ("asked", format!("{} by {}", whole(&job.asked), job.author)),
        ("due", whole(&job.due)),
        ("deadline", at(&job.deadline)),
        ("started", at(&job.started)),
        ("ended", at(&job.ended)),
        ("tries", tries),
        ("progress", format!("{:.0} % {}", (job.progress * 100.0).floor(), job.message)),
        ("note", job.note.clone()),
        ("file", job.file.clone().map_or_else(|| "-".to_owned(), |file| format!("files/{file}"))),
        ("told", job.args.to_string()),
    ] {
        out.push_str(&format!("  {name:<9} {}\n", clean(value.trim_end())));
    }
    for line in &detail.log {
        out.push_str(&format!("{}  {}\n", whole(&line.at), clean(&line.text)));
    }
    print(&out)
}

async fn act(global: &Global, id: &str, act: &str, body: &Value) -> Result<(), Failure> {
    let path = format!("/api/v1/jobs/{}/{act}", escape(id));
    let job: JobView = with(global, Need::Data, async |client| client.post(&path, body).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&job);
    }
    print(&format!("Job {} ({}) is {}, priority {}.\n", job.id, job.kind, row(&job)[2], job.priority))
}

async fn run(global: &Global, args: JobRunArgs) -> Result<(), Failure> {
    let mut told = Map::new();
    let mut tell = |name: &str, value: Option<Value>| drop(value.map(|value| told.insert(name.to_owned(), value)));
    tell("group", args.group.map(Value::from));
    tell("tag", args.tag.map(Value::from));
    tell("checks", (!args.checks.is_empty()).then(|| Value::from(args.checks)));
    tell("format", args.format.and_then(|format| serde_json::to_value(format).ok()));
    tell("name", args.name.map(Value::from));
    tell("policy", args.policy.map(Value::from));
    tell("from", args.from.map(Value::from));
    tell("to", args.to.map(Value::from));
    tell("wait_ms", args.wait_ms.map(Value::from));
    tell("fail", args.fail.map(Value::from));
    let body = JobBody {
        kind: args.kind,
        priority: args.priority,
        not_before: args.not_before,
        deadline: args.deadline,
        args: Value::Object(told),
    };
    let job: JobView = with(global, Need::Data, async |client| client.post("/api/v1/jobs", &body).await).await?;
    if global.json {
        return print_json(&job);
    }
    print(&format!(
        "Job {} ({}) is {}: `sitepulse-collector jobs show {}` tells how far it is.\n",
        job.id, job.kind, job.state, job.id
    ))
}

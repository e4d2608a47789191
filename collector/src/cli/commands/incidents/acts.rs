//! `ack`, `resolve`, `reopen`, `comment`, `assign`, `post-mortem` and `open`: what people do to incidents.

use std::io::Read;
use std::path::Path;

use sitepulse_daemon::config;
use sitepulse_daemon::exit::Exit;

use super::{hinted, what};
use crate::alert::people::{Act, POST_MORTEM_BYTES_MAX};
use crate::cli::client::Need;
use crate::cli::commands::{print, print_json, with};
use crate::cli::table::clean;
use crate::cli::{AckArgs, AssignArgs, CommentArgs, Failure, Global, OpenArgs, PostMortemArgs};
use crate::present::dto::incidents::{IncidentView, OpenBody};
use crate::present::http::escape;

async fn act(global: &Global, id: &str, act: Act, done: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/incidents/{}/acts", escape(id));
    let view: IncidentView =
        with(global, Need::Data, async |client| client.post(&path, &act).await).await.map_err(hinted)?;
    tell(global, &view, done)
}

fn tell(global: &Global, view: &IncidentView, done: &str) -> Result<(), Failure> {
    if global.json {
        return print_json(view);
    }
    let text = format!("{done} {}: {} {} {}, {}", view.id, view.severity, view.kind, what(view), view.state);
    print(&format!("{}\n", clean(&text)))
}

pub(in crate::cli::commands) async fn ack(global: &Global, args: AckArgs) -> Result<(), Failure> {
    act(global, &args.id, Act::Acknowledge { by: args.by }, "Acknowledged").await
}

pub(in crate::cli::commands) async fn resolve(global: &Global, args: AckArgs) -> Result<(), Failure> {
    act(global, &args.id, Act::Resolve { by: args.by }, "Resolved").await
}

pub(in crate::cli::commands) async fn reopen(global: &Global, args: AckArgs) -> Result<(), Failure> {
    act(global, &args.id, Act::Reopen { by: args.by }, "Opened again").await
}

pub(in crate::cli::commands) async fn comment(global: &Global, args: CommentArgs) -> Result<(), Failure> {
    let text = args.text;
    if args.public {
        return act(global, &args.id, Act::PublicNote { text }, "Published a note on").await;
    }
    act(global, &args.id, Act::Comment { text }, "Commented on").await
}

pub(in crate::cli::commands) async fn assign(global: &Global, args: AssignArgs) -> Result<(), Failure> {
    let done = match &args.to {
        Some(to) => format!("Assigned to {to}:"),
        None => "Assigned to nobody:".to_owned(),
    };
    act(global, &args.id, Act::Assign { to: args.to }, &done).await
}

pub(in crate::cli::commands) async fn post_mortem(global: &Global, args: PostMortemArgs) -> Result<(), Failure> {
    let text = read(&args.file)?;
    act(global, &args.id, Act::PostMortem { text }, "Post-mortem written of").await
}

fn read(file: &Path) -> Result<String, Failure> {
    let bytes_max = POST_MORTEM_BYTES_MAX as u64 + 1;
    if file == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(bytes_max).read_to_string(&mut text);
        read.map_err(|error| Failure::new(Exit::Usage, format!("stdin: cannot read: {error}")))?;
        return Ok(text);
    }
    if !file.exists() {
        return Err(Failure::new(Exit::NotFound, format!("{}: no such file", file.display())));
    }
    config::read_within(file, bytes_max).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

pub(in crate::cli::commands) async fn open(global: &Global, args: OpenArgs) -> Result<(), Failure> {
    let request = OpenBody { title: args.title, check: args.check, severity: args.severity };
    let view: IncidentView = with(global, Need::Data, async |client| client.post("/api/v1/incidents", &request).await)
        .await
        .map_err(super::super::hinted)?;
    tell(global, &view, "Opened")
}

//! `run-now`, `secret` and `heartbeat`.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use sitepulse_daemon::exit::Exit;
use sitepulse_wire::message::SECRET_BYTES_MAX;

use super::{hinted, print, print_json, whole, with, with_query};
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{Failure, Global, RunNowArgs, SecretCommand};
use crate::present::dto::{AgentRunView, HeartbeatView, PhasesUsView, ResultView, RunView, SecretView};
use crate::present::figure;
use crate::present::http::escape;

pub(super) async fn run_now(global: &Global, args: RunNowArgs) -> Result<Exit, Failure> {
    let path = with_query(&format!("/api/v1/checks/{}/run", escape(&args.check)), [("agent", args.agent)]);
    let run: RunView =
        with(global, Need::Server, async |client| client.post_patiently(&path).await).await.map_err(hinted)?;
    if global.json {
        print_json(&run)?;
    } else if run.runs.is_empty() {
        print(&format!("No agent runs check {}: see `sitepulse-collector agents`.\n", clean(&run.check)))?;
    } else {
        let mut table = Table::new(&["REGION", "AGENT", "STATE", "TOTAL", "ADDRESS", "PHASES", "WHAT"]);
        for one in &run.runs {
            table.push(row(one));
        }
        print(&table.text())?;
    }
    found(&run)
        .ok_or_else(|| Failure::new(Exit::Unreachable, format!("no agent ran check {}: see what each says", run.check)))
}

/// How the command ends by what the agents found; down is worst, it is certain. `None` where none ran the check.
fn found(run: &RunView) -> Option<Exit> {
    let exit = |result: &ResultView| match &*result.state {
        "down" => Exit::Down,
        "unknown" => Exit::Unknown,
        _ => Exit::Ok,
    };
    let mut exits = run.runs.iter().filter_map(|one| one.result.as_ref()).map(exit);
    let first = exits.next()?;
    Some(exits.fold(first, |worst, exit| match (worst, exit) {
        (Exit::Down, _) | (_, Exit::Down) => Exit::Down,
        (Exit::Unknown, _) | (_, Exit::Unknown) => Exit::Unknown,
        _ => Exit::Ok,
    }))
}

fn row(one: &AgentRunView) -> Vec<String> {
    let mut row = vec![one.region.clone(), one.agent.clone()];
    row.extend(match &one.result {
        Some(result) => {
            let what = if result.explanation.is_empty() { result.cause.as_deref() } else { Some(&*result.explanation) };
            [
                result.state.clone(),
                result.phases_us.total.map_or_else(|| "-".into(), |us| figure::latency(us as f64 / 1e6)),
                result.address.clone().unwrap_or_else(|| "-".into()),
                phases(&result.phases_us),
                what.unwrap_or("-").to_owned(),
            ]
        }
        None => {
            let state = one.outcome.replace('_', " ");
            let dash = || "-".to_owned();
            [state, dash(), dash(), dash(), one.reason.clone().unwrap_or_else(dash)]
        }
    });
    row
}

fn phases(phases: &PhasesUsView) -> String {
    let PhasesUsView { dns, connect, tls, send, first_byte, transfer, total: _ } = *phases;
    let named = [
        ("dns", dns),
        ("connect", connect),
        ("tls", tls),
        ("send", send),
        ("first_byte", first_byte),
        ("transfer", transfer),
    ];
    let shown =
        named.into_iter().filter_map(|(name, us)| Some(format!("{name} {}", figure::latency(us? as f64 / 1e6))));
    let text = shown.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "-".into() } else { text }
}

pub(super) async fn secret(global: &Global, command: SecretCommand) -> Result<(), Failure> {
    match command {
        SecretCommand::Set { name, file } => {
            let value = value(file.as_deref())?;
            let path = format!("/api/v1/secrets/{}", escape(&name));
            with(global, Need::Directory, async |client| client.put(&path, value).await).await?;
            if global.json { print_json(&serde_json::json!({ "set": name })) } else { print(&format!("Set {name}.\n")) }
        }
        SecretCommand::List => {
            let secrets: Vec<SecretView> =
                with(global, Need::Data, async |client| client.all("/api/v1/secrets").await).await?;
            list(global, &secrets)
        }
        SecretCommand::Remove { name, force } => {
            let force = if force { "?force=true" } else { "" };
            let path = format!("/api/v1/secrets/{}{force}", escape(&name));
            with(global, Need::Data, async |client| client.delete(&path).await).await?;
            if global.json {
                return print_json(&serde_json::json!({ "removed": name }));
            }
            print(&format!("Removed {name}.\n"))
        }
    }
}

/// The value from a file or stdin; a little more than allowed, so that the collector can say so.
fn value(file: Option<&Path>) -> Result<Bytes, Failure> {
    let most = SECRET_BYTES_MAX as u64 + 3;
    let mut bytes = Vec::new();
    let (name, read) = match file {
        Some(path) => {
            let opened = std::fs::File::open(path);
            (path.display().to_string(), opened.and_then(|file| file.take(most).read_to_end(&mut bytes)))
        }
        None => ("stdin".to_owned(), std::io::stdin().lock().take(most).read_to_end(&mut bytes)),
    };
    read.map_err(|error| Failure::new(Exit::Usage, format!("{name}: cannot read: {error}")))?;
    Ok(Bytes::from(bytes))
}

fn list(global: &Global, secrets: &[SecretView]) -> Result<(), Failure> {
    if global.json {
        return print_json(&secrets);
    }
    if secrets.is_empty() {
        return print("No secrets yet: set one with `sitepulse-collector secret set NAME < FILE`.\n");
    }
    let mut table = Table::new(&["SECRET", "SET", "CHECKS", "CHANNELS", "CONFIGURATION", "KEY"]);
    for secret in secrets {
        let listed = |ids: &[String]| if ids.is_empty() { "-".to_owned() } else { ids.join(", ") };
        let (checks, channels) = (listed(&secret.checks), listed(&secret.channels));
        let configuration = listed(&secret.configuration);
        let key = if secret.opens { "ok" } else { "sealed with another key: set it anew" };
        table.push(vec![secret.name.clone(), whole(&secret.set_at), checks, channels, configuration, key.into()]);
    }
    print(&table.text())
}

pub(super) async fn heartbeat_url(global: &Global, check: String) -> Result<(), Failure> {
    let path = format!("/api/v1/checks/{}/heartbeat", escape(&check));
    let view: HeartbeatView = with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&view);
    }
    if view.url.is_none() {
        eprintln!("note: no collector runs; put the console's address in front of this path");
    }
    print(&format!("{}\n", view.url.unwrap_or(view.path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::dto::FactsView;

    #[test]
    fn run_now_ends_as_the_worst_agent_found() {
        let run = |states: &[Option<&str>]| {
            let result = |state: &str| ResultView {
                state: state.to_owned(),
                cause: None,
                phase: None,
                explanation: String::new(),
                address: None,
                phases_us: PhasesUsView::default(),
                facts: FactsView::new(),
                vitals: None,
                screenshot: false,
            };
            let one = |state: &Option<&str>| AgentRunView {
                agent: "a".to_owned(),
                region: "eu".to_owned(),
                outcome: if state.is_some() { "ran" } else { "timed_out" }.to_owned(),
                reason: None,
                result: state.map(result),
            };
            found(&RunView { check: "shop".to_owned(), runs: states.iter().map(one).collect() })
        };
        for (states, exit) in [
            (&[Some("up")][..], Some(0)),
            (&[Some("degraded"), None], Some(0)),
            (&[Some("up"), Some("unknown")], Some(10)),
            (&[Some("unknown"), Some("down"), Some("up")], Some(9)),
            (&[None, None], None),
            (&[], None),
        ] {
            assert_eq!(run(states).map(Exit::code), exit, "{states:?}, as docs/exit-codes.md has it");
        }
    }
}

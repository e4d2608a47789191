//! `channels`, `test-channel` and `deliveries`.

use sitepulse_daemon::exit::Exit;

use super::{print, print_json, whole, with, with_query};
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{DeliveriesArgs, Failure, Global, TestChannelArgs};
use crate::present::channels::{ChannelView, DeliveryView, RetriedView};
use crate::present::figure;
use crate::present::http::escape;

pub(super) async fn channels(global: &Global) -> Result<(), Failure> {
    let channels: Vec<ChannelView> =
        with(global, Need::Data, async |client| client.all("/api/v1/channels").await).await?;
    if global.json {
        return print_json(&channels);
    }
    if channels.is_empty() {
        return print("No channels yet: write one as [[channel]] and apply it.\n");
    }
    let mut table = Table::new(&["CHANNEL", "KIND", "LANGUAGE", "USED BY", "LAST", "WHAT"]);
    for one in &channels {
        let missing = one.missing_secrets.iter().map(|name| format!("secret {name} is not set")).next();
        let (last, what) = match (&one.last, missing) {
            (last, Some(missing)) => (last.as_ref().map_or_else(|| "-".into(), outcome), missing),
            (Some(last), None) => (outcome(last), last.note.clone()),
            (None, None) => ("never".to_owned(), "-".to_owned()),
        };
        let used_by = if one.used_by.is_empty() { "-".to_owned() } else { one.used_by.join(", ") };
        table.push(vec![one.id.clone(), one.kind.clone(), one.language.clone(), used_by, last, what]);
    }
    print(&table.text())
}

fn outcome(delivery: &DeliveryView) -> String {
    format!("{} {}", word(delivery), whole(&delivery.at))
}

fn word(delivery: &DeliveryView) -> String {
    delivery.outcome.replace('_', " ")
}

pub(super) async fn test(global: &Global, args: TestChannelArgs) -> Result<Exit, Failure> {
    let path = format!("/api/v1/channels/{}/test", escape(&args.channel));
    let told: DeliveryView =
        with(global, Need::Server, async |client| client.post_patiently(&path).await).await.map_err(hinted)?;
    if global.json {
        print_json(&told)?;
    } else if told.outcome == "delivered" {
        let took = figure::latency(told.took_us as f64 / 1e6);
        print(&clean(&format!("Delivered by channel {} in {took}: {}", told.channel, told.note)))?;
        print("\n")?;
    }
    match told.outcome.as_str() {
        "delivered" => Ok(Exit::Ok),
        "again" => Err(failed(&told, "a page would be tried again")),
        _ => Err(failed(&told, "a page would be given up")),
    }
}

fn failed(told: &DeliveryView, what: &str) -> Failure {
    Failure::new(Exit::Failure, format!("channel {} did not deliver: {} ({what})", told.channel, told.note))
}

pub(super) async fn deliveries(global: &Global, args: DeliveriesArgs) -> Result<(), Failure> {
    let asked = [("channel", args.channel)];
    let limit = args.limit.map_or(100, |limit| limit as usize);
    let path = with_query("/api/v1/deliveries", asked);
    let deliveries: Vec<DeliveryView> =
        with(global, Need::Data, async |client| client.list(&path, limit).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&deliveries);
    }
    if deliveries.is_empty() {
        return print("Nothing went out yet: try a channel out with `sitepulse-collector test-channel CHANNEL`.\n");
    }
    let mut table = Table::new(&["WHEN", "CHANNEL", "INCIDENT", "STEP", "TRY", "OUTCOME", "TOOK", "WHAT"]);
    for one in &deliveries {
        table.push(vec![
            whole(&one.at),
            one.channel.clone(),
            one.incident.clone(),
            one.step.to_string(),
            one.attempt.to_string(),
            word(one),
            figure::latency(one.took_us as f64 / 1e6),
            one.note.clone(),
        ]);
    }
    print(&table.text())
}

pub(super) async fn retry(global: &Global, key: String) -> Result<(), Failure> {
    let parts: Vec<&str> = key.splitn(3, '/').collect();
    let [incident, step, channel] = parts.as_slice() else {
        return Err(Failure::new(Exit::Usage, format!("{key:?} is no message: write INCIDENT/STEP/CHANNEL")));
    };
    let path = format!("/api/v1/deliveries/{}/{}/{}/retry", escape(incident), escape(step), escape(channel));
    let told: RetriedView = with(global, Need::Server, async |client| client.post(&path, &()).await).await?;
    if global.json { print_json(&told) } else { print(&clean(&format!("{} is tried again now.\n", told.key))) }
}

/// Says where the names are found.
fn hinted(mut failure: Failure) -> Failure {
    if failure.exit == Exit::NotFound {
        failure.message.push_str(": `sitepulse-collector channels` lists what there is");
    }
    failure
}

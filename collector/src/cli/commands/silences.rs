//! `silence`, `silences` and `unsilence`: pages that are kept still for a time.

use sitepulse_daemon::exit::Exit;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::duration;

use super::{hinted, print, print_json, whole, with};
use crate::alert::silence::SILENCE_US_MAX;
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{Failure, Global, SilenceArgs};
use crate::present::dto::incidents::{SilenceBody, SilenceView};
use crate::present::http::escape;

pub(super) async fn silence(global: &Global, args: SilenceArgs) -> Result<(), Failure> {
    let until = match (args.duration, args.until) {
        (Some(length), _) => {
            let us = duration::parse(&length).map_err(|error| Failure::new(Exit::Usage, format!("--for: {error}")))?;
            if us > SILENCE_US_MAX.cast_unsigned() {
                return Err(Failure::new(Exit::Usage, "--for: a silence lasts 90d at most"));
            }
            let now = clock::now();
            let from = args.from.as_deref().map_or(Ok(now), |text| instant::parse(text, now));
            let from = from.map_err(|error| Failure::new(Exit::Usage, format!("--from: {error}")))?;
            instant::format(from.plus_us(us.cast_signed()))
        }
        (None, until) => until.unwrap_or_default(),
    };
    let request = SilenceBody {
        checks: args.checks,
        groups: args.groups,
        tags: args.tags,
        agents: args.agents,
        everything: args.everything,
        from: args.from,
        until,
        reason: args.reason,
    };
    let made: SilenceView = with(global, Need::Data, async |client| client.post("/api/v1/silences", &request).await)
        .await
        .map_err(hinted)?;
    if global.json {
        return print_json(&made);
    }
    let text = format!("Silenced {} until {}: {}", scope(&made), whole(&made.until), made.reason);
    print(&format!("{}\nEnd it before with `sitepulse-collector unsilence {}`.\n", clean(&text), made.id))
}

fn scope(one: &SilenceView) -> String {
    if one.everything {
        return "everything".into();
    }
    let kinds = [("check", &one.checks), ("group", &one.groups), ("tag", &one.tags), ("agent", &one.agents)];
    let named = kinds.iter().flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind} {name}")));
    named.collect::<Vec<_>>().join(", ")
}

pub(super) async fn silences(global: &Global, all: bool) -> Result<(), Failure> {
    let path = if all { "/api/v1/silences?all=true" } else { "/api/v1/silences" };
    let found: Vec<SilenceView> = with(global, Need::Data, async |client| client.all(path).await).await?;
    if global.json {
        return print_json(&found);
    }
    if found.is_empty() {
        return print(if all { "Nothing was ever silenced.\n" } else { "Nothing is silenced.\n" });
    }
    let mut table = Table::new(&["ID", "STATE", "FROM", "UNTIL", "WHAT", "WHY", "WHO"]);
    for one in &found {
        table.push(vec![
            one.id.clone(),
            one.state.clone(),
            whole(&one.from),
            whole(&one.until),
            scope(one),
            one.reason.clone(),
            one.author.clone(),
        ]);
    }
    print(&table.text())
}

pub(super) async fn unsilence(global: &Global, id: String) -> Result<(), Failure> {
    let path = format!("/api/v1/silences/{}", escape(&id));
    with(global, Need::Data, async |client| client.delete(&path).await).await?;
    if global.json {
        return print_json(&serde_json::json!({ "ended": id }));
    }
    print(&format!("Ended {id}: pages that are still due go out now.\n"))
}

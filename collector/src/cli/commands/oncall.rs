//! `oncall` and `escalations`: who is told.

use super::{print, print_json, whole, with, with_query};
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{EscalationsArgs, Failure, Global, OncallArgs, OncallCommand};
use crate::present::dto::oncall::{
    ByView, CalendarView, EscalationView, FeedBody, FeedView, OnCallView, OverrideBody, OverrideView, ShiftView,
    UserName, UserView,
};
use crate::present::http::escape;

const NO_SCHEDULE: &str = "No on-call schedule is there: write one as [[schedule]] and apply it.\n";

pub(super) async fn oncall(global: &Global, args: OncallArgs) -> Result<(), Failure> {
    let path = with_query("/api/v1/oncall", [("schedule", args.schedule), ("at", args.at)]);
    let all: Vec<OnCallView> = with(global, Need::Data, async |client| client.get(&path).await).await?;
    if global.json {
        return print_json(&all);
    }
    if all.is_empty() {
        return print(NO_SCHEDULE);
    }
    let mut table = Table::new(&["SCHEDULE", "ON CALL", "BY", "SINCE", "UNTIL", "NEXT", "FROM"]);
    for one in &all {
        let next = one.next.as_ref();
        table.push(vec![
            one.schedule.clone(),
            who(one.shift.user.as_ref()),
            by(one.shift.by.as_ref()),
            at(one.shift.from.as_ref()),
            at(one.shift.until.as_ref()),
            next.map_or_else(|| "-".to_owned(), |next| who(next.user.as_ref())),
            next.map_or_else(|| "-".to_owned(), |next| at(next.from.as_ref())),
        ]);
    }
    print(&table.text())
}

pub(super) async fn command(global: &Global, command: OncallCommand) -> Result<(), Failure> {
    match command {
        OncallCommand::Calendar { schedule, period } => {
            let path = format!("/api/v1/schedules/{}/calendar", escape(&schedule));
            let path = with_query(&path, [("from", period.from), ("to", period.to)]);
            let found: CalendarView = with(global, Need::Data, async |client| client.get(&path).await).await?;
            if global.json { print_json(&found) } else { print(&calendar(&found.shifts)) }
        }
        OncallCommand::Override { schedule, user, from, to } => {
            let path = format!("/api/v1/schedules/{}/overrides", escape(&schedule));
            let request = OverrideBody { user, from, to };
            let given: OverrideView =
                with(global, Need::Data, async |client| client.post(&path, &request).await).await?;
            if global.json { print_json(&given) } else { print(&overrides(&[given])) }
        }
        OncallCommand::Overrides { schedule } => {
            let path = format!("/api/v1/schedules/{}/overrides", escape(&schedule));
            let all: Vec<OverrideView> = with(global, Need::Data, async |client| client.get(&path).await).await?;
            match &all[..] {
                _ if global.json => print_json(&all),
                [] => print("Nobody was ever asked to stand in on the spot.\n"),
                all => print(&overrides(all)),
            }
        }
        OncallCommand::EndOverride { schedule, number } => {
            let path = format!("/api/v1/schedules/{}/overrides", escape(&schedule));
            let one = format!("{path}/{number}");
            let all: Vec<OverrideView> = with(global, Need::Data, async |client| {
                client.delete(&one).await?;
                client.get(&path).await
            })
            .await?;
            let ended: Vec<OverrideView> = all.into_iter().filter(|one| one.number == number).collect();
            if global.json { print_json(&ended.first()) } else { print(&overrides(&ended)) }
        }
        OncallCommand::Feed { schedule, user, rotate } => {
            let path = format!("/api/v1/schedules/{}/feed", escape(&schedule));
            let request = FeedBody { user, rotate };
            let feed: FeedView = with(global, Need::Data, async |client| client.post(&path, &request).await).await?;
            match &feed.url {
                _ if global.json => print_json(&feed),
                Some(url) => print(&format!("{url}\n")),
                None => {
                    print(&format!("{}    (behind the address of the console, once the collector runs)\n", feed.path))
                }
            }
        }
        OncallCommand::Users => users(global).await,
    }
}

async fn users(global: &Global) -> Result<(), Failure> {
    let all: Vec<UserView> = with(global, Need::Data, async |client| client.get("/api/v1/users").await).await?;
    if global.json {
        return print_json(&all);
    }
    if all.is_empty() {
        return print("No user is there: write one as [[user]] and apply it.\n");
    }
    let mut table = Table::new(&["USER", "NAME", "TEAM", "EMAIL", "CHANNELS", "ON CALL", "RESTS UNTIL", "ZONE"]);
    let text = |text: Option<&String>| text.cloned().unwrap_or_else(|| "-".to_owned());
    let list = |list: &[String]| if list.is_empty() { "-".to_owned() } else { list.join(" ") };
    for user in &all {
        table.push(vec![
            user.id.clone(),
            user.name.clone(),
            text(user.team.as_ref()),
            text(user.email.as_ref()),
            list(&user.notify),
            list(&user.on_call),
            at(user.quiet_until.as_ref()),
            user.zone.clone().unwrap_or_else(|| "UTC".to_owned()),
        ]);
    }
    print(&table.text())
}

pub(super) async fn escalations(global: &Global, args: EscalationsArgs) -> Result<(), Failure> {
    let asked = [("severity", args.severity)];
    let all: Vec<EscalationView> = match &args.id {
        Some(id) => {
            let path = with_query(&format!("/api/v1/escalations/{}", escape(id)), asked);
            vec![with(global, Need::Data, async |client| client.get(&path).await).await?]
        }
        None => {
            let path = with_query("/api/v1/escalations", asked);
            with(global, Need::Data, async |client| client.get(&path).await).await?
        }
    };
    if global.json {
        return if args.id.is_some() { print_json(&all.first()) } else { print_json(&all) };
    }
    if all.is_empty() {
        return print("No escalation policy is there, so nobody is told: write one as [[escalation]] and apply it.\n");
    }
    for policy in &all {
        let default = if policy.default { ", the default" } else { "" };
        print(&clean(&format!(
            "{}@{}{default}: repeated {} times, an acknowledgement pauses it for {}; whom a {} incident would tell now:",
            policy.id, policy.version, policy.repeat, policy.ack_pause, policy.severity
        )))?;
        print("\n")?;
        let mut table = Table::new(&["AFTER", "TARGET", "CHANNEL", "USER", "WHEN"]);
        for level in &policy.levels {
            let passed = level.passed_by.then(|| format!("no: at least {}", level.at_least.as_deref().unwrap_or("-")));
            for target in &level.targets {
                for reach in &target.reaches {
                    let held = reach.held_until.as_ref().map(|until| format!("held until {}", whole(until)));
                    let when = passed.clone().or(held).unwrap_or_else(|| "at once".to_owned());
                    let user = reach.user.as_ref().map_or_else(|| "-".to_owned(), |user| who(Some(user)));
                    table.push(vec![level.after.clone(), target.target.clone(), reach.channel.clone(), user, when]);
                }
                for why in &target.unreached {
                    let target = target.target.clone();
                    table.push(vec![level.after.clone(), target, "NOBODY".to_owned(), "-".to_owned(), why.clone()]);
                }
            }
        }
        print(&table.text())?;
    }
    Ok(())
}

fn calendar(shifts: &[ShiftView]) -> String {
    let mut table = Table::new(&["FROM", "UNTIL", "ON CALL", "BY"]);
    for shift in shifts {
        table.push(vec![
            at(shift.from.as_ref()),
            at(shift.until.as_ref()),
            who(shift.user.as_ref()),
            by(shift.by.as_ref()),
        ]);
    }
    table.text()
}

fn overrides(all: &[OverrideView]) -> String {
    let mut table = Table::new(&["SCHEDULE", "NUMBER", "USER", "STATE", "FROM", "TO", "GIVEN", "BY", "TAKEN BACK BY"]);
    for one in all {
        table.push(vec![
            one.schedule.clone(),
            one.number.to_string(),
            who(Some(&one.user)),
            one.state.clone(),
            whole(&one.from),
            whole(&one.to),
            whole(&one.given),
            one.author.clone(),
            one.ended_by.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.text()
}

fn who(user: Option<&UserName>) -> String {
    match user {
        Some(user) if user.name == user.id => user.id.clone(),
        Some(user) => format!("{} ({})", user.name, user.id),
        None => "nobody".to_owned(),
    }
}

fn by(by: Option<&ByView>) -> String {
    by.map_or_else(
        || "-".to_owned(),
        |by| match by.kind.as_str() {
            "on_the_spot" => format!("override {} on the spot", by.number),
            kind => format!("{kind} {}", by.number),
        },
    )
}

fn at(at: Option<&String>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| whole(at))
}

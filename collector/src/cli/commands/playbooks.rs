//! `playbooks` and `playbook ...`: what to do, and the runs of it.

use sitepulse_daemon::exit::Exit;

use super::{print, print_json, whole, with, with_query};
use crate::cli::args::{AboutArgs, PlaybookCommand};
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{Failure, Global};
use crate::present::dto::playbooks::{
    NamedRateView, OffersView, PlaybookRunDetailView, PlaybookRunView, PlaybookView, RateView, RatesView, RunAct,
    RunStepView, StartRunBody, TeamRateView,
};
use crate::present::figure;
use crate::present::http::escape;

pub(super) async fn playbooks(global: &Global) -> Result<(), Failure> {
    let all: Vec<PlaybookView> =
        with(global, Need::Data, async |client| client.list("/api/v1/playbooks", usize::MAX).await).await?;
    if global.json {
        return print_json(&all);
    }
    let mut table =
        Table::new(&["PLAYBOOK", "VERSION", "FOR", "STEPS", "MINUTES", "RUNS", "CARRIED THROUGH", "MEDIAN"]);
    for book in &all {
        let kinds: Vec<&str> = book.incidents.iter().chain(&book.findings).map(String::as_str).collect();
        table.push(vec![
            book.id.clone(),
            book.version.clone(),
            kinds.join(" "),
            book.steps.len().to_string(),
            book.minutes.to_string(),
            book.rate.runs.to_string(),
            completion(&book.rate),
            median(&book.rate),
        ]);
    }
    print(&table.text())
}

pub(super) async fn command(global: &Global, command: PlaybookCommand) -> Result<(), Failure> {
    match command {
        PlaybookCommand::Show { id } => show(global, &id).await,
        PlaybookCommand::Offers { about } => offers(global, about).await,
        PlaybookCommand::Run { playbook, about } => start(global, playbook, about).await,
        PlaybookCommand::Runs { all, playbook, about, limit } => runs(global, all, playbook, about, limit).await,
        PlaybookCommand::Status { run } => status(global, &run).await,
        PlaybookCommand::Tick { run, step } => act(global, &run, RunAct::Tick { step }).await,
        PlaybookCommand::Skip { run, step, reason } => act(global, &run, RunAct::Skip { step, reason }).await,
        PlaybookCommand::Undo { run, step } => act(global, &run, RunAct::Undo { step }).await,
        PlaybookCommand::Note { run, text } => act(global, &run, RunAct::Note { text }).await,
        PlaybookCommand::Finish { run } => act(global, &run, RunAct::Finish).await,
        PlaybookCommand::Abandon { run, reason } => act(global, &run, RunAct::Abandon { reason }).await,
        PlaybookCommand::Rates { period } => rates(global, period.from, period.to).await,
    }
}

/// Says where the names are found.
fn hinted(mut failure: Failure) -> Failure {
    if failure.exit == Exit::NotFound && !failure.message.contains("`sitepulse-collector") {
        failure.message.push_str(": `sitepulse-collector playbooks` and `playbook runs --all` list what there is");
    }
    failure
}

async fn show(global: &Global, id: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/playbooks/{}", escape(id));
    let book: PlaybookView = with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&book);
    }
    let mut text = format!("{}: {} ({}), {} minutes\n", book.id, book.title.en, book.version, book.minutes);
    for (number, step) in (1..).zip(&book.steps) {
        let role = step.role.as_ref().map_or_else(String::new, |role| format!(", {}", role.en));
        text.push_str(&format!("\n{number}. {} [{}], {} min{role}\n", clean(&step.title.en), step.id, step.minutes));
        let told = step.text.as_ref().map(|text| text.en.clone());
        for line in told.iter().chain(&step.link) {
            text.push_str(&format!("   {}\n", clean(line)));
        }
        text.push_str(&command_text(step.command.as_deref()));
        if let Some(condition) = &step.done_when {
            text.push_str(&format!("   ticks itself when: {}\n", clean(condition)));
        }
    }
    print(&text)
}

fn command_text(command: Option<&str>) -> String {
    let lines = command.into_iter().flat_map(str::lines);
    lines.map(|line| format!("   $ {}\n", clean(line))).collect()
}

fn asked(about: AboutArgs) -> [(&'static str, Option<String>); 3] {
    [("incident", about.incident), ("finding", about.finding), ("check", about.check)]
}

fn needs_one(about: &AboutArgs) -> Result<(), Failure> {
    if about.incident.is_none() && about.finding.is_none() && about.check.is_none() {
        let what = "say about what: --incident ID, --finding ID or --check ID";
        return Err(Failure::new(Exit::Usage, what));
    }
    Ok(())
}

async fn offers(global: &Global, about: AboutArgs) -> Result<(), Failure> {
    needs_one(&about)?;
    let path = with_query("/api/v1/playbook-offers", asked(about));
    let found: OffersView = with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&found);
    }
    let mut text = String::new();
    if found.offers.is_empty() {
        text.push_str("No playbook is for this.\n");
    } else {
        let mut table = Table::new(&["PLAYBOOK", "WHAT", "STEPS", "MINUTES", "FROM"]);
        for one in &found.offers {
            let from = if one.built_in { "built-in" } else { "own" };
            let cells = [one.playbook.clone(), one.title.en.clone(), one.steps.to_string(), one.minutes.to_string()];
            table.push(cells.into_iter().chain([from.to_owned()]).collect());
        }
        text.push_str(&table.text());
    }
    if !found.runs.is_empty() {
        text.push_str(&format!("\n{}", runs_text(&found.runs)));
    }
    print(&text)
}

async fn start(global: &Global, playbook: String, about: AboutArgs) -> Result<(), Failure> {
    needs_one(&about)?;
    let AboutArgs { incident, finding, check } = about;
    let request = StartRunBody { playbook, incident, finding, check };
    let started: PlaybookRunDetailView =
        with(global, Need::Data, async |client| client.post("/api/v1/playbook-runs", &request).await)
            .await
            .map_err(hinted)?;
    if global.json { print_json(&started) } else { print(&detail_text(&started)) }
}

async fn runs(
    global: &Global,
    all: bool,
    playbook: Option<String>,
    about: AboutArgs,
    limit: usize,
) -> Result<(), Failure> {
    let [incident, finding, check] = asked(about);
    let query = [("state", all.then(|| "all".to_owned())), ("playbook", playbook), incident, finding, check];
    let path = with_query("/api/v1/playbook-runs", query);
    let found: Vec<PlaybookRunView> = with(global, Need::Data, async |client| client.list(&path, limit).await).await?;
    if global.json {
        return print_json(&found);
    }
    if found.is_empty() {
        return print(if all { "No playbook was ever run.\n" } else { "No playbook is under way.\n" });
    }
    print(&runs_text(&found))
}

fn runs_text(runs: &[PlaybookRunView]) -> String {
    let mut table = Table::new(&["RUN", "PLAYBOOK", "ABOUT", "STATE", "STEPS", "TOOK", "ESTIMATE", "STARTED", "BY"]);
    for run in runs {
        table.push(vec![
            run.id.clone(),
            format!("{}@{}", run.playbook, run.version),
            format!("{} {}", run.about, run.about_id),
            run.state.clone(),
            format!("{}/{}", run.done + run.skipped, run.steps),
            figure::coarse(run.took_seconds, "d"),
            format!("{} min", run.estimate_minutes),
            whole(&run.started_at),
            run.started_by.clone(),
        ]);
    }
    table.text()
}

async fn status(global: &Global, run: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/playbook-runs/{}", escape(run));
    let found: PlaybookRunDetailView =
        with(global, Need::Data, async |client| client.get(&path).await).await.map_err(hinted)?;
    if global.json { print_json(&found) } else { print(&detail_text(&found)) }
}

async fn act(global: &Global, run: &str, act: RunAct) -> Result<(), Failure> {
    let path = format!("/api/v1/playbook-runs/{}/acts", escape(run));
    let found: PlaybookRunDetailView =
        with(global, Need::Data, async |client| client.post(&path, &act).await).await.map_err(hinted)?;
    if global.json { print_json(&found) } else { print(&detail_text(&found)) }
}

fn detail_text(found: &PlaybookRunDetailView) -> String {
    let run = &found.run;
    let mut text = clean(&format!(
        "{}: {} ({}@{}) about {} {}: {}, {} of {} steps, {} of {} min, started {} by {}",
        run.id,
        run.title.en,
        run.playbook,
        run.version,
        run.about,
        run.about_id,
        run.state,
        run.done + run.skipped,
        run.steps,
        figure::coarse(run.took_seconds, "d"),
        run.estimate_minutes,
        whole(&run.started_at),
        run.started_by
    ));
    text.push('\n');
    for (number, step) in (1..).zip(&found.marks) {
        text.push_str(&step_text(number, step));
    }
    let notes = found.entries.iter().filter(|entry| entry.what == "noted" || entry.what == "abandoned");
    for entry in notes {
        let said = entry.text.as_deref().unwrap_or_default();
        text.push_str(&clean(&format!("\n{} {} ({}): {said}", whole(&entry.at), entry.what, entry.by)));
        text.push('\n');
    }
    text
}

fn step_text(number: usize, told: &RunStepView) -> String {
    let step = &told.step;
    let mark = match told.state.as_str() {
        "done" => 'x',
        "skipped" => '-',
        _ => ' ',
    };
    let mut text = format!("\n[{mark}] {number}. {} [{}], {} min\n", clean(&step.title.en), step.id, step.minutes);
    let mut line = |told: &str| text.push_str(&format!("      {}\n", clean(told)));
    if let (Some(at), Some(by)) = (&told.at, &told.by) {
        let why = told.seen.as_ref().map(|seen| seen.en.clone()).or_else(|| told.reason.clone());
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        line(&format!("{} {} by {by}{why}", told.state, whole(at)));
        return text;
    }
    if let Some(text) = &step.text {
        line(&text.en);
    }
    if let Some(link) = &step.link {
        line(link);
    }
    for command in step.command.iter().flat_map(|command| command.lines()) {
        line(&format!("$ {command}"));
    }
    if let Some(waits) = &told.waits_for {
        line(&format!("ticks itself when {}", waits.en));
    }
    text
}

async fn rates(global: &Global, from: Option<String>, to: Option<String>) -> Result<(), Failure> {
    let path = with_query("/api/v1/playbook-rates", [("from", from), ("to", to)]);
    let found: RatesView = with(global, Need::Data, async |client| client.get(&path).await).await?;
    if global.json {
        return print_json(&found);
    }
    let mut table =
        Table::new(&["", "RUNS", "UNDER WAY", "FINISHED", "ABANDONED", "CARRIED THROUGH", "MEDIAN", "X ESTIMATE"]);
    table.push(rate_row("all", &found.all));
    for NamedRateView { name, rate } in &found.playbooks {
        table.push(rate_row(name, rate));
    }
    for TeamRateView { team, rate, playbooks } in &found.teams {
        let team = team.as_ref().map_or_else(|| "no team".to_owned(), |team| format!("team {team}"));
        table.push(rate_row(&team, rate));
        for NamedRateView { name, rate } in playbooks {
            table.push(rate_row(&format!("  {name}"), rate));
        }
    }
    for NamedRateView { name, rate } in &found.people {
        table.push(rate_row(name, rate));
    }
    print(&format!("{} to {}\n{}", whole(&found.from), whole(&found.to), table.text()))
}

fn rate_row(name: &str, rate: &RateView) -> Vec<String> {
    let against = rate.against_estimate.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
    let counts = [rate.runs, rate.running, rate.finished, rate.abandoned].map(|count| count.to_string());
    [name.to_owned()].into_iter().chain(counts).chain([completion(rate), median(rate), against]).collect()
}

fn completion(rate: &RateView) -> String {
    rate.completion.map_or_else(|| "-".to_owned(), |ratio| format!("{:.0} %", ratio * 100.0))
}

fn median(rate: &RateView) -> String {
    rate.median_seconds.map_or_else(|| "-".to_owned(), |seconds| figure::coarse(seconds, "d"))
}

//! What each command does.

mod access;
mod amendments;
mod backtest;
mod backup;
mod channels;
mod exchange;
mod explain;
mod findings;
mod groups;
mod impact;
mod incidents;
mod indicators;
mod jobs;
mod kpi;
mod latency;
mod on_demand;
mod oncall;
mod playbooks;
mod policy;
mod report;
mod results;
mod silences;
mod slo;
mod status_pages;
mod verify;
mod vitals;
mod windows;

use std::io::{Read, Write};
use std::path::Path;

use serde::Serialize;
use sitepulse_daemon::config;
use sitepulse_daemon::exit::Exit;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::control::{SUSPENSION_US_MAX, Weight};
use sitepulse_model::duration;
use sitepulse_model::time::UtcMicros;

use crate::book::Object;
use crate::checkfile::{self, Source};
use crate::cli::client::{Client, Need};
use crate::cli::table::{Table, clean};
use crate::cli::{
    AgentsCommand, ApiTokenCreateArgs, ApplyArgs, AskedArgs, Cli, Command, Failure, Global, HeartbeatCommand,
    ScopeArgs, SlaArgs, SuspendArgs, TokenCommand, TokenCreateArgs, WeightArgs, watch,
};
use crate::present::dto::unknown::CausesView;
use crate::present::dto::{
    AgentView, ApplyBody, CheckView, ControlBody, EventView, FileBody, JoinTokenBody, LinkView, PlanView, SlaView,
    SuspensionView, TokenView,
};
use crate::present::figure;
use crate::present::http::escape;
use crate::present::route::APPLY_BYTES_MAX;
use crate::serve;

/// An hour in seconds: the longest and the default life of a join token.
const JOIN_TTL_SECONDS: u64 = 3600;

/// Runs a command. Gives the exit code.
///
/// # Errors
/// What to tell people, with the exit code.
pub fn run(cli: Cli) -> Result<Exit, Failure> {
    let global = cli.global;
    match cli.command {
        Command::Serve(args) => serve::run(&global, &args).map(|()| Exit::Ok),
        Command::Token { command: TokenCommand::Create(args) } => client_side(token_create(&global, args)),
        Command::SignIn { admin } => client_side(sign_in(&global, admin)),
        Command::ApiToken { command } => client_side(access::api_token(&global, command)),
        Command::User { command } => client_side(access::user(&global, command)),
        Command::Audit(args) => with_exit(access::audit(&global, args)),
        Command::Apply(args) => client_side(apply(&global, args)),
        Command::Agents { command: None } => client_side(agents(&global)),
        Command::Agents { command: Some(AgentsCommand::Revoke { name }) } => client_side(revoke(&global, name)),
        Command::Checks { watch } => client_side(checks(&global, watch)),
        Command::Sla(args) if args.by_group || args.group.is_some() => client_side(groups::sla(&global, args)),
        Command::Sla(args) => client_side(sla(&global, args)),
        Command::Explain(args) => client_side(explain::explain(&global, args)),
        Command::Results(args) => client_side(results::results(&global, args)),
        Command::Amendments(args) => client_side(amendments::amendments(&global, args)),
        Command::Policies(args) => client_side(policy::policies(&global, args)),
        Command::Report { command } => with_exit(report::report(&global, command)),
        Command::Slo(args) => client_side(slo::slo(&global, args)),
        Command::Impact(args) => client_side(impact::impact(&global, args)),
        Command::Indicators(args) => client_side(indicators::indicators(&global, args)),
        Command::Kpi(args) => client_side(kpi::kpi(&global, args)),
        Command::Backtest(args) => client_side(backtest::backtest(&global, args)),
        Command::Latency(args) => client_side(latency::latency(&global, args)),
        Command::Channels => client_side(channels::channels(&global)),
        Command::TestChannel(args) => with_exit(channels::test(&global, args)),
        Command::Deliveries(args) => client_side(channels::deliveries(&global, args)),
        Command::RetryDelivery { key } => client_side(channels::retry(&global, key)),
        Command::Windows(args) => client_side(windows::windows(&global, args)),
        Command::StatusPages => client_side(status_pages::status_pages(&global)),
        Command::Vitals(args) => client_side(vitals::vitals(&global, args)),
        Command::Incidents(args) => client_side(incidents::incidents(&global, args)),
        Command::Incident(args) => with_exit(incidents::incident(&global, args)),
        Command::Ack(args) => client_side(incidents::acts::ack(&global, args)),
        Command::Resolve(args) => client_side(incidents::acts::resolve(&global, args)),
        Command::Reopen(args) => client_side(incidents::acts::reopen(&global, args)),
        Command::Comment(args) => client_side(incidents::acts::comment(&global, args)),
        Command::Assign(args) => client_side(incidents::acts::assign(&global, args)),
        Command::PostMortem(args) => client_side(incidents::acts::post_mortem(&global, args)),
        Command::Open(args) => client_side(incidents::acts::open(&global, args)),
        Command::Findings(args) => client_side(findings::findings(&global, args)),
        Command::Finding { command } => client_side(findings::act(&global, command)),
        Command::Silence(args) => client_side(silences::silence(&global, args)),
        Command::Silences { all } => client_side(silences::silences(&global, all)),
        Command::Unsilence { id } => client_side(silences::unsilence(&global, id)),
        Command::Suspend(args) => client_side(suspend(&global, args)),
        Command::Resume(scope) => client_side(resume(&global, scope)),
        Command::Weight(args) => client_side(weight(&global, args)),
        Command::RunNow(args) => with_exit(on_demand::run_now(&global, args)),
        Command::Secret { command } => client_side(on_demand::secret(&global, command)),
        Command::Heartbeat { command: HeartbeatCommand::Url { check } } => {
            client_side(on_demand::heartbeat_url(&global, check))
        }
        Command::Oncall { command: None, args } => client_side(oncall::oncall(&global, args)),
        Command::Oncall { command: Some(command), .. } => client_side(oncall::command(&global, command)),
        Command::Jobs { command, args } => client_side(jobs::jobs(&global, command, args)),
        Command::Escalations(args) => client_side(oncall::escalations(&global, args)),
        Command::Playbooks => client_side(playbooks::playbooks(&global)),
        Command::Playbook { command } => client_side(playbooks::command(&global, command)),
        Command::Verify => verify::verify(&global),
        Command::Backup { file, with_seal_key } => backup::backup(&global, &file, with_seal_key).map(|()| Exit::Ok),
        Command::Restore { file } => backup::restore(&global, &file).map(|()| Exit::Ok),
        Command::Export(args) => exchange::export(&global, &args).map(|()| Exit::Ok),
        Command::Import(args) => with_exit(exchange::import(&global, args)),
        Command::History(scope) => client_side(history(&global, scope)),
    }
}

/// Tells a failure on stderr.
pub fn complain(failure: &Failure) {
    let mut lines = failure.message.lines();
    let first = lines.next().unwrap_or("failed");
    let mut text = format!("error: {}\n", clean(first));
    for line in lines {
        text.push_str(&format!("       {}\n", clean(line)));
    }
    // Without stderr the exit code alone must do.
    drop(std::io::stderr().write_all(text.as_bytes()));
}

fn client_side(work: impl Future<Output = Result<(), Failure>>) -> Result<Exit, Failure> {
    with_exit(async { work.await.map(|()| Exit::Ok) })
}

/// A command whose exit code says what it found.
fn with_exit(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot start: {error}")))?;
    runtime.block_on(work)
}

/// Prints; a reader that went away (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failure, format!("cannot write to stdout: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    text.push('\n');
    print(&text)
}

/// Asks once, and closes the client.
async fn with<T>(
    global: &Global,
    need: Need,
    work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let client = Client::open(global, need).await?;
    let answer = work(&client).await;
    client.close().await;
    answer
}

fn ttl(text: Option<&str>, default: u64) -> Result<u64, Failure> {
    let Some(text) = text else { return Ok(default) };
    let us = duration::parse(text).map_err(|error| Failure::new(Exit::Usage, format!("--ttl: {error}")))?;
    match us / 1_000_000 {
        0 => Err(Failure::new(Exit::Usage, "--ttl must be at least 1s")),
        seconds => Ok(seconds),
    }
}

async fn token_create(global: &Global, args: TokenCreateArgs) -> Result<(), Failure> {
    if args.api {
        // As it was called before there were scopes.
        let args = ApiTokenCreateArgs { scope: "admin".into(), note: "token".into(), ttl: args.ttl };
        return access::create_token(global, args).await;
    }
    let request = JoinTokenBody {
        region: args.region.unwrap_or_default(),
        ttl_seconds: ttl(args.ttl.as_deref(), JOIN_TTL_SECONDS)?,
    };
    let made: TokenView =
        with(global, Need::Directory, async |client| client.post("/api/v1/join-tokens", &request).await).await?;
    if global.json {
        return print_json(&made);
    }
    print(&format!(
        "On the machine of the new agent (region {}), before {}, run:\n\n  sitepulse-agent join {}\n\nThe token works once.\n",
        request.region,
        whole(&made.expires),
        made.token
    ))
}

async fn sign_in(global: &Global, admin: bool) -> Result<(), Failure> {
    let path = if admin { "/api/v1/sign-in-links?admin=true" } else { "/api/v1/sign-in-links" };
    let made: LinkView = with(global, Need::Server, async |client| client.post(path, &()).await).await?;
    if global.json {
        print_json(&made)
    } else {
        print(&format!("{}\n\nIt works once, until {}.\n", made.url, whole(&made.expires)))
    }
}

async fn apply(global: &Global, args: ApplyArgs) -> Result<(), Failure> {
    let files = args.files.iter().map(|path| read_checks(path)).collect::<Result<Vec<_>, _>>()?;
    let bytes: usize = files.iter().map(|file| file.text.len()).sum();
    if bytes > APPLY_BYTES_MAX {
        let text = format!(
            "the files have {bytes} bytes together, {APPLY_BYTES_MAX} are allowed in one call: apply them one after the other, without --prune"
        );
        return Err(Failure::new(Exit::Config, text));
    }
    let request = ApplyBody { files, dry_run: args.dry_run, prune: args.prune };
    let plan: PlanView = with(global, Need::Directory, async |client| {
        let plan = client.post("/api/v1/apply", &request).await?;
        if client.is_here() && !args.dry_run {
            eprintln!("note: no collector runs; its files in {} were changed", global.data_dir().display());
        }
        Ok(plan)
    })
    .await?;
    for warning in &plan.warnings {
        eprintln!("warning: {}", clean(warning));
    }
    if global.json { print_json(&plan) } else { print(&plan_text(&plan)) }
}

fn read_checks(path: &Path) -> Result<FileBody, Failure> {
    let name = if path == Path::new("-") { "stdin".to_string() } else { path.display().to_string() };
    let text = if path == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(checkfile::FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text);
        read.map_err(|error| Failure::new(Exit::Config, format!("stdin: cannot read: {error}")))?;
        text
    } else {
        config::read_within(path, checkfile::FILE_BYTES_MAX as u64)
            .map_err(|error| Failure::new(Exit::Config, error.to_string()))?
    };
    Ok(FileBody { name, text })
}

fn plan_text(plan: &PlanView) -> String {
    let mut text = String::new();
    let mut counts = [0_usize; 4];
    let checks = plan.items.iter().map(|item| (clean(&item.check), &item.action, &item.fields));
    let objects =
        plan.objects.iter().map(|item| (clean(&format!("{} {}", item.kind, item.id)), &item.action, &item.fields));
    for (name, action, fields) in checks.chain(objects) {
        let (index, sign) = match action.as_str() {
            "create" => (0, '+'),
            "change" => (1, '~'),
            "retire" => (2, '-'),
            _ => (3, '='),
        };
        counts[index] += 1;
        text.push_str(&format!("{sign} {name}\n"));
        for field in fields {
            text.push_str(&format!("    {}: {} -> {}\n", field.field, clean(&field.from), clean(&field.to)));
        }
    }
    let [create, change, retire, same] = counts;
    let tense = if plan.dry_run { "Would create" } else { "Created" };
    let (changed, retired) = if plan.dry_run { ("change", "retire") } else { ("changed", "retired") };
    text.push_str(&format!("{tense} {create}, {changed} {change}, {retired} {retire}; {same} unchanged.\n"));
    if plan.dry_run {
        text.push_str("Nothing was changed (--dry-run).\n");
    }
    text
}

async fn agents(global: &Global) -> Result<(), Failure> {
    let agents: Vec<AgentView> = with(global, Need::Data, async |client| client.all("/api/v1/agents").await).await?;
    if global.json {
        return print_json(&agents);
    }
    if agents.is_empty() {
        return print("No agents yet: make a join token with `sitepulse-collector token create --region REGION`.\n");
    }
    let now = clock::now();
    let mut table = Table::new(&[
        "AGENT",
        "REGION",
        "STATE",
        "LAST SEEN",
        "WEIGHT",
        "SPOOL",
        "CLOCK",
        "LOAD",
        "MEMORY",
        "SCHEDULED",
        "STORED",
        "MISSED",
        "DROPPED",
        "UNACCOUNTED",
        "BUILD",
        "SUSPENDED",
    ]);
    for agent in &agents {
        let state = match (&agent.revoked, agent.connected) {
            (Some(_), _) => "revoked",
            (None, _) if agent.internal => "built in",
            (None, true) => "connected",
            (None, false) => "away",
        };
        let seen = match (&agent.last_seen, agent.connected) {
            (_, true) => "now".to_string(),
            (Some(at), false) => age(at, now),
            (None, false) => "never".to_string(),
        };
        let missed = agent.conservation.missed.causes();
        let missed: Vec<String> = missed.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
        table.push(vec![
            agent.name.clone(),
            agent.region.clone(),
            state.into(),
            seen,
            agent.weight.to_string(),
            agent.spool_records.map_or_else(|| "-".into(), |records| records.to_string()),
            agent.clock_offset_seconds.map_or_else(|| "-".into(), figure::offset),
            agent.host.map_or_else(|| "-".into(), |host| format!("{:.2}/{}", host.load_1m, host.cores)),
            agent.host.map_or_else(|| "-".into(), |host| host.memory()),
            agent.conservation.scheduled.to_string(),
            agent.conservation.stored.to_string(),
            if missed.is_empty() { "0".into() } else { missed.join(", ") },
            agent.conservation.dropped.to_string(),
            agent.conservation.unaccounted.to_string(),
            agent.build.clone().unwrap_or_else(|| "-".into()),
            agent.suspended.as_ref().map_or_else(|| "-".into(), suspended),
        ]);
    }
    print(&format!("{}{}", table.text(), agents.iter().map(lacking).collect::<String>()))
}

/// Which runs of an agent have no record, in words; empty where all are accounted for.
fn lacking(agent: &AgentView) -> String {
    if agent.conservation.unaccounted == 0 {
        return String::new();
    }
    let each = agent.checks.iter().filter(|one| one.counts.unaccounted > 0);
    let each: Vec<String> = each.map(|one| format!("{} of {}", one.counts.unaccounted, one.check)).collect();
    let text =
        format!("{}: scheduled runs without a record, on their way still or lost: {}", agent.name, each.join(", "));
    format!("{}\n", clean(&text))
}

fn suspended(one: &SuspensionView) -> String {
    format!("until {}: {} ({})", one.until.as_deref().map_or("resumed".into(), whole), one.reason, one.author)
}

async fn revoke(global: &Global, name: String) -> Result<(), Failure> {
    let path = format!("/api/v1/agents/{}/revoke", escape(&name));
    let () = with(global, Need::Data, async |client| client.post(&path, &()).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&serde_json::json!({ "revoked": name }));
    }
    print(&format!("Revoked {name}: it is refused from now on, its results stay.\n"))
}

async fn checks(global: &Global, watched: bool) -> Result<(), Failure> {
    if watched {
        return with(global, Need::Server, async |client| watch::run(client, global.json).await).await;
    }
    let checks: Vec<CheckView> = with(global, Need::Data, async |client| client.all("/api/v1/checks").await).await?;
    if global.json {
        return print_json(&checks);
    }
    if checks.is_empty() {
        return print("No checks yet: write one and apply it with `sitepulse-collector apply FILE`.\n");
    }
    print(&watch::table(&checks).text())
}

/// What a question about figures asks for.
fn figures_of(check: Option<String>, asked: AskedArgs) -> [(&'static str, Option<String>); 5] {
    let AskedArgs { period, agent, region } = asked;
    [("check", check), ("from", period.from), ("to", period.to), ("agent", agent), ("region", region)]
}

async fn sla(global: &Global, args: SlaArgs) -> Result<(), Failure> {
    let checks = (!args.checks.is_empty()).then(|| args.checks.join(","));
    let path = with_query("/api/v1/sla", figures_of(checks, args.asked));
    let path = policy::counted(path, args.counted);
    let figures: Vec<SlaView> =
        with(global, Need::Data, async |client| client.all(&path).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&figures);
    }
    if figures.is_empty() {
        return print("No checks yet: write one and apply it with `sitepulse-collector apply FILE`.\n");
    }
    let mut table = Table::new(&[
        "CHECK",
        "AVAILABILITY",
        "COMPLETENESS",
        "BOUNDS",
        "WEIGHTED",
        "DOWN",
        "REGIONAL",
        "DEGRADED",
        "UNKNOWN",
        "FROM",
        "TO",
    ]);
    for one in &figures {
        let [availability, completeness, bounds] =
            watch::figures(one.availability, one.completeness, one.lower, one.upper);
        let seconds = &one.seconds;
        let unknown = &seconds.unknown;
        let unknown =
            unknown.agent_stopped + unknown.agent_offline + unknown.suspended + unknown.shed + unknown.unassigned;
        table.push(vec![
            one.check.clone(),
            availability,
            completeness,
            bounds,
            weighted(one.weighted_availability, one.weighted_lower, one.weighted_upper),
            length(seconds.down),
            length(seconds.regional),
            length(seconds.degraded),
            length(unknown),
            whole(&one.from),
            whole(&one.to),
        ]);
    }
    let amended: String = figures.iter().map(amended).collect();
    let unknown: String = figures.iter().map(unknown).collect();
    print(&format!("{}{unknown}{}{amended}", table.text(), policy::table(&figures)))
}

/// Why nothing is known of some time; empty where all is known.
fn unknown(one: &SlaView) -> String {
    let causes = one.seconds.unknown.by_cause().into_iter().filter(|(_, seconds)| *seconds > 0.0);
    let causes: Vec<String> = causes.map(|(cause, seconds)| format!("{} {cause}", length(seconds))).collect();
    if causes.is_empty() { String::new() } else { format!("{}: unknown: {}\n", clean(&one.check), causes.join(", ")) }
}

/// That late data changed a figure, and where that is told; empty where none did.
fn amended(one: &SlaView) -> String {
    one.amended.as_ref().map_or_else(String::new, |amended| {
        let times = if amended.count == 1 { String::new() } else { format!(" {} times", amended.count) };
        let check = clean(&one.check);
        format!("{check}: amended{times} by late data: `sitepulse-collector amendments {check}`\n")
    })
}

/// The weighted availability, with its bounds where they are apart.
fn weighted(value: Option<f64>, lower: Option<f64>, upper: Option<f64>) -> String {
    let Some(value) = value else { return "-".into() };
    let apart = lower.zip(upper).filter(|(lower, upper)| lower < upper);
    let bounds = apart.map_or_else(String::new, |(lower, upper)| {
        format!(" [{}, {}]", figure::percent_down(lower, 2), figure::percent_up(upper, 2))
    });
    format!("{}{bounds}", figure::percent_down(value, 2))
}

/// A share of time that something is missing for: never shown as nothing.
/// Of how much of the time the figures of a place speak; empty where nothing was to be measured.
fn known(place: &str, completeness: Option<f64>, unknown: Option<CausesView>) -> String {
    let Some(completeness) = completeness else { return String::new() };
    let causes = unknown.map_or_else(String::new, |unknown| unknown.text(share));
    let causes = if causes.is_empty() { String::new() } else { format!("; unknown: {causes}") };
    format!("{place}completeness {}{causes}\n", figure::percent_down(completeness, 1))
}

fn share(share: f64) -> String {
    figure::percent_up(share, 1)
}

fn length(seconds: f64) -> String {
    if seconds == 0.0 { "-".into() } else { duration::format((seconds.round().max(1.0) as u64) * 1_000_000) }
}

/// The first object of a kind in a file that is only tried.
fn draft_of<T>(file: &Path, table: &str, wanted: impl Fn(Object) -> Option<T>) -> Result<T, Failure> {
    let usage = |what: String| Failure::new(Exit::Usage, what);
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| usage(format!("{name}: {error}")))?;
    let written = checkfile::parse(&[Source { name: name.clone(), text }]);
    let written = written.map_err(|faults| usage(faults.to_string()))?;
    let found = written.objects.into_iter().find_map(|written| wanted(written.object));
    found.ok_or_else(|| usage(format!("{name} has no [[{table}]]: write the one to try")))
}

fn with_query<const N: usize>(path: &str, asked: [(&str, Option<String>); N]) -> String {
    let pairs: Vec<String> =
        asked.into_iter().filter_map(|(key, value)| value.map(|value| format!("{key}={}", escape(&value)))).collect();
    if pairs.is_empty() { path.to_string() } else { format!("{path}?{}", pairs.join("&")) }
}

/// Says where the names are found.
fn hinted(mut failure: Failure) -> Failure {
    if failure.exit == Exit::NotFound && !failure.message.contains("`sitepulse-collector") {
        failure.message.push_str(": `sitepulse-collector checks` and `sitepulse-collector agents` list what there is");
    }
    failure
}

async fn control(global: &Global, request: ControlBody) -> Result<(), Failure> {
    let event: EventView = with(global, Need::Data, async |client| client.post("/api/v1/control", &request).await)
        .await
        .map_err(hinted)?;
    if global.json { print_json(&event) } else { print(&format!("{}\n", clean(&event_text(&event)))) }
}

fn needs_scope(scope: &ScopeArgs) -> Result<(), Failure> {
    if scope.agent.is_none() && scope.check.is_none() {
        return Err(Failure::new(Exit::Usage, "name what it is about: --agent NAME, --check ID, or both"));
    }
    Ok(())
}

async fn suspend(global: &Global, args: SuspendArgs) -> Result<(), Failure> {
    needs_scope(&args.scope)?;
    let until = match (args.duration, args.until) {
        (Some(length), _) => {
            let us = duration::parse(&length).map_err(|error| Failure::new(Exit::Usage, format!("--for: {error}")))?;
            if us > SUSPENSION_US_MAX.cast_unsigned() {
                return Err(Failure::new(Exit::Usage, "--for: a suspension lasts 366d at most"));
            }
            Some(instant::format(clock::now().plus_us(us.cast_signed())))
        }
        (None, until) => until,
    };
    let action = "suspend".to_string();
    let request = ControlBody {
        agent: args.scope.agent,
        check: args.scope.check,
        action,
        until,
        reason: Some(args.reason),
        weight: None,
    };
    control(global, request).await
}

async fn resume(global: &Global, scope: ScopeArgs) -> Result<(), Failure> {
    needs_scope(&scope)?;
    let action = "resume".to_string();
    control(
        global,
        ControlBody { agent: scope.agent, check: scope.check, action, until: None, reason: None, weight: None },
    )
    .await
}

async fn weight(global: &Global, args: WeightArgs) -> Result<(), Failure> {
    let value = Weight::parse(&args.value).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let request = ControlBody {
        agent: Some(args.agent),
        check: args.check,
        action: "weight".to_string(),
        until: None,
        reason: None,
        weight: Some(value.as_f64()),
    };
    control(global, request).await
}

async fn history(global: &Global, scope: ScopeArgs) -> Result<(), Failure> {
    let path = with_query("/api/v1/history", [("agent", scope.agent), ("check", scope.check)]);
    let events: Vec<EventView> =
        with(global, Need::Data, async |client| client.all(&path).await).await.map_err(hinted)?;
    if global.json {
        return print_json(&events);
    }
    if events.is_empty() {
        return print("Nothing was suspended, resumed, weighed or revoked so far.\n");
    }
    let mut table = Table::new(&["WHEN", "SIDE", "WHO", "WHAT"]);
    for event in &events {
        table.push(vec![whole(&event.at), event.side.clone(), event.author.clone(), event_text(event)]);
    }
    print(&table.text())
}

fn event_text(event: &EventView) -> String {
    let what = match (&event.agent, &event.check) {
        (Some(agent), Some(check)) => format!("check {check} on agent {agent}"),
        (Some(agent), None) => format!("agent {agent}"),
        (None, Some(check)) => format!("check {check}"),
        (None, None) => "nothing".to_string(),
    };
    match event.action.as_str() {
        "suspend" => format!(
            "suspended {what} until {}: {}",
            event.until.as_deref().map_or("resumed".into(), whole),
            event.reason.as_deref().unwrap_or_default()
        ),
        "revoke" => format!("revoked {what}"),
        "weight" => format!("weight of {what} set to {}", event.weight.unwrap_or_default()),
        _ => format!("resumed {what}"),
    }
}

/// An instant for people: without the fraction of its second.
fn whole(at: &str) -> String {
    at.split_once('.').map_or_else(|| at.to_string(), |(whole, _)| format!("{whole}Z"))
}

fn age(at: &str, now: UtcMicros) -> String {
    instant::parse(at, now)
        .map_or_else(|_| at.to_string(), |at| format!("{} ago", figure::coarse(now.us_since(at) as f64 / 1e6, "d")))
}

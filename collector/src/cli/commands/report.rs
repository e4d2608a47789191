//! `report`: figures that are stored, and made again.

use sitepulse_daemon::exit::Exit;

use super::policy::{causes, left, met};
use super::{hinted, length, print, print_json, share, whole, with};
use crate::cli::client::Need;
use crate::cli::table::{Table, clean};
use crate::cli::{Failure, Global, ReportCommand, ReportStoreArgs};
use crate::present::dto::policy::{
    ReportedCheckView, ReportedView, SlaReportBody, SlaReportView, SlaVerificationView, VerifiedCheckView,
};
use crate::present::figure;
use crate::present::http::escape;

pub(super) async fn report(global: &Global, command: ReportCommand) -> Result<Exit, Failure> {
    match command {
        ReportCommand::Store(args) => store(global, args).await.map(|()| Exit::Ok),
        ReportCommand::Verify { name } => verify(global, &name).await,
        ReportCommand::Show { name } => show(global, &name).await.map(|()| Exit::Ok),
        ReportCommand::List => list(global).await.map(|()| Exit::Ok),
    }
}

async fn store(global: &Global, args: ReportStoreArgs) -> Result<(), Failure> {
    let ReportStoreArgs { name, checks, period, counted } = args;
    let body = SlaReportBody { name, checks, from: period.from, to: period.to, policy: counted.policy };
    let report: SlaReportView =
        with(global, Need::Data, async |client| client.post("/api/v1/sla-reports", &body).await)
            .await
            .map_err(hinted)?;
    if global.json { print_json(&report) } else { print(&format!("Stored.\n{}", text(&report))) }
}

async fn show(global: &Global, name: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/sla-reports/{}", escape(name));
    let report: SlaReportView =
        with(global, Need::Data, async |client| client.get(&path).await).await.map_err(listed)?;
    if global.json { print_json(&report) } else { print(&text(&report)) }
}

async fn list(global: &Global) -> Result<(), Failure> {
    let reports: Vec<SlaReportView> =
        with(global, Need::Data, async |client| client.all("/api/v1/sla-reports").await).await?;
    if global.json {
        return print_json(&reports);
    }
    if reports.is_empty() {
        return print("No reports yet: `sitepulse-collector report store NAME --from ... --to ...` stores one.\n");
    }
    let mut table = Table::new(&[
        "REPORT",
        "FROM",
        "TO",
        "POLICY",
        "CHECKS",
        "AVAILABILITY",
        "COMPLETENESS",
        "BOUNDS",
        "MADE",
        "AUTHOR",
    ]);
    for report in &reports {
        table.push(vec![
            report.name.clone(),
            whole(&report.from),
            whole(&report.to),
            versions(report),
            report.checks.len().to_string(),
            percent(report.availability),
            percent(report.completeness),
            bounds(report.lower, report.upper),
            whole(&report.made),
            report.author.clone(),
        ]);
    }
    print(&table.text())
}

async fn verify(global: &Global, name: &str) -> Result<Exit, Failure> {
    let path = format!("/api/v1/sla-reports/{}/verify", escape(name));
    let verification: SlaVerificationView =
        with(global, Need::Data, async |client| client.get(&path).await).await.map_err(listed)?;
    let exit = if verification.same { Exit::Ok } else { Exit::Changed };
    if global.json {
        print_json(&verification)?;
        return Ok(exit);
    }
    let mut lines = match verification.same {
        true => format!("Report {name}: the same to the last digit.\n"),
        false => format!("Report {name}: the figures CHANGED since it was stored.\n"),
    };
    for check in verification.checks.iter().filter(|check| !check.same || !check.changed.is_empty()) {
        lines.push_str(&differences(check));
    }
    if verification.hours_moved {
        lines.push_str(
            "The policy's hours fall on other instants by today's time zone database; the report counts by those it was made with.\n",
        );
    }
    print(&lines)?;
    Ok(exit)
}

fn differences(check: &VerifiedCheckView) -> String {
    let mut lines = format!("{}: {}\n", check.check, why(check));
    if let (false, Some(now)) = (check.same, &check.now) {
        for (what, stored, now) in [
            ("availability", figures(&check.stored), figures(now)),
            ("down", seconds(check.stored.seconds.down), seconds(now.seconds.down)),
            ("counted", seconds(check.stored.seconds.counted), seconds(now.seconds.counted)),
            ("unknown", seconds(check.stored.seconds.unknown), seconds(now.seconds.unknown)),
            // What was kept without causes is no difference.
            ("unknown by cause", causes_of(&check.stored, now), causes_of(now, &check.stored)),
        ] {
            if stored != now {
                lines.push_str(&format!("  {what}: stored {stored}, now {now}\n"));
            }
        }
    }
    lines
}

/// Why nothing was known, where the other tells it too.
fn causes_of(one: &ReportedView, other: &ReportedView) -> String {
    let causes = one.seconds.unknown_by_cause.zip(other.seconds.unknown_by_cause);
    let causes = causes.map_or_else(String::new, |(causes, _)| causes.text(|seconds| format!("{seconds} s")));
    if causes.is_empty() { "none".to_owned() } else { causes }
}

fn why(check: &VerifiedCheckView) -> String {
    let why = |change: &String| {
        match change.as_str() {
        "late_data" => format!(
            "{} of its time came in since (`sitepulse-collector amendments` tells them)",
            if check.amendments == 1 { "1 amendment".to_owned() } else { format!("{} amendments", check.amendments) }
        ),
        "definitions" => "definitions that were in force then differ: was a backup restored?".to_owned(),
        "control" => {
            "weights or suspensions that count in its time came in since (`sitepulse-collector history` tells them)"
                .to_owned()
        }
        "verdicts" => {
            "its verdicts differ: records came in just before the report was made, a window changed, or what told of late data is gone by its age (`[retention] hourly`)"
                .to_owned()
        }
        "counting" => "nothing it was made of changed: this build counts otherwise; please report it".to_owned(),
        "gone" => "there is no such check any more".to_owned(),
        other => other.to_owned(),
    }
    };
    let whys: Vec<String> = check.changed.iter().map(why).collect();
    let same = if check.same { ", the digits are the same" } else { "" };
    format!("{}{same}", whys.join("; "))
}

fn text(report: &SlaReportView) -> String {
    let mut table = Table::new(&[
        "CHECK",
        "AVAILABILITY",
        "COMPLETENESS",
        "BOUNDS",
        "WEIGHTED",
        "MET",
        "COUNTED",
        "DOWN",
        "EXCLUDED",
        "OUTSIDE",
        "LEFT",
    ]);
    for check in &report.checks {
        let one = &check.figures;
        table.push(vec![
            check.check.clone(),
            percent(one.availability),
            percent(one.completeness),
            bounds(one.lower, one.upper),
            percent(one.weighted_availability),
            met(one.met).to_owned(),
            length(one.seconds.counted),
            length(one.seconds.down),
            length(one.seconds.excluded),
            length(one.seconds.outside),
            left(one.budget_left_seconds),
        ]);
    }
    format!(
        "{}: {} to {}, by policy {}, made {} by {}\nAll together, weighted: {}, completeness {}, bounds {}\n{}",
        report.name,
        whole(&report.from),
        whole(&report.to),
        versions(report),
        whole(&report.made),
        report.author,
        percent(report.availability),
        percent(report.completeness),
        bounds(report.lower, report.upper),
        table.text()
    ) + &unknown(report)
}

/// Why something is missing, of all together and of each check; empty where all is known, or no cause is told.
fn unknown(report: &SlaReportView) -> String {
    let whole = report.unknown.map_or_else(String::new, |unknown| unknown.text(share));
    let whole = Some(format!("All together: unknown: {whole}\n")).filter(|_| !whole.is_empty());
    let one = |check: &ReportedCheckView| {
        let causes = causes(&check.figures.seconds);
        (!causes.is_empty()).then(|| format!("{}: unknown{causes}\n", clean(&check.check)))
    };
    whole.into_iter().chain(report.checks.iter().filter_map(one)).collect()
}

/// The policy with the versions that counted: `contract (1, 2)`.
fn versions(report: &SlaReportView) -> String {
    if report.policy.contains('@') {
        return report.policy.clone();
    }
    let versions: Vec<String> = report.terms.iter().map(|term| term.version.to_string()).collect();
    match &versions[..] {
        [] => format!("{} (no version was in force)", report.policy),
        [one] => format!("{}@{one}", report.policy),
        _ => format!("{} (versions {})", report.policy, versions.join(", ")),
    }
}

fn bounds(lower: Option<f64>, upper: Option<f64>) -> String {
    lower.zip(upper).map_or_else(
        || "-".into(),
        |(lower, upper)| format!("[{}, {}]", figure::percent_down(lower, 4), figure::percent_up(upper, 4)),
    )
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| figure::percent_down(value, 4))
}

/// With all the digits there are.
fn figures(figures: &ReportedView) -> String {
    figures.availability.map_or_else(|| "none".into(), |value| value.to_string())
}

fn seconds(seconds: f64) -> String {
    format!("{seconds} s")
}

/// Says where the names are found.
fn listed(mut failure: Failure) -> Failure {
    if failure.exit == Exit::NotFound {
        failure.message.push_str(": `sitepulse-collector report list` lists what there is");
    }
    failure
}

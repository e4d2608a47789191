//! `/api/v1/sla-reports`: figures that are stored with all that is needed to make them again, and made again.

use std::cmp::Reverse;

use axum::Json;
use axum::extract::{Extension, Path, State};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::{Bucket, CheckNo, ObjectId};
use sitepulse_model::terms::{Reckoned, Term};
use sitepulse_model::time::UtcMicros;

use crate::app::App;
use crate::book::Check;
use crate::present::Present;
use crate::present::api::{Body, SlaQuery, body};
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::policy::{
    DigestsView, ReportedCheckView, ReportedView, SlaReportBody, SlaReportView, SlaVerificationView, VerifiedCheckView,
};
use crate::present::dto::unknown::CausesView;
use crate::present::list::{List, Listed, Nothing};
use crate::present::policy::{seconds, seconds_view, term_view, terms_of};
use crate::present::problem::{Answer, Code, Problem};
use crate::sla_report::{Change, SlaReport, Verified, find};

/// `POST /api/v1/sla-reports`
pub async fn store(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    request: Body<SlaReportBody>,
) -> Answer<Json<SlaReportView>> {
    let request = body(request)?;
    note.tell(format!("report {}", request.name));
    let report = make(present.app(), &caller.author, request, clock::now()).await?;
    Ok(Json(report_view(&present.app().keep_sla_report(report).await?)))
}

/// Counts what a report is to hold; it is not kept yet.
///
/// # Errors
/// When what is asked for makes no sense, or the store cannot be read.
pub async fn make(app: &App, author: &str, request: SlaReportBody, now: UtcMicros) -> Answer<SlaReport> {
    let name = ObjectId::parse(&request.name)
        .map_err(|error| Problem::new(Code::BadRequest, format!("the report's name: {error}")))?;
    let query = SlaQuery::of(&request);
    let period = query.period(&app.book(), now)?;
    let numbers = {
        let book = app.book();
        let checks = query.checks_then(&book, now)?;
        checks.iter().map(|check| number(check)).collect::<Vec<_>>()
    };
    // Read first: an amendment that comes in between is told as one too many, never as none.
    let amendments = app.newest_amendments(numbers.clone()).await?;
    let (app, author) = (app.clone(), author.to_owned());
    let report = tokio::task::spawn_blocking(move || {
        let policy = request.policy.as_deref().unwrap_or(sitepulse_model::accounting::BUILT_IN);
        let terms = terms_of(&app, policy, period)?;
        let book = app.book();
        let checks: Vec<(&Check, u64)> = numbers
            .iter()
            .zip(amendments)
            .filter_map(|((_, check), amendment)| Some((book.check(*check)?, amendment)))
            .collect();
        Ok::<_, Problem>(SlaReport::of(&book, name.as_str(), &checks, &terms, period, (&author, now)))
    });
    report.await.map_err(|_| Problem::new(Code::Unavailable, "the collector is shutting down"))?
}

/// `GET /api/v1/sla-reports`: the newest first.
pub async fn list(State(present): State<Present>, list: List<Nothing>) -> Answer<Listed<SlaReportView>> {
    let reports = present.app().sla_reports().await?;
    let listed = list.page.of_all(reports, |report| (Reverse(report.made_us), report.name.clone()))?;
    Ok(listed.map(|report| report_view(&report)))
}

/// `GET /api/v1/sla-reports/{name}`
pub async fn one(State(present): State<Present>, Path(name): Path<String>) -> Answer<Json<SlaReportView>> {
    Ok(Json(report_view(&stored(&present, &name).await?)))
}

/// `GET /api/v1/sla-reports/{name}/verify`
pub async fn verify(State(present): State<Present>, Path(name): Path<String>) -> Answer<Json<SlaVerificationView>> {
    let report = stored(&present, &name).await?;
    let numbers = {
        let book = present.app().book();
        report.checks.iter().map(|check| find(&book, &check.id).map(number)).collect()
    };
    let amendments = present.app().amended_since(&report, numbers).await?;
    let app = present.app().clone();
    let (report, verified, hours_moved) = present
        .beside(move || {
            // A policy that nobody finds any more counts as kept.
            let fresh = terms_of(&app, &report.policy, report.period()).ok();
            let hours_moved = fresh.is_some_and(|fresh| report.hours_moved(&fresh.terms));
            let verified = report.verify(&app.book(), &amendments);
            (report, verified, hours_moved)
        })
        .await?;
    let checks: Vec<VerifiedCheckView> = report
        .checks
        .iter()
        .zip(&verified)
        .map(|(kept, verified)| verified_view(&kept.id, &kept.reckoned, verified))
        .collect();
    Ok(Json(SlaVerificationView {
        name: report.name,
        same: checks.iter().all(|check| check.same),
        hours_moved,
        checks,
    }))
}

async fn stored(present: &Present, name: &str) -> Answer<SlaReport> {
    present.app().sla_report(name).await?.ok_or_else(|| Problem::not_found("report", name))
}

fn number(check: &Check) -> (Bucket, CheckNo) {
    (check.id.bucket(), check.number)
}

fn report_view(report: &SlaReport) -> SlaReportView {
    let at = |us: i64| instant::format(sitepulse_model::time::UtcMicros(us));
    let terms: Vec<Term> = report.terms();
    let together = report.together();
    SlaReportView {
        name: report.name.clone(),
        made: at(report.made_us),
        author: report.author.clone(),
        build: report.build.clone(),
        from: at(report.from_us),
        to: at(report.to_us),
        policy: report.policy.clone(),
        terms: terms.iter().map(|term| term_view(term, report.period())).collect(),
        availability: together.availability,
        completeness: together.completeness,
        unknown: together.unknown.as_ref().map(CausesView::shares),
        lower: together.lower,
        upper: together.upper,
        checks: report
            .checks
            .iter()
            .map(|check| ReportedCheckView {
                check: check.id.clone(),
                weight: f64::from(check.weight) / 1000.0,
                from: at(check.from_us),
                to: at(check.to_us),
                figures: reported_view(&check.reckoned),
                digests: DigestsView {
                    verdicts: check.digests.verdicts.clone(),
                    definitions: check.digests.definitions.clone(),
                    control: check.digests.control.clone(),
                },
            })
            .collect(),
    }
}

fn reported_view(reckoned: &Reckoned) -> ReportedView {
    let (counts, budget) = (&reckoned.counts, reckoned.budget());
    ReportedView {
        availability: counts.availability(),
        weighted_availability: counts.weighted_availability(),
        completeness: counts.completeness(),
        lower: counts.lower(),
        upper: counts.upper(),
        weighted_lower: counts.weighted_lower(),
        weighted_upper: counts.weighted_upper(),
        met: reckoned.met(),
        budget_seconds: seconds(budget.allowed_us),
        budget_left_seconds: seconds(budget.left_us),
        seconds: seconds_view(counts),
    }
}

fn verified_view(id: &str, stored: &Reckoned, verified: &Verified) -> VerifiedCheckView {
    let amendments = verified.changes.iter().find_map(|change| match change {
        Change::Amended(count) => Some(*count),
        Change::Gone | Change::Definitions | Change::Control | Change::Verdicts | Change::Counting => None,
    });
    VerifiedCheckView {
        check: id.to_owned(),
        same: verified.same,
        stored: reported_view(stored),
        now: verified.now.as_ref().map(reported_view),
        changed: verified.changes.iter().map(|change| change.as_str().to_owned()).collect(),
        amendments: amendments.unwrap_or(0),
    }
}

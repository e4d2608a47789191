//! Figures under an accounting policy: `?policy=contract` of figures and explanations, and `GET /api/v1/policies`.

use axum::Json;
use axum::extract::State;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::accounting::{AccountingPolicy, BUILT_IN, Reckoning};
use sitepulse_model::service_hours::HoursError;
use sitepulse_model::terms::{self, Reckoned, Term};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::VerdictSpan;
use tokio::sync::Semaphore;

use crate::app::App;
use crate::book::{Book, Revised};
use crate::policy::trial::{self, Differs, Trial};
use crate::policy::{Drawn, PolicyAsked, PolicyAskedError, Terms, built_in};
use crate::present::Present;
use crate::present::api::{Body, body};
use crate::present::audit::Note;
use crate::present::dto::SlaView;
use crate::present::dto::policy::{
    CountedSecondsView, CountedView, IntervalCountedView, PolicyTrialBody, PolicyTrialCheckView, PolicyTrialView,
    PolicyVersionView, PolicyView, TermView, TriedView,
};
use crate::present::dto::unknown::CausesView;
use crate::present::list::{List, Listed, Nothing};
use crate::present::problem::{Answer, Code, Problem};
use crate::service_hours;

impl From<PolicyAskedError> for Problem {
    fn from(error: PolicyAskedError) -> Self {
        let code = match &error {
            PolicyAskedError::Text(_) => Code::BadRequest,
            PolicyAskedError::Unknown(_) | PolicyAskedError::Version { .. } => Code::NotFound,
        };
        Self::new(code, error.to_string())
    }
}

/// `GET /api/v1/policies`
pub async fn policies(State(present): State<Present>, list: List<Nothing>) -> Answer<Listed<PolicyView>> {
    list.page.of_all(policy_views(&present.app().book()), |policy| (!policy.built_in, policy.id.clone()))
}

/// So many trials at once: each looks at a month of many checks.
static SEATS: Semaphore = Semaphore::const_new(2);

/// What a draft would have made of the last days.
///
/// # Errors
/// When a zone is not in the time zone database; when a stop cut it short.
pub async fn trial(present: &Present, draft: AccountingPolicy) -> Answer<Trial> {
    let closing = || Problem::new(Code::Unavailable, "the collector is shutting down");
    let _seat = SEATS.acquire().await.map_err(|_| closing())?;
    let (app, now) = (present.app().clone(), clock::now());
    present.beside(move || trial::trial(&app, &draft, now)).await?.map_err(lost)
}

/// `POST /api/v1/policy-trials`: looks and changes nothing.
pub async fn try_policy(
    State(present): State<Present>,
    note: Note,
    request: Body<PolicyTrialBody>,
) -> Answer<Json<PolicyTrialView>> {
    let PolicyTrialBody { policy } = body(request)?;
    note.tell(format!("trial of policy {}: nothing changes", policy.id));
    service_hours::validate(&policy).map_err(|error| Problem::new(Code::BadRequest, error.to_string()))?;
    let Trial { before, differ, same, left_out, slos } = trial(&present, policy).await?;
    let tried = |one: &Reckoned| TriedView {
        availability: one.counts.availability(),
        met: one.met(),
        budget_left_seconds: seconds(one.budget().left_us),
    };
    let check = |one: &Differs| PolicyTrialCheckView {
        check: one.check.clone(),
        now: tried(&one.before),
        draft: tried(&one.after),
    };
    let checks = differ.iter().map(check).collect();
    Ok(Json(PolicyTrialView { version: before, days: trial::DAYS, checks, same, left_out, slos }))
}

/// A zone that was there when the policy was written.
fn lost(error: HoursError) -> Problem {
    let what = format!("{error}; this machine's time zone database has lost it: update the system's tzdata");
    Problem::new(Code::Unavailable, what)
}

/// All accounting policies, the built-in one first.
pub fn policy_views(book: &Book) -> Vec<PolicyView> {
    let mut views = vec![policy_view(BUILT_IN, &[built_in()])];
    views.extend(book.objects().policies.iter().map(|(id, versions)| policy_view(id, versions)));
    views
}

fn policy_view(id: &str, versions: &[Revised<AccountingPolicy>]) -> PolicyView {
    let ends = versions.iter().skip(1).map(|next| Some(instant::format(next.effective_from))).chain([None]);
    let version = |(revised, to): (&Revised<AccountingPolicy>, Option<String>)| PolicyVersionView {
        version: revised.version,
        from: (revised.effective_from != UtcMicros::MIN).then(|| instant::format(revised.effective_from)),
        to,
        retired: revised.retired,
        author: revised.author.clone(),
        policy: revised.body.clone(),
    };
    PolicyView {
        id: id.to_owned(),
        built_in: id == BUILT_IN,
        versions: versions.iter().zip(ends).map(version).collect(),
    }
}

/// The terms of a policy over a period, for work beside the tasks. The service hours are laid out without the book's lock: the time zone database may have to be read
/// from the disk.
pub fn terms_of(app: &App, asked: &str, period: Span) -> Answer<Terms> {
    let asked = PolicyAsked::parse(asked)?;
    let drawn = Drawn::of(&app.book(), asked, period)?;
    drawn.terms().map_err(lost)
}

/// Puts the figures that a policy makes of the verdicts in the place of the plain ones.
pub fn count(view: &mut SlaView, terms: &Terms, period: Span, spans: &[VerdictSpan]) {
    let reckoned = Reckoned::of(&terms.terms, spans);
    let counts = &reckoned.counts;
    view.availability = counts.availability();
    view.weighted_availability = counts.weighted_availability();
    view.completeness = counts.completeness();
    view.lower = counts.lower();
    view.upper = counts.upper();
    view.weighted_lower = counts.weighted_lower();
    view.weighted_upper = counts.weighted_upper();
    view.policy = Some(counted_view(terms, period, &reckoned));
}

/// How a policy counted a period.
pub fn counted_view(terms: &Terms, period: Span, reckoned: &Reckoned) -> CountedView {
    let budget = reckoned.budget();
    let inside: Vec<&Term> = terms.terms.iter().filter(|term| !term.span.clip(period).is_empty()).collect();
    let same = inside.windows(2).all(|pair| pair[0].objective == pair[1].objective);
    CountedView {
        id: terms.asked.id.clone(),
        version: terms.asked.version,
        objective: inside.first().filter(|_| same).map(|term| term.objective.to_string()),
        met: reckoned.met(),
        seconds: seconds_view(&reckoned.counts),
        budget_seconds: seconds(budget.allowed_us),
        budget_left_seconds: seconds(budget.left_us),
        terms: inside.into_iter().map(|term| term_view(term, period)).collect(),
    }
}

pub(super) fn term_view(term: &Term, period: Span) -> TermView {
    let span = term.span.clip(period);
    TermView {
        version: term.version,
        from: instant::format(span.from),
        to: instant::format(span.to),
        objective: term.objective.to_string(),
    }
}

/// How a policy counts one interval of an explanation, by each version that does. The intervals' seconds add up to those of the figure.
pub fn interval_counted(terms: &Terms, verdict: &VerdictSpan) -> Vec<IntervalCountedView> {
    let shares = terms::shares(&terms.terms, &[*verdict]);
    let view = |share: terms::Share| {
        let term = share.term.map(|place| &terms.terms[place]);
        IntervalCountedView {
            version: term.map(|term| term.version),
            counts: term.map(|term| term.rules.counting(verdict).1.as_str().to_owned()),
            seconds: CountedSecondsView { unknown_by_cause: None, ..seconds_view(&share.counts) },
        }
    };
    shares.into_iter().map(view).collect()
}

pub(super) fn seconds_view(counts: &Reckoning) -> CountedSecondsView {
    CountedSecondsView {
        counted: seconds(counts.counted_us),
        down: counts.down_seconds(),
        excluded: seconds(counts.excluded_us),
        outside: seconds(counts.outside_us),
        unknown: seconds(counts.unknown_us),
        unknown_by_cause: CausesView::seconds(counts),
    }
}

pub(super) fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

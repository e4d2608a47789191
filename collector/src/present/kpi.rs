//! The KPI banner: how things stand over 24 hours, 7 days or 30 days, in five figures. Reading it changes nothing.
//!
//! - The SLA of all checks together, by the default policy, weighted by check weight, as everywhere; with completeness, bounds, and the change against the period before
//!   ([`period`] says what a period is). What is shown has two decimals and is cut, not rounded; the change is the difference of what is shown.
//! - The incidents that are open now, by severity, and the worst three.
//! - Maintenance debt with its terms ([`debt`]).
//! - The impact score of all checks together, and what it was when the period began.
//! - How long critical incidents took (MTTA, MTTR) against a target for the MTTR of 4 h. The rules are those of [`sitepulse_model::incident::times`].
//!
//! The SLA is the dear part: a pass over the evidence of all checks, twice as long as the period. Days that are over are counted once ([`daily`]); what is left is the two ends. It
//! is made once for all readers and serves for [`SERVES_TIMES`] as long as it took. Where that is long, what was serves until it is made anew, beside. A server makes it as it
//! starts ([`keep`]), and whoever asks before waits for [`WAIT_MS`] at most, a page for [`PAGE_WAIT_MS`]: then the figure is told as pending, and open pages hear when it is there.
//! The book's guard is taken for each check anew, so nobody waits for it.

pub mod banner;
pub mod daily;
pub mod debt;
pub mod period;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sitepulse_daemon::{clock, instant};
use sitepulse_model::incident::Severity;
use sitepulse_model::incident::times::{Times, times};
use sitepulse_model::sla::Together;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::VerdictSpan;
use tokio::sync::{Mutex as Turn, Notify, watch};

use crate::alert::Standing;
use crate::app::App;
use crate::book::{Book, Histories};
use crate::insight::life::State;
use crate::jobs::all;
use crate::present::Present;
use crate::present::dto::incidents::OpenNowView;
use crate::present::dto::kpi::{KpiImpactView, KpiIncidentsView, KpiSlaView, KpiView, ResponseView};
use crate::present::dto::unknown::CausesView;
use crate::present::incidents::{LIST_MAX, incident_view};
use crate::present::jobs::COUNTED_MAX;
use crate::present::problem::{Answer, Code, Problem};
use crate::store::incidents::{self as stored, Asked, Which};
use crate::store::jobs as stored_jobs;
use crate::store::kpi as stored_kpi;
use daily::Daily;
use debt::{DEAD_US, Debt};
use period::{Period, Periods};

/// What the MTTR of critical incidents is to stay below, in microseconds: 4 h.
pub const MTTR_TARGET_US: i64 = 4 * 3_600 * 1_000_000;
/// Open incidents that are shown.
const TOP: usize = 3;
/// Open incidents among which they are looked for: the worst, the oldest first.
const CANDIDATES: usize = 500;
/// The SLA serves at least so long, in microseconds of the monotonic clock.
const SERVES_US_MIN: u64 = 900_000;
/// And at most so long: an hour.
const SERVES_US_MAX: u64 = 3_600_000_000;
/// Between the two, so many times as long as it took to make it.
const SERVES_TIMES: u64 = 100;
/// What took less is made anew while its reader waits, where what it is defined by changed; in microseconds.
const QUICK_US: u64 = 100_000;
/// A reader waits for the first figures of a period at most so long, in milliseconds, where a server makes them beside.
const WAIT_MS: u64 = 1_000;
/// The same of a page, which shows the rest and fetches itself anew once they are there.
pub const PAGE_WAIT_MS: u64 = 20;
/// What expires soon is looked for so often, in microseconds: 10 s.
const EXPIRING_US: u64 = 10_000_000;
/// Most zones that figures are kept of.
const ZONES_MAX: usize = 16;

/// What is asked for: a period, in a zone.
type Key = (Period, Option<String>);

/// The figures that serve all readers.
#[derive(Default)]
pub(super) struct Shelf {
    newest: Mutex<BTreeMap<Key, Judged>>,
    /// What days came to; who judges anew holds it.
    turn: Arc<Turn<Daily>>,
    /// Somebody judged.
    done: Notify,
    /// Whether a server makes figures beside its readers.
    kept: AtomicBool,
    /// Whether somebody was told that figures are pending, since some were made last.
    owed: AtomicBool,
    /// Grows when figures were made that somebody was told are pending.
    settled: AtomicU64,
    /// What expires soon, and when that was looked for, on the monotonic clock.
    expiring: Mutex<Option<(u64, Vec<String>)>>,
}

#[derive(Debug, Clone)]
struct Judged {
    /// What was defined then.
    defined: (u64, usize),
    periods: Periods,
    now: Together,
    before: Together,
    took: u64,
    /// Good until then, on the monotonic clock.
    until: u64,
    /// Whether it is only being made.
    pending: bool,
}

impl Judged {
    fn serves(&self, defined: (u64, usize)) -> bool {
        clock::monotonic().0 < self.until && (self.defined == defined || self.took > QUICK_US)
    }
}

impl Shelf {
    /// What expires soon: days are meant, so one look at all results serves for [`EXPIRING_US`] where a server runs.
    fn expiring(&self, book: &Book, now: UtcMicros) -> Vec<String> {
        let monotonic = clock::monotonic().0;
        let mut known = self.expiring.lock().unwrap_or_else(PoisonError::into_inner);
        let serves = |at: u64| self.kept.load(Ordering::Relaxed) && monotonic.saturating_sub(at) < EXPIRING_US;
        if let Some((_, names)) = known.as_ref().filter(|(at, _)| serves(*at)) {
            return names.clone();
        }
        let names = debt::expiring(book, now);
        *known = Some((monotonic, names.clone()));
        names
    }

    fn newest(&self, key: &Key) -> Option<Judged> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: Key, judged: Judged) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.len() >= Period::ALL.len() * ZONES_MAX && !newest.contains_key(&key) {
            newest.clear();
        }
        newest.insert(key, judged);
        drop(newest);
        if self.owed.swap(false, Ordering::AcqRel) {
            self.settled.fetch_add(1, Ordering::AcqRel);
        }
        self.done.notify_waiters();
    }

    /// Grows when figures were made that a page shows as pending.
    pub(super) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }
}

/// An instant without the part of its second: for people.
pub fn to_second(at: UtcMicros) -> UtcMicros {
    UtcMicros(at.0 - at.0.rem_euclid(1_000_000))
}

/// Grows with every change of what the figures are defined by.
fn defined(book: &Book) -> (u64, usize) {
    fn versions<T>(histories: &Histories<T>) -> usize {
        histories.iter().map(|(_, versions)| versions.len()).sum()
    }
    (book.version(), versions(&book.objects().windows))
}

impl Present {
    /// The banner of a period, in a zone.
    ///
    /// # Errors
    /// When the zone is not known, the store cannot be read, or the computation was cut short by a stop.
    pub async fn kpi(&self, period: Period, zone: Option<&str>) -> Answer<KpiView> {
        self.kpi_within(period, zone, Duration::from_millis(WAIT_MS)).await
    }

    /// The same; where a server is making its dear figures still they are waited for so long, then told as pending.
    ///
    /// # Errors
    /// As [`Self::kpi`].
    pub async fn kpi_within(&self, period: Period, zone: Option<&str>, patience: Duration) -> Answer<KpiView> {
        let now = clock::now();
        let periods = period.upto(now, zone).map_err(|error| Problem::new(Code::BadRequest, error))?;
        let judged = self.judged((period, zone.map(str::to_owned)), periods, patience).await?;
        let since = periods.before.from;
        let everything = Asked {
            period: Span::new(since, now.plus_us(1)),
            which: Which::Open,
            check: None,
            agent: None,
            kind: None,
            severity: None,
            limit: LIST_MAX,
        };
        let stored = self.app().read_store(move |tables| {
            let open = stored::list(tables, &everything)?;
            let lives = stored::lives(tables, Span::new(since, now.plus_us(1)), None)?;
            let since = now.plus_us(-DEAD_US);
            let overdue = all::late(tables, now, COUNTED_MAX)?.into_iter().map(u32::from).collect();
            let mut failed = stored_kpi::dead_letters(tables, since)?;
            let jobs = stored_jobs::failed(tables, since, COUNTED_MAX)?;
            failed.extend(jobs.iter().map(|job| format!("{} {}", job.kind.as_str(), job.id)));
            Ok((open, lives, (overdue, failed)))
        });
        let (open, lives, (overdue, failed)) = stored.await?;
        let score = self.kpi_score(periods.now).await?;
        // While nothing was looked at nothing tells of them.
        let shelf = &self.app().shared().findings;
        let findings = (!shelf.all_looks().is_empty()).then(|| shelf.standing());
        let response = response(
            &times(&lives, Severity::Critical, Span::new(periods.now.from, now.plus_us(1))),
            &times(&lives, Severity::Critical, periods.before),
        );
        let shelf_of = self.clone();
        let read = self.read(move |book| KpiView {
            period: period.as_str().into(),
            zone: judged.0,
            from: instant::format(judged.1.periods.now.from),
            to: instant::format(judged.1.periods.now.to),
            before_from: instant::format(judged.1.periods.before.from),
            sla: KpiSlaView { pending: judged.1.pending, ..sla(&judged.1.now, &judged.1.before) },
            incidents: incidents(book, &open, now),
            debt: Debt {
                overdue_jobs: Some(overdue),
                failed_jobs: Some(failed),
                expiring: Some(shelf_of.kpi_shelf().expiring(book, now)),
                open_findings: findings.as_ref().map(|all| debt::findings(all, |life| life.state == State::Open)),
                stale_findings: findings.as_ref().map(|all| debt::findings(all, |life| life.stale(now))),
                ..Debt::default()
            }
            .view(),
            response,
            impact: score,
        });
        let mut view = read.await?;
        self.rank(&mut view.incidents.top, now).await?;
        view.incidents.top.sort_by_key(|one| one.rank.as_ref().map_or(usize::MAX, |rank| rank.position));
        view.incidents.top.truncate(TOP);
        Ok(view)
    }

    /// The impact score of all checks together, and what it was when a period began.
    async fn kpi_score(&self, period: Span) -> Answer<Option<KpiImpactView>> {
        let scores = self.scores().await?;
        let Some(whole) = &scores.whole else { return Ok(None) };
        let before = self.impact_near(period.from).await?;
        let raised = whole.raised.as_ref().and_then(|raised| scores.checks.get(&raised.check));
        Ok(Some(KpiImpactView {
            score: whole.points.as_f64(),
            band: whole.band.as_str().to_owned(),
            model: scores.model.label.clone(),
            dominant: whole.dominant().map(|signal| signal.as_str().to_owned()),
            raised_by: raised.map(|check| check.id.to_string()),
            before,
        }))
    }

    /// The SLA of a period and of the one before.
    async fn judged(&self, key: Key, periods: Periods, patience: Duration) -> Answer<(Option<String>, Judged)> {
        let shelf = self.kpi_shelf();
        let now_defined = defined(&self.app().book());
        let known = shelf.newest(&key);
        if let Some(judged) = known.as_ref().filter(|judged| judged.serves(now_defined)) {
            return Ok((key.1, judged.clone()));
        }
        // Where that takes long nobody waits for it but the first.
        if let Some(judged) = known.filter(|judged| judged.took > QUICK_US) {
            self.judge_beside(&key, periods);
            return Ok((key.1, judged));
        }
        if shelf.kept.load(Ordering::Relaxed) {
            let judged = tokio::time::timeout(patience, self.awaited(&key, periods)).await;
            if let Ok(judged) = judged {
                return Ok((key.1, judged));
            }
            shelf.owed.store(true, Ordering::Release);
            // Made between the two: nobody will tell of it.
            let judged = shelf.newest(&key).unwrap_or_else(|| Judged::pending(periods));
            return Ok((key.1, judged));
        }
        let mut turn = Arc::clone(&shelf.turn).lock_owned().await;
        // Whoever had the turn before may have done it.
        if let Some(judged) = shelf.newest(&key).filter(|judged| judged.serves(defined(&self.app().book()))) {
            return Ok((key.1, judged));
        }
        let app = self.app().clone();
        let judged = self.beside(move || judge(&app, periods, &mut turn)).await?;
        shelf.put(key.clone(), judged.clone());
        Ok((key.1, judged))
    }

    /// The next figures of a period that serve, made beside.
    async fn awaited(&self, key: &Key, periods: Periods) -> Judged {
        let shelf = self.kpi_shelf();
        loop {
            let done = shelf.done.notified();
            tokio::pin!(done);
            done.as_mut().enable();
            let defined = defined(&self.app().book());
            if let Some(judged) = shelf.newest(key).filter(|judged| judged.serves(defined)) {
                return judged;
            }
            self.judge_beside(key, periods);
            done.await;
        }
    }

    /// Makes figures anew, unless somebody makes some.
    fn judge_beside(&self, key: &Key, periods: Periods) {
        if let Ok(mut turn) = Arc::clone(&self.kpi_shelf().turn).try_lock_owned() {
            let (present, key) = (self.clone(), key.clone());
            drop(tokio::task::spawn_blocking(move || {
                let judged = judge(present.app(), periods, &mut turn);
                drop(turn);
                present.kpi_shelf().put(key, judged);
            }));
        }
    }
}

/// Makes the figures of every period as a server starts, so that its readers find them; before them what every page reads.
pub async fn keep(present: Present, mut stopping: watch::Receiver<bool>) {
    present.kpi_shelf().kept.store(true, Ordering::Relaxed);
    let make = async {
        // What goes wrong is told to whoever asks.
        drop(present.fresh_snapshot().await);
        for period in Period::ALL {
            // Without a zone a period is one.
            let Ok(periods) = period.upto(clock::now(), None) else { continue };
            present.awaited(&(period, None), periods).await;
        }
    };
    tokio::select! {
        () = make => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

impl Judged {
    /// Of figures that are being made.
    fn pending(periods: Periods) -> Self {
        let (now, before) = (Together::default(), Together::default());
        Self { defined: (0, 0), periods, now, before, took: 0, until: 0, pending: true }
    }
}

fn judge(app: &App, periods: Periods, daily: &mut Daily) -> Judged {
    let began = clock::monotonic().0;
    let (defined, checks) = {
        let book = app.book();
        (defined(&book), book.checks().map(|check| check.number).collect::<Vec<_>>())
    };
    let (now, before) = daily.gather(app, &checks, periods);
    let ended = clock::monotonic().0;
    let took = ended.saturating_sub(began);
    let serves = took.saturating_mul(SERVES_TIMES).clamp(SERVES_US_MIN, SERVES_US_MAX);
    let until = ended.saturating_add(serves);
    Judged { defined, periods, now: now.whole(), before: before.whole(), took, until, pending: false }
}

fn clipped(spans: &[VerdictSpan], period: Span) -> Vec<VerdictSpan> {
    let within = spans.iter().map(|one| VerdictSpan { span: one.span.clip(period), ..*one });
    within.filter(|one| !one.span.is_empty()).collect()
}

/// A ratio in percent, cut to two decimals; what a sum of microseconds misses of a round value by its last bits is forgiven.
fn percent(ratio: f64) -> f64 {
    let scaled = ratio.clamp(0.0, 1.0) * 1e4;
    let nearest = scaled.round();
    (if (scaled - nearest).abs() < 1e-6 { nearest } else { scaled.floor() }) / 100.0
}

fn sla(now: &Together, before: &Together) -> KpiSlaView {
    let (shown, shown_before) = (now.availability.map(percent), before.availability.map(percent));
    // Both are hundredths: their difference is told as exactly.
    let change = shown.zip(shown_before).map(|(now, before)| ((now - before) * 100.0).round() / 100.0);
    KpiSlaView {
        availability: now.availability,
        percent: shown,
        completeness: now.completeness,
        unknown: now.unknown.as_ref().map(CausesView::shares),
        lower: now.lower,
        upper: now.upper,
        checks: now.checks,
        measured: now.measured,
        before: before.availability,
        before_percent: shown_before,
        before_completeness: before.completeness,
        before_lower: before.lower,
        before_upper: before.upper,
        change_points: change,
        pending: false,
    }
}

fn incidents(book: &Book, found: &[Standing], now: UtcMicros) -> KpiIncidentsView {
    let mut open: Vec<&Standing> = found.iter().filter(|one| one.incident.life.state.is_open()).collect();
    open.sort_by_key(|one| (std::cmp::Reverse(one.incident.life.severity), one.incident.life.opened_at));
    let of = |severity| open.iter().filter(|one| one.incident.life.severity == severity).count() as u64;
    KpiIncidentsView {
        open: open.len() as u64,
        by_severity: OpenNowView {
            critical: of(Severity::Critical),
            major: of(Severity::Major),
            minor: of(Severity::Minor),
            info: of(Severity::Info),
        },
        // Cut once they are in the queue's order.
        top: open.iter().take(CANDIDATES).map(|one| incident_view(book, one, now)).collect(),
    }
}

fn response(now: &Times, before: &Times) -> ResponseView {
    let seconds = |us: Option<i64>| us.map(|us| us as f64 / 1e6);
    ResponseView {
        mtta_seconds: seconds(now.mtta_us),
        acknowledged: now.acknowledged,
        mttr_seconds: seconds(now.mttr_us),
        resolved: now.resolved,
        open: now.open,
        mttr_target_seconds: MTTR_TARGET_US as f64 / 1e6,
        mttr_met: now.mttr_us.map(|us| us < MTTR_TARGET_US),
        mtta_before_seconds: seconds(before.mtta_us),
        mttr_before_seconds: seconds(before.mttr_us),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use axum::response::Response;
    use http_body_util::BodyExt;
    use sitepulse_notify::Sender;
    use tower::ServiceExt;

    use super::*;
    use crate::app::ApplyOptions;
    use crate::checkfile::{self, Source};
    use crate::present::door::Door;
    use crate::present::route;
    use crate::present::text::EN;

    const HEARTBEAT: &str = "[[check]]\nid = \"job\"\nkind = \"heartbeat\"\nperiod = \"1h\"\ngrace = \"5m\"\n";

    async fn get(present: &Present, path: &str) -> Response {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Door::Local);
        let answer = route::router(present.clone()).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer
    }

    async fn home(present: &Present) -> String {
        let body = get(present, "/?lang=en").await.into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    }

    /// After a start the figures of weeks take seconds: home says that they are being counted, and its stream says when they are there.
    #[tokio::test]
    async fn home_waits_for_no_figures_and_hears_when_they_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let app = App::open(dir.path(), clock::now()).unwrap();
        let source = Source { name: "checks.toml".into(), text: HEARTBEAT.into() };
        let read = checkfile::parse(&[source]).unwrap();
        let options = ApplyOptions { prune: false, dry_run: false, author: "test".into() };
        app.apply(read, options, clock::now()).await.unwrap();
        let (_stop, stopping) = watch::channel(false);
        let present = Present::new(app, Sender::default(), "https://console.example".into(), stopping);
        let shelf = present.kpi_shelf();
        shelf.kept.store(true, Ordering::Relaxed);
        // Somebody counts, and comes to no end yet.
        let counting = Arc::clone(&shelf.turn).lock_owned().await;
        let page = home(&present).await;
        assert!(page.contains(EN.kpi.pending) && page.contains(EN.kpi.debt), "{page}");
        let again = "<noscript><meta http-equiv=\"refresh\"";
        assert!(page.contains(again), "without scripts nothing else would bring the figure: {page}");
        let told = page.split_once("data-told=\"").unwrap().1.split_once('"').unwrap().0;
        let mut stream = get(&present, &format!("/events?after={told}")).await.into_body();
        drop(counting);
        let day = (Period::Day, None);
        present.awaited(&day, Period::Day.upto(clock::now(), None).unwrap()).await;
        let heard = async {
            loop {
                let frame = stream.frame().await.unwrap().unwrap().into_data().unwrap();
                if String::from_utf8_lossy(&frame).contains("event: figures\n") {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), heard).await.expect("open pages hear of it");
        let whole = home(&present).await;
        assert!(!whole.contains(EN.kpi.pending) && !whole.contains(again), "{whole}");
    }

    fn together(availability: Option<f64>) -> Together {
        Together { availability, ..Together::default() }
    }

    #[test]
    fn the_change_is_the_difference_of_what_is_shown() {
        let figures = sla(&together(Some(0.999_87)), &together(Some(0.999_90)));
        assert_eq!(
            (figures.percent, figures.before_percent, figures.change_points),
            (Some(99.98), Some(99.99), Some(-0.01))
        );
        assert_eq!(sla(&together(Some(1.0)), &together(None)).change_points, None);
        assert_eq!(sla(&together(Some(0.999_999)), &together(Some(1.0))).percent, Some(99.99), "never flattered");
    }

    #[test]
    fn the_target_is_met_below_four_hours() {
        let of = |mttr_us| response(&Times { mttr_us, ..Times::default() }, &Times::default()).mttr_met;
        assert_eq!([of(None), of(Some(MTTR_TARGET_US - 1)), of(Some(MTTR_TARGET_US))], [None, Some(true), Some(false)]);
    }
}

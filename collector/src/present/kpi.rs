//! The KPI banner: how things stand over 24 hours, 7 days or 30 days, in four figures. Reading it changes nothing.
//!
//! - The SLA of all checks together, by the default policy, weighted by check weight, as everywhere; with completeness, bounds, and the change against the period before
//!   ([`period`] says what a period is). What is shown has two decimals and is cut, not rounded; the change is the difference of what is shown.
//! - The incidents that are open now, by severity, and the worst three.
//! - Maintenance debt with its terms ([`debt`]).
//! - How long critical incidents took (MTTA, MTTR) against a target for the MTTR of 4 h. The rules are those of [`sitepulse_model::incident::times`].
//!
//! The SLA is the dear part: a pass over the evidence of all checks, twice as long as the period. It is made once for all readers and serves for [`SERVES_TIMES`] as
//! long as it took. Where that is long, what was serves until it is made anew, beside; only the very first reader waits. The book's guard is taken for each check anew, so nobody
//! waits for it.

pub mod banner;
pub mod debt;
pub mod period;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::CheckNo;
use sitepulse_model::incident::Severity;
use sitepulse_model::incident::times::{Times, times};
use sitepulse_model::sla::{Account, Figures, Together};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::VerdictSpan;
use tokio::sync::Mutex as Turn;

use crate::alert::Standing;
use crate::app::App;
use crate::book::{Book, Filter, Gathered, Histories};
use crate::present::Present;
use crate::present::dto::incidents::OpenNowView;
use crate::present::dto::kpi::{KpiIncidentsView, KpiSlaView, KpiView, ResponseView};
use crate::present::dto::unknown::CausesView;
use crate::present::incidents::{LIST_MAX, incident_view};
use crate::present::problem::{Answer, Code, Problem};
use crate::store::incidents::{self as stored, Asked};
use crate::store::kpi as stored_kpi;
use debt::{DEAD_US, Debt};
use period::{Period, Periods};

/// What the MTTR of critical incidents is to stay below, in microseconds: 4 h.
pub const MTTR_TARGET_US: i64 = 4 * 3_600 * 1_000_000;
/// Open incidents that are shown.
const TOP: usize = 3;
/// The SLA serves at least so long, in microseconds of the monotonic clock.
const SERVES_US_MIN: u64 = 900_000;
/// And at most so long: an hour.
const SERVES_US_MAX: u64 = 3_600_000_000;
/// Between the two, so many times as long as it took to make it.
const SERVES_TIMES: u64 = 100;
/// What took less is made anew while its reader waits, where what it is defined by changed; in microseconds.
const QUICK_US: u64 = 100_000;
/// Most zones that figures are kept of.
const ZONES_MAX: usize = 16;

/// What is asked for: a period, in a zone.
type Key = (Period, Option<String>);

/// The figures that serve all readers.
#[derive(Default)]
pub(super) struct Shelf {
    newest: Mutex<BTreeMap<Key, Judged>>,
    /// Who judges anew holds it.
    turn: Arc<Turn<()>>,
}

#[derive(Clone)]
struct Judged {
    /// What was defined then.
    defined: (u64, usize),
    periods: Periods,
    now: Together,
    before: Together,
    took: u64,
    /// Good until then, on the monotonic clock.
    until: u64,
}

impl Judged {
    fn serves(&self, defined: (u64, usize)) -> bool {
        clock::monotonic().0 < self.until && (self.defined == defined || self.took > QUICK_US)
    }
}

impl Shelf {
    fn newest(&self, key: &Key) -> Option<Judged> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: Key, judged: Judged) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.len() >= Period::ALL.len() * ZONES_MAX && !newest.contains_key(&key) {
            newest.clear();
        }
        newest.insert(key, judged);
    }
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
        let now = clock::now();
        let periods = period.upto(now, zone).map_err(|error| Problem::new(Code::BadRequest, error))?;
        let judged = self.judged((period, zone.map(str::to_owned)), periods).await?;
        let since = periods.before.from;
        let everything = Asked {
            period: Span::new(since, now.plus_us(1)),
            resolved: false,
            check: None,
            agent: None,
            kind: None,
            limit: LIST_MAX,
        };
        let stored = self.app().read_store(move |tables| {
            let open = stored::list(tables, &everything)?;
            let lives = stored::lives(tables, Span::new(since, now.plus_us(1)), None)?;
            Ok((open, lives, stored_kpi::dead_letters(tables, now.plus_us(-DEAD_US))?))
        });
        let (open, lives, dead) = stored.await?;
        let response = response(
            &times(&lives, Severity::Critical, Span::new(periods.now.from, now.plus_us(1))),
            &times(&lives, Severity::Critical, periods.before),
        );
        self.read(move |book| KpiView {
            period: period.as_str().into(),
            zone: judged.0,
            from: instant::format(judged.1.periods.now.from),
            to: instant::format(judged.1.periods.now.to),
            before_from: instant::format(judged.1.periods.before.from),
            sla: sla(&judged.1.now, &judged.1.before),
            incidents: incidents(book, &open, now),
            debt: Debt { failed_jobs: Some(dead), expiring: Some(debt::expiring(book, now)), ..Debt::default() }.view(),
            response,
        })
        .await
    }

    /// The SLA of a period and of the one before.
    async fn judged(&self, key: Key, periods: Periods) -> Answer<(Option<String>, Judged)> {
        let shelf = self.kpi_shelf();
        let now_defined = defined(&self.app().book());
        let known = shelf.newest(&key);
        if let Some(judged) = known.as_ref().filter(|judged| judged.serves(now_defined)) {
            return Ok((key.1, judged.clone()));
        }
        // Where that takes long nobody waits for it but the first.
        if let Some(judged) = known.filter(|judged| judged.took > QUICK_US) {
            if let Ok(turn) = Arc::clone(&shelf.turn).try_lock_owned() {
                let (present, key) = (self.clone(), key.clone());
                drop(tokio::task::spawn_blocking(move || {
                    let judged = judge(present.app(), periods);
                    present.kpi_shelf().put(key, judged);
                    drop(turn);
                }));
            }
            return Ok((key.1, judged));
        }
        let _turn = shelf.turn.lock().await;
        // Whoever had the turn before may have done it.
        if let Some(judged) = shelf.newest(&key).filter(|judged| judged.serves(defined(&self.app().book()))) {
            return Ok((key.1, judged));
        }
        let app = self.app().clone();
        let judged = self.beside(move || judge(&app, periods)).await?;
        shelf.put(key.clone(), judged.clone());
        Ok((key.1, judged))
    }
}

fn judge(app: &App, periods: Periods) -> Judged {
    let began = clock::monotonic().0;
    let (defined, checks) = {
        let book = app.book();
        (defined(&book), book.checks().map(|check| check.number).collect::<Vec<_>>())
    };
    let (mut now, mut before) = (Gathered::default(), Gathered::default());
    for check in checks {
        gather(&app.book(), check, periods, (&mut now, &mut before));
    }
    let ended = clock::monotonic().0;
    let took = ended.saturating_sub(began);
    let serves = took.saturating_mul(SERVES_TIMES).clamp(SERVES_US_MIN, SERVES_US_MAX);
    Judged { defined, periods, now: now.whole(), before: before.whole(), took, until: ended.saturating_add(serves) }
}

/// Adds a check to both periods: its verdicts are found once.
fn gather(book: &Book, check: CheckNo, periods: Periods, (now, before): (&mut Gathered, &mut Gathered)) {
    let Some(check) = book.check(check) else { return };
    let lived = |span: Span| book.period(check, Some(span.from), Some(span.to), span.to);
    let whole = lived(Span::new(periods.before.from, periods.now.to));
    if whole.is_empty() {
        return;
    }
    let spans = book.verdicts(check.number, &Filter::All, whole).unwrap_or_default();
    for (period, gathered) in [(periods.now, now), (periods.before, before)] {
        if let Some(counting) = check.counting(lived(period)) {
            gathered.add(counting, Figures::from(&Account::of(&clipped(&spans, period))));
        }
    }
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
        change_points: change,
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
        top: open.iter().take(TOP).map(|one| incident_view(book, one, now)).collect(),
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
    use super::*;

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

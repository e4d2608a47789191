//! What each day was like for a check, kept: a day that is settled changes by late data and by changed definitions alone, and both are noticed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan as _;
use jiff::tz::TimeZone;
use sitepulse_model::id::CheckNo;
use sitepulse_model::sla::Account;
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::VerdictSpan;

use crate::app::App;
use crate::book::{Book, Check, Filter};
use crate::slo::calendar;

/// Results may confirm or clear what earlier ones began: a day is settled at least this long after its end, in microseconds.
const SETTLES_US: i64 = 6 * 3600 * 1_000_000;
const DAY_US: i64 = 86_400 * 1_000_000;
/// So many days are derived under one guard of the book.
const DAYS_AT_ONCE: usize = 15;

/// A day of the page's zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// `2026-11-22`
    pub date: String,
    /// From midnight to midnight.
    pub span: Span,
}

/// The last days of a zone, oldest first; the last one holds `now`. Of a zone that is not known, those of UTC.
pub fn last(zone: Option<&str>, now: UtcMicros, count: usize) -> Vec<Day> {
    let zone = calendar::zone_of(zone).unwrap_or(TimeZone::UTC);
    let day = |back: usize| {
        let date = calendar::date_at(&zone, now).ok()?.checked_sub(i64::try_from(back).ok()?.days()).ok()?;
        let span =
            Span::new(calendar::start_of(&zone, date).ok()?, calendar::start_of(&zone, date.tomorrow().ok()?).ok()?);
        Some(Day { date: date.to_string(), span })
    };
    (0..count).rev().filter_map(day).collect()
}

/// What was found of a check.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    /// Of each day.
    pub days: Vec<Account>,
    /// Of the last 24 hours.
    pub last_24h: Account,
}

/// What the days of a check depend on beside time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Stamp {
    /// The book's version: definitions, agents, weights, suspensions.
    version: u64,
    /// How many versions of maintenance windows there are.
    windows: usize,
    /// The number of the newest amendment, and how many are kept.
    amended: (u64, usize),
}

impl Stamp {
    fn of(book: &Book, check: &Check) -> Self {
        let windows = book.objects().windows.iter().map(|(_, versions)| versions.len()).sum();
        let amended = (check.amended.last().map_or(0, |one| one.number), check.amended.len());
        Self { version: book.version(), windows, amended }
    }
}

#[derive(Debug, Default)]
struct KeptDays {
    stamp: Stamp,
    /// The accounts of days that are settled, by their beginning.
    settled: BTreeMap<UtcMicros, Account>,
    /// Those of a minute, all of them.
    newest: Option<(UtcMicros, Accounts)>,
}

/// The days of a page's checks.
#[derive(Debug, Default)]
pub struct Kept {
    version: u32,
    checks: BTreeMap<CheckNo, KeptDays>,
}

impl Kept {
    /// Forgets what another version of the page needed, and checks that are not on it any more.
    pub(super) fn begin(&mut self, version: u32, checks: &BTreeSet<CheckNo>) {
        if self.version != version {
            *self = Self { version, checks: BTreeMap::new() };
        }
        self.checks.retain(|check, _| checks.contains(check));
    }

    /// The accounts of a check up to an instant, which moves on by the minute.
    pub(super) fn accounts(&mut self, app: &App, check: CheckNo, days: &[Day], upto: UtcMicros) -> Accounts {
        let kept = self.checks.entry(check).or_default();
        let known = {
            let book = app.book();
            book.check(check).map(|known| (Stamp::of(&book, known), settles_us(known)))
        };
        let Some((stamp, settles_us)) = known else {
            return Accounts { days: vec![Account::default(); days.len()], ..Accounts::default() };
        };
        if kept.stamp != stamp {
            *kept = KeptDays { stamp, ..KeptDays::default() };
        }
        if let Some((_, accounts)) = kept.newest.as_ref().filter(|(at, _)| *at == upto) {
            return accounts.clone();
        }
        let is_settled = |day: &Day| day.span.to.plus_us(settles_us) <= upto;
        let first = days.first().map_or(upto, |day| day.span.from);
        kept.settled.retain(|from, _| *from >= first);
        let missing: Vec<&Day> =
            days.iter().filter(|day| is_settled(day) && !kept.settled.contains_key(&day.span.from)).collect();
        for stretch in missing.chunks(DAYS_AT_ONCE) {
            let Some((first, last)) = stretch.first().zip(stretch.last()) else { continue };
            let spans = verdicts(app, check, Span::new(first.span.from, last.span.to));
            for day in stretch {
                kept.settled.insert(day.span.from, account(&spans, day.span));
            }
        }
        let open: Vec<&Day> = days.iter().filter(|day| !is_settled(day)).collect();
        let yesterday = upto.plus_us(-DAY_US);
        let from = open.first().map_or(yesterday, |day| day.span.from.min(yesterday));
        let spans = verdicts(app, check, Span::new(from, upto));
        let of_day = |day: &Day| {
            let settled = kept.settled.get(&day.span.from).copied().filter(|_| is_settled(day));
            settled.unwrap_or_else(|| account(&spans, Span::new(day.span.from, day.span.to.min(upto))))
        };
        let accounts =
            Accounts { days: days.iter().map(of_day).collect(), last_24h: account(&spans, Span::new(yesterday, upto)) };
        kept.newest = Some((upto, accounts.clone()));
        accounts
    }
}

/// How long after its end a day may still be changed by results that come in on time: a streak that began in it may end after it.
fn settles_us(check: &Check) -> i64 {
    let longest = check.policies().iter().map(|(_, revision, policy)| {
        let streak = i64::from(policy.confirmations.max(policy.recoveries).max(1));
        check.hold_us(*revision).saturating_mul(streak)
    });
    longest.max().unwrap_or(0).max(SETTLES_US)
}

fn verdicts(app: &App, check: CheckNo, span: Span) -> Vec<VerdictSpan> {
    app.book().verdicts(check, &Filter::All, span).unwrap_or_default()
}

/// The account of a part of what verdicts tell.
fn account(spans: &[VerdictSpan], part: Span) -> Account {
    let first = spans.partition_point(|span| span.span.to <= part.from);
    let inside = spans[first..].iter().take_while(|span| span.span.from < part.to);
    let clipped: Vec<VerdictSpan> = inside.map(|span| VerdictSpan { span: span.span.clip(part), ..*span }).collect();
    Account::of(&clipped)
}

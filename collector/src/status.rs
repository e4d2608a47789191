//! What public status pages tell, found out of the book: the state of each item now, what each of the last [`DAYS`] days was like, incidents and maintenance windows.
//!
//! A figure for the public is the lower of the availability and the weighted availability of a check, so that neither an outage that a quorum called nor a regional one is
//! hidden by the other's way of counting; of an item of several checks it is their weighted mean. A day is what happened worst in it. Where there is no evidence, nothing is
//! told: it never counts as up.
//!
//! The book's guard is taken anew for each check. Days that are settled are kept ([`days`]), so asking again costs today alone.

pub mod cancelled;
pub mod days;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use sitepulse_model::coded::Fault;
use sitepulse_model::control::Weight;
use sitepulse_model::id::{CheckNo, Group};
use sitepulse_model::incident::{IncidentKind, Subject};
use sitepulse_model::sla::{Account, Figures, Together};
use sitepulse_model::status_page::{StatusItem, StatusPage};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::Verdict;

use crate::alert::{Record, Standing};
use crate::app::{App, AppError};
use crate::book::{Book, Filter, Occurrence, Revised};
use crate::slo::calendar;
use crate::store::Tables;
use crate::store::incidents::{self as stored, Asked, Which};
use days::{Day, Kept};

/// How many days are shown, today among them.
pub const DAYS: usize = 90;
/// How far back incidents that are over are shown, in microseconds: 14 days.
pub const EPISODES_US: i64 = 14 * 86_400 * 1_000_000;
/// Most incidents of a page.
pub const EPISODES_MAX: usize = 100;
/// Most incidents that are looked through.
const INCIDENTS_MAX: usize = 2_000;
/// Most windows that a page announces.
pub const PLANNED_MAX: usize = 20;
/// How far ahead windows are announced, in days; where there are too many of them, less.
const AHEAD_DAYS: [i64; 3] = [30, 7, 1];
/// Most times of windows that are looked at.
const OCCURRENCES_MAX: usize = 5_000;
const MINUTE_US: i64 = 60 * 1_000_000;
const DAY_US: i64 = 86_400 * 1_000_000;

/// What the public is told of an item, or of a page as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It works.
    Up,
    /// It works badly.
    Degraded,
    /// It does not work for some, or some of it does not.
    Partial,
    /// It does not work.
    Down,
    /// Work is done on it.
    Maintenance,
    /// Nobody can tell.
    Unknown,
}

impl State {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Partial => "partial",
            Self::Down => "down",
            Self::Maintenance => "maintenance",
            Self::Unknown => "unknown",
        }
    }
}

/// A state, and whether of a part of it nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// What is known.
    pub state: State,
    /// Whether nothing is known of a part.
    pub partly: bool,
}

/// What happened to an item on a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayFacts {
    /// The worst of it; [`State::Unknown`] where there is no evidence.
    pub state: State,
    /// Availability; `None` where nothing was measured.
    pub availability: Option<f64>,
    /// For which share of the day there is evidence; `None` where nothing was to be measured.
    pub completeness: Option<f64>,
    /// How long it was down, in microseconds; of several checks, the longest.
    pub down_us: i64,
    /// How long it was down for some.
    pub partial_us: i64,
    /// How long it worked badly.
    pub degraded_us: i64,
    /// How long work was done on it.
    pub maintenance_us: i64,
}

/// One item of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemFacts {
    /// What it is now.
    pub now: Seen,
    /// Each day, oldest first, today last.
    pub days: Vec<DayFacts>,
    /// Over the last 24 hours.
    pub last_24h: Together,
    /// Over the last 7, 30 and 90 days, today among them.
    pub last_days: [Together; 3],
}

/// An incident that a page tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    /// Names it for ever, and tells nothing.
    pub key: [u8; 16],
    /// Which items it is about, by their place on the page.
    pub items: Vec<usize>,
    /// What kind of trouble.
    pub kind: IncidentKind,
    /// What people call it; of one that a person opened.
    pub title: Option<String>,
    /// Since when.
    pub since: UtcMicros,
    /// When it was over.
    pub resolved: Option<UtcMicros>,
    /// How often it was opened again.
    pub reopened: u32,
    /// What people wrote for the public, oldest first.
    pub notes: Vec<(UtcMicros, String)>,
    /// When it was confirmed.
    pub opened: UtcMicros,
    /// When anything about it changed last.
    pub updated: UtcMicros,
}

/// A time that a maintenance window is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Names it for ever, and tells nothing.
    pub key: [u8; 16],
    /// Which items it covers, by their place on the page.
    pub items: Vec<usize>,
    /// When.
    pub span: Span,
    /// Whether it is open now.
    pub open: bool,
    /// When it was announced.
    pub announced: UtcMicros,
}

/// Everything that a page tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The page's version.
    pub version: u32,
    /// When that was applied.
    pub applied: UtcMicros,
    /// What it says.
    pub page: StatusPage,
    /// As of when, in whole minutes; states are newer.
    pub as_of: UtcMicros,
    /// The page as a whole.
    pub overall: Seen,
    /// How many items nothing, or not everything, is known of.
    pub unknown: usize,
    /// The days, oldest first.
    pub days: Vec<Day>,
    /// The items in the page's order.
    pub items: Vec<ItemFacts>,
    /// Incidents, the newest first.
    pub episodes: Vec<Episode>,
    /// Windows that are open or coming, by their beginning.
    pub planned: Vec<Planned>,
}

/// An incident that a page might tell of, with what people wrote for the public.
#[derive(Debug, Clone)]
pub struct Told {
    /// The incident.
    pub standing: Standing,
    /// The notes for the public, oldest first.
    pub notes: Vec<(UtcMicros, String)>,
}

/// What is wrong with a page as it is written, its zone included; but for its id.
pub fn faults(page: &StatusPage) -> Vec<Fault> {
    let zone = page.zone.as_deref().and_then(|zone| calendar::zone_of(Some(zone)).err());
    page.faults().into_iter().chain(zone.map(|error| Fault::new("zone", error))).collect()
}

/// The checks of each item now, in the page's order; none of a check that is retired.
pub fn members(book: &Book, page: &StatusPage) -> Vec<Vec<CheckNo>> {
    let mut members: Vec<Vec<CheckNo>> = vec![Vec::new(); page.items().count()];
    for check in book.checks() {
        let Some(current) = check.current() else { continue };
        let group = current.labels.group.as_ref().map(Group::as_str);
        for (item, found) in page.items().zip(&mut members) {
            if item.covers(check.id.as_str(), group) {
                found.push(check.number);
            }
        }
    }
    members
}

/// Finds out what a page tells.
pub fn take(app: &App, kept: &mut Kept, page: &Revised<StatusPage>, told: &[Told], now: UtcMicros) -> Facts {
    let minute = UtcMicros(now.0 - now.0.rem_euclid(MINUTE_US));
    let days = days::last(page.body.zone.as_deref(), minute, DAYS);
    let members = members(&app.book(), &page.body);
    let all: BTreeSet<CheckNo> = members.iter().flatten().copied().collect();
    kept.begin(page.version, &all);
    let mut found: BTreeMap<CheckNo, Found> = BTreeMap::new();
    for check in &all {
        let accounts = kept.accounts(app, *check, &days, minute);
        let instant = Span::new(now, now.plus_us(1));
        let book = app.book();
        let spans = book.verdicts(*check, &Filter::All, instant).unwrap_or_default();
        let verdict = spans.last().map_or(Verdict::Unknown, |span| span.verdict);
        let weight = book.check(*check).map_or(Weight::ONE, |check| check.newest().definition.weight);
        found.insert(*check, Found { verdict, weight, days: accounts.days, last_24h: accounts.last_24h });
    }
    let items: Vec<ItemFacts> = members.iter().map(|checks| item(checks, &found, days.len())).collect();
    let states: Vec<Seen> = items.iter().map(|item| item.now).collect();
    let unknown = states.iter().filter(|seen| seen.partly || seen.state == State::Unknown).count();
    let (episodes, planned) = news_of(app, &page.body, told, &members, now);
    Facts {
        version: page.version,
        applied: page.effective_from,
        page: page.body.clone(),
        as_of: minute,
        overall: overall(&states),
        unknown,
        days,
        items,
        episodes,
        planned,
    }
}

/// What a page tells of incidents and windows, without its items.
pub fn news(app: &App, page: &StatusPage, told: &[Told], now: UtcMicros) -> (Vec<Episode>, Vec<Planned>) {
    let members = members(&app.book(), page);
    news_of(app, page, told, &members, now)
}

fn news_of(
    app: &App,
    page: &StatusPage,
    told: &[Told],
    members: &[Vec<CheckNo>],
    now: UtcMicros,
) -> (Vec<Episode>, Vec<Planned>) {
    let places = |check: CheckNo| -> Vec<usize> {
        members.iter().enumerate().filter(|(_, checks)| checks.contains(&check)).map(|(at, _)| at).collect()
    };
    let pin = app.ca_pin();
    let key = |what: &str, id: &str| key(&pin, &page.id, what, id);
    let episodes = told.iter().filter_map(|told| episode(page, told, &places, &key)).take(EPISODES_MAX).collect();
    let window = |one: &Occurrence| window_key(&pin, page, &one.window, one.begins);
    let planned = if page.windows { planned(app, now, &places, &window) } else { Vec::new() };
    (episodes, planned)
}

/// The incidents that pages might tell of, the newest first.
///
/// # Errors
/// When the store cannot be read.
pub async fn told(app: &App, now: UtcMicros) -> Result<Vec<Told>, AppError> {
    let asked = Asked {
        period: Span::new(now.plus_us(-EPISODES_US), now.plus_us(1)),
        which: Which::All,
        check: None,
        agent: None,
        kind: None,
        severity: None,
        limit: INCIDENTS_MAX,
    };
    let read = move |tables: Tables<'_>| {
        let mut told = Vec::new();
        for standing in stored::list(tables, &asked)? {
            let notes = if standing.about.public_notes > 0 {
                let entries = stored::entries(tables, &standing.incident.id)?;
                entries
                    .into_iter()
                    .filter_map(|entry| match entry.record {
                        Some(Record::PublicNote { text }) => Some((entry.at, text)),
                        Some(_) | None => None,
                    })
                    .collect()
            } else {
                Vec::new()
            };
            told.push(Told { standing, notes });
        }
        Ok(told)
    };
    app.read_in_background(read).await
}

/// What is found of a check.
struct Found {
    verdict: Verdict,
    weight: Weight,
    days: Vec<Account>,
    last_24h: Account,
}

fn item(checks: &[CheckNo], found: &BTreeMap<CheckNo, Found>, days: usize) -> ItemFacts {
    let theirs: Vec<&Found> = checks.iter().filter_map(|check| found.get(check)).collect();
    let verdicts: Vec<Verdict> = theirs.iter().map(|one| one.verdict).collect();
    // What stands for one check alone is about that check, also where it does not count among others.
    let weight = |one: &Found| if theirs.len() == 1 { Weight::ONE } else { one.weight };
    let together = |account: &dyn Fn(&Found) -> Account| {
        let figures: Vec<(Weight, Figures)> =
            theirs.iter().map(|one| (weight(one), public_figures(&account(one)))).collect();
        Together::of(&figures)
    };
    let day = |at: usize| {
        let accounts: Vec<Account> = theirs.iter().filter_map(|one| one.days.get(at).copied()).collect();
        let figures = together(&|one| one.days.get(at).copied().unwrap_or_default());
        day_facts(&accounts, &figures)
    };
    let last = |count: usize| together(&|one| sum(one.days.iter().rev().take(count)));
    ItemFacts {
        now: item_state(&verdicts),
        days: (0..days).map(day).collect(),
        last_24h: together(&|one| one.last_24h),
        last_days: [7, 30, DAYS].map(last),
    }
}

/// The state of an item from the verdicts of its checks.
fn item_state(verdicts: &[Verdict]) -> Seen {
    let count = |wanted: Verdict| verdicts.iter().filter(|verdict| **verdict == wanted).count();
    let unknown = count(Verdict::Unknown);
    let down = count(Verdict::Down);
    let told = verdicts.len() - unknown - count(Verdict::Maintenance);
    let state = if down > 0 && down == told {
        State::Down
    } else if down + count(Verdict::Regional) > 0 {
        State::Partial
    } else if count(Verdict::Degraded) > 0 {
        State::Degraded
    } else if count(Verdict::Maintenance) > 0 {
        State::Maintenance
    } else if told > 0 {
        State::Up
    } else {
        State::Unknown
    };
    Seen { state, partly: unknown > 0 && state != State::Unknown }
}

/// The state of a page from those of its items: the worst, and of bad and unknown the bad.
fn overall(items: &[Seen]) -> Seen {
    let any = |wanted: State| items.iter().any(|seen| seen.state == wanted);
    let worst = [State::Down, State::Partial, State::Degraded, State::Maintenance, State::Up];
    let state = worst.into_iter().find(|state| any(*state)).unwrap_or(State::Unknown);
    Seen {
        state,
        partly: state != State::Unknown && items.iter().any(|seen| seen.partly || seen.state == State::Unknown),
    }
}

/// The figures of an account for the public: the availability is the lower of both ways to count.
pub fn public_figures(account: &Account) -> Figures {
    let measured = account.measured_us() as f64;
    let whole = measured + account.unknown.total_us() as f64;
    let availability =
        account.availability().zip(account.weighted_availability()).map(|(plain, weighted)| plain.min(weighted));
    let good = availability.unwrap_or(0.0) * measured;
    let of_whole = |part: f64| (whole > 0.0).then(|| (part / whole).clamp(0.0, 1.0));
    Figures {
        availability,
        weighted_availability: availability,
        completeness: account.completeness(),
        unknown: account.unknown_shares(),
        lower: of_whole(good),
        upper: of_whole(good + whole - measured),
        weighted_lower: of_whole(good),
        weighted_upper: of_whole(good + whole - measured),
    }
}

/// Accounts of periods that follow on each other as that of all of them.
pub(crate) fn sum<'a>(accounts: impl Iterator<Item = &'a Account>) -> Account {
    accounts.fold(Account::default(), |mut sum, one| {
        sum.up_us += one.up_us;
        sum.degraded_us += one.degraded_us;
        sum.regional_us += one.regional_us;
        sum.down_us += one.down_us;
        sum.maintenance_us += one.maintenance_us;
        sum.down_share_us += one.down_share_us;
        sum.unknown.agent_stopped_us += one.unknown.agent_stopped_us;
        sum.unknown.agent_offline_us += one.unknown.agent_offline_us;
        sum.unknown.suspended_us += one.unknown.suspended_us;
        sum.unknown.shed_us += one.unknown.shed_us;
        sum.unknown.unassigned_us += one.unknown.unassigned_us;
        sum
    })
}

fn day_facts(accounts: &[Account], figures: &Together) -> DayFacts {
    let longest = |us: fn(&Account) -> i64| accounts.iter().map(us).max().unwrap_or(0);
    let down_us = longest(|account| account.down_us);
    let mut partial_us = longest(|account| account.regional_us);
    let measured = accounts.iter().filter(|account| account.measured_us() > 0).count();
    // Some of it was down, and some was not.
    let some = accounts.iter().filter(|account| account.down_us > 0).count() < measured;
    let (down_us, state) = match (down_us > 0, some) {
        (true, false) => (down_us, State::Down),
        (true, true) => {
            partial_us = partial_us.max(down_us);
            (0, State::Partial)
        }
        (false, _) if partial_us > 0 => (0, State::Partial),
        (false, _) if longest(|account| account.degraded_us) > 0 => (0, State::Degraded),
        (false, _) if measured > 0 => (0, State::Up),
        (false, _) if longest(|account| account.maintenance_us) > 0 => (0, State::Maintenance),
        (false, _) => (0, State::Unknown),
    };
    DayFacts {
        state,
        availability: figures.availability,
        completeness: figures.completeness,
        down_us,
        partial_us,
        degraded_us: longest(|account| account.degraded_us),
        maintenance_us: longest(|account| account.maintenance_us),
    }
}

/// A name that lasts and tells nothing: two collectors never give the same.
pub(crate) fn key(pin: &[u8; 32], page: &str, what: &str, id: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in [pin.as_slice(), page.as_bytes(), what.as_bytes(), id.as_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let hash: [u8; 32] = hash.finalize().into();
    *hash.first_chunk().expect("32 bytes hold 16")
}

/// The name of a time of a window, by its beginning.
pub(crate) fn window_key(pin: &[u8; 32], page: &StatusPage, window: &str, begins: UtcMicros) -> [u8; 16] {
    key(pin, &page.id, "window", &format!("{window}/{}", begins.0))
}

fn episode(
    page: &StatusPage,
    told: &Told,
    places: &dyn Fn(CheckNo) -> Vec<usize>,
    key: &dyn Fn(&str, &str) -> [u8; 16],
) -> Option<Episode> {
    let Standing { incident, about, .. } = &told.standing;
    let life = &incident.life;
    let opened = life.opened_at?;
    if !page.tells_of(incident.kind) {
        return None;
    }
    let (check, title) = match &incident.subject {
        Subject::Check(check) => (*check, None),
        Subject::Manual(_) => (CheckNo(about.check?), about.title.clone()),
        Subject::Agent(_) | Subject::Slo(_) => return None,
    };
    let items = places(check);
    if items.is_empty() {
        return None;
    }
    let newest = told.notes.last().map(|(at, _)| *at);
    let updated = [Some(opened), life.resolved_at, newest].into_iter().flatten().max().unwrap_or(opened);
    Some(Episode {
        key: key("incident", &incident.id.0),
        items,
        kind: incident.kind,
        title,
        since: life.since,
        resolved: life.resolved_at,
        reopened: life.reopened,
        opened,
        notes: told.notes.clone(),
        updated,
    })
}

fn planned(
    app: &App,
    now: UtcMicros,
    places: &dyn Fn(CheckNo) -> Vec<usize>,
    key: &dyn Fn(&Occurrence) -> [u8; 16],
) -> Vec<Planned> {
    let book = app.book();
    let ahead = |days: i64| book.occurrences(None, Span::new(now, now.plus_us(days * DAY_US)), OCCURRENCES_MAX);
    let found: Vec<Occurrence> = AHEAD_DAYS.into_iter().find_map(ahead).unwrap_or_default();
    let one = |one: &Occurrence| {
        let items: BTreeSet<usize> = one.checks.iter().flat_map(|check| places(*check)).collect();
        if items.is_empty() || one.span.to <= now {
            return None;
        }
        let version = book.objects().windows.version(&one.window, one.version);
        Some(Planned {
            key: key(one),
            items: items.into_iter().collect(),
            span: one.span,
            open: one.span.from <= now,
            announced: version.map_or(one.span.from, |version| version.effective_from),
        })
    };
    found.iter().filter_map(one).take(PLANNED_MAX).collect()
}

/// The items of a page with their facts, for whoever shows them.
pub fn named(facts: &Facts) -> impl Iterator<Item = (&StatusItem, &ItemFacts)> {
    facts.page.items().zip(&facts.items)
}

#[cfg(test)]
mod tests;

//! Maintenance that was announced and does not come as announced: its window was cancelled, moved, or ended before its time.
//!
//! It is read out of the versions of windows: a time that lies ahead of the end of one version, and that no later one begins at the same instant for anything of the page.

use std::collections::BTreeSet;

use sitepulse_model::id::CheckNo;
use sitepulse_model::maintenance::MaintenanceWindow;
use sitepulse_model::status_page::StatusPage;
use sitepulse_model::time::{Span, UtcMicros};

use super::{PLANNED_MAX, members, window_key};
use crate::app::App;
use crate::book::Revised;
use crate::maintenance::Timetable;

/// A time of a window that does not come as announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// The name under which it was announced.
    pub key: [u8; 16],
    /// Which items it covered, by their place on the page.
    pub items: Vec<usize>,
    /// When it was to be.
    pub span: Span,
    /// When its window applied last.
    pub ended: UtcMicros,
    /// When it was announced.
    pub announced: UtcMicros,
}

impl Cancelled {
    /// Whether it had begun.
    pub fn begun(&self) -> bool {
        self.span.from < self.ended
    }
}

/// Those of a page that would not be over yet; `ahead_us` is how long before its beginning a time is announced.
pub fn of(app: &App, page: &StatusPage, ahead_us: i64, now: UtcMicros) -> Vec<Cancelled> {
    if !page.windows {
        return Vec::new();
    }
    let (pin, book) = (app.ca_pin(), app.book());
    let mut found = Vec::new();
    let mut known = None;
    for (id, versions) in book.objects().windows.iter() {
        let ended = versions.iter().zip(versions.iter().skip(1)).enumerate();
        for (at, (version, next)) in ended.filter(|(_, (version, _))| !version.retired) {
            for span in given_up(version, next, ahead_us, now) {
                let members = known.get_or_insert_with(|| members(&book, page));
                let items = |window: &MaintenanceWindow| -> Vec<usize> {
                    let named: BTreeSet<CheckNo> = book.named_by(window).map(|check| check.number).collect();
                    let covers = |checks: &[CheckNo]| checks.iter().any(|check| named.contains(check));
                    members.iter().enumerate().filter(|(_, checks)| covers(checks)).map(|(at, _)| at).collect()
                };
                let items_before = items(&version.body);
                let later = &versions[at + 1..];
                let stays = later.iter().any(|later| begins(later, span.from) && !items(&later.body).is_empty());
                if items_before.is_empty() || stays {
                    continue;
                }
                found.push(Cancelled {
                    key: window_key(&pin, page, id, span.from),
                    items: items_before,
                    span,
                    ended: next.effective_from,
                    announced: version.effective_from.max(span.from.plus_us(-ahead_us)),
                });
            }
        }
    }
    found.sort_by_key(|one| one.span);
    found.truncate(PLANNED_MAX);
    found
}

/// The times of a version that were announced before the next one, and are not over by themselves.
fn given_up(
    version: &Revised<MaintenanceWindow>,
    next: &Revised<MaintenanceWindow>,
    ahead_us: i64,
    now: UtcMicros,
) -> Vec<Span> {
    let end = next.effective_from;
    let Ok(timetable) = Timetable::of(&version.body) else { return Vec::new() };
    let announced = |open: &Span| open.from.plus_us(-ahead_us) < end;
    timetable.open_after(end).take_while(announced).filter(|open| open.to > now).take(PLANNED_MAX).collect()
}

/// Whether a version has a time that begins at an instant.
fn begins(version: &Revised<MaintenanceWindow>, at: UtcMicros) -> bool {
    let timetable = if version.retired { None } else { Timetable::of(&version.body).ok() };
    timetable.is_some_and(|it| it.open_after(at).take_while(|open| open.from <= at).any(|open| open.from == at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3600 * 1_000_000;
    const DAY_US: i64 = 24 * HOUR_US;

    /// A version of a window that applies from so many hours on.
    fn version(hour: i64, keys: &str, retired: bool) -> Revised<MaintenanceWindow> {
        let text = format!("[[maintenance]]\nid = \"w\"\nchecks = [\"shop\"]\n{keys}\n");
        let file = crate::checkfile::Source { name: "w".to_owned(), text };
        let written = crate::checkfile::parse(&[file]).unwrap();
        let crate::book::Object::Maintenance(body) = written.objects[0].object.clone() else { panic!("a window") };
        let effective_from = at("2026-11-23T00:00:00Z").plus_us(hour * HOUR_US);
        Revised { version: 1, effective_from, retired, author: "collector:test".to_owned(), body }
    }

    fn at(text: &str) -> UtcMicros {
        sitepulse_daemon::instant::parse(text, UtcMicros(0)).unwrap()
    }

    const ONCE: &str = "from = 2026-11-25T08:00:00Z\nlasts = \"2h\"";
    const WEEKLY: &str = "from = 2026-11-25T08:00:00Z\nlasts = \"2h\"\nrrule = \"FREQ=WEEKLY\"";

    #[test]
    fn a_time_that_was_announced_and_is_not_over_is_given_up() {
        let told = |version: &Revised<MaintenanceWindow>, next: &Revised<MaintenanceWindow>, now: &str| {
            given_up(version, next, 3 * DAY_US, at(now)).len()
        };
        let (once, gone) = (version(0, ONCE, false), version(10, ONCE, true));
        assert_eq!(told(&once, &gone, "2026-11-23T10:00:00Z"), 1);
        assert_eq!(told(&once, &gone, "2026-11-25T10:00:00Z"), 0, "it would be over");
        // Nobody had heard of the next week's.
        assert_eq!(told(&version(0, WEEKLY, false), &gone, "2026-11-23T10:00:00Z"), 1);
        assert_eq!(told(&version(-100, ONCE, false), &version(-80, ONCE, true), "2026-11-23T10:00:00Z"), 0);
        // While it is open, and after its end.
        assert_eq!(told(&once, &version(57, ONCE, true), "2026-11-25T09:00:00Z"), 1);
        assert_eq!(told(&once, &version(60, ONCE, true), "2026-11-25T09:00:00Z"), 0);
    }

    #[test]
    fn a_time_stays_where_the_next_version_begins_it() {
        let begin = at("2026-11-25T08:00:00Z");
        assert!(begins(&version(10, WEEKLY, false), begin));
        assert!(begins(&version(10, "from = 2026-11-25T08:00:00Z\nlasts = \"5m\"", false), begin));
        assert!(!begins(&version(10, "from = 2026-11-25T07:59:00Z\nlasts = \"5h\"", false), begin));
        assert!(!begins(&version(10, WEEKLY, true), begin));
    }
}

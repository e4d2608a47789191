//! Who is on call by every schedule, at any instant: part of the book.
//!
//! A version of a schedule counts from its own instant until the next one's, so that the past stays as it was when a schedule is changed; the newest one tells the
//! future. Overrides that are given on the spot stand above all of it, later ones above earlier ones, from when they were given until they end or are taken back.
//! Who is no user any more stands in for nobody.

use std::collections::BTreeMap;
use std::fmt;

use sitepulse_model::incident::Severity;
use sitepulse_model::oncall::roster::{By, OnCall, Roster, Shift, around, laid_over};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::user::User;

use super::zone::WallZone;
use crate::book::{Book, Object, Revised};

/// Somebody stands in, as given on the spot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpotOverride {
    /// The schedule's id.
    pub schedule: String,
    /// Counts a schedule's from 1.
    pub number: u32,
    /// Who stands in.
    pub user: String,
    /// When, as asked for: not before it was given.
    pub span: Span,
    /// When it was given.
    pub given: UtcMicros,
    /// Who gave it.
    pub author: String,
    /// When it was taken back, and by whom.
    pub ended: Option<(UtcMicros, String)>,
}

impl SpotOverride {
    /// When it counts.
    pub fn counts(&self) -> Span {
        let to = self.ended.as_ref().map_or(self.span.to, |(at, _)| self.span.to.min(*at));
        Span::new(self.span.from, to)
    }
}

/// What the calendar of a schedule is signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct FeedKey(pub [u8; 32]);

impl fmt::Debug for FeedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FeedKey(..)")
    }
}

/// A version of a schedule.
#[derive(Debug)]
struct Dated {
    from: UtcMicros,
    /// `None`: it ended here.
    roster: Option<(Roster, WallZone)>,
}

/// What is known of duty beside what is written as code.
#[derive(Debug, Default)]
pub struct Duty {
    rosters: BTreeMap<String, Vec<Dated>>,
    zones: BTreeMap<String, WallZone>,
    spot: BTreeMap<String, Vec<SpotOverride>>,
    feeds: BTreeMap<String, FeedKey>,
}

impl Duty {
    /// Takes in a version of what is written as code.
    pub(crate) fn insert_object(&mut self, revised: &Revised<Object>) {
        let zone = match &revised.body {
            Object::Schedule(schedule) => {
                let read = Roster::of(schedule).ok().zip(WallZone::named(&schedule.zone).ok());
                if read.is_none() && !revised.retired {
                    tracing::warn!(
                        schedule = schedule.id,
                        "the schedule cannot be read by this build or this machine's time zone database: nobody is on call by it"
                    );
                }
                let dated = Dated { from: revised.effective_from, roster: read.filter(|_| !revised.retired) };
                self.rosters.entry(schedule.id.clone()).or_default().push(dated);
                &schedule.zone
            }
            Object::User(User { zone: Some(zone), .. }) => zone,
            Object::User(_)
            | Object::Policy(_)
            | Object::Slo(_)
            | Object::Maintenance(_)
            | Object::Channel(_)
            | Object::Escalation(_)
            | Object::StatusPage(_)
            | Object::Scoring(_)
            | Object::Playbook(_) => return,
        };
        if let Ok(found) = WallZone::named(zone) {
            self.zones.insert(zone.clone(), found);
        }
    }

    /// Takes in an override given on the spot, or its end.
    pub(crate) fn insert_override(&mut self, one: SpotOverride) {
        let of = self.spot.entry(one.schedule.clone()).or_default();
        match of.iter_mut().find(|known| known.number == one.number) {
            Some(known) => *known = one,
            None => of.push(one),
        }
    }

    pub(crate) fn insert_feed(&mut self, schedule: String, key: FeedKey) {
        self.feeds.insert(schedule, key);
    }

    /// The overrides that were given on the spot, in the order of their giving.
    pub fn overrides(&self, schedule: &str) -> &[SpotOverride] {
        self.spot.get(schedule).map_or(&[], Vec::as_slice)
    }

    /// What a schedule's calendar is signed with, where one was asked for.
    pub(crate) fn feed(&self, schedule: &str) -> Option<&FeedKey> {
        self.feeds.get(schedule)
    }

    /// The clock of a zone that some user or schedule names.
    pub(crate) fn zone(&self, name: Option<&str>) -> WallZone {
        name.and_then(|name| self.zones.get(name)).cloned().unwrap_or(WallZone::UTC)
    }
}

impl Book {
    /// Who is on call by a schedule over a span: stretches that follow on each other. Nobody is by an unknown one.
    pub fn shifts(&self, schedule: &str, within: Span) -> Vec<Shift> {
        if within.is_empty() {
            return Vec::new();
        }
        let duty = self.duty();
        let versions = duty.rosters.get(schedule).map_or(&[][..], Vec::as_slice);
        let mut shifts = Vec::new();
        let before = Span::new(UtcMicros::MIN, versions.first().map_or(UtcMicros::MAX, |first| first.from));
        let ends = versions.iter().skip(1).map(|next| next.from).chain([UtcMicros::MAX]);
        let versions = versions.iter().zip(ends).map(|(dated, to)| (Span::new(dated.from, to), dated.roster.as_ref()));
        for (applies, roster) in [(before, None)].into_iter().chain(versions) {
            let span = applies.clip(within);
            match roster {
                _ if span.is_empty() => {}
                Some((roster, zone)) => join(&mut shifts, roster.over(zone, span)),
                None => join(&mut shifts, vec![Shift { span, on_call: None }]),
            }
        }
        for one in duty.overrides(schedule) {
            let on_call = Some(OnCall { user: one.user.clone(), by: By::OnTheSpot(one.number) });
            let gone = self.objects().users.versions(&one.user).last().filter(|revised| revised.retired);
            let known = Span::new(UtcMicros::MIN, gone.map_or(UtcMicros::MAX, |gone| gone.effective_from));
            let span = one.counts().clip(within).clip(known);
            shifts = laid_over(shifts, vec![Shift { span, on_call }]);
        }
        shifts
    }

    /// Who is on call by a schedule at an instant.
    pub fn on_call(&self, schedule: &str, at: UtcMicros) -> Option<OnCall> {
        self.shifts(schedule, Span::new(at, at.plus_us(1))).into_iter().next()?.on_call
    }

    /// The whole shift that an instant lies in, and the next one in which somebody is on call.
    pub fn shift_at(&self, schedule: &str, at: UtcMicros) -> (Shift, Option<Shift>) {
        around(at, |within| self.shifts(schedule, within))
    }

    /// Until when a message to a user about such an incident is held back by their quiet hours; `None`: it goes out.
    pub fn quiet_until(&self, user: &User, severity: Severity, at: UtcMicros) -> Option<UtcMicros> {
        user.quiet.as_ref()?.hold(&self.duty().zone(user.zone.as_deref()), severity, at)
    }
}

/// Adds what follows. Where a version of the schedule changes nothing about a shift, the shift goes on.
fn join(shifts: &mut Vec<Shift>, more: Vec<Shift>) {
    let mut more = more.into_iter().peekable();
    if let (Some(last), Some(first)) = (shifts.last_mut(), more.peek())
        && last.on_call == first.on_call
    {
        last.span.to = first.span.to;
        more.next();
    }
    shifts.extend(more);
}

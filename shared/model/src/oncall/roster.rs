//! Who is on call: layers and overrides laid over each other, as stretches of time.
//!
//! The `n`th turn of a layer begins at `first + n * rotation` on the wall, whatever the rotation is: a daily handoff stays at 09:00 over a change of the clocks, and
//! so do handoffs each 12 h at 09:00 and 21:00, so that a turn in such a night lasts an hour more or less. A handoff that is skipped is made right after the gap, one
//! that is shown twice at the first of the two ([`crate::wall`]). A turn that lasts no time, because it begins and ends in the gap, is nobody's.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Rhythm, Schedule};
use crate::coded::Fault;
use crate::time::{Span, UtcMicros, union};
use crate::wall::{DAY_US, Stretch, WallMicros, Zone};

/// How far around a question turns are looked for at most, in microseconds: a turn lasts 366 days.
const AROUND_US_MAX: i64 = 800 * DAY_US;
/// How far at first.
const AROUND_US_MIN: i64 = 2 * DAY_US;

/// Why somebody is on call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// A layer, from 1, the lowest first.
    Layer(usize),
    /// An override that is written as code, from 1.
    Override(usize),
    /// An override that was given on the spot, by its number.
    OnTheSpot(u32),
}

/// Somebody on call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnCall {
    /// The user's id.
    pub user: String,
    /// Why.
    pub by: By,
}

/// A stretch of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// When.
    pub span: Span,
    /// Who; `None`: nobody.
    pub on_call: Option<OnCall>,
}

/// A schedule that was read.
#[derive(Debug, Clone)]
pub struct Roster {
    layers: Vec<Turns>,
    overrides: Vec<(WallMicros, WallMicros, String)>,
}

/// A layer that was read.
#[derive(Debug, Clone)]
struct Turns {
    users: Vec<String>,
    rhythm: Rhythm,
    hours: Vec<Stretch>,
    end: Option<WallMicros>,
}

impl Roster {
    /// Reads a schedule.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(schedule: &Schedule) -> Result<Self, Vec<Fault>> {
        let faults = schedule.faults();
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut layers = Vec::new();
        for layer in &schedule.layers {
            layers.push(Turns {
                users: layer.users.clone(),
                rhythm: layer.rhythm()?,
                hours: layer.stretches()?,
                end: layer.end().map_err(|fault| alloc::vec![fault])?,
            });
        }
        let mut overrides = Vec::new();
        for one in &schedule.overrides {
            let (from, to) = one.ends()?;
            overrides.push((from, to, one.user.clone()));
        }
        Ok(Self { layers, overrides })
    }

    /// Who is on call over a span: stretches that follow on each other, from its beginning to its end.
    pub fn over(&self, zone: &impl Zone, within: Span) -> Vec<Shift> {
        if within.is_empty() {
            return Vec::new();
        }
        let mut shifts = alloc::vec![Shift { span: within, on_call: None }];
        for (at, layer) in self.layers.iter().enumerate() {
            shifts = laid_over(shifts, layer.pieces(zone, within, By::Layer(at + 1)));
        }
        for (at, (from, to, user)) in self.overrides.iter().enumerate() {
            let on_call = Some(OnCall { user: user.clone(), by: By::Override(at + 1) });
            let span = Span::new(zone.instant(*from), zone.instant(*to)).clip(within);
            shifts = laid_over(shifts, alloc::vec![Shift { span, on_call }]);
        }
        shifts
    }
}

impl Turns {
    /// The layer's turns within a span, in order.
    fn pieces(&self, zone: &impl Zone, within: Span, by: By) -> Vec<Shift> {
        let end = self.end.map_or(within.to, |end| zone.instant(end).min(within.to));
        let within = Span::new(within.from, end);
        if within.is_empty() {
            return Vec::new();
        }
        let hours = if self.hours.is_empty() {
            alloc::vec![within]
        } else {
            union(self.hours.iter().flat_map(|stretch| stretch.spans(zone, within)).collect())
        };
        let mut covered = hours.into_iter().peekable();
        let mut nth = self.turn_at(zone, within.from).unwrap_or(0);
        let mut pieces = Vec::new();
        loop {
            let turn = Span::new(self.begins(zone, nth), self.begins(zone, nth + 1));
            if turn.from >= within.to {
                return pieces;
            }
            let user = &self.users[nth.rem_euclid(self.users.len() as i64) as usize];
            while let Some(stretch) = covered.peek() {
                let span = stretch.clip(turn).clip(within);
                if !span.is_empty() {
                    pieces.push(Shift { span, on_call: Some(OnCall { user: user.clone(), by }) });
                }
                if stretch.to > turn.to {
                    break;
                }
                covered.next();
            }
            nth += 1;
        }
    }

    /// When a turn begins.
    fn begins(&self, zone: &impl Zone, nth: i64) -> UtcMicros {
        zone.instant(WallMicros(self.rhythm.first.0.saturating_add(nth.saturating_mul(self.rhythm.every_us))))
    }

    /// The turn that an instant lies in; `None` before the first.
    fn turn_at(&self, zone: &impl Zone, at: UtcMicros) -> Option<i64> {
        // What the clock shows may be less than it showed before: no clock was ever set back by more than a day.
        let latest = zone.wall(at).0.saturating_add(DAY_US);
        let mut nth = latest.saturating_sub(self.rhythm.first.0).div_euclid(self.rhythm.every_us);
        while nth >= 0 && self.begins(zone, nth) > at {
            nth -= 1;
        }
        (nth >= 0).then_some(nth)
    }
}

/// Lays stretches over others. Both are in order and do not overlap among themselves.
pub fn laid_over(below: Vec<Shift>, mut above: Vec<Shift>) -> Vec<Shift> {
    above.retain(|over| !over.span.is_empty());
    let mut out = Vec::with_capacity(below.len() + above.len());
    let mut first = 0;
    for Shift { span, on_call } in below {
        let mut from = span.from;
        while above.get(first).is_some_and(|over| over.span.to <= span.from) {
            first += 1;
        }
        for over in above[first..].iter().take_while(|over| over.span.from < span.to) {
            let shows = Span::new(from, over.span.from);
            if !shows.is_empty() {
                out.push(Shift { span: shows, on_call: on_call.clone() });
            }
            from = over.span.to;
        }
        let rest = Span::new(from, span.to);
        if !rest.is_empty() {
            out.push(Shift { span: rest, on_call });
        }
    }
    out.extend(above);
    out.sort_by_key(|shift| shift.span.from);
    out
}

/// The stretch that an instant lies in, whole as far as it lasts, and the next one in which somebody is on call, by a function that tells the stretches over a span.
/// Looks 800 days around at most.
pub fn around(at: UtcMicros, over: impl Fn(Span) -> Vec<Shift>) -> (Shift, Option<Shift>) {
    let mut reach = AROUND_US_MIN;
    loop {
        let within = Span::new(at.plus_us(-reach), at.plus_us(reach));
        let shifts = over(within);
        let place = shifts.iter().position(|shift| shift.span.contains(at));
        let shift = place.map_or(Shift { span: within, on_call: None }, |place| shifts[place].clone());
        let later = place.map_or(shifts.len(), |place| place + 1);
        let next = shifts[later..].iter().find(|shift| shift.on_call.is_some()).cloned();
        let whole = |shift: &Shift| shift.span.from > within.from && shift.span.to < within.to;
        if reach >= AROUND_US_MAX || (whole(&shift) && next.as_ref().is_some_and(whole)) {
            return (shift, next);
        }
        reach = (reach * 8).min(AROUND_US_MAX);
    }
}

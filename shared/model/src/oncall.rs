//! On-call schedules as they are written: whose turn it is, when they hand over, who stands in.
//!
//! A schedule is a pile of layers; a later one stands above the earlier ones, as in other products. A layer's users take turns by a rotation; where a layer names
//! hours it covers those alone, and what lies below shows through elsewhere. Overrides stand above all layers, a later one above an earlier one.
//! [`roster`] says who that leaves on call.

pub mod roster;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::coded::{Fault, NAMES_MAX, Reference, Referent};
use crate::duration;
use crate::wall::{DAY_US, Stretch, WallMicros, day_of_week, time_of_day, weekday};

/// Most layers of a schedule.
pub const LAYERS_MAX: usize = 20;
/// Most stretches of hours of a layer.
pub const HOURS_MAX: usize = 50;
/// The shortest turn, in microseconds: an hour.
const TURN_US_MIN: u64 = 3_600_000_000;
/// The longest turn, in microseconds: 366 days.
const TURN_US_MAX: u64 = 366 * DAY_US as u64;

/// An on-call schedule, as it is written as code: a `[[schedule]]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Its id: a slug.
    pub id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The IANA time zone whose wall clock counts.
    pub zone: String,
    /// The layers, the lowest first.
    pub layers: Vec<Layer>,
    /// Who stands in when; above all layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

/// A layer: users who take turns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Who, in order; one may be named again.
    pub users: Vec<String>,
    /// How long a turn is: `weekly`, `daily`, or a duration like `12h` or `3d`.
    pub rotation: String,
    /// When turns begin: `mon 09:00` with `weekly`, else `09:00`.
    pub handoff: String,
    /// The first turn begins with the first handoff that is not before this: `2026-11-01` or `2026-11-01T09:00`, on the wall.
    pub start: String,
    /// When the layer covers; always where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Hours>,
    /// The layer ends here, on the wall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Hours that a layer covers, by the time on the wall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// The days on which they begin; every day where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// When they begin: `09:00`.
    pub from: String,
    /// When they end: `18:00`; of the next day where that is not after `from`.
    pub to: String,
}

/// Somebody stands in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Who.
    pub user: String,
    /// From when on, on the wall.
    pub from: String,
    /// Up to when, on the wall.
    pub to: String,
}

/// When turns begin, on the wall: the `n`th, from 0, at `first + n * every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rhythm {
    pub(crate) first: WallMicros,
    pub(crate) every_us: i64,
}

impl Layer {
    /// When its turns begin.
    pub(crate) fn rhythm(&self) -> Result<Rhythm, Vec<Fault>> {
        let mut faults = Vec::new();
        let start = WallMicros::parse(&self.start).map_err(|what| faults.push(Fault::new("start", what))).ok();
        let every = every_us(&self.rotation).map_err(|what| faults.push(Fault::new("rotation", what))).ok();
        let weekly = self.rotation == "weekly";
        let handoff = handoff(&self.handoff, weekly).map_err(|what| faults.push(Fault::new("handoff", what))).ok();
        let (Some(start), Some(every_us), Some((day, minute))) = (start, every, handoff) else { return Err(faults) };
        let ahead = day.map_or(0, |day| (day + 7 - weekday(start.day())) % 7) as i64;
        let mut first = WallMicros::of(start.day() + ahead, minute);
        if first < start {
            first.0 += if weekly { 7 * DAY_US } else { DAY_US };
        }
        Ok(Rhythm { first, every_us })
    }

    /// When it ends, on the wall.
    pub(crate) fn end(&self) -> Result<Option<WallMicros>, Fault> {
        let end = self.until.as_deref().map(WallMicros::parse).transpose();
        end.map_err(|what| Fault::new("until", what))
    }

    /// The hours that it covers.
    pub(crate) fn stretches(&self) -> Result<Vec<Stretch>, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut stretches = Vec::new();
        for (at, hours) in self.hours.iter().enumerate() {
            match Stretch::parse(&hours.days, &hours.from, &hours.to) {
                Ok(stretch) => stretches.push(stretch),
                Err(wrong) => {
                    faults.extend(wrong.into_iter().map(|(key, what)| Fault::new(format!("hours[{at}].{key}"), what)));
                }
            }
        }
        if faults.is_empty() { Ok(stretches) } else { Err(faults) }
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.users.is_empty() || self.users.len() > NAMES_MAX {
            let message = format!("{} users: name 1 to {NAMES_MAX}, in the order of their turns", self.users.len());
            faults.push(Fault::new("users", message));
        }
        if self.hours.len() > HOURS_MAX {
            faults
                .push(Fault::new("hours", format!("{} stretches: at most {HOURS_MAX} are allowed", self.hours.len())));
        }
        faults.extend(self.stretches().err().unwrap_or_default());
        let rhythm = self.rhythm().map_err(|wrong| faults.extend(wrong)).ok();
        let end = self.end().map_err(|wrong| faults.push(wrong)).ok().flatten();
        if let (Some(rhythm), Some(end)) = (rhythm, end)
            && end <= rhythm.first
        {
            faults.push(Fault::new("until", "the layer ends before its first turn begins: write a later end"));
        }
        faults
    }
}

impl Override {
    /// Its two ends, on the wall.
    pub(crate) fn ends(&self) -> Result<(WallMicros, WallMicros), Vec<Fault>> {
        let mut faults = Vec::new();
        let from = WallMicros::parse(&self.from).map_err(|what| faults.push(Fault::new("from", what))).ok();
        let to = WallMicros::parse(&self.to).map_err(|what| faults.push(Fault::new("to", what))).ok();
        match (from, to) {
            (Some(from), Some(to)) if from < to => Ok((from, to)),
            (Some(_), Some(_)) => Err(alloc::vec![Fault::new("to", "it must lie after `from`")]),
            _ => Err(faults),
        }
    }
}

impl Schedule {
    /// The keys of its table.
    pub const KEYS: &'static [&'static str] = &["id", "description", "zone", "layers", "overrides"];

    /// What is wrong with it by itself, but for its id and whether its zone is known.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.layers.is_empty() || self.layers.len() > LAYERS_MAX {
            let message = format!("{} layers: write 1 to {LAYERS_MAX}, the lowest first", self.layers.len());
            faults.push(Fault::new("layers", message));
        }
        if self.overrides.len() > NAMES_MAX {
            let message =
                format!("{} overrides: at most {NAMES_MAX}; take out those that are over", self.overrides.len());
            faults.push(Fault::new("overrides", message));
        }
        let within = |place: String| move |fault: Fault| Fault::new(format!("{place}.{}", fault.field), fault.message);
        for (at, layer) in self.layers.iter().enumerate().take(LAYERS_MAX) {
            faults.extend(layer.faults().into_iter().map(within(format!("layers[{at}]"))));
        }
        for (at, one) in self.overrides.iter().enumerate().take(NAMES_MAX) {
            faults.extend(one.ends().err().unwrap_or_default().into_iter().map(within(format!("overrides[{at}]"))));
        }
        faults
    }

    /// The users it names.
    pub fn references(&self) -> Vec<Reference> {
        let layers = self.layers.iter().enumerate().flat_map(|(at, layer)| {
            let users = layer.users.iter().enumerate();
            users.map(move |(nth, user)| (format!("layers[{at}].users[{nth}]"), user))
        });
        let overrides = self.overrides.iter().enumerate().map(|(at, one)| (format!("overrides[{at}].user"), &one.user));
        let reference = |(field, name): (String, &String)| Reference { field, to: Referent::User, name: name.clone() };
        layers.chain(overrides).map(reference).collect()
    }
}

fn every_us(rotation: &str) -> Result<i64, String> {
    match rotation {
        "weekly" => Ok(7 * DAY_US),
        "daily" => Ok(DAY_US),
        other => match duration::parse(other) {
            Ok(us) if (TURN_US_MIN..=TURN_US_MAX).contains(&us) && us % 60_000_000 == 0 => Ok(us.cast_signed()),
            Ok(_) => Err(format!("{other}: allowed are 1h to 366d, in whole minutes")),
            Err(error) => Err(format!("write \"weekly\", \"daily\" or a duration like \"12h\": {error}")),
        },
    }
}

/// The day, where one is due, and the minute.
fn handoff(text: &str, weekly: bool) -> Result<(Option<usize>, u16), String> {
    let (day, time) = match text.split_once(' ') {
        Some((day, time)) => (Some(day), time),
        None => (None, text),
    };
    let minute = time_of_day(time)?;
    match (day, weekly) {
        (_, _) if minute == 1440 => Err("a day begins at \"00:00\"".to_string()),
        (Some(day), true) => Ok((Some(day_of_week(day)?), minute)),
        (None, false) => Ok((None, minute)),
        (None, true) => Err(format!("a weekly rotation needs a day too: write \"mon {time}\"")),
        (Some(_), false) => {
            Err(format!("only a weekly rotation has a day: write {time:?}, and the first day as `start`"))
        }
    }
}

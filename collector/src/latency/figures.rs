//! Latencies of a check over a span: of all that was asked for, and apart by region or agent.
//!
//! Figures are exact to the hour: the span is widened to full hours of UTC, and to full days where hours are no longer kept; which it became is told.
//!
//! Each result counts once, though sealing may go on meanwhile: [`Frame::of`] takes what is not sealed from the book *first*; [`Frame::gather`]
//! then reads the store at one instant, with where its seal stands, and leaves out what that has sealed.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_model::id::{AgentName, AgentNo, Bucket, CheckId, CheckNo, Region};
use sitepulse_model::time::{Span, UtcMicros};

use super::open::OpenLatencies;
use super::{Day, DayLatencies, Hour, Latencies};
use crate::book::{Book, Check, Filter, Known};
use crate::engine::Engine;
use crate::store::rollup::{self, Class, DamagedRow};
use crate::store::seal::PairKey;
use crate::store::{StoreError, Tables, mend, seal};
use crate::vitals::figures::Place;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// From when; absent: 24 hours before its end.
    pub from: Option<UtcMicros>,
    /// Until when; absent: now.
    pub to: Option<UtcMicros>,
    /// This region alone.
    pub region: Option<Region>,
    /// This agent alone.
    pub agent: Option<AgentNo>,
    /// Apart by agent instead of by region.
    pub by_agent: bool,
}

/// What the figures of a check are made of besides the store's rollups: taken from the book.
#[derive(Debug)]
pub struct Frame {
    check: CheckId,
    number: CheckNo,
    bucket: Bucket,
    asked: Span,
    now: UtcMicros,
    by_agent: bool,
    whose: Filter,
    /// The agents asked for.
    places: BTreeMap<AgentNo, (Region, AgentName)>,
    open: Vec<(AgentNo, OpenLatencies)>,
}

/// Latencies of a check.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The check.
    pub check: CheckId,
    /// The span asked for, clipped to the check's life.
    pub asked: Span,
    /// The span they cover: that one in full hours, or days where hours are no longer kept; no further than now.
    pub covered: Span,
    /// Of how much of that they speak, over all that was asked for.
    pub known: Known,
    /// First all places together, then each place that has any.
    pub groups: Vec<Group>,
    whose: Filter,
    /// Rows that could not be read; what they told was told by others, so the figures are whole.
    pub damaged: Vec<DamagedRow>,
}

/// Latencies in one place.
#[derive(Debug, Clone)]
pub struct Group {
    /// Where.
    pub place: Place,
    /// What was counted.
    pub latencies: Latencies,
    /// Of how much of the time covered they speak.
    pub known: Known,
    whose: Filter,
}

/// Whole hours that a span touches, from the first to before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hours {
    from: Hour,
    to: Hour,
}

impl Hours {
    fn touched_by(span: Span) -> Self {
        let from = Hour::of(span.from);
        if span.is_empty() {
            return Self { from, to: from };
        }
        Self { from, to: Hour(Hour::of(span.to.plus_us(-1)).0 + 1) }
    }

    fn contains(self, hour: Hour) -> bool {
        self.from <= hour && hour < self.to
    }

    /// Whether all of a day lies inside.
    fn contains_day(self, day: Day) -> bool {
        self.from <= day.hour(0) && day.hour(24) <= self.to
    }

    /// The first and the last day that it touches; `None` of no hours.
    fn days(self) -> Option<(Day, Day)> {
        (self.from < self.to).then(|| (self.from.day(), Hour(self.to.0 - 1).day()))
    }

    fn widened_to(self, day: Day) -> Self {
        Self { from: self.from.min(day.hour(0)), to: self.to.max(day.hour(24)) }
    }

    fn span(self) -> Span {
        Span::new(self.from.start(), self.to.start())
    }
}

impl Frame {
    /// Looks up what the figures of `check` need. Without a beginning they cover 24 h, clipped to the check's life.
    pub fn of(book: &Book, check: &Check, ask: &Ask, now: UtcMicros) -> Self {
        let asked_for = |agent: AgentNo, region: &Region| {
            ask.agent.is_none_or(|wanted| wanted == agent) && ask.region.as_ref().is_none_or(|wanted| wanted == region)
        };
        let agents = book.agents().filter(|agent| asked_for(agent.number, &agent.region));
        let places: BTreeMap<_, _> =
            agents.map(|agent| (agent.number, (agent.region.clone(), agent.name.clone()))).collect();
        let open = check.latencies.iter().filter(|(agent, _)| places.contains_key(agent));
        Self {
            check: check.id.clone(),
            number: check.number,
            bucket: check.bucket(),
            asked: book.period(check, ask.from, ask.to, now),
            now,
            by_agent: ask.by_agent,
            whose: match (ask.agent, &ask.region) {
                (Some(agent), _) => Filter::Agent(agent),
                (None, Some(region)) => Filter::Region(region.clone()),
                (None, None) => Filter::All,
            },
            open: open.map(|(agent, open)| (*agent, open.clone())).collect(),
            places,
        }
    }

    /// The figures. `tables` must be of one instant, after the frame was made.
    ///
    /// # Errors
    /// A row cannot be read and nothing else tells of its results: no figure is better than one without them.
    pub(crate) fn gather(self, tables: Tables<'_>) -> Result<Figures, StoreError> {
        let asked_hours = Hours::touched_by(self.asked);
        let mut hours = asked_hours;
        let mut found: BTreeMap<AgentNo, Latencies> = BTreeMap::new();
        let mut damaged = Vec::new();
        if let Some(days) = asked_hours.days() {
            let edges = BTreeSet::from([days.0, days.1]);
            let edges: Vec<Day> = edges.into_iter().filter(|day| !asked_hours.contains_day(*day)).collect();
            let whole = self.wholes(tables, days, &edges, &mut damaged)?;
            for edge in edges {
                let by_hour = self.hours_of(tables, edge, &whole, &mut damaged)?;
                // Of an edge the hours asked for, or for all agents the day as a whole: what is covered is one span.
                let widened = whole.iter().any(|((agent, day), _)| *day == edge && !by_hour.contains_key(agent));
                if widened {
                    hours = hours.widened_to(edge);
                }
                for (agent, day) in
                    by_hour.iter().filter(|(agent, _)| !widened || !whole.contains_key(&(**agent, edge)))
                {
                    let within = day.hours.iter().filter(|(at, _)| widened || asked_hours.contains(edge.hour(**at)));
                    within.for_each(|(_, hour)| found.entry(*agent).or_default().merge(hour));
                }
                for ((agent, _), latencies) in whole.iter().filter(|((_, day), _)| widened && *day == edge) {
                    found.entry(*agent).or_default().merge(latencies);
                }
            }
            for ((agent, _), latencies) in whole.iter().filter(|((_, day), _)| asked_hours.contains_day(*day)) {
                found.entry(*agent).or_default().merge(latencies);
            }
        }
        let sealed = seal::upto(tables)?.get(usize::from(self.bucket.0)).copied().unwrap_or_default();
        for (agent, open) in &self.open {
            let left = open.iter().filter(|(arrival, _)| *arrival > sealed);
            for (_, sample) in left.filter(|(_, sample)| hours.contains(Hour::of(sample.scheduled))) {
                found.entry(*agent).or_default().add(&sample);
            }
        }
        Ok(self.finish(hours, &found, damaged))
    }

    /// The days as a whole by agent and day; of one that cannot be read what its hours say, or its records. On an edge it is left out then: the
    /// hours are asked for there.
    fn wholes(
        &self,
        tables: Tables<'_>,
        days: (Day, Day),
        edges: &[Day],
        damaged: &mut Vec<DamagedRow>,
    ) -> Result<BTreeMap<(AgentNo, Day), Latencies>, StoreError> {
        let mut whole = BTreeMap::new();
        let rows = rollup::rollups_of(tables, (self.bucket, self.number), Class::Whole, days, |agent, day, body| {
            if self.places.contains_key(&agent) {
                whole.insert((agent, day), rollup::decode_whole(body)?);
            }
            Ok(())
        })?;
        for row in rows.iter().filter(|row| !edges.contains(&row.day)) {
            let day = match rollup::hours_of(tables, self.key(row.agent), row.day)? {
                Some(day) => day,
                None => self.records_say(tables, row)?,
            };
            whole.insert((row.agent, row.day), day.whole());
        }
        damaged.extend(rows);
        Ok(whole)
    }

    /// The hours of an edge by agent; of one whose row cannot be read what its records say, or nothing where its day as a whole is in `whole`.
    fn hours_of(
        &self,
        tables: Tables<'_>,
        edge: Day,
        whole: &BTreeMap<(AgentNo, Day), Latencies>,
        damaged: &mut Vec<DamagedRow>,
    ) -> Result<BTreeMap<AgentNo, DayLatencies>, StoreError> {
        let mut by_hour = BTreeMap::new();
        let of = (self.bucket, self.number);
        let rows = rollup::rollups_of(tables, of, Class::Hours, (edge, edge), |agent, _, body| {
            if self.places.contains_key(&agent) {
                by_hour.insert(agent, rollup::decode_hours(body)?);
            }
            Ok(())
        })?;
        for row in &rows {
            match self.records_say(tables, row) {
                Ok(day) => drop(by_hour.insert(row.agent, day)),
                Err(_) if whole.contains_key(&(row.agent, edge)) => {}
                Err(error) => return Err(error),
            }
        }
        // A day as a whole that cannot be read, where its hours are no longer kept or cannot be read either.
        let lost: Vec<DamagedRow> = damaged
            .iter()
            .filter(|row| row.class == Class::Whole && row.day == edge && !by_hour.contains_key(&row.agent))
            .copied()
            .collect();
        for row in lost {
            by_hour.insert(row.agent, self.records_say(tables, &row)?);
        }
        damaged.extend(rows);
        Ok(by_hour)
    }

    /// What the records of a damaged row's day say.
    fn records_say(&self, tables: Tables<'_>, row: &DamagedRow) -> Result<DayLatencies, StoreError> {
        if let Some(day) = mend::latencies(tables, self.key(row.agent), row.day)? {
            return Ok(day);
        }
        let what = format!("{row}, and its records are gone; ask for a period without that day, or restore a backup");
        Err(StoreError::BadRow { table: "rollup", what })
    }

    fn key(&self, agent: AgentNo) -> PairKey {
        PairKey { bucket: self.bucket, check: self.number, agent }
    }

    fn finish(self, hours: Hours, found: &BTreeMap<AgentNo, Latencies>, damaged: Vec<DamagedRow>) -> Figures {
        let mut groups: BTreeMap<Place, (Filter, Latencies)> = BTreeMap::new();
        for (agent, latencies) in found.iter().filter(|(_, latencies)| !latencies.is_empty()) {
            let Some((region, name)) = self.places.get(agent) else { continue };
            let (place, whose) = if self.by_agent {
                (Place::Agent(region.clone(), name.clone()), Filter::Agent(*agent))
            } else if matches!(self.whose, Filter::Agent(_)) {
                (Place::Region(region.clone()), self.whose.clone())
            } else {
                (Place::Region(region.clone()), Filter::Region(region.clone()))
            };
            for (place, whose) in [(Place::All, self.whose.clone()), (place, whose)] {
                groups.entry(place).or_insert_with(|| (whose, Latencies::default())).1.merge(latencies);
            }
        }
        let covered = hours.span();
        let covered = Span::new(covered.from, covered.to.min(self.now.max(covered.from)));
        let group = |(place, (whose, latencies))| Group { place, latencies, known: Known::default(), whose };
        let groups = groups.into_iter().map(group).collect();
        let (asked, whose, known) = (self.asked, self.whose, Known::default());
        Figures { check: self.check, asked, covered, known, groups, whose, damaged }
    }
}

impl Figures {
    /// Adds of how much of the time covered the figures speak, of all and of each group: by the timelines of those whose results they are.
    pub(crate) fn judge(&mut self, book: &Book) {
        let Some(check) = book.check_by_id(&self.check) else { return };
        let period = book.period(check, Some(self.covered.from), Some(self.covered.to), self.covered.to);
        self.known = book.completeness(check.number, &self.whose, period);
        for group in &mut self.groups {
            group.known = book.completeness(check.number, &group.whose, period);
        }
    }
}

impl Engine {
    /// The latencies of a check in the caller's thread: for tests and the simulator. `None` of no such check.
    pub fn latency(&mut self, check: CheckNo, ask: &Ask, now: UtcMicros) -> Result<Option<Figures>, StoreError> {
        let frame = {
            let book = self.shared.book();
            book.check(check).map(|check| Frame::of(&book, check, ask, now))
        };
        let mut figures = frame.map(|frame| frame.gather(self.store.read())).transpose()?;
        figures.iter_mut().for_each(|figures| figures.judge(&self.shared.book()));
        Ok(figures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::HOUR_US;

    #[test]
    fn a_span_is_widened_to_full_hours() {
        let hours = |from: i64, to: i64| {
            let hours = Hours::touched_by(Span::new(UtcMicros(from), UtcMicros(to)));
            (hours.from.0, hours.to.0)
        };
        assert_eq!(hours(0, 1), (0, 1));
        assert_eq!(hours(0, HOUR_US), (0, 1));
        assert_eq!(hours(HOUR_US - 1, HOUR_US + 1), (0, 2));
        assert_eq!(hours(5, 5), (0, 0));
        assert_eq!(hours(-1, 0), (-1, 0));
        let hours = Hours { from: Hour(20), to: Hour(49) };
        assert_eq!(hours.days(), Some((Day(0), Day(2))));
        assert_eq!([0, 1, 2].map(|day| hours.contains_day(Day(day))), [false, true, false]);
        assert_eq!(Hours { from: Hour(3), to: Hour(3) }.days(), None);
    }
}

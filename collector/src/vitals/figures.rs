//! p75, median, p95, p99, spread, ratings and trend of each vital over a span: for each profile over all regions, and in each region (or on each agent).
//!
//! One value a run: the median of its loads. Runs that the agent could not tell of (its host was under pressure, say) or that measured nothing
//! are counted, but not graded.
//!
//! Of days whose rows are gone the sketches are asked ([`DayVitals`]): such a day counts as a whole, so the span is widened to it, and it tells of no
//! regression.

use std::collections::BTreeMap;

use sitepulse_model::id::{AgentName, AgentNo, CheckId, CheckNo, Region};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vitals::Vital;
use sitepulse_model::vitals::profile::{Threshold, Thresholds};

use super::change::{Epochs, LOOKBACK_US, Watches, Worse};
use super::day::{DayVitals, ProfileDay};
use super::distribution::{Distribution, Method, Ratings};
use super::{Row, profile_of};
use crate::book::{Book, Check, Filter, Known};
use crate::latency::{Day, Hour};

/// Stretches that a trend has.
pub const TREND_POINTS: usize = 48;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// From when; absent: 24 hours before its end.
    pub from: Option<UtcMicros>,
    /// Until when; absent: now.
    pub to: Option<UtcMicros>,
    /// This profile alone.
    pub profile: Option<String>,
    /// This region alone.
    pub region: Option<Region>,
    /// This agent alone.
    pub agent: Option<AgentNo>,
    /// Apart by agent instead of by region.
    pub by_agent: bool,
}

/// What the figures of a check are made of besides its rows: taken from the book, so that the rows can be read without it.
#[derive(Debug)]
pub struct Frame {
    ask: Ask,
    check: CheckId,
    number: CheckNo,
    span: Span,
    places: BTreeMap<AgentNo, (Region, AgentName)>,
    thresholds: BTreeMap<String, Thresholds>,
    reigns: BTreeMap<String, Span>,
    epochs: Epochs,
}

/// Whose runs a group holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// All that was asked for.
    All,
    /// Those of a region's agents.
    Region(Region),
    /// Those of one agent.
    Agent(Region, AgentName),
}

/// Figures of a check.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The check.
    pub check: CheckId,
    /// The span they cover: that asked for, widened to the days of which only sketches are left.
    pub span: Span,
    /// Of how much of that they speak, over all that was asked for.
    pub known: Known,
    /// By profile; in each first all places together, then each place.
    pub groups: Vec<Group>,
    whose: Filter,
}

/// Figures of one profile in one place.
#[derive(Debug, Clone)]
pub struct Group {
    /// The profile.
    pub profile: String,
    /// Where.
    pub place: Place,
    /// Runs that came in.
    pub runs: u64,
    /// Those that count.
    pub graded: u64,
    /// Those of which too few loads count because the host was under pressure.
    pub low_confidence: u64,
    /// The vitals that any of them measured, in the order of [`Vital::ALL`].
    pub vitals: Vec<VitalFigures>,
    /// What became worse there, as of the end of the span; not told of all places together, nobody looks from everywhere.
    pub worse: Vec<Worse>,
    /// Of how much of the span they speak, as far as the check had the profile.
    pub known: Known,
    /// By whose timelines that is told.
    pub whose: Filter,
    /// When the check had the profile.
    pub reign: Span,
}

/// Figures of one vital. Durations in microseconds, CLS in ten-thousandths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VitalFigures {
    /// Which.
    pub vital: Vital,
    /// The value that three quarters of the runs do not exceed.
    pub p75: u64,
    /// The median of the runs.
    pub median: u64,
    /// The value that 95 of 100 runs do not exceed.
    pub p95: u64,
    /// The value that 99 of 100 runs do not exceed.
    pub p99: u64,
    /// The smallest value of any load.
    pub min: u64,
    /// The largest value of any load.
    pub max: u64,
    /// Runs that have it, by rating.
    pub ratings: Ratings,
    /// What they are rated by.
    pub threshold: Threshold,
    /// How p75, median, p95 and p99 were found.
    pub method: Method,
    /// The median of each of [`TREND_POINTS`] equal stretches of the span.
    pub trend: Vec<Option<u64>>,
}

impl Frame {
    /// Looks up what the figures of `check` need. Without a beginning they cover 24 h, clipped to the check's life.
    pub fn of(book: &Book, check: &Check, ask: Ask, now: UtcMicros) -> Self {
        // The newest definition of a profile's name says what is good; a check that changed its profile has several.
        let profiles = check.revisions.iter().filter_map(|revision| profile_of(&revision.definition)?.resolve());
        let places = book.agents().map(|agent| (agent.number, (agent.region.clone(), agent.name.clone())));
        Self {
            check: check.id.clone(),
            number: check.number,
            span: book.period(check, ask.from, ask.to, now),
            places: places.collect(),
            epochs: Epochs::of(check.revisions.iter().map(|one| (one.revision, &one.definition))),
            thresholds: profiles.map(|profile| (profile.name.clone(), profile.thresholds)).collect(),
            reigns: reigns(check),
            ask,
        }
    }

    /// The check.
    pub fn number(&self) -> CheckNo {
        self.number
    }

    /// The check's id.
    pub fn check(&self) -> &CheckId {
        &self.check
    }

    /// The span that rows are needed of: that of the figures, and before it what regressions are told by.
    pub fn span(&self) -> Span {
        Span::new(self.span.from.min(self.span.to.plus_us(-LOOKBACK_US)), self.span.to)
    }

    /// The first and the last day of UTC that the figures' span touches.
    pub fn days(&self) -> Option<(Day, Day)> {
        let last = self.span.to.plus_us(-1);
        (!self.span.is_empty()).then(|| (Hour::of(self.span.from).day(), Hour::of(last).day()))
    }

    /// Widens the span to a day that can be told as a whole only.
    pub fn widen_to(&mut self, day: Day) {
        let day = day.span();
        self.span = Span::new(self.span.from.min(day.from), self.span.to.max(day.to));
    }

    fn thresholds_of(&self, profile: &str) -> Thresholds {
        self.thresholds.get(profile).copied().unwrap_or_default()
    }

    /// The place whose group an agent's runs on a profile belong to, where they are asked for.
    fn place(&self, agent: AgentNo, profile: &str) -> Option<Place> {
        let (region, name) = self.places.get(&agent)?;
        let asked_for = self.ask.profile.as_ref().is_none_or(|wanted| wanted == profile)
            && self.ask.region.as_ref().is_none_or(|wanted| wanted == region)
            && self.ask.agent.is_none_or(|wanted| wanted == agent);
        let place = || match self.ask.by_agent {
            true => Place::Agent(region.clone(), name.clone()),
            false => Place::Region(region.clone()),
        };
        asked_for.then(place)
    }

    /// Whose timelines tell of how much of the time the runs of a place speak.
    fn whose(&self, place: &Place) -> Filter {
        let agent_of = |name: &AgentName| self.places.iter().rev().find(|(_, (_, known))| known == name);
        match (place, self.ask.agent, &self.ask.region) {
            (Place::Agent(_, name), asked, _) => {
                agent_of(name).map(|(agent, _)| *agent).or(asked).map_or(Filter::All, Filter::Agent)
            }
            (Place::All | Place::Region(_), Some(agent), _) => Filter::Agent(agent),
            (Place::Region(region), None, _) | (Place::All, None, Some(region)) => Filter::Region(region.clone()),
            (Place::All, None, None) => Filter::All,
        }
    }
}

/// From when on a check had each profile until it had another; of one that came back with the time between.
fn reigns(check: &Check) -> BTreeMap<String, Span> {
    let mut reigns: BTreeMap<String, Span> = BTreeMap::new();
    let ends = check.revisions.iter().skip(1).map(|next| next.effective_from).chain([UtcMicros::MAX]);
    for (revision, end) in check.revisions.iter().zip(ends) {
        let Some(choice) = profile_of(&revision.definition) else { continue };
        let reign = reigns.entry(choice.name().to_owned()).or_insert(Span::new(revision.effective_from, end));
        reign.to = end;
    }
    reigns
}

/// Gathers rows, in the order of their slots.
#[derive(Debug)]
pub struct Gathering {
    frame: Frame,
    groups: BTreeMap<(String, Place), Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    runs: u64,
    graded: u64,
    low_confidence: u64,
    vitals: [Values; Vital::ALL.len()],
    watches: Watches,
}

#[derive(Debug, Default)]
struct Values {
    all: Distribution,
    extremes: Option<(u64, u64)>,
    ratings: Ratings,
    trend: BTreeMap<usize, Distribution>,
}

impl Gathering {
    /// Nothing yet.
    pub fn new(frame: Frame) -> Self {
        Self { frame, groups: BTreeMap::new() }
    }

    /// Takes a row in.
    pub fn add(&mut self, row: &Row) {
        let Some(place) = self.frame.place(row.agent, &row.profile) else { return };
        let thresholds = self.frame.thresholds_of(&row.profile);
        let within = self.frame.span.contains(row.scheduled);
        let stretch = stretch(self.frame.span, row.scheduled);
        let measured = self.frame.epochs.at(row.revision);
        for place in [Place::All, place] {
            let watched = place != Place::All && row.graded();
            let group = self.groups.entry((row.profile.clone(), place)).or_default();
            if within {
                group.add(row, &thresholds, stretch);
            }
            if watched {
                group.watches.add(row, measured, within);
            }
        }
    }

    /// Takes in a day of which only sketches are left.
    pub fn add_day(&mut self, agent: AgentNo, day: Day, sketches: &DayVitals) {
        let span = day.span();
        let stretch = stretch(self.frame.span, span.from.plus_us(span.us() / 2));
        for (profile, of_day) in &sketches.profiles {
            let Some(place) = self.frame.place(agent, profile) else { continue };
            let thresholds = self.frame.thresholds_of(profile);
            for place in [Place::All, place] {
                self.groups.entry((profile.clone(), place)).or_default().add_day(of_day, &thresholds, stretch);
            }
        }
    }

    /// What they add up to.
    pub fn finish(self) -> Figures {
        let Self { frame, groups } = self;
        // Of a profile or place that was left before the span nothing is told.
        let groups =
            groups.into_iter().filter(|(_, gathered)| gathered.runs > 0).map(|((profile, place), gathered)| {
                let thresholds = frame.thresholds_of(&profile);
                let (whose, reign) = (frame.whose(&place), frame.reigns.get(&profile).copied().unwrap_or(frame.span));
                Group { whose, reign, ..gathered.finish(profile, place, &thresholds) }
            });
        let groups = groups.collect();
        Figures {
            groups,
            known: Known::default(),
            whose: frame.whose(&Place::All),
            check: frame.check,
            span: frame.span,
        }
    }
}

impl Figures {
    /// Adds of how much of the span the figures speak, of all and of each group: by the timelines of those whose runs they are.
    pub(crate) fn judge(&mut self, book: &Book, now: UtcMicros) {
        let Some(check) = book.check_by_id(&self.check) else { return };
        let span = self.span;
        let known = |whose: &Filter, within: Span| {
            let period = book.period(check, Some(within.from), Some(within.to), now);
            book.completeness(check.number, whose, period)
        };
        self.known = known(&self.whose, span);
        for group in &mut self.groups {
            group.known = known(&group.whose, span.clip(group.reign));
        }
    }
}

/// Which stretch of a trend an instant lies in.
fn stretch(span: Span, at: UtcMicros) -> usize {
    let part = i128::from(at.us_since(span.from)) * TREND_POINTS as i128 / i128::from(span.us().max(1));
    usize::try_from(part).unwrap_or(0).min(TREND_POINTS - 1)
}

impl Gathered {
    fn add(&mut self, row: &Row, thresholds: &Thresholds, stretch: usize) {
        self.runs += 1;
        self.low_confidence += u64::from(row.low_confidence());
        if !row.graded() {
            return;
        }
        self.graded += 1;
        for ((vital, spread), values) in Vital::ALL.into_iter().zip(row.values).zip(&mut self.vitals) {
            let Some(spread) = spread else { continue };
            values.all.add(spread.median);
            values.ratings.add(thresholds.of(vital), spread.median);
            values.trend.entry(stretch).or_insert_with(Distribution::of_many).add(spread.median);
            let (min, max) = values.extremes.unwrap_or((spread.min, spread.max));
            values.extremes = Some((min.min(spread.min), max.max(spread.max)));
        }
    }

    fn add_day(&mut self, day: &ProfileDay, thresholds: &Thresholds, stretch: usize) {
        self.runs += day.runs;
        self.graded += day.graded;
        self.low_confidence += day.low_confidence;
        for ((vital, of_day), values) in Vital::ALL.into_iter().zip(&day.vitals).zip(&mut self.vitals) {
            if of_day.medians.is_empty() {
                continue;
            }
            values.all.add_sketch(&of_day.medians);
            values.ratings.add_sketch(thresholds.of(vital), &of_day.medians);
            values.trend.entry(stretch).or_insert_with(Distribution::of_many).add_sketch(&of_day.medians);
            let ((min, max), of_day) = (values.extremes.unwrap_or(of_day.extremes), of_day.extremes);
            values.extremes = Some((min.min(of_day.0), max.max(of_day.1)));
        }
    }

    fn finish(self, profile: String, place: Place, thresholds: &Thresholds) -> Group {
        let Self { runs, graded, low_confidence, vitals, watches } = self;
        let vitals = Vital::ALL.into_iter().zip(vitals);
        let vitals = vitals.filter_map(|(vital, values)| values.finish(vital, thresholds.of(vital))).collect();
        let (worse, known, whose) = (watches.worse(), Known::default(), Filter::All);
        let reign = Span::new(UtcMicros::MIN, UtcMicros::MAX);
        Group { profile, place, runs, graded, low_confidence, vitals, worse, known, whose, reign }
    }
}

impl Values {
    fn finish(mut self, vital: Vital, threshold: Threshold) -> Option<VitalFigures> {
        let (min, max) = self.extremes?;
        let mut trend = vec![None; TREND_POINTS];
        for (at, mut values) in self.trend {
            trend[at] = values.quantile(500);
        }
        Some(VitalFigures {
            vital,
            p75: self.all.quantile(750)?,
            median: self.all.quantile(500)?,
            p95: self.all.quantile(950)?,
            p99: self.all.quantile(990)?,
            min,
            max,
            ratings: self.ratings,
            threshold,
            method: self.all.method(),
            trend,
        })
    }
}

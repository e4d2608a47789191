//! The indicators of alerting: which incidents a time is the mean of, how many pages an incident took, how soon they were taken, what was spared.
//!
//! Every number is the length of a list of facts, or a mean over one, so that whoever doubts it can read the list:
//!
//! - A *page* is a message to one channel by which an incident opened or climbed its ladder. What was acknowledged or resolved is told by messages that are no pages, and a
//!   page that was taken back before it went out is none.
//! - A page is *taken in time* where somebody acknowledged its incident within [`IN_TIME_US`] after it. One that is younger and not taken yet is not judged.
//! - *Spared by the quorum*: a `regional` incident (some voters down, not enough of them) that paged nobody, of a check that opened no `down` incident until it was over.
//! - *Spared by a parent*: trouble of a check that stayed a suspicion because something it hangs on was down, and ended with it.
//! - *Spared by damping*: an edge back to bad while an incident flapped. Each would have been the page of another incident.
//!
//! The times are those of [`super::times`]; [`counted`] lists what they are made of.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::machine::Life;
use super::{IncidentId, IncidentKind, IncidentState, Severity};
use crate::id::CheckNo;
use crate::time::{Span, UtcMicros};

/// A page that is taken within this long is taken in time, in microseconds: 5 min.
pub const IN_TIME_US: i64 = 5 * 60 * 1_000_000;

/// An incident, as far as indicators ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    /// Its id.
    pub id: IncidentId,
    /// The check it is about, where it is about one.
    pub check: Option<CheckNo>,
    /// What kind of trouble.
    pub kind: IncidentKind,
    /// Its life.
    pub life: Life,
}

/// Something that happened to an incident at an instant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// When.
    pub at: UtcMicros,
    /// To which.
    pub incident: IncidentId,
}

/// What kept a page back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sparing {
    /// Too few voters saw it.
    Quorum,
    /// Something it hangs on was down.
    Parent,
    /// It flapped.
    Flapping,
}

impl Sparing {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 3] = [Self::Quorum, Self::Parent, Self::Flapping];

    /// The stable text, as JSON has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quorum => "quorum",
            Self::Parent => "parent",
            Self::Flapping => "flapping",
        }
    }

    /// The number, as the store has it.
    pub const fn code(self) -> u8 {
        match self {
            Self::Quorum => 1,
            Self::Parent => 2,
            Self::Flapping => 3,
        }
    }

    /// Reads the store's number.
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.code() == code)
    }
}

/// A page that nobody got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spared {
    /// When it would have gone out.
    pub at: UtcMicros,
    /// Of which check.
    pub check: CheckNo,
    /// Why not.
    pub by: Sparing,
}

/// What is known of a stretch of time and a little around it.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Incidents that were not over before it.
    pub episodes: Vec<Episode>,
    /// A moment for each page.
    pub pages: Vec<Moment>,
    /// A moment for each acknowledgement.
    pub taken: Vec<Moment>,
    /// What parents and damping spared, as it was written down.
    pub spared: Vec<Spared>,
}

/// Which list a figure is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Incidents that opened.
    Opened,
    /// Incidents that were taken for the first time: what the MTTA is made of.
    Acknowledged,
    /// Incidents that are over: what the MTTR is made of.
    Resolved,
    /// Incidents that are not over by the end.
    Open,
}

impl Figure {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Opened, Self::Acknowledged, Self::Resolved, Self::Open];

    /// The stable text, as addresses have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Open => "open",
        }
    }

    /// Reads the stable text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

/// An incident in a list that a figure is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted<'a> {
    /// Which.
    pub episode: &'a Episode,
    /// The instant by which it belongs to the period.
    pub at: UtcMicros,
    /// How long it took, in microseconds, where the figure is a mean of that.
    pub took_us: Option<i64>,
}

/// The incidents that a figure is made of, of one severity or of all, in the order of the instants by which they count.
pub fn counted(episodes: &[Episode], figure: Figure, severity: Option<Severity>, period: Span) -> Vec<Counted<'_>> {
    let mut found: Vec<Counted<'_>> = episodes.iter().filter_map(|one| count(one, figure, severity, period)).collect();
    found.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.episode.id.cmp(&b.episode.id)));
    found
}

fn count(episode: &Episode, figure: Figure, severity: Option<Severity>, period: Span) -> Option<Counted<'_>> {
    let Episode { life, .. } = episode;
    let opened = life.opened_at.filter(|_| severity.is_none_or(|severity| life.severity == severity))?;
    let took = |at: UtcMicros| Some(at.us_since(opened).max(0));
    let over = match life.state {
        IncidentState::Resolved => life.resolved_at,
        IncidentState::Suspected | IncidentState::Open | IncidentState::Acknowledged => None,
    };
    let (at, took_us) = match figure {
        Figure::Opened => (opened, None),
        Figure::Acknowledged => (life.first_acknowledged_at?, took(life.first_acknowledged_at?)),
        Figure::Resolved => (over?, took(over?)),
        Figure::Open => {
            let open = opened < period.to && over.is_none_or(|at| at >= period.to);
            return open.then_some(Counted { episode, at: opened, took_us: None });
        }
    };
    period.contains(at).then_some(Counted { episode, at, took_us })
}

/// How much noise there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Noise {
    /// Pages of the period.
    pub pages: usize,
    /// The incidents that these were of.
    pub incidents: usize,
    /// Pages that were taken in time, or are older than that takes.
    pub judged: usize,
    /// Those that were taken in time.
    pub in_time: usize,
    /// Spared by the quorum, by parents, by damping.
    pub spared: [usize; 3],
}

impl Noise {
    /// Pages per incident; `None` where nobody was paged.
    pub fn per_incident(&self) -> Option<f64> {
        (self.incidents > 0).then(|| self.pages as f64 / self.incidents as f64)
    }

    /// The share of pages that were taken in time, of 1; `None` where none is judged.
    pub fn share_in_time(&self) -> Option<f64> {
        (self.judged > 0).then(|| self.in_time as f64 / self.judged as f64)
    }
}

impl Facts {
    /// The pages of a period, and whether each was taken in time; `None`: it is too young to be judged.
    pub fn pages_in(&self, period: Span, now: UtcMicros) -> Vec<(&Moment, Option<bool>)> {
        let mut taken: BTreeMap<&IncidentId, Vec<UtcMicros>> = BTreeMap::new();
        for moment in &self.taken {
            taken.entry(&moment.incident).or_default().push(moment.at);
        }
        let judged = |page: &Moment| {
            let until = page.at.plus_us(IN_TIME_US);
            let in_time =
                taken.get(&page.incident).is_some_and(|taken| taken.iter().any(|at| page.at <= *at && *at <= until));
            if in_time { Some(true) } else { (until < now).then_some(false) }
        };
        let mut found: Vec<_> =
            self.pages.iter().filter(|page| period.contains(page.at)).map(|page| (page, judged(page))).collect();
        found.sort_by(|a, b| a.0.cmp(b.0));
        found
    }

    /// What was spared in a period, in its order.
    pub fn spared_in(&self, period: Span) -> Vec<Spared> {
        let mut downs: BTreeMap<CheckNo, Vec<UtcMicros>> = BTreeMap::new();
        for one in self.episodes.iter().filter(|one| one.kind == IncidentKind::Down) {
            if let (Some(check), Some(opened)) = (one.check, one.life.opened_at) {
                downs.entry(check).or_default().push(opened);
            }
        }
        // A regional incident pages by itself where its ladder has somebody for it: nobody was spared that page.
        let paged: BTreeSet<&IncidentId> = self.pages.iter().map(|page| &page.incident).collect();
        let quorum = |one: &Episode| {
            let quiet = one.kind == IncidentKind::Regional && !paged.contains(&one.id);
            let (check, opened) = one.check.zip(one.life.opened_at).filter(|_| quiet)?;
            let until = one.life.resolved_at.unwrap_or(UtcMicros::MAX);
            let came = downs.get(&check).is_some_and(|downs| downs.iter().any(|at| opened <= *at && *at <= until));
            (!came).then_some(Spared { at: opened, check, by: Sparing::Quorum })
        };
        let written = self.spared.iter().copied().filter(|one| one.by != Sparing::Quorum);
        let mut found: Vec<Spared> =
            self.episodes.iter().filter_map(quorum).chain(written).filter(|one| period.contains(one.at)).collect();
        found.sort();
        found
    }

    /// How much noise a period had, as is known at an instant.
    pub fn noise(&self, period: Span, now: UtcMicros) -> Noise {
        let pages = self.pages_in(period, now);
        let spared = self.spared_in(period);
        let incidents: BTreeSet<&IncidentId> = pages.iter().map(|(page, _)| &page.incident).collect();
        Noise {
            pages: pages.len(),
            incidents: incidents.len(),
            judged: pages.iter().filter(|(_, in_time)| in_time.is_some()).count(),
            in_time: pages.iter().filter(|(_, in_time)| *in_time == Some(true)).count(),
            spared: Sparing::ALL.map(|by| spared.iter().filter(|one| one.by == by).count()),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::escalation::Ladder;
    use crate::incident::times::times;
    use crate::time::SECOND_US;

    const fn at(seconds: i64) -> UtcMicros {
        UtcMicros(seconds * SECOND_US)
    }

    const PERIOD: Span = Span::new(at(1_000), at(5_000));

    fn life(severity: Severity, opened: i64, taken: Option<i64>, over: Option<i64>) -> Life {
        let state = if over.is_some() { IncidentState::Resolved } else { IncidentState::Open };
        Life {
            severity,
            state,
            since: at(opened),
            suspected_at: at(opened),
            opened_at: Some(at(opened)),
            acknowledged_at: None,
            acknowledged_by: None,
            first_acknowledged_at: taken.map(at),
            resolved_at: over.map(at),
            resolved_by: None,
            reopened: 0,
            bad: over.is_none(),
            edges: Vec::new(),
            flapping: false,
            ladder: Ladder::starting(at(opened)),
            paused_until: None,
            held: None,
            step: 0,
            announced: false,
        }
    }

    fn episode(id: &str, kind: IncidentKind, life: Life) -> Episode {
        Episode { id: IncidentId(id.into()), check: Some(CheckNo(1)), kind, life }
    }

    fn moment(incident: &str, seconds: i64) -> Moment {
        Moment { at: at(seconds), incident: IncidentId(incident.into()) }
    }

    #[test]
    fn pages_are_taken_in_time_or_not_or_too_young_to_tell() {
        let facts = Facts {
            pages: vec![
                moment("a", 1_000),
                moment("a", 1_600),
                moment("b", 2_000),
                moment("c", 4_900),
                moment("d", 999),
            ],
            taken: vec![moment("a", 1_300), moment("b", 2_301)],
            ..Facts::default()
        };
        let noise = facts.noise(PERIOD, at(5_000));
        assert_eq!(noise, Noise { pages: 4, incidents: 3, judged: 3, in_time: 1, spared: [0; 3] });
        assert_eq!((noise.per_incident(), noise.share_in_time()), (Some(4.0 / 3.0), Some(1.0 / 3.0)));
        // Five minutes after the page, to the last instant.
        assert_eq!(facts.noise(PERIOD, at(5_200)).judged, 3);
        assert_eq!(facts.noise(PERIOD, at(5_201)).judged, 4);
        let none = Facts::default().noise(PERIOD, at(5_000));
        assert_eq!((none.per_incident(), none.share_in_time()), (None, None), "nobody was paged: no figure, not 0");
    }

    #[test]
    fn a_regional_incident_spares_a_page_unless_it_came_to_one() {
        let regional =
            |id: &str, opened, over| episode(id, IncidentKind::Regional, life(Severity::Minor, opened, None, over));
        let down = |opened| episode("d", IncidentKind::Down, life(Severity::Major, opened, None, None));
        let spared = |episodes: Vec<Episode>| {
            Facts { episodes, ..Facts::default() }
                .spared_in(PERIOD)
                .iter()
                .map(|one| (one.at, one.by))
                .collect::<Vec<_>>()
        };
        assert_eq!(spared(vec![regional("a", 2_000, Some(2_100))]), [(at(2_000), Sparing::Quorum)]);
        assert_eq!(spared(vec![regional("a", 2_000, Some(2_100)), down(2_100)]), []);
        assert_eq!(spared(vec![regional("a", 2_000, Some(2_100)), down(2_101)]).len(), 1, "another outage");
        assert_eq!(spared(vec![regional("a", 2_000, None), down(4_000)]), []);
        assert_eq!(spared(vec![regional("a", 900, None)]), [], "before the period");
        // The defect: one that paged by itself counted as a page that nobody got. Its page may be of a later period.
        for page in [2_000, 5_500] {
            let episodes = vec![regional("a", 2_000, None), regional("b", 3_000, None)];
            let facts = Facts { episodes, pages: vec![moment("a", page)], ..Facts::default() };
            let spared: Vec<UtcMicros> = facts.spared_in(PERIOD).iter().map(|one| one.at).collect();
            assert_eq!(spared, [at(3_000)]);
        }
    }

    #[test]
    fn what_was_written_down_counts_by_its_cause() {
        let one = |seconds, by| Spared { at: at(seconds), check: CheckNo(1), by };
        let spared = vec![
            one(1_500, Sparing::Parent),
            one(1_400, Sparing::Flapping),
            one(1_450, Sparing::Flapping),
            one(5_000, Sparing::Parent),
        ];
        let facts = Facts { spared, ..Facts::default() };
        assert_eq!(facts.noise(PERIOD, at(6_000)).spared, [0, 1, 2]);
        for by in Sparing::ALL {
            assert_eq!(Sparing::of_code(by.code()), Some(by));
        }
    }

    fn any_episode() -> impl Strategy<Value = (Severity, i64, Option<i64>, Option<i64>)> {
        let severity = prop::sample::select(Severity::ALL.to_vec());
        (severity, 0..6_000_i64, prop::option::of(0..3_000_i64), prop::option::of(0..3_000_i64))
    }

    proptest! {
        #[test]
        fn the_lists_are_what_the_times_are_made_of(given in prop::collection::vec(any_episode(), 0..30)) {
            let episodes: Vec<Episode> = given
                .iter()
                .enumerate()
                .map(|(at, (severity, opened, taken, over))| {
                    let id: String = format!("i{at}");
                    episode(&id, IncidentKind::Down, life(*severity, *opened, taken.map(|by| opened + by), over.map(|by| opened + by)))
                })
                .collect();
            let list = |figure, severity| counted(&episodes, figure, severity, PERIOD);
            let mean = |of: &[Counted<'_>]| {
                let sum: i128 = of.iter().filter_map(|one| one.took_us).map(i128::from).sum();
                let count = of.len() as i128;
                (count > 0).then(|| ((sum + count / 2) / count) as i64)
            };
            for severity in Severity::ALL.iter().copied().map(Some).chain([None]) {
                let lives = episodes.iter().map(|one| &one.life).filter(|life| severity.is_none_or(|severity| life.severity == severity));
                let want = times(lives, Severity::Info, PERIOD);
                prop_assert_eq!(list(Figure::Opened, severity).len(), want.opened as usize);
                prop_assert_eq!(list(Figure::Open, severity).len(), want.open as usize);
                let (taken, over) = (list(Figure::Acknowledged, severity), list(Figure::Resolved, severity));
                prop_assert_eq!((taken.len(), mean(&taken)), (want.acknowledged as usize, want.mtta_us));
                prop_assert_eq!((over.len(), mean(&over)), (want.resolved as usize, want.mttr_us));
            }
        }
    }
}

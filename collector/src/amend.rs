//! Late data: notices records that come in after what they speak of was told without them, and when no more come, writes down what they changed.
//!
//! The book takes a late record in like any other: every figure is right at once. Beside it, a [`Desk`] keeps an *episode* for each check that
//! late records come in for: the slots that the book held of their stretch before, and counts. When no late record of the check came for
//! [`QUIET_US`], after [`EPISODE_US_MAX`] at most ([`PATIENT_US`] for who is always late), and before the program ends, the verdicts of the stretch
//! are derived twice, without those records and with them ([`sitepulse_model::amendment`]), and where a figure differs one amendment is kept.
//!
//! That is done in short turns on the thread that writes, check by check; what has no time left before the program ends waits in its rows.
//! Imported records are late data like any other: a check that is imported whole is derived twice over its life, as for two questions.
//!
//! A kill loses no amendment. When an episode begins for a pair, its first late records bring a row along in their own transaction: up to which arrival
//! the book was as it was before. A restart replays the records in their order, so the same machine takes the same notes.
//!
//! Control events that an agent was given while it was cut off are late data likewise ([`Acts`]): from its instant until it came in, what was told was
//! told without it. They are told from others by when they came in, which their own rows say, so a kill loses them neither.
//!
//! A record of the episode is one whose first slot is not after the pair's `upto`: what was late already when the episode began, and each late
//! record since. Where an agent comes and goes within one episode, a record in time between two late ones may count as one of them.
//!
//! Architecture invariant: nothing here asks or tells what decides about the present. Verdicts of now are read from the book alone, and late
//! data pages nobody.

mod settle;

use settle::{Deriving, Settled};
pub(crate) use settle::{STOP_US, TURN_US};

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sitepulse_model::amendment::{LATE_US_MIN, Touched, late_after_us};
use sitepulse_model::control::{ControlEvent, EventId, Scope};
use sitepulse_model::id::{AgentNo, Bucket, CheckNo, Revision};
use sitepulse_model::record::Record;
use sitepulse_model::series::Series;
use sitepulse_model::time::UtcMicros;

use crate::store::rows::Arrival;

/// An episode ends when no late record of its check came for this long.
pub const QUIET_US: i64 = 30 * 1_000_000;
/// An episode ends after this long at most: an agent that is always late has its amendments too. One that begins sooner than that after the
/// check's last one lasts this long.
pub const EPISODE_US_MAX: i64 = 5 * 60 * 1_000_000;
/// After [`IN_A_ROW_MAX`] that followed so soon an episode lasts this long, in microseconds: who is always late brings one amendment an hour.
pub const PATIENT_US: i64 = 60 * 60 * 1_000_000;
/// So many episodes in a row are those of a backlog; then it is how the agent is.
pub const IN_A_ROW_MAX: u32 = 4;
/// How long a store that failed is left alone.
const RETRY_US: i64 = 3 * 1_000_000;

/// Which check on which agent.
pub(crate) type PairKey = (CheckNo, AgentNo);

/// A record that may be late, as it came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Old {
    pub(crate) bucket: Bucket,
    pub(crate) key: PairKey,
    pub(crate) revision: Revision,
    pub(crate) first: UtcMicros,
    pub(crate) last: UtcMicros,
    pub(crate) received: UtcMicros,
}

impl Old {
    /// Of a record that says something of its slots; tombstones do not.
    pub(crate) fn of(bucket: Bucket, agent: AgentNo, record: &Record, received: UtcMicros) -> Option<Self> {
        let (revision, first, last) = match record {
            Record::Result(result) => (result.revision, result.scheduled, result.scheduled),
            Record::Missed(missed) => (missed.revision, missed.first, missed.last),
            Record::Dropped(_) => return None,
        };
        Some(Self { bucket, key: (record.check(), agent), revision, first, last, received })
    }

    fn touched(&self, hold_us: i64) -> Touched {
        Touched { first: self.first, last: self.last, end: self.last.plus_us(hold_us) }
    }
}

/// The row that lets an episode survive a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LateRow {
    /// The check's.
    pub(crate) bucket: Bucket,
    pub(crate) key: PairKey,
    /// The book was as it was before with the records that arrived up to here.
    pub(crate) before_arrival: Arrival,
    /// When the first late record came in.
    pub(crate) noted: UtcMicros,
    /// Records of the pair whose first slot is later are not of the episode.
    pub(crate) upto: UtcMicros,
}

/// Control events of an agent that came in late, as far as they touch a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acts {
    /// Which.
    pub(crate) ids: BTreeSet<EventId>,
    /// The instant of the first of them.
    pub(crate) first: UtcMicros,
    /// The instant of the last of them.
    pub(crate) last: UtcMicros,
    /// When the last of them came in: from here on all was told with them.
    pub(crate) known_from: UtcMicros,
}

impl Acts {
    /// Adds an event that came in at `received`.
    fn add(acts: &mut Option<Self>, event: &ControlEvent, received: UtcMicros) {
        let fresh = || Self { ids: BTreeSet::new(), first: event.at, last: event.at, known_from: received };
        let acts = acts.get_or_insert_with(fresh);
        acts.ids.insert(event.id.clone());
        acts.first = acts.first.min(event.at);
        acts.last = acts.last.max(event.at);
        acts.known_from = acts.known_from.max(received);
    }
}

/// Whether a control event came in so late that something was told without it.
pub(crate) fn late_act(event: &ControlEvent, received: UtcMicros) -> bool {
    received.us_since(event.at) > LATE_US_MIN
}

/// What late records of a pair came in with one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrived {
    bucket: Bucket,
    touched: Touched,
    records: u64,
    received: UtcMicros,
    /// What the pair's row says from now on, and whether that must be written.
    noted: UtcMicros,
    upto: UtcMicros,
    write: Option<Write>,
}

/// How a row changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// It is new.
    Open,
    /// Its `upto` moved.
    Extend,
}

/// All late records of one transaction, by pair.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(BTreeMap<PairKey, Arrived>);

impl Arrivals {
    /// Of what they speak, by pair, and when they came in.
    pub(crate) fn each(&self) -> impl Iterator<Item = (PairKey, Touched, UtcMicros)> {
        self.0.iter().map(|(key, arrived)| (*key, arrived.touched, arrived.received))
    }

    /// The rows to write with the records, which arrive after `before`.
    pub(crate) fn rows(&self, before: Arrival) -> impl Iterator<Item = (Write, LateRow)> {
        self.0.iter().filter_map(move |(key, arrived)| {
            let Arrived { bucket, noted, upto, write, .. } = *arrived;
            Some((write?, LateRow { bucket, key: *key, before_arrival: before, noted, upto }))
        })
    }
}

/// What came late of one check from one agent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LatePair {
    /// When the first late record came in.
    pub(crate) noted: UtcMicros,
    upto: UtcMicros,
    /// How many late records came in.
    pub(crate) records: u64,
    /// Of what they speak, and the slots that were known of that stretch before.
    pub(crate) stretch: Option<(Touched, Series)>,
    /// The control events that came in late.
    pub(crate) acts: Option<Acts>,
}

impl LatePair {
    /// Takes late records in; `series` does not have them yet.
    fn touch(&mut self, touched: Touched, records: u64, series: Option<&Series>) {
        self.records += records;
        let part = |first: UtcMicros, last: UtcMicros| match series {
            Some(series) if first <= last => series.between(first, last),
            Some(_) | None => Series::new(),
        };
        match &mut self.stretch {
            None => self.stretch = Some((touched, part(touched.first, touched.last))),
            Some((known, held)) => {
                // What lies between is held already, or late itself.
                held.absorb(&part(touched.first, known.first.plus_us(-1)));
                held.absorb(&part(known.last.plus_us(1), touched.last));
                *known = known.and(touched);
            }
        }
    }
}

/// Late records of one check, from the first to the quiet after the last.
#[derive(Debug, Clone, PartialEq)]
struct Episode {
    began: UtcMicros,
    newest: UtcMicros,
    /// How many others it follows, each so soon that quiet does not end it.
    follows: u32,
    pairs: BTreeMap<AgentNo, LatePair>,
}

impl Episode {
    fn due(&self) -> UtcMicros {
        match self.follows {
            0 => self.began.plus_us(EPISODE_US_MAX).min(self.newest.plus_us(QUIET_US)),
            1..IN_A_ROW_MAX => self.began.plus_us(EPISODE_US_MAX),
            IN_A_ROW_MAX.. => self.began.plus_us(PATIENT_US),
        }
    }
}

/// The episodes under way. A pure machine: it is handed records and the time.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    episodes: BTreeMap<CheckNo, Episode>,
    /// When the newest episodes of checks ended, and the how manieth in a row they were, for as long as it matters.
    ended: BTreeMap<CheckNo, (UtcMicros, u32)>,
    /// The episode that has ended and is being derived, in pieces.
    deriving: Option<Deriving>,
    /// What was derived and is not durable.
    unwritten: Vec<Settled>,
    not_before: Option<UtcMicros>,
    /// The next instant anything is due: looked at for each command.
    next: Option<UtcMicros>,
}

impl Desk {
    /// The episodes of a store, as rows tell; [`Self::replay`] fills them. Their quiet begins anew at `now`.
    pub(crate) fn restore(rows: Vec<LateRow>, now: UtcMicros) -> (Self, Replay) {
        let mut desk = Self::default();
        let mut replay = Replay::default();
        for row in rows {
            let pair = LatePair { noted: row.noted, upto: row.upto, records: 0, stretch: None, acts: None };
            desk.episode(row.key.0, now).pairs.insert(row.key.1, pair);
            replay.0.insert(row.key, (row.before_arrival, row.upto));
        }
        desk.plan();
        (desk, replay)
    }

    /// Which of the records are late, and what is to be written with them. `hold_us` is how long results of a revision of a check hold, and those
    /// of its newest revision.
    pub(crate) fn sort(&self, old: &[Old], hold_us: impl Fn(CheckNo, Revision) -> (i64, i64)) -> Arrivals {
        let mut arrivals: HashMap<PairKey, Arrived> = HashMap::new();
        let mut holds: Option<((CheckNo, Revision), (i64, i64))> = None;
        for one in old {
            let named = (one.key.0, one.revision);
            let (hold, newest_hold) = match holds {
                Some((of, holds)) if of == named => holds,
                Some(_) | None => holds.insert((named, hold_us(named.0, named.1))).1,
            };
            if one.received.us_since(one.first) <= late_after_us(hold) {
                continue;
            }
            let touched = one.touched(hold);
            let arrived = arrivals.entry(one.key).or_insert_with(|| {
                let known = self.episodes.get(&one.key.0).and_then(|episode| episode.pairs.get(&one.key.1));
                let upto = || one.received.plus_us(-late_after_us(hold.max(newest_hold)));
                Arrived {
                    bucket: one.bucket,
                    touched,
                    records: 0,
                    received: one.received,
                    noted: known.map_or(one.received, |pair| pair.noted),
                    upto: known.map_or_else(upto, |pair| pair.upto),
                    write: known.is_none().then_some(Write::Open),
                }
            });
            arrived.touched = arrived.touched.and(touched);
            arrived.records += 1;
            arrived.received = arrived.received.max(one.received);
            if arrived.upto < one.last {
                arrived.upto = one.last;
                arrived.write.get_or_insert(Write::Extend);
            }
        }
        Arrivals(arrivals.into_iter().collect())
    }

    /// Takes in late records that are durable; `series` is what is known of a pair without them.
    pub(crate) fn take<'s>(&mut self, arrivals: &Arrivals, series: impl Fn(PairKey) -> Option<&'s Series>) {
        if arrivals.0.is_empty() {
            return;
        }
        for (key, arrived) in &arrivals.0 {
            let episode = self.episode(key.0, arrived.received);
            episode.newest = episode.newest.max(arrived.received);
            let fresh = || LatePair { noted: arrived.noted, upto: arrived.upto, records: 0, stretch: None, acts: None };
            let pair = episode.pairs.entry(key.1).or_insert_with(fresh);
            pair.upto = arrived.upto;
            pair.touch(arrived.touched, arrived.records, series(*key));
        }
        self.plan();
    }

    /// The row to write with a control event that came in late for a pair, where the pair has none. Nothing of its records is late by that.
    pub(crate) fn row_of_act(
        &self,
        bucket: Bucket,
        key: PairKey,
        before: Arrival,
        received: UtcMicros,
    ) -> Option<LateRow> {
        let known = self.pairs(key.0).is_some_and(|pairs| pairs.contains_key(&key.1));
        (!known).then_some(LateRow { bucket, key, before_arrival: before, noted: received, upto: UtcMicros::MIN })
    }

    /// Takes in a control event that came in late for a pair and is durable.
    pub(crate) fn take_act(&mut self, key: PairKey, event: &ControlEvent, received: UtcMicros) {
        let episode = self.episode(key.0, received);
        episode.newest = episode.newest.max(received);
        let fresh = || LatePair { noted: received, upto: UtcMicros::MIN, records: 0, stretch: None, acts: None };
        Acts::add(&mut episode.pairs.entry(key.1).or_insert_with(fresh).acts, event, received);
        self.plan();
    }

    /// Takes in a control event of a restart's replay if it belongs to an episode.
    pub(crate) fn replay_act(&mut self, event: &ControlEvent, received: UtcMicros) {
        if !late_act(event, received) {
            return;
        }
        let (agent, only) = match event.scope {
            Scope::Agent(agent) => (agent, None),
            Scope::AgentCheck(agent, check) => (agent, Some(check)),
            Scope::Check(_) => return,
        };
        for (check, episode) in &mut self.episodes {
            let pair = episode.pairs.get_mut(&agent).filter(|pair| pair.noted <= received);
            if let Some(pair) = pair.filter(|_| only.is_none_or(|only| only == *check)) {
                Acts::add(&mut pair.acts, event, received);
            }
        }
    }

    /// Takes in a record of a restart's replay if it belongs to an episode; `series` is what was replayed of its pair so far.
    pub(crate) fn replay<'s>(
        &mut self,
        replay: &Replay,
        arrival: Arrival,
        agent: AgentNo,
        record: &Record,
        known: impl FnOnce(PairKey, Revision) -> (Option<&'s Series>, i64),
    ) {
        if replay.0.is_empty() {
            return;
        }
        let Some((before, upto)) = replay.0.get(&(record.check(), agent)) else { return };
        if arrival <= *before || record.scheduled() > *upto {
            return;
        }
        let Some(old) = Old::of(Bucket::default(), agent, record, UtcMicros::MIN) else { return };
        let pair = self.episodes.get_mut(&old.key.0).and_then(|episode| episode.pairs.get_mut(&agent));
        if let Some(pair) = pair {
            let (series, hold_us) = known(old.key, old.revision);
            pair.touch(old.touched(hold_us), 1, series);
        }
    }

    fn episode(&mut self, check: CheckNo, now: UtcMicros) -> &mut Episode {
        let before = self.ended.get(&check).filter(|(at, _)| now.us_since(*at).abs() < EPISODE_US_MAX);
        let follows = before.map_or(0, |(_, in_a_row)| *in_a_row);
        let fresh = || Episode { began: now, newest: now, follows, pairs: BTreeMap::new() };
        self.episodes.entry(check).or_insert_with(fresh)
    }

    /// Of what the late records of the episodes under way speak, by pair, and what was known of that stretch before.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = (PairKey, Touched, &Series)> {
        self.episodes.iter().flat_map(|(check, episode)| {
            episode.pairs.iter().filter_map(|(agent, pair)| {
                let (touched, held) = pair.stretch.as_ref()?;
                Some(((*check, *agent), *touched, held))
            })
        })
    }

    /// When [`Self::due`] has something to tell next; `None` while nothing is late.
    pub(crate) fn next_due(&self) -> Option<UtcMicros> {
        self.next
    }

    fn plan(&mut self) {
        let begun = self.deriving.is_some() || !self.unwritten.is_empty();
        let earliest = self.episodes.values().map(Episode::due).min();
        let earliest = if begun { Some(UtcMicros::MIN) } else { earliest };
        self.next = earliest.map(|due| due.max(self.not_before.unwrap_or(UtcMicros::MIN)));
    }

    /// Whether the store failed a moment ago.
    pub(crate) fn is_held_off(&self, now: UtcMicros) -> bool {
        self.not_before.is_some_and(|at| now < at && at.us_since(now) <= RETRY_US)
    }

    /// The checks whose episodes have ended; all of them where `all`.
    pub(crate) fn due(&self, now: UtcMicros, all: bool) -> Vec<CheckNo> {
        if self.is_held_off(now) && !all {
            return Vec::new();
        }
        let ended = |episode: &Episode| all || ended(episode.due(), now);
        self.episodes.iter().filter(|(_, episode)| ended(episode)).map(|(check, _)| *check).collect()
    }

    /// What came late of a check in the episode that goes on.
    pub(crate) fn pairs(&self, check: CheckNo) -> Option<&BTreeMap<AgentNo, LatePair>> {
        self.episodes.get(&check).map(|episode| &episode.pairs)
    }

    /// Ends a check's episode: what comes late from here on is of another.
    pub(crate) fn end(&mut self, check: CheckNo, now: UtcMicros) -> Option<BTreeMap<AgentNo, LatePair>> {
        self.ended.retain(|_, (at, _)| now.us_since(*at).abs() < EPISODE_US_MAX);
        let episode = self.episodes.remove(&check)?;
        self.ended.insert(check, (now, episode.follows.saturating_add(1)));
        self.plan();
        Some(episode.pairs)
    }

    /// The rows of a check's episode that goes on, where those of the one before go: the book knew it with the records up to `before`.
    fn rows(&self, bucket: Bucket, check: CheckNo, before: Arrival) -> Vec<LateRow> {
        let row = |(agent, pair): (&AgentNo, &LatePair)| LateRow {
            bucket,
            key: (check, *agent),
            before_arrival: before,
            noted: pair.noted,
            upto: pair.upto,
        };
        self.pairs(check).into_iter().flatten().map(row).collect()
    }

    /// What was derived is durable.
    fn written(&mut self) {
        self.unwritten.clear();
        self.not_before = None;
        self.plan();
    }

    /// The store failed: it is tried again in a while.
    pub(crate) fn hold_off(&mut self, now: UtcMicros) {
        self.not_before = Some(now.plus_us(RETRY_US));
        self.plan();
    }
}

/// Whether what is due at an instant is to be done now: also where a clock that leapt back puts it further ahead than it can be.
pub(crate) fn ended(due: UtcMicros, now: UtcMicros) -> bool {
    due <= now || due.us_since(now) > PATIENT_US
}

/// Which records of a restart's replay belong to an episode: of which pair, after which arrival, up to which slot.
#[derive(Debug, Default)]
pub(crate) struct Replay(HashMap<PairKey, (Arrival, UtcMicros)>);

#[cfg(test)]
mod tests;

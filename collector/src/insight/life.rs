//! The life of a finding, as a machine: it is handed what a look found and what people do, with the time, and hands back entries of its history.
//!
//! | state | when |
//! |---|---|
//! | `open` | a detector found it, and nobody said anything yet. Counted by the impact score and the maintenance debt |
//! | `acknowledged` | somebody knows, and said why it may stay. Counted no more, until it is taken back or it gets worse than it was then |
//! | `closed` | looks did not find it for [`closes_after_us`], or what it was about is gone |
//!
//! Found again within [`REOPEN_US`] it is the same finding, open again; after that another one. It is *stale* while it is open and nobody touched it for
//! [`STALE_US`]: touched by being opened (again), acknowledged or taken back. What comes back within [`COVERED_US`], and is no worse, is acknowledged as it was.
//!
//! Its severity rises at once, and falls when looks found nothing worse for [`SETTLE_US`]: what swings around a threshold writes no history.

use serde::{Deserialize, Serialize};
use sitepulse_model::insight::{Kind, Severity};
use sitepulse_model::time::UtcMicros;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Open and untouched for longer, it is stale, in microseconds: 5 d.
pub const STALE_US: i64 = 5 * DAY_US;
/// What comes back within this is the same finding, in microseconds: 7 d.
pub const REOPEN_US: i64 = 7 * DAY_US;
/// An acknowledgement covers what comes back within so long of its end, in microseconds: a day. What was away for a moment needs no second word.
pub const COVERED_US: i64 = DAY_US;
/// A severity falls after so long, in microseconds: a day.
pub const SETTLE_US: i64 = DAY_US;
/// Longest note of an acknowledgement, in characters.
pub const NOTE_CHARS_MAX: usize = 1_000;

/// For how long looks must not find a finding before it closes, in microseconds. Where one look is proof (a certificate was renewed), none; where hours differ, some.
pub const fn closes_after_us(kind: Kind) -> i64 {
    match kind {
        Kind::Expiry | Kind::CannotFail | Kind::CoverageGap => 0,
        Kind::CorrelatedFailures | Kind::BudgetForecast => 2 * HOUR_US,
        Kind::LatencyRegression | Kind::RegionSlow | Kind::SlowResolver | Kind::AgentDisagrees | Kind::Flapping => {
            6 * HOUR_US
        }
        Kind::VitalsRegression => DAY_US,
    }
}

/// Where a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody said anything yet.
    Open,
    /// Somebody knows.
    Acknowledged,
    /// It is over.
    Closed,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Closed];

    /// The stable text: `acknowledged`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
        }
    }
}

/// Who knows of a finding, and why it may stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Since when.
    pub at: UtcMicros,
    /// Who.
    pub by: String,
    /// Why it may stay, or what is done about it.
    pub note: String,
    /// What it was then: worse is not covered.
    pub severity: Severity,
}

/// Where a finding stands, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Where it stands.
    pub state: State,
    /// When it was found first.
    pub opened_at: UtcMicros,
    /// When it was opened (again), acknowledged or taken back last.
    pub touched_at: UtcMicros,
    /// When a look found it last.
    pub seen_at: UtcMicros,
    /// The first look since then that did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_since: Option<UtcMicros>,
    /// How much it matters.
    pub severity: Severity,
    /// Since when looks find it milder than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milder_since: Option<UtcMicros>,
    /// Who knows; stays when it closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledged>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<UtcMicros>,
    /// How often it was open again.
    #[serde(default)]
    pub reopened: u32,
}

/// A row of a finding's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Entry {
    /// It was found for the first time.
    Opened {
        /// What it was.
        severity: Severity,
    },
    /// It was found again after it had been closed.
    Reopened {
        /// What it was.
        severity: Severity,
        /// Whether what was said before still covers it.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        acknowledged: bool,
    },
    /// It got worse, or milder for long enough.
    Severity {
        /// What it is now.
        to: Severity,
    },
    /// Somebody knows.
    Acknowledged {
        /// Why it may stay.
        note: String,
    },
    /// The acknowledgement does not cover what it became.
    Outgrown,
    /// Somebody took the acknowledgement back.
    TakenBack,
    /// Looks do not find it any more.
    Closed,
    /// What it was about is gone.
    Gone,
}

/// Why an act is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is over.
    Closed,
    /// Nobody acknowledged it.
    NotAcknowledged,
    /// A note is missing, or too long.
    Note,
}

impl Life {
    /// Of what was found for the first time.
    pub fn open(severity: Severity, now: UtcMicros) -> (Self, Entry) {
        let life = Self {
            state: State::Open,
            opened_at: now,
            touched_at: now,
            seen_at: now,
            missing_since: None,
            severity,
            milder_since: None,
            acknowledged: None,
            closed_at: None,
            reopened: 0,
        };
        (life, Entry::Opened { severity })
    }

    /// Whether something found now is this finding again.
    pub fn takes(&self, now: UtcMicros) -> bool {
        self.closed_at.is_none_or(|closed| now.us_since(closed) < REOPEN_US)
    }

    /// A look found it.
    pub fn seen(&mut self, severity: Severity, now: UtcMicros) -> Vec<Entry> {
        self.seen_at = now;
        self.missing_since = None;
        if let Some(closed) = self.closed_at.take() {
            let covers = |known: &Acknowledged| severity <= known.severity && now.us_since(closed) < COVERED_US;
            self.acknowledged = self.acknowledged.take().filter(covers);
            let acknowledged = self.acknowledged.is_some();
            self.state = if acknowledged { State::Acknowledged } else { State::Open };
            (self.touched_at, self.severity, self.milder_since) = (now, severity, None);
            self.reopened += 1;
            return vec![Entry::Reopened { severity, acknowledged }];
        }
        let mut entries = Vec::new();
        if severity > self.severity {
            (self.severity, self.milder_since) = (severity, None);
            entries.push(Entry::Severity { to: severity });
            if self.acknowledged.as_ref().is_some_and(|known| severity > known.severity) {
                (self.state, self.touched_at, self.acknowledged) = (State::Open, now, None);
                entries.push(Entry::Outgrown);
            }
        } else if severity == self.severity {
            self.milder_since = None;
        } else if now.us_since(*self.milder_since.get_or_insert(now)) >= SETTLE_US {
            (self.severity, self.milder_since) = (severity, None);
            entries.push(Entry::Severity { to: severity });
        }
        entries
    }

    /// A look that would have found it did not.
    pub fn missing(&mut self, kind: Kind, now: UtcMicros) -> Option<Entry> {
        if self.state == State::Closed {
            return None;
        }
        let since = *self.missing_since.get_or_insert(now);
        (now.us_since(since) >= closes_after_us(kind)).then(|| self.close(now, Entry::Closed))
    }

    /// What it was about is gone.
    pub fn gone(&mut self, now: UtcMicros) -> Option<Entry> {
        (self.state != State::Closed).then(|| self.close(now, Entry::Gone))
    }

    fn close(&mut self, now: UtcMicros, entry: Entry) -> Entry {
        (self.state, self.closed_at) = (State::Closed, Some(now));
        entry
    }

    /// Somebody knows, and says why it may stay. Said again it takes the place of what was said before.
    ///
    /// # Errors
    /// When it is over, or the note is empty or longer than [`NOTE_CHARS_MAX`].
    pub fn acknowledge(&mut self, by: &str, note: &str, now: UtcMicros) -> Result<Entry, Refused> {
        let note = note.trim();
        if self.state == State::Closed {
            return Err(Refused::Closed);
        }
        if note.is_empty() || note.chars().count() > NOTE_CHARS_MAX {
            return Err(Refused::Note);
        }
        (self.state, self.touched_at) = (State::Acknowledged, now);
        let known = Acknowledged { at: now, by: by.to_owned(), note: note.to_owned(), severity: self.severity };
        self.acknowledged = Some(known);
        Ok(Entry::Acknowledged { note: note.to_owned() })
    }

    /// Somebody takes the acknowledgement back.
    ///
    /// # Errors
    /// When it is over, or nobody acknowledged it.
    pub fn take_back(&mut self, now: UtcMicros) -> Result<Entry, Refused> {
        match self.state {
            State::Closed => Err(Refused::Closed),
            State::Open => Err(Refused::NotAcknowledged),
            State::Acknowledged => {
                (self.state, self.touched_at, self.acknowledged) = (State::Open, now, None);
                Ok(Entry::TakenBack)
            }
        }
    }

    /// Makes it what it was after these entries of its history, the oldest first: where it stood, how much it mattered, when it was touched.
    pub fn rewind<'e>(&mut self, entries: impl IntoIterator<Item = (UtcMicros, &'e Entry)>) {
        (self.acknowledged, self.closed_at) = (None, None);
        for (at, entry) in entries {
            let touched = match entry {
                Entry::Opened { severity } | Entry::Reopened { severity, acknowledged: false } => {
                    self.severity = *severity;
                    Some(State::Open)
                }
                Entry::Reopened { severity, acknowledged: true } => {
                    self.severity = *severity;
                    Some(State::Acknowledged)
                }
                Entry::Severity { to } => {
                    self.severity = *to;
                    None
                }
                Entry::Acknowledged { .. } => Some(State::Acknowledged),
                Entry::Outgrown | Entry::TakenBack => Some(State::Open),
                Entry::Closed | Entry::Gone => Some(State::Closed),
            };
            if let Some(state) = touched {
                (self.state, self.touched_at) = (state, at);
            }
        }
    }

    /// Whether it is open and nobody touched it for long.
    pub fn stale(&self, now: UtcMicros) -> bool {
        self.state == State::Open && now.us_since(self.touched_at) > STALE_US
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIND: Kind = Kind::LatencyRegression;

    fn at(hours: i64) -> UtcMicros {
        UtcMicros(1_790_000_000_000_000 + hours * HOUR_US)
    }

    fn opened() -> Life {
        Life::open(Severity::Warning, at(0)).0
    }

    #[test]
    fn it_closes_when_looks_did_not_find_it_for_long_enough_and_not_because_nobody_looked() {
        let mut life = opened();
        // Nobody looked for three days: the first look without it is the first.
        assert_eq!(life.missing(KIND, at(72)), None);
        assert_eq!(life.missing(KIND, at(77)), None);
        // Found in between: the count begins anew.
        assert_eq!(life.seen(Severity::Warning, at(77)), []);
        assert_eq!((life.missing(KIND, at(78)), life.missing(KIND, at(83))), (None, None));
        assert_eq!(life.missing(KIND, at(84)), Some(Entry::Closed));
        assert_eq!((life.state, life.closed_at), (State::Closed, Some(at(84))));
        assert_eq!(life.missing(KIND, at(90)), None, "once");
        let mut renewed = opened();
        assert_eq!(renewed.missing(Kind::Expiry, at(1)), Some(Entry::Closed), "one look is proof");
    }

    #[test]
    fn what_comes_back_within_a_week_is_the_same_and_open_again() {
        let mut life = opened();
        life.acknowledge("ana", "known", at(1)).unwrap();
        life.gone(at(2)).unwrap();
        assert!(life.takes(at(2 + 7 * 24 - 1)) && !life.takes(at(2 + 7 * 24)));
        assert_eq!(
            life.seen(Severity::Info, at(100)),
            [Entry::Reopened { severity: Severity::Info, acknowledged: false }]
        );
        assert_eq!((life.state, life.reopened, life.acknowledged.clone()), (State::Open, 1, None));
        assert_eq!((life.opened_at, life.touched_at, life.severity), (at(0), at(100), Severity::Info));
    }

    #[test]
    fn what_was_away_for_a_moment_is_acknowledged_as_it_was() {
        let mut life = opened();
        life.acknowledge("ana", "known", at(1)).unwrap();
        life.gone(at(2)).unwrap();
        let back = Entry::Reopened { severity: Severity::Warning, acknowledged: true };
        assert_eq!(life.seen(Severity::Warning, at(25)), std::slice::from_ref(&back));
        assert_eq!((life.state, life.acknowledged.as_ref().unwrap().note.as_str()), (State::Acknowledged, "known"));
        let mut then = life.clone();
        then.rewind([(at(0), &Entry::Opened { severity: Severity::Info }), (at(2), &Entry::Gone), (at(25), &back)]);
        assert_eq!((then.state, then.severity), (State::Acknowledged, Severity::Warning));
        // Worse than what was acknowledged, or a day later, it is open.
        for (severity, hour) in [(Severity::Critical, 27), (Severity::Warning, 50)] {
            let mut life = life.clone();
            life.gone(at(26)).unwrap();
            assert_eq!(life.seen(severity, at(hour)), [Entry::Reopened { severity, acknowledged: false }]);
            assert_eq!((life.state, life.acknowledged), (State::Open, None));
        }
        // What was taken back is not acknowledged by going away.
        life.take_back(at(26)).unwrap();
        life.gone(at(27)).unwrap();
        life.seen(Severity::Warning, at(28));
        assert_eq!(life.state, State::Open);
    }

    #[test]
    fn an_acknowledgement_covers_what_it_was_given_for() {
        let mut life = opened();
        life.acknowledge("ana", "  the supplier knows ", at(1)).unwrap();
        assert_eq!(life.acknowledged.as_ref().unwrap().note, "the supplier knows");
        assert_eq!(life.seen(Severity::Warning, at(2)), []);
        let worse = [Entry::Severity { to: Severity::Critical }, Entry::Outgrown];
        assert_eq!(life.seen(Severity::Critical, at(3)), worse);
        assert_eq!((life.state, life.touched_at), (State::Open, at(3)));
        assert_eq!(life.take_back(at(4)), Err(Refused::NotAcknowledged));
        life.acknowledge("ana", "x", at(4)).unwrap();
        assert_eq!(life.take_back(at(5)), Ok(Entry::TakenBack));
        for bad in ["", "  ", &"x".repeat(NOTE_CHARS_MAX + 1)] {
            assert_eq!(life.acknowledge("ana", bad, at(6)), Err(Refused::Note));
        }
        life.gone(at(7)).unwrap();
        assert_eq!(life.acknowledge("ana", "late", at(8)), Err(Refused::Closed));
        assert_eq!(life.take_back(at(8)), Err(Refused::Closed));
    }

    #[test]
    fn stale_is_open_and_untouched_for_five_days() {
        let mut life = opened();
        assert!(!life.stale(at(120)) && life.stale(UtcMicros(at(120).0 + 1)));
        life.acknowledge("ana", "known", at(130)).unwrap();
        assert!(!life.stale(at(1_000)));
        life.take_back(at(200)).unwrap();
        assert!(!life.stale(at(320)) && life.stale(at(321)));
        life.seen(Severity::Warning, at(400));
        assert!(life.stale(at(400)), "being found is no touch");
    }

    #[test]
    fn a_severity_rises_at_once_and_falls_when_it_stayed_milder_for_a_day() {
        let mut life = opened();
        for hour in 0..48 {
            // Swings around a threshold.
            let severity = if hour % 2 == 0 { Severity::Info } else { Severity::Warning };
            assert_eq!(life.seen(severity, at(hour)), [], "{hour}");
        }
        assert_eq!(life.seen(Severity::Info, at(50)), []);
        assert_eq!(life.seen(Severity::Info, at(73)), []);
        assert_eq!(life.seen(Severity::Info, at(74)), [Entry::Severity { to: Severity::Info }]);
        assert_eq!(life.severity, Severity::Info);
    }

    proptest! {
        #[test]
        fn a_life_never_contradicts_itself(steps in prop::collection::vec((0..6_u8, 0..72_i64, 0..3_usize), 1..60)) {
            let (mut life, mut now) = (opened(), 0);
            for (what, hours, severity) in steps {
                now += hours;
                let before = life.clone();
                match what {
                    0 | 1 => drop(life.takes(at(now)).then(|| life.seen(Severity::ALL[severity], at(now)))),
                    2 => drop(life.missing(KIND, at(now))),
                    3 => drop(life.gone(at(now))),
                    4 => drop(life.acknowledge("ana", "note", at(now))),
                    _ => drop(life.take_back(at(now))),
                }
                prop_assert_eq!(life.closed_at.is_some(), life.state == State::Closed);
                prop_assert!(life.state != State::Acknowledged || life.acknowledged.is_some());
                prop_assert!(life.state != State::Open || life.acknowledged.is_none());
                prop_assert!(life.touched_at >= before.touched_at && life.seen_at >= before.seen_at);
                prop_assert!(!life.stale(at(now)) || life.state == State::Open);
                prop_assert_eq!(life.opened_at, before.opened_at);
            }
        }
    }
}

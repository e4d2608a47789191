//! After a start, steps of the ladder wait until an agent was heard: what was down when the collector went away may be up since, and a page for it would be one for nothing.
//!
//! An incident that was there at the start, of a check, waits until a result in time of one of the check's live voters came in; one of a silent agent, for the agent. Both wait for
//! [`GRACE_US`] at most: after a restart what is overdue runs within 30 s. Messages that were committed before go out at once, what opens or ends is written down as ever, and what a
//! person does is done.
//!
//! **A collector that is killed again and again** must page all the same. So the wait is one over all starts until it is over: its beginning is a row, a start that finds one goes on
//! with it, and it is taken away only when all that was due after it is written down. However short the lives are, the steps go out with the first look of the first life that begins
//! after the wait; only then a new one may begin. Without the row each life would wait anew, and lives shorter than the wait would page nobody.

use std::collections::HashSet;

use sitepulse_model::amendment::LATE_US_MIN;
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::incident::Subject;
use sitepulse_model::record::Record;
use sitepulse_model::time::{SECOND_US, UtcMicros};

use super::Desk;
use crate::engine::Engine;
use crate::store::{StoreError, rows};

/// How long steps wait at most, in microseconds: 15 s.
pub const GRACE_US: i64 = 15 * SECOND_US;
/// The name of the row; its value is when the wait began, or nothing.
const ROW: &str = "grace";

/// Whether steps wait.
#[derive(Debug, Default)]
pub(super) enum Grace {
    /// Nothing was looked at since the start.
    #[default]
    Ahead,
    /// They do, or did until now.
    Under {
        began: UtcMicros,
        /// Who was heard since the start, and of what.
        heard: HashSet<(CheckNo, AgentNo)>,
    },
    /// No more.
    Over,
}

impl Grace {
    fn lasts(&self, now: UtcMicros) -> bool {
        match self {
            // A clock that was set back makes it no longer.
            Self::Under { began, .. } => (0..GRACE_US).contains(&now.us_since(*began)),
            Self::Ahead | Self::Over => false,
        }
    }

    /// A record is stored that was new.
    pub(super) fn note(&mut self, agent: AgentNo, record: &Record, received: UtcMicros) {
        match (self, record) {
            (Self::Under { heard, .. }, Record::Result(result))
                if received.us_since(result.scheduled) <= LATE_US_MIN =>
            {
                heard.insert((result.check, agent));
            }
            (Self::Under { .. } | Self::Ahead | Self::Over, _) => {}
        }
    }
}

impl Desk {
    /// Whether the steps of an incident about this wait for agents to be heard.
    pub(super) fn waits(&self, subject: &Subject, now: UtcMicros) -> bool {
        let Grace::Under { heard, .. } = &self.grace else { return false };
        self.grace.lasts(now)
            && match subject {
                Subject::Check(check) => {
                    !self.present.live(*check).iter().any(|agent| heard.contains(&(*check, *agent)))
                }
                // Who is heard is silent no more.
                Subject::Agent(_) => true,
                Subject::Slo(_) | Subject::Manual(_) => false,
            }
    }
}

impl Engine {
    /// The first look after a start: goes on with a wait that an earlier start began, or begins one where anything is open.
    pub(super) fn begin_grace(&mut self, now: UtcMicros) -> Result<(), StoreError> {
        if !matches!(self.alert.grace, Grace::Ahead) {
            return Ok(());
        }
        let row = rows::meta(self.store.read(), ROW)?.and_then(|began| began.parse().ok().map(UtcMicros));
        // One that is to come was begun before the clock was set back.
        let began = row.filter(|began| *began <= now);
        if began.is_none() && (row.is_some() || !self.alert.standing.is_empty()) {
            self.store.write(|tables| rows::set_meta(tables, ROW, &now.0.to_string()))?;
            self.alert.grace = Grace::Under { began: now, heard: HashSet::new() };
        } else {
            self.alert.grace = began.map_or(Grace::Over, |began| Grace::Under { began, heard: HashSet::new() });
        }
        Ok(())
    }

    /// All that is due is written down: if that was after the wait, the next start may wait again.
    pub(super) fn end_grace(&mut self, now: UtcMicros) -> Result<(), StoreError> {
        if matches!(self.alert.grace, Grace::Under { .. }) && !self.alert.grace.lasts(now) {
            self.store.write(|tables| rows::set_meta(tables, ROW, ""))?;
            self.alert.grace = Grace::Over;
        }
        Ok(())
    }
}

//! The kinds of jobs, and what bounds each.

use std::time::Duration;

use sitepulse_model::job::{DEATHS_MAX, PRIORITY_MAX, Priority, Rules};

use crate::app::Access;
use crate::outbox::OUT_MAX;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Results go out of the order of arrival into chunks, and chunks are merged.
    Seal,
    /// What is older than it is kept is let go.
    Retention,
    /// Histories are looked through for findings.
    Insights,
    /// What impact scores were in an hour is written down.
    Impact,
    /// The database is copied into a file.
    Backup,
    /// Records are written into a file of another format.
    Export,
    /// Figures are stored as a report.
    SlaReport,
    /// The checks of a group, of a tag or named ones are run once, besides their schedules.
    RunChecks,
    /// The web vitals checks of a group are run once, besides their schedules.
    VitalsBatch,
    /// Nothing is done: to try the queue itself out. Asked for by admins alone.
    Noop,
    /// A message about an incident. No row of the queue is one: the outbox keeps and sends them, and [`super::all`] shows them as what they are, work that is done beside answering.
    Notification,
}

/// What bounds the jobs of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// How much one matters, unless told.
    pub priority: Priority,
    /// How many run at a time, and how often each is tried.
    pub rules: Rules,
    /// How long an attempt may take.
    pub limit: Duration,
    /// How long after it was due it should be over; `None`: it is late after 15 min.
    pub deadline: Option<Duration>,
    /// So many wait at most, of those that people ask for.
    pub waiting: usize,
    /// So many that are over are kept.
    pub kept: usize,
    /// So many of the files that they made are kept.
    pub kept_files: usize,
    /// Who may ask for one; `None`: the collector alone.
    pub asked_by: Option<Access>,
}

const fn spec(priority: u16, concurrency: usize, tries: u32, limit_s: u64) -> Spec {
    Spec {
        priority: Priority::clamped(priority),
        // What comes again by itself is held back, and never given up for good.
        rules: Rules { concurrency, tries, deaths: u32::MAX },
        limit: Duration::from_secs(limit_s),
        deadline: None,
        waiting: 1_000,
        kept: 200,
        kept_files: 0,
        asked_by: None,
    }
}

impl Kind {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 11] = [
        Self::Seal,
        Self::Retention,
        Self::Insights,
        Self::Impact,
        Self::Backup,
        Self::Export,
        Self::SlaReport,
        Self::RunChecks,
        Self::VitalsBatch,
        Self::Noop,
        Self::Notification,
    ];

    /// Those that the queue has rows of.
    pub const QUEUED: &'static [Self] = Self::ALL.split_at(10).0;

    /// The stable text: `sla_report`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Retention => "retention",
            Self::Insights => "insights",
            Self::Impact => "impact",
            Self::Backup => "backup",
            Self::Export => "export",
            Self::SlaReport => "sla_report",
            Self::RunChecks => "run_checks",
            Self::VitalsBatch => "vitals_batch",
            Self::Noop => "noop",
            Self::Notification => "notification",
        }
    }

    /// The kind of a stable text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// What bounds it.
    pub const fn spec(self) -> Spec {
        let mut spec = self.bounds();
        if spec.asked_by.is_some() {
            spec.rules.deaths = DEATHS_MAX;
        }
        spec
    }

    const fn bounds(self) -> Spec {
        let hour = 3600;
        match self {
            // What keeps the store small goes first, and its next round follows anyway.
            Self::Seal => spec(800, 1, 1, 6 * hour),
            Self::Retention => spec(700, 1, 1, 6 * hour),
            Self::Insights => spec(400, 1, 3, hour),
            Self::Impact => spec(450, 1, 5, hour),
            Self::Backup => {
                let spec = spec(500, 1, 3, 12 * hour);
                Spec {
                    kept_files: 3,
                    asked_by: Some(Access::Admin),
                    deadline: Some(Duration::from_secs(12 * hour)),
                    ..spec
                }
            }
            Self::Export => {
                let spec = spec(300, 1, 3, 12 * hour);
                Spec {
                    kept_files: 5,
                    asked_by: Some(Access::Edit),
                    deadline: Some(Duration::from_secs(12 * hour)),
                    ..spec
                }
            }
            Self::SlaReport => Spec { asked_by: Some(Access::Edit), ..spec(400, 1, 3, hour) },
            // Somebody waits for these.
            Self::RunChecks => Spec { asked_by: Some(Access::Edit), ..spec(600, 2, 1, 2 * hour) },
            Self::VitalsBatch => Spec { asked_by: Some(Access::Edit), ..spec(600, 1, 1, 6 * hour) },
            Self::Noop => {
                Spec { waiting: 120_000, kept: 120_000, asked_by: Some(Access::Admin), ..spec(500, 64, 3, 60) }
            }
            // What rules them is the outbox's: tried for a day, however often that is.
            Self::Notification => spec(PRIORITY_MAX, OUT_MAX, u32::MAX, 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_texts_of_their_own() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            let spec = kind.spec();
            assert!(spec.rules.concurrency > 0 && spec.rules.tries > 0 && spec.kept > 0, "{kind:?}");
        }
        assert_eq!(Kind::parse("nothing"), None);
        let shown: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Notification).collect();
        assert_eq!(shown, Kind::QUEUED);
    }
}

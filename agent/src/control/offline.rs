//! The same answers from the files of a stopped agent.

use std::path::Path;

use sitepulse_daemon::exit::{Exit, Fatal};
use sitepulse_model::control::ControlLog;
use sitepulse_model::id::Incarnation;
use sitepulse_model::time::UtcMicros;

use super::view::SpoolView;
use super::{Answer, Desk, Request, answer};
use crate::spool::writer::Figures;
use crate::spool::{self, Limits, Spool};
use crate::state::StateDb;
use crate::summary::Summary;

/// Answers from the files. The caller holds the data directory's lock.
pub fn answer_offline(
    dir: &Path,
    request: &Request,
    limits: Limits,
    now: UtcMicros,
    incarnation: &mut dyn FnMut() -> Incarnation,
) -> Result<Answer, Fatal> {
    let data_dir = |error: &dyn std::error::Error| Fatal::new(Exit::DataDir, error.to_string());
    let mut state = StateDb::open(dir).map_err(|error| data_dir(&error))?;
    let identity = state.identity().map_err(|error| data_dir(&error))?.ok_or_else(|| not_joined(dir))?;
    let assignment = state.assignment().map_err(|error| data_dir(&error))?;
    let mut log = ControlLog::new();
    for (event, _) in state.events().map_err(|error| data_dir(&error))? {
        log.insert(event);
    }
    let opened =
        Spool::open(&dir.join(spool::FILE_NAME), limits, now, incarnation).map_err(|error| data_dir(&error))?;
    if let Some(moved) = &opened.set_aside {
        spool::writer::warn_set_aside(moved);
    }
    let stats = opened.spool.stats().map_err(|error| data_dir(&error))?;
    opened.spool.close().map_err(|error| data_dir(&error))?;
    let figures = Figures {
        stats,
        set_aside: opened.set_aside.map(|moved| moved.path.display().to_string()),
        ..Figures::default()
    };
    let checks: Vec<_> = assignment.checks.iter().map(|check| Summary::of(check, &identity.name)).collect();
    let mut desk = Desk {
        identity: &identity,
        state: &mut state,
        log: &log,
        checks: checks.iter().map(|check| (check, None)).collect(),
        spool: SpoolView::of(&figures, limits.bytes_max),
        live: None,
    };
    Ok(answer(request, &mut desk, now).0)
}

/// The error of a data directory without an identity.
pub fn not_joined(dir: &Path) -> Fatal {
    let text = format!("{}: no agent has joined here; run `sitepulse-agent join TOKEN` first", dir.display());
    Fatal::new(Exit::DataDir, text)
}

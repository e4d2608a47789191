//! `verify`: looks through the store. It works on the file itself, beside a running collector or without one.

use serde::Serialize;
use sitepulse_daemon::exit::Exit;

use super::{print, print_json};
use crate::cli::{Failure, Global};
use crate::store::verify;
use crate::store::{FILE, Store};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct VerifiedView {
    file: String,
    intact: bool,
    pairs: u64,
    chunks: u64,
    records_sealed: u64,
    records_expired: u64,
    records_unsealed: u64,
    rollups: u64,
    incidents: u64,
    problems: Vec<String>,
    problems_count: u64,
}

pub(super) fn verify(global: &Global) -> Result<Exit, Failure> {
    let dir = global.data_dir();
    let file = dir.join(FILE).display().to_string();
    let failed = |error: crate::store::StoreError| {
        let remedy = "check the data directory; a store of an older build is brought on by starting the collector once";
        Failure::new(Exit::DataDir, format!("{file}: {error}; {remedy}"))
    };
    let found = Store::open_to_read(&dir).and_then(|reader| reader.at_one_instant(verify::verify)).map_err(failed)?;
    let intact = found.problems_count == 0;
    if global.json {
        print_json(&VerifiedView {
            file,
            intact,
            pairs: found.pairs,
            chunks: found.chunks,
            records_sealed: found.sealed,
            records_expired: found.expired,
            records_unsealed: found.unsealed,
            rollups: found.rollups,
            incidents: found.incidents,
            problems: found.problems,
            problems_count: found.problems_count,
        })?;
    } else {
        let mut text = format!(
            "{file}\n{} records in {} chunks of {} pairs, {} not sealed yet, {} gone by their age; {} days of sketches\n{} incidents with their histories\n",
            found.sealed, found.chunks, found.pairs, found.unsealed, found.expired, found.rollups, found.incidents
        );
        for problem in &found.problems {
            text.push_str(&format!("- {problem}\n"));
        }
        text.push_str(&match found.problems_count {
            0 => String::from("Everything can be read, and the parts say the same.\n"),
            1 => String::from("1 problem: make a copy of the folder, and restore a backup.\n"),
            count => format!("{count} problems: make a copy of the folder, and restore a backup.\n"),
        });
        print(&text)?;
    }
    Ok(if intact { Exit::Ok } else { Exit::DataDir })
}

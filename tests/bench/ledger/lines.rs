//! A ledger as Influx lines, for VictoriaMetrics: a series for the state and each phase of every pair.

use std::fmt::Write as _;

use sitepulse_model::record::ProbeState;
use sitepulse_model::time::UtcMicros;
use sitepulse_tests::victoria::Victoria;

use crate::ours::{Feed, Found, What};
use crate::synthetic::phases;

/// Lines of one request.
const BATCH: usize = 1000;

/// Takes a ledger in, in the order of arrival. Its CPU time in microseconds, and how many results it took.
pub(crate) fn fill(victoria: &Victoria, feed: &mut Feed<'_>, until: UtcMicros) -> (u64, u64) {
    let before = victoria.cpu_us();
    let (mut lines, mut count, mut total) = (String::new(), 0, 0);
    while let Some(round) = feed.next(until) {
        for (agent, found) in round.found {
            for one in found {
                if !line(&mut lines, agent, &one) {
                    continue;
                }
                count += 1;
                total += 1;
                if count == BATCH {
                    victoria.write(&lines);
                    lines.clear();
                    count = 0;
                }
            }
        }
    }
    victoria.write(&lines);
    (victoria.cpu_us() - before, total)
}

/// Adds a result's line; a missed run has none.
pub(crate) fn line(lines: &mut String, agent: usize, found: &Found) -> bool {
    let Found { check, first, what: What::Result(state) } = *found else { return false };
    let up = u8::from(state != ProbeState::Down);
    let at = first.0 / 1000;
    let head = format!("probe,check=check-{check},agent=agent-{agent},region=region-{agent} up={up}");
    let [dns, connect, tls, first_byte, transfer, _] = phases(check, first);
    let written = if up == 0 {
        writeln!(lines, "{head},dns={dns} {at}")
    } else {
        writeln!(lines, "{head},dns={dns},connect={connect},tls={tls},first_byte={first_byte},transfer={transfer} {at}")
    };
    written.expect("a text grows");
    true
}

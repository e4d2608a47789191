//! Before the book is built: what is more than a start should hold in memory is sealed first.
//!
//! The book takes some 20 bytes of each result that is not sealed, for latencies, and reads each of them once. Of a store that was written by a build
//! before sealing these are all results that ever were. Sealing needs no book, so it goes first; each transaction is durable, and a start that is
//! killed goes on where it was.

use sitepulse_daemon::clock;
use sitepulse_model::time::UtcMicros;

use super::{DELETE_ROWS, Intervals, batch, prepare_batch};
use crate::store::rows::{self, Arrival};
use crate::store::{Store, StoreError, seal};

/// Most records that a start leaves unsealed: some tens of MiB in the book.
pub(crate) const UNSEALED_AT_START_MAX: u64 = 1_000_000;
/// Arrivals that are looked through at a time: a pass goes over all rows up to its end.
const WINDOW: i64 = 500_000;
/// How often progress is told, in microseconds.
const TELL_US: u64 = 10 * 1_000_000;

/// Seals until at most so many records are left, but for those that an amendment under way needs. How many were sealed.
pub(crate) fn seal_excess(
    store: &mut Store,
    intervals: &Intervals,
    most: u64,
    now: UtcMicros,
) -> Result<u64, StoreError> {
    let newest = rows::newest_arrival(store.read())?;
    let sealed = seal::upto(store.read())?.into_iter().min().unwrap_or_default();
    let cut = Arrival(newest.0.saturating_sub(i64::try_from(most).unwrap_or(i64::MAX)));
    if cut <= sealed {
        return Ok(0);
    }
    tracing::info!(records = cut.0 - sealed.0, "records are sealed before the start; agents keep theirs meanwhile");
    let (mut at, mut records, mut told) = (sealed, 0, clock::monotonic());
    while at < cut {
        at = Arrival(at.0.saturating_add(WINDOW)).min(cut);
        loop {
            let portions = seal::portions(store.read(), at)?;
            if portions.is_empty() {
                break;
            }
            let mut went_on = false;
            for prepared in prepare_batch(store.read(), batch(&portions), intervals)? {
                went_on |= store.write(|tables| seal::seal(tables, &prepared, now))?.is_some();
                records += prepared.portion.rows;
            }
            while store.write(|tables| seal::delete_sealed(tables, DELETE_ROWS))? > 0 {}
            if !went_on {
                break;
            }
            if clock::monotonic().us_since(told) >= TELL_US {
                told = clock::monotonic();
                tracing::info!(sealed = records, of = cut.0 - sealed.0, "records are sealed before the start");
            }
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use sitepulse_daemon::identity::CertificateAuthority;
    use sitepulse_model::id::{AgentNo, CheckNo, Revision};
    use sitepulse_model::record::{Facts, Phases, ProbeResult, ProbeState, Record};

    use super::*;
    use crate::engine::Engine;
    use crate::store::block::Place;

    fn count(store: &Store, what: &str) -> i64 {
        store.connection().query_row(&format!("SELECT {what}"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_store_with_too_much_unsealed_is_sealed_before_the_book_is_built() {
        let dir = tempfile::tempdir().unwrap();
        let now = UtcMicros(1_790_000_000_000_000);
        let authority = || CertificateAuthority::create(now).unwrap();
        let open = |most| {
            let store = Store::open(dir.path(), 1, now).unwrap();
            Engine::rebuild(store, crate::secret::Vault::default(), authority(), now, most).unwrap()
        };
        let mut store = Store::open(dir.path(), 1, now).unwrap();
        let record = |slot: i64, state| {
            Record::Result(ProbeResult {
                check: CheckNo(1 + (slot % 3) as u32),
                revision: Revision(1),
                scheduled: UtcMicros(now.0 + slot * 60_000_000),
                started: UtcMicros(now.0 + slot * 60_000_000),
                phases: Phases { total: Some(1_000), ..Phases::default() },
                state,
                cause: None,
                failed_phase: None,
                detail: String::new(),
                address: None,
                facts: Facts::default(),
            })
        };
        store
            .write(|tables| {
                let mut appender = rows::Appender::new(tables, Arrival(0))?;
                for slot in 0..3_000_i64 {
                    let bucket = sitepulse_model::id::Bucket((slot % 3) as u8);
                    let place = Place { bucket, source: 1, seq: sitepulse_model::id::Seq(slot.unsigned_abs()) };
                    appender.record(place, &record(slot, ProbeState::Up))?;
                }
                appender.finish()
            })
            .unwrap();
        let source = "INSERT INTO source VALUES (0, 1, 1, 7, '', NULL, 0)";
        store.connection().execute(source, []).unwrap();
        drop(store);
        let whole = open(5_000);
        assert_eq!(
            count(&whole.store, "coalesce(sum(records), 0) FROM result"),
            3_000,
            "not too many: they are read as they are"
        );
        drop(whole);
        let some = open(500);
        assert_eq!(seal::unsealed_count(some.store.read()).unwrap(), 500);
        assert_eq!(count(&some.store, "coalesce(sum(records), 0) FROM chunk"), 2_500);
        drop(some);
        // Every record once, wherever it lies.
        let upto = count(&open(0).store, "min(upto) FROM seal");
        assert_eq!(upto, 3_000);
        let sealed = open(0);
        let ledgers: u64 = crate::store::records::sealed_pairs(sealed.store.read())
            .unwrap()
            .into_iter()
            .map(|key| seal::pair(sealed.store.read(), key).unwrap().unwrap().unwrap().pair.ledger.stored)
            .sum();
        assert_eq!((ledgers, AgentNo(1)), (3_000, AgentNo(1)));
    }
}

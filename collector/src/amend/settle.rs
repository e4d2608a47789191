//! Ends episodes: derives what they changed, and keeps it.

use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::amendment::Amendment;
use sitepulse_model::id::{Bucket, CheckNo};
use sitepulse_model::time::UtcMicros;

use crate::engine::Engine;
use crate::store::{StoreError, amendments};

/// Most checks in one transaction.
const CHECKS_MAX: usize = 64;
/// How long a turn derives, in microseconds, give or take one check: bounds how long the writer is kept from its batches, and from its pulse.
pub(crate) const TURN_US: u64 = 100_000;
/// How long the end of the program derives, in microseconds. What is left stays in the table `late` and is settled after the next start.
pub(crate) const STOP_US: u64 = 5_000_000;

/// What one check's episode came to.
struct Settled {
    check: CheckNo,
    bucket: Bucket,
    /// The amendment with its number; `None` where no figure changed.
    amendment: Option<(u64, Amendment)>,
}

impl Engine {
    /// Whether an episode of late data has ended by `now`: [`Self::settle`] has something to do.
    pub fn settle_due(&self, now: UtcMicros) -> bool {
        self.amend.next_due().is_some_and(|due| super::ended(due, now))
    }

    /// When an episode of late data ends next, as far as is known; `None` while there is none.
    pub fn next_settle(&self) -> Option<UtcMicros> {
        self.amend.next_due()
    }

    /// Writes the amendments of all episodes that have ended, or of all that there are (`all`). How many amendments were written. For tests, the
    /// simulator and measurements: it takes as long as it takes.
    pub fn settle(&mut self, now: UtcMicros, all: bool) -> Result<usize, StoreError> {
        self.settle_within(now, all, u64::MAX)
    }

    /// [`Self::settle`] until `budget_us` microseconds have gone, and of one check at least: others wait for the thread. What is left is still due.
    pub fn settle_within(&mut self, now: UtcMicros, all: bool, budget_us: u64) -> Result<usize, StoreError> {
        let until = clock::monotonic().plus_us(budget_us);
        let ended = self.amend.due(now, all);
        let (mut written, mut left) = (0, &ended[..]);
        while !left.is_empty() {
            let (done, wrote) = self.settle_some(left, now, until).inspect_err(|_| self.amend.hold_off(now))?;
            written += wrote;
            left = left.get(done..).unwrap_or_default();
            if clock::monotonic() >= until {
                break;
            }
        }
        Ok(written)
    }

    /// Settles the first of these checks in one transaction: how many it took on before `until`, and how many amendments were written.
    fn settle_some(
        &mut self,
        checks: &[CheckNo],
        now: UtcMicros,
        until: Monotonic,
    ) -> Result<(usize, usize), StoreError> {
        let mut done = 0;
        // No guard is held while the disk works.
        let settled: Vec<Settled> = {
            let book = self.shared.book();
            let of = |number: &CheckNo| {
                let (check, late) = (book.check(*number)?, self.amend.pairs(*number)?);
                let amendment = book.amendment(check, late, now);
                let amendment = amendment.map(|amendment| (check.next_amendment(), amendment));
                Some(Settled { check: *number, bucket: check.bucket(), amendment })
            };
            let mut settled = Vec::new();
            for check in checks.iter().take(CHECKS_MAX) {
                settled.extend(of(check));
                done += 1;
                if clock::monotonic() >= until {
                    break;
                }
            }
            settled
        };
        let checks = checks.get(..done).unwrap_or(checks);
        self.store.write(|tables| {
            for one in &settled {
                if let Some((number, amendment)) = &one.amendment {
                    amendments::insert(tables, one.bucket, one.check, *number, amendment)?;
                }
                amendments::close(tables, one.bucket, one.check)?;
            }
            Ok(())
        })?;
        self.amend.settled(checks, now);
        let mut written = 0;
        let mut book = self.shared.book_mut();
        for one in settled {
            if let Some((number, amendment)) = one.amendment {
                book.insert_amended(one.check, number, amendment.span(), UtcMicros(amendment.noted_us));
                written += 1;
            }
        }
        drop(book);
        if written > 0 {
            self.shared.tick();
        }
        Ok((done, written))
    }
}

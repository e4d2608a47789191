//! Ends episodes: derives what they changed, and keeps it.

use sitepulse_model::amendment::Amendment;
use sitepulse_model::id::{Bucket, CheckNo};
use sitepulse_model::time::UtcMicros;

use crate::engine::Engine;
use crate::store::{StoreError, amendments};

/// Most checks in one transaction: bounds how long the writer is kept from its batches.
const CHECKS_MAX: usize = 64;

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

    /// Writes the amendments of episodes that have ended: those of at most 64 checks, or of all checks that have any (`all`, for the end of the
    /// program). How many amendments were written.
    pub fn settle(&mut self, now: UtcMicros, all: bool) -> Result<usize, StoreError> {
        let mut ended = self.amend.due(now, all);
        if !all {
            ended.truncate(CHECKS_MAX);
        }
        let mut written = 0;
        for checks in ended.chunks(CHECKS_MAX) {
            written += self.settle_some(checks, now).inspect_err(|_| self.amend.hold_off(now))?;
        }
        Ok(written)
    }

    fn settle_some(&mut self, checks: &[CheckNo], now: UtcMicros) -> Result<usize, StoreError> {
        // No guard is held while the disk works.
        let settled: Vec<Settled> = {
            let book = self.shared.book();
            let of = |number: &CheckNo| {
                let (check, late) = (book.check(*number)?, self.amend.pairs(*number)?);
                let amendment = book.amendment(check, late, now);
                let amendment = amendment.map(|amendment| (check.next_amendment(), amendment));
                Some(Settled { check: *number, bucket: check.bucket(), amendment })
            };
            checks.iter().filter_map(of).collect()
        };
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
        Ok(written)
    }
}

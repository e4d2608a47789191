//! Ends episodes: derives what they changed, and keeps it.
//!
//! A derivation works on what it took out of the book when it began ([`Stretch`]), piece by piece, and may go on in the next turn; late records that
//! come in meanwhile are of the check's next episode. Nothing of it is in the store until it is whole: after a kill the rows in `late` bring it again,
//! together with what came since.

use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::amendment::Amendment;
use sitepulse_model::id::{Bucket, CheckNo};
use sitepulse_model::time::UtcMicros;

use super::Write;
use crate::book::{Stretch, Verdicts};
use crate::engine::Engine;
use crate::store::rows::Arrival;
use crate::store::{StoreError, amendments};

/// Most checks in one transaction.
const CHECKS_MAX: usize = 64;
/// How long a turn derives, in microseconds, give or take one piece: bounds how long the writer is kept from its batches, and from its pulse.
pub(crate) const TURN_US: u64 = 100_000;
/// How long the end of the program derives, in microseconds. What is left stays in the table `late` and is settled after the next start.
pub(crate) const STOP_US: u64 = 5_000_000;

/// An episode that is being derived.
#[derive(Debug)]
pub(super) struct Deriving {
    settled: Settled,
    stretch: Stretch,
    verdicts: Verdicts,
    at: UtcMicros,
}

/// What one check's episode came to.
#[derive(Debug)]
pub(super) struct Settled {
    check: CheckNo,
    bucket: Bucket,
    /// The records up to here are in it.
    arrival: Arrival,
    /// `None` where no figure changed.
    amendment: Option<Amendment>,
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

    /// [`Self::settle`] until `budget_us` microseconds have gone, and of one piece at least: others wait for the thread. What is left is still due.
    pub fn settle_within(&mut self, now: UtcMicros, all: bool, budget_us: u64) -> Result<usize, StoreError> {
        let until = clock::monotonic().plus_us(budget_us);
        if !all && self.amend.is_held_off(now) {
            return Ok(0);
        }
        // What the store did not take last time goes first: numbers of amendments are in their order.
        let mut written = self.write_settled(now)?;
        let mut ended = self.amend.due(now, all).into_iter();
        loop {
            let left = self.derive_some(&mut ended, now, until);
            written += self.write_settled(now)?;
            if !left || clock::monotonic() >= until {
                return Ok(written);
            }
        }
    }

    /// Derives the episode that was begun, and these, until there are [`CHECKS_MAX`] or it is time; whether there may be more.
    fn derive_some(&mut self, ended: &mut impl Iterator<Item = CheckNo>, now: UtcMicros, until: Monotonic) -> bool {
        while self.amend.unwritten.len() < CHECKS_MAX {
            let Some(mut deriving) = self.amend.deriving.take().or_else(|| self.begin(ended, now)) else {
                return false;
            };
            let done = deriving.stretch.derive_piece(&mut deriving.at, &mut deriving.verdicts);
            if done {
                let Deriving { mut settled, stretch, verdicts, .. } = deriving;
                settled.amendment = stretch.amendment(&verdicts);
                self.amend.unwritten.push(settled);
            } else {
                self.amend.deriving = Some(deriving);
            }
            if clock::monotonic() >= until {
                break;
            }
        }
        self.amend.plan();
        true
    }

    /// Takes the next of these episodes that changed anything out of the book.
    fn begin(&mut self, ended: &mut impl Iterator<Item = CheckNo>, now: UtcMicros) -> Option<Deriving> {
        for number in ended {
            let late = self.amend.end(number, now);
            let book = self.shared.book();
            let Some((check, late)) = book.check(number).zip(late) else { continue };
            let settled = Settled { check: number, bucket: check.bucket(), arrival: self.arrival, amendment: None };
            match book.stretch(check, &late, now) {
                Some(stretch) => {
                    return Some(Deriving { settled, stretch, verdicts: Verdicts::default(), at: UtcMicros::MIN });
                }
                None => self.amend.unwritten.push(settled),
            }
        }
        None
    }

    /// Keeps what was derived, in one transaction; how many amendments there were.
    fn write_settled(&mut self, now: UtcMicros) -> Result<usize, StoreError> {
        if self.amend.unwritten.is_empty() {
            return Ok(0);
        }
        // No guard is held while the disk works.
        let mut numbers: Vec<u64> = Vec::with_capacity(self.amend.unwritten.len());
        {
            let book = self.shared.book();
            for (at, one) in self.amend.unwritten.iter().enumerate() {
                let before = self.amend.unwritten[..at].iter();
                let before = before.filter(|before| before.check == one.check && before.amendment.is_some()).count();
                numbers.push(book.check(one.check).map_or(1, |check| check.next_amendment()) + before as u64);
            }
        }
        let desk = &self.amend;
        let wrote = self.store.write(|tables| {
            for (one, number) in desk.unwritten.iter().zip(&numbers) {
                if let Some(amendment) = &one.amendment {
                    amendments::insert(tables, one.bucket, one.check, *number, amendment)?;
                }
                amendments::close(tables, one.bucket, one.check)?;
                for row in desk.rows(one.bucket, one.check, one.arrival) {
                    amendments::note(tables, Write::Open, &row)?;
                }
            }
            Ok(())
        });
        wrote.inspect_err(|_| self.amend.hold_off(now))?;
        let mut written = 0;
        let mut book = self.shared.book_mut();
        for (one, number) in self.amend.unwritten.iter().zip(numbers) {
            if let Some(amendment) = &one.amendment {
                book.insert_amended(one.check, number, amendment.span(), UtcMicros(amendment.noted_us));
                written += 1;
            }
        }
        drop(book);
        self.amend.written();
        if written > 0 {
            self.shared.tick();
        }
        Ok(written)
    }
}

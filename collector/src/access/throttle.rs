//! Slows guesses of passwords down: by user, and by the address they come from.
//!
//! A few failures are free; then each costs a wait that doubles, up to a minute by user and a quarter of an hour by address, and is forgotten when none
//! came for as long as [`FORGET_US`]. What comes during a wait is not looked at and does not make it longer, so nobody is locked out for ever. An address that
//! a user signed in from does not wait for what others do elsewhere with that user's name. A link by the command line never waits.
//!
//! Limits: [`ENTRIES_MAX`] users, addresses and known pairs each; of more, those with the fewest failures go, the oldest first.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Failures that cost nothing.
pub const FREE: u32 = 5;
/// Longest wait by user, in microseconds.
const USER_WAIT_US_MAX: u64 = 60 * 1_000_000;
/// Longest wait by address, in microseconds.
const ADDRESS_WAIT_US_MAX: u64 = 15 * 60 * 1_000_000;
/// When failures are forgotten, in microseconds.
pub const FORGET_US: u64 = 30 * 60 * 1_000_000;
/// Most of each kind that are remembered.
pub const ENTRIES_MAX: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Tally {
    failures: u32,
    /// When the last one was, on the monotonic clock.
    last: u64,
}

/// What failures were seen. Instants are microseconds of the monotonic clock.
#[derive(Debug, Default)]
pub struct Throttle {
    users: BTreeMap<String, Tally>,
    addresses: BTreeMap<IpAddr, Tally>,
    /// Users with the addresses they signed in from, and failures of just these.
    known: BTreeMap<(String, IpAddr), Tally>,
}

impl Throttle {
    /// Whether one may try now. It counts as a failure until [`Self::succeeded`] takes it back, so that many at once are counted.
    ///
    /// # Errors
    /// How long to wait, in microseconds.
    pub fn attempt(&mut self, user: &str, address: Option<IpAddr>, now: u64) -> Result<(), u64> {
        let pair = address.map(|address| (user.to_owned(), address));
        let known = pair.filter(|pair| self.known.contains_key(pair));
        let by_name = match &known {
            Some(pair) => wait(self.known.get(pair), now, USER_WAIT_US_MAX),
            None => wait(self.users.get(user), now, USER_WAIT_US_MAX),
        };
        let by_address = address.map_or(0, |address| wait(self.addresses.get(&address), now, ADDRESS_WAIT_US_MAX));
        let longest = by_name.max(by_address);
        if longest > 0 {
            return Err(longest);
        }
        match known {
            Some(pair) => count(&mut self.known, pair, now),
            None => count(&mut self.users, user.to_owned(), now),
        }
        if let Some(address) = address {
            count(&mut self.addresses, address, now);
        }
        Ok(())
    }

    /// The newest attempt was good.
    pub fn succeeded(&mut self, user: &str, address: Option<IpAddr>, now: u64) {
        let Some(address) = address else {
            self.users.remove(user);
            return;
        };
        // What others failed with this name elsewhere stays counted; this attempt does not.
        let pair = (user.to_owned(), address);
        if !self.known.contains_key(&pair) {
            uncount(&mut self.users, user);
        }
        uncount(&mut self.addresses, &address);
        room(&mut self.known);
        self.known.insert(pair, Tally { failures: 0, last: now });
    }

    /// How much is remembered.
    pub fn len(&self) -> usize {
        self.users.len().max(self.addresses.len()).max(self.known.len())
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn wait(tally: Option<&Tally>, now: u64, longest: u64) -> u64 {
    let Some(tally) = tally.filter(|tally| now.saturating_sub(tally.last) < FORGET_US) else { return 0 };
    if tally.failures < FREE {
        return 0;
    }
    let doublings = (tally.failures - FREE).min(20);
    let cost = (1_000_000_u64 << doublings).min(longest);
    (tally.last + cost).saturating_sub(now)
}

fn count<K: Ord + Clone>(tallies: &mut BTreeMap<K, Tally>, key: K, now: u64) {
    if !tallies.contains_key(&key) {
        room(tallies);
    }
    let tally = tallies.entry(key).or_insert(Tally { failures: 0, last: now });
    if now.saturating_sub(tally.last) >= FORGET_US {
        tally.failures = 0;
    }
    tally.failures = tally.failures.saturating_add(1);
    tally.last = now;
}

fn uncount<K: Ord + Borrow<Q>, Q: Ord + ?Sized>(tallies: &mut BTreeMap<K, Tally>, key: &Q) {
    if let Some(tally) = tallies.get_mut(key) {
        tally.failures = tally.failures.saturating_sub(1);
    }
}

fn room<K: Ord + Clone>(tallies: &mut BTreeMap<K, Tally>) {
    if tallies.len() >= ENTRIES_MAX
        && let Some(least) = tallies.iter().min_by_key(|(_, tally)| **tally).map(|(key, _)| key.clone())
    {
        tallies.remove(&least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn from(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([198, 51, 100, last]))
    }

    #[test]
    fn guesses_become_slow_and_are_never_locked_out_for_ever() {
        let mut throttle = Throttle::default();
        let mut now = SECOND;
        for _ in 0..FREE {
            assert_eq!(throttle.attempt("ana", from(1), now), Ok(()));
        }
        // Whoever keeps knocking does not move the end of the wait.
        for knock in 0..100 {
            assert_eq!(throttle.attempt("ana", from(1), now + knock), Err(SECOND - knock));
        }
        let mut longest = 0;
        for _ in 0..40 {
            match throttle.attempt("ana", from(1), now) {
                Ok(()) => {}
                Err(wait) => {
                    longest = longest.max(wait);
                    now += wait;
                    assert_eq!(throttle.attempt("ana", from(1), now), Ok(()), "the wait is over");
                }
            }
        }
        assert_eq!(longest, ADDRESS_WAIT_US_MAX);
        assert_eq!(throttle.attempt("bob", from(2), now), Ok(()), "another user from elsewhere");
        assert!(throttle.attempt("bob", from(1), now).is_err(), "the address waits whatever the name");
        assert_eq!(throttle.attempt("ana", from(1), now + FORGET_US), Ok(()));
    }

    #[test]
    fn a_known_address_does_not_wait_for_what_others_do() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.attempt("ana", from(9), 0), Ok(()));
        throttle.succeeded("ana", from(9), 0);
        for other in 0..200 {
            throttle.attempt("ana", from(other % 8), u64::from(other)).unwrap_or_default();
        }
        assert!(throttle.attempt("ana", from(30), 300).is_err());
        assert_eq!(throttle.attempt("ana", from(9), 300), Ok(()));
        // Its own failures count.
        for _ in 1..FREE {
            assert_eq!(throttle.attempt("ana", from(9), 300), Ok(()));
        }
        assert!(throttle.attempt("ana", from(9), 300).is_err());
    }

    #[test]
    fn many_at_once_are_counted_before_any_has_failed() {
        let mut throttle = Throttle::default();
        let passed = (0..1000).filter(|_| throttle.attempt("ana", None, 5).is_ok()).count();
        assert_eq!(passed, FREE as usize);
    }

    #[test]
    fn memory_is_bounded_and_who_is_attacked_is_not_forgotten() {
        let mut throttle = Throttle::default();
        for _ in 0..FREE {
            assert_eq!(throttle.attempt("ana", None, 0), Ok(()));
        }
        for one in 0..20_000_u32 {
            let address = IpAddr::from(one.to_be_bytes());
            throttle.attempt(&format!("nobody-{one}"), Some(address), u64::from(one)).unwrap_or_default();
        }
        assert!(throttle.len() <= ENTRIES_MAX);
        assert!(throttle.attempt("ana", None, 20_000).is_err());
    }
}

//! Sign-ins that are under way: each by its state, bound to the browser that began it, for ten minutes, once.
//!
//! Limits: [`PENDING_MAX`] in all, the oldest make room; [`PENDING_OF_ADDRESS`] of one address, whose own oldest do, so that one cannot push the others out.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Most sign-ins that are under way.
pub const PENDING_MAX: usize = 4096;
/// Most of one address.
pub const PENDING_OF_ADDRESS: usize = 32;
/// How long one may take, in microseconds: 10 min.
pub const PENDING_US: u64 = 600 * 1_000_000;

/// One that is under way.
#[derive(Clone, PartialEq, Eq)]
pub struct Begun {
    /// The hash of what the browser that began it holds.
    pub browser: [u8; 32],
    /// What the ID token must repeat.
    pub nonce: String,
    /// What the code is redeemed with.
    pub verifier: String,
    /// Where to go then.
    pub next: String,
    /// Where it was begun; `None`: this machine, where a proxy may stand for everybody.
    pub address: Option<IpAddr>,
    /// When, on the monotonic clock in microseconds.
    pub at: u64,
}

/// Why there is nothing to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Nobody began it, or it was ended before.
    Unknown,
    /// It took too long.
    Late,
    /// Another browser began it.
    Elsewhere,
}

/// All that are under way, by the hash of their state.
#[derive(Default)]
pub struct Pending(BTreeMap<[u8; 32], Begun>);

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("count", &self.0.len()).finish_non_exhaustive()
    }
}

impl Pending {
    /// One more.
    pub fn begin(&mut self, state: [u8; 32], begun: Begun) {
        if let Some(address) = begun.address {
            self.room(PENDING_OF_ADDRESS, |one| one.address == Some(address));
        }
        if self.0.len() >= PENDING_MAX {
            // Those that are over are let go of when there is need, for nobody can end them.
            let now = begun.at;
            self.0.retain(|_, one| now.saturating_sub(one.at) < PENDING_US);
            self.room(PENDING_MAX, |_| true);
        }
        self.0.insert(state, begun);
    }

    /// Lets the oldest of some go until one more of them fits.
    fn room(&mut self, most: usize, of: impl Fn(&Begun) -> bool) {
        while self.0.values().filter(|one| of(one)).count() >= most {
            let oldest =
                self.0.iter().filter(|(_, one)| of(one)).min_by_key(|(_, one)| one.at).map(|(state, _)| *state);
            let Some(oldest) = oldest else { return };
            self.0.remove(&oldest);
        }
    }

    /// Ends one: whoever asks second is told that there is none.
    ///
    /// # Errors
    /// See [`Lost`].
    pub fn end(&mut self, state: &[u8; 32], browser: Option<[u8; 32]>, now: u64) -> Result<Begun, Lost> {
        let begun = self.0.remove(state).ok_or(Lost::Unknown)?;
        if now.saturating_sub(begun.at) >= PENDING_US {
            return Err(Lost::Late);
        }
        if browser != Some(begun.browser) {
            return Err(Lost::Elsewhere);
        }
        Ok(begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(address: Option<IpAddr>, at: u64) -> Begun {
        Begun { browser: [7; 32], nonce: "n".into(), verifier: "v".into(), next: "/".into(), address, at }
    }

    fn state(nth: usize) -> [u8; 32] {
        let mut state = [0; 32];
        state[..8].copy_from_slice(&nth.to_be_bytes());
        state
    }

    #[test]
    fn one_is_ended_once_in_time_by_its_own_browser() {
        let mut pending = Pending::default();
        for nth in 0..4 {
            pending.begin(state(nth), begun(None, 1000));
        }
        assert!(pending.end(&state(0), Some([7; 32]), 1001).is_ok());
        assert_eq!(pending.end(&state(0), Some([7; 32]), 1001).err(), Some(Lost::Unknown));
        assert_eq!(pending.end(&state(1), Some([8; 32]), 1001).err(), Some(Lost::Elsewhere));
        // Whoever tried with it has used it up.
        assert_eq!(pending.end(&state(1), Some([7; 32]), 1001).err(), Some(Lost::Unknown));
        assert_eq!(pending.end(&state(2), None, 1001).err(), Some(Lost::Elsewhere));
        assert_eq!(pending.end(&state(3), Some([7; 32]), 1000 + PENDING_US).err(), Some(Lost::Late));
    }

    #[test]
    fn many_of_one_address_do_not_push_others_out() {
        let mut pending = Pending::default();
        pending.begin(state(0), begun(Some(IpAddr::from([198, 51, 100, 1])), 0));
        let flood = Some(IpAddr::from([198, 51, 100, 2]));
        for nth in 1..1000 {
            pending.begin(state(nth), begun(flood, nth as u64));
        }
        assert_eq!(pending.0.len(), 1 + PENDING_OF_ADDRESS);
        assert!(pending.end(&state(0), Some([7; 32]), 1).is_ok());
        for nth in 0..PENDING_MAX as u32 + 100 {
            pending.begin(state(nth as usize), begun(Some(IpAddr::from(nth.to_be_bytes())), 50_000));
        }
        assert!(pending.0.len() <= PENDING_MAX);
    }
}

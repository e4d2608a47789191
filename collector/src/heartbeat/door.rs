//! The public door for pings: which token is whose, and how often it may call.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sitepulse_model::id::CheckNo;

use crate::app::AppError;
use crate::enrol::{random, sha256};

/// How many pings of one check are taken in a minute; as many may come at once after a quiet minute.
pub const PINGS_PER_MINUTE: u64 = 60;
/// What one ping costs, on the monotonic clock.
const PING_US: u64 = 60_000_000 / PINGS_PER_MINUTE;
/// Random bytes of a token: 144 bits.
const TOKEN_BYTES: usize = 18;
/// Longest token that is looked at, in bytes.
const TOKEN_TEXT_MAX: usize = 64;

/// Tokens by hash: how long a look takes tells nothing about them. `Debug` shows none.
#[derive(Default)]
pub struct PingDoor {
    checks: RwLock<HashMap<[u8; 32], CheckNo>>,
    /// When a check's allowance is whole again, on the monotonic clock.
    whole_at: Mutex<HashMap<CheckNo, u64>>,
}

impl std::fmt::Debug for PingDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PingDoor")
    }
}

impl PingDoor {
    pub(crate) fn learn(&self, token: &str, check: CheckNo) {
        self.checks.write().unwrap_or_else(PoisonError::into_inner).insert(sha256(token.as_bytes()), check);
    }

    /// The check of a token.
    pub fn check(&self, token: &str) -> Option<CheckNo> {
        if token.len() > TOKEN_TEXT_MAX {
            return None;
        }
        self.checks.read().unwrap_or_else(PoisonError::into_inner).get(&sha256(token.as_bytes())).copied()
    }

    /// Takes one ping out of a check's allowance.
    ///
    /// # Errors
    /// How many seconds to wait when it is used up.
    pub fn take(&self, check: CheckNo, monotonic_us: u64) -> Result<(), u64> {
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let at = whole_at.entry(check).or_default();
        let used_until = (*at).max(monotonic_us) + PING_US;
        let over = used_until.saturating_sub(monotonic_us + PINGS_PER_MINUTE * PING_US);
        if over > 0 {
            return Err(over.div_ceil(1_000_000));
        }
        *at = used_until;
        Ok(())
    }
}

/// A token nobody can guess.
pub(crate) fn new_token() -> Result<String, AppError> {
    Ok(URL_SAFE_NO_PAD.encode(&random()?[..TOKEN_BYTES]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_s_allowance_comes_back_second_by_second() {
        let door = PingDoor::default();
        let check = CheckNo(1);
        for _ in 0..PINGS_PER_MINUTE {
            assert_eq!(door.take(check, 5), Ok(()));
        }
        assert_eq!(door.take(check, 5), Err(1));
        assert_eq!(door.take(CheckNo(2), 5), Ok(()), "each check has its own");
        assert_eq!(door.take(check, 1_000_005), Ok(()));
        assert_eq!(door.take(check, 1_000_005), Err(1));
        assert_eq!(door.take(check, 3_600_000_000), Ok(()));
    }

    #[test]
    fn tokens_are_long_and_each_is_new() {
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        assert!(one.len() == 24 && one != other);
        let door = PingDoor::default();
        door.learn(&one, CheckNo(3));
        assert_eq!((door.check(&one), door.check(&other), door.check(&one[1..])), (Some(CheckNo(3)), None, None));
    }
}

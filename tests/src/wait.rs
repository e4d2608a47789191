//! Waiting for a state, never for an amount of time.

use std::time::Duration;

use sitepulse_daemon::clock;

/// Polls `probe` every 20 ms until it gives a value, for at most `seconds`; panics with `what` and the last answer otherwise.
pub fn until<T, E: std::fmt::Debug>(what: &str, seconds: u64, mut probe: impl FnMut() -> Result<T, E>) -> T {
    let start = clock::monotonic();
    loop {
        match probe() {
            Ok(value) => return value,
            Err(last) => {
                assert!(
                    clock::monotonic().us_since(start) < seconds * 1_000_000,
                    "waited {seconds} s for: {what}; last seen: {last:?}"
                );
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

//! Exponential backoff with full jitter between attempts to reconnect. Randomness enters as a seed.

/// Shortest delay: 250 ms.
pub const DELAY_US_MIN: u64 = 250_000;
/// Longest delay: 30 s.
pub const DELAY_US_MAX: u64 = 30_000_000;

/// The delays of one connection's attempts.
#[derive(Debug, Clone)]
pub struct Backoff {
    state: u64,
    attempt: u32,
}

impl Backoff {
    /// A fresh backoff; give every process (and connection) another `seed`, so that a fleet does not return as one.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed, attempt: 0 }
    }

    /// The delay before the next attempt, in microseconds: drawn evenly from [`DELAY_US_MIN`] to a ceiling that starts at twice
    /// that and doubles with each attempt up to [`DELAY_US_MAX`].
    pub fn next_us(&mut self) -> u64 {
        let ceiling = (DELAY_US_MIN << (self.attempt.min(20) + 1)).min(DELAY_US_MAX);
        self.attempt = self.attempt.saturating_add(1);
        DELAY_US_MIN + self.draw() % (ceiling - DELAY_US_MIN + 1)
    }

    /// Starts over after a success. The random sequence goes on.
    pub const fn reset(&mut self) {
        self.attempt = 0;
    }

    /// How many delays were given since the last reset.
    pub const fn attempts(&self) -> u32 {
        self.attempt
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): enough for jitter, never for secrets.
    const fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_in_bounds_and_grows() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(seed);
            for attempt in 0..40_u32 {
                let delay = backoff.next_us();
                let ceiling = (DELAY_US_MIN << (attempt.min(20) + 1)).min(DELAY_US_MAX);
                assert!((DELAY_US_MIN..=ceiling).contains(&delay), "seed {seed} attempt {attempt}: {delay}");
            }
            backoff.reset();
            assert!(backoff.next_us() <= 2 * DELAY_US_MIN);
        }
    }

    #[test]
    fn jitter_spreads_a_fleet() {
        let late: alloc::vec::Vec<u64> = (0..1000)
            .map(|seed| {
                let mut backoff = Backoff::new(seed);
                (0..10).map(|_| backoff.next_us()).last().unwrap()
            })
            .collect();
        let mean = late.iter().sum::<u64>() / 1000;
        assert!((13_000_000..17_500_000).contains(&mean), "{mean}");
        let early = late.iter().filter(|us| **us < 5_000_000).count();
        assert!((80..260).contains(&early), "{early}");
    }
}

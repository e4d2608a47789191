//! The ground truth: what each check would find, in each region, at each instant of the simulated world.

use std::collections::BTreeMap;

use sitepulse_model::record::{Cause, ProbeState};

use super::rng::Rng;

/// A stretch of trouble of one site.
#[derive(Debug, Clone, Copy)]
struct Episode {
    from_us: i64,
    to_us: i64,
    state: ProbeState,
    /// The region that sees it; `None` is every region.
    region: Option<usize>,
    /// Every answer takes until the timeout.
    slow: bool,
}

/// Every site's episodes, by check number's index in the world.
#[derive(Debug, Default)]
pub struct Site {
    episodes: BTreeMap<usize, Vec<Episode>>,
}

/// What a probe finds.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The state.
    pub state: ProbeState,
    /// Why it is not up.
    pub cause: Option<Cause>,
    /// How long it takes, microseconds.
    pub took_us: i64,
}

impl Site {
    /// Sites that are always up.
    pub fn healthy() -> Self {
        Self::default()
    }

    /// Random episodes for `checks` sites over `until_us`.
    pub fn random(rng: &mut Rng, checks: usize, regions: usize, until_us: i64) -> Self {
        let mut site = Self::default();
        for check in 0..checks {
            let mut at = 0;
            while at < until_us {
                at += rng.range(5, 240) * 1_000_000;
                let length = if rng.chance(30) { rng.range(1, 8) } else { rng.range(10, 150) } * 1_000_000;
                let state = rng.pick(&[ProbeState::Down, ProbeState::Down, ProbeState::Degraded, ProbeState::Unknown]);
                let region = rng.chance(50).then(|| rng.below(regions as u64) as usize);
                let slow = rng.chance(25);
                site.fail(check, at, at + length, state, region, slow);
                at += length;
            }
        }
        site
    }

    /// Adds an episode.
    pub fn fail(
        &mut self,
        check: usize,
        from_us: i64,
        to_us: i64,
        state: ProbeState,
        region: Option<usize>,
        slow: bool,
    ) {
        self.episodes.entry(check).or_default().push(Episode { from_us, to_us, state, region, slow });
    }

    /// What a probe that starts now finds.
    pub fn probe(&self, check: usize, region: usize, now_us: i64, timeout_us: i64, rng: &mut Rng) -> Found {
        let quick = rng.range(2_000, 90_000).min(timeout_us);
        let episode = self.episodes.get(&check).into_iter().flatten().find(|episode| {
            (episode.from_us..episode.to_us).contains(&now_us) && episode.region.is_none_or(|of| of == region)
        });
        let Some(episode) = episode else {
            return Found { state: ProbeState::Up, cause: None, took_us: quick };
        };
        let cause = match episode.state {
            ProbeState::Up => None,
            ProbeState::Degraded => Some(Cause::SoftAssertion),
            ProbeState::Down if episode.slow => Some(Cause::Timeout),
            ProbeState::Down => Some(Cause::ConnectionRefused),
            ProbeState::Unknown => Some(Cause::NetworkLost),
        };
        Found { state: episode.state, cause, took_us: if episode.slow { timeout_us } else { quick } }
    }
}

//! Where the synthetic histories come from: random numbers of a seed, and the weather that services have.

use std::sync::LazyLock;

use sitepulse_model::insight::thresholds::Thresholds;

/// Hours of a week.
pub(crate) const WEEK: i64 = 168;
/// Hours for which looks must not find what may come and go before it closes, as the collector has it (`closes_after_us`).
pub(crate) const CLOSES: i64 = 6;
/// The same of pages.
pub(crate) const PAGES_CLOSE: i64 = 24;
/// Hours of a year.
pub(crate) const YEAR: f64 = 8_766.0;

/// The thresholds, with those that `SITEPULSE_BENCH_RULES` says otherwise: `latency.ratio=1.3,vitals.noise=5`. So others can be tried without a build.
pub(crate) fn thresholds() -> Thresholds {
    static ALL: LazyLock<Thresholds> = LazyLock::new(|| {
        let mut all = Thresholds::default();
        let told = std::env::var("SITEPULSE_BENCH_RULES").unwrap_or_default();
        for (name, value) in told.split(',').filter_map(|one| one.split_once('=')) {
            let value: f64 = value.parse().expect("a number");
            match name {
                "latency.ratio" => all.latency_regression.ratio_new = value,
                "latency.noise" => all.latency_regression.noise_times = value,
                "latency.hold" => all.latency_regression.hold_hours = value as usize,
                "region.ratio" => all.region_slow.shift.ratio_new = value,
                "region.noise" => all.region_slow.shift.noise_times = value,
                "region.hold" => all.region_slow.shift.hold_hours = value as usize,
                "vitals.ratio" => all.vitals_regression.ratio_new = value,
                "vitals.noise" => all.vitals_regression.noise_times = value,
                "vitals.hold" => all.vitals_regression.runs_min = value as usize,
                "flapping.turns" => all.flapping.turns_new = value as u32,
                "flapping.half_hour" => all.flapping.turns_half_hour = value as u32,
                other => panic!("{other} is no threshold"),
            }
        }
        all
    });
    *ALL
}

/// Random numbers of a seed (SplitMix64; Steele, Lea and Flood 2014).
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// Evenly over the logarithm.
    pub(crate) fn log_between(&mut self, from: f64, to: f64) -> f64 {
        self.between(from.ln(), to.ln()).exp()
    }

    /// A whole number, both ends included.
    pub(crate) fn whole(&mut self, from: i64, to: i64) -> i64 {
        from + (self.unit() * (to - from + 1) as f64) as i64
    }

    pub(crate) fn chance(&mut self, of: f64) -> bool {
        self.unit() < of
    }

    /// Normal, of mean 0 and deviation 1.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// How long until the next of events that come so often in a unit of time.
    pub(crate) fn waiting(&mut self, rate: f64) -> f64 {
        -(1.0 - self.unit()).ln() / rate
    }

    pub(crate) fn pick<'l, T>(&mut self, of: &'l [T]) -> &'l T {
        &of[self.whole(0, of.len() as i64 - 1) as usize]
    }
}

/// What makes a service slower and faster without anything being wrong. All levels are logarithms.
///
/// A day and a weekend of its own; jobs at the same hour of each week and each night; a clock that is put forward once; hours that hang together, and days; busy days; deployments that change
/// a few percent for good, with a cold cache for an hour; a slow trend; spikes of one to three hours; hours without runs, and stops of the agent for hours.
pub(crate) struct Weather {
    day: f64,
    peak: f64,
    weekend: f64,
    jobs: Vec<(i64, i64, f64)>,
    clock_change: Option<i64>,
    hour_noise: f64,
    day_noise: f64,
    spikes: f64,
    deployment: f64,
    trend: f64,
    // As it is now.
    hangs: f64,
    today: f64,
    busy: f64,
    deployed: f64,
    spike: (i64, f64),
    stopped: i64,
}

impl Weather {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let jobs = (0..rng.whole(0, 2))
            .map(|_| if rng.chance(0.5) { (24, rng.whole(0, 23)) } else { (WEEK, rng.whole(0, WEEK - 1)) })
            .map(|(every, at)| (every, at, 0.0))
            .collect::<Vec<_>>();
        let mut weather = Self {
            day: rng.between(0.0, 0.25),
            peak: rng.between(0.0, 24.0),
            weekend: rng.between(-0.2, 0.05),
            jobs,
            clock_change: None,
            hour_noise: rng.between(0.01, 0.08),
            day_noise: rng.between(0.005, 0.05),
            spikes: rng.between(0.0, 0.008),
            deployment: rng.between(0.005, 0.03),
            trend: rng.normal() * 0.01 / WEEK as f64,
            hangs: 0.0,
            today: 0.0,
            busy: 0.0,
            deployed: 0.0,
            spike: (0, 0.0),
            stopped: 0,
        };
        weather.jobs.iter_mut().for_each(|job| job.2 = rng.between(0.2, 0.8));
        weather.clock_change = rng.chance(0.5).then(|| rng.whole(0, 20 * WEEK));
        weather
    }

    /// The level of the next hour; `None` where nothing ran. Ask for each hour in turn.
    pub(crate) fn hour(&mut self, hour: i64, rng: &mut Rng) -> Option<f64> {
        let local = hour + i64::from(self.clock_change.is_some_and(|at| hour >= at));
        let of_day = local.rem_euclid(24);
        if of_day == 0 {
            self.today = rng.normal() * self.day_noise;
            self.busy = if rng.chance(1.0 / 30.0) { self.day * 0.75 } else { 0.0 };
        }
        self.hangs = 0.7 * self.hangs + (1.0 - 0.49_f64).sqrt() * self.hour_noise * rng.normal();
        if rng.chance(1.0 / WEEK as f64) {
            self.deployed += rng.normal() * self.deployment;
            self.spike = (1, rng.between(0.0, 0.4));
        }
        if rng.chance(self.spikes) {
            self.spike = (rng.whole(1, 3), rng.between(0.3, 1.6));
        }
        let spike = if self.spike.0 > 0 { self.spike.1 } else { 0.0 };
        self.spike.0 -= 1;
        if rng.chance(1.0 / (4.0 * WEEK as f64)) {
            self.stopped = rng.whole(2, 16);
        }
        self.stopped -= 1;
        if self.stopped >= 0 || rng.chance(0.01) {
            return None;
        }
        let wave = 0.5 + 0.5 * ((of_day as f64 - self.peak) / 24.0 * std::f64::consts::TAU).cos();
        let weekend = if local.rem_euclid(WEEK) >= 120 { self.weekend } else { 0.0 };
        let jobs: f64 =
            self.jobs.iter().filter(|(every, at, _)| local.rem_euclid(*every) == *at).map(|(.., by)| by).sum();
        Some(
            (self.day + self.busy) * wave
                + weekend
                + jobs
                + self.hangs
                + self.today
                + self.deployed
                + self.trend * hour as f64
                + spike,
        )
    }
}

/// The median of so many runs around a level: lognormal, with a lost packet now and then.
pub(crate) fn median_of_runs(level: f64, runs: usize, spread: f64, rng: &mut Rng) -> f64 {
    let mut values: Vec<f64> = (0..runs.max(1))
        .map(|_| {
            let value = (level + spread * rng.normal()).exp();
            if rng.chance(0.01) { value + *rng.pick(&[200e3, 1e6, 3e6]) } else { value }
        })
        .collect();
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// What was measured of one kind of finding.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    /// Histories with a planted cause, and those among them that were found as it was planted.
    pub(crate) planted: usize,
    pub(crate) found: usize,
    /// From the cause to the finding, in hours.
    pub(crate) delays: Vec<f64>,
    /// Findings where nothing was planted.
    pub(crate) false_findings: usize,
    /// Over so many years of checks (or agents, or objectives).
    pub(crate) clean_years: f64,
}

impl Outcome {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub(crate) fn note(&mut self, delay: Option<f64>) {
        self.planted += 1;
        self.found += usize::from(delay.is_some());
        self.delays.extend(delay);
    }

    pub(crate) fn recall(&self) -> f64 {
        self.found as f64 / self.planted.max(1) as f64
    }

    pub(crate) fn false_a_year(&self) -> f64 {
        if self.clean_years > 0.0 { self.false_findings as f64 / self.clean_years } else { 0.0 }
    }

    /// The delay that so large a share of the findings does not exceed.
    pub(crate) fn delay(&self, share: f64) -> f64 {
        let mut delays = self.delays.clone();
        delays.sort_by(f64::total_cmp);
        let at = ((delays.len() as f64 * share).ceil() as usize).clamp(1, delays.len().max(1)) - 1;
        delays.get(at).copied().unwrap_or(f64::NAN)
    }
}

/// A finding of one subject over a history that is looked at again and again, as the shell does: what stands is handed back as known, with its beginning as it was told first, and
/// closes when looks did not find it for so long. Found again it counts again, though within a week it would be the same finding.
#[derive(Clone, Copy)]
pub(crate) struct Standing<T> {
    since: Option<T>,
    missing: Option<i64>,
}

impl<T: Copy> Standing<T> {
    pub(crate) const NONE: Self = Self { since: None, missing: None };

    /// What is handed back as known.
    pub(crate) const fn known(&self) -> Option<T> {
        self.since
    }

    /// Takes in what a look found. Whether that is new.
    pub(crate) fn look(&mut self, at: i64, found: Option<T>, closes_after: i64) -> bool {
        match (self.since, found) {
            (None, Some(since)) => {
                (self.since, self.missing) = (Some(since), None);
                return true;
            }
            (Some(_), Some(_)) => self.missing = None,
            (Some(_), None) => {
                if at - *self.missing.get_or_insert(at) >= closes_after {
                    *self = Self::NONE;
                }
            }
            (None, None) => {}
        }
        false
    }
}

/// When a finding opens over a history. `closes_after` in the unit of `times`.
pub(crate) fn openings<T: Copy>(
    times: impl Iterator<Item = i64>,
    closes_after: i64,
    mut find: impl FnMut(i64, Option<T>) -> Option<T>,
) -> Vec<i64> {
    let (mut standing, mut opened) = (Standing::NONE, Vec::new());
    for at in times {
        let found = find(at, standing.known());
        if standing.look(at, found, closes_after) {
            opened.push(at);
        }
    }
    opened
}

//! Bodies of version 1, as builds before 2026-11-24 wrote them: read, and never written any more.
//!
//! After the head: bytes of raw bits (4 bytes); the raw bits; the coded numbers (`store/range.rs`). The numbers are those of the bits of today; all of them
//! are coded with the chances of those before.

use sitepulse_model::sketch::{BUCKETS_MAX, Sketch};

use super::{PHASES, RollupError, Stop, wrong};
use crate::latency::Latencies;
use crate::store::range::{Cut, Decoder, Number, unzigzag};

pub(super) const VERSION: u8 = 1;

/// What was learnt of the numbers.
struct Models {
    hours: Box<Number>,
    failed: Box<Number>,
    buckets: Box<Number>,
    first: Box<Number>,
    steps: Box<Number>,
    times: Box<Number>,
    edges: Box<Number>,
    sums: Box<Number>,
}

impl Models {
    fn new() -> Self {
        let number = Number::new;
        Self {
            hours: number(),
            failed: number(),
            buckets: number(),
            first: number(),
            steps: number(),
            times: number(),
            edges: number(),
            sums: number(),
        }
    }
}

/// Reads a sketch; `before`: the first bucket of the same phase the hour before.
fn sketch(coder: &mut Decoder<'_>, models: &mut Models, before: &mut u16) -> Result<Sketch, Stop> {
    let count = models.buckets.code(coder, 0)?;
    if count == 0 {
        return Ok(Sketch::new());
    }
    if count > u64::from(BUCKETS_MAX) {
        return Err(wrong("more buckets than there can be"));
    }
    let mut buckets: Vec<(u16, u64)> = Vec::with_capacity(count as usize);
    let mut estimate = 0_u128;
    for _ in 0..count {
        let at = match buckets.last() {
            None => unzigzag(models.first.code(coder, 0)?).wrapping_add(u64::from(*before)),
            Some((last, _)) => models.steps.code_small(coder, 0)?.wrapping_add(u64::from(*last)).wrapping_add(1),
        };
        let times = models.times.code_small(coder, 0)?.wrapping_add(1);
        let Some((bucket, (low, high))) = u16::try_from(at).ok().and_then(|at| Some((at, Sketch::bucket_range(at)?)))
        else {
            return Err(wrong("a bucket too high"));
        };
        estimate = estimate.wrapping_add(u128::from(low + (high - low) / 2).wrapping_mul(u128::from(times)));
        buckets.push((bucket, times));
    }
    let edge = |at: Option<&(u16, u64)>| at.and_then(|(at, _)| Sketch::bucket_range(*at)).unwrap_or_default();
    let ((low, _), (_, high)) = (edge(buckets.first()), edge(buckets.last()));
    *before = buckets.first().map_or(*before, |(at, _)| *at);
    let min = low.wrapping_add(unzigzag(models.edges.code(coder, 0)?));
    let max = high.wrapping_sub(unzigzag(models.edges.code(coder, 0)?));
    let off = u128::from(models.sums.code(coder, 0)?) | u128::from(models.sums.code(coder, 0)?) << 64;
    let sum = estimate.wrapping_add((off >> 1) ^ (off & 1).wrapping_neg());
    Ok(Sketch::from_parts(buckets, min, max, sum)?)
}

/// Reads the hours of a body after its head.
pub(super) fn decode(
    content: &[u8],
    each: &mut impl FnMut(u8, Latencies) -> Result<(), RollupError>,
) -> Result<(), Stop> {
    let (raw, content) = content.split_first_chunk().ok_or(Cut)?;
    let (raw, coded) = content.split_at_checked(u32::from_le_bytes(*raw) as usize).ok_or(Cut)?;
    let (mut coder, mut models, mut before) = (Decoder::new(raw, coded)?, Models::new(), [0_u16; PHASES]);
    let hours = models.hours.code(&mut coder, 0)?;
    if hours > 24 {
        return Err(wrong("more hours than a day has"));
    }
    for _ in 0..hours {
        let hour = u8::try_from(models.hours.code(&mut coder, 0)?).unwrap_or(u8::MAX);
        let mut latencies = Latencies { failed: models.failed.code(&mut coder, 0)?, ..Latencies::default() };
        for (phase, before) in latencies.phases.iter_mut().zip(&mut before) {
            *phase = sketch(&mut coder, &mut models, before)?;
        }
        each(hour, latencies).map_err(Stop::Wrong)?;
    }
    if coder.is_at_end() { Ok(()) } else { Err(Stop::Cut) }
}

use proptest::prelude::*;
use sitepulse_model::record::Phases;
use sitepulse_model::time::UtcMicros;

use super::*;
use crate::latency::{HOUR_US, Sample};
use crate::store::Store;

fn sample() -> impl Strategy<Value = Sample> {
    let us = || proptest::option::of((any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift));
    (0..24_i64, any::<bool>(), us(), us(), us()).prop_map(|(hour, reached, dns, connect, total)| Sample {
        scheduled: UtcMicros(hour * HOUR_US),
        reached,
        phases: if reached { Phases { dns, connect, total, ..Phases::default() } } else { Phases::default() },
    })
}

fn day_of(samples: &[Sample]) -> DayLatencies {
    let mut day = DayLatencies::default();
    samples.iter().for_each(|sample| day.add(sample));
    day
}

proptest! {
    #[test]
    fn all_days_come_back_as_they_were(samples in prop::collection::vec(sample(), 0..80)) {
        let day = day_of(&samples);
        prop_assert_eq!(decode_hours(&encode_hours(&day)), Ok(day.clone()));
        prop_assert_eq!(decode_whole(&encode_whole(&day.whole())), Ok(day.whole()));
    }

    #[test]
    fn any_flipped_byte_is_refused(samples in prop::collection::vec(sample(), 0..8), at: prop::sample::Index, flip in 1..=255_u8) {
        let mut bytes = encode_hours(&day_of(&samples));
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(decode_hours(&bytes).is_err());
    }

    /// The checksum is made right: what is left must hold by itself.
    #[test]
    fn damage_under_a_right_checksum_is_no_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 9..400), raw in 0..90_u8, version in 1..=VERSION
    ) {
        bytes[0] = version;
        if version == coded::VERSION {
            bytes[5..9].copy_from_slice(&[raw, 0, 0, 0]);
        }
        let sum = crc32c::crc32c(&bytes[5..]);
        bytes[1..5].copy_from_slice(&sum.to_le_bytes());
        if let Ok(day) = decode_hours(&bytes) {
            prop_assert!(day.hours.len() <= 24);
        }
    }
}

#[test]
fn sealed_latencies_are_set_and_read_by_agent_and_day() {
    let mut store = Store::in_memory(1, UtcMicros(0)).unwrap();
    let key = |agent| PairKey { bucket: Bucket(3), check: CheckNo(7), agent: AgentNo(agent) };
    let phases = Phases { total: Some(1_000), ..Phases::default() };
    let one = Sample { scheduled: UtcMicros(2 * HOUR_US), reached: true, phases };
    store
        .write(|tables| {
            for (agent, day, times) in [(1, 5, 1), (1, 6, 2), (2, 5, 3), (1, 5, 4)] {
                let scheduled = Day(day).hour(2).start();
                let samples = vec![Sample { scheduled, ..one }; times];
                for bodies in with_sealed(tables, key(agent), samples.into_iter(), &mut Vec::new())? {
                    set(tables, key(agent), &bodies)?;
                }
            }
            Ok(())
        })
        .unwrap();
    let mut found = Vec::new();
    rollups_of(store.read(), (Bucket(3), CheckNo(7)), Class::Whole, (Day(5), Day(6)), |agent, day, body| {
        found.push((agent.0, day.0, decode_whole(body)?.phase(Phase::Total).count()));
        Ok(())
    })
    .unwrap();
    assert_eq!(found, [(1, 5, 5), (1, 6, 2), (2, 5, 3)], "with what was sealed before");
    assert_eq!(
        row(store.read(), key(2), Class::Hours, Day(5), decode_hours).unwrap().unwrap(),
        Some(day_of(&[Sample { scheduled: Day(5).hour(2).start(), ..one }; 3]))
    );
    assert_eq!(row(store.read(), key(2), Class::Whole, Day(6), decode_whole).unwrap().unwrap(), None);
}

#[test]
fn a_day_takes_few_bytes_a_result() {
    let mut dice = 7_u64;
    let mut around = |us: f64, share: f64| {
        let mut roll = || {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 11) as f64 / (1_u64 << 53) as f64
        };
        let normal = (0..12).map(|_| roll()).sum::<f64>() - 6.0;
        let tail = if roll() < 0.01 { 1.0 + 3.0 * roll() } else { 1.0 };
        Some((us * (normal * share).exp() * tail) as u64)
    };
    let mut day = DayLatencies::default();
    for minute in 0..1_440 {
        let phases = Phases {
            dns: around(1_200.0, 0.2),
            connect: around(21_000.0, 0.02),
            tls: around(44_000.0, 0.02),
            send: around(45.0, 0.1),
            first_byte: around(62_000.0, 0.05),
            transfer: around(900.0, 0.15),
            total: around(130_000.0, 0.03),
        };
        day.add(&Sample { scheduled: UtcMicros(minute * 60_000_000), reached: true, phases });
    }
    let (hours, whole) = (encode_hours(&day).len(), encode_whole(&day.whole()).len());
    let each = (hours + whole) as f64 / 1_440.0;
    println!(
        "a day of 1,440 results with seven phases: {hours} B by the hour, {whole} B as a whole, {each:.2} B a result"
    );
    assert!(each <= 5.0, "{each:.2}");
}

/// These bytes are stored: they are read for ever.
#[test]
fn golden_bytes() {
    let at = |hour: i64, us| Sample {
        scheduled: UtcMicros(hour * HOUR_US),
        reached: us > 0,
        phases: if us > 0 { Phases { total: Some(us), ..Phases::default() } } else { Phases::default() },
    };
    let far = [(3, 1_200), (3, 1_200), (3, 180_000), (3, 0), (4, 5), (4, u64::MAX), (23, 44_000)];
    let day = day_of(&far.map(|(hour, us)| at(hour, us)));
    let bytes = encode_hours(&day);
    assert_eq!(decode_hours(&bytes), Ok(day.clone()));
    assert_eq!(
        bytes,
        [
            2, 138, 247, 142, 71, 99, 4, 0, 0, 0, 144, 255, 127, 133, 37, 132, 90, 6, 64, 190, 48, 17, 1, 0, 0, 0, 144,
            255, 255, 134, 58, 36, 152, 63, 7, 253, 255, 255, 255, 255, 255, 255, 207, 49, 0, 0, 0, 0, 127, 255, 187,
            0, 0, 0, 0, 241, 255, 207, 168, 50, 0, 224, 193, 39, 132, 1
        ]
    );
    assert_eq!(encode_whole(&day.whole()).len(), 35);
}

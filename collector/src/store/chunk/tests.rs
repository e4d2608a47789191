use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use proptest::option;
use proptest::prelude::*;
use sitepulse_model::id::{CheckNo, Incarnation, Revision, Seq};
use sitepulse_model::record::{
    Cause, DropReason, Dropped, FACTS_MAX, Fact, FactKey, FactValue, Facts, Missed, MissedCause, Phase, Phases,
    ProbeResult, ProbeState, Record,
};
use sitepulse_model::time::UtcMicros;

use super::*;

/// Numbers of all magnitudes.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift)
}

fn utc() -> impl Strategy<Value = UtcMicros> {
    prop_oneof![any::<i64>(), (0..50_i64).prop_map(|n| n * 60_000_000)].prop_map(UtcMicros)
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let v6 = (any::<[u8; 16]>(), any::<u16>(), any::<u32>(), any::<u32>());
    prop_oneof![
        Just("192.0.2.7:443".parse().unwrap()),
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip), port)),
        v6.prop_map(|(ip, port, flow, scope)| SocketAddrV6::new(ip.into(), port, flow, scope).into()),
    ]
}

fn fact() -> impl Strategy<Value = Fact> {
    let value = prop_oneof![
        (any::<i64>(), 0_u32..63).prop_map(|(value, shift)| FactValue::Number(value >> shift)),
        "\\PC{0,30}".prop_map(FactValue::Text),
        // A document.
        "[a-z]{1,9}".prop_map(|text| FactValue::Text(text.repeat(2_000))),
    ];
    (prop::sample::select(FactKey::ALL), value).prop_map(|(key, value)| Fact { key, value })
}

fn facts() -> impl Strategy<Value = Facts> {
    let more = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(fact(), 0..=FACTS_MAX.min(9))];
    let status = option::of(prop_oneof![Just(200), any::<u16>()]);
    (status, option::of(number()), option::of(utc()), more).prop_map(
        |(status, body_bytes, certificate_expires, more)| Facts { status, body_bytes, certificate_expires, more },
    )
}

fn result() -> impl Strategy<Value = Record> {
    let phases = prop::array::uniform7(option::of(number())).prop_map(|us| {
        let [dns, connect, tls, send, first_byte, transfer, total] = us;
        Phases { dns, connect, tls, send, first_byte, transfer, total }
    });
    let outcome = (
        prop::sample::select(ProbeState::ALL),
        option::of(prop::sample::select(Cause::ALL)),
        option::of(prop::sample::select(Phase::ALL)),
    );
    let rest = (prop_oneof![Just(String::new()), "[a-zä ]{0,60}"], option::of(address()), facts());
    (prop_oneof![Just(1), any::<u32>()], utc(), utc(), phases, outcome, rest).prop_map(
        |(revision, scheduled, started, phases, (state, cause, failed_phase), (detail, address, facts))| {
            Record::Result(ProbeResult {
                check: CheckNo(7),
                revision: Revision(revision),
                scheduled,
                started,
                phases,
                state,
                cause,
                failed_phase,
                detail,
                address,
                facts,
            })
        },
    )
}

fn missed() -> impl Strategy<Value = Record> {
    (utc(), utc(), number(), prop::sample::select(MissedCause::ALL)).prop_map(|(first, last, count, cause)| {
        Record::Missed(Missed { check: CheckNo(7), revision: Revision(2), first, last, count, cause })
    })
}

fn dropped() -> impl Strategy<Value = Record> {
    let seqs = prop::collection::vec((number().prop_map(Seq), number().prop_map(Seq)), 0..20);
    (utc(), utc(), number(), prop::sample::select(DropReason::ALL), seqs).prop_map(
        |(first, last, count, reason, seqs)| {
            Record::Dropped(Dropped { check: CheckNo(7), revision: Revision(2), first, last, count, reason, seqs })
        },
    )
}

fn stored() -> impl Strategy<Value = Stored> {
    let record = prop_oneof![6 => result(), 1 => missed(), 1 => dropped()];
    let key = (prop_oneof![Just(5), any::<u64>()], number(), prop_oneof![Just(0), any::<u32>()]);
    (key, record).prop_map(|((incarnation, seq, provenance), record)| Stored {
        incarnation: Incarnation(incarnation),
        seq: Seq(seq),
        provenance,
        record,
    })
}

fn sorted(mut records: Vec<Stored>) -> Vec<Stored> {
    records.sort_by_key(|stored| (stored.record.scheduled(), stored.incarnation, stored.seq));
    records
}

proptest! {
    #[test]
    fn all_records_come_back_as_they_were(records in prop::collection::vec(stored(), 0..60)) {
        let bytes = encode(&records);
        prop_assert_eq!(decode(&bytes), Ok(sorted(records)));
    }

    #[test]
    fn the_order_given_leaves_no_trace(mut records in prop::collection::vec(stored(), 0..20)) {
        let in_order = sorted(records.clone());
        prop_assume!(in_order.windows(2).all(|pair| {
            let key = |stored: &Stored| (stored.record.scheduled(), stored.incarnation, stored.seq);
            key(&pair[0]) != key(&pair[1])
        }));
        let bytes = encode(&in_order);
        records.reverse();
        prop_assert_eq!(encode(&records), bytes);
    }

    #[test]
    fn any_flipped_byte_is_refused(records in prop::collection::vec(stored(), 0..8), at: prop::sample::Index, flip in 1..=255_u8) {
        let mut bytes = encode(&records);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(decode(&bytes).is_err());
    }

    /// The checksum is made right: what is left must hold by itself.
    #[test]
    fn damage_under_a_right_checksum_neither_panics_nor_takes_much(
        records in prop::collection::vec(stored(), 0..8), at: prop::sample::Index, flip in 1..=255_u8, cut: prop::sample::Index
    ) {
        let mut bytes = encode(&records);
        let at = 5 + at.index(bytes.len() - 5);
        bytes[at] ^= flip;
        let cut = at.max(HEAD_BYTES + cut.index(bytes.len() - HEAD_BYTES + 1));
        for len in [bytes.len(), cut.min(bytes.len())] {
            let mut bytes = bytes[..len].to_vec();
            let sum = crc32c::crc32c(&bytes[5..]);
            bytes[1..5].copy_from_slice(&sum.to_le_bytes());
            if let Ok(records) = decode(&bytes) {
                prop_assert!(records.len() <= RECORDS_MAX);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 5..400), records in 0..=40_u8) {
        bytes[0] = CHUNK_VERSION;
        if bytes.len() > HEAD_BYTES {
            bytes[5..HEAD_BYTES].fill(0);
            bytes[5] = records;
        }
        let sum = crc32c::crc32c(&bytes[5..]);
        bytes[1..5].copy_from_slice(&sum.to_le_bytes());
        if let Ok(records) = decode(&bytes) {
            prop_assert!(records.len() <= RECORDS_MAX);
        }
    }
}

#[test]
fn each_kind_of_damage_is_told() {
    let bytes = encode(&https(3, 1));
    assert_eq!(decode(&[]), Err(ChunkError::Cut(0)));
    assert_eq!(decode(&bytes[..9]), Err(ChunkError::Cut(9)));
    assert_eq!(decode(&[&[2], &bytes[1..]].concat()), Err(ChunkError::Version(2)));
    assert_eq!(decode(&bytes[..bytes.len() - 1]), Err(ChunkError::Checksum));
    let with = |at: usize, value: u32| {
        let mut bytes = bytes.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[5..]);
        bytes[1..5].copy_from_slice(&sum.to_le_bytes());
        decode(&bytes)
    };
    assert_eq!(with(5, u32::MAX), Err(ChunkError::Damaged("more records than a chunk holds")));
    assert_eq!(with(9, u32::MAX), Err(ChunkError::Damaged("longer texts than its records can have")));
    assert_eq!(with(13, u32::MAX), Err(ChunkError::Cut(bytes.len())));
    assert_eq!(with(17, u32::MAX), Err(ChunkError::Cut(bytes.len())));
    assert_eq!(with(5, 2), Err(ChunkError::Damaged("it goes on after its last record")));
}

/// These bytes are stored: they are read for years.
#[test]
fn golden_bytes() {
    let mut records = https(3, 1);
    records[1].record = Record::Missed(Missed {
        check: CheckNo(12),
        revision: Revision(3),
        first: records[1].record.scheduled(),
        last: records[1].record.scheduled(),
        count: 1,
        cause: MissedCause::Overloaded,
    });
    let bytes = encode(&records);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
    assert_eq!(decode(&bytes), Ok(records));
}

const GOLDEN: &str = "01ef08e3e30300000013000000130000002c000000cb007107bb01485454502f32544c5376312e33aaaaaaaaaaaaaae28b7d40356f58d4068de8a262a2271a343200404c948bf2e997dea136f8638cb7bc6a4f05000537d72faa8f97ac2cfe68b8c624c6776694abf5eaf5a368c53a8e234e25ffed983503c252b2058d9449c6d5a945010750f5cdaa68fe00";

/// A small fixed generator.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A duration around `us`: mostly within `share` of it, now and then far above.
    fn around(&mut self, us: f64, share: f64) -> u64 {
        let normal = (0..12).map(|_| self.roll()).sum::<f64>() - 6.0;
        let tail = if self.roll() < 0.01 { 1.0 + 3.0 * self.roll() } else { 1.0 };
        (us * (normal * share).exp() * tail) as u64
    }
}

/// Results of an HTTPS check at 60 s.
fn https(count: u64, seed: u64) -> Vec<Stored> {
    let dice = &mut Dice(seed);
    let mut seq = 4_000;
    (0..count)
        .map(|n| {
            seq += if dice.roll() < 0.05 { 4 } else { 3 };
            let scheduled = UtcMicros(1_795_341_612_345_000 + n as i64 * 60_000_000);
            let phases = Phases {
                dns: (dice.roll() < 0.5 && seed.is_multiple_of(2)).then(|| dice.around(1_200.0, 0.2)),
                connect: Some(dice.around(21_000.0, 0.02)),
                tls: Some(dice.around(44_000.0, 0.02)),
                send: Some(dice.around(45.0, 0.1)),
                first_byte: Some(dice.around(62_000.0, 0.05)),
                transfer: Some(dice.around(900.0, 0.15)),
                total: None,
            };
            let sum: u64 = Phase::ALL.iter().filter_map(|phase| phases.get(*phase)).sum();
            let record = Record::Result(ProbeResult {
                check: CheckNo(12),
                revision: Revision(3),
                scheduled,
                started: scheduled.plus_us(dice.around(1_100.0, 0.1) as i64),
                phases: Phases { total: Some(sum + dice.around(90.0, 0.15)), ..phases },
                state: ProbeState::Up,
                cause: None,
                failed_phase: None,
                detail: String::new(),
                address: Some("203.0.113.7:443".parse().unwrap()),
                facts: Facts {
                    status: Some(200),
                    body_bytes: Some(18_211),
                    certificate_expires: Some(UtcMicros(1_800_000_000_000_000)),
                    more: vec![
                        Fact { key: FactKey::HttpVersion, value: FactValue::Text("HTTP/2".into()) },
                        Fact { key: FactKey::TlsVersion, value: FactValue::Text("TLSv1.3".into()) },
                    ],
                },
            });
            Stored { incarnation: Incarnation(u64::MAX / 3), seq: Seq(seq), provenance: 2, record }
        })
        .collect()
}

#[test]
fn an_https_result_takes_few_bytes() {
    for (count, seed, most) in [(288, 1, 11.0), (720, 1, 10.0), (1_000, 1, 10.0), (720, 2, 10.0), (1_440, 1, 10.0)] {
        let records = https(count, seed);
        let bytes = encode(&records);
        let each = bytes.len() as f64 / count as f64;
        println!("{count} HTTPS results of kind {seed}: {each:.2} B each");
        assert!(each <= most, "{each:.2} B");
        assert_eq!(decode(&bytes).unwrap(), records);
    }
}

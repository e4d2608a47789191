//! Whatever a record holds comes back from each format.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::path::Path;

use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::exchange::files::{Item, Reader, Writer};
use crate::exchange::histories::Histories;
use crate::exchange::{ExchangeError, Format};

/// Instants that people can write: from 1900 to 2200.
fn instants() -> impl Strategy<Value = UtcMicros> {
    (-2_208_988_800_000_000_i64..7_258_118_400_000_000).prop_map(UtcMicros)
}

fn numbers() -> impl Strategy<Value = u64> {
    (any::<u64>(), 1_u32..64).prop_map(|(value, shift)| value >> shift)
}

fn addresses() -> impl Strategy<Value = SocketAddr> {
    let port = || prop_oneof![Just(0_u16), any::<u16>()];
    prop_oneof![
        (any::<[u8; 4]>(), port()).prop_map(|(ip, port)| SocketAddr::new(ip.into(), port)),
        (any::<[u8; 16]>(), port(), 0_u32..3).prop_map(|(ip, port, scope)| SocketAddrV6::new(
            Ipv6Addr::from(ip),
            port,
            0,
            scope
        )
        .into()),
    ]
}

fn facts() -> impl Strategy<Value = Facts> {
    let fact = (prop::sample::select(FactKey::ALL), any::<i64>(), "\\PC{1,40}");
    let fixed = (option::of(any::<u16>()), option::of(numbers()), option::of(instants()));
    (fixed, prop::collection::vec(fact, 0..8)).prop_map(|((status, body_bytes, certificate_expires), more)| {
        let mut facts = Facts { status, body_bytes, certificate_expires, ..Facts::default() };
        for (key, number, text) in more {
            if key.is_number() { facts.number(key, number) } else { facts.text(key, &text) }
        }
        facts.shorten();
        facts
    })
}

fn results() -> impl Strategy<Value = Record> {
    let cause = option::of(prop::sample::select(Cause::ALL));
    let phases = prop::collection::vec((prop::sample::select(Phase::ALL), numbers()), 0..7);
    let rest = (option::of(prop::sample::select(Phase::ALL)), "[ -~ä\"]{0,60}", option::of(addresses()), facts());
    (1_u32..9, instants(), instants(), cause, phases, rest).prop_map(
        |(revision, scheduled, started, cause, durations, (failed_phase, detail, address, facts))| {
            let mut phases = Phases::default();
            for (phase, us) in durations {
                if phases.get(phase).is_none() {
                    phases.add(phase, us);
                }
            }
            let state = match cause.map(Cause::code) {
                None => ProbeState::Up,
                Some(0..64) => ProbeState::Down,
                Some(64..96) => ProbeState::Degraded,
                Some(_) => ProbeState::Unknown,
            };
            let (check, revision) = (CheckNo(0), Revision(revision));
            Record::Result(ProbeResult {
                check,
                revision,
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

fn ranges() -> impl Strategy<Value = Record> {
    let seqs = prop::collection::vec((numbers(), numbers()), 0..5);
    let words = (prop::sample::select(MissedCause::ALL), prop::sample::select(DropReason::ALL), any::<bool>());
    (1_u32..9, instants(), instants(), numbers(), words, seqs).prop_map(
        |(revision, first, last, count, (cause, reason, is_missed), seqs)| {
            let (check, revision) = (CheckNo(0), Revision(revision));
            let seqs = seqs.into_iter().map(|(first, last)| (Seq(first), Seq(last))).collect();
            if is_missed {
                Record::Missed(Missed { check, revision, first, last, count, cause })
            } else {
                Record::Dropped(Dropped { check, revision, first, last, count, reason, seqs })
            }
        },
    )
}

fn named() -> impl Strategy<Value = Named> {
    let record = prop_oneof![3 => results(), 1 => ranges()];
    let provenance = ("[a-z0-9.+]{1,20}", option::of(any::<i64>()), numbers());
    (("[a-z]{1,9}", "[a-z]{1,9}", "[a-z]{1,9}"), any::<u64>(), numbers(), provenance, record).prop_map(
        |((check, agent, region), incarnation, seq, (build, clock_offset_us, clock_uncertainty_us), record)| Named {
            check,
            agent,
            region,
            incarnation: Incarnation(incarnation),
            seq: Seq(seq),
            provenance: Provenance { build, clock_offset_us, clock_uncertainty_us },
            record,
        },
    )
}

fn nothing() -> Histories {
    let exported = Instant(UtcMicros(1_790_000_000_000_000));
    Histories {
        exported,
        checks: Vec::new(),
        agents: Vec::new(),
        events: Vec::new(),
        objects: Vec::new(),
        scores: Vec::new(),
    }
}

fn read(path: &Path, format: Format) -> Result<(Vec<Row>, usize), ExchangeError> {
    let mut reader = Reader::open(path, format)?;
    let (mut rows, mut histories) = (Vec::new(), 0);
    while let Some(item) = reader.read()? {
        match item {
            Item::Row(row) => rows.push(*row),
            Item::Histories(read) => {
                assert_eq!(*read, nothing());
                histories += 1;
            }
        }
    }
    Ok((rows, histories))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn records_come_back_from_every_format(records in prop::collection::vec(named(), 1..20)) {
        let dir = tempfile::tempdir().unwrap();
        for (name, histories) in [("a.jsonl", 1), ("a.csv", 0), ("a.parquet", 1)] {
            let path = dir.path().join(name);
            let format = Format::of(&path).unwrap();
            let mut writer = Writer::create(&path, format, &nothing()).unwrap();
            for named in &records {
                writer.write(Row::of(named)).unwrap();
            }
            writer.finish().unwrap();
            let (rows, found) = read(&path, format).unwrap();
            prop_assert_eq!(found, histories, "{}", name);
            let back: Vec<Named> = rows.into_iter().map(|row| row.into_named().unwrap()).collect();
            prop_assert_eq!(&back, &records, "{}", name);
        }
    }
}

#[test]
fn wrong_lines_are_named_with_their_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path, Format::of(&path).unwrap()).unwrap_err().to_string()
    };
    let jsonl = wrong("a.jsonl", "{\"kind\":\"result\"}\n{\"knid\":\"result\"}\n");
    assert!(jsonl.contains("a.jsonl: line 2: ") && jsonl.contains("knid"), "{jsonl}");
    let csv = wrong("a.csv", "kind,revision\nresult,1\nresult,one\n");
    assert!(csv.contains("a.csv: line 3: "), "{csv}");
    let parquet = wrong("a.parquet", "PAR1 but no more");
    assert!(parquet.contains("a.parquet: Parquet: "), "{parquet}");
    let unfit = |change: fn(&mut Row)| {
        let mut row = Row {
            kind: Some("result".into()),
            check: Some("shop".into()),
            agent: Some("eu".into()),
            incarnation: Some("00ff".into()),
            seq: Some(1),
            revision: Some(1),
            scheduled: Some(Instant(UtcMicros(0))),
            state: Some("up".into()),
            ..Row::default()
        };
        assert!(row.clone().into_named().is_ok());
        change(&mut row);
        row.into_named().unwrap_err()
    };
    for (what, error) in [
        ("kind \"ran\" is none: write result, missed or dropped", unfit(|row| row.kind = Some("ran".into()))),
        ("check is missing", unfit(|row| row.check = None)),
        ("known are up, degraded, down, unknown", unfit(|row| row.state = Some("fine".into()))),
        ("contradict each other", unfit(|row| row.state = Some("down".into()))),
        ("seq is below 0", unfit(|row| row.seq = Some(-1))),
        ("incarnation \"x\"", unfit(|row| row.incarnation = Some("x".into()))),
        ("address \"nowhere\"", unfit(|row| row.address = Some("nowhere".into()))),
        ("facts: attempts is a number", unfit(|row| row.facts = Some("[[\"attempts\",\"two\"]]".into()))),
    ] {
        assert!(error.contains(what), "{what}: {error}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    std::fs::write(&path, "mine").unwrap();
    assert!(matches!(Writer::create(&path, Format::Csv, &nothing()), Err(ExchangeError::File { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

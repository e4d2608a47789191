//! What is damaged, cut or made up is refused, each with the error that names it.

use proptest::prelude::*;
use sitepulse_model::id::{Bucket, Revision, Seq};
use sitepulse_model::record::{Cause, FACTS_MAX, FactKey, ProbeResult, Record};
use sitepulse_wire::frame::{
    BODY_BYTES_MAX, DecodeError, EncodeError, FrameDecoder, FrameError, HEADER_BYTES, Message, PUSH_BYTES_MAX,
};
use sitepulse_wire::message::{
    BATCH_RECORDS_MAX, Batch, Entry, SECRET_BYTES_MAX, SECRETS_MAX, SecretsPart, ToAgent, ToCollector,
};
use sitepulse_wire::record::{self, DecodeError as RecordError, RECORD_BYTES_MAX};

use crate::{arbitrary, samples};

fn decode<M: Message>(bytes: &[u8]) -> Result<Option<M>, FrameError> {
    let mut decoder = FrameDecoder::new();
    decoder.push(bytes)?;
    let message = decoder.next()?;
    decoder.finish()?;
    Ok(message)
}

/// A frame around any body, with the right checksum.
fn frame(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = b"SP\x01\x00".to_vec();
    frame.extend_from_slice(&kind.to_le_bytes());
    frame.extend_from_slice(&[0, 0]);
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&frame), body);
    frame.extend_from_slice(&crc.to_le_bytes());
    frame.extend_from_slice(body);
    frame
}

fn sample_batch() -> Batch {
    let batch = samples::to_collector().into_iter().find_map(|(_, message)| match message {
        ToCollector::Batch(batch) => Some(batch),
        _ => None,
    });
    batch.unwrap()
}

#[test]
fn every_damage_of_a_single_byte_is_seen() {
    for (name, message) in samples::to_collector() {
        let bytes = message.encode().unwrap();
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                assert!(decode::<ToCollector>(&damaged).is_err(), "{name}, byte {at} ^ {flip:#x}");
            }
        }
    }
}

#[test]
fn every_truncation_is_seen() {
    for (name, message) in samples::to_agent() {
        let bytes = message.encode().unwrap();
        assert_eq!(decode::<ToAgent>(&[]), Ok(None));
        for length in 1..bytes.len() {
            assert_eq!(decode::<ToAgent>(&bytes[..length]), Err(FrameError::Truncated { bytes: length }), "{name}");
        }
    }
    for (name, record) in samples::records() {
        let mut bytes = Vec::new();
        record::encode(&record, &mut bytes);
        for length in 0..bytes.len() {
            assert!(record::decode(&bytes[..length]).is_err(), "{name} cut to {length}");
        }
        bytes.push(0);
        assert_eq!(record::decode(&bytes), Err(RecordError::Trailing { bytes: 1 }), "{name}");
    }
}

#[test]
fn headers_tell_what_is_wrong() {
    let good = ToCollector::LaneOpen(sitepulse_wire::message::Lane::Fresh).encode().unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        decode::<ToCollector>(&frame).unwrap_err()
    };
    assert!(
        decode::<ToCollector>(b"GET / HTTP/1.1\r\n\r\n")
            .unwrap_err()
            .to_string()
            .starts_with("this is not a SitePulse peer")
    );
    assert_eq!(with(2, &[9, 0]).to_string(), "peer speaks protocol 9, this build understands 1..=1: upgrade this side");
    assert_eq!(with(2, &[0, 0]).to_string(), "peer speaks protocol 0, this build understands 1..=1: upgrade the peer");
    assert_eq!(with(6, &[1, 0]), FrameError::Reserved { found: 1 });
    assert_eq!(with(8, &[1, 0, 16, 0]), FrameError::TooLong { bytes: BODY_BYTES_MAX as u64 + 1 });
    assert!(matches!(with(12, &[0, 0, 0, 0]), FrameError::Crc { found: 0, .. }));
    assert!(matches!(with(4, &[3, 0]), FrameError::Crc { .. }));
}

#[test]
fn bodies_tell_what_is_wrong() {
    let message = |kind, body: &[u8]| match decode::<ToCollector>(&frame(kind, body)).unwrap_err() {
        FrameError::Message(error) => error,
        other => panic!("{other}"),
    };
    assert_eq!(message(129, &[]), DecodeError::UnknownKind { kind: 129, towards: "a collector" });
    assert_eq!(message(2, &[1, 0]), DecodeError::Trailing { bytes: 1 });
    assert!(message(2, &[9]).to_string().contains("lane_open.lane: there is no lane 9"));
    assert!(matches!(message(1, &[]), DecodeError::Malformed(_)));
    // A list that announces four billion events.
    assert!(matches!(message(4, &[252, 255, 255, 255, 255]), DecodeError::Malformed(_)));
}

#[test]
fn a_long_frame_is_refused_before_its_body_comes() {
    let mut header = frame(3, &[])[..HEADER_BYTES].to_vec();
    header[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut decoder = FrameDecoder::new();
    assert_eq!(decoder.push(&header[..12]), Ok(()));
    assert_eq!(decoder.push(&header[12..]), Err(FrameError::TooLong { bytes: u32::MAX.into() }));
    // It stays failed, and keeps nothing.
    assert_eq!(decoder.push(&[0; 10]), Err(FrameError::TooLong { bytes: u32::MAX.into() }));
    assert!(decoder.next::<ToCollector>().is_err() && decoder.finish().is_err());
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn the_decoder_holds_one_frame_and_one_read_at_most() {
    let mut decoder = FrameDecoder::new();
    assert_eq!(decoder.push(&vec![0; PUSH_BYTES_MAX + 1]), Err(FrameError::Overfull));
    let frames: Vec<u8> = frame(8, &vec![0; 60_000]).repeat(40);
    let mut decoder = FrameDecoder::new();
    let overfull = frames.chunks(PUSH_BYTES_MAX).find_map(|piece| {
        assert!(decoder.buffered() <= HEADER_BYTES + BODY_BYTES_MAX + PUSH_BYTES_MAX);
        decoder.push(piece).err()
    });
    assert_eq!(overfull, Some(FrameError::Overfull));
}

fn result(record: &mut Record, change: fn(&mut sitepulse_model::record::ProbeResult)) {
    if let Record::Result(result) = record {
        change(result);
    }
}

#[test]
fn what_breaks_a_rule_is_not_sent() {
    let refused = |change: &dyn Fn(&mut Batch)| {
        let mut batch = sample_batch();
        change(&mut batch);
        ToCollector::Batch(batch).encode().unwrap_err().to_string()
    };
    let says = |text: String, part: &str| assert!(text.contains(part), "{text}");
    says(refused(&|batch| batch.entries[2].bucket = Bucket(64)), "batch.entries[2].bucket: there is no such bucket");
    says(refused(&|batch| batch.entries[0].provenance = 2), "batch.entries[0].provenance");
    says(refused(&|batch| batch.entries.clear()), "0 records");
    says(refused(&|batch| batch.entries = vec![batch.entries[0].clone(); BATCH_RECORDS_MAX + 1]), "4097 records");
    says(refused(&|batch| batch.number = 0), "batches count from 1");
    says(refused(&|batch| batch.provenances[0].build = "x".repeat(101)), "batch.provenances.build: 101 bytes");
    let record = |change: fn(&mut Record)| {
        refused(&|batch| batch.entries.iter_mut().for_each(|entry| change(&mut entry.record)))
    };
    says(record(|r| result(r, |result| result.cause = Some(Cause::SoftAssertion))), "the cause does not fit the state");
    says(record(|r| result(r, |result| result.revision = Revision(0))), "revisions count from 1");
    says(record(|r| result(r, |result| result.detail = "x".repeat(301))), "the detail is too long");
    says(
        record(|r| {
            if let Record::Missed(m) = r {
                m.last = m.first.plus_us(-1)
            }
        }),
        "the last slot is before the first",
    );
    says(
        record(|r| {
            if let Record::Dropped(d) = r {
                d.seqs.reverse()
            }
        }),
        "do not ascend",
    );
    says(
        record(|r| {
            if let Record::Dropped(d) = r {
                d.seqs = vec![(Seq(1), Seq(1)); 1001]
            }
        }),
        "too many ranges",
    );
}

#[test]
fn too_much_for_a_frame_is_refused_by_its_sender() {
    let (_, failure) = samples::records().swap_remove(1);
    let mut batch = sample_batch();
    batch.entries.truncate(1);
    batch.entries[0].record = failure;
    if let Record::Result(result) = &mut batch.entries[0].record {
        result.detail = "x".repeat(300);
    }
    batch.entries = vec![batch.entries[0].clone(); BATCH_RECORDS_MAX];
    assert!(matches!(ToCollector::Batch(batch).encode(), Err(EncodeError::TooLong { .. })));
}

/// A batch is read from the spool until it has 256 KiB: the last record comes on top, whole.
#[test]
fn a_batch_of_pages_fits_into_a_frame_with_its_last_record() {
    const BATCH_BYTES: usize = 256 << 10;
    let page = samples::largest();
    let mut spooled = Vec::new();
    record::encode(&page, &mut spooled);
    assert!(spooled.len() > 112 << 10 && spooled.len() <= RECORD_BYTES_MAX, "{} bytes", spooled.len());
    assert_eq!(record::decode(&spooled).as_ref(), Ok(&page));
    let mut batch = sample_batch();
    let entry = batch.entries[0].clone();
    batch.entries.clear();
    let mut bytes = 0;
    while bytes < BATCH_BYTES {
        bytes += spooled.len();
        batch.entries.push(Entry { seq: Seq(batch.entries.len() as u64 + 1), record: page.clone(), ..entry.clone() });
    }
    let message = ToCollector::Batch(batch.clone());
    let frame = message.encode().unwrap();
    assert!(frame.len() - HEADER_BYTES <= BATCH_BYTES + RECORD_BYTES_MAX, "{} bytes", frame.len());
    let mut decoder = FrameDecoder::new();
    for piece in frame.chunks(PUSH_BYTES_MAX) {
        decoder.push(piece).unwrap();
    }
    assert_eq!(decoder.next(), Ok(Some(message)));
    // Many more are refused by their sender, before anything is sent.
    batch.entries = vec![batch.entries[0].clone(); BODY_BYTES_MAX / spooled.len() + 1];
    assert!(matches!(ToCollector::Batch(batch).encode(), Err(EncodeError::TooLong { .. })));
}

#[test]
fn a_document_beyond_its_bound_is_left_out_and_refused() {
    for (key, code) in [(FactKey::VitalsReport, 164_u8), (FactKey::Screenshot, 165)] {
        let with = |bytes: usize, more: bool| {
            let mut result = samples::success();
            if more {
                result.facts.text(FactKey::Profile, "mobile");
            }
            result.facts.text(key, &"x".repeat(bytes));
            result
        };
        let back = |result: &ProbeResult| {
            let mut bytes = Vec::new();
            record::encode(&Record::Result(result.clone()), &mut bytes);
            let alone = match record::decode(&bytes).unwrap() {
                Record::Result(result) => result,
                other => panic!("{other:?}"),
            };
            let mut batch = sample_batch();
            batch.entries.truncate(1);
            batch.entries[0].record = Record::Result(result.clone());
            let frame = ToCollector::Batch(batch).encode().unwrap();
            let mut decoder = FrameDecoder::new();
            frame.chunks(PUSH_BYTES_MAX).for_each(|piece| decoder.push(piece).unwrap());
            match decoder.next().unwrap().unwrap() {
                ToCollector::Batch(batch) => assert_eq!(batch.entries[0].record, Record::Result(alone.clone())),
                other => panic!("{other:?}"),
            }
            alone
        };
        let most = key.bytes_max();
        assert_eq!(back(&with(most, true)), with(most, true), "{key}: all of it is carried");
        assert_eq!(back(&with(most + 1, true)).facts.more.len(), 1, "{key}: half of one is none");
        assert_eq!(back(&with(most + 1, false)), samples::success(), "{key}: nothing is left");
        // A peer that sends it all the same is refused.
        let mut bytes = Vec::new();
        record::encode(&Record::Result(with(most, false)), &mut bytes);
        let at = bytes.windows(2).position(|pair| pair == [code, 1]).unwrap();
        let length = |bytes: usize| [bytes as u8 | 0x80, (bytes >> 7) as u8 | 0x80, (bytes >> 14) as u8];
        assert_eq!(bytes[at + 2..at + 5], length(most));
        bytes.splice(at + 2..at + 5, length(most + 1));
        bytes.push(b'x');
        assert_eq!(record::decode(&bytes), Err(RecordError::Malformed { field: "facts" }), "{key}");
    }
}

#[test]
fn a_bad_check_is_named() {
    let encode = |check| {
        let part = sitepulse_wire::message::AssignmentPart { revision: 1, part: 0, parts: 1, checks: vec![check] };
        ToAgent::Assignment(part).encode().unwrap_err().to_string()
    };
    let mut check = samples::check();
    check.definition.interval_us = 999;
    assert!(encode(check).contains("assignment.check shop.interval_us: 999 microseconds"));
    let mut check = samples::check();
    check.definition.kind = sitepulse_model::check::CheckKind::http("ftp://x");
    assert!(encode(check).contains("assignment.check shop.target: url: \"ftp://x\""));
}

#[test]
fn a_record_of_a_newer_build_is_refused_by_its_version() {
    let error = record::decode(&[9, 0, 0]).unwrap_err();
    assert_eq!(error, RecordError::Version { found: 9 });
    assert!(error.to_string().contains("upgrade"));
    assert_eq!(record::decode(&[]), Err(RecordError::Empty));
}

#[test]
fn secrets_stay_out_of_logs() {
    let (_, join) = samples::to_collector().swap_remove(6);
    assert!(!format!("{join:?}").contains("7, 7"));
}

proptest! {
    #[test]
    fn any_body_of_any_kind_is_handled(kind in prop_oneof![1_u16..10, 129_u16..139, any::<u16>()], body in prop::collection::vec(any::<u8>(), 0..2000)) {
        let bytes = frame(kind, &body);
        drop(decode::<ToCollector>(&bytes));
        drop(decode::<ToAgent>(&bytes));
    }

    /// A valid body with a few bytes changed gets further into the decoders than noise.
    #[test]
    fn nearly_valid_bodies_are_handled(message in arbitrary::to_collector(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let encoded = message.encode().unwrap();
        let mut body = encoded[HEADER_BYTES..].to_vec();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let kind = u16::from_le_bytes([encoded[4], encoded[5]]);
        if let Ok(Some(message)) = decode::<ToCollector>(&frame(kind, &body)) {
            // Whatever is taken can be sent again.
            message.encode().unwrap();
        }
    }

    #[test]
    fn any_bytes_pushed_are_handled(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..10)) {
        let mut decoder = FrameDecoder::new();
        for piece in pieces {
            drop(decoder.push(&piece));
            while let Ok(Some(_)) = decoder.next::<ToCollector>() {}
        }
    }

    #[test]
    fn any_bytes_as_a_record_are_handled(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(record::decode(&bytes));
        drop(record::decode(&[&[1], &bytes[..]].concat()));
    }
}

#[test]
fn facts_are_bounded_and_known() {
    let Record::Result(mut result) = samples::records().into_iter().next().unwrap().1 else { panic!("a result") };
    let encode = |result: &ProbeResult| {
        let mut bytes = Vec::new();
        record::encode(&Record::Result(result.clone()), &mut bytes);
        bytes
    };
    // The facts are last: how many, then a key and a number of one byte each.
    result.facts.number(FactKey::Attempts, 3);
    let good = encode(&result);
    let (head, facts) = good.split_at(good.len() - 3);
    assert_eq!(facts, [1, FactKey::Attempts.code(), 6]);
    let with = |facts: &[u8]| record::decode(&[head, facts].concat());
    assert!(with(facts).is_ok());
    let many = |count: usize| {
        let mut bytes = vec![count as u8];
        bytes.extend([FactKey::FailedAttempt.code(), 1, b'x'].repeat(count));
        bytes
    };
    assert!(with(&many(FACTS_MAX)).is_ok());
    for bad in [
        many(FACTS_MAX + 1),
        vec![0],
        vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        vec![1, 0, 6],
        vec![1, 255, 1, 6],
        vec![1, FactKey::HttpVersion.code(), 2, 0xff, 0xff],
        [&[1, FactKey::HttpVersion.code(), 201, 1][..], &[b'x'; 201]].concat(),
        vec![1, FactKey::HttpVersion.code(), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    ] {
        assert!(with(&bad).is_err(), "{bad:?}");
    }
}

/// A newer agent tells more than an older collector has names for: the refusal says who is to be upgraded. (The agent deletes nothing that was not
/// acknowledged, so it sends it again then.)
#[test]
fn a_fact_that_only_a_newer_build_knows_is_refused_with_who_should_upgrade() {
    // Of one byte, as the one that it takes the place of.
    let unknown = (1..128).rev().find(|code| FactKey::from_code(*code).is_none()).unwrap();
    let mut result = samples::success();
    result.facts.text(FactKey::CertificateSha256, "known today");
    let renamed = |bytes: &[u8]| {
        let known = [1, FactKey::CertificateSha256.code(), 11];
        let at = bytes.windows(known.len()).position(|window| window == known).unwrap();
        let mut bytes = bytes.to_vec();
        bytes[at + 1] = unknown;
        bytes
    };
    let mut bytes = Vec::new();
    record::encode(&Record::Result(result.clone()), &mut bytes);
    assert!(record::decode(&bytes).is_ok());
    let error = record::decode(&renamed(&bytes)).unwrap_err();
    assert_eq!(error, RecordError::NewerFact { key: unknown.into() });
    assert!(
        error.to_string().contains(&format!("key {unknown}, which this build does not know: upgrade it")),
        "{error}"
    );

    let entry = Entry { bucket: Bucket(1), seq: Seq(1), provenance: 0, record: Record::Result(result) };
    let sent = ToCollector::Batch(Batch { entries: vec![entry], ..sample_batch() }).encode().unwrap();
    assert!(decode::<ToCollector>(&sent).is_ok());
    let newer = frame(3, &renamed(&sent[HEADER_BYTES..]));
    let refused = decode::<ToCollector>(&newer).unwrap_err().to_string();
    assert!(refused.contains("upgrade the collector first"), "{refused}");
}

#[test]
fn secrets_are_bounded_and_never_shown() {
    let part = |secrets: Vec<(String, String)>| ToAgent::Secrets(SecretsPart { part: 0, parts: 1, secrets });
    let one = |name: &str, value: &str| part(vec![(name.to_owned(), value.to_owned())]).encode();
    assert!(one(&"a".repeat(64), &"x".repeat(SECRET_BYTES_MAX)).is_ok());
    assert!(one(&"a".repeat(65), "x").is_err());
    assert!(one("a", &"x".repeat(SECRET_BYTES_MAX + 1)).is_err());
    let many = (0..=SECRETS_MAX).map(|n| (format!("s{n}"), "x".to_owned())).collect();
    assert!(part(many).encode().is_err());
    assert!(!format!("{:?}", part(vec![("name".into(), "hidden".into())])).contains("hidden"));
}

#[test]
fn facts_that_nobody_shortened_are_written_as_they_are_read() {
    let mut result = samples::success();
    result.facts.text(FactKey::CertificateNames, &format!("a{}", "\u{e9}".repeat(1_000)));
    for answer in 0..100 {
        result.facts.text(FactKey::DnsAnswer, &format!("192.0.2.{answer}"));
    }
    let mut bytes = Vec::new();
    record::encode(&Record::Result(result), &mut bytes);
    let read = record::decode(&bytes).unwrap();
    let Record::Result(read) = read else { panic!("{read:?}") };
    assert_eq!(read.facts.more.len(), FACTS_MAX);
    let names = read.facts.texts_of(FactKey::CertificateNames).next().unwrap();
    assert_eq!(names, format!("a{}", "\u{e9}".repeat(99)));
}

//! What a plain success costs: on the wire in a batch, and in the spool.

use std::net::{Ipv4Addr, SocketAddr};

use sitepulse_model::id::{Bucket, CheckNo, Incarnation, Revision, Seq};
use sitepulse_model::record::{Facts, Phases, ProbeResult, Provenance, Record};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::frame::Message;
use sitepulse_wire::message::{Batch, Entry, ToCollector};
use sitepulse_wire::record;

use crate::samples;

const COUNT: u64 = 100;

/// A small fixed generator: the same sizes on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, from: u64, to: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from + (self.0 >> 33) % (to - from)
    }
}

/// Which fields differ from check to check.
#[derive(Clone, Copy)]
struct Variety {
    dns_and_send: bool,
    own_address: bool,
    own_certificate: bool,
}

/// A hundred successes of a hundred checks of a thousand, 60 ms apart as they end, a week into the spool's life.
fn batch(variety: Variety) -> Vec<Entry> {
    let dice = &mut Dice(7);
    let mut seqs: Vec<u64> = (0..64).map(|_| dice.roll(110_000, 190_000)).collect();
    (0..COUNT)
        .map(|n| {
            let bucket = dice.roll(0, 64) as usize;
            seqs[bucket] += 1;
            let scheduled = samples::AT.plus_us((n * 60 + dice.roll(0, 120)) as i64 * 1_000);
            let dns = variety.dns_and_send.then(|| dice.roll(300, 4_000));
            let connect = dice.roll(26_000, 36_000);
            let tls = dice.roll(54_000, 70_000);
            let send = variety.dns_and_send.then(|| dice.roll(20, 90));
            let first_byte = dice.roll(70_000, 95_000);
            let transfer = dice.roll(400, 2_000);
            let steps = dns.unwrap_or(0) + connect + tls + send.unwrap_or(0) + first_byte + transfer;
            let ip = if variety.own_address { dice.roll(0, 1 << 31) as u32 + (1 << 30) } else { 0xcb00_7107 };
            let expires = if variety.own_certificate { dice.roll(0, 90 * 86_400) } else { 0 };
            let result = ProbeResult {
                check: CheckNo(dice.roll(1, 1_000) as u32),
                revision: Revision(dice.roll(1, 4) as u32),
                scheduled,
                started: scheduled.plus_us(dice.roll(1_000, 2_000) as i64),
                phases: Phases {
                    dns,
                    connect: Some(connect),
                    tls: Some(tls),
                    send,
                    first_byte: Some(first_byte),
                    transfer: Some(transfer),
                    total: Some(steps + dice.roll(50, 400)),
                },
                address: Some(SocketAddr::from((Ipv4Addr::from_bits(ip), 443))),
                facts: Facts {
                    status: Some(200),
                    body_bytes: Some(dice.roll(500, 60_000)),
                    certificate_expires: Some(UtcMicros((1_800_000_000 + expires as i64) * 1_000_000)),
                    more: Vec::new(),
                },
                ..samples::success()
            };
            Entry {
                bucket: Bucket(bucket as u8),
                seq: Seq(seqs[bucket]),
                provenance: 0,
                record: Record::Result(result),
            }
        })
        .collect()
}

/// Bytes of the whole frame, header and provenance included, by record.
fn bytes_per_record(entries: Vec<Entry>) -> f64 {
    let provenance =
        Provenance { build: "0.1.0+abc1234".into(), clock_offset_us: Some(-1_520), clock_uncertainty_us: 800 };
    let count = entries.len() as f64;
    let batch = Batch { number: 5, incarnation: Incarnation(u64::MAX / 3), provenances: vec![provenance], entries };
    ToCollector::Batch(batch).encode().unwrap().len() as f64 / count
}

#[test]
fn a_plain_success_costs_at_most_28_bytes_on_the_wire() {
    let plain = Variety { dns_and_send: false, own_address: false, own_certificate: false };
    for (name, variety, most) in [
        ("five phases, one address", plain, 28.0),
        ("five phases, own addresses", Variety { own_address: true, ..plain }, 28.0),
        ("seven phases, one address", Variety { dns_and_send: true, ..plain }, 28.0),
        ("seven phases, own addresses", Variety { dns_and_send: true, own_address: true, ..plain }, 28.0),
        (
            "seven phases, own addresses, own certificates",
            Variety { dns_and_send: true, own_address: true, own_certificate: true },
            28.0,
        ),
    ] {
        let bytes = bytes_per_record(batch(variety));
        println!("batch of {COUNT} plain successes, {name}: {bytes:.2} B each");
        assert!(bytes <= most, "{name}: {bytes:.2} B");
    }
}

#[test]
fn a_few_failures_do_not_make_the_others_dearer() {
    let variety = Variety { dns_and_send: true, own_address: false, own_certificate: false };
    let before = bytes_per_record(batch(variety));
    let mut entries = batch(variety);
    let (_, failure) = samples::records().swap_remove(1);
    entries[50].record = failure;
    let after = bytes_per_record(entries);
    println!("with one failure of 100: {after:.2} B each, {before:.2} B without");
    assert!(after < before + 1.5);
}

#[test]
fn a_plain_success_costs_at_most_45_bytes_in_the_spool() {
    let mut bytes = Vec::new();
    record::encode(&Record::Result(samples::success()), &mut bytes);
    println!("a plain success as a record: {} B", bytes.len());
    assert!(bytes.len() <= 45);
}

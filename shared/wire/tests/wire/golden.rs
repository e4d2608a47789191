//! The bytes of every message and record, as released. They change only with a new version: an old peer, spool or store has them.
//!
//! `SITEPULSE_GOLDEN_WRITE=1 cargo test -p sitepulse-wire golden` writes them anew, for review.

use std::path::PathBuf;

use sitepulse_model::record::Record;
use sitepulse_wire::frame::{FrameDecoder, Message};
use sitepulse_wire::record;

use crate::samples;

fn check(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.hex"));
    if std::env::var_os("SITEPULSE_GOLDEN_WRITE").is_some() {
        let lines: Vec<String> =
            bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let golden: Vec<u8> =
        digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
    assert_eq!(bytes, golden, "{name}: the bytes differ from the released ones");
    golden
}

fn decode<M: Message>(bytes: &[u8]) -> M {
    let mut decoder = FrameDecoder::new();
    decoder.push(bytes).unwrap();
    let message = decoder.next().unwrap().unwrap();
    decoder.finish().unwrap();
    message
}

#[test]
fn golden_messages_to_the_collector() {
    for (name, message) in samples::to_collector() {
        let golden = check(name, &message.encode().unwrap());
        assert_eq!(decode::<sitepulse_wire::message::ToCollector>(&golden), message, "{name}");
    }
}

#[test]
fn golden_messages_to_the_agent() {
    for (name, message) in samples::to_agent() {
        let golden = check(name, &message.encode().unwrap());
        assert_eq!(decode::<sitepulse_wire::message::ToAgent>(&golden), message, "{name}");
    }
}

#[test]
fn golden_records() {
    let evidence = ("record-evidence", Record::Result(samples::with_evidence()));
    for (name, record) in samples::records().into_iter().chain(samples::pages()).chain([evidence]) {
        let mut bytes = Vec::new();
        record::encode(&record, &mut bytes);
        let golden = check(name, &bytes);
        assert_eq!(record::decode(&golden).unwrap(), record, "{name}");
    }
}

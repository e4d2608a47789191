//! What goes in comes out: any message, any record, pushed in any pieces.

use proptest::prelude::*;
use sitepulse_model::record::{
    CHAIN_MAX, CHAIN_NAME_BYTES_MAX, ChainCertificate, FactKey, RESOLVER_ANSWERS_MAX, Record,
};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::frame::{FrameDecoder, Message, PUSH_BYTES_MAX};
use sitepulse_wire::message::{ToAgent, ToCollector};
use sitepulse_wire::record;

use crate::{arbitrary, samples};

fn decode_all<M: Message>(pieces: &[&[u8]]) -> Vec<M> {
    let mut decoder = FrameDecoder::new();
    let mut messages = Vec::new();
    for piece in pieces.iter().flat_map(|piece| piece.chunks(PUSH_BYTES_MAX)) {
        decoder.push(piece).unwrap();
        while let Some(message) = decoder.next().unwrap() {
            messages.push(message);
        }
    }
    decoder.finish().unwrap();
    messages
}

proptest! {
    #[test]
    fn messages_to_the_collector_come_back(message in arbitrary::to_collector()) {
        let bytes = message.encode().unwrap();
        prop_assert_eq!(decode_all::<ToCollector>(&[&bytes]), vec![message]);
    }

    #[test]
    fn messages_to_the_agent_come_back(message in arbitrary::to_agent()) {
        let bytes = message.encode().unwrap();
        prop_assert_eq!(decode_all::<ToAgent>(&[&bytes]), vec![message]);
    }

    #[test]
    fn records_come_back(record in arbitrary::record()) {
        let mut bytes = vec![0xaa];
        record::encode(&record, &mut bytes);
        prop_assert_eq!(bytes[0], 0xaa);
        prop_assert_eq!(record::decode(&bytes[1..]).unwrap(), record);
    }

    #[test]
    fn records_come_back_from_whatever_instant_they_count(record in arbitrary::record(), base: i64) {
        let mut bytes = Vec::new();
        record::encode_from(UtcMicros(base), &record, &mut bytes);
        prop_assert_eq!(record::check_of(&bytes).unwrap(), record.check());
        prop_assert_eq!(record::decode_from(UtcMicros(base), &bytes).unwrap(), record);
    }

    #[test]
    fn evidence_comes_back_whatever_a_target_calls_itself(evidence in arbitrary::evidence()) {
        let mut bytes = Vec::new();
        record::encode(&evidence.record, &mut bytes);
        let read = record::decode(&bytes).unwrap();
        prop_assert_eq!(&read, &evidence.record);
        let Record::Result(read) = read else { panic!("a result") };
        let chain: Vec<_> = read.facts.texts_of(FactKey::CertificateChain).map(|line| ChainCertificate::parse(line).unwrap()).collect();
        prop_assert_eq!(chain.len(), evidence.chain.len().min(CHAIN_MAX));
        for (read, told) in chain.iter().zip(&evidence.chain) {
            prop_assert_eq!(&*read.sha256, told.sha256.as_str());
            prop_assert_eq!(read.not_after.as_deref(), told.not_after.as_deref());
            // Cut, and the arrow taken out: what is left of a name is its beginning.
            for (read, told) in [(&read.subject, &told.subject), (&read.issuer, &told.issuer)] {
                prop_assert!(told.replace("<-", "<=").starts_with(&**read) && read.len() + 4 > told.len().min(CHAIN_NAME_BYTES_MAX));
            }
        }
        prop_assert_eq!(read.facts.texts_of(FactKey::ResolverAnswer).count(), evidence.addresses.min(RESOLVER_ANSWERS_MAX));
    }

    #[test]
    fn a_stream_may_be_cut_anywhere(messages in prop::collection::vec(arbitrary::to_collector(), 1..4), cuts: Vec<prop::sample::Index>) {
        let bytes: Vec<u8> = messages.iter().flat_map(|message| message.encode().unwrap()).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(decode_all::<ToCollector>(&pieces), messages);
    }
}

#[test]
fn every_sample_may_be_cut_at_every_place() {
    for (name, message) in samples::to_collector() {
        let bytes = message.encode().unwrap();
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(decode_all::<ToCollector>(&[head, tail]), std::slice::from_ref(&message), "{name} cut at {cut}");
        }
    }
}

//! Bodies: coded, cut, broken.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use sitepulse_model::record::{Cause, FactKey, Phase, ProbeState};

use super::{answer, probe, serve_each};
use crate::BODY_BYTES_MAX;

const TEXT: &[u8] = b"hello, hello, hello, brotli";
/// [`TEXT`] by `brotli`.
const BROTLI: &[u8] = b"\x1f\x1a\x00\xf8\x8d\x94\x6e\xde\x44\x09\x52\x86\xd6\x6c\x2c\x69\x6f\xd3\x10\x49\xe4\xa9\x04\x5c\x3a\xc7\x43\x8b\x66";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

#[test]
fn coded_bodies_are_decoded_asked_for_or_not() {
    let skippable = [&b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"[..], &zstd(TEXT)].concat();
    let two = |whole: fn(&[u8]) -> Vec<u8>| [whole(&TEXT[..7]), whole(&TEXT[7..])].concat();
    for (name, told, body) in [
        ("gzip", "gzip", gzip(TEXT)),
        ("X-GZIP", "gzip", gzip(TEXT)),
        ("gzip", "gzip", two(gzip)),
        ("deflate", "deflate", zlib(TEXT)),
        ("deflate", "deflate", deflate(TEXT)),
        ("br", "br", BROTLI.to_vec()),
        ("zstd", "zstd", zstd(TEXT)),
        ("zstd", "zstd", two(zstd)),
        ("zstd", "zstd", skippable),
    ] {
        let (address, server) = serve_each(vec![answer("200 OK", &[&format!("Content-Encoding: {name}")], &body)]);
        let result = probe(&format!("http://{address}/"), &["body == 'hello, hello, hello, brotli'", "size == 27B"]);
        server.join().unwrap();
        assert_eq!(result.state, ProbeState::Up, "{name}: {}", result.detail);
        assert_eq!(result.facts.body_bytes, Some(27));
        assert_eq!(result.facts.texts_of(FactKey::ContentEncoding).collect::<Vec<_>>(), [told]);
    }
}

#[test]
fn other_codings_are_left_as_they_came() {
    for name in ["identity", "utf-8", "gzip, br", "compress"] {
        let (address, server) = serve_each(vec![answer("200 OK", &[&format!("Content-Encoding: {name}")], TEXT)]);
        let result = probe(&format!("http://{address}/"), &["body contains 'hello'"]);
        server.join().unwrap();
        assert_eq!(result.state, ProbeState::Up, "{name}: {}", result.detail);
        assert_eq!(result.facts.texts_of(FactKey::ContentEncoding).next(), None);
    }
}

#[test]
fn a_broken_coding_breaks_the_protocol() {
    let (whole, zipped) = (zstd(&[b'z'; 5000]), gzip(&[b'z'; 5000]));
    for (name, body) in [
        ("gzip", &b"not gzip"[..]),
        ("gzip", &zipped[..zipped.len() - 10]),
        ("br", &BROTLI[..20]),
        ("zstd", &whole[..whole.len() - 1]),
        ("zstd", b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"),
    ] {
        let (address, server) = serve_each(vec![answer("200 OK", &[&format!("Content-Encoding: {name}")], body)]);
        let result = probe(&format!("http://{address}/"), &[]);
        server.join().unwrap();
        assert_eq!(
            (result.state, result.cause, result.failed_phase),
            (ProbeState::Down, Some(Cause::ProtocolError), Some(Phase::Transfer)),
            "{name}: {}",
            result.detail
        );
        assert!(result.detail.contains(&format!("the {name} body of 127.0.0.1 is broken")), "{}", result.detail);
    }
}

#[test]
fn a_gzip_body_of_countless_members_is_given_up() {
    for (members, state, cause) in [(64, ProbeState::Up, None), (65, ProbeState::Down, Some(Cause::ProtocolError))] {
        let body = gzip(b"z").repeat(members);
        let (address, server) = serve_each(vec![answer("200 OK", &["Content-Encoding: gzip"], &body)]);
        let result = probe(&format!("http://{address}/"), &[]);
        server.join().unwrap();
        assert_eq!((result.state, result.cause), (state, cause), "{members}: {}", result.detail);
        assert_eq!(result.detail.contains("more than 64 members"), members > 64, "{}", result.detail);
    }
}

#[test]
fn a_body_is_cut_at_the_bound_and_no_earlier() {
    for (bytes, cut) in [(BODY_BYTES_MAX, false), (BODY_BYTES_MAX + 1, true), (3 * BODY_BYTES_MAX, true)] {
        let body = vec![b'x'; bytes];
        for (lines, body) in [(&[][..], body.clone()), (&["Content-Encoding: gzip"][..], gzip(&body))] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let bytes = answer("200 OK", lines, &body);
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                super::request(&mut stream);
                // The prober hangs up where the bound is.
                stream.write_all(&bytes).ok();
            });
            let result = probe(&format!("http://{address}/"), &["body not contains 'y'"]);
            server.join().unwrap();
            assert_eq!(result.facts.body_bytes, Some(BODY_BYTES_MAX as u64), "{lines:?}");
            assert_eq!(!result.detail.is_empty(), cut, "{lines:?}: {}", result.detail);
        }
    }
}

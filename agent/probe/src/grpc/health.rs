//! What the health protocol says: its two messages, and what the end of a call means.
//!
//! Sources: grpc/health/v1/health.proto, "gRPC over HTTP2" and "Status codes and their use in gRPC" of grpc/grpc.

use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use sitepulse_model::expect::Expectation;
use sitepulse_model::record::{Cause, Phase};

use crate::attempt::Failure;

/// A message is led by a flag (compressed) and its length in four bytes.
pub(super) const PREFIX_BYTES: usize = 5;

/// `HealthCheckRequest { service }`, with its prefix.
pub(super) fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        put_varint(&mut message, service.len() as u64);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(&message);
    framed.freeze()
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// `HealthCheckResponse.status` of one framed message; why there is none. Unknown fields are skipped, as protobuf asks.
fn response(framed: &[u8]) -> Result<u64, &'static str> {
    let Some((prefix, mut message)) = framed.split_at_checked(PREFIX_BYTES) else {
        return Err("it holds no message");
    };
    if prefix[0] != 0 {
        return Err("its message is compressed, which was not asked for");
    }
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    if length != message.len() {
        return Err("its message is not as long as it says");
    }
    let broken = "its message is no HealthCheckResponse";
    let mut status = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message).ok_or(broken)?;
        let skipped = match key & 7 {
            0 => {
                let value = take_varint(&mut message).ok_or(broken)?;
                if key >> 3 == 1 {
                    status = value;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(take_varint(&mut message).ok_or(broken)?).unwrap_or(usize::MAX),
            5 => 4,
            _ => return Err(broken),
        };
        message = message.get(skipped..).ok_or(broken)?;
    }
    Ok(status)
}

/// What a call ended as.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The serving status, by its name in the protocol.
    pub(super) status: &'static str,
    /// What it means where nobody asserts anything else.
    pub(super) failure: Option<Failure>,
}

/// Refuses an answer that is not gRPC's.
pub(super) fn check_head(host: &str, status: u16, headers: &HeaderMap) -> Result<(), Failure> {
    if status != 200 {
        let text = format!("grpc: {host} answered with HTTP status {status} instead of gRPC");
        return Err(Failure::new(Cause::ProtocolError, Phase::FirstByte, text));
    }
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_grpc =
        kind.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')));
    if !is_grpc {
        let text = format!("grpc: {host} answered with {:?} instead of gRPC", String::from_utf8_lossy(kind));
        return Err(Failure::new(Cause::ProtocolError, Phase::FirstByte, text));
    }
    Ok(())
}

/// What the call's trailers and message say.
pub(super) fn verdict(host: &str, service: &str, trailers: &HeaderMap, framed: &[u8]) -> Result<Verdict, Failure> {
    let broken = |text: String| Failure::new(Cause::ProtocolError, Phase::Transfer, format!("grpc: {text}"));
    let not_serving = |status: &'static str, text: String| Verdict {
        status,
        failure: Some(Failure::new(Cause::NotServing, Phase::Transfer, format!("grpc: {text}"))),
    };
    let what = if service.is_empty() { "the server".to_owned() } else { format!("service {service:?}") };
    let code = trailers.get("grpc-status").map(HeaderValue::as_bytes).unwrap_or_default();
    let Some(code) = std::str::from_utf8(code).ok().and_then(|code| code.parse::<u8>().ok()) else {
        return Err(broken(format!("{host} ended the call without a grpc-status")));
    };
    if code != 0 {
        let said = trailers.get("grpc-message").map(|text| percent_decode(text.as_bytes())).unwrap_or_default();
        let said = if said.is_empty() { code_name(code).to_owned() } else { format!("{}: {said}", code_name(code)) };
        let cause = match code {
            5 => return Ok(not_serving("SERVICE_UNKNOWN", format!("{host} does not know {what} ({said})"))),
            4 => Cause::Timeout,
            7 | 16 => Cause::LoginRefused,
            8 | 14 => Cause::NotServing,
            _ => Cause::ProtocolError,
        };
        let text = match code {
            12 => format!("grpc: {host} does not speak the health protocol ({said})"),
            _ => format!("grpc: {host} refused the health check ({said})"),
        };
        return Err(Failure::new(cause, Phase::Transfer, text));
    }
    let status = response(framed).map_err(|reason| broken(format!("the answer of {host} breaks gRPC ({reason})")))?;
    Ok(match status {
        1 => Verdict { status: "SERVING", failure: None },
        0 => not_serving("UNKNOWN", format!("{host} does not know whether {what} serves (UNKNOWN)")),
        2 => not_serving("NOT_SERVING", format!("{what} at {host} does not serve (NOT_SERVING)")),
        3 => not_serving("SERVICE_UNKNOWN", format!("{host} does not know {what} (SERVICE_UNKNOWN)")),
        other => {
            return Err(broken(format!("{host} sent the serving status {other}, which the protocol does not have")));
        }
    })
}

/// Whether the check's author says which serving status is good. The default assertion, which asks for what we ask for anyway, does not count.
pub(super) fn is_judged(expect: &[Expectation]) -> bool {
    let about_status = |one: &&Expectation| one.condition().operand.name() == "grpc.status";
    expect.iter().filter(about_status).any(|one| one.source() != "grpc.status == 'SERVING'")
}

fn code_name(code: u8) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(usize::from(code)).copied().unwrap_or("a status that gRPC does not have")
}

/// `grpc-message` is percent-encoded UTF-8; what is not stays as it is.
fn percent_decode(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let hex = if first == b'%' { tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()) } else { None };
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut framed = vec![0];
        framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
        framed.extend_from_slice(message);
        framed
    }

    #[test]
    fn messages_are_those_of_health_proto() {
        assert_eq!(&request("")[..], framed(b""));
        assert_eq!(&request("shop")[..], framed(b"\x0a\x04shop"));
        let long = "x".repeat(300);
        assert_eq!(&request(&long)[..9], b"\x00\x00\x00\x01\x2f\x0a\xac\x02x");
        assert_eq!(response(&framed(b"")), Ok(0), "a default value is not sent");
        assert_eq!(response(&framed(b"\x08\x01")), Ok(1));
        assert_eq!(response(&framed(b"\x12\x02xy\x08\x02\x1d1234\x21 8 bytes")), Ok(2), "unknown fields");
        for broken in
            [&b"\x08"[..], b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x12\x05xy", b"\x0b", b"\x1d1"]
        {
            assert!(response(&framed(broken)).is_err(), "{broken:?}");
        }
        for broken in
            [&b""[..], b"\x00\x00", b"\x01\x00\x00\x00\x00", b"\x00\x00\x00\x00\x01", b"\x00\xff\xff\xff\xff\x08\x01"]
        {
            assert!(response(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn ends_of_calls_mean() {
        let said = |code: &str, message: &str, framed: &[u8]| {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.parse().unwrap());
            trailers.insert("grpc-message", message.parse().unwrap());
            verdict("a.example", "shop", &trailers, framed)
        };
        assert_eq!(said("0", "", &framed(b"\x08\x01")), Ok(Verdict { status: "SERVING", failure: None }));
        for (status, name) in [(0, "UNKNOWN"), (2, "NOT_SERVING"), (3, "SERVICE_UNKNOWN")] {
            let verdict = said("0", "", &framed(&[8, status])).unwrap();
            assert_eq!((verdict.status, verdict.failure.unwrap().cause), (name, Cause::NotServing));
        }
        let unknown = said("5", "no%20such%20one", b"").unwrap();
        assert_eq!(unknown.status, "SERVICE_UNKNOWN");
        assert_eq!(
            unknown.failure.unwrap().detail,
            "grpc: a.example does not know service \"shop\" (NOT_FOUND: no such one)"
        );
        for (code, cause, text) in [
            ("12", Cause::ProtocolError, "grpc: a.example does not speak the health protocol (UNIMPLEMENTED)"),
            ("16", Cause::LoginRefused, "grpc: a.example refused the health check (UNAUTHENTICATED)"),
            ("14", Cause::NotServing, "grpc: a.example refused the health check (UNAVAILABLE)"),
            ("4", Cause::Timeout, "grpc: a.example refused the health check (DEADLINE_EXCEEDED)"),
            ("x", Cause::ProtocolError, "grpc: a.example ended the call without a grpc-status"),
            ("99", Cause::ProtocolError, "grpc: a.example refused the health check (a status that gRPC does not have)"),
        ] {
            let failure = said(code, "", b"").unwrap_err();
            assert_eq!((failure.cause, failure.detail.as_str()), (cause, text));
        }
        assert!(said("0", "", &framed(&[8, 9])).is_err());
    }

    #[test]
    fn percent_encoding_never_fails() {
        for (coded, text) in
            [("a%20b", "a b"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%C3%BC", "ü"), ("%ff", "\u{fffd}")]
        {
            assert_eq!(percent_decode(coded.as_bytes()), text);
        }
    }
}

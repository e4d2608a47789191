//! Why an exchange failed, in one line.

use std::error::Error as _;
use std::io;

use sitepulse_model::record::{Cause, Phase};

use super::wire::{Meter, OVERHEAD_BYTES_MAX};
use super::{HEADER_BYTES_MAX, HEADERS_MAX};
use crate::attempt::Failure;
use crate::{connect, tls};

/// An error of the connection below HTTP.
pub(super) fn io(host: &str, phase: Phase, error: &io::Error) -> Failure {
    if connect::is_agent_fault(error) {
        return connect::agent_fault(phase, error);
    }
    let kind = error.kind();
    if [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionAborted].contains(&kind) {
        return Failure::new(Cause::ConnectionReset, phase, format!("{phase}: {host} reset the connection"));
    }
    if kind == io::ErrorKind::UnexpectedEof {
        return closed_early(host, phase);
    }
    if kind == io::ErrorKind::TimedOut {
        return Failure::new(Cause::Timeout, phase, format!("{phase}: the connection to {host} fell silent"));
    }
    if let Some(failure) = tls::explain_late(host, error) {
        return failure;
    }
    let text = format!("{phase}: the connection to {host} broke ({})", connect::plain(error));
    Failure::new(Cause::ConnectionReset, phase, text)
}

pub(super) fn closed_early(host: &str, phase: Phase) -> Failure {
    Failure::new(Cause::ConnectionReset, phase, format!("{phase}: {host} closed the connection early"))
}

fn flooded(host: &str, phase: Phase) -> Failure {
    let text = format!("{phase}: {host} sent more than {OVERHEAD_BYTES_MAX} bytes that are not of its answer's body");
    Failure::new(Cause::ProtocolError, phase, text)
}

/// An error of HTTP/1.1.
pub(super) fn h1(host: &str, phase: Phase, error: &hyper::Error, meter: &Meter) -> Failure {
    if meter.is_flooded() {
        return flooded(host, phase);
    }
    let source = error.source();
    if let Some(below) = source.and_then(|source| source.downcast_ref::<io::Error>()) {
        // hyper tells a body's broken framing as an error of the connection.
        let is_framing = [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData].contains(&below.kind())
            && below.get_ref().is_none_or(|inner| !inner.is::<rustls::Error>());
        if !is_framing {
            return io(host, phase, below);
        }
    }
    // hyper tells it apart to servers alone.
    if error.is_parse() && error.to_string().contains("too large") {
        let text = format!("{phase}: {host} sent headers over {HEADER_BYTES_MAX} bytes or {HEADERS_MAX} lines");
        return Failure::new(Cause::ProtocolError, phase, text);
    }
    if error.is_parse() {
        return Failure::new(Cause::ProtocolError, phase, format!("{phase}: {host} sent no valid HTTP/1.1 answer"));
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return closed_early(host, phase);
    }
    let reason = source.map_or_else(|| error.to_string(), ToString::to_string);
    Failure::new(Cause::ProtocolError, phase, format!("{phase}: the answer of {host} breaks HTTP/1.1 ({reason})"))
}

/// An error of HTTP/2.
pub(super) fn h2(host: &str, phase: Phase, error: &h2::Error, meter: &Meter) -> Failure {
    if meter.is_flooded() {
        return flooded(host, phase);
    }
    if let Some(below) = error.get_io() {
        if below.kind() == io::ErrorKind::InvalidData || below.kind() == io::ErrorKind::InvalidInput {
            return not_http2(host, phase);
        }
        return io(host, phase, below);
    }
    let Some(reason) = error.reason() else { return closed_early(host, phase) };
    let what = if error.is_remote() && error.is_reset() {
        format!("{host} reset the HTTP/2 stream")
    } else if error.is_remote() {
        format!("{host} ended the HTTP/2 connection")
    } else if reason == h2::Reason::FRAME_SIZE_ERROR && meter.first_read() == meter.last_read() {
        return not_http2(host, phase);
    } else {
        format!("the answer of {host} breaks HTTP/2")
    };
    let cause = if error.is_remote() { Cause::ConnectionReset } else { Cause::ProtocolError };
    Failure::new(cause, phase, format!("{phase}: {what} ({})", reason.description()))
}

fn not_http2(host: &str, phase: Phase) -> Failure {
    Failure::new(Cause::ProtocolError, phase, format!("{phase}: {host} does not speak HTTP/2 on this port"))
}

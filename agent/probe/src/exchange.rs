//! What kinds share that exchange words of the author's over a bare socket: where to, what failed, and when enough came.

use std::io;
use std::net::SocketAddr;

use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::expect::{self, Expectation};
use sitepulse_model::record::{Cause, Phase};

use crate::attempt::{Answer, Attempt, Failure};
use crate::connect::Teller;
use crate::{BODY_BYTES_MAX, connect, human_us};

/// Splits `host:port`; an IPv6 address stands in brackets.
pub(crate) fn host_port(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("{text:?} is not host:port, as in db.example:5432 or [2001:db8::1]:5432");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(wrong)?,
        None if host.contains(':') => return Err(wrong()),
        None => host,
    };
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    if bare.is_empty() { Err(wrong()) } else { Ok((bare.to_owned(), port)) }
}

/// What an error of a socket without a connection tells; `step` names the kind.
pub(crate) fn send_failure(step: &str, address: SocketAddr, error: &io::Error) -> Failure {
    send_failure_of(Teller::of(error, address), step, address, error)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: the rest has no special meaning")]
pub(crate) fn send_failure_of(teller: Teller, step: &str, address: SocketAddr, error: &io::Error) -> Failure {
    // Echoes have no ports.
    let to = if address.port() == 0 { address.ip().to_string() } else { address.to_string() };
    let failure = |cause, text: String| Failure::new(cause, Phase::Send, text);
    match error.kind() {
        _ if teller == Teller::NoRoute => {
            failure(Cause::NetworkLost, format!("network: this agent has no route to {to} ({})", connect::plain(error)))
        }
        _ if teller == Teller::Agent => connect::agent_fault(Phase::Send, error),
        _ if teller == Teller::Router => {
            failure(Cause::Unreachable, format!("{step}: {to} {}", connect::told_by_router(error)))
        }
        io::ErrorKind::ConnectionRefused => {
            failure(Cause::ConnectionRefused, format!("{step}: nothing listens on {to}"))
        }
        io::ErrorKind::HostUnreachable => {
            failure(Cause::Unreachable, format!("{step}: {to} is unreachable ({})", connect::plain(error)))
        }
        _ => failure(Cause::Unreachable, format!("{step}: {to} cannot be reached ({})", connect::plain(error))),
    }
}

/// Up to this length what came is judged after every read.
const JUDGED_AT_ONCE: usize = 4096;
/// Longest time between two judgements while something new is there, in microseconds.
const JUDGED_EVERY_US: u64 = 50_000;

/// What came so far, and whether it is enough.
///
/// Judging costs time in proportion to the length: a peer that drips single bytes must not make the agent read a megabyte again for each
/// of them. So a long body is judged when it has grown by a sixteenth, and otherwise every 50 ms.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) body: Vec<u8>,
    /// When waiting began.
    since: Monotonic,
    /// Something came, be it an empty datagram.
    any: bool,
    judged: Option<(usize, Monotonic)>,
}

impl Heard {
    pub(crate) fn new() -> Self {
        Self { body: Vec::new(), since: clock::monotonic(), any: false, judged: None }
    }

    /// Bytes that may still be kept.
    pub(crate) fn room(&self) -> usize {
        BODY_BYTES_MAX - self.body.len()
    }

    /// Something was added to the body at `now`. Is it enough?
    pub(crate) fn enough(&mut self, expect: &[Expectation], now: Monotonic) -> bool {
        self.any = true;
        let due = self.judged.is_none_or(|(length, at)| {
            let grown = self.body.len() - length;
            self.body.len() <= JUDGED_AT_ONCE || grown > length / 16 || now.us_since(at) >= JUDGED_EVERY_US
        });
        due && self.judge(expect, now)
    }

    /// Judges what is there and not yet judged.
    pub(crate) fn judge(&mut self, expect: &[Expectation], now: Monotonic) -> bool {
        if !self.any || self.judged.is_some_and(|(length, _)| length == self.body.len()) {
            return false;
        }
        self.judged = Some((self.body.len(), now));
        !expect::asserts_body(expect) || expect::body_satisfied(expect, &self.body)
    }

    /// How long to wait for more.
    pub(crate) fn patience(&self, deadline: Monotonic) -> Monotonic {
        match self.judged {
            Some((length, at)) if length < self.body.len() => deadline.min(at.plus_us(JUDGED_EVERY_US)),
            Some(_) | None => deadline,
        }
    }

    /// The deadline came: what is missing.
    pub(crate) fn failure(&self, attempt: &Attempt<'_>, silence: String) -> Failure {
        if !self.any {
            return Failure::new(Cause::Timeout, Phase::FirstByte, silence);
        }
        let one = std::slice::from_ref;
        let missing = attempt.expect.iter().find(|expectation| {
            expect::asserts_body(one(expectation)) && !expect::body_satisfied(one(expectation), &self.body)
        });
        let missing = missing.map_or("the assertions", Expectation::source);
        // Up to a millisecond had passed before the wait began.
        let within = human_us(attempt.deadline.us_since(self.since).div_ceil(1000) * 1000);
        let came = self.body.len();
        let text = format!("transfer: no answer satisfied {missing} within {within} ({came} bytes came)");
        Failure::new(Cause::Timeout, Phase::Transfer, text)
    }

    pub(crate) fn answer(self, truncated: bool) -> Answer {
        Answer { body_bytes: self.body.len() as u64, body: self.body, truncated, ..Answer::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split() {
        for (text, host, port) in
            [("db.example:5432", "db.example", 5432), ("[::1]:7", "::1", 7), ("10.0.0.1:1", "10.0.0.1", 1)]
        {
            assert_eq!(host_port(text), Ok((host.to_owned(), port)));
        }
        for wrong in ["", "a", ":1", "a:", "a:0", "a:65536", "::1:7", "[::1:7", "[]:7"] {
            assert!(host_port(wrong).unwrap_err().contains("host:port"), "{wrong}");
        }
    }

    #[test]
    fn a_dripped_megabyte_is_not_judged_byte_by_byte() {
        let expect = [Expectation::parse("body contains 'END'", "tcp").unwrap()];
        let mut heard = Heard::new();
        let mut judgements = 0;
        for at in 0..BODY_BYTES_MAX as u64 {
            heard.body.push(b'x');
            // A byte each microsecond.
            assert!(!heard.enough(&expect, Monotonic(at)));
            judgements += usize::from(heard.judged == Some((heard.body.len(), Monotonic(at))));
        }
        assert!(judgements < JUDGED_AT_ONCE + 200, "{judgements}");
        assert_eq!(heard.room(), 0);
    }

    #[test]
    fn what_is_not_judged_at_once_is_judged_soon() {
        let expect = [Expectation::parse("body contains 'END'", "tcp").unwrap()];
        let mut heard = Heard::new();
        heard.body = vec![b'x'; 100_000];
        assert!(!heard.enough(&expect, Monotonic(10)));
        assert_eq!(heard.patience(Monotonic(9_000_000)), Monotonic(9_000_000), "nothing new");
        heard.body.extend(b"END");
        assert!(!heard.enough(&expect, Monotonic(20)), "little was added");
        assert_eq!(heard.patience(Monotonic(9_000_000)), Monotonic(10 + JUDGED_EVERY_US));
        assert_eq!(heard.patience(Monotonic(30)), Monotonic(30));
        assert!(heard.judge(&expect, Monotonic(50_010)));
    }
}

//! What kinds share that exchange words of the author's over a bare socket: where to, what failed, and when enough came.

use std::io;
use std::net::SocketAddr;

use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::expect::{self, Expectation};
use sitepulse_model::record::{Cause, Phase};

use crate::attempt::{Answer, Attempt, Failure};
use crate::connect::Teller;
use crate::judge::{self, NotSearched};
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

/// So many bytes are searched whenever something came; then it is done less often.
const EASY_BYTES: usize = BODY_BYTES_MAX;
/// Longest time between two searches while something new is there, in microseconds; longer ones where a search takes long: see [`rest_us`].
const SEARCHED_EVERY_US: u64 = 50_000;
/// How long before the deadline reading ends where searching is costly: what came is then judged as a whole, which has its own time.
pub(crate) const VERDICT_US: u64 = 10_000;

/// What came so far, and whether it is enough.
///
/// Searching costs time in proportion to the length: a peer that drips single bytes must not make the agent read a megabyte again for each
/// of them. So what was searched a lot is searched again when it has grown by a sixteenth, and otherwise every 50 ms; and after a search that took
/// long, four times as long is left to others. Once more than 32 KiB would have been searched in all, it is done beside the thread of all runs
/// ([`crate::judge`]), and nothing is read meanwhile.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) body: Vec<u8>,
    /// When waiting began.
    since: Monotonic,
    /// Something came, be it an empty datagram.
    any: bool,
    /// Bytes searched in all.
    searched: usize,
    last: Option<Search>,
}

/// The last search.
#[derive(Debug, Clone, Copy)]
struct Search {
    /// When it ended.
    at: Monotonic,
    /// How long others have after it.
    rest_us: u64,
    /// So much of the body was searched.
    length: usize,
    /// The assertion that lacked something.
    lacks: Option<usize>,
}

/// How long others have after a search that took so long, in microseconds. A short one holds up nobody.
const fn rest_us(took_us: u64) -> u64 {
    if took_us < 1_000 { 0 } else { took_us.saturating_mul(4) }
}

impl Heard {
    pub(crate) fn new() -> Self {
        Self { body: Vec::new(), since: clock::monotonic(), any: false, searched: 0, last: None }
    }

    /// Bytes that may still be kept.
    pub(crate) fn room(&self) -> usize {
        BODY_BYTES_MAX - self.body.len()
    }

    /// Something was added to the body at `now`. Is it enough, or all there is time for?
    pub(crate) async fn enough(&mut self, attempt: &Attempt<'_>, now: Monotonic) -> bool {
        self.any = true;
        if self.is_over(attempt, now) {
            return true;
        }
        let due = self.last.is_none_or(|last| {
            let grown = self.body.len() - last.length;
            now >= self.next(last) || (grown > last.length / 16 && now >= last.at.plus_us(last.rest_us))
        });
        due && self.search(attempt, now).await
    }

    /// Searches what is there and not yet searched. Is it enough?
    pub(crate) async fn search(&mut self, attempt: &Attempt<'_>, now: Monotonic) -> bool {
        let Attempt { expect, tools, .. } = attempt;
        if !self.any || !self.has_news() {
            return false;
        }
        if !expect::asserts_body(expect) {
            return true;
        }
        let (length, beside, end) = (self.body.len(), self.is_costly(attempt), self.end(attempt));
        let begun = clock::monotonic();
        let found = tools.bench.search(expect, &mut self.body, beside, end).await;
        let took_us = clock::monotonic().us_since(begun);
        let at = now.plus_us(took_us);
        self.last = Some(match found {
            Ok(lacks) => {
                self.searched += length;
                Search { at, rest_us: rest_us(took_us), length, lacks }
            }
            Err(NotSearched) => {
                let before = self.last.map_or((0, None), |last| (last.length, last.lacks));
                Search { at, rest_us: SEARCHED_EVERY_US, length: before.0, lacks: before.1 }
            }
        });
        found == Ok(None)
    }

    /// Nothing came within [`Heard::patience`]. Is what is there enough, or all there is time for? `Err`: the deadline came, `silence` says what
    /// it is where nothing came at all.
    pub(crate) async fn waited(
        &mut self,
        attempt: &Attempt<'_>,
        silence: impl FnOnce() -> String,
    ) -> Result<bool, Failure> {
        let now = clock::monotonic();
        if (self.is_over(attempt, now) && self.has_news()) || self.search(attempt, now).await {
            return Ok(true);
        }
        if now >= self.end(attempt) { Err(self.failure(attempt, silence)) } else { Ok(false) }
    }

    /// There is no time to search it any more: it is judged as a whole, which has its own time.
    fn is_over(&self, attempt: &Attempt<'_>, now: Monotonic) -> bool {
        self.is_costly(attempt) && now >= self.end(attempt)
    }

    /// The next search would be too much for the thread of all runs, after those before it.
    fn is_costly(&self, attempt: &Attempt<'_>) -> bool {
        judge::is_costly(attempt.expect, self.searched + self.body.len())
    }

    /// Until when to wait for more.
    pub(crate) fn patience(&self, attempt: &Attempt<'_>) -> Monotonic {
        match self.last {
            Some(last) if self.has_news() => self.end(attempt).min(self.next(last)),
            Some(_) | None => self.end(attempt),
        }
    }

    /// Until when it is read.
    fn end(&self, attempt: &Attempt<'_>) -> Monotonic {
        let early = if self.is_costly(attempt) { VERDICT_US } else { 0 };
        Monotonic(attempt.deadline.0.saturating_sub(early))
    }

    /// Something came that was not searched.
    fn has_news(&self) -> bool {
        self.last.is_none_or(|last| last.length < self.body.len())
    }

    /// When it is searched again, however little came.
    fn next(&self, last: Search) -> Monotonic {
        let every_us = if self.searched <= EASY_BYTES { 0 } else { SEARCHED_EVERY_US };
        last.at.plus_us(every_us.max(last.rest_us))
    }

    /// The deadline came: what is missing.
    fn failure(&self, attempt: &Attempt<'_>, silence: impl FnOnce() -> String) -> Failure {
        if !self.any {
            return Failure::new(Cause::Timeout, Phase::FirstByte, silence());
        }
        let missing = self.last.and_then(|last| last.lacks).and_then(|index| attempt.expect.get(index));
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
mod tests;

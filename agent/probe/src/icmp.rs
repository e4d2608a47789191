//! ICMP echoes over one unprivileged socket that all probes share.
//!
//! A run sends its echoes spaced apart. It ends when all are back, or at its deadline: while none is back, nobody knows how far the target is.
//! Once one is, the others have a [`patience`] of their own, counted from when the last was sent. A reply that comes later counts as lost.
//! A deadline that leaves no time for all echoes leaves the last ones unsent: `sent` tells.
//!
//! Loss is for assertions to judge, unless all are lost. [`hub`] shares the socket; [`packet`] is the format.
//!
//! Round trips are measured from just before the kernel is handed the echo to when it hands over the reply, by the monotonic clock. What
//! routers report (host unreachable, time exceeded) is not heard on unprivileged sockets without `unsafe` code: it shows as silence.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::check::{Family, IcmpTarget};
use sitepulse_model::record::{Cause, FactKey, Facts, Phase};

use crate::attempt::{Answer, Attempt, Failure};
use crate::connect;
use crate::exchange::send_failure;

mod hub;
mod packet;
#[cfg(test)]
mod tests;

pub use hub::Hub;

use hub::{Echo, Echoes, Line, Wanted};

/// How long the last echo of a run is waited for at least, in microseconds.
const LAST_WAIT_US: u64 = 2_000_000;

/// A check of this kind, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct IcmpProbe {
    host: String,
    count: u8,
    spacing_us: u64,
    size: u16,
    family: Family,
}

impl IcmpProbe {
    pub(crate) fn new(target: &IcmpTarget) -> Result<Self, String> {
        let IcmpTarget { host, count, spacing, size, family } = target;
        if !(1..=20).contains(count) {
            return Err(format!("count {count} is not from 1 to 20"));
        }
        if !(16..=1400).contains(size) {
            return Err(format!("size {size} is not from 16 to 1400"));
        }
        // Brackets belong to URLs; here they do no harm.
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self { host: host.to_owned(), count: *count, spacing_us: spacing.0, size: *size, family: *family })
    }

    pub(crate) async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        let address = SocketAddr::new(connect::pick_host(attempt, &self.host, self.family).await?, 0);
        let line = attempt.tools.icmp.line(address.ip()).map_err(|error| open_failure(address, &error))?;
        self.echo(attempt, &line, address).await
    }

    async fn echo(&self, attempt: &mut Attempt<'_>, line: &Arc<Line>, address: SocketAddr) -> Result<Answer, Failure> {
        attempt.begin(Phase::FirstByte);
        let mut echoes =
            line.begin(address, usize::from(self.size), usize::from(self.count)).map_err(|error| lost_line(&error))?;
        let started = clock::monotonic();
        for number in 1..=self.count {
            echoes.send().await.map_err(|error| send_failure("icmp", address, &error))?;
            let next = started.plus_us(self.spacing_us.saturating_mul(u64::from(number)));
            // No time for another one after the deadline: what was sent is waited for.
            if number == self.count || next >= attempt.deadline {
                await_rest(&echoes, attempt.deadline).await.map_err(|error| lost_line(&error))?;
                break;
            }
            echoes.wait(next, Wanted::Nothing).await.map_err(|error| lost_line(&error))?;
        }
        attempt.end();
        let summary = Summary::of(&echoes.seen());
        summary.note(&mut attempt.facts);
        let Some(rtt) = summary.rtt else {
            let text = match summary.sent {
                1 => format!("icmp: {} did not answer the echo", self.host),
                sent => format!("icmp: {} answered none of {sent} echoes", self.host),
            };
            return Err(Failure::new(Cause::Timeout, Phase::FirstByte, text));
        };
        attempt.phases.first_byte = Some(rtt.avg);
        Ok(Answer::default())
    }
}

/// Waits for the echoes of which the last was sent now.
async fn await_rest(echoes: &Echoes, deadline: Monotonic) -> io::Result<()> {
    let sent = clock::monotonic();
    echoes.wait(deadline, Wanted::First).await?;
    loop {
        let seen = echoes.seen();
        let Some(longest) = seen.iter().filter_map(|echo| echo.rtt_us).max() else { return Ok(()) };
        // One that came meanwhile may have taken longer than those before it.
        let until = sent.plus_us(patience(longest)).min(deadline);
        if seen.iter().all(|echo| echo.rtt_us.is_some()) || clock::monotonic() >= until {
            return Ok(());
        }
        echoes.wait(until, Wanted::All).await?;
    }
}

/// How long the last echo of a run is waited for whose longest round trip so far is this, in microseconds.
const fn patience(longest_us: u64) -> u64 {
    let twice = longest_us.saturating_mul(2);
    if twice > LAST_WAIT_US { twice } else { LAST_WAIT_US }
}

/// What a run's echoes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Summary {
    sent: usize,
    received: usize,
    rtt: Option<Rtt>,
    /// Mean difference of successive round trips, lost echoes left out.
    jitter: Option<u64>,
}

/// Round trips, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rtt {
    min: u64,
    avg: u64,
    max: u64,
}

impl Summary {
    fn of(echoes: &[Echo]) -> Self {
        let trips: Vec<u64> = echoes.iter().filter_map(|echo| echo.rtt_us).collect();
        let mean = |sum: u64, count: usize| sum / (count as u64).max(1);
        let rtt = trips.iter().min().zip(trips.iter().max()).map(|(min, max)| Rtt {
            min: *min,
            avg: mean(trips.iter().sum(), trips.len()),
            max: *max,
        });
        let steps: u64 = trips.windows(2).map(|pair| pair[0].abs_diff(pair[1])).sum();
        let jitter = (trips.len() > 1).then(|| mean(steps, trips.len() - 1));
        Self { sent: echoes.len(), received: trips.len(), rtt, jitter }
    }

    fn note(&self, facts: &mut Facts) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        facts.number(FactKey::Sent, number(self.sent as u64));
        facts.number(FactKey::Received, number(self.received as u64));
        if let Some(rtt) = self.rtt {
            facts.number(FactKey::RttMin, number(rtt.min));
            facts.number(FactKey::RttAvg, number(rtt.avg));
            facts.number(FactKey::RttMax, number(rtt.max));
        }
        if let Some(jitter) = self.jitter {
            facts.number(FactKey::Jitter, number(jitter));
        }
    }
}

fn open_failure(address: SocketAddr, error: &io::Error) -> Failure {
    const EAFNOSUPPORT: i32 = 97;
    if hub::is_refused(error) {
        let text = "agent: this machine does not let the agent send echoes; install packaging/sysctl.d/sitepulse.conf as /etc/sysctl.d/sitepulse.conf and run `sysctl -p /etc/sysctl.d/sitepulse.conf` there (it sets net.ipv4.ping_group_range = 0 2147483647)";
        return Failure::new(Cause::AgentFault, Phase::FirstByte, text);
    }
    if error.raw_os_error() == Some(EAFNOSUPPORT) {
        let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
        let text = format!("network: this agent has no {family} to reach {}", address.ip());
        return Failure::new(Cause::NetworkLost, Phase::FirstByte, text);
    }
    lost_line(error)
}

fn lost_line(error: &io::Error) -> Failure {
    connect::agent_fault(Phase::FirstByte, error)
}

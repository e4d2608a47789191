//! One datagram out, and what comes back.
//!
//! The socket is connected: datagrams of others than the target never reach the run, and a port on which nothing listens is told (by ICMP)
//! rather than waited for. The body is what the datagrams held, one after the other, at most 1 MiB. Any answer will do where no assertion
//! looks at the body; silence until the deadline is down.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BufMut as _;
use sitepulse_daemon::clock;
use sitepulse_model::check::{Family, SecretText, UdpTarget};
use sitepulse_model::record::Phase;
use tokio::net::UdpSocket;

use crate::attempt::{Answer, Attempt, Failure};
use crate::connect;
use crate::exchange::{Heard, host_port, send_failure};

#[cfg(test)]
mod tests;

/// Room for the longest datagram: a shorter buffer would cut it.
const DATAGRAM_BYTES: usize = 65_536;

/// A check of this kind, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct UdpProbe {
    host: String,
    port: u16,
    send: Words,
    family: Family,
}

#[derive(Debug)]
enum Words {
    Text(SecretText),
    Bytes(Vec<u8>),
}

impl UdpProbe {
    pub(crate) fn new(target: &UdpTarget) -> Result<Self, String> {
        let UdpTarget { address, send, send_hex, family } = target;
        let (host, port) = host_port(address)?;
        let send = match (send, send_hex) {
            (Some(_), Some(_)) => return Err("send and send_hex exclude each other".to_owned()),
            (Some(text), None) => Words::Text(text.clone()),
            (None, Some(digits)) => Words::Bytes(from_hex(digits)?),
            (None, None) => Words::Bytes(Vec::new()),
        };
        Ok(Self { host, port, send, family: *family })
    }

    pub(crate) async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        let resolved;
        let send = match &self.send {
            Words::Text(text) => {
                resolved = attempt.secrets.resolve(text)?;
                resolved.as_bytes()
            }
            Words::Bytes(bytes) => bytes,
        };
        let address = connect::pick(attempt, &self.host, self.port, self.family).await?;
        let failed = |error: std::io::Error| send_failure("udp", address, &error);
        attempt.begin(Phase::Send);
        let any = match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((any, 0)).await.map_err(failed)?;
        socket.connect(address).await.map_err(failed)?;
        socket.send(send).await.map_err(failed)?;
        attempt.begin(Phase::FirstByte);
        let mut heard = Heard::new();
        let truncated = loop {
            let room = heard.room();
            if room == 0 {
                break !heard.search(attempt, clock::monotonic()).await;
            }
            heard.body.reserve(DATAGRAM_BYTES.min(room));
            let until = clock::tokio_instant(heard.patience(attempt));
            let mut space = (&mut heard.body).limit(room);
            let received = tokio::time::timeout_at(until, socket.recv_buf(&mut space)).await;
            let now = clock::monotonic();
            match received {
                Ok(Ok(_)) => {
                    if attempt.phase() == Phase::FirstByte {
                        attempt.begin_at(Phase::Transfer, now);
                    }
                    attempt.facts.body_bytes = Some(heard.body.len() as u64);
                    if heard.enough(attempt, now).await {
                        break false;
                    }
                }
                Ok(Err(error)) => return Err(Failure { phase: attempt.phase(), ..failed(error) }),
                Err(_) => {
                    let silence = || format!("udp: {}:{} did not answer", self.host, self.port);
                    if heard.waited(attempt, silence).await? {
                        break false;
                    }
                }
            }
        };
        attempt.end();
        Ok(heard.answer(truncated))
    }
}

fn from_hex(digits: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("send_hex {digits:?} is not pairs of hexadecimal digits, as in \"0a1b\"");
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok()).ok_or_else(wrong);
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Ok(digit(*high)? << 4 | digit(*low)?),
            _ => Err(wrong()),
        })
        .collect()
}

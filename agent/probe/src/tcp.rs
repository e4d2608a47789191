//! One TCP connection, and optionally words exchanged over it.
//!
//! Without anything to send and without an assertion on the body, the connection is all: it is closed as soon as it stands.
//! Else what is to be sent is sent, and with an assertion on the body the run reads until the hard ones hold, the peer closes, 1 MiB came
//! (the rest is not read), or the deadline comes. A peer that closes early is judged by what it said.

use bytes::BufMut as _;
use sitepulse_daemon::clock;
use sitepulse_model::check::{Family, SecretText, TcpTarget};
use sitepulse_model::expect;
use sitepulse_model::record::{Cause, Phase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::attempt::{Answer, Attempt, Failure};
use crate::connect;
use crate::exchange::{Heard, host_port};

#[cfg(test)]
mod tests;

/// Least room for a read.
const READ_BYTES: usize = 4096;

/// A check of this kind, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct TcpProbe {
    host: String,
    port: u16,
    send: Option<SecretText>,
    family: Family,
}

impl TcpProbe {
    pub(crate) fn new(target: &TcpTarget) -> Result<Self, String> {
        let TcpTarget { address, send, family } = target;
        let (host, port) = host_port(address)?;
        Ok(Self { host, port, send: send.clone(), family: *family })
    }

    pub(crate) async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        let reads = expect::asserts_body(attempt.expect);
        // Before the connection: one that cannot be used is not opened.
        let send = self.send.as_ref().map(|send| attempt.secrets.resolve(send)).transpose()?;
        let mut stream = connect::open(attempt, &self.host, self.port, self.family).await?;
        if let Some(send) = send {
            attempt.begin(Phase::Send);
            stream.write_all(send.as_bytes()).await.map_err(|error| self.failure(attempt, 0, &error))?;
            attempt.end();
        }
        let answer = if reads { self.read(attempt, &mut stream).await? } else { Answer::default() };
        hang_up(&stream);
        Ok(answer)
    }

    async fn read(&self, attempt: &mut Attempt<'_>, stream: &mut TcpStream) -> Result<Answer, Failure> {
        attempt.begin(Phase::FirstByte);
        let mut heard = Heard::new();
        let truncated = loop {
            let room = heard.room();
            if room == 0 {
                break !heard.search(attempt, clock::monotonic()).await;
            }
            if heard.body.capacity() - heard.body.len() < READ_BYTES {
                heard.body.reserve(READ_BYTES.max(heard.body.len()).min(room));
            }
            let until = clock::tokio_instant(heard.patience(attempt));
            let mut space = (&mut heard.body).limit(room);
            let read = tokio::time::timeout_at(until, stream.read_buf(&mut space)).await;
            let now = clock::monotonic();
            match read {
                Ok(Ok(0)) => break false,
                Ok(Ok(_)) => {
                    if attempt.phase() == Phase::FirstByte {
                        attempt.begin_at(Phase::Transfer, now);
                    }
                    attempt.facts.body_bytes = Some(heard.body.len() as u64);
                    if heard.enough(attempt, now).await {
                        break false;
                    }
                }
                Ok(Err(error)) => return Err(self.failure(attempt, heard.body.len(), &error)),
                Err(_) => {
                    let silence = || format!("tcp: {}:{} was connected and said nothing", self.host, self.port);
                    if heard.waited(attempt, silence).await? {
                        break false;
                    }
                }
            }
        };
        attempt.end();
        attempt.facts.body_bytes = Some(heard.body.len() as u64);
        Ok(heard.answer(truncated))
    }

    fn failure(&self, attempt: &Attempt<'_>, came: usize, error: &std::io::Error) -> Failure {
        let phase = attempt.phase();
        if connect::is_agent_fault(error) {
            return connect::agent_fault(phase, error);
        }
        let after = if came > 0 { format!(" after {came} bytes") } else { String::new() };
        let text = format!("tcp: {}:{} broke the connection{after} ({})", self.host, self.port, connect::plain(error));
        Failure::new(Cause::ConnectionReset, phase, text)
    }
}

/// Closes in order. The kernel would reset a connection whose bytes nobody took, and that fills the logs of those who greet first; so what
/// is there is taken, within reason.
fn hang_up(stream: &TcpStream) {
    let mut scratch = [0; 1024];
    for _ in 0..64 {
        // Costs nothing while the connection is not known to be readable.
        if !matches!(stream.try_read(&mut scratch), Ok(1..)) {
            break;
        }
    }
}

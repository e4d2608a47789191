//! What `smtp` and `imap` share: a dialogue in lines with a server, protected at once, midway or not at all.
//!
//! Limits: [`LINE_BYTES_MAX`] a line, [`LINES_MAX`] lines a dialogue; nothing but the line at hand is kept. Phases: `first_byte` is the wait for
//! the greeting, `tls` the handshake, `transfer` the dialogue.
//!
//! Architecture invariant: passwords are sent over [`Protected`] dialogues alone, and what a server says before its handshake counts for
//! nothing afterwards: bytes that wait there when the handshake begins were slipped in (CVE-2011-0411), and end the run.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sitepulse_daemon::clock;
use sitepulse_model::check::{Family, Login, MailSecurity, MailTarget};
use sitepulse_model::record::{Cause, Phase};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use crate::attempt::{Attempt, Failure};
use crate::certificate::host_port;
use crate::connect;
use crate::tls::{self, TlsClient};

/// Longest line, in bytes.
pub(crate) const LINE_BYTES_MAX: usize = 8 << 10;
/// Most lines of one dialogue.
pub(crate) const LINES_MAX: u32 = 256;
/// Most characters of a server's words in an explanation.
const QUOTE_MAX: usize = 160;
/// How long the run waits for an answer to its goodbye.
const GOODBYE_US: u64 = 1_000_000;

/// A dialogue under TLS.
pub(crate) type Protected = Dialogue<TlsStream<TcpStream>>;

/// A mail server to talk to.
#[derive(Debug)]
pub(crate) struct Mail {
    /// `smtp` or `imap`: the step in explanations.
    pub(crate) kind: &'static str,
    pub(crate) host: String,
    port: u16,
    family: Family,
    pub(crate) security: MailSecurity,
    login: Option<Login>,
    tls: TlsClient,
}

/// A user with the password, as they are sent.
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Zeroizing<String>,
}

impl Credentials {
    /// The message of SASL's PLAIN.
    pub(crate) fn plain(&self) -> Zeroizing<String> {
        encoded(&Zeroizing::new(format!("\0{}\0{}", self.user, self.password.as_str())))
    }
}

/// In base64, as SASL travels.
pub(crate) fn encoded(text: &str) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(text))
}

impl Mail {
    pub(crate) fn new(kind: &'static str, target: &MailTarget) -> Result<Self, String> {
        let (host, port) = host_port(&target.address)?;
        if target.login.is_some() && target.security == MailSecurity::None {
            return Err("login: a password is not sent unprotected; set security to \"starttls\" or \"tls\"".to_owned());
        }
        if target.login.as_ref().is_some_and(|login| login.user.contains(char::is_control)) {
            return Err("login.user: it has control characters".to_owned());
        }
        Ok(Self {
            kind,
            host,
            port,
            family: target.family,
            security: target.security,
            login: target.login.clone(),
            tls: TlsClient::new(&target.tls, &[])?,
        })
    }

    /// The login, before anything is dialled: a secret that is missing says nothing of the target.
    pub(crate) fn credentials(&self, attempt: &Attempt<'_>) -> Result<Option<Credentials>, Failure> {
        let Some(login) = &self.login else { return Ok(None) };
        let password = Zeroizing::new(attempt.secrets.resolve(&login.password)?);
        if password.contains('\0') {
            let text = "agent: the password has a NUL, which no mail login can carry";
            return Err(Failure::new(Cause::AgentFault, Phase::Total, text));
        }
        Ok(Some(Credentials { user: login.user.clone(), password }))
    }

    /// Connects.
    pub(crate) async fn open(&self, attempt: &mut Attempt<'_>) -> Result<TcpStream, Failure> {
        connect::open(attempt, &self.host, self.port, self.family).await
    }

    /// TLS from the first byte.
    pub(crate) async fn protect(&self, attempt: &mut Attempt<'_>, stream: TcpStream) -> Result<Protected, Failure> {
        Ok(Dialogue::new(tls::handshake(attempt, stream, &self.host, &self.tls).await?))
    }

    /// TLS from here on, the server having agreed.
    pub(crate) async fn upgrade(
        &self,
        attempt: &mut Attempt<'_>,
        dialogue: Dialogue<TcpStream>,
    ) -> Result<Protected, Failure> {
        if dialogue.has_unread() {
            let text = format!(
                "{}: {} went on in plain text after agreeing to STARTTLS; somebody may be injecting commands",
                self.kind, self.host
            );
            return Err(Failure::new(Cause::ProtocolError, Phase::Tls, text));
        }
        let lines = dialogue.lines_left;
        let mut protected = self.protect(attempt, dialogue.stream).await?;
        protected.lines_left = lines;
        attempt.begin(Phase::Transfer);
        Ok(protected)
    }

    /// Waits for the server's first byte.
    pub(crate) async fn greeted<S: AsyncRead + Unpin>(
        &self,
        attempt: &mut Attempt<'_>,
        dialogue: &mut Dialogue<S>,
    ) -> Result<(), Failure> {
        attempt.begin(Phase::FirstByte);
        let first = dialogue.fill().await;
        attempt.begin(Phase::Transfer);
        first.map_err(|error| self.broken(Phase::FirstByte, &error))
    }

    /// The next line.
    pub(crate) async fn line<S: AsyncRead + Unpin>(&self, dialogue: &mut Dialogue<S>) -> Result<String, Failure> {
        dialogue.line().await.map_err(|error| self.broken(Phase::Transfer, &error))
    }

    /// Sends a line.
    pub(crate) async fn send<S: AsyncWrite + Unpin>(
        &self,
        dialogue: &mut Dialogue<S>,
        line: &str,
    ) -> Result<(), Failure> {
        dialogue.send(line).await.map_err(|error| self.broken(Phase::Transfer, &LineError::Io(error)))
    }

    /// Says goodbye and waits a little for the answer. The run is over: how it goes changes nothing.
    pub(crate) async fn part<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        attempt: &Attempt<'_>,
        mut dialogue: Dialogue<S>,
        words: &str,
    ) {
        let parting = async {
            if dialogue.send(words).await.is_ok() {
                drop(dialogue.line().await);
                drop(dialogue.stream.shutdown().await);
            }
        };
        // Never up to the deadline: that would make a good run a timeout.
        let left = attempt.deadline.us_since(clock::monotonic());
        drop(tokio::time::timeout(Duration::from_micros(GOODBYE_US.min(left / 2)), parting).await);
    }

    /// A failure in the dialogue.
    pub(crate) fn failure(&self, cause: Cause, text: &str) -> Failure {
        Failure::new(cause, Phase::Transfer, format!("{}: {} {text}", self.kind, self.host))
    }

    /// The server does not do TLS.
    pub(crate) fn unprotected(&self, text: &str) -> Failure {
        Failure::new(Cause::TlsFailed, Phase::Tls, format!("TLS: {text}"))
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "io::ErrorKind is not ours: the rest is told as it is")]
    fn broken(&self, phase: Phase, error: &LineError) -> Failure {
        let failure = |cause, text: String| Failure::new(cause, phase, format!("{}: {} {text}", self.kind, self.host));
        match error {
            LineError::TooLong => failure(Cause::ProtocolError, format!("sent a line over {LINE_BYTES_MAX} bytes")),
            LineError::TooMany => failure(Cause::ProtocolError, format!("sent over {LINES_MAX} lines")),
            LineError::Nul => failure(Cause::ProtocolError, "sent a NUL, which no line may have".to_owned()),
            LineError::Closed => failure(Cause::ConnectionReset, "closed the connection early".to_owned()),
            LineError::Io(error) => {
                if let Some(late) = tls::explain_late(&self.host, error) {
                    return late;
                }
                if connect::is_agent_fault(error) {
                    return connect::agent_fault(phase, error);
                }
                match error.kind() {
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                        failure(Cause::ConnectionReset, "reset the connection".to_owned())
                    }
                    io::ErrorKind::UnexpectedEof => {
                        failure(Cause::ConnectionReset, "closed the connection early".to_owned())
                    }
                    _ => failure(Cause::ProtocolError, format!("broke the connection ({})", connect::plain(error))),
                }
            }
        }
    }
}

/// Why there is no line.
#[derive(Debug)]
pub(crate) enum LineError {
    /// Over [`LINE_BYTES_MAX`].
    TooLong,
    /// Over [`LINES_MAX`].
    TooMany,
    /// A NUL stands in it.
    Nul,
    /// The peer closed before or in it.
    Closed,
    /// The stream failed.
    Io(io::Error),
}

/// Lines over a stream.
pub(crate) struct Dialogue<S> {
    stream: S,
    /// Received, from `start` on not yet taken.
    buffer: Vec<u8>,
    start: usize,
    lines_left: u32,
}

impl<S> Dialogue<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), start: 0, lines_left: LINES_MAX }
    }

    /// Whether something came that no line has taken yet.
    fn has_unread(&self) -> bool {
        self.start < self.buffer.len()
    }
}

/// How the agent calls itself: by the address that it speaks from (RFC 5321, 4.1.3).
pub(crate) fn literal(stream: &TcpStream) -> String {
    match stream.local_addr().map(|address| address.ip().to_canonical()) {
        Ok(IpAddr::V4(v4)) => format!("[{v4}]"),
        Ok(IpAddr::V6(v6)) => format!("[IPv6:{v6}]"),
        Err(_) => "[127.0.0.1]".to_owned(),
    }
}

impl<S: AsyncRead + Unpin> Dialogue<S> {
    /// Receives more.
    async fn fill(&mut self) -> Result<(), LineError> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let mut more = [0; 1024];
        match self.stream.read(&mut more).await {
            Ok(0) => Err(LineError::Closed),
            Ok(count) => {
                self.buffer.extend_from_slice(&more[..count]);
                Ok(())
            }
            Err(error) => Err(LineError::Io(error)),
        }
    }

    /// The next line, without its end.
    async fn line(&mut self) -> Result<String, LineError> {
        self.lines_left = self.lines_left.checked_sub(1).ok_or(LineError::TooMany)?;
        let mut searched = self.start;
        loop {
            if let Some(end) = self.buffer[searched..].iter().position(|byte| *byte == b'\n').map(|at| searched + at) {
                let line = &self.buffer[self.start..end];
                if line.len() > LINE_BYTES_MAX {
                    return Err(LineError::TooLong);
                }
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if line.contains(&0) {
                    return Err(LineError::Nul);
                }
                let line = String::from_utf8_lossy(line).into_owned();
                self.start = end + 1;
                return Ok(line);
            }
            if self.buffer.len() - self.start > LINE_BYTES_MAX {
                return Err(LineError::TooLong);
            }
            let unread = self.buffer.len() - self.start;
            self.fill().await?;
            searched = unread;
        }
    }
}

impl<S: AsyncWrite + Unpin> Dialogue<S> {
    async fn send(&mut self, line: &str) -> io::Result<()> {
        let bytes = Zeroizing::new(format!("{line}\r\n"));
        self.stream.write_all(bytes.as_bytes()).await?;
        self.stream.flush().await
    }
}

/// A server's words in an explanation, short. `hidden` was sent to it and must not come back.
pub(crate) fn quote(words: &str, hidden: &[&str]) -> String {
    let mut words = words.to_owned();
    for secret in hidden.iter().filter(|secret| !secret.is_empty()) {
        words = words.replace(secret, "...");
    }
    if words.chars().count() > QUOTE_MAX {
        words = words.chars().take(QUOTE_MAX).collect();
        words.push_str("...");
    }
    words
}

#[cfg(test)]
pub(crate) mod testing;

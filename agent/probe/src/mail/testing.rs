//! Scripted mail servers on the loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::{RootCertStore, ServerConnection, StreamOwned};
use sitepulse_model::check::{CheckKind, Family, Login, MailSecurity, MailTarget, SecretText, TlsOptions};
use sitepulse_model::record::ProbeResult;

use crate::testing;
use crate::tls::pki::{Authority, Leaf, Serving};
use crate::tools::Tools;

/// The server's end of a dialogue.
pub(crate) struct Peer {
    stream: Option<Stream>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Peer {
    /// Says lines, whether or not anybody still listens.
    pub(crate) fn say(&mut self, text: &str) {
        self.try_say(text.as_bytes());
    }

    /// Whether it was taken.
    pub(crate) fn try_say(&mut self, bytes: &[u8]) -> bool {
        match self.stream.as_mut().unwrap() {
            Stream::Plain(stream) => stream.write_all(bytes).is_ok(),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()).is_ok(),
        }
    }

    /// Hears a line, which begins so; `None` when the prober hung up.
    pub(crate) fn hear(&mut self, begins: &str) -> String {
        let line = self.line();
        assert!(line.starts_with(begins), "{line:?} instead of {begins:?}");
        line
    }

    /// The next line, empty at the end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut one = [0];
        // Byte by byte: what follows STARTTLS belongs to TLS.
        while !line.ends_with(b"\r\n") && matches!(self.read(&mut one), Ok(1)) {
            line.push(one[0]);
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.stream.as_mut().unwrap() {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }

    /// TLS from here on.
    pub(crate) fn protect(&mut self, serving: Serving) {
        let Some(Stream::Plain(stream)) = self.stream.take() else { panic!("protected already") };
        let connection = ServerConnection::new(Arc::new(serving.config)).unwrap();
        self.stream = Some(Stream::Tls(Box::new(StreamOwned::new(connection, stream))));
    }

    /// Hears the prober out.
    pub(crate) fn outlast(&mut self) {
        let mut buffer = [0; 1024];
        while matches!(self.read(&mut buffer), Ok(1..)) {}
    }
}

/// A PKI and a server certificate of it.
pub(crate) struct Pki {
    pub(crate) root: Authority,
}

impl Pki {
    pub(crate) fn new() -> Self {
        Self { root: Authority::root("Root") }
    }

    pub(crate) fn serving(&self) -> Serving {
        Leaf::of(&self.root, &["127.0.0.1"]).serve(|_| {})
    }
}

/// A check of a mail server that is to be started, with tools that know its secrets.
pub(crate) struct Mailbox {
    pub(crate) kind: &'static str,
    pub(crate) security: MailSecurity,
    pub(crate) login: bool,
    pub(crate) timeout_us: u64,
    pub(crate) roots: RootCertStore,
    expect: Vec<String>,
}

impl Mailbox {
    pub(crate) fn new(kind: &'static str, security: MailSecurity, roots: RootCertStore) -> Self {
        Self { kind, security, login: false, timeout_us: 10_000_000, roots, expect: Vec::new() }
    }

    pub(crate) fn with_login(mut self) -> Self {
        self.login = true;
        self
    }

    pub(crate) fn expect(mut self, assertion: &str) -> Self {
        self.expect.push(assertion.to_owned());
        self
    }

    pub(crate) fn within(mut self, timeout_us: u64) -> Self {
        self.timeout_us = timeout_us;
        self
    }

    pub(crate) fn target(&self, address: SocketAddr) -> MailTarget {
        MailTarget {
            address: address.to_string(),
            security: self.security,
            login: self.login.then(|| Login {
                user: "watch@shop.example".to_owned(),
                password: SecretText("secret:mail".to_owned()),
            }),
            family: Family::Any,
            tls: TlsOptions::default(),
        }
    }

    /// Runs the check once against a server that behaves so for one connection.
    pub(crate) fn run(&self, behave: impl FnOnce(&mut Peer) + Send + 'static) -> ProbeResult {
        let (address, server) = serve(behave);
        let target = Box::new(self.target(address));
        let kind = if self.kind == "smtp" { CheckKind::Smtp(target) } else { CheckKind::Imap(target) };
        let expect: Vec<&str> = self.expect.iter().map(String::as_str).collect();
        let result = testing::run(&testing::check(kind, self.timeout_us, &expect), &self.tools());
        server.join().unwrap();
        result
    }

    pub(crate) fn tools(&self) -> Tools {
        let tools = testing::tools(self.roots.clone());
        tools.secrets.replace([("mail".to_owned(), "Tr0ub4dor&3".to_owned())].into());
        tools
    }
}

fn serve(behave: impl FnOnce(&mut Peer) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        behave(&mut Peer { stream: Some(Stream::Plain(stream)) });
    });
    (address, thread)
}

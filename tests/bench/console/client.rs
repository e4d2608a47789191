//! A client of one connection, as plain as can be: what it costs is not what is measured.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use sitepulse_daemon::clock;

/// One connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    token: String,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Of the body, as it came over the wire.
    pub(crate) bytes: usize,
    /// Whether it came compressed.
    pub(crate) packed: bool,
    pub(crate) took_us: u64,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, token: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a socket option");
        Self { stream: BufReader::with_capacity(1 << 16, stream), token: token.to_owned() }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.ask(path, "")
    }

    pub(crate) fn get_packed(&mut self, path: &str) -> Answer {
        self.ask(path, "Accept-Encoding: gzip\r\n")
    }

    /// Reads a stream of events for a while; how many bytes came.
    pub(crate) fn listen(mut self, path: &str, span: Duration) -> usize {
        let began = clock::monotonic();
        self.send(path, "");
        self.stream.get_ref().set_read_timeout(Some(Duration::from_millis(200))).expect("a socket option");
        let (mut bytes, mut room) = (0, vec![0; 1 << 16]);
        while clock::monotonic().since(began) < span {
            // Nothing for a while is no error.
            bytes += self.stream.read(&mut room).unwrap_or(0);
        }
        bytes
    }

    fn send(&mut self, path: &str, more: &str) {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nAccept-Language: en\r\n{more}\r\n",
            self.token
        );
        self.stream.get_mut().write_all(request.as_bytes()).expect("the server reads");
    }

    fn ask(&mut self, path: &str, more: &str) -> Answer {
        let began = clock::monotonic();
        self.send(path, more);
        let head = self.lines();
        let status = head[0].split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let of = |name: &str| {
            let line = head.iter().find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
            line.map(|line| line[name.len() + 1..].trim().to_owned())
        };
        let bytes = match of("content-length") {
            Some(length) => self.skip(length.parse().expect("a length")),
            None => self.chunks(),
        };
        let packed = of("content-encoding").is_some();
        Answer { status, bytes, packed, took_us: clock::monotonic().us_since(began) }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("the server writes");
        line.truncate(line.trim_end().len());
        line
    }

    fn lines(&mut self) -> Vec<String> {
        let mut lines = vec![self.line()];
        while lines.last().is_some_and(|line| !line.is_empty()) {
            lines.push(self.line());
        }
        lines
    }

    fn skip(&mut self, bytes: usize) -> usize {
        let mut body = vec![0; bytes];
        self.stream.read_exact(&mut body).expect("the server writes");
        bytes
    }

    fn chunks(&mut self) -> usize {
        let mut bytes = 0;
        loop {
            let length = usize::from_str_radix(&self.line(), 16).expect("a chunk");
            self.skip(length + 2);
            bytes += length;
            if length == 0 {
                return bytes;
            }
        }
    }
}

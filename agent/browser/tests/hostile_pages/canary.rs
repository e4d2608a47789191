//! What a hostile page is after: listeners that count who comes. Nobody may come to a denied one; the page's own server and the control answer.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// The addresses of this machine that are denied, all at one port, over TCP and UDP.
const DENIED: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// Listeners at one port of every denied address.
pub(crate) struct Denied {
    pub(crate) port: u16,
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
}

impl Denied {
    pub(crate) fn new() -> Self {
        // A port that is free everywhere.
        for _ in 0..100 {
            let first = TcpListener::bind((DENIED[0], 0)).unwrap();
            let port = first.local_addr().unwrap().port();
            let rest: io::Result<Vec<_>> =
                DENIED[1..].iter().map(|address| TcpListener::bind((*address, port))).collect();
            let udp: io::Result<Vec<_>> = DENIED.iter().map(|address| UdpSocket::bind((*address, port))).collect();
            if let (Ok(rest), Ok(udp)) = (rest, udp) {
                let tcp: Vec<_> = std::iter::once(first).chain(rest).collect();
                tcp.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
                udp.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
                return Self { port, tcp, udp };
            }
        }
        panic!("no port is free at {DENIED:?}");
    }

    /// Who came since the last time: a line for each, with what was said.
    pub(crate) fn came(&self) -> Vec<String> {
        let mut came = Vec::new();
        for listener in &self.tcp {
            while let Ok((mut stream, _)) = listener.accept() {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                let mut said = [0; 256];
                let length = stream.read(&mut said).unwrap_or(0);
                came.push(format!(
                    "tcp {}: {:?}",
                    listener.local_addr().unwrap(),
                    String::from_utf8_lossy(&said[..length])
                ));
            }
        }
        for socket in &self.udp {
            let mut said = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut said) {
                came.push(format!("udp {} from {from}: {length} bytes", socket.local_addr().unwrap()));
            }
        }
        came
    }

    /// The listeners notice: a connection and a datagram to each of them.
    pub(crate) fn assert_that_they_notice(&self) {
        assert_eq!(self.came(), Vec::<String>::new());
        let talker =
            |address: IpAddr| UdpSocket::bind((if address.is_ipv4() { DENIED[0] } else { DENIED[3] }, 0)).unwrap();
        for address in DENIED {
            TcpStream::connect((address, self.port)).unwrap().write_all(b"x").unwrap();
            talker(address).send_to(b"x", (address, self.port)).unwrap();
        }
        assert_eq!(self.came().len(), 2 * DENIED.len());
    }
}

/// Serves pages, and remembers what was asked for.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    paths: Mutex<BTreeSet<String>>,
    done: Mutex<bool>,
    is_done: Condvar,
    stopped: AtomicBool,
}

/// A path with its query to an answer: further header lines with a status line first, and the body.
pub(crate) type Answers = dyn Fn(&str) -> Option<(String, Vec<u8>)> + Send + Sync;

impl Server {
    /// Answers by `answers`; `/hold` when `/done` was asked for.
    pub(crate) fn start(answers: Arc<Answers>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (serving, answers) = (serving.clone(), answers.clone());
                if let Ok(stream) = stream {
                    std::thread::spawn(move || drop(serving.answer(stream, &*answers)));
                }
            }
        });
        Self { address, shared }
    }

    /// Everything asked for so far.
    pub(crate) fn paths(&self) -> BTreeSet<String> {
        self.shared.paths.lock().unwrap().clone()
    }

    /// Whether the page said that it has tried everything.
    pub(crate) fn is_done(&self) -> bool {
        *self.shared.done.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // It waits for somebody to come.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut head = Vec::new();
        let mut byte = [0; 1];
        while !head.ends_with(b"\r\n\r\n") && head.len() < 32 << 10 {
            if stream.read(&mut byte)? == 0 {
                // Something else than HTTP may have come.
                break;
            }
            head.extend(byte);
            if head.len() == 1 && !head[0].is_ascii_uppercase() {
                self.paths.lock().unwrap().insert(format!("bytes:{:02x}", head[0]));
                return Ok(());
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let Some(path) = head.split(' ').nth(1) else {
            self.paths.lock().unwrap().insert("connection".to_owned());
            return Ok(());
        };
        self.paths.lock().unwrap().insert(path.to_owned());
        if path.starts_with("/done") {
            *self.done.lock().unwrap() = true;
            self.is_done.notify_all();
        }
        if path.starts_with("/hold") {
            let done = self.done.lock().unwrap();
            drop(self.is_done.wait_timeout_while(done, Duration::from_secs(120), |done| !*done).unwrap());
        }
        let (lines, body) =
            answers(path).unwrap_or_else(|| ("200 OK\r\ncontent-type: text/plain".to_owned(), Vec::new()));
        let length = body.len();
        let preflight = "access-control-allow-origin: *\r\naccess-control-allow-headers: *\r\naccess-control-allow-private-network: true";
        write!(stream, "HTTP/1.1 {lines}\r\n{preflight}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")?;
        stream.write_all(&body)
    }
}

//! A web site on loopback that counts who asks and can be told to fail.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How the site answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// 200 and a small page; below `page`, one that a browser shows: `page-loading` asks for `never`, which is not answered, and `page-hangs` for `hung` before it
    /// never lets go of the processor.
    Well,
    /// 503.
    Ill,
    /// Closes each connection without a word.
    Mute,
}

#[derive(Debug)]
struct State {
    mood: Mutex<Mood>,
    hits: Mutex<BTreeMap<String, u64>>,
    ended: AtomicBool,
}

/// The site. Ends when dropped.
#[derive(Debug)]
pub struct Site {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Site {
    /// Starts it on a free port of 127.0.0.1.
    pub fn start() -> Self {
        Self::start_on("127.0.0.1")
    }

    /// Starts it on a free port of an address of this machine.
    pub fn start_on(address: &str) -> Self {
        Self::start_at(address, 0)
    }

    /// Starts it on a port of an address of this machine.
    pub fn start_at(address: &str, port: u16) -> Self {
        let listener = TcpListener::bind((address, port)).expect("the address is this machine's and has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State {
            mood: Mutex::new(Mood::Well),
            hits: Mutex::new(BTreeMap::new()),
            ended: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || answer(&stream, &shared).ok());
            }
        });
        Self { address, state, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS:PORT/PATH`
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// A check file's entry for the page `id`, probed every second.
    pub fn check(&self, id: &str) -> String {
        let url = self.url(id);
        format!("[[check]]\nid = \"{id}\"\nkind = \"http\"\nurl = \"{url}\"\ninterval = \"1s\"\ntimeout = \"900ms\"\n")
    }

    /// From now on it answers so.
    pub fn set(&self, mood: Mood) {
        *self.state.mood.lock().expect("no test panics while it holds this") = mood;
    }

    /// How many requests came for each path.
    pub fn hits(&self) -> BTreeMap<String, u64> {
        self.state.hits.lock().expect("no test panics while it holds this").clone()
    }
}

const PAGE: &str = "<!doctype html><title>Shop</title><link rel=icon href=data:,><h1>Welcome to the shop</h1><p>Shoes, hats and gloves.</p>";

const PAGE_LOADING: &str =
    "<!doctype html><title>Shop</title><link rel=icon href=data:,><h1>Welcome</h1><img src=/never>";
const PAGE_HANGS: &str = "<!doctype html><title>Shop</title><link rel=icon href=data:,><h1>Welcome</h1>\
    <script>new Image().src = '/hung'; setTimeout(() => { while (true) {} }, 50)</script>";

fn answer(stream: &TcpStream, state: &State) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let path = request.split(' ').nth(1).unwrap_or("").trim_start_matches('/').to_owned();
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    *state.hits.lock().expect("no test panics while it holds this").entry(path.clone()).or_default() += 1;
    let mood = *state.mood.lock().expect("no test panics while it holds this");
    let mut stream = stream;
    match mood {
        Mood::Well if path == "never" => {
            while !state.ended.load(Ordering::SeqCst) {
                match reader.fill_buf() {
                    Ok([]) => break,
                    Ok(more) => {
                        let more = more.len();
                        reader.consume(more);
                    }
                    // Whoever asked waits on.
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        }
        Mood::Well if path.starts_with("page") => {
            let page = match path.as_str() {
                "page-loading" => PAGE_LOADING,
                "page-hangs" => PAGE_HANGS,
                _ => PAGE,
            };
            let length = page.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
            )
        }
        Mood::Well => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nWelcome"),
        Mood::Ill => stream.write_all(b"HTTP/1.1 503 Nope\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        Mood::Mute => Ok(()),
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

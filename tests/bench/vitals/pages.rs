//! The pages that are loaded: a light one, a heavy one, one that hangs, and those of [`TRUTHS`]. Served from memory on loopback, each answer after the same small wait
//! or that of its query (`/hero.bmp?600`), in milliseconds.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// Pages whose figures are known: what they are called, what is known of each ([`Known`]).
pub(crate) const TRUTHS: [(&str, Known); 6] = [
    ("late-picture", Known { figure: 0, from: 900.0, to: 1_150.0 }),
    ("late-words", Known { figure: 0, from: 1_200.0, to: 1_450.0 }),
    ("first-byte", Known { figure: 0, from: 1_000.0, to: 1_250.0 }),
    ("shift", Known { figure: 1, from: 0.0259, to: 0.0299 }),
    ("shifts", Known { figure: 1, from: 0.0537, to: 0.0577 }),
    ("tasks", Known { figure: 2, from: 265.0, to: 300.0 }),
];

/// The range that a figure lies in.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    /// Which: LCP (ms), CLS, TBT (ms).
    pub(crate) figure: usize,
    /// The least that it can be.
    pub(crate) from: f64,
    /// The most, a quarter of a second for painting included where it is a paint.
    pub(crate) to: f64,
}

/// A server of them.
pub(crate) struct Pages {
    address: SocketAddr,
}

impl Pages {
    /// Starts it, for as long as this program runs.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(&stream));
            }
        });
        Self { address }
    }

    /// `light`, `heavy`, `hangs`, or one of [`TRUTHS`].
    pub(crate) fn url(&self, page: &str) -> String {
        format!("http://{}/{page}", self.address)
    }
}

/// Answers until the browser hangs up, which is no error.
fn serve(stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        while line.trim() != "" {
            line.clear();
            reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        }
        let (path, wait_ms) =
            path.split_once('?').map_or((path.as_str(), 5), |(path, ms)| (path, ms.parse().unwrap_or(5)));
        let (status, kind, body) = answer(path);
        std::thread::sleep(std::time::Duration::from_millis(if path == "/first-byte" { 1_000 } else { wait_ms }));
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
        let mut out = stream;
        out.write_all(&[head.as_bytes(), &body].concat()).ok()?;
    }
}

fn answer(path: &str) -> (&'static str, &'static str, Vec<u8>) {
    let html = "text/html; charset=utf-8";
    match path {
        "/light" => ("200 OK", html, light().into_bytes()),
        "/heavy" => ("200 OK", html, heavy().into_bytes()),
        "/hangs" => (
            "200 OK",
            html,
            b"<!doctype html><h1>hangs</h1><script>setTimeout(() => { for (;;); }, 100)</script>".to_vec(),
        ),
        "/late-picture" => ("200 OK", html, known("<img src='/hero.bmp?900' width=480 height=320>")),
        "/late-words" => (
            "200 OK",
            html,
            known(
                "<p>Small</p><script>setTimeout(() => { const h1 = document.createElement('h1'); \
                 h1.textContent = 'A headline that comes late and is by far the largest of all'; document.body.append(h1); }, 1200)</script>",
            ),
        ),
        "/first-byte" => ("200 OK", html, known("<h1>Words</h1>")),
        "/shift" => ("200 OK", html, known(&format!("{BLOCK}<script>painted(() => setTimeout(move, 300))</script>"))),
        "/shifts" => (
            "200 OK",
            html,
            known(&format!(
                "{BLOCK}<script>painted(() => setTimeout(() => {{ move(); setTimeout(() => {{ move(); setTimeout(move, 1300); }}, 200); }}, 100))</script>"
            )),
        ),
        // 120 and 250 ms: 70 and 200 beyond 50.
        "/tasks" => (
            "200 OK",
            html,
            known(
                "<h1>Words</h1><script>painted(() => setTimeout(() => { busy(120); setTimeout(() => busy(250), 50); }, 200))</script>",
            ),
        ),
        "/style.css" => ("200 OK", "text/css", style().into_bytes()),
        "/work.js" => ("200 OK", "text/javascript", work().into_bytes()),
        "/hero.bmp" => ("200 OK", "image/bmp", picture(480, 320, 1)),
        path if path.starts_with("/tile-") => {
            let seed = path.bytes().fold(7_u32, |seed, byte| seed.wrapping_mul(31).wrapping_add(u32::from(byte)));
            ("200 OK", "image/bmp", picture(160, 120, seed))
        }
        _ => ("404 Not Found", html, b"nothing here".to_vec()),
    }
}

/// A block of half the width and a fifth of the height that moves by its height: two fifths of the height are touched, so in a window of 1350 x 940
/// a move counts 0.5 x 0.4 x 188 / 1350 = 0.0279.
const BLOCK: &str = "<div id=block style='position:absolute;left:0;top:0;width:50vw;height:20vh;background:#ccc'>block</div>\
    <script>let at = 0; const move = () => { at = at ? 0 : 20; block.style.top = at + 'vh'; };</script>";

fn known(body: &str) -> Vec<u8> {
    format!(
        "<!doctype html><html lang=en><head><title>Known</title><meta name=viewport content='width=device-width'></head><body><script>\
         const busy = ms => {{ const end = performance.now() + ms; while (performance.now() < end); }};\
         const painted = what => new PerformanceObserver((list, observer) => {{ \
         if (list.getEntriesByName('first-contentful-paint').length) {{ observer.disconnect(); setTimeout(what, 0); }} \
         }}).observe({{ type: 'paint', buffered: true }});</script>{body}</body></html>"
    )
    .into_bytes()
}

/// An article: text, a style sheet, one picture.
fn light() -> String {
    let text = "<p>Some words that fill a line or two, as an article has them, and then some more.</p>".repeat(20);
    format!(
        "<!doctype html><html lang=en><head><title>Light</title><meta name=viewport content=\"width=device-width\"><link rel=stylesheet href=/style.css></head>\
         <body><h1>A light page</h1><img src=/hero.bmp width=480 height=320 alt=hero>{text}</body></html>"
    )
}

/// A shop: forty pictures, a megabyte of script with long tasks, a large tree, a banner that pushes everything down.
fn heavy() -> String {
    let tiles: String = (0..40).map(|n| format!("<img src=/tile-{n}.bmp width=160 height=120 alt=t{n}>")).collect();
    let rows: String =
        (0..1_500).map(|n| format!("<div class=row><span>{n}</span><b>item</b><i>price</i></div>")).collect();
    format!(
        "<!doctype html><html lang=en><head><title>Heavy</title><meta name=viewport content=\"width=device-width\"><link rel=stylesheet href=/style.css></head>\
         <body><div id=top></div><h1>A heavy page</h1><img src=/hero.bmp width=480 height=320 alt=hero><div>{tiles}</div><div id=rows>{rows}</div>\
         <script src=/work.js></script></body></html>"
    )
}

fn style() -> String {
    let rules: String = (0..300).map(|n| format!(".rule-{n} {{ color: rgb({}, 0, 0) }}\n", n % 256)).collect();
    format!("body {{ font: 16px sans-serif; margin: 16px }}\n.row {{ display: flex; gap: 8px }}\n{rules}")
}

/// Work is counted in steps, not in time: a processor that is slowed down takes longer for it. Six tasks of some 80 ms on a processor of 2024: half a second of script
/// is what a heavy site asks of a desktop.
fn work() -> String {
    let filler: String =
        (0..12_000).map(|n| format!("function unused_{n}(a) {{ return a * {n} + a.length; }}\n")).collect();
    format!(
        "{filler}\nfunction churn(steps) {{ let x = 1; for (let n = 0; n < steps; n++) x = (x * 1103515245 + n) % 2147483647; return x; }}\n\
         window.kept = [];\nfor (let n = 0; n < 6; n++) setTimeout(() => {{ kept.push(churn(3e6)); }}, 20 + n * 30);\n\
         setTimeout(() => {{ const banner = document.createElement('div'); banner.style.height = '90px'; banner.textContent = 'Sale'; \
         document.getElementById('top').append(banner); }}, 400);\n"
    )
}

/// Noise: browsers do not count pictures without detail as contentful.
fn picture(width: u32, height: u32, seed: u32) -> Vec<u8> {
    let size = 54 + width * height * 3;
    let mut bytes = Vec::with_capacity(size as usize);
    bytes.extend_from_slice(b"BM");
    for field in [size, 0, 54, 40, width, height, 1 | 24 << 16, 0, size - 54, 2_835, 2_835, 0, 0] {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    let mut state = seed | 1;
    while bytes.len() < size as usize {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.push(state.to_le_bytes()[1]);
    }
    bytes
}

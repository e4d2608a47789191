//! The pages: what each does and when is written in it. `busy(ms)` keeps the processor; `tell(what)` tells the test.

use super::server::{Answer, Step};

/// Noise: a picture that is too simple is no largest paint.
fn picture(width: u32, height: u32) -> Vec<u8> {
    let size = 54 + width * height * 3;
    let mut bytes = b"BM".to_vec();
    for field in [size, 0, 54, 40, width, height] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    let mut seed = 1_u32;
    bytes.extend((0..width * height * 3).map(|_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    }));
    bytes
}

const HEAD: &str = "<script>
const busy = ms => { const end = performance.now() + ms; while (performance.now() < end); };
const tell = what => fetch('/told?' + what);
const after = (ms, what) => setTimeout(what, ms);
const painted = what => new PerformanceObserver((list, observer) => {
  if (list.getEntriesByName('first-contentful-paint').length) { observer.disconnect(); setTimeout(what, 0); }
}).observe({ type: 'paint', buffered: true });
// A page's own look at its tasks: what each takes beyond 50 ms, after the first paint.
const seen = () => new PerformanceObserver(list => {
  const fcp = performance.getEntriesByName('first-contentful-paint')[0].startTime;
  const beyond = task => Math.max(0, task.startTime + task.duration - Math.max(task.startTime, fcp) - 50);
  // At once: what was told before is not asked for again.
  tell('blocked=' + list.getEntries().reduce((sum, task) => sum + beyond(task), 0));
}).observe({ type: 'longtask', buffered: true });
</script>";

/// A block of half the width and a fifth of the height, that moves down by its height at `#moves`' command: `move()`.
const BLOCK: &str =
    "<div id=block style='position:absolute;left:0;top:0;width:50vw;height:20vh;background:#ccc'>block</div>
<script>let at = 0; const move = () => { at = at ? 0 : 20; block.style.top = at + 'vh'; };</script>";

fn page(body: &str) -> Answer {
    Answer::html(&format!("{HEAD}{body}"))
}

/// A page of which more and more comes.
fn unending(body: &str) -> Answer {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<!doctype html>";
    Answer(vec![Step::Send(format!("{head}{HEAD}{body}").into_bytes()), Step::Drip(b"<p>more</p>".to_vec(), 50)], false)
}

/// The site of the tests.
pub(crate) fn site(path: &str) -> Answer {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let ms = query.parse().unwrap_or(0);
    match path {
        "/picture" => Answer::new(200, "Content-Type: image/bmp\r\n", picture(300, 200)).after(ms),
        "/slow" => Answer::new(200, "Content-Type: text/plain\r\n", "slow").after(ms),
        "/script" => Answer::new(200, "Content-Type: text/javascript\r\n", "var came = 1;").after(ms),
        "/text" => page("<h1>Words</h1>"),
        "/late-image" => page("<img id=hero src='/picture?600' width=300 height=200>"),
        "/cached-image" => page(
            "<p>Words</p><script>
            const first = new Image(); first.src = '/picture?0';
            first.onload = () => after(400, () => {
              const second = new Image(300, 200); second.id = 'hero'; second.src = '/picture?0'; document.body.append(second);
            });
            </script>",
        ),
        "/late-text" => page(
            "<p>Small</p><script>after(400, () => {
            const h1 = document.createElement('h1'); h1.textContent = 'A headline that comes late and is large'; document.body.append(h1);
            });</script>",
        ),
        "/overlay" => page(
            "<h1>Words beneath</h1><script>painted(() => after(400, () => {
            const cover = document.createElement('div'); cover.id = 'cover';
            cover.style = 'position:fixed;inset:0;background:#fff;font-size:60px';
            cover.innerHTML = '<p>' + 'an overlay with more words than what is beneath '.repeat(3) + '</p>';
            document.body.append(cover);
            }));</script>",
        ),
        "/shift" => page(&format!("{BLOCK}<script>painted(() => after(100, move))</script>")),
        "/late-shift" => page(&format!("{BLOCK}<script>onload = () => after(900, move)</script>")),
        // Two within a window, a rest, one more.
        "/session-shifts" => page(&format!(
            "{BLOCK}<script>painted(() => after(100, () => {{ move(); after(100, () => {{ move(); after(1300, move); }}); }}))</script>"
        )),
        "/long-tasks" => page(
            "<h1>Words</h1><script>painted(() => after(100, () => { busy(120); after(30, () => { busy(250); after(30, () => { busy(30); seen(); }); }); }))
            </script>",
        ),
        // The same work seven times over, whatever the clock says meanwhile.
        "/work" => page(
            "<h1>Words</h1><script>
            const work = () => { let x = 1; for (let i = 0; i < 4000000; i++) x = (x * 1103515245 + 12345) % 2147483648; return x; };
            const times = [];
            const next = () => {
              const begin = performance.now(); work(); times.push(performance.now() - begin);
              if (times.length < 7) return after(30, next);
              tell('work=' + times.reduce((a, b) => a + b)); after(30, seen);
            };
            painted(() => after(200, () => { tell('works'); after(300, next); }));
            </script>",
        ),
        "/waits" => page(
            "<h1>Words</h1><script>painted(() => after(300, () => {
            const begin = performance.now(); tell('waits');
            fetch('/slow?3000').then(() => tell('waited=' + (performance.now() - begin)));
            }))</script>",
        ),
        "/task-before-paint" => page("<script>busy(300)</script><h1>Words</h1>"),
        "/slow-first-byte" => page("<h1>Words</h1>").after(700),
        "/redirect" => Answer::redirect("/redirect-2").after(300),
        "/redirect-2" => Answer::redirect("/text").after(300),
        "/redirect-loop" => Answer::redirect("/redirect-loop"),
        "/handlers" => page(
            "<h1>Words</h1><button id=blocking>blocking</button><button id=waiting>waiting</button><input id=field>
            <script>
            blocking.onclick = () => { busy(600); blocking.textContent = 'done'; };
            waiting.onclick = () => fetch('/slow?2500').then(() => { waiting.textContent = 'done'; });
            field.oninput = event => tell('typed=' + event.target.value + '&trusted=' + event.isTrusted);
            field.onkeydown = event => { if (event.key === 'Enter') tell('entered'); };
            </script>",
        ),
        "/covered" => page("<button id=below>below</button><div id=above style='position:fixed;inset:0'></div>"),
        "/consent" => page(
            "<div id=banner style='height:30vh'>We would like to <button id=accept>accept</button></div>
            <p>Words that move up when the banner goes</p>
            <script>
            after(300, () => { accept.onclick = () => {
              banner.remove(); tell('consent');
              after(900, () => { const h1 = document.createElement('h1'); h1.textContent = 'What comes after consent and is the largest of all'; document.body.append(h1); });
            }; });
            </script>",
        ),
        "/error-500" => Answer::new(500, "Content-Type: text/html\r\n", "<h1>Out of order</h1>"),
        "/error-404-empty" => Answer::new(404, "", ""),
        "/error-401" => {
            Answer::new(401, "Content-Type: text/html\r\nWWW-Authenticate: Basic realm=\"x\"\r\n", "<h1>Who are you?</h1>")
        }
        "/reset" => Answer(vec![Step::Wait(50), Step::Reset], false),
        "/reset-inside" => Answer(
            vec![
                Step::Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9999\r\n\r\n<h1>Half".to_vec()),
                Step::Wait(300),
                Step::Reset,
            ],
            false,
        ),
        "/not-http" => Answer(vec![Step::Send(b"\x16\x03\x01 what is this\r\n\r\n".to_vec())], false),
        "/silent" => Answer(vec![Step::Wait(600_000)], false),
        "/drip" => Answer(
            vec![
                Step::Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!doctype html><h1>Words</h1>".to_vec()),
                Step::Drip(b"<p>more</p>".to_vec(), 100),
            ],
            false,
        ),
        "/never-loaded" => page("<h1>Words</h1><img src='/silent'>"),
        "/hang" => page("<h1>Words</h1><script>while (true);</script>"),
        "/hang-later" => page("<h1>Words</h1><script>onload = () => after(100, () => { while (true); })</script>"),
        "/crash" => page("<h1>Words</h1><script>tell('here')</script><img src='/slow?60000'>"),
        "/crash-at-work" => {
            page("<h1>Words</h1><script>onload = () => { tell('here'); setInterval(() => busy(300), 10); }</script>")
        }
        "/download" => {
            Answer::new(200, "Content-Type: application/octet-stream\r\nContent-Disposition: attachment\r\n", "bytes")
        }
        "/pdf" => Answer::new(200, "Content-Type: application/pdf\r\n", "%PDF-1.4"),
        "/json" => Answer::new(200, "Content-Type: application/json\r\n", "{}"),
        "/no-content" => Answer::new(204, "", ""),
        "/downloads" => page("<h1>Words</h1><script>onload = () => { location = '/download'; }</script>"),
        "/dialogs" => page(
            "<h1>Words</h1><script>onbeforeunload = () => 'stay'; alert('a'); confirm('b'); prompt('c'); after(200, () => { alert('late'); tell('alerted'); })</script>",
        ),
        "/meta-refresh" => page("<meta http-equiv=refresh content='0;url=/text'><h1>Words</h1>"),
        "/goes-away" => page("<h1>Words</h1><script>onload = () => after(100, () => { location = '/text'; })</script>"),
        "/moves-within" => page(
            "<h1>Words</h1><script>location.hash = 'there'; history.pushState({}, '', '/elsewhere'); after(100, () => history.back());</script>",
        ),
        "/popup" => page("<h1>Words</h1><script>onload = () => { open('/text'); open('/late-image'); }</script>"),
        "/closes" => page("<h1>Words</h1><script>onload = () => { close(); tell('tried') }</script>"),
        "/never-quiet" => page("<h1>Words</h1><script>setInterval(() => fetch('/slow?20'), 100)</script>"),
        // A head that comes at once, and a body that never ends.
        "/goes-while-it-comes" => unending("<h1>Words</h1><script>location.replace('/text')</script>"),
        "/stops-while-it-comes" => unending("<h1>Words</h1><script>after(100, () => window.stop())</script>"),
        "/stops-at-once" => unending("<h1>Words</h1><script>window.stop()</script>"),
        "/streams" => page(
            "<h1>Words</h1><script>new EventSource('/event-source'); navigator.sendBeacon('/silent', 'x');</script>",
        ),
        "/event-source" => Answer(
            vec![
                Step::Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n".to_vec()),
                Step::Drip(b"data: 1\n\n".to_vec(), 100),
            ],
            false,
        ),
        "/errors" => page(
            "<h1>Words</h1><script>after(50, () => { throw new Error('boom') }); Promise.reject(new Error('unkept')); nothing.there();</script>",
        ),
        "/failed-requests" => page(
            "<h1>Words</h1><img src='/error-500'><script src='http://denied.test/x.js'></script><img src='http://nowhere.test/x.png'><img src='/picture?0'>",
        ),
        "/console" => page(
            "<h1>Words</h1><script>const big = 'x'.repeat(1 << 26); for (let i = 0; i < 3; i++) console.log(big); for (let i = 0; i < 20000; i++) console.log(i, {});</script>",
        ),
        "/workers" => page(
            "<h1>Words</h1><script>const frame = document.createElement('iframe'); frame.src = location.origin.replace('page', 'other') + '/text'; document.body.append(frame);
            const source = new Blob([\"fetch('\" + location.origin + \"/slow').catch(() => 0); onmessage = () => postMessage(1)\"]);
            const worker = new Worker(URL.createObjectURL(source)); worker.onmessage = () => tell('worked'); worker.postMessage(1);
            </script>",
        ),
        // A frame of another site and a worker, each of which tells how long 180 kB take.
        "/throttled" => page(
            "<h1>Words</h1><script>const frame = document.createElement('iframe'); frame.src = location.origin.replace('page', 'other') + '/throttled-frame'; document.body.append(frame);
            const source = new Blob([`const begun = performance.now();
              fetch('${location.origin}/bytes?worker').then(answer => answer.arrayBuffer()).then(all => postMessage('worker=' + all.byteLength + ',' + (performance.now() - begun)))`]);
            const worker = new Worker(URL.createObjectURL(source)); worker.onmessage = event => tell(event.data);
            </script>",
        ),
        "/throttled-frame" => page(
            "<script>const begun = performance.now();
            fetch('/bytes?frame').then(answer => answer.arrayBuffer()).then(all => tell('frame=' + all.byteLength + ',' + (performance.now() - begun)))
            </script>",
        ),
        "/bytes" => Answer::new(200, "Content-Type: application/octet-stream\r\n", vec![7; 180_000]),
        "/hostile" => page(
            "<img name=querySelector><img name=elementFromPoint><form id=form><input name=id><input name=localName><input name=parentElement></form>
            <script>
            const lie = () => 0;
            performance.now = lie; Performance.prototype.now = lie; Performance.prototype.getEntriesByType = () => [];
            window.PerformanceObserver = class { observe() {} takeRecords() { return []; } };
            JSON.stringify = () => '[]'; Array.prototype.slice = Array.prototype.map = Array.prototype.flatMap = () => [];
            Array.from = () => []; Element.prototype.getBoundingClientRect = () => ({});
            Element.prototype.checkVisibility = () => false; Node.prototype.contains = () => false;
            Document.prototype.querySelector = () => null; Promise.race = () => new Promise(() => {});
            window.requestAnimationFrame = lie; Object.defineProperty(Object.prototype, 'k', { get: () => 'fcp', set() {} });
            for (const name of ['sitepulse', 'sitepulseReport']) {
              if (name in window) fetch('/told?seen=' + name);
              window[name] = lie; document.body.insertAdjacentHTML('beforeend', `<a id=${name} name=${name}></a>`);
            }
            setTimeout(() => { dispatchEvent(new ErrorEvent('error', { message: 'made up' })); }, 50);
            setTimeout(() => {
              const h1 = document.createElement('h1'); h1.id = 'real'; h1.textContent = 'A headline that comes late and is large'; document.body.append(h1);
              h1.onclick = () => { const end = Date.now() + 150; while (Date.now() < end); };
            }, 400);
            </script>",
        ),
        "/device" => page(
            "<meta name=viewport content='width=device-width'><h1>Words</h1><script>
            tell(`${innerWidth}x${innerHeight}@${devicePixelRatio}+${navigator.maxTouchPoints}`
              + encodeURIComponent(navigator.userAgent));
            </script>",
        ),
        "/plain" => Answer::html("<p>Words</p><img src='/picture?500' width=300 height=200>"),
        "/blank" => Answer::html(""),
        "/blank-script" => Answer::html("<div id=root></div><script>throw new Error('boom')</script>"),
        "/painted-by-script" => page(
            "<div id=root></div><script>onload = () => after(2500, () => { root.textContent = 'Words'; })</script>",
        ),
        "/clobbered" => {
            let names = ["sitepulse", "performance", "config", "PerformanceObserver", "requestAnimationFrame", "JSON"];
            let elements = names.map(|name| format!("<i id={name}></i><form name={name}></form><iframe name={name}></iframe>"));
            Answer::html(&format!("<h1>Words</h1>{}", elements.concat()))
        }
        "/redirects" => match ms {
            0 => Answer::redirect("/text"),
            more => Answer::redirect(&format!("/redirects?{}", more - 1)),
        },
        // Goes nowhere when clicked, and is there for no one: shifts all the while.
        "/transparent-consent" => page(&format!(
            "{BLOCK}<button id=accept style='position:fixed;bottom:0;opacity:0;pointer-events:none'>accept</button>
            <script>accept.onclick = () => tell('consent'); painted(() => after(100, move))</script>"
        )),
        "/deaf-consent" => page(&format!(
            "{BLOCK}<button id=accept style='position:fixed;bottom:0'>accept</button>
            <script>accept.onclick = () => tell('consent'); painted(() => after(2500, move)); onload = () => fetch('/slow?3000')</script>"
        )),
        // Asks once; what it shows comes with either document, so that the second could have it from the cache.
        "/reloading-consent" => page(
            "<script>
            const hero = () => { const image = new Image(300, 200); image.id = 'hero'; image.src = '/picture?500'; return image; };
            const given = document.cookie.includes('given');
            document.write(given ? '<h1>Words</h1>' : '<p>Words</p>');
            tell(given ? 'with' : 'without');
            const image = hero(); document.body.append(image);
            if (!given) image.onload = () => {
              const accept = document.createElement('button'); accept.id = 'accept'; accept.textContent = 'accept'; document.body.append(accept);
              accept.onclick = () => { document.cookie = 'given=1'; location.reload(); };
            };
            </script>",
        ),
        "/always-reloading-consent" => page(
            "<h1>Words</h1><button id=accept>accept</button><script>accept.onclick = () => { tell('consent'); location.reload(); }</script>",
        ),
        "/leaving-consent" => page(
            "<h1>Words</h1><button id=accept>accept</button><script>accept.onclick = () => { location = '/text'; }</script>",
        ),
        "/changing-consent" => page(
            "<button id=accept>accept</button><script>accept.onclick = () => { accept.className = 'done'; tell('consent'); }</script>",
        ),
        "/goes-by" => {
            let (way, to) = query.split_once(',').unwrap_or_default();
            match way {
                "meta" => page(&format!("<meta http-equiv=refresh content='0;url={to}'><h1>Words</h1>")),
                "form" => page(&format!("<h1>Words</h1><form id=f action='{to}'></form><script>f.submit()</script>")),
                _ => page(&format!("<h1>Words</h1><script>onload = () => after(100, () => {{ location = '{to}'; }})</script>")),
            }
        }
        _ => Answer::new(404, "Content-Type: text/plain\r\n", "not found"),
    }
}

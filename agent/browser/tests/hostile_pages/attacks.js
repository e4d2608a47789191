// Every way that a page has to make its browser talk to somebody: each is tried on each base ("http://HOST:PORT"), and asks for "/KIND" there.
// SETTINGS has the bases (the control first), denied [host, port]s for UDP, the denied port, and the base of a name that changes its mind.

const body = () => document.body;
const add = (tag, attributes, parent) => {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  (parent || body()).appendChild(element);
  return element;
};
const style = (text) => add("style", {}).appendChild(document.createTextNode(text));
const frame = (html) => add("iframe", { srcdoc: html });
const blob = (text, type) => URL.createObjectURL(new Blob([text], { type }));
const ws = (base) => base.replace(/^http/, "ws");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

const KINDS = {
  fetch: (to) => fetch(to, { mode: "no-cors" }),
  fetch_cors: (to) => fetch(to, { headers: { "x-a": "b" } }),
  fetch_post: (to) => fetch(to, { method: "POST", mode: "no-cors", body: "a" }),
  fetch_keepalive: (to) => fetch(to, { mode: "no-cors", keepalive: true }),
  xhr: (to) => { const request = new XMLHttpRequest(); request.open("GET", to); request.send(); },
  img: (to) => { new Image().src = to; },
  img_srcset: (to) => add("img", { srcset: to + " 1x" }),
  picture: (to) => add("source", { srcset: to }, add("picture", {})).after(document.createElement("img")),
  script: (to) => add("script", { src: to }),
  module: (to) => add("script", { src: to, type: "module" }),
  dynamic_import: (to) => import(to),
  css: (to) => add("link", { rel: "stylesheet", href: to }),
  css_import: (to) => style(`@import url("${to}");`),
  css_background: (to) => { add("div", { style: `width:9px;height:9px;background:url("${to}")` }); },
  css_font: (to, kind) => { style(`@font-face { font-family: F${serial}; src: url("${to}"); }`); add("p", { style: `font-family: F${serial}` }).textContent = "font"; },
  font_face: (to) => new FontFace("G", `url("${to}")`).load(),
  svg_image: (to) => { body().insertAdjacentHTML("beforeend", `<svg><image href="${to}" width="9" height="9"/></svg>`); },
  iframe: (to) => add("iframe", { src: to }),
  iframe_srcdoc: (to) => frame(`<img src="${to}">`),
  iframe_refresh: (to) => frame(`<meta http-equiv="refresh" content="0;url=${to}">`),
  iframe_location: (to) => frame(`<script>location.href="${to}"</scr` + `ipt>`),
  iframe_data: (to) => add("iframe", { src: `data:text/html,<img src="${to}">` }),
  iframe_blob: (to) => add("iframe", { src: blob(`<img src="${to}">`, "text/html") }),
  iframe_sandbox: (to) => add("iframe", { sandbox: "allow-scripts", srcdoc: `<script>fetch("${to}", {mode: "no-cors"})</scr` + `ipt>` }),
  object: (to) => add("object", { data: to }),
  embed: (to) => add("embed", { src: to }),
  video: (to) => add("video", { src: to, preload: "auto" }).load(),
  audio: (to) => { new Audio(to).load(); },
  poster: (to) => add("video", { poster: to }),
  track: (to) => { const video = add("video", { crossorigin: "" }); const track = add("track", { src: to, default: "" }, video); track.track.mode = "showing"; },
  websocket: (to) => new WebSocket(ws(to)),
  eventsource: (to) => { const source = new EventSource(to); source.onerror = () => source.close(); },
  beacon: (to) => navigator.sendBeacon(to, "a"),
  ping: (to) => { const link = add("a", { href: "#here", ping: to }); link.click(); },
  preload: (to) => add("link", { rel: "preload", as: "image", href: to }),
  modulepreload: (to) => add("link", { rel: "modulepreload", href: to }),
  prefetch: (to) => add("link", { rel: "prefetch", href: to }),
  preconnect: (to) => add("link", { rel: "preconnect", href: new URL(to).origin }),
  dns_prefetch: (to) => add("link", { rel: "dns-prefetch", href: new URL(to).origin }),
  speculate_prefetch: (to) => { add("script", { type: "speculationrules" }).textContent = JSON.stringify({ prefetch: [{ source: "list", urls: [to], eagerness: "immediate" }] }); },
  speculate_prerender: (to) => { add("script", { type: "speculationrules" }).textContent = JSON.stringify({ prerender: [{ source: "list", urls: [to], eagerness: "immediate" }] }); },
  form: (to) => { const name = "f" + serial; add("iframe", { name }); add("form", { action: to, method: "post", target: name }).submit(); },
  open: (to) => { const opened = window.open(to); if (opened) setTimeout(() => opened.close(), 2000); },
  redirect: (to) => { new Image().src = `/redirect?${to}`; },
  redirect_fetch: (to) => fetch(`/redirect?${to}`, { mode: "no-cors" }),
  redirect_frame: (to) => add("iframe", { src: `/redirect?${to}` }),
  redirect_websocket: (to) => new WebSocket(`ws://${location.host}/redirect?${to}`),
  worker: (to) => new Worker(blob(`fetch("${to}", {mode: "no-cors"})`, "text/javascript")),
  worker_import: (to) => new Worker(blob(`importScripts("${to}")`, "text/javascript")),
  worker_websocket: (to) => new Worker(blob(`new WebSocket("${ws(to)}")`, "text/javascript")),
  shared_worker: (to) => new SharedWorker(`/worker.js?${encodeURIComponent(to)}`),
  service_worker: (to) => navigator.serviceWorker.register(`/service.js?${encodeURIComponent(to)}`, { scope: `/scope${serial}/` }),
  csp_report: (to) => add("iframe", { src: `/csp?${to}` }),
  link_header: (to) => add("iframe", { src: `/link?${to}` }),
  refresh_header: (to) => add("iframe", { src: `/refresh?${to}` }),
  icon: (to) => add("link", { rel: "icon", href: to }, document.head),
  manifest: (to) => add("link", { rel: "manifest", href: to }, document.head),
  download: (to) => frame(`<a href="${to}" download="a">a</a><script>document.querySelector("a").click()</scr` + `ipt>`),
  fetch_later: (to) => window.fetchLater && fetchLater(to, { activateAfter: 0 }),
  fedcm: (to) => navigator.credentials.get({ identity: { providers: [{ configURL: to, clientId: "a" }] } }),
  payment: (to) => new PaymentRequest([{ supportedMethods: to }], { total: { label: "a", amount: { currency: "EUR", value: "1" } } }).canMakePayment(),
  webtransport: (to) => new WebTransport(to.replace(/^http:/, "https:")).ready,
  https: (to) => fetch(to.replace(/^http:/, "https:"), { mode: "no-cors" }),
};

// What must never be shown, whatever it is asked with.
const LOCAL = [
  "file:///etc/passwd", "file:///proc/self/environ", "file://localhost/etc/passwd", "view-source:file:///etc/passwd", "filesystem:file:///temporary/a",
  "chrome://version/", "chrome://net-internals/", "chrome://gpu/", "chrome-untrusted://terminal/", "chrome-search://local-ntp/", "devtools://devtools/bundled/inspector.html",
  "view-source:http://127.0.0.1/", "about:version", "about:gpu", "chrome-extension://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/manifest.json",
];

let serial = 0;

// What was told that must not be.
const told = [];

const peers = async (base) => {
  const [host, port] = base;
  const authority = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  const urls = [`stun:${authority}`, `turn:${authority}?transport=udp`, `turn:${authority}?transport=tcp`, `turns:${authority}?transport=tcp`];
  for (const policy of ["all", "relay"]) {
    const peer = new RTCPeerConnection({ iceServers: [{ urls, username: "a", credential: "b" }], iceTransportPolicy: policy });
    peer.createDataChannel("a");
    // Where this machine is: nobody's business either.
    peer.onicecandidate = (event) => { if (event.candidate && event.candidate.candidate) told.push(`candidate ${event.candidate.candidate}`); };
    await peer.setLocalDescription(await peer.createOffer());
    const other = new RTCPeerConnection();
    await other.setRemoteDescription(peer.localDescription);
    const answer = await other.createAnswer();
    await peer.setRemoteDescription(answer);
    for (const [protocol, type] of [["udp", ""], ["tcp", " tcptype passive"]]) {
      for (const at of [host, "denied.test", "canary.local", "localhost"]) {
        const candidate = `candidate:1 1 ${protocol} 2122260223 ${at} ${port} typ host${type}`;
        await peer.addIceCandidate({ candidate, sdpMid: "0", sdpMLineIndex: 0 }).catch(() => {});
      }
    }
  }
};

const attempt = async (what) => {
  serial += 1;
  try { await Promise.race([what(), pause(1500)]); } catch (error) { /* refused: as it should be */ }
};

const readsLocal = async (url) => {
  const found = [];
  const look = (how, text) => { if (text && /root:|HOME=|PATH=|Chromium|<html/i.test(text)) found.push(`${how} ${url}`); };
  await attempt(async () => look("fetch", await (await fetch(url)).text()));
  await attempt(() => new Promise((done) => {
    const request = new XMLHttpRequest();
    request.onload = () => { look("xhr", request.responseText); done(); };
    request.onerror = done;
    request.open("GET", url);
    request.send();
  }));
  await attempt(() => new Promise((done) => {
    const inner = add("iframe", { src: url });
    inner.onload = () => { try { look("iframe", inner.contentDocument.documentElement.outerHTML.replace(/^<html><head><\/head><body><\/body><\/html>$/, "")); } catch (error) { /* another origin */ } done(); };
  }));
  await attempt(() => { add("script", { src: url }); add("object", { data: url }); new Image().src = url; });
  await attempt(() => { const opened = window.open(url); try { look("open", opened.document.documentElement.outerHTML.replace(/^<html><head><\/head><body><\/body><\/html>$/, "")); } catch (error) { /* another origin */ } if (opened) opened.close(); });
  await attempt(() => new Promise((done) => { const worker = new Worker(url); worker.onerror = done; }));
  return found;
};

// What has nothing to do with bases.
const rest = async () => {
  await Promise.all(SETTINGS.udp.map((base) => attempt(() => peers(base))));
  told.push(...(await Promise.all(LOCAL.map(readsLocal))).flat());
  for (const url of ["ftp://127.0.0.2/a", "ssh://127.0.0.2", "mailto:a@b.example", "gopher://127.0.0.2/", "intent://a#Intent;end", "smb://127.0.0.2/a", "ws://127.0.0.2:" + SETTINGS.port]) {
    await attempt(() => { add("iframe", { src: url }); });
  }
  // Both at once would be one question: the second waits for the first's end.
  await attempt(() => fetch(`${SETTINGS.rebind}/rebind-first`, { mode: "no-cors" }));
  await attempt(() => fetch(`${SETTINGS.rebind}/rebind-second`, { mode: "no-cors" }));
};

const run = async () => {
  const all = (base) => Object.entries(KINDS).map(([kind, what]) => attempt(() => what(`${base}/${kind}`, kind)));
  for (let first = 0; first < SETTINGS.bases.length; first += 4) {
    await Promise.all(SETTINGS.bases.slice(first, first + 4).flatMap(all));
  }
  if (SETTINGS.rest) await rest();
  // What comes late: the control's are waited for, and everything else has as long.
  for (let turn = 0; turn < 60; turn += 1) {
    if ((await (await fetch("/missing")).text()) === "") break;
    await pause(500);
  }
  await pause(1000);
  await fetch(`/done?${encodeURIComponent(told.join("; "))}`);
};
run();

// Keeps the page live: when the collector tells of a change that concerns it, what changed is fetched as the server renders it.
// Browsers open six connections to a host at most, over all their pages, and a stream of events holds one for good. So one page that
// somebody sees holds the stream, by a lock, and passes on what it hears to the others; a page that nobody sees holds none, and goes on
// from the event that it heard last when somebody looks again.
// A part is an element of <main> with an id: it is replaced where its text differs, but not while somebody writes in it or has a
// dialog open in it. Without scripts the page shows the state at loading.
"use strict";
(() => {
  const main = document.getElementById("main");
  const pulse = document.getElementById("pulse");
  const stale = document.getElementById("stale");
  if (!main || !main.dataset.live) return;
  const topics = [...main.dataset.live.split(" "), "reset"];
  const TOPICS = ["check", "agent", "incident", "finding", "job", "playbook", "objects", "figures", "reset"];
  const LEAST_MS = 500;
  let asked = false, fetching = false, missed = false, last = 0;
  // The newest event that what the page shows is no older than.
  let heard = Number(main.dataset.told) || 0;

  const fresh = (yes) => { pulse.hidden = !yes; stale.hidden = yes; };
  const busy = (part) =>
    part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea") ||
    part.querySelector("dialog[open]");

  const swap = (text) => {
    const next = new DOMParser().parseFromString(`<main>${text}</main>`, "text/html").querySelector("main");
    const here = [...main.children], there = [...next.children];
    const alike = here.length === there.length && here.every((part, n) => part.id && part.id === there[n].id);
    if (!alike) {
      if (!busy(main)) main.innerHTML = text;
      return;
    }
    here.forEach((part, n) => {
      const open = new Set([...part.querySelectorAll("details[open][id]")].map((one) => one.id));
      open.forEach((id) => there[n].querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", ""));
      const focus = part.contains(document.activeElement) && document.activeElement.id;
      if (part.outerHTML === there[n].outerHTML || "keep" in part.dataset || busy(part)) return;
      part.replaceWith(there[n]);
      if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
    });
  };

  const look = async () => {
    if (fetching) { asked = true; return; }
    fetching = true;
    asked = false;
    try {
      await new Promise((done) => setTimeout(done, Math.max(0, last + LEAST_MS - Date.now())));
      last = Date.now();
      const answer = await fetch(location.href, { headers: { "X-Part": "main" } });
      if (answer.status === 401) { location.reload(); return; }
      if (answer.ok) swap(await answer.text());
      missed = !answer.ok;
      fresh(answer.ok);
    } catch { missed = true; fresh(false); } finally {
      fetching = false;
      if (asked) look();
    }
  };

  // A page about one check has nothing to fetch when another one changes.
  const only = main.querySelector("[data-live-check]")?.dataset.liveCheck;
  const concerns = ({ type, data }) =>
    topics.includes(type) && (!only || type !== "check" || JSON.parse(data).check === only);

  // What the stream said, here or by the page that holds it: whether it is up, where it goes on from, an event.
  const take = (said) => {
    if ("up" in said) {
      fresh(said.up);
      if (said.up && missed) look();
    }
    if ("from" in said) {
      if (heard && heard < said.from) look();
      heard = Math.max(heard, heard ? said.from : said.at);
    }
    if ("type" in said) {
      heard = Math.max(heard, said.at);
      if (concerns(said)) look();
    }
  };

  const NAME = "sitepulse-events";
  const shares = "locks" in navigator && "BroadcastChannel" in window;
  let source = null, channel = null, leaving = null;

  const hold = () => {
    const own = source = new EventSource(heard ? `/events?after=${heard}` : "/events");
    const say = (said) => { take(said); channel?.postMessage(said); };
    own.addEventListener("open", () => say({ up: true }));
    own.addEventListener("error", () => {
      say({ up: false });
      const over = own.readyState === EventSource.CLOSED;
      if (over) setTimeout(() => { if (source === own) location.reload(); }, 15000);
    });
    // What came since this page heard last follows by itself.
    own.addEventListener("hello", (event) => say({ from: heard, at: Number(event.lastEventId) }));
    for (const type of TOPICS) {
      own.addEventListener(type, (event) => say({ type, at: Number(event.lastEventId), data: event.data }));
    }
  };

  const join = () => {
    if (document.hidden || leaving) return;
    const { signal } = leaving = new AbortController();
    if (!shares) { hold(); return; }
    channel = new BroadcastChannel(NAME);
    channel.onmessage = ({ data }) => {
      if (!data.ask) take(data);
      else if (source?.readyState === EventSource.OPEN) channel.postMessage({ up: true, from: heard, at: heard });
    };
    channel.postMessage({ ask: true });
    const held = () => {
      if (signal.aborted) return undefined;
      hold();
      return new Promise((done) => signal.addEventListener("abort", done));
    };
    // Who left before its turn has nothing to do.
    navigator.locks.request(NAME, { signal }, held).catch(() => {});
  };
  const leave = () => {
    source?.close();
    channel?.close();
    leaving?.abort();
    source = channel = leaving = null;
  };
  document.addEventListener("visibilitychange", () => { if (document.hidden) leave(); else join(); });
  addEventListener("pagehide", leave);
  addEventListener("pageshow", join);
  join();
})();

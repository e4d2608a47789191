// Keeps the page live: when the collector tells of a change that concerns it, what changed is fetched as the server renders it.
// Browsers open six connections to a host at most, over all their pages, and a stream of events holds one for good. So one page that
// somebody sees holds the stream, by a lock, and passes on what it hears to the others; a page that nobody sees holds none, and goes on
// from the event that it heard last when somebody looks again.
// A part is an element of <main> with an id: what differs in it is written or replaced, as little as can be, but not while somebody writes
// in it, has a dialog open in it or presses a button; then it is fetched as soon as they are done. Without scripts the page shows the state
// at loading.
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

  // What somebody typed and did not send stays when the part around it is replaced; so does where they are, and what they opened.
  const typed = new WeakSet();
  document.addEventListener("input", ({ target }) => typed.add(target));
  const drafted = (field) => typed.has(field) && (field.options
    ? field.selectedIndex !== Math.max(0, [...field.options].findIndex((one) => one.defaultSelected))
    : field.value !== field.defaultValue || field.checked !== field.defaultChecked);

  // The same thing in another state of the part: what it leads to or sends says which one it is, among equals its place.
  const THINGS = "a[href], button, summary, input, select, textarea, [tabindex]";
  const name = (one) => one.id || [
    one.tagName, one.getAttribute("href"), one.getAttribute("name"), one.tagName === "BUTTON" && one.value, one.parentElement.id,
    one.form?.getAttribute("action"), ...[...one.form?.querySelectorAll("[type=hidden]") ?? []].map((field) => field.value),
  ].join("|");
  const named = (own, part) => [...part.querySelectorAll(THINGS)].filter((other) => name(other) === own);
  const twin = (one, from, to) => named(name(one), to)[named(name(one), from).indexOf(one)];

  // Elements of one kind in one place are written anew where they differ, others are replaced: text that somebody marked stays marked.
  // Fields are replaced, for a field that was written in once shows no new value; and so is a form that does something else now.
  const FIELDS = "input, select, textarea";
  const alike = (one, other) => one.nodeName === other.nodeName && one.id === other.id &&
    one.childNodes.length === other.childNodes.length && !one.matches?.(FIELDS) &&
    one.getAttribute?.("action") === other.getAttribute?.("action") && (!one.matches?.(THINGS) || name(one) === name(other));
  const write = (one, other) => {
    if (one.isEqualNode(other)) return;
    if (!alike(one, other)) { one.replaceWith(other); return; }
    if (one.nodeType !== Node.ELEMENT_NODE) { one.data = other.data; return; }
    for (const { name: key } of [...one.attributes]) if (!other.hasAttribute(key)) one.removeAttribute(key);
    for (const { name: key, value } of other.attributes) if (one.getAttribute(key) !== value) one.setAttribute(key, value);
    const children = [...other.childNodes];
    [...one.childNodes].forEach((child, n) => write(child, children[n]));
  };

  // Nothing is taken away under somebody's hand: neither a field that is written in nor a button that is pressed down.
  let pressed = false, skipped = false;
  const busy = (part) => pressed ||
    part.contains(document.activeElement) && document.activeElement.matches(FIELDS) ||
    part.querySelector("dialog[open]");
  const free = () => setTimeout(() => { if (skipped) look(); });
  document.addEventListener("focusout", free);
  document.addEventListener("pointerdown", ({ button }) => { pressed = button === 0; });
  // Some drags end without a word.
  document.addEventListener("pointermove", ({ buttons }) => { if (pressed && !buttons) { pressed = false; free(); } });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => { pressed = false; free(); });

  const replace = (part, next) => {
    for (const one of part.querySelectorAll("details[id]")) {
      next.querySelector(`#${CSS.escape(one.id)}`)?.toggleAttribute("open", one.open);
    }
    const whole = part === main;
    if ((whole ? part.innerHTML === next.innerHTML : part.outerHTML === next.outerHTML) || "keep" in part.dataset) return;
    if (busy(part)) { skipped = true; return; }
    const drafts = [...part.querySelectorAll(FIELDS)].filter(drafted)
      .map((field) => [field, twin(field, part, next)]);
    // What has no place any more would be lost.
    if (drafts.some(([, to]) => !to)) { skipped = true; return; }
    for (const [from, to] of drafts) {
      to.value = from.value;
      to.checked = from.checked;
      typed.add(to);
    }
    const here = document.activeElement;
    const own = part !== here && part.contains(here) && name(here);
    const place = own ? named(own, part).indexOf(here) : -1;
    if (whole) part.replaceChildren(...next.childNodes);
    else write(part, next);
    // Where they were is gone: to the same thing in what came instead.
    if (place >= 0 && !here.isConnected) named(own, part.isConnected ? part : next)[place]?.focus({ preventScroll: true });
  };

  const swap = (text) => {
    const next = new DOMParser().parseFromString(`<main>${text}</main>`, "text/html").querySelector("main");
    const here = [...main.children], there = [...next.children];
    const alike = here.length === there.length && here.every((part, n) => part.id && part.id === there[n].id);
    skipped = false;
    if (alike) here.forEach((part, n) => replace(part, there[n]));
    else replace(main, next);
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

// Keeps the page live: when the collector tells of a change that concerns it, what changed is fetched as the server renders it.
// A part is an element of <main> with an id: it is replaced where its text differs, but not while somebody writes in it or has a
// dialog open in it. Without scripts the page shows the state at loading.
"use strict";
(() => {
  const main = document.getElementById("main");
  const pulse = document.getElementById("pulse");
  const stale = document.getElementById("stale");
  if (!main || !main.dataset.live) return;
  const topics = main.dataset.live.split(" ");
  const LEAST_MS = 500;
  let asked = false, fetching = false, last = 0;

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
      fresh(answer.ok);
    } catch { fresh(false); } finally {
      fetching = false;
      if (asked) look();
    }
  };

  const source = new EventSource("/events");
  let known = false;
  // After a reconnection something may have been missed.
  source.addEventListener("open", () => { fresh(true); if (known) look(); known = true; });
  source.addEventListener("error", () => {
    fresh(false);
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 15000);
  });
  // A page about one check has nothing to fetch when another one changes.
  const only = main.querySelector("[data-live-check]")?.dataset.liveCheck;
  const concerns = (event) => !only || event.type !== "check" || JSON.parse(event.data).check === only;
  for (const topic of [...topics, "reset"]) source.addEventListener(topic, (event) => { if (concerns(event)) look(); });
})();

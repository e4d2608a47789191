// Replaces the live part by what the server renders. Without scripts the page shows the state at loading.
"use strict";
const live = document.getElementById("live");
const pulse = document.getElementById("pulse");
const stale = document.getElementById("stale");
const fresh = (yes) => { pulse.hidden = !yes; stale.hidden = yes; };
if (live.dataset.events) {
const source = new EventSource(live.dataset.events);
source.addEventListener("open", () => fresh(true));
source.addEventListener("error", () => {
  fresh(false);
  if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 15000);
});
source.addEventListener("main", (event) => { live.innerHTML = event.data; fresh(true); });
}

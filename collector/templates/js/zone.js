// Forms that speak of times: the reader's own zone goes with them, and stands where none is written yet.
"use strict";
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
  for (const field of document.querySelectorAll("input[data-zone]")) field.value = field.value || zone;
  const own = document.getElementById("f-zone");
  if (own && !own.value && document.querySelector("form[action='/windows/new'] input[data-zone]") && !document.getElementById("window-plan")) own.value = zone;
})();

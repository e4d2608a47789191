// Keys for long lists: "/" goes to the search, "j" and "k" move from row to row, Enter opens (the row's link has the focus).
"use strict";
(() => {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea, dialog *")) return;
    const search = document.getElementById("search");
    if (event.key === "/" && search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
    if (event.key !== "j" && event.key !== "k") return;
    const links = [...document.querySelectorAll("[data-rows] tbody tr .name > a")];
    if (!links.length) return;
    const here = links.findIndex((link) => link.closest("tr").contains(document.activeElement));
    const to = here < 0 ? 0 : Math.min(Math.max(here + (event.key === "j" ? 1 : -1), 0), links.length - 1);
    event.preventDefault();
    links[to].focus();
    links[to].closest("tr").scrollIntoView({ block: "nearest" });
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("select[data-submit]")) event.target.form.requestSubmit();
  });
  // An address without the fields that say nothing.
  document.addEventListener("formdata", (event) => {
    if (event.target.getAttribute("role") !== "search") return;
    for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
  });
})();

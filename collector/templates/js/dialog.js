// A link with data-dialog leads to a page with a short form: here its content is shown above the page one is on.
"use strict";
(() => {
  document.addEventListener("click", async (event) => {
    const link = event.target.closest?.("a[data-dialog]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    try {
      const answer = await fetch(link.href, { headers: { "X-Part": "main" } });
      if (!answer.ok) throw new Error(answer.status);
      const sheet = document.createElement("dialog");
      sheet.className = "sheet";
      sheet.innerHTML = await answer.text();
      const shut = document.createElement("button");
      shut.className = "shut";
      shut.type = "button";
      shut.textContent = "×";
      shut.setAttribute("aria-label", link.dataset.dialog);
      shut.addEventListener("click", () => sheet.close());
      sheet.append(shut);
      const title = sheet.querySelector("h1");
      if (title) sheet.setAttribute("aria-label", title.textContent);
      sheet.addEventListener("click", (on) => { if (on.target === sheet) sheet.close(); });
      sheet.addEventListener("close", () => { sheet.remove(); link.focus(); });
      // Outside of what is replaced when the page hears of a change.
      document.body.append(sheet);
      sheet.showModal();
      sheet.querySelector("input:not([type=hidden]), select, textarea")?.focus();
    } catch { location.href = link.href; }
  });
})();

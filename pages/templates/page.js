"use strict";
(() => {
  // Tables sort by a click on a title: numbers by their value, texts as the reader's language orders them.
  const collator = new Intl.Collator(undefined, { numeric: true });
  const value = (row, place) => {
    const cell = row.cells[place];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return collator.compare(a, b);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    if (body.rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((title, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...title.childNodes);
      title.append(button);
      button.addEventListener("click", () => {
        const before = title.getAttribute("aria-sort");
        const falls = before ? before === "ascending" : title.classList.contains("number");
        for (const other of title.parentNode.cells) other.removeAttribute("aria-sort");
        title.setAttribute("aria-sort", falls ? "descending" : "ascending");
        const sign = falls ? -1 : 1;
        const rows = [...body.rows].map((row) => [value(row, place), row]);
        const empty = (one) => one === "" || one === "–";
        rows.sort(([a], [b]) => (empty(a) || empty(b) ? empty(a) - empty(b) : sign * compare(a, b)));
        body.append(...rows.map(([, row]) => row));
      });
    });
  }
  // A chart comes to life when it is about to be seen; until then, and where it cannot, the picture stays.
  if (!window.vegaEmbed) return;
  const enliven = (figure) => {
    const picture = figure.querySelector(".picture");
    const spec = JSON.parse(figure.querySelector("script").textContent);
    const live = document.createElement("div");
    const room = figure.clientWidth - 60; // what axes and their titles take
    if (typeof spec.width === "number" && spec.width > room) spec.width = Math.max(room, 200);
    const options = { actions: false, ast: true, renderer: "svg", tooltip: { theme: "custom" } };
    window.vegaEmbed(live, spec, options).then(() => {
      picture.replaceChildren(...live.childNodes);
      figure.dataset.live = "true";
    }, (error) => console.error(error));
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      enliven(entry.target);
    }
  }, { rootMargin: "400px" });
  for (const figure of document.querySelectorAll("figure.chart")) watcher.observe(figure);
})();

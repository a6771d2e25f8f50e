"use strict";
// Without this script the page says the same: a cell's link shows its images, and tables stay in their order.

function showCells(matrix) {
  const shelf = document.querySelector(".cells");
  const cells = [...matrix.querySelectorAll("a")];
  const grid = [...matrix.tBodies[0].rows].map((row) => [...row.cells].slice(1).map((cell) => cell.querySelector("a")));

  function choose(link) {
    cells.forEach((other) => other.removeAttribute("aria-current"));
    shelf.querySelectorAll(".shown").forEach((panel) => panel.classList.remove("shown"));
    link.setAttribute("aria-current", "true");
    shelf.classList.add("chosen");
    const panel = document.querySelector(link.hash);
    panel.classList.add("shown");
    return panel;
  }

  // One stop for the Tab key: the arrows move among the cells that count something.
  function rove(link) {
    cells.forEach((other) => { other.tabIndex = other === link ? 0 : -1; });
  }

  function next(link, down, right) {
    let row = grid.findIndex((line) => line.includes(link));
    let column = grid[row].indexOf(link);
    do {
      row += down;
      column += right;
    } while (grid[row] && column in grid[row] && !grid[row][column]);
    return grid[row] && grid[row][column];
  }

  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  matrix.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link) return;
    event.preventDefault();
    rove(link);
    choose(link).scrollIntoView({ block: "nearest" });
  });
  matrix.addEventListener("keydown", (event) => {
    const link = event.target.closest("a");
    if (!link) return;
    if (event.key === " ") {
      event.preventDefault();
      choose(link).scrollIntoView({ block: "nearest" });
    } else if (event.key in steps) {
      event.preventDefault();
      const other = next(link, ...steps[event.key]);
      if (!other) return;
      rove(other);
      other.focus();
    }
  });
  const wrong = [...matrix.querySelectorAll(".wrong a")];
  const first = wrong.sort((a, b) => b.textContent - a.textContent)[0] || cells[0];
  rove(first);
  choose(first);
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];

  function valueOf(row, column) {
    const cell = row.cells[column];
    if (!("value" in cell.dataset)) return cell.textContent.trim();
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  }

  function compare(a, b) {
    return typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
  }

  function sort(column) {
    const up = headings[column].getAttribute("aria-sort") !== "ascending";
    headings.forEach((heading) => heading.removeAttribute("aria-sort"));
    headings[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
    const empty = (value) => value === null || value === "";
    rows.sort(([a], [b]) => {
      if (empty(a) || empty(b)) return empty(a) - empty(b); // what nothing is known of stays last
      return up ? compare(a, b) : compare(b, a);
    });
    body.append(...rows.map(([, row]) => row));
  }

  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(column));
  });
}

document.querySelectorAll(".explore .matrix").forEach(showCells);
document.querySelectorAll(".sortable").forEach(makeSortable);

// Paper cannot be opened.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((details) => { details.open = true; });
});
addEventListener("afterprint", () => opened.forEach((details) => { details.open = false; }));

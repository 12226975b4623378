"use strict";
// The report: picking a machine, a variant or a layer filters every chart and table.
const DATA = JSON.parse(document.getElementById("data").textContent);

// A table comes as columns, and columns of words as places in a list of words.
const TABLES = {};
for (const [name, columns] of Object.entries(DATA.tables)) {
  const fields = Object.keys(columns);
  const size = fields.length ? columns[fields[0]].values.length : 0;
  TABLES[name] = Array.from({ length: size }, (_, row) => {
    const found = {};
    for (const field of fields) {
      const { values, words } = columns[field];
      found[field] = words ? words[values[row]] : values[row];
    }
    return found;
  });
}

const picked = { machine: "", variant: "", layer: "" };
const dark = matchMedia("(prefers-color-scheme: dark)");
const views = new Map();

// The run that charts of one run are about: the one picked, or the fastest that fits what is picked.
function shownRun() {
  let runs = TABLES.runs.filter(row => matches(row, ["machine", "variant"]));
  if (!runs.length) runs = TABLES.runs;
  return runs.reduce((best, row) => (row.ms < best.ms ? row : best));
}

// A row that does not have a field belongs to all its values.
function matches(row, fields) {
  return fields.every(field => !picked[field] || row[field] === undefined || row[field] === picked[field]);
}

function rowsFor(chart, table) {
  const run = shownRun();
  const own = TABLES[table].filter(row =>
    chart.scope === "all" ? matches(row, ["machine", "variant"])
      : row.machine === run.machine && (chart.scope === "machine" ? matches(row, ["variant"]) : row.variant === run.variant));
  return chart.scope === "all" ? own : own.filter(row => matches(row, ["layer"]));
}

function titleOf(chart) {
  const run = shownRun();
  return chart.title + (chart.scope === "machine" ? `: ${run.machine}` : chart.scope === "run" ? `: ${run.run}` : "");
}

function config(width) {
  const style = getComputedStyle(document.documentElement);
  const color = name => style.getPropertyValue(name).trim();
  return {
    background: "transparent",
    font: "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
    axis: { labelColor: color("--soft"), titleColor: color("--soft"), gridColor: color("--line"), domain: false,
      tickColor: color("--line"), labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal" },
    axisY: { labelLimit: Math.min(210, 40 + width / 3) },
    legend: { labelColor: color("--ink"), labelFontSize: 11, labelLimit: 180, columns: Math.max(1, Math.floor(width / 200)) },
    text: { color: color("--ink") },
    view: { stroke: null },
  };
}

async function draw(name) {
  const chart = DATA.charts[name], figure = document.getElementById(name);
  figure.querySelector(".title").textContent = titleOf(chart);
  const datasets = {};
  for (const table of chart.tables) datasets[table] = rowsFor(chart, table);
  if (!Object.values(datasets).every(rows => rows.length)) {
    figure.querySelector(".chart").replaceChildren(element("p", "Nothing to show for this pick.", "empty"));
    views.set(name, null);
    return;
  }
  const width = figure.querySelector(".chart").clientWidth;
  const spec = { ...chart.spec, description: titleOf(chart), width, datasets };
  const { view } = await vegaEmbed(figure.querySelector(".chart"), spec, {
    renderer: "svg", config: config(width),
    patch: made => ({ ...made, autosize: { type: "fit-x", contains: "padding" } }),
    actions: { export: { svg: true, png: true }, source: true, compiled: false, editor: false },
    downloadFileName: name,
    tooltip: { theme: dark.matches ? "dark" : "light" },
  });
  figure.querySelector("summary")?.setAttribute("aria-label", `Save ${titleOf(chart)}`);
  figure.dataset.drawn = String(width);
  views.set(name, view);
  view.addEventListener("click", (event, item) => {
    const row = item && item.datum;
    if (!row || row.machine === undefined && row.layer === undefined) return;
    if (chart.scope === "all") pick({ machine: row.machine, variant: row.variant ?? "" });
    else if (row.layer !== undefined) pick({ layer: row.layer });
    else if (row.variant !== undefined) pick({ variant: row.variant });
  });
}

// Charts are drawn as they come near the window.
const waiting = new Set(Object.keys(DATA.charts));
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) {
    if (entry.isIntersecting && waiting.delete(entry.target.id)) draw(entry.target.id);
  }
}, { rootMargin: "300px" });

function redraw() {
  for (const name of views.keys()) waiting.add(name);
  views.clear();
  for (const name of Object.keys(DATA.charts)) {
    const figure = document.getElementById(name);
    seen.unobserve(figure);
    seen.observe(figure);
  }
  memoryChart();
  layerTable();
  for (const table of document.querySelectorAll("table.sortable:not(#layer-table)")) {
    for (const row of table.tBodies[0].rows) {
      const [machine, variant] = [row.cells[0].textContent, row.cells[1].textContent];
      row.hidden = !matches({ machine, variant }, ["machine", "variant"]);
    }
  }
}

function pick(change) {
  Object.assign(picked, change);
  for (const field of Object.keys(picked)) document.getElementById(`pick-${field}`).value = picked[field];
  const run = shownRun();
  const some = Object.values(picked).filter(Boolean);
  document.querySelector(".picks .say").textContent =
    `Charts of one run show ${run.run}${picked.layer ? `, ${picked.layer}` : ""}. ` +
    (some.length ? "" : "Click a mark, or choose, to see others.");
  redraw();
}

function options(field, values) {
  const select = document.getElementById(`pick-${field}`);
  for (const value of ["", ...values]) {
    const option = document.createElement("option");
    option.value = value;
    option.textContent = value || "all";
    select.append(option);
  }
  select.addEventListener("change", () => pick({ [field]: select.value }));
}

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

const size = kib => kib === null ? "" : kib >= 1048576 ? `${three(kib / 1048576)} GiB` : kib >= 1024 ? `${three(kib / 1024)} MiB` : `${three(kib)} KiB`;
const three = value => value >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));

// The memories as boxes, those as far from DRAM in one column, DRAM first; in each, what crosses its links.
function memoryChart() {
  const run = shownRun(), place = document.getElementById("memory");
  const mine = row => row.machine === run.machine && row.variant === run.variant;
  const parts = TABLES.parts.filter(mine), links = TABLES.memory.filter(mine);
  document.getElementById("memory-of").textContent =
    `${run.run}, one image: what comes in from the memory before, and what goes back. Hits, or held: of the bytes that a memory gives on, those that it had already.`;
  place.replaceChildren();
  for (const depth of [...new Set(parts.map(part => part.depth))].sort((a, b) => a - b)) {
    if (place.children.length) place.append(element("span", "→", "to"));
    const column = element("div", undefined, "column");
    for (const part of parts.filter(each => each.depth === depth)) column.append(memoryBox(part, links));
    place.append(column);
  }
}

function memoryBox(part, links) {
  const box = element("div", undefined, "box");
  box.append(element("strong", part.part), element("span", `${size(part.of_kib)}${part.per === "chip" ? "" : ` in each ${part.per === "sm" ? "SM" : part.per === "pe" ? "PE" : part.per}`}`));
  if (part.kib !== null) {
    const bar = element("div", undefined, "fill"), full = element("i", undefined, "b0");
    full.style.width = `${Math.min(100, part.kib / part.of_kib * 100)}%`;
    bar.append(full);
    box.append(bar, element("span", `${size(part.kib)} in use at most`));
  }
  for (const link of links.filter(each => each.inner === part.part)) {
    const hit = link.hit === null || link.hit < 0 ? "" : `, ${link.cache ? "hits" : "held"} ${three(link.hit)}%`;
    if (link.in_mib) box.append(element("span", `in from ${link.outer}: ${size(1024 * link.in_mib)}${hit}`));
    if (link.out_mib) box.append(element("span", `back to ${link.outer}: ${size(1024 * link.out_mib)}`));
  }
  return box;
}

const COLUMNS = [["layer", "layer"], ["used", "algorithm"], ["shape", "shape"], ["ms", "ms"], ["util", "% of peak"], ["multiplies", "multiplications"],
  ["dram_mib", "DRAM MiB"], ["mj", "mJ"], ["how", "simulated as"]];

function layerTable() {
  const run = shownRun(), table = document.getElementById("layer-table");
  document.getElementById("layers-of").textContent = `${run.run}, one image. Every layer of every run is in results.csv.`;
  const head = element("thead"), body = element("tbody"), row = element("tr");
  for (const [, title] of COLUMNS) row.append(element("th", title));
  head.append(row);
  for (const layer of TABLES.layers) {
    if (layer.machine !== run.machine || layer.variant !== run.variant || !matches(layer, ["layer"])) continue;
    const line = element("tr");
    for (const [field] of COLUMNS) {
      const value = layer[field], cell = element("td", typeof value === "number" ? three(value) : value, field === "how" || field === "shape" ? "words" : undefined);
      cell.dataset.value = value;
      line.append(cell);
    }
    body.append(line);
  }
  table.replaceChildren(head, body);
  sortable(table);
}

// A click on a head sorts by it, a second one the other way round.
function sortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = element("button", head.textContent, "sort");
    button.type = "button";
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows].sort((one, two) => {
        const [a, b] = [value(one), value(two)];
        const by = a !== "" && b !== "" && !isNaN(a) && !isNaN(b) ? a - b : a.localeCompare(b);
        return up ? by : -by;
      });
      table.tBodies[0].append(...rows);
    });
  });
}

options("machine", DATA.machines);
options("variant", DATA.variants);
options("layer", DATA.layers);
document.querySelector(".picks").hidden = false;
document.getElementById("pick-none").addEventListener("click", () => pick({ machine: "", variant: "", layer: "" }));
for (const table of document.querySelectorAll("table.sortable:not(#layer-table)")) sortable(table);
dark.addEventListener("change", redraw);
addEventListener("beforeprint", () => { for (const name of [...waiting]) { waiting.delete(name); draw(name); } });
pick({});

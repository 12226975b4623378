/* One tiled product on a cache, a scratchpad, and a GPU's two memories, step by step. */
"use strict";
hwsim.widgets.memories = (root, data, settings) => {
  const { el, svg, whole } = hwsim;
  const n = data.n, words = 16, own = settings({ tiles: "4,4,4", step: 0 });
  const choose = hwsim.select(own, "tiles", "tiles v1, v2, v3", data.tiles, () => { build(); player.go(0); });
  const panels = el("div", { class: "side" });
  const player = hwsim.player(own, 1, show, { rates: [1, 4, 20, 100] });
  root.append(el("div", { class: "controls" }, choose.node), panels, player.node,
    hwsim.key(["var(--a)", "A"], ["var(--b)", "B"], ["var(--c)", "C"], ["var(--miss)", "framed: missed, or copied, in this step"]));
  let steps = [];

  /* Every tile step: the lines that a core looks up, what DMA copies, and what a block copies through the L2. */
  function build() {
    const [v1, v2, v3] = own.values.tiles.split(",").map(Number);
    const cache = new counting.Cache(data.lines, data.ways), l2 = new counting.Cache(data.lines, data.ways);
    const total = { looked: 0, missed: 0, dma: 0, copies: 0, shared: 0, hits: 0, dram: 0 };
    steps = [];
    let a = -1, b = -1, c = -1, box = null;
    const line = (which, row) => which * n + row; // a row of a matrix is a line
    counting.tiles(n, v1, v2, v3, (i, i1, j, j1, k, k1) => {
      const fresh = new Set(), moved = [], l2fresh = new Set();
      const look = (row, write) => { total.looked++; if (!cache.access(row, write)) { total.missed++; fresh.add(row); } };
      const through = (row, write) => { if (l2.access(row, write)) total.hits++; else { total.dram += words; l2fresh.add(row); } };
      const leave = () => { for (let r = box[0]; r < box[1]; r++) { look(line(2, r), true); through(line(2, r), true); } };
      const copy = (name, rows, columns) => { total.dma += rows * columns; total.copies++; moved.push(name); };
      const na = i * n + k, nb = k * n + j, nc = i * n + j;
      if (a !== na) { for (let r = i; r < i1; r++) { look(line(0, r)); through(line(0, r)); } copy("A", i1 - i, k1 - k); total.shared += (i1 - i) * (k1 - k); }
      if (b !== nb) { for (let r = k; r < k1; r++) { look(line(1, r)); through(line(1, r)); } copy("B", k1 - k, j1 - j); total.shared += (k1 - k) * (j1 - j); }
      if (c >= 0 && c !== nc) leave(); // after the next operands, as registers are written when they are needed again
      if (c !== nc) copy("C", i1 - i, j1 - j);
      a = na; b = nb; c = nc; box = [i, i1];
      if (i1 === n && j1 === n && k1 === n) leave();
      steps.push({ tags: Array.from(cache.tags), l2: Array.from(l2.tags), fresh, l2fresh, moved, total: { ...total }, box: [i, i1, j, j1, k, k1] });
    });
    root.dataset.total = JSON.stringify(total);
    player.resize(steps.length);
  }
  const letter = (row) => "ABC"[Math.floor(row / n)] + (row % n);
  function cachePicture(tags, fresh, title) {
    const sets = data.lines / data.ways, cell = 54, drawn = svg("svg", { viewBox: `0 0 ${40 + data.ways * cell} ${24 + sets * 34}`, style: "max-width:300px", role: "img", "aria-label": title });
    drawn.append(svg("text", { x: 40, y: 14, class: "tick" }, "last used first"));
    for (let set = 0; set < sets; set++) {
      drawn.append(svg("text", { x: 34, y: 24 + set * 34 + 20, class: "tick end" }, `set ${set}`));
      for (let way = 0; way < data.ways; way++) {
        const tag = tags[set * data.ways + way];
        drawn.append(svg("rect", { x: 40 + way * cell, y: 24 + set * 34, width: cell - 4, height: 29, rx: 4, class: tag < 0 ? "cell" : `f${"abc"[Math.floor(tag / n)]}`, style: fresh.has(tag) ? "stroke:var(--miss);stroke-width:4" : "" }));
        if (tag >= 0) drawn.append(svg("text", { x: 40 + way * cell + (cell - 4) / 2, y: 24 + set * 34 + 20, class: "middle inv" }, letter(tag)));
      }
    }
    return drawn;
  }
  function tilePicture(step, names, title) {
    const [i, i1, j, j1, k, k1] = step.box, tiles = { A: [i1 - i, k1 - k], B: [k1 - k, j1 - j], C: [i1 - i, j1 - j] }, unit = Math.min(14, 112 / Math.max(...names.map((name) => tiles[name][0])));
    const across = Math.min(unit, 72 / Math.max(...names.map((name) => tiles[name][1])));
    const tall = 28 + unit * Math.max(...names.map((name) => tiles[name][0]));
    const drawn = svg("svg", { viewBox: `0 0 256 ${tall}`, style: "max-width:300px", role: "img", "aria-label": title });
    let x = 8;
    for (const name of names) {
      const [rows, columns] = tiles[name];
      drawn.append(svg("text", { x, y: 14, class: "tick" }, `${name} ${rows} x ${columns}`));
      for (let r = 0; r < rows; r++) for (let q = 0; q < columns; q++) drawn.append(svg("rect", { x: x + q * across, y: 22 + r * unit, width: across - 1, height: unit - 1, class: `f${name.toLowerCase()}` }));
      if (step.moved.includes(name)) drawn.append(svg("rect", { x: x - 2, y: 20, width: columns * across + 3, height: rows * unit + 3, style: "fill:none;stroke:var(--miss);stroke-width:2.5" }));
      x += Math.max(columns * across, 66) + 14;
    }
    return drawn;
  }
  function show(at) {
    if (!steps.length) return "";
    const step = steps[at], { total, box } = step, panel = (title, picture, rows) => el("div", {}, el("h3", {}, title), picture, hwsim.table(["so far", ""], rows));
    panels.replaceChildren(
      panel("Cache (implicit)", cachePicture(step.tags, step.fresh, "lines in the cache"), [["lines looked up", whole(total.looked)], ["missed", whole(total.missed)], ["words read from DRAM", whole(total.missed * words)]]),
      panel("Scratchpad (explicit)", tilePicture(step, ["A", "B", "C"], "tiles in the scratchpad"), [["tiles copied", whole(total.copies)], ["missed", "never"], ["words by DMA", whole(total.dma)]]),
      panel("Shared memory and L2 (mixed)", el("div", {}, tilePicture(step, ["A", "B"], "tiles in shared memory"), cachePicture(step.l2, step.l2fresh, "lines in the L2")), [["words copied to shared", whole(total.shared)], ["hits in the L2", whole(total.hits)], ["words read from DRAM", whole(total.dram)]]));
    const missed = [...step.fresh].map(letter);
    return `Rows ${box[0]} to ${box[1] - 1}, columns ${box[2]} to ${box[3] - 1}, k ${box[4]} to ${box[5] - 1}. ${missed.length ? `The cache missed line${missed.length > 1 ? "s" : ""} ${missed.join(", ")}.` : "The cache missed nothing."} ${step.moved.length ? `DMA copied ${step.moved.join(", ")}.` : "DMA copied nothing."}`;
  }
  build();
};

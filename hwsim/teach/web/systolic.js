/* A systolic array, cycle by cycle: what every cell holds, the skew, filling and draining. */
"use strict";
/* One fold, register by register, as hwsim.oracle.registers steps it. a is M x K, b is K x N.
   Returns the cycles: of each, what the cells hold and what has left; values: the product. */
window.counting.systolic = (a, b, stays) => {
  const transpose = (m) => m[0].map((_, j) => m.map((row) => row[j]));
  if (stays === "is") {
    const turned = counting.systolic(transpose(b), transpose(a), "ws");
    return { ...turned, values: transpose(turned.values) };
  }
  const M = a.length, K = b.length, N = b[0].length;
  const rows = stays === "ws" ? K : M, columns = N, stream = stays === "ws" ? M : K;
  const empty = () => Array.from({ length: rows }, () => Array(columns).fill(null));
  const values = Array.from({ length: M }, () => Array(N).fill(0));
  const cycles = [];
  let x = empty(), y = empty(), held = empty(), due = M * N;
  const first = stays === "ws" ? rows : 0; // the tile shifts in before the first vector
  const added = Array.from({ length: rows }, () => Array(columns).fill(0));
  for (let cycle = 0; due > 0; cycle++) {
    const left = [];
    const nx = empty(), ny = empty();
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
      const t = cycle - first - i;
      nx[i][j] = j > 0 ? x[i][j - 1] : t >= 0 && t < stream ? { t, v: stays === "ws" ? a[t][i] : a[i][t] } : null;
    }
    let work = 0;
    if (stays === "ws") {
      for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
        if (nx[i][j] === null) continue;
        const above = i > 0 ? y[i - 1][j].v : 0;
        ny[i][j] = { t: nx[i][j].t, v: above + nx[i][j].v * held[i][j] };
        work++;
      }
      for (let j = 0; j < columns; j++) { const sum = ny[rows - 1][j]; if (sum) { values[sum.t][j] = sum.v; left.push([sum.t, j, sum.v]); due--; } }
      if (cycle < rows) { held = [b[rows - 1 - cycle].slice(), ...held.slice(0, rows - 1)]; }
    } else {
      for (let j = 0; j < columns; j++) { // a column whose sums are done moves down and out
        const done = cycle - (rows - 1 + j + stream);
        if (done >= 0 && done < rows) { const i = rows - 1 - done; values[i][j] = added[i][j]; left.push([i, j, added[i][j]]); due--; }
      }
      for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
        const t = cycle - j;
        ny[i][j] = i > 0 ? y[i - 1][j] : t >= 0 && t < stream ? { t, v: b[t][j] } : null;
        if (nx[i][j] !== null && ny[i][j] !== null) { added[i][j] += nx[i][j].v * ny[i][j].v; work++; }
      }
      held = added.map((line, i) => line.map((value, j) => {
        const gone = cycle - (rows - 1 + j + stream) + 1; // rows of this column that have left
        const source = i - Math.max(0, gone);
        return source >= 0 ? added[source][j] : null;
      }));
    }
    x = nx; y = ny;
    cycles.push({ x: nx.map((line) => line.slice()), y: ny.map((line) => line.slice()), held: held.map((line) => line.slice()), work, left });
  }
  return { cycles, values, rows, columns, stream, first };
};

hwsim.widgets.systolic = (root, data, settings) => {
  const { el, svg } = hwsim;
  const own = settings({ stays: "ws", m: 4, n: 4, k: 4, step: 0 });
  const names = { ws: "weights stay", os: "outputs stay", is: "inputs stay" };
  const sizes = Array.from({ length: data.cells }, (_, at) => at + 1);
  const stays = hwsim.select(own, "stays", "dataflow", names, again);
  const m = hwsim.slider(own, "m", "rows of A, M =", data.rows, again);
  const n = hwsim.slider(own, "n", "columns of B, N =", sizes, again);
  const k = hwsim.slider(own, "k", "reduction, K =", sizes, again);
  const picture = el("div", {}), work = el("div", {});
  const player = hwsim.player(own, 1, show, { rates: [1, 2, 5, 10] });
  root.append(el("div", { class: "controls" }, stays.node, m.node, n.node, k.node), picture, player.node, work);
  let run = null, a = null, b = null;
  function again() { build(); player.go(0); }
  function build() {
    const { m: M, n: N, k: K } = own.values;
    a = Array.from({ length: M }, (_, i) => Array.from({ length: K }, (_, j) => data.a[i][j]));
    b = Array.from({ length: K }, (_, i) => Array.from({ length: N }, (_, j) => data.b[i][j]));
    run = counting.systolic(a, b, own.values.stays);
    root.dataset.cycles = run.cycles.length;
    player.resize(run.cycles.length);
  }
  const say = { ws: ["A", "B", "sums move down"], is: ["Bᵀ", "Aᵀ", "sums move down"], os: ["A", "C", "B moves down"] };
  function show(step) {
    if (!run) return "";
    const now = run.cycles[step], { rows, columns } = run, box = 78, left = 96, outputs = own.values.stays === "os", top = outputs ? 104 : 44;
    const wide = left + Math.max(columns, 4) * box + 80, high = top + rows * box + 44;
    const drawn = svg("svg", { viewBox: `0 0 ${wide} ${high}`, style: `max-width:${wide}px;margin:0 auto`, role: "img", "aria-label": "the cells of the array" });
    const word = (t, i) => ({ ws: () => a[t][i], os: () => a[i][t], is: () => b[i][t] })[own.values.stays]();
    const [moving, staying, down] = say[own.values.stays];
    drawn.append(svg("text", { x: left, y: 16, class: "title" }, `${staying} stays, ${moving} moves right, ${down}`));
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
      const px = left + j * box, py = top + i * box, cell = now.x[i][j], y = now.y[i][j], busy = own.values.stays === "os" ? cell && y : cell;
      drawn.append(svg("rect", { x: px, y: py, width: box - 8, height: box - 8, rx: 5, class: "cell", style: busy ? "fill:var(--held)" : "" }));
      const stay = now.held[i][j];
      drawn.append(svg("text", { x: px + (box - 8) / 2, y: py + 43, class: "middle title", style: `fill:var(--${own.values.stays === "os" ? "c" : "b"})` }, stay === null ? "" : stay));
      if (cell) drawn.append(svg("text", { x: px + 7, y: py + 17, style: "fill:var(--a)" }, `→${cell.v}`));
      if (y) drawn.append(svg("text", { x: px + box - 14, y: py + 64, class: "end", style: `fill:var(--${own.values.stays === "os" ? "b" : "c"})` }, `↓${y.v}`));
    }
    for (let i = 0; i < rows; i++) { // what waits at the left edge, the next word nearest
      const waits = [4, 3, 2, 1].map((ahead) => { const t = step + ahead - run.first - i; return t >= 0 && t < run.stream ? word(t, i) : "·"; });
      drawn.append(svg("text", { x: left - 10, y: top + i * box + 40, class: "end", style: "fill:var(--a)" }, `${waits.join(" ")} →`));
    }
    if (outputs) for (let j = 0; j < columns; j++) { // and above, of B
      [3, 2, 1].forEach((ahead, row) => { const t = step + ahead - j; drawn.append(svg("text", { x: left + j * box + (box - 8) / 2, y: 44 + row * 18, class: "middle", style: "fill:var(--b)" }, t >= 0 && t < run.stream ? b[t][j] : "·")); });
    }
    for (const [i, j, value] of now.left) drawn.append(svg("text", { x: left + j * box + (box - 8) / 2, y: top + rows * box + 14, class: "middle title", style: "fill:var(--c)" }, `${value}`));
    if (now.left.length) drawn.append(svg("text", { x: left - 10, y: top + rows * box + 14, class: "tick end" }, "leaves"));
    picture.replaceChildren(drawn);
    drawWork(step);
    const cells = rows * columns;
    const shifting = step < run.first ? ` Row ${step + 1} of ${run.first} of the stationary tile shifts in.` : "";
    const leaving = now.left.length ? ` ${now.left.length} result${now.left.length > 1 ? "s" : ""} leave${now.left.length > 1 ? "" : "s"} at the bottom.` : "";
    return `Cycle ${step + 1} of ${run.cycles.length}: ${now.work} of ${rows} x ${columns} cells multiply.${shifting}${leaving}`;
  }
  function drawWork(step) {
    const { rows, columns, cycles } = run, cells = rows * columns, wide = root.clientWidth < 520 ? 380 : 720, high = 92;
    const each = Math.min(40, (wide - 60) / cycles.length);
    const drawn = svg("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": "cells at work in every cycle" });
    cycles.forEach((cycle, at) => {
      const tall = (60 * cycle.work) / cells;
      drawn.append(svg("rect", { x: 50 + at * each, y: 70 - tall, width: Math.max(1, each - 2), height: Math.max(1, tall), class: at === step ? "s1" : "s0" }));
    });
    drawn.append(svg("text", { x: 44, y: 20, class: "tick end" }, cells), svg("text", { x: 44, y: 74, class: "tick end" }, 0),
      svg("text", { x: 50, y: 89, class: "tick" }, "cells at work, cycle by cycle"));
    const products = own.values.m * own.values.n * own.values.k;
    work.replaceChildren(drawn, el("p", { class: "notes" },
      `${products} multiplications in ${cycles.length} cycles on ${cells} cells: ${Math.round((100 * products) / (cycles.length * cells))}% of them used.`));
  }
  build();
};

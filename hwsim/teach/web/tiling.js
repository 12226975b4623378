/* The tiled product under sliders: loops, counts three ways, simulated memories, the trade-off curve, and the best tiles. */
"use strict";
hwsim.widgets.tiling = (root, data, settings) => {
  const { el, svg, whole, short } = hwsim;
  const own = settings({ n: 64, v1: 8, v2: 8, v3: 4, budget: 256 });
  const values = own.values;
  const range = (n) => Array.from({ length: n }, (_, at) => at + 1);
  const controls = {
    n: hwsim.slider(own, "n", "n =", [4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64], resized),
    v1: hwsim.slider(own, "v1", "v1, rows of the tile of C:", range(values.n), draw),
    v2: hwsim.slider(own, "v2", "v2, columns of the tile of C:", range(values.n), draw),
    v3: hwsim.slider(own, "v3", "v3, step of k:", range(values.n), draw),
    budget: hwsim.slider(own, "budget", "registers, in words:", [3, 8, 16, 32, 64, 128, 256, 512, 1024, 4096], rebudget),
  };
  const fits = el("p", { class: "say", "aria-live": "polite" });
  const loops = el("pre", { tabindex: "0" });
  const counts = el("div", {}), memories = el("div", {}), curve = el("div", {}), game = el("p", { class: "say", "aria-live": "polite" });
  const reveal = el("button", { type: "button", onclick: () => { shown = true; draw(); } }, "Show the proven best");
  const take = el("button", { type: "button", onclick: takeBest }, "Set the sliders to it");
  root.append(
    el("div", { class: "controls" }, Object.values(controls).map((control) => control.node)), fits,
    el("div", { class: "side counts" }, el("div", {}, loops), counts),
    el("h3", {}, "The same loops on three kinds of memory"), memories,
    el("h3", {}, "The trade-off: registers against DRAM"), curve,
    el("h3", {}, "Find the best tiles"), game, el("div", { class: "player" }, reveal, take));
  let shown = false, bestSeen = null, cachedBest = null;
  const once = (count) => { // counted anew only for other arguments
    let key = null, value = null;
    return (...own) => { const now = own.join(); if (now !== key) { key = now; value = count(...own); } return value; };
  };
  const executed = once(counting.execute);
  const onCache = once((n, v1, v2, v3, fit) => counting.onCache(n, v1, v2, v3, { ...data.cache, registers: fit ? Infinity : 0 }));

  function resized() {
    for (const name of ["v1", "v2", "v3"]) controls[name].offer(range(values.n));
    bestSeen = cachedBest = null; shown = false; draw();
  }
  function rebudget() { bestSeen = cachedBest = null; shown = false; draw(); }
  function takeBest() {
    const best = proven();
    if (!best) return;
    for (const name of ["v1", "v2", "v3"]) { own.set(name, best[name]); controls[name].refresh(); }
    shown = true; draw();
  }
  const proven = () => (cachedBest = cachedBest || counting.best(values.n, values.budget));

  function draw() {
    const { n, v1, v2, v3, budget } = values;
    const words = counting.footprint(v1, v2, v3), fit = words <= budget;
    fits.className = `say ${fit ? "good" : "bad"}`;
    fits.textContent = `${whole(words)} of ${whole(budget)} words of registers: ${fit ? "the tiles fit" : "the tiles do not fit"}`;
    loops.textContent = [
      `for i0 in 0..${n} step ${v1}:`, `  for j0 in 0..${n} step ${v2}:`, `    # hold C[${v1}][${v2}]`,
      `    for k0 in 0..${n} step ${v3}:`, `      # load A[${v1}][${v3}], B[${v3}][${v2}]`, "      for i, j, k of the tiles:",
      "        C[i][j] += A[i][k] * B[k][j]"].join("\n");
    drawCounts(n, v1, v2, v3);
    drawMemories(n, v1, v2, v3, fit);
    drawCurve(n, v1, v2, v3);
    drawGame(n, v1, v2, v3, words, fit);
  }

  function drawCounts(n, v1, v2, v3) {
    const formula = counting.formulas(n, v1, v2, v3), exact = counting.exact(n, v1, v2, v3);
    const ran = executed(n, v1, v2, v3);
    const value = (number) => (Number.isInteger(number) ? whole(number) : short(number));
    const row = (name, text, at) => [name, text, value(formula[at]), at in exact ? whole(exact[at]) : whole(formula[at]), whole(ran[at])];
    counts.replaceChildren(hwsim.table(["words", "formula", "value", "exact", "executed"], [
      row("A loads", "n³ / v2", "A"), row("B loads", "n³ / v1", "B"), row("C stores", "n²", "C"),
      row("A registers", "v1 v3", "ra"), row("B registers", "v2 v3", "rb"), row("C registers", "v1 v2", "rc")], 2));
    root.dataset.executed = JSON.stringify(ran);
    root.dataset.exact = JSON.stringify(exact);
  }

  function drawMemories(n, v1, v2, v3, fit) {
    const moved = counting.accesses(n, v1, v2, v3), least = 3 * n * n;
    const ran = onCache(n, v1, v2, v3, fit);
    const line = data.cache.line / 4;
    const gpu = simulated(n, v1, v2, v3);
    const rows = [
      ["scratchpad of this size (explicit)", fit ? whole(moved) : "does not fit", fit ? short(moved / least) : "-"],
      [`${data.cache.capacity / 1024} KiB cache below these registers (implicit)`, whole(ran.lines * line), short((ran.lines * line) / least)],
      [gpu ? `GPU, copied to shared memory (mixed), with ${gpu.at}` : n === data.size ? "GPU (mixed): no block holds these tiles" : `GPU (mixed): simulated at n = ${data.size} only`, gpu ? whole(gpu.leaves) : "-", gpu ? short(gpu.leaves / least) : "-"],
      ["the same GPU's DRAM, below its L2", gpu ? whole(gpu.dram) : "-", gpu ? short(gpu.dram / least) : "-"],
    ];
    memories.replaceChildren(hwsim.table(["memory", "words moved", "of least"], rows));
    root.dataset.cache = JSON.stringify({ misses: ran.misses, writebacks: ran.writebacks, missed: ran.missed });
  }

  /* The GPU was simulated at powers of two (v3: of four): those at or below the sliders. */
  function simulated(n, v1, v2, v3) {
    if (n !== data.size) return null;
    const down = (value, base) => base ** Math.floor(Math.log2(value) / Math.log2(base));
    const at = [down(v1, 2), down(v2, 2), down(v3, 4)].join(",");
    const found = data.gpu[at];
    return found ? { at: `tiles ${at}`, leaves: found[0], dram: found[1] } : null;
  }

  /* The points and the front change with n alone; these tiles, the budget and the best are drawn over them. */
  const chart = once((n, narrow) => {
    const work = n ** 3, loads = (point) => (point[4] - n * n) / work, all = counting.sweep(n), front = counting.pareto(all);
    const lowest = Math.min(...front.map(loads), ...data.measured.map((point) => point[1]));
    const wide = narrow ? 400 : 720, high = narrow ? 330 : 340, left = narrow ? 58 : 64;
    const x = hwsim.axis(3, Math.max(3 * n * n, 40000), left, wide - 14, true), y = hwsim.axis(lowest * 0.8, 2, high - 46, 14, true);
    const picture = svg("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": "words loaded for each multiplication against the words that the tiles take" });
    for (const tick of x.ticks) picture.append(svg("line", { class: "grid", x1: x.scale(tick), x2: x.scale(tick), y1: 14, y2: high - 46 }),
      svg("text", { class: "tick middle", x: x.scale(tick), y: high - 30 }, short(tick)));
    for (const tick of y.ticks) picture.append(svg("line", { class: "grid", x1: left, x2: wide - 14, y1: y.scale(tick), y2: y.scale(tick) }),
      svg("text", { class: "tick end", x: left - 6, y: y.scale(tick) + 4 }, short(tick)));
    picture.append(svg("text", { class: "tick middle", x: (left + wide) / 2, y: high - 10 }, "words that the tiles take"),
      svg("text", { class: "tick middle", transform: `translate(13 ${high / 2 - 20}) rotate(-90)` }, narrow ? "loads / multiplication" : "words loaded for each multiplication"));
    for (const point of all) picture.append(svg("circle", { cx: x.scale(point[3]), cy: y.scale(loads(point)), r: 2.5, class: "s5 faint" }));
    picture.append(svg("polyline", { class: "line0", points: front.map((point) => `${x.scale(point[3])},${y.scale(loads(point))}`).join(" ") }));
    for (const [size, rate, label] of data.measured) picture.append(svg("rect", { x: x.scale(size) - 4, y: y.scale(rate) - 4, width: 8, height: 8, class: "s2" }, svg("title", {}, label)));
    const over = svg("g", {});
    picture.append(over);
    curve.replaceChildren(picture, hwsim.key(["var(--s1)", "these tiles"], ["var(--s0)", "the best for each size (Pareto front)"], ["var(--s5)", "other tiles"],
      ["var(--s2)", "measured on an H200: counters of tiled kernels"], ["var(--ink)", "dashed: the registers there are"]));
    return { over, x, high, at: (words, moved) => [x.scale(words), y.scale((moved - n * n) / work)] };
  });

  function drawCurve(n, v1, v2, v3) {
    const { over, x, high, at } = chart(n, root.clientWidth < 520), best = shown ? proven() : null;
    const edge = x.scale(values.budget);
    over.replaceChildren(svg("line", { class: "base", x1: edge, x2: edge, y1: 14, y2: high - 46 }));
    if (best) { const [cx, cy] = at(best.words, best.moved); over.append(svg("circle", { cx, cy, r: 8, class: "line1" })); }
    const [cx, cy] = at(counting.footprint(v1, v2, v3), counting.accesses(n, v1, v2, v3));
    over.append(svg("circle", { cx, cy, r: 6, class: "s1" }));
  }

  function drawGame(n, v1, v2, v3, words, fit) {
    const moved = counting.accesses(n, v1, v2, v3), best = proven();
    if (fit && (bestSeen === null || moved < bestSeen)) bestSeen = moved;
    const mine = bestSeen === null ? "None of yours has fitted yet." : `Your best so far moves ${whole(bestSeen)} words.`;
    const theirs = !best ? "No tile fits so few registers." : `Of all tiles that fit ${whole(values.budget)} words, ${best.v1}, ${best.v2}, ${best.v3} moves least: ${whole(best.moved)}.`;
    const won = best && bestSeen === best.moved;
    game.textContent = `Move v1, v2, v3 so that as few words as possible move. ${mine} ` + (shown || won ? `${won ? "That is the least there can be. " : ""}${theirs}` : "Can you do better?");
    root.dataset.best = best ? JSON.stringify([best.v1, best.v2, best.v3, best.moved]) : "";
  }
  draw();
};

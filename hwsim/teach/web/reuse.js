/* A small convolution: who uses a word, and why. */
"use strict";
/* Uses of one word: outputs (n, k, p, q) that a weight or an activation takes part in, or the products of one sum. */
window.counting.uses = (shape, kind, at) => {
  const { n, c, k, h, r } = shape, p = h - r + 1, found = [];
  if (kind === "weight") {
    for (let image = 0; image < n; image++) for (let y = 0; y < p; y++) for (let x = 0; x < p; x++) found.push([image, at[0], y, x]);
  } else if (kind === "activation") {
    const [image, , row, column] = at;
    for (let filter = 0; filter < k; filter++) for (let y = 0; y < p; y++) for (let x = 0; x < p; x++) {
      if (row >= y && row < y + r && column >= x && column < x + r) found.push([image, filter, y, x]);
    }
  } else {
    for (let channel = 0; channel < c; channel++) for (let y = 0; y < r; y++) for (let x = 0; x < r; x++) found.push([channel, y, x]);
  }
  return found;
};
hwsim.widgets.reuse = (root, data, settings) => {
  const { el, svg } = hwsim;
  const own = settings({ word: "activation", n: 2, k: 2, step: 0 });
  const kinds = { activation: "an activation (a word of the image)", weight: "a weight (a word of a filter)", sum: "a sum (a word of the output)" };
  const controls = [hwsim.select(own, "word", "follow", kinds, again), hwsim.slider(own, "n", "images, N =", [1, 2, 3], again), hwsim.slider(own, "k", "filters, K =", [1, 2, 3], again)];
  const picture = el("div", {}), count = el("div", {});
  const player = hwsim.player(own, 1, show, { rates: [1, 3, 8] });
  root.append(el("div", { class: "controls" }, controls.map((control) => control.node)), el("div", { class: "side" }, el("div", { style: "min-width:min(100%,420px)" }, picture), count), player.node);
  const h = data.h, r = data.r, p = h - r + 1;
  const shape = () => ({ n: own.values.n, c: 1, k: own.values.k, h, r });
  function words() {
    const list = [];
    if (own.values.word === "weight") for (let f = 0; f < own.values.k; f++) for (let y = 0; y < r; y++) for (let x = 0; x < r; x++) list.push([f, 0, y, x]);
    else if (own.values.word === "activation") for (let i = 0; i < own.values.n; i++) for (let y = 0; y < h; y++) for (let x = 0; x < h; x++) list.push([i, 0, y, x]);
    else for (let i = 0; i < own.values.n; i++) for (let f = 0; f < own.values.k; f++) for (let y = 0; y < p; y++) for (let x = 0; x < p; x++) list.push([i, f, y, x]);
    return list;
  }
  function again() { player.resize(words().length); player.go(0); }
  function show(step) {
    const list = words(), at = list[Math.min(step, list.length - 1)], kind = own.values.word, { n, k } = own.values;
    const uses = counting.uses(shape(), kind, at), size = 18, unit = size + 2;
    const pick = (own_, y, x, group) => {
      if (own_ === "image") return kind === "activation" ? (group === at[0] && y === at[2] && x === at[3] ? "now" : "") : kind === "weight" ? (y >= at[2] && y < at[2] + p && x >= at[3] && x < at[3] + p ? "used" : "") : group === at[0] && y >= at[2] && y < at[2] + r && x >= at[3] && x < at[3] + r ? "used" : "";
      if (own_ === "filter") return kind === "weight" ? (group === at[0] && y === at[2] && x === at[3] ? "now" : "") : kind === "activation" ? (uses.some((u) => u[1] === group && at[2] - u[2] === y && at[3] - u[3] === x) ? "used" : "") : group === at[1] ? "used" : "";
      const [i, f] = group;
      return kind === "sum" ? (i === at[0] && f === at[1] && y === at[2] && x === at[3] ? "now" : "") : uses.some((u) => u[0] === i && u[1] === f && u[2] === y && u[3] === x) ? "used" : "";
    };
    const left = 12, rows = Math.max(n * (h * unit + 26), 26 + k * (r * unit + 26)), x1 = left + h * unit + 30, x2 = x1 + r * unit + 30;
    const wide = x2 + k * (p * unit + 16), high = Math.max(rows, n * (p * unit + 26)) + 10;
    const drawn = svg("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": "images, filters and outputs; the word that is followed and the words it meets" });
    const block = (title, px, py, side, colour, own_, group) => {
      drawn.append(svg("text", { x: px, y: py + 12, class: "tick" }, title));
      for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) {
        const state = pick(own_, y, x, group);
        drawn.append(svg("rect", { x: px + x * unit, y: py + 18 + y * unit, width: size, height: size, rx: 3, class: "cell", style: state === "now" ? "fill:var(--now);stroke:var(--ink);stroke-width:2" : state === "used" ? `fill:var(--${colour})` : "" }));
      }
    };
    for (let i = 0; i < n; i++) block(`image ${i}`, left, i * (h * unit + 26), h, "a", "image", i);
    for (let f = 0; f < k; f++) block(`filter ${f}`, x1, f * (r * unit + 26), r, "b", "filter", f);
    for (let i = 0; i < n; i++) for (let f = 0; f < k; f++) block(`out ${i},${f}`, x2 + f * (p * unit + 16), i * (p * unit + 26), p, "c", "out", [i, f]);
    picture.replaceChildren(drawn);
    const windows = kind === "activation" ? uses.length / k : kind === "weight" ? uses.length / n : 0;
    const lines = kind === "sum" ? [["accumulation: products of one sum", String(uses.length)]]
      : [["convolutional: windows, positions", String(windows)], kind === "activation" ? ["fmap: filters that use it", String(k)] : ["filter: images that use it", String(n)], ["uses in all", String(uses.length)]];
    count.replaceChildren(hwsim.table(["reuse of this word", ""], lines));
    root.dataset.uses = uses.length;
    return kind === "sum" ? `Output [${at.join("][")}] is the sum of ${uses.length} products.`
      : `${kind === "weight" ? "Weight" : "Activation"} [${at.join("][")}] takes part in ${uses.length} products: ${windows} ${kind === "weight" ? "positions" : "windows"} times ${kind === "weight" ? `${n} images` : `${k} filters`}.`;
  }
  player.resize(words().length);
};

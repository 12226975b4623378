/* A convolution as a matrix product: words coloured by where in the image they come from. */
"use strict";
hwsim.widgets.matrices = (root, data, settings) => {
  const { el } = hwsim;
  const own = settings({ way: "im2col", step: 0 });
  const image = data.image, filters = data.filters, H = image.length, R = filters[0].length, P = H - R + 1, K = filters.length;
  const taps = [], spots = [];
  for (let r = 0; r < R; r++) for (let s = 0; s < R; s++) taps.push([r, s]);
  for (let p = 0; p < P; p++) for (let q = 0; q < P; q++) spots.push([p, q]);
  const way = hwsim.select(own, "way", "as", { im2col: "im2col: windows written out", offset: "offset-add: product first, shifts after" }, () => player.go(0));
  const board = el("div", { class: "boards" });
  const player = hwsim.player(own, K * spots.length, show, { rates: [1, 2, 5] });
  root.append(el("div", { class: "controls" }, way.node), board, player.node);
  const hue = (y, x) => `hsl(${Math.round((360 * (y * H + x)) / (H * H))} 75% var(--word))`;
  let lit = null;

  function cell(value, source, strong, faded) {
    const style = source ? `background:${hue(...source)};color:#111;${strong ? "outline:3px solid var(--ink);" : ""}${faded ? "opacity:.35;" : ""}` : strong ? "background:var(--held);outline:3px solid var(--ink)" : "";
    const node = el("td", { style }, value);
    if (source) for (const event of ["mouseenter", "click"]) node.addEventListener(event, () => { lit = source.join(); light(); });
    if (source) node.dataset.source = source.join();
    return node;
  }
  function light() {
    for (const node of board.querySelectorAll("[data-source]")) node.style.boxShadow = node.dataset.source === lit ? "inset 0 0 0 3px var(--miss)" : "";
  }
  const grid = (title, rows) => el("div", { class: "board" }, el("p", { class: "label" }, title), el("table", { class: "matrix words" }, el("tbody", {}, rows.map((row) => el("tr", {}, row)))));

  function show(step) {
    const k = Math.floor(step / spots.length), [p, q] = spots[step % spots.length], im2col = own.values.way === "im2col";
    const inside = (y, x) => y >= p && y < p + R && x >= q && x < q + R;
    const parts = [grid("image, 4 x 4", image.map((row, y) => row.map((value, x) => cell(value, [y, x], inside(y, x), false))))];
    const out = grid(`outputs of filter ${k}`, data.outputs[k].map((row, y) => row.map((value, x) => cell(y < p || (y === p && x <= q) ? value : "·", null, y === p && x === q))));
    let words, terms;
    if (im2col) {
      const columns = spots.map(([a, b]) => taps.map(([r, s]) => [a + r, b + s]));
      words = columns.length * taps.length;
      parts.push(grid(`filters, ${K} x ${taps.length}`, filters.map((f, row) => f.flat().map((value) => cell(value, null, row === k)))),
        grid(`windows, ${taps.length} x ${columns.length}`, taps.map((_, t) => columns.map((column, at) => cell(image[column[t][0]][column[t][1]], column[t], at === step % spots.length))))); // a window a column
      terms = taps.map(([r, s]) => `${filters[k][r][s]} * ${image[p + r][q + s]}`);
    } else {
      words = K * taps.length * H * H;
      for (const [r, s] of taps) parts.push(grid(`T: tap (${r},${s}) of filter ${k}: ${filters[k][r][s]} times the image`,
        image.map((row, y) => row.map((value, x) => cell(filters[k][r][s] * value, [y, x], y === p + r && x === q + s)))));
      terms = taps.map(([r, s]) => `T${r}${s}[${p + r}][${q + s}] = ${filters[k][r][s] * image[p + r][q + s]}`);
    }
    parts.push(out);
    board.replaceChildren(...parts);
    if (lit) light();
    root.dataset.words = words;
    const value = taps.reduce((sum, [r, s]) => sum + filters[k][r][s] * image[p + r][q + s], 0);
    root.dataset.value = value;
    const joined = im2col ? `${terms.join(" + ")} = ${value}.` : `${terms.join(", ")}; their sum is ${value}.`;
    return `O[${k}][${p}][${q}]: ${joined} ${im2col ? `The matrix of windows has ${words} words for an image of ${H * H}.` : `T has ${words} words; the image was used as it lies.`}`;
  }
  player.resize(K * spots.length);
};

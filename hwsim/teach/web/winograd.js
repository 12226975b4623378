/* Winograd's convolution of one tile, matrix by matrix; every general multiplication is ticked off. */
"use strict";
hwsim.widgets.winograd = (root, data, settings) => {
  const { el } = hwsim;
  const own = settings({ tile: "toy", step: 0 });
  const names = { toy: "the toy: 4 x 4 image, 2 x 2 filter", f2: "F(2 x 2, 3 x 3)", f4: "F(4 x 4, 3 x 3)" };
  const choose = hwsim.select(own, "tile", "tile", names, () => { build(); player.go(0); });
  const board = el("div", { class: "boards" });
  const player = hwsim.player(own, 1, show, { rates: [1, 2, 4, 10] });
  root.append(el("div", { class: "controls" }, choose.node), board, player.node);
  const times = (a, b) => a.map((row) => b[0].map((_, j) => row.reduce((sum, value, k) => sum + value * b[k][j], 0)));
  const turned = (m) => m[0].map((_, j) => m.map((row) => row[j]));
  const text = (value) => String(Number(value.toFixed(3)) + 0);
  let own_ = null, steps = [];

  function build() {
    const t = data[own.values.tile], dd = times(times(t.bt, t.d), turned(t.bt)), ww = times(times(t.g, t.w), turned(t.g));
    const product = dd.map((row, i) => row.map((value, j) => value * ww[i][j]));
    const out = times(times(t.at, product), turned(t.at));
    own_ = { ...t, dd, ww, product, out, half: times(t.bt, t.d), whalf: times(t.g, t.w), mhalf: times(t.at, product) };
    root.dataset.out = JSON.stringify(out.map((row) => row.map((value) => Number(value.toFixed(6)))));
    const count = dd.length ** 2, direct = t.m ** 2 * t.taps ** 2;
    steps = ["start", "B^T D", "B^T D B", "G W", "G W G^T"];
    for (let at = 0; at < count; at++) steps.push(at);
    steps.push("A^T M", "out", "direct");
    own_.count = count; own_.directCount = direct;
    player.resize(steps.length);
  }
  function matrix(title, values, marked = () => false, shown = () => true) {
    return el("div", { class: "board" }, el("p", { class: "label" }, title), el("table", { class: "matrix" }, el("tbody", {},
      values.map((row, i) => el("tr", {}, row.map((value, j) => el("td", { style: marked(i, j) ? "background:var(--held)" : "" }, shown(i, j) ? text(value) : "·")))))));
  }
  function show(at) {
    if (!own_) return "";
    const t = own_, step = steps[at], size = t.dd.length, done = typeof step === "number" ? step : at < 5 ? -1 : t.count - 1;
    const here = (i, j) => typeof step === "number" && i * size + j === step;
    const parts = [];
    if (step === "start") parts.push(matrix("image D", t.d), matrix("filter W", t.w), matrix("Bᵀ", t.bt), matrix("G", t.g), matrix("Aᵀ", t.at));
    else if (step === "B^T D") parts.push(matrix("Bᵀ", t.bt), matrix("D", t.d), matrix("Bᵀ D", t.half, () => true));
    else if (step === "B^T D B") parts.push(matrix("Bᵀ D", t.half), matrix("B", turned(t.bt)), matrix("Bᵀ D B", t.dd, () => true));
    else if (step === "G W") parts.push(matrix("G", t.g), matrix("W", t.w), matrix("G W", t.whalf, () => true));
    else if (step === "G W G^T") parts.push(matrix("G W", t.whalf), matrix("Gᵀ", turned(t.g)), matrix("G W Gᵀ", t.ww, () => true));
    else if (typeof step === "number") parts.push(matrix("Bᵀ D B", t.dd, here), matrix("G W Gᵀ", t.ww, here), matrix("M, point by point", t.product, here, (i, j) => i * size + j <= done));
    else if (step === "A^T M") parts.push(matrix("Aᵀ", t.at), matrix("M", t.product), matrix("Aᵀ M", t.mhalf, () => true));
    else if (step === "out") parts.push(matrix("Aᵀ M", t.mhalf), matrix("A", turned(t.at)), matrix("O = Aᵀ M A", t.out, () => true));
    else parts.push(matrix("O by Winograd", t.out), matrix("O by direct convolution", t.direct, () => true));
    board.replaceChildren(...parts);
    const ticked = `${Math.max(0, done + 1)} of ${t.count} multiplications`;
    const said = {
      start: `An image tile, a filter, and three matrices of constants. Direct convolution would take ${t.directCount} multiplications.`,
      "B^T D": "The image's transform, from the left: rows are added and subtracted. No multiplication of two variables.",
      "B^T D B": "The image's transform, from the right: the same with columns.",
      "G W": "The filter's transform, from the left. It is done once, before inference.", "G W G^T": "The filter's transform, from the right: as large as the image's tile now.",
      "A^T M": `${ticked}. The inverse transform, from the left: additions again.`, out: `${ticked}. The inverse transform, from the right.`,
      direct: `The same outputs: ${t.count} multiplications by Winograd, ${t.directCount} directly, ${(t.directCount / t.count).toFixed(2)} times fewer.`,
    };
    if (typeof step !== "number") return said[step];
    const i = Math.floor(step / size), j = step % size;
    return `${ticked}: ${text(t.dd[i][j])} * ${text(t.ww[i][j])} = ${text(t.product[i][j])}.`;
  }
  build();
};

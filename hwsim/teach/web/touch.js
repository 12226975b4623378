/* A small tiled product word by word: what is touched now, what is held, what had to be loaded. */
"use strict";
hwsim.widgets.touch = (root, data, settings) => {
  const { el, svg, whole } = hwsim;
  const n = data.n, own = settings({ loops: "tiled", step: 0 });
  const kinds = { untiled: [1, 1, 1], tiled: data.tiles, ragged: [3, 3, 2] };
  let plan = [];
  const choose = hwsim.select(own, "loops", "loops", { untiled: "untiled: tiles of one word", tiled: `tiles ${data.tiles.join(", ")}`, ragged: "tiles 3, 3, 2: ragged" }, () => { rebuild(); player.go(0); });
  const cells = {};
  const size = 22, gap = 34, wide = 2 * n * size + gap, high = 2 * n * size + gap;
  const picture = svg("svg", { viewBox: `0 -18 ${wide} ${high + 20}`, role: "img", "aria-label": "matrices A, B and C; marked words are held or touched" });
  function grid(name, x, y) {
    cells[name] = [];
    picture.append(svg("text", { x, y: y - 5, class: "title" }, name));
    for (let row = 0; row < n; row++) for (let column = 0; column < n; column++) {
      const cell = svg("rect", { x: x + column * size, y: y + row * size, width: size - 2, height: size - 2, rx: 3, class: "cell" });
      cells[name].push(cell); picture.append(cell);
    }
  }
  grid("B", n * size + gap, 0); grid("A", 0, n * size + gap); grid("C", n * size + gap, n * size + gap);
  const counters = el("div", {});
  const player = hwsim.player(own, 1, show, { rates: [1, 4, 20, 60] });
  root.append(el("div", { class: "controls" }, choose.node), el("div", { class: "side" }, el("div", { style: "max-width:420px" }, picture), counters), player.node,
    hwsim.key(["var(--a)", "held of A"], ["var(--b)", "held of B"], ["var(--c)", "held of C"], ["var(--now)", "multiplied now"]));

  /* Every iteration: the tile it is in and the words it multiplies; loads are counted where a tile begins. */
  function rebuild() {
    plan = [];
    const [v1, v2, v3] = kinds[own.values.loops];
    let a = null, b = null, c = null;
    const count = { A: 0, B: 0, C: 0 };
    counting.tiles(n, v1, v2, v3, (i, i1, j, j1, k, k1) => {
      let fresh = [];
      if (a !== i * n + k) { count.A += (i1 - i) * (k1 - k); fresh.push("A"); }
      if (b !== k * n + j) { count.B += (k1 - k) * (j1 - j); fresh.push("B"); }
      if (c !== i * n + j) { count.C += (i1 - i) * (j1 - j); }
      a = i * n + k; b = k * n + j; c = i * n + j;
      for (let x = i; x < i1; x++) for (let y = j; y < j1; y++) for (let z = k; z < k1; z++) {
        plan.push({ box: [i, i1, j, j1, k, k1], at: [x, y, z], count: { ...count }, fresh }); fresh = [];
      }
    });
    root.dataset.loads = JSON.stringify(count);
    player.resize(plan.length);
  }
  function paint(name, held, now) {
    cells[name].forEach((cell, at) => {
      const row = Math.floor(at / n), column = at % n;
      const inside = row >= held[0] && row < held[1] && column >= held[2] && column < held[3];
      cell.setAttribute("class", `cell${inside ? ` f${name.toLowerCase()}` : ""}`);
      cell.style.fill = row === now[0] && column === now[1] ? "var(--now)" : "";
    });
  }
  function show(step) {
    if (!plan.length) return "";
    const { box, at: [x, y, z], count, fresh } = plan[step];
    const [i, i1, j, j1, k, k1] = box;
    paint("A", [i, i1, k, k1], [x, z]); paint("B", [k, k1, j, j1], [z, y]); paint("C", [i, i1, j, j1], [x, y]);
    counters.replaceChildren(hwsim.table(["words so far", ""], [
      ["A loaded", whole(count.A)], ["B loaded", whole(count.B)], ["C begun", whole(count.C)],
      ["multiplications", whole(step + 1)], ["uses of a loaded word", ((2 * (step + 1)) / (count.A + count.B)).toFixed(2)]]));
    const loaded = fresh.length ? ` A new tile of ${fresh.join(" and ")} is loaded.` : " Both words are held already.";
    return `C[${x}][${y}] += A[${x}][${z}] * B[${z}][${y}].${loaded}`;
  }
  rebuild();
};

/* Layers under the roof of a machine, and what doubling a resource does to them. */
"use strict";
hwsim.widgets.roofline = (root, data, settings) => {
  const { el, svg, short } = hwsim;
  const machines = Object.keys(data.runs), networks = Object.keys(data.runs[machines[0]]);
  const own = settings({ machine: machines[1], network: networks[1], better: "nothing" });
  const named = (list) => Object.fromEntries(list.map((name) => [name, name]));
  const better = ["nothing", ...Object.keys(data.runs[machines[0]][networks[0]].doubled)];
  const controls = [hwsim.select(own, "machine", "machine", named(machines), draw), hwsim.select(own, "network", "network", named(networks), draw),
    hwsim.select(own, "better", "make better", named(better), draw)];
  const picture = el("div", {}), said = el("p", { class: "say", "aria-live": "polite" }), list = el("div", {});
  root.append(el("div", { class: "controls" }, controls.map((control) => control.node)), said, picture,
    hwsim.key(["var(--s0)", "a layer, as simulated"], ["var(--s1)", "the same layer on the better machine"], ["var(--ink)", "the roof"]), list);
  const time = (us) => (us >= 1e6 ? `${(us / 1e6).toPrecision(3)} s` : us >= 1000 ? `${(us / 1000).toPrecision(3)} ms` : `${us.toPrecision(3)} us`);
  function draw() {
    const { machine, network, better: what } = own.values, run = data.runs[machine][network];
    const [rate, bandwidth] = data.limits[machine], fast = run.doubled[what];
    const layers = run.layers.map(([name, macs, bytes, us, waits], at) => ({ name, macs, bytes, us, waits, x: macs / Math.max(bytes, 1), y: (macs / us) * 1e6, fast: fast ? fast[at][0] : us, x2: fast ? macs / Math.max(fast[at][1], 1) : 0, z: fast ? (macs / fast[at][0]) * 1e6 : null }));
    const seen = layers.filter((layer) => layer.bytes > 0);
    const narrow = root.clientWidth < 520, wide = narrow ? 400 : 720, high = narrow ? 340 : 380, left = narrow ? 84 : 76;
    const low = Math.min(...layers.map((layer) => layer.y)) / 2;
    const x = hwsim.axis(0.1, 1e5, left, wide - 26, true), y = hwsim.axis(low, rate * 3, high - 46, 14, true);
    const drawn = svg("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": `layers of ${network} under the roof of ${machine}` });
    for (const tick of x.ticks) drawn.append(svg("line", { class: "grid", x1: x.scale(tick), x2: x.scale(tick), y1: 14, y2: high - 46 }), svg("text", { class: "tick middle", x: x.scale(tick), y: high - 30 }, short(tick)));
    for (const tick of y.ticks) drawn.append(svg("line", { class: "grid", x1: left, x2: wide - 26, y1: y.scale(tick), y2: y.scale(tick) }), svg("text", { class: "tick end", x: left - 6, y: y.scale(tick) + 4 }, short(tick)));
    drawn.append(svg("text", { class: "tick middle", x: (left + wide) / 2, y: high - 10 }, "multiplications for each byte from DRAM"),
      svg("text", { class: "tick middle", transform: `translate(13 ${high / 2 - 20}) rotate(-90)` }, "multiplications a second"));
    const roof = (r, b, kind) => {
      const from = Math.max(0.1, low / b), ridge = r / b;
      drawn.append(svg("polyline", { class: kind, style: kind === "axis" ? "stroke:var(--ink);stroke-width:2" : "", points: `${x.scale(from)},${y.scale(from * b)} ${x.scale(ridge)},${y.scale(r)} ${x.scale(1e5)},${y.scale(r)}` }));
    };
    roof(rate, bandwidth, "axis");
    const [more, wider] = data.roofs[what] || [1, 1];
    if (more > 1 || wider > 1) roof(more * rate, wider * bandwidth, "line1");
    for (const layer of seen) {
      if (layer.z) drawn.append(svg("line", { class: "line1", x1: x.scale(layer.x), x2: x.scale(layer.x2), y1: y.scale(layer.y), y2: y.scale(layer.z) }), svg("circle", { class: "s1", cx: x.scale(layer.x2), cy: y.scale(layer.z), r: 4 }));
      drawn.append(svg("circle", { class: "s0", cx: x.scale(layer.x), cy: y.scale(layer.y), r: 5 }, svg("title", {}, `${layer.name}: ${time(layer.us)}, waits for ${layer.waits}`)));
    }
    picture.replaceChildren(drawn);
    const before = run.layers.reduce((sum, layer) => sum + layer[3], 0), after = fast ? fast.reduce((sum, [us]) => sum + us, 0) : before;
    root.dataset.gain = (before / after).toFixed(4);
    said.textContent = what === "nothing" ? `${network} on ${machine}: ${time(before)} for its layers that multiply.`
      : `${network} on ${machine}, ${what}: ${time(before)} becomes ${time(after)}, ${(before / after).toFixed(2)} times as fast.`;
    const slow = [...layers].sort((a, b) => b.us - a.us).slice(0, 8);
    list.replaceChildren(el("h3", {}, "The layers that take longest"), hwsim.table(["layer", "waits for", "time", ...(fast ? ["then"] : []), "per byte", "of peak"],
      slow.map((layer) => [layer.name, layer.waits === "-" ? "nothing: its cells compute" : layer.waits, time(layer.us), ...(fast ? [time(layer.fast)] : []), layer.bytes ? short(layer.x) : "on chip", `${((100 * layer.y) / rate).toPrecision(2)}%`]), 2));
  }
  draw();
};

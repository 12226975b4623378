/* Shares of non-zeros through Winograd's transform, and the products that are left. */
"use strict";
hwsim.widgets.density = (root, data, settings) => {
  const { el, svg } = hwsim;
  const own = settings({ weights: 0.5, activations: 0.5 });
  const percent = (value) => `${Math.round(100 * value)}%`;
  const controls = [hwsim.slider(own, "weights", "weights that are not zero:", data.shares, draw, percent), hwsim.slider(own, "activations", "activations that are not zero:", data.shares, draw, percent)];
  const picture = el("div", {}), said = el("p", { class: "say", "aria-live": "polite" });
  root.append(el("div", { class: "controls" }, controls.map((control) => control.node)), said, picture);
  const near = (share) => data.shares.reduce((best, value, at) => (Math.abs(value - share) < Math.abs(data.shares[best] - share) ? at : best), 0);
  function draw() {
    const w = near(own.values.weights), a = near(own.values.activations);
    const bars = [["filter W", data.shares[w], "b"], ["G W Gᵀ", data.after[w][0], "b"], ["image D", data.shares[a], "a"], ["Bᵀ D B", data.after[a][1], "a"]];
    const left = data.effectual[w][a], narrow = root.clientWidth < 520, wide = narrow ? 400 : 720, from = narrow ? 120 : 290, room = wide - from - 70;
    const drawn = svg("svg", { viewBox: `0 0 ${wide} ${narrow ? 290 : 232}`, role: "img", "aria-label": "shares that are not zero" });
    let y = 22;
    drawn.append(svg("text", { x: 0, y: 14, class: "title" }, "not zero, before and after the transform"));
    for (const [name, share, colour] of bars) {
      drawn.append(svg("text", { x: from - 8, y: y + 15, class: "end" }, name), svg("rect", { x: from, y, width: room, height: 20, class: "cell" }),
        svg("rect", { x: from, y, width: room * share, height: 20, class: `f${colour}` }), svg("text", { x: from + room * share + 6, y: y + 15, class: "value" }, percent(share)));
      y += 26;
    }
    y += 24;
    drawn.append(svg("text", { x: 0, y: y - 8, class: "title" }, narrow ? "products left, of dense direct's" : "products of two non-zeros, of all that direct convolution does"));
    data.forms.forEach((name, at) => {
      if (narrow) { drawn.append(svg("text", { x: 0, y: y + 14 }, name)); y += 20; } else drawn.append(svg("text", { x: from - 8, y: y + 15, class: "end" }, name));
      const start = narrow ? 0 : from, span = narrow ? wide - 70 : room;
      drawn.append(svg("rect", { x: start, y, width: Math.max(1, span * left[at]), height: 20, class: `s${at}` }),
        svg("text", { x: start + span * left[at] + 6, y: y + 15, class: "value" }, percent(left[at])));
      y += 26;
    });
    picture.replaceChildren(drawn);
    root.dataset.effectual = JSON.stringify(left);
    const times = left.map((share) => (1 / share).toPrecision(3));
    said.textContent = `Skipping zeros: ${times[0]} times fewer products directly, ${times[1]} with Winograd, ${times[2]} with Winograd-ReLU.`;
  }
  draw();
};

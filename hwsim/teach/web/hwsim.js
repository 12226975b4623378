/* What every lesson's page shares: elements, sliders, a player of steps, and settings kept in the address. */
"use strict";
window.hwsim = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const widgets = {};
  let controls = 0;

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return node;
  }
  const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  const whole = (value) => Math.round(value).toLocaleString("en-US");
  function short(value) {
    const size = Math.abs(value);
    for (const [limit, letter] of [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e4, " k"]]) {
      if (size >= limit) return Number((value / (letter === " k" ? 1e3 : limit)).toPrecision(3)) + letter;
    }
    return size >= 1000 ? whole(value) : String(Number(value.toPrecision(3)));
  }

  const PAUSE = 200; // ms after the last change until the address is written
  const address = new Map(); // what has changed, null for a default
  const isSetting = () => location.hash.includes("=");
  let writing = null;
  function write() {
    const hash = new URLSearchParams(isSetting() ? location.hash.slice(1) : "");
    for (const [key, value] of address) { if (value === null) hash.delete(key); else hash.set(key, value); }
    address.clear();
    const text = hash.toString();
    if (!text && !isSetting()) return; // a link to a step stays as it is
    written = text ? `#${text}` : "";
    history.replaceState(null, "", written || location.pathname + location.search);
  }
  let written = null;

  /* Settings in the address, as #tiling.n=64&tiling.v1=8, so that a link shows what its sender sees. */
  function store(prefix, defaults) {
    const read = () => new URLSearchParams(isSetting() ? location.hash.slice(1) : "");
    const values = { ...defaults };
    for (const [name, value] of Object.entries(defaults)) {
      const found = read().get(`${prefix}.${name}`);
      if (found === null) continue;
      if (typeof value === "number") { if (Number.isFinite(Number(found)) && found !== "") values[name] = Number(found); }
      else values[name] = found;
    }
    function set(name, value) {
      values[name] = value;
      address.set(`${prefix}.${name}`, value === defaults[name] ? null : String(value));
      clearTimeout(writing);
      writing = setTimeout(write, PAUSE);
    }
    return { values, set };
  }

  /* A slider over a list of values; the nearest of them where a setting is not among them. */
  function slider(settings, name, label, values, draw, text = String) {
    const id = `control${(controls += 1)}`;
    const output = el("output", { for: id, "aria-live": "off" });
    const input = el("input", { id, type: "range", min: 0, step: 1, "data-name": name });
    let list = [];
    function show() {
      const value = settings.values[name];
      output.textContent = text(value);
      input.setAttribute("aria-valuetext", text(value));
    }
    function offer(fresh) {
      list = fresh;
      const wanted = settings.values[name];
      let best = 0;
      list.forEach((value, at) => { if (Math.abs(value - wanted) < Math.abs(list[best] - wanted)) best = at; });
      input.max = list.length - 1;
      input.value = best;
      if (list[best] !== wanted) settings.set(name, list[best]);
      show();
    }
    input.addEventListener("input", () => { settings.set(name, list[Number(input.value)]); show(); draw(); });
    offer(values);
    return { node: el("div", {}, el("label", { for: id }, `${label} `), output, input), offer, refresh: () => offer(list) };
  }

  function select(settings, name, label, options, draw) {
    const list = Object.entries(options);
    if (!Object.hasOwn(options, settings.values[name])) settings.set(name, list[0][0]);
    const input = el("select", { "data-name": name, onchange: () => { settings.set(name, input.value); draw(); } },
      list.map(([value, text]) => el("option", { value }, text)));
    input.value = settings.values[name];
    return { node: el("label", {}, label, input), refresh: () => { input.value = settings.values[name]; } };
  }

  /* Steps that can be played, paused and gone through one by one. show(step) draws and returns what is to be said. */
  function player(settings, length, show, { name = "step", rates = [1, 2, 5, 20] } = {}) {
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    let timer = null, count = length;
    const said = el("p", { class: "say", "aria-live": "polite" });
    const range = el("input", { type: "range", min: 0, step: 1, "aria-label": "step", "data-name": name });
    const play = el("button", { type: "button", onclick: () => (timer ? stop() : start()) }, "Play");
    const rate = el("select", { "aria-label": "steps a second", onchange: () => { if (timer) { stop(); start(); } } },
      rates.map((value) => el("option", { value }, `${value}/s`)));
    rate.value = rates[still ? 0 : Math.min(1, rates.length - 1)];
    function go(step) {
      const at = Math.max(0, Math.min(count - 1, Math.round(step)));
      settings.set(name, at);
      range.value = at;
      said.setAttribute("aria-live", timer ? "off" : "polite");
      said.textContent = show(at) || "";
    }
    function stop() { clearInterval(timer); timer = null; play.textContent = "Play"; }
    function start() {
      if (settings.values[name] >= count - 1) go(0);
      play.textContent = "Pause";
      timer = setInterval(() => { go(settings.values[name] + 1); if (settings.values[name] >= count - 1) stop(); }, 1000 / Number(rate.value));
    }
    const button = (text, to) => el("button", { type: "button", onclick: () => { stop(); go(to()); } }, text);
    range.addEventListener("input", () => { stop(); go(Number(range.value)); });
    function resize(fresh) { count = Math.max(1, fresh); range.max = count - 1; go(settings.values[name]); }
    const node = el("div", {}, el("div", { class: "player" },
      button("First", () => 0), button("Back", () => settings.values[name] - 1), play,
      button("Step", () => settings.values[name] + 1), range, rate), said);
    return { node, go, stop, resize };
  }

  function table(head, rows, left = 1) {
    const cell = (tag) => (text, at) => el(tag, { class: at < left ? "words" : null, scope: tag === "th" ? "col" : null }, text);
    return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": head.join(", ") }, el("table", {},
      el("thead", {}, el("tr", {}, head.map(cell("th")))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map(cell("td")))))));
  }

  const key = (...items) => el("div", { class: "key" }, items.map(([colour, text]) =>
    el("span", {}, el("i", { style: `background:${colour}` }), text)));

  /* Axes of a chart: log(x) or x to pixels, with a few ticks. */
  function axis(low, high, from, to, log) {
    const f = log ? Math.log10 : (value) => value;
    const scale = (value) => from + ((f(value) - f(low)) / (f(high) - f(low) || 1)) * (to - from);
    const ticks = [];
    if (log) {
      const decades = Math.log10(high / low);
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
        for (const digit of decades > 3 ? [1] : decades > 1.2 ? [1, 3] : [1, 2, 5]) {
          const value = digit * 10 ** power;
          if (value >= low * 0.999 && value <= high * 1.001) ticks.push(value);
        }
      }
    } else {
      const step = 10 ** Math.floor(Math.log10((high - low) / 2));
      const wide = (high - low) / step > 10 ? step * 5 : (high - low) / step > 5 ? step * 2 : step;
      for (let value = Math.ceil(low / wide) * wide; value <= high * 1.0001; value += wide) ticks.push(value);
    }
    return { scale, ticks };
  }

  function start() {
    const seen = {};
    for (const root of document.querySelectorAll(".widget")) {
      const kind = root.dataset.kind;
      seen[kind] = (seen[kind] || 0) + 1;
      const data = JSON.parse(root.querySelector("script").textContent);
      widgets[kind](root, data, (defaults) => store(seen[kind] > 1 ? kind + seen[kind] : kind, defaults));
    }
    const linked = /^#(\w+)\.\w+=/.exec(location.hash); // a link to a setting shows its widget, one to a step the step
    const shown = linked ? document.querySelector(`.widget[data-kind="${linked[1]}"]`) : document.getElementById(location.hash.slice(1));
    if (shown) { history.scrollRestoration = "manual"; shown.scrollIntoView(); }
    window.addEventListener("hashchange", () => { if (isSetting() && location.hash !== written) location.reload(); });
  }
  return { widgets, el, svg, whole, short, slider, select, player, table, key, axis, start };
})();

/* What the pages count themselves. Each function has its equal in Python, and the tests compare them. */
"use strict";
window.counting = (() => {
  const ceil = (a, b) => Math.floor((a + b - 1) / b);

  /* The lecture's formulas: words loaded of A and B, stored of C; registers held. */
  function formulas(n, v1, v2, v3) {
    return { A: n ** 3 / v2, B: n ** 3 / v1, C: n * n, ra: v1 * v3, rb: v2 * v3, rc: v1 * v2 };
  }
  const footprint = (v1, v2, v3) => v1 * v3 + v2 * v3 + v1 * v2;

  /* The same counted exactly: ragged tiles, and tiles that are already there (hwsim.count.tiling). */
  function exact(n, v1, v2, v3) {
    const across = ceil(n, v2), down = ceil(n, v1), deep = ceil(n, v3);
    return { A: n * n * (deep > 1 ? across : 1), B: n * n * (deep === 1 && across === 1 ? 1 : down), C: n * n };
  }
  function accesses(n, v1, v2, v3) { const words = exact(n, v1, v2, v3); return words.A + words.B + words.C; }

  /* Every tile of the three loops in order: visit(rows, columns, depth) with [from, to) each. */
  function tiles(n, v1, v2, v3, visit) {
    for (let i = 0; i < n; i += v1) for (let j = 0; j < n; j += v2) for (let k = 0; k < n; k += v3) {
      visit(i, Math.min(n, i + v1), j, Math.min(n, j + v2), k, Math.min(n, k + v3));
    }
  }

  /* The loops really executed: a word that the step before did not hold has to come. */
  function execute(n, v1, v2, v3) {
    const held = [0, 1, 2].map(() => new Int32Array(n * n).fill(-2));
    const moved = [0, 0, 0], most = [0, 0, 0];
    let step = 0;
    function touch(which, r0, r1, c0, c1) {
      const own = held[which], size = (r1 - r0) * (c1 - c0);
      let fresh = 0;
      for (let r = r0; r < r1; r++) for (let c = r * n + c0, end = r * n + c1; c < end; c++) {
        if (own[c] !== step - 1) fresh++;
        own[c] = step;
      }
      moved[which] += fresh;
      if (size > most[which]) most[which] = size;
    }
    tiles(n, v1, v2, v3, (i, i1, j, j1, k, k1) => {
      touch(0, i, i1, k, k1); touch(1, k, k1, j, j1); touch(2, i, i1, j, j1); step++;
    });
    return { A: moved[0], B: moved[1], C: moved[2], ra: most[0], rb: most[1], rc: most[2] };
  }

  /* A cache of lines: sets of `ways`, the least recently used one leaves. Counts misses and lines written back. */
  class Cache {
    constructor(lines, ways) {
      this.ways = ways; this.sets = lines / ways;
      this.tags = new Int32Array(lines).fill(-1); this.dirty = new Uint8Array(lines);
      this.misses = 0; this.writebacks = 0; this.lookups = 0;
    }
    /* Is the line there? It is afterwards, as the last one used of its set. */
    access(line, write) {
      const first = (line % this.sets) * this.ways, last = first + this.ways - 1;
      this.lookups++;
      if (this.tags[first] === line) { if (write) this.dirty[first] = 1; return true; }
      let at = first;
      while (at < last && this.tags[at] !== line) at++;
      const hit = this.tags[at] === line;
      let soiled = hit ? this.dirty[at] : 0;
      if (!hit) { this.misses++; if (this.dirty[at]) this.writebacks++; }
      for (; at > first; at--) { this.tags[at] = this.tags[at - 1]; this.dirty[at] = this.dirty[at - 1]; }
      this.tags[first] = line; this.dirty[first] = soiled || write ? 1 : 0;
      return hit;
    }
    flush() { for (let at = 0; at < this.dirty.length; at++) { this.writebacks += this.dirty[at]; this.dirty[at] = 0; } }
  }

  /* The tiled product on one core: tiles in registers where they fit, else word by word; what the cache misses.
     Arrays begin at pages of 4 KiB, rows follow each other, words of 4 bytes. */
  function onCache(n, v1, v2, v3, machine) {
    const words = machine.line / 4, page = 4096 / machine.line;
    const pages = Math.ceil((n * n * 4) / 4096) * page;
    const cache = new Cache(machine.capacity / machine.line, machine.ways);
    const missed = [0, 0, 0];
    const shift = Math.log2(words);
    const look = (which, from, to, write) => {
      for (let line = from >> shift, last = (to - 1) >> shift; line <= last; line++) {
        if (!cache.access(which * pages + line, write)) missed[which]++;
      }
    };
    const block = (which, r0, r1, c0, c1, write) => { for (let r = r0; r < r1; r++) look(which, r * n + c0, r * n + c1, write); };
    if (footprint(v1, v2, v3) <= machine.registers) {
      let a = -1, b = -1, c = null;
      tiles(n, v1, v2, v3, (i, i1, j, j1, k, k1) => {
        const own = i * n + j;
        if (a !== i * n + k) block(0, i, i1, k, k1, false);
        if (b !== k * n + j) block(1, k, k1, j, j1, false);
        if (c !== null && c[0] !== own) block(2, c[1], c[2], c[3], c[4], true);
        a = i * n + k; b = k * n + j;
        if (c === null || c[0] !== own) c = [own, i, i1, j, j1];
      });
      block(2, c[1], c[2], c[3], c[4], true);
    } else {
      let a = -1, b = -1, c = -1;
      const begun = new Uint8Array(n * n);
      tiles(n, v1, v2, v3, (i, i1, j, j1, k, k1) => {
        for (let x = i; x < i1; x++) for (let y = j; y < j1; y++) for (let z = k; z < k1; z++) {
          const na = x * n + z, nb = z * n + y, nc = x * n + y;
          if (a !== na && !cache.access(na >> shift, false)) missed[0]++;
          if (b !== nb && !cache.access(pages + (nb >> shift), false)) missed[1]++;
          if (c !== nc) {
            if (c >= 0) { look(2, c, c + 1, true); begun[c] = 1; }
            if (begun[nc]) look(2, nc, nc + 1, false);
          }
          a = na; b = nb; c = nc;
        }
      });
      look(2, c, c + 1, true);
    }
    cache.flush();
    return { lookups: cache.lookups, misses: cache.misses, missed, writebacks: cache.writebacks, lines: cache.misses + cache.writebacks };
  }

  /* Lengths worth trying: powers of two, and the whole. */
  function lengths(n) { const found = []; for (let v = 1; v < n; v *= 2) found.push(v); found.push(n); return found; }

  /* Every tile of these lengths: [v1, v2, v3, footprint, words moved]. */
  function sweep(n) {
    const found = [], all = lengths(n);
    for (const v1 of all) for (const v2 of all) for (const v3 of all) found.push([v1, v2, v3, footprint(v1, v2, v3), accesses(n, v1, v2, v3)]);
    return found.sort((a, b) => a[3] - b[3] || a[4] - b[4]);
  }
  function pareto(found) {
    const front = [];
    for (const point of found) if (!front.length || point[4] < front[front.length - 1][4]) front.push(point);
    return front;
  }

  /* The tiles that move least and fit: every v1 and v2 with v3 = 1 and v3 = n, which no other v3 beats. */
  function best(n, budget) {
    let found = null;
    for (const v3 of [1, n]) for (let v1 = 1; v1 <= n; v1++) for (let v2 = 1; v2 <= n; v2++) {
      const words = footprint(v1, v2, v3);
      if (words > budget) break;
      const moved = accesses(n, v1, v2, v3);
      if (!found || moved < found.moved || (moved === found.moved && words < found.words)) found = { v1, v2, v3, words, moved };
    }
    return found;
  }
  return { formulas, footprint, exact, accesses, tiles, execute, Cache, onCache, lengths, sweep, pareto, best };
})();

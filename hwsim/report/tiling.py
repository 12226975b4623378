"""The tiled product as text, CSV and plain data."""

from __future__ import annotations

import textwrap
from typing import Any

from hwsim.count.tiling import Tiled, best_tiles, pareto
from hwsim.energy.account import energy_pj, pj_per_byte
from hwsim.energy.tables import table_for
from hwsim.errors import HwsimError, UnknownName
from hwsim.parts.dram import Dram
from hwsim.report.tables import WIDTH, text_table
from hwsim.spec.machine import Machine, Memory
from hwsim.units import DTYPE_BYTES, seconds_text, size_text

SCHEMA = "hwsim.tiling/1"
MOST_ROWS = 24


def tiling_text(tiled: Tiled) -> str:
    """The loops before and after, and every count three ways."""
    rows = [[name, formula, f"{value:,.10g}", f"{tiled.closed[name]:,}", "-" if tiled.executed is None else f"{tiled.executed[name]:,}"]
            for name, (formula, value) in tiled.formulas.items()]
    lines = [f"C[{tiled.m}][{tiled.n}] += A[{tiled.m}][{tiled.k}] * B[{tiled.k}][{tiled.n}]", "", *_loops(tiled), "",
             text_table(["words", "formula", "value", "exact", "executed"], rows), "",
             f"footprint     {tiled.footprint:,} words",
             f"DRAM accesses {tiled.accesses:,} words, {_untiled(tiled) / tiled.accesses:.3g} times fewer than untiled"]
    return "\n".join([*lines, *_why(tiled)])


def _untiled(tiled: Tiled) -> int:
    return 2 * tiled.m * tiled.n * tiled.k + tiled.m * tiled.n


def _loops(tiled: Tiled) -> list[str]:
    before = ["before:", f"for m in 0..{tiled.m}:", f"  for n in 0..{tiled.n}:", f"    for k in 0..{tiled.k}:",
              "      C[m][n] += A[m][k] * B[k][n]"]
    after = ["after:", f"for m0 in 0..{tiled.m} step {tiled.v1}:", f"  for n0 in 0..{tiled.n} step {tiled.v2}:",
             f"    # C[{tiled.v1}][{tiled.v2}] in registers", f"    for k0 in 0..{tiled.k} step {tiled.v3}:",
             f"      # load A[{tiled.v1}][{tiled.v3}], B[{tiled.v3}][{tiled.v2}]", "      for m, n, k of the tiles:",
             "        C[m][n] += A[m][k] * B[k][n]"]
    before += [""] * (len(after) - len(before))
    return [f"{left:<36}{right}".rstrip() for left, right in zip(before, after, strict=True)]


def _why(tiled: Tiled) -> list[str]:
    """Reasons where the exact count is not the formula's value."""
    reasons = []
    if any(size % tile for size, tile in ((tiled.m, tiled.v1), (tiled.n, tiled.v2))):
        reasons.append("ragged: the last tile is smaller, but its loads are whole rows and columns")
    if tiled.v3 == tiled.k:
        reasons.append("with v3 = k the tile of A stays while n advances, so it is not loaded again")
    return [piece for reason in reasons for piece in textwrap.wrap(f"exact is not the formula: {reason}", WIDTH, subsequent_indent="  ")]


def memory_for(machine: Machine, name: str | None) -> tuple[str, int]:
    """(memory, bytes) that tiles must fit: the named one, else the largest explicit memory on chip.

    Raises UnknownName, or HwsimError for a cache, which nobody can place tiles in.
    """
    explicit = {part: memory for part, memory in machine.memories.items() if memory.management == "explicit"}
    if name is None:
        chosen = max(explicit, key=lambda part: explicit[part].capacity)
        return chosen, explicit[chosen].capacity
    if name not in machine.memories:
        raise UnknownName(f"memory of {machine.name}", name, explicit)
    if name not in explicit:
        raise HwsimError(f"{machine.name}: {name} is {machine.memories[name].management}; expected one of {', '.join(explicit)}")
    return name, explicit[name].capacity


def machine_text(tiled: Tiled, machine: Machine, memory: str | None) -> str:
    """The tiles on a machine, beside the best that fit the memory."""
    level, capacity = memory_for(machine, memory)
    words = capacity // DTYPE_BYTES[machine.dtype]
    rows = [_machine_row(name, tiles, machine, level, words)
            for name, tiles in (("these", tiled), ("best", best_tiles(tiled.m, tiled.n, tiled.k, words)))]
    head = ["tiles", "v1,v2,v3", level, "DRAM words", "DRAM energy", "at least", "bound by"]
    title = f"on {machine.name} ({machine.dtype}), {level} of {size_text(capacity)}, {words:,} words:"
    return "\n".join(["", title, "", text_table(head, rows)])


def cost(tiled: Tiled, machine: Machine) -> dict[str, float]:
    """DRAM energy, energy of arithmetic in pJ, and the least seconds by DRAM and by the multipliers."""
    moved = tiled.accesses * DTYPE_BYTES[machine.dtype]
    memory: Memory = machine.memories[machine.dram_name]
    work = tiled.m * tiled.n * tiled.k
    rate = machine.part(machine.dram_name, Dram).bandwidth.bytes_per_cycle(machine.clock_hz) * machine.clock_hz
    return {"dram_pj": moved * pj_per_byte(memory, table_for(machine.process_nm)),
            "compute_pj": sum(energy_pj(machine, machine.dtype, tiled.nest.stage.operations, {}).values()),
            "dram_seconds": moved / rate, "compute_seconds": work / machine.compute.peak_macs_per_cycle(machine.dtype) / machine.clock_hz}


def _machine_row(name: str, tiled: Tiled, machine: Machine, level: str, words: int) -> list[str]:
    spent = cost(tiled, machine)
    seconds = max(spent["dram_seconds"], spent["compute_seconds"])
    fits = f"{tiled.footprint / words:.0%}" if tiled.footprint <= words else f"{tiled.footprint / words:.3g}x: no"
    energy = f"{spent['dram_pj'] / 1e6:.4g} uJ"
    return [name, f"{tiled.v1},{tiled.v2},{tiled.v3}", fits, f"{tiled.accesses:,}", energy, seconds_text(seconds),
            "DRAM" if spent["dram_seconds"] > spent["compute_seconds"] else "multipliers"]


def sweep_text(tiles: list[Tiled]) -> str:
    """The Pareto front of footprint and accesses."""
    front = pareto(tiles)
    shown = front if len(front) <= MOST_ROWS else front[:: -(-len(front) // MOST_ROWS)]
    rows = [[f"{tiled.v1},{tiled.v2},{tiled.v3}", f"{tiled.footprint:,}", f"{tiled.accesses:,}", f"{_untiled(tiled) / tiled.accesses:.3g}"]
            for tiled in shown]
    some = f", {len(rows)} of them:" if len(shown) < len(front) else ":"
    head = f"\n{len(tiles)} tiles tried (powers of two in long dims), {len(front)} on the Pareto front{some}"
    return "\n".join([head, "", text_table(["v1,v2,v3", "footprint", "DRAM accesses", "times fewer"], rows, left=1)])


def sweep_csv(tiles: list[Tiled]) -> str:
    """Every tile tried: footprint and accesses in words, and whether another beats it."""
    front = set(pareto(tiles))
    rows = [f"{tiled.v1},{tiled.v2},{tiled.v3},{tiled.footprint},{tiled.accesses},{int(tiled in front)}" for tiled in tiles]
    return "\n".join(["v1,v2,v3,footprint_words,dram_words,pareto", *rows]) + "\n"


def tiling_document(tiled: Tiled, machine: Machine | None, memory: str | None, tiles: list[Tiled]) -> dict[str, Any]:
    """Everything as plain data."""
    document: dict[str, Any] = {
        "schema": SCHEMA, "m": tiled.m, "n": tiled.n, "k": tiled.k, "tiles": [tiled.v1, tiled.v2, tiled.v3],
        "formulas": {name: value for name, (_, value) in tiled.formulas.items()}, "exact": tiled.closed, "executed": tiled.executed,
        "footprint_words": tiled.footprint, "dram_words": tiled.accesses}
    if machine is not None:
        level, capacity = memory_for(machine, memory)
        best = best_tiles(tiled.m, tiled.n, tiled.k, capacity // DTYPE_BYTES[machine.dtype])
        document["machine"] = {"name": machine.name, "memory": level, "capacity_bytes": capacity, **cost(tiled, machine),
                               "best": {"tiles": [best.v1, best.v2, best.v3], "footprint_words": best.footprint,
                                        "dram_words": best.accesses, **cost(best, machine)}}
    if tiles:
        front = set(pareto(tiles))
        document["sweep"] = [{"tiles": [other.v1, other.v2, other.v3], "footprint_words": other.footprint, "dram_words": other.accesses,
                              "pareto": other in front} for other in tiles]
    return document


def sweep_files(tiled: Tiled, tiles: list[Tiled], machine: Machine | None, memory: str | None) -> dict[str, str | bytes]:
    """sweep.csv and the plot of footprint against accesses."""
    from hwsim.report.plots import close, png, svg, tiling_plot

    budget = None
    if machine is not None:
        level, capacity = memory_for(machine, memory)
        budget = (f"{machine.name} {level}", capacity // DTYPE_BYTES[machine.dtype])
    figure = tiling_plot([other.footprint for other in tiles], [other.accesses for other in tiles],
                         [(other.footprint, other.accesses) for other in pareto(tiles)],
                         f"Tiles of the {tiled.m} x {tiled.n} x {tiled.k} product", budget)
    files: dict[str, str | bytes] = {"sweep.csv": sweep_csv(tiles), "sweep.svg": svg(figure), "sweep.png": png(figure)}
    close({"sweep": figure})
    return files

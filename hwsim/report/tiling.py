"""The tiled product as text, CSV and plain data."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from math import log
from typing import Final, cast

from hwsim.choose.tiled import Room, Tried, best_on, memories_of, reads_of, room_on, simulated
from hwsim.count.tiling import MOST_EXECUTED, Tiled, pareto
from hwsim.describe.machine import Machine, Memory
from hwsim.describe.units import DTYPE_BYTES, seconds_text, si, size_text
from hwsim.energy.account import energy_pj, pj_per_byte
from hwsim.energy.tables import table_for
from hwsim.parts.cache import Cache
from hwsim.parts.dram import Dram
from hwsim.report.text_table import WIDTH, text_table
from hwsim.results.result import LayerResult
from hwsim.results.schemas import ServedDocument, TilesCostDocument, TilingDocument

SCHEMA: Final = "hwsim.tiling/1"
MOST_ROWS = 24
ACROSS, DOWN = 66, 18  # characters of the picture


def tiling_text(tiled: Tiled, outside: str = "DRAM accesses") -> str:
    """The loops before and after, and every count three ways.

    outside: what words are that the tiles' memory takes in and lets out.
    """
    rows = [
        [
            name,
            formula,
            f"{value:,.10g}",
            f"{tiled.closed[name]:,}",
            "-" if tiled.executed is None else f"{tiled.executed[name]:,}",
        ]
        for name, (formula, value) in tiled.formulas.items()
    ]
    lines = [
        f"C[{tiled.m}][{tiled.n}] += A[{tiled.m}][{tiled.k}] * B[{tiled.k}][{tiled.n}]",
        "",
        *_loops(tiled),
        "",
        text_table(["words", "formula", "value", "exact", "executed"], rows),
        "",
        f"footprint     {tiled.footprint:,} words",
        f"{outside} {tiled.accesses:,} words, {_untiled(tiled) / tiled.accesses:.3g} times fewer "
        f"than untiled",
    ]
    return "\n".join([*lines, *_why(tiled)])


def _untiled(tiled: Tiled) -> int:
    return 2 * tiled.m * tiled.n * tiled.k + tiled.m * tiled.n


def _loops(tiled: Tiled) -> list[str]:
    before = [
        "before:",
        f"for m in 0..{tiled.m}:",
        f"  for n in 0..{tiled.n}:",
        f"    for k in 0..{tiled.k}:",
        "      C[m][n] += A[m][k] * B[k][n]",
    ]
    after = [
        "after:",
        f"for m0 in 0..{tiled.m} step {tiled.v1}:",
        f"  for n0 in 0..{tiled.n} step {tiled.v2}:",
        f"    # C[{tiled.v1}][{tiled.v2}] in registers",
        f"    for k0 in 0..{tiled.k} step {tiled.v3}:",
        f"      # load A[{tiled.v1}][{tiled.v3}], B[{tiled.v3}][{tiled.v2}]",
        "      for m, n, k of the tiles:",
        "        C[m][n] += A[m][k] * B[k][n]",
    ]
    before += [""] * (len(after) - len(before))
    return [f"{left:<36}{right}".rstrip() for left, right in zip(before, after, strict=True)]


def _why(tiled: Tiled) -> list[str]:
    """Reasons where the exact count is not the formula's value."""
    reasons = []
    if any(size % tile for size, tile in ((tiled.m, tiled.v1), (tiled.n, tiled.v2))):
        reasons.append("ragged: the last tile is smaller, but its loads are whole rows and columns")
    if tiled.v3 == tiled.k:
        reasons.append(
            "with v3 = k the tile of A stays while n advances, so it is not loaded again"
        )
    lines = [f"exact is not the formula: {reason}" for reason in reasons]
    if tiled.executed is None:
        work = si(tiled.m * tiled.n * tiled.k)
        lines.append(
            f"executed: - as it takes {work} iterations, and {si(MOST_EXECUTED)} are the most"
        )
    return [piece for line in lines for piece in textwrap.wrap(line, WIDTH, subsequent_indent="  ")]


def machine_text(tiled: Tiled, machine: Machine, memory: str | None) -> str:
    """The tiles on a machine, beside the best that fit the memory.

    With caches, it says what each memory serves.
    """
    room = room_on(machine, memory)
    level = room.memory
    title = (
        f"on {machine.name} ({machine.dtype}), {level} of {size_text(room.capacity)}, "
        f"{room.words:,} words"
    )
    pairs = (("these", tiled), ("best", best_on(tiled, machine, room)))
    if machine.management == "explicit":
        rows = [_machine_row(name, tiles, machine, room) for name, tiles in pairs]
        head = ["tiles", "v1,v2,v3", level, "DRAM words", "DRAM energy", "at least", "bound by"]
        return "\n".join(["", f"{title}:", "", text_table(head, rows)])
    runs = [(name, tiles, simulated(tiles, machine)) for name, tiles in pairs]
    levels = memories_of(machine)
    head = ["tiles", "v1,v2,v3", level, "words in", *levels, "time"]
    rows = [
        [
            name,
            f"{tiles.v1},{tiles.v2},{tiles.v3}",
            _share(tiles, room),
            si(sum(tiles.loads)),
            *served(run, levels),
        ]
        for name, tiles, run in runs
    ]
    notes = [f"{name}: {run}" for name, _, run in runs if isinstance(run, str)]
    what = (
        f"best: the fewest words in, of tiles that fit. words in: loads of A and B by the "
        f"formula; then what each memory serves, "
        f"simulated{cores_text(machine)}: {units_text(machine, levels)}"
    )
    lines = [line for note in (what, *notes) for line in textwrap.wrap(note, WIDTH)]
    parts = ["", f"{title}:", "", text_table(head, rows), "", *lines]
    missed = _missed(runs, levels) if machine.management == "implicit" else []
    if missed:
        caches = levels[:-1]
        parts += ["", "lines that each cache missed, by array:", ""]
        parts += [text_table(["tiles", "array", *caches], missed)]
    return "\n".join(parts)


def _missed(runs: list[tuple[str, Tiled, LayerResult | str]], levels: list[str]) -> list[list[str]]:
    """A row for each array of each run: what the next level was read for."""
    rows = []
    for name, _, run in runs:
        if isinstance(run, str):
            continue
        (stage,) = run.online
        for array in ("A", "B", "C"):
            counts = [stage.accesses.get(level, {}).get(array) for level in levels[1:]]
            rows.append([name, array, *(si(found.reads if found else 0) for found in counts)])
    return rows


def served(run: LayerResult | str, levels: list[str]) -> list[str]:
    if isinstance(run, str):
        return ["-" for _ in (*levels, "time")]
    return [*(si(reads_of(run, level)) for level in levels), seconds_text(run.seconds)]


def cores_text(machine: Machine) -> str:
    return " on one core" if machine.management == "implicit" else ""


def units_text(machine: Machine, levels: list[str]) -> str:
    """What a number of each memory counts."""
    lines = [part for level in levels if isinstance(part := machine.parts[level], Cache)]
    cached = [level for level in levels if machine.memories[level].management != "explicit"]
    words = [level for level in levels if level not in cached]
    return (
        f"{', '.join(words)} words, " * bool(words)
        + f"{', '.join(cached)} lines of {lines[-1].line} bytes"
    )


def _share(tiled: Tiled, room: Room) -> str:
    share = room.share(tiled)
    return f"{share:.0%}" if share <= 1 else f"{share:.3g}x: no"


def cost(tiled: Tiled, machine: Machine) -> dict[str, float]:
    """DRAM energy and arithmetic's in pJ, and the least seconds by DRAM and by multipliers."""
    moved = tiled.accesses * DTYPE_BYTES[machine.dtype]
    memory: Memory = machine.memories[machine.dram_name]
    work = tiled.m * tiled.n * tiled.k
    rate = (
        machine.part(machine.dram_name, Dram).bandwidth.bytes_per_cycle(machine.clock_hz)
        * machine.clock_hz
    )
    return {
        "dram_pj": moved * pj_per_byte(memory, table_for(machine.process_nm)),
        "compute_pj": sum(
            energy_pj(machine, machine.dtype, tiled.nest.stage.operations, {}).values()
        ),
        "dram_seconds": moved / rate,
        "compute_seconds": work
        / machine.compute.peak_macs_per_cycle(machine.dtype)
        / machine.clock_hz,
    }


def _machine_row(name: str, tiled: Tiled, machine: Machine, room: Room) -> list[str]:
    spent = cost(tiled, machine)
    seconds = max(spent["dram_seconds"], spent["compute_seconds"])
    accesses = f"{tiled.accesses:,}" if tiled.accesses < 10**12 else f"{tiled.accesses:.4g}"
    energy = f"{spent['dram_pj'] / 1e6:.4g} uJ"
    return [
        name,
        f"{tiled.v1},{tiled.v2},{tiled.v3}",
        _share(tiled, room),
        accesses,
        energy,
        seconds_text(seconds),
        "DRAM" if spent["dram_seconds"] > spent["compute_seconds"] else "multipliers",
    ]


def sweep_text(tiles: list[Tiled]) -> str:
    """The Pareto front of footprint and accesses."""
    front = pareto(tiles)
    shown = front if len(front) <= MOST_ROWS else front[:: -(-len(front) // MOST_ROWS)]
    rows = [
        [
            f"{tiled.v1},{tiled.v2},{tiled.v3}",
            f"{tiled.footprint:,}",
            f"{tiled.accesses:,}",
            f"{_untiled(tiled) / tiled.accesses:.3g}",
        ]
        for tiled in shown
    ]
    some = f", {len(rows)} of them:" if len(shown) < len(front) else ":"
    head = (
        f"\n{len(tiles)} tiles tried (powers of two in long dims), {len(front)} on the Pareto "
        f"front{some}"
    )
    table = text_table(["v1,v2,v3", "footprint", "DRAM accesses", "times fewer"], rows, left=1)
    return "\n".join([head, "", table, "", *_picture(tiles, front)])


def _picture(tiles: list[Tiled], front: list[Tiled]) -> list[str]:
    """Footprint across, accesses down, both by their logarithm: * on the front, . elsewhere."""
    wide, high = (
        _scale([tiled.footprint for tiled in tiles], ACROSS),
        _scale([tiled.accesses for tiled in tiles], DOWN),
    )
    grid = [[" "] * ACROSS for _ in range(DOWN)]
    for mark, drawn in ((".", tiles), ("*", front)):
        for tiled in drawn:
            grid[DOWN - 1 - high(tiled.accesses)][wide(tiled.footprint)] = mark
    most, least = (si(pick(tiled.accesses for tiled in tiles)) for pick in (max, min))
    lines = [f"{'':>8} |{''.join(row)}".rstrip() for row in grid]
    lines[0] = f"{most:>8} |{''.join(grid[0])}".rstrip()
    lines[-1] = f"{least:>8} |{''.join(grid[-1])}".rstrip()
    ends = [si(pick(tiled.footprint for tiled in tiles)) for pick in (min, max)]
    axis = f"{'':>8} +{'-' * ACROSS}"
    below = f"{'':>10}{ends[0]}{'words held':^{ACROSS - len(ends[0]) - len(ends[1])}}{ends[1]}"
    return ["DRAM accesses; * is the Pareto front", *lines, axis, below]


def _scale(values: list[int], places: int) -> Callable[[int], int]:
    """From a value to its place, by the logarithm."""
    low, high = log(min(values)), log(max(values))
    return lambda value: round((log(value) - low) / (high - low or 1.0) * (places - 1))


def sweep_csv(tiles: list[Tiled]) -> str:
    """Every tile tried: footprint and accesses in words, and whether another beats it."""
    front = set(pareto(tiles))
    rows = [
        f"{tiled.v1},{tiled.v2},{tiled.v3},{tiled.footprint},{tiled.accesses},{int(tiled in front)}"
        for tiled in tiles
    ]
    return "\n".join(["v1,v2,v3,footprint_words,dram_words,pareto", *rows]) + "\n"


def tiling_document(
    tiled: Tiled,
    machine: Machine | None,
    memory: str | None,
    tiles: list[Tiled],
    tried: Tried | None = None,
) -> TilingDocument:
    """Everything as plain data."""
    document: TilingDocument = {
        "schema": SCHEMA,
        "m": tiled.m,
        "n": tiled.n,
        "k": tiled.k,
        "tiles": [tiled.v1, tiled.v2, tiled.v3],
        "formulas": {name: value for name, (_, value) in tiled.formulas.items()},
        "exact": tiled.closed,
        "executed": tiled.executed,
        "footprint_words": tiled.footprint,
        "dram_words": tiled.accesses,
    }
    if machine is not None:
        room = room_on(machine, memory)
        best = best_on(tiled, machine, room)
        document["machine"] = {
            "name": machine.name,
            "memory": room.memory,
            "capacity_bytes": room.capacity,
            **_machine_document(tiled, machine),
            "best": {
                "tiles": [best.v1, best.v2, best.v3],
                "footprint_words": best.footprint,
                **_machine_document(best, machine),
            },
        }
    if tried is not None:
        document["tried"] = [
            {
                "tiles": [other.v1, other.v2, other.v3],
                "footprint_words": other.footprint,
                **_run_document(other, run),
            }
            for other, run in tried.runs
        ]
        document["best_by"] = {
            name: [best.v1, best.v2, best.v3] for name, best in tried.best_by().items()
        }
    if tiles:
        front = set(pareto(tiles))
        document["sweep"] = [
            {
                "tiles": [other.v1, other.v2, other.v3],
                "footprint_words": other.footprint,
                "dram_words": other.accesses,
                "pareto": other in front,
            }
            for other in tiles
        ]
    return document


def _machine_document(tiled: Tiled, machine: Machine) -> TilesCostDocument:
    """Explicit machines: DRAM words and their cost.

    Others: words that enter the registers, and what each memory served.
    """
    if machine.management == "explicit":
        return cast(TilesCostDocument, {"dram_words": tiled.accesses, **cost(tiled, machine)})
    return _run_document(tiled, simulated(tiled, machine))


def _run_document(tiled: Tiled, run: LayerResult | str) -> TilesCostDocument:
    if isinstance(run, str):
        return {"words_in": sum(tiled.loads), "simulated": None, "note": run}
    (stage,) = run.online
    served: dict[str, ServedDocument] = {
        level: {
            "reads": sum(access.reads for access in tensors.values()),
            "read_bytes": sum(access.read_bytes for access in tensors.values()),
        }
        for level, tensors in stage.accesses.items()
    }
    return {"words_in": sum(tiled.loads), "simulated": {"seconds": run.seconds, "served": served}}


def sweep_files(
    tiled: Tiled, tiles: list[Tiled], machine: Machine | None, memory: str | None
) -> dict[str, str | bytes]:
    """sweep.csv and the plot of footprint against accesses."""
    from hwsim.report import vega
    from hwsim.report.sweep import sweep_chart

    budget = None
    if machine is not None:
        room = room_on(machine, memory)
        budget = (f"{machine.name} {room.memory}", room.words)
    drawing = vega.svg(
        sweep_chart(
            [other.footprint for other in tiles],
            [other.accesses for other in tiles],
            [(other.footprint, other.accesses) for other in pareto(tiles)],
            f"Tiles of the {tiled.m} x {tiled.n} x {tiled.k} product",
            budget,
        )
    )
    return {
        "sweep.csv": sweep_csv(tiles),
        "sweep.svg": drawing,
        "sweep.png": vega.png(drawing),
    }

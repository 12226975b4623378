"""Loop tiling: the matrix product whose tiles decide what moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar

from hwsim.choose.tiled import run_tiled
from hwsim.count.tiling import Tiled, pareto, sweep
from hwsim.describe.catalog import data_folder
from hwsim.describe.machine import Machine, load_machine
from hwsim.errors import HwsimError
from hwsim.parts.cache import Cache
from hwsim.report.text_table import text_table
from hwsim.report.tiling import machine_text, tiling_text
from hwsim.teach import LESSONS
from hwsim.teach.content import Command, Loops, Problem, Step, Table, Widget

SIZE = 64  # of the product that is simulated
TILES = (8, 8, 4)
POWERS = (1, 2, 4, 8, 16, 32, 64)
SECTOR_WORDS = 8  # 32 bytes of fp32
STEPS = (1, 4, 16, 64)
SMALL, SMALL_TILES = 8, (4, 4, 2)  # of the product that is gone through word by word
MOVED = ("A loads", "B loads", "C stores")

UNTILED = """\
for i in 0..n:
  for j in 0..n:
    c = 0
    for k in 0..n:
      c += A[i][k] * B[k][j]
    C[i][j] = c"""
TILED = """\
for i0 in 0..n step v1:
  for j0 in 0..n step v2:
    # hold C[v1][v2]
    for k0 in 0..n step v3:
      # load A[v1][v3], B[v3][v2]
      for i, j, k of the tiles:
        C[i][j] += A[i][k] * B[k][j]"""


class Tiling:
    """The lecture's matrix product, untiled and tiled, on every kind of memory."""

    title = "Loop tiling"
    question = "Why does the textbook's product move hundreds of times more data than it has to?"
    place = 1
    topics: ClassVar[dict[str, int]] = {
        "untiled product": 1,
        "tiled product, its formulas": 2,
        "loop tiling: local memory for reuse": 4,
        "memory access is the bottleneck": 1,
        "Pareto front": 5,
    }

    def steps(self) -> Iterator[Step]:
        yield Step(
            "The textbook's loops",
            "Two matrices of n x n words are multiplied. Each of the n³ iterations reads a word "
            "of A and a word of B, and nothing is kept but the sum. So **n³ words of A and n³ "
            "words of B** come from DRAM, though A and B have only n² words each. Every word is "
            "fetched n times.",
            (_untiled_table(),),
        )
        yield Step(
            "Keep a tile, use it often",
            "Cut the loops. Hold a tile of v1 x v2 sums. Load v3 columns of A's rows and v3 rows "
            "of B's columns, and multiply all of them with each other. A word of A is now used "
            "v2 times for each load, a word of B v1 times.",
            (Loops(UNTILED, TILED), *_formulas()),
        )
        yield Step(
            "Watch it happen",
            "A product of 8 x 8. Step through it and see which words are held, which are "
            "multiplied, and when a load is due. Then run it untiled and compare the counters.",
            (_touch(),),
        )
        yield Step(
            "Choose the tiles",
            "Now n and the tiles are yours. *Formula* is the lecture's. *Exact* also knows "
            "ragged tiles, and tiles that are there already. *Executed* runs the loops on this "
            "page and counts each load.\n\nThe cache is another matter: nobody tells it what to "
            "keep. It sees addresses, and its lines are shared by whatever falls into the same "
            "set. Try tiles of 4, 4, 4 at n = 64 and at n = 48: the scratchpad moves 11 and 8 "
            "times the least, the cache 26 and 10. Rows of 64 words fall into a quarter of its "
            "sets. (It has 1,024 words, four times the registers: where all three matrices fit, "
            "it moves least.)",
            (_controls(), Command("hwsim tile --n 64 --tiles 8,8,4 --machine toy-cpu")),
        )
        yield Step(
            "How good can it get?",
            "More registers buy less traffic, and the best tiles for each size form a front. On "
            "it, v3 is 1 and v1 is about v2: a step of k needs no more than a column of A and a "
            "row of B, and a square tile of C is used best. **Four times the registers halve the "
            "traffic.**",
            (_front(), Command("hwsim tile --n 1024 --tiles 32,32,8 --machine tpu-v1 --sweep")),
        )
        yield Step(
            "Does hardware agree?",
            "Kernels with stated tiles ran on an H200, and its counters say how many sectors of "
            "32 bytes their blocks loaded from global memory. The formula gives the same numbers "
            "to the digit, on every one of the 48 tiled kernels. Time is another matter: the "
            "largest tiles leave room for one block on a multiprocessor, and nobody hides what "
            "it waits for.",
            (_measured(), Command("hwsim validate h200-tiled-gemm")),
        )

    def problems(self) -> tuple[Problem, ...]:
        best = min(
            (tiled for tiled in sweep(SIZE, SIZE, SIZE) if tiled.footprint <= 128),
            key=lambda tiled: tiled.accesses,
        )
        return (
            Problem(
                "A core has 128 words of registers, and n = 64. Someone takes v1 = v2 = v3 = 6, "
                "which fits. Which tiles of powers of two move less, and why?",
                f"v1, v2, v3 = {best.v1}, {best.v2}, {best.v3} takes {best.footprint} words and "
                f"moves {best.accesses:,}; 6, 6, 6 takes 108 and moves "
                f"{Tiled(SIZE, SIZE, SIZE, 6, 6, 6).accesses:,}. A larger v3 only costs room: "
                "neither n³/v2 nor n³/v1 has v3 in it.",
            ),
            Problem(
                "On a GPU each block holds a tile of C in registers and copies tiles of A and B to "
                "shared memory. By the formulas, how many words of A and B do the blocks load for "
                "n = 4096 and tiles of 128 x 128? How many times is that what A and B have?",
                f"2 n³ / 128 = {2 * 4096**3 // 128:,} words. A and B have {2 * 4096**2:,} "
                "together, so it is 32 times the least: each word of A is loaded once for each "
                "of the 4096/128 = 32 tiles of columns. The L2 cache turns most of that into "
                "hits.",
            ),
        )


def _untiled_table() -> Table:
    rows = []
    for n in (64, 1024):
        tiled = Tiled(n, n, n, 1, 1, 1)
        least = 3 * n * n
        rows.append(
            [
                f"{n}",
                f"{n**3:,}",
                f"{tiled.accesses:,}",
                f"{least:,}",
                f"{tiled.accesses / least:.0f}",
            ]
        )
    head = ["n", "multiplications", "words moved", "least possible", "times too many"]
    return Table(head, rows, "Words moved: n³ of A, n³ of B, n² of C.", left=0)


def _formulas() -> tuple[Table, Command]:
    tiled = Tiled(1024, 1024, 1024, 32, 32, 8)
    rows = [
        [
            name,
            formula.replace("M N K", "n³").replace("M N", "n²"),
            f"{value:,.0f}",
            f"{tiled.closed[name]:,}",
        ]
        for name, (formula, value) in tiled.formulas.items()
    ]
    table = Table(
        ["words", "formula", "value", "exact"], rows, "n = 1024, tiles 32, 32, 8.", left=2
    )
    return table, Command("hwsim tile --n 1024 --tiles 32,32,8")


def _touch() -> Widget:
    return Widget(
        "touch",
        "a tiled product, word by word",
        lambda: {"n": SMALL, "tiles": SMALL_TILES},
        _touched,
    )


def _touched() -> str:
    rows = []
    for tiles in ((1, 1, 1), SMALL_TILES, (3, 3, 2)):
        ran = Tiled(SMALL, SMALL, SMALL, *tiles).executed or {}
        rows.append([", ".join(map(str, tiles)), *(f"{ran[name]:,}" for name in MOVED)])
    table = text_table(["tiles", *MOVED], rows, left=1)
    return f"a product of {SMALL} x {SMALL}, executed:\n\n{table}"


def _controls() -> Widget:
    return Widget("tiling", "the tiled product under sliders", _moved, _default)


def _default() -> str:
    tiled = Tiled(SIZE, SIZE, SIZE, *TILES)
    counts = tiling_text(tiled, "words in and out")
    return f"{counts}\n{machine_text(tiled, load_machine('toy-cpu'), None)}"


def _moved() -> dict[str, Any]:
    """What the page cannot count itself: the cache's sizes, the GPU's runs, measured counters."""
    machine = load_machine("toy-cpu")
    lines = machine.part("cache", Cache)
    return {
        "cache": {"capacity": lines.capacity, "line": lines.line, "ways": lines.ways},
        "size": SIZE,
        "gpu": gpu_runs(),
        "measured": _counters(),
    }


@cache
def gpu_runs() -> dict[str, tuple[int, int]]:
    """Words of a product of SIZE that leave the SMs of toy-gpu, and to and from its DRAM.

    They are by tiles of powers of two whose block fits.
    """
    machine = load_machine("toy-gpu")
    found = {}
    for v1 in POWERS:
        for v2 in POWERS:
            for v3 in STEPS:
                tiled = Tiled(SIZE, SIZE, SIZE, v1, v2, v3)
                words = _on_gpu(tiled, machine)
                if words is not None:
                    found[f"{v1},{v2},{v3}"] = words
    return found


def _on_gpu(tiled: Tiled, machine: Machine) -> tuple[int, int] | None:
    try:
        run = run_tiled(tiled, machine)
    except HwsimError:  # the block does not fit
        return None
    (stage,) = run.online
    shared = stage.accesses["shared"]
    leaves = sum(shared[name].writes for name in ("A", "B")) + tiled.m * tiled.n
    return leaves, run.dram_bytes // 4


def _front() -> Table:
    front = pareto(sweep(1024, 1024, 1024))
    rows = [
        [f"{tiled.v1}, {tiled.v2}, {tiled.v3}", f"{tiled.footprint:,}", f"{tiled.accesses:,}"]
        for tiled in front
        if tiled.v1 == tiled.v2 and tiled.v3 == 1
    ]
    return Table(
        ["v1, v2, v3", "words held", "words moved"], rows, "n = 1024: square tiles on the front."
    )


def _counters() -> list[tuple[int, float, str]]:
    """Counts of tiles on an H200: words held, words loaded a multiplication, a label.

    Each tile was measured once; words held are a block's.
    """
    found = {}
    for row in _tiled_rows():
        m, n, k = (row[name] for name in ("M", "N", "K"))
        bm, bn, bk = (row[name] for name in ("BM", "BN", "BK"))
        rate = row["l1_global_load_sectors"] * SECTOR_WORDS / (m * n * k)
        found[bm, bn, bk] = (
            bm * bk + bn * bk + bm * bn,
            rate,
            f"tiles {bm}, {bn}, {bk}: {rate:.4g} words for each multiplication, measured",
        )
    return list(found.values())


def _tiled_rows() -> list[dict[str, int]]:
    path = data_folder("reference") / "h200_tiled_gemm.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return [row for row in rows if row["kernel"] == "tiled"]


def _measured() -> Table:
    rows = []
    for row in _tiled_rows():
        size = row["M"]
        if (row["M"], row["N"], row["K"]) != (2048, 2048, 2048):
            continue
        tiled = Tiled(size, size, size, row["BM"], row["BN"], row["BK"])
        words = row["l1_global_load_sectors"] * SECTOR_WORDS
        rows.append(
            [
                f"{tiled.v1}, {tiled.v2}, {tiled.v3}",
                f"{sum(tiled.loads):,}",
                f"{words:,}",
                f"{row['time_ns'] / 1e3:,.0f}",
            ]
        )
    rows = list({row[0]: row for row in rows}.values())
    head = ["v1, v2, v3", "formula: A + B loads", "measured", "time (us)"]
    return Table(head, rows, "2048 x 2048 x 2048 in fp32 on an H200; words of 4 bytes.")


LESSONS.register("tiling")(Tiling())

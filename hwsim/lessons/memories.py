"""One nest on implicit, mixed and explicit memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from hwsim.api import simulate
from hwsim.choose.tiled import run_tiled
from hwsim.count.tiling import Tiled
from hwsim.describe.layer import GemmLayer
from hwsim.describe.machine import load_machine
from hwsim.describe.units import seconds_text, size_text
from hwsim.report.tables import main_stall
from hwsim.report.text_table import text_table
from hwsim.teach import LESSONS
from hwsim.teach.content import Command, Problem, Step, Table, Widget

SIZE = 16  # of the animated product: a row of a matrix is a line of 64 bytes
LINES, WAYS, LINE_WORDS = 16, 4, 16  # of the animated cache
TILES = {"1,1,1": "untiled", "4,4,4": "4, 4, 4", "8,8,2": "8, 8, 2", "16,16,1": "16, 16, 1"}
FAMILIES = (
    ("CPU", "Intel, AMD, Arm", "scalars, vectors", "implicit"),
    ("GPU", "NVIDIA, AMD", "vectors, tensors", "mixed"),
    ("TPU", "Google", "tensors", "explicit"),
    ("others", "Graphcore, SambaNova, Cerebras", "tensors", "explicit"),
    ("others", "Eyeriss", "scalars in an array", "explicit"),
)
MACHINES = ("toy-cpu", "toy-gpu", "toy-systolic")


class Memories:
    """Caches that guess, scratchpads that are told, and GPUs that do both."""

    title = "Three kinds of memory"
    question = "Who decides what stays near the multipliers: the hardware, the program, or both?"
    place = 8
    topics: ClassVar[dict[str, int]] = {
        "CPU, GPU, TPU, accelerators": 1,
        "implicit, mixed, explicit": 2,
    }

    def steps(self) -> Iterator[Step]:
        yield Step(
            "Implicit, mixed, explicit",
            "A CPU's cache sees addresses and decides by itself. A TPU's scratchpad holds what "
            "the program copied there, no more and no less. A GPU does both: blocks copy tiles "
            "to shared memory, and the L2 below decides by itself.",
            (_families(), Command("hwsim list machines")),
        )
        yield Step(
            "The same nest, three times",
            f"A product of {SIZE} x {SIZE}, tile by tile; a row of a matrix is one line of "
            f"{LINE_WORDS} words. Left a cache of {LINES} lines, {WAYS} ways; in the middle a "
            "scratchpad that gets each tile by DMA; right a block's shared memory over an L2 "
            "like that cache. Follow what is there, what hits, and what moves. Untiled, B has as "
            "many lines as the cache, rows of A and C push some out, and each miss moves a whole "
            "line for one word. Tiles help all three. The cache keeps moving whole lines, so it "
            "stays behind the scratchpad.",
            (_nest(),),
        )
        yield Step(
            "The same product on three toys",
            "A product of 64 x 64 with the tiles that fit each machine. *Waits for* names the "
            "resource whose speeding-up would help most.",
            (
                _toys(),
                Command("hwsim tile --n 64 --tiles 8,8,4 --machine toy-cpu"),
                Command("hwsim run toy-systolic gemm:64,64,64"),
            ),
        )
        yield Step(
            "What each is good at",
            "A cache needs no program: untiled code runs, and a small working set costs nothing. "
            "But it moves whole lines, and two arrays may fight for a set. A scratchpad moves "
            "exactly the tile, and early, so that nobody waits; but the program must know the "
            "sizes. Make the rows of the arrays a few words longer, and the cache of toy-cpu "
            "moves well under half of what it moved:",
            (
                _padding(),
                Command("hwsim run toy-cpu gemm:64,64,64 -a direct --dataflow loops:order=ijk"),
            ),
        )

    def problems(self) -> tuple[Problem, ...]:
        return (
            Problem(
                "A cache has 16 sets of 4 ways, lines of 16 words. B has rows of 64 words. How "
                "many sets does a column of B use? How many lines of it can stay?",
                "Rows are 4 lines apart, so a column falls into every fourth set: 4 sets of 4 "
                "ways, 16 lines. The column has 64, so with LRU every line is gone before it is "
                "needed again: each access misses.",
            ),
            Problem(
                "Why does a GPU's block copy its tiles to shared memory, when there is an L1 "
                "cache that would keep them too?",
                "Shared memory holds exactly the tile and nothing pushes it out; many threads "
                "read different banks of it at once; and the copy is made early, while the last "
                "tile is multiplied. A cache would look up a tag for each access.",
            ),
        )


def _families() -> Table:
    head = ["machine", "examples", "multiplies", "memory"]
    return Table(head, FAMILIES, left=4)


def _nest() -> Widget:
    data = {"n": SIZE, "lines": LINES, "ways": WAYS, "tiles": TILES}
    return Widget("memories", "one nest on three kinds of memory", lambda: data, _nest_text)


def _nest_text() -> str:
    rows = []
    for tiles, name in TILES.items():
        v1, v2, v3 = (int(value) for value in tiles.split(","))
        tiled = Tiled(SIZE, SIZE, SIZE, v1, v2, v3)
        executed = tiled.executed or {}
        moved = sum(executed[word] for word in ("A loads", "B loads", "C stores"))
        rows.append([name, f"{moved:,}", f"{tiled.footprint:,}"])
    table = text_table(["tiles", "words by DMA", "words held"], rows, left=1)
    return f"a product of {SIZE} x {SIZE} on a scratchpad, executed:\n\n{table}"


def _toys() -> Table:
    rows = []
    for name in MACHINES:
        machine = load_machine(name)
        if name == "toy-systolic":
            layer = simulate(GemmLayer(64, 64, 64), machine, "direct").layers[0]
            tiles = "chosen"
        else:
            v1, v2, v3 = (8, 8, 4) if name == "toy-cpu" else (16, 16, 16)
            layer = run_tiled(Tiled(64, 64, 64, v1, v2, v3), machine)
            tiles = f"{v1}, {v2}, {v3}"
        rows.append(
            [
                name,
                machine.management,
                tiles,
                size_text(layer.dram_bytes),
                f"{layer.dram_ratio:.1f}",
                seconds_text(layer.seconds),
                main_stall(layer),
            ]
        )
    head = ["machine", "memory", "tiles", "DRAM", "of least", "time", "waits for"]
    return Table(
        head, rows, "toy-systolic multiplies bytes, the others words of four bytes.", left=3
    )


def _padding() -> Table:
    from hwsim.ir.tensor import Array

    rows = []
    for ld in (64, 68, 80):
        arrays = {name: Array(ld=ld) for name in "ABC"}
        run = simulate(
            GemmLayer(64, 64, 64), "toy-cpu", "direct", dataflow="loops:order=ijk", arrays=arrays
        )
        rows.append([f"{ld}", size_text(run.dram_bytes), seconds_text(run.seconds)])
    return Table(
        ["words in a row", "DRAM", "time"], rows, "64 x 64 x 64, loops ijk, on toy-cpu.", left=0
    )


LESSONS.register("memories")(Memories())

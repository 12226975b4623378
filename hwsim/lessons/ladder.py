"""The ladder: from the textbook's loops to the library, on a GPU and on a CPU core."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar

from hwsim.api import simulate
from hwsim.choose.tiled import run_tiled
from hwsim.count.tiling import Tiled
from hwsim.describe.catalog import data_folder
from hwsim.describe.layer import GemmLayer
from hwsim.describe.machine import load_machine
from hwsim.describe.units import seconds_text
from hwsim.parts.core import with_cores
from hwsim.teach import LESSONS
from hwsim.teach.content import Bars, Command, Loops, Problem, Step, Table
from hwsim.validate.zen3_loops import microseconds

SIZE = 2048
SECTOR_WORDS = 8
RUNGS = {  # tile of a block, and of a thread, of the kernels on the way up
    "a thread an output": None,
    "16 x 16 in shared memory": (16, 16, 16, 1, 1),
    "32 x 32, threads of 2 x 2": (32, 32, 32, 2, 2),
    "64 x 64, threads of 4 x 4": (64, 64, 32, 4, 4),
    "128 x 128, threads of 8 x 8": (128, 128, 8, 8, 8),
}
TYPES = ("fp32", "tf32", "fp16")
CPU_SIZE = 512
CPU_LOOPS = (
    ("ijk", 0, "ijk, the textbook"),
    ("ijk-bt", 0, "ijk, B transposed"),
    ("ikj", 0, "ikj"),
    ("tiled", 8, "ikj in tiles of 8"),
    ("tiled", 32, "ikj in tiles of 32"),
    ("tiled", 128, "ikj in tiles of 128"),
    ("reg4x4", 0, "4 x 4 sums in registers"),
)
SCALAR, VECTOR = "O2-scalar", "O3-native-fast"

NAIVE = """\
par i, j:            # a thread each
  for k in 0..n:
    c += A[i][k] * B[k][j]"""
BLOCKS = """\
par blocks of C[BM][BN]:
  for k0 in 0..n step BK:
    # copy A[BM][BK], B[BK][BN] to shared memory
    par threads of C[TM][TN]:
      for k in BK:
        # load TM + TN words, multiply TM x TN"""
IJK = """\
for i in 0..n:
  for j in 0..n:
    for k in 0..n:
      C[i][j] += A[i][k] * B[k][j]"""
IKJ = """\
for i in 0..n:
  for k in 0..n:
    for j in 0..n:     # rows of B and C
      C[i][j] += A[i][k] * B[k][j]"""


class Ladder:
    """Each rung with what changed, the counter that moved, and the model beside the measurement."""

    title = "The ladder to the library"
    question = "What takes a matrix product from a seventh of the library's speed to all of it?"
    place = 2
    topics: ClassVar[dict[str, int]] = {
        "kernels on a GPU": 1,
        "tensor cores": 3,
        "loop orders on a CPU": 5,
    }

    def steps(self) -> Iterator[Step]:
        yield Step(
            "A GPU, rung by rung",
            f"A product of {SIZE} x {SIZE} in fp32 on an H200, written by hand. First a thread "
            "for each output. Then tiles in shared memory, so that a word that left the L2 is "
            "used by a whole block. Then more outputs for each thread, so that a word that left "
            "shared memory is used several times. **It is the lecture's tiling twice: once for "
            "the block, once for the thread.**",
            (Loops(NAIVE, BLOCKS), _rungs()),
        )
        yield Step(
            "Which counter moved?",
            "Tiles of 16 x 16 cut the words that are loaded from global memory by ten, and gain "
            "almost nothing: two words of shared memory are now read for each multiplication, "
            "and that is the limit. (Without tiles the threads of a warp share what they load, "
            "so a multiplication takes 1.25 words and not two.) Threads of 2 x 2, 4 x 4 and 8 x "
            "8 halve it each time. With 8 x 8, a thread takes so many registers that only a "
            "quarter of the warps (groups of 32 threads that run together) find room, and fewer "
            "are left to hide what others wait for.",
            (_counters(), Command("hwsim validate h200-tiled-gemm")),
        )
        yield Step(
            "The library, and the other units",
            "cuBLAS has the same tiles, better scheduled: twice as fast in fp32. The rest comes "
            "from tensor cores, which multiply small matrices instead of words, in narrower "
            "types.",
            (_library(), Command("hwsim run h200 gemm:2048,2048,2048 --dtype fp16 --explain")),
        )
        yield Step(
            "Where the model is wrong",
            "hwsim counts the words of hand-written kernels to the digit. Their time it finds "
            "within a sixth: what a block does one after another, and what the other blocks of "
            "its multiprocessor fill in. Two constants of it, for the loads of a thread and the "
            "instructions around them, are fitted to these and 44 other kernels. It does not know "
            "how many registers a compiler takes: with a few more, one block fewer fits, and such "
            "a kernel takes twice as long as hwsim says. For a library's kernels it has measured "
            "constants, and is within a tenth on the products above; convolutions are further off "
            "(the lesson on products has them beside each other).",
            (_predicted(),),
        )
        yield Step(
            "A CPU core: first the order",
            f"The same product, n = {CPU_SIZE}, on one core of a Zen 3 server. The textbook's "
            "inner loop walks down a column of B, a cache line for each word. With k outside j, "
            "rows of B and C go by in order, and the compiler can use vectors. Nothing was tiled "
            "yet. (The lecture's loop reads B[j][k]: B transposed, so that both walk along rows.)",
            (Loops(IJK, IKJ), _core(VECTOR)),
        )
        yield Step(
            "On a core, tiles can hurt",
            "Tiles of 8 or 32 make ikj **slower**: it reads the rows of B in order, which the L3 "
            "cache keeps up with, and short loops leave vectors half used. At -O2, with one "
            "multiplication at a time, every tile hurts: the core is the limit, and tiles add "
            "instructions. So do the 4 x 4 sums as this compiler makes them. Tiles pay where "
            "words come from far away, as on the GPU above.\n\nA row length that is a power of "
            "two puts a whole column into a few sets of the cache, which ijk's walk down B then "
            "keeps missing. Rows that are 16 words longer make it 1.8 times as fast at -O2, and "
            "3.8 times at -O3. While it misses, -O3 is no faster than -O2: nothing that the core "
            "does matters.",
            (_padding(), Command("hwsim validate zen3-loops")),
        )

    def problems(self) -> tuple[Problem, ...]:
        return (
            Problem(
                "A thread computes 8 x 8 outputs and reads its operands from shared memory, which "
                "gives 32 words a cycle; the multiprocessor does 128 multiplications a cycle. Is "
                "shared memory the limit? What about 2 x 2 outputs?",
                "For each k a thread reads 8 + 8 words for 64 multiplications: a word for 4. "
                "With 32 words a cycle that feeds 128 multiplications: just enough. With 2 x 2 a "
                "word serves one multiplication, and shared memory feeds only 32 a cycle, a "
                "quarter of the peak.",
            ),
            Problem(
                "Why does transposing B make ijk fast, and ikj faster still?",
                "Both walk along rows. But ijk adds all products into one sum, and each addition "
                "waits for the one before. With -ffast-math the compiler splits that sum over "
                "the words of a vector, but must then add these up for every output. ikj adds to "
                "a row of C: its additions are independent, and the load and store of C go by in "
                "order.",
            ),
        )


@cache
def _data(name: str) -> list[dict[str, Any]]:
    path = data_folder("reference") / f"{name}.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


@cache
def rungs() -> dict[str, dict[str, Any]]:
    """The measured kernels on the way up, by name."""
    found = {}
    for row in _data("h200_tiled_gemm"):
        if (row["M"], row["N"], row["K"]) != (SIZE, SIZE, SIZE):
            continue
        tile = tuple(row[name] for name in ("BM", "BN", "BK", "TM", "TN"))
        for name, wanted in RUNGS.items():
            if (row["kernel"] == "naive") if wanted is None else (tile == wanted):
                found[name] = row
    return {name: found[name] for name in RUNGS}


def _library_us(dtype: str) -> float:
    (row,) = (
        row
        for row in _data("h200_gemm")
        if (row["M"], row["N"], row["K"], row["dtype"]) == (SIZE, SIZE, SIZE, dtype)
    )
    return float(row["us_warm"])


def _rungs() -> Bars:
    times: list[float | None] = [row["time_ns"] / 1e3 for row in rungs().values()]
    labels = [*rungs(), "cuBLAS, fp32"]
    return Bars(
        "Time, measured on an H200",
        labels,
        {"time": [*times, _library_us("fp32")]},
        "us",
        "reference/h200_tiled_gemm.json and h200_gemm.json.",
    )


def _counters() -> Table:
    best = _library_us("fp32")
    rows = []
    for name, row in rungs().items():
        per = SECTOR_WORDS / SIZE**3
        rows.append(
            [
                name,
                f"{row['l1_global_load_sectors'] * per:.4g}",
                f"{row['l2_read_sectors'] * per:.3f}",
                f"{1 / row['TM'] + 1 / row['TN']:.2f}" if row["kernel"] == "tiled" else "-",
                f"{row['occupancy_pct']:.0f}%",
                f"{best / (row['time_ns'] / 1e3):.0%}",
            ]
        )
    head = ["kernel", "loaded", "from L2", "shared", "warps", "speed"]
    caption = (
        "Words for each multiplication: loaded from global memory, those of them that the L1 "
        "passed on to the L2, and read from shared memory (by the tile of a thread). Warps: "
        "resident ones, of the most that there can be. Speed: of cuBLAS in fp32."
    )
    return Table(head, rows, caption)


def _library() -> Table:
    rows = []
    for dtype in TYPES:
        model = simulate(GemmLayer(SIZE, SIZE, SIZE), "h200", dtype=dtype).seconds
        measured = _library_us(dtype)
        rate = 2 * SIZE**3 / measured / 1e6
        rows.append([f"cuBLAS {dtype}", f"{measured:.0f} us", seconds_text(model), f"{rate:.0f}"])
    return Table(["kernel", "measured", "hwsim", "TFLOP/s measured"], rows)


def _predicted() -> Table:
    machine = load_machine("h200")
    rows = []
    for name, row in rungs().items():
        if row["kernel"] != "tiled":
            continue
        tiled = Tiled(SIZE, SIZE, SIZE, row["BM"], row["BN"], row["BK"])
        words = row["l1_global_load_sectors"] * SECTOR_WORDS
        run = run_tiled(tiled, machine)
        time = f"{row['time_ns'] / 1e3:.0f} us"
        rows.append(
            [
                name,
                f"{words / 1e6:.1f} M",
                f"{sum(tiled.loads) / 1e6:.1f} M",
                time,
                seconds_text(run.seconds),
            ]
        )
    head = ["kernel", "words loaded", "hwsim", "time", "hwsim"]
    return Table(head, rows, "hwsim's threads compute squares of at most 256 threads a block.")


@cache
def _on_core(opt: str, loop: str, tile: int, longer: bool = False) -> tuple[float, float] | None:
    """Milliseconds measured, and modelled at the clock of the data sheet.

    longer: rows of more words than are used. None where it was not measured.
    """
    core = with_cores(load_machine("epyc-7763"), 1)
    for row in _data("zen3_loops"):
        wanted = (row["opt"], row["loop"], row["n"], row["tile"]) == (opt, loop, CPU_SIZE, tile)
        if wanted and (row["ld"] > row["n"]) == longer:
            return row["us"] / 1e3, microseconds(row, core) / 1e3
    return None


def _core(opt: str) -> Bars:
    pairs = [_on_core(opt, loop, tile) or (None, None) for loop, tile, _ in CPU_LOOPS]
    return Bars(
        "Time of one core, gcc -O3 -march=native -ffast-math",
        [label for _, _, label in CPU_LOOPS],
        {"measured": [pair[0] for pair in pairs], "hwsim": [pair[1] for pair in pairs]},
        "ms",
        "reference/zen3_loops.json; hwsim at epyc-7763's clock, the server's is not known.",
        log=True,
    )


def _padding() -> Table:
    rows = []
    for opt, name in ((SCALAR, "-O2, scalar"), (VECTOR, "-O3, vectors")):
        for loop, tile, label in CPU_LOOPS:
            pair, wide = _on_core(opt, loop, tile), _on_core(opt, loop, tile, longer=True)
            if pair:
                own = [f"{pair[0]:.1f}", f"{pair[1]:.1f}", f"{wide[0]:.1f}" if wide else ""]
                rows.append(["" if loop != CPU_LOOPS[0][0] else name, label, *own])
    head = ["compiled", "loops", "measured", "hwsim", "rows of 528"]
    return Table(head, rows, f"Milliseconds, n = {CPU_SIZE}.", left=2)


LESSONS.register("ladder")(Ladder())

"""Fresh questions with answers that the simulator counts, and whether an answer is right.

>>> asked = question("tile-loads", seed=3)
>>> check(asked.answer, asked).right
True
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, isclose, isfinite
from numbers import Real

from hwsim.errors import HwsimError, UnknownName

Answer = float | str
Maker = Callable[[random.Random], "Question"]
TOLERANCE = 0.01  # of an answer that is not a whole number, where a question states no other


@dataclass(frozen=True)
class Question:
    """A question; its kind and seed make it again.

    answer: a number in `unit`, or one of `choices`. working: how it follows. tolerance: relative; 0
    for whole numbers.
    """

    kind: str
    text: str
    answer: Answer
    working: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    tolerance: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Verdict:
    """right: is the answer right? message: says so, or what was expected and how it follows."""

    right: bool
    message: str

    def __bool__(self) -> bool:
        return self.right

    def __str__(self) -> str:
        return self.message


_MAKERS: dict[str, Maker] = {}


def kinds() -> list[str]:
    """Of questions there are."""
    return list(_MAKERS)


def question(kind: str, seed: int = 0) -> Question:
    """A question of a kind; another one for each seed. Raises UnknownName."""
    if kind not in _MAKERS:
        raise UnknownName("kind of question", kind, _MAKERS)
    return replace(_MAKERS[kind](random.Random(f"{kind} {seed}")), seed=seed)


def check(answer: Answer, asked: Question) -> Verdict:
    """Is an answer right?

    Numbers are compared within the question's tolerance. Raises HwsimError for an answer of the
    wrong type.
    """
    if asked.choices:
        return _choice(answer, asked)
    if isinstance(answer, bool) or not isinstance(answer, Real) or not isfinite(answer):
        raise HwsimError(f"the answer {answer!r}; expected a number{_in(asked.unit)}")
    expected = float(asked.answer)
    if isclose(answer, expected, rel_tol=asked.tolerance, abs_tol=1e-12):
        return Verdict(True, f"Right. {asked.working}")
    hint = f"{answer:,.6g} is {answer / expected:.3g} times the answer" if expected else "It is 0"
    return Verdict(False, f"No: {hint}, {expected:,.10g}{_in(asked.unit)}. {asked.working}")


def _choice(answer: Answer, asked: Question) -> Verdict:
    if answer not in asked.choices:
        raise HwsimError(f"the answer {answer!r}; expected one of {', '.join(asked.choices)}")
    if answer == asked.answer:
        return Verdict(True, f"Right. {asked.working}")
    return Verdict(False, f"No: {asked.answer}. {asked.working}")


def _in(unit: str) -> str:
    return f" {unit}" if unit else ""


def _asks(kind: str) -> Callable[[Maker], Maker]:
    def file(maker: Maker) -> Maker:
        _MAKERS[kind] = maker
        return maker

    return file


@_asks("tile-loads")
def _tile_loads(dice: random.Random) -> Question:
    """The lecture's formulas, ragged tiles included."""
    from hwsim.count.tiling import Tiled

    n = dice.choice((48, 64, 96, 128))
    v1, v2, v3 = (dice.choice(sizes) for sizes in ((4, 6, 8, 12, 16), (4, 6, 8, 12, 16), (1, 2, 4)))
    tiled = Tiled(n, n, n, v1, v2, v3)
    name, tile, other = dice.choice((("A", "v2", "n"), ("B", "v1", "m")))
    size = tiled.v2 if name == "A" else tiled.v1
    return Question(
        "tile-loads",
        f"C[m][n] += A[m][k] * B[k][n] with m = n = k = {n}, in tiles v1, v2, v3 = {tiled.v1}, "
        f"{tiled.v2}, {tiled.v3}. How many words of {name} are loaded?",
        tiled.closed[f"{name} loads"],
        f"{name} has {n * n:,} words, and all of them come once for each of the ceil({n} / "
        f"{size}) = {-(-n // size)} tiles along {other} ({tile} = {size}).",
        "words",
    )


@_asks("best-tiles")
def _best_tiles(dice: random.Random) -> Question:
    """The least traffic that a number of registers allows."""
    from hwsim.count.tiling import best_tiles

    n, budget = dice.choice((32, 48, 64)), dice.choice((24, 50, 100, 200))
    best = best_tiles(n, n, n, budget)
    return Question(
        "best-tiles",
        f"A product of {n} x {n} x {n} with {budget} words of registers for the tiles of A, B and "
        "C together. How many words of A, B and C move at least, with the best tiles?",
        best.accesses,
        f"v1, v2, v3 = {best.v1}, {best.v2}, {best.v3} takes {best.footprint} words and moves "
        f"{best.accesses:,}; of all tiles that fit, none moves less.",
        "words",
    )


@_asks("winograd-multiplies")
def _winograd(dice: random.Random) -> Question:
    """Tiles at the edge are whole."""
    from hwsim.algorithms import lower
    from hwsim.describe.layer import ConvLayer

    m, size = dice.choice((2, 4)), dice.choice((14, 28, 30))
    layer = ConvLayer(1, dice.choice((8, 16)), size, size, dice.choice((16, 32)), 3, 3, 1, 1)
    stages = [stage for stage in lower(layer, f"winograd-f{m}").stages if not stage.offline]
    tiles = -(-size // m)
    return Question(
        "winograd-multiplies",
        f"A 3 x 3 convolution of {layer.c} channels of {size} x {size} to {layer.k} filters, "
        f"padding 1. How many general multiplications does Winograd take with F({m} x {m}, 3 x 3)?",
        sum(stage.operations.multiplies for stage in stages),
        f"ceil({size} / {m})² = {tiles * tiles} tiles of ({m} + 2)² = {(m + 2) ** 2} points, for "
        f"each of {layer.c} channels and {layer.k} filters.",
        "multiplications",
    )


@_asks("im2col-words")
def _im2col(dice: random.Random) -> Question:
    """The size of the matrix of windows."""
    from hwsim.describe.layer import ConvLayer

    layer = ConvLayer(
        1, dice.choice((16, 32, 64)), 28, 28, 64, 3, 3, stride=dice.choice((1, 2)), pad=1
    )
    return Question(
        "im2col-words",
        f"A 3 x 3 convolution of {layer.c} channels of 28 x 28, padding 1, stride {layer.stride}. "
        "How many words does the matrix of windows have?",
        layer.p * layer.q * layer.c * 9,
        f"{layer.p} x {layer.q} windows of {layer.c} x 3 x 3 words.",
        "words",
    )


@_asks("weight-reuse")
def _weight_reuse(dice: random.Random) -> Question:
    """Convolutional times filter reuse."""
    from hwsim.api import simulate
    from hwsim.describe.layer import ConvLayer

    batch, size = dice.choice((1, 2, 4, 8)), dice.choice((7, 14, 28))
    layer = ConvLayer(batch, 16, size, size, 32, 3, 3, 1, 1)
    stage = simulate(layer, "tpu-v1", "direct").layers[0].online[0]
    return Question(
        "weight-reuse",
        f"A batch of {batch} images, 16 channels of {size} x {size}, 32 filters of 3 x 3, padding "
        "1. How often can a weight be used for each time that it is fetched, at most?",
        stage.reuse["filter"].ideal.total,
        f"At {layer.p} x {layer.q} positions (convolutional reuse) of {batch} images (filter "
        "reuse).",
        "times",
    )


@_asks("systolic-cycles")
def _systolic(dice: random.Random) -> Question:
    """Filling and draining."""
    import numpy as np

    from hwsim.oracle.registers import step_product
    from hwsim.timing.systolic.folds import FoldRules

    rows, columns, stream = dice.choice((4, 8)), dice.choice((4, 8)), dice.choice((5, 10, 20))
    stepped = step_product(
        np.ones((stream, rows)), np.ones((rows, columns)), "ws", rows, columns, FoldRules()
    )
    return Question(
        "systolic-cycles",
        f"An array of {rows} x {columns} cells. A tile of weights shifts in row by row, then "
        f"{stream} rows of inputs pass it. In which cycle does the last result leave, if the "
        "first is cycle 1?",
        stepped.cycles,
        f"{rows} to shift in, then {stream} + {rows} + {columns} - 2.",
        "cycles",
    )


@_asks("roofline")
def _roofline(dice: random.Random) -> Question:
    """The lower of two limits."""
    peak, bandwidth = dice.choice((2, 10, 40)), dice.choice((50, 200, 1000))
    macs, moved = dice.choice((1, 4, 12)), dice.choice((1, 8, 40))
    seconds = max(macs / (peak * 1000), moved / (bandwidth * 1000))
    limit = "multipliers" if macs / peak >= moved / bandwidth else "memory"
    return Question(
        "roofline",
        f"A machine multiplies {peak} T pairs a second and reads {bandwidth} GB/s. A layer has "
        f"{macs} G multiplications and moves {moved} MB. How many microseconds does it take at "
        "least?",
        seconds * 1e6,
        f"{macs / peak * 1e3:,.4g} us for the multipliers, {moved / bandwidth * 1e3:,.4g} us for "
        f"the memory: the {limit} {'decide' if limit == 'multipliers' else 'decides'}.",
        "us",
        tolerance=TOLERANCE,
    )


@_asks("batch-size")
def _batch(dice: random.Random) -> Question:
    """From which batch on the multipliers are the limit."""
    from hwsim.describe.machine import load_machine
    from hwsim.describe.units import DTYPE_BYTES
    from hwsim.parts.dram import Dram

    name = dice.choice(("tpu-v1", "tpu-v4", "h200", "a100"))
    machine = load_machine(name)
    rate = machine.compute.peak_macs_per_cycle(machine.dtype) * machine.clock_hz
    dram = machine.part(machine.dram_name, Dram)
    bandwidth = dram.bandwidth.bytes_per_cycle(machine.clock_hz) * machine.clock_hz
    width = DTYPE_BYTES[machine.dtype]
    return Question(
        "batch-size",
        f"{name} multiplies {rate / 1e12:.4g} T pairs of {machine.dtype} a second and reads "
        f"{bandwidth / 1e9:.4g} GB/s. A large fully connected layer reads each weight once. From "
        "which batch on are the multipliers the limit, not the weights' bandwidth?",
        ceil(rate / (bandwidth / width)),
        f"{bandwidth / width / 1e9:.4g} G weights a second come in, and each must be used "
        f"{rate / 1e9:,.4g} / {bandwidth / width / 1e9:.4g} times.",
        "images",
        tolerance=TOLERANCE,
    )


@_asks("array-shape")
def _shape(dice: random.Random) -> Question:
    """Which shape of sixteen PEs a product keeps busiest."""
    used: dict[str, float] = {}
    while list(used.values()).count(max(used.values(), default=0.0)) != 1:  # no ties
        m, n = dice.randint(1, 20), dice.randint(1, 40)
        used = {f"{rows}x{16 // rows}": _busy(m, n, rows, 16 // rows) for rows in (1, 2, 4)}
    best = max(used, key=lambda shape: used[shape])
    return Question(
        "array-shape",
        f"Sixteen PEs hold outputs of a {m} x {n} matrix, rows on rows and columns on columns. "
        "Which shape uses most of them: 1x16, 2x8 or 4x4?",
        best,
        "; ".join(f"{shape} uses {share:.0%}" for shape, share in used.items()) + ".",
        choices=tuple(used),
    )


def _busy(m: int, n: int, rows: int, columns: int) -> float:
    """The share of the PEs that have an output of m x n, over all folds."""
    return m * n / (-(-m // rows) * -(-n // columns) * rows * columns)

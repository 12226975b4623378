"""Random small stages and nests: ragged, spatial, bypassed, padded, strided, dilated, patched."""

from __future__ import annotations

import random

from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Operations, Stage
from hwsim.ir.tensor import Axis, Tensor, along
from hwsim.ir.verify import verify_nest, verify_stage

MOST_ITERATIONS = 2500


def random_nest(seed: int, spatial: bool = True) -> Nest:
    """A verified nest of at most MOST_ITERATIONS iterations."""
    dice = random.Random(seed)
    while True:
        stage = verify_stage(dice.choice((_gemm, _conv, _depthwise, _patches))(dice))
        if stage.iterations <= MOST_ITERATIONS:
            return verify_nest(_schedule(dice, stage, spatial))


def _gemm(dice: random.Random) -> Stage:
    m, n, k = (dice.randint(1, 6) for _ in range(3))
    tensors = (
        Tensor("A", "activation", (along("m", m), along("k", k)), 4),
        Tensor("B", "weight", (along("k", k), along("n", n)), 4),
        Tensor("C", "output", (along("m", m), along("n", n)), 4),
    )
    return Stage("gemm", (("m", m), ("n", n), ("k", k)), tensors, Operations(1))


def _window(dice: random.Random) -> tuple[dict[str, int], tuple[Axis, Axis]]:
    stride, pad, dilation = dice.randint(1, 3), dice.randint(0, 2), dice.randint(1, 2)
    size = {
        "p": dice.randint(1, 5),
        "q": dice.randint(1, 3),
        "r": dice.randint(1, 3),
        "s": dice.randint(1, 2),
    }
    height = max(1, (size["p"] - 1) * stride + dilation * (size["r"] - 1) + 1 - 2 * pad)
    width = (size["q"] - 1) * stride + size["s"]
    return size, (
        Axis((("p", stride), ("r", dilation)), height, -pad),
        Axis((("q", stride), ("s", 1)), width),
    )


def _conv(dice: random.Random) -> Stage:
    size, window = _window(dice)
    k, c = dice.randint(1, 3), dice.randint(1, 3)
    taps = (along("r", size["r"]), along("s", size["s"]))
    tensors = (
        Tensor("I", "activation", (along("c", c), *window), 4),
        Tensor("W", "weight", (along("k", k), along("c", c), *taps), 4),
        Tensor("O", "output", (along("k", k), along("p", size["p"]), along("q", size["q"])), 4),
    )
    return Stage("conv", (("k", k), ("c", c), *size.items()), tensors, Operations(1))


def _depthwise(dice: random.Random) -> Stage:
    size, window = _window(dice)
    g = dice.randint(1, 4)
    taps = (along("r", size["r"]), along("s", size["s"]))
    tensors = (
        Tensor("I", "activation", (along("g", g), *window), 4),
        Tensor("W", "weight", (along("g", g), *taps), 4),
        Tensor("O", "output", (along("g", g), along("p", size["p"]), along("q", size["q"])), 4),
    )
    return Stage("depthwise", (("g", g), *size.items()), tensors, Operations(1))


def _patches(dice: random.Random) -> Stage:
    """A transform: patches that overlap come in, whole tiles go out."""
    c, y, x, m = dice.randint(1, 3), dice.randint(1, 4), dice.randint(1, 3), dice.randint(1, 3)
    reach = m + dice.randint(0, 2)
    height = max(1, m * y + reach - m - dice.randint(0, 3))
    rows, columns = (
        Axis((("y", m),), height, -dice.randint(0, 1), reach),
        Axis((("x", m),), m * x + reach, 0, reach),
    )
    points = Axis((), reach * reach, 0, reach * reach)
    tensors = (
        Tensor("I", "activation", (along("c", c), rows, columns), 4),
        Tensor("O", "output", (points, along("c", c), along("y", y), along("x", x)), 4),
    )
    return Stage("patches", (("c", c), ("y", y), ("x", x)), tensors, Operations())


def _schedule(dice: random.Random, stage: Stage, spatial: bool) -> Nest:
    left, loops = dict(stage.bounds), []
    axes = (None, None, "x", "y") if spatial else (None,)
    for _ in range(dice.randint(0, 5)):
        dim = dice.choice(list(left))
        if left[dim] > 1:
            tile = dice.randint(1, left[dim])
            loops.append(Loop(dim, tile, dice.choice(axes)))
            left[dim] = tile
    rest = [dim for dim in left if left[dim] > 1]
    dice.shuffle(rest)
    loops += [Loop(dim, 1, dice.choice((None, *axes))) for dim in rest]
    items: list[Loop | Hold] = list(loops)
    names = [tensor.name for tensor in stage.tensors]
    places = sorted((dice.randint(0, len(items)) for _ in range(dice.randint(0, 3))), reverse=True)
    for number, place in enumerate(places):
        held = tuple(name for name in names if dice.random() < 0.7) or (names[0],)
        items.insert(
            place,
            Hold(
                f"L{len(places) - number}",
                held,
                dice.choice(("keep", "refetch")),
                1,
                dice.random() < 0.7,
                dice.random() < 0.7,
            ),
        )
    items.insert(0, Hold("dram", tuple(names)))
    return Nest(stage, tuple(items), "random", dice.random() < 0.7, dice.random() < 0.7)

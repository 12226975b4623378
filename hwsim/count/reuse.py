"""How often a word is used: the most the layer allows, and what a nest achieves at each level.

    ideal(T)       = multiplications / words of T
    achieved(T, L) = multiplications / words of T that come into level L
                     (of sums: that come in or leave)

What is achieved is split by cause, as Chen et al. name them ("Eyeriss", JSSC 2017):

    convolutional   a weight at every output position, an activation in every window that touches it
    fmap            an activation for every filter
    filter          a weight for every image of the batch (every row of a plain product)
    accumulation    the products that one sum takes in

The product of the causes is the total, exactly: one is what the loops inside the level and those
that the tile stays through cover, and sliding windows and ragged edges are in what is left, which
is convolutional for activations and weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Hold, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.tensor import Tensor
from hwsim.results.reuse import Reuse, TensorReuse

POSITIONS = frozenset(("p", "q", "y", "x"))


def ideal(stage: Stage, words: Mapping[str, int]) -> dict[str, Reuse]:
    """The most uses of each tensor's words. words: those that the loops touch, by tensor."""
    whole = dict(stage.bounds)
    return {
        tensor.name: _split(stage, tensor, stage.iterations / words[tensor.name], whole)
        for tensor in stage.tensors
        if words.get(tensor.name)
    }


def achieved(nest: Nest, counts: NestCounts) -> dict[str, dict[str, Reuse]]:
    """{tensor: {level: uses of a word for each time it comes in}}.

    Levels are those that the nest places.
    """
    found: dict[str, dict[str, Reuse]] = {}
    for tensor in nest.stage.tensors:
        for hold in nest.chain(tensor.name)[1:-1]:
            assert hold is not None
            traffic = counts.of(hold.level, tensor.name)
            moved = traffic.fills + traffic.drains
            if moved:
                total = nest.stage.iterations / moved
                found.setdefault(tensor.name, {})[hold.level] = _split(
                    nest.stage, tensor, total, covered(nest, hold, tensor)
                )
    return found


def covered(nest: Nest, hold: Hold, tensor: Tensor) -> dict[str, int]:
    """Iterations of each dim while a tile stays.

    They are of the loops inside the level, and of those outside that do not move it.
    """
    inside = dict(nest.stage.bounds)
    for loop in nest.loops_above(hold):
        inside[loop.dim] = min(inside[loop.dim], loop.tile)
    for loop in reversed(nest.loops_above(hold)):
        if loop.dim in tensor.dims:
            break
        if loop.spatial is None:
            inside[loop.dim] *= nest.bound(loop)
    return {
        dim: min(size, bound)
        for (dim, bound), size in zip(nest.stage.bounds, inside.values(), strict=True)
    }


def _split(stage: Stage, tensor: Tensor, total: float, sizes: Mapping[str, int]) -> Reuse:
    """A total as a product of its causes."""
    free = {dim: sizes[dim] for dim, _ in stage.bounds if dim not in tensor.dims}
    if tensor.role == "output":
        return Reuse(total, accumulation=total)
    if tensor.role == "activation":
        filters = prod(free.values())
        return Reuse(total, convolutional=total / filters, fmap=float(filters))
    images = prod(size for dim, size in free.items() if dim not in POSITIONS)
    return Reuse(total, convolutional=total / images, filter=float(images))


def reuse(
    stage: Stage,
    words: Mapping[str, int],
    by_level: Mapping[str, Mapping[str, Reuse]],
    dram: str,
    dram_words: Mapping[str, int],
) -> dict[str, TensorReuse]:
    """Ideal and achieved reuse of every tensor.

    dram_words: words of each tensor to and from DRAM, waste included.
    """
    found = {}
    for name, best in ideal(stage, words).items():
        levels = dict(by_level.get(name, {}))
        if dram_words.get(name):
            levels = {dram: Reuse(stage.iterations / dram_words[name]), **levels}
        found[name] = TensorReuse(best, levels)
    return found

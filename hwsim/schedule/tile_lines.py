"""Lines of memory that a tile touches, and how many of them lie in one set of a cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import gcd

import numpy as np
import numpy.typing as npt

from hwsim.ir.stage import GemmView, Stage
from hwsim.ir.tensor import Tensor
from hwsim.parts.cache import Cache

Ints = npt.NDArray[np.int64]
BEGINNINGS = 4  # places in a line that are looked at


def rows_in_a_set(stage: Stage, view: GemmView, tile: Mapping[str, int], cache: Cache) -> int:
    """The most lines of a tile's activations in a channel that lie in one set of a cache."""
    taps = {dim: stage.extents[dim] for dim in sliding(activations(stage), view)}
    lines = _lines(activations(stage), (*view.m, *taps), {**tile, **taps}, cache.line)
    return cache.most_in_a_set(lines * cache.line)


def sliding(tensor: Tensor, view: GemmView) -> set[str]:
    """Dims along which a window moves over the same words as the pixels do."""
    shared = [axis.dims for axis in tensor.axes if set(axis.dims) & set(view.m)]
    return {dim for dims in shared for dim in dims if dim not in view.m}


def bytes_in_lines(stage: Stage, view: GemmView, box: Mapping[str, int], line: int) -> int:
    """Bytes of the lines that a box of m and k touches of the activations, wherever it begins."""
    read = activations(stage)
    taps = dict.fromkeys(sliding(read, view), 1)
    return bytes_of_lines(stage, read, (*view.m, *view.k), {**taps, **box}, line)


def bytes_of_lines(
    stage: Stage, tensor: Tensor, dims: Sequence[str], box: Mapping[str, int], line: int
) -> int:
    """Bytes of the lines that a box of some dims touches of a tensor, on average.

    It begins at a multiple of what neighbouring boxes are apart.
    """
    apart = (
        tensor.bytes_apart(dim) * size for dim, size in box.items() if stage.extents[dim] > size
    )
    begins = range(0, line, gcd(line, *apart))
    some = begins[:: max(1, len(begins) // BEGINNINGS)]
    return sum(len(_lines(tensor, dims, box, line, begin)) for begin in some) * line // len(some)


def in_whole_lines(stage: Stage, tensor: Tensor, box: Mapping[str, int], line: int) -> float:
    """What the lines that a box reads are, as a multiple of its bytes, on average.

    Of l bytes side by side, which begin at multiples of g in a line, it reads l + line - g.
    """
    whole = 1.0
    for dim, size in box.items():
        apart = tensor.bytes_apart(dim)
        if size < stage.extents[dim] and 0 < apart < line:
            beside = size * apart
            whole *= (beside + line - gcd(line, beside)) / beside
    return whole


def _lines(
    tensor: Tensor, dims: Sequence[str], tile: Mapping[str, int], line: int, begin: int = 0
) -> Ints:
    """Lines of a tensor over some dims, of which the first begins so far in a line."""
    steps = tuple((tile[dim], tensor.bytes_apart(dim)) for dim in dims if tile[dim] > 1)
    return _lines_of_steps(steps, line, begin)


@lru_cache(maxsize=1 << 14)
def _lines_of_steps(steps: tuple[tuple[int, int], ...], line: int, begin: int) -> Ints:
    """Lines of a box: of each dim so many iterations, and bytes from one to the next."""
    offsets = [begin]
    for count, apart in steps:
        offsets = [offset + number * apart for offset in offsets for number in range(count)]
    return np.array(sorted({offset // line for offset in offsets}), np.int64)


def activations(stage: Stage) -> Tensor:
    """The operand along m."""
    return next(tensor for tensor in stage.tensors if tensor.role == "activation")

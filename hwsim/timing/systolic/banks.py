"""Bank conflicts: words that an array's rows want in the same cycle from a buffer of several banks.

    bank = address mod banks, one word a bank and cycle

    cycle t:  row 0 reads the word of vector t, row 1 that of vector t - 1,
              row 2 that of vector t - 2 ...                                 (skewed)

A cycle in which three rows want words of one bank takes three. Rows that want the same word get it
together; padding is not read.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwsim.ir.tensor import Tensor
from hwsim.timing.explicit.tiles import Steps

Ints = npt.NDArray[np.int64]
PADDING = -1
MOST_VECTORS = 4096  # of a fold, looked at; a longer stream goes on alike


def conflict_cycles(addresses: Ints, banks: int) -> int:
    """Cycles in which all words are read, fold following fold.

    The first rows are a fold ahead of the last.

    addresses [vectors, rows], PADDING where there is none.
    """
    rows = addresses.shape[1]
    skewed = np.stack([np.roll(addresses[:, row], row) for row in range(rows)], axis=1)
    ordered = np.sort(skewed, axis=1)
    repeated = np.zeros(ordered.shape, np.bool_)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    wanted = (ordered != PADDING) & ~repeated
    cycle = np.repeat(np.arange(len(ordered))[:, None], rows, axis=1)
    busy = np.bincount(
        (cycle * banks + ordered % banks)[wanted], minlength=len(ordered) * banks
    ).reshape(-1, banks)
    return int(np.maximum(1, busy.max(axis=1)).sum())


def slowdown(
    tensor: Tensor,
    steps: Steps,
    along_rows: tuple[str, ...],
    along_stream: tuple[str, ...],
    banks: int,
) -> float:
    """How many times longer the vectors of folds like the first take to read than one a cycle."""
    lengths = {
        dim: int(steps.hi[dim][0] - steps.lo[dim][0]) for dim in (*along_stream, *along_rows)
    }
    addresses = _addresses(
        tensor,
        {dim: int(low[0]) for dim, low in steps.lo.items()},
        lengths,
        along_stream,
        along_rows,
    )
    return conflict_cycles(addresses, banks) / float(len(addresses))


def _addresses(
    tensor: Tensor,
    start: dict[str, int],
    lengths: dict[str, int],
    stream: tuple[str, ...],
    rows: tuple[str, ...],
) -> Ints:
    """[vectors, rows] of the words in the order in which the dims run, the last fastest."""
    dims = (*stream, *rows)
    count = int(np.prod([lengths[dim] for dim in rows], dtype=np.int64)) if rows else 1
    vectors = min(
        MOST_VECTORS,
        int(np.prod([lengths[dim] for dim in stream], dtype=np.int64)) if stream else 1,
    )
    index = (
        np.unravel_index(np.arange(vectors * count), [max(1, lengths[dim]) for dim in dims])
        if dims
        else ()
    )
    at = {dim: start[dim] + place for dim, place in zip(dims, index, strict=True)}
    address, inside = np.zeros(vectors * count, np.int64), np.ones(vectors * count, np.bool_)
    for axis, stride in zip(tensor.axes, tensor.strides, strict=True):
        place = np.full(len(address), axis.offset)
        for dim, coefficient in axis.terms:
            place += coefficient * at.get(dim, start[dim])
        inside &= (place >= 0) & (place < axis.size)
        address += place * stride
    return np.where(inside, address, PADDING).reshape(vectors, count)

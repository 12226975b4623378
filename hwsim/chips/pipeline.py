"""Layers in a pipeline: cut into stages of chips that follow each other.

    stage 1:   a b c d            microbatches a ... d, one after another through all stages
    stage 2:     a b c d
    stage 3:       a b c d

m microbatches take sum of all stages + (m - 1) of the slowest one. Stages that were alike would
stand still for (p - 1) of m + p - 1 steps (Huang et al. 2019, "GPipe", arXiv:1811.06965).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
CLOSE = 1e-4  # times of the slowest stage that are as good as each other


def cut(
    seconds: Sequence[float],
    sends: Sequence[float],
    stages: int,
    microbatches: int,
    held: Sequence[int] = (),
    most: float = np.inf,
) -> list[int] | None:
    """Where stages begin, so that the whole batch is as quick as can be: a cut is a layer's number.

    seconds: of every layer. sends: what it takes to pass on the maps needed behind it. held: bytes
    of every layer, of which a stage has room for `most`; None where no cut leaves each enough.

    Layers take what they take wherever they are cut, so that

        batch = sum of layers + sum of sends + (m - 1) * slowest stage

    The least sends with no stage slower than a limit are found for one limit after another: from
    the one beyond which no sends would make up for it, each below the slowest stage of the cut
    before, down to the quickest that a slowest stage can be. Limits closer than CLOSE are one.
    """
    count = len(seconds)
    before = np.concatenate([[0.0], np.cumsum(seconds)])
    filled = np.concatenate([[0.0], np.cumsum(held if len(held) else [0] * count)])
    leaving = np.concatenate([[0.0], np.asarray(sends, dtype=float)])
    leaving[count] = 0.0
    taken = before[None, :] - before[:, None] + leaving[None, :]  # by [begin, end]
    taken[filled[None, :] - filled[:, None] > most] = np.inf
    taken[np.tril_indices(count + 1)] = np.inf

    def slowest(begins: list[int]) -> float:
        return float(taken[begins, [*begins[1:], count]].max())

    def beside_layers(begins: list[int]) -> float:
        return float(leaving[begins[1:]].sum()) + (microbatches - 1) * slowest(begins)

    freest = _least_sends(leaving, taken < np.inf, stages)
    if freest is None:
        return None
    sent = float(leaving[freest[1:]].sum())
    if microbatches == 1:
        return _evenest(freest, sent, leaving, taken, stages)
    quickest = _quickest_slowest(taken, stages)
    even = _least_sends(leaving, taken <= quickest, stages)
    assert even is not None
    best = min(freest, even, key=beside_layers)
    limit = np.inf
    while True:
        limit = min(limit, (beside_layers(best) - sent) / (microbatches - 1))
        begins = _least_sends(leaving, taken <= limit, stages) if limit > quickest else None
        if begins is None:
            return best
        best = min(best, begins, key=beside_layers)
        limit = slowest(begins) * (1 - CLOSE)


def _evenest(
    begins: list[int], sent: float, leaving: Floats, taken: Floats, stages: int
) -> list[int]:
    """Of the cuts that send no more than `sent` (one does), that whose slowest is the quickest."""
    limits = np.unique(taken[np.isfinite(taken)])
    low, high = 0, len(limits) - 1
    while low < high:
        middle = (low + high) // 2
        found = _least_sends(leaving, taken <= limits[middle], stages)
        if found is not None and leaving[found[1:]].sum() <= sent * (1 + CLOSE):
            begins, high = found, middle
        else:
            low = middle + 1
    return begins


def _quickest_slowest(taken: Floats, stages: int) -> float:
    """The least that the slowest stage can take; infinite where there is no cut."""
    best = np.full(len(taken), np.inf)
    best[0] = 0.0
    for _ in range(stages):
        best = np.maximum(best[:, None], taken).min(axis=0)
    return float(best[-1])


def _least_sends(leaving: Floats, allowed: npt.NDArray[np.bool_], stages: int) -> list[int] | None:
    """Begins of stages that are all allowed, [begin, end], and send least; None if there are none.

    Of all first i layers in k stages, the best is found from the best of k - 1.
    """
    count = len(leaving) - 1
    best = np.full(count + 1, np.inf)
    best[0] = 0.0
    cuts = []
    for _ in range(stages):
        reached = np.where(allowed, best[:, None], np.inf)
        cuts.append(np.argmin(reached, axis=0))
        best = reached.min(axis=0) + leaving
    if np.isinf(best[count]):
        return None
    begins, end = [], count
    for cut_before in reversed(cuts):
        end = int(cut_before[end])
        begins.append(end)
    return begins[::-1]


def batch_seconds(stages: Sequence[float], microbatches: int) -> float:
    """Of a whole batch through the stages, an item leaving the slowest one after another."""
    return sum(stages) + (microbatches - 1) * max(stages)

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


def cut(
    seconds: Sequence[float],
    sends: Sequence[float],
    stages: int,
    held: Sequence[int] = (),
    most: float = np.inf,
) -> list[int] | None:
    """Where stages begin, so that the slowest is as quick as can be: a cut is a layer's number.

    seconds: of every layer. sends: what it takes to pass on the maps needed behind it. held: bytes
    of every layer, of which a stage has room for `most`; None where no cut leaves each enough.
    Exact: of all first i layers in k stages, the best is found from the best of k - 1.
    """
    count = len(seconds)
    before = np.concatenate([[0.0], np.cumsum(seconds)])
    filled = np.concatenate([[0.0], np.cumsum(held if len(held) else [0] * count)])
    leaving = np.concatenate([[0.0], np.asarray(sends, dtype=float)])
    leaving[count] = 0.0
    best = np.full(count + 1, np.inf)
    best[0] = 0.0
    cuts = np.zeros((stages, count + 1), dtype=int)
    for stage in range(stages):
        found = np.full(count + 1, np.inf)
        for end in range(stage + 1, count + 1):
            worst = np.maximum(best[:end], before[end] - before[:end] + leaving[end])
            worst[filled[end] - filled[:end] > most] = np.inf
            cuts[stage, end] = int(np.argmin(worst))
            found[end] = worst[cuts[stage, end]]
        best = found
    if np.isinf(best[count]):
        return None
    begins, end = [], count
    for stage in reversed(range(stages)):
        end = int(cuts[stage, end])
        begins.append(end)
    return begins[::-1]


def batch_seconds(stages: Sequence[float], microbatches: int) -> float:
    """Of a whole batch through the stages, an item leaving the slowest one after another."""
    return sum(stages) + (microbatches - 1) * max(stages)

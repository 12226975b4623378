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

    Exact: layers take what they take wherever they are cut, so that

        batch = sum of layers + sum of sends + (m - 1) * slowest stage

    The least sends with no stage slower than a limit are found for one limit after another, each
    below the slowest stage of the one before, until even no sends would not make up for it.
    """
    count = len(seconds)
    before = np.concatenate([[0.0], np.cumsum(seconds)])
    filled = np.concatenate([[0.0], np.cumsum(held if len(held) else [0] * count)])
    leaving = np.concatenate([[0.0], np.asarray(sends, dtype=float)])
    leaving[count] = 0.0
    taken = before[None, :] - before[:, None] + leaving[None, :]  # by [begin, end]
    room = filled[None, :] - filled[:, None] <= most
    room &= np.arange(count + 1)[:, None] < np.arange(count + 1)[None, :]
    found, least, limit = None, np.inf, np.inf
    while (begins := _least_sends(leaving, room & (taken < limit), stages)) is not None:
        ends = [*begins[1:], count]
        limit = max(float(taken[begin, end]) for begin, end in zip(begins, ends, strict=True))
        sent = float(leaving[ends].sum())
        if sent + (microbatches - 1) * limit < least:
            found, least = begins, sent + (microbatches - 1) * limit
        if (
            microbatches == 1
            or sent + (microbatches - 1) * _slowest_at_least(before, stages) >= least
        ):
            break
    return found


def _slowest_at_least(before: Floats, stages: int) -> float:
    """No cut's slowest stage is quicker than its share, or than the longest layer."""
    return max(float(before[-1]) / stages, float(np.diff(before).max()))


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

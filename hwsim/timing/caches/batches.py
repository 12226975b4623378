"""Which batches of units are walked, and what they say of all."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from hwsim.results.result import Sampling
from hwsim.timing.caches.chain import ImplicitChain
from hwsim.timing.caches.look_ups import Ints
from hwsim.timing.caches.traffic import StreamResult
from hwsim.timing.caches.walk import ITERATIONS, SKIP_BATCH

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class Walkers:
    """Who runs the nest: units at once, steps a turn, a vector access' width, steps walked.

    All steps up to `budget` are walked; of more, a sample where many batches of units run one after
    another.
    """

    parallel: int
    quantum: int
    vector_bytes: int
    budget: int = sys.maxsize


class Batches:
    """Which batches of units are walked.

    They are all, or pairs of them evenly spaced, one to warm the caches and one to count, where
    there are many more units than run at once.
    """

    MOST_PAIRS, FEWEST_PAIRS = 8, 4

    def __init__(self, steps: Ints, walkers: Walkers) -> None:
        self._total = int(steps.sum())
        batches = -(-len(steps) // min(walkers.parallel, len(steps)))
        self.batches = np.zeros(batches, np.int64)
        self.count = 1
        self._sampled = self._total > walkers.budget and batches >= 4 * self.MOST_PAIRS
        if self._sampled:
            self._sample(batches, walkers.budget / self._total)

    def _sample(self, batches: int, share: float) -> None:
        pairs = max(self.FEWEST_PAIRS, min(self.MOST_PAIRS, int(share * batches / 2)))
        self.batches[:] = SKIP_BATCH
        self.count = pairs + 1
        for pair, start in enumerate(np.linspace(0, batches - 2, pairs).astype(int)):
            self.batches[start] = 0 if pair == 0 else pairs
            self.batches[start + 1] = pair

    def result(
        self, chain: ImplicitChain, stats: Ints, counted: Ints, work: Ints, iterations: int
    ) -> StreamResult:
        """Put windows together.

        iterations: of the busiest unit. Loads and stores that were not all seen are as many to an
        iteration as those that were.
        """
        if not self._sampled:
            return chain.result(stats[0].astype(float), work.max(axis=0), None)
        lines, error = self._extrapolated(stats, counted)
        seen = work.sum(axis=0)
        busiest = seen / max(int(seen[ITERATIONS]), 1) * iterations
        sampling = Sampling(int(counted.sum()) / self._total, error)
        return chain.result(lines, busiest, sampling)

    def _extrapolated(self, stats: Ints, counted: Ints) -> tuple[Floats, float]:
        """The first pair whole, the others' mean rate for the rest."""
        others = range(1, self.count - 1)
        rates = np.array([stats[window] / counted[window] for window in others])
        left = self._total - int(counted[0])
        lines = stats[0] + rates.mean(axis=0) * left
        dram = rates[:, -1, :, :2].sum(axis=(1, 2))
        estimate = float(lines[-1, :, :2].sum())
        error = (
            float(dram.std(ddof=1) / np.sqrt(len(dram)) * left / estimate)
            if len(dram) > 1 and estimate
            else 0.0
        )
        return lines, error

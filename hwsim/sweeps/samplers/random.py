"""Points drawn at random, each at most once; the same ones every time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from hwsim.sweeps.journal import chunks
from hwsim.sweeps.rows import Row
from hwsim.sweeps.samplers import SAMPLERS, Blocks, Sampler
from hwsim.sweeps.spec import Sweep

MISSES = 1000  # draws in a row that the constraints refuse, after which there is nothing to find


class Drawn:
    summary = "points drawn at random"
    needs_trials = True

    def blocks(
        self, sweep: Sweep, trials: int, size: int, told: Callable[[int], Row | None]
    ) -> Blocks:
        return chunks(sorted(_drawn(sweep, trials)), size)


def _drawn(sweep: Sweep, trials: int) -> Iterator[int]:
    draw, seen, misses = Random(0), set[int](), 0
    while len(seen) < trials and misses < MISSES:
        number = draw.randrange(sweep.size)
        if number in seen or not sweep.allowed(number):
            misses += 1
            continue
        misses = 0
        seen.add(number)
        yield number


SAMPLERS.register("random")(_drawn_points := Drawn())
_checked: Sampler = _drawn_points

"""Every point that the constraints allow."""

from __future__ import annotations

from collections.abc import Callable

from hwsim.sweeps.journal import chunks
from hwsim.sweeps.rows import Row
from hwsim.sweeps.samplers import SAMPLERS, Blocks, Sampler
from hwsim.sweeps.spec import Sweep


class All:
    summary = "every point"
    needs_trials = False

    def blocks(
        self, sweep: Sweep, trials: int, size: int, told: Callable[[int], Row | None]
    ) -> Blocks:
        return chunks(sweep.numbers(), size)


SAMPLERS.register("all")(_all := All())
_checked: Sampler = _all

"""A sweep on one page: which points, what is known of them, who works on the rest.

blocks  = the sampler's points, those that the journal knows left out
rows    = what an engine's workers make of each block, added to the journal as it comes
result  = every point's row, read back from the journal
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hwsim.errors import HwsimError
from hwsim.jobs import Progress
from hwsim.sweeps.engines import ENGINES, Block, Crew
from hwsim.sweeps.journal import Journal
from hwsim.sweeps.result import SweepResult
from hwsim.sweeps.rows import Row
from hwsim.sweeps.samplers import SAMPLERS
from hwsim.sweeps.spec import Sweep, check

BEST, QUICK, BOUND = 8, 20, 2000  # points of a block: a few seconds of work


@dataclass(frozen=True)
class Asked:
    """How a sweep is run: engine, sampler and trials (points that a sampler takes)."""

    engine: str = "pool"
    sampler: str = "all"
    trials: int = 100
    crew: Crew = Crew()


def run_sweep(
    sweep: Sweep, journal: Path, asked: Asked | None = None, progress: Progress | None = None
) -> SweepResult:
    """Run what is missing, and give the rows of all its points. progress(done, all) counts points.

    Interrupted or killed, what was done is in the journal: the next run goes on. Raises HwsimError
    for a sweep that no point can come of, a journal that cannot be used, and where no point ran.
    """
    asked = asked or Asked()
    check(sweep)
    engine, sampler = ENGINES[asked.engine], SAMPLERS[asked.sampler]
    total = min(asked.trials, sweep.size) if sampler.needs_trials else sweep.size
    with Journal(journal) as kept:
        taken: list[int] = []

        def told(number: int) -> Row | None:
            key = sweep.key(number)
            return kept.known([key]).get(key)

        def missing() -> Iterator[Block]:
            size = (
                BOUND if sweep.model == "bound" else QUICK if sweep.schedules == "quick" else BEST
            )
            for block in sampler.blocks(sweep, asked.trials, size, told):
                taken.extend(block)
                keys = {sweep.key(number): number for number in block}
                there = kept.there(list(keys))
                if progress is not None and there:
                    count(len(there))
                rest = [number for key, number in keys.items() if key not in there]
                if rest:
                    yield rest

        done = [0]

        def count(points: int) -> None:
            done[0] += points
            if progress is not None:
                progress(done[0], total)

        with closing(engine.run(sweep, missing(), asked.crew)) as finished:  # type: ignore[type-var]
            for block, rows in finished:
                kept.add(zip(map(sweep.key, block), rows, strict=True))
                count(len(block))
    result = SweepResult(sweep, journal, tuple(taken))
    if not taken:
        raise HwsimError(f"{sweep.name}: its constraints allow no point; expected some that do")
    return result

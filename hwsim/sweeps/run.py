"""A sweep on one page: which points, what is known of them, who works on the rest.

blocks  = the sampler's points, those that the journal knows left out
rows    = what an engine's workers make of each block, added to the journal as it comes
result  = every point's row, read back from the journal
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hwsim.errors import HwsimError
from hwsim.jobs import Progress
from hwsim.sweeps.engines import ENGINES, Block, Crew, Done
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
    for a sweep that no point can come of, and for a journal that cannot be used.
    """
    asked = asked or Asked()
    check(sweep)
    engine = ENGINES[asked.engine]
    with Journal(journal) as kept:
        points = _Points(sweep, asked, kept, progress)
        with closing(_generator(engine.run(sweep, points.missing(), asked.crew))) as finished:
            for block, rows in finished:
                kept.add(zip(map(sweep.key, block), rows, strict=True))
                points.count(len(block))
    if not points.taken:
        raise HwsimError(f"{sweep.name}: its constraints allow no point; expected some that do")
    return SweepResult(sweep, journal, tuple(points.taken))


class _Points:
    """The sampler's points as they are asked for, and how many are done. taken: all so far."""

    def __init__(
        self, sweep: Sweep, asked: Asked, kept: Journal, progress: Progress | None
    ) -> None:
        self._sweep, self._asked, self._kept, self._progress = sweep, asked, kept, progress
        self._sampler = SAMPLERS[asked.sampler]
        self._done = 0
        self.taken: list[int] = []

    def missing(self) -> Iterator[Block]:
        """Blocks of the points that the journal does not know."""
        size = _block_size(self._sweep)
        for block in self._sampler.blocks(self._sweep, self._asked.trials, size, self._told):
            self.taken.extend(block)
            numbers = {self._sweep.key(number): number for number in block}
            there = self._kept.there(list(numbers))
            self.count(len(there))
            rest = [number for key, number in numbers.items() if key not in there]
            if rest:
                yield rest

    def count(self, points: int) -> None:
        """So many more are done."""
        self._done += points
        trials = self._asked.trials if self._sampler.needs_trials else self._sweep.size
        if self._progress is not None and points:
            self._progress(self._done, min(trials, self._sweep.size))

    def _told(self, number: int) -> Row | None:
        key = self._sweep.key(number)
        return self._kept.known([key]).get(key)


def _block_size(sweep: Sweep) -> int:
    if sweep.model == "bound":
        return BOUND
    return QUICK if sweep.schedules == "quick" else BEST


def _generator(done: Iterator[Done]) -> Generator[Done, None, None]:
    """What an engine yields, as something that can be closed: what it started ends then."""
    yield from done

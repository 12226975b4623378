"""One block after another in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hwsim.sweeps.engines import ENGINES, Block, Crew, Done, Engine, rows_of
from hwsim.sweeps.spec import Sweep


class Serial:
    summary = "one block after another, in this process"

    def run(self, sweep: Sweep, blocks: Iterable[Block], crew: Crew) -> Iterator[Done]:
        for block in blocks:
            yield block, rows_of(sweep, block)


ENGINES.register("serial")(_serial := Serial())
_checked: Engine = _serial

"""The best mapping of a stage onto a machine: a space, exact costs, and a proof.

docs/mapping.md states them.

found = best_mapping(stage, machine, "edp")
found.nest, found.cost, found.gap          # gap 0: nothing in the space is better
"""

from __future__ import annotations

from math import inf
from threading import Lock
from typing import TYPE_CHECKING

from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError, UnknownName
from hwsim.ir.stage import Stage
from hwsim.rewrite.placement import Placement
from hwsim.schedule.mapper.space import Options, find_space

if TYPE_CHECKING:
    from hwsim.schedule.mapper.found import Found
    from hwsim.schedule.mapper.hunt import Progress


_setting_up = Lock()  # it is Python, which threads would only take from each other
MOST_LEVELS = 10  # of memories between DRAM and the multipliers


def best_mapping(
    stage: Stage,
    machine: Machine,
    objective: str = "edp",
    *,
    placement: Placement | None = None,
    options: Options | None = None,
    seconds: float | None = None,
    progress: Progress | None = None,
    workers: int = 2,
    most: int | None = None,
    beat: float = inf,
) -> Found:
    """Search the machine's space of mappings.

    seconds, most: stop after so long, or after so many bounds and evaluations, with the best so
    far. beat: only mappings that cost less are looked for.

    Raises UnknownName for an objective that is none, HwsimError when the machine has no space or
    nothing fits, Beaten when no mapping costs less than `beat`.
    """
    levels = max(len(machine.chain(tensor.role)) for tensor in stage.tensors)
    if levels > MOST_LEVELS:
        raise HwsimError(
            f"{machine.name}: {levels} memories one inside the other; expected at most "
            f"{MOST_LEVELS} to search mappings of"
        )
    from hwsim.schedule.mapper.found import OBJECTIVES
    from hwsim.schedule.mapper.model import Model
    from hwsim.schedule.mapper.search import Search

    if objective not in OBJECTIVES:
        raise UnknownName("objective", objective, OBJECTIVES)
    with _setting_up:
        space = find_space(stage, machine, placement or Placement(), options or Options())
        search = Search(Model(space), objective)
    return search.run(seconds, progress, workers, most, beat)


__all__ = ["Options", "best_mapping"]

"""Output-stationary: every cell keeps one output's sum while activations come along rows and
weights down columns.

          columns: filters
           w    w    w
           |    |    |
a  ->    [sum][sum][sum]      rows: output pixels
a  ->    [sum][sum][sum]      stay until the reduction is done, then leave
"""

from __future__ import annotations

from hwsim.describe.machine import Machine
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Stage
from hwsim.rewrite.placement import Placement
from hwsim.schedule.arrays import needs_cells
from hwsim.schedule.dataflows import DATAFLOWS, Ranked, Searched
from hwsim.schedule.tiles import best_nests, problem_of


class OutputStationary:
    """What stays is all that the name says; tiles and orders are searched
    (hwsim.schedule.tiles)."""

    name = "output-stationary"
    summary = "every cell keeps an output's sum, operands stream past"
    default = False

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        return needs_cells(stage, machine)

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        return self.nests(stage, machine, placement, "latency")[0].make()

    def nests(self, stage: Stage, machine: Machine, placement: Placement, objective: str) -> Ranked:
        return best_nests(problem_of(stage, machine, placement, "output"), self.name, objective)


DATAFLOWS.register("output-stationary")(_flow := OutputStationary())
_checked: Searched = _flow

"""Input-stationary: a tile of activations stays in the array while weights stream past and sums
step down.

          columns: output pixels
        a00 a01 a02 a03   <- stay
w  ->   a10 a11 a12 a13
w  ->   a20 a21 a22 a23      rows: the reduction (k of the product)
         |   |   |   |
         v   v   v   v    accumulators
"""

from __future__ import annotations

from hwsim.describe.machine import Machine
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Stage
from hwsim.rewrite.placement import Placement
from hwsim.schedule.arrays import needs_cells
from hwsim.schedule.dataflows import DATAFLOWS, Ranked, Searched
from hwsim.schedule.tiles import best_nests, problem_of


class InputStationary:
    """What stays is all that the name says; tiles and orders are searched
    (hwsim.schedule.tiles)."""

    name = "input-stationary"
    summary = "an activation tile stays in the array, weights stream past"
    default = False

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        return needs_cells(stage, machine)

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        return self.nests(stage, machine, placement, "latency")[0].make()

    def nests(self, stage: Stage, machine: Machine, placement: Placement, objective: str) -> Ranked:
        return best_nests(problem_of(stage, machine, placement, "activation"), self.name, objective)


DATAFLOWS.register("input-stationary")(_flow := InputStationary())
_checked: Searched = _flow

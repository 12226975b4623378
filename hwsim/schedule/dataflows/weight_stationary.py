"""Weight-stationary: a tile of weights stays in the array while activations stream past and sums
step down.

          columns: filters
        w00 w01 w02 w03   <- stay
a  ->   w10 w11 w12 w13
a  ->   w20 w21 w22 w23      rows: the reduction (k of the product)
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


class WeightStationary:
    """What stays is all that the name says; tiles and orders are searched
    (hwsim.schedule.tiles)."""

    name = "weight-stationary"
    summary = "a weight tile stays in the array, activations stream past"
    default = True

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        return needs_cells(stage, machine)

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        return self.nests(stage, machine, placement, "latency")[0].make()

    def nests(self, stage: Stage, machine: Machine, placement: Placement, objective: str) -> Ranked:
        return best_nests(problem_of(stage, machine, placement, "weight"), self.name, objective)


DATAFLOWS.register("weight-stationary")(_flow := WeightStationary())
_checked: Searched = _flow

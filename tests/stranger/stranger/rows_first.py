"""A dataflow: an output after the other, its reduction innermost; the buffer holds one reduction's operands.

for m, n:  [buffer]  for k: C[m][n] += A[m][k] * B[k][n]
"""

from hwsim.describe.machine import Machine
from hwsim.ir.nest import Hold, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS
from stranger.row_unit import RowUnit


class RowsFirst:
    name = "rows-first"
    summary = "an output after the other"
    default = True

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        if not isinstance(machine.compute, RowUnit):
            return "it needs a row unit"
        return None if stage.view is not None else "the stage is no matrix product"

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        outer = tuple(dim for dim, _ in stage.bounds if dim in stage.output.dims)
        inner = tuple(dim for dim, _ in stage.bounds if dim not in outer)
        level = machine.chain("activation")[1]
        moving = placement.moving(stage, machine, level, ("activation", "weight", "output"))
        items = [
            *placement.backing(stage, machine),
            *points(outer),
            Hold(level, moving),
            *points(inner),
        ]
        return Nest(stage, drop_idle(stage, items), self.name)


DATAFLOWS.register("rows-first")(RowsFirst())

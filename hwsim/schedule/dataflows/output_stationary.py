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
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points, split_group, tiles
from hwsim.parts.pe_array import PeArray
from hwsim.parts.systolic import SystolicArray
from hwsim.rewrite.placement import Placement
from hwsim.schedule.arrays import (
    buffer_block,
    buffer_hold,
    cell_holds,
    chip_holds,
    inner_levels,
    needs_cells,
    other_dims,
    still,
    weight_words,
)
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow


class OutputStationary:
    """for b, m-block: [buffer] for m-fold, n-fold: [accumulators] for k-slices: [weights] par m,
    par n: for taps, k."""

    name = "output-stationary"
    summary = "every cell keeps an output's sum, operands stream past"
    default = False

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        return needs_cells(stage, machine)

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        view, array = stage.view, machine.compute
        assert view is not None and isinstance(array, (SystolicArray, PeArray))
        extents, others = dict(stage.bounds), other_dims(stage, view)
        rows, columns = (
            split_group(view.m, extents, array.rows),
            split_group(view.n, extents, array.columns),
        )
        taps = stage.group(others)
        slices = split_group(
            view.k, extents, weight_words(stage, machine, placement) // (array.columns * taps)
        )
        block = buffer_block(stage, machine, placement, view, dict(rows))
        activation, weight, output = (
            inner_levels(machine, role) for role in ("activation", "weight", "output")
        )
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *points(view.b),
            *tiles(block, view.m),
            *buffer_hold(stage, machine, placement),
            *tiles({dim: min(rows[dim], block[dim]) for dim in view.m}, view.m),
            *tiles(columns, view.n),
            *chip_holds(stage, machine, placement, "output"),
            *tiles(slices, view.k),
            *chip_holds(stage, machine, placement, "weight"),
            *points(view.m, "row"),
            *points(view.n, "column"),
            *still(stage, machine, "output", output),
            *points((*others, *view.k)),
            *cell_holds(stage, machine, "weight", weight),
            *cell_holds(stage, machine, "activation", activation),
        ]
        return Nest(stage, drop_idle(stage, items), self.name)


DATAFLOWS.register("output-stationary")(_flow := OutputStationary())
_checked: Dataflow = _flow

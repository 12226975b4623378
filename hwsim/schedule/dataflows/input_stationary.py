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
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points, split_group, tiles
from hwsim.parts.pe_array import PeArray
from hwsim.parts.systolic import SystolicArray
from hwsim.rewrite.placement import Placement
from hwsim.schedule.arrays import (
    accumulator_rows,
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


class InputStationary:
    """for b, m-block: [buffer] for m-fold, n-tile: [accumulators] for taps, k-fold: [weights] par
    k, par m: [cells] for n."""

    name = "input-stationary"
    summary = "an activation tile stays in the array, weights stream past"
    default = False

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        return needs_cells(stage, machine)

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        view, array = stage.view, machine.compute
        assert view is not None and isinstance(array, (SystolicArray, PeArray))
        extents = dict(stage.bounds)
        rows, columns = (
            split_group(view.k, extents, array.rows),
            split_group(view.m, extents, array.columns),
        )
        wide = min(
            accumulator_rows(machine, placement),
            weight_words(stage, machine, placement) // array.rows,
        )
        stream = split_group(view.n, extents, wide)
        block = buffer_block(stage, machine, placement, view, dict(columns))
        activation, weight, output = (
            inner_levels(machine, role) for role in ("activation", "weight", "output")
        )
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *points(view.b),
            *tiles(block, view.m),
            *buffer_hold(stage, machine, placement),
            *tiles({dim: min(columns[dim], block[dim]) for dim in view.m}, view.m),
            *tiles(stream, view.n),
            *chip_holds(stage, machine, placement, "output"),
            *points(other_dims(stage, view)),
            *tiles(rows, view.k),
            *chip_holds(stage, machine, placement, "weight"),
            *points(view.k, "row"),
            *points(view.m, "column"),
            *still(stage, machine, "activation", activation),
            *points(view.n),
            *cell_holds(stage, machine, "weight", weight),
            *cell_holds(stage, machine, "output", output),
        ]
        return Nest(stage, drop_idle(stage, items), self.name)


DATAFLOWS.register("input-stationary")(_flow := InputStationary())
_checked: Dataflow = _flow

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
    still,
)
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow, tile_bytes


class WeightStationary:
    """for b, m-block: [buffer] for m-tile, n-fold: [accumulators] for taps, k-fold: [weights] par
    k, par n: for m.

    Where m is cut and all weights fit their memory, it holds them from the start: [weights] for
    m-block: ...
    """

    name = "weight-stationary"
    summary = "a weight tile stays in the array, activations stream past"
    default = True

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        return needs_cells(stage, machine)

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        view, array = stage.view, machine.compute
        assert view is not None and isinstance(array, (SystolicArray, PeArray))
        extents = dict(stage.bounds)
        others = tuple(
            dim for dim, _ in stage.bounds if dim not in (*view.m, *view.n, *view.k, *view.b)
        )
        rows = split_group(view.k, extents, array.rows)
        columns = split_group(view.n, extents, _columns_that_fit(stage, machine, placement, array))
        strip = split_group(view.m, extents, accumulator_rows(machine, placement))
        block = buffer_block(stage, machine, placement, view, strip)
        inner_activation, inner_weight, inner_output = (
            inner_levels(machine, role) for role in ("activation", "weight", "output")
        )
        held = chip_holds(stage, machine, placement, "weight")
        again = any(
            min(strip[dim], block[dim]) < extents[dim] for dim in view.m
        )  # vectors in several strips want the weights again
        once = held if again and _all_fit(stage, machine, placement, held) else ()
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *points(view.b),
            *once,
            *tiles(block, view.m),
            *buffer_hold(stage, machine, placement),
            *tiles({dim: min(strip[dim], block[dim]) for dim in view.m}, view.m),
            *tiles(columns, view.n),
            *chip_holds(stage, machine, placement, "output"),
            *points(others),
            *tiles(rows, view.k),
            *(() if once else held),
            *points(view.k, "row"),
            *points(view.n, "column"),
            *still(stage, machine, "weight", inner_weight),
            *points(view.m),
            *cell_holds(stage, machine, "activation", inner_activation),
            *cell_holds(stage, machine, "output", inner_output),
        ]
        return Nest(stage, drop_idle(stage, items), self.name)


def _all_fit(stage: Stage, machine: Machine, placement: Placement, held: tuple[Hold, ...]) -> bool:
    """Do all weights of a group fit the memories before the cells, so that they need to come only
    once?"""
    view, weights = stage.view, next(tensor for tensor in stage.inputs if tensor.role == "weight")
    assert view is not None
    size = tile_bytes(weights, {dim: bound for dim, bound in stage.bounds if dim not in view.b})
    return all(size <= placement.room(machine, hold.level) for hold in held)


def _columns_that_fit(
    stage: Stage, machine: Machine, placement: Placement, array: SystolicArray | PeArray
) -> int:
    """Columns of the array that a weight tile as high as it may fill, all buffers of it in the
    memory before the cells."""
    weights = next(tensor for tensor in stage.inputs if tensor.role == "weight")
    columns = array.columns
    for hold in chip_holds(stage, machine, placement, "weight"):
        columns = min(
            columns,
            placement.room(machine, hold.level) // (array.rows * weights.width * hold.buffers),
        )
    return max(1, columns)


DATAFLOWS.register("weight-stationary")(_flow := WeightStationary())
_checked: Dataflow = _flow

"""No local reuse: cells keep nothing; operands come from the chip's buffer, sums go back there.

buffer ==a==>  [x] [x] [x]      rows: channels, added up down each column
       ==w==>  [x] [x] [x]
       ==a==>  [x] [x] [x]      columns: filters
                |   |   |
                v   v   v       back to the buffer, every cycle
"""

from __future__ import annotations

from hwsim.describe.machine import Machine
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points, split_group, tiles
from hwsim.parts.pe_array import PeArray
from hwsim.rewrite.placement import Placement
from hwsim.schedule.arrays import buffer_block, buffer_hold, chip_holds, other_dims, weight_words
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow


class NoLocalReuse:
    """for b, m-block: [buffer] for n-fold, k-fold: [weights] par k, par n: for m, taps."""

    name = "no-local-reuse"
    summary = "cells keep nothing; all operands come from the buffer"
    default = False

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        if not isinstance(machine.compute, PeArray):
            return "it needs PEs that a bus can reach (cells of a systolic array pass operands on)"
        return None if stage.view is not None else "the stage is no matrix product"

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        view, array = stage.view, machine.compute
        assert view is not None and isinstance(array, PeArray)
        extents, others = dict(stage.bounds), other_dims(stage, view)
        rows = split_group(view.k, extents, array.rows)
        room = weight_words(stage, machine, placement) // (array.rows * stage.group(others))
        columns = split_group(view.n, extents, max(1, min(array.columns, room)))
        block = buffer_block(stage, machine, placement, view, {dim: extents[dim] for dim in view.m})
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *points(view.b),
            *tiles(block, view.m),
            *buffer_hold(stage, machine, placement),
            *tiles(columns, view.n),
            *tiles(rows, view.k),
            *chip_holds(stage, machine, placement, "weight"),
            *points(view.k, "row"),
            *points(view.n, "column"),
            *points((*view.m, *others)),
        ]
        return Nest(stage, drop_idle(stage, items), self.name)


DATAFLOWS.register("no-local-reuse")(_flow := NoLocalReuse())
_checked: Dataflow = _flow

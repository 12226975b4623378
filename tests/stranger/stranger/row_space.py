"""A mapping space: the row unit's buffer holds tiles of a product, in any order.

for tiles:  [buffer]  for points: C[m][n] += A[m][k] * B[k][n]
"""

from hwsim.ir.nest import Hold
from hwsim.schedule.mapper.space import FAMILIES, OUTER, POINT, Skeleton, Slot, Space, cuts, orders
from stranger.row_unit import RowUnit


@FAMILIES.register("row-unit")
class RowSpace:
    rank = 9

    @staticmethod
    def refuses(stage, machine):
        if not isinstance(machine.compute, RowUnit):
            return "it needs a row unit"
        return None if stage.view is not None else "the stage is no matrix product"

    @staticmethod
    def space(stage, machine, placement, options):
        dims = tuple(dim for dim, _ in stage.bounds)
        level = machine.chain("activation")[1]
        moving = placement.moving(stage, machine, level, ("activation", "weight", "output"))
        skeletons = tuple(
            Skeleton(
                (
                    *placement.backing(stage, machine),
                    *(Slot(dim, OUTER) for dim in outer),
                    Hold(level, moving),
                    *(Slot(dim, POINT) for dim in dims),
                ),
                (last, "", ""),
            )
            for last, _, outer in orders(stage, dims)
        )
        ones = dict.fromkeys(dims, 1)
        tiles = {dim: cuts(bound, 64) for dim, bound in stage.bounds}
        cells = dict.fromkeys(dims, (1,))
        spread = tuple(ones.values())
        return Space("row-unit", stage, machine, skeletons, tiles, cells, (ones,), {spread: {}})

"""Systolic arrays: weights stay in the cells, activations stream past, accumulators take the sums.

    for m, n tiles x:              outer block: activations and outputs in the chip's buffer
      for m strips, n folds:       [accumulators]
        for taps, k folds:         [weight buffer]
          par k on rows, n on columns   (products of a batch beside each other, on the diagonal)
            for m: one row a cycle

The reduction is never cut outside the buffer, since sums that have left the accumulators do not
come back.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from hwsim.describe.machine import ROLES, Machine
from hwsim.ir.nest import Hold
from hwsim.ir.stage import Stage
from hwsim.ir.transform import split_group
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.systolic import SystolicArray
from hwsim.rewrite.placement import Placement
from hwsim.schedule.arrays import beside_on
from hwsim.schedule.mapper.space import (
    ARRAY,
    CELL,
    FAMILIES,
    OUTER,
    POINT,
    Options,
    Skeleton,
    Slot,
    Space,
    cuts,
    orders,
)

MOST_CUTS = 8


@FAMILIES.register("weight-stationary")
class SystolicSpace:
    """x of the product's m and n, strips of m; columns and rows as the array has them."""

    rank = 0

    @staticmethod
    def refuses(stage: Stage, machine: Machine) -> str | None:
        if not isinstance(machine.compute, SystolicArray):
            return "it needs a systolic array"
        if min(len(machine.chain(role)) for role in ROLES) < 2:
            return "every role needs a memory on the chip"
        if machine.compute.arrays > 1:
            return "arrays side by side are not searched"
        return None if stage.view is not None else "the stage is no matrix product"

    @staticmethod
    def space(stage: Stage, machine: Machine, placement: Placement, options: Options) -> Space:
        view, array = stage.view, machine.compute
        assert view is not None and isinstance(array, SystolicArray)
        dims = tuple(dim for dim, _ in stage.bounds)
        rows, columns = (
            split_group(view.k, stage.extents, array.rows),
            split_group(view.n, stage.extents, array.columns),
        )
        counts = beside_on(array, stage, prod(rows.values()), prod(columns.values()))
        axes = {
            **dict.fromkeys(view.b[-1:], "diagonal"),
            **dict.fromkeys(rows, "row"),
            **dict.fromkeys(columns, "column"),
        }
        spreads = []
        for beside in counts:
            sizes = {**dict.fromkeys(view.b[-1:], beside), **rows, **columns}
            spreads.append({dim: sizes.get(dim, 1) for dim in dims})
        outer: dict[str, tuple[int, ...]] = {dim: (bound,) for dim, bound in stage.bounds}
        outer.update({**dict.fromkeys(view.b, (1,)), **dict.fromkeys(view.b[-1:], counts)})
        outer.update({dim: cuts(stage.extents[dim], MOST_CUTS) for dim in (*view.m, *view.n)})
        cell: dict[str, tuple[int, ...]] = dict.fromkeys(dims, (1,))
        cell.update({dim: cuts(stage.extents[dim], MOST_CUTS) for dim in view.m})
        return Space(
            "weight-stationary",
            stage,
            machine,
            tuple(_skeletons(stage, machine, placement)),
            outer,
            cell,
            tuple(spreads),
            {
                tuple(spread[dim] for dim in dims): {
                    dim: ((axes[dim], spread[dim]),) for dim in dims if spread[dim] > 1
                }
                for spread in spreads
            },
            ordered=(*view.m, *view.n),
        )


def _skeletons(stage: Stage, machine: Machine, placement: Placement) -> Iterator[Skeleton]:
    view = stage.view
    assert view is not None
    others = tuple(
        dim for dim, _ in stage.bounds if dim not in (*view.m, *view.n, *view.k, *view.b)
    )
    activation, weight, output = (
        machine.chain(role)[1:] for role in ("activation", "weight", "output")
    )
    buffer = _hold(stage, machine, activation[0], placement)
    sums = _holds(stage, machine, output, activation[0], placement)
    weights = _holds(stage, machine, weight, activation[0], placement)
    cells = Hold(
        machine.compute_name,
        tuple(tensor.name for tensor in stage.tensors if tensor.role == "weight"),
    )
    moving = (*view.m, *view.n)
    for last, _, outer in orders(stage, moving):
        for _, _, inner in orders(stage, moving):
            yield Skeleton(
                (
                    *placement.backing(stage, machine),
                    *(Slot(dim, OUTER) for dim in (*view.b, *outer)),
                    *((buffer,) if buffer.tensors else ()),
                    *(Slot(dim, ARRAY) for dim in (*view.b[-1:], *inner)),
                    *sums,
                    *(Slot(dim, ARRAY) for dim in (*others, *view.k)),
                    *weights,
                    *(Slot(dim, CELL, "array") for dim in (*view.b[-1:], *view.k, *view.n)),
                    cells,
                    *(Slot(dim, POINT) for dim in view.m),
                ),
                (last, "", ""),
            )


def _holds(
    stage: Stage, machine: Machine, levels: tuple[str, ...], buffer: str, placement: Placement
) -> tuple[Hold, ...]:
    """The memories inside the chip's buffer, but those that nothing comes into."""
    holds = (_hold(stage, machine, level, placement) for level in levels if level != buffer)
    return tuple(hold for hold in holds if hold.tensors)


def _hold(stage: Stage, machine: Machine, level: str, placement: Placement) -> Hold:
    part = machine.part(level, Scratchpad)
    return Hold(level, placement.moving(stage, machine, level, part.roles), buffers=part.buffers)

"""PE arrays: any dim over either axis, any order, any tensor past any memory that lets it by."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from math import prod

from hwsim.describe.machine import Machine, Role
from hwsim.ir.nest import Hold
from hwsim.ir.stage import Stage
from hwsim.ir.transform import backing
from hwsim.parts.pe_array import PeArray
from hwsim.parts.scratchpad import Scratchpad
from hwsim.rewrite.placement import Placement
from hwsim.schedule.mapper.space import (
    ARRAY,
    CELL,
    FAMILIES,
    IDLE,
    OUTER,
    POINT,
    Options,
    Skeleton,
    Slot,
    Space,
    cuts,
    orders,
    subsets,
)

AXES = ("row", "column")
MOST_CUTS = 16
LONG = 512
MIXED_DIMS = 3  # beyond so many dims an axis is given to one dim at a time


@FAMILIES.register("free")
class FreeSpace:
    """Dims in any order, on either axis; a tensor may pass the memories that let it by.

    for <dims>:                          [first buffer]
      for <dims>:                        [other buffers]
        par <dims> on rows, columns:     [PE scratchpads]
          for <dims>
    """

    rank = 2

    @staticmethod
    def refuses(stage: Stage, machine: Machine) -> str | None:
        if not isinstance(machine.compute, PeArray):
            return "it needs an array of PEs"
        return None if stage.view is not None else "the stage is no matrix product"

    @staticmethod
    def space(stage: Stage, machine: Machine, placement: Placement, options: Options) -> Space:
        array = machine.compute
        assert isinstance(array, PeArray)
        dims = tuple(dim for dim, _ in stage.bounds)
        running = tuple(dim for dim in dims if stage.extents[dim] > 1)
        splits = dict(
            _spreads(
                stage,
                running,
                (array.rows, array.columns),
                options.mixed and len(running) <= MIXED_DIMS,
            )
        )
        windows = {
            dim
            for tensor in stage.inputs
            for axis in tensor.axes
            if len(axis.terms) > 1
            for dim in axis.dims[1:]
        }
        whole = {dim: (bound,) for dim, bound in stage.bounds}
        some = {
            dim: cuts(bound, MOST_CUTS if bound <= LONG else MOST_CUTS // 2)
            for dim, bound in stage.bounds
        }
        taps = {
            dim: tuple(dict.fromkeys((bound, 1))) for dim, bound in stage.bounds if dim in windows
        }
        return Space(
            "mapped",
            stage,
            machine,
            tuple(_skeletons(stage, machine, placement, dims)),
            {**some, **{dim: whole[dim] for dim in windows}},
            {**some, **taps},
            tuple(dict(zip(dims, spread, strict=True)) for spread in splits),
            splits,
        )


def _skeletons(
    stage: Stage, machine: Machine, placement: Placement, dims: tuple[str, ...]
) -> Iterator[Skeleton]:
    """Every choice of orders and bypasses.

    Memories of the chip lie around the inner block, the PEs' own inside.
    """
    first, *others = _memories(machine, "chip")
    cells = _memories(machine, "pe")
    windows = {
        dim
        for tensor in stage.inputs
        for axis in tensor.axes
        if len(axis.terms) > 1
        for dim in axis.dims[1:]
    }
    outer = tuple(dim for dim in dims if dim not in windows)
    choices = [list(_held(stage, machine, level, placement)) for level in (first, *others, *cells)]
    for held in itertools.product(*choices):
        holds = [hold for hold in held if hold.tensors]
        outside = [hold for hold in holds if hold.level == first]
        around = [hold for hold in holds if hold.level in others]
        inside = [hold for hold in holds if hold.level in cells]
        for last, order in {
            innermost: order for innermost, _, order in orders(stage, outer)
        }.items():
            if not outside and last != IDLE:
                continue  # with nothing held there the two blocks are one
            for innermost, following, inner in orders(stage, dims):
                yield Skeleton(
                    (
                        *_backing(stage, machine, placement),
                        *(Slot(dim, OUTER) for dim in order),
                        *outside,
                        *(Slot(dim, ARRAY) for dim in inner),
                        *around,
                        *(Slot(dim, CELL, "array") for dim in dims),
                        *inside,
                        *(Slot(dim, POINT) for dim in dims),
                    ),
                    (last, innermost, following),
                )


def _backing(stage: Stage, machine: Machine, placement: Placement) -> tuple[Hold, ...]:
    return (
        placement.backing(stage, machine)
        if placement.kept
        else (backing(stage, machine.dram_name),)
    )


def _memories(machine: Machine, per: str) -> tuple[str, ...]:
    """Scratchpads of the chip or of the PEs from the outside in."""
    found: dict[str, None] = {}
    order: tuple[Role, ...] = ("activation", "output", "weight")
    for role in order:
        for level in machine.chain(role)[1:]:
            part = machine.parts[level]
            if isinstance(part, Scratchpad) and part.per == per:
                found[level] = None
    return tuple(found)


def _held(stage: Stage, machine: Machine, level: str, placement: Placement) -> Iterator[Hold]:
    """The memory holding its tensors, or fewer where the machine lets them by."""
    part = machine.part(level, Scratchpad)
    moving = placement.moving(stage, machine, level, part.roles)
    for kept in subsets(moving) if part.bypass else (moving,):
        yield Hold(level, kept, buffers=part.buffers)


Split = Mapping[str, tuple[tuple[str, int], ...]]


def _spreads(
    stage: Stage, running: tuple[str, ...], sizes: tuple[int, int], mixed: bool
) -> Iterator[tuple[tuple[int, ...], Split]]:
    """Neighbours by dim and how they lie on the axes; the first way to lay a spread out is kept."""
    dims = tuple(dim for dim, _ in stage.bounds)
    seen: set[tuple[int, ...]] = set()
    for rows in _shares(stage, running, sizes[0], mixed):
        for columns in _shares(stage, running, sizes[1], mixed):
            spread = tuple(rows.get(dim, 1) * columns.get(dim, 1) for dim in dims)
            if spread in seen or any(
                neighbours > stage.extents[dim]
                for dim, neighbours in zip(dims, spread, strict=True)
            ):
                continue
            seen.add(spread)
            yield (
                spread,
                {
                    dim: tuple(
                        (axis, share[dim])
                        for axis, share in zip(AXES, (rows, columns), strict=True)
                        if share.get(dim, 1) > 1
                    )
                    for dim in dims
                },
            )


def _shares(
    stage: Stage, running: tuple[str, ...], size: int, mixed: bool
) -> Iterator[dict[str, int]]:
    """Ways to give an axis of `size` to one dim or several, whole or in even parts."""
    parts = {dim: {min(part, stage.extents[dim]) for part in cuts(size, size)} for dim in running}
    ways = (
        itertools.product(*(parts[dim] for dim in running))
        if mixed
        else (
            tuple(neighbours if dim == chosen else 1 for dim in running)
            for chosen in running
            for neighbours in parts[chosen]
        )
    )
    for way in ways:
        if prod(way) <= size:
            yield dict(zip(running, way, strict=True))

"""A space of mappings: which nests the mapper chooses among.

It is stated so that "the best of them" means something. Every nest of a space has two blocks of
temporal loops and one of spatial loops:

    hold DRAM: everything
    for <dims> in tiles x            outer block: what the first on-chip memory holds
      hold buffer: ...
      for <dims> in tiles a = f*t    inner block: what all of the array works on at once
        par <dims> in tiles t        f neighbours
          hold scratchpads: ...
          for <dims> one by one

A mapping picks, for every dim, x, f and t; for each block, which dims run innermost; and which
tensors pass a memory by.

Orders. In a block only the innermost loops that run (more than one chunk) decide what is used
again: a tensor stays while loops that it does not depend on advance inside all that it depends on.
Every dim of a product or convolution is irrelevant to at most one of the three tensors, so the
innermost running loop picks the one tensor that stays; the other dims irrelevant to that tensor go
next to it, and the order of the rest does not matter. A block is therefore either idle or one of as
many orders as it has dims, each with its innermost loop running. (Of a sliding window p or q goes
next where neither is innermost, since overlaps are kept along it.)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Literal, NamedTuple, Protocol

from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle
from hwsim.registry import Registry
from hwsim.rewrite.placement import Placement

OUTER, ARRAY, CELL, POINT = "x", "a", "t", "1"
IDLE = "-"
FEW = 3


class Slot(NamedTuple):
    """A loop whose tile is not chosen yet.

    The tile is OUTER, ARRAY, CELL (spatial, over `axis`) or POINT.
    """

    dim: str
    tile: str
    axis: str | None = None


@dataclass(frozen=True)
class Skeleton:
    """A nest without its tiles: one choice of orders and of what passes which memory by.

    running: the innermost loop of the outer block and of the inner block, which runs, and of the
    inner block's loops outside the dims irrelevant to the same tensor the innermost that runs; IDLE
    where none does; empty where nothing is said. Tilings that do not keep to it belong to another
    skeleton. still: (dim, tile) of loops that do not run.
    """

    items: tuple[Slot | Hold, ...]
    running: tuple[str, str, str] = ("", "", "")
    still: frozenset[tuple[str, str]] = frozenset()

    @cached_property
    def holds(self) -> tuple[Hold, ...]:
        return tuple(item for item in self.items if isinstance(item, Hold))

    def memories(self, machine: Machine) -> tuple[Hold, ...]:
        """The levels that are memories; cells of an array are none."""
        return tuple(hold for hold in self.holds if hold.level in machine.memories)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(item for item in self.items if isinstance(item, Slot))

    @cached_property
    def _above(self) -> dict[int, tuple[Slot, ...]]:
        above: list[Slot] = []
        found = {}
        for item in self.items:
            if isinstance(item, Hold):
                found[id(item)] = tuple(above)
            else:
                above.append(item)
        return found

    def slots_above(self, hold: Hold | None) -> tuple[Slot, ...]:
        """The loops outside a level; every loop for None, the multipliers."""
        return self.slots if hold is None else self._above[id(hold)]

    def seen_by(self, tensor: str) -> tuple[object, ...]:
        """What one tensor sees of the nest: the loops, and the levels that hold it."""
        return self._seen[tensor]

    @cached_property
    def _seen(self) -> dict[str, tuple[object, ...]]:
        places = [
            (hold, (hold.level, hold.buffers, len(self._above[id(hold)]))) for hold in self.holds
        ]
        tensors = dict.fromkeys(name for hold in self.holds for name in hold.tensors)
        return {
            tensor: (
                tensor,
                self.loops,
                *(place for hold, place in places if tensor in hold.tensors),
            )
            for tensor in tensors
        }

    @cached_property
    def pattern(self) -> tuple[object, ...]:
        """The levels, by identity, and the kinds of loops between, whatever the loops' dims."""
        return tuple(item.tile if isinstance(item, Slot) else id(item) for item in self.items)

    @cached_property
    def loops(self) -> str:
        """The loops and which of them run, in a word that is quick to compare."""
        slots = (f"{slot.dim}{slot.tile}{slot.axis or ''}" for slot in self.slots)
        still = (dim + tile for dim, tile in sorted(self.still))
        return " ".join((*slots, "/", *self.running, "/", *still))


@dataclass(frozen=True)
class Tiling:
    """The tiles of one mapping: x (outer), f (neighbours), t (a neighbour's own) of every dim."""

    outer: Mapping[str, int]
    spread: Mapping[str, int]
    cell: Mapping[str, int]

    def chain(self, dim: str) -> tuple[int, int, int, int]:
        """Tiles of a dim from the outside in, each clipped to the one outside it."""
        x = self.outer[dim]
        a = min(x, self.spread[dim] * self.cell[dim])
        return x, a, min(a, self.cell[dim]), 1


@dataclass(frozen=True)
class Options:
    """Options of a space and of its costs.

    mixed: an axis of the array may be shared by several dims (at most three dims), not only be
    given to one.

    convention: 'timeloop' leaves out what Timeloop does, reading sums to send them outwards and the
    first and last tiles' way in and out, so that costs can be set beside its own.
    """

    mixed: bool = True
    convention: Literal["exact", "timeloop"] = "exact"


@dataclass(frozen=True)
class SpaceSize:
    """How many mappings are chosen among, legal or not; orders and bypasses; uses of the array.

    dataflows: whose tilings they are; 0 where any nest is a mapping.
    """

    mappings: int
    orders: int
    spreads: int
    dataflows: int = 0

    @property
    def text(self) -> str:
        if self.dataflows:
            return f"{self.mappings:,} tilings of {self.dataflows} dataflows"
        return (
            f"{self.mappings:.3g} mappings in {self.orders} orders and bypasses, "
            f"{self.spreads} spreads"
        )


@dataclass(frozen=True)
class Space:
    """What may be chosen.

    outer, cell: tiles by dim; spreads: neighbours by dim, each a legal use of the array.

    split: how a spread lies on the machine's axes, as {dim: ((axis, neighbours), ...)}. ordered:
    the dims whose loops the skeletons' orders are of, all where none is named; others run as their
    tiles have them.
    """

    name: str
    stage: Stage
    machine: Machine
    skeletons: tuple[Skeleton, ...]
    outer: Mapping[str, tuple[int, ...]]
    cell: Mapping[str, tuple[int, ...]]
    spreads: tuple[Mapping[str, int], ...]
    split: Mapping[tuple[int, ...], Mapping[str, tuple[tuple[str, int], ...]]]
    placement: Placement = Placement()
    options: Options = Options()
    ordered: tuple[str, ...] = ()

    @property
    def dims(self) -> tuple[str, ...]:
        return tuple(dim for dim, _ in self.stage.bounds)

    @property
    def size(self) -> SpaceSize:
        """Counts of what may be chosen."""
        tiles = prod(len(self.outer[dim]) * len(self.cell[dim]) for dim in self.dims)
        orders = len({(each.items, each.running) for each in self.skeletons})
        spreads = len(self.spreads)
        return SpaceSize(orders * spreads * tiles, orders, spreads)

    def nest(self, skeleton: Skeleton, tiling: Tiling) -> Nest:
        """The mapping as a nest."""
        spread = tuple(tiling.spread[dim] for dim in self.dims)
        left = dict(self.stage.bounds)
        items: list[Loop | Hold] = []
        for item in skeleton.items:
            if isinstance(item, Hold):
                items.append(item)
                continue
            for loop in self._loops(item, tiling, spread):
                left[item.dim] = min(left[item.dim], loop.tile)
                items.append(replace(loop, tile=left[item.dim]))
        return Nest(self.stage, drop_idle(self.stage, items), self.name)

    def _loops(self, slot: Slot, tiling: Tiling, spread: tuple[int, ...]) -> Iterator[Loop]:
        x, a, t, one = tiling.chain(slot.dim)
        if slot.tile != CELL:
            yield Loop(slot.dim, {OUTER: x, ARRAY: a, POINT: one}[slot.tile])
            return
        parts = self.split[spread].get(slot.dim, ())
        inside = prod(neighbours for _, neighbours in parts)
        for axis, neighbours in parts:
            inside //= neighbours
            yield Loop(slot.dim, max(1, t * inside), axis)


class Family(Protocol):
    """Builds the space of one kind of machine.

    rank: lower is tried first. refuses: why it cannot, or None.
    """

    rank: int

    @staticmethod
    def refuses(stage: Stage, machine: Machine) -> str | None: ...

    @staticmethod
    def space(stage: Stage, machine: Machine, placement: Placement, options: Options) -> Space: ...


FAMILIES: Registry[type[Family]] = Registry("mapping space", "hwsim.schedule.mapper.spaces")


def find_family(stage: Stage, machine: Machine) -> type[Family]:
    """The first family that takes the machine. Raises HwsimError when none does."""
    reasons = []
    for name in sorted(FAMILIES, key=lambda name: FAMILIES[name].rank):
        reason = FAMILIES[name].refuses(stage, machine)
        if reason is None:
            return FAMILIES[name]
        reasons.append(f"{name}: {reason}")
    raise HwsimError(f"no mapping space for {stage.name} on {machine.name}: " + "; ".join(reasons))


def find_space(stage: Stage, machine: Machine, placement: Placement, options: Options) -> Space:
    """The space of the machine's family. Raises HwsimError when none takes it."""
    return replace(
        find_family(stage, machine).space(stage, machine, placement, options),
        placement=placement,
        options=options,
    )


def cuts(bound: int, most: int) -> tuple[int, ...]:
    """Tiles of a dim: its bound over 1, 2, 3 and so on, rounded up.

    Beyond `most` of them they are the first half and bound / 4, / 8, / 16, ...

    Between two of the full list no other tile makes fewer chunks, so none is worth its room.
    """
    found = list(dict.fromkeys(-(-bound // pieces) for pieces in range(1, bound + 1)))
    if len(found) <= most:
        return tuple(found)
    keep = {
        *found[: most // 2],
        *(-(-bound // 2**power) for power in range(bound.bit_length() + 1)),
    }
    return tuple(tile for tile in found if tile in keep)


def orders(stage: Stage, dims: tuple[str, ...]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Orders of a block's loops that can be best; first the idle block.

    Each is (innermost dim, next dim, order from the outside in).

    next: the innermost running dim outside those beside the innermost; told apart where there are
    few dims.
    """
    running = tuple(dim for dim in dims if stage.extents[dim] > 1)
    yield IDLE, IDLE, running
    for innermost in running:
        beside = beside_of(stage, innermost, running)
        others = tuple(dim for dim in running if dim != innermost and dim not in beside)
        if len(running) <= FEW:
            for following in (*others, IDLE):
                rest = (
                    *(dim for dim in others if dim != following),
                    *(dim for dim in others if dim == following),
                )
                yield innermost, following, (*rest, *beside, innermost)
            continue
        for last in tuple(dim for dim in others if dim in ("p", "q")) or ("",):
            yield (
                innermost,
                "",
                (
                    *(dim for dim in others if dim != last),
                    *(dim for dim in others if dim == last),
                    *beside,
                    innermost,
                ),
            )


def beside_of(stage: Stage, dim: str, dims: tuple[str, ...]) -> tuple[str, ...]:
    """The other dims that are irrelevant to the tensor that `dim` is irrelevant to."""
    still = [tensor for tensor in stage.tensors if dim not in tensor.dims]
    return tuple(
        other
        for other in dims
        if other != dim and still and all(other not in tensor.dims for tensor in still)
    )


def subsets(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """All subsets, the whole first."""
    for size in range(len(names), -1, -1):
        yield from itertools.combinations(names, size)

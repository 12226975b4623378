"""Factors of words and steps, column by column: each is built once, for all candidates of a group.

A sum over a nest's steps is a product over the groups of dims, of one column of each. Which columns
make which sum is said here; what is in them is in hwsim.schedule.mapper.tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hwsim.ir.stage import Stage
from hwsim.ir.tensor import Axis, Tensor
from hwsim.schedule.mapper.groups import Group, step_block
from hwsim.schedule.mapper.space import ARRAY, CELL, OUTER, POINT, Slot
from hwsim.schedule.mapper.staying import is_window
from hwsim.schedule.mapper.tables import (
    BACKWARD,
    BLOCK,
    ENTRIES,
    EVERYTHING,
    FORWARD,
    PRESENCE,
    RETURNED,
    WINDOW,
    Floats,
    OwnLoop,
    factors,
    gap_slot,
    own_slot,
    slot_count,
)

COLUMNS = {OUTER: 0, ARRAY: 1, CELL: 2, POINT: 3}


class Columns:
    """The factors of a stage's tensors and loops in every group of its dims."""

    def __init__(self, stage: Stage, groups: tuple[Group, ...]) -> None:
        self.stage, self.groups = stage, groups
        self._where = {
            dim: (number, place)
            for number, group in enumerate(groups)
            for place, dim in enumerate(group.dims)
        }
        choices = [(group.outer, group.inner) for group in groups]
        self._alike = [choices.index(each) for each in choices]
        self._tables: list[list[Floats]] = [[] for _ in groups]
        self._widths = [0] * len(groups)
        self._columns: dict[Any, int] = {}
        self._own: dict[tuple[int, tuple[Slot, ...], int], tuple[OwnLoop, ...]] = {}
        self._sums: dict[Any, list[list[int]]] = {}
        self._factors: dict[Any, Floats] = {}

    def table(self, group: int) -> Floats:
        """[candidates, columns, 2]: everything asked for so far of one group."""
        if len(self._tables[group]) > 1:
            self._tables[group] = [np.concatenate(self._tables[group], axis=1)]
        return self._tables[group][0]

    @property
    def tabled(self) -> int:
        """Columns of all tables so far."""
        return sum(self._widths)

    def _column(self, group: int, key: Any, build: Any) -> int:
        """The first column of a block of factors, built once."""
        if (group, key) not in self._columns:
            block = build()
            self._columns[group, key] = self._widths[group]
            self._widths[group] += block.shape[1]
            self._tables[group].append(block)
        return self._columns[group, key]

    def _loops(self, group: int, slots: tuple[Slot, ...], shared_from: int) -> tuple[OwnLoop, ...]:
        """The group's own loops among `slots`.

        Spatial ones from number `shared_from` on share their words.
        """
        key = (group, slots, shared_from)
        if key not in self._own:
            self._own[key] = self._own_loops(*key)
        return self._own[key]

    def _own_loops(
        self, group: int, slots: tuple[Slot, ...], shared_from: int
    ) -> tuple[OwnLoop, ...]:
        found = []
        for number, slot in enumerate(slots):
            where, place = self._where[slot.dim]
            if where == group:
                found.append(
                    OwnLoop(
                        place,
                        4 * place + COLUMNS[slot.tile],
                        slot.tile == CELL,
                        slot.tile == CELL and number >= shared_from,
                    )
                )
        return tuple(found)

    def _block(self, group: int, tensor: Tensor, loops: tuple[OwnLoop, ...], mode: int) -> Floats:
        """Factors of one tensor in one group.

        They are its axes there, and the presence of dims that it does not use.
        """
        own = self.groups[group].dims
        product = np.ones(
            (len(self.groups[group].chains), 1 if mode == EVERYTHING else slot_count(loops), 2)
        )
        if mode == EVERYTHING:
            product[:, :, 1] = 0.0
        for axis in tensor.axes:
            dims = tuple(dim for dim in axis.dims if dim in own)
            if dims:
                product = product * self._axis(
                    WINDOW if is_window(self.stage, axis) else BLOCK,
                    axis,
                    dims,
                    own,
                    loops,
                    group,
                    mode,
                )
        for dim in own:
            if dim not in tensor.dims:
                product = product * self._axis(PRESENCE, None, (dim,), own, loops, group, mode)
        return product

    def _axis(
        self,
        kind: int,
        axis: Axis | None,
        dims: tuple[str, ...],
        own: tuple[str, ...],
        loops: tuple[OwnLoop, ...],
        group: int,
        mode: int,
    ) -> Floats:
        place = {own.index(dim): number for number, dim in enumerate(dims)}
        mapped = tuple(
            OwnLoop(
                place.get(loop.dim, -1), loop.column, loop.spatial, loop.shared and kind != BLOCK
            )
            for loop in loops
        )
        mapped = tuple(loop for loop in mapped if loop.dim >= 0 or not loop.spatial)
        if mode == EVERYTHING:  # a sum over all chunks, in whatever order
            own_loops = (loop for loop in mapped if loop.dim >= 0)
            mapped = tuple(sorted(own_loops, key=lambda loop: loop.dim))
        bounds = tuple(self.stage.extents[dim] for dim in dims)
        key = (self._alike[group], kind, _form(kind, axis, dims), bounds, mapped, mode)
        if key not in self._factors:
            self._factors[key] = factors(
                kind, axis, dims, bounds, mapped, self.groups[group].chains, mode
            )
        return self._factors[key]

    def one_tile(self, tensor: Tensor, slots: tuple[Slot, ...]) -> list[int]:
        """Columns of an input's first tile, of the output's last."""
        mode = BACKWARD if tensor.role == "output" else FORWARD
        return [
            self._alone(group, self._base(group, tensor, slots, len(slots), mode))
            for group in range(len(self.groups))
        ]

    def every_step(self, tensor: Tensor, slots: tuple[Slot, ...]) -> list[int]:
        """Columns of a tensor's words summed over all steps of some loops, neighbours sharing."""
        every = range(len(self.groups))
        return [self._base(group, tensor, slots, 0, EVERYTHING) for group in every]

    def steps(self, slots: tuple[Slot, ...], lengths: bool) -> list[int]:
        """Columns of the temporal steps of some loops.

        With `lengths`, each step is counted as long as its chunk of k, of all products of a batch
        that it takes at once.
        """
        view = self.stage.view
        deep = {*view.b, *view.k} if view and lengths else set()
        columns = []
        for group, members in enumerate(self.groups):
            whole = self._loops(group, slots, len(slots))
            columns.append(
                self._column(
                    group,
                    ("steps", whole, lengths),
                    lambda members=members, whole=whole: step_block(
                        members, self.stage.extents, whole, deep
                    ),
                )
            )
        return columns

    def sum_of(
        self, tensor: Tensor, slots: tuple[Slot, ...], before: int, variable: int, afresh: bool
    ) -> list[list[int]]:
        """Columns of the terms of one sum.

        They are all steps afresh, or the end and then every temporal loop's advances.
        """
        mode = EVERYTHING if afresh else BACKWARD if variable == RETURNED else FORWARD
        shared_from = len(slots) if variable == ENTRIES else before
        key = (tensor.name, slots, shared_from, mode)
        if key not in self._sums:
            self._sums[key] = list(self._sum_of(tensor, slots, shared_from, mode))
        return self._sums[key]

    def _sum_of(
        self, tensor: Tensor, slots: tuple[Slot, ...], shared_from: int, mode: int
    ) -> Iterator[list[int]]:
        every = range(len(self.groups))
        bases = [self._base(group, tensor, slots, shared_from, mode) for group in every]
        loops = [self._loops(group, slots, shared_from) for group in every]
        yield bases
        if mode == EVERYTHING:
            return
        passed = [0] * len(self.groups)
        for slot in slots:
            if slot.tile == CELL:
                continue
            mine = self._where[slot.dim][0]
            yield [
                base
                + (
                    own_slot(passed[group])
                    if group == mine
                    else gap_slot(loops[group], passed[group])
                )
                for group, base in enumerate(bases)
            ]
            passed[mine] += 1

    def least_of(
        self,
        tensor: Tensor,
        slots: tuple[Slot, ...],
        before: int,
        variable: int,
        stays: tuple[str, ...],
    ) -> list[int]:
        """Columns of one term: all steps of the loops outside.

        The inner loops of `stays` are at their first (or last) chunk.
        """
        shared_from = len(slots) if variable == ENTRIES else before
        mode = BACKWARD if variable == RETURNED else FORWARD
        columns = []
        for group, members in enumerate(self.groups):
            if not any(dim in stays for dim in members.dims):
                columns.append(self._base(group, tensor, slots, shared_from, EVERYTHING))
                continue
            base = self._base(group, tensor, slots, shared_from, mode)
            outside = sum(slot.tile == OUTER and slot.dim in members.dims for slot in slots)
            gap = gap_slot(self._loops(group, slots, shared_from), outside)
            columns.append(self._alone(group, base + gap))
        return columns

    def _base(
        self, group: int, tensor: Tensor, slots: tuple[Slot, ...], shared_from: int, mode: int
    ) -> int:
        """The first column of a tensor's factors in a group, above what `slots` lead to."""
        own = self._loops(group, slots, shared_from)
        key = (tensor.name, own, mode)
        return self._column(group, key, lambda: self._block(group, tensor, own, mode))

    def _alone(self, group: int, column: int) -> int:
        """A column of what is new alone, with nothing kept."""

        def build() -> Floats:
            block = self.table(group)[:, column : column + 1].copy()
            block[..., 1] = 0.0
            return block

        return self._column(group, ("alone", column), build)


def _form(kind: int, axis: Axis | None, dims: tuple[str, ...]) -> tuple[int, ...]:
    """What factors of an axis depend on, whatever its dims are called."""
    if axis is None:
        return ()
    if kind != WINDOW:
        return (axis.extent,)
    coefficients = dict(axis.terms)
    return (axis.offset, axis.extent, axis.size, *(coefficients[dim] for dim in dims))

"""A nest as the arrays of loops, accesses and stretches that the walk takes."""

from __future__ import annotations

from math import prod

import numpy as np

from hwsim.errors import HwsimError
from hwsim.ir.nest import NO_VECTORS, Loop, Nest
from hwsim.timing.caches.chain import AddressSpace
from hwsim.timing.caches.look_ups import Ints
from hwsim.timing.caches.steps import LONGEST_STRETCH, trips_of
from hwsim.timing.caches.stretches import Stretches, stretches
from hwsim.timing.caches.tables import TERMS
from hwsim.timing.caches.walk import Schedule, Tensors

SUM_BYTES = 4  # partial sums are at least this wide
WHOLE_STRETCH = 64  # steps that are recorded together at least, where loops allow
KEPT_LOOKUPS = 1 << 20
NOWHERE = -1  # axes of a tensor that this stage does not have


def schedule_of(nest: Nest, temporal: list[Loop], units: Ints) -> Schedule:
    dims = [dim for dim, _ in nest.stage.bounds]
    deep = np.full(len(dims), -1, np.int64)
    rows = []
    for number, loop in enumerate(temporal):
        dim = dims.index(loop.dim)
        rows.append([dim, loop.tile, int(deep[dim]), int(loop.dim not in nest.stage.output.dims)])
        deep[dim] = number
    return Schedule(np.array(rows, np.int64).reshape(len(rows), 4), deep, units)


def stretches_of(
    nest: Nest, temporal: list[Loop], units: Ints, tensors: Tensors, sampled: bool
) -> tuple[Stretches, Stretches]:
    """Stretches of as many inner loops as make WHOLE_STRETCH steps, and room for what is picked.

    They are fewer where the next would make too many. sampled: some are picked of their look-ups.
    """
    trips = trips_of(nest, temporal, units)
    first, steps = len(temporal), 1
    while first > 0 and steps < WHOLE_STRETCH and steps * trips[first - 1] <= LONGEST_STRETCH:
        first -= 1
        steps *= trips[first]
    dims = [dim for dim, _ in nest.stage.bounds]
    deep = np.full(len(dims), -1, np.int64)
    for number, loop in enumerate(temporal[:first]):
        deep[dims.index(loop.dim)] = number
    count = len(tensors.tensors)
    key = len(dims) + 1 + count * (tensors.axes.shape[1] + 2)
    room = KEPT_LOOKUPS if steps > 1 else 0
    kept = stretches(first, deep, key, count, room)
    return kept, stretches(first, deep, 1 + count, count, room if sampled else 0)


def vector_of(nest: Nest, sizes: dict[str, int], vector_bytes: int) -> tuple[int, int]:
    """(the dim that vectors run along, elements a vector).

    The dim is the stated one, or the output dim whose tile leaves the least of its vectors empty,
    the longest of equals.
    """
    dims = [dim for dim, _ in nest.stage.bounds]
    if nest.code.vector == NO_VECTORS:
        return 0, 1
    if nest.code.vector:
        return dims.index(nest.code.vector), vector_lanes(nest, vector_bytes)
    candidates = [dim for dim in dims if dim in nest.stage.output.dims] or dims
    lanes = vector_lanes(nest, vector_bytes)

    def used(dim: str) -> tuple[float, int, int]:
        return sizes[dim] / -(-sizes[dim] // lanes), sizes[dim], dims.index(dim)

    return dims.index(max(candidates, key=used)), lanes


def vector_lanes(nest: Nest, vector_bytes: int) -> int:
    """Elements a vector: as many as its sums."""
    return max(1, int(vector_bytes // max(SUM_BYTES, nest.stage.output.width)))


def tensors_of(
    nest: Nest,
    temporal: list[Loop],
    space: AddressSpace,
    vector_dim: int,
    panels: dict[str, int] | None,
) -> Tensors:
    """Arrays indexed by the tensor's number in the address space; absent tensors are skipped."""
    stage, names = nest.stage, space.names
    dims = [dim for dim, _ in stage.bounds]
    axes = max(len(tensor.axes) for tensor in stage.tensors)
    terms = max(len(axis.terms) for tensor in stage.tensors for axis in tensor.axes)
    moves = np.zeros((len(names), axes + 1, max(len(temporal), 1)), np.bool_)
    table = np.zeros((len(names), 8), np.int64)
    places = np.full((len(names), axes, TERMS + 2 * max(terms, 1)), -1, np.int64)
    for tensor in stage.tensors:
        number = space.index(tensor.name)
        fast, row = tensor.fastest, tensor.row
        if panels and tensor.role == "weight" and tensor.stated:
            raise HwsimError(
                f"{stage.name}: {nest.dataflow} packs {tensor.name}, however it lies; expected "
                f"{nest.dataflow}:packed=no, or {tensor.name} not stated"
            )
        vectorised = dims[vector_dim] in fast.dims
        panel = (
            prod(panels[dim] for dim in fast.dims)
            if panels and tensor.role == "weight"
            else tensor.block or row
        )
        table[number] = (
            space.base(tensor.name),
            tensor.order[-1],
            tensor.width,
            tensor.role == "output",
            vectorised,
            len(tensor.axes),
            panel,
            panel * (tensor.elements // fast.size) * tensor.width,
        )
        for place, axis in enumerate(tensor.axes):
            columns = [
                axis.size,
                axis.offset,
                axis.span,
                tensor.strides[place] // row * panel * tensor.width,
            ]
            columns += [
                number
                for dim, coefficient in axis.terms
                for number in (dims.index(dim), coefficient)
            ]
            places[number, place, : len(columns)] = columns
        for start in range(len(temporal)):
            inside = {loop.dim for loop in temporal[start:]}
            moves[number, : len(tensor.axes), start] = [
                not inside.isdisjoint(axis.dims) for axis in tensor.axes
            ]
            moves[number, axes, start] = not inside.isdisjoint(tensor.dims)
    table[[number for number, name in enumerate(names) if not table[number, 2]], 5] = NOWHERE
    return Tensors(table, places, moves)

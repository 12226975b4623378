"""DRAM's latency where nothing hides it, as terms of the mapper's cost.

    for each step:
        tiles that one buffer has room for      they come while nothing is multiplied: DRAM's
                                                latency, and then their words
        multiply                                (the other resources)

Latency counts once a step, for the tensor whose tiles come most often. A tile of padding alone
moves nothing; where there may be such, the tensor's latency is left out, so that the cost stays a
bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwsim.ir.tensor import Axis, Tensor
from hwsim.parts.dram import Dram
from hwsim.schedule.mapper.space import OUTER, Skeleton, Slot
from hwsim.schedule.mapper.staying import is_afresh
from hwsim.schedule.mapper.tables import Terms

if TYPE_CHECKING:
    from hwsim.schedule.mapper.model import Model


def latency_terms(model: Model, skeleton: Skeleton) -> Terms:
    """Cycles for every resource that may be busiest while products are taken."""
    arrivals: list[tuple[Slot, ...]] = []
    for tensor in model.stage.inputs:
        if model.charges.between_steps(skeleton, tensor):
            slots = skeleton.slots_above(model.charges.first_on_chip(skeleton, tensor))
            if is_afresh(model.space, skeleton, slots, tensor) and _never_empty(
                model, tensor, slots
            ):
                arrivals.append(slots)
    columns = [model.columns.steps(max(arrivals, key=len), False)] if arrivals else []
    dram = model.machine.part(model.machine.dram_name, Dram)
    weights = np.zeros((len(model.metrics), len(columns)))
    weights[model.charges.of_passes(skeleton)] = dram.latency.cycles(model.machine.clock_hz)
    return Terms(
        np.array(columns, np.int64).reshape(-1, len(model.groups)),
        weights,
        np.zeros(len(model.metrics)),
    )


def _never_empty(model: Model, tensor: Tensor, slots: tuple[Slot, ...]) -> bool:
    """Has every tile inside some loops a word of the tensor, and not padding alone?"""
    outer, cell, extents = model.space.outer, model.space.cell, model.stage.extents
    cut = frozenset(
        slot.dim
        for slot in slots
        if min(outer[slot.dim]) < extents[slot.dim]
        or (slot.tile != OUTER and min(cell[slot.dim]) < extents[slot.dim])
    )
    key = (tensor.name, cut)
    if key not in model.filled:
        model.filled[key] = all(_always_touches(model, axis, cut) for axis in tensor.axes)
    return model.filled[key]


def _always_touches(model: Model, axis: Axis, cut: frozenset[str]) -> bool:
    """Is a place of the axis touched wherever the dims that are cut are?"""
    sums = {True: np.array([0]), False: np.array([0])}
    for dim, coefficient in axis.terms:
        places = coefficient * np.arange(model.stage.extents[dim])
        sums[dim in cut] = np.add.outer(sums[dim in cut], places).ravel()
    starts = axis.offset + np.add.outer(sums[True], sums[False])
    touches = (starts + axis.extent > 0) & (starts < axis.size)
    return bool(touches.any(axis=1).all())

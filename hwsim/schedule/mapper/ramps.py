"""What passes of a row-stationary array add to their multiplying, as terms of the mapper's cost.

    for each pass:
        filters into the PEs' scratchpads          every word that enters the filter buffer
        the first window of every input row        inputs at one position, once a pass
        multiply                                   (the other resources)
        the last position's sums out               sums at one position, once a pass

hwsim.timing.spatial.passes times every pass by itself; the sums over all passes are the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hwsim.ir.nest import Hold
from hwsim.ir.tensor import Tensor
from hwsim.parts.pe_array import PeArray
from hwsim.schedule.mapper.space import OUTER, POINT, Skeleton, Slot
from hwsim.schedule.mapper.staying import is_afresh
from hwsim.schedule.mapper.tables import ENTRIES, Terms

if TYPE_CHECKING:
    from hwsim.schedule.mapper.model import Model


def ramp_terms(model: Model, skeleton: Skeleton) -> Terms:
    """Cycles for every resource that may be busiest in a pass.

    There are none where PEs do not keep a pass' filters.
    """
    columns: list[list[int]] = []
    cycles: list[float] = []
    constant = 0.0
    array = model.machine.compute
    if model.charges.exact and isinstance(array, PeArray) and model.charges.keeps_filters(skeleton):
        activation, weight = model.stage.inputs
        output = model.stage.output
        clock = model.machine.clock_hz
        input_rate = array.activation_bus.bytes_per_cycle(clock) / activation.width
        filter_rate = array.weight_bus.bytes_per_cycle(clock) / weight.width
        sum_rate = array.output_bus.bytes_per_cycle(clock) / output.width
        buffer = _filter_buffer(model, skeleton, weight)
        if buffer is None:
            constant = weight.elements / filter_rate
        else:
            slots = skeleton.slots_above(buffer)
            afresh = is_afresh(model.space, skeleton, slots, weight)
            columns += model.columns.sum_of(weight, slots, 0, ENTRIES, afresh)
            cycles += [1.0 / filter_rate] * len(columns)
            if any(slot.tile != OUTER for slot in slots):  # else among what outer tiles decide
                columns.append(model.columns.one_tile(weight, slots))
                cycles.append(weight.width / model.charges.dram_rate)
        if _is_whole(model, "q") and _is_whole(model, "s"):
            columns.append(_a_position(model, skeleton, activation))
            cycles.append(_window_words(model) / input_rate)
            columns.append(_a_position(model, skeleton, output))
            cycles.append(1.0 / sum_rate)
    weights = np.zeros((len(model.metrics), len(columns)))
    at_end = np.zeros(len(model.metrics))
    for metric in model.charges.of_passes(skeleton):
        weights[metric] = cycles
        at_end[metric] = constant
    return Terms(np.array(columns, np.int64).reshape(-1, len(model.groups)), weights, at_end)


def _filter_buffer(model: Model, skeleton: Skeleton, weight: Tensor) -> Hold | None:
    """The buffer from which filters go to the PEs, where the nest has it."""
    level = model.machine.chain("weight")[1]
    own = (hold for hold in skeleton.holds if hold.level == level and weight.name in hold.tensors)
    return next(own, None)


def _is_whole(model: Model, dim: str) -> bool:
    """Is a dim never cut?"""
    whole = (model.stage.extents[dim],)
    return model.space.outer[dim] == model.space.cell[dim] == whole


def _window_words(model: Model) -> int:
    """Columns that one output position reads, one away from the first."""
    axis = next(axis for axis in model.stage.inputs[0].axes if "q" in axis.dims)
    terms, extents = dict(axis.terms), model.stage.extents
    start = axis.offset + terms["q"] * min(1, extents["q"] - 1)
    taps = range(extents.get("s", 1))
    return sum(0 <= start + terms.get("s", 0) * tap < axis.size for tap in taps)


def _a_position(model: Model, skeleton: Skeleton, tensor: Tensor) -> list[int]:
    """Columns of a tensor's words at one position of one image, summed over all passes."""
    axes = tuple(axis for axis in tensor.axes if not {"n", "q"} & set(axis.dims))
    place = replace(tensor, name=f"{tensor.name} at a position", axes=axes, layout=())
    slots: tuple[Slot, ...] = tuple(slot for slot in skeleton.slots if slot.tile != POINT)
    return model.columns.every_step(place, slots)

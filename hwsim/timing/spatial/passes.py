"""Passes of a PE array: how long the PEs multiply, and how long they wait for their busses.

    for each pass:
        filters into the PEs' scratchpads         nothing is multiplied, as the scratchpads hold
                                                  the filters of one pass
        the first window of every input row       nor now
        multiply; inputs and sums come, sums go   the slowest of the PEs and of the three busses
        the last position's sums out

Where a PE's own memory gives fewer bytes a cycle than its products take, the PEs wait for it.

A bus delivers a word in one cycle to every PE that wants it (multicast), so a word crosses it once
a pass. Chen, Krishna, Emer, Sze, "Eyeriss", JSSC 52(1), 2017, sections IV-A and V-B; section VI-A
names these ramps as a reason for lost throughput.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hwsim.describe.machine import Machine
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Loop, Nest
from hwsim.ir.stationary import keeps_filters
from hwsim.ir.tensor import Axis, Tensor
from hwsim.ir.transform import temporal_steps
from hwsim.parts.pe_array import PeArray
from hwsim.timing.explicit.accesses import busy_cycles
from hwsim.timing.explicit.tiles import Steps, Tiles, words_at
from hwsim.timing.pace import Pace, Passing, Waits

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def pass_pace(passing: Passing) -> Pace:
    """How long each step multiplies, and waits for the busses."""
    nest, machine, steps, array = (
        passing.nest,
        passing.machine,
        passing.steps,
        passing.machine.compute,
    )
    busy, waits = multiplying(nest, steps, passing.boundary), {}
    if isinstance(array, PeArray) and keeps_filters(nest, machine):
        waits = _ramps(nest, machine, array, steps, passing.tiles, busy)
    elif isinstance(array, PeArray):
        mean = _mean_bus_cycles(nest, machine, array, passing.counts) / steps.count
        waits = {"busses": np.maximum(0.0, mean - busy)}
    name, taken = _slowest_own_memory(nest, machine, passing.counts)
    if taken > busy.sum():
        spent = busy + sum(waits.values())
        waits[f"{name} in the PEs"] = np.maximum(0.0, busy * (taken / busy.sum()) - spent)
    return Pace("PE passes", busy, waits)


def _slowest_own_memory(nest: Nest, machine: Machine, counts: NestCounts) -> tuple[str, float]:
    """Of the PEs' own memories the one whose port takes longest, and its cycles in all.

    Every PE that is used has as much to do, reads and writes side by side.
    """
    slowest = ("", 0.0)
    for name, part in machine.memories.items():
        if part.per == "pe" and part.bandwidth is not None and name in counts.instances:
            of_all = busy_cycles(nest, machine, counts, name, machine.compute.accumulator_bytes)
            each = of_all / counts.instances[name]
            slowest = max(slowest, (name, each), key=lambda pair: pair[1])
    return slowest


def multiplying(nest: Nest, steps: Steps, boundary: int) -> Floats:
    """PEs in lockstep: the temporal steps inside a pass."""
    inside = [item for item in nest.items[boundary:] if isinstance(item, Loop)]
    cycles = np.ones(steps.count)
    for dim, _ in nest.stage.bounds:
        own = tuple((loop.tile, loop.spatial is not None) for loop in inside if loop.dim == dim)
        lengths = steps.lengths((dim,))
        unique, where = np.unique(lengths, return_inverse=True)
        cycles = cycles * np.array([temporal_steps(int(length), own) for length in unique])[where]
    return cycles


def _ramps(
    nest: Nest, machine: Machine, array: PeArray, steps: Steps, tiles: Sequence[Tiles], busy: Floats
) -> Waits:
    """What the ramps and the busses of a row-stationary pass add to its multiplying."""
    activation, weight = nest.stage.inputs
    output = nest.stage.output
    rates = {
        tensor.name: array.busses[tensor.role].bytes_per_cycle(machine.clock_hz) / tensor.width
        for tensor in nest.stage.tensors
    }
    filters = np.zeros(steps.count)
    arriving = next(
        (
            tile
            for tile in tiles
            if tile.tensor == weight.name and tile.level == machine.chain("weight")[1]
        ),
        None,
    )
    if arriving is None:
        filters[0] = weight.elements
    else:
        np.add.at(filters, arriving.first, arriving.entering)
    inputs, sums = (
        _words_entering(activation, steps) / rates[activation.name],
        words_at(output, steps) / rates[output.name],
    )
    window, column = (
        words_at(activation, _position(steps, nest, 0)),
        words_at(output, _position(steps, nest, -1)),
    )
    return {
        "weight bus: filters into the PEs": filters / rates[weight.name],
        "activation bus: first windows": window / rates[activation.name],
        "output bus": np.maximum(0.0, sums - busy),
        "activation bus": np.maximum(0.0, inputs - np.maximum(busy, sums)),
        "output bus: last sums": column / rates[output.name],
    }


def _words_entering(activation: Tensor, steps: Steps) -> Ints:
    """Words of the inputs that cross the bus in every pass: a PE keeps no more than its window.

    stride 1, dilation 1, s = 3:   0 1 2 | 3 | 4 | ...         a word comes once
    stride 1, dilation 2, s = 3:   0 2 4 | 1 3 5 | 2 4 6 | ... no window has words of the one before
    """
    columns = next(axis for axis in activation.axes if "q" in axis.dims)
    others = replace(activation, axes=tuple(axis for axis in activation.axes if axis != columns))
    chunks = np.stack(
        [bound[dim] for dim in ("q", "s") if dim in columns.dims for bound in (steps.lo, steps.hi)]
    )
    unique, where = np.unique(chunks, axis=1, return_inverse=True)
    entering = [_columns_entering(columns, *chunk) for chunk in unique.T.tolist()]
    each: Ints = np.array(entering, np.int64)[where.reshape(-1)]
    return words_at(others, steps) * each


def _columns_entering(
    axis: Axis, first: int, past: int, first_tap: int = 0, past_taps: int = 1
) -> int:
    """Columns that come for positions [first, past), the window before still there."""
    terms = dict(axis.terms)
    stride, dilation = terms["q"], terms.get("s", 1)
    taps = dilation * np.arange(first_tap, past_taps)
    window = np.unique(taps[:, None] + axis.step * np.arange(axis.extent))
    at = axis.offset + stride * np.arange(first, past)[:, None] + window
    inside = (at >= 0) & (at < axis.size)
    there = np.isin(window + stride, window)
    return int(inside[:1].sum() + inside[1:, ~there].sum())


def _position(steps: Steps, nest: Nest, which: int) -> Steps:
    """The steps with one column of one image left.

    It is one away from the padding at the first end (0), or the last (-1).

    Images follow each other without a gap, so the ramps are of one.
    """
    columns = nest.stage.extents["q"]
    at = np.full(steps.count, min(1, columns - 1) if which == 0 else columns - 1, np.int64)
    hi = {**steps.hi, "q": at + 1}
    if "n" in hi:
        hi["n"] = steps.lo["n"] + 1
    return replace(steps, lo={**steps.lo, "q": at}, hi=hi)


def _mean_bus_cycles(nest: Nest, machine: Machine, array: PeArray, counts: NestCounts) -> float:
    """The slowest of the three busses over the whole stage.

    Every word crosses once however many PEs it goes to.
    """
    slowest = 0.0
    for tensor in nest.stage.tensors:
        levels = [
            hold
            for hold in nest.chain(tensor.name)
            if hold is not None
            and hold.level in machine.memories
            and machine.memories[hold.level].per != "pe"
        ]
        traffic = counts.of(levels[-1].level, tensor.name)
        words = max(traffic.serves, traffic.updates)
        slowest = max(
            slowest,
            words * tensor.width / array.busses[tensor.role].bytes_per_cycle(machine.clock_hz),
        )
    return slowest

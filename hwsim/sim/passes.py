"""Passes of a PE array: how long the PEs multiply, and how long they wait for the busses that feed them.

    for each pass:
        filters into the PEs' scratchpads       nothing is multiplied: the scratchpads hold one pass' filters
        the first window of every input row     nor now
        multiply; inputs and sums come, sums go   the slowest of the PEs and of the three busses
        the last position's sums out

A bus delivers a word in one cycle to every PE that wants it (multicast), so a word crosses it once a pass. Chen, Krishna,
Emer, Sze, "Eyeriss", JSSC 52(1), 2017, sections IV-A and V-B; section VI-A names these ramps as a reason for lost throughput.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stationary import first_spatial
from hwsim.ir.transform import temporal_steps
from hwsim.parts.pe_array import PeArray
from hwsim.sim.buffers import Steps, Tiles, words_at
from hwsim.spec.machine import Machine

Floats = npt.NDArray[np.float64]
Waits = dict[str, Floats]


@dataclass(frozen=True)
class Pace:
    """How fast the cells go if no tile is missing, step by step: cycles of work, and of waiting by cause.

    after (gaps): after each step, until the next may begin. shifting: in which a step's stationary tile shifts in. results: until
    those of a step have left. ends: the first tile's shifting in and the last results' way out.
    """

    kind: str
    busy: Floats
    waits: Waits = field(default_factory=dict)
    after: Floats | None = None
    shifting: Floats | None = None
    results: float = 0.0
    ends: float = 0.0

    @property
    def gaps(self) -> Floats:
        return np.zeros(len(self.busy)) if self.after is None else self.after

    @property
    def ready(self) -> Floats:
        """Work and waiting together."""
        return self.busy + sum(self.waits.values(), np.zeros(len(self.busy)))


def keeps_filters(nest: Nest, machine: Machine) -> bool:
    """Do the PEs of a convolution's nest hold a pass' filters in their scratchpads, and stream rows of inputs and sums past them?

    Such passes are row-stationary, whatever they are called: a filter stays through all temporal loops of the pass.
    """
    if nest.stage.view is None or "q" not in nest.stage.extents:
        return False
    places = {tensor.role: _cell_place(nest, machine, tensor.name) for tensor in nest.stage.tensors}
    if None in places.values():
        return False
    before = nest.items[first_spatial(nest):places["weight"]]
    return all(loop.spatial is not None for loop in before if isinstance(loop, Loop))


def _cell_place(nest: Nest, machine: Machine, tensor: str) -> int | None:
    """The number of the item that holds a tensor in the PEs' own scratchpads."""
    return next((number for number, item in enumerate(nest.items) if isinstance(item, Hold) and tensor in item.tensors
                 and item.level in machine.memories and getattr(machine.memories[item.level], "per", "chip") == "pe"), None)


def pass_pace(nest: Nest, machine: Machine, steps: Steps, tiles: Sequence[Tiles], boundary: int, counts: NestCounts) -> Pace:
    """Passes of PEs in lockstep; the ramps and busses of row-stationary ones each by itself, of others the busses' mean."""
    busy, waits, array = _multiplying(nest, steps, boundary), {}, machine.compute
    if isinstance(array, PeArray) and keeps_filters(nest, machine):
        waits = _ramps(nest, machine, array, steps, tiles, busy)
    elif isinstance(array, PeArray):
        waits = {"busses": np.maximum(0.0, _mean_bus_cycles(nest, machine, array, counts) / steps.count - busy)}
    return Pace("PE passes", busy, waits)


def _multiplying(nest: Nest, steps: Steps, boundary: int) -> Floats:
    """PEs in lockstep: the temporal steps inside a pass."""
    inside = [item for item in nest.items[boundary:] if isinstance(item, Loop)]
    cycles = np.ones(steps.count)
    for dim, _ in nest.stage.bounds:
        own = tuple((loop.tile, loop.spatial is not None) for loop in inside if loop.dim == dim)
        lengths = steps.lengths((dim,))
        unique, where = np.unique(lengths, return_inverse=True)
        cycles = cycles * np.array([temporal_steps(int(length), own) for length in unique])[where]
    return cycles


def _ramps(nest: Nest, machine: Machine, array: PeArray, steps: Steps, tiles: Sequence[Tiles], busy: Floats) -> Waits:
    """What the ramps and the busses of a row-stationary pass add to its multiplying."""
    activation, weight = nest.stage.inputs
    output = nest.stage.output
    rates = {tensor.name: bus.bytes_per_cycle(machine.clock_hz) / tensor.width for tensor, bus in
             ((activation, array.activation_bus), (weight, array.weight_bus), (output, array.output_bus))}
    filters = np.zeros(steps.count)
    arriving = next((tile for tile in tiles if tile.tensor == weight.name and tile.level == machine.chain("weight")[1]), None)
    if arriving is None:
        filters[0] = weight.elements
    else:
        np.add.at(filters, arriving.first, arriving.entering)
    inputs, sums = words_at(activation, steps) / rates[activation.name], words_at(output, steps) / rates[output.name]
    window, column = words_at(activation, _position(steps, nest, 0)), words_at(output, _position(steps, nest, -1))
    return {"weight bus: filters into the PEs": filters / rates[weight.name],
            "activation bus: first windows": window / rates[activation.name],
            "output bus": np.maximum(0.0, sums - busy),
            "activation bus": np.maximum(0.0, inputs - np.maximum(busy, sums)),
            "output bus: last sums": column / rates[output.name]}


def _position(steps: Steps, nest: Nest, which: int) -> Steps:
    """The steps with one column of one image left: one away from the padding at the first end (0), or the last (-1).

    Images follow each other without a gap, so the ramps are of one.
    """
    columns = nest.stage.extents["q"]
    at = np.full(steps.count, min(1, columns - 1) if which == 0 else columns - 1, np.int64)
    hi = {**steps.hi, "q": at + 1}
    if "n" in hi:
        hi["n"] = steps.lo["n"] + 1
    return replace(steps, lo={**steps.lo, "q": at}, hi=hi)


def _mean_bus_cycles(nest: Nest, machine: Machine, array: PeArray, counts: NestCounts) -> float:
    """The slowest of the three busses over the whole stage, every word crossing once however many PEs it goes to."""
    widths = {"activation": array.activation_bus, "weight": array.weight_bus, "output": array.output_bus}
    slowest = 0.0
    for tensor in nest.stage.tensors:
        levels = [hold for hold in nest.chain(tensor.name) if hold is not None and hold.level in machine.memories
                  and getattr(machine.memories[hold.level], "per", "chip") != "pe"]
        traffic = counts.of(levels[-1].level, tensor.name)
        words = max(traffic.serves, traffic.updates)
        slowest = max(slowest, words * tensor.width / widths[tensor.role].bytes_per_cycle(machine.clock_hz))
    return slowest

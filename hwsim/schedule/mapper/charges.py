"""What the words of a tensor cost at every level: energy, DRAM bytes, and cycles of its ports.

metrics: energy in pJ, DRAM bytes, then the cycles that every resource is busy
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hwsim.count.closed_form import touched_words
from hwsim.energy.account import energy_pj, pj_per_byte
from hwsim.energy.tables import table_for
from hwsim.ir.nest import Hold
from hwsim.ir.tensor import Tensor
from hwsim.parts.dram import Dram
from hwsim.parts.pe_array import PeArray
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.systolic import SystolicArray
from hwsim.schedule.mapper.space import CELL, Skeleton, Space
from hwsim.schedule.mapper.tables import ASKED, ENTRIES, RETURNED, Floats
from hwsim.schedule.mapper.whole_sums import come_back


class Charges:
    """What words cost on the machine of a space."""

    def __init__(self, space: Space) -> None:
        self.space, self.stage, self.machine = space, space.stage, space.machine
        self.words = touched_words(self.stage)
        self.resources = tuple(self._resources())
        self.metrics = ("energy", "dram bytes", *self.resources)
        self._forms: dict[Any, tuple[Floats, Floats]] = {}
        self._keeping: dict[Any, bool] = {}
        self._stopping: dict[Any, bool] = {}

    def floors(self) -> Floats:
        """[metrics]: what no mapping at all goes below.

        Every word that moves goes over DRAM's port once, every product takes its turn on the array.
        """
        stage, machine = self.stage, self.machine
        floors = np.sum([self.floor_of(tensor) for tensor in stage.tensors], axis=0)
        dtype = stage.dtype or machine.dtype
        floors[0] += sum(energy_pj(machine, dtype, stage.operations, {}).values())
        peak = machine.compute.peak_macs_per_cycle(dtype)
        floors[self.metric("multipliers")] = stage.iterations / peak
        return np.asarray(floors, np.float64)

    def floor_of(self, tensor: Tensor) -> Floats:
        """[metrics]: a tensor's part of the floors: its words over DRAM's port once."""
        floor, machine = np.zeros(len(self.metrics)), self.machine
        if tensor.name in self.space.placement.resident:
            return floor
        dram = machine.part(machine.dram_name, Dram)
        moved = float(self.words[tensor.name] * tensor.width)
        floor[0] = moved * pj_per_byte(dram, table_for(machine.process_nm))
        floor[1] = moved
        floor[self.metric(machine.dram_name)] = moved / self.dram_rate
        return floor

    def linear_of(
        self, skeleton: Skeleton, tensor: Tensor, chain: list[Hold]
    ) -> tuple[Floats, Floats]:
        """`_linear`, once for all skeletons in which the tensor sees the same.

        Whether PEs keep filters depends on how the other tensors are held.
        """
        key = (skeleton.seen_by(tensor.name), self.keeps_filters(skeleton))
        if key not in self._forms:
            self._forms[key] = self._linear(skeleton, tensor, chain)
        return self._forms[key]

    def _linear(
        self, skeleton: Skeleton, tensor: Tensor, chain: list[Hold]
    ) -> tuple[Floats, Floats]:
        """(weights, constant) of a tensor's traffic at every level it passes.

        weights are [metrics, 3 * boundaries], constant is [metrics].

        As hwsim.count.closed_form: with E, A, R the words that enter, are asked for, and return
        across a boundary, fills = A - fresh, reads = R inside - fresh + drains; fresh inside = E -
        A + fresh.
        """
        boundaries = len(chain)
        output = tensor.role == "output"
        weights, constant = (
            np.zeros((len(self.metrics), 3 * boundaries)),
            np.zeros(len(self.metrics)),
        )

        def variable(number: int, kind: int) -> Floats:
            row = np.zeros(3 * boundaries + 1)
            row[3 * number + kind] = 1.0
            return row

        words = np.zeros(3 * boundaries + 1)
        words[-1] = self.words[tensor.name]
        fresh = words.copy() if output else np.zeros_like(words)
        fills = drains = np.zeros_like(words)
        for number, hold in enumerate(chain):
            asked = variable(number, ASKED)
            updates = variable(number, RETURNED) if output else np.zeros_like(words)
            serves = updates - fresh if output else asked
            for metric, row in self._charges(
                skeleton, hold, tensor, fills, serves, updates, drains
            ):
                weights[metric] += row[:-1]
                constant[metric] += row[-1]
            fills = asked - fresh if output else variable(number, ENTRIES)
            if output:
                drains = variable(number, ENTRIES)
                fresh = drains - fills
        return weights, constant

    def _charges(
        self,
        skeleton: Skeleton,
        hold: Hold,
        tensor: Tensor,
        fills: Floats,
        serves: Floats,
        updates: Floats,
        drains: Floats,
    ) -> Iterator[tuple[int, Floats]]:
        """What a level's words cost: (metric, linear form).

        Cells of an array are no memory: what stays there costs nothing.
        """
        machine, level = self.machine, hold.level
        if level not in machine.memories:
            return
        part = machine.memories[level]
        width: float = self.width(skeleton, hold, tensor)
        if self.space.options.convention == "timeloop":
            drains = np.zeros_like(drains)
        if level == machine.dram_name and width == tensor.width:
            width = width * tensor.coded
        reads, writes = (serves + drains) * width, (fills + updates) * width
        read = reads * self._read_share(hold, tensor)
        yield 0, (read + writes) * pj_per_byte(part, table_for(machine.process_nm))
        if level == machine.dram_name:
            yield 1, reads + writes
            yield self.metric(level), (reads + writes) / self.dram_rate
            if self.between_steps(skeleton, tensor):
                for metric in self.of_passes(skeleton):
                    yield metric, (reads + writes) / self.dram_rate
        elif isinstance(part, Scratchpad) and part.per == "chip":
            rate = part.bandwidth.bytes_per_cycle(machine.clock_hz)
            yield self.metric(f"{level} reads"), reads / rate
            yield self.metric(f"{level} writes"), writes / rate
        if isinstance(machine.compute, PeArray) and hold is self._last_of_chip(skeleton, tensor):
            rate = (
                machine.compute.busses[tensor.role].bytes_per_cycle(machine.clock_hz) / tensor.width
            )
            yield self.metric(f"{tensor.role} bus"), serves / rate
            if tensor.role == "output":
                yield self.metric("output bus, sums"), updates / rate

    def _read_share(self, hold: Hold, tensor: Tensor) -> float:
        """Of a memory's reads those that gating PEs make: filters only of products that switch."""
        compute, operations = self.machine.compute, self.stage.operations
        own = self.machine.memories[hold.level].per == "pe"
        if tensor.role != "weight" or not own or compute.zeros != "gating":
            return 1.0
        return operations.effectual_multiplies / max(1, operations.multiplies)

    def width(self, skeleton: Skeleton, hold: Hold, tensor: Tensor) -> float:
        """Bytes of a word at a level: an accumulator's where partial sums may come back."""
        if tensor.role != "output":
            return tensor.width
        own = self.machine.memories[hold.level].word_bytes
        if own:
            return own
        accumulator = self.machine.compute.accumulator_bytes
        finished = not self.stage.reduction or not come_back(self.space, skeleton, hold)
        return tensor.width if finished or accumulator <= tensor.width else accumulator

    def between_steps(self, skeleton: Skeleton, tensor: Tensor) -> bool:
        """Does a tensor come from DRAM, and go there, only while nothing is multiplied?"""
        key = (skeleton.pattern, tensor.name)
        if key not in self._stopping:
            self._stopping[key] = self._is_alone(skeleton, tensor)
        return self._stopping[key]

    def _is_alone(self, skeleton: Skeleton, tensor: Tensor) -> bool:
        """Does a tensor come from DRAM, and go there, only while nothing is multiplied?

        Its first memory on the chip has room for one tile, and DRAM one port. (Where PEs keep the
        filters of a pass, they are copied there before the next ones come.)
        """
        first = self.first_on_chip(skeleton, tensor)
        shared = self.machine.part(self.machine.dram_name, Dram).ports == "shared"
        on_chip = first is not None and self.machine.memories[first.level].per == "chip"
        streams = tensor.role != "weight" or not self.keeps_filters(skeleton)
        alone = streams and on_chip and first is not None and first.buffers == 1
        return bool(self.exact and shared and alone)

    def first_on_chip(self, skeleton: Skeleton, tensor: Tensor) -> Hold | None:
        """The first memory inside DRAM that holds a tensor."""
        inside = skeleton.memories(self.machine)[1:]
        return next((hold for hold in inside if tensor.name in hold.tensors), None)

    @property
    def dram_rate(self) -> float:
        """Bytes a cycle."""
        dram = self.machine.part(self.machine.dram_name, Dram)
        return float(dram.bandwidth.bytes_per_cycle(self.machine.clock_hz))

    def keeps_filters(self, skeleton: Skeleton) -> bool:
        """Do the PEs keep the filters of a pass?"""
        if skeleton.pattern not in self._keeping:
            self._keeping[skeleton.pattern] = _keeps_filters(self.space, skeleton)
        return self._keeping[skeleton.pattern]

    @property
    def exact(self) -> bool:
        """Does everything count? Timeloop leaves out what nothing can hide."""
        return self.space.options.convention == "exact"

    def _last_of_chip(self, skeleton: Skeleton, tensor: Tensor) -> Hold:
        return [
            hold
            for hold in skeleton.memories(self.machine)
            if tensor.name in hold.tensors and self.machine.memories[hold.level].per == "chip"
        ][-1]

    def of_passes(self, skeleton: Skeleton) -> list[int]:
        """Metrics of what may be busiest while products are taken: other waiting is added to it.

        Filters that PEs keep for a pass come before it.
        """
        found = ["multipliers", "activation bus", "output bus", "output bus, sums"]
        if not self.keeps_filters(skeleton):
            found.append("weight bus")
        return [self.metric(resource) for resource in found if resource in self.resources]

    def _resources(self) -> Iterator[str]:
        yield "multipliers"
        compute = self.machine.compute
        if isinstance(compute, SystolicArray) and compute.preload_hidden:
            yield "weights shifting in"
        yield self.machine.dram_name
        for name, part in self.machine.memories.items():
            if isinstance(part, Scratchpad) and part.per == "chip":
                yield f"{name} reads"
                yield f"{name} writes"
        if isinstance(compute, PeArray):
            yield from ("activation bus", "weight bus", "output bus", "output bus, sums")

    def metric(self, resource: str) -> int:
        return 2 + self.resources.index(resource)


def _keeps_filters(space: Space, skeleton: Skeleton) -> bool:
    """As hwsim.ir.stationary.keeps_filters says of a nest."""
    if space.stage.view is None or "q" not in space.stage.extents:
        return False
    memories = space.machine.memories
    inside = [hold for hold in skeleton.memories(space.machine) if memories[hold.level].per == "pe"]
    held = {name for hold in inside for name in hold.tensors}
    if held < {tensor.name for tensor in space.stage.tensors}:
        return False
    weight = space.stage.inputs[1].name
    above = skeleton.slots_above(next(hold for hold in inside if weight in hold.tensors))
    first = next((place for place, slot in enumerate(above) if slot.tile == CELL), len(above))
    return all(slot.tile == CELL for slot in above[first:])

"""The best way to fuse two consecutive layers on a machine, and what a smaller buffer costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from hwsim.choose.mappings import map_workload
from hwsim.describe.layer import DENSE
from hwsim.describe.machine import Machine, Role
from hwsim.describe.units import DTYPE_BYTES, WEIGHT_BYTES, size_text, whole_bytes
from hwsim.describe.workload import Workload
from hwsim.errors import HwsimError, UnknownName
from hwsim.parts.dram import Dram
from hwsim.parts.scratchpad import Scratchpad
from hwsim.schedule.layer_pair import (
    Blocks,
    Cost,
    Pair,
    as_convolution,
    candidates,
    compulsory,
    cost,
    pick,
    whole,
)
from hwsim.schedule.mapper import Options

# what is on the chip, and in whose memory
HELD: dict[str, Role] = {
    "input": "activation",
    "between": "activation",
    "first": "weight",
    "second": "weight",
    "output": "output",
}
OBJECTIVES = ("dram", "latency")
SECONDS = 20.0  # for the search of each layer by itself, where none are given


@dataclass(frozen=True)
class Choice:
    """One way to run the pair.

    held: bytes on the chip by tensor. again: products done again, as a share of those needed.
    cycles: that the products and DRAM take at least.
    """

    blocks: Blocks
    dram_bytes: int
    products: int
    again: float
    cycles: float
    held: Mapping[str, int]

    @property
    def room(self) -> int:
        """All bytes on the chip."""
        return sum(self.held.values())


@dataclass(frozen=True)
class FusedPair:
    """Two layers fused on a machine.

    best: of the choices that fit; None where none does, and lacking says what is. curve: the
    choices of which none has both less room and less DRAM traffic, on a chip of any size.
    fused_least, apart_least: DRAM bytes when every word moves once. apart: bytes and cycles of the
    best mappings of the layers by themselves; None where nothing fits. keeper: the memory that
    keeps maps from layer to layer, so that they do not go through DRAM apart either.
    """

    names: tuple[str, str]
    machine: Machine
    objective: str
    dtype: str
    pair: Pair
    best: Choice | None
    curve: tuple[Choice, ...]
    fused_least: int
    apart_least: int
    apart: tuple[int, float] | None
    lacking: str = ""
    keeper: str = ""


def fuse_layers(
    network: Workload,
    names: tuple[str, str],
    machine: Machine,
    objective: str = "dram",
    seconds: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FusedPair:
    """Every choice of hwsim.schedule.layer_pair, the best first.

    They stand by DRAM traffic or by time, then by the other, then by room. Layers are taken as
    dense ones.

    Raises HwsimError for layers that do not follow each other and for machines without memories
    that a program fills, UnknownName for another objective.
    """
    if objective not in OBJECTIVES:
        raise UnknownName("objective of a fused pair", objective, OBJECTIVES)
    if machine.management != "explicit":
        raise HwsimError(
            f"{machine.name}: its caches decide what stays; expected a machine with scratchpads"
        )
    dense = network.with_density(DENSE).only(names)
    layers = [dense.layers[name] for name in names]
    read = network.inputs.get(names[1], ())
    if read and names[0] not in read:
        raise HwsimError(f"{names[1]} reads {', '.join(read)}; expected it to read {names[0]}")
    pair = Pair(as_convolution(layers[0]), as_convolution(layers[1]))
    dtype = layers[0].dtype or machine.dtype
    table = _Table(pair, machine, dtype)
    fused, apart = compulsory(pair)
    best, least = table.best(objective), int(table.dram_bytes(cost(pair, whole(pair))))
    return FusedPair(
        names,
        machine,
        objective,
        dtype,
        pair,
        best,
        table.curve(),
        least,
        least + whole_bytes((apart - fused) * DTYPE_BYTES[dtype]),
        _apart(dense, machine, objective, seconds or SECONDS, progress),
        "" if best is not None else table.lacking(),
        next((name for name, part in machine.memories.items() if "activation" in part.keeps), ""),
    )


def _apart(
    layers: Workload,
    machine: Machine,
    objective: str,
    seconds: float,
    progress: Callable[[int, int], None] | None,
) -> tuple[int, float] | None:
    """DRAM bytes and cycles of the layers by themselves, each with its best mapping."""
    try:
        mapped = map_workload(layers, machine, objective, "direct", Options(), seconds, progress)
    except HwsimError:
        return None
    runs = {stage.layer: stage.simulated for stage in mapped.stages}
    every = [runs[layer] for layer in layers.layers.values()]
    return (
        sum(run.dram_read_bytes + run.dram_write_bytes for run in every),
        sum(run.cycles.total for run in every),
    )


def _homes(machine: Machine) -> dict[str, str]:
    """The chip's first memory for each tensor.

    Filters may have none, and pass by to the array. Raises HwsimError where maps have none.
    """
    homes = {}
    for what, role in HELD.items():
        shared = [name for name in machine.chain(role) if _is_shared(machine, name)]
        if shared:
            homes[what] = shared[0]
        elif role != "weight":
            raise HwsimError(
                f"{machine.name}: no scratchpad of the whole chip holds its {role}s; expected one "
                "to keep what lies between two layers"
            )
    return homes


def _is_shared(machine: Machine, name: str) -> bool:
    part = machine.memories[name]
    return isinstance(part, Scratchpad) and part.per == "chip"


class _Table:
    """All choices with what they cost on a machine."""

    def __init__(self, pair: Pair, machine: Machine, dtype: str) -> None:
        self.pair, self.machine, self.dtype = pair, machine, dtype
        self.width, self.weight_width = DTYPE_BYTES[dtype], WEIGHT_BYTES[dtype]
        self.needed = pair.first.macs + pair.second.macs
        self.multipliers = machine.compute.peak_macs_per_cycle(dtype)
        dram = machine.part(machine.dram_name, Dram)
        self.bytes_per_cycle = dram.bandwidth.bytes_per_cycle(machine.clock_hz)
        self.home = _homes(machine)
        self.blocks: list[Blocks] = []
        self.costs: list[Cost] = []
        for blocks, costs in candidates(pair):
            self.blocks.append(blocks)
            self.costs.append(costs)

    def dram_bytes(self, costs: Cost) -> Any:
        maps = costs.loaded_input + costs.stored
        return maps * self.width + (costs.loaded_first + costs.loaded_second) * self.weight_width

    def cycles(self, costs: Cost) -> Any:
        """At least: products on all multipliers, or bytes over DRAM's port."""
        moved = self.dram_bytes(costs) / self.bytes_per_cycle
        return np.maximum(costs.products / self.multipliers, moved)

    def held(self, costs: Cost) -> dict[str, Any]:
        """Bytes on the chip by tensor; unfinished sums are as wide as the machine keeps them."""
        memory = self.machine.memories[self.home["output"]]
        wide = memory.word_bytes or max(self.machine.compute.accumulator_bytes, self.width)
        return {
            "input": costs.room_input * self.width,
            "between": costs.room_between * self.width,
            "first": costs.room_first * self.weight_width,
            "second": costs.room_second * self.weight_width,
            "output": costs.room_output * np.where(costs.summing, wide, self.width),
        }

    def fits(self, blocks: Blocks, held: Mapping[str, Any]) -> Any:
        """Does every memory hold what it has to? Filters stay only where they have a memory."""
        homeless = {"first": blocks.first_stays, "second": blocks.second_stays}
        fit: Any = not any(stays and what not in self.home for what, stays in homeless.items())
        for memory in dict.fromkeys(self.home.values()):
            fit = fit & (self._need(held, memory) <= self.machine.memories[memory].capacity)
        return fit

    def _need(self, held: Mapping[str, Any], memory: str) -> Any:
        parts = [held[what] for what, home in self.home.items() if home == memory]
        return sum(parts[1:], parts[0])

    def best(self, objective: str) -> Choice | None:
        """Of those that fit: by DRAM traffic or by time, then by the other, products, and room."""
        found: Choice | None = None
        for blocks, costs in zip(self.blocks, self.costs, strict=True):
            held = self.held(costs)
            criteria = [self.dram_bytes(costs), self.cycles(costs), costs.products]
            if objective == "latency":
                criteria[:2] = criteria[1::-1]
            at = _least([*criteria, sum(held.values())], self.fits(blocks, held))
            if at is not None:
                choice = self._choice(pick(blocks, at))
                if found is None or _rank(choice, objective) < _rank(found, objective):
                    found = choice
        return found

    def curve(self) -> tuple[Choice, ...]:
        """By room: each moves less than all that take less room.

        At the end, where it does fewer products, the one that moves the least with the fewest.
        """
        points: list[tuple[float, float, float, int, int]] = []
        for number, costs in enumerate(self.costs):
            room = sum(self.held(costs).values())
            moved, products, room = np.broadcast_arrays(
                self.dram_bytes(costs), costs.products, room
            )
            order = np.lexsort((products.ravel(), moved.ravel(), room.ravel()))
            least = np.minimum.accumulate(moved.ravel()[order])
            fresh = np.concatenate(([True], least[1:] < least[:-1]))
            for flat in order[fresh].tolist():
                values = (each.ravel()[flat] for each in (room, moved, products))
                points.append((*map(float, values), number, flat))
        chosen: list[Choice] = []
        for *_, number, flat in sorted(points):
            choice = self._choice(pick(self.blocks[number], self._place(number, flat)))
            if not chosen or choice.dram_bytes < chosen[-1].dram_bytes:
                chosen.append(choice)
        fewest = self._least_products(chosen[-1].dram_bytes)
        return (*chosen, fewest) if fewest.products < chosen[-1].products else tuple(chosen)

    def _least_products(self, moved: int) -> Choice:
        """Of the choices that move so many bytes: the fewest products, in the least room."""
        found = []
        for blocks, costs in zip(self.blocks, self.costs, strict=True):
            room = sum(self.held(costs).values())
            at = _least([costs.products, room], self.dram_bytes(costs) == moved)
            if at is not None:
                found.append(self._choice(pick(blocks, at)))
        return min(found, key=lambda choice: (choice.products, choice.room))

    def _place(self, number: int, flat: int) -> tuple[int, ...]:
        shape = np.broadcast_shapes(*(np.shape(value) for value in self.costs[number]))
        return tuple(int(place) for place in np.unravel_index(flat, shape))

    def lacking(self) -> str:
        """Which memory is too small even for the choice that takes the least of it."""
        for memory in dict.fromkeys(self.home.values()):
            need = min(int(np.min(self._need(self.held(costs), memory))) for costs in self.costs)
            capacity = self.machine.memories[memory].capacity
            if need > capacity:
                return (
                    f"the smallest blocks take {size_text(need)} of {memory}, which has "
                    f"{size_text(capacity)}; {size_text(need - capacity)} more are needed"
                )
        return "no blocks fit all memories together"

    def _choice(self, blocks: Blocks) -> Choice:
        costs = cost(self.pair, blocks)
        products = int(costs.products)
        return Choice(
            blocks,
            int(self.dram_bytes(costs)),
            products,
            products / self.needed - 1.0,
            float(self.cycles(costs)),
            {what: int(value) for what, value in self.held(costs).items()},
        )


def _rank(choice: Choice, objective: str) -> tuple[float, ...]:
    first = (choice.dram_bytes, choice.cycles)
    return (*(first if objective == "dram" else first[::-1]), choice.products, choice.room)


def _least(criteria: list[Any], allowed: Any) -> tuple[int, ...] | None:
    """The place of the least by the first criterion, of those by the second, and so on."""
    *arrays, mask = np.broadcast_arrays(*criteria, allowed)
    left = np.flatnonzero(mask.ravel())
    if not left.size:
        return None
    for array in arrays:
        values = array.ravel()[left]
        left = left[values == values.min()]
    return cast("tuple[int, ...]", tuple(map(int, np.unravel_index(left[0], mask.shape))))

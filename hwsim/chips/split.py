"""All the ways to lay a network on a system's chips, quickest first.

for t * p * d = chips:            tensor, pipeline, data
    for microbatches of a copy's share of the batch:
        layers split over t chips, cut into p stages, run
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, prod

from hwsim.algorithms import AUTO
from hwsim.chips.network import Network
from hwsim.chips.pipeline import batch_seconds, cut
from hwsim.chips.shards import cache_bytes, channels_needed, ways_of
from hwsim.chips.tensor import Chosen, split_layers
from hwsim.describe.layer import Layer
from hwsim.describe.system import System
from hwsim.describe.workload import Workload
from hwsim.errors import HwsimError
from hwsim.job import Job
from hwsim.jobs import Progress, run_jobs
from hwsim.rewrite.placement import keeper_of_weights, loading_weights, resident_weight_bytes
from hwsim.rewrite.residency import NOTHING, Residency, residencies

Layout = tuple[int, int, int, int]  # chips along tensor, pipeline and data, microbatches

Part = tuple[Layer, Residency]  # what one chip computes of a layer, and finds in its L2


@dataclass(frozen=True)
class Asked:
    """What is fixed: numbers of chips along tensor, pipeline and data, and of microbatches.

    A 0 is searched.
    """

    tensor: int = 0
    pipeline: int = 0
    data: int = 0
    microbatches: int = 0


@dataclass(frozen=True)
class Stage:
    """Layers of one stage of the pipeline on each of its chips.

    computing, moving, sending: seconds of a microbatch in layers, in collectives, and in passing on
    what the next stage needs. weights, caches: bytes of weights, and of keys and values.
    """

    layers: tuple[Chosen, ...]
    computing: float
    moving: float
    sending: float
    weights: int
    caches: int

    @property
    def memory(self) -> int:
        return self.weights + self.caches

    @property
    def seconds(self) -> float:
        return self.computing + self.moving + self.sending


@dataclass(frozen=True)
class Option:
    """One way to lay a network on chips. seconds: of the whole batch."""

    tensor: int
    pipeline: int
    data: int
    microbatches: int
    stages: tuple[Stage, ...]
    capacity: int

    @property
    def seconds(self) -> float:
        return batch_seconds([stage.seconds for stage in self.stages], self.microbatches)

    @property
    def memory(self) -> int:
        """Bytes of weights, keys and values on the chip that has most."""
        return max(stage.memory for stage in self.stages)

    @property
    def fits(self) -> bool:
        return self.memory <= self.capacity

    @property
    def shares(self) -> dict[str, float]:
        """Of the slowest stage's time over the batch: computing, moving, sending, idle."""
        slowest = max(self.stages, key=lambda stage: stage.seconds)
        parts = {
            "computing": slowest.computing,
            "collectives": slowest.moving,
            "sending on": slowest.sending,
        }
        found = {name: self.microbatches * part / self.seconds for name, part in parts.items()}
        return {**found, "idle": max(0.0, 1 - sum(found.values()))}


@dataclass(frozen=True)
class Split:
    """Every option, quickest first, those that do not fit the chips' memory last.

    alone: on one chip, were its memory large enough.
    """

    system: System
    workload: Workload
    dtype: str
    options: tuple[Option, ...]
    alone: Option

    @property
    def best(self) -> Option:
        return self.options[0]

    def speedup(self, option: Option) -> float:
        return self.alone.seconds / option.seconds


def split(
    workload: Workload,
    system: System,
    *,
    asked: Asked | None = None,
    algorithm: str = AUTO,
    dtype: str | None = None,
    progress: Progress | None = None,
) -> Split:
    """Lay a workload on all chips of a system.

    Layers are simulated on one chip; what moves between chips is not hidden behind them.

    Raises HwsimError where nothing that was asked for can be laid out.
    """
    asked = asked or Asked()
    layouts = list(_layouts(system.chips, workload.batch, asked))
    if not layouts:
        raise HwsimError(
            f"{system.name}: {_asked_text(asked)} does not make up {system.chips} chips with a "
            f"batch of {workload.batch}; expected tensor x pipeline x data = {system.chips}, data "
            f"at most the batch, microbatches a divisor of batch / data"
        )
    run = Job(workload, system.machine, algorithm, None, dtype)
    typed = run.checked_workload()
    alone = (1, 1, 1, 1)
    chips = _chips(run, typed, [*layouts, alone], progress)
    planner = _Planner(system, typed, chips)
    found = [planner.option(*layout) for layout in layouts if layout[1] <= len(typed.layers)]
    if not found:
        raise HwsimError(
            f"{workload.name} has {len(typed.layers)} layers; expected at most so many stages"
        )
    found.sort(key=lambda one: (not one.fits, one.seconds, one.pipeline, one.tensor))
    stated = next(iter(typed.layers.values())).dtype or system.machine.dtype
    return Split(system, typed, stated, tuple(found), planner.option(*alone))


@dataclass(frozen=True)
class _Chip:
    """A chip as a stage may find it.

    times: seconds of every part of a layer. room: bytes for weights. caches: does the room take
    keys and values too?
    """

    times: Mapping[Part, float]
    room: float
    caches: bool


def _chips(
    run: Job, typed: Workload, layouts: Sequence[Layout], progress: Progress | None
) -> list[_Chip]:
    """Ways in which a stage may find its chip, by where the weights are.

    One chip keeps its weights on it, where the machine has such a memory; one has weights that fit
    the DRAM; one has weights that need not.
    """
    machine, batch = run.machine, typed.batch
    parts: set[Part] = set()
    for t, images in {(t, _images(batch, d, m)) for t, _, d, m in layouts}:
        network = typed.with_batch(images)
        found, needed = residencies(network, machine), channels_needed(network, t)
        parts |= {
            (way.layer, found.get(name, NOTHING))
            for name, layer in network.layers.items()
            for way in ways_of(layer, t, needed.get(name, 0))
        }
    capacity = float(machine.memories[machine.dram_name].capacity)
    times = _times(run, parts, progress)
    keeper = keeper_of_weights(machine)
    if keeper is None:
        return [_Chip(times, capacity, True), _Chip(times, inf, True)]
    loading = _times(replace(run, machine=loading_weights(machine)), parts, progress)
    return [
        _Chip(times, float(machine.memories[keeper].capacity), False),
        _Chip(loading, capacity, True),
        _Chip(loading, inf, True),
    ]


class _Planner:
    """Lays a network's layers on a system's chips, once the layers' parts are timed."""

    def __init__(self, system: System, typed: Workload, chips: Sequence[_Chip]) -> None:
        self.network = Network(system)
        self.machine = system.machine
        self.typed = typed
        self.chips = chips
        self._chosen: dict[tuple[int, int, int], tuple[Chosen, ...]] = {}

    def option(self, t: int, p: int, d: int, m: int) -> Option:
        """Cut so that every stage's weights find the first room that they fit."""
        images = _images(self.typed.batch, d, m)
        for chip in self.chips:
            ways = self._ways(t, images, chip)
            caches = m if chip.caches else 0
            held = [
                resident_weight_bytes(one.way.layer) + caches * cache_bytes(one.way.layer)
                for one in ways
            ]
            sends = _sends(ways, t, p, self.network)
            begins = cut([one.seconds for one in ways], sends, p, m, held, chip.room)
            if begins is not None:
                break
        assert begins is not None
        capacity = self.machine.memories[self.machine.dram_name].capacity
        return Option(t, p, d, m, tuple(_stages(ways, begins, m, sends)), capacity)

    def _ways(self, t: int, images: int, chip: _Chip) -> tuple[Chosen, ...]:
        """How each layer is split over t chips, the quickest way."""

        def moves(kind: str, size: int) -> float:
            return self.network.collective(kind, tuple(range(t)), size).seconds

        key = (t, images, id(chip.times))
        if key not in self._chosen:
            layers = self.typed.with_batch(images)
            found = residencies(layers, self.machine)

            def times(name: str, part: Layer) -> float:
                return chip.times[part, found.get(name, NOTHING)]

            self._chosen[key] = tuple(split_layers(layers, t, times, moves))
        return self._chosen[key]


def _images(batch: int, data: int, microbatches: int) -> int:
    """Of a microbatch, on the copy that has most."""
    share = -(-batch // data)
    return -(-share // microbatches)


def _layouts(chips: int, batch: int, asked: Asked) -> Iterator[Layout]:
    """All that make up the chips."""
    for t in _divisors(chips):
        for p in _divisors(chips // t):
            d = chips // (t * p)
            wanted = zip((t, p, d), (asked.tensor, asked.pipeline, asked.data), strict=True)
            if d > batch or any(want and want != have for have, want in wanted):
                continue
            share = -(-batch // d)
            for m in _divisors(share) if p > 1 or asked.microbatches else [1]:
                if not asked.microbatches or m == asked.microbatches:
                    yield t, p, d, m


def _divisors(number: int) -> list[int]:
    return [part for part in range(1, number + 1) if number % part == 0]


def _times(run: Job, parts: set[Part], progress: Progress | None) -> dict[Part, float]:
    """Seconds of every distinct part of a layer on one chip."""
    named = {f"{number}": part for number, part in enumerate(sorted(parts, key=repr))}
    workload = replace(
        run.workload, layers={name: layer for name, (layer, _) in named.items()}, inputs={}
    )
    found = tuple((name, residency) for name, (_, residency) in named.items())
    job = replace(run, workload=workload, placed=True, residencies=found)
    result = run_jobs([job], progress, keeps=True)[0]
    return {named[layer.name]: layer.seconds for layer in result.layers}


def _sends(ways: tuple[Chosen, ...], t: int, p: int, network: Network) -> list[float]:
    """Seconds in which a stage's chips send their parts of the maps behind each layer onwards.

    All send at once, each to its peer in the next stage.
    """
    if p == 1:
        return [0.0] * len(ways)
    both = tuple(range(2 * t))
    return [network.collective("hand-over", both, one.leaves).seconds for one in ways]


def _stages(
    ways: tuple[Chosen, ...], begins: Sequence[int], m: int, sends: Sequence[float]
) -> Iterator[Stage]:
    for begin, end in pairwise([*begins, len(ways)]):
        layers = ways[begin:end]
        yield Stage(
            layers,
            sum(one.computing for one in layers),
            sum(one.moving for one in layers),
            sends[end - 1] if end < len(ways) else 0.0,
            sum(resident_weight_bytes(one.way.layer) for one in layers),
            sum(m * cache_bytes(one.way.layer) for one in layers),
        )


def _asked_text(asked: Asked) -> str:
    fixed = {
        "tensor": asked.tensor,
        "pipeline": asked.pipeline,
        "data": asked.data,
        "microbatches": asked.microbatches,
    }
    return ", ".join(f"{name} {value}" for name, value in fixed.items() if value) or "this"


def chips_text(system: System) -> str:
    """8, or 64 (4 x 4 x 4)."""
    shape = " x ".join(map(str, system.shape))
    return f"{prod(system.shape)}" if len(system.shape) == 1 else f"{prod(system.shape)} ({shape})"

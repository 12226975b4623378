"""What a GPU's L2 has of a layer's maps when the layers before it have run.

    layer 1:  reads maps 0, writes maps 1
    layer 2:  reads maps 1 ...              a word of them is still there where no more than the L2
                                            holds was touched since layer 1 wrote it

Every layer passes over its maps and weights once, at an even pace. Maps that their readers find in
the L2 are not written to DRAM either: their memory is used again for maps that come later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from hwsim.algorithms import DIRECT, lower
from hwsim.describe.layer import ElementwiseLayer, Layer
from hwsim.describe.machine import Machine
from hwsim.describe.workload import Workload
from hwsim.ir.stage import Stage
from hwsim.parts.cache import Cache
from hwsim.parts.sm import StreamingMultiprocessor

IN_PLACE = ("relu", "add")  # operators that overwrite what they read, as torchvision's networks do
STEPS = 8  # shares are rounded down to so many, so that layers that are nearly alike stay equal


@dataclass(frozen=True)
class Residency:
    """Shares of a layer's maps.

    inputs: what the L2 has of what it reads. output: what it still has of what the layer writes
    when that is read. follows: other layers come before and behind, so that the memory of its
    temporaries is used again.
    """

    inputs: float = 0.0
    output: float = 0.0
    follows: bool = False


NOTHING = Residency()


@dataclass(frozen=True)
class Pass:
    """When a layer runs, in bytes that were touched before its first word and after its last."""

    first: float
    last: float

    def still_there(self, later: Pass, capacity: float) -> float:
        """The share of words that are still there when a later pass comes to them.

        The word at share x was left c - a + x ((d - c) - (b - a)) bytes ago, of a pass from a to b
        and one from c to d.
        """
        begin = later.first - self.first
        slope = (later.last - later.first) - (self.last - self.first)
        if slope == 0:
            return float(begin <= capacity)
        where = (capacity - begin) / slope
        return min(1.0, max(0.0, where if slope > 0 else 1 - where))


def residencies(workload: Workload, machine: Machine) -> dict[str, Residency]:
    """By layer; nothing of any on machines without a GPU's L2, or of layers that stand alone."""
    if not isinstance(machine.compute, StreamingMultiprocessor) or not workload.inputs:
        return {}
    l2 = machine.part(machine.only("cache"), Cache)
    capacity = l2.reach or l2.capacity
    passes, clock = {}, 0.0
    for name, layer in workload.layers.items():
        after = clock + _touched(layer)
        passes[name], clock = Pass(clock, after), after
    shares: dict[str, list[float]] = {name: [] for name in passes}
    kept: dict[str, list[float]] = {name: [] for name in passes}
    for name, reads in workload.inputs.items():
        for source in reads:
            there = source in passes and name in passes
            share = passes[source].still_there(passes[name], capacity) if there else 0.0
            shares[name].append(share)
            if there:
                kept[source].append(share)
    return {
        name: Residency(_mean(shares[name]), _steps(min(kept[name], default=0.0)), True)
        for name in passes
    }


def maps_of(
    stages: Sequence[Stage], residency: Residency
) -> tuple[dict[str, float], dict[str, float]]:
    """By buffer, shares of the maps that stages are given, and of what need not be written.

    That is of the maps that they give; and of temporaries what the L2 has of them at the end.
    """
    written = {stage.output.buffer for stage in stages}
    read = {tensor.buffer for stage in stages for tensor in stage.inputs}
    given = {
        tensor.buffer
        for stage in stages
        for tensor in stage.inputs
        if tensor.role == "activation" and tensor.buffer not in written
    }
    return (
        dict.fromkeys(sorted(given), residency.inputs),
        {
            **dict.fromkeys(sorted(written - read), residency.output),
            **dict.fromkeys(sorted(written & read), float(residency.follows)),
        },
    )


def _touched(layer: Layer) -> int:
    """Bytes of a layer's maps and weights."""
    stages = lower(layer, DIRECT).stages
    sizes = {tensor.buffer: tensor.bytes for stage in stages for tensor in stage.tensors}
    if isinstance(layer, ElementwiseLayer) and layer.op in IN_PLACE:
        del sizes[stages[-1].output.buffer]
    return sum(sizes.values())


def _mean(shares: list[float]) -> float:
    return _steps(sum(shares) / len(shares)) if shares else 0.0


def _steps(share: float) -> float:
    return floor(share * STEPS) / STEPS

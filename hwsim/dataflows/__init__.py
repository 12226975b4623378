"""Dataflows: rules that schedule a stage on a machine. One file each, with a picture of who stays still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Protocol

from hwsim.errors import HwsimError
from hwsim.ir.access import Tensor
from hwsim.ir.nest import Hold, Nest
from hwsim.ir.stage import Stage
from hwsim.registry import Registry
from hwsim.spec.machine import Machine, Role


@dataclass(frozen=True)
class Kept:
    """Tensors that stay in an explicit memory instead of in DRAM. reserved: bytes of it that they take."""

    level: str
    tensors: frozenset[str]
    reserved: int


@dataclass(frozen=True)
class Placement:
    """What stays on the chip: temporaries between a layer's stages, maps between layers, weights from image to image."""

    kept: tuple[Kept, ...] = ()

    @property
    def resident(self) -> frozenset[str]:
        """Buffers that stay in any memory."""
        return frozenset(name for kept in self.kept for name in kept.tensors)

    def stays_in(self, level: str) -> frozenset[str]:
        """Buffers that stay in this memory."""
        return frozenset(name for kept in self.kept if kept.level == level for name in kept.tensors)

    def room(self, machine: Machine, level: str) -> int:
        """Bytes of a memory left for a stage's tiles."""
        return machine.memories[level].capacity - sum(kept.reserved for kept in self.kept if kept.level == level)

    def backing(self, stage: Stage, machine: Machine) -> tuple[Hold, ...]:
        """The outermost levels: DRAM for what comes and goes, explicit memories for what stays."""
        others = tuple(tensor.name for tensor in stage.tensors if tensor.buffer not in self.resident)
        holds = [Hold(machine.dram_name, others)] if others else []
        for kept in self.kept:
            names = tuple(tensor.name for tensor in stage.tensors if tensor.buffer in kept.tensors)
            holds += [Hold(kept.level, names)] if names else []
        return tuple(holds)

    def moving(self, stage: Stage, machine: Machine, level: str, roles: tuple[Role, ...]) -> tuple[str, ...]:
        """Names of a stage's tensors of these roles that come into a memory: they stay neither in it nor further in."""
        return tuple(tensor.name for tensor in stage.tensors
                     if tensor.role in roles and level in self._inside(machine, tensor))

    def _inside(self, machine: Machine, tensor: Tensor) -> tuple[str, ...]:
        """The memories between where a tensor comes from and the array."""
        chain = machine.chain(tensor.role)
        home = next((kept.level for kept in self.kept if tensor.buffer in kept.tensors), machine.dram_name)
        return chain[chain.index(home) + 1:]


class Dataflow(Protocol):
    """A rule from a stage and a machine to a nest. default: whether it is tried when the user names none."""

    name: str
    summary: str
    default: bool

    def refuses(self, stage: Stage, machine: Machine) -> str | None: ...

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest: ...


DATAFLOWS: Registry[Dataflow] = Registry("dataflow", "hwsim.dataflows")


def find_dataflow(name: str) -> Dataflow:
    """A dataflow by its name, or with its mapping fixed: 'row-stationary:m=64,n=4,e=13,p=16,q=3,r=2,t=2'.

    Raises UnknownName, or HwsimError for parameters that are wrong or that the dataflow does not take.
    """
    base, colon, parameters = name.partition(":")
    flow = DATAFLOWS[base]
    if not colon:
        return flow
    adjustable = getattr(flow, "with_parameters", None)
    if adjustable is None:
        raise HwsimError(f"dataflow {base} takes no parameters; expected {base} alone")
    found: Dataflow = adjustable(parameters)
    return found


def applicable(stage: Stage, machine: Machine, name: str | None = None) -> list[Dataflow]:
    """The named dataflow, if it applies, and every default that does. Raises UnknownName, or HwsimError when none does."""
    flows, reasons = [], []
    asked = [find_dataflow(name)] if name is not None else []
    others = [DATAFLOWS[candidate] for candidate in sorted(DATAFLOWS, key=lambda flow: (flow == "streaming", flow))]
    for flow in [*asked, *(flow for flow in others if flow.default)]:
        reason = flow.refuses(stage, machine)
        if reason is None:
            flows.append(flow)
        else:
            reasons.append(f"{flow.name}: {reason}")
    if flows:
        return flows
    raise HwsimError(f"no dataflow schedules {stage.name} on {machine.name}: " + "; ".join(reasons))


def held_width(machine: Machine, stage: Stage, tensor: Tensor) -> int:
    """Bytes a word takes in the chip's buffer: a partial sum's where sums are added there, for want of accumulators."""
    accumulator: int = getattr(machine.compute, "accumulator_bytes", tensor.width)
    summed = tensor.role == "output" and bool(stage.reduction) and len(machine.chain("output")) == 2
    return max(accumulator, tensor.width) if summed else tensor.width


def tile_bytes(tensor: Tensor, sizes: Mapping[str, int]) -> int:
    """Bytes that a tile of these sizes touches at most (dims not named: one iteration)."""
    words = 1
    for axis in tensor.axes:
        reach = sum(coefficient * (sizes.get(dim, 1) - 1) for dim, coefficient in axis.terms) + axis.span
        words *= min(axis.size, reach, axis.extent * prod(sizes.get(dim, 1) for dim in axis.dims))
    return words * tensor.width

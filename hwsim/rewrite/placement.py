"""What stays on the chip: temporaries, maps between layers, weights from image to image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from hwsim.algorithms import DIRECT, lower
from hwsim.describe.layer import Layer, LinearLayer, ProductLayer
from hwsim.describe.machine import Machine, Role
from hwsim.describe.units import size_text, whole_bytes
from hwsim.describe.workload import Workload
from hwsim.ir.nest import Hold
from hwsim.ir.stage import Plan, Stage
from hwsim.ir.tensor import Tensor
from hwsim.parts.scratchpad import Scratchpad


@dataclass(frozen=True)
class Kept:
    """Tensors that stay in an explicit memory instead of in DRAM.

    reserved: bytes of it that they take.
    """

    level: str
    tensors: frozenset[str]
    reserved: int


@dataclass(frozen=True)
class Placement:
    """What stays on the chip: temporaries, maps between layers, weights from image to image."""

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
        return machine.memories[level].capacity - sum(
            kept.reserved for kept in self.kept if kept.level == level
        )

    def backing(self, stage: Stage, machine: Machine) -> tuple[Hold, ...]:
        """The outermost levels: DRAM for what comes and goes, explicit memories for what stays."""
        others = tuple(
            tensor.name for tensor in stage.tensors if tensor.buffer not in self.resident
        )
        holds = [Hold(machine.dram_name, others)] if others else []
        for kept in self.kept:
            names = tuple(tensor.name for tensor in stage.tensors if tensor.buffer in kept.tensors)
            holds += [Hold(kept.level, names)] if names else []
        return tuple(holds)

    def moving(
        self, stage: Stage, machine: Machine, level: str, roles: tuple[Role, ...]
    ) -> tuple[str, ...]:
        """Names of a stage's tensors of these roles that come into a memory.

        They stay neither in it nor further in.
        """
        return tuple(
            tensor.name
            for tensor in stage.tensors
            if tensor.role in roles and level in self._inside(machine, tensor)
        )

    def _inside(self, machine: Machine, tensor: Tensor) -> tuple[str, ...]:
        """The memories between where a tensor comes from and the array."""
        chain = machine.chain(tensor.role)
        home = next(
            (kept.level for kept in self.kept if tensor.buffer in kept.tensors), machine.dram_name
        )
        return chain[chain.index(home) + 1 :]


def held_width(machine: Machine, stage: Stage, tensor: Tensor) -> float:
    """Bytes a word takes in the chip's buffer.

    It is a partial sum's where sums are added there, for want of accumulators.
    """
    accumulator = machine.compute.accumulator_bytes
    summed = tensor.role == "output" and bool(stage.reduction) and len(machine.chain("output")) == 2
    return max(accumulator, tensor.width) if summed else tensor.width


def keep_on_chip(plan: Plan, machine: Machine) -> Placement:
    """What stays in the chip's explicit memories.

    Temporaries and maps stay in its buffer, weights where they are kept.

    Temporaries stay when they take at most half of the buffer; what a memory keeps stays when it
    fits beside them.
    """
    buffer = next(iter(machine.chain("activation")[1:]), "")
    kept = [
        _kept_in(name, part, plan, machine, plan.temporaries if name == buffer else ())
        for name, part in machine.memories.items()
        if isinstance(part, Scratchpad) and part.per == "chip"
    ]
    return Placement(tuple(each for each in kept if each is not None))


def _kept_in(
    name: str, part: Scratchpad, plan: Plan, machine: Machine, temporaries: tuple[str, ...]
) -> Kept | None:
    """The tensors of a plan that stay in one memory.

    temporaries: those that may, as the chip's buffer holds outputs.
    """
    passing = temporaries if "output" in part.roles else ()
    written = {stage.output.buffer for stage in plan.stages if not stage.offline} & set(
        plan.temporaries
    )
    sizes: dict[str, int] = {}
    for stage in plan.stages:
        for tensor in stage.tensors:
            if not stage.offline and (
                tensor.buffer in passing
                or (
                    (tensor.kept_as or tensor.role) in part.keeps
                    and tensor.buffer not in written
                    and name in machine.chain(tensor.role)
                )
            ):
                size = whole_bytes(tensor.elements * held_width(machine, stage, tensor))
                sizes[tensor.buffer] = max(size, sizes.get(tensor.buffer, 0))
    between = {tensor: size for tensor, size in sizes.items() if tensor in passing}
    if sum(between.values()) > part.capacity // 2:
        return None
    if sum(sizes.values()) > part.capacity:
        sizes = between
    return Kept(name, frozenset(sizes), sum(sizes.values())) if sizes else None


def kept_roles(plan: Plan, machine: Machine) -> frozenset[Role]:
    """Of tensors that come and go, the roles of those that stay on the chip."""
    resident = keep_on_chip(plan, machine).resident - set(plan.temporaries)
    return frozenset(
        tensor.role
        for stage in plan.stages
        for tensor in stage.tensors
        if tensor.buffer in resident
    )


@lru_cache(4096)
def resident_weight_bytes(layer: Layer) -> int:
    """Bytes of a layer's weights in memory, those of experts that no vector needs among them."""
    if isinstance(layer, LinearLayer):
        return weight_bytes(layer) * layer.experts // layer.used_experts
    return weight_bytes(layer)


def weight_bytes(layer: Layer) -> int:
    """Bytes of the weights that a layer reads."""
    if not isinstance(layer, ProductLayer):
        return 0
    return sum(
        tensor.bytes
        for stage in lower(layer, DIRECT).stages
        for tensor in stage.tensors
        if (tensor.kept_as or tensor.role) == "weight"
    )


def keeper_of_weights(machine: Machine) -> str | None:
    """The memory where weights may stay from layer to layer, and from image to image."""
    return next(
        (
            name
            for name, part in machine.parts.items()
            if isinstance(part, Scratchpad) and "weight" in part.keeps
        ),
        None,
    )


def loading_weights(machine: Machine) -> Machine:
    """The machine, loading every layer's weights."""
    name = keeper_of_weights(machine)
    if name is None:
        return machine
    part: Scratchpad = machine.part(name, Scratchpad)
    loading = replace(part, keeps=tuple(role for role in part.keeps if role != "weight"))
    return replace(machine, parts={**machine.parts, name: loading})


def with_weights_that_fit(machine: Machine, workload: Workload) -> Machine:
    """The machine, or one that loads each layer's weights.

    It loads them if the network's do not all fit the memory that would keep them.
    """
    name = keeper_of_weights(machine)
    if name is None:
        return machine
    weights = sum(map(resident_weight_bytes, workload.layers.values()))
    if weights <= machine.memories[name].capacity:
        return machine
    reason = (
        f" The network's weights, {size_text(weights)}, do not fit {name} together: every "
        f"layer's come from {machine.dram_name}."
    )
    return replace(loading_weights(machine), fidelity=machine.fidelity + reason)


def captured(machine: Machine) -> Machine:
    """The machine as the layers of a network find it.

    A GPU's kernels are those of one captured graph.
    """
    name, compute = machine.compute_name, machine.compute.in_graph(machine.clock_hz)
    if compute == machine.compute:
        return machine
    return replace(machine, parts={**machine.parts, name: compute})

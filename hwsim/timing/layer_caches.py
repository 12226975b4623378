"""The caches that a layer's stages share, empty: line by line, or a GPU's L2 in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError
from hwsim.ir.stage import Stage
from hwsim.parts.cache import Cache, caches_of
from hwsim.parts.core import Core
from hwsim.parts.sm import StreamingMultiprocessor

if TYPE_CHECKING:
    from hwsim.timing.caches.chain import ImplicitChain
    from hwsim.timing.gpu.l2 import L2Buffers

WORTH_A_SAMPLE = 10_000_000  # iterations of a layer; fewer take less than half a second
USES = 128  # how often a block uses a word of an operand, about
LINES_WALKED = 1_000_000  # of a GPU's L2, at about 25 ns each
OF_CORES = ("shared_by", "core_bandwidth", "in_flight", "set_busy")


def implicit_chain(
    machine: Machine, stages: list[Stage], by_kind: bool = False, sampled: bool = False
) -> ImplicitChain | None:
    """A machine's caches, empty, and the stages' tensors behind them; None without caches.

    by_kind: misses are told apart by kind. sampled: a sample of the sets of a CPU's caches is
    walked, where the layer is worth it.
    """
    caches = caches_of(machine)
    if not caches:
        return None
    if not isinstance(machine.compute, Core):
        _refuse_what_cores_have(machine, caches)
    from hwsim.timing.caches.chain import AddressSpace, ImplicitChain

    if not isinstance(machine.compute, Core):
        return ImplicitChain(caches, 1, AddressSpace(stages), by_kind)
    large = sum(stage.iterations for stage in stages) >= WORTH_A_SAMPLE
    return ImplicitChain(
        caches,
        machine.compute.cores,
        AddressSpace(stages),
        by_kind,
        sampled=sampled and large,
    )


def why_not_sampled(machine: Machine) -> str | None:
    """Why a machine's caches are never simulated in a sample of their sets; None where they are."""
    if not isinstance(machine.compute, Core):
        return "only a CPU's caches are sampled"
    from hwsim.timing.caches import set_samples

    return set_samples.why_not_sampled(caches_of(machine))


def l2_in_closed_form(machine: Machine, stages: list[Stage], plain: bool) -> L2Buffers | None:
    """A GPU's L2 in closed form where its library's kernels would look up too many lines.

    Words of four bits have no addresses of their own, and are never looked up. Else None. plain:
    the library's kernels run, and no walk is asked for.
    """
    sm = machine.compute
    if not isinstance(sm, StreamingMultiprocessor):
        return None
    name = machine.only("cache")
    l2: Cache = machine.part(name, Cache)
    lines = sum(
        max(
            sum(tensor.bytes for tensor in stage.tensors),
            2 * stage.iterations * stage.output.width / USES if stage.view else 0,
        )
        for stage in stages
    )
    walkable = all(tensor.width >= 1 for stage in stages for tensor in stage.tensors)
    few = lines / l2.line <= LINES_WALKED
    if walkable and (few or not plain or sm.library is None):
        return None
    from hwsim.timing.gpu.l2 import L2Buffers

    return L2Buffers(name, l2.capacity, l2.line)


def _refuse_what_cores_have(machine: Machine, caches: list[tuple[str, Cache]]) -> None:
    for name, cache in caches:
        stated = [field for field in OF_CORES if getattr(cache, field)]
        if stated:
            raise HwsimError(
                f"{machine.name}: {name}: {stated[0]} is simulated where CPU cores use the cache; "
                f"expected a cache without it"
            )

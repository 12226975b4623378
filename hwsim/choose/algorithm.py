"""What `auto` does: which algorithms it tries, which it need not simulate, which it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf

from hwsim.algorithms import ATTENTION, FLASH, MEMORY_BOUND, find_algorithm, lower
from hwsim.choose.objectives import OBJECTIVES, by_rank
from hwsim.count.compulsory import compulsory_bytes
from hwsim.describe.layer import DENSE, AttentionLayer, Layer, MemoryLayer
from hwsim.describe.machine import Machine
from hwsim.errors import Beaten, HwsimError
from hwsim.ir.note import About, Note
from hwsim.ir.stage import Plan
from hwsim.parts.dram import Dram
from hwsim.parts.vector import VectorUnit
from hwsim.results.result import LayerResult
from hwsim.rewrite.fusion import number_of_blocks
from hwsim.rewrite.residency import NOTHING, Residency

# the first is always simulated; a fixed list, so that what a plug-in registers does not change what
# auto does
TRIED = (
    "implicit-gemm",
    "direct",
    "im2col",
    "winograd-f2",
    "winograd-f4",
    "winograd-f4-fused",
    "winograd-f2-fused",
    "offset-add",
    "offset-add-fused",
    "fft",
)
# tried last, and only where one of those beside it is the best so far: simulating caches or
# schedules takes long. On GPUs, whose kernels are timed at once, with the others
KIN = {"winograd-f2-fused": ("winograd-f2", "winograd-f4", "winograd-f4-fused")}
EQUAL = (
    1e-3  # results that differ by less are taken as equal, and the one of less energy is the better
)


def candidates(layer: Layer) -> list[str]:
    """The algorithms that apply to a layer, the one that is always simulated first."""
    if isinstance(layer, AttentionLayer):
        return [ATTENTION, FLASH]
    if isinstance(layer, MemoryLayer):
        return [MEMORY_BOUND]
    return [name for name in TRIED if find_algorithm(name).refuses(layer) is None]


def waits_for_kin(algorithm: str, machine: Machine) -> bool:
    """Is an algorithm tried only where one that is much like it is the best of the others?"""
    return algorithm in KIN and machine.management != "mixed"


def is_kin(algorithm: str, best: LayerResult) -> bool:
    return best.algorithm in KIN[algorithm]


def cannot_win(
    layer: Layer,
    algorithm: str,
    machine: Machine,
    objective: str,
    best: LayerResult,
    residency: Residency = NOTHING,
) -> bool:
    """True when the least that an algorithm can take is more than what another took.

    It need not be simulated then. The least: its multiplications, its other operations and the
    words that must come and go, each at the machine's full rate, and the launches of its kernels,
    of every block where it is fused. Zeros that some units skip are not considered; layers that
    have them are always simulated.
    """
    if getattr(layer, "density", DENSE) != DENSE:
        return False
    plan = lower(layer, algorithm)
    measure = OBJECTIVES[objective].measure
    if objective == "multiplies":
        return plan.operations.multiplies > measure(best)
    if objective != "latency":
        return False
    dtype = layer.dtype or machine.dtype
    peak, vector = machine.compute.peak_macs_per_cycle(dtype), vector_rate(machine, dtype)
    stages = [stage for stage in plan.stages if not stage.offline]
    cycles = sum(
        stage.operations.multiplies / peak
        if stage.operations.multiplies
        else stage.operations.vector_operations / vector
        for stage in stages
    )
    dram: Dram = machine.part(machine.dram_name, Dram)
    keeps = {role for part in machine.memories.values() for role in part.keeps}
    if residency != NOTHING:
        keeps |= {"activation", "output"}
    moved = compulsory_bytes(plan, tuple(sorted(keeps))) / dram.bandwidth.bytes_per_cycle(
        machine.clock_hz
    )
    launches = machine.compute.launch_cycles(machine.clock_hz) * _kernels(plan, machine)
    return (launches + max(cycles, moved)) / machine.clock_hz > best.seconds * (1 + EQUAL)


def most_cycles(layer: Layer, machine: Machine, objective: str, best: LayerResult) -> float:
    """What an algorithm must not take longer than, to be simulated to its end.

    It is what another took, on machines whose every memory is explicit, where mappings are
    searched; without a limit on others.
    """
    dense = getattr(layer, "density", DENSE) == DENSE
    if objective != "latency" or not dense or machine.management != "explicit":
        return inf
    return best.seconds * (1 + EQUAL) * machine.clock_hz


def _kernels(plan: Plan, machine: Machine) -> int:
    """Stages that are launched one after another."""
    if machine.compute.launch_cycles(machine.clock_hz) == 0.0:
        return 0
    if plan.one_kernel and machine.management == "mixed":
        return 1
    stages = sum(not stage.offline for stage in plan.stages)
    return stages * number_of_blocks(plan, machine)


def vector_rate(machine: Machine, dtype: str) -> float:
    """Operations outside the multipliers a cycle, at most."""
    units = [part for part in machine.parts.values() if isinstance(part, VectorUnit)]
    return (
        float(units[0].lanes) if units else machine.compute.peak_vector_operations_per_cycle(dtype)
    )


def best_result(
    name: str, outcomes: Sequence[LayerResult | HwsimError], objective: str, explain: bool
) -> LayerResult:
    """The best of a layer's results by an objective, the one of less energy among equals.

    Where it is asked to explain, with what it beat.

    Raises the first error when nothing ran.
    """
    measure = OBJECTIVES[objective].measure
    energy = OBJECTIVES["energy"].measure
    ran = [outcome for outcome in outcomes if isinstance(outcome, LayerResult)]
    if not ran:
        raise next(
            HwsimError(f"{name}: {outcome}")
            for outcome in outcomes
            if isinstance(outcome, HwsimError)
        )
    least = min(measure(result) for result in ran)
    equal = [result for result in ran if measure(result) <= least * (1 + EQUAL)]
    best = min(equal, key=lambda result: (energy(result), result.seconds))
    others = sorted(
        (result for result in ran if result not in equal),
        key=lambda result: (measure(result), result.seconds),
    )
    dearer = [result for result in equal if energy(result) > energy(best) * (1 + EQUAL)]
    beaten = (others or dearer)[:1]
    left = sum(isinstance(outcome, Beaten) for outcome in outcomes)
    if not explain or not (beaten or left):
        return replace(best, name=name)
    why = [_reason(best, other, objective) for other in beaten]
    if left:
        why.append(f"{best.algorithm} ran to its end, {left} not, as they took longer")
    return replace(
        best, name=name, notes=(*best.notes, Note(f"auto: {'; '.join(why)}", About.CHOICE))
    )


def _reason(best: LayerResult, other: LayerResult, objective: str) -> str:
    """What the best needs of the runner-up's, the objective first.

    It tells where its advantage comes from, and what it pays.
    """
    shares = []
    for name in by_rank(objective):
        measure, what = OBJECTIVES[name].measure, OBJECTIVES[name].what
        share = measure(best) / measure(other) if measure(other) else 1.0
        if name == objective or abs(share - 1) >= 0.005:
            shares.append(f"{share:.2f} of the {what}")
    return f"{best.algorithm} takes {', '.join(shares)} of {other.algorithm}"

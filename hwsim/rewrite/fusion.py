"""Fused plans: blocks run through all the stages, one after another.

They are small enough for their temporaries to stay on chip.

for n, p, k: V[p] = f(x[p])                       for blocks of p:
for n, p, k: M[p] += V[p] * U             ->        V = f(x[block]); M += V * U; y[block] = g(M)
for n, p, k: y[p] = g(M[p])
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from hwsim.describe.machine import Machine
from hwsim.describe.units import size_text, whole_bytes
from hwsim.ir.note import Note
from hwsim.ir.stage import Operations, Plan, Stage
from hwsim.ir.tensor import Axis, Tensor
from hwsim.results.result import Counted, Cycles, Sampling, StageResult, add_accesses, add_energy

Chunk = tuple[int, int]  # first iteration of a dim, and how many


@dataclass(frozen=True)
class Block:
    """A plan cut down to one block, and how many blocks are like it."""

    plan: Plan
    times: int


def blocks_of(plan: Plan, machine: Machine) -> tuple[list[Block], list[Note]]:
    """The blocks of a plan, and why it is run whole when it is fused.

    One reason is that not even its smallest block fits.

    Blocks that differ only in where they lie are one block several times on explicit machines;
    caches see every block.
    """
    if not plan.fused_over:
        return [Block(plan, 1)], []
    if plan.one_kernel and machine.management == "mixed":
        why = (
            f"not fused on {machine.name}: its library has one kernel for it in half precision "
            f"alone; the stages run one after another"
        )
        return [Block(plan, 1)], [Note(why)]
    chunks = _chunks(plan, machine)
    if isinstance(chunks, str):
        return [Block(plan, 1)], [Note(f"not fused on {machine.name}: {chunks}")]
    if all(len(own) == 1 for own in chunks.values()):
        return [Block(plan, 1)], [Note(f"fused on {machine.name}: one block is the whole layer")]
    places = [dict(zip(chunks, place, strict=True)) for place in product(*chunks.values())]
    pieces = [
        replace(plan, stages=tuple(_cut(stage, place, plan.temporaries) for stage in plan.stages))
        for place in places
    ]
    if machine.management != "explicit":
        return [Block(piece, 1) for piece in pieces], []
    likes = [_likeness(piece) for piece in pieces]
    times = Counter(likes)
    return [Block(pieces[likes.index(like)], number) for like, number in times.items()], []


def number_of_blocks(plan: Plan, machine: Machine) -> int:
    """How many blocks a plan is cut into, without cutting it."""
    chunks = _chunks(plan, machine) if plan.fused_over else ""
    return 1 if isinstance(chunks, str) else prod(len(own) for own in chunks.values())


def room_for_temporaries(machine: Machine) -> tuple[str, int]:
    """(memory, bytes): half of the chip's buffer next to DRAM, or of the last cache."""
    name = machine.chain("activation")[1]
    return name, machine.memories[name].capacity // 2


def _chunks(plan: Plan, machine: Machine) -> dict[str, list[Chunk]] | str:
    """Cut the dims that blocks run over until a block's temporaries fit, or say why not.

    The outermost is cut first.
    """
    level, room = room_for_temporaries(machine)
    online = [stage for stage in plan.stages if not stage.offline]
    known = {dim: bound for stage in reversed(online) for dim, bound in stage.bounds}
    extents = {dim: known[dim] for dim in plan.fused_over if dim in known}
    sizes = dict(extents)
    for dim in extents:
        while _temporary_bytes(plan, sizes, machine) > room and sizes[dim] > 1:
            sizes[dim] = -(-sizes[dim] // 2)
    if (least := _temporary_bytes(plan, sizes, machine)) > room:
        return (
            f"one block's temporaries take {size_text(least)}, half of {level} is {size_text(room)}"
        )
    return {
        dim: [(start, min(size, extents[dim] - start)) for start in range(0, extents[dim], size)]
        for dim, size in sizes.items()
    }


def _temporary_bytes(plan: Plan, sizes: Mapping[str, int], machine: Machine) -> int:
    """Bytes of a block's temporaries; sums kept in the buffer are as wide as accumulators."""
    tensors = {
        tensor.name: tensor
        for stage in plan.stages
        for tensor in stage.tensors
        if tensor.name in plan.temporaries
    }
    wide = machine.compute.accumulator_bytes if machine.management == "explicit" else 1
    return sum(
        whole_bytes(prod(_axis_size(axis, sizes) for axis in tensor.axes) * max(tensor.width, wide))
        for tensor in tensors.values()
    )


def _axis_size(axis: Axis, sizes: Mapping[str, int]) -> int:
    return min([axis.size, *(sizes[dim] for dim in axis.dims if dim in sizes)])


def _cut(stage: Stage, place: Mapping[str, Chunk], temporaries: Sequence[str]) -> Stage:
    if stage.offline:
        return stage
    bounds = tuple((dim, place[dim][1] if dim in place else bound) for dim, bound in stage.bounds)
    block = replace(
        stage,
        bounds=bounds,
        tensors=tuple(_cut_tensor(tensor, place, temporaries) for tensor in stage.tensors),
    )
    return replace(block, effectual=stage.effectual * block.iterations // stage.iterations)


def _cut_tensor(tensor: Tensor, place: Mapping[str, Chunk], temporaries: Sequence[str]) -> Tensor:
    """A temporary shrinks to the block; of any other tensor the block touches a piece."""
    if tensor.buffer in temporaries:
        sizes = {dim: length for dim, (_, length) in place.items()}
        return replace(
            tensor, axes=tuple(replace(axis, size=_axis_size(axis, sizes)) for axis in tensor.axes)
        )
    axes = (
        replace(
            axis,
            offset=axis.offset
            + sum(coefficient * place[dim][0] for dim, coefficient in axis.terms if dim in place),
        )
        for axis in tensor.axes
    )
    return replace(tensor, axes=tuple(axes))


def _likeness(plan: Plan) -> tuple[object, ...]:
    """What blocks must have in common to cost the same.

    That is their sizes, and how far they reach into the padding.
    """
    return tuple(
        (
            stage.bounds,
            tuple(axis.overhang(stage.extents) for tensor in stage.tensors for axis in tensor.axes),
        )
        for stage in plan.stages
        if not stage.offline
    )


def together(
    results: Sequence[tuple[StageResult, int]], operations: Operations, blocks: int
) -> StageResult:
    """One stage's results over all blocks, each so many times."""
    first = results[0][0]
    if blocks == 1:
        return replace(first, operations=operations)
    cycles = sum(
        (
            Cycles(
                result.cycles.compute * times,
                {cause: time * times for cause, time in result.cycles.stall.items()},
            )
            for result, times in results
        ),
        Cycles(),
    )
    footprint: dict[str, dict[str, int]] = {}
    for result, _ in results:
        for part, tensors in result.footprint_bytes.items():
            row = footprint.setdefault(part, {})
            for tensor, size in tensors.items():
                row[tensor] = max(row.get(tensor, 0), size)
    return replace(
        first,
        nest=f"one of {blocks} blocks:\n{first.nest}",
        operations=operations,
        cycles=cycles,
        footprint_bytes=footprint,
        accesses=add_accesses(_times(result.accesses, times) for result, times in results),
        energy_pj=add_energy(
            {part: energy * times for part, energy in result.energy_pj.items()}
            for result, times in results
        ),
        energy_by_tensor_pj=_by_tensor(results),
        lines=add_accesses(_times(result.lines, times) for result, times in results),
        sampling=_sampling_of(results),
        reuse={},
    )


def _times(counts: dict[str, dict[str, Counted]], times: int) -> dict[str, dict[str, Counted]]:
    return {
        part: {tensor: count * times for tensor, count in tensors.items()}
        for part, tensors in counts.items()
    }


def _sampling_of(results: Sequence[tuple[StageResult, int]]) -> Sampling | None:
    """How much was simulated of all, which is off at most as the one that is off most."""
    sampled = [(result.sampling, times) for result, times in results if result.sampling]
    if not sampled:
        return None
    return replace(
        sampled[0][0],
        error=max(sampling.error for sampling, _ in sampled),
        time=max(sampling.time for sampling, _ in sampled),
        lines=sum(sampling.lines * times for sampling, times in sampled),
    )


def _by_tensor(results: Sequence[tuple[StageResult, int]]) -> dict[str, dict[str, float]]:
    total: dict[str, dict[str, float]] = {}
    for result, times in results:
        for part, tensors in result.energy_by_tensor_pj.items():
            row = total.setdefault(part, {})
            for tensor, energy in tensors.items():
                row[tensor] = row.get(tensor, 0.0) + energy * times
    return total

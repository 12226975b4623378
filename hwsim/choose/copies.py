"""Copies that a CPU's products run on where their operands lie badly.

    for c:                      512 channels of 32 x 32 words in NCHW begin 4 KiB apart: in few sets
      ... ifmap[c][y][x]        of any cache, which cannot keep what is used again

    for n:                      neighbours along n lie a row of K apart: no vector of them can be
      S[m][n] += ... K[n][d]    loaded at once

The copies are stages of their own and cost what they cost.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hwsim.describe.machine import Machine
from hwsim.ir.note import About, Note
from hwsim.ir.stage import Plan, Stage
from hwsim.ir.tensor import Tensor
from hwsim.parts.cache import Cache, caches_of
from hwsim.parts.core import Core
from hwsim.parts.dram import Dram
from hwsim.results.result import LayerResult
from hwsim.rewrite.layout import Copy, channels_last_copy, is_map, on_copies

TRANSPOSED = Note("rows along which a product adds are transposed for vectors", About.LIBRARY)


def on_better_copies(plan: Plan, machine: Machine, ran: LayerResult) -> Plan | None:
    """The plan on copies of operands that lie badly for a CPU's products.

    None without such, or where copying them takes longer than their products lost in `ran`, the
    plan as it is. What somebody stated stays as it lies, and so do maps of several products.
    """
    if not isinstance(machine.compute, Core):
        return None
    (_, second) = (caches_of(machine) * 2)[1]
    users = Counter(tensor.buffer for stage in plan.stages for tensor in _maps(stage))
    copies: dict[str, tuple[Copy, ...]] = {}
    for stage, result in zip(plan.stages, ran.stages, strict=True):
        if stage.view is None or stage.offline:
            continue
        alone = all(users[tensor.buffer] == 1 for tensor in _maps(stage))
        found = _spread(stage, second) if alone and not plan.fused_over else ()
        found = found or _transposed(stage)
        lost = result.cycles.total - result.cycles.compute
        if found and lost > _least_cycles(found, machine):
            copies[stage.name] = found
    if not copies:
        return None
    return on_copies(plan, copies)


def _maps(stage: Stage) -> list[Tensor]:
    """Of the layer's maps those that a product is done on."""
    return [tensor for tensor in stage.tensors if stage.view is not None and is_map(tensor)]


def _spread(stage: Stage, cache: Cache) -> tuple[Copy, ...]:
    """Maps channels last, if as they lie some crowd sets of the cache."""
    maps = _maps(stage)
    stated = any(tensor.stated or tensor.layout for tensor in maps)
    if stated or not any(_crowds(tensor, cache) for tensor in maps):
        return ()
    return tuple(map(channels_last_copy, maps))


def _crowds(tensor: Tensor, cache: Cache) -> bool:
    """Do the first words of all channels lie in fewer sets than have room for them?"""
    first_words = (c * tensor.strides[-3] * tensor.width for c in range(tensor.axes[-3].size))
    return cache.most_in_a_set(first_words) > cache.ways


def _transposed(stage: Stage) -> tuple[Copy, ...]:
    """Data in the weights' place with n fastest, if its rows lie along k."""
    assert stage.view is not None
    found = []
    for tensor in stage.inputs:
        is_data = tensor.role == "weight" and tensor.kept_as == "activation"
        if is_data and not tensor.stated and set(tensor.fastest.dims) & set(stage.view.k):
            across = [n for n in tensor.order if set(tensor.axes[n].dims) & set(stage.view.n)]
            layout = (*(n for n in tensor.order if n not in across), *across)
            made = replace(tensor, name=f"{tensor.name}.transposed", layout=layout)
            found.append(Copy(tensor, made, ("rows", "columns"), TRANSPOSED))
    return tuple(found)


def _least_cycles(copies: tuple[Copy, ...], machine: Machine) -> float:
    """Until everything that is copied has been read and written once."""
    dram: Dram = machine.part(machine.dram_name, Dram)
    moved = 2 * sum(copy.tensor.bytes for copy in copies)
    return moved / dram.bandwidth.bytes_per_cycle(machine.clock_hz)

"""What a nest of a kernel written by hand does in a step (hwsim.parts.hand_written times it)."""

from __future__ import annotations

from math import prod

from hwsim.describe.machine import Machine
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Hold, Nest
from hwsim.parts.hand_written import HandWritten, Step
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.timing.gpu.l2 import tile_sizes
from hwsim.timing.gpu.occupancy import Occupancy


def is_by_hand(nest: Nest, sm: StreamingMultiprocessor) -> bool:
    """Products on CUDA cores that no kernel of a library computes."""
    multiplies = nest.stage.per_iteration.multiplies > 0 and nest.stage.view is not None
    return multiplies and nest.kernel is None and not sm.on_tensor_cores(nest.stage)


def step_of(
    nest: Nest,
    machine: Machine,
    counts: NestCounts,
    room: Occupancy,
    boundary: Hold,
    steps: int,
    products: float,
    dtype: str,
) -> Step:
    """A step of a block. steps: of each block; products: of a block, idle threads' among them."""
    level = boundary.level
    each = counts.instances[level] * steps
    copied = sum(counts.of(level, name).fills for name in boundary.tensors) / each
    read = sum(counts.of(level, tensor.name).serves for tensor in nest.stage.inputs) / each
    return HandWritten.on(machine, dtype).step(
        copied=copied,
        read=read,
        products=products / steps,
        threads=room.threads,
        deep=_reduction(nest, boundary),
        overlapped=boundary.buffers > 1,
    )


def _reduction(nest: Nest, boundary: Hold) -> int:
    """Steps along the reduction of a tile, a convolution's taps among them."""
    sizes = tile_sizes(nest, boundary)
    return prod(sizes[dim] for dim in nest.stage.reduction)

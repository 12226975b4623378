"""Time of a GPU's fused Winograd kernel, in closed form.

    a block's channel =  products     points x filters x tiles, at what the like family reaches
                       + transforms   one patch of every tile, on the CUDA cores
    and at its end       inverse      filters x tiles, and its results leave

The constants are those of the library's implicit GEMM on CUDA cores (kernels/): its efficiency,
prologue and epilogue. Blocks go to SMs in waves; a block that is not full takes as long as one that
is. No constant is fitted to times of Winograd, but that an SM holds one block was told from some
(kernels/nvidia-volta.yaml).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod

import numpy as np

from hwsim.describe.kernels import Family, FusedWinograd
from hwsim.describe.machine import Machine
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Transformed
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.results.result import Cycles
from hwsim.schedule.dataflows.fused_winograd import MULTIPLIES, shape_of, tile_of
from hwsim.timing.gpu.kernel_time import Chip, slower_port

WAITS = "waves of blocks"


@dataclass(frozen=True)
class Block:
    """What blocks on one SM take, of so many filters and tiles each, channel after channel."""

    chip: Chip
    kernel: FusedWinograd
    family: Family
    transformed: Transformed
    tiles: int
    channels: int
    out_bytes: int

    def cycles(self, on_sm: int) -> tuple[float, float]:
        """(products, all else) of so many blocks at a time on an SM."""
        warps = ceil(self.kernel.threads / self.chip.sm.warp)
        reached = float(self.chip.reached(self.family, np.array([float(on_sm * warps)]))[0])
        rate = self.chip.sm.vector_ops_per_cycle_per_sm(MULTIPLIES)
        sums = self.kernel.filters * self.tiles
        products = self.channels * sums * self.transformed.points
        transforms = self.channels * self.tiles * self.transformed.forward.vector_operations
        inverse = sums * self.transformed.inverse.vector_operations
        leaving = self.out_bytes / self.family.epilogue.bytes_per_cycle(self.chip.clock_hz)
        multiplied = on_sm * products / (rate * self.family.efficiency * reached)
        return multiplied, on_sm * ((transforms + inverse) / rate + leaving)


def winograd_cycles(
    nest: Nest, machine: Machine, resident: int, l2_bytes: float, dram_bytes: float
) -> Cycles:
    """Cycles of one call. resident: blocks that an SM holds at a time."""
    sm, chip, stage = machine.compute, Chip.of(machine), nest.stage
    assert isinstance(sm, StreamingMultiprocessor) and sm.library is not None
    kernel, transformed = sm.library.winograd_fused, stage.transformed
    assert kernel is not None and transformed is not None
    family, clock = sm.library.families[kernel.like], machine.clock_hz
    tile, extents = tile_of(stage, kernel), stage.extents
    tiles = prod(shape_of(stage, kernel).values())  # computed, be they there or not
    blocks = prod(ceil(extents[dim] / tile.get(dim, 1)) for dim in extents if dim != "c")
    out_bytes = kernel.filters * tiles * transformed.outputs * int(stage.output.width)
    block = Block(chip, kernel, family, transformed, tiles, extents["c"], out_bytes)
    whole, rest = divmod(blocks, sm.sms * resident)
    waves = [(whole, resident), (1 if rest else 0, ceil(rest / sm.sms))]
    products, others = (
        sum(times * block.cycles(on_sm)[part] for times, on_sm in waves if times) for part in (0, 1)
    )
    changes = (sum(times for times, _ in waves) - 1) * family.tile_change.cycles(clock)
    ideal = (
        stage.operations.effectual_multiplies / sm.sms / sm.vector_ops_per_cycle_per_sm(MULTIPLIES)
    )
    inside = products + others + changes
    moving, port = slower_port(machine, chip, l2_bytes, dram_bytes / sm.library.dram_share)
    stalls = {
        "transforms": others,
        WAITS: products + changes - ideal,
        port: moving - inside,
        "kernel launch": sm.gap_cycles(clock),
        "fill and drain": family.prologue.cycles(clock),
    }
    return Cycles(ideal, {name: time for name, time in stalls.items() if time > 0})

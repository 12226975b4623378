"""A GPU's fused Winograd kernel: sums of a block of filters and tiles stay, channels stream past.

par blocks of k, n, y, x:         blocks of 32 filters and 32 tiles, of one image or several
  for blocks of 8 c:              the next ones pass through registers meanwhile
    hold shared: ifmap U          patches, which the block transforms, and transformed filters
      par k, n, y, x on threads:  64 sums in each one's registers
        for c:  ofmap += transforms(ifmap) * U
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, prod

from hwsim.describe.kernels import FusedWinograd
from hwsim.describe.machine import Machine
from hwsim.describe.units import DTYPE_BYTES
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow

MULTIPLIES = "fp32"  # what the kernel multiplies in, whatever its words
CHANNELS = 8  # at a time in shared memory: Lavin and Gray 2016, section 5.1


class FusedWinogradFlow:
    """Blocks of the library's size, of the shape that needs the fewest."""

    name = "fused-winograd"
    summary = "a GPU's Winograd kernel: sums stay, channels stream"
    default = True

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        if stage.transformed is None:
            return "it is not Winograd's convolution in one kernel"
        sm = machine.compute
        if not isinstance(sm, StreamingMultiprocessor):
            return "it needs streaming multiprocessors"
        if sm.library is None or sm.library.winograd_fused is None:
            return f"{machine.name} names no library with such a kernel"
        dtype = stage.dtype or machine.dtype
        if DTYPE_BYTES[dtype] > DTYPE_BYTES[MULTIPLIES]:
            return f"that kernel multiplies in {MULTIPLIES}, not in {dtype}"
        return None

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        sm = machine.compute
        assert isinstance(sm, StreamingMultiprocessor) and sm.library is not None
        kernel = sm.library.winograd_fused
        assert kernel is not None
        tile, extents = tile_of(stage, kernel), stage.extents
        inputs = tuple(tensor.name for tensor in stage.inputs)
        names = (*inputs, stage.output.name)
        places = [dim for dim in ("n", "y", "x") if dim in extents]
        each = max(1, tile["k"] * prod(tile[dim] for dim in places) // kernel.threads)
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *points(tuple(dim for dim in ("g",) if dim in extents), "block"),
            *(Loop(dim, tile[dim], "block") for dim in ("k", *places)),
            Loop("c", min(CHANNELS, extents["c"])),
            Hold(machine.only("scratchpad", "sm"), inputs, multicast=False),
            Loop("k", min(each, tile["k"]), "thread"),
            *points(tuple(places), "thread"),
            *points(("c",)),
            Hold(machine.only("registers"), names, multicast=False),
            *points(("k",)),
        ]
        return Nest(stage, drop_idle(stage, items), self.name)


def tile_of(stage: Stage, kernel: FusedWinograd) -> dict[str, int]:
    """What there is of a block's filters, images, rows and columns of tiles, at most."""
    extents, shape = stage.extents, shape_of(stage, kernel)
    return {
        "k": min(kernel.filters, extents["k"]),
        **{dim: min(size, extents.get(dim, 1)) for dim, size in shape.items()},
    }


def shape_of(stage: Stage, kernel: FusedWinograd) -> dict[str, int]:
    """Images, rows and columns of tiles of a block, of the shape that needs the fewest blocks."""
    extents = stage.extents
    return min(kernel.shapes, key=lambda shape: _blocks(extents, shape))


def _blocks(extents: Mapping[str, int], shape: dict[str, int]) -> int:
    return prod(ceil(extents.get(dim, 1) / size) for dim, size in shape.items())


DATAFLOWS.register("fused-winograd")(_flow := FusedWinogradFlow())
_checked: Dataflow = _flow

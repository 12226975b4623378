"""A product by a kernel of the GPU's library, or by the fastest when none is named.

One is named as `kernel:128x64x32x4`.

    par part of k:                   where the reduction is split
      par m-tile, n-tile:            blocks, the DRAM's rows shared by those that run together
        for k-step:                  `stages` steps of A and B in shared memory
          par threads, or groups:    a square of sums in each one's registers
            for k: sums += a * b

Which kernel is the fastest, hwsim.choose.kernels finds. A block's rows of a convolution's pixels
are a box of whole image rows where they fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from hwsim.describe.kernels import Kernel, find_kernel
from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points, split_group, tiles, whole_rows
from hwsim.parts.cache import Cache
from hwsim.parts.sm import GROUP, THREAD, StreamingMultiprocessor
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow, tile_bytes

KERNEL = "kernel:"  # how a dataflow names one


class LibraryKernel:
    """The kernel is named, or was chosen by its time."""

    name = "kernel"
    summary = "a kernel of the GPU's library: kernel:128x64x32x4, as --kernel says"
    default = False

    def __init__(self, kernel: str = "") -> None:
        self.kernel = kernel

    def with_parameters(self, text: str) -> LibraryKernel:
        """'128x64x32x4,split=2', or with a family before it: 'wgmma:128x256x64x4'."""
        return LibraryKernel(text)

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        sm = machine.compute
        if not isinstance(sm, StreamingMultiprocessor):
            return "it needs streaming multiprocessors"
        if stage.view is None:
            return "the stage is no matrix product"
        library = sm.library
        if library is None:
            return f"{machine.name} names no library of kernels"
        dtype = stage.dtype or machine.dtype
        takes = any(dtype in family.dtypes for family in library.families.values())
        return None if takes else f"{library.name} has no kernels for {dtype}"

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        kernel = named_kernel(stage, machine, f"{KERNEL}{self.kernel}")
        return kernel_nest(stage, machine, placement, kernel)


def runs_library(dataflow: str | None) -> bool:
    """Does a GPU's library run its products? Where nothing is asked for, or a kernel by name."""
    return dataflow is None or dataflow.startswith(KERNEL)


def named_kernel(stage: Stage, machine: Machine, dataflow: str) -> Kernel:
    """The kernel of a dataflow 'kernel:NAME'. Raises HwsimError where none is named."""
    sm, name = machine.compute, dataflow.removeprefix(KERNEL)
    assert isinstance(sm, StreamingMultiprocessor) and sm.library is not None
    if not name:
        raise HwsimError("no kernel named; expected kernel:128x64x32x4, or no dataflow")
    return find_kernel(sm.library, name, stage.dtype or machine.dtype, stage.has_taps)


def kernel_nest(stage: Stage, machine: Machine, placement: Placement, kernel: Kernel) -> Nest:
    """A product's loops as a kernel runs them."""
    view, tile, traits, sm = stage.view, kernel.tile, kernel.traits, machine.compute
    assert view is not None and isinstance(sm, StreamingMultiprocessor)
    extents = dict(stage.bounds)
    batch, m, rows = view.b, view.m, whole_rows(view.m, extents, tile.m)
    if traits.thread_an_output:  # a block's outputs are of any group
        batch, m = (), _as_they_lie(stage)
        rows = _side_by_side(stage, m, tile.m, machine.part(machine.only("cache"), Cache).line)
    taps = tuple(dim for dim in extents if dim not in (*view.m, *view.n, *view.k, *view.b))
    reduced = (*(dim for dim in view.k if dim != "c"), *(dim for dim in view.k if dim == "c"))
    share = -(-stage.group(view.k) // kernel.split)
    parts = split_group(reduced, extents, share) if kernel.split > 1 else {}
    left = {**extents, **parts}
    block = {**rows, **whole_rows(view.n, extents, tile.n)}
    whole = {dim: extents[dim] for dim in taps}
    step = max(1, tile.k // max(1, stage.group(taps)) // stage.chooses_from)
    slices = whole_rows if traits.channels_last else split_group
    stages = tile.stages if tile.shared else 1  # without shared memory, L1 has what a step reads
    while step > 1:
        held = {**block, **whole, **slices(reduced, left, step)}
        if stages * sum(tile_bytes(t, held) for t in stage.inputs) <= sm.shared_per_block:
            break
        step //= 2  # windows with gaps take more room than the words in them
    sizes = {**block, **slices(reduced, left, step)}
    within = {**extents, **sizes}
    holders = traits.multiplying(tile) if traits.unit == "tensor" else tile.threads
    each = _square(m, view.n, within, holders)
    names = tuple(tensor.name for tensor in stage.tensors)
    inputs = tuple(tensor.name for tensor in stage.inputs)
    blocks = [tiles(sizes, m, "block"), tiles(sizes, view.n, "block")]
    items: list[Loop | Hold] = [
        *placement.backing(stage, machine),
        *points(batch, "block"),
        *(Loop(dim, chunk, "block") for dim, chunk in parts.items()),
        *(loop for group in (reversed(blocks) if kernel.by_column else blocks) for loop in group),
        *tiles(sizes, reduced),
        Hold(machine.only("scratchpad", "sm"), inputs, buffers=stages, multicast=False),
        *tiles(each, (*m, *view.n), GROUP if traits.unit == "tensor" else THREAD),
        *points((*view.k, *taps)),
        Hold(machine.only("registers"), names, multicast=False),
        *points((*m, *view.n)),
    ]
    return Nest(stage, drop_idle(stage, items), "kernel", kernel=kernel)


def _as_they_lie(stage: Stage) -> tuple[str, ...]:
    """The dims of a product's batch and rows, as its outputs lie in memory, the fastest last."""
    output, view = stage.output, stage.view
    assert view is not None
    outputs = {*view.b, *view.m}
    in_order = [dim for place in output.order for dim in output.axes[place].dims]
    others = [dim for dim in (*view.b, *view.m) if dim not in in_order]
    return (*others, *(dim for dim in in_order if dim in outputs))


def _side_by_side(stage: Stage, dims: tuple[str, ...], most: int, line: int) -> dict[str, int]:
    """Outputs of a block of threads that take one each.

    Where groups lie side by side, it takes a line's words of them, so that windows overlap.

    dims: as outputs lie, the fastest last.
    """
    view, extents, fastest = stage.view, stage.extents, dims[-1]
    assert view is not None
    if fastest not in view.b:
        return whole_rows(dims, extents, most)
    words = max(1, int(line / stage.output.width))
    groups = whole_rows((fastest,), extents, min(most, words))
    return {**whole_rows(dims[:-1], extents, most // groups[fastest]), **groups}


def _square(
    m: tuple[str, ...], n: tuple[str, ...], within: Mapping[str, int], holders: int
) -> dict[str, int]:
    """What each of the holders of a block's sums has of them, about as tall as wide."""
    rows, columns = (prod(within[dim] for dim in dims) for dims in (m, n))
    area = max(1, -(-rows * columns // holders))
    tall = min(rows, 1 << ((area - 1).bit_length() + 1) // 2)
    wide = min(columns, max(1, -(-area // tall)))
    tall = min(rows, max(1, -(-area // wide)))
    return {**split_group(m, within, tall), **split_group(n, within, wide)}


DATAFLOWS.register("kernel")(_flow := LibraryKernel())
_checked: Dataflow = _flow

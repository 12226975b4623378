"""Time of a library's kernel of products, with what the L2 and the DRAM were seen to move."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod

from hwsim.describe.kernels import Kernel
from hwsim.describe.machine import Machine
from hwsim.ir.nest import Hold, Nest
from hwsim.results.result import Cycles
from hwsim.timing.caches.traffic import LevelTraffic
from hwsim.timing.gpu.kernel_time import (
    INTAKE,
    L2,
    SHARED,
    SUM_BYTES,
    Chip,
    operands,
    passes_of,
    product_of,
    time_of,
)
from hwsim.timing.gpu.l2 import Traffic, tile_sizes

WAITS = "waves of blocks"


def kernel_cycles(
    nest: Nest,
    machine: Machine,
    dtype: str,
    kernel: Kernel,
    traffic: Traffic,
    line: int,
    shares: dict[str, float],
) -> Cycles:
    """A library's kernel in closed form, with the traffic that was simulated.

    The form is hwsim.timing.gpu.kernel_time; the traffic is what the L2 and the DRAM move. shares:
    of the lines of each buffer that the L2 reads, what it hands over.

    A resource's stall is what would be saved if it took no time; what is left, nobody removes
    alone: barriers, results that leave, SMs that idle behind the last wave, and other resources
    that are nearly as slow.
    """
    chip = Chip.of(machine)
    l2, dram = machine.only("cache"), machine.dram_name
    moved = {l2: 0.0, "dram": 0.0}
    for (level, buffer), row in traffic.items():
        share = shares.get(buffer, 1.0) if level == l2 else 1.0
        moved[level] += line * (row.reads * share + row.writes)
    product, dtype = product_of(nest.stage), nest.stage.dtype or dtype
    parts = nest.stage.launches
    dram_bytes = round(moved["dram"]) // parts
    times = time_of(product, dtype, kernel, chip, dram_bytes)
    compute = float(times.arithmetic[0]) * parts
    slowest = max(times.limits, key=lambda name: float(times.limits[name][0]))
    others = time_of(product, dtype, kernel, chip, dram_bytes, without=slowest)
    inside, relieved = (
        float(found.body[0] + found.epilogue[0]) * parts for found in (times, others)
    )
    memories = {dram: float(times.moving[0]) * parts, l2: moved[l2] / chip.l2_bandwidth}
    names = {SHARED: machine.only("scratchpad", "sm"), L2: l2, INTAKE: l2}
    taken = sorted([(inside, names.get(slowest, slowest)), *((t, n) for n, t in memories.items())])
    (second, _), (longest, cause) = taken[-2:]
    second = max(compute, second, relieved if longest == inside else 0.0)
    stall = {
        cause: longest - second,
        WAITS: second - compute,
        "kernel launch": times.gap * parts,
        "fill and drain": float(times.prologue[0]) * parts,
        "adding a split's parts": float(times.adding[0]) * parts,
    }
    return Cycles(compute, {name: time for name, time in stall.items() if time > 0})


def passes(nest: Nest, machine: Machine, boundary: Hold, resident: int) -> dict[str, float]:
    """How often a product's operands come from the DRAM.

    boundary: what a block holds. resident: blocks that an SM holds.
    """
    if nest.stage.view is None:
        return {}
    chip = Chip.of(machine)
    if nest.kernel is None:
        return _passes_in_order(nest, boundary, resident * chip.sm.sms, chip.l2_bytes)
    a, b = operands(nest.stage)
    often = passes_of(product_of(nest.stage), nest.kernel, chip)
    return dict(zip((a.name, b.name), often, strict=True))


def _passes_in_order(nest: Nest, boundary: Hold, flying: int, room: int) -> dict[str, float]:
    """The same of blocks that follow each other as the nest's loops do, so many in flight.

    Those in flight share what they load. The operand that all blocks of a row need stays while the
    row lasts; the other one comes again for every band of rows, where the L2 does not hold it.
    """
    stage, view = nest.stage, nest.stage.view
    assert view is not None
    sizes, extents = tile_sizes(nest, boundary), stage.extents
    rows, columns = (
        prod(ceil(extents[dim] / sizes[dim]) for dim in dims) for dims in (view.m, view.n)
    )
    a, b = operands(stage)
    order = [loop.dim for loop in nest.loops_above(boundary) if loop.dim in (*view.m, *view.n)]
    along_rows = not order or order[-1] in view.n
    again, bands, row = (b, rows, columns) if along_rows else (a, columns, rows)
    batch = stage.group(view.b)
    if (a.bytes + b.bytes) / batch <= room or again.bytes / batch <= room:
        return {}
    return {again.name: ceil(bands / max(1, flying // row))}


def parts_of_sums(nest: Nest, kernel: Kernel, chip: Chip, l2: str, line: int) -> Traffic:
    """What a split reduction writes and reads besides: every part's sums, through the L2.

    Those that it has no room for go through the DRAM.
    """
    product = product_of(nest.stage)
    if kernel.split == 1:
        return {}
    size = kernel.split * product.m * product.n * product.batch * SUM_BYTES
    lines, beyond = ceil(size / line), ceil(max(0, size - chip.l2_bytes) / line)
    calls, name = nest.stage.launches, f"{nest.stage.output.buffer} parts"
    found = {(l2, name): LevelTraffic(lines, lines, beyond, beyond).times(calls)}
    if beyond:
        found["dram", name] = LevelTraffic(beyond, beyond, 0, 0).times(calls)
    return found


def shared_by_clusters(nest: Nest, traffic: Traffic, l2: str, kernel: Kernel) -> Traffic:
    """Blocks of a cluster load what they share once.

    An operand is asked for by one of those along the other's dims.
    """
    view = nest.stage.view
    assert view is not None
    found = dict(traffic)
    for tensor in nest.stage.inputs:
        along_n = tensor.dims.isdisjoint(view.n)
        together = kernel.cluster[1] if along_n else kernel.cluster[0]
        row = found.get((l2, tensor.buffer))
        if row is not None and together > 1:
            reads = max(row.misses, row.reads / together)
            found[l2, tensor.buffer] = replace(row, reads=reads)
    return found

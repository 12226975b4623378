"""Which of a library's kernels a product runs on a GPU: all are timed, the fastest is taken.

Every tile, split and cluster is timed in closed form:

    families that take the data type and how the rows are aligned
      x tiles that fit an SM  x  parts of the reduction  x  clusters  ->  times  ->  the fastest
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import zip_longest
from math import gcd

import numpy as np

from hwsim.algorithms import lower
from hwsim.describe.kernels import Family, Kernel, Library, Tile
from hwsim.describe.layer import Layer
from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError
from hwsim.ir.stage import Plan, Stage
from hwsim.ir.tensor import Tensor
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.rewrite.gpu_library import as_library_runs
from hwsim.rewrite.layout import in_layout
from hwsim.rewrite.sparsity import exploit
from hwsim.schedule.dataflows.library_kernel import LibraryKernel
from hwsim.schedule.tile_lines import activations
from hwsim.timing.gpu.kernel_time import (
    Candidates,
    Chip,
    Ints,
    Product,
    Room,
    Times,
    product_of,
    times_of,
)
from hwsim.timing.gpu.maps import map_kernel
from hwsim.timing.gpu.passes import pass_cycles

LIBRARY = LibraryKernel()
ALIGNED = 16  # bytes: the widest load of a thread
SPLITS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128)
WAVES_SPLIT = 2  # blocks of a split product fill the SMs so many times, at most
CLOSE = 1.5  # times the faster layout's estimate: what copies take may make up for it
FEWEST_STEPS = 2  # of every part of a split reduction


@dataclass(frozen=True)
class Timed:
    """A kernel and what its call takes by the closed form, in cycles.

    blocks: of the whole product; at_a_time: those that the SMs hold. waits_for: what a step of the
    blocks, or else the whole call, waits for longest.
    """

    kernel: Kernel
    cycles: float
    blocks: int
    at_a_time: int
    waits_for: str


@dataclass(frozen=True)
class KernelChoice:
    """The fastest kernels of a stage, best first; calls: of one of them, that run the stage."""

    layer: str
    stage: str
    calls: int
    clock_hz: float
    kernels: tuple[Timed, ...]


def choices(
    layers: Sequence[tuple[str, Layer, str]],
    machine: Machine,
    dtype: str,
    most: int,
    ran: Sequence[int] = (),
) -> list[KernelChoice]:
    """The fastest kernels of every product that a library runs, by (name, layer, algorithm).

    There are none on machines without a library. ran: how many stages each layer had, copies among
    them, which tells the layout that it ran in; without it, the one that is estimated as faster.
    """
    found = []
    for (name, layer, algorithm), stages in zip_longest(layers, ran):
        plan, _ = exploit(lower(layer, algorithm).with_dtype(layer.dtype or dtype), layer, machine)
        laid = layouts(as_library_runs(plan, machine), layer, machine)
        chosen = next((each for each in laid if len(each.stages) == stages), laid[0])
        for stage in chosen.stages:
            if stage.offline or not runs_kernels(stage, machine):
                continue
            kernels = tuple(best_kernels(stage, machine, most))
            choice = KernelChoice(name, stage.name, stage.launches, machine.clock_hz, kernels)
            found.append(choice)
    return found


def layouts(plan: Plan, layer: Layer, machine: Machine) -> list[Plan]:
    """The plan in the layouts that are worth simulating, the faster by the closed form first.

    One has the layer's maps as it says they lie. A convolution of one tap is a product in any
    layout: where its maps' rows are no whole loads, another has copies of them, channels last.
    """
    plain = in_layout(plan, layer, machine)
    sm = machine.compute
    if not isinstance(sm, StreamingMultiprocessor) or sm.library is None:
        return [plain]
    copied = in_layout(plan, layer, machine, products=True)
    if len(copied.stages) == len(plain.stages):
        return [plain]
    timed = [(_estimate(found, machine), found) for found in (plain, copied)]
    least = min(estimate for estimate, _ in timed)
    near = [pair for pair in timed if pair[0] <= CLOSE * least]
    return [found for _, found in sorted(near, key=lambda pair: pair[0])]


def runs_kernels(stage: Stage, machine: Machine) -> bool:
    """Has the machine's library a kernel for a stage, in its data type and as its rows lie?"""
    sm = machine.compute
    if LIBRARY.refuses(stage, machine) is not None:
        return False
    assert isinstance(sm, StreamingMultiprocessor) and sm.library is not None
    dtype = stage.dtype or machine.dtype
    return any(_families(sm.library, stage, dtype, product_of(stage)))


def _estimate(plan: Plan, machine: Machine) -> float:
    """Cycles of a plan's products by the fastest kernel of each, and of its copies."""
    chip, total = Chip.of(machine), 0.0
    for stage in plan.stages:
        if stage.offline:
            continue
        if runs_kernels(stage, machine):
            total += best_kernels(stage, machine)[0].cycles * stage.launches
        else:
            total += _pass_cycles(stage, machine, chip)
    return total


def _pass_cycles(stage: Stage, machine: Machine, chip: Chip) -> float:
    """Cycles of a stage that is no product: its kernel's on maps, or what it moves."""
    moved, maps = sum(tensor.bytes for tensor in stage.tensors), map_kernel(stage, machine)
    if maps is not None:
        return pass_cycles(maps, stage, machine, moved, moved).total
    return chip.sm.gap_cycles(machine.clock_hz) + moved / chip.dram_bandwidth


def as_convolution(stage: Stage, library: Library, dtype: str) -> bool:
    """Does it run a convolution's kernels?

    Of one tap without gaps it is a product, where those kernels would want the maps in another
    layout; of one tap, one channel and one filter a group it is none.
    """
    return (
        stage.gathers
        or _scales_channels(stage)
        or (stage.has_taps and not library.multiplies_one_tap(dtype))
    )


def _scales_channels(stage: Stage) -> bool:
    """Is every channel multiplied by a number of its own?"""
    view = stage.view
    return view is not None and bool(view.b) and stage.group((*view.n, *view.k)) == 1


def alignment(stage: Stage) -> int:
    """Bytes, up to 16, that all rows of a stage's operands and results are a multiple of.

    A convolution's rows are its channels.
    """
    view = stage.view
    assert view is not None
    if stage.gathers:
        channels = stage.extents.get("c", 1), stage.group(view.n)
        width = min(tensor.width for tensor in stage.tensors)
        return gcd(*(int(number * width) for number in channels), ALIGNED)
    parts = (view.m, view.n, view.k, view.b)
    moving = [{dim for dim in dims if stage.extents[dim] > 1} for dims in parts]
    return gcd(*(_row_bytes(tensor, moving) for tensor in stage.tensors), ALIGNED)


def _row_bytes(tensor: Tensor, parts: Sequence[set[str]]) -> int:
    """Bytes that lie side by side: along the fastest axis, and those beside it.

    These count where they play the same part in the product. parts: the dims of each that take more
    than one value; the one tap of a 1 x 1 filter is none of them.
    """
    moving = set().union(*parts)
    axes = [tensor.axes[number] for number in reversed(tensor.order)]
    sizes = [tensor.row, *(axis.size for axis in axes[1:])]
    dims_of = [set(axis.dims) & moving for axis in axes]
    fastest: set[str] = next((dims for dims in dims_of if dims), set())
    part: set[str] = next((dims for dims in parts if fastest <= dims), set())
    length = 1
    for dims, size in zip(dims_of, sizes, strict=True):
        if not dims <= part:
            break
        length *= size
        if tensor.ld:
            break
    return int(length * tensor.width)


def best_kernels(stage: Stage, machine: Machine, most: int = 1) -> list[Timed]:
    """The fastest kernels of the machine's library for a product, best first, each tile once.

    Raises HwsimError where the machine has no library, or none of its kernels takes the product.
    """
    sm = machine.compute
    assert isinstance(sm, StreamingMultiprocessor)
    library = sm.library
    if library is None:
        raise HwsimError(f"{machine.name} names no library of kernels")
    product, dtype = product_of(stage), stage.dtype or machine.dtype
    chip = Chip.of(machine)
    found = [
        timed
        for name in _families(library, stage, dtype, product)
        for timed in _of_family(product, dtype, library, name, chip, most)
    ]
    if not found:
        raise HwsimError(f"{library.name} has no kernel for {stage.name} in {dtype}")
    return sorted(found, key=lambda timed: timed.cycles)[:most]


def as_called(stage: Stage, machine: Machine, kernel: Kernel) -> Kernel:
    """A kernel that was named by its tile, as the library would call it.

    That is in the cluster and the order of blocks that are the fastest.
    """
    family, chip = kernel.library.families[kernel.family], Chip.of(machine)
    product, dtype = product_of(stage), stage.dtype or machine.dtype
    resident = chip.room.resident(kernel.tile, product.widths)
    if not resident:
        return kernel
    rows = [(kernel.tile, kernel.split, cluster, resident) for cluster in family.cluster_shapes]
    times = times_of(product, dtype, kernel.library, family, Candidates.of(rows), chip)
    place = int(np.argmin(times.call))
    cluster = family.cluster_shapes[place]
    return replace(kernel, cluster=cluster, by_column=bool(times.by_column[place]))


def _families(library: Library, stage: Stage, dtype: str, product: Product) -> Iterator[str]:
    """Those of the strictest alignment that is met, and those for few rows or columns."""
    windows, align = as_convolution(stage, library, dtype), alignment(stage)
    fitting = {
        name: family
        for name, family in library.families.items()
        if dtype in family.dtypes and family.convolves == windows and align % family.align == 0
        if not family.most_k or product.k <= family.most_k
        if not family.depthwise or _takes_depthwise(family, stage)
    }
    general = [family.align for family in fitting.values() if not family.few]
    for name, family in fitting.items():
        few = product.m <= family.most_m or product.n <= family.most_n
        if few or (not family.few and family.align == max(general, default=0)):
            yield name


def _takes_depthwise(family: Family, stage: Stage) -> bool:
    """Is a stage a depthwise convolution whose maps and windows lie as a family wants them?"""
    view = stage.view
    assert view is not None
    read = activations(stage)
    steps = [step for axis in read.axes for dim, step in axis.terms if dim in view.m]
    apart = max(steps, default=1)
    last = set(stage.output.fastest.dims) <= {*view.b, *view.n}
    single = stage.group(view.n) == 1 and stage.extents.get("c", 1) == 1 and bool(view.b)
    return single and last == family.channels_last and not (family.unit_stride and apart > 1)


def _of_family(
    product: Product, dtype: str, library: Library, name: str, chip: Chip, most: int
) -> Iterator[Timed]:
    family = library.families[name]
    base, tiles = _base(library, name, product.widths, chip.room)
    if not tiles:
        return
    rows, number = _split(product, family, base, chip)
    times = times_of(product, dtype, library, family, rows, chip)
    order = np.argsort(times.call, kind="stable")
    seen: set[str] = set()
    for place in order:
        tile = tiles[number[place]]
        if str(tile) in seen:
            continue
        seen.add(str(tile))
        cluster = (int(rows.cluster_m[place]), int(rows.cluster_n[place]))
        kernel = Kernel(
            library, name, tile, int(rows.split[place]), cluster, bool(times.by_column[place])
        )
        yield Timed(
            kernel,
            float(times.call[place]),
            int(times.blocks[place]),
            int(times.at_a_time[place]),
            _slowest(times, place),
        )
        if len(seen) == most:
            return


def _slowest(times: Times, place: int) -> str:
    inside = {name: float(cycles[place]) for name, cycles in times.limits.items()}
    if times.moving[place] > times.body[place] + times.epilogue[place]:
        return "DRAM"
    return max(inside, key=lambda name: inside[name])


@lru_cache(maxsize=256)
def _base(
    library: Library, name: str, widths: tuple[float, float], room: Room
) -> tuple[Candidates, tuple[Tile, ...]]:
    """Every tile of a family that fits an SM, in every cluster; beside each row its tile."""
    family: Family = library.families[name]
    rows = [
        (tile, 1, cluster, room.resident(tile, widths))
        for tile in family.shapes
        for cluster in family.cluster_shapes
        if room.resident(tile, widths)
    ]
    return Candidates.of(rows), tuple(tile for tile, *_ in rows)


def _split(
    product: Product, family: Family, base: Candidates, chip: Chip
) -> tuple[Candidates, Ints]:
    """Each row with every split of the reduction that fills idle SMs.

    Beside it is the row's number in the base.
    """
    blocks = np.ceil(product.m / base.m) * np.ceil(product.n / base.n) * product.batch
    room = chip.sm.sms * base.resident
    steps = np.ceil(product.k / base.k)
    idle = (blocks < room) & (family.reduction_each is not None)
    most = np.where(idle, np.minimum(steps // FEWEST_STEPS, WAVES_SPLIT * room // blocks), 1)
    splits = np.array(SPLITS)
    allowed = (splits[None, :] <= most[:, None]) | (splits[None, :] == 1)
    number, which = np.nonzero(allowed)
    return replace(base[number], split=splits[which].astype(float)), number

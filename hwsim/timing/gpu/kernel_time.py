"""Time of a library's kernels, in closed form, for many tiles at once.

    call = gap + prologue + max(steps of the blocks on an SM, DRAM) + epilogue [+ a split's parts]

    a step of r blocks that an SM holds = barrier + the slowest of
        arithmetic      r * m n k of the tile, at what r blocks' warps reach of the unit's peak
        shared memory   r * (operands read by the threads that multiply + operands stored)
        L2              r * operands that no other block of the cluster loads, at the SM's share
        intake          r * operands, at what an SM takes in
        latency         of the step's loads, hidden by the stages that are loaded ahead; with one
                        stage a block waits for its loads and then multiplies, others meanwhile

What a family's code takes is in its library's file (kernels/), the machine's rates in its own.
Arrays are 1-d, a number for each candidate; times are in cycles of the machine's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import ceil

import numpy as np
import numpy.typing as npt

from hwsim.describe.kernels import Family, Kernel, Library, Tile
from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError
from hwsim.ir.stage import Stage
from hwsim.ir.tensor import Tensor
from hwsim.parts.cache import Cache
from hwsim.parts.dram import Dram
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.sm import REGISTER_BYTES, StreamingMultiprocessor

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

REGISTERS_AT_A_TIME = 8  # a thread's registers are handed out in eights: NVIDIA, CUDA C++ guide
SUM_BYTES = 4
WHOLE_LOADS = 16  # bytes that a thread loads at once
LOOP, SHARED, L2 = "multipliers", "shared memory", "L2"  # what a step may wait for
INTAKE, LATENCY = "loads into an SM", "latency of loads"


@dataclass(frozen=True)
class Product:
    """C[m][n] += A[m][k] * B[k][n], batch times.

    width, b_width, out_width: bytes of a word of A, of B (0: as of A) and of a result. a_bytes,
    b_bytes, c_bytes: of what is distinct in each, of all batches (a convolution's windows share
    their words). taps: of a convolution, among k.
    """

    m: int
    n: int
    k: int
    batch: int
    width: float
    out_width: float
    a_bytes: int
    b_bytes: int
    c_bytes: int
    taps: int = 1
    b_width: float = 0.0

    @property
    def widths(self) -> tuple[float, float]:
        """Bytes of a word of A and of B; b_width 0: both of `width`."""
        return self.width, self.b_width or self.width

    def steps(self, family: Family, deep: Floats, split: Floats) -> Floats:
        """Slices of the reduction, `deep` words each, that every part of a split one has.

        Kernels of maps that lie channels last load a slice from one tap, so that channels are
        rounded up to whole slices (cuDNN's calls of 48 and 96 channels show it).
        """
        if self.taps > 1 and family.channels_last and family.align >= WHOLE_LOADS:
            return np.ceil(self.taps * np.ceil(self.k / self.taps / deep) / split)
        return np.ceil(np.ceil(self.k / split) / deep)


def operands(stage: Stage) -> tuple[Tensor, Tensor]:
    """A and B of a product: what is not the weights, and the weights."""
    a, b = stage.inputs[0], stage.inputs[-1]
    return (b, a) if a.role == "weight" else (a, b)


def product_of(stage: Stage) -> Product:
    """The product that one launch of a stage is. Raises HwsimError for a stage that is none."""
    view = stage.view
    if view is None:
        raise HwsimError(f"{stage.name} is no matrix product; expected one for a kernel")
    once = frozenset(stage.called_over)
    m, n, batch = (
        stage.group(tuple(dim for dim in dims if dim not in once))
        for dims in (view.m, view.n, view.b)
    )
    k = stage.iterations // (m * n * batch * stage.launches)
    a, b = operands(stage)
    out = stage.output
    a_bytes, b_bytes, c_bytes = (t.bytes // stage.group(tuple(t.dims & once)) for t in (a, b, out))
    taps = max(1, k // stage.extents.get("c", k)) if stage.gathers else 1
    widths = (a.width, out.width)
    return Product(m, n, k, batch, *widths, a_bytes, b_bytes, c_bytes, taps, b.width)


@dataclass(frozen=True)
class Room:
    """What an SM holds: shared memory and registers in bytes, threads and blocks.

    reserved_shared: bytes that the system keeps of every block.
    """

    shared_bytes: int
    shared_of_block: int
    register_bytes: int
    threads: int
    threads_of_block: int
    blocks: int
    reserved_shared: int = 0

    def holding(self, threads: int, registers: int) -> int:
        """Blocks of so many threads, each of so many registers, that fit at a time."""
        each = -(-registers // REGISTERS_AT_A_TIME) * REGISTERS_AT_A_TIME * REGISTER_BYTES
        return min(self.blocks, self.threads // threads, self.register_bytes // (each * threads))

    def resident(self, tile: Tile, widths: tuple[float, float]) -> int:
        """Blocks of a tile that fit at a time; 0 where none fits. widths: of words of A and B."""
        shared = tile.shared_bytes(widths)
        too_large = shared > self.shared_of_block or tile.threads > self.threads_of_block
        if too_large or tile.m * tile.n * SUM_BYTES > self.register_bytes:
            return 0
        holding = self.holding(tile.threads, tile.registers)
        taken = shared + self.reserved_shared
        return min(holding, self.shared_bytes // taken) if taken else holding


@dataclass(frozen=True)
class Chip:
    """A GPU's rates a cycle, and what one of its SMs holds."""

    sm: StreamingMultiprocessor
    clock_hz: float
    room: Room
    shared_bandwidth: float
    l2_bandwidth: float
    l2_bytes: int
    dram_bandwidth: float
    dram_latency: float

    @classmethod
    def of(cls, machine: Machine) -> Chip:
        sm, clock = machine.compute, machine.clock_hz
        assert isinstance(sm, StreamingMultiprocessor)
        shared: Scratchpad = machine.part(machine.only("scratchpad", "sm"), Scratchpad)
        l2: Cache = machine.part(machine.only("cache"), Cache)
        dram: Dram = machine.part(machine.dram_name, Dram)
        return cls(
            sm,
            clock,
            Room(
                shared.capacity,
                sm.shared_per_block,
                machine.memories[machine.only("registers")].capacity,
                sm.max_threads,
                sm.max_threads_per_block,
                sm.max_blocks,
                sm.reserved_shared,
            ),
            shared.bandwidth.bytes_per_cycle(clock),
            l2.bandwidth.bytes_per_cycle(clock),
            l2.capacity,
            dram.bandwidth.bytes_per_cycle(clock),
            dram.latency.cycles(clock),
        )

    def peak(self, family: Family, dtype: str) -> float:
        """Products a cycle and SM, of the unit that the family uses."""
        if family.unit == "tensor":
            return (self.sm.tensor_macs_per_cycle or {})[dtype]
        return self.sm.vector_ops_per_cycle_per_sm(family.multiplies or dtype)

    def reached(self, family: Family, warps: Floats) -> Floats:
        """The share of the peak that so many warps on an SM keep busy."""
        if family.from_shared:
            return np.ones_like(warps)
        table = self.sm.tensor_warps if family.unit == "tensor" else self.sm.core_warps
        known = sorted((int(number), share) for number, share in table.items())
        if not known:
            return np.ones_like(warps)
        return np.interp(warps, [0, *(n for n, _ in known)], [0.0, *(share for _, share in known)])


def slower_port(
    machine: Machine, chip: Chip, l2_bytes: float, dram_bytes: float
) -> tuple[float, str]:
    """(cycles, name) of whichever of L2 and DRAM takes longer over what it moves."""
    return max(
        (dram_bytes / chip.dram_bandwidth, machine.dram_name),
        (l2_bytes / chip.l2_bandwidth, machine.only("cache")),
    )


@dataclass(frozen=True)
class Candidates:
    """Kernels of one family, one a row.

    A row is the tile's fields, parts of a split reduction, blocks of a cluster along m and n, and
    blocks that an SM holds.
    """

    m: Floats
    n: Floats
    k: Floats
    stages: Floats
    threads: Floats
    split: Floats
    cluster_m: Floats
    cluster_n: Floats
    resident: Floats

    @classmethod
    def of(cls, rows: Sequence[tuple[Tile, int, tuple[int, int], int]]) -> Candidates:
        """From rows of (tile, split, cluster, resident blocks)."""
        table = [
            (t.m, t.n, t.k, t.stages, t.threads, split, *cluster, resident)
            for t, split, cluster, resident in rows
        ]
        return cls(*np.array(table, float).reshape(-1, len(fields(cls))).T)

    def __getitem__(self, chosen: Ints) -> Candidates:
        """Some of the rows, in the order of their numbers."""
        return Candidates(*(getattr(self, spec.name)[chosen] for spec in fields(self)))


@dataclass(frozen=True)
class Times:
    """Cycles of each candidate: what the call takes whole, and its parts.

    body: all steps of the busiest SM, of which arithmetic at the peak; limits: what a step of each
    takes by resource. moving: the DRAM's time for what it moves. blocks: of the product;
    at_a_time: those that the SMs hold.
    """

    call: Floats
    gap: float
    prologue: Floats
    body: Floats
    arithmetic: Floats
    limits: dict[str, Floats]
    moving: Floats
    epilogue: Floats
    adding: Floats
    blocks: Floats
    at_a_time: Floats
    by_column: npt.NDArray[np.bool_]


def times_of(
    product: Product,
    dtype: str,
    library: Library,
    family: Family,
    found: Candidates,
    chip: Chip,
    dram_bytes: int | None = None,
    without: str = "",
) -> Times:
    """What calls of a family's kernels take.

    dram_bytes: what the DRAM moves; None: an estimate. without: a limit of a step that is lifted.
    """
    clock = chip.clock_hz
    if family.thread_an_output:  # a thread an output, whichever group it is of
        product = replace(product, m=product.m * product.batch, batch=1)
    along_m = np.ceil(np.ceil(product.m / found.m) / found.cluster_m) * found.cluster_m
    along_n = np.ceil(np.ceil(product.n / found.n) / found.cluster_n) * found.cluster_n
    blocks = along_m * along_n * found.split * product.batch
    steps = product.steps(family, found.k, found.split)
    limits = _Limits(product, dtype, family, found, chip, np.minimum(blocks, chip.sm.sms), without)
    leaving = found.m * found.n * product.out_width / family.epilogue.bytes_per_cycle(clock)
    at_a_time = chip.sm.sms * found.resident
    whole = np.floor(blocks / at_a_time)
    rest = blocks - whole * at_a_time
    last = np.ceil(rest / chip.sm.sms)
    body = np.zeros_like(blocks)
    arithmetic = np.zeros_like(blocks)
    for waves, on_sm in ((whole, found.resident), (np.sign(rest), last)):
        step = limits.step(on_sm)
        left = on_sm * leaving
        taken = np.maximum(steps * step, left) if family.stays else steps * step + left
        body += waves * taken
        arithmetic += waves * steps * limits.arithmetic_at_peak(on_sm)
    body += (whole + np.sign(rest) - 1) * family.tile_change.cycles(clock)
    epilogue = leaving if family.stays else np.zeros_like(blocks)
    passes = _passes(product, along_m, along_n, at_a_time, chip)
    estimate = passes.a * product.a_bytes + passes.b * product.b_bytes + product.c_bytes
    moved = np.full_like(blocks, dram_bytes) if dram_bytes is not None else estimate
    rate = chip.dram_bandwidth * library.dram_share
    moving = (moved + np.minimum(library.dram_start, product.a_bytes + product.b_bytes)) / rate
    prologue = np.full_like(blocks, family.prologue.cycles(clock))
    gap = chip.sm.gap_cycles(clock)
    adding = _adding(product, library, family, found.split, clock)
    call = gap + prologue + np.maximum(body + epilogue, moving) + adding
    return Times(
        call,
        gap,
        prologue,
        body,
        np.minimum(arithmetic, body),
        limits.by_resource(np.where(whole > 0, found.resident, last)),
        moving,
        epilogue,
        adding,
        blocks,
        at_a_time,
        passes.by_column,
    )


class _Limits:
    """What one step of r blocks on an SM takes, by resource."""

    def __init__(
        self,
        product: Product,
        dtype: str,
        family: Family,
        found: Candidates,
        chip: Chip,
        active: Floats,
        without: str,
    ) -> None:
        clock = chip.clock_hz
        self._chip, self._family, self._without = chip, family, without
        self._warps = np.ceil(found.threads / chip.sm.warp)
        self._peak = chip.peak(family, dtype)
        self._products = found.m * found.n * found.k
        self._issue = family.issue.cycles(clock) * self._warps
        of_a, of_b = product.widths
        operands = (found.m * of_a + found.n * of_b) * found.k
        if family.depthwise:  # a word of several windows comes into the L1 once
            words = found.m * product.a_bytes / (product.m * product.batch)
            operands = own = words * np.minimum(1, found.k / product.k)
        else:
            own = found.m * of_a / found.cluster_n + found.n * of_b / found.cluster_m
            own = own * found.k
        read = np.zeros_like(found.m)
        if not family.depthwise:
            read = _operand_reads(family, found, max(product.widths))
        self._shared = (read + (0 if family.from_shared else operands)) / chip.shared_bandwidth
        self._l2 = own * active / chip.l2_bandwidth
        self._intake = operands / family.ingest.bytes_per_cycle(clock)
        ahead = np.maximum(1, found.stages - 1)
        self._latency = (chip.dram_latency + family.latency.cycles(clock)) / ahead
        self._waits_first = found.stages == 1
        self._barrier = chip.sm.barrier.cycles(clock)

    def arithmetic_at_peak(self, on_sm: Floats) -> Floats:
        return on_sm * self._products / self._peak

    def by_resource(self, on_sm: Floats) -> dict[str, Floats]:
        reached = self._chip.reached(self._family, on_sm * self._warps)
        rate = np.maximum(self._peak * self._family.efficiency * reached, 1e-9)
        of_block: dict[str, Floats] = {
            LOOP: self._products / rate + self._issue,
            SHARED: self._shared,
            L2: self._l2,
            INTAKE: self._intake,
        }
        behind = np.where(self._waits_first, self._slowest(of_block), 0.0)
        taken = {name: on_sm * cycles for name, cycles in of_block.items()}
        return {**taken, LATENCY: self._latency + behind}

    def step(self, on_sm: Floats) -> Floats:
        return self._slowest(self.by_resource(on_sm)) + self._barrier

    def _slowest(self, taken: dict[str, Floats]) -> Floats:
        """Of all but the resource that is lifted."""
        kept = [cycles for name, cycles in taken.items() if name != self._without]
        slowest: Floats = np.maximum.reduce(kept)
        return slowest


def _operand_reads(family: Family, found: Candidates, width: float) -> Floats:
    """Bytes that the threads of a block read of shared memory a step.

    Each thread holds a square of sums, or a group of threads together, and reads its rows of A and
    columns of B.
    """
    if family.from_shared:
        rows = np.minimum(found.n, 64)
        return np.maximum(1, found.n // 64) * (rows + found.m) * found.k * width
    holding = found.threads if family.unit == "cores" else found.threads // family.group
    holders = np.minimum(np.maximum(1, holding), found.m * found.n)
    area = found.m * found.n / holders
    tall = 2.0 ** np.ceil(np.log2(np.maximum(area, 1)) / 2)
    return holders * (tall + area / tall) * found.k * width


@dataclass(frozen=True)
class Passes:
    """How often each operand comes from the DRAM.

    by_column: where blocks follow each other along m rather than along n.
    """

    a: Floats
    b: Floats
    by_column: npt.NDArray[np.bool_]


def _passes(
    product: Product, along_m: Floats, along_n: Floats, at_a_time: Floats, chip: Chip
) -> Passes:
    """Operands that the L2 holds come once.

    Else the blocks in flight share what they load, and an operand comes again for every band of
    blocks that needs it.
    """
    once = np.ones_like(along_m)
    a, b, room = product.a_bytes, product.b_bytes, chip.l2_bytes
    if a + b <= room:
        return Passes(once, once, np.zeros(along_m.shape, np.bool_))
    flying = np.minimum(along_m * along_n, at_a_time)
    bands_n = np.ceil(along_n / np.maximum(1, flying // along_m)) if a > room else once
    bands_m = np.ceil(along_m / np.maximum(1, flying // along_n)) if b > room else once
    by_column = a * bands_n + b < b * bands_m + a
    return Passes(np.where(by_column, bands_n, once), np.where(by_column, once, bands_m), by_column)


def passes_of(product: Product, kernel: Kernel, chip: Chip) -> tuple[float, float]:
    """How often A and B come from the DRAM under a kernel."""
    tile, (together_m, together_n) = kernel.tile, kernel.cluster
    along_m = np.array([ceil(ceil(product.m / tile.m) / together_m) * together_m], float)
    along_n = np.array([ceil(ceil(product.n / tile.n) / together_n) * together_n], float)
    resident = chip.sm.sms * max(1, chip.room.resident(tile, product.widths))
    found = _passes(product, along_m, along_n, np.array([resident], float), chip)
    return float(found.a[0]), float(found.b[0])


def _adding(
    product: Product, library: Library, family: Family, split: Floats, clock: float
) -> Floats:
    """What adding the parts of a split reduction takes, in a kernel of its own."""
    if family.reduction_each is None:
        return np.zeros_like(split)
    sums = product.m * product.n * product.batch * SUM_BYTES
    reduction = library.reduction
    taken = (
        reduction.start.cycles(clock)
        + sums * (split + 1) / reduction.bandwidth.bytes_per_cycle(clock)
        + split * family.reduction_each.cycles(clock)
    )
    return np.where(split > 1, taken, 0.0)


def time_of(
    product: Product,
    dtype: str,
    kernel: Kernel,
    chip: Chip,
    dram_bytes: int | None = None,
    without: str = "",
) -> Times:
    """One kernel's call."""
    row = (
        kernel.tile,
        kernel.split,
        kernel.cluster,
        max(1, chip.room.resident(kernel.tile, product.widths)),
    )
    found = Candidates.of([row])
    return times_of(product, dtype, kernel.library, kernel.traits, found, chip, dram_bytes, without)

"""A GPU's streaming multiprocessors: thread blocks, CUDA cores and tensor cores."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import ClassVar

from hwsim.describe.kernels import Library, library_of, load_library
from hwsim.describe.machine import PARTS, Compute, Machine, Memory, Need
from hwsim.describe.map_kernels import MapLibrary, load_map_library
from hwsim.describe.reading import count, quantity, required
from hwsim.describe.row_kernels import RowLibrary, load_row_library
from hwsim.describe.units import DTYPE_BYTES, Duration, size_text
from hwsim.errors import HwsimError
from hwsim.ir.stage import Stage

REGISTER_BYTES = 4
THREAD, GROUP = "thread", "tensor group"  # axes whose neighbours hold a tile in registers each


@PARTS.register("sm")
@dataclass(frozen=True)
class StreamingMultiprocessor(Compute):
    """sms of them; macs_per_cycle per SM by dtype, tensor_macs_per_cycle where tensor cores serve
    the dtype.

    sparse: the N:M patterns of weights whose zeros the tensor cores skip. tensor_threads threads
    together issue an instruction on tensor_rows x tensor_cols sums, of which they may hold several,
    and multiply out of shared memory; it adds tensor_depth bytes of the reduction to each sum.
    launch is the time from one kernel's end to the next one's end when both are empty; gap, to the
    next one's start (launch, where it is not stated); captured, in place of gap between the kernels
    of a captured graph, as which a network's layers run; l2_latency, shared_latency and barrier are
    what one step of a blocked loop waits for when nothing else hides it. next_load,
    copy_operations: of a thread that copies words to shared memory, from one load to the next, and
    instructions a word. working_registers: of a compiled thread, for addresses, counters and
    staging. kernels: the library (hwsim.describe.kernels) whose kernels multiply matrices.
    row_kernels: the one (hwsim.describe.row_kernels) of softmax and norms. map_kernels: the one
    (hwsim.describe.map_kernels) of pooling and elementwise operators. warp: threads that run
    together. reserved_shared: bytes of shared memory that the system keeps of every block.
    core_warps, tensor_warps: {warps on an SM: the share of the peak that they reach}.
    """

    kind: ClassVar[str] = "sm"
    family: ClassVar[str] = "gpu"
    timing: ClassVar[str] = "sm"
    sms: int = count()
    macs_per_cycle: dict[str, float] = required()
    max_threads: int = count()
    max_blocks: int = count()
    max_threads_per_block: int = count()
    max_registers_per_thread: int = count()
    shared_per_block: int = quantity("bytes")
    launch: Duration = quantity("duration")
    l2_latency: Duration = quantity("duration")
    shared_latency: Duration = quantity("duration")
    barrier: Duration = quantity("duration")
    gap: Duration | None = quantity("duration", default=None)
    captured: Duration | None = quantity("duration", default=None)
    tensor_macs_per_cycle: dict[str, float] | None = None
    next_load: Duration = quantity("duration", default=Duration(0.0, True))
    copy_operations: float = 0.0
    working_registers: int = count(default=24)
    tensor_threads: int = count(default=32)
    tensor_rows: int = count(default=16)
    tensor_cols: int = count(default=16)
    tensor_depth: int = quantity("bytes", default=32)
    sparse: tuple[str, ...] = ()
    kernels: str | None = None
    row_kernels: str | None = None
    map_kernels: str | None = None
    warp: int = count(default=32)
    reserved_shared: int = quantity("bytes", default=0)
    core_warps: dict[str, float] = field(default_factory=dict)
    tensor_warps: dict[str, float] = field(default_factory=dict)

    @property
    def axes(self) -> Mapping[str, int]:
        """Blocks wait for their turn, so there may be any number."""
        return {"block": sys.maxsize, "thread": self.max_threads_per_block}

    @property
    def cells(self) -> int:
        return sys.maxsize

    def launch_cycles(self, clock_hz: float) -> float:
        return self.launch.cycles(clock_hz)

    def gap_cycles(self, clock_hz: float) -> float:
        """Between two kernels of a library."""
        return (self.gap or self.launch).cycles(clock_hz)

    def blocks_held(
        self, threads: int, registers: int, shared_bytes: int, register_file: int, shared: int
    ) -> dict[str, int]:
        """Blocks that an SM holds, by what limits them.

        It has so many bytes of registers and shared memory. registers: of a thread; shared_bytes:
        of a block.
        """
        warps = ceil(threads / self.warp) * self.warp
        limits = {
            "slots": self.max_blocks,
            "threads": self.max_threads // warps,
            "registers": register_file // (registers * REGISTER_BYTES * warps),
        }
        if shared_bytes:
            limits["shared memory"] = shared // (shared_bytes + self.reserved_shared)
        return limits

    def in_graph(self, clock_hz: float) -> StreamingMultiprocessor:
        """The same where kernels follow one another in a captured graph, not call by call."""
        if self.captured is None:
            return self
        inside = self.launch_cycles(clock_hz) - self.gap_cycles(clock_hz)
        between = self.captured.cycles(clock_hz)
        launch, gap = Duration(inside + between, True), Duration(between, True)
        return replace(self, launch=launch, gap=gap)

    def with_twice_the_units(self) -> StreamingMultiprocessor:
        return replace(self, sms=self.sms * 2)

    def started_sooner(self) -> StreamingMultiprocessor:
        gap, captured = (
            None if time is None else time.halved() for time in (self.gap, self.captured)
        )
        return replace(self, launch=self.launch.halved(), gap=gap, captured=captured)

    @property
    def units(self) -> int:
        return self.sms

    @property
    def dtypes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.macs_per_cycle, *(self.tensor_macs_per_cycle or {}))))

    def needs(self) -> tuple[Need, ...]:
        return (Need("registers"), Need("scratchpad", "sm"), Need("cache", "chip"))

    def wrong_way(self, memories: Sequence[Memory]) -> str | None:
        right = [memory.kind for memory in memories] == ["cache", "scratchpad", "registers"]
        return None if right else "dram - the cache - the scratchpad - the registers - the SMs"

    def faults(self) -> Iterator[tuple[str, str]]:
        for name in ("macs_per_cycle", "tensor_macs_per_cycle"):
            for dtype in getattr(self, name) or {}:
                if dtype not in DTYPE_BYTES:
                    yield (
                        f"{name}.{dtype}",
                        f"unknown data type; expected one of {', '.join(DTYPE_BYTES)}",
                    )
        for name in ("core_warps", "tensor_warps"):
            for warps, share in getattr(self, name).items():
                if not (warps.isascii() and warps.isdigit() and int(warps)):
                    yield f"{name}.{warps}", "no number of warps; expected one, such as 4: 0.73"
                elif share > 1:
                    yield f"{name}.{warps}", f"{share:g}; expected a share of the peak, at most 1"
        yield from self._missing_files()
        if self.max_threads_per_block > self.max_threads:
            said = f"{self.max_threads_per_block}; expected at most max_threads, {self.max_threads}"
            yield "max_threads_per_block", said
        if self.max_threads % self.warp:
            yield "max_threads", f"{self.max_threads}; expected whole warps of {self.warp}"
        if "fp32" not in self.macs_per_cycle:
            yield (
                "macs_per_cycle",
                "no rate for fp32, in which transforms and pooling run; expected one",
            )

    def faults_in(self, machine: Machine, name: str) -> Iterator[tuple[str, str]]:
        for memory in machine.memories.values():
            if Need("scratchpad", "sm").meets(memory) and self.shared_per_block > memory.capacity:
                said, held = size_text(self.shared_per_block), size_text(memory.capacity)
                yield f"parts.{name}.shared_per_block", f"{said}; expected at most an SM's, {held}"

    def faults_at(self, clock_hz: float) -> Iterator[tuple[str, str]]:
        if self.gap_cycles(clock_hz) > self.launch_cycles(clock_hz):
            yield "gap", f"{self.gap}; expected at most the launch, which is {self.launch}"

    def _missing_files(self) -> Iterator[tuple[str, str]]:
        """The kernels' files that cannot be read."""
        loads = (("kernels", self.kernels, load_library),)
        rows = (("row_kernels", self.row_kernels, load_row_library),)
        maps = (("map_kernels", self.map_kernels, load_map_library),)
        for name, file, load in (*loads, *rows, *maps):
            try:
                if file is not None:
                    load(file)
            except HwsimError as error:
                yield name, str(error)

    @property
    def library(self) -> Library | None:
        """The kernels that multiply matrices here; None where the machine names none."""
        tensor_types = frozenset(self.tensor_macs_per_cycle or ())
        return None if self.kernels is None else library_of(self.kernels, tensor_types)

    @property
    def row_library(self) -> RowLibrary | None:
        """The kernels of softmax and norms here; None where the machine names none."""
        return None if self.row_kernels is None else load_row_library(self.row_kernels)

    @property
    def map_library(self) -> MapLibrary | None:
        """The kernels of pooling and elementwise operators here, or None.

        It is None where the machine names none.
        """
        return None if self.map_kernels is None else load_map_library(self.map_kernels)

    @property
    def files(self) -> tuple[object, ...]:
        return self.library, self.row_library, self.map_library

    def macs_per_cycle_per_sm(self, dtype: str) -> float:
        return (self.tensor_macs_per_cycle or {}).get(dtype) or self.macs_per_cycle[dtype]

    def uses_tensor_cores(self, dtype: str | None) -> bool:
        return dtype in (self.tensor_macs_per_cycle or {})

    def on_tensor_cores(self, stage: Stage) -> bool:
        """Do tensor cores take these products?

        They take those of a type that they multiply, at least one fragment of 8 wide and deep.
        """
        view = stage.view
        return (
            view is not None
            and self.uses_tensor_cores(stage.dtype)
            and min(stage.group(view.n), stage.group(view.k)) >= 8
        )

    def vector_ops_per_cycle_per_sm(self, dtype: str) -> float:
        """Additions and multiplications outside the tensor cores."""
        return self.macs_per_cycle.get(dtype) or self.macs_per_cycle["fp32"]

    def peak_vector_operations_per_cycle(self, dtype: str) -> float:
        return self.sms * self.vector_ops_per_cycle_per_sm(dtype)

    def peak_macs_per_cycle(self, dtype: str) -> float:
        return self.sms * self.macs_per_cycle_per_sm(dtype)

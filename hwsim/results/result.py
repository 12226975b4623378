"""What a simulation returns: frozen, per stage, and adding up over stages and layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeVar

from hwsim.ir.note import Note
from hwsim.ir.stage import Operations
from hwsim.results.pipelined import Pipelined, pipelined
from hwsim.results.reuse import TensorReuse
from hwsim.results.timeline import Timeline

if TYPE_CHECKING:
    import pandas

    from hwsim.results.schemas import ResultDocument

Energy = Mapping[str, float]


Fidelity = Literal["exact", "sampled"]  # how a CPU's caches are simulated
FIDELITIES: tuple[Fidelity, ...] = ("exact", "sampled")


@dataclass(frozen=True)
class Sampling:
    """How much was simulated, where not all was.

    share: of the steps of a GPU's blocks, batch by batch, or of the sets of a CPU's caches. error:
    an estimate, relative to the lines from DRAM, or to those at any level. lines: that those at a
    level may be off besides. time: how much longer it takes where lines are so many more.
    """

    share: float
    error: float
    of: Literal["steps", "sets"] = "steps"
    lines: int = 0
    time: float = 0.0


@dataclass(frozen=True)
class Access:
    """Words read and written at a part, and their bytes.

    On a cache or DRAM these are whole lines or bursts.
    """

    reads: int = 0
    writes: int = 0
    read_bytes: int = 0
    write_bytes: int = 0

    def __add__(self, other: Access) -> Access:
        return Access(
            self.reads + other.reads,
            self.writes + other.writes,
            self.read_bytes + other.read_bytes,
            self.write_bytes + other.write_bytes,
        )

    def __mul__(self, times: int) -> Access:
        return Access(
            self.reads * times,
            self.writes * times,
            self.read_bytes * times,
            self.write_bytes * times,
        )


@dataclass(frozen=True)
class Lines:
    """What a cache did with the lines of one array.

    reads, writes: look-ups. written_back: lines that left it dirty, or for an exclusive cache.
    fetched_ahead: by a prefetcher. cold, capacity: misses of these kinds, the others being
    conflicts; None where they were not told apart.
    """

    reads: int = 0
    writes: int = 0
    misses: int = 0
    written_back: int = 0
    fetched_ahead: int = 0
    cold: int | None = None
    capacity: int | None = None

    @property
    def hits(self) -> int:
        return self.reads + self.writes - self.misses

    @property
    def conflict(self) -> int | None:
        if self.cold is None or self.capacity is None:
            return None
        return self.misses - self.cold - self.capacity

    def __add__(self, other: Lines) -> Lines:
        return Lines(
            self.reads + other.reads,
            self.writes + other.writes,
            self.misses + other.misses,
            self.written_back + other.written_back,
            self.fetched_ahead + other.fetched_ahead,
            None if self.cold is None or other.cold is None else self.cold + other.cold,
            None
            if self.capacity is None or other.capacity is None
            else self.capacity + other.capacity,
        )

    def __mul__(self, times: int) -> Lines:
        return Lines(
            self.reads * times,
            self.writes * times,
            self.misses * times,
            self.written_back * times,
            self.fetched_ahead * times,
            None if self.cold is None else self.cold * times,
            None if self.capacity is None else self.capacity * times,
        )


Accesses = dict[str, dict[str, Access]]
CacheLines = dict[str, dict[str, Lines]]
Counted = TypeVar("Counted", Access, Lines)
COMPUTING = "computing"  # a cause of time beside the stalls


def resource_of(cause: str) -> str:
    """The resource of a stall's cause, which may name a tensor or a reason behind a colon."""
    return cause.partition(":")[0]


@dataclass(frozen=True)
class Cycles:
    """total = compute + all stalls, in cycles of the machine's clock."""

    compute: float = 0.0
    stall: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        return self.compute + sum(self.stall.values())

    @property
    def by_resource(self) -> dict[str, float]:
        """Stalls by what has to be faster: a port's are one, whichever tensor was waited for."""
        found: dict[str, float] = {}
        for cause, cycles in self.stall.items():
            found[resource_of(cause)] = found.get(resource_of(cause), 0.0) + cycles
        return found

    def __add__(self, other: Cycles) -> Cycles:
        stalls = dict(self.stall)
        for cause, cycles in other.stall.items():
            stalls[cause] = stalls.get(cause, 0.0) + cycles
        return Cycles(self.compute + other.compute, stalls)


@dataclass(frozen=True)
class StageResult:
    """One stage on a machine.

    footprint_bytes: the most at any time, per part (one instance of it) and tensor.

    timeline: when tiles moved and steps ran, where that was asked for and simulated as events.
    lines: by cache and array, where caches were simulated line by line.
    """

    name: str
    dataflow: str
    nest: str
    fidelity: str
    operations: Operations
    cycles: Cycles
    clock_hz: float
    peak_macs_per_cycle: float
    accesses: Accesses
    dram: str
    footprint_bytes: Mapping[str, Mapping[str, int]]
    energy_pj: Energy
    offline: bool = False
    sampling: Sampling | None = None
    reuse: Mapping[str, TensorReuse] = field(default_factory=dict)
    energy_by_tensor_pj: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    timeline: Timeline | None = None
    lines: CacheLines = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.cycles.total / self.clock_hz

    @property
    def dram_read_bytes(self) -> int:
        return sum(access.read_bytes for access in self.accesses.get(self.dram, {}).values())

    @property
    def dram_write_bytes(self) -> int:
        return sum(access.write_bytes for access in self.accesses.get(self.dram, {}).values())

    @property
    def utilization(self) -> float:
        """Multiplications a cycle, as a share of the machine's peak."""
        return (
            self.operations.multiplies / (self.cycles.total * self.peak_macs_per_cycle)
            if self.cycles.total
            else 0.0
        )


def longer_at_most(stages: Sequence[StageResult]) -> float:
    """How much longer stages may take together, by the samples of them."""
    sampled = [(stage.cycles.total, stage.sampling) for stage in stages if stage.sampling]
    longer = sum(cycles * sampling.time for cycles, sampling in sampled)
    return longer / sum(stage.cycles.total for stage in stages) if longer else 0.0


@dataclass(frozen=True)
class LayerResult:
    """One layer: its stages in order. offline stages are listed, and in no total.

    workspace_bytes: of the temporaries that stages pass on; in a fused plan, of one block's.
    """

    name: str
    shape: str
    algorithm: str
    stages: tuple[StageResult, ...]
    compulsory_bytes: int
    notes: tuple[Note, ...] = ()
    macs: int = 0
    workspace_bytes: int = 0

    @property
    def online(self) -> tuple[StageResult, ...]:
        return tuple(stage for stage in self.stages if not stage.offline)

    @cached_property
    def cycles(self) -> Cycles:
        return sum((stage.cycles for stage in self.online), Cycles())

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.online)

    @cached_property
    def operations(self) -> Operations:
        return sum((stage.operations for stage in self.online), Operations())

    @property
    def dram_read_bytes(self) -> int:
        return sum(stage.dram_read_bytes for stage in self.online)

    @property
    def dram_write_bytes(self) -> int:
        return sum(stage.dram_write_bytes for stage in self.online)

    @property
    def dram_bytes(self) -> int:
        return self.dram_read_bytes + self.dram_write_bytes

    @property
    def dram_ratio(self) -> float:
        """DRAM traffic as a multiple of the least possible; 1 when both are zero."""
        return self.dram_bytes / self.compulsory_bytes if self.compulsory_bytes else 1.0

    @property
    def utilization(self) -> float:
        peak = max((stage.peak_macs_per_cycle for stage in self.online), default=1.0)
        return self.operations.multiplies / (self.cycles.total * peak) if self.cycles.total else 0.0

    @cached_property
    def footprint_bytes(self) -> dict[str, int]:
        """The most that any stage holds in a part, all tensors."""
        peak: dict[str, int] = {}
        for stage in self.online:
            for part, tensors in stage.footprint_bytes.items():
                peak[part] = max(peak.get(part, 0), sum(tensors.values()))
        return peak

    @property
    def energy_pj(self) -> dict[str, float]:
        return add_energy(stage.energy_pj for stage in self.online)

    @cached_property
    def accesses(self) -> Accesses:
        return add_accesses(stage.accesses for stage in self.online)


@dataclass(frozen=True)
class Result:
    """A workload on a machine under an algorithm.

    batch: images at once. dataflow: the one asked for, '' for the best. variant: what tells it
    from the others of a comparison on one machine; the algorithm where nothing else varies.
    """

    machine: str
    workload: str
    algorithm: str
    dtype: str
    clock_hz: float
    layers: tuple[LayerResult, ...]
    capacities: Mapping[str, int]
    peak_macs_per_cycle: float
    dram_bytes_per_second: float
    machine_fidelity: str = ""
    pipeline_units: int = 0
    start_seconds: float = 0.0
    batch: int = 1
    dataflow: str = ""
    variant: str = ""

    @property
    def pipelined(self) -> Pipelined | None:
        """The layers side by side, where the machine runs them so."""
        return (
            pipelined([layer.seconds for layer in self.layers], self.pipeline_units)
            if self.pipeline_units
            else None
        )

    @property
    def seconds(self) -> float:
        """Of the layers one after another, and of what the machine takes to start a run."""
        return self.start_seconds + sum(layer.seconds for layer in self.layers)

    @property
    def seconds_an_image(self) -> float:
        """Its share of a batch."""
        return self.seconds / self.batch

    @property
    def pj_an_image(self) -> float:
        """Its share of a batch's energy."""
        return sum(self.energy_pj.values()) / self.batch

    @property
    def images_per_second(self) -> float:
        """Images one batch after another."""
        return 1 / self.seconds_an_image if self.seconds else 0.0

    @property
    def watts(self) -> float:
        """Power on average: energy over time."""
        return self.pj_an_image * 1e-12 / self.seconds_an_image if self.seconds else 0.0

    @property
    def cycles(self) -> float:
        return sum(layer.cycles.total for layer in self.layers)

    @property
    def time_by_cause(self) -> dict[str, float]:
        """Seconds of computing, of what each resource was waited for, and of the start."""
        cycles = sum((layer.cycles for layer in self.layers), Cycles())
        found = {COMPUTING: cycles.compute, **cycles.by_resource}
        seconds = {cause: count / self.clock_hz for cause, count in found.items() if count}
        return {**seconds, "start": self.start_seconds} if self.start_seconds else seconds

    @property
    def counts(self) -> Operations:
        return sum((layer.operations for layer in self.layers), Operations())

    @property
    def dram_bytes(self) -> int:
        return sum(layer.dram_bytes for layer in self.layers)

    @property
    def compulsory_bytes(self) -> int:
        return sum(layer.compulsory_bytes for layer in self.layers)

    @property
    def dram_ratio(self) -> float:
        """DRAM traffic as a multiple of the least possible; 1 when both are zero."""
        return self.dram_bytes / self.compulsory_bytes if self.compulsory_bytes else 1.0

    @property
    def workspace_bytes(self) -> int:
        """The most that any layer's temporaries take."""
        return max((layer.workspace_bytes for layer in self.layers), default=0)

    @property
    def energy_pj(self) -> dict[str, float]:
        return add_energy(layer.energy_pj for layer in self.layers)

    @property
    def edp_js(self) -> float:
        """Energy times delay, in joule seconds."""
        return sum(self.energy_pj.values()) * 1e-12 * self.seconds

    @property
    def utilization(self) -> float:
        return (
            self.counts.multiplies / (self.cycles * self.peak_macs_per_cycle)
            if self.cycles
            else 0.0
        )

    @property
    def footprint_bytes(self) -> dict[str, int]:
        peak: dict[str, int] = {}
        for layer in self.layers:
            for part, size in layer.footprint_bytes.items():
                peak[part] = max(peak.get(part, 0), size)
        return peak

    def table(self) -> str:
        """A plain-text table, at most 80 columns wide."""
        from hwsim.report.tables import run_table

        return run_table(self)

    def to_frame(self) -> pandas.DataFrame:
        """Layers as a DataFrame of pandas, the columns of the CSV.

        Raises HwsimError where it is not installed.
        """
        from hwsim.report.csv_table import frame

        return frame((self,))

    def to_dict(self) -> ResultDocument:
        """The JSON schema's document."""
        from hwsim.results.document import result_document

        return result_document(self)

    def _repr_html_(self) -> str:
        from hwsim.report.tables import html_table

        return html_table([self])

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"{layer.name}: {note}" for layer in self.layers for note in layer.notes)


def add_energy(parts: Iterable[Energy]) -> dict[str, float]:
    """Energy by part, summed."""
    total: dict[str, float] = {}
    for energies in parts:
        for name, energy in energies.items():
            total[name] = total.get(name, 0.0) + energy
    return total


def add_accesses(parts: Iterable[dict[str, dict[str, Counted]]]) -> dict[str, dict[str, Counted]]:
    """Accesses, or lines of caches, by part and tensor, summed."""
    total: dict[str, dict[str, Counted]] = {}
    for counts in parts:
        for name, tensors in counts.items():
            row = total.setdefault(name, {})
            for tensor, count in tensors.items():
                row[tensor] = row[tensor] + count if tensor in row else count
    return total

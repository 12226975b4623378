"""A point's row: what a run of it came to, or why there was none."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, fields
from typing import Any

from hwsim.area.account import area_of
from hwsim.describe.machine import Machine
from hwsim.parts.scratchpad import Scratchpad


@dataclass(frozen=True)
class Row:
    """What a sweep knows of a point.

    seconds, energy_pj: of the whole batch, and of one of its images or sequences, as is what comes
    from and goes to DRAM. edp: joules times seconds of an image. utilization: of the multipliers.
    multipliers: multiply-accumulates a cycle at most. on_chip_bytes: of all explicit memories.
    bottleneck: what most of the time goes to. error: why the point did not run, '' where it did.
    area_mm2: of arithmetic and memories on the chip (hwsim.area).
    """

    seconds: float | None = None
    energy_pj: float | None = None
    seconds_an_image: float | None = None
    pj_an_image: float | None = None
    edp: float | None = None
    dram_bytes_an_image: float | None = None
    macs: int | None = None
    utilization: float | None = None
    watts: float | None = None
    multipliers: float | None = None
    on_chip_bytes: float | None = None
    bottleneck: str = ""
    error: str = ""
    area_mm2: float | None = None

    @classmethod
    def of_run(
        cls, machine: Machine, batch: int, macs: int, dtype: str, run: Run, bottleneck: str
    ) -> Row:
        """The row of a run of a batch, `macs` multiply-accumulates together."""
        cycles = run.seconds * machine.clock_hz
        each, energy = run.seconds / batch, run.energy_pj / batch
        return cls(
            run.seconds,
            run.energy_pj,
            each,
            energy,
            energy * 1e-12 * each,
            run.dram_bytes / batch,
            macs,
            macs / (cycles * machine.compute.peak_macs_per_cycle(dtype)),
            run.energy_pj * 1e-12 / run.seconds,
            multipliers(machine),
            on_chip_bytes(machine),
            bottleneck,
            area_mm2=area_mm2(machine),
        )

    @property
    def ran(self) -> bool:
        return not self.error

    def text(self) -> str:
        """As the journal keeps it: a list in the order of the fields."""
        return json.dumps(astuple(self), separators=(",", ":"))

    @classmethod
    def of(cls, text: str) -> Row:
        """The row that was kept."""
        return cls(*json.loads(text))


@dataclass(frozen=True)
class Run:
    """What a run of a batch took and moved."""

    seconds: float
    energy_pj: float
    dram_bytes: int


def multipliers(machine: Machine) -> float:
    """Multiply-accumulates a cycle, of the machine's own data type."""
    return machine.compute.peak_macs_per_cycle(machine.dtype)


def on_chip_bytes(machine: Machine) -> float:
    """Of all its explicit memories."""
    memories = machine.memories.values()
    return float(sum(part.capacity for part in memories if isinstance(part, Scratchpad)))


def area_mm2(machine: Machine) -> float:
    """Of arithmetic and of memories on the chip."""
    return area_of(machine).total


COLUMNS: tuple[str, ...] = tuple(spec.name for spec in fields(Row))


def value(row: Row, column: str) -> Any:
    """A column of a row by name."""
    return getattr(row, column)

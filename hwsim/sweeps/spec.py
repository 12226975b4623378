"""What a sweep asks: its axes, what stays the same, and its points by number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from json import dumps
from math import prod
from pathlib import Path
from typing import Literal

from hwsim import __version__
from hwsim.choose.kept import sources_digest
from hwsim.describe.catalog import locate
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.networks import SHAPES, find_workload, size_of
from hwsim.describe.settings import NoPlace, Setting
from hwsim.describe.variations import Variations
from hwsim.describe.workload import Workload
from hwsim.errors import HwsimError
from hwsim.results.result import Fidelity
from hwsim.sweeps.axes import OF_RUNS, Axis
from hwsim.sweeps.constraints import Constraint

Model = Literal["simulate", "bound"]
Schedules = Literal["best", "quick"]
SCHEDULES: tuple[Schedules, ...] = ("best", "quick")
MODELS: tuple[Model, ...] = ("simulate", "bound")
OBJECTIVES = {  # of a row, what is to be least; its column
    "latency": "seconds_an_image",
    "energy": "pj_an_image",
    "edp": "edp",
    "dram": "dram_bytes_an_image",
    "multipliers": "multipliers",
    "memory": "on_chip_bytes",
    "area": "area_mm2",
}
MOST_POINTS = 100_000_000
Values = Mapping[str, str]  # of a point: axis name -> value


@dataclass(frozen=True)
class Sweep:
    """A sweep as it is asked for.

    machine, workload: as `hwsim run` takes them, where no axis says so. fixed: what holds for every
    point, under an axis' name. model: 'simulate', or 'bound' for the least time that arithmetic and
    compulsory traffic allow. schedules: 'best', as of `hwsim run`, or 'quick', by their estimates
    and shared among points (hwsim.choose.quick). fidelity: of a CPU's caches, as of `hwsim run`.
    """

    name: str
    axes: tuple[Axis, ...]
    fixed: tuple[tuple[str, str], ...] = ()
    where: tuple[Constraint, ...] = ()
    objectives: tuple[str, ...] = ("latency", "energy")
    model: Model = "simulate"
    schedules: Schedules = "best"
    fidelity: Fidelity = "exact"

    @property
    def names(self) -> tuple[str, ...]:
        """Of every axis, in order."""
        return tuple(name for axis in self.axes for name in axis.names)

    @property
    def size(self) -> int:
        """Points before constraints."""
        return prod(len(axis.values) for axis in self.axes)

    def values(self, number: int) -> dict[str, str]:
        """A point's values by axis; the last axis changes first."""
        found: list[tuple[Axis, str]] = []
        for axis in reversed(self.axes):
            number, place = divmod(number, len(axis.values))
            found.append((axis, axis.values[place]))
        return {name: value for axis, value in reversed(found) for name in axis.names}

    def whole(self, number: int) -> dict[str, str]:
        """A point's values and what is fixed."""
        return {**dict(self.fixed), **self.values(number)}

    def machine(self, values: Values) -> Machine:
        """The machine of a point. Raises HwsimError where its values do not go together."""
        settings = tuple(
            Setting(name, value)
            for name, value in values.items()
            if name not in OF_RUNS and name not in dict(self.fixed)
        )
        return _machine(values["machine"], self._fixed_settings, settings)

    def planned(self, values: Values) -> Machine | None:
        """The machine that quick schedules of a point are made for: with the DRAM of its file.

        None where schedules are the best.
        """
        if self.schedules == "best":
            return None
        dram = _machine(values["machine"], self._fixed_settings, ()).dram_name
        places = (f"parts.{dram}.", "parts.dram.")
        rest = {name: value for name, value in values.items() if not name.startswith(places)}
        return self.machine(rest)

    @cached_property
    def _fixed_settings(self) -> tuple[Setting, ...]:
        return tuple(Setting(name, value) for name, value in self.fixed if name not in OF_RUNS)

    def allowed(self, number: int) -> bool:
        """Do the constraints hold?

        One that asks the machine fails where there is no such machine.
        """
        values = self.values(number)
        machine = None
        for constraint in self.where:
            if constraint.of_machine and machine is None:
                try:
                    machine = self.machine(self.whole(number))
                except HwsimError:
                    return False
            if not constraint.holds(values, machine):
                return False
        return True

    def numbers(self) -> Iterator[int]:
        """Of all points that the constraints allow."""
        return (number for number in range(self.size) if not self.where or self.allowed(number))

    @cached_property
    def _common(self) -> bytes:
        """What every row follows from beside its values: hwsim and the files that are named."""
        named = [*self.fixed, *((n, v) for a in self.axes for n in a.names for v in a.values)]
        files = sorted({_digest(name, value) for name, value in named if name in FILES})
        asked = (self.model, self.schedules, self.fidelity, self.objectives[:1])
        return repr((__version__, sources_digest(), *asked, files)).encode()

    def key(self, number: int) -> bytes:
        """Of a point's row: a hash of all that it follows from."""
        text = dumps(self.whole(number), sort_keys=True)
        return hashlib.blake2b(text.encode(), key=self._salt, digest_size=16).digest()

    @cached_property
    def _salt(self) -> bytes:
        return hashlib.blake2b(self._common, digest_size=32).digest()


FILES = {"machine": "configs", "workload": "workloads"}


def find_file(name: str, value: str) -> Path | None:
    """The file of a machine or a workload, or of a layer's network; None of a shape.

    name: one of FILES. Raises HwsimError where there is none.
    """
    head, _, rest = value.partition(":")
    if name == "workload" and rest and head in SHAPES:
        return None
    return locate(name, FILES[name], head if rest and name == "workload" else value)


def _digest(name: str, value: str) -> tuple[str, str]:
    """A file's name and its content's hash; of a shape, the shape."""
    path = find_file(name, value)
    if path is None:
        return value, ""
    try:
        return value, hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise HwsimError(f"{path}: cannot be read: {error.strerror}") from None


@lru_cache(maxsize=8)
def _variations(name: str, fixed: tuple[Setting, ...]) -> Variations:
    return Variations(name, fixed)


@lru_cache(maxsize=512)
def _machine(name: str, fixed: tuple[Setting, ...], settings: tuple[Setting, ...]) -> Machine:
    return _variations(name, fixed).machine(settings)


@dataclass(frozen=True)
class Run:
    """What of a point names its workload."""

    workload: str
    batch: int
    size: tuple[int, int] | None
    context: int | None


def run_of(values: Values) -> Run:
    """Raises HwsimError for an input that is no size."""
    size = size_of(values["input"]) if "input" in values else None
    context = int(values["context"]) if "context" in values else None
    return Run(values["workload"], int(values.get("batch", "1")), size, context)


@lru_cache(maxsize=64)
def loaded(run: Run) -> Workload:
    """Raises HwsimError as find_workload does."""
    return find_workload(run.workload, run.batch, run.size, run.context)


def workload_of(values: Values) -> Workload:
    """The workload of a point. Raises HwsimError as find_workload does."""
    return loaded(run_of(values))


def check(sweep: Sweep) -> None:
    """Raises HwsimError for a sweep that no point can come of.

    It names places that a machine's file does not have, files that cannot be read, too many points.
    """
    if sweep.size > MOST_POINTS:
        raise HwsimError(
            f"{sweep.name}: {sweep.size} points; expected at most {MOST_POINTS}, or --sampler"
        )
    first = sweep.whole(0)
    for needed in FILES:
        if needed not in first:
            raise HwsimError(f"{sweep.name}: no {needed}; expected one, or an axis of several")
    machines = next((a.values for a in sweep.axes if "machine" in a.names), (first["machine"],))
    workloads = next((a.values for a in sweep.axes if "workload" in a.names), (first["workload"],))
    for name in machines:
        sweep.machine({"machine": name})
        for axis in sweep.axes:
            for place in axis.names:
                if place not in OF_RUNS:
                    _check_place(name, place, axis.values[0])
    for name in workloads:
        workload_of({**first, "workload": name})


def _check_place(machine: str, place: str, value: str) -> None:
    try:
        load_machine(machine, [Setting(place, value)])
    except NoPlace:
        raise
    except HwsimError:
        return  # with another axis' value it may be right

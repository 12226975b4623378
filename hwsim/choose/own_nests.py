"""Nests of a user's own, read from a file and simulated as they are (docs/mapping.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hwsim.algorithms import DIRECT, find_algorithm, lower, whole_stages
from hwsim.choose.layer import simulate_layer
from hwsim.choose.nests import Choice
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.reading import Document
from hwsim.describe.workload import Workload
from hwsim.errors import HwsimError, UnknownName, nearest
from hwsim.ir.bound_nest import bind
from hwsim.ir.nest import Nest
from hwsim.ir.nest_file import NestFile, load_nests
from hwsim.ir.stage import Plan
from hwsim.results.result import LayerResult
from hwsim.rewrite.arrays import place_arrays

PLAINLY = Choice()


@dataclass(frozen=True)
class OwnNests:
    """A file of nests, the machine that it names, and its layers."""

    path: Path
    file: NestFile
    document: Document
    machine: Machine

    @property
    def workload(self) -> Workload:
        layers = {entry.layer: entry.shape.layer(self.file.dtype) for entry in self.file.nests}
        return Workload(self.path.stem, layers)


def read_nests(path: str | Path) -> OwnNests:
    """A file of nests and its machine.

    The machine's path counts from the file's folder, or else from the current one. Raises
    ConfigError with every fault.
    """
    file, document = load_nests(path)
    beside = Path(path).parent / file.machine
    with _at(document, "algorithm"):
        find_algorithm(file.algorithm)
    with _at(document, "machine"):
        machine = load_machine(beside if beside.is_file() else file.machine)
    return OwnNests(Path(path), file, document, machine)


@contextmanager
def _at(document: Document, place: str) -> Iterator[None]:
    """What no name stands for is said at its line."""
    try:
        yield
    except UnknownName as error:
        document.fault(place, str(error))
        document.check()


def simulate_nests(
    own: OwnNests,
    progress: Callable[[int, int], None] | None = None,
    choice: Choice = PLAINLY,
) -> tuple[LayerResult, ...]:
    """Every layer with its nests.

    Raises ConfigError where one does not fit its stage or the machine, at its line.
    """
    layers = own.workload.layers
    done: list[LayerResult] = []
    for name, layer in layers.items():
        plan = _laid_out(own, name, whole_stages(lower(layer, own.file.algorithm)))
        nests = _nests_of(own, name, plan)
        try:
            result = simulate_layer(
                layer,
                plan,
                lower(layer, DIRECT),
                own.machine,
                choice,
                nests,
            )
            done.append(replace(result, name=name))
        except HwsimError as error:
            raise HwsimError(f"{own.path}: {name}: {error}") from None
        if progress is not None:
            progress(len(done), len(layers))
    return tuple(done)


def _laid_out(own: OwnNests, name: str, plan: Plan) -> Plan:
    """A layer's plan, its arrays as the file says.

    Raises ConfigError at the line of those that the plan does not have.
    """
    number, entry = next(
        (number, entry) for number, entry in enumerate(own.file.nests) if entry.layer == name
    )
    try:
        return place_arrays(plan, entry.arrays, own.machine)
    except HwsimError as error:
        own.document.fault(f"nests[{number}].arrays", str(error))
        own.document.check()
        raise


def _nests_of(own: OwnNests, name: str, plan: Plan) -> dict[str, Nest]:
    """The nests of one layer by stage, bound to the stages of its plan."""
    stages = {stage.name: replace(stage, dtype=own.file.dtype) for stage in plan.stages}
    nests = {}
    for number, entry in enumerate(own.file.nests):
        if entry.layer != name:
            continue
        if entry.stage not in stages:
            close = nearest(entry.stage, stages)
            own.document.fault(
                f"nests[{number}].stage",
                f"no stage {entry.stage!r} of {own.file.algorithm}{close}; expected one of "
                f"{', '.join(stages)}",
            )
            own.document.check()
        nests[entry.stage] = bind(own.file, number, stages[entry.stage], own.machine, own.document)
    return nests

"""A sweep's file: what stays, what changes, what is allowed, what is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from hwsim.algorithms import AUTO, find_algorithm
from hwsim.describe.reading import Document, count, mapping, read, read_by, read_text
from hwsim.errors import ConfigError, FieldError, HwsimError, UnknownName, about, nearest
from hwsim.results.result import FIDELITIES, Fidelity
from hwsim.schedule.dataflows import find_dataflow, full_name
from hwsim.sweeps.axes import OF_RUNS, Axis, axis
from hwsim.sweeps.constraints import constraints_of
from hwsim.sweeps.spec import (
    FILES,
    MODELS,
    OBJECTIVES,
    SCHEDULES,
    Model,
    Schedules,
    Sweep,
    find_file,
)


def _read_axes(node: yaml.Node, path: str, document: Document) -> tuple[Axis, ...] | None:
    """A mapping of names to lists of values, or to a function's text."""
    pairs = mapping(node, path, document)
    if pairs is None:
        return None
    found: list[Axis] = []
    for title, (key, value) in pairs.items():
        try:
            found.append(axis(title, _values(value)))
        except HwsimError as error:
            document.fault(f"{path}.{title}", str(error), key)
    names = [name for each in found for name in each.names]
    for name in {name for name in names if names.count(name) > 1}:
        document.fault(path, f"{name} is on two axes; expected every name once", node)
    if not pairs:
        document.fault(path, "no axes; expected at least one", node)
    return tuple(found)


def _values(node: yaml.Node) -> list[str] | str:
    """Scalars as they are written."""
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if not all(isinstance(item, yaml.ScalarNode) for item in items):
        raise HwsimError(
            "expected a list of single values, or a function such as logspace(1, 8, 4)"
        )
    return [str(item.value) for item in items]


def _axes_schema() -> dict[str, Any]:
    value = {"type": ["string", "number"]}
    kinds = [{"type": "array", "items": value}, {"type": "string"}]
    return {"type": "object", "additionalProperties": {"anyOf": kinds}}


def _read_settings(
    node: yaml.Node, path: str, document: Document
) -> tuple[tuple[str, str], ...] | None:
    """Places in the machine's file and one value for each."""
    pairs = mapping(node, path, document)
    if pairs is None:
        return None
    found = []
    for place, (key, value) in pairs.items():
        if not isinstance(value, yaml.ScalarNode):
            document.fault(f"{path}.{place}", "no single value; expected one", key)
            continue
        found.append((place, str(value.value)))
    return tuple(found)


def _settings_schema() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}


@dataclass(frozen=True)
class SweepText:
    """A sweep's file as written.

    machine, workload, batch ...: the same for every point, where no axis says so. axes: what
    changes, the last fastest. where: constraints, all of which hold. set: values of the machine's
    file. model: simulate, or bound for the least time that arithmetic and traffic allow.
    schedules: best, or quick ones that points share. fidelity: of a CPU's caches, exact or sampled.
    """

    axes: tuple[Axis, ...] = read_by(_read_axes, _axes_schema)
    name: str | None = None
    machine: str | None = None
    workload: str | None = None
    batch: int | None = count(default=None)
    context: int | None = count(default=None)
    input: str | None = None
    dtype: str | None = None
    algorithm: str | None = None
    dataflow: str | None = None
    set: tuple[tuple[str, str], ...] = read_by(_read_settings, _settings_schema, default=())
    where: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ("latency", "energy")
    model: Model = "simulate"
    schedules: Schedules = "best"
    fidelity: Fidelity = "exact"


def load_sweep(path: str | Path) -> Sweep:
    """The sweep of a file. Machines and workloads by path stand relative to the file.

    Raises ConfigError with every fault, HwsimError.
    """
    place = Path(path)
    document = Document(read_text(place), str(place))
    text = read(SweepText, document)
    try:
        made = _sweep(text, place)
        _check_files(made)
    except FieldError as error:
        document.fault(error.field, str(error))
        raise ConfigError(document.faults) from None
    return made


def _sweep(text: SweepText, place: Path) -> Sweep:
    fixed = {name: getattr(text, name) for name in OF_RUNS}
    values = {name: str(value) for name, value in fixed.items() if value is not None}
    values |= dict(text.set)
    near = {name: _beside(place, values[name]) for name in FILES if name in values}
    axes = tuple(
        replace(each, values=tuple(_beside(place, value) for value in each.values))
        if set(each.names) & set(FILES)
        else each
        for each in text.axes
    )
    return make_sweep(
        text.name or place.stem,
        axes,
        {**values, **near},
        text.where,
        text.objectives,
        text.model,
        text.schedules,
        text.fidelity,
    )


def _beside(place: Path, name: str) -> str:
    """A path as seen from the file's folder; a name as it is."""
    near = place.parent / name
    return str(near) if "/" in name or near.is_file() else name


def make_sweep(
    name: str,
    axes: Sequence[Axis],
    fixed: Mapping[str, str],
    where: Sequence[str] = (),
    objectives: Sequence[str] = ("latency", "energy"),
    model: Model = "simulate",
    schedules: Schedules = "best",
    fidelity: Fidelity = "exact",
) -> Sweep:
    """A sweep, its words checked.

    Raises HwsimError for names of nothing, and for what is both fixed and an axis.
    """
    names = [one for each in axes for one in each.names]
    both = [one for one in names if one in fixed]
    if both:
        raise FieldError(both[0], f"{both[0]} is fixed, and an axis; expected one or the other")
    with about("objectives"):
        _check_objectives(objectives)
    asked = (
        ("model", model, MODELS),
        ("schedules", schedules, SCHEDULES),
        ("fidelity", fidelity, FIDELITIES),
    )
    for field, word, known in asked:
        if word not in known:
            what = f"{word!r}{nearest(word, known)}; expected {' or '.join(known)}"
            raise FieldError(field, what)
    _check_choices(axes, fixed)
    constraints = constraints_of(where, names)
    return Sweep(
        name,
        tuple(axes),
        tuple(fixed.items()),
        constraints,
        tuple(objectives),
        model,
        schedules,
        fidelity,
    )


def _check_objectives(objectives: Sequence[str]) -> None:
    for objective in objectives:
        if objective not in OBJECTIVES:
            raise UnknownName("objective of a sweep", objective, OBJECTIVES)
    if not objectives or len(set(objectives)) < len(objectives):
        raise HwsimError("objectives: expected at least one, and each once")


def _check_choices(axes: Sequence[Axis], fixed: Mapping[str, str]) -> None:
    """Are algorithms and dataflows, of axes and fixed, known?"""
    for each in axes:
        for name in set(each.names) & {"algorithm", "dataflow"}:
            with about(f"axes.{each.title}"):
                for value in each.values:
                    _check_choice(name, value)
    for name in {"algorithm", "dataflow"} & set(fixed):
        with about(name):
            _check_choice(name, fixed[name])


def _check_files(sweep: Sweep) -> None:
    """Is there every machine and workload that is named?"""
    for name, value in sweep.fixed:
        if name in FILES:
            with about(name):
                find_file(name, value)
    for each in sweep.axes:
        for name in set(each.names) & set(FILES):
            with about(f"axes.{each.title}"):
                for value in each.values:
                    find_file(name, value)


def _check_choice(name: str, value: str) -> None:
    if name == "dataflow":
        find_dataflow(full_name(value))
    elif value != AUTO:
        find_algorithm(value)

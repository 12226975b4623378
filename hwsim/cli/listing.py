"""`hwsim list` and `hwsim show`: what there is, and what was understood of it."""

from __future__ import annotations

import dataclasses
import re
import sys
import textwrap
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from hwsim.algorithms import ALGORITHMS, FAMILIES, Algorithm, find_algorithm, user_algorithms
from hwsim.algorithms.winograd import Winograd, transforms
from hwsim.describe.catalog import kind_of, shipped
from hwsim.describe.formats import FORMATS
from hwsim.describe.layer import ConvLayer, ConvTransposeLayer
from hwsim.describe.machine import PARTS, Machine, load_machine
from hwsim.describe.networks import load_workload
from hwsim.describe.policies import POLICIES
from hwsim.describe.prefetchers import PREFETCHERS
from hwsim.describe.reading import fields_of
from hwsim.describe.system import System, list_systems, load_system
from hwsim.describe.units import Bandwidth, Duration, si, size_text
from hwsim.describe.workload import Workload
from hwsim.energy.account import source_text
from hwsim.errors import HwsimError, UnknownName
from hwsim.ir.program import program_of
from hwsim.report.text_table import LAST, WIDTH, text_table
from hwsim.schedule.dataflows import DATAFLOWS
from hwsim.timing import TIMINGS

WIDEST_NAME = 24
TAPS = 3  # of the filters whose transforms are shown


UNUSED = (None, False, "none", ())  # what an option that is not used holds, if it is its default


def listing(kind: str | None) -> str:
    """The names of one kind, or of all. Raises UnknownName."""
    kinds = {
        "machines": _machines,
        "systems": _systems,
        "workloads": _workloads,
        "algorithms": _algorithms,
        "dataflows": _dataflows,
        "parts": _parts,
        "timings": _timings,
        "policies": _policies,
        "prefetchers": _prefetchers,
        "formats": _formats,
        "references": _references,
        "lessons": _lessons,
    }
    if kind is not None and kind not in kinds:
        raise UnknownName("kind of thing to list", kind, kinds)
    return "\n\n".join(f"{name}:\n{_pairs(kinds[name]())}" for name in ([kind] if kind else kinds))


def _systems() -> list[tuple[str, str]]:
    return [(name, load_system(name).description) for name in list_systems()]


def _pairs(rows: list[tuple[str, str]]) -> str:
    wide = max(len(name) for name, _ in rows if len(name) <= WIDEST_NAME) + 2
    lines = []
    for name, text in rows:
        if len(name) > WIDEST_NAME:
            lines.append(f"  {name}")
        head = "" if len(name) > WIDEST_NAME else name
        lines.append(
            textwrap.fill(
                text, WIDTH, initial_indent=f"  {head:<{wide}}", subsequent_indent=" " * (wide + 2)
            )
        )
    return "\n".join(lines)


def _parts() -> list[tuple[str, str]]:
    return [(name, _summary(PARTS[name])) for name in PARTS]


def _timings() -> list[tuple[str, str]]:
    return [(name, _summary(type(TIMINGS[name]))) for name in TIMINGS]


def _summary(of: type) -> str:
    """What the file that defines a class is about, in its first sentence."""
    about = sys.modules[of.__module__].__doc__ or ""
    return " ".join(about.split()).partition(". ")[0].removesuffix(".")


def _formats() -> list[tuple[str, str]]:
    return [(name, FORMATS[name].summary) for name in FORMATS]


def _policies() -> list[tuple[str, str]]:
    return [(name, f"of a cache: {POLICIES[name].summary}") for name in POLICIES]


def _prefetchers() -> list[tuple[str, str]]:
    return [(name, f"of a cache: {PREFETCHERS[name].summary}") for name in PREFETCHERS]


def _machines() -> list[tuple[str, str]]:
    return [
        (name, f"{machine.management}: {machine.description}")
        for name, machine in ((name, load_machine(name)) for name in shipped("configs"))
    ]


def _workloads() -> list[tuple[str, str]]:
    return [
        (name, f"{len(work.layers)} layers, {si(work.macs)} multiply-accumulates an image")
        for name, work in ((name, load_workload(name)) for name in shipped("workloads"))
    ]


def _algorithms() -> list[tuple[str, str]]:
    rows = [(name, ALGORITHMS[name].summary) for name in user_algorithms()]
    rows += [(FAMILIES[name].pattern, FAMILIES[name].summary) for name in FAMILIES]
    return [*rows, ("auto", "the best that applies, layer by layer (run --objective)")]


def _dataflows() -> list[tuple[str, str]]:
    return [(name, DATAFLOWS[name].summary) for name in DATAFLOWS]


def _references() -> list[tuple[str, str]]:
    from hwsim.validate import CHECKS

    return [(name, CHECKS[name].summary) for name in CHECKS]


def _lessons() -> list[tuple[str, str]]:
    from hwsim.teach import LESSONS, in_order

    return [(name, LESSONS[name].question) for name in in_order()]


def show(name: str) -> str:
    """A machine, system, workload, algorithm or dataflow by name, or a YAML file by path.

    Raises UnknownName.
    """
    if "/" in name or name.endswith((".yaml", ".yml")) or Path(name).is_file():
        return _show_file(name)
    finders: dict[str, Callable[[], str]] = {}
    finders.update(
        {machine: lambda: show_machine(load_machine(name)) for machine in shipped("configs")}
    )
    finders.update(
        {work: lambda: show_workload(load_workload(name)) for work in shipped("workloads")}
    )
    finders.update({system: lambda: show_system(load_system(name)) for system in list_systems()})
    finders.update({flow: lambda: _document(DATAFLOWS[name]) for flow in DATAFLOWS})
    if name in finders:
        return finders[name]()
    if any(FAMILIES[family].member(name) for family in FAMILIES) or name in ALGORITHMS:
        return show_algorithm(find_algorithm(name))
    raise UnknownName(
        "machine, system, workload, algorithm or dataflow", name, [*finders, *user_algorithms()]
    )


def _show_file(path: str) -> str:
    """A file of none of a machine's or a system's keys is a workload."""
    if not Path(path).is_file():
        raise HwsimError(f"{path}: no such file")
    own = path.endswith((".yaml", ".yml"))
    text = Path(path).read_text(errors="replace") if own else ""
    kind = kind_of(text)
    if kind == "configs":
        return show_machine(load_machine(path))
    return (
        show_system(load_system(path)) if kind == "systems" else show_workload(load_workload(path))
    )


def show_machine(machine: Machine) -> str:
    """Every part with every field that is set, in base units people can read."""
    peak = machine.compute.peak_macs_per_cycle(machine.dtype) * machine.clock_hz
    lines = [
        _wrapped(f"{machine.name}: {machine.description}", 2),
        f"  memory management: {machine.management}",
        f"  clock: {machine.clock_hz / 1e6:g} MHz, {machine.dtype}, peak {si(peak)} "
        f"multiply-accumulates/s",
    ]
    for role in ("activation", "weight", "output"):
        chain = (*machine.chain(role), machine.compute_name)
        lines.append(f"  {role}s: {' -> '.join(chain[::-1] if role == 'output' else chain)}")
    said = {
        "energy": source_text(machine),
        "area": area_text(machine),
        "source": machine.source,
        "assumptions": machine.assumptions,
        "fidelity": machine.fidelity,
    }
    lines += [_wrapped(f"  {what}: {text}", 2) for what, text in said.items() if text]
    for name, part in machine.parts.items():
        lines.append(f"  {name} ({part.kind})")
        unused = {
            spec.name
            for spec in dataclasses.fields(part)
            if spec.default in UNUSED and getattr(part, spec.name) == spec.default
        }
        lines += [
            _wrapped(f"    {field}: {_value(field, value)}", 2)
            for field, value in fields_of(part)
            if value is not None and field not in unused
        ]
    return "\n".join(lines)


def show_system(system: System) -> str:
    """Its chips, links and protocols."""
    from hwsim.chips.split import chips_text

    lines = [
        f"{system.name}: {system.description}",
        f"  chips: {chips_text(system)} {system.chip}, {system.topology}",
        f"  link: {system.link.bandwidth} one way, {system.link.latency} a hop",
        f"  algorithms: {', '.join(system.algorithms) or 'all that there are'}",
    ]
    lines += [
        f"  {name}: {way.start} a call, {way.step} a round, {way.share:.0%} of a link"
        for name, way in system.protocols
    ]
    for what, text in (("source", system.source), ("assumptions", system.assumptions)):
        if text:
            lines += textwrap.wrap(
                f"{what}: {text}", WIDTH, initial_indent="  ", subsequent_indent="    "
            )
    return "\n".join(lines)


def area_text(machine: Machine) -> str:
    """mm2 by part, and what is not in them."""
    from hwsim.area.account import area_of

    area = area_of(machine)
    parts = ", ".join(f"{name} {mm2:.3g}" for name, mm2 in area.parts.items())
    return (
        f"{area.total:.3g} mm2 at {area.node_nm:g} nm of arithmetic and memories ({parts}); "
        f"control, networks and interfaces are not in it"
    )


def _value(field: str, value: Any) -> str:
    if isinstance(value, (Bandwidth, Duration)):
        return str(value)
    if field in ("capacity", "line", "vector", "shared_per_block"):
        return size_text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{key} {number:g}" for key, number in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def show_workload(workload: Workload) -> str:
    """Layers with their shapes and multiply-accumulates; those alike of one name together."""
    alike: dict[tuple[str, str], int] = {}
    macs: dict[tuple[str, str], int] = {}
    for name, layer in workload.layers.items():
        key = (re.sub(r" \(\d+\)$", "", name), layer.summary)
        alike[key] = alike.get(key, 0) + 1
        macs[key] = macs.get(key, 0) + layer.macs
    rows = [
        [f"{name} x{alike[name, shape]}" if alike[name, shape] > 1 else name, f"{number:,}", shape]
        for (name, shape), number in macs.items()
    ]
    rows.append(["total", f"{workload.macs:,}", ""])
    convolutions = sum(
        isinstance(layer, (ConvLayer, ConvTransposeLayer)) for layer in workload.layers.values()
    )
    notes = [line for note in workload.notes for line in textwrap.wrap(note, WIDTH)]
    products = (
        f"{convolutions} convolutions with {workload.conv_macs:,} multiply-accumulates"
        if convolutions
        else f"{len(workload.layers)} layers"
    )
    return "\n".join(
        [
            *textwrap.wrap(f"{workload.name}: {workload.source}", WIDTH),
            *notes,
            products,
            "",
            text_table(["layer", "MACs", "shape"], rows, left=1, wrapped=LAST),
        ]
    )


def show_algorithm(algorithm: Algorithm) -> str:
    """What it is; for Winograd also the transforms of a 3-tap filter.

    They are shown as matrices and as they are computed.
    """
    text = (
        f"{textwrap.fill(f'{algorithm.name}: {algorithm.summary}', WIDTH)}\n{_document(algorithm)}"
    )
    return (
        "\n".join(
            [
                text,
                *(
                    _transforms(m, algorithm.points)
                    for m in dict.fromkeys((algorithm.m, algorithm.n))
                ),
            ]
        )
        if isinstance(algorithm, Winograd)
        else text
    )


def _transforms(m: int, points: tuple[Fraction, ...]) -> str:
    exact = transforms(m, TAPS, points)
    lines = [
        "",
        f"F({m}, {TAPS}), from the points {', '.join(map(str, points[: m + TAPS - 2]))} and "
        f"infinity:",
    ]
    for label, matrix, inputs, outputs in (
        ("A^T", exact.a_t, "m", "y"),
        ("G", exact.g, "g", "u"),
        ("B^T", exact.b_t, "d", "v"),
    ):
        program = program_of(matrix)
        cost = program.operations
        counts = (
            f"{cost.additions} additions, {cost.constant_multiplies} constants, {cost.shifts} "
            f"shifts"
        )
        lines += [
            f"{label} =",
            _matrix(matrix),
            f"  {counts}; {cost.vector_operations} operations with fused multiply-adds:",
            *textwrap.wrap(
                "; ".join(program.text(inputs, outputs)),
                WIDTH,
                initial_indent="    ",
                subsequent_indent="    ",
            ),
        ]
    return "\n".join(lines)


def _matrix(rows: tuple[tuple[Fraction, ...], ...]) -> str:
    wide = max(len(str(value)) for row in rows for value in row)
    return "\n".join("  [" + "  ".join(f"{value!s:>{wide}}" for value in row) + "]" for row in rows)


def _document(plugin: object) -> str:
    """The docstrings of a plug-in's file and class."""
    import inspect
    import sys

    module = sys.modules[type(plugin).__module__]
    documents = (module.__doc__, type(plugin).__doc__)
    text = "\n\n".join(inspect.cleandoc(document or "") for document in documents)
    return "\n\n".join(_reflowed(paragraph) for paragraph in text.split("\n\n") if paragraph)


def _wrapped(line: str, further: int = 4) -> str:
    """A line that is too long, its rest so much further in than itself."""
    if len(line) <= WIDTH:
        return line
    indent = len(line) - len(line.lstrip())
    return textwrap.fill(line, WIDTH, subsequent_indent=" " * (indent + further))


def _reflowed(paragraph: str) -> str:
    """Prose at the terminal's width; loops and formulas, which are indented, as they are."""
    lines = paragraph.splitlines()
    if any(line.startswith(" ") for line in lines):
        return "\n".join(_wrapped(line) for line in lines)
    return textwrap.fill(" ".join(lines), WIDTH)

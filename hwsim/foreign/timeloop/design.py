"""A problem, an architecture and a mapping of Timeloop's together: a nest, its counts, cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

from hwsim.count import closed_form
from hwsim.errors import HwsimError
from hwsim.foreign.timeloop import counts as timeloop
from hwsim.foreign.timeloop.architecture import Level, levels
from hwsim.foreign.timeloop.mapping import mapping
from hwsim.foreign.timeloop.nests import nest_of
from hwsim.foreign.timeloop.problem import problem
from hwsim.foreign.timeloop.reading import File
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Nest

SECTIONS = ("problem", "architecture", "mapping")
PASSED_OVER = (
    "mapper",
    "architecture_constraints",
    "mapspace_constraints",
    "mapspace",
    "variables",
    "globals",
    "components",
    "compound_components",
    "version",
    "ERT",
    "ART",
)


@dataclass(frozen=True)
class Design:
    """What the files say. passed_over: sections that change no count of a mapping."""

    levels: tuple[Level, ...]
    nest: Nest
    passed_over: tuple[str, ...] = ()

    @property
    def memories(self) -> tuple[Level, ...]:
        return tuple(level for level in self.levels[:-1] if not level.passes)

    @cached_property
    def theirs(self) -> Mapping[tuple[str, str], timeloop.Level]:
        """Counts in Timeloop's convention, of one instance."""
        return timeloop.count(self.nest)

    @cached_property
    def exact(self) -> NestCounts:
        """Counts of what moves, all instances together."""
        return closed_form.count(self.nest)

    @property
    def cycles(self) -> int:
        """The longest of multiplying and of every level's words at its bandwidth."""
        rates = {level.name: (level.read, level.write) for level in self.memories}
        return timeloop.cycles(self.nest, rates)

    @property
    def utilization(self) -> float:
        return self.nest.stage.iterations / (self.cycles * self.levels[-1].instances)


def load_design(paths: Sequence[Path]) -> Design:
    """The design of files that have a problem, an architecture and a mapping among them.

    Raises HwsimError (ConfigError) for what is missing, faulty, or cannot be said in hwsim.
    """
    homes: dict[str, File] = {}
    passed_over = []
    for path in paths:
        file = File(path)
        if not isinstance(file.values, dict):
            file.fail("", f"expected a mapping with one of {', '.join(SECTIONS)}")
        for key in file.values:
            if key in SECTIONS:
                if key in homes:
                    file.fail(key, f"a second {key}; expected one")
                homes[key] = file
            elif key in PASSED_OVER:
                passed_over.append(key)
            else:
                file.fail(key, f"is not read; expected {', '.join(SECTIONS)}")
    missing = [key for key in SECTIONS if key not in homes]
    if missing:
        raise HwsimError(f"no {' and no '.join(missing)} in {', '.join(map(str, paths))}")
    row: dict[str, Any] = problem(homes["problem"])
    found = levels(homes["architecture"])
    spaces = [space["name"] for space in row["shape"]["dataspaces"]]
    row["levels_outer_to_inner"] = [{"name": level.name} for level in found[:-1]]
    row.update(mapping(homes["mapping"], found[:-1], row["dims"], spaces))
    _check_meshes(homes["mapping"], found, row["mapping"])
    design = Design(tuple(found), nest_of(row), tuple(passed_over))
    _check_room(homes["mapping"], design)
    return design


def _check_meshes(file: File, found: Sequence[Level], blocks: Sequence[Mapping[str, Any]]) -> None:
    """Neighbours at a level are at most what fans out behind it."""
    for level, inner in pairwise(found):
        wide = prod(
            bound
            for block in blocks
            if block["level"] == level.name and block["type"] == "spatial"
            for _, bound in block["loops"]
        )
        fan = inner.instances // max(1, level.instances)
        if wide > fan:
            file.fail(
                "mapping", f"{wide} neighbours at {level.name}; expected at most {fan} {inner.name}"
            )


def _check_room(file: File, design: Design) -> None:
    """What a level keeps must fit it."""
    for level in design.memories:
        held = sum(own.tile_size for (name, _), own in design.theirs.items() if name == level.name)
        if level.words is not None and held > level.words:
            file.fail(
                "mapping",
                f"{level.name} would hold {held} words; it has {level.words}, {held - level.words} "
                f"too few",
            )

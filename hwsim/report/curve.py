"""DRAM traffic by the size of a memory: as text of 80 columns, and as plain data."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final, Protocol

from hwsim.describe.units import size_text
from hwsim.report.text_table import LAST, WIDTH, text_table
from hwsim.results.schemas import CurveDocument

SCHEMA: Final = "hwsim.curve/1"
BAR = 40  # characters of the longest


class Size(Protocol):
    """A point of a curve (hwsim.choose.curves.Point)."""

    @property
    def capacity(self) -> int: ...

    @property
    def dram_bytes(self) -> int | None: ...

    @property
    def gap(self) -> float: ...

    @property
    def proven(self) -> bool: ...


def curve_text(layer: str, machine: str, memory: str, own: int, points: Sequence[Size]) -> str:
    """The least DRAM traffic by the size of a memory, with bars; own: the machine's size."""
    most = max(point.dram_bytes or 0 for point in points)
    rows = []
    for point in points:
        size = size_text(point.capacity) + (" *" if point.capacity == own else "")
        if point.dram_bytes is None:
            rows.append([size, "-", "", "nothing fits"])
            continue
        bar = "#" * max(1, round(BAR * point.dram_bytes / most))
        gap = "" if point.proven else f"{point.gap:.1%}"
        rows.append([size, size_text(point.dram_bytes), gap, bar])
    title = f"{layer} on {machine}: the least DRAM traffic by the size of {memory}"
    table = text_table([memory, "DRAM", "gap", ""], rows, left=1, wrapped=LAST)
    said = ["", "* the machine's own"]
    if len({point.dram_bytes for point in points}) == 1:
        said.append(f"{memory}'s size changes nothing here.")
    return "\n".join([*textwrap.wrap(title, WIDTH), "", table, *said])


def curve_document(layer: str, machine: str, memory: str, points: Sequence[Size]) -> CurveDocument:
    """The same as plain data (docs/json.md)."""
    return {
        "schema": SCHEMA,
        "layer": layer,
        "machine": machine,
        "memory": memory,
        "points": [
            {"capacity": point.capacity, "dram_bytes": point.dram_bytes, "gap": point.gap}
            for point in points
        ],
    }

"""What caches did with the lines of every array, as text."""

from __future__ import annotations

import textwrap

from hwsim.errors import HwsimError
from hwsim.report.text_table import WIDTH, text_table
from hwsim.results.result import CacheLines, Lines, Result

HEAD = ["level", "array", "look-ups", "misses", "cold", "capacity", "conflict", "written back"]
KINDS = (
    "cold: the cache was never asked for the line. capacity: an LRU cache of the same size, in "
    "which a line may lie anywhere, had lost it too. conflict: that one had it. A core's own "
    "caches are added up over all cores, and stages follow each other with warm caches. Of a TLB, "
    "lines are pages, and every stage finds it empty."
)


def misses_text(result: Result) -> str:
    """Lines of every stage by cache and array; at most 80 columns wide.

    Raises HwsimError where no cache was simulated line by line.
    """
    tables = [
        f"{layer.name}: {stage.name}, lines\n\n{_table(stage.lines)}"
        for layer in result.layers
        for stage in layer.online
        if stage.lines
    ]
    if not tables:
        raise HwsimError(
            f"{result.machine} has no caches that were simulated line by line; expected a CPU "
            f"or a GPU for --misses"
        )
    return "\n" + "\n\n".join([*tables, textwrap.fill(KINDS, WIDTH)])


def _table(levels: CacheLines) -> str:
    rows = []
    for level, arrays in levels.items():
        rows += [[level, name, *_cells(lines)] for name, lines in arrays.items()]
        if len(arrays) > 1:
            first, *others = arrays.values()
            rows.append([level, "all", *_cells(sum(others, first))])
    return text_table(HEAD, rows)


def _cells(lines: Lines) -> list[str]:
    counts = (
        lines.reads + lines.writes,
        lines.misses,
        lines.cold,
        lines.capacity,
        lines.conflict,
        lines.written_back,
    )
    return ["-" if count is None else f"{count:,}" for count in counts]

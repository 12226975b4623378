"""What moved between two files of results, as text of 80 columns."""

from __future__ import annotations

from hwsim.describe.units import seconds_text, si, size_text
from hwsim.report.tables import energy_text
from hwsim.report.text_table import text_table
from hwsim.results.diff import Difference, Moved

HEAD = ["", "what", "before", "after", "change"]
MOST = 40  # numbers of a run's layers


def difference_text(found: Difference) -> str:
    """A table for every run that moved, its whole first; what stands in one file alone last."""
    parts = []
    for run in found.runs:
        own = [each for each in found.moved if each.run == run]
        if not own:
            parts.append(f"{run}: nothing moved")
            continue
        whole = [each for each in own if not each.layer]
        layers = sorted((each for each in own if each.layer), key=lambda each: -abs(each.share))
        rows = [_row(each) for each in [*whole, *layers[:MOST]]]
        parts.append(f"{run}\n\n{text_table(HEAD, rows)}")
        if len(layers) > MOST:
            parts.append(f"and {len(layers) - MOST} more numbers of layers, see --json")
    return "\n\n".join([*parts, *(["\n".join(found.alone)] if found.alone else [])])


def _row(each: Moved) -> list[str]:
    change = f"{each.share:+.1%}" if each.before else "new"
    return [
        each.layer or "whole",
        each.what,
        _text(each.what, each.before),
        _text(each.what, each.after),
        change,
    ]


def _text(what: str, value: float) -> str:
    if what == "time":
        return seconds_text(value)
    if what == "energy":
        return energy_text(value * 1e12)
    if what == "DRAM" or what.startswith("footprint"):
        return size_text(round(value))
    return si(value)

"""Charts as plain SVG: readable without a script, coloured by the stylesheet, light or dark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import log
from typing import Protocol

WIDE, LABEL, VALUE = 720, 190, 70  # of the picture, of the labels left, of the numbers right
BAR, GAP, TOP, CHARACTER = 16, 10, 30, 7.8
SERIES = 6  # colours in the stylesheet


class Barred(Protocol):
    """Bars as hwsim.teach.content states them."""

    @property
    def title(self) -> str: ...
    @property
    def labels(self) -> Sequence[str]: ...
    @property
    def values(self) -> Mapping[str, Sequence[float | None]]: ...
    @property
    def unit(self) -> str: ...
    @property
    def base(self) -> float | None: ...
    @property
    def log(self) -> bool: ...


def lengths(block: Barred) -> Callable[[float], float]:
    """From a value to its bar's share of the longest; by the logarithm, a tenth is the least."""
    drawn = [value for row in block.values.values() for value in row if value]
    most = max([*drawn, block.base or 0.0], default=1.0) or 1.0
    if not block.log:
        return lambda value: value / most
    least = min(drawn)
    return lambda value: 0.1 + 0.9 * (log(value / least) / log(most / least) if most > least else 1)


def bars(block: Barred) -> str:
    """Horizontal bars, a group for each label, a colour for each series."""
    share, room = lengths(block), WIDE - LABEL - VALUE
    parts, y = [], TOP + 20 * (len(block.values) > 1)
    top = y
    for number, label in enumerate(block.labels):
        drawn = [
            (place, values[number])
            for place, values in enumerate(block.values.values())
            if values[number] is not None
        ]
        middle = y + BAR * max(1, len(drawn)) / 2 + 5
        parts.append(f'<text x="{LABEL - 8}" y="{middle:g}" class="end">{escape(label)}</text>')
        for place, value in drawn:
            assert value is not None
            wide = max(1.0, share(value) * room)
            size = f'width="{wide:.1f}" height="{BAR - 2}"'
            at = f'x="{LABEL + wide + 5:.1f}" y="{y + 12}"'
            parts.append(f'<rect x="{LABEL}" y="{y}" {size} class="s{place}"/>')
            parts.append(f'<text {at} class="value">{number_text(value)}</text>')
            y += BAR
        y += GAP
    if block.base is not None:
        x = LABEL + share(block.base) * room
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 6}" y2="{y - 4}" class="base"/>')
    title = title_text(block)
    return (
        f'<svg viewBox="0 0 {WIDE} {y}" role="img" aria-label="{escape(_spoken(block))}">'
        f'<text x="0" y="16" class="title">{escape(title)}</text>'
        f"{_legend(list(block.values)) if len(block.values) > 1 else ''}{''.join(parts)}</svg>"
    )


def title_text(block: Barred) -> str:
    """The title with the unit, and whether lengths go by the logarithm."""
    unit = ", ".join([block.unit] * bool(block.unit) + ["logarithmic"] * block.log)
    return f"{block.title} ({unit})" if unit else block.title


def _legend(names: Sequence[str]) -> str:
    parts, x = [], float(LABEL)
    for place, name in enumerate(names):
        parts.append(f'<rect x="{x:.0f}" y="27" width="12" height="12" class="s{place}"/>')
        parts.append(f'<text x="{x + 17:.0f}" y="38">{escape(name)}</text>')
        x += 34 + CHARACTER * len(name)
    return "".join(parts)


def _spoken(block: Barred) -> str:
    """The chart in words, for those who hear it."""
    words = [
        f"{label}, {series}: {number_text(values[number] or 0)}"
        for number, label in enumerate(block.labels)
        for series, values in block.values.items()
        if values[number] is not None
    ]
    return f"{block.title}, {block.unit}. {'; '.join(words)}"


def number_text(value: float) -> str:
    """A number of three digits, or whole where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

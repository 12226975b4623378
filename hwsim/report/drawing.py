"""Charts as plain SVG: readable without a script, coloured by the stylesheet, light or dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Protocol

WIDE, LABEL, VALUE = 720, 190, 70  # of the picture, of the labels left, of the numbers right
BAR, GAP, TOP, CHARACTER = 16, 10, 30, 6.6
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


def bars(block: Barred) -> str:
    """Horizontal bars, a group for each label, a colour for each series."""
    most = max((value for row in block.values.values() for value in row if value), default=1.0)
    most = max(most, block.base or 0.0)
    scale = (WIDE - LABEL - VALUE) / most
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
            wide = max(1.0, value * scale)
            parts.append(
                f'<rect x="{LABEL}" y="{y}" width="{wide:.1f}" height="{BAR - 2}" class="s{place}"/>'
                f'<text x="{LABEL + wide + 5:.1f}" y="{y + 12}" class="value">{number_text(value)}</text>'
            )
            y += BAR
        y += GAP
    if block.base is not None:
        x = LABEL + block.base * scale
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 6}" y2="{y - 4}" class="base"/>')
    title = block.title + (f" ({block.unit})" if block.unit else "")
    return (
        f'<svg viewBox="0 0 {WIDE} {y}" role="img" aria-label="{escape(_spoken(block))}">'
        f'<text x="0" y="16" class="title">{escape(title)}</text>'
        f"{_legend(list(block.values)) if len(block.values) > 1 else ''}{''.join(parts)}</svg>"
    )


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

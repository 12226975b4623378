"""Charts of HTML and CSS: readable without a script, coloured by the stylesheet, at any width."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import log
from typing import Protocol


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
    drawn += [block.base] if block.base else []
    most, least = max(drawn, default=1.0), min(drawn, default=1.0)
    if not block.log:
        return lambda value: value / most
    return lambda value: 0.1 + 0.9 * (log(value / least) / log(most / least) if most > least else 1)


def bars(block: Barred) -> str:
    """Horizontal bars, a group for each label, a colour for each series."""
    share = lengths(block)
    rows = "".join(_group(block, number, share) for number in range(len(block.labels)))
    return (
        f'<p class="title">{escape(title_text(block))}</p>'
        f"{_legend(list(block.values)) if len(block.values) > 1 else ''}"
        f'<div class="bars">{rows}</div>'
    )


def _group(block: Barred, number: int, share: Callable[[float], float]) -> str:
    """One label and its bars."""
    base = ""
    if block.base is not None:
        base = f'<i class="base" style="left:calc((100% - 4.5em) * {share(block.base):.4f})"></i>'
    drawn = "".join(
        f'<div><b class="b{place}" style="width:calc((100% - 4.5em) * {share(value):.4f})"></b>'
        f"<span>{number_text(value)}</span></div>"
        for place, values in enumerate(block.values.values())
        if (value := values[number]) is not None
    )
    name = f'<div class="name">{escape(block.labels[number])}</div>'
    return f'{name}<div class="own">{base}{drawn}</div>'


def _legend(names: Sequence[str]) -> str:
    parts = (
        f'<span><i class="b{place}"></i>{escape(name)}</span>' for place, name in enumerate(names)
    )
    return f'<div class="key">{"".join(parts)}</div>'


def title_text(block: Barred) -> str:
    """The title with the unit, and whether lengths go by the logarithm."""
    unit = ", ".join([block.unit] * bool(block.unit) + ["logarithmic"] * block.log)
    return f"{block.title} ({unit})" if unit else block.title


def number_text(value: float) -> str:
    """A number of three digits, or whole where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

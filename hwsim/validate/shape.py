"""Is a user's data file of the same shape as the reference file it stands in for?

What a number may be is read off the reference: whole or not, negative or zero where some row of it
is, and finite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hwsim.errors import HwsimError, shortened

TIMES_LARGER = 1000  # than the largest number of the reference, at a place
LEAST_LIMIT = 10**6
Path = tuple[str, ...]


@dataclass
class Range:
    """The numbers at one place of the reference."""

    whole: bool = True
    least: float = math.inf
    most: float = -math.inf

    def add(self, value: float) -> None:
        self.whole = self.whole and isinstance(value, int)
        self.least, self.most = min(self.least, value), max(self.most, value)

    def refuses(self, value: Any) -> str | None:
        """What was expected instead of a value, or None for one that will do."""
        kind = "a whole number" if self.whole else "a number"
        limit = max(self.most * TIMES_LARGER, LEAST_LIMIT)
        expected = f"{kind}{self._least}, up to {limit:g}"
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or (self.whole and not isinstance(value, int))
        ):
            return expected
        if isinstance(value, float) and not math.isfinite(value):
            return expected
        low = value < 0 if self.least >= 0 else False
        return expected if low or (value == 0 and self.least > 0) or abs(value) > limit else None

    @property
    def _least(self) -> str:
        if self.least < 0:
            return ""
        if self.least == 0:
            return " of at least 0"
        return " of at least 1" if self.whole else " above 0"


def check_like(content: Any, reference: Any) -> None:
    """Raises HwsimError naming the first number that the reference could not have.

    It names its row and field.
    """
    ranges: dict[Path, Range] = {}
    if (
        isinstance(content, list)
        and isinstance(reference, dict)
        and isinstance(reference.get("rows"), list)
    ):
        reference = reference["rows"]
    _collect(reference, (), ranges)
    _check(content, (), "", ranges)


def _parts(value: Any) -> list[tuple[str, str, Any]]:
    """(place in general, place in words, part) of a mapping or list.

    Rows of a list are alike, columns of a row are not.
    """
    if isinstance(value, dict):
        return [(str(key), f".{shortened(str(key))}", part) for key, part in value.items()]
    if isinstance(value, list):
        rows = any(isinstance(part, (dict, list)) for part in value)
        return [
            ("*" if rows else str(number), f"[{number}]", part) for number, part in enumerate(value)
        ]
    return []


def _collect(value: Any, place: Path, ranges: dict[Path, Range]) -> None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        ranges.setdefault(place, Range()).add(value)
    for general, _, part in _parts(value):
        _collect(part, (*place, general), ranges)


def _check(value: Any, place: Path, words: str, ranges: dict[Path, Range]) -> None:
    found = ranges.get(place)
    expected = found.refuses(value) if found is not None else None
    if expected is None and isinstance(value, float) and not math.isfinite(value):
        expected = "a finite number"
    if expected is not None and not (
        isinstance(value, str) and found is not None and not found.whole
    ):
        raise HwsimError(f"{words.lstrip('.')}: {shortened(repr(value))}; expected {expected}")
    for general, own, part in _parts(value):
        _check(part, (*place, general), words + own, ranges)

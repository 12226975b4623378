"""Axes of a sweep: a name, and the values that it takes one after another.

[8, 16, 32]                       a list
linspace(1 GB/s, 16 GB/s, 4)      equal steps, both ends among them
logspace(1 GB/s, 16 GB/s, 5)      equal ratios
range(8, 64, 8)                   whole numbers, the end among them where a step meets it
powers(16 KiB, 1 MiB)             from one end to the other, each twice the one before
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hwsim.describe.units import BYTES
from hwsim.errors import HwsimError, nearest, shortened

MOST_VALUES = 100_000
OF_RUNS = ("machine", "workload", "batch", "input", "context", "dtype", "algorithm", "dataflow")
WHOLE = ("batch", "context")  # whole numbers of at least one
_CALL = re.compile(r"\s*(\w+)\s*\((.*)\)\s*", re.DOTALL)
_NUMBER = re.compile(r"\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*(.*?)\s*")


@dataclass(frozen=True)
class Axis:
    """What changes along an axis, and its values.

    names: places in a machine's file, joined by dots, or words of OF_RUNS; several change together.
    values: as a file would have them.
    """

    names: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def title(self) -> str:
        return ", ".join(self.names)


def axis(title: str, values: Sequence[str] | str) -> Axis:
    """An axis as written. Raises HwsimError for values that make no axis."""
    names = tuple(name.strip() for name in title.split(","))
    for name in names:
        if not name or name.startswith(".") or name.endswith(".") or ".." in name:
            raise HwsimError(
                f"axis {shortened(repr(title))}: expected a place such as parts.dram.bandwidth, or "
                f"one of {', '.join(OF_RUNS)}"
            )
        if "." not in name and name not in (*OF_RUNS, "clock", "start"):
            raise HwsimError(
                f"no axis {shortened(repr(name))}{nearest(name, OF_RUNS)}; expected one of "
                f"{', '.join(OF_RUNS)}, or a place in the machine's file such as "
                f"parts.dram.bandwidth"
            )
    found = values_of(values) if isinstance(values, str) else tuple(values)
    if not found:
        raise HwsimError(f"axis {title}: no values; expected at least one")
    if len(set(found)) < len(found):
        twice = next(value for value in found if found.count(value) > 1)
        raise HwsimError(f"axis {title}: {twice} twice; expected every value once")
    for value in found if set(names) & set(WHOLE) else ():
        if not (value.isascii() and value.isdecimal() and int(value) > 0):
            raise HwsimError(f"axis {title}: {value}; expected whole numbers of at least 1")
    return Axis(names, found)


def values_of(text: str) -> tuple[str, ...]:
    """What a function such as logspace(1 GB/s, 16 GB/s, 5) makes.

    Raises HwsimError for what is none.
    """
    call = _CALL.fullmatch(text)
    form = "expected a list, or one of linspace, logspace, range, powers with its ends in brackets"
    if call is None:
        raise HwsimError(f"{shortened(repr(text))}; {form}")
    name, arguments = call[1], [part.strip() for part in call[2].split(",")]
    if name not in FUNCTIONS:
        raise HwsimError(f"no function {name!r}{nearest(name, FUNCTIONS)}; {form}")
    made, count = FUNCTIONS[name]
    if len(arguments) != count:
        raise HwsimError(f"{text.strip()}: {len(arguments)} arguments; expected {count}")
    return made(*arguments)


def _linspace(first: str, last: str, number: str) -> tuple[str, ...]:
    (low, high), unit, points = _ends(first, last), _unit(first, last), _points(number)
    return _written([low + (high - low) * i / max(points - 1, 1) for i in range(points)], unit)


def _logspace(first: str, last: str, number: str) -> tuple[str, ...]:
    (low, high), unit, points = _ends(first, last), _unit(first, last), _points(number)
    if min(low, high) <= 0:
        raise HwsimError(f"logspace from {first} to {last}; expected ends above 0")
    ratio = high / low
    return _written([low * ratio ** (i / max(points - 1, 1)) for i in range(points)], unit)


def _range(first: str, last: str, step: str) -> tuple[str, ...]:
    (low, high), unit = _ends(first, last), _unit(first, last)
    by = _ends(step, step)[0]
    if by <= 0 or high < low or (high - low) / by > MOST_VALUES:
        raise HwsimError(
            f"range from {first} to {last} by {step}; expected a step above 0 and at most "
            f"{MOST_VALUES} values"
        )
    return _written([low + by * i for i in range(int((high - low) / by + 1e-9) + 1)], unit)


def _powers(first: str, last: str) -> tuple[str, ...]:
    """Ends may have units of their own: a power of two is the same in KiB and MiB."""
    (low, unit), (high, other) = _split(first), _split(last)
    if unit != other:
        if unit not in BYTES or other not in BYTES:
            raise HwsimError(f"powers from {first} to {last}; expected ends of one unit")
        high *= BYTES[other] / BYTES[unit]
    if not 0 < low <= high:
        raise HwsimError(f"powers from {first} to {last}; expected ends above 0, the less first")
    found = [low]
    while found[-1] * 2 <= high * (1 + 1e-9) and len(found) < MOST_VALUES:
        found.append(found[-1] * 2)
    return _written(found, unit)


FUNCTIONS: dict[str, tuple[Callable[..., tuple[str, ...]], int]] = {
    "linspace": (_linspace, 3),
    "logspace": (_logspace, 3),
    "range": (_range, 3),
    "powers": (_powers, 2),
}


def _split(text: str) -> tuple[float, str]:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise HwsimError(f"{shortened(repr(text))}; expected a number, with its unit if it has one")
    return float(match[1]), match[2]


def _ends(first: str, last: str) -> tuple[float, float]:
    return _split(first)[0], _split(last)[0]


def _unit(first: str, last: str) -> str:
    units = {_split(first)[1], _split(last)[1]}
    if len(units) > 1:
        raise HwsimError(f"from {first} to {last}; expected ends of one unit")
    return units.pop()


def _points(number: str) -> int:
    if not (number.isascii() and number.isdecimal() and 1 <= int(number) <= MOST_VALUES):
        raise HwsimError(f"{number} values; expected 1 to {MOST_VALUES}")
    return int(number)


def _written(values: Sequence[float], unit: str) -> tuple[str, ...]:
    """Numbers as a file has them, whole ones without a point."""
    texts = [
        str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"
        for value in values
    ]
    return tuple(f"{text} {unit}".strip() for text in texts)

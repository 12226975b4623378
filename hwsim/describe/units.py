"""Quantities are text with a unit: '24 MiB', '34 GB/s', '700 MHz', '100 ns', '8 pJ/bit'.

Every parser takes the text and returns a number in the base unit named by its key in PARSERS, or
raises ValueError saying what was expected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hwsim.errors import shortened

_NUMBER = re.compile(
    r"\s*([-+]?(?:\d[\d_]*)(?:\.\d*)?(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf|infinity))\s*(.*?)\s*", re.I
)

BYTES = {
    "B": 1,
    "KB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "TB": 1e12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
HERTZ = {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9}
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12}
WATTS = {"W": 1.0, "mW": 1e-3, "kW": 1e3}
PICOJOULES = {"pJ": 1.0, "fJ": 1e-3, "nJ": 1e3}

DTYPE_BYTES: dict[str, float] = {
    "fp64": 8,
    "fp32": 4,
    "tf32": 4,
    "int32": 4,
    "fp16": 2,
    "bf16": 2,
    "int16": 2,
    "int8": 1,
    "fp8": 1,
    "int4": 0.5,
    # feature maps times narrower weights
    "int16x8": 2,
    "int8x4": 1,
    "fp16x4": 2,
}
WEIGHT_BYTES = {**DTYPE_BYTES, "int16x8": 1, "int8x4": 0.5, "fp16x4": 0.5}


def whole_bytes(size: float) -> int:
    """Bytes that words take which lie side by side: two of four bits share one."""
    return math.ceil(size)


def words_in(capacity: int, dtype: str) -> int:
    """Words of a data type that fit so many bytes."""
    return int(capacity // DTYPE_BYTES[dtype])


@dataclass(frozen=True)
class Bandwidth:
    """Bytes per second or bytes per cycle of the part's clock, as the source states it."""

    value: float
    per_cycle: bool

    def bytes_per_cycle(self, clock_hz: float) -> float:
        return self.value if self.per_cycle else self.value / clock_hz

    def __str__(self) -> str:
        return f"{self.value:g} B/cycle" if self.per_cycle else f"{self.value / 1e9:g} GB/s"


@dataclass(frozen=True)
class Duration:
    """Seconds or cycles, as the source states it."""

    value: float
    in_cycles: bool

    def halved(self) -> Duration:
        return Duration(self.value / 2, self.in_cycles)

    def cycles(self, clock_hz: float) -> float:
        return self.value if self.in_cycles else self.value * clock_hz

    def __str__(self) -> str:
        return f"{self.value:g} cycles" if self.in_cycles else f"{self.value * 1e9:g} ns"


LARGEST = {
    "size": 2**70,
    "rate": 1e21,
    "rate a cycle": 1e15,
    "frequency": 1e13,
    "time": 1e6,
    "cycles": 1e15,
    "energy": 1e15,
    "power": 1e9,
}
LEAST = {
    "size": 1,
    "rate": 1.0,
    "rate a cycle": 1e-6,
    "frequency": 1.0,
    "time": 1e-18,
    "cycles": 1e-6,
    "energy": 1e-12,
    "power": 1e-6,
}
SHOWN = {
    "size": ("1 B", "1 ZiB"),
    "rate": ("1 B/s", "1e9 TB/s"),
    "rate a cycle": ("1e-6 B/cycle", "1e15 B/cycle"),
    "frequency": ("1 Hz", "10000 GHz"),
    "time": ("1e-6 ps", "1e6 s"),
    "cycles": ("1e-6 cycles", "1e15 cycles"),
    "energy": ("1e-9 fJ", "1e12 nJ"),
    "power": ("0.001 mW", "1e6 kW"),
}


def _in_range(kind: str, value: float, text: Any, expected: str) -> float:
    if not LEAST[kind] <= value <= LARGEST[kind]:
        least, most = SHOWN[kind]
        raise ValueError(
            f"{shortened(repr(text))} is out of range; expected {expected}, from {least} to {most}"
        )
    return value


def _split(text: Any, expected: str) -> tuple[float, str]:
    match = _NUMBER.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f"{shortened(repr(text))} is not a number with a unit; expected {expected}"
        )
    value = float(match[1].replace("_", ""))
    if not math.isfinite(value):
        raise ValueError(f"{shortened(repr(text))} is not finite; expected {expected}")
    if value <= 0:
        raise ValueError(f"{shortened(repr(text))} is not positive; expected {expected}")
    return value, match[2]


def _scale(unit: str, table: dict[str, Any], text: Any, expected: str) -> float:
    if unit in table:
        return float(table[unit])
    folded = [known for known in table if known.lower() == unit.lower()]
    hint = f"; did you mean {folded[0]!r}?" if folded else ""
    if table is BYTES and unit.endswith("b") and f"{unit[:-1]}B" in table:
        hint = "; b is bits, of which B, a byte, has eight"
    raise ValueError(
        f"unknown unit {shortened(repr(unit))} in {shortened(repr(text))}; expected "
        f"{expected}{hint}"
    )


def parse_bytes(text: Any) -> int:
    expected = "a size such as '24 MiB' or '48 KiB'"
    value, unit = _split(text, expected)
    size = value * _scale(unit, BYTES, text, expected)
    if size <= LARGEST["size"] and size != int(size):
        raise ValueError(
            f"{shortened(repr(text))} is not a whole number of bytes; expected {expected}"
        )
    _in_range("size", size, text, expected)
    return int(size)


def parse_bandwidth(text: Any) -> Bandwidth:
    expected = "a rate such as '34 GB/s' or '64 B/cycle'"
    value, unit = _split(text, expected)
    size, slash, time = unit.partition("/")
    if not slash or time not in ("s", "cycle"):
        guess = (
            f"; did you mean '{value:g} {unit[:-1]}/s'?"
            if unit.endswith("s") and unit[:-1] in BYTES
            else ""
        )
        raise ValueError(
            f"unknown unit {shortened(repr(unit))} in {shortened(repr(text))}; expected "
            f"{expected}{guess}"
        )
    rate = value * _scale(size, BYTES, text, expected)
    return Bandwidth(
        _in_range("rate a cycle" if time == "cycle" else "rate", rate, text, expected),
        per_cycle=time == "cycle",
    )


def parse_frequency(text: Any) -> float:
    expected = "a frequency such as '700 MHz'"
    value, unit = _split(text, expected)
    return _in_range("frequency", value * _scale(unit, HERTZ, text, expected), text, expected)


def parse_duration(text: Any) -> Duration:
    expected = "a time such as '100 ns' or '40 cycles'"
    value, unit = _split(text, expected)
    if unit in ("cycle", "cycles"):
        return Duration(_in_range("cycles", value, text, expected), in_cycles=True)
    return Duration(
        _in_range("time", value * _scale(unit, SECONDS, text, expected), text, expected),
        in_cycles=False,
    )


def parse_energy(text: Any) -> float:
    """pJ per action."""
    expected = "an energy such as '1.3 pJ'"
    value, unit = _split(text, expected)
    return _in_range("energy", value * _scale(unit, PICOJOULES, text, expected), text, expected)


def parse_energy_per_byte(text: Any) -> float:
    """pJ per byte, from pJ/bit or pJ/B."""
    expected = "an energy such as '8 pJ/bit' or '64 pJ/B'"
    value, unit = _split(text, expected)
    energy, slash, size = unit.partition("/")
    if not slash or size not in ("bit", "B"):
        raise ValueError(
            f"unknown unit {shortened(repr(unit))} in {shortened(repr(text))}; expected {expected}"
        )
    whole = value * _scale(energy, PICOJOULES, text, expected) * (8 if size == "bit" else 1)
    return _in_range("energy", whole, text, expected)


def parse_power(text: Any) -> float:
    """Watts."""
    expected = "a power such as '700 W'"
    value, unit = _split(text, expected)
    return _in_range("power", value * _scale(unit, WATTS, text, expected), text, expected)


PARSERS: dict[str, Callable[[Any], Any]] = {
    "bytes": parse_bytes,
    "bandwidth": parse_bandwidth,
    "frequency_hz": parse_frequency,
    "duration": parse_duration,
    "energy_pj": parse_energy,
    "energy_pj_per_byte": parse_energy_per_byte,
    "power_w": parse_power,
}


def si(value: float, unit: str = "") -> str:
    """A short figure for people: 15346630656 -> '15.3 G'."""
    for scale, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= scale:
            return (
                f"{value / scale:.3g} {prefix}{unit}"
                if abs(value) < 999.5 * scale
                else f"{value / scale:.0f} {prefix}{unit}"
            )
    return f"{value:.3g} {unit}".rstrip()


def size_text(count: float) -> str:
    """Bytes for people, in binary units: 25165824 -> '24 MiB'."""
    for scale, prefix in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= scale:
            return (
                f"{count / scale:.3g} {prefix}"
                if count < 999.5 * scale
                else f"{count / scale:.0f} {prefix}"
            )
    return f"{count:.0f} B"


def seconds_text(seconds: float) -> str:
    """Seconds for people: 0.00123 -> '1.23 ms'."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return (
                f"{seconds / scale:.3g} {unit}"
                if seconds < 999.5 * scale
                else f"{seconds / scale:.0f} {unit}"
            )
    return f"{seconds * 1e9:.3g} ns"

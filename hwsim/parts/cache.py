"""An implicit memory: a set-associative LRU cache that sees line addresses and decides by
itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from hwsim.describe.machine import PARTS, Memory
from hwsim.describe.reading import count, quantity
from hwsim.describe.units import Bandwidth, Duration, size_text

LARGEST = 4 * 2**30


@PARTS.register("cache")
@dataclass(frozen=True)
class Cache(Memory):
    """Write-allocate, write-back, LRU. `per: core` gives every core its own; bandwidth is per
    instance.

    write_fetch: a write miss fetches the rest of its line (false where whole sectors are written).
    """

    kind: ClassVar[str] = "cache"
    management = "implicit"
    line: int = quantity("bytes")
    ways: int = count()
    bandwidth: Bandwidth = quantity("bandwidth")
    latency: Duration = quantity("duration")
    per: Literal["core", "chip"] = "core"
    write_fetch: bool = True
    energy: float | None = quantity("energy_pj_per_byte", default=None)

    @property
    def sets(self) -> int:
        return self.capacity // (self.line * self.ways)

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.line & (self.line - 1):
            yield "line", f"a line of {self.line} bytes; expected a power of two"
        elif self.capacity > LARGEST:
            yield (
                "capacity",
                f"{size_text(self.capacity)}; expected at most {size_text(LARGEST)}, as every "
                f"line is simulated",
            )
        elif self.capacity % self.line:
            yield (
                "line",
                f"a line of {self.line} bytes does not divide the capacity of {self.capacity}; "
                f"expected a divisor",
            )
        elif self.ways > self.capacity // self.line:
            yield (
                "ways",
                f"{self.ways} ways, but only {self.capacity // self.line} lines; expected at most "
                f"that",
            )
        elif self.capacity % (self.line * self.ways):
            yield (
                "ways",
                f"{self.ways} ways do not divide {self.capacity // self.line} lines; expected a "
                f"divisor",
            )

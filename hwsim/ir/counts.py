"""What is counted of a nest: words in and out of every level, for every tensor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Traffic:
    """Words of one tensor at one level, summed over the level's instances.

    peak: the most in one instance.

    fills: arriving from outside. serves: read to feed the inside, a shared read counted once.
    updates: arriving from inside, reduced on the way where the wires add. drains: read to be
    written back outside.
    """

    fills: int = 0
    serves: int = 0
    updates: int = 0
    drains: int = 0
    peak: int = 0

    @property
    def reads(self) -> int:
        return self.serves + self.drains

    @property
    def writes(self) -> int:
        return self.fills + self.updates


@dataclass(frozen=True)
class NestCounts:
    """Traffic by (level, tensor).

    The multipliers' own demand is in the innermost level's serves and updates.
    """

    traffic: dict[tuple[str, str], Traffic]
    instances: dict[str, int]

    def of(self, level: str, tensor: str) -> Traffic:
        return self.traffic.get((level, tensor), Traffic())

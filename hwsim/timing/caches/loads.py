"""Programs that state every load and store: loops around accesses at affine addresses.

    for i:                       Around(depth 2): load C[i][j]
      for j:                     Around(depth 3): load A[i][k], load B[k][j]
        load C[i][j]             Around(depth 2, after): store C[i][j]
        for k:
          load A[i][k]; load B[k][j]
        store C[i][j]

Plain data; hwsim.timing.caches.programs runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LOAD, STORE = 0, 1


@dataclass(frozen=True)
class Level:
    """A cache: bytes, ways, bytes of a line, and which line leaves a full set.

    The last is a name of hwsim.describe.policies. A write is treated like a read.
    """

    size: int
    ways: int
    line: int
    policy: str = "lru"

    @property
    def sets(self) -> int:
        return self.size // self.line // self.ways


@dataclass(frozen=True)
class Range:
    """for name in range(bound).

    With `tile` it goes in steps of that; with `of`, from the value of that loop on, up to its step
    or the bound.
    """

    name: str
    bound: int
    tile: int = 1
    of: str = ""


@dataclass(frozen=True)
class Reference:
    """One load or store of a word: base + the sum of coefficients times loops, in bytes.

    depth: loops around it. after: it comes after the loops inside, not before.
    """

    base: int
    coefficients: Mapping[str, int]
    depth: int
    write: bool = False
    after: bool = False


@dataclass(frozen=True)
class Program:
    """Loops from the outside in, and what they access, in order."""

    loops: tuple[Range, ...]
    references: tuple[Reference, ...]

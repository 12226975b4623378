"""Which lines a cache fetches before they are asked for: one prefetcher a file, by its name.

    a line is looked up:  line 7, which missed  ->  line 8 is brought, if it is not there

A prefetcher's function is compiled into the look-up. It may keep words of its own, which begin as
-1 and stand in one array of words from `first` on. A `stream` is what one load of a program walks
over; of a nest that is a tensor, and of a trace everything. Lines of another page are not brought.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hwsim.registry import Registry

NONE = "none"
PAGE = 4096  # bytes; hardware sees physical addresses, which go on within a page alone
Notes = Any  # the array of words


@dataclass(frozen=True)
class Prefetcher:
    """What to bring, as a line is looked up.

    summary: in a line. words: of its own, by the number of streams. ahead: from (notes, first,
    stream, line, did it miss?) the line to bring, -1 for none.
    """

    summary: str
    words: Callable[[int], int]
    ahead: Callable[[Notes, int, int, int, int], int]


PREFETCHERS: Registry[Prefetcher] = Registry("prefetcher", "hwsim.describe.prefetchers")


def names() -> tuple[str, ...]:
    """All prefetchers; a prefetcher's number is its place here, that of none is 0."""
    return (NONE, *PREFETCHERS)

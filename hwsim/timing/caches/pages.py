"""A trace's pages by smaller numbers."""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm

import numpy as np

from hwsim.describe.prefetchers import PAGE
from hwsim.parts.cache import Cache
from hwsim.timing.caches.look_ups import Ints


class Pages:
    """Pages renumbered, so that a table of all lines is small.

    A line's set stays the same at every level, and so does its place in its page.
    """

    def __init__(self, levels: Sequence[Cache]) -> None:
        self.size = max(PAGE, *(cache.line for cache in levels))
        self.period = lcm(self.size, *(cache.sets * cache.line for cache in levels)) // self.size
        self.known: dict[int, int] = {}
        self._used: dict[int, int] = {}

    def renumbered(self, addresses: Ints) -> Ints:
        """The addresses, none of which lies beyond `end`."""
        pages, where = np.unique(addresses // self.size, return_inverse=True)
        new = np.array([self._number(page) for page in pages.tolist()], np.int64)
        return new[where] * self.size + addresses % self.size

    def _number(self, page: int) -> int:
        """Pages that are alike to every level are counted by themselves."""
        if page not in self.known:
            alike = page % self.period
            before = self._used.get(alike, 0)
            self._used[alike] = before + 1
            self.known[page] = alike + self.period * before
        return self.known[page]

    @property
    def end(self) -> int:
        """The first address beyond all of them."""
        return self.size * self.period * max(self._used.values(), default=0)

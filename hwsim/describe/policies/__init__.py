"""Which line leaves a full set: one policy a file, found by its name in a cache's `policy`.

    a look-up:  the line is in place p    ->  used(p)
                a place p is empty        ->  the line goes there, filled(p)
                the set is full           ->  p = room(), the line there leaves, filled(p)
    another level has the line from here on, or must not have it:  p becomes empty, left(p)

A policy's functions are compiled into the look-up. They see the caches as one array of words
and the set as where its lines begin, `first`: a place p is one of first ... first + ways - 1. After
the lines come the policy's own words, which begin as -1. The functions may use numbers, loops and
that array, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hwsim.registry import Registry

LRU = "lru"
Tags = Any  # the array of words


def nothing(tags: Tags, first: int, ways: int, place: int) -> None:
    """A use or a new line that the policy does not note."""
    return


def any_number(ways: int) -> str | None:
    """Every number of ways will do."""
    return None


@dataclass(frozen=True)
class Policy:
    """A rule for which line leaves a full set.

    summary: in a line. words: a set's words of its own, by its ways. room: the place of the line
    that leaves, from first to first + ways - 1. left: may put the others in other places. refuses:
    why not with so many ways, or None.
    """

    summary: str
    words: Callable[[int], int]
    room: Callable[[Tags, int, int], int]
    used: Callable[[Tags, int, int, int], None] = nothing
    filled: Callable[[Tags, int, int, int], None] = nothing
    refuses: Callable[[int], str | None] = any_number
    left: Callable[[Tags, int, int, int], None] = nothing


POLICIES: Registry[Policy] = Registry("replacement policy", "hwsim.describe.policies")


def names() -> tuple[str, ...]:
    """All policies; a policy's number is its place here, that of LRU is 0."""
    return (LRU, *(name for name in POLICIES if name != LRU))

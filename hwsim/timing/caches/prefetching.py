"""All prefetchers as one compiled function, chosen by the prefetcher's number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwsim.describe.prefetchers import NONE, PREFETCHERS, names


def compiled_for_all(compile_: Callable[[Any], Any]) -> Any:
    """`ahead` of hwsim.describe.prefetchers, with its number before the other arguments."""
    ahead: Any = compile_(_nothing)
    for number, name in enumerate(names()):
        if name != NONE:
            ahead = compile_(_ahead_or(number, compile_(PREFETCHERS[name].ahead), ahead))
    return ahead


def _nothing(prefetcher: int, notes: Any, first: int, stream: int, line: int, missed: int) -> int:
    return -1


def _ahead_or(number: int, this: Any, others: Any) -> Any:
    def chosen(prefetcher: int, notes: Any, first: int, stream: int, line: int, missed: int) -> Any:
        if prefetcher == number:
            return this(notes, first, stream, line, missed)
        return others(prefetcher, notes, first, stream, line, missed)

    return chosen

"""All replacement policies as one compiled function each, chosen by the policy's number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hwsim.describe.policies import LRU, POLICIES, Policy, names
from hwsim.errors import HwsimError

OURS = "hwsim"  # the package whose policies the tests try out
BEFORE = 5  # words of other sets before the one that is tried
ROUNDS = 16  # lines that come into it


def compiled_for_all(compile_: Callable[[Any], Any]) -> tuple[Any, Any, Any, Any]:
    """used, filled, room and left of hwsim.describe.policies, for every policy.

    The policy's number comes before the other arguments.
    """
    used: Any = compile_(_nothing)
    filled: Any = compile_(_nothing)
    room: Any = compile_(_last_place)
    left: Any = compile_(_nothing)
    for number, name in enumerate(names()):
        if name != LRU:
            policy = POLICIES[name]
            if policy.room.__module__.partition(".")[0] != OURS:
                try_out(name, policy, compile_)
            used = compile_(_note_or(number, compile_(policy.used), used))
            filled = compile_(_note_or(number, compile_(policy.filled), filled))
            room = compile_(_room_or(number, compile_(policy.room), room))
            left = compile_(_note_or(number, compile_(policy.left), left))
    return used, filled, room, left


def try_out(name: str, policy: Policy, compile_: Callable[[Any], Any]) -> None:
    """Fill a set of a few lines and let others come. Raises HwsimError for a policy that cannot be
    compiled, or gives up a place that is none of the set's."""
    ways = next((ways for ways in (4, 3, 8, 2, 1) if policy.refuses(ways) is None), None)
    if ways is None:
        return
    tags = np.full(BEFORE + ways + policy.words(ways), -1, np.int64)
    try:
        used, filled, room, left = map(
            compile_, (policy.used, policy.filled, policy.room, policy.left)
        )
        for place in range(BEFORE, BEFORE + ways):
            filled(tags, BEFORE, ways, place)
        for _ in range(ROUNDS):
            place = room(tags, BEFORE, ways)
            if not BEFORE <= place < BEFORE + ways:
                break
            left(tags, BEFORE, ways, place)
            filled(tags, BEFORE, ways, place)
            used(tags, BEFORE, ways, place)
        else:
            return
    except Exception as error:  # whatever a stranger's function does
        what = " ".join(str(error).split())
        raise HwsimError(f"replacement policy {name!r}: {type(error).__name__}: {what}") from error
    raise HwsimError(
        f"replacement policy {name!r}: room gave {place} of a set of {ways} lines that begins at "
        f"{BEFORE}; expected a place from first to first + ways - 1"
    )


def _nothing(policy: int, tags: Any, first: int, ways: int, place: int) -> None:
    return


def _last_place(policy: int, tags: Any, first: int, ways: int) -> int:
    return first + ways - 1


def _note_or(number: int, this: Any, others: Any) -> Any:
    def chosen(policy: int, tags: Any, first: int, ways: int, place: int) -> None:
        if policy == number:
            this(tags, first, ways, place)
        else:
            others(policy, tags, first, ways, place)

    return chosen


def _room_or(number: int, this: Any, others: Any) -> Any:
    def chosen(policy: int, tags: Any, first: int, ways: int) -> Any:
        if policy == number:
            return this(tags, first, ways)
        return others(policy, tags, first, ways)

    return chosen

"""All replacement policies as one compiled function each, chosen by the policy's number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwsim.describe.policies import LRU, POLICIES, names


def compiled_for_all(compile_: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
    """used, filled and room of hwsim.describe.policies, for every policy.

    The policy's number comes before the other arguments.
    """
    used: Any = compile_(_nothing)
    filled: Any = compile_(_nothing)
    room: Any = compile_(_last_place)
    for number, name in enumerate(names()):
        if name != LRU:
            policy = POLICIES[name]
            used = compile_(_note_or(number, compile_(policy.used), used))
            filled = compile_(_note_or(number, compile_(policy.filled), filled))
            room = compile_(_room_or(number, compile_(policy.room), room))
    return used, filled, room


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

"""FIFO: the line that came first leaves, however often it was used.

A set's word is the place that was filled last; places are filled in turn.
"""

from __future__ import annotations

from hwsim.describe.policies import POLICIES, Policy, Tags


def in_turn(tags: Tags, first: int, ways: int) -> int:
    turn = (tags[first + ways] + 1) % ways
    tags[first + ways] = turn
    return int(first + turn)


POLICIES.register("fifo")(
    Policy("the line that came first leaves", words=lambda _: 1, room=in_turn)
)

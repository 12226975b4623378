"""FIFO: the line that came first leaves, however often it was used.

A set's word is the place that was filled last; places are filled in turn. Where a line is taken
out, the others are put in the order in which they came, so that what comes next is the last.
"""

from __future__ import annotations

from hwsim.describe.policies import POLICIES, Policy, Tags


def in_turn(tags: Tags, first: int, ways: int) -> int:
    turn = (tags[first + ways] + 1) % ways
    tags[first + ways] = turn
    return int(first + turn)


def close_the_gap(tags: Tags, first: int, ways: int, place: int) -> None:
    gap = place
    for _ in range(tags[first + ways] + 1):  # the youngest stands before the oldest: turn the set
        oldest = tags[first]
        for other in range(first, first + ways - 1):
            tags[other] = tags[other + 1]
        tags[first + ways - 1] = oldest
        gap = gap - 1 if gap > first else first + ways - 1
    tags[first + ways] = -1
    for other in range(gap, first + ways - 1):
        tags[other] = tags[other + 1]
    tags[first + ways - 1] = -1


POLICIES.register("fifo")(
    Policy(
        "the line that came first leaves",
        words=lambda _: 1,
        room=in_turn,
        left=close_the_gap,
    )
)

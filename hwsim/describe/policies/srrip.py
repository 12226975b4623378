"""SRRIP: a line comes in as one that is used again late, and is used again soon once it was hit.

A set has a word a way, 0 (soon) to 3 (late). A hit makes it 0, a new line is 2, and the first line
of 3 leaves; where there is none, all are made one later.

Jaleel et al., "High Performance Cache Replacement Using Re-Reference Interval Prediction (RRIP)",
ISCA 2010: hit priority, two bits.
"""

from __future__ import annotations

from hwsim.describe.policies import POLICIES, Policy, Tags

NEW, LATE = 2, 3


def soon(tags: Tags, first: int, ways: int, place: int) -> None:
    tags[place + ways] = 0


def rather_late(tags: Tags, first: int, ways: int, place: int) -> None:
    tags[place + ways] = NEW


def first_late(tags: Tags, first: int, ways: int) -> int:
    while True:
        for place in range(first, first + ways):
            if tags[place + ways] >= LATE:
                return int(place)
        for place in range(first, first + ways):
            tags[place + ways] += 1


POLICIES.register("srrip")(
    Policy(
        "lines come in as used again late; a hit makes them used again soon",
        words=lambda ways: ways,
        room=first_late,
        used=soon,
        filled=rather_late,
    )
)

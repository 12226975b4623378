"""Tree-PLRU: each node of a binary tree over the ways points away from the half used last.

             node 1                    a use of way 2 (nodes 1, 3): 1 points left, 3 points right
        node 2    node 3               the line that leaves: follow the pointers from node 1
       way0 way1 way2 way3

A set's word has a bit a node: 1 points right.
"""

from __future__ import annotations

from hwsim.describe.policies import POLICIES, Policy, Tags

MOST_WAYS = 16  # bits of a word


def point_away(tags: Tags, first: int, ways: int, place: int) -> None:
    bits = tags[first + ways]
    node = place - first + ways
    while node > 1:
        parent = node >> 1
        if node & 1:
            bits &= ~(1 << parent)
        else:
            bits |= 1 << parent
        node = parent
    tags[first + ways] = bits


def follow(tags: Tags, first: int, ways: int) -> int:
    bits = tags[first + ways]
    node = 1
    while node < ways:
        node = 2 * node + (bits >> node & 1)
    return int(first + node - ways)


def other_numbers(ways: int) -> str | None:
    if ways & (ways - 1) or ways > MOST_WAYS:
        return f"{ways} ways under plru, which takes a power of two up to {MOST_WAYS}"
    return None


POLICIES.register("plru")(
    Policy(
        "a tree of bits points away from what was used last",
        words=lambda _: 1,
        room=follow,
        used=point_away,
        filled=point_away,
        refuses=other_numbers,
    )
)
